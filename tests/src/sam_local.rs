//! The functions in real containers, behind the API Gateway of `sam local start-api`: built by `sam build`, from the
//! template, as they are for AWS.
//!
//! Owns what that takes without a network, on Linux on `x86_64`: an engine for the containers, an image, tables, a
//! certificate. What it has started it stops when it is dropped; what was there before, it leaves.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use dev::certificate::Certificate;
use dev::dynamodb::DynamoDb;
use dev::processes::Process;
use dev::template::Template;
use dev::{functions, people};
use reqwest::StatusCode;
use serde_json::{Map, Value};
use shared::config::Config;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::contract::Stack;
use crate::tables::settings;

/// The variables that the functions get. SAM hands on those that the template declares, and drops others without a word.
const VARIABLES: [&str; 7] = [
    "USERS_TABLE",
    "SESSIONS_TABLE",
    "ACCESS_SECRET",
    "REFRESH_SECRET",
    "COOKIE_DOMAIN",
    "ALLOWED_ORIGINS",
    "AWS_ENDPOINT_URL_DYNAMODB",
];

/// Arguments that every command of SAM's takes. The architecture is this machine's.
const STACK: [&str; 4] = ["--parameter-overrides", "Architecture=x86_64", "--region", "eu-west-1"];

/// The running service, with the two demonstration users.
pub struct SamLocal {
    // Dropped in this order: SAM removes its containers, what it has left behind goes next, the engine last.
    _api: Process,
    _containers: Containers,
    _engine: Engine,
    _dynamodb: DynamoDb,
    /// What the contract is checked against.
    pub stack: Stack,
}

impl SamLocal {
    /// Starts everything and waits until the functions answer. The first time they are built, which takes minutes.
    pub async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = root.join("target/sam-local");
        fs::create_dir_all(&folder).unwrap();
        let sam = Sam::find(root).await;

        let engine = Engine::answering(&folder).await;
        let containers = Containers { engine: engine.host.clone(), of: folder.join("build") };
        containers.remove();
        sam.import_image(&engine).await;
        sam.build(&containers.of).await;

        let template = Template::read(&root.join("template.yaml")).unwrap();
        // A container cannot reach the loopback of its host.
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let dynamodb = DynamoDb::start(&template, everywhere, None).await.unwrap();
        let port = dynamodb.address().port();
        let endpoint = |host: &str| format!("http://{host}:{port}");
        let ours = settings(&[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint("127.0.0.1"))]);
        let config = Config::from_lookup(ours).unwrap();
        people::add_missing(&config).await.unwrap();

        let theirs = settings(&[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint("host.docker.internal"))]);
        let variables: Map<_, _> =
            VARIABLES.iter().map(|name| ((*name).to_owned(), theirs(name).unwrap().into())).collect();
        let variables: Map<String, Value> = [("Parameters".to_owned(), variables.into())].into_iter().collect();
        fs::write(folder.join("env.json"), Value::from(variables).to_string()).unwrap();

        // The cookies are for `localhost` and secure, so it has to be that name, with TLS.
        let certificate = Certificate::in_folder(&root.join("target/dev")).unwrap();
        let address = free_address().await;
        let log = folder.join("start-api.log");
        let mut api = sam.start_api(&engine, &folder, &certificate, address, &log);
        let certificate = fs::read(&certificate.certificate).unwrap();
        let url = format!("https://localhost:{}", address.port());
        answers(&mut api, &certificate, &url, &log).await;
        let stack = Stack { url, certificate, config, serves_head: false, knows_cors: false };
        Self { _api: api, _containers: containers, _engine: engine, _dynamodb: dynamodb, stack }
    }
}

/// SAM CLI.
struct Sam {
    program: PathBuf,
    root: PathBuf,
    /// The path with `cargo-lambda` on it, which `sam build` calls.
    path: OsString,
}

impl Sam {
    /// The one on the path, or the one that `.ci/run` has installed.
    async fn find(root: &Path) -> Self {
        let target = root.join("target");
        let on_path: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let candidates = on_path.iter().map(|folder| folder.join("sam"));
        let program = candidates.chain([target.join("tools/venv/bin/sam")]).find(|candidate| candidate.is_file());
        let program = program.unwrap_or_else(|| panic!("there is no SAM CLI: pip install aws-sam-cli, or run .ci/run"));
        let cargo_lambda = functions::cargo_lambda(&target).await.unwrap();
        let path = env::join_paths(cargo_lambda.parent().map(Path::to_owned).into_iter().chain(on_path)).unwrap();
        Self { program: program.canonicalize().unwrap(), root: root.to_owned(), path }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut sam = Command::new(&self.program);
        sam.current_dir(&self.root).args(arguments).args(STACK).env("PATH", &self.path);
        sam.env("SAM_CLI_TELEMETRY", "0").stdin(Stdio::null());
        // SAM asks AWS whose credentials it finds and hands them to the functions. It shall find none, and make some up.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
            sam.env_remove(name);
        }
        sam.env("AWS_EC2_METADATA_DISABLED", "true");
        sam.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
        sam
    }

    /// Sees to it that the engine has an image for the functions.
    async fn import_image(&self, engine: &Engine) {
        let python = self.program.with_file_name("python3");
        let mut import = Command::new(self.root.join("tests/sam-local/image.sh"));
        import.arg(python).envs(engine.variable());
        Process::start("tests/sam-local/image.sh", &mut import).unwrap().finish().await.unwrap();
    }

    /// Builds what the template names into `folder`, in the release profile, as for AWS. With `SAM_BUILD_MODE=debug` in
    /// the environment it is the dev profile, which takes seconds after a change, not minutes.
    async fn build(&self, folder: &Path) {
        let mut build = self.command(&["build"]);
        build.arg("--build-dir").arg(folder);
        Process::start("sam build", &mut build).unwrap().finish().await.unwrap();
    }

    fn start_api(
        &self,
        engine: &Engine,
        folder: &Path,
        certificate: &Certificate,
        address: SocketAddr,
        log: &Path,
    ) -> Process {
        let mut start = self.command(&["local", "start-api"]);
        start
            .args(["--skip-pull-image", "--warm-containers", "EAGER", "--no-watch"])
            .args(["--add-host", "host.docker.internal:host-gateway"])
            .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
            .arg("--template")
            .arg(folder.join("build/template.yaml"))
            .arg("--env-vars")
            .arg(folder.join("env.json"))
            .arg("--ssl-cert-file")
            .arg(&certificate.certificate)
            .arg("--ssl-key-file")
            .arg(&certificate.key)
            .envs(engine.variable());
        Process::start("sam local start-api", log_to(&mut start, log)).unwrap()
    }
}

/// What runs containers: the engine of this machine, or else one of our own.
struct Engine {
    host: Option<String>,
    _process: Option<Process>,
}

impl Engine {
    async fn answering(folder: &Path) -> Self {
        if answers_docker(None).await {
            return Self { host: None, _process: None };
        }
        // Not in the tree: the path of a socket has 107 bytes at most.
        let socket = env::temp_dir().join(format!("latchkey-{}.sock", std::process::id()));
        let host = format!("unix://{}", socket.display());
        let log = folder.join("dockerd.log");
        let mut dockerd = Command::new("dockerd");
        dockerd
            .args(["--host", &host])
            .arg("--data-root")
            .arg(folder.join("docker"))
            .arg("--exec-root")
            .arg(folder.join("docker-run"))
            .arg("--pidfile")
            .arg(folder.join("docker.pid"))
            .stdin(Stdio::null());
        let mut process = Process::start("dockerd", log_to(&mut dockerd, &log)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !answers_docker(Some(&host)).await {
            let has_ended = process.child().try_wait().unwrap().is_some();
            assert!(!has_ended && Instant::now() < deadline, "no Docker engine answers, and ours {}", end_of(&log));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { host: Some(host), _process: Some(process) }
    }

    /// How its clients find it.
    fn variable(&self) -> Option<(&str, &str)> {
        self.host.as_deref().map(|host| ("DOCKER_HOST", host))
    }
}

async fn answers_docker(host: Option<&str>) -> bool {
    let mut version = Command::new("docker");
    version.arg("version").envs(host.map(|host| ("DOCKER_HOST", host))).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().await.is_ok_and(|status| status.success())
}

/// The containers that run what is in a folder. Dropped, they are gone, whatever has become of SAM.
struct Containers {
    engine: Option<String>,
    of: PathBuf,
}

impl Containers {
    fn remove(&self) {
        let format = "{{.Id}}{{range .Mounts}} {{.Source}}{{end}}";
        let all = self.docker(&["ps", "--all", "--quiet"]);
        let all: Vec<_> = all.split_whitespace().collect();
        if all.is_empty() {
            return;
        }
        for line in self.docker(&[&["inspect", "--format", format], &all[..]].concat()).lines() {
            if let Some((id, sources)) = line.split_once(' ')
                && sources.split(' ').any(|source| Path::new(source).starts_with(&self.of))
            {
                self.docker(&["rm", "--force", "--volumes", id]);
            }
        }
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let mut docker = Blocking::new("docker");
        docker.args(arguments).envs(self.engine.as_deref().map(|host| ("DOCKER_HOST", host)));
        docker.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits until a function answers who nobody is.
async fn answers(api: &mut Process, certificate: &[u8], url: &str, log: &Path) {
    let trusted = reqwest::Certificate::from_pem(certificate).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match client.get(format!("{url}/userinfo")).timeout(Duration::from_secs(20)).send().await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => return,
            Ok(answer) => panic!("{url}/userinfo answered {}; SAM {}", answer.status(), end_of(log)),
            Err(error) => {
                let has_ended = api.child().try_wait().unwrap().is_some();
                assert!(!has_ended && Instant::now() < deadline, "{url}: {error}; SAM {}", end_of(log));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A port on the loopback that nobody uses now.
async fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

/// Sends both streams of a program to a new file.
fn log_to<'a>(program: &'a mut Command, path: &Path) -> &'a mut Command {
    let log = File::create(path).unwrap();
    program.stdout(log.try_clone().unwrap()).stderr(log)
}

/// What a program said last, for the message of a failure.
fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("said ({}):\n{}", log.display(), lines[lines.len().saturating_sub(20)..].join("\n"))
}
