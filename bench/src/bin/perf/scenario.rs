//! The scenarios: what is started with which variables, and what is measured of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bench::performance::ratios::{FIRST, START, WARM};
use bench::performance::samples::{Block, Series};

use crate::caller::{Caller, World};
use crate::process::{Started, Variables};
use crate::progress::Progress;
use crate::quota;
use crate::subjects::Subject;

/// A scenario.
pub(crate) struct Scenario<'a> {
    /// The name in the result.
    pub(crate) name: &'static str,
    /// The variables of our functions and of the floors.
    pub(crate) variables: Variables,
    /// The variables of the peers.
    pub(crate) peer_variables: Variables,
    /// What is measured.
    pub(crate) measures: Measures,
    /// The subjects.
    pub(crate) subjects: Vec<&'a Subject>,
    /// The number of blocks.
    pub(crate) blocks: usize,
}

/// What a scenario measures of each start.
pub(crate) enum Measures {
    /// The time from the start of the process to its request for an event. So many starts in a block.
    Starts(usize),
    /// The first call under the quota of the function's memory.
    FirstCall(quota::Method),
    /// Calls of a warm function: a number for a function that hashes a password, and one for the others.
    Calls { hashing: usize, other: usize },
}

impl Scenario<'_> {
    /// Measures all blocks. The subjects of a block follow one another, and each block begins with another subject.
    pub(crate) async fn run(&self, world: &World, progress: &Progress) -> Result<Vec<Series>> {
        let mut series: BTreeMap<(usize, &'static str), Series> = BTreeMap::new();
        for number in 0..self.blocks {
            for position in 0..self.subjects.len() {
                let index = (number + position) % self.subjects.len();
                let subject = self.subjects[index];
                progress.say(&format!(
                    "{}: block {} of {}, {}",
                    self.name,
                    number + 1,
                    self.blocks,
                    subject.program.name
                ));
                let measured = self.block(subject, world).await;
                let measured = measured.with_context(|| format!("{}, {}", self.name, subject.program.name))?;
                for (what, block) in measured {
                    let new = || Series {
                        scenario: self.name,
                        subject: subject.program.name.clone(),
                        what,
                        blocks: Vec::new(),
                    };
                    series.entry((index, what)).or_insert_with(new).blocks.push(block);
                }
            }
        }
        Ok(series.into_values().collect())
    }

    async fn block(&self, subject: &Subject, world: &World) -> Result<Vec<(&'static str, Block)>> {
        match &self.measures {
            Measures::Starts(count) => self.starts(subject, *count).await,
            Measures::FirstCall(method) => self.first_call(subject, world, method).await,
            Measures::Calls { hashing, other } => {
                let calls = if subject.hashes { *hashing } else { *other };
                self.calls(subject, world, calls).await
            }
        }
    }

    async fn start(&self, subject: &Subject) -> Result<Started> {
        subject.program.start(if subject.is_peer { &self.peer_variables } else { &self.variables }).await
    }

    async fn starts(&self, subject: &Subject, count: usize) -> Result<Vec<(&'static str, Block)>> {
        let mut block = Block::default();
        let (mut cpu, mut peak) = (Duration::ZERO, 0.0_f64);
        for _ in 0..count {
            let Started { function, first, .. } = self.start(subject).await?;
            block.times.push(first.at - function.started);
            cpu += function.cpu_time()?;
            peak = peak.max(function.peak_mib()?);
        }
        block.cpu = Some(cpu / u32::try_from(count)?);
        block.peak_mib = Some(peak);
        Ok(vec![(START, block)])
    }

    async fn first_call(
        &self,
        subject: &Subject,
        world: &World,
        method: &quota::Method,
    ) -> Result<Vec<(&'static str, Block)>> {
        let mut caller = Caller::new(world, subject.work).await?;
        let event = caller.event().await?;
        // `runtime_api` lives until the function has ended.
        let Started { function, first, runtime_api: _runtime_api } = self.start(subject).await?;
        let before = function.cpu_time()?;
        let quota = method.apply(function.id(), subject.program.memory_mib)?;
        let answer = first.invoke(event).await?;
        let block = Block {
            times: vec![answer.took],
            cpu: Some(function.cpu_time()?.saturating_sub(before)),
            peak_mib: Some(function.peak_mib()?),
        };
        // The kernel removes a cgroup only after the end of its process.
        drop(function);
        drop(quota);
        caller.check(&answer.body, subject.is_floor)?;
        Ok(vec![(FIRST, block)])
    }

    async fn calls(&self, subject: &Subject, world: &World, calls: usize) -> Result<Vec<(&'static str, Block)>> {
        let mut caller = Caller::new(world, subject.work).await?;
        let Started { function, first, mut runtime_api } = self.start(subject).await?;
        let mut poll = first;
        let (mut first, mut warm) = (Block::default(), Block::default());
        let mut before = Duration::ZERO;
        for call in 0..=subject.warm_up + calls {
            let event = caller.event().await?;
            if call == 1 + subject.warm_up {
                before = function.cpu_time()?;
            }
            let answer = poll.invoke(event).await?;
            caller.check(&answer.body, subject.is_floor)?;
            if call == 0 {
                first.times.push(answer.took);
            } else if call > subject.warm_up {
                warm.times.push(answer.took);
            }
            poll = runtime_api.next().await?;
        }
        warm.cpu = Some(function.cpu_time()?.saturating_sub(before) / u32::try_from(calls)?);
        warm.peak_mib = Some(function.peak_mib()?);
        Ok(vec![(FIRST, first), (WARM, warm)])
    }
}
