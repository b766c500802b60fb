//! Relays (중계사) are rows: adding a fifth one is an insert (design D13).

use bongsu_domain::{RelayId, Secret, Timestamp};
use serde_json::{Map, Value};

use crate::Store;
use crate::db::{Db, Row, params};
use crate::distributions;
use crate::error::{Error, Kind};
use crate::vault::Vault;

mod settings;

pub use settings::{Coding, Long, RelaySettings, parse_settings};

/// The highest relay number. A claim keeps one byte a message, of which the rest means other things.
pub const NO_MAX: u8 = 62;
/// The most parts a second.
pub const RATE_MAX: u32 = 100_000;
/// The most unanswered parts of one bind.
pub const WINDOW_MAX: u16 = 10_000;
/// The most binds.
pub const BINDS_MAX: u8 = 32;
/// The standard's 16 octets less the closing NUL (SMPP 3.4, 5.2.1).
pub const SYSTEM_ID_MAX: usize = 15;
/// The standard says 8 (SMPP 3.4, 5.2.2), but gateways in the field take longer ones.
pub const PASSWORD_MAX: usize = 32;

const NAME_MAX: usize = 20;
const ADDRESS_MAX: usize = 255;

/// One relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRow {
    /// Its small number, 0 to [`NO_MAX`]: what messages, shares and statistics store. Never given again.
    pub no: u8,
    /// Its id outside.
    pub id: RelayId,
    /// Its name, unique among the relays that are not deleted.
    pub name: String,
    /// The protocol; `smpp` for now.
    pub kind: String,
    /// `host:port`.
    pub address: String,
    /// Who we are to it.
    pub system_id: String,
    /// Its proof; sealed at rest.
    pub password: Secret,
    /// Parts a second, over all binds.
    pub rate_per_s: u32,
    /// Unanswered parts a bind.
    pub window: u16,
    /// Connections.
    pub binds: u8,
    /// Whether a message of unknown fate is sent again after a while (at least once), or ends expired.
    pub resend_unknown: bool,
    /// The rest.
    pub settings: RelaySettings,
    /// When it was made.
    pub created: Timestamp,
    /// When it was deleted; its messages still name it.
    pub deleted: Option<Timestamp>,
}

/// A relay to be made; the fields are those of [`RelayRow`].
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "said at RelayRow")]
pub struct NewRelay {
    pub name: String,
    pub kind: String,
    pub address: String,
    pub system_id: String,
    pub password: Secret,
    pub rate_per_s: u32,
    pub window: u16,
    pub binds: u8,
    pub resend_unknown: bool,
    pub settings: RelaySettings,
}

/// What to change of a relay; `None` leaves a value as it is. Name and kind never change.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "said at RelayRow")]
pub struct RelayPatch {
    pub address: Option<String>,
    pub system_id: Option<String>,
    pub password: Option<Secret>,
    pub rate_per_s: Option<u32>,
    pub window: Option<u16>,
    pub binds: Option<u8>,
    pub resend_unknown: Option<bool>,
    /// Merged key by key; null takes a key back to its default.
    pub settings: Option<Map<String, Value>>,
}

const SELECT: &str = "SELECT no, id, name, kind, address, system_id, password_sealed, rate_per_s, send_window, binds, \
     resend_unknown, settings, created, deleted FROM relays";

/// Adds a relay.
///
/// # Errors
/// `Invalid` with the field; `Conflict("name")` when another relay has it; `Conflict("relays")` when every number
/// was given.
pub async fn create(store: &Store, new: NewRelay) -> Result<RelayRow, Error> {
    let mut row = RelayRow {
        no: 0,
        id: RelayId(0),
        name: new.name,
        kind: new.kind,
        address: new.address,
        system_id: new.system_id,
        password: new.password,
        rate_per_s: new.rate_per_s,
        window: new.window,
        binds: new.binds,
        resend_unknown: new.resend_unknown,
        settings: new.settings,
        created: Timestamp(0),
        deleted: None,
    };
    check(&row)?;
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            if tx.live.prepare_cached("SELECT 1 FROM relays WHERE name = ? AND deleted = 0")?.exists([&row.name])? {
                return Err(Error::new(Kind::Conflict("name"), format!("there is a relay {:?} already", row.name)));
            }
            let next: u32 =
                tx.live.query_row("SELECT COALESCE(MAX(no) + 1, 0) FROM relays", (), |found| found.get(0))?;
            row.no = u8::try_from(next).ok().filter(|no| *no <= NO_MAX).ok_or_else(|| {
                Error::new(Kind::Conflict("relays"), "every relay number was given, and none is given twice")
            })?;
            row.id = RelayId(tx.new_id()?);
            row.created = tx.now;
            insert(tx.live, &vault, &row)?;
            Ok(row.clone())
        })
        .await
}

/// One relay, unless it is deleted.
///
/// # Errors
/// `NotFound`.
pub async fn get(store: &Store, id: RelayId) -> Result<RelayRow, Error> {
    let vault = store.vault().clone();
    store.read(move |reader| must_exist(&reader.live, &vault, id)).await
}

/// The relay of a name, unless it is deleted.
///
/// # Errors
/// `NotFound`.
pub async fn by_name(store: &Store, name: &str) -> Result<RelayRow, Error> {
    let name = name.to_owned();
    list(store).await?.into_iter().find(|row| row.name == name).ok_or_else(not_found)
}

/// The relays that are not deleted, by number.
///
/// # Errors
/// Only those of the store.
pub async fn list(store: &Store) -> Result<Vec<RelayRow>, Error> {
    let vault = store.vault().clone();
    let mut all = store.read(move |reader| load(&reader.live, &vault)).await?;
    all.retain(|row| row.deleted.is_none());
    Ok(all)
}

/// Every relay there ever was, by number: old messages name deleted ones.
///
/// # Errors
/// Only those of the file.
pub fn load(live: &Db, vault: &Vault) -> Result<Vec<RelayRow>, Error> {
    let mut statement = live.prepare_cached(&format!("{SELECT} ORDER BY no"))?;
    let mut rows = statement.query(())?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(from_row(&row, vault)?);
    }
    Ok(all)
}

/// Changes a relay and answers it as it is now.
///
/// # Errors
/// `NotFound`; `Invalid` with the field.
pub async fn patch(store: &Store, id: RelayId, patch: RelayPatch) -> Result<RelayRow, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let mut row = must_exist(tx.live, &vault, id)?;
            row.address = patch.address.clone().unwrap_or(row.address);
            row.system_id = patch.system_id.clone().unwrap_or(row.system_id);
            row.password = patch.password.clone().unwrap_or(row.password);
            row.rate_per_s = patch.rate_per_s.unwrap_or(row.rate_per_s);
            row.window = patch.window.unwrap_or(row.window);
            row.binds = patch.binds.unwrap_or(row.binds);
            row.resend_unknown = patch.resend_unknown.unwrap_or(row.resend_unknown);
            if let Some(changes) = &patch.settings {
                row.settings = settings::merge(&row.settings, changes.clone())?;
            }
            check(&row)?;
            tx.live
                .prepare_cached(
                    "UPDATE relays SET address = ?, system_id = ?, password_sealed = ?, rate_per_s = ?, send_window = ?, \
                     binds = ?, resend_unknown = ?, settings = ? WHERE no = ?",
                )?
                .execute(params![
                    row.address,
                    row.system_id,
                    vault.seal(row.password.expose().as_bytes()),
                    row.rate_per_s,
                    row.window,
                    row.binds,
                    row.resend_unknown,
                    settings::to_json(&row.settings)?,
                    row.no
                ])?;
            Ok(row)
        })
        .await
}

/// Deletes a relay that no distribution names. Its number is not given again.
///
/// # Errors
/// `NotFound`; `Conflict("distributions")`, whose sentence names them.
pub async fn delete(store: &Store, id: RelayId) -> Result<RelayRow, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let mut row = must_exist(tx.live, &vault, id)?;
            let users = distributions::naming(tx.live, row.no)?;
            if !users.is_empty() {
                let why = format!("the relay {} has a share in {}", row.name, users.join(", "));
                return Err(Error::new(Kind::Conflict("distributions"), why));
            }
            row.deleted = Some(tx.now);
            // A clock at the epoch must not read as alive.
            tx.live
                .prepare_cached("UPDATE relays SET deleted = ? WHERE no = ?")?
                .execute(params![tx.now.0.max(1), row.no])?;
            Ok(row)
        })
        .await
}

/// Number and name of the relays that are not deleted, by number.
pub(crate) fn names(live: &Db) -> Result<Vec<(u8, String)>, Error> {
    let mut statement = live.prepare_cached("SELECT no, name FROM relays WHERE deleted = 0 ORDER BY no")?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect::<Result<_, _>>()
}

fn insert(live: &Db, vault: &Vault, row: &RelayRow) -> Result<(), Error> {
    live.prepare_cached(
        "INSERT INTO relays (no, id, name, kind, address, system_id, password_sealed, rate_per_s, send_window, binds, \
         resend_unknown, settings, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.no,
        row.id.0,
        row.name,
        row.kind,
        row.address,
        row.system_id,
        vault.seal(row.password.expose().as_bytes()),
        row.rate_per_s,
        row.window,
        row.binds,
        row.resend_unknown,
        settings::to_json(&row.settings)?,
        row.created.0
    ])?;
    Ok(())
}

fn check(row: &RelayRow) -> Result<(), Error> {
    let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if row.name.is_empty() || row.name.len() > NAME_MAX || !row.name.bytes().all(is_name) {
        return Err(invalid("name", format!("a name is 1 to {NAME_MAX} of a-z, 0-9 and -")));
    }
    if row.kind != "smpp" {
        return Err(invalid("kind", "the kind is smpp"));
    }
    if !is_address(&row.address) {
        return Err(invalid("address", "an address is host:port"));
    }
    let is_plain = |text: &str| text.bytes().all(|c| c.is_ascii_graphic());
    if row.system_id.is_empty() || row.system_id.len() > SYSTEM_ID_MAX || !is_plain(&row.system_id) {
        return Err(invalid("systemId", format!("a system id is 1 to {SYSTEM_ID_MAX} visible ASCII characters")));
    }
    if row.password.expose().len() > PASSWORD_MAX || !is_plain(row.password.expose()) {
        return Err(invalid("password", format!("a password is up to {PASSWORD_MAX} visible ASCII characters")));
    }
    if !(1..=RATE_MAX).contains(&row.rate_per_s) {
        return Err(invalid("ratePerS", format!("a rate is between 1 and {RATE_MAX} parts a second")));
    }
    if !(1..=WINDOW_MAX).contains(&row.window) {
        return Err(invalid("window", format!("a window is between 1 and {WINDOW_MAX} parts")));
    }
    if !(1..=BINDS_MAX).contains(&row.binds) {
        return Err(invalid("binds", format!("there are between 1 and {BINDS_MAX} binds")));
    }
    settings::check(&row.settings)
}

/// `host:port`, the host a name, an IPv4 address or an IPv6 address in brackets.
fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host_ok = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_')),
    };
    host_ok && address.len() <= ADDRESS_MAX && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn must_exist(live: &Db, vault: &Vault, id: RelayId) -> Result<RelayRow, Error> {
    let mut statement = live.prepare_cached(&format!("{SELECT} WHERE id = ? AND deleted = 0 /* lock */"))?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map(|row| from_row(&row, vault)).transpose()?.ok_or_else(not_found)
}

fn from_row(row: &Row<'_>, vault: &Vault) -> Result<RelayRow, Error> {
    let corrupt = |what: &str| Error::new(Kind::Corrupt, format!("the {what} of a stored relay cannot be understood"));
    let sealed: Vec<u8> = row.get(6)?;
    let password = String::from_utf8(vault.open(&sealed)?).map_err(|_| corrupt("password"))?;
    let settings: String = row.get(11)?;
    let deleted: i64 = row.get(13)?;
    Ok(RelayRow {
        no: row.get(0)?,
        id: RelayId(row.get(1)?),
        name: row.get(2)?,
        kind: row.get(3)?,
        address: row.get(4)?,
        system_id: row.get(5)?,
        password: Secret::new(password),
        rate_per_s: row.get(7)?,
        window: row.get(8)?,
        binds: row.get(9)?,
        resend_unknown: row.get(10)?,
        settings: serde_json::from_str(&settings).map_err(|_| corrupt("settings"))?,
        created: Timestamp(row.get(12)?),
        deleted: (deleted != 0).then_some(Timestamp(deleted)),
    })
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "there is no such relay")
}

fn invalid(field: &'static str, why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid(field), why)
}
