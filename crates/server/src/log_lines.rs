//! How log lines are written: as text for people, or one JSON object a line for collectors. Each line that is written while
//! a request is handled ends with the request's id.

use std::fmt;
use std::io::{IsTerminal, stderr};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SystemClock;
use crate::config::LogFormat;
use bongsu_domain::Clock;

/// Sends log lines to stderr, those that `level` names.
pub fn to_stderr(level: &str, how: LogFormat) {
    let targets: Targets = level.parse().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let lines = Lines { how, text: format::format().with_ansi(stderr().is_terminal()) };
    let layer =
        tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).event_format(lines);
    // A second server in one process (tests) keeps the first one's lines.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
}

/// Writes one event.
struct Lines {
    how: LogFormat,
    text: Format,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let request = bongsu_api::current_request();
        match self.how {
            LogFormat::Json => writeln!(writer, "{}", Value::Object(object(event, request.as_deref()))),
            LogFormat::Text => {
                let Some(request) = request else { return self.text.format_event(context, writer, event) };
                let mut line = String::new();
                self.text.format_event(context, Writer::new(&mut line), event)?;
                writeln!(writer, "{} request_id={request}", line.trim_end())
            }
        }
    }
}

/// The members of a line: `time`, `level`, `target`, `message`, the event's fields, and `request_id`.
fn object(event: &Event<'_>, request: Option<&str>) -> Map<String, Value> {
    let metadata = event.metadata();
    let mut members = Map::new();
    members.insert("time".to_owned(), SystemClock.now().rfc3339().into());
    members.insert("level".to_owned(), metadata.level().as_str().to_ascii_lowercase().into());
    members.insert("target".to_owned(), metadata.target().into());
    event.record(&mut Members(&mut members));
    if let Some(request) = request {
        members.entry("request_id").or_insert_with(|| request.into());
    }
    members
}

/// Takes the fields of an event.
struct Members<'m>(&'m mut Map<String, Value>);

impl Members<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn written(how: LogFormat) -> String {
        let kept = Kept::default();
        let lines = Lines { how, text: format::format().with_ansi(false) };
        let layer = tracing_subscriber::fmt::layer().with_writer(kept.clone()).with_ansi(false).event_format(lines);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(error = "\"away\"", tries = 3, "a relay\nis away");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_object_whatever_stands_in_it() {
        let line = written(LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let seen: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&seen["level"], &seen["message"]), (&json!("warn"), &json!("a relay\nis away")));
        assert_eq!((&seen["error"], &seen["tries"], seen.get("request_id")), (&json!("\"away\""), &json!(3), None));
        assert!(seen["time"].as_str().is_some_and(|time| time.ends_with("+09:00")), "{line}");
    }

    #[test]
    fn a_text_line_is_as_it_was() {
        let line = written(LogFormat::Text);
        assert!(line.contains("WARN") && line.contains("tries=3") && !line.contains("request_id"), "{line}");
    }
}
