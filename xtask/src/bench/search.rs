//! Look-ups by recipient: how long the history takes to answer.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::{Api, Connection, write_request};
use crate::percentile;

/// Numbers are taken from what was accepted this many hours ago and before, so that every age is asked for.
const AGES_H: [u64; 14] = [0, 1, 6, 12, 24, 36, 48, 72, 120, 168, 240, 336, 720, 2_160];
const NUMBERS_PER_AGE: usize = 100;
/// Rounds over all numbers; the first one is not counted.
const ROUNDS: usize = 3;

/// Asks for known numbers and for some that were never sent to.
pub async fn measure(operator: &Api) -> Result<Value> {
    let account = history(operator).await?;
    let mut numbers = known_numbers(operator, &account).await?;
    let known = numbers.len();
    ensure!(known > 0, "there is no history to search; use --history");
    numbers.extend((0..known as u64 / 10).map(|n| format!("0109{:07}", n * 7919 % 10_000_000)));
    let mut connection = Connection::open(&operator.address).await?;
    let (mut request, mut micros, mut hits) = (Vec::new(), Vec::new(), 0_u64);
    for round in 0..ROUNDS {
        for number in &numbers {
            let path = format!("/v1/messages?account={account}&recipient={number}&limit=100");
            write_request(&mut request, "GET", &path, &operator.address, &operator.key, "", b"");
            let begin = Instant::now();
            let status = connection.exchange(&request).await?;
            let took = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
            ensure!(status == 200, "a look-up answered {status}: {}", String::from_utf8_lossy(connection.body()));
            if round > 0 {
                micros.push(took);
                hits += u64::from(connection.body().windows(5).any(|w| w == b"\"msg_"));
            }
        }
    }
    let latency = percentile::latency(&mut micros).context("nothing was asked")?;
    let kinds = kinds(operator, &account, &numbers[..known]).await?;
    Ok(json!({
        "kinds": kinds,
        "queries": micros.len(),
        "numbers": known,
        "hits": hits,
        "p50": latency.p50,
        "p99": latency.p99,
        "max": latency.max,
    }))
}

/// Questions of each kind.
const KIND_QUESTIONS: usize = 200;

/// How long each kind of list and search takes: each question asks for one page, and goes on from its cursor now and then.
async fn kinds(operator: &Api, account: &str, numbers: &[String]) -> Result<Value> {
    let page = operator.ask("GET", &format!("/v1/messages?account={account}&limit=1"), None).await?;
    let newest = &page["items"][0];
    let text = |name: &str| newest[name].as_str().unwrap_or_default().to_owned();
    let (sender, batch) = (text("from"), text("batchId"));
    let now = SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_secs();
    let last4 = |n: usize| numbers[n % numbers.len()].chars().skip(7).collect::<String>();
    type Ask<'a> = Box<dyn Fn(usize) -> String + 'a>;
    let kinds: [(&str, Ask<'_>); 12] = [
        ("list", Box::new(|_| String::new())),
        ("since", Box::new(|n| format!("&until={}", rfc3339(now - (n as u64 % 90) * 86_400)))),
        ("recipient", Box::new(|n| format!("&recipient={}", numbers[n % numbers.len()]))),
        ("last4", Box::new(|n| format!("&recipientLast4={}", last4(n)))),
        ("sender", Box::new(|_| format!("&sender={sender}"))),
        ("label", Box::new(|n| format!("&label=shop%3D{}", n % 100))),
        ("labelUnknown", Box::new(|n| format!("&label=none{n}"))),
        ("billCode", Box::new(|n| format!("&billCode=D{}", n % 10))),
        ("batch", Box::new(|n| format!("&batchId={batch}&recipientLast4={}", last4(n)))),
        ("q", Box::new(|n| format!("&q=nothing{n}&since={}", rfc3339(now - 30 * 86_400)))),
        ("statusRelay", Box::new(|_| "&status=failed&relay=kt".to_owned())),
        ("codeStatus", Box::new(|_| "&code=UM4001&originStatus=FAIL&lane=bulk".to_owned())),
    ];
    let mut connection = Connection::open(&operator.address).await?;
    let mut measured = serde_json::Map::new();
    for (kind, ask) in &kinds {
        let (mut request, mut micros, mut cursor) = (Vec::new(), Vec::new(), String::new());
        for n in 0..KIND_QUESTIONS {
            let path = format!("/v1/messages?account={account}&limit=100{}{cursor}", ask(n));
            write_request(&mut request, "GET", &path, &operator.address, &operator.key, "", b"");
            let begin = Instant::now();
            let status = connection.exchange(&request).await?;
            let took = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
            ensure!(status == 200, "{kind} answered {status}: {}", String::from_utf8_lossy(connection.body()));
            if n > 0 {
                micros.push(took);
            }
            let body: Value = serde_json::from_slice(connection.body()).unwrap_or(Value::Null);
            let next = body["nextCursor"].as_str().filter(|_| n % 4 != 3);
            cursor = next.map_or_else(String::new, |next| format!("&cursor={next}"));
        }
        let latency = percentile::latency(&mut micros).context("nothing was asked")?;
        measured.insert((*kind).to_owned(), json!({"p50": latency.p50, "p99": latency.p99, "max": latency.max}));
    }
    Ok(Value::Object(measured))
}

/// The account of the preloaded rows: searches are within one account.
async fn history(operator: &Api) -> Result<String> {
    let page = operator.ask("GET", "/v1/accounts?limit=500", None).await?;
    let items = page["items"].as_array().context("the list has no items")?;
    let account = items.iter().find(|account| account["name"] == "history").and_then(|account| account["id"].as_str());
    Ok(account.context("there is no history to search; use --history")?.to_owned())
}

async fn known_numbers(operator: &Api, account: &str) -> Result<Vec<String>> {
    let now = SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_secs();
    let mut numbers = std::collections::BTreeSet::new();
    for age in AGES_H {
        let until = rfc3339(now.saturating_sub(age * 3600));
        let path = format!("/v1/messages?account={account}&until={until}&limit={NUMBERS_PER_AGE}");
        let page = operator.ask("GET", &path, None).await?;
        let items = page["items"].as_array().context("the list has no items")?;
        numbers.extend(items.iter().filter_map(|item| item["to"].as_str()).map(str::to_owned));
    }
    ensure!(numbers.iter().all(|n| !n.contains('*')), "the operator's key shows masked numbers");
    Ok(numbers.into_iter().collect())
}

/// Seconds since 1970 as RFC 3339 in UTC (days to a date after Hinnant's civil calendar).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (1_795_219_201, "2026-11-21T00:00:01Z"),
        ] {
            assert_eq!(rfc3339(seconds), want);
        }
    }
}
