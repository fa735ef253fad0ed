//! Unlocks an account of the running stack, as an operator does.

use anyhow::{Context as _, Result};
use shared::budget::Budget;
use shared::store::{self, Account, Attempts};

use crate::target::Target;

/// Deletes the attempt counters of a login name, except those of known devices. The name need not exist.
///
/// # Errors
/// Fails if the stack does not run in this checkout.
pub async fn unlock(target: &Target, name: &str) -> Result<()> {
    let env = target.environment()?;
    let attempts = Attempts::from_env(store::connect(&env)?, &env)?;
    attempts.unlock(&Account::named(name), &Budget::new(None)).await.with_context(|| target.not_running())
}
