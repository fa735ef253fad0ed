//! The files of the workspace.

use std::fs;
use std::path::Path;

use dev::template::Template;

/// Returns the folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
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
