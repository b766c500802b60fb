//! `/v1/stats`: messages of some days, added up.

use bongsu_domain::Day;
use bongsu_send::facts::{By, STATS_DAYS_MAX};

use crate::call::Call;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::view;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// A day as it is written: `2026-11-20`.
fn day(text: &str) -> Option<Day> {
    let [year, month, day] = text.split('-').collect::<Vec<_>>().try_into().ok()?;
    let fits = year.len() == 4 && month.len() == 2 && day.len() == 2;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    fits.then(|| Day::from_ymd(number(year)?, number(month)?, number(day)?)).flatten()
}

/// Adds up the messages that were accepted on some days.
pub async fn read_stats(mut call: Call) -> Result<Reply, Problem> {
    let scope = call.scope()?;
    let today = call.app.clock.now().kst_day();
    let wanted = "a day in Seoul such as 2026-11-20";
    let to = call.query.parsed("to", wanted, day).unwrap_or(today);
    let from = call.query.parsed("from", wanted, day).unwrap_or(to);
    let by = call.query.parsed("by", &format!("some of {}", words().join(",")), ways).unwrap_or_default();
    let days = (to.start().0 - from.start().0) / MICROS_A_DAY + 1;
    if from > to {
        call.query.wrong("from", "is after to");
    } else if days > STATS_DAYS_MAX {
        call.query.wrong("from", &format!("is more than {STATS_DAYS_MAX} days before to"));
    }
    call.query.close()?;
    let stats = call.app.service.stats(scope, from, to, &by).await?;
    Ok(Reply::json(200, &view::Stats::new(from, to, &by, &stats)))
}

/// The words of `by`.
pub fn words() -> Vec<&'static str> {
    By::ALL.into_iter().map(By::as_str).collect()
}

fn ways(text: &str) -> Option<Vec<By>> {
    let mut ways: Vec<By> = text.split(',').map(By::parse).collect::<Option<_>>()?;
    ways.sort_unstable();
    ways.dedup();
    Some(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_nothing_else() {
        assert_eq!(day("2026-11-20"), Some(Day(20_261_120)));
        for bad in ["", "2026", "2026-11-31", "20261120", "2026-1-2", "2026-11-20T00", "+026-11-20", "2026-11-20-1"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }

    #[test]
    fn ways_are_a_list_of_known_words() {
        assert_eq!(ways("relay,day,day"), Some(vec![By::Day, By::Relay]));
        assert_eq!(ways("relay,hour"), None);
    }
}
