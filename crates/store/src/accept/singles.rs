//! Single messages of one commit, written together: look, decide, write.

use std::collections::{HashMap, HashSet};

use bongsu_domain::id::{id_day, id_millis};
use bongsu_domain::{AccountId, MessageId, Unit};

use super::keys::{Answers, NewAnswer, Taken};
use super::write::{self, Born, Request, Row, Slice};
use super::{RUN_MAX, Refused, Seen, Single};
use crate::error::{Error, Kind};
use crate::facts::Tally;
use crate::tx::Tx;
use crate::wallet;

/// Writes the single messages of one commit: ids in the order of lane, account and time to leave, one run for each of those.
pub(crate) fn write_singles(tx: &mut Tx<'_>, singles: &mut [Box<Single>]) -> Result<(), Error> {
    if singles.is_empty() {
        return Ok(());
    }
    singles.sort_by_key(|s| (s.lane, s.account, s.message.send_at));
    let known = Known::look(tx, singles)?;
    let mut met = Met::default();
    for single in singles.iter_mut() {
        single.failed = None;
        single.outcome = known.refusal(tx, single, &mut met)?.map(Err);
    }
    let slices = number(tx, singles)?;
    name_twins(singles);
    write(tx, singles, &known, slices)
}

/// What the store knows of the keys of a commit.
struct Known {
    answers: Answers,
    taken: Taken,
}

/// What earlier messages of the same commit use.
#[derive(Default)]
struct Met {
    answers: HashSet<i64>,
    refs: HashSet<i64>,
    content: HashSet<i64>,
    left: HashMap<(AccountId, Unit), i64>,
}

impl Known {
    fn look(tx: &mut Tx<'_>, singles: &[Box<Single>]) -> Result<Self, Error> {
        let keys: Vec<i64> = singles.iter().filter_map(|s| s.idempotency.as_ref()).map(|k| k.key).collect();
        let answers = if keys.is_empty() { Answers::default() } else { Answers::look(tx.live, &keys)? };
        let taken = Taken::look(tx, singles.iter().map(|s| &s.message))?;
        Ok(Self { answers, taken })
    }

    fn refusal(&self, tx: &Tx<'_>, single: &Single, met: &mut Met) -> Result<Option<Refused>, Error> {
        if let Some(key) = &single.idempotency {
            if let Some(seen) = self.answers.of(key, tx.now.millis()) {
                return Ok(Some(Refused::Seen(seen)));
            }
            if met.answers.contains(&key.key) {
                // Two at once in one commit: callers serialise the same key, so this is a hash met twice.
                return Ok(Some(Refused::Seen(Seen::OtherBody)));
            }
        }
        let message = &single.message;
        if let Some(key) = message.client_ref
            && (met.refs.contains(&key) || self.taken.client_ref(key))
        {
            return Ok(Some(Refused::DuplicateClientRef));
        }
        if let Some((key, window)) = message.dedupe {
            if let Some(first) = self.taken.content(key, window, tx.now.millis()) {
                return Ok(Some(Refused::Duplicate(first)));
            }
            if met.content.contains(&key) {
                return Ok(Some(Refused::Duplicate(0)));
            }
        }
        let purse = (single.account, message.unit);
        let left = match met.left.get(&purse) {
            Some(left) => *left,
            None => wallet::balance(tx.live, purse.0, purse.1)?,
        };
        let covered = left >= message.price;
        met.left.insert(purse, if covered { left - message.price } else { left });
        if !covered {
            return Ok(Some(Refused::NoBalance));
        }
        met.answers.extend(single.idempotency.as_ref().map(|k| k.key));
        met.refs.extend(message.client_ref);
        met.content.extend(message.dedupe.map(|(key, _)| key));
        Ok(None)
    }
}

/// Gives ids, one run at a time. Without ids nothing of a run is written; the rest of the commit needs none.
fn number(tx: &mut Tx<'_>, singles: &mut [Box<Single>]) -> Result<Vec<Born>, Error> {
    let mut slices = Vec::new();
    let kin = |s: &Single| (s.lane, s.account, s.message.send_at);
    for same in singles.chunk_by_mut(|a, b| kin(a) == kin(b)) {
        for chunk in same.chunks_mut(RUN_MAX) {
            let (lane, account, send_at) = kin(&chunk[0]);
            let count = chunk.iter().filter(|s| s.outcome.is_none()).count() as u32;
            if count == 0 {
                continue;
            }
            let first = match tx.new_ids(count) {
                Err(error) if error.kind() == Kind::ClockBehind => {
                    for single in chunk.iter_mut().filter(|s| s.outcome.is_none()) {
                        single.failed = Some(error.clone());
                    }
                    continue;
                }
                first => first?,
            };
            let mut slice = Slice { first, count, lane, expires: i64::MAX, send_at };
            for (id, single) in (first..).zip(chunk.iter_mut().filter(|s| s.outcome.is_none())) {
                slice.expires = slice.expires.min(id_millis(first) + single.message.expires_ms);
                let (status, body) = single.answer.as_ref().map_or((202, Vec::new()), |answer| answer(id));
                single.status = status;
                single.outcome = Some(Ok((id, body)));
            }
            let accepted = chunk.iter().filter(|s| matches!(s.outcome, Some(Ok(_))));
            let tallies = Tally::of(accepted.map(|s| &s.message));
            slices.push(Born { account, slice, tallies });
        }
    }
    Ok(slices)
}

/// Names the first of equal messages to the others of the same commit.
fn name_twins(singles: &mut [Box<Single>]) {
    let key = |single: &Single| single.message.dedupe.map(|(key, _)| key);
    if !singles.iter().any(|s| matches!(s.outcome, Some(Err(Refused::Duplicate(0))))) {
        return;
    }
    let ids: HashMap<i64, i64> =
        singles.iter().filter_map(|s| Some((key(s)?, s.outcome.as_ref()?.as_ref().ok()?.0))).collect();
    for single in singles {
        let id = key(single).and_then(|key| ids.get(&key));
        if let (Some(Err(Refused::Duplicate(first @ 0))), Some(id)) = (&mut single.outcome, id) {
            *first = *id;
        }
    }
}

fn write(tx: &mut Tx<'_>, singles: &[Box<Single>], known: &Known, slices: Vec<Born>) -> Result<(), Error> {
    let accepted: Vec<(i64, &Single, &[u8])> = singles
        .iter()
        .filter_map(|s| s.outcome.as_ref()?.as_ref().ok().map(|(id, body)| (*id, &**s, body.as_slice())))
        .collect();
    if accepted.is_empty() {
        return Ok(());
    }
    let now_ms = tx.now.millis();
    let answers = accepted
        .iter()
        .filter_map(|(_, single, body)| Some((single.idempotency.as_ref()?, single.status, *body)))
        .map(|(key, status, body)| NewAnswer { key, status, body })
        .collect();
    known.answers.put(tx.live, answers, now_ms)?;
    let messages: Vec<_> = accepted.iter().map(|(id, single, _)| (*id, &single.message)).collect();
    known.taken.put(tx.live, &messages, now_ms)?;
    for of_day in accepted.chunk_by(|a, b| id_day(a.0) == id_day(b.0)) {
        let rows: Vec<Row<'_>> = of_day
            .iter()
            .map(|(id, s, _)| Row { id: *id, account: s.account, request: 0, lane: s.lane, message: &s.message })
            .collect();
        write::messages(tx, id_day(of_day[0].0), &rows)?;
    }
    for of_day in slices.chunk_by(|a, b| id_day(a.slice.first) == id_day(b.slice.first)) {
        let rows: Vec<(Slice, &[Tally])> = of_day.iter().map(|born| (born.slice, born.tallies.as_slice())).collect();
        write::slices(tx.day(id_day(of_day[0].slice.first))?, &rows, 0)?;
    }
    let requests: Vec<Request<'_>> = accepted.iter().map(|(id, single, _)| request(*id, single)).collect();
    write::insert_requests(tx.live, &requests)?;
    write::runs(tx, 0, &slices)?;
    charge(tx, &accepted)
}

/// One request: it has the id of its message.
fn request(id: i64, single: &Single) -> Request<'_> {
    Request {
        id,
        account: single.account,
        kind: 0,
        rows: 1,
        accepted: 1,
        unit: single.message.unit,
        amount: single.message.price,
        first: id,
        last: id,
        key: single.message.key,
        trace: single.trace.as_deref(),
    }
}

fn charge(tx: &Tx<'_>, accepted: &[(i64, &Single, &[u8])]) -> Result<(), Error> {
    let mut purses: std::collections::BTreeMap<(i64, u8), Vec<(String, i64)>> = Default::default();
    for (id, single, _) in accepted.iter().filter(|(_, single, _)| single.message.price > 0) {
        let purse = purses.entry((single.account.0, single.message.unit as u8)).or_default();
        purse.push((format!("request:{}", MessageId(*id)), single.message.price));
    }
    for ((account, unit), charges) in purses {
        let unit = wallet::unit_of(unit)?;
        wallet::charge_all(tx.live, AccountId(account), unit, &charges, tx.now).map_err(|error| {
            match error.kind() {
                // Another process took it since this transaction looked; the next look sees that.
                Kind::NoBalance => Error::new(Kind::Busy, "the balance changed meanwhile"),
                _ => error,
            }
        })?;
    }
    Ok(())
}
