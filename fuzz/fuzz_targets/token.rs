//! Tokens, as they come in a cookie or after `Bearer` (R35 to R49).
//!
//! The first byte says which: after `A`, `a`, `R` or `r` follow a header, a line feed and claims, which are signed with the current
//! or the previous key of access or refresh tokens, so that the fuzzer gets past the signature; after anything else follows a
//! token as it is.
//!
//! What is signed must be accepted exactly where a second reading, written from the requirements, accepts it, and be read as what
//! it says. What is not signed must be a token that we have made.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fuzz::{NOW, config, member, members};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::claims::{Kind, Subject};
use shared::config::Config;
use shared::id::{SessionId, UserId};
use shared::session::Generation;
use shared::tokens::{Signer, Verifier};

/// A claim is a whole number of seconds below this (R44).
const LIMIT: u64 = 1 << 53;
const LEEWAY: u64 = 5;
const LONGEST: usize = 4096;

struct Key {
    letter: u8,
    kind: Kind,
    id: String,
    secret: hmac::Key,
}

struct World {
    verifier: Verifier,
    keys: [Key; 4],
    /// Every token that was made, of either kind.
    made: Vec<(Kind, String)>,
    ttl: [u64; 2],
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let now = config(&[]);
    let [access, refresh] =
        [&now.previous_access_secret, &now.previous_refresh_secret].map(|secret| secret.clone().expect("it is set"));
    let (ttl, verifier) = ([now.access_ttl.as_secs(), now.refresh_ttl.as_secs()], Verifier::new(&now));
    let before = Config {
        access_secret: access,
        refresh_secret: refresh,
        previous_access_secret: None,
        previous_refresh_secret: None,
        ..config(&[])
    };
    let ([current_access, current_refresh], [previous_access, previous_refresh]) = (tokens(&now), tokens(&before));
    let key = |letter, kind, config: &Config, token: &str| {
        let secret = if kind == Kind::Access { &config.access_secret } else { &config.refresh_secret };
        let header: Value = serde_json::from_slice(&decoded(token.split('.').next().expect("a header"))).expect("JSON");
        let secret_key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        Key { letter, kind, id: header["kid"].as_str().expect("a name").to_owned(), secret: secret_key }
    };
    let keys = [
        key(b'A', Kind::Access, &now, &current_access),
        key(b'R', Kind::Refresh, &now, &current_refresh),
        key(b'a', Kind::Access, &before, &previous_access),
        key(b'r', Kind::Refresh, &before, &previous_refresh),
    ];
    // An access token is named at random: the one of the seeds is signed here.
    let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, keys[0].id);
    let access = signed(header.as_bytes(), ACCESS_CLAIMS.as_bytes(), &keys[0].secret);
    let made = vec![(Kind::Access, access), (Kind::Refresh, current_refresh), (Kind::Refresh, previous_refresh)];
    World { verifier, keys, made, ttl }
});

const ACCESS_CLAIMS: &str = r#"{"iss":"latchkey","aud":"latchkey","sub":"0","id":"0","email":"kim@example.com","sid":"AAAAAAAAAAAAAAAAAAAAAA","iat":1800000000,"exp":1800086400,"jti":"a"}"#;

/// One of each kind, as the service makes them.
fn tokens(config: &Config) -> [String; 2] {
    let signer = Signer::new(config);
    let user_id = UserId::parse("0").expect("an id");
    let session_id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("an id");
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let expires_at = NOW + config.refresh_ttl;
    let generation = Generation { number: 1, kid: signer.refresh_kid(), issued_at: NOW, expires_at };
    let access = signer.access(&subject, NOW, expires_at).expect("a token");
    let refresh = signer.refresh(&subject, &generation).expect("a token");
    [access, refresh].map(|token| token.expose().to_owned())
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

fn signed(header: &[u8], claims: &[u8], key: &hmac::Key) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, message.as_bytes()));
    format!("{message}.{signature}")
}

fuzz_target!(|input: &[u8]| {
    let world = &*WORLD;
    let Some((letter, rest)) = input.split_first() else { return };
    match world.keys.iter().find(|key| key.letter == *letter) {
        Some(key) => {
            let mut parts = rest.splitn(2, |&byte| byte == b'\n');
            let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            for kind in [Kind::Access, Kind::Refresh] {
                check_signed(world, kind, header, claims, key);
            }
        }
        None => {
            for kind in [Kind::Access, Kind::Refresh] {
                let is_made = world.made.iter().any(|(made, token)| *made == kind && token.as_bytes() == rest);
                assert_eq!(world.verifier.verify(kind, rest, NOW).is_ok(), is_made, "as {kind:?}");
            }
        }
    }
});

fn check_signed(world: &World, kind: Kind, header: &[u8], claims: &[u8], key: &Key) {
    let token = signed(header, claims, &key.secret);
    let verified = world.verifier.verify(kind, token.as_bytes(), NOW);
    let authentic = world.verifier.authentic(kind, token.as_bytes());
    // What is passed over is not looked at: bytes that are no text may stand there.
    let text = String::from_utf8_lossy(claims);
    let read = members(&text);
    let is_header = token.len() <= LONGEST && is_header(header, kind, key);
    let is_authentic = is_header && read.as_deref().is_some_and(|claims| are_ours(claims, kind));
    let is_good = is_authentic && read.as_deref().is_some_and(|claims| are_good_now(claims, world.ttl[kind as usize]));
    if text.as_bytes() == claims {
        assert_eq!((authentic.is_ok(), verified.is_ok()), (is_authentic, is_good), "as {kind:?}");
    } else {
        assert!(authentic.is_err() || is_authentic, "as {kind:?}");
        assert!(verified.is_err() || is_good, "as {kind:?}");
    }
    if let (Ok(accepted), Some(read)) = (authentic, read) {
        let accepted = serde_json::to_value(accepted).expect("claims");
        for (name, value) in accepted.as_object().expect("claims") {
            assert_eq!(member(&read, name).as_ref(), Some(value), "{name}");
        }
    }
}

/// R35, R39, R40, R41, R42, R47: these three names, once, and no others.
fn is_header(header: &[u8], kind: Kind, key: &Key) -> bool {
    let Some(header) = std::str::from_utf8(header).ok().and_then(members) else { return false };
    let text = |name| member(&header, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let typ = text("typ").to_ascii_lowercase();
    let short = if kind == Kind::Access { "at+jwt" } else { "rt+jwt" };
    header.len() == 3
        && text("alg") == "HS256"
        && text("kid") == key.id
        && key.kind == kind
        && (typ == short || typ == format!("application/{short}"))
}

/// R43, R44, R46, R47.
fn are_ours(claims: &[(String, Box<RawValue>)], kind: Kind) -> bool {
    let names: HashSet<_> = claims.iter().map(|(name, _)| name).collect();
    let text = |name| member(claims, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let is_absent = |name| claims.iter().all(|(key, _)| key != name);
    let is_id = |id: &str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let sid = text("sid");
    let roles = match claims.iter().find(|(name, _)| name == "roles") {
        Some((_, roles)) => serde_json::from_str::<Vec<String>>(roles.get()).ok(),
        None => Some(vec![]),
    };
    let is_of_its_kind = match kind {
        Kind::Access => is_absent("gen"),
        Kind::Refresh => {
            let number = member(claims, "gen").and_then(|number| number.as_u64());
            number.is_some_and(|number| text("jti") == format!("{sid}.{number}"))
                && roles.as_ref().is_some_and(Vec::is_empty)
        }
    };
    let (Some(iat), Some(exp)) = (time(claims, "iat"), time(claims, "exp")) else { return false };
    names.len() == claims.len()
        && (text("iss"), text("aud")) == ("latchkey".to_owned(), "latchkey".to_owned())
        && is_id(&text("sub"))
        && text("id") == text("sub")
        && !text("email").is_empty()
        && URL_SAFE_NO_PAD.decode(&sid).is_ok_and(|bytes| bytes.len() == 16)
        && !text("jti").is_empty()
        && (is_absent("nbf") || time(claims, "nbf").is_some())
        && roles.is_some()
        && is_of_its_kind
        && iat < exp
}

/// R44, R45.
fn are_good_now(claims: &[(String, Box<RawValue>)], ttl: u64) -> bool {
    let (Some(iat), Some(exp)) = (time(claims, "iat"), time(claims, "exp")) else { return false };
    let begins = iat.max(time(claims, "nbf").unwrap_or_default());
    exp - iat <= ttl && begins <= NOW.as_secs() + LEEWAY && NOW.as_secs() < exp + LEEWAY
}

fn time(claims: &[(String, Box<RawValue>)], name: &str) -> Option<u64> {
    member(claims, name)?.as_u64().filter(|&secs| secs < LIMIT)
}
