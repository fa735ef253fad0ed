//! Every order in which the reads and writes of concurrent renewals, and of a logout between them, can reach the
//! tables.
//!
//! A renewal makes two calls: a read and a conditional write. Each client has a gate of its own that lets one call pass
//! at a time, so that the test chooses the order of all calls.

use std::sync::Arc;
use std::time::Duration;

use shared::budget::Budget;
use shared::config::Environment;
use shared::id::SessionId;
use shared::store::{self, Sessions};
use testbed::Gate;
use tokio::task::{self, JoinHandle, LocalSet};
use userinfo::Userinfo;

use crate::servers::{self, Latchkey, NOW, Token};

/// The client of each step.
type Schedule = Vec<usize>;

/// Returns every order of two steps for each client. The clients are alike, so that only schedules in which client 0
/// starts first, client 1 second, and so on are different.
fn schedules(clients: usize) -> Vec<Schedule> {
    let mut all: Vec<Schedule> = vec![vec![]];
    for _ in 0..2 * clients {
        let longer = all.iter().flat_map(|begun| {
            let next = (0..clients).filter(|client| {
                let steps = begun.iter().filter(|step| *step == client).count();
                steps == 1 || steps == 0 && (*client == 0 || begun.contains(&(client - 1)))
            });
            next.map(|client| [&begun[..], &[client]].concat()).collect::<Vec<_>>()
        });
        all = longer.collect();
    }
    all
}

/// Returns the step that decides a client's answer: its read if the session was renewed before that, else its write.
fn decisive_step(schedule: &[usize], client: usize) -> usize {
    let steps_of = |client| schedule.iter().enumerate().filter(move |(_, of)| **of == client).map(|(step, _)| step);
    let writes = schedule.iter().filter_map(|client| steps_of(*client).nth(1));
    let (read, write) = (steps_of(client).next().unwrap(), steps_of(client).nth(1).unwrap());
    if writes.min().is_some_and(|first| read > first) { read } else { write }
}

/// A task behind a gate.
struct Running<T> {
    gate: Gate,
    task: Option<JoinHandle<T>>,
    outcome: Option<T>,
}

impl<T> Running<T> {
    /// Runs until the next call of the task was answered, or until the task is done.
    async fn step(&mut self) {
        let Some(task) = &mut self.task else { return };
        tokio::select! {
            biased;
            outcome = task => {
                self.outcome = Some(outcome.unwrap());
                self.task = None;
            }
            () = self.gate.let_one_pass() => {}
        }
    }

    async fn finish(mut self) -> T {
        while self.task.is_some() {
            self.step().await;
        }
        self.gate.close();
        self.outcome.unwrap()
    }
}

/// A server, some clients that renew, and one that signs out. Each has a gate.
struct World {
    latchkey: Latchkey,
    first: Token,
    clients: Vec<(Arc<Userinfo>, Gate)>,
    logout: (Sessions, Gate),
}

impl World {
    async fn new(clients: usize) -> Self {
        let (latchkey, first) = Latchkey::new().await;
        let mut gated = Vec::new();
        for _ in 0..clients {
            let (settings, gate) = latchkey.tables.gated().await;
            gated.push((Arc::new(servers::userinfo(&Environment::new(settings))), gate));
        }
        let (settings, gate) = latchkey.tables.gated().await;
        let env = Environment::new(settings);
        let logout = (Sessions::from_env(store::connect(&env).unwrap(), &env).unwrap(), gate);
        Self { latchkey, first, clients: gated, logout }
    }

    /// Starts one renewal for each client, all with the first refresh token. Their times are one second apart, so that
    /// any two of them would write different records.
    fn start_renewals(&self) -> Vec<Running<Option<Token>>> {
        let running = self.clients.iter().zip(0..).map(|((userinfo, gate), seconds)| {
            let now = NOW + Duration::from_secs(seconds);
            let (userinfo, first) = (Arc::clone(userinfo), self.first.clone());
            let task = task::spawn_local(async move { servers::renew(&userinfo, &first, now).await });
            Running { gate: gate.clone(), task: Some(task), outcome: None }
        });
        running.collect()
    }

    fn start_logout(&self, session: SessionId) -> Running<()> {
        let ((sessions, gate), user_id) = (self.logout.clone(), self.latchkey.user.profile.id.clone());
        let task = task::spawn_local(async move {
            sessions.end(&user_id, &session, NOW, &Budget::new(None)).await.unwrap();
        });
        Running { gate, task: Some(task), outcome: None }
    }
}

/// R62, F13: one write succeeds, and all clients get the same token.
#[tokio::test]
async fn concurrent_renewals_all_get_the_same_token() {
    LocalSet::new().run_until(Box::pin(renew_in_every_order())).await;
}

async fn renew_in_every_order() {
    for (clients, orders) in [(2, 3), (3, 15), (4, 105)] {
        let world = Box::pin(World::new(clients)).await;
        let active = world.latchkey.tables.items("SessionsTable").remove(0);
        assert_eq!(schedules(clients).len(), orders);
        for schedule in schedules(clients) {
            world.latchkey.tables.put("SessionsTable", &active);
            let mut renewals = world.start_renewals();
            for client in &schedule {
                renewals[*client].step().await;
            }
            let mut tokens = Vec::new();
            for renewal in renewals {
                tokens.push(renewal.finish().await.unwrap_or_else(|| panic!("{schedule:?}: a client was signed out")));
            }
            tokens.dedup();
            assert_eq!(tokens.len(), 1, "{schedule:?}");
            assert_eq!(world.latchkey.tables.items("SessionsTable")[0]["gen"]["N"], "2", "{schedule:?}");
        }
    }
}

/// R68, F14: at whatever moment the logout comes, the session has ended and none of its tokens is valid.
#[tokio::test]
async fn a_logout_during_renewals_is_final() {
    LocalSet::new().run_until(Box::pin(log_out_at_every_moment())).await;
}

async fn log_out_at_every_moment() {
    for clients in 1..=3 {
        let world = Box::pin(World::new(clients)).await;
        let active = world.latchkey.tables.items("SessionsTable").remove(0);
        let userinfo = servers::userinfo(&world.latchkey.env);
        let session = SessionId::parse(active["session_id"]["S"].as_str().unwrap()).unwrap();
        for schedule in schedules(clients) {
            for logout_at in 0..=schedule.len() {
                world.latchkey.tables.put("SessionsTable", &active);
                let (mut renewals, mut logout) = (world.start_renewals(), Some(world.start_logout(session.clone())));
                for (step, client) in schedule.iter().enumerate() {
                    if step == logout_at {
                        logout.take().unwrap().finish().await;
                    }
                    renewals[*client].step().await;
                }
                let mut tokens = vec![world.first.clone()];
                for (client, renewal) in renewals.into_iter().enumerate() {
                    let token = renewal.finish().await;
                    let was_before_logout = decisive_step(&schedule, client) < logout_at;
                    assert_eq!(token.is_some(), was_before_logout, "{schedule:?} {logout_at} {client}");
                    tokens.extend(token);
                }
                if let Some(logout) = logout {
                    logout.finish().await;
                }
                let record = world.latchkey.tables.items("SessionsTable").remove(0);
                assert_eq!(record["ended_at"]["N"], "1800000000", "{schedule:?} {logout_at}");
                for token in tokens {
                    assert_eq!(servers::renew(&userinfo, &token, NOW).await, None, "{schedule:?} {logout_at}");
                }
                assert_eq!(world.latchkey.tables.items("SessionsTable"), [record], "{schedule:?} {logout_at}");
            }
        }
    }
}
