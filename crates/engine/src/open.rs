//! What an engine outside of the process is opened with, and why that may be refused.

use std::fmt;
use std::time::Duration;

use bongsu_domain::Secret;

/// How a Redis server is reached. It has to be Redis 6 or later, or what speaks its protocol RESP3.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://user:password@host:6379/0`, or `rediss://` for TLS with the roots of the system. One server, not a
    /// cluster.
    pub url: Secret,
    /// What the names of all keys and channels begin with, at most [`PREFIX_MAX`] bytes.
    pub prefix: String,
    /// How long one call of the cache waits for the server. No caller of the bus waits.
    pub answer_within: Duration,
}

/// Bytes that a prefix may have.
pub const PREFIX_MAX: usize = 64;

impl RedisConfig {
    /// With the prefix `bongsu:` and 100 ms for an answer.
    pub fn new(url: Secret) -> RedisConfig {
        RedisConfig { url, prefix: "bongsu:".to_owned(), answer_within: Duration::from_millis(100) }
    }
}

/// Why an engine cannot be opened. A server that is down is no reason: that shows in the health of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The address is none; the text says why and does not repeat it, for it may hold a password.
    Address(String),
    /// The prefix is longer than [`PREFIX_MAX`] bytes.
    Prefix,
    /// This build lacks the feature of this name.
    NotBuilt(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Address(why) => write!(f, "the address of the Redis server is refused: {why}"),
            OpenError::Prefix => write!(f, "a prefix has at most {PREFIX_MAX} bytes"),
            OpenError::NotBuilt(feature) => write!(f, "this build has no feature {feature}"),
        }
    }
}

impl std::error::Error for OpenError {}
