//! Decides from the script, the seed and the message what happens to a submit; the order of arrival does not matter.

use bongsu_wire::smpp::MessageState;

use crate::hash::draw;
use crate::script::{Outcome, RelayScript};

/// What a submit meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Refused with this `command_status`.
    pub(crate) refuse: Option<u32>,
    pub(crate) drop_response: bool,
    pub(crate) outcome: Outcome,
    pub(crate) duplicate_receipt: bool,
    pub(crate) early_receipt: bool,
    /// The receipt goes over another session than the submit.
    pub(crate) receipt_elsewhere: bool,
    pub(crate) delay_ms: u32,
}

/// Numbers with a fixed outcome, in a range that is never assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fixed {
    Delivered,
    PoweredOff,
    UnknownSubscriber,
    NeverComes,
    DuplicateReceipt,
    EarlyReceipt,
    ThrottledTwice,
}

impl Fixed {
    /// By national digits: 010-0000-0001 to -0008.
    pub(crate) fn of(number: &str) -> Option<Self> {
        match number.strip_prefix("0100000000")? {
            "1" => Some(Self::Delivered),
            "2" => Some(Self::PoweredOff),
            "3" => Some(Self::UnknownSubscriber),
            "5" => Some(Self::NeverComes),
            "6" => Some(Self::DuplicateReceipt),
            "7" => Some(Self::EarlyReceipt),
            "8" => Some(Self::ThrottledTwice),
            _ => None,
        }
    }
}

const REFUSE: u64 = 1;
const DROP: u64 = 2;
const CODE: u64 = 3;
const DUPLICATE: u64 = 4;
const EARLY: u64 = 5;
const DELAY: u64 = 6;
const ELSEWHERE: u64 = 7;
/// Salts of the n-th time the same submit is taken lie this far apart.
const TIMES: u64 = 16;

/// Plans for the `nth` time (from 1) that the relay sees the submit. All parts of a long message share `message`, so
/// that a handset gets all of it or nothing; each has its own `part`.
pub(crate) fn plan(script: &RelayScript, message: u128, part: u128, nth: u32, fixed: Option<Fixed>) -> Plan {
    let salt = |what: u64| what + TIMES * u64::from(nth.saturating_sub(1));
    let delay = draw(message, salt(DELAY));
    let (least, most) = script.delay_ms;
    let delay_ms = least + (delay * f64::from(most - least + 1)) as u32;
    if let Some(fixed) = fixed {
        return fixed_plan(fixed, delay_ms);
    }
    Plan {
        // A refusal leaves no trace to count, so it is the same every time.
        refuse: pick(&script.refuse, draw(message, REFUSE)),
        drop_response: draw(part, salt(DROP)) < script.drop_responses,
        outcome: pick(&script.codes, draw(message, salt(CODE))).unwrap_or(Outcome::DELIVERED),
        duplicate_receipt: draw(part, salt(DUPLICATE)) < script.duplicate_receipts,
        early_receipt: draw(part, salt(EARLY)) < script.early_receipts,
        receipt_elsewhere: draw(part, salt(ELSEWHERE)) < script.receipts_anywhere,
        delay_ms,
    }
}

fn fixed_plan(fixed: Fixed, delay_ms: u32) -> Plan {
    let outcome = match fixed {
        Fixed::PoweredOff => Outcome::Final { state: MessageState::Expired, error: 27 },
        Fixed::UnknownSubscriber => Outcome::Final { state: MessageState::Undeliverable, error: 1 },
        Fixed::NeverComes => Outcome::Never,
        _ => Outcome::DELIVERED,
    };
    Plan {
        refuse: None,
        drop_response: false,
        outcome,
        duplicate_receipt: fixed == Fixed::DuplicateReceipt,
        early_receipt: fixed == Fixed::EarlyReceipt,
        receipt_elsewhere: false,
        delay_ms,
    }
}

fn pick<T: Copy>(shares: &[(T, f64)], mut draw: f64) -> Option<T> {
    for (what, share) in shares {
        if draw < *share {
            return Some(*what);
        }
        draw -= share;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    #[test]
    fn shares_are_kept_and_the_same_message_meets_the_same_fate() {
        let undelivered = Outcome::Final { state: MessageState::Undeliverable, error: 1 };
        let script = RelayScript {
            codes: vec![(undelivered, 0.1), (Outcome::Never, 0.05)],
            refuse: vec![(0x0B, 0.02)],
            drop_responses: 0.03,
            receipts_anywhere: 0.25,
            delay_ms: (5, 9),
            ..RelayScript::default()
        };
        let plans: Vec<Plan> = (0..50_000_u64)
            .map(|n| {
                let key = Hash::new(7).number(n).finish();
                assert_eq!(plan(&script, key, key, 1, None), plan(&script, key, key, 1, None));
                plan(&script, key, key, 1, None)
            })
            .collect();
        let share = |test: fn(&Plan) -> bool| plans.iter().filter(|plan| test(plan)).count() as f64 / 50_000.0;
        assert!((share(|plan| plan.outcome != Outcome::DELIVERED) - 0.15).abs() < 0.01);
        assert!((share(|plan| plan.outcome == Outcome::Never) - 0.05).abs() < 0.01);
        assert!((share(|plan| plan.refuse == Some(0x0B)) - 0.02).abs() < 0.005);
        assert!((share(|plan| plan.drop_response) - 0.03).abs() < 0.005);
        assert!((share(|plan| plan.receipt_elsewhere) - 0.25).abs() < 0.01);
        assert!((share(|plan| plan.delay_ms == 5) - 0.2).abs() < 0.01);
        assert!(plans.iter().all(|plan| (5..=9).contains(&plan.delay_ms)));
    }

    #[test]
    fn fixed_numbers_overrule_the_script() {
        let script = RelayScript {
            codes: vec![(Outcome::Never, 1.0)],
            refuse: vec![(8, 1.0)],
            drop_responses: 1.0,
            receipts_anywhere: 1.0,
            ..RelayScript::default()
        };
        let of = |number| plan(&script, 1, 1, 1, Fixed::of(number));
        assert_eq!(of("01000000001").outcome, Outcome::DELIVERED);
        assert_eq!((of("01000000001").refuse, of("01000000001").receipt_elsewhere), (None, false));
        assert_eq!(of("01000000002").outcome, Outcome::Final { state: MessageState::Expired, error: 27 });
        assert_eq!(of("01000000005").outcome, Outcome::Never);
        assert!(of("01000000006").duplicate_receipt && of("01000000007").early_receipt);
        assert_eq!(of("01000000009").refuse, Some(8));
        assert_eq!(Fixed::of("01000000008"), Some(Fixed::ThrottledTwice));
    }
}
