//! What is logged.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::telemetry;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The lines that are logged on this thread while it is there.
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to listen: to everything that the most talkative setting lets through.
    #[must_use]
    pub fn start() -> Self {
        let lines = Lines::default();
        let layer = telemetry::lines(LevelFilter::TRACE, Some("Tests".to_owned()), lines.clone());
        Self { lines, _guard: tracing_subscriber::registry().with(layer).set_default() }
    }

    /// Everything that was said since this was last asked.
    #[must_use]
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.lines.0.lock().unwrap())).unwrap()
    }

    /// The lines since this was last asked that are events of that name.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<Value> {
        let said = self.take();
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
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
