//! The sessions table: one record for every login.
//!
//! Owns when a session begins, how long it lives and how it ends. A session that has ended stays as a tombstone until
//! its time to live is over, so that nothing can open it again. Knows nothing of tokens or of who the user is.

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};
use crate::store::{Budget, Client, Item, from_item, number, text, to_item};
use crate::tokens::Generation;
use crate::users::User;

/// How long a record outlives its session before DynamoDB may delete it. Housekeeping only: no check relies on it.
const KEPT_AFTER_THE_END: Duration = Duration::from_hours(7 * 24);

/// How long after its end a session may still be named by somebody who tries again.
const TIME_TO_TRY_AGAIN: Duration = Duration::from_mins(1);

/// The longest user agent that is kept, in bytes.
const LONGEST_USER_AGENT: usize = 512;

/// One login of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is: the hash key, so that the sessions of one user are one query.
    pub user_id: UserId,
    /// Which one: the range key.
    #[serde(rename = "session_id")]
    pub id: SessionId,
    /// The epoch of the user in which it was opened (R76).
    pub epoch: u64,
    /// Whether it can be renewed.
    pub keep: bool,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// How many refresh tokens there have been.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// When the current refresh token was issued.
    pub issued_at: Timestamp,
    /// The key that the current refresh token was signed with.
    pub kid: String,
    /// When it ends unless it is renewed.
    pub idle_exp: Timestamp,
    /// When it ends, renewed or not.
    pub abs_exp: Timestamp,
    /// When it was ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The browser that signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The address that it signed in from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
}

impl Session {
    /// Whether the session still lives for a user who is in `epoch`. Time is checked here and never left to DynamoDB,
    /// which deletes late (R72).
    #[must_use]
    pub fn is_live(&self, epoch: u64, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == epoch && now < self.ends_at()
    }

    /// Whether the session was still going on a moment ago: its owner is signing out now, or trying again after an outage.
    /// What a token of an older one asks for is not done.
    #[must_use]
    pub fn was_just_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none_or(|ended_at| now.since(ended_at) <= TIME_TO_TRY_AGAIN) && now < self.abs_exp
    }

    /// When the session ends unless something happens to it.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.idle_exp.min(self.abs_exp)
    }

    /// The refresh token that renews the session now; none for a session that ends with the browser.
    #[must_use]
    pub fn current_generation(&self) -> Option<Generation> {
        let current = Generation { number: self.generation, issued_at: self.issued_at, expires_at: self.ends_at() };
        self.keep.then_some(current)
    }
}

/// How somebody signs in.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// Whether to be kept signed in when the browser is closed.
    pub keep: bool,
    /// The key that refresh tokens are signed with.
    pub kid: &'a str,
    /// The browser.
    pub user_agent: Option<String>,
    /// The address, as the gateway saw it.
    pub source_ip: Option<String>,
}

/// The record of a session that has ended. It is only read where somebody asks what it was: a session can be ended
/// whatever its record says.
pub struct Ended(Item);

impl Ended {
    /// The session as it was.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the record cannot be read.
    pub fn session(self) -> Result<Session> {
        read_session(self.0)
    }
}

/// The sessions table.
#[derive(Clone, Debug)]
pub struct Sessions {
    client: Client,
    table: String,
    access_ttl: Duration,
    refresh_ttl: Duration,
    session_max_ttl: Duration,
}

impl Sessions {
    /// The configured table, with the configured lifetimes.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        Self {
            client,
            table: config.sessions_table.clone(),
            access_ttl: config.access_ttl,
            refresh_ttl: config.refresh_ttl,
            session_max_ttl: config.session_max_ttl,
        }
    }

    /// A new session, whatever the browser brought along (R28). It counts once it is opened.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the system has no randomness to give.
    pub fn begin(&self, user: &User, opening: Opening<'_>, now: Timestamp) -> Result<Session> {
        let (idle, longest) =
            if opening.keep { (self.refresh_ttl, self.session_max_ttl) } else { (self.access_ttl, self.access_ttl) };
        Ok(Session {
            user_id: user.profile.id.clone(),
            id: SessionId::random()?,
            epoch: user.session_epoch,
            keep: opening.keep,
            created_at: now,
            generation: 1,
            issued_at: now,
            kid: opening.kid.to_owned(),
            idle_exp: now + idle,
            abs_exp: now + longest,
            ended_at: None,
            user_agent: opening.user_agent.map(|agent| shortened(agent, LONGEST_USER_AGENT)),
            source_ip: opening.source_ip,
        })
    }

    /// Opens a session that was begun.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn open(&self, session: &Session, budget: &Budget) -> Result<()> {
        let time_to_live = session.abs_exp + KEPT_AFTER_THE_END;
        let item = to_item(session, &[("ttl", number(time_to_live))])?;
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(session_id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match budget.spend(call.send()).await {
            Err(error) if already_put(error.as_service_error()) == Some(&item) => Ok(()),
            outcome => outcome.map(drop).map_err(Error::from),
        }
    }

    /// Ends a session, and hands over its record; nothing where there is none. Ending it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn end(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Option<Ended>> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("user_id", text(user.as_str()))
            .key("session_id", text(session.as_str()))
            .update_expression("SET ended_at = if_not_exists(ended_at, :now)")
            .condition_expression("attribute_exists(session_id)")
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew);
        match budget.spend(call.send()).await {
            Ok(ended) => Ok(ended.attributes.map(Ended)),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The session in an item of the table.
pub(crate) fn read_session(item: Item) -> Result<Session> {
    from_item(item, "session")
}

/// What stands where a put found something. Our own item there means that an earlier try of the same put got through
/// and only its answer was lost (F08).
fn already_put(error: Option<&PutItemError>) -> Option<&Item> {
    match error? {
        PutItemError::ConditionalCheckFailedException(failed) => failed.item(),
        _ => None,
    }
}

fn shortened(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testbed::{Calls, Fault, Tables};

    use super::*;
    use crate::store;
    use crate::users::Profile;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    fn sessions(tables: &Tables) -> Sessions {
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        Sessions::new(store::connect(&config), &config)
    }

    fn kim() -> User {
        User::new(Profile {
            id: UserId::parse("0").unwrap(),
            user_id: "kimcoding".into(),
            email: "kim@example.com".into(),
            name: String::new(),
            position: String::new(),
            location: String::new(),
            bio: String::new(),
            roles: vec![],
        })
    }

    fn opening(keep: bool) -> Opening<'static> {
        Opening { keep, kid: "k", user_agent: Some("Firefox".into()), source_ip: Some("203.0.113.7".into()) }
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    async fn open(tables: &Tables, keep: bool) -> Session {
        let sessions = sessions(tables);
        let session = sessions.begin(&kim(), opening(keep), NOW).unwrap();
        sessions.open(&session, &Budget::new(None)).await.unwrap();
        session
    }

    #[tokio::test]
    async fn a_kept_session_lives_seven_days_without_renewal_and_thirty_at_most() {
        let session = open(&Tables::new().await, true).await;
        assert_eq!((session.idle_exp, session.abs_exp), (after(7 * DAY), after(30 * DAY)));
        let generation = Generation { number: 1, issued_at: NOW, expires_at: after(7 * DAY) };
        assert_eq!(session.current_generation(), Some(generation));
    }

    #[tokio::test]
    async fn a_session_that_is_not_kept_ends_after_a_day_and_is_never_renewed() {
        let session = open(&Tables::new().await, false).await;
        assert_eq!(session.ends_at(), after(DAY));
        assert_eq!(session.current_generation(), None);
    }

    /// F23: the time to live is the absolute end and seven days, in seconds.
    #[tokio::test]
    async fn the_record_says_what_the_contract_of_the_table_asks_for() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let items = tables.items("SessionsTable");
        assert_eq!(items.len(), 1);
        let expected = json!({
            "user_id": { "S": "0" },
            "session_id": { "S": session.id.as_str() },
            "v": { "N": "1" },
            "epoch": { "N": "1" },
            "keep": { "BOOL": true },
            "created_at": { "N": "1800000000" },
            "gen": { "N": "1" },
            "issued_at": { "N": "1800000000" },
            "kid": { "S": "k" },
            "idle_exp": { "N": (1_800_000_000 + 7 * DAY).to_string() },
            "abs_exp": { "N": (1_800_000_000 + 30 * DAY).to_string() },
            "ttl": { "N": (1_800_000_000 + 37 * DAY).to_string() },
            "user_agent": { "S": "Firefox" },
            "source_ip": { "S": "203.0.113.7" },
        });
        assert_eq!(items[0], expected);
    }

    /// F08: the put got through, only its answer was lost, and the second try finds the first.
    #[tokio::test]
    async fn a_session_whose_acknowledgement_was_lost_is_opened_once() {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.failing(&[("PutItem", &[Fault::LoseReply])]).await).unwrap();
        let (client, calls) = Calls::of(&store::connect(&config));
        let sessions = Sessions::new(client, &config);
        let session = sessions.begin(&kim(), opening(true), NOW).unwrap();
        sessions.open(&session, &Budget::new(None)).await.unwrap();
        assert_eq!((calls.take().len(), tables.items("SessionsTable").len()), (2, 1));
    }

    #[tokio::test]
    async fn a_session_never_takes_the_place_of_another() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let other = Session { kid: "another".into(), ..session.clone() };
        let refused = sessions(&tables).open(&other, &Budget::new(None)).await;
        assert!(matches!(refused, Err(Error::Misconfigured(_))), "{refused:?}");
        assert_eq!(tables.items("SessionsTable")[0]["kid"]["S"], "k");
    }

    /// F06: what could not be ended is not called absent.
    #[tokio::test]
    async fn a_session_that_could_not_be_ended_is_an_error() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        for fault in [Fault::Refuse(400, "AccessDeniedException"), Fault::Stall] {
            let config = Config::from_lookup(tables.failing(&[("UpdateItem", &[fault; 3])]).await).unwrap();
            let sessions = Sessions::new(store::connect(&config), &config);
            assert!(sessions.end(&session.user_id, &session.id, NOW, &Budget::new(None)).await.is_err(), "{fault:?}");
        }
    }

    /// R28.
    #[tokio::test]
    async fn every_login_opens_a_session_of_its_own() {
        let tables = Tables::new().await;
        assert_ne!(open(&tables, true).await.id, open(&tables, true).await.id);
        assert_eq!(tables.items("SessionsTable").len(), 2);
    }

    #[tokio::test]
    async fn a_session_ends_once_and_leaves_a_tombstone() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let end = async |now| {
            let ended = sessions(&tables).end(&session.user_id, &session.id, now, &Budget::new(None)).await;
            ended.unwrap().unwrap().session().unwrap().ended_at
        };
        assert_eq!(end(after(10)).await, Some(after(10)));
        assert_eq!(end(after(20)).await, Some(after(10)), "the first end stands");
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }

    /// R68: an update in DynamoDB creates what is not there, unless it is told not to.
    #[tokio::test]
    async fn ending_a_session_that_is_not_there_creates_none() {
        let tables = Tables::new().await;
        let id = SessionId::random().unwrap();
        let ended = sessions(&tables).end(&UserId::parse("0").unwrap(), &id, NOW, &Budget::new(None)).await.unwrap();
        assert!(ended.is_none());
        assert!(tables.items("SessionsTable").is_empty());
    }

    #[tokio::test]
    async fn a_user_agent_is_cut_between_two_characters() {
        let tables = Tables::new().await;
        let opening = Opening { user_agent: Some("é".repeat(400)), ..opening(true) };
        let session = sessions(&tables).begin(&kim(), opening, NOW).unwrap();
        assert_eq!(session.user_agent.unwrap(), "é".repeat(256));
    }

    /// R70, R71, R72, R76.
    #[tokio::test]
    async fn a_session_lives_until_its_time_its_end_or_the_end_of_its_epoch() {
        let session = open(&Tables::new().await, true).await;
        assert!(session.is_live(1, NOW) && session.is_live(1, after(7 * DAY - 1)));
        assert!(!session.is_live(1, after(7 * DAY)));
        assert!(!session.is_live(2, NOW));
        assert!(!Session { ended_at: Some(NOW), ..session.clone() }.is_live(1, NOW));
        let often_renewed = Session { idle_exp: after(40 * DAY), ..session };
        assert!(often_renewed.is_live(1, after(30 * DAY - 1)) && !often_renewed.is_live(1, after(30 * DAY)));
    }
}
