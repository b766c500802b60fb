//! A key's row as bytes, for a memory that processes share.

use bongsu_domain::{AccountId, KeyId, Network, Timestamp};
use serde::{Deserialize, Serialize};

use super::{KeyKind, KeyRow, Scopes, Signing};

/// A row as it is written. Revoked keys and those that are switched off are not remembered.
#[derive(Serialize, Deserialize)]
struct Plain {
    id: i64,
    account: Option<i64>,
    kind: String,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    created: i64,
    ip_allow: Vec<String>,
    signing: String,
    signing_sealed: Option<Vec<u8>>,
    suspended: bool,
    rate_per_s: u32,
}

pub(super) fn encode(row: &KeyRow) -> Vec<u8> {
    let plain = Plain {
        id: row.id.0,
        account: row.account.map(|id| id.0),
        kind: row.kind.as_str().to_owned(),
        name: row.name.clone(),
        prefix: row.prefix.clone(),
        scopes: row.scopes.names().into_iter().map(str::to_owned).collect(),
        created: row.created.0,
        ip_allow: row.ip_allow.iter().map(Network::to_string).collect(),
        signing: row.signing.as_str().to_owned(),
        signing_sealed: row.signing_sealed.clone(),
        suspended: row.suspended,
        rate_per_s: row.rate_per_s,
    };
    serde_json::to_vec(&plain).expect("numbers and texts are JSON")
}

/// `None` for what another version wrote.
pub(super) fn decode(bytes: &[u8]) -> Option<KeyRow> {
    let plain: Plain = serde_json::from_slice(bytes).ok()?;
    Some(KeyRow {
        id: KeyId(plain.id),
        account: plain.account.map(AccountId),
        kind: KeyKind::parse(&plain.kind)?,
        name: plain.name,
        prefix: plain.prefix,
        scopes: Scopes::parse(&plain.scopes).ok()?,
        created: Timestamp(plain.created),
        revoked: None,
        active: true,
        ip_allow: plain.ip_allow.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
        signing: Signing::parse(&plain.signing)?,
        signing_sealed: plain.signing_sealed,
        suspended: plain.suspended,
        rate_per_s: plain.rate_per_s,
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
            kind: KeyKind::Team,
            name: "가게".into(),
            prefix: "bk_00000".into(),
            scopes: Scopes::parse(&["send", "read"]).unwrap(),
            created: Timestamp(9),
            revoked: None,
            active: true,
            ip_allow: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
            signing: Signing::Required,
            signing_sealed: Some(vec![1, 2]),
            suspended: true,
            rate_per_s: 500,
        };
        assert_eq!(decode(&encode(&row)), Some(row.clone()));
        (row.account, row.kind, row.scopes) = (None, KeyKind::Operator, Scopes::OPERATOR);
        assert_eq!(decode(&encode(&row)), Some(row));
        assert_eq!(decode(b"[1]"), None);
    }
}
