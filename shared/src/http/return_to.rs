//! Where a visitor goes after the sign-in.
//!
//! Owns the parameter `return_to`. It accepts a path of this service, and an address whose origin is allowed. Nothing
//! else, so that no link to our sign-in page leads to a page of a stranger (open redirect, CWE-601).

use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::AllowedOrigins;

/// Our own pages whose parameters a visitor must not bring along.
const OWN: [&str; 2] = ["/login", "/userinfo"];

/// The longest address in bytes, after its characters outside ASCII are encoded.
const MAX_ADDRESS: usize = 2000;

/// The characters of an address (RFC 3986 §2): no space, no control character, no quotation mark and no backslash,
/// which a browser reads as a slash.
const PUNCTUATION: &[u8] = b"-._~:/?#[]@!$&'()*+,;=%";

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    address: String,
    /// The origin of the address, if it is on another origin than ours.
    origin: Option<String>,
}

impl ReturnTo {
    /// Checks an address. Returns `None` if a visitor must not be sent there.
    pub(super) fn parse(address: &str, allowed: &AllowedOrigins) -> Option<Self> {
        // As a browser does. Other characters stay, so that the check below sees them.
        let address = utf8_percent_encode(address, &AsciiSet::EMPTY).to_string();
        let origin = allowed.as_slice().iter().find(|origin| is_below(&address, origin)).cloned();
        let path = &address[origin.as_deref().map_or(0, str::len)..];
        let is_ours = origin.is_some() || path.starts_with('/');
        let directory = path.split(['?', '#']).next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || PUNCTUATION.contains(&byte);
        let is_valid =
            is_ours && address.len() <= MAX_ADDRESS && !directory.contains("//") && address.bytes().all(is_plain);
        // No link may choose what our own pages say, such as a notice.
        let address = if origin.is_none() && OWN.contains(&directory) { directory.to_owned() } else { address.clone() };
        is_valid.then_some(Self { address, origin })
    }

    /// Returns the address, for a `Location` header.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the origin of the address, or `None` if it is a path of this service.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns a path with the address in its query.
    #[must_use]
    pub fn after(&self, path: &str) -> String {
        let query = serde_urlencoded::to_string([("return_to", &self.address)]).unwrap_or_default();
        format!("{path}?{query}")
    }
}

/// Returns `true` if an address is an origin, or starts with it and goes on with a path, a query or a fragment. So
/// neither a longer host nor a login name before `@` can follow the origin.
fn is_below(address: &str, origin: &str) -> bool {
    address.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn parse(address: &str) -> Option<ReturnTo> {
        let origins = [("ALLOWED_ORIGINS", "https://app.example.com,http://localhost:5173")];
        let allowed = AllowedOrigins::from_env(&Environment::new(testbed::settings(&origins))).unwrap();
        ReturnTo::parse(address, &allowed)
    }

    #[test]
    fn a_visitor_returns_to_a_path_or_to_an_allowed_origin() {
        for (address, origin) in [
            ("/", None),
            ("/userinfo", None),
            ("/shop/cart?item=1&next=https://other.example//x#top", None),
            ("/a/../b", None),
            ("/@evil.example", None),
            ("/:evil.example", None),
            ("/%2f%2fevil.example", None),
            ("https://app.example.com", Some("https://app.example.com")),
            ("https://app.example.com/", Some("https://app.example.com")),
            ("https://app.example.com/a/b?c=d#e", Some("https://app.example.com")),
            ("https://app.example.com?c", Some("https://app.example.com")),
            ("https://app.example.com#/route", Some("https://app.example.com")),
            ("http://localhost:5173/x", Some("http://localhost:5173")),
        ] {
            let found = parse(address).unwrap_or_else(|| panic!("{address}"));
            assert_eq!((found.address(), found.origin()), (address, origin));
        }
        assert_eq!(parse("/userinfo?notice=password-changed&lang=ko").unwrap().address(), "/userinfo");
        assert_eq!(parse("/프로필").unwrap().address(), "/%ED%94%84%EB%A1%9C%ED%95%84");
        assert_eq!(parse("/a?b=c&d#e").unwrap().after("/login"), "/login?return_to=%2Fa%3Fb%3Dc%26d%23e");
    }

    /// The address comes back from the form of the sign-in page, and is checked again.
    #[test]
    fn an_accepted_address_is_accepted_again() {
        for address in ["/a?b=c#d", "/프로필?이름=김", "https://app.example.com/가", &format!("/{}", "가".repeat(220))]
        {
            let found = parse(address).unwrap();
            assert_eq!(parse(found.address()), Some(found.clone()), "{address}");
        }
        assert_eq!(parse(&format!("/{}", "가".repeat(223))), None);
    }

    /// R89: the usual ways around the check of a redirect (OWASP, Unvalidated Redirects and Forwards).
    #[test]
    fn a_visitor_is_never_sent_to_another_origin() {
        let long = format!("/{}", "a".repeat(MAX_ADDRESS));
        for address in [
            "",
            " ",
            "userinfo",
            "?x",
            "#x",
            ".evil.example",
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nLocation: https://evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/\u{0}/evil.example",
            "/a//evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https://evil.example",
            "https://evil.example/https://app.example.com",
            "https://evil.example#https://app.example.com",
            "https://evil.example?https://app.example.com",
            "https://app.example.com@evil.example",
            "https://app.example.com:pass@evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com%2eevil.example",
            "https://app.example.comevil.example",
            "https://app.example.com:444",
            "https://app.example.com:443",
            "https://app.example.com\\@evil.example",
            "https://app.example.com\\evil.example",
            "https://app.example.com。evil.example",
            "https://app.example.com\t.evil.example",
            "https://app.example.com//evil.example",
            "https://evil-app.example.com",
            "https://sub.app.example.com",
            "HTTPS://app.example.com",
            "https://APP.example.com",
            "http://app.example.com",
            "http://localhost:51733",
            "ftp://app.example.com",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
            "blob:https://app.example.com/x",
            "file:///etc/passwd",
            "/<script>",
            "/\"onload=",
            "/{}|^`",
            &long,
        ] {
            assert_eq!(parse(address), None, "{address:?}");
        }
    }
}
