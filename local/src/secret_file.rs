//! Files with secrets. Only the current user can read them.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Writes a file with mode 0600, and returns it open. Replaces an existing file as a whole, whatever its mode is, so
/// that no reader sees a part of the new text.
///
/// # Errors
/// Fails if the folder is not writable.
pub fn write(path: &Path, text: &str) -> Result<File> {
    let draft = draft(path);
    let write = || {
        fs::remove_file(&draft).ok();
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, path)?;
        Ok::<_, std::io::Error>(file)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A file that is removed on drop. Until then this process holds a lock on it.
///
/// The system releases the lock when the process ends, also after SIGKILL. A file without a lock is therefore stale. So
/// is a copy of a file.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    _locked: File,
}

impl Temporary {
    /// Writes a file with mode 0600, and locks it.
    ///
    /// # Errors
    /// Fails if the folder is not writable.
    pub fn write(path: PathBuf, text: &str) -> Result<Self> {
        let file = write(&path, text)?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Returns `true` if the process that wrote this temporary file has ended.
#[must_use]
pub fn is_stale(file: &File) -> bool {
    // A shared lock, so that two commands at the same time do not take each other for the process that wrote the file.
    !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Returns the path of the unfinished file, in the same folder.
fn draft(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    draft.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_has_mode_0600_even_if_it_existed_with_another_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "a longer text than the secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn a_temporary_file_is_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = Temporary::write(path.clone(), "secret").unwrap();
        assert!(!is_stale(&File::open(&path).unwrap()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_copy_of_a_temporary_file_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let _file = Temporary::write(folder.path().join("secret"), "secret").unwrap();
        let copy = folder.path().join("copy");
        fs::copy(folder.path().join("secret"), &copy).unwrap();
        assert!(is_stale(&File::open(&copy).unwrap()));
    }
}
