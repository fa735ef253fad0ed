//! The tables with the demonstration users in them, and the settings with which functions find them.
//!
//! Owns what both ways of running the functions on this machine have in common. `cargo dev tables` is this alone, for
//! functions that `sam local` runs in containers.
#![expect(clippy::print_stdout, reason = "it talks to a person at a terminal")]

use std::env::consts::ARCH;
use std::future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use shared::config::Config;

use crate::certificate::{self, Certificate};
use crate::dynamodb::DynamoDb;
use crate::functions::say;
use crate::people;
use crate::processes;
use crate::settings::{Seen, Settings};
use crate::template::Template;

/// What containers call the machine that they run on.
const HOST: &str = "host.docker.internal";

/// What may be chosen about them.
#[derive(Debug, Args)]
pub struct Tables {
    /// Keep the data in this file; without it they are in memory, and gone at the end. Who is signed in stays so as well
    /// where the secrets are set in `.env`.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Use the `__Host-` cookies of a stack without a cookie domain.
    #[arg(long)]
    host_only: bool,
}

/// Tables that are there, as long as the runtime that started them lives.
pub(crate) struct Ready {
    /// What functions on this machine start with.
    pub(crate) settings: Settings,
    /// What they make of it.
    pub(crate) config: Config,
    /// Where the tables are reached.
    port: u16,
}

impl Tables {
    /// Runs them alone, reachable from containers, until it is dropped. Writes what `sam local` has to be told to
    /// `target/dev`, where `samconfig.toml` looks for it.
    ///
    /// # Errors
    /// Where something cannot be started or written.
    pub async fn run(self, root: &Path) -> Result<()> {
        println!("Latchkey's tables, for `sam local`. Ctrl-C stops them.\n");
        let template = Template::read(&root.join("template.yaml"))?;
        // A container cannot reach the loopback of its host.
        let ready = self.start(root, &template, Ipv4Addr::UNSPECIFIED.into(), "https").await?;
        say("", "the whole network can reach them: test data only");

        let folder = root.join("target/dev");
        let turn = processes::turn(&folder).await?;
        Certificate::in_folder(&folder)?;
        drop(turn);
        let variables = folder.join("sam-local.json");
        let theirs = ready.settings.with("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url(HOST, ready.port));
        // SAM hands on what the template declares, and drops the rest without a word.
        let theirs: serde_json::Map<_, _> =
            theirs.variables().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let theirs = serde_json::json!({ "Parameters": theirs }).to_string();
        certificate::write_secret(&variables, &theirs)
            .with_context(|| format!("cannot write {}", variables.display()))?;
        say("variables", "target/dev/sam-local.json, where samconfig.toml looks for it");

        let architecture = if ARCH == "aarch64" { "arm64" } else { ARCH };
        println!("\nReady. In another terminal:\n");
        println!("  sam build --parameter-overrides Architecture={architecture}");
        println!(
            "  sam local start-api --parameter-overrides Architecture={architecture} AllowedOrigins={}\n",
            ready.config.allowed_origins.join(",")
        );
        println!("Then the service is at https://localhost:4000, as with `cargo dev`.");
        future::pending().await
    }

    /// Starts them at a free port of this address, for pages of this scheme, and says so.
    ///
    /// # Errors
    /// Where the data cannot be opened, or a setting would stop the functions.
    pub(crate) async fn start(&self, root: &Path, template: &Template, at: IpAddr, scheme: &str) -> Result<Ready> {
        let dynamodb = DynamoDb::start(template, SocketAddr::new(at, 0), self.data.as_deref()).await?;
        let port = dynamodb.address().port();
        let endpoint_url = endpoint_url("127.0.0.1", port);
        let settings = Settings::new(root, template, &Seen { host_only: self.host_only, scheme })?
            .with("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url.clone());
        let config = settings.config()?;
        people::add_missing(&config).await?;
        let kept = self.data.as_ref().map_or_else(|| "in memory".to_owned(), |file| format!("in {}", file.display()));
        say("dynamodb", &format!("{} tables {kept}, at {endpoint_url}", template.tables().len()));
        Ok(Ready { settings, config, port })
    }
}

fn endpoint_url(host: &str, port: u16) -> String {
    format!("http://{host}:{port}")
}
