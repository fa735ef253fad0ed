//! The `Cookie` header (R81, R82). A line feed in the input ends a line.
//!
//! Both modes must find what a simple reader finds, and each value must be a part of the input. The same lines are sent
//! in an event, as API Gateway does it, with one of our cookies among them. That must never be an error, and our cookie
//! must be found.
#![no_main]

use std::future::ready;

use fuzz::{ignore_panics_of_the_adapter, status_now};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use shared::http::{self, Request, Site, reply};
use shared::token::{Cookies, PresentedCookies};

/// The names of the access, refresh and device cookies, with a domain and without.
const NAMES: [[&str; 3]; 2] =
    [["access_jwt", "refresh_jwt", "device"], ["__Host-access_jwt", "__Host-refresh_jwt", "__Host-device"]];
/// The value of the cookie that is put among the lines.
const OURS: &str = "ours";

fuzz_target!(init: ignore_panics_of_the_adapter(), |input: &[u8]| {
    let Some((place, rest)) = input.split_first() else { return };
    let lines: Vec<_> = rest.split(|&byte| byte == b'\n').collect();
    for (mode, names) in modes().iter().zip(NAMES) {
        check_reader(mode, names, &lines);
        check_event(mode, names, &lines, usize::from(*place));
    }
});

fn modes() -> [Cookies; 2] {
    [Cookies::new(Some("localhost".into())), Cookies::new(None)]
}

fn check_reader(cookies: &Cookies, names: [&str; 3], lines: &[&[u8]]) {
    let presented = cookies.read(lines.iter().copied());
    assert_found(&presented, &names.map(|name| expected(lines, name)));
    let tokens = [presented.access_token(), presented.refresh_token()].into_iter().flatten();
    for value in tokens.chain(presented.devices().iter().copied()) {
        assert!(lines.iter().any(|line| line.as_ptr_range().contains(&value.as_ptr())), "{value:?}");
    }
}

/// Asserts that exactly the expected values are found under our three names. A token cookie with two values counts as
/// none.
fn assert_found(presented: &PresentedCookies<'_>, expected: &[Vec<&[u8]>; 3]) {
    let [access, refresh, devices] = expected;
    let only = |values: &[&[u8]]| if let [value] = values { Some(value.to_vec()) } else { None };
    assert_eq!(presented.access_token().map(<[u8]>::to_vec), only(access));
    assert_eq!(presented.refresh_token().map(<[u8]>::to_vec), only(refresh));
    assert_eq!(presented.devices(), devices);
    assert_eq!(presented.is_ambiguous(), access.len() > 1 || refresh.len() > 1);
}

/// Returns the different values under a name, in their order.
fn expected<'a>(lines: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    let mut values = vec![];
    for line in lines {
        for mut pair in line.split(|&byte| byte == b';') {
            while let [b' ' | b'\t', rest @ ..] = pair {
                pair = rest;
            }
            while let [rest @ .., b' ' | b'\t'] = pair {
                pair = rest;
            }
            let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else {
                continue;
            };
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
    }
    values
}

fn check_event(cookies: &Cookies, names: [&str; 3], lines: &[&[u8]], place: usize) {
    // An event is JSON, so that each cookie is text.
    let mut sent: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    sent.insert(place % (sent.len() + 1), format!("{}={OURS}", names[0]));
    let mut event: Value = serde_json::from_str(include_str!("../../events/userinfo.json")).expect("JSON");
    event["cookies"] = json!(sent);

    let readable = |line: &&String| line.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    let readable: Vec<_> = sent.iter().filter(readable).map(String::as_bytes).collect();
    let expected = names.map(|name| expected(&readable, name));
    assert!(expected[0].contains(&OURS.as_bytes()));
    let answer = |request: Request| {
        assert_found(&cookies.read(request.cookie_lines()), &expected);
        ready(Ok(reply::no_content()))
    };
    let mut service = http::service(Site::default(), answer);
    assert_eq!(status_now(&mut service, &event), 204);
}
