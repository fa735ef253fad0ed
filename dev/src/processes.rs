//! Programs that the local stack starts, and ends with everything that they started in turn; and whose turn it is, where
//! two stacks start at once.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::Command as Blocking;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// How long a program may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running program. Dropped, it is stopped, and so are its children and theirs: a stop in the middle of a build leaves
/// no compiler behind.
pub struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Starts a program. It gets a process group of its own, so that a Ctrl-C in the terminal reaches the local stack
    /// alone, which then stops what it started in order.
    ///
    /// # Errors
    /// Where there is no such program.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// The child, for its output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the program has done its work.
    ///
    /// # Errors
    /// Where it failed.
    pub async fn finish(mut self) -> Result<()> {
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("{} failed ({status})", self.name);
        }
        Ok(())
    }
}

/// Waits until no other stack of this tree is making what both use, such as tools and a certificate. Keeps others waiting
/// until the file is dropped, and no longer than this process lives.
///
/// # Errors
/// Where the folder cannot be written to.
pub async fn turn(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("turn"))?;
    // Not `lock`: a thread that waits in it would keep Ctrl-C from ending the process.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        let family = family_of(id);
        kill(Pid::from_raw(id), Signal::SIGTERM).ok();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for member in family {
            kill(Pid::from_raw(member), Signal::SIGKILL).ok();
        }
    }
}

/// A process and all its descendants, as `ps` sees them.
fn family_of(id: i32) -> Vec<i32> {
    let listing = Blocking::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let listing = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let pairs: Vec<(i32, i32)> = listing
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut family = vec![id];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Two once installed the same tool into the same folder at the same time, and one of them failed.
    #[tokio::test]
    async fn of_two_that_start_at_once_one_waits_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = turn(folder.path()).await.unwrap();
        assert!(timeout(Duration::from_millis(300), turn(folder.path())).await.is_err(), "the second waits");
        drop(first);
        timeout(PATIENCE, turn(folder.path())).await.unwrap().unwrap();
    }
}
