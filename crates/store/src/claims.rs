//! Intent before send: waiting runs, what is due, and the conditional writes that claim them (design D2).

use bongsu_domain::{AccountId, Channel, Lane};

use crate::db::dialect::Kind::Int;
use crate::db::dialect::Many;
use crate::db::{Db, params};
use crate::distributions;
use crate::error::Error;
use crate::rows::{self, Run};
use crate::tx::Tx;

/// A place in a claim that carries nothing: the message was canceled, expired, or taken by another.
pub const NO_RELAY: u8 = 255;

/// A place in a claim whose message is claimed to be ended rather than sent.
pub const ENDS_HERE: u8 = 254;

/// Something that is due: a retry, or the answer to silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Unix milliseconds.
    pub at: i64,
    /// The message.
    pub id: i64,
    /// The attempt to make.
    pub attempt: u8,
    /// What to do.
    pub kind: DueKind,
    /// Its lane.
    pub lane: Lane,
    /// Its account.
    pub account: AccountId,
    /// The relay that the retry decision chose, [`NO_RELAY`] for any.
    pub relay: u8,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// Send it again.
    Send = 0,
    /// End it as expired: its fate is unknown and its relay must not get it twice.
    Expire = 1,
}

/// What a claim covers.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// Messages of a run from an offset on.
    Run {
        /// First id of the run.
        first: i64,
        /// Offset of the first message.
        from: u32,
        /// Generation of the run when its rows were read.
        generation: i64,
        /// Messages in the run.
        count: u32,
    },
    /// Single messages that were due.
    Due(Vec<Due>),
}

/// A claim: who intends to send what over which relay until when.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Its token.
    pub id: i64,
    /// The incarnation of the dispatcher.
    pub owner: i64,
    /// Unix milliseconds; nothing is written to a relay after it.
    pub deadline: i64,
    /// Lane.
    pub lane: Lane,
    /// Account.
    pub account: AccountId,
    /// The messages.
    pub claimed: Claimed,
    /// One byte a message.
    pub relays: Vec<u8>,
    /// What the decision knew, kept with the run; empty for due messages.
    pub note: Vec<u8>,
}

/// Bytes of notes that a run keeps; what comes after is left out.
const NOTES_MAX: u32 = 4_000;

/// State of a distribution, written with the claims it led to.
#[derive(Debug, Clone)]
pub struct ShareState {
    /// Account.
    pub account: AccountId,
    /// Channel.
    pub channel: Channel,
    /// The place of the dispatch process among the active ones; 0 where there is one.
    pub seat: u16,
    /// Encoded credits.
    pub state: Vec<u8>,
}

/// Whether a claim holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// All of it.
    Whole,
    /// Not these positions: somebody else was faster.
    Without(Vec<usize>),
    /// Nothing: the run moved on or changed.
    Stale,
}

/// Writes claims; each stands or falls for itself.
pub(crate) fn write(tx: &mut Tx<'_>, claims: &[Claim], states: &[ShareState]) -> Result<Vec<Taken>, Error> {
    let mut taken = Vec::with_capacity(claims.len());
    for claim in claims {
        taken.push(match &claim.claimed {
            Claimed::Run { first, from, generation, count } => {
                claim_run(tx, claim, *first, *from, *generation, *count)?
            }
            Claimed::Due(due) => claim_due(tx, claim, due)?,
        });
    }
    for state in states {
        distributions::save_state(tx.live, state.account, state.channel, state.seat, &state.state)?;
    }
    Ok(taken)
}

fn claim_run(tx: &Tx<'_>, claim: &Claim, first: i64, from: u32, generation: i64, count: u32) -> Result<Taken, Error> {
    let next = from + claim.relays.len() as u32;
    // The note goes with the write that is needed anyway.
    let appended =
        if tx.live.is_mysql() { "CONCAT(COALESCE(note, ''), ?)" } else { "CAST(COALESCE(note, x'') || ? AS BLOB)" };
    let moved = tx
        .live
        .prepare_cached(&format!(
            "UPDATE runs SET next = ?, note = CASE WHEN COALESCE(LENGTH(note), 0) > {NOTES_MAX} THEN note ELSE {appended} END
               WHERE first = ? AND next = ? AND gen = ?"
        ))?
        .execute(params![next, claim.note, first, from, generation])?;
    if moved == 0 {
        return Ok(Taken::Stale);
    }
    if next >= count {
        tx.live.prepare_cached("DELETE FROM backlog WHERE lane = ? AND account = ? AND first = ?")?.execute((
            claim.lane as u8,
            claim.account.0,
            first,
        ))?;
    }
    if has_messages(&claim.relays) {
        insert(tx.live, claim, first + i64::from(from), None)?;
    }
    Ok(Taken::Whole)
}

/// Whether a claim is of anything: nobody would ever say of one that is not that it is done.
fn has_messages(relays: &[u8]) -> bool {
    relays.iter().any(|relay| *relay != NO_RELAY)
}

fn claim_due(tx: &Tx<'_>, claim: &Claim, due: &[Due]) -> Result<Taken, Error> {
    let mut relays = claim.relays.clone();
    let gone = take_due(tx.live, due)?;
    let missing: Vec<usize> = (0..due.len()).filter(|at| gone[*at]).collect();
    let mut ids = Vec::with_capacity(due.len() * 9);
    for (at, item) in due.iter().enumerate() {
        if gone[at] {
            relays[at] = NO_RELAY;
        }
        ids.extend_from_slice(&item.id.to_be_bytes());
        ids.push(item.attempt);
    }
    if missing.len() == due.len() {
        return Ok(Taken::Stale);
    }
    if has_messages(&relays) {
        insert(tx.live, &Claim { relays, ..claim.clone() }, 0, Some(&ids))?;
    }
    Ok(if missing.is_empty() { Taken::Whole } else { Taken::Without(missing) })
}

static TAKE: Many =
    Many::new("DELETE {only mysql: due }FROM {v, }due WHERE at = v_at AND id = v_id", &[("v_at", Int), ("v_id", Int)]);

/// Takes due rows off the list; tells which of them somebody else had taken.
fn take_due(live: &Db, due: &[Due]) -> Result<Vec<bool>, Error> {
    if live.is_mysql() {
        let mut ids: Vec<i64> = due.iter().map(|d| d.id).collect();
        ids.sort_unstable();
        let sql = "SELECT at, id FROM due WHERE id";
        let there: std::collections::HashSet<(i64, i64)> =
            live.select_in(sql, &ids, "/* lock */", |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect();
        let gone: Vec<bool> = due.iter().map(|d| !there.contains(&(d.at, d.id))).collect();
        live.many(&TAKE, due.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(d, _)| [d.at, d.id]))?;
        return Ok(gone);
    }
    due.iter().map(|d| Ok(live.many(&TAKE, [[d.at, d.id]])? == 0)).collect()
}

/// Makes every claim stale of what was read before. A message may have ended in the file of its day, its money given back,
/// while the rest of that commit, which takes it off the list, never came: only who reads its row anew sees that.
pub(crate) fn outdate(live: &Db) -> Result<(), Error> {
    live.execute("UPDATE runs SET gen = gen + 1 WHERE first IN (SELECT first FROM backlog)", ())?;
    live.execute("UPDATE due SET at = at + 1 WHERE kind = ?", [DueKind::Send as u8])?;
    Ok(())
}

fn insert(live: &Db, claim: &Claim, first: i64, ids: Option<&[u8]>) -> Result<(), Error> {
    live.prepare_cached(
        "INSERT INTO claims (id, owner, deadline, lane, account, first, relays, ids) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        claim.id,
        claim.owner,
        claim.deadline,
        claim.lane as u8,
        claim.account.0,
        first,
        claim.relays,
        ids
    ])?;
    Ok(())
}

/// One message of a claim that was found after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) id: i64,
    pub(crate) attempt: u8,
    pub(crate) relay: u8,
}

/// A claim that was found after a crash.
#[derive(Debug)]
pub(crate) struct LeftClaim {
    pub(crate) id: i64,
    /// Its place in the order in which claims were written.
    pub(crate) no: i64,
    pub(crate) lane: Lane,
    pub(crate) messages: Vec<Left>,
}

/// The column by which claims are in the order in which they were written.
fn order(live: &Db) -> &'static str {
    if live.is_mysql() { "no" } else { "id" }
}

/// Claims that an earlier incarnation left, with their messages, the newest first.
pub(crate) fn left_over(live: &Db, alive: &[i64], limit: u32) -> Result<Vec<LeftClaim>, Error> {
    // An owner is never negative.
    let alive = alive.iter().fold(String::from("-1"), |list, owner| format!("{list}, {owner}"));
    let order = order(live);
    let mut statement = live.prepare_cached(&format!(
        "SELECT id, lane, first, relays, ids, {order} FROM claims WHERE owner NOT IN ({alive})
           ORDER BY {order} DESC LIMIT ? /* lock */"
    ))?;
    let mut rows = statement.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, relays, ids): (i64, Vec<u8>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?, row.get(4)?);
        found.push(LeftClaim {
            id: row.get(0)?,
            no: row.get(5)?,
            lane: Lane::from_u8(row.get(1)?).unwrap_or(Lane::Bulk),
            messages: messages(first, &relays, ids.as_deref()).collect(),
        });
    }
    Ok(found)
}

/// The messages that a claim has.
fn messages(first: i64, relays: &[u8], ids: Option<&[u8]>) -> impl Iterator<Item = Left> {
    let message = move |(at, relay): (usize, &u8)| match ids {
        None => Left { id: first + at as i64, attempt: 1, relay: *relay },
        Some(ids) => {
            let cell = &ids[at * 9..at * 9 + 9];
            let id = cell[..8].try_into().map_or(0, i64::from_be_bytes);
            Left { id, attempt: cell[8], relay: *relay }
        }
    };
    relays.iter().enumerate().map(message).filter(|message| message.relay != NO_RELAY)
}

/// Messages that claims written after that one have. They were due in between, so the older claim has no say in them.
pub(crate) fn claimed_since(live: &Db, no: i64) -> Result<std::collections::HashSet<i64>, Error> {
    let order = order(live);
    // Messages of a run are claimed once; only what was due is claimed again.
    let sql = format!("SELECT relays, ids FROM claims WHERE {order} > ? AND ids IS NOT NULL");
    let mut statement = live.prepare_cached(&sql)?;
    let mut rows = statement.query([no])?;
    let mut claimed = std::collections::HashSet::new();
    while let Some(row) = rows.next()? {
        let (relays, ids): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        claimed.extend(messages(0, &relays, Some(&ids)).map(|message| message.id));
    }
    Ok(claimed)
}

/// Waiting runs of one lane and account with a first id above `after`, oldest first.
pub(crate) fn waiting_runs(
    live: &Db,
    lane: Lane,
    account: AccountId,
    after: i64,
    limit: u32,
) -> Result<Vec<Run>, Error> {
    let mut statement = live.prepare_cached(&format!(
        "SELECT {} FROM backlog JOIN runs ON runs.first = backlog.first
           WHERE backlog.lane = ? AND backlog.account = ? AND backlog.first > ? ORDER BY backlog.first LIMIT ?",
        rows::RUN_COLUMNS
    ))?;
    let found =
        statement.query_map((lane as u8, account.0, after, limit), rows::read_run)?.collect::<Result<_, _>>()?;
    Ok(found)
}

/// What a dispatcher finds when it looks around.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Accounts that have waiting runs, in the order of lanes and accounts.
    pub accounts: Vec<(Lane, AccountId)>,
    /// Whether anything is due, in whosever part.
    pub is_due: bool,
}

/// Accounts that have waiting runs, at most `limit` of each lane, and whether anything is due by now: one statement, since
/// dispatchers ask often.
pub(crate) fn waiting(live: &Db, now_ms: i64, limit: u32) -> Result<Waiting, Error> {
    let of_lane = |lane: &Lane| {
        let lane = *lane as u8;
        format!(
            "SELECT {lane} AS lane, account FROM
               (SELECT DISTINCT account FROM backlog WHERE lane = {lane} ORDER BY account LIMIT ?) AS lane_{lane}"
        )
    };
    let accounts = Lane::ALL.iter().map(of_lane).collect::<Vec<_>>().join(" UNION ALL ");
    let due =
        "SELECT 255 AS lane, at AS account FROM (SELECT at FROM due WHERE at <= ? ORDER BY at LIMIT 1) AS due_now";
    let mut statement = live.prepare_cached(&format!("{accounts} UNION ALL {due}"))?;
    let limit = i64::from(limit);
    let mut rows = statement.query([limit, limit, limit, limit, now_ms])?;
    let mut found = Waiting::default();
    while let Some(row) = rows.next()? {
        match Lane::from_u8(row.get(0)?) {
            Some(lane) => found.accounts.push((lane, AccountId(row.get(1)?))),
            None => found.is_due = true,
        }
    }
    Ok(found)
}

/// The part of what is due that one of several dispatchers takes, and from when on it takes the others' as well.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its place, from 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
    /// What was due before this (ms) is anybody's.
    pub anybodys_before: i64,
}

impl Part {
    /// All of it.
    pub const WHOLE: Part = Part { index: 0, count: 1, anybodys_before: 0 };

    /// Whether an id is of this part.
    pub fn has(self, id: i64) -> bool {
        spread(id) % i64::from(self.count.max(1)) == i64::from(self.index)
    }
}

/// What spreads ids over dispatchers: the millisecond and the node, not the place within a run. The statement that reads
/// what is due says the same.
const fn spread(id: i64) -> i64 {
    (id >> 22) + (id >> 12)
}

/// What is due by now in a part, oldest first.
pub(crate) fn due(live: &Db, now_ms: i64, part: Part, limit: u32) -> Result<Vec<Due>, Error> {
    let mut statement = live.prepare_cached(
        "SELECT at, id, attempt, kind, lane, account, relay FROM due
           WHERE at <= ? AND (((id >> 22) + (id >> 12)) % ? = ? OR at < ?) ORDER BY at, id LIMIT ?",
    )?;
    let found = statement
        .query_map((now_ms, part.count.max(1), part.index, part.anybodys_before, limit), |row| {
            Ok(Due {
                at: row.get(0)?,
                id: row.get(1)?,
                attempt: row.get(2)?,
                kind: if row.get::<u8>(3)? == 1 { DueKind::Expire } else { DueKind::Send },
                lane: Lane::from_u8(row.get(4)?).unwrap_or(Lane::Bulk),
                account: AccountId(row.get(5)?),
                relay: row.get(6)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

static DUE: Many = Many::new(
    "INSERT OR REPLACE INTO due (at, id, attempt, kind, lane, account, relay)
       VALUES {(v_at, v_id, v_attempt, v_kind, v_lane, v_account, v_relay)}",
    &[
        ("v_at", Int),
        ("v_id", Int),
        ("v_attempt", Int),
        ("v_kind", Int),
        ("v_lane", Int),
        ("v_account", Int),
        ("v_relay", Int),
    ],
);

/// Puts something into the list of what is due.
pub(crate) fn insert_due(live: &Db, due: &[Due]) -> Result<(), Error> {
    let row = |d: &Due| {
        let (attempt, kind, lane) = (i64::from(d.attempt), d.kind as i64, d.lane as i64);
        [d.at, d.id, attempt, kind, lane, d.account.0, i64::from(d.relay)]
    };
    live.many(&DUE, due.iter().map(row))?;
    Ok(())
}

/// Puts off what is still due, to a later moment (ms).
pub(crate) fn postpone(live: &Db, due: &[Due], at: i64) -> Result<(), Error> {
    let gone = take_due(live, due)?;
    let left = due.iter().zip(gone).filter(|(_, gone)| !gone).map(|(due, _)| Due { at, ..*due });
    insert_due(live, &left.collect::<Vec<_>>())
}

/// Since when the oldest waiting message of each lane could leave: since its accept, or its time.
pub(crate) fn oldest_waiting(live: &Db) -> Result<Vec<(Lane, bongsu_domain::Timestamp)>, Error> {
    let epoch = bongsu_domain::id::id_millis(0);
    let mut statement = live.prepare_cached(&format!(
        "SELECT backlog.lane,
           CAST(MIN(CASE WHEN runs.send_at > 0 THEN runs.send_at ELSE (runs.first >> 22) + {epoch} END) AS SIGNED)
           FROM backlog JOIN runs ON runs.first = backlog.first GROUP BY backlog.lane"
    ))?;
    let found = statement
        .query_map((), |row| {
            let lane = Lane::from_u8(row.get(0)?).unwrap_or(Lane::Bulk);
            Ok((lane, bongsu_domain::Timestamp::from_millis(row.get(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}
