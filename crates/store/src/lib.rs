//! The SQL truth: schema, statements, group commit, and everything that is asked of it.
//!
//! One file lives as long as the installation (`live.db`), one holds the messages of each day of accept. All writes go
//! through one writer thread that gathers them into commits sized by time; reads go to a few threads of their own.

pub mod accept;
pub mod accounts;
pub mod audit;
pub mod audit_log;
pub mod changes;
pub mod claims;
pub mod db;
pub mod distributions;
mod error;
pub mod facts;
pub mod faults;
mod files;
pub mod groups;
mod holdings;
pub mod index;
pub mod keys;
pub mod lookup;
mod metrics;
mod migrate;
#[cfg(feature = "mysql")]
pub mod my;
mod open;
pub mod preload;
pub mod prices;
pub mod query;
mod readers;
pub mod recovery;
pub mod relays;
pub mod rows;
pub mod schema;
mod search;
pub mod senders;
pub mod settings;
mod store;
mod sweep;
pub mod team;
pub mod trace;
mod tx;
pub mod vault;
pub mod waiting;
mod wal;
pub mod wallet;
pub mod webhooks;
mod writer;

pub use error::{Error, Kind};
pub use holdings::{Bind, Holdings, Roles, Validity};
pub use metrics::{COMMIT_BOUNDS_US, Metrics};
pub use open::Options;
pub use readers::Reader;
pub use store::{GroupAnswer, Look, Store};
pub use tx::Tx;
pub use vault::{HashPurpose, Vault};

/// The most rows of one listing.
pub const PAGE_MAX: u32 = 500;
