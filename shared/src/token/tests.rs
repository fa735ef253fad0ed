use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;
use crate::error::Error;
use crate::id::{SessionId, UserId};
use crate::keys::{Algorithm, Purpose, key_id};

const ACCESS_SECRET: &str = "access-secret-0123456789-0123456789";
const REFRESH_SECRET: &str = "refresh-secret-0123456789-012345678";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn env(changes: &[(&str, &str)]) -> Environment {
    let secrets = [("ACCESS_SECRET", ACCESS_SECRET), ("REFRESH_SECRET", REFRESH_SECRET)];
    Environment::new(testbed::settings(&[changes, &secrets].concat()))
}

fn signer() -> Signer {
    Signer::from_env(&env(&[])).unwrap()
}

fn user() -> UserId {
    UserId::parse("0").unwrap()
}

fn session() -> SessionId {
    SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap()
}

fn access_token() -> String {
    let (user_id, session_id) = (user(), session());
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let token = signer().access(&subject, NOW, NOW + Duration::from_hours(24)).unwrap();
    token.expose().to_owned()
}

fn refresh_token() -> String {
    let (user_id, session_id) = (user(), session());
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let (signer, expires_at) = (signer(), NOW + Duration::from_hours(7 * 24));
    let generation = Generation { number: 1, kid: &signer.refresh_kid(NOW), issued_at: NOW, expires_at };
    signer.refresh(&subject, &generation).unwrap().expose().to_owned()
}

fn part(token: &str, index: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
}

#[test]
fn the_verifier_accepts_what_the_signer_signs() {
    let claims = Verifier::for_access_tokens(&env(&[])).unwrap().verify(access_token().as_bytes(), NOW).unwrap();
    assert_eq!((claims.sub, claims.sid, claims.iat), (user(), session(), NOW));
    let claims = Verifier::for_refresh_tokens(&env(&[])).unwrap().verify(refresh_token().as_bytes(), NOW).unwrap();
    assert_eq!((claims.generation, claims.jti.as_str()), (Some(1), "AAAAAAAAAAAAAAAAAAAAAA.1"));
}

/// R56: a key that is still in the set verifies until it retires. The ids in its tokens can be read even then, for a
/// logout and for the detection of reuse.
#[test]
fn a_token_of_a_retired_key_is_rejected() {
    let retires = "1800000100";
    let retiring = |name, secret: &str| {
        let set = testbed::key_set(name, &[secret, &format!("another-{secret}")], &[]);
        set.replacen(r#""sign_from":0"#, &format!(r#""sign_from":0,"retire_at":{retires}"#), 1)
    };
    let sets = [("ACCESS_SECRET", ACCESS_SECRET), ("REFRESH_SECRET", REFRESH_SECRET)];
    let sets = sets.map(|(name, secret)| (name, retiring(name, secret)));
    let env = Environment::new(testbed::settings(&sets.each_ref().map(|(name, set)| (*name, set.as_str()))));
    for (verifier, token) in [
        (Verifier::for_access_tokens(&env).unwrap(), access_token()),
        (Verifier::for_refresh_tokens(&env).unwrap(), refresh_token()),
    ] {
        let verify = |seconds| verifier.verify(token.as_bytes(), NOW + Duration::from_secs(seconds));
        assert_eq!(verify(99).unwrap().sid, session());
        assert!(matches!(verify(100), Err(Error::NotAuthorized)));
        assert_eq!(verifier.verify_ignoring_time(token.as_bytes()).unwrap().sid, session());
    }
}

/// R54.
#[test]
fn a_token_has_exactly_the_claims_of_the_contract() {
    let names = |token: &str, index| {
        let value: serde_json::Map<String, Value> = serde_json::from_slice(&part(token, index)).unwrap();
        value.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()
    };
    let listed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let common = ["iss", "aud", "sub", "id", "email", "sid", "iat", "exp", "jti"];
    assert_eq!(names(&access_token(), 0), listed(&["alg", "kid", "typ"]));
    assert_eq!(names(&access_token(), 1), listed(&common));
    assert_eq!(names(&refresh_token(), 1), listed(&[&common[..], &["gen"]].concat()));
}

#[test]
fn signing_a_generation_again_gives_the_same_refresh_token() {
    assert_eq!(refresh_token(), refresh_token());
    assert_ne!(access_token(), access_token(), "each access token has its own jti");
}

#[test]
fn a_token_names_the_key_that_signed_it() {
    let kid = |token: &str| serde_json::from_slice::<Value>(&part(token, 0)).unwrap()["kid"].clone();
    assert_eq!(kid(&access_token()), key_id(Purpose::Access, ACCESS_SECRET.as_bytes()));
    assert_eq!(kid(&refresh_token()), key_id(Purpose::Refresh, REFRESH_SECRET.as_bytes()));
    assert_eq!(signer().refresh_kid(NOW), key_id(Purpose::Refresh, REFRESH_SECRET.as_bytes()));
}

#[test]
fn an_access_token_never_outlives_its_session() {
    let (user_id, session_id) = (user(), session());
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let end = NOW + Duration::from_mins(1);
    assert_eq!(signer().access(&subject, NOW, end).unwrap().expires_at, end);
}

/// R97.
#[test]
fn a_token_is_never_printed() {
    let (subject_id, session_id) = (user(), session());
    let subject = Subject { user_id: &subject_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let token = signer().access(&subject, NOW, NOW + Duration::from_mins(1)).unwrap();
    assert!(format!("{token:?}").contains("Access") && !format!("{token:?}").contains(token.expose()));
}

/// R56.
#[test]
fn tokens_of_all_keys_are_valid_and_the_last_key_signs() {
    let (old, next) = (ACCESS_SECRET, "next-access-secret-9876543210-98765");
    let set =
        |signing: &[&str], next: &[&str]| env(&[("ACCESS_SECRET", &testbed::key_set("ACCESS_SECRET", signing, next))]);
    let sets = [set(&[old], &[next]), set(&[old, next], &[]), set(&[next], &[])];
    let (user_id, session_id) = (user(), session());
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let token = |env: &Environment| Signer::from_env(env).unwrap().access(&subject, NOW, NOW + DAY).unwrap();
    let tokens = sets.each_ref().map(token);
    let accepts = |env: &Environment| {
        let verifier = Verifier::for_access_tokens(env).unwrap();
        tokens.each_ref().map(|token| verifier.verify(token.expose().as_bytes(), NOW).is_ok())
    };
    assert_eq!(sets.each_ref().map(accepts), [[true, true, true], [true, true, true], [false, true, true]]);
}

fn rejected<T>(outcome: Result<T>) -> &'static str {
    match outcome.err() {
        Some(crate::error::Error::Setting { name, .. }) => name,
        _ => panic!("the setting was accepted"),
    }
}

#[test]
fn the_default_lifetimes_are_those_of_the_contract() {
    let access_ttl = AccessTtl::from_env(&env(&[])).unwrap();
    assert_eq!(access_ttl.of(Algorithm::Hs256).as_secs(), 86_400);
    assert_eq!(access_ttl.of(Algorithm::EdDsa).as_secs(), 900, "other services do not see a logout");
    assert_eq!(access_ttl.longest().as_secs(), 86_400);
    assert_eq!(refresh_ttl(&env(&[])).unwrap().as_secs(), 604_800);
}

#[test]
fn a_lifetime_that_is_set_is_the_same_for_both_algorithms() {
    let access_ttl = AccessTtl::from_env(&env(&[("ACCESS_TTL", "3600")])).unwrap();
    let lifetimes = [access_ttl.of(Algorithm::Hs256), access_ttl.of(Algorithm::EdDsa), access_ttl.longest()];
    assert_eq!(lifetimes.map(|lifetime| lifetime.as_secs()), [3600; 3]);
}

#[test]
fn a_lifetime_out_of_bounds_stops_the_start() {
    for value in ["299", "86401", "1 day", "-300"] {
        assert_eq!(rejected(AccessTtl::from_env(&env(&[("ACCESS_TTL", value)]))), "ACCESS_TTL", "{value}");
    }
    for value in ["86399", "2592001", "7 days"] {
        assert_eq!(rejected(refresh_ttl(&env(&[("REFRESH_TTL", value)]))), "REFRESH_TTL", "{value}");
    }
    assert!(refresh_ttl(&env(&[("ACCESS_TTL", "300"), ("REFRESH_TTL", "300")])).is_ok());
}

#[test]
fn a_blank_or_long_issuer_or_audience_stops_the_start() {
    let (long, escaped) = ("x".repeat(256), "\"".repeat(128));
    assert!(Signer::from_env(&env(&[("ISSUER", &long[1..]), ("AUDIENCE", &escaped[1..])])).is_ok());
    let values = [" ", "\t", &long, &"x".repeat(3000), &escaped];
    for (name, value) in ["ISSUER", "AUDIENCE"].into_iter().flat_map(|name| values.map(|value| (name, value))) {
        assert_eq!(rejected(Verifier::for_access_tokens(&env(&[(name, value)]))), name);
        assert_eq!(rejected(Signer::from_env(&env(&[(name, value)]))), name);
    }
}

#[test]
fn one_secret_for_both_kinds_of_token_stops_the_start() {
    let same = "the-same-one-0123456789-0123456789";
    let next = testbed::key_set("REFRESH_SECRET", &[REFRESH_SECRET], &[same]);
    for refresh in [same, &next] {
        assert_eq!(
            rejected(Signer::from_env(&env(&[("ACCESS_SECRET", same), ("REFRESH_SECRET", refresh)]))),
            "REFRESH_SECRET"
        );
    }
}
