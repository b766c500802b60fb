//! `/v1/groups`: rows staged over many calls, sent together; what did not arrive of them.

use bongsu_domain::{Code, GroupId};
use bongsu_send::Finding;
use bongsu_send::groups::{GroupSend, GroupView, NewGroup, Upload, UploadOutcome};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::value::RawValue;

use super::messages::read_time;
use crate::call::{Call, Rows};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::rows::{self, CsvRows, Defaults, Format, LineRows};
use crate::send::{self, ROWS_MAX, Row};
use crate::{reach, view};

/// The longest name of a group, in characters.
pub const NAME_MAX: usize = 100;

/// Makes a group.
pub async fn create_group(call: Call) -> Result<Reply, Problem> {
    let sending = call.sending()?;
    let idempotency = call.idempotency("POST /v1/groups")?;
    let new = read_group(&call)?;
    let shown = |group: &GroupView| serde_json::to_vec(&view::Group::new(group)).unwrap_or_default();
    let answer = call.app.service.create_group(sending, new, idempotency, shown).await?;
    Ok(Reply::stored(answer))
}

/// The part of the body that is kept as it came.
#[derive(serde::Deserialize)]
struct Kept<'a> {
    #[serde(borrow, default)]
    defaults: Option<&'a RawValue>,
}

fn read_group(call: &Call) -> Result<NewGroup, Problem> {
    let new = call.fields(|fields| {
        fields.node("defaults");
        let name = fields.text("name").map(str::to_owned);
        if name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > NAME_MAX) {
            fields.wrong("name", Code::FieldTooLong, format!("1 to {NAME_MAX} characters"));
        }
        let approval = fields.flag("approval").unwrap_or(false);
        let send_at = send::send_at(fields);
        Some(NewGroup { name, defaults: String::new(), approval, send_at })
    })?;
    let kept: Kept<'_> = serde_json::from_slice(&call.body).unwrap_or(Kept { defaults: None });
    let defaults = kept.defaults.map_or("{}", RawValue::get);
    // A group without defaults says null, or nothing.
    let defaults = if defaults == "null" { "{}" } else { defaults };
    if send::read_defaults(defaults)?.send_at.is_some() {
        let detail = "is of the group as a whole; name it beside the defaults";
        return Err(Problem::fields(vec![Finding::new("defaults.sendAt", Code::BadRequest, detail)]));
    }
    Ok(NewGroup { defaults: defaults.to_owned(), ..new })
}

/// Lists groups.
pub async fn list_groups(mut call: Call) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    let limit = call.query.limit();
    call.query.close()?;
    let page = call.app.service.list_groups(scope, limit, call.query.text("cursor")).await?;
    let items: Vec<_> = page.items.iter().map(view::Group::new).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: page.next_cursor }))
}

/// Reads one group.
pub async fn find_group(call: Call) -> Result<Reply, Problem> {
    let group = call.app.service.group(call.scope()?, call.id::<GroupId>()?).await?;
    Ok(Reply::json(200, &view::Group::new(&group)))
}

/// Adds rows to a group, piece by piece as they come.
pub async fn add_rows(mut call: Call) -> Result<Reply, Problem> {
    let (sending, id) = (call.sending()?, call.id::<GroupId>()?);
    let from = call.query.parsed("from", "the number of a row, from 1", |text| text.parse().ok().filter(|n| *n > 0));
    call.query.close()?;
    let key = call.idempotency_text()?;
    let rows = call.rows()?;
    let format = Format::of(rows.content_type.as_deref())?;
    let mut upload = call.app.service.begin_upload(sending, id, from, key.as_deref()).await?;
    let defaults = Defaults::new(send::read_defaults(upload.defaults())?);
    upload.share_text(defaults.part.text.as_ref());
    let read = match format {
        Format::Json => add_json(&call, rows, &mut upload, &defaults).await,
        Format::Lines => add_lines(&call, rows, &mut upload, &defaults).await,
        Format::Csv(charset) => {
            let mut table = CsvRows::new(charset);
            add_table(&call, rows, &mut upload, &defaults, &mut table).await
        }
    };
    match read {
        Ok(()) => Ok(Reply::json(200, &view::Uploaded::new(id, &upload.finish().await?))),
        Err(problem) => {
            // What was read whole stays, so that the next call can go on behind it.
            let _ = upload.drain().await;
            Err(problem)
        }
    }
}

async fn add_lines(call: &Call, mut body: Rows, upload: &mut Upload, defaults: &Defaults) -> Result<(), Problem> {
    let (mut lines, mut rows) = (LineRows::default(), Vec::new());
    while let Some(bytes) = piece(call, &mut body).await? {
        lines.feed(&bytes, defaults, &mut rows);
        put(upload, &mut rows).await?;
    }
    lines.end(defaults, &mut rows);
    put(upload, &mut rows).await
}

async fn add_table(
    call: &Call,
    mut body: Rows,
    upload: &mut Upload,
    defaults: &Defaults,
    table: &mut CsvRows,
) -> Result<(), Problem> {
    let mut rows = Vec::new();
    while let Some(bytes) = piece(call, &mut body).await? {
        table.feed(&bytes, defaults, &mut rows)?;
        put(upload, &mut rows).await?;
    }
    table.end(defaults, &mut rows)?;
    put(upload, &mut rows).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Messages<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

async fn add_json(call: &Call, mut body: Rows, upload: &mut Upload, defaults: &Defaults) -> Result<(), Problem> {
    let most = call.app.body_bytes_max();
    let mut whole = Vec::new();
    while let Some(bytes) = piece(call, &mut body).await? {
        if whole.len() + bytes.len() > most {
            let detail = format!("must have at most {most} bytes as JSON; NDJSON and CSV have no limit");
            return Err(Problem::at(Code::BodyTooLarge, "body", detail).hanging_up());
        }
        whole.extend_from_slice(&bytes);
    }
    let text = send::utf8(&whole)?;
    let wrong = |detail: String| Problem::at(Code::BadRequest, "body", detail);
    let shape = "must be an object with a list \"messages\" and nothing else";
    // What serde derives would also take an array of the values in order.
    if matches!(text.trim_start().as_bytes().first(), Some(b'[')) {
        return Err(wrong(format!("{shape}, is an array")));
    }
    let read: Messages<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => wrong(shape.to_owned()),
        _ => wrong(format!("is not JSON: {error}")),
    })?;
    if read.messages.len() > ROWS_MAX {
        let detail = format!("must have at most {ROWS_MAX} rows as JSON; NDJSON and CSV take them all");
        return Err(Problem::at(Code::TooManyRows, "messages", detail));
    }
    for row in read.messages {
        let text = row.get();
        let Row { read, who } =
            if text.len() > rows::ROW_BYTES_MAX { rows::too_long() } else { send::read_row(text, &defaults.part) };
        upload.row(read, who).await?;
    }
    Ok(())
}

/// The next bytes of the body; none at its end.
async fn piece(call: &Call, body: &mut Rows) -> Result<Option<Bytes>, Problem> {
    loop {
        let next = tokio::time::timeout(call.app.body_timeout(), body.body.frame()).await;
        let late = |_| Problem::new(Code::RequestTimeout, "nothing more of the request body came").hanging_up();
        let Some(frame) = next.map_err(late)? else { return Ok(None) };
        let cut = |_| Problem::at(Code::BadRequest, "body", "ended before its length").hanging_up();
        if let Ok(bytes) = frame.map_err(cut)?.into_data()
            && !bytes.is_empty()
        {
            return Ok(Some(bytes));
        }
    }
}

async fn put(upload: &mut Upload, rows: &mut Vec<Row>) -> Result<(), Problem> {
    for Row { read, who } in rows.drain(..) {
        upload.row(read, who).await.map_err(|refusal| Problem::from(refusal).hanging_up())?;
    }
    Ok(())
}

/// Lists what is wrong with rows.
pub async fn list_group_errors(mut call: Call) -> Result<Reply, Problem> {
    let (scope, id) = (call.scope()?, call.id::<GroupId>()?);
    let limit = call.query.limit();
    call.query.close()?;
    let page = call.app.service.group_errors(scope, id, limit, call.query.text("cursor")).await?;
    let items: Vec<_> = page.items.iter().map(view::RowError::new).collect();
    Ok(Reply::json(200, &view::Page { items, next_cursor: page.next_cursor }))
}

/// Sends a group.
pub async fn send_group(call: Call) -> Result<Reply, Problem> {
    step(&call, GroupSend::Send).await
}

/// Sends a group at a time, or at another one than before.
pub async fn schedule_group(call: Call) -> Result<Reply, Problem> {
    let at = read_time(&call)?;
    step(&call, GroupSend::At(at)).await
}

/// Lets a group go that another key sent.
pub async fn approve_group(call: Call) -> Result<Reply, Problem> {
    step(&call, GroupSend::Approve).await
}

async fn step(call: &Call, how: GroupSend) -> Result<Reply, Problem> {
    let group = call.service().send_group(call.sending()?, call.id::<GroupId>()?, how).await?;
    Ok(Reply::json(202, &view::Group::new(&group)))
}

/// Cancels a group.
pub async fn cancel_group(call: Call) -> Result<Reply, Problem> {
    reach::check_group(&call, call.id()?).await?;
    let group = call.app.service.cancel_group(call.scope()?, call.id::<GroupId>()?).await?;
    Ok(Reply::json(200, &view::Group::new(&group)))
}

/// What did not arrive, as CSV, written while it is read.
pub async fn group_failures(call: Call) -> Result<Reply, Problem> {
    let full = call.sees_numbers()?;
    let reader = call.app.service.group_failures(call.scope()?, call.id::<GroupId>()?).await?;
    let head = Bytes::from_static(b"row,to,clientRef,code,name,reason\r\n");
    let lines = futures_util::stream::unfold((Some(head), Some(reader)), move |(head, reader)| async move {
        if let Some(head) = head {
            return Some((Ok(head), (None, reader)));
        }
        let mut reader = reader?;
        match reader.next().await {
            Ok(failures) if failures.is_empty() => None,
            Ok(failures) => {
                let text: String = failures.iter().map(|failure| line(failure, full)).collect();
                Some((Ok(text.into()), (None, Some(reader))))
            }
            // The answer has begun: a stream that breaks off tells that it is not whole.
            Err(refusal) => Some((Err(std::io::Error::other(refusal.detail)), (None, None))),
        }
    });
    Ok(Reply::stream("text/csv; charset=utf-8", lines))
}

fn line(failure: &bongsu_send::groups::Failure, full: bool) -> String {
    let row = failure.row.map(|row| row.to_string()).unwrap_or_default();
    let to = failure.to.as_ref().map(|to| to.shown(full)).unwrap_or_default();
    let client_ref = failure.client_ref.as_deref().unwrap_or_default();
    let cells = [&row, &to, client_ref, failure.code.as_str(), failure.code.name(), &failure.reason];
    let cells: Vec<String> = cells.iter().map(|cell| cell_of(cell)).collect();
    cells.join(",") + "\r\n"
}

/// A cell (RFC 4180, 2.5 to 2.7). One that a spreadsheet would take for a formula is written as text.
fn cell_of(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

impl view::Uploaded {
    fn new(id: GroupId, outcome: &UploadOutcome) -> Self {
        Self {
            id: view::Shown(id),
            counts: view::UploadCounts {
                rows: outcome.rows,
                accepted: outcome.accepted,
                rejected: outcome.rejected,
                known: outcome.known,
            },
            rows_received: outcome.received,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text() {
        assert_eq!(cell_of("a"), "a");
        assert_eq!(cell_of("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell_of("=1+1"), "'=1+1");
        assert_eq!(cell_of(""), "");
    }
}
