//! Reads what an audit compares: from a data directory, from a running server, and from a simulator's control interface.

use std::collections::HashSet;

use bongsu_domain::{Code, MessageId, Status};
use bongsu_store::query::{Filter, Found};
use bongsu_store::{Error, Kind, Store};
use hyper::Method;
use serde_json::Value;

use crate::audit::{Line, Seen, Taken, Totals};
use crate::client::{Client, escape};
use crate::failure::Failure;

/// Rows of one page.
const PAGE_ROWS: usize = 500;

/// Totals and messages of an open store.
///
/// # Errors
/// Those of the store; `Corrupt` for a message that cannot be opened.
pub async fn of_store(store: &Store) -> Result<(Totals, Vec<Line>), Error> {
    let counted = bongsu_store::audit::totals(store).await?;
    let totals = Totals {
        accepted: counted.accepted,
        missing: counted.missing,
        double_final: counted.double_final,
        double_charge: counted.double_charge,
        ledger_mismatch: counted.ledger_mismatch,
        unknown_attempts: counted.unknown_attempts,
        orphan_receipts: counted.orphan_receipts,
    };
    let mut lines = Vec::new();
    let mut to = i64::MAX;
    loop {
        let filter = Filter { to, limit: PAGE_ROWS, ..Filter::default() };
        let page = store.page(filter).await?;
        for found in &page.rows {
            lines.push(line_of_store(store, found)?);
        }
        match page.next {
            Some(next) => to = next,
            None => break,
        }
    }
    // After the messages: what was unknown before they became final is listed by then.
    mark(&mut lines, &unknown_of_store(store).await?);
    Ok((totals, lines))
}

fn mark(lines: &mut [Line], unknown: &HashSet<MessageId>) {
    lines.iter_mut().for_each(|line| line.has_unknown = unknown.contains(&line.id));
}

async fn unknown_of_store(store: &Store) -> Result<HashSet<MessageId>, Error> {
    let mut unknown = HashSet::new();
    let mut below = (i64::MAX, u8::MAX);
    loop {
        let rows = store.unknown_attempts(None, below, PAGE_ROWS as u32).await?;
        let Some(last) = rows.last() else { return Ok(unknown) };
        below = (last.id, last.attempt);
        unknown.extend(rows.iter().map(|row| MessageId(row.id)));
    }
}

fn line_of_store(store: &Store, found: &Found) -> Result<Line, Error> {
    let row = &found.row;
    let payload = bongsu_send::sealed::decode(&store.vault().open(&row.sealed)?);
    let payload = payload.ok_or_else(|| Error::new(Kind::Corrupt, format!("{} cannot be read", MessageId(row.id))))?;
    let code = Code::from_number(row.attempt.code)
        .ok_or_else(|| Error::new(Kind::Corrupt, format!("{} has an unknown code", MessageId(row.id))))?;
    Ok(Line {
        id: MessageId(row.id),
        to: payload.to.national().to_owned(),
        status: row.status,
        code,
        has_unknown: false,
    })
}

/// Totals and messages of a server, with an operator's key.
///
/// # Errors
/// Nobody answers, the key is no operator's, or the answer is not one of this version.
pub async fn of_server(client: &Client) -> Result<(Totals, Vec<Line>), Failure> {
    let totals = totals(&client.get("/v1/audit").await?);
    let messages = pages(client, "/v1/messages").await?;
    let lines = messages.iter().map(|message| {
        line(message).ok_or_else(|| {
            Failure::fault(format!(
                "the server shows message {} in a way that this program does not know; use the same version",
                message["id"]
            ))
        })
    });
    let mut lines = lines.collect::<Result<Vec<_>, _>>()?;
    let attempts = pages(client, "/v1/attempts?outcome=unknown").await?;
    mark(&mut lines, &attempts.iter().filter_map(|attempt| attempt["messageId"].as_str()?.parse().ok()).collect());
    Ok((totals, lines))
}

/// Everything that the relays of a simulator took.
///
/// # Errors
/// Nobody answers.
pub async fn of_simulator(simulator: &Client) -> Result<Seen, Failure> {
    let stats = simulator.get("/stats").await?;
    let relays = stats.as_object().into_iter().flat_map(|relays| relays.values());
    let duplicates = relays.flat_map(|relay| relay["duplicates"].as_array().into_iter().flatten());
    // A submit that came three times is two too many.
    let duplicates = duplicates.flat_map(|duplicate| {
        let again = duplicate["count"].as_u64().unwrap_or(2).saturating_sub(1);
        (0..again).filter_map(|_| taken(duplicate))
    });
    let duplicates = duplicates.collect();
    let reply = simulator.send(Method::GET, "/seen", None).await?;
    if reply.status != 200 {
        return Err(simulator.refusal(&reply));
    }
    let mut seen = Seen { duplicates, ..Seen::default() };
    let mut by_relay: HashSet<(String, Taken)> = HashSet::new();
    for line in reply.text.lines() {
        let Some((relay, submit)) = taken_by(line) else { continue };
        if by_relay.insert((relay, submit.clone())) {
            *seen.relays.entry(submit.clone()).or_default() += 1;
        }
        *seen.taken.entry(submit).or_default() += 1;
    }
    Ok(seen)
}

async fn pages(client: &Client, path: &str) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let start = if path.contains('?') { '&' } else { '?' };
        let after = cursor.map(|cursor| format!("&cursor={}", escape(&cursor))).unwrap_or_default();
        let mut page = client.get(&format!("{path}{start}limit={PAGE_ROWS}{after}")).await?;
        if let Value::Array(items) = page["items"].take() {
            all.extend(items);
        }
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

fn totals(answer: &Value) -> Totals {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    Totals {
        accepted: count("accepted"),
        missing: count("missing"),
        double_final: count("doubleFinal"),
        double_charge: count("doubleCharge"),
        ledger_mismatch: count("ledgerMismatch"),
        unknown_attempts: count("unknownAttempts"),
        orphan_receipts: count("orphanReceipts"),
    }
}

fn line(message: &Value) -> Option<Line> {
    Some(Line {
        id: message["id"].as_str()?.parse().ok()?,
        to: message["to"].as_str()?.to_owned(),
        status: Status::parse(message["status"].as_str()?)?,
        code: message["code"].as_str()?.parse::<Code>().ok()?,
        has_unknown: false,
    })
}

fn taken_by(line: &str) -> Option<(String, Taken)> {
    let submit: Value = serde_json::from_str(line).ok()?;
    Some((submit["relay"].as_str()?.to_owned(), taken(&submit)?))
}

fn taken(submit: &Value) -> Option<Taken> {
    let reference = submit["reference"].as_u64().and_then(|reference| u16::try_from(reference).ok());
    Some((submit["to"].as_str()?.to_owned(), reference))
}
