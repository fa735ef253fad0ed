//! The events of a subject, and the check of its answers.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev::people::KIM;
use hyper::body::Bytes;
use serde_json::{Value, json};
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::id::UserId;
use shared::password::PasswordHash;
use shared::store::{self, User, Users};
use testbed::{Event, Reply};

use crate::process::Variables;

/// What a subject does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing but an answer with 200.
    Nothing,
    /// Returns the user of an access token.
    Userinfo,
    /// Renews a session.
    Renewal,
    /// Opens a session with a password.
    Login,
    /// Ends a session.
    Logout,
    /// Decides about a request.
    Authorizer,
}

/// The tables with a user, as this program reaches them.
pub(crate) struct World {
    env: Environment,
    kim: User,
    hash: PasswordHash,
    users: Users,
    added: AtomicU32,
}

/// A client of one function.
pub(crate) struct Caller<'a> {
    world: &'a World,
    work: Work,
    /// The event of each call, for work that does not change a record.
    repeated: Option<Bytes>,
    tokens: Tokens,
    generation: u64,
}

/// The tokens of a session.
struct Tokens {
    access: String,
    refresh: String,
}

impl World {
    /// Adds the user.
    pub(crate) async fn new(plain: &Variables) -> Result<Self> {
        let variables = plain.clone();
        let env = Environment::new(move |name| variables.get(name).cloned());
        let (kim, hash) = (testbed::add_kim(&env).await, KIM.password_hash(&env)?);
        let users = Users::from_env(store::connect(&env)?, &env)?;
        Ok(Self { env, kim, hash, users, added: AtomicU32::new(0) })
    }

    async fn sign_in(&self) -> Tokens {
        let (access, refresh) = testbed::sign_in(&self.env, &self.kim, true, Timestamp::now()).await;
        Tokens { access, refresh }
    }

    /// Adds a user with the password of the first one. Returns its login name, which is also its id, and a source
    /// address. Each login has its own user and address, so that the throttle does not decide.
    async fn add_user(&self) -> Result<(String, String)> {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        let name = format!("user{number:08}");
        let mut user = self.kim.clone();
        user.profile.id = UserId::parse(name.as_str()).context("a valid id")?;
        user.profile.user_id.clone_from(&name);
        user.profile.email = format!("{name}@example.com");
        self.users.create(&user, self.hash.clone(), &Budget::new(None)).await?;
        let [_, a, b, c] = number.to_be_bytes();
        Ok((name, format!("10.{a}.{b}.{c}")))
    }
}

impl<'a> Caller<'a> {
    /// Signs a user in.
    pub(crate) async fn new(world: &'a World, work: Work) -> Result<Self> {
        Ok(Self { world, work, repeated: None, tokens: world.sign_in().await, generation: 1 })
    }

    /// Returns the next event.
    pub(crate) async fn event(&mut self) -> Result<Bytes> {
        if let Some(event) = &self.repeated {
            return Ok(event.clone());
        }
        let event = match self.work {
            Work::Nothing | Work::Userinfo => self.with_cookies("userinfo", &[("access_jwt", &self.tokens.access)])?,
            Work::Authorizer => self.with_cookies("authorizer", &[("access_jwt", &self.tokens.access)])?,
            Work::Renewal => self.with_cookies("userinfo", &[("refresh_jwt", &self.tokens.refresh)])?,
            Work::Logout => {
                self.tokens = self.world.sign_in().await;
                let Tokens { access, refresh } = &self.tokens;
                self.with_cookies("logout", &[("access_jwt", access), ("refresh_jwt", refresh)])?
            }
            Work::Login => {
                let (name, source) = self.world.add_user().await?;
                let body =
                    json!({ "loginInfo": { "userId": name, "password": KIM.password }, "checkedKeepLogin": true });
                let event = Event::recorded("login").body(body.to_string());
                let event = event.with("/requestContext/http/sourceIp", source.as_str().into());
                with_keys(&event, &name, &name, &format!("{:022}", fastrand::u64(..)), 1, &source)
            }
        };
        if matches!(self.work, Work::Nothing | Work::Userinfo | Work::Authorizer) {
            self.repeated = Some(event.clone());
        }
        Ok(event)
    }

    fn with_cookies(&self, recorded: &str, tokens: &[(&str, &String)]) -> Result<Bytes> {
        let session = session_of(&self.tokens.access)?;
        let event = Event::recorded(recorded).cookies(tokens.iter().map(|(name, token)| format!("{name}={token}")));
        Ok(with_keys(&event, KIM.id, KIM.user_id, &session, self.generation, "203.0.113.7"))
    }

    /// Fails if the answer is not that of a success. Keeps the tokens of a renewal for the next event.
    pub(crate) fn check(&mut self, answer: &Bytes, is_floor: bool) -> Result<()> {
        let checked = self.take(answer, is_floor);
        checked.with_context(|| format!("an unexpected answer: {}", String::from_utf8_lossy(answer)))
    }

    fn take(&mut self, answer: &Bytes, is_floor: bool) -> Result<()> {
        if is_floor {
            let answer: Value = serde_json::from_slice(answer)?;
            ensure!(answer["statusCode"] == 200, "not 200");
            self.generation += 1;
            return Ok(());
        }
        if self.work == Work::Authorizer {
            let decision: Value = serde_json::from_slice(answer)?;
            ensure!(decision["isAuthorized"] == true, "not authorized");
            return Ok(());
        }
        let reply: Reply = serde_json::from_slice(answer)?;
        let expected = match self.work {
            Work::Login => 302,
            Work::Logout => 205,
            _ => 200,
        };
        ensure!(reply.status == expected, "{} instead of {expected}", reply.status);
        if self.work == Work::Renewal {
            reply.cookie("refresh_jwt").context("no new token")?.clone_into(&mut self.tokens.refresh);
        }
        Ok(())
    }
}

/// Returns the event with the keys of its records, which the floors read.
fn with_keys(event: &Event, user: &str, name: &str, session: &str, generation: u64, source: &str) -> Bytes {
    let mut event = event.payload();
    event["floor"] = json!({
        "user": user, "name": name, "session": session, "generation": generation, "source": source,
        "now": Timestamp::now().as_secs(),
    });
    event.to_string().into()
}

/// Returns the session of a token.
fn session_of(token: &str) -> Result<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).context("not a token")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    Ok(claims["sid"].as_str().context("no session in the token")?.to_owned())
}
