//! How numbers of a team and the audit log are shown.

use bongsu_domain::{AccountId, KeyId};
use bongsu_store::audit_log::AuditRow;
use bongsu_store::team;
use serde::Serialize;

use super::{Shown, Time};

/// A number of a team.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamNumber {
    number: String,
    created_at: Time,
}

impl TeamNumber {
    /// Shows a number, masked unless the caller may see numbers in full.
    pub fn new(row: &team::TeamNumber, in_full: bool) -> Self {
        let number = if in_full { row.number.national().to_owned() } else { row.number.masked() };
        Self { number, created_at: Time(row.created) }
    }
}

/// A row of the audit log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audited<'a> {
    id: String,
    at: Time,
    account: Option<Shown<AccountId>>,
    key: Shown<KeyId>,
    role: Option<&'a str>,
    ip: Option<&'a str>,
    request_id: &'a str,
    operation: &'a str,
    target: Option<&'a str>,
    /// Null for a change whose answer never left.
    status: Option<u16>,
    code: Option<&'static str>,
}

impl<'a> Audited<'a> {
    /// Shows a row.
    pub fn new(row: &'a AuditRow) -> Self {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            id: number(row.id),
            at: Time(row.at()),
            account: row.account.map(Shown),
            key: Shown(row.key),
            role: some(&row.role),
            ip: some(&row.ip),
            request_id: &row.request_id,
            operation: &row.operation,
            target: some(&row.target),
            status: (row.status != 0).then_some(row.status),
            code: row.code.map(|code| code.as_str()),
        }
    }
}

/// What the id of a row begins with.
const PREFIX: &str = "aud_";

/// The id of a row: a number of the same form as other ids.
pub fn number(id: i64) -> String {
    let key = KeyId(id).to_string();
    format!("{PREFIX}{}", key.split_once('_').map_or("", |(_, digits)| digits))
}

/// The number of such an id.
pub fn parse_number(text: &str) -> Option<i64> {
    format!("key_{}", text.strip_prefix(PREFIX)?).parse::<KeyId>().ok().map(|key| key.0)
}
