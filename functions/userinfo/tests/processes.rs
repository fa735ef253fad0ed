//! Parallel renewals through several processes of the function, as Lambda runs it: the binary itself, which asks a Runtime
//! API for events, over one table.
//!
//! More rounds than CI has time for: `RENEWAL_ROUNDS=1000 cargo test -p userinfo --test processes`.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;
use std::time::Duration;

use lambda_simulator::Simulator;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use shared::clock::Timestamp;
use shared::config::Config;
use testbed::{Event, Reply, Tables};

const PROCESSES: usize = 8;
const RENEWALS: usize = 50;
const ROUNDS_IN_CI: usize = 50;

/// Processes of the function, each of which answers one event at a time, from a Runtime API of its own as on Lambda.
struct Fleet(Vec<(Simulator, ManagedProcess)>);

impl Fleet {
    async fn over(variables: &[(&'static str, String)]) -> Self {
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

    /// Sends an event that many times at once.
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

/// F13, R62, R69: whichever process a renewal reaches, all get the same refresh token, and it was written down once.
///
/// On one thread: the simulator looks for an answer and then waits for news, and on several it would miss what arrives in
/// between. The processes run beside it all the same.
#[tokio::test]
async fn fifty_renewals_at_once_get_one_refresh_token() {
    let rounds = std::env::var("RENEWAL_ROUNDS").map_or(ROUNDS_IN_CI, |rounds| rounds.parse().unwrap());
    let tables = Tables::new().await;
    let config = Config::from_lookup(tables.settings(&[])).unwrap();
    let user = testbed::add_kim(&config).await;
    let (variables, meter) = tables.metered_variables().await;
    let fleet = Fleet::over(&variables).await;
    for round in 1..=rounds {
        let (_, refresh) = testbed::sign_in(&config, &user, true, Timestamp::now()).await;
        let event = Event::recorded("userinfo").cookies([format!("refresh_jwt={refresh}")]);
        let replies = fleet.send(&event, RENEWALS).await;
        let statuses: BTreeSet<_> = replies.iter().map(|reply| reply.status).collect();
        let tokens: BTreeSet<_> = replies.iter().map(|reply| reply.cookie("refresh_jwt")).collect();
        assert_eq!((statuses, tokens.len()), ([200].into(), 1), "round {round}");
        let records = tables.items("SessionsTable");
        let renewed = records.iter().filter(|record| record["gen"]["N"] == "2").count();
        assert_eq!((records.len(), renewed), (round, round), "each session was renewed once");
        // A write whose condition fails takes no part in this count: it is answered with an error.
        let writes = meter.take().into_iter().filter(|(call, units)| call == "UpdateItem" && *units > 0.0).count();
        assert_eq!(writes, 1, "round {round}: written once, not twice alike");
    }
}
