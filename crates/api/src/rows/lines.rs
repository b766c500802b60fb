//! NDJSON: one row a line, lines in pieces.

use super::{Defaults, ROW_BYTES_MAX, json_row, too_long};
use crate::send::Row;

/// Cuts pieces of a body into lines.
#[derive(Default)]
pub struct LineRows {
    /// The beginning of a line whose end has not come.
    open: Vec<u8>,
    is_too_long: bool,
}

impl LineRows {
    /// Hands over the rows that end in this piece.
    pub fn feed(&mut self, bytes: &[u8], defaults: &Defaults, rows: &mut Vec<Row>) {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            if self.open.is_empty() && !self.is_too_long {
                Self::line(line, defaults, rows);
            } else {
                self.add(line);
                self.close(defaults, rows);
            }
        }
        self.add(last);
    }

    /// The body has ended.
    pub fn end(&mut self, defaults: &Defaults, rows: &mut Vec<Row>) {
        self.close(defaults, rows);
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.open.len() + bytes.len() > ROW_BYTES_MAX {
            self.is_too_long = true;
            self.open.clear();
        } else {
            self.open.extend_from_slice(bytes);
        }
    }

    fn close(&mut self, defaults: &Defaults, rows: &mut Vec<Row>) {
        if std::mem::take(&mut self.is_too_long) {
            rows.push(too_long());
        } else {
            Self::line(&self.open, defaults, rows);
        }
        self.open.clear();
    }

    fn line(line: &[u8], defaults: &Defaults, rows: &mut Vec<Row>) {
        let line = line.trim_ascii();
        if line.len() > ROW_BYTES_MAX {
            rows.push(too_long());
        } else if !line.is_empty() {
            rows.push(json_row(line, defaults));
        }
    }
}
