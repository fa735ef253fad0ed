//! Our cookies: as a jar that is not ours keeps them, and as hostile requests bring them.
//!
//! What is set is given to `cookie_store`, and what that keeps is looked at. What is read comes as the bytes of an
//! event through `http::service`: some of what hides a cookie does so on that way.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::future::ready;
use std::time::Duration;

use cookie_store::{CookieDomain, CookieExpiration, CookieStore, RawCookie};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::claims::{Kind, Subject};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::device::Devices;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, reply};
use shared::id::UserId;
use shared::session::{Opening, Rules, Session};
use shared::tokens::Signer;
use testbed::Event;
use url::Url;

const DAY: Duration = Duration::from_hours(24);

fn config() -> Config {
    Config::from_lookup(testbed::settings(&[("DEVICE_COOKIE", "on")])).unwrap()
}

/// With a `Domain`, and host-only.
fn modes() -> [Cookies; 2] {
    [Cookies::new(Some("localhost".into())), Cookies::new(None)]
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn here() -> Url {
    url("https://localhost:4000/login")
}

/// A session that begins now, of somebody with the longest id there is.
fn session(keep: bool, now: Timestamp) -> Session {
    let (config, id) = (config(), UserId::parse("x".repeat(64)).unwrap());
    let kid = Signer::new(&config).refresh_kid().to_owned();
    let opening = Opening { user_id: &id, epoch: 1, keep, kid: &kid, user_agent: None, source_ip: None };
    Rules::new(&config).begin(opening, now).unwrap()
}

/// What is set for a session.
fn set(cookies: &Cookies, session: &Session, roles: &[String], now: Timestamp) -> Result<Vec<String>> {
    let email = format!("{}@example.com", "e".repeat(242));
    let subject = Subject { user_id: &session.user_id, email: &email, roles, session_id: &session.id };
    cookies.of_session(session, &subject, &Signer::new(&config()), now)
}

/// What a browser has after these lines: `cookie_store`, and the rules for names that begin with `__Host-`, which it
/// does not know (RFC 6265bis §4.1.3).
fn jar<'a>(lines: impl IntoIterator<Item = &'a String>, from: &Url) -> CookieStore {
    let mut jar = CookieStore::default();
    keep(&mut jar, lines, from);
    jar
}

fn keep<'a>(jar: &mut CookieStore, lines: impl IntoIterator<Item = &'a String>, from: &Url) {
    for line in lines {
        let cookie = RawCookie::parse(line.as_str()).unwrap();
        let is_bound = cookie.secure() == Some(true) && cookie.path() == Some("/") && cookie.domain().is_none();
        if is_bound || !cookie.name().to_ascii_lowercase().starts_with("__host-") {
            jar.parse(line, from).ok(); // An error is a cookie that is not kept.
        }
    }
}

/// The names of the cookies that go to an address.
fn sent(jar: &CookieStore, to: &str) -> Vec<String> {
    let mut names: Vec<_> = jar.get_request_values(&url(to)).map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names
}

/// The names of the attributes of a line.
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
        let lines = set(&cookies, &session, &[], now).unwrap();
        let jar = jar(&lines, &here());
        let is_bound = cookies.name(Kind::Access).starts_with("__Host-");
        for (kind, line, lifetime) in [(Kind::Access, &lines[0], DAY), (Kind::Refresh, &lines[1], 7 * DAY)] {
            let kept = jar.iter_any().find(|cookie| cookie.name() == cookies.name(kind)).unwrap();
            assert_eq!((kept.secure(), kept.http_only(), kept.partitioned()), (Some(true), Some(true), None));
            assert_eq!(kept.same_site().unwrap().to_string(), "Strict");
            assert_eq!(kept.path.as_ref(), "/");
            assert_eq!(kept.max_age().unwrap().whole_seconds().unsigned_abs(), lifetime.as_secs());
            let expires = kept.expires_datetime().unwrap().unix_timestamp().unsigned_abs();
            assert_eq!(expires, (now + lifetime).as_secs());
            let domain = "localhost".to_owned();
            let mut names = vec!["Expires", "HttpOnly", "Max-Age", "Path", "SameSite", "Secure"];
            if is_bound {
                assert_eq!(kept.domain, CookieDomain::HostOnly(domain));
            } else {
                assert_eq!(kept.domain, CookieDomain::Suffix(domain));
                names.insert(0, "Domain");
            }
            assert_eq!(attributes(line), names, "and no other");
            assert!(kept.value().split('.').count() == 3 && line.contains(kept.value()), "{line}");
        }
    }
}

/// R79: what a cookie would outlive is the token in it, and what no browser keeps is more than 400 days.
#[test]
fn a_cookie_lives_no_longer_than_what_is_in_it() {
    let began = Timestamp::now();
    let seconds = |line: &str| RawCookie::parse(line.to_owned()).unwrap().max_age().unwrap().whole_seconds();
    for cookies in modes() {
        let session = session(true, began);
        for (left, access, refresh) in [(7 * 86_400, 86_400, 7 * 86_400), (3600, 3600, 3600), (1, 1, 1)] {
            let now = Timestamp::from_secs(session.ends_at().as_secs() - left);
            let lines = set(&cookies, &session, &[], now).unwrap();
            assert_eq!((seconds(&lines[0]), seconds(&lines[1])), (access, refresh), "{left} seconds before the end");
        }
        let longest = (400 * 86_400).to_string();
        let config =
            Config::from_lookup(testbed::settings(&[("DEVICE_COOKIE", "on"), ("DEVICE_TTL", &longest)])).unwrap();
        let devices = Devices::configured(&config).unwrap();
        let device = devices.issue(None, "kimcoding", 1, began).unwrap();
        assert_eq!(seconds(&cookies.set_device(&device, began)), 400 * 86_400);
    }
    let one_more = (400 * 86_400 + 1).to_string();
    assert!(Config::from_lookup(testbed::settings(&[("DEVICE_TTL", &one_more)])).is_err());
}

/// R79: a session that is not kept is gone with the browser.
#[test]
fn a_cookie_that_ends_with_the_browser_says_nothing_of_time() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(false, now), &[], now).unwrap();
        let jar = jar(&lines, &here());
        let kept: Vec<_> = jar.iter_any().map(|cookie| (cookie.name(), &cookie.expires)).collect();
        assert_eq!(kept, [(cookies.name(Kind::Access), &CookieExpiration::SessionEnd)]);
        assert!(!attributes(&lines[0]).iter().any(|name| ["Max-Age", "Expires"].contains(name)), "{}", lines[0]);
    }
}

/// R79: to where they are meant for, and only over TLS.
#[test]
fn a_cookie_goes_where_its_mode_says_and_nowhere_else() {
    let now = Timestamp::now();
    let names = |cookies: &Cookies| [cookies.name(Kind::Access), cookies.name(Kind::Refresh)].map(str::to_owned);
    let nothing: [String; 0] = [];
    let [domain, host_only] = modes();
    for (cookies, host) in [(&domain, "localhost"), (&host_only, "localhost"), (&host_only, "127.0.0.1")] {
        let lines = set(cookies, &session(true, now), &[], now).unwrap();
        let jar = jar(&lines, &url(&format!("https://{host}:4000/login")));
        for path in ["/", "/userinfo", "/a/b?c"] {
            assert_eq!(sent(&jar, &format!("https://{host}:3000{path}")), names(cookies), "{host}{path}");
        }
        assert_eq!(sent(&jar, "https://evil.example/"), nothing);
    }
    let on_an_address = set(&domain, &session(true, now), &[], now).unwrap();
    let on_an_address = jar(&on_an_address, &url("https://127.0.0.1:4000/login"));
    assert_eq!(sent(&on_an_address, "https://127.0.0.1:4000/"), nothing, "`Domain=localhost` is not for 127.0.0.1");

    let (host, below) = ("https://app.example/login", "https://api.app.example/");
    for (cookies, goes_below) in [(Cookies::new(Some("app.example".into())), true), (host_only, false)] {
        let jar = jar(&set(&cookies, &session(true, now), &[], now).unwrap(), &url(host));
        assert_eq!(sent(&jar, host), names(&cookies));
        assert_eq!(sent(&jar, below) == names(&cookies), goes_below);
        assert_eq!(sent(&jar, &host.replace("https", "http")), nothing);
    }
}

/// R80.
#[test]
fn a_jar_is_empty_after_a_logout() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), &[], now).unwrap();
        let cleared = cookies.clear_both();
        for (set, clear) in lines.iter().zip(&cleared) {
            assert_eq!(attributes(set), attributes(clear), "every attribute again");
        }
        let mut full = jar(&lines, &here());
        assert_eq!(full.iter_unexpired().count(), 2);
        keep(&mut full, [&cleared[0]], &here());
        assert_eq!(sent(&full, here().as_str()), [cookies.name(Kind::Refresh)], "one at a time");
        keep(&mut full, &cleared, &here());
        assert_eq!((full.iter_unexpired().count(), sent(&full, here().as_str()).len()), (0, 0));
        let is_bound = cookies.name(Kind::Access).starts_with("__Host-");
        for (written, careless, is_ignored) in
            [("; Path=/", "", true), ("; Secure", "", is_bound), ("; Path=/", "; Path=/; Domain=localhost", is_bound)]
        {
            let mut full = jar(&lines, &here());
            keep(
                &mut full,
                &cleared.clone().map(|line| line.replace(written, careless)),
                &url("https://localhost/a/b"),
            );
            assert_eq!(full.iter_unexpired().count() == 2, is_ignored, "{careless:?} for {written:?} in {cookies:?}");
        }
    }
}

/// R83: as many roles as there can be fit, and with one byte more there is no cookie at all.
#[test]
fn a_cookie_that_a_browser_would_throw_away_is_not_set() {
    let now = Timestamp::now();
    let size = |line: &str| line.split(';').next().unwrap().len() - 1;
    let mut largest = Vec::new();
    for cookies in modes() {
        let session = session(true, now);
        let with_roles = |length: usize| set(&cookies, &session, &["r".repeat(length)], now);
        let most = (0..4096).find(|&length| with_roles(length + 1).is_err()).unwrap();
        let lines = with_roles(most).unwrap();
        let sizes = [size(&lines[0]), size(&lines[1])];
        assert!((4095..=4096).contains(&sizes[0]) && sizes[1] <= 4096, "{sizes:?}");
        largest.push(sizes[0]);
        assert!(sizes.iter().sum::<usize>() <= 6 * 1024, "{sizes:?}");
        assert_eq!(jar(&lines, &here()).iter_unexpired().count(), 2);
        for length in [most + 1, 3500, 10_000] {
            let error = with_roles(length).unwrap_err();
            assert!(matches!(error, Error::Unexpected(_)) && error.causes().contains("too many roles"), "{error:?}");
        }
    }
    // Base64 leaves out one length of four, and the names of the modes are not a multiple of four apart.
    assert!(largest.contains(&4096), "{largest:?}");
}

/// R83: the longest refresh token there can be, beside the largest access cookie.
#[test]
fn both_cookies_together_fit_into_a_request() {
    let now = Timestamp::now();
    for cookies in modes() {
        let renewed = Session { generation: u64::MAX, ..session(true, now) };
        let lines = set(&cookies, &renewed, &[], now).unwrap();
        let refresh = lines[1].split(';').next().unwrap();
        assert!(4096 + refresh.len() <= 6 * 1024, "{}", refresh.len());
    }
}

/// R84: two entries of the response, and not a header, where the comma of a date would make three of them.
#[tokio::test]
async fn two_cookies_are_two_entries_and_no_header() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), &[], now).unwrap();
        for lines in [lines, cookies.clear_both().into()] {
            let answer = |_| async { reply::with_cookies(reply::reset_content(), lines.clone()) };
            let reply = Event::recorded("userinfo").send(&mut http::service(&[], answer)).await;
            assert_eq!((&reply.cookies, reply.header("set-cookie")), (&lines, None));
            assert!(lines.iter().all(|line| line.contains(", ")), "a date has a comma");
        }
    }
}

/// What is found in the cookies of a request.
fn found(cookies: &Cookies, request: &Request) -> Result<Reply> {
    let presented = cookies.read(request.cookie_lines());
    let texts = |values: &[&[u8]]| values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    let [access, refresh, device]: [Vec<String>; 3] =
        [texts(presented.all(Kind::Access)), texts(presented.all(Kind::Refresh)), texts(presented.devices())];
    let is_ambiguous = presented.is_ambiguous();
    reply::json(&json!({ "access": access, "refresh": refresh, "device": device, "is_ambiguous": is_ambiguous }))
}

async fn read(cookies: &Cookies, event: Event) -> Value {
    let reply = event.send(&mut http::service(&[], |request| ready(found(cookies, &request)))).await;
    assert_eq!(reply.status, 200, "{event:?}");
    reply.json()
}

fn with(cookies: &[String]) -> Event {
    Event::recorded("userinfo").cookies(cookies)
}

fn nothing() -> Value {
    json!({ "access": [], "refresh": [], "device": [], "is_ambiguous": false })
}

/// Our three, each with a value of its own.
fn ours(cookies: &Cookies) -> ([String; 3], Value) {
    let [access, refresh] = [Kind::Access, Kind::Refresh].map(|kind| cookies.name(kind));
    let lines = [format!("{access}=A"), format!("{refresh}=R"), format!("{}=D", cookies.device_name())];
    (lines, json!({ "access": ["A"], "refresh": ["R"], "device": ["D"], "is_ambiguous": false }))
}

/// A foreign cookie is never read as ours, and ours are found before, between and after it.
async fn assert_foreign(cookies: &Cookies, foreign: &str) {
    let ([access, refresh, device], all) = ours(cookies);
    let [one, two, three, four] = [foreign; 4].map(str::to_owned);
    assert_eq!(read(cookies, with(std::slice::from_ref(&one))).await, nothing(), "{foreign:?} alone");
    let list = [one, access, two, refresh, three, device, four];
    assert_eq!(read(cookies, with(&list)).await, all, "{foreign:?}");
    if !foreign.chars().any(|char| char.is_ascii_control() && char != '\t') {
        let header = Event::recorded("userinfo-without").header("cookie", &list.join("; "));
        assert_eq!(read(cookies, header).await, all, "{foreign:?} in a header");
        assert_eq!(read(cookies, with(&[list.join(";")])).await, all, "{foreign:?} in one entry");
    }
}

/// R81: byte for byte. What general parsers trim, fold, decode, split or unquote into our names is not ours.
#[tokio::test]
async fn a_name_that_only_resembles_ours_is_not_ours() {
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

/// R81: it is no white space to a browser, so whoever trims it lets anybody set a `__Host-` cookie from anywhere.
#[tokio::test]
async fn white_space_of_unicode_is_part_of_a_name() {
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

/// R82: whatever a foreign cookie is made of. Where one has a control byte, `lambda_http` alone drops them all.
#[tokio::test]
async fn a_foreign_cookie_of_any_bytes_cannot_hide_ours() {
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
        assert_eq!((&broken["access"], &broken["is_ambiguous"]), (&json!(["A"]), &json!(false)), "of our name");
    }
}

/// R82: before, after and around ours.
#[tokio::test]
async fn a_thousand_foreign_cookies_cannot_hide_ours() {
    for cookies in modes() {
        let name = cookies.name(Kind::Access);
        let crowd = |of: usize| {
            let kinds = [
                "a=b".to_owned(),
                "x=\u{1}".into(),
                "\u{e9}=\u{e9}".into(),
                format!("\u{2000}{name}=evil"),
                format!("={name}=evil"),
                String::new(),
            ];
            (0..of).map(move |index| kinds[index % kinds.len()].clone())
        };
        let (three, all) = ours(&cookies);
        for (before, after) in [(1000, 0), (0, 1000), (500, 500)] {
            let list: Vec<_> = crowd(before).chain(three.clone()).chain(crowd(after)).collect();
            assert_eq!(read(&cookies, with(&list)).await, all, "{before} before, {after} after");
        }
        let list: Vec<_> = crowd(1000).collect();
        assert_eq!(read(&cookies, with(&list)).await, nothing(), "alone");
    }
}

/// What foreign cookies are put together from, besides anything: pieces of ours, and what parsers trip over.
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
    /// R81, R82, R101: whatever somebody else may have set.
    #[test]
    fn no_foreign_cookies_at_all_hide_or_forge_ours(
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
            prop_assert_eq!(runtime.block_on(read(&cookies, with(&list))), nothing());
            let (three, all) = ours(&cookies);
            let at = position.min(list.len());
            list.splice(at..at, three);
            prop_assert_eq!(runtime.block_on(read(&cookies, with(&list))), all);
        }
    }
}

/// R81, the contract: a cookie that was tossed from below the domain is never one of a host-only installation.
#[tokio::test]
async fn one_mode_never_reads_the_names_of_the_other() {
    let [domain, host_only] = modes();
    let ((of_domain, found_in_domain), (of_host, found_in_host)) = (ours(&domain), ours(&host_only));
    assert_eq!(read(&domain, with(&of_host)).await, nothing());
    assert_eq!(read(&host_only, with(&of_domain)).await, nothing());
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

/// R81: from the first equals sign to the semicolon, without the spaces and tabs around the pair.
#[tokio::test]
async fn a_value_is_read_as_it_stands() {
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
            assert_eq!((&read["access"], &read["is_ambiguous"]), (&json!([value]), &json!(false)), "{pair:?}");
        }
    }
}

/// R81: which of two is meant is not ours to guess. That they are refused and cleared is for the functions to show.
#[tokio::test]
async fn the_same_pair_twice_is_one_and_two_values_are_ambiguous() {
    for cookies in modes() {
        let names = [cookies.name(Kind::Access), cookies.name(Kind::Refresh)];
        for name in names {
            for (values, different, is_ambiguous) in [
                (&["A", "A"][..], 1, false),
                (&["A", "A", "A"], 1, false),
                (&["A", ""], 1, false),
                (&["", ""], 0, false),
                (&["A", "B"], 2, true),
                (&["A", "\"A\""], 2, true),
                (&["A", "a"], 2, true),
                (&["A", "B", "A"], 2, true),
            ] {
                let list: Vec<_> = values.iter().map(|value| format!("{name}={value}")).collect();
                let in_header = Event::recorded("userinfo-without").header("cookie", &list.join("; "));
                for event in [with(&list), in_header] {
                    let read = read(&cookies, event).await;
                    let of_name = if name == names[0] { &read["access"] } else { &read["refresh"] };
                    assert_eq!(of_name.as_array().unwrap().len(), different, "{list:?}");
                    assert_eq!(read["is_ambiguous"], is_ambiguous, "{list:?}");
                }
            }
        }
        assert_eq!(
            read(&cookies, with(&[format!("{}=A", names[0]), format!("{}=B", names[1])])).await["is_ambiguous"],
            false
        );
    }
}

/// The list is what the gateway made of the header, and so the header only counts where there is no list.
#[tokio::test]
async fn where_there_is_a_list_of_cookies_the_header_is_not_read() {
    for cookies in modes() {
        let ([access, refresh, _], _) = ours(&cookies);
        let both = with(&[access]).header("cookie", &refresh);
        assert_eq!(read(&cookies, both).await["refresh"], json!([]));
        let header = Event::recorded("userinfo-without").header("cookie", &refresh);
        assert_eq!(read(&cookies, header).await["refresh"], json!(["R"]));
    }
}

/// The contract: a client that sends back what it was sent, to the last attribute.
#[tokio::test]
async fn whole_set_cookie_lines_sent_back_are_understood() {
    let now = Timestamp::now();
    for cookies in modes() {
        let lines = set(&cookies, &session(true, now), &[], now).unwrap();
        let [cleared, _] = cookies.clear_both();
        let values = lines.clone().into_iter().map(|line| RawCookie::parse(line).unwrap().value().to_owned());
        let values: Vec<_> = values.collect();
        let header = [&lines[..], &[cleared]].concat().join("; ");
        for event in
            [with(std::slice::from_ref(&header)), Event::recorded("userinfo-without").header("cookie", &header)]
        {
            let read = read(&cookies, event).await;
            assert_eq!((&read["access"], &read["refresh"]), (&json!([values[0]]), &json!([values[1]])));
        }
    }
}
