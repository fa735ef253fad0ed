//! A checkout with a running local stack: real tables, and the file by which `--local` finds them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use assert_cmd::Command;
use local::running::RunningStack;
use local::secret_file::Temporary;
use shared::config::Environment;
use tempfile::TempDir;
use testbed::Tables;

/// The variables of a function that the tool reads.
const VARIABLES: [&str; 13] = [
    "USERS_TABLE",
    "SESSIONS_TABLE",
    "ATTEMPTS_TABLE",
    "ACCESS_SECRET",
    "REFRESH_SECRET",
    "THROTTLE_SECRET",
    "DEVICE_SECRET",
    "COOKIE_DOMAIN",
    "ALLOWED_ORIGINS",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_DYNAMODB",
];

/// A stack without functions.
pub(crate) struct World {
    pub(crate) tables: Tables,
    folder: TempDir,
    _running: Temporary,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Starts the tables.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts the tables. The functions have these settings besides the defaults of tests.
    pub(crate) async fn with(changes: &[(&str, &str)]) -> Self {
        Self::at("https://localhost:4000", Tables::new().await, changes)
    }

    /// Returns a stack at this address over these tables.
    pub(crate) fn at(url: &str, tables: Tables, changes: &[(&str, &str)]) -> Self {
        let folder = checkout();
        let running = run(&tables, folder.path(), url, changes);
        Self { tables, folder, _running: running }
    }

    /// Returns the same stack with another address of DynamoDB.
    pub(crate) fn over(self, endpoint: &str) -> Self {
        let Self { tables, folder, _running: running } = self;
        drop(running);
        let changes = [("AWS_ENDPOINT_URL_DYNAMODB", endpoint)];
        let running = run(&tables, folder.path(), "https://localhost:4000", &changes);
        Self { tables, folder, _running: running }
    }

    /// Returns the folder in which commands run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the environment of a function.
    pub(crate) fn environment(&self) -> Environment {
        self.tables.environment(&[])
    }

    /// Returns a command on this stack.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = latchkey();
        command.current_dir(self.folder()).arg("--local").args(arguments);
        command
    }

    /// Runs a command on this stack.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Runs a command with this text on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &str) -> Answer {
        answer(self.command(arguments).write_stdin(stdin))
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder().join(name), text).unwrap();
    }

    /// Reads a file of the folder.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap()
    }

    /// Returns the audit events as JSON.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.folder().join("target/dev/events-4000.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the keys of the users table.
    pub(crate) fn keys(&self) -> Vec<String> {
        let items = self.tables.items("UsersTable");
        let mut keys: Vec<_> = items.iter().map(|item| item["pk"]["S"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    }
}

/// Writes the file of a running stack.
fn run(tables: &Tables, folder: &Path, url: &str, changes: &[(&str, &str)]) -> Temporary {
    let settings = tables.settings(changes);
    let names = VARIABLES.iter().copied().chain(changes.iter().map(|(name, _)| *name));
    let variables: BTreeMap<_, _> = names.filter_map(|name| Some((name.to_owned(), settings(name)?))).collect();
    let functions = SocketAddr::from(([127, 0, 0, 1], 9));
    let stack = RunningStack::new(url.to_owned(), functions, variables);
    stack.save(folder, 4000).unwrap()
}

/// Returns a folder that looks like a checkout.
pub(crate) fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["dev", "target/dev"] {
        fs::create_dir_all(folder.path().join(part)).unwrap();
    }
    for file in ["Cargo.toml", "template.yaml"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    folder
}

/// Returns the binary, without the AWS settings of this machine.
pub(crate) fn latchkey() -> Command {
    let mut command = Command::cargo_bin("latchkey").unwrap();
    let path = std::env::var_os("PATH").unwrap();
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/nonexistent")
        .env("USER", "ops")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Runs a command.
pub(crate) fn answer(command: &mut Command) -> Answer {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
