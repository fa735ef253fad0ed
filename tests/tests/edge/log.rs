//! What the log says, and what it never says.

use std::collections::BTreeSet;
use std::time::Duration;

use authorizer::Authorizer;
use login::Login;
use logout::Logout;
use password::PasswordChange;
use serde_json::{Value, json};
use sessions::OwnSessions;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::id::{SessionId, UserId};
use shared::keys::{Keys, Purpose};
use shared::store;
use shared::telemetry::events;
use shared::token::Verifier;
use testbed::{Event, Fault, Log};
use userinfo::Userinfo;

use crate::world::{NOW, Service, World, after, all_requests};

/// The events of a request that writes none.
const NO_EVENTS: [&str; 0] = [];

/// Returns the new lines of the log. Each line is a JSON object.
fn lines(log: &Log) -> Vec<Value> {
    log.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks that an event counts itself: as one metric of its name, over all and by reason.
fn assert_metric(line: &Value, name: &str) {
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!((&line[name], &directive["Metrics"][0]["Name"]), (&1.into(), &name.into()), "{line}");
    let dimensions = if line["reason"].is_string() { json!([[], ["reason"]]) } else { json!([[]]) };
    assert_eq!(directive["Dimensions"], dimensions, "{line}");
}

/// Returns the name and the reason of each new event, except those of a cold start.
fn new_events(log: &Log) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines(log) {
        let Some(name) = line["event"].as_str().filter(|name| *name != "key_loaded") else { continue };
        assert_metric(&line, name);
        names.push([Some(name), line["reason"].as_str()].into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    names
}

/// Sends an event of the gateway, and returns the events that the function wrote.
async fn events_of(log: &Log, service: &Service, event: &Event, now: Timestamp) -> Vec<String> {
    drop(log.take());
    service.send(event, now).await;
    new_events(log)
}

fn set_password_hash(world: &World, hash: &str) {
    world.change("login#kimcoding", |item| item["password_hash"] = json!({ "S": hash }));
}

/// Returns the metrics of our namespace that the alarms and the dashboard of the template read: the name and the
/// dimension.
fn metrics_of_the_template() -> BTreeSet<(String, String)> {
    let template: Value = serde_saphyr::from_str(&testbed::workspace::read("template.yaml")).unwrap();
    let ours = "Latchkey/${AWS::StackName}";
    let metric = |metric: &Value| {
        let dimension = metric["Dimensions"][0]["Name"].as_str().unwrap_or_default();
        (metric["MetricName"].as_str().unwrap().to_owned(), dimension.to_owned())
    };
    let resources = template["Resources"].as_object().unwrap();
    let alarms = resources.values().filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm");
    let of_alarms = alarms.flat_map(|alarm| {
        let terms = alarm["Properties"]["Metrics"].as_array().into_iter().flatten();
        let terms = terms.filter_map(|term| term.pointer("/MetricStat/Metric")).chain([&alarm["Properties"]]);
        terms.filter(|term| term["Namespace"] == ours).map(metric).collect::<Vec<_>>()
    });
    // `!Sub [text, names]`
    let body = resources["Dashboard"]["Properties"]["DashboardBody"][0].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let charts = body["widgets"].as_array().unwrap().iter();
    let lines = charts.flat_map(|chart| chart["properties"]["metrics"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_dashboard = lines.filter(|line| line[0] == ours).map(|line| (text(&line[1]), text(&line[2])));
    let metrics: BTreeSet<_> = of_alarms.chain(of_dashboard).collect();
    assert!(metrics.len() > 15, "{metrics:?}");
    metrics
}

#[test]
fn each_alarm_has_its_row_in_the_guide_for_operators() {
    let template: Value = serde_saphyr::from_str(&testbed::workspace::read("template.yaml")).unwrap();
    let resources = template["Resources"].as_object().unwrap().iter();
    let alarms = resources.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    let page = testbed::workspace::read("docs/operate.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("Alarm` |").map(|(name, _)| name));
    let rows: BTreeSet<_> = rows.map(|name| format!("{name}Alarm")).collect();
    let functions = template["Resources"].as_object().unwrap().iter();
    let functions = functions.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
    let functions: BTreeSet<_> = functions.map(|(name, _)| name.as_str()).collect();
    let mut described = BTreeSet::new();
    for (name, alarm) in alarms {
        let properties = &alarm["Properties"];
        if name.starts_with("Function") {
            let terms = properties["Metrics"].as_array().unwrap().iter();
            let watched = terms.filter_map(|term| term.pointer("/MetricStat/Metric/Dimensions/0/Value")?.as_str());
            assert_eq!(watched.collect::<BTreeSet<_>>(), functions, "{name}");
        }
        let description = properties["AlarmDescription"].as_str().unwrap();
        assert!(description.contains(&format!("See {name} in docs/operate.md.")), "{name}: {description}");
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(properties[actions], json!(["AlarmTopic"]), "{name}");
        }
        described.insert(name.clone());
    }
    assert_eq!(rows, described);
}

/// Every event function writes one line with the documented name and level, and the line counts itself.
#[test]
fn every_event_function_writes_its_name_and_its_metric() {
    let (user, session) = (&UserId::parse("0").unwrap(), &SessionId::random().unwrap());
    let (error, second) = (&Error::unexpected("a cause"), Duration::from_secs(1));
    let keys = &Keys::parse(Purpose::Access, "access-secret-for-tests-0123456789").unwrap();
    let functions: [(&str, &str, &dyn Fn()); 35] = [
        ("login_succeeded", "INFO", &|| events::login_succeeded(user, session, true)),
        ("login_failed", "INFO", &|| events::login_failed("wrong_password", Some(user))),
        ("throttled", "INFO", &|| events::throttled("account", second)),
        ("source_throttled", "WARN", &|| events::source_throttled(second)),
        ("password_disabled", "ERROR", &|| events::password_disabled("account#x", 100, Some(user))),
        ("success_counts_as_failed", "ERROR", &|| events::success_counts_as_failed("account#x", 1, "a cause")),
        ("password_hash_unusable", "ERROR", &|| events::password_hash_unusable(user, "a problem")),
        ("slow_password_hash", "WARN", &|| events::slow_password_hash(second)),
        ("password_rehashed", "INFO", &|| events::password_rehashed(user)),
        ("password_rehash_failed", "WARN", &|| events::password_rehash_failed(user, error)),
        ("password_changed", "INFO", &|| events::password_changed(user)),
        ("session_renewed", "INFO", &|| events::session_renewed(user, session)),
        ("refresh_repeated", "INFO", &|| events::refresh_repeated(user, session)),
        ("refresh_repeated_elsewhere", "WARN", &|| events::refresh_repeated_elsewhere("both", user, session)),
        ("refresh_reuse", "WARN", &|| events::refresh_reuse("older_generation", user, session)),
        ("logged_out", "INFO", &|| events::logged_out(user, session)),
        ("sessions_ended", "INFO", &|| events::session_ended("one", user, session)),
        ("sessions_ended", "INFO", &|| events::sessions_ended("others", user)),
        ("sessions_not_ended", "WARN", &|| events::sessions_not_ended("limit", user, error)),
        ("roles_left_out", "WARN", &|| events::roles_left_out(user, 1025)),
        ("key_loaded", "INFO", &|| events::keys_loaded(keys)),
        ("keys_not_read", "ERROR", &|| events::keys_not_read("access", error)),
        ("keys_rotated", "INFO", &|| events::keys_rotated("access", "kid", 3)),
        ("keys_not_rotated", "ERROR", &|| events::keys_not_rotated("access", error)),
        ("keys_rejected", "ERROR", &|| events::keys_rejected("access", "ACCESS_SECRET has two keys with the kid a")),
        ("foreign_origin", "INFO", &|| events::foreign_origin("login", "id")),
        ("store_failed", "ERROR", &|| events::store_failed("login", error, "id")),
        ("concurrent_update", "INFO", &|| events::concurrent_update("login", error, "id")),
        ("record_unreadable", "ERROR", &|| events::record_unreadable("login", error, "id")),
        ("session_unreadable", "ERROR", &|| events::session_unreadable(error)),
        ("counter_unreadable", "ERROR", &|| events::counter_unreadable("account", error)),
        ("misconfigured", "ERROR", &|| events::misconfigured("login", error, "id")),
        ("internal_error", "ERROR", &|| events::internal_error("login", error, "id")),
        ("panicked", "WARN", &|| events::panicked(Some("src/lib.rs:1:1"))),
        ("panicked", "WARN", &|| events::panicked(None)),
    ];
    let (log, mut counted) = (Log::start(), BTreeSet::new());
    for (name, level, write) in functions {
        write();
        let lines = lines(&log);
        let [line] = &lines[..] else { panic!("{name}: {lines:?}") };
        assert_eq!((&line["event"], &line["level"]), (&name.into(), &level.into()), "{line}");
        assert_metric(line, name);
        counted.insert((name.to_owned(), String::new()));
        counted.extend(line["reason"].as_str().map(|_| (name.to_owned(), "reason".to_owned())));
        assert!(!line.to_string().contains(session.as_str()), "{name} has the id of the session");
    }
    let source = include_str!("../../../shared/src/telemetry/events.rs");
    let written: BTreeSet<_> = source.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(functions.map(|(name, ..)| name).into_iter().collect::<BTreeSet<_>>(), written);
    let unknown: Vec<_> = metrics_of_the_template().into_iter().filter(|metric| !counted.contains(metric)).collect();
    assert_eq!(unknown, [], "the alarms and the dashboard read only metrics that the functions write");
    let called = functions.len() - 1; // `panicked` is called twice.
    assert_eq!(source.matches("\npub fn ").count(), called, "this test calls every function");
}

/// R24, R66, R99, F11: a login, a refusal, throttling, a renewal, its repetition, reuse, a logout, the end of sessions,
/// a change of password, a foreign origin and a failing store are one event each. A request without such a result
/// writes no event.
#[tokio::test]
async fn each_request_writes_the_expected_events() {
    let (world, log) = (World::new().await, Log::start());
    let service = world.service();
    let renewing = || world.request("userinfo, renewing");
    let send = async |event: Event, now: Timestamp| events_of(&log, &service, &event, now).await;
    for (what, expected) in [
        ("login", &["login_succeeded"][..]),
        ("logout", &["logged_out"]),
        ("logout, everywhere", &["logged_out", "sessions_ended everywhere"]),
        ("password", &["password_changed"]),
        ("sessions", &[]),
        ("sessions, end one", &["sessions_ended one"]),
        ("sessions, end others", &["sessions_ended others"]),
        ("userinfo", &[]),
        ("userinfo, renewing", &["session_renewed"]),
        ("start", &[]),
        ("sign-in page", &[]),
        ("sign-in page, signed in", &[]),
        ("sign-in form", &["login_succeeded"]),
        ("account page", &[]),
        ("account page, renewing", &["session_renewed"]),
        ("password page", &[]),
        ("password form", &["password_changed"]),
        ("end one form", &["sessions_ended one"]),
        ("end others form", &["sessions_ended others"]),
        ("sign-out form", &["logged_out"]),
        ("sign-out everywhere form", &["logged_out", "sessions_ended everywhere"]),
        ("well-known", &[]),
    ] {
        assert_eq!(send(world.request(what), NOW).await, expected, "{what}");
        world.restore();
    }
    let again = world.request("login").cookies([format!("access_jwt={}", world.access)]);
    assert_eq!(send(again, NOW).await, ["sessions_ended login", "login_succeeded"]);
    world.restore();

    let crowded = World::new().await;
    let limited = Service::new(crowded.tables.environment(&[("SESSIONS_PER_USER", "1")]));
    let expected = ["sessions_ended limit", "sessions_ended limit", "login_succeeded"];
    assert_eq!(events_of(&log, &limited, &crowded.request("login"), after(1)).await, expected);

    for (secs, expected) in [(0, "session_renewed"), (9, "refresh_repeated"), (11, "refresh_reuse grace_missed")] {
        assert_eq!(send(renewing(), after(secs)).await, [expected]);
    }
    assert_eq!(send(renewing(), after(12)).await, NO_EVENTS, "the session ended before");
    world.restore();
    world.change("session", |session| session["gen"]["N"] = "3".into());
    assert_eq!(send(renewing(), NOW).await, ["refresh_reuse older_generation"]);
    world.restore();
    assert_eq!(send(world.request("logout"), NOW).await, ["logged_out"]);
    assert_eq!(send(world.request("logout"), after(1)).await, NO_EVENTS, "the session ended before");
    world.restore();

    for _ in 0..5 {
        assert_eq!(send(Event::recorded("login-wrong"), NOW).await, ["login_failed wrong_password"]);
    }
    assert_eq!(send(world.request("login"), NOW).await, ["throttled account"]);
    let unknown = Event::recorded("login").body(r#"{"loginInfo":{"userId":"nobody","password":"1234"}}"#);
    assert_eq!(send(unknown, NOW).await, ["login_failed unknown_user"]);
    world.restore();
    let foreign =
        world.request("logout").header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    assert_eq!(send(foreign, NOW).await, ["foreign_origin"]);

    for (fault, expected) in [
        (Fault::Refuse(400, "ThrottlingException"), "store_failed"),
        (Fault::Refuse(400, "AccessDeniedException"), "misconfigured"),
    ] {
        let env = Environment::new(world.tables.failing(&[("BatchGetItem", &[fault; 9])]).await);
        let failing = Service::new(env);
        assert_eq!(events_of(&log, &failing, &world.request("userinfo"), NOW).await, [expected]);
        failing.authorize(&world.authorizer_event(), NOW).await;
        assert_eq!(new_events(&log), [expected], "the authorizer writes it, too");
    }
    world.change("session", |session| session["gen"] = json!({ "S": "three" }));
    assert_eq!(send(world.request("userinfo"), NOW).await, ["session_unreadable"]);
    world.change("user#0", |user| user["disabled"] = json!({ "S": "perhaps" }));
    assert_eq!(send(world.request("userinfo"), NOW).await, ["record_unreadable"]);
}

#[tokio::test]
async fn a_fault_of_the_service_writes_the_expected_event() {
    let (world, log) = (World::new().await, Log::start());

    let (env, tables) = (world.tables.environment(&[]), world.tables.clone());
    let client = testbed::before(&store::connect(&env).unwrap(), "TransactWriteItems", move || {
        let mut user = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#0").unwrap();
        user["session_epoch"] = json!({ "N": "9" });
        tables.put("UsersTable", &user);
    });
    let concurrent = Service::over(env, &client);
    assert_eq!(events_of(&log, &concurrent, &world.request("password"), NOW).await, ["concurrent_update"]);
    world.restore();

    world.change("user#0", |user| user["roles"] = json!({ "L": [{ "S": "r".repeat(3000) }] }));
    let renewal = world.request("userinfo, renewing");
    assert_eq!(events_of(&log, &world.service(), &renewal, NOW).await, ["roles_left_out", "session_renewed"]);
    world.restore();

    for operation in ["DeleteItem", "UpdateItem"] {
        let refused = [Fault::Refuse(400, "AccessDeniedException")];
        let failing = Service::new(Environment::new(world.tables.failing(&[(operation, &refused)]).await));
        let expected = ["success_counts_as_failed", "login_succeeded"];
        assert_eq!(events_of(&log, &failing, &world.request("login"), NOW).await, expected, "{operation}");
        world.restore();
    }
}

#[tokio::test]
async fn a_stored_password_hash_and_its_failures_write_the_expected_events() {
    /// bcrypt's own test vector at cost 5, of `password`.
    const BCRYPT: &str = "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
    let (world, log) = (World::new().await, Log::start());
    let login = |password: &str| {
        let form = json!({ "loginInfo": { "userId": "kimcoding", "password": password } });
        Event::recorded("login").body(form.to_string())
    };
    let send = async |service: &Service, password: &str| events_of(&log, service, &login(password), NOW).await;

    set_password_hash(&world, BCRYPT);
    // The first update refunds the attempt of the source. The second one writes the new hash.
    let faults = [Fault::Pass, Fault::Refuse(400, "AccessDeniedException")];
    let failing = Service::new(Environment::new(world.tables.failing(&[("UpdateItem", &faults)]).await));
    let service = world.service();
    let expected = |rehash: &'static str| ["slow_password_hash", rehash, "login_succeeded"];
    assert_eq!(send(&failing, "password").await, expected("password_rehash_failed"));
    assert_eq!(send(&service, "password").await, expected("password_rehashed"));
    assert_eq!(send(&service, "password").await, ["login_succeeded"]);
    set_password_hash(&world, "no hash");
    assert_eq!(send(&service, "password").await, ["password_hash_unusable", "login_failed unusable_hash"]);
    world.change("login#kimcoding", |item| drop(item.as_object_mut().unwrap().remove("password_hash")));
    assert_eq!(send(&service, "password").await, ["login_failed no_password"]);
    world.restore();

    assert_eq!(send(&service, "4321").await, ["login_failed wrong_password"]);
    for mut counter in world.tables.items("AttemptsTable") {
        counter["v"] = json!({ "N": "2" });
        world.tables.put("AttemptsTable", &counter);
    }
    let expected =
        BTreeSet::from(["counter_unreadable account", "counter_unreadable source", "login_failed wrong_password"]);
    let written = send(&service, "4321").await;
    assert_eq!(written.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_eq!(written.len(), 3, "{written:?}");
    let counters = world.tables.items("AttemptsTable");
    let is_account = |item: &&Value| item["counter_key"]["S"].as_str().unwrap().starts_with("account#");
    let mut counter = counters.iter().find(is_account).unwrap().clone();
    (counter["failures"], counter["at"]) = (json!({ "N": "99" }), json!({ "N": "1700000000" }));
    // A count that high has no time to live.
    counter.as_object_mut().unwrap().remove("ttl");
    world.tables.put("AttemptsTable", &counter);
    assert_eq!(send(&service, "4321").await, ["login_failed wrong_password", "password_disabled"]);
    let right = events_of(&log, &service, &world.request("login"), after(900)).await;
    assert_eq!(right, ["login_failed disabled_password", "password_disabled"]);
}

/// R99.
#[tokio::test]
async fn each_accepted_key_is_logged_at_the_start_without_its_secret() {
    let (world, log) = (World::new().await, Log::start());
    let previous = "a-previous-one-for-tests-0123456789";
    let keys = testbed::key_set("ACCESS_SECRET", &["access-secret-for-tests-0123456789"], &[previous]);
    let env = world.tables.environment(&[("ACCESS_SECRET", &keys)]);
    let loaded = || {
        let lines: Vec<_> = lines(&log).into_iter().filter(|line| line["event"] == "key_loaded").collect();
        for line in &lines {
            assert!(line["kid"].as_str().is_some_and(|kid| kid.len() == 11), "{line}");
            assert!(!line.to_string().contains("-for-tests-"), "{line}");
        }
        let key = |line: &Value| (line["purpose"].as_str().unwrap().to_owned(), line["sign_from"].is_number());
        lines.iter().map(key).collect::<Vec<_>>()
    };
    let access = [("access".to_owned(), true), ("access".to_owned(), false)];
    let refresh = [("refresh".to_owned(), true)];
    drop(Verifier::for_access_tokens(&env));
    assert_eq!(loaded(), access);
    drop(Verifier::for_refresh_tokens(&env));
    assert_eq!(loaded(), refresh);

    let client = || store::connect(&env).unwrap();
    let both = [&access[..], &refresh].concat();
    drop(Authorizer::from_env(client(), &env));
    assert_eq!(loaded(), both);
    drop(OwnSessions::from_env(client(), &env));
    assert_eq!(loaded(), both);
    drop(PasswordChange::from_env(client(), &env));
    assert_eq!(loaded(), both);
    drop(Login::from_env(client(), &env));
    assert_eq!(loaded(), both);
    drop(Logout::from_env(client(), &env));
    assert_eq!(loaded(), both);
    drop(Userinfo::from_env(client(), &env));
    assert_eq!(loaded(), both);
}

/// Texts that no line may contain: caller input, stored user data, and secrets.
const CANARIES: [&str; 14] = [
    "canary",
    "1234\"",
    "kimcoding",
    "authstates.com",
    "김코딩",
    "Seoul",
    "access-secret",
    "refresh-secret",
    "throttle-secret",
    "argon2id",
    "eyJ",
    "127.0.0.1",
    "203.0.113",
    "Mozilla",
];

/// Adds a canary to every part of a request that can have one.
fn with_canaries(event: Event) -> Event {
    let event =
        event.header("user-agent", "canary-agent").header("x-canary", "canary-header").query("canary=canary-query");
    let event = event.header("referer", "https://canary.example/?canary");
    event.with("/rawPath", "/canary-path".into()).with("/requestContext/http/path", "/canary-path".into())
}

/// R52, R97, R98: at the most verbose level, through every route, over working and broken tables.
#[tokio::test]
async fn no_line_contains_a_secret_or_caller_input() {
    let (world, log) = (World::new().await, Log::start());
    let outage =
        [("BatchGetItem", &[Fault::Refuse(400, "ThrottlingException"); 9][..]), ("GetItem", &[Fault::LoseReply; 9])];
    let (failing, broken) =
        (world.tables.failing(&outage).await, world.tables.settings(&[("USERS_TABLE", "canary-table")]));
    let services = [world.service(), Service::new(Environment::new(failing)), Service::new(Environment::new(broken))];
    let mut sent = 0;
    for service in &services {
        for (name, _) in all_requests() {
            let good = || with_canaries(world.request(name));
            let hostile = "canary\nINFO all is well\r\u{1b}[31m\"}\u{2028}";
            let escaped = serde_json::to_string(hostile).unwrap();
            for event in [
                good(),
                good().cookies(["access_jwt=canary.canary.canary".to_owned(), format!("refresh_jwt={}", world.access)]),
                good().header("authorization", "Bearer canary"),
                good().header("authorization", &format!("Bearer {}", world.access)).without_cookies(),
                good().header("origin", "https://canary.example").header("sec-fetch-site", "cross-site"),
                good().header("host", "canary:99999"),
                good().header("content-type", "canary/canary"),
                good().method("CANARY"),
                good().body(r#"{"canary":"canary""#),
                good().body(format!(r#"{{"loginInfo":{{"userId":{escaped},"password":{escaped}}}}}"#)),
                good().body(format!(r#"{{"currentPassword":{escaped},"newPassword":{escaped}}}"#)),
                good().body(r#"{"currentPassword":"1234","newPassword":"canary"}"#),
                good().form_body("userId=canary&password=canary&checkedKeepLogin=true"),
                good().form_body("userId=kimcoding&password=canary"),
                good().form_body("currentPassword=1234&newPassword=canary"),
                good().form_body("currentPassword=canary&newPassword=paper+boats+in+the+canary"),
                good().form_body("id=canary"),
                good().form_body("canary=canary&userId=%ff"),
                good().query("return_to=https%3A%2F%2Fcanary.example&lang=canary&notice=canary&sessions=canary"),
                good().query("return_to=%2Fcanary&hop=canary"),
                good().header("accept-language", "canary"),
                world.end_session("canary"),
            ] {
                service.send(&event, NOW).await;
                sent += 1;
            }
            world.restore();
        }
        service.authorize(&with_canaries(world.authorizer_event()), NOW).await;
        sent += 1;
    }
    let text = log.take();
    let requests = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let requests = requests.filter(|line| line["milliseconds"].is_number()).count();
    assert_eq!(requests, sent, "one line for each request");
    for canary in CANARIES {
        let line = text.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {}", line.unwrap_or_default());
    }
}
