//! Logging: one JSON object per line, to standard output, where Lambda collects it.
//!
//! Owns the subscriber, its levels and the panic hook. [`events`] has every event, and `metrics` makes each event a
//! CloudWatch metric. No type of this crate prints a secret in its `Debug` output. This module limits other crates to
//! `INFO`, because below that some print whole requests.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Environment, reject};
use crate::error::Result;

pub mod events;
mod metrics;
#[cfg(test)]
mod tests;

/// The name of this crate. All our log lines come from it.
const OUR_CRATE: &str = env!("CARGO_CRATE_NAME");

/// The module whose lines are events.
const EVENTS: &str = concat!(env!("CARGO_CRATE_NAME"), "::telemetry::events");

/// Starts logging. Reads:
/// - `METRICS_NAMESPACE`: the CloudWatch namespace of the metrics, or `off` for no metrics; `Latchkey` by default;
/// - `AWS_LAMBDA_LOG_LEVEL`, which Lambda sets; `INFO` by default.
///
/// Logs the place of a panic and not its message, which may quote a request.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for a namespace that CloudWatch does not accept.
pub fn init(env: &Environment) -> Result<()> {
    let level = env.optional("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
    let lines = lines(level.unwrap_or(LevelFilter::INFO), metrics_namespace(env)?, std::io::stdout);
    tracing_subscriber::registry().with(lines).init();
    std::panic::set_hook(Box::new(|panic| {
        events::panicked(panic.location().map(ToString::to_string).as_deref());
    }));
    Ok(())
}

/// Returns the layer that writes the lines: our lines at `level`, the lines of other crates at the stricter of `level`
/// and `INFO`, and all events, whatever the level is. Without a namespace there are no metrics.
pub fn lines<S, W>(level: LevelFilter, namespace: Option<String>, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let json = tracing_subscriber::fmt::format().json().flatten_event(true).with_span_list(false);
    let lines = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).with_writer(writer);
    let always = filter_fn(|line| is_event(line) || is_invocation(line)).with_max_level_hint(LevelFilter::INFO);
    lines.event_format(WithMetrics { json, namespace }).with_filter(levels(level).or(always))
}

fn is_event(line: &Metadata<'_>) -> bool {
    line.is_event() && line.target() == EVENTS
}

/// Returns `true` for the span of an invocation. It puts the request id into each line.
fn is_invocation(line: &Metadata<'_>) -> bool {
    line.is_span() && *line.level() <= Level::INFO && line.target().starts_with("lambda_runtime")
}

/// Returns `level` for our crate, and for other crates the stricter of `level` and `INFO`. Below `INFO`,
/// `lambda_runtime` prints the raw event and the SDK prints what it signs and sends.
fn levels(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_target(OUR_CRATE, level)
}

/// Formats a line as `tracing_subscriber` does, and adds the metric of an event to the same object.
struct WithMetrics {
    json: Format<Json>,
    namespace: Option<String>,
}

impl<S, N> FormatEvent<S, N> for WithMetrics
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.json.format_event(context, Writer::new(&mut line), event)?;
        let namespace = self.namespace.as_ref().filter(|_| is_event(event.metadata()));
        let metric = namespace.and_then(|namespace| metrics::metric(event, namespace));
        match (metric, line.trim_end().strip_suffix('}')) {
            (Some(metric), Some(open)) => writeln!(writer, "{open},{}", metric.trim_start_matches('{')),
            _ => writer.write_str(&line),
        }
    }
}

/// Reads `METRICS_NAMESPACE`, or returns `None` for `off`. CloudWatch reserves namespaces that begin with `AWS/`.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for a namespace that CloudWatch does not accept.
pub fn metrics_namespace(env: &Environment) -> Result<Option<String>> {
    let name = env.or("METRICS_NAMESPACE", "Latchkey");
    if name == "off" {
        return Ok(None);
    }
    let is_accepted = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#:".contains(&byte);
    let is_reserved = name.eq_ignore_ascii_case("off") || name.starts_with("AWS/") || name.starts_with(':');
    if is_reserved || name.len() > 255 || !name.bytes().all(is_accepted) {
        return reject(
            "METRICS_NAMESPACE",
            "must be off or a namespace such as Latchkey/staging, with only letters, digits and .-_/#:",
        );
    }
    Ok(Some(name))
}
