//! The program `dev`, as cargo starts it.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
fn a_command_without_a_running_stack_says_how_to_start_one() {
    let root = checkout("events/userinfo.json");
    for arguments in [&["token"][..], &["story"], &["event", "userinfo"], &["invoke", "userinfo"], &["unlock", "kim"]] {
        let (output, error) = dev(root.path(), arguments);
        assert!(!output.status.success() && error.contains("no `cargo dev` runs in this checkout"), "{error}");
    }
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
fn an_invalid_route_stops_the_stack_before_anything_is_built() {
    let root = checkout("events/userinfo.json");
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    fs::copy(template, root.path().join("template.yaml")).unwrap();
    let invalid = "# mine\n\"GET /login\" = { forward = \"http://127.0.0.1:8080\" }\n";
    fs::write(root.path().join("routes.toml"), invalid).unwrap();
    fs::write(root.path().join("other.toml"), "\"GET /a\" = { forwrd = \"http://127.0.0.1:8080\" }\n").unwrap();
    for (arguments, expected) in [
        (&[][..], "routes.toml line 2: `GET /login` would take the requests of `GET /login`, a route of Latchkey"),
        (&["--routes", "other.toml"], "error: other.toml line 1: unknown field `forwrd`"),
        (&["--routes", "missing.toml"], "error: cannot read missing.toml: No such file"),
    ] {
        let (output, error) = dev(root.path(), arguments);
        assert!(!output.status.success() && error.contains(expected), "{error}");
        assert!(output.stdout.is_empty() && !root.path().join("target").exists());
    }
}

/// The variables for `sam local` contain secrets.
#[test]
fn each_signal_that_stops_the_tables_also_removes_the_file_with_the_variables() {
    let root = checkout("events/userinfo.json");
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    fs::copy(template, root.path().join("template.yaml")).unwrap();
    let file = root.path().join("target/dev/sam-local.json");
    for signal in ["INT", "TERM", "HUP"] {
        let mut tables = Command::new(env!("CARGO_BIN_EXE_dev"));
        let mut tables = tables.arg("tables").current_dir(root.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tables.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("Ready")), "{signal}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{signal}");
        let id = tables.id().to_string();
        assert!(Command::new("kill").args([format!("-{signal}"), id]).status().unwrap().success(), "{signal}");
        assert!(tables.wait().unwrap().success() && !file.exists(), "{signal}");
    }
}

#[test]
fn help_and_output_in_a_pipe_have_no_colours_and_no_line_over_80_columns() {
    let root = checkout("events/userinfo.json");
    for arguments in [&["--help"][..], &["invoke", "--help"], &["story", "--help"], &["token", "--help"]] {
        let (output, _) = dev(root.path(), arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage:") && !text.contains('\u{1b}'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
