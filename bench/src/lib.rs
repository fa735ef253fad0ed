//! What an observer could learn from how long an answer takes, measured.
//!
//! Owns the experiments behind `cargo timing` and the statistics that decide them. They run against the real code, and
//! the bounds are those of the requirements (R15, R18, R19). Knows nothing of the command line. What a hash costs is
//! measured in `benches/`.

pub mod plot;
pub mod refusals;
pub mod statistics;
pub mod tokens;
