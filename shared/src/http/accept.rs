//! What a client accepts: a page or JSON, and in which language.
//!
//! Owns how `Accept`, `Accept-Language` and the language cookie are read (RFC 9110 §12.4 and §12.5). A page is only for
//! a client that names `text/html` and prefers it: every browser does when a person opens an address. No script and no
//! command-line tool gets one by accident.

use lambda_http::http::header::{ACCEPT, ACCEPT_LANGUAGE, AsHeaderName, COOKIE};
use lambda_http::http::{HeaderMap, HeaderValue};

use crate::page::{Language, Page, Pages};

/// The media type of problem details.
const PROBLEM: &str = "application/problem+json";

/// The cookie with the language that a person chose. It is for our host only, so that it cannot meet a cookie of the
/// application.
const LANGUAGE_COOKIE: &str = "__Host-lang";

/// How long a browser keeps the language, in seconds: a year.
const LANGUAGE_MAX_AGE: u32 = 31_536_000;

/// The form in which a client gets an error.
#[derive(Clone)]
pub(super) enum ErrorFormat {
    /// A page.
    Page(Page),
    /// Problem details, for a 401 as well.
    Problem,
    /// Problem details, but the plain text of the contract for a 401.
    Plain,
}

impl ErrorFormat {
    /// Returns the form for a request with these headers. `chosen` is the language in its query.
    pub(super) fn of(headers: &HeaderMap, chosen: Option<Language>, pages: &Pages) -> Self {
        if prefers_html(headers) {
            return Self::Page(pages.in_language(chosen.unwrap_or_else(|| language(headers))));
        }
        if accepts_problem(headers) { Self::Problem } else { Self::Plain }
    }

    /// Returns the pages for the client, or `None` if it prefers JSON.
    pub(super) fn page(&self) -> Option<&Page> {
        match self {
            Self::Page(page) => Some(page),
            Self::Problem | Self::Plain => None,
        }
    }
}

/// Returns `true` if the client names `text/html` and prefers it to JSON. A wildcard counts for JSON only, so that a
/// client that accepts anything gets JSON.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges = weighted(headers, ACCEPT);
    let quality = |name| quality_of(&ranges, name);
    // The default header of Java names HTML and two kinds of image, although its programs expect JSON. A browser that
    // names images also names XHTML.
    if quality("image/gif").is_some() && quality("application/xhtml+xml").is_none() {
        return false;
    }
    let json = [quality("application/json"), quality(PROBLEM)].into_iter().flatten().reduce(f32::max);
    let json = json.or_else(|| quality("application/*")).or_else(|| quality("*/*"));
    quality("text/html").unwrap_or(0.0) > json.unwrap_or(0.0)
}

/// Returns `true` if the client names `application/problem+json` and does not exclude it. A wildcard is not enough,
/// because the first clients send one and expect the plain text of a 401.
fn accepts_problem(headers: &HeaderMap) -> bool {
    quality_of(&weighted(headers, ACCEPT), PROBLEM).is_some_and(|quality| quality > 0.0)
}

/// Returns the language of the cookie, else the preferred one of `Accept-Language`, else English.
fn language(headers: &HeaderMap) -> Language {
    chosen_before(headers).or_else(|| preferred(headers)).unwrap_or_default()
}

/// Returns the language of the cookie.
fn chosen_before(headers: &HeaderMap) -> Option<Language> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let tag = pairs.find_map(|pair| pair.strip_prefix(LANGUAGE_COOKIE.as_bytes())?.strip_prefix(b"="))?;
    Language::of_tag(std::str::from_utf8(tag).ok()?)
}

/// Returns the known language with the highest quality. The first one of several counts.
fn preferred(headers: &HeaderMap) -> Option<Language> {
    let mut best: Option<(Language, f32)> = None;
    for (tag, quality) in weighted(headers, ACCEPT_LANGUAGE) {
        if let Some(language) = Language::of_tag(tag)
            && quality > best.map_or(0.0, |(_, best)| best)
        {
            best = Some((language, quality));
        }
    }
    best.map(|(language, _)| language)
}

/// Returns the `Set-Cookie` line that keeps a language.
pub(super) fn language_cookie(language: Language) -> String {
    let tag = language.tag();
    format!("{LANGUAGE_COOKIE}={tag}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LANGUAGE_MAX_AGE}")
}

/// Returns the members of a header such as `Accept`, each with its quality, which is 1 by default and 0 if it is
/// invalid (RFC 9110 §12.4.2).
fn weighted(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<(&str, f32)> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(',')).map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut parameters = parts.filter_map(|part| part.split_once('='));
        let quality = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let is_valid = |quality: &f32| (0.0..=1.0).contains(quality);
        (name, quality.map_or(1.0, |(_, quality)| quality.trim().parse().ok().filter(is_valid).unwrap_or(0.0)))
    });
    members.collect()
}

/// Returns the quality of a member, or `None` if it is not named.
fn quality_of(members: &[(&str, f32)], name: &str) -> Option<f32> {
    members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, quality)| *quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The headers of browsers when a person opens an address, and of clients that must get JSON.
    #[test]
    fn only_a_client_that_prefers_html_gets_a_page() {
        for (accept, expected) in [
            // Chromium, Firefox and Safari, when a person opens an address or sends a form.
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                 application/signed-exchange;v=b3;q=0.7",
                true,
            ),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html, application/xhtml+xml, image/jxr, */*", false),
            // jQuery with `dataType: "html"`, htmx, lynx.
            ("text/html, */*; q=0.01", true),
            ("text/html", true),
            ("TEXT/HTML;Q=0.9, application/json;q=0.8", true),
            ("text/html;level=1;q=0.9, application/json;q=0.8", true),
            // Clients of the API: fetch, curl, axios, ky, Postman, Angular, jQuery, images and scripts in a page.
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/plain, */*", false),
            ("application/json, text/javascript, */*; q=0.01", false),
            ("application/json, text/html", false),
            ("text/html, application/json", false),
            ("text/html;q=0.5, application/json", false),
            ("text/html;q=0.8, */*", false),
            ("text/html;q=0.8, application/*;q=0.9", false),
            ("application/problem+json", false),
            ("text/html, application/problem+json", false),
            ("text/html, application/problem+json;q=0.9", true),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", false),
            ("text/event-stream", false),
            ("text/*", false),
            ("text/htmlx", false),
            ("text/html;q=0", false),
            ("text/html;q=abc", false),
            ("text/html;q=NaN", false),
            ("text/html;q=inf, */*", false),
            ("text/html;q=2, */*;q=0.1", false),
            ("text/html;q=-1", false),
            (";;;,,,=q", false),
            // Java's `HttpURLConnection` without a header of the program: Java 17, and older versions.
            ("text/html, image/gif, image/jpeg, */*; q=0.2", false),
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", false),
        ] {
            assert_eq!(prefers_html(&headers(&[("accept", accept)])), expected, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn the_language_is_that_of_the_cookie_else_the_preferred_one() {
        let korean = "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7";
        for (accepted, cookie, expected) in [
            ("", "", Language::English),
            (korean, "", Language::Korean),
            ("en-US,en;q=0.9,ko;q=0.8", "", Language::English),
            ("de, ko;q=0.1", "", Language::Korean),
            ("en;q=0.1, ko;q=0.2", "", Language::Korean),
            ("ko;q=0", "", Language::English),
            ("de", "", Language::English),
            (korean, "__Host-lang=en", Language::English),
            ("en", "a=b; __Host-lang=ko; c", Language::Korean),
            (korean, "__Host-lang=xx", Language::Korean),
            (korean, "lang=en; x__Host-lang=en", Language::Korean),
        ] {
            let headers = headers(&[("accept-language", accepted), ("cookie", cookie)]);
            assert_eq!(language(&headers), expected, "{accepted} {cookie}");
        }
    }
}
