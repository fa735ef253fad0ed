//! What a browser sends for a page: a form, `return_to`, `Accept`, `Accept-Language` and the cookie of the language.
//!
//! The first byte of the input selects what the rest is:
//! - A form of `POST /login`, through the real function. DynamoDB cannot be reached. A form that is valid by a second
//!   reading gets 503. Every other form gets 400 or 413.
//! - The parameter `return_to`. Every accepted address leads to our own origin or to an allowed one, as the parser of
//!   browsers reads it. Every plain path is accepted.
//! - Headers, one in each line. Only a client that names `text/html` gets a page, and a language that nobody names is
//!   never chosen.
//! - A login name. A page shows it as text, so that it has no markup more.
#![no_main]

use std::future::ready;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use fuzz::{NOW, env, ignore_panics_of_the_adapter, status, status_now, unreachable_client};
use libfuzzer_sys::fuzz_target;
use login::Login;
use serde_json::{Value, json};
use shared::http::{self, Request, Site, reply};
use shared::page::SignIn;
use shared::password::Password;
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// The largest accepted body in bytes.
const MAX_BODY: usize = 8 * 1024;

/// The longest accepted address in bytes.
const MAX_ADDRESS: usize = 2000;

/// The only allowed origin of the settings.
const ALLOWED: &str = "https://localhost:3000";

struct World {
    login: Login,
    site: Site,
    form: Value,
    page: Value,
    runtime: Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let env = env(&[]);
    World {
        login: Login::from_env(unreachable_client(&env), &env).expect("good settings"),
        site: Site::from_env(&env).expect("good settings"),
        form: serde_json::from_str(include_str!("../../events/login-form.json")).expect("JSON"),
        page: serde_json::from_str(include_str!("../../events/login-page.json")).expect("JSON"),
        runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
    }
});

fuzz_target!(init: ignore_panics_of_the_adapter(), |input: &[u8]| {
    let Some((&variant, rest)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(rest).into_owned();
    match variant % 4 {
        0 => check_form(rest, variant & 4 != 0),
        1 => check_return_to(&text),
        2 => check_headers(&text),
        _ => check_login_name(&text),
    }
});

/// Sends a form. API Gateway encodes a form as base64, and the local stack of SAM does not.
fn check_form(body: &[u8], is_text: bool) {
    let world = &*WORLD;
    let mut event = world.form.clone();
    let sent = if is_text {
        let text = String::from_utf8_lossy(body).into_owned();
        event["body"] = json!(text);
        event["isBase64Encoded"] = json!(false);
        text.into_bytes()
    } else {
        event["body"] = json!(fuzz::base64(body));
        body.to_vec()
    };
    let expected = match fields(&sent) {
        _ if sent.len() > MAX_BODY => 413,
        Some(fields) if is_sign_in(&fields) => 503,
        _ => 400,
    };
    let deadline = SystemTime::now() + Duration::from_mins(1);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1000);
    let mut service = http::service(world.site.clone(), |request| world.login.handle(request, NOW));
    assert_eq!(world.runtime.block_on(status(&mut service, &event, deadline)), expected);
}

/// Returns `true` for the fields of the sign-in form, each once (R5, R30).
fn is_sign_in(fields: &[(String, String)]) -> bool {
    let values = |name: &str| fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect::<Vec<_>>();
    let keep = values("checkedKeepLogin");
    let passwords = values("password");
    values("userId").len() == 1
        && passwords.len() == 1
        && passwords[0].len() <= Password::MAX_BYTES
        && keep.len() <= 1
        && keep.iter().all(|keep| ["true", "on", "false"].contains(&keep.as_str()))
        && fields.len() == 2 + keep.len()
}

/// Returns the fields of a form as the URL Standard reads them, or `None` if one of them is not UTF-8.
fn fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let pairs = body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        Some((decoded(&pair[..end])?, decoded(pair.get(end + 1..).unwrap_or_default())?))
    });
    pairs.collect()
}

fn decoded(text: &[u8]) -> Option<String> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn check_return_to(address: &str) {
    let ours = Url::parse("https://auth.example.com/login").expect("a URL");
    let encoded: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
    let mut event = WORLD.page.clone();
    event["rawQueryString"] = json!(format!("return_to={encoded}"));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut parts = address.split('/');
    let is_path = parts.next() == Some("") && parts.all(|part| !part.is_empty() && is_plain(part));
    let answer = |request: Request| {
        let found = request.return_to();
        assert!(found.is_ok() || !(is_path && address.len() <= MAX_ADDRESS && address.len() > 1), "{address}");
        if let Ok(found) = found {
            let found = found.expect("the request has the parameter");
            assert!(found.address().bytes().all(|byte| byte.is_ascii_graphic()), "{address}");
            let target = ours.join(found.address()).expect("an accepted address is a URL").origin();
            match found.origin() {
                None => assert_eq!(target, ours.origin(), "{address}"),
                Some(origin) => assert_eq!((origin, target.ascii_serialization().as_str()), (ALLOWED, ALLOWED)),
            }
            // It stays the same on the way from one page to the next one.
            let next = ours.join(&found.after("/login")).expect("a URL");
            let pairs: Vec<_> = next.query_pairs().collect();
            assert_eq!((next.path(), pairs.len()), ("/login", 1));
            assert_eq!((&*pairs[0].0, &*pairs[0].1), ("return_to", found.address()));
        }
        ready(Ok(reply::no_content()))
    };
    assert_eq!(status_now(&mut http::service(WORLD.site.clone(), answer), &event), 204);
}

fn check_headers(text: &str) {
    // The gateway refuses a header with a control character.
    let text: String = text.chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    let mut lines = text.split('\n');
    let [accept, language, cookie] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let mut event = WORLD.page.clone();
    event["headers"]["accept"] = json!(accept);
    event["headers"]["accept-language"] = json!(language);
    event["cookies"] = json!([cookie]);
    let names = |text: &str, name: &str| text.to_ascii_lowercase().contains(name);
    let answer = |request: Request| {
        let Some(page) = request.page() else { return ready(Ok(reply::no_content())) };
        assert!(names(accept, "text/html"), "{accept}");
        let page = page.sign_in(&SignIn::default()).expect("a page").text;
        let is_korean = page.contains("<html lang=\"ko\"");
        assert!(is_korean || page.contains("<html lang=\"en\""));
        assert!(!is_korean || names(language, "ko") || names(cookie, "__host-lang=ko"), "{language} {cookie}");
        ready(Ok(reply::no_content()))
    };
    assert_eq!(status_now(&mut http::service(WORLD.site.clone(), answer), &event), 204);
}

fn check_login_name(name: &str) {
    let answer = |request: Request| {
        let page = request.page().expect("a person");
        let with = |user_id| page.sign_in(&SignIn { user_id, ..SignIn::default() }).expect("a page").text;
        let (empty, shown) = (with(""), with(name));
        for mark in ['<', '>', '"', '\''] {
            assert_eq!(shown.matches(mark).count(), empty.matches(mark).count(), "{name}");
        }
        ready(Ok(reply::no_content()))
    };
    assert_eq!(status_now(&mut http::service(WORLD.site.clone(), answer), &WORLD.page), 204);
}
