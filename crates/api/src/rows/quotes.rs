//! Quotes of a table: where one is not closed, or not where its field ends, a record is not what its writer meant.

/// Lines of a quoted field: more are rows that an open quote swallowed rather than one text.
const LINES_MAX: u32 = 100;

/// What is wrong with the quotes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The table ends within a quoted field.
    Open,
    /// Something follows the quote that closes a field (RFC 4180, 2.5 to 2.7).
    After,
    /// A quoted field has more than [`LINES_MAX`] lines.
    Lines,
}

impl Fault {
    /// A sentence for people.
    pub fn told(self) -> String {
        match self {
            Fault::Open => "a quoted field is not closed; it has all that follows in it".to_owned(),
            Fault::After => "text follows the quote that closes a field; write a quote within a field twice".to_owned(),
            Fault::Lines => format!("a quoted field has more than {LINES_MAX} lines; is its quote not closed?"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Begin,
    Plain,
    Quoted,
    /// Behind a quote within a quoted field: it ends there, or has a quote.
    Quote,
}

/// Follows the quotes of records, beside the reader that cuts them.
#[derive(Debug, Default)]
pub struct Quotes {
    place: Place,
    lines: u32,
    fault: Option<Fault>,
}

impl Quotes {
    /// The next bytes of a record.
    pub fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.place = match (self.place, *byte) {
                (Place::Begin, b'"') => {
                    self.lines = 1;
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Quoted, byte) => {
                    self.lines += u32::from(byte == b'\n');
                    if self.lines > LINES_MAX {
                        self.fault.get_or_insert(Fault::Lines);
                    }
                    Place::Quoted
                }
                (Place::Quote, b'"') => Place::Quoted,
                (_, b',' | b'\n' | b'\r') => Place::Begin,
                (Place::Quote, _) => {
                    self.fault.get_or_insert(Fault::After);
                    Place::Plain
                }
                (Place::Begin | Place::Plain, _) => Place::Plain,
            };
        }
    }

    /// The record has ended: what is wrong with it.
    pub fn end_of_record(&mut self) -> Option<Fault> {
        let ended = std::mem::take(self);
        // A record ends within quotes only where the table does.
        ended.fault.or((ended.place == Place::Quoted).then_some(Fault::Open))
    }
}
