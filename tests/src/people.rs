//! The demonstration users, added to a test's tables and signed in.

use std::sync::OnceLock;

use dev::people::{KIM, PARK, Person};
use shared::clock::Timestamp;
use shared::config::Config;
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
