//! `cargo ended-sessions`: what a login, a list and a logout cost if a user has many ended sessions.
//!
//! Measures two users in one run: one has few ended sessions, the other has many. The requests alternate between the
//! two, so that other work on the machine affects both alike.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use login::Login;
use logout::Logout;
use serde_json::json;
use sessions::OwnSessions;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store;
use testbed::{Event, Meter, Reply, Tables};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo ended-sessions", bin_name = "cargo ended-sessions", about = ABOUT)]
struct Cli {
    /// The ended sessions of the user who has many.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    many: u32,
    /// The number of requests of each kind.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    rounds: u32,
}

const ABOUT: &str = "Compare a user with 10 ended sessions and a user with many: calls, capacity units and time";

const REQUESTS: [&str; 3] = ["login", "list", "logout"];

/// The time of the login of the ended sessions.
const EARLIER: u64 = 1_799_000_000;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The functions over the tables of one user.
struct Service {
    tables: Tables,
    env: Environment,
    login: Login,
    sessions: OwnSessions,
    logout: Logout,
}

/// One sign-in, from the login to the logout: the time of each request.
type Round = [Duration; 3];

impl Service {
    /// Returns the functions over tables in which the user has `ended` ended sessions and two active ones.
    async fn new(ended: u32) -> Result<Self> {
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let kim = testbed::add_kim(&env).await;
        for number in 0..ended {
            tables.put("SessionsTable", &ended_session(number));
        }
        for _ in 0..2 {
            testbed::sign_in(&env, &kim, true, NOW).await;
        }
        Self::over(tables, env)
    }

    fn over(tables: Tables, env: Environment) -> Result<Self> {
        let client = store::connect(&env)?;
        Ok(Self {
            login: Login::from_env(client.clone(), &env)?,
            sessions: OwnSessions::from_env(client.clone(), &env)?,
            logout: Logout::from_env(client, &env)?,
            tables,
            env,
        })
    }

    /// Returns the same functions with a meter between them and the tables.
    async fn metered(&self) -> Result<(Self, Meter)> {
        let (settings, meter) = self.tables.metered().await;
        Ok((Self::over(self.tables.clone(), Environment::new(settings))?, meter))
    }

    /// Signs the user in, lists the sessions and signs the user out. Calls `then` after each request.
    async fn round(&self, mut then: impl FnMut(usize)) -> Result<Round> {
        let mut round = Round::default();
        let mut cookies = Vec::new();
        for (position, request) in REQUESTS.into_iter().enumerate() {
            let started = Instant::now();
            let reply = self.send(request, &cookies).await?;
            round[position] = started.elapsed();
            then(position);
            ensure!(reply.status < 400, "{request}: {reply:?}");
            if request == "login" {
                let pair = |line: &String| line.split(';').next().unwrap_or_default().to_owned();
                cookies = reply.cookies.iter().map(pair).collect();
            }
        }
        Ok(round)
    }

    async fn send(&self, request: &str, cookies: &[String]) -> Result<Reply> {
        let origins = Site::from_env(&self.env)?;
        let event = |name: &str| Event::recorded(name).cookies(cookies.to_vec());
        Ok(match request {
            "login" => {
                event("login").send(&mut http::service(origins, |request| self.login.handle(request, NOW))).await
            }
            "list" => {
                event("sessions").send(&mut http::service(origins, |request| self.sessions.handle(request, NOW))).await
            }
            _ => event("logout").send(&mut http::service(origins, |request| self.logout.handle(request, NOW))).await,
        })
    }
}

/// Returns the record of a session that was ended on its own, or together with all others of its epoch.
fn ended_session(number: u32) -> serde_json::Value {
    let mut record = json!({
        "user_id": { "S": "0" }, "session_id": { "S": format!("{number:022}") }, "v": { "N": "1" },
        "epoch": { "N": "0" }, "persistent": { "BOOL": true }, "created_at": { "N": EARLIER.to_string() },
        "gen": { "N": "1" }, "issued_at": { "N": EARLIER.to_string() }, "kid": { "S": "k" },
        "idle_exp": { "N": "1800604800" }, "abs_exp": { "N": "1802592000" },
        "user_agent": { "S": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0" },
    });
    if number.is_multiple_of(2) {
        record["ended_at"] = json!({ "N": EARLIER.to_string() });
    } else {
        record["active_key"] = json!({ "S": format!("0#{EARLIER:012}") });
    }
    record
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Cli { many, rounds } = Cli::parse();
    let mut services = Vec::new();
    for ended in [10, many] {
        print(&format!("Stores {ended} ended sessions."))?;
        services.push(Service::new(ended).await?);
    }

    let mut costs = Vec::new();
    for service in &services {
        let (metered, meter) = service.metered().await?;
        let mut calls: [Vec<(String, f64)>; 3] = Default::default();
        metered.round(|position| calls[position] = meter.take()).await?;
        costs.push(calls);
    }
    let mut times: [Vec<Round>; 2] = Default::default();
    for _ in 0..rounds {
        for (service, times) in services.iter().zip(&mut times) {
            times.push(service.round(|_| ()).await?);
        }
    }

    print(&format!("\n{:<8}{:>6}{:>7}{:>12}{:>12}{:>8}", "", "calls", "units", "10 ended", "many", "ratio"))?;
    let mut is_equal = true;
    for (position, request) in REQUESTS.into_iter().enumerate() {
        let [few, many] = [0, 1].map(|user| median(&times[user], position));
        let calls = &costs[0][position];
        is_equal &= *calls == costs[1][position];
        let units: f64 = calls.iter().map(|(_, units)| units).sum();
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        print(&format!(
            "{request:<8}{:>6}{units:>7}{:>9.2} ms{:>9.2} ms{ratio:>8.2}",
            calls.len(),
            few.as_secs_f64() * 1e3,
            many.as_secs_f64() * 1e3
        ))?;
    }
    ensure!(is_equal, "the calls or the units differ: {costs:?}");
    print("\nCalls and units are the same for both users. The times are medians.")
}

/// Returns the median time of a request.
fn median(times: &[Round], position: usize) -> Duration {
    let mut times: Vec<_> = times.iter().map(|round| round[position]).collect();
    times.sort();
    times[times.len() / 2]
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to the terminal")
}
