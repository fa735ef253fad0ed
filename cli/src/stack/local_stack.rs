//! The stack that `cargo dev` runs.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use local::checkout;
use local::running::RunningStack;

use super::{Place, Stack, deployed};
use crate::failure::Failure;

/// A stack on this machine.
pub struct Local {
    root: PathBuf,
    stack: RunningStack,
}

impl Local {
    /// Returns the variables of all functions: in the local stack, all functions have the same ones.
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        self.stack.variables()
    }

    /// Returns the file with the events of this stack.
    pub fn events_file(&self) -> PathBuf {
        self.stack.events_file(&self.root)
    }

    /// Returns the certificate of the local gateway.
    pub fn certificate(&self) -> PathBuf {
        self.root.join("target/dev/localhost.pem")
    }
}

/// Finds the stack that runs in the checkout of the current folder. An empty port means the only one.
pub(super) fn find(port: &str) -> Result<Stack> {
    let folder = env::current_dir().context("cannot find the current folder")?;
    let root = checkout::containing(&folder)?;
    let stack = choose(&root, port)?;
    let variables = stack.variables();
    let value = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let credentials = Credentials::new(value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), None, None, "local");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(value("AWS_REGION")))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(value("AWS_ENDPOINT_URL_DYNAMODB"))
        .http_client(deployed::http_client())
        .timeout_config(deployed::timeouts())
        .retry_config(deployed::retries());
    let tables = ["USERS_TABLE", "SESSIONS_TABLE", "ATTEMPTS_TABLE"].map(|name| (name.to_owned(), value(name)));
    Ok(Stack {
        name: stack.url.clone(),
        url: stack.url.clone(),
        sdk: sdk.build(),
        tables: tables.into(),
        place: Place::Local(Local { root, stack }),
    })
}

fn choose(root: &Path, port: &str) -> Result<RunningStack> {
    let mut stacks = RunningStack::all(root);
    if !port.is_empty() {
        stacks.retain(|stack| stack.url.ends_with(&format!(":{port}")));
    }
    match (stacks.len(), stacks.pop()) {
        (1, Some(stack)) => Ok(stack),
        (_, None) if port.is_empty() => Err(Failure::NotFound(
            "No `cargo dev` runs in this checkout. Start it in another terminal and wait for \"Ready\".".into(),
        )
        .into()),
        (_, None) => Err(Failure::NotFound(format!("No `cargo dev` of this checkout runs at port {port}.")).into()),
        (_, Some(last)) => {
            let options = stacks.iter().chain([&last]).map(|stack| stack.url.rsplit(':').next().unwrap_or_default());
            let options: Vec<_> = options.map(|port| format!("--local={port}")).collect();
            Err(Failure::Invalid(format!("Several stacks run in this checkout. Choose one: {}", options.join(" or ")))
                .into())
        }
    }
}
