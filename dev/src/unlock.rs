//! What an operator does for somebody who is locked out, on the running stack.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use shared::attempts::Attempts;
use shared::config::Config;
use shared::store::{self, Budget};
use shared::users::Account;

use crate::certificate;
use crate::settings::Settings;

/// Forgets the wrong passwords for a name, whether anybody has it or not.
///
/// # Errors
/// Where the local stack does not run at `url`, or counts nothing.
pub async fn forget(root: &Path, url: &str, name: &str) -> Result<()> {
    let variables = file(root, port(url)?);
    let text = fs::read_to_string(&variables)
        .with_context(|| format!("the local stack does not run at {url}: start it with `cargo dev`"))?;
    let variables: BTreeMap<String, String> = serde_json::from_str(&text)?;
    let config = Config::from_lookup(|name| variables.get(name).cloned())?;
    let attempts = Attempts::new(store::connect(&config), &config)?.context("nothing is counted: THROTTLE is off")?;
    Ok(attempts.forget(Account::named(name).as_str(), &Budget::new(None)).await?)
}

/// Writes down with which settings the stack at this port runs, secrets included, for this user's eyes only.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn remember(root: &Path, port: u16, settings: &Settings) -> Result<()> {
    let variables: BTreeMap<_, _> = settings.variables().collect();
    let file = file(root, port);
    fs::create_dir_all(file.parent().unwrap_or(root))?;
    certificate::write_secret(&file, &serde_json::to_string(&variables)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

fn file(root: &Path, port: u16) -> PathBuf {
    root.join(format!("target/dev/running-{port}.json"))
}

fn port(url: &str) -> Result<u16> {
    reqwest::Url::parse(url)?.port_or_known_default().context("the address has no port")
}
