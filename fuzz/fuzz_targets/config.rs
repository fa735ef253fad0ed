//! Settings as an operator may set them: `NAME=value` with a NUL after each, as Linux stores an environment. A variable
//! that the input does not set has a good value.
//!
//! Reads all settings of `shared` from one environment. Accepted settings must be within the documented bounds, or have
//! the documented default, by a second reading (R1, R2, R12, R37, R38). An error must not quote a value (R97): each
//! secret is marked, and so is each other value, one at a time.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fuzz::{NOW, SETTINGS};
use lambda_http::http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use shared::auth::Renewal;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::AllowedOrigins;
use shared::id::{SessionId, UserId};
use shared::password::Hasher;
use shared::password::policy::Policy;
use shared::session::{Lifetimes, sessions_per_user};
use shared::store::{Attempts, Users};
use shared::throttle::{Backoff, Devices};
use shared::token::{Cookies, Generation, Kind, Signer, Subject};
use shared::{store, telemetry};

/// Has no character that makes a secret stronger.
const MARK: &str = "\u{1f511}\u{1f6aa}";
const SECRETS: [&str; 7] = [
    "ACCESS_SECRET",
    "REFRESH_SECRET",
    "THROTTLE_SECRET",
    "PASSWORD_PEPPER",
    "DEVICE_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];
/// The variables of the hasher. No other part reads them.
const HASHER: [&str; 4] =
    ["HASH_MEMORY_KIB", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "PASSWORD_CHECK_MS", "PASSWORD_PEPPER"];
const DAY: u64 = 86_400;
/// The largest memory of a hash that is tried, because each hasher allocates it.
const MAX_TRIED_KIB: u64 = 64 * 1024;

type Settings<'a> = BTreeMap<&'a str, String>;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if text.contains(MARK) {
        return; // The fuzzer saw the mark in a comparison. It would put it into a value that may be printed.
    }
    let given = text.split('\0').filter_map(|line| line.split_once('='));
    let mut settings: Settings = SETTINGS.map(|(name, value)| (name, value.to_owned())).into();
    settings.extend(given.clone().map(|(name, value)| (name, value.to_owned())));
    for name in SECRETS {
        settings.entry(name).and_modify(mark);
    }
    if memory_kib(&settings).is_some_and(|kib| kib > MAX_TRIED_KIB) {
        settings.remove("HASH_MEMORY_KIB");
    }
    let env = env(&settings);
    assert!(!format!("{env:?}").contains(MARK));
    match Parts::from_env(&env) {
        Ok(parts) => {
            check(&parts, &settings);
            check_hasher(&env, &settings);
        }
        Err(error) => assert_unmarked(&error),
    }
    for (name, _) in given.filter(|(name, _)| !SECRETS.contains(name)) {
        let mut settings = settings.clone();
        settings.entry(name).and_modify(mark);
        let env = self::env(&settings);
        if let Err(error) = Parts::from_env(&env) {
            assert_unmarked(&error);
        }
        if HASHER.contains(&name)
            && let Err(error) = Hasher::from_env(&env)
        {
            assert_unmarked(&error);
        }
    }
});

fn mark(value: &mut String) {
    if !value.is_empty() {
        value.push_str(MARK);
    }
}

fn env(settings: &Settings<'_>) -> Environment {
    let settings: BTreeMap<_, _> = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Environment::new(move |name| settings.get(name).cloned())
}

fn assert_unmarked(error: &Error) {
    let printed = format!("{error} {error:?} {}", error.causes());
    assert!(!printed.contains(MARK), "{printed}");
}

/// Every part of `shared` that reads settings, except the hasher.
struct Parts {
    renewal: Renewal,
    attempts: Attempts,
    devices: Option<Devices>,
    lifetimes: Lifetimes,
    sessions_per_user: usize,
    origins: AllowedOrigins,
    namespace: Option<String>,
}

impl Parts {
    fn from_env(env: &Environment) -> Result<Self> {
        let client = store::connect(env)?;
        Users::from_env(client.clone(), env)?;
        Policy::from_env(env)?;
        Ok(Self {
            renewal: Renewal::from_env(client.clone(), env)?,
            attempts: Attempts::from_env(client, env)?,
            devices: Devices::from_env(env)?,
            lifetimes: Lifetimes::from_env(env)?,
            sessions_per_user: sessions_per_user(env)?,
            origins: AllowedOrigins::from_env(env)?,
            namespace: telemetry::metrics_namespace(env)?,
        })
    }
}

/// Returns the value of a variable, or `None` if it is absent or empty.
fn value<'a>(settings: &'a Settings<'_>, name: &str) -> Option<&'a str> {
    settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Returns a number or its default, or `None` if it is out of bounds or not a number.
fn number(settings: &Settings<'_>, name: &str, default: u64, min: u64, max: u64) -> Option<u64> {
    let number = value(settings, name).map_or(Some(default), |value| value.parse().ok());
    number.filter(|number| (min..=max).contains(number))
}

fn check(parts: &Parts, settings: &Settings<'_>) {
    let value = |name| value(settings, name);
    let number = |name, default, min, max| {
        number(settings, name, default, min, max).unwrap_or_else(|| panic!("{name}={:?}", value(name)))
    };
    let access_ttl = number("ACCESS_TTL", DAY, 300, DAY);
    let refresh_ttl = number("REFRESH_TTL", 7 * DAY, access_ttl, 30 * DAY);
    let lifetimes =
        [parts.lifetimes.access_ttl.longest(), parts.lifetimes.refresh_ttl, parts.renewal.rules.refresh_ttl];
    assert_eq!(lifetimes.map(|lifetime| lifetime.as_secs()), [access_ttl, refresh_ttl, refresh_ttl]);
    let grace_period = number("REFRESH_GRACE", 10, 5, 60);
    assert_eq!(parts.renewal.rules.grace_period.as_secs(), grace_period);
    assert_eq!(parts.sessions_per_user as u64, number("SESSIONS_PER_USER", 100, 1, 1000));
    number("PASSWORD_MIN_LENGTH", 15, 8, 64);
    number("SOURCE_FAILURES_PER_HOUR", 100, 0, 100_000);
    assert_eq!(parts.attempts.backoff, Backoff::default());

    let device_cookie = value("DEVICE_COOKIE");
    assert!(matches!(device_cookie, None | Some("on" | "off")), "{device_cookie:?}");
    assert_eq!(parts.devices.is_some(), device_cookie != Some("off"));

    let tables = ["USERS_TABLE", "SESSIONS_TABLE", "ATTEMPTS_TABLE"].map(|name| value(name).expect("a table"));
    assert_eq!(HashSet::from(tables).len(), tables.len(), "{tables:?}");

    for name in ["ACCESS_SECRET", "REFRESH_SECRET", "THROTTLE_SECRET"] {
        assert!(value(name).is_some(), "{name} is missing");
    }
    assert_strong(&SECRETS[..3], settings);
    if parts.devices.is_some() {
        assert_strong(&["ACCESS_SECRET", "REFRESH_SECRET", "THROTTLE_SECRET", "DEVICE_SECRET"], settings);
    }
    check_keys(&parts.renewal.signer, settings);

    let namespace = value("METRICS_NAMESPACE").unwrap_or("Latchkey");
    assert_eq!(parts.namespace.as_deref(), Some(namespace).filter(|namespace| *namespace != "off"));
    assert!(
        (1..=255).contains(&namespace.len()) && namespace.is_ascii() && !namespace.contains([' ', '"', '\n']),
        "{namespace:?}"
    );

    for name in ["ISSUER", "AUDIENCE"] {
        let is_unusable = |value: &str| value.chars().all(char::is_whitespace) || value.len() > 255;
        assert!(!value(name).is_some_and(is_unusable), "{name}");
    }
    assert_eq!(parts.renewal.access.reader.access_verifier.issuer(), value("ISSUER").unwrap_or("latchkey"));
    assert!(["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().all(|name| value(name).is_some()));
    check_domain(&parts.renewal.access.reader.cookies, value("COOKIE_DOMAIN"));
    check_origins(parts.origins.as_slice(), value("ALLOWED_ORIGINS"));
}

/// Asserts that those of the secrets that are set are long, hard to guess and different.
fn assert_strong(names: &[&str], settings: &Settings<'_>) {
    let secrets: Vec<_> = names.iter().filter_map(|name| value(settings, name)).collect();
    assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), secrets.len(), "two secrets are the same");
    for secret in secrets {
        let different: HashSet<_> = secret.chars().filter(char::is_ascii_graphic).collect();
        assert!(secret.len() >= 32 && different.len() >= 10, "a secret can be guessed");
    }
}

/// Asserts that the current secrets sign the tokens.
fn check_keys(signer: &Signer, settings: &Settings<'_>) {
    let (user_id, session_id) = (UserId::parse("0").expect("an id"), SessionId::random().expect("an id"));
    let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
    let end = NOW + std::time::Duration::from_hours(1);
    let generation = Generation { number: 1, kid: &signer.refresh_kid(NOW), issued_at: NOW, expires_at: end };
    let tokens = [signer.access(&subject, NOW, end), signer.refresh(&subject, &generation)];
    for (token, name) in tokens.into_iter().zip(["ACCESS_SECRET", "REFRESH_SECRET"]) {
        let token = token.expect("a token");
        let (message, signature) = token.expose().rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let secret = value(settings, name).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        assert!(hmac::verify(&key, message.as_bytes(), &signature).is_ok(), "{name} did not sign the token");
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

/// Asserts that the domain is a plain domain, and that the cookies have it as their only `Domain`.
fn check_domain(cookies: &Cookies, domain: Option<&str>) {
    if let Some(domain) = domain {
        assert!(is_host(domain) && (domain.contains('.') || domain == "localhost"), "{domain:?}");
    }
    let cleared = cookies.clear(Kind::Access);
    assert!(HeaderValue::try_from(&cleared).is_ok() && cleared.matches(';').count() <= 7, "{cleared:?}");
    let attribute = cleared.split("; ").find_map(|attribute| attribute.strip_prefix("Domain="));
    assert_eq!(attribute, domain);
    assert_eq!(cookies.name(Kind::Access), if domain.is_some() { "access_jwt" } else { "__Host-access_jwt" });
}

/// Asserts that each origin is one that a browser sends, and that none is missing.
fn check_origins(origins: &[String], list: Option<&str>) {
    let listed = list.unwrap_or_default().split(',').map(str::trim).filter(|origin| !origin.is_empty());
    assert!(listed.eq(origins), "{origins:?}");
    for origin in origins {
        let (scheme, authority) = origin.split_once("://").expect("a scheme");
        let host = authority.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let (host, port) = match host.strip_suffix(':') {
            Some(host) => (host, authority.rsplit_once(':').map(|(_, port)| port)),
            None => (authority, None),
        };
        assert!(is_host(host) && host.to_lowercase() == host || host == "[::1]", "{origin:?}");
        assert!(
            scheme == "https" || scheme == "http" && ["localhost", "127.0.0.1", "[::1]"].contains(&host),
            "{origin:?}"
        );
        let default = if scheme == "https" { "443" } else { "80" };
        assert!(
            port.is_none_or(
                |port| port != default && !port.starts_with('0') && port.parse::<u16>().is_ok() || port == "0"
            ),
            "{origin:?}"
        );
    }
}

/// Returns the memory of a hash, or `None` if it is below the minimum or above a quarter of the function's memory.
fn memory_kib(settings: &Settings<'_>) -> Option<u64> {
    let max_mib = u64::from(u32::MAX);
    let function_mib = number(settings, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", max_mib, 1, max_mib)?;
    let memory = number(settings, "HASH_MEMORY_KIB", 19_456, 19_456, 1024 * 1024)?;
    Some(memory).filter(|memory| *memory <= function_mib * 1024 / 4)
}

/// Asserts that the hasher accepts its settings only within their bounds (R2, R12). Without a pepper the outcome is
/// known. With its defaults the hasher is not made, because that takes longer than everything else.
fn check_hasher(env: &Environment, settings: &Settings<'_>) {
    if !HASHER.iter().any(|name| settings.contains_key(name)) {
        return;
    }
    let is_bounded = memory_kib(settings).is_some() && number(settings, "PASSWORD_CHECK_MS", 0, 0, 3000).is_some();
    match Hasher::from_env(env) {
        Ok(_) => {
            assert!(is_bounded, "a setting of the hasher is out of bounds");
            assert_strong(&SECRETS[..4], settings);
        }
        Err(error) => {
            assert_unmarked(&error);
            let has_pepper = HASHER[3..].iter().any(|name| value(settings, name).is_some());
            assert!(has_pepper || !is_bounded, "{error}");
        }
    }
}
