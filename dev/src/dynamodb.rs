//! An embedded DynamoDB with the tables of the template.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use dynoxide::{Database, server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::template::Template;

/// A DynamoDB of our own. It is served as long as the runtime that started it lives.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
}

impl DynamoDb {
    /// Starts one at `address`, with the tables of the template: in memory, or in a file that is created where there is
    /// none.
    ///
    /// # Errors
    /// Where the address is taken, the file is something else, or a table cannot be created.
    pub async fn start(template: &Template, address: SocketAddr, file: Option<&Path>) -> Result<Self> {
        let database = match file {
            None => Database::memory(),
            Some(file) => {
                create_private(file).with_context(|| format!("cannot open {}", file.display()))?;
                Database::new(file.to_str().context("the name of the data file is not UTF-8")?)
            }
        };
        let Ok(database) = database else {
            bail!("{} is no file that `cargo dev --data` has written", file.unwrap_or(Path::new("memory")).display());
        };
        let there = call(&json!({}), |request| database.list_tables(request))?;
        for table in template.tables() {
            if there["TableNames"].as_array().is_some_and(|names| names.contains(&json!(table.name))) {
                continue;
            }
            call(&table.create, |request| database.create_table(request))?;
            if let Some(time_to_live) = &table.time_to_live {
                call(time_to_live, |request| database.update_time_to_live(request))?;
            }
        }
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        tokio::spawn(server::serve_with_shutdown(listener, database.clone(), std::future::pending()));
        Ok(Self { database, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database itself, past HTTP.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Makes sure that there is a file, which nobody else on the machine may read: it will hold password hashes.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// A call in DynamoDB's JSON.
fn call<I, O, E>(request: &Value, operation: impl FnOnce(I) -> Result<O, E>) -> Result<Value>
where
    I: serde::de::DeserializeOwned,
    O: serde::Serialize,
    E: std::fmt::Display,
{
    let request = serde_json::from_value(request.clone())?;
    let answer = operation(request).map_err(|error| anyhow!("the embedded DynamoDB refuses: {error}"))?;
    Ok(serde_json::to_value(answer)?)
}
