//! Signed requests, for callers who do not want a secret to travel: HMAC-SHA256 over what is asked.
//!
//! `Authorization: Bongsu-HMAC-SHA256 keyId=…, timestamp=…, nonce=…, bodySha256=…, signature=…`. The text that is signed
//! has seven lines, parted by LF: `BONGSU-HMAC-SHA256`, the method, path and query as sent, the timestamp (Unix
//! seconds), the nonce, the `Idempotency-Key` or nothing, and the body's SHA-256 in hexadecimal.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use bongsu_domain::{Code, KeyId, Timestamp};
use bongsu_store::keys::{self, KeyRow, Signing};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::app::App;
use crate::door::is_token;
use crate::problem::Problem;

/// The scheme's name.
pub const SCHEME: &str = "Bongsu-HMAC-SHA256";
/// How far the caller's clock may be from this one, in seconds.
pub const SKEW_MAX_S: i64 = 300;
/// Characters that a nonce has.
pub const NONCE_LEN: std::ops::RangeInclusive<usize> = 16..=64;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'h> {
    key: KeyId,
    timestamp: i64,
    nonce: &'h str,
    body: &'h str,
    signature: Vec<u8>,
}

/// A body that was announced with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced(String);

impl Announced {
    /// Compares what came with what was signed.
    ///
    /// # Errors
    /// 401 when it is another body.
    pub fn check(&self, body: &[u8]) -> Result<(), Problem> {
        if self.0 == hexadecimal(digest(&SHA256, body).as_ref()) {
            return Ok(());
        }
        Err(refused("bodySha256 is not the SHA-256 of the body"))
    }
}

/// The value of a signed request's header after the scheme; none for requests with the key itself.
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Finds the key of a signed request and checks everything but its body. Each signature is good once.
///
/// # Errors
/// 401 for what is not a good signature of a key that signs; [`Code::ClockSkewOrReplay`] for one that is too old, from
/// the future, or used before.
pub async fn authenticate(app: &App, parts: &Parts, presented: &str) -> Result<(KeyRow, Announced), Problem> {
    let claim = read(presented)?;
    let store = app.service.store();
    let unknown = || refused("there is no such key, or it does not sign, or this is not its signature");
    let row = keys::by_id(store, claim.key).await?.filter(|row| row.signing != Signing::None).ok_or_else(unknown)?;
    let secret = row.signing_sealed.as_ref().and_then(|sealed| store.vault().open(sealed).ok()).ok_or_else(unknown)?;
    check_time(claim.timestamp, app.clock.now())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    hmac::verify(&key, canonical(parts, &claim).as_bytes(), &claim.signature).map_err(|_| unknown())?;
    if !keys::use_nonce(store, claim.key, claim.nonce).await? {
        return Err(Problem::at(Code::ClockSkewOrReplay, "Authorization", "this nonce was used before"));
    }
    Ok((row, Announced(claim.body.to_owned())))
}

fn check_time(timestamp: i64, now: Timestamp) -> Result<(), Problem> {
    let here = now.millis().div_euclid(1_000);
    if here.abs_diff(timestamp) <= SKEW_MAX_S.unsigned_abs() {
        return Ok(());
    }
    let detail = format!(
        "the timestamp is more than {SKEW_MAX_S} seconds from the server's time, which is {here} ({})",
        now.rfc3339()
    );
    Err(Problem::at(Code::ClockSkewOrReplay, "Authorization", detail))
}

fn canonical(parts: &Parts, claim: &Claim<'_>) -> String {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let idempotency = parts.headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or("");
    let Claim { timestamp, nonce, body, .. } = claim;
    format!("BONGSU-HMAC-SHA256\n{}\n{target}\n{timestamp}\n{nonce}\n{idempotency}\n{body}", parts.method)
}

fn read(text: &str) -> Result<Claim<'_>, Problem> {
    let (mut key, mut timestamp, mut nonce, mut body, mut signature) = (None, None, None, None, None);
    for pair in text.split(',') {
        let (name, value) = pair.trim().split_once('=').ok_or_else(malformed)?;
        let value = value.trim_matches('"');
        let seen = match name {
            "keyId" => key.replace(value).is_some(),
            "timestamp" => timestamp.replace(value).is_some(),
            "nonce" => nonce.replace(value).is_some(),
            "bodySha256" => body.replace(value).is_some(),
            "signature" => signature.replace(value).is_some(),
            _ => true,
        };
        if seen {
            return Err(malformed());
        }
    }
    let claim = || {
        let nonce = nonce.filter(|nonce| is_token(nonce, *NONCE_LEN.end()) && nonce.len() >= *NONCE_LEN.start())?;
        let body =
            body.filter(|body| body.len() == 64 && body.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))?;
        let signature = from_hexadecimal(signature?)?;
        Some(Claim { key: key?.parse().ok()?, timestamp: timestamp?.parse().ok()?, nonce, body, signature })
    };
    claim().ok_or_else(malformed)
}

fn malformed() -> Problem {
    refused(
        "must be Bongsu-HMAC-SHA256 with keyId, timestamp (Unix seconds), nonce (16 to 64 of A-Za-z0-9._-), bodySha256 and \
         signature (hexadecimal), parted by commas",
    )
}

fn refused(detail: &str) -> Problem {
    Problem::at(Code::Unauthenticated, "Authorization", detail)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let is_digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digits
        .then(|| (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of nothing.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const GOOD: &str = "keyId=key_0000000000001, timestamp=1795132800, nonce=0123456789abcdef, \
        bodySha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, \
        signature=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_claim_has_every_member_once_and_in_its_form() {
        let claim = read(GOOD).expect("well formed");
        assert_eq!((claim.timestamp, claim.nonce, claim.body), (1_795_132_800, "0123456789abcdef", EMPTY));
        for (from, to) in [
            ("keyId=key_0000000000001, ", ""),
            ("keyId=", "key="),
            ("0123456789abcdef,", "short,"),
            ("bodySha256=e3", "bodySha256=E3"),
            ("1795132800", "soon"),
            ("signature=e3", "signature=zz"),
            ("nonce=", "nonce=0123456789abcdef, nonce="),
        ] {
            let problem = read(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert_eq!((problem.code, problem.status.as_u16()), (Code::Unauthenticated, 401), "{from}");
        }
    }

    #[test]
    fn a_clock_may_be_five_minutes_off_and_is_told_the_time() {
        let now = Timestamp::from_secs(1_795_132_800);
        for (seconds, good) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            let seen = check_time(1_795_132_800 + seconds, now);
            assert_eq!(seen.is_ok(), good, "{seconds}");
            if let Err(problem) = seen {
                assert_eq!(problem.code, Code::ClockSkewOrReplay);
                assert!(problem.detail.contains("1795132800 (2026-11-20T"), "{}", problem.detail);
            }
        }
        assert!(check_time(i64::MIN, now).is_err() && check_time(i64::MAX, now).is_err());
    }

    #[test]
    fn a_body_is_the_one_that_was_announced() {
        let announced = Announced(EMPTY.to_owned());
        assert!(announced.check(b"").is_ok() && announced.check(b"x").is_err());
    }
}
