//! Sender numbers (발신번호): only registered and verified numbers may send (전기통신사업법 제84조의2).

use std::time::Duration;

use bongsu_domain::{AccountId, PhoneNumber, Secret, SenderId, Timestamp};

use crate::accounts;
use crate::db::{Db, Row, params};
use crate::error::{Error, Kind};
use crate::vault::{self, HashPurpose, Vault};
use crate::{PAGE_MAX, Store};

/// Numbers that one account can have at a time.
pub const SENDERS_MAX: u32 = 100;
/// How long a verification code is good.
pub const CODE_LIFE: Duration = Duration::from_secs(5 * 60);
/// Wrong tries that a code allows; after them it is locked.
pub const CODE_TRIES: u8 = 5;
/// Between two codes for one number.
pub const CODE_PAUSE: Duration = Duration::from_secs(30);
/// Codes for one number within [`CODE_SPAN`], whichever accounts ask.
pub const CODES_PER_SPAN: usize = 5;
/// See [`CODES_PER_SPAN`].
pub const CODE_SPAN: Duration = Duration::from_secs(60 * 60);

const CODE_DIGITS: usize = 6;

/// Whether a number may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderState {
    /// Registered, not verified.
    Pending,
    /// Verified or approved: it may send.
    Active,
}

impl SenderState {
    /// The word that stands for it in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Active].into_iter().find(|state| state.as_str() == word)
    }
}

/// One number of one account. Deleted ones are never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderRow {
    /// Its id.
    pub id: SenderId,
    /// Whose.
    pub account: AccountId,
    /// The number.
    pub number: PhoneNumber,
    /// Whether it may send.
    pub state: SenderState,
    /// True for the number that the account signed up with; it cannot be deleted.
    pub protected: bool,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was verified or approved.
    pub verified: Option<Timestamp>,
}

/// What came of asking for a code.
#[derive(Debug)]
pub enum IssuedCode {
    /// Send this to the number; it is not stored in the clear and never answered to the caller.
    Sent {
        /// Six digits.
        code: Secret,
        /// Good until.
        expires: Timestamp,
    },
    /// Too soon, or too many within an hour.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
    /// The number is verified already.
    AlreadyActive,
}

/// What came of a code that was typed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Right: the number may send now.
    Active(SenderRow),
    /// Wrong.
    Wrong {
        /// Tries that are left.
        left: u8,
    },
    /// Too many wrong tries: even the right code is refused; ask for a new one.
    Locked,
    /// The code is too old, or none was issued.
    Expired,
}

const SELECT: &str = "SELECT id, account, number_sealed, state, protected, created, verified FROM senders";

/// The keyed hash under which a sender number is looked up.
#[must_use]
pub fn number_hash(vault: &Vault, number: &PhoneNumber) -> i64 {
    vault.hash_in(HashPurpose::Sender, number.national().as_bytes())
}

/// Whether this account may send from the number.
///
/// # Errors
/// Only those of the file.
pub fn active_number(live: &Db, account: AccountId, number_hash: i64) -> Result<bool, Error> {
    live.prepare_cached(
        "SELECT 1 FROM senders WHERE account = ? AND number_hash = ? AND deleted = 0 AND state = 'active'",
    )?
    .exists(params![account.0, number_hash])
}

/// Registers a number: it is pending until it is verified or approved.
///
/// # Errors
/// `NotFound` for an unknown account; `Conflict("number")` when the account has it already; `Conflict("senders")`
/// beyond [`SENDERS_MAX`].
pub async fn register(
    store: &Store,
    account: AccountId,
    number: PhoneNumber,
    protected: bool,
) -> Result<SenderRow, Error> {
    let hash = number_hash(store.vault(), &number);
    let sealed = store.vault().seal(number.national().as_bytes());
    store
        .write(move |tx| {
            accounts::must_exist(tx.live, account)?;
            let (same, all): (u32, u32) = tx
                .live
                .prepare_cached(
                    "SELECT COUNT(CASE WHEN number_hash = ? THEN 1 END), COUNT(*) FROM senders WHERE account = ? AND deleted = 0",
                )?
                .query_row(params![hash, account.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if same > 0 {
                return Err(Error::new(Kind::Conflict("number"), "the account has this number already"));
            }
            if all >= SENDERS_MAX {
                return Err(Error::new(
                    Kind::Conflict("senders"),
                    format!("an account has at most {SENDERS_MAX} numbers"),
                ));
            }
            let id = SenderId(tx.new_id()?);
            let state = SenderState::Pending;
            tx.live
                .prepare_cached(
                    "INSERT INTO senders (id, account, number_sealed, number_hash, state, protected, created) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![id.0, account.0, sealed, hash, state.as_str(), protected, tx.now.0])?;
            Ok(SenderRow { id, account, number, state, protected, created: tx.now, verified: None })
        })
        .await
}

/// Makes a verification code for a pending number. A new code replaces the old one and its tries.
///
/// # Errors
/// `NotFound`, also for a number of another account.
pub async fn issue_code(store: &Store, account: AccountId, id: SenderId) -> Result<IssuedCode, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let row = must_exist(tx.live, &vault, Some(account), id)?;
            if row.state == SenderState::Active {
                return Ok(IssuedCode::AlreadyActive);
            }
            let number = number_hash(&vault, &row.number);
            if let Some(until) = wait_until(tx.live, number, tx.now)? {
                return Ok(IssuedCode::Wait { until });
            }
            let code = new_code();
            let expires = tx.now.plus(CODE_LIFE);
            tx.live
                .prepare_cached("UPDATE senders SET code_hash = ?, code_expires = ?, code_tries = 0 WHERE id = ?")?
                .execute(params![code_hash(&vault, id, &code), expires.0, id.0])?;
            tx.live
                .prepare_cached("INSERT INTO code_sends (number_hash, at) VALUES (?, ?)")?
                .execute(params![number, tx.now.0])?;
            Ok(IssuedCode::Sent { code: Secret::new(code), expires })
        })
        .await
}

/// Checks a code that the owner of the number typed in. Wrong tries are counted, so this always writes.
///
/// # Errors
/// `NotFound`, also for a number of another account.
pub async fn verify(store: &Store, account: AccountId, id: SenderId, code: &str) -> Result<Verified, Error> {
    let vault = store.vault().clone();
    let presented = code_hash(&vault, id, code.trim());
    store
        .write(move |tx| {
            let row = must_exist(tx.live, &vault, Some(account), id)?;
            if row.state == SenderState::Active {
                return Ok(Verified::Active(row));
            }
            let (expected, expires, tries): (Option<i64>, Option<i64>, u8) = tx
                .live
                .prepare_cached("SELECT code_hash, code_expires, code_tries FROM senders WHERE id = ?")?
                .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            if expected.is_none() || expires.is_none_or(|expires| expires <= tx.now.0) {
                return Ok(Verified::Expired);
            }
            if tries >= CODE_TRIES {
                return Ok(Verified::Locked);
            }
            if expected == Some(presented) {
                return activate(tx.live, row, tx.now).map(Verified::Active);
            }
            let tries = tries + 1;
            tx.live.prepare_cached("UPDATE senders SET code_tries = ? WHERE id = ?")?.execute(params![tries, id.0])?;
            Ok(Verified::Wrong { left: CODE_TRIES - tries })
        })
        .await
}

/// Lets a number send without a code: for numbers that cannot receive one, after an operator saw the papers.
///
/// # Errors
/// `NotFound`, also for a number of another account than `scope`.
pub async fn approve(store: &Store, scope: Option<AccountId>, id: SenderId) -> Result<SenderRow, Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let row = must_exist(tx.live, &vault, scope, id)?;
            if row.state == SenderState::Active { Ok(row) } else { activate(tx.live, row, tx.now) }
        })
        .await
}

/// Numbers, newest first: an account's, or with `None` everybody's. At most `limit` (and [`PAGE_MAX`]) of them, older
/// than `after`.
///
/// # Errors
/// Only those of the store.
pub async fn list(
    store: &Store,
    scope: Option<AccountId>,
    limit: u32,
    after: Option<SenderId>,
) -> Result<Vec<SenderRow>, Error> {
    let vault = store.vault().clone();
    store
        .read(move |reader| {
            let filter = if scope.is_some() { "account = ?" } else { "? IS NULL" };
            let mut statement = reader.live.prepare_cached(&format!(
                "{SELECT} WHERE {filter} AND deleted = 0 AND id < ? ORDER BY id DESC LIMIT ?"
            ))?;
            let after = after.map_or(i64::MAX, |id| id.0);
            let mut rows = statement.query(params![scope.map(|id| id.0), after, limit.min(PAGE_MAX)])?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push(from_row(&row, &vault)?);
            }
            Ok(page)
        })
        .await
}

/// One number of the account; `None` is the operator, who sees every number.
///
/// # Errors
/// `NotFound`, also for a number of another account.
pub async fn get(store: &Store, scope: Option<AccountId>, id: SenderId) -> Result<SenderRow, Error> {
    let vault = store.vault().clone();
    store.read(move |reader| must_exist(&reader.live, &vault, scope, id)).await
}

/// Deletes a number: it cannot send from now on. Registering it again starts from pending.
///
/// # Errors
/// `NotFound`; `Conflict("protected")` for the number that the account signed up with.
pub async fn delete(store: &Store, scope: Option<AccountId>, id: SenderId) -> Result<(), Error> {
    let vault = store.vault().clone();
    store
        .write(move |tx| {
            let row = must_exist(tx.live, &vault, scope, id)?;
            if row.protected {
                let why = "the number that the account signed up with cannot be deleted";
                return Err(Error::new(Kind::Conflict("protected"), why));
            }
            // The id tells deleted rows of one number apart, where two times could be equal.
            tx.live
                .prepare_cached("UPDATE senders SET deleted = ?, code_hash = NULL WHERE id = ?")?
                .execute(params![id.0, id.0])?;
            Ok(())
        })
        .await
}

fn activate(live: &Db, mut row: SenderRow, now: Timestamp) -> Result<SenderRow, Error> {
    row.state = SenderState::Active;
    row.verified = Some(now);
    live.prepare_cached(
        "UPDATE senders SET state = ?, verified = ?, code_hash = NULL, code_expires = NULL, code_tries = 0 WHERE id = ?",
    )?
    .execute(params![row.state.as_str(), now.0, row.id.0])?;
    Ok(row)
}

/// When the number may have its next code, if not now. Forgets codes that no limit looks at any more.
fn wait_until(live: &Db, number: i64, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    live.prepare_cached("DELETE FROM code_sends WHERE at <= ?")?.execute([now.minus(CODE_SPAN).0])?;
    let mut statement =
        live.prepare_cached("SELECT at FROM code_sends WHERE number_hash = ? ORDER BY at DESC LIMIT ?")?;
    let sent: Vec<Timestamp> = statement
        .query_map(params![number, CODES_PER_SPAN as i64], |row| row.get(0).map(Timestamp))?
        .collect::<Result<_, _>>()?;
    let after_last = sent.first().map(|last| last.plus(CODE_PAUSE));
    let after_span = sent.get(CODES_PER_SPAN - 1).map(|oldest| oldest.plus(CODE_SPAN));
    Ok(after_last.max(after_span).filter(|until| *until > now))
}

/// Six digits, each as likely as any other: numbers above the last full million are drawn again.
fn new_code() -> String {
    const SPACE: u32 = 10u32.pow(CODE_DIGITS as u32);
    loop {
        let mut bytes = [0u8; 4];
        vault::random(&mut bytes);
        let drawn = u32::from_be_bytes(bytes);
        if drawn < u32::MAX - u32::MAX % SPACE {
            return format!("{:0width$}", drawn % SPACE, width = CODE_DIGITS);
        }
    }
}

/// The hash holds the number's id, so that equal codes of two numbers look different.
fn code_hash(vault: &Vault, id: SenderId, code: &str) -> i64 {
    let mut data = id.0.to_be_bytes().to_vec();
    data.extend_from_slice(code.as_bytes());
    vault.hash_in(HashPurpose::Code, &data)
}

fn must_exist(live: &Db, vault: &Vault, scope: Option<AccountId>, id: SenderId) -> Result<SenderRow, Error> {
    let mut statement = live.prepare_cached(&format!("{SELECT} WHERE id = ? AND deleted = 0 /* lock */"))?;
    let mut rows = statement.query([id.0])?;
    let row = rows.next()?.map(|row| from_row(&row, vault)).transpose()?;
    row.filter(|row| scope.is_none_or(|scope| row.account == scope))
        .ok_or_else(|| Error::new(Kind::NotFound, "there is no such sender number"))
}

fn from_row(row: &Row<'_>, vault: &Vault) -> Result<SenderRow, Error> {
    let corrupt = || Error::new(Kind::Corrupt, "a stored sender number cannot be understood");
    let sealed: Vec<u8> = row.get(2)?;
    let digits = String::from_utf8(vault.open(&sealed)?).map_err(|_| corrupt())?;
    let state: String = row.get(3)?;
    Ok(SenderRow {
        id: SenderId(row.get(0)?),
        account: AccountId(row.get(1)?),
        number: PhoneNumber::from_national(&digits).ok_or_else(corrupt)?,
        state: SenderState::parse(&state).ok_or_else(corrupt)?,
        protected: row.get(4)?,
        created: Timestamp(row.get(5)?),
        verified: row.get::<Option<i64>>(6)?.map(Timestamp),
    })
}
