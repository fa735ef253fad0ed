//! The existing front end. A page on another port of localhost signs in, reads the user and signs out.

use std::convert::Infallible;

use dev::certificate::Certificate;
use fantoccini::Client;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testbed::browser::{cookie_names, start_browser};
use testbed::local_stack::{self, Options, free_port};
use testbed::workspace::root;
use tokio::net::TcpListener;

/// The front end, reduced to one function: it sends JSON with credentials and returns the response.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Front end</title><script>
async function ask(method, url, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), credentials: "include" });
  const text = await answer.text();
  return { status: answer.status, path: new URL(answer.url).pathname, text };
}
</script>"#;

/// R80, in Chromium: after the logout the browser has none of our cookies.
#[tokio::test]
async fn the_existing_front_end_signs_in_and_out_in_chromium() {
    let root = root();
    let page_at = free_port();
    let page = format!("https://localhost:{page_at}");
    let options = Options { allowed_origin: Some(&page), ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    serve_page(page_at, &Certificate::in_folder(&root.join("target/dev")).unwrap()).await;
    let (_driver, browser, _profile) = start_browser().await;

    browser.goto(&page).await.unwrap();
    // These cookies are older than ours, so that the browser sends them first. A gateway that shortened the header
    // would lose ours.
    browser
        .execute("document.cookie = 'theme=dark; path=/'; document.cookie = '_ga=GA1.1.1; path=/';", vec![])
        .await
        .unwrap();

    let userinfo = || ask(&browser, "GET", format!("{}/userinfo", stack.url), Value::Null);
    assert_eq!(userinfo().await["status"], 401);

    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" }, "checkedKeepLogin": true });
    let login = ask(&browser, "POST", format!("{}/login", stack.url), form.clone()).await;
    assert_eq!((&login["status"], &login["path"]), (&json!(200), &json!("/userinfo")), "the redirect was followed");
    assert!(login["text"].as_str().unwrap().contains("김코딩"), "{login}");
    assert_eq!(cookie_names(&browser).await, ["_ga", "access_jwt", "refresh_jwt", "theme"]);
    let visible = browser.execute("return document.cookie", vec![]).await.unwrap();
    assert!(!visible.as_str().unwrap().contains("jwt"), "scripts cannot read our cookies: {visible}");

    assert_eq!(userinfo().await["status"], 200);
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(userinfo().await["status"], 200, "the refresh cookie, which is the last of three, arrives");
    assert_eq!(cookie_names(&browser).await, ["_ga", "access_jwt", "refresh_jwt", "theme"], "renewed");

    let logout = ask(&browser, "POST", format!("{}/logout", stack.url), Value::Null).await;
    assert_eq!(logout["status"], 205);
    assert_eq!(cookie_names(&browser).await, ["_ga", "theme"]);
    assert_eq!(userinfo().await["status"], 401);

    let wrong = json!({ "loginInfo": { "userId": "kimcoding", "password": "4321" } });
    let rejected = ask(&browser, "POST", format!("{}/login", stack.url), wrong).await;
    assert_eq!((&rejected["status"], &rejected["text"]), (&json!(401), &json!("Not Authorized")));

    let not_persistent = json!({ "loginInfo": form["loginInfo"], "checkedKeepLogin": false });
    assert_eq!(ask(&browser, "POST", format!("{}/login", stack.url), not_persistent).await["status"], 200);
    assert_eq!(cookie_names(&browser).await, ["_ga", "access_jwt", "theme"]);
    browser.close().await.unwrap();
}

/// R82, in Chromium: a page on another port of localhost sets cookies with any text. The browser sends them to our
/// service as bytes that are not ASCII, before our cookies.
#[tokio::test]
async fn foreign_cookies_with_any_text_do_not_hide_ours_in_chromium() {
    let root = root();
    let (other_at, page_at) = (free_port(), free_port());
    let (other, page) = (format!("https://localhost:{other_at}"), format!("https://localhost:{page_at}"));
    let options = Options { allowed_origin: Some(&page), ..Options::default() };
    let (_stack_process, stack) = local_stack::start(options).await;
    for port in [other_at, page_at] {
        serve_page(port, &Certificate::in_folder(&root.join("target/dev")).unwrap()).await;
    }
    let (_driver, browser, _profile) = start_browser().await;

    browser.goto(&other).await.unwrap();
    let script =
        r#"document.cookie = "nickname=김코딩"; document.cookie = "이름=\u{1f511}"; document.cookie = "cafe=é";"#;
    browser.execute(script, vec![]).await.unwrap();

    browser.goto(&page).await.unwrap();
    let visible = browser.execute("return document.cookie", vec![]).await.unwrap();
    assert!(visible.as_str().unwrap().contains("nickname=김코딩"), "the cookies belong to every port: {visible}");
    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" }, "checkedKeepLogin": true });
    let login = ask(&browser, "POST", format!("{}/login", stack.url), form).await;
    assert_eq!((&login["status"], &login["path"]), (&json!(200), &json!("/userinfo")), "the redirect was followed");
    let userinfo = || ask(&browser, "GET", format!("{}/userinfo", stack.url), Value::Null);
    assert_eq!(userinfo().await["status"], 200);
    browser.delete_cookie("access_jwt").await.unwrap();
    assert_eq!(userinfo().await["status"], 200, "the refresh cookie arrives");
    assert_eq!(ask(&browser, "POST", format!("{}/logout", stack.url), Value::Null).await["status"], 205);
    assert_eq!(cookie_names(&browser).await, ["cafe", "nickname", "이름"]);
    browser.close().await.unwrap();
}

/// Makes the page send a request, and returns its response.
pub(crate) async fn ask(browser: &Client, method: &str, url: String, body: Value) -> Value {
    let script =
        "const [method, url, body, done] = arguments; ask(method, url, body).then(done, e => done(String(e)));";
    browser.execute_async(script, vec![json!(method), json!(url), body]).await.unwrap()
}

/// Serves the front end with TLS, under any name of this machine.
pub(crate) async fn serve_page(port: u16, certificate: &Certificate) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let tls = certificate.acceptor().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(|_: Request<Incoming>| async {
                    let page = Response::builder().header("content-type", "text/html; charset=utf-8");
                    Ok::<_, Infallible>(page.body(Full::new(Bytes::from_static(PAGE.as_bytes()))).unwrap())
                });
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}
