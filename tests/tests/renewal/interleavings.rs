//! Every order in which the reads and writes of parallel renewals, and of a logout between them, can reach the tables.

use std::sync::Arc;
use std::time::Duration;

use shared::config::Config;
use shared::id::SessionId;
use shared::sessions::Sessions;
use shared::store::{self, Budget};
use testbed::Gate;
use tokio::task::{self, JoinHandle, LocalSet};

use crate::servers::{self, Latchkey, NOW, Token};

/// Who takes the next step.
type Schedule = Vec<usize>;

/// Every order of two steps by each of `clients`. They are alike, so each order is told by who comes first.
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

/// The step with which a client's answer is settled: its read, if the session was renewed by then, or else its write.
fn decisive_step(schedule: &[usize], client: usize) -> usize {
    let steps_of = |client| schedule.iter().enumerate().filter(move |(_, who)| **who == client).map(|(step, _)| step);
    let writes = schedule.iter().filter_map(|client| steps_of(*client).nth(1));
    let (read, write) = (steps_of(client).next().unwrap(), steps_of(client).nth(1).unwrap());
    if writes.min().is_some_and(|first| read > first) { read } else { write }
}

/// Something that runs, and that only goes on when it is let.
struct Running<T> {
    gate: Gate,
    task: Option<JoinHandle<T>>,
    outcome: Option<T>,
}

impl<T> Running<T> {
    /// Until its next call was answered, or it is done.
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

/// A service, some clients of it that are let through one call at a time, and one more that signs out.
struct World {
    latchkey: Latchkey,
    first: Token,
    clients: Vec<(Arc<userinfo::Userinfo>, Gate)>,
    logout: (Sessions, Gate),
}

impl World {
    async fn new(clients: usize) -> Self {
        let (latchkey, first) = Latchkey::new().await;
        let mut gated = Vec::new();
        for _ in 0..clients {
            let (settings, gate) = latchkey.tables.gated().await;
            let config = Config::from_lookup(settings).unwrap();
            gated.push((Arc::new(servers::userinfo(&config, &store::connect(&config))), gate));
        }
        let (settings, gate) = latchkey.tables.gated().await;
        let config = Config::from_lookup(settings).unwrap();
        let logout = (Sessions::new(store::connect(&config), &config), gate);
        Self { latchkey, first, clients: gated, logout }
    }

    /// All clients show the token of the login, each a second after the one before: what two of them wrote would differ.
    fn renewals(&self) -> Vec<Running<Option<Token>>> {
        let running = self.clients.iter().zip(0..).map(|((userinfo, gate), seconds)| {
            let now = NOW + Duration::from_secs(seconds);
            let (userinfo, first) = (Arc::clone(userinfo), self.first.clone());
            let task = task::spawn_local(async move { servers::renew(&userinfo, &first, now).await });
            Running { gate: gate.clone(), task: Some(task), outcome: None }
        });
        running.collect()
    }

    fn signing_out(&self, session: SessionId) -> Running<()> {
        let ((sessions, gate), user_id) = (self.logout.clone(), self.latchkey.user.profile.id.clone());
        let task = task::spawn_local(async move {
            sessions.end(&user_id, &session, NOW, &Budget::new(None)).await.unwrap();
        });
        Running { gate, task: Some(task), outcome: None }
    }
}

/// R62, F13: one write wins, and all get the same token.
#[tokio::test]
async fn parallel_renewals_all_get_the_same_token() {
    LocalSet::new().run_until(Box::pin(in_every_order())).await;
}

async fn in_every_order() {
    for (clients, orders) in [(2, 3), (3, 15), (4, 105)] {
        let world = Box::pin(World::new(clients)).await;
        let live = world.latchkey.tables.items("SessionsTable").remove(0);
        assert_eq!(schedules(clients).len(), orders);
        for schedule in schedules(clients) {
            world.latchkey.tables.put("SessionsTable", &live);
            let mut renewals = world.renewals();
            for client in &schedule {
                renewals[*client].step().await;
            }
            let mut tokens = Vec::new();
            for renewal in renewals {
                tokens.push(renewal.finish().await.unwrap_or_else(|| panic!("{schedule:?}: somebody was signed out")));
            }
            tokens.dedup();
            assert_eq!(tokens.len(), 1, "{schedule:?}");
            assert_eq!(world.latchkey.tables.items("SessionsTable")[0]["gen"]["N"], "2", "{schedule:?}");
        }
    }
}

/// R68, F14: wherever the logout falls, the session is over, and no token of it is good.
#[tokio::test]
async fn a_logout_between_renewals_is_final() {
    LocalSet::new().run_until(Box::pin(with_a_logout_at_every_moment())).await;
}

async fn with_a_logout_at_every_moment() {
    for clients in 1..=3 {
        let world = Box::pin(World::new(clients)).await;
        let live = world.latchkey.tables.items("SessionsTable").remove(0);
        let userinfo = servers::userinfo(&world.latchkey.config, &store::connect(&world.latchkey.config));
        let session = SessionId::parse(live["session_id"]["S"].as_str().unwrap()).unwrap();
        for schedule in schedules(clients) {
            for logout_at in 0..=schedule.len() {
                world.latchkey.tables.put("SessionsTable", &live);
                let (mut renewals, mut logout) = (world.renewals(), Some(world.signing_out(session.clone())));
                for (step, client) in schedule.iter().enumerate() {
                    if step == logout_at {
                        logout.take().unwrap().finish().await;
                    }
                    renewals[*client].step().await;
                }
                let mut tokens = vec![world.first.clone()];
                for (client, renewal) in renewals.into_iter().enumerate() {
                    let token = renewal.finish().await;
                    let was_first = decisive_step(&schedule, client) < logout_at;
                    assert_eq!(token.is_some(), was_first, "{schedule:?} {logout_at} {client}");
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
