//! The example `examples/protected`: another stack behind the authorizer, deployed with the commands of its page.

use std::convert::Infallible;
use std::fs;
use std::time::{Duration, Instant};

use dev::certificate::Certificate;
use dev::people::KIM;
use fantoccini::{Client, Locator};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testbed::browser::{BrowserOptions, cookie_names, start_browser_with};
use testbed::contract::Stack;
use testbed::deployed::Emulator;
use testbed::workspace::read;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{code_block, operator};

/// The page whose commands run here.
const PAGE: &str = "examples/protected/README.md";

/// The origin of the page in `examples/protected/page`.
const ORIGIN: &str = "https://app.example.com";

/// The e-mail address of [`KIM`].
const EMAIL: &str = "kimcoding@authstates.com";

/// Deploys the example, and checks each part of it. Latchkey has the domain `login.example.com`.
pub(crate) async fn check(emulator: &Emulator) {
    emulator.run(&code_block(PAGE, "CookieDomain"), &[]).await;
    let outputs = emulator.outputs("latchkey").await;
    // Functions for the processor of this machine.
    let authorizer = format!("{} Architecture=x86_64", outputs["AuthorizerFunctionArn"]);
    deploy(emulator, "sam build", ("AUTHORIZER", &authorizer)).await;
    let login = emulator.stack().await;
    let api = Stack { url: emulator.outputs("protected").await["ApiUrl"].clone(), ..emulator.stack().await };

    the_authorizer_decides_and_passes_the_user_on(&login, &api).await;
    a_role_is_required(emulator, &login, &api).await;
    a_server_gets_the_user_in_headers(emulator, &login, &api).await;
    a_page_on_another_origin_signs_in_and_calls_the_api(emulator, &api).await;
    other_systems_learn_of_changed_users(emulator, &outputs["UsersTableStreamArn"]).await;

    emulator.run(&code_block(PAGE, "sam delete"), &[]).await;
}

/// Runs the commands of the block of the page that contains this text, with a value for its placeholder.
async fn deploy(emulator: &Emulator, text: &str, (placeholder, value): (&str, &str)) {
    let block = code_block(PAGE, text);
    assert_eq!(block.matches(placeholder).count(), 1, "{block}");
    let commands = block.replace(placeholder, value).replace("cd examples/protected\n", "");
    let commands = commands.replace("sam build\n", "sam build --parameter-overrides Architecture=x86_64\n");
    emulator.run(&format!("cd examples/protected\n{commands}"), &[]).await;
}

/// Both kinds of tokens pass, and no token gets the 403 of the gateway. A logout takes effect at the next request.
async fn the_authorizer_decides_and_passes_the_user_on(login: &Stack, api: &Stack) {
    let token = login.access_token().await;
    let cookie = format!("theme=dark; access_jwt={token}");
    for credentials in [None, Some(("cookie", "access_jwt=garbage"))] {
        let mut request = api.request(Method::GET, "/orders").header("origin", ORIGIN);
        if let Some((name, value)) = credentials {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN, "the page can read the status");
        assert_eq!(json_of(&answer.bytes().await.unwrap()), json!({ "message": "Forbidden" }));
    }
    for (name, value) in [("cookie", cookie.clone()), ("authorization", format!("Bearer {token}"))] {
        let request = api.request(Method::GET, "/orders").header(name, value).header("x-latchkey-id", "forged");
        let orders = json_of(&request.send().await.unwrap().bytes().await.unwrap());
        let caller = &orders["caller"];
        assert_eq!([&caller["id"], &caller["userId"], &caller["email"]], [KIM.id, KIM.user_id, EMAIL], "{orders}");
        assert!(caller["sessionId"].is_string() && caller.get("roles").is_none(), "{orders}");
        assert_eq!(orders["orders"][0]["owner"], KIM.id);
    }
    let logout = login.request(Method::POST, "/logout").bearer_auth(&token).send().await.unwrap();
    assert_eq!(logout.status(), StatusCode::RESET_CONTENT);
    let after = api.request(Method::GET, "/orders").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(after.status(), StatusCode::FORBIDDEN);
}

/// The function refuses a user without the role. A role works at the next request, with the same token.
async fn a_role_is_required(emulator: &Emulator, login: &Stack, api: &Stack) {
    let token = login.access_token().await;
    let invoices = async || {
        let answer = api.request(Method::GET, "/invoices").bearer_auth(&token).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, json_of(&answer.bytes().await.unwrap()))
    };
    let (status, kind, problem) = invoices().await;
    assert_eq!((status, kind.as_str()), (403, "application/problem+json"), "{problem}");

    let block = code_block(PAGE, "--add-role");
    let arguments = block.trim().strip_prefix("cargo latchkey --stack latchkey ").unwrap();
    operator::latchkey(emulator, &arguments.replace(" kim ", " kimcoding ")).await;
    let (status, kind, body) = invoices().await;
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
    assert_eq!(body["caller"]["roles"], json!(["analyst"]));
}

/// The server gets the user. It gets no cookie, and no header of the client that looks like one of the user.
async fn a_server_gets_the_user_in_headers(emulator: &Emulator, login: &Stack, api: &Stack) {
    let address = format!("http://{}", serve_upstream().await);
    deploy(emulator, "UpstreamUrl", ("https://legacy.example.com", &address)).await;
    let token = login.access_token().await;
    let request = |method| api.request(method, "/legacy/a%20b/c?year=2026").header("x-request", "kept");
    let forged = ["id", "user-id", "email", "session-id", "roles"].map(|name| format!("X-Latchkey-{name}"));
    let with_forged = forged.iter().fold(request(Method::POST), |request, name| request.header(name, "forged"));
    let with_cookies = with_forged.header("cookie", format!("theme=dark; access_jwt={token}"));
    let answer = with_cookies.body("ink").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "the status of the server");
    assert_eq!(answer.headers()["x-server"], "legacy");
    let received = answer.text().await.unwrap().to_lowercase();
    assert!(
        received.starts_with("post /legacy/a%20b/c?year=2026 http/1.1\r\n") && received.ends_with("ink"),
        "{received}"
    );
    for line in
        ["x-request: kept", "x-latchkey-id: 0", "x-latchkey-user-id: kimcoding", &format!("x-latchkey-email: {EMAIL}")]
    {
        assert_eq!(received.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {received}");
    }
    assert!(received.contains("\r\nx-latchkey-session-id: "), "{received}");
    for text in ["forged", "x-latchkey-roles", "\r\ncookie:", "jwt"] {
        assert!(!received.contains(text), "{text} in {received}");
    }

    assert_eq!(request(Method::GET).send().await.unwrap().status(), StatusCode::FORBIDDEN, "without a token");
    let foreign = request(Method::POST).bearer_auth(&token).header("origin", "https://a.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN, "from a foreign page");
    let from_page = request(Method::POST).bearer_auth(&token).header("origin", ORIGIN);
    assert_eq!(from_page.send().await.unwrap().status(), StatusCode::CREATED);
}

/// Starts a server that returns each request as it came. Returns its host.
async fn serve_upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            // The only body is "ink".
            let is_whole = |text: &str| {
                text.ends_with("\r\n\r\nink") || (text.ends_with("\r\n\r\n") && !text.contains("ontent-length: 3"))
            };
            while !is_whole(&String::from_utf8_lossy(&request)) {
                let length = stream.read(&mut part).await.unwrap();
                assert!(length > 0, "the request is not whole: {request:?}");
                request.extend(&part[..length]);
            }
            let head = format!("HTTP/1.1 201 Created\r\nx-server: legacy\r\ncontent-length: {}\r\n", request.len());
            stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
            stream.write_all(&request).await.unwrap();
        }
    });
    host
}

/// The page in `page/`, in Chromium, on the hosts that it names. The API has a domain of its own.
async fn a_page_on_another_origin_signs_in_and_calls_the_api(emulator: &Emulator, api: &Stack) {
    let certificate = "arn:aws:acm:eu-west-1:000000000000:certificate/api";
    deploy(emulator, "DomainName=", ("CERTIFICATE", certificate)).await;
    let outputs = emulator.outputs("protected").await;
    assert_eq!(outputs["ApiUrl"], "https://api.example.com");
    assert!(outputs["DomainTarget"].ends_with(".amazonaws.com"), "{outputs:?}");
    let old = api.request(Method::GET, "/orders").send().await.unwrap();
    assert_eq!(old.status(), StatusCode::NOT_FOUND, "the host of API Gateway is switched off");

    let page = serve_page(emulator).await;
    let rules = format!("MAP app.example.com {page}, MAP *.example.com {}", api.socket.unwrap());
    let (_driver, browser, _profile) =
        start_browser_with(BrowserOptions { hosts: Some(&rules), ..BrowserOptions::default() }).await;
    browser.goto(ORIGIN).await.unwrap();
    sign_in(&browser, "wrong").await;
    assert_eq!(message(&browser).await, "The name or the password is wrong.");
    sign_in(&browser, KIM.password).await;
    click(&browser, "#get-orders").await;
    assert_eq!(entry(&browser).await, "paper boat");
    assert_eq!(cookie_names(&browser).await, ["access_jwt", "refresh_jwt"]);
    let visible = browser.execute("return document.cookie", vec![]).await.unwrap();
    assert_eq!(visible, "", "no script can read the cookies");

    // The access token has expired: the authorizer denies the request, and the page renews the session.
    browser.delete_cookie("access_jwt").await.unwrap();
    click(&browser, "#get-invoices").await;
    assert_eq!(entry(&browser).await, "1: 12.00");
    operator::latchkey(emulator, "users set kimcoding --remove-role analyst").await;
    click(&browser, "#get-invoices").await;
    assert_eq!(message(&browser).await, "This needs the role analyst.");

    browser.refresh().await.unwrap();
    click(&browser, "#sign-out").await;
    browser.wait().for_element(Locator::Css("#sign-in:not([hidden])")).await.unwrap();
    assert!(cookie_names(&browser).await.is_empty());
    browser.close().await.unwrap();
}

async fn sign_in(browser: &Client, password: &str) {
    let form = browser.wait().for_element(Locator::Css("#sign-in:not([hidden])")).await.unwrap();
    for (name, value) in [("name", KIM.user_id), ("password", password)] {
        let input = form.find(Locator::Css(&format!("[name={name}]"))).await.unwrap();
        input.clear().await.unwrap();
        input.send_keys(value).await.unwrap();
    }
    form.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
}

async fn click(browser: &Client, button: &str) {
    let visible = format!("#signed-in:not([hidden]) {button}");
    browser.wait().for_element(Locator::Css(&visible)).await.unwrap().click().await.unwrap();
}

/// Returns the text of the first entry of the list.
async fn entry(browser: &Client) -> String {
    browser.wait().for_element(Locator::Css("#list li")).await.unwrap().text().await.unwrap()
}

/// Returns what the page says.
async fn message(browser: &Client) -> String {
    browser.wait().for_element(Locator::Css("#message:not(:empty)")).await.unwrap().text().await.unwrap()
}

/// Serves the files of the page, and returns the host.
async fn serve_page(emulator: &Emulator) -> String {
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| emulator.folder().join(name));
    let tls = Certificate { certificate, key }.acceptor().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(async |request: Request<Incoming>| {
                    let (file, kind) = match request.uri().path() {
                        "/" => ("index.html", "text/html; charset=utf-8"),
                        "/page.css" => ("page.css", "text/css"),
                        "/page.js" => ("page.js", "text/javascript"),
                        other => panic!("the page has no file {other}"),
                    };
                    let body = Full::new(Bytes::from(read(&format!("examples/protected/page/{file}"))));
                    Ok::<_, Infallible>(Response::builder().header("content-type", kind).body(body).unwrap())
                });
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    host
}

/// A function of another system gets an event for each change of a user, with the key of the user and nothing else. The
/// items of login names and e-mail addresses cause no event. `EventBridge` does not keep the order.
async fn other_systems_learn_of_changed_users(emulator: &Emulator, stream: &str) {
    deploy(emulator, "UsersTableStreamArn=", ("STREAM", stream)).await;
    let added = operator::latchkey(emulator, "users add ann --email ann@example.com --password-stdin").await;
    let id = added.lines().find_map(|line| line.strip_prefix("id ")).unwrap().trim().to_owned();
    operator::latchkey(emulator, "users set ann --add-role analyst").await;
    operator::latchkey(emulator, "users delete ann --yes").await;

    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut events = events(emulator).await;
        if events.len() >= 3 {
            events.sort_by_key(|event| event["change"].to_string());
            let key = format!("user#{id}");
            let expected = ["INSERT", "MODIFY", "REMOVE"].map(|change| json!({ "change": change, "key": key }));
            assert_eq!(events, expected);
            return;
        }
        assert!(Instant::now() < deadline, "{events:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Returns the events that the function has printed.
async fn events(emulator: &Emulator) -> Vec<Value> {
    let file = emulator.folder().join("events.log");
    let logs = code_block(PAGE, "sam logs");
    emulator.run(&format!("cd examples/protected\n({}) >'{}'", logs.trim(), file.display()), &[]).await;
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect()
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(body)))
}
