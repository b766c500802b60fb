//! Bodies of the send routes: a fast typed reading, and a thorough one that finds everything wrong when the fast one fails.

mod duration;
mod fast;
mod part;
mod thorough;

use bongsu_domain::{Code, Lane};
use bongsu_send::groups::Identity;
use bongsu_send::{Batch, Draft, Finding};

pub use part::Part;
pub use thorough::{json, send_at};

use thorough::RowRead;

use crate::problem::Problem;

/// Most messages of one batch (LIM-01).
pub const ROWS_MAX: usize = 10_000;

/// The highest `maxCost`, in the smallest part of a unit.
pub const MAX_COST: i64 = 1_000_000_000_000;

/// The lane of a single message that names none.
const SINGLE_LANE: Lane = Lane::Realtime;
/// The lane of a row that names none, and whose batch names none.
pub const BATCH_LANE: Lane = Lane::Bulk;

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// 400 when it is no JSON, 422 with every field that cannot be accepted.
pub fn read_message(body: &[u8]) -> Result<Draft, Problem> {
    let text = utf8(body)?;
    match fast::message(text) {
        Some(draft) => Ok(draft),
        None => thorough::message(text),
    }
}

/// Reads the body of `POST /v1/messages/batch`. Rows that cannot be read are in the batch with their findings.
///
/// # Errors
/// 400 when it is no JSON, 413 above [`ROWS_MAX`] rows, 422 when something outside the rows is wrong.
pub fn read_batch(body: &[u8], errors_only: bool) -> Result<Batch, Problem> {
    let text = utf8(body)?;
    let (rows, all_or_nothing) = match fast::batch(text) {
        Some((drafts, all_or_nothing)) => (drafts.into_iter().map(Ok).collect(), all_or_nothing),
        None => thorough::batch(text)?,
    };
    Ok(Batch { rows, all_or_nothing, errors_only })
}

/// Reads what rows of a group do not say.
///
/// # Errors
/// 400 when it is no JSON, 422 with every field that cannot be accepted.
pub fn read_defaults(text: &str) -> Result<Part, Problem> {
    match fast::part(text) {
        Some(part) => Ok(part),
        None => thorough::defaults(text),
    }
}

/// Reads one row of a group.
pub fn read_row(text: &str, defaults: &Part) -> Row {
    let text = text.trim_start_matches('\u{feff}');
    match fast::part(text).and_then(|part| part.over(defaults, BATCH_LANE).ok()) {
        Some(draft) => Row { read: Ok(draft), who: Identity::default() },
        None => thorough::group_row(text, defaults),
    }
}

/// A row as it was read, and who a refused one is for.
pub struct Row {
    pub read: Result<Draft, Vec<Finding>>,
    pub who: Identity,
}

/// Reads the body of a dry run: a batch, or one message as a batch of one row.
///
/// # Errors
/// As for both; a message whose fields cannot be read is a row with findings.
pub fn read_either(body: &[u8]) -> Result<Vec<RowRead>, Problem> {
    #[derive(serde::Deserialize)]
    struct Either {
        #[serde(default)]
        messages: Option<serde::de::IgnoredAny>,
    }
    let is_batch = serde_json::from_slice::<Either>(body).is_ok_and(|either| either.messages.is_some());
    if is_batch {
        return read_batch(body, false).map(|batch| batch.rows);
    }
    // What is no object at all is nothing that could be tried out.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    match read_message(body) {
        Ok(draft) => Ok(vec![Ok(draft)]),
        Err(problem) if is_object && problem.status == http::StatusCode::UNPROCESSABLE_ENTITY => {
            Ok(vec![Err(problem.errors)])
        }
        Err(problem) => Err(problem),
    }
}

/// The body as text.
///
/// # Errors
/// 400 with the first byte that is not UTF-8.
pub fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        Problem::at(Code::BadRequest, "body", format!("is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

#[cfg(test)]
mod tests;
