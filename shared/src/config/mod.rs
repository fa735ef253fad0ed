//! What an operator can set, read once at the cold start.
//!
//! Owns the names, defaults and bounds of all settings: a missing or unsafe one refuses to start and says which.
//! Knows nothing of what the settings are used for; touches the environment in `from_env` only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::passwords::policy::Policy;
use crate::secrets;

/// One documented field per variable.
#[derive(Debug)]
pub struct Config {
    /// The table of users. Read from `USERS_TABLE`; required.
    pub users_table: String,
    /// The table of sessions. Read from `SESSIONS_TABLE`; required.
    pub sessions_table: String,
    /// Signs access tokens: at least 32 bytes (R37). Read from `ACCESS_SECRET`; required.
    pub access_secret: SecretString,
    /// Signs refresh tokens: at least 32 bytes, another secret than the first. Read from `REFRESH_SECRET`; required.
    pub refresh_secret: SecretString,
    /// Verifies access tokens and signs none: for while `ACCESS_SECRET` is changed (F27). Read from `PREVIOUS_ACCESS_SECRET`; none by default.
    pub previous_access_secret: Option<SecretString>,
    /// Verifies refresh tokens and signs none but those that it has signed before: for while `REFRESH_SECRET` is changed. Read from `PREVIOUS_REFRESH_SECRET`; none by default.
    pub previous_refresh_secret: Option<SecretString>,
    /// The `Domain` of our cookies; without one they are host-only and named `__Host-…`. Read from `COOKIE_DOMAIN`; none by default.
    pub cookie_domain: Option<String>,
    /// Origins whose pages may change state, besides our own. Read from `ALLOWED_ORIGINS`, comma-separated; none by default.
    pub allowed_origins: Vec<String>,
    /// The `iss` of every token. Read from `ISSUER`; `latchkey` by default.
    pub issuer: String,
    /// The `aud` of every token. Read from `AUDIENCE`; `latchkey` by default.
    pub audience: String,
    /// How long an access token is valid. Read from `ACCESS_TTL` in seconds, 300 to 86400; 86400 (1 day) by default.
    pub access_ttl: Duration,
    /// How long a session lives without renewal. Read from `REFRESH_TTL` in seconds, `ACCESS_TTL` to `SESSION_MAX_TTL`; 604800 (7 days) by default.
    pub refresh_ttl: Duration,
    /// How long a session lives at most, renewed or not. Read from `SESSION_MAX_TTL` in seconds, up to 2592000; 2592000 (30 days) by default.
    pub session_max_ttl: Duration,
    /// How long a refresh token that was just used is answered once more with its successor. Read from `REPLAY_WINDOW` in seconds, 5 to 60; 10 by default.
    pub replay_window: Duration,
    /// How many sessions a user may have; at a login more, the oldest ends (R77). Read from `SESSIONS_PER_USER`, 1 to 1000; unlimited by default.
    pub sessions_per_user: Option<usize>,
    /// The role that whoever passes the authorizer must have. Read from `REQUIRED_ROLE`; none by default.
    pub required_role: Option<String>,
    /// Memory of one Argon2id hash (R1). Read from `HASH_MEMORY_KIB`, up to a quarter of the function's memory; 19456 (19 MiB) by default.
    pub hash_memory_kib: u32,
    /// Passes of one Argon2id hash (R1). Read from `HASH_ITERATIONS`, up to 10; 2 by default.
    pub hash_iterations: u32,
    /// Goes over every password hash, so that a copy of the table alone is worth nothing (R14): at least 32 bytes, never to be lost. Read from `PASSWORD_PEPPER`; none by default.
    pub password_pepper: Option<SecretString>,
    /// Verifies the hashes that it was used for, and makes none: for while `PASSWORD_PEPPER` is changed. Read from `PREVIOUS_PASSWORD_PEPPER`; none by default.
    pub previous_password_pepper: Option<SecretString>,
    /// How long it takes at least to check a password: longer than the slowest imported hash, while there are any (R19). Read from `PASSWORD_CHECK_MS` in milliseconds, up to 3000; 0 by default.
    pub password_check_time: Duration,
    /// How many characters a new password has at least (R8). Read from `PASSWORD_MIN_LENGTH`, 8 to 64; 15 by default.
    pub password_min_length: usize,
    /// Whether failed logins are counted, and slow down (R20). Read from `THROTTLE`, `on` or `off`; `on` by default.
    pub throttle: bool,
    /// The table of failed logins. Read from `ATTEMPTS_TABLE`; required where a password is asked for, unless `THROTTLE` is `off`.
    pub attempts_table: Option<String>,
    /// Hides the names in that table and signs device cookies: at least 32 bytes. Read from `THROTTLE_SECRET`; required where a password is asked for, unless `THROTTLE` is `off`.
    pub throttle_secret: Option<SecretString>,
    /// Wrong passwords in a row that cost no wait; each further one doubles it. Read from `FREE_FAILURES`, 1 to 20; 5 by default.
    pub free_failures: u32,
    /// The longest wait between two tries. Read from `LONGEST_WAIT` in seconds, 1 to 86400; 900 by default.
    pub longest_wait: Duration,
    /// Wrong passwords in a row after which no password is right until an operator says so (R20). Read from `DISABLE_AFTER`, above `FREE_FAILURES`, up to 100; 100 by default.
    pub disable_after: u32,
    /// Wrong passwords from one address, whoever they were for: so many at once, and so many an hour (R24). Read from `SOURCE_FAILURES_PER_HOUR`, up to 100000, 0 for any number; 100 by default.
    pub source_failures_per_hour: u32,
    /// Wrong passwords a minute, from anywhere and for anybody, that raise an alarm (R24). Read from `ALARM_FAILURES_PER_MINUTE`, 0 for never; 600 by default.
    pub alarm_failures_per_minute: u32,
    /// Whether somebody who is kept signed in gets a cookie that lets them past what others have locked (R22). Read from `DEVICE_COOKIE`, `on` or `off`; `on` by default.
    pub device_cookie: bool,
    /// How long that cookie is good for. Read from `DEVICE_TTL` in seconds, up to 34560000; 15552000 (180 days) by default.
    pub device_ttl: Duration,
    /// The CloudWatch namespace in which events are counted; each stack may have its own. Read from `METRICS_NAMESPACE`, `off` to count none; `Latchkey` by default.
    pub metrics_namespace: Option<String>,
    /// Memory of the function in MiB, which bounds what a hash may take (R12). Read from
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, set by Lambda itself; unbounded by default.
    pub function_memory_mib: u32,
    /// How to reach AWS; set by Lambda itself.
    pub aws: Aws,
}

/// Where DynamoDB is and who asks it: variables that Lambda sets.
#[derive(Debug)]
pub struct Aws {
    /// The region. Read from `AWS_REGION`; required.
    pub region: String,
    /// The key id of the function's role. Read from `AWS_ACCESS_KEY_ID`; required.
    pub access_key_id: String,
    /// The key of the function's role. Read from `AWS_SECRET_ACCESS_KEY`; required.
    pub secret_access_key: SecretString,
    /// The session of the function's role. Read from `AWS_SESSION_TOKEN`; none by default.
    pub session_token: Option<SecretString>,
    /// Another DynamoDB than the region's: the local stack. Read from `AWS_ENDPOINT_URL_DYNAMODB`; none by default.
    pub endpoint_url: Option<String>,
}

impl Config {
    /// Reads the settings from the process environment.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first variable that is missing or unsafe.
    pub fn from_env() -> Result<Self> {
        // A value that is not Unicode is looked at with its bad bytes replaced, and refused like any other bad value.
        Self::from_lookup(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads the settings from wherever `lookup` looks. An empty value counts as absent: a template cannot leave one out.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first variable that is missing or unsafe.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let from = Lookup(lookup);
        let config = Self {
            users_table: from.required("USERS_TABLE")?,
            sessions_table: from.required("SESSIONS_TABLE")?,
            access_secret: from.secret("ACCESS_SECRET")?,
            refresh_secret: from.secret("REFRESH_SECRET")?,
            previous_access_secret: from.optional_secret("PREVIOUS_ACCESS_SECRET")?,
            previous_refresh_secret: from.optional_secret("PREVIOUS_REFRESH_SECRET")?,
            cookie_domain: from.optional("COOKIE_DOMAIN").map(cookie_domain).transpose()?,
            allowed_origins: origins(&from.or("ALLOWED_ORIGINS", ""))?,
            issuer: from.name("ISSUER")?,
            audience: from.name("AUDIENCE")?,
            access_ttl: from.seconds("ACCESS_TTL", DAY)?,
            refresh_ttl: from.seconds("REFRESH_TTL", 7 * DAY)?,
            session_max_ttl: from.seconds("SESSION_MAX_TTL", 30 * DAY)?,
            replay_window: from.seconds("REPLAY_WINDOW", 10)?,
            sessions_per_user: from.sessions_per_user()?,
            required_role: from.optional("REQUIRED_ROLE"),
            hash_memory_kib: from.number("HASH_MEMORY_KIB", 19_456)?,
            hash_iterations: from.number("HASH_ITERATIONS", 2)?,
            password_pepper: from.optional_secret("PASSWORD_PEPPER")?,
            previous_password_pepper: from.optional_secret("PREVIOUS_PASSWORD_PEPPER")?,
            password_check_time: Duration::from_millis(from.within("PASSWORD_CHECK_MS", 0, 0..=3000)?),
            password_min_length: from.within("PASSWORD_MIN_LENGTH", 15, Policy::FEWEST..=Policy::MOST)?,
            throttle: from.switch("THROTTLE")?,
            attempts_table: from.optional("ATTEMPTS_TABLE"),
            throttle_secret: from.optional_secret("THROTTLE_SECRET")?,
            free_failures: from.within("FREE_FAILURES", 5, 1..=20)?,
            longest_wait: Duration::from_secs(from.within("LONGEST_WAIT", 900, 1..=DAY)?),
            disable_after: from.within("DISABLE_AFTER", 100, 1..=100)?,
            source_failures_per_hour: from.within("SOURCE_FAILURES_PER_HOUR", 100, 0..=100_000)?,
            alarm_failures_per_minute: from.number("ALARM_FAILURES_PER_MINUTE", 600)?,
            device_cookie: from.switch("DEVICE_COOKIE")?,
            device_ttl: Duration::from_secs(from.within("DEVICE_TTL", 180 * DAY, 1..=400 * DAY)?),
            metrics_namespace: metrics_namespace(from.or("METRICS_NAMESPACE", "Latchkey"))?,
            function_memory_mib: from.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", u32::MAX)?,
            aws: Aws {
                region: from.required("AWS_REGION")?,
                access_key_id: from.required("AWS_ACCESS_KEY_ID")?,
                secret_access_key: from.required("AWS_SECRET_ACCESS_KEY")?.into(),
                session_token: from.optional("AWS_SESSION_TOKEN").map(SecretString::from),
                endpoint_url: from.optional("AWS_ENDPOINT_URL_DYNAMODB"),
            },
        };
        if config.users_table == config.sessions_table {
            return setting("SESSIONS_TABLE", "must differ from USERS_TABLE");
        }
        if config
            .attempts_table
            .as_ref()
            .is_some_and(|table| [&config.users_table, &config.sessions_table].contains(&table))
        {
            return setting("ATTEMPTS_TABLE", "must differ from USERS_TABLE and SESSIONS_TABLE");
        }
        if config.disable_after <= config.free_failures {
            return setting("DISABLE_AFTER", "must be more than FREE_FAILURES");
        }
        config.check_secrets()?;
        config.check_lifetimes()?;
        Ok(config)
    }

    /// One secret for both kinds would let a refresh token pass where an access token is asked for.
    fn check_secrets(&self) -> Result<()> {
        let secrets = [
            ("ACCESS_SECRET", Some(&self.access_secret)),
            ("REFRESH_SECRET", Some(&self.refresh_secret)),
            ("PREVIOUS_ACCESS_SECRET", self.previous_access_secret.as_ref()),
            ("PREVIOUS_REFRESH_SECRET", self.previous_refresh_secret.as_ref()),
            ("THROTTLE_SECRET", self.throttle_secret.as_ref()),
            ("PASSWORD_PEPPER", self.password_pepper.as_ref()),
            ("PREVIOUS_PASSWORD_PEPPER", self.previous_password_pepper.as_ref()),
        ];
        let mut known = BTreeMap::new();
        for (name, secret) in secrets {
            if let Some(secret) = secret
                && let Some(other) = known.insert(secret.expose_secret(), name)
            {
                return setting(name, format!("must differ from {other}"));
            }
        }
        Ok(())
    }

    fn check_lifetimes(&self) -> Result<()> {
        if !(300..=DAY).contains(&self.access_ttl.as_secs()) {
            return setting("ACCESS_TTL", "must be 300 to 86400 seconds");
        }
        if self.session_max_ttl > Duration::from_secs(30 * DAY) {
            return setting("SESSION_MAX_TTL", "must be at most 2592000 seconds");
        }
        if self.refresh_ttl < self.access_ttl || self.refresh_ttl > self.session_max_ttl {
            return setting("REFRESH_TTL", "must be at least ACCESS_TTL and at most SESSION_MAX_TTL");
        }
        if !(5..=60).contains(&self.replay_window.as_secs()) {
            return setting("REPLAY_WINDOW", "must be 5 to 60 seconds");
        }
        Ok(())
    }
}

const DAY: u64 = 86_400;

fn setting<T>(name: &'static str, problem: impl Into<Cow<'static, str>>) -> Result<T> {
    Err(Error::Setting { name, problem: problem.into() })
}

struct Lookup<F>(F);

impl<F: Fn(&str) -> Option<String>> Lookup<F> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<String> {
        self.optional(name).map_or_else(|| setting(name, "is not set"), Ok)
    }

    fn or(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    fn secret(&self, name: &'static str) -> Result<SecretString> {
        self.optional_secret(name)?.map_or_else(|| setting(name, "is not set"), Ok)
    }

    fn optional_secret(&self, name: &'static str) -> Result<Option<SecretString>> {
        let Some(secret) = self.optional(name).map(SecretString::from) else { return Ok(None) };
        if let Some(problem) = secrets::problem(secret.expose_secret()) {
            return setting(name, problem);
        }
        Ok(Some(secret))
    }

    fn sessions_per_user(&self) -> Result<Option<usize>> {
        let Some(number) = self.optional("SESSIONS_PER_USER") else { return Ok(None) };
        let number = number.parse().ok().filter(|number| (1..=1000).contains(number));
        number.map_or_else(|| setting("SESSIONS_PER_USER", "must be 1 to 1000"), |number| Ok(Some(number)))
    }

    fn name(&self, name: &'static str) -> Result<String> {
        let value = self.or(name, "latchkey");
        if value.trim().is_empty() { setting(name, "must not be blank") } else { Ok(value) }
    }

    fn number<N: FromStr>(&self, name: &'static str, default: N) -> Result<N> {
        match self.optional(name).map(|value| value.parse()) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => setting(name, "must be a whole number"),
        }
    }

    fn within<N>(&self, name: &'static str, default: N, bounds: RangeInclusive<N>) -> Result<N>
    where
        N: FromStr + PartialOrd + fmt::Display,
    {
        let number = self.number(name, default)?;
        if bounds.contains(&number) {
            return Ok(number);
        }
        setting(name, format!("must be {} to {}", bounds.start(), bounds.end()))
    }

    fn switch(&self, name: &'static str) -> Result<bool> {
        match self.or(name, "on").as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => setting(name, "must be on or off"),
        }
    }

    fn seconds(&self, name: &'static str, default: u64) -> Result<Duration> {
        self.number(name, default).map(Duration::from_secs)
    }
}

/// What CloudWatch takes for a namespace; those that begin with `AWS/` are its own.
fn metrics_namespace(name: String) -> Result<Option<String>> {
    let problem =
        || setting("METRICS_NAMESPACE", "must be off, or such as Latchkey/staging: letters, digits and .-_/#: only");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#:".contains(&byte);
    match name.as_str() {
        "off" => Ok(None),
        text if text.eq_ignore_ascii_case("off") || text.starts_with("AWS/") || text.starts_with(':') => problem(),
        text if text.len() <= 255 && text.bytes().all(is_plain) => Ok(Some(name)),
        _ => problem(),
    }
}

/// A domain goes into a header as it is, so it must be nothing but one; and a browser takes no cookie for an address or
/// for a whole top-level domain, `localhost` excepted.
fn cookie_domain(domain: String) -> Result<String> {
    let is_name = domain.split('.').all(is_label) && !domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_name && (domain.contains('.') || domain == "localhost") {
        return Ok(domain);
    }
    setting("COOKIE_DOMAIN", "must be a plain domain such as example.com")
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn origins(list: &str) -> Result<Vec<String>> {
    let listed = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let origins: Option<_> = listed.map(|origin| is_origin(origin).then(|| origin.to_owned())).collect();
    let problem = "must list origins such as https://app.example.com, each as a browser sends it";
    origins.map_or_else(|| setting("ALLOWED_ORIGINS", problem), Ok)
}

/// An origin as a browser sends it (RFC 6454 §6.2): scheme, host and perhaps a port, in lower case, without a path and
/// without the scheme's own port. From a plain `http` page a browser sends our cookies on this machine only.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let own_port = match (scheme, host) {
        ("https", _) => 443,
        ("http", "localhost" | "127.0.0.1" | "[::1]") => 80,
        _ => return false,
    };
    let is_host =
        host == "[::1]" || host.split('.').all(is_label) && !host.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_other =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number != own_port && number.to_string() == port);
    is_host && port.is_none_or(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 7] = [
        ("USERS_TABLE", "users"),
        ("SESSIONS_TABLE", "sessions"),
        ("ACCESS_SECRET", "access-secret-0123456789-0123456789"),
        ("REFRESH_SECRET", "refresh-secret-0123456789-012345678"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "the-key-of-the-role"),
    ];

    fn with(changes: &[(&str, &str)]) -> Result<Config> {
        Config::from_lookup(|name| {
            let found = changes.iter().chain(&GOOD).find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn refused(changes: &[(&str, &str)]) -> &'static str {
        match with(changes) {
            Err(Error::Setting { name, .. }) => name,
            other => panic!("{changes:?} gave {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = with(&[]).unwrap();
        assert_eq!((config.issuer.as_str(), config.audience.as_str()), ("latchkey", "latchkey"));
        assert_eq!(config.access_ttl.as_secs(), 86_400);
        assert_eq!(config.refresh_ttl.as_secs(), 604_800);
        assert_eq!(config.session_max_ttl.as_secs(), 2_592_000);
        assert_eq!((config.hash_memory_kib, config.hash_iterations), (19_456, 2));
        assert_eq!(config.cookie_domain, None);
        assert!(config.allowed_origins.is_empty());
    }

    #[test]
    fn each_required_variable_is_asked_for_by_name() {
        for (name, _) in GOOD {
            assert_eq!(refused(&[(name, "")]), name);
        }
    }

    #[test]
    fn one_table_for_users_and_sessions_refuses_to_start() {
        assert_eq!(refused(&[("SESSIONS_TABLE", "users")]), "SESSIONS_TABLE");
    }

    /// R37, R38: also one that only verifies.
    #[test]
    fn a_secret_that_is_none_refuses_to_start_by_name() {
        for name in [
            "ACCESS_SECRET",
            "REFRESH_SECRET",
            "PREVIOUS_ACCESS_SECRET",
            "PREVIOUS_REFRESH_SECRET",
            "THROTTLE_SECRET",
            "PASSWORD_PEPPER",
            "PREVIOUS_PASSWORD_PEPPER",
        ] {
            for value in ["too-short", "0123456789abcdef0123456789abcdef", "a-string-secret-at-least-256-bits-long"] {
                let error = with(&[(name, value)]).unwrap_err();
                assert!(matches!(&error, Error::Setting { name: named, .. } if *named == name), "{name}: {error}");
                assert!(!format!("{error:?}").contains(value), "{error:?}");
            }
        }
    }

    #[test]
    fn a_blank_issuer_or_audience_refuses_to_start() {
        assert_eq!(refused(&[("ISSUER", " ")]), "ISSUER");
        assert_eq!(refused(&[("AUDIENCE", "\t")]), "AUDIENCE");
    }

    #[test]
    fn one_secret_for_both_kinds_of_token_refuses_to_start() {
        let same = "the-same-one-0123456789-0123456789";
        assert_eq!(refused(&[("ACCESS_SECRET", same), ("REFRESH_SECRET", same)]), "REFRESH_SECRET");
        assert_eq!(refused(&[("ACCESS_SECRET", same), ("PREVIOUS_REFRESH_SECRET", same)]), "PREVIOUS_REFRESH_SECRET");
        assert_eq!(refused(&[("REFRESH_SECRET", same), ("PREVIOUS_ACCESS_SECRET", same)]), "PREVIOUS_ACCESS_SECRET");
        assert_eq!(refused(&[("ACCESS_SECRET", same), ("PREVIOUS_ACCESS_SECRET", same)]), "PREVIOUS_ACCESS_SECRET");
    }

    #[test]
    fn sessions_are_unlimited_unless_a_number_says_otherwise() {
        assert_eq!(with(&[]).unwrap().sessions_per_user, None);
        assert_eq!(with(&[("SESSIONS_PER_USER", "3")]).unwrap().sessions_per_user, Some(3));
        for number in ["0", "1001", "-1", "many"] {
            assert_eq!(refused(&[("SESSIONS_PER_USER", number)]), "SESSIONS_PER_USER");
        }
    }

    #[test]
    fn a_replay_window_is_five_to_sixty_seconds() {
        assert_eq!(with(&[]).unwrap().replay_window, Duration::from_secs(10));
        for (seconds, is_good) in [("4", false), ("5", true), ("60", true), ("61", false), ("ten", false)] {
            assert_eq!(with(&[("REPLAY_WINDOW", seconds)]).is_ok(), is_good, "{seconds}");
        }
    }

    #[test]
    fn lifetimes_out_of_range_refuse_to_start() {
        assert_eq!(refused(&[("ACCESS_TTL", "299")]), "ACCESS_TTL");
        assert_eq!(refused(&[("ACCESS_TTL", "86401")]), "ACCESS_TTL");
        assert_eq!(refused(&[("ACCESS_TTL", "1 day")]), "ACCESS_TTL");
        assert_eq!(refused(&[("REFRESH_TTL", "3600")]), "REFRESH_TTL");
        assert_eq!(refused(&[("SESSION_MAX_TTL", "3600")]), "REFRESH_TTL");
        assert_eq!(refused(&[("SESSION_MAX_TTL", "2592001")]), "SESSION_MAX_TTL");
    }

    #[test]
    fn a_cookie_domain_that_could_end_the_attribute_refuses_to_start() {
        assert_eq!(with(&[("COOKIE_DOMAIN", "localhost")]).unwrap().cookie_domain.as_deref(), Some("localhost"));
        assert!(with(&[("COOKIE_DOMAIN", "login.example.com")]).is_ok());
        for domain in [
            "example.com; Path=/x",
            ".example.com",
            "example..com",
            "exam ple.com",
            "https://example.com",
            "-a.com",
            "é.com",
            "com",
            "127.0.0.1",
            "\u{fffd}",
        ] {
            assert_eq!(refused(&[("COOKIE_DOMAIN", domain)]), "COOKIE_DOMAIN");
        }
    }

    #[test]
    fn allowed_origins_are_exact_and_never_any() {
        let config =
            with(&[("ALLOWED_ORIGINS", "https://localhost:3000, https://app.example.com,http://localhost:5173")])
                .unwrap();
        assert_eq!(
            config.allowed_origins,
            ["https://localhost:3000", "https://app.example.com", "http://localhost:5173"]
        );
        for origin in [
            "*",
            "null",
            "https://*.example.com",
            "https://app.example.com/",
            "app.example.com",
            "http://app.example.com",
            "https://",
            "HTTPS://App.example.com",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://localhost:80",
            "https://a:b:c",
            "https://[[[",
            "https://x:",
            "https://x:0443",
            "https://x:99999",
        ] {
            assert_eq!(refused(&[("ALLOWED_ORIGINS", origin)]), "ALLOWED_ORIGINS");
        }
    }

    /// R97.
    #[test]
    fn no_secret_is_printed() {
        let config = with(&[("AWS_SESSION_TOKEN", "the-session-of-the-role")]).unwrap();
        let printed = format!("{config:?}");
        for secret in ["access-secret", "refresh-secret", "the-key-of-the-role", "the-session-of-the-role"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn the_door_has_the_defaults_of_the_requirements() {
        let config = with(&[]).unwrap();
        assert!(config.throttle && config.device_cookie);
        assert_eq!((config.free_failures, config.longest_wait.as_secs(), config.disable_after), (5, 900, 100));
        assert_eq!((config.source_failures_per_hour, config.alarm_failures_per_minute), (100, 600));
        assert_eq!((config.password_min_length, config.password_check_time), (15, Duration::ZERO));
        assert_eq!(config.device_ttl.as_secs(), 180 * DAY);
        assert!(
            config.password_pepper.is_none() && config.throttle_secret.is_none() && config.attempts_table.is_none()
        );
    }

    #[test]
    fn a_number_of_the_door_has_bounds() {
        for (name, good, bad) in [
            ("FREE_FAILURES", ["1", "20"], ["0", "21"]),
            ("LONGEST_WAIT", ["1", "86400"], ["0", "86401"]),
            ("DISABLE_AFTER", ["6", "100"], ["5", "101"]),
            ("SOURCE_FAILURES_PER_HOUR", ["0", "100000"], ["-1", "100001"]),
            ("ALARM_FAILURES_PER_MINUTE", ["0", "4294967295"], ["-1", "x"]),
            ("DEVICE_TTL", ["1", "34560000"], ["0", "34560001"]),
            ("PASSWORD_CHECK_MS", ["0", "3000"], ["-1", "3001"]),
            ("PASSWORD_MIN_LENGTH", ["8", "64"], ["7", "65"]),
            ("THROTTLE", ["on", "off"], ["yes", "On"]),
            ("DEVICE_COOKIE", ["on", "off"], ["true", "0"]),
            ("METRICS_NAMESPACE", ["off", "Latchkey/staging"], ["two words", "Off"]),
        ] {
            for value in good {
                with(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
            }
            for value in bad {
                assert_eq!(refused(&[(name, value)]), name, "{value}");
            }
        }
    }

    #[test]
    fn the_secrets_and_tables_of_the_door_are_checked_like_all_others() {
        for name in ["THROTTLE_SECRET", "PASSWORD_PEPPER", "PREVIOUS_PASSWORD_PEPPER"] {
            assert_eq!(refused(&[(name, "short")]), name);
            assert_eq!(refused(&[(name, "access-secret-0123456789-0123456789")]), name);
        }
        for table in ["users", "sessions"] {
            assert_eq!(refused(&[("ATTEMPTS_TABLE", table)]), "ATTEMPTS_TABLE");
        }
    }
}
