//! The functions, run by `cargo lambda watch`.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::processes::Process;
use crate::settings::Settings;
use crate::template::Route;

/// The version that is installed where there is none.
const CARGO_LAMBDA: &str = "1.9.2";

/// Finds `cargo-lambda`, on the path or among the tools of this tree; else installs it among those.
///
/// # Errors
/// Where it can neither be found nor installed.
pub async fn cargo_lambda(target: &Path) -> Result<PathBuf> {
    let tools = target.join("tools");
    let ours = [tools.join("cargo-lambda/bin/cargo-lambda"), tools.join("bin/cargo-lambda")];
    let on_path = env::var_os("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let candidates = on_path.map(|folder| folder.join("cargo-lambda")).chain(ours.clone());
    for candidate in candidates.filter(|candidate| candidate.is_file()) {
        let version = Command::new(&candidate).args(["lambda", "--version"]).output().await;
        if version.is_ok_and(|output| output.status.success()) {
            return Ok(candidate);
        }
    }
    let [by_pip, by_cargo] = ours;
    let started = Instant::now();
    if let Some(python) = python().await {
        say(
            "tools",
            &format!("installing cargo-lambda {CARGO_LAMBDA} with pip under target/tools, which takes some seconds"),
        );
        let folder = tools.join("cargo-lambda");
        Process::start("python -m venv", Command::new(python).args(["-m", "venv"]).arg(&folder))?.finish().await?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("cargo-lambda=={CARGO_LAMBDA}")]);
        Process::start("pip install cargo-lambda", &mut pip)?.finish().await?;
        say("tools", &format!("installed in {} s", started.elapsed().as_secs()));
        return Ok(by_pip);
    }
    say(
        "tools",
        &format!(
            "no Python: building cargo-lambda {CARGO_LAMBDA} under target/tools, a quarter of an hour; with Python, seconds"
        ),
    );
    let mut install = Command::new("cargo");
    install.args(["install", "--locked", "--root"]).arg(&tools).arg(format!("cargo-lambda@{CARGO_LAMBDA}"));
    Process::start("cargo install cargo-lambda", &mut install)?.finish().await?;
    say("tools", &format!("installed in {} s", started.elapsed().as_secs()));
    Ok(by_cargo)
}

async fn python() -> Option<&'static str> {
    for name in ["python3", "python"] {
        let has_venv = Command::new(name).args(["-c", "import venv, ensurepip"]).stderr(Stdio::null()).status().await;
        if has_venv.is_ok_and(|status| status.success()) {
            return Some(name);
        }
    }
    None
}

/// Builds the functions, with cargo's own progress on the terminal: `cargo lambda watch` would build them at the first
/// request, while somebody waits for the answer.
///
/// # Errors
/// Where they do not build; cargo has said why.
pub async fn build(root: &Path, functions: &[String], release: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).arg("build").args(release.then_some("--release"));
    for function in functions {
        cargo.args(["--bin", function]);
    }
    Process::start("cargo build", &mut cargo)?.finish().await.context("the functions do not build: see above")
}

/// The running functions.
pub struct Functions {
    process: Process,
    /// Set when they have all answered: until then a request is a probe of ours and not worth a line.
    are_ready: Arc<AtomicBool>,
}

impl Functions {
    /// Starts `cargo lambda watch` at `address`, with hot reload, and prints the lines of the functions as they come.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(
        cargo_lambda: &Path,
        root: &Path,
        address: SocketAddr,
        settings: &Settings,
        release: bool,
    ) -> Result<Self> {
        let mut watch = Command::new(cargo_lambda);
        watch
            .current_dir(root)
            .args(["lambda", "watch", "--disable-cors", "--quiet"])
            .args(["--invoke-address", &address.ip().to_string(), "--invoke-port", &address.port().to_string()])
            .args(release.then_some("--release"))
            .envs(settings.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start("cargo lambda watch", &mut watch)?;
        let child = process.child();
        let (stdout, stderr) = (child.stdout.take().context("no stdout")?, child.stderr.take().context("no stderr")?);
        let are_ready = Arc::new(AtomicBool::new(false));
        tokio::spawn(print_lines(stdout, Arc::clone(&are_ready)));
        tokio::spawn(print_lines(stderr, Arc::clone(&are_ready)));
        Ok(Self { process, are_ready })
    }

    /// Waits until every function has answered a request, whatever the answer.
    ///
    /// # Errors
    /// Where the tool ends, or one of them stays silent for five minutes.
    pub async fn ready(&mut self, address: SocketAddr, routes: &[Route]) -> Result<()> {
        let client = reqwest::Client::builder().timeout(Duration::from_mins(5)).no_proxy().build()?;
        let deadline = Instant::now() + Duration::from_mins(5);
        for route in routes {
            loop {
                if let Some(status) = self.process.child().try_wait()? {
                    bail!("cargo lambda watch ended ({status}); is its port taken?");
                }
                // Without a body and without cookies there is nothing that a function could do.
                let method = reqwest::Method::from_bytes(route.method.as_bytes())?;
                let probe = client.request(method, format!("http://{address}{}", route.path)).send();
                let reached = tokio::time::timeout_at(deadline.into(), probe).await;
                match reached {
                    Ok(Ok(_)) => break,
                    Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(_) => bail!("the function {} did not answer within five minutes", route.function),
                }
            }
        }
        self.are_ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until `cargo lambda watch` ends, which it should not.
    ///
    /// # Errors
    /// Always.
    pub async fn ended(&mut self) -> Result<()> {
        let status = self.process.child().wait().await?;
        bail!("cargo lambda watch ended ({status})");
    }
}

/// A line of the local stack itself.
#[expect(clippy::print_stdout, reason = "it talks to a person at a terminal")]
pub fn say(topic: &str, text: &str) {
    println!("  {topic:<10} {text}");
}

/// Prints what the functions log in a form for people, and whatever is not JSON, such as the error of a compiler, as it is.
async fn print_lines(output: impl AsyncRead + Unpin, are_ready: Arc<AtomicBool>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Value>(&line) {
            Ok(fields) if fields["level"].is_string() => {
                let is_probe = fields["status"].is_number() && !are_ready.load(Ordering::Relaxed);
                if let Some((time, text)) = readable(&fields).filter(|_| !is_probe) {
                    say(&time, &text);
                }
            }
            // What the tool itself says about starting, and about stopping what it builds again.
            _ if line.trim_start().starts_with("INFO ") || line.ends_with("command killed code=ForceStop") => {}
            _ => eprintln!("{line}"),
        }
    }
}

/// A log line of ours, without what is the same on every line here; nothing for the lines that say at every start what they
/// said at the one before.
fn readable(fields: &Value) -> Option<(String, String)> {
    let text = |name: &str| fields[name].as_str().unwrap_or_default();
    let time = text("timestamp").get(11..19).unwrap_or_default();
    let is_request = fields["status"].is_number();
    match text("level") {
        "WARN" if text("message").starts_with("AWS_LAMBDA_MAX_CONCURRENCY") => None,
        "INFO" if text("event") == "key_loaded" => None,
        "INFO" if is_request => {
            let (status, method, function, took) =
                (&fields["status"], text("method"), text("function"), &fields["milliseconds"]);
            Some((time.to_owned(), format!("{status} {method} {function} ({took} ms)")))
        }
        level => {
            let known = ["timestamp", "level", "message", "target", "request_id", "span"];
            let more = fields.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
            let more: Vec<_> = more.map(|(name, value)| format!("{name}={value}")).collect();
            Some((time.to_owned(), format!("{level} {} {}", text("message"), more.join(" "))))
        }
    }
}
