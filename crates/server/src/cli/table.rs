//! A table of rows on the disk: how many there are, and where each begins. It is cut into records as the server cuts it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use csv_core::{ReadRecordResult, Reader};

use crate::failure::Failure;

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// A table.
pub(super) struct Table {
    path: PathBuf,
    /// Its first record, with its line break.
    pub(super) head: Bytes,
    /// Records after the first.
    pub(super) rows: u64,
}

impl Table {
    /// Looks through a table.
    ///
    /// # Errors
    /// It cannot be read, or is empty.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::fault(format!("cannot read {}: {error}", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        let (records, _) = records(&mut file, u64::MAX).map_err(failed)?;
        if records == 0 {
            let sentence = format!("{} is empty; its first line names the columns", path.display());
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        file.rewind().map_err(failed)?;
        let (_, end) = self::records(&mut file, 1).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut head = vec![0; usize::try_from(end).unwrap_or_default()];
        file.read_exact(&mut head).map_err(failed)?;
        if !head.ends_with(b"\n") {
            head.push(b'\n');
        }
        Ok(Self { path: path.to_owned(), head: head.into(), rows: records - 1 })
    }

    /// Where the row after so many begins.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(super) fn offset_after(&self, rows: u64) -> Result<u64, Failure> {
        let failed = |error: std::io::Error| Failure::fault(format!("cannot read {}: {error}", self.path.display()));
        records(&mut self.reopen()?, rows + 1).map(|(_, end)| end).map_err(failed)
    }

    /// The file once more.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn reopen(&self) -> Result<File, Failure> {
        let mut file = File::open(&self.path)
            .map_err(|error| Failure::fault(format!("cannot read {}: {error}", self.path.display())))?;
        let _ = file.seek(SeekFrom::Start(0));
        Ok(file)
    }
}

/// Reads to the end of so many records, or to the end; answers how many there were and where the last one ends.
fn records(file: &mut File, most: u64) -> std::io::Result<(u64, u64)> {
    let mut reader = Reader::new();
    let (mut block, mut fields, mut ends) = (vec![0; BLOCK], vec![0; 64 * 1024], vec![0; 1024]);
    let (mut count, mut at) = (0, 0_u64);
    loop {
        let length = file.read(&mut block)?;
        let mut bytes = &block[..length];
        loop {
            // What the fields say is of no interest here.
            let (result, read, ..) = reader.read_record(bytes, &mut fields, &mut ends);
            bytes = &bytes[read..];
            at += read as u64;
            match result {
                ReadRecordResult::Record => {
                    count += 1;
                    if count == most {
                        return Ok((count, at));
                    }
                }
                ReadRecordResult::End => return Ok((count, at)),
                ReadRecordResult::InputEmpty => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
            if bytes.is_empty() && length > 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_and_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t.csv");
        let text = "to,memo\r\n1,\"a\nb\"\r\n\r\n2,5\" pipe\r\n3,\"x \"\"y\"\"\"\r\n4,z";
        std::fs::write(&path, text).expect("room");
        let table = Table::open(&path).expect("a table");
        assert_eq!((table.rows, &table.head[..]), (4, &b"to,memo\r\n"[..]));
        let rest = |rows| {
            let from = usize::try_from(table.offset_after(rows).expect("there")).expect("small");
            text[from..].trim_start().to_owned()
        };
        assert!(rest(0).starts_with("1,\"a"));
        assert!(rest(1).starts_with("2,5\" pipe"));
        assert!(rest(2).starts_with("3,\"x"));
        assert_eq!(rest(3), "4,z");
        assert_eq!(rest(4), "");
        std::fs::write(&path, "to").expect("room");
        let table = Table::open(&path).expect("a table");
        assert_eq!((table.rows, &table.head[..]), (0, &b"to\n"[..]));
        std::fs::write(&path, "\n\n").expect("room");
        assert!(Table::open(&path).is_err());
    }
}
