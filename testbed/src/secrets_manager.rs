//! Secrets Manager in this process: versions, stages and their rules, as its API reference describes them. The tests of
//! the deployment run the same code against the emulator of AWS.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Fault;

/// A Secrets Manager. Clones share the secrets.
#[derive(Clone, Default)]
pub struct SecretsManager(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Secret>,
    /// What happens to the next calls. After them, all calls are answered.
    faults: VecDeque<Fault>,
    /// The operations that were called.
    calls: Vec<String>,
}

/// The versions of a secret, and the version of each stage.
#[derive(Default)]
struct Secret {
    versions: BTreeMap<String, String>,
    stages: BTreeMap<String, String>,
}

/// An error of the API: the code.
type Refused = &'static str;

impl SecretsManager {
    /// Starts to listen, and returns the endpoint.
    pub async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let manager = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manager = manager.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| manager.answer(request));
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        format!("http://{address}")
    }

    /// Sets the current version of a secret, and returns its ARN.
    #[expect(clippy::must_use_candidate, reason = "most tests change a secret whose ARN they know")]
    pub fn put(&self, name: &str, text: &str) -> String {
        let arn = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf");
        let mut state = self.0.lock().unwrap();
        let secret = state.secrets.entry(arn.clone()).or_default();
        let version = format!("version-{:032}", secret.versions.len());
        secret.versions.insert(version.clone(), text.to_owned());
        secret.stages.insert("AWSCURRENT".to_owned(), version);
        arn
    }

    /// Returns the current version of a secret.
    #[must_use]
    pub fn current(&self, arn: &str) -> String {
        self.0.lock().unwrap().secrets[arn].get("AWSCURRENT").unwrap().1
    }

    /// Sets what happens to the next calls.
    pub fn fail(&self, faults: &[Fault]) {
        self.0.lock().unwrap().faults = faults.iter().copied().collect();
    }

    /// Returns the operations since the last call of this method.
    #[expect(clippy::must_use_candidate, reason = "a test also calls it to forget the calls before")]
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let operation = target.trim_start_matches("secretsmanager.").to_owned();
        let body: Value = serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let arn = body["SecretId"].as_str().unwrap().to_owned();
        let fault = {
            let mut state = self.0.lock().unwrap();
            state.calls.push(operation.clone());
            state.faults.pop_front().unwrap_or(Fault::Pass)
        };
        let outcome = match fault {
            Fault::Stall => std::future::pending().await,
            Fault::Refuse(status, code) => return Ok(response(status, &json!({ "__type": code }))),
            Fault::Conflict => return Err(std::io::Error::other("the connection is lost")),
            Fault::LoseReply => {
                self.0.lock().unwrap().call(&operation, &arn, &body).ok();
                return Err(std::io::Error::other("the reply is lost"));
            }
            Fault::Pass => self.0.lock().unwrap().call(&operation, &arn, &body),
        };
        Ok(outcome.map_or_else(|code| response(400, &json!({ "__type": code })), |reply| response(200, &reply)))
    }
}

impl State {
    fn call(&mut self, operation: &str, arn: &str, body: &Value) -> Result<Value, Refused> {
        let secret = self.secrets.get_mut(arn).ok_or("ResourceNotFoundException")?;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        match operation {
            "GetSecretValue" => {
                let (version, value) = secret.get("AWSCURRENT").ok_or("ResourceNotFoundException")?;
                Ok(json!({ "ARN": arn, "VersionId": version, "SecretString": value }))
            }
            "PutSecretValue" => {
                let (version, value) = (text("ClientRequestToken").unwrap(), text("SecretString").unwrap());
                assert!((32..=64).contains(&version.len()), "{version}");
                if secret.versions.get(&version).is_some_and(|known| *known != value) {
                    return Err("ResourceExistsException");
                }
                secret.versions.insert(version.clone(), value);
                for stage in body["VersionStages"].as_array().unwrap() {
                    secret.stages.insert(stage.as_str().unwrap().to_owned(), version.clone());
                }
                Ok(json!({ "ARN": arn, "VersionId": version }))
            }
            "UpdateSecretVersionStage" => {
                let (stage, to) = (text("VersionStage").unwrap(), text("MoveToVersionId").unwrap());
                let holder = secret.stages.get(&stage).cloned();
                if holder != text("RemoveFromVersionId") || !secret.versions.contains_key(&to) {
                    return Err("InvalidParameterException");
                }
                secret.stages.insert("AWSPREVIOUS".to_owned(), holder.unwrap());
                secret.stages.insert(stage, to);
                Ok(json!({ "ARN": arn }))
            }
            other => panic!("{other} is not supported"),
        }
    }
}

impl Secret {
    /// Returns the id and the text of the version with this stage.
    fn get(&self, stage: &str) -> Option<(String, String)> {
        let version = self.stages.get(stage)?;
        Some((version.clone(), self.versions.get(version)?.clone()))
    }
}

fn response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(Full::from(body.to_string())).unwrap()
}
