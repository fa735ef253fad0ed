//! What is logged: one JSON object a line, to standard output, where Lambda picks it up.
//!
//! Owns the subscriber, its levels, the panic hook, and that a line with a field `event` also counts: it carries its own
//! metric in CloudWatch's Embedded Metric Format. What must never be logged is kept out by the types that hold it; here the
//! crates that would print whole requests, credentials among them, are capped. `docs/events.md` says what each event means.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Config;

/// The crates whose lines are ours: the level that an operator sets is theirs.
const OURS: [&str; 7] = ["shared", "authorizer", "login", "userinfo", "logout", "password", "sessions"];

/// Starts logging at the level of `AWS_LAMBDA_LOG_LEVEL` (`INFO` without one). A panic becomes a line with its place;
/// its message, which may quote what a request brought, is dropped. It is a warning: where it means a fault of ours, the
/// 500 that follows is the error.
pub fn init(config: &Config) {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    let lines = lines(level.unwrap_or(LevelFilter::INFO), config.metrics_namespace.clone(), std::io::stdout);
    tracing_subscriber::registry().with(lines).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::warn!(event = "panicked", place, "The request is answered with an error, the next one is served.");
    }));
}

/// The lines of ours at `level` and of others at `INFO` at the most; and whatever the level, each that is an event: what is
/// counted does not depend on how much is said. Without a namespace nothing is counted.
pub fn lines<S, W>(level: LevelFilter, namespace: Option<String>, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let json = tracing_subscriber::fmt::format().json().flatten_event(true).with_span_list(false);
    let lines = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).with_writer(writer);
    let always = filter_fn(|line| is_ours(line) || is_invocation(line)).with_max_level_hint(LevelFilter::INFO);
    lines.event_format(Counting { json, namespace }).with_filter(levels(level).or(always))
}

/// Whether a line is an event of ours. A field of that name in a line of another crate is no event.
fn is_ours(line: &Metadata<'_>) -> bool {
    let of_crate = line.target().split("::").next().unwrap_or_default();
    line.is_event()
        && *line.level() <= Level::INFO
        && OURS.contains(&of_crate)
        && line.fields().field("event").is_some()
}

/// Whether it is the span of an invocation, which says in each line to which request it belongs.
fn is_invocation(line: &Metadata<'_>) -> bool {
    line.is_span() && *line.level() <= Level::INFO && line.target().starts_with("lambda_runtime")
}

/// Ours at `level`; all other crates at `INFO` at the most: below it `lambda_runtime` prints the raw event and the SDK
/// what it signs and sends.
fn levels(level: LevelFilter) -> Targets {
    let others = level.min(LevelFilter::INFO);
    Targets::new().with_default(others).with_targets(OURS.map(|target| (target, level)))
}

/// A line as `tracing_subscriber` writes it, and the metric of an event in the same object.
struct Counting {
    json: Format<Json>,
    namespace: Option<String>,
}

impl<S, N> FormatEvent<S, N> for Counting
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.json.format_event(context, Writer::new(&mut line), event)?;
        let metric = self.namespace.as_ref().and_then(|namespace| metric(event, namespace));
        match (metric, line.trim_end().strip_suffix('}')) {
            (Some(metric), Some(open)) => writeln!(writer, "{open},{}", metric.trim_start_matches('{')),
            _ => writer.write_str(&line),
        }
    }
}

/// The metric of an event, as an object of its own: one more, with that name. There is one value for all reasons together,
/// and one for each. Nothing for a line that is no event.
fn metric(event: &Event<'_>, namespace: &str) -> Option<String> {
    if !is_ours(event.metadata()) {
        return None;
    }
    let mut named = Named::default();
    event.record(&mut named);
    let Named { event: Some(name), has_reason } = named else { return None };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let by_reason = has_reason.then(|| vec!["reason"]);
    let directive = Directive {
        namespace,
        dimensions: std::iter::once(vec![]).chain(by_reason).collect(),
        metrics: [Definition { name: &name, unit: "Count" }],
    };
    let timestamp = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let value = BTreeMap::from([(name.as_str(), 1)]);
    serde_json::to_string(&Metric { aws: Directives { timestamp, directives: [directive] }, value }).ok()
}

/// The root of a document in the Embedded Metric Format, without the members that the line has already.
///
/// Written here: of the maintained crates, `metrique-writer-format-emf` brings some fifty others along for this one
/// object, and `metrics_cloudwatch_embedded` has no two sets of dimensions. The first is the judge in the tests.
#[derive(Serialize)]
struct Metric<'a> {
    #[serde(rename = "_aws")]
    aws: Directives<'a>,
    #[serde(flatten)]
    value: BTreeMap<&'a str, u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directives<'a> {
    timestamp: u64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: Vec<Vec<&'static str>>,
    metrics: [Definition<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: &'static str,
}

/// What the metric has to know of an event.
#[derive(Default)]
struct Named {
    event: Option<String>,
    has_reason: bool,
}

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => self.event = Some(value.to_owned()),
            "reason" => self.has_reason = true,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use metrique_writer_core::format::Format as _;
    use metrique_writer_core::{Entry, EntryWriter, unit};
    use metrique_writer_format_emf::Emf;
    use serde_json::{Value, json};

    /// What is written while `act` happens.
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

    fn refuse(reason: Option<&str>) {
        tracing::info!(event = "login_failed", reason, "A password was refused.");
    }

    /// R97.
    #[test]
    fn only_our_own_crates_can_be_made_to_say_more_than_info() {
        let levels = levels(LevelFilter::TRACE);
        assert!(levels.would_enable("login", &Level::TRACE) && levels.would_enable("shared::http", &Level::TRACE));
        for other in ["lambda_runtime", "lambda_runtime::layers", "aws_smithy_runtime", "hyper_util", "rustls"] {
            assert!(levels.would_enable(other, &Level::INFO) && !levels.would_enable(other, &Level::DEBUG), "{other}");
        }
    }

    #[test]
    fn a_quieter_level_is_everybodys_but_events_are_counted_all_the_same() {
        let lines = written(LevelFilter::ERROR, Some("Latchkey"), || {
            tracing::warn!("A line of ours.");
            tracing::warn!(target: "lambda_runtime", event = "theirs", "A line of others.");
            tracing::debug!(event = "ours", "No event is this quiet.");
            let _invocation =
                tracing::info_span!(target: "lambda_runtime::layers", "invoke", requestId = "a").entered();
            refuse(None);
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["event"], &lines[0]["span"]["requestId"]), (&json!("login_failed"), &json!("a")));
    }

    #[test]
    fn what_another_crate_calls_an_event_is_not_counted() {
        let lines = written(LevelFilter::TRACE, Some("Latchkey"), || {
            tracing::info!(target: "lambda_runtime", event = "theirs", "A line of others.");
            tracing::debug!(target: "lambda_runtime", event = "theirs", "As quiet as it may be.");
        });
        assert_eq!((lines.len(), lines[0].get("_aws")), (1, None));
    }

    /// R98: whatever stands in a field, a line is one object.
    #[test]
    fn a_line_is_one_object_whatever_stands_in_it() {
        let lines = written(LevelFilter::INFO, Some("Latchkey"), || {
            tracing::info!(
                event = "login_failed",
                user = "a\nINFO ok\"}\r\u{1b}\u{0}\u{2028}",
                "A password was refused."
            );
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&lines[0]["user"], &lines[0]["login_failed"]),
            (&json!("a\nINFO ok\"}\r\u{1b}\u{0}\u{2028}"), &json!(1))
        );
    }

    #[test]
    fn without_a_namespace_nothing_is_counted_and_as_much_is_said() {
        let [silent, counting] = [None, Some("Latchkey")].map(|namespace| {
            let mut lines = written(LevelFilter::INFO, namespace, || refuse(Some("wrong_password")));
            lines.remove(0).as_object().unwrap().clone()
        });
        let names = |line: &serde_json::Map<String, Value>| line.keys().cloned().collect::<Vec<_>>();
        let more: Vec<_> = names(&counting).into_iter().filter(|name| !silent.contains_key(name)).collect();
        assert_eq!(more, ["_aws", "login_failed"]);
        assert!(
            !written(LevelFilter::INFO, Some("Latchkey"), || tracing::info!("No event."))[0]
                .to_string()
                .contains("_aws")
        );
    }

    /// The same event, as the formatter of AWS's own crate takes it.
    struct Judged {
        timestamp: SystemTime,
        reason: Option<&'static str>,
    }

    impl Entry for Judged {
        fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
            writer.timestamp(self.timestamp);
            if let Some(reason) = &self.reason {
                writer.value("reason", reason);
            }
            writer.value("login_failed", &unit::WithUnit::<_, unit::Count>::from(1_u64));
        }
    }

    /// With an independent formatter.
    #[test]
    fn an_event_counts_itself_in_the_embedded_metric_format() {
        for reason in [Some("wrong_password"), None] {
            let mut lines = written(LevelFilter::INFO, Some("Latchkey"), || refuse(reason));
            let line = lines.remove(0);
            let milliseconds = line["_aws"]["Timestamp"].as_u64().unwrap();
            let timestamp = UNIX_EPOCH + std::time::Duration::from_millis(milliseconds);
            assert!(timestamp.elapsed().unwrap().as_secs() < 60, "now, in milliseconds");
            let dimensions = [Some(vec![]), reason.map(|_| vec!["reason".to_owned()])];
            let mut judge = Emf::all_validations("Latchkey".to_owned(), dimensions.into_iter().flatten().collect());
            let mut judged = Vec::new();
            judge.format(&Judged { timestamp, reason }, &mut judged).unwrap();
            let judged: Value = serde_json::from_slice(&judged).unwrap();
            for (name, expected) in judged.as_object().unwrap() {
                assert_eq!(&line[name], expected, "{name}");
            }
        }
    }
}
