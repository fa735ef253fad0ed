//! What is compared: the functions, their floors, and the peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::caller::Work;
use crate::process::Program;

/// A program in one of its uses.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What is started.
    pub(crate) program: Program,
    /// What it does with an event.
    pub(crate) work: Work,
    /// Whether it answers every event with 200.
    pub(crate) is_floor: bool,
    /// Whether it is a peer.
    pub(crate) is_peer: bool,
    /// Whether a call hashes a password.
    pub(crate) hashes: bool,
    /// The calls after the first one that are not measured.
    pub(crate) warm_up: usize,
}

/// The memory of a function in `template.yaml`, in MiB.
const MEMORY_MIB: u32 = 256;
/// The memory of `login`.
const LOGIN_MEMORY_MIB: u32 = 1769;
/// A binary is steady after a few calls.
const WARM_UP: usize = 5;
/// The calls after which the peers are steady (`bench/peers/README.md`). A login takes most of its time in native code.
const NODE_WARM_UP: usize = 3000;
const NODE_LOGIN_WARM_UP: usize = 100;
const PYTHON_WARM_UP: usize = 50;

/// Returns the functions and the floors in a folder with their binaries.
pub(crate) fn ours(folder: &Path) -> Vec<Subject> {
    [
        ("floor", "floor", Work::Nothing),
        ("userinfo", "userinfo", Work::Userinfo),
        ("floor-userinfo", "floor-userinfo", Work::Userinfo),
        ("renewal", "userinfo", Work::Renewal),
        ("floor-renewal", "floor-renewal", Work::Renewal),
        ("login", "login", Work::Login),
        ("floor-login", "floor-login", Work::Login),
        ("bare-hash", "bare-hash", Work::Nothing),
        ("logout", "logout", Work::Logout),
        ("floor-logout", "floor-logout", Work::Logout),
        ("authorizer", "authorizer", Work::Authorizer),
    ]
    .map(|(name, binary, work)| subject(name, folder.join(binary), work))
    .into()
}

/// Returns another build of `userinfo`.
pub(crate) fn build(name: &str, executable: &Path) -> Subject {
    subject(name, executable.to_owned(), Work::Userinfo)
}

fn subject(name: &str, executable: PathBuf, work: Work) -> Subject {
    let hashes = work == Work::Login || name == "bare-hash";
    Subject {
        program: Program {
            name: name.to_owned(),
            executable,
            arguments: Vec::new(),
            variables: Vec::new(),
            memory_mib: if hashes { LOGIN_MEMORY_MIB } else { MEMORY_MIB },
        },
        work,
        is_floor: name.starts_with("floor") || name == "bare-hash",
        is_peer: false,
        hashes,
        warm_up: WARM_UP,
    }
}

impl Subject {
    /// Adds what a peer needs.
    fn with(mut self, arguments: Vec<String>, variables: Vec<(String, String)>, warm_up: usize) -> Self {
        self.program.arguments = arguments;
        self.program.variables = variables;
        self.warm_up = warm_up;
        self.is_peer = true;
        self
    }
}

/// Installs the peers and returns those for which the machine has what they need. Adds a note for each missing
/// language.
pub(crate) fn peers(root: &Path, notes: &mut Vec<String>) -> Result<Vec<Subject>> {
    let peers = root.join("bench/peers");
    let mut install = Command::new(peers.join("install"));
    let status = install.stdout(Stdio::null()).status().context("cannot start bench/peers/install")?;
    ensure!(status.success(), "bench/peers/install failed. bench/peers/README.md says what it needs.");
    let mut subjects = Vec::new();
    let runtime = peers.join("node/node_modules/aws-lambda-ric/bin/index.mjs");
    match which("node").filter(|_| runtime.exists()) {
        Some(node) => {
            let function = |name: &str, handler: &str, work, warm_up| {
                let arguments =
                    [&runtime, &peers.join("node/dist").join(handler)].map(|path| path.display().to_string());
                let no_warning = ("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED".to_owned(), "true".to_owned());
                subject(name, node.clone(), work).with(arguments.into(), vec![no_warning], warm_up)
            };
            subjects.push(function("node-userinfo", "userinfo.handler", Work::Userinfo, NODE_WARM_UP));
            subjects.push(function("node-login", "login.handler", Work::Login, NODE_LOGIN_WARM_UP));
        }
        None => notes.push("Without Node.js on this machine, the Node.js sides are left out.".to_owned()),
    }
    let python = root.join("target/peers/python/bin/python");
    if python.exists() && which("python3").is_some() {
        let arguments = ["-m", "awslambdaric", "userinfo.handler"].map(str::to_owned);
        let path = ("PYTHONPATH".to_owned(), peers.join("python").display().to_string());
        let userinfo = subject("python-userinfo", python, Work::Userinfo);
        subjects.push(userinfo.with(arguments.into(), vec![path], PYTHON_WARM_UP));
    } else {
        notes.push("Without Python on this machine, the Python side is left out.".to_owned());
    }
    Ok(subjects)
}

/// Returns the path of a program.
fn which(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Returns the subjects with these names, in this order. Leaves out those that this machine does not have.
pub(crate) fn named<'a>(subjects: &'a [Subject], names: &[&str]) -> Vec<&'a Subject> {
    names.iter().filter_map(|name| subjects.iter().find(|subject| subject.program.name == *name)).collect()
}
