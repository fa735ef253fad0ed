//! `cargo timing`: tests for timing side channels.
//!
//! Owns the command line and the output. Leaves the experiments and their verdicts to the library.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use bench::rejections::{self, Comparison, Experiment, Reason};
use bench::statistics::Sample;
use bench::{plot, tokens};
use clap::{Parser, ValueEnum};
use shared::telemetry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo timing", bin_name = "cargo timing", about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    /// Run only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Number of rejected logins for each reason. The part `tokens` measures 400 times as many rejected tokens.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    samples: u32,
    /// Cost of the imported bcrypt hashes.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(4..=15))]
    imported_cost: u32,
    /// Value of `PASSWORD_CHECK_MS` in the part `imported`. It must exceed the time of one bcrypt hash.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=3000))]
    password_check_ms: u32,
    /// Make every part fail, to show that it detects a difference. Unknown names use 28 MiB for a hash instead of
    /// 19 MiB, `PASSWORD_CHECK_MS` is 0, and signatures are also compared byte by byte. The part `throttled` is left
    /// out.
    #[arg(long = "break")]
    is_broken: bool,
}

/// The parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Does the time of a rejected login reveal whether the user exists? (R18)
    Names,
    /// Does it reveal this if the login is rejected without a hash? (R18)
    Throttled,
    /// Does it reveal whether the user has an imported hash? (R19)
    Imported,
    /// Does the time of a rejected refresh token reveal how much of its signature is right? (R15)
    Tokens,
}

const ABOUT: &str = "Tests for timing side channels in logins and tokens, with the real code on this machine";

const EXAMPLES: &str = "\
Examples:
  cargo timing                                   run all parts: about thirteen minutes
  cargo timing --only names                      run the first part: about a minute
  cargo timing --only names --samples 5000       detect smaller differences, too
  cargo timing --only imported --imported-cost 10 --password-check-ms 100
  cargo timing --break --samples 100             every part must fail

The parts `names`, `throttled` and `imported` compare each reason for rejection with unknown names. A comparison passes
if the medians differ by at most 5 % and the Mann-Whitney U test gives p > 0.01 with Holm's correction. The part
`tokens` passes if Welch's |t| < 4.5.
The exit code is 1 if a part fails. Each of the first three parts fails by chance in one of 100 runs.
Run nothing else on the machine meanwhile: noise hides differences.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // Logging takes part of the response time. The lines themselves are dropped.
    let lines = telemetry::lines(LevelFilter::INFO, Some("Timing".to_owned()), io::sink);
    tracing_subscriber::registry().with(lines).init();

    let mut passes = true;
    for part in [Part::Names, Part::Throttled, Part::Imported, Part::Tokens] {
        let is_left_out = cli.is_broken && part == Part::Throttled;
        if cli.only.is_none_or(|only| only == part) && !is_left_out {
            let started = Instant::now();
            passes &= match part {
                Part::Names => names(&cli).await?,
                Part::Throttled => throttled(&cli).await?,
                Part::Imported => imported(&cli).await?,
                Part::Tokens => tokens(&cli)?,
            };
            print(&format!("Took {:.0} s.\n", started.elapsed().as_secs_f64()))?;
        }
    }
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn names(cli: &Cli) -> Result<bool> {
    print("Does the time of a rejected login reveal whether the user exists? (R18)")?;
    let experiment = Experiment {
        reasons: vec![Reason::Unknown, Reason::WrongPassword, Reason::Disabled, Reason::UnusableHash],
        samples: usize::try_from(cli.samples)?,
        imported_cost: cli.imported_cost,
        check_ms: 0,
        is_throttled: false,
        settings_for_unknown: if cli.is_broken { &[("HASH_MEMORY_KIB", "28672")] } else { &[] },
    };
    rejections("names", &experiment).await
}

async fn throttled(cli: &Cli) -> Result<bool> {
    print("Does the time of a login that is rejected with 429 reveal whether the user exists? (R18)")?;
    let experiment = Experiment {
        reasons: vec![Reason::Unknown, Reason::WrongPassword],
        samples: usize::try_from(cli.samples)?,
        imported_cost: cli.imported_cost,
        check_ms: 0,
        is_throttled: true,
        settings_for_unknown: &[],
    };
    rejections("throttled", &experiment).await
}

async fn imported(cli: &Cli) -> Result<bool> {
    let time = rejections::bcrypt_time(cli.imported_cost)?.as_millis();
    let check_ms = if cli.is_broken { 0 } else { cli.password_check_ms };
    print(&format!(
        "Does the time of a rejected login reveal whether the user has an imported hash? (R19)\n\
         bcrypt at cost {} takes {time} ms on this machine. PASSWORD_CHECK_MS={check_ms}",
        cli.imported_cost
    ))?;
    ensure!(cli.is_broken || u128::from(check_ms) > time, "--password-check-ms must be more than {time} here");
    let experiment = Experiment {
        reasons: vec![Reason::Unknown, Reason::WrongPassword, Reason::Imported],
        samples: usize::try_from(cli.samples)?,
        imported_cost: cli.imported_cost,
        check_ms,
        is_throttled: false,
        settings_for_unknown: &[],
    };
    rejections("imported", &experiment).await
}

async fn rejections(part: &str, experiment: &Experiment) -> Result<bool> {
    let measured = Box::pin(experiment.run(progress(part))).await?;
    let classes: Vec<(&str, &Sample)> = measured.iter().map(|(reason, sample)| (reason.name(), sample)).collect();
    print(&plot::table(&classes))?;
    print(&format!("{:<16}{:>7}{:>12}{:>9}{:>9}", "vs. unknown", "ratio", "U", "p", "Holm's p"))?;
    let comparisons = Comparison::all(&measured)?;
    for comparison in &comparisons {
        let Comparison { reason, ratio, test, corrected_p } = comparison;
        let (name, verdict) = (reason.name(), verdict(comparison.passes()));
        print(&format!("{name:<16}{ratio:>7.3}{:>12.1}{:>9.4}{corrected_p:>9.4}   {verdict}", test.u, test.p))?;
    }
    Ok(comparisons.iter().all(Comparison::passes))
}

fn tokens(cli: &Cli) -> Result<bool> {
    print("Does the time of a rejected refresh token reveal how much of its signature is right? (R15)")?;
    let outcome = tokens::run(usize::try_from(cli.samples)? * 400, cli.is_broken, progress("tokens"))?;
    print(&plot::table(&[("first byte wrong", &outcome.first), ("last byte wrong", &outcome.last)]))?;
    print(&format!("Welch's t = {:.2}   {}", outcome.t, verdict(outcome.passes())))?;
    Ok(outcome.passes())
}

fn verdict(passes: bool) -> &'static str {
    if passes { "PASS" } else { "FAIL" }
}

/// Returns a function that prints the progress to standard error at most every ten seconds.
fn progress(part: &str) -> impl FnMut(usize) {
    let (started, mut last_printed) = (Instant::now(), 0);
    move |percent| {
        let elapsed = started.elapsed().as_secs();
        if elapsed >= last_printed + 10 {
            last_printed = elapsed;
            eprintln!("  {part}: {percent} % after {elapsed} s");
        }
    }
}

fn print(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
