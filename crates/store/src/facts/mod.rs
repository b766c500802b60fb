//! Facts: what happened to messages, recorded once, by the commit that makes it so: events, counters, progress.
//!
//! A transaction notes in its [`News`] what it does; before the commit the notes become a few rows, whatever the number of
//! messages: counters for statistics, progress of requests, one slice of events an account. On files they are written to the
//! file whose commit makes the change: accepted messages to the live file, what becomes of them to the file of their day, so
//! that a crash between the two commits takes away or keeps both alike. Slices of events have numbers that ascend over all
//! files, and are shown when the whole group commit is done. On a database they get theirs after the commit, from one
//! numberer at a time, since only then it is known which of several processes came first.

mod blob;
mod board;
mod event;
mod keep;
mod news;
mod read;
mod sets;
mod stats;
mod tally;
mod write;

pub(crate) use board::{Board, number_at};
pub use event::{Event, EventKind, EventPage};
pub(crate) use keep::{FORGOTTEN_AT_ONCE, forget_events, forget_progress, keep_counters};
pub(crate) use news::{Moved, News};
#[cfg(feature = "mysql")]
pub(crate) use read::{NUMBERED_AT_ONCE, number};
pub(crate) use read::{Told, of_message, page, progress, shown_number};
pub use sets::Tags;
pub(crate) use sets::{SETS_AT_ONCE, Sets, intern};
pub use stats::{Cell, StatsQuery};
pub(crate) use stats::{read as stats, tags};
pub(crate) use tally::Tally;
pub(crate) use write::flush_files;
#[cfg(feature = "mysql")]
pub(crate) use write::flush_tables;

/// How long events are kept, unless their day goes earlier.
pub const EVENTS_KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// Events of one slice; positions count in it.
pub(crate) const SLICE_MAX: u32 = 4096;
/// Stands for no relay.
pub(crate) const NO_RELAY: u8 = 255;
