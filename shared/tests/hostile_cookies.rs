//! Our cookies: how a browser stores them, and how hostile requests are read.
//!
//! The jar of `cookie_store` gets the lines that we set, and the tests look at what it stores. Requests are events that
//! go through `http::service`, because the adapter of `lambda_http` can hide a cookie, too.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::future::ready;
use std::time::Duration;

use cookie_store::{CookieDomain, CookieExpiration, CookieStore, RawCookie};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::auth::Identity;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, Site, reply};
use shared::id::UserId;
use shared::session::{Lifetimes, NewSession, Session, Source};
use shared::store::{Profile, User};
use shared::throttle::Devices;
use shared::token::{Cookies, Kind, Signer, Verifier};
use testbed::Event;
use url::Url;

const DAY: Duration = Duration::from_hours(24);

fn env() -> Environment {
    Environment::new(testbed::settings(&[("DEVICE_COOKIE", "on")]))
}

/// Returns both modes: with a `Domain`, and host-only.
fn modes() -> [Cookies; 2] {
    [Cookies::new(Some("localhost".into())), Cookies::new(None)]
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn login_url() -> Url {
    url("https://localhost:4000/login")
}

/// Returns a new session of a user with the longest possible id.
fn session(persistent: bool, now: Timestamp) -> Session {
    let (env, user_id) = (env(), UserId::parse("x".repeat(64)).unwrap());
    let kid = Signer::from_env(&env).unwrap().refresh_kid(now);
    let new = NewSession { user_id: &user_id, epoch: 1, persistent, kid: &kid, source: Source::default() };
    Lifetimes::from_env(&env).unwrap().open(new, now).unwrap()
}

/// Returns the `Set-Cookie` lines of a session.
fn set(cookies: &Cookies, session: &Session, now: Timestamp) -> Result<Vec<String>> {
    set_by(&env(), &format!("{}@example.com", "e".repeat(242)), cookies, session, &[], now)
}

/// Returns the `Set-Cookie` lines of a session of a user with this e-mail address and these roles.
fn set_by(
    env: &Environment,
    email: &str,
    cookies: &Cookies,
    session: &Session,
    roles: &[String],
    now: Timestamp,
) -> Result<Vec<String>> {
    let profile = Profile {
        id: session.user_id.clone(),
        user_id: String::new(),
        email: email.to_owned(),
        name: String::new(),
        position: String::new(),
        location: String::new(),
        bio: String::new(),
        roles: roles.to_vec(),
    };
    let identity = Identity { user: User::new(profile), session: session.clone() };
    identity.session_cookies(cookies, &Signer::from_env(env).unwrap(), now)
}

/// Returns the jar of a browser that got these lines. `cookie_store` does not know the rules for names with the prefix
/// `__Host-` (RFC 6265bis §4.1.3), so that [`store`] checks them.
fn jar<'a>(lines: impl IntoIterator<Item = &'a String>, from: &Url) -> CookieStore {
    let mut jar = CookieStore::default();
    store(&mut jar, lines, from);
    jar
}

fn store<'a>(jar: &mut CookieStore, lines: impl IntoIterator<Item = &'a String>, from: &Url) {
    for line in lines {
        let cookie = RawCookie::parse(line.as_str()).unwrap();
        let is_bound = cookie.secure() == Some(true) && cookie.path() == Some("/") && cookie.domain().is_none();
        if is_bound || !cookie.name().to_ascii_lowercase().starts_with("__host-") {
            jar.parse(line, from).ok(); // A browser ignores a cookie that is not valid.
        }
    }
}

/// Returns the names of the cookies that the browser sends to a URL.
fn sent(jar: &CookieStore, to: &str) -> Vec<String> {
    let mut names: Vec<_> = jar.get_request_values(&url(to)).map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names
}

/// Returns the names of the attributes of a line.
fn attributes(line: &str) -> Vec<&str> {
    let mut names: Vec<_> = line.split("; ").skip(1).map(|part| part.split('=').next().unwrap()).collect();
    names.sort_unstable();
    names
}

/// R79.
#[test]
fn a_cookie_has_exactly_the_attributes_of_the_contract() {
    let now = Timestamp::now();
    for cookies in modes() {
        let session = session(true, now);
        let lines = set(&cookies, &session, now).unwrap();
        let jar = jar(&lines, &login_url());
        let is_bound = cookies.name(Kind::Access).starts_with("__Host-");
        for (kind, line, lifetime) in [(Kind::Access, &lines[0], DAY), (Kind::Refresh, &lines[1], 7 * DAY)] {
            let stored = jar.iter_any().find(|cookie| cookie.name() == cookies.name(kind)).unwrap();
            assert_eq!((stored.secure(), stored.http_only(), stored.partitioned()), (Some(true), Some(true), None));
            assert_eq!(stored.same_site().unwrap().to_string(), "Strict");
            assert_eq!(stored.path.as_ref(), "/");
            assert_eq!(stored.max_age().unwrap().whole_seconds().unsigned_abs(), lifetime.as_secs());
            let expires = stored.expires_datetime().unwrap().unix_timestamp().unsigned_abs();
            assert_eq!(expires, (now + lifetime).as_secs());
            let domain = "localhost".to_owned();
            let mut names = vec!["Expires", "HttpOnly", "Max-Age", "Path", "SameSite", "Secure"];
            if is_bound {
                assert_eq!(stored.domain, CookieDomain::HostOnly(domain));
            } else {
                assert_eq!(stored.domain, CookieDomain::Suffix(domain));
                names.insert(0, "Domain");
            }
            assert_eq!(attributes(line), names);
            assert!(stored.value().split('.').count() == 3 && line.contains(stored.value()), "{line}");
        }
    }
}

/// R79. A device cookie lives for 180 days. Browsers store no cookie for more than 400 days.
#[test]
fn a_cookie_expires_with_its_content() {
    let started = Timestamp::now();
    let seconds = |line: &str| RawCookie::parse(line.to_owned()).unwrap().max_age().unwrap().whole_seconds();
    let devices = Devices::from_env(&env()).unwrap().unwrap();
    let device = devices.issue(None, "kimcoding", 1, started).unwrap();
    for cookies in modes() {
        let session = session(true, started);
        for (left, access, refresh) in [(7 * 86_400, 86_400, 7 * 86_400), (3600, 3600, 3600), (1, 1, 1)] {
            let now = Timestamp::from_secs(session.ends_at().as_secs() - left);
            let lines = set(&cookies, &session, now).unwrap();
            assert_eq!((seconds(&lines[0]), seconds(&lines[1])), (access, refresh), "{left} seconds before the end");
        }
        for age in [0, 1, 180 * 86_400 - 1] {
            let line = cookies.set_device(&device.value, device.expires_at, started + Duration::from_secs(age));
            assert_eq!(seconds(&line), i64::try_from(180 * 86_400 - age).unwrap(), "{age} seconds after the login");
        }
    }
}

/// R79: a browser deletes such a cookie when it is closed.
#[test]
fn a_cookie_of_a_session_that_is_not_persistent_has_no_expiry() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(false, now), now).unwrap();
        let jar = jar(&lines, &login_url());
        let stored: Vec<_> = jar.iter_any().map(|cookie| (cookie.name(), &cookie.expires)).collect();
        assert_eq!(stored, [(cookies.name(Kind::Access), &CookieExpiration::SessionEnd)]);
        assert!(!attributes(&lines[0]).iter().any(|name| ["Max-Age", "Expires"].contains(name)), "{}", lines[0]);
    }
}

/// R79.
#[test]
fn a_cookie_is_sent_only_to_its_own_hosts_and_only_over_tls() {
    let now = Timestamp::now();
    let names = |cookies: &Cookies| [cookies.name(Kind::Access), cookies.name(Kind::Refresh)].map(str::to_owned);
    let no_names: [String; 0] = [];
    let [domain, host_only] = modes();
    for (cookies, host) in [(&domain, "localhost"), (&host_only, "localhost"), (&host_only, "127.0.0.1")] {
        let lines = set(cookies, &session(true, now), now).unwrap();
        let jar = jar(&lines, &url(&format!("https://{host}:4000/login")));
        for path in ["/", "/userinfo", "/a/b?c"] {
            assert_eq!(sent(&jar, &format!("https://{host}:3000{path}")), names(cookies), "{host}{path}");
        }
        assert_eq!(sent(&jar, "https://evil.example/"), no_names);
    }
    let at_address = set(&domain, &session(true, now), now).unwrap();
    let at_address = jar(&at_address, &url("https://127.0.0.1:4000/login"));
    assert_eq!(sent(&at_address, "https://127.0.0.1:4000/"), no_names, "`Domain=localhost` does not match 127.0.0.1");

    let (host, subdomain) = ("https://app.example/login", "https://api.app.example/");
    for (cookies, includes_subdomains) in [(Cookies::new(Some("app.example".into())), true), (host_only, false)] {
        let jar = jar(&set(&cookies, &session(true, now), now).unwrap(), &url(host));
        assert_eq!(sent(&jar, host), names(&cookies));
        assert_eq!(sent(&jar, subdomain) == names(&cookies), includes_subdomains);
        assert_eq!(sent(&jar, &host.replace("https", "http")), no_names);
    }
}

/// R80: a logout clears each cookie with the attributes that it was set with. With other attributes a browser may
/// ignore it.
#[test]
fn a_logout_empties_the_cookie_jar() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), now).unwrap();
        let cleared = cookies.clear_both();
        for (set, clear) in lines.iter().zip(&cleared) {
            assert_eq!(attributes(set), attributes(clear), "cleared with other attributes");
        }
        let mut full = jar(&lines, &login_url());
        assert_eq!(full.iter_unexpired().count(), 2);
        store(&mut full, [&cleared[0]], &login_url());
        assert_eq!(sent(&full, login_url().as_str()), [cookies.name(Kind::Refresh)], "the other cookie stays");
        store(&mut full, &cleared, &login_url());
        assert_eq!((full.iter_unexpired().count(), sent(&full, login_url().as_str()).len()), (0, 0));
        let is_bound = cookies.name(Kind::Access).starts_with("__Host-");
        for (attribute, replacement, is_ignored) in
            [("; Path=/", "", true), ("; Secure", "", is_bound), ("; Path=/", "; Path=/; Domain=localhost", is_bound)]
        {
            let mut full = jar(&lines, &login_url());
            let cleared: Vec<_> = cleared.iter().map(|line| line.replace(attribute, replacement)).collect();
            store(&mut full, &cleared, &url("https://localhost/a/b"));
            assert_eq!(
                full.iter_unexpired().count() == 2,
                is_ignored,
                "{replacement:?} for {attribute:?} in {cookies:?}"
            );
        }
    }
}

/// R83: a browser ignores a larger cookie. One more byte in a claim is an error. No stored user has so long an e-mail
/// address: the store rejects it.
#[test]
fn a_cookie_over_4096_bytes_is_not_set() {
    let now = Timestamp::now();
    let size = |line: &str| line.split(';').next().unwrap().len() - 1;
    let mut largest = Vec::new();
    for cookies in modes() {
        let session = session(true, now);
        let with_email = |length: usize| set_by(&env(), &"e".repeat(length), &cookies, &session, &[], now);
        let most = (0..4096).find(|&length| with_email(length + 1).is_err()).unwrap();
        let lines = with_email(most).unwrap();
        let sizes = [size(&lines[0]), size(&lines[1])];
        let size = sizes[0].max(sizes[1]);
        assert!((4095..=4096).contains(&size), "{sizes:?}");
        largest.push(size);
        assert_eq!(jar(&lines, &login_url()).iter_unexpired().count(), 2);
        for length in [most + 1, 3500, 10_000] {
            let error = with_email(length).unwrap_err();
            assert!(matches!(error, Error::Unexpected(_)) && error.causes().contains("larger than 4096"), "{error:?}");
        }
    }
    // Base64 has no text of a length of 4 n + 1, so that a mode may miss 4096 bytes by one. The lengths of the two
    // names do not differ by a multiple of four, so that the other mode reaches them.
    assert!(largest.contains(&4096), "{largest:?}");
}

/// R83: the longest claims that the settings and the store accept.
#[test]
fn both_token_cookies_fit_into_one_request() {
    let now = Timestamp::now();
    let (long, quotes) = ("i".repeat(255), "\"".repeat(127));
    for text in [&long, &quotes] {
        let env = Environment::new(testbed::settings(&[("ISSUER", text), ("AUDIENCE", text)]));
        for cookies in modes() {
            let renewed = Session { generation: u64::MAX, ..session(true, now) };
            let with_roles = |role| set_by(&env, text, &cookies, &renewed, &[role], now).unwrap();
            for roles in ["r".repeat(1020), "\"".repeat(510), "r".repeat(100_000)] {
                let lines = with_roles(roles);
                let sizes = [0, 1].map(|line: usize| lines[line].split(';').next().unwrap().len());
                assert!(sizes.iter().all(|size| *size <= 4096) && sizes.iter().sum::<usize>() <= 6 * 1024, "{sizes:?}");
            }
        }
    }
}

/// R84: as one joined header, the lines would be split at the commas of their dates.
#[tokio::test]
async fn each_cookie_is_an_entry_of_its_own_in_the_response() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), now).unwrap();
        for lines in [lines, cookies.clear_both()] {
            let answer = |_| async { reply::with_cookies(reply::reset_content(), lines.clone()) };
            let reply = Event::recorded("userinfo").send(&mut http::service(Site::default(), answer)).await;
            assert_eq!((&reply.cookies, reply.header("set-cookie")), (&lines, None));
            assert!(lines.iter().all(|line| line.contains(", ")), "each line has a comma in its date");
        }
    }
}

/// Returns what is found in the cookies of a request.
fn found(cookies: &Cookies, request: &Request) -> http::Result<Reply> {
    let presented = cookies.read(request.cookie_lines());
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    reply::json(&json!({
        "access": presented.access_token().map(text),
        "refresh": presented.refresh_token().map(text),
        "devices": presented.devices().iter().map(|value| text(value)).collect::<Vec<_>>(),
        "is_ambiguous": presented.is_ambiguous(),
    }))
}

async fn read(cookies: &Cookies, event: Event) -> Value {
    let mut service = http::service(Site::default(), |request| ready(found(cookies, &request)));
    let reply = event.send(&mut service).await;
    assert_eq!(reply.status, 200, "{event:?}");
    reply.json()
}

fn with(cookies: &[String]) -> Event {
    Event::recorded("userinfo").cookies(cookies)
}

fn none_found() -> Value {
    json!({ "access": null, "refresh": null, "devices": [], "is_ambiguous": false })
}

/// Returns our three cookies, each with its own value, and what is found in them.
fn ours(cookies: &Cookies) -> ([String; 3], Value) {
    let [access, refresh] = [Kind::Access, Kind::Refresh].map(|kind| cookies.name(kind));
    let lines = [format!("{access}=A"), format!("{refresh}=R"), format!("{}=D", cookies.device_name())];
    (lines, json!({ "access": "A", "refresh": "R", "devices": ["D"], "is_ambiguous": false }))
}

/// Asserts that a foreign cookie is not read as ours, and that ours are found before, between and after it.
async fn assert_foreign(cookies: &Cookies, foreign: &str) {
    let ([access, refresh, device], all) = ours(cookies);
    let [one, two, three, four] = [foreign; 4].map(str::to_owned);
    assert_eq!(read(cookies, with(std::slice::from_ref(&one))).await, none_found(), "{foreign:?} alone");
    let list = [one, access, two, refresh, three, device, four];
    assert_eq!(read(cookies, with(&list)).await, all, "{foreign:?}");
    if !foreign.chars().any(|char| char.is_ascii_control() && char != '\t') {
        let header = Event::recorded("userinfo-without").header("cookie", &list.join("; "));
        assert_eq!(read(cookies, header).await, all, "{foreign:?} in a header");
        assert_eq!(read(cookies, with(&[list.join(";")])).await, all, "{foreign:?} in one entry");
    }
}

/// R81: names are compared byte by byte. A general parser trims, decodes, splits or unquotes some of these into our
/// names.
#[tokio::test]
async fn a_similar_cookie_name_is_ignored() {
    for cookies in modes() {
        for name in [cookies.name(Kind::Access), cookies.name(Kind::Refresh), cookies.device_name()] {
            let encoded = name.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
            let (first, rest) = (encoded[..3].to_owned(), &name[1..]);
            let (front, last) = name.split_at(name.len() - 1);
            let percent = if name.contains('_') { name.replace('_', "%5F") } else { encoded.clone() };
            for foreign in [
                format!("$Version=1, {name}=evil"),
                format!("$Version=\"1\", {name}=\"evil\", $Path=\"/\""),
                format!("$Version={name}=evil"),
                format!("={name}=evil"),
                format!("=={name}=evil"),
                format!("= {name}=evil"),
                format!("{}=evil", name.to_uppercase()),
                format!("{front}{}=evil", last.to_uppercase()),
                format!("{percent}=evil"),
                format!("{encoded}=evil"),
                format!("{first}{rest}=evil"),
                format!("{front}\u{442}=evil"),
                name.to_owned(),
                format!("{name}:evil"),
                format!("{name}\u{ff1d}evil"),
                format!("{name} =evil"),
                format!("{name}\t=evil"),
                format!("\"{name}\"=evil"),
                format!("'{name}'=evil"),
                format!("\"{name}=evil\""),
                format!("x{name}=evil"),
                format!("{name}x=evil"),
                format!("{name}.0=evil"),
                format!("{name}[]=evil"),
                format!("__Secure-{name}=evil"),
                format!("__Host-{name}=evil"),
                format!("x={name}=evil"),
                format!("x=1, {name}=evil"),
                format!("x=1&{name}=evil"),
                format!("x=1\u{ff1b}{name}=evil"),
                format!("+{name}=evil"),
                format!("cookie: {name}=evil"),
            ] {
                assert_foreign(&cookies, &foreign).await;
            }
        }
    }
}

/// R81: browsers do not treat it as white space. A server that trims it accepts a `__Host-` cookie that another host
/// has set.
#[tokio::test]
async fn unicode_white_space_is_part_of_a_cookie_name() {
    let spaces = (0..=0x3000).filter_map(char::from_u32).filter(|char| char.is_whitespace() && !" \t".contains(*char));
    let invisible = ['\u{180e}', '\u{200b}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{ad}', '\0', '\u{1c}', '\u{1f}'];
    let spaces: Vec<_> = spaces.chain(invisible).collect();
    for named in ['\u{85}', '\u{a0}', '\u{2000}', '\u{2028}', '\u{3000}', '\u{b}', '\u{c}', '\r', '\n'] {
        assert!(spaces.contains(&named), "{named:?}");
    }
    for cookies in modes() {
        let name = cookies.name(Kind::Access);
        for space in &spaces {
            for foreign in [
                format!("{space}{name}=evil"),
                format!(" {space}{name}=evil"),
                format!("{space} {name}=evil"),
                format!("{name}{space}=evil"),
                format!("{space}{name}{space}=evil"),
            ] {
                assert_foreign(&cookies, &foreign).await;
            }
        }
    }
}

/// R82: if one cookie has a control byte, `lambda_http` alone drops all cookies.
#[tokio::test]
async fn a_foreign_cookie_with_any_character_does_not_hide_ours() {
    for cookies in modes() {
        let ascii = ('\0'..='\u{7f}').filter(|char| *char != ';');
        for char in ascii.chain("\u{80}\u{85}\u{a0}\u{e9}\u{ff}\u{2000}\u{10ffff}".chars()) {
            assert_foreign(&cookies, &format!("x={char}")).await;
            assert_foreign(&cookies, &format!("{char}x=1")).await;
        }
        for foreign in [
            "", " ", "\t", "=", "==", "=x", "x", "x=", ";", ";;", "x;", "\"", "x=\"", "\"=x", "x=\\", ",", "HttpOnly",
            "Path=/",
        ] {
            assert_foreign(&cookies, foreign).await;
        }
        assert_foreign(&cookies, &format!("x={}", "y".repeat(10_000))).await;
        let name = cookies.name(Kind::Access);
        let ([access, ..], _) = ours(&cookies);
        let broken = read(&cookies, with(&[format!("{name}=evil\u{1}"), access])).await;
        assert_eq!((&broken["access"], &broken["is_ambiguous"]), (&json!("A"), &json!(false)), "a cookie of our name");
    }
}

/// R82.
#[tokio::test]
async fn a_thousand_foreign_cookies_do_not_hide_ours() {
    for cookies in modes() {
        let name = cookies.name(Kind::Access);
        let crowd = |count: usize| {
            let kinds = [
                "a=b".to_owned(),
                "x=\u{1}".into(),
                "\u{e9}=\u{e9}".into(),
                format!("\u{2000}{name}=evil"),
                format!("={name}=evil"),
                String::new(),
            ];
            (0..count).map(move |index| kinds[index % kinds.len()].clone())
        };
        let (three, all) = ours(&cookies);
        for (before, after) in [(1000, 0), (0, 1000), (500, 500)] {
            let list: Vec<_> = crowd(before).chain(three.clone()).chain(crowd(after)).collect();
            assert_eq!(read(&cookies, with(&list)).await, all, "{before} before, {after} after");
        }
        let list: Vec<_> = crowd(1000).collect();
        assert_eq!(read(&cookies, with(&list)).await, none_found(), "alone");
    }
}

/// Pieces of random foreign cookies: parts of our names, and characters that confuse parsers.
const PIECES: [&str; 20] = [
    "__Host-",
    "access_jwt",
    "refresh_jwt",
    "device",
    "evil",
    "=",
    " ",
    "\t",
    ",",
    "\"",
    "$Version=1",
    "%5F",
    "\0",
    "\u{1}",
    "\r\n",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2000}",
    "\u{e9}",
];

fn foreign_cookie() -> impl Strategy<Value = String> {
    let known = prop::sample::select(&PIECES[..]).prop_map(str::to_owned);
    let piece = prop_oneof![8 => known, 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat().replace(';', ":"))
}

proptest! {
    /// R81, R82, R101.
    #[test]
    fn random_foreign_cookies_neither_hide_nor_forge_ours(
        foreign in prop::collection::vec(foreign_cookie(), 0..8),
        position in 0..8_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for cookies in modes() {
            let names = [cookies.name(Kind::Access), cookies.name(Kind::Refresh), cookies.device_name()];
            let is_ours = |pair: &str| {
                let name = pair.split('=').next().unwrap().trim_start_matches([' ', '\t']);
                names.contains(&name)
            };
            let mut list: Vec<_> = foreign.iter().filter(|pair| !is_ours(pair)).cloned().collect();
            prop_assert_eq!(runtime.block_on(read(&cookies, with(&list))), none_found());
            let (three, all) = ours(&cookies);
            let at = position.min(list.len());
            list.splice(at..at, three);
            prop_assert_eq!(runtime.block_on(read(&cookies, with(&list))), all);
        }
    }
}

/// R81, the contract: a subdomain can set cookies for its parent domain. A host-only installation never reads them.
#[tokio::test]
async fn cookies_of_the_other_mode_are_ignored() {
    let [domain, host_only] = modes();
    let ((of_domain, found_in_domain), (of_host, found_in_host)) = (ours(&domain), ours(&host_only));
    assert_eq!(read(&domain, with(&of_host)).await, none_found());
    assert_eq!(read(&host_only, with(&of_domain)).await, none_found());
    let evil = |names: &[String; 3]| names.clone().map(|line| line.replace('=', "=evil"));
    let (in_domain, in_host) =
        ([of_domain.clone(), evil(&of_host)].concat(), [evil(&of_domain), of_host.clone()].concat());
    assert_eq!(read(&domain, with(&in_domain)).await, found_in_domain);
    assert_eq!(read(&host_only, with(&in_host)).await, found_in_host);
    for (cookies, foreign) in [(&domain, of_host), (&host_only, of_domain)] {
        for pair in foreign {
            assert_foreign(cookies, &pair).await;
        }
    }
}

/// R81: a value reaches from the first equals sign to the semicolon. Only spaces and tabs around the pair are trimmed.
#[tokio::test]
async fn a_cookie_value_is_read_unchanged() {
    for cookies in modes() {
        let name = cookies.name(Kind::Access);
        for (pair, value) in [
            ("=A", "A"),
            ("=A \t", "A"),
            ("= A", " A"),
            ("=\u{2000}A\u{a0}", "\u{2000}A\u{a0}"),
            ("=\"A\"", "\"A\""),
            ("=%41", "%41"),
            ("=A=B=", "A=B="),
            ("=A,B", "A,B"),
            ("=\u{e9}", "\u{e9}"),
            ("=A+B", "A+B"),
        ] {
            let cookie = format!(" \t{name}{pair}");
            let read = read(&cookies, with(&[cookie])).await;
            assert_eq!((&read["access"], &read["is_ambiguous"]), (&json!(value), &json!(false)), "{pair:?}");
        }
    }
}

/// R81: a token cookie with two values counts as none. The functions have tests that such a request is rejected and
/// that the cookies are cleared.
#[tokio::test]
async fn a_repeated_value_counts_once_and_two_values_are_ambiguous() {
    for cookies in modes() {
        let names = [cookies.name(Kind::Access), cookies.name(Kind::Refresh)];
        for name in names {
            for (values, value, is_ambiguous) in [
                (&["A", "A"][..], Some("A"), false),
                (&["A", "A", "A"], Some("A"), false),
                (&["A", ""], Some("A"), false),
                (&["", ""], None, false),
                (&["A", "B"], None, true),
                (&["A", "\"A\""], None, true),
                (&["A", "a"], None, true),
                (&["A", "B", "A"], None, true),
            ] {
                let list: Vec<_> = values.iter().map(|value| format!("{name}={value}")).collect();
                let in_header = Event::recorded("userinfo-without").header("cookie", &list.join("; "));
                for event in [with(&list), in_header] {
                    let read = read(&cookies, event).await;
                    let found = if name == names[0] { &read["access"] } else { &read["refresh"] };
                    assert_eq!((found, &read["is_ambiguous"]), (&json!(value), &json!(is_ambiguous)), "{list:?}");
                }
            }
        }
        let one_of_each = read(&cookies, with(&[format!("{}=A", names[0]), format!("{}=B", names[1])])).await;
        assert_eq!(one_of_each["is_ambiguous"], false);
    }
}

/// R81: a login and a logout end the sessions of all tokens that the browser sent.
#[test]
fn the_claims_of_all_tokens_are_read_from_ambiguous_cookies() {
    let now = Timestamp::now();
    let access = Verifier::for_access_tokens(&env()).unwrap();
    let refresh = Verifier::for_refresh_tokens(&env()).unwrap();
    for cookies in modes() {
        let sessions = [(); 3].map(|()| session(true, now));
        let pairs = sessions.each_ref().map(|session| {
            let lines = set(&cookies, session, now).unwrap();
            lines.iter().map(|line| line.split(';').next().unwrap().to_owned()).collect::<Vec<_>>()
        });
        let line = [pairs.concat(), pairs.concat()].concat().join("; ");
        let presented = cookies.read([line.as_bytes()]);
        assert_eq!((presented.access_token(), presented.refresh_token()), (None, None));
        let ids = sessions.each_ref().map(|session| session.id.clone());
        let found = presented.claims_by_session(&access, &refresh).into_iter().map(|claims| claims.sid);
        assert_eq!(found.collect::<Vec<_>>(), ids, "each session once");
    }
}

/// API Gateway makes the list in an event from the header, so that the header counts only in an event without a list.
#[tokio::test]
async fn the_cookie_header_is_ignored_if_the_event_has_a_readable_list() {
    for cookies in modes() {
        let ([access, refresh, _], _) = ours(&cookies);
        let both = with(&[access]).header("cookie", &refresh);
        assert_eq!(read(&cookies, both).await["refresh"], Value::Null);
        for without in [
            Event::recorded("userinfo-without"),
            Event::recorded("userinfo").cookies::<String>([]),
            Event::recorded("userinfo").cookies(["x=\u{1}"]),
        ] {
            let header = without.header("cookie", &refresh);
            assert_eq!(read(&cookies, header.clone()).await["refresh"], json!("R"), "{header:?}");
        }
    }
}

/// The contract: some clients send whole `Set-Cookie` lines back, with all attributes.
#[tokio::test]
async fn set_cookie_lines_that_are_sent_back_are_understood() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), now).unwrap();
        let cleared = cookies.clear(Kind::Access);
        let values = lines.clone().into_iter().map(|line| RawCookie::parse(line).unwrap().value().to_owned());
        let values: Vec<_> = values.collect();
        let header = [&lines[..], &[cleared]].concat().join("; ");
        for event in
            [with(std::slice::from_ref(&header)), Event::recorded("userinfo-without").header("cookie", &header)]
        {
            let read = read(&cookies, event).await;
            assert_eq!((&read["access"], &read["refresh"]), (&json!(values[0]), &json!(values[1])));
        }
    }
}
