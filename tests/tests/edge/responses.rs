//! What every response contains, and what no response may contain.

use std::collections::BTreeSet;

use shared::config::Environment;
use testbed::{Event, Fault, Reply};

use crate::world::{NOW, REQUESTS, Service, World, reveals_a_user};

/// Returns a response of every function with every status that the function has: a name for the request, the expected
/// status, and the response.
async fn every_response() -> Vec<(String, u16, Reply)> {
    let world = World::new().await;
    let service = world.service();
    let mut responses = Vec::new();
    let mut requests: Vec<(String, u16, Event)> = Vec::new();
    for (name, status) in REQUESTS {
        let good = || world.request(name);
        let ours = format!("access_jwt={}", world.access);
        requests.push((format!("{name}, valid"), status, good()));
        requests.push((format!("{name}, unreadable"), 400, good().header("host", "a:99999")));
        requests.push((format!("{name}, with another method"), 405, good().method("PATCH")));
        requests.push((format!("{name}, too large"), 413, good().body("x".repeat(8193))));
        if !name.starts_with("userinfo") && name != "sessions" {
            let foreign = good().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
            requests.push((format!("{name}, from a foreign origin"), 403, foreign));
        }
        if name == "login" || name == "password" {
            requests.push((format!("{name}, with invalid JSON"), 400, good().body("{")));
            requests.push((format!("{name}, as text/plain"), 415, good().header("content-type", "text/plain")));
        }
        if name.starts_with("logout") {
            requests.push((format!("{name}, with an invalid flag"), 400, good().query("everywhere=perhaps")));
            let bearer = good().header("authorization", "Bearer garbage");
            requests.push((format!("{name}, with an invalid token"), 205, bearer));
            let without = if name == "logout" { 205 } else { 401 };
            requests.push((format!("{name}, without a token"), without, good().without_cookies()));
        }
        if name == "password" || name.starts_with("sessions") || name.starts_with("userinfo") {
            requests.push((format!("{name}, without a token"), 401, good().without_cookies()));
            let twice = good().cookies([ours, "access_jwt=tossed".to_owned()]);
            requests.push((format!("{name}, with ambiguous cookies"), 401, twice));
        }
    }
    requests.push(("login, wrong password".to_owned(), 401, Event::recorded("login-wrong")));
    requests.push(("sessions, end an unknown session".to_owned(), 404, world.end_session("AAAAAAAAAAAAAAAAAAAAAA")));
    requests.push(("sessions, end its own session".to_owned(), 204, world.end_session(&world.session)));
    requests.push(("userinfo, HEAD".to_owned(), 200, world.request("userinfo").method("HEAD")));
    for (what, status, event) in requests {
        responses.push((what, status, service.send(&event, NOW).await.reply));
        world.restore();
    }
    // A refresh token from before the last two renewals: the session ends, and the cookies are cleared.
    let mut renewing = world.request("userinfo, renewing");
    for _ in 0..2 {
        let renewed = service.send(&renewing, NOW).await.reply;
        renewing =
            Event::recorded("userinfo").cookies([format!("refresh_jwt={}", renewed.cookie("refresh_jwt").unwrap())]);
    }
    let reused = service.send(&world.request("userinfo, renewing"), NOW).await.reply;
    responses.push(("userinfo, with a reused token".to_owned(), 401, reused));
    world.restore();

    let operations = ["BatchGetItem", "GetItem", "UpdateItem"];
    let broken = REQUESTS.iter().map(|(name, _)| (*name, &operations[..])).chain([("login", &operations[1..])]);
    for (name, operations) in broken {
        for (status, fault) in
            [(500, Fault::Refuse(400, "AccessDeniedException")), (503, Fault::Refuse(400, "ThrottlingException"))]
        {
            let faults = [fault; 9];
            let faults: Vec<_> = operations.iter().map(|operation| (*operation, &faults[..])).collect();
            let env = Environment::new(world.tables.failing(&faults).await);
            let reply = Service::new(env).send(&world.request(name), NOW).await.reply;
            responses.push((format!("{name}, with a broken store"), status, reply));
        }
    }
    world.restore();
    let wrong = world.request("password").body(r#"{"currentPassword":"4321","newPassword":"paper boats in the rain"}"#);
    for (name, event) in [("login", Event::recorded("login-wrong")), ("password", wrong)] {
        for _ in 0..5 {
            assert_eq!(service.send(&event, NOW).await.reply.status, 401);
        }
        responses.push((format!("{name}, throttled"), 429, service.send(&event, NOW).await.reply));
    }
    responses
}

/// R88, R89: every response has `no-store` and the security headers, whatever its status.
#[tokio::test]
async fn every_response_has_the_common_headers() {
    let mut statuses = BTreeSet::new();
    for (what, status, reply) in every_response().await {
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{what}: {name}");
        }
        statuses.insert(reply.status);
    }
    assert!(statuses.into_iter().eq([200, 204, 205, 302, 400, 401, 403, 404, 405, 413, 415, 429, 500, 503]));
}

/// The first rule for faults: only a decision about a session changes cookies. An invalid, throttled or foreign request
/// does not, and an outage does not (F04, F05, F06).
#[tokio::test]
async fn only_a_decision_about_a_session_changes_cookies() {
    let (mut changing, mut unchanging) = (BTreeSet::new(), BTreeSet::new());
    for (what, _, reply) in every_response().await {
        assert_eq!(reply.header("set-cookie"), None, "{what}: each cookie has its own line");
        if matches!(reply.status, 200 | 204 | 205 | 302 | 401) {
            changing.extend((!reply.cookies.is_empty()).then_some(what));
        } else {
            assert_eq!(reply.cookies, Vec::<String>::new(), "{what}");
            unchanging.insert(reply.status);
        }
    }
    assert!(unchanging.into_iter().eq([400, 403, 404, 405, 413, 415, 429, 500, 503]));
    let expected = [
        "login, valid",
        "logout, everywhere, valid",
        "logout, everywhere, with an invalid token",
        "logout, everywhere, without a token",
        "logout, valid",
        "logout, with an invalid token",
        "logout, without a token",
        "password, valid",
        "password, with ambiguous cookies",
        "sessions, end its own session",
        "sessions, end one, with ambiguous cookies",
        "sessions, end others, with ambiguous cookies",
        "sessions, with ambiguous cookies",
        "userinfo, renewing, valid",
        "userinfo, renewing, with ambiguous cookies",
        "userinfo, with a reused token",
        "userinfo, with ambiguous cookies",
    ];
    assert_eq!(changing, expected.map(str::to_owned).into());
}

/// R93: an error response says what is wrong in a fixed text, with the id of the request. R94: it never says anything
/// about a user.
#[tokio::test]
async fn an_error_response_has_a_fixed_text_and_reveals_no_user() {
    const TEXTS: [&str; 16] = [
        "A request that changes something must come from this site or from an allowed origin.",
        "The body ends too early (line 1, column 1).",
        "The body is larger than 8192 bytes.",
        "The body must be application/json.",
        "The credentials of the request belong to two users. Sign out, then sign in again.",
        "The parameter `everywhere` must be given once, as true or false.",
        "The request has a header, a query or a body that cannot be read.",
        "The service cannot answer right now. Try again in a moment.",
        "The service is not set up correctly.",
        "There have been too many wrong passwords. Try again in 1 s.",
        "There is no such session.",
        "This path accepts only DELETE.",
        "This path accepts only GET, DELETE.",
        "This path accepts only GET, HEAD.",
        "This path accepts only POST.",
        "This path accepts only PUT.",
    ];
    let mut details = BTreeSet::new();
    for (what, _, reply) in every_response().await.into_iter().filter(|(_, status, _)| *status >= 400) {
        assert!(!reveals_a_user(&reply), "{what}: {}", reply.body());
        if reply.status == 401 {
            assert_eq!(reply.body(), "Not Authorized", "{what}");
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
            continue;
        }
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{what}");
        let problem = reply.json();
        let names: BTreeSet<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(names.into_iter().eq(["detail", "request_id", "status", "title", "type"]), "{what}: {problem}");
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &reply.status.into()), "{what}");
        assert_eq!(problem["request_id"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "{what}");
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(TEXTS.contains(&detail.as_str()), "{what}: {detail}");
        details.insert(detail);
    }
    assert!(details.len() > 10, "{details:?}");
}

/// A 401 differs only in its body if the client asks for problem details. The cookies that it clears stay the same.
#[tokio::test]
async fn every_401_is_problem_details_for_a_client_that_names_them() {
    let world = World::new().await;
    let service = world.service();
    let twice = [format!("access_jwt={}", world.access), "access_jwt=tossed".to_owned()];
    let mut requests = vec![(Event::recorded("login-wrong"), 0)];
    for name in ["password", "sessions", "sessions, end one", "sessions, end others", "userinfo"] {
        requests.push((world.request(name).without_cookies(), 0));
        requests.push((world.request(name).cookies(twice.clone()), 2));
    }
    for (event, cleared) in requests {
        for (accept, media_type) in [
            ("application/problem+json", "application/problem+json"),
            ("application/json, application/problem+json;q=0.5", "application/problem+json"),
            ("*/*", "text/plain; charset=utf-8"),
        ] {
            let reply = service.send(&event.clone().header("accept", accept), NOW).await.reply;
            assert_eq!((reply.status, reply.cookies.len()), (401, cleared), "{event:?}");
            assert_eq!((reply.header("content-type"), reply.header("vary")), (Some(media_type), None), "{event:?}");
            world.restore();
        }
    }
}

/// R87: only the gateway sets CORS headers. A second list of origins could differ from its list.
#[tokio::test]
async fn no_function_sets_cors_headers() {
    let world = World::new().await;
    let service = world.service();
    for origin in ["https://evil.example", "null", "https://sub.evil.example", "https://localhost:3000", "*"] {
        for (name, _) in REQUESTS {
            for event in [
                world.request(name).header("origin", origin),
                world.request(name).header("origin", origin).header("sec-fetch-site", "same-origin"),
                world.request(name).header("origin", origin).method("OPTIONS"),
            ] {
                let reply = service.send(&event, NOW).await.reply;
                for name in ["origin", "credentials", "methods", "headers"] {
                    assert_eq!(reply.header(&format!("access-control-allow-{name}")), None, "{origin} {event:?}");
                }
                world.restore();
            }
        }
    }
}
