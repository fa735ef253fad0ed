//! `cargo day`: simulates a day of a large site, with and without a wave of credential stuffing.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use bench::day::{self, Cost, Inputs};
use clap::Parser;
use local::checkout;

/// The stored result.
const RESULT: &str = "bench/day/result.json";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo day", bin_name = "cargo day", about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    /// Reads other assumptions. The form is that of bench/day/inputs.json.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// The number of monthly users.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1000..=50_000_000))]
    users: Option<u32>,
    /// The seed of the random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes the result as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the stored result, and the pictures of docs/scale.md.
    #[arg(long, conflicts_with_all = ["inputs", "users", "seed", "check"])]
    write: bool,
    /// Fails if the result is not the stored one.
    #[arg(long, conflicts_with_all = ["inputs", "users", "seed"])]
    check: bool,
}

const ABOUT: &str = "Simulate a day of a site with ten million users: cold starts, latency, capacity units, dollars";

const EXAMPLES: &str = "\
Examples:
  cargo day                          simulate the stored day, and print its tables
  cargo day --users 100000 --seed 1  another site
  cargo day --inputs my.json         your own assumptions
  cargo day --write                  after a change of the assumptions";

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut inputs = match &cli.inputs {
        Some(file) => {
            Inputs::parse(&fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
        }
        None => Inputs::stored(),
    }?;
    inputs.users = cli.users.unwrap_or(inputs.users);
    inputs.seed = cli.seed.unwrap_or(inputs.seed);
    let day = day::simulate(&inputs, &Cost::stored()?)?;
    for table in day::tables(&day) {
        writeln!(io::stdout(), "{table}").context("cannot write to the terminal")?;
    }
    let root = checkout::containing(&std::env::current_dir()?)?;
    let json = serde_json::to_string(&day)? + "\n";
    if let Some(file) = &cli.json {
        write(file, &json)?;
    }
    if cli.write {
        write(&root.join(RESULT), &json)?;
        for (name, svg) in day::pictures(&day) {
            write(&root.join("docs").join(name), &svg)?;
        }
    }
    if cli.check {
        let stored = fs::read_to_string(root.join(RESULT)).with_context(|| format!("cannot read {RESULT}"))?;
        ensure!(stored == json, "the result is not that of {RESULT}: run `cargo day --write` and update docs/scale.md");
    }
    Ok(())
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
