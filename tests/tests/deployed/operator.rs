//! The operator's tool on the deployed stack. Each command runs with exactly the IAM policy that the tool prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dev::people::PARK;
use dev::processes::Process;
use serde_json::{Value, json};
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::store::{self, Account, Attempt, Attempts, Channel};
use testbed::contract::Stack;
use testbed::deployed::{Emulator, Operator};
use testbed::workspace::root;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The commands with a policy, and calls of each that together use every right of the policy. `SESSION` is the id of a
/// session of kimcoding. `SIGNS` and `NEXT` are the ids of the refresh key that signs and of the next one. `SERVICE`
/// stands for the options with which a client finds the emulated API. The commands run in this order.
const COMMANDS: [(&str, &[&str]); 25] = [
    ("doctor", &["doctor SERVICE"]),
    ("users add", &["users add op --email op@example.com --password-stdin"]),
    ("users show", &["users show kimcoding"]),
    ("users list", &["users list", "users list --search op"]),
    ("users set", &["users set op --email op2@example.com --add-role x"]),
    ("users rename", &["users rename op oper"]),
    ("users set-password", &["users set-password oper --password-stdin"]),
    ("users disable", &["users disable oper"]),
    ("users enable", &["users enable oper"]),
    ("users unlock", &["users unlock oper"]),
    ("users import", &["users import users.jsonl", "users import users.jsonl"]),
    ("users export", &["users export -"]),
    ("sessions list", &["sessions list kimcoding"]),
    ("sessions end", &["sessions end --user kimcoding -- SESSION", "sessions end -- SESSION"]),
    ("sessions end-all", &["sessions end-all kimcoding"]),
    ("keys list", &["keys list access", "keys list refresh", "keys list device"]),
    ("keys add", &["keys add access"]),
    ("keys promote", &["keys promote -- NEXT"]),
    ("keys retire", &["keys retire --now --yes -- SIGNS"]),
    ("unblock", &["unblock 127.0.0.1"]),
    ("blocked", &["blocked"]),
    ("stats", &["stats"]),
    ("audit", &["audit --user kimcoding"]),
    ("users delete", &["users delete oper --yes"]),
    ("users erase", &["users erase parkhacker --yes"]),
];

/// Rights that a command needs only after a conflict, which these calls do not cause. `doctor` looks whether its
/// temporary user is gone. An import looks which user has got the id meanwhile, and deletes older counters of a name.
/// An export reads a user again who was renamed meanwhile.
const AFTER_A_CONFLICT: [(&str, &str); 4] = [
    ("doctor", "dynamodb:GetItem"),
    ("users import", "dynamodb:GetItem"),
    ("users import", "dynamodb:DeleteItem"),
    ("users export", "dynamodb:GetItem"),
];

/// The commands that read the pepper. Its ARN is not in the policy that the tool prints, because the tool does not know
/// it. docs/operate.md says so.
const WITH_PEPPER: [&str; 4] = ["doctor", "users add", "users import", "users set-password"];

/// A password for `users add` and `users set-password`.
const PASSWORD: &str = "paper boats in the rain";

const USER: &str = r#"{"userId":"imported","email":"imported@example.com","disabled":true}"#;

/// Runs all commands. Each one succeeds with its own policy and uses all rights of the policy. It writes its audit
/// events, or changes nothing. The policy does not allow another command that needs more.
pub(crate) async fn check(emulator: &Emulator, stack: &Stack) {
    let expected: BTreeSet<_> = cli::policy::commands().collect();
    assert_eq!(COMMANDS.iter().map(|(command, _)| *command).collect::<BTreeSet<_>>(), expected);
    let tool = Tool::build(emulator).await;
    prepare(stack).await;
    let sessions: Value =
        serde_json::from_str(&tool.run_as_administrator("sessions list kimcoding -o json").await).unwrap();
    let session = sessions[0]["id"].as_str().unwrap();
    let [signs, next] = refresh_keys(&tool).await;
    let service = format!("--cacert ../cert.pem --connect-to {}", stack.socket.unwrap());

    let pepper = emulator.functions().await["LoginFunction"].environment["PASSWORD_PEPPER"].clone();

    for (command, calls) in COMMANDS {
        eprintln!("  latchkey {command}");
        let values = [("SESSION", session), ("SIGNS", &signs), ("NEXT", &next), ("SERVICE", &service)];
        let with = |call: String, (name, value): &(&str, &str)| call.replace(name, value);
        let calls = calls.iter().map(|call| values.iter().fold((*call).to_owned(), with));
        let calls: Vec<_> = calls.collect();
        let mut policy = tool.policy(command).await;
        if WITH_PEPPER.contains(&command) {
            let read = json!({ "Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": pepper });
            policy["Statement"].as_array_mut().unwrap().push(read);
        }
        let name = command.replace(' ', "-");
        let before = stored(&tool, &stack.env).await;
        if policy.to_string().contains("logs:PutLogEvents") {
            let policy = without(&policy, "logs:PutLogEvents");
            let operator = emulator.operator(&format!("{name}-without-audit"), &policy).await;
            assert_refused(command, &tool.run(&calls[0], &operator).await, &calls[0]);
            assert_eq!(stored(&tool, &stack.env).await, before, "{command} changed something without an audit event");
        }
        let operator = emulator.operator(&name, &policy).await;
        for call in &calls {
            let answer = tool.run(call, &operator).await;
            assert_eq!(answer.code, 0, "{call}: {answer:?}");
        }
        assert_used(emulator, &operator, &policy, command);
        assert_recorded(&tool, &operator, command, stored(&tool, &stack.env).await != before).await;

        let more = needs_more_than(command);
        let before = stored(&tool, &stack.env).await;
        assert_refused("", &tool.run(more, &operator).await, more);
        assert_eq!(stored(&tool, &stack.env).await, before, "{more} with the policy of {command}");
    }
    follow_prints_each_event_once(&tool, stack).await;
}

/// Runs a command of the tool with all rights, and returns its output.
pub(crate) async fn latchkey(emulator: &Emulator, arguments: &str) -> String {
    Tool::build(emulator).await.run_as_administrator(arguments).await
}

/// Opens sessions of the two demonstration users, and counts a wrong password of parkhacker.
async fn prepare(stack: &Stack) {
    stack.access_token().await;
    let (env, park, now, budget) = (&stack.env, PARK.user().unwrap(), Timestamp::now(), Budget::new(None));
    testbed::sign_in(env, &park, true, now).await;
    let attempts = Attempts::from_env(store::connect(env).unwrap(), env).unwrap();
    let account = Account::named(&park.profile.user_id);
    let attempt = Attempt { account: &account, channel: Channel::Public, source_ip: None };
    let (admission, _) = attempts.admit(attempt, now, &budget).await.unwrap();
    attempts.reserve(admission, now, &budget).await.unwrap();
}

/// Returns the ids of the refresh key that signs and of the next one. `CloudFormation` has made both, so that the next
/// one can sign at once.
async fn refresh_keys(tool: &Tool<'_>) -> [String; 2] {
    let keys: Value = serde_json::from_str(&tool.run_as_administrator("keys list refresh -o json").await).unwrap();
    ["signs", "next"].map(|state| {
        let key = keys.as_array().unwrap().iter().find(|key| key["state"] == state);
        key.unwrap_or_else(|| panic!("no key {state}: {keys}"))["kid"].as_str().unwrap().to_owned()
    })
}

/// Returns a call that the policy of the command does not allow.
fn needs_more_than(command: &str) -> &'static str {
    if ["doctor", "users erase"].contains(&command) { "users list" } else { "users erase kimcoding --yes" }
}

/// Asserts that AWS refused a call, and that the message says how to get the rights. For `doctor`, the report says so,
/// and the code is that of a failed check.
fn assert_refused(command: &str, answer: &Answer, call: &str) {
    let (code, text) = if command == "doctor" { (1, &answer.stdout) } else { (6, &answer.stderr) };
    assert!(answer.code == code && text.contains("`latchkey iam-policy`"), "{call}: {answer:?}");
}

/// Asserts that every call of the operator was allowed, and that every right of the policy was used.
fn assert_used(emulator: &Emulator, operator: &Operator, policy: &Value, command: &str) {
    let decisions = emulator.decisions();
    let made: Vec<_> = decisions.iter().filter(|decision| decision.is_by(operator)).collect();
    assert!(made.iter().all(|decision| decision.allowed), "{command}: {made:#?}");
    for statement in policy["Statement"].as_array().unwrap() {
        let resources =
            statement["Resource"].as_array().cloned().unwrap_or_else(|| vec![statement["Resource"].clone()]);
        let matches_one = |arn: &str| resources.iter().any(|pattern| matches(pattern.as_str().unwrap(), arn));
        for action in statement["Action"].as_array().unwrap() {
            if AFTER_A_CONFLICT.contains(&(command, action.as_str().unwrap())) {
                continue;
            }
            let is_used = made.iter().any(|call| *action == call.action && matches_one(&call.resource));
            assert!(is_used, "{command} does not need {action} on {resources:?}: {made:#?}");
        }
    }
}

/// Returns `true` if a pattern of a policy matches an ARN. `*` stands for any text.
fn matches(pattern: &str, arn: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == arn };
    let Some(arn) = arn.strip_prefix(start) else { return false };
    (0..=arn.len()).any(|position| matches(rest, &arn[position..]))
}

/// Asserts that the audit log names the operator for a change, and that a command without a change has no event. An
/// export has an event, and so has a command that leaves the tables as they were: `doctor` removes its user again.
async fn assert_recorded(tool: &Tool<'_>, operator: &Operator, command: &str, has_changed: bool) {
    let events = tool.run_as_administrator("audit -o jsonl").await;
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let recorded = events.filter(|event| event["operator"] == operator.arn && event["command"] == command).count();
    let is_recorded = has_changed || ["doctor", "users export", "users unlock"].contains(&command);
    assert_eq!(recorded > 0, is_recorded, "{command}: {recorded} events");
}

/// Starts `audit --follow`, and signs in twice. Between the logins, the command looks for new events several times.
async fn follow_prints_each_event_once(tool: &Tool<'_>, stack: &Stack) {
    let operator = tool.emulator.operator("follower", &tool.policy("audit").await).await;
    let since = Timestamp::now().rfc3339();
    let mut command = tool.command(&format!("audit --follow --event login_succeeded --user kimcoding --since {since}"));
    command.envs(&operator.credentials).stdout(Stdio::piped());
    let mut process = Process::start("latchkey", &mut command).unwrap();
    let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
    let mut sessions = BTreeSet::new();
    for _ in 0..2 {
        stack.access_token().await;
        let line = timeout(Duration::from_mins(1), lines.next_line()).await.unwrap().unwrap().unwrap();
        let (_, session) = line.split_once(" session=").unwrap();
        assert!(sessions.insert(session.to_owned()), "an event was printed twice: {line}");
        timeout(Duration::from_mins(1), more_rounds(tool.emulator, &operator)).await.unwrap();
    }
}

/// Waits until the operator has read the audit log three more times.
async fn more_rounds(emulator: &Emulator, operator: &Operator) {
    let rounds = || {
        let decisions = emulator.decisions();
        decisions.iter().filter(|call| call.is_by(operator) && call.resource.contains("/latchkey/audit:")).count()
    };
    let before = rounds();
    while rounds() < before + 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The credentials of the administrator of the emulated account.
const ADMINISTRATOR: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// The operator's tool.
struct Tool<'a> {
    emulator: &'a Emulator,
    folder: PathBuf,
}

/// What a command answered.
#[derive(Debug)]
struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl<'a> Tool<'a> {
    /// Builds the tool.
    async fn build(emulator: &'a Emulator) -> Self {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root()).args(["build", "--quiet", "--locked", "--package", "cli", "--bin", "latchkey"]);
        Process::start("cargo build", &mut cargo).unwrap().finish().await.unwrap();
        let folder = root().join("target/deployed/operator");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("users.jsonl"), USER).unwrap();
        Self { emulator, folder }
    }

    /// Returns the policy of a command.
    async fn policy(&self, command: &str) -> Value {
        let answer = answer(&mut self.command(&format!("iam-policy {command}"))).await;
        serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{command}: {answer:?}"))
    }

    /// Runs a command with the credentials of an operator.
    async fn run(&self, arguments: &str, operator: &Operator) -> Answer {
        answer(self.command(arguments).envs(&operator.credentials)).await
    }

    /// Runs a command with all rights, and returns its output.
    async fn run_as_administrator(&self, arguments: &str) -> String {
        let answer = answer(self.command(arguments).envs(ADMINISTRATOR)).await;
        assert_eq!(answer.code, 0, "{arguments}: {answer:?}");
        answer.stdout
    }

    /// Returns a command on the deployed stack, without credentials.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(root().join("target/debug/latchkey").canonicalize().unwrap());
        command.current_dir(&self.folder).args(["--stack", "latchkey"]).args(arguments.split(' '));
        command.env_clear().envs(self.emulator.variables()).env("HOME", "/nonexistent");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}

/// Runs a command with a password on standard input.
async fn answer(command: &mut Command) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads no password may have ended already.
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).await.ok();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Returns the policy without an action.
fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement["Action"].as_array_mut().unwrap().retain(|allowed| allowed != action);
    }
    policy
}

/// Returns all items of all tables, and all keys.
async fn stored(tool: &Tool<'_>, env: &Environment) -> BTreeSet<String> {
    let keys = tool.run_as_administrator("keys list -o jsonl").await;
    let mut stored = items(env).await;
    stored.extend(keys.lines().map(str::to_owned));
    stored
}

/// Returns all items of all tables.
async fn items(env: &Environment) -> BTreeSet<String> {
    let client = store::connect(env).unwrap();
    let mut items = BTreeSet::new();
    for table in ["USERS_TABLE", "SESSIONS_TABLE", "ATTEMPTS_TABLE"] {
        let mut pages = client.scan().table_name(env.optional(table).unwrap()).into_paginator().send();
        while let Some(page) = pages.next().await {
            for item in page.unwrap().items() {
                let attributes: BTreeMap<_, _> = item.iter().collect();
                items.insert(format!("{table} {attributes:?}"));
            }
        }
    }
    items
}
