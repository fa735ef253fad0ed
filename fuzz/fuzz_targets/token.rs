//! Tokens, as they come in a cookie or after `Bearer` (R35 to R49).
//!
//! After a first byte of `A`, `a`, `R` or `r`, the input is a header, a line feed and claims. The target signs them
//! with the current or the previous key of access or refresh tokens, so that the fuzzer gets past the signature. After
//! any other first byte, the input is a token.
//!
//! A token that the target signs must be accepted exactly if a second reading, written from the requirements, accepts
//! it, and its claims must be read unchanged. Any other token is accepted only if the service itself issued it.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fuzz::{NOW, env, member, members, setting};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::id::{SessionId, UserId};
use shared::keys::{Purpose, key_id};
use shared::token::{AccessTtl, Generation, Kind, Signer, Subject, Verifier, refresh_ttl};

/// A time is a whole number of seconds below this limit (R44).
const LIMIT: u64 = 1 << 53;
const LEEWAY: u64 = 5;
const MAX_TOKEN: usize = 4096;

struct Key {
    letter: u8,
    kind: Kind,
    id: String,
    secret: hmac::Key,
}

/// How tokens of one kind are verified.
struct Verification {
    kind: Kind,
    verifier: Verifier,
    lifetime: u64,
}

struct World {
    verifications: [Verification; 2],
    keys: [Key; 4],
    /// Tokens that the service issued.
    issued: Vec<(Kind, String)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let sets =
        [(Purpose::Access, "ACCESS_SECRET", PREVIOUS_ACCESS), (Purpose::Refresh, "REFRESH_SECRET", PREVIOUS_REFRESH)];
    let sets = sets.map(|(purpose, name, previous)| (name, key_set(purpose, &[previous, setting(name)])));
    let current = env(&sets.each_ref().map(|(name, set)| (*name, set.as_str())));
    let previous = env(&[("ACCESS_SECRET", PREVIOUS_ACCESS), ("REFRESH_SECRET", PREVIOUS_REFRESH)]);
    let ([current_access, current_refresh], [previous_access, previous_refresh]) =
        (tokens(&current), tokens(&previous));
    let key = |letter, kind, secret: &str, token: &str| {
        let header: Value = serde_json::from_slice(&decoded(token.split('.').next().expect("a header"))).expect("JSON");
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Key { letter, kind, id: header["kid"].as_str().expect("a kid").to_owned(), secret }
    };
    let keys = [
        key(b'A', Kind::Access, setting("ACCESS_SECRET"), &current_access),
        key(b'R', Kind::Refresh, setting("REFRESH_SECRET"), &current_refresh),
        key(b'a', Kind::Access, PREVIOUS_ACCESS, &previous_access),
        key(b'r', Kind::Refresh, PREVIOUS_REFRESH, &previous_refresh),
    ];
    // An issued access token has a random `jti`. This one has a fixed `jti`, so that it can be a seed.
    let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, keys[0].id);
    let access = signed(header.as_bytes(), ACCESS_CLAIMS.as_bytes(), &keys[0].secret);
    let issued = vec![(Kind::Access, access), (Kind::Refresh, current_refresh), (Kind::Refresh, previous_refresh)];
    let verifications = [
        Verification {
            kind: Kind::Access,
            verifier: Verifier::for_access_tokens(&current).expect("good settings"),
            lifetime: AccessTtl::from_env(&current).expect("good settings").longest().as_secs(),
        },
        Verification {
            kind: Kind::Refresh,
            verifier: Verifier::for_refresh_tokens(&current).expect("good settings"),
            lifetime: refresh_ttl(&current).expect("good settings").as_secs(),
        },
    ];
    World { verifications, keys, issued }
});

const ACCESS_CLAIMS: &str = r#"{"iss":"latchkey","aud":"latchkey","sub":"0","id":"0","email":"kim@example.com","sid":"AAAAAAAAAAAAAAAAAAAAAA","iat":1800000000,"exp":1800086400,"jti":"a"}"#;

/// The keys that signed before the current ones.
const PREVIOUS_ACCESS: &str = "previous-access-secret-for-fuzzing-0";
const PREVIOUS_REFRESH: &str = "previous-refresh-secret-for-fuzzing";

/// Returns a set of keys in the order in which they began to sign.
fn key_set(purpose: Purpose, secrets: &[&str]) -> String {
    let keys = secrets.iter().enumerate().map(|(index, secret)| {
        let kid = key_id(purpose, secret.as_bytes());
        json!({ "kid": kid, "alg": "HS256", "secret": secret, "published_at": 0, "sign_from": index * 1000 })
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

/// Returns an access token and a refresh token of the service.
fn tokens(env: &Environment) -> [String; 2] {
    let signer = Signer::from_env(env).expect("good settings");
    let user_id = UserId::parse("0").expect("an id");
    let session_id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("an id");
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let expires_at = NOW + refresh_ttl(env).expect("good settings");
    let generation = Generation { number: 1, kid: &signer.refresh_kid(NOW), issued_at: NOW, expires_at };
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
            for verification in &world.verifications {
                check_signed(verification, header, claims, key);
            }
        }
        None => {
            for Verification { kind, verifier, .. } in &world.verifications {
                let is_issued = world.issued.iter().any(|(issued, token)| issued == kind && token.as_bytes() == rest);
                assert_eq!(verifier.verify(rest, NOW).is_ok(), is_issued, "as {kind:?}");
            }
        }
    }
});

fn check_signed(verification: &Verification, header: &[u8], claims: &[u8], key: &Key) {
    let Verification { kind, verifier, lifetime } = verification;
    let token = signed(header, claims, &key.secret);
    let verified = verifier.verify(token.as_bytes(), NOW);
    let verified_ignoring_time = verifier.verify_ignoring_time(token.as_bytes());
    // The value of an unknown claim is skipped, so that it may have bytes that are not UTF-8.
    let text = String::from_utf8_lossy(claims);
    let read = members(&text);
    let is_header = token.len() <= MAX_TOKEN && is_header(header, *kind, key);
    let is_ours = is_header && read.as_deref().is_some_and(|claims| are_ours(claims, *kind));
    let is_valid = is_ours && read.as_deref().is_some_and(|claims| are_valid_now(claims, *kind, *lifetime));
    if text.as_bytes() == claims {
        assert_eq!((verified_ignoring_time.is_ok(), verified.is_ok()), (is_ours, is_valid), "as {kind:?}");
    } else {
        assert!(verified_ignoring_time.is_err() || is_ours, "as {kind:?}");
        assert!(verified.is_err() || is_valid, "as {kind:?}");
    }
    if let (Ok(accepted), Some(read)) = (verified_ignoring_time, read) {
        let accepted = serde_json::to_value(accepted).expect("claims");
        for (name, value) in accepted.as_object().expect("claims") {
            assert_eq!(member(&read, name).as_ref(), Some(value), "{name}");
        }
    }
}

/// Returns `true` for a header with exactly the three names of the contract, each once (R35, R39, R40, R41, R42, R47).
fn is_header(header: &[u8], kind: Kind, key: &Key) -> bool {
    let Some(header) = std::str::from_utf8(header).ok().and_then(members) else { return false };
    let text = |name| member(&header, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let typ = text("typ").to_ascii_lowercase();
    let expected = if kind == Kind::Access { "at+jwt" } else { "rt+jwt" };
    header.len() == 3
        && text("alg") == "HS256"
        && text("kid") == key.id
        && key.kind == kind
        && (typ == expected || typ == format!("application/{expected}"))
}

/// Returns `true` for claims that the service may have issued, at any time (R43, R44, R46, R47).
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
        && !text("email").trim().is_empty()
        && json!(text("email")).to_string().len() <= 257
        && URL_SAFE_NO_PAD.decode(&sid).is_ok_and(|bytes| bytes.len() == 16)
        && !text("jti").is_empty()
        && (is_absent("nbf") || time(claims, "nbf").is_some())
        && roles.is_some()
        && is_of_its_kind
        && iat < exp
}

/// Returns `true` for claims of the service that are valid at [`NOW`] (R44, R45).
fn are_valid_now(claims: &[(String, Box<RawValue>)], kind: Kind, lifetime: u64) -> bool {
    let (Some(iat), Some(exp)) = (time(claims, "iat"), time(claims, "exp")) else { return false };
    let start = iat.max(time(claims, "nbf").unwrap_or_default());
    let max_lifetime = if kind == Kind::Access { 86_400 } else { 30 * 86_400 };
    let end = exp.min(iat + lifetime);
    exp - iat <= max_lifetime && start <= NOW.as_secs() + LEEWAY && NOW.as_secs() < end + LEEWAY
}

fn time(claims: &[(String, Box<RawValue>)], name: &str) -> Option<u64> {
    member(claims, name)?.as_u64().filter(|&secs| secs < LIMIT)
}
