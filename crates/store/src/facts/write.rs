//! Turns the notes of a transaction into rows, before its commit.

use std::collections::BTreeMap;

use bongsu_domain::id::id_day;
use bongsu_domain::{Status, Timestamp};

use super::NO_RELAY;
use super::blob::{Entry, Slices};
use super::board::{Where, number_after};
use super::event::EventKind;
use super::news::{Moved, News, Note};
use crate::db::dialect::Kind::{Blob, Int};
use crate::db::dialect::Many;
use crate::db::{Db, Value, int};
use crate::error::Error;
use crate::tx::Days;

pub(super) const COUNTER: &[(&str, crate::db::dialect::Kind)] = &[
    ("v_account", Int),
    ("v_day", Int),
    ("v_channel", Int),
    ("v_lane", Int),
    ("v_unit", Int),
    ("v_relay", Int),
    ("v_status", Int),
    ("v_stat", Int),
    ("v_node", Int),
    ("v_messages", Int),
    ("v_charged", Int),
    ("v_refunded", Int),
];
static COUNTERS: Many = Many::new(
    "INSERT INTO counters (account, day, channel, lane, unit, relay, status, stat, node, messages, charged, refunded)
       {only sqlite: VALUES (v_account, v_day, v_channel, v_lane, v_unit, v_relay, v_status, v_stat, v_node, v_messages, v_charged, v_refunded)
         ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, charged = charged + excluded.charged,
           refunded = refunded + excluded.refunded}
       {only mysql: SELECT v_account, v_day, v_channel, v_lane, v_unit, v_relay, v_status, v_stat, v_node, v_messages, v_charged, v_refunded FROM }{v, }{only mysql: (SELECT 1) AS once WHERE TRUE
         ON DUPLICATE KEY UPDATE messages = messages + VALUES(messages), charged = charged + VALUES(charged),
           refunded = refunded + VALUES(refunded)}",
    COUNTER,
);
static PROGRESS: Many = Many::new(
    "INSERT INTO progress (request, status, node, messages)
       {only sqlite: VALUES (v_request, v_status, v_node, v_messages) ON CONFLICT DO UPDATE SET messages = messages + excluded.messages}
       {only mysql: SELECT v_request, v_status, v_node, v_messages FROM }{v, }{only mysql: (SELECT 1) AS once WHERE TRUE
         ON DUPLICATE KEY UPDATE messages = messages + VALUES(messages)}",
    &[("v_request", Int), ("v_status", Int), ("v_node", Int), ("v_messages", Int)],
);
static NUMBERED: Many = Many::new(
    "INSERT INTO event_slices (no, account, at, events) VALUES {(v_no, v_account, v_at, v_events)}",
    &[("v_no", Int), ("v_account", Int), ("v_at", Int), ("v_events", Blob)],
);
#[cfg(feature = "mysql")]
static UNNUMBERED: Many = Many::new(
    "INSERT INTO event_slices (moment, account, at, events) VALUES {(v_moment, v_account, v_at, v_events)}",
    &[("v_moment", Int), ("v_account", Int), ("v_at", Int), ("v_events", Blob)],
);

/// What is counted together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    account: i64,
    day: u32,
    channel: u8,
    lane: u8,
    unit: u8,
    relay: u8,
    status: u8,
    stat: u32,
}

/// Messages, and their money.
#[derive(Default)]
struct Sums {
    messages: i64,
    charged: i64,
    refunded: i64,
}

/// The rows of one file.
#[derive(Default)]
struct Sheet {
    counters: BTreeMap<Counted, Sums>,
    progress: BTreeMap<(i64, u8), i64>,
    slices: BTreeMap<i64, Slices>,
}

impl Sheet {
    fn count(&mut self, counted: Counted, messages: i64, charged: i64, refunded: i64) {
        let sums = self.counters.entry(counted).or_default();
        sums.messages += messages;
        sums.charged += charged;
        sums.refunded += refunded;
    }

    fn slices(&mut self, account: i64, now: Timestamp) -> &mut Slices {
        self.slices.entry(account).or_insert_with(|| Slices::new(now.millis()))
    }

    fn note(&mut self, note: &Note, now: Timestamp) {
        match note {
            Note::Accepted { account, request, slice, tallies } => {
                let day = id_day(slice.first).0;
                for t in tallies {
                    let counted = Counted {
                        account: account.0,
                        day,
                        channel: t.channel as u8,
                        lane: slice.lane as u8,
                        unit: t.unit as u8,
                        relay: NO_RELAY,
                        status: Status::Queued as u8,
                        stat: t.stat,
                    };
                    self.count(counted, t.messages, t.charged, 0);
                }
                self.slices(account.0, now).accepted(slice.first, slice.count, *request);
            }
            Note::Moved(moved) => self.moved(moved, now),
            Note::GroupFinished { account, group, status, code } => {
                self.slices(account.0, now).push(&Entry {
                    kind: EventKind::GroupFinished,
                    message: *group,
                    request: *group,
                    status: *status,
                    code: *code,
                    attempt: 0,
                    relay: NO_RELAY,
                    at: now.millis(),
                });
            }
        }
    }

    fn moved(&mut self, m: &Moved, now: Timestamp) {
        if m.is.is_final() {
            let counted = Counted {
                account: m.account.0,
                day: id_day(m.id).0,
                channel: m.channel as u8,
                lane: m.lane as u8,
                unit: m.unit as u8,
                relay: m.relay,
                status: m.is as u8,
                stat: m.stat,
            };
            self.count(counted, 1, m.price, m.refunded);
        }
        if m.request != 0 && m.was != m.is {
            for (status, step) in [(m.was, -1), (m.is, 1)].into_iter().filter(|(status, _)| is_shown(*status)) {
                *self.progress.entry((m.request, status as u8)).or_default() += step;
            }
        }
        if let Some(kind) = m.kind {
            let (message, request) = (m.id, m.request);
            let (status, code, attempt, relay, at) = (m.is, m.code, m.attempt, m.relay, m.at);
            self.slices(m.account.0, now).push(&Entry { kind, message, request, status, code, attempt, relay, at });
        }
    }

    fn write_counts(&self, db: &Db, node: u16) -> Result<(), Error> {
        let node = i64::from(node);
        let counters = self.counters.iter().map(|(c, s)| {
            let place = [c.account, c.day.into(), c.channel.into(), c.lane.into(), c.unit.into(), c.relay.into()];
            let [account, day, channel, lane, unit, relay] = place;
            let (status, stat) = (i64::from(c.status), i64::from(c.stat));
            [account, day, channel, lane, unit, relay, status, stat, node, s.messages, s.charged, s.refunded]
        });
        db.many(&COUNTERS, counters)?;
        let progress = self.progress.iter().filter(|(_, step)| **step != 0);
        db.many(&PROGRESS, progress.map(|((request, status), step)| [*request, i64::from(*status), node, *step]))?;
        Ok(())
    }

    /// The slices in the order of accounts.
    fn finish(self) -> Vec<(i64, Vec<u8>)> {
        self.slices.into_iter().flat_map(|(account, s)| s.finish().into_iter().map(move |b| (account, b))).collect()
    }
}

/// Whether progress counts messages that stand so; all others wait, and are what is left.
pub(super) fn is_shown(status: Status) -> bool {
    status >= Status::Submitted
}

/// Writes to files: what was accepted to the live file, what became of it to the file of its day. Answers the newest slice
/// of each file, and goes on from `last`.
pub(crate) fn flush_files(
    news: News,
    live: &Db,
    days: &mut Days,
    last: &mut i64,
    now: Timestamp,
) -> Result<Vec<(Where, i64)>, Error> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let mut sheets: BTreeMap<Where, Sheet> = BTreeMap::new();
    for note in &news.0 {
        let at = match note {
            Note::Moved(moved) => Some(id_day(moved.id)),
            Note::Accepted { .. } | Note::GroupFinished { .. } => None,
        };
        sheets.entry(at).or_default().note(note, now);
    }
    let mut wrote = Vec::new();
    for (at, sheet) in sheets {
        let db = match at {
            Some(day) => &days.get(day)?.db,
            None => live,
        };
        sheet.write_counts(db, 0)?;
        let slices: Vec<(i64, i64, Vec<u8>)> = sheet
            .finish()
            .into_iter()
            .map(|(account, bytes)| {
                *last = number_after(*last, now);
                (*last, account, bytes)
            })
            .collect();
        let at_ms = now.millis();
        let rows = slices.iter().map(|(no, account, bytes)| [int(*no), int(*account), int(at_ms), Value::Blob(bytes)]);
        db.many(&NUMBERED, rows)?;
        if let Some((no, ..)) = slices.last() {
            wrote.push((at, *no));
        }
    }
    Ok(wrote)
}

/// Writes to the tables of a database; slices get their numbers after the commit.
#[cfg(feature = "mysql")]
pub(crate) fn flush_tables(news: &News, live: &Db, node: u16, now: Timestamp) -> Result<(), Error> {
    if news.is_empty() {
        return Ok(());
    }
    let mut sheet = Sheet::default();
    for note in &news.0 {
        sheet.note(note, now);
    }
    sheet.write_counts(live, node)?;
    let slices = sheet.finish();
    let moment = bongsu_domain::id::first_id_at(now);
    let at_ms = now.millis();
    let rows = slices.iter().map(|(account, bytes)| [int(moment), int(*account), int(at_ms), Value::Blob(bytes)]);
    live.many(&UNNUMBERED, rows)?;
    Ok(())
}
