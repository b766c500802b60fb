//! Identical requests fired at two servers at the same moment: one message and one answer each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::{Connection, write_request};
use crate::world::Member;

/// Pairs that are under way at once.
const AT_ONCE: u32 = 16;
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// A pair is answered by then, also when a server is started again meanwhile.
const PAIR_LIMIT: Duration = Duration::from_secs(60);
const BACK_OFF: Duration = Duration::from_millis(20);

/// Why the two requests of a pair are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// They have one idempotency key: both get the same answer.
    Key,
    /// They have keys of their own and equal messages of an account with a window: one is accepted, the other one refused.
    Content,
}

/// What came of the pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Pairs fired.
    pub pairs: u32,
    /// Different messages that the answers name.
    pub messages: u32,
    /// Pairs whose two answers do not belong together.
    pub wrong: u32,
    /// Tries that were told that the other one is under way.
    pub told_to_wait: u32,
    /// The first pair that is wrong.
    pub first: Option<String>,
    /// Ids that were given.
    #[serde(skip)]
    pub ids: BTreeSet<String>,
}

impl Report {
    fn add(&mut self, same: Same, answers: &[Answer; 2]) {
        self.told_to_wait += answers.iter().map(|answer| answer.told_to_wait).sum::<u32>();
        if !belong_together(same, &answers[0], &answers[1]) {
            self.wrong += 1;
            self.first.get_or_insert(format!("{} and {}", answers[0].body, answers[1].body));
        }
        let taken = answers.iter().filter(|answer| answer.is_taken);
        self.ids.extend(taken.filter_map(|answer| answer.body["id"].as_str().map(str::to_owned)));
        self.messages = self.ids.len() as u32;
    }
}

/// Where and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port` of the two servers.
    pub servers: [String; 2],
    /// Who sends.
    pub member: Member,
    /// Begins every key.
    pub prefix: String,
    /// Why they are the same.
    pub same: Same,
}

/// Fires them; an answer that is no answer yet is asked for again with the same key.
pub async fn fire(target: &Target, count: u32) -> Result<Report> {
    let mut report = Report { pairs: count, ..Report::default() };
    let mut first = 0;
    while first < count {
        let last = (first + AT_ONCE).min(count);
        let pairs: Vec<_> = (first..last)
            .map(|number| {
                let target = target.clone();
                tokio::spawn(async move { pair(&target, number).await })
            })
            .collect();
        for pair in pairs {
            report.add(target.same, &pair.await??);
        }
        first = last;
    }
    Ok(report)
}

#[derive(Debug)]
struct Answer {
    is_taken: bool,
    body: Value,
    told_to_wait: u32,
}

fn belong_together(same: Same, one: &Answer, two: &Answer) -> bool {
    match same {
        Same::Key => one.is_taken && two.is_taken && one.body == two.body,
        Same::Content => {
            let (taken, refused) = if one.is_taken { (one, two) } else { (two, one) };
            // A request that meets the other one in the middle of its accept cannot name it.
            let of = &refused.body["errors"][0]["duplicateOf"];
            taken.is_taken && !refused.is_taken && (of.is_null() || *of == taken.body["id"])
        }
    }
}

async fn pair(target: &Target, number: u32) -> Result<[Answer; 2]> {
    let body = json!({
        "channel": "sms",
        "lane": "realtime",
        "from": target.member.from,
        "to": format!("010{:08}", 20_000_000 + number),
        "text": format!("[봉수] 한 번만 갑니다. {number}"),
    });
    let body = body.to_string();
    // Both are connected before either is written, so that they arrive together.
    let open = |server: usize| Connection::open(&target.servers[server]);
    let (one, two) = tokio::join!(open(0), open(1));
    let (one, two) = tokio::join!(
        ask(target, 0, one.ok(), number, body.as_bytes()),
        ask(target, 1, two.ok(), number, body.as_bytes())
    );
    Ok([one?, two?])
}

fn key(target: &Target, server: usize, number: u32) -> String {
    let own = match target.same {
        Same::Key => String::new(),
        Same::Content => format!("-{server}"),
    };
    format!("{}-{number}{own}", target.prefix)
}

async fn ask(
    target: &Target,
    server: usize,
    mut connection: Option<Connection>,
    number: u32,
    body: &[u8],
) -> Result<Answer> {
    let host = &target.servers[server];
    let mut request = Vec::new();
    let extra = format!("idempotency-key: {}\r\n", key(target, server, number));
    write_request(&mut request, "POST", "/v1/messages", host, &target.member.key, &extra, body);
    let until = Instant::now() + PAIR_LIMIT;
    let mut told_to_wait = 0;
    loop {
        let exchange = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(host).await?,
            };
            let status = open.exchange(&request).await?;
            anyhow::Ok((status, String::from_utf8_lossy(open.body()).into_owned()))
        };
        // A server that is away comes back.
        if let Ok(Ok((status, text))) = tokio::time::timeout(ANSWER_LIMIT, exchange).await {
            match read(target.same, status, &text)? {
                Some((is_taken, body)) => return Ok(Answer { is_taken, body, told_to_wait }),
                None => told_to_wait += u32::from(status == 409),
            }
        }
        ensure!(Instant::now() < until, "pair {number} had no answer in {} s", PAIR_LIMIT.as_secs());
        tokio::time::sleep(BACK_OFF).await;
    }
}

/// Whether it is taken, and the body; `None` when the answer is still to come.
fn read(same: Same, status: u16, text: &str) -> Result<Option<(bool, Value)>> {
    let body: Value = serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))?;
    match (status, body["code"].as_str().unwrap_or_default()) {
        (200..300, _) => Ok(Some((true, body))),
        (409, "UM1018") if same == Same::Content => Ok(Some((false, body))),
        (409, "UM1005") | (500.., _) => Ok(None),
        _ => bail!("a request of a pair was answered {status}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(id: &str) -> Answer {
        Answer { is_taken: true, body: json!({ "id": id }), told_to_wait: 0 }
    }

    fn refused(of: Value) -> Answer {
        Answer { is_taken: false, body: json!({"code": "UM1018", "errors": [{"duplicateOf": of}]}), told_to_wait: 0 }
    }

    #[test]
    fn one_key_has_one_answer() {
        let mut report = Report::default();
        report.add(Same::Key, &[taken("msg_1"), taken("msg_1")]);
        assert_eq!((report.messages, report.wrong), (1, 0));
        report.add(Same::Key, &[taken("msg_2"), taken("msg_3")]);
        assert_eq!((report.messages, report.wrong), (3, 1));
    }

    #[test]
    fn equal_messages_are_taken_once_and_the_other_names_the_first() {
        let mut report = Report::default();
        report.add(Same::Content, &[taken("msg_1"), refused(json!("msg_1"))]);
        report.add(Same::Content, &[refused(Value::Null), taken("msg_2")]);
        assert_eq!((report.messages, report.wrong), (2, 0));
        report.add(Same::Content, &[taken("msg_3"), refused(json!("msg_9"))]);
        report.add(Same::Content, &[taken("msg_4"), taken("msg_5")]);
        report.add(Same::Content, &[refused(Value::Null), refused(Value::Null)]);
        assert_eq!(report.wrong, 3);
    }

    #[test]
    fn an_answer_that_is_none_is_asked_for_again() {
        let body = |code: &str| json!({ "code": code }).to_string();
        assert!(read(Same::Key, 409, &body("UM1005")).expect("no refusal").is_none());
        assert!(read(Same::Key, 503, &body("UM8004")).expect("no refusal").is_none());
        assert!(read(Same::Key, 409, &body("UM1018")).is_err());
        assert!(read(Same::Content, 409, &body("UM1018")).expect("an answer").is_some());
        assert!(read(Same::Key, 402, &body("UM3001")).is_err());
    }
}
