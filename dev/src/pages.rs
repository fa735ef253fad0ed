//! The pages that use the local stack: which of them can sign in, and what the log says about the others.
//!
//! A browser decides by the address of the page. It hides a response from a page whose origin CORS does not allow, and
//! it sends no `SameSite=Strict` cookie from a page of another site. `http` and `https` are different sites.

use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

/// The origins of front ends that are allowed by default. The pages at `http://localhost` reach a stack with TLS through
/// a proxy, such as the one of Vite.
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
        let host = host.rsplit_once(':').map_or(host, |(name, _port)| name);
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
