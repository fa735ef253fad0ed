//! Runs one operation many times, for `cargo counts`, which counts the instructions under valgrind.
//!
//! Writes log lines, as a function does. Leaves valgrind and the stored counts to `bench/src/bin/counts.rs`.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use micro::operations;
use shared::telemetry;

const USAGE: &str = "\
Runs one operation of a request without I/O, for counting its instructions.

Usage:
  micro list               print the names of the operations
  micro OPERATION TIMES    run an operation that many times

Example:
  micro verify_access 1000
";

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => {
            for operation in operations()? {
                writeln!(io::stdout(), "{}", operation.name())?;
            }
        }
        ["--help" | "-h"] => write!(io::stdout(), "{USAGE}")?,
        [name, times] => run(name, times)?,
        _ => {
            write!(io::stderr(), "{USAGE}")?;
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(name: &str, times: &str) -> Result<()> {
    let times = times.parse::<u32>().with_context(|| format!("{times} is not a number of times"))?;
    telemetry::init(&micro::environment())?;
    let mut operation = operations()?.into_iter().find(|operation| operation.name() == name);
    let operation = operation.as_mut().with_context(|| format!("{name} is not an operation: micro list"))?;
    for _ in 0..times {
        operation.run()?;
    }
    Ok(())
}
