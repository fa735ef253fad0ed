//! The responses that API Gateway gives itself: a JSON object with a message.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A response with a whole body.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A response, and a note for the log. Without a note, the log has the duration.
pub(crate) type Noted = (Reply, Option<String>);

/// Returns a response with this message.
pub(crate) fn message(status: StatusCode, text: &'static str) -> Reply {
    let mut response = Response::new(Full::from(format!(r#"{{"message":"{text}"}}"#)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns the response if the authorizer or a function fails.
pub(crate) fn internal_server_error() -> Reply {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

/// Returns the response if a function or a server does not respond.
pub(crate) fn service_unavailable() -> Reply {
    message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
}
