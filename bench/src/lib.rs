//! Measurements of what the response time reveals to an attacker, how fast the functions are, and the simulated day of
//! a large site.
//!
//! Owns the experiments behind `cargo timing` and the statistics that decide them. The experiments run the real code.
//! R numbers (R15, R18, R19) are the requirements in `docs/security.md`, which set the limits. Also owns the result and
//! the page of `cargo perf`, the simulation behind `cargo day`, and the verdict of `cargo counts` in [`instructions`].
//! Leaves the command lines to `bin/` and the cost of a password hash to `benches/`.

pub mod chart;
pub mod day;
pub mod instructions;
pub mod performance;
pub mod plot;
pub mod rejections;
pub mod statistics;
pub mod tokens;
