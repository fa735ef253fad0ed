//! The file with the events of a running stack, for `latchkey --local audit`.
//!
//! A stack begins a new file and appends the events of its functions. The operator's tool appends those of the
//! operator. The file stays when the stack stops, so that a developer can still read it. It contains no secrets.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use local::secret_file;
use serde_json::Value;

/// An open file. Clones append to the same file.
#[derive(Clone)]
pub struct EventsFile(Arc<File>);

impl EventsFile {
    /// Begins a new file with mode 0600. Programs that read the old file notice that.
    ///
    /// # Errors
    /// Fails if the folder is not writable.
    pub fn create(path: &PathBuf) -> Result<Self> {
        secret_file::write(path, "")?;
        // Each write goes to the end of the file, also after a write of the operator's tool.
        let file = File::options().append(true).open(path);
        Ok(Self(Arc::new(file.with_context(|| format!("cannot open {}", path.display()))?)))
    }

    /// Appends a log line if it is an event. One write, so that two writers never mix their lines.
    ///
    /// # Errors
    /// Fails if the line cannot be written.
    pub fn append(&self, line: &str, fields: &Value) -> Result<()> {
        if fields["event"].is_string() {
            (&*self.0).write_all(format!("{line}\n").as_bytes()).context("cannot write the file of events")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn append(file: &EventsFile, line: &str) {
        file.append(line, &serde_json::from_str(line).unwrap()).unwrap();
    }

    #[test]
    fn the_file_has_the_events_of_all_writers_and_no_other_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "the events of an earlier stack\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let file = EventsFile::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        append(&file, r#"{"level":"INFO","event":"logged_out"}"#);
        let mut tool = File::options().append(true).open(&path).unwrap();
        tool.write_all(b"{\"event\":\"user_added\"}\n").unwrap();
        for line in [r#"{"level":"INFO","status":200}"#, r#"{"event":1}"#, r#"["event"]"#, r#""event""#] {
            append(&file, line);
        }
        append(&file.clone(), r#"{"event":"key_loaded"}"#);
        let expected =
            "{\"level\":\"INFO\",\"event\":\"logged_out\"}\n{\"event\":\"user_added\"}\n{\"event\":\"key_loaded\"}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}
