//! A DynamoDB that fails as a network and a service fail, or waits until it is told to go on: a proxy in front of the
//! tables.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status and this error code, and never reaches the table.
    Refuse(u16, &'static str),
    /// It reaches the table, and the reply is lost.
    LoseReply,
    /// It is never answered.
    Stall,
    /// It is a transaction that met another one, and never reaches the table.
    Conflict,
}

/// What is left of a connection whose owner was frozen for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Whatever is sent over it is answered by its end.
    Reset,
    /// Nothing comes back any more.
    Silence,
}

/// The connections to the tables, of which those can die that are open: what an environment finds that Lambda has frozen and
/// thawed again.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<Opened>>);

#[derive(Debug, Default)]
struct Opened {
    count: usize,
    /// Those before this one, and how they died.
    dead: Option<(usize, Death)>,
}

impl Sockets {
    /// Lets all die that are open now.
    pub fn die(&self, death: Death) {
        let mut opened = self.0.lock().unwrap();
        opened.dead = Some((opened.count, death));
    }

    /// How many were ever opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.0.lock().unwrap().count
    }

    /// Another one: its number.
    fn open(&self) -> usize {
        let mut opened = self.0.lock().unwrap();
        opened.count += 1;
        opened.count - 1
    }

    fn death_of(&self, number: usize) -> Option<Death> {
        self.0.lock().unwrap().dead.filter(|(first_alive, _)| number < *first_alive).map(|(_, death)| death)
    }
}

/// Holds every call back until it is let through: the order in which the calls of several clients reach the tables is for
/// the test to choose.
#[derive(Clone, Debug)]
pub struct Gate {
    may_pass: Arc<Semaphore>,
    have_passed: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { may_pass: none(), have_passed: none() }
    }

    /// Lets the next call through, and waits until the tables have answered it.
    pub async fn let_one_pass(&self) {
        self.may_pass.add_permits(1);
        self.have_passed.acquire().await.unwrap().forget();
    }

    /// Takes back what nobody has used.
    pub fn close(&self) {
        for permits in [&self.may_pass, &self.have_passed] {
            permits.forget_permits(permits.available_permits());
        }
    }
}

/// The capacity units that calls have taken, by operation, as DynamoDB itself counts them.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Vec<(String, f64)>>>);

impl Meter {
    /// What was taken since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<(String, f64)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The same call, which also asks what it costs.
    fn asking(body: &Bytes) -> Bytes {
        let mut body: Value = serde_json::from_slice(body).unwrap();
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        body.to_string().into()
    }

    fn read(&self, operation: &str, answer: &Bytes) {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        let units = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            table => table["CapacityUnits"].as_f64().unwrap_or_default(),
        };
        self.0.lock().unwrap().push((operation.to_owned(), units));
    }
}

/// The proxy. Each operation meets its faults in order, and then none.
#[derive(Clone)]
pub(crate) struct Faults {
    ahead: Arc<Mutex<HashMap<&'static str, Vec<Fault>>>>,
    gate: Option<Gate>,
    meter: Option<Meter>,
    sockets: Sockets,
    table: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Faults {
    /// Puts a proxy in front of the DynamoDB at `table`, with these faults for each operation, and says where it is.
    pub(crate) async fn before(table: SocketAddr, faults: &[(&'static str, &[Fault])]) -> SocketAddr {
        let mut ahead: HashMap<_, Vec<_>> = HashMap::new();
        for (operation, faults) in faults {
            ahead.entry(*operation).or_default().extend(faults.iter().rev());
        }
        Self::new(table, ahead).listen().await
    }

    /// Puts a proxy in front of the DynamoDB at `table`, that lets through what the gate lets through.
    pub(crate) async fn gate(table: SocketAddr) -> (SocketAddr, Gate) {
        let gate = Gate::closed();
        let proxy = Self { gate: Some(gate.clone()), ..Self::new(table, HashMap::new()) };
        (proxy.listen().await, gate)
    }

    /// Puts a proxy in front of the DynamoDB at `table` that writes down what each call costs.
    pub(crate) async fn meter(table: SocketAddr) -> (SocketAddr, Meter) {
        let meter = Meter::default();
        let proxy = Self { meter: Some(meter.clone()), ..Self::new(table, HashMap::new()) };
        (proxy.listen().await, meter)
    }

    /// Puts a proxy in front of the DynamoDB at `table` whose connections can die.
    pub(crate) async fn sockets(table: SocketAddr) -> (SocketAddr, Sockets) {
        let proxy = Self::new(table, HashMap::new());
        let sockets = proxy.sockets.clone();
        (proxy.listen().await, sockets)
    }

    fn new(table: SocketAddr, ahead: HashMap<&'static str, Vec<Fault>>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (ahead, sockets) = (Arc::new(Mutex::new(ahead)), Sockets::default());
        Self { ahead, gate: None, meter: None, sockets, table, client }
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

    /// An error here closes the connection without a reply.
    async fn answer(&self, connection: usize, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        match self.sockets.death_of(connection) {
            Some(Death::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Death::Silence) => return std::future::pending().await,
            None => {}
        }
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let fault = self.ahead.lock().unwrap().get_mut(operation).and_then(Vec::pop);
        match fault {
            None => match &self.gate {
                Some(gate) => {
                    gate.may_pass.acquire().await.map_err(io::Error::other)?.forget();
                    let answer = self.forward(request).await;
                    gate.have_passed.add_permits(1);
                    answer
                }
                None => self.forward(request).await,
            },
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

    async fn forward(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("http://{}/", self.table).parse().map_err(io::Error::other)?;
        let operation = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = operation.rsplit('.').next().unwrap_or_default().to_owned();
        let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if self.meter.is_some() {
            body = Meter::asking(&body);
            parts.headers.remove("content-length");
        }
        let answer =
            self.client.request(Request::from_parts(parts, Full::from(body))).await.map_err(io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if let Some(meter) = &self.meter {
            meter.read(&operation, &body);
        }
        Ok(Response::from_parts(parts, Full::from(body)))
    }
}

/// An error in DynamoDB's own form.
fn refusal(status: u16, code: &str, more: &str) -> io::Result<Response<Full<Bytes>>> {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"as the test wants"{more}}}"#);
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Full::from(body)).map_err(io::Error::other)
}
