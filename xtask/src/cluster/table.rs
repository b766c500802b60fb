//! What runs where, as a table.

use std::time::Duration;

use super::node::Node;
use crate::process;

/// One row.
type Row = [String; 8];

/// The processes of Bongsu with what the kernel says about them.
pub fn rows(nodes: &[Node]) -> Vec<Row> {
    nodes
        .iter()
        .map(|node| {
            let look = node.look();
            let state = match (look.pid, look.is_ready) {
                (None, _) => "down",
                (Some(_), false) => "starting",
                (Some(_), true) => "up",
            };
            let none = || "-".to_owned();
            [
                node.seat.name.clone(),
                node.seat.role.name().to_owned(),
                node.address(),
                state.to_owned(),
                look.pid.map_or_else(none, |pid| pid.to_string()),
                look.since.filter(|_| look.pid.is_some()).map_or_else(none, |since| duration(since.elapsed())),
                look.starts.to_string(),
                look.pid.and_then(process::memory).map_or_else(none, |memory| format!("{:.0} MiB", memory.rss)),
            ]
        })
        .collect()
}

/// A service or a simulator: nothing is known but where it is.
pub fn plain(name: &str, what: &str, address: &str, pid: Option<u32>) -> Row {
    let none = || "-".to_owned();
    let memory = pid.and_then(process::memory).map_or_else(none, |memory| format!("{:.0} MiB", memory.rss));
    let state = if memory == "-" { "down" } else { "up" };
    let pid = pid.map_or_else(none, |pid| pid.to_string());
    [name.into(), what.into(), address.into(), state.into(), pid, none(), none(), memory]
}

/// Rows under a line of titles; columns as wide as they need.
pub fn table(rows: &[Row]) -> String {
    let titles = ["process", "role", "address", "state", "pid", "uptime", "starts", "memory"].map(str::to_owned);
    let rows: Vec<&Row> = std::iter::once(&titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &&Row| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn duration(uptime: Duration) -> String {
    let s = uptime.as_secs();
    if s < 60 { format!("{s} s") } else { format!("{} min {} s", s / 60, s % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let text = table(&[plain("redis", "cache", "127.0.0.1:1", None), plain("r", "relay", "127.0.0.1:12345", None)]);
        let starts: Vec<Option<usize>> = text.lines().map(|line| line.find("127.").or(line.find("address"))).collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
    }
}
