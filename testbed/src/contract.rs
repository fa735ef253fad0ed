//! The contract over HTTPS: every row that exists, asked of a running stack as its clients ask.
//!
//! Knows nothing of how the stack was started.

use std::sync::Arc;
use std::time::Duration;

use dev::people::{KIM, PARK, Person};
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, Url};
use serde_json::{Value, json};
use shared::claims::{Kind, Subject};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::id::{SessionId, UserId};
use shared::session::Generation;
use shared::tokens::{Signer, Verifier};

/// A running stack.
pub struct Stack {
    /// Where it answers, without a slash at the end.
    pub url: String,
    /// The certificate to trust, as PEM.
    pub certificate: Vec<u8>,
    /// What its functions are configured with, secrets included: the tests forge and age tokens.
    pub config: Config,
}

/// Checks every row.
pub async fn holds(stack: &Stack) {
    macro_rules! rows {
        ($($row:ident),+ $(,)?) => {$(
            eprintln!("  {}", stringify!($row).replace('_', " "));
            $row(stack).await;
        )+};
    }
    rows!(
        signing_in_to_be_kept_sets_two_cookies_and_leads_to_the_user,
        signing_in_without_keep_sets_one_cookie_that_ends_with_the_browser,
        a_wrong_password_and_an_unknown_name_look_the_same,
        nobody_is_signed_in_without_a_good_token,
        a_refresh_cookie_alone_renews,
        forged_expired_and_swapped_tokens_are_refused,
        whole_set_cookie_lines_sent_back_are_understood,
        foreign_cookies_are_skipped,
        signing_out_ends_the_session_for_every_copy,
        signing_out_with_nothing_or_garbage_is_answered_the_same,
        signing_out_everywhere_ends_every_session,
        sessions_are_listed_and_ended,
        a_bearer_token_is_accepted_where_the_cookie_is,
        errors_are_problem_details,
        the_old_front_end_works_from_its_own_origin,
        a_foreign_page_changes_nothing,
        every_response_is_kept_out_of_caches,
        head_answers_like_get_without_a_body,
        wrong_passwords_in_a_row_have_to_wait,
        a_password_is_changed_by_whoever_knows_it_and_ends_the_other_sessions,
    );
}

/// Checks a route behind the authorizer, with `userinfo` as the function that the gateway calls: who is signed in passes, all
/// others get the gateway's own 403, and a logout holds from the next request on.
pub async fn the_authorizer_guards(stack: &Stack, path: &str) {
    let (access, refresh) = stack.tokens(KIM).await;
    let (cookie, other) = (format!("access_jwt={access}"), format!("refresh_jwt={refresh}"));
    let status = async |cookies: &str| stack.with_cookies(cookies, path).await.status().as_u16();
    let by_bearer = stack.request(Method::GET, path).bearer_auth(&access).send().await.unwrap();
    assert_eq!(json_of(by_bearer).await, user(KIM));
    assert_eq!(json_of(stack.with_cookies(&cookie, path).await).await, user(KIM));
    for cookies in ["", "access_jwt=garbage", &other] {
        assert_eq!(status(cookies).await, 403, "{cookies}");
    }
    let logout = stack.request(Method::POST, "/logout").bearer_auth(&access).send().await.unwrap();
    assert_eq!(logout.status().as_u16(), 205);
    assert_eq!(status(&cookie).await, 403, "a copy of the token after the logout");
}

async fn signing_in_to_be_kept_sets_two_cookies_and_leads_to_the_user(stack: &Stack) {
    let browser = stack.browser();
    let answer = browser.log_in(KIM, json!(true)).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (302, "/userinfo"));
    let [access, refresh] = &set_cookies(&answer)[..] else { panic!("{answer:?}") };
    for (line, name, max_age) in
        [(access, stack.cookie_name("access_jwt"), 86_400), (refresh, stack.cookie_name("refresh_jwt"), 604_800)]
    {
        assert!(line.starts_with(&format!("{name}=ey")), "{line}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict", &format!("Max-Age={max_age}")] {
            assert!(line.split("; ").any(|part| part == attribute), "{attribute}: {line}");
        }
        assert!(line.contains("; Expires=") && line.ends_with("GMT"), "{line}");
        let domain = stack.config.cookie_domain.as_ref().map(|domain| format!("; Domain={domain}"));
        assert_eq!(line.contains("Domain="), domain.is_some_and(|domain| line.contains(&domain)), "{line}");
    }
    let followed = stack.browser_that(Policy::limited(2)).log_in(KIM, json!(true)).await;
    assert_eq!((followed.url().path(), followed.status().as_u16()), ("/userinfo", 200));
    assert_eq!(json_of(followed).await, user(KIM));
}

async fn signing_in_without_keep_sets_one_cookie_that_ends_with_the_browser(stack: &Stack) {
    for keep in [json!(false), json!(null)] {
        let browser = stack.browser();
        let answer = browser.log_in(KIM, keep).await;
        let [access] = &set_cookies(&answer)[..] else { panic!("{answer:?}") };
        assert!(!access.contains("Max-Age") && !access.contains("Expires"), "{access}");
        assert_eq!(json_of(browser.get("/userinfo").await).await, user(KIM));
    }
}

async fn a_wrong_password_and_an_unknown_name_look_the_same(stack: &Stack) {
    for (name, password) in [("kimcoding", "4321"), ("nobody", "1234"), ("", "")] {
        let answer = stack.browser().log_in_as(name, password, json!(true)).await;
        refused(answer).await;
    }
}

async fn nobody_is_signed_in_without_a_good_token(stack: &Stack) {
    refused(stack.browser().get("/userinfo").await).await;
    refused(stack.with_cookies("access_jwt=garbage", "/userinfo").await).await;
}

async fn a_refresh_cookie_alone_renews(stack: &Stack) {
    let (_, refresh) = stack.tokens(KIM).await;
    let answer = stack.with_cookies(&format!("refresh_jwt={refresh}"), "/userinfo").await;
    assert_eq!(answer.status().as_u16(), 200);
    let lines = set_cookies(&answer);
    assert!(lines[0].starts_with(&format!("{}=ey", stack.cookie_name("access_jwt"))), "{lines:?}");
    assert!(lines[0].contains("; Max-Age=86400; Expires="), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{}=ey", stack.cookie_name("refresh_jwt"))), "{lines:?}");
    assert!(lines[1].contains("; Max-Age=604800; Expires="), "{lines:?}");
    for line in &lines {
        let renewed = line.split(';').next().unwrap();
        assert_eq!(json_of(stack.with_raw_cookies(renewed, "/userinfo").await).await, user(KIM), "{line}");
    }
}

async fn forged_expired_and_swapped_tokens_are_refused(stack: &Stack) {
    let (access, refresh) = stack.tokens(KIM).await;
    let claims = Verifier::new(&stack.config).authentic(Kind::Access, access.as_bytes()).unwrap();
    let now = Timestamp::now();
    let long_ago = Timestamp::from_secs(now.as_secs() - 8 * 86_400);
    let old_access = signed(&stack.config, Kind::Access, &claims.sub, &claims.sid, long_ago);
    let old_refresh = signed(&stack.config, Kind::Refresh, &claims.sub, &claims.sid, long_ago);
    let not_ours = [
        ("ACCESS_SECRET", "a-secret-that-nobody-configured-01"),
        ("REFRESH_SECRET", "another-that-nobody-configured-012"),
    ];
    let other_secrets = Config::from_lookup(crate::settings(&not_ours)).unwrap();
    let forged = signed(&other_secrets, Kind::Access, &claims.sub, &claims.sid, now);
    let (message, _) = access.rsplit_once('.').unwrap();
    let unsigned = format!("{message}.");
    for cookies in [
        format!("access_jwt={forged}"),
        format!("access_jwt={unsigned}"),
        format!("access_jwt={old_access}"),
        format!("refresh_jwt={old_refresh}"),
        format!("access_jwt={refresh}; refresh_jwt={access}"),
        format!("access_jwt={access}x"),
    ] {
        refused(stack.with_cookies(&cookies, "/userinfo").await).await;
    }
    let still_good = stack.with_cookies(&format!("access_jwt={forged}; refresh_jwt={refresh}"), "/userinfo").await;
    assert_eq!(still_good.status().as_u16(), 200, "a bad access token does not spoil a good refresh token");
}

async fn whole_set_cookie_lines_sent_back_are_understood(stack: &Stack) {
    let answer = stack.browser().log_in(KIM, json!(true)).await;
    let lines = set_cookies(&answer).join("; ");
    assert_eq!(json_of(stack.with_raw_cookies(&lines, "/userinfo").await).await, user(KIM));
}

async fn foreign_cookies_are_skipped(stack: &Stack) {
    let (access, _) = stack.tokens(KIM).await;
    let crowd = "theme=dark; _ga=GA1.1.1; HttpOnly; Path=/; x=\"; __Host-other=1";
    let cookies = format!("{crowd}; access_jwt={access}; {crowd}; access_jwt={access}");
    assert_eq!(json_of(stack.with_cookies(&cookies, "/userinfo").await).await, user(KIM));
}

async fn signing_out_ends_the_session_for_every_copy(stack: &Stack) {
    let browser = stack.browser();
    browser.log_in(KIM, json!(true)).await;
    let copy = browser.cookies();
    let (access, refresh) = copy.split_once("; ").unwrap();
    let answer = browser.send(Method::POST, "/logout", |request| request).await;
    assert_eq!(answer.status().as_u16(), 205);
    let lines = set_cookies(&answer);
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("=; Path=/; ") && line.contains("Max-Age=0")),
        "{lines:?}"
    );
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
    assert_eq!(browser.cookies(), "", "the jar is empty");
    for cookies in [access, refresh, copy.as_str()] {
        refused(stack.with_raw_cookies(cookies, "/userinfo").await).await;
    }
}

async fn signing_out_with_nothing_or_garbage_is_answered_the_same(stack: &Stack) {
    for cookies in ["", "access_jwt=garbage; refresh_jwt=garbage"] {
        let answer =
            stack.request(Method::POST, "/logout").header("cookie", stack.renamed(cookies)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (205, 2));
    }
}

async fn signing_out_everywhere_ends_every_session(stack: &Stack) {
    let (phone, laptop, other) = (stack.browser(), stack.browser(), stack.browser());
    phone.log_in(KIM, json!(true)).await;
    laptop.log_in(KIM, json!(false)).await;
    other.log_in(PARK, json!(false)).await;
    assert_eq!(phone.send(Method::POST, "/logout?everywhere=true", |request| request).await.status().as_u16(), 205);
    refused(laptop.get("/userinfo").await).await;
    assert_eq!(json_of(other.get("/userinfo").await).await, user(PARK));
}

async fn sessions_are_listed_and_ended(stack: &Stack) {
    let (phone, laptop, desktop) = (stack.browser(), stack.browser(), stack.browser());
    phone.log_in(KIM, json!(true)).await;
    assert_eq!(phone.send(Method::DELETE, "/sessions", |request| request).await.status().as_u16(), 204);
    laptop.log_in(KIM, json!(false)).await;
    desktop.log_in(KIM, json!(false)).await;

    let list = json_of(laptop.get("/sessions").await).await["sessions"].as_array().unwrap().clone();
    let current: Vec<_> = list.iter().filter(|session| session["current"] == true).collect();
    assert_eq!((list.len(), current.len()), (3, 1), "{list:?}");
    let path = format!("/sessions/{}", current[0]["id"].as_str().unwrap());
    assert_eq!(phone.send(Method::DELETE, &path, |request| request).await.status().as_u16(), 204);
    refused(laptop.get("/userinfo").await).await;
    refused(laptop.get("/sessions").await).await;

    let unknown = format!("/sessions/{}", SessionId::random().unwrap());
    problem(phone.send(Method::DELETE, &unknown, |request| request).await, 404).await;
    assert_eq!(phone.send(Method::DELETE, "/sessions", |request| request).await.status().as_u16(), 204);
    refused(desktop.get("/userinfo").await).await;
    assert_eq!(json_of(phone.get("/userinfo").await).await, user(KIM));
}

/// Seven in a row take less than the first waits together, so that one of them comes too early.
async fn wrong_passwords_in_a_row_have_to_wait(stack: &Stack) {
    let mut last = stack.browser().log_in_as("somebody-who-guesses", "0", json!(true)).await;
    for guess in 1..8 {
        if last.status().as_u16() == 429 {
            break;
        }
        refused(last).await;
        last = stack.browser().log_in_as("somebody-who-guesses", &guess.to_string(), json!(true)).await;
    }
    let wait: u64 = last.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    problem(last, 429).await;
}

/// The last row: whoever comes after it finds another password.
async fn a_password_is_changed_by_whoever_knows_it_and_ends_the_other_sessions(stack: &Stack) {
    const NEW: &str = "paper boats in the rain";
    let (here, there) = (stack.browser(), stack.browser());
    here.log_in(PARK, json!(true)).await;
    there.log_in(PARK, json!(true)).await;
    let change = async |current: &str, new: &str| {
        let form = json!({ "currentPassword": current, "newPassword": new }).to_string();
        let with_form = |request: RequestBuilder| request.header("content-type", "application/json").body(form);
        here.send(Method::PUT, "/password", with_form).await
    };
    problem(change(PARK.password, "12345").await, 400).await;
    refused(change("wrong", NEW).await).await;
    assert_eq!(json_of(there.get("/userinfo").await).await, user(PARK), "nothing has happened yet");
    let changed = change(PARK.password, NEW).await;
    assert_eq!((changed.status().as_u16(), set_cookies(&changed).len()), (204, 0));
    refused(there.get("/userinfo").await).await;
    assert_eq!(json_of(here.get("/userinfo").await).await, user(PARK));
    refused(there.log_in(PARK, json!(true)).await).await;
    assert_eq!(there.log_in_as(PARK.user_id, NEW, json!(true)).await.status().as_u16(), 302);
}

async fn a_bearer_token_is_accepted_where_the_cookie_is(stack: &Stack) {
    let ((access, refresh), (parks, _)) = (stack.tokens(KIM).await, stack.tokens(PARK).await);
    let bearer = |token: &str, cookies: &str| {
        let request = stack.request(Method::GET, "/userinfo").bearer_auth(token);
        request.header("cookie", stack.renamed(cookies)).send()
    };
    assert_eq!(json_of(bearer(&access, "").await.unwrap()).await, user(KIM));
    refused(bearer("garbage", &format!("access_jwt={access}; refresh_jwt={refresh}")).await.unwrap()).await;
    problem(bearer(&access, &format!("access_jwt={parks}")).await.unwrap(), 400).await;
}

async fn errors_are_problem_details(stack: &Stack) {
    let post = |body: String, media_type: &str| {
        stack.request(Method::POST, "/login").header("content-type", media_type).body(body).send()
    };
    for body in ["", "{", "{}", r#"{"loginInfo":{"userId":"kimcoding","password":"1234","role":"admin"}}"#] {
        problem(post(body.to_owned(), "application/json").await.unwrap(), 400).await;
    }
    problem(post("x".repeat(8193), "application/json").await.unwrap(), 413).await;
    problem(post("{}".to_owned(), "text/plain").await.unwrap(), 415).await;
}

async fn the_old_front_end_works_from_its_own_origin(stack: &Stack) {
    let origin = "https://localhost:3000";
    let from_there = |request: RequestBuilder| {
        let request = request.header("origin", origin).header("sec-fetch-site", "same-site");
        request.header("sec-fetch-mode", "cors").header("sec-fetch-dest", "empty")
    };
    let allowed = |headers: &HeaderMap| {
        let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        says("access-control-allow-origin") == Some(origin.as_bytes())
            && says("access-control-allow-credentials") == Some(b"true")
    };
    let preflight = stack.request(Method::OPTIONS, "/login");
    let preflight = preflight.header("access-control-request-method", "POST");
    let preflight =
        from_there(preflight.header("access-control-request-headers", "content-type")).send().await.unwrap();
    assert!(preflight.status().is_success() && allowed(preflight.headers()), "{preflight:?}");
    let says = |name: &str| preflight.headers()[name].to_str().unwrap().to_lowercase();
    assert!(says("access-control-allow-methods").contains("post"));
    assert!(says("access-control-allow-headers").contains("content-type"));

    let browser = stack.browser();
    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" }, "checkedKeepLogin": true });
    let login = browser.send(Method::POST, "/login", |request| {
        from_there(request).header("content-type", "application/json").body(form.to_string())
    });
    let login = login.await;
    assert!(login.status().as_u16() == 302 && allowed(login.headers()), "{login:?}");
    let userinfo = browser.send(Method::GET, "/userinfo", from_there).await;
    assert!(allowed(userinfo.headers()));
    assert_eq!(json_of(userinfo).await, user(KIM));
    let logout = browser.send(Method::POST, "/logout", from_there).await;
    assert!(logout.status().as_u16() == 205 && allowed(logout.headers()), "{logout:?}");
}

async fn a_foreign_page_changes_nothing(stack: &Stack) {
    let browser = stack.browser();
    browser.log_in(KIM, json!(true)).await;
    let evil = |request: RequestBuilder| {
        request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site")
    };
    let refused = browser.send(Method::POST, "/logout", evil).await;
    assert_eq!(refused.headers().get("access-control-allow-origin"), None);
    problem(refused, 403).await;
    assert_eq!(json_of(browser.get("/userinfo").await).await, user(KIM));
}

async fn every_response_is_kept_out_of_caches(stack: &Stack) {
    let answers = [
        stack.browser().get("/userinfo").await,
        stack.browser().log_in(KIM, json!(true)).await,
        stack.request(Method::POST, "/login").send().await.unwrap(),
        stack.request(Method::POST, "/logout").send().await.unwrap(),
    ];
    for answer in answers {
        let says = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(says("cache-control"), "no-store", "{answer:?}");
        assert_eq!(says("x-content-type-options"), "nosniff");
        assert!(says("strict-transport-security").starts_with("max-age="));
        assert!(says("content-security-policy").contains("default-src 'none'"));
    }
}

async fn head_answers_like_get_without_a_body(stack: &Stack) {
    let (_, refresh) = stack.tokens(KIM).await;
    let request =
        stack.request(Method::HEAD, "/userinfo").header("cookie", stack.renamed(&format!("refresh_jwt={refresh}")));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (200, 0));
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
}

impl Stack {
    fn browser(&self) -> Browser<'_> {
        self.browser_that(Policy::none())
    }

    fn browser_that(&self, follows: Policy) -> Browser<'_> {
        let jar = Arc::new(Jar::default());
        Browser { client: self.client(follows, Some(Arc::clone(&jar))), jar, stack: self }
    }

    fn client(&self, follows: Policy, jar: Option<Arc<Jar>>) -> Client {
        let trusted = Certificate::from_pem(&self.certificate).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).no_proxy().redirect(follows);
        let client = client.timeout(Duration::from_mins(1)).http1_only();
        match jar {
            Some(jar) => client.cookie_provider(jar),
            None => client,
        }
        .build()
        .unwrap()
    }

    /// A request without a jar.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client(Policy::none(), None).request(method, format!("{}{path}", self.url))
    }

    /// A `GET` with these cookies, named as in the mode with a domain.
    async fn with_cookies(&self, cookies: &str, path: &str) -> Response {
        self.with_raw_cookies(&self.renamed(cookies), path).await
    }

    async fn with_raw_cookies(&self, cookies: &str, path: &str) -> Response {
        self.request(Method::GET, path).header("cookie", cookies).send().await.unwrap()
    }

    /// The access and the refresh token of a new session.
    async fn tokens(&self, person: Person) -> (String, String) {
        let answer = self.browser().log_in(person, json!(true)).await;
        let lines = set_cookies(&answer);
        let value = |line: &String| line.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        (value(&lines[0]), value(&lines[1]))
    }

    fn cookie_name(&self, name: &str) -> String {
        if self.config.cookie_domain.is_some() { name.to_owned() } else { format!("__Host-{name}") }
    }

    fn renamed(&self, cookies: &str) -> String {
        let access = cookies.replace("access_jwt=", &format!("{}=", self.cookie_name("access_jwt")));
        access.replace("refresh_jwt=", &format!("{}=", self.cookie_name("refresh_jwt")))
    }
}

/// A client with a jar that follows the browsers' rules.
struct Browser<'a> {
    client: Client,
    jar: Arc<Jar>,
    stack: &'a Stack,
}

impl Browser<'_> {
    async fn log_in(&self, person: Person, keep: Value) -> Response {
        self.log_in_as(person.user_id, person.password, keep).await
    }

    async fn log_in_as(&self, user_id: &str, password: &str, keep: Value) -> Response {
        let form = json!({ "loginInfo": { "userId": user_id, "password": password }, "checkedKeepLogin": keep });
        let form = form.to_string();
        self.send(Method::POST, "/login", |request| request.header("content-type", "application/json").body(form)).await
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, |request| request).await
    }

    async fn send(&self, method: Method, path: &str, with: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.stack.url));
        with(request).send().await.unwrap()
    }

    /// What the jar would send, the access cookie first.
    fn cookies(&self) -> String {
        let header = self.jar.cookies(&Url::parse(&self.stack.url).unwrap());
        let header = header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let mut pairs: Vec<_> = header.split("; ").collect();
        pairs.sort_unstable();
        pairs.join("; ")
    }
}

fn set_cookies(answer: &Response) -> Vec<String> {
    answer.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

/// 401 as the contract has it, with no cookie touched.
async fn refused(answer: Response) {
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (401, 0), "{answer:?}");
    assert_eq!(answer.text().await.unwrap(), "Not Authorized");
}

async fn problem(answer: Response, status: u16) {
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (status, 0), "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem = json_of(answer).await;
    assert_eq!(problem["status"], status);
    for name in ["type", "title", "detail", "request_id"] {
        assert!(problem[name].is_string(), "{name}: {problem}");
    }
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn user(person: Person) -> Value {
    serde_json::to_value(person.user().unwrap().profile).unwrap()
}

/// A token of a session that exists, as it was signed at another time or with other secrets.
fn signed(config: &Config, kind: Kind, user_id: &UserId, session_id: &SessionId, at: Timestamp) -> String {
    let email = if user_id.as_str() == KIM.id { KIM } else { PARK }.user().unwrap().profile.email;
    let subject = Subject { user_id, email: &email, roles: &[], session_id };
    let signer = Signer::new(config);
    let expires_at = at + Duration::from_hours(7 * 24);
    let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: at, expires_at };
    let token = match kind {
        Kind::Access => signer.access(&subject, at, expires_at),
        Kind::Refresh => signer.refresh(&subject, &generation),
    };
    token.unwrap().expose().to_owned()
}
