//! The log lines of a test.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use shared::telemetry;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
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
        // With fewer than two dispatchers, the first thread that reaches an event decides for all threads whether it is
        // logged, even if that thread has no log (tokio-rs/tracing#3611).
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));

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

#[cfg(test)]
mod tests {
    use super::*;

    fn write_event() {
        tracing::info!(event = "tested", "An event that only this test logs.");
    }

    #[test]
    fn a_thread_without_a_log_hides_no_event_from_a_log() {
        let log = Log::start();
        std::thread::spawn(write_event).join().unwrap();
        write_event();
        assert_eq!(log.events("tested").len(), 1);
    }
}
