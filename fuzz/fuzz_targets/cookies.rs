//! The `Cookie` header (R81, R82), line by line; a line feed ends a line.
//!
//! Both modes must find what a naive reading finds, and each value must be a piece of what came in. The same lines, as API Gateway
//! sends them in an event, must never be answered with an error, nor hide the cookie of ours that is put among them.
#![no_main]

use fuzz::{NOW, expect_panics_of_the_adapter, status_now};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use shared::claims::Kind;
use shared::clock::Timestamp;
use shared::cookies::Cookies;
use shared::http::{self, Request, reply};

/// Access, refresh and device cookie, with a domain and without.
const NAMES: [[&str; 3]; 2] =
    [["access_jwt", "refresh_jwt", "device"], ["__Host-access_jwt", "__Host-refresh_jwt", "__Host-device"]];
/// What stands for the token that we have set.
const OURS: &str = "ours";

fuzz_target!(init: expect_panics_of_the_adapter(), |input: &[u8]| {
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
    let found = [presented.all(Kind::Access), presented.all(Kind::Refresh), presented.devices()];
    for (name, found) in names.into_iter().zip(found) {
        assert_eq!(found, expected(lines, name), "{name}");
        for value in found {
            assert!(lines.iter().any(|line| line.as_ptr_range().contains(&value.as_ptr())), "{name}");
        }
    }
    let only = |values: &[&[u8]]| (values.len() == 1).then(|| values[0].to_vec());
    assert_eq!(presented.one(Kind::Access).map(<[u8]>::to_vec), only(found[0]));
    assert_eq!(presented.one(Kind::Refresh).map(<[u8]>::to_vec), only(found[1]));
    assert_eq!(presented.is_ambiguous(), found[0].len() > 1 || found[1].len() > 1);
}

/// What stands under a name, byte for byte: each value once, in the order in which they come.
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
    // An event is JSON: it has text, and each cookie is one.
    let mut sent: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    sent.insert(place % (sent.len() + 1), format!("{}={OURS}", names[0]));
    let mut event: Value = serde_json::from_str(include_str!("../../events/userinfo.json")).expect("JSON");
    event["cookies"] = json!(sent);

    let readable = |line: &&String| line.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    let readable: Vec<_> = sent.iter().filter(readable).map(String::as_bytes).collect();
    let expected = names.map(|name| expected(&readable, name));
    assert!(expected[0].contains(&OURS.as_bytes()));
    let answer = |request: Request, _: Timestamp| {
        let presented = cookies.read(request.cookie_lines());
        let found = [presented.all(Kind::Access), presented.all(Kind::Refresh), presented.devices()];
        assert_eq!(found, [&expected[0][..], &expected[1], &expected[2]]);
        Ok(reply::no_content())
    };
    let mut service = http::service(&[], |request| async { answer(request, NOW) });
    assert_eq!(status_now(&mut service, &event), 204);
}
