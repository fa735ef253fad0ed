//! A function as a process.
//!
//! Owns the environment that Lambda sets, the start, the CPU time and the peak memory. A process ends when it is
//! dropped. If this program is killed, the connection to the Runtime API breaks, and the function ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use testbed::workspace;

use crate::runtime_api::{Poll, RuntimeApi};

/// What is started: a name, a command line and variables.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The name in the report.
    pub(crate) name: String,
    /// The executable file.
    pub(crate) executable: PathBuf,
    /// The arguments.
    pub(crate) arguments: Vec<String>,
    /// Variables of this program only.
    pub(crate) variables: Vec<(String, String)>,
    /// The memory of the function on Lambda, which decides its share of a CPU.
    pub(crate) memory_mib: u32,
}

/// The variables of a function.
pub(crate) type Variables = BTreeMap<String, String>;

/// A running function. Dropping it kills the process.
pub(crate) struct Function {
    child: Child,
    /// The moment before the process was started.
    pub(crate) started: Instant,
}

/// A function that waits for its first event.
pub(crate) struct Started {
    /// The process.
    pub(crate) function: Function,
    /// The Runtime API of this process.
    pub(crate) runtime_api: RuntimeApi,
    /// The request for the first event.
    pub(crate) first: Poll,
}

impl Program {
    /// Starts the program as Lambda does, and waits until it asks for its first event.
    pub(crate) async fn start(&self, variables: &Variables) -> Result<Started> {
        let mut runtime_api = RuntimeApi::start().await?;
        let mut function = self.spawn(runtime_api.address(), variables)?;
        let first = tokio::select! {
            poll = runtime_api.next() => poll,
            status = function.ended() => status.and_then(|status| Err(anyhow!("it has ended ({status})"))),
        };
        let first = first.with_context(|| format!("{} does not start. See {}", self.name, self.log().display()))?;
        Ok(Started { function, runtime_api, first })
    }

    /// Starts the program with the Runtime API at this address.
    pub(crate) fn spawn(&self, runtime_api: &str, variables: &Variables) -> Result<Function> {
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(lambda_variables(&self.name, self.memory_mib))
            .envs(variables)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.log())?)
            // In a process group of its own. If this program is killed while the function is stopped for its quota, the
            // kernel then ends the function (POSIX, orphaned process groups).
            .process_group(0);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", self.executable.display()))?;
        Ok(Function { child, started })
    }

    /// Returns the file with the errors of the last start.
    fn log(&self) -> PathBuf {
        workspace::root().join(format!("target/perf/{}.log", self.name))
    }
}

/// Returns the variables that Lambda sets for every function.
fn lambda_variables(name: &str, memory_mib: u32) -> [(&'static str, String); 13] {
    [
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mib.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "perf".to_owned()),
        ("AWS_DEFAULT_REGION", "eu-west-1".to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ]
}

impl Function {
    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process.
    async fn ended(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the CPU time of all threads.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.id())
    }

    /// Returns the largest resident memory until now, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = peak.and_then(|peak| peak.split_whitespace().next()).context("no VmHWM")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the CPU time of all threads of a process. The kernel counts it in nanoseconds.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end in between.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>().context("no CPU time in schedstat")?;
    }
    Ok(Duration::from_nanos(sum))
}
