//! The local stack, started as a developer starts it: with `cargo dev`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use local::running::RunningStack;
use shared::config::Environment;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::contract::Stack;
use crate::workspace::root;

/// The options of a local stack.
#[expect(clippy::struct_excessive_bools, reason = "each one is an option of the command or a variable")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Makes the cookies host-only.
    pub host_only: bool,
    /// Sets the `Domain` of the cookies, in place of `localhost`.
    pub cookie_domain: Option<&'a str>,
    /// Allows this origin, or several with commas, in place of the default.
    pub allowed_origin: Option<&'a str>,
    /// Sets device cookies.
    pub device_cookie: bool,
    /// Allows any number of wrong passwords from one address. The limit of each account stays.
    pub unlimited_sources: bool,
    /// Signs access tokens with this key set.
    pub access_secret: Option<&'a str>,
    /// Sets the `iss` of every token.
    pub issuer: Option<&'a str>,
    /// Serves without TLS.
    pub http: bool,
    /// Keeps the data in this file.
    pub data: Option<&'a Path>,
    /// Serves the routes of this file behind the authorizer.
    pub routes: Option<&'a Path>,
}

const SECRETS: [(&str, &str); 2] = [
    ("ACCESS_SECRET", "access-secret-of-the-local-stack-012"),
    ("REFRESH_SECRET", "refresh-secret-of-the-local-stack-01"),
];

/// Starts a local stack on a free port and waits until it is ready. It stops when the process is dropped.
pub async fn start(options: Options<'_>) -> (Process, Stack) {
    start_at(free_port(), options).await
}

/// Starts a local stack on this port and waits until it is ready. It stops when the process is dropped.
pub async fn start_at(port: u16, options: Options<'_>) -> (Process, Stack) {
    let (process, _) = cargo_dev(&["--port", &port.to_string()], options).await;
    (process, stack(port, options))
}

/// Starts a local stack as [`start`] does, and also returns what it prints.
pub async fn start_with_output(options: Options<'_>) -> (Process, Stack, Output) {
    let port = free_port();
    let (process, output) = cargo_dev(&["--port", &port.to_string()], options).await;
    (process, stack(port, options), output)
}

/// The lines that a local stack prints.
pub struct Output(UnboundedReceiver<String>);

impl Output {
    /// Skips lines until one contains this text. Returns it.
    pub async fn line_with(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.0.recv().await.unwrap();
                if line.contains(text) {
                    return line;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_mins(1), found).await;
        found.unwrap_or_else(|_| panic!("there is no line with {text}"))
    }
}

/// Starts `cargo dev` with these arguments and waits until it prints that it is ready.
pub(crate) async fn cargo_dev(arguments: &[&str], options: Options<'_>) -> (Process, Output) {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root())
        .arg("dev")
        .args(arguments)
        .args(options.host_only.then_some("--host-only"))
        .args(options.http.then_some("--http"))
        .args(options.data.map(|file| ["--data".as_ref(), file.as_os_str()]).into_iter().flatten())
        .args(options.routes.map(|file| ["--routes".as_ref(), file.as_os_str()]).into_iter().flatten())
        .envs(SECRETS)
        .envs(options.access_secret.map(|set| ("ACCESS_SECRET", set)))
        .envs(options.issuer.map(|issuer| ("ISSUER", issuer)))
        .envs(options.allowed_origin.map(|origin| ("ALLOWED_ORIGINS", origin)))
        .envs(options.device_cookie.then_some(("DEVICE_COOKIE", "on")))
        .envs(options.unlimited_sources.then_some(("SOURCE_FAILURES_PER_HOUR", "0")))
        .env_remove("COOKIE_DOMAIN")
        .envs(options.cookie_domain.map(|domain| ("COOKIE_DOMAIN", domain)))
        .stdout(Stdio::piped());
    let mut process = Process::start("cargo dev", &mut cargo).unwrap();
    let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
    let (sender, output) = mpsc::unbounded_channel();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            eprintln!("{line}");
            if line.starts_with("Ready") {
                return;
            }
        }
        panic!("cargo dev ended before it was ready");
    };
    tokio::time::timeout(Duration::from_mins(15), ready).await.unwrap();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send(line).ok();
        }
    });
    (process, Output(output))
}

/// Returns the stack on this port, for the contract.
pub(crate) fn stack(port: u16, options: Options<'_>) -> Stack {
    let domain = if options.host_only { "" } else { options.cookie_domain.unwrap_or("localhost") };
    let scheme = if options.http { "http" } else { "https" };
    let read_certificate = || std::fs::read(root().join("target/dev/localhost.pem")).unwrap();
    Stack {
        url: format!("{scheme}://localhost:{port}"),
        socket: None,
        certificate: if options.http { Vec::new() } else { read_certificate() },
        env: crate::environment(&[&SECRETS[..], &[("COOKIE_DOMAIN", domain)]].concat()),
    }
}

/// Returns the environment of the functions of a running local stack. With it, a test reaches the tables.
#[must_use]
pub fn environment(stack: &Stack) -> Environment {
    let running = RunningStack::all(root()).into_iter().find(|running| running.url == stack.url);
    running.unwrap().environment()
}

/// Returns a free port of the loopback interface.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
