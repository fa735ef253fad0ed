//! The result of `cargo perf`.
//!
//! Owns its format, the ratios that it must show, and the page and the pictures that are made from it. Leaves the
//! measurements to `bin/perf`.

use serde::{Deserialize, Serialize};

pub mod page;
pub mod picture;
pub mod ratios;
pub mod samples;

/// The result of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// The commit that was measured. Ends with `+` if files were changed since.
    pub commit: String,
    /// The day of the run.
    pub date: String,
    /// Whether `--quick` was given.
    pub quick: bool,
    /// The machine.
    pub machine: Machine,
    /// How the CPU quota was applied.
    pub quota: Quota,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// The times of each subject in each scenario.
    pub measurements: Vec<Measurement>,
    /// The value of each key of [`ratios::RATIOS`] that was measured.
    pub ratios: ratios::Values,
    /// The 95 % confidence interval of each ratio.
    pub intervals: ratios::Intervals,
    /// The steps of the load.
    pub load: Vec<LoadStep>,
    /// The sizes of the functions.
    pub sizes: Vec<Size>,
}

/// A machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The model of the CPU.
    pub cpu: String,
    /// The number of cores.
    pub cores: usize,
    /// The memory in GiB, rounded down.
    pub memory_gib: u64,
    /// The release of the kernel.
    pub kernel: String,
    /// The architecture of the CPU.
    pub architecture: String,
    /// The version of Rust.
    pub rust: String,
    /// The version of Node.js, or empty without Node.js.
    pub node: String,
    /// The version of Python, or empty without Python.
    pub python: String,
}

/// A CPU quota.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// `cgroup`, or `SIGSTOP and SIGCONT`.
    pub method: String,
    /// The share of a CPU of a function with 256 MiB.
    pub share: f64,
}

/// The times of one subject in one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// The scenario, such as `warm`.
    pub scenario: String,
    /// The subject, such as `userinfo`.
    pub subject: String,
    /// What was measured.
    pub what: String,
    /// How often.
    pub count: usize,
    /// The median in milliseconds.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The CPU time of one, or `None` if it was not measured.
    pub cpu_ms: Option<f64>,
    /// The peak memory of the process, or `None` if it was not measured.
    pub peak_mib: Option<f64>,
}

/// A number of concurrent requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadStep {
    /// The function.
    pub function: String,
    /// The number of requests at a time, each in its own process.
    pub concurrent: usize,
    /// The answers in a second.
    pub per_second: f64,
    /// The median of the times in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
}

/// The size of a function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Size {
    /// The function.
    pub function: String,
    /// The size of the binary.
    pub bytes: u64,
    /// The size of the zip that Lambda downloads.
    pub zip_bytes: u64,
}

impl Report {
    /// Returns the measurement of a subject in a scenario.
    #[must_use]
    pub fn measurement(&self, scenario: &str, subject: &str, what: &str) -> Option<&Measurement> {
        let is_it = |measured: &&Measurement| {
            (measured.scenario.as_str(), measured.subject.as_str(), measured.what.as_str()) == (scenario, subject, what)
        };
        self.measurements.iter().find(is_it)
    }
}
