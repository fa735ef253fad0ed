//! The CPU quota of a small function.
//!
//! Lambda gives a function CPU in proportion to its memory, as a quota of the kernel's scheduler in each period. Where
//! this program may make a cgroup, the kernel applies the quota. Elsewhere a thread stops the process when it has used
//! its share of a period, and continues it at the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::cpu_time;

/// The memory at which a function has one CPU, in MiB.
const ONE_CPU_MIB: u32 = 1769;

/// The period of the quota. It is the default of the kernel.
const PERIOD: Duration = Duration::from_millis(100);

/// How often a thread looks at the CPU time of a process without a cgroup.
const LOOK: Duration = Duration::from_micros(500);

/// How a quota is applied on this machine.
#[derive(Clone, Debug)]
pub(crate) enum Method {
    /// A cgroup below this folder. The kernel applies the quota.
    Cgroup { parent: PathBuf, version: u8 },
    /// `SIGSTOP` and `SIGCONT`.
    Signals,
}

/// A quota that applies to a process until it is dropped.
pub(crate) enum Quota {
    /// A cgroup, which is removed after the end of the process.
    Cgroup(PathBuf),
    /// The thread that stops and continues the process.
    Signals { ends: Arc<AtomicBool>, thread: Option<JoinHandle<()>> },
}

impl Method {
    /// Tries what this machine allows.
    pub(crate) fn of_machine() -> Self {
        let candidates = [("/sys/fs/cgroup/cpu", 1, "cpu.cfs_quota_us"), ("/sys/fs/cgroup", 2, "cpu.max")].into_iter();
        for (parent, version, file) in candidates {
            remove_stale(Path::new(parent));
            let group = name(Path::new(parent), "try");
            let is_allowed =
                fs::create_dir(&group).is_ok() && fs::OpenOptions::new().write(true).open(group.join(file)).is_ok();
            fs::remove_dir(&group).ok();
            if is_allowed {
                return Self::Cgroup { parent: parent.into(), version };
            }
        }
        Self::Signals
    }

    /// Returns the name in the report.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Cgroup { .. } => "cgroup",
            Self::Signals => "SIGSTOP and SIGCONT",
        }
    }

    /// Limits a process to the share of a function with this memory.
    pub(crate) fn apply(&self, process: u32, memory_mib: u32) -> Result<Quota> {
        let budget = PERIOD * memory_mib / ONE_CPU_MIB;
        match self {
            Self::Cgroup { parent, version } => {
                let group = name(parent, &process.to_string());
                fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
                let (quota, period) = (budget.as_micros(), PERIOD.as_micros());
                if *version == 1 {
                    fs::write(group.join("cpu.cfs_period_us"), period.to_string())?;
                    fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())?;
                } else {
                    fs::write(group.join("cpu.max"), format!("{quota} {period}"))?;
                }
                fs::write(group.join("cgroup.procs"), process.to_string())?;
                Ok(Quota::Cgroup(group))
            }
            Self::Signals => {
                let ends = Arc::new(AtomicBool::new(false));
                let until = Arc::clone(&ends);
                let thread = Some(thread::spawn(move || stop_and_continue(process, budget, &until)));
                Ok(Quota::Signals { ends, thread })
            }
        }
    }
}

/// Returns the share of a CPU of a function with this memory.
pub(crate) fn share(memory_mib: u32) -> f64 {
    f64::from(memory_mib) / f64::from(ONE_CPU_MIB)
}

/// The beginning of the names of all cgroups of this program. The id of its process follows.
const PREFIX: &str = "latchkey-perf-";

fn name(parent: &Path, last: &str) -> PathBuf {
    parent.join(format!("{PREFIX}{}-{last}", std::process::id()))
}

/// Removes the cgroups of runs that were killed.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            fs::remove_dir(entry.path()).ok();
        }
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        match self {
            Self::Cgroup(group) => {
                // The kernel needs a moment after the end of the process.
                for _ in 0..100 {
                    if fs::remove_dir(&*group).is_ok() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Self::Signals { ends, thread } => {
                ends.store(true, Ordering::Relaxed);
                if let Some(thread) = thread.take() {
                    thread.join().ok();
                }
            }
        }
    }
}

/// Stops the process when it has used its budget of a period, and continues it at the next period.
fn stop_and_continue(process: u32, budget: Duration, ends: &AtomicBool) {
    let Ok(id) = i32::try_from(process).map(Pid::from_raw) else { return };
    while !ends.load(Ordering::Relaxed) {
        let (started, Ok(used)) = (Instant::now(), cpu_time(process)) else { return };
        let mut is_stopped = false;
        while started.elapsed() < PERIOD && !ends.load(Ordering::Relaxed) {
            if !is_stopped && cpu_time(process).is_ok_and(|now| now.saturating_sub(used) >= budget) {
                is_stopped = kill(id, Signal::SIGSTOP).is_ok();
            }
            thread::sleep(LOOK);
        }
        if is_stopped {
            kill(id, Signal::SIGCONT).ok();
        }
    }
}
