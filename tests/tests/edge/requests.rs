//! Requests that no client of ours would send.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testbed::{Event, WHO_MAY_POST};

use crate::world::{CHANGES, NOW, REQUESTS, World, names_somebody, status_of};

/// The same request, as a page of another site might have made a browser send it.
fn sent_by(event: Event, origin: Option<&str>, site: Option<&str>, host: Option<&str>) -> Event {
    let headers = [("origin", origin), ("sec-fetch-site", site), ("host", host)];
    headers.into_iter().fold(event, |event, (name, value)| match value {
        Some(value) => event.header(name, value),
        None => event.without_header(name),
    })
}

/// R29, R85: contract, "Who may post": the one table, through every route that changes something. What is refused costs no
/// call and no hash, and touches no cookie; what passes is done.
#[tokio::test]
async fn who_may_post_is_the_same_on_every_route() {
    let (world, mut refused) = (World::new().await, 0);
    let (service, before) = (world.service(), world.records());
    for (origin, site, host, passes) in WHO_MAY_POST {
        for name in CHANGES {
            let answer = service.send(&sent_by(world.request(name), origin, site, host), NOW).await;
            if passes {
                let status = answer.reply.status;
                assert_eq!(status, status_of(name), "{name}: {origin:?} {site:?} {host:?}");
                world.restore();
            } else {
                assert!(answer.is_refusal_at_the_door(403), "{name}: {origin:?} {site:?} {host:?}: {answer:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 200, "{refused}");
    assert!(before.iter().all(|record| world.records().contains(record)));
}

/// R85: what stands behind the authorizer is as safe.
#[tokio::test]
async fn who_may_post_is_the_same_behind_the_authorizer() {
    let world = World::new().await;
    let service = world.service();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for (origin, site, host, passes) in WHO_MAY_POST {
            let event = world.question().method(method);
            let verdict = service.ask(&sent_by(event, origin, site, host), NOW).await.unwrap();
            assert_eq!(verdict["isAuthorized"], passes, "{method} {origin:?} {site:?} {host:?}");
            assert_eq!(service.calls.take().is_empty(), !passes, "{method} {origin:?} {site:?} {host:?}");
        }
    }
}

/// As the gateway sends a body that is not text.
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// What a body can be: a name for it, the body, whether the event says that it is base64, and the status that is due. `good`
/// is one with the password `1234`.
fn bodies(good: &str, passes: u16) -> Vec<(&'static str, (Value, bool), u16)> {
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let binary = |bytes: &[u8]| (json!(encoded(bytes)), true);
    let text = |text: String| (json!(text), false);
    let member = |more: &str| text(good.replacen('{', &format!("{{{more},"), 1));
    let with_password = |value: &str| text(good.replace("\"1234\"", value));
    let (head, tail) = good.split_once("1234").unwrap();
    vec![
        ("as it is", text(good.to_owned()), passes),
        ("8 KiB", text(padded(8192)), passes),
        ("8 KiB and a byte", text(padded(8193)), 413),
        ("64 KiB", text(padded(1 << 16)), 413),
        ("in base64", binary(good.as_bytes()), passes),
        ("8 KiB in base64", binary(padded(8192).as_bytes()), passes),
        ("8 KiB and a byte in base64", binary(padded(8193).as_bytes()), 413),
        ("text that is said to be base64", (json!(good), true), 400),
        ("base64 that is cut off", (json!(&encoded(good.as_bytes())[1..]), true), 400),
        ("base64 that is said to be text", text(encoded(good.as_bytes())), 400),
        ("none", (Value::Null, false), 400),
        ("none, in base64", (Value::Null, true), 400),
        ("nothing", text(String::new()), 400),
        ("white space", text(" \r\n\t".into()), 400),
        ("null", text("null".into()), 400),
        ("as many brackets as are read", text("[".repeat(8192)), 400),
        ("more brackets than are read", text("[".repeat(10_000)), 413),
        ("deep objects", text("{\"a\":".repeat(1600)), 400),
        ("a deep password", with_password(&format!("{}{}", "[".repeat(200), "]".repeat(200))), 400),
        ("a list as a password", with_password("[\"1234\"]"), 400),
        ("an object as a password", with_password("{\"1234\":\"1234\"}"), 400),
        ("true as a password", with_password("true"), 400),
        ("a number as a password", with_password("1234"), 400),
        ("a huge number as a password", with_password("1e999"), 400),
        ("no password", with_password("null"), 400),
        ("half a character", with_password("\"\\ud800\""), 400),
        ("a line break in a word", with_password("\"12\n34\""), 400),
        ("a password of more than 4 KiB", with_password(&format!("\"{}\"", "p".repeat(4097))), 400),
        ("a name that nobody knows", member("\"role\":\"admin\""), 400),
        ("a name from another language", member("\"__proto__\":{\"role\":\"admin\"}"), 400),
        ("everything twice", member(good.trim_start_matches('{').trim_end_matches('}')), 400),
        ("a list around it", text(format!("[{good}]")), 400),
        ("two of them", text(format!("{good}{good}")), 400),
        ("a comma too many", text(good.replacen('}', ",}", 1)), 400),
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

/// How long a refusal takes at most.
const AT_ONCE: Duration = Duration::from_millis(50);

/// R30, R32: the two routes that read a body, and whatever else a body can be. What is refused is refused at once, before
/// anything is looked up or hashed.
#[tokio::test]
async fn a_body_is_read_in_full_or_refused_at_the_door() {
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
            // Once is enough: the machine may be busy, the work is the same each time.
            while times.len() < 10 && times.iter().all(|time| *time > AT_ONCE) {
                let started = Instant::now();
                let answer = service.send(&event, NOW).await;
                times.push(started.elapsed());
                assert!(answer.is_refusal_at_the_door(status), "{name}: {what}: {answer:?}");
                assert!(!answer.reply.body().contains("1234"), "{name}: {what} is quoted");
            }
            assert!(times.iter().any(|time| *time <= AT_ONCE), "{name}: {what}: {times:?}");
        }
    }
}

/// R29: a page of another site can post these without asking first.
#[tokio::test]
async fn a_body_of_another_media_type_is_refused_at_the_door() {
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
            assert!(answer.is_refusal_at_the_door(415), "{name}: {media_type}: {answer:?}");
        }
        let answer = service.send(&world.request(name).without_header("content-type"), NOW).await;
        assert!(answer.is_refusal_at_the_door(415), "{name}: {answer:?}");
    }
}

/// R85, R90: each function answers its own methods and says so; `GET /logout` changes nothing. No header makes one method
/// another.
#[tokio::test]
async fn every_other_method_is_405_at_the_door() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    for (name, allowed) in [
        ("login", "POST"),
        ("logout", "POST"),
        ("password", "PUT"),
        ("sessions", "GET, DELETE"),
        ("sessions, end one", "DELETE"),
        ("userinfo", "GET, HEAD"),
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
            assert!(answer.is_refusal_at_the_door(405), "{name}: {method}: {answer:?}");
            assert_eq!(answer.reply.header("allow"), Some(allowed), "{name}: {method}");
            assert_eq!(answer.reply.body().is_empty(), method == "HEAD", "{name}: {method}");
        }
    }
    assert_eq!(world.records(), before);
}

/// R90: the gateway decides by the path. Should one of these come through, it opens nothing.
#[tokio::test]
async fn a_path_opens_nothing() {
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
            let tricked = |event: Event| {
                let event = event.with("/rawPath", json!(path)).with("/requestContext/http/path", json!(path));
                event.with("/requestContext/stage", json!(stage))
            };
            let answer = service.send(&tricked(Event::recorded("userinfo-without")), NOW).await;
            assert!(matches!(answer.reply.status, 400 | 401), "{path:.40}: {answer:?}");
            assert!(answer.calls.is_empty() && !names_somebody(&answer.reply), "{path:.40}: {answer:?}");
            let answer = service.send(&tricked(world.request("userinfo")), NOW).await;
            assert!(matches!(answer.reply.status, 200 | 400), "{path:.40}: {answer:?}");
        }
    }
}

/// R90: what stands in the path of a session is an id of ours, or there is no such session.
#[tokio::test]
async fn a_session_that_has_no_name_of_ours_is_404_and_ends_nothing() {
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
        let answer = service.send(&world.ending(&id), NOW).await;
        assert_eq!((answer.reply.status, answer.reply.cookies.len()), (404, 0), "{id:.40?}");
        assert_eq!(answer.calls, ["BatchGetItem"], "{id:.40?}");
        assert_eq!(world.records(), before, "{id:.40?}");
    }
}

/// R92: whoever holds a token and a cookie of two people is told so, and nothing is done for either.
#[tokio::test]
async fn a_bearer_token_and_a_cookie_of_two_people_are_400_everywhere() {
    let world = World::new().await;
    let park = testbed::add_park(&world.config).await;
    let (parks, _) = testbed::sign_in(&world.config, &park, true, NOW).await;
    let (service, before) = (world.service(), world.records());
    for (name, status) in REQUESTS.into_iter().filter(|(name, _)| !name.starts_with("login")) {
        let event = world.request(name).header("authorization", &format!("Bearer {}", world.access));
        let both = event.clone().cookies([format!("access_jwt={parks}")]);
        let answer = service.send(&both, NOW).await;
        assert_eq!((answer.reply.status, answer.reply.cookies.len()), (400, 0), "{name}: {answer:?}");
        assert!(answer.calls.is_empty() && !names_somebody(&answer.reply), "{name}: {answer:?}");
        assert_eq!(world.records(), before, "{name}");
        let same = event.cookies([format!("access_jwt={}", world.access)]);
        assert_eq!(service.send(&same, NOW).await.reply.status, status, "{name}: of one person");
        world.restore();
    }
    let both = world.question().header("authorization", &format!("Bearer {}", world.access));
    let verdict = service.ask(&both.cookies([format!("access_jwt={parks}")]), NOW).await;
    assert_eq!(verdict, Some(json!({ "isAuthorized": false })));
}

/// R91: a token counts in its cookie, or as `Bearer`.
#[tokio::test]
async fn a_token_in_any_other_place_is_not_read() {
    let world = World::new().await;
    let (service, before) = (world.service(), world.records());
    let (access, refresh) = (&world.access, &world.refresh);
    for (name, _) in REQUESTS.into_iter().filter(|(name, _)| !name.starts_with("login")) {
        let bare = world.request(name).without_cookies();
        let query = format!("access_token={access}&access_jwt={access}&refresh_jwt={refresh}");
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
            places.push(bare.body(format!("access_token={access}&refresh_jwt={refresh}")));
        }
        for event in places {
            let answer = service.send(&event, NOW).await;
            let expected = if name.starts_with("logout") { 205 } else { 401 };
            assert_eq!((answer.reply.status, answer.calls.len()), (expected, 0), "{name}: {event:?}");
            assert_eq!(world.records(), before, "{name}: {event:?}");
        }
    }
}

/// F33, R94: what stops the conversion of an event before any handler runs stops no function: 400, and the next request is
/// served.
#[tokio::test]
async fn a_hostile_header_is_400_in_every_function_and_the_next_request_is_served() {
    let world = World::new().await;
    let service = world.service();
    for (name, status) in REQUESTS {
        let good = world.request(name);
        for hostile in [
            good.clone().header("host", "a:99999"),
            good.clone().header("host", "a b"),
            good.clone().header("x-forwarded-proto", ","),
            good.clone().query("a b"),
            good.clone().query("a=\""),
            good.clone().with("/isBase64Encoded", json!(true)).body("{\"not\":\"base64\"}"),
        ] {
            let answer = service.send(&hostile, NOW).await;
            assert!(answer.is_refusal_at_the_door(400), "{name}: {hostile:?}: {answer:?}");
        }
        assert_eq!(service.send(&good, NOW).await.reply.status, status, "{name}");
        world.restore();
    }
    for hostile in [
        world.question().header("host", "a:99999"),
        world.question().header("x-forwarded-proto", ","),
        world.question().query("a b"),
        world.question().with("/isBase64Encoded", json!("x")),
        world.question().with("/headers/accept", json!(null)).header("accept", "\u{0}"),
    ] {
        let verdict = service.ask(&hostile, NOW).await.unwrap();
        assert_eq!(verdict["isAuthorized"], true, "{hostile:?}");
    }
}
