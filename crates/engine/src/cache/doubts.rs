//! Keys of which the server may hold an older value than it should, because a put or a forget got no answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Keys in doubt that are remembered. With more of them every value is in doubt.
pub(super) const DOUBTS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Doubts {
    inside: Mutex<Inside>,
    raised: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    /// The numbers tell a doubt from one that was raised again while it was being settled.
    keys: HashMap<String, u64>,
    all: Option<u64>,
    last: u64,
}

/// What has to be dropped from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The values of these keys.
    Keys(Vec<(String, u64)>),
    /// All values.
    All(u64),
}

/// Raises a doubt about a key unless it is told that the server has answered.
#[must_use]
pub(super) struct Unsure<'a> {
    doubts: &'a Doubts,
    key: &'a str,
    answered: bool,
}

impl Unsure<'_> {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.doubts.raise(self.key);
        }
    }
}

impl Doubts {
    /// Begins a change of a key that may stay without an answer, or be dropped half way.
    pub(super) fn unsure<'a>(&'a self, key: &'a str) -> Unsure<'a> {
        Unsure { doubts: self, key, answered: false }
    }

    /// Whether the server's value of a key must not be believed.
    pub(super) fn about(&self, key: &str) -> bool {
        let inside = self.lock();
        inside.all.is_some() || inside.keys.contains_key(key)
    }

    fn raise(&self, key: &str) {
        let mut inside = self.lock();
        inside.last += 1;
        let number = inside.last;
        if inside.all.is_some() || (inside.keys.len() >= DOUBTS_MAX && !inside.keys.contains_key(key)) {
            inside.keys.clear();
            inside.all = Some(number);
        } else {
            inside.keys.insert(key.to_owned(), number);
        }
        drop(inside);
        self.raised.notify_one();
    }

    /// Waits for a doubt; it may also return without one.
    pub(super) async fn raised(&self) {
        self.raised.notified().await;
    }

    /// What is to be settled next, at most `max` keys at once.
    pub(super) fn next(&self, max: usize) -> Option<Doubt> {
        let inside = self.lock();
        if let Some(number) = inside.all {
            return Some(Doubt::All(number));
        }
        let keys: Vec<_> = inside.keys.iter().take(max).map(|(key, number)| (key.clone(), *number)).collect();
        (!keys.is_empty()).then_some(Doubt::Keys(keys))
    }

    /// This is settled, but for what was raised again.
    pub(super) fn settle(&self, doubt: &Doubt) {
        let mut inside = self.lock();
        match doubt {
            Doubt::All(number) => {
                inside.all = inside.all.filter(|now| now != number);
            }
            Doubt::Keys(keys) => {
                for (key, number) in keys {
                    if inside.keys.get(key) == Some(number) {
                        inside.keys.remove(key);
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(doubts: &Doubts) -> Doubt {
        doubts.next(usize::MAX).expect("a doubt")
    }

    #[test]
    fn a_doubt_lasts_until_it_is_settled_and_not_raised_again() {
        let doubts = Doubts::default();
        doubts.unsure("sure").answered();
        assert!(!doubts.about("sure"));
        drop(doubts.unsure("a"));
        let before = next(&doubts);
        drop(doubts.unsure("a"));
        doubts.settle(&before);
        assert!(doubts.about("a"));
        doubts.settle(&next(&doubts));
        assert!(!doubts.about("a"));
        assert_eq!(doubts.next(1), None);
    }

    #[test]
    fn too_many_doubts_are_doubt_about_everything() {
        let doubts = Doubts::default();
        for number in 0..DOUBTS_MAX {
            drop(doubts.unsure(&number.to_string()));
        }
        assert!(!doubts.about("other"));
        drop(doubts.unsure("one more"));
        assert!(doubts.about("other"));
        assert!(doubts.lock().keys.is_empty());
        let before = next(&doubts);
        drop(doubts.unsure("another"));
        doubts.settle(&before);
        assert!(doubts.about("other"), "it was raised again");
        doubts.settle(&next(&doubts));
        assert!(!doubts.about("other") && !doubts.about("another"));
    }
}
