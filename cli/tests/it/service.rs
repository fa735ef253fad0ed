//! A running service: the real functions over real tables, behind the gateway of the local stack, on TLS.
//!
//! Only `cargo lambda watch` is missing. [`serve`] takes its place: it gives each event to the handler of its function.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use std::{fs, future};

use dev::certificate::Certificate;
use dev::gateway::Gateway;
use dev::pages::Pages;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use login::Login;
use logout::Logout;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store;
use testbed::workspace::template;
use testbed::{Event, Reply, Tables};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use userinfo::Userinfo;

use crate::world::World;

/// What is wrong with the service.
#[derive(Default)]
pub(crate) struct Faults {
    /// A function has another value of a variable than the settings say.
    pub(crate) variable: Option<(&'static str, &'static str, &'static str)>,
    /// Every invocation of this function fails.
    pub(crate) broken: Option<&'static str>,
    /// How far the clock of the service is ahead.
    pub(crate) ahead: Option<Duration>,
    /// The list of the gateway differs from `ALLOWED_ORIGINS`.
    pub(crate) allowed: Option<&'static [&'static str]>,
    /// The next request to this function is reported here, and never answered.
    pub(crate) held: Mutex<Option<(&'static str, oneshot::Sender<()>)>>,
}

/// A stack that runs.
pub(crate) struct Running {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a stack whose functions have these settings.
    pub(crate) async fn new(settings: &[(&'static str, &'static str)], faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = World::at(&format!("https://localhost:{}", address.port()), Tables::new().await, settings);
        let certificate = Certificate::in_folder(&world.folder().join("target/dev")).unwrap();
        let gateway = gateway(&world.tables, settings, faults).await;
        tokio::spawn(gateway.serve(listener, Some(certificate.acceptor().unwrap())));
        Self { world, address }
    }

    /// Returns the same service, for an operator who sees these settings.
    pub(crate) fn with_settings(&self, settings: &[(&str, &str)]) -> World {
        let url = format!("https://localhost:{}", self.address.port());
        let world = World::at(&url, self.world.tables.clone(), settings);
        let certificate = "target/dev/localhost.pem";
        fs::copy(self.world.folder().join(certificate), world.folder().join(certificate)).unwrap();
        world
    }
}

/// Returns a gateway in front of functions with these settings.
pub(crate) async fn gateway(tables: &Tables, settings: &[(&'static str, &'static str)], faults: Faults) -> Gateway {
    let value = tables.settings(settings);
    let allowed = match faults.allowed {
        Some(list) => list.iter().map(|origin| (*origin).to_owned()).collect(),
        None => value("ALLOWED_ORIGINS").unwrap().split(',').map(str::to_owned).collect(),
    };
    let cookie_domain = value("COOKIE_DOMAIN").unwrap_or_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let functions = listener.local_addr().unwrap();
    let (tables, settings) = (tables.clone(), settings.to_vec());
    // A thread of their own, as a Lambda function is a process of its own: a handler stays on one thread.
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, serve(listener, tables, settings, faults));
    });
    Gateway::new(functions, &template(), Pages { scheme: "https", cookie_domain, allowed })
}

/// Answers invocations at this address, as `cargo lambda watch` does.
async fn serve(
    listener: std::net::TcpListener,
    tables: Tables,
    settings: Vec<(&'static str, &'static str)>,
    faults: Faults,
) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let shared = Rc::new((tables, settings, faults));
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                let function = request.uri().path().split('/').nth(3).unwrap().to_owned();
                let event = request.into_body().collect().await.unwrap().to_bytes();
                let (tables, settings, faults) = &*shared;
                let answer = invoke(&function, serde_json::from_slice(&event).unwrap(), tables, settings, faults).await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer.to_string())))
            });
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// Gives an event to a function. Returns what Lambda would return.
async fn invoke(
    function: &str,
    event: Value,
    tables: &Tables,
    settings: &[(&'static str, &'static str)],
    faults: &Faults,
) -> Value {
    let changed = faults.variable.filter(|(changed, ..)| *changed == function);
    let changed = changed.map(|(_, name, value)| (name, value));
    let settings: Vec<_> = changed.into_iter().chain(settings.iter().copied()).collect();
    if faults.broken == Some(function) {
        return json!({ "errorType": "Runtime.ExitError", "errorMessage": "the function ended" });
    }
    let held = faults.held.lock().unwrap().take_if(|(held, _)| *held == function);
    if let Some((_, report)) = held {
        report.send(()).unwrap();
        future::pending::<()>().await;
    }
    let mut reply =
        serde_json::to_value(answer(function, &Event::sent(event), &tables.environment(&settings)).await).unwrap();
    if let Some(ahead) = faults.ahead {
        reply["headers"]["date"] = httpdate::fmt_http_date(SystemTime::now() + ahead).into();
    }
    reply
}

async fn answer(function: &str, event: &Event, env: &Environment) -> Reply {
    let client = store::connect(env).unwrap();
    macro_rules! answer {
        ($function:expr) => {{
            let function = $function.unwrap();
            let handler = |request| function.handle(request, Timestamp::now());
            let mut service = http::service(Site::from_env(env).unwrap(), handler);
            Box::pin(event.send(&mut service)).await
        }};
    }
    match function {
        "login" => answer!(Login::from_env(client, env)),
        "logout" => answer!(Logout::from_env(client, env)),
        "userinfo" => answer!(Userinfo::from_env(client, env)),
        _ => panic!("doctor does not call {function}"),
    }
}
