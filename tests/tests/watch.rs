//! The contract over HTTPS, on the local stack as a developer starts it: `cargo dev`, in both cookie modes.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use shared::config::Config;
use testbed::contract::{self, Stack};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const ACCESS_SECRET: &str = "access-secret-of-the-watch-test-0123";
const REFRESH_SECRET: &str = "refresh-secret-of-the-watch-test-012";

/// Starts `cargo dev` and waits until it says that it is ready.
async fn local_stack(host_only: bool) -> (Process, Stack) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["dev", "--port", &port.to_string()])
        .args(host_only.then_some("--host-only"))
        .envs([("ACCESS_SECRET", ACCESS_SECRET), ("REFRESH_SECRET", REFRESH_SECRET)])
        .env_remove("COOKIE_DOMAIN")
        .stdout(Stdio::piped());
    let mut process = Process::start("cargo dev", &mut cargo).unwrap();
    let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            eprintln!("{line}");
            if line.starts_with("Ready after") {
                return;
            }
        }
        panic!("cargo dev ended before it was ready");
    };
    tokio::time::timeout(Duration::from_mins(15), ready).await.unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let domain = if host_only { "" } else { "localhost" };
    let settings = [("ACCESS_SECRET", ACCESS_SECRET), ("REFRESH_SECRET", REFRESH_SECRET), ("COOKIE_DOMAIN", domain)];
    let stack = Stack {
        url: format!("https://localhost:{port}"),
        certificate: std::fs::read(root.join("target/dev/localhost.pem")).unwrap(),
        config: Config::from_lookup(testbed::settings(&settings)).unwrap(),
        serves_head: true,
    };
    (process, stack)
}

#[tokio::test]
async fn the_contract_holds_on_cargo_lambda_watch() {
    for host_only in [false, true] {
        let (process, stack) = local_stack(host_only).await;
        let url = stack.url.clone();
        contract::holds(&stack).await;
        drop(process);
        let gone = reqwest::get(&url).await.unwrap_err();
        assert!(gone.is_connect() || gone.is_request(), "the stack is gone: {gone:?}");
    }
}
