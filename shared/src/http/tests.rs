use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};
use testbed::Event;

use super::*;
use crate::config::Environment;

/// Sends an event to a function with this handler.
async fn answered<F>(event: Event, handler: impl Fn(Request) -> F + Clone + Send + Sync) -> testbed::Reply
where
    F: Future<Output = Result<Reply>> + Send,
{
    let allowed = Site::from_env(&Environment::new(testbed::settings(&[]))).unwrap();
    event.send(&mut service(allowed, handler)).await
}

async fn ok(_: Request) -> Result<Reply> {
    reply::json(&json!({}))
}

fn get() -> Event {
    Event::recorded("userinfo-without")
}

fn post() -> Event {
    Event::recorded("login")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    word: String,
}

async fn echo(request: Request) -> Result<Reply> {
    let Word { word } = request.json()?;
    reply::json(&json!({ "word": word }))
}

/// R94, F33.
#[tokio::test]
async fn an_event_that_cannot_be_converted_is_400_and_the_next_request_is_served() {
    let mut service = service(Site::default(), ok);
    for hostile in [
        get().header("host", "a:99999"),
        get().header("host", "a b"),
        get().header("x-forwarded-proto", ","),
        get().query("a b"),
        get().query("a=\""),
        post().with("/isBase64Encoded", json!(true)),
    ] {
        let refused = hostile.send(&mut service).await;
        assert_eq!(refused.status, 400, "{hostile:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        assert_eq!(refused.json()["request_id"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
        assert!(refused.cookies.is_empty());
        assert_eq!(get().send(&mut service).await.status, 200);
    }
}

/// R94, F33.
#[tokio::test]
async fn a_panic_is_500_and_the_next_request_is_served() {
    async fn late(request: Request) -> Result<Reply> {
        tokio::task::yield_now().await;
        assert!(request.method == Method::POST, "the word that nobody may see");
        ok(request).await
    }
    let early = |request: Request| {
        assert!(request.method == Method::POST, "the word that nobody may see");
        ok(request)
    };
    for panicked in [answered(get(), late).await, answered(get(), early).await] {
        assert_eq!(panicked.status, 500);
        assert_eq!(panicked.header("content-type"), Some("application/problem+json"));
        assert!(!panicked.body().contains("nobody may see"), "{}", panicked.body());
    }
    let mut service = service(Site::default(), late);
    assert_eq!(get().send(&mut service).await.status, 500);
    assert_eq!(post().send(&mut service).await.status, 200);
}

/// R93.
#[tokio::test]
async fn every_error_has_its_status_and_hides_its_cause() {
    type Make = fn() -> Error;
    let cases: [(Make, u16, &str); 12] = [
        (|| Error::invalid_request("The word is missing."), 400, "The word is missing."),
        (
            || Error::ForeignOrigin,
            403,
            "A request that changes something must come from this site or from an allowed origin.",
        ),
        (|| Error::MethodNotAllowed { allowed: "GET, HEAD" }, 405, "This path accepts only GET, HEAD."),
        (|| ServiceError::Taken("login name").into(), 409, "This login name is taken."),
        (|| Error::TooLarge { limit: 8192 }, 413, "The body is larger than 8192 bytes."),
        (|| Error::UnsupportedMediaType { expected: "application/json" }, 415, "The body must be application/json."),
        (|| ServiceError::Corrupt("users-1234".into()).into(), 500, "A stored record cannot be read."),
        (|| ServiceError::Setting { name: "X", problem: "is not set".into() }.into(), 500, "X is not set"),
        (|| ServiceError::Misconfigured("users-1234".into()).into(), 500, "The service is not set up correctly."),
        (|| ServiceError::Unexpected("users-1234".into()).into(), 500, "Something went wrong on our side."),
        (
            || ServiceError::Unavailable("users-1234".into()).into(),
            503,
            "The service cannot answer right now. Try again in a moment.",
        ),
        (|| ServiceError::NotAuthorized.into(), 401, "Not Authorized"),
    ];
    for (error, status, text) in cases {
        let reply = answered(get(), move |_| async move { Err(error()) }).await;
        assert_eq!(reply.status, status, "{text}");
        assert!(!reply.body().contains("users-1234"));
        assert!(reply.cookies.is_empty(), "an error sets no cookie");
        if status == 401 {
            assert_eq!((reply.body(), reply.header("content-type")), (text, Some("text/plain; charset=utf-8")));
            continue;
        }
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let problem = reply.json();
        assert_eq!((&problem["status"], &problem["detail"]), (&json!(status), &json!(text)));
        for name in ["type", "title", "request_id"] {
            assert!(problem[name].is_string(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_401_is_problem_details_only_for_a_client_that_names_them() {
    let refused = |accept: &'static str| {
        answered(get().header("accept", accept), |_| async { Err(ServiceError::NotAuthorized.into()) })
    };
    for accept in [
        "application/problem+json",
        "Application/Problem+JSON",
        "text/html, application/problem+json",
        "application/json;q=0.9,application/problem+json;q=0.1",
        "application/problem+json; charset=utf-8; Q=0.001",
    ] {
        let reply = refused(accept).await;
        assert_eq!((reply.status, reply.header("content-type")), (401, Some("application/problem+json")), "{accept}");
        let expected = json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Not Authorized",
            "request_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        });
        assert_eq!((reply.json(), reply.header("www-authenticate")), (expected, Some("Bearer")), "{accept}");
    }
    for accept in [
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/problem+json;q=0",
        "application/problem+json; q=0.000",
        "application/problem+json;q=high",
        "application/problem+xml",
        "x-application/problem+json",
    ] {
        let reply = refused(accept).await;
        assert_eq!((reply.status, reply.body()), (401, "Not Authorized"), "{accept}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{accept}");
        assert_eq!(reply.header("vary"), None);
    }
}

/// R90.
#[tokio::test]
async fn a_405_has_allow_and_a_503_has_retry_after() {
    let refused =
        answered(get(), |request: Request| async move { request.accept("POST").map(|()| unreachable!()) }).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    let outage = answered(get(), |_| async { Err(ServiceError::Unavailable("no reply".into()).into()) }).await;
    assert_eq!((outage.status, outage.header("retry-after")), (503, Some("1")));
}

/// R90.
#[tokio::test]
async fn no_header_overrides_the_method() {
    let handler = |request: Request| async move {
        request.accept("GET, HEAD")?;
        ok(request).await
    };
    assert_eq!(answered(get().header("x-http-method-override", "POST"), handler).await.status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "FOO"] {
        assert_eq!(answered(get().method(method), handler).await.status, 405, "{method}");
    }
}

/// R87, R88, R89.
#[tokio::test]
async fn every_response_carries_the_security_headers() {
    let replies = [
        answered(get(), ok).await,
        answered(get(), |_| async { reply::found("/userinfo") }).await,
        answered(get(), |_| async { Ok(reply::reset_content()) }).await,
        answered(get(), |_| async { Err(ServiceError::NotAuthorized.into()) }).await,
        answered(get(), |_| async { Err(ServiceError::Unavailable("x".into()).into()) }).await,
        answered(post().header("origin", "https://evil.example"), ok).await,
        answered(get().header("host", "a:99999"), ok).await,
    ];
    for reply in replies {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{} {name}", reply.status);
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "the gateway adds CORS headers (R87)");
    }
}

/// R85: `origin` has the table of cases. This test shows that the check runs before the handler.
#[tokio::test]
async fn a_request_from_a_foreign_origin_never_reaches_a_handler() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let counting = |request: Request| async move {
        CALLS.fetch_add(1, Ordering::Relaxed);
        ok(request).await
    };
    let refused = answered(post().header("sec-fetch-site", "cross-site"), counting).await;
    assert_eq!((refused.status, CALLS.load(Ordering::Relaxed)), (403, 0));
    let allowed = post().header("origin", "https://localhost:3000").header("sec-fetch-site", "same-site");
    assert_eq!((answered(allowed, counting).await.status, CALLS.load(Ordering::Relaxed)), (200, 1));
}

/// RFC 9110 §8.6: the length is that of the response to `GET`.
#[tokio::test]
async fn a_response_to_head_has_the_headers_and_the_length_of_get_and_no_body() {
    async fn panics(request: Request) -> Result<Reply> {
        assert!(request.source_ip().is_none(), "every event has a source");
        ok(request).await
    }
    async fn korean(_: Request) -> Result<Reply> {
        reply::json(&json!({ "name": "김코딩" }))
    }
    async fn refuses(_: Request) -> Result<Reply> {
        Err(ServiceError::NotAuthorized.into())
    }
    let hostile = get().header("host", "a:99999");
    for (got, head) in [
        (answered(get(), ok).await, answered(get().method("HEAD"), ok).await),
        (answered(get(), korean).await, answered(get().method("HEAD"), korean).await),
        (answered(get(), refuses).await, answered(get().method("HEAD"), refuses).await),
        (answered(get(), panics).await, answered(get().method("HEAD"), panics).await),
        (answered(hostile.clone(), ok).await, answered(hostile.method("HEAD"), ok).await),
    ] {
        assert_eq!((head.status, head.body()), (got.status, ""));
        assert_eq!(head.header("content-type"), got.header("content-type"));
        let length = got.body().len().to_string();
        assert_eq!((head.header("content-length"), got.header("content-length")), (Some(length.as_str()), None));
    }
}

/// R30, R32.
#[tokio::test]
async fn a_body_must_be_json_of_exactly_the_expected_form() {
    assert_eq!(answered(post().body(r#"{"word":"a"}"#), echo).await.json(), json!({ "word": "a" }));
    let deep = "[".repeat(8000);
    for body in [
        "",
        "null",
        "[]",
        "\"word\"",
        "{}",
        r#"{"word":"a"}x"#,
        r#"{"word":"a","word":"a"}"#,
        r#"{"word":"a","role":"admin"}"#,
        r#"{"word":["a"]}"#,
        r#"{"word":true}"#,
        r#"{"word":null}"#,
        r#"{"word":"a""#,
        "{'word':'a'}",
        &deep,
    ] {
        let refused = answered(post().body(body), echo).await;
        assert_eq!(refused.status, 400, "{body:.40}");
    }
}

/// R93.
#[tokio::test]
async fn an_error_never_quotes_the_body() {
    for body in [r#"{"word":7,"x":"hunter42"}"#, r#"{"hunter42":"a"}"#, r#"{"word":{"hunter42":1}}"#, "hunter42"] {
        let refused = answered(post().body(body), echo).await;
        assert!(!refused.body().contains("hunter42"), "{}", refused.body());
    }
}

/// R32.
#[tokio::test]
async fn a_base64_body_is_decoded() {
    let encoded = |text| post().body(text).with("/isBase64Encoded", json!(true));
    assert_eq!(answered(encoded("eyJ3b3JkIjoiYSJ9"), echo).await.json(), json!({ "word": "a" }));
    assert_eq!(answered(encoded("eyJ3b3JkIjoi/yJ9"), echo).await.status, 400, "not UTF-8");
}

/// R32.
#[tokio::test]
async fn a_body_over_8_kib_is_413() {
    let of_length = |length: usize| post().body(format!(r#"{{"word":"{}"}}"#, "x".repeat(length - 11)));
    assert_eq!(answered(of_length(8192), echo).await.status, 200);
    assert_eq!(answered(of_length(8193), echo).await.status, 413);
}

/// R29.
#[tokio::test]
async fn a_body_with_another_media_type_is_415() {
    let of_type = |media_type| post().body(r#"{"word":"a"}"#).header("content-type", media_type);
    for media_type in ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"] {
        assert_eq!(answered(of_type(media_type), echo).await.status, 200, "{media_type}");
    }
    for media_type in
        ["text/plain", "", "application/jsonp", "application/x-www-form-urlencoded", "multipart/form-data"]
    {
        assert_eq!(answered(of_type(media_type), echo).await.status, 415, "{media_type}");
    }
    assert_eq!(answered(post().without_header("content-type"), echo).await.status, 415);
}

#[tokio::test]
async fn an_encoded_body_is_415_with_the_name_of_the_encoding() {
    let encoded = |encoding| post().body(r#"{"word":"a"}"#).header("content-encoding", encoding);
    for encoding in ["identity", "Identity", "", "identity, identity"] {
        assert_eq!(answered(encoded(encoding), echo).await.status, 200, "{encoding}");
    }
    let long = "x".repeat(33);
    for (encoding, name) in [
        ("gzip", "gzip"),
        ("GZIP", "GZIP"),
        ("br", "br"),
        ("deflate", "deflate"),
        ("zstd", "zstd"),
        ("x-gzip", "x-gzip"),
        ("identity, gzip", "gzip"),
        ("utf-8", "utf-8"),
        ("<script>", "an unknown one"),
        ("gz\u{e9}p", "an unknown one"),
        (&long, "an unknown one"),
    ] {
        let refused = answered(encoded(encoding), echo).await;
        assert_eq!((refused.status, refused.header("accept-encoding")), (415, Some("identity")), "{encoding}");
        let detail = format!("The body must have no content encoding, but it has {name}.");
        assert_eq!(refused.json()["detail"], detail);
    }
    // RFC 9110 §12.5.3: the header would mislead a client whose media type is wrong.
    let of_type = answered(encoded("gzip").header("content-type", "text/plain"), echo).await;
    assert_eq!((of_type.status, of_type.header("accept-encoding")), (415, None));
}

#[tokio::test]
async fn a_bearer_token_is_the_text_after_the_scheme_and_several_credentials_are_an_invalid_one() {
    async fn bearer(request: Request) -> Result<Reply> {
        reply::json(&request.bearer().map(|token| String::from_utf8_lossy(token).into_owned()))
    }
    assert_eq!(answered(get(), bearer).await.json(), Value::Null);
    for (value, token) in [
        ("Bearer a.b.c", json!("a.b.c")),
        ("bearer a.b.c", json!("a.b.c")),
        ("BEARER  a.b.c ", json!("a.b.c")),
        ("Bearer", json!("")),
        ("Bearer ", json!("")),
        ("Bearer\ta.b.c", json!("a.b.c")),
        ("Bearer \t  a.b.c", json!("a.b.c")),
        ("Bearer\u{a0}a.b.c", json!("\u{a0}a.b.c")),
        ("Bearer:a.b.c", json!(":a.b.c")),
        ("Bearer a, Bearer b", json!("")),
        ("Bearer a,Basic a2ltOjEyMzQ=", json!("")),
        ("Basic a2ltOjEyMzQ=,Bearer a", json!("")),
        ("Basic a2ltOjEyMzQ=", Value::Null),
        ("Bearer-Token a.b.c", Value::Null),
        ("Bearera.b.c", Value::Null),
        ("", Value::Null),
    ] {
        assert_eq!(answered(get().header("authorization", value), bearer).await.json(), token, "{value}");
    }
}

/// R86.
#[tokio::test]
async fn only_a_same_site_request_for_a_document_or_fetch_may_set_cookies() {
    async fn may_renew(request: Request) -> Result<Reply> {
        reply::found(if request.may_set_cookies() { "/yes" } else { "/no" })
    }
    for (event, expected) in [
        (get(), "/yes"),
        (get().header("sec-fetch-site", "same-origin").header("sec-fetch-dest", "empty"), "/yes"),
        (get().header("sec-fetch-site", "same-site").header("sec-fetch-dest", "empty"), "/yes"),
        (get().header("sec-fetch-site", "none").header("sec-fetch-dest", "document"), "/yes"),
        (get().method("HEAD"), "/no"),
        (get().header("sec-fetch-site", "cross-site"), "/no"),
        (get().header("sec-purpose", "prefetch"), "/no"),
        (get().header("sec-purpose", "prefetch;prerender"), "/no"),
        (get().header("purpose", "prefetch"), "/no"),
        (get().header("purpose", "Prefetch"), "/no"),
        (get().header("purpose", "preview"), "/no"),
        (get().header("x-purpose", "preview"), "/no"),
        (get().header("x-purpose", "PREFETCH"), "/no"),
        (get().header("x-moz", "prefetch"), "/no"),
        (get().header("sec-purpose", "Prefetch;anonymous-client-ip"), "/no"),
        (get().header("x-moz", "prefetch, prefetch"), "/no"),
        (get().header("purpose", "navigation"), "/yes"),
        (get().header("x-purpose", ""), "/yes"),
        (get().header("sec-fetch-dest", "image"), "/no"),
        (get().header("sec-fetch-dest", "iframe"), "/no"),
        (get().header("sec-fetch-dest", "dokument\u{e9}"), "/no"),
        (get().header("sec-fetch-site", "cross-site, cross-site"), "/no"),
        (get().header("sec-fetch-site", "Cross-Site"), "/no"),
        (get().header("sec-purpose", "\u{e9}prefetch"), "/no"),
    ] {
        assert_eq!(answered(event.clone(), may_renew).await.header("location"), Some(expected), "{event:?}");
    }
}

#[tokio::test]
async fn a_flag_is_true_or_false() {
    async fn everywhere(request: Request) -> Result<Reply> {
        reply::json(&request.flag("everywhere")?)
    }
    for (query, value) in
        [("", false), ("everywhere=true", true), ("everywhere=false", false), ("a=b&everywhere=true", true)]
    {
        assert_eq!(answered(get().query(query), everywhere).await.json(), json!(value), "{query}");
    }
    for query in ["everywhere", "everywhere=1", "everywhere=yes", "everywhere=true&everywhere=x"] {
        assert_eq!(answered(get().query(query), everywhere).await.status, 400, "{query}");
    }
}

/// F16. Local tools send a deadline in the past.
#[tokio::test]
async fn the_budget_ends_before_the_deadline_and_ignores_a_deadline_in_the_past() {
    async fn left(request: Request) -> Result<Reply> {
        reply::json(&request.budget.left().as_millis().to_string())
    }
    let millis =
        |event: Event| async move { answered(event, left).await.json().as_str().unwrap().parse::<u64>().unwrap() };
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    assert!(millis(get().deadline(now + 1000)).await <= 600);
    assert_eq!(millis(get().deadline(now + 300)).await, 0);
    for none in [0, 600_000, now + 60_000] {
        assert_eq!(millis(get().deadline(none)).await, 2000);
    }
}

/// R97.
#[tokio::test]
async fn a_request_prints_neither_headers_nor_body() {
    let event = post()
        .body(r#"{"word":"hunter42"}"#)
        .cookies(["access_jwt=hunter42"])
        .header("authorization", "Bearer hunter42");
    let printed = answered(event, |request: Request| async move { reply::json(&format!("{request:?}")) }).await;
    assert!(printed.body().contains("POST") && !printed.body().contains("hunter42"), "{}", printed.body());
}

/// R25.
#[tokio::test]
async fn the_source_address_comes_from_the_gateway_only() {
    let event =
        get().header("x-forwarded-for", "1.2.3.4").header("x-real-ip", "1.2.3.4").header("forwarded", "for=1.2.3.4");
    let reply = answered(event, |request: Request| async move { reply::json(&request.source_ip()) }).await;
    assert_eq!(reply.json(), json!("203.0.113.7"));
}
