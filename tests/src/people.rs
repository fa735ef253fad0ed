//! The demonstration users of the contract.

use std::sync::OnceLock;

use shared::config::Config;
use shared::id::UserId;
use shared::passwords::{Hasher, Password, PasswordHash};
use shared::store::{self, Budget};
use shared::users::{Profile, User, Users};

/// Adds `kimcoding`, whose password is `1234`.
pub async fn add_kim(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    let profile =
        profile(["0", "kimcoding", "kimcoding@authstates.com", "김코딩", "Frontend Developer", "Seoul, South Korea"]);
    add(config, User::new(profile), HASH.get_or_init(|| hashed("1234"))).await
}

/// Adds `parkhacker`, whose password is `5678`.
pub async fn add_park(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    let profile =
        profile(["1", "parkhacker", "parkhacker@authstates.com", "박해커", "Security Engineer", "Busan, South Korea"]);
    add(config, User::new(profile), HASH.get_or_init(|| hashed("5678"))).await
}

async fn add(config: &Config, user: User, hash: &PasswordHash) -> User {
    let users = Users::new(store::connect(config), &config.users_table);
    users.create(&user, hash.clone(), &Budget::new(None)).await.unwrap();
    user
}

/// Hashed once in each test binary, at the default cost.
fn hashed(password: &str) -> PasswordHash {
    let hasher = Hasher::new(&Config::from_lookup(crate::settings(&[])).unwrap()).unwrap();
    hasher.hash(&Password::new(password).unwrap()).unwrap()
}

fn profile([id, user_id, email, name, position, location]: [&str; 6]) -> Profile {
    Profile {
        id: UserId::parse(id).unwrap(),
        user_id: user_id.to_owned(),
        email: email.to_owned(),
        name: name.to_owned(),
        position: position.to_owned(),
        location: location.to_owned(),
        bio: "Was here before Latchkey.".to_owned(),
        roles: Vec::new(),
    }
}
