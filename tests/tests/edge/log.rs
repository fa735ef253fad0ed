//! What the log says, and what it never says.

use serde_json::Value;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::tokens::Verifier;
use testbed::{Event, Fault, Log};

use crate::world::{NOW, REQUESTS, Service, World, after};

/// The lines of what is logged, each of which is an object.
fn lines(log: &Log) -> Vec<Value> {
    log.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The names of the events among the lines, but for that of every cold start. Each has counted itself.
fn events(log: &Log) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines(log) {
        let Some(name) = line["event"].as_str().filter(|name| *name != "key_loaded") else { continue };
        assert_eq!(
            (&line[name], &line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"]),
            (&1.into(), &name.into())
        );
        names.push([Some(name), line["reason"].as_str()].into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    names
}

/// R24, R66, R99, F11: login, refusal, throttle, renewal, replay, reuse, logout, the end of sessions, a change of password, a
/// foreign page, a store that fails: each is one event, and what is nothing of the kind is none.
#[tokio::test]
async fn each_thing_that_happens_is_one_event_that_counts_itself() {
    let (world, log) = (World::new().await, Log::start());
    let service = world.service();
    let renewing = || world.request("userinfo, renewing");
    let say = async |event: Event, now: Timestamp| {
        drop(log.take());
        service.send(&event, now).await;
        events(&log)
    };
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
    ] {
        assert_eq!(say(world.request(what), NOW).await, expected, "{what}");
        world.restore();
    }
    let again = world.request("login").cookies([format!("access_jwt={}", world.access)]);
    assert_eq!(say(again, NOW).await, ["sessions_ended login", "login_succeeded"]);
    world.restore();

    let crowded = World::new().await;
    let capped = Config::from_lookup(crowded.tables.settings(&[("SESSIONS_PER_USER", "1")])).unwrap();
    Service::new(capped).send(&crowded.request("login"), after(1)).await;
    assert_eq!(events(&log), ["sessions_ended cap", "sessions_ended cap", "login_succeeded"]);

    for (secs, expected) in [(0, "session_renewed"), (9, "renewal_replayed"), (11, "refresh_reuse grace_missed")] {
        assert_eq!(say(renewing(), after(secs)).await, [expected]);
    }
    assert_eq!(say(renewing(), after(12)).await, [""; 0], "the session has been ended once");
    world.restore();
    world.change("session", |session| session["gen"]["N"] = "3".into());
    assert_eq!(say(renewing(), NOW).await, ["refresh_reuse older_generation"]);
    world.restore();
    assert_eq!(say(world.request("logout"), NOW).await, ["logged_out"]);
    assert_eq!(say(world.request("logout"), after(1)).await, [""; 0], "nobody was there any more");
    world.restore();

    for _ in 0..5 {
        assert_eq!(say(Event::recorded("login-wrong"), NOW).await, ["login_failed wrong_password"]);
    }
    assert_eq!(say(world.request("login"), NOW).await, ["throttled account"]);
    let nobody = Event::recorded("login").body(r#"{"loginInfo":{"userId":"nobody","password":"1234"}}"#);
    assert_eq!(say(nobody, NOW).await, ["login_failed unknown_user"]);
    world.restore();
    let foreign =
        world.request("logout").header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    assert_eq!(say(foreign, NOW).await, ["foreign_origin"]);

    for (fault, expected) in [
        (Fault::Refuse(400, "ThrottlingException"), "store_failed"),
        (Fault::Refuse(400, "AccessDeniedException"), "misconfigured"),
    ] {
        let config = Config::from_lookup(world.tables.failing(&[("BatchGetItem", &[fault; 9])]).await).unwrap();
        let failing = Service::new(config);
        failing.send(&world.request("userinfo"), NOW).await;
        assert_eq!(events(&log), [expected]);
        failing.ask(&world.question(), NOW).await;
        assert_eq!(events(&log), [expected], "the authorizer says so, too");
    }
    world.change("session", |session| session["gen"] = serde_json::json!({ "S": "three" }));
    assert_eq!(say(world.request("userinfo"), NOW).await, ["session_unreadable"]);
    world.change("user#0", |user| user["disabled"] = serde_json::json!({ "S": "perhaps" }));
    assert_eq!(say(world.request("userinfo"), NOW).await, ["record_unreadable"]);
}

/// R99.
#[tokio::test]
async fn each_key_that_is_accepted_is_named_at_the_start_and_not_told() {
    let (world, log) = (World::new().await, Log::start());
    let previous = "a-previous-one-for-tests-0123456789";
    let config = Config::from_lookup(world.tables.settings(&[("PREVIOUS_ACCESS_SECRET", previous)])).unwrap();
    drop(Verifier::new(&config));
    let loaded = log.events("key_loaded");
    let said: Vec<_> =
        loaded.iter().map(|key| (key["typ"].as_str().unwrap(), key["is_current"].as_bool().unwrap())).collect();
    assert_eq!(said, [("at+jwt", true), ("at+jwt", false), ("rt+jwt", true)]);
    assert!(loaded.iter().all(|key| key["kid"].as_str().is_some_and(|kid| kid.len() == 11)));
}

/// What no line may hold, whatever is asked: what a caller made up or brought, what is stored about a person, and our secrets.
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

/// A request with a canary wherever one can be put.
fn planted(event: Event) -> Event {
    let event =
        event.header("user-agent", "canary-agent").header("x-canary", "canary-header").query("canary=canary-query");
    let event = event.header("referer", "https://canary.example/?canary");
    event.with("/rawPath", "/canary-path".into()).with("/requestContext/http/path", "/canary-path".into())
}

/// R52, R97, R98: at the most talkative setting, through every route, where all is well and where nothing is.
#[tokio::test]
async fn no_line_holds_a_secret_or_what_a_caller_made_up() {
    let (world, log) = (World::new().await, Log::start());
    let outage =
        [("BatchGetItem", &[Fault::Refuse(400, "ThrottlingException"); 9][..]), ("GetItem", &[Fault::LoseReply; 9])];
    let (failing, broken) =
        (world.tables.failing(&outage).await, world.tables.settings(&[("USERS_TABLE", "canary-table")]));
    let services = [
        world.service(),
        Service::new(Config::from_lookup(failing).unwrap()),
        Service::new(Config::from_lookup(broken).unwrap()),
    ];
    let mut asked = 0;
    for service in &services {
        for (name, _) in REQUESTS {
            let good = || planted(world.request(name));
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
                world.ending("canary"),
            ] {
                service.send(&event, NOW).await;
                asked += 1;
            }
            world.restore();
        }
        service.ask(&planted(world.question()), NOW).await;
        asked += 1;
    }
    let said = log.take();
    let answered = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answered = answered.filter(|line| line["milliseconds"].is_number()).count();
    assert_eq!(answered, asked, "one line for each request");
    for canary in CANARIES {
        let line = said.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {}", line.unwrap_or_default());
    }
}
