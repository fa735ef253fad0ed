//! Our cookies: set, read, clear.
//!
//! Owns the names and attributes of three cookies: access token, refresh token and known device. Reads exactly those
//! names, byte by byte (R81). A general cookie parser trims Unicode white space, and `U+2000__Host-…` then passes as
//! ours (measured with `cookie` 0.18). Knows nothing about the values.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Claims, Kind, Token, Verifier};
use crate::clock::Timestamp;
use crate::config::{Environment, reject};
use crate::error::{Error, Result};

/// The largest cookie that a browser stores: name and value together, in bytes (RFC 6265bis §5.6).
const MAX_COOKIE: usize = 4096;

/// The longest domain name in bytes, and below the longest label (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 253;

/// Our cookies in one of two modes: with a `Domain`, or host-only with `__Host-` names.
#[derive(Clone, Debug)]
pub struct Cookies {
    domain: Option<String>,
}

/// The values that a request brought under our three names. A repeated value counts once.
#[derive(Clone, Default)]
pub struct PresentedCookies<'a> {
    access: Vec<&'a [u8]>,
    refresh: Vec<&'a [u8]>,
    device: Vec<&'a [u8]>,
    /// Set at the first use.
    refresh_claims: OnceLock<Vec<Claims>>,
}

impl<'a> PresentedCookies<'a> {
    /// Returns the access token, or `None` if there is none or more than one.
    #[must_use]
    pub fn access_token(&self) -> Option<&'a [u8]> {
        only(&self.access)
    }

    /// Returns the refresh token, or `None` if there is none or more than one.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&'a [u8]> {
        only(&self.refresh)
    }

    /// Returns all different device cookies.
    #[must_use]
    pub fn devices(&self) -> &[&'a [u8]] {
        &self.device
    }

    /// Returns `true` if a token cookie came twice with different values. Someone else may have set one of them (R81).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.access.len() > 1 || self.refresh.len() > 1
    }

    /// Returns `true` if the request brought a cookie for this kind of token, with any value.
    #[must_use]
    pub fn came(&self, kind: Kind) -> bool {
        match kind {
            Kind::Access => !self.access.is_empty(),
            Kind::Refresh => !self.refresh.is_empty(),
        }
    }

    /// Returns the claims of the refresh cookies whose tokens this service signed, even if they have expired. Verifies
    /// each token once, with the verifier of the first call.
    pub fn refresh_claims(&self, verifier: &Verifier) -> &[Claims] {
        self.refresh_claims.get_or_init(|| verified(&self.refresh, verifier).collect())
    }

    /// Returns the claims of one token for each session among the access and refresh cookies. Includes every session of
    /// a token that this service signed, even if the token has expired.
    #[must_use]
    pub fn claims_by_session(&self, access: &Verifier, refresh: &Verifier) -> Vec<Claims> {
        let claims = verified(&self.access, access).chain(self.refresh_claims(refresh).iter().cloned());
        let mut seen = HashSet::new();
        claims.filter(|claims| seen.insert((claims.sub.clone(), claims.sid.clone()))).collect()
    }
}

fn only<'a>(values: &[&'a [u8]]) -> Option<&'a [u8]> {
    match values {
        [value] => Some(value),
        _ => None,
    }
}

fn verified(tokens: &[&[u8]], verifier: &Verifier) -> impl Iterator<Item = Claims> {
    tokens.iter().filter_map(|token| verifier.verify_ignoring_time(token).ok())
}

impl Cookies {
    /// Reads `COOKIE_DOMAIN`. Without it the cookies are host-only and have `__Host-` names.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not a plain domain.
    pub fn from_env(env: &Environment) -> Result<Self> {
        env.optional("COOKIE_DOMAIN").map(checked_domain).transpose().map(Self::new)
    }

    /// Returns cookies for `domain` and its subdomains, or for the host alone.
    #[must_use]
    pub fn new(domain: Option<String>) -> Self {
        Self { domain }
    }

    /// Returns the name of the cookie for a kind of token in this mode. The name of the other mode is never read.
    #[must_use]
    pub fn name(&self, kind: Kind) -> &'static str {
        match (kind, &self.domain) {
            (Kind::Access, Some(_)) => "access_jwt",
            (Kind::Access, None) => "__Host-access_jwt",
            (Kind::Refresh, Some(_)) => "refresh_jwt",
            (Kind::Refresh, None) => "__Host-refresh_jwt",
        }
    }

    /// Returns the name of the device cookie in this mode.
    #[must_use]
    pub fn device_name(&self) -> &'static str {
        if self.domain.is_some() { "device" } else { "__Host-device" }
    }

    /// Finds our cookies in the lines of a `Cookie` header. Everything else there is skipped and is never an error.
    pub fn read<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> PresentedCookies<'a> {
        let mut presented = PresentedCookies::default();
        for pair in lines.into_iter().flat_map(|line| line.split(|&byte| byte == b';')) {
            let pair = trim(pair);
            let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            let values = match name {
                name if name == self.name(Kind::Access).as_bytes() => &mut presented.access,
                name if name == self.name(Kind::Refresh).as_bytes() => &mut presented.refresh,
                name if name == self.device_name().as_bytes() => &mut presented.device,
                _ => continue,
            };
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
        presented
    }

    /// Returns the `Set-Cookie` line of a token (R79).
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the cookie is too large for a browser (R83).
    pub fn set(&self, token: &Token, lifetime: Lifetime, now: Timestamp) -> Result<String> {
        let (name, value) = (self.name(token.kind), token.expose());
        if name.len() + value.len() > MAX_COOKIE {
            let problem = format!("{name} would be larger than {MAX_COOKIE} bytes");
            return Err(Error::Unexpected(problem.into()));
        }
        Ok(match lifetime {
            Lifetime::BrowserSession => format!("{name}={value}; {}", self.attributes()),
            Lifetime::Token => self.persistent(name, value, token.expires_at, now),
        })
    }

    /// Returns the `Set-Cookie` line of a device cookie. A logout keeps it, because it is not a credential (R22).
    #[must_use]
    pub fn set_device(&self, value: &SecretString, expires_at: Timestamp, now: Timestamp) -> String {
        self.persistent(self.device_name(), value.expose_secret(), expires_at, now)
    }

    fn persistent(&self, name: &str, value: &str, expires_at: Timestamp, now: Timestamp) -> String {
        let (max_age, expires) =
            (expires_at.since(now).as_secs(), httpdate::fmt_http_date(SystemTime::from(expires_at)));
        format!("{name}={value}; {}; Max-Age={max_age}; Expires={expires}", self.attributes())
    }

    /// Returns the `Set-Cookie` line that deletes a token cookie: with the same attributes, an empty value and an
    /// expiry in the past (R80).
    #[must_use]
    pub fn clear(&self, kind: Kind) -> String {
        clear(self.name(kind), self.domain.as_deref())
    }

    /// Returns the `Set-Cookie` lines that delete both token cookies.
    #[must_use]
    pub fn clear_both(&self) -> Vec<String> {
        [Kind::Access, Kind::Refresh].map(|kind| self.clear(kind)).into()
    }

    /// Returns the `Set-Cookie` lines that delete token cookies of our names in other scopes than ours: without
    /// `Domain`, and with every other domain that this host may name. Such a cookie can come from an older server or
    /// from another `COOKIE_DOMAIN`. The browser sends it beside ours, and the request is then ambiguous (R81).
    ///
    /// Send these lines before those of our own scope: on the host that `COOKIE_DOMAIN` names, a browser may keep only
    /// one of the two. Returns no lines for `__Host-` names and for `localhost`, because they have only one scope.
    #[must_use]
    pub fn clear_other_scopes(&self, host: Option<&str>) -> Vec<String> {
        let Some(ours) = self.domain.as_deref().filter(|domain| *domain != "localhost") else { return Vec::new() };
        let host = host.map(|host| host.split(':').next().unwrap_or_default().to_ascii_lowercase()).unwrap_or_default();
        let is_ours =
            host.strip_suffix(&ours.to_ascii_lowercase()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let host = if is_ours && host.len() <= MAX_DOMAIN { host } else { String::new() };
        let parents = host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..));
        let domains = [host.as_str()].into_iter().chain(parents);
        let others = domains.filter(|domain| is_cookie_domain(domain) && !domain.eq_ignore_ascii_case(ours));
        let scopes = others.map(Some).chain([None]);
        scopes.flat_map(|domain| [Kind::Access, Kind::Refresh].map(|kind| clear(self.name(kind), domain))).collect()
    }

    fn attributes(&self) -> String {
        attributes(self.domain.as_deref())
    }
}

/// How long a browser stores a token cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the token expires: with `Max-Age` and `Expires`.
    Token,
    /// Until the browser is closed: with neither `Max-Age` nor `Expires`.
    BrowserSession,
}

fn attributes(domain: Option<&str>) -> String {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    format!("Path=/; Secure; HttpOnly; SameSite=Strict{domain}")
}

fn clear(name: &str, domain: Option<&str>) -> String {
    format!("{name}=; {}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", attributes(domain))
}

/// Strips spaces and tabs, and no other white space.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Accepts a plain domain. It is written into a header as it is.
fn checked_domain(domain: String) -> Result<String> {
    if is_cookie_domain(&domain) {
        return Ok(domain);
    }
    reject("COOKIE_DOMAIN", "must be a plain domain such as example.com")
}

/// Returns `true` for a plain domain. Browsers reject cookies for an IP address or for a top-level domain, except for
/// `localhost`.
fn is_cookie_domain(domain: &str) -> bool {
    let is_address = domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_name = domain.len() <= MAX_DOMAIN && domain.split('.').all(is_label) && !is_address;
    is_name && (domain.contains('.') || domain == "localhost")
}

/// Returns `true` for one label of a domain. Browsers ignore the case of `Domain`.
fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// Tests reading cookies, and the check of `COOKIE_DOMAIN`. `tests/hostile_cookies.rs` tests setting cookies, and
/// events with hostile cookies.
#[cfg(test)]
mod tests {
    use super::*;

    /// R82. Also tries bytes that a JSON event cannot carry.
    #[test]
    fn our_cookies_are_found_between_foreign_cookies_with_any_bytes() {
        let [domain, host_only] = [Cookies::new(Some("localhost".into())), Cookies::new(None)];
        let every_byte: Vec<_> = (0..=u8::MAX).filter(|byte| *byte != b';').collect();
        for (cookies, ours) in [
            (&domain, [&b"access_jwt=A"[..], b"refresh_jwt=R", b"device=D"]),
            (&host_only, [b"__Host-access_jwt=A", b"__Host-refresh_jwt=R", b"__Host-device=D"]),
        ] {
            for foreign in [&b"a=1"[..], b"b", b"x=\xff\xfe\x01\"", b"\xff\x80=\"", &every_byte[..]] {
                let line = ours.map(|pair| [foreign, b";", pair, b"; "].concat()).concat();
                for lines in [vec![&line[..]], line.split_inclusive(|byte| *byte == b';').collect()] {
                    let presented = cookies.read(lines);
                    assert_eq!(presented.access_token(), Some(&b"A"[..]), "{foreign:?}");
                    assert_eq!(presented.refresh_token(), Some(&b"R"[..]), "{foreign:?}");
                    assert_eq!(presented.devices(), [b"D"], "{foreign:?}");
                }
            }
        }
    }

    #[test]
    fn a_cookie_domain_that_is_not_a_plain_domain_stops_the_start() {
        let of_labels = |lengths: [usize; 4]| lengths.map(|length| "a".repeat(length)).join(".");
        for domain in ["localhost", "login.example.com", &of_labels([63, 63, 63, 61])] {
            assert_eq!(checked_domain(domain.to_owned()).unwrap(), domain);
        }
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
            &of_labels([63, 63, 63, 62]),
            &of_labels([64, 1, 1, 1]),
        ] {
            let rejected = checked_domain(domain.to_owned());
            assert!(matches!(rejected, Err(Error::Setting { name: "COOKIE_DOMAIN", .. })), "{domain}");
        }
    }
}
