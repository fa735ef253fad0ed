//! The settings of the running stack, in a file for the commands that use that stack.
//!
//! The file contains secrets. Only the current user can read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use shared::config::Environment;

use crate::certificate;
use crate::settings::Settings;

/// Writes the settings of the stack that runs at this port.
///
/// # Errors
/// Fails if the file cannot be written.
pub(crate) fn save(root: &Path, port: u16, settings: &Settings) -> Result<()> {
    let variables: BTreeMap<_, _> = settings.variables().collect();
    let file = file(root, port);
    fs::create_dir_all(file.parent().unwrap_or(root))?;
    certificate::write_secret(&file, &serde_json::to_string(&variables)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the environment of the functions of the last stack that ran at `url`.
///
/// # Errors
/// Fails if no stack has run there.
pub(crate) fn environment(root: &Path, url: &str) -> Result<Environment> {
    let port = reqwest::Url::parse(url)?.port_or_known_default().context("the address has no port")?;
    let variables = fs::read_to_string(file(root, port)).with_context(|| not_running(url))?;
    let variables: BTreeMap<String, String> = serde_json::from_str(&variables)?;
    Ok(Environment::new(move |name| variables.get(name).cloned()))
}

/// Returns the error message for a stack that does not respond.
pub(crate) fn not_running(url: &str) -> String {
    format!("the local stack does not run at {url}: start it with `cargo dev`")
}

fn file(root: &Path, port: u16) -> PathBuf {
    root.join(format!("target/dev/running-{port}.json"))
}
