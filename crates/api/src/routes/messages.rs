//! `/v1/messages`: accept, read, list, cancel.

use bongsu_domain::{Channel, Code, GroupId, Lane, MessageId, OriginStatus, RequestId, Status, Timestamp, phone};
use bongsu_send::{Batch, ListQuery};

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::{reach, send, view};

/// Bodies above this are read on a blocking thread: 1 MiB of JSON takes milliseconds, and `auth` must not wait for it.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Accepts one message.
pub async fn send_message(call: Call) -> Result<Reply, Problem> {
    let sending = call.sending()?;
    let idempotency = call.idempotency("POST /v1/messages")?;
    let draft = Box::new(send::read_message(&call.body)?);
    let quota = call.count_messages(1).await?;
    let answer = call.service().send_one(sending, draft, idempotency).await?;
    Ok(Reply::stored(answer).within(quota))
}

/// Accepts a batch.
pub async fn send_batch(call: Call) -> Result<Reply, Problem> {
    let sending = call.sending()?;
    let idempotency = call.idempotency("POST /v1/messages/batch")?;
    let errors_only = match call.query.text("return") {
        None => false,
        Some("errors") => true,
        Some(_) => return Err(Problem::at(Code::BadRequest, "return", "must be errors")),
    };
    let _turn = match call.body.len() {
        0..=INLINE_BYTES_MAX => None,
        _ => Some(call.app.service.batch_turn().await?),
    };
    let batch = read_batch(&call, errors_only).await?;
    let quota = call.count_messages(batch.rows.len()).await?;
    let answer = call.service().send_batch(sending, batch, idempotency).await?;
    Ok(Reply::stored(answer).within(quota))
}

async fn read_batch(call: &Call, errors_only: bool) -> Result<Batch, Problem> {
    if call.body.len() <= INLINE_BYTES_MAX {
        return send::read_batch(&call.body, errors_only);
    }
    let body = call.body.clone();
    let reading = tokio::task::spawn_blocking(move || send::read_batch(&body, errors_only));
    reading.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "an internal error")))
}

/// Reads one message.
pub async fn find_message(call: Call) -> Result<Reply, Problem> {
    let message = call.app.service.message(call.scope()?, call.id::<MessageId>()?).await?;
    Ok(Reply::json(200, &view::Message::new(&message, call.sees_numbers()?)))
}

/// Cancels one message.
pub async fn cancel_message(call: Call) -> Result<Reply, Problem> {
    reach::check_message(&call, call.id()?).await?;
    let message = call.app.service.cancel(call.scope()?, call.id::<MessageId>()?).await?;
    Ok(Reply::json(200, &view::Message::new(&message, call.sees_numbers()?)))
}

/// Has a scheduled message leave at another time.
pub async fn reschedule_message(call: Call) -> Result<Reply, Problem> {
    let at = read_time(&call)?;
    reach::check_message(&call, call.id()?).await?;
    let message = call.app.service.reschedule(call.scope()?, call.id::<MessageId>()?, at).await?;
    Ok(Reply::json(200, &view::Message::new(&message, call.sees_numbers()?)))
}

/// The body of a reschedule.
pub fn read_time(call: &Call) -> Result<Timestamp, Problem> {
    call.fields(|fields| {
        let at = send::send_at(fields);
        if at.is_none() && fields.node("sendAt").is_none() {
            fields.wrong("sendAt", Code::BadRequest, "is required");
        }
        at
    })
}

/// Lists messages.
pub async fn list_messages(mut call: Call) -> Result<Reply, Problem> {
    let (scope, full) = (call.scope()?, call.sees_numbers()?);
    let query = list_query(&mut call)?;
    let page = call.app.service.list(scope, query).await?;
    let items: Vec<_> = page.items.iter().map(|message| view::Message::new(message, full)).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: page.next_cursor }))
}

pub fn list_query(call: &mut Call) -> Result<ListQuery, Problem> {
    let query = &mut call.query;
    let channel = query.parsed("channel", "sms or lms", Channel::parse);
    let kind = query.parsed("type", "sms or lms", Channel::parse);
    let batch = query.parsed("batchId", "the id of a batch or group", request);
    let list = ListQuery {
        id: query.parsed("messageId", "a message id", |text| text.parse().ok()),
        sender: query.parsed("sender", "a Korean phone number", |text| phone::parse_sender(text).ok()),
        label: query.text("label").map(label),
        bill_code: query.text("billCode").map(str::to_owned),
        text: query.text("q").map(str::to_owned),
        origin_status: query.parsed("originStatus", "PENDING, SUCCESS, RESEND or FAIL", OriginStatus::parse),
        code: query.parsed("code", "a code such as UM4001", code),
        recipient: query.parsed("recipient", "a Korean phone number", |text| phone::parse_recipient(text).ok()),
        recipient_last4: query.parsed("recipientLast4", "four digits", |text| {
            (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
        }),
        since: query.time("since"),
        until: query.time("until"),
        status: query.parsed("status", "a message status", Status::parse),
        channel: channel.or(kind),
        relay: query.text("relay").map(str::to_owned),
        lane: query.parsed("lane", "auth, realtime, bulk or ad", Lane::parse),
        batch,
        client_ref: query.text("clientRef").map(str::to_owned),
        limit: query.limit(),
        cursor: query.text("cursor").map(str::to_owned),
    };
    if channel.is_some() && kind.is_some() && channel != kind {
        query.wrong("type", "is another one than channel");
    }
    query.close()?;
    Ok(list)
}

/// A batch or a group: both are requests.
fn request(text: &str) -> Option<RequestId> {
    text.parse().ok().or_else(|| text.parse::<GroupId>().ok().map(|group| RequestId(group.0)))
}

/// `name`, or `name=value`.
fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// A code by its number, `UM4001`.
fn code(text: &str) -> Option<Code> {
    Code::from_number(text.strip_prefix("UM")?.parse().ok()?)
}
