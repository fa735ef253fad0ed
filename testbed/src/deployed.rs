//! The stack, deployed with SAM to a local emulator of AWS. `tests/deployed/README.md` says what this proves.
//!
//! Owns the emulator, the commands that deploy to it, and what the emulator reports: the environment, the credentials
//! and the calls of each function. The emulator and the functions stop on drop.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use dev::processes::Process;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::keys::{KeySet, Purpose};
use shared::store::{self, Client, Secrets};
use tokio::process::Command;

use crate::contract::Stack;
use crate::local_stack::free_port;
use crate::sam::{Sam, add_protected_route, end_of, log_to};
use crate::workspace::root;

/// The region of the emulator.
const REGION: &str = "eu-west-1";

/// An emulator of AWS.
pub struct Emulator {
    process: Process,
    sam: Sam,
    folder: PathBuf,
    endpoint: String,
    https: SocketAddr,
    certificate: String,
}

/// A function of a deployed stack.
#[derive(Debug, Deserialize)]
pub struct Function {
    /// The variables that the template sets.
    pub environment: BTreeMap<String, String>,
    credentials: BTreeMap<String, String>,
}

/// A call of AWS, and whether the role or the policy of the caller allows it.
#[derive(Debug, Deserialize)]
pub struct Decision {
    caller: String,
    /// The action, such as `dynamodb:GetItem`.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// The name of the table. Empty for a call of another service.
    pub table: String,
    /// The name of the index. Empty for a call of the table itself.
    pub index: String,
    /// Whether the call was allowed.
    pub allowed: bool,
}

impl Decision {
    /// Returns the name of the function that made the call, or `None` if a test or an operator made it.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        self.caller.contains(":assumed-role/").then(|| self.caller.rsplit('/').next())?
    }

    /// Returns `true` if this operator made the call.
    #[must_use]
    pub fn is_by(&self, operator: &Operator) -> bool {
        self.caller == operator.arn
    }
}

/// A user of IAM with one policy.
#[derive(Debug)]
pub struct Operator {
    /// The ARN of the user.
    pub arn: String,
    /// The variables with the credentials.
    pub credentials: BTreeMap<String, String>,
}

impl Emulator {
    /// Starts an emulator without a stack.
    pub async fn start() -> Self {
        let sam = Sam::find().await;
        let folder = root().canonicalize().unwrap().join("target/deployed");
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        let hosts = [format!("*.execute-api.{REGION}.amazonaws.com"), "*.example.com".to_owned()];
        let certificate = rcgen::generate_simple_self_signed(hosts).unwrap();
        fs::write(folder.join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
        let certificate = certificate.cert.pem();
        fs::write(folder.join("cert.pem"), &certificate).unwrap();

        let (http, https) = (free_port(), free_port());
        let python = root().join("target/tools/ministack/bin/python");
        assert!(python.is_file(), "ministack is not installed: run .ci/run, or see tests/deployed/README.md");
        let mut command = Command::new(python.parent().unwrap().canonicalize().unwrap().join("python"));
        command.current_dir(root()).arg("tests/deployed/emulator").args([http, https].map(|port| port.to_string()));
        // The functions inherit the environment of the emulator.
        command.arg(&folder).env_clear().env("PATH", "/usr/bin:/bin").env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("emulator", log_to(&mut command, &folder.join("emulator.log"))).unwrap();
        let endpoint = format!("http://127.0.0.1:{http}");
        let mut emulator = Self { process, sam, folder, endpoint, https: ([127, 0, 0, 1], https).into(), certificate };
        emulator.wait_until_ready().await;
        emulator
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while reqwest::get(format!("{}/functions", self.endpoint)).await.is_err() {
            let has_ended = self.process.child().try_wait().unwrap().is_some();
            let log = self.folder.join("emulator.log");
            assert!(!has_ended && Instant::now() < deadline, "the emulator did not start. {}", end_of(&log));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs shell commands as an administrator of the emulated account. Answers no question.
    pub async fn run(&self, commands: &str, variables: &[(&str, &str)]) {
        let done = self.shell(commands, variables).await;
        assert!(done, "a command failed: {commands}\n{}", end_of(&self.commands_log()));
    }

    /// Runs shell commands of which one fails, and returns their output.
    pub async fn run_in_vain(&self, commands: &str) -> String {
        let done = self.shell(commands, &[]).await;
        assert!(!done, "no command failed: {commands}");
        fs::read_to_string(self.commands_log()).unwrap()
    }

    /// Runs shell commands, and returns `true` if all of them succeeded.
    async fn shell(&self, commands: &str, variables: &[(&str, &str)]) -> bool {
        eprintln!("$ {}", commands.trim().replace('\n', "\n$ "));
        let mut shell = Command::new("bash");
        self.sam.prepare(&mut shell);
        shell.args(["-euc", commands]).stdin(Stdio::null()).envs(variables.iter().copied());
        shell.env("AWS_ENDPOINT_URL", &self.endpoint).env("AWS_DEFAULT_REGION", REGION);
        shell.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("SAM_CLI_POLL_DELAY", "0.5")]);
        Process::start("shell", log_to(&mut shell, &self.commands_log())).unwrap().finish().await.is_ok()
    }

    fn commands_log(&self) -> PathBuf {
        self.folder.join("commands.log")
    }

    /// Returns the names of all tables of the emulated account.
    pub async fn tables(&self) -> Vec<String> {
        let administrator = crate::environment(&[("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint)]);
        let tables = store::connect(&administrator).unwrap().list_tables().send().await.unwrap();
        tables.table_names.unwrap_or_default()
    }

    /// Makes a user of IAM with this policy. The name must be new.
    pub async fn operator(&self, name: &str, policy: &Value) -> Operator {
        let body = json!({ "name": name, "policy": policy }).to_string();
        let answer = reqwest::Client::new().post(format!("{}/operators", self.endpoint)).body(body).send().await;
        let credentials = serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap();
        Operator { arn: format!("arn:aws:iam::000000000000:user/{name}"), credentials }
    }

    /// Returns the variables with which a program finds the emulator.
    #[must_use]
    pub fn variables(&self) -> [(&str, &str); 2] {
        [("AWS_ENDPOINT_URL", &self.endpoint), ("AWS_REGION", REGION)]
    }

    /// Updates the stack with a copy of the built template that has a route of `userinfo` behind the authorizer.
    pub async fn deploy_protected_route(&self) {
        let build = root().join(".aws-sam/build");
        let copy = build.join("protected.yaml");
        fs::copy(build.join("template.yaml"), &copy).unwrap();
        add_protected_route(&copy);
        let deploy = "sam deploy --template-file .aws-sam/build/protected.yaml --config-file \"$PWD/samconfig.toml\"";
        self.run(deploy, &[]).await;
    }

    /// Returns the functions of the stack. The key is the name in the template.
    pub async fn functions(&self) -> BTreeMap<String, Function> {
        let functions = self.functions_by_name().await.into_iter();
        functions.map(|(name, function)| (logical_id(&name).to_owned(), function)).collect()
    }

    /// Returns the functions of all stacks. The key is the name at Lambda.
    async fn functions_by_name(&self) -> BTreeMap<String, Function> {
        let answer = reqwest::get(format!("{}/functions", self.endpoint)).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Returns the stack, for the contract. Its environment is that of `login` with the rights of an administrator. It
    /// has the secrets as they are now.
    pub async fn stack(&self) -> Stack {
        let functions = self.functions().await;
        let mut env = self.environment(&functions["LoginFunction"], &[]);
        Secrets::read(&mut env, Timestamp::now()).await.unwrap();
        Stack { url: self.api_url().await, socket: Some(self.https), certificate: self.certificate.clone().into(), env }
    }

    /// Returns a client with the credentials of a function.
    pub fn client_of(&self, function: &Function) -> Client {
        let credentials: Vec<_> =
            function.credentials.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        store::connect(&self.environment(function, &credentials)).unwrap()
    }

    /// Returns the current key set of a purpose.
    pub async fn key_set(&self, purpose: Purpose) -> KeySet {
        let arn = self.functions().await["LoginFunction"].environment[purpose.variable()].clone();
        let secret = self.secrets_client("test", "test", None).get_secret_value().secret_id(arn).send().await.unwrap();
        KeySet::parse(purpose, &secret.secret_string.unwrap()).unwrap()
    }

    /// Makes the keys of a purpose older: this time has passed since they were published.
    pub async fn age_keys(&self, purpose: Purpose, time: Duration) {
        let arn = self.functions().await["LoginFunction"].environment[purpose.variable()].clone();
        let client = self.secrets_client("test", "test", None);
        let secret = client.get_secret_value().secret_id(&arn).send().await.unwrap().secret_string.unwrap();
        let mut set: Value = serde_json::from_str(&secret).unwrap();
        for key in set["keys"].as_array_mut().unwrap() {
            for name in ["published_at", "sign_from"] {
                if let Some(at) = key[name].as_u64().filter(|at| *at > 0) {
                    key[name] = at.saturating_sub(time.as_secs()).into();
                }
            }
        }
        client.put_secret_value().secret_id(arn).secret_string(set.to_string()).send().await.unwrap();
    }

    /// Returns a client of Secrets Manager with the credentials of a function.
    #[must_use]
    pub fn secrets_client_of(&self, function: &Function) -> aws_sdk_secretsmanager::Client {
        let credential = |name: &str| function.credentials[name].as_str();
        let token = function.credentials.get("AWS_SESSION_TOKEN").cloned();
        self.secrets_client(credential("AWS_ACCESS_KEY_ID"), credential("AWS_SECRET_ACCESS_KEY"), token)
    }

    fn secrets_client(&self, id: &str, secret: &str, token: Option<String>) -> aws_sdk_secretsmanager::Client {
        let sdk = aws_sdk_secretsmanager::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_secretsmanager::config::Region::new(REGION))
            .credentials_provider(aws_sdk_secretsmanager::config::Credentials::new(id, secret, token, None, "function"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&self.endpoint);
        aws_sdk_secretsmanager::Client::from_conf(sdk.build())
    }

    fn environment(&self, function: &Function, others: &[(&str, &str)]) -> Environment {
        let own = function.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let services = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER"];
        let endpoints = services.map(|service| (service, self.endpoint.as_str()));
        let variables: Vec<_> = endpoints.into_iter().chain(others.iter().copied()).chain(own).collect();
        crate::environment(&variables)
    }

    /// Returns the address that `sam deploy` prints.
    async fn api_url(&self) -> String {
        self.outputs("latchkey").await["ApiUrl"].clone()
    }

    /// Returns the outputs of a stack.
    pub async fn outputs(&self, stack: &str) -> BTreeMap<String, String> {
        let file = self.folder.join("outputs.json");
        let list = format!("sam list stack-outputs --stack-name {stack} --output json >'{}'", file.display());
        self.run(&list, &[]).await;
        let outputs: Vec<BTreeMap<String, String>> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        outputs.into_iter().map(|output| (output["OutputKey"].clone(), output["OutputValue"].clone())).collect()
    }

    /// Returns the folder with the logs, the certificate `cert.pem` of the hosts, and its key `key.pem`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes one action on one resource from the role of a function, and stops the instances of the function. The
    /// resource is a table or a secret of the template. An index follows its table, after a space.
    pub async fn take_grant(&self, function: &str, action: &str, resource: &str) {
        let functions = self.functions_by_name().await;
        let named = |(name, _): &(&String, &Function)| logical_id(name) == function;
        let (name, Function { environment, .. }) = functions.iter().find(named).unwrap();
        let (resource, index) = resource.split_once(' ').unwrap_or((resource, ""));
        let arn = if action.starts_with("dynamodb:") {
            let table = environment.values().find(|value| logical_id(value) == resource).unwrap();
            let index = if index.is_empty() { String::new() } else { format!("/index/{index}") };
            format!("arn:aws:dynamodb:{REGION}:000000000000:table/{table}{index}")
        } else {
            let is_named = |value: &&String| value.starts_with("arn:") && logical_id_of_secret(value) == resource;
            environment.values().find(is_named).unwrap().clone()
        };
        let body = json!({ "function": name, "action": action, "resource": arn }).to_string();
        let answer = reqwest::Client::new().post(format!("{}/grants", self.endpoint)).body(body).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "1", "{name} has {action} on {arn} in one statement");
    }

    /// Gives the roles the grants that were taken.
    pub async fn give_grants_back(&self) {
        let answer = reqwest::Client::new().delete(format!("{}/grants", self.endpoint)).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "null");
    }

    /// Returns all calls of DynamoDB, `CloudFormation`, Lambda, CloudWatch Logs and Secrets Manager since the start.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decision> {
        let log = fs::read_to_string(self.folder.join("decisions.jsonl")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Returns the name in the template of a resource: `LoginFunction` for `latchkey-LoginFunction-8108D915414F6`.
#[must_use]
pub fn logical_id(name: &str) -> &str {
    name.split('-').nth(1).unwrap_or(name)
}

/// Returns the name in the template of a secret: `AccessSecret` for an ARN with
/// `secret:latchkey/latchkey/access-AbCdEf`. The secret of an operator has the name of its parameter.
#[must_use]
pub fn logical_id_of_secret(arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or_default();
    let Some((purpose, _)) = name.strip_prefix("latchkey/latchkey/").and_then(|name| name.split_once('-')) else {
        return "PasswordPepper".to_owned();
    };
    purpose[..1].to_uppercase() + &purpose[1..] + "Secret"
}

/// Returns `true` if the release build of aws-lc contains the collector of CPU jitter. Looks at the newest build.
#[must_use]
pub fn has_cpu_jitter() -> bool {
    let targets = ["target/release", "target/x86_64-unknown-linux-gnu/release"];
    let builds =
        targets.map(|target| root().join(target).join("build")).into_iter().flat_map(|folder| entries(&folder));
    let libraries = builds
        .flat_map(|build| entries(&build.join("out")))
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libaws_lc_")));
    let newest = libraries.max_by_key(|library| fs::metadata(library).unwrap().modified().unwrap()).unwrap();
    String::from_utf8_lossy(&fs::read(newest).unwrap()).contains("jent_entropy_collector")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}
