//! `openapi.yaml` over HTTPS, on the local stack. schemathesis sends valid and invalid requests, and compares every
//! response with the document. `schemathesis.toml` configures it.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::local_stack::{self, Options};
use testbed::workspace::root;
use tokio::process::Command;
use tokio::time::timeout;

/// Each run has a new seed and sends other requests. To repeat a run, set `SCHEMATHESIS_SEED` to the seed that it
/// printed.
#[tokio::test]
async fn the_service_conforms_to_openapi_yaml() {
    let root = root();
    let program = schemathesis(root);
    let seed = env::var("SCHEMATHESIS_SEED")
        .unwrap_or_else(|_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string());
    // Without an address as its issuer, a stack has no metadata.
    let issuer = Some("https://auth.example.com");
    let options = Options { unlimited_sources: true, device_cookie: true, issuer, ..Options::default() };
    let (_process, stack) = local_stack::start(options).await;
    let mut run = Command::new(program);
    run.current_dir(root)
        .args(["--no-color", "run", "openapi.yaml", "--seed", &seed, "--url", &stack.url])
        .env("HYPOTHESIS_STORAGE_DIRECTORY", root.join("target/schemathesis/hypothesis"))
        .kill_on_drop(true);
    let status = timeout(Duration::from_mins(15), run.status()).await.unwrap().unwrap();
    assert!(status.success(), "the service does not conform to openapi.yaml: SCHEMATHESIS_SEED={seed}");
}

/// Finds schemathesis in `PATH`, or where `.ci/run` installs it.
fn schemathesis(root: &Path) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = root.join("target/tools/schemathesis/bin");
    let candidates = env::split_paths(&path).chain([installed]).map(|folder| folder.join("schemathesis"));
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("schemathesis is not installed: pip install schemathesis, or run .ci/run"))
}
