//! The programs that the local stack starts, and a lock between stacks that start at the same time.
//!
//! A program stops together with all its descendants.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::Command as Blocking;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// The time that a program has to stop by itself, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running program. Dropping it stops the program and all its descendants, so that no compiler keeps running after a
/// stop in the middle of a build.
pub struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Starts a program in a process group of its own. Ctrl-C in the terminal then reaches only the local stack, which
    /// stops its programs in order.
    ///
    /// # Errors
    /// Fails if the program cannot be started.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// Returns the child process, for its output and status.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the program ends.
    ///
    /// # Errors
    /// Fails if the exit status is not 0.
    pub async fn finish(mut self) -> Result<()> {
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("{} failed ({status})", self.name);
        }
        Ok(())
    }
}

/// Waits for the lock on the files that all stacks of this working tree share, such as tools and the certificate.
/// Dropping the returned file, or the end of this process, releases the lock.
///
/// # Errors
/// Fails if the folder is not writable.
pub async fn lock_shared_files(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    // Not `File::lock`: a thread that blocks in it would keep the process alive after Ctrl-C.
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
        let family = with_descendants(id);
        kill(Pid::from_raw(id), Signal::SIGTERM).ok();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for member in family {
            kill(Pid::from_raw(member), Signal::SIGKILL).ok();
        }
    }
}

/// Returns the ids of a process and all its descendants, as `ps` lists them.
fn with_descendants(id: i32) -> Vec<i32> {
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

    /// Two stacks once installed the same tool into the same folder at the same time, and one of them failed.
    #[tokio::test]
    async fn a_second_stack_waits_for_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock_shared_files(folder.path()).await.unwrap();
        assert!(
            timeout(Duration::from_millis(300), lock_shared_files(folder.path())).await.is_err(),
            "the second waits"
        );
        drop(first);
        timeout(STOP_TIMEOUT, lock_shared_files(folder.path())).await.unwrap().unwrap();
    }
}
