//! The stacks that run in this checkout, each in a file for the commands that use that stack.
//!
//! A file contains secrets. Only the current user can read it, and the stack removes it when it stops. A stack that is
//! killed leaves its file behind, without a lock. The commands ignore such a file, and the next stack removes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use shared::config::Environment;

use crate::secret_file::{Temporary, is_stale};

/// The file with the variables for `sam local`. It contains the same secrets while `cargo dev tables` runs.
pub const VARIABLES_FOR_SAM: &str = "sam-local.json";

/// A running stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningStack {
    /// The address of the gateway, such as `https://localhost:4000`.
    pub url: String,
    /// The address of the functions.
    pub functions: SocketAddr,
    /// The variables of the functions.
    variables: BTreeMap<String, String>,
}

impl RunningStack {
    /// Returns a stack whose functions have these variables.
    #[must_use]
    pub const fn new(url: String, functions: SocketAddr, variables: BTreeMap<String, String>) -> Self {
        Self { url, functions, variables }
    }

    /// Writes the file of this stack, and removes the files of stacks and tables that were killed. Dropping the
    /// returned file removes it. The caller holds the lock on the shared files.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn save(&self, root: &Path, port: u16) -> Result<Temporary> {
        for path in files(root).chain([folder(root).join(VARIABLES_FOR_SAM)]) {
            if File::open(&path).is_ok_and(|file| is_stale(&file)) {
                fs::remove_file(path).ok();
            }
        }
        Temporary::write(folder(root).join(format!("running-{port}.json")), &serde_json::to_string(self)?)
    }

    /// Returns the stacks that run in this checkout, in the order of their addresses. Ignores stale files.
    #[must_use]
    pub fn all(root: &Path) -> Vec<Self> {
        let mut stacks: Vec<_> = files(root).filter_map(|path| Self::read(&path)).collect();
        stacks.sort_by(|one, other| one.url.cmp(&other.url));
        stacks
    }

    /// Returns `None` if the file is stale.
    fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        (!is_stale(&file)).then(|| serde_json::from_str(&text).ok()).flatten()
    }

    /// Returns the variables of the functions.
    #[must_use]
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Returns the file with the events of this stack.
    #[must_use]
    pub fn events_file(&self, root: &Path) -> PathBuf {
        events_file(root, &self.url)
    }

    /// Returns the environment of the functions.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let variables = self.variables.clone();
        Environment::new(move |name| variables.get(name).cloned())
    }
}

/// Returns the file to which the stack at `url` and the operator's tool append their events, one JSON object for each
/// line. The file contains no secrets, and it stays when the stack stops. The next stack at the same port begins a new
/// file.
#[must_use]
pub fn events_file(root: &Path, url: &str) -> PathBuf {
    let port = url.rsplit(':').next().unwrap_or_default();
    folder(root).join(format!("events-{port}.jsonl"))
}

/// Returns the files of all stacks, including stale ones.
fn files(root: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder(root)).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("running-").is_some_and(|rest| rest.strip_suffix(".json").is_some())
    })
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/dev")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn stack(url: &str) -> RunningStack {
        let variables = BTreeMap::from([("ACCESS_SECRET".to_owned(), "secret".to_owned())]);
        RunningStack::new(url.to_owned(), ([127, 0, 0, 1], 9).into(), variables)
    }

    /// Returns the root of an empty checkout.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder(root.path())).unwrap();
        root
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = files(root).map(|path| path.file_name().unwrap().display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_of_a_running_stack_exists_with_mode_0600_until_the_stack_stops() {
        let root = root();
        let (first, second) = (stack("https://localhost:4100"), stack("http://localhost:4200"));
        let saved = [first.save(root.path(), 4100).unwrap(), second.save(root.path(), 4200).unwrap()];
        assert_eq!(names(root.path()), ["running-4100.json", "running-4200.json"]);
        for path in files(root.path()) {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(RunningStack::all(root.path()), [second, first.clone()]);
        assert_eq!(first.environment().required("ACCESS_SECRET").unwrap(), "secret");
        drop(saved);
        assert_eq!(names(root.path()), Vec::<String>::new());
    }

    /// A stack that was killed leaves its file without a lock. The next stack removes the file.
    #[test]
    fn a_stale_file_is_ignored_and_the_next_stack_removes_it() {
        let root = root();
        let text = serde_json::to_string(&stack("https://localhost:4100")).unwrap();
        fs::write(folder(root.path()).join("running-4100.json"), text).unwrap();
        fs::write(folder(root.path()).join(VARIABLES_FOR_SAM), "{}").unwrap();
        assert_eq!(RunningStack::all(root.path()), []);
        let running = stack("https://localhost:4200");
        let _saved = running.save(root.path(), 4200).unwrap();
        assert_eq!(names(root.path()), ["running-4200.json"]);
        assert!(!folder(root.path()).join(VARIABLES_FOR_SAM).exists());
        assert_eq!(RunningStack::all(root.path()), [running]);
    }

    #[test]
    fn a_copied_checkout_has_no_running_stack() {
        let (root, copy) = (root(), root());
        let _saved = stack("https://localhost:4100").save(root.path(), 4100).unwrap();
        for path in files(root.path()) {
            fs::copy(&path, folder(copy.path()).join(path.file_name().unwrap())).unwrap();
        }
        assert_eq!(names(copy.path()), ["running-4100.json"]);
        assert_eq!(RunningStack::all(copy.path()), []);
    }

    #[test]
    fn a_file_that_is_not_ours_is_ignored() {
        let root = root();
        let path = folder(root.path()).join("running-4100.json");
        for text in ["", "{", "[]", r#"{"url":"https://localhost:4100"}"#] {
            fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            file.lock().unwrap();
            assert_eq!(RunningStack::all(root.path()), [], "{text:?}");
        }
    }
}
