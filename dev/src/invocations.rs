//! The invocations of functions that run on this machine, through Lambda's `Invoke` operation.
//!
//! `cargo lambda watch` runs one instance of each function. If 100 invocations of a function wait, it stops for good
//! (its queue is full, and it locks the queue while it adds to it). So the requests wait here, a bounded number for
//! each function, and each function gets one invocation at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The time after which API Gateway stops waiting for a function.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The time after which an invocation is reported as slow.
const SLOW: Duration = Duration::from_secs(5);

/// The largest number of requests in flight to one function, the waiting ones included.
pub const IN_FLIGHT: usize = 50;

/// The largest number of invocations of one function that `cargo lambda watch` has not answered. It reaches this number
/// only while a function does not compile.
const UNANSWERED: usize = 50;

/// The header with which Lambda marks the answer of a function that failed.
const ERROR: &str = "x-amz-function-error";

/// The functions at one address, as the gateway invokes them.
pub(crate) struct Invocations {
    /// The time after which a request gets an answer without its function.
    pub(crate) timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Host and port.
    address: String,
    queues: BTreeMap<String, Queue>,
}

/// The requests to one function.
struct Queue {
    /// One permit for each further request that may be in flight.
    places: Semaphore,
    /// Held by the request that invokes the function.
    turn: Mutex<()>,
    /// The number of invocations that the function has not answered in time.
    unanswered: Arc<AtomicUsize>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// [`IN_FLIGHT`] other requests to the function are in flight.
    Busy,
    /// The function has not answered in time.
    Silent,
    /// No server runs at the address.
    Unreachable,
    /// The server has no function with this name.
    Unknown,
    /// The function has reported an error.
    Failed,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(formatter, "{IN_FLIGHT} requests to this function are in flight"),
            Self::Silent | Self::Unreachable => formatter.write_str("the function does not respond"),
            Self::Unknown => formatter.write_str("the function does not exist"),
            Self::Failed => formatter.write_str("the function failed"),
        }
    }
}

impl Invocations {
    /// Returns the functions that a server serves at this address, such as `127.0.0.1:9000`.
    pub(crate) fn new(address: &str, functions: impl IntoIterator<Item = String>) -> Self {
        let queue = || Queue { places: Semaphore::new(IN_FLIGHT), turn: Mutex::new(()), unanswered: Arc::default() };
        let queues = functions.into_iter().map(|function| (function, queue())).collect();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { timeout: TIMEOUT, client, address: address.to_owned(), queues }
    }

    /// Invokes a function with an event and returns its answer. Calls `slow` if the function takes long.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn invoke(&self, function: &str, event: &Value, slow: impl FnOnce()) -> Result<Bytes, Failure> {
        let queue = self.queues.get(function).ok_or(Failure::Silent)?;
        let _place = queue.places.try_acquire().map_err(|_| Failure::Busy)?;
        let deadline = Instant::now() + self.timeout;
        let _turn = timeout_at(deadline, queue.turn.lock()).await.map_err(|_| Failure::Silent)?;
        if queue.unanswered.load(Ordering::Relaxed) >= UNANSWERED {
            return Err(Failure::Silent);
        }
        let mut answer = Box::pin(self.post(function, event));
        let mut outcome = timeout_at(deadline.min(Instant::now() + SLOW), &mut answer).await;
        if outcome.is_err() && Instant::now() < deadline {
            slow();
            outcome = timeout_at(deadline, &mut answer).await;
        }
        if let Ok(answer) = outcome {
            if !matches!(answer, Err(Failure::Unreachable)) {
                // A function answers in order. Without an answer until now, an earlier invocation will never get one.
                queue.unanswered.store(0, Ordering::Relaxed);
            }
            return answer;
        }
        queue.unanswered.fetch_add(1, Ordering::Relaxed);
        let unanswered = Arc::clone(&queue.unanswered);
        tokio::spawn(async move {
            answer.await.ok();
            let less = |count: usize| count.checked_sub(1);
            unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
        });
        Err(Failure::Silent)
    }

    /// Sends the event to the `Invoke` operation and returns the answer of the function.
    fn post(&self, function: &str, event: &Value) -> impl Future<Output = Result<Bytes, Failure>> + use<> {
        let url = format!("http://{}/2015-03-31/functions/{function}/invocations", self.address);
        let (client, request) = (self.client.clone(), Request::post(url).body(Full::from(event.to_string())));
        async move {
            let request = request.map_err(|_| Failure::Unknown)?;
            let response = client.request(request).await.map_err(|_| Failure::Unreachable)?;
            let (head, body) = response.into_parts();
            let answer = body.collect().await.map_err(|_| Failure::Unreachable)?.to_bytes();
            match head.status {
                StatusCode::NOT_FOUND => Err(Failure::Unknown),
                status if !status.is_success() || head.headers.contains_key(ERROR) => Err(Failure::Failed),
                _ => Ok(answer),
            }
        }
    }
}
