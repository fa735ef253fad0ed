use std::io;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use metrique_writer_core::format::Format as _;
use metrique_writer_core::{Entry, EntryWriter, unit};
use metrique_writer_format_emf::Emf;
use serde_json::{Value, json};

use super::*;
use crate::id::UserId;

/// Returns the lines that `act` writes.
fn written(level: LevelFilter, namespace: Option<&str>, act: impl FnOnce()) -> Vec<Value> {
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let lines = lines(level, namespace.map(str::to_owned), move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), act);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn with_reason() {
    events::login_failed("wrong_password", None);
}

fn without_reason() {
    events::password_changed(&UserId::parse("0").unwrap());
}

/// R97.
#[test]
fn only_our_crate_logs_below_info() {
    let levels = levels(LevelFilter::TRACE);
    assert!(levels.would_enable("shared::http", &Level::TRACE));
    for other in ["lambda_runtime", "lambda_runtime::layers", "aws_smithy_runtime", "hyper_util", "rustls"] {
        assert!(levels.would_enable(other, &Level::INFO) && !levels.would_enable(other, &Level::DEBUG), "{other}");
    }
}

#[test]
fn events_are_written_at_every_level() {
    let lines = written(LevelFilter::ERROR, Some("Latchkey"), || {
        tracing::warn!("A line of ours.");
        tracing::warn!(target: "lambda_runtime", event = "theirs", "A line of others.");
        tracing::warn!(event = "ours", "A line that only looks like an event.");
        let _invocation = tracing::info_span!(target: "lambda_runtime::layers", "invoke", requestId = "a").entered();
        without_reason();
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["event"], &lines[0]["span"]["requestId"]), (&json!("password_changed"), &json!("a")));
}

#[test]
fn a_line_of_another_crate_is_not_an_event() {
    let lines = written(LevelFilter::TRACE, Some("Latchkey"), || {
        tracing::info!(target: "lambda_runtime", event = "theirs", "A line of others.");
        tracing::debug!(target: "lambda_runtime", event = "theirs", "A line below INFO.");
    });
    assert_eq!((lines.len(), lines[0].get("_aws")), (1, None));
}

/// R98.
#[test]
fn a_line_is_one_json_object_whatever_its_fields_hold() {
    let lines = written(LevelFilter::INFO, Some("Latchkey"), || {
        events::throttled("a\nINFO ok\"}\r\u{1b}\u{0}\u{2028}", std::time::Duration::ZERO);
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["reason"], &lines[0]["throttled"]),
        (&json!("a\nINFO ok\"}\r\u{1b}\u{0}\u{2028}"), &json!(1))
    );
}

#[test]
fn without_a_namespace_a_line_has_no_metric() {
    let [plain, with_metric] = [None, Some("Latchkey")].map(|namespace| {
        let mut lines = written(LevelFilter::INFO, namespace, with_reason);
        lines.remove(0).as_object().unwrap().clone()
    });
    let names = |line: &serde_json::Map<String, Value>| line.keys().cloned().collect::<Vec<_>>();
    let more: Vec<_> = names(&with_metric).into_iter().filter(|name| !plain.contains_key(name)).collect();
    assert_eq!(more, ["_aws", "login_failed"]);
    assert!(
        !written(LevelFilter::INFO, Some("Latchkey"), || tracing::info!("No event."))[0].to_string().contains("_aws")
    );
}

/// The expected metric, as input for the formatter of `metrique-writer-format-emf`.
struct Expected {
    timestamp: SystemTime,
    name: &'static str,
    reason: Option<&'static str>,
}

impl Entry for Expected {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(self.timestamp);
        if let Some(reason) = &self.reason {
            writer.value("reason", reason);
        }
        writer.value(self.name, &unit::WithUnit::<_, unit::Count>::from(1_u64));
    }
}

/// Compares with an independent formatter.
#[test]
fn an_event_is_a_metric_in_the_embedded_metric_format() {
    for (write, name, reason) in
        [(with_reason as fn(), "login_failed", Some("wrong_password")), (without_reason, "password_changed", None)]
    {
        let mut lines = written(LevelFilter::INFO, Some("Latchkey"), write);
        let line = lines.remove(0);
        let milliseconds = line["_aws"]["Timestamp"].as_u64().unwrap();
        let timestamp = UNIX_EPOCH + std::time::Duration::from_millis(milliseconds);
        assert!(timestamp.elapsed().unwrap().as_secs() < 60, "now, in milliseconds");
        let dimensions = [Some(vec![]), reason.map(|_| vec!["reason".to_owned()])];
        let mut formatter = Emf::all_validations("Latchkey".to_owned(), dimensions.into_iter().flatten().collect());
        let mut expected = Vec::new();
        formatter.format(&Expected { timestamp, name, reason }, &mut expected).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&line[name], value, "{name}");
        }
    }
}

#[test]
fn a_namespace_that_cloudwatch_rejects_stops_the_start() {
    let read = |name: &str| metrics_namespace(&Environment::new(testbed::settings(&[("METRICS_NAMESPACE", name)])));
    assert_eq!(read("").unwrap().as_deref(), Some("Latchkey"));
    assert_eq!(read("Latchkey/staging").unwrap().as_deref(), Some("Latchkey/staging"));
    assert_eq!(read("off").unwrap(), None);
    for name in ["two words", "Off", "AWS/Lambda", ":a", "é", &"x".repeat(256)] {
        assert!(read(name).is_err(), "{name}");
    }
}
