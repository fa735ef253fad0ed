//! Every function over a store that is slow, unreachable, broken or holds unexpected records, at every call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use shared::config::Environment;
use shared::store;
use testbed::{Death, Event, Fault, Log};
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::world::{
    Answer, DAY, NOW, Service, World, after, all_requests, is_of_a_person, is_page, not_signed_in, reveals_a_user,
    says, status_of,
};

/// One call to DynamoDB: the request that makes it, its operation, and the number of earlier calls of this operation.
type Step = (&'static str, &'static str, usize);

/// Every call that must succeed for its request to succeed.
const STEPS: [Step; 48] = [
    ("login", "BatchGetItem", 0),
    ("login", "GetItem", 0),
    ("login", "PutItem", 0),
    ("login", "PutItem", 1),
    ("login", "PutItem", 2),
    ("logout", "UpdateItem", 0),
    ("logout, everywhere", "BatchGetItem", 0),
    ("logout, everywhere", "TransactWriteItems", 0),
    ("password", "BatchGetItem", 0),
    ("password", "BatchGetItem", 1),
    ("password", "GetItem", 0),
    ("password", "PutItem", 0),
    ("password", "TransactWriteItems", 0),
    ("sessions", "BatchGetItem", 0),
    ("sessions", "Query", 0),
    ("sessions", "BatchGetItem", 1),
    ("sessions, end one", "BatchGetItem", 0),
    ("sessions, end one", "UpdateItem", 0),
    ("sessions, end others", "BatchGetItem", 0),
    ("sessions, end others", "TransactWriteItems", 0),
    ("userinfo", "BatchGetItem", 0),
    ("userinfo, renewing", "BatchGetItem", 0),
    ("userinfo, renewing", "UpdateItem", 0),
    ("start", "BatchGetItem", 0),
    ("sign-in page, signed in", "BatchGetItem", 0),
    ("sign-in form", "BatchGetItem", 0),
    ("sign-in form", "GetItem", 0),
    ("sign-in form", "PutItem", 0),
    ("sign-in form", "PutItem", 1),
    ("sign-in form", "PutItem", 2),
    ("account page", "BatchGetItem", 0),
    ("account page", "Query", 0),
    ("account page", "BatchGetItem", 1),
    ("account page, renewing", "BatchGetItem", 0),
    ("account page, renewing", "UpdateItem", 0),
    ("password page", "BatchGetItem", 0),
    ("password form", "BatchGetItem", 0),
    ("password form", "BatchGetItem", 1),
    ("password form", "GetItem", 0),
    ("password form", "PutItem", 0),
    ("password form", "TransactWriteItems", 0),
    ("end one form", "BatchGetItem", 0),
    ("end one form", "UpdateItem", 0),
    ("end others form", "BatchGetItem", 0),
    ("end others form", "TransactWriteItems", 0),
    ("sign-out form", "UpdateItem", 0),
    ("sign-out everywhere form", "BatchGetItem", 0),
    ("sign-out everywhere form", "TransactWriteItems", 0),
];

/// The call of the authorizer.
const AUTHORIZER: Step = ("authorizer", "BatchGetItem", 0);

/// Returns the functions over tables whose calls meet these faults, from the call of `step` on.
async fn failing(world: &World, (_, operation, earlier_calls): Step, faults: &[Fault]) -> Service {
    let faults = [vec![Fault::Pass; earlier_calls], faults.to_vec()].concat();
    Service::new(Environment::new(world.tables.failing(&[(operation, &faults)]).await))
}

/// Sends the request of `step`, whose call meets these faults. Returns the response and how long it took.
async fn send_through(world: &World, step: Step, faults: &[Fault]) -> (Answer, Duration) {
    let service = failing(world, step, faults).await;
    let (event, started) = (world.request(step.0), Instant::now());
    (service.send(&event, NOW).await, started.elapsed())
}

/// Returns the requests that need a signed-in user and do not sign anyone out, with what they get without a user.
fn needing_a_user() -> impl Iterator<Item = (&'static str, (u16, Option<&'static str>))> {
    let needing = all_requests().filter_map(|(name, _)| Some((name, not_signed_in(name)?)));
    needing.filter(|(name, _)| !["logout, everywhere", "sign-out everywhere form"].contains(name))
}

/// Returns one world for each step, for steps that run at the same time.
async fn worlds() -> Vec<(World, Step)> {
    let mut worlds = Vec::new();
    for step in STEPS {
        worlds.push((World::new().await, step));
    }
    worlds
}

/// Runs all futures at the same time. They mostly wait. Each is boxed, because they are large.
async fn all_at_once(requests: impl IntoIterator<Item = impl Future<Output = ()>>) {
    join_all(requests.into_iter().map(Box::pin)).await;
}

/// Returns `true` for a 503 with `Retry-After` that sets no cookie and reveals no user.
fn is_outage(Answer { reply, .. }: &Answer) -> bool {
    (reply.status, reply.header("retry-after"), reply.cookies.len()) == (503, Some("1"), 0) && !reveals_a_user(reply)
}

/// F02, F04, F05, F06, F16, R94: a store that hangs or stays busy decides nothing, at any call. The response comes
/// before the function times out, no cookie changes, and the same request succeeds afterwards.
#[tokio::test]
async fn a_hanging_or_busy_store_is_503_in_time() {
    for fault in [Fault::Stall, Fault::Refuse(400, "ProvisionedThroughputExceededException")] {
        let worlds = worlds().await;
        let requests = worlds.iter().map(|(world, step)| async move {
            let (answer, took) = send_through(world, *step, &[fault; 12]).await;
            assert!(is_outage(&answer), "{step:?} {fault:?}: {answer:?}");
            assert_eq!(is_page(&answer.reply), is_of_a_person(step.0), "{step:?} {fault:?}: {answer:?}");
            assert!(took < Duration::from_secs(4), "{step:?} {fault:?}: {took:?}");
        });
        all_at_once(requests).await;
        for (world, step) in &worlds {
            let again = world.service().send(&world.request(step.0), NOW).await;
            assert_eq!(again.reply.status, status_of(step.0), "{step:?} {fault:?}: afterwards");
        }
        let (world, started) = (&worlds[0].0, Instant::now());
        let service = failing(world, AUTHORIZER, &[fault; 12]).await;
        let decision = service.authorize(&world.authorizer_event(), NOW).await;
        assert!(decision.is_none() && started.elapsed() < Duration::from_secs(3), "{fault:?}: {decision:?}");
    }
}

/// F16: if the invocation ends before the time budget of the store, the budget ends earlier.
#[tokio::test]
async fn the_response_comes_before_the_deadline_of_the_invocation() {
    let worlds = worlds().await;
    let requests = worlds.iter().map(|(world, step)| async move {
        let service = failing(world, *step, &[Fault::Stall; 12]).await;
        let (started, now) = (Instant::now(), UNIX_EPOCH.elapsed().unwrap());
        let deadline = now + Duration::from_secs(2);
        let event = world.request(step.0).deadline(u64::try_from(deadline.as_millis()).unwrap());
        let answer = service.send(&event, NOW).await;
        assert!(is_outage(&answer), "{step:?}: {answer:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{step:?}: {:?}", started.elapsed());
    });
    all_at_once(requests).await;
}

/// F17.
#[tokio::test]
async fn an_unreachable_store_is_503_in_every_function() {
    let world = World::new().await;
    for (name, _) in all_requests().filter(|(name, _)| !["sign-in page", "well-known"].contains(name)) {
        let service = Service::new(Environment::new(testbed::settings(&[])));
        let started = Instant::now();
        let answer = service.send(&world.request(name), NOW).await;
        assert!(is_outage(&answer), "{name}: {answer:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name}: {:?}", started.elapsed());
        assert_eq!(service.authorize(&world.authorizer_event(), NOW).await, None);
    }
}

/// F18: this includes a write whose first try may have reached the table.
#[tokio::test]
async fn every_function_retries_a_store_that_fails_twice() {
    let world = World::new().await;
    for fault in [Fault::Refuse(500, "InternalServerError"), Fault::LoseReply] {
        for step in STEPS {
            let (answer, took) = send_through(&world, step, &[fault; 2]).await;
            assert_eq!(answer.reply.status, status_of(step.0), "{step:?} {fault:?}: {answer:?}");
            assert!(took < Duration::from_secs(2), "{step:?} {fault:?}: {took:?}");
            world.restore();
        }
        let service = failing(&world, AUTHORIZER, &[fault; 2]).await;
        let decision = service.authorize(&world.authorizer_event(), NOW).await;
        assert_eq!(decision.unwrap()["isAuthorized"], true, "{fault:?}");
    }
}

/// F19, R93: a permanent error is not retried. It is logged at level `ERROR`. The cause is in the log and not in the
/// response.
#[tokio::test]
async fn a_permanent_store_error_is_500_and_logged_as_an_error() {
    let (world, log) = (World::new().await, Log::start());
    for code in ["AccessDeniedException", "ResourceNotFoundException", "ValidationException", "ExpiredTokenException"] {
        let is_error = |line: &str| line.contains("\"ERROR\"") && line.contains(code);
        for step in STEPS {
            world.restore();
            drop(log.take());
            let (answer, _) = send_through(&world, step, &[Fault::Refuse(400, code); 12]).await;
            let Answer { reply, calls, .. } = answer;
            assert_eq!((reply.status, reply.cookies.len()), (500, 0), "{step:?} {code}: {reply:?}");
            assert!(says(&reply, "The service is not set up correctly."), "{step:?} {code}: {reply:?}");
            assert_eq!(is_page(&reply), is_of_a_person(step.0), "{step:?} {code}");
            for word in [code, "as the test wants", "Table", "dynamo", "Dynamo"] {
                assert!(!reply.body().contains(word), "{step:?} {code}: {}", reply.body());
            }
            let tries = calls.iter().filter(|call| **call == step.1).count();
            assert_eq!(tries, step.2 + 1, "{step:?} {code}: {calls:?}");
            assert!(log.take().lines().any(is_error), "{step:?} {code}: no line at level ERROR");
        }
        drop(log.take());
        let service = failing(&world, AUTHORIZER, &[Fault::Refuse(400, code); 12]).await;
        assert_eq!(service.authorize(&world.authorizer_event(), NOW).await, None, "{code}");
        assert_eq!(service.calls.take().len(), 1, "{code}");
        assert!(log.take().lines().any(is_error), "{code}: no line at level ERROR");
    }
}

/// F20: the retries of a conflicting transaction have one client request token.
#[tokio::test]
async fn a_conflicting_transaction_is_retried_three_times() {
    for name in ["password", "sessions, end others"] {
        for (conflicts, is_written) in [(1, true), (3, true), (4, false)] {
            let world = World::new().await;
            let before = world.records();
            let service = failing(&world, (name, "TransactWriteItems", 0), &vec![Fault::Conflict; conflicts]).await;
            let answer = service.send(&world.request(name), NOW).await;
            let tries = answer.calls.iter().filter(|call| *call == "TransactWriteItems").count();
            assert_eq!(tries, (conflicts + 1).min(4), "{name} {conflicts}");
            if is_written {
                assert_eq!(answer.reply.status, 204, "{name} {conflicts}: {answer:?}");
            } else {
                assert!(is_outage(&answer), "{name} {conflicts}: {answer:?}");
                assert_eq!(world.records(), before, "{name} {conflicts}");
            }
        }
    }
}

/// F21: an unreadable session counts as ended. An unreadable user is a fault of the service. Both are logged at level
/// `ERROR`, neither is a panic, and no cookie changes.
#[tokio::test]
async fn an_unreadable_session_is_401_and_an_unreadable_user_is_500() {
    let log = Log::start();
    let number_of = ["epoch", "session_epoch", "password_version"];
    let corruptions = [
        ("another version", ["v"; 3], json!({ "N": "2" })),
        ("no version", ["v"; 3], Value::Null),
        ("a version of another type", ["v"; 3], json!({ "S": "1" })),
        ("a number of another type", number_of, json!({ "S": "x" })),
        ("a negative number", number_of, json!({ "N": "-1" })),
        ("a missing number", number_of, Value::Null),
        ("a list instead of a text", ["kid", "email", "password_hash"], json!({ "L": [] })),
    ];
    let world = World::new().await;
    let service = world.service();
    for (what, names, value) in corruptions {
        let corrupt = |item: &mut Value| corrupt(item, &names, &value);
        for (name, status) in all_requests() {
            let unknown = not_signed_in(name).map_or(401, |(status, _)| status);
            for (record, expected) in [("session", unknown), ("user#0", 500), ("login#kimcoding", 500)] {
                world.restore();
                world.change(record, corrupt);
                drop(log.take());
                let answer = service.send(&world.request(name), NOW).await;
                // A login reads no session. Only a login and a change of password read the `login#` item. A logout ends
                // a session without reading it. A logout everywhere reads the user and the session.
                let is_read = match (name, record) {
                    ("login" | "sign-in form", record) => record != "session",
                    ("logout" | "sign-out form" | "sign-in page" | "well-known", _) => false,
                    ("password" | "password form", _) => true,
                    (_, record) => record != "login#kimcoding",
                };
                // The person sees the sign-in form, so that they can sign in as another user.
                let sees_the_form = ["start", "sign-in page, signed in"].contains(&name) && record == "user#0";
                let is_read = is_read && !sees_the_form;
                let expected = match (sees_the_form, is_read) {
                    (true, _) => unknown,
                    (false, true) => expected,
                    (false, false) => status,
                };
                let Answer { reply, .. } = answer;
                assert_eq!(reply.status, expected, "{name}: {record} with {what}: {reply:?}");
                let clears = name.contains("everywhere") && reply.status == 401;
                assert!(!is_read || clears || reply.cookies.is_empty(), "{name}: {record} with {what}: {reply:?}");
                let is_logged = log.take().lines().any(|line| line.contains("\"ERROR\""));
                assert_eq!(is_logged, is_read, "{name}: {record} with {what}");
            }
        }
        for (record, expected) in [("session", Some(json!({ "isAuthorized": false }))), ("user#0", None)] {
            world.restore();
            world.change(record, corrupt);
            let decision = service.authorize(&world.authorizer_event(), NOW).await;
            assert_eq!(decision, expected, "{record} with {what}");
        }
    }
}

/// Replaces the first of these attributes that the item has with `value`. `null` removes it.
fn corrupt(item: &mut Value, names: &[&str], value: &Value) {
    let attributes = item.as_object_mut().unwrap();
    let name = names.iter().find(|name| attributes.contains_key(**name)).unwrap();
    attributes.remove(*name);
    attributes.extend((!value.is_null()).then(|| ((*name).to_owned(), value.clone())));
}

/// F22, R72: DynamoDB may delete a record days after its session expired. The session is expired nevertheless. Only the
/// first renewal that finds it expired changes the record: it ends the session (F29).
#[tokio::test]
async fn a_session_is_expired_while_its_record_still_exists() {
    let world = World::new().await;
    let (service, mut expected) = (world.service(), world.records());
    let expired = expected.iter_mut().find(|item| item["session_id"]["S"] == world.session).unwrap();
    expired["ended_at"] = json!({ "N": after(7 * DAY).as_secs().to_string() });
    expired["ttl"] = json!({ "N": after(14 * DAY).as_secs().to_string() });
    expired.as_object_mut().unwrap().remove("active_key");
    for secs in [7 * DAY, 8 * DAY, 30 * DAY, 37 * DAY, 40 * DAY] {
        for (name, expected) in needing_a_user() {
            let both = [format!("access_jwt={}", world.access), format!("refresh_jwt={}", world.refresh)];
            let Answer { reply, .. } = service.send(&world.request(name).cookies(both), after(secs)).await;
            assert_eq!((reply.status, reply.header("location")), expected, "{name} after {secs} s");
            assert_eq!(reply.cookies.len(), 0, "{name} after {secs} s");
        }
        let decision = service.authorize(&world.authorizer_event(), after(secs)).await.unwrap();
        assert_eq!(decision["isAuthorized"], false, "{secs}");
        assert_eq!(world.records(), expected, "{secs}");
    }
}

/// F23: an active session whose record was deleted has ended. No function writes the record again, and no cookie
/// changes.
#[tokio::test]
async fn a_deleted_session_is_401_and_is_not_written_again() {
    let world = World::new().await;
    let service = world.service();
    for id in [&world.session, &world.other] {
        world.tables.delete("SessionsTable", &json!({ "user_id": { "S": "0" }, "session_id": { "S": id } }));
    }
    for (name, expected) in needing_a_user() {
        let Answer { reply, .. } = service.send(&world.request(name), NOW).await;
        assert_eq!(
            (reply.status, reply.header("location"), reply.cookies.len()),
            (expected.0, expected.1, 0),
            "{name}"
        );
    }
    for (name, status) in
        [("logout", 205), ("logout, everywhere", 401), ("sign-out form", 303), ("sign-out everywhere form", 401)]
    {
        assert_eq!(service.send(&world.request(name), NOW).await.reply.status, status, "{name}");
    }
    assert_eq!(world.tables.items("SessionsTable"), Vec::<Value>::new());
    let decision = service.authorize(&world.authorizer_event(), NOW).await;
    assert_eq!(decision, Some(json!({ "isAuthorized": false })));
}

/// F24, R73: no function may read stale data. Each read is strongly consistent, also that of the local secondary index.
#[tokio::test]
async fn every_read_of_every_function_is_strongly_consistent() {
    let world = World::new().await;
    let settings = [("SESSIONS_PER_USER", "10"), ("DEVICE_COOKIE", "on")];
    let service = Service::new(world.tables.environment(&settings));
    let (mut reads, mut writes) = (BTreeSet::new(), BTreeSet::new());
    for (name, status) in all_requests().chain([("authorizer", 0)]) {
        if name == "authorizer" {
            assert!(service.authorize(&world.authorizer_event(), NOW).await.is_some());
        } else {
            assert_eq!(service.reply_to(&world.request(name), NOW).await.status, status, "{name}");
        }
        for (operation, input) in service.calls.take_whole() {
            let is_consistent = match operation.as_str() {
                "GetItem" | "Query" => input["ConsistentRead"] == true,
                "BatchGetItem" => {
                    input["RequestItems"].as_object().unwrap().values().all(|keys| keys["ConsistentRead"] == true)
                }
                "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" => {
                    writes.insert(operation);
                    continue;
                }
                _ => panic!("{name}: this test does not know {operation}"),
            };
            assert!(is_consistent, "{name}: {operation} {input}");
            reads.insert(operation);
        }
        world.restore();
    }
    assert!(reads.into_iter().eq(["BatchGetItem", "GetItem", "Query"]));
    assert_eq!(writes.len(), 4, "{writes:?}");
}

/// F24: the table was restored to a state before the last renewals. A later token is refused, but that is not reuse:
/// the session stays active for the holder of the token that its record knows.
#[tokio::test]
async fn a_token_newer_than_a_restored_record_is_not_reuse() {
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

/// F40: a later version may write attributes that this version does not know.
#[tokio::test]
async fn unknown_attributes_of_a_record_are_ignored() {
    let world = World::new().await;
    let service = world.service();
    for (name, status) in all_requests() {
        for record in ["user#0", "login#kimcoding", "session"] {
            world.change(record, |item| item["of_a_later_version"] = json!({ "M": { "more": { "S": "to know" } } }));
        }
        assert_eq!(service.send(&world.request(name), NOW).await.reply.status, status, "{name}");
        world.restore();
    }
}

/// F33, R94: a panic during any call is 500, without its cause and without a user. The same instance serves the next
/// request.
#[tokio::test]
async fn a_panic_at_any_call_is_500_and_the_next_request_is_served() {
    let world = World::new().await;
    for step in STEPS.into_iter().chain([AUTHORIZER]) {
        world.restore();
        let (name, operation, earlier_calls) = step;
        let env = world.tables.environment(&[]);
        let calls = Arc::new(AtomicUsize::new(0));
        let client = testbed::before(&store::connect(&env).unwrap(), operation, move || {
            assert_ne!(calls.fetch_add(1, Ordering::Relaxed), earlier_calls, "a cause that no response may contain");
        });
        let service = Service::over(env, &client);
        if step == AUTHORIZER {
            // The invocation fails, which is not a decision.
            let event = world.authorizer_event();
            assert!(service.authorize(&event, NOW).await.is_none());
            assert_eq!(service.authorize(&event, NOW).await.unwrap()["isAuthorized"], true);
            continue;
        }
        let Answer { reply, .. } = service.send(&world.request(name), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (500, 0), "{step:?}: {reply:?}");
        assert!(says(&reply, "Something went wrong on our side."), "{step:?}: {reply:?}");
        assert_eq!(is_page(&reply), is_of_a_person(name), "{step:?}");
        assert!(!reply.body().contains("no response may contain") && !reveals_a_user(&reply), "{step:?}");
        let next = service.send(&world.request(name), NOW).await.reply;
        assert_eq!(next.status, status_of(name), "{step:?}: {next:?}");
    }
}

/// F34: while Lambda had frozen the instance, its connections died, with or without a reset. The first call after the
/// thaw is retried over a new connection, and the request succeeds.
#[tokio::test]
async fn the_first_request_after_a_thaw_is_answered_over_a_new_connection() {
    let world = World::new().await;
    let with_calls = all_requests().filter(|(name, _)| !["sign-in page", "well-known"].contains(name));
    let resets = with_calls.map(|(name, _)| (name, Death::Reset));
    // Each takes as long as the timeout of a call.
    let silences = ["login", "logout", "userinfo", "userinfo, renewing"].map(|name| (name, Death::Silence));
    for (name, death) in resets.into_iter().chain(silences) {
        let (settings, sockets) = world.tables.freezing().await;
        let service = Service::new(Environment::new(settings));
        let warm = service.send(&world.request(name), NOW).await;
        assert_eq!(warm.reply.status, status_of(name), "{name}");
        world.restore();
        let opened = sockets.opened();
        assert!(opened > 0 && opened < warm.calls.len() + 1, "{name}: no connection is reused");

        sockets.die(death);
        let thawed = service.send(&world.request(name), NOW).await;
        assert_eq!(thawed.reply.status, status_of(name), "{name} {death:?}: {thawed:?}");
        assert!(sockets.opened() > opened && thawed.calls.len() > warm.calls.len(), "{name} {death:?}: {thawed:?}");

        world.restore();
        if name == "userinfo" || death == Death::Reset {
            sockets.die(death);
            let decision = service.authorize(&world.authorizer_event(), NOW).await;
            assert_eq!(decision.unwrap()["isAuthorized"], true, "{name} {death:?}");
        }
    }
}

/// F10, F11, F35: Lambda or the client interrupts a renewal before its read, before its write, or after its write but
/// before the response. Every retry within the grace period gets the same successor.
#[tokio::test]
async fn an_interrupted_renewal_can_be_retried() {
    LocalSet::new().run_until(Box::pin(interrupt_a_renewal_after_each_call())).await;
}

async fn interrupt_a_renewal_after_each_call() {
    for (calls, generation) in [(0, "1"), (1, "1"), (2, "2")] {
        for (seconds, status) in [(10, 200), (11, if generation == "2" { 401 } else { 200 })] {
            let world = World::new().await;
            let (settings, gate) = world.tables.gated().await;
            let service = Service::new(Environment::new(settings));
            let renewing = world.request("userinfo, renewing");
            let running = spawn_local({
                let renewing = renewing.clone();
                async move { service.send(&renewing, NOW).await }
            });
            for _ in 0..calls {
                gate.let_one_pass().await;
            }
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled(), "{calls}: it was not interrupted");
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

/// F12: a login that is interrupted after its session was written leaves a session without tokens. It expires by
/// itself, and the next login succeeds.
#[tokio::test]
async fn an_interrupted_login_leaves_a_session_that_expires() {
    LocalSet::new().run_until(Box::pin(interrupt_a_login_after_its_write())).await;
}

async fn interrupt_a_login_after_its_write() {
    let world = World::new().await;
    let (settings, gate) = world.tables.gated().await;
    let service = Service::new(Environment::new(settings));
    let event = world.request("login");
    let running = spawn_local({
        let event = event.clone();
        async move { service.send(&event, NOW).await }
    });
    for _ in ["BatchGetItem", "GetItem", "PutItem", "PutItem"] {
        gate.let_one_pass().await;
    }
    assert_eq!(world.tables.items("SessionsTable").len(), 2, "the session is not written yet");
    // The session is written while the attempt is removed.
    while world.tables.items("SessionsTable").len() == 2 {
        gate.let_one_pass().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled(), "it was not interrupted");
    let sessions = world.tables.items("SessionsTable");
    let known = [&world.session, &world.other];
    let orphan = sessions.iter().find(|item| known.iter().all(|id| item["session_id"]["S"] != **id)).unwrap();
    assert_eq!(orphan["idle_exp"]["N"], after(7 * DAY).as_secs().to_string());
    assert_eq!(world.service().send(&event, NOW).await.reply.status, 302);
}

/// Where a changed password leads.
const CHANGED: &str = "/userinfo?notice=password-changed";

/// F36: the gateway or the client sends the same event twice, one after the other or at the same time.
#[tokio::test]
async fn a_duplicate_event_is_answered_twice_and_never_with_500() {
    let world = World::new().await;
    for at_once in [false, true] {
        for (name, status) in all_requests() {
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
                // The other one has no active session any more.
                "logout, everywhere" | "sign-out everywhere form" => {
                    let mut statuses = replies.each_ref().map(|reply| reply.status);
                    statuses.sort_unstable();
                    assert_eq!(statuses, [status, 401], "{at_once}: {replies:?}");
                }
                "password form" => {
                    // The other one is not signed in any more, or meets the concurrent update.
                    let others = replies.iter().filter(|reply| reply.header("location") != Some(CHANGED));
                    assert_eq!(others.clone().count(), 1, "{at_once}: {replies:?}");
                    assert!(others.map(|reply| reply.status).all(|status| matches!(status, 303 | 503)), "{replies:?}");
                }
                "password" => {
                    // One of them finds a new password, or meets the concurrent update.
                    let others = replies.iter().filter(|reply| reply.status != status);
                    assert_eq!(others.clone().count(), 1, "{at_once}: {replies:?}");
                    assert!(others.map(|reply| reply.status).all(|status| matches!(status, 401 | 503)), "{replies:?}");
                }
                _ => assert!(replies.iter().all(|reply| reply.status == status), "{name} {at_once}: {replies:?}"),
            }
            match name {
                "userinfo, renewing" | "account page, renewing" => assert_eq!(tokens[0], tokens[1], "{at_once}"),
                "login" | "sign-in form" => assert_ne!(tokens[0], tokens[1], "{name} {at_once}"),
                _ => {}
            }
        }
    }
}

/// The fourth rule for faults: all work is done before the response. Lambda freezes unfinished work and thaws it during
/// another request (F34).
#[tokio::test]
async fn no_work_continues_after_the_response() {
    let world = World::new().await;
    let service = world.service();
    for (name, _) in all_requests() {
        let wrong = world.request(name).body(r#"{"loginInfo":{"userId":"kimcoding","password":"4321"}}"#);
        let wrong_form = world.request(name).form_body("userId=kimcoding&password=4321");
        for event in [world.request(name), wrong, wrong_form, world.request(name).without_cookies()] {
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

/// R62: a renewal whose cookies cannot be made is not written. Otherwise the browser would be left with a replaced
/// token.
#[tokio::test]
async fn a_renewal_for_a_user_whom_no_token_can_name_is_not_written() {
    let world = World::new().await;
    world.change("user#0", |user| user["email"] = json!({ "S": "" }));
    let before = world.records();
    let Answer { reply, calls, .. } = world.service().send(&world.request("userinfo, renewing"), NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (500, 0));
    assert_eq!((calls, world.records()), (vec!["BatchGetItem".to_owned()], before));
    world.restore();
    let renewed = world.service().send(&world.request("userinfo, renewing"), after(DAY)).await;
    assert_eq!((renewed.reply.status, renewed.calls.last().map(String::as_str)), (200, Some("UpdateItem")));
}
