//! The pages that use the local stack: which of them can sign in, and what the log says about the others.
//!
//! A browser decides by the address of the page. It hides a response from a page whose origin CORS does not allow, and
//! it sends no `SameSite=Strict` cookie from a page of another site. `http` and `https` are different sites.

use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

/// The origins of front ends that are allowed by default. The pages at `http://localhost` reach a stack with TLS
/// through a proxy, such as the one of Vite.
pub(crate) const DEFAULT: &str =
    "https://localhost:3000,https://localhost:5173,http://localhost:3000,http://localhost:5173";

/// The same for a stack without TLS.
pub(crate) const DEFAULT_HTTP: &str = "http://localhost:3000,http://localhost:5173";

/// The stack and its pages, as a browser sees them.
#[derive(Clone, Debug)]
pub struct Pages {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// `COOKIE_DOMAIN`, or an empty text for host-only cookies.
    pub cookie_domain: String,
    /// `ALLOWED_ORIGINS`.
    pub allowed: Vec<String>,
}

impl Pages {
    /// Returns `true` if CORS allows this origin.
    #[must_use]
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }

    /// Returns why a page at this origin cannot sign in without a proxy, and what to do. Returns `None` if it can.
    #[must_use]
    pub fn obstacle(&self, origin: &str) -> Option<String> {
        let (scheme, host) = origin.split_once("://")?;
        let host =
            host.trim_end_matches(|character: char| character.is_ascii_digit()).strip_suffix(':').unwrap_or(host);
        let site = self.site();
        // `localhost` has no registrable domain, so its subdomains are other sites.
        let is_below = site != "localhost" && host.strip_suffix(site).is_some_and(|start| start.ends_with('.'));
        if host != site && !is_below {
            return Some(format!(
                "{host} and {site} are different sites for a browser: serve the page from {}://{site}",
                self.scheme
            ));
        }
        let advice = match (scheme, self.scheme) {
            ("http", "https") => "start with --http, or serve the page over https",
            ("https", "http") => "start without --http, or serve the page over http",
            _ => return None,
        };
        Some(format!("browser and stack disagree about http and https: {advice}"))
    }

    /// Returns a line for each setting with which a page cannot sign in. The default origins are no such setting: pages
    /// at some of them use a proxy.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let domain = &self.cookie_domain;
        let is_foreign = !domain.is_empty() && domain != "localhost";
        let domain = is_foreign.then(|| {
            format!(
                "COOKIE_DOMAIN is {domain}: at {}://localhost, a browser refuses these cookies. Open the stack at a \
                 name of {domain}, or unset COOKIE_DOMAIN",
                self.scheme
            )
        });
        let is_default = [DEFAULT, DEFAULT_HTTP].contains(&self.allowed.join(",").as_str());
        let origins = self.allowed.iter().filter(|_| !is_default).filter_map(|origin| {
            Some(format!("a page at {origin} cannot sign in without a proxy: {}", self.obstacle(origin)?))
        });
        domain.into_iter().chain(origins).collect()
    }

    /// Returns what the log says about the sender of a request. Returns `None` if the browser shows the response to the
    /// page, and if the page can sign in.
    #[must_use]
    pub fn hint(&self, headers: &HeaderMap, status: StatusCode) -> Option<String> {
        let site = headers.get("sec-fetch-site");
        let Some(origin) = headers.get(ORIGIN) else {
            let site = site.filter(|_| status == StatusCode::FORBIDDEN)?;
            return Some(format!("from a page without an origin (Sec-Fetch-Site: {})", printable(site)));
        };
        let is_own = match site {
            Some(site) => site == "same-origin",
            None => is_same_host(origin, headers.get(HOST)),
        };
        if is_own && status != StatusCode::FORBIDDEN {
            return None;
        }
        let origin_text = printable(origin);
        let obstacle = self.obstacle(&origin_text);
        if self.allows(origin) {
            return Some(format!("from {origin_text}: {}", obstacle?));
        }
        let is_navigation = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        let hidden = if is_navigation { "" } else { ", so the browser hides this response" };
        let obstacle = obstacle.map(|obstacle| format!("; {obstacle}")).unwrap_or_default();
        Some(format!("from {origin_text}: not in ALLOWED_ORIGINS{hidden}{obstacle}"))
    }

    /// Returns the host that a page must have, or be a subdomain of.
    fn site(&self) -> &str {
        if self.cookie_domain.is_empty() { "localhost" } else { &self.cookie_domain }
    }
}

/// Returns `true` if the origin has the host and the port of the request, as behind a proxy that keeps `Host`.
fn is_same_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = host.and_then(|host| host.to_str().ok());
    origin.zip(host).is_some_and(|((_, ours), host)| ours.eq_ignore_ascii_case(host))
}

/// Returns the value of a header for a terminal. Control characters could change what the terminal shows.
fn printable(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn pages(scheme: &'static str, cookie_domain: &str, allowed: &str) -> Pages {
        let allowed = allowed.split(',').map(str::to_owned).collect();
        Pages { scheme, cookie_domain: cookie_domain.to_owned(), allowed }
    }

    #[test]
    fn a_page_of_another_scheme_or_site_is_told_what_to_change() {
        let (use_http, use_https) = ("start with --http", "start without --http");
        for (scheme, domain, origin, expected) in [
            ("https", "localhost", "https://localhost:3000", None),
            ("https", "localhost", "https://localhost", None),
            ("https", "", "https://localhost:3000", None),
            ("http", "localhost", "http://localhost:5173", None),
            ("https", "example.test", "https://example.test", None),
            ("https", "example.test", "https://app.example.test:3000", None),
            ("https", "localhost", "http://localhost:5173", Some(use_http)),
            ("https", "localhost", "http://localhost", Some(use_http)),
            ("https", "", "http://localhost:5173", Some(use_http)),
            ("http", "localhost", "https://localhost:3000", Some(use_https)),
            ("https", "localhost", "https://127.0.0.1:3000", Some("127.0.0.1 and localhost are different sites")),
            ("http", "localhost", "http://127.0.0.1:5173", Some("from http://localhost")),
            ("https", "", "https://127.0.0.1:3000", Some("different sites")),
            ("https", "localhost", "https://[::1]:3000", Some("[::1] and localhost are different sites")),
            ("https", "localhost", "https://[::1]", Some("[::1] and localhost are different sites")),
            ("https", "localhost", "https://app.localhost:3000", Some("different sites")),
            ("https", "localhost", "https://app.example.com", Some("different sites")),
            ("https", "example.test", "https://localhost:3000", Some("different sites")),
            ("https", "example.test", "https://evilexample.test", Some("different sites")),
            ("https", "example.test", "http://app.example.test", Some(use_http)),
        ] {
            let obstacle = pages(scheme, domain, origin).obstacle(origin);
            let is_as_expected = match (&obstacle, expected) {
                (Some(obstacle), Some(expected)) => obstacle.contains(expected),
                (obstacle, expected) => obstacle.is_none() && expected.is_none(),
            };
            assert!(is_as_expected, "{scheme} {domain} {origin}: {obstacle:?}");
        }
    }

    #[test]
    fn each_setting_that_cannot_work_is_named_at_the_start() {
        for (scheme, domain, allowed, expected) in [
            ("https", "localhost", DEFAULT, &[][..]),
            ("https", "", DEFAULT, &[]),
            ("http", "localhost", DEFAULT_HTTP, &[]),
            ("https", "localhost", "https://localhost:8080", &[]),
            ("https", "localhost", "http://localhost:5173", &["http://localhost:5173"]),
            ("http", "localhost", "https://localhost:3000,http://localhost:3000", &["https://localhost:3000"]),
            ("https", "localhost", "https://127.0.0.1:3000", &["https://127.0.0.1:3000"]),
            ("https", "example.test", DEFAULT, &["COOKIE_DOMAIN is example.test"]),
            ("https", "127.0.0.1", "https://127.0.0.1:3000", &["COOKIE_DOMAIN is 127.0.0.1"]),
        ] {
            let warnings = pages(scheme, domain, allowed).warnings();
            assert_eq!(warnings.len(), expected.len(), "{scheme} {domain} {allowed}: {warnings:?}");
            for (warning, expected) in warnings.iter().zip(expected) {
                assert!(warning.contains(expected), "{scheme} {domain} {allowed}: {warning}");
            }
        }
    }

    #[test]
    fn the_log_has_a_hint_for_each_response_that_the_browser_hides() {
        let pages = pages("https", "localhost", DEFAULT);
        let hidden = "so the browser hides this response";
        for (status, headers, expected) in [
            // No page, the page of the service, an allowed page.
            (200, &[][..], None),
            (401, &[("sec-fetch-site", "same-origin")], None),
            (401, &[("origin", "https://localhost:3000"), ("sec-fetch-site", "same-site")], None),
            (200, &[("origin", "https://localhost:4000"), ("sec-fetch-site", "same-origin")], None),
            (200, &[("origin", "https://localhost:4000"), ("host", "LOCALHOST:4000")], None),
            // A page behind a proxy that changes the host, and behind one that keeps it.
            (200, &[("origin", "http://localhost:5173"), ("sec-fetch-site", "same-origin")], None),
            (200, &[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], None),
            (200, &[("origin", "http://localhost:8080"), ("host", "localhost:8080")], None),
            // A page that CORS does not allow.
            (401, &[("origin", "https://localhost:8080"), ("sec-fetch-site", "same-site")], Some(hidden)),
            (200, &[("origin", "https://localhost:8080"), ("host", "localhost:4000")], Some(hidden)),
            (204, &[("origin", "https://evil.example")], Some(hidden)),
            (404, &[("origin", "null")], Some("from null: not in ALLOWED_ORIGINS")),
            (200, &[("origin", "")], Some(hidden)),
            (401, &[("origin", "http://localhost:8080"), ("sec-fetch-site", "cross-site")], Some("start with --http")),
            // An allowed page that cannot sign in.
            (302, &[("origin", "http://localhost:5173"), ("sec-fetch-site", "cross-site")], Some("start with --http")),
            (401, &[("origin", "http://localhost:3000"), ("host", "localhost:4000")], Some("start with --http")),
            // A refused request. A navigation is not hidden.
            (403, &[("origin", "https://evil.example"), ("sec-fetch-mode", "navigate")], Some("https://evil.example")),
            (403, &[("sec-fetch-site", "cross-site")], Some("Sec-Fetch-Site: cross-site")),
        ] {
            let named = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            let hint = pages.hint(&named.collect(), StatusCode::from_u16(status).unwrap());
            let is_as_expected = match (&hint, expected) {
                (Some(hint), Some(expected)) => hint.contains(expected),
                (hint, expected) => hint.is_none() && expected.is_none(),
            };
            assert!(is_as_expected, "{status} {headers:?}: {hint:?}");
            let is_navigation = headers.contains(&("sec-fetch-mode", "navigate"));
            assert!(!is_navigation || hint.is_some_and(|hint| !hint.contains(hidden)), "{headers:?}");
        }
    }

    #[test]
    fn a_hint_shows_no_control_characters() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes("https://\u{9b}31m.example".as_bytes()).unwrap());
        let hint = pages("https", "localhost", DEFAULT).hint(&headers, StatusCode::OK).unwrap();
        assert!(hint.contains("\\u{9b}") && !hint.contains(char::is_control), "{hint}");
    }
}
