//! The thorough reading: every finding of a body at once, by field and row.

use std::fmt;
use std::sync::Arc;

use bongsu_domain::{ChannelChoice, Code, Lane, Timestamp, channel::is_known_channel_name};
use bongsu_send::{Draft, Finding};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use bongsu_send::groups::Identity;

use super::part::Part;
use super::{BATCH_LANE, MAX_COST, ROWS_MAX, Row, SINGLE_LANE, duration};
use crate::fields::{Fields, Place};
use crate::problem::Problem;
use crate::tree::{self, Node, Unreadable};

/// Fields of send bodies that later versions will know. To ignore them would send what was not meant.
const LATER: [&str; 5] = ["dedupeWindow", "template", "attachments", "webhook", "allowDuplicates"];

/// A row: the message, or what is wrong with it.
pub type RowRead = Result<Draft, Vec<Finding>>;

/// One message.
///
/// # Errors
/// 400 when it is no JSON, 422 with all findings.
pub fn message(body: &str) -> Result<Draft, Problem> {
    let node = json(body)?;
    row(&node, Place::default(), &Part::default(), SINGLE_LANE).map_err(Problem::fields)
}

/// What rows of a group do not say.
///
/// # Errors
/// 400 when it is no JSON, 422 with all findings.
pub fn defaults(body: &str) -> Result<Part, Problem> {
    let node = json(body)?;
    let mut found = Vec::new();
    let part = part(&node, Place { prefix: "defaults.", index: None }, &mut found);
    if found.is_empty() { Ok(part) } else { Err(Problem::fields(found)) }
}

/// One row of a group.
pub fn group_row(body: &str, defaults: &Part) -> Row {
    let node = match json(body) {
        Ok(node) => node,
        Err(problem) => {
            let detail = problem.errors.first().map_or(problem.detail.as_str(), |finding| &finding.detail);
            let finding = Finding::new("row", Code::BadRequest, detail);
            return Row { read: Err(vec![finding]), who: Identity::default() };
        }
    };
    let text = |name: &str| match &node {
        Node::Map(members) => members.iter().find_map(|(member, value)| match value {
            Node::Text(text) if member == name => Some(text.to_string()),
            _ => None,
        }),
        _ => None,
    };
    let who = Identity { to: text("to"), client_ref: text("clientRef") };
    Row { read: row(&node, Place::default(), defaults, BATCH_LANE), who }
}

/// The rows of a batch, and whether its mode is all or nothing.
///
/// # Errors
/// 400 when it is no JSON, 413 above [`ROWS_MAX`] rows, 422 with all findings when something outside the rows is wrong.
pub fn batch(body: &str) -> Result<(Vec<RowRead>, bool), Problem> {
    let rows = serde_json::from_str::<Rows>(body).map_or(0, |rows| rows.messages.0);
    if rows > ROWS_MAX {
        let detail = format!("must have at most {ROWS_MAX} rows, has {rows}");
        return Err(Problem::at(Code::TooManyRows, "messages", detail));
    }
    let node = json(body)?;
    let mut found = Vec::new();
    let Some(mut fields) = Fields::open(&node, Place::default(), &mut found) else {
        return Err(Problem::fields(found));
    };
    let defaults = fields.node("defaults");
    let messages = fields.list("messages");
    if messages.is_some_and(<[_]>::is_empty) {
        fields.wrong("messages", Code::BadRequest, "must have at least one row");
    }
    let all_or_nothing = match fields.text("mode") {
        None | Some("partial") => false,
        Some("allOrNothing") => true,
        Some(_) => {
            fields.wrong("mode", Code::BadRequest, "must be partial or allOrNothing");
            false
        }
    };
    fields.later("allowDuplicates");
    let named = fields.node("messages").is_some();
    if !named {
        fields.wrong("messages", Code::BadRequest, "is required");
    }
    fields.close();
    let place = Place { prefix: "defaults.", index: None };
    let defaults = defaults.map(|node| part(node, place, &mut found)).unwrap_or_default();
    let read = messages.unwrap_or_default().iter().zip(0..);
    let rows: Vec<RowRead> =
        read.map(|(node, index)| row(node, Place { prefix: "", index: Some(index) }, &defaults, BATCH_LANE)).collect();
    if found.is_empty() {
        return Ok((rows, all_or_nothing));
    }
    found.extend(rows.into_iter().filter_map(Result::err).flatten().take(FINDINGS_MAX));
    Err(Problem::fields(found))
}

/// Row findings that are told beside those that refuse the whole batch.
const FINDINGS_MAX: usize = 10_000;

/// Reads a body as JSON.
///
/// # Errors
/// 400 with the place where it stops being JSON; 413 when it has too many values.
pub fn json(body: &str) -> Result<Node<'_>, Problem> {
    tree::parse(body).map_err(|error| match error {
        Unreadable::Syntax(what) => Problem::at(Code::BadRequest, "body", format!("is not JSON: {what}")),
        Unreadable::TooManyValues => {
            Problem::at(Code::BodyTooLarge, "body", format!("must have at most {} values", tree::VALUES_MAX))
        }
    })
}

fn row(node: &Node<'_>, place: Place<'_>, defaults: &Part, lane: Lane) -> RowRead {
    let mut found = Vec::new();
    let part = part(node, place, &mut found);
    let missing = match part.clone().over(defaults, lane) {
        Ok(draft) if found.is_empty() => return Ok(draft),
        Ok(_) => Vec::new(),
        Err(missing) => missing,
    };
    if matches!(node, Node::Map(_)) {
        for name in missing {
            // A field of a wrong type is there, and its finding says so already.
            if !found.iter().any(|finding| finding.field == name) {
                found.push(place.finding(name, Code::BadRequest, "is required"));
            }
        }
        found.extend(more(part, defaults, lane, place, &found));
    }
    Err(found)
}

/// What the rules say of the fields that could be read, beside those that could not.
fn more(part: Part, defaults: &Part, lane: Lane, place: Place<'_>, found: &[Finding]) -> Vec<Finding> {
    // What is missing was found already; an empty value stands in for it.
    let defaults = Part {
        to: Some(defaults.to.clone().unwrap_or_default()),
        from: Some(defaults.from.clone().unwrap_or_default()),
        text: Some(defaults.text.clone().unwrap_or_else(|| "".into())),
        ..defaults.clone()
    };
    let spoiled = |field: &str| {
        let root = |field: &str| field.split('.').next().unwrap_or_default().to_owned();
        found.iter().any(|finding| root(&finding.field) == root(field))
    };
    // The length of a text hangs on its variables, its channel and its title, and those on the text.
    let text_fields = ["text", "variables", "channel", "subject"];
    let text_spoiled = text_fields.into_iter().any(spoiled);
    let Ok(draft) = part.over(&defaults, lane) else { return Vec::new() };
    let sound = |finding: &Finding| {
        let is_text = text_fields.iter().any(|field| finding.field.split('.').next() == Some(field));
        !(spoiled(&finding.field) || is_text && text_spoiled)
    };
    let findings = bongsu_send::check(&draft).into_iter().filter(sound);
    findings.map(|finding| Finding { index: place.index, ..finding }).collect()
}

fn part(node: &Node<'_>, place: Place<'_>, found: &mut Vec<Finding>) -> Part {
    let Some(mut fields) = Fields::open(node, place, found) else { return Part::default() };
    let string = |node: &Node<'_>| match node {
        Node::Text(text) => Some(text.to_string()),
        _ => None,
    };
    let pairs = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let part = Part {
        channel: channel(&mut fields),
        lane: lane(&mut fields),
        to: fields.text("to").map(str::to_owned),
        from: fields.text("from").map(str::to_owned),
        text: fields.text("text").map(Arc::from),
        subject: fields.text("subject").map(Arc::from),
        variables: fields.members("variables", "a string", string).map(pairs),
        client_ref: fields.text("clientRef").map(str::to_owned),
        bill_code: fields.text("billCode").map(str::to_owned),
        labels: fields.members("labels", "a string", string).map(pairs),
        expires_in: expires_in(&mut fields),
        send_at: send_at(&mut fields),
        ad: fields.flag("ad"),
        max_cost: fields.whole("maxCost", 0, MAX_COST),
    };
    fallback(&mut fields);
    for name in LATER {
        fields.later(name);
    }
    fields.close();
    part
}

fn channel(fields: &mut Fields<'_, '_, '_>) -> Option<ChannelChoice> {
    let word = fields.text("channel")?;
    let choice = ChannelChoice::parse(word);
    if choice.is_none() && is_known_channel_name(word) {
        fields.wrong("channel", Code::FeatureNotEnabled, format!("{word} is not available yet"));
    } else if choice.is_none() {
        fields.wrong("channel", Code::BadRequest, "must be sms, lms or auto");
    }
    choice
}

/// Most steps of a `fallback` (FBK-01).
const STEPS_MAX: usize = 10;
/// What a step may have.
const STEP: [&str; 8] = ["channel", "from", "to", "text", "subject", "content", "on", "waitFor"];
/// What a step may follow.
const STEP_ON: [&str; 3] = ["failed", "expired", "uncertain"];

/// `fallback` (대체발송): its form is checked to the end, and then no channel that it could go to is there yet.
fn fallback(fields: &mut Fields<'_, '_, '_>) {
    let Some(steps) = fields.list("fallback") else { return };
    if steps.len() > STEPS_MAX {
        fields.wrong("fallback", Code::BadRequest, format!("must have at most {STEPS_MAX} steps"));
    }
    for (at, step) in steps.iter().enumerate().take(STEPS_MAX) {
        let Node::Map(members) = step else {
            fields.wrong(&format!("fallback.{at}"), Code::BadRequest, format!("must be an object, is {}", step.kind()));
            continue;
        };
        let mut wrong = |name: &str, code, detail: String| fields.wrong(&format!("fallback.{at}.{name}"), code, detail);
        for (name, value) in members {
            match (name.as_ref(), value) {
                (name, _) if !STEP.contains(&name) => wrong(name, Code::BadRequest, "is not a field of a step".into()),
                ("on", Node::List(words)) => {
                    let known = |word: &Node<'_>| matches!(word, Node::Text(word) if STEP_ON.contains(&word.as_ref()));
                    if !words.iter().all(known) {
                        wrong("on", Code::BadRequest, format!("must have {} only", STEP_ON.join(", ")));
                    }
                }
                ("waitFor", Node::Text(text)) if duration::parse(text).is_none() => {
                    wrong("waitFor", Code::BadRequest, duration::WANTED.into());
                }
                ("waitFor", Node::Whole(seconds)) if duration::from_seconds(*seconds).is_none() => {
                    wrong("waitFor", Code::BadRequest, duration::WANTED.into());
                }
                ("waitFor", Node::Whole(_)) | (_, Node::Null) => {}
                ("on", other) => wrong("on", Code::BadRequest, format!("must be an array, is {}", other.kind())),
                (_, Node::Text(_)) => {}
                (name, other) => wrong(name, Code::BadRequest, format!("must be a string, is {}", other.kind())),
            }
        }
        match members.iter().find(|(name, _)| name == "channel").map(|(_, value)| value) {
            Some(Node::Text(word)) if is_known_channel_name(word) || ChannelChoice::parse(word).is_some() => {
                wrong("channel", Code::FeatureNotEnabled, format!("a fallback to {word} is not available yet"));
            }
            Some(Node::Text(_)) => wrong("channel", Code::BadRequest, "must be the name of a channel".into()),
            Some(Node::Null) | None => wrong("channel", Code::BadRequest, "is required".into()),
            Some(_) => {}
        }
    }
}

fn lane(fields: &mut Fields<'_, '_, '_>) -> Option<Lane> {
    let lane = Lane::parse(fields.text("lane")?);
    if lane.is_none() {
        fields.wrong("lane", Code::BadRequest, "must be auth, realtime, bulk or ad");
    }
    lane
}

/// `sendAt`, as far as its form goes.
pub fn send_at(fields: &mut Fields<'_, '_, '_>) -> Option<Timestamp> {
    let time = Timestamp::parse_rfc3339(fields.text("sendAt")?);
    if time.is_none() {
        fields.wrong("sendAt", Code::BadRequest, "must be RFC 3339 with an offset, such as 2026-03-02T09:00:00+09:00");
    }
    time
}

fn expires_in(fields: &mut Fields<'_, '_, '_>) -> Option<std::time::Duration> {
    let wait = match fields.node("expiresIn")? {
        Node::Text(text) => duration::parse(text),
        Node::Whole(seconds) => duration::from_seconds(*seconds),
        _ => None,
    };
    if wait.is_none() {
        fields.wrong("expiresIn", Code::BadRequest, duration::WANTED);
    }
    wait
}

/// Counts the rows of a batch without keeping them.
#[derive(Deserialize)]
struct Rows {
    #[serde(default)]
    messages: Count,
}

#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Counts)
    }
}
