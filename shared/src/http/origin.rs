//! Who may post: the defence against requests that a foreign site makes a browser send (CSRF).
//!
//! Owns the contract's rule of that name, for every function and every method that changes something. Knows no session:
//! it decides before anybody asks who is signed in.

use lambda_http::http::header::{AsHeaderName, HOST, ORIGIN};
use lambda_http::http::{HeaderMap, Method};

use crate::error::{Error, Result};

/// Lets a request pass that changes nothing, or that our own pages, an allowed origin or no browser at all sent.
///
/// # Errors
/// [`Error::ForeignOrigin`] for all others.
pub(super) fn check(method: &Method, headers: &HeaderMap, allowed_origins: &[String]) -> Result<()> {
    if method.is_safe() || may_change(headers, allowed_origins) { Ok(()) } else { Err(Error::ForeignOrigin) }
}

fn may_change(headers: &HeaderMap, allowed_origins: &[String]) -> bool {
    let origin = only(headers, ORIGIN);
    if origin.is_some_and(|origin| allowed_origins.iter().any(|allowed| allowed == origin)) {
        return true;
    }
    if headers.contains_key("sec-fetch-site") {
        return matches!(only(headers, "sec-fetch-site"), Some("same-origin" | "none"));
    }
    if headers.contains_key(ORIGIN) {
        return origin
            .and_then(host_of)
            .is_some_and(|host| only(headers, HOST).is_some_and(|ours| ours.eq_ignore_ascii_case(host)));
    }
    true
}

/// The host, and the port where it is not the scheme's own, as a browser writes both into `Host`.
fn host_of(origin: &str) -> Option<&str> {
    let (scheme, host) = origin.split_once("://")?;
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    Some(host.strip_suffix(default_port).unwrap_or(host))
}

/// The value of a header that was sent once. One that was sent twice says nothing: the gateway joins them with a comma,
/// and no value that is compared here has one.
pub(super) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use testbed::WHO_MAY_POST;

    use super::*;

    fn headers(origin: Option<&str>, site: Option<&str>, host: Option<&str>) -> HeaderMap {
        let named = [("origin", origin), ("sec-fetch-site", site), ("host", host)];
        named.into_iter().filter_map(|(name, value)| Some((name.parse().unwrap(), value?.parse().unwrap()))).collect()
    }

    /// R29, R85: contract, "Who may post", for every method that changes something.
    #[test]
    fn what_changes_something_must_come_from_us_from_an_allowed_origin_or_from_no_browser() {
        let allowed = ["https://localhost:3000".to_owned()];
        for (origin, site, host, passes) in WHO_MAY_POST {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                let verdict = check(&method, &headers(origin, site, host), &allowed);
                assert_eq!(verdict.is_ok(), passes, "{method} {origin:?} {site:?} {host:?}");
            }
        }
    }

    /// R85.
    #[test]
    fn what_changes_nothing_may_come_from_anywhere() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(
                check(&method, &headers(Some("https://evil.example"), Some("cross-site"), Some("localhost")), &[])
                    .is_ok()
            );
        }
    }

    /// R85.
    #[test]
    fn an_empty_list_of_origins_never_means_any() {
        let headers = headers(Some("https://localhost:3000"), Some("same-site"), Some("localhost:4000"));
        assert!(check(&Method::POST, &headers, &[]).is_err());
    }

    /// R85: where the two come apart, too.
    #[test]
    fn a_header_sent_twice_says_nothing() {
        let mut headers = headers(Some("https://localhost:3000"), None, Some("localhost:4000"));
        headers.append(ORIGIN, "https://evil.example".parse().unwrap());
        assert!(check(&Method::POST, &headers, &["https://localhost:3000".to_owned()]).is_err());
    }
}
