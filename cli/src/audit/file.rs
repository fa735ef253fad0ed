//! The events of the local stack, in a file to which the stack and the operator's tool append.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::event::Event;
use crate::output::say;

/// Reads the file from its start, and then what is appended. If a new stack replaces the file, reads the rest of the
/// old file and then the new one.
pub(super) struct FileEvents {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    events: VecDeque<Event>,
}

impl FileEvents {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None, rest: Vec::new(), events: VecDeque::new() }
    }

    /// Returns the next event, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        if self.events.is_empty() {
            let broken = self.read().with_context(|| format!("cannot read {}", self.path.display()))?;
            if broken > 0 {
                say(&format!("{} has lines that are not events: {broken}.", self.path.display()));
            }
        }
        Ok(self.events.pop_front())
    }

    /// Reads all complete lines. Returns the number of those that are not events.
    fn read(&mut self) -> io::Result<usize> {
        let mut broken = 0;
        loop {
            if let Some(file) = &mut self.file {
                if file.metadata()?.len() < file.stream_position()? {
                    file.rewind()?;
                    self.rest.clear();
                }
                file.read_to_end(&mut self.rest)?;
                let complete = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let lines: Vec<u8> = self.rest.drain(..complete).collect();
                for line in String::from_utf8_lossy(&lines).lines().filter(|line| !line.trim().is_empty()) {
                    match Event::parse(line, None) {
                        Some(event) => self.events.push_back(event),
                        None => broken += 1,
                    }
                }
            }
            match File::open(&self.path) {
                Ok(now) if self.is_other(&now)? => {
                    self.file = Some(now);
                    self.rest.clear();
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => return Ok(broken),
            }
        }
    }

    /// Returns `true` if this is not the file that is read. The open file keeps its number from being used again.
    fn is_other(&self, now: &File) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let (file, now) = (file.metadata()?, now.metadata()?);
        Ok((file.dev(), file.ino()) != (now.dev(), now.ino()))
    }
}
