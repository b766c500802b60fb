//! The statements that create rows of messages, requests and runs.

use bongsu_domain::{AccountId, Day, Lane, Unit};

use super::NewMessage;
use crate::db::dialect::Kind::{Blob, Int, Text};
use crate::db::dialect::Many;
use crate::db::{Db, Value, int, text_or_null};
use crate::error::Error;
use crate::facts::Tally;
use crate::index::Keys;
use crate::rows::Run;
use crate::tx::Tx;
use crate::waiting::{self, Counted};

static MESSAGES: Many = Many::new(
    "INSERT INTO messages (id, account, request, lane, channel, unit, price, expires, recipient, last4, content, sealed, extra, stat, sender,
       status, code, late, attempt) VALUES {(v_id, v_account, v_request, v_lane, v_channel, v_unit, v_price, v_expires, v_recipient,
       v_last4, v_content, v_sealed, v_extra, v_stat, v_sender, 2, 0, 0, 0)}",
    &[
        ("v_id", Int),
        ("v_account", Int),
        ("v_request", Int),
        ("v_lane", Int),
        ("v_channel", Int),
        ("v_unit", Int),
        ("v_price", Int),
        ("v_expires", Int),
        ("v_recipient", Int),
        ("v_last4", Int),
        ("v_content", Int),
        ("v_sealed", Blob),
        ("v_extra", Text),
        ("v_stat", Int),
        ("v_sender", Int),
    ],
);

static REQUESTS: Many = Many::new(
    "INSERT INTO requests (id, account, kind, rows_given, accepted, unit, amount, first_id, last_id, api_key, trace)
       VALUES {(v_id, v_account, v_kind, v_rows, v_accepted, v_unit, v_amount, v_first, v_last, v_key, v_trace)}",
    &[
        ("v_id", Int),
        ("v_account", Int),
        ("v_kind", Int),
        ("v_rows", Int),
        ("v_accepted", Int),
        ("v_unit", Int),
        ("v_amount", Int),
        ("v_first", Int),
        ("v_last", Int),
        ("v_key", Int),
        ("v_trace", Text),
    ],
);

static SLICES: Many = Many::new(
    "INSERT INTO slices (first, count, request, tally) VALUES {(v_first, v_count, v_request, v_tally)}",
    &[("v_first", Int), ("v_count", Int), ("v_request", Int), ("v_tally", Blob)],
);

static RUNS: Many = Many::new(
    "INSERT INTO runs (first, count, next, gen, lane, account, request) VALUES {(v_first, v_count, 0, 0, v_lane, v_account, v_request)}",
    &[("v_first", Int), ("v_count", Int), ("v_lane", Int), ("v_account", Int), ("v_request", Int)],
);

static BACKLOG: Many = Many::new(
    "INSERT INTO backlog (lane, account, first, expires) VALUES {(v_lane, v_account, v_first, v_expires)}",
    &[("v_lane", Int), ("v_account", Int), ("v_first", Int), ("v_expires", Int)],
);

/// A message that gets its row now.
pub(crate) struct Row<'a> {
    pub(crate) id: i64,
    pub(crate) account: AccountId,
    /// Its batch, 0 for a single message.
    pub(crate) request: i64,
    pub(crate) lane: Lane,
    pub(crate) message: &'a NewMessage,
}

/// Writes message rows of one day with their search keys.
pub(super) fn messages(tx: &mut Tx<'_>, day: Day, rows: &[Row<'_>]) -> Result<(), Error> {
    insert_messages(tx.day(day)?, rows)?;
    let keys = |row: &Row<'_>| Keys {
        id: row.id,
        recipient: row.message.recipient,
        last4: row.message.last4,
        sender: row.message.sender,
        tags: row.message.tags.clone(),
    };
    tx.searchable(day, rows.iter().map(keys))
}

/// Writes one message row, for history of benchmarks.
pub(crate) fn insert_message(db: &Db, row: Row<'_>) -> Result<(), Error> {
    insert_messages(db, &[row])
}

fn insert_messages(db: &Db, rows: &[Row<'_>]) -> Result<(), Error> {
    let binds = rows.iter().map(|row| {
        let message = row.message;
        [
            int(row.id),
            int(row.account.0),
            int(row.request),
            int(row.lane as u8),
            int(message.channel as u8),
            int(message.unit as u8),
            int(message.price),
            int(message.expires_ms),
            int(message.recipient),
            int(message.last4),
            int(message.content),
            Value::Blob(&message.sealed),
            text_or_null(message.extra.as_deref()),
            int(message.stat),
            int(message.sender),
        ]
    });
    db.many(&MESSAGES, binds)?;
    Ok(())
}

/// What a caller was promised.
pub(crate) struct Request<'a> {
    pub(crate) id: i64,
    pub(crate) account: AccountId,
    pub(crate) kind: u8,
    pub(crate) rows: u32,
    pub(crate) accepted: u32,
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The key that it came with, 0 for none.
    pub(crate) key: i64,
    /// Id of the HTTP request.
    pub(crate) trace: Option<&'a str>,
}

pub(crate) fn insert_request(live: &Db, request: &Request<'_>) -> Result<(), Error> {
    insert_requests(live, std::slice::from_ref(request))
}

pub(super) fn insert_requests(live: &Db, requests: &[Request<'_>]) -> Result<(), Error> {
    let binds = requests.iter().map(|r| {
        [
            int(r.id),
            int(r.account.0),
            int(r.kind),
            int(r.rows),
            int(r.accepted),
            int(r.unit as u8),
            int(r.amount),
            int(r.first),
            int(r.last),
            int(r.key),
            text_or_null(r.trace),
        ]
    });
    live.many(&REQUESTS, binds)?;
    Ok(())
}

/// A slice that was written and waits for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First id.
    pub first: i64,
    /// Contiguous ids from there.
    pub count: u32,
    /// Lane of all of them.
    pub lane: Lane,
    /// The earliest expiry in it, ms since the Unix epoch.
    pub expires: i64,
    /// When all of them leave, Unix milliseconds; 0: at once. Those that leave later wait in [`crate::waiting`].
    pub send_at: i64,
}

/// Writes slices with what their messages count for.
pub(super) fn slices(db: &Db, slices: &[(Slice, &[Tally])], request: i64) -> Result<(), Error> {
    let tallies: Vec<Vec<u8>> = slices.iter().map(|(_, tallies)| Tally::encode(tallies)).collect();
    let rows = slices.iter().zip(&tallies);
    let row = rows.map(|((s, _), tally)| [int(s.first), int(s.count), int(request), Value::Blob(tally)]);
    db.many(&SLICES, row)?;
    Ok(())
}

/// A slice that comes to exist.
pub(crate) struct Born {
    pub(crate) account: AccountId,
    pub(crate) slice: Slice,
    /// What its messages count for.
    pub(crate) tallies: Vec<Tally>,
}

/// Notes that slices come to exist.
pub(crate) fn tell(tx: &mut Tx<'_>, request: i64, slices: &[Born]) {
    for Born { account, slice, tallies } in slices {
        tx.news.accepted(*account, request, *slice, tallies.clone());
    }
}

/// Makes slices exist: their runs, waiting for a dispatcher, or for their time.
pub(crate) fn runs(tx: &mut Tx<'_>, request: i64, slices: &[Born]) -> Result<(), Error> {
    tell(tx, request, slices);
    let (slices, later): (Vec<(AccountId, Slice)>, Vec<_>) =
        slices.iter().map(|born| (born.account, born.slice)).partition(|(_, slice)| slice.send_at == 0);
    waiting::hold(tx, request, &later, Counted::FromSendAt)?;
    let run = |(account, s): &(AccountId, Slice)| [s.first, i64::from(s.count), s.lane as i64, account.0, request];
    tx.live.many(&RUNS, slices.iter().map(run))?;
    let waiting = |(account, s): &(AccountId, Slice)| [s.lane as i64, account.0, s.first, s.expires];
    tx.live.many(&BACKLOG, slices.iter().map(waiting))?;
    tx.fresh.extend(slices.iter().map(|(account, slice)| Run {
        first: slice.first,
        count: slice.count,
        next: 0,
        generation: 0,
        lane: slice.lane,
        account: *account,
        request,
        send_at: 0,
        held: false,
    }));
    Ok(())
}

/// Makes a slice exist that nobody is offered: its messages are ended where they lie.
pub(crate) fn hidden_run(live: &Db, run: &Run) -> Result<(), Error> {
    let bind = [run.first, i64::from(run.count), run.lane as i64, run.account.0, run.request];
    live.many(&RUNS, [bind]).map(drop)
}
