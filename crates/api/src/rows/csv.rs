//! CSV (RFC 4180): the first record names the columns, each further one is a row. Lines may end in LF or CRLF.

use std::sync::Arc;

use bongsu_domain::Code;
use bongsu_domain::charset::{Charset, Decoder};
use bongsu_send::groups::Identity;
use csv_core::ReadRecordResult;

use super::quotes::{Fault, Quotes};
use super::{Defaults, ROW_BYTES_MAX, too_long, unreadable};
use crate::problem::Problem;
use crate::send::{BATCH_LANE, Part, Row};

/// Columns of a table.
const COLUMNS_MAX: usize = 200;

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    To,
    From,
    Text,
    Subject,
    ClientRef,
    BillCode,
    Variable(String),
    /// A column without a name.
    Nothing,
}

/// Cuts pieces of a table into rows.
pub struct CsvRows {
    decoder: Decoder,
    text: String,
    reader: csv_core::Reader,
    /// The record that is being read: its fields, one after the other, and where each ends.
    fields: Vec<u8>,
    length: usize,
    ends: Vec<usize>,
    count: usize,
    is_too_long: bool,
    quotes: Quotes,
    columns: Vec<Column>,
}

impl CsvRows {
    pub fn new(charset: Charset) -> Self {
        Self {
            decoder: Decoder::new(charset),
            text: String::new(),
            reader: csv_core::Reader::new(),
            fields: vec![0; ROW_BYTES_MAX],
            length: 0,
            ends: vec![0; COLUMNS_MAX],
            count: 0,
            is_too_long: false,
            quotes: Quotes::default(),
            columns: Vec::new(),
        }
    }

    /// Hands over the rows that end in this piece.
    ///
    /// # Errors
    /// 422 when the first record names columns that cannot be.
    pub fn feed(&mut self, bytes: &[u8], defaults: &Defaults, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        self.decoder.decode(bytes, false, &mut text);
        let done = self.records(text.as_bytes(), defaults, rows);
        self.text = text;
        done
    }

    /// The body has ended.
    ///
    /// # Errors
    /// As for [`CsvRows::feed`]; and when there was no first record.
    pub fn end(&mut self, defaults: &Defaults, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let mut text = String::new();
        self.decoder.decode(&[], true, &mut text);
        self.records(text.as_bytes(), defaults, rows)?;
        // An empty piece is the end: it closes a last line without a line break.
        self.read_on(&[], defaults, rows)?;
        if self.columns.is_empty() {
            return Err(header("the table is empty; its first line names the columns".to_owned()));
        }
        Ok(())
    }

    fn records(&mut self, mut bytes: &[u8], defaults: &Defaults, rows: &mut Vec<Row>) -> Result<(), Problem> {
        while !bytes.is_empty() {
            let read = self.read_on(bytes, defaults, rows)?;
            bytes = &bytes[read..];
        }
        Ok(())
    }

    /// Reads to the end of a record or of the bytes; answers how many bytes.
    fn read_on(&mut self, bytes: &[u8], defaults: &Defaults, rows: &mut Vec<Row>) -> Result<usize, Problem> {
        let (result, read, wrote, ends) =
            self.reader.read_record(bytes, &mut self.fields[self.length..], &mut self.ends[self.count..]);
        self.length += wrote;
        self.count += ends;
        self.quotes.see(&bytes[..read]);
        match result {
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                // The rest of it is read and dropped.
                self.is_too_long = true;
                (self.length, self.count) = (0, 0);
            }
            ReadRecordResult::Record => {
                let fault = self.quotes.end_of_record();
                let done = self.record(fault, defaults, rows);
                (self.length, self.count, self.is_too_long) = (0, 0, false);
                done?;
            }
        }
        Ok(read)
    }

    fn record(&mut self, fault: Option<Fault>, defaults: &Defaults, rows: &mut Vec<Row>) -> Result<(), Problem> {
        if let Some(fault) = fault {
            if self.columns.is_empty() {
                return Err(header(fault.told()));
            }
            // Whose row it is cannot be told: what stands in it may be of the rows behind it.
            rows.push(unreadable(Code::BadRequest, fault.told()));
            return Ok(());
        }
        let fields = std::str::from_utf8(&self.fields[..self.length]).unwrap_or_default();
        let mut from = 0;
        let cells: Vec<&str> = if self.is_too_long {
            Vec::new()
        } else {
            self.ends[..self.count].iter().map(|end| &fields[std::mem::replace(&mut from, *end)..*end]).collect()
        };
        if self.columns.is_empty() {
            if self.is_too_long {
                let what = format!("at most {COLUMNS_MAX} columns and {ROW_BYTES_MAX} bytes");
                return Err(header(what));
            }
            self.columns = columns(&cells)?;
        } else if self.is_too_long {
            rows.push(too_long());
        } else {
            rows.push(self.row(&cells, defaults));
        }
        Ok(())
    }

    fn row(&self, cells: &[&str], defaults: &Defaults) -> Row {
        let mut part = Part::default();
        let given = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
        let mut values: Vec<(&str, &str)> = Vec::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            match column {
                // A number may have lost its place to a space, or been written as text ('010…).
                Column::To => part.to = Some(cell.trim().trim_start_matches('\'').to_owned()),
                Column::From => part.from = given(cell.trim().trim_start_matches('\'')),
                Column::Text => part.text = given(cell).map(Arc::from),
                Column::Subject => part.subject = given(cell).map(Arc::from),
                Column::ClientRef => part.client_ref = given(cell.trim()),
                Column::BillCode => part.bill_code = given(cell.trim()),
                Column::Variable(name) => values.push((name, cell)),
                Column::Nothing => {}
            }
        }
        let who = Identity { to: part.to.clone(), client_ref: part.client_ref.clone() };
        if cells.len() != self.columns.len() {
            let detail = format!("has {} fields, the first line has {}", cells.len(), self.columns.len());
            return Row { who, ..unreadable(Code::BadRequest, detail) };
        }
        // Columns that neither text nor title use are the caller's own matter.
        values.retain(|(name, _)| defaults.has(&part, name));
        part.variables = Some(values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let read = part.over(&defaults.part, BATCH_LANE).map_err(|missing| {
            let finding = |name| bongsu_send::Finding::new(name, Code::BadRequest, "is required");
            missing.into_iter().map(finding).collect()
        });
        Row { read, who }
    }
}

fn columns(cells: &[&str]) -> Result<Vec<Column>, Problem> {
    let mut columns: Vec<Column> = Vec::with_capacity(cells.len());
    for cell in cells {
        let name = cell.trim();
        let bare = name.strip_prefix("#{").and_then(|rest| rest.strip_suffix('}')).map_or(name, str::trim);
        let column = match name.to_ascii_lowercase().as_str() {
            "" => Column::Nothing,
            "to" => Column::To,
            "from" => Column::From,
            "text" => Column::Text,
            "subject" => Column::Subject,
            "clientref" => Column::ClientRef,
            "billcode" => Column::BillCode,
            _ => Column::Variable(bare.to_owned()),
        };
        if column != Column::Nothing && columns.contains(&column) {
            return Err(header(format!("the column {name} is there twice")));
        }
        columns.push(column);
    }
    if !columns.contains(&Column::To) {
        return Err(header("the first line names no column \"to\"".to_owned()));
    }
    Ok(columns)
}

/// Nothing of a table can be read whose first line is wrong.
fn header(what: String) -> Problem {
    Problem::fields(vec![bongsu_send::Finding::new("header", Code::BadRequest, what)]).hanging_up()
}
