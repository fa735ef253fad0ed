//! An event: what a person reads of it, what a program reads of it, and which events are wanted.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::id::UserId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output::printable;

/// The longest filter pattern that CloudWatch Logs accepts.
const LONGEST_PATTERN: usize = 1024;

/// The fields that a line begins with. The others follow in alphabetical order.
const FIRST: [&str; 5] = ["user", "session", "reason", "operator", "command"];

/// The fields that a line leaves out: it has them elsewhere, or they are the same for every event of a name.
const LEFT_OUT: [&str; 7] = ["timestamp", "level", "event", "message", "target", "span", "_aws"];

/// An event of a function or of an operator.
#[derive(Debug)]
pub(super) struct Event {
    /// The time in milliseconds since 1970.
    pub(super) at: i64,
    text: String,
    fields: Map<String, Value>,
}

/// An event as one record of JSON or CSV.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    timestamp: String,
    level: &'a str,
    event: &'a str,
    user: Option<&'a Value>,
    session: Option<&'a Value>,
    reason: Option<&'a Value>,
    operator: Option<&'a Value>,
    command: Option<&'a Value>,
    /// All other fields.
    details: Map<String, Value>,
}

/// The names of the fields of a [`Row`].
pub(super) const COLUMNS: &[&str] =
    &["timestamp", "level", "event", "user", "session", "reason", "operator", "command", "details"];

impl Event {
    /// Reads a log line. Returns `None` if the line is not an event: a JSON object with a text in the field `event`.
    /// Without `at`, the line must have the field `timestamp`.
    pub(super) fn parse(line: &str, at: Option<i64>) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        fields.get("event")?.as_str()?;
        let timestamp = || fields.get("timestamp")?.as_str().and_then(milliseconds);
        // A line break in JSON is always white space. The output has one line for each event.
        Some(Self { at: at.or_else(timestamp)?, text: line.trim().replace(['\r', '\n'], " "), fields })
    }

    /// Returns the JSON object, as the function or the tool wrote it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the event as a line for a person: time, level, name, and the fields as `name=value`.
    pub(super) fn line(&self) -> String {
        let (level, name) = (self.level(), self.name());
        let style = match level {
            "ERROR" => AnsiColor::Red.on_default(),
            "WARN" => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        let first = FIRST.iter().filter_map(|name| Some((*name, self.fields.get(*name)?)));
        let others = self.details().map(|(name, value)| (name.as_str(), value));
        let fields = first.chain(others).filter(|(_, value)| !value.is_null());
        let fields: Vec<_> = fields.map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
        let (level, name, fields) = (printable(level), printable(name), printable(&fields.concat()));
        format!("{} {style}{level:<5} {name}{style:#}{fields}", rfc3339(self.at))
    }

    /// Returns the event as a record with fixed fields.
    pub(super) fn row(&self) -> Row<'_> {
        let field = |name: &str| self.fields.get(name);
        Row {
            timestamp: field("timestamp").and_then(Value::as_str).map_or_else(|| rfc3339(self.at), str::to_owned),
            level: self.level(),
            event: self.name(),
            user: field("user"),
            session: field("session"),
            reason: field("reason"),
            operator: field("operator"),
            command: field("command"),
            details: self.details().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    fn name(&self) -> &str {
        self.fields.get("event").and_then(Value::as_str).unwrap_or_default()
    }

    fn level(&self) -> &str {
        self.fields.get("level").and_then(Value::as_str).unwrap_or("INFO")
    }

    /// Returns the fields that have no column of their own. The metric of an event has the name of the event.
    fn details(&self) -> impl Iterator<Item = (&String, &Value)> {
        let is_detail = |name: &str| !FIRST.contains(&name) && !LEFT_OUT.contains(&name) && name != self.name();
        self.fields.iter().filter(move |(name, _)| is_detail(name))
    }
}

/// Which events are wanted.
#[derive(Debug)]
pub(super) struct Filter {
    /// Events from this time on, in milliseconds since 1970.
    pub(super) since: i64,
    /// Events with one of these names. Empty means every name.
    pub(super) names: Vec<String>,
    /// Events of this user.
    pub(super) user: Option<UserId>,
}

impl Filter {
    /// Returns `true` for an event that is wanted.
    pub(super) fn accepts(&self, event: &Event) -> bool {
        let is_user = |user: &UserId| event.fields.get("user").and_then(Value::as_str) == Some(user.as_str());
        event.at >= self.since
            && (self.names.is_empty() || self.names.iter().any(|name| name == event.name()))
            && self.user.as_ref().is_none_or(is_user)
    }

    /// Returns the filter pattern of CloudWatch Logs, to save the transfer of other lines. [`Self::accepts`] decides.
    /// The names and the id contain only letters, digits, `_` and `-`, so that they need no escape.
    pub(super) fn pattern(&self) -> String {
        let user = self.user.as_ref().map_or_else(String::new, |user| format!(" && $.user = \"{user}\""));
        let names = self.names.iter().map(|name| format!("$.event = \"{name}\"")).collect::<Vec<_>>().join(" || ");
        let pattern = format!("{{ ({names}){user} }}");
        if self.names.is_empty() || pattern.len() > LONGEST_PATTERN {
            format!("{{ ($.event = \"*\"){user} }}")
        } else {
            pattern
        }
    }
}

/// Returns the milliseconds since 1970 of an RFC 3339 time.
pub(super) fn milliseconds(rfc3339: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(rfc3339, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Returns a time in UTC, to the second.
fn rfc3339(milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Returns a value of a field. Text with white space, quotes or `=` is in quotes, so that it cannot look like another
/// field.
fn quoted(value: &Value) -> String {
    let is_plain = |text: &str| {
        !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || letter == '"' || letter == '=')
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(quoted).collect::<Vec<_>>().join(","),
        other => return other.to_string(),
    };
    if is_plain(&text) { text } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(fields: &Value) -> Event {
        Event::parse(&fields.to_string(), None).unwrap()
    }

    fn filter() -> Filter {
        Filter { since: 0, names: Vec::new(), user: None }
    }

    #[test]
    fn a_line_has_the_time_the_level_the_name_and_the_fields() {
        let function = event(&json!({
            "timestamp": "2026-11-23T20:29:17.955480Z", "level": "WARN", "message": "A token was reused.",
            "event": "refresh_reuse", "reason": "older_generation", "user": "0", "session": "hGk1yv3rQx0",
            "target": "shared::telemetry::events", "span": { "requestId": "1" }, "refresh_reuse": 1,
            "_aws": { "Timestamp": 1 }, "request_id": null, "wait_s": 3,
        }));
        assert_eq!(
            function.line(),
            "2026-11-23T20:29:17Z \u{1b}[33mWARN  refresh_reuse\u{1b}[0m user=0 session=hGk1yv3rQx0 \
             reason=older_generation wait_s=3"
        );
        let operator = event(&json!({
            "timestamp": "2026-11-23T21:29:17+01:00", "level": "INFO", "event": "user_changed", "user": "0",
            "operator": "local:ops", "command": "users set", "attributes": ["name", "email"],
        }));
        assert_eq!(
            operator.line(),
            "2026-11-23T20:29:17Z INFO  user_changed user=0 operator=local:ops command=\"users set\" \
             attributes=name,email"
        );
    }

    #[test]
    fn text_in_a_field_cannot_look_like_another_field_or_control_the_terminal() {
        let time = "2026-11-23T20:29:17Z";
        for (text, shown) in [
            ("a user=1", "\"a user=1\""),
            ("a\nb", "\"a\\nb\""),
            ("", "\"\""),
            ("a=b", "\"a=b\""),
            ("a\"b", "\"a\\\"b\""),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{202e}", "\\u{202e}"),
            ("a\u{2028}b", "\"a\\u{2028}b\""),
        ] {
            let line = event(&json!({ "timestamp": time, "event": "x", "causes": text })).line();
            assert_eq!(line, format!("{time} INFO  x causes={shown}"));
        }
        let name = event(&json!({ "timestamp": time, "event": "\u{1b}[2J", "level": "\u{9b}1m" }));
        assert_eq!(name.line(), format!("{time} \\u{{9b}}1m \\u{{1b}}[2J"));
    }

    #[test]
    fn a_line_without_an_event_is_not_an_event() {
        for line in [
            "",
            "{",
            "[]",
            "1",
            "\"event\"",
            r#"{"timestamp":"2026-11-23T20:29:17Z"}"#,
            r#"{"timestamp":"2026-11-23T20:29:17Z","event":1}"#,
            r#"{"event":"x"}"#,
            r#"{"event":"x","timestamp":"yesterday"}"#,
            r#"{"event":"x","timestamp":1}"#,
        ] {
            assert!(Event::parse(line, None).is_none(), "{line}");
        }
        let with_time = Event::parse("{\"event\":\n\"x\"}\r\n", Some(1000)).unwrap();
        assert_eq!((with_time.at, with_time.text()), (1000, "{\"event\": \"x\"}"));
    }

    #[test]
    fn the_filter_decides_by_time_name_and_user() {
        let found = event(&json!({ "timestamp": "1970-01-01T00:00:01Z", "event": "x", "user": "0" }));
        let by = |since, names: &[&str], user: Option<&str>| Filter {
            since,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            user: user.map(|user| UserId::parse(user).unwrap()),
        };
        for wanted in [by(1000, &[], None), by(0, &["y", "x"], None), by(0, &["x"], Some("0"))] {
            assert!(wanted.accepts(&found), "{wanted:?}");
        }
        for unwanted in [by(1001, &[], None), by(0, &["y"], None), by(0, &["x"], Some("1"))] {
            assert!(!unwanted.accepts(&found), "{unwanted:?}");
        }
        let without_user = event(&json!({ "timestamp": "1970-01-01T00:00:01Z", "event": "x" }));
        assert!(filter().accepts(&without_user) && !by(0, &[], Some("0")).accepts(&without_user));
    }

    #[test]
    fn the_pattern_names_events_and_user_and_is_never_too_long() {
        assert_eq!(filter().pattern(), r#"{ ($.event = "*") }"#);
        let user = Some(UserId::parse("kim-0").unwrap());
        let some = Filter { names: vec!["x".into(), "y".into()], user: user.clone(), ..filter() };
        assert_eq!(some.pattern(), r#"{ ($.event = "x" || $.event = "y") && $.user = "kim-0" }"#);
        let many = Filter { names: vec!["login_succeeded".into(); 60], user, ..filter() };
        assert_eq!(many.pattern(), r#"{ ($.event = "*") && $.user = "kim-0" }"#);
    }
}
