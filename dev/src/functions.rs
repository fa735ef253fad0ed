//! The functions, run by `cargo lambda watch`.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::authorizer;
use crate::events_file::EventsFile;
use crate::processes::Process;
use crate::settings::Settings;
use crate::template::Route;
use crate::terminal;

/// The version of `cargo-lambda` to install.
const CARGO_LAMBDA: &str = "1.9.2";

/// Returns the path of `cargo-lambda`, from `PATH` or from `target/tools`. If it is in neither, installs it under
/// `target/tools`.
///
/// # Errors
/// Fails if the installation fails.
pub async fn cargo_lambda(target: &Path) -> Result<PathBuf> {
    let tools = target.join("tools");
    let [by_pip, by_cargo] = [tools.join("cargo-lambda/bin/cargo-lambda"), tools.join("bin/cargo-lambda")];
    let on_path = env::var_os("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let candidates = on_path.map(|folder| folder.join("cargo-lambda")).chain([by_pip.clone(), by_cargo.clone()]);
    for candidate in candidates.filter(|candidate| candidate.is_file()) {
        let version = Command::new(&candidate).args(["lambda", "--version"]).output().await;
        if version.is_ok_and(|output| output.status.success()) {
            return Ok(candidate);
        }
    }
    let started = Instant::now();
    let installed = if let Some(python) = python().await {
        say("tools", &format!("installing cargo-lambda {CARGO_LAMBDA} with pip (a few seconds)"));
        install_with_pip(python, &tools.join("cargo-lambda")).await?;
        by_pip
    } else {
        say("tools", &format!("no Python found: building cargo-lambda {CARGO_LAMBDA} (about 15 minutes)"));
        install_with_cargo(&tools).await?;
        by_cargo
    };
    say("tools", &format!("installed in {} s", started.elapsed().as_secs()));
    Ok(installed)
}

/// Returns the command of a Python that can create virtual environments.
async fn python() -> Option<&'static str> {
    for name in ["python3", "python"] {
        let has_venv = Command::new(name).args(["-c", "import venv, ensurepip"]).stderr(Stdio::null()).status().await;
        if has_venv.is_ok_and(|status| status.success()) {
            return Some(name);
        }
    }
    None
}

async fn install_with_pip(python: &str, folder: &Path) -> Result<()> {
    Process::start("python -m venv", Command::new(python).args(["-m", "venv"]).arg(folder))?.finish().await?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("cargo-lambda=={CARGO_LAMBDA}")]);
    Process::start("pip install cargo-lambda", &mut pip)?.finish().await
}

async fn install_with_cargo(tools: &Path) -> Result<()> {
    let mut install = Command::new("cargo");
    install.args(["install", "--locked", "--root"]).arg(tools).arg(format!("cargo-lambda@{CARGO_LAMBDA}"));
    Process::start("cargo install cargo-lambda", &mut install)?.finish().await
}

/// Builds the functions, with cargo's progress on the terminal. Without this, `cargo lambda watch` would build them
/// during the first request.
///
/// # Errors
/// Fails if the functions do not compile. Cargo prints the reason.
pub async fn build(root: &Path, functions: &[String], release: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).arg("build").args(release.then_some("--release"));
    for function in functions {
        cargo.args(["--bin", function]);
    }
    Process::start("cargo build", &mut cargo)?.finish().await.context("the functions do not compile: see above")
}

/// The running functions.
pub struct Functions {
    process: Process,
    /// The address of `cargo lambda watch`.
    pub address: SocketAddr,
}

impl Functions {
    /// Starts `cargo lambda watch` at a free port, with hot reload. Prints the log lines of the functions, and appends
    /// their events to the file.
    ///
    /// # Errors
    /// Fails if the program cannot be started.
    pub async fn start(
        cargo_lambda: &Path,
        root: &Path,
        settings: &Settings,
        release: bool,
        events: EventsFile,
    ) -> Result<Self> {
        let address = free_address().await?;
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
        tokio::spawn(print_lines(stdout, events.clone()));
        tokio::spawn(print_lines(stderr, events));
        Ok(Self { process, address })
    }

    /// Waits until every route has returned a response, with any status. Then waits for the authorizer, if a route
    /// needs it.
    ///
    /// # Errors
    /// Fails if `cargo lambda watch` ends, or if a function does not respond within five minutes.
    pub async fn ready(&mut self, routes: &[Route], authorizer: bool) -> Result<()> {
        let client = reqwest::Client::builder().timeout(Duration::from_mins(5)).no_proxy().build()?;
        let deadline = Instant::now() + Duration::from_mins(5);
        let mut probes = Vec::new();
        for route in routes {
            // A request without body and cookies changes nothing.
            let method = reqwest::Method::from_bytes(route.method.as_bytes())?;
            let url = format!("http://{}{}", self.address, route.path);
            probes.push((route.function.as_str(), client.request(method, url)));
        }
        if authorizer {
            let url = format!("http://{}/2015-03-31/functions/{}/invocations", self.address, authorizer::FUNCTION);
            probes.push((authorizer::FUNCTION, client.post(url).body("{}")));
        }
        for (function, probe) in probes {
            let probe = probe.build()?;
            loop {
                if let Some(status) = self.process.child().try_wait()? {
                    bail!("cargo lambda watch ended ({status}). Is its port in use?");
                }
                let probe = probe.try_clone().context("a request without a stream can be copied")?;
                let reached = tokio::time::timeout_at(deadline.into(), client.execute(probe)).await;
                match reached {
                    Ok(Ok(_)) => break,
                    Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(_) => bail!("the function {function} did not respond within five minutes"),
                }
            }
        }
        Ok(())
    }

    /// Waits for the unexpected end of `cargo lambda watch`.
    ///
    /// # Errors
    /// Always returns an error.
    pub async fn ended(&mut self) -> Result<()> {
        let status = self.process.child().wait().await?;
        bail!("cargo lambda watch ended ({status})");
    }
}

/// Returns a loopback address with a free port.
async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}

/// Prints a line of the local stack: a topic or a time, and a text.
pub fn say(topic: &str, text: &str) {
    anstream::println!("  {topic:<11}  {}", terminal::with_coloured_status(text));
}

/// Prints the log lines of the functions in a readable form, and appends the events to the file. Prints other lines
/// unchanged, such as compiler errors.
async fn print_lines(output: impl AsyncRead + Unpin, events: EventsFile) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Value>(&line) {
            Ok(fields) if fields["level"].is_string() => {
                if let Err(error) = events.append(&line, &fields) {
                    say("warning", &format!("{error:#}"));
                }
                if let Some((time, text)) = readable(&fields) {
                    say(&time, &text);
                }
            }
            // `cargo lambda watch` reports its start, and the stop of a function before it builds that function again.
            _ if line.trim_start().starts_with("INFO ") || line.ends_with("command killed code=ForceStop") => {}
            _ => eprintln!("{line}"),
        }
    }
}

/// Returns time and text of a log line, without the fields that have the same value on every line here. Returns `None`
/// for lines that every start repeats, and for the lines of a request and of the authorizer's decision about it: the
/// gateway prints a line for each request.
fn readable(fields: &Value) -> Option<(String, String)> {
    let text = |name: &str| fields[name].as_str().unwrap_or_default();
    let time = text("timestamp").get(11..19).unwrap_or_default();
    match text("level") {
        "WARN" if text("message").starts_with("AWS_LAMBDA_MAX_CONCURRENCY") => None,
        "INFO" if text("event") == "key_loaded" => None,
        "INFO" if fields["status"].is_number() || fields["is_authorized"].is_boolean() => None,
        level => {
            let known = ["timestamp", "level", "message", "target", "request_id", "span"];
            let more = fields.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
            let more: Vec<_> = more.map(|(name, value)| format!("{name}={value}")).collect();
            Some((time.to_owned(), format!("{level} {} {}", text("message"), more.join(" "))))
        }
    }
}
