//! Completions, manual pages and the IAM policy.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::users::assert_failed;
use crate::world::{answer, latchkey};

#[test]
fn each_shell_gets_completions_with_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = answer(latchkey().args(["completions", shell]));
        assert!(script.code == 0 && script.stdout.contains("set-password"), "{shell}: {}", script.stderr);
    }
}

#[test]
fn each_command_gets_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(answer(latchkey().args(["man".as_ref(), pages.as_os_str()])).code, 0);
    let names: BTreeSet<_> =
        fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in [
        "latchkey.1",
        "latchkey-users-import.1",
        "latchkey-sessions-end-all.1",
        "latchkey-keys-retire.1",
        "latchkey-doctor.1",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    let page = fs::read_to_string(pages.join("latchkey-users-import.1")).unwrap();
    assert!(page.contains("Examples:") && page.contains("firebase"), "{page}");
}

/// Returns the actions of a policy.
fn actions(arguments: &[&str]) -> BTreeSet<String> {
    let policy = answer(latchkey().args(["iam-policy", "--stack", "s"]).args(arguments));
    let policy: Value = serde_json::from_str(&policy.stdout).unwrap_or_else(|_| panic!("{policy:?}"));
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_policy_of_a_command_has_fewer_rights_than_that_of_all() {
    let all = actions(&[]);
    let unlock = actions(&["users", "unlock"]);
    assert!(unlock.is_subset(&all) && unlock.len() < all.len());
    assert!(!actions(&["users", "list"]).contains("logs:PutLogEvents"), "a list changes nothing");
    assert!(actions(&["sessions"]).is_superset(&actions(&["sessions", "end"])));
    assert!(all.iter().all(|action| !action.contains('*')), "{all:?}");
    assert_failed(
        &answer(latchkey().args(["iam-policy", "--stack", "s", "users", "fly"])),
        5,
        "There is no command users fly.",
    );
    assert_failed(&answer(latchkey().args(["iam-policy"])), 5, "Add --stack NAME.");
}
