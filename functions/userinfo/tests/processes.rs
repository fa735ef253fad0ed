//! Concurrent renewals in several processes of the function. Each process runs the binary as Lambda does, with events
//! from a Runtime API. All processes share one table.
//!
//! For more rounds than CI runs: `RENEWAL_ROUNDS=1000 cargo test -p userinfo --test processes`.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;
use std::time::Duration;

use lambda_simulator::Simulator;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use shared::clock::Timestamp;
use shared::config::Environment;
use testbed::{Event, Reply, Tables};

const PROCESSES: usize = 8;
const RENEWALS: usize = 50;
const ROUNDS_IN_CI: usize = 50;

/// Processes of the function. Each has its own Runtime API and answers one event at a time, as on Lambda.
struct Fleet(Vec<(Simulator, ManagedProcess)>);

impl Fleet {
    async fn start(variables: &[(&'static str, String)]) -> Self {
        let mut fleet = Vec::new();
        for _ in 0..PROCESSES {
            let runtime_api = Simulator::builder().function_name("UserinfoFunction").build().await.unwrap();
            let process = ProcessConfig::new(env!("CARGO_BIN_EXE_userinfo"), ProcessRole::Runtime).inherit_stdio(false);
            let process = variables.iter().fold(process, |process, (name, value)| process.env(*name, value));
            let process = runtime_api.spawn_process_with_config(process).unwrap();
            fleet.push((runtime_api, process));
        }
        Self(fleet)
    }

    /// Sends an event `times` times at once.
    async fn send(&self, event: &Event, times: usize) -> Vec<Reply> {
        let mut requests = Vec::new();
        for (runtime_api, _) in self.0.iter().cycle().take(times) {
            requests.push((runtime_api, runtime_api.enqueue_payload(event.payload()).await));
        }
        let mut replies = Vec::new();
        for (runtime_api, request) in requests {
            let done = runtime_api.wait_for_invocation_complete(&request, Duration::from_secs(30)).await.unwrap();
            replies.push(serde_json::from_value(done.response.unwrap().payload).unwrap());
        }
        replies
    }
}

/// F13, R62, R69: every process returns the same refresh token, and one process writes it.
///
/// The test runs on one thread. The simulator first looks for a response and then waits for a notification. On several
/// threads it would miss a response in between. The processes run in parallel in any case.
#[tokio::test]
async fn fifty_concurrent_renewals_get_one_refresh_token() {
    let rounds = std::env::var("RENEWAL_ROUNDS").map_or(ROUNDS_IN_CI, |rounds| rounds.parse().unwrap());
    let tables = Tables::new().await;
    let env = Environment::new(tables.settings(&[]));
    let user = testbed::add_kim(&env).await;
    let (variables, meter) = tables.metered_variables().await;
    let fleet = Fleet::start(&variables).await;
    for round in 1..=rounds {
        let (_, refresh) = testbed::sign_in(&env, &user, true, Timestamp::now()).await;
        let event = Event::recorded("userinfo").cookies([format!("refresh_jwt={refresh}")]);
        let replies = fleet.send(&event, RENEWALS).await;
        let statuses: BTreeSet<_> = replies.iter().map(|reply| reply.status).collect();
        let tokens: BTreeSet<_> = replies.iter().map(|reply| reply.cookie("refresh_jwt")).collect();
        assert_eq!((statuses, tokens.len()), ([200].into(), 1), "round {round}");
        let records = tables.items("SessionsTable");
        let renewed = records.iter().filter(|record| record["gen"]["N"] == "2").count();
        assert_eq!((records.len(), renewed), (round, round), "each session was renewed once");
        // A write whose condition fails is not counted: its response is an error, without units.
        let writes = meter.take().into_iter().filter(|(call, units)| call == "UpdateItem" && *units > 0.0).count();
        assert_eq!(writes, 1, "round {round}: exactly one write");
    }
}
