//! `openapi.yaml` over HTTPS, on the local stack: schemathesis asks what the document allows and what it does not, and
//! holds every answer against it. `schemathesis.toml` says how.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testbed::local_stack::{self, Options};
use tokio::process::Command;
use tokio::time::timeout;

/// Each run has another seed and asks something else. The seed is printed; in `SCHEMATHESIS_SEED` it is used again.
#[tokio::test]
async fn the_service_answers_as_openapi_yaml_says() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let program = schemathesis(root);
    let seed = env::var("SCHEMATHESIS_SEED")
        .unwrap_or_else(|_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string());
    let (_process, stack) = local_stack::start(Options { short_waits: true, ..Options::default() }).await;
    let mut run = Command::new(program);
    run.current_dir(root)
        .args(["--no-color", "run", "openapi.yaml", "--seed", &seed, "--url", &stack.url])
        .env("HYPOTHESIS_STORAGE_DIRECTORY", root.join("target/schemathesis/hypothesis"))
        .kill_on_drop(true);
    let status = timeout(Duration::from_mins(15), run.status()).await.unwrap().unwrap();
    assert!(status.success(), "openapi.yaml and the service disagree; SCHEMATHESIS_SEED={seed}");
}

/// The one on the path, or the one that `.ci/run` has installed.
fn schemathesis(root: &Path) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = root.join("target/tools/schemathesis/bin");
    let candidates = env::split_paths(&path).chain([installed]).map(|folder| folder.join("schemathesis"));
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("there is no schemathesis: pip install schemathesis, or run .ci/run"))
}
