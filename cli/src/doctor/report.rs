//! What a check found, and how it is printed.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::failure::{Failure, explain};
use crate::output::{Format, Printer, printable, say};

/// The fields of a line, in every format for programs.
const COLUMNS: &[&str] = &["check", "outcome", "detail", "fix"];

/// The width of the longest name of a check.
const NAME_WIDTH: usize = 25;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// The part is as it should be.
    Ok,
    /// The stack works, but an operator should know this.
    Warning,
    /// The stack does not work, or data are at risk.
    Failed,
    /// The part was not checked.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    /// The fact, what is wrong, or why the part was not checked.
    pub(super) detail: String,
    /// What to do, if something is wrong.
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, detail: detail.into(), fix: None }
    }

    pub(super) fn warning(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn failed(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, detail: reason.into(), fix: None }
    }

    /// A check that could not be made. The text of the error says what to do.
    pub(super) fn error(error: &anyhow::Error) -> Self {
        let text = explain(error);
        let (detail, fix) = text.split_once('\n').unwrap_or((&text, "Run `latchkey doctor` again."));
        Self::failed(detail, fix)
    }

    pub(super) fn is_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// A line of the output for programs.
#[derive(Serialize)]
struct Row<'a> {
    check: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// Prints each finding as soon as it is there, and counts them.
pub(super) struct Report {
    /// `None` prints for people.
    printer: Option<Printer>,
    outcomes: Vec<Outcome>,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        let printer = (format != Format::Table).then(|| Printer::list(format, COLUMNS));
        Self { printer, outcomes: Vec::new() }
    }

    /// Prints a finding.
    ///
    /// # Errors
    /// Fails if standard output is not writable.
    pub(super) fn add(&mut self, check: &'static str, finding: &Finding) -> Result<()> {
        self.outcomes.push(finding.outcome);
        match &mut self.printer {
            Some(printer) => printer.page(&[Row { check, finding }]),
            None => writeln!(anstream::stdout(), "{}", line(check, finding)).context("cannot write to standard output"),
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// [`Failure::Incomplete`] if a check failed. Fails if standard output is not writable.
    pub(super) fn finish(self) -> Result<()> {
        let count = |outcome| self.outcomes.iter().filter(|found| **found == outcome).count();
        let [ok, warnings, failed, skipped] =
            [Outcome::Ok, Outcome::Warning, Outcome::Failed, Outcome::Skipped].map(count);
        if let Some(printer) = self.printer {
            printer.finish()?;
        }
        let plural = if warnings == 1 { "" } else { "s" };
        let numbers = format!("{ok} ok, {warnings} warning{plural}, {failed} failed, {skipped} skipped");
        if failed > 0 {
            return Err(Failure::Incomplete(numbers).into());
        }
        say(&format!("{numbers}."));
        Ok(())
    }
}

/// Returns the lines for people. `anstream` removes the colours if no terminal shows them.
fn line(check: &str, finding: &Finding) -> String {
    let (mark, style) = match finding.outcome {
        Outcome::Ok => ("✓", AnsiColor::Green.on_default()),
        Outcome::Warning => ("!", AnsiColor::Yellow.on_default()),
        Outcome::Failed => ("✗", AnsiColor::Red.on_default()),
        Outcome::Skipped => ("-", Style::new()),
    };
    let detail = printable(&finding.detail);
    let fix = finding.fix.as_ref().map(|fix| format!("\n  {:NAME_WIDTH$}  fix: {}", "", printable(fix)));
    format!("{style}{mark}{style:#} {check:NAME_WIDTH$}  {detail}{}", fix.unwrap_or_default())
}
