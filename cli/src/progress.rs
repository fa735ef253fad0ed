//! The progress of long work, on a terminal only.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A progress bar. It is hidden if standard error is not a terminal.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    counts_bytes: bool,
}

impl Progress {
    /// Shows a count without a known end. `what` says what is counted.
    #[must_use]
    pub fn spinner(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {human_pos} {msg}, {rate}, {elapsed}"));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, counts_bytes: false }
    }

    /// Shows nothing, because the output itself goes to the terminal.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), counts_bytes: false }
    }

    /// Shows how much of a file was read, and the time left.
    #[must_use]
    pub fn of_file(bytes: u64) -> Self {
        let bar = ProgressBar::new(bytes);
        bar.set_style(style("{wide_bar} {percent}% {msg} {eta} left"));
        Self { bar, counts_bytes: true }
    }

    /// Returns a reader that advances the progress by the bytes that are read.
    pub fn read<R: std::io::Read>(&self, reader: R) -> impl std::io::Read + use<R> {
        let bar = if self.counts_bytes { self.bar.clone() } else { ProgressBar::hidden() };
        bar.wrap_read(reader)
    }

    /// Advances a count.
    pub fn advance(&self, by: usize) {
        self.bar.inc(u64::try_from(by).unwrap_or(u64::MAX));
    }

    /// Shows a text beside the bar.
    pub fn note(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Prints a line above the bar, to standard error.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| anstream::eprintln!("{text}"));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
        write!(text, "{:.0}/s", state.per_sec()).ok();
    })
}

/// Returns how long some work took, as ` in 12 s (1,000 users/s)`. Empty for work of less than a second.
#[must_use]
pub fn rate(users: usize, took: Duration) -> String {
    let mut text = String::new();
    if took >= Duration::from_secs(1) {
        let per_second = u128::try_from(users).unwrap_or_default() * 1000 / took.as_millis().max(1);
        write!(text, " in {} s ({per_second} users/s)", took.as_secs()).ok();
    }
    text
}
