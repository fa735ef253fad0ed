//! What spans the users table and the sessions table.
//!
//! Reads a user and a session in one call, and changes both in one transaction. A session is active only in the epoch
//! of its user, so that one write to the user ends all sessions (R76).

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use super::client::{Client, batch_get, transact};
use super::records::{Item, number, text};
use super::sessions::{readable_session, session_key};
use super::users::{Credentials, LoginName, Profile, User, login_key, read_user, user_key};
use crate::budget::Budget;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};
use crate::password::PasswordHash;
use crate::session::Session;

/// The users table and the sessions table.
#[derive(Clone, Debug)]
pub struct Accounts {
    client: Client,
    users_table: String,
    sessions_table: String,
}

impl Accounts {
    /// Reads `USERS_TABLE` and `SESSIONS_TABLE`.
    ///
    /// # Errors
    /// [`Error::Setting`] if one is not set or both are the same.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { client, users_table: env.table("USERS_TABLE")?, sessions_table: env.table("SESSIONS_TABLE")? })
    }

    /// Returns a user and a session from one strongly consistent read (R73), or `None` for each that does not exist. An
    /// unreadable session counts as ended and is `None`, too (F21).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], or [`Error::Corrupt`] if the user cannot be read.
    pub async fn find(
        &self,
        user_id: &UserId,
        session_id: &SessionId,
        budget: &Budget,
    ) -> Result<(Option<User>, Option<Session>)> {
        let keys = [
            (self.users_table.as_str(), user_item_key(user_id)),
            (self.sessions_table.as_str(), Item::from(session_key(user_id, session_id))),
        ];
        let mut found = batch_get(&self.client, keys, budget).await?;
        let mut take = |table| found.remove(table).and_then(|mut items| items.pop());
        let user = take(&self.users_table).map(|item| read_user(item, user_id)).transpose()?;
        Ok((user, take(&self.sessions_table).and_then(readable_session)))
    }

    /// Ends all sessions of the user except `session`: raises the epoch of both records in one transaction (R76).
    /// Returns `false` if one of the records was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_other_sessions(&self, user: &User, session: &Session, budget: &Budget) -> Result<bool> {
        let raise = update(&self.users_table, user_item_key(&user.profile.id))
            .update_expression("SET session_epoch = :next")
            .condition_expression("session_epoch = :epoch");
        self.transact([with_next_epoch(raise, user), self.keep(session, user)], budget).await
    }

    /// Replaces the password and ends all sessions of the user except `session`, in one transaction (R16). Returns
    /// `false` if one of the records was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or [`Error::Unexpected`].
    pub async fn change_password(
        &self,
        user: &User,
        session: &Session,
        old: &Credentials,
        new: &PasswordHash,
        budget: &Budget,
    ) -> Result<bool> {
        let (version, next) = (number(old.password_version), number(old.password_version.saturating_add(1)));
        let Profile { id, user_id, .. } = &user.profile;
        let name = LoginName::parse(user_id).map_err(|_| Error::Corrupt("user record without a login name".into()))?;
        let raise = update(&self.users_table, user_item_key(id))
            .update_expression("SET session_epoch = :next, password_version = :next_version")
            .condition_expression("session_epoch = :epoch AND password_version = :version AND disabled = :disabled")
            .expression_attribute_values(":disabled", AttributeValue::Bool(false))
            .expression_attribute_values(":version", version.clone())
            .expression_attribute_values(":next_version", next.clone());
        let replace = update(&self.users_table, Item::from([("pk".into(), text(login_key(name.as_str())))]))
            .update_expression("SET password_hash = :new, password_version = :next_version")
            .condition_expression("password_hash = :old AND password_version = :version")
            .expression_attribute_values(":version", version)
            .expression_attribute_values(":next_version", next)
            .expression_attribute_values(":old", text(old.password_hash.as_str()))
            .expression_attribute_values(":new", text(new.as_str()));
        self.transact([with_next_epoch(raise, user), replace, self.keep(session, user)], budget).await
    }

    /// Moves a session to the next epoch, so that it stays active.
    fn keep(&self, session: &Session, user: &User) -> UpdateBuilder {
        let keep = update(&self.sessions_table, Item::from(session_key(&session.user_id, &session.id)))
            .update_expression("SET epoch = :next")
            .condition_expression("epoch = :epoch AND attribute_not_exists(ended_at)");
        with_next_epoch(keep, user)
    }

    async fn transact(&self, updates: impl IntoIterator<Item = UpdateBuilder>, budget: &Budget) -> Result<bool> {
        let write = |update: UpdateBuilder| {
            let update = update.build().map_err(Error::unexpected)?;
            Ok::<_, Error>(TransactWriteItem::builder().update(update).build())
        };
        let writes = updates.into_iter().map(write).collect::<Result<Vec<_>>>()?;
        Ok(transact(&self.client, &writes, budget).await?.is_empty())
    }
}

fn update(table: &str, key: Item) -> UpdateBuilder {
    Update::builder().table_name(table).set_key(Some(key))
}

/// Binds `:epoch` to the user's epoch and `:next` to the one after it.
fn with_next_epoch(update: UpdateBuilder, user: &User) -> UpdateBuilder {
    update
        .expression_attribute_values(":epoch", number(user.session_epoch))
        .expression_attribute_values(":next", number(user.session_epoch.saturating_add(1)))
}

fn user_item_key(id: &UserId) -> Item {
    Item::from([("pk".into(), text(user_key(id)))])
}
