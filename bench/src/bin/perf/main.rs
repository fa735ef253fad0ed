//! `cargo perf`: how fast and how small the functions are, compared with what else could serve the same requests.
//!
//! Owns the command line and the order of a run.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bench::performance::{Quota, Report, page, ratios};
use clap::{Parser, Subcommand};
use testbed::workspace;
use time::OffsetDateTime;

mod binaries;
mod caller;
mod load;
mod machine;
mod process;
mod progress;
mod quota;
mod runtime_api;
mod scenario;
mod services;
mod subjects;

use caller::World;
use load::Load;
use process::Variables;
use progress::Progress;
use scenario::{Measures, Scenario};
use services::{Addresses, Services};
use subjects::Subject;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo perf", bin_name = "cargo perf", about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    /// Measure less: under three minutes after the build.
    #[arg(long)]
    quick: bool,
    /// Measure only this. Can be given several times.
    #[arg(long, value_name = "SCENARIO", value_parser = ["init", "init_connected", "first_tls", "warm", "load"])]
    only: Vec<String>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write `docs/performance.md`, with its pictures and its `docs/performance.json`.
    #[arg(long)]
    page: bool,
    /// Do not measure. Read the result of an earlier run.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Use the release binaries in this folder, and build nothing.
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Another build of `userinfo`, to compare. It is measured in turn with the others.
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_file)]
    build: Vec<(String, PathBuf)>,
    /// The zip of `userinfo` for arm64, for its size.
    #[arg(long, value_name = "FILE")]
    zip: Option<PathBuf>,
    /// The CPU minutes of a cold `sam build`, as measured.
    #[arg(long, value_name = "MINUTES")]
    build_cpu: Option<f64>,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

/// Commands for this program itself.
#[derive(Debug, Subcommand)]
enum Hidden {
    /// Runs the services until standard input closes.
    #[command(hide = true, name = services::COMMAND)]
    Services,
}

const ABOUT: &str = "Measure the functions: start, first call, warm calls, memory and load";

const EXAMPLES: &str = "\
Examples:
  cargo perf --quick                         a first impression
  cargo perf --quick --only init --only warm a part of it
  cargo perf --json target/perf/result.json  all measurements; keep the result
  cargo perf --page                          all measurements, a quarter of an hour; write docs/performance.md
  cargo perf --from docs/performance.json --page
                                             write the page again without measuring
  cargo perf --quick --binaries FOLDER       measure the functions and floors in this folder
  cargo perf --quick --build before=FILE     compare another build of userinfo

Needs Linux. Without Node.js or Python, their functions are left out.
Run nothing else on the machine meanwhile: noise widens the intervals.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.hidden.is_some() {
        return services::serve().await;
    }
    let report = match &cli.from {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is not a result", file.display()))?
        }
        None => measure(&cli).await?,
    };
    let json = serde_json::to_string_pretty(&report)? + "\n";
    if let Some(file) = &cli.json {
        fs::write(file, &json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if cli.page {
        let docs = workspace::root().join("docs");
        fs::write(docs.join("performance.json"), &json)?;
        for (name, text) in page::files(&report) {
            fs::write(docs.join(name), text)?;
        }
    }
    writeln!(io::stdout(), "{}", page::tables(&report)).context("cannot write to the terminal")
}

fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("it is not NAME=FILE")?;
    let file = PathBuf::from(file).canonicalize().map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok((name.to_owned(), file))
}

/// Runs all scenarios and the load.
async fn measure(cli: &Cli) -> Result<Report> {
    let (root, progress) = (workspace::root(), Progress::new());
    let folder = match &cli.binaries {
        Some(folder) => folder.clone(),
        None => binaries::build(root, &progress)?,
    };
    progress.say("installs the peers");
    let mut notes = Vec::new();
    let mut subjects = subjects::ours(&folder);
    subjects.extend(subjects::peers(root, &mut notes)?);
    subjects.extend(cli.build.iter().map(|(name, file)| subjects::build(name, file)));
    let method = quota::Method::of_machine();
    let mut report = Report {
        format: 1,
        commit: machine::commit(root),
        date: OffsetDateTime::now_utc().date().to_string(),
        quick: cli.quick,
        machine: machine::describe(),
        quota: Quota { method: method.name().to_owned(), share: quota::share(256) },
        notes,
        measurements: Vec::new(),
        ratios: ratios::Values::new(),
        intervals: ratios::Intervals::new(),
        load: Vec::new(),
        sizes: binaries::sizes(&folder)?,
    };

    let services = Services::start()?;
    let world = World::new(&services.addresses.plain).await?;
    let mut series = Vec::new();
    let is_wanted = |name: &str| cli.only.is_empty() || cli.only.iter().any(|only| only == name);
    for scenario in scenarios(cli, &subjects, &services.addresses, method) {
        if !is_wanted(scenario.name) {
            continue;
        }
        series.extend(scenario.run(&world, &progress).await?);
    }
    report.measurements = series.iter().map(bench::performance::samples::Series::measurement).collect();
    ratios::compute(&mut report, &series);
    for (name, requests) in [("login", 100), ("userinfo", 1000)].into_iter().filter(|_| is_wanted("load")) {
        for subject in subjects::named(&subjects, &[name]) {
            let requests = if cli.quick { requests } else { 4 * requests };
            let load = Load { subject, variables: &services.addresses.plain, requests };
            report.load.extend(load.run(&world, &mut report.notes, &progress).await?);
        }
    }
    progress.finish();
    given_values(cli, &mut report)?;
    Ok(report)
}

/// Returns the scenarios.
fn scenarios<'a>(
    cli: &Cli,
    subjects: &'a [Subject],
    addresses: &Addresses,
    method: quota::Method,
) -> [Scenario<'a>; 4] {
    let builds = || subjects.iter().filter(|subject| cli.build.iter().any(|(name, _)| *name == subject.program.name));
    let named = |names: &[&str]| subjects::named(subjects, names).into_iter().chain(builds()).collect::<Vec<_>>();
    let pick = |few: usize, many: usize| if cli.quick { few } else { many };
    [
        Scenario {
            name: "init",
            variables: without_network(&addresses.plain),
            peer_variables: addresses.plain.clone(),
            measures: Measures::Starts(5),
            subjects: named(&[
                "floor",
                "userinfo",
                "logout",
                "authorizer",
                "login",
                "bare-hash",
                "node-userinfo",
                "node-login",
                "python-userinfo",
            ]),
            blocks: pick(8, 40),
        },
        Scenario {
            name: "init_connected",
            variables: addresses.tls_and_secrets_manager(),
            peer_variables: addresses.tls(),
            measures: Measures::Starts(5),
            subjects: named(&["floor-userinfo", "userinfo", "floor-login", "login"]),
            blocks: pick(8, 40),
        },
        Scenario {
            name: "first_tls",
            variables: addresses.tls(),
            peer_variables: addresses.tls(),
            measures: Measures::FirstCall(method),
            subjects: named(&["userinfo", "floor-userinfo", "authorizer", "node-userinfo", "python-userinfo"]),
            blocks: pick(15, 60),
        },
        Scenario {
            name: "warm",
            variables: addresses.plain.clone(),
            peer_variables: addresses.plain.clone(),
            measures: Measures::Calls { hashing: pick(20, 40), other: pick(100, 300) },
            subjects: named(&[
                "floor",
                "userinfo",
                "floor-userinfo",
                "node-userinfo",
                "python-userinfo",
                "renewal",
                "floor-renewal",
                "login",
                "floor-login",
                "bare-hash",
                "node-login",
                "logout",
                "floor-logout",
                "authorizer",
            ]),
            blocks: pick(8, 40),
        },
    ]
}

/// Returns variables with which our functions make no call at their start: the SDK rejects the endpoint before it opens
/// a connection. The peers make none in any case.
fn without_network(plain: &Variables) -> Variables {
    let mut variables = plain.clone();
    variables.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), "none".to_owned());
    variables
}

/// Adds the values that the options give, and a note for each that is missing.
fn given_values(cli: &Cli, report: &mut Report) -> Result<()> {
    match &cli.zip {
        Some(zip) => {
            let bytes = fs::metadata(zip).with_context(|| format!("cannot read {}", zip.display()))?.len();
            let megabytes = f64::from(u32::try_from(bytes)?) / 1e6;
            report.ratios.insert("zip_userinfo_mb".to_owned(), bench::performance::samples::rounded(megabytes, 2));
        }
        None => report.notes.push("The size of the zip for arm64 was not given (`--zip`).".to_owned()),
    }
    match cli.build_cpu {
        Some(minutes) => {
            report.ratios.insert("build_cpu_min".to_owned(), minutes);
        }
        None => report.notes.push("The CPU time of `sam build` was not given (`--build-cpu`).".to_owned()),
    }
    Ok(())
}
