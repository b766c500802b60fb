//! The personal part of a message as it is sealed: recipient, sender, subject, and the text or its variables.

use bongsu_domain::PhoneNumber;

/// Version byte of the layout below.
const VERSION: u8 = 1;

/// What a message says and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Recipient.
    pub to: PhoneNumber,
    /// Sender number.
    pub from: PhoneNumber,
    /// Title of an LMS.
    pub subject: Option<String>,
    /// The text, or what fills the request's text.
    pub content: Content,
}

/// Where the text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The text itself, filled in.
    Text(String),
    /// Values for a text of the request.
    Variables(Vec<(String, String)>),
}

/// Lays a payload out: version, then each field with a length of two bytes.
pub fn encode(to: &str, from: &str, subject: Option<&str>, content: ContentRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(VERSION);
    put(&mut out, to);
    put(&mut out, from);
    out.push(u8::from(subject.is_some()));
    if let Some(subject) = subject {
        put(&mut out, subject);
    }
    match content {
        ContentRef::Text(text) => {
            out.push(0);
            put(&mut out, text);
        }
        ContentRef::Variables(variables) => {
            out.push(1);
            out.extend_from_slice(&(variables.len() as u16).to_le_bytes());
            for (key, value) in variables {
                put(&mut out, key);
                put(&mut out, value);
            }
        }
    }
    out
}

/// As [`Content`], borrowed.
pub enum ContentRef<'a> {
    /// The text itself.
    Text(&'a str),
    /// Values for a text of the request.
    Variables(&'a [(String, String)]),
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Reads a payload; `None` for anything that [`encode`] did not write.
pub fn decode(bytes: &[u8]) -> Option<Payload> {
    let mut cursor = Cursor { rest: bytes };
    if cursor.byte()? != VERSION {
        return None;
    }
    let to = PhoneNumber::from_national(cursor.text()?)?;
    let from = PhoneNumber::from_national(cursor.text()?)?;
    let subject = if cursor.byte()? == 1 { Some(cursor.text()?.to_string()) } else { None };
    let content = match cursor.byte()? {
        0 => Content::Text(cursor.text()?.to_string()),
        1 => {
            let count = cursor.length()?;
            let pair = |_| Some((cursor.text()?.to_string(), cursor.text()?.to_string()));
            Content::Variables((0..count).map(pair).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Payload { to, from, subject, content })
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn length(&mut self) -> Option<usize> {
        self.take(2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_as_it_went() {
        let variables = vec![("이름".to_string(), "홍길동".to_string()), ("n".to_string(), String::new())];
        let bytes = encode("01012345678", "0212345678", Some("제목"), ContentRef::Variables(&variables));
        let payload = decode(&bytes).unwrap();
        assert_eq!(payload.to.national(), "01012345678");
        assert_eq!(payload.from.national(), "0212345678");
        assert_eq!(payload.subject.as_deref(), Some("제목"));
        assert_eq!(payload.content, Content::Variables(variables));
        let text = decode(&encode("01012345678", "0212345678", None, ContentRef::Text("안녕"))).unwrap();
        assert_eq!(text.content, Content::Text("안녕".into()));
    }

    #[test]
    fn anything_cut_short_is_no_payload() {
        let bytes = encode("01012345678", "0212345678", None, ContentRef::Text("hello"));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
    }
}
