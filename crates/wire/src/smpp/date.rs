//! Dates of delivery receipts, which are digits without a zone and here mean Korean time (SMPP 3.4 appendix B).

use bongsu_domain::time::Timestamp;

/// Asia/Seoul has had no other offset since 1988.
const KST_SECONDS: i64 = 9 * 3600;
const DAY_SECONDS: i64 = 86_400;

/// How a message centre writes dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DateDigits {
    /// `YYMMDDhhmm`, the specification's form.
    #[default]
    Ten,
    /// `YYMMDDhhmmss`
    Twelve,
    /// `YYYYMMDDhhmmss`
    Fourteen,
}

/// Reads a date of 10, 12 or 14 digits as Korean time; a two-digit year is in 2000..=2099. `None` for anything else.
pub(super) fn parse(digits: &[u8]) -> Option<Timestamp> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = match digits.len() {
        10 | 12 => (2000 + number(digits.get(..2)?), digits.get(2..)?),
        14 => (number(digits.get(..4)?), digits.get(4..)?),
        _ => return None,
    };
    let part = |index: usize| rest.get(index * 2..index * 2 + 2).map_or(0, number);
    let (month, day, hour, minute, second) = (part(0), part(1), part(2), part(3), part(4));
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - KST_SECONDS;
    Some(Timestamp(seconds * 1_000_000))
}

/// Writes a moment as Korean time; seconds are cut off, not rounded.
pub(super) fn format(at: Timestamp, digits: DateDigits) -> String {
    let seconds = at.0.div_euclid(1_000_000) + KST_SECONDS;
    let (year, month, day) = civil(seconds.div_euclid(DAY_SECONDS));
    let in_day = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    let to_minute = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}", year.rem_euclid(100));
    match digits {
        DateDigits::Ten => to_minute,
        DateDigits::Twelve => format!("{to_minute}{second:02}"),
        DateDigits::Fourteen => format!("{:02}{to_minute}{second:02}", year.div_euclid(100)),
    }
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March here, so that leap days come last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days_from_epoch`]: year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}
