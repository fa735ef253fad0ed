//! What every response says, and what none does.

use std::collections::BTreeSet;

use shared::config::Config;
use testbed::{Event, Fault, Reply};

use crate::world::{NOW, REQUESTS, Service, World, names_somebody};

/// Every answer that there is: by every function, with every status that it has. What was asked, the status that is due,
/// and the answer.
async fn every_answer() -> Vec<(String, u16, Reply)> {
    let world = World::new().await;
    let service = world.service();
    let mut answers = Vec::new();
    let mut asked: Vec<(String, u16, Event)> = Vec::new();
    for (name, status) in REQUESTS {
        let good = || world.request(name);
        let ours = format!("access_jwt={}", world.access);
        asked.push((format!("{name}, as it should be"), status, good()));
        asked.push((format!("{name}, unreadable"), 400, good().header("host", "a:99999")));
        asked.push((format!("{name}, by another method"), 405, good().method("PATCH")));
        asked.push((format!("{name}, too large"), 413, good().body("x".repeat(8193))));
        if !name.starts_with("userinfo") && name != "sessions" {
            let foreign = good().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
            asked.push((format!("{name}, from elsewhere"), 403, foreign));
        }
        if name == "login" || name == "password" {
            asked.push((format!("{name}, malformed"), 400, good().body("{")));
            asked.push((format!("{name}, as text"), 415, good().header("content-type", "text/plain")));
        }
        if name.starts_with("logout") {
            asked.push((format!("{name}, perhaps"), 400, good().query("everywhere=perhaps")));
            let bearer = good().header("authorization", "Bearer garbage");
            asked.push((format!("{name}, with a token that is none"), 401, bearer));
        }
        if name == "password" || name.starts_with("sessions") || name.starts_with("userinfo") {
            asked.push((format!("{name}, by nobody"), 401, good().without_cookies()));
            let twice = good().cookies([ours, "access_jwt=tossed".to_owned()]);
            asked.push((format!("{name}, by two"), 401, twice));
        }
    }
    asked.push(("login, wrong".to_owned(), 401, Event::recorded("login-wrong")));
    asked.push(("sessions, end an unknown one".to_owned(), 404, world.ending("AAAAAAAAAAAAAAAAAAAAAA")));
    asked.push(("sessions, end one's own".to_owned(), 204, world.ending(&world.session)));
    asked.push(("userinfo, HEAD".to_owned(), 200, world.request("userinfo").method("HEAD")));
    for (what, status, event) in asked {
        answers.push((what, status, service.send(&event, NOW).await.reply));
        world.restore();
    }
    // A refresh token from before the last two renewals: the session is ended, and the cookies are cleared.
    let mut renewing = world.request("userinfo, renewing");
    for _ in 0..2 {
        let renewed = service.send(&renewing, NOW).await.reply;
        renewing =
            Event::recorded("userinfo").cookies([format!("refresh_jwt={}", renewed.cookie("refresh_jwt").unwrap())]);
    }
    let reused = service.send(&world.request("userinfo, renewing"), NOW).await.reply;
    answers.push(("userinfo, with a stolen token".to_owned(), 401, reused));
    world.restore();

    for (name, _) in REQUESTS {
        for (status, fault) in
            [(500, Fault::Refuse(400, "AccessDeniedException")), (503, Fault::Refuse(400, "ThrottlingException"))]
        {
            let faults = [fault; 9];
            let operations = ["BatchGetItem", "GetItem", "UpdateItem"].map(|operation| (operation, &faults[..]));
            let config = Config::from_lookup(world.tables.failing(&operations).await).unwrap();
            let reply = Service::for_request(name, config).send(&world.request(name), NOW).await.reply;
            answers.push((format!("{name}, with a broken store"), status, reply));
        }
    }
    world.restore();
    let wrong = world.request("password").body(r#"{"currentPassword":"4321","newPassword":"paper boats in the rain"}"#);
    for (name, event) in [("login", Event::recorded("login-wrong")), ("password", wrong)] {
        for _ in 0..5 {
            assert_eq!(service.send(&event, NOW).await.reply.status, 401);
        }
        answers.push((format!("{name}, once too often"), 429, service.send(&event, NOW).await.reply));
    }
    answers
}

/// R88, R89: `no-store` and the security headers on every response, whatever its status.
#[tokio::test]
async fn every_answer_of_every_function_says_what_all_do() {
    let mut statuses = BTreeSet::new();
    for (what, status, reply) in every_answer().await {
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

/// The first of the rules for faults: only a verdict touches a cookie. No refusal for form, number or sender does, and no
/// outage (F04, F05, F06).
#[tokio::test]
async fn only_a_verdict_touches_a_cookie() {
    let (mut touched, mut untouched) = (BTreeSet::new(), BTreeSet::new());
    for (what, _, reply) in every_answer().await {
        assert_eq!(reply.header("set-cookie"), None, "{what}: a cookie is a line of its own");
        if matches!(reply.status, 200 | 204 | 205 | 302 | 401) {
            touched.extend((!reply.cookies.is_empty()).then_some(what));
        } else {
            assert_eq!(reply.cookies, Vec::<String>::new(), "{what}");
            untouched.insert(reply.status);
        }
    }
    assert!(untouched.into_iter().eq([400, 403, 404, 405, 413, 415, 429, 500, 503]));
    let expected = [
        "login, as it should be",
        "login, unthrottled, as it should be",
        "logout, as it should be",
        "logout, everywhere, as it should be",
        "password, by two",
        "sessions, by two",
        "sessions, end one's own",
        "sessions, end one, by two",
        "sessions, end others, by two",
        "userinfo, by two",
        "userinfo, renewing, as it should be",
        "userinfo, renewing, by two",
        "userinfo, with a stolen token",
    ];
    assert_eq!(touched, expected.map(str::to_owned).into());
}

/// R93: who fails is told what, in words that are always the same, with the id to ask about; R94: and never who is behind
/// the request.
#[tokio::test]
async fn an_error_says_what_and_never_why_or_who() {
    const WORDS: [&str; 15] = [
        "A request that changes something must come from this site or from an allowed origin.",
        "The body ends too early (line 1, column 1).",
        "The body is larger than 8192 bytes.",
        "The body must be application/json.",
        "The parameter `everywhere` is true or false.",
        "The request has a header, a query or a body that cannot be read.",
        "The service cannot answer right now. Try again in a moment.",
        "The service is not set up correctly.",
        "There have been too many wrong passwords. Try again in 1 s.",
        "There is no such session.",
        "This address answers DELETE.",
        "This address answers GET, DELETE.",
        "This address answers GET, HEAD.",
        "This address answers POST.",
        "This address answers PUT.",
    ];
    let mut said = BTreeSet::new();
    for (what, _, reply) in every_answer().await.into_iter().filter(|(_, status, _)| *status >= 400) {
        assert!(!names_somebody(&reply), "{what}: {}", reply.body());
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
        assert!(WORDS.contains(&detail.as_str()), "{what}: {detail}");
        said.insert(detail);
    }
    assert!(said.len() > 10, "{said:?}");
}

/// R87: CORS is the gateway's, and what a function says of it would be one list too many.
#[tokio::test]
async fn no_function_says_anything_about_cors() {
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
