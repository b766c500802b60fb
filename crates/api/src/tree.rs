//! A JSON document as it was written: duplicate names kept, so that they can be reported.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Most values of one document. A value needs some 40 bytes of memory, so a hostile body needs at most 40 MB.
pub const VALUES_MAX: u32 = 1_000_000;

/// One JSON value.
#[derive(Debug, PartialEq)]
pub enum Node<'a> {
    Null,
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Why a document could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// Not JSON; what was expected and where.
    Syntax(String),
    /// More than [`VALUES_MAX`] values.
    TooManyValues,
}

/// Reads one document.
pub fn parse(text: &str) -> Result<Node<'_>, Unreadable> {
    let budget = Cell::new(VALUES_MAX);
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = Seed(&budget).deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
    node.map_err(
        |error| {
            if budget.get() == 0 { Unreadable::TooManyValues } else { Unreadable::Syntax(error.to_string()) }
        },
    )
}

impl Node<'_> {
    /// The JSON name of the kind, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Flag(_) => "a boolean",
            Node::Whole(_) | Node::Real(_) => "a number",
            Node::Text(_) => "a string",
            Node::List(_) => "an array",
            Node::Map(_) => "an object",
        }
    }

    /// The same as a `serde_json` value; of duplicate names the last one stays.
    pub fn to_value(&self) -> serde_json::Value {
        match self {
            Node::Null => serde_json::Value::Null,
            Node::Flag(flag) => (*flag).into(),
            Node::Whole(number) => (*number).into(),
            Node::Real(number) => (*number).into(),
            Node::Text(text) => text.as_ref().into(),
            Node::List(items) => items.iter().map(Node::to_value).collect(),
            Node::Map(members) => members.iter().map(|(name, value)| (name.to_string(), value.to_value())).collect(),
        }
    }
}

struct Seed<'b>(&'b Cell<u32>);

impl Seed<'_> {
    fn spend<E: Error>(&self) -> Result<(), E> {
        self.0.set(self.0.get().saturating_sub(1));
        if self.0.get() == 0 { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Flag(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(value).map_or(Node::Real(value as f64), Node::Whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Real(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Seed(self.0))? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            map.push((name.0, members.next_value_seed(Seed(self.0))?));
        }
        Ok(Node::Map(map))
    }
}

/// A string that borrows from the document when it holds no escapes. (`Option<Cow<str>>` of serde never borrows.)
#[derive(Debug, Clone, PartialEq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(value)))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(Reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_duplicates_and_borrows_plain_strings() {
        let node = parse(r#"{"a":1,"a":"x","b":[null,true,1.5,"\n"]}"#).expect("JSON");
        let Node::Map(members) = &node else { panic!("a map, not {node:?}") };
        assert_eq!(members.len(), 3);
        assert!(matches!(&members[1].1, Node::Text(Cow::Borrowed("x"))));
        assert_eq!(
            members[2].1,
            Node::List(vec![Node::Null, Node::Flag(true), Node::Real(1.5), Node::Text("\n".into())])
        );
    }

    #[test]
    fn says_where_it_stopped() {
        let Err(Unreadable::Syntax(what)) = parse("{\"a\":\n ?}") else { panic!("not JSON") };
        assert!(what.contains("line 2 column 2"), "{what}");
    }

    #[test]
    fn stops_at_the_most_values() {
        let text = format!("[{}1]", "1,".repeat(VALUES_MAX as usize));
        assert!(matches!(parse(&text), Err(Unreadable::TooManyValues)));
    }

    #[test]
    fn stops_at_deep_nesting() {
        assert!(matches!(parse(&"[".repeat(1000)), Err(Unreadable::Syntax(_))));
    }
}
