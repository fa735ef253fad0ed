//! The checkout that `cargo dev` runs: the one in which the developer starts it.
//!
//! The program looks for it at run time. A path from compile time would name another folder after a checkout was moved
//! or copied together with `target/`, because cargo then does not build the program again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The files at the root of a checkout.
const MARKERS: [&str; 3] = ["Cargo.toml", "template.yaml", "dev"];

/// Returns the root of the checkout that contains `folder`.
///
/// # Errors
/// Fails if neither `folder` nor a folder above it is a checkout.
pub fn containing(folder: &Path) -> Result<PathBuf> {
    let is_root = |folder: &&Path| MARKERS.iter().all(|marker| folder.join(marker).exists());
    let root = folder.ancestors().find(is_root).map(Path::to_owned);
    root.with_context(|| format!("{} is not in a checkout of Latchkey", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checkout(root: &Path) {
        fs::create_dir_all(root.join("dev")).unwrap();
        fs::create_dir_all(root.join("functions/login")).unwrap();
        for file in ["Cargo.toml", "template.yaml", "functions/login/Cargo.toml"] {
            fs::write(root.join(file), "").unwrap();
        }
    }

    #[test]
    fn the_root_is_found_from_every_folder_of_the_checkout() {
        let folder = tempfile::tempdir().unwrap();
        checkout(folder.path());
        for inside in ["", "functions", "functions/login"] {
            assert_eq!(containing(&folder.path().join(inside)).unwrap(), folder.path(), "{inside:?}");
        }
    }

    #[test]
    fn a_checkout_inside_another_one_is_the_root_of_its_own_folders() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("target/copy");
        checkout(folder.path());
        checkout(&inner);
        assert_eq!(containing(&inner.join("functions")).unwrap(), inner);
    }

    #[test]
    fn a_folder_outside_of_a_checkout_is_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = containing(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not in a checkout of Latchkey", folder.path().display()));
    }
}
