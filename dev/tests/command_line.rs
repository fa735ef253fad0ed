//! The program `dev`, as cargo starts it.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Returns a checkout without code: the files at its root, and one event.
fn checkout(event: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["dev", "events"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    for (file, text) in [("Cargo.toml", ""), ("template.yaml", "Resources: {}"), (event, "{}")] {
        fs::write(root.path().join(file), text).unwrap();
    }
    root
}

/// Runs the program in a folder. Returns its standard output and its standard error.
fn dev(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dev")).current_dir(folder).args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    (output, error)
}

/// Cargo does not build the program again after a checkout was moved or copied with `target/`.
#[test]
fn the_program_uses_the_checkout_in_which_it_is_started() {
    let copy = checkout("events/only-here.json");
    for folder in ["", "events"] {
        let (output, error) = dev(&copy.path().join(folder), &["event", "none"]);
        assert_eq!(error, "error: there is no event `none`. The events are: only-here\n");
        assert!(!output.status.success());
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, error) = dev(elsewhere.path(), &["event", "none"]);
    assert!(error.contains("is not in a checkout of Latchkey"), "{error}");
}

#[test]
fn an_invalid_line_in_dotenv_stops_the_stack_before_anything_is_built() {
    let root = checkout("events/userinfo.json");
    fs::write(root.path().join(".env"), "# settings\nACCESS_TTL=one day\n").unwrap();
    let (output, error) = dev(root.path(), &["tables"]);
    assert!(!output.status.success());
    assert!(error.contains(".env line 2 is not NAME=value") && error.contains("NAME='a value'"), "{error}");
}

#[test]
fn help_and_output_in_a_pipe_have_no_colours_and_no_line_over_80_columns() {
    let root = checkout("events/userinfo.json");
    for arguments in [&["--help"][..], &["story", "--help"], &["token", "--help"]] {
        let (output, _) = dev(root.path(), arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage:") && !text.contains('\u{1b}'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
