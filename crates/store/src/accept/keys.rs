//! Keys that one message or request may have only once: answers to repeats, client references, equal content.
//!
//! A client reference or a content key points to a message; it is taken while that message exists, also while it is staged.
//! A content key is free again when its message never reached the recipient: repeating that one is no second copy.
//! A key that another process wrote in the same moment makes the whole transaction run again, which then sees it.

use std::collections::{HashMap, HashSet};

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{Code, Status, may_have_arrived};

use super::{IdempotencyKey, NewMessage, Seen};
use crate::db::dialect::Kind::{Blob, Int};
use crate::db::dialect::Many;
use crate::db::{Db, Value, int};
use crate::error::{Error, Kind};
use crate::readers::Reader;
use crate::tx::Tx;

/// How long an answer is kept for a repeat of the same request.
const IDEMPOTENCY_MS: i64 = 24 * 3600 * 1000;

static ANSWERS: Many = Many::new(
    "INSERT INTO idempotency (`key`, body_hash, status, answer, expires) VALUES {(v_key, v_hash, v_status, v_answer, v_expires)}",
    &[("v_key", Int), ("v_hash", Blob), ("v_status", Int), ("v_answer", Blob), ("v_expires", Int)],
);
static REFS: Many =
    Many::new("INSERT INTO client_refs (`key`, id) VALUES {(v_key, v_id)}", &[("v_key", Int), ("v_id", Int)]);
static CONTENT: Many = Many::new(
    "INSERT INTO dedupe (`key`, id, expires) VALUES {(v_key, v_id, v_expires)}",
    &[("v_key", Int), ("v_id", Int), ("v_expires", Int)],
);

/// The answer stored under a key that is still valid.
pub(crate) fn seen(live: &Db, key: &IdempotencyKey, now_ms: i64) -> Result<Option<Seen>, Error> {
    let stored = Answers::look(live, &[key.key])?;
    Ok(stored.of(key, now_ms))
}

/// Keeps the answer of a key that [`seen`] did not find.
pub(crate) fn remember(live: &Db, key: &IdempotencyKey, status: u16, body: &[u8], now_ms: i64) -> Result<(), Error> {
    let stored = Answers::look(live, &[key.key])?;
    stored.put(live, vec![NewAnswer { key, status, body }], now_ms)
}

/// Stored answers of some keys.
#[derive(Default)]
pub(super) struct Answers(HashMap<i64, (Vec<u8>, u16, Vec<u8>, i64)>);

impl Answers {
    pub(super) fn look(live: &Db, keys: &[i64]) -> Result<Self, Error> {
        let rows = live.select_in(
            "SELECT `key`, body_hash, status, answer, expires FROM idempotency WHERE `key`",
            keys,
            "",
            |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))),
        )?;
        Ok(Self(rows.into_iter().collect()))
    }

    pub(super) fn of(&self, key: &IdempotencyKey, now_ms: i64) -> Option<Seen> {
        let (hash, status, answer, _) = self.0.get(&key.key).filter(|(.., expires)| *expires > now_ms)?;
        Some(if *hash == key.body_hash { Seen::Answer(*status, answer.clone()) } else { Seen::OtherBody })
    }

    /// Keeps answers; a key whose time is over is used again. One that is in time was written since it was looked for.
    pub(super) fn put(&self, live: &Db, mut answers: Vec<NewAnswer<'_>>, now_ms: i64) -> Result<(), Error> {
        answers.sort_by_key(|answer| answer.key.key);
        let over: Vec<i64> = answers.iter().map(|a| a.key.key).filter(|key| self.0.contains_key(key)).collect();
        if !over.is_empty() {
            let sql = format!("DELETE FROM idempotency WHERE expires <= {now_ms} AND `key`");
            if live.delete_in(&sql, &over)? < over.len() {
                return Err(met(Error::new(Kind::Conflict("constraint"), "")));
            }
        }
        let expires = now_ms + IDEMPOTENCY_MS;
        let binds = answers
            .iter()
            .map(|a| [int(a.key.key), Value::Blob(&a.key.body_hash), int(a.status), Value::Blob(a.body), int(expires)]);
        live.many(&ANSWERS, binds).map(drop).map_err(met)
    }
}

/// An answer to keep for a repeat.
pub(super) struct NewAnswer<'a> {
    pub(super) key: &'a IdempotencyKey,
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// Somebody else wrote the same key since this transaction looked.
fn met(error: Error) -> Error {
    match error.kind() {
        Kind::Conflict(_) => Error::new(Kind::Busy, "another writer wrote the same key"),
        _ => error,
    }
}

/// Which client references and contents of some messages are taken.
#[derive(Default)]
pub(super) struct Taken {
    /// Rows as they are, taken or not.
    refs: HashMap<i64, i64>,
    content: HashMap<i64, (i64, i64)>,
    /// Messages that exist, with the batch that they are staged in but that does not.
    alive: HashMap<i64, Standing>,
    /// Messages that a relay may have got although they failed.
    unknown: HashSet<i64>,
    /// Batches that exist.
    promised: HashSet<i64>,
}

/// What a message that a key points to has come to.
struct Standing {
    request: i64,
    status: u8,
    code: u16,
}

impl Taken {
    pub(super) fn look<'m>(
        tx: &mut Tx<'_>,
        messages: impl Iterator<Item = &'m NewMessage> + Clone,
    ) -> Result<Self, Error> {
        let mut taken = Self::default();
        let ids = taken.look_at_keys(tx.live, messages)?;
        for of_day in ids.chunk_by(|a, b| id_day(*a) == id_day(*b)) {
            let day = tx.peek_day(id_day(of_day[0]))?;
            taken.look_at_rows(day, of_day)?;
        }
        taken.look_behind(tx.live)?;
        Ok(taken)
    }

    /// The same for a look that nothing follows.
    fn look_only<'m>(
        reader: &mut Reader,
        messages: impl Iterator<Item = &'m NewMessage> + Clone,
    ) -> Result<Self, Error> {
        let mut taken = Self::default();
        let ids = taken.look_at_keys(&reader.live, messages)?;
        for of_day in ids.chunk_by(|a, b| id_day(*a) == id_day(*b)) {
            if let Some(day) = reader.day(id_day(of_day[0]))? {
                taken.look_at_rows(day, of_day)?;
            }
        }
        taken.look_behind(&reader.live)?;
        Ok(taken)
    }

    /// Reads who has the keys; answers the messages they lead to, in order.
    fn look_at_keys<'m>(
        &mut self,
        live: &Db,
        messages: impl Iterator<Item = &'m NewMessage> + Clone,
    ) -> Result<Vec<i64>, Error> {
        let refs: Vec<i64> = messages.clone().filter_map(|m| m.client_ref).collect();
        let content: Vec<i64> = messages.filter_map(|m| m.dedupe).map(|(key, _)| key).collect();
        if !refs.is_empty() {
            let read = |row: &crate::db::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let sql = "SELECT `key`, id FROM client_refs WHERE `key`";
            self.refs = live.select_in(sql, &refs, "", read)?.into_iter().collect();
        }
        if !content.is_empty() {
            let read = |row: &crate::db::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
            let sql = "SELECT `key`, id, expires FROM dedupe WHERE `key`";
            self.content = live.select_in(sql, &content, "", read)?.into_iter().collect();
        }
        let mut ids: Vec<i64> = self.refs.values().copied().chain(self.content.values().map(|(id, _)| *id)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn look_at_rows(&mut self, day: &Db, ids: &[i64]) -> Result<(), Error> {
        let sql = "SELECT id, request, status, code FROM messages WHERE id";
        self.alive.extend(day.select_in(sql, ids, "", |row| {
            Ok((row.get(0)?, Standing { request: row.get(1)?, status: row.get(2)?, code: row.get(3)? }))
        })?);
        Ok(())
    }

    /// What rows of messages do not say of those with equal content: whether their batch exists, and whether a try of a
    /// failed one has an unknown fate.
    fn look_behind(&mut self, live: &Db) -> Result<(), Error> {
        let equal = || self.content.values().filter_map(|(id, _)| Some((*id, self.alive.get(id)?)));
        let mut requests: Vec<i64> = equal().map(|(_, m)| m.request).filter(|request| *request != 0).collect();
        requests.sort_unstable();
        requests.dedup();
        let ended: Vec<i64> = equal().filter(|(_, m)| !m.may_have_arrived()).map(|(id, _)| id).collect();
        let sql = "SELECT id FROM requests WHERE id";
        self.promised = live.select_in(sql, &requests, "", |row| row.get(0))?.into_iter().collect();
        let sql = "SELECT id FROM unknown_attempts WHERE id";
        self.unknown = live.select_in(sql, &ended, "", |row| row.get(0))?.into_iter().collect();
        Ok(())
    }

    /// Whether a client reference belongs to a message that exists, or is being staged.
    pub(super) fn client_ref(&self, key: i64) -> bool {
        self.refs.get(&key).is_some_and(|id| self.alive.contains_key(id))
    }

    /// The message with the same content within the window, and within the one it was accepted with; 0 when it is only
    /// staged.
    pub(super) fn content(&self, key: i64, window_ms: i64, now_ms: i64) -> Option<i64> {
        let (id, expires) = *self.content.get(&key)?;
        let message = self.alive.get(&id)?;
        let within = now_ms < expires.min(id_millis(id) + window_ms);
        if !within || !(message.may_have_arrived() || self.unknown.contains(&id)) {
            return None;
        }
        let promised = message.request == 0 || self.promised.contains(&message.request);
        Some(if promised { id } else { 0 })
    }

    /// Writes the keys of new messages; a key that points to nothing any more is used again.
    pub(super) fn put(&self, live: &Db, messages: &[(i64, &NewMessage)], accepted_ms: i64) -> Result<(), Error> {
        let mut refs: Vec<[i64; 2]> = messages.iter().filter_map(|(id, m)| Some([m.client_ref?, *id])).collect();
        refs.sort_unstable();
        for [key, _] in refs.iter().filter(|[key, _]| self.refs.contains_key(key)) {
            let gone = live.execute("DELETE FROM client_refs WHERE `key` = ? AND id = ?", (*key, self.refs[key]))?;
            if gone == 0 {
                return Err(met(Error::new(Kind::Conflict("constraint"), "")));
            }
        }
        live.many(&REFS, refs).map_err(met)?;
        let mut content: Vec<[i64; 3]> = messages
            .iter()
            .filter_map(|(id, m)| m.dedupe.map(|(key, window)| [key, *id, accepted_ms + window]))
            .collect();
        content.sort_unstable();
        for [key, ..] in content.iter().filter(|[key, ..]| self.content.contains_key(key)) {
            let gone = live.execute("DELETE FROM dedupe WHERE `key` = ? AND id = ?", (*key, self.content[key].0))?;
            if gone == 0 {
                return Err(met(Error::new(Kind::Conflict("constraint"), "")));
            }
        }
        live.many(&CONTENT, content).map(drop).map_err(met)
    }
}

impl Standing {
    /// What cannot be read counts as arrived: a message too few is told to the caller, one too many is not.
    fn may_have_arrived(&self) -> bool {
        match (Status::from_u8(self.status), Code::from_number(self.code)) {
            (Some(status), Some(code)) => may_have_arrived(status, code),
            _ => true,
        }
    }
}

/// Removes keys whose time is over, at most so many of each kind.
pub(crate) fn clean(live: &Db, now_ms: i64, limit: u32) -> Result<usize, Error> {
    let mut gone = 0;
    for table in ["idempotency", "dedupe"] {
        let over: Vec<i64> = live
            .prepare_cached(&format!("SELECT `key` FROM {table} WHERE expires < ? ORDER BY expires LIMIT ?"))?
            .query_map((now_ms, limit), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        gone += live.delete_in(&format!("DELETE FROM {table} WHERE expires < {now_ms} AND `key`"), &over)?;
    }
    Ok(gone)
}

/// What accepting a message would find of its keys now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Another message has its client reference.
    pub client_ref: bool,
    /// An equal message within the window; 0 while it is only staged.
    pub equal: Option<i64>,
}

/// Looks up the keys of messages that are not accepted now.
pub(crate) fn before(reader: &mut Reader, messages: &[NewMessage], now_ms: i64) -> Result<Vec<Before>, Error> {
    let taken = Taken::look_only(reader, messages.iter())?;
    let look = |message: &NewMessage| Before {
        client_ref: message.client_ref.is_some_and(|key| taken.client_ref(key)),
        equal: message.dedupe.and_then(|(key, window)| taken.content(key, window, now_ms)),
    };
    Ok(messages.iter().map(look).collect())
}
