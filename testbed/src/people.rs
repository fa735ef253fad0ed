//! Users in the tables of a test: the demonstration users and others, and their sessions.

use std::sync::OnceLock;

use dev::people::{KIM, PARK, Person};
use shared::auth::Identity;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::id::UserId;
use shared::password::PasswordHash;
use shared::session::{Lifetimes, NewSession, Source};
use shared::store::{self, Sessions, User, Users};
use shared::token::Signer;

/// Adds `kimcoding` with the password `1234`.
pub async fn add_kim(env: &Environment) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    add_person(env, KIM, &HASH).await
}

/// Adds `parkhacker` with the password `5678`.
pub async fn add_park(env: &Environment) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    add_person(env, PARK, &HASH).await
}

/// Adds a demonstration user. The password is hashed once for each test binary.
async fn add_person(env: &Environment, person: Person, hash: &OnceLock<PasswordHash>) -> User {
    let hash = hash.get_or_init(|| person.password_hash(env).unwrap());
    add(env, person.user().unwrap(), hash.clone()).await
}

/// Adds a user with this login name, also as its id, and with this hash, which need not be valid.
pub async fn import(env: &Environment, name: &str, hash: &str) -> User {
    let mut user = KIM.user().unwrap();
    user.profile.id = UserId::parse(name).unwrap();
    user.profile.user_id = name.to_owned();
    user.profile.email = format!("{name}@example.com");
    add(env, user, serde_json::from_value(hash.into()).unwrap()).await
}

/// Adds a user with this hash.
pub async fn add(env: &Environment, user: User, hash: PasswordHash) -> User {
    let users = Users::from_env(store::connect(env).unwrap(), env).unwrap();
    users.create(&user, hash, &Budget::new(None)).await.unwrap();
    user
}

/// Opens a session without a password, and returns its access token and its refresh token. The refresh token is empty
/// if the session is not persistent.
pub async fn sign_in(env: &Environment, user: &User, persistent: bool, now: Timestamp) -> (String, String) {
    sign_in_from(Source::default(), env, user, persistent, now).await
}

/// Opens a session as [`sign_in`] does, from this address and this browser.
pub async fn sign_in_from(
    source: Source,
    env: &Environment,
    user: &User,
    persistent: bool,
    now: Timestamp,
) -> (String, String) {
    let signer = Signer::from_env(env).unwrap();
    let new = NewSession {
        user_id: &user.profile.id,
        epoch: user.session_epoch,
        persistent,
        kid: &signer.refresh_kid(now),
        source,
    };
    let session = Lifetimes::from_env(env).unwrap().open(new, now).unwrap();
    Sessions::from_env(store::connect(env).unwrap(), env).unwrap().open(&session, &Budget::new(None)).await.unwrap();
    let identity = Identity { user: user.clone(), session };
    let access = signer.access(&identity.subject(), now, identity.session.ends_at()).unwrap();
    let generation = identity.session.current_generation();
    let refresh = generation.map(|generation| signer.refresh(&identity.subject(), &generation).unwrap());
    (access.expose().to_owned(), refresh.map(|token| token.expose().to_owned()).unwrap_or_default())
}
