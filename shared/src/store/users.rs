//! The users table.
//!
//! Owns users, their credentials and the uniqueness of login names and e-mail addresses. Each user has three items: the
//! profile, the credentials under the login name, and a marker under the e-mail address. So login names and e-mail
//! addresses are unique without an index. Knows nothing of sessions except the epoch that ends them all.

use std::fmt;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Profile as _;
use serde::{Deserialize, Serialize};

use super::client::{Client, condition_held, send, transact};
use super::records::{Item, from_item, number, text, to_item};
use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::password::PasswordHash;
use crate::token::is_claim_text;

/// The public part of a user: the JSON of `/userinfo`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The identifier.
    pub id: UserId,
    /// The login name as the user writes it.
    pub user_id: String,
    /// The e-mail address.
    pub email: String,
    /// The full name.
    pub name: String,
    /// The job.
    pub position: String,
    /// The place.
    pub location: String,
    /// A line about the user.
    pub bio: String,
    /// The roles. Absent in JSON if the user has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl Profile {
    /// Checks the login name and the e-mail address, as [`Users::create`] does.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] says what is wrong.
    pub fn check_names(&self) -> Result<()> {
        LoginName::parse(&self.user_id)?;
        canonical_address(&self.email).map(drop)
    }
}

/// A user without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The public part.
    #[serde(flatten)]
    pub profile: Profile,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// Raised to end all sessions at once. A session of another epoch is not active (R76).
    pub session_epoch: u64,
    /// Raised with every new password, here and in [`Credentials`]. A login that reads two different versions is
    /// refused.
    pub password_version: u64,
}

impl User {
    /// Returns a new user with this profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, disabled: false, session_epoch: 1, password_version: 1 }
    }

    /// Returns a new user whose epoch and password version start at this time. An earlier user may have had the id or
    /// the login name. With the time, no session and no device cookie of that user becomes valid again.
    #[must_use]
    pub fn new_at(profile: Profile, now: Timestamp) -> Self {
        let era = now.as_secs();
        Self { session_epoch: era, password_version: era, ..Self::new(profile) }
    }

    /// Returns the canonical login name.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the record has no valid login name.
    pub(super) fn login_name(&self) -> Result<LoginName> {
        LoginName::parse(&self.profile.user_id).map_err(|_| Error::Corrupt("user record without a login name".into()))
    }
}

/// The credentials of one login name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// The user.
    pub id: UserId,
    /// The hash of the password. Absent until a password is set: the user cannot sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<PasswordHash>,
    /// The version of the password.
    pub password_version: u64,
}

/// A login name in its canonical form: RFC 8265's `UsernameCaseMapped`. `Admin`, `admin` and the full-width `ａｄｍｉｎ` are
/// the same name. White space at both ends is ignored, because people paste it together with a name. A name with spaces
/// or invisible characters inside is invalid (R31).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoginName(String);

impl LoginName {
    /// Returns the canonical form of a name.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if the name is invalid.
    pub fn parse(typed: &str) -> Result<Self> {
        let problem =
            "A login name has 1 to 254 bytes of letters, digits or signs, without spaces or invisible characters.";
        canonical(without_blank_ends(typed)).map(Self).ok_or_else(|| Error::InvalidRequest(problem.into()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The account that a typed login name refers to. The account may not exist.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    typed: &'a str,
    name: Option<LoginName>,
}

impl<'a> Account<'a> {
    /// Canonicalises a login name before anything is counted or looked up for it (R31).
    #[must_use]
    pub fn named(typed: &'a str) -> Self {
        Self { typed: without_blank_ends(typed), name: LoginName::parse(typed).ok() }
    }

    /// Returns the key of the credentials. An invalid name has one, too, so that the same reads are made for it (R18).
    pub(super) fn credentials_key(&self) -> Item {
        let name = self.name.as_ref().map_or("", LoginName::as_str);
        Item::from([("pk".to_owned(), text(login_key(name)))])
    }

    /// Returns the canonical name, or the typed text without white space at its ends if it is not a valid name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.name.as_ref().map_or(self.typed, LoginName::as_str)
    }
}

/// The users table.
#[derive(Clone, Debug)]
pub struct Users {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Users {
    /// Reads `USERS_TABLE`.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not set or names the same table as another variable.
    pub fn from_env(client: Client, env: &Environment) -> Result<Self> {
        Ok(Self { client, table: env.table("USERS_TABLE")? })
    }

    /// Replaces the hash of a password by another hash of the same password. Returns `false` if the password was
    /// changed in between (R4), or if there was no hash.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn rehash(&self, user_id: &str, old: &Credentials, new: &PasswordHash, budget: &Budget) -> Result<bool> {
        let Some(old_hash) = &old.password_hash else { return Ok(false) };
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(login_key(LoginName::parse(user_id)?.as_str())))
            .update_expression("SET password_hash = :new")
            .condition_expression("password_hash = :old AND password_version = :version")
            .expression_attribute_values(":old", text(old_hash.expose()))
            .expression_attribute_values(":new", text(new.expose()))
            .expression_attribute_values(":version", number(old.password_version));
        condition_held(send(call.send(), budget).await)
    }

    /// Returns the user with this id, or `None`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Corrupt`].
    pub async fn find(&self, id: &UserId, budget: &Budget) -> Result<Option<User>> {
        let item = self.item(user_key(id), budget).await?;
        item.map(|item| read_user(item, id)).transpose()
    }

    /// Adds a user, in one transaction. Stores the login name without white space at its ends. Without a hash, the user
    /// cannot sign in until a password is set.
    ///
    /// # Errors
    /// [`Error::Taken`] if another user has the id, the login name or the e-mail address, in any spelling;
    /// [`Error::InvalidRequest`] for an invalid name or address; [`Error::Unavailable`] or [`Error::Misconfigured`].
    pub async fn create(
        &self,
        user: &User,
        password_hash: impl Into<Option<PasswordHash>>,
        budget: &Budget,
    ) -> Result<()> {
        let password_hash = password_hash.into();
        let mut user = user.clone();
        user.profile.user_id = without_blank_ends(&user.profile.user_id).to_owned();
        let Profile { id, user_id, email, .. } = &user.profile;
        let name = LoginName::parse(user_id)?;
        let address = canonical_address(email)?;
        let credentials = Credentials { id: id.clone(), password_hash, password_version: user.password_version };
        let puts = [
            self.put_new(user_key(id), &user)?,
            self.put_new(login_key(name.as_str()), &credentials)?,
            self.put_new(email_key(&address), &AddressOwner { id: id.clone() })?,
        ];
        let taken = transact(&self.client, &puts, budget).await?;
        taken.first().map_or(Ok(()), |&position| Err(Error::Taken(["id", "login name", "e-mail address"][position])))
    }

    pub(super) async fn item(&self, key: String, budget: &Budget) -> Result<Option<Item>> {
        let call = self.client.get_item().table_name(&self.table).key("pk", text(key)).consistent_read(true);
        Ok(send(call.send(), budget).await?.item)
    }

    pub(super) fn put_new(&self, key: String, record: &impl Serialize) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(to_item(record, &[("pk", text(key))])?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(Error::unexpected)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// The item under `email#…`. It only keeps a second user from getting the address.
#[derive(Serialize, Deserialize)]
pub(super) struct AddressOwner {
    pub(super) id: UserId,
}

/// Returns the credentials of an item.
///
/// # Errors
/// [`Error::Corrupt`] if the item cannot be read.
pub(super) fn read_credentials(item: Item) -> Result<Credentials> {
    from_item(item, "login")
}

/// Returns the user of an item that was read under the key of `id`.
///
/// # Errors
/// [`Error::Corrupt`] if the item cannot be read, has another id, or has an e-mail address that no token can carry.
/// Otherwise the user would get tokens that do not verify.
pub(super) fn read_user(item: Item, id: &UserId) -> Result<User> {
    let user: User = from_item(item, "user")?;
    if user.profile.id != *id {
        return Err(Error::Corrupt("user record under the key of another user".into()));
    }
    if !is_claim_text(&user.profile.email) {
        return Err(Error::Corrupt("user record with an e-mail address that no token can carry".into()));
    }
    Ok(user)
}

/// Returns the key of a profile.
pub(super) fn user_key(id: &UserId) -> String {
    format!("user#{id}")
}

/// Returns the key of the credentials of a login name.
pub(super) fn login_key(canonical: &str) -> String {
    format!("login#{canonical}")
}

pub(super) fn email_key(canonical: &str) -> String {
    format!("email#{canonical}")
}

/// Returns a text without white space, zero-width spaces and marks of the writing direction at its ends. No valid name
/// begins or ends with one of them, so that two valid names stay different.
pub(super) fn without_blank_ends(typed: &str) -> &str {
    typed.trim_matches(|letter: char| {
        letter.is_whitespace()
            || matches!(letter, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// The longest text that is canonicalised, in bytes: enough for 254 full-width letters of three bytes each. There is a
/// bound, because the time grows with the square of the length.
const MAX_TYPED: usize = 1024;

/// The longest canonical name in bytes.
const MAX_NAME: usize = 254;

/// Returns the canonical form (RFC 8265 §3.3.1), or `None` if the text is invalid. Rejects text whose canonical form
/// changes when it is canonicalised again (RFC 8264 §7).
fn canonical(typed: &str) -> Option<String> {
    if typed.len() > MAX_TYPED {
        return None;
    }
    let profile = UsernameCaseMapped::new();
    let once = profile.enforce(typed).ok()?;
    let is_stable = profile.enforce(once.as_ref()).is_ok_and(|twice| twice == once);
    (is_stable && once.len() <= MAX_NAME).then(|| once.into_owned())
}

pub(super) fn canonical_address(typed: &str) -> Result<String> {
    let is_address = |text: &String| {
        text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
    };
    let address = canonical(typed).filter(|address| is_address(address) && is_claim_text(typed));
    let problem = "An e-mail address has the form name@example.com and at most 254 bytes.";
    address.ok_or_else(|| Error::InvalidRequest(problem.into()))
}

impl fmt::Debug for Profile {
    /// Prints the id only (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use serde_json::json;
    use testbed::{Fault, Tables};

    use super::*;
    use crate::password::{Hasher, Password};
    use crate::store::client::TRANSIENT_REASONS;
    use crate::store::connect;

    fn users(tables: &Tables) -> Users {
        let env = Environment::new(tables.settings(&[]));
        Users::from_env(connect(&env).unwrap(), &env).unwrap()
    }

    /// The table of a mocked client.
    fn mocked(client: Client) -> Users {
        Users { client, table: "users".to_owned() }
    }

    fn user(id: &str, name: &str, email: &str) -> User {
        let text = str::to_owned;
        User::new(Profile {
            id: UserId::parse(id).unwrap(),
            user_id: text(name),
            email: text(email),
            name: text("김코딩"),
            position: text("Frontend Developer"),
            location: text("Seoul, South Korea"),
            bio: text("Writes the page."),
            roles: vec![],
        })
    }

    fn hash() -> PasswordHash {
        let hasher = Hasher::from_env(&Environment::new(testbed::settings(&[]))).unwrap();
        hasher.hash(&Password::new("1234").unwrap(), Timestamp::now()).unwrap()
    }

    fn budget() -> Budget {
        Budget::new(None)
    }

    #[tokio::test]
    async fn a_created_user_is_found_by_id_and_by_login_name() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let kim = user("0", "kimcoding", "kim@example.com");
        users.create(&kim, hash(), &budget()).await.unwrap();
        assert_eq!(users.find(&kim.profile.id, &budget()).await.unwrap(), Some(kim.clone()));
        let name = LoginName::parse("kimcoding").unwrap();
        let credentials = users.find_by_login_name(&name, &budget()).await.unwrap().unwrap().credentials;
        assert_eq!((credentials.id, credentials.password_version), (kim.profile.id, 1));
    }

    #[tokio::test]
    async fn an_unknown_id_or_login_name_finds_no_user() {
        let tables = Tables::new().await;
        let users = users(&tables);
        assert!(users.find(&UserId::random().unwrap(), &budget()).await.unwrap().is_none());
        let name = LoginName::parse("parkhacker").unwrap();
        assert!(users.find_by_login_name(&name, &budget()).await.unwrap().is_none());
    }

    /// `userinfo` has no permission to read the item with the hash.
    #[tokio::test]
    async fn the_password_hash_is_not_in_the_profile_item() {
        let tables = Tables::new().await;
        users(&tables).create(&user("0", "kimcoding", "kim@example.com"), hash(), &budget()).await.unwrap();
        let mut with_hash: Vec<_> = tables.items("UsersTable");
        with_hash.retain(|item| item.to_string().contains("argon2id"));
        assert_eq!(with_hash.len(), 1);
        assert_eq!(with_hash[0]["pk"], json!({ "S": "login#kimcoding" }));
    }

    /// R31.
    #[test]
    fn a_login_name_has_one_canonical_form() {
        let canonical = |typed| LoginName::parse(typed).map(|name| name.0).ok();
        for typed in ["admin", "Admin", "ADMIN", "\u{ff41}\u{ff44}\u{ff4d}\u{ff49}\u{ff4e}"] {
            assert_eq!(canonical(typed).as_deref(), Some("admin"), "{typed}");
        }
        assert_eq!(canonical("Z\u{fc}rich"), canonical("Zu\u{308}rich"));
        assert_eq!(canonical("kim.coding+1@example.com").as_deref(), Some("kim.coding+1@example.com"));
        assert_eq!(canonical("\u{ae40}\u{cf54}\u{b529}").as_deref(), Some("\u{ae40}\u{cf54}\u{b529}"));
        for typed in [
            "",
            " ",
            "two words",
            "ad\u{a0}min",
            "ad\u{200b}min",
            "ad\nmin",
            "\u{200b}\u{a0}",
            "admin\0",
            "ad\u{ad}min",
            "\u{3164}",
            "a\0b",
            &"x".repeat(255),
        ] {
            assert_eq!(canonical(typed), None, "{typed:?}");
        }
    }

    /// R31: what surrounds a name that was pasted from a page, a chat or a table.
    #[test]
    fn white_space_at_the_ends_of_a_login_name_is_ignored() {
        for blank in [
            " ",
            "\t",
            "\n",
            "\r\n",
            "\u{85}",
            "\u{a0}",
            "\u{1680}",
            "\u{2003}",
            "\u{2028}",
            "\u{202f}",
            "\u{3000}",
            "\u{ad}",
            "\u{61c}",
            "\u{200b}",
            "\u{200e}",
            "\u{200f}",
            "\u{202a}",
            "\u{202c}",
            "\u{2060}",
            "\u{2066}",
            "\u{2069}",
            "\u{feff}",
            " \u{feff}\t",
        ] {
            for typed in [format!("{blank}Admin"), format!("Admin{blank}"), format!("{blank}Admin{blank}{blank}")] {
                assert_eq!(LoginName::parse(&typed).unwrap().as_str(), "admin", "{typed:?}");
                assert_eq!(Account::named(&typed).as_str(), "admin", "{typed:?}");
            }
            assert_eq!(Account::named(&format!("{blank}two words{blank}")).as_str(), "two words", "{blank:?}");
            assert!(LoginName::parse(blank).is_err(), "{blank:?}");
        }
        // These letters may end a name (RFC 5892, appendix A.1), so that they are part of it.
        for name in ["\u{915}\u{94d}\u{200d}", "\u{915}\u{94d}\u{200c}"] {
            assert_eq!(LoginName::parse(name).unwrap().as_str(), name);
        }
    }

    #[tokio::test]
    async fn a_login_name_is_stored_without_white_space_at_its_ends() {
        let tables = Tables::new().await;
        let users = users(&tables);
        users.create(&user("0", " KimCoding\u{a0}", "kim@example.com"), hash(), &budget()).await.unwrap();
        let stored = users.find(&UserId::parse("0").unwrap(), &budget()).await.unwrap().unwrap();
        assert_eq!(stored.profile.user_id, "KimCoding");
        let name = LoginName::parse("kimcoding").unwrap();
        assert!(users.find_by_login_name(&name, &budget()).await.unwrap().is_some());
    }

    proptest::proptest! {
        /// R31: a valid name has nothing to ignore at its ends.
        #[test]
        fn nothing_is_cut_from_a_canonical_name(typed in "\\PC{1,12}") {
            if let Some(name) = canonical(&typed) {
                proptest::prop_assert_eq!(without_blank_ends(&name), name.as_str());
                proptest::prop_assert_eq!(without_blank_ends(&typed), typed.as_str());
            }
        }

        /// R31: a stored name is found again.
        #[test]
        fn canonicalisation_is_idempotent(typed in "\\PC{1,12}") {
            if let Ok(name) = LoginName::parse(&typed) {
                proptest::prop_assert_eq!(LoginName::parse(name.as_str()).unwrap(), name);
            }
        }
    }

    #[tokio::test]
    async fn no_two_users_share_an_id_a_login_name_or_an_address() {
        let tables = Tables::new().await;
        let users = users(&tables);
        users.create(&user("0", "kimcoding", "kim@example.com"), hash(), &budget()).await.unwrap();
        let before = tables.items("UsersTable").len();
        for (second, what) in [
            (user("0", "other", "other@example.com"), "id"),
            (user("1", "KimCoding", "other@example.com"), "login name"),
            (user("1", "other", "KIM@Example.com"), "e-mail address"),
        ] {
            let refused = users.create(&second, hash(), &budget()).await;
            assert!(matches!(refused, Err(Error::Taken(taken)) if taken == what), "{what}: {refused:?}");
        }
        assert_eq!(tables.items("UsersTable").len(), before, "a failed create writes nothing");
    }

    /// F20.
    #[tokio::test]
    async fn a_transaction_conflict_or_a_throttled_table_is_unavailable() {
        let kim = user("0", "kimcoding", "kim@example.com");
        let canceled = async |codes: [&'static str; 3]| {
            let canceled = mock!(Client::transact_write_items).then_error(move || {
                let reasons = codes.map(|code| CancellationReason::builder().code(code).build());
                let canceled = TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons.into()));
                TransactWriteItemsError::TransactionCanceledException(canceled.build())
            });
            let users = mocked(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&canceled]));
            users.create(&kim, hash(), &budget()).await.unwrap_err()
        };
        for code in TRANSIENT_REASONS {
            assert!(matches!(canceled(["None", code, "None"]).await, Error::Unavailable(_)), "{code}");
            let taken = canceled([code, "None", "ConditionalCheckFailed"]).await;
            assert!(matches!(taken, Error::Taken("e-mail address")), "{code}: {taken:?}");
        }
        assert!(matches!(canceled(["ValidationError", "None", "None"]).await, Error::Misconfigured(_)));
    }

    /// F20.
    #[tokio::test]
    async fn a_conflicting_transaction_is_retried_three_times_with_one_token() {
        let kim = user("0", "kimcoding", "kim@example.com");
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tokens);
        let canceled = mock!(Client::transact_write_items)
            .match_requests(move |request| {
                seen.lock().unwrap().push(request.client_request_token().unwrap().to_owned());
                true
            })
            .then_error(|| {
                let reason = CancellationReason::builder().code("TransactionConflict").build();
                let canceled = TransactionCanceledException::builder().cancellation_reasons(reason).build();
                TransactWriteItemsError::TransactionCanceledException(canceled)
            });
        let users = mocked(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&canceled]));
        assert!(matches!(users.create(&kim, hash(), &budget()).await, Err(Error::Unavailable(_))));
        let mut tokens = tokens.lock().unwrap().clone();
        assert_eq!(canceled.num_calls(), 4);
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
    }

    #[tokio::test]
    async fn a_user_is_added_once_if_the_acknowledgement_is_lost() {
        let tables = Tables::new().await;
        let env = Environment::new(tables.failing(&[("TransactWriteItems", &[Fault::LoseReply])]).await);
        let through_faults = Users::from_env(connect(&env).unwrap(), &env).unwrap();
        through_faults.create(&user("0", "kimcoding", "kim@example.com"), hash(), &budget()).await.unwrap();
        assert_eq!(tables.items("UsersTable").len(), 3);
    }

    /// R31.
    #[tokio::test]
    async fn exactly_one_of_several_concurrent_creates_with_one_login_name_succeeds() {
        let tables = Tables::new().await;
        let users = users(&tables);
        let hash = hash();
        let calls = (0..8).map(|number| {
            let (users, hash) = (users.clone(), hash.clone());
            tokio::spawn(async move {
                let user = user(&number.to_string(), "Kimcoding", &format!("{number}@example.com"));
                users.create(&user, hash, &budget()).await
            })
        });
        let mut created = 0;
        for attempt in calls.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                Ok(()) => created += 1,
                Err(Error::Taken("login name")) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!((created, tables.items("UsersTable").len()), (1, 3));
    }

    #[tokio::test]
    async fn an_invalid_address_is_rejected_before_the_write() {
        let tables = Tables::new().await;
        let (long, wide) = (format!("{}@example.com", "k".repeat(243)), format!("{}@example.com", "ｋ".repeat(200)));
        let quoted = format!("{}@example.com", "\"".repeat(122));
        let invalid = ["", "kim", "@example.com", "kim@", "kim@a@b", "kim @example.com", "kim@exam\nple.com"];
        for email in invalid.into_iter().chain([&long[..], &wide, &quoted]) {
            let refused = users(&tables).create(&user("0", "kimcoding", email), hash(), &budget()).await;
            assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{email}: {refused:?}");
        }
        assert!(tables.items("UsersTable").is_empty());
    }

    /// Returns the record of the user `7`, with these changes.
    fn complete(changes: &serde_json::Value) -> serde_json::Value {
        let mut item = json!({
            "pk": { "S": "user#7" }, "v": { "N": "1" }, "id": { "S": "7" }, "userId": { "S": "kim" },
            "email": { "S": "secret@example.com" }, "name": { "S": "" }, "position": { "S": "" },
            "location": { "S": "" }, "bio": { "S": "" }, "disabled": { "BOOL": false },
            "session_epoch": { "N": "1" }, "password_version": { "N": "1" },
        });
        item.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        item
    }

    /// F21: a corrupt user is an error, not an unknown user.
    #[tokio::test]
    async fn a_corrupt_user_is_an_error_that_quotes_no_attribute() {
        let tables = Tables::new().await;
        tables.put("UsersTable", &complete(&json!({})));
        assert!(users(&tables).find(&UserId::parse("7").unwrap(), &budget()).await.is_ok());
        for item in [
            json!({ "pk": { "S": "user#7" } }),
            json!({
                "pk": { "S": "user#7" }, "v": { "N": "1" }, "id": { "S": "7" }, "email": { "S": "secret@example.com" },
            }),
            json!({ "pk": { "S": "user#7" }, "v": { "N": "2" } }),
            json!({ "pk": { "S": "user#7" }, "v": { "S": "1" } }),
            complete(&json!({ "email": { "S": "" } })),
            complete(&json!({ "email": { "S": " " } })),
            complete(&json!({ "email": { "S": "k".repeat(256) } })),
            complete(&json!({ "email": { "S": "\u{1}".repeat(100) } })),
            complete(&json!({ "email": { "NULL": true } })),
            complete(&json!({ "id": { "S": "8" } })),
            complete(&json!({ "id": { "S": "" } })),
            complete(&json!({ "roles": { "S": "admin" } })),
            complete(&json!({ "roles": { "L": [{ "N": "1" }] } })),
            complete(&json!({ "session_epoch": { "N": "-1" } })),
        ] {
            tables.put("UsersTable", &item);
            let error = users(&tables).find(&UserId::parse("7").unwrap(), &budget()).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
            assert!(!format!("{error:?}").contains("secret@example.com"));
        }
    }
}
