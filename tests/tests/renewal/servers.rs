//! What a refresh token can be shown to: our own function over a real table, and servers with the rules that are common
//! elsewhere. Those exist to see the promises broken.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use shared::access::Access;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::session::Rules;
use shared::sessions::Sessions;
use shared::store::Client;
use shared::tokens::Signer;
use shared::users::User;
use shared::{http, store};
use testbed::{Event, Tables};
use userinfo::Userinfo;

/// When everybody signs in.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// How long a parent is good for, in seconds.
pub(crate) const WINDOW: u64 = 10;

/// A refresh token, as a client holds it.
pub(crate) type Token = String;

/// Which successor of a used token is handed out, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The same one, in a window from the first use. Then the session ends.
    Latchkey,
    /// None: any use of a used token ends the session.
    Strict,
    /// Another one, in a window, in place of the first.
    ReRotate,
    /// Another one, in a window, beside the first.
    Siblings,
    /// The same one, as long as it has not been used.
    ParentForEver,
}

/// A server with one session, and the token of its login.
pub(crate) enum Server {
    /// Ours.
    Latchkey(Box<Latchkey>),
    /// Another.
    Other(Other),
}

/// What a server has written down.
#[derive(Clone)]
pub(crate) enum Saved {
    Latchkey(Vec<Value>),
    Other(Other),
}

impl Server {
    /// Signs somebody in, to be kept signed in.
    pub(crate) async fn new(rule: Rule) -> (Self, Token) {
        if rule == Rule::Latchkey {
            let (latchkey, token) = Latchkey::new().await;
            (Self::Latchkey(Box::new(latchkey)), token)
        } else {
            let (other, token) = Other::new(rule);
            (Self::Other(other), token)
        }
    }

    /// Shows a refresh token some seconds after the login: its successor, or nothing where it is refused.
    pub(crate) async fn renew(&mut self, token: &str, seconds: u64) -> Option<Token> {
        match self {
            Self::Latchkey(latchkey) => latchkey.renew(token, seconds).await,
            Self::Other(other) => other.renew(token, seconds),
        }
    }

    /// What is written down now.
    pub(crate) fn save(&self) -> Saved {
        match self {
            Self::Latchkey(latchkey) => Saved::Latchkey(latchkey.tables.items("SessionsTable")),
            Self::Other(other) => Saved::Other(other.clone()),
        }
    }

    /// Goes back to what was written down then.
    pub(crate) fn restore(&mut self, saved: &Saved) {
        match (self, saved) {
            (Self::Latchkey(latchkey), Saved::Latchkey(items)) => {
                for item in items {
                    latchkey.tables.put("SessionsTable", item);
                }
            }
            (Self::Other(other), Saved::Other(saved)) => other.clone_from(saved),
            _ => unreachable!("a server is restored from its own"),
        }
    }
}

/// The real function over a real table.
pub(crate) struct Latchkey {
    pub(crate) tables: Tables,
    pub(crate) config: Config,
    pub(crate) user: User,
    pub(crate) userinfo: Userinfo,
    /// What came of showing a token at a time to what was written down: many runs begin alike.
    known: HashMap<Case, Outcome>,
}

/// What was written down, which token was shown, and when.
type Case = (String, Token, u64);

/// What was answered, and what is written down now.
type Outcome = (Option<Token>, Vec<Value>);

impl Latchkey {
    pub(crate) async fn new() -> (Self, Token) {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        let user = testbed::add_kim(&config).await;
        let (_, refresh) = testbed::sign_in(&config, &user, true, NOW).await;
        let userinfo = userinfo(&config, &store::connect(&config));
        (Self { tables, config, user, userinfo, known: HashMap::new() }, refresh)
    }

    async fn renew(&mut self, token: &str, seconds: u64) -> Option<Token> {
        let written_down = self.tables.items("SessionsTable");
        let case = (format!("{written_down:?}"), token.to_owned(), seconds);
        if let Some((answer, items)) = self.known.get(&case) {
            for item in items {
                self.tables.put("SessionsTable", item);
            }
            return answer.clone();
        }
        let answer = renew(&self.userinfo, token, NOW + Duration::from_secs(seconds)).await;
        self.known.insert(case, (answer.clone(), self.tables.items("SessionsTable")));
        answer
    }
}

/// The function, over the tables that this client reaches.
pub(crate) fn userinfo(config: &Config, client: &Client) -> Userinfo {
    Userinfo {
        access: Access::new(client.clone(), config),
        sessions: Sessions::new(client.clone(), config),
        rules: Rules::new(config),
        signer: Signer::new(config),
    }
}

/// Asks a function who is behind a refresh token.
pub(crate) async fn renew(userinfo: &Userinfo, token: &str, now: Timestamp) -> Option<Token> {
    let event = Event::recorded("userinfo").cookies([format!("refresh_jwt={token}")]);
    let reply = event.send(&mut http::service(&[], |request| userinfo.handle(request, now))).await;
    match reply.status {
        200 => Some(reply.cookie("refresh_jwt").expect("a renewal hands out a refresh token").to_owned()),
        401 => None,
        status => panic!("{status} is no verdict"),
    }
}

/// A server of another rule. Its tokens are numbers.
#[derive(Clone)]
pub(crate) struct Other {
    rule: Rule,
    issued: u64,
    live: Vec<Token>,
    /// What was used: when for the first time, and what came of it.
    used: HashMap<Token, (u64, Token)>,
    ended: bool,
}

impl Other {
    fn new(rule: Rule) -> (Self, Token) {
        let mut server = Self { rule, issued: 0, live: vec![], used: HashMap::new(), ended: false };
        let token = server.issue();
        (server, token)
    }

    fn issue(&mut self) -> Token {
        self.issued += 1;
        self.live.push(self.issued.to_string());
        self.issued.to_string()
    }

    fn renew(&mut self, token: &str, now: u64) -> Option<Token> {
        if self.ended {
            return None;
        }
        if self.live.iter().any(|live| live == token) {
            self.live.retain(|live| live != token);
            let successor = self.issue();
            self.used.insert(token.to_owned(), (now, successor.clone()));
            return Some(successor);
        }
        let parent = self.used.get(token).cloned().filter(|(_, successor)| self.live.contains(successor));
        let again = parent.and_then(|(first_use, successor)| {
            let in_window = now <= first_use + WINDOW;
            match self.rule {
                Rule::ReRotate if in_window => {
                    self.live.clear();
                    let another = self.issue();
                    self.used.insert(token.to_owned(), (first_use, another.clone()));
                    Some(another)
                }
                Rule::Siblings if in_window => Some(self.issue()),
                Rule::ParentForEver => Some(successor),
                _ => None,
            }
        });
        self.ended = again.is_none();
        again
    }
}
