//! npm packages, and servers that run on Node.js.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dev::processes::Process;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Installs the packages of the lock file in a folder.
pub(crate) async fn install(folder: &Path) {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund"]);
    Process::start("npm ci", &mut npm).unwrap().finish().await.unwrap();
}

/// Starts a server and waits until it prints a line with this text. The server stops when the process is dropped.
pub(crate) async fn serve(name: &'static str, command: &mut Command, ready: &str) -> Process {
    let mut server = Process::start(name, command.env("NO_COLOR", "1").stdout(Stdio::piped())).unwrap();
    let mut lines = BufReader::new(server.child().stdout.take().unwrap()).lines();
    let is_ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            eprintln!("{line}");
            if line.contains(ready) {
                return;
            }
        }
        panic!("{name} ended before it was ready");
    };
    tokio::time::timeout(Duration::from_mins(1), is_ready).await.unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    server
}
