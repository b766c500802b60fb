//! Requests of the harness itself while the database is away: each must be told so, and each must be taken afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::http::{Connection, write_request};
use crate::world::Member;

/// An answer is there by then; a caller waits no longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(200);
/// Accept works again by then after the database is back.
const BACK_LIMIT: Duration = Duration::from_secs(60);
/// What the answer must be.
const UNAVAILABLE: &str = "503 UM8004";

/// What the probes were told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Times that the database was away.
    pub outages: u32,
    /// Answers while it was away, by status and code; a process that is not up gives none.
    pub answers: BTreeMap<String, u64>,
    /// The slowest of them, milliseconds.
    pub slowest_ms: u64,
    /// Answers between the start of the database and the first message taken, by status and code.
    pub answers_afterwards: BTreeMap<String, u64>,
    /// From the start of the database to the first message taken by every process, the longest, milliseconds.
    pub slowest_return_ms: u64,
    /// Ids that were given afterwards.
    #[serde(skip)]
    pub ids: Vec<String>,
}

impl Report {
    /// What must not be: anything but "the store is not available", or no answer.
    pub fn violations(&self) -> Vec<String> {
        let wrong = self.answers.iter().filter(|(answer, _)| *answer != UNAVAILABLE && *answer != NOBODY);
        let mut found: Vec<String> =
            wrong.map(|(answer, count)| format!("while the database was away {count} probes got: {answer}")).collect();
        if self.outages > 0 && !self.answers.contains_key(UNAVAILABLE) {
            found.push(format!("while the database was away no probe was told {UNAVAILABLE}"));
        }
        found
    }
}

/// The connection was refused: the process is started again just now.
const NOBODY: &str = "nobody listens";

/// Who asks, and whom.
#[derive(Debug, Clone)]
pub struct Prober {
    /// `host:port` of the processes that take requests.
    pub servers: Vec<String>,
    pub member: Member,
    /// Begins every key.
    pub prefix: String,
    /// Probes so far; each has a key of its own.
    pub count: u64,
}

impl Prober {
    /// Asks each server again and again for this long.
    pub async fn while_away(&mut self, away: Duration, report: &mut Report) {
        let until = Instant::now() + away;
        report.outages += 1;
        loop {
            for server in 0..self.servers.len() {
                let begin = Instant::now();
                let (answer, _) = self.ask(server).await;
                report.slowest_ms = report.slowest_ms.max(begin.elapsed().as_millis() as u64);
                *report.answers.entry(answer).or_default() += 1;
            }
            if Instant::now() + EVERY > until {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Asks each server until it takes a message; the time that took counts from `since`.
    pub async fn until_back(&mut self, since: Instant, report: &mut Report) -> Result<()> {
        for server in 0..self.servers.len() {
            loop {
                let (answer, id) = self.ask(server).await;
                if let Some(id) = id {
                    report.ids.push(id);
                    break;
                }
                *report.answers_afterwards.entry(answer.clone()).or_default() += 1;
                anyhow::ensure!(
                    since.elapsed() < BACK_LIMIT,
                    "{} takes nothing {} s after the database is back: {answer}",
                    self.servers[server],
                    BACK_LIMIT.as_secs()
                );
                tokio::time::sleep(EVERY).await;
            }
        }
        report.slowest_return_ms = report.slowest_return_ms.max(since.elapsed().as_millis() as u64);
        Ok(())
    }

    /// One message; its answer in words, and its id.
    async fn ask(&mut self, server: usize) -> (String, Option<String>) {
        self.count += 1;
        let body = json!({
            "channel": "sms",
            "lane": "realtime",
            "from": self.member.from,
            "to": format!("010{:08}", 30_000_000 + self.count),
            "text": format!("[봉수] 저장소 확인 {}", self.count),
        });
        let (host, mut request) = (&self.servers[server], Vec::new());
        let key = format!("idempotency-key: {}-{}\r\nconnection: close\r\n", self.prefix, self.count);
        let body = body.to_string();
        write_request(&mut request, "POST", "/v1/messages", host, &self.member.key, &key, body.as_bytes());
        let exchange = async {
            let Ok(mut connection) = Connection::open(host).await else { return (NOBODY.to_owned(), None) };
            match connection.exchange(&request).await {
                Ok(status) => read(status, connection.body()),
                Err(error) => (format!("{error:#}"), None),
            }
        };
        match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => (format!("no answer in {} s", ANSWER_LIMIT.as_secs()), None),
        }
    }
}

fn read(status: u16, body: &[u8]) -> (String, Option<String>) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if (200..300).contains(&status) {
        return (status.to_string(), body["id"].as_str().map(str::to_owned));
    }
    (format!("{status} {}", body["code"].as_str().unwrap_or_default()).trim_end().to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answers: &[(&str, u64)]) -> Report {
        let answers = answers.iter().map(|(answer, count)| ((*answer).to_owned(), *count)).collect();
        Report { outages: 1, answers, ..Report::default() }
    }

    #[test]
    fn only_unavailable_will_do() {
        assert!(report(&[("503 UM8004", 5), (NOBODY, 1)]).violations().is_empty());
        assert_eq!(report(&[("503 UM8004", 5), ("500", 1)]).violations().len(), 1);
        assert_eq!(report(&[("202", 1)]).violations().len(), 2, "taken without a store, and never told so");
        assert!(Report::default().violations().is_empty(), "nothing was away");
    }

    #[test]
    fn an_answer_has_a_code_or_an_id() {
        assert_eq!(read(503, br#"{"code":"UM8004"}"#).0, "503 UM8004");
        assert_eq!(read(202, br#"{"id":"msg_1"}"#).1.as_deref(), Some("msg_1"));
        assert_eq!(read(500, b"oops").0, "500");
    }
}
