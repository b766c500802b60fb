//! The whole interface over a real store: every route's refusals, the set-up routes, and what goes wrong on the way.

mod access;
mod admin;
mod dashboards;
mod facts;
mod faults;
mod groups;
mod messages;
mod progress;
mod reach;
mod reading;
mod refusals;
mod webhooks;
mod world;
