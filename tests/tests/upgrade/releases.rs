//! The functions of version 0.1.0 and of this version, as processes over the same tables.
//!
//! The source of version 0.1.0 comes from the history of the repository. Where both versions have the same dependency,
//! Cargo does not compile it again: the target folder starts with hard links to what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use lambda_simulator::Simulator;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use serde_json::Value;
use testbed::workspace::root;
use testbed::{Event, Reply};

/// The tag of the release.
const TAG: &str = "v0.1.0";

/// The commit of the tag, for a clone without tags.
const COMMIT: &str = "cc68760cddd16979a4e96a48d3c7fe38e00787f6";

/// The functions that share tables.
const FUNCTIONS: [&str; 6] = ["authorizer", "login", "logout", "password", "sessions", "userinfo"];

/// The folders with the programs of version 0.1.0 and of this version. The first test builds both.
static PROGRAMS: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let new = root().join("target");
    cargo_build(root(), &new);
    let old = new.join(TAG);
    extract(&old.join("source"));
    link_dependencies(&new.join("debug"), &old.join("target/debug"));
    cargo_build(&old.join("source"), &old.join("target"));
    [old.join("target/debug"), new.join("debug")]
});

/// All functions of one version.
pub(crate) struct Release {
    /// The version, for messages.
    pub(crate) name: &'static str,
    functions: Vec<Function>,
}

struct Function {
    name: &'static str,
    runtime_api: Simulator,
    _process: ManagedProcess,
}

impl Release {
    /// Starts the functions of version 0.1.0 and of this version with the same variables.
    pub(crate) async fn start_both(variables: &[(&'static str, String)]) -> [Self; 2] {
        let [old, new] = &*PROGRAMS;
        [Self::start("version 0.1.0", old, variables).await, Self::start("this version", new, variables).await]
    }

    async fn start(name: &'static str, programs: &Path, variables: &[(&'static str, String)]) -> Self {
        let mut functions = Vec::new();
        for name in FUNCTIONS {
            let runtime_api = Simulator::builder().function_name(name).build().await.unwrap();
            let config = ProcessConfig::new(programs.join(name), ProcessRole::Runtime).inherit_stdio(false);
            let config = variables.iter().fold(config, |config, (name, value)| config.env(*name, value));
            let process = runtime_api.spawn_process_with_config(config).unwrap();
            functions.push(Function { name, runtime_api, _process: process });
        }
        Self { name, functions }
    }

    /// Sends an event to a function, and returns its response.
    pub(crate) async fn send(&self, function: &str, event: &Event) -> Reply {
        serde_json::from_value(self.answer(function, event).await).unwrap()
    }

    /// Returns `true` if the authorizer lets an event pass.
    pub(crate) async fn authorizes(&self, event: &Event) -> bool {
        self.answer("authorizer", event).await["isAuthorized"] == true
    }

    async fn answer(&self, function: &str, event: &Event) -> Value {
        let runtime_api = &self.functions.iter().find(|running| running.name == function).unwrap().runtime_api;
        let request = runtime_api.enqueue_payload(event.payload()).await;
        let done = runtime_api.wait_for_invocation_complete(&request, Duration::from_secs(30)).await.unwrap();
        done.response.unwrap_or_else(|| panic!("{} of {} failed", function, self.name)).payload
    }
}

/// Writes the source of version 0.1.0 into a folder, once.
fn extract(source: &Path) {
    if source.join("Cargo.lock").exists() {
        return;
    }
    let is_known = |commit: &&str| {
        let commit = format!("{commit}^{{commit}}");
        let status = Command::new("git").current_dir(root()).args(["cat-file", "-e", &commit]).status();
        status.unwrap().success()
    };
    let commit = [TAG, COMMIT].into_iter().find(is_known);
    let commit = commit.unwrap_or_else(|| panic!("this clone has neither {TAG} nor {COMMIT}: fetch the whole history"));
    let partial = source.with_extension("partial");
    fs::remove_dir_all(&partial).ok();
    fs::create_dir_all(&partial).unwrap();
    let script = "set -o pipefail; git archive \"$1\" | tar --extract --directory \"$2\"";
    let mut shell = Command::new("bash");
    shell.current_dir(root()).args(["-c", script, "bash", commit]).arg(&partial);
    assert!(shell.status().unwrap().success(), "git archive {commit} failed");
    fs::rename(partial, source).unwrap();
}

/// Links what Cargo has built of other crates into another target folder, once. The crates of the workspace are left
/// out: both versions have crates of the same name, and Cargo would overwrite the files of this version.
fn link_dependencies(from: &Path, to: &Path) {
    if to.exists() {
        return;
    }
    let members = fs::read_dir(root()).unwrap().chain(fs::read_dir(root().join("functions")).unwrap());
    let members: BTreeSet<_> = members.map(|member| member.unwrap().file_name().into_string().unwrap()).collect();
    // `libshared-0123456789abcdef.rlib` and the folder `shared-0123456789abcdef`.
    let is_ours = |name: &str| {
        let name = name.strip_prefix("lib").unwrap_or(name);
        members.contains(name.rsplit_once('-').map_or(name, |(name, _)| name))
    };
    let partial = to.with_extension("partial");
    fs::remove_dir_all(&partial).ok();
    for folder in [".fingerprint", "build", "deps"] {
        fs::create_dir_all(partial.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
            let is_library = [".rlib", ".rmeta", ".so"].iter().any(|end| name.ends_with(end));
            if !is_ours(&name) && (path.is_dir() || is_library) {
                link(&path, &partial.join(folder).join(name));
            }
        }
    }
    fs::rename(partial, to).unwrap();
}

fn link(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            link(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::hard_link(from, to).unwrap();
    }
}

/// Builds the functions without optimisation.
fn cargo_build(source: &Path, target: &Path) {
    let bins = FUNCTIONS.iter().flat_map(|function| ["--bin", function]);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source).args(["build", "--locked", "--target-dir"]).arg(target).args(bins);
    assert!(cargo.status().unwrap().success(), "{} does not build", source.display());
}
