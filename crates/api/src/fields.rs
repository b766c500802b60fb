//! Reads the fields of a JSON object and collects everything that is wrong with them.

use bongsu_domain::Code;
use bongsu_send::Finding;

use crate::tree::Node;

/// Most members of `variables` and other free maps.
pub const MEMBERS_MAX: usize = 100;

/// Where an object stands: a prefix for its fields and the row it belongs to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'p> {
    /// For instance `defaults.`.
    pub prefix: &'p str,
    /// Row of a batch.
    pub index: Option<u32>,
}

impl Place<'_> {
    /// A finding about one field here.
    pub fn finding(&self, field: &str, code: Code, detail: impl Into<String>) -> Finding {
        Finding { index: self.index, ..Finding::new(format!("{}{field}", self.prefix), code, detail) }
    }
}

/// An object whose fields are read one by one. Null counts as absent. [`Fields::close`] reports the rest.
pub struct Fields<'n, 'a, 'f> {
    members: &'n [(std::borrow::Cow<'a, str>, Node<'a>)],
    known: Vec<&'static str>,
    place: Place<'n>,
    found: &'f mut Vec<Finding>,
}

impl<'n, 'a, 'f> Fields<'n, 'a, 'f> {
    /// Opens an object; anything else is a finding about the whole.
    pub fn open(node: &'n Node<'a>, place: Place<'n>, found: &'f mut Vec<Finding>) -> Option<Self> {
        match node {
            Node::Map(members) => Some(Self { members, known: Vec::with_capacity(16), place, found }),
            other => {
                let field = match (place.prefix, place.index) {
                    ("", Some(_)) => "messages",
                    ("", None) => "body",
                    (prefix, _) => prefix.trim_end_matches('.'),
                };
                let whole = Place { prefix: "", ..place };
                found.push(whole.finding(field, Code::BadRequest, format!("must be an object, is {}", other.kind())));
                None
            }
        }
    }

    /// Reports something about a field.
    pub fn wrong(&mut self, field: &str, code: Code, detail: impl Into<String>) {
        self.found.push(self.place.finding(field, code, detail));
    }

    /// The value of a field, unless it is absent or null.
    pub fn node(&mut self, name: &'static str) -> Option<&'n Node<'a>> {
        self.known.push(name);
        let (_, value) = self.members.iter().find(|(member, _)| member == name)?;
        (!matches!(value, Node::Null)).then_some(value)
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&'n Node<'a>) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(name)?;
        let value = read(node);
        if value.is_none() {
            self.wrong(name, Code::BadRequest, format!("must be {wanted}, is {}", node.kind()));
        }
        value
    }

    /// A string.
    pub fn text(&mut self, name: &'static str) -> Option<&'n str> {
        self.typed(name, "a string", |node| match node {
            Node::Text(text) => Some(text.as_ref()),
            _ => None,
        })
    }

    /// A string that must be there and not be empty; empty text is answered only after a finding.
    pub fn required_text(&mut self, name: &'static str) -> &'n str {
        let before = self.found.len();
        let text = self.text(name).unwrap_or_default();
        if text.is_empty() && self.found.len() == before {
            self.wrong(name, Code::BadRequest, "is required");
        }
        text
    }

    /// A required string in a form of its own; `wanted` completes "must be". None only after a finding.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.required_text(name);
        let value = parse(text);
        if value.is_none() && !text.is_empty() {
            self.wrong(name, Code::BadRequest, format!("must be {wanted}"));
        }
        value
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, Code::BadRequest, format!("must be one of {}", all.join(", ")));
        }
        found
    }

    /// True or false.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.typed(name, "a boolean", |node| match node {
            Node::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A whole number from `least` to `most`.
    pub fn whole(&mut self, name: &'static str, least: i64, most: i64) -> Option<i64> {
        let number = self.typed(name, "a whole number", |node| match node {
            Node::Whole(number) => Some(*number),
            _ => None,
        })?;
        if !(least..=most).contains(&number) {
            self.wrong(name, Code::BadRequest, format!("must be from {least} to {most}"));
            return None;
        }
        Some(number)
    }

    /// A whole number that must be there.
    pub fn required_whole(&mut self, name: &'static str, least: i64, most: i64) -> i64 {
        let before = self.found.len();
        let number = self.whole(name, least, most);
        if number.is_none() && self.found.len() == before {
            self.wrong(name, Code::BadRequest, "is required");
        }
        number.unwrap_or(least)
    }

    /// An array.
    pub fn list(&mut self, name: &'static str) -> Option<&'n [Node<'a>]> {
        self.typed(name, "an array", |node| match node {
            Node::List(items) => Some(items.as_slice()),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn texts(&mut self, name: &'static str) -> Option<Vec<&'n str>> {
        let items = self.list(name)?;
        let texts: Option<Vec<_>> = items
            .iter()
            .map(|item| match item {
                Node::Text(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        if texts.is_none() {
            self.wrong(name, Code::BadRequest, "must hold strings only");
        }
        texts
    }

    /// An object of free names: each member once, at most [`MEMBERS_MAX`]; `read` takes the values it accepts.
    pub fn members<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl Fn(&'n Node<'a>) -> Option<T>,
    ) -> Option<Vec<(&'n str, T)>> {
        let map = self.typed(name, "an object", |node| match node {
            Node::Map(members) => Some(members),
            _ => None,
        })?;
        if map.len() > MEMBERS_MAX {
            self.wrong(name, Code::BadRequest, format!("must have at most {MEMBERS_MAX} members"));
            return None;
        }
        let mut values: Vec<(&str, T)> = Vec::with_capacity(map.len());
        for (member, value) in map {
            let field = format!("{name}.{member}");
            if values.iter().any(|(earlier, _)| earlier == member) {
                self.wrong(&field, Code::BadRequest, "is given twice");
            } else if let Some(value) = read(value) {
                values.push((member, value));
            } else {
                self.wrong(&field, Code::BadRequest, format!("must be {wanted}, is {}", value.kind()));
            }
        }
        Some(values)
    }

    /// A field that a later version will know: refused unless it says nothing.
    pub fn later(&mut self, name: &'static str) {
        if let Some(value) = self.node(name)
            && *value != Node::Flag(false)
        {
            self.wrong(name, Code::FeatureNotEnabled, "is not available yet");
        }
    }

    /// Reports what nobody asked for, and what was given twice.
    pub fn close(self) {
        let mut reported = 0;
        for (index, (name, _)) in self.members.iter().enumerate() {
            let detail = if !self.known.contains(&name.as_ref()) {
                "is not a known field"
            } else if self.members[..index].iter().any(|(earlier, _)| earlier == name) {
                "is given twice"
            } else {
                continue;
            };
            self.found.push(self.place.finding(name, Code::BadRequest, detail));
            reported += 1;
            if reported == STRANGERS_MAX {
                return;
            }
        }
    }
}

/// Unknown fields that are reported per object: a hostile body must not make an answer of many megabytes.
const STRANGERS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::parse;

    #[test]
    fn collects_everything_at_once() {
        let node = parse(r#"{"a":1,"b":"x","b":"y","c":null,"d":{"k":1,"k":2,"l":true},"n":12,"z":0}"#).expect("JSON");
        let mut found = Vec::new();
        let mut fields = Fields::open(&node, Place { prefix: "p.", index: Some(3) }, &mut found).expect("an object");
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.text("b"), Some("x"));
        assert_eq!(fields.required_text("c"), "");
        assert!(fields.members("d", "a number", |node| matches!(node, Node::Whole(_)).then_some(())).is_some());
        assert_eq!(fields.whole("n", 1, 9), None);
        fields.close();
        let seen: Vec<_> = found.iter().map(|f| format!("{} {} {:?}", f.field, f.detail, f.index)).collect();
        assert_eq!(
            seen,
            [
                "p.a must be a string, is a number Some(3)",
                "p.c is required Some(3)",
                "p.d.k is given twice Some(3)",
                "p.d.l must be a number, is a boolean Some(3)",
                "p.n must be from 1 to 9 Some(3)",
                "p.b is given twice Some(3)",
                "p.z is not a known field Some(3)",
            ]
        );
    }
}
