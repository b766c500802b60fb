//! Maps and sets of numbers that nobody outside chooses, or of which there are few, so that a quick hash does instead of one
//! that withstands attackers.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

/// Values by a number or a few.
pub type QuickMap<K, T> = HashMap<K, T, RandomState>;
/// Values by id.
pub type IdMap<T> = QuickMap<i64, T>;
/// A set of ids.
pub type IdSet = HashSet<i64, RandomState>;
