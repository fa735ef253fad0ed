//! What every response contains, and what no response may contain.

use std::collections::BTreeSet;

use shared::config::Environment;
use testbed::{Event, Fault, Reply};

use crate::world::{
    CHANGES, NOW, Service, World, all_requests, is_of_a_person, is_page, not_signed_in, reveals_a_user,
};

/// A request: its name, the expected status, and its event.
type Case = (String, u16, Event);

/// Returns a response of every function with every status that the function has: a name for the request, the expected
/// status, and the response.
async fn every_response() -> Vec<(String, u16, Reply)> {
    let world = World::new().await;
    let service = world.service();
    let mut responses = Vec::new();
    let requests = all_requests().flat_map(|(name, status)| variants(&world, name, status));
    for (what, status, event) in requests.chain(others(&world)) {
        responses.push((what, status, service.send(&event, NOW).await.reply));
        world.restore();
    }
    // A refresh token from before the last two renewals: the session ends, and the cookies are cleared.
    for (name, status) in [("userinfo", 401), ("account page", 302)] {
        let first = || world.request(&format!("{name}, renewing"));
        let mut renewing = first();
        for _ in 0..2 {
            let renewed = service.send(&renewing, NOW).await.reply;
            renewing = first().cookies([format!("refresh_jwt={}", renewed.cookie("refresh_jwt").unwrap())]);
        }
        let reused = service.send(&first(), NOW).await.reply;
        responses.push((format!("{name}, with a reused token"), status, reused));
        world.restore();
    }
    let operations = ["BatchGetItem", "GetItem", "UpdateItem"];
    let with_calls = all_requests().filter(|(name, _)| !["sign-in page", "well-known"].contains(name));
    let broken = with_calls.map(|(name, _)| (name, &operations[..]));
    let broken = broken.chain([("login", &operations[1..]), ("sign-in form", &operations[1..])]);
    for (name, operations) in broken {
        for (status, fault) in
            [(500, Fault::Refuse(400, "AccessDeniedException")), (503, Fault::Refuse(400, "ThrottlingException"))]
        {
            let faults = [fault; 9];
            let faults: Vec<_> = operations.iter().map(|operation| (*operation, &faults[..])).collect();
            let env = Environment::new(world.tables.failing(&faults).await);
            let reply = Service::new(env).send(&in_korean(&world, name), NOW).await.reply;
            responses.push((format!("{name}, with a broken store"), status, reply));
        }
    }
    world.restore();
    for (name, event) in wrong_passwords(&world) {
        for _ in 0..5 {
            assert_eq!(service.send(&event, NOW).await.reply.status, 401);
        }
        responses.push((format!("{name}, throttled"), 429, service.send(&event, NOW).await.reply));
        world.restore();
    }
    responses
}

/// Returns the request of this name, valid and with each mistake that it can have.
fn variants(world: &World, name: &str, status: u16) -> Vec<Case> {
    let good = || world.request(name);
    let large = "x".repeat(8193);
    let large = if name.ends_with("form") { good().form_body(large) } else { good().body(large) };
    let mut requests = vec![
        (format!("{name}, valid"), status, good()),
        (format!("{name}, unreadable"), 400, good().header("host", "a:99999")),
        (format!("{name}, with another method"), 405, good().method("PATCH")),
        (format!("{name}, too large"), 413, large),
    ];
    if CHANGES.contains(&name) {
        let foreign = good().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
        requests.push((format!("{name}, from a foreign origin"), 403, foreign));
    }
    if name == "login" || name == "password" {
        requests.push((format!("{name}, with invalid JSON"), 400, good().body("{")));
    }
    if ["login", "password", "sign-in form", "password form", "end one form"].contains(&name) {
        requests.push((format!("{name}, as text/plain"), 415, good().header("content-type", "text/plain")));
    }
    if name.starts_with("logout") {
        requests.push((format!("{name}, with an invalid flag"), 400, good().query("everywhere=perhaps")));
        let bearer = good().header("authorization", "Bearer garbage");
        requests.push((format!("{name}, with an invalid token"), 205, bearer));
        let without = if name == "logout" { 205 } else { 401 };
        requests.push((format!("{name}, without a token"), without, good().without_cookies()));
    }
    if name.ends_with("form") {
        requests.push((format!("{name}, with invalid fields"), 400, good().form_body("x=1").query("everywhere=x")));
    }
    if let Some((unknown, _)) = not_signed_in(name).filter(|_| name != "logout, everywhere") {
        requests.push((format!("{name}, without a token"), unknown, good().without_cookies()));
        let twice = good().cookies([format!("access_jwt={}", world.access), "access_jwt=tossed".to_owned()]);
        let expected = if name == "sign-out everywhere form" { status } else { unknown };
        requests.push((format!("{name}, with ambiguous cookies"), expected, twice));
    }
    requests
}

/// Returns the requests with a status or a cookie that no mistake leads to.
fn others(world: &World) -> Vec<Case> {
    const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    let end = |id: &str| world.request("end one form").form_body(format!("id={id}"));
    let weak = in_korean(world, "password form").form_body("currentPassword=1234&newPassword=short");
    let elsewhere = in_korean(world, "sign-in page").header("sec-fetch-site", "cross-site");
    let mut requests = vec![
        ("sign-in page, invalid return_to", 400, world.request("sign-in page").query("return_to=x")),
        ("sign-in page, with a language", 200, in_korean(world, "sign-in page")),
        ("sign-in page, from elsewhere", 200, elsewhere),
        ("sign-in form, with a language", 302, in_korean(world, "sign-in form")),
        ("account page, with a language", 200, in_korean(world, "account page")),
        ("account page, HEAD", 200, in_korean(world, "account page").method("HEAD")),
        ("userinfo, with a language", 200, world.request("userinfo").query("lang=ko")),
        ("userinfo, HEAD", 200, world.request("userinfo").method("HEAD")),
        ("password form, weak password", 400, weak),
        ("end one form, unknown session", 404, end(UNKNOWN)),
        ("end one form, its own session", 303, end(&world.session)),
        ("sessions, end an unknown session", 404, world.end_session(UNKNOWN)),
        ("sessions, end its own session", 204, world.end_session(&world.session)),
    ];
    requests.extend(wrong_passwords(world).map(|(name, event)| (name, 401, event)));
    let named = |(what, status, event): (&str, u16, Event)| {
        let what = if status == 401 { format!("{what}, wrong password") } else { what.to_owned() };
        (what, status, event)
    };
    requests.into_iter().map(named).collect()
}

/// Returns the requests with a password, which is wrong.
fn wrong_passwords(world: &World) -> [(&'static str, Event); 4] {
    let json = r#"{"currentPassword":"4321","newPassword":"paper boats in the rain"}"#;
    let change = "currentPassword=4321&newPassword=paper+boats+in+the+rain";
    [
        ("login", Event::recorded("login-wrong")),
        ("password", world.request("password").body(json)),
        ("sign-in form", in_korean(world, "sign-in form").form_body("userId=kimcoding&password=4321")),
        ("password form", in_korean(world, "password form").form_body(change)),
    ]
}

/// Returns the request of this name. If it is of a person, it also selects a language. Only a page that is no error
/// keeps the language.
fn in_korean(world: &World, name: &str) -> Event {
    match world.request(name) {
        event if name == "sign-out everywhere form" => event.query("everywhere=true&lang=ko"),
        event if is_of_a_person(name) => event.query("lang=ko"),
        event => event,
    }
}

/// The content security policy of every page, without the hashes of its stylesheet and its script.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'sha256-'; script-src 'sha256-'; img-src data:; \
                           form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Removes the hashes from a content security policy.
fn without_hashes(policy: &str) -> String {
    let mut parts = policy.split("'sha256-");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + "'sha256-" + &part[part.find('\'').unwrap()..])
}

/// R88, R89: every response has `no-store` and the security headers, whatever its status.
#[tokio::test]
async fn every_response_has_the_common_headers() {
    let (mut statuses, mut pages) = (BTreeSet::new(), BTreeSet::new());
    for (what, status, reply) in every_response().await {
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{what}: {name}");
        }
        let policy = reply.header("content-security-policy").unwrap();
        assert_eq!(reply.header("cross-origin-opener-policy"), is_page(&reply).then_some("same-origin"), "{what}");
        if is_page(&reply) {
            assert_eq!(without_hashes(policy), PAGE_POLICY, "{what}");
            pages.insert(reply.status);
        } else {
            assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'", "{what}");
            statuses.insert(reply.status);
        }
    }
    assert!(statuses.into_iter().eq([200, 204, 205, 302, 303, 400, 401, 403, 404, 405, 413, 415, 429, 500, 503]));
    assert!(pages.into_iter().eq([200, 400, 401, 403, 404, 405, 413, 415, 429, 500, 503]));
}

/// The first rule for faults: only a decision about a session changes cookies. An invalid, throttled or foreign request
/// does not, and an outage does not (F04, F05, F06).
#[tokio::test]
async fn only_a_decision_about_a_session_changes_cookies() {
    let (mut changing, mut unchanging) = (BTreeSet::new(), BTreeSet::new());
    for (what, _, reply) in every_response().await {
        assert_eq!(reply.header("set-cookie"), None, "{what}: each cookie has its own line");
        if matches!(reply.status, 200 | 204 | 205 | 302 | 303 | 401) {
            changing.extend((!reply.cookies.is_empty()).then_some(what));
        } else {
            assert_eq!(reply.cookies, Vec::<String>::new(), "{what}");
            unchanging.insert(reply.status);
        }
    }
    assert!(unchanging.into_iter().eq([400, 403, 404, 405, 413, 415, 429, 500, 503]));
    let expected = [
        "account page, renewing, valid",
        "account page, renewing, with ambiguous cookies",
        "account page, with a language",
        "account page, with a reused token",
        "account page, with ambiguous cookies",
        "end one form, its own session",
        "end one form, with ambiguous cookies",
        "end others form, with ambiguous cookies",
        "login, valid",
        "logout, everywhere, valid",
        "logout, everywhere, with an invalid token",
        "logout, everywhere, without a token",
        "logout, valid",
        "logout, with an invalid token",
        "logout, without a token",
        "password form, valid",
        "password form, with ambiguous cookies",
        "password page, with ambiguous cookies",
        "password, valid",
        "password, with ambiguous cookies",
        "sessions, end its own session",
        "sessions, end one, with ambiguous cookies",
        "sessions, end others, with ambiguous cookies",
        "sessions, with ambiguous cookies",
        "sign-in form, valid",
        "sign-in form, with a language",
        "sign-in page, with a language",
        "sign-out everywhere form, valid",
        "sign-out everywhere form, with ambiguous cookies",
        "sign-out everywhere form, without a token",
        "sign-out form, valid",
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
        if is_page(&reply) {
            let body = reply.body();
            let status = format!("<span id=\"status\">{}</span>", reply.status);
            let has_id = body.contains("<span id=\"request-id\">8476a536-e9f4-11e8-9739-2dfe598c3fcd</span>");
            // A form explains the error in words of its own. A failed logout has a text of its own.
            let is_form = body.contains("<p id=\"problem\" role=\"alert\"");
            let is_logout = what.starts_with("sign-out everywhere form");
            assert!(is_form || is_logout || has_id && body.contains(&status), "{what}: {body}");
            continue;
        }
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
        for (name, _) in all_requests() {
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
