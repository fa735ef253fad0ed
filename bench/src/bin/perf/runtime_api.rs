//! A stand-in for the Runtime API of Lambda.
//!
//! Owns the moments at which a function asks for an event and answers it. Holds each request for an event until the
//! caller has one. Not `lambda-simulator`: it reports the moments in wall-clock time, and it looks for answers in turn.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// How long a function may take for an event.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The path of all requests, without the id of the invocation and what follows.
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";

/// A Runtime API. Dropping it closes its port.
pub(crate) struct RuntimeApi {
    address: String,
    polls: mpsc::UnboundedReceiver<Result<Poll>>,
    listening: AbortHandle,
}

/// A request for an event. The function waits until it gets one.
pub(crate) struct Poll {
    /// The moment at which the request arrived.
    pub(crate) at: Instant,
    reply: oneshot::Sender<Response<Full<Bytes>>>,
    invocations: Invocations,
}

/// The answer to an event.
pub(crate) struct Answer {
    /// The time from the event to its answer.
    pub(crate) took: Duration,
    /// The moment of the answer.
    pub(crate) at: Instant,
    /// What the function returned.
    pub(crate) body: Bytes,
}

/// The moment of an answer, and what the function returned or the error that it reported.
type Outcome = (Instant, Result<Bytes>);

/// The invocations that wait for their answers.
#[derive(Clone, Default)]
struct Invocations(Arc<Mutex<HashMap<String, oneshot::Sender<Outcome>>>>);

impl Invocations {
    fn insert(&self, id: String, answered: oneshot::Sender<Outcome>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answered);
    }

    fn remove(&self, id: &str) -> Option<oneshot::Sender<Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

impl RuntimeApi {
    /// Starts to listen.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?.to_string();
        let (sender, polls) = mpsc::unbounded_channel();
        let invocations = Invocations::default();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone(), invocations.clone()));
            }
        });
        Ok(Self { address, polls, listening: listening.abort_handle() })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until a function asks for an event. Fails if it reports that its start has failed.
    pub(crate) async fn next(&mut self) -> Result<Poll> {
        let poll = tokio::time::timeout(TIMEOUT, self.polls.recv()).await;
        poll.map_err(|_| anyhow!("the function does not ask for an event"))?.context("the listener has ended")?
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Poll {
    /// Hands an event to the function, and waits for the answer.
    pub(crate) async fn invoke(self, event: Bytes) -> Result<Answer> {
        let id = format!("{:032x}", fastrand::u128(..));
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + TIMEOUT;
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:perf")
            .header("lambda-runtime-trace-id", "Root=1-6922d3c4-0123456789abcdef01234567;Sampled=0")
            .body(Full::from(event))?;
        let (sender, answered) = oneshot::channel();
        self.invocations.insert(id, sender);
        let sent = Instant::now();
        self.reply.send(response).map_err(|_| anyhow!("the function has closed its connection"))?;
        let outcome = tokio::time::timeout(TIMEOUT, answered).await;
        let (at, body) = outcome.map_err(|_| anyhow!("the function does not answer"))??;
        Ok(Answer { took: at - sent, at, body: body? })
    }
}

async fn serve(stream: TcpStream, polls: mpsc::UnboundedSender<Result<Poll>>, invocations: Invocations) {
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| answer(request, &polls, &invocations));
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn answer(
    request: Request<Incoming>,
    polls: &mpsc::UnboundedSender<Result<Poll>>,
    invocations: &Invocations,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let arrived = Instant::now();
    let path = request.uri().path().to_owned();
    let rest = path.strip_prefix(INVOCATION).unwrap_or_default();
    if rest == "next" {
        let (reply, event) = oneshot::channel();
        polls.send(Ok(Poll { at: arrived, reply, invocations: invocations.clone() })).ok();
        // The sender is dropped when the measurement of this function has ended. The function is then killed.
        return Ok(event.await.unwrap_or_else(|_| status(500)));
    }
    let body = request.into_body().collect().await.map(Collected::to_bytes);
    let body = body.context("the answer is not complete");
    match rest.split_once('/') {
        Some((id, "response")) => resolve(invocations, id, body),
        Some((id, "error")) => resolve(invocations, id, body.and_then(|body| Err(reported(&body)))),
        _ => {
            polls.send(Err(body.map_or_else(|error| error, |body| reported(&body)))).ok();
        }
    }
    Ok(status(202))
}

fn resolve(invocations: &Invocations, id: &str, outcome: Result<Bytes>) {
    if let Some(answered) = invocations.remove(id) {
        answered.send((Instant::now(), outcome)).ok();
    }
}

fn reported(body: &Bytes) -> anyhow::Error {
    anyhow!("the function reported an error: {}", String::from_utf8_lossy(body))
}

fn status(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    use super::*;

    /// Asks for an event, and returns the id of the invocation and the event.
    async fn ask(api: &str) -> (String, Bytes) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let response = client.get(format!("http://{api}{INVOCATION}next").parse().unwrap()).await.unwrap();
        let id = response.headers()["lambda-runtime-aws-request-id"].to_str().unwrap().to_owned();
        (id, response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn post(api: &str, path: &str, body: &str) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = Request::post(format!("http://{api}{path}")).body(Full::from(body.to_owned())).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), 202);
    }

    /// Sends an event to a function that answers at this last part of the path.
    async fn invoke(last: &'static str) -> Result<Answer> {
        let mut api = RuntimeApi::start().await.unwrap();
        let address = api.address().to_owned();
        let function = tokio::spawn(async move {
            let (id, event) = ask(&address).await;
            assert_eq!(event, "an event");
            post(&address, &format!("{INVOCATION}{id}/{last}"), "an answer").await;
        });
        let answer = api.next().await.unwrap().invoke("an event".into()).await;
        function.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_function_gets_an_event_and_its_answer_comes_back() {
        assert_eq!(invoke("response").await.unwrap().body, "an answer");
    }

    #[tokio::test]
    async fn an_error_of_a_function_is_an_error() {
        let error = invoke("error").await.err().unwrap().to_string();
        assert_eq!(error, "the function reported an error: an answer");
    }

    #[tokio::test]
    async fn a_failed_start_is_an_error() {
        let mut api = RuntimeApi::start().await.unwrap();
        let address = api.address().to_owned();
        tokio::spawn(async move { post(&address, "/2018-06-01/runtime/init/error", "no table").await });
        let error = api.next().await.err().unwrap().to_string();
        assert_eq!(error, "the function reported an error: no table");
    }
}
