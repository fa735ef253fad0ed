//! One function on one day: what its requests cost, and how long they take.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::chance::{Arrivals, DAY, Durations, HOUR, Micros, SECOND, micros, rate, seconds};
use super::histogram::Histogram;
use super::inputs::{Cost, Function, Inputs};
use super::limits::Gateway;
use super::pool::Pool;

/// The interval of the counts in a result.
pub(super) const INTERVAL: Micros = 300 * SECOND;

/// The number of intervals of a day.
const INTERVALS: usize = 288;

/// What happened to a function on one day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// All requests, refused ones included.
    pub arrivals: u32,
    /// The requests that API Gateway refused.
    pub refused_by_gateway: u32,
    /// The requests that Lambda refused, because all instances were busy.
    pub refused_by_lambda: u32,
    /// The requests that the function answered.
    pub answered: u32,
    /// The largest number of answered requests a second, over five minutes.
    pub peak_per_second: f64,
    /// New instances.
    pub cold_starts: u32,
    /// The largest number of instances.
    pub instances: usize,
    /// The largest number of busy instances.
    pub busy: usize,
    /// Read units.
    pub reads: u32,
    /// Write units.
    pub writes: u32,
    /// Billed memory and time.
    pub gb_seconds: f64,
    /// The cost by service in US dollars.
    pub usd: BTreeMap<String, f64>,
    /// The median, the 90th and the 99th percentile of the day in milliseconds.
    pub percentiles: [f64; 3],
    /// The same for each hour.
    pub percentiles_by_hour: Vec<[f64; 3]>,
    /// Cold starts of each hour.
    pub cold_starts_by_hour: Vec<u32>,
    /// Answered requests of each interval of five minutes.
    pub answered_by_interval: Vec<u32>,
    /// The largest number of instances in each interval.
    pub instances_by_interval: Vec<usize>,
}

impl Outcome {
    /// Returns the cost of all services.
    #[must_use]
    pub fn total_usd(&self) -> f64 {
        self.usd.values().sum()
    }
}

/// A kind of request: how long it takes, and what it consumes.
struct Kind {
    cpu: Durations,
    rounds: u32,
    reads: u32,
    writes: u32,
}

/// A function during the simulation.
pub(super) struct Running<'a> {
    function: Function,
    cost: &'a Cost,
    kinds: BTreeMap<&'a str, Kind>,
    call: Durations,
    platform: Durations,
    gateway: Gateway,
    pool: Pool,
    by_hour: Vec<Histogram>,
    billed_ms: u64,
    outcome: Outcome,
}

/// How API Gateway and Lambda received a request.
pub(super) enum Reception {
    /// API Gateway refused it.
    RefusedByGateway,
    /// Lambda refused it.
    RefusedByLambda,
    /// An instance serves it.
    Served(Start),
}

/// A request that an instance serves.
pub(super) struct Start {
    at: Micros,
    instance: super::pool::Instance,
}

impl<'a> Running<'a> {
    /// Prepares a function for these kinds of requests.
    ///
    /// # Errors
    /// Fails if the inputs or the costs lack the function or a kind.
    pub(super) fn new(name: &str, kinds: &[&'a str], inputs: &Inputs, cost: &'a Cost) -> Result<Self> {
        let kind = |kind: &&'a str| {
            let service =
                inputs.requests.get(*kind).with_context(|| format!("the inputs lack the request `{kind}`"))?;
            let units = cost.requests.get(*kind).with_context(|| format!("bench/cost.json lacks `{kind}`"))?;
            let cpu = Durations::new(service.cpu_ms);
            Ok((*kind, Kind { cpu, rounds: service.rounds, reads: units.reads, writes: units.writes }))
        };
        let function = *inputs.functions.get(name).with_context(|| format!("the inputs lack the function `{name}`"))?;
        Ok(Self {
            function,
            cost,
            kinds: kinds.iter().map(kind).collect::<Result<_>>()?,
            call: Durations::new(inputs.dynamodb_ms),
            platform: Durations::new(inputs.lambda.platform_ms),
            gateway: Gateway::new(function.gateway),
            pool: Pool::new(&inputs.lambda),
            by_hour: vec![Histogram::default(); 24],
            billed_ms: 0,
            outcome: Outcome {
                cold_starts_by_hour: vec![0; 24],
                answered_by_interval: vec![0; INTERVALS],
                instances_by_interval: vec![0; INTERVALS],
                ..Outcome::default()
            },
        })
    }

    /// Receives a request.
    pub(super) fn receive(&mut self, at: Micros) -> Reception {
        self.outcome.arrivals += 1;
        if !self.gateway.admits(at) {
            self.outcome.refused_by_gateway += 1;
            return Reception::RefusedByGateway;
        }
        let Some(instance) = self.pool.take(at) else {
            self.outcome.refused_by_lambda += 1;
            return Reception::RefusedByLambda;
        };
        Reception::Served(Start { at, instance })
    }

    /// Serves a request of this kind, and returns the time of the response.
    pub(super) fn serve(&mut self, Start { at, instance }: Start, kind: &str, rng: &mut Rng) -> Micros {
        let kind = &self.kinds[kind];
        let mut billed = kind.cpu.sample(rng) + (0..kind.rounds).map(|_| self.call.sample(rng)).sum::<Micros>();
        let mut waited = 0;
        let hour = usize::try_from(at / HOUR).unwrap_or_default().min(23);
        let interval = interval(at);
        if instance.is_cold {
            waited = self.platform.sample(rng);
            billed += micros(self.function.init_ms + self.function.first_ms);
            self.outcome.cold_starts += 1;
            self.outcome.cold_starts_by_hour[hour] += 1;
        }
        let finish = at + waited + billed;
        self.pool.work(instance, finish);
        self.by_hour[hour].add(finish - at);
        self.billed_ms += billed.div_ceil(1000);
        let outcome = &mut self.outcome;
        outcome.answered += 1;
        outcome.reads += kind.reads;
        outcome.writes += kind.writes;
        outcome.answered_by_interval[interval] += 1;
        outcome.busy = outcome.busy.max(self.pool.busy());
        let instances = &mut outcome.instances_by_interval[interval];
        *instances = self.pool.all().max(*instances);
        finish
    }

    /// Ends the day. A request that API Gateway refuses is assumed to cost nothing but its line in the access log. A
    /// request through the authorizer belongs to another route, which pays for it.
    ///
    /// # Errors
    /// Fails if a price is missing.
    pub(super) fn finish(self, has_api: bool) -> Result<Outcome> {
        let Self { function, cost, by_hour, billed_ms, mut outcome, .. } = self;
        let percentiles = |histogram: &Histogram| {
            [50, 90, 99].map(|percent| tenths(histogram.percentile(percent).unwrap_or_default()))
        };
        outcome.percentiles_by_hour = by_hour.iter().map(percentiles).collect();
        let mut day = Histogram::default();
        for hour in &by_hour {
            day.merge(hour);
        }
        outcome.percentiles = percentiles(&day);
        let busiest = outcome.answered_by_interval.iter().max().copied().unwrap_or_default();
        outcome.peak_per_second = tenths(f64::from(busiest) / seconds(INTERVAL));
        outcome.instances = outcome.instances_by_interval.iter().max().copied().unwrap_or_default();
        outcome.gb_seconds = seconds(billed_ms * 1000) * f64::from(function.mb) / 1024.0;
        let answered = f64::from(outcome.answered);
        let bytes: f64 = cost.log_bytes.values().sum::<f64>() * answered;
        let of_refused = cost.log_bytes.get("gateway").copied().unwrap_or_default();
        let refused = outcome.refused_by_gateway + outcome.refused_by_lambda;
        let bytes = bytes + of_refused * f64::from(refused);
        let lambda = cost.usd("lambda_request", answered)? + cost.usd("lambda_gb_second", outcome.gb_seconds)?;
        let units = cost.usd("read_unit", outcome.reads.into())? + cost.usd("write_unit", outcome.writes.into())?;
        let at_the_api = f64::from(outcome.arrivals - outcome.refused_by_gateway);
        let api = cost.usd("http_api_request", if has_api { at_the_api } else { 0.0 })?;
        let logs = cost.usd("log_gb", bytes / f64::from(1 << 30))?;
        let services = [("HTTP API", api), ("Lambda", lambda), ("DynamoDB", units), ("logs", logs)];
        outcome.usd = services.map(|(service, usd)| (service.to_owned(), usd)).into();
        Ok(outcome)
    }
}

/// Rounds to one decimal.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Returns the interval of a time. What happens after midnight belongs to the last one.
pub(super) fn interval(at: Micros) -> usize {
    usize::try_from(at.min(DAY - 1) / INTERVAL).unwrap_or_default()
}

/// Simulates the day of a function without throttles. Its requests are of these kinds, as often as in `cost`.
///
/// # Errors
/// Fails if the inputs or the costs lack the function, a kind or a price.
pub(super) fn simulate(name: &str, kinds: &[&str], inputs: &Inputs, cost: &Cost, rng: &mut Rng) -> Result<Outcome> {
    let mut function = Running::new(name, kinds, inputs, cost)?;
    let shares = kinds.iter().map(|kind| cost.month.get(*kind).copied().unwrap_or_default());
    let shares: Vec<_> = shares.collect();
    let total = requests_of_a_day(shares.iter().sum(), inputs);
    let arrivals = Arrivals::new(|at| rate(&inputs.hours, total, at), rng.fork());
    let first = shares.first().copied().unwrap_or_default() / shares.iter().sum::<f64>();
    for at in arrivals {
        if let Reception::Served(start) = function.receive(at) {
            let kind = if kinds.len() < 2 || rng.f64() < first { kinds[0] } else { kinds[1] };
            function.serve(start, kind, rng);
        }
    }
    function.finish(name != "authorizer")
}

/// Returns the requests of all users on a day, if each user sends this many in a month of 30 days.
pub(super) fn requests_of_a_day(per_month: f64, inputs: &Inputs) -> f64 {
    f64::from(inputs.users) * per_month / 30.0
}
