//! The sessions table: one record for every login.
//!
//! Owns how a session is written down: opened, renewed and ended, each by one conditional write. One that has ended stays
//! as a tombstone until its time to live is over, so that nothing can open it again. Knows nothing of tokens.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId, random_128_bits};
use crate::session::Session;
use crate::store::{Budget, Client, Item, from_item, number, text, to_item};

/// How long a record outlives its session before DynamoDB may delete it. Housekeeping only: no check relies on it.
const KEPT_AFTER_THE_END: Duration = Duration::from_hours(7 * 24);

/// The record of a session that has ended. It is only read where somebody asks what it was: a session can be ended
/// whatever its record says.
pub struct Ended {
    /// Whether it was going on until now: it had not expired, and has been ended in this very second. Another call that ends it in
    /// the same second says so, too; and that all sessions of the user were over by their epoch is not known here.
    pub just_now: bool,
    record: Item,
}

impl Ended {
    /// The session as it was.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the record cannot be read.
    pub fn session(self) -> Result<Session> {
        read_session(self.record)
    }
}

/// The sessions table.
#[derive(Clone, Debug)]
pub struct Sessions {
    client: Client,
    table: String,
}

/// What came of a renewal.
#[derive(Clone, Debug)]
pub enum Renewal {
    /// It is written down.
    Recorded,
    /// Something else was written first, or an earlier try of this renewal: the session as it stands now, if there is one
    /// that can be read.
    Overtaken(Option<Session>),
}

impl Sessions {
    /// The table of that name.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        Self { client, table: config.sessions_table.clone() }
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

    /// Writes down a session that was renewed, if it is still as it was before and alive: one write, of which there is one
    /// winner (R62). It never creates a record (R68).
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn renew(&self, renewed: &Session, now: Timestamp, budget: &Budget) -> Result<Renewal> {
        let call = self
            .update(&renewed.user_id, &renewed.id)
            .update_expression("SET gen = :next, issued_at = :now, kid = :kid, idle_exp = :idle_exp")
            .condition_expression(
                "attribute_exists(session_id) AND gen = :gen AND attribute_not_exists(ended_at) \
                 AND abs_exp > :now AND idle_exp > :now",
            )
            .expression_attribute_values(":gen", number(renewed.generation.saturating_sub(1)))
            .expression_attribute_values(":next", number(renewed.generation))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":kid", text(&renewed.kid))
            .expression_attribute_values(":idle_exp", number(renewed.idle_exp))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match budget.spend(call.send()).await {
            Ok(_) => Ok(Renewal::Recorded),
            Err(error) => Ok(Renewal::Overtaken(found_instead(error)?.and_then(readable_session))),
        }
    }

    /// Ends a session of which an old refresh token was used, and says whether it was this call that ended it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_for_reuse(&self, session: &Session, now: Timestamp, budget: &Budget) -> Result<bool> {
        // Tells our own end from another's when the answer to a first try was lost.
        let mark = text(random_128_bits()?);
        let call = self
            .update(&session.user_id, &session.id)
            .update_expression("SET ended_at = :now, ended_by = :mark, #ttl = :ttl")
            .condition_expression("attribute_exists(session_id) AND attribute_not_exists(ended_at)")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":mark", mark.clone())
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", number(now + KEPT_AFTER_THE_END))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match budget.spend(call.send()).await {
            Ok(_) => Ok(true),
            Err(error) => Ok(found_instead(error)?.is_some_and(|item| item.get("ended_by") == Some(&mark))),
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
            .update(user, session)
            .update_expression("SET ended_at = :now, #ttl = :ttl")
            .condition_expression("attribute_exists(session_id) AND attribute_not_exists(ended_at)")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", number(now + KEPT_AFTER_THE_END))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let record = match budget.spend(call.send()).await {
            Ok(ended) => ended.attributes,
            Err(error) => found_instead(error)?,
        };
        Ok(record.map(|record| {
            let is_over = read_session(record.clone()).is_ok_and(|session| session.ends_at() <= now);
            Ended { just_now: !is_over && record.get("ended_at") == Some(&number(now)), record }
        }))
    }

    /// The sessions of a user that live, those of `epoch`; the one that was renewed last comes first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn live(&self, user: &UserId, epoch: u64, now: Timestamp, budget: &Budget) -> Result<Vec<Session>> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("user_id = :user")
            .filter_expression("attribute_not_exists(ended_at) AND abs_exp > :now AND idle_exp > :now")
            .expression_attribute_values(":user", text(user.as_str()))
            .expression_attribute_values(":now", number(now));
        let (mut sessions, mut start) = (Vec::new(), None);
        loop {
            let page = budget.spend(query.clone().set_exclusive_start_key(start).send()).await?;
            sessions.extend(page.items.unwrap_or_default().into_iter().filter_map(readable_session));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        sessions.retain(|session| session.is_live(epoch, now));
        sessions.sort_by(|one, other| (other.issued_at, other.id.as_str()).cmp(&(one.issued_at, one.id.as_str())));
        Ok(sessions)
    }

    /// Ends the oldest sessions of a user until `cap` are left (R77), and says whether `opened` is among those. Whoever opens
    /// one calls this afterwards: of logins at the same time the last one sees them all.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn end_oldest(&self, opened: &Session, cap: usize, now: Timestamp, budget: &Budget) -> Result<bool> {
        let mut live = self.live(&opened.user_id, opened.epoch, now, budget).await?;
        live.sort_by(|one, other| (one.created_at, one.id.as_str()).cmp(&(other.created_at, other.id.as_str())));
        let (too_many, left) = live.split_at(live.len().saturating_sub(cap));
        for session in too_many {
            let ended = self.end(&session.user_id, &session.id, now, budget).await?;
            if ended.is_some_and(|ended| ended.just_now) {
                let (user, session) = (session.user_id.as_str(), session.id.fingerprint());
                tracing::info!(
                    event = "sessions_ended",
                    reason = "cap",
                    user,
                    session,
                    "A user had too many sessions."
                );
            }
        }
        Ok(left.iter().any(|session| session.id == opened.id))
    }

    fn update(&self, user: &UserId, session: &SessionId) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        update.key("user_id", text(user.as_str())).key("session_id", text(session.as_str()))
    }
}

/// The session in an item of the table.
fn read_session(item: Item) -> Result<Session> {
    from_item(item, "session")
}

/// The same; one that cannot be read counts as ended (F21).
pub(crate) fn readable_session(item: Item) -> Option<Session> {
    let session = read_session(item);
    session
        .inspect_err(|corrupt| {
            let causes = corrupt.causes();
            tracing::error!(event = "session_unreadable", causes, "A session cannot be read: it counts as ended.");
        })
        .ok()
}

/// The item, if any, that kept a conditional update from being made.
fn found_instead(error: SdkError<UpdateItemError>) -> Result<Option<Item>> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(failed.item.clone()),
        _ => Err(error.into()),
    }
}

/// What stands where a put found something. Our own item there means that an earlier try of the same put got through
/// and only its answer was lost (F08).
fn already_put(error: Option<&PutItemError>) -> Option<&Item> {
    match error? {
        PutItemError::ConditionalCheckFailedException(failed) => failed.item(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use serde_json::json;
    use testbed::{Calls, Fault, Tables};

    use super::*;
    use crate::session::{Opening, Rules};
    use crate::store;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    fn sessions(tables: &Tables) -> Sessions {
        let config = Config::from_lookup(tables.settings(&[])).unwrap();
        Sessions::new(store::connect(&config), &config)
    }

    fn begun(tables: &Tables, keep: bool) -> Session {
        let rules = Rules::new(&Config::from_lookup(tables.settings(&[])).unwrap());
        let user_id = UserId::parse("0").unwrap();
        let (user_agent, source_ip) = (Some("Firefox".into()), Some("203.0.113.7".into()));
        rules.begin(Opening { user_id: &user_id, epoch: 1, keep, kid: "k", user_agent, source_ip }, NOW).unwrap()
    }

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    async fn open(tables: &Tables, keep: bool) -> Session {
        let session = begun(tables, keep);
        sessions(tables).open(&session, &Budget::new(None)).await.unwrap();
        session
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

    /// What `docs/sessions.md` says of its cost: a write of up to 1 KB is one unit. Names and values as text are an upper bound
    /// for what DynamoDB counts.
    #[tokio::test]
    async fn the_largest_record_is_written_with_one_unit() {
        let tables = Tables::new().await;
        let rules = Rules::new(&Config::from_lookup(tables.settings(&[])).unwrap());
        let user_id = UserId::parse("x".repeat(64)).unwrap();
        let (user_agent, source_ip) = (Some("x".repeat(9999)), Some("2001:0db8:0000:0000:0000:0000:0000:0001".into()));
        let opening =
            Opening { user_id: &user_id, epoch: u64::MAX, keep: true, kid: "0123456789a", user_agent, source_ip };
        let mut session = rules.begin(opening, NOW).unwrap();
        session.generation = u64::MAX;
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

    /// F08: the put got through, only its answer was lost, and the second try finds the first.
    #[tokio::test]
    async fn a_session_whose_acknowledgement_was_lost_is_opened_once() {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.failing(&[("PutItem", &[Fault::LoseReply])]).await).unwrap();
        let (client, calls) = Calls::of(&store::connect(&config));
        let sessions = Sessions::new(client, &config);
        let session = begun(&tables, true);
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
        let tombstone = tables.items("SessionsTable");
        assert_eq!(tombstone[0]["ttl"]["N"], (1_800_000_010 + 7 * DAY).to_string(), "7 days after the end");
        assert_eq!(end(after(20)).await, Some(after(10)), "the first end stands");
        assert_eq!(
            tables.items("SessionsTable"),
            tombstone,
            "whoever ends it again does not keep the record any longer"
        );
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

    /// R62, R68: only the session as it was before, and alive, is renewed.
    #[tokio::test]
    async fn a_renewal_is_written_once_and_only_over_what_it_was_made_from() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let rules = Rules::new(&Config::from_lookup(tables.settings(&[])).unwrap());
        let renewed = rules.renewed(&session, "k2", after(10));
        let renew =
            async |renewed: &Session, now| sessions(&tables).renew(renewed, now, &Budget::new(None)).await.unwrap();

        assert!(matches!(renew(&renewed, after(10)).await, Renewal::Recorded));
        let Renewal::Overtaken(Some(found)) = renew(&renewed, after(11)).await else { panic!("a second winner") };
        assert_eq!(found, renewed);
        assert_eq!((found.generation, found.kid.as_str(), found.idle_exp), (2, "k2", after(7 * DAY + 10)));
        assert_eq!(tables.items("SessionsTable")[0]["ttl"]["N"], (1_800_000_000 + 37 * DAY).to_string());

        let again = rules.renewed(&renewed, "k", after(20));
        assert!(matches!(renew(&again, after(7 * DAY + 10)).await, Renewal::Overtaken(Some(_))), "idle for too long");
        assert!(matches!(renew(&again, after(30 * DAY)).await, Renewal::Overtaken(Some(_))), "past its absolute end");
        let mut late = tables.items("SessionsTable").remove(0);
        late["idle_exp"] = json!({ "N": after(36 * DAY).as_secs().to_string() });
        tables.put("SessionsTable", &late);
        assert!(
            matches!(renew(&again, after(30 * DAY)).await, Renewal::Overtaken(Some(_))),
            "renewed in its last days"
        );
        sessions(&tables).end(&session.user_id, &session.id, after(20), &Budget::new(None)).await.unwrap();
        let Renewal::Overtaken(Some(ended)) = renew(&again, after(20)).await else { panic!("it rose again") };
        assert_eq!((ended.generation, ended.ended_at), (2, Some(after(20))));

        tables.delete("SessionsTable", &json!({ "user_id": { "S": "0" }, "session_id": { "S": session.id.as_str() } }));
        assert!(matches!(renew(&again, after(20)).await, Renewal::Overtaken(None)));
        assert!(tables.items("SessionsTable").is_empty(), "a renewal created a record");
    }

    /// F07: the write got through, only its answer was lost: the second try finds what the first wrote.
    #[tokio::test]
    async fn a_renewal_whose_acknowledgement_was_lost_finds_itself() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let config = Config::from_lookup(tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await).unwrap();
        let renewed = Rules::new(&config).renewed(&session, "k2", after(10));
        let outcome =
            Sessions::new(store::connect(&config), &config).renew(&renewed, after(10), &Budget::new(None)).await;
        let Ok(Renewal::Overtaken(Some(found))) = outcome else { panic!("{outcome:?}") };
        assert_eq!(found, renewed);
    }

    #[tokio::test]
    async fn a_list_of_many_pages_is_read_to_its_end() {
        let tables = Tables::new().await;
        let (one, other) = (open(&tables, true).await, open(&tables, true).await);
        let items: Vec<Item> = [&one, &other].map(|session| to_item(session, &[]).unwrap()).into_iter().collect();
        let key = Item::from([("user_id".into(), text("0")), ("session_id".into(), text(one.id.as_str()))]);
        let (first, last) = (items[0].clone(), items[1].clone());
        let (start, expected) = (key.clone(), key.clone());
        let page = mock!(Client::query)
            .match_requests(|request| {
                request.exclusive_start_key().is_none() && request.consistent_read() == Some(true)
            })
            .then_output(move || {
                QueryOutput::builder().items(first.clone()).set_last_evaluated_key(Some(start.clone())).build()
            });
        let end = mock!(Client::query)
            .match_requests(move |request| request.exclusive_start_key() == Some(&expected))
            .then_output(move || QueryOutput::builder().items(last.clone()).build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&page, &end]);
        let sessions = Sessions::new(client, &Config::from_lookup(testbed::settings(&[])).unwrap());
        let live = sessions.live(&one.user_id, 1, NOW, &Budget::new(None)).await.unwrap();
        assert_eq!((live.len(), page.num_calls(), end.num_calls()), (2, 1, 1));
    }

    /// F21.
    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_not_renewed() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let mut corrupt = tables.items("SessionsTable").remove(0);
        corrupt["gen"] = json!({ "S": "two" });
        tables.put("SessionsTable", &corrupt);
        let rules = Rules::new(&Config::from_lookup(tables.settings(&[])).unwrap());
        let renewed = rules.renewed(&session, "k2", after(10));
        let outcome = sessions(&tables).renew(&renewed, after(10), &Budget::new(None)).await.unwrap();
        assert!(matches!(outcome, Renewal::Overtaken(None)), "{outcome:?}");
        assert_eq!(tables.items("SessionsTable"), [corrupt]);
    }

    /// R66: whoever ends it, one says so; also where the answer to that was lost.
    #[tokio::test]
    async fn a_session_is_ended_for_reuse_by_one_caller() {
        let tables = Tables::new().await;
        let session = open(&tables, true).await;
        let config = Config::from_lookup(tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await).unwrap();
        let unlucky = Sessions::new(store::connect(&config), &config);
        assert!(unlucky.end_for_reuse(&session, after(10), &Budget::new(None)).await.unwrap());
        assert!(!sessions(&tables).end_for_reuse(&session, after(10), &Budget::new(None)).await.unwrap());
        assert_eq!(tables.items("SessionsTable")[0]["ended_at"]["N"], "1800000010");

        let gone = Session { id: SessionId::random().unwrap(), ..session };
        assert!(!sessions(&tables).end_for_reuse(&gone, after(10), &Budget::new(None)).await.unwrap());
        assert_eq!(tables.items("SessionsTable").len(), 1);
    }
}
