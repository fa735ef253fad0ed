//! The log line of each request, and the event of a request that failed.
//!
//! A log line contains the method and no other text that the caller sent.

use std::time::Instant;

use lambda_http::Context;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;

use super::accept::ErrorFormat;
use super::{Error, Reply, problem};
use crate::error::Error as ServiceError;
use crate::telemetry::events;

/// Writes the log line of a request. Holds what is known about the request before it is read.
pub(super) struct RequestLog {
    function: String,
    request_id: String,
    method: Option<String>,
    route: Option<String>,
}

impl RequestLog {
    pub(super) fn new(context: &Context, event: Option<&ApiGatewayV2httpRequestContext>) -> Self {
        Self {
            function: context.env_config.function_name.clone(),
            request_id: context.request_id.clone(),
            method: event.map(|event| event.http.method.to_string()),
            route: event.and_then(|event| event.route_key.clone()),
        }
    }

    /// Writes the line of a request.
    pub(super) fn answered(&self, response: &Reply, started: Instant) {
        let Self { function, request_id, method, route } = self;
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(function, method, route, status, milliseconds, request_id, "A request was answered.");
    }

    /// Logs an error, and returns its response.
    pub(super) fn failed(&self, error: &Error, format: &ErrorFormat) -> Reply {
        failed(error, &self.function, &self.request_id);
        problem::response(error, &self.request_id, format)
    }
}

/// Logs the event of an error. Errors that only the caller can fix are not events.
pub(super) fn failed(error: &Error, function: &str, request_id: &str) {
    let service = match error {
        Error::ForeignOrigin => return events::foreign_origin(function, request_id),
        Error::MethodNotAllowed { .. }
        | Error::TooLarge { .. }
        | Error::UnsupportedMediaType { .. }
        | Error::UnsupportedContentEncoding { .. } => return,
        Error::Service(error) | Error::InPage { error, .. } | Error::AfterRenewal { error, .. } => error,
    };
    match service {
        ServiceError::Unavailable(_) => events::store_failed(function, service, request_id),
        ServiceError::ConcurrentUpdate(_) => events::concurrent_update(function, service, request_id),
        ServiceError::Corrupt(_) => events::record_unreadable(function, service, request_id),
        ServiceError::Misconfigured(_) | ServiceError::Setting { .. } => {
            events::misconfigured(function, service, request_id);
        }
        ServiceError::Unexpected(_) => events::internal_error(function, service, request_id),
        ServiceError::InvalidRequest(_)
        | ServiceError::NotAuthorized
        | ServiceError::NotAuthorizedClearCookies(_)
        | ServiceError::TooManyAttempts { .. }
        | ServiceError::NotFound(_)
        | ServiceError::Taken(_) => {}
    }
}
