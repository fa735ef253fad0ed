//! The tables with the demonstration users, and the settings with which functions find the tables.
//!
//! Both ways to run the functions on this machine use this module. `cargo dev tables` runs only the tables, for
//! functions that `sam local` runs in containers.
#![expect(clippy::print_stdout, reason = "the output of a command-line tool")]

use std::env::consts::ARCH;
use std::future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use local::running::VARIABLES_FOR_SAM;
use local::secret_file::Temporary;
use shared::http::Site;

use crate::certificate::Certificate;
use crate::dynamodb::DynamoDb;
use crate::functions::say;
use crate::people;
use crate::processes;
use crate::settings::{Browser, Settings};
use crate::template::Template;

/// The name of this machine inside a container.
const HOST: &str = "host.docker.internal";

/// The options of the tables.
#[derive(Debug, Args)]
pub struct Tables {
    /// Keep the data in this file. Without it, the data are in memory. Users stay signed in if `.env` sets the secrets.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Use the `__Host-` cookies of a stack without a cookie domain.
    #[arg(long)]
    host_only: bool,
}

/// Running tables. They stop together with the async runtime that started them.
pub(crate) struct RunningTables {
    /// The settings of functions on this machine.
    pub(crate) settings: Settings,
    /// The origins of front ends.
    pub(crate) site: Site,
    /// The port of the embedded DynamoDB.
    port: u16,
}

impl Tables {
    /// Runs only the tables until the future is dropped. Containers can reach the tables. Writes the variables for
    /// `sam local` to `target/dev`, where `samconfig.toml` expects them.
    ///
    /// # Errors
    /// Fails if the tables cannot be started, or if a file cannot be written.
    pub async fn run(self, root: &Path) -> Result<()> {
        println!("The tables of Latchkey, for `sam local`. Press Ctrl-C to stop.\n");
        let template = Template::read(&root.join("template.yaml"))?;
        // All interfaces: a container cannot reach the loopback interface of its host.
        let tables = self.start(root, &template, Ipv4Addr::UNSPECIFIED.into(), "https://localhost:3000").await?;
        say("warning", "every machine on the network can reach the tables: use test data only");
        let _variables = write_files_for_sam(&root.join("target/dev"), &tables).await?;
        say("variables", "target/dev/sam-local.json (samconfig.toml names this file)");

        let architecture = if ARCH == "aarch64" { "arm64" } else { ARCH };
        println!("\nReady. Run in another terminal:\n");
        println!("  sam build --parameter-overrides Architecture={architecture}");
        println!("  sam local start-api --parameter-overrides Architecture={architecture} \\");
        println!("    AllowedOrigins={}\n", tables.site.allowed_origins.as_slice().join(","));
        println!("The service then runs at https://localhost:4000, as with `cargo dev`.");
        future::pending().await
    }

    /// Starts the tables at a free port of `ip` and prints their address. `origins` is the default of
    /// `ALLOWED_ORIGINS`.
    ///
    /// # Errors
    /// Fails if the data file cannot be opened, or if a setting is missing or invalid.
    pub(crate) async fn start(
        &self,
        root: &Path,
        template: &Template,
        ip: IpAddr,
        origins: &str,
    ) -> Result<RunningTables> {
        let dynamodb = DynamoDb::start(template, SocketAddr::new(ip, 0), self.data.as_deref()).await?;
        let port = dynamodb.address().port();
        let endpoint_url = endpoint_url("127.0.0.1", port);
        let settings = Settings::new(root, template, Browser { host_only: self.host_only, origins })?
            .with("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url.clone());
        for sentence in settings.ignored() {
            say("settings", sentence);
        }
        settings.check()?;
        let env = settings.environment();
        people::add_missing(&env).await?;
        let place = self.data.as_ref().map_or_else(|| "in memory".to_owned(), |file| format!("in {}", file.display()));
        say("dynamodb", &format!("{} tables {place} at {endpoint_url}", template.tables().len()));
        Ok(RunningTables { settings, site: Site::from_env(&env)?, port })
    }
}

/// Writes the certificate and the variables of the functions. Dropping the returned file removes the variables, which
/// contain secrets.
async fn write_files_for_sam(folder: &Path, tables: &RunningTables) -> Result<Temporary> {
    let _lock = processes::lock_shared_files(folder).await?;
    Certificate::in_folder(folder)?;
    let settings = tables.settings.clone().with("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url(HOST, tables.port));
    // SAM silently ignores variables that the template does not declare.
    let variables: serde_json::Map<_, _> =
        settings.variables().iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let file = folder.join(VARIABLES_FOR_SAM);
    Temporary::write(file, &serde_json::json!({ "Parameters": variables }).to_string())
}

fn endpoint_url(host: &str, port: u16) -> String {
    format!("http://{host}:{port}")
}
