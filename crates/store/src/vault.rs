//! The vault: seals personal data at rest and gives the keyed hashes that stand for it in indexes (design D11).

use std::cell::RefCell;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac, rand};

use crate::db::{Db, OptionalExtension, params};
use crate::error::{Error, Kind};

mod file;

/// What sealing adds to a plaintext, in bytes: version 1, key id 1, nonce 12, tag 16.
pub const OVERHEAD: usize = HEAD + NONCE_LEN + TAG_LEN;

const HEAD: usize = 2;
const TAG_LEN: usize = 16;
const VERSION: u8 = 1;
const SECRET_LEN: usize = 32;
const SHA256_BLOCK_LEN: usize = 64;
const KNOWN: &[u8] = b"bongsu vault check";

/// What a keyed hash is for. Hashes of different purposes cannot be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashPurpose {
    /// A recipient number in full.
    Recipient = 0,
    /// The last four digits of a recipient number.
    LastFour = 1,
    /// A caller's own message id.
    ClientRef = 2,
    /// A sender number.
    Sender = 3,
    /// A verification code.
    Code = 4,
    /// Who writes what to whom, for telling equal messages.
    Content = 5,
    /// A set of department code and labels.
    Tags = 6,
}

const PURPOSES: [&[u8]; 7] = [
    b"bongsu hash recipient",
    b"bongsu hash last four",
    b"bongsu hash client ref",
    b"bongsu hash sender",
    b"bongsu hash code",
    b"bongsu hash content",
    b"bongsu hash tags",
];

/// Seals with AES-256-GCM-SIV (RFC 8452) and hashes with HMAC-SHA256, each under a sub-key of its own.
///
/// A ciphertext is: version byte, key id byte, nonce, ciphertext with tag. The key id lets keys rotate: new data is
/// sealed with the last key of the file, old data opens with the key it names. The hash key never rotates, because
/// hashes are looked up. Thread-safe; share it as `Arc<Vault>`.
pub struct Vault {
    seals: Vec<(u8, LessSafeKey)>,
    hashes: [HashKey; PURPOSES.len()],
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.seals.len()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the key file at `path`, or makes it (mode 0600) when the data directory is new.
    ///
    /// # Errors
    /// `Corrupt` when the directory has data but no key file (a second key would make that data unreadable for ever,
    /// silently), or when the file cannot be understood; `Unavailable` when it cannot be read or written.
    pub fn open_or_create(path: &Path, new_data_dir: bool) -> Result<Self, Error> {
        match file::read(path) {
            Ok(text) => Self::from_text(&text, path),
            Err(e) if e.kind() == ErrorKind::NotFound && new_data_dir => {
                let text = file::fresh();
                file::write(path, &text).map_err(|e| file::unavailable("cannot write", path, &e))?;
                Self::from_text(&text, path)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::new(
                Kind::Corrupt,
                format!(
                    "the key file {} is missing, but the data directory holds data sealed with it: \
                     put the key file back from its backup",
                    path.display()
                ),
            )),
            Err(e) => Err(file::unavailable("cannot read", path, &e)),
        }
    }

    fn from_text(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::new(Kind::Corrupt, format!("the key file {}: {why}", path.display()));
        let mut hash: Option<[u8; SECRET_LEN]> = None;
        let mut seals: Vec<(u8, LessSafeKey)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = at + 1;
            let (name, value) =
                line.split_once('=').ok_or_else(|| wrong(format!("line {at} is not `name = \"hex\"`")))?;
            let secret = parse_hex(value.trim().trim_matches('"'))
                .ok_or_else(|| wrong(format!("line {at} does not hold 64 hexadecimal digits")))?;
            match name.trim().split_once('-') {
                None if name.trim() == "hash" && hash.is_none() => hash = Some(secret),
                Some(("seal", id)) => {
                    let id: u8 =
                        id.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
                            wrong(format!("line {at}: the number of a seal key is between 1 and 255"))
                        })?;
                    if seals.iter().any(|(known, _)| *known == id) {
                        return Err(wrong(format!("line {at}: seal-{id} is there twice")));
                    }
                    seals.push((id, seal_key(&secret)));
                }
                _ => return Err(wrong(format!("line {at}: expected `hash` once or `seal-N`"))),
            }
        }
        let hash = hash.ok_or_else(|| wrong("it has no line `hash = …`".into()))?;
        if seals.is_empty() {
            return Err(wrong("it has no line `seal-1 = …`".into()));
        }
        let master = hmac::Key::new(hmac::HMAC_SHA256, &hash);
        Ok(Self { seals, hashes: PURPOSES.map(|p| HashKey::new(hmac::sign(&master, p).as_ref())) })
    }

    /// Seals `plain` with the current key; the answer is [`OVERHEAD`] bytes longer.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        self.seal_into(plain, &mut out);
        out
    }

    /// Seals `plain` and appends the ciphertext to `out`.
    pub fn seal_into(&self, plain: &[u8], out: &mut Vec<u8>) {
        let (id, key) = self.seals.last().expect("a vault has at least one seal key, checked when it was read");
        let nonce = next_nonce();
        let head = [VERSION, *id];
        out.extend_from_slice(&head);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(head), &mut out[start..])
            .expect("sealing fails only beyond 2^36 bytes");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens what [`Vault::seal`] made.
    ///
    /// # Errors
    /// `Corrupt` when the bytes were changed, are no ciphertext, or name a key that the key file lacks.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let corrupt = |why: String| Error::new(Kind::Corrupt, why);
        if sealed.len() < OVERHEAD || sealed[0] != VERSION {
            return Err(corrupt("sealed data is cut short or of an unknown version".into()));
        }
        let (head, rest) = sealed.split_at(HEAD);
        let (nonce, body) = rest.split_at(NONCE_LEN);
        let key = self
            .seals
            .iter()
            .rev()
            .find_map(|(id, key)| (*id == head[1]).then_some(key))
            .ok_or_else(|| corrupt(format!("the key file lacks seal-{}, with which data was sealed", head[1])))?;
        let mut plain = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| corrupt("bad nonce".into()))?;
        let len = key
            .open_in_place(nonce, Aad::from([head[0], head[1]]), &mut plain)
            .map_err(|_| corrupt("sealed data does not open: it was changed, or the key file is another one".into()))?
            .len();
        plain.truncate(len);
        Ok(plain)
    }

    /// The keyed hash of a recipient number: what equality search uses instead of the number.
    #[must_use]
    pub fn hash(&self, data: &[u8]) -> i64 {
        self.hash_in(HashPurpose::Recipient, data)
    }

    /// HMAC-SHA256 under the purpose's own key, cut to 63 bits, never negative.
    #[must_use]
    pub fn hash_in(&self, purpose: HashPurpose, data: &[u8]) -> i64 {
        let tag = self.hashes[purpose as usize].sign(data);
        let mut first = [0u8; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        i64::from_be_bytes(first) & i64::MAX
    }

    fn current_id(&self) -> u8 {
        self.seals.last().expect("a vault has at least one seal key, checked when it was read").0
    }
}

/// HMAC-SHA256 (RFC 2104) from two states that have taken in the key already: half the time of a fresh one, and every
/// message needs two.
struct HashKey {
    inner: digest::Context,
    outer: digest::Context,
}

impl HashKey {
    /// From a key of at most one block of SHA-256.
    fn new(key: &[u8]) -> Self {
        let state = |pad: u8| {
            let mut block = [pad; SHA256_BLOCK_LEN];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = digest::Context::new(&digest::SHA256);
            state.update(&block);
            state
        };
        Self { inner: state(0x36), outer: state(0x5c) }
    }

    fn sign(&self, data: &[u8]) -> digest::Digest {
        let mut inner = self.inner.clone();
        inner.update(data);
        let mut outer = self.outer.clone();
        outer.update(inner.finish().as_ref());
        outer.finish()
    }
}

/// Compares the vault with the one the data was written with, and notes the current key as used.
///
/// # Errors
/// `Corrupt` when the key file is another one, or lacks a key that sealed data.
pub fn check(live: &Db, vault: &Vault) -> Result<(), Error> {
    let hash = vault.hash(KNOWN);
    let mut used = live.prepare_cached("SELECT key_id, sealed, hash FROM vault_keys ORDER BY key_id")?;
    let mut rows = used.query(())?;
    while let Some(row) = rows.next()? {
        let (id, sealed, known): (u8, Vec<u8>, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let same = vault.open(&sealed).is_ok_and(|plain| plain == KNOWN) && known == hash;
        if !same {
            return Err(Error::new(
                Kind::Corrupt,
                format!(
                    "the key file is not the one this data was written with, or lacks its seal-{id}: put that file back"
                ),
            ));
        }
    }
    let id = vault.current_id();
    let noted: Option<i64> =
        live.query_row("SELECT key_id FROM vault_keys WHERE key_id = ?", [id], |row| row.get(0)).optional()?;
    if noted.is_none() {
        live.execute(
            "INSERT INTO vault_keys (key_id, sealed, hash) VALUES (?, ?, ?)",
            params![id, vault.seal(KNOWN), hash],
        )?;
    }
    Ok(())
}

/// Fills `out` with secure random bytes.
pub fn random(out: &mut [u8]) {
    rand::fill(out).expect("the system's random generator answers");
}

/// Nonces are drawn from a small buffer a thread, since a call of the generator costs more than a seal. GCM-SIV
/// stays safe even if two messages should ever share one.
fn next_nonce() -> [u8; NONCE_LEN] {
    const BUFFER: usize = NONCE_LEN * 128;
    thread_local! {
        static NONCES: RefCell<([u8; BUFFER], usize)> = const { RefCell::new(([0; BUFFER], BUFFER)) };
    }
    NONCES.with_borrow_mut(|(bytes, used)| {
        if *used == BUFFER {
            random(bytes);
            *used = 0;
        }
        let mut nonce = [0u8; NONCE_LEN];
        nonce.copy_from_slice(&bytes[*used..*used + NONCE_LEN]);
        *used += NONCE_LEN;
        nonce
    })
}

fn seal_key(secret: &[u8; SECRET_LEN]) -> LessSafeKey {
    let sub = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"bongsu seal");
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM_SIV, sub.as_ref()).expect("HMAC-SHA256 gives the 32 bytes of the key"),
    )
}

fn parse_hex(text: &str) -> Option<[u8; SECRET_LEN]> {
    if text.len() != SECRET_LEN * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0u8; SECRET_LEN];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open_or_create(&dir.path().join("keys"), true).unwrap();
        (dir, vault)
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let (_dir, vault) = vault();
        for len in [0usize, 1, 11, 100, 4096] {
            let plain = vec![7u8; len];
            let sealed = vault.seal(&plain);
            assert_eq!(sealed.len(), len + OVERHEAD);
            assert_eq!(vault.open(&sealed).unwrap(), plain);
            for at in [0, 1, 2, sealed.len() - 1] {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                assert_eq!(vault.open(&bad).unwrap_err().kind(), Kind::Corrupt, "byte {at}");
            }
        }
        assert_eq!(vault.open(&[1; 10]).unwrap_err().kind(), Kind::Corrupt);
        assert_ne!(vault.seal(b"same"), vault.seal(b"same"), "a nonce is fresh each time");
    }

    #[test]
    fn hashes_are_stable_positive_and_differ_by_purpose() {
        let (dir, vault) = vault();
        let again = Vault::open_or_create(&dir.path().join("keys"), false).unwrap();
        assert_eq!(vault.hash(b"01012345678"), again.hash(b"01012345678"));
        assert_ne!(vault.hash(b"5678"), vault.hash_in(HashPurpose::LastFour, b"5678"));
        for n in 0..200u32 {
            assert!(vault.hash(&n.to_be_bytes()) >= 0);
        }
        let (_other_dir, other) = self::vault();
        assert_ne!(vault.hash(b"01012345678"), other.hash(b"01012345678"));
    }

    #[test]
    fn the_prepared_states_give_the_standard_hmac() {
        for key_len in [0usize, 1, 32, 64] {
            let key = vec![0xa5; key_len];
            let standard = hmac::Key::new(hmac::HMAC_SHA256, &key);
            for len in [0usize, 4, 11, 63, 64, 200] {
                let data = vec![len as u8; len];
                assert_eq!(HashKey::new(&key).sign(&data).as_ref(), hmac::sign(&standard, &data).as_ref());
            }
        }
    }

    #[test]
    fn a_lost_key_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let lost = Vault::open_or_create(&path, false).unwrap_err();
        assert_eq!(lost.kind(), Kind::Corrupt);
        assert!(lost.to_string().contains("missing"), "{lost}");
        assert!(!path.exists());
        Vault::open_or_create(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        Vault::open_or_create(&path, true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn keys_rotate_and_the_last_one_seals() {
        let (dir, vault) = vault();
        let path = dir.path().join("keys");
        let old = vault.seal(b"old");
        let hash = vault.hash(b"x");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!("seal-7 = \"{}\"\n", "ab".repeat(32)));
        fs::write(&path, &text).unwrap();
        let rotated = Vault::open_or_create(&path, false).unwrap();
        let new = rotated.seal(b"new");
        assert_eq!(new[1], 7);
        assert_eq!(rotated.open(&old).unwrap(), b"old");
        assert_eq!(rotated.hash(b"x"), hash);
        assert!(vault.open(&new).unwrap_err().to_string().contains("seal-7"));
    }

    #[test]
    fn a_garbled_key_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let hex = "0".repeat(64);
        for (text, says) in [
            (String::new(), "no line `hash"),
            (format!("hash = \"{hex}\"\n"), "no line `seal-1"),
            (format!("hash = \"{hex}\"\nseal-0 = \"{hex}\"\n"), "line 2"),
            (format!("hash = \"{hex}\"\nseal-1 = \"{}\"\n", &hex[1..]), "line 2"),
            (format!("hash = \"{hex}\"\nhash = \"{hex}\"\n"), "line 2"),
            (format!("seal-1 = \"{hex}\"\nseal-1 = \"{hex}\"\n"), "twice"),
            ("nonsense".into(), "line 1"),
        ] {
            fs::write(&path, &text).unwrap();
            let e = Vault::open_or_create(&path, true).unwrap_err();
            assert_eq!(e.kind(), Kind::Corrupt);
            assert!(e.to_string().contains(says), "{e} should say {says}");
            assert!(!e.to_string().contains(&hex[..32]), "no key in an error");
        }
    }

    #[test]
    fn another_key_file_is_noticed_at_start() {
        let live = rusqlite::Connection::open_in_memory().unwrap();
        live.execute_batch(include_str!("../migrations/sqlite/live/0002_admin.sql")).unwrap();
        let live = Db::from(live);
        let (dir, right) = vault();
        check(&live, &right).unwrap();
        check(&live, &right).unwrap();
        let (_other_dir, other) = vault();
        assert_eq!(check(&live, &other).unwrap_err().kind(), Kind::Corrupt);
        let path = dir.path().join("keys");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!("seal-2 = \"{}\"\n", "cd".repeat(32)));
        fs::write(&path, &text).unwrap();
        check(&live, &Vault::open_or_create(&path, false).unwrap()).unwrap();
        assert_eq!(check(&live, &right).unwrap_err().kind(), Kind::Corrupt, "seal-2 was used and is gone");
    }
}
