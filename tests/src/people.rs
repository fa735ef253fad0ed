//! The demonstration users, added to a test's tables.

use std::sync::OnceLock;

use dev::people::{KIM, PARK, Person};
use shared::config::Config;
use shared::passwords::PasswordHash;
use shared::store::{self, Budget};
use shared::users::{User, Users};

/// Adds `kimcoding`, whose password is `1234`.
pub async fn add_kim(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    add(config, KIM, &HASH).await
}

/// Adds `parkhacker`, whose password is `5678`.
pub async fn add_park(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    add(config, PARK, &HASH).await
}

/// The password is hashed once in each test binary.
async fn add(config: &Config, person: Person, hash: &OnceLock<PasswordHash>) -> User {
    let user = person.user().unwrap();
    let hash = hash.get_or_init(|| person.password_hash(config).unwrap());
    let users = Users::new(store::connect(config), &config.users_table);
    users.create(&user, hash.clone(), &Budget::new(None)).await.unwrap();
    user
}
