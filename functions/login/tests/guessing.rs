//! Guessing passwords: the limits, the cost of an attempt, and what the responses reveal.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use login::Login;
use serde_json::{Value, json};
use shared::auth::Authenticator;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::http::{self, Site};
use shared::store::{self, Account, Attempt, Attempts, Channel};
use testbed::{Calls, Event, Fault, Log, Reply, Tables};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// Tables with the user `kimcoding`, and a function that uses them.
struct World {
    tables: Tables,
    env: Environment,
    login: Login,
}

impl World {
    async fn new(changes: &[(&str, &str)]) -> Self {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(changes));
        testbed::add_kim(&env).await;
        Self::over(&tables, env)
    }

    /// Returns another function that uses the same tables.
    fn over(tables: &Tables, env: Environment) -> Self {
        let login = Login::from_env(store::connect(&env).unwrap(), &env).unwrap();
        Self { tables: tables.clone(), env, login }
    }

    /// Returns another function that uses the same tables. Its calls have these faults.
    async fn failing(&self, faults: &[(&'static str, &[Fault])]) -> Self {
        Self::over(&self.tables, Environment::new(self.tables.failing(faults).await))
    }

    /// Returns another function that uses the same tables. Its calls are recorded.
    fn observed(&self) -> (Self, Calls) {
        let env = Environment::new(self.tables.settings(&[]));
        let (client, calls) = Calls::of(&store::connect(&env).unwrap());
        let login = Login::from_env(client, &env).unwrap();
        (Self { tables: self.tables.clone(), env, login }, calls)
    }

    async fn send(&self, event: &Event, now: Timestamp) -> Reply {
        let origins = Site::from_env(&self.env).unwrap();
        event.send(&mut http::service(origins, |request| self.login.handle(request, now))).await
    }

    async fn guess(&self, name: &str, password: &str, now: Timestamp) -> Reply {
        self.send(&form(name, password), now).await
    }

    fn hashes(&self) -> u64 {
        self.login.authenticator.hasher.evaluations()
    }

    /// Returns the attempt counters whose key has this prefix.
    fn counters(&self, prefix: &str) -> Vec<Value> {
        let mut items = self.tables.items("AttemptsTable");
        items.retain(|item| item["counter_key"]["S"].as_str().unwrap().starts_with(prefix));
        items
    }

    /// Sets the only account counter to this many failures, the last one at `now`.
    fn set_failures(&self, failures: u32, now: Timestamp) {
        let mut item = self.counters("account#").remove(0);
        item["failures"] = json!({ "N": failures.to_string() });
        item["at"] = json!({ "N": now.as_secs().to_string() });
        self.tables.put("AttemptsTable", &item);
    }
}

fn form(name: &str, password: &str) -> Event {
    let body = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
    Event::recorded("login").body(body.to_string())
}

fn from(source_ip: &str, event: &Event) -> Event {
    event.clone().with("/requestContext/http/sourceIp", json!(source_ip))
}

/// Returns the status and `Retry-After`. Only a successful login sets cookies.
fn outcome(reply: &Reply) -> (u16, Option<&str>) {
    assert_eq!(reply.cookies.is_empty(), reply.status != 302);
    (reply.status, reply.header("retry-after"))
}

/// R17, R23: the response is the same to the last byte for a name that exists and for one that does not.
#[tokio::test]
async fn the_sixth_wrong_password_in_a_row_is_429_and_is_not_hashed() {
    let world = World::new(&[]).await;
    let mut replies = Vec::new();
    for name in ["kimcoding", "unknown", "two words", ""] {
        let before = world.hashes();
        for _ in 0..5 {
            assert_eq!(outcome(&world.guess(name, "4321", NOW).await), (401, None), "{name:?}");
        }
        let refused = world.guess(name, "4321", NOW).await;
        assert_eq!((outcome(&refused), world.hashes() - before), ((429, Some("1")), 5), "{name:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        replies.push(format!("{refused:?}"));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
}

/// R21, R31: another spelling of a login name gives no more attempts, whether the name exists or not.
#[tokio::test]
async fn white_space_around_a_login_name_does_not_change_its_attempt_counter() {
    let world = World::new(&[]).await;
    for name in ["kimcoding", "unknown", "two words"] {
        let blanks = ["", " ", "\t", "\u{a0}", "\u{200b}"];
        for blank in blanks {
            let guess = world.guess(&format!("{blank}{name}{blank}"), "4321", NOW).await;
            assert_eq!(outcome(&guess), (401, None), "{name:?} {blank:?}");
        }
        for blank in blanks {
            let refused = world.guess(&format!("{name}{blank}"), "4321", NOW).await;
            assert_eq!(outcome(&refused), (429, Some("1")), "{name:?} {blank:?}");
        }
    }
    assert_eq!(world.counters("account#").len(), 3);
}

/// Only a program with write access to the table can write such a counter.
#[tokio::test]
async fn a_corrupt_attempt_counter_starts_anew() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    let good: Vec<_> = world.counters("");
    assert_eq!(good.len(), 2, "the account and the source");
    let corrupt: [&[(&str, Value)]; 9] = [
        &[("v", json!({ "N": "2" }))],
        &[("v", json!({ "S": "1" }))],
        &[("v", Value::Null)],
        &[("failures", json!({ "S": "three" })), ("level", json!({ "S": "three" }))],
        &[("failures", json!({ "M": { "a": { "L": [] } } })), ("level", json!({ "SS": ["a", "b"] }))],
        &[("failures", json!({ "N": "-1" })), ("level", json!({ "N": "-1" }))],
        &[("failures", json!({ "N": "4294967296" })), ("level", json!({ "N": "1e100" }))],
        &[("at", json!({ "N": "9007199254740992" }))],
        &[("at", Value::Null), ("failures", Value::Null), ("level", Value::Null), ("v", Value::Null)],
    ];
    for changes in corrupt {
        for item in &good {
            let mut item = item.clone();
            let attributes = item.as_object_mut().unwrap();
            for (name, value) in changes {
                if value.is_null() {
                    attributes.remove(*name);
                } else if attributes.contains_key(*name) {
                    attributes.insert((*name).to_owned(), value.clone());
                }
            }
            world.tables.put("AttemptsTable", &item);
        }
        let log = Log::start();
        let attempts = (0..8).map(|_| world.guess("kimcoding", "4321", NOW));
        let refused = join_all(attempts).await.iter().filter(|reply| reply.status == 429).count();
        assert_eq!(refused, 3, "{changes:?}: concurrent attempts get no more tries");
        assert!(log.events("counter_unreadable").len() >= 2, "{changes:?}");
        assert_eq!(world.counters("account#")[0]["failures"], json!({ "N": "5" }), "{changes:?}");
    }
    world.tables.put("AttemptsTable", &json!({ "counter_key": good[0]["counter_key"], "v": { "BOOL": true } }));
    assert_eq!(world.guess("kimcoding", "1234", after(1)).await.status, 302);
}

/// R20. An attempt during a wait is not counted.
#[tokio::test]
async fn each_further_wrong_password_doubles_the_wait() {
    let world = World::new(&[]).await;
    for _ in 0..5 {
        world.guess("kimcoding", "4321", NOW).await;
    }
    let mut now = 0;
    for wait in [1, 2, 4, 8] {
        for early in [0, wait - 1] {
            let left = (wait - early).to_string();
            assert_eq!(
                outcome(&world.guess("kimcoding", "1234", after(now + early)).await),
                (429, Some(left.as_str()))
            );
        }
        now += wait;
        assert_eq!(outcome(&world.guess("kimcoding", "4321", after(now)).await), (401, None));
    }
    assert_eq!(outcome(&world.guess("KimCoding", "1234", after(now + 16)).await).0, 302, "after the wait");
    for _ in 0..5 {
        assert_eq!(
            outcome(&world.guess("kimcoding", "4321", after(now + 16)).await),
            (401, None),
            "a success resets the counter"
        );
    }
}

/// R20: the right password is refused, too, until an operator deletes the counter.
#[tokio::test]
async fn a_hundred_failures_disable_the_password_until_the_counter_is_deleted() {
    let world = World::new(&[]).await;
    let wrong = world.guess("kimcoding", "4321", NOW).await;
    world.set_failures(99, NOW);
    let log = Log::start();
    assert_eq!(outcome(&world.guess("kimcoding", "4321", after(900)).await), (401, None));
    let event = log.events("password_disabled").remove(0);
    assert_eq!((&event["level"], &event["user"]), (&json!("ERROR"), &json!("0")));
    let counter_key = event["counter_key"].as_str().unwrap();

    let before = world.hashes();
    let right = world.guess("kimcoding", "1234", after(1800)).await;
    assert_eq!(
        (format!("{right:?}"), world.hashes() - before),
        (format!("{wrong:?}"), 1),
        "the password is hashed before it is refused"
    );
    assert_eq!(outcome(&world.guess("kimcoding", "1234", after(1801)).await), (429, Some("899")));
    assert!(world.counters("account#")[0].get("ttl").is_none(), "DynamoDB does not delete it");
    let years = 10 * 365 * 86_400;
    assert_eq!(outcome(&world.guess("kimcoding", "1234", after(years)).await), (401, None));

    world.tables.delete("AttemptsTable", &json!({ "counter_key": { "S": counter_key } }));
    assert_eq!(
        outcome(&world.guess("kimcoding", "1234", after(1802)).await).0,
        302,
        "the counter of the event is deleted"
    );
    assert!(world.counters("account#").is_empty());
}

/// R20: after ten failures the waits are still short, so that only the limit keeps the counter.
#[tokio::test]
async fn a_disabled_password_stays_disabled_under_a_low_limit() {
    let mut world = World::new(&[]).await;
    world.login.authenticator.attempts.backoff.disable_after = 10;
    world.guess("kimcoding", "4321", NOW).await;
    world.set_failures(10, NOW);
    for (now, status) in [(900, 401), (900 + 30 * 86_400, 401), (900 + 400 * 86_400, 401)] {
        assert_eq!(world.guess("kimcoding", "1234", after(now)).await.status, status, "{now}");
    }
}

/// R20: an operator learns of the disabled password from this event. So it must not depend on a single request.
#[tokio::test]
async fn each_attempt_at_a_disabled_password_repeats_the_event() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    world.set_failures(101, NOW);
    let log = Log::start();
    world.guess("kimcoding", "4321", after(900)).await;
    assert_eq!(log.events("password_disabled").len(), 1);
}

/// DynamoDB deletes a counter that no longer matters.
#[tokio::test]
async fn an_attempt_counter_has_a_time_to_live() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    assert_eq!(world.counters("account#")[0]["ttl"]["N"], after(30 * 86_400).as_secs().to_string());
    assert_eq!(world.counters("source#")[0]["ttl"]["N"], after(36).as_secs().to_string());
}

#[tokio::test]
async fn the_hundredth_attempt_can_still_succeed() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    world.set_failures(99, NOW);
    assert_eq!(outcome(&world.guess("kimcoding", "1234", after(900)).await).0, 302);
}

/// R21. Sixteen run at a time, because one thread cannot answer more within the time budget of a request.
#[tokio::test]
async fn two_hundred_concurrent_guesses_get_five_hashes() {
    for name in ["kimcoding", "unknown"] {
        let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "0")]).await;
        let guesses = (0..200).map(|_| world.guess(name, "4321", NOW));
        let replies: Vec<_> = stream::iter(guesses).buffer_unordered(16).collect().await;
        assert_eq!(world.hashes(), 5);
        assert_eq!(replies.iter().filter(|reply| outcome(reply) == (401, None)).count(), 5);
        assert_eq!(replies.iter().filter(|reply| outcome(reply) == (429, Some("1"))).count(), 195);
        assert_eq!(world.counters("account#")[0]["failures"]["N"], "5");
    }
}

/// R21: each attempt counts as failed until it has succeeded, so that some of them can be refused. Eight run at a time,
/// because one thread cannot hash more within the time budget of a request.
#[tokio::test]
async fn of_sixteen_concurrent_logins_with_the_right_password_at_least_five_succeed() {
    let world = World::new(&[]).await;
    let logins = (0..16).map(|_| world.guess("kimcoding", "1234", NOW));
    let replies: Vec<_> = stream::iter(logins).buffer_unordered(8).collect().await;
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert!(count(302) >= 5 && count(302) + count(429) == 16, "{replies:?}");
    assert!(world.counters("account#").is_empty(), "the successes have reset the counter");
    assert_eq!(outcome(&world.guess("kimcoding", "1234", NOW).await).0, 302);
}

/// R21, in the worst case: all attempts are admitted before the first one is counted.
#[tokio::test]
async fn of_two_hundred_admitted_attempts_five_are_reserved() {
    let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "0")]).await;
    let attempts = &world.login.authenticator.attempts;
    let attempt = Attempt { account: &Account::named("kimcoding"), channel: Channel::Public, source_ip: None };
    let mut admitted = Vec::new();
    for _ in 0..200 {
        admitted.push(attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap().0);
    }
    let reserved = admitted.into_iter().map(|admission| async {
        match attempts.reserve(admission, NOW, &Budget::new(None)).await {
            Ok(_) => true,
            Err(Error::TooManyAttempts { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    });
    let reserved: Vec<_> = stream::iter(reserved).buffer_unordered(16).collect().await;
    assert_eq!(reserved.iter().filter(|is_reserved| **is_reserved).count(), 5);
}

/// R22: a stranger who locks the account does not lock out its owner on a known device.
#[tokio::test]
async fn a_known_device_can_sign_in_while_the_account_is_locked() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = format!("device={}", signed_in.cookie("device").unwrap());
    let line = signed_in.cookies.iter().find(|line| line.starts_with("device=")).unwrap();
    assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost; Max-Age=15552000; Expires="));

    for _ in 0..6 {
        world.guess("kimcoding", "4321", after(10)).await;
    }
    let right = form("kimcoding", "1234");
    assert_eq!(outcome(&world.send(&right, after(10)).await), (429, Some("1")), "an unknown device");
    let again = world.send(&right.clone().cookies([&device]), after(10)).await;
    assert_eq!(outcome(&again).0, 302);
    assert_eq!(
        outcome(&world.send(&right, after(10)).await),
        (429, Some("1")),
        "an unknown device is still locked out"
    );
    let renewed = again.cookie("device").unwrap();
    assert_ne!(device, format!("device={renewed}"), "it has a new expiry");
    assert_eq!(device["device=".len()..].split('.').next(), renewed.split('.').next(), "it has the same device id");

    testbed::add_park(&world.env).await;
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(world.send(&form("parkhacker", "4321").cookies([&device]), after(10)).await.status);
    }
    assert_eq!(others, [401, 401, 401, 401, 401, 429]);
    assert_eq!(world.counters("device#").len(), 0, "a device is known for one account only");
}

/// R22: a stolen device cookie locks one device only.
#[tokio::test]
async fn a_locked_device_does_not_lock_another_device() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        let signed_in = world.guess("kimcoding", "1234", NOW).await;
        devices.push([format!("device={}", signed_in.cookie("device").unwrap())]);
    }
    for _ in 0..6 {
        world.send(&form("kimcoding", "4321").cookies(&devices[0]), NOW).await;
    }
    assert_eq!(outcome(&world.send(&form("kimcoding", "1234").cookies(&devices[0]), NOW).await).0, 429);
    assert_eq!(outcome(&world.send(&form("kimcoding", "1234").cookies(&devices[1]), NOW).await).0, 302);
}

/// R22: with the old password a thief can collect device cookies. They give no guesses at the new password.
#[tokio::test]
async fn a_change_of_password_makes_every_device_unknown() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let mut devices = Vec::new();
    for _ in 0..6 {
        let signed_in = world.guess("kimcoding", "1234", NOW).await;
        devices.push([format!("device={}", signed_in.cookie("device").unwrap())]);
    }
    for mut item in world.tables.items("UsersTable") {
        if item.get("password_version").is_some() {
            item["password_version"] = json!({ "N": "2" });
            world.tables.put("UsersTable", &item);
        }
    }
    let before = world.hashes();
    for device in &devices {
        world.send(&form("kimcoding", "4321").cookies(device), NOW).await;
        world.send(&form("kimcoding", "4321").cookies(device), NOW).await;
    }
    assert_eq!(
        (world.hashes() - before, world.counters("device#").len()),
        (5, 0),
        "all devices share the counter of the account"
    );
    assert_eq!(world.counters("source#").len(), 1, "and that of the source");
    let again = world.send(&form("kimcoding", "1234").cookies(&devices[0]), after(900)).await;
    let device = [format!("device={}", again.cookie("device").unwrap())];
    assert_ne!(device[0].split('.').next(), devices[0][0].split('.').next(), "the device gets a new id");
    assert_eq!(outcome(&world.send(&form("kimcoding", "1234").cookies(&device), after(900)).await).0, 302);
}

/// R22: other users behind the same address do not lock out a known device.
#[tokio::test]
async fn a_known_device_can_sign_in_while_its_source_is_throttled() {
    let world = World::new(&[("DEVICE_COOKIE", "on"), ("SOURCE_FAILURES_PER_HOUR", "3")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = [format!("device={}", signed_in.cookie("device").unwrap())];
    for name in 0..3 {
        assert_eq!(outcome(&world.guess(&format!("name{name}"), "4321", NOW).await), (401, None));
    }
    assert_eq!(outcome(&world.guess("kimcoding", "1234", NOW).await), (429, Some("1200")));
    assert_eq!(outcome(&world.send(&form("kimcoding", "1234").cookies(&device), NOW).await).0, 302);
    assert_eq!(
        outcome(&world.guess("kimcoding", "1234", NOW).await),
        (429, Some("1200")),
        "its success refunds no attempt to the source"
    );
}

/// R22: a stolen device cookie gives five guesses, and then one guess for each wait.
#[tokio::test]
async fn a_known_device_has_an_attempt_counter_of_its_own() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = [format!("device={}", signed_in.cookie("device").unwrap())];
    for _ in 0..5 {
        assert_eq!(outcome(&world.send(&form("kimcoding", "4321").cookies(&device), NOW).await), (401, None));
    }
    assert_eq!(outcome(&world.send(&form("kimcoding", "1234").cookies(&device), NOW).await), (429, Some("1")));
    assert_eq!(
        outcome(&world.guess("kimcoding", "1234", NOW).await).0,
        302,
        "without the cookie the account counter applies"
    );
}

/// The contract: a login that is not persistent sets the access cookie only.
#[tokio::test]
async fn only_a_persistent_login_sets_a_device_cookie() {
    let world = World::new(&[("DEVICE_COOKIE", "on"), ("COOKIE_DOMAIN", "")]).await;
    let body = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } });
    let brief = world.send(&Event::recorded("login").body(body.to_string()), NOW).await;
    assert_eq!((brief.status, brief.cookies.len()), (302, 1));
    let persistent = world.guess("kimcoding", "1234", NOW).await;
    assert!(persistent.cookies.len() == 3, "{:?}", persistent.cookies);
    assert!(persistent.cookie("__Host-device").is_some(), "{:?}", persistent.cookies);
}

/// R24: the limit covers all names together, and counts failures only.
#[tokio::test]
async fn a_source_that_tries_one_password_on_many_names_is_throttled() {
    let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "8")]).await;
    for _ in 0..20 {
        assert_eq!(outcome(&world.guess("kimcoding", "1234", NOW).await).0, 302, "successes are not counted");
    }
    let log = Log::start();
    for name in 0..8 {
        assert_eq!(outcome(&world.guess(&format!("name{name}"), "4321", NOW).await), (401, None));
    }
    assert_eq!(log.events("login_failed").len(), 8, "one event for each failure");
    for (name, password) in [("name8", "4321"), ("kimcoding", "1234")] {
        assert_eq!(outcome(&world.guess(name, password, NOW).await), (429, Some("450")));
        assert_eq!(outcome(&world.guess(name, password, after(449)).await), (429, Some("1")));
    }
    let elsewhere = from("203.0.113.8", &form("kimcoding", "1234"));
    assert_eq!(outcome(&world.send(&elsewhere, NOW).await).0, 302);
    assert_eq!(outcome(&world.guess("name9", "4321", after(450)).await), (401, None));
}

/// R24: of concurrent attempts one gets the last attempt. An attempt that is refused for its source does not count for
/// its account.
#[tokio::test]
async fn the_last_attempt_of_a_source_is_reserved_once() {
    for (failed_before, now) in [(0, NOW), (1, after(3600))] {
        let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "1")]).await;
        for _ in 0..failed_before {
            assert_eq!(world.guess("unknown", "4321", NOW).await.status, 401);
        }
        let attempts = &world.login.authenticator.attempts;
        let names: Vec<_> = (0..20).map(|name| format!("name{name}")).collect();
        let mut admitted = Vec::new();
        for name in &names {
            let attempt =
                Attempt { account: &Account::named(name), channel: Channel::Public, source_ip: Some("203.0.113.7") };
            admitted.push(attempts.admit(attempt, now, &Budget::new(None)).await.unwrap().0);
        }
        let reserved = admitted
            .into_iter()
            .map(|admission| async { attempts.reserve(admission, now, &Budget::new(None)).await.is_ok() });
        let reserved: Vec<_> = stream::iter(reserved).buffer_unordered(16).collect().await;
        assert_eq!(reserved.iter().filter(|is_reserved| **is_reserved).count(), 1);
        assert_eq!(world.counters("account#").len(), 1 + failed_before, "19 accounts have no counter");
    }
}

/// F02. The source is counted first, and gets its attempt back.
#[tokio::test]
async fn an_attempt_refused_for_its_account_does_not_count_for_its_source() {
    let world = World::new(&[]).await;
    world.guess("unknown", "4321", NOW).await;
    let counted = world.counters("source#");
    let attempts = &world.login.authenticator.attempts;
    let account = Account::named("kimcoding");
    let attempt = Attempt { account: &account, channel: Channel::Public, source_ip: Some("203.0.113.7") };
    let (admitted, _) = attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap();
    for _ in 0..5 {
        let elsewhere = from("203.0.113.8", &form("kimcoding", "4321"));
        assert_eq!(world.send(&elsewhere, NOW).await.status, 401);
    }
    let refused = attempts.reserve(admitted, NOW, &Budget::new(None)).await.map(drop);
    assert!(matches!(refused, Err(Error::TooManyAttempts { .. })), "{refused:?}");
    assert_eq!(world.counters("source#203.0.113.7")[0]["level"], counted[0]["level"]);
}

/// F09: two refunds would give the source an extra guess.
#[tokio::test]
async fn a_success_whose_acknowledgement_is_lost_refunds_one_attempt() {
    let world = World::new(&[]).await;
    for name in ["name0", "name1"] {
        world.guess(name, "4321", NOW).await;
    }
    let counted = world.counters("source#");
    let failing = world.failing(&[("UpdateItem", &[Fault::LoseReply])]).await;
    assert_eq!(outcome(&failing.guess("kimcoding", "1234", NOW).await).0, 302);
    assert_eq!(world.counters("source#")[0]["level"], counted[0]["level"]);
}

/// R24: one customer has all addresses of an IPv6 network.
#[tokio::test]
async fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
    let world = World::new(&[]).await;
    for (source_ip, expected) in [
        ("203.0.113.7", Some("source#203.0.113.7")),
        ("::ffff:203.0.113.7", Some("source#203.0.113.7")),
        ("2001:db8:1:2:3:4:5:6", Some("source#2001:db8:1:2::/64")),
        ("2001:DB8:1:2::1", Some("source#2001:db8:1:2::/64")),
        ("2001:db8:1:3::1", Some("source#2001:db8:1:3::/64")),
        ("nonsense", None),
    ] {
        world.tables.items("AttemptsTable").iter().for_each(|item| {
            world.tables.delete("AttemptsTable", &json!({ "counter_key": item["counter_key"] }));
        });
        world.send(&from(source_ip, &form("kimcoding", "4321")), NOW).await;
        let counters = world.counters("source#");
        let counter_key = counters.first().map(|item| item["counter_key"]["S"].as_str().unwrap());
        assert_eq!(counter_key, expected, "{source_ip}");
    }
}

/// R25.
#[tokio::test]
async fn a_header_cannot_change_the_source_address() {
    let world = World::new(&[]).await;
    let spoofed = form("kimcoding", "4321").header("x-forwarded-for", "1.2.3.4").header("x-real-ip", "1.2.3.4");
    world.send(&spoofed, NOW).await;
    assert_eq!(world.counters("source#")[0]["counter_key"]["S"], "source#203.0.113.7");
}

/// R17, R18, R19: neither the response nor the reads, writes and hashes tell one name from another.
#[tokio::test]
async fn every_refusal_has_the_same_response_and_the_same_cost() {
    let world = World::new(&[]).await;
    let bcrypt = "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
    testbed::import(&world.env, "imported", bcrypt).await;
    testbed::import(&world.env, "unusable", "$argon2id$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g").await;
    testbed::import(&world.env, "disabled", bcrypt).await;
    let mut disabled =
        world.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#disabled").unwrap();
    disabled["disabled"] = json!({ "BOOL": true });
    world.tables.put("UsersTable", &disabled);
    testbed::import(&world.env, "locked", bcrypt).await;
    world.guess("locked", "4321", NOW).await;
    world.set_failures(100, after(0));

    let (observed, calls) = world.observed();
    let mut replies = Vec::new();
    for (name, password) in [
        ("kimcoding", "4321"),
        ("kimcoding", ""),
        ("unknown", "4321"),
        ("two words", "4321"),
        ("\0", "4321"),
        ("a\u{200b}b", "4321"),
        (&"x".repeat(5000), "4321"),
        ("", ""),
        ("imported", "4321"),
        ("unusable", "4321"),
        ("disabled", "4321"),
        ("disabled", "password"),
        ("locked", "password"),
    ] {
        let before = observed.hashes();
        let reply = observed.guess(name, password, after(900)).await;
        let hashes = observed.hashes() - before;
        assert_eq!((reply.status, reply.body(), hashes), (401, "Not Authorized", 1), "{name:?}");
        assert_eq!(calls.take(), ["BatchGetItem", "GetItem", "PutItem", "PutItem"], "{name:?}");
        replies.push(format!("{reply:?}"));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
}

/// R18: reading credentials takes longer if they exist. The minimum hides that.
#[tokio::test]
async fn a_refusal_without_a_hash_takes_at_least_10_ms() {
    let world = World::new(&[]).await;
    for _ in 0..5 {
        world.guess("kimcoding", "4321", NOW).await;
    }
    for _ in 0..5 {
        let started = Instant::now();
        assert_eq!(world.guess("kimcoding", "1234", NOW).await.status, 429);
        assert!(started.elapsed() >= Duration::from_millis(10));
    }
}

/// F37: an attempt at a locked account costs one read. Other accounts are not affected.
#[tokio::test]
async fn attempts_at_a_locked_account_are_not_written() {
    let world = World::new(&[]).await;
    for _ in 0..5 {
        world.guess("kimcoding", "4321", NOW).await;
    }
    let before = world.tables.items("AttemptsTable");
    let (observed, calls) = world.observed();
    for _ in 0..20 {
        assert_eq!(observed.guess("kimcoding", "1234", NOW).await.status, 429);
        assert_eq!(calls.take(), ["BatchGetItem"]);
    }
    assert_eq!(world.tables.items("AttemptsTable"), before);
    assert_eq!(observed.hashes(), 0);
    testbed::add_park(&world.env).await;
    assert_eq!(outcome(&observed.guess("parkhacker", "5678", NOW).await).0, 302);
}

/// F02.
#[tokio::test]
async fn an_outage_counts_no_attempt_and_computes_no_hash() {
    let world = World::new(&[]).await;
    let throttled = Fault::Refuse(400, "ProvisionedThroughputExceededException");
    for operation in ["BatchGetItem", "GetItem", "PutItem"] {
        for fault in [throttled, Fault::Stall] {
            let failing = world.failing(&[(operation, &[fault; 9])]).await;
            let outage = failing.guess("kimcoding", "1234", NOW).await;
            assert_eq!(outcome(&outage), (503, Some("1")), "{operation} {fault:?}");
            assert_eq!(failing.hashes(), 0, "{operation} {fault:?}");
        }
    }
    assert!(world.tables.items("AttemptsTable").is_empty());
}

/// F01.
#[tokio::test]
async fn a_call_to_a_busy_table_is_retried() {
    let busy = [Fault::Refuse(400, "ProvisionedThroughputExceededException")];
    for operation in ["BatchGetItem", "GetItem", "PutItem", "DeleteItem"] {
        let world = World::new(&[]).await;
        let failing = world.failing(&[(operation, &busy)]).await;
        let started = Instant::now();
        assert_eq!(outcome(&failing.guess("kimcoding", "1234", NOW).await).0, 302, "{operation}");
        assert!(started.elapsed() < Duration::from_secs(1), "{operation}");
        assert!(world.counters("account#").is_empty(), "{operation}");
    }
}

/// The table in `docs/passwords.md`, with the units that DynamoDB counts.
#[tokio::test]
async fn a_login_costs_what_the_documentation_says() {
    let world = World::new(&[]).await;
    let (settings, meter) = world.tables.metered().await;
    let metered = World::over(&world.tables, Environment::new(settings));
    let page = include_str!("../../../docs/passwords.md");
    for (request, password, times) in
        [("signed in", "1234", 1), ("a wrong password", "4321", 1), ("too early", "4321", 5)]
    {
        for _ in 0..times {
            drop(meter.take());
            metered.guess("kimcoding", password, NOW).await;
        }
        let mut calls = meter.take();
        // The calls after the hash run at the same time. The page has them in the order of the alphabet.
        if let Some(after_the_hash) = calls.get_mut(4..7) {
            after_the_hash.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let units = |is_read: bool| -> f64 {
            let reads = |operation: &str| operation.contains("Get") || operation == "Query";
            let counted = calls.iter().filter(|(operation, _)| reads(operation) == is_read);
            counted.fold(0.0, |sum, (_, units)| sum + units)
        };
        let operations: Vec<_> = calls.iter().map(|(operation, _)| format!("`{operation}`")).collect();
        let row = format!("| {request} | {} | {} | {} |", operations.join(", "), units(true), units(false));
        assert!(page.contains(&row), "{row}");
    }
}

/// R24: the limit for an address also meets the other people behind it. `docs/security.md` names this risk.
#[tokio::test]
async fn after_100_failures_from_an_address_a_right_password_from_it_is_refused_with_an_event() {
    let world = World::new(&[]).await;
    for number in 0..100 {
        assert_eq!(outcome(&world.guess(&format!("name-{number}"), "4321", NOW).await), (401, None), "{number}");
    }
    let log = Log::start();
    assert_eq!(outcome(&world.guess("kimcoding", "1234", NOW).await).0, 429);
    assert_eq!((log.events("source_throttled").len(), world.counters("account#").len()), (1, 100));
}

/// F09: the retry counts once more. An attempt is never left uncounted.
#[tokio::test]
async fn an_attempt_whose_acknowledgement_is_lost_counts_twice() {
    let world = World::new(&[]).await;
    let lost = world.tables.failing(&[("PutItem", &[Fault::LoseReply])]).await;
    // Without a source counter, the fault meets the write of the account counter.
    let without_source =
        move |name: &str| if name == "SOURCE_FAILURES_PER_HOUR" { Some("0".into()) } else { lost(name) };
    let failing = World::over(&world.tables, Environment::new(without_source));
    assert_eq!(outcome(&failing.guess("kimcoding", "4321", NOW).await), (401, None));
    assert_eq!(world.counters("account#")[0]["failures"]["N"], "2");
    assert!(world.counters("source#").is_empty());
}

/// A right password stays right if its success cannot be written.
#[tokio::test]
async fn an_outage_after_a_right_password_does_not_fail_the_login() {
    let world = World::new(&[]).await;
    for (fault, reported) in [(Fault::Refuse(400, "AccessDeniedException"), 2), (Fault::Stall, 1)] {
        let failing = world.failing(&[("DeleteItem", &[fault; 9]), ("UpdateItem", &[fault; 9])]).await;
        let log = Log::start();
        assert_eq!(outcome(&failing.guess("kimcoding", "1234", NOW).await).0, 302, "{fault:?}");
        assert_eq!(log.events("success_counts_as_failed").len(), reported, "{fault:?}");
    }
}

/// F30: Lambda stops the function during a hash.
#[tokio::test]
async fn an_aborted_attempt_stays_counted_and_opens_no_session() {
    let world = World::new(&[("PASSWORD_CHECK_MS", "3000")]).await;
    let aborted = tokio::time::timeout(Duration::from_secs(1), world.guess("kimcoding", "1234", NOW)).await;
    assert!(aborted.is_err() && world.hashes() == 1);
    assert_eq!(world.counters("account#")[0]["failures"]["N"], "1");
    assert!(world.tables.items("SessionsTable").is_empty());
}

#[tokio::test]
async fn the_attempts_table_and_the_throttle_secret_are_required() {
    let tables = Tables::new().await;
    for name in ["ATTEMPTS_TABLE", "THROTTLE_SECRET"] {
        let env = Environment::new(tables.settings(&[(name, "")]));
        let refused = Authenticator::from_env(store::connect(&env).unwrap(), &env).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Setting { name: named, .. } if named == name), "{refused:?}");
    }
}

/// People sometimes type their password where the login name belongs. Without the secret, a counter key reveals no
/// login name.
#[tokio::test]
async fn counter_keys_hide_login_names_and_depend_on_the_secret() {
    let world = World::new(&[]).await;
    for name in ["kimcoding", "my-secret-password"] {
        world.guess(name, "4321", NOW).await;
    }
    let stored = Value::from(world.tables.items("AttemptsTable")).to_string();
    assert!(!stored.contains("kimcoding") && !stored.contains("my-secret-password"));
    let attempt = Attempt { account: &Account::named("kimcoding"), channel: Channel::Public, source_ip: None };
    let other = [("THROTTLE_SECRET", "other-secret-for-tests-0123456789")];
    let other = Environment::new(world.tables.settings(&other));
    for (env, failures) in [(&world.env, "2"), (&other, "1")] {
        let attempts = Attempts::from_env(store::connect(env).unwrap(), env).unwrap();
        let (admission, _) = attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap();
        attempts.reserve(admission, NOW, &Budget::new(None)).await.unwrap();
        assert!(world.counters("account#").iter().any(|item| item["failures"]["N"] == failures));
    }
}
