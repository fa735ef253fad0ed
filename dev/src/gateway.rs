//! The local API Gateway, between a browser and `cargo lambda watch`.
//!
//! Terminates TLS, serves only the routes of the template, and handles CORS as the real gateway does: it responds to
//! preflight requests itself and drops the CORS headers of a function. It forwards the rest of a request unchanged,
//! including `Host`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONNECTION, CONTENT_TYPE,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::functions::say;
use crate::template::{Cors, Route};

/// The time after which API Gateway stops waiting for a function.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The time after which the gateway prints that a function is slow.
const SLOW: Duration = Duration::from_secs(5);

type Body = BoxBody<Bytes, hyper::Error>;

/// The gateway of the local stack.
pub struct Gateway {
    /// The address of the functions.
    pub functions: SocketAddr,
    /// The routes to the functions. Other requests get 404.
    pub routes: Vec<Route>,
    /// The CORS headers of the response to a preflight request.
    pub cors: Cors,
    /// The origins that CORS allows.
    pub allowed_origins: Vec<String>,
}

impl Gateway {
    /// Serves connections until the future is dropped. Uses TLS if there is an acceptor.
    ///
    /// # Errors
    /// Fails if the listener fails.
    pub async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>) -> Result<()> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let gateway = Arc::new(self);
        loop {
            let (stream, _) = listener.accept().await.context("the gateway cannot accept connections")?;
            tokio::spawn(connection(Arc::clone(&gateway), client.clone(), stream, tls.clone()));
        }
    }

    async fn respond(&self, client: &Client<HttpConnector, Incoming>, request: Request<Incoming>) -> Response<Body> {
        let origin = request.headers().get(ORIGIN).filter(|origin| self.allows(origin)).cloned();
        let summary = format!("{} {}", request.method(), request.uri().path());
        let mut response = if request.method() == Method::OPTIONS {
            let from = request.headers().get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or("no origin");
            let decision = if origin.is_some() { "allowed" } else { "not allowed: see ALLOWED_ORIGINS" };
            log(&format!("204 {summary} (preflight from {from}, {decision})"));
            self.preflight(origin.is_some())
        } else if self.has_route(&request) {
            self.forward(client, request, &summary).await
        } else {
            log(&format!("404 {summary} (no such route)"));
            message(StatusCode::NOT_FOUND, "Not Found")
        };
        if let Some(origin) = origin {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            if let Ok(exposed) = HeaderValue::try_from(&self.cors.exposed) {
                response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        response
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }

    fn has_route(&self, request: &Request<Incoming>) -> bool {
        let (path, method) = (request.uri().path(), request.method().as_str());
        self.routes.iter().any(|route| route.matches(path) && route.method == method)
    }

    fn preflight(&self, allowed: bool) -> Response<Body> {
        let mut response = Response::new(body(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = [
            (ACCESS_CONTROL_ALLOW_METHODS, self.cors.methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.cors.headers.clone()),
            (ACCESS_CONTROL_MAX_AGE, self.cors.max_age.to_string()),
        ];
        for (name, value) in headers.into_iter().filter(|_| allowed) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn forward(
        &self,
        client: &Client<HttpConnector, Incoming>,
        mut request: Request<Incoming>,
        summary: &str,
    ) -> Response<Body> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = format!("http://{}{path}", self.functions).parse::<Uri>() else {
            return message(StatusCode::BAD_REQUEST, "Bad Request");
        };
        *request.uri_mut() = uri;
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("https"));
        let mut response = client.request(request);
        let mut outcome = timeout(SLOW, &mut response).await;
        if outcome.is_err() {
            log(&format!("... {summary} waits for its function (a compiler error would be above)"));
            outcome = timeout(TIMEOUT.saturating_sub(SLOW), response).await;
        }
        if let Ok(Ok(response)) = outcome {
            return without_cors(response).map(BodyExt::boxed);
        }
        log(&format!("503 {summary} (the function does not respond)"));
        message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    }
}

async fn connection(
    gateway: Arc<Gateway>,
    client: Client<HttpConnector, Incoming>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
) {
    stream.set_nodelay(true).ok();
    match tls {
        None => requests(gateway, client, stream).await,
        // The handshake fails if the browser does not trust the certificate. The browser then tells the user.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                requests(gateway, client, stream).await;
            }
        }
    }
}

async fn requests<S>(gateway: Arc<Gateway>, client: Client<HttpConnector, Incoming>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (gateway, client) = (Arc::clone(&gateway), client.clone());
        async move { Ok::<_, Infallible>(gateway.respond(&client, request).await) }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// Prints a line about a request that the gateway itself responds to, in the form of the functions' lines.
fn log(text: &str) {
    let now = OffsetDateTime::now_utc();
    say(&format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()), text);
}

/// Removes the CORS headers of a function.
fn without_cors<B>(mut response: Response<B>) -> Response<B> {
    let headers = std::mem::take(response.headers_mut());
    let others = headers.iter().filter(|(name, _)| !name.as_str().starts_with("access-control-"));
    for (name, value) in others {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

/// Returns a response of the gateway itself, in the form of API Gateway.
fn message(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body(Bytes::from(format!(r#"{{"message":"{text}"}}"#))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn body(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
