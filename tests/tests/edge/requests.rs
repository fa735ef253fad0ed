//! Requests that no legitimate client would send.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testbed::{Event, WHO_MAY_POST};

use crate::world::{
    CHANGES, NOW, World, all_requests, is_of_a_person, is_page, not_signed_in, reveals_a_user, status_of,
};

/// Returns the event with these three headers, or without those that are `None`. A page of another site can make a
/// browser send such a request.
fn sent_by(event: Event, origin: Option<&str>, site: Option<&str>, host: Option<&str>) -> Event {
    let headers = [("origin", origin), ("sec-fetch-site", site), ("host", host)];
    headers.into_iter().fold(event, |event, (name, value)| match value {
        Some(value) => event.header(name, value),
        None => event.without_header(name),
    })
}

/// R29, R85: the table of the rule "Origin check" of `openapi.yaml`, through every route that changes something. A
/// rejected request costs no call and no hash, and changes no cookie. Every other request succeeds.
#[tokio::test]
async fn every_route_has_the_same_origin_check() {
    let (world, mut rejected) = (World::new().await, 0);
    let (service, before) = (world.service(), world.records());
    for (origin, site, host, passes) in WHO_MAY_POST {
        for name in CHANGES {
            let answer = service.send(&sent_by(world.request(name), origin, site, host), NOW).await;
            if passes {
                let status = answer.reply.status;
                assert_eq!(status, status_of(name), "{name}: {origin:?} {site:?} {host:?}");
                world.restore();
            } else {
                assert!(answer.is_rejected_before_any_work(403), "{name}: {origin:?} {site:?} {host:?}: {answer:?}");
                assert_eq!(is_page(&answer.reply), is_of_a_person(name), "{name}");
                rejected += 1;
            }
        }
    }
    assert!(rejected > 400, "{rejected}");
    assert!(before.iter().all(|record| world.records().contains(record)));
}

/// R85: a function behind the authorizer is protected in the same way.
#[tokio::test]
async fn the_authorizer_has_the_same_origin_check() {
    let world = World::new().await;
    let service = world.service();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for (origin, site, host, passes) in WHO_MAY_POST {
            let event = world.authorizer_event().method(method);
            let decision = service.authorize(&sent_by(event, origin, site, host), NOW).await.unwrap();
            assert_eq!(decision["isAuthorized"], passes, "{method} {origin:?} {site:?} {host:?}");
            assert_eq!(service.calls.take().is_empty(), !passes, "{method} {origin:?} {site:?} {host:?}");
        }
    }
}

/// Encodes a body as the gateway does if the body is not text.
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Returns all kinds of bodies: a name, the body, whether the event declares it as base64, and the expected status.
/// `good` is a valid body with the password `1234`.
fn bodies(good: &str, passes: u16) -> Vec<(&'static str, (Value, bool), u16)> {
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let binary = |bytes: &[u8]| (json!(encoded(bytes)), true);
    let text = |text: String| (json!(text), false);
    let member = |more: &str| text(good.replacen('{', &format!("{{{more},"), 1));
    let with_password = |value: &str| text(good.replace("\"1234\"", value));
    let (head, tail) = good.split_once("1234").unwrap();
    vec![
        ("valid", text(good.to_owned()), passes),
        ("8 KiB", text(padded(8192)), passes),
        ("8 KiB and one byte", text(padded(8193)), 413),
        ("64 KiB", text(padded(1 << 16)), 413),
        ("in base64", binary(good.as_bytes()), passes),
        ("8 KiB in base64", binary(padded(8192).as_bytes()), passes),
        ("8 KiB and one byte in base64", binary(padded(8193).as_bytes()), 413),
        ("text declared as base64", (json!(good), true), 400),
        ("truncated base64", (json!(&encoded(good.as_bytes())[1..]), true), 400),
        ("base64 declared as text", text(encoded(good.as_bytes())), 400),
        ("no body", (Value::Null, false), 400),
        ("no body, declared as base64", (Value::Null, true), 400),
        ("empty", text(String::new()), 400),
        ("white space", text(" \r\n\t".into()), 400),
        ("null", text("null".into()), 400),
        ("8 KiB of brackets", text("[".repeat(8192)), 400),
        ("more than 8 KiB of brackets", text("[".repeat(10_000)), 413),
        ("deeply nested objects", text("{\"a\":".repeat(1600)), 400),
        ("deeply nested lists as a password", with_password(&format!("{}{}", "[".repeat(200), "]".repeat(200))), 400),
        ("a list as a password", with_password("[\"1234\"]"), 400),
        ("an object as a password", with_password("{\"1234\":\"1234\"}"), 400),
        ("true as a password", with_password("true"), 400),
        ("a number as a password", with_password("1234"), 400),
        ("a huge number as a password", with_password("1e999"), 400),
        ("null as a password", with_password("null"), 400),
        ("a lone surrogate", with_password("\"\\ud800\""), 400),
        ("an unescaped line break in a string", with_password("\"12\n34\""), 400),
        ("a password of more than 4 KiB", with_password(&format!("\"{}\"", "p".repeat(4097))), 400),
        ("an unknown name", member("\"role\":\"admin\""), 400),
        ("the name __proto__", member("\"__proto__\":{\"role\":\"admin\"}"), 400),
        ("every name twice", member(good.trim_start_matches('{').trim_end_matches('}')), 400),
        ("a list around the object", text(format!("[{good}]")), 400),
        ("two objects", text(format!("{good}{good}")), 400),
        ("a trailing comma", text(good.replacen('}', ",}", 1)), 400),
        ("a comment", text(format!("/**/{good}")), 400),
        ("a byte order mark", text(format!("\u{feff}{good}")), 400),
        ("a byte order mark in base64", binary(&[b"\xef\xbb\xbf", good.as_bytes()].concat()), 400),
        ("UTF-16", binary(&good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()), 400),
        ("a byte that is not UTF-8", binary(&[head.as_bytes(), b"\xff", tail.as_bytes()].concat()), 400),
        ("an overlong NUL", binary(&[good.as_bytes(), b"\xc0\x80"].concat()), 400),
        ("a NUL at the end", text(format!("{good}\0")), 400),
        ("a form", text("userId=kimcoding&password=1234".into()), 400),
    ]
}

/// The longest time that a rejection may take.
const MAX_REJECTION: Duration = Duration::from_millis(50);

/// R30, R32: the two routes that read a body reject an invalid one quickly, without a call and without a hash.
#[tokio::test]
async fn an_invalid_body_is_rejected_before_any_work() {
    let world = World::new().await;
    let service = world.service();
    for name in ["login", "password"] {
        let body = world.request(name).payload()["body"].clone();
        let passes = status_of(name);
        for (what, (body, is_base64), status) in bodies(body.as_str().unwrap(), passes) {
            let event = world.request(name).with("/body", body).with("/isBase64Encoded", json!(is_base64));
            if status == passes {
                assert_eq!(service.send(&event, NOW).await.reply.status, passes, "{name}: {what}");
                world.restore();
                continue;
            }
            let mut times = Vec::new();
            // One fast rejection is enough. The machine may be busy, and the work is the same each time.
            while times.len() < 10 && times.iter().all(|time| *time > MAX_REJECTION) {
                let started = Instant::now();
                let answer = service.send(&event, NOW).await;
                times.push(started.elapsed());
                assert!(answer.is_rejected_before_any_work(status), "{name}: {what}: {answer:?}");
                assert!(!answer.reply.body().contains("1234"), "{name}: {what}: the response quotes the body");
            }
            assert!(times.iter().any(|time| *time <= MAX_REJECTION), "{name}: {what}: {times:?}");
        }
    }
}

/// R29: a page of another site can post some of these without a preflight.
#[tokio::test]
async fn a_body_of_another_media_type_is_415_before_any_work() {
    let world = World::new().await;
    let service = world.service();
    for name in ["login", "password"] {
        for media_type in [
            "text/plain",
            "text/plain; application/json",
            "text/plain;charset=application/json",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/json5",
            "application/problem+json",
            "*/*",
            "",
        ] {
            let answer = service.send(&world.request(name).header("content-type", media_type), NOW).await;
            assert!(answer.is_rejected_before_any_work(415), "{name}: {media_type}: {answer:?}");
        }
        let answer = service.send(&world.request(name).without_header("content-type"), NOW).await;
        assert!(answer.is_rejected_before_any_work(415), "{name}: {answer:?}");
    }
}

/// The error names the real problem, and never quotes the body.
#[tokio::test]
async fn a_400_says_what_is_wrong_with_the_body() {
    let world = World::new().await;
    let service = world.service();
    for name in ["login", "password"] {
        let good = world.request(name).payload()["body"].as_str().unwrap().to_owned();
        for (body, problem) in [
            (
                good.replace("\"1234\"", "\"\\ud800\""),
                "has half of a surrogate pair in a string, such as \\ud800 alone",
            ),
            (good.replace("\"1234\"", "\"12\n34\""), "has a control character in a string"),
            (good.replace("\"1234\"", "1234"), "has a value of the wrong type"),
            (good.replace("\"1234\"", "null"), "has a value of the wrong type"),
            (good.replacen('{', "{\"role\":\"admin\",", 1), "has an unknown field"),
            (format!("\u{feff}{good}"), "starts with a byte order mark"),
            (format!("{good}{good}"), "has more text after the JSON object"),
            (format!("{good}\0"), "is not UTF-8 text"),
            ("{}".to_owned(), "lacks the field "),
            (" \n".to_owned(), "is empty"),
        ] {
            let answer = service.send(&world.request(name).body(body.clone()), NOW).await;
            assert!(answer.is_rejected_before_any_work(400), "{name}: {body}: {answer:?}");
            let detail = answer.reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(&format!("The body {problem}")), "{name}: {body}: {detail}");
            assert!(!detail.contains("1234") && !detail.contains("role"), "{detail}");
        }
    }
}

#[tokio::test]
async fn an_encoded_body_is_415_before_any_work() {
    let world = World::new().await;
    let service = world.service();
    for name in ["login", "password"] {
        for encoding in ["gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "gzip\u{e9}"] {
            let answer = service.send(&world.request(name).header("content-encoding", encoding), NOW).await;
            assert!(answer.is_rejected_before_any_work(415), "{name}: {encoding}: {answer:?}");
        }
        let plain = world.request(name).header("content-encoding", "identity");
        assert_eq!(service.send(&plain, NOW).await.reply.status, status_of(name));
        world.restore();
    }
}

/// R85, R90: each function answers its own methods and lists them in `Allow`. `GET /logout` changes nothing. No header
/// and no parameter overrides the method.
#[tokio::test]
async fn every_other_method_is_405_before_any_work() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    for (name, allowed) in [
        ("login", "POST"),
        ("logout", "POST"),
        ("password", "PUT"),
        ("sessions", "GET, DELETE"),
        ("sessions, end one", "DELETE"),
        ("userinfo", "GET, HEAD"),
        ("start", "GET, HEAD"),
        ("sign-in form", "GET, POST"),
        ("sign-out form", "POST"),
        ("account page", "GET, HEAD"),
        ("password form", "GET, POST, PUT"),
        ("end one form", "POST"),
        ("well-known", "GET"),
    ] {
        for method in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "FOO"]
        {
            if allowed.split(", ").any(|one| one == method) {
                continue;
            }
            let own = allowed.split(", ").next().unwrap();
            let event = world.request(name).method(method).query(&format!("_method={own}"));
            let event = event.header("x-http-method-override", own).header("x-method-override", own);
            let answer = service.send(&event.header("x-http-method", own), NOW).await;
            assert!(answer.is_rejected_before_any_work(405), "{name}: {method}: {answer:?}");
            assert_eq!(answer.reply.header("allow"), Some(allowed), "{name}: {method}");
            assert_eq!(answer.reply.body().is_empty(), method == "HEAD", "{name}: {method}");
            assert_eq!(is_page(&answer.reply), is_of_a_person(name), "{name}: {method}");
        }
    }
    assert_eq!(world.records(), before);
}

/// R90: the gateway routes by the path. If one of these paths gets through, it does not authenticate a request.
#[tokio::test]
async fn an_unusual_path_does_not_authenticate_a_request() {
    let world = World::new().await;
    let service = world.service();
    let long = format!("/userinfo/{}", "x".repeat(10_240));
    for path in [
        "//userinfo",
        "/userinfo/",
        "/userinfo%2f",
        "/userinfo%00",
        "/%75serinfo",
        "/USERINFO",
        "/userinfo;x=y",
        "/userinfo/../login",
        "/./userinfo",
        "/$default/userinfo",
        "/prod/userinfo",
        "/userinfo\\",
        "/userinfo?access_token=x",
        "/user info",
        "/\u{e9}",
        "//evil.example/userinfo",
        "https://evil.example/userinfo",
        "",
        &long,
    ] {
        for stage in ["$default", "prod"] {
            let with_path = |event: Event| {
                let event = event.with("/rawPath", json!(path)).with("/requestContext/http/path", json!(path));
                event.with("/requestContext/stage", json!(stage))
            };
            let answer = service.send(&with_path(Event::recorded("userinfo-without")), NOW).await;
            assert!(matches!(answer.reply.status, 400 | 401), "{path:.40}: {answer:?}");
            assert!(answer.calls.is_empty() && !reveals_a_user(&answer.reply), "{path:.40}: {answer:?}");
            let answer = service.send(&with_path(world.request("userinfo")), NOW).await;
            assert!(matches!(answer.reply.status, 200 | 400), "{path:.40}: {answer:?}");
        }
    }
}

/// R90: a path parameter that is not a session id is an unknown session.
#[tokio::test]
async fn an_invalid_session_id_is_404_and_ends_no_session() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    let (other, long) = (&world.other, "A".repeat(10_240));
    for id in [
        String::new(),
        " ".into(),
        "\0".into(),
        format!("{other}\0"),
        format!("{other}\n"),
        format!(" {other}"),
        format!("{other}="),
        format!("{other}%2f"),
        format!("{other}/"),
        format!("../{other}"),
        format!("{other},{}", world.session),
        other.to_lowercase() + "A",
        "%2e%2e%2f".into(),
        "*".into(),
        "' OR '1'='1".into(),
        "{\"S\":\"x\"}".into(),
        "\u{ff21}".repeat(22),
        long,
    ] {
        let answer = service.send(&world.end_session(&id), NOW).await;
        assert_eq!((answer.reply.status, answer.reply.cookies.len()), (404, 0), "{id:.40?}");
        assert_eq!(answer.calls, ["BatchGetItem"], "{id:.40?}");
        assert_eq!(world.records(), before, "{id:.40?}");
    }
}

/// R92: the request is rejected and changes nothing for either user. A login and a logout are exceptions, and the pages
/// that lead to a login do not treat the visitor as signed in.
#[tokio::test]
async fn a_bearer_token_and_a_cookie_of_different_users_are_400() {
    let world = World::new().await;
    let park = testbed::add_park(&world.env).await;
    let (parks, _) = testbed::sign_in(&world.env, &park, true, NOW).await;
    let (service, before) = (world.service(), world.records());
    for (name, status) in all_requests() {
        let Some(without_a_user) = not_signed_in(name) else { continue };
        let event = world.request(name).header("authorization", &format!("Bearer {}", world.access));
        let both = event.clone().cookies([format!("access_jwt={parks}")]);
        let answer = service.send(&both, NOW).await;
        let expected = match name {
            "start" | "sign-in page, signed in" => without_a_user,
            _ => (400, None),
        };
        assert_eq!((answer.reply.status, answer.reply.header("location")), expected, "{name}: {answer:?}");
        assert!(answer.reply.cookies.is_empty() && answer.calls.is_empty(), "{name}: {answer:?}");
        assert!(!reveals_a_user(&answer.reply), "{name}: {answer:?}");
        assert_eq!(is_page(&answer.reply), is_of_a_person(name) && name != "start", "{name}");
        assert_eq!(world.records(), before, "{name}");
        let same = event.cookies([format!("access_jwt={}", world.access)]);
        assert_eq!(service.send(&same, NOW).await.reply.status, status, "{name}: of the same user");
        world.restore();
    }
    let both = world.authorizer_event().header("authorization", &format!("Bearer {}", world.access));
    let decision = service.authorize(&both.cookies([format!("access_jwt={parks}")]), NOW).await;
    assert_eq!(decision, Some(json!({ "isAuthorized": false })));
}

/// R91: a token counts only in its cookie and after `Bearer`.
#[tokio::test]
async fn a_token_in_any_other_place_is_ignored() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    let (access, refresh) = (&world.access, &world.refresh);
    for (name, status) in all_requests() {
        if ["login", "sign-in page", "sign-in form", "well-known"].contains(&name) {
            continue;
        }
        let (expected, location) = not_signed_in(name).unwrap_or((status, None));
        let bare = world.request(name).without_cookies();
        let everywhere = if name.contains("everywhere") { "everywhere=true&" } else { "" };
        let query = format!("{everywhere}access_token={access}&access_jwt={access}&refresh_jwt={refresh}");
        let mut places = vec![
            bare.clone().query(&query),
            bare.clone().header("x-access-token", access).header("access_jwt", access).header("token", access),
            bare.clone().header("authorization", access),
            bare.clone().header("authorization", &format!("Basic {access}")),
            bare.clone().header("authorization", &format!("JWT {access}")),
            bare.clone().header("x-authorization", &format!("Bearer {access}")),
            bare.clone().cookies([format!("session={access}"), format!("__Host-access_jwt={access}")]),
        ];
        if name != "password" {
            places.push(bare.form_body(format!("access_token={access}&refresh_jwt={refresh}")));
        }
        for event in places {
            let answer = service.send(&event, NOW).await;
            assert_eq!((answer.reply.status, answer.calls.len()), (expected, 0), "{name}: {event:?}");
            assert!(location.is_none() || answer.reply.header("location") == location, "{name}: {event:?}: {answer:?}");
            assert_eq!(world.records(), before, "{name}: {event:?}");
        }
    }
}

/// F33, R94: an event that cannot be converted for a handler does not stop a function. The response is 400, and the
/// next request is served.
#[tokio::test]
async fn a_hostile_header_is_400_in_every_function_and_the_next_request_is_served() {
    let world = World::new().await;
    let service = world.service();
    for (name, status) in all_requests() {
        let good = world.request(name);
        for hostile in [
            good.clone().header("host", "a:99999"),
            good.clone().header("host", "a b"),
            good.clone().header("x-forwarded-proto", ","),
            good.clone().query("a b"),
            good.clone().query("a=\""),
            good.clone().body("{\"not\":\"base64\"}").with("/isBase64Encoded", json!(true)),
        ] {
            let answer = service.send(&hostile, NOW).await;
            assert!(answer.is_rejected_before_any_work(400), "{name}: {hostile:?}: {answer:?}");
            assert_eq!(is_page(&answer.reply), is_of_a_person(name), "{name}: {hostile:?}");
        }
        assert_eq!(service.send(&good, NOW).await.reply.status, status, "{name}");
        world.restore();
    }
    for hostile in [
        world.authorizer_event().header("host", "a:99999"),
        world.authorizer_event().header("x-forwarded-proto", ","),
        world.authorizer_event().query("a b"),
        world.authorizer_event().with("/isBase64Encoded", json!("x")),
        world.authorizer_event().with("/headers/accept", json!(null)).header("accept", "\u{0}"),
    ] {
        let decision = service.authorize(&hostile, NOW).await.unwrap();
        assert_eq!(decision["isAuthorized"], true, "{hostile:?}");
    }
}
