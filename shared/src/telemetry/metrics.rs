//! Metrics in CloudWatch's Embedded Metric Format (EMF).
//!
//! Owns the members that make a log line a metric. CloudWatch reads them from the log, so that a metric costs no call.
//!
//! Written by hand: of the maintained crates, `metrique-writer-format-emf` has about fifty dependencies, and
//! `metrics_cloudwatch_embedded` cannot write two sets of dimensions. The tests compare with the former.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::Event;
use tracing::field::{Field, Visit};

/// Returns the metric of an event as a JSON object: it adds 1 under the event's name, without dimensions, and a second
/// time with the dimension `reason` if the event has one. Returns `None` for a line without an event name.
pub(super) fn metric(event: &Event<'_>, namespace: &str) -> Option<String> {
    let mut fields = EventFields::default();
    event.record(&mut fields);
    let EventFields { event: Some(name), has_reason } = fields else { return None };
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

/// The members of an EMF document that the log line does not have yet.
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

/// The fields of an event that the metric needs.
#[derive(Default)]
struct EventFields {
    event: Option<String>,
    has_reason: bool,
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => self.event = Some(value.to_owned()),
            "reason" => self.has_reason = true,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
