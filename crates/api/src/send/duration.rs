//! Durations as callers write them: ISO 8601 (`PT10M`) or whole seconds.

use std::time::Duration;

/// The longest `expiresIn`: relays keep no message longer.
pub const EXPIRES_IN_MAX: Duration = Duration::from_secs(72 * 3_600);

/// What a refused duration is told.
pub const WANTED: &str = "must be an ISO 8601 duration such as PT10M, or seconds, from PT1S to P3D";

/// Whole seconds from 1 to [`EXPIRES_IN_MAX`].
pub fn from_seconds(seconds: i64) -> Option<Duration> {
    let duration = Duration::from_secs(u64::try_from(seconds).ok()?);
    (duration >= Duration::from_secs(1) && duration <= EXPIRES_IN_MAX).then_some(duration)
}

/// `P` weeks, days, `T` hours, minutes, seconds (ISO 8601-1:2019, 5.5.2.3). Years and months have no fixed length and
/// are refused, as are fractions.
pub fn parse(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let seconds = sum(date, &[('W', 604_800), ('D', 86_400)])? + sum(time, &[('H', 3_600), ('M', 60), ('S', 1)])?;
    from_seconds(seconds)
}

/// Adds up numbers with units; each unit at most once and in order.
fn sum(mut text: &str, mut units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0;
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = text[digits..].chars().next()?;
        let place = units.iter().position(|(letter, _)| *letter == unit)?;
        if !(1..=9).contains(&digits) {
            return None;
        }
        total += text[..digits].parse::<i64>().ok()? * units[place].1;
        units = &units[place + 1..];
        text = &text[digits + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("PT10M", 600), ("PT1S", 1), ("PT1H30M", 5_400), ("P1D", 86_400), ("P1DT12H", 129_600), ("PT90S", 90)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "P",
            "PT",
            "10M",
            "PT10",
            "P10M",
            "P1Y",
            "PT0S",
            "PT-5M",
            "PT1.5S",
            "PT1M1H",
            "PT1H1H",
            "P1D5H",
            "P1DT",
            "PTT1S",
            "P1W",
            "P4D",
            "PT9999999999S",
            "pt10m",
            "PT1초",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!((from_seconds(0), from_seconds(-1), from_seconds(604_801)), (None, None, None));
    }
}
