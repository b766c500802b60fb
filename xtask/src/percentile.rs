//! Percentiles of measured values.

use serde::Serialize;

/// Three numbers that describe a latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
pub struct Latency {
    /// Half of all values are at most this.
    pub p50: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
}

/// The value that `share` (0 to 1) of all values do not exceed, by nearest rank; `None` without values.
pub fn of_sorted(sorted: &[u32], share: f64) -> Option<u32> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (share * sorted.len() as f64).ceil() as usize;
    Some(sorted[rank.saturating_sub(1).min(last)])
}

/// Latency in milliseconds of values in microseconds; sorts them.
pub fn latency(micros: &mut [u32]) -> Option<Latency> {
    micros.sort_unstable();
    let ms = |share| of_sorted(micros, share).map(|v| f64::from(v) / 1000.0);
    Some(Latency { p50: ms(0.5)?, p99: ms(0.99)?, max: ms(1.0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        for (share, want) in [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100)] {
            assert_eq!(of_sorted(&values, share), Some(want), "share {share}");
        }
        assert_eq!(of_sorted(&[], 0.5), None);
        assert_eq!(of_sorted(&[7], 0.99), Some(7));
    }

    #[test]
    fn latency_is_in_milliseconds() {
        let latency = latency(&mut [3000, 1000, 2000]).expect("three values");
        assert_eq!(latency, Latency { p50: 2.0, p99: 3.0, max: 3.0 });
    }
}
