//! How accounts, keys, sender numbers, relays, shares, prices and money are shown.

use std::collections::BTreeMap;

use bongsu_domain::{AccountId, Channel, KeyId, Network, RelayId, Secret, SenderId, Timestamp, Unit};
use bongsu_store::accounts::AccountRow;
use bongsu_store::audit;
use bongsu_store::distributions::DistributionRow;
use bongsu_store::keys::{KeyRow, NewKey, Role};
use bongsu_store::relays::{RelayRow, RelaySettings};
use bongsu_store::senders::SenderRow;
use bongsu_store::wallet;
use serde::Serialize;

use super::{Shown, Time};

/// An account.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account<'a> {
    id: Shown<AccountId>,
    name: &'a str,
    suspended: bool,
    rate_per_s: u32,
    dedupe_s: u32,
    ad_name: Option<&'a str>,
    opt_out_number: Option<&'a str>,
    created_at: Time,
}

impl<'a> Account<'a> {
    /// Shows an account.
    pub fn new(row: &'a AccountRow) -> Self {
        Self {
            id: Shown(row.id),
            name: &row.name,
            suspended: row.suspended,
            rate_per_s: row.rate_per_s,
            dedupe_s: row.dedupe_s,
            ad_name: row.ads.name.as_deref(),
            opt_out_number: row.ads.opt_out.as_deref(),
            created_at: Time(row.created),
        }
    }
}

/// An API key without its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key<'a> {
    id: Shown<KeyId>,
    account: Option<Shown<AccountId>>,
    kind: &'static str,
    name: &'a str,
    prefix: &'a str,
    /// The role whose scopes it has, if there is one.
    role: Option<&'static str>,
    scopes: Vec<&'static str>,
    active: bool,
    ip_allow: Vec<Shown<Network>>,
    signing: &'static str,
    created_at: Time,
    revoked_at: Option<Time>,
}

impl<'a> Key<'a> {
    /// Shows a key.
    pub fn new(row: &'a KeyRow) -> Self {
        Self {
            id: Shown(row.id),
            account: row.account.map(Shown),
            kind: row.kind.as_str(),
            name: &row.name,
            prefix: &row.prefix,
            role: Role::of(row.scopes).map(Role::as_str),
            scopes: row.scopes.names(),
            active: row.active && row.revoked.is_none(),
            ip_allow: row.ip_allow.iter().copied().map(Shown).collect(),
            signing: row.signing.as_str(),
            created_at: Time(row.created),
            revoked_at: row.revoked.map(Time),
        }
    }
}

/// A key just made: the only answer that holds its secret.
#[derive(Serialize)]
pub struct CreatedKey<'a> {
    #[serde(flatten)]
    row: Key<'a>,
    key: &'a str,
    #[serde(rename = "signingSecret", skip_serializing_if = "Option::is_none")]
    signing_secret: Option<&'a str>,
}

impl<'a> CreatedKey<'a> {
    /// Shows a new key.
    pub fn new(created: &'a NewKey) -> Self {
        Self {
            row: Key::new(&created.row),
            key: created.key.expose(),
            signing_secret: created.signing_secret.as_ref().map(Secret::expose),
        }
    }
}

/// A sender number. It is the account's own, so it is shown in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sender<'a> {
    id: Shown<SenderId>,
    account: Shown<AccountId>,
    number: &'a str,
    state: &'static str,
    protected: bool,
    created_at: Time,
    verified_at: Option<Time>,
}

impl<'a> Sender<'a> {
    /// Shows a sender number.
    pub fn new(row: &'a SenderRow) -> Self {
        Self {
            id: Shown(row.id),
            account: Shown(row.account),
            number: row.number.national(),
            state: row.state.as_str(),
            protected: row.protected,
            created_at: Time(row.created),
            verified_at: row.verified.map(Time),
        }
    }
}

/// A sender number to which a code was to be sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coded<'a> {
    #[serde(flatten)]
    sender: Sender<'a>,
    code_sent: bool,
    code_expires_at: Option<Time>,
}

impl<'a> Coded<'a> {
    /// Shows a sender number, and until when its code is valid if one was sent.
    pub fn new(row: &'a SenderRow, expires: Option<Timestamp>) -> Self {
        Self { sender: Sender::new(row), code_sent: expires.is_some(), code_expires_at: expires.map(Time) }
    }
}

/// A relay without its password.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relay<'a> {
    id: Shown<RelayId>,
    name: &'a str,
    kind: &'a str,
    address: &'a str,
    system_id: &'a str,
    rate_per_s: u32,
    window: u16,
    binds: u8,
    resend_unknown: bool,
    settings: &'a RelaySettings,
    created_at: Time,
    health: Option<RelayHealth>,
}

/// How a relay does right now, as this process sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayHealth {
    /// At least one bind is usable.
    pub up: bool,
    /// Since when it is up or down.
    pub since: Time,
    /// Usable binds.
    pub binds: u16,
    /// Parts that may be outstanding.
    pub window: u32,
    /// Parts written and not answered.
    pub window_used: u32,
    /// Parts taken and not written.
    pub queued: u32,
    /// The relay asked to slow down.
    pub throttled: bool,
}

impl<'a> Relay<'a> {
    /// Shows a relay; without health when no process here serves it.
    pub fn new(row: &'a RelayRow, health: Option<RelayHealth>) -> Self {
        Self {
            id: Shown(row.id),
            name: &row.name,
            kind: &row.kind,
            address: &row.address,
            system_id: &row.system_id,
            rate_per_s: row.rate_per_s,
            window: row.window,
            binds: row.binds,
            resend_unknown: row.resend_unknown,
            settings: &row.settings,
            created_at: Time(row.created),
            health,
        }
    }
}

/// The shares of an account's channel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution<'a> {
    account: Shown<AccountId>,
    channel: &'static str,
    shares: BTreeMap<&'a str, u32>,
    /// False while the even default is used.
    set: bool,
    updated_at: Option<Time>,
}

impl<'a> Distribution<'a> {
    /// Shows a distribution.
    pub fn new(row: &'a DistributionRow) -> Self {
        Self {
            account: Shown(row.account),
            channel: row.channel.as_str(),
            shares: row.shares.iter().map(|(relay, share)| (relay.as_str(), *share)).collect(),
            set: row.set,
            updated_at: row.updated.map(Time),
        }
    }
}

/// The price of a channel.
#[derive(Debug, Serialize)]
pub struct ChannelPrice {
    channel: &'static str,
    unit: &'static str,
    amount: i64,
}

impl ChannelPrice {
    /// Shows a price.
    pub fn new(channel: Channel, price: bongsu_domain::Price) -> Self {
        Self { channel: channel.as_str(), unit: price.unit.as_str(), amount: price.amount }
    }
}

/// Balances by unit.
#[derive(Debug, Serialize)]
pub struct Wallet {
    balances: BTreeMap<&'static str, i64>,
}

impl Wallet {
    /// Shows balances.
    pub fn new(balances: &[(Unit, i64)]) -> Self {
        Self { balances: balances.iter().map(|(unit, amount)| (unit.as_str(), *amount)).collect() }
    }
}

/// A ledger entry.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    seq: i64,
    account: Shown<AccountId>,
    unit: &'static str,
    amount: i64,
    balance: i64,
    cause: &'a str,
    at: Time,
}

impl<'a> Entry<'a> {
    /// Shows an entry.
    pub fn new(row: &'a wallet::Entry) -> Self {
        Self {
            seq: row.seq,
            account: Shown(row.account),
            unit: row.unit.as_str(),
            amount: row.amount,
            balance: row.balance,
            cause: &row.cause,
            at: Time(row.at),
        }
    }
}

/// The process runs.
#[derive(Debug, Serialize)]
pub struct Live {
    /// Always `live`.
    pub status: &'static str,
}

/// Whether the process can work.
#[derive(Debug, Serialize)]
pub struct Ready {
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// Whether the process cannot do its work without it.
    needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What one thing said when it was asked how it is.
pub type Checked = (&'static str, Result<(), String>);

impl Ready {
    /// Shows the checks by name: those that the process cannot work without, and those without which it is slower.
    pub fn new(needed: Vec<Checked>, useful: Vec<Checked>) -> Self {
        let show = |needed: bool| {
            move |(name, checked): Checked| Check { name, ok: checked.is_ok(), needed, detail: checked.err() }
        };
        let checks: Vec<Check> =
            needed.into_iter().map(show(true)).chain(useful.into_iter().map(show(false))).collect();
        let is_ready = checks.iter().all(|check| check.ok || !check.needed);
        Self { status: if is_ready { "ready" } else { "not ready" }, checks }
    }

    /// Whether everything is there that it needs.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok || !check.needed)
    }
}

/// What the store counts by itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    accepted: u64,
    missing: u64,
    double_final: u64,
    double_charge: u64,
    ledger_mismatch: u64,
    unknown_attempts: u64,
    orphan_receipts: u64,
}

impl Totals {
    /// Shows the counts.
    pub fn new(totals: &audit::Totals) -> Self {
        Self {
            accepted: totals.accepted,
            missing: totals.missing,
            double_final: totals.double_final,
            double_charge: totals.double_charge,
            ledger_mismatch: totals.ledger_mismatch,
            unknown_attempts: totals.unknown_attempts,
            orphan_receipts: totals.orphan_receipts,
        }
    }
}
