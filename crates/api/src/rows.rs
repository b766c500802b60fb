//! Rows of a group as they come in a body: JSON, NDJSON (one object a line) or CSV, piece by piece.

mod csv;
mod lines;
mod quotes;

use bongsu_domain::charset::Charset;
use bongsu_domain::{Code, variables};
use bongsu_send::Finding;
use bongsu_send::groups::Identity;

use crate::problem::Problem;
use crate::send::{self, Part, Row};

pub use csv::CsvRows;
pub use lines::LineRows;

/// The most bytes of one row.
pub const ROW_BYTES_MAX: usize = 64 * 1024;

/// A row of which nothing can be read.
fn unreadable(code: Code, detail: String) -> Row {
    Row { read: Err(vec![Finding::new("row", code, detail)]), who: Identity::default() }
}

/// A row of more bytes than one may have.
pub fn too_long() -> Row {
    unreadable(Code::FieldTooLong, format!("at most {ROW_BYTES_MAX} bytes"))
}

/// What a body says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object with a list of rows.
    Json,
    /// One row a line.
    Lines,
    /// A table whose first line names the columns.
    Csv(Charset),
}

impl Format {
    /// The format of a `Content-Type`.
    ///
    /// # Errors
    /// 415 for others, and for character sets that are not read.
    pub fn of(content_type: Option<&str>) -> Result<Self, Problem> {
        let refused =
            |detail: &str| Problem::at(Code::UnsupportedMediaType, "Content-Type", detail.to_owned()).hanging_up();
        let wanted = "must be application/json, application/x-ndjson or text/csv";
        let content_type = content_type.ok_or_else(|| refused(wanted))?;
        let mut parts = content_type.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| Charset::parse(value));
        match (essence.as_str(), charset) {
            (_, Some(None)) => Err(refused("charset must be utf-8 or cp949")),
            ("text/csv", charset) => Ok(Format::Csv(charset.flatten().unwrap_or_default())),
            (_, Some(Some(Charset::Cp949))) => Err(refused("JSON is UTF-8")),
            ("application/json", _) => Ok(Format::Json),
            ("application/x-ndjson" | "application/ndjson" | "application/jsonl", _) => Ok(Format::Lines),
            _ => Err(refused(wanted)),
        }
    }
}

/// What rows do not say, and the names of the variables in its text and its title.
pub struct Defaults {
    pub part: Part,
    names: [Vec<String>; 2],
}

impl Defaults {
    pub fn new(part: Part) -> Self {
        let names = [&part.text, &part.subject].map(|said| {
            let names = said.as_deref().map(variables::names).unwrap_or_default();
            names.into_iter().map(str::to_owned).collect()
        });
        Self { part, names }
    }

    /// Whether text or title of a row have a variable: the row's own, else those of the defaults.
    fn has(&self, row: &Part, name: &str) -> bool {
        [&row.text, &row.subject].into_iter().zip(&self.names).any(|(own, defaults)| match own {
            Some(said) => variables::names(said).contains(&name),
            None => defaults.iter().any(|known| known == name),
        })
    }
}

/// Reads one row of JSON.
pub fn json_row(text: &[u8], defaults: &Defaults) -> Row {
    match std::str::from_utf8(text) {
        Ok(text) => send::read_row(text, &defaults.part),
        Err(error) => unreadable(Code::BadRequest, format!("is not UTF-8 from byte {} on", error.valid_up_to())),
    }
}

#[cfg(test)]
mod tests;
