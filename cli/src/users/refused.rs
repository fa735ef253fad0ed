//! The file of refused lines. It can be imported after a correction.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::import::Format;

/// The refused lines of one import. The file is created with the first line, and only the current user can read it.
pub(super) struct Refused {
    path: PathBuf,
    header: Option<String>,
    file: Option<File>,
}

impl Refused {
    /// Prepares the file. A file of CSV starts with the header of the input.
    pub(super) fn new(path: PathBuf, _format: Format, header: Option<String>) -> Self {
        Self { path, header, file: None }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Fails if the file is not writable, for example because the disk is full.
    pub(super) fn write(&mut self, line: &str) -> Result<()> {
        let mut write = || {
            if self.file.is_none() {
                let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
                if let Some(header) = &self.header {
                    writeln!(file, "{}", header.trim_end())?;
                }
                self.file = Some(file);
            }
            self.file.as_mut().map_or(Ok(()), |file| writeln!(file, "{}", line.trim_end()))
        };
        write().with_context(|| format!("cannot write the refused lines to {}", self.path.display()))
    }

    /// Writes everything to the disk.
    ///
    /// # Errors
    /// Fails if the file is not writable.
    pub(super) fn finish(&mut self) -> Result<()> {
        let synced = self.file.as_ref().map_or(Ok(()), File::sync_all);
        synced.with_context(|| format!("cannot write the refused lines to {}", self.path.display()))
    }

    /// Returns the path, if there is a refused line.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }
}
