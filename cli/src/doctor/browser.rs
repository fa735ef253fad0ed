//! What a browser does with the cookies of this service: the cookie domain and the allowed origins.

use reqwest::Url;

use super::report::{Finding, Outcome};

/// The end of the host names that API Gateway gives to APIs. Each of them is a site of its own.
const GATEWAY: &str = ".amazonaws.com";

/// Checks that a browser stores the cookies of the service (RFC 6265 §5.3).
pub(super) fn cookie_domain(url: &Url, domain: &str) -> Finding {
    let host = host_of(url);
    let domain = domain.to_lowercase();
    if domain.is_empty() {
        return Finding::ok(format!("no COOKIE_DOMAIN: the cookies are for {host} only"));
    }
    let fix = "Deploy with CookieDomain= (empty), or check the domain that your users see: latchkey doctor --url \
               https://…";
    if host != domain && is_gateway(&host) {
        let text = format!("COOKIE_DOMAIN is {domain}, and the service is at {host}: no browser stores its cookies");
        return Finding::failed(text, fix);
    }
    if host != domain && !host.ends_with(&format!(".{domain}")) {
        let text = format!("COOKIE_DOMAIN is {domain}, but {host} is not below it: no browser stores the cookies");
        return Finding::failed(text, fix);
    }
    Finding::ok(format!("{host} may set cookies for {domain}"))
}

/// Checks that a page of each allowed origin can sign in. A browser sends no `SameSite=Strict` cookie from a page of
/// another site, and `http` and `https` are different sites.
pub(super) fn allowed_origins(url: &Url, origins: &[String], is_local: bool) -> Finding {
    let found = origins.iter().filter_map(|origin| obstacle(url, origin, is_local));
    let (outcomes, texts): (Vec<_>, Vec<_>) = found.unzip();
    let fix = "Serve the page from https and from the site of the service, or take the origin out of ALLOWED_ORIGINS";
    if outcomes.contains(&Outcome::Failed) {
        Finding::failed(texts.join("; "), fix)
    } else if !texts.is_empty() {
        Finding::warning(texts.join("; "), fix)
    } else if origins.is_empty() {
        Finding::ok("none: only pages at the address of the service sign in")
    } else {
        Finding::ok(origins.join(", "))
    }
}

/// Returns why a page of this origin cannot sign in, or `None` if it can.
fn obstacle(url: &Url, origin: &str, is_local: bool) -> Option<(Outcome, String)> {
    let Ok(page) = Url::parse(origin) else {
        return Some((Outcome::Failed, format!("{origin} is not an origin")));
    };
    let (host, service) = (host_of(&page), host_of(url));
    let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    if is_loopback && page.scheme() == "http" && url.scheme() == "https" {
        // On a local stack, such pages use the proxy of the README.
        let text = format!("{origin} signs in only through a proxy on the machine of the user");
        return (!is_local).then_some((Outcome::Warning, text));
    }
    if page.scheme() != url.scheme() {
        let text = format!("{origin} and {} are different sites, so that browsers send no cookies", origin_of(url));
        return Some((Outcome::Failed, text));
    }
    let is_same_site = host == service || !is_gateway(&service) && site_of(&host) == site_of(&service);
    (!is_same_site).then(|| {
        (
            Outcome::Warning,
            format!("{origin} and {service} seem to be different sites, so that browsers send no cookies"),
        )
    })
}

/// Returns the last two labels of a name, as a guess of the site without the list of public suffixes. An IP address and
/// a name of one label are sites of their own.
fn site_of(host: &str) -> &str {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    let second = host.rmatch_indices('.').nth(1).map(|(dot, _)| dot + 1);
    second.filter(|_| !is_address).and_then(|start| host.get(start..)).unwrap_or(host)
}

fn is_gateway(host: &str) -> bool {
    host.contains(".execute-api.") && (host.ends_with(GATEWAY) || host.ends_with(&format!("{GATEWAY}.cn")))
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_lowercase()
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "https://abc.execute-api.eu-west-1.amazonaws.com";

    #[test]
    fn a_browser_stores_cookies_for_the_host_and_the_domains_above_it() {
        for (url, domain, is_stored) in [
            ("https://api.example.com", "example.com", true),
            ("https://api.example.com", "Example.COM", true),
            ("https://API.example.com:8443", "api.example.com", true),
            ("https://example.com", "example.com", true),
            ("https://localhost:4000", "localhost", true),
            (API, "", true),
            (API, "abc.execute-api.eu-west-1.amazonaws.com", true),
            (API, "example.com", false),
            (API, "execute-api.eu-west-1.amazonaws.com", false),
            (API, "amazonaws.com", false),
            ("https://example.com", "api.example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://api.example.com", "example.org", false),
            ("https://localhost:4000", "example.com", false),
        ] {
            let finding = cookie_domain(&Url::parse(url).unwrap(), domain);
            assert_eq!(finding.outcome == Outcome::Ok, is_stored, "{url}: {finding:?}");
            assert_eq!(finding.is_failed(), !is_stored);
        }
    }

    #[test]
    fn a_page_of_another_site_cannot_sign_in() {
        use Outcome::{Failed, Ok, Warning};
        for (url, origin, is_local, expected) in [
            ("https://api.example.com", "https://app.example.com", false, Ok),
            ("https://api.example.com", "https://app.example.com:8443", false, Ok),
            ("https://example.com", "https://app.example.com", false, Ok),
            ("https://api.example.com", "http://app.example.com", false, Failed),
            ("https://api.example.com", "https://app.example.org", false, Warning),
            ("https://api.example.com", "http://localhost:3000", false, Warning),
            ("https://api.example.com", "https://localhost:3000", false, Warning),
            (API, "https://app.example.com", false, Warning),
            (API, "https://def.execute-api.eu-west-1.amazonaws.com", false, Warning),
            ("https://localhost:4000", "https://localhost:3000", true, Ok),
            ("https://localhost:4000", "http://localhost:3000", true, Ok),
            ("http://localhost:4000", "http://localhost:3000", true, Ok),
            ("http://localhost:4000", "https://localhost:3000", true, Failed),
            ("https://localhost:4000", "http://app.example.com", true, Failed),
            ("https://localhost:4000", "https://127.0.0.1:3000", true, Warning),
            ("https://10.0.0.1", "https://20.0.0.1", false, Warning),
            ("https://[::1]:4000", "https://[::2]:3000", true, Warning),
            ("https://localhost:4000", "https://app.localhost:3000", true, Warning),
        ] {
            let finding = allowed_origins(&Url::parse(url).unwrap(), &[origin.to_owned()], is_local);
            assert_eq!(finding.outcome, expected, "{url}, {origin}: {finding:?}");
        }
        assert_eq!(allowed_origins(&Url::parse(API).unwrap(), &[], false).outcome, Ok);
    }

    #[test]
    fn each_origin_with_an_obstacle_is_named_and_a_failure_outweighs_a_warning() {
        let origins = ["https://app.example.org", "https://app.example.com", "http://www.example.com"];
        let url = Url::parse("https://api.example.com").unwrap();
        let finding = allowed_origins(&url, &origins.map(str::to_owned), false);
        assert!(finding.is_failed(), "{finding:?}");
        assert!(finding.detail.contains("app.example.org") && finding.detail.contains("http://www.example.com"));
        assert!(!finding.detail.contains("app.example.com"));
    }
}
