//! `latchkey audit`, on the events file of a local stack.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use shared::keys::Purpose;
use testbed::workspace::read;

use crate::account::OPERATOR;
use crate::keys;
use crate::users::{add, show, sign_in};
use crate::world::World;

/// Adds the user kim, and returns the id.
fn add_kim(world: &World) -> String {
    add(world, "kim", &[]);
    show(world, "kim")["id"].as_str().unwrap().to_owned()
}

fn events_file(world: &World) -> PathBuf {
    world.folder().join("target/dev/events-4000.jsonl")
}

/// Appends a line, as the local stack does.
fn append(world: &World, line: &str) {
    let mut file = File::options().append(true).create(true).open(events_file(world)).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// Returns the line of an event of a function. The time is in the future, so that `--since` never leaves it out.
fn login_failed(user: &str) -> String {
    let event = json!({
        "timestamp": "2999-11-23T20:29:17.955480Z", "level": "INFO", "message": "A password was refused.",
        "event": "login_failed", "reason": "wrong_password", "user": user, "target": "shared::telemetry::events",
    });
    format!("{event}\n")
}

/// Returns the names of the events that `--output jsonl` prints.
fn names(stdout: &str) -> Vec<String> {
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// A command that does not end by itself. It is killed on drop.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the command on the local stack.
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.current_dir(world.folder()).env_clear().arg("--local").args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Waits for the next line.
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_mins(1)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_an_operator_is_a_readable_line() {
    let world = World::new().await;
    let id = add_kim(&world);
    for arguments in [
        &["users", "set", "kim", "--name", "Kim Coding", "--location", "Seoul"][..],
        &["users", "disable", "kim"],
        &["unblock", "203.0.113.7"],
    ] {
        assert_eq!(world.run(arguments).code, 0);
    }
    let shown = world.run(&["audit"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    let lines: Vec<_> = shown.stdout.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            format!("INFO  user_added user={id} operator=local:ops command=\"users add\""),
            format!("INFO  user_changed user={id} operator=local:ops command=\"users set\" attributes=name,location"),
            format!("INFO  user_disabled user={id} operator=local:ops command=\"users disable\""),
            "INFO  counter_deleted operator=local:ops command=unblock".to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_chosen_by_user_name_and_time() {
    let world = World::new().await;
    let id = add_kim(&world);
    append(&world, &login_failed(&id));
    append(&world, &login_failed("another"));
    append(&world, &login_failed(&id).replace("2999", "1999").replace("login_failed", "login_succeeded"));
    let chosen = |arguments: &[&str]| {
        let answer = world.run(&[&["audit", "-o", "jsonl"], arguments].concat());
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{arguments:?}");
        names(&answer.stdout)
    };
    assert_eq!(chosen(&[]), ["user_added", "login_failed", "login_failed"]);
    for user in ["kim", "KIM", "kim@example.com", &id, &format!("id:{id}")] {
        assert_eq!(chosen(&["--user", user]), ["user_added", "login_failed"], "{user}");
    }
    assert_eq!(chosen(&["--event", "user_added", "--event", "user_deleted"]), ["user_added"]);
    assert_eq!(chosen(&["--since", "2998-01-01T00:00:00Z", "--user", "kim"]), ["login_failed"]);
    let all = chosen(&["--since", "1990-01-01T00:00:00Z", "--user", "kim"]);
    assert_eq!(all, ["user_added", "login_failed", "login_succeeded"]);
    assert_eq!(chosen(&["--event", "unknown_event"]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_deleted_user_are_found_by_the_id() {
    let world = World::new().await;
    let id = add_kim(&world);
    assert_eq!(world.run(&["users", "delete", "kim", "--yes"]).code, 0);
    for user in [id.clone(), format!("id:{id}")] {
        let found = world.run(&["audit", "-o", "jsonl", "--user", &user]);
        assert_eq!((found.code, names(&found.stdout)), (0, vec!["user_added".into(), "user_deleted".into()]));
        let note = format!("There is no user {id}. The events are those of a user with this id.\n");
        assert_eq!(found.stderr, note);
    }
    append(&world, &login_failed("-0"));
    assert_eq!(names(&world.run(&["audit", "-o", "jsonl", "--user", "-0"]).stdout), ["login_failed"]);
    // These cannot be ids.
    for user in ["kim@example.com", "name:kim", "email:kim", "id:a b", ""] {
        let refused = world.run(&["audit", "--user", user]);
        assert_eq!((refused.code, refused.stdout.as_str()), (3, ""), "{user}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_prints_old_and_new_events_and_reads_the_file_of_a_new_stack() {
    let world = World::new().await;
    let id = add_kim(&world);
    let running = Running::start(&world, &["audit", "--follow", "--user", "kim"]);
    assert!(running.line().contains(" user_added "));
    append(&world, &login_failed("another"));
    append(&world, &login_failed(&id));
    assert!(running.line().contains(&format!(" login_failed user={id} ")));

    // A line in two parts: nothing is printed before its end is there.
    let whole = login_failed(&id).replace("login_failed", "login_succeeded");
    let (first, second) = whole.split_at(40);
    append(&world, first);
    assert_eq!(world.run(&["audit", "--since", "2998-01-01T00:00:00Z"]).stdout.lines().count(), 2);
    append(&world, second);
    assert!(running.line().contains(" login_succeeded "));

    assert_eq!(world.run(&["users", "disable", "kim"]).code, 0);
    assert!(running.line().contains(" user_disabled "));

    // Another file with the same name, as a new stack makes it. It is longer than the first one.
    let other = world.folder().join("other");
    let second = login_failed(&id).replace("login_failed", "logged_out").repeat(50);
    fs::write(&other, login_failed(&id).replace("login_failed", "key_loaded") + &second).unwrap();
    fs::rename(&other, events_file(&world)).unwrap();
    assert!(running.line().contains(" key_loaded "));
    for _ in 0..50 {
        assert!(running.line().contains(" logged_out "));
    }

    // The same file, made empty.
    fs::write(events_file(&world), login_failed(&id)).unwrap();
    assert!(running.line().contains(" login_failed "));
    assert_eq!(world.run(&["users", "enable", "kim"]).code, 0);
    assert!(running.line().contains(" user_enabled "));
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_waits_for_the_first_event() {
    let world = World::new().await;
    let running = Running::start(&world, &["audit", "-f", "-o", "jsonl"]);
    let id = add_kim(&world);
    let line: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!((&line["event"], &line["user"]), (&"user_added".into(), &id.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_not_an_event_is_left_out_and_counted() {
    let world = World::new().await;
    append(&world, &login_failed("0"));
    append(&world, "{\"event\":\n\n   \nnot json\n{\"timestamp\":\"2999-11-23T20:29:17Z\"}\n\u{1b}[2J\n");
    let mut file = File::options().append(true).open(events_file(&world)).unwrap();
    file.write_all(b"\xff\xfe\n").unwrap();
    append(&world, &login_failed("1"));
    append(&world, login_failed("2").trim_end());
    let shown = world.run(&["audit", "-o", "jsonl"]);
    assert_eq!((shown.code, names(&shown.stdout).len()), (0, 2), "{shown:?}");
    assert!(shown.stderr.ends_with("events-4000.jsonl has lines that are not events: 5.\n"), "{shown:?}");
    assert!(!shown.stdout.contains("\"2\""), "the last line has no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_has_the_events() {
    let world = World::new().await;
    for (format, empty) in [
        ("table", ""),
        ("json", "[]\n"),
        ("jsonl", ""),
        ("csv", "timestamp,level,event,user,session,reason,operator,command,details\r\n"),
    ] {
        let shown = world.run(&["audit", "-o", format]);
        assert_eq!((shown.code, shown.stdout.as_str()), (0, empty), "{format}");
    }
    let line = login_failed("0").replace("\"reason\"", "\"wait_s\":3,\"reason\"");
    append(&world, &line);
    assert_eq!(world.run(&["audit", "-o", "jsonl"]).stdout, line);
    let json: Value = serde_json::from_str(&world.run(&["audit", "-o", "json"]).stdout).unwrap();
    let expected = json!([{
        "timestamp": "2999-11-23T20:29:17.955480Z", "level": "INFO", "event": "login_failed", "user": "0",
        "reason": "wrong_password", "details": { "wait_s": 3 },
    }]);
    assert_eq!(json, expected);
    let csv = world.run(&["audit", "-o", "csv"]).stdout;
    let row = "2999-11-23T20:29:17.955480Z,INFO,login_failed,0,,wrong_password,,,\"{\"\"wait_s\"\":3}\"\r\n";
    assert!(csv.ends_with(row), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_refuses_the_formats_that_need_an_end() {
    let world = World::new().await;
    for format in ["json", "csv"] {
        let refused = world.run(&["audit", "--follow", "-o", format]);
        assert_eq!((refused.code, refused.stdout.as_str()), (5, ""), "{format}");
        assert!(refused.stderr.contains("Use --output jsonl."), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_option_is_refused_before_anything_is_read() {
    let world = World::new().await;
    for arguments in [
        &["audit", "--since", "yesterday"][..],
        &["audit", "--since", "1w"],
        &["audit", "--since", "-1h"],
        &["audit", "--event", "Login failed"],
        &["audit", "--event", ""],
    ] {
        let refused = world.run(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{arguments:?}: {refused:?}");
    }
}

/// Runs every command that changes something.
#[tokio::test(flavor = "multi_thread")]
async fn each_command_writes_its_event_with_the_fields_of_the_events_page() {
    let world = World::new().await;
    let id = add_kim(&world);
    sign_in(&world, &id.clone().into()).await;
    let sessions = world.run(&["sessions", "list", "kim", "-o", "json"]).stdout;
    let sessions: Value = serde_json::from_str(&sessions).unwrap();
    let session = sessions[0]["id"].as_str().unwrap();
    world.write("users.jsonl", r#"{"userId":"lee","email":"lee@example.com"}"#);
    for (command, arguments) in [
        ("sessions end", &["--user", "kim", "--", session][..]),
        ("sessions end-all", &["kim"]),
        ("users set", &["kim", "--email", "kim@example.org"]),
        ("users rename", &["kim", "kimberly"]),
        ("users set-password", &["kimberly", "--password-stdin"]),
        ("users disable", &["kimberly"]),
        ("users enable", &["kimberly"]),
        ("users unlock", &["kimberly"]),
        ("unblock", &["account#mDmKm1Bz6dGk_7oy3vJRdA"]),
        ("users import", &["users.jsonl"]),
        ("users export", &["-"]),
        ("users delete", &["kimberly", "--yes"]),
    ] {
        let command: Vec<_> = command.split(' ').collect();
        let answer = world.run_with(&[&command, arguments].concat(), "another paper boat in the rain");
        assert_eq!(answer.code, 0, "{command:?}: {answer:?}");
    }
    add_kim(&world);
    assert_eq!(world.run(&["users", "erase", "kim", "--yes"]).code, 0);
    let account = keys::account().await;
    let next = account.kid(Purpose::Access, 1);
    for arguments in
        [&["keys", "add", "access"][..], &["keys", "promote", &next], &["keys", "retire", &next, "--now", "--yes"]]
    {
        let answer = account.run(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    }

    let common = ["timestamp", "level", "event", "operator", "command"].map(str::to_owned);
    let mut written = BTreeMap::new();
    let by = |operator: &'static str| move |event: Value| (operator, event);
    let ours = account.events().into_iter().map(by(OPERATOR));
    for (operator, event) in world.events().into_iter().map(by("local:ops")).chain(ours) {
        assert_eq!((&event["level"], &event["operator"]), (&"INFO".into(), &operator.into()));
        let fields = event.as_object().unwrap().keys().filter(|name| !common.contains(name) && *name != "user");
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        written.insert(text("event"), (text("command"), fields.cloned().collect::<BTreeSet<_>>()));
        let is_about_a_user = operator != OPERATOR && !["counter_deleted", "users_exported"].contains(&&*text("event"));
        assert_eq!(event["user"].is_string(), is_about_a_user, "{event}");
    }
    assert_eq!(written, documented());
}

/// Returns the table of `docs/events.md`: the command and the other fields of each event.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = read("docs/events.md");
    let (_, table) = page.split_once("| event | other fields | command |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let spans = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut events = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').map(spans).collect();
        let only = |cell: &BTreeSet<String>| cell.first().unwrap().clone();
        events.insert(only(&cells[1]), (only(&cells[3]), cells[2].clone()));
    }
    events
}
