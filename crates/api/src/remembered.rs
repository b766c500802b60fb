//! Answers to reads of settings, remembered until a setting changes: a repeated read touches no store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bongsu_send::Scope;

use crate::call::Caller;

/// Answers that are remembered; over it they are remembered anew.
const ANSWERS_MAX: usize = 4_000;
/// The largest of them, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// What an answer hangs on: who may see what, and what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    account: i64,
    scopes: Vec<&'static str>,
    target: String,
}

impl Asked {
    /// What a caller asks.
    pub fn new(caller: &Caller, target: &str) -> Self {
        let account = match caller.scope {
            Scope::Operator => 0,
            Scope::Account(account) => account.0,
        };
        Self { account, scopes: caller.scopes.names(), target: target.to_owned() }
    }
}

type Answers = HashMap<Asked, Arc<[u8]>>;

/// Answers by what was asked, and the settings they were read under.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<(u64, Answers)>);

impl Remembered {
    /// The answer, if it was given under the settings of now.
    pub fn find(&self, generation: u64, asked: &Asked) -> Option<Arc<[u8]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.get(asked).filter(|_| kept.0 == generation).cloned()
    }

    /// Keeps an answer that was read after `generation` was.
    pub fn keep(&self, generation: u64, asked: Asked, body: &[u8]) {
        if body.len() > ANSWER_MAX {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 > generation {
            return;
        }
        if kept.0 < generation || kept.1.len() >= ANSWERS_MAX {
            *kept = (generation, HashMap::new());
        }
        kept.1.insert(asked, body.into());
    }
}

#[cfg(test)]
mod tests {
    use bongsu_domain::{AccountId, KeyId};
    use bongsu_store::keys::{KeyKind, Role};

    use super::*;

    #[test]
    fn an_answer_is_found_by_its_own_kind_of_caller_until_a_setting_changes() {
        let caller = |account, role: Role| Caller {
            scope: Scope::Account(AccountId(account)),
            key: KeyId(1),
            scopes: role.scopes(),
            kind: KeyKind::Live,
            rate_per_s: 1,
        };
        let asked = |account, role| Asked::new(&caller(account, role), "/v1/prices");
        let remembered = Remembered::default();
        remembered.keep(5, asked(1, Role::Owner), b"x");
        assert_eq!(remembered.find(5, &asked(1, Role::Owner)).as_deref(), Some(&b"x"[..]));
        assert_eq!(remembered.find(5, &asked(2, Role::Owner)), None, "a neighbour");
        assert_eq!(remembered.find(5, &asked(1, Role::Viewer)), None, "another role");
        assert_eq!(remembered.find(6, &asked(1, Role::Owner)), None, "a setting changed");
        remembered.keep(6, asked(1, Role::Owner), b"y");
        remembered.keep(5, asked(1, Role::Owner), b"stale");
        assert_eq!(remembered.find(6, &asked(1, Role::Owner)).as_deref(), Some(&b"y"[..]));
    }
}
