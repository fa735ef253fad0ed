//! Long random runs: browsers, thieves, lost responses, time that passes, logouts. The real function and table must
//! answer each request as a model of a few lines does.

use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::servers::{self, GRACE, Latchkey, NOW, Token};

const DAY: u64 = 86_400;
const HOLDERS: usize = 4;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// A holder presents its token. The response arrives or is lost.
    Renew { holder: usize, arrives: bool },
    /// A thief presents any token that was issued.
    Present { generation: usize },
    /// One holder copies the token of another.
    Copy { from: usize, to: usize },
    /// Time passes.
    Wait { seconds: u64 },
    /// The session ends.
    EndSession,
    /// All sessions of the user end.
    EndAllSessions,
}

/// The answer to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The token of this generation.
    Renewed(usize),
    Refused,
}

/// The expected session.
#[derive(Clone, Debug)]
struct Model {
    now: u64,
    /// The expiry of each token, the oldest token first. The last token is the current one.
    expiries: Vec<u64>,
    renewed_at: u64,
    has_ended: bool,
    /// The generation of the token of each holder.
    held: Vec<usize>,
    last: Answer,
}

impl Model {
    fn present(&mut self, generation: usize) -> Answer {
        let current = self.expiries.len() - 1;
        if self.has_ended || self.now >= self.expiries[current] {
            Answer::Refused
        } else if generation == current {
            self.renewed_at = self.now;
            self.expiries.push((self.now + 7 * DAY).min(30 * DAY));
            Answer::Renewed(current + 1)
        } else if generation + 1 == current && self.now <= self.renewed_at + GRACE {
            Answer::Renewed(current)
        } else {
            self.has_ended = true;
            Answer::Refused
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Self> {
        let (held, last) = (vec![0; HOLDERS], Answer::Refused);
        Just(Self { now: 0, expiries: vec![7 * DAY], renewed_at: 0, has_ended: false, held, last }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Event> {
        let generations = state.expiries.len();
        let arrives = prop::bool::weighted(0.7);
        let seconds = prop::sample::select(vec![1, GRACE, GRACE + 1, DAY, 6 * DAY]);
        prop_oneof![
            12 => (0..HOLDERS, arrives).prop_map(|(holder, arrives)| Event::Renew { holder, arrives }),
            2 => (0..generations).prop_map(|generation| Event::Present { generation }),
            4 => (0..HOLDERS, 0..HOLDERS).prop_map(|(from, to)| Event::Copy { from, to }),
            8 => seconds.prop_map(|seconds| Event::Wait { seconds }),
            1 => Just(Event::EndSession),
            1 => Just(Event::EndAllSessions),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, event: &Event) -> bool {
        !matches!(event, Event::Present { generation } if *generation >= state.expiries.len())
    }

    fn apply(mut state: Self, event: &Event) -> Self {
        match event {
            Event::Renew { holder, arrives } => {
                state.last = state.present(state.held[*holder]);
                if let (Answer::Renewed(generation), true) = (state.last, arrives) {
                    state.held[*holder] = generation;
                }
            }
            Event::Present { generation } => state.last = state.present(*generation),
            Event::Copy { from, to } => state.held[*to] = state.held[*from],
            Event::Wait { seconds } => state.now += seconds,
            Event::EndSession | Event::EndAllSessions => state.has_ended = true,
        }
        state
    }
}

/// The real server, and all tokens that it has issued.
struct Service {
    runtime: Runtime,
    latchkey: Latchkey,
    issued: Vec<Token>,
    held: Vec<usize>,
}

impl Service {
    fn present(&mut self, generation: usize, model: &Model) -> Answer {
        let (token, now) = (self.issued[generation].clone(), NOW + Duration::from_secs(model.now));
        let renewed = self.runtime.block_on(servers::renew(&self.latchkey.userinfo, &token, now));
        let Some(token) = renewed else { return Answer::Refused };
        let known = self.issued.iter().position(|issued| *issued == token);
        Answer::Renewed(known.unwrap_or_else(|| {
            self.issued.push(token);
            self.issued.len() - 1
        }))
    }

    /// Writes an attribute, without the code under test.
    fn write(&self, table: &str, name: &str, number: &str) {
        let items = self.latchkey.tables.items(table);
        let mut item = items.into_iter().find(|item| item["pk"]["S"] == "user#0" || table != "UsersTable").unwrap();
        item[name] = json!({ "N": number });
        self.latchkey.tables.put(table, &item);
    }
}

struct Runs;

impl StateMachineTest for Runs {
    type SystemUnderTest = Service;
    type Reference = Model;

    fn init_test(_: &Model) -> Service {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (latchkey, first) = runtime.block_on(Latchkey::new());
        Service { runtime, latchkey, issued: vec![first], held: vec![0; HOLDERS] }
    }

    fn apply(mut service: Service, model: &Model, event: Event) -> Service {
        match event {
            Event::Renew { holder, arrives } => {
                let answer = service.present(service.held[holder], model);
                assert_eq!(answer, model.last);
                if let (Answer::Renewed(generation), true) = (answer, arrives) {
                    service.held[holder] = generation;
                }
            }
            Event::Present { generation } => assert_eq!(service.present(generation, model), model.last),
            Event::Copy { from, to } => service.held[to] = service.held[from],
            Event::Wait { .. } => {}
            Event::EndSession => service.write("SessionsTable", "ended_at", "1800000000"),
            Event::EndAllSessions => service.write("UsersTable", "session_epoch", "2"),
        }
        service
    }

    /// Checks that the record and the issued tokens have the same number of generations as the model.
    fn check_invariants(service: &Service, model: &Model) {
        let record = service.latchkey.tables.items("SessionsTable").remove(0);
        assert_eq!(record["gen"]["N"], model.expiries.len().to_string());
        assert_eq!(service.issued.len(), model.expiries.len());
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// R62 to R72.
    #[test]
    fn random_runs_agree_with_the_model(sequential 10..60 => Runs);
}
