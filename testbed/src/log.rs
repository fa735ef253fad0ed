//! The log lines of a test.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::telemetry;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The lines that are logged on this thread until this value is dropped.
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts recording, at the lowest level.
    #[must_use]
    pub fn start() -> Self {
        let lines = Lines::default();
        let layer = telemetry::lines(LevelFilter::TRACE, Some("Tests".to_owned()), lines.clone());
        Self { lines, _guard: tracing_subscriber::registry().with(layer).set_default() }
    }

    /// Returns and removes all lines.
    #[must_use]
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.lines.0.lock().unwrap())).unwrap()
    }

    /// Returns the lines of one event, and removes all lines.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<Value> {
        let text = self.take();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == name).collect()
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
