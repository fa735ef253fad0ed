//! The tests of the tables, on the DynamoDB of the emulator of AWS.
//!
//! These tests use an embedded DynamoDB. Here they use another implementation, which shares no code with it. So a test
//! does not pass because of a defect of one of them. The proxies for faults and measurements stand in front of either
//! one, so that no test is skipped. Needs what `tests/deployed/README.md` says.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;
use testbed::deployed::Emulator;
use testbed::workspace::root;
use tokio::process::Command;

/// The test programs, and which of their tests run. The tests of the attempts table are those of `login`. Most others
/// of `guessing` send many requests at once. The emulator then answers too late for the time budget of a request.
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("shared", &["store::"]),
    ("guessing", &["an_attempt_counter", "the_sixth_wrong", "a_success_whose", "the_last_attempt", "counter_keys"]),
];

/// The actions that the tests need. If one is missing, the tests have used the embedded DynamoDB.
const ACTIONS: [&str; 8] =
    ["BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"];

#[tokio::test]
async fn the_tests_of_the_tables_pass_on_another_dynamodb() {
    let emulator = Emulator::start().await;
    let (_, endpoint) = emulator.variables()[0];
    for (program, filters) in PROGRAMS {
        let mut tests = Command::new(executable(program).await);
        tests.current_dir(root()).args(filters);
        let status =
            tests.env("LATCHKEY_TEST_DYNAMODB", endpoint.trim_start_matches("http://")).status().await.unwrap();
        assert!(status.success(), "tests of {program} fail on the emulator");
    }
    let decisions = emulator.decisions();
    let used: BTreeSet<_> = decisions.iter().filter_map(|call| call.action.strip_prefix("dynamodb:")).collect();
    let unused: Vec<_> = ACTIONS.into_iter().filter(|action| !used.contains(action)).collect();
    assert_eq!(unused, [""; 0]);
}

/// Builds a test program as `cargo test` does, and returns its path.
async fn executable(name: &str) -> String {
    let mut cargo = Command::new("cargo");
    // The whole workspace, because another selection of packages has other features, and compiles them again.
    cargo.args(["test", "--locked", "--workspace", "--lib", "--test", "guessing", "--no-run"]);
    cargo.args(["--message-format", "json"]).current_dir(root());
    let output = cargo.stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut messages = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let built = messages.find(|message| message["target"]["name"] == name && message["executable"].is_string());
    built.unwrap()["executable"].as_str().unwrap().to_owned()
}
