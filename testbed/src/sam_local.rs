//! The functions in real containers, behind the API Gateway of `sam local start-api`: built by `sam build`, from the
//! template, as they are for AWS.
//!
//! Owns what that takes without a network, on Linux on `x86_64`: an engine for the containers and an image. The tables
//! are those of `cargo dev tables`. What it has started it stops when it is dropped; what was there before, it leaves.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use dev::functions;
use dev::processes::Process;
use reqwest::StatusCode;
use tokio::process::Command;

use crate::contract::Stack;
use crate::local_stack::{self, Options};

/// Arguments that every command of SAM's takes. The architecture is this machine's, the origin that of `cargo dev`.
const STACK: [&str; 5] =
    ["--parameter-overrides", "Architecture=x86_64", "AllowedOrigins=https://localhost:3000", "--region", "eu-west-1"];

/// The running service, with the two demonstration users.
pub struct SamLocal {
    // Dropped in this order: SAM removes its containers, what it has left behind goes next, the engine and the tables last.
    _api: Process,
    _containers: Containers,
    _engine: Engine,
    _tables: Process,
    /// What the contract is checked against.
    pub stack: Stack,
}

impl SamLocal {
    /// Starts everything and waits until the functions answer. The first time they are built, which takes minutes.
    pub async fn start() -> Self {
        let root = local_stack::root();
        let folder = root.join("target/sam-local");
        fs::create_dir_all(&folder).unwrap();
        let sam = Sam::find(root).await;

        let engine = Engine::answering(&folder).await;
        let containers = Containers { engine: engine.host.clone(), of: folder.join("build") };
        containers.remove();
        sam.import_image(&engine).await;
        sam.build(&containers.of).await;
        add_protected_route(&containers.of.join("template.yaml"));

        // It also writes what `samconfig.toml` names.
        let tables = local_stack::cargo_dev(&["tables"], Options::default()).await;
        let port = local_stack::free_port();
        let stack = local_stack::stack(port, Options::default());
        let log = folder.join("start-api.log");
        let mut api = sam.start_api(&engine, &folder, port, &log);
        answers(&mut api, &stack, &log).await;
        Self { _api: api, _containers: containers, _engine: engine, _tables: tables, stack }
    }
}

/// A route behind the authorizer. The template has none of its own: they are for functions of somebody else's.
pub const PROTECTED: &str = "/protected";

/// Puts `userinfo` behind the authorizer as well, in what SAM has built.
fn add_protected_route(template: &Path) {
    let built = fs::read_to_string(template).unwrap();
    let route =
        format!("{{ApiId: {{Ref: Api}}, Method: GET, Path: {PROTECTED}, Auth: {{Authorizer: SessionAuthorizer}}}}");
    let before = "        UserinfoHead:\n";
    assert_eq!(built.matches(before).count(), 1, "{built}");
    let event = format!("        Protected:\n          Type: HttpApi\n          Properties: {route}\n{before}");
    fs::write(template, built.replace(before, &event)).unwrap();
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
        // Else it is looked for beside the template, which is not the project's own once it is built.
        sam.arg("--config-file").arg(self.root.join("samconfig.toml"));
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

    /// What `samconfig.toml` does not say already is what a test does otherwise.
    fn start_api(&self, engine: &Engine, folder: &Path, port: u16, log: &Path) -> Process {
        let mut start = self.command(&["local", "start-api", "--skip-pull-image", "--no-watch"]);
        start.args(["--port", &port.to_string(), "--template"]).arg(folder.join("build/template.yaml"));
        start.envs(engine.variable());
        Process::start("sam local start-api", log_to(&mut start, log)).unwrap()
    }
}

/// What runs containers: the engine of this machine, or else one of our own.
struct Engine {
    host: Option<String>,
    // Dropped in this order.
    _process: Option<Process>,
    _data: Option<Data>,
}

/// The folder in which an engine of our own keeps its data. The engine mounts it on itself and leaves it so, and what is
/// mounted cannot be deleted.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        Blocking::new("umount").arg("--lazy").arg(&self.0).stderr(Stdio::null()).status().ok();
    }
}

impl Engine {
    async fn answering(folder: &Path) -> Self {
        if answers_docker(None).await {
            return Self { host: None, _process: None, _data: None };
        }
        // Not in the tree: the path of a socket has 107 bytes at most.
        let socket = env::temp_dir().join(format!("latchkey-{}.sock", std::process::id()));
        let host = format!("unix://{}", socket.display());
        let log = folder.join("dockerd.log");
        let data = Data(folder.join("docker"));
        let mut dockerd = Command::new("dockerd");
        dockerd
            .args(["--host", &host])
            .arg("--data-root")
            .arg(&data.0)
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
        Self { host: Some(host), _process: Some(process), _data: Some(data) }
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
async fn answers(api: &mut Process, stack: &Stack, log: &Path) {
    let url = &stack.url;
    let trusted = reqwest::Certificate::from_pem(&stack.certificate).unwrap();
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
