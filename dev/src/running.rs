//! The stack that runs, for the commands that work on it.
//!
//! Owns where its settings are written down, secrets included, for this user's eyes only. Knows nothing of what they are for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use shared::config::Config;

use crate::certificate;
use crate::settings::Settings;

/// Writes down with which settings the stack at this port runs.
///
/// # Errors
/// Where that cannot be written.
pub(crate) fn remember(root: &Path, port: u16, settings: &Settings) -> Result<()> {
    let variables: BTreeMap<_, _> = settings.variables().collect();
    let file = file(root, port);
    fs::create_dir_all(file.parent().unwrap_or(root))?;
    certificate::write_secret(&file, &serde_json::to_string(&variables)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What the functions of the stack at `url` are configured with: of the last one that ran there.
///
/// # Errors
/// Where none has run there.
pub(crate) fn config(root: &Path, url: &str) -> Result<Config> {
    let port = reqwest::Url::parse(url)?.port_or_known_default().context("the address has no port")?;
    let variables = fs::read_to_string(file(root, port)).with_context(|| not_running(url))?;
    let variables: BTreeMap<String, String> = serde_json::from_str(&variables)?;
    Ok(Config::from_lookup(|name| variables.get(name).cloned())?)
}

/// What to say where nothing answers.
pub(crate) fn not_running(url: &str) -> String {
    format!("the local stack does not run at {url}: start it with `cargo dev`")
}

fn file(root: &Path, port: u16) -> PathBuf {
    root.join(format!("target/dev/running-{port}.json"))
}
