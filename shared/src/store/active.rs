//! The active sessions of a user.
//!
//! Owns the local secondary index `ActiveSessions` and the limit. The cost of a list and of a login does not grow with
//! the number of sessions that have ended. A session is in the index from its login to its end: the write that ends it
//! removes `active_key`, the sort key of the index. This key starts with the user's epoch, so that a query skips the
//! sessions that ended together. A session that only expired stays in the index until a login needs its place.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem, Update};

use super::client::{MAX_KEYS, batch_get, send, transact};
use super::records::{Item, number, text};
use super::sessions::{RETENTION, Sessions, readable_session, session_key};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};
use crate::session::Session;
use crate::telemetry::events;

/// The name of the index in `template.yaml`.
const INDEX: &str = "ActiveSessions";

/// The most sessions that one login ends. A limit that was lowered by more takes effect after several logins. A
/// transaction has at most 100 items.
const MAX_ENDS: usize = 79;

/// How often a login plans again because other requests have ended sessions of its plan.
const MAX_PLANS: u32 = 10;

/// The condition that a session is in the index, in the epoch of the plan. It also fails for a session that
/// `DELETE /sessions` has moved to the next epoch.
const INDEXED: &str = "begins_with(active_key, :epoch)";

/// The most recent sessions that one login checks.
const MAX_CHECKS: usize = 20;

/// A session that was opened within this time may belong to a login that runs at this moment.
const RECENTLY: Duration = Duration::from_mins(1);

/// What a login does to apply the limit. All of it is one transaction. Its conditions decide, and not the clocks of the
/// instances. Of several concurrent logins that would end each other's sessions, the first one wins. The others plan
/// again.
struct Plan {
    /// The oldest sessions above the limit, which end.
    oldest: Vec<SessionId>,
    /// Sessions that have expired or cannot be read, which end.
    expired: Vec<SessionId>,
    /// Sessions of other logins at this moment, which stay. If one of them has ended meanwhile, fewer others must end.
    recent: Vec<SessionId>,
}

impl Plan {
    /// Makes a plan from the sessions of the index without `opened`, and those of them that are active.
    fn new(opened: &Session, limit: usize, indexed: Vec<SessionId>, mut active: Vec<Session>) -> Self {
        active.sort_by(|one, other| (one.created_at, one.id.as_str()).cmp(&(other.created_at, other.id.as_str())));
        let id = |session: &Session| session.id.clone();
        let known: HashSet<_> = active.iter().map(id).collect();
        let excess = (active.len() + 1).saturating_sub(limit);
        let (oldest, kept) = active.split_at(excess.min(active.len()));
        let oldest: Vec<_> = oldest.iter().take(MAX_ENDS).map(id).collect();
        let expired = indexed.into_iter().filter(|id| !known.contains(id));
        let is_recent = |session: &&Session| session.created_at + RECENTLY >= opened.created_at;
        Self {
            expired: expired.take(MAX_ENDS - oldest.len()).collect(),
            recent: kept.iter().rev().filter(is_recent).take(MAX_CHECKS).map(id).collect(),
            oldest,
        }
    }
}

/// Returns the sort key of the index. Sessions of an epoch are in the order of their logins.
pub(super) fn active_key(epoch: u64, created_at: Timestamp) -> String {
    format!("{epoch}#{:012}", created_at.as_secs())
}

/// Returns the beginning of all index keys of an epoch.
fn prefix(epoch: u64) -> AttributeValue {
    text(format!("{epoch}#"))
}

impl Sessions {
    /// Returns the active sessions of a user who is in `epoch`, the most recently renewed one first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn active(&self, user: &UserId, epoch: u64, now: Timestamp, budget: &Budget) -> Result<Vec<Session>> {
        let indexed = self.indexed(user, epoch, budget).await?;
        let mut active = self.read_active(user, &indexed, epoch, now, budget).await?;
        active.sort_by(|one, other| (other.issued_at, other.id.as_str()).cmp(&(one.issued_at, one.id.as_str())));
        Ok(active)
    }

    /// Ends the oldest active sessions of a user until `limit` are left (R77). Never ends `opened`, whatever the clocks
    /// of the other logins were. Call it after `opened` has been stored. Then the last of several concurrent logins
    /// sees the sessions of all of them.
    ///
    /// Also ends the sessions in the index that have expired. So the index of an epoch hardly grows beyond the limit.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`]; [`Error::ConcurrentUpdate`] if other
    /// requests keep changing the sessions.
    pub async fn apply_limit(&self, opened: &Session, limit: usize, now: Timestamp, budget: &Budget) -> Result<()> {
        for _ in 0..MAX_PLANS {
            let mut others = self.indexed(&opened.user_id, opened.epoch, budget).await?;
            others.retain(|id| *id != opened.id);
            if others.len() < limit {
                return Ok(());
            }
            let active = self.read_active(&opened.user_id, &others, opened.epoch, now, budget).await?;
            let plan = Plan::new(opened, limit, others, active);
            let failed = transact(&self.client, &self.writes(opened, &plan, now)?, budget).await?;
            if failed.is_empty() {
                for id in &plan.oldest {
                    events::session_ended("limit", &opened.user_id, id);
                }
                return Ok(());
            }
            // `opened` has ended: a newer login applies the limit itself, or all sessions of the epoch have ended.
            if failed.contains(&0) {
                return Ok(());
            }
        }
        Err(Error::ConcurrentUpdate("the sessions of the user were changed at the same time".into()))
    }

    /// Returns the writes of a plan: checks that `opened` and the recent sessions are still in the index, and ends the
    /// others.
    fn writes(&self, opened: &Session, plan: &Plan, now: Timestamp) -> Result<Vec<TransactWriteItem>> {
        let mut writes = Vec::new();
        for id in [&opened.id].into_iter().chain(&plan.recent) {
            let check = ConditionCheck::builder()
                .table_name(&self.table)
                .set_key(Some(Item::from(session_key(&opened.user_id, id))))
                .condition_expression(INDEXED)
                .expression_attribute_values(":epoch", prefix(opened.epoch))
                .build()
                .map_err(Error::unexpected)?;
            writes.push(TransactWriteItem::builder().condition_check(check).build());
        }
        for id in plan.oldest.iter().chain(&plan.expired) {
            let end = self.end_indexed(&opened.user_id, id, opened.epoch, now)?;
            writes.push(TransactWriteItem::builder().update(end).build());
        }
        Ok(writes)
    }

    /// Returns an update that ends a session of the index. Keeps an earlier `ended_at`. A record in the index can have
    /// one only if another version of the service wrote it.
    fn end_indexed(&self, user: &UserId, session: &SessionId, epoch: u64, now: Timestamp) -> Result<Update> {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(Item::from(session_key(user, session))))
            .update_expression("SET ended_at = if_not_exists(ended_at, :now), #ttl = :ttl REMOVE active_key")
            .condition_expression(INDEXED)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":epoch", prefix(epoch))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":ttl", number(now + RETENTION))
            .build()
            .map_err(Error::unexpected)
    }

    /// Returns the ids of the sessions in the index that belong to this epoch.
    async fn indexed(&self, user: &UserId, epoch: u64, budget: &Budget) -> Result<Vec<SessionId>> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX)
            .consistent_read(true)
            .key_condition_expression("user_id = :user AND begins_with(active_key, :epoch)")
            .expression_attribute_values(":user", text(user.as_str()))
            .expression_attribute_values(":epoch", prefix(epoch));
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let page = send(query.clone().set_exclusive_start_key(start).send(), budget).await?;
            for item in page.items.unwrap_or_default() {
                let id = item.get("session_id").and_then(|id| id.as_s().ok());
                found.extend(id.and_then(|id| SessionId::parse(id.as_str()).ok()));
            }
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Reads sessions and returns those that are active. The index does not know when a session expires, because then a
    /// renewal would have to write the index, too.
    async fn read_active(
        &self,
        user: &UserId,
        ids: &[SessionId],
        epoch: u64,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Session>> {
        let mut active = Vec::new();
        for ids in ids.chunks(MAX_KEYS) {
            let keys = ids.iter().map(|id| (self.table.as_str(), Item::from(session_key(user, id))));
            let mut found = batch_get(&self.client, keys, budget).await?;
            let sessions = found.remove(&self.table).unwrap_or_default().into_iter().filter_map(readable_session);
            active.extend(sessions.filter(|session| session.is_active(epoch, now)));
        }
        Ok(active)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use serde_json::json;
    use testbed::{Fault, Tables};

    use super::*;
    use crate::config::Environment;
    use crate::session::{Lifetimes, NewSession, Source};
    use crate::store::sessions::new_item;
    use crate::store::{Client, connect};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn kim() -> UserId {
        UserId::parse("0").unwrap()
    }

    fn over(env: &Environment) -> Sessions {
        Sessions::from_env(connect(env).unwrap(), env).unwrap()
    }

    fn new(epoch: u64, persistent: bool, now: Timestamp) -> Session {
        let env = Environment::new(testbed::settings(&[]));
        let new = NewSession { user_id: &kim(), epoch, persistent, kid: "k", source: Source::default() };
        Lifetimes::from_env(&env).unwrap().open(new, now).unwrap()
    }

    /// A user with sessions.
    struct World {
        tables: Tables,
        sessions: Sessions,
    }

    impl World {
        async fn new() -> Self {
            let tables = Tables::new().await;
            let sessions = over(&Environment::new(tables.settings(&[])));
            Self { tables, sessions }
        }

        async fn open(&self, epoch: u64, persistent: bool, now: Timestamp) -> Session {
            let session = new(epoch, persistent, now);
            self.sessions.open(&session, &Budget::new(None)).await.unwrap();
            session
        }

        async fn apply_limit(&self, opened: &Session, limit: usize, now: Timestamp) {
            self.sessions.apply_limit(opened, limit, now, &Budget::new(None)).await.unwrap();
        }

        async fn active(&self, epoch: u64, now: Timestamp) -> Vec<SessionId> {
            let active = self.sessions.active(&kim(), epoch, now, &Budget::new(None)).await.unwrap();
            active.into_iter().map(|session| session.id).collect()
        }
    }

    #[tokio::test]
    async fn only_active_sessions_of_the_epoch_are_listed() {
        let world = World::new().await;
        let (first, second) = (world.open(2, true, NOW).await, world.open(2, true, after(1)).await);
        let ended = world.open(2, true, after(2)).await;
        world.sessions.end(&kim(), &ended.id, after(3), &Budget::new(None)).await.unwrap();
        for epoch in [1, 3, 22] {
            world.open(epoch, true, after(3)).await;
        }
        world.open(2, false, NOW).await;
        assert_eq!(world.active(2, after(DAY)).await, [second.id, first.id], "the last one has expired");
        assert!(world.active(4, NOW).await.is_empty());
    }

    /// R77: whatever the clocks of other instances are.
    #[tokio::test]
    async fn a_login_never_ends_the_session_that_it_has_opened() {
        for limit in [1, 3] {
            let world = World::new().await;
            for _ in 0..limit {
                world.open(1, true, after(30)).await;
            }
            let opened = world.open(1, true, NOW).await;
            world.apply_limit(&opened, limit, NOW).await;
            let active = world.active(1, NOW).await;
            assert!(active.contains(&opened.id) && active.len() == limit, "{limit}: {active:?}");
        }
    }

    fn plan(oldest: &[&Session], recent: &[&Session]) -> Plan {
        let ids = |sessions: &[&Session]| sessions.iter().map(|session| session.id.clone()).collect();
        Plan { oldest: ids(oldest), expired: Vec::new(), recent: ids(recent) }
    }

    /// R77: the plans of other logins were written between the read and the write of this one.
    #[tokio::test]
    async fn a_plan_is_not_carried_out_if_one_of_its_sessions_has_ended_meanwhile() {
        let world = World::new().await;
        let (one, two) = (world.open(1, true, NOW).await, world.open(1, true, NOW).await);
        let (three, opened) = (world.open(1, true, NOW).await, world.open(1, true, NOW).await);
        world.sessions.end(&kim(), &one.id, NOW, &Budget::new(None)).await.unwrap();
        for (ended, session, plan) in [
            ("the new session", &one, plan(&[&two], &[])),
            ("a session to end", &opened, plan(&[&one, &two], &[])),
            ("a session to keep", &opened, plan(&[&two], &[&three, &one])),
        ] {
            let writes = world.sessions.writes(session, &plan, NOW).unwrap();
            let failed = transact(&world.sessions.client, &writes, &Budget::new(None)).await.unwrap();
            assert_eq!(failed.len(), 1, "{ended}");
            assert_eq!(failed[0] == 0, ended == "the new session");
            assert_eq!(world.active(1, NOW).await.len(), 3, "{ended}");
        }
    }

    /// `DELETE /sessions` has moved the oldest session to the next epoch after the login made its plan.
    #[tokio::test]
    async fn a_session_that_was_kept_by_the_end_of_all_others_is_not_ended_by_a_login() {
        let world = World::new().await;
        let (oldest, opened) = (world.open(1, true, NOW).await, world.open(1, true, NOW).await);
        let writes = world.sessions.writes(&opened, &plan(&[&oldest], &[]), NOW).unwrap();
        let mut kept = world.tables.items("SessionsTable");
        let kept = kept.iter_mut().find(|item| item["session_id"]["S"] == oldest.id.as_str()).unwrap();
        kept["epoch"] = json!({ "N": "2" });
        kept["active_key"] = json!({ "S": active_key(2, oldest.created_at) });
        world.tables.put("SessionsTable", kept);
        assert_eq!(transact(&world.sessions.client, &writes, &Budget::new(None)).await.unwrap(), [1]);
        assert_eq!(world.active(2, NOW).await, [oldest.id]);
        world.apply_limit(&opened, 1, NOW).await;
        assert_eq!(world.active(1, NOW).await, [opened.id]);
    }

    /// F40: an earlier version ended the session and did not know the index.
    #[tokio::test]
    async fn an_ended_session_that_is_still_in_the_index_loses_its_place() {
        let world = World::new().await;
        world.open(1, true, NOW).await;
        let mut record = world.tables.items("SessionsTable").remove(0);
        record["ended_at"] = json!({ "N": "1799999999" });
        world.tables.put("SessionsTable", &record);
        let opened = world.open(1, true, after(1)).await;
        world.apply_limit(&opened, 1, after(1)).await;
        assert_eq!(world.sessions.indexed(&kim(), 1, &Budget::new(None)).await.unwrap(), [opened.id]);
        let items = world.tables.items("SessionsTable");
        assert!(items.iter().any(|item| item["ended_at"]["N"] == "1799999999"), "the first end stands");
    }

    #[tokio::test]
    async fn a_login_whose_session_has_ended_meanwhile_ends_no_session() {
        let world = World::new().await;
        world.open(1, true, NOW).await;
        world.open(1, true, NOW).await;
        let opened = world.open(1, true, NOW).await;
        world.sessions.end(&kim(), &opened.id, NOW, &Budget::new(None)).await.unwrap();
        world.apply_limit(&opened, 1, NOW).await;
        assert_eq!(world.active(1, NOW).await.len(), 2);
    }

    /// DynamoDB returns the records of a batch in any order.
    #[tokio::test]
    async fn only_sessions_of_the_last_minute_are_checked() {
        let sessions = [0, 100, 140, 170, 230].map(|secs| new(1, true, after(secs)));
        let opened = new(1, true, after(200));
        let in_another_order = [3, 1, 4, 0, 2].map(|position| sessions[position].clone());
        let plan = Plan::new(&opened, 5, Vec::new(), in_another_order.to_vec());
        assert_eq!(plan.oldest, [sessions[0].id.clone()]);
        assert_eq!(plan.recent, [4, 3, 2].map(|number| sessions[number].id.clone()));
    }

    #[tokio::test]
    async fn a_login_ends_expired_sessions_before_active_ones_and_frees_their_place() {
        let world = World::new().await;
        let active = world.open(1, true, NOW).await;
        let expired = world.open(1, false, after(1)).await;
        let opened = world.open(1, true, after(2 * DAY)).await;
        world.apply_limit(&opened, 2, after(2 * DAY)).await;
        assert_eq!(world.active(1, after(2 * DAY)).await, [opened.id, active.id]);
        let record = |item: &&serde_json::Value| item["session_id"]["S"] == expired.id.as_str();
        let items = world.tables.items("SessionsTable");
        assert!(items.iter().find(record).unwrap().get("ended_at").is_some());
    }

    /// F21.
    #[tokio::test]
    async fn an_unreadable_session_is_not_listed_and_loses_its_place() {
        let world = World::new().await;
        world.open(1, true, NOW).await;
        let mut corrupt = world.tables.items("SessionsTable").remove(0);
        corrupt["gen"] = json!({ "S": "two" });
        world.tables.put("SessionsTable", &corrupt);
        assert!(world.active(1, NOW).await.is_empty());
        let opened = world.open(1, true, NOW).await;
        world.apply_limit(&opened, 1, NOW).await;
        assert_eq!(world.sessions.indexed(&kim(), 1, &Budget::new(None)).await.unwrap(), [opened.id]);
    }

    /// A transaction has at most 100 items. All sessions are recent, so that there are as many checks as possible.
    #[tokio::test]
    async fn a_limit_that_was_lowered_by_hundreds_takes_effect_after_several_logins() {
        let world = World::new().await;
        for _ in 0..150 {
            world.open(1, true, NOW).await;
        }
        for left in [72, 3] {
            let opened = world.open(1, true, after(1)).await;
            world.apply_limit(&opened, 3, after(1)).await;
            assert_eq!(world.active(1, after(1)).await.len(), left);
        }
    }

    #[tokio::test]
    async fn all_pages_of_the_index_are_read() {
        let (one, other) = (new(1, true, NOW), new(1, true, NOW));
        let key = Item::from(session_key(&kim(), &one.id));
        let items = [&one, &other].map(|session| new_item(session).unwrap());
        let [first, last] = items.clone();
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
        let records = mock!(Client::batch_get_item)
            .match_requests(|request| request.request_items().unwrap()["sessions"].consistent_read() == Some(true))
            .then_output(move || BatchGetItemOutput::builder().responses("sessions", items.to_vec()).build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&page, &end, &records]);
        let sessions = Sessions { client, table: "sessions".to_owned() };
        let active = sessions.active(&kim(), 1, NOW, &Budget::new(None)).await.unwrap();
        assert_eq!((active.len(), page.num_calls(), end.num_calls(), records.num_calls()), (2, 1, 1, 1));
    }

    /// The session of a login that the limit ended has no `active_key` any more, so that no read meets it.
    #[tokio::test]
    async fn what_a_list_and_a_limit_cost_does_not_grow_with_the_sessions_that_have_ended() {
        let mut costs = Vec::new();
        for ended in [10, 2000] {
            let tables = Tables::new().await;
            let (settings, meter) = tables.metered().await;
            let sessions = over(&Environment::new(settings));
            for number in 0..ended {
                let mut session = new(1, true, NOW);
                session.ended_at = (number % 2 == 0).then_some(NOW);
                session.epoch = if number % 2 == 0 { 2 } else { 1 };
                tables.put("SessionsTable", &ended_record(&session));
            }
            for _ in 0..3 {
                sessions.open(&new(2, true, NOW), &Budget::new(None)).await.unwrap();
            }
            let opened = new(2, true, NOW);
            sessions.open(&opened, &Budget::new(None)).await.unwrap();
            let _ = meter.take();
            sessions.active(&kim(), 2, NOW, &Budget::new(None)).await.unwrap();
            let list = meter.take();
            sessions.apply_limit(&opened, 3, NOW, &Budget::new(None)).await.unwrap();
            costs.push((list, meter.take()));
        }
        assert_eq!(costs[0], costs[1]);
        let names = |calls: &[(String, f64)]| calls.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&costs[0].0), ["Query", "BatchGetItem"]);
        assert_eq!(names(&costs[0].1), ["Query", "BatchGetItem", "TransactWriteItems"]);
    }

    /// Returns the record of a session that was ended on its own, or together with all others of its epoch.
    fn ended_record(session: &Session) -> serde_json::Value {
        let mut record = json!({
            "user_id": { "S": "0" }, "session_id": { "S": session.id.as_str() }, "v": { "N": "1" },
            "epoch": { "N": session.epoch.to_string() }, "persistent": { "BOOL": true },
            "created_at": { "N": "1800000000" }, "gen": { "N": "1" }, "issued_at": { "N": "1800000000" },
            "kid": { "S": "k" }, "idle_exp": { "N": "1800604800" }, "abs_exp": { "N": "1802592000" },
        });
        match session.ended_at {
            Some(_) => record["ended_at"] = json!({ "N": "1800000000" }),
            None => record["active_key"] = json!({ "S": active_key(session.epoch, session.created_at) }),
        }
        record
    }

    /// F16.
    #[tokio::test]
    async fn an_outage_is_an_error_and_ends_no_session() {
        for operation in ["Query", "BatchGetItem", "TransactWriteItems"] {
            let world = World::new().await;
            world.open(1, true, NOW).await;
            let opened = world.open(1, true, NOW).await;
            let throttled = [Fault::Refuse(400, "ThrottlingException"); 9];
            let failing = over(&Environment::new(world.tables.failing(&[(operation, &throttled)]).await));
            let outage = failing.apply_limit(&opened, 1, NOW, &Budget::new(None)).await;
            assert!(matches!(outage, Err(Error::Unavailable(_))), "{operation}: {outage:?}");
            assert_eq!(world.active(1, NOW).await.len(), 2, "{operation}");
        }
    }
}
