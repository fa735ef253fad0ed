//! The contract, the stories and the other commands on the local stack of `cargo dev`.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use dev::story::{self, Tale};
use dev::target::Target;
use serde_json::Value;
use testbed::local_stack::{self, Options};
use testbed::workspace::{read, root};
use testbed::{contract, local_gateway};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// Over HTTPS, in both cookie modes.
#[tokio::test]
async fn the_contract_holds_on_the_local_stack() {
    for host_only in [false, true] {
        let (process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        contract::check(&stack).await;
        let lines = play(Tale::Theft, &stack.url).await.join("\n");
        assert!(read("docs/sessions.md").contains(&lines), "docs/sessions.md differs from the story:\n{lines}");
        drop(process);
        let address = stack.url.strip_prefix("https://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the stack has stopped");
    }
}

#[tokio::test]
async fn the_local_gateway_serves_own_routes_carries_what_browsers_send_and_survives_500_logins_at_once() {
    let server = local_gateway::Server::start().await;
    let routes = tempfile::NamedTempFile::new().unwrap();
    fs::write(&routes, server.routes()).unwrap();
    let allowed_origin = Some("http://localhost:5173");
    let options = Options { allowed_origin, routes: Some(routes.path()), ..Options::default() };
    let (_process, stack, mut output) = local_stack::start_with_output(options).await;
    local_gateway::check(&stack, &server, &mut output).await;
}

/// R22, R23. Each run has a user and source addresses of its own, so that it can be repeated at once.
#[tokio::test]
async fn guesses_are_slowed_down_and_the_owner_can_sign_in() {
    let (_process, stack) = local_stack::start(Options { device_cookie: true, ..Options::default() }).await;
    for _ in 0..4 {
        matches_the_docs(&play(Tale::Guessing, &stack.url).await);
    }
    assert!(cargo_dev(&["token"], &stack.url).await.contains("access_jwt: "), "the developer can sign in");
}

/// Runs the transcript of the README in a shell. Random ids and the version of curl differ in each run.
#[tokio::test]
async fn the_session_of_an_operator_in_the_readme_is_that_of_a_run() {
    let (_process, stack) = local_stack::start(Options::default()).await;
    let (script, shown) = transcript("README.md", "users add lee");
    let export = root().join("target/tmp/users.jsonl");
    fs::remove_file(&export).ok();
    let output = run(&script.replace("users.jsonl", export.to_str().unwrap()), &stack.url).await;
    assert_eq!(without_random_parts(&output), without_random_parts(&shown));
    assert_eq!(fs::read_to_string(export).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn the_session_of_a_machine_is_that_of_a_run() {
    for host_only in [false, true] {
        let (_process, stack) = local_stack::start(Options { host_only, ..Options::default() }).await;
        let (script, shown) = transcript("docs/clients.md", "users add job");
        assert_eq!(run(&script, &stack.url).await, shown);
    }
}

/// Returns the commands of a transcript in a page, and what they print. The transcript contains `text`.
fn transcript(page: &str, text: &str) -> (String, String) {
    let page = read(page);
    let transcript = page.split("```console\n").find(|block| block.contains(text)).unwrap();
    let (mut script, mut shown) = (String::new(), String::new());
    for line in transcript.split("```").next().unwrap().lines() {
        match line.strip_prefix("$ ").or_else(|| line.strip_prefix("> ")) {
            Some(command) => script.extend([command, "\n"]),
            None => shown.extend([line, "\n"]),
        }
    }
    (script, shown)
}

/// Runs the commands of a transcript on this stack, and returns what they print.
async fn run(script: &str, url: &str) -> String {
    let (_, port) = url.rsplit_once(':').unwrap();
    let script = script.replace("--local", &format!("--local={port}")).replace("https://localhost:4000", url);
    let output = Command::new("bash").args(["-c", &format!("{{ {script} }} 2>&1")]).current_dir(root()).output();
    String::from_utf8(output.await.unwrap().stdout).unwrap()
}

/// Replaces an id of 22 characters, and the version of curl.
fn without_random_parts(text: &str) -> String {
    let line = |line: &str| match line.split_once("  ") {
        Some(("id", _)) => "id ID".to_owned(),
        _ => line.split("curl/").next().unwrap_or_default().to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The events with cookies are those of a user who is signed in.
#[tokio::test]
async fn each_event_with_cookies_succeeds_with_the_tokens_of_a_new_login() {
    let (_process, stack) = local_stack::start(Options::default()).await;
    let mut count = 0;
    for name in events() {
        let event: Value = serde_json::from_str(&read(&format!("events/{name}.json"))).unwrap();
        let output = cargo_dev(&["invoke", &name], &stack.url).await;
        let next = match name.as_str() {
            "userinfo-start" => "location: /userinfo\n",
            "logout-form" => "location: /login\n",
            _ => "location: /userinfo?notice=",
        };
        let leads_on = output.starts_with("303 See Other\n") && output.contains(next);
        let succeeds = output.starts_with('2') || leads_on || output.contains("\"isAuthorized\": true");
        if event.get("cookies").is_some() {
            assert!(succeeds, "{name}: {output}");
            count += 1;
        }
    }
    assert!(count >= 13, "{count}");
    let user = cargo_dev(&["invoke", "userinfo"], &stack.url).await;
    assert!(user.starts_with("200 OK\n") && user.contains("\"userId\":\"kimcoding\""), "{user}");
    assert!(user.ends_with("}\n") && !user.contains('\u{1b}'), "one newline at the end, and no colours: {user:?}");
    let refused = cargo_dev(&["invoke", "userinfo-without"], &stack.url).await;
    assert!(refused.starts_with("401 Unauthorized\n") && refused.ends_with("\n\nNot Authorized\n"), "{refused:?}");
}

/// The file contains secrets.
#[tokio::test]
async fn each_signal_that_stops_the_stack_also_removes_the_file_of_the_running_stack() {
    for signal in ["INT", "TERM", "HUP"] {
        let (mut process, stack) = local_stack::start(Options::default()).await;
        let (_, port) = stack.url.rsplit_once(':').unwrap();
        let file = root().join(format!("target/dev/running-{port}.json"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{signal}");
        let id = process.child().id().unwrap().to_string();
        let sent = Command::new("kill").args([format!("-{signal}"), id]).status().await.unwrap();
        assert!(sent.success(), "{signal}");
        timeout(Duration::from_mins(1), process.child().wait()).await.unwrap().unwrap();
        assert!(!file.exists(), "{signal}");
    }
}

/// The tool finds the events of the functions, together with its own. The file stays when the stack stops.
#[tokio::test]
async fn the_operators_tool_reads_the_events_of_the_local_stack() {
    let (process, stack) = local_stack::start(Options::default()).await;
    cargo_dev(&["token"], &stack.url).await;
    let (_, port) = stack.url.rsplit_once(':').unwrap();
    latchkey(port, &["sessions", "end-all", "kimcoding"]).await;
    let events = latchkey(port, &["audit", "--user", "kimcoding", "--output", "jsonl"]).await;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["login_succeeded", "all_sessions_ended"]);
    assert!(latchkey(port, &["audit", "--event", "key_loaded"]).await.contains(" INFO  key_loaded "));

    let file = root().join(format!("target/dev/events-{port}.jsonl"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(process);
    assert!(fs::read_to_string(&file).unwrap().contains("\"login_succeeded\""));
    fs::remove_file(file).unwrap();
}

/// Runs the operator's tool on the local stack at this port. Returns its output.
async fn latchkey(port: &str, arguments: &[&str]) -> String {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["run", "--quiet", "--package", "cli", "--bin", "latchkey", "--"]);
    cargo.arg(format!("--local={port}")).args(arguments);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `cargo dev` with these arguments for the stack at `url`, written without scheme and with a slash at the end.
/// Returns its output.
async fn cargo_dev(arguments: &[&str], url: &str) -> String {
    let url = format!("{}/", url.strip_prefix("https://").unwrap());
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["run", "--quiet", "--bin", "dev", "--"]).args(arguments).args(["--url", &url]);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the names of the files in `events/`.
fn events() -> Vec<String> {
    let files = fs::read_dir(root().join("events")).unwrap().map(|file| file.unwrap().path());
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Plays a story, and returns the lines that it printed while it was played.
async fn play(tale: Tale, url: &str) -> Vec<String> {
    let target = Target::find(root(), Some(url)).unwrap();
    let mut printed = Vec::new();
    let print = |line: &str| {
        let codes = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m"];
        printed.push(codes.iter().fold(line.to_owned(), |rest, code| rest.replace(code, "")));
        Ok(())
    };
    let text = story::tell(tale, &target, print).await.unwrap();
    assert_eq!(printed.join("\n"), text, "each line is printed once");
    printed.pop();
    printed
}

/// Asserts that the page shows the lines of the story about guessing, in this order. On a slow machine the story has
/// other numbers, and repeats some lines more often.
fn matches_the_docs(lines: &[String]) {
    let page = read("docs/passwords.md");
    let (_, documented) = page.split_once("```text\nowner").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    let documented = shapes(format!("owner{documented}").lines());
    let mut played = shapes(lines.iter().map(String::as_str)).into_iter();
    for line in documented {
        assert!(played.any(|other| other == line), "the story has no such line here: {line}\n{}", lines.join("\n"));
    }
}

/// Returns the different lines, with `N` for each number except status codes.
fn shapes<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut shapes = Vec::new();
    for line in lines {
        let is_number = |word: &str| word.len() < 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        let words = line.split_whitespace().map(|word| if is_number(word) { "N" } else { word });
        let shape = words.collect::<Vec<_>>().join(" ");
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes
}
