//! The rules that decide about a message, by names that stay: what `GET /v1/messages/{id}/why` answers with.

use crate::code::{Action, Code};
use crate::retry::{Outcome, Tried};
use crate::status::Status;

macro_rules! rules {
    ($($name:ident $id:literal $says:literal)*) => {
        /// One rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $(#[doc = $says] $name,)*
        }

        impl Rule {
            /// All of them, in the order of a message's life.
            pub const ALL: &[Rule] = &[$(Rule::$name),*];

            /// Its name; it never changes its meaning.
            pub const fn id(self) -> &'static str {
                match self { $(Rule::$name => $id),* }
            }

            /// What it says.
            pub const fn says(self) -> &'static str {
                match self { $(Rule::$name => $says),* }
            }
        }
    };
}

rules! {
    PriceFrozen "PRICE-FROZEN" "The price is that of the table at accept; charge and refund both read it from the message."
    Schedule "HOLD-SCHEDULE" "It waits for the time that its caller named."
    Night "HOLD-NIGHT" "Advertisements leave between 08:00 and 21:00 in Seoul only; until then it is held."
    Turn "WAIT-TURN" "It waits for its turn: lanes by urgency, within a lane account by account, as relays have room."
    Share "ROUTE-SHARE" "The account's ratio names the relay that is owed most; its count stays within one of the ratio."
    Spill "ROUTE-SPILL" "The relay that the ratio names had no room for 200 ms: auth and realtime go to the next by weight, and the parts are repaid later."
    Down "ROUTE-DOWN" "The relay that the ratio names was down or taken out by its breaker: the try counts, nothing was written."
    NoRoute "ROUTE-NONE" "There is no relay to book it on."
    RetryFirst "RETRY-FIRST" "The relay it is booked on gets another try after a wait."
    RetryOther "RETRY-OTHER" "After the booked relay every other one is tried once, by weight."
    RetrySame "RETRY-SAME" "The failure passes by itself: the same relay again, after waits that grow."
    RetryThrottle "RETRY-THROTTLE" "The relay asked for patience: it is tried again, and no try is spent."
    RetryUnknown "RETRY-UNKNOWN" "No answer came and it may have left: auth goes out again at once, others after they waited for a receipt."
    EndDelivered "END-DELIVERED" "A receipt says it was delivered."
    EndCode "END-CODE" "The code says that no further try can help."
    EndPath "END-PATH" "Every relay of its path was tried."
    EndUnknown "END-UNKNOWN" "Its fate stayed unknown, and its relay must not get it twice or no receipt came by the deadline."
    EndExpired "END-EXPIRED" "It was worthless before it could leave."
    EndCanceled "END-CANCELED" "Its caller canceled it."
    EndPoison "END-PARKED" "It cannot be processed; an operator looks at it."
}

/// The rule by which a further try followed an earlier one. It looks at what [`crate::retry`] looks at.
pub fn of_retry(previous: &Tried, first: u8, relay: u8) -> Rule {
    match previous.code.action() {
        _ if previous.outcome == Outcome::Unknown => Rule::RetryUnknown,
        Action::Same if matches!(previous.code, Code::RouteThrottled | Code::RouteQueueFull) => Rule::RetryThrottle,
        Action::Same => Rule::RetrySame,
        _ if relay == first => Rule::RetryFirst,
        _ => Rule::RetryOther,
    }
}

/// The rule by which a message ended; none while it is open. `unknown`: a try of it has or had an unknown fate.
pub fn of_end(status: Status, code: Code, tries: usize, unknown: bool) -> Option<Rule> {
    Some(match status {
        Status::Delivered | Status::Read => Rule::EndDelivered,
        Status::Canceled => Rule::EndCanceled,
        Status::Parked => Rule::EndPoison,
        Status::Expired if code == Code::ExpiredBeforeSend => Rule::EndExpired,
        Status::Expired => Rule::EndUnknown,
        Status::Failed if code == Code::NoRoute => Rule::NoRoute,
        Status::Failed if tries > 1 && !unknown => Rule::EndPath,
        Status::Failed | Status::Undelivered => Rule::EndCode,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_a_sentence() {
        let mut ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            assert!(rule.id().bytes().all(|b| b.is_ascii_uppercase() || b == b'-'), "{}", rule.id());
            assert!(rule.says().ends_with('.') && rule.says().len() > 20, "{}", rule.id());
        }
    }

    #[test]
    fn a_further_try_names_its_rule() {
        let tried = |relay, code, outcome| Tried { relay, code, outcome };
        for (previous, relay, rule) in [
            (tried(1, Code::RouteDown, Outcome::Unsent), 1, Rule::RetryFirst),
            (tried(1, Code::RouteDown, Outcome::Unsent), 2, Rule::RetryOther),
            (tried(2, Code::VendorError, Outcome::Refused), 3, Rule::RetryOther),
            (tried(1, Code::RouteThrottled, Outcome::Refused), 1, Rule::RetryThrottle),
            (tried(1, Code::VendorTimeout, Outcome::Unknown), 2, Rule::RetryUnknown),
        ] {
            assert_eq!(of_retry(&previous, 1, relay), rule, "{previous:?}");
        }
    }

    #[test]
    fn every_final_status_names_its_end() {
        for status in Status::ALL {
            let named = of_end(status, Code::RecipientUnknown, 1, false).is_some();
            assert_eq!(named, status.is_final() || status == Status::Parked, "{status:?}");
        }
    }
}
