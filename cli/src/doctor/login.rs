//! A login with a temporary user, through the service as a browser would.
//!
//! The user exists only during the check. Its records are removed also if a step fails, and on Ctrl-C.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::id::UserId;
use shared::password::{Hasher, Password};
use shared::store::{Account, Attempts, Profile, Sessions, User, Users};
use shared::token::{Cookies, Kind};
use tokio::signal::unix::{SignalKind, signal};

use super::report::Finding;
use super::service::{Service, causes, status_and_text};
use crate::audit::{Action, Audit, Change};
use crate::failure::explain;
use crate::stack::{Stack, budget};

/// Signs a temporary user in and out, and removes the user. Returns `None` if the operator interrupted the check.
pub(super) async fn check(stack: &Stack, service: &Service) -> Option<Finding> {
    with_temporary_user(stack, service).await.unwrap_or_else(|error| Some(Finding::error(&error)))
}

/// Checks that login refuses a user that does not exist. To refuse the user, the function reads its secrets, the users
/// table and the attempts table.
///
/// # Errors
/// Fails if the system has no random bytes.
pub(super) async fn unknown_user(service: &Service) -> Result<Finding> {
    let (name, password) = (format!("doctor-{}", random()?.to_lowercase()), random()?);
    let form = json!({ "loginInfo": { "userId": name, "password": password } });
    let answer = match step(service, Method::POST, "/login", Some(form), "").await {
        Ok(answer) => answer,
        Err(problem) => return Ok(problem),
    };
    Ok(if answer.status == StatusCode::UNAUTHORIZED {
        Finding::ok("a user that does not exist was refused with 401. Name the stack to check a whole login")
    } else {
        let text = format!("POST /login of a user that does not exist got {}, not 401", answer.status.as_u16());
        Finding::failed(text, service.remedy(answer.status))
    })
}

async fn with_temporary_user(stack: &Stack, service: &Service) -> Result<Option<Finding>> {
    let env = stack.settings(&["login", "password"], &["PASSWORD_PEPPER", "THROTTLE_SECRET"]).await?;
    let (name, password) = (format!("doctor-{}", random()?.to_lowercase()), random()?);
    let hash = Hasher::from_env(&env)?.hash(&Password::new(&password)?, Timestamp::now())?;
    let cookies = Cookies::from_env(&env)?;
    let temporary = Temporary {
        users: stack.users()?,
        sessions: stack.sessions()?,
        attempts: Attempts::from_env(stack.client(), &env)?,
        user: user(&name)?,
    };
    // Both events come first, so that nothing can prevent the removal afterwards.
    let id = &temporary.user.profile.id;
    let events = [Action::USER_ADDED, Action::USER_ERASED].map(|action| Change::of_user(action, id));
    Audit::open(stack, "doctor").await?.record(&events).await?;
    // From here on, these signals no longer end the process.
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let finding = match temporary.users.create(&temporary.user, Some(hash), &budget()).await {
        Ok(()) => tokio::select! {
            finding = sign_in_and_out(service, &cookies, &temporary.user, &password) => Some(finding),
            _ = interrupted.recv() => None,
            _ = terminated.recv() => None,
        },
        Err(error) => Some(Finding::error(&error.into())),
    };
    let removed = temporary.remove().await;
    Ok(removed.map_or_else(|error| Some(still_there(&name, &error)), |()| finding))
}

fn still_there(name: &str, error: &anyhow::Error) -> Finding {
    Finding::failed(
        format!("the temporary user {name} is still there: {}", explain(error)),
        format!("latchkey users erase {name} --yes"),
    )
}

/// A user that is removed again.
struct Temporary {
    users: Users,
    sessions: Sessions,
    attempts: Attempts,
    user: User,
}

impl Temporary {
    /// Removes the user, the records of its sessions and its attempt counters.
    async fn remove(&self) -> Result<()> {
        let profile = &self.user.profile;
        // The user first: until then, a login could open another session.
        let was_there = self.users.delete(&self.user, &budget()).await?;
        ensure!(was_there || self.users.find(&profile.id, &budget()).await?.is_none(), "the user was changed");
        self.sessions.erase(&profile.id, &budget()).await?;
        self.attempts.unlock(&Account::named(&profile.user_id), &budget()).await?;
        Ok(())
    }
}

/// Signs in, reads the user with each of the two tokens, signs out, and is refused. The first step with another answer
/// is the finding.
async fn sign_in_and_out(service: &Service, cookies: &Cookies, user: &User, password: &str) -> Finding {
    let profile = &user.profile;
    let form = json!({ "loginInfo": { "userId": profile.user_id, "password": password }, "checkedKeepLogin": true });
    let is_known = |answer: &Answer<'_>| answer.json()["id"] == profile.id.as_str();
    let steps = async {
        let login = step(service, Method::POST, "/login", Some(form), "").await?;
        login.expect(StatusCode::FOUND, LOGIN_REFUSED)?;
        let (access, refresh) = (login.cookie(cookies, Kind::Access)?, login.cookie(cookies, Kind::Refresh)?);
        let known = step(service, Method::GET, "/userinfo", None, &access).await?;
        known.expect(StatusCode::OK, "userinfo does not accept the access token of login")?;
        let renewed = step(service, Method::GET, "/userinfo", None, &refresh).await?;
        renewed.expect(StatusCode::OK, "userinfo does not accept the refresh token of login")?;
        if !is_known(&known) || !is_known(&renewed) {
            let text = "GET /userinfo returned another user than the one that signed in";
            return Err(Finding::failed(text, "Does a cache in front of the API keep answers? Turn it off"));
        }
        let access = renewed.cookie(cookies, Kind::Access)?;
        let logout = step(service, Method::POST, "/logout", None, &access).await?;
        logout.expect(StatusCode::RESET_CONTENT, "logout refused the request")?;
        let after = step(service, Method::GET, "/userinfo", None, &access).await?;
        after.expect(StatusCode::UNAUTHORIZED, "logout did not end the session")?;
        Ok(Finding::ok("a temporary user signed in, was known, renewed the session, signed out, and was refused"))
    };
    steps.await.unwrap_or_else(|problem| problem)
}

const LOGIN_REFUSED: &str = "login refused the right password of a temporary user: the function has other peppers or \
                             other tables than its settings say";

/// The answer to one step.
struct Answer<'a> {
    service: &'a Service,
    step: String,
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn step<'a>(
    service: &'a Service,
    method: Method,
    path: &str,
    form: Option<Value>,
    cookies: &str,
) -> Result<Answer<'a>, Finding> {
    let step = format!("{method} {path}");
    let mut request = service.request(method, path);
    if let Some(form) = form {
        request = request.header(CONTENT_TYPE, "application/json").body(form.to_string());
    }
    if !cookies.is_empty() {
        request = request.header(COOKIE, cookies);
    }
    match request.send().await {
        Ok(response) => {
            let headers = response.headers().clone();
            let (status, text) = status_and_text(response).await;
            Ok(Answer { service, step, status, headers, text })
        }
        Err(error) => {
            let text = format!("{step} got no answer: {}", causes(&error));
            Err(Finding::failed(text, service.remedy(StatusCode::SERVICE_UNAVAILABLE)))
        }
    }
}

impl Answer<'_> {
    /// Returns a finding if the status is another one. `meaning` is what the answers 200 and 401 mean there.
    fn expect(&self, status: StatusCode, meaning: &str) -> Result<(), Finding> {
        let (found, wanted) = (self.status.as_u16(), status.as_u16());
        if found == wanted {
            return Ok(());
        }
        let text = format!("{} with a temporary user got {found}, not {wanted}", self.step);
        Err(match found {
            200 | 401 => Finding::failed(format!("{text}: {meaning}"), self.service.restart()),
            _ => Finding::failed(text, self.service.remedy(self.status)),
        })
    }

    /// Returns the cookie with a token that the answer sets, as a browser sends it back.
    fn cookie(&self, cookies: &Cookies, kind: Kind) -> Result<String, Finding> {
        let name = cookies.name(kind);
        let lines = self.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
        let pair = pairs.find(|(found, value)| *found == name && !value.is_empty());
        pair.map(|(name, value)| format!("{name}={value}")).ok_or_else(|| {
            let text = format!("{} set no cookie {name}", self.step);
            Finding::failed(text, self.service.restart())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

fn user(name: &str) -> Result<User> {
    Ok(User::new(Profile {
        id: UserId::random()?,
        user_id: name.to_owned(),
        email: format!("{name}@latchkey.invalid"),
        name: "latchkey doctor".to_owned(),
        position: String::new(),
        location: String::new(),
        bio: "This user exists for a moment. It can be erased.".to_owned(),
        roles: Vec::new(),
    }))
}

fn random() -> Result<String> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes).ok().context("the random number generator failed")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
