//! What the command is doing, on standard error.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a line is printed if standard error is not a terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// The progress of a run.
pub(crate) struct Progress {
    is_terminal: bool,
    started: Instant,
    last: Cell<Option<Instant>>,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), started: Instant::now(), last: Cell::new(None) }
    }

    /// Shows a step: in one line that changes on a terminal, and elsewhere as a line every ten seconds.
    pub(crate) fn say(&self, step: &str) {
        let seconds = self.started.elapsed().as_secs();
        let text = format!("{:>3}:{:02}  {step}", seconds / 60, seconds % 60);
        if self.is_terminal {
            write!(io::stderr(), "\r\x1b[2K{text}").ok();
        } else if self.last.get().is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.last.set(Some(Instant::now()));
            writeln!(io::stderr(), "{text}").ok();
        }
    }

    /// Ends the line that changes.
    pub(crate) fn finish(&self) {
        if self.is_terminal {
            write!(io::stderr(), "\r\x1b[2K").ok();
        }
    }
}
