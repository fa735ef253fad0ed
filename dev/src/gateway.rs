//! The local API Gateway, between a browser and the functions.
//!
//! Terminates TLS, serves only the routes of the template and those of the developer, and handles CORS as the real
//! gateway does: it responds to preflight requests itself and drops the CORS headers of a response. It invokes the
//! function of a route with an event. If there is no answer, it responds as a function would. For a route of the
//! developer, it first asks the authorizer. It prints one line for each request.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use shared::error::Error as ServiceError;
use shared::http::{self, Error};
use shared::page;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::authorizer;
use crate::functions::say;
use crate::integrations::Integrations;
use crate::invocations::{Failure, Invocations, TIMEOUT};
use crate::pages::Pages;
use crate::payload;
use crate::reply::{Noted, Reply, internal_server_error, message};
use crate::route_key::RouteKey;
use crate::routes::{self, Routes};
use crate::template::{Cors, Template};
use crate::upstream::Forwarded;

/// The largest body that Lambda accepts. The functions accept less.
pub(crate) const MAX_BODY: usize = 6 * 1024 * 1024;

/// The first byte of a TLS connection: the type of the record with the `ClientHello` (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// The pause after the operating system has refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The gateway of the local stack.
pub struct Gateway {
    /// The functions of Latchkey.
    functions: Invocations,
    integrations: Integrations,
    /// The routes, sorted by precedence. Other requests get 404.
    routes: Vec<(RouteKey, Target)>,
    /// The CORS headers of the response to a preflight request.
    cors: Cors,
    pages: Pages,
    /// The pages of the service itself, for the responses that a function would give.
    own_pages: page::Pages,
}

/// What answers the requests of a route.
enum Target {
    /// A function of Latchkey.
    Own(String),
    /// A function or a server of the developer, behind the authorizer.
    Protected(routes::Target),
}

/// Why there is no body.
enum BodyError {
    TooLarge,
    Broken,
    Late,
}

impl Gateway {
    /// Returns the gateway of the template's routes. `cargo lambda watch` serves the functions at this address.
    #[must_use]
    pub fn new(functions: SocketAddr, template: &Template, pages: Pages) -> Self {
        let names = template.functions().into_iter().chain([authorizer::FUNCTION.to_owned()]);
        let own = template.routes().into_iter();
        Self {
            functions: Invocations::new(&functions.to_string(), names),
            integrations: Integrations::new(&[]),
            routes: own.map(|route| (RouteKey::new(&route.method, &route.path), Target::Own(route.function))).collect(),
            cors: template.cors(),
            pages,
            own_pages: page::Pages::default(),
        }
    }

    /// Also serves the routes of a developer, behind the authorizer.
    #[must_use]
    pub fn with_routes(mut self, routes: Routes) -> Self {
        let routes = routes.into_inner();
        self.integrations = Integrations::new(&routes);
        self.routes.extend(routes.into_iter().map(|route| (route.key, Target::Protected(route.target))));
        self.routes.sort_by_cached_key(|(key, _)| key.precedence());
        let timeout = self.functions.timeout;
        self.with_timeout(timeout)
    }

    /// Sets the look of the service's own pages.
    #[must_use]
    pub fn with_own_pages(mut self, pages: page::Pages) -> Self {
        self.own_pages = pages;
        self
    }

    /// Sets the time after which a request gets an answer without its function. It is 30 seconds, as in API Gateway.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.functions.timeout = timeout;
        self.integrations.set_timeout(timeout);
        self
    }

    /// Serves connections until the future is dropped. Uses TLS if there is an acceptor.
    pub async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let gateway = Arc::new(self);
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(connection(Arc::clone(&gateway), stream, peer.ip(), tls.clone()));
                }
                // There are too many open files. A pause, until other connections have ended.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let started = Instant::now();
        let summary = format!("{} {}", request.method(), request.uri().path().escape_debug());
        let headers = request.headers().clone();
        let (mut response, note) = if request.method() == Method::OPTIONS {
            self.preflight(&headers)
        } else if let Some((key, target)) = self.route(&request) {
            match target {
                Target::Own(function) => self.invoke(key, function, request, peer, &summary).await,
                Target::Protected(target) => self.authorize(key, target, request, peer, &summary).await,
            }
        } else {
            (message(StatusCode::NOT_FOUND, "Not Found"), Some("no such route".to_owned()))
        };
        let status = response.status();
        let note = note.unwrap_or_else(|| format!("{} ms", started.elapsed().as_millis()));
        let hint = self.pages.hint(&headers, status).map(|hint| format!(" {hint}")).unwrap_or_default();
        log(&format!("{} {summary} ({note}){hint}", status.as_u16()));

        if let Some(origin) = headers.get(ORIGIN).filter(|origin| self.pages.allows(origin)) {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            if let Ok(exposed) = HeaderValue::try_from(&self.cors.exposed) {
                response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        response
    }

    fn route(&self, request: &Request<Incoming>) -> Option<&(RouteKey, Target)> {
        let (path, method) = (request.uri().path(), request.method().as_str());
        self.routes.iter().find(|(key, _)| key.matches(method, path))
    }

    /// Returns the response to a preflight request, and a note for the log.
    fn preflight(&self, request: &HeaderMap) -> Noted {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if !request.get(ORIGIN).is_some_and(|origin| self.pages.allows(origin)) {
            return (response, Some("preflight".to_owned()));
        }
        let headers = [
            (ACCESS_CONTROL_ALLOW_METHODS, self.cors.methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.cors.headers.clone()),
            (ACCESS_CONTROL_MAX_AGE, self.cors.max_age.to_string()),
        ];
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        let refused = [
            unlisted(request.get(ACCESS_CONTROL_REQUEST_METHOD), &self.cors.methods),
            unlisted(request.get(ACCESS_CONTROL_REQUEST_HEADERS), &self.cors.headers),
        ];
        let refused = refused.concat().join(", ");
        if refused.is_empty() {
            return (response, Some("preflight".to_owned()));
        }
        let note = format!("preflight; the browser blocks the request: template.yaml does not allow {refused}");
        (response, Some(note))
    }

    /// Invokes a function of Latchkey. Returns its response, or the response that a function would give.
    async fn invoke(
        &self,
        key: &RouteKey,
        function: &str,
        request: Request<Incoming>,
        peer: IpAddr,
        summary: &str,
    ) -> Noted {
        let id = request_id();
        let (mut parts, body) = request.into_parts();
        let headers = parts.headers.clone();
        let failed = |error: Error, note: String| {
            let response = http::error_response(&error, &id, &headers, &self.own_pages);
            (response.map(|body| Full::from(body.to_vec())), Some(note))
        };
        let body = match read(body).await {
            Ok(body) => body,
            Err(error) => {
                let note = error.note().to_owned();
                return failed(error.into(), note);
            }
        };
        let event = event(key, &mut parts, &body, peer, &id);
        let slow = || log(&format!("... {summary} waits for its function (a compiler error would be above)"));
        let answer = match self.functions.invoke(function, &event, slow).await {
            Ok(answer) => answer,
            Err(failure) => {
                let note = failure.to_string();
                let error = match failure {
                    Failure::Busy | Failure::Silent | Failure::Unreachable => {
                        ServiceError::Unavailable(note.clone().into())
                    }
                    Failure::Unknown | Failure::Failed => ServiceError::unexpected(note.clone()),
                };
                return failed(error.into(), note);
            }
        };
        match payload::response(&answer) {
            Ok(response) => (response, None),
            Err(error) => {
                let note = format!("{error:#}");
                failed(ServiceError::unexpected(error).into(), note)
            }
        }
    }

    /// Asks the authorizer. If it allows the request, returns the response of the target. If not, or if there is no
    /// response, responds as API Gateway does.
    async fn authorize(
        &self,
        key: &RouteKey,
        target: &routes::Target,
        request: Request<Incoming>,
        peer: IpAddr,
        summary: &str,
    ) -> Noted {
        let (mut parts, body) = request.into_parts();
        let body = match read(body).await {
            Ok(body) => body,
            Err(error) => {
                let reply = match error {
                    BodyError::TooLarge => message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
                    BodyError::Broken | BodyError::Late => message(StatusCode::BAD_REQUEST, "Bad Request"),
                };
                return (reply, Some(error.note().to_owned()));
            }
        };
        let event = event(key, &mut parts, &body, peer, &request_id());
        let slow = || log(&format!("... {summary} waits for the authorizer (a compiler error would be above)"));
        let answer = self.functions.invoke(authorizer::FUNCTION, &authorizer::event(&event), slow).await;
        let decision = match answer {
            Ok(answer) => authorizer::decision(&answer).map_err(|error| format!("{error:#}")),
            Err(failure) => Err(format!("the authorizer: {failure}")),
        };
        let caller = match decision {
            Ok(Some(caller)) => caller,
            Ok(None) => {
                let note = "the authorizer denied the request".to_owned();
                return (message(StatusCode::FORBIDDEN, "Forbidden"), Some(note));
            }
            Err(note) => return (internal_server_error(), Some(note)),
        };
        let scheme = self.pages.scheme;
        let request = Forwarded { request: &parts, body, caller: &caller, source_ip: peer, scheme };
        let slow = || log(&format!("... {summary} waits for {target}"));
        self.integrations.respond(target, request, event, slow).await
    }
}

impl BodyError {
    /// Returns the text for the log.
    fn note(&self) -> &'static str {
        match self {
            Self::TooLarge => "the body is too large",
            Self::Broken => "the body is broken",
            Self::Late => "the body did not arrive in time",
        }
    }
}

/// The error that a function would return.
impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge { limit: MAX_BODY },
            BodyError::Broken => Self::invalid_request("The body cannot be read."),
            BodyError::Late => Self::invalid_request("The body did not arrive in time."),
        }
    }
}

/// Reads the body of a request.
async fn read(body: Incoming) -> Result<Bytes, BodyError> {
    match timeout(TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::Late),
    }
}

/// Returns the event of a request, with the scheme that API Gateway has.
fn event(key: &RouteKey, request: &mut Parts, body: &[u8], peer: IpAddr, id: &str) -> Value {
    request.headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("https"));
    payload::event(key, request, body, peer, id)
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream, peer: IpAddr, tls: Option<TlsAcceptor>) {
    stream.set_nodelay(true).ok();
    let mut first = [0];
    if stream.peek(&mut first).await.is_err() {
        return;
    }
    match (tls, first[0] == TLS_HANDSHAKE) {
        (None, false) => requests(gateway, stream, peer).await,
        // The handshake fails if the browser does not trust the certificate. The browser then tells the user.
        (Some(tls), true) => {
            if let Ok(stream) = tls.accept(stream).await {
                requests(gateway, stream, peer).await;
            }
        }
        (None, true) => log("a client uses https, but the stack uses http: start without --http"),
        (Some(_), false) => {
            log("a client uses http, but the stack uses https: change its address, or start with --http");
            let reply = || async { Ok::<_, Infallible>(message(StatusCode::BAD_REQUEST, "Use https")) };
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(|_| reply())).await.ok();
        }
    }
}

/// Responds to the requests of a connection. Each request has a task of its own. If the client disconnects, its
/// function still runs to the end, as in Lambda, and the log still has a line for it.
async fn requests<S>(gateway: Arc<Gateway>, stream: S, peer: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.respond(request, peer).await })
    });
    let outcome = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if outcome.is_err_and(|error| error.is_parse()) {
        log("400 (a client sent a request that is not valid HTTP)");
    }
}

/// Returns the names of the comma-separated list `requested` that `listed` does not have.
fn unlisted(requested: Option<&HeaderValue>, listed: &str) -> Vec<String> {
    let requested = requested.and_then(|names| names.to_str().ok()).unwrap_or_default();
    let is_listed = |name: &str| listed.split(',').any(|listed| listed.eq_ignore_ascii_case(name));
    let names = requested.split(',').map(str::trim).filter(|name| !name.is_empty() && !is_listed(name));
    names.map(str::to_owned).collect()
}

/// Prints the line of a request.
fn log(text: &str) {
    let now = OffsetDateTime::now_utc();
    say(&format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()), text);
}

/// Returns a random id, in the form of API Gateway.
fn request_id() -> String {
    let mut bytes = [0; 11];
    rand::fill(&mut bytes).ok();
    STANDARD.encode(bytes)
}
