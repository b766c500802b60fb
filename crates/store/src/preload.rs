//! History for benchmarks: real rows with their receipts, runs, requests and search keys, written as fast as the disk takes them.

use crate::accept::{self, NewMessage, RUN_MAX, Request, Row, Slice};
use crate::db::Db;
use crate::error::{Error, Kind};
use crate::files::{self, Layout};
use crate::index::Index;
use crate::migrate;
use crate::open::Options;
use crate::vault::Vault;
use bongsu_domain::id::{first_id_at, id_day, id_millis};
use bongsu_domain::{AccountId, Channel, Day, IdGen, Lane, Status, Timestamp, Unit};

/// Rows of one request.
const REQUEST_ROWS: u64 = 10_000;
/// Rows of one transaction.
const BATCH_ROWS: u64 = 100_000;

/// Makes the message of a row number.
pub type MakeMessage<'a> = &'a dyn Fn(&Vault, u64) -> NewMessage;

/// Writes `rows` delivered messages of one account, accepted from `start` on, behind the back of a store that is not
/// running. Tells `progress` how many are written.
///
/// # Errors
/// `InUse` when a server has the directory; those of the files.
pub fn write(
    options: &Options,
    account: AccountId,
    rows: u64,
    start: Timestamp,
    message: MakeMessage<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let layout = Layout::new(&options.directory);
    let _lock = files::lock(&layout)?;
    let key_file = options.key_file.clone().unwrap_or_else(|| options.directory.join("keys"));
    let vault = Vault::open_or_create(&key_file, false)?;
    let day = start.kst_day();
    let live = files::open_writer(&layout.live(), migrate::LIVE)?;
    let messages = files::open_writer(&layout.day(day), migrate::DAY)?;
    for db in [&live, &messages] {
        db.execute_batch("PRAGMA synchronous=OFF; PRAGMA cache_size=-200000; PRAGMA wal_autocheckpoint=20000;")?;
    }
    let newest: Option<i64> = messages.query_row("SELECT MAX(id) FROM messages", [], |row| row.get(0))?;
    let (live, messages) = (Db::from(live), Db::from(messages));
    let mut ids = IdGen::new(options.node);
    ids.observe(newest.unwrap_or_else(|| first_id_at(start)));
    let mut history = History { vault: &vault, live: &live, messages: &messages, ids, account, day, at: start };
    let mut done = 0;
    while done < rows {
        let count = BATCH_ROWS.min(rows - done);
        live.execute("BEGIN IMMEDIATE", ())?;
        messages.execute("BEGIN IMMEDIATE", ())?;
        history.requests(done, count, message)?;
        messages.execute("COMMIT", ())?;
        live.execute("COMMIT", ())?;
        done += count;
        progress(done);
    }
    if let Some(messages) = messages.lite() {
        Index::new(layout).rebuild_to_end(day, messages)?;
    }
    for db in [live.lite(), messages.lite()].into_iter().flatten() {
        db.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    Ok(())
}

struct History<'a> {
    vault: &'a Vault,
    live: &'a Db,
    messages: &'a Db,
    ids: IdGen,
    account: AccountId,
    day: Day,
    at: Timestamp,
}

impl History<'_> {
    fn requests(&mut self, from: u64, count: u64, message: MakeMessage<'_>) -> Result<(), Error> {
        let mut at = from;
        while at < from + count {
            let rows = REQUEST_ROWS.min(from + count - at);
            self.request(at, rows, message)?;
            at += rows;
        }
        Ok(())
    }

    fn request(&mut self, from: u64, rows: u64, message: MakeMessage<'_>) -> Result<(), Error> {
        let request = self.block(1)?;
        let (mut first, mut last, mut at) = (i64::MAX, 0, 0);
        while at < rows {
            let count = (RUN_MAX as u64).min(rows - at) as u32;
            let run = self.block(count)?;
            (first, last) = (first.min(run), run + i64::from(count) - 1);
            for offset in 0..u64::from(count) {
                let new = message(self.vault, from + at + offset);
                self.message(run + offset as i64, request, &new)?;
            }
            let slice = Slice { first: run, count, lane: Lane::Bulk, expires: 0, send_at: 0 };
            self.run(request, &slice)?;
            at += u64::from(count);
        }
        accept::insert_request(
            self.live,
            &Request {
                id: request,
                account: self.account,
                kind: 1,
                rows: rows as u32,
                accepted: rows as u32,
                unit: Unit::PointSms,
                amount: 0,
                first,
                last,
                key: 0,
                trace: None,
            },
        )
    }

    fn block(&mut self, count: u32) -> Result<i64, Error> {
        let id = self
            .ids
            .block(self.at, count)
            .map_err(|_| Error::new(Kind::ClockBehind, "history reaches into the future"))?;
        self.at = self.at.max(Timestamp::from_millis(id_millis(id)));
        if id_day(id) != self.day {
            return Err(Error::new(Kind::Invalid("rows"), "too close to midnight for so much history"));
        }
        Ok(id)
    }

    fn message(&self, id: i64, request: i64, new: &NewMessage) -> Result<(), Error> {
        accept::insert_message(
            self.messages,
            Row { id, account: self.account, request, lane: Lane::Bulk, message: new },
        )?;
        let relay_id = (id & 0x7FFF_FFFF).to_string();
        self.messages
            .prepare_cached(
                "UPDATE messages SET status = ?, code = 2, attempt = 1, relay = 0, relay_id = ?, outcome = 3, t_claim = 20, t_submit = 30,
                   t_answer = 31, t_result = 400 WHERE id = ?",
            )?
            .execute((Status::Delivered as u8, relay_id.as_str(), id))?;
        let raw =
            format!("id:{relay_id} sub:001 dlvrd:001 submit date:2611211200 done date:2611211200 stat:DELIVRD err:000");
        self.messages
            .prepare_cached("INSERT INTO receipts (id, attempt, part, at, verdict, raw) VALUES (?, 1, 0, ?, 0, ?)")?
            .execute((id, id_millis(id) * 1_000 + 400_000, raw.as_bytes()))?;
        Ok(())
    }

    fn run(&self, request: i64, slice: &Slice) -> Result<(), Error> {
        self.messages.prepare_cached("INSERT INTO slices (first, count, request) VALUES (?, ?, ?)")?.execute((
            slice.first,
            slice.count,
            request,
        ))?;
        self.live
            .prepare_cached(
                "INSERT INTO runs (first, count, next, gen, lane, account, request) VALUES (?, ?, ?, 0, ?, ?, ?)",
            )?
            .execute((slice.first, slice.count, slice.count, slice.lane as u8, self.account.0, request))?;
        Ok(())
    }
}

/// A message of history: an SMS that costs nothing.
pub fn message(recipient: i64, last4: i64, sealed: Vec<u8>) -> NewMessage {
    NewMessage {
        channel: Channel::Sms,
        unit: Unit::PointSms,
        price: 0,
        send_at: 0,
        expires_ms: 86_400_000,
        recipient,
        last4,
        content: 0,
        sealed,
        extra: None,
        counted: None,
        stat: 0,
        client_ref: None,
        dedupe: None,
        key: 0,
        sender: 0,
        tags: Vec::new(),
    }
}
