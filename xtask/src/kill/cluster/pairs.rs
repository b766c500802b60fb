//! Identical requests fired at two servers at the same moment: one message and one answer each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
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

/// What came of the pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Pairs fired.
    pub pairs: u32,
    /// Different messages that the answers name.
    pub messages: u32,
    /// Pairs whose two answers were not the same.
    pub different: u32,
    /// Tries that were told that the other one is under way.
    pub told_to_wait: u32,
    /// The first difference.
    pub first: Option<String>,
    /// Ids that were given.
    #[serde(skip)]
    pub ids: BTreeSet<String>,
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
            let [a, b] = pair.await??;
            report.told_to_wait += a.told_to_wait + b.told_to_wait;
            if a.body != b.body {
                report.different += 1;
                report.first.get_or_insert(format!("{} and {}", a.body, b.body));
            }
            report.ids.extend([a, b].iter().filter_map(|answer| answer.body["id"].as_str().map(str::to_owned)));
        }
        first = last;
    }
    report.messages = report.ids.len() as u32;
    Ok(report)
}

struct Answer {
    body: Value,
    told_to_wait: u32,
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

async fn ask(
    target: &Target,
    server: usize,
    mut connection: Option<Connection>,
    number: u32,
    body: &[u8],
) -> Result<Answer> {
    let host = &target.servers[server];
    let mut request = Vec::new();
    let key = format!("idempotency-key: {}-{number}\r\n", target.prefix);
    write_request(&mut request, "POST", "/v1/messages", host, &target.member.key, &key, body);
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
        match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
            Ok(Ok((200..300, text))) => {
                let body = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
                return Ok(Answer { body, told_to_wait });
            }
            Ok(Ok((409, text))) if text.contains("UM1005") => told_to_wait += 1,
            Ok(Ok((status, _))) if status >= 500 => {}
            Ok(Ok((status, text))) => bail!("pair {number} was answered {status}: {text}"),
            // A server that is away comes back.
            Ok(Err(_)) | Err(_) => {}
        }
        if Instant::now() > until {
            bail!("pair {number} had no answer in {} s", PAIR_LIMIT.as_secs());
        }
        tokio::time::sleep(BACK_OFF).await;
    }
}
