//! An embedded DynamoDB with the tables of the template.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use dynoxide::{Database, server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::functions::say;
use crate::template::Template;

/// A running embedded DynamoDB. It stops together with the async runtime that started it.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
}

impl DynamoDb {
    /// Starts a DynamoDB at `address` and creates the missing tables of the template. The data are in `file`, or in
    /// memory without a file.
    ///
    /// # Errors
    /// Fails if the address is in use, if the file is not a data file, or if a table cannot be created.
    pub async fn start(template: &Template, address: SocketAddr, file: Option<&Path>) -> Result<Self> {
        let database = match file {
            None => Database::memory(),
            Some(file) => {
                create_private(file).with_context(|| format!("cannot open {}", file.display()))?;
                Database::new(file.to_str().context("the path of the data file is not UTF-8")?)
            }
        };
        let Ok(database) = database else {
            bail!("{} is not a data file of `cargo dev --data`", file.unwrap_or(Path::new("memory")).display());
        };
        let existing = call(&json!({}), |request| database.list_tables(request))?;
        for table in template.tables() {
            if existing["TableNames"].as_array().is_some_and(|names| names.contains(&json!(table.name))) {
                let name = json!({ "TableName": table.name });
                let found = call(&name, |request| database.describe_table(request))?;
                if index_names(&found["Table"]) == index_names(&table.create) {
                    continue;
                }
                // DynamoDB cannot add a local secondary index to a table. CloudFormation replaces the table, too.
                say("tables", &format!("{} has other indexes now, so it is made anew, without data", table.name));
                call(&name, |request| database.delete_table(request))?;
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

    /// Returns the address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the database, for access without HTTP.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Returns the names of the local secondary indexes of a table.
fn index_names(table: &Value) -> Vec<&Value> {
    table["LocalSecondaryIndexes"].as_array().into_iter().flatten().map(|index| &index["IndexName"]).collect()
}

/// Creates the file if it does not exist. Only the current user can read it, because it will contain password hashes.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Converts request and response of a database operation from and to DynamoDB's JSON.
fn call<I, O, E>(request: &Value, operation: impl FnOnce(I) -> Result<O, E>) -> Result<Value>
where
    I: serde::de::DeserializeOwned,
    O: serde::Serialize,
    E: std::fmt::Display,
{
    let request = serde_json::from_value(request.clone())?;
    let answer = operation(request).map_err(|error| anyhow!("the embedded DynamoDB reported: {error}"))?;
    Ok(serde_json::to_value(answer)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::Ipv4Addr;

    use super::*;

    /// The data file of a version whose sessions table has no index. The embedded DynamoDB keeps the users.
    #[tokio::test]
    async fn a_table_with_other_indexes_is_made_anew_and_the_other_tables_stay() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
        let earlier = folder.path().join("template.yaml");
        let without_index = text.replace("LocalSecondaryIndexes:", "Ignored:");
        let without_index = without_index.replace("- { AttributeName: active_key, AttributeType: S }", "");
        fs::write(&earlier, without_index).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let start = async |template: &Path| {
            let template = Template::read(template).unwrap();
            DynamoDb::start(&template, address, Some(&data)).await.unwrap()
        };
        let count = |dynamodb: &DynamoDb, table: &str| {
            let scan = json!({ "TableName": table });
            call(&scan, |request| dynamodb.database().scan(request)).unwrap()["Count"].clone()
        };

        let dynamodb = start(&earlier).await;
        let user = json!({ "TableName": "UsersTable", "Item": { "pk": { "S": "user#0" } } });
        let session = json!({ "user_id": { "S": "0" }, "session_id": { "S": "s" } });
        call(&user, |request| dynamodb.database().put_item(request)).unwrap();
        let session = json!({ "TableName": "SessionsTable", "Item": session });
        call(&session, |request| dynamodb.database().put_item(request)).unwrap();
        drop(dynamodb);

        let current = folder.path().join("current.yaml");
        fs::write(&current, text).unwrap();
        for _ in 0..2 {
            let dynamodb = start(&current).await;
            assert_eq!((count(&dynamodb, "UsersTable"), count(&dynamodb, "SessionsTable")), (json!(1), json!(0)));
            let name = json!({ "TableName": "SessionsTable" });
            let found = call(&name, |request| dynamodb.database().describe_table(request)).unwrap();
            assert_eq!(index_names(&found["Table"]), [&json!("ActiveSessions")]);
        }
    }
}
