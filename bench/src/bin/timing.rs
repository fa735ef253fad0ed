//! `cargo timing`: whether the time of an answer tells what the answer does not.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use bench::refusals::{self, Comparison, Experiment, Reason};
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
    /// Only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// How many refusals of each kind; of tokens 400 times as many.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    samples: u32,
    /// The cost of the imported bcrypt hashes.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(4..=15))]
    imported_cost: u32,
    /// `PASSWORD_CHECK_MS` while there are imported hashes: longer than comparing with one of them takes.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=3000))]
    password_check_ms: u32,
    /// Makes each part fail, to show that it can: unknown names cost three passes and not two, there is no
    /// `PASSWORD_CHECK_MS`, and a signature is compared byte by byte.
    #[arg(long = "break")]
    is_broken: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Does a refusal tell whether a name exists? (R18)
    Names,
    /// And whether somebody was imported? (R19)
    Imported,
    /// Does a refused refresh token tell how much of its signature is right? (R15)
    Tokens,
}

const ABOUT: &str = "Tests whether the time of an answer tells who exists, through the real handler on this machine";

const EXAMPLES: &str = "\
Examples:
  cargo timing                                   everything: about twelve minutes
  cargo timing --only names                      the first part: about a minute
  cargo timing --only names --samples 5000       a smaller difference would be seen, too
  cargo timing --only imported --imported-cost 10 --password-check-ms 100
  cargo timing --break --samples 100             every part must fail

A part passes where no two medians are more than 5 % apart and the Mann-Whitney U test finds p > 0.01 for each, after
Holm's correction for as many comparisons as the part makes; for tokens, where Welch's |t| < 4.5.
The exit code is 1 where one fails; by chance alone each of the first two does in one run of a hundred.
Leave the machine alone meanwhile: noise hides differences.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    // What a function logs is part of what it costs; here nobody reads it.
    let lines = telemetry::lines(LevelFilter::INFO, Some("Timing".to_owned()), io::sink);
    tracing_subscriber::registry().with(lines).init();

    let mut passes = true;
    for part in [Part::Names, Part::Imported, Part::Tokens] {
        if cli.only.is_none_or(|only| only == part) {
            let started = Instant::now();
            passes &= match part {
                Part::Names => names(&cli).await?,
                Part::Imported => imported(&cli).await?,
                Part::Tokens => tokens(&cli)?,
            };
            say(&format!("in {:.0} s\n", started.elapsed().as_secs_f64()))?;
        }
    }
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn names(cli: &Cli) -> Result<bool> {
    say("Does the time of a refusal tell whether a name exists? (R18)")?;
    let experiment = Experiment {
        reasons: vec![Reason::Unknown, Reason::WrongPassword, Reason::Disabled, Reason::UnusableHash],
        samples: usize::try_from(cli.samples)?,
        imported_cost: cli.imported_cost,
        check_ms: 0,
        only_for_unknown: if cli.is_broken { &[("HASH_ITERATIONS", "3")] } else { &[] },
    };
    refusals("names", &experiment).await
}

async fn imported(cli: &Cli) -> Result<bool> {
    let cost = refusals::imported_cost(cli.imported_cost)?.as_millis();
    let check_ms = if cli.is_broken { 0 } else { cli.password_check_ms };
    say(&format!(
        "Does the time of a refusal tell whether somebody was imported? (R19)\n\
         bcrypt at cost {} takes {cost} ms here; PASSWORD_CHECK_MS={check_ms}",
        cli.imported_cost
    ))?;
    ensure!(cli.is_broken || u128::from(check_ms) > cost, "--password-check-ms must be more than {cost} here");
    let experiment = Experiment {
        reasons: vec![Reason::Unknown, Reason::WrongPassword, Reason::Imported],
        samples: usize::try_from(cli.samples)?,
        imported_cost: cli.imported_cost,
        check_ms,
        only_for_unknown: &[],
    };
    refusals("imported", &experiment).await
}

async fn refusals(part: &str, experiment: &Experiment) -> Result<bool> {
    let measured = Box::pin(experiment.run(progress(part))).await?;
    let classes: Vec<(&str, &Sample)> = measured.iter().map(|(reason, sample)| (reason.name(), sample)).collect();
    say(&plot::table(&classes))?;
    say(&format!("{:<16}{:>7}{:>12}{:>9}{:>9}", "against unknown", "ratio", "U", "p", "Holm's p"))?;
    let comparisons = Comparison::all(&measured);
    for comparison in &comparisons {
        let Comparison { reason, ratio, test, corrected_p } = comparison;
        let (name, verdict) = (reason.name(), verdict(comparison.passes()));
        say(&format!("{name:<16}{ratio:>7.3}{:>12.1}{:>9.4}{corrected_p:>9.4}   {verdict}", test.u, test.p))?;
    }
    Ok(comparisons.iter().all(Comparison::passes))
}

fn tokens(cli: &Cli) -> Result<bool> {
    say("Does the time of a refused refresh token tell how much of its signature is right? (R15)")?;
    let outcome = tokens::run(usize::try_from(cli.samples)? * 400, cli.is_broken, progress("tokens"))?;
    say(&plot::table(&[("first byte wrong", &outcome.first), ("last byte wrong", &outcome.last)]))?;
    say(&format!("Welch's t = {:.2}   {}", outcome.t, verdict(outcome.passes())))?;
    Ok(outcome.passes())
}

fn verdict(passes: bool) -> &'static str {
    if passes { "PASS" } else { "FAIL" }
}

/// Says on standard error how far the measuring has come, every ten seconds.
fn progress(part: &str) -> impl FnMut(usize) {
    let (started, mut said) = (Instant::now(), 0);
    move |percent| {
        let passed = started.elapsed().as_secs();
        if passed >= said + 10 {
            said = passed;
            eprintln!("  {part}: {percent} % after {passed} s");
        }
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
