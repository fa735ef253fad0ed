//! Another web site, with the pages that a test puts there.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use dev::certificate::Certificate;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use testbed::workspace::root;
use tokio::net::TcpListener;

/// A page: its headers and its HTML.
type Page = (Vec<(&'static str, String)>, String);

/// A server over TLS at a port of its own. A browser sees two origins: a page at `127.0.0.1` is on another site than
/// the service, and a page at `localhost` is on the same site.
pub(crate) struct Site {
    port: u16,
    shown: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    pages: Mutex<HashMap<String, Page>>,
    requests: Mutex<Vec<String>>,
}

impl Site {
    /// Serves until the runtime ends.
    pub(crate) async fn serve() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = Certificate::in_folder(&root().join("target/dev")).unwrap().acceptor().unwrap();
        let shown = Arc::new(Shown::default());
        let served = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, shown) = (tls.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(|request| {
                        let response = shown.respond(&request);
                        async { Ok::<_, Infallible>(response) }
                    });
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { port, shown }
    }

    /// Returns the origin that is same-site with the service.
    pub(crate) fn same_site(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Returns the origin that is on another site.
    pub(crate) fn cross_site(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Puts a page at this path.
    pub(crate) fn put(&self, path: &str, html: &str) {
        self.put_with(path, &[], html);
    }

    /// Puts a page with headers at this path. With a `Location`, the page is a redirect.
    pub(crate) fn put_with(&self, path: &str, headers: &[(&'static str, &str)], html: &str) {
        let html = format!("<!doctype html><meta charset=utf-8><title>Another site</title><h1>Another site</h1>{html}");
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.shown.pages.lock().unwrap().insert(path.to_owned(), (headers, html));
    }

    /// Returns the paths that were requested and start with `prefix`.
    pub(crate) fn requests(&self, prefix: &str) -> Vec<String> {
        let requests = self.shown.requests.lock().unwrap();
        requests.iter().filter(|path| path.starts_with(prefix)).cloned().collect()
    }
}

impl Shown {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        self.requests.lock().unwrap().push(path.to_owned());
        let pages = self.pages.lock().unwrap();
        let (headers, html) = pages.get(path).map(|(headers, html)| (&headers[..], &html[..])).unwrap_or_default();
        let status = if headers.iter().any(|(name, _)| *name == "location") { 302 } else { 200 };
        let mut response = Response::builder().status(status).header("content-type", "text/html; charset=utf-8");
        for (name, value) in headers {
            response = response.header(*name, value);
        }
        response.body(Full::from(html.to_owned())).unwrap()
    }
}
