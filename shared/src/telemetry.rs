//! What is logged: one JSON object a line, to standard output, where Lambda picks it up.
//!
//! Owns the subscriber, its levels and the panic hook. What must never be logged is kept out by the types that hold it;
//! here the crates that would print whole requests, credentials among them, are capped.

use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The crates whose lines are ours: the level that an operator sets is theirs.
const OURS: [&str; 7] = ["shared", "authorizer", "login", "userinfo", "logout", "password", "sessions"];

/// Starts logging at the level of `AWS_LAMBDA_LOG_LEVEL` (`INFO` without one). A panic becomes a line with its place;
/// its message, which may quote what a request brought, is dropped. It is a warning: where it means a fault of ours, the
/// 500 that follows is the error.
pub fn init() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    tracing_subscriber::registry().with(lines.with_filter(levels(level.unwrap_or(LevelFilter::INFO)))).init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::warn!(place, "A panic: the request is answered with an error, the next one is served.");
    }));
}

/// Ours at `level`; all other crates at `INFO` at the most: below it `lambda_runtime` prints the raw event and the SDK
/// what it signs and sends.
#[must_use]
pub fn levels(level: LevelFilter) -> Targets {
    let others = level.min(LevelFilter::INFO);
    Targets::new().with_default(others).with_targets(OURS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

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
    fn a_quieter_level_is_everybodys() {
        let levels = levels(LevelFilter::ERROR);
        assert!(!levels.would_enable("login", &Level::WARN) && !levels.would_enable("lambda_runtime", &Level::WARN));
    }
}
