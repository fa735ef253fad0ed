//! The one line that there is for each request, and the event of one that failed. Nothing of what a caller made up stands in
//! either but the method.

use std::time::Instant;

use lambda_http::Context;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;

use super::{Reply, reply};
use crate::error::Error;

/// What the gateway and Lambda say of a request.
pub(super) struct Line {
    function: String,
    request_id: String,
    method: Option<String>,
    route: Option<String>,
}

impl Line {
    pub(super) fn new(context: &Context, event: Option<&ApiGatewayV2httpRequestContext>) -> Self {
        Self {
            function: context.env_config.function_name.clone(),
            request_id: context.request_id.clone(),
            method: event.map(|event| event.http.method.to_string()),
            route: event.and_then(|event| event.route_key.clone()),
        }
    }

    /// Writes the one line that there is for every request.
    pub(super) fn write(&self, response: &Reply, started: Instant) {
        let Self { function, request_id, method, route } = self;
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(function, method, route, status, milliseconds, request_id, "A request was answered.");
    }

    /// The response to a request that failed. What a person should act on is logged, with its causes, once.
    pub(super) fn failed(&self, error: &Error) -> Reply {
        let Self { function, request_id, .. } = self;
        failure(error, function, request_id);
        reply::from_error(error, request_id)
    }
}

/// Says that a request failed on our side, and why; or that it came from a foreign page, which may be an origin that is
/// missing from `ALLOWED_ORIGINS`. What else was wrong with a request is between us and who sent it.
pub(super) fn failure(error: &Error, function: &str, request_id: &str) {
    let causes = error.causes();
    match error {
        Error::ForeignOrigin => {
            tracing::info!(event = "foreign_origin", function, request_id, "A page of another site may not do this.");
        }
        Error::Unavailable(_) => {
            tracing::error!(
                event = "store_failed",
                function,
                causes,
                request_id,
                "Nothing is known, so nothing was decided."
            );
        }
        Error::Overtaken(_) => {
            tracing::info!(event = "overtaken", function, causes, request_id, "Something else came first.");
        }
        Error::Corrupt(_) => {
            tracing::error!(
                event = "record_unreadable",
                function,
                causes,
                request_id,
                "A stored record cannot be read."
            );
        }
        Error::Misconfigured(_) | Error::Setting { .. } => {
            tracing::error!(event = "misconfigured", function, %error, causes, request_id, "The service is not set up correctly.");
        }
        Error::Unexpected(_) => {
            tracing::error!(
                event = "internal_error",
                function,
                causes,
                request_id,
                "Something went wrong on our side."
            );
        }
        Error::Malformed(_)
        | Error::NotAuthorized
        | Error::TooManyAttempts { .. }
        | Error::NotFound(_)
        | Error::MethodNotAllowed { .. }
        | Error::TooLarge { .. }
        | Error::UnsupportedMediaType { .. }
        | Error::Taken(_) => {}
    }
}
