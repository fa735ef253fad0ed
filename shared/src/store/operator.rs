//! What an operator does to users and sessions: list, search, change, delete and erase.
//!
//! No function calls this module, so no function needs these rights. The rules for names, addresses and sessions are
//! those of [`users`](super::users) and [`accounts`](super::accounts). Every write has a condition, so that two
//! operators cannot overwrite each other.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::builders::DeleteBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, DeleteRequest, TransactWriteItem, WriteRequest};

use super::accounts::{raise_epoch, update, user_item_key, with_epochs, write};
use super::client::{MAX_KEYS, batch_get, send, transact};
use super::records::{Item, from_item, number, text, to_item};
use super::sessions::{Sessions, readable_session};
use super::users::{
    AddressOwner, Credentials, LoginName, Profile, User, Users, canonical_address, email_key, login_key,
    read_credentials, read_user, user_key, without_blank_ends,
};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::password::PasswordHash;
use crate::session::Session;

/// The most deletions in one `BatchWriteItem`.
const MAX_DELETIONS: usize = 25;

/// A part of a table. Several workers read several segments at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The number of the segment, from 0.
    pub number: i32,
    /// How many segments the table has.
    pub of: i32,
}

impl Segment {
    /// The whole table as one segment.
    pub const WHOLE: Self = Self { number: 0, of: 1 };
}

/// The place in a segment at which the next page starts.
#[derive(Clone, Debug)]
pub struct Cursor(Item);

/// One page of a segment.
#[derive(Debug)]
pub struct Page<T> {
    /// The records of this page.
    pub records: Vec<T>,
    /// The next page, or `None` after the last one.
    pub next: Option<Cursor>,
}

/// A record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The key of the record.
    pub key: String,
    /// What is wrong with it.
    pub error: Error,
}

/// Who has an id, a login name and an e-mail address.
#[derive(Debug, Default)]
pub struct Owners {
    /// The profile under the id. The inner `None` is one that cannot be read.
    pub id: Option<Option<Profile>>,
    /// The user with the login name.
    pub login_name: Option<UserId>,
    /// The user with the address.
    pub email: Option<UserId>,
}

impl Owners {
    /// Returns what another user has: `id`, `login name` or `e-mail address`.
    #[must_use]
    pub const fn taken(&self) -> Option<&'static str> {
        match self {
            Self { id: Some(_), .. } => Some("id"),
            Self { login_name: Some(_), .. } => Some("login name"),
            Self { email: Some(_), .. } => Some("e-mail address"),
            _ => None,
        }
    }
}

/// A user with the credentials.
#[derive(Debug)]
pub struct UserRecord {
    /// The user.
    pub user: User,
    /// The credentials of the login name.
    pub credentials: Credentials,
}

impl Users {
    /// Returns the user with this login name and the credentials, or `None`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], or [`Error::Corrupt`] if a record is missing or unreadable.
    pub async fn find_by_login_name(&self, name: &LoginName, budget: &Budget) -> Result<Option<UserRecord>> {
        let Some(item) = self.item(login_key(name.as_str()), budget).await? else { return Ok(None) };
        let credentials = read_credentials(item)?;
        let user = self.find(&credentials.id, budget).await?;
        let user = user.ok_or_else(|| Error::Corrupt("login record without a user".into()))?;
        Ok(Some(UserRecord { user, credentials }))
    }

    /// Returns the user with this e-mail address, or `None`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if it is not an address; [`Error::Unavailable`], [`Error::Misconfigured`] or
    /// [`Error::Corrupt`].
    pub async fn find_by_email(&self, address: &str, budget: &Budget) -> Result<Option<User>> {
        let Some(item) = self.item(email_key(&canonical_address(address)?), budget).await? else { return Ok(None) };
        self.find(&from_item::<AddressOwner>(item, "e-mail")?.id, budget).await
    }

    /// Returns the credentials of a user, or `None` if they are missing.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn credentials_of(&self, user: &User, budget: &Budget) -> Result<Option<Credentials>> {
        let item = self.item(login_key(user.login_name()?.as_str()), budget).await?;
        let credentials = item.map(read_credentials).transpose()?;
        Ok(credentials.filter(|found| found.id == user.profile.id))
    }

    /// Returns who has the id, the login name and the e-mail address of each profile.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for an invalid name or address; [`Error::Unavailable`], [`Error::Misconfigured`] or
    /// [`Error::Unexpected`].
    pub async fn owners(&self, profiles: &[&Profile], budget: &Budget) -> Result<Vec<Owners>> {
        let keys_of = |profile: &&Profile| {
            let name = LoginName::parse(&profile.user_id)?;
            let address = canonical_address(&profile.email)?;
            Ok([user_key(&profile.id), login_key(name.as_str()), email_key(&address)])
        };
        let keys = profiles.iter().map(keys_of).collect::<Result<Vec<_>>>()?;
        let mut distinct: Vec<_> = keys.iter().flatten().cloned().collect();
        distinct.sort();
        distinct.dedup();
        let mut found = HashMap::new();
        for keys in distinct.chunks(MAX_KEYS) {
            for item in self.items(keys.iter().cloned(), budget).await? {
                let key = item.get("pk").and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
                found.insert(key, item);
            }
        }
        let owner = |key: &String| {
            let id = found.get(key)?.get("id")?.as_s().ok()?;
            UserId::parse(id.clone()).ok()
        };
        let owners = |[user, login, email]: &[String; 3]| Owners {
            id: found.get(user).map(|item| read_any_user(item.clone()).ok().map(|user| user.profile)),
            login_name: owner(login),
            email: owner(email),
        };
        Ok(keys.iter().map(owners).collect())
    }

    /// Returns the credentials of many users. A user without readable credentials is missing in the result.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn credentials_of_all(&self, users: &[User], budget: &Budget) -> Result<HashMap<UserId, Credentials>> {
        let mut found = HashMap::new();
        for users in users.chunks(MAX_KEYS) {
            let names = users.iter().filter_map(|user| user.login_name().ok());
            let items = self.items(names.map(|name| login_key(name.as_str())), budget).await?;
            let credentials = items.into_iter().filter_map(|item| from_item::<Credentials>(item, "login").ok());
            found.extend(credentials.map(|credentials| (credentials.id.clone(), credentials)));
        }
        Ok(found)
    }

    /// Returns one page of all users.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn page(
        &self,
        segment: Segment,
        after: Option<Cursor>,
        budget: &Budget,
    ) -> Result<Page<Result<User, Unreadable>>> {
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression("begins_with(pk, :user)")
            .expression_attribute_values(":user", text("user#"))
            .segment(segment.number)
            .total_segments(segment.of)
            .set_exclusive_start_key(after.map(|cursor| cursor.0));
        let page = send(scan.send(), budget).await?;
        let records = page.items.unwrap_or_default().into_iter().map(read_any_user).collect();
        Ok(Page { records, next: page.last_evaluated_key.map(Cursor) })
    }

    /// Returns one page of the users whose login name or e-mail address begins with this text, in any spelling. A user
    /// of whom both begin with it may appear on two pages.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn search(
        &self,
        beginning: &str,
        after: Option<Cursor>,
        budget: &Budget,
    ) -> Result<Page<Result<User, Unreadable>>> {
        // The beginning of a valid name need not be valid, such as one that ends with a joiner.
        let beginning = LoginName::parse(beginning).map_or(beginning.to_lowercase(), |name| name.as_str().to_owned());
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(pk, :login) OR begins_with(pk, :email)")
            .projection_expression("id")
            .expression_attribute_values(":login", text(login_key(&beginning)))
            .expression_attribute_values(":email", text(email_key(&beginning)))
            .set_exclusive_start_key(after.map(|cursor| cursor.0));
        let page = send(scan.send(), budget).await?;
        let mut ids: Vec<_> =
            page.items.unwrap_or_default().into_iter().filter_map(|mut item| item.remove("id")).collect();
        ids.sort_by(|one, other| one.as_s().ok().cmp(&other.as_s().ok()));
        ids.dedup();
        let mut records = Vec::new();
        for ids in ids.chunks(MAX_KEYS) {
            let keys = ids.iter().filter_map(|id| id.as_s().ok()).map(|id| format!("user#{id}"));
            records.extend(self.items(keys, budget).await?.into_iter().map(read_any_user));
        }
        Ok(Page { records, next: page.last_evaluated_key.map(Cursor) })
    }

    /// Replaces the password and ends all sessions. Returns `false` if the user, the login name or the password was
    /// changed since it was read. Afterwards, both records have the same version of the password, also if they did not
    /// before.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or [`Error::Unexpected`].
    pub async fn set_password(
        &self,
        user: &User,
        old: &Credentials,
        new: &PasswordHash,
        budget: &Budget,
    ) -> Result<bool> {
        let next = number(user.password_version.max(old.password_version).saturating_add(1));
        let raise = update(&self.table, user_item_key(&user.profile.id))
            .update_expression("SET session_epoch = :next, password_version = :next_version")
            .condition_expression("session_epoch = :epoch AND password_version = :version AND userId = :name")
            .expression_attribute_values(":version", number(user.password_version))
            .expression_attribute_values(":next_version", next.clone())
            .expression_attribute_values(":name", text(&user.profile.user_id));
        // The login name may belong to another user by now.
        let replace = update(&self.table, Item::from([("pk".into(), text(login_key(user.login_name()?.as_str())))]))
            .update_expression("SET password_hash = :new, password_version = :next_version")
            .condition_expression(format!("id = :id AND password_version = :version AND {}", same_hash(old)))
            .expression_attribute_values(":id", text(user.profile.id.as_str()))
            .expression_attribute_values(":version", number(old.password_version))
            .expression_attribute_values(":next_version", next)
            .expression_attribute_values(":new", text(new.expose()));
        let replace = match &old.password_hash {
            Some(hash) => replace.expression_attribute_values(":old", text(hash.expose())),
            None => replace,
        };
        let writes = [write(with_epochs(raise, user))?, write(replace)?];
        Ok(transact(&self.client, &writes, budget).await?.is_empty())
    }

    /// Disables or enables a user. Disabling ends all sessions for good (R76). Returns `false` if the user was changed
    /// since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn set_disabled(&self, user: &User, disabled: bool, budget: &Budget) -> Result<bool> {
        let expression =
            if disabled { "SET disabled = :disabled, session_epoch = :next" } else { "SET disabled = :disabled" };
        let change = update(&self.table, user_item_key(&user.profile.id))
            .update_expression(expression)
            .condition_expression("disabled = :before AND session_epoch = :epoch")
            .expression_attribute_values(":disabled", AttributeValue::Bool(disabled))
            .expression_attribute_values(":before", AttributeValue::Bool(user.disabled))
            .expression_attribute_values(":epoch", number(user.session_epoch));
        let change = if disabled {
            change.expression_attribute_values(":next", number(user.session_epoch.saturating_add(1)))
        } else {
            change
        };
        Ok(transact(&self.client, &[write(change)?], budget).await?.is_empty())
    }

    /// Ends all sessions of a user for good. Returns `false` if the user was changed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn end_all_sessions(&self, user: &User, budget: &Budget) -> Result<bool> {
        Ok(transact(&self.client, &[write(raise_epoch(&self.table, user))?], budget).await?.is_empty())
    }

    /// Writes the attributes in which the profile of `new` differs from that of `old`. A new login name keeps the
    /// password. A new e-mail address ends all sessions, because tokens carry the address. Returns `false` if one of
    /// these attributes was changed since `old` was read.
    ///
    /// # Errors
    /// [`Error::Taken`] if another user has the new login name or the new address; [`Error::InvalidRequest`] for an
    /// invalid name or address; [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or
    /// [`Error::Unexpected`].
    pub async fn change(&self, old: &UserRecord, new: &User, budget: &Budget) -> Result<bool> {
        let mut new = new.clone();
        new.profile.user_id = without_blank_ends(&new.profile.user_id).to_owned();
        let new = &new;
        let [from, to] = [old.user.login_name()?, LoginName::parse(&new.profile.user_id)?];
        let [from_address, to_address] =
            [canonical_address(&old.user.profile.email)?, canonical_address(&new.profile.email)?];
        let mut writes = vec![self.change_profile(&old.user, new)?];
        let mut unique = Vec::new();
        if from != to {
            unique.push((writes.len(), "login name"));
            writes.push(self.put_new(login_key(to.as_str()), &old.credentials)?);
            let version = old.credentials.password_version.to_string();
            let delete = self
                .delete_of(login_key(from.as_str()), &old.user.profile.id)
                .condition_expression(format!(
                    "id = :id AND password_version = :version AND {}",
                    same_hash(&old.credentials)
                ))
                .expression_attribute_values(":version", AttributeValue::N(version));
            let delete = match &old.credentials.password_hash {
                Some(hash) => delete.expression_attribute_values(":old", text(hash.expose())),
                None => delete,
            };
            writes.push(deletion(delete)?);
        }
        if from_address != to_address {
            unique.push((writes.len(), "e-mail address"));
            writes.push(self.put_new(email_key(&to_address), &AddressOwner { id: new.profile.id.clone() })?);
            writes.push(deletion(self.delete_of(email_key(&from_address), &old.user.profile.id))?);
        }
        let failed = transact(&self.client, &writes, budget).await?;
        match unique.into_iter().find(|(position, _)| failed.contains(position)) {
            Some((_, what)) => Err(Error::Taken(what)),
            None => Ok(failed.is_empty()),
        }
    }

    /// Deletes a user: the profile, the credentials and the marker of the address. All sessions end. Returns `false` if
    /// the user was renamed or deleted since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`], [`Error::Corrupt`] or [`Error::Unexpected`].
    pub async fn delete(&self, user: &User, budget: &Budget) -> Result<bool> {
        let id = &user.profile.id;
        let profile = self
            .delete_of(user_key(id), id)
            .condition_expression("id = :id AND userId = :name AND email = :email")
            .expression_attribute_values(":name", text(&user.profile.user_id))
            .expression_attribute_values(":email", text(&user.profile.email));
        let owned =
            |key| deletion(self.delete_of(key, id).condition_expression("attribute_not_exists(pk) OR id = :id"));
        let writes = [
            deletion(profile)?,
            owned(login_key(user.login_name()?.as_str()))?,
            owned(email_key(&canonical_address(&user.profile.email)?))?,
        ];
        Ok(transact(&self.client, &writes, budget).await?.is_empty())
    }

    /// Returns the write that changes a profile. Its condition is that the changed attributes are as in `old`.
    fn change_profile(&self, old: &User, new: &User) -> Result<TransactWriteItem> {
        let [before, mut after] = [to_item(&old.profile, &[])?, to_item(&new.profile, &[])?];
        let mut update = update(&self.table, user_item_key(&old.profile.id));
        let (mut set, mut remove, mut unchanged) = (Vec::new(), Vec::new(), vec!["id = :id".to_owned()]);
        update = update.expression_attribute_values(":id", text(old.profile.id.as_str()));
        let mut names: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names.retain(|name| before.get(name) != after.get(name));
        for name in names {
            match before.get(&name) {
                Some(value) => {
                    unchanged.push(format!("#{name} = :old_{name}"));
                    update = update.expression_attribute_values(format!(":old_{name}"), value.clone());
                }
                None => unchanged.push(format!("attribute_not_exists(#{name})")),
            }
            match after.remove(&name) {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), value);
                }
                None => remove.push(format!("#{name}")),
            }
            update = update.expression_attribute_names(format!("#{name}"), name);
        }
        if old.profile.email != new.profile.email {
            set.push("session_epoch = :next".to_owned());
            unchanged.push("session_epoch = :epoch".to_owned());
            update = with_epochs(update, old);
        }
        let clause = |word, parts: &[String]| {
            if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) }
        };
        let expression = clause("SET", &set) + &clause("REMOVE", &remove);
        write(update.update_expression(expression.trim_end()).condition_expression(unchanged.join(" AND ")))
    }

    async fn items(&self, keys: impl Iterator<Item = String>, budget: &Budget) -> Result<Vec<Item>> {
        let keys: Vec<_> = keys.map(|key| (self.table.as_str(), Item::from([("pk".to_owned(), text(key))]))).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(batch_get(&self.client, keys, budget).await?.remove(&self.table).unwrap_or_default())
    }

    /// Returns a deletion of an item that belongs to this user.
    fn delete_of(&self, key: String, id: &UserId) -> DeleteBuilder {
        Delete::builder()
            .table_name(&self.table)
            .key("pk", text(key))
            .condition_expression("id = :id")
            .expression_attribute_values(":id", text(id.as_str()))
    }
}

impl Sessions {
    /// Returns one page of the sessions of all users. Leaves out unreadable records.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn page(&self, segment: Segment, after: Option<Cursor>, budget: &Budget) -> Result<Page<Session>> {
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .segment(segment.number)
            .total_segments(segment.of)
            .set_exclusive_start_key(after.map(|cursor| cursor.0));
        let page = send(scan.send(), budget).await?;
        let records = page.items.unwrap_or_default().into_iter().filter_map(readable_session).collect();
        Ok(Page { records, next: page.last_evaluated_key.map(Cursor) })
    }

    /// Returns all sessions of a user, also those that have ended. Leaves out unreadable records.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn of_user(&self, user: &UserId, budget: &Budget) -> Result<Vec<Session>> {
        let items = self.items_of(user, None, budget).await?;
        Ok(items.into_iter().filter_map(readable_session).collect())
    }

    /// Deletes all records of a user, also unreadable ones and those of sessions that have ended. Returns how many
    /// there were. Delete the user first: until then a login could open another session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn erase(&self, user: &UserId, budget: &Budget) -> Result<usize> {
        let keys = self.items_of(user, Some("user_id, session_id"), budget).await?;
        for keys in keys.chunks(MAX_DELETIONS) {
            let deletion = |key: &Item| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build().map_err(Error::unexpected)?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            };
            let requests = keys.iter().map(deletion).collect::<Result<Vec<_>>>()?;
            let mut unprocessed = HashMap::from([(self.table.clone(), requests)]);
            let mut pause = Duration::from_millis(50);
            while !unprocessed.is_empty() {
                let call = self.client.batch_write_item().set_request_items(Some(unprocessed));
                unprocessed = send(call.send(), budget).await?.unprocessed_items.unwrap_or_default();
                if !unprocessed.is_empty() {
                    budget.pause(pause).await?;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
        Ok(keys.len())
    }

    /// Returns the records of a user, or only these attributes of them.
    async fn items_of(&self, user: &UserId, attributes: Option<&str>, budget: &Budget) -> Result<Vec<Item>> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(user.as_str()))
                .set_projection_expression(attributes.map(str::to_owned))
                .set_exclusive_start_key(start);
            let page = send(query.send(), budget).await?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }
}

/// Returns the condition that the stored hash is still the one that was read: `:old`, or none.
fn same_hash(read: &Credentials) -> &'static str {
    if read.password_hash.is_some() { "password_hash = :old" } else { "attribute_not_exists(password_hash)" }
}

fn deletion(delete: DeleteBuilder) -> Result<TransactWriteItem> {
    let delete = delete.build().map_err(Error::unexpected)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Reads the user of an item, whatever its id is.
fn read_any_user(item: Item) -> Result<User, Unreadable> {
    let key = item.get("pk").and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
    let read = || read_user(item, &UserId::parse(key.strip_prefix("user#").unwrap_or_default())?);
    read().map_err(|error| Unreadable { key: key.clone(), error })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testbed::Tables;

    use super::*;
    use crate::clock::Timestamp;
    use crate::config::Environment;
    use crate::password::{Hasher, Password};
    use crate::session::{Lifetimes, NewSession, Source};
    use crate::store::connect;

    fn env(tables: &Tables) -> Environment {
        Environment::new(tables.settings(&[]))
    }

    fn users(tables: &Tables) -> Users {
        Users::from_env(connect(&env(tables)).unwrap(), &env(tables)).unwrap()
    }

    fn budget() -> Budget {
        Budget::lasting(Duration::from_mins(1))
    }

    fn user(id: &str, name: &str, email: &str) -> User {
        let text = str::to_owned;
        User::new(Profile {
            id: UserId::parse(id).unwrap(),
            user_id: text(name),
            email: text(email),
            name: text("김코딩"),
            position: text(""),
            location: text("Seoul"),
            bio: text(""),
            roles: vec![],
        })
    }

    fn hash() -> PasswordHash {
        let hasher = Hasher::from_env(&Environment::new(testbed::settings(&[]))).unwrap();
        hasher.hash(&Password::new("1234").unwrap(), Timestamp::now()).unwrap()
    }

    async fn add(users: &Users, id: &str, name: &str, email: &str) -> UserRecord {
        users.create(&user(id, name, email), hash(), &budget()).await.unwrap();
        read(users, name).await.unwrap()
    }

    async fn read(users: &Users, name: &str) -> Option<UserRecord> {
        users.find_by_login_name(&LoginName::parse(name).unwrap(), &budget()).await.unwrap()
    }

    fn keys(tables: &Tables) -> Vec<String> {
        let mut keys: Vec<_> =
            tables.items("UsersTable").iter().map(|item| item["pk"]["S"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    }

    #[tokio::test]
    async fn a_user_is_found_by_login_name_and_by_address_in_any_spelling() {
        let tables = Tables::new().await;
        let users = users(&tables);
        add(&users, "7", "Kim", "Kim@Example.com").await;
        assert_eq!(read(&users, "ＫＩＭ").await.unwrap().user.profile.user_id, "Kim");
        assert!(users.find_by_email("kim@example.COM", &budget()).await.unwrap().is_some());
        assert!(users.find_by_email("park@example.com", &budget()).await.unwrap().is_none());
        assert!(read(&users, "park").await.is_none());
    }

    #[tokio::test]
    async fn a_rename_keeps_the_password_and_frees_the_old_name() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let old = add(&users, "7", "kim", "kim@example.com").await;
        let mut new = old.user.clone();
        new.profile.user_id = "kimberly".to_owned();
        assert!(users.change(&old, &new, &budget()).await.unwrap());
        assert_eq!(keys(&tables), ["email#kim@example.com", "login#kimberly", "user#7"]);
        let renamed = read(&users, "kimberly").await.unwrap();
        assert_eq!(renamed.user, new);
        assert_eq!(
            renamed.credentials.password_hash.unwrap().expose(),
            old.credentials.password_hash.unwrap().expose()
        );
    }

    /// R76.
    #[tokio::test]
    async fn a_new_address_ends_all_sessions_and_frees_the_old_address() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let old = add(&users, "7", "kim", "kim@example.com").await;
        let mut new = old.user.clone();
        new.profile.email = "kim@example.org".to_owned();
        assert!(users.change(&old, &new, &budget()).await.unwrap());
        assert_eq!(keys(&tables), ["email#kim@example.org", "login#kim", "user#7"]);
        assert_eq!(read(&users, "kim").await.unwrap().user.session_epoch, 2);
    }

    /// R31.
    #[tokio::test]
    async fn a_name_or_an_address_of_another_user_is_taken_and_nothing_changes() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let kim = add(&users, "7", "kim", "kim@example.com").await;
        add(&users, "8", "park", "park@example.com").await;
        let before = tables.items("UsersTable");
        let change = |name: &str, email: &str| {
            let mut new = kim.user.clone();
            (new.profile.user_id, new.profile.email) = (name.to_owned(), email.to_owned());
            new.profile.bio = "changed".to_owned();
            new
        };
        for (new, what) in
            [(change("PARK", "kim@example.com"), "login name"), (change("kim", "PARK@example.com"), "e-mail address")]
        {
            let taken = users.change(&kim, &new, &budget()).await;
            assert!(matches!(taken, Err(Error::Taken(taken)) if taken == what), "{taken:?}");
        }
        assert_eq!(tables.items("UsersTable"), before);
    }

    #[tokio::test]
    async fn the_second_of_two_operators_who_change_the_same_attribute_changes_nothing() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let read_by_both = add(&users, "7", "kim", "kim@example.com").await;
        let with = |change: &dyn Fn(&mut Profile)| {
            let mut user = read_by_both.user.clone();
            change(&mut user.profile);
            user
        };
        let [first, second] =
            [with(&|profile| profile.bio = "first".into()), with(&|profile| profile.bio = "second".into())];
        assert!(users.change(&read_by_both, &first, &budget()).await.unwrap());
        assert!(!users.change(&read_by_both, &second, &budget()).await.unwrap());
        // Another attribute is no conflict, and a list of roles can be added and removed.
        let with_roles = with(&|profile| profile.roles = vec!["admin".into()]);
        assert!(users.change(&read_by_both, &with_roles, &budget()).await.unwrap());
        let changed = read(&users, "kim").await.unwrap();
        assert_eq!((changed.user.profile.bio.as_str(), changed.user.profile.roles.len()), ("first", 1));
        let mut without = changed.user.clone();
        without.profile.roles.clear();
        assert!(users.change(&changed, &without, &budget()).await.unwrap());
        assert!(read(&users, "kim").await.unwrap().user.profile.roles.is_empty());
        assert!(users.delete(&changed.user, &budget()).await.unwrap());
        assert!(!users.change(&changed, &without, &budget()).await.unwrap());
        assert!(tables.items("UsersTable").is_empty(), "a change never creates a user");
    }

    /// R4, R76.
    #[tokio::test]
    async fn a_password_is_set_once_for_what_was_read_and_ends_all_sessions() {
        let tables = Tables::new().await;
        let users = users(&tables);
        users.create(&user("7", "kim", "kim@example.com"), None, &budget()).await.unwrap();
        let without = read(&users, "kim").await.unwrap();
        assert!(without.credentials.password_hash.is_none());
        let set = async |record: &UserRecord| {
            users.set_password(&record.user, &record.credentials, &hash(), &budget()).await.unwrap()
        };
        assert!(set(&without).await);
        assert!(!set(&without).await);
        let with = read(&users, "kim").await.unwrap();
        assert!(with.credentials.password_hash.is_some());
        assert_eq!((with.user.session_epoch, with.user.password_version, with.credentials.password_version), (2, 2, 2));
        assert!(set(&with).await);
    }

    /// R76.
    #[tokio::test]
    async fn a_user_who_is_disabled_and_enabled_again_is_in_another_epoch() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let kim = add(&users, "7", "kim", "kim@example.com").await.user;
        assert!(users.set_disabled(&kim, true, &budget()).await.unwrap());
        assert!(!users.set_disabled(&kim, true, &budget()).await.unwrap(), "changed since it was read");
        let disabled = read(&users, "kim").await.unwrap().user;
        assert_eq!((disabled.disabled, disabled.session_epoch), (true, 2));
        assert!(users.set_disabled(&disabled, false, &budget()).await.unwrap());
        assert!(!users.set_disabled(&kim, true, &budget()).await.unwrap(), "a stale read undoes nothing");
        let enabled = read(&users, "kim").await.unwrap().user;
        assert_eq!((enabled.disabled, enabled.session_epoch), (false, 2));
        let unknown = user("9", "nobody", "nobody@example.com");
        assert!(!users.set_disabled(&unknown, true, &budget()).await.unwrap());
        assert_eq!(keys(&tables).len(), 3, "no user is created");
    }

    /// The login name belongs to another user since the first one was read.
    #[tokio::test]
    async fn a_password_is_never_set_for_another_user_and_mismatched_versions_are_mended() {
        let tables = Tables::new().await;
        let users = users(&tables);
        users.create(&user("7", "kim", "kim@example.com"), None, &budget()).await.unwrap();
        let stale = read(&users, "kim").await.unwrap();
        let mut renamed = stale.user.clone();
        renamed.profile.user_id = "kim2".to_owned();
        assert!(users.change(&stale, &renamed, &budget()).await.unwrap());
        users.create(&user("8", "kim", "other@example.com"), None, &budget()).await.unwrap();
        let before = tables.items("UsersTable");
        assert!(!users.set_password(&stale.user, &stale.credentials, &hash(), &budget()).await.unwrap());
        assert_eq!(tables.items("UsersTable"), before);

        let mut record = read(&users, "kim2").await.unwrap();
        let login = before.iter().find(|item| item["pk"]["S"] == "login#kim2").unwrap();
        let mut login = login.clone();
        login["password_version"] = json!({ "N": "5" });
        tables.put("UsersTable", &login);
        record.credentials.password_version = 5;
        assert!(users.set_password(&record.user, &record.credentials, &hash(), &budget()).await.unwrap());
        let mended = read(&users, "kim2").await.unwrap();
        assert_eq!((mended.user.password_version, mended.credentials.password_version), (6, 6));
    }

    #[tokio::test]
    async fn a_deleted_user_leaves_no_item_and_the_items_of_others_stay() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let kim = add(&users, "7", "kim", "kim@example.com").await;
        add(&users, "8", "park", "park@example.com").await;
        let mut renamed = kim.user.clone();
        renamed.profile.user_id = "kim2".to_owned();
        users.change(&kim, &renamed, &budget()).await.unwrap();
        assert!(!users.delete(&kim.user, &budget()).await.unwrap(), "renamed since it was read");
        assert!(users.delete(&renamed, &budget()).await.unwrap());
        assert!(!users.delete(&renamed, &budget()).await.unwrap());
        assert_eq!(keys(&tables), ["email#park@example.com", "login#park", "user#8"]);
    }

    #[tokio::test]
    async fn the_pages_of_all_segments_have_each_user_once_and_name_unreadable_records() {
        let tables = Tables::new().await;
        let users = users(&tables);
        for number in 0..20 {
            let (id, name) = (number.to_string(), format!("user{number}"));
            users.create(&user(&id, &name, &format!("{name}@example.com")), None, &budget()).await.unwrap();
        }
        tables.put("UsersTable", &json!({ "pk": { "S": "user#broken" }, "v": { "N": "1" } }));
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let page = users.page(Segment { number, of: 4 }, None, &budget()).await.unwrap();
            assert!(page.next.is_none());
            for record in page.records {
                match record {
                    Ok(user) => found.push(user),
                    Err(record) => unreadable.push(record.key),
                }
            }
        }
        let credentials = users.credentials_of_all(&found, &budget()).await.unwrap();
        assert_eq!((found.len(), credentials.len(), unreadable), (20, 20, vec!["user#broken".to_owned()]));
    }

    #[tokio::test]
    async fn a_search_finds_the_beginning_of_names_and_addresses_in_any_spelling() {
        let tables = Tables::new().await;
        let users = users(&tables);
        for (id, name, email) in [
            ("1", "Anna", "a@example.com"),
            ("2", "ben", "annabel@example.com"),
            ("3", "anne", "anne@example.com"),
            ("4", "joanna", "j@example.com"),
        ] {
            add(&users, id, name, email).await;
        }
        let ids = async |beginning: &str| {
            let page = users.search(beginning, None, &budget()).await.unwrap();
            let mut ids: Vec<_> = page.records.into_iter().map(|user| user.unwrap().profile.id.to_string()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids("ANN").await, ["1", "2", "3"]);
        assert_eq!(ids("annabel@").await, ["2"]);
        assert_eq!(ids("ｊ").await, ["4"]);
        assert!(ids("zoe").await.is_empty());
    }

    #[tokio::test]
    async fn erasing_deletes_every_session_of_the_user_and_no_other() {
        let tables = Tables::new().await;
        let env = env(&tables);
        let sessions = Sessions::from_env(connect(&env).unwrap(), &env).unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let open = async |id: &str| {
            let user_id = UserId::parse(id).unwrap();
            let new = NewSession { user_id: &user_id, epoch: 1, persistent: true, kid: "k", source: Source::default() };
            let session = Lifetimes::from_env(&env).unwrap().open(new, now).unwrap();
            sessions.open(&session, &budget()).await.unwrap();
            session
        };
        for _ in 0..30 {
            let session = open("7").await;
            sessions.end(&session.user_id, &session.id, now, &budget()).await.unwrap();
        }
        open("7").await;
        open("8").await;
        tables.put("SessionsTable", &json!({ "user_id": { "S": "7" }, "session_id": { "S": "broken" } }));
        let kim = UserId::parse("7").unwrap();
        assert_eq!(sessions.of_user(&kim, &budget()).await.unwrap().len(), 31);
        assert_eq!(sessions.erase(&kim, &budget()).await.unwrap(), 32);
        assert_eq!(sessions.erase(&kim, &budget()).await.unwrap(), 0);
        let page = sessions.page(Segment::WHOLE, None, &budget()).await.unwrap();
        assert_eq!((page.records.len(), tables.items("SessionsTable").len()), (1, 1));
    }
}
