//! An account of AWS with a deployed stack, as `latchkey keys` sees it: `CloudFormation`, Lambda, STS, CloudWatch Logs
//! and Secrets Manager. The tables are real. The tests of the deployment run the same commands against the emulator of
//! AWS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::keys::{KeySet, Purpose};
use testbed::{SecretsManager, Tables};
use tokio::net::TcpListener;

use crate::world::{Answer, answer, latchkey};

/// The operator of the account.
pub(crate) const OPERATOR: &str = "arn:aws:iam::123456789012:user/ops";

/// The stack `s` in an account of AWS.
pub(crate) struct Account {
    pub(crate) secrets: SecretsManager,
    tables: Tables,
    arns: BTreeMap<Purpose, String>,
    state: Arc<Mutex<State>>,
    endpoint: String,
    dynamodb: String,
    secrets_manager: String,
}

#[derive(Default)]
struct State {
    /// The variables of the function `login`.
    variables: BTreeMap<&'static str, String>,
    /// The audit events.
    events: Vec<Value>,
    /// Whether the operator may not write audit events.
    refuses_events: bool,
}

impl Account {
    /// Starts an account whose secrets have these texts.
    pub(crate) async fn new(texts: &[(Purpose, &str)]) -> Self {
        let (secrets, state) = (SecretsManager::default(), Arc::<Mutex<State>>::default());
        let put = |(purpose, text): &(Purpose, &str)| (*purpose, secrets.put(purpose.name(), text));
        let arns: BTreeMap<_, _> = texts.iter().map(put).collect();
        state.lock().unwrap().variables = arns.iter().map(|(purpose, arn)| (purpose.variable(), arn.clone())).collect();
        let (endpoint, secrets_manager) = (serve(Arc::clone(&state)).await, secrets.serve().await);
        let tables = Tables::new().await;
        let dynamodb = tables.settings(&[])("AWS_ENDPOINT_URL_DYNAMODB").unwrap();
        Self { secrets, tables, arns, state, endpoint, dynamodb, secrets_manager }
    }

    /// Sets a variable of the function `login`.
    pub(crate) fn set(&self, variable: &'static str, value: &str) {
        self.state.lock().unwrap().variables.insert(variable, value.to_owned());
    }

    /// Returns the id of the key at this place of the current key set.
    pub(crate) fn kid(&self, purpose: Purpose, place: usize) -> String {
        self.keys(purpose).keys()[place].id.clone()
    }

    /// Replaces a key set.
    pub(crate) fn put(&self, purpose: Purpose, set: &KeySet) {
        self.secrets.put(purpose.name(), set.to_secret().unwrap().expose_secret());
    }

    /// Stops DynamoDB.
    pub(crate) fn stop_tables(&mut self) {
        "http://127.0.0.1:9".clone_into(&mut self.dynamodb);
    }

    /// Refuses all further audit events.
    pub(crate) fn refuse_events(&self) {
        self.state.lock().unwrap().refuses_events = true;
    }

    /// Returns the audit events since the last call of this method.
    pub(crate) fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().unwrap().events)
    }

    /// Returns the text of the current version of a secret.
    pub(crate) fn text(&self, purpose: Purpose) -> String {
        self.secrets.current(&self.arns[&purpose])
    }

    /// Returns the current key set of a purpose.
    pub(crate) fn keys(&self, purpose: Purpose) -> KeySet {
        KeySet::parse(purpose, &self.text(purpose)).unwrap()
    }

    /// Returns the environment of a function over the tables, with the current refresh keys.
    pub(crate) fn environment(&self) -> Environment {
        self.tables.environment(&[("REFRESH_SECRET", &self.text(Purpose::Refresh))])
    }

    /// Runs a command on the stack.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        let mut command = latchkey();
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb)
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.secrets_manager);
        answer(command.args(["--stack", "s", "--region", "eu-west-1"]).args(arguments))
    }
}

/// Answers the calls of all services but DynamoDB and Secrets Manager. Returns the endpoint.
async fn serve(state: Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let service = service_fn(|request| reply(request, &state));
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    endpoint
}

async fn reply(request: Request<Incoming>, state: &Mutex<State>) -> hyper::Result<Response<Full<Bytes>>> {
    let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut state = state.lock().unwrap();
    let (status, text) = match target.as_deref() {
        Some("Logs_20140328.CreateLogStream") => (200, "{}".to_owned()),
        Some("Logs_20140328.PutLogEvents") if state.refuses_events => {
            (400, json!({ "__type": "AccessDeniedException", "message": "no" }).to_string())
        }
        Some("Logs_20140328.PutLogEvents") => {
            let put: Value = serde_json::from_slice(&body).unwrap();
            let events = put["logEvents"].as_array().unwrap().iter();
            state.events.extend(events.map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap()));
            (200, "{}".to_owned())
        }
        Some(other) => panic!("{other} is not supported"),
        None if path == "/2015-03-31/functions/s-LoginFunction-1/configuration" => {
            let mut variables = json!(state.variables);
            variables["USERS_TABLE"] = json!("UsersTable");
            variables["METRICS_NAMESPACE"] = json!("Latchkey/s");
            (200, json!({ "Environment": { "Variables": variables } }).to_string())
        }
        None => (200, described(std::str::from_utf8(&body).unwrap())),
    };
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}

/// Answers a call of `CloudFormation` or STS.
fn described(form: &str) -> String {
    let (action, result) = if form.contains("Action=DescribeStacks&") {
        let outputs = [
            ("ApiUrl", "https://api.example.com"),
            ("UsersTableName", "UsersTable"),
            ("SessionsTableName", "SessionsTable"),
            ("AttemptsTableName", "AttemptsTable"),
        ];
        let output =
            |(key, value)| format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>");
        let outputs: String = outputs.map(output).concat();
        (
            "DescribeStacks",
            format!("<Stacks><member><StackName>s</StackName><Outputs>{outputs}</Outputs></member></Stacks>"),
        )
    } else if form.contains("Action=DescribeStackResource&") {
        assert!(form.contains("LogicalResourceId=LoginFunction"), "{form}");
        let name = "<PhysicalResourceId>s-LoginFunction-1</PhysicalResourceId>";
        ("DescribeStackResource", format!("<StackResourceDetail>{name}</StackResourceDetail>"))
    } else {
        assert!(form.contains("Action=GetCallerIdentity&"), "{form}");
        ("GetCallerIdentity", format!("<Arn>{OPERATOR}</Arn>"))
    };
    format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
}
