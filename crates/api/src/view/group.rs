//! Groups, what became of an upload, and progress, as they are shown.

use bongsu_domain::GroupId;
use bongsu_send::groups::{Counts, GroupView, RowErrorView};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Shown, Time};

/// A group.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group<'a> {
    id: Shown<GroupId>,
    account: Shown<bongsu_domain::AccountId>,
    name: Option<&'a str>,
    state: &'static str,
    approval: bool,
    rows_received: u32,
    uploading: bool,
    counts: RowCounts,
    estimate: Money,
    progress: Option<Progress>,
    cancel: Option<Canceled>,
    send_at: Option<Time>,
    created_at: Time,
    sent_at: Option<Time>,
    finished_at: Option<Time>,
}

#[derive(Serialize)]
struct RowCounts {
    rows: u32,
    accepted: u32,
    rejected: u32,
}

#[derive(Serialize)]
struct Money {
    unit: &'static str,
    amount: i64,
}

#[derive(Serialize)]
struct Canceled {
    canceled: u32,
    escaped: u32,
}

impl<'a> Group<'a> {
    pub fn new(group: &'a GroupView) -> Self {
        Self {
            id: Shown(group.id),
            account: Shown(group.account),
            name: group.name.as_deref(),
            state: group.state,
            approval: group.approval,
            rows_received: group.rows,
            uploading: group.is_uploading,
            counts: RowCounts { rows: group.rows, accepted: group.accepted, rejected: group.rejected },
            estimate: Money { unit: group.unit.as_str(), amount: group.amount },
            progress: group.counts.as_ref().map(|counts| Progress::new(None, counts)),
            cancel: group.canceled.map(|(canceled, escaped)| Canceled { canceled, escaped }),
            send_at: group.send_at.map(Time),
            created_at: Time(group.created_at),
            sent_at: group.sent_at.map(Time),
            finished_at: group.finished_at.map(Time),
        }
    }
}

/// How many messages stand where; `counts` add up to `total`.
#[derive(Debug, Serialize, PartialEq)]
pub struct Progress {
    /// Of a group only.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    total: u64,
    ended: u64,
    counts: Map<String, Value>,
}

impl Progress {
    pub fn new(state: Option<&'static str>, counts: &Counts) -> Self {
        let mut by_word: Map<String, Value> =
            counts.by_status.iter().map(|(status, count)| (status.as_str().to_owned(), (*count).into())).collect();
        let waits = |word: &&str| matches!(*word, "staging" | "waiting_approval" | "scheduled" | "expired");
        let waiting = state.filter(waits).unwrap_or("queued");
        by_word.insert(waiting.to_owned(), counts.waiting().into());
        Self { state, total: counts.total, ended: counts.ended(), counts: by_word }
    }
}

/// What became of an upload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    pub id: Shown<GroupId>,
    pub counts: UploadCounts,
    pub rows_received: u32,
}

/// Rows of one upload.
#[derive(Serialize)]
pub struct UploadCounts {
    pub rows: u32,
    pub accepted: u32,
    pub rejected: u32,
    pub known: u32,
}

/// What is wrong with a row.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowError<'a> {
    row: u32,
    field: &'a str,
    code: &'static str,
    code_name: &'static str,
    detail: &'a str,
    client_ref: Option<&'a str>,
}

impl<'a> RowError<'a> {
    pub fn new(error: &'a RowErrorView) -> Self {
        Self {
            row: error.row,
            field: &error.field,
            code: error.code.as_str(),
            code_name: error.code.name(),
            detail: &error.detail,
            client_ref: error.client_ref.as_deref(),
        }
    }
}
