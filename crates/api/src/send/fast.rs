//! The fast reading: one typed pass that borrows from the body and gives up at the first thing it does not like.
//!
//! This is the hot path: 20,000 rows a second and more. It says no more than "no"; the thorough reading then says why.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{ChannelChoice, Lane, Timestamp};
use bongsu_send::Draft;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::part::{self, Part};
use super::{BATCH_LANE, MAX_COST, ROWS_MAX, SINGLE_LANE, duration};
use crate::fields::MEMBERS_MAX;
use crate::tree::Text;

/// One message, if all of it is well formed.
pub fn message(body: &str) -> Option<Draft> {
    serde_json::from_str::<Object<Row<'_>>>(body).ok()?.0.part()?.over(&Part::default(), SINGLE_LANE).ok()
}

/// The fields of a row, if all of it is well formed.
pub fn part(body: &str) -> Option<Part> {
    serde_json::from_str::<Object<Row<'_>>>(body).ok()?.0.part()
}

/// The rows, and whether the mode is all or nothing, if all of the batch is well formed.
pub fn batch(body: &str) -> Option<(Vec<Draft>, bool)> {
    let Object(batch) = serde_json::from_str::<Object<Batch<'_>>>(body).ok()?;
    let all_or_nothing = match batch.mode.as_ref().map(|mode| mode.0.as_ref()) {
        None | Some("partial") => false,
        Some("allOrNothing") => true,
        Some(_) => return None,
    };
    let defaults = match batch.defaults {
        Some(Object(row)) => row.part()?,
        None => Part::default(),
    };
    if batch.messages.0.is_empty() {
        return None;
    }
    let drafts = batch.messages.0.into_iter().map(|Object(row)| row.part()?.over(&defaults, BATCH_LANE).ok());
    Some((drafts.collect::<Option<_>>()?, all_or_nothing))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow, default)]
    defaults: Option<Object<Row<'a>>>,
    #[serde(borrow)]
    messages: Rows<'a>,
    #[serde(borrow, default)]
    mode: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a message")]
struct Row<'a> {
    #[serde(borrow, default)]
    channel: Option<Text<'a>>,
    #[serde(borrow, default)]
    lane: Option<Text<'a>>,
    #[serde(borrow, default)]
    to: Option<Text<'a>>,
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    variables: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    client_ref: Option<Text<'a>>,
    #[serde(borrow, default)]
    bill_code: Option<Text<'a>>,
    #[serde(borrow, default)]
    labels: Option<Pairs<'a>>,
    #[serde(default)]
    expires_in: Option<Wait>,
    #[serde(borrow, default)]
    send_at: Option<Text<'a>>,
    #[serde(default)]
    ad: Option<bool>,
    #[serde(default)]
    max_cost: Option<Cost>,
}

impl Row<'_> {
    fn part(self) -> Option<Part> {
        let owned = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned());
        let shared = |text: Option<Text<'_>>| text.map(|text| Arc::from(text.0.as_ref()));
        let pairs = |pairs: Option<Pairs<'_>>| pairs.map(Pairs::into_owned);
        Some(Part {
            channel: self.channel.map(|word| ChannelChoice::parse(&word.0).ok_or(())).transpose().ok()?,
            lane: self.lane.map(|word| Lane::parse(&word.0).ok_or(())).transpose().ok()?,
            to: owned(self.to),
            from: owned(self.from),
            text: shared(self.text),
            subject: shared(self.subject),
            variables: pairs(self.variables),
            client_ref: owned(self.client_ref),
            bill_code: owned(self.bill_code),
            labels: pairs(self.labels),
            expires_in: self.expires_in.map(|wait| wait.0),
            send_at: self.send_at.map(|time| Timestamp::parse_rfc3339(&time.0).ok_or(())).transpose().ok()?,
            ad: self.ad,
            max_cost: self.max_cost.map(|cost| cost.0),
        })
    }
}

/// A structure written as an object. What serde derives would also take an array of the values in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reads<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Reads(PhantomData))
    }
}

/// At most [`ROWS_MAX`] rows.
struct Rows<'a>(Vec<Object<Row<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Rows<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of messages")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Rows<'de>, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = items.next_element()? {
                    if rows.len() == ROWS_MAX {
                        return Err(A::Error::custom("too many messages"));
                    }
                    rows.push(row);
                }
                Ok(Rows(rows))
            }
        }
        deserializer.deserialize_seq(Reads)
    }
}

/// A free map of strings: each name once, at most [`MEMBERS_MAX`].
struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Pairs<'_> {
    fn into_owned(self) -> part::Pairs {
        let owned = |text: Cow<'_, str>| text.into_owned();
        self.0.into_iter().map(|(name, value)| (owned(name.0), owned(value.0))).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs: Vec<(Text<'de>, Text<'de>)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<Text<'de>, Text<'de>>()? {
                    if pairs.len() == MEMBERS_MAX || pairs.iter().any(|(earlier, _)| earlier.0 == name.0) {
                        return Err(A::Error::custom("too many members, or one twice"));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

/// `expiresIn`.
struct Wait(Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Wait;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration")
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Wait, E> {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                duration::from_seconds(seconds).map(Wait).ok_or_else(|| E::custom("out of range"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Wait, E> {
                duration::parse(text).map(Wait).ok_or_else(|| E::custom("not a duration"))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// `maxCost`: a whole number within its bounds.
#[derive(Deserialize)]
#[serde(try_from = "i64")]
struct Cost(i64);

impl TryFrom<i64> for Cost {
    type Error = &'static str;

    fn try_from(cost: i64) -> Result<Self, Self::Error> {
        if (0..=MAX_COST).contains(&cost) { Ok(Self(cost)) } else { Err("out of range") }
    }
}
