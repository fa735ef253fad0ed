//! The sessions table: one record for each login.
//!
//! Owns the writes of a session: open, renew, end. Each is one conditional write. An ended session stays in the table
//! until its time to live is over, so that it cannot be opened again (R68). [`active`](super::active) finds the active
//! sessions of a user. Knows nothing of tokens.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::active::active_key;
use super::client::{Client, condition_held, send};
use super::records::{Item, from_item, number, text, to_item};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId, random_128_bits};
use crate::session::Session;
use crate::telemetry::events;

/// How long DynamoDB keeps a record after the end of its session. Only housekeeping: no check relies on it.
pub(super) const RETENTION: Duration = Duration::from_hours(7 * 24);

/// The update that ends a session and removes it from the index of active sessions.
pub(super) const END: &str = "SET ended_at = :now, #ttl = :ttl REMOVE active_key";

/// The condition of [`END`]. `UpdateItem` would create a missing record.
pub(super) const NOT_ENDED: &str = "attribute_exists(session_id) AND attribute_not_exists(ended_at)";

/// A session that has ended. Its record may be unreadable (F21).
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Whether an unexpired session was ended in this second, by this call or by another. The user's epoch is not
    /// considered.
    pub just_now: bool,
}

/// The sessions table.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(super) client: Client,
    pub(super) table: String,
}

/// The result of writing a renewal.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one value for each renewal, which is used at once")]
pub enum RenewalWrite {
    /// The renewal was written.
    Written,
    /// The condition failed, because of another write or an earlier try of this one. Holds the session as it is stored
    /// now, or `None` if there is no readable record.
    ConditionFailed(Option<Session>),
}

impl Sessions {
    /// Reads `SESSIONS_TABLE`.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not set or names the same table as another variable.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { client, table: env.table("SESSIONS_TABLE")? })
    }

    /// Stores a new session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn open(&self, session: &Session, budget: &Budget) -> Result<()> {
        let item = new_item(session)?;
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(session_id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match send(call.send(), budget).await {
            Err(error) if stored_instead_of_put(error.as_service_error()) == Some(&item) => Ok(()),
            outcome => outcome.map(drop).map_err(Error::from),
        }
    }

    /// Writes a renewed session if the stored session is active and has the previous generation. At most one of several
    /// concurrent calls succeeds (R62). Never creates a record (R68).
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn renew(&self, renewed: &Session, now: Timestamp, budget: &Budget) -> Result<RenewalWrite> {
        let call = self
            .update(&renewed.user_id, &renewed.id)
            .update_expression(
                "SET gen = :next, issued_at = :now, kid = :kid, idle_exp = :idle_exp, renewed_ip = :ip, \
                 renewed_agent = :agent",
            )
            .condition_expression(
                "attribute_exists(session_id) AND gen = :gen AND attribute_not_exists(ended_at) \
                 AND abs_exp > :now AND idle_exp > :now",
            )
            .expression_attribute_values(":gen", number(renewed.generation.saturating_sub(1)))
            .expression_attribute_values(":next", number(renewed.generation))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":kid", text(&renewed.kid))
            .expression_attribute_values(":idle_exp", number(renewed.idle_exp))
            .expression_attribute_values(":ip", text(renewed.renewed_ip.clone().unwrap_or_default()))
            .expression_attribute_values(":agent", text(renewed.renewed_agent.clone().unwrap_or_default()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match send(call.send(), budget).await {
            Ok(_) => Ok(RenewalWrite::Written),
            Err(error) => {
                Ok(RenewalWrite::ConditionFailed(stored_instead_of_update(error)?.and_then(readable_session)))
            }
        }
    }

    /// Ends a session because a refresh token was reused. Returns `true` if this call ended it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_for_reuse(&self, session: &Session, now: Timestamp, budget: &Budget) -> Result<bool> {
        // If the acknowledgement is lost, the retry of the SDK finds this mark and knows that the first try succeeded.
        let mark = text(random_128_bits()?);
        let call = self
            .end_update(&session.user_id, &session.id, now)
            .update_expression("SET ended_at = :now, ended_by = :mark, #ttl = :ttl REMOVE active_key")
            .expression_attribute_values(":mark", mark.clone());
        match send(call.send(), budget).await {
            Ok(_) => Ok(true),
            Err(error) => Ok(stored_instead_of_update(error)?.is_some_and(|item| item.get("ended_by") == Some(&mark))),
        }
    }

    /// Ends a session that has expired for this instance. After that, no instance with a slower clock can renew it
    /// (F29).
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn end_expired(&self, expired: &Session, now: Timestamp, budget: &Budget) -> Result<()> {
        let call = self
            .end_update(&expired.user_id, &expired.id, now)
            .condition_expression("attribute_not_exists(ended_at) AND idle_exp = :idle_exp")
            .expression_attribute_values(":idle_exp", number(expired.idle_exp));
        condition_held(send(call.send(), budget).await).map(drop)
    }

    /// Ends a session. Returns `None` if there is no record. Ending it again changes nothing.
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
        let call = self.end_update(user, session, now).return_values(ReturnValue::AllNew);
        let record = match send(call.send(), budget).await {
            Ok(updated) => updated.attributes,
            Err(error) => stored_instead_of_update(error)?,
        };
        Ok(record.map(|record| {
            let is_now = record.get("ended_at") == Some(&number(now));
            let had_expired = || read_session(record).is_ok_and(|session| session.ends_at() <= now);
            Ended { just_now: is_now && !had_expired() }
        }))
    }

    /// An update that ends a session which has not ended yet.
    fn end_update(&self, user: &UserId, session: &SessionId, now: Timestamp) -> UpdateItemFluentBuilder {
        self.update(user, session)
            .update_expression(END)
            .condition_expression(NOT_ENDED)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":ttl", number(now + RETENTION))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    fn update(&self, user: &UserId, session: &SessionId) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        session_key(user, session).into_iter().fold(update, |update, (name, value)| update.key(name, value))
    }
}

/// Returns the item of a new session.
pub(super) fn new_item(session: &Session) -> Result<Item> {
    let key = active_key(session.epoch, session.created_at);
    to_item(session, &[("ttl", number(session.abs_exp + RETENTION)), ("active_key", text(key))])
}

/// Returns the key of a session.
pub(super) fn session_key(user: &UserId, session: &SessionId) -> [(String, AttributeValue); 2] {
    [("user_id".to_owned(), text(user.as_str())), ("session_id".to_owned(), text(session.as_str()))]
}

fn read_session(item: Item) -> Result<Session> {
    from_item(item, "session")
}

/// Returns the session of an item, or `None` if it cannot be read. An unreadable session counts as ended (F21).
pub(super) fn readable_session(item: Item) -> Option<Session> {
    read_session(item).inspect_err(events::session_unreadable).ok()
}

/// Returns the stored item after the condition of an update failed, or `None` if there is no item.
///
/// # Errors
/// Every other error of the call.
fn stored_instead_of_update(error: SdkError<UpdateItemError>) -> Result<Option<Item>> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(failed.item.clone()),
        _ => Err(error.into()),
    }
}

/// Returns the stored item after the condition of a put failed. If it is our own item, an earlier try succeeded and its
/// acknowledgement was lost (F08).
fn stored_instead_of_put(error: Option<&PutItemError>) -> Option<&Item> {
    match error? {
        PutItemError::ConditionalCheckFailedException(failed) => failed.item(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testbed::{Calls, Fault, Tables};

    use super::*;
    use crate::session::renewal::Rules;
    use crate::session::{Lifetimes, NewSession, Source};
    use crate::store::connect;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    fn env(tables: &Tables) -> Environment {
        Environment::new(tables.settings(&[]))
    }

    fn over(env: &Environment) -> Sessions {
        Sessions::from_env(connect(env).unwrap(), env).unwrap()
    }

    fn sessions(tables: &Tables) -> Sessions {
        over(&env(tables))
    }

    fn rules() -> Rules {
        Rules::from_env(&Environment::new(testbed::settings(&[]))).unwrap()
    }

    fn lifetimes() -> Lifetimes {
        Lifetimes::from_env(&Environment::new(testbed::settings(&[]))).unwrap()
    }

    fn new() -> Session {
        let user_id = UserId::parse("0").unwrap();
        let source = Source { user_agent: Some("Firefox".into()), ip: Some("203.0.113.7".into()) };
        let new = NewSession { user_id: &user_id, epoch: 1, persistent: true, kid: "k", source };
        lifetimes().open(new, NOW).unwrap()
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    async fn open(tables: &Tables) -> Session {
        let session = new();
        sessions(tables).open(&session, &Budget::new(None)).await.unwrap();
        session
    }

    /// F23: the time to live is the absolute expiry plus 7 days, in seconds.
    #[tokio::test]
    async fn a_session_record_has_exactly_these_attributes() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let items = tables.items("SessionsTable");
        assert_eq!(items.len(), 1);
        let expected = json!({
            "user_id": { "S": "0" },
            "session_id": { "S": session.id.as_str() },
            "v": { "N": "1" },
            "epoch": { "N": "1" },
            "persistent": { "BOOL": true },
            "created_at": { "N": "1800000000" },
            "gen": { "N": "1" },
            "issued_at": { "N": "1800000000" },
            "kid": { "S": "k" },
            "idle_exp": { "N": (1_800_000_000 + 7 * DAY).to_string() },
            "abs_exp": { "N": (1_800_000_000 + 30 * DAY).to_string() },
            "ttl": { "N": (1_800_000_000 + 37 * DAY).to_string() },
            "user_agent": { "S": "Firefox" },
            "source_ip": { "S": "203.0.113.7" },
            "active_key": { "S": "1#001800000000" },
        });
        assert_eq!(items[0], expected);
    }

    /// `docs/sessions.md` states the cost: a write of up to 1 KB is one unit. The sum of names and values as text is an
    /// upper bound of the size that DynamoDB counts.
    #[tokio::test]
    async fn the_largest_record_fits_into_one_write_unit() {
        let tables = Tables::new().await;
        let user_id = UserId::parse("x".repeat(64)).unwrap();
        let ip = Some("2001:0db8:0000:0000:0000:0000:0000:0001".into());
        let source = Source { user_agent: Some("x".repeat(9999)), ip };
        let new = NewSession {
            user_id: &user_id,
            epoch: u64::MAX,
            persistent: true,
            kid: "0123456789a",
            source: source.clone(),
        };
        let mut session = lifetimes().open(new, NOW).unwrap();
        session.generation = u64::MAX - 1;
        let session = rules().renewed(&session, "0123456789a", &source, NOW);
        sessions(&tables).open(&session, &Budget::new(None)).await.unwrap();
        assert!(sessions(&tables).end_for_reuse(&session, NOW, &Budget::new(None)).await.unwrap());
        let record = tables.items("SessionsTable").remove(0);
        let sizes = record.as_object().unwrap().iter().map(|(name, value)| {
            let value = value.as_object().unwrap().values().next().unwrap();
            name.len() + value.as_str().map_or(1, str::len)
        });
        let size: usize = sizes.sum();
        assert!((700..=1024).contains(&size), "{size}");
    }

    /// F08: the put succeeded, its acknowledgement was lost, and the retry finds the stored item.
    #[tokio::test]
    async fn a_session_is_stored_once_if_the_acknowledgement_is_lost() {
        let tables = Tables::new().await;
        let env = Environment::new(tables.failing(&[("PutItem", &[Fault::LoseReply])]).await);
        let (client, calls) = Calls::of(&connect(&env).unwrap());
        let sessions = Sessions::from_env(client, &env).unwrap();
        let session = new();
        sessions.open(&session, &Budget::new(None)).await.unwrap();
        assert_eq!((calls.take().len(), tables.items("SessionsTable").len()), (2, 1));
    }

    #[tokio::test]
    async fn a_new_session_never_overwrites_another() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let other = Session { kid: "another".into(), ..session.clone() };
        let refused = sessions(&tables).open(&other, &Budget::new(None)).await;
        assert!(matches!(refused, Err(Error::Misconfigured(_))), "{refused:?}");
        assert_eq!(tables.items("SessionsTable")[0]["kid"]["S"], "k");
    }

    /// F06.
    #[tokio::test]
    async fn a_failed_end_is_an_error() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        for fault in [Fault::Refuse(400, "AccessDeniedException"), Fault::Stall] {
            let env = Environment::new(tables.failing(&[("UpdateItem", &[fault; 3])]).await);
            let sessions = over(&env);
            assert!(sessions.end(&session.user_id, &session.id, NOW, &Budget::new(None)).await.is_err(), "{fault:?}");
        }
    }

    /// R28.
    #[tokio::test]
    async fn every_login_has_its_own_session() {
        let tables = Tables::new().await;
        assert_ne!(open(&tables).await.id, open(&tables).await.id);
        assert_eq!(tables.items("SessionsTable").len(), 2);
    }

    #[tokio::test]
    async fn a_session_ends_once_and_its_record_stays() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let end = async |now| {
            sessions(&tables).end(&session.user_id, &session.id, now, &Budget::new(None)).await.unwrap().unwrap()
        };
        assert!(end(after(10)).await.just_now);
        let ended = tables.items("SessionsTable");
        assert_eq!((&ended[0]["ended_at"]["N"], ended[0].get("active_key")), (&json!("1800000010"), None));
        assert_eq!(ended[0]["ttl"]["N"], (1_800_000_010 + 7 * DAY).to_string(), "7 days after the end");
        assert!(!end(after(20)).await.just_now, "the first end stands");
        assert_eq!(tables.items("SessionsTable"), ended, "a second end does not extend the retention");
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }

    /// R68: `UpdateItem` creates a missing item unless its condition forbids it.
    #[tokio::test]
    async fn ending_an_unknown_session_creates_no_record() {
        let tables = Tables::new().await;
        let id = SessionId::random().unwrap();
        let ended = sessions(&tables).end(&UserId::parse("0").unwrap(), &id, NOW, &Budget::new(None)).await.unwrap();
        assert!(ended.is_none());
        assert!(tables.items("SessionsTable").is_empty());
    }

    /// R62, R68.
    #[tokio::test]
    async fn a_renewal_is_written_once_and_only_if_the_session_is_active_and_has_the_previous_generation() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let renewed = rules().renewed(&session, "k2", &Source::default(), after(10));
        let renew =
            async |renewed: &Session, now| sessions(&tables).renew(renewed, now, &Budget::new(None)).await.unwrap();

        assert!(matches!(renew(&renewed, after(10)).await, RenewalWrite::Written));
        let RenewalWrite::ConditionFailed(Some(found)) = renew(&renewed, after(11)).await else {
            panic!("a second winner")
        };
        assert_eq!(found, renewed);
        assert_eq!((found.generation, found.kid.as_str(), found.idle_exp), (2, "k2", after(7 * DAY + 10)));
        assert_eq!(tables.items("SessionsTable")[0]["ttl"]["N"], (1_800_000_000 + 37 * DAY).to_string());

        let again = rules().renewed(&renewed, "k", &Source::default(), after(20));
        assert!(
            matches!(renew(&again, after(7 * DAY + 10)).await, RenewalWrite::ConditionFailed(Some(_))),
            "the idle expiry has passed"
        );
        assert!(
            matches!(renew(&again, after(30 * DAY)).await, RenewalWrite::ConditionFailed(Some(_))),
            "the absolute expiry has passed"
        );
        let mut late = tables.items("SessionsTable").remove(0);
        late["idle_exp"] = json!({ "N": after(36 * DAY).as_secs().to_string() });
        tables.put("SessionsTable", &late);
        assert!(
            matches!(renew(&again, after(30 * DAY)).await, RenewalWrite::ConditionFailed(Some(_))),
            "only the absolute expiry has passed"
        );
        sessions(&tables).end(&session.user_id, &session.id, after(20), &Budget::new(None)).await.unwrap();
        let RenewalWrite::ConditionFailed(Some(ended)) = renew(&again, after(20)).await else {
            panic!("the session was revived")
        };
        assert_eq!((ended.generation, ended.ended_at), (2, Some(after(20))));

        tables.delete("SessionsTable", &json!({ "user_id": { "S": "0" }, "session_id": { "S": session.id.as_str() } }));
        assert!(matches!(renew(&again, after(20)).await, RenewalWrite::ConditionFailed(None)));
        assert!(tables.items("SessionsTable").is_empty(), "a renewal created a record");
    }

    /// F07: the write succeeded, its acknowledgement was lost, and the retry finds the stored item.
    #[tokio::test]
    async fn a_renewal_whose_acknowledgement_is_lost_returns_the_record_that_it_wrote() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let env = Environment::new(tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await);
        let renewed = rules().renewed(&session, "k2", &Source::default(), after(10));
        let outcome = over(&env).renew(&renewed, after(10), &Budget::new(None)).await;
        let Ok(RenewalWrite::ConditionFailed(Some(found))) = outcome else { panic!("{outcome:?}") };
        assert_eq!(found, renewed);
    }

    /// F29: two instances whose clocks differ by an hour.
    #[tokio::test]
    async fn a_session_that_one_instance_found_expired_is_not_renewed_by_a_slower_one() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let (fast, slow) = (after(7 * DAY), after(7 * DAY - 3600));
        let renewed = rules().renewed(&session, "k", &Source::default(), slow);
        sessions(&tables).end_expired(&session, fast, &Budget::new(None)).await.unwrap();
        let refused = sessions(&tables).renew(&renewed, slow, &Budget::new(None)).await.unwrap();
        assert!(matches!(refused, RenewalWrite::ConditionFailed(Some(_))), "{refused:?}");
        assert_eq!(tables.items("SessionsTable")[0].get("active_key"), None);
    }

    /// The session was renewed after it was read.
    #[tokio::test]
    async fn a_session_that_was_renewed_meanwhile_is_not_ended_as_expired() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let renewed = rules().renewed(&session, "k", &Source::default(), after(10));
        sessions(&tables).renew(&renewed, after(10), &Budget::new(None)).await.unwrap();
        sessions(&tables).end_expired(&session, after(7 * DAY), &Budget::new(None)).await.unwrap();
        assert_eq!(tables.items("SessionsTable")[0].get("ended_at"), None);
        let unknown = Session { id: SessionId::random().unwrap(), ..session };
        sessions(&tables).end_expired(&unknown, after(7 * DAY), &Budget::new(None)).await.unwrap();
        assert_eq!(tables.items("SessionsTable").len(), 1, "no record was created");
    }

    /// F21.
    #[tokio::test]
    async fn an_unreadable_session_is_not_renewed() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let mut corrupt = tables.items("SessionsTable").remove(0);
        corrupt["gen"] = json!({ "S": "two" });
        tables.put("SessionsTable", &corrupt);
        let renewed = rules().renewed(&session, "k2", &Source::default(), after(10));
        let outcome = sessions(&tables).renew(&renewed, after(10), &Budget::new(None)).await.unwrap();
        assert!(matches!(outcome, RenewalWrite::ConditionFailed(None)), "{outcome:?}");
        assert_eq!(tables.items("SessionsTable"), [corrupt]);
    }

    /// R66. Also if the acknowledgement is lost.
    #[tokio::test]
    async fn exactly_one_caller_ends_a_session_for_reuse() {
        let tables = Tables::new().await;
        let session = open(&tables).await;
        let env = Environment::new(tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await);
        let losing = over(&env);
        assert!(losing.end_for_reuse(&session, after(10), &Budget::new(None)).await.unwrap());
        assert!(!sessions(&tables).end_for_reuse(&session, after(10), &Budget::new(None)).await.unwrap());
        let record = tables.items("SessionsTable").remove(0);
        assert_eq!((&record["ended_at"]["N"], record.get("active_key")), (&json!("1800000010"), None));
        sessions(&tables).end_expired(&session, after(8 * DAY), &Budget::new(None)).await.unwrap();
        assert_eq!(tables.items("SessionsTable"), [record], "the first end stands");

        let gone = Session { id: SessionId::random().unwrap(), ..session };
        assert!(!sessions(&tables).end_for_reuse(&gone, after(10), &Budget::new(None)).await.unwrap());
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }
}
