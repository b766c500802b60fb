//! Engines behind ports: what carries work between the parts of the program.

pub mod bus;
pub mod cache;
mod counter;
#[cfg(feature = "redis")]
mod link;
mod open;
pub mod queue;

pub use open::{OpenError, PREFIX_MAX, RedisConfig};
