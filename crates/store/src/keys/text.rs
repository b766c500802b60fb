//! The text of a key: how one is made, how a mistyped one is told, and the hash by which it is kept.

use aws_lc_rs::digest;
use bongsu_domain::Secret;

use crate::vault;

/// What every key begins with; scanners for leaked secrets look for it together with the checksum at the end.
const LEAD: &str = "bk_";
const RANDOM_LEN: usize = 32;
/// 32 bytes in base 32.
const BODY_LEN: usize = 52;
/// 30 bits of SHA-256 over what precedes them.
const CHECK_LEN: usize = 6;
/// What every secret for signing begins with.
const SIGNING_LEAD: &str = "bs_";

pub(super) fn generate() -> Secret {
    let mut bytes = [0u8; RANDOM_LEN];
    vault::random(&mut bytes);
    let mut key = format!("{LEAD}{}", base32(&bytes));
    let check = checksum(&key);
    key.push_str(&check);
    Secret::new(key)
}

/// A secret for signing: known to its owner and, sealed, to the store.
pub(super) fn generate_signing() -> Secret {
    let mut bytes = [0u8; RANDOM_LEN];
    vault::random(&mut bytes);
    Secret::new(format!("{SIGNING_LEAD}{}", base32(&bytes)))
}

/// Refuses mistyped keys without a look into the store.
pub(super) fn is_well_formed(presented: &str) -> bool {
    presented.len() == LEAD.len() + BODY_LEN + CHECK_LEN
        && presented.is_ascii()
        && presented.starts_with(LEAD)
        && checksum(&presented[..LEAD.len() + BODY_LEN]) == presented[LEAD.len() + BODY_LEN..]
}

pub(super) fn checksum(text: &str) -> String {
    let mut check = base32(&sha256(text)[..4]);
    check.truncate(CHECK_LEN);
    check
}

pub(super) fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

/// Crockford's base 32 in lower case: no i, l, o or u to misread.
pub(super) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[((bits >> held) & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[((bits << (5 - held)) & 31) as usize]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_carries_its_own_checksum() {
        let key = generate();
        let key = key.expose();
        assert_eq!(key.len(), 61);
        assert!(is_well_formed(key));
        for at in 0..key.len() {
            let mut bad = key.as_bytes().to_vec();
            bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_well_formed(&String::from_utf8(bad).unwrap()), "position {at}");
        }
        for bad in ["", "bk_", &key[1..], &format!("{key}0"), &key.replace("bk_", "봉")] {
            assert!(!is_well_formed(bad));
        }
        assert_ne!(generate().expose(), key);
    }

    #[test]
    fn base32_matches_known_values() {
        assert_eq!(base32(b""), "");
        assert_eq!(base32(b"f"), "cr");
        assert_eq!(base32(b"foobar"), "csqpyrk1e8");
    }
}
