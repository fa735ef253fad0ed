//! Measurements of what the response time reveals to an attacker.
//!
//! Owns the experiments behind `cargo timing` and the statistics that decide them. The experiments run the real code.
//! R numbers (R15, R18, R19) are the requirements in `docs/security.md`, which set the limits. Leaves the command line
//! to `bin/timing.rs` and the cost of a password hash to `benches/`. The verdict of `cargo counts` is in
//! [`instructions`].

pub mod instructions;
pub mod plot;
pub mod rejections;
pub mod statistics;
pub mod tokens;
