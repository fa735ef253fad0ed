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

/// The reader alone. What is set, and what hostile events bring, is in `tests/hostile_cookies.rs`.
#[cfg(test)]
mod tests {
    use super::*;

    /// R82: also bytes that no event can carry, for an event is JSON.
    #[test]
    fn our_cookies_are_found_between_foreign_ones_of_any_bytes() {
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
                    assert_eq!(presented.one(Kind::Access), Some(&b"A"[..]), "{foreign:?}");
                    assert_eq!(presented.one(Kind::Refresh), Some(&b"R"[..]), "{foreign:?}");
                    assert_eq!(presented.devices(), [b"D"], "{foreign:?}");
                }
            }
        }
    }
}
