//! The documents say what the code does.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// What stands between `before` and the next backtick.
fn named<'a>(text: &'a str, before: &'a str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('`').next()).collect()
}

#[test]
fn every_variable_is_in_the_readme_and_no_other() {
    let (config, readme) = (read("shared/src/config.rs"), read("README.md"));
    let ours: BTreeSet<_> =
        named(&config, "Read from `").into_iter().filter(|name| !name.starts_with("AWS_")).collect();
    assert!(ours.len() > 10, "{ours:?}");
    let table = readme.split("## Configuration").nth(1).unwrap().split("### The tables").next().unwrap();
    assert_eq!(named(table, "\n| `"), ours);
}

#[test]
fn the_readme_can_be_read_in_one_go() {
    assert!(read("README.md").lines().count() < 200);
}
