//! Concurrent requests over many processes of a function.
//!
//! As on Lambda, a process serves one event at a time. A client sends its next request when it has the answer to the
//! last one. The processes share a Runtime API, which hands events to those that have waited longest.
//!
//! On Lambda, each process has its own share of a CPU. Here all of them share the cores of one machine. With hundreds
//! of processes that compute at the same time, the scheduler lets each wait longer than the time budget of its store
//! calls. So at most [`RUNNING_PER_CORE`] requests for each core run at a time, and the others wait in front of the
//! functions. Their waiting belongs to the measured time.

use std::collections::VecDeque;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bench::performance::LoadStep;
use bench::performance::samples::rounded;
use bench::statistics::Sample;
use hyper::body::Bytes;
use tokio::task::JoinSet;

use crate::caller::{Caller, World};
use crate::process::{Function, Variables};
use crate::progress::Progress;
use crate::runtime_api::{Poll, RuntimeApi};
use crate::subjects::Subject;

/// The numbers of concurrent requests.
const STEPS: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 600];

/// How many requests run at a time, for each core. The page says this number.
const RUNNING_PER_CORE: usize = 16;

/// The memory that stays free for everything else, in MiB.
const RESERVE_MIB: f64 = 1024.0;

/// The load on one function.
pub(crate) struct Load<'a> {
    /// The function.
    pub(crate) subject: &'a Subject,
    /// Its variables.
    pub(crate) variables: &'a Variables,
    /// The fewest requests of a step. A step has at least two requests for each process.
    pub(crate) requests: usize,
}

impl Load<'_> {
    /// Runs all steps for which there is memory. Adds a note if there is too little.
    pub(crate) async fn run(
        &self,
        world: &World,
        notes: &mut Vec<String>,
        progress: &Progress,
    ) -> Result<Vec<LoadStep>> {
        let name = &self.subject.program.name;
        let mut api = RuntimeApi::start().await?;
        let mut caller = Caller::new(world, self.subject.work).await?;
        let (mut processes, mut idle): (Vec<Function>, VecDeque<Poll>) = (Vec::new(), VecDeque::new());
        let mut steps = Vec::new();
        for concurrent in STEPS {
            progress.say(&format!("load: {concurrent} x {name}"));
            let first = processes.first().map_or(Ok(0.0), Function::peak_mib)?;
            let missing = concurrent - processes.len();
            if available_mib()? - first * f64::from(u32::try_from(missing)?) < RESERVE_MIB {
                notes.push(format!("{concurrent} processes of `{name}` need more memory than this machine has free."));
                break;
            }
            for _ in 0..missing {
                processes.push(self.subject.program.spawn(api.address(), self.variables)?);
                idle.push_back(api.next().await?);
            }
            let mut events = Vec::new();
            for _ in 0..self.requests.max(2 * concurrent) {
                events.push(caller.event().await?);
            }
            let started = Instant::now();
            let Answers { times, failed } = self.answers(concurrent, events, &mut idle, &mut api, &mut caller).await?;
            steps.push(self.step(concurrent, times, started.elapsed()));
            if failed > 0 {
                notes.push(format!(
                    "{failed} requests failed with {concurrent} x `{name}`. Their answers do not count."
                ));
            }
            while idle.len() < concurrent {
                idle.push_back(api.next().await?);
            }
        }
        Ok(steps)
    }

    /// Sends the events of so many clients.
    async fn answers(
        &self,
        clients: usize,
        events: Vec<Bytes>,
        idle: &mut VecDeque<Poll>,
        api: &mut RuntimeApi,
        caller: &mut Caller<'_>,
    ) -> Result<Answers> {
        let most = RUNNING_PER_CORE * thread::available_parallelism().map_or(1, Into::into);
        let mut waiting: VecDeque<_> = std::iter::repeat_n(Instant::now(), clients).collect();
        let (mut events, mut running) = (events.into_iter(), JoinSet::new());
        let mut answers = Answers { times: Vec::new(), failed: 0 };
        loop {
            while running.len() < most && !waiting.is_empty() {
                let Some(event) = events.next() else { break };
                let Some(sent) = waiting.pop_front() else { break };
                let poll = match idle.pop_front() {
                    Some(poll) => poll,
                    None => api.next().await?,
                };
                running.spawn(async move { poll.invoke(event).await.map(|answer| (sent, answer)) });
            }
            let Some(answer) = running.join_next().await else { return Ok(answers) };
            let (sent, answer) = answer??;
            waiting.push_back(answer.at);
            if caller.check(&answer.body, self.subject.is_floor).is_ok() {
                answers.times.push(answer.at - sent);
            } else {
                answers.failed += 1;
            }
        }
    }

    fn step(&self, concurrent: usize, times: Vec<Duration>, took: Duration) -> LoadStep {
        let count = u32::try_from(times.len()).map_or(f64::INFINITY, f64::from);
        let sample = Sample::new(times);
        let [p50_ms, p99_ms] = [50, 99].map(|percent| rounded(sample.percentile(percent).as_secs_f64() * 1e3, 1));
        let per_second = rounded(count / took.as_secs_f64(), 1);
        LoadStep { function: self.subject.program.name.clone(), concurrent, per_second, p50_ms, p99_ms }
    }
}

/// The answers of a step: the times of the successful ones, and the number of the others.
struct Answers {
    times: Vec<Duration>,
    failed: usize,
}

/// Returns the memory that is free or can be freed.
fn available_mib() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: f64 = kib.and_then(|kib| kib.split_whitespace().next()).context("no MemAvailable")?.parse()?;
    Ok(kib / 1024.0)
}
