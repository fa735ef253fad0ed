//! Unlocks an account of the running stack, as an operator does.

use std::path::Path;

use anyhow::{Context as _, Result};
use shared::budget::Budget;
use shared::store::{self, Account, Attempts};

use crate::running;

/// Deletes the attempt counters of a login name, except those of known devices. The name need not exist.
///
/// # Errors
/// Fails if the local stack does not run at `url`.
pub async fn unlock(root: &Path, url: &str, name: &str) -> Result<()> {
    let env = running::environment(root, url)?;
    let attempts = Attempts::from_env(store::connect(&env)?, &env)?;
    attempts.unlock(&Account::named(name), &Budget::new(None)).await.with_context(|| running::not_running(url))
}
