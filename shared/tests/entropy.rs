//! The seed of the random generator of aws-lc.

use std::fs;

use shared::id::SessionId;

/// `.cargo/config.toml` builds aws-lc without its collector of CPU jitter, which would delay every cold start. This
/// test reads the symbols of its own binary. The symbols of the collector start with `jent_`, after the prefix of the
/// crate.
#[test]
fn random_numbers_are_not_seeded_from_cpu_jitter() {
    assert_ne!(SessionId::random().unwrap(), SessionId::random().unwrap());
    let binary = fs::read(std::env::current_exe().unwrap()).unwrap();
    let binary = String::from_utf8_lossy(&binary);
    // The names are joined here, so that the binary has them as symbols only.
    let has = |words: &[&str]| binary.contains(&words.join("_"));
    assert!(has(&["opt", "out", "cpu", "jitter", "get", "seed"]), "the binary has no symbols: this proves nothing");
    assert!(!has(&["jent", "entropy", "collector"]), "aws-lc was built without AWS_LC_SYS_NO_JITTER_ENTROPY");
}
