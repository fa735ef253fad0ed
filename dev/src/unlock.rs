//! What an operator does for somebody who is locked out, on the running stack.

use std::path::Path;

use anyhow::{Context as _, Result};
use shared::attempts::Attempts;
use shared::store::{self, Budget};
use shared::users::Account;

use crate::running;

/// Forgets the wrong passwords for a name, whether anybody has it or not.
///
/// # Errors
/// Where the local stack does not run at `url`, or counts nothing.
pub async fn forget(root: &Path, url: &str, name: &str) -> Result<()> {
    let config = running::config(root, url)?;
    let attempts = Attempts::new(store::connect(&config), &config)?.context("nothing is counted: THROTTLE is off")?;
    attempts.forget(&Account::named(name), &Budget::new(None)).await.with_context(|| running::not_running(url))
}
