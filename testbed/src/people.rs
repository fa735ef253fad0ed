//! The demonstration users, added to a test's tables and signed in.

use std::sync::OnceLock;

use dev::people::{KIM, PARK, Person};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::id::UserId;
use shared::identity::Identity;
use shared::passwords::PasswordHash;
use shared::session::{Opening, Rules};
use shared::sessions::Sessions;
use shared::store::{self, Budget};
use shared::tokens::Signer;
use shared::users::{User, Users};

/// Adds `kimcoding`, whose password is `1234`.
pub async fn add_kim(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    demonstrate(config, KIM, &HASH).await
}

/// Adds `parkhacker`, whose password is `5678`.
pub async fn add_park(config: &Config) -> User {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    demonstrate(config, PARK, &HASH).await
}

/// The password is hashed once in each test binary.
async fn demonstrate(config: &Config, person: Person, hash: &OnceLock<PasswordHash>) -> User {
    let hash = hash.get_or_init(|| person.password_hash(config).unwrap());
    add(config, person.user().unwrap(), hash.clone()).await
}

/// Adds a user of that name and id, with a hash as it is: whatever it is.
pub async fn import(config: &Config, name: &str, hash: &str) -> User {
    let mut user = KIM.user().unwrap();
    user.profile.id = UserId::parse(name).unwrap();
    user.profile.user_id = name.to_owned();
    user.profile.email = format!("{name}@example.com");
    add(config, user, serde_json::from_value(hash.into()).unwrap()).await
}

/// Adds a user.
pub async fn add(config: &Config, user: User, hash: PasswordHash) -> User {
    let users = Users::new(store::connect(config), &config.users_table);
    users.create(&user, hash, &Budget::new(None)).await.unwrap();
    user
}

/// Opens a session without a password, and signs its tokens: access and refresh. A session that is not kept has an empty
/// refresh token.
pub async fn sign_in(config: &Config, user: &User, keep: bool, now: Timestamp) -> (String, String) {
    let signer = Signer::new(config);
    let opening = Opening {
        user_id: &user.profile.id,
        epoch: user.session_epoch,
        keep,
        kid: signer.refresh_kid(),
        user_agent: None,
        source_ip: None,
    };
    let session = Rules::new(config).begin(opening, now).unwrap();
    Sessions::new(store::connect(config), config).open(&session, &Budget::new(None)).await.unwrap();
    let identity = Identity { user: user.clone(), session };
    let access = signer.access(&identity.subject(), now, identity.session.ends_at()).unwrap();
    let generation = identity.session.current_generation();
    let refresh = generation.map(|generation| signer.refresh(&identity.subject(), &generation).unwrap());
    (access.expose().to_owned(), refresh.map(|token| token.expose().to_owned()).unwrap_or_default())
}
