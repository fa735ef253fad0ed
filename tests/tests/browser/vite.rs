//! Vite's server with the page in `examples/web`.

use std::path::{Path, PathBuf};

use dev::processes::Process;
use tempfile::TempDir;
use testbed::workspace::root;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::npm;

/// Where the page finds the service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service<'a> {
    /// On the page's own origin, through the proxy to this address.
    BehindProxy(&'a str),
    /// At this address.
    At(&'a str),
}

/// Returns the folder of the example, with the packages of its lock file.
pub(crate) async fn example() -> PathBuf {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let folder = root().canonicalize().unwrap().join("examples/web");
    INSTALLED.get_or_init(|| npm::install(&folder)).await;
    folder
}

/// Serves the example at `http://localhost:<port>`. The server stops when the process is dropped. The folder contains
/// its configuration.
pub(crate) async fn serve(port: u16, service: Service<'_>) -> (Process, TempDir) {
    let folder = example().await;
    let configuration = tempfile::tempdir_in(root().join("target").canonicalize().unwrap()).unwrap();
    let mut vite = Command::new("node");
    vite.current_dir(&folder).arg("node_modules/vite/bin/vite.js");
    vite.args(["--strictPort", "--port", &port.to_string()]);
    vite.arg("--config").arg(configuration_of(service, &folder, configuration.path()));
    if let Service::At(url) = service {
        vite.env("VITE_API", url);
    }
    let vite = npm::serve("vite", &mut vite, "Local:").await;
    (vite, configuration)
}

/// Writes a configuration that differs from the one of the example in the target of its proxy and in the folder of its
/// cache. Two servers with one cache would remove it from each other.
fn configuration_of(service: Service<'_>, example: &Path, folder: &Path) -> PathBuf {
    let original = example.join("vite.config.ts").into_os_string().into_string().unwrap();
    let cache = folder.join("cache").into_os_string().into_string().unwrap();
    let target = match service {
        Service::BehindProxy(target) => format!("rule.target = {target:?}"),
        Service::At(_) => String::new(),
    };
    let text = format!(
        "import config from {original:?};
        config.cacheDir = {cache:?};
        for (const rule of Object.values(config.server.proxy)) {{ {target} }}
        export default config;"
    );
    let file = folder.join("vite.config.mjs");
    std::fs::write(&file, text).unwrap();
    file
}
