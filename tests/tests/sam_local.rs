//! The flow over `sam local start-api`: the functions in containers, as Lambda runs them, and cookies over real HTTP.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use cookie_store::CookieStore;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use testbed::SamLocal;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

/// One test, because one service is started for all of it. It is stopped even where the test itself is stopped.
#[tokio::test]
async fn the_functions_keep_their_contract_in_containers() {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
    let checks = async {
        let service = SamLocal::start().await;
        whoever_logs_out_is_nobody(&service).await;
    };
    tokio::select! {
        () = checks => {}
        _ = interrupted.recv() => panic!("interrupted"),
        _ = terminated.recv() => panic!("terminated"),
    }
}

async fn whoever_logs_out_is_nobody(service: &SamLocal) {
    let mut browser = Browser::new(service);
    let login = browser.log_in("kimcoding", "1234").await;
    assert_eq!(login.status(), StatusCode::FOUND);
    assert_eq!(login.headers()[LOCATION], "/userinfo");
    assert_eq!(browser.cookie_names(), ["access_jwt", "refresh_jwt"]);

    let userinfo = browser.send(Method::GET, "/userinfo", None).await;
    assert_eq!(userinfo.status(), StatusCode::OK);
    let user: Value = serde_json::from_str(&userinfo.text().await.unwrap()).unwrap();
    assert_eq!(user["userId"], "kimcoding");

    let thief = browser.clone();
    assert_eq!(browser.send(Method::POST, "/logout", None).await.status(), StatusCode::RESET_CONTENT);
    assert!(browser.cookie_names().is_empty());
    for mut nobody in [browser, thief] {
        let userinfo = nobody.send(Method::GET, "/userinfo", None).await;
        assert_eq!(userinfo.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(userinfo.text().await.unwrap(), "Not Authorized");
    }
}

/// A browser: it keeps whole `Set-Cookie` lines, sends back what their attributes allow, and follows no redirect.
#[derive(Clone)]
struct Browser {
    client: Client,
    origin: Url,
    jar: CookieStore,
}

impl Browser {
    fn new(service: &SamLocal) -> Self {
        let client = Client::builder().add_root_certificate(service.certificate().clone());
        let client = client.no_proxy().redirect(Policy::none()).build().unwrap();
        Self { client, origin: service.url().parse().unwrap(), jar: CookieStore::default() }
    }

    async fn log_in(&mut self, user_id: &str, password: &str) -> Response {
        let form = json!({ "loginInfo": { "userId": user_id, "password": password }, "checkedKeepLogin": true });
        self.send(Method::POST, "/login", Some(form)).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Response {
        let url = self.origin.join(path).unwrap();
        let cookies: Vec<_> =
            self.jar.get_request_values(&url).map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.client.request(method, url.clone());
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            self.jar.parse(line.to_str().unwrap(), &url).ok(); // A cleared cookie is reported as expired.
        }
        response
    }

    fn cookie_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.jar.iter_unexpired().map(|cookie| cookie.name().to_owned()).collect();
        names.sort();
        names
    }
}
