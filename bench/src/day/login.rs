//! The day of `POST /login`: people who sign in, and a wave of credential stuffing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::Result;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::chance::{Arrivals, DAY, Micros, SECOND, rate};
use super::function::{Outcome, Reception, Running, interval, requests_of_a_day};
use super::inputs::{Cost, Inputs};
use super::limits::{Attempt, Attempts, Refusal};

const KINDS: [&str; 3] = ["login", "wrong password", "refused guess"];

/// The addresses of the wave begin here, except those that it shares with people.
const ELSEWHERE: u64 = 1 << 40;

/// What happened to the attempts of one side: people or the wave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// All attempts.
    pub attempts: u32,
    /// The attempts that signed in.
    pub signed_in: u32,
    /// The attempts with a wrong password, or with a disabled one.
    pub wrong: u32,
    /// The attempts that API Gateway refused.
    pub refused_by_gateway: u32,
    /// The attempts that Lambda refused.
    pub refused_by_lambda: u32,
    /// The attempts that the limit of the source refused.
    pub refused_by_source: u32,
    /// The attempts that the limit of the account or of the device refused.
    pub refused_by_account: u32,
}

impl Side {
    /// Returns the attempts that were refused before a password was hashed.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.refused_by_gateway + self.refused_by_lambda + self.refused_by_source + self.refused_by_account
    }
}

/// The day of `POST /login`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logins {
    /// The function.
    pub function: Outcome,
    /// The attempts of people.
    pub people: Side,
    /// The people who wanted to sign in.
    pub persons: u32,
    /// Those of them who came in the hours of the wave, also on a day without it.
    pub persons_in_wave_hours: u32,
    /// The people who gave up.
    pub gave_up: u32,
    /// The people who were still trying at midnight.
    pub unfinished: u32,
    /// The attempts of the wave.
    pub wave: Side,
    /// Passwords that the function compared for the wave, in each interval of five minutes.
    pub wave_hashes_by_interval: Vec<u32>,
    /// The attempts of the wave in each interval.
    pub wave_by_interval: Vec<u32>,
}

/// The sender of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Person,
    Wave,
}

/// A later event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A right password was compared: its attempt no longer counts.
    Succeeded { name: u64, address: Option<u64> },
    /// A person tries again.
    Again { name: u64, address: Option<u64>, tries: u32 },
}

struct Site<'a> {
    inputs: &'a Inputs,
    function: Running<'a>,
    attempts: Attempts,
    later: BinaryHeap<Reverse<(Micros, Event)>>,
    rng: Rng,
    logins: Logins,
}

/// Simulates the day, with or without the wave.
///
/// # Errors
/// Fails if the inputs or the costs are incomplete.
pub(super) fn simulate(inputs: &Inputs, cost: &Cost, has_wave: bool, rng: &mut Rng) -> Result<Logins> {
    let intervals = interval(DAY) + 1;
    let mut site = Site {
        inputs,
        function: Running::new("login", &KINDS, inputs, cost)?,
        attempts: Attempts::new(inputs.source_failures_per_hour),
        later: BinaryHeap::new(),
        rng: rng.fork(),
        logins: Logins {
            wave_hashes_by_interval: vec![0; intervals],
            wave_by_interval: vec![0; intervals],
            ..Logins::default()
        },
    };
    let total = requests_of_a_day(cost.month.get("login").copied().unwrap_or_default(), inputs);
    let people = Arrivals::new(|at| rate(&inputs.hours, total, at), rng.fork());
    let wave = &inputs.wave;
    let guesses = |at| if has_wave && wave.has(at) { wave.per_second } else { 0.0 };
    let guesses = Arrivals::new(guesses, rng.fork());
    let (mut people, mut guesses) = (people.peekable(), guesses.peekable());
    while let Some(at) = [people.peek(), guesses.peek()].into_iter().flatten().min().copied() {
        site.until(at);
        if people.next_if_eq(&at).is_some() {
            site.person(at);
        } else if guesses.next().is_some() {
            site.guess(at);
        }
    }
    site.until(DAY);
    site.logins.unfinished = site.later.iter().fold(0, |sum, Reverse((_, event))| sum + u32::from(event.is_person()));
    site.logins.function = site.function.finish(true)?;
    Ok(site.logins)
}

impl Event {
    fn is_person(&self) -> bool {
        matches!(self, Self::Again { .. })
    }
}

impl Site<'_> {
    /// Runs the events that come before `at`.
    fn until(&mut self, at: Micros) {
        while let Some(&Reverse((time, event))) = self.later.peek().filter(|Reverse((time, _))| *time <= at) {
            self.later.pop();
            match event {
                Event::Succeeded { name, address } => {
                    self.attempts.succeeded(Attempt { name, address, is_right: true });
                }
                Event::Again { name, address, tries } => self.try_person(time, name, address, tries),
            }
        }
    }

    /// A person wants to sign in.
    fn person(&mut self, at: Micros) {
        let people = &self.inputs.people;
        let name = self.rng.u64(..u64::from(self.inputs.users));
        let is_known = self.rng.f64() < people.known_device;
        let is_shared = self.rng.f64() < people.shared_address;
        let own = people.shared_addresses + name;
        let address = if is_shared { name % people.shared_addresses } else { own };
        self.logins.persons += 1;
        self.logins.persons_in_wave_hours += u32::from(self.inputs.wave.has(at));
        self.try_person(at, name, (!is_known).then_some(address), 1);
    }

    fn try_person(&mut self, at: Micros, name: u64, address: Option<u64>, tries: u32) {
        let is_right = self.rng.f64() >= self.inputs.people.wrong_password;
        let wait = match self.attempt(at, Attempt { name, address, is_right }, Sender::Person) {
            Ok(true) => return,
            Ok(false) => 0,
            Err(seconds) => seconds,
        };
        let [least, most] = self.inputs.people.retry_seconds;
        let wait = self.rng.u64(least..=most).max(wait);
        if tries < self.inputs.people.attempts {
            let again = Event::Again { name, address, tries: tries + 1 };
            self.later.push(Reverse((at + wait * SECOND, again)));
        } else {
            self.logins.gave_up += 1;
        }
    }

    /// The wave tries a pair of name and password.
    fn guess(&mut self, at: Micros) {
        let wave = &self.inputs.wave;
        let number = self.rng.u64(..wave.addresses);
        let address = if number < wave.shared_addresses { number } else { ELSEWHERE + number };
        let is_targeted = self.rng.f64() < wave.targeted;
        let name = self.rng.u64(..if is_targeted { wave.targets } else { wave.names });
        let is_right = !is_targeted && name < u64::from(self.inputs.users) && self.rng.f64() < wave.right;
        self.logins.wave_by_interval[interval(at)] += 1;
        // A refused guess is not repeated: the list is long.
        self.attempt(at, Attempt { name, address: Some(address), is_right }, Sender::Wave).ok();
    }

    /// Sends one attempt. Returns whether it signed in, or after how many seconds to try again.
    fn attempt(&mut self, at: Micros, attempt: Attempt, sender: Sender) -> Result<bool, u64> {
        let side = match sender {
            Sender::Person => &mut self.logins.people,
            Sender::Wave => &mut self.logins.wave,
        };
        side.attempts += 1;
        let start = match self.function.receive(at) {
            Reception::RefusedByGateway => {
                side.refused_by_gateway += 1;
                return Err(0);
            }
            Reception::RefusedByLambda => {
                side.refused_by_lambda += 1;
                return Err(0);
            }
            Reception::Served(start) => start,
        };
        let can_be_right = match self.attempts.count(attempt, at) {
            Ok(can_be_right) => can_be_right,
            Err(refusal) => {
                self.function.serve(start, "refused guess", &mut self.rng);
                let (count, wait) = match refusal {
                    Refusal::Source(wait) => (&mut side.refused_by_source, wait),
                    Refusal::Account(wait) => (&mut side.refused_by_account, wait),
                };
                *count += 1;
                return Err(wait.as_secs());
            }
        };
        if sender == Sender::Wave {
            self.logins.wave_hashes_by_interval[interval(at)] += 1;
        }
        let signs_in = attempt.is_right && can_be_right;
        let kind = if signs_in { "login" } else { "wrong password" };
        let finish = self.function.serve(start, kind, &mut self.rng);
        if signs_in {
            side.signed_in += 1;
            let Attempt { name, address, .. } = attempt;
            self.later.push(Reverse((finish, Event::Succeeded { name, address })));
        } else {
            side.wrong += 1;
        }
        Ok(signs_in)
    }
}
