//! Leases: which of several processes on one database has a node number, a bind of a relay, a periodic task.
//!
//! All leases are rows of one small table, the *board*. Every process reads it, calls [`plan`] and writes
//! [`Plan::writes`] in one transaction, every third of a lease; so the rows are never decided upon twice.
//!
//! A lease ends before it is given again: its owner stops using it a margin before `until`, by its own measure of the
//! time since the renewal began; others take it a margin after `until`, by the database's clock. Only an owner that
//! frees it lets it go earlier.
//!
//! The part of a relay's rate that a process may use is its slots over all slots ([`Share`]). These parts never add up
//! to more than the whole, also while processes still count with different numbers of binds: a slot counts for all as
//! long as it has a row, and a new slot is not written through before everybody has had to look at the board again.

mod name;
mod plan;

pub use name::{BadLeaseName, LeaseName, Task};
pub use plan::{NodeStep, Plan, Share, plan};

/// A row of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What it gives; the key.
    pub name: LeaseName,
    /// The incarnation that has it: an id given at every start of a process, in time order. 0 when it is free.
    pub owner: i64,
    /// Until when, in milliseconds of the database's clock.
    pub until: i64,
    /// Whoever takes it does not use it before this moment, in milliseconds of the database's clock: what the owner
    /// before wrote still counts in the relay's windows.
    pub not_before: i64,
    /// The owner dispatches; false for all but nodes, and while the owner drains.
    pub dispatch: bool,
    /// The owner reports; false for all but nodes, and while the owner drains.
    pub report: bool,
}

impl Lease {
    /// Whether it can be taken: freed, or a margin past its end. Between its end and then it is nobody's, but its owner
    /// may still renew it.
    pub const fn is_free(&self, now_ms: i64, lease_ms: i64) -> bool {
        self.owner == 0 || now_ms >= self.until.saturating_add(margin_ms(lease_ms))
    }
}

/// How long before `until` an owner stops using a lease, and how long after it another may take it: a fifth of the
/// lease. It covers what clocks run apart in one lease and how long a write may be under way.
pub const fn margin_ms(lease_ms: i64) -> i64 {
    lease_ms / 5
}

/// The process that plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// Its incarnation, above 0.
    pub owner: i64,
    /// The node number it has, as far as it knows; None until it has taken one.
    pub node: Option<u16>,
    /// It has the role `dispatch`.
    pub dispatch: bool,
    /// It has the role `report`.
    pub report: bool,
    /// It has the role `schedule`.
    pub schedule: bool,
    /// It stops: it takes nothing and gives up all it has.
    pub draining: bool,
}

/// A relay that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// Its number.
    pub no: u8,
    /// How many sessions it grants, over all processes. One that grants none is used by nobody.
    pub binds: u16,
}

#[cfg(test)]
mod tests;
