//! The instances of one Lambda function.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::chance::{Micros, SECOND};
use super::inputs::Lambda;

/// The instances. Each one serves one request at a time. Lambda is assumed to give a request to the idle instance that
/// was used last, so that the others become old.
pub(super) struct Pool {
    idle_limit: Micros,
    lifetime: Micros,
    capacity: usize,
    /// When each busy instance finishes, and when it was started.
    busy: BinaryHeap<Reverse<(Micros, Micros)>>,
    /// Since when each idle instance is idle, and when it was started. The one that was used last is at the back.
    idle: VecDeque<(Micros, Micros)>,
}

/// The instance for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    started: Micros,
    /// Whether it is new.
    pub(super) is_cold: bool,
}

impl Pool {
    /// Returns a function without instances.
    #[must_use]
    pub(super) fn new(lambda: &Lambda) -> Self {
        Self {
            idle_limit: lambda.idle_seconds * SECOND,
            lifetime: lambda.lifetime_seconds * SECOND,
            capacity: lambda.concurrency,
            busy: BinaryHeap::new(),
            idle: VecDeque::new(),
        }
    }

    /// Returns an instance for a request at `now`, or `None` if all are busy and there may be no more.
    pub(super) fn take(&mut self, now: Micros) -> Option<Instance> {
        while let Some(&Reverse((finish, started))) = self.busy.peek().filter(|Reverse((finish, _))| *finish <= now) {
            self.busy.pop();
            self.idle.push_back((finish, started));
        }
        while self.idle.front().is_some_and(|(since, _)| since + self.idle_limit < now) {
            self.idle.pop_front();
        }
        while let Some((_, started)) = self.idle.pop_back() {
            if now < started + self.lifetime {
                return Some(Instance { started, is_cold: false });
            }
        }
        (self.busy.len() < self.capacity).then_some(Instance { started: now, is_cold: true })
    }

    /// Makes an instance that [`take`](Self::take) returned busy until `finish`.
    pub(super) fn work(&mut self, instance: Instance, finish: Micros) {
        self.busy.push(Reverse((finish, instance.started)));
    }

    /// Returns the number of busy instances, as of the last [`take`](Self::take).
    #[must_use]
    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Returns the number of instances, as of the last [`take`](Self::take).
    #[must_use]
    pub(super) fn all(&self) -> usize {
        self.busy.len() + self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::Spread;
    use super::*;

    fn pool(capacity: usize) -> Pool {
        let platform_ms = Spread { median: 1.0, p99: 1.0 };
        Pool::new(&Lambda { idle_seconds: 300, lifetime_seconds: 7200, platform_ms, concurrency: capacity })
    }

    fn serve(pool: &mut Pool, at: Micros, seconds: u64) -> Option<bool> {
        let instance = pool.take(at * SECOND)?;
        pool.work(instance, (at + seconds) * SECOND);
        Some(instance.is_cold)
    }

    #[test]
    fn an_instance_serves_one_request_at_a_time() {
        let mut pool = pool(2);
        assert_eq!([0, 1, 2].map(|at| serve(&mut pool, at, 10)), [Some(true), Some(true), None]);
        assert_eq!(serve(&mut pool, 10, 10), Some(false));
    }

    #[test]
    fn an_idle_instance_ends_after_its_idle_time_and_after_its_lifetime() {
        let mut pool = pool(9);
        assert_eq!([0, 301, 602].map(|at| serve(&mut pool, at, 1)), [Some(true), Some(false), Some(false)]);
        assert_eq!(serve(&mut pool, 904, 1), Some(true), "idle for 301 s");
        assert_eq!((1000..8500).step_by(250).filter(|at| serve(&mut pool, *at, 1) == Some(true)).count(), 1, "old");
    }

    #[test]
    fn the_instance_that_was_used_last_serves_the_next_request() {
        let mut pool = pool(9);
        for at in [0, 1] {
            serve(&mut pool, at, 10);
        }
        for at in (20..400).step_by(10) {
            assert_eq!(serve(&mut pool, at, 1), Some(false));
        }
        assert_eq!((pool.all(), pool.busy()), (1, 1), "the other one was idle for too long");
    }
}
