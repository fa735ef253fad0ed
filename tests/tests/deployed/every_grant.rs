//! Each grant of a role is needed: without it, clients or operators do not get what they rely on.

use std::time::Duration;

use dev::people::KIM;
use shared::budget::Budget;
use shared::clock::Timestamp;
use shared::keys::Purpose;
use shared::store::{self, Attempts, LoginName, Users};
use testbed::contract::{self, Stack};
use testbed::deployed::Emulator;
use testbed::{PROTECTED, sign_in};

use super::{grants, keys};

/// R96. Takes each grant away. Clients and operators then do not get what they rely on.
pub(crate) async fn check(emulator: &Emulator, stack: &Stack) {
    let (of_rotation, others): (Vec<_>, Vec<_>) =
        grants::grants().into_iter().partition(|(function, ..)| function == "RotationFunction");
    promises(stack).await;
    for grant in &others {
        grants::is_needed(emulator, grant, Box::pin(promises(stack))).await;
    }
    promises(stack).await;
    // The rotation comes last: it replaces the keys, and instances that run keep the old ones for 300 s.
    the_rotation_writes_each_key_set(emulator).await;
    for grant in &of_rotation {
        grants::is_needed(emulator, grant, the_rotation_writes_each_key_set(emulator)).await;
    }
    the_rotation_writes_each_key_set(emulator).await;
}

/// Checks all that clients rely on, and the best-effort work of a login, which no client sees.
async fn promises(stack: &Stack) {
    grants::add_people(stack).await;
    let first = stack.access_token().await;
    let (client, budget, now) = (store::connect(&stack.env).unwrap(), Budget::new(None), Timestamp::now());
    let users = Users::from_env(client.clone(), &stack.env).unwrap();
    let found = users.find_by_login_name(&LoginName::parse(KIM.user_id).unwrap(), &budget).await.unwrap().unwrap();
    let hash = found.credentials.password_hash.unwrap();
    assert!(hash.expose().starts_with("$argon2id$"), "a login replaces an imported hash");
    let sources = Attempts::from_env(client, &stack.env).unwrap().sources(now, &budget).await.unwrap();
    assert_eq!(sources, [], "a right password does not count against its source");

    let kim = KIM.user().unwrap();
    for _ in 1..100 {
        sign_in(&stack.env, &kim, false, now + Duration::from_secs(1)).await;
    }
    assert_eq!(stack.status_for(&first).await, 200);
    stack.access_token().await;
    assert_eq!(stack.status_for(&first).await, 401, "the 101st login ends the oldest session");

    contract::check(stack).await;
    contract::check_authorizer(stack, PROTECTED).await;
}

/// Lets the keys become old, and runs the rotation.
async fn the_rotation_writes_each_key_set(emulator: &Emulator) {
    let mut before = Vec::new();
    for purpose in ROTATED {
        emulator.age_keys(purpose, Duration::from_hours(24 * 91)).await;
        before.push(key_ids(emulator, purpose).await);
    }
    keys::run(emulator, "sam remote invoke", "").await;
    for (purpose, before) in ROTATED.into_iter().zip(before) {
        assert_ne!(key_ids(emulator, purpose).await, before, "{purpose:?}");
    }
}

/// The purposes whose keys the function rotates.
const ROTATED: [Purpose; 3] = [Purpose::Access, Purpose::Refresh, Purpose::Device];

async fn key_ids(emulator: &Emulator, purpose: Purpose) -> Vec<String> {
    emulator.key_set(purpose).await.keys().iter().map(|key| key.id.clone()).collect()
}
