//! A second local stack whose tables do not answer, for the responses to an outage.

use std::net::Ipv4Addr;

use dev::certificate::Certificate;
use dev::events_file::EventsFile;
use dev::functions::{self, Functions};
use dev::gateway::Gateway;
use dev::pages::Pages;
use dev::processes;
use dev::settings::{Browser, Settings};
use local::running::RunningStack;
use tokio::net::TcpListener;

use crate::workspace::{root, template};

/// No DynamoDB listens at this address, because the port is reserved for the discard protocol (RFC 863).
const NOWHERE: &str = "http://127.0.0.1:9";

/// A stack that runs the real functions without tables.
pub struct Outage {
    /// The address, without a slash at the end.
    pub url: String,
    _functions: Functions,
}

impl Outage {
    /// Starts the functions with the settings of a running stack, except for the tables and for `changes`. The secrets
    /// are the same, so the tokens of that stack are valid here. The functions stop when the value is dropped.
    pub async fn beside(stack: &RunningStack, changes: &[(&str, &str)]) -> Self {
        let target = root().join("target");
        let template = template();
        let pages = Pages { scheme: "https", cookie_domain: "localhost".to_owned(), allowed: Vec::new() };
        let mut settings = Settings::new(root(), &template, Browser { host_only: false, origins: "" }).unwrap();
        for (name, value) in stack.variables() {
            settings = settings.with(name, value.clone());
        }
        for (name, value) in changes.iter().chain(&[("AWS_ENDPOINT_URL_DYNAMODB", NOWHERE)]) {
            settings = settings.with(name, (*value).to_owned());
        }

        let lock = processes::lock_shared_files(&target.join("dev")).await.unwrap();
        let cargo_lambda = functions::cargo_lambda(&target).await.unwrap();
        let certificate = Certificate::in_folder(&target.join("dev")).unwrap();
        drop(lock);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let events = EventsFile::create(&target.join(format!("dev/events-{port}.jsonl"))).unwrap();
        let mut functions = Functions::start(&cargo_lambda, root(), &settings, false, events).await.unwrap();
        functions.ready(&template.routes(), false).await.unwrap();
        let gateway = Gateway::new(functions.address, &template, pages);
        tokio::spawn(gateway.serve(listener, Some(certificate.acceptor().unwrap())));
        Self { url: format!("https://localhost:{port}"), _functions: functions }
    }
}
