//! Plain text tables for people; wide (Korean) characters take two columns.

use serde_json::Value;

/// Rows under a head, columns aligned; numbers to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (cell, widest) in row.iter().zip(&mut widths) {
            *widest = (*widest).max(width(cell));
        }
    }
    let line = |cells: &[String], is_head: bool| {
        let mut out = String::new();
        for (cell, column) in cells.iter().zip(&widths) {
            let pad = " ".repeat(column - width(cell));
            let is_number = !is_head && cell.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first));
            out.push_str(&if is_number { format!("{pad}{cell}  ") } else { format!("{cell}{pad}  ") });
        }
        out.trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut lines = vec![line(&head, true)];
    lines.extend(rows.iter().map(|row| line(row, false)));
    lines.join("\n")
}

/// An answer of the API for people: a list as a table, an object as lines.
pub fn value(answer: &Value) -> String {
    let items = answer["items"].as_array().or_else(|| answer.as_array());
    match (items, answer) {
        (Some(items), _) if items.is_empty() => "nothing there".to_owned(),
        (Some(items), _) => list(items),
        (None, Value::Object(object)) => {
            object.iter().map(|(key, value)| format!("{key}: {}", cell(value))).collect::<Vec<_>>().join("\n")
        }
        (None, Value::Null) => "done".to_owned(),
        (None, other) => cell(other),
    }
}

/// Objects inside an item are left to `--json`, but for the health of a relay.
fn list(items: &[Value]) -> String {
    let mut head: Vec<&str> = Vec::new();
    for (key, value) in items.iter().filter_map(Value::as_object).flatten() {
        if !head.contains(&key.as_str()) && (!value.is_object() || value["up"].is_boolean()) {
            head.push(key);
        }
    }
    if head.is_empty() {
        return items.iter().map(cell).collect::<Vec<_>>().join("\n");
    }
    let rows: Vec<Vec<String>> = items.iter().map(|item| head.iter().map(|key| cell(&item[*key])).collect()).collect();
    table(&head, &rows)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(_) if value["up"].is_boolean() => if value["up"] == true { "up" } else { "down" }.to_owned(),
        other => other.to_string(),
    }
}

fn width(text: &str) -> usize {
    text.chars()
        .map(|c| if ('\u{1100}'..='\u{115F}').contains(&c) || ('\u{2E80}'..='\u{FF60}').contains(&c) { 2 } else { 1 })
        .sum()
}
