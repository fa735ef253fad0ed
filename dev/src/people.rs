//! The two demonstration users that existing clients know. They exist here and in tests, never in a deployed stack (R33).

use anyhow::{Context as _, Result};
use shared::config::Config;
use shared::error::Error;
use shared::id::UserId;
use shared::passwords::{Hasher, Password, PasswordHash};
use shared::store::{self, Budget};
use shared::users::{Profile, User, Users};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The id.
    pub id: &'static str,
    /// The login name.
    pub user_id: &'static str,
    /// The password, in the clear: it is in the contract.
    pub password: &'static str,
    email: &'static str,
    name: &'static str,
    position: &'static str,
    location: &'static str,
    bio: &'static str,
}

/// `kimcoding`, whose password is `1234`.
pub const KIM: Person = Person {
    id: "0",
    user_id: "kimcoding",
    password: "1234",
    email: "kimcoding@authstates.com",
    name: "김코딩",
    position: "Frontend Developer",
    location: "Seoul, South Korea",
    bio: "Writes the page that you sign in from.",
};

/// `parkhacker`, whose password is `5678`.
pub const PARK: Person = Person {
    id: "1",
    user_id: "parkhacker",
    password: "5678",
    email: "parkhacker@authstates.com",
    name: "박해커",
    position: "Security Engineer",
    location: "Busan, South Korea",
    bio: "Tries to get in without signing in.",
};

impl Person {
    /// The person as a user.
    ///
    /// # Errors
    /// Where the id is none.
    pub fn user(&self) -> Result<User, Error> {
        Ok(User::new(Profile {
            id: UserId::parse(self.id)?,
            user_id: self.user_id.to_owned(),
            email: self.email.to_owned(),
            name: self.name.to_owned(),
            position: self.position.to_owned(),
            location: self.location.to_owned(),
            bio: self.bio.to_owned(),
            roles: Vec::new(),
        }))
    }

    /// The hash of the password, at the configured cost.
    ///
    /// # Errors
    /// Where the system has no randomness or memory to give.
    pub fn password_hash(&self, config: &Config) -> Result<PasswordHash, Error> {
        Hasher::new(config)?.hash(&Password::new(self.password)?)
    }
}

/// Adds both, unless they are there.
///
/// # Errors
/// Where the table cannot be reached.
pub async fn add_missing(config: &Config) -> Result<()> {
    let users = Users::new(store::connect(config), &config.users_table);
    for person in [KIM, PARK] {
        let user = person.user()?;
        if users.find(&user.profile.id, &Budget::new(None)).await?.is_none() {
            let added = users.create(&user, person.password_hash(config)?, &Budget::new(None)).await;
            added.with_context(|| format!("cannot add the demonstration user {}", person.user_id))?;
        }
    }
    Ok(())
}
