//! Requests that never reach a function, because the template has no route for them. The local gateway stands in for
//! the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dev::gateway::Gateway;
use testbed::workspace::template;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A gateway in front of a function that answers 200 to every request, and counts them. For `HEAD`, it announces 196
/// bytes.
struct World {
    gateway: std::net::SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl World {
    async fn new() -> Self {
        let functions = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = functions.local_addr().unwrap();
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = functions.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or_default();
                let length = if request[..read].starts_with(b"HEAD") { 196 } else { 0 };
                let cors = "access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n";
                let response =
                    format!("HTTP/1.1 200 OK\r\n{cors}content-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(response.as_bytes()).await.ok();
            }
        });
        let template = template();
        let gateway = Gateway {
            functions: address,
            routes: template.routes(),
            cors: template.cors(),
            allowed_origins: vec!["https://localhost:3000".to_owned()],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(gateway.serve(listener, None));
        Self { gateway: address, reached }
    }

    /// Returns the status, the whole response in lower case, and `true` if the request reached the function.
    async fn send(&self, line: &str, headers: &str) -> (u16, String, bool) {
        let before = self.reached.load(Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: localhost:4000\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.ok();
        let response = String::from_utf8_lossy(&response).to_lowercase();
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, response, self.reached.load(Ordering::Relaxed) > before)
    }
}

/// R90.
#[tokio::test]
async fn a_request_without_a_route_reaches_no_function() {
    let world = World::new().await;
    for line in ["GET /userinfo", "HEAD /userinfo", "DELETE /sessions/AAAAAAAAAAAAAAAAAAAAAA", "GET /userinfo?a=//b"] {
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
        "GET /",
        "GET /login",
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
