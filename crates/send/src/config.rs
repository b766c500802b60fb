//! The settings of the send room.

use std::time::Duration;

use bongsu_domain::{FailoverPolicy, Hours, Lane, PhoneNumber, Timestamp, phone};
use bongsu_store::Roles;

/// The sender of Bongsu's own messages until the operator names a registered number.
const OWN_NUMBER: &str = "15880000";

/// The most days ahead that a message may be scheduled.
pub const SCHEDULE_DAYS: u32 = 180;
/// Days that a message may take to end after its time: an advertisement of three days that no night counts for, and its
/// receipt.
const DAYS_TO_END: u32 = 7;

/// How messages are dispatched and settled.
#[derive(Debug, Clone)]
pub struct SendConfig {
    /// How long an attempt of unknown fate waits for a receipt before it is sent again (not on the auth lane).
    pub unknown_wait: Duration,
    /// How long a submitted message waits for its receipt.
    pub receipt_deadline: Duration,
    /// How long a claim holds; nothing is written to a relay after it.
    pub claim_deadline: Duration,
    /// How long auth and realtime messages wait for their relay before they take the next one.
    pub spill_after: Duration,
    /// How long a message may wait when its caller does not say.
    pub default_expiry: Duration,
    /// The same on the auth lane.
    pub auth_expiry: Duration,
    /// What follows a failed try.
    pub failover: FailoverPolicy,
    /// Days of messages that are kept, today not counted; absent keeps all.
    pub retention_days: Option<u32>,
    /// Days of the audit log that are kept; absent keeps all.
    pub audit_days: Option<u32>,
    /// How long memory keeps a submitted part before the store does.
    pub spill_receipts_after: Duration,
    /// How long the second of two identical requests waits for the answer of the first.
    pub idempotency_wait: Duration,
    /// How long a graceful stop waits for answers.
    pub drain: Duration,
    /// The number that Bongsu's own messages come from (verification codes): one that the operator has registered.
    pub own_number: PhoneNumber,
    /// When advertisements may leave; the same for all processes.
    pub ad_hours: Hours,
    /// What this process does besides taking requests.
    pub roles: Roles,
    /// Seed of all jitter.
    pub seed: u64,
}

impl Default for SendConfig {
    fn default() -> Self {
        Self {
            unknown_wait: Duration::from_secs(60),
            receipt_deadline: Duration::from_secs(25 * 3600),
            claim_deadline: Duration::from_secs(15),
            spill_after: Duration::from_millis(200),
            default_expiry: Duration::from_secs(24 * 3600),
            auth_expiry: Duration::from_secs(600),
            failover: FailoverPolicy::default(),
            retention_days: None,
            audit_days: Some(365),
            spill_receipts_after: Duration::from_secs(30),
            idempotency_wait: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            own_number: phone::parse_sender(OWN_NUMBER).expect("the default number has the form of one"),
            ad_hours: Hours::default(),
            roles: Roles { dispatch: true, report: true, schedule: true },
            seed: 0,
        }
    }
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

impl SendConfig {
    /// The expiry of a message whose caller does not say.
    pub fn expiry(&self, lane: Lane) -> Duration {
        if lane == Lane::Auth { self.auth_expiry } else { self.default_expiry }
    }

    /// The latest moment that something accepted now may be scheduled for.
    pub fn schedule_until(&self, now: Timestamp) -> Timestamp {
        now.plus(days(SCHEDULE_DAYS)).min(self.kept_until(now))
    }

    /// The latest moment that something accepted then may leave: its day has to be kept until it has ended.
    pub fn kept_until(&self, accepted: Timestamp) -> Timestamp {
        let kept = self.retention_days.map(|kept| kept.saturating_sub(DAYS_TO_END));
        kept.map_or(Timestamp::MAX, |kept| accepted.plus(days(kept)))
    }

    /// The failover path on a lane: a one-time code does not wait for a relay to come back.
    pub fn failover(&self, lane: Lane) -> FailoverPolicy {
        match lane {
            Lane::Auth => {
                FailoverPolicy { tries_on_first: 1, wait: Duration::from_secs(1), wait_between_relays: false }
            }
            _ => self.failover,
        }
    }
}
