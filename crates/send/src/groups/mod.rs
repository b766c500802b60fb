//! Groups as callers see them: made, filled with rows, sent, canceled, watched, and what did not arrive of them.

mod failures;
mod mover;
mod steps;
mod upload;
mod view;

pub use failures::{Failure, FailureReader, Recipient};
pub(crate) use mover::run;
pub use steps::{GroupSend, NewGroup};
pub use upload::{Identity, Upload, UploadOutcome};
pub use view::{Counts, GroupView, RowErrorView};

/// Rows of a group.
pub use bongsu_store::groups::ROWS_MAX;
