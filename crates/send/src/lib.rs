//! The send room: accept, route, dispatch, settle.
//!
//! One message in files: `accept` writes it, `dispatch` takes it in its account's turn, `booking` picks the relay,
//! `launch` writes the intent and hands it over, `settle` turns the answer and `receipts` the receipt into its result.

mod accept;
mod answer;
mod booking;
mod brief;
mod config;
mod dispatch;
pub mod facts;
mod flights;
mod foreign;
mod gate;
pub mod groups;
mod lanes;
mod launch;
mod metrics;
mod named;
mod note;
mod orphans;
mod outgoing;
mod page;
mod pending;
mod pipeline;
mod plan;
mod prepare;
mod reach;
mod reading;
mod receipts;
mod relays;
mod round;
mod schedule;
pub mod sealed;
mod service;
mod settings;
mod settle;
mod shares;
mod steps;
mod sweeper;
mod territory;
mod trace;
mod types;
mod validate;
mod views;
mod why;

pub use accept::search_hash;
pub use brief::Brief;
pub use config::{SCHEDULE_DAYS, SendConfig};
pub use pipeline::start;
pub use prepare::check;
pub use service::Service;
pub use steps::STEPS_MAX;
pub use trace::{RequestTrace, Step, TraceView, Traced};
pub use types::*;
pub use validate::{BadCharacter, Checked, CheckedRow, Resolved, RouteView};
pub use why::{Decision, Reason, RelayThen, Why};

pub use bongsu_store::waiting::Withdrawn;
