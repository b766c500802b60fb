//! The laws of the store on MariaDB and MySQL.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(dead_code, reason = "helpers of laws that only files have")]

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
#[path = "laws/cuts/mod.rs"]
mod cuts;
#[path = "laws/days.rs"]
mod days;
#[path = "laws/dedupe.rs"]
mod dedupe;
#[path = "laws/facts.rs"]
mod facts;
#[path = "laws/filters.rs"]
mod filters;
#[path = "laws/ground_mysql.rs"]
mod ground;
#[path = "laws/groups.rs"]
mod groups;
#[path = "laws/house.rs"]
mod house;
#[path = "laws/keys.rs"]
mod keys;
#[path = "laws/lists.rs"]
mod lists;
#[path = "laws/model.rs"]
mod model;
#[path = "laws/once.rs"]
mod once;
#[path = "laws/partitions.rs"]
mod partitions;
#[path = "laws/processes/mod.rs"]
mod processes;
#[path = "laws/recovery.rs"]
mod recovery;
#[path = "laws/replicas.rs"]
mod replicas;
#[path = "laws/schedules.rs"]
mod schedules;
#[path = "laws/schemas.rs"]
mod schemas;
#[path = "laws/search.rs"]
mod search;
#[path = "laws/steps.rs"]
mod steps;
#[path = "laws/traces.rs"]
mod traces;
#[path = "laws/trips.rs"]
mod trips;
#[path = "laws/uploads.rs"]
mod uploads;
#[path = "laws/webhooks.rs"]
mod webhooks;
