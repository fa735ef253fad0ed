//! `latchkey keys list`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::keys::{Key, KeySet, Purpose};

use super::{PurposeArgument, StackKeys, State};
use crate::failure::{Failure, explain};
use crate::output::{Format, Printer, number_of, say};

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey keys list
  latchkey keys list access
  latchkey keys list --output json

The column STATE:
  signs     signs, and verifies
  next      is published, and signs later
  verifies  signs no more, and verifies until RETIRE_AT
  retired   does neither, and will be dropped
The time of the first keys of a stack is unknown, so that it is empty.";

/// Lists keys.
#[derive(Debug, Args)]
pub struct List {
    /// What the keys are for. Without it, all keys.
    purpose: Option<PurposeArgument>,
}

/// A key without its secret.
#[derive(Serialize)]
pub(super) struct Row {
    purpose: &'static str,
    kid: String,
    algorithm: &'static str,
    state: &'static str,
    published_at: Option<String>,
    sign_from: Option<String>,
    retire_at: Option<String>,
}

/// The names of the fields of a [`Row`]. The times have the names that they have in the secret and in events.
pub(super) const COLUMNS: &[&str] = &["purpose", "kid", "algorithm", "state", "published_at", "sign_from", "retire_at"];

impl Row {
    pub(super) fn of(purpose: Purpose, key: &Key, set: &KeySet, now: Timestamp) -> Self {
        let is_known = |time: &Timestamp| time.as_secs() > 0;
        let shown = |time: Option<Timestamp>| time.filter(is_known).map(Timestamp::rfc3339);
        Self {
            purpose: purpose.name(),
            kid: key.id.clone(),
            algorithm: key.algorithm().name(),
            state: State::of(key, set, now).name(),
            published_at: shown(Some(key.published_at)),
            sign_from: shown(key.sign_from),
            retire_at: shown(key.retire_at),
        }
    }
}

impl List {
    pub(super) async fn run(self, keys: &StackKeys<'_>, output: Format) -> Result<()> {
        let purposes = self.purpose.map_or_else(|| keys.purposes.clone(), |purpose| vec![purpose.into()]);
        let now = Timestamp::now();
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for purpose in purposes {
            match keys.read(purpose).await {
                Ok(stored) => {
                    rows.extend(stored.set.keys().iter().map(|key| Row::of(purpose, key, &stored.set, now)));
                }
                Err(error) => failures.push(error),
            }
        }
        if rows.is_empty()
            && let Some(failure) = failures.pop()
        {
            return Err(failure);
        }
        let mut printer = Printer::list(output, COLUMNS);
        printer.page(&rows)?;
        printer.finish()?;
        for failure in &failures {
            say(&explain(failure));
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(Failure::Incomplete(format!("{} cannot be read", number_of(failures.len(), "key set"))).into())
    }
}
