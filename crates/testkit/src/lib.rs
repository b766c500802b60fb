//! The whole application in one process for scenarios: a real server and real simulated relays, spoken to over HTTP and SMPP.
//!
//! Everything here panics with a sentence when it fails: it is called by tests only.

mod builder;
mod certificate;
mod clock;
#[cfg(feature = "full")]
mod ground;
mod http;
mod named;
mod process;
mod receiver;
mod server;
mod setup;
mod wait;
mod world;

pub use builder::Builder;
pub use certificate::Authority;
pub use clock::ShiftedClock;
pub use http::{Http, Reply};
pub use named::{has_database, has_redis};
pub use process::Process;
pub use receiver::{Answer, Call, Receiver};
pub use setup::Member;
pub use wait::{PATIENCE, until};
pub use world::World;

/// The `n`-th recipient: an ordinary mobile number, none of those that simulators treat in their own way.
pub fn recipient(n: usize) -> String {
    format!("010{:08}", 20_000_000 + n)
}
