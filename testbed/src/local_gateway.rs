//! What the local stack promises beyond the contract: it carries every byte that a browser sends, it survives overload,
//! and its log explains what a browser hides. Real clients send the requests to `cargo dev`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use dev::people::KIM;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;
use tokio::net::TcpListener;

use crate::contract::{self, Stack, assert_problem, json_of, user};
use crate::local_stack::Output;

/// The number of logins that a client sends at once.
const LOGINS: usize = 500;

/// Checks all promises on a stack with TLS. `http://localhost:5173` is its only allowed origin. It has the
/// [`Server::routes`] of this server.
pub async fn check(stack: &Stack, server: &Server, output: &mut Output) {
    output.line_with(&format!("route        ANY /mine/{{proxy+}} -> http://{}", server.address)).await;
    let warning = output.line_with("warning").await;
    assert!(warning.contains("http://localhost:5173") && warning.contains("start with --http"), "{warning}");
    cookies_arrive_beside_foreign_ones(stack).await;
    a_body_that_is_not_utf_8_reaches_the_function(stack).await;
    the_log_explains_what_the_browser_hides(stack, output).await;
    a_client_that_uses_http_in_place_of_https_is_told_so(stack, output).await;
    own_routes_are_behind_the_authorizer(stack, server, output).await;
    many_logins_at_once_get_a_session_or_503_and_the_next_one_a_session(stack).await;
}

/// A server of a developer. It answers every request with the JSON of kimcoding.
pub struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Server {
    /// Starts the server.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    log.lock().unwrap().push(request.headers().clone());
                    async { Ok::<_, Infallible>(hyper::Response::new(Full::<Bytes>::from(user(KIM).to_string()))) }
                });
                tokio::spawn(
                    async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await },
                );
            }
        });
        Self { address, received }
    }

    /// Returns the text of a `routes.toml` with two routes: `/mine` for this server, and `/down` for a server that does
    /// not run.
    #[must_use]
    pub fn routes(&self) -> String {
        let entry = |key, address| format!("\"{key}\" = {{ forward = \"http://{address}\" }}\n");
        [entry("ANY /mine/{proxy+}", self.address.to_string()), entry("GET /down", "127.0.0.1:9".to_owned())].concat()
    }
}

async fn own_routes_are_behind_the_authorizer(stack: &Stack, server: &Server, output: &mut Output) {
    contract::check_authorizer(stack, "/mine/orders").await;
    output.line_with("403 GET /mine/orders (the authorizer denied the request)").await;

    let (access, _) = stack.tokens(KIM).await;
    let cookie = format!("access_jwt={access}");
    let forged = |request: RequestBuilder| request.header("x-latchkey-id", "1").header("x-latchkey-roles", "[\"a\"]");
    let post = || forged(stack.request(Method::POST, "/mine/orders")).header("cookie", &cookie);
    assert_eq!(post().send().await.unwrap().status().as_u16(), 200);
    {
        let received = server.received.lock().unwrap();
        let headers = received.last().unwrap();
        let ours: Vec<_> = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-latchkey-")).collect();
        assert_eq!(ours.len(), 4, "{ours:?}");
        for (name, value) in [("id", KIM.id), ("user-id", KIM.user_id), ("email", user(KIM)["email"].as_str().unwrap())]
        {
            assert_eq!(headers[&format!("x-latchkey-{name}")], value);
        }
        assert!(!headers["x-latchkey-session-id"].is_empty() && !headers.contains_key("cookie"), "{headers:?}");
    }
    let count = || server.received.lock().unwrap().len();
    let before = count();
    let foreign = post().header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(foreign.status().as_u16(), 403, "the authorizer checks the origin");
    assert_eq!(foreign.text().await.unwrap(), r#"{"message":"Forbidden"}"#);
    assert_eq!(count(), before);

    let down = stack.with_cookies(&cookie, "/down").await;
    assert_eq!(down.status().as_u16(), 503);
    output.line_with("503 GET /down (http://127.0.0.1:9 did not respond: ").await;
}

async fn cookies_arrive_beside_foreign_ones(stack: &Stack) {
    let (access, refresh) = stack.tokens(KIM).await;
    let (access, refresh) = (format!("access_jwt={access}"), format!("refresh_jwt={refresh}"));
    for lines in [
        vec![format!("name=김코딩; {access}").into_bytes()],
        vec![[b"latin=\xe9; ", access.as_bytes()].concat()],
        vec![b"theme=dark".to_vec(), access.clone().into_bytes()],
        vec!["name=김코딩".as_bytes().to_vec(), refresh.into_bytes(), access.into_bytes()],
    ] {
        let request = stack.request(Method::GET, "/userinfo");
        let request = lines.iter().fold(request, |request, line| request.header("cookie", &line[..]));
        assert_eq!(json_of(request.send().await.unwrap()).await, user(KIM), "{}", lines.concat().escape_ascii());
    }
}

async fn a_body_that_is_not_utf_8_reaches_the_function(stack: &Stack) {
    let body = &b"{\"loginInfo\":{\"userId\":\"kimcoding\",\"password\":\"\xe9\"}}"[..];
    let login = stack.request(Method::POST, "/login").header("content-type", "application/json");
    assert_problem(login.body(body).send().await.unwrap(), 400).await;
}

async fn the_log_explains_what_the_browser_hides(stack: &Stack, output: &mut Output) {
    let from = |request: RequestBuilder, origin: &str| request.header("origin", origin);
    let userinfo = || stack.request(Method::GET, "/userinfo").header("sec-fetch-site", "cross-site");
    from(userinfo(), "http://localhost:5173").send().await.unwrap();
    let line = output.line_with("401 GET /userinfo").await;
    assert!(line.contains("http://localhost:5173") && line.contains("start with --http"), "{line}");

    from(userinfo(), "https://localhost:8080").send().await.unwrap();
    let line = output.line_with("401 GET /userinfo").await;
    assert!(line.contains("https://localhost:8080: not in ALLOWED_ORIGINS, so the browser hides"), "{line}");

    let logout = from(stack.request(Method::POST, "/logout"), "https://evil.example").send().await.unwrap();
    assert_problem(logout, 403).await;
    let line = output.line_with("403 POST /logout").await;
    assert!(line.contains("from https://evil.example"), "{line}");

    let preflight = stack.request(Method::OPTIONS, "/login").header("access-control-request-method", "PATCH");
    let preflight = preflight.header("access-control-request-headers", "content-type,x-unknown");
    from(preflight, "http://localhost:5173").send().await.unwrap();
    let line = output.line_with("204 OPTIONS /login").await;
    assert!(line.contains("template.yaml does not allow PATCH, x-unknown)"), "{line}");

    // Vite's proxy with `changeOrigin`: the page and the proxy have the same origin.
    let by_proxy = stack.request(Method::POST, "/logout").header("sec-fetch-site", "same-origin");
    assert_eq!(from(by_proxy, "http://localhost:8080").send().await.unwrap().status().as_u16(), 205);
    let line = output.line_with("205 POST /logout").await;
    assert!(line.ends_with("ms)"), "{line}");
}

async fn a_client_that_uses_http_in_place_of_https_is_told_so(stack: &Stack, output: &mut Output) {
    let url = stack.url.replace("https://", "http://");
    assert_eq!(reqwest::get(format!("{url}/userinfo")).await.unwrap().status().as_u16(), 400);
    output.line_with("a client uses http, but the stack uses https").await;
}

async fn many_logins_at_once_get_a_session_or_503_and_the_next_one_a_session(stack: &Stack) {
    let form = json!({ "loginInfo": { "userId": KIM.user_id, "password": KIM.password } }).to_string();
    let client = stack.client(reqwest::redirect::Policy::none(), None);
    let login = || {
        let request = client.post(format!("{}/login", stack.url)).header("content-type", "application/json");
        request.body(form.clone()).send()
    };
    let answers: Vec<_> = join_all((0..LOGINS).map(|_| login())).await.into_iter().map(Result::unwrap).collect();
    let (sessions, refused): (Vec<Response>, Vec<Response>) =
        answers.into_iter().partition(|answer| answer.status().as_u16() == 302);
    eprintln!("    {} logins succeeded, {} got 503", sessions.len(), refused.len());
    assert!(sessions.len() >= dev::invocations::IN_FLIGHT && !refused.is_empty());
    for answer in refused {
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_problem(answer, 503).await;
    }
    assert_eq!(login().await.unwrap().status().as_u16(), 302);
    let (access, _) = stack.tokens(KIM).await;
    assert_eq!(json_of(stack.with_cookies(&format!("access_jwt={access}"), "/userinfo").await).await, user(KIM));
}
