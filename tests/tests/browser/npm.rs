//! npm packages.

use std::path::Path;

use dev::processes::Process;
use tokio::process::Command;

/// Installs the packages of the lock file in a folder.
pub(crate) async fn install(folder: &Path) {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund"]);
    Process::start("npm ci", &mut npm).unwrap().finish().await.unwrap();
}
