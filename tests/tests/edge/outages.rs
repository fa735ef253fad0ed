//! A store that is broken, late, gone or wrong, under every function and every call that it makes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use shared::config::Config;
use shared::store;
use testbed::{Death, Event, Fault, Log};
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::world::{Answer, DAY, NOW, REQUESTS, Service, World, after, names_somebody, status_of};

/// Every call without which a request cannot be answered.
const STEPS: [(&str, &str); 20] = [
    ("login", "BatchGetItem"),
    ("login", "GetItem"),
    ("login", "PutItem"),
    ("login, unthrottled", "GetItem"),
    ("login, unthrottled", "PutItem"),
    ("logout", "UpdateItem"),
    ("logout, everywhere", "UpdateItem"),
    ("password", "BatchGetItem"),
    ("password", "GetItem"),
    ("password", "PutItem"),
    ("password", "TransactWriteItems"),
    ("sessions", "BatchGetItem"),
    ("sessions", "Query"),
    ("sessions, end one", "BatchGetItem"),
    ("sessions, end one", "UpdateItem"),
    ("sessions, end others", "BatchGetItem"),
    ("sessions, end others", "TransactWriteItems"),
    ("userinfo", "BatchGetItem"),
    ("userinfo, renewing", "BatchGetItem"),
    ("userinfo, renewing", "UpdateItem"),
];

/// The functions over tables that fail one operation like this.
async fn failing(world: &World, name: &str, operation: &'static str, faults: &[Fault]) -> Service {
    let settings = world.tables.failing(&[(operation, faults)]).await;
    Service::for_request(name, Config::from_lookup(settings).unwrap())
}

/// Asks for something while one operation fails, and how long the answer took.
async fn ask_while(world: &World, (name, operation): (&str, &'static str), faults: &[Fault]) -> (Answer, Duration) {
    let service = failing(world, name, operation, faults).await;
    let (event, started) = (world.request(name), Instant::now());
    (service.send(&event, NOW).await, started.elapsed())
}

/// One for each step, for what happens at once.
async fn worlds() -> Vec<(World, (&'static str, &'static str))> {
    let mut worlds = Vec::new();
    for step in STEPS {
        worlds.push((World::new().await, step));
    }
    worlds
}

/// They mostly wait. They are large, so each is in a box.
async fn all_at_once(asked: impl IntoIterator<Item = impl Future<Output = ()>>) {
    join_all(asked.into_iter().map(Box::pin)).await;
}

/// 503, when to come back, no cookie, nobody's name.
fn is_outage(Answer { reply, .. }: &Answer) -> bool {
    (reply.status, reply.header("retry-after"), reply.cookies.len()) == (503, Some("1"), 0) && !names_somebody(reply)
}

/// F02, F04, F05, F06, F16, R94: a store that hangs or stays busy is no verdict, whichever call it is. The answer comes before
/// the function's time is up, no cookie is touched, and what was good before is good after.
#[tokio::test]
async fn a_store_that_hangs_or_stays_busy_is_503_in_time_and_no_verdict() {
    for fault in [Fault::Stall, Fault::Refuse(400, "ProvisionedThroughputExceededException")] {
        let worlds = worlds().await;
        let asked = worlds.iter().map(|(world, step)| async move {
            let (answer, took) = ask_while(world, *step, &[fault; 12]).await;
            assert!(is_outage(&answer), "{step:?} {fault:?}: {answer:?}");
            assert!(took < Duration::from_secs(4), "{step:?} {fault:?}: {took:?}");
        });
        all_at_once(asked).await;
        for (world, step) in &worlds {
            let again = world.service().send(&world.request(step.0), NOW).await;
            assert_eq!(again.reply.status, status_of(step.0), "{step:?} {fault:?}: afterwards");
        }
        let (world, started) = (&worlds[0].0, Instant::now());
        let verdict = failing(world, "", "BatchGetItem", &[fault; 12]).await.ask(&world.question(), NOW).await;
        assert!(verdict.is_none() && started.elapsed() < Duration::from_secs(3), "{fault:?}: {verdict:?}");
    }
}

/// F16: where Lambda would stop the function before the store's time is up, the store's time ends before that.
#[tokio::test]
async fn the_answer_comes_before_lambda_would_stop_the_function() {
    let worlds = worlds().await;
    let asked = worlds.iter().map(|(world, (name, operation))| async move {
        let service = failing(world, name, operation, &[Fault::Stall; 12]).await;
        let (started, now) = (Instant::now(), UNIX_EPOCH.elapsed().unwrap());
        let deadline = now + Duration::from_secs(2);
        let event = world.request(name).deadline(u64::try_from(deadline.as_millis()).unwrap());
        let answer = service.send(&event, NOW).await;
        assert!(is_outage(&answer), "{name} {operation}: {answer:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name} {operation}: {:?}", started.elapsed());
    });
    all_at_once(asked).await;
}

/// F17.
#[tokio::test]
async fn a_store_that_nobody_listens_for_is_503_in_every_function() {
    let world = World::new().await;
    for (name, _) in REQUESTS {
        let service = Service::for_request(name, Config::from_lookup(testbed::settings(&[])).unwrap());
        let started = Instant::now();
        let answer = service.send(&world.request(name), NOW).await;
        assert!(is_outage(&answer), "{name}: {answer:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name}: {:?}", started.elapsed());
        assert_eq!(service.ask(&world.question(), NOW).await, None);
    }
}

/// F18: also for a call that writes, and whose first try may have been made after all.
#[tokio::test]
async fn a_store_that_fails_twice_is_asked_again_by_every_function() {
    let world = World::new().await;
    for fault in [Fault::Refuse(500, "InternalServerError"), Fault::LoseReply] {
        for step in STEPS {
            let (answer, took) = ask_while(&world, step, &[fault; 2]).await;
            assert_eq!(answer.reply.status, status_of(step.0), "{step:?} {fault:?}: {answer:?}");
            assert!(took < Duration::from_secs(2), "{step:?} {fault:?}: {took:?}");
            world.restore();
        }
        let verdict = failing(&world, "", "BatchGetItem", &[fault; 2]).await.ask(&world.question(), NOW).await;
        assert_eq!(verdict.unwrap()["isAuthorized"], true, "{fault:?}");
    }
}

/// F19, R93: what no second try would help is not tried again. It is an alarm; what is wrong stands in the log and not in the
/// answer.
#[tokio::test]
async fn a_store_that_refuses_for_good_is_500_and_an_alarm_in_every_function() {
    let (world, log) = (World::new().await, Log::start());
    for code in ["AccessDeniedException", "ResourceNotFoundException", "ValidationException", "ExpiredTokenException"] {
        let is_alarm = |said: &str| said.contains("\"ERROR\"") && said.contains(code);
        for step in STEPS {
            world.restore();
            drop(log.take());
            let (answer, _) = ask_while(&world, step, &[Fault::Refuse(400, code); 12]).await;
            let Answer { reply, calls, .. } = answer;
            assert_eq!((reply.status, reply.cookies.len()), (500, 0), "{step:?} {code}: {reply:?}");
            assert_eq!(reply.json()["detail"], "The service is not set up correctly.", "{step:?} {code}");
            for word in [code, "as the test wants", "Table", "dynamo", "Dynamo"] {
                assert!(!reply.body().contains(word), "{step:?} {code}: {}", reply.body());
            }
            let tries = calls.iter().filter(|call| **call == step.1).count();
            assert_eq!(tries, 1, "{step:?} {code}: {calls:?}");
            assert!(log.take().lines().any(is_alarm), "{step:?} {code}: nobody is told");
        }
        drop(log.take());
        let service = failing(&world, "", "BatchGetItem", &[Fault::Refuse(400, code); 12]).await;
        assert_eq!(service.ask(&world.question(), NOW).await, None, "{code}");
        assert_eq!(service.calls.take().len(), 1, "{code}");
        assert!(log.take().lines().any(is_alarm), "{code}: nobody is told");
    }
}

/// F20: a transaction that meets another is made three more times, under one token, and then not.
#[tokio::test]
async fn a_transaction_that_meets_others_is_made_or_is_503() {
    for name in ["password", "sessions, end others"] {
        for (conflicts, is_made) in [(1, true), (3, true), (4, false)] {
            let world = World::new().await;
            let before = world.records();
            let service = failing(&world, name, "TransactWriteItems", &vec![Fault::Conflict; conflicts]).await;
            let answer = service.send(&world.request(name), NOW).await;
            let tries = answer.calls.iter().filter(|call| *call == "TransactWriteItems").count();
            assert_eq!(tries, (conflicts + 1).min(4), "{name} {conflicts}");
            if is_made {
                assert_eq!(answer.reply.status, 204, "{name} {conflicts}: {answer:?}");
            } else {
                assert!(is_outage(&answer), "{name} {conflicts}: {answer:?}");
                assert_eq!(world.records(), before, "{name} {conflicts}");
            }
        }
    }
}

/// F21: a session that cannot be read has ended; a user that cannot be read is a fault of ours, and an alarm. Neither is a
/// panic, and no cookie is touched.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_401_for_a_session_and_500_for_a_user() {
    let log = Log::start();
    let number_of = ["epoch", "session_epoch", "password_version"];
    let corruptions = [
        ("another version", ["v"; 3], json!({ "N": "2" })),
        ("no version", ["v"; 3], Value::Null),
        ("a version that is no number", ["v"; 3], json!({ "S": "1" })),
        ("a number that is none", number_of, json!({ "S": "x" })),
        ("a number below zero", number_of, json!({ "N": "-1" })),
        ("a number too few", number_of, Value::Null),
        ("a list for a text", ["kid", "email", "password_hash"], json!({ "L": [] })),
    ];
    let world = World::new().await;
    let service = world.service();
    for (what, names, value) in corruptions {
        let corrupt = |item: &mut Value| corrupt(item, &names, &value);
        for (name, status) in REQUESTS {
            for (record, expected) in [("session", 401), ("user#0", 500), ("login#kimcoding", 500)] {
                world.restore();
                world.change(record, corrupt);
                drop(log.take());
                let answer = service.send(&world.request(name), NOW).await;
                // A login has no session yet, and a password is only looked up where one is typed. A logout ends what it cannot
                // read; what it cannot count on, it does not claim.
                let is_read = match (name, record) {
                    ("login" | "login, unthrottled", record) => record != "session",
                    ("logout", _) => false,
                    ("logout, everywhere", record) => record == "session",
                    ("password", _) => true,
                    (_, record) => record != "login#kimcoding",
                };
                let expected = match (name, is_read) {
                    ("logout, everywhere", true) => 500,
                    (_, true) => expected,
                    (_, false) => status,
                };
                let Answer { reply, .. } = answer;
                assert_eq!(reply.status, expected, "{name}: {record} with {what}: {reply:?}");
                assert!(!is_read || reply.cookies.is_empty(), "{name}: {record} with {what}: {reply:?}");
                let is_alarm = log.take().lines().any(|line| line.contains("\"ERROR\""));
                assert_eq!(is_alarm, is_read, "{name}: {record} with {what}");
            }
        }
        for (record, expected) in [("session", Some(json!({ "isAuthorized": false }))), ("user#0", None)] {
            world.restore();
            world.change(record, corrupt);
            assert_eq!(service.ask(&world.question(), NOW).await, expected, "{record} with {what}");
        }
    }
}

/// Writes `value` in place of the first of these attributes that there is; leaves it out where there is no value.
fn corrupt(item: &mut Value, names: &[&str], value: &Value) {
    let attributes = item.as_object_mut().unwrap();
    let name = names.iter().find(|name| attributes.contains_key(**name)).unwrap();
    attributes.remove(*name);
    attributes.extend((!value.is_null()).then(|| ((*name).to_owned(), value.clone())));
}

/// F22, R72: DynamoDB may leave a record for days after its time. It is over all the same, and nothing brings it back.
#[tokio::test]
async fn a_record_that_outlives_its_session_revives_nothing() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    for secs in [7 * DAY, 8 * DAY, 30 * DAY, 37 * DAY, 40 * DAY] {
        for (name, _) in REQUESTS.into_iter().filter(|(name, _)| !name.starts_with("log")) {
            let both = [format!("access_jwt={}", world.access), format!("refresh_jwt={}", world.refresh)];
            let answer = service.send(&world.request(name).cookies(both), after(secs)).await;
            assert_eq!((answer.reply.status, answer.reply.cookies.len()), (401, 0), "{name} after {secs} s");
        }
        let verdict = service.ask(&world.question(), after(secs)).await.unwrap();
        assert_eq!(verdict["isAuthorized"], false, "{secs}");
    }
    assert_eq!(world.records(), before);
}

/// F23: a live session that DynamoDB has deleted is over. Nothing writes it again, and no cookie is touched: nobody knows
/// better than to ask for the password.
#[tokio::test]
async fn a_live_session_that_was_deleted_is_401_and_stays_away() {
    let world = World::new().await;
    let service = world.service();
    for id in [&world.session, &world.other] {
        world.tables.delete("SessionsTable", &json!({ "user_id": { "S": "0" }, "session_id": { "S": id } }));
    }
    for (name, _) in REQUESTS.into_iter().filter(|(name, _)| !name.starts_with("log")) {
        let answer = service.send(&world.request(name), NOW).await;
        assert_eq!((answer.reply.status, answer.reply.cookies.len()), (401, 0), "{name}");
    }
    for name in ["logout", "logout, everywhere"] {
        assert_eq!(service.send(&world.request(name), NOW).await.reply.status, 205, "{name}");
    }
    assert_eq!(world.tables.items("SessionsTable"), Vec::<Value>::new());
    assert_eq!(service.ask(&world.question(), NOW).await, Some(json!({ "isAuthorized": false })));
}

/// F24, R73: no read of any function may be stale: each is strongly consistent, and of a table rather than an index.
#[tokio::test]
async fn every_read_of_every_function_is_strongly_consistent() {
    let world = World::new().await;
    let capped = [("SESSIONS_PER_USER", "10"), ("DEVICE_COOKIE", "on")];
    let service = Service::new(Config::from_lookup(world.tables.settings(&capped)).unwrap());
    let (mut reads, mut writes) = (BTreeSet::new(), BTreeSet::new());
    for (name, status) in REQUESTS.into_iter().chain([("authorizer", 0)]) {
        if name == "authorizer" {
            assert!(service.ask(&world.question(), NOW).await.is_some());
        } else {
            assert_eq!(service.reply_to(&world.request(name), NOW).await.status, status, "{name}");
        }
        for (operation, asked) in service.calls.take_whole() {
            let is_consistent = match operation.as_str() {
                "GetItem" | "Query" => asked["ConsistentRead"] == true && asked.get("IndexName").is_none(),
                "BatchGetItem" => {
                    asked["RequestItems"].as_object().unwrap().values().all(|keys| keys["ConsistentRead"] == true)
                }
                "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" => {
                    writes.insert(operation);
                    continue;
                }
                _ => panic!("{name}: {operation} is no call that is known here"),
            };
            assert!(is_consistent, "{name}: {operation} {asked}");
            reads.insert(operation);
        }
        world.restore();
    }
    assert!(reads.into_iter().eq(["BatchGetItem", "GetItem", "Query"]));
    assert_eq!(writes.len(), 4, "{writes:?}");
}

/// F24: the table is put back to what it was before the last renewals. Whoever holds a later token is signed out, and is no
/// thief: the session lives on for whoever holds the token that its record knows.
#[tokio::test]
async fn a_record_from_before_accuses_nobody() {
    let world = World::new().await;
    let service = world.service();
    let mut renewing = world.request("userinfo, renewing");
    for _ in 0..2 {
        let reply = service.send(&renewing, after(100)).await.reply;
        renewing =
            Event::recorded("userinfo").cookies([format!("refresh_jwt={}", reply.cookie("refresh_jwt").unwrap())]);
    }
    world.restore();
    let before = world.records();
    let refused = service.send(&renewing, after(200)).await.reply;
    assert_eq!((refused.status, refused.cookies.len()), (401, 0));
    assert_eq!(world.records(), before);
    let known = service.send(&world.request("userinfo, renewing"), after(200)).await.reply;
    assert_eq!((known.status, known.cookies.len()), (200, 2));
}

/// F40: a later version may write more into a record than this one knows.
#[tokio::test]
async fn what_a_later_version_adds_to_a_record_is_passed_over() {
    let world = World::new().await;
    let service = world.service();
    for (name, status) in REQUESTS {
        for record in ["user#0", "login#kimcoding", "session"] {
            world.change(record, |item| item["of_a_later_version"] = json!({ "M": { "more": { "S": "to know" } } }));
        }
        assert_eq!(service.send(&world.request(name), NOW).await.reply.status, status, "{name}");
        world.restore();
    }
}

/// F33, R94: a panic in the middle of any call is 500 without a word of why or who; the same environment serves the next
/// request.
#[tokio::test]
async fn a_panic_at_any_call_is_500_and_the_next_request_is_served() {
    let world = World::new().await;
    for (name, operation) in STEPS.into_iter().chain([("authorizer", "BatchGetItem")]) {
        world.restore();
        let mut config = Config::from_lookup(world.tables.settings(&[])).unwrap();
        config.throttle = name != "login, unthrottled";
        let is_first = Arc::new(AtomicBool::new(true));
        let client = testbed::before(&store::connect(&config), operation, move || {
            assert!(!is_first.swap(false, Ordering::Relaxed), "the word that nobody may see");
        });
        let service = Service::over(config, &client);
        if name == "authorizer" {
            // A failed invocation, which is no verdict.
            let question = world.question();
            assert!(service.ask(&question, NOW).await.is_none());
            assert_eq!(service.ask(&question, NOW).await.unwrap()["isAuthorized"], true);
            continue;
        }
        let Answer { reply, .. } = service.send(&world.request(name), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (500, 0), "{name} {operation}: {reply:?}");
        assert_eq!(reply.json()["detail"], "Something went wrong on our side.", "{name} {operation}");
        assert!(!reply.body().contains("nobody may see") && !names_somebody(&reply), "{name} {operation}");
        let next = service.send(&world.request(name), NOW).await.reply;
        assert_eq!(next.status, status_of(name), "{name} {operation}: {next:?}");
    }
}

/// F34: Lambda has frozen the environment, and meanwhile the other end of its connections is gone: with a reset, or without a
/// word. The first call after the thaw is made again over a new one, and nobody notices.
#[tokio::test]
async fn the_first_request_after_a_thaw_is_answered_over_a_new_connection() {
    let world = World::new().await;
    let resets = REQUESTS.map(|(name, _)| (name, Death::Reset));
    // Each takes as long as it takes to give up a call.
    let silences =
        ["login, unthrottled", "logout", "userinfo", "userinfo, renewing"].map(|name| (name, Death::Silence));
    for (name, death) in resets.into_iter().chain(silences) {
        let (settings, sockets) = world.tables.freezing().await;
        let service = Service::for_request(name, Config::from_lookup(settings).unwrap());
        let warm = service.send(&world.request(name), NOW).await;
        assert_eq!(warm.reply.status, status_of(name), "{name}");
        world.restore();
        let opened = sockets.opened();
        assert!(opened > 0 && opened < warm.calls.len() + 1, "{name}: nothing is kept open");

        sockets.die(death);
        let thawed = service.send(&world.request(name), NOW).await;
        assert_eq!(thawed.reply.status, status_of(name), "{name} {death:?}: {thawed:?}");
        assert!(sockets.opened() > opened && thawed.calls.len() > warm.calls.len(), "{name} {death:?}: {thawed:?}");

        world.restore();
        if name == "userinfo" || death == Death::Reset {
            sockets.die(death);
            let verdict = service.ask(&world.question(), NOW).await;
            assert_eq!(verdict.unwrap()["isAuthorized"], true, "{name} {death:?}");
        }
    }
}

/// F10, F11, F35: Lambda or the client ends the renewal in the middle: before its write, while it is under way, or when it is
/// made and nobody has been told. Whoever tries again within the window gets one successor, the same each time.
#[tokio::test]
async fn a_renewal_that_is_cut_off_can_be_made_again() {
    LocalSet::new().run_until(Box::pin(cut_off_after_each_call())).await;
}

async fn cut_off_after_each_call() {
    for (calls, generation) in [(0, "1"), (1, "1"), (2, "2")] {
        for (seconds, status) in [(10, 200), (11, if generation == "2" { 401 } else { 200 })] {
            let world = World::new().await;
            let (settings, gate) = world.tables.gated().await;
            let service = Service::new(Config::from_lookup(settings).unwrap());
            let renewing = world.request("userinfo, renewing");
            let running = spawn_local({
                let renewing = renewing.clone();
                async move { service.send(&renewing, NOW).await }
            });
            for _ in 0..calls {
                gate.let_one_pass().await;
            }
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled(), "{calls}: it was answered");
            let stored = world.tables.items("SessionsTable");
            let stored = stored.iter().find(|item| item["session_id"]["S"] == world.session).unwrap();
            assert_eq!(stored["gen"]["N"], generation, "{calls}");

            let again = world.service().send(&renewing, after(seconds)).await.reply;
            let once_more = world.service().send(&renewing, after(seconds)).await.reply;
            assert_eq!((again.status, once_more.status, again.cookies.len()), (status, status, 2), "{calls} {seconds}");
            if status == 200 {
                assert_eq!(again.cookie("refresh_jwt"), once_more.cookie("refresh_jwt"), "{calls} {seconds}");
            }
        }
    }
}

/// F12: a login that is cut off when its session is written down leaves one that nobody has a token of; it ends by its time,
/// and the next login works.
#[tokio::test]
async fn a_login_that_is_cut_off_leaves_a_session_that_ends_by_itself() {
    LocalSet::new().run_until(Box::pin(login_cut_off_after_its_write())).await;
}

async fn login_cut_off_after_its_write() {
    let world = World::new().await;
    let (settings, gate) = world.tables.gated().await;
    let service = Service::for_request("login, unthrottled", Config::from_lookup(settings).unwrap());
    let event = world.request("login");
    let running = spawn_local({
        let event = event.clone();
        async move { service.send(&event, NOW).await }
    });
    for _ in ["GetItem", "GetItem", "PutItem"] {
        gate.let_one_pass().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled(), "it was answered");
    let sessions = world.tables.items("SessionsTable");
    let known = [&world.session, &world.other];
    let orphan = sessions.iter().find(|item| known.iter().all(|id| item["session_id"]["S"] != **id)).unwrap();
    assert_eq!(orphan["idle_exp"]["N"], after(7 * DAY).as_secs().to_string());
    assert_eq!(world.service().send(&event, NOW).await.reply.status, 302);
}

/// F36: the gateway or the client sends the same event twice, one after the other or at once.
#[tokio::test]
async fn an_event_that_arrives_twice_is_answered_twice_and_never_500() {
    let world = World::new().await;
    for at_once in [false, true] {
        for (name, status) in REQUESTS {
            world.restore();
            let (one, other, event) = (world.service(), world.service(), world.request(name));
            let (first, second) = if at_once {
                join(one.send(&event, NOW), other.send(&event, NOW)).await
            } else {
                (one.send(&event, NOW).await, other.send(&event, NOW).await)
            };
            let replies = [first.reply, second.reply];
            let tokens = replies.each_ref().map(|reply| reply.cookie("refresh_jwt"));
            match name {
                "password" => {
                    // One of them finds another password; at once, it may also find that the account is being changed.
                    let others = replies.iter().filter(|reply| reply.status != status);
                    assert_eq!(others.clone().count(), 1, "{at_once}: {replies:?}");
                    assert!(others.map(|reply| reply.status).all(|status| matches!(status, 401 | 503)), "{replies:?}");
                }
                _ => assert!(replies.iter().all(|reply| reply.status == status), "{name} {at_once}: {replies:?}"),
            }
            match name {
                "userinfo, renewing" => assert_eq!(tokens[0], tokens[1], "{at_once}"),
                "login" | "login, unthrottled" => assert_ne!(tokens[0], tokens[1], "{name} {at_once}"),
                _ => {}
            }
        }
    }
}

/// The fourth of the rules for faults: when an answer is given, all is done. Lambda freezes what is still going on, and thaws it
/// in the middle of another request (F34).
#[tokio::test]
async fn nothing_goes_on_after_the_answer() {
    let world = World::new().await;
    let service = world.service();
    for (name, _) in REQUESTS {
        let wrong = world.request(name).body(r#"{"loginInfo":{"userId":"kimcoding","password":"4321"}}"#);
        for event in [world.request(name), wrong, world.request(name).without_cookies()] {
            service.send(&event, NOW).await;
            let records = [world.records(), world.tables.items("AttemptsTable")];
            for _ in 0..1000 {
                yield_now().await;
            }
            assert_eq!(service.calls.take(), Vec::<String>::new(), "{name}");
            assert_eq!([world.records(), world.tables.items("AttemptsTable")], records, "{name}");
            world.restore();
        }
    }
}

/// R62, R83: a renewal whose cookies cannot be made is not written down: else the browser would be left with a token that has
/// been used.
#[tokio::test]
async fn nothing_can_fail_after_a_renewal_is_written_down() {
    let world = World::new().await;
    world.change("user#0", |user| user["roles"] = json!({ "L": [{ "S": "r".repeat(3000) }] }));
    let before = world.records();
    let Answer { reply, calls, .. } = world.service().send(&world.request("userinfo, renewing"), NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (500, 0));
    assert_eq!((calls, world.records()), (vec!["BatchGetItem".to_owned()], before));
    world.change("user#0", |user| user["roles"] = json!({ "L": [] }));
    let renewed = world.service().send(&world.request("userinfo, renewing"), after(DAY)).await;
    assert_eq!((renewed.reply.status, renewed.calls.last().map(String::as_str)), (200, Some("UpdateItem")));
}
