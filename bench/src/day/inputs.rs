//! What a simulated day assumes: `bench/day/inputs.json` and the prices and capacity units of `bench/cost.json`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::chance::{HOUR, Micros};

/// The assumptions of the stored result.
const DEFAULT: &str = include_str!("../../day/inputs.json");

const COST: &str = include_str!("../../cost.json");

/// All assumptions. A kind of request, such as `renewal`, belongs to a function, such as `userinfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// The seed of the random numbers.
    pub seed: u64,
    /// The number of monthly users.
    pub users: u32,
    /// The weight of each hour of the day.
    pub hours: [f64; 24],
    /// How Lambda starts and stops instances.
    pub lambda: Lambda,
    /// The time of one call to DynamoDB.
    pub dynamodb_ms: Spread,
    /// The functions.
    pub functions: BTreeMap<String, Function>,
    /// The service time of each kind of request.
    pub requests: BTreeMap<String, Service>,
    /// The people who sign in.
    pub people: People,
    /// The setting `SOURCE_FAILURES_PER_HOUR`.
    pub source_failures_per_hour: u32,
    /// The wave of credential stuffing.
    pub wave: Wave,
    /// The requests a second that an operator who prepared for the wave allows on `POST /login`.
    pub raised_login_rate: f64,
}

/// How Lambda starts and stops instances.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lambda {
    /// How long an idle instance is kept.
    pub idle_seconds: u64,
    /// After which time an instance is replaced.
    pub lifetime_seconds: u64,
    /// The time until Lambda starts the process of a new instance. It is not billed.
    pub platform_ms: Spread,
    /// The largest number of instances of a function.
    pub concurrency: usize,
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The median in milliseconds.
    pub median: f64,
    /// The 99th percentile in milliseconds.
    pub p99: f64,
}

/// A function.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its memory.
    pub mb: u32,
    /// The time from the start of the process until it takes its first request.
    pub init_ms: f64,
    /// How much longer the first request of an instance takes.
    pub first_ms: f64,
    /// The limit of API Gateway for its route.
    pub gateway: RouteLimit,
}

/// The limit of API Gateway for a route, over all callers: a token bucket.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteLimit {
    /// Requests a second.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
}

/// The service time of a kind of request: its own work, and the rounds of calls to DynamoDB, one after another.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The time without the calls to DynamoDB.
    pub cpu_ms: Spread,
    /// The rounds of calls.
    pub rounds: u32,
}

/// The people who sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// The share of attempts with a typing error.
    pub wrong_password: f64,
    /// The share of people on a known device.
    pub known_device: f64,
    /// The share of people behind a shared address.
    pub shared_address: f64,
    /// The number of shared addresses.
    pub shared_addresses: u64,
    /// How often a person tries before giving up.
    pub attempts: u32,
    /// The shortest and the longest time between two tries, if the response does not name a longer one.
    pub retry_seconds: [u64; 2],
}

/// A wave of credential stuffing: pairs of name and password that leaked elsewhere, each tried once. Some guesses are
/// aimed at a few names instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// The hour of the day at which it starts.
    pub first_hour: u64,
    /// How many hours it lasts.
    pub hours: u64,
    /// The guesses a second.
    pub per_second: f64,
    /// The addresses that it comes from.
    pub addresses: u64,
    /// How many of them are shared addresses of people.
    pub shared_addresses: u64,
    /// The names on the list. The first ones are users of the site.
    pub names: u64,
    /// The share of right passwords, among the names that are users of the site.
    pub right: f64,
    /// The share of guesses that are aimed at a few names. They are never right.
    pub targeted: f64,
    /// The number of these names.
    pub targets: u64,
}

impl Wave {
    /// Returns whether the wave lasts at this time.
    #[must_use]
    pub fn has(&self, at: Micros) -> bool {
        (self.first_hour..self.first_hour + self.hours).contains(&(at / HOUR))
    }
}

impl Inputs {
    /// Reads the stored assumptions.
    ///
    /// # Errors
    /// Fails if the stored file is not valid.
    pub fn stored() -> Result<Self> {
        Self::parse(DEFAULT)
    }

    /// Reads assumptions in the form of `bench/day/inputs.json`.
    ///
    /// # Errors
    /// Fails if the text is not valid.
    pub fn parse(text: &str) -> Result<Self> {
        let inputs: Self = serde_json::from_str(text).context("the inputs are not like bench/day/inputs.json")?;
        let spreads = inputs.requests.values().map(|service| service.cpu_ms);
        for spread in spreads.chain([inputs.dynamodb_ms, inputs.lambda.platform_ms]) {
            ensure!(0.0 < spread.median && spread.median <= spread.p99, "a p99 is below its median: {spread:?}");
        }
        ensure!(inputs.hours.iter().sum::<f64>() > 0.0, "no hour has a weight");
        Ok(inputs)
    }
}

/// Prices, capacity units and usage.
#[derive(Clone, Debug, Deserialize)]
pub struct Cost {
    prices: BTreeMap<String, Price>,
    /// The capacity units of each kind of request.
    pub requests: BTreeMap<String, Units>,
    /// How often a user sends each kind of request in a month.
    pub month: BTreeMap<String, f64>,
    /// The bytes that a request writes to the logs, by writer.
    pub log_bytes: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Price {
    per: f64,
    tiers: Vec<(f64, f64)>,
}

/// The capacity units of a kind of request.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Units {
    /// Read units.
    pub reads: u32,
    /// Write units.
    pub writes: u32,
}

impl Cost {
    /// Reads `bench/cost.json`.
    ///
    /// # Errors
    /// Fails if the file is not valid.
    pub fn stored() -> Result<Self> {
        serde_json::from_str(COST).context("bench/cost.json is not valid")
    }

    /// Returns the price of a quantity in US dollars, by the first volume tier.
    ///
    /// # Errors
    /// Fails if there is no such price.
    pub fn usd(&self, name: &str, quantity: f64) -> Result<f64> {
        let price = self.prices.get(name).with_context(|| format!("bench/cost.json has no price `{name}`"))?;
        let (_, first) = price.tiers.first().context("a price has no tier")?;
        Ok(quantity * first / price.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(from: &str, to: &str) -> String {
        assert!(DEFAULT.contains(from), "{from}");
        format!("{:#}", Inputs::parse(&DEFAULT.replace(from, to)).unwrap_err())
    }

    #[test]
    fn invalid_inputs_are_refused_with_a_reason() {
        let inverted = refusal("\"median\": 100, \"p99\": 400", "\"median\": 100, \"p99\": 40");
        assert!(inverted.contains("a p99 is below its median"), "{inverted}");
        let unknown = refusal("\"seed\"", "\"sead\"");
        assert!(unknown.contains("unknown field `sead`"), "{unknown}");
    }

    #[test]
    fn a_price_is_that_of_the_quantity_in_the_first_tier() {
        let cost = Cost::stored().unwrap();
        assert!((cost.usd("http_api_request", 2e6).unwrap() - 2.0).abs() < 1e-9);
        assert!(cost.usd("unknown", 1.0).unwrap_err().to_string().contains("no price `unknown`"));
    }
}
