//! The two demonstration users that existing clients know, and guests. They exist in the local stack and in tests,
//! never in a deployed stack (R33).

use anyhow::{Context as _, Result};
use aws_lc_rs::rand;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::Error;
use shared::id::UserId;
use shared::password::{Hasher, Password, PasswordHash};
use shared::store::{self, Profile, User, Users};

/// A demonstration user.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The user id.
    pub id: &'static str,
    /// The login name.
    pub user_id: &'static str,
    /// The password in clear text. The contract publishes it.
    pub password: &'static str,
    email: &'static str,
    /// The name of the person.
    pub name: &'static str,
    position: &'static str,
    location: &'static str,
    bio: &'static str,
}

/// `kimcoding` with the password `1234`.
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

/// `parkhacker` with the password `5678`.
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
    /// Returns the user record.
    ///
    /// # Errors
    /// Fails if the id is not a valid user id.
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

    /// Hashes the password at the configured cost.
    ///
    /// # Errors
    /// Fails if a setting is invalid, or if the system has no randomness or memory left.
    pub fn password_hash(&self, env: &Environment) -> Result<PasswordHash, Error> {
        Hasher::from_env(env)?.hash(&Password::new(self.password)?, Timestamp::now())
    }
}

/// Adds both users to the table, unless they exist.
///
/// # Errors
/// Fails if the table does not respond.
pub async fn add_missing(env: &Environment) -> Result<()> {
    let users = Users::from_env(store::connect(env)?, env)?;
    for person in [KIM, PARK] {
        let user = person.user()?;
        if users.find(&user.profile.id, &Budget::new(None)).await?.is_none() {
            let added = users.create(&user, person.password_hash(env)?, &Budget::new(None)).await;
            added.with_context(|| format!("cannot add the demonstration user {}", person.user_id))?;
        }
    }
    Ok(())
}

/// A login name with its password.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Login {
    /// Returns the login of a demonstration user.
    pub(crate) fn of(person: Person) -> Self {
        Self { name: person.user_id.to_owned(), password: person.password.to_owned() }
    }
}

/// Adds a user with a new login name and this password. What a command does to this user does not change the
/// demonstration users.
///
/// # Errors
/// Fails if the table does not respond.
pub(crate) async fn add_guest(env: &Environment, password: &str) -> Result<Login> {
    let name = format!("guest-{:012x}", random_number()? & 0xffff_ffff_ffff);
    let user = User::new(Profile {
        id: UserId::parse(name.as_str())?,
        user_id: name.clone(),
        email: format!("{name}@example.com"),
        name: "Guest".to_owned(),
        position: "Guest".to_owned(),
        location: "This machine".to_owned(),
        bio: "A user of one `cargo dev` command.".to_owned(),
        roles: Vec::new(),
    });
    let hash = Hasher::from_env(env)?.hash(&Password::new(password)?, Timestamp::now())?;
    let added = Users::from_env(store::connect(env)?, env)?.create(&user, hash, &Budget::new(None)).await;
    added.context("cannot add a user to the running stack")?;
    Ok(Login { name, password: password.to_owned() })
}

/// Returns a random number.
///
/// # Errors
/// Fails if the random number generator fails.
pub(crate) fn random_number() -> Result<u64> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).ok().context("the random number generator failed")?;
    Ok(u64::from_le_bytes(bytes))
}
