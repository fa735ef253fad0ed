//! What the promises are checked on: the real function with a real table, and servers with other rules.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::http::{self, Site};
use shared::store::{self, User};
use testbed::{Event, Tables};
use userinfo::Userinfo;

/// The time of every login.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The grace period, in seconds.
pub(crate) const GRACE: u64 = 10;

/// A refresh token, as a client holds it.
pub(crate) type Token = String;

/// What a server answers to a refresh token that was used before, if its successor was not used yet. If the successor
/// was used, too, or if the grace period is over, the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Within the grace period, the same successor.
    Latchkey,
    /// The session ends. There is no grace period.
    NoGrace,
    /// Within the grace period, a new successor. The first successor becomes invalid.
    Replace,
    /// Within the grace period, a new successor. The first successor stays valid.
    Siblings,
    /// The same successor. The grace period never ends.
    EndlessGrace,
}

/// A server with one persistent session.
pub(crate) enum Server {
    /// Ours.
    Latchkey(Box<Latchkey>),
    /// A server with another rule.
    Other(Other),
}

/// The records of a server.
#[derive(Clone)]
pub(crate) enum Saved {
    Latchkey(Vec<Value>),
    Other(Other),
}

impl Server {
    /// Opens a persistent session and returns its first refresh token.
    pub(crate) async fn new(rule: Rule) -> (Self, Token) {
        if rule == Rule::Latchkey {
            let (latchkey, token) = Latchkey::new().await;
            (Self::Latchkey(Box::new(latchkey)), token)
        } else {
            let (other, token) = Other::new(rule);
            (Self::Other(other), token)
        }
    }

    /// Presents a refresh token, `seconds` after the login. Returns the new refresh token, or `None` if it was refused.
    pub(crate) async fn renew(&mut self, token: &str, seconds: u64) -> Option<Token> {
        match self {
            Self::Latchkey(latchkey) => latchkey.renew(token, seconds).await,
            Self::Other(other) => other.renew(token, seconds),
        }
    }

    /// Returns a copy of the records.
    pub(crate) fn save(&self) -> Saved {
        match self {
            Self::Latchkey(latchkey) => Saved::Latchkey(latchkey.tables.items("SessionsTable")),
            Self::Other(other) => Saved::Other(other.clone()),
        }
    }

    /// Restores the records.
    pub(crate) fn restore(&mut self, saved: &Saved) {
        match (self, saved) {
            (Self::Latchkey(latchkey), Saved::Latchkey(items)) => {
                for item in items {
                    latchkey.tables.put("SessionsTable", item);
                }
            }
            (Self::Other(other), Saved::Other(saved)) => other.clone_from(saved),
            _ => unreachable!("the records are those of another server"),
        }
    }
}

/// The real function with a real table.
pub(crate) struct Latchkey {
    pub(crate) tables: Tables,
    pub(crate) env: Environment,
    pub(crate) user: User,
    pub(crate) userinfo: Userinfo,
    /// The known results. Many runs begin alike, and the same request to the same records has the same result.
    results: HashMap<Case, Outcome>,
}

/// The records, the presented token, and the time.
type Case = (String, Token, u64);

/// The answer, and the records after it.
type Outcome = (Option<Token>, Vec<Value>);

impl Latchkey {
    /// Opens a persistent session and returns its first refresh token.
    pub(crate) async fn new() -> (Self, Token) {
        let tables = Tables::new().await;
        let env = tables.environment(&[]);
        let user = testbed::add_kim(&env).await;
        let (_, refresh) = testbed::sign_in(&env, &user, true, NOW).await;
        let userinfo = userinfo(&env);
        (Self { tables, env, user, userinfo, results: HashMap::new() }, refresh)
    }

    async fn renew(&mut self, token: &str, seconds: u64) -> Option<Token> {
        let records = self.tables.items("SessionsTable");
        let case = (format!("{records:?}"), token.to_owned(), seconds);
        if let Some((answer, items)) = self.results.get(&case) {
            for item in items {
                self.tables.put("SessionsTable", item);
            }
            return answer.clone();
        }
        let answer = renew(&self.userinfo, token, NOW + Duration::from_secs(seconds)).await;
        self.results.insert(case, (answer.clone(), self.tables.items("SessionsTable")));
        answer
    }
}

/// Returns the function in this environment.
pub(crate) fn userinfo(env: &Environment) -> Userinfo {
    Userinfo::from_env(store::connect(env).unwrap(), env).unwrap()
}

/// Sends a refresh token to `userinfo`. Returns the new refresh token, or `None` if it was refused.
pub(crate) async fn renew(userinfo: &Userinfo, token: &str, now: Timestamp) -> Option<Token> {
    let event = Event::recorded("userinfo").cookies([format!("refresh_jwt={token}")]);
    let mut service = http::service(Site::default(), |request| userinfo.handle(request, now));
    let reply = event.send(&mut service).await;
    match reply.status {
        200 => Some(reply.cookie("refresh_jwt").expect("a renewal sets a refresh token").to_owned()),
        401 => None,
        status => panic!("a renewal was answered with {status}"),
    }
}

/// A server with another rule. Its tokens are numbers.
#[derive(Clone)]
pub(crate) struct Other {
    rule: Rule,
    issued: u64,
    valid: Vec<Token>,
    /// The used tokens: the time of the first use, and the successor.
    used: HashMap<Token, (u64, Token)>,
    has_ended: bool,
}

impl Other {
    fn new(rule: Rule) -> (Self, Token) {
        let mut server = Self { rule, issued: 0, valid: vec![], used: HashMap::new(), has_ended: false };
        let token = server.issue();
        (server, token)
    }

    fn issue(&mut self) -> Token {
        self.issued += 1;
        self.valid.push(self.issued.to_string());
        self.issued.to_string()
    }

    fn renew(&mut self, token: &str, now: u64) -> Option<Token> {
        if self.has_ended {
            return None;
        }
        if self.valid.iter().any(|valid| valid == token) {
            self.valid.retain(|valid| valid != token);
            let successor = self.issue();
            self.used.insert(token.to_owned(), (now, successor.clone()));
            return Some(successor);
        }
        let parent = self.used.get(token).cloned().filter(|(_, successor)| self.valid.contains(successor));
        let answer = parent.and_then(|(first_use, successor)| {
            let is_in_grace_period = now <= first_use + GRACE;
            match self.rule {
                Rule::Replace if is_in_grace_period => {
                    self.valid.clear();
                    let another = self.issue();
                    self.used.insert(token.to_owned(), (first_use, another.clone()));
                    Some(another)
                }
                Rule::Siblings if is_in_grace_period => Some(self.issue()),
                Rule::EndlessGrace => Some(successor),
                _ => None,
            }
        });
        self.has_ended = answer.is_none();
        answer
    }
}
