//! What answers the authorized requests of the developer's routes: a Lambda function, or a server.
//!
//! If there is no response, these integrations respond as API Gateway does. The note for the log then names the
//! function or the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::Method;
use hyper::header::CONTENT_LENGTH;
use serde_json::{Value, json};

use crate::invocations::{Failure, Invocations, TIMEOUT};
use crate::payload;
use crate::reply::{Noted, internal_server_error, service_unavailable};
use crate::routes::{Route, Server, Target};
use crate::upstream::{Forwarded, Upstream};

/// The functions and the servers of the developer.
pub(crate) struct Integrations {
    /// The functions, by the server that runs them.
    functions: BTreeMap<Server, Invocations>,
    upstream: Upstream,
    timeout: Duration,
}

impl Integrations {
    /// Returns the integrations of these routes.
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut names = BTreeMap::<&Server, BTreeSet<&String>>::new();
        for route in routes {
            if let Target::Function { name, endpoint } = &route.target {
                names.entry(endpoint).or_default().insert(name);
            }
        }
        let functions = names.into_iter().map(|(server, names)| {
            let functions = Invocations::new(server.authority(), names.into_iter().cloned());
            (server.clone(), functions)
        });
        Self { functions: functions.collect(), upstream: Upstream::new(), timeout: TIMEOUT }
    }

    /// Sets the time after which a request gets an answer without its function or server.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        for functions in self.functions.values_mut() {
            functions.timeout = timeout;
        }
    }

    /// Returns the response of the target to an authorized request. `event` is the event of the request. Calls `slow`
    /// if a function takes long.
    pub(crate) async fn respond(
        &self,
        target: &Target,
        request: Forwarded<'_>,
        event: Value,
        slow: impl FnOnce(),
    ) -> Noted {
        let is_head = request.request.method == Method::HEAD;
        let (mut response, note) = match target {
            Target::Function { name, endpoint } => self.invoke(name, endpoint, &request, event, slow).await,
            Target::Server { server, cookies } => {
                match self.upstream.send(server, request, *cookies, self.timeout).await {
                    Ok(response) => (response, None),
                    Err(error) => (service_unavailable(), Some(format!("{error:#}"))),
                }
            }
        };
        if !is_head {
            // The length of the body, as the server or the function counts it, is perhaps wrong.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        (response, note)
    }

    async fn invoke(
        &self,
        function: &str,
        endpoint: &Server,
        request: &Forwarded<'_>,
        mut event: Value,
        slow: impl FnOnce(),
    ) -> Noted {
        event["requestContext"]["authorizer"] = json!({ "lambda": request.caller });
        let answer = match self.functions.get(endpoint) {
            Some(functions) => functions.invoke(function, &event, slow).await,
            None => Err(Failure::Unreachable),
        };
        let (response, reason) = match answer.map(|answer| payload::any_response(&answer)) {
            Ok(Ok(response)) => return (response, None),
            Ok(Err(error)) => (internal_server_error(), format!("{error:#}")),
            Err(failure @ (Failure::Unknown | Failure::Failed)) => (internal_server_error(), failure.to_string()),
            Err(Failure::Unreachable) => (service_unavailable(), "no server runs there".to_owned()),
            Err(failure) => (service_unavailable(), failure.to_string()),
        };
        (response, Some(format!("function {function} at {endpoint}: {reason}")))
    }
}
