//! Handlers, one file per noun. Their order of work: read, call, answer; who may call is the table's matter.

pub mod accounts;
pub mod attempts;
pub mod audit;
pub mod audit_log;
pub mod batches;
pub mod distributions;
pub mod events;
pub mod export;
pub mod groups;
pub mod health;
pub mod keys;
pub mod messages;
pub mod parked;
pub mod prices;
pub mod progress;
pub mod relays;
pub mod senders;
pub mod stats;
pub mod team_numbers;
pub mod validate;
pub mod wallet;
pub mod webhooks;
pub mod why;
