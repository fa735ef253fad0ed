use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::http::Site;
use shared::store::{self, Sessions, Users};
use shared::token::{Signer, Verifier};
use testbed::{Calls, Event, Fault, Log, Reply, Tables};

use super::*;

mod page;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn environment(tables: &Tables, changes: &[(&str, &str)]) -> Environment {
    Environment::new(tables.settings(changes))
}

fn login(env: &Environment) -> Login {
    Login::from_env(store::connect(env).unwrap(), env).unwrap()
}

/// Returns a function whose calls are recorded.
fn observed(env: &Environment) -> (Login, Calls) {
    let (client, calls) = Calls::of(&store::connect(env).unwrap());
    (Login::from_env(client, env).unwrap(), calls)
}

async fn send(env: &Environment, event: Event) -> Reply {
    send_at(env, event, NOW).await
}

async fn send_at(env: &Environment, event: Event, now: Timestamp) -> Reply {
    answer(&login(env), env, &event, now).await
}

async fn answer(login: &Login, env: &Environment, event: &Event, now: Timestamp) -> Reply {
    let origins = Site::from_env(env).unwrap();
    event.send(&mut http::service(origins, |request| login.handle(request, now))).await
}

fn form(user_id: &str, password: &str) -> Event {
    let body = json!({ "loginInfo": { "userId": user_id, "password": password } });
    Event::recorded("login").body(body.to_string())
}

async fn with_kim() -> (Tables, Environment) {
    let tables = Tables::new().await;
    let env = environment(&tables, &[]);
    testbed::add_kim(&env).await;
    (tables, env)
}

/// Changes an attribute of an item in the users table.
fn change(tables: &Tables, pk: &str, name: &str, value: Value) {
    let mut item = tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == pk).unwrap();
    item[name] = value;
    tables.put("UsersTable", &item);
}

#[tokio::test]
async fn a_persistent_login_sets_two_cookies_with_an_expiry() {
    let (tables, env) = with_kim().await;
    let reply = send(&env, Event::recorded("login")).await;
    assert_eq!((reply.status, reply.header("location"), reply.body()), (302, Some("/userinfo"), ""));
    let [access, refresh] = &reply.cookies[..] else { panic!("{:?}", reply.cookies) };
    let attributes = "; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost";
    assert!(access.starts_with("access_jwt=ey") && refresh.starts_with("refresh_jwt=ey"));
    assert!(
        access.ends_with(&format!("{attributes}; Max-Age=86400; Expires=Sat, 16 Jan 2027 08:00:00 GMT")),
        "{access}"
    );
    assert!(
        refresh.ends_with(&format!("{attributes}; Max-Age=604800; Expires=Fri, 22 Jan 2027 08:00:00 GMT")),
        "{refresh}"
    );
    assert_eq!(tables.items("SessionsTable").len(), 1);
}

#[tokio::test]
async fn a_login_that_is_not_persistent_sets_one_cookie_without_an_expiry() {
    let (tables, env) = with_kim().await;
    for flag in [json!({}), json!({ "checkedKeepLogin": false }), json!({ "checkedKeepLogin": null })] {
        let mut body = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } });
        body.as_object_mut().unwrap().extend(flag.as_object().unwrap().clone());
        let reply = send(&env, Event::recorded("login").body(body.to_string())).await;
        assert_eq!((reply.status, reply.cookies.len()), (302, 1), "{flag}");
        assert!(reply.cookies[0].ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost"));
    }
    assert!(tables.items("SessionsTable").iter().all(|session| session["persistent"] == json!({ "BOOL": false })));
}

#[tokio::test]
async fn without_a_domain_the_cookies_are_host_only() {
    let tables = Tables::new().await;
    let env = environment(&tables, &[("COOKIE_DOMAIN", "")]);
    testbed::add_kim(&env).await;
    let reply = send(&env, Event::recorded("login")).await;
    assert!(reply.cookie("__Host-access_jwt").is_some() && reply.cookie("__Host-refresh_jwt").is_some());
    assert!(reply.cookies.iter().all(|line| !line.contains("Domain")), "{:?}", reply.cookies);
}

/// R17: the response is the same to the last byte for every reason.
#[tokio::test]
async fn every_refused_login_gets_the_same_401_and_opens_no_session() {
    let (tables, env) = with_kim().await;
    let mut refusals = Vec::new();
    for (name, password) in
        [("unknown", "1234"), ("kimcoding", "4321"), ("kimcoding", ""), ("", ""), ("two words", "1234"), ("김", "1234")]
    {
        refusals.push(send(&env, form(name, password)).await);
    }
    change(&tables, "user#0", "disabled", json!({ "BOOL": true }));
    refusals.push(send(&env, form("kimcoding", "1234")).await);
    change(&tables, "user#0", "disabled", json!({ "BOOL": false }));
    let mut credentials =
        tables.items("UsersTable").into_iter().find(|item| item.get("password_hash").is_some()).unwrap();
    credentials.as_object_mut().unwrap().remove("password_hash");
    tables.put("UsersTable", &credentials);
    for password in ["", "1234"] {
        refusals.push(send(&env, form("kimcoding", password)).await);
    }
    for refusal in refusals {
        assert_eq!((refusal.status, refusal.body()), (401, "Not Authorized"));
        assert_eq!(refusal.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(refusal.cookies.is_empty());
    }
    assert!(tables.items("SessionsTable").is_empty());
}

/// R5, R29.
#[tokio::test]
async fn an_invalid_request_makes_no_call_and_computes_no_hash() {
    let (_tables, env) = with_kim().await;
    let (login, calls) = observed(&env);
    for invalid in [
        form("kimcoding", &"p".repeat(4097)),
        Event::recorded("login-malformed"),
        Event::recorded("login").header("origin", "https://evil.example"),
        Event::recorded("login").header("content-type", "text/plain"),
    ] {
        let before = login.authenticator.hasher.evaluations();
        assert!(matches!(answer(&login, &env, &invalid, NOW).await.status, 400 | 403 | 415));
        assert!(calls.take().is_empty() && login.authenticator.hasher.evaluations() == before, "{invalid:?}");
    }
}

/// R32: the time to canonicalise a name grows with the square of its length, so that the length has a bound.
#[tokio::test]
async fn a_long_login_name_is_refused_in_bounded_time() {
    let (_tables, env) = with_kim().await;
    let started = Instant::now();
    for name in [format!("{}\u{30a1}", "\u{30fb}".repeat(2600)), "\u{660}".repeat(3900)] {
        assert_eq!(send(&env, form(&name, "1234")).await.status, 401);
    }
    assert!(started.elapsed() < Duration::from_secs(2), "without the bound each login takes 2.1 s");
}

/// R25. The key id is stored so that the same refresh token can be signed again after a key rotation.
#[tokio::test]
async fn a_session_stores_the_user_agent_the_source_address_and_the_key_id() {
    let (tables, env) = with_kim().await;
    send(&env, Event::recorded("login").header("x-forwarded-for", "1.2.3.4")).await;
    let session = tables.items("SessionsTable").remove(0);
    assert_eq!(session["source_ip"], json!({ "S": "203.0.113.7" }));
    assert!(session["user_agent"]["S"].as_str().unwrap().contains("Firefox"));
    assert_eq!(session["kid"]["S"], Signer::from_env(&env).unwrap().refresh_kid(NOW));
}

/// Returns the login times of the sessions that have not ended, in ascending order.
fn active(tables: &Tables) -> Vec<String> {
    let mut active = tables.items("SessionsTable");
    active.retain(|session| session.get("ended_at").is_none());
    let mut logins: Vec<_> = active.iter().map(|item| item["created_at"]["N"].as_str().unwrap().to_owned()).collect();
    logins.sort();
    logins
}

/// R77.
#[tokio::test]
async fn a_login_beyond_the_limit_ends_the_oldest_session() {
    let (tables, _) = with_kim().await;
    let env = environment(&tables, &[("SESSIONS_PER_USER", "3")]);
    testbed::add_park(&env).await;
    send(&env, form("parkhacker", "5678")).await;
    for second in 1..=5 {
        assert_eq!(send_at(&env, Event::recorded("login"), NOW + Duration::from_secs(second)).await.status, 302);
    }
    assert_eq!(
        active(&tables),
        ["1800000000", "1800000003", "1800000004", "1800000005"],
        "the session of another user stays active"
    );
}

/// R77: the time of the last renewal does not count.
#[tokio::test]
async fn the_oldest_session_is_the_one_with_the_earliest_login() {
    let (tables, _) = with_kim().await;
    let env = environment(&tables, &[("SESSIONS_PER_USER", "2")]);
    send_at(&env, Event::recorded("login"), NOW).await;
    let mut renewed = tables.items("SessionsTable").remove(0);
    renewed["issued_at"] = json!({ "N": "1800000100" });
    tables.put("SessionsTable", &renewed);
    for second in [1, 101] {
        send_at(&env, Event::recorded("login"), NOW + Duration::from_secs(second)).await;
    }
    assert_eq!(active(&tables), ["1800000001", "1800000101"]);
}

/// R77, F29: the instance of the earlier logins has a fast clock, or all logins are in the same second.
#[tokio::test]
async fn the_session_that_was_just_opened_is_never_the_one_to_end() {
    for limit in ["1", "3"] {
        for ahead in [0, 1, 30] {
            let (tables, _) = with_kim().await;
            let env = environment(&tables, &[("SESSIONS_PER_USER", limit)]);
            for _ in 0..limit.parse().unwrap() {
                let fast = send_at(&env, Event::recorded("login"), NOW + Duration::from_secs(ahead)).await;
                assert_eq!(fast.status, 302);
            }
            for _ in 0..3 {
                let reply = send_at(&env, Event::recorded("login"), NOW).await;
                let token = reply.cookie("access_jwt").unwrap();
                let verifier = Verifier::for_access_tokens(&env).unwrap();
                let claims = verifier.verify(token.as_bytes(), NOW).unwrap();
                let sessions = tables.items("SessionsTable");
                let opened = sessions.iter().find(|item| item["session_id"]["S"] == claims.sid.as_str()).unwrap();
                assert_eq!((reply.status, opened.get("ended_at")), (302, None), "{limit} {ahead}");
            }
            assert_eq!(active(&tables).len().to_string(), limit);
        }
    }
}

/// R77, F02: the new session is stored, and its owner gets its cookies. The next login applies the limit again.
#[tokio::test]
async fn a_login_that_cannot_apply_the_limit_succeeds_and_the_next_one_applies_it() {
    let (tables, _) = with_kim().await;
    let env = environment(&tables, &[("SESSIONS_PER_USER", "1")]);
    send(&env, Event::recorded("login")).await;
    for operation in ["Query", "BatchGetItem", "TransactWriteItems"] {
        let failing = tables.failing(&[(operation, &[Fault::Refuse(400, "ThrottlingException"); 9])]).await;
        let mut login = login(&env);
        let failing = Environment::new(failing);
        login.renewal.sessions = Sessions::from_env(store::connect(&failing).unwrap(), &failing).unwrap();
        let log = Log::start();
        let reply = answer(&login, &env, &Event::recorded("login"), NOW).await;
        assert_eq!((reply.status, reply.cookies.len()), (302, 2), "{operation}");
        assert!(log.take().contains("sessions_not_ended"), "{operation}");
    }
    assert_eq!(active(&tables).len(), 4);
    send(&env, Event::recorded("login")).await;
    assert_eq!(active(&tables).len(), 1);
}

/// R77: the last of the concurrent logins sees all the others. Each login comes from a known device with an attempt
/// counter of its own, so that the logins compete for sessions only.
#[tokio::test]
async fn ten_concurrent_logins_leave_as_many_sessions_as_the_limit() {
    let (tables, _) = with_kim().await;
    let env = environment(&tables, &[("SESSIONS_PER_USER", "3"), ("DEVICE_COOKIE", "on")]);
    let logins = [(); 10].map(|()| {
        let login = login(&env);
        let device = login.devices.as_ref().unwrap().issue(None, "kimcoding", 1, NOW).unwrap();
        let cookie = format!("device={}", device.value.expose_secret());
        (login, Event::recorded("login").cookies([cookie]))
    });
    let replies = join_all(logins.iter().map(|(login, event)| answer(login, &env, event, NOW))).await;
    assert_eq!((tables.items("SessionsTable").len(), active(&tables).len()), (10, 3), "{replies:?}");
    assert!(replies.iter().all(|reply| reply.status == 302), "{replies:?}");
}

/// R28.
#[tokio::test]
async fn a_login_ends_the_sessions_whose_cookies_the_browser_sent() {
    let (tables, env) = with_kim().await;
    let first = send(&env, Event::recorded("login")).await;
    let (access, refresh) = (first.cookie("access_jwt").unwrap(), first.cookie("refresh_jwt").unwrap());
    let again = Event::recorded("login").cookies([format!("refresh_jwt={refresh}"), format!("access_jwt={access}")]);
    let (login, calls) = observed(&env);
    assert_eq!(answer(&login, &env, &again, NOW).await.status, 302);
    let mut after_the_hash = calls.take().split_off(4);
    after_the_hash[..3].sort();
    let expected = ["DeleteItem", "PutItem", "UpdateItem", "UpdateItem", "Query"];
    assert_eq!(after_the_hash, expected, "one call ends the session, and one applies the limit");
    let ended = |session: &&Value| session.get("ended_at").is_some();
    assert_eq!(
        (tables.items("SessionsTable").len(), tables.items("SessionsTable").iter().filter(ended).count()),
        (2, 1)
    );
    let refused = Event::recorded("login-wrong").cookies([format!("refresh_jwt={refresh}")]);
    assert_eq!(send(&env, refused).await.status, 401);
    assert_eq!(tables.items("SessionsTable").iter().filter(ended).count(), 1, "a refused login ends no session");
}

/// R83: a token with many roles would be too large for a cookie. The claim has at most 1 KiB of JSON.
#[tokio::test]
async fn a_user_whose_roles_are_larger_than_1_kib_signs_in_with_a_token_without_roles() {
    let (tables, env) = with_kim().await;
    let thousand: Vec<_> = (0..1000).map(|number| format!("role-{number}")).collect();
    for (roles, left_out) in [
        (vec!["admin".to_owned()], None),
        (vec!["r".repeat(1020)], None),
        (vec!["r".repeat(1021)], Some(1025)),
        (vec!["r".repeat(3000)], Some(3004)),
        (thousand, Some(10_891)),
    ] {
        let list: Vec<_> = roles.iter().map(|role| json!({ "S": role })).collect();
        change(&tables, "user#0", "roles", json!({ "L": list }));
        let log = testbed::Log::start();
        let reply = send(&env, Event::recorded("login")).await;
        assert_eq!((reply.status, reply.cookies.len()), (302, 2), "{left_out:?}");
        let verifier = Verifier::for_access_tokens(&env).unwrap();
        let claims = verifier.verify(reply.cookie("access_jwt").unwrap().as_bytes(), NOW).unwrap();
        assert_eq!(claims.roles, if left_out.is_some() { vec![] } else { roles });
        let events = log.events("roles_left_out");
        let written: Vec<_> = events.iter().map(|event| (&event["level"], &event["user"], &event["bytes"])).collect();
        let expected = left_out.map(|bytes| (json!("WARN"), json!("0"), json!(bytes)));
        assert_eq!(written, expected.iter().map(|(level, user, bytes)| (level, user, bytes)).collect::<Vec<_>>());
    }
}

/// F21: a token of such a user would never verify.
#[tokio::test]
async fn a_login_of_a_user_with_an_email_that_no_token_can_carry_is_500_and_an_event() {
    for email in [String::new(), "\t".to_owned(), "k".repeat(256), "k".repeat(3000)] {
        let (tables, env) = with_kim().await;
        change(&tables, "user#0", "email", json!({ "S": email }));
        let log = testbed::Log::start();
        let failed = send(&env, Event::recorded("login")).await;
        assert_eq!((failed.status, failed.cookies.len(), tables.items("SessionsTable").len()), (500, 0, 0));
        let events = log.events("record_unreadable");
        assert!(events.len() == 1 && events[0]["causes"].as_str().unwrap().contains("e-mail"), "{events:?}");
    }
}

/// A change of password between the two reads of a login causes this.
#[tokio::test]
async fn a_login_that_reads_two_password_versions_is_refused() {
    for record in ["user#0", "login#kimcoding"] {
        let (tables, env) = with_kim().await;
        change(&tables, record, "password_version", json!({ "N": "2" }));
        assert_eq!(send(&env, form("kimcoding", "1234")).await.status, 401, "{record}");
        assert!(tables.items("SessionsTable").is_empty());
    }
}

/// R31.
#[tokio::test]
async fn a_login_name_matches_in_any_case_and_width() {
    let (_tables, env) = with_kim().await;
    for name in ["KimCoding", "KIMCODING", "ｋｉｍｃｏｄｉｎｇ"] {
        assert_eq!(send(&env, form(name, "1234")).await.status, 302, "{name}");
    }
}

/// R31.
#[tokio::test]
async fn white_space_at_the_ends_of_the_login_name_is_ignored() {
    let (_tables, env) = with_kim().await;
    for name in ["kimcoding ", " kimcoding", "\tKimCoding\r\n", "\u{a0}kimcoding\u{200b}", "\u{feff}kimcoding"] {
        assert_eq!(send(&env, form(name, "1234")).await.status, 302, "{name:?}");
    }
    assert_eq!(send(&env, form("kim coding", "1234")).await.status, 401);
    assert_eq!(send(&env, form("kimcoding", "1234 ")).await.status, 401, "a password is never changed");
}

/// R30.
#[tokio::test]
async fn an_invalid_body_is_rejected_before_any_call() {
    let (tables, env) = with_kim().await;
    let (login, calls) = observed(&env);
    let info = r#""userId":"kimcoding","password":"1234""#;
    for body in [
        String::new(),
        "{}".into(),
        format!("{{{info}}}"),
        r#"{"loginInfo":{"userId":"kimcoding"}}"#.into(),
        r#"{"loginInfo":{"userId":"kimcoding","password":["1234"]}}"#.into(),
        r#"{"loginInfo":{"userId":"kimcoding","password":true}}"#.into(),
        r#"{"loginInfo":{"userId":null,"password":"1234"}}"#.into(),
        format!(r#"{{"loginInfo":{{{info},"role":"admin"}}}}"#),
        format!(r#"{{"loginInfo":{{{info},"password":"1234"}}}}"#),
        format!(r#"{{"loginInfo":{{{info},"userId":"parkhacker"}}}}"#),
        r#"{"loginInfo":{"userId":["kimcoding"],"password":"1234"}}"#.into(),
        format!(r#"{{"loginInfo":{{{info}}},"loginInfo":{{{info}}}}}"#),
        format!(r#"{{"loginInfo":{{{info}}},"checkedKeepLogin":"true"}}"#),
        format!(r#"{{"loginInfo":{{{info}}},"checkedKeepLogin":1}}"#),
        format!(r#"{{"loginInfo":{{{info}}},"keep":true}}"#),
        r#"{"loginInfo":["kimcoding","1234"]}"#.into(),
        format!(r"[{{{info}}},true]"),
    ] {
        let rejected = answer(&login, &env, &Event::recorded("login").body(body.clone()), NOW).await;
        assert_eq!((rejected.status, rejected.cookies.len()), (400, 0), "{body}");
    }
    for event in [Event::recorded("login-malformed"), form("kimcoding", &"p".repeat(4097))] {
        assert_eq!(answer(&login, &env, &event, NOW).await.status, 400, "{event:?}");
    }
    assert!(calls.take().is_empty() && tables.items("SessionsTable").is_empty());
}

/// R90.
#[tokio::test]
async fn any_method_except_post_is_405_and_opens_no_session() {
    let (tables, env) = with_kim().await;
    let refused = send(&env, Event::recorded("login").method("GET")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    assert!(tables.items("SessionsTable").is_empty());
}

/// R29.
#[tokio::test]
async fn a_foreign_origin_or_another_media_type_opens_no_session() {
    let (tables, env) = with_kim().await;
    let foreign = Event::recorded("login").header("origin", "https://evil.example");
    assert_eq!(send(&env, foreign).await.status, 403);
    let as_text = Event::recorded("login").header("content-type", "text/plain");
    assert_eq!(send(&env, as_text).await.status, 415);
    assert!(tables.items("SessionsTable").is_empty());
}

/// R61.
#[tokio::test]
async fn no_token_no_password_and_no_key_is_stored() {
    let (tables, env) = with_kim().await;
    send(&env, Event::recorded("login-wrong")).await;
    let reply = send(&env, Event::recorded("login")).await;
    let stored = ["UsersTable", "SessionsTable", "AttemptsTable"].map(|table| tables.items(table)).concat();
    let stored = Value::from(stored).to_string();
    for name in ["access_jwt", "refresh_jwt"] {
        for part in reply.cookie(name).unwrap().split('.') {
            assert!(!stored.contains(part), "{name}");
        }
    }
    assert!(!stored.contains("1234\""), "no password");
    let settings = tables.settings(&[]);
    for name in ["ACCESS_SECRET", "REFRESH_SECRET", "THROTTLE_SECRET", "DEVICE_SECRET"] {
        assert!(!stored.contains(&settings(name).unwrap()), "{name}");
    }
}

/// F02, F16: an outage is not a refusal. If it comes before the hash, the function computes no hash.
#[tokio::test]
async fn an_outage_is_503_in_time_and_sets_no_cookie() {
    let (tables, env) = with_kim().await;
    let throttled = Fault::Refuse(400, "ThrottlingException");
    for (operation, fault, hashes) in [
        ("GetItem", Fault::Stall, 0),
        ("GetItem", throttled, 0),
        ("PutItem", Fault::Stall, 1),
        ("PutItem", throttled, 1),
    ] {
        let failing = Environment::new(tables.failing(&[(operation, &[fault; 9])]).await);
        let client = store::connect(&failing).unwrap();
        // The attempts table answers. `tests/guessing.rs` tests its outages.
        let mut login = login(&env);
        login.authenticator.users = Users::from_env(client.clone(), &failing).unwrap();
        login.renewal.sessions = Sessions::from_env(client, &failing).unwrap();
        let started = Instant::now();
        let outage = answer(&login, &env, &Event::recorded("login"), NOW).await;
        assert_eq!((outage.status, outage.header("retry-after"), outage.cookies.len()), (503, Some("1"), 0));
        assert!(started.elapsed() < Duration::from_secs(3), "{operation} {fault:?}");
        assert_eq!(login.authenticator.hasher.evaluations(), hashes, "{operation} {fault:?}");
    }
    assert!(tables.items("SessionsTable").is_empty());
}

/// R28: the cookies of the new session replace those of the earlier one. A refused login would leave a session whose
/// tokens nobody has.
#[tokio::test]
async fn a_login_that_cannot_end_an_earlier_session_succeeds() {
    let (tables, env) = with_kim().await;
    let first = send(&env, Event::recorded("login")).await;
    let again = Event::recorded("login").cookies([format!("refresh_jwt={}", first.cookie("refresh_jwt").unwrap())]);
    let failing = Environment::new(tables.failing(&[("UpdateItem", &[Fault::Stall; 9])]).await);
    let mut login = login(&env);
    login.renewal.sessions = Sessions::from_env(store::connect(&failing).unwrap(), &failing).unwrap();
    let log = Log::start();
    let started = Instant::now();
    let reply = answer(&login, &env, &again, NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (302, 2));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(log.take().contains("sessions_not_ended"));
    assert_eq!(active(&tables).len(), 2);
}

/// R81: a cookie of our name in another scope stays beside ours and would make every later request ambiguous.
#[tokio::test]
async fn a_login_clears_cookies_of_our_names_in_other_scopes() {
    let (tables, _) = with_kim().await;
    let env = environment(&tables, &[("COOKIE_DOMAIN", "example.test")]);
    let cleared = |reply: &Reply| {
        let clearing = |line: &&String| line.contains("Max-Age=0");
        reply.cookies.iter().take_while(clearing).cloned().collect::<Vec<_>>()
    };
    let login = |event: Event| event.header("host", "api.example.test:443");
    let stale = login(Event::recorded("login")).cookies(["access_jwt=stale"]);
    let reply = send(&env, stale).await;
    let expired = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Strict";
    assert_eq!(
        cleared(&reply),
        [
            format!("access_jwt=; {attributes}; Domain=api.example.test; {expired}"),
            format!("refresh_jwt=; {attributes}; Domain=api.example.test; {expired}"),
            format!("access_jwt=; {attributes}; {expired}"),
            format!("refresh_jwt=; {attributes}; {expired}"),
        ],
        "before the new cookies"
    );
    assert_eq!((reply.status, reply.cookies.len()), (302, 6));
    assert!(reply.cookies[4].starts_with("access_jwt=ey") && reply.cookies[4].contains("Domain=example.test"));

    let refresh_only = login(Event::recorded("login")).cookies(["refresh_jwt=stale"]);
    assert_eq!(cleared(&send(&env, refresh_only).await).len(), 4, "only a refresh cookie came");
    let elsewhere = Event::recorded("login").cookies(["access_jwt=stale"]);
    for host in ["other.test", "badexample.test", "example.test.evil", "x y.example.test"] {
        let host_only = cleared(&send(&env, elsewhere.clone().header("host", host)).await);
        assert!(host_only.len() <= 2 && host_only.iter().all(|line| !line.contains("Domain")), "{host}: {host_only:?}");
    }
    assert!(cleared(&send(&env, login(Event::recorded("login"))).await).is_empty(), "no cookie came");
    for one_scope in [&[("COOKIE_DOMAIN", "localhost")][..], &[("COOKIE_DOMAIN", "")]] {
        let env = environment(&tables, one_scope);
        let stale = login(Event::recorded("login")).cookies(["access_jwt=stale", "__Host-access_jwt=stale"]);
        assert!(cleared(&send(&env, stale).await).is_empty(), "{one_scope:?}");
    }
}

/// Otherwise the refresh cookie of an earlier user stays in the browser and later signs that user in again.
#[tokio::test]
async fn a_login_that_is_not_persistent_clears_every_refresh_cookie() {
    let (tables, env) = with_kim().await;
    let park = testbed::add_park(&env).await;
    let (_, parks) = testbed::sign_in(&env, &park, true, NOW).await;
    let plain = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } }).to_string();
    for refresh in [parks.as_str(), "of another service"] {
        let event = Event::recorded("login").body(plain.clone()).cookies([format!("refresh_jwt={refresh}")]);
        let reply = send(&env, event).await;
        assert_eq!((reply.status, reply.cookies.len()), (302, 2));
        assert!(reply.cookies[0].starts_with("refresh_jwt=;") && reply.cookies[0].contains("Max-Age=0"));
        assert!(reply.cookies[1].starts_with("access_jwt=ey"));
    }
    assert_eq!(active(&tables).len(), 2, "the session of the refresh cookie has ended");
    let reply = send(&env, Event::recorded("login").body(plain).cookies(["refresh_jwt="])).await;
    assert_eq!(reply.cookies.len(), 1, "an empty value is no cookie");
}

/// F12, F36: if the first response is lost, the browser has no tokens of the first session. That session expires.
#[tokio::test]
async fn a_repeated_login_opens_a_second_session() {
    let (tables, env) = with_kim().await;
    let replies = [send(&env, Event::recorded("login")).await, send(&env, Event::recorded("login")).await];
    assert!(replies.iter().all(|reply| (reply.status, reply.cookies.len()) == (302, 2)));
    assert_ne!(replies[0].cookie("refresh_jwt"), replies[1].cookie("refresh_jwt"));
    let expiries: Vec<_> =
        tables.items("SessionsTable").iter().map(|session| session["idle_exp"]["N"].clone()).collect();
    assert_eq!(expiries, ["1800604800", "1800604800"]);
}

/// F08: the session was stored, and the retry finds it.
#[tokio::test]
async fn a_login_whose_acknowledgement_is_lost_opens_one_session() {
    let (tables, env) = with_kim().await;
    let (mut login, calls) = observed(&env);
    // Only the sessions table loses an acknowledgement.
    let failing = Environment::new(tables.failing(&[("PutItem", &[Fault::LoseReply])]).await);
    let (client, session_calls) = Calls::of(&store::connect(&failing).unwrap());
    login.renewal.sessions = Sessions::from_env(client, &failing).unwrap();
    let reply = answer(&login, &env, &Event::recorded("login"), NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (302, 2));
    assert_eq!(calls.take(), ["BatchGetItem", "GetItem", "PutItem", "PutItem", "DeleteItem", "UpdateItem"]);
    assert_eq!(session_calls.take(), ["PutItem", "PutItem", "Query"]);
    assert_eq!(tables.items("SessionsTable").len(), 1);
}

/// F19.
#[tokio::test]
async fn a_session_that_cannot_be_stored_is_500_and_sets_no_cookie() {
    let tables = Tables::new().await;
    let env = environment(&tables, &[("SESSIONS_TABLE", "no-such-table")]);
    testbed::add_kim(&env).await;
    let failed = send(&env, Event::recorded("login")).await;
    assert_eq!((failed.status, failed.cookies.len()), (500, 0));
    assert!(!failed.body().contains("no-such-table"), "{}", failed.body());
    let counters = tables.items("AttemptsTable");
    assert!(!counters.iter().any(|item| item.to_string().contains("account#")), "the password was right: {counters:?}");
}
