//! The service over HTTP: does it answer, does CORS allow the right pages, is the clock right.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::Args;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, DATE, HeaderMap,
    HeaderName, ORIGIN,
};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};

use super::report::Finding;
use crate::failure::Failure;
use crate::stack::{Place, Stack};

/// An origin that no operator allows (RFC 2606).
const STRANGER: &str = "https://doctor.invalid";

/// The longest time for one request. API Gateway answers within 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(35);

/// The deviation of a clock that is not worth a warning.
const TOLERANCE: Duration = Duration::from_secs(5);

/// How to reach the service.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// The address that users see, if the service has a domain of its own.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Trust only the certificates of this PEM file.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Connect to this server, whatever the DNS says, such as 192.0.2.7:443.
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect_to: Option<SocketAddr>,
}

/// The service of a stack.
pub(super) struct Service {
    pub(super) url: Url,
    client: Client,
    is_local: bool,
}

/// What the first answer of the service says about its clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    sent: SystemTime,
    received: SystemTime,
    date: Option<SystemTime>,
}

impl Connection {
    /// Returns `true` if the command line has the address of the service.
    pub(super) const fn has_url(&self) -> bool {
        self.url.is_some()
    }
}

impl Service {
    /// Prepares the client. Sends nothing. Without a stack, the connection must have the address.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for an address that is no `http` address, or for a file that has no certificates.
    pub(super) fn new(stack: Option<&Stack>, connection: &Connection) -> Result<Self> {
        let of_stack = stack.map_or("", |stack| &stack.url);
        let url = connection.url.clone().map_or_else(|| Url::parse(of_stack), Ok);
        let url = url.with_context(|| format!("{of_stack} is not an address"))?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or_else(|| Failure::Invalid(format!("{url} is not an http address.")))?.to_owned();
        if url.path() != "/" {
            let text = format!("{url} has a path. The service works only at the root of a host.");
            return Err(Failure::Invalid(text).into());
        }
        let mut client = Client::builder()
            .user_agent("latchkey doctor")
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(10));
        let own = match stack.map(|stack| &stack.place) {
            Some(Place::Local(local)) if url.scheme() == "https" => Some(local.certificate()),
            _ => None,
        };
        if let Some(file) = connection.cacert.clone().or(own) {
            client = client.tls_certs_only(certificates(&file)?);
        }
        if let Some(server) = connection.connect_to {
            client = client.resolve(&host, server);
        }
        let is_local = stack.is_some_and(Stack::is_local);
        if is_local || connection.connect_to.is_some() {
            client = client.no_proxy();
        }
        let client = client.build().context("cannot make an HTTP client")?;
        Ok(Self { url, client, is_local })
    }

    /// Returns the address without a slash at its end.
    pub(super) fn address(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Starts a request.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.url.clone();
        url.set_path(path);
        self.client.request(method, url)
    }

    /// Checks that the service answers a stranger with 401. `None` if it does not answer at all.
    pub(super) async fn answers(&self) -> (Finding, Option<Times>) {
        let sent = SystemTime::now();
        let response = match self.request(Method::GET, "/userinfo").send().await {
            Ok(response) => response,
            Err(error) => {
                let text = format!("{} does not answer: {}", self.address(), causes(&error));
                let fix = if self.is_local {
                    "Does `cargo dev` still run? Its terminal shows each request"
                } else {
                    "Is the address right, and does its DNS name point at the API? curl -v shows the connection"
                };
                return (Finding::failed(text, fix), None);
            }
        };
        let times = Times { sent, received: SystemTime::now(), date: date(response.headers()) };
        let (status, text) = status_and_text(response).await;
        let finding = if (status, text.trim()) == (StatusCode::UNAUTHORIZED, "Not Authorized") {
            Finding::ok(format!("{} answers a request without a token with 401", self.address()))
        } else {
            let text = format!("GET /userinfo without a token got {}, not 401 Not Authorized", status.as_u16());
            Finding::failed(text, self.remedy(status))
        };
        (finding, Some(times))
    }

    /// Checks that the API allows each of these origins, and no other.
    pub(super) async fn cors(&self, origins: &[String]) -> Finding {
        let mut problems = Vec::new();
        for origin in origins.iter().map(String::as_str).chain([STRANGER]) {
            let is_allowed = match self.preflight(origin).await {
                Ok(headers) => allows(&headers, origin),
                Err(error) => {
                    let text = format!("the preflight request of {origin} got no answer: {}", causes(&error));
                    return Finding::failed(text, "Run `latchkey doctor` again");
                }
            };
            match is_allowed {
                Ok(()) if origin == STRANGER => problems.push(format!("the API allows {origin}, and so any page")),
                Err(problem) if origin != STRANGER => problems.push(format!("{origin}: {problem}")),
                _ => {}
            }
        }
        if problems.is_empty() {
            return Finding::ok(match origins.len() {
                0 => "the API refuses the origin of another page".to_owned(),
                1 => "the API allows the 1 allowed origin and no other".to_owned(),
                count => format!("the API allows the {count} allowed origins and no other"),
            });
        }
        let fix = if self.is_local {
            "Stop `cargo dev` and start it again"
        } else {
            "Deploy with AllowedOrigins=…, so that the API and the functions get the same list. CloudFormation does not \
             undo a change of the API by hand"
        };
        Finding::failed(problems.join("; "), fix)
    }

    /// Returns what to do after an answer with this status.
    pub(super) fn remedy(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            429 => "This machine is blocked after too many wrong passwords: latchkey unblock ADDRESS",
            _ if self.is_local => "The terminal of `cargo dev` shows the log of the functions",
            403 | 404 => "Does the domain lead to the API of this stack? Its routes are in template.yaml",
            500..=599 => "The log says why: latchkey audit, or aws logs tail /latchkey/STACK/functions",
            _ => "Does something between this machine and the API change requests or answers, such as a cache?",
        }
    }

    /// Returns what to do if the functions have different settings.
    pub(super) const fn restart(&self) -> &'static str {
        if self.is_local {
            "Stop `cargo dev` and start it again, so that all functions have the same settings"
        } else {
            "If a deployment is running, wait for its end. Otherwise deploy again, so that all functions have the same \
             settings"
        }
    }

    async fn preflight(&self, origin: &str) -> reqwest::Result<HeaderMap> {
        let request = self
            .request(Method::OPTIONS, "/login")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "content-type");
        Ok(request.send().await?.headers().clone())
    }
}

/// Returns why a browser would block the login from this origin, by the answer to its preflight request.
fn allows(headers: &HeaderMap, origin: &str) -> Result<(), &'static str> {
    let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let lists = |name, word: &str| value(name).split(',').any(|found| found.trim().eq_ignore_ascii_case(word));
    match () {
        () if value(ACCESS_CONTROL_ALLOW_ORIGIN) != origin => Err("the API does not allow this origin"),
        () if value(ACCESS_CONTROL_ALLOW_CREDENTIALS) != "true" => Err("the API allows no cookies"),
        () if !lists(ACCESS_CONTROL_ALLOW_METHODS, "POST") => Err("the API does not allow POST"),
        () if !lists(ACCESS_CONTROL_ALLOW_HEADERS, "content-type") => Err("the API does not allow content-type"),
        () => Ok(()),
    }
}

/// Compares the clock of this machine with that of the service.
pub(super) fn clock(times: Times) -> Finding {
    let Some(date) = times.date else { return Finding::skipped("the answer of the service has no Date") };
    // The header has whole seconds, so that the answer was made within this second.
    let ahead = times.sent.duration_since(date + Duration::from_secs(1)).unwrap_or_default();
    let behind = date.duration_since(times.received).unwrap_or_default();
    let (deviation, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if deviation <= TOLERANCE {
        return Finding::ok("this machine and the service agree to 5 s");
    }
    Finding::warning(
        format!(
            "this machine is {} s {word} the service. CloudWatch rejects the audit events of a wrong clock, and at a \
             difference of 5 minutes AWS refuses every call",
            deviation.as_secs()
        ),
        "Synchronise the clock of this machine: sudo timedatectl set-ntp true",
    )
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(|date| httpdate::parse_http_date(date).ok())
}

/// Returns the status and the body. The body is empty if it cannot be read.
pub(super) async fn status_and_text(response: Response) -> (StatusCode, String) {
    (response.status(), response.text().await.unwrap_or_default())
}

/// Returns the reasons of a failed request, without the address.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    if causes.is_empty() && error.is_timeout() { "it took too long".to_owned() } else { causes.join(": ") }
}

fn certificates(file: &std::path::Path) -> Result<Vec<Certificate>> {
    let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Failure::Invalid(format!("{} has no certificates in PEM.", file.display())).into());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_more_than_5_seconds_is_a_warning() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let at = |offset: i64| {
            let seconds = Duration::from_secs(offset.unsigned_abs());
            if offset < 0 { now - seconds } else { now + seconds }
        };
        let received = now + Duration::from_millis(1500);
        for (offset, expected) in [
            (0, None),
            (1, None),
            (6, None),
            (-6, None),
            (8, Some("6 s behind")),
            (-8, Some("7 s ahead of")),
            (60, Some("58 s behind")),
            (-60, Some("59 s ahead of")),
            (400_000_000, Some("s behind")),
        ] {
            let finding = clock(Times { sent: now, received, date: Some(at(offset)) });
            let is_expected = match expected {
                Some(text) => finding.outcome == Outcome::Warning && finding.detail.contains(text),
                None => finding.outcome == Outcome::Ok,
            };
            assert!(is_expected, "{offset}: {finding:?}");
        }
        assert_eq!(clock(Times { sent: now, received: now, date: None }).outcome, Outcome::Skipped);
    }

    #[test]
    fn a_preflight_answer_allows_origin_cookies_method_and_header() {
        let right = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "https://app.example.com"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (ACCESS_CONTROL_ALLOW_METHODS, "DELETE,GET,HEAD,POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "accept, Content-Type"),
        ];
        let check = |changed: Option<(HeaderName, &'static str)>| {
            let headers = right.clone().into_iter().chain(changed);
            let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
            let mut all = HeaderMap::new();
            for (name, value) in headers {
                all.insert(name, value);
            }
            allows(&all, "https://app.example.com")
        };
        assert_eq!(check(None), Ok(()));
        for (name, value, problem) in [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*", "this origin"),
            (ACCESS_CONTROL_ALLOW_ORIGIN, "https://app.example.org", "this origin"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "false", "no cookies"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET", "POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "accept", "content-type"),
        ] {
            let found = check(Some((name.clone(), value))).unwrap_err();
            assert!(found.contains(problem), "{name}: {found}");
        }
        assert!(allows(&HeaderMap::new(), "https://app.example.com").is_err());
    }
}
