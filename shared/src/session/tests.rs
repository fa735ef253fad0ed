use serde_json::json;

use super::renewal::{Reuse, Rules, Standing};
use super::*;
use crate::token::{Claims, Signer, Subject, Verifier};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 86_400;
const SECRET: &str = "access-secret-0123456789-0123456789";
/// The private key of RFC 8037 §A.1.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn env() -> Environment {
    Environment::new(testbed::settings(&[]))
}

fn rules() -> Rules {
    Rules::from_env(&env()).unwrap()
}

fn new_session(user_id: &UserId, persistent: bool) -> NewSession<'_> {
    NewSession { user_id, epoch: 1, persistent, kid: "k", source: Source::default() }
}

fn opened(persistent: bool) -> Session {
    let kid = Signer::from_env(&env()).unwrap().refresh_kid(NOW);
    let user_id = UserId::parse("0").unwrap();
    let new = NewSession { kid: &kid, ..new_session(&user_id, persistent) };
    Lifetimes::from_env(&env()).unwrap().open(new, NOW).unwrap()
}

fn renewed(session: &Session, now: Timestamp) -> Session {
    rules().renewed(session, &session.kid, &Source::default(), now)
}

/// The claims of the current refresh token of a session.
fn token(session: &Session) -> Claims {
    let subject = Subject { user_id: &session.user_id, email: "kim@example.com", roles: &[], session_id: &session.id };
    let token = Signer::from_env(&env()).unwrap().refresh(&subject, &session.current_generation().unwrap()).unwrap();
    Verifier::for_refresh_tokens(&env()).unwrap().verify_ignoring_time(token.expose().as_bytes()).unwrap()
}

#[test]
fn a_persistent_session_lives_7_days_without_renewal_and_at_most_30() {
    let session = opened(true);
    assert_eq!((session.idle_exp, session.abs_exp), (after(7 * DAY), after(30 * DAY)));
    let current = session.current_generation().unwrap();
    assert_eq!((current.number, current.issued_at, current.expires_at), (1, NOW, after(7 * DAY)));
}

#[test]
fn a_session_that_is_not_persistent_ends_after_a_day_and_never_renews() {
    let session = opened(false);
    assert_eq!(session.ends_at(), after(DAY));
    assert_eq!(session.current_generation(), None);
    assert_eq!(rules().standing(&token(&opened(true)), &session, NOW), Standing::Unknown);
}

/// R56: after a move to `EdDSA`, tokens and sessions that are not persistent live for 15 minutes. Those from before the
/// move keep their day.
#[test]
fn a_move_to_eddsa_shortens_only_what_begins_after_it() {
    let old = json!({ "kid": "old", "alg": "HS256", "secret": SECRET, "published_at": 0, "sign_from": 0 });
    let new = json!({ "kid": "new", "alg": "EdDSA", "secret": SEED, "published_at": 0, "sign_from": after(60) });
    let env = Environment::new(testbed::settings(&[("ACCESS_SECRET", &json!({ "keys": [old, new] }).to_string())]));
    let (signer, verifier) = (Signer::from_env(&env).unwrap(), Verifier::for_access_tokens(&env).unwrap());
    let user_id = UserId::parse("0").unwrap();
    for (opened_at, lifetime) in [(NOW, DAY), (after(59), DAY), (after(60), 900), (after(61), 900)] {
        let session = Lifetimes::from_env(&env).unwrap().open(new_session(&user_id, false), opened_at).unwrap();
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session.id };
        let token = signer.access(&subject, opened_at, session.ends_at()).unwrap();
        let end = opened_at + Duration::from_secs(lifetime);
        assert_eq!((session.ends_at(), token.expires_at), (end, end));
        let verify = |now| verifier.verify(token.expose().as_bytes(), now);
        assert!(verify(opened_at + Duration::from_secs(lifetime - 1)).is_ok());
        assert!(verify(end + Duration::from_mins(1)).is_err(), "beyond the leeway for clocks");
    }
}

/// R44: the current settings limit how long a token is valid, by the algorithm of its key.
#[test]
fn a_token_from_before_a_shorter_lifetime_expires_with_it() {
    let env = |alg: &str, secret: &str, ttl: &str| {
        let key = json!({ "kid": "k", "alg": alg, "secret": secret, "published_at": 0, "sign_from": 0 });
        let keys = json!({ "keys": [key] }).to_string();
        Environment::new(testbed::settings(&[("ACCESS_SECRET", &keys), ("ACCESS_TTL", ttl)]))
    };
    let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::random().unwrap());
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    for (alg, secret, lifetime) in [("HS256", SECRET, DAY), ("EdDSA", SEED, 900)] {
        let token = Signer::from_env(&env(alg, secret, "86400")).unwrap().access(&subject, NOW, after(DAY)).unwrap();
        assert_eq!(token.expires_at, after(DAY));
        let verifier = Verifier::for_access_tokens(&env(alg, secret, "")).unwrap();
        assert!(verifier.verify(token.expose().as_bytes(), after(lifetime - 1)).is_ok(), "{alg}");
        assert!(verifier.verify(token.expose().as_bytes(), after(lifetime + 60)).is_err(), "{alg}");
    }
}

#[test]
fn a_user_agent_is_truncated_between_two_characters() {
    let user_id = UserId::parse("0").unwrap();
    let source = Source { user_agent: Some("é".repeat(400)), ip: None };
    let new = NewSession { source, ..new_session(&user_id, true) };
    let session = Lifetimes::from_env(&env()).unwrap().open(new, NOW).unwrap();
    assert_eq!(session.user_agent.unwrap(), "é".repeat(256));
}

/// R70, R71, R72, R76.
#[test]
fn a_session_is_active_until_it_expires_or_is_ended_or_the_epoch_changes() {
    let session = opened(true);
    assert!(session.is_active(1, NOW) && session.is_active(1, after(7 * DAY - 1)));
    assert!(!session.is_active(1, after(7 * DAY)));
    assert!(!session.is_active(2, NOW));
    assert!(!Session { ended_at: Some(NOW), ..session }.is_active(1, NOW));
}

/// The hashes in the record tell only whether a value is the same.
#[test]
fn a_request_from_another_address_or_browser_differs_from_the_renewal() {
    let source = |ip: &str, agent: &str| Source { ip: Some(ip.into()), user_agent: Some(agent.into()) };
    let session = opened(true);
    assert_eq!(session.differs_from_renewal(&source("203.0.113.7", "Firefox")), None, "never renewed");
    let renewed = rules().renewed(&session, &session.kid, &source("203.0.113.7", "Firefox"), NOW);
    for (ip, agent, expected) in [
        ("203.0.113.7", "Firefox", None),
        ("203.0.113.8", "Firefox", Some(Difference::Address)),
        ("203.0.113.7", "Chrome", Some(Difference::Browser)),
        ("203.0.113.8", "Chrome", Some(Difference::Both)),
    ] {
        assert_eq!(renewed.differs_from_renewal(&source(ip, agent)), expected, "{ip} {agent}");
    }
    assert_eq!(renewed.differs_from_renewal(&Source::default()), Some(Difference::Both), "without both");
    let stored = serde_json::to_string(&renewed).unwrap();
    assert!(!stored.contains("203.0.113.7") && !stored.contains("Firefox"), "{stored}");
}

/// R71.
#[test]
fn a_renewal_adds_7_days_but_never_exceeds_30() {
    let mut session = opened(true);
    for day in 1..30 {
        session = renewed(&session, after(day * DAY));
        let ends_at = after((day + 7).min(30) * DAY);
        assert_eq!((session.ends_at(), session.abs_exp), (ends_at, after(30 * DAY)));
        assert_eq!(session.current_generation().unwrap().expires_at, ends_at);
    }
    assert_eq!(session.generation, 30);
}

/// R63, R64, R65, R66, R67.
#[test]
fn the_parent_has_a_grace_period_of_10_seconds_and_older_tokens_are_reuse() {
    let first = opened(true);
    let second = renewed(&first, after(100));
    let standing =
        |token_of: &Session, session: &Session, secs| rules().standing(&token(token_of), session, after(secs));
    assert_eq!(standing(&first, &first, 100), Standing::Current);
    let late = Standing::Reused(Reuse::GraceMissed);
    for (secs, expected) in
        [(100, Standing::InGracePeriod), (110, Standing::InGracePeriod), (111, late), (7 * DAY, late)]
    {
        assert_eq!(standing(&first, &second, secs), expected, "{secs}");
        assert_eq!(standing(&second, &second, secs), Standing::Current, "{secs}");
    }
    let third = renewed(&second, after(100));
    assert_eq!(standing(&first, &third, 100), Standing::Reused(Reuse::OlderGeneration), "in the same second");
    assert_eq!(standing(&second, &third, 100), Standing::InGracePeriod);
}

/// F29: the instance that checks the token has a slower clock than the instance that issued the successor.
#[test]
fn a_slow_clock_is_not_reuse() {
    let first = opened(true);
    let second = renewed(&first, after(100));
    assert_eq!(rules().standing(&token(&first), &second, after(70)), Standing::InGracePeriod);
}

/// F24: the record may be older than the token, for example after a restored backup.
#[test]
fn a_token_that_the_record_does_not_know_is_unknown_and_not_reuse() {
    let first = opened(true);
    let second = renewed(&first, after(100));
    let standing = |token_of: &Session, session: &Session| rules().standing(&token(token_of), session, after(100));
    assert_eq!(standing(&second, &first), Standing::Unknown);
    assert_eq!(standing(&renewed(&first, after(50)), &second), Standing::Unknown, "issued at another time");
    let shorter = Session { idle_exp: after(DAY), ..second.clone() };
    assert_eq!(standing(&shorter, &second), Standing::Unknown, "good until another time");
}

#[test]
fn the_grace_period_is_5_to_60_seconds() {
    let read = |seconds: &str| Rules::from_env(&Environment::new(testbed::settings(&[("REFRESH_GRACE", seconds)])));
    assert_eq!(rules().grace_period, Duration::from_secs(10));
    for (seconds, is_valid) in [("4", false), ("5", true), ("60", true), ("61", false), ("ten", false)] {
        assert_eq!(read(seconds).is_ok(), is_valid, "{seconds}");
    }
}

/// R77.
#[test]
fn a_user_has_at_most_100_sessions_by_default_and_at_most_1000() {
    let read = |limit: &str| sessions_per_user(&Environment::new(testbed::settings(&[("SESSIONS_PER_USER", limit)])));
    assert_eq!(read("").unwrap(), 100);
    assert_eq!((read("1").unwrap(), read("1000").unwrap()), (1, 1000));
    for limit in ["0", "1001", "-1", "many"] {
        assert!(read(limit).is_err(), "{limit}");
    }
}
