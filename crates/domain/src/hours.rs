//! The hours in which advertisements may leave: 08:00 to 21:00 in Seoul by law (정보통신망법 제50조 3항), or fewer.

use std::str::FromStr;
use std::time::Duration;

use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// Korea Standard Time, UTC+09:00 without daylight saving.
const KST_MS: i64 = 9 * 3_600_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// The law's first and last minute of the day.
const LAW: (u16, u16) = (8 * 60, 21 * 60);

/// From when to when, in minutes of the day in Seoul: the first minute is within, the last is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    opens: u16,
    closes: u16,
}

/// The hours are none, or reach into the night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hours of advertisements begin at 08:00 or later and end at 21:00 or earlier, and one is before the other")]
pub struct BadHours;

impl Default for Hours {
    /// Those of the law.
    fn default() -> Self {
        Self { opens: LAW.0, closes: LAW.1 }
    }
}

impl Hours {
    /// Hours within those of the law, in minutes of the day.
    ///
    /// # Errors
    /// [`BadHours`] for wider ones, and for none.
    pub fn new(opens: u16, closes: u16) -> Result<Self, BadHours> {
        if opens < LAW.0 || closes > LAW.1 || opens >= closes {
            return Err(BadHours);
        }
        Ok(Self { opens, closes })
    }

    /// Whether an advertisement may be handed over at this moment.
    pub fn is_open(self, at: Timestamp) -> bool {
        let (_, of_day) = local(at.millis());
        (self.opens_ms()..self.closes_ms()).contains(&of_day)
    }

    /// This moment, or the next at which advertisements may be handed over again.
    pub fn next_open(self, at: Timestamp) -> Timestamp {
        if self.is_open(at) {
            return at;
        }
        let (day, of_day) = local(at.millis());
        let day = if of_day < self.opens_ms() { day } else { day + DAY_MS };
        Timestamp::from_millis(day + self.opens_ms() - KST_MS)
    }

    /// The first moment after `at` at which they may not, while they may at `at`; `at` itself while they may not.
    pub fn closes_at(self, at: Timestamp) -> Timestamp {
        if !self.is_open(at) {
            return at;
        }
        let (day, _) = local(at.millis());
        Timestamp::from_millis(day + self.closes_ms() - KST_MS)
    }

    /// When `life` is over that is counted from `start` in open hours only, so that no night uses it up.
    pub fn after(self, start: Timestamp, life: Duration) -> Timestamp {
        let mut at = self.next_open(start);
        let mut left = life;
        loop {
            let today = self.closes_at(at).since(at);
            if left <= today {
                return at.plus(left);
            }
            left -= today;
            at = self.next_open(self.closes_at(at));
        }
    }

    /// The open hours from one moment to a later one: what [`Hours::after`] was given.
    pub fn between(self, from: Timestamp, to: Timestamp) -> Duration {
        let mut at = self.next_open(from);
        let mut sum = Duration::ZERO;
        while at < to {
            let closes = self.closes_at(at);
            sum += closes.min(to).since(at);
            at = self.next_open(closes);
        }
        sum
    }

    fn opens_ms(self) -> i64 {
        i64::from(self.opens) * MINUTE_MS
    }

    fn closes_ms(self) -> i64 {
        i64::from(self.closes) * MINUTE_MS
    }
}

impl FromStr for Hours {
    type Err = BadHours;

    /// Reads `HH:MM-HH:MM`.
    fn from_str(text: &str) -> Result<Self, BadHours> {
        let (opens, closes) = text.split_once('-').ok_or(BadHours)?;
        Self::new(minute(opens).ok_or(BadHours)?, minute(closes).ok_or(BadHours)?)
    }
}

/// Midnight in Seoul, as milliseconds of local time since the epoch, and milliseconds since then.
fn local(millis: i64) -> (i64, i64) {
    let local = millis.saturating_add(KST_MS);
    let of_day = local.rem_euclid(DAY_MS);
    (local - of_day, of_day)
}

/// `HH:MM`, to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?;
    let (hour, minute): (u16, u16) = (two(hour)?, two(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}
