//! What spans the users table and the sessions table.
//!
//! Reads a user and a session in one call, and changes both in one transaction. A session is active only in the epoch
//! of its user, so that one write to the user ends all sessions (R76).

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};

use super::active::active_key;
use super::client::{Client, batch_get, transact};
use super::records::{Item, number, text};
use super::sessions::{END, NOT_ENDED, RETENTION, new_item, readable_session, session_key};
use super::users::{Credentials, User, login_key, read_user, user_key};
use crate::budget::Budget;
use crate::clock::Timestamp;
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

    /// Ends all sessions of the user, on condition that `session` is one of them: raises the epoch of the user and ends
    /// `session`, in one transaction (R76). Returns `false` if one of the records was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_all_sessions(
        &self,
        user: &User,
        session: &Session,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<bool> {
        self.transact([write(self.raise_epoch(user))?, write(self.end(session, user, now))?], budget).await
    }

    /// Ends all sessions of the user except `session`: raises the epoch of both records in one transaction (R76).
    /// Returns `false` if one of the records was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_other_sessions(&self, user: &User, session: &Session, budget: &Budget) -> Result<bool> {
        self.transact([write(self.raise_epoch(user))?, write(self.keep(session, user))?], budget).await
    }

    /// Replaces the password, ends all sessions of the user and stores the session `opened`, in one transaction (R16).
    /// `opened` must be of the user's next epoch, and `session` must still be active. Returns `false` if one of the
    /// records was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or [`Error::Unexpected`].
    pub async fn change_password(&self, change: PasswordChange<'_>, now: Timestamp, budget: &Budget) -> Result<bool> {
        let PasswordChange { user, session, opened, old, new } = change;
        let [raise, replace] = new_password(&self.users_table, user, old, new)?;
        let raise = raise
            .condition_expression("session_epoch = :epoch AND password_version = :version AND disabled = :disabled")
            .expression_attribute_values(":disabled", AttributeValue::Bool(false));
        let open = Put::builder()
            .table_name(&self.sessions_table)
            .set_item(Some(new_item(opened)?))
            .condition_expression("attribute_not_exists(session_id)")
            .build()
            .map_err(Error::unexpected)?;
        let writes = [
            write(raise)?,
            write(replace)?,
            write(self.end(session, user, now))?,
            TransactWriteItem::builder().put(open).build(),
        ];
        self.transact(writes, budget).await
    }

    fn raise_epoch(&self, user: &User) -> UpdateBuilder {
        raise_epoch(&self.users_table, user)
    }

    /// Ends a session of the user's epoch that has not ended yet.
    fn end(&self, session: &Session, user: &User, now: Timestamp) -> UpdateBuilder {
        update(&self.sessions_table, Item::from(session_key(&session.user_id, &session.id)))
            .update_expression(END)
            .condition_expression(format!("{NOT_ENDED} AND epoch = :epoch"))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":ttl", number(now + RETENTION))
            .expression_attribute_values(":epoch", number(user.session_epoch))
    }

    /// Moves a session to the next epoch, so that it stays active.
    fn keep(&self, session: &Session, user: &User) -> UpdateBuilder {
        let next = user.session_epoch.saturating_add(1);
        let keep = update(&self.sessions_table, Item::from(session_key(&session.user_id, &session.id)))
            .update_expression("SET epoch = :next, active_key = :key")
            .condition_expression("epoch = :epoch AND attribute_not_exists(ended_at)")
            .expression_attribute_values(":key", text(active_key(next, session.created_at)));
        with_epochs(keep, user)
    }

    async fn transact(&self, writes: impl IntoIterator<Item = TransactWriteItem>, budget: &Budget) -> Result<bool> {
        let writes: Vec<_> = writes.into_iter().collect();
        Ok(transact(&self.client, &writes, budget).await?.is_empty())
    }
}

/// A change of password.
#[derive(Clone, Copy)]
pub struct PasswordChange<'a> {
    /// The user, as read.
    pub user: &'a User,
    /// The session that asks for the change.
    pub session: &'a Session,
    /// The new session.
    pub opened: &'a Session,
    /// The stored credentials, as read.
    pub old: &'a Credentials,
    /// The hash of the new password.
    pub new: &'a PasswordHash,
}

/// Returns the update that moves the user to the next epoch, which ends all sessions.
pub(super) fn raise_epoch(users_table: &str, user: &User) -> UpdateBuilder {
    let raise = update(users_table, user_item_key(&user.profile.id))
        .update_expression("SET session_epoch = :next")
        .condition_expression("session_epoch = :epoch");
    with_epochs(raise, user)
}

/// Returns the two updates that set a new password and move the user to the next epoch: of the profile and of the
/// credentials. Both change nothing if the password was changed since it was read.
fn new_password(users_table: &str, user: &User, old: &Credentials, new: &PasswordHash) -> Result<[UpdateBuilder; 2]> {
    let (version, next) = (number(old.password_version), number(old.password_version.saturating_add(1)));
    let raise = update(users_table, user_item_key(&user.profile.id))
        .update_expression("SET session_epoch = :next, password_version = :next_version")
        .condition_expression("session_epoch = :epoch AND password_version = :version")
        .expression_attribute_values(":version", version.clone())
        .expression_attribute_values(":next_version", next.clone());
    let replace = update(users_table, Item::from([("pk".into(), text(login_key(user.login_name()?.as_str())))]))
        .update_expression("SET password_hash = :new, password_version = :next_version")
        .expression_attribute_values(":version", version)
        .expression_attribute_values(":next_version", next)
        .expression_attribute_values(":new", text(new.expose()));
    let replace = match &old.password_hash {
        Some(hash) => replace
            .condition_expression("password_hash = :old AND password_version = :version")
            .expression_attribute_values(":old", text(hash.expose())),
        None => replace.condition_expression("attribute_not_exists(password_hash) AND password_version = :version"),
    };
    Ok([with_epochs(raise, user), replace])
}

pub(super) fn write(update: UpdateBuilder) -> Result<TransactWriteItem> {
    let update = update.build().map_err(Error::unexpected)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

pub(super) fn update(table: &str, key: Item) -> UpdateBuilder {
    Update::builder().table_name(table).set_key(Some(key))
}

/// Binds `:epoch` to the user's epoch and `:next` to the one after it.
pub(super) fn with_epochs(update: UpdateBuilder, user: &User) -> UpdateBuilder {
    update
        .expression_attribute_values(":epoch", number(user.session_epoch))
        .expression_attribute_values(":next", number(user.session_epoch.saturating_add(1)))
}

pub(super) fn user_item_key(id: &UserId) -> Item {
    Item::from([("pk".into(), text(user_key(id)))])
}
