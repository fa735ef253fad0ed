//! The commands and the output in the documents are those of a run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use testbed::workspace::read;

use crate::world::{World, latchkey};

/// Returns the transcripts of a page: the code blocks of the kind `console`.
fn transcripts(page: &str) -> Vec<String> {
    let page = read(page);
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix("console\n")).map(str::to_owned).collect()
}

/// Replaces what differs in each run: random ids and times.
fn masked(text: &str) -> String {
    let is_id =
        |word: &str| word.len() == 22 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z') && word.starts_with("20");
    let mut masked = String::new();
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && !"-_:".contains(letter)) {
        let end =
            word.len() - word.chars().last().filter(|letter| !letter.is_ascii_alphanumeric()).map_or(0, char::len_utf8);
        let (bare, rest) = word.split_at(end);
        let bare = match bare.strip_prefix("id:") {
            Some(id) => {
                masked.push_str("id:");
                id
            }
            None => bare,
        };
        let name = if is_id(bare) {
            "AN-ID-OF-22-CHARACTERS"
        } else if is_time(bare) {
            "TIME"
        } else {
            bare
        };
        masked.push_str(name);
        masked.push_str(rest);
    }
    masked
}

/// Runs the commands of a transcript, and returns the transcript of this run.
fn run(world: &World, transcript: &str) -> String {
    let mut text = String::new();
    for command in transcript.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let path = format!("{}:{}", world.folder().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}; }} 2>&1")])
            .current_dir(world.folder())
            .env("PATH", path)
            .output()
            .unwrap();
        text.extend(["$ ", command, "\n", &String::from_utf8(output.stdout).unwrap()]);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_operators_shows_what_the_commands_print() {
    let world = World::new().await;
    let tool = latchkey().get_program().to_owned();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in iam-policy) exec {tool} \"$@\";; *) exec {tool} --local \"$@\";; esac\n",
        tool = tool.display()
    );
    fs::create_dir(world.folder().join("bin")).unwrap();
    world.write("bin/latchkey", &script);
    fs::set_permissions(world.folder().join("bin/latchkey"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("kim.password", "paper boats in the rain\n");
    world.write("new.password", "a kite above the harbour\n");
    world.write(
        "users.jsonl",
        "{\"userId\":\"park\",\"email\":\"park@example.com\",\"passwordHash\":\
         \"$2b$04$09eKQoJVldm.w6udoPzzd.gFOa2JqnprLgmFMylprFusehH1KtJ7G\"}\n\
         {\"userId\":\"choi\",\"email\":\"choi@example.com\"}\n{\"userId\":\"no-address\"}\n",
    );
    let transcripts = transcripts("docs/operate.md");
    assert!(transcripts.len() > 8, "{transcripts:?}");
    let runs: String = transcripts.iter().map(|transcript| run(&world, transcript)).collect();
    snapbox::Assert::new().eq(masked(&runs), masked(&transcripts.concat()));
}
