//! Our cookies: set, read, clear. Two hold tokens; a third marks a device.
//!
//! Owns their names and attributes in both modes, and a byte-exact reader of exactly those names (R81): a general
//! cookie parser trims Unicode white space and lets `U+2000__Host-…` pass for ours (measured). Knows nothing of what
//! the values mean.

use std::collections::HashSet;
use std::time::SystemTime;

use secrecy::ExposeSecret as _;

use crate::claims::{Claims, Kind, Subject};
use crate::clock::Timestamp;
use crate::device::DeviceCookie;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::tokens::{Signer, Token, Verifier};

/// The largest cookie that a browser keeps, name and value together (RFC 6265bis §5.6).
const LARGEST: usize = 4096;

/// Our cookies, in one of two modes: with a `Domain`, or host-only under a `__Host-` name.
#[derive(Clone, Debug)]
pub struct Cookies {
    domain: Option<String>,
}

/// What a request brought under our two names.
#[derive(Clone, Default)]
pub struct Presented<'a> {
    access: Vec<&'a [u8]>,
    refresh: Vec<&'a [u8]>,
    device: Vec<&'a [u8]>,
}

impl<'a> Presented<'a> {
    /// Every different value under the name of `kind`.
    #[must_use]
    pub fn all(&self, kind: Kind) -> &[&'a [u8]] {
        match kind {
            Kind::Access => &self.access,
            Kind::Refresh => &self.refresh,
        }
    }

    /// Every different value under the name of the device cookie.
    #[must_use]
    pub fn devices(&self) -> &[&'a [u8]] {
        &self.device
    }

    /// The value under the name of `kind`, where there is exactly one.
    #[must_use]
    pub fn one(&self, kind: Kind) -> Option<&'a [u8]> {
        match self.all(kind) {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The claims of the tokens of these kinds that we signed, good now or not; of each session once.
    #[must_use]
    pub fn claims(&self, kinds: &[Kind], verifier: &Verifier) -> Vec<Claims> {
        let tokens = kinds.iter().flat_map(|&kind| self.all(kind).iter().map(move |token| (kind, token)));
        let claims = tokens.filter_map(|(kind, token)| verifier.authentic(kind, token).ok());
        let mut seen = HashSet::new();
        claims.filter(|claims| seen.insert((claims.sub.clone(), claims.sid.clone()))).collect()
    }

    /// Whether one of our names came twice with different values: somebody else may have set one of them (R81).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.access.len() > 1 || self.refresh.len() > 1
    }
}

impl Cookies {
    /// Cookies for `domain` and what is below it, or for this host alone.
    #[must_use]
    pub fn new(domain: Option<String>) -> Self {
        Self { domain }
    }

    /// The name of the cookie of `kind` in this mode; the other mode's name is never read.
    #[must_use]
    pub fn name(&self, kind: Kind) -> &'static str {
        match (kind, &self.domain) {
            (Kind::Access, Some(_)) => "access_jwt",
            (Kind::Access, None) => "__Host-access_jwt",
            (Kind::Refresh, Some(_)) => "refresh_jwt",
            (Kind::Refresh, None) => "__Host-refresh_jwt",
        }
    }

    /// The name of the device cookie in this mode.
    #[must_use]
    pub fn device_name(&self) -> &'static str {
        if self.domain.is_some() { "device" } else { "__Host-device" }
    }

    /// Finds our cookies in the lines of a `Cookie` header. Whatever else stands there is skipped, never an error.
    pub fn read<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Presented<'a> {
        let mut presented = Presented::default();
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

    /// The `Set-Cookie` lines of a session: a new access token; and the current refresh token, for somebody who asked to be
    /// kept signed in.
    ///
    /// # Errors
    /// As [`set`](Self::set), and where a token cannot be signed.
    pub fn of_session(
        &self,
        session: &Session,
        subject: &Subject<'_>,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        let access = signer.access(subject, now, session.ends_at())?;
        let Some(generation) = session.current_generation() else {
            return Ok(vec![self.set(&access, Lifetime::BrowserSession, now)?]);
        };
        let refresh = signer.refresh(subject, &generation)?;
        [access, refresh].iter().map(|token| self.set(token, Lifetime::Token, now)).collect()
    }

    /// The `Set-Cookie` line that hands out `token`: until it expires, or until the browser is closed (R79).
    ///
    /// # Errors
    /// [`Error::Unexpected`] where a browser would throw the cookie away for its size (R83).
    pub fn set(&self, token: &Token, lifetime: Lifetime, now: Timestamp) -> Result<String> {
        let (name, value) = (self.name(token.kind), token.expose());
        if name.len() + value.len() > LARGEST {
            return Err(Error::Unexpected(
                format!("{name} would be larger than {LARGEST} bytes: too many roles?").into(),
            ));
        }
        Ok(match lifetime {
            Lifetime::BrowserSession => format!("{name}={value}; {}", self.attributes()),
            Lifetime::Token => self.lasting(name, value, token.expires_at, now),
        })
    }

    /// The `Set-Cookie` line that marks a device. Logging out leaves it: it signs nobody in (R22).
    #[must_use]
    pub fn set_device(&self, cookie: &DeviceCookie, now: Timestamp) -> String {
        self.lasting(self.device_name(), cookie.value.expose_secret(), cookie.expires_at, now)
    }

    fn lasting(&self, name: &str, value: &str, until: Timestamp, now: Timestamp) -> String {
        let (max_age, expires) = (until.since(now).as_secs(), httpdate::fmt_http_date(SystemTime::from(until)));
        format!("{name}={value}; {}; Max-Age={max_age}; Expires={expires}", self.attributes())
    }

    /// The `Set-Cookie` line that makes a browser forget the cookie of `kind`: every attribute again, in the past (R80).
    #[must_use]
    pub fn clear(&self, kind: Kind) -> String {
        let (name, attributes) = (self.name(kind), self.attributes());
        format!("{name}=; {attributes}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    }

    /// Both cookies, cleared.
    #[must_use]
    pub fn clear_both(&self) -> [String; 2] {
        [Kind::Access, Kind::Refresh].map(|kind| self.clear(kind))
    }

    fn attributes(&self) -> String {
        let domain = self.domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        format!("Path=/; Secure; HttpOnly; SameSite=Strict{domain}")
    }
}

/// How long a browser keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the token in it is good.
    Token,
    /// Until the browser is closed: neither `Max-Age` nor `Expires`.
    BrowserSession,
}

/// Strips spaces and tabs, and no other white space.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cookie_store::{CookieDomain, CookieExpiration, CookieStore};
    use url::Url;

    use super::*;
    use crate::claims::Subject;
    use crate::config::Config;
    use crate::id::{SessionId, UserId};
    use crate::session::Generation;
    use crate::tokens::Signer;

    fn modes() -> [Cookies; 2] {
        [Cookies::new(Some("localhost".into())), Cookies::new(None)]
    }

    fn token(roles: &[String], now: Timestamp) -> Token {
        let config = Config::from_lookup(testbed::settings(&[])).unwrap();
        let subject = Subject {
            user_id: &UserId::parse("0").unwrap(),
            email: "kim@example.com",
            roles,
            session_id: &SessionId::random().unwrap(),
        };
        Signer::new(&config).access(&subject, now, now + Duration::from_hours(24)).unwrap()
    }

    fn read(cookies: &Cookies, header: &[u8]) -> (Vec<String>, Vec<String>) {
        let presented = cookies.read([header]);
        let texts =
            |kind| presented.all(kind).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        (texts(Kind::Access), texts(Kind::Refresh))
    }

    fn nothing() -> (Vec<String>, Vec<String>) {
        (vec![], vec![])
    }

    /// R79, with an independent parser.
    #[test]
    fn a_set_cookie_line_has_exactly_the_attributes_of_the_contract() {
        let now = Timestamp::now();
        let url = Url::parse("https://localhost:4000/login").unwrap();
        for cookies in modes() {
            let token = token(&[], now);
            let mut store = CookieStore::default();
            store.parse(&cookies.set(&token, Lifetime::Token, now).unwrap(), &url).unwrap();
            let cookie = store.iter_any().next().unwrap();
            assert_eq!((cookie.name(), cookie.value()), (cookies.name(Kind::Access), token.expose()));
            assert_eq!((cookie.secure(), cookie.http_only()), (Some(true), Some(true)));
            assert_eq!(cookie.same_site().unwrap().to_string(), "Strict");
            assert_eq!(cookie.path.as_ref(), "/");
            assert_eq!(cookie.max_age().unwrap().whole_seconds(), 86_400);
            let expires = cookie.expires_datetime().unwrap().unix_timestamp();
            assert_eq!(u64::try_from(expires).unwrap(), token.expires_at.as_secs());
            match cookies.domain {
                Some(_) => assert_eq!(cookie.domain, CookieDomain::Suffix("localhost".into())),
                None => assert_eq!(cookie.domain, CookieDomain::HostOnly("localhost".into())),
            }
        }
    }

    #[test]
    fn a_cookie_that_ends_with_the_browser_says_nothing_of_time() {
        let now = Timestamp::now();
        let line = modes()[0].set(&token(&[], now), Lifetime::BrowserSession, now).unwrap();
        let url = Url::parse("https://localhost:4000/login").unwrap();
        let mut store = CookieStore::default();
        store.parse(&line, &url).unwrap();
        assert_eq!(store.iter_any().next().unwrap().expires, CookieExpiration::SessionEnd);
        assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
    }

    /// R80.
    #[test]
    fn a_cleared_cookie_leaves_the_jar() {
        let now = Timestamp::now();
        let url = Url::parse("https://localhost:4000/login").unwrap();
        for cookies in modes() {
            let set = cookies.set(&token(&[], now), Lifetime::Token, now).unwrap();
            let clear = cookies.clear(Kind::Access);
            let attributes = |line: &str| {
                let mut names: Vec<_> =
                    line.split("; ").skip(1).map(|part| part.split('=').next().unwrap().to_owned()).collect();
                names.sort();
                names
            };
            assert_eq!(attributes(&set), attributes(&clear));
            let mut store = CookieStore::default();
            store.parse(&set, &url).unwrap();
            assert_eq!(store.iter_unexpired().count(), 1);
            store.parse(&clear, &url).ok();
            assert_eq!(store.iter_unexpired().count(), 0);
        }
    }

    /// R83: with the largest access cookie and the longest address there is, both are under 6 KiB together.
    #[test]
    fn both_cookies_together_fit_into_a_request() {
        let config = Config::from_lookup(testbed::settings(&[])).unwrap();
        let (now, id) = (Timestamp::now(), UserId::parse("x".repeat(64)).unwrap());
        let email = format!("{}@example.com", "e".repeat(242));
        let subject = Subject { user_id: &id, email: &email, roles: &[], session_id: &SessionId::random().unwrap() };
        let (signer, expires_at) = (Signer::new(&config), now + Duration::from_hours(24));
        let generation = Generation { number: u64::MAX, kid: signer.refresh_kid(), issued_at: now, expires_at };
        let refresh = signer.refresh(&subject, &generation).unwrap();
        assert!(LARGEST + refresh.expose().len() + "__Host-refresh_jwt".len() <= 6 * 1024);
    }

    /// R83.
    #[test]
    fn a_cookie_that_a_browser_would_throw_away_is_not_set() {
        let now = Timestamp::now();
        let longest = (0..LARGEST)
            .find(|&length| modes()[1].set(&token(&["r".repeat(length)], now), Lifetime::Token, now).is_err());
        let length = |roles: usize| token(&["r".repeat(roles)], now).expose().len() + "__Host-access_jwt".len();
        assert!(length(longest.unwrap() - 1) <= LARGEST && length(longest.unwrap()) > LARGEST);
        let error = modes()[0].set(&token(&["r".repeat(3000)], now), Lifetime::Token, now).unwrap_err();
        assert!(error.causes().contains("too many roles"), "{error:?}");
    }

    #[test]
    fn our_cookies_are_found_between_foreign_ones() {
        let [domain, host_only] = modes();
        assert_eq!(read(&domain, b"a=1; access_jwt=A; b; refresh_jwt=R;c=2"), (vec!["A".into()], vec!["R".into()]));
        assert_eq!(
            read(&host_only, b"__Host-access_jwt=A;\t__Host-refresh_jwt=R \t"),
            (vec!["A".into()], vec!["R".into()])
        );
    }

    #[test]
    fn one_mode_never_reads_the_names_of_the_other() {
        let [domain, host_only] = modes();
        assert_eq!(read(&domain, b"__Host-access_jwt=A; __Host-refresh_jwt=R"), nothing());
        assert_eq!(read(&host_only, b"access_jwt=A; refresh_jwt=R"), nothing());
    }

    #[test]
    fn whole_set_cookie_lines_sent_back_are_understood() {
        let now = Timestamp::now();
        let token = token(&[], now);
        for cookies in modes() {
            let line = cookies.set(&token, Lifetime::Token, now).unwrap();
            let header = format!("{line}; {}", cookies.clear(Kind::Refresh));
            assert_eq!(read(&cookies, header.as_bytes()), (vec![token.expose().to_owned()], vec![]));
        }
    }

    /// R81.
    #[test]
    fn a_name_that_only_resembles_ours_is_not_ours() {
        let [_, host_only] = modes();
        for header in [
            "\u{2000}__Host-access_jwt=evil",
            "\u{85}__Host-access_jwt=evil",
            "\u{a0}__Host-access_jwt=evil",
            "$Version=1, __Host-access_jwt=evil",
            "__HOST-access_jwt=evil",
            "__host-access_jwt=evil",
            "%5F%5FHost-access_jwt=evil",
            "=__Host-access_jwt=evil",
            "__Host-access_jwt",
            "\"__Host-access_jwt\"=evil",
            "__Host-access_jwt =evil",
            "x__Host-access_jwt=evil",
            "__Host-access_jwt2=evil",
        ] {
            assert_eq!(read(&host_only, header.as_bytes()), nothing(), "{header}");
            let beside = format!("{header}; __Host-access_jwt=good");
            assert_eq!(read(&host_only, beside.as_bytes()).0, ["good"], "{beside}");
        }
    }

    /// R82.
    #[test]
    fn a_foreign_cookie_of_any_bytes_cannot_hide_ours() {
        let [domain, _] = modes();
        assert_eq!(read(&domain, b"x=\xff\xfe\x01\"; access_jwt=A; y=\"; z").0, ["A"]);
        let crowd = "a=b; ".repeat(1000);
        assert_eq!(read(&domain, format!("{crowd}access_jwt=A; {crowd}").as_bytes()).0, ["A"]);
    }

    /// R81.
    #[test]
    fn the_same_pair_twice_is_one_and_two_values_are_ambiguous() {
        let [domain, _] = modes();
        let same = domain.read([b"access_jwt=A; access_jwt=A".as_slice()]);
        assert!(!same.is_ambiguous());
        assert_eq!(same.one(Kind::Access), Some(b"A".as_slice()));
        let different = domain.read([b"access_jwt=A".as_slice(), b"access_jwt=B".as_slice()]);
        assert!(different.is_ambiguous());
        assert_eq!(different.one(Kind::Access), None);
        assert_eq!(different.all(Kind::Access).len(), 2);
        let one_of_each = domain.read([b"access_jwt=A; refresh_jwt=B".as_slice()]);
        assert!(!one_of_each.is_ambiguous());
        assert!(domain.read([b"refresh_jwt=A; refresh_jwt=B".as_slice()]).is_ambiguous());
    }
}
