//! The binaries of the functions and of the floors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bench::performance::Size;

use crate::progress::Progress;

/// The packages, each of which is built alone, as `sam build` does. Cargo then turns on only the features that the
/// function needs.
const PACKAGES: [&str; 5] = ["userinfo", "login", "logout", "authorizer", "floors"];

/// Builds the functions and the floors. Returns the folder of the binaries.
pub(crate) fn build(root: &Path, progress: &Progress) -> Result<PathBuf> {
    for (number, package) in PACKAGES.iter().enumerate() {
        progress.say(&format!("builds {package} ({} of {}); a cold build takes minutes", number + 1, PACKAGES.len()));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).args(["build", "--release", "--locked", "--quiet", "--package", package]);
        ensure!(cargo.status().context("cannot start cargo")?.success(), "cargo cannot build {package}");
    }
    // This program is in a folder of the same target folder.
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("this program is in no target folder")?;
    Ok(target.join("release"))
}

/// Returns the sizes of the functions. Python compresses them, as `sam package` does.
pub(crate) fn sizes(folder: &Path) -> Result<Vec<Size>> {
    let of = |function: &&str| {
        let binary = folder.join(function);
        let bytes = fs::metadata(&binary).with_context(|| format!("no {}", binary.display()))?.len();
        let script = "import sys, zlib; print(len(zlib.compress(open(sys.argv[1], 'rb').read())))";
        let zip = Command::new("python3").args(["-c", script]).arg(&binary).output().context("cannot start python3")?;
        let zip_bytes = String::from_utf8_lossy(&zip.stdout).trim().parse().context("python3 printed no size")?;
        Ok(Size { function: (*function).to_owned(), bytes, zip_bytes })
    };
    PACKAGES[..4].iter().map(of).collect()
}
