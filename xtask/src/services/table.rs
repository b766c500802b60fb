//! The table of services, and the lines by which a shell takes their addresses.

use std::time::Duration;

use super::set::{Doing, Look};

/// A line for each service under a line of titles; columns as wide as they need.
pub fn table(looks: &[Look]) -> String {
    let titles = ["service", "state", "address", "pid", "memory", "uptime", "folder"].map(str::to_owned);
    let mut rows = vec![titles];
    rows.extend(looks.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(look: &Look) -> [String; 7] {
    let none = || "-".to_owned();
    let daemon = look.daemon.as_ref();
    let is_ours = !matches!(look.doing, Doing::Given | Doing::Absent);
    [
        look.which.name().to_owned(),
        state(&look.doing).to_owned(),
        look.url.as_deref().map_or_else(none, |url| address(url).to_owned()),
        daemon.map_or_else(none, |daemon| daemon.pid.to_string()),
        daemon.and_then(|daemon| daemon.memory_mib()).map_or_else(none, |mib| format!("{mib:.0} MiB")),
        daemon.and_then(|daemon| daemon.uptime()).map_or_else(none, duration),
        if is_ours { look.folder.display().to_string() } else { none() },
    ]
}

fn state(doing: &Doing) -> &'static str {
    match doing {
        Doing::Given => "given by environment",
        Doing::Up => "up",
        Doing::UpForCommand => "up for a command",
        Doing::Paused => "paused",
        Doing::Silent => "not ready",
        Doing::Stopped => "stopped",
        Doing::Absent => "not there",
    }
}

/// The host and port of a URL: a table shows no password.
pub fn address(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

fn duration(uptime: Duration) -> String {
    let s = uptime.as_secs();
    match (s / 3600, s / 60 % 60) {
        (0, 0) => format!("{s} s"),
        (0, minutes) => format!("{minutes} min {} s", s % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Lines for a shell, for what is up.
pub fn exports(looks: &[Look]) -> String {
    let up = looks.iter().filter(|look| is_up(look));
    let lines = up.filter_map(|look| Some((look.which.service().variable(), look.url.as_deref()?)));
    lines.map(|(variable, url)| format!("export {variable}={}\n", quoted(url))).collect()
}

/// True when tests can use it.
pub fn is_up(look: &Look) -> bool {
    matches!(look.doing, Doing::Given | Doing::Up | Doing::UpForCommand)
}

/// As it is when a shell takes it so, else in single quotes.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ":/@._-".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Which;
    use super::*;

    fn look(which: Which, doing: Doing, url: Option<&str>) -> Look {
        Look { which, doing, url: url.map(str::to_owned), daemon: None, folder: PathBuf::from("/scratch") }
    }

    #[test]
    fn the_table_shows_addresses_and_no_passwords() {
        let looks = [
            look(Which::Mariadb, Doing::Given, Some("mysql://bongsu:secret@db.example:3306/bongsu?ssl=on")),
            look(Which::Redis, Doing::Stopped, Some("redis://127.0.0.1:16379")),
        ];
        let want = "\
service  state                 address          pid  memory  uptime  folder
mariadb  given by environment  db.example:3306  -    -       -       -
redis    stopped               127.0.0.1:16379  -    -       -       /scratch
";
        assert_eq!(table(&looks), want);
    }

    #[test]
    fn a_shell_gets_what_is_up() {
        let looks = [
            look(Which::Mariadb, Doing::Up, Some("mysql://bongsu:a@127.0.0.1:13306/bongsu")),
            look(Which::MariadbReplica, Doing::Paused, Some("mysql://bongsu:a@127.0.0.1:13307/bongsu")),
            look(Which::Redis, Doing::Given, Some("redis://:it's&me@cache:6379")),
        ];
        let want = "\
export BONGSU_MYSQL_URL=mysql://bongsu:a@127.0.0.1:13306/bongsu
export BONGSU_REDIS_URL='redis://:it'\\''s&me@cache:6379'
";
        assert_eq!(exports(&looks), want);
    }

    #[test]
    fn durations_are_short() {
        let words = [7, 125, 3_600 * 30 + 61].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(words, ["7 s", "2 min 5 s", "30 h 1 min"]);
    }
}
