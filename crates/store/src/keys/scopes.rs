//! What a key allows: a closed set of scopes, and kinds.

use crate::error::{Error, Kind};

/// One thing that a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyScope {
    /// Send and cancel messages.
    Send = 1,
    /// Read messages, results, balances and lists.
    Read = 2,
    /// See phone numbers in full.
    Numbers = 4,
    /// Manage the account's sender numbers, distributions and keys.
    Manage = 8,
    /// Everything, of every account.
    Operator = 16,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Send, Self::Read, Self::Numbers, Self::Manage, Self::Operator];

    /// The word that stands for it in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Numbers => "numbers",
            Self::Manage => "manage",
            Self::Operator => "operator",
        }
    }

    /// The scope of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A set of [`KeyScope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Everything that an account's own key can do.
    pub const ALL_ACCOUNT: Self =
        Self(KeyScope::Send as u8 | KeyScope::Read as u8 | KeyScope::Numbers as u8 | KeyScope::Manage as u8);
    /// The operator's.
    pub const OPERATOR: Self = Self(KeyScope::Operator as u8);

    /// Whether it allows `scope`; the operator's scope allows all.
    #[must_use]
    pub const fn has(self, scope: KeyScope) -> bool {
        self.0 & (scope as u8 | KeyScope::Operator as u8) != 0
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, scope: KeyScope) -> Self {
        Self(self.0 | scope as u8)
    }

    /// The words of the set.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        KeyScope::ALL.into_iter().filter(|scope| self.0 & *scope as u8 != 0).map(KeyScope::as_str).collect()
    }

    /// The set of some words.
    ///
    /// # Errors
    /// `Invalid("scopes")` naming the first word that is none.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, Error> {
        words.iter().try_fold(Self::NONE, |set, word| match KeyScope::parse(word.as_ref()) {
            Some(scope) => Ok(set.with(scope)),
            None => {
                let known = KeyScope::ALL.map(KeyScope::as_str).join(", ");
                Err(Error::new(
                    Kind::Invalid("scopes"),
                    format!("there is no scope {:?}; there are {known}", word.as_ref()),
                ))
            }
        })
    }
}

/// A named set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything within an account.
    Owner,
    /// Sends, and reads what became of it; numbers are masked.
    Sender,
    /// Reads; numbers are masked.
    Viewer,
    /// Everything of every account.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Sender, Self::Viewer, Self::Operator];

    /// The word that stands for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Sender => "sender",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// What it allows.
    #[must_use]
    pub const fn scopes(self) -> Scopes {
        match self {
            Self::Owner => Scopes::ALL_ACCOUNT,
            Self::Sender => Scopes(KeyScope::Send as u8 | KeyScope::Read as u8),
            Self::Viewer => Scopes(KeyScope::Read as u8),
            Self::Operator => Scopes::OPERATOR,
        }
    }

    /// The role whose scopes these are, if there is one.
    #[must_use]
    pub fn of(scopes: Scopes) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.scopes() == scopes)
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// An account's key; what it sends goes out.
    Live,
    /// An account's key that sends to the numbers of its team only.
    Team,
    /// An account's key that sends to the fixed test numbers only; nothing leaves, and nothing is charged.
    Test,
    /// A key of the operator.
    Operator,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Live, Self::Team, Self::Test, Self::Operator];

    /// The word that stands for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Team => "team",
            Self::Test => "test",
            Self::Operator => "operator",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Whether a key signs its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signing {
    /// It has no secret to sign with.
    #[default]
    None,
    /// Signed requests are taken beside those with the key itself.
    Optional,
    /// Only signed requests are taken.
    Required,
}

impl Signing {
    /// Every word.
    pub const ALL: [Self; 3] = [Self::None, Self::Optional, Self::Required];

    /// The word that stands for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signing| signing.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_sets_of_scopes() {
        for role in Role::ALL {
            assert_eq!((Role::parse(role.as_str()), Role::of(role.scopes())), (Some(role), Some(role)));
        }
        let has = |role: Role| KeyScope::ALL.map(|scope| role.scopes().has(scope));
        assert_eq!(has(Role::Owner), [true, true, true, true, false]);
        assert_eq!(has(Role::Sender), [true, true, false, false, false]);
        assert_eq!(has(Role::Viewer), [false, true, false, false, false]);
        assert_eq!(has(Role::Operator), [true; 5]);
        assert_eq!(Role::of(Scopes::NONE.with(KeyScope::Send)), None);
    }

    #[test]
    fn scopes_are_a_closed_set() {
        let set = Scopes::parse(&["read", "send"]).unwrap();
        assert_eq!(set.names(), ["send", "read"]);
        assert!(set.has(KeyScope::Send) && !set.has(KeyScope::Manage));
        assert!(Scopes::OPERATOR.has(KeyScope::Manage));
        assert!(!Scopes::ALL_ACCOUNT.has(KeyScope::Operator));
        assert_eq!(Scopes::parse(&["everything"]).unwrap_err().kind(), Kind::Invalid("scopes"));
    }
}
