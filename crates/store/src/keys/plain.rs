//! A key's row as bytes, for a memory that processes share.

use bongsu_domain::{AccountId, KeyId, Timestamp};

use super::{KeyKind, KeyRow, Scopes};

/// Id, account, kind, prefix, scopes, when it was made, whether its account is suspended, and its rate. Revoked ones are
/// not remembered.
type Plain = (i64, Option<i64>, String, String, Vec<String>, i64, bool, u32);

pub(super) fn encode(row: &KeyRow) -> Vec<u8> {
    let scopes = row.scopes.names().into_iter().map(str::to_owned).collect();
    let (kind, prefix) = (row.kind.as_str().to_owned(), row.prefix.clone());
    let account = row.account.map(|id| id.0);
    let plain: Plain = (row.id.0, account, kind, prefix, scopes, row.created.0, row.suspended, row.rate_per_s);
    serde_json::to_vec(&plain).expect("numbers and texts are JSON")
}

/// `None` for what another version wrote.
pub(super) fn decode(bytes: &[u8]) -> Option<KeyRow> {
    let (id, account, kind, prefix, scopes, created, suspended, rate_per_s): Plain =
        serde_json::from_slice(bytes).ok()?;
    Some(KeyRow {
        id: KeyId(id),
        account: account.map(AccountId),
        kind: KeyKind::parse(&kind)?,
        prefix,
        scopes: Scopes::parse(&scopes).ok()?,
        created: Timestamp(created),
        revoked: None,
        suspended,
        rate_per_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_bytes() {
        let mut row = KeyRow {
            id: KeyId(7),
            account: Some(AccountId(8)),
            kind: KeyKind::Live,
            prefix: "bk_00000".into(),
            scopes: Scopes::parse(&["send", "read"]).unwrap(),
            created: Timestamp(9),
            revoked: None,
            suspended: true,
            rate_per_s: 500,
        };
        assert_eq!(decode(&encode(&row)), Some(row.clone()));
        (row.account, row.kind, row.scopes) = (None, KeyKind::Operator, Scopes::OPERATOR);
        assert_eq!(decode(&encode(&row)), Some(row));
        assert_eq!(decode(b"[1]"), None);
    }
}
