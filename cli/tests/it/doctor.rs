//! `latchkey doctor` on a running stack, and on stacks with one fault each.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use shared::store::{self, Client};
use testbed::workspace::read;
use testbed::{Fault, Tables};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::service::{Faults, Running, gateway};
use crate::world::{Answer, World, answer, latchkey};

/// The checks, in their order.
const CHECKS: [&str; 17] = [
    "stack",
    "users-table",
    "sessions-table",
    "attempts-table",
    "sessions-index",
    "sessions-ttl",
    "attempts-ttl",
    "users-backups",
    "users-deletion-protection",
    "functions",
    "settings",
    "cookie-domain",
    "allowed-origins",
    "service",
    "cors",
    "clock",
    "audit-log",
];

/// The checks that a local stack does not have.
const DEPLOYED_ONLY: [&str; 4] = ["users-backups", "users-deletion-protection", "functions", "audit-log"];

/// The findings of a run, by check.
struct Findings(BTreeMap<String, Value>);

impl Findings {
    /// Runs `doctor` with these arguments. Asserts that no record of a temporary user is left.
    fn of(world: &World, arguments: &[&str]) -> Self {
        let answer = world.run(&[&["doctor", "--output", "jsonl"], arguments].concat());
        assert!([0, 1].contains(&answer.code), "{answer:?}");
        let findings: Vec<Value> = answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let checks: Vec<_> = findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
        assert_eq!(checks, [&CHECKS[..], &["login"]].concat());
        let has_failed = findings.iter().any(|finding| finding["outcome"] == "failed");
        assert_eq!(answer.code, i32::from(has_failed), "{answer:?}");
        for finding in &findings {
            let has_fix = finding["fix"].as_str().is_some_and(|fix| !fix.is_empty());
            let needs_fix = finding["outcome"] == "failed" || finding["outcome"] == "warning";
            assert_eq!(has_fix, needs_fix, "{finding}");
        }
        let by_check = findings.into_iter().map(|finding| (finding["check"].as_str().unwrap().to_owned(), finding));
        Self(by_check.collect())
    }

    /// Returns the checks with this outcome, in alphabetical order.
    fn with(&self, outcome: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, finding)| finding["outcome"] == outcome);
        found.map(|(check, _)| check.as_str()).collect()
    }

    /// Asserts that exactly this check has this outcome among those that are not ok, besides skipped ones. Its detail
    /// and its fix have these texts.
    #[track_caller]
    fn assert_only(&self, outcome: &str, check: &str, detail: &str, fix: &str) {
        let others: Vec<_> = ["failed", "warning"].iter().flat_map(|outcome| self.with(outcome)).collect();
        assert_eq!(others, [check], "{:#?}", self.0);
        self.assert(outcome, check, detail, fix);
    }

    #[track_caller]
    fn assert(&self, outcome: &str, check: &str, detail: &str, fix: &str) {
        let finding = &self.0[check];
        assert_eq!(finding["outcome"], outcome, "{finding}");
        assert!(finding["detail"].as_str().unwrap().contains(detail), "{detail}: {finding}");
        assert!(finding["fix"].as_str().unwrap_or_default().contains(fix), "{fix}: {finding}");
    }

    #[track_caller]
    fn assert_skipped(&self, check: &str, reason: &str) {
        self.assert("skipped", check, reason, "");
    }
}

/// Asserts that no record of a temporary user is left in any table.
#[track_caller]
fn assert_nothing_left(tables: &Tables) {
    for table in ["UsersTable", "SessionsTable"] {
        assert_eq!(tables.items(table), Vec::<Value>::new(), "{table}");
    }
    let counters = tables.items("AttemptsTable").into_iter().map(|item| item["counter_key"]["S"].clone());
    let of_accounts: Vec<_> = counters.filter(|key| !key.as_str().unwrap().starts_with("source#")).collect();
    assert_eq!(of_accounts, Vec::<Value>::new());
}

fn client(world: &World) -> Client {
    store::connect(&world.environment()).unwrap()
}

/// Runs `doctor` on a stack with these settings and this fault.
async fn with(settings: &[(&'static str, &'static str)], faults: Faults) -> Findings {
    let running = Running::new(settings, faults).await;
    let findings = Findings::of(&running.world, &[]);
    assert_nothing_left(&running.world.tables);
    findings
}

fn events(running: &Running) -> Vec<Value> {
    let file = format!("target/dev/events-{}.jsonl", running.address.port());
    let text = fs::read_to_string(running.world.folder().join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_stack_passes_every_check_and_keeps_nothing_of_the_temporary_user() {
    let running = Running::new(&[], Faults::default()).await;
    let findings = Findings::of(&running.world, &[]);
    assert_eq!(findings.with("failed"), Vec::<&str>::new(), "{:#?}", findings.0);
    assert_eq!(findings.with("warning"), Vec::<&str>::new());
    let mut skipped = DEPLOYED_ONLY;
    skipped.sort_unstable();
    assert_eq!(findings.with("skipped"), skipped);
    assert_nothing_left(&running.world.tables);
    let counters = running.world.tables.items("AttemptsTable");
    assert!(counters.iter().all(|counter| counter["level"]["N"] == "0"), "the address has no failures: {counters:?}");
    let events = events(&running);
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["user_added", "user_erased"]);
    assert!(events[0]["user"].is_string() && events[0]["user"] == events[1]["user"], "{events:?}");
    assert!(events.iter().all(|event| event["operator"] == "local:ops" && event["command"] == "doctor"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_has_a_line_for_each_check() {
    let running = Running::new(&[("COOKIE_DOMAIN", "example.com")], Faults::default()).await;
    let run = |format: &str| running.world.run(&["doctor", "--no-login", "--output", format]);
    let Answer { code, stdout, stderr } = run("table");
    assert_eq!(code, 1);
    assert!(stdout.contains("✓ sessions-ttl") && stdout.contains("- login"), "{stdout}");
    assert!(stdout.contains("✗ cookie-domain") && stdout.contains('\n') && stdout.contains("fix: "), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours without a terminal: {stdout}");
    assert!(stderr.contains("1 failed"), "{stderr}");
    let json: Vec<HashMap<String, String>> = serde_json::from_str(&run("json").stdout).unwrap();
    assert_eq!(json.len(), CHECKS.len() + 1);
    let csv = run("csv").stdout;
    assert!(csv.starts_with("check,outcome,detail,fix\r\nstack,ok,"), "{csv}");
    assert_eq!(csv.lines().count(), CHECKS.len() + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_login_nothing_is_written() {
    let running = Running::new(&[], Faults::default()).await;
    let findings = Findings::of(&running.world, &["--no-login"]);
    findings.assert_skipped("login", "--no-login");
    assert_eq!(findings.with("failed"), Vec::<&str>::new());
    assert_eq!(events(&running), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_named_and_the_other_checks_run() {
    for (table, check, dependent) in [
        ("UsersTable", "users-table", &[][..]),
        ("SessionsTable", "sessions-table", &["sessions-index", "sessions-ttl"]),
        ("AttemptsTable", "attempts-table", &["attempts-ttl"]),
    ] {
        let running = Running::new(&[], Faults::default()).await;
        client(&running.world).delete_table().table_name(table).send().await.unwrap();
        let findings = Findings::of(&running.world, &[]);
        findings.assert_only("failed", check, &format!("{table} does not exist"), "cargo dev");
        for dependent in dependent {
            findings.assert_skipped(dependent, "not found");
        }
        findings.assert_skipped("login", "table");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_time_to_live_is_named_with_the_command_that_enables_it() {
    for (table, check) in [("SessionsTable", "sessions-ttl"), ("AttemptsTable", "attempts-ttl")] {
        let running = Running::new(&[], Faults::default()).await;
        let off = TimeToLiveSpecification::builder().enabled(false).attribute_name("ttl").build().unwrap();
        let client = client(&running.world);
        client.update_time_to_live().table_name(table).time_to_live_specification(off).send().await.unwrap();
        let fix = format!(" dynamodb update-time-to-live --table-name {table}");
        Findings::of(&running.world, &[]).assert_only("failed", check, "expired items stay", &fix);
        assert_nothing_left(&running.world.tables);
    }
}

/// Replaces a table by one with this key and without an index.
async fn replace(world: &World, table: &str, keys: &[&str]) {
    let client = client(world);
    client.delete_table().table_name(table).send().await.unwrap();
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let attribute = AttributeDefinition::builder().attribute_name(*key).attribute_type(ScalarAttributeType::S);
        create = create.attribute_definitions(attribute.build().unwrap());
        create = create.key_schema(KeySchemaElement::builder().attribute_name(*key).key_type(kind).build().unwrap());
    }
    create.send().await.unwrap();
    let on = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().unwrap();
    client.update_time_to_live().table_name(table).time_to_live_specification(on).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_table_without_its_index_is_named() {
    let running = Running::new(&[], Faults::default()).await;
    replace(&running.world, "SessionsTable", &["user_id", "session_id"]).await;
    let findings = Findings::of(&running.world, &[]);
    findings.assert_only("failed", "sessions-index", "no index ActiveSessions", "cargo dev");
    findings.assert_skipped("login", "table");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_another_key_is_named() {
    for (table, check) in [("UsersTable", "users-table"), ("AttemptsTable", "attempts-table")] {
        let running = Running::new(&[], Faults::default()).await;
        replace(&running.world, table, &["id"]).await;
        Findings::of(&running.world, &[]).assert_only("failed", check, "has the key (id), not (", "cargo dev");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_setting_is_named_without_its_value() {
    for (name, value) in [
        ("ACCESS_SECRET", "a-short-secret"),
        ("REFRESH_SECRET", "access-secret-for-tests-0123456789"),
        ("THROTTLE_SECRET", ""),
        ("ACCESS_TTL", "29999999"),
    ] {
        // The functions of such a stack do not start. Here, they run with valid settings.
        let running = Running::new(&[], Faults::default()).await;
        let world = running.with_settings(&[(name, value)]);
        let findings = Findings::of(&world, &[]);
        findings.assert_only("failed", "settings", name, name);
        findings.assert_skipped("login", "settings");
        assert!(value.is_empty() || !format!("{:?}", findings.0).contains(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_with_different_settings_fail_the_login_and_the_user_is_removed() {
    for (function, name, detail) in [
        ("userinfo", "ACCESS_SECRET", "userinfo does not accept the access token"),
        ("login", "ACCESS_SECRET", "userinfo does not accept the access token"),
        ("userinfo", "REFRESH_SECRET", "userinfo does not accept the refresh token"),
        ("userinfo", "ISSUER", "userinfo does not accept the access token"),
        ("userinfo", "SESSIONS_TABLE", "GET /userinfo with a temporary user got 500"),
        ("login", "USERS_TABLE", "POST /login with a temporary user got 500"),
        ("login", "PASSWORD_PEPPER", "other peppers"),
        ("login", "COOKIE_DOMAIN", "set no cookie access_jwt"),
        ("logout", "ACCESS_SECRET", "logout did not end the session"),
    ] {
        let value = if name == "COOKIE_DOMAIN" { "" } else { "another-value-for-tests-0123456789" };
        let settings = &[("PASSWORD_PEPPER", "the-pepper-for-tests-0123456789abcd")];
        let findings = with(settings, Faults { variable: Some((function, name, value)), ..Faults::default() }).await;
        findings.assert_only("failed", "login", detail, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_function_fails_the_login_and_the_user_is_removed() {
    for (function, step) in [("login", "POST /login"), ("logout", "POST /logout")] {
        let findings = with(&[], Faults { broken: Some(function), ..Faults::default() }).await;
        findings.assert_only("failed", "login", &format!("{step} with a temporary user got 500"), "log");
    }
    let findings = with(&[], Faults { broken: Some("userinfo"), ..Faults::default() }).await;
    findings.assert("failed", "service", "got 500, not 401 Not Authorized", "log");
    findings.assert("failed", "login", "GET /userinfo with a temporary user got 500", "log");
    assert_eq!(findings.with("failed"), ["login", "service"], "the other checks run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_domain_of_another_host_is_named() {
    let findings = with(&[("COOKIE_DOMAIN", "example.com")], Faults::default()).await;
    findings.assert_only("failed", "cookie-domain", "localhost is not below it", "--url");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_checked_at_its_own_domain_before_the_dns_points_at_it() {
    let settings = &[("COOKIE_DOMAIN", "example.com"), ("ALLOWED_ORIGINS", "")];
    let world = World::with(settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    tokio::spawn(gateway(&world.tables, settings, Faults::default()).await.serve(listener, None));
    let findings = Findings::of(&world, &["--url", "http://api.example.com", "--connect-to", &server]);
    assert_eq!(findings.with("failed"), Vec::<&str>::new(), "{:#?}", findings.0);
    findings.assert("ok", "cookie-domain", "api.example.com may set cookies for example.com", "");
    findings.assert("ok", "login", "", "");
    assert_nothing_left(&world.tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_origin_that_cannot_sign_in_is_named() {
    let running = Running::new(&[], Faults::default()).await;
    let world = running.with_settings(&[("ALLOWED_ORIGINS", "https://localhost:3000,http://app.example.com")]);
    let findings = Findings::of(&world, &[]);
    findings.assert("failed", "allowed-origins", "http://app.example.com and https://localhost", "https");
    findings.assert("failed", "settings", "ALLOWED_ORIGINS must list origins", "");
    let findings = with(&[("ALLOWED_ORIGINS", "https://app.example.com")], Faults::default()).await;
    findings.assert_only("warning", "allowed-origins", "different sites", "site of the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_another_list_of_origins_is_named() {
    for (allowed, detail) in [
        (&["https://localhost:3001"][..], "https://localhost:3000: the API does not allow this origin"),
        (&[], "https://localhost:3000: the API does not allow this origin"),
        (&["https://localhost:3000", "https://doctor.invalid"], "and so any page"),
    ] {
        let findings = with(&[], Faults { allowed: Some(allowed), ..Faults::default() }).await;
        findings.assert_only("failed", "cors", detail, "cargo dev");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_by_a_minute_is_a_warning() {
    let findings = with(&[], Faults { ahead: Some(Duration::from_mins(1)), ..Faults::default() }).await;
    findings.assert_only("warning", "clock", "s behind the service. CloudWatch rejects", "timedatectl");
    findings.assert("ok", "login", "", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_is_one_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::at(&format!("http://localhost:{port}"), Tables::new().await, &[]);
    // A server that closes each connection, and after it no server at all.
    let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for _ in 0..2 {
        let findings = Findings::of(&world, &[]);
        findings.assert("failed", "service", "does not answer", "cargo dev");
        for check in ["cors", "clock", "login"] {
            findings.assert_skipped(check, "does not answer");
        }
        assert_nothing_left(&world.tables);
        closing.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_named_and_an_invalid_option_is_refused() {
    let running = Running::new(&[], Faults::default()).await;
    let other = dev::certificate::Certificate::in_folder(&running.world.folder().join("other")).unwrap();
    let findings = Findings::of(&running.world, &["--cacert", other.certificate.to_str().unwrap()]);
    findings.assert_only("failed", "service", "certificate", "cargo dev");
    running.world.write("empty.pem", "no certificate");
    for (option, value, text) in [
        ("--cacert", "empty.pem", "empty.pem has no certificates"),
        ("--url", "ftp://localhost", "not an http address"),
        ("--url", "https://localhost/auth", "has a path"),
    ] {
        let answer = running.world.run(&["doctor", option, value]);
        assert!(answer.code == 5 && answer.stderr.contains(text), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_cannot_be_removed_is_named_with_the_command_that_erases_it() {
    let running = Running::new(&[], Faults::default()).await;
    let refuse = Fault::Refuse(400, "AccessDeniedException");
    let faults = [Fault::Pass, refuse];
    let settings = running.world.tables.failing(&[("TransactWriteItems", &faults)]).await;
    let endpoint = settings("AWS_ENDPOINT_URL_DYNAMODB").unwrap();
    let findings = Findings::of(&running.with_settings(&[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)]), &[]);
    findings.assert_only("failed", "login", "is still there", "latchkey users erase doctor-");
    let fix = findings.0["login"]["fix"].as_str().unwrap().to_owned();
    let erased = running.world.run(&fix.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(erased.code, 0, "{erased:?}");
    assert_nothing_left(&running.world.tables);
}

/// The checks of a service whose stack is not named.
const FROM_OUTSIDE: [&str; 5] = ["stack", "service", "cors", "clock", "login"];

/// Runs `doctor` without a stack and without credentials. Returns the exit code and the outcome of each check.
fn from_outside(running: &Running, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let url = format!("https://localhost:{}", running.address.port());
    let certificate = running.world.folder().join("target/dev/localhost.pem");
    let mut command = latchkey();
    command.args(["doctor", "--output", "jsonl", "--url", &url, "--cacert"]).arg(certificate).args(arguments);
    let found = answer(&mut command);
    let findings = found.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let outcomes: Vec<_> = findings.map(|finding| (text(&finding["check"]), text(&finding["outcome"]))).collect();
    assert_eq!(outcomes.iter().map(|(check, _)| check.as_str()).collect::<Vec<_>>(), FROM_OUTSIDE, "{found:?}");
    (found.code, outcomes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_checked_from_outside_without_a_stack_and_without_credentials() {
    for (faults, arguments, code, expected) in [
        (Faults::default(), &[][..], 0, ["skipped", "ok", "ok", "ok", "ok"]),
        (Faults::default(), &["--no-login"], 0, ["skipped", "ok", "ok", "ok", "skipped"]),
        (Faults { broken: Some("login"), ..Faults::default() }, &[], 1, ["skipped", "ok", "ok", "ok", "failed"]),
        (Faults { broken: Some("userinfo"), ..Faults::default() }, &[], 1, ["skipped", "failed", "ok", "ok", "ok"]),
        (
            Faults { variable: Some(("login", "USERS_TABLE", "other")), ..Faults::default() },
            &[],
            1,
            ["skipped", "ok", "ok", "ok", "failed"],
        ),
        (
            Faults { allowed: Some(&["https://doctor.invalid"]), ..Faults::default() },
            &[],
            1,
            ["skipped", "ok", "failed", "ok", "ok"],
        ),
        (
            Faults { ahead: Some(Duration::from_mins(1)), ..Faults::default() },
            &[],
            0,
            ["skipped", "ok", "ok", "warning", "ok"],
        ),
    ] {
        let running = Running::new(&[], faults).await;
        let (found, outcomes) = from_outside(&running, arguments);
        let outcomes: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.as_str()).collect();
        assert_eq!((found, outcomes), (code, expected.to_vec()));
        assert_eq!(running.world.tables.items("UsersTable"), Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_a_service_that_does_not_answer_is_one_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let found = answer(latchkey().args(["doctor", "--output", "jsonl", "--url", &url]));
    assert_eq!(found.code, 1, "{found:?}");
    for (line, outcome) in found.stdout.lines().zip(["skipped", "failed", "skipped", "skipped", "skipped"]) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["outcome"], outcome, "{found:?}");
    }
}

/// The names of checks are permanent.
#[test]
fn the_page_of_doctor_has_a_row_for_each_check() {
    let page = read("docs/doctor.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(check, _)| check);
    assert_eq!(rows.collect::<Vec<_>>(), [&CHECKS[..], &["login"]].concat());
}

/// The signal arrives while a request waits for its answer: before and after the session is opened.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_check_removes_the_temporary_user() {
    for (function, sessions, signal) in
        [("login", 0, Signal::SIGINT), ("logout", 1, Signal::SIGINT), ("logout", 1, Signal::SIGTERM)]
    {
        let (report, reported) = oneshot::channel();
        let faults = Faults { held: Mutex::new(Some((function, report))), ..Faults::default() };
        let running = Running::new(&[], faults).await;
        let tables = &running.world.tables;
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.current_dir(running.world.folder()).args(["--local", "doctor"]).env_remove("LATCHKEY_STACK");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        reported.await.unwrap();
        assert!(running.world.keys().iter().any(|key| key.starts_with("login#doctor-")), "{:?}", running.world.keys());
        assert_eq!(tables.items("SessionsTable").len(), sessions);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert_nothing_left(tables);
    }
}
