//! The files of the workspace.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dev::template::Template;
use local::checkout;

/// The root of the workspace. A program finds it when it starts, because a path from compile time is wrong after the
/// checkout was moved.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| checkout::containing(&env::current_dir().unwrap()).unwrap());

/// Returns the folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    &ROOT
}

/// Reads a text file of the workspace.
#[must_use]
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Reads `template.yaml`.
#[must_use]
pub fn template() -> Template {
    Template::read(&root().join("template.yaml")).unwrap()
}
