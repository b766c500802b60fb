//! Reads a Prometheus text document: sums of counters, and percentiles of histograms between two looks.

use std::collections::BTreeMap;

use crate::percentile::Latency;

/// One line of the document.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All lines of one look at `/metrics`.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Vec<Sample>);

/// Label and value that a sample must have to count.
pub type Wanted<'a> = &'a [(&'a str, &'a str)];

impl Metrics {
    /// Reads the text exposition format 0.0.4; lines that are none are skipped.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The lines of several processes as if they were of one.
    pub fn together(all: impl IntoIterator<Item = Self>) -> Self {
        Self(all.into_iter().flat_map(|metrics| metrics.0).collect())
    }

    fn matching<'a>(&'a self, name: &'a str, wanted: Wanted<'a>) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |s| {
            s.name == name && wanted.iter().all(|(key, value)| s.labels.get(*key).is_some_and(|v| v == value))
        })
    }

    /// Sum over all matching lines; `None` when there is none.
    pub fn sum(&self, name: &str, wanted: Wanted<'_>) -> Option<f64> {
        self.matching(name, wanted).map(|s| s.value).fold(None, |sum, v| Some(sum.unwrap_or(0.0) + v))
    }

    /// The buckets of a histogram, added over all matching label sets.
    pub fn histogram(&self, name: &str, wanted: Wanted<'_>) -> Histogram {
        let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
        for sample in self.matching(&format!("{name}_bucket"), wanted) {
            let edge = sample.labels.get("le").and_then(|le| number(le));
            if let Some(edge) = edge {
                // Edges are positive, so their bits order like the numbers.
                *buckets.entry(edge.to_bits()).or_default() += sample.value;
            }
        }
        Histogram(buckets.into_iter().map(|(edge, count)| (f64::from_bits(edge), count)).collect())
    }
}

/// Cumulative counts by upper edge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// What came after an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        let before: BTreeMap<u64, f64> = earlier.0.iter().map(|(edge, count)| (edge.to_bits(), *count)).collect();
        let less = |(edge, count): &(f64, f64)| (*edge, count - before.get(&edge.to_bits()).copied().unwrap_or(0.0));
        Self(self.0.iter().map(less).collect())
    }

    /// The value below which a share of all values lies, interpolated inside its bucket.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.0.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = share * total;
        let (mut low, mut below) = (0.0, 0.0);
        for (edge, count) in &self.0 {
            if *count >= rank && *count > below {
                let high = if edge.is_finite() { *edge } else { low };
                return Some(low + (high - low) * ((rank - below) / (count - below)).clamp(0.0, 1.0));
            }
            if edge.is_finite() {
                low = *edge;
            }
            below = *count;
        }
        Some(low)
    }

    /// p50, p99 and the upper edge of the last bucket in use, from seconds to milliseconds.
    pub fn latency(&self) -> Option<Latency> {
        let ms = |share| self.quantile(share).map(|s| (s * 1e5).round() / 100.0);
        Some(Latency { p50: ms(0.5)?, p99: ms(0.99)?, max: ms(1.0)? })
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, labels, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = label_set(rest)?;
            (name, labels, rest)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, BTreeMap::new(), rest)
        }
    };
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Labels up to the closing bracket, and what follows it.
fn label_set(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        rest = &after[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP bongsu_final_total Finals.
# TYPE bongsu_final_total counter
bongsu_final_total{channel="sms",lane="bulk",relay="kt",status="delivered"} 70
bongsu_final_total{channel="sms",lane="auth",relay="skt",status="delivered"} 20 1700000000
bongsu_final_total{channel="sms",lane="bulk",relay="a\"b}c",status="failed"} 1e1
bongsu_commits_total 12
h_bucket{lane="auth",le="0.001"} 0
h_bucket{lane="auth",le="0.002"} 50
h_bucket{lane="auth",le="0.004"} 100
h_bucket{lane="auth",le="+Inf"} 100
h_bucket{lane="bulk",le="0.001"} 7
h_bucket{lane="bulk",le="+Inf"} 7
h_sum{lane="auth"} 0.3
"#;

    #[test]
    fn two_processes_count_together() {
        let both = Metrics::together([Metrics::parse(TEXT), Metrics::parse(TEXT)]);
        assert_eq!(both.sum("bongsu_commits_total", &[]), Some(24.0));
    }

    #[test]
    fn sums() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("bongsu_final_total", &[]), Some(100.0));
        assert_eq!(metrics.sum("bongsu_final_total", &[("lane", "auth")]), Some(20.0));
        assert_eq!(metrics.sum("bongsu_final_total", &[("relay", "a\"b}c")]), Some(10.0));
        assert_eq!(metrics.sum("bongsu_commits_total", &[]), Some(12.0));
        assert_eq!(metrics.sum("missing", &[]), None);
    }

    #[test]
    fn percentiles() {
        let auth = Metrics::parse(TEXT).histogram("h", &[("lane", "auth")]);
        let latency = auth.latency().expect("values");
        assert_eq!(latency, Latency { p50: 2.0, p99: 3.96, max: 4.0 });
        assert_eq!(auth.since(&auth).latency(), None);
        assert_eq!(auth.since(&Histogram::default()), auth);
        assert_eq!(Metrics::parse(TEXT).histogram("none", &[]).latency(), None);
    }

    #[test]
    fn values_past_the_last_edge_count_as_that_edge() {
        let open = Metrics::parse("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 10\n").histogram("h", &[]);
        assert_eq!(open.latency().map(|l| l.p99), Some(500.0));
    }
}
