//! The contract: the behaviour that clients rely on. Each promise is a function that sends requests to a running stack
//! over HTTPS, as clients do. This module does not know how the stack was started.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dev::people::{KIM, PARK, Person};
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, Url};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::id::{SessionId, UserId};
use shared::token::{Generation, Kind, Signer, Subject, Verifier};

/// The `Accept` header of a browser in which a person opens an address or sends a form.
const ACCEPT_OF_A_PERSON: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// A running stack.
pub struct Stack {
    /// The address, without a slash at the end.
    pub url: String,
    /// The socket to connect to, if the host of the address has no DNS record.
    pub socket: Option<SocketAddr>,
    /// The certificate to trust, as PEM. Empty without TLS.
    pub certificate: Vec<u8>,
    /// The environment of its functions, secrets included. The tests sign expired and forged tokens.
    pub env: Environment,
}

/// Checks the whole contract, and prints each promise before it is checked.
pub async fn check(stack: &Stack) {
    macro_rules! check_all {
        ($($promise:ident),+ $(,)?) => {$(
            eprintln!("  {}", stringify!($promise).replace('_', " "));
            $promise(stack).await;
        )+};
    }
    check_all!(
        a_persistent_login_sets_two_cookies_and_redirects_to_the_user,
        a_login_that_is_not_persistent_sets_one_cookie_without_an_expiry,
        a_wrong_password_and_an_unknown_name_get_the_same_answer,
        userinfo_without_a_valid_token_is_401,
        a_refresh_cookie_alone_renews_the_session,
        forged_expired_and_swapped_tokens_are_rejected,
        whole_set_cookie_lines_are_accepted_as_cookies,
        foreign_cookies_are_ignored,
        a_logout_ends_the_session_for_every_copy_of_its_tokens,
        a_logout_without_valid_tokens_gets_the_same_answer,
        a_logout_everywhere_ends_all_sessions_of_the_user,
        sessions_are_listed_and_ended,
        a_bearer_token_is_accepted_in_place_of_the_cookie,
        errors_are_problem_details,
        the_public_keys_are_published,
        the_existing_front_end_works_from_its_own_origin,
        a_request_from_a_foreign_page_is_rejected,
        every_response_has_the_security_headers,
        a_head_request_has_no_body_and_sets_no_cookies,
        a_person_with_a_browser_signs_in_and_out,
        a_person_with_a_browser_ends_sessions,
        a_link_on_another_site_finds_the_session,
        a_form_of_a_foreign_page_is_rejected,
        too_many_wrong_passwords_are_throttled,
        a_change_of_password_needs_the_current_one_and_opens_a_new_session,
        a_right_password_at_a_change_is_not_counted,
        a_person_with_a_browser_changes_the_password,
    );
}

/// Checks the authorizer at a route of `userinfo`. A signed-in user passes. All other requests get the 403 of the
/// gateway. A logout takes effect at the next request.
pub async fn check_authorizer(stack: &Stack, path: &str) {
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
    assert_eq!(status(&cookie).await, 403, "the access token is rejected after the logout");
}

impl Stack {
    /// Signs in, and returns the access token.
    pub async fn access_token(&self) -> String {
        self.tokens(KIM).await.0
    }

    /// Tries to sign in from another address of this machine. Returns the status.
    pub async fn log_in_from(&self, address: IpAddr, user_id: &str, password: &str) -> u16 {
        let client = self.client_from(Some(address), Policy::none(), None);
        let form = json!({ "loginInfo": { "userId": user_id, "password": password } });
        let request = client.post(format!("{}/login", self.url)).header("content-type", "application/json");
        request.body(form.to_string()).send().await.unwrap().status().as_u16()
    }

    /// Returns the status of `GET` without credentials.
    pub async fn status_of(&self, path: &str) -> u16 {
        self.with_cookies("", path).await.status().as_u16()
    }

    /// Returns the JSON of `GET` without credentials.
    pub async fn json(&self, path: &str) -> Value {
        json_of(self.with_cookies("", path).await).await
    }

    /// Returns the status of `GET /userinfo` with this access token.
    pub async fn status_for(&self, access_token: &str) -> u16 {
        self.with_cookies(&format!("access_jwt={access_token}"), "/userinfo").await.status().as_u16()
    }
}

async fn a_persistent_login_sets_two_cookies_and_redirects_to_the_user(stack: &Stack) {
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
        let domain = stack.env.optional("COOKIE_DOMAIN").map(|domain| format!("; Domain={domain}"));
        assert_eq!(line.contains("Domain="), domain.is_some_and(|domain| line.contains(&domain)), "{line}");
    }
    let followed = stack.browser_with(Policy::limited(2)).log_in(KIM, json!(true)).await;
    assert_eq!((followed.url().path(), followed.status().as_u16()), ("/userinfo", 200));
    assert_eq!(json_of(followed).await, user(KIM));
}

async fn a_login_that_is_not_persistent_sets_one_cookie_without_an_expiry(stack: &Stack) {
    for persistent in [json!(false), json!(null)] {
        let browser = stack.browser();
        let answer = browser.log_in(KIM, persistent).await;
        let [access] = &set_cookies(&answer)[..] else { panic!("{answer:?}") };
        assert!(!access.contains("Max-Age") && !access.contains("Expires"), "{access}");
        assert_eq!(json_of(browser.get("/userinfo").await).await, user(KIM));
    }
}

async fn a_wrong_password_and_an_unknown_name_get_the_same_answer(stack: &Stack) {
    for (name, password) in [("kimcoding", "4321"), ("unknown", "1234"), ("", "")] {
        let answer = stack.browser().log_in_as(name, password, json!(true)).await;
        assert_unauthorized(answer).await;
    }
}

async fn userinfo_without_a_valid_token_is_401(stack: &Stack) {
    assert_unauthorized(stack.browser().get("/userinfo").await).await;
    assert_unauthorized(stack.with_cookies("access_jwt=garbage", "/userinfo").await).await;
}

async fn a_refresh_cookie_alone_renews_the_session(stack: &Stack) {
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

async fn forged_expired_and_swapped_tokens_are_rejected(stack: &Stack) {
    let (access, refresh) = stack.tokens(KIM).await;
    let verifier = Verifier::for_access_tokens(&stack.env).unwrap();
    let claims = verifier.verify_ignoring_time(access.as_bytes()).unwrap();
    let now = Timestamp::now();
    let long_ago = Timestamp::from_secs(now.as_secs() - 8 * 86_400);
    let old_access = signed(&stack.env, Kind::Access, &claims.sub, &claims.sid, long_ago);
    let old_refresh = signed(&stack.env, Kind::Refresh, &claims.sub, &claims.sid, long_ago);
    let other_env = crate::environment(&[
        ("ACCESS_SECRET", "access-secret-of-another-service-01"),
        ("REFRESH_SECRET", "refresh-secret-of-another-service-1"),
    ]);
    let forged = signed(&other_env, Kind::Access, &claims.sub, &claims.sid, now);
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
        assert_unauthorized(stack.with_cookies(&cookies, "/userinfo").await).await;
    }
    let still_valid = stack.with_cookies(&format!("access_jwt={forged}; refresh_jwt={refresh}"), "/userinfo").await;
    assert_eq!(still_valid.status().as_u16(), 200, "an invalid access token does not affect a valid refresh token");
}

async fn whole_set_cookie_lines_are_accepted_as_cookies(stack: &Stack) {
    let answer = stack.browser().log_in(KIM, json!(true)).await;
    let lines = set_cookies(&answer).join("; ");
    assert_eq!(json_of(stack.with_raw_cookies(&lines, "/userinfo").await).await, user(KIM));
}

async fn foreign_cookies_are_ignored(stack: &Stack) {
    let (access, _) = stack.tokens(KIM).await;
    let foreign = "theme=dark; _ga=GA1.1.1; HttpOnly; Path=/; x=\"; __Host-other=1";
    let cookies = format!("{foreign}; access_jwt={access}; {foreign}; access_jwt={access}");
    assert_eq!(json_of(stack.with_cookies(&cookies, "/userinfo").await).await, user(KIM));
}

async fn a_logout_ends_the_session_for_every_copy_of_its_tokens(stack: &Stack) {
    let browser = stack.browser();
    browser.log_in(KIM, json!(true)).await;
    let copy = browser.cookies();
    let (access, refresh) = copy.split_once("; ").unwrap();
    let answer = browser.send(Method::POST, "/logout", |request| request).await;
    assert_eq!(answer.status().as_u16(), 205);
    let lines = set_cookies(&answer);
    assert!(
        lines.len() == 2 + stack.cleared_elsewhere()
            && lines.iter().all(|line| line.contains("=; Path=/; ") && line.contains("Max-Age=0")),
        "{lines:?}"
    );
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
    assert_eq!(browser.cookies(), "", "the jar is empty");
    for cookies in [access, refresh, copy.as_str()] {
        assert_unauthorized(stack.with_raw_cookies(cookies, "/userinfo").await).await;
    }
}

async fn a_logout_without_valid_tokens_gets_the_same_answer(stack: &Stack) {
    for cookies in ["", "access_jwt=garbage; refresh_jwt=garbage"] {
        let answer =
            stack.request(Method::POST, "/logout").header("cookie", stack.renamed(cookies)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (205, 2 + stack.cleared_elsewhere()));
    }
}

async fn a_logout_everywhere_ends_all_sessions_of_the_user(stack: &Stack) {
    let (phone, laptop, other) = (stack.browser(), stack.browser(), stack.browser());
    phone.log_in(KIM, json!(true)).await;
    laptop.log_in(KIM, json!(false)).await;
    other.log_in(PARK, json!(false)).await;
    let twice = phone.send(Method::POST, "/logout?everywhere=true&everywhere=false", |request| request).await;
    assert_problem(twice, 400).await;
    assert_eq!(phone.send(Method::POST, "/logout?everywhere=true", |request| request).await.status().as_u16(), 205);
    assert_unauthorized(laptop.get("/userinfo").await).await;
    let again = laptop.send(Method::POST, "/logout?everywhere=true", |request| request).await;
    assert_eq!(
        (again.status().as_u16(), set_cookies(&again).len()),
        (401, 2 + stack.cleared_elsewhere()),
        "no session was left to end"
    );
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
    assert_unauthorized(laptop.get("/userinfo").await).await;
    assert_unauthorized(laptop.get("/sessions").await).await;

    let unknown = format!("/sessions/{}", SessionId::random().unwrap());
    assert_problem(phone.send(Method::DELETE, &unknown, |request| request).await, 404).await;
    assert_eq!(phone.send(Method::DELETE, "/sessions", |request| request).await.status().as_u16(), 204);
    assert_unauthorized(desktop.get("/userinfo").await).await;
    assert_eq!(json_of(phone.get("/userinfo").await).await, user(KIM));
}

/// After five failures the waits are 1, 2 and 4 seconds. Eight attempts take less time, so that one of them comes too
/// early.
async fn too_many_wrong_passwords_are_throttled(stack: &Stack) {
    let mut last = stack.browser().log_in_as("guessed-login-name", "0", json!(true)).await;
    for guess in 1..8 {
        if last.status().as_u16() == 429 {
            break;
        }
        assert_unauthorized(last).await;
        last = stack.browser().log_in_as("guessed-login-name", &guess.to_string(), json!(true)).await;
    }
    let wait: u64 = last.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    assert_problem(last, 429).await;
}

async fn a_person_with_a_browser_signs_in_and_out(stack: &Stack) {
    let person = stack.browser();
    assert_leads(&person.open("/").await, 303, "/login");
    assert_leads(&person.open("/userinfo?return_to=%2Fshop").await, 302, "/login?return_to=%2Fshop");
    let page = text_of_page(person.open("/login").await, 200).await;
    assert!(page.contains("<form id=\"sign-in\" method=\"post\" action=\"/login\">"), "{page}");

    let wrong = person.submit("/login", &[("userId", KIM.user_id), ("password", "4321")]).await;
    let again = text_of_page(wrong, 401).await;
    assert!(again.contains("id=\"problem\"") && again.contains("value=\"kimcoding\""), "{again}");
    let fields = [("userId", KIM.user_id), ("password", KIM.password), ("checkedKeepLogin", "true")];
    let signed_in = person.submit("/login?return_to=%2Fshop%3Fitem%3D1", &fields).await;
    assert_leads(&signed_in, 302, "/shop?item=1");
    assert_eq!(set_cookies(&signed_in).len(), 2);

    assert_leads(&person.open("/").await, 303, "/userinfo");
    assert_leads(&person.open("/login").await, 303, "/userinfo");
    assert_leads(&person.open("/userinfo?return_to=%2Fshop").await, 303, "/shop");
    let account = text_of_page(person.open("/userinfo").await, 200).await;
    assert!(account.contains(&format!("<h1>{}</h1>", KIM.name)), "{account}");
    let korean = person.open("/userinfo?lang=ko").await;
    assert!(set_cookies(&korean)[0].starts_with("__Host-lang=ko; Path=/; Secure; HttpOnly; SameSite=Lax"));
    assert!(text_of_page(korean, 200).await.contains("<html lang=\"ko\""));
    assert!(
        text_of_page(person.open("/userinfo").await, 200).await.contains("<html lang=\"ko\""),
        "the language stays"
    );
    assert_eq!(json_of(person.get("/userinfo").await).await, user(KIM), "a client of the API still gets JSON");

    let copy = person.cookies();
    let signed_out = person.submit("/logout", &[]).await;
    assert_leads(&signed_out, 303, "/login");
    assert_eq!(set_cookies(&signed_out).len(), 2 + stack.cleared_elsewhere());
    assert_leads(&person.open("/userinfo").await, 302, "/login");
    assert_unauthorized(stack.with_raw_cookies(&copy, "/userinfo").await).await;
    let nobody = person.submit("/logout?everywhere=true", &[]).await;
    assert_eq!(set_cookies(&nobody).len(), 2 + stack.cleared_elsewhere());
    text_of_page(nobody, 401).await;
}

async fn a_person_with_a_browser_ends_sessions(stack: &Stack) {
    let (person, phone, laptop) = (stack.browser(), stack.browser(), stack.browser());
    person.submit("/login", &[("userId", KIM.user_id), ("password", KIM.password)]).await;
    assert_leads(&person.submit("/sessions/end", &[("others", "true")]).await, 303, "/userinfo?notice=others-ended");
    phone.log_in(KIM, json!(true)).await;
    let after_form = |request: RequestBuilder| {
        let request = request.header("accept", ACCEPT_OF_A_PERSON).header("sec-fetch-site", "same-origin");
        request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
    };
    let account = person.send(Method::GET, "/userinfo?notice=others-ended", after_form).await;
    let account = text_of_page(account, 200).await;
    assert!(account.contains("id=\"notice\""), "{account}");
    let (_, id) = account.split_once("name=\"id\" value=\"").unwrap();
    let (id, rest) = id.split_once('"').unwrap();
    assert!(!rest.contains("name=\"id\""), "there is one other session: {account}");
    assert_leads(&person.submit("/sessions/end", &[("id", id)]).await, 303, "/userinfo?notice=session-ended");
    assert_unauthorized(phone.get("/userinfo").await).await;
    text_of_page(person.submit("/sessions/end", &[("id", &SessionId::random().unwrap().to_string())]).await, 404).await;
    assert_problem(person.send(Method::POST, "/sessions/end", |request| request).await, 405).await;

    laptop.log_in(KIM, json!(true)).await;
    assert_leads(&person.submit("/logout?everywhere=true", &[]).await, 303, "/login");
    assert_unauthorized(laptop.get("/userinfo").await).await;
    let again = person.submit("/sessions/end", &[("others", "true")]).await;
    assert_leads(&again, 303, "/userinfo?notice=press-again");
}

/// A browser does not send our cookies if a page of another site leads to us.
async fn a_link_on_another_site_finds_the_session(stack: &Stack) {
    let from_elsewhere = |path: &str| {
        let request = stack.request(Method::GET, path).header("accept", ACCEPT_OF_A_PERSON);
        request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate").send()
    };
    assert_leads(&from_elsewhere("/").await.unwrap(), 303, "/userinfo");
    for (path, next) in [("/userinfo", "/userinfo?hop=1"), ("/login", "/login?hop=1")] {
        let page = text_of_page(from_elsewhere(path).await.unwrap(), 200).await;
        assert!(page.contains(&format!("<meta http-equiv=\"refresh\" content=\"0;url={next}\">")), "{page}");
    }
    let person = stack.browser();
    person.submit("/login", &[("userId", KIM.user_id), ("password", KIM.password)]).await;
    let account = text_of_page(person.open("/userinfo?hop=1").await, 200).await;
    assert!(account.contains(KIM.name), "{account}");
}

/// A foreign page can make a browser send a form without asking (CSRF).
async fn a_form_of_a_foreign_page_is_rejected(stack: &Stack) {
    let person = stack.browser();
    let fields = [("userId", KIM.user_id), ("password", KIM.password)];
    for (path, fields) in
        [("/login", &fields[..]), ("/logout", &[]), ("/sessions/end", &[("others", "true")]), ("/password", &[])]
    {
        let form = form(fields);
        let foreign = person.send(Method::POST, path, |request| {
            let request = request.header("accept", ACCEPT_OF_A_PERSON).header("content-type", FORM).body(form);
            request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site")
        });
        let foreign = foreign.await;
        assert_eq!(set_cookies(&foreign).len(), 0, "{path}");
        text_of_page(foreign, 403).await;
    }
}

const NEW_PASSWORD: &str = "paper boats in the rain";

/// Runs after the change of password.
async fn a_person_with_a_browser_changes_the_password(stack: &Stack) {
    const LATER: &str = "한글 boats & a += 100%";
    let (person, there) = (stack.browser(), stack.browser());
    assert_leads(&person.open("/.well-known/change-password").await, 303, "/password");
    assert_leads(&person.open("/password").await, 302, "/userinfo?return_to=%2Fpassword");
    person.submit("/login", &[("userId", PARK.user_id), ("password", NEW_PASSWORD)]).await;
    there.log_in_as(PARK.user_id, NEW_PASSWORD, json!(true)).await;
    assert!(text_of_page(person.open("/password").await, 200).await.contains("<form id=\"change-password\""));

    let change = async |current: &str, new: &str| {
        person.submit("/password", &[("currentPassword", current), ("newPassword", new)]).await
    };
    for (current, new, status) in [("wrong", LATER, 401), (NEW_PASSWORD, "short", 400)] {
        let refused = change(current, new).await;
        assert_eq!(set_cookies(&refused).len(), 0);
        assert!(text_of_page(refused, status).await.contains("id=\"problem\""));
    }
    assert_eq!(json_of(there.get("/userinfo").await).await, user(PARK), "the session is still active");
    let changed = change(NEW_PASSWORD, LATER).await;
    assert_leads(&changed, 303, "/userinfo?notice=password-changed");
    assert_eq!(set_cookies(&changed).len(), 1 + stack.cleared_elsewhere());
    assert_unauthorized(there.get("/userinfo").await).await;
    assert!(text_of_page(person.open("/userinfo").await, 200).await.contains(PARK.name));
    assert_eq!(there.log_in_as(PARK.user_id, LATER, json!(true)).await.status().as_u16(), 302);
}

/// Runs late, because later logins with the old password would fail.
async fn a_change_of_password_needs_the_current_one_and_opens_a_new_session(stack: &Stack) {
    const NEW: &str = NEW_PASSWORD;
    let (here, there) = (stack.browser(), stack.browser());
    here.log_in(PARK, json!(true)).await;
    there.log_in(PARK, json!(true)).await;
    let change = async |current: &str, new: &str| {
        let form = json!({ "currentPassword": current, "newPassword": new }).to_string();
        let with_form = |request: RequestBuilder| request.header("content-type", "application/json").body(form);
        here.send(Method::PUT, "/password", with_form).await
    };
    assert_problem(change(PARK.password, "12345").await, 400).await;
    assert_unauthorized(change("wrong", NEW).await).await;
    assert_eq!(json_of(there.get("/userinfo").await).await, user(PARK), "the session is still active");
    let changed = change(PARK.password, NEW).await;
    assert_eq!((changed.status().as_u16(), set_cookies(&changed).len()), (204, 2 + stack.cleared_elsewhere()));
    assert_unauthorized(there.get("/userinfo").await).await;
    assert_eq!(json_of(here.get("/userinfo").await).await, user(PARK));
    assert_unauthorized(there.log_in(PARK, json!(true)).await).await;
    assert_eq!(there.log_in_as(PARK.user_id, NEW, json!(true)).await.status().as_u16(), 302);
}

/// The sixth of six wrong passwords would have to wait. Runs after the change of password.
async fn a_right_password_at_a_change_is_not_counted(stack: &Stack) {
    const OTHER: &str = "paper boats in the snow";
    let browser = stack.browser();
    browser.log_in_as(PARK.user_id, NEW_PASSWORD, json!(true)).await;
    for (current, new) in [(NEW_PASSWORD, OTHER), (OTHER, NEW_PASSWORD)].repeat(3) {
        let form = json!({ "currentPassword": current, "newPassword": new }).to_string();
        let with_form = |request: RequestBuilder| request.header("content-type", "application/json").body(form);
        assert_eq!(browser.send(Method::PUT, "/password", with_form).await.status().as_u16(), 204);
    }
}

async fn a_bearer_token_is_accepted_in_place_of_the_cookie(stack: &Stack) {
    let ((access, refresh), (parks, _)) = (stack.tokens(KIM).await, stack.tokens(PARK).await);
    let bearer = |token: &str, cookies: &str| {
        let request = stack.request(Method::GET, "/userinfo").bearer_auth(token);
        request.header("cookie", stack.renamed(cookies)).send()
    };
    assert_eq!(json_of(bearer(&access, "").await.unwrap()).await, user(KIM));
    assert_unauthorized(bearer("garbage", &format!("access_jwt={access}; refresh_jwt={refresh}")).await.unwrap()).await;
    assert_problem(bearer(&access, &format!("access_jwt={parks}")).await.unwrap(), 400).await;
}

async fn errors_are_problem_details(stack: &Stack) {
    let post = |body: String, media_type: &str| {
        stack.request(Method::POST, "/login").header("content-type", media_type).body(body).send()
    };
    for body in ["", "{", "{}", r#"{"loginInfo":{"userId":"kimcoding","password":"1234","role":"admin"}}"#] {
        assert_problem(post(body.to_owned(), "application/json").await.unwrap(), 400).await;
    }
    assert_problem(post("x".repeat(8193), "application/json").await.unwrap(), 413).await;
    assert_problem(post("{}".to_owned(), "text/plain").await.unwrap(), 415).await;
}

/// RFC 7517 §5 and §8.5.2. The set is empty if the stack signs access tokens with HS256.
async fn the_public_keys_are_published(stack: &Stack) {
    let answer = stack.with_cookies("", "/.well-known/jwks.json").await;
    assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
    assert!(json_of(answer).await["keys"].is_array());
}

async fn the_existing_front_end_works_from_its_own_origin(stack: &Stack) {
    let origin = "https://localhost:3000";
    let from_front_end = |request: RequestBuilder| {
        let request = request.header("origin", origin).header("sec-fetch-site", "same-site");
        request.header("sec-fetch-mode", "cors").header("sec-fetch-dest", "empty")
    };
    let allowed = |headers: &HeaderMap| {
        let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        header("access-control-allow-origin") == Some(origin.as_bytes())
            && header("access-control-allow-credentials") == Some(b"true")
    };
    let preflight = stack.request(Method::OPTIONS, "/login");
    let preflight = preflight.header("access-control-request-method", "POST");
    let preflight =
        from_front_end(preflight.header("access-control-request-headers", "content-type")).send().await.unwrap();
    assert!(preflight.status().is_success() && allowed(preflight.headers()), "{preflight:?}");
    let header = |name: &str| preflight.headers()[name].to_str().unwrap().to_lowercase();
    assert!(header("access-control-allow-methods").contains("post"));
    assert!(header("access-control-allow-headers").contains("content-type"));

    let browser = stack.browser();
    let form = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" }, "checkedKeepLogin": true });
    let login = browser.send(Method::POST, "/login", |request| {
        from_front_end(request).header("content-type", "application/json").body(form.to_string())
    });
    let login = login.await;
    assert!(login.status().as_u16() == 302 && allowed(login.headers()), "{login:?}");
    let userinfo = browser.send(Method::GET, "/userinfo", from_front_end).await;
    assert!(allowed(userinfo.headers()));
    assert_eq!(json_of(userinfo).await, user(KIM));
    let logout = browser.send(Method::POST, "/logout", from_front_end).await;
    assert!(logout.status().as_u16() == 205 && allowed(logout.headers()), "{logout:?}");
}

async fn a_request_from_a_foreign_page_is_rejected(stack: &Stack) {
    let browser = stack.browser();
    browser.log_in(KIM, json!(true)).await;
    let from_foreign_page = |request: RequestBuilder| {
        request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site")
    };
    let rejected = browser.send(Method::POST, "/logout", from_foreign_page).await;
    assert_eq!(rejected.headers().get("access-control-allow-origin"), None);
    assert_problem(rejected, 403).await;
    assert_eq!(json_of(browser.get("/userinfo").await).await, user(KIM));
}

async fn every_response_has_the_security_headers(stack: &Stack) {
    let answers = [
        stack.browser().get("/userinfo").await,
        stack.browser().log_in(KIM, json!(true)).await,
        stack.request(Method::POST, "/login").send().await.unwrap(),
        stack.request(Method::POST, "/logout").send().await.unwrap(),
        stack.browser().open("/").await,
        stack.browser().open("/login").await,
        stack.browser().submit("/login", &[]).await,
    ];
    for answer in answers {
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store", "{answer:?}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(header("strict-transport-security").starts_with("max-age="));
        assert!(header("content-security-policy").contains("default-src 'none'"));
    }
}

/// RFC 9110 §8.6: `Content-Length` is that of the response to `GET`, or absent.
async fn a_head_request_has_no_body_and_sets_no_cookies(stack: &Stack) {
    let (_, refresh) = stack.tokens(KIM).await;
    let cookie = stack.renamed(&format!("refresh_jwt={refresh}"));
    let request = |method| stack.request(method, "/userinfo").header("cookie", &cookie).send();
    let answer = request(Method::HEAD).await.unwrap();
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (200, 0));
    let length = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
    let got = request(Method::GET).await.unwrap().bytes().await.unwrap().len();
    assert!(length.is_none_or(|length| length == got.to_string()), "{got}");
}

impl Stack {
    fn browser(&self) -> Browser<'_> {
        self.browser_with(Policy::none())
    }

    fn browser_with(&self, redirects: Policy) -> Browser<'_> {
        let jar = Arc::new(Jar::default());
        Browser { client: self.client(redirects, Some(Arc::clone(&jar))), jar, stack: self }
    }

    pub(crate) fn client(&self, redirects: Policy, jar: Option<Arc<Jar>>) -> Client {
        self.client_from(None, redirects, jar)
    }

    fn client_from(&self, address: Option<IpAddr>, redirects: Policy, jar: Option<Arc<Jar>>) -> Client {
        let trusted = Certificate::from_pem(&self.certificate).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).no_proxy().redirect(redirects).local_address(address);
        let mut client = client.timeout(Duration::from_mins(1)).http1_only();
        if let Some(socket) = self.socket {
            client = client.resolve(Url::parse(&self.url).unwrap().host_str().unwrap(), socket);
        }
        match jar {
            Some(jar) => client.cookie_provider(jar),
            None => client,
        }
        .build()
        .unwrap()
    }

    /// Returns a request without a cookie jar.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client(Policy::none(), None).request(method, format!("{}{path}", self.url))
    }

    /// Sends a `GET` with these cookies, which have the names of the mode with a domain.
    pub(crate) async fn with_cookies(&self, cookies: &str, path: &str) -> Response {
        self.with_raw_cookies(&self.renamed(cookies), path).await
    }

    async fn with_raw_cookies(&self, cookies: &str, path: &str) -> Response {
        self.request(Method::GET, path).header("cookie", cookies).send().await.unwrap()
    }

    /// Signs in, and returns the access token and the refresh token.
    pub(crate) async fn tokens(&self, person: Person) -> (String, String) {
        let answer = self.browser().log_in(person, json!(true)).await;
        let lines = set_cookies(&answer);
        let value = |line: &String| line.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        (value(&lines[0]), value(&lines[1]))
    }

    /// Returns the number of lines that delete the cookies in other scopes. At a host below `COOKIE_DOMAIN`, each of
    /// the two cookies could also be host-only, or have the host as its domain.
    fn cleared_elsewhere(&self) -> usize {
        let domain = self.env.optional("COOKIE_DOMAIN");
        let is_below = domain.is_some_and(|domain| Url::parse(&self.url).unwrap().host_str() != Some(&*domain));
        if is_below { 4 } else { 0 }
    }

    fn cookie_name(&self, name: &str) -> String {
        if self.env.optional("COOKIE_DOMAIN").is_some() { name.to_owned() } else { format!("__Host-{name}") }
    }

    /// Gives cookies the names of the stack's mode.
    fn renamed(&self, cookies: &str) -> String {
        let access = cookies.replace("access_jwt=", &format!("{}=", self.cookie_name("access_jwt")));
        access.replace("refresh_jwt=", &format!("{}=", self.cookie_name("refresh_jwt")))
    }
}

/// A client with a cookie jar that follows the rules of browsers.
struct Browser<'a> {
    client: Client,
    jar: Arc<Jar>,
    stack: &'a Stack,
}

impl Browser<'_> {
    async fn log_in(&self, person: Person, persistent: Value) -> Response {
        self.log_in_as(person.user_id, person.password, persistent).await
    }

    async fn log_in_as(&self, user_id: &str, password: &str, persistent: Value) -> Response {
        let form = json!({ "loginInfo": { "userId": user_id, "password": password }, "checkedKeepLogin": persistent });
        let form = form.to_string();
        self.send(Method::POST, "/login", |request| request.header("content-type", "application/json").body(form)).await
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, |request| request).await
    }

    /// Opens an address as a person does.
    async fn open(&self, path: &str) -> Response {
        let with = |request: RequestBuilder| {
            let request = request.header("accept", ACCEPT_OF_A_PERSON).header("accept-language", "en-US,en;q=0.5");
            request.header("sec-fetch-site", "none").header("sec-fetch-mode", "navigate")
        };
        self.send(Method::GET, path, |request| with(request).header("sec-fetch-dest", "document")).await
    }

    /// Sends a form of our own page as a person does.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let form = form(fields);
        let with = |request: RequestBuilder| {
            let request = request.header("accept", ACCEPT_OF_A_PERSON).header("content-type", FORM).body(form);
            let request = request.header("origin", &self.stack.url).header("sec-fetch-site", "same-origin");
            request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
        };
        self.send(Method::POST, path, with).await
    }

    async fn send(&self, method: Method, path: &str, with: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.stack.url));
        with(request).send().await.unwrap()
    }

    /// Returns the cookies that the jar would send, the access cookie first.
    fn cookies(&self) -> String {
        let header = self.jar.cookies(&Url::parse(&self.stack.url).unwrap());
        let header = header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let mut pairs: Vec<_> = header.split("; ").collect();
        pairs.sort_unstable();
        pairs.join("; ")
    }
}

/// Encodes the fields of a form as a browser does.
fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).unwrap()
}

/// Asserts that a response leads to this address.
fn assert_leads(answer: &Response, status: u16, location: &str) {
    let found = answer.headers().get("location").map(|value| value.to_str().unwrap());
    assert_eq!((answer.status().as_u16(), found), (status, Some(location)), "{answer:?}");
}

/// Asserts that a response is a page with this status, and returns its text.
async fn text_of_page(answer: Response, status: u16) -> String {
    assert_eq!(answer.status().as_u16(), status, "{answer:?}");
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert!(header("content-security-policy").contains("form-action 'self'; base-uri 'none'; frame-ancestors 'none'"));
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("<!doctype html>"), "{text}");
    text
}

fn set_cookies(answer: &Response) -> Vec<String> {
    answer.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

/// Asserts that a response is the 401 of the contract and sets no cookies.
async fn assert_unauthorized(answer: Response) {
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (401, 0), "{answer:?}");
    assert_eq!(answer.text().await.unwrap(), "Not Authorized");
}

/// Asserts that a response is a problem details object with this status and sets no cookies (RFC 9457).
pub(crate) async fn assert_problem(answer: Response, status: u16) {
    assert_eq!((answer.status().as_u16(), set_cookies(&answer).len()), (status, 0), "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem = json_of(answer).await;
    assert_eq!(problem["status"], status);
    for name in ["type", "title", "detail", "request_id"] {
        assert!(problem[name].is_string(), "{name}: {problem}");
    }
}

pub(crate) async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

pub(crate) fn user(person: Person) -> Value {
    serde_json::to_value(person.user().unwrap().profile).unwrap()
}

/// Signs a token for an existing session, at any time and with any secrets.
fn signed(env: &Environment, kind: Kind, user_id: &UserId, session_id: &SessionId, at: Timestamp) -> String {
    let email = if user_id.as_str() == KIM.id { KIM } else { PARK }.user().unwrap().profile.email;
    let subject = Subject { user_id, email: &email, roles: &[], session_id };
    let signer = Signer::from_env(env).unwrap();
    let expires_at = at + Duration::from_hours(7 * 24);
    let generation = Generation { number: 1, kid: &signer.refresh_kid(at), issued_at: at, expires_at };
    let token = match kind {
        Kind::Access => signer.access(&subject, at, expires_at),
        Kind::Refresh => signer.refresh(&subject, &generation),
    };
    token.unwrap().expose().to_owned()
}
