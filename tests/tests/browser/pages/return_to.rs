//! The page that a visitor returns to after signing in.

use serde_json::json;

use super::service::Service;
use super::visitor::Visitor;

/// A path of the service, with its query. A wrong password in between does not lose it.
#[tokio::test]
async fn a_visitor_returns_to_the_page_that_asked_for_the_sign_in() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let page = "/password?from=a%20b&to=%EA%B9%80%26#newPassword";
    let sign_in = format!("/login?return_to={}", encoded(page));
    visitor.open(&sign_in).await;
    visitor.submit_sign_in(account.login(), "4321", true).await;
    assert_eq!(visitor.status().await, 401);
    visitor.submit_sign_in(account.login(), account.password, true).await;
    visitor.until_at(page).await;
    visitor.see("#change-password").await;
    visitor.open(&sign_in).await;
    assert_eq!(visitor.place().await, page, "a person who is signed in goes on at once");
    visitor.leave().await;
}

/// The policy of the page must allow the redirect: Chromium applies `form-action` to redirects, too.
#[tokio::test]
async fn a_visitor_returns_to_a_page_of_an_allowed_origin() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let origin = service.friend.same_site();
    let page = format!("{origin}/welcome?from=a%20b");
    let sign_in = format!("/login?return_to={}", encoded(&page));
    service.friend.put("/welcome", "<p id=welcome>Welcome");
    visitor.open(&sign_in).await;
    assert!(visitor.see("main").await.contains(&origin), "the page says where the visitor goes");
    visitor.press("a[hreflang=ko]").await;
    visitor.submit_sign_in(account.login(), "4321", true).await;
    visitor.submit_sign_in(account.login(), account.password, true).await;
    visitor.see("#welcome").await;
    assert_eq!(visitor.place().await, page);
    visitor.open(&sign_in).await;
    visitor.see("#welcome").await;
    assert_eq!(visitor.place().await, page, "a person who is signed in goes on at once");
    visitor.leave().await;
}

/// R89, in Chromium: open redirects. An address that could leave the service is refused before and after the sign-in.
#[tokio::test]
async fn no_other_address_is_returned_to() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let addresses = hostile(&service);
    for address in [&addresses[0], &addresses[1], &addresses[4], &service.stranger.same_site()] {
        visitor.open(&format!("/login?return_to={}", encoded(address))).await;
        is_refused(&visitor, address).await;
    }
    for twice in ["return_to=/password&return_to=/password", "return_to=/password&return_to=/", "return_to&return_to=/"]
    {
        visitor.open(&format!("/login?{twice}")).await;
        is_refused(&visitor, twice).await;
    }
    // A page of ours asks for all of them at once. A redirect would show up as such.
    visitor.devtools("Page.setBypassCSP", &json!({ "enabled": true })).await;
    visitor.open("/login").await;
    let ask = "
        const [queries, method, path, fields] = arguments, headers = { accept: 'text/html' };
        const body = fields && new URLSearchParams(fields);
        const ask = (query) => fetch(path + '?return_to=' + query, { method, headers, body, redirect: 'manual' });
        const answers = queries.map((query) => ask(query).then((answer) => [query, answer.type, answer.status]));
        return Promise.all(answers);";
    let queries: Vec<_> = addresses.iter().map(|address| encoded(address)).collect();
    let refused: Vec<_> = queries.iter().map(|query| json!([query, "basic", 400])).collect();
    let form = json!({ "userId": account.login(), "password": account.password });
    for (method, path, form) in
        [("GET", "/login", json!(null)), ("GET", "/userinfo", json!(null)), ("POST", "/login", form)]
    {
        let answers = visitor.script(ask, vec![json!(queries), json!(method), json!(path), form]).await;
        assert_eq!(answers, json!(refused), "{method} {path}");
    }
    assert_eq!(visitor.cookies().await, [""; 0]);
    visitor.sign_in(&account, true).await;
    for path in ["/login", "/userinfo"] {
        let answers = visitor.script(ask, vec![json!(queries), json!("GET"), json!(path), json!(null)]).await;
        assert_eq!(answers, json!(refused), "GET {path} by a person who is signed in");
    }
    visitor.leave().await;
}

/// Addresses that a browser, or a careless parser, reads as those of another origin, or that are no addresses of a
/// page. `FRIEND` is the host and the port of the allowed origin, `OURS` those of the service, and `EVIL` those of a
/// stranger.
#[rustfmt::skip]
const HOSTILE: &[&str] = &[
    // The scheme is missing, misspelled, or in upper case.
    "EVIL", "//EVIL", "///EVIL", "////EVIL", "/\\EVIL", "\\\\EVIL", "\\/EVIL", "/\\/EVIL", "/\\\\EVIL", "//\\EVIL",
    "https:EVIL", "https:/EVIL", "https://EVIL", "https:///EVIL", "https:\\\\EVIL", "https:/\\EVIL", "HTTPS://EVIL",
    "hTTps:EVIL", "http:EVIL", "http://EVIL", "ftp://EVIL", "://EVIL", ":EVIL", "@EVIL", ".EVIL", "/../\\EVIL",
    // A browser removes these characters.
    "\t//EVIL", "/\t/EVIL", "/\n/EVIL", "/\r/EVIL", "/\r\n/EVIL", "/\0/EVIL", "\0//EVIL", "/\x0b/EVIL", "\x1f//EVIL",
    "/\x7f/EVIL", " //EVIL", "//EVIL ", "\u{a0}//EVIL", "\u{feff}//EVIL", "h\tttps://EVIL", "ht\ntps://EVIL",
    "/userinfo\r\nset-cookie: a=b", "\u{ff0f}\u{ff0f}EVIL", "\u{3002}EVIL",
    // The host is written in another way.
    "//EVIL/..", "//EVIL\\@localhost", "//localhost@EVIL", "//user:pass@EVIL", "//[::1]", "//2130706433",
    "//0x7f000001", "//127.1", "//EVIL#", "//EVIL?",
    // The path becomes a host.
    "/userinfo//EVIL", "/..//EVIL", "/.//EVIL", "/userinfo/..//EVIL",
    // Almost the allowed origin.
    "https://FRIEND.EVIL", "https://FRIENDEVIL", "https://localhost", "https://localhost:1", "https://evil-FRIEND",
    "https://evil.FRIEND", "https://FRIEND@EVIL", "https://FRIEND:pass@EVIL", "https://FRIEND%40EVIL",
    "https://FRIEND\\@EVIL", "https://EVIL\\@FRIEND", "https://EVIL#@FRIEND", "https://EVIL?@FRIEND",
    "https://EVIL/https://FRIEND", "https://FRIEND,https://EVIL", "https://FRIEND\t@EVIL", "https://user@FRIEND",
    "http://FRIEND", "http://OURS/userinfo", "ws://FRIEND",
    // Not an address of a page.
    "javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
    "javascript://EVIL/%0aalert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "blob:https://EVIL",
    "file:///etc/passwd", "about:blank", "mailto:someone@EVIL", "view-source:https://EVIL",
    // Relative to what?
    "userinfo", "./userinfo", "../userinfo", "?return_to=/", "#main",
];

/// Returns the hostile addresses.
fn hostile(service: &Service) -> Vec<String> {
    let host = |origin: &str| origin.strip_prefix("https://").unwrap().to_owned();
    let evil = host(&service.stranger.cross_site());
    let (friend, ours) = (host(&service.friend.same_site()), host(&service.url));
    let filled = |text: &&str| text.replace("EVIL", &evil).replace("FRIEND", &friend).replace("OURS", &ours);
    let more = [
        service.stranger.same_site(),
        service.friend.cross_site(),
        service.friend.same_site().replace("localhost", "localhost."),
        "/".repeat(2001),
        format!("/{}", "a".repeat(2000)),
    ];
    HOSTILE.iter().map(filled).chain(more).collect()
}

/// Addresses that look hostile, but that a browser resolves on our own origin.
const HARMLESS: [&str; 22] = [
    "/userinfo?next=https://EVIL",
    "/userinfo?next=//EVIL",
    "/userinfo#//EVIL",
    "/login",
    "/",
    "/userinfo?return_to=%2Fpassword",
    "/userinfo?return_to=%2F%2FEVIL",
    "/%2f%2fEVIL",
    "/%2fEVIL",
    "/%5cEVIL",
    "/%09/EVIL",
    "/%0d%0aset-cookie:a=b",
    "/%252f%252fEVIL",
    "/@EVIL",
    "/:EVIL",
    "/;@EVIL",
    "/.EVIL",
    "/%2e%2e/%2fEVIL",
    "/../EVIL",
    "/javascript:alert(1)",
    "/\u{ff0f}EVIL",
    "/김코딩",
];

#[tokio::test]
async fn an_address_that_is_accepted_stays_on_our_origin() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    let evil = service.stranger.cross_site().replace("https://", "");
    for address in HARMLESS {
        let query = encoded(&address.replace("EVIL", &evil));
        visitor.open(&format!("/userinfo?return_to={query}")).await;
        let place = visitor.place().await;
        assert!(place.starts_with('/'), "{address:?} leads to {place}");
        assert!(!place.contains(&query), "{address:?} is refused");
    }
    assert_eq!(visitor.cookies().await, ["access_jwt", "refresh_jwt"], "no address sets a cookie");
    visitor.leave().await;
}

/// Asserts that the page says 400 and leads to the sign-in page.
async fn is_refused(visitor: &Visitor, address: &str) {
    assert!(visitor.place().await.starts_with('/'), "{address:?} leads to {}", visitor.place().await);
    assert_eq!(visitor.status().await, 400, "{address:?}");
    assert_eq!(visitor.count("main a[href='/login']").await, 1, "{address:?}");
}

/// Encodes every byte.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}
