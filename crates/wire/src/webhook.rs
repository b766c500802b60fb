//! Signatures of calls to customers: Standard Webhooks 1.0, symmetric (`v1`, HMAC-SHA256).
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bongsu_domain::Timestamp;

/// Header with the id of the event, the same in every try.
pub const ID: &str = "webhook-id";
/// Header with the moment of the try, in seconds since the Unix epoch.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Header with the signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// What the text of a secret begins with.
const LEAD: &str = "whsec_";
/// Bytes of a secret that is made here; the specification allows 24 to 64.
pub const SECRET_BYTES: usize = 32;
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
/// What a signature of this kind begins with.
const VERSION: &str = "v1,";

/// What both sides know. It hides itself when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

impl SigningSecret {
    /// Of random bytes; none when they are not 24 to 64.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Option<Self> {
        Self::new(STANDARD.decode(text.strip_prefix(LEAD)?).ok()?)
    }

    /// The bytes, for whoever keeps them sealed.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the customer gets it: `whsec_` and base64.
    pub fn expose(&self) -> String {
        format!("{LEAD}{}", STANDARD.encode(&self.0))
    }

    /// The signature of one call: over id, seconds and body, joined by full stops.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        format!("{VERSION}{}", STANDARD.encode(hmac::sign(&self.key(), &signed(id, seconds, body))))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

fn signed(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{id}.{seconds}.").into_bytes();
    text.extend_from_slice(body);
    text
}

/// The header with one signature a secret: while secrets are exchanged, the old one signs beside the new.
pub fn signatures(secrets: &[SigningSecret], id: &str, seconds: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, seconds, body)).collect::<Vec<_>>().join(" ")
}

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The moment is no number, or further from now than is tolerated: it may be a repetition.
    #[error("the timestamp is not within the tolerance")]
    Timestamp,
    /// No signature is of this secret.
    #[error("no signature matches")]
    Signature,
}

/// What a receiver does: whether one of the signatures is that of `secret`, and the moment near `now`. Compares in
/// constant time.
///
/// # Errors
/// Why not.
pub fn verify(
    secret: &SigningSecret,
    (id, timestamp, signature): (&str, &str, &str),
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Unproven> {
    let seconds: i64 = timestamp.parse().map_err(|_| Unproven::Timestamp)?;
    let moment = Timestamp::from_secs(seconds);
    if now.since(moment) > tolerance || moment.since(now) > tolerance {
        return Err(Unproven::Timestamp);
    }
    let (key, text) = (secret.key(), signed(id, seconds, body));
    let of_this_kind = signature.split(' ').filter_map(|one| one.strip_prefix(VERSION));
    let mut tags = of_this_kind.filter_map(|tag| STANDARD.decode(tag).ok());
    if tags.any(|tag| hmac::verify(&key, &text, &tag).is_ok()) { Ok(()) } else { Err(Unproven::Signature) }
}
