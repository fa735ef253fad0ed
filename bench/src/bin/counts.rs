//! `cargo counts`: how many instructions the operations of a request take.
//!
//! Owns the command line, the release builds and the calls of valgrind. cargo-lambda makes the builds, as it does for
//! `sam build`, so that both share the dependencies that they build. valgrind shows the program the same processor on
//! every `x86_64` machine that has AVX2, so that the counts are the same, too. Leaves the operations to the crate
//! `micro`, and the stored counts and the verdict to `bench::instructions`.

use std::collections::BTreeMap;
use std::env::{self, consts};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use bench::instructions::{Counts, Row, judge, rows};
use clap::Parser;
use dev::functions;
use local::checkout;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo counts", bin_name = "cargo counts")]
#[command(about = ABOUT, long_about = DETAILS, after_help = EXAMPLES)]
struct Cli {
    /// Store the counts in bench/instructions.json in place of comparing them with it.
    #[arg(long, conflicts_with = "against")]
    store: bool,
    /// Build this commit, too, and compare the counts of both.
    #[arg(long, value_name = "COMMIT")]
    against: Option<String>,
}

const ABOUT: &str = "Count the instructions of the operations of a request, and compare them with the stored counts";

const DETAILS: &str = "\
Count the instructions of the operations of a request, and compare them with the stored counts.

Runs the operations under valgrind, in a release build by cargo-lambda. Fails if an operation takes more than 5 % more \
instructions than bench/instructions.json says. Needs valgrind and the toolchain of rust-toolchain.toml.";

const EXAMPLES: &str = "\
Examples:
  cargo counts                     compare with the stored counts
  cargo counts --store             store the counts
  cargo counts --against HEAD~1    compare with another commit";

/// The stored counts.
const FILE: &str = "bench/instructions.json";

/// The manifest of the counted program.
const MANIFEST: &str = "bench/micro/Cargo.toml";

/// An operation is counted between this run of it and the last one. What happens once is not counted: the start of the
/// program, and what the first runs initialise.
const FIRST: u64 = 10;

/// How many runs of an operation are counted. The count is their average, because a run depends on random numbers.
const RUNS: u64 = 100;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let root = checkout::containing(&env::current_dir()?)?;
    let valgrind = valgrind_version()?;
    let cargo_lambda = functions::cargo_lambda(&root.join("target")).await?.canonicalize()?;
    let builder = Builder { cargo_lambda, root };
    match cli.against {
        Some(commit) => compare_with_commit(&builder, &commit),
        None if cli.store => store(&builder, valgrind),
        None => compare_with_stored(&builder, &valgrind),
    }
}

/// Counts the instructions, and stores the counts.
fn store(builder: &Builder, valgrind: String) -> Result<()> {
    let (architecture, rust) = (consts::ARCH.to_owned(), rust_version(&builder.root)?);
    let operations = count(&builder.build(&builder.root)?)?;
    Counts { architecture, rust, valgrind, operations }.write(&builder.root.join(FILE))?;
    Ok(writeln!(io::stdout(), "Stored the counts in {FILE}.")?)
}

/// Counts the instructions, and compares them with the stored counts.
fn compare_with_stored(builder: &Builder, valgrind: &str) -> Result<()> {
    let stored = Counts::read(&builder.root.join(FILE))?;
    stored.check_comparable(consts::ARCH, &rust_version(&builder.root)?)?;
    let rows = rows(&stored.operations, &count(&builder.build(&builder.root)?)?);
    let mut out = io::stdout();
    write!(out, "{}", table(&rows, "stored", "now"))?;
    if stored.valgrind != valgrind {
        writeln!(out, "The stored counts are of valgrind {}, and this is valgrind {valgrind}.", stored.valgrind)?;
    }
    if let Some(advice) = judge(&rows)? {
        writeln!(out, "{advice}")?;
    }
    Ok(())
}

/// Counts the instructions of another commit and of this tree, both with the toolchain of this tree.
fn compare_with_commit(builder: &Builder, commit: &str) -> Result<()> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(&builder.root).args(arguments).output();
        let output = output.context("git is not installed")?;
        Ok::<_, anyhow::Error>((output.status.success(), String::from_utf8(output.stdout)?))
    };
    let (is_known, id) = git(&["rev-parse", "--verify", "--quiet", &format!("{commit}^{{commit}}")])?;
    let id = id.trim();
    ensure!(is_known, "{commit} is not a commit of this clone. Fetch the whole history, or choose another commit");
    let (has_benchmark, _) = git(&["cat-file", "-e", &format!("{id}:{MANIFEST}")])?;
    ensure!(has_benchmark, "{commit} is older than this benchmark: it has no {MANIFEST}. Choose a later commit");

    let source = builder.root.join("target/against");
    let path = source.to_str().context("the path of the checkout is not UTF-8")?;
    let remove = || git(&["worktree", "remove", "--force", path]);
    // An interrupted run leaves its worktree behind.
    remove()?;
    ensure!(git(&["worktree", "add", "--quiet", "--detach", path, id])?.0, "git cannot add a worktree in {path}");
    let before = builder.build(&source).and_then(|program| count(&program));
    remove()?;
    let rows = rows(&before?, &count(&builder.build(&builder.root)?)?);
    Ok(write!(io::stdout(), "{}", table(&rows, "before", "now"))?)
}

/// Makes release builds of the counted program.
struct Builder {
    cargo_lambda: PathBuf,
    root: PathBuf,
}

impl Builder {
    /// Builds the program of a checkout as `sam build` builds a function. Returns its path. All builds use one target
    /// folder, so that Cargo builds the dependencies once.
    fn build(&self, checkout: &Path) -> Result<PathBuf> {
        let target = self.root.join("target");
        // cargo-lambda links with Zig, which pip installs beside it.
        let tools = self.cargo_lambda.parent().map(Path::to_owned);
        let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
        let path = env::join_paths(tools.into_iter().chain(on_path))?;
        let mut cargo = Command::new(&self.cargo_lambda);
        cargo.current_dir(checkout).env("PATH", path).env("CARGO_TARGET_DIR", &target);
        cargo.args(["lambda", "build", "--release", "--locked", "--quiet", "--package", "micro", "--bin", "micro"]);
        let status = cargo.arg("--lambda-dir").arg(target.join("counts")).status()?;
        ensure!(status.success(), "the operations do not compile in {}: see above", checkout.display());
        Ok(target.join("counts/micro/bootstrap"))
    }
}

/// Counts the instructions of one run of each operation.
fn count(program: &Path) -> Result<BTreeMap<String, u64>> {
    let output = Command::new(program).arg("list").output()?;
    ensure!(output.status.success(), "{} list failed", program.display());
    let names = String::from_utf8(output.stdout)?;
    let count = |name: &str| {
        let [few, many] = [FIRST, FIRST + RUNS].map(|runs| instructions(program, name, runs));
        Ok((name.to_owned(), many?.saturating_sub(few?) / RUNS))
    };
    names.lines().map(count).collect()
}

/// Returns the instructions of a whole process that runs an operation some times. The process has none of our
/// environment variables, which could change its libraries.
fn instructions(program: &Path, operation: &str, runs: u64) -> Result<u64> {
    let profile = program.with_extension("callgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    valgrind.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", profile.display()));
    let output = valgrind.arg(program).args([operation, &runs.to_string()]).stdout(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{operation} failed under valgrind: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = fs::read_to_string(&profile)?;
    fs::remove_file(&profile)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("valgrind wrote no total")?.trim().parse()?)
}

/// Returns the version of valgrind, such as `3.19.0`.
fn valgrind_version() -> Result<String> {
    let output = Command::new("valgrind").arg("--version").output();
    let output = output.ok().context("valgrind is not installed. On Debian and Ubuntu: apt-get install valgrind")?;
    let version = String::from_utf8(output.stdout)?;
    let version = version.trim().strip_prefix("valgrind-");
    Ok(version.context("valgrind does not say its version")?.to_owned())
}

/// Returns the version of Rust that builds this tree, such as `1.95.0`.
fn rust_version(root: &Path) -> Result<String> {
    let output = Command::new("rustc").current_dir(root).arg("--version").output().context("Rust is not installed")?;
    let version = String::from_utf8(output.stdout)?;
    Ok(version.split(' ').nth(1).context("rustc does not say its version")?.to_owned())
}

/// Returns the counts of two sides as a table.
fn table(rows: &[Row], before: &str, after: &str) -> String {
    let text = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let row = |row: &Row| {
        let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        format!("{:<20}{:>12}{:>12}{ratio:>8}\n", row.operation, text(row.before), text(row.after))
    };
    let head = format!("{:<20}{before:>12}{after:>12}{:>8}\n", "instructions", "ratio");
    head + &rows.iter().map(row).collect::<String>()
}
