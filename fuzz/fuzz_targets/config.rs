//! Settings, as an operator may set them: `NAME=value`, a NUL after each, as the system keeps an environment. What the input
//! leaves out is as it should be.
//!
//! What is accepted must keep every bound that is documented, by a second reading (R1, R2, R12, R37, R38); and whatever is wrong, no
//! value is quoted (R97): each secret carries a mark, and once each other one does.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use fuzz::SETTINGS;
use lambda_http::http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret as _, SecretString};
use shared::claims::Kind;
use shared::config::Config;
use shared::cookies::Cookies;
use shared::error::Result;
use shared::passwords::Hasher;

/// Of no characters that count as hard to guess.
const MARK: &str = "\u{1f511}\u{1f6aa}";
const SECRETS: [&str; 9] = [
    "ACCESS_SECRET",
    "REFRESH_SECRET",
    "PREVIOUS_ACCESS_SECRET",
    "PREVIOUS_REFRESH_SECRET",
    "THROTTLE_SECRET",
    "PASSWORD_PEPPER",
    "PREVIOUS_PASSWORD_PEPPER",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];
const DAY: u64 = 86_400;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if text.contains(MARK) {
        return; // The fuzzer has seen it in a comparison, and would put it where it may be printed.
    }
    let given = text.split('\0').filter_map(|line| line.split_once('='));
    let mut settings: BTreeMap<_, _> = SETTINGS.map(|(name, value)| (name, value.to_owned())).into();
    settings.extend(given.clone().map(|(name, value)| (name, value.to_owned())));
    for name in SECRETS {
        settings.entry(name).and_modify(mark);
    }
    let read = read(&settings);
    assert_quiet(&read);
    if let Ok(config) = &read {
        check(config, &settings);
        check_cost(config, &settings);
    }
    for (name, _) in given.filter(|(name, _)| !SECRETS.contains(name)) {
        let mut settings = settings.clone();
        settings.entry(name).and_modify(mark);
        if let Err(error) = Config::from_lookup(|name| settings.get(name).cloned()) {
            assert!(!format!("{error} {error:?} {}", error.causes()).contains(MARK), "{error}");
        }
    }
});

fn mark(value: &mut String) {
    if !value.is_empty() {
        value.push_str(MARK);
    }
}

fn read(settings: &BTreeMap<&str, String>) -> Result<Config> {
    Config::from_lookup(|name| settings.get(name).cloned())
}

fn assert_quiet(read: &Result<Config>) {
    let printed = match read {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?} {}", error.causes()),
    };
    assert!(!printed.contains(MARK), "{printed}");
}

fn check(config: &Config, settings: &BTreeMap<&str, String>) {
    let said = |name: &str| settings.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let number = |name, default: u64| said(name).map_or(Some(default), |value| value.parse().ok());
    for (name, default, least, most) in [
        ("ACCESS_TTL", DAY, 300, DAY),
        ("REFRESH_TTL", 7 * DAY, 300, 30 * DAY),
        ("SESSION_MAX_TTL", 30 * DAY, 300, 30 * DAY),
        ("REPLAY_WINDOW", 10, 5, 60),
        ("SESSIONS_PER_USER", 1, 1, 1000),
        ("PASSWORD_CHECK_MS", 0, 0, 3000),
        ("PASSWORD_MIN_LENGTH", 15, 8, 64),
        ("FREE_FAILURES", 5, 1, 20),
        ("LONGEST_WAIT", 900, 1, DAY),
        ("DISABLE_AFTER", 100, 1, 100),
        ("SOURCE_FAILURES_PER_HOUR", 100, 0, 100_000),
        ("ALARM_FAILURES_PER_MINUTE", 600, 0, u64::from(u32::MAX)),
        ("DEVICE_TTL", 180 * DAY, 1, 400 * DAY),
    ] {
        let value = number(name, default);
        assert!(value.is_some_and(|value| (least..=most).contains(&value)), "{name}={value:?}");
    }
    assert!(config.access_ttl <= config.refresh_ttl && config.refresh_ttl <= config.session_max_ttl);
    assert!(config.disable_after > config.free_failures);
    for name in ["THROTTLE", "DEVICE_COOKIE"] {
        assert!(matches!(said(name), None | Some("on" | "off")), "{name}");
    }

    let tables = ["USERS_TABLE", "SESSIONS_TABLE", "ATTEMPTS_TABLE"].map(said);
    assert!(tables[0].is_some() && tables[1].is_some());
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    assert_eq!(tables.iter().collect::<HashSet<_>>().len(), tables.len(), "{tables:?}");

    let secrets: Vec<_> = SECRETS[..7].iter().filter_map(|name| said(name)).collect();
    assert!(said("ACCESS_SECRET").is_some() && said("REFRESH_SECRET").is_some());
    assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), secrets.len(), "two secrets are one");
    for secret in secrets {
        let different: HashSet<_> = secret.chars().filter(char::is_ascii_graphic).collect();
        assert!(secret.len() >= 32 && different.len() >= 10, "a secret can be guessed");
    }
    let is_namespace =
        |name: &str| (1..=255).contains(&name.len()) && name.is_ascii() && !name.contains([' ', '"', '\n']);
    assert!(config.metrics_namespace.as_deref().is_none_or(is_namespace), "METRICS_NAMESPACE");
    let is_read = |secret: &SecretString, name| said(name) == Some(secret.expose_secret());
    assert!(is_read(&config.access_secret, "ACCESS_SECRET") && is_read(&config.refresh_secret, "REFRESH_SECRET"));

    for name in ["ISSUER", "AUDIENCE"] {
        assert!(said(name).is_none_or(|value| value.chars().any(|letter| !letter.is_whitespace())), "{name}");
    }
    assert!(["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().all(|name| said(name).is_some()));
    check_pages(config);
}

/// Domain and origins: each nothing but one.
fn check_pages(config: &Config) {
    let is_host = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
            && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
    };
    if let Some(domain) = &config.cookie_domain {
        assert!(is_host(domain) && (domain.contains('.') || domain == "localhost"), "{domain:?}");
    }
    let cleared = Cookies::new(config.cookie_domain.clone()).clear(Kind::Access);
    assert!(HeaderValue::try_from(&cleared).is_ok() && cleared.matches(';').count() <= 7, "{cleared:?}");
    for origin in &config.allowed_origins {
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
        let own = if scheme == "https" { "443" } else { "80" };
        assert!(
            port.is_none_or(|port| port != own && !port.starts_with('0') && port.parse::<u16>().is_ok() || port == "0"),
            "{origin:?}"
        );
    }
}

/// R2, R12: a hasher comes of it exactly where its cost is within bounds. Larger ones are not tried: each takes its memory.
fn check_cost(config: &Config, settings: &BTreeMap<&str, String>) {
    if !["HASH_MEMORY_KIB", "HASH_ITERATIONS", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        .iter()
        .any(|name| settings.contains_key(name))
    {
        return;
    }
    let (memory, function) = (u64::from(config.hash_memory_kib), u64::from(config.function_memory_mib));
    let enough = match config.hash_iterations {
        1 => memory >= 47_104,
        2 => memory >= 19_456,
        3..=10 => memory >= 12_288,
        _ => false,
    };
    let is_good = enough && memory <= function * 1024 / 4 && memory <= 1024 * 1024;
    if !is_good || memory <= 64 * 1024 {
        assert_eq!(Hasher::new(config).is_ok(), is_good, "m={memory} t={} of {function} MiB", config.hash_iterations);
    }
}
