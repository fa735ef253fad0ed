//! `cargo moving`: how fast `latchkey` imports and exports users, and how much memory it needs.
//!
//! Moves a few and many users in one run, so that the memory of both can be compared. The tables are an embedded
//! DynamoDB in this process. It has the semantics of DynamoDB, and not its speed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use local::running::RunningStack;
use serde_json::json;
use testbed::Tables;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo moving", bin_name = "cargo moving", about = ABOUT)]
struct Cli {
    /// The users of the large table. The small one has a tenth of them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    users: u32,
}

const ABOUT: &str = "Measure the import and the export of users: time, users per second and peak memory";

/// The variables of a function that the tool needs.
const VARIABLES: [&str; 8] = [
    "USERS_TABLE",
    "SESSIONS_TABLE",
    "ATTEMPTS_TABLE",
    "THROTTLE_SECRET",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_DYNAMODB",
];

/// What a command took.
struct Cost {
    took: Duration,
    peak_kib: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let tool = build()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{:>8}  {:<18}{:>8}{:>10}{:>10}", "users", "command", "s", "users/s", "peak MiB")?;
    for users in [cli.users / 10, cli.users] {
        for (command, cost) in measure(&tool, users).await? {
            let (secs, rate) = (cost.took.as_secs_f64(), f64::from(users) / cost.took.as_secs_f64());
            let mib = cost.peak_kib / 1024;
            writeln!(out, "{users:>8}  {command:<18}{secs:>8.1}{rate:>10.0}{mib:>10}")?;
        }
    }
    Ok(())
}

/// Builds the tool as operators install it.
fn build() -> Result<PathBuf> {
    let built = Command::new("cargo").args(["build", "--release", "--locked", "-p", "cli"]).status()?;
    ensure!(built.success(), "the tool does not compile");
    Ok(std::env::current_exe()?.with_file_name("latchkey"))
}

/// Imports, imports again and exports that many users.
async fn measure(tool: &Path, users: u32) -> Result<Vec<(&'static str, Cost)>> {
    let tables = Tables::new().await;
    let settings = tables.settings(&[]);
    let variables: BTreeMap<_, _> =
        VARIABLES.into_iter().filter_map(|name| Some((name.to_owned(), settings(name)?))).collect();
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("target/dev"))?;
    fs::create_dir(folder.path().join("dev"))?;
    for marker in ["Cargo.toml", "template.yaml"] {
        File::create(folder.path().join(marker))?;
    }
    let functions = SocketAddr::from(([127, 0, 0, 1], 9));
    let stack = RunningStack::new("https://localhost:4000".to_owned(), functions, variables);
    let _running = stack.save(folder.path(), 4000)?;
    write_users(&folder.path().join("users.jsonl"), users)?;
    let commands = [
        ("import", vec!["users", "import", "users.jsonl"]),
        ("import again", vec!["users", "import", "users.jsonl"]),
        ("export", vec!["users", "export", "export.jsonl"]),
    ];
    let mut costs = Vec::new();
    for (name, arguments) in commands {
        costs.push((name, run(tool, folder.path(), &arguments)?));
    }
    let exported = fs::read_to_string(folder.path().join("export.jsonl"))?;
    ensure!(exported.lines().count() == usize::try_from(users)?, "some users are missing");
    Ok(costs)
}

/// Writes users with an imported hash.
fn write_users(path: &Path, users: u32) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..users {
        let user = json!({
            "id": number.to_string(), "userId": format!("user{number}"), "email": format!("user{number}@example.com"),
            "name": format!("User {number}"), "roles": ["member"],
            "passwordHash": "$2b$10$.qHPp/srqo1NAAAAAvlkmOdqAbH2Rg0qPv2Txj3ZwXfjJnewSjc4m",
        });
        writeln!(file, "{user}")?;
    }
    Ok(file.flush()?)
}

/// Runs a command of the tool.
fn run(tool: &Path, folder: &Path, arguments: &[&str]) -> Result<Cost> {
    let started = Instant::now();
    let mut command = Command::new(tool);
    let command = command.current_dir(folder).arg("--local").args(arguments).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", tool.display()))?;
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_memory_kib(child.id()).unwrap_or(peak_kib);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    ensure!(status.success(), "{arguments:?} failed");
    Ok(Cost { took: started.elapsed(), peak_kib })
}

/// Returns the largest memory that a process has used so far, as Linux reports it.
fn peak_memory_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
