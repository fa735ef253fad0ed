//! Long random runs: browsers, a thief, lost answers, time that passes, a logout. A model of a few lines says what has to be
//! answered; the function and the table are the real ones.

use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::servers::{self, Latchkey, NOW, Token, WINDOW};

const DAY: u64 = 86_400;
const HOLDERS: usize = 4;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody shows the token that they hold, and gets the answer or does not.
    Renew { holder: usize, arrives: bool },
    /// A thief shows a token that was issued at any time.
    Replay { generation: usize },
    /// Somebody copies what another holds.
    Copy { from: usize, to: usize },
    /// Time passes.
    Wait { seconds: u64 },
    /// The session is ended by its owner.
    SignOut,
    /// All sessions of the user are ended.
    CutOff,
}

/// What a token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The token of that generation.
    Renewed(usize),
    Refused,
}

/// The session as it should be.
#[derive(Clone, Debug)]
struct Model {
    now: u64,
    /// When each token stops being good, oldest first. The last is the current one.
    expiries: Vec<u64>,
    renewed_at: u64,
    is_over: bool,
    /// The generation that each holder has.
    held: Vec<usize>,
    last: Verdict,
}

impl Model {
    fn show(&mut self, generation: usize) -> Verdict {
        let current = self.expiries.len() - 1;
        if self.is_over || self.now >= self.expiries[current] {
            Verdict::Refused
        } else if generation == current {
            self.renewed_at = self.now;
            self.expiries.push((self.now + 7 * DAY).min(30 * DAY));
            Verdict::Renewed(current + 1)
        } else if generation + 1 == current && self.now <= self.renewed_at + WINDOW {
            Verdict::Renewed(current)
        } else {
            self.is_over = true;
            Verdict::Refused
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Self> {
        let held = vec![0; HOLDERS];
        let last = Verdict::Refused;
        Just(Self { now: 0, expiries: vec![7 * DAY], renewed_at: 0, is_over: false, held, last }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Event> {
        let generations = state.expiries.len();
        prop_oneof![
            12 => (0..HOLDERS, prop::bool::weighted(0.7)).prop_map(|(holder, arrives)| Event::Renew { holder, arrives }),
            2 => (0..generations).prop_map(|generation| Event::Replay { generation }),
            4 => (0..HOLDERS, 0..HOLDERS).prop_map(|(from, to)| Event::Copy { from, to }),
            8 => prop::sample::select(vec![1, WINDOW, WINDOW + 1, DAY, 6 * DAY]).prop_map(|seconds| Event::Wait { seconds }),
            1 => Just(Event::SignOut),
            1 => Just(Event::CutOff),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, event: &Event) -> bool {
        !matches!(event, Event::Replay { generation } if *generation >= state.expiries.len())
    }

    fn apply(mut state: Self, event: &Event) -> Self {
        match event {
            Event::Renew { holder, arrives } => {
                state.last = state.show(state.held[*holder]);
                if let (Verdict::Renewed(generation), true) = (state.last, arrives) {
                    state.held[*holder] = generation;
                }
            }
            Event::Replay { generation } => state.last = state.show(*generation),
            Event::Copy { from, to } => state.held[*to] = state.held[*from],
            Event::Wait { seconds } => state.now += seconds,
            Event::SignOut | Event::CutOff => state.is_over = true,
        }
        state
    }
}

/// The service, and every token that it has issued.
struct Service {
    runtime: Runtime,
    latchkey: Latchkey,
    issued: Vec<Token>,
    held: Vec<usize>,
}

impl Service {
    fn show(&mut self, generation: usize, model: &Model) -> Verdict {
        let (token, now) = (self.issued[generation].clone(), NOW + Duration::from_secs(model.now));
        let answer = self.runtime.block_on(servers::renew(&self.latchkey.userinfo, &token, now));
        let Some(token) = answer else { return Verdict::Refused };
        let known = self.issued.iter().position(|issued| *issued == token);
        Verdict::Renewed(known.unwrap_or_else(|| {
            self.issued.push(token);
            self.issued.len() - 1
        }))
    }

    /// Writes an attribute past all our code.
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
                let verdict = service.show(service.held[holder], model);
                assert_eq!(verdict, model.last);
                if let (Verdict::Renewed(generation), true) = (verdict, arrives) {
                    service.held[holder] = generation;
                }
            }
            Event::Replay { generation } => assert_eq!(service.show(generation, model), model.last),
            Event::Copy { from, to } => service.held[to] = service.held[from],
            Event::Wait { .. } => {}
            Event::SignOut => service.write("SessionsTable", "ended_at", "1800000000"),
            Event::CutOff => service.write("UsersTable", "session_epoch", "2"),
        }
        service
    }

    /// At most one token renews: what is written down is one generation.
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
    fn every_run_goes_as_the_model_says(sequential 10..60 => Runs);
}
