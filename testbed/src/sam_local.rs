//! The functions in containers, behind `sam local start-api`. `sam build` builds them from the template, as for AWS.
//!
//! Owns what this needs without a network, on Linux on `x86_64`: a container engine and an image. The tables are those
//! of `cargo dev tables`. Everything that this module starts is stopped on drop. It leaves other containers and engines
//! alone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use dev::processes::Process;
use reqwest::StatusCode;
use tokio::process::Command;

use crate::contract::Stack;
use crate::local_stack::{self, Options};
use crate::sam::{Sam, add_protected_route, end_of, log_to};
use crate::workspace::root;

/// The arguments of the SAM commands: the architecture of this machine, and the default origin of `cargo dev`.
const STACK: [&str; 5] =
    ["--parameter-overrides", "Architecture=x86_64", "AllowedOrigins=https://localhost:3000", "--region", "eu-west-1"];

/// The running service, with the two demonstration users.
pub struct SamLocal {
    // Dropped in this order: SAM, which removes its containers; then those that it left; then the engine and the
    // tables.
    _api: Process,
    _containers: Containers,
    _engine: Engine,
    _tables: Process,
    /// The stack, for the contract.
    pub stack: Stack,
}

impl SamLocal {
    /// Starts everything and waits until the functions answer. The first build takes minutes.
    pub async fn start() -> Self {
        let root = root();
        let folder = root.join("target/sam-local");
        fs::create_dir_all(&folder).unwrap();
        let sam = Sam::find().await;

        let engine = Engine::find_or_start(&folder).await;
        let containers = Containers { engine: engine.host.clone(), folder: folder.join("build") };
        containers.remove();
        sam.import_image(&engine).await;
        sam.build(&containers.folder).await;
        add_protected_route(&containers.folder.join("template.yaml"));

        // This also writes the files that `samconfig.toml` names.
        let (tables, _) = local_stack::cargo_dev(&["tables"], Options::default()).await;
        let port = local_stack::free_port();
        let stack = local_stack::stack(port, Options::default());
        let log = folder.join("start-api.log");
        let mut api = sam.start_api(&engine, &folder, port, &log);
        wait_until_ready(&mut api, &stack, &log).await;
        Self { _api: api, _containers: containers, _engine: engine, _tables: tables, stack }
    }
}

impl Sam {
    /// Imports the image of the functions into the engine, unless it is there.
    async fn import_image(&self, engine: &Engine) {
        let python = self.program().with_file_name("python3");
        let mut import = Command::new(root().join("tests/sam-local/image.sh"));
        import.arg(python).envs(engine.variable());
        Process::start("tests/sam-local/image.sh", &mut import).unwrap().finish().await.unwrap();
    }

    /// Builds the functions into `folder`, in the release profile, as for AWS. With `SAM_BUILD_MODE=debug` in the
    /// environment, SAM uses the dev profile, which takes seconds instead of minutes after a change.
    async fn build(&self, folder: &Path) {
        let mut build = self.command(&["build"]);
        build.args(STACK).arg("--build-dir").arg(folder);
        Process::start("sam build", &mut build).unwrap().finish().await.unwrap();
    }

    /// Starts the gateway. `samconfig.toml` has the other settings.
    fn start_api(&self, engine: &Engine, folder: &Path, port: u16, log: &Path) -> Process {
        let mut start = self.command(&["local", "start-api", "--skip-pull-image", "--no-watch"]);
        start.args(STACK).args(["--port", &port.to_string(), "--template"]).arg(folder.join("build/template.yaml"));
        start.envs(engine.variable());
        Process::start("sam local start-api", log_to(&mut start, log)).unwrap()
    }
}

/// A container engine: that of this machine, or one that the test starts.
struct Engine {
    host: Option<String>,
    // Dropped in this order.
    _process: Option<Process>,
    _data: Option<Data>,
}

/// The data folder of an engine that the test started. The engine mounts it and does not unmount it. A mounted folder
/// cannot be deleted.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        Blocking::new("umount").arg("--lazy").arg(&self.0).stderr(Stdio::null()).status().ok();
    }
}

impl Engine {
    /// Returns the engine of this machine if it answers, or starts one.
    async fn find_or_start(folder: &Path) -> Self {
        if answers_docker(None).await {
            return Self { host: None, _process: None, _data: None };
        }
        // Not in `folder`: the path of a socket has at most 107 bytes.
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
            assert!(!has_ended && Instant::now() < deadline, "the Docker engine did not start: {}", end_of(&log));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { host: Some(host), _process: Some(process), _data: Some(data) }
    }

    /// Returns the variable that tells clients where the engine is.
    fn variable(&self) -> Option<(&str, &str)> {
        self.host.as_deref().map(|host| ("DOCKER_HOST", host))
    }
}

async fn answers_docker(host: Option<&str>) -> bool {
    let mut version = Command::new("docker");
    version.arg("version").envs(host.map(|host| ("DOCKER_HOST", host))).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().await.is_ok_and(|status| status.success())
}

/// The containers that run functions from a folder. They are removed on drop, even if SAM has failed.
struct Containers {
    engine: Option<String>,
    folder: PathBuf,
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
                && sources.split(' ').any(|source| Path::new(source).starts_with(&self.folder))
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

/// Waits until `userinfo` answers 401.
async fn wait_until_ready(api: &mut Process, stack: &Stack, log: &Path) {
    let url = &stack.url;
    let trusted = reqwest::Certificate::from_pem(&stack.certificate).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match client.get(format!("{url}/userinfo")).timeout(Duration::from_secs(20)).send().await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => return,
            Ok(answer) => panic!("{url}/userinfo answered {}. {}", answer.status(), end_of(log)),
            Err(error) => {
                let has_ended = api.child().try_wait().unwrap().is_some();
                assert!(!has_ended && Instant::now() < deadline, "{url} does not answer: {error}. {}", end_of(log));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
