//! Concurrent renewals in several processes of the function. All processes share one table.
//!
//! For more rounds than CI runs: `RENEWAL_ROUNDS=1000 cargo test -p userinfo --test processes`.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;

use shared::clock::Timestamp;
use shared::config::Environment;
use testbed::{Event, Reply, Tables};

mod fleet;

use fleet::Function;

const PROCESSES: usize = 8;
const RENEWALS: usize = 50;
const ROUNDS_IN_CI: usize = 50;

/// Sends an event to the processes in turn, `times` times at once.
async fn send(fleet: &[Function], event: &Event, times: usize) -> Vec<Reply> {
    let mut requests = Vec::new();
    for function in fleet.iter().cycle().take(times) {
        requests.push((function, function.enqueue(event).await));
    }
    let mut replies = Vec::new();
    for (function, request) in requests {
        replies.push(function.reply(&request).await);
    }
    replies
}

/// F13, R62, R69: every process returns the same refresh token, and one process writes it.
#[tokio::test]
async fn fifty_concurrent_renewals_get_one_refresh_token() {
    let rounds = std::env::var("RENEWAL_ROUNDS").map_or(ROUNDS_IN_CI, |rounds| rounds.parse().unwrap());
    let tables = Tables::new().await;
    let env = Environment::new(tables.settings(&[]));
    let user = testbed::add_kim(&env).await;
    let (variables, meter) = tables.metered_variables().await;
    let mut fleet = Vec::new();
    for _ in 0..PROCESSES {
        fleet.push(Function::start(&variables).await);
    }
    for round in 1..=rounds {
        let (_, refresh) = testbed::sign_in(&env, &user, true, Timestamp::now()).await;
        let event = Event::recorded("userinfo").cookies([format!("refresh_jwt={refresh}")]);
        let replies = send(&fleet, &event, RENEWALS).await;
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
