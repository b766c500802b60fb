//! The laws of the store: what every engine must hold, one sentence a test.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "laws/accept.rs"]
mod accept;
#[path = "laws/admin/mod.rs"]
mod admin;
#[path = "laws/batches.rs"]
mod batches;
#[path = "laws/books.rs"]
mod books;
#[path = "laws/cancels.rs"]
mod cancels;
#[path = "laws/changes.rs"]
mod changes;
#[path = "laws/claims.rs"]
mod claims;
#[path = "laws/counts.rs"]
mod counts;
#[path = "laws/crashes.rs"]
mod crashes;
#[path = "laws/days.rs"]
mod days;
#[path = "laws/dedupe.rs"]
mod dedupe;
#[path = "laws/facts.rs"]
mod facts;
#[path = "laws/files.rs"]
mod files;
#[path = "laws/filters.rs"]
mod filters;
#[path = "laws/full.rs"]
mod full;
#[path = "laws/ground_files.rs"]
mod ground;
#[path = "laws/groups.rs"]
mod groups;
#[path = "laws/halves.rs"]
mod halves;
#[path = "laws/house.rs"]
mod house;
#[path = "laws/keys.rs"]
mod keys;
#[path = "laws/lists.rs"]
mod lists;
#[path = "laws/model.rs"]
mod model;
#[path = "laws/old.rs"]
mod old;
#[path = "laws/once.rs"]
mod once;
#[path = "laws/recovery.rs"]
mod recovery;
#[path = "laws/schedules.rs"]
mod schedules;
#[path = "laws/search.rs"]
mod search;
#[path = "laws/search_files.rs"]
mod search_files;
#[path = "laws/traces.rs"]
mod traces;
#[path = "laws/uploads.rs"]
mod uploads;
#[path = "laws/webhooks.rs"]
mod webhooks;
