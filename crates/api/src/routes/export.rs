//! `GET /v1/messages.csv`: what a list finds, as one file that is written while it is read.

use std::time::Duration;

use bongsu_domain::Code;
use bongsu_domain::status::origin_status;
use bongsu_send::{ListQuery, MessageView, Scope, Service};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::call::Call;
use crate::csv;
use crate::problem::Problem;
use crate::query::LIMIT_MAX;
use crate::reply::Reply;

/// Pages that are read ahead of a slow reader.
const AHEAD: usize = 2;
/// How long a reader may stand still.
const STALL_MAX: Duration = Duration::from_secs(60);

const COLUMNS: [&str; 26] = [
    "id",
    "batchId",
    "clientRef",
    "lane",
    "channel",
    "type",
    "to",
    "from",
    "status",
    "originStatus",
    "code",
    "codeName",
    "late",
    "unit",
    "amount",
    "billCode",
    "labels",
    "attempts",
    "relay",
    "acceptedAt",
    "sendAt",
    "claimedAt",
    "submittedAt",
    "respondedAt",
    "reportedAt",
    "finalAt",
];

/// Writes every message that the filters find, newest first.
pub async fn export_messages(mut call: Call) -> Result<Reply, Problem> {
    let (scope, full) = (call.scope()?, call.sees_numbers()?);
    let query = ListQuery { limit: LIMIT_MAX, ..super::messages::list_query(&mut call)? };
    let Ok(turn) = call.app.exports.clone().try_acquire_owned() else {
        let detail = "too many exports are being read; try again when one has ended";
        return Err(Problem { retry_after: Some(Duration::from_secs(5)), ..Problem::new(Code::RateLimited, detail) });
    };
    // What is wrong with the filters is told before the file begins.
    let first = call.app.service.list(scope, query.clone()).await?;
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let service = call.app.service.clone();
    tokio::spawn(async move {
        let _turn = turn;
        let mut head = String::new();
        csv::row(&mut head, COLUMNS);
        let mut page = Ok(first);
        let mut query = query;
        loop {
            let Ok(read) = page else {
                // The file ends without its end: who reads it sees a broken transfer, not a shorter list.
                let _ = sender.send(Err(std::io::Error::other("the store stopped answering"))).await;
                return;
            };
            let mut text = std::mem::take(&mut head);
            read.items.iter().for_each(|message| line(&mut text, message, full));
            query.cursor = read.next_cursor;
            let sent = text.is_empty() || push(&sender, text).await;
            if !sent || query.cursor.is_none() {
                return;
            }
            page = again(&service, scope, &query).await;
        }
    });
    let pieces = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    Ok(Reply::stream("text/csv; charset=utf-8; header=present", pieces))
}

/// Whether the reader took it in time.
async fn push(sender: &mpsc::Sender<std::io::Result<Bytes>>, text: String) -> bool {
    matches!(tokio::time::timeout(STALL_MAX, sender.send(Ok(text.into()))).await, Ok(Ok(())))
}

async fn again(
    service: &Service,
    scope: Scope,
    query: &ListQuery,
) -> Result<bongsu_send::Page<MessageView>, bongsu_send::Refusal> {
    tokio::task::yield_now().await;
    service.list(scope, query.clone()).await
}

fn line(out: &mut String, message: &MessageView, full: bool) {
    let time = |at: Option<bongsu_domain::Timestamp>| at.map_or_else(String::new, |at| at.rfc3339());
    let last = message.attempts.last();
    let tries = u32::try_from(message.attempts.len()).unwrap_or(u32::MAX);
    let to = message.to.map(|to| if full { to.national().to_owned() } else { to.masked() });
    let labels: Vec<String> = message.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cells = [
        message.id.to_string(),
        message.batch.map_or_else(String::new, |batch| batch.to_string()),
        message.client_ref.clone().unwrap_or_default(),
        message.lane.as_str().into(),
        message.channel.as_str().into(),
        message.channel.as_str().into(),
        to.unwrap_or_default(),
        message.from.clone().unwrap_or_default(),
        message.status.as_str().into(),
        origin_status(message.status, tries).as_str().into(),
        message.code.as_str().into(),
        message.code.name().into(),
        message.late.to_string(),
        message.price.0.as_str().into(),
        message.price.1.to_string(),
        message.bill_code.clone().unwrap_or_default(),
        labels.join(";"),
        tries.to_string(),
        last.map_or_else(String::new, |attempt| attempt.relay.clone()),
        message.accepted_at.rfc3339(),
        time(message.send_at),
        time(last.and_then(|attempt| attempt.claimed_at)),
        time(last.and_then(|attempt| attempt.submitted_at)),
        time(last.and_then(|attempt| attempt.responded_at)),
        time(last.and_then(|attempt| attempt.reported_at)),
        time(message.final_at),
    ];
    csv::row(out, cells.iter().map(String::as_str));
}
