//! Moments in time, days of the Korean calendar, and the clock that tells the first.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Korea Standard Time, UTC+09:00 without daylight saving since 1988.
const KST_OFFSET_MICROS: i64 = 9 * 3600 * SECOND;
const SECOND: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than every other moment; stands for "never".
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From milliseconds since the Unix epoch; saturates.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1000))
    }

    /// From seconds since the Unix epoch; saturates.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(SECOND))
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This moment and `duration` more; saturates at [`Timestamp::MAX`].
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros_of(duration)))
    }

    /// This moment less `duration`; saturates.
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros_of(duration)))
    }

    /// The time from `earlier` to this moment, zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The day of this moment in Seoul.
    pub fn kst_day(self) -> Day {
        Day::from_days(self.0.saturating_add(KST_OFFSET_MICROS).div_euclid(DAY_MICROS))
    }

    /// RFC 3339 in Korean time with milliseconds: `2026-03-01T09:00:00.000+09:00`.
    pub fn rfc3339(self) -> String {
        let local = self.0.saturating_add(KST_OFFSET_MICROS);
        let (year, month, day) = civil(local.div_euclid(DAY_MICROS));
        let millis = local.rem_euclid(DAY_MICROS) / 1000;
        let (secs, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}+09:00")
    }

    /// Reads RFC 3339 with any offset. None for anything else, for days that do not exist and for leap seconds;
    /// digits after the microsecond are dropped.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let layout = bytes.len() >= 20
            && [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')].iter().all(|&(at, byte)| bytes[at] == byte)
            && matches!(bytes[10], b'T' | b't');
        if !layout {
            return None;
        }
        let field = |from: usize, to: usize| digits(bytes.get(from..to)?);
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = Day::from_ymd(year, month, day)?.days();
        let (fraction, rest) = fraction_micros(&bytes[19..])?;
        let secs = days * 86_400 + hour * 3600 + minute * 60 + second - offset_secs(rest)?;
        Some(Timestamp(secs * SECOND + fraction))
    }
}

/// A day in Seoul as the number yyyymmdd, from 0000-01-01 to 9999-12-31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day with these parts of the Gregorian calendar; None when there is no such day.
    pub fn from_ymd(year: i64, month: i64, day: i64) -> Option<Day> {
        if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let candidate = Day::of(year, month, day);
        (Day::from_days(candidate.days()) == candidate).then_some(candidate)
    }

    /// The day after.
    pub fn next(self) -> Day {
        Day::from_days(self.days() + 1)
    }

    /// The day before.
    pub fn prev(self) -> Day {
        Day::from_days(self.days() - 1)
    }

    /// Its midnight in Seoul, the first moment of the day.
    pub fn start(self) -> Timestamp {
        Timestamp(self.days() * DAY_MICROS - KST_OFFSET_MICROS)
    }

    fn of(year: i64, month: i64, day: i64) -> Day {
        Day(u32::try_from(year * 10_000 + month * 100 + day).unwrap_or(0))
    }

    fn from_days(days: i64) -> Day {
        let (year, month, day) = civil(days);
        Day::of(year, month, day)
    }

    /// Days since 1970-01-01.
    fn days(self) -> i64 {
        let number = i64::from(self.0);
        days_from_civil(number / 10_000, number / 100 % 100, number % 100)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// Tells the time. The one door through which time enters.
pub trait Clock: Send + Sync {
    /// The present moment. May step back when the machine's clock is set.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(now.0))
    }

    /// Moves it forward.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(micros_of(duration), Ordering::SeqCst);
    }

    /// Sets it, back as well as forward.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Year, month and day of a count of days since 1970-01-01. The year is taken to begin in March, which puts the leap
/// day last and makes month lengths a linear formula.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// The microseconds of an optional `.digits`, and what follows it.
fn fraction_micros(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after_point) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let length = after_point.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let digit = |place: usize| after_point[..length].get(place).map_or(0, |byte| i64::from(byte - b'0'));
    let micros = (0..6).fold(0, |sum, place| sum * 10 + digit(place));
    Some((micros, &after_point[length..]))
}

/// The seconds of `Z`, `+hh:mm` or `-hh:mm`.
fn offset_secs(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hour, minute) = (digits(hours)?, digits(&[*m1, *m2])?);
            let secs = (hour <= 23 && minute <= 59).then_some(hour * 3600 + minute * 60)?;
            Some(if *sign == b'-' { -secs } else { secs })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
