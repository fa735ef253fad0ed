//! The two modules of `docs/front-end.md`, one with `fetch` and one with axios, in a page without a proxy.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use dev::people::KIM;
use fantoccini::Client;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testbed::browser::{cookie_names, start_browser};
use testbed::local_stack::{self, Options, free_port};
use testbed::workspace::{read, root};
use tokio::net::TcpListener;

use crate::example::generation;
use crate::npm;

/// A page whose scripts can import axios.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Snippets</title>
<script type="importmap">{ "imports": { "axios": "/axios.js" } }</script>"#;

#[tokio::test]
async fn the_snippet_with_fetch_signs_in_renews_changes_the_password_and_signs_out() {
    check("fetch", "(await sendSignedIn('GET', '/orders')).text()").await;
}

#[tokio::test]
async fn the_snippet_with_axios_signs_in_renews_changes_the_password_and_signs_out() {
    npm::install(&root().join("tests/axios")).await;
    check("axios", "(await signedIn.get('/orders')).data").await;
}

/// Uses the module on a page without a proxy. `own_route` calls a route behind the authorizer.
async fn check(library: &str, own_route: &str) {
    let port = free_port();
    let page = format!("http://localhost:{port}");
    let routes = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&routes, format!("\"GET /orders\" = {{ forward = \"http://127.0.0.1:{port}\" }}")).unwrap();
    let options =
        Options { http: true, allowed_origin: Some(&page), routes: Some(routes.path()), ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    serve(port, snippet(library, &stack.url)).await;
    let (_driver, browser, _profile) = start_browser().await;
    browser.goto(&page).await.unwrap();
    use_as_a_page_does(&browser, own_route).await;
    browser.close().await.unwrap();
}

async fn use_as_a_page_does(browser: &Client, own_route: &str) {
    assert_eq!(run(browser, "getUser()").await, Value::Null);
    assert_eq!(run(browser, "login('kimcoding', '4321')").await, Value::Null);
    assert_eq!(run(browser, "login('kimcoding', '1234')").await["userId"], KIM.user_id);
    assert_eq!(cookie_names(browser).await, ["access_jwt"], "without `keep`");
    assert_eq!(run(browser, "login('kimcoding', '1234', true)").await["userId"], KIM.user_id);
    assert_eq!(cookie_names(browser).await, ["access_jwt", "refresh_jwt"]);

    assert_eq!(run(browser, own_route).await, format!("the orders of user {}", KIM.id));
    assert_eq!(generation(browser).await, 1);
    // The browser deletes the cookie when the access token expires. The authorizer then denies the request with 403.
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(run(browser, own_route).await, format!("the orders of user {}", KIM.id));
    assert_eq!(generation(browser).await, 2);
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(run(browser, "getUser()").await["userId"], KIM.user_id);
    assert_eq!(generation(browser).await, 3);

    let new = "a long and new passphrase";
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(run(browser, &format!("changePassword('4321', '{new}')")).await, false);
    assert_eq!(run(browser, &format!("changePassword('1234', '{new}')")).await, true);
    assert_eq!(run(browser, "login('kimcoding', '1234')").await, Value::Null);
    assert_eq!(run(browser, &format!("login('kimcoding', '{new}', true)")).await["userId"], KIM.user_id);

    assert_eq!(run(browser, "logout()").await, Value::Null);
    assert_eq!(cookie_names(browser).await, Vec::<String>::new());
    assert_eq!(run(browser, "getUser()").await, Value::Null);
    let change = run(browser, &format!("changePassword('{new}', '1234')")).await;
    assert_eq!(change, "Error: The user is not signed in.");
    let refused = run(browser, own_route).await;
    assert!(refused == json!({ "status": 403, "retryAfter": null }) || refused == "{\"message\":\"Forbidden\"}");
    for _ in 0..20 {
        let outcome = run(browser, "login('kimcoding', '4321')").await;
        if outcome["status"] == 429 {
            assert!(outcome["retryAfter"].as_u64().unwrap() > 0, "{outcome}");
            return;
        }
        assert_eq!(outcome, Value::Null);
    }
    panic!("20 wrong passwords were accepted");
}

/// Returns the code block of the guide for this library, with the address of the service.
fn snippet(library: &str, service: &str) -> String {
    let guide = read("docs/front-end.md");
    let first = format!("```js\n// sign-in.js, with {library}\n");
    let (_, rest) = guide.split_once(&first).unwrap();
    let (code, _) = rest.split_once("```").unwrap();
    assert_eq!(code.matches("const SERVICE = \"\";").count(), 1);
    code.replace("const SERVICE = \"\";", &format!("const SERVICE = {service:?};"))
}

/// Evaluates an expression with the functions of the module. Returns its value, or the error as the guide describes it.
async fn run(browser: &Client, expression: &str) -> Value {
    let script = format!(
        "const done = arguments[0];
        (async () => {{
          const {{ login, getUser, logout, changePassword, sendSignedIn, signedIn }} = await import('/sign-in.js');
          return {expression};
        }})().then((value) => done(value ?? null), (error) => {{
          const status = error.status ?? error.response?.status;
          const retryAfter = Number(error.retryAfter ?? error.response?.headers['retry-after']) || null;
          done(status ? {{ status, retryAfter }} : String(error));
        }});"
    );
    browser.execute_async(&script, vec![]).await.unwrap()
}

/// Serves the page, its modules, and the server behind the authorizer.
async fn serve(port: u16, module: String) {
    // Absent if only the other version is tested.
    let axios = std::fs::read_to_string(root().join("tests/axios/node_modules/axios/dist/esm/axios.js"));
    let script = "text/javascript; charset=utf-8";
    let files = HashMap::from([
        ("/", ("text/html; charset=utf-8", PAGE.to_owned())),
        ("/sign-in.js", (script, module)),
        ("/axios.js", (script, axios.unwrap_or_default())),
    ]);
    let files = Arc::new(files);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let files = Arc::clone(&files);
            let service = service_fn(move |request: Request<Incoming>| {
                let files = Arc::clone(&files);
                async move { Ok::<_, Infallible>(answer(&files, &request)) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

fn answer(files: &HashMap<&str, (&str, String)>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if let Some((kind, text)) = files.get(request.uri().path()) {
        return Response::builder().header("content-type", *kind).body(Full::from(text.clone())).unwrap();
    }
    let id = request.headers().get("x-latchkey-id").map(|id| id.to_str().unwrap());
    let orders = id.map(|id| Response::new(Full::from(format!("the orders of user {id}"))));
    orders.unwrap_or_else(|| Response::builder().status(404).body(Full::default()).unwrap())
}
