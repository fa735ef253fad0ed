//! A simulated day of a large site, with and without a wave of credential stuffing.
//!
//! Owns the discrete events: arrivals, the instances of Lambda, and the limits of API Gateway. The throttles of
//! accounts and sources are the real ones, of `shared::throttle`. Capacity units and prices come from
//! `bench/cost.json`, all other assumptions from `bench/day/inputs.json`. Times are inputs and not measurements on AWS.
//! Each function has random numbers of its own, so that a change of one function does not change the others.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Result, anyhow};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

mod chance;
mod function;
mod histogram;
mod inputs;
mod limits;
mod login;
mod pool;
mod report;

pub use function::Outcome;
pub use inputs::{Cost, Inputs, Units};
pub use login::{Logins, Side};
pub use report::{pictures, tables};

/// The result: the functions without throttles, and the logins of three days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// The number of monthly users.
    pub users: u32,
    /// `authorizer`, `logout` and `userinfo`. The wave does not reach them.
    pub functions: BTreeMap<String, Outcome>,
    /// A day without the wave.
    pub quiet: Logins,
    /// A day with the wave, and with the limits of `template.yaml`.
    pub wave: Logins,
    /// A day with the wave, and with a higher limit for `POST /login`.
    pub raised: Logins,
}

/// Simulates the day. The result depends only on the arguments.
///
/// # Errors
/// Fails if the inputs or the costs are incomplete.
pub fn simulate(inputs: &Inputs, cost: &Cost) -> Result<Day> {
    let mut raised = inputs.clone();
    if let Some(login) = raised.functions.get_mut("login") {
        login.gateway.rate = inputs.raised_login_rate;
        login.gateway.burst = inputs.raised_login_rate;
    }
    let others = [("authorizer", &["authorizer"][..]), ("logout", &["logout"]), ("userinfo", &["userinfo", "renewal"])];
    let logins = [(inputs, false), (inputs, true), (&raised, true)];
    thread::scope(|scope| {
        let functions = others.map(|(name, kinds)| {
            let simulate = move || function::simulate(name, kinds, inputs, cost, &mut rng(inputs, name));
            (name, scope.spawn(simulate))
        });
        let days = logins.map(|(inputs, has_wave)| {
            scope.spawn(move || login::simulate(inputs, cost, has_wave, &mut rng(inputs, "login")))
        });
        let failed = |_| anyhow!("a part of the simulation panicked");
        let [quiet, wave, raised] = days.map(|day| day.join().map_err(failed)?);
        let mut outcomes = BTreeMap::new();
        for (name, outcome) in functions {
            outcomes.insert(name.to_owned(), outcome.join().map_err(failed)??);
        }
        Ok(Day { users: inputs.users, functions: outcomes, quiet: quiet?, wave: wave?, raised: raised? })
    })
}

/// Returns the random numbers of a function.
fn rng(inputs: &Inputs, function: &str) -> Rng {
    let mix = |sum: u64, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    Rng::with_seed(function.bytes().fold(inputs.seed, mix))
}

#[cfg(test)]
mod tests;
