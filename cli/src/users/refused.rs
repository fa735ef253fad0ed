//! The file of refused lines. It can be imported after a correction.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use crate::output::say;

/// The refused lines of one import. Only the current user can read the file. It gets its name at the end, and never
/// replaces another file: that one could be the input, or lines that the operator has corrected.
pub(super) struct Refused {
    path: PathBuf,
    header: Option<String>,
    lines: Lines,
}

enum Lines {
    None,
    Draft(NamedTempFile),
    /// Not a regular file, such as a pipe.
    Device(File),
}

impl Refused {
    /// Prepares the file. A file of CSV starts with the header of the input. If there is such a file, the name also has
    /// a number.
    pub(super) fn new(path: PathBuf, header: Option<String>) -> Self {
        let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file() || found.is_symlink());
        let numbered = |number: usize| PathBuf::from(format!("{}-{number}", path.display()));
        let free = if is_file(&path) { (2..=usize::MAX).map(numbered).find(|path| !is_file(path)) } else { None };
        Self { path: free.unwrap_or(path), header, lines: Lines::None }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Fails if the file is not writable, for example because the disk is full.
    pub(super) fn write(&mut self, line: &str) -> Result<()> {
        self.try_write(line).with_context(|| self.failure())
    }

    fn try_write(&mut self, line: &str) -> io::Result<()> {
        if matches!(self.lines, Lines::None) {
            self.lines = if self.path.exists() {
                Lines::Device(File::options().write(true).open(&self.path)?)
            } else {
                Lines::Draft(NamedTempFile::new_in(folder_of(&self.path))?)
            };
            if let Some(header) = self.header.take() {
                self.try_write(&header)?;
            }
        }
        let line = line.trim_end();
        match &mut self.lines {
            Lines::Draft(draft) => writeln!(draft, "{line}"),
            Lines::Device(device) => writeln!(device, "{line}"),
            Lines::None => Ok(()),
        }
    }

    /// Gives the file its name. Returns it if there is a refused line.
    ///
    /// # Errors
    /// Fails if the file is not writable.
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>> {
        match std::mem::replace(&mut self.lines, Lines::None) {
            Lines::None => return Ok(None),
            Lines::Device(_) => {}
            Lines::Draft(draft) => {
                draft.as_file().sync_all().with_context(|| self.failure())?;
                draft.persist_noclobber(&self.path).map_err(|failed| failed.error).with_context(|| self.failure())?;
            }
        }
        Ok(Some(self.path.clone()))
    }

    fn failure(&self) -> String {
        format!("cannot write the refused lines to {}", self.path.display())
    }
}

impl Drop for Refused {
    /// Keeps the lines of an import that failed.
    fn drop(&mut self) {
        if let Ok(Some(path)) = self.finish() {
            say(&format!("The refused lines so far are in {}.", path.display()));
        }
    }
}

/// Returns the folder in which a file is.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
