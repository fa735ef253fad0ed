//! The local gateway stands in for the real one. It refuses requests without a route. It carries every other request to
//! its function, whatever bytes the request has. If there is no answer, it responds as the function would.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dev::gateway::Gateway;
use dev::invocations::IN_FLIGHT;
use dev::pages::Pages;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testbed::Event;
use testbed::workspace::template;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::world::{self, NOW};

/// The headers of every response of a function.
const OURS: [&str; 6] = [
    "cache-control: no-store\r\n",
    "content-security-policy: default-src 'none'",
    "cross-origin-resource-policy: same-origin\r\n",
    "referrer-policy: same-origin\r\n",
    "strict-transport-security: max-age=",
    "x-content-type-options: nosniff\r\n",
];

/// The time after which API Gateway stops waiting for a function.
const TIMEOUT: Duration = Duration::from_secs(30);

const LOGIN: &str = r#"{"loginInfo":{"userId":"kimcoding","password":"1234"},"checkedKeepLogin":true}"#;

/// A gateway in front of functions that answer 200 to every event, and count them. They wait for a permit before they
/// answer a `POST`. For `HEAD`, they announce 196 bytes.
struct World {
    gateway: Client,
    reached: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

impl World {
    async fn new() -> Self {
        Self::with_timeout(TIMEOUT).await
    }

    async fn with_timeout(timeout: Duration) -> Self {
        let functions = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Client::of_gateway(functions.local_addr().unwrap(), timeout).await;
        let (reached, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
        let (count, permits) = (Arc::clone(&reached), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = functions.accept().await {
                let (count, permits) = (Arc::clone(&count), Arc::clone(&permits));
                let answer = move |event: Value| {
                    let (count, permits) = (Arc::clone(&count), Arc::clone(&permits));
                    async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        let method = &event["requestContext"]["http"]["method"];
                        if method == "POST" {
                            permits.acquire().await.unwrap().forget();
                        }
                        let cors = ["origin", "credentials"].map(|name| format!("access-control-allow-{name}"));
                        let length = if method == "HEAD" { "196" } else { "0" };
                        let headers = json!({ &cors[0]: "*", &cors[1]: "true", "content-length": length });
                        json!({ "statusCode": 200, "headers": headers, "body": "" })
                    }
                };
                tokio::spawn(async move { answer_invocations(stream, answer).await });
            }
        });
        Self { gateway, reached, answers }
    }

    /// Makes the functions wait, until `answers` has permits again.
    fn hold(&self) {
        self.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until a function that was on hold answers again.
    async fn recovers(&self) {
        let answers = async { while self.gateway.send("POST /logout", "", "").await.0 != 200 {} };
        tokio::time::timeout(Duration::from_secs(20), answers).await.unwrap();
    }

    /// Returns the status, the whole response in lower case, and `true` if the request reached the function.
    async fn send(&self, line: &str, headers: &str) -> (u16, String, bool) {
        let before = self.reached.load(Ordering::SeqCst);
        let (status, response) = self.gateway.send(line, headers, "").await;
        (status, response.to_lowercase(), self.reached.load(Ordering::SeqCst) > before)
    }
}

/// Answers the invocations of a connection, as `cargo lambda watch` does.
async fn answer_invocations<F: Future<Output = Value>>(stream: TcpStream, answer: impl Fn(Value) -> F) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = &answer;
        async move {
            let event = request.into_body().collect().await.unwrap().to_bytes();
            let answer = answer(serde_json::from_slice(&event).unwrap()).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer.to_string())))
        }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
}

/// A client that can send any bytes.
#[derive(Clone, Copy)]
struct Client(SocketAddr);

impl Client {
    /// Starts a gateway in front of the functions at this address.
    async fn of_gateway(functions: SocketAddr, timeout: Duration) -> Self {
        let allowed = vec!["https://localhost:3000".to_owned()];
        let pages = Pages { scheme: "https", cookie_domain: "localhost".to_owned(), allowed };
        let gateway = Gateway::new(functions, &template(), pages).with_timeout(timeout);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(gateway.serve(listener, None));
        Self(address)
    }

    /// Sends a request and returns the status and the whole response. A line break ends each header.
    async fn send(self, line: &str, headers: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> (u16, String) {
        let mut stream = self.begin(line, headers, body.as_ref().len()).await;
        stream.write_all(body.as_ref()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.ok();
        let response = String::from_utf8_lossy(&response).into_owned();
        (response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap(), response)
    }

    /// Sends a request without its body.
    async fn begin(self, line: &str, headers: impl AsRef<[u8]>, length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let start = format!("{line} HTTP/1.1\r\nhost: localhost:4000\r\nconnection: close\r\n");
        let end = format!("content-length: {length}\r\n\r\n");
        let head = [start.as_bytes(), headers.as_ref(), end.as_bytes()].concat();
        stream.write_all(&head).await.unwrap();
        stream
    }
}

/// Asserts that a function would give this error: the form, the headers and no cookie.
fn assert_problem((status, response): &(u16, String), expected: u16) {
    assert_eq!(*status, expected, "{response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let problem: Value = serde_json::from_str(body).unwrap();
    assert!(problem["status"] == expected && problem["request_id"].is_string(), "{response}");
    assert!(head.contains("content-type: application/problem+json\r\n") && !head.contains("set-cookie"), "{response}");
    assert!(OURS.iter().all(|header| head.contains(header)), "{response}");
    assert_eq!(head.contains("retry-after: 1\r\n"), expected == 503, "{response}");
}

/// Asserts that the same error is a page for a person with a browser.
fn assert_page((status, response): &(u16, String), expected: u16) {
    assert_eq!(*status, expected, "{response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let shown = format!("<span id=\"status\">{expected}</span>");
    assert!(body.starts_with("<!doctype html>") && body.contains(&shown), "{response}");
    assert!(head.contains("content-type: text/html; charset=utf-8\r\n") && !head.contains("set-cookie"), "{response}");
    assert!(head.contains("cross-origin-opener-policy: same-origin\r\n"), "{response}");
    assert!(OURS.iter().all(|header| head.contains(header)), "{response}");
    assert_eq!(head.contains("retry-after: 1\r\n"), expected == 503, "{response}");
}

/// Runs the checks with a gateway in front of the real functions.
async fn with_functions(checks: impl AsyncFnOnce(Client, &world::World)) {
    let world = world::World::new().await;
    let service = world.service();
    let functions = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Client::of_gateway(functions.local_addr().unwrap(), TIMEOUT).await;
    let serve = async {
        loop {
            let (stream, _) = functions.accept().await.unwrap();
            let answer = |event| {
                let (event, service) = (Event::sent(event), &service);
                async move { serde_json::to_value(service.reply_to(&event, NOW).await).unwrap() }
            };
            answer_invocations(stream, answer).await;
        }
    };
    tokio::select! {
        () = checks(gateway, &world) => {}
        () = serve => {}
    }
}

/// R82: the `Cookie` header as browsers and proxies send it.
#[tokio::test]
async fn our_cookies_arrive_beside_any_foreign_cookie() {
    with_functions(async |gateway, world| {
        let (access, refresh) = (format!("access_jwt={}", world.access), format!("refresh_jwt={}", world.refresh));
        let cookies = |lines: &[&[u8]]| {
            let lines: Vec<_> = lines.iter().map(|line| [b"cookie: ", *line, b"\r\n"].concat()).collect();
            lines.concat()
        };
        let with = |start: &[u8], end: &[u8]| cookies(&[&[start, access.as_bytes(), end].concat()]);
        for (lines, expected) in [
            (with(b"", b""), 200),
            (with("nickname=김코딩; ".as_bytes(), b""), 200),
            (with(b"", "; 이름=김코딩".as_bytes()), 200),
            (with(b"latin=\xe9\xff; ", b"; \x80\x85=\xa0"), 200),
            (with(b"theme=dark;", b""), 200),
            (with(b";; \t", b"\t;"), 200),
            (with(b"quoted=\"a b\"; json={\"a\":[1,2]}; comma=a,b; ", b""), 200),
            (with(b"", b"; Path=/; HttpOnly; SameSite=Strict"), 200),
            (with(&[b"x=".to_vec(), vec![b'x'; 6000], b"; ".to_vec()].concat(), b""), 200),
            (cookies(&[b"theme=dark", access.as_bytes()]), 200),
            (cookies(&[access.as_bytes(), "nickname=김코딩".as_bytes()]), 200),
            (cookies(&[b"a=\xff", refresh.as_bytes(), b"", access.as_bytes()]), 200),
            (cookies(&[access.as_bytes(), access.as_bytes()]), 200),
            (cookies(&[b"latin=\xe9", refresh.as_bytes()]), 200),
            (with(b"access_jwt=other; ", b""), 401),
            (cookies(&[b"access_jwt=other", access.as_bytes()]), 401),
            (cookies(&[access.as_bytes(), b"access_jwt=\xe9"]), 401),
            (with(b"", b"\xe9"), 401),
            (with("\u{a0}".as_bytes(), b""), 401),
            (with(b"\xa0", b""), 401),
            (with(b"%61ccess_jwt=other; __Host-", b""), 401),
        ] {
            let (status, response) = gateway.send("GET /userinfo", &lines, "").await;
            assert_eq!(status, expected, "{}: {response}", String::from_utf8_lossy(&lines));
            let twice = lines.windows(11).filter(|name| name == b"access_jwt=").count() == 2;
            let is_cleared = response.contains("set-cookie: access_jwt=;");
            assert_eq!(is_cleared, twice && expected == 401, "{}: {response}", String::from_utf8_lossy(&lines));
        }
    })
    .await;
}

/// The functions answer with a status of their own to every byte that the HTTP server of the gateway accepts.
#[tokio::test]
async fn every_byte_gets_an_answer_of_a_function() {
    with_functions(async |gateway, world| {
        let (json, (start, end)) = ("content-type: application/json\r\n", LOGIN.split_once("coding").unwrap());
        for byte in (0x80..=0xff_u8).chain([0x09, 0x22, 0x2c, 0x3b, 0x5c]) {
            let body = [start.as_bytes(), &[byte], end.as_bytes()].concat();
            let answer = gateway.send("POST /login", json, body).await;
            match byte {
                0x80.. | 0x09 | 0x22 | 0x5c => assert_problem(&answer, 400),
                _ => assert_eq!(answer.0, 401, "{byte:#x}: {}", answer.1),
            }
        }
        let (session, mut passed) = (format!("cookie: access_jwt={}\r\n", world.access), 0);
        for name in ["accept", "authorization", "content-type", "origin", "user-agent", "sec-fetch-site", "x-any"] {
            for value in
                [&b"\xe9"[..], b"\xc3\xa9", b"\xc2\x85", b"\xff\xfe", b"a\x09b", b"\"", b"", b",", b"\xf0\x9f\x98\x80"]
            {
                let headers = [session.as_bytes(), name.as_bytes(), b": ", value, b"\r\n"].concat();
                for line in ["GET /userinfo", "DELETE /sessions"] {
                    let (status, response) = gateway.send(line, &headers, "").await;
                    assert!(matches!(status, 200 | 204 | 401 | 403), "{line} {name} {value:?}: {response}");
                    assert!(OURS.iter().all(|header| response.contains(header)), "{line} {name} {value:?}: {response}");
                    passed += usize::from(status == 200);
                }
            }
        }
        assert!(passed > 50, "the functions answer 200 beside a foreign header: {passed}");
        for line in [
            "DELETE /sessions/é",
            "DELETE /sessions/%e9",
            "DELETE /sessions/%00",
            "DELETE /sessions/a|b{}",
            "POST /logout?everywhere=é",
            "POST /logout?everywhere=%e9",
            "POST /logout?everywhere={}|^`",
            "POST /logout?everywhere=%",
        ] {
            let answer = gateway.send(line, &session, "").await;
            assert_problem(&answer, if line.starts_with("POST") { 400 } else { 404 });
        }
        // `cargo lambda watch` reads this header of a request on its own routes.
        let internal = "lambda-runtime-aws-request-id: \u{e9}\r\nlambda-runtime-client-context: x\r\n";
        assert_eq!(gateway.send("GET /userinfo", format!("{session}{internal}"), "").await.0, 200);
    })
    .await;
}

/// R32: a body above the limit of a function, and above the limit of the gateway.
#[tokio::test]
async fn a_large_or_broken_body_gets_the_error_of_a_function() {
    with_functions(async |gateway, _| {
        let json = "content-type: application/json\r\n";
        for length in [8193, 6 * 1024 * 1024, 6 * 1024 * 1024 + 1] {
            assert_problem(&gateway.send("POST /login", json, vec![b'x'; length]).await, 413);
        }
        let chunked = "transfer-encoding: chunked\r\n\r\nnot a length\r\n";
        let mut stream = TcpStream::connect(gateway.0).await.unwrap();
        let request = format!("POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{json}{chunked}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert_problem(&(400, response), 400);
        let form = "accept: text/html\r\ncontent-type: application/x-www-form-urlencoded\r\n";
        for length in [8193, 6 * 1024 * 1024 + 1] {
            assert_page(&gateway.send("POST /login", form, vec![b'x'; length]).await, 413);
        }
        let (status, response) = gateway.send("POST /login", form, b"userId=\xff&password=1").await;
        assert!(status == 400 && response.contains("<p id=\"problem\""), "{response}");
    })
    .await;
}

#[tokio::test]
async fn a_request_beyond_the_bound_gets_503_at_once_and_the_others_their_answer() {
    let world = World::new().await;
    world.hold();
    let send = || tokio::spawn(world.gateway.send("POST /login", "", LOGIN));
    let mut requests: Vec<_> = (0..IN_FLIGHT + 25).map(|_| send()).collect();
    // The functions still wait, so these are the answers of the gateway.
    for _ in 0..25 {
        let (answer, _, others) = futures_util::future::select_all(requests).await;
        assert_problem(&answer.unwrap(), 503);
        requests = others;
    }
    assert_problem(&world.gateway.send("POST /login", "", LOGIN).await, 503);
    assert_eq!(world.gateway.send("GET /userinfo", "", "").await.0, 200, "another function answers");

    world.answers.add_permits(IN_FLIGHT + 1);
    assert!(join_all(requests).await.into_iter().all(|answer| answer.unwrap().0 == 200));
    assert_eq!(world.gateway.send("POST /login", "", LOGIN).await.0, 200);
    assert_eq!(world.reached.load(Ordering::SeqCst), IN_FLIGHT + 2);
}

#[tokio::test]
async fn slow_bodies_and_clients_that_disconnect_keep_nobody_waiting() {
    let world = World::new().await;
    let slow: Vec<_> = join_all((0..IN_FLIGHT + 25).map(|_| world.gateway.begin("POST /login", "", 100))).await;
    assert_eq!(world.gateway.send("POST /login", "", LOGIN).await.0, 200);
    assert_eq!(world.reached.load(Ordering::SeqCst), 1, "a function does not see a request without its whole body");
    drop(slow);

    world.hold();
    for _ in 0..IN_FLIGHT {
        drop(world.gateway.begin("POST /logout", "", 0).await);
    }
    assert_eq!(world.gateway.send("GET /userinfo", "", "").await.0, 200);
    world.answers.add_permits(Semaphore::MAX_PERMITS);
    world.recovers().await;
}

/// `cargo lambda watch` stops for good when 100 invocations of a function wait.
#[tokio::test]
async fn a_function_that_does_not_answer_gets_a_bounded_number_of_requests_and_recovers() {
    let world = World::with_timeout(Duration::from_millis(10)).await;
    world.hold();
    for _ in 0..120 {
        assert_problem(&world.gateway.send("POST /logout", "", "").await, 503);
    }
    let reached = world.reached.load(Ordering::SeqCst);
    assert!((2..=50).contains(&reached), "{reached}");

    world.answers.add_permits(Semaphore::MAX_PERMITS);
    world.recovers().await;
}

/// The functions answer with something that is no response, or not at all.
#[tokio::test]
async fn an_invocation_that_fails_gets_the_error_of_a_function() {
    for (answer, expected) in [
        (json!({ "errorType": "panic", "errorMessage": "internal" }), 500),
        (json!({ "statusCode": 1, "body": "" }), 500),
        (json!({ "statusCode": 200, "headers": { "x": "a\nb" } }), 500),
        (json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }), 500),
        (json!("text"), 500),
    ] {
        let functions = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Client::of_gateway(functions.local_addr().unwrap(), TIMEOUT).await;
        tokio::spawn(async move {
            let (stream, _) = functions.accept().await.unwrap();
            answer_invocations(stream, move |_| std::future::ready(answer.clone())).await;
        });
        assert_problem(&gateway.send("GET /userinfo", "", "").await, expected);
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let of_a_person = "accept: text/html\r\n";
    assert_page(&Client::of_gateway(closed, TIMEOUT).await.send("GET /userinfo", of_a_person, "").await, 503);
    assert_problem(&Client::of_gateway(closed, TIMEOUT).await.send("GET /userinfo", "", "").await, 503);
}

/// R90.
#[tokio::test]
async fn a_request_without_a_route_reaches_no_function() {
    let world = World::new().await;
    for line in [
        "GET /userinfo",
        "HEAD /userinfo",
        "DELETE /sessions/AAAAAAAAAAAAAAAAAAAAAA",
        "DELETE /sessions/end",
        "POST /sessions/end",
        "GET /userinfo?a=//b",
        "GET /",
        "GET /?a=b",
        "GET /login",
        "GET /password",
        "GET /.well-known/change-password",
    ] {
        let (status, _, reached) = world.send(line, "").await;
        assert!(reached && status == 200, "{line}: {status}");
    }
    for line in [
        "GET //userinfo",
        "GET /userinfo/",
        "GET /userinfo%2f",
        "GET /userinfo%00",
        "GET /%75serinfo",
        "GET /Userinfo",
        "GET /userinfo;x=y",
        "GET /userinfo/.",
        "GET /./userinfo",
        "GET /login/../userinfo",
        "GET /$default/userinfo",
        "GET /prod/userinfo",
        "GET //",
        "HEAD /",
        "POST /",
        "GET /login/",
        "HEAD /login",
        "GET /.well-known/",
        "GET /.well-known/change-password/",
        "GET /sessions/end",
        "POST /sessions/end/",
        "POST /sessions/%65nd",
        "POST /sessions",
        "GET /logout",
        "POST /userinfo",
        "TRACE /userinfo",
        "PATCH /password",
        "get /userinfo",
        "CONNECT /userinfo",
        "DELETE /sessions/",
        "DELETE /sessions//",
        "DELETE /sessions/a/b",
        "DELETE //sessions",
    ] {
        for headers in ["", "x-http-method-override: GET\r\nx-original-url: /userinfo\r\nx-rewrite-url: /userinfo\r\n"]
        {
            let (status, _, reached) = world.send(line, headers).await;
            assert!(!reached && matches!(status, 400 | 404 | 405), "{line} {headers}: {status}");
        }
    }
}

/// RFC 9110 §8.6: the length in a response to `HEAD` is that of the response to `GET`.
#[tokio::test]
async fn the_length_in_a_response_to_head_passes_the_gateway() {
    let (status, response, _) = World::new().await.send("HEAD /userinfo", "").await;
    assert!(status == 200 && response.contains("\r\ncontent-length: 196\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\n"), "{response}");
}

/// A browser sends a request only if the preflight allows each of its headers. Tools add headers that nobody thinks of.
#[tokio::test]
async fn a_preflight_allows_the_headers_that_tools_add() {
    let world = World::new().await;
    for asked in [
        "content-type",
        "accept,authorization,content-type",
        "baggage,content-type,sentry-trace",
        "sentry-trace,baggage,traceparent,tracestate,x-requested-with",
        "content-type,elastic-apm-traceparent,traceparent,tracestate",
        "content-type,newrelic,traceparent,tracestate",
        "content-type,x-datadog-origin,x-datadog-parent-id,x-datadog-sampling-priority,x-datadog-trace-id",
        "b3,content-type,x-b3-parentspanid,x-b3-sampled,x-b3-spanid,x-b3-traceid",
        "content-type,x-amzn-trace-id,x-correlation-id,x-request-id",
        "content-type,x-csrf-token,x-requested-with,x-xsrf-token",
        "cache-control,content-type,expires,pragma",
    ] {
        let preflight = format!("access-control-request-method: POST\r\naccess-control-request-headers: {asked}\r\n");
        for path in ["/login", "/userinfo"] {
            let headers = format!("origin: https://localhost:3000\r\n{preflight}");
            let (status, response, _) = world.send(&format!("OPTIONS {path}"), &headers).await;
            let allowed =
                response.lines().find_map(|line| line.strip_prefix("access-control-allow-headers: ")).unwrap();
            let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
            assert!(status == 204 && asked.split(',').all(|name| allowed.contains(&name)), "{asked}: {response}");
        }
    }
}

/// R87: the gateway compares with an exact list. It never answers `*`, and never repeats an origin that is not on the
/// list.
#[tokio::test]
async fn only_an_allowed_origin_gets_cors_headers() {
    let world = World::new().await;
    for (origin, is_allowed) in [
        ("https://localhost:3000", true),
        ("https://evil.example", false),
        ("null", false),
        ("https://sub.localhost:3000", false),
        ("https://localhost:3000.evil.example", false),
        ("https://localhost:3001", false),
        ("http://localhost:3000", false),
        ("HTTPS://LOCALHOST:3000", false),
        ("*", false),
        ("", false),
    ] {
        for line in ["GET /userinfo", "OPTIONS /login", "GET /nothing-here"] {
            let preflight = "access-control-request-method: POST\r\n";
            let (_, response, _) = world.send(line, &format!("origin: {origin}\r\n{preflight}")).await;
            let allowed = response.lines().filter(|line| line.starts_with("access-control-allow-origin:"));
            let expected =
                if is_allowed { vec!["access-control-allow-origin: https://localhost:3000"] } else { vec![] };
            assert_eq!(allowed.collect::<Vec<_>>(), expected, "{line} {origin}");
            let with_credentials = response.contains("access-control-allow-credentials: true");
            assert_eq!(with_credentials, is_allowed, "{line} {origin}");
            let has_methods = response.contains("access-control-allow-methods:");
            assert_eq!(has_methods, is_allowed && line.starts_with("OPTIONS"), "{line} {origin}");
        }
    }
}
