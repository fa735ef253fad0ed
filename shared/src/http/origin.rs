//! Which requests may change something: the defence against cross-site request forgery (CSRF).
//!
//! Owns the rule "Origin check" of `openapi.yaml` (in the contract: "Who may post"), for every function and every
//! unsafe method. Runs before authentication.

use std::sync::Arc;

use lambda_http::http::header::{AsHeaderName, HOST, ORIGIN};
use lambda_http::http::{HeaderMap, Method};

use super::{Error, Result};
use crate::config::{Environment, reject};
use crate::keys::Algorithm;

/// The longest host name in bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// The origins whose pages may change something, besides our own.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Arc<[String]>);

impl AllowedOrigins {
    /// Reads `ALLOWED_ORIGINS`: a comma-separated list, empty by default.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for an entry that is not an origin in the form in which
    /// browsers send it.
    pub fn from_env(env: &Environment) -> crate::error::Result<Self> {
        let list = env.or("ALLOWED_ORIGINS", "");
        let listed = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins: Option<_> = listed.map(|origin| is_origin(origin).then(|| origin.to_owned())).collect();
        let problem = "must list origins such as https://app.example.com, each as a browser sends it";
        origins.map_or_else(|| reject("ALLOWED_ORIGINS", problem), |origins| Ok(Self(origins)))
    }

    /// Returns the origins.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Accepts every request with a safe method. Accepts another request only from our own pages, from an allowed
    /// origin, or from a client that is not a browser.
    ///
    /// # Errors
    /// [`Error::ForeignOrigin`] for every other request.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<()> {
        if method.is_safe() || self.may_change(headers) { Ok(()) } else { Err(Error::ForeignOrigin) }
    }

    fn may_change(&self, headers: &HeaderMap) -> bool {
        let origin = only(headers, ORIGIN);
        if origin.is_some_and(|origin| self.0.iter().any(|allowed| allowed == origin)) {
            return true;
        }
        if headers.contains_key("sec-fetch-site") {
            return matches!(only(headers, "sec-fetch-site"), Some("same-origin" | "none"));
        }
        if headers.contains_key(ORIGIN) {
            return origin.zip(only(headers, HOST)).is_some_and(|(origin, host)| is_origin_of(origin, host));
        }
        true
    }
}

/// Returns `ISSUER` if it is an address at which a verifier can find the public keys: `https`, a host and an optional
/// port, as a browser sends an origin. Returns `None` for any other name.
#[must_use]
pub fn issuer_url(env: &Environment) -> Option<String> {
    env.optional("ISSUER").filter(|issuer| issuer.starts_with("https://") && is_origin(issuer))
}

/// Reads the algorithm of new keys for access tokens: `ACCESS_ALGORITHM`, `HS256` (the default) or `EdDSA`. With
/// `EdDSA`, other services find the public keys at the address in `ISSUER`.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) for another algorithm, or for `EdDSA` without such an address.
pub fn access_algorithm(env: &Environment) -> crate::error::Result<Algorithm> {
    let algorithm = Algorithm::named(&env.or("ACCESS_ALGORITHM", Algorithm::Hs256.name()));
    let (Some(algorithm), issuer) = (algorithm, issuer_url(env)) else {
        return reject("ACCESS_ALGORITHM", "must be HS256 or EdDSA");
    };
    if algorithm == Algorithm::EdDsa && issuer.is_none() {
        let problem = "must be an address such as https://auth.example.com if ACCESS_ALGORITHM is EdDSA: \
                       in lower case, without a path";
        return reject("ISSUER", problem);
    }
    Ok(algorithm)
}

/// Returns `true` if the host and the port of an origin are those of a `Host` header. The default port of the scheme
/// counts as absent on both sides, and the case does not count.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let [theirs, ours] = [authority, host].map(|host| host.strip_suffix(default_port).unwrap_or(host));
    theirs.eq_ignore_ascii_case(ours)
}

/// Returns the value of a header that was sent once, or `None`. The gateway joins repeated headers with a comma. Such a
/// value equals none of the values that the callers compare it with.
pub(super) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok())
}

/// Returns `true` for an origin as a browser sends it (RFC 6454 §6.2): scheme, host and an optional port, in lower
/// case, without a path and without the default port. `http` is accepted for this machine only, because browsers do not
/// send our cookies for other `http` pages.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let default_port = match (scheme, host) {
        ("https", _) => 443,
        ("http", "localhost" | "127.0.0.1" | "[::1]") => 80,
        _ => return false,
    };
    let is_host = host == "[::1]" || (host.len() <= MAX_HOST && host.split('.').all(is_label));
    let is_other_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number != default_port && number.to_string() == port);
    is_host && port.is_none_or(is_other_port)
}

/// Returns `true` for one label of a host name in lower case, which is how browsers send it.
fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use testbed::WHO_MAY_POST;

    use super::*;

    fn allowed(list: &str) -> crate::error::Result<AllowedOrigins> {
        AllowedOrigins::from_env(&Environment::new(testbed::settings(&[("ALLOWED_ORIGINS", list)])))
    }

    fn headers(origin: Option<&str>, site: Option<&str>, host: Option<&str>) -> HeaderMap {
        let named = [("origin", origin), ("sec-fetch-site", site), ("host", host)];
        named.into_iter().filter_map(|(name, value)| Some((name.parse().unwrap(), value?.parse().unwrap()))).collect()
    }

    /// R29, R85: the rule "Origin check" of `openapi.yaml`.
    #[test]
    fn an_unsafe_method_needs_our_origin_an_allowed_origin_or_a_client_that_is_no_browser() {
        let allowed = allowed("https://localhost:3000").unwrap();
        for (origin, site, host, passes) in WHO_MAY_POST {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let outcome = allowed.check(&method, &headers(origin, site, host));
                assert_eq!(outcome.is_ok(), passes, "{method} {origin:?} {site:?} {host:?}");
            }
        }
    }

    /// R85.
    #[test]
    fn a_safe_method_may_come_from_any_origin() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let foreign = headers(Some("https://evil.example"), Some("cross-site"), Some("localhost"));
            assert!(AllowedOrigins::default().check(&method, &foreign).is_ok());
        }
    }

    /// R85.
    #[test]
    fn an_empty_list_allows_no_origin() {
        let headers = headers(Some("https://localhost:3000"), Some("same-site"), Some("localhost:4000"));
        assert!(AllowedOrigins::default().check(&Method::POST, &headers).is_err());
    }

    /// R85: the adapter may keep repeated headers apart.
    #[test]
    fn a_repeated_origin_header_does_not_count() {
        let mut headers = headers(Some("https://localhost:3000"), None, Some("localhost:4000"));
        headers.append(ORIGIN, "https://evil.example".parse().unwrap());
        assert!(allowed("https://localhost:3000").unwrap().check(&Method::POST, &headers).is_err());
    }

    #[test]
    fn allowed_origins_are_exact() {
        let origins = allowed("https://localhost:3000, https://app.example.com,http://localhost:5173").unwrap();
        assert_eq!(origins.as_slice(), ["https://localhost:3000", "https://app.example.com", "http://localhost:5173"]);
        assert!(allowed("").unwrap().as_slice().is_empty());
        let of_labels =
            |lengths: [usize; 4]| format!("https://{}:65535", lengths.map(|length| "a".repeat(length)).join("."));
        assert!(allowed(&of_labels([63, 63, 63, 61])).is_ok());
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
            &of_labels([63, 63, 63, 62]),
            &of_labels([64, 1, 1, 1]),
        ] {
            assert!(allowed(origin).is_err(), "{origin}");
        }
    }
}
