//! The routes of a developer, in a gateway with real connections. The functions and the servers are stand-ins.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dev::gateway::Gateway;
use dev::pages::Pages;
use dev::routes::Routes;
use dev::template::Template;
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The context that the authorizer gives for the access token `kim`.
fn kim() -> Value {
    json!({ "id": "0", "userId": "kimcoding", "email": "kim@example.com", "sessionId": "s", "roles": ["analyst"] })
}

type Received = Arc<Mutex<Vec<Request<Bytes>>>>;

/// Starts a server. Returns its address and the requests that it receives.
async fn serve(
    respond: impl Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Copy + Send + 'static,
) -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let log = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let log = Arc::clone(&log);
                async move {
                    let (parts, body) = request.into_parts();
                    let request = Request::from_parts(parts, body.collect().await.unwrap().to_bytes());
                    let response = respond(&request);
                    log.lock().unwrap().push(request);
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(
                async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() },
            );
        }
    });
    (address, received)
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
}

fn event(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

/// Answers as the functions of Latchkey do. The access cookie says what the authorizer does.
fn latchkey(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/2015-03-31/functions/authorizer/invocations" {
        return answer(200, &json!({ "statusCode": 200, "body": request.uri().path() }));
    }
    let event = event(request);
    assert_eq!((&event["version"], &event["type"]), (&json!("2.0"), &json!("REQUEST")));
    assert!(event["identitySource"].is_null() && event.get("body").is_none());
    let cookie = event["cookies"][0].as_str().unwrap_or_default();
    match cookie.strip_prefix("access_jwt=").unwrap_or_default() {
        "kim" => answer(200, &json!({ "isAuthorized": true, "context": kim() })),
        "outage" => answer(500, &json!({ "errorType": "NoDecision", "errorMessage": "secret" })),
        "marked" => {
            let mut response = answer(200, &json!({ "isAuthorized": true, "context": kim() }));
            response.headers_mut().insert("x-amz-function-error", "Unhandled".parse().unwrap());
            response
        }
        "nonsense" => answer(200, &json!({ "isAuthorized": "true" })),
        _ => answer(200, &json!({ "isAuthorized": false })),
    }
}

/// Answers as the server of a developer: with the request.
fn echo(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let body = String::from_utf8_lossy(request.body());
    let mut response = answer(
        201,
        &json!({
            "method": request.method().as_str(),
            "uri": request.uri().to_string(),
            "headers": headers,
            "body": body,
        }),
    );
    let headers = [
        ("set-cookie", "theirs=1"),
        ("set-cookie", "more=2"),
        ("x-theirs", "yes"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "*"),
    ];
    for (name, value) in headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    // Python's `http.server` uses this version.
    *response.version_mut() = Version::HTTP_10;
    response
}

/// Answers as functions of a developer.
fn theirs(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let name = request.uri().path().strip_prefix("/2015-03-31/functions/").unwrap();
    match name.strip_suffix("/invocations").unwrap() {
        "reports" => answer(200, &json!({ "statusCode": 202, "cookies": ["a=1"], "body": event(request).to_string() })),
        "plain" => answer(200, &json!({ "hello": event(request)["requestContext"]["authorizer"]["lambda"]["userId"] })),
        "length" => answer(200, &json!({ "statusCode": 200, "headers": { "Content-Length": 1 }, "body": "four" })),
        "invalid" => answer(200, &json!({ "statusCode": "two hundred" })),
        "failing" => answer(200, &json!({ "errorType": "ValueError" })),
        _ => answer(404, &json!({ "Type": "User" })),
    }
}

/// A gateway with routes, and what stands behind it.
struct World {
    url: String,
    client: Client,
    latchkey: Received,
    upstream: Received,
}

impl World {
    /// Starts a gateway. In the text of `routes.toml`, `UPSTREAM` is a server, `FUNCTIONS` has functions, and nothing
    /// listens at `NOWHERE`.
    async fn new(routes: &str) -> Self {
        let (functions, latchkey) = serve(latchkey).await;
        let (server, upstream) = serve(echo).await;
        let (their_functions, _) = serve(marked_failures).await;
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let text = [("UPSTREAM", server), ("FUNCTIONS", their_functions), ("NOWHERE", nowhere)]
            .iter()
            .fold(routes.to_owned(), |text, (name, address)| text.replace(name, &format!("http://{address}")));
        let template = Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes.toml");
        fs::write(&file, text).unwrap();
        let allowed = vec!["https://localhost:3000".to_owned()];
        let pages = Pages { scheme: "http", cookie_domain: "localhost".to_owned(), allowed };
        let gateway = Gateway::new(functions, &template, pages)
            .with_timeout(Duration::from_secs(2))
            .with_routes(Routes::read(&file, &template).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(gateway.serve(listener, None));
        Self { url, client: Client::builder().no_proxy().build().unwrap(), latchkey, upstream }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request with the access token of a user.
    fn signed_in(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("cookie", "access_jwt=kim; theme=dark")
    }

    /// Returns the number of questions to the authorizer.
    fn questions(&self) -> usize {
        let requests = self.latchkey.lock().unwrap();
        requests.iter().filter(|request| request.uri().path().contains("/authorizer/")).count()
    }
}

/// Marks the failure of a function as Lambda does.
fn marked_failures(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let mut response = theirs(request);
    if request.uri().path().contains("/failing/") {
        response.headers_mut().insert("x-amz-function-error", "Unhandled".parse().unwrap());
    }
    response
}

async fn status_and_body(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
const INTERNAL_SERVER_ERROR: &str = r#"{"message":"Internal Server Error"}"#;
const SERVICE_UNAVAILABLE: &str = r#"{"message":"Service Unavailable"}"#;

#[tokio::test]
async fn a_request_without_a_valid_token_is_refused_and_does_not_reach_the_server() {
    let world = World::new("\"GET /orders\" = { forward = \"UPSTREAM\" }").await;
    for cookie in ["", "access_jwt=", "access_jwt=expired", "theme=dark"] {
        let request = world.request(Method::GET, "/orders").header("cookie", cookie);
        assert_eq!(status_and_body(request).await, (403, FORBIDDEN.to_owned()), "{cookie}");
    }
    let response = world.request(Method::GET, "/orders").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(world.upstream.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_error_of_the_authorizer_is_500_and_does_not_reach_the_server() {
    let world = World::new("\"GET /orders\" = { forward = \"UPSTREAM\" }").await;
    for token in ["outage", "marked", "nonsense"] {
        let request = world.request(Method::GET, "/orders").header("cookie", format!("access_jwt={token}"));
        assert_eq!(status_and_body(request).await, (500, INTERNAL_SERVER_ERROR.to_owned()), "{token}");
    }
    assert!(world.upstream.lock().unwrap().is_empty());
}

/// API Gateway does not cache the decision, so that a logout takes effect at once.
#[tokio::test]
async fn the_authorizer_is_asked_for_each_request_with_its_headers_and_without_its_body() {
    let world = World::new("\"POST /orders/{id}\" = { forward = \"UPSTREAM\" }").await;
    for count in 1..=3 {
        let request = world.signed_in(Method::POST, "/orders/7?a=1").header("origin", "https://localhost:3000");
        assert_eq!(status_and_body(request.body("text")).await.0, 201);
        assert_eq!(world.questions(), count);
    }
    let event = event(world.latchkey.lock().unwrap().last().unwrap());
    assert_eq!(event["routeKey"], "POST /orders/{id}");
    assert_eq!(event["routeArn"], "arn:aws:execute-api:local:local:local/$default/POST/orders/7");
    assert_eq!(event["rawQueryString"], "a=1");
    assert_eq!(event["headers"]["origin"], "https://localhost:3000");
    assert_eq!(event["pathParameters"]["id"], "7");
}

#[tokio::test]
async fn the_server_gets_the_request_and_the_user_in_headers_that_a_client_cannot_set() {
    let world = World::new("\"ANY /orders/{proxy+}\" = { forward = \"UPSTREAM\" }").await;
    let request = world.signed_in(Method::PATCH, "/orders/a%20b/c?x=1&x=2&y=%C3%A9");
    let request =
        request.header("x-latchkey-id", "1").header("x-latchkey-admin", "yes").header("x_latchkey_roles", "a");
    let request = request.header("authorization", "Basic a").header("x-own", "1").header("te", "trailers");
    let response = request.body("a body").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (201, Version::HTTP_11));
    assert_eq!(response.headers()["x-theirs"], "yes");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["theirs=1", "more=2"]);
    let echo: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(echo["method"], "PATCH");
    assert_eq!(echo["uri"], "/orders/a%20b/c?x=1&x=2&y=%C3%A9");
    assert_eq!(echo["body"], "a body");
    let mut headers: Vec<_> = echo["headers"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    headers.sort_unstable();
    let gateway = world.url.strip_prefix("http://").unwrap();
    let upstream = world.upstream.lock().unwrap();
    let host = upstream[0].headers()["host"].to_str().unwrap();
    assert_ne!(host, gateway);
    let expected = [
        "accept: */*",
        "authorization: Basic a",
        "content-length: 6",
        &format!("forwarded: for=127.0.0.1;host=\"{gateway}\";proto=http"),
        &format!("host: {host}"),
        "x-latchkey-email: kim@example.com",
        "x-latchkey-id: 0",
        "x-latchkey-roles: [\"analyst\"]",
        "x-latchkey-session-id: s",
        "x-latchkey-user-id: kimcoding",
        "x-own: 1",
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn the_server_gets_cookies_only_if_the_entry_says_so() {
    let world = World::new(
        "\"GET /without\" = { forward = \"UPSTREAM\", cookies = false }\n\
         \"GET /with\" = { forward = \"UPSTREAM\", cookies = true }",
    )
    .await;
    assert!(!status_and_body(world.signed_in(Method::GET, "/without")).await.1.contains("access_jwt"));
    let body = status_and_body(world.signed_in(Method::GET, "/with")).await.1;
    assert!(body.contains("cookie: access_jwt=kim; theme=dark"), "{body}");
}

#[tokio::test]
async fn a_function_gets_an_event_with_the_user_and_its_answer_is_the_response() {
    let world = World::new(
        "\"ANY /reports/{year}\" = { function = \"reports\", endpoint = \"FUNCTIONS\" }\n\
         \"GET /plain\" = { function = \"plain\", endpoint = \"FUNCTIONS\" }\n\
         \"GET /length\" = { function = \"length\", endpoint = \"FUNCTIONS\" }",
    )
    .await;
    let request = world.signed_in(Method::PUT, "/reports/2026?a=1").header("content-type", "text/plain").body("text");
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["set-cookie"]), (202, &"a=1".parse().unwrap()));
    let event: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(event["requestContext"]["authorizer"], json!({ "lambda": kim() }));
    assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("ANY /reports/{year}")));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("text"), &json!(false)));
    assert_eq!(event["pathParameters"], json!({ "year": "2026" }));
    assert_eq!(event["queryStringParameters"], json!({ "a": "1" }));
    assert_eq!(event["cookies"], json!(["access_jwt=kim", "theme=dark"]));
    assert!(event.get("type").is_none() && event.get("identitySource").is_none());

    let (status, body) = status_and_body(world.signed_in(Method::GET, "/plain")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"hello":"kimcoding"}"#));
    let (status, body) = status_and_body(world.signed_in(Method::GET, "/length")).await;
    assert_eq!((status, body.as_str()), (200, "four"), "the gateway counts the length itself");
    assert_eq!(status_and_body(world.request(Method::GET, "/plain")).await, (403, FORBIDDEN.to_owned()));
}

#[tokio::test]
async fn a_function_that_fails_or_does_not_exist_is_500() {
    let names = ["failing", "invalid", "unknown"];
    let entry = |name| format!("\"GET /{name}\" = {{ function = \"{name}\", endpoint = \"FUNCTIONS\" }}\n");
    let world = World::new(&names.map(entry).concat()).await;
    for name in names {
        let (status, body) = status_and_body(world.signed_in(Method::GET, &format!("/{name}"))).await;
        assert_eq!((status, body.as_str()), (500, INTERNAL_SERVER_ERROR), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_or_slow_is_503_and_other_routes_still_work() {
    // The operating system accepts the connection, but the server never reads the request.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = slow.local_addr().unwrap();
    let world = World::new(&format!(
        "\"GET /down\" = {{ forward = \"NOWHERE\" }}\n\
         \"GET /function\" = {{ function = \"reports\", endpoint = \"NOWHERE\" }}\n\
         \"GET /slow\" = {{ forward = \"http://{address}\" }}\n\
         \"GET /slow-function\" = {{ function = \"reports\", endpoint = \"http://{address}\" }}\n\
         \"GET /orders\" = {{ forward = \"UPSTREAM\" }}\n"
    ))
    .await;
    let started = Instant::now();
    for path in ["/down", "/function", "/slow", "/slow-function"] {
        let (status, body) = status_and_body(world.signed_in(Method::GET, path)).await;
        assert_eq!((status, body.as_str()), (503, SERVICE_UNAVAILABLE), "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "the timeout of this gateway is 2 s");
    assert_eq!(status_and_body(world.signed_in(Method::GET, "/orders")).await.0, 201);
}

#[tokio::test]
async fn the_routes_of_latchkey_win_and_never_ask_the_authorizer() {
    let world = World::new(
        "\"ANY /{proxy+}\" = { forward = \"UPSTREAM\" }\n\
         \"GET /orders/{id}\" = { function = \"plain\", endpoint = \"FUNCTIONS\" }",
    )
    .await;
    for (method, path) in [(Method::GET, "/login"), (Method::HEAD, "/userinfo"), (Method::DELETE, "/sessions/7")] {
        assert_eq!(status_and_body(world.request(method, path)).await.0, 200, "{path}");
    }
    assert!(world.questions() == 0 && world.upstream.lock().unwrap().is_empty());
    for (method, path) in [(Method::PUT, "/login"), (Method::GET, "/login/"), (Method::POST, "/orders/7")] {
        assert_eq!(status_and_body(world.signed_in(method, path)).await.0, 201, "{path}");
    }
    assert_eq!(status_and_body(world.signed_in(Method::GET, "/orders/7")).await.0, 200);
}

#[tokio::test]
async fn a_request_without_a_route_is_404() {
    let world = World::new("\"GET /orders\" = { forward = \"UPSTREAM\" }").await;
    for (method, path) in [(Method::POST, "/orders"), (Method::HEAD, "/orders"), (Method::GET, "/orders/7")] {
        assert_eq!(status_and_body(world.signed_in(method, path)).await.0, 404, "{path}");
    }
    assert_eq!(world.questions(), 0);
}

#[tokio::test]
async fn cors_and_preflight_work_as_for_the_routes_of_latchkey() {
    let world = World::new("\"ANY /orders\" = { forward = \"UPSTREAM\" }").await;
    let origin = |request: RequestBuilder| request.header("origin", "https://localhost:3000");
    let preflight = origin(world.request(Method::OPTIONS, "/orders")).header("access-control-request-method", "PUT");
    let preflight = preflight.send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert_eq!((world.questions(), world.upstream.lock().unwrap().len()), (0, 0));
    for (request, status) in
        [(world.signed_in(Method::GET, "/orders"), 201), (world.request(Method::GET, "/orders"), 403)]
    {
        let response = origin(request).send().await.unwrap();
        assert_eq!(response.status(), status);
        let origins: Vec<_> = response.headers().get_all("access-control-allow-origin").iter().collect();
        assert_eq!(origins, ["https://localhost:3000"]);
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        assert!(!response.headers().contains_key("access-control-allow-headers"));
    }
    let foreign =
        world.signed_in(Method::GET, "/orders").header("origin", "https://evil.example").send().await.unwrap();
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn the_response_to_head_has_the_length_and_no_body() {
    let world = World::new("\"ANY /orders\" = { forward = \"UPSTREAM\" }").await;
    let response = world.signed_in(Method::HEAD, "/orders").send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let world = World::new("\"POST /orders\" = { forward = \"UPSTREAM\" }").await;
    let limit = 6 * 1024 * 1024;
    let body = |size| world.signed_in(Method::POST, "/orders").body(vec![b'x'; size]);
    let (status, text) = status_and_body(body(limit + 1)).await;
    assert_eq!((status, text.as_str()), (413, r#"{"message":"Request Entity Too Large"}"#));
    assert!(world.upstream.lock().unwrap().is_empty());
    assert_eq!(body(limit).send().await.unwrap().status(), 503, "the echo is over the limit");
    assert_eq!(world.upstream.lock().unwrap()[0].body().len(), limit);
}
