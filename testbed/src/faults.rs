//! An HTTP proxy in front of the tables. It makes DynamoDB fail as a network or a service fails, holds calls back until
//! the test lets them pass, or measures what they cost.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused with this status and this error code. It does not reach the table.
    Refuse(u16, &'static str),
    /// The call reaches the table, and the reply is lost.
    LoseReply,
    /// The call is never answered. It does not reach the table.
    Stall,
    /// The transaction is refused because of a conflict with another one. It does not reach the table.
    Conflict,
    /// No fault: the call reaches the table, and the reply is returned. The next fault then meets a later call.
    Pass,
}

/// How a connection dies while Lambda has frozen its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The next request closes the connection.
    Reset,
    /// No request is answered any more.
    Silence,
}

/// The connections to the tables. The open ones can die, as they do while Lambda freezes an instance.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<Opened>>);

#[derive(Debug, Default)]
struct Opened {
    count: usize,
    /// Connections with a number below this one are dead.
    dead: Option<(usize, Death)>,
}

impl Sockets {
    /// Kills all connections that are open now.
    pub fn die(&self, death: Death) {
        let mut opened = self.0.lock().unwrap();
        opened.dead = Some((opened.count, death));
    }

    /// Returns how many connections were ever opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.0.lock().unwrap().count
    }

    /// Counts a new connection and returns its number.
    fn open(&self) -> usize {
        let mut opened = self.0.lock().unwrap();
        opened.count += 1;
        opened.count - 1
    }

    fn death_of(&self, number: usize) -> Option<Death> {
        self.0.lock().unwrap().dead.filter(|(first_alive, _)| number < *first_alive).map(|(_, death)| death)
    }
}

/// Holds every call back until the test lets it pass. The test thus chooses the order in which the calls of several
/// clients reach the tables.
#[derive(Clone, Debug)]
pub struct Gate {
    may_pass: Arc<Semaphore>,
    have_passed: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        let no_permits = || Arc::new(Semaphore::new(0));
        Self { may_pass: no_permits(), have_passed: no_permits() }
    }

    /// Lets the next call pass, and waits until the tables have answered it.
    pub async fn let_one_pass(&self) {
        self.may_pass.add_permits(1);
        self.have_passed.acquire().await.unwrap().forget();
    }

    /// Takes back all unused permits.
    pub fn close(&self) {
        for permits in [&self.may_pass, &self.have_passed] {
            permits.forget_permits(permits.available_permits());
        }
    }
}

/// What each call consumed: capacity units, as DynamoDB reports them, and bytes.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Vec<MeteredCall>>>);

/// One call and what it consumed.
#[derive(Clone, Debug)]
pub struct MeteredCall {
    /// The operation, such as `GetItem`.
    pub operation: String,
    /// The capacity units of all tables and indexes.
    pub units: f64,
    /// The size of the request body in bytes.
    pub sent: usize,
    /// The size of the response body in bytes, without the part that reports the capacity units.
    pub received: usize,
    /// The request in DynamoDB JSON.
    pub request: Value,
}

impl Meter {
    /// Returns the operations since the last call of this method, with their capacity units.
    #[must_use]
    pub fn take(&self) -> Vec<(String, f64)> {
        self.take_whole().into_iter().map(|call| (call.operation, call.units)).collect()
    }

    /// Returns the calls since the last call of this method.
    #[must_use]
    pub fn take_whole(&self) -> Vec<MeteredCall> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Returns the body of a call that also requests its consumed capacity.
    fn metered(body: &Bytes) -> Bytes {
        let mut body: Value = serde_json::from_slice(body).unwrap();
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        body.to_string().into()
    }

    fn record(&self, operation: String, request: &Bytes, reply: &Bytes) {
        let mut reply: Value = serde_json::from_slice(reply).unwrap();
        let capacity = reply.as_object_mut().and_then(|reply| reply.remove("ConsumedCapacity")).unwrap_or_default();
        let units = match &capacity {
            Value::Array(tables) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            table => table["CapacityUnits"].as_f64().unwrap_or_default(),
        };
        let (sent, received) = (request.len(), reply.to_string().len());
        let request = serde_json::from_slice(request).unwrap();
        self.0.lock().unwrap().push(MeteredCall { operation, units, sent, received, request });
    }
}

/// The proxy. Each call of an operation meets the next fault of that operation. Once they are used up, it is forwarded.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// The faults of each operation that are left, the next one last.
    faults: Arc<Mutex<HashMap<&'static str, Vec<Fault>>>>,
    gate: Option<Gate>,
    meter: Option<Meter>,
    sockets: Sockets,
    dynamodb: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Proxy {
    /// Starts a proxy with these faults for each operation, and returns its address.
    pub(crate) async fn failing(dynamodb: SocketAddr, faults: &[(&'static str, &[Fault])]) -> SocketAddr {
        let proxy = Self::new(dynamodb);
        for (operation, faults) in faults {
            proxy.faults.lock().unwrap().entry(*operation).or_default().extend(faults.iter().rev());
        }
        proxy.listen().await
    }

    /// Starts a proxy with a gate, and returns its address.
    pub(crate) async fn gated(dynamodb: SocketAddr) -> (SocketAddr, Gate) {
        let gate = Gate::closed();
        let proxy = Self { gate: Some(gate.clone()), ..Self::new(dynamodb) };
        (proxy.listen().await, gate)
    }

    /// Starts a proxy that measures calls, and returns its address.
    pub(crate) async fn metered(dynamodb: SocketAddr) -> (SocketAddr, Meter) {
        let meter = Meter::default();
        let proxy = Self { meter: Some(meter.clone()), ..Self::new(dynamodb) };
        (proxy.listen().await, meter)
    }

    /// Starts a proxy whose connections can die, and returns its address.
    pub(crate) async fn freezing(dynamodb: SocketAddr) -> (SocketAddr, Sockets) {
        let proxy = Self::new(dynamodb);
        let sockets = proxy.sockets.clone();
        (proxy.listen().await, sockets)
    }

    fn new(dynamodb: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (faults, sockets) = (Arc::default(), Sockets::default());
        Self { faults, gate: None, meter: None, sockets, dynamodb, client }
    }

    async fn listen(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (proxy, number) = (self.clone(), self.sockets.open());
                tokio::spawn(async move {
                    let service = service_fn(|request| proxy.answer(number, request));
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        address
    }

    /// Answers a call. An `Err` closes the connection without a reply.
    async fn answer(&self, connection: usize, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        match self.sockets.death_of(connection) {
            Some(Death::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Death::Silence) => return std::future::pending().await,
            None => {}
        }
        let fault = self.faults.lock().unwrap().get_mut(operation(request.headers())).and_then(Vec::pop);
        match fault {
            None | Some(Fault::Pass) => self.pass(request).await,
            Some(Fault::Refuse(status, code)) => refusal(status, code, ""),
            Some(Fault::Conflict) => {
                let reasons = r#","CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]"#;
                refusal(400, "TransactionCanceledException", reasons)
            }
            Some(Fault::LoseReply) => {
                self.forward(request).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::Stall) => std::future::pending().await,
        }
    }

    /// Forwards a call as soon as the gate lets it pass.
    async fn pass(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let Some(gate) = &self.gate else { return self.forward(request).await };
        gate.may_pass.acquire().await.map_err(io::Error::other)?.forget();
        let reply = self.forward(request).await;
        gate.have_passed.add_permits(1);
        reply
    }

    async fn forward(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("http://{}/", self.dynamodb).parse().map_err(io::Error::other)?;
        let operation = operation(&parts.headers).to_owned();
        let sent = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let mut body = sent.clone();
        if self.meter.is_some() {
            body = Meter::metered(&body);
            parts.headers.remove("content-length");
        }
        let request = Request::from_parts(parts, Full::from(body));
        let (parts, body) = self.client.request(request).await.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if let Some(meter) = &self.meter {
            meter.record(operation, &sent, &body);
        }
        Ok(Response::from_parts(parts, Full::from(body)))
    }
}

/// Returns the operation that a call names, such as `GetItem`.
fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default()
}

/// Returns an error response in the form of DynamoDB.
fn refusal(status: u16, code: &str, more: &str) -> io::Result<Response<Full<Bytes>>> {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    let body = format!(r#"{{"__type":"{kind}","message":"as the test wants"{more}}}"#);
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Full::from(body)).map_err(io::Error::other)
}
