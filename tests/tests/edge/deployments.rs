//! Deployments: what one version or one configuration of the service has made, another one accepts. During a
//! deployment, instances of both answer requests.

use std::time::Duration;

use shared::clock::Timestamp;
use shared::config::Environment;
use shared::store::User;
use testbed::{Event, Tables};

use crate::world::{NOW, Service, after};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The default lifetimes, and shorter ones.
const LONG: [(&str, &str); 0] = [];
const SHORT: [(&str, &str); 2] = [("ACCESS_TTL", "3600"), ("REFRESH_TTL", "86400")];

/// Two configurations of the service over the same tables.
struct World {
    tables: Tables,
    user: User,
}

impl World {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let user = testbed::add_kim(&tables.environment(&[])).await;
        Self { tables, user }
    }

    fn environment(&self, settings: &[(&str, &str)]) -> Environment {
        self.tables.environment(settings)
    }

    fn service(&self, settings: &[(&str, &str)]) -> Service {
        Service::new(self.environment(settings))
    }

    /// Signs in at [`NOW`], and returns the access token and the refresh token.
    async fn sign_in(&self, settings: &[(&str, &str)]) -> (String, String) {
        testbed::sign_in(&self.environment(settings), &self.user, true, NOW).await
    }
}

fn with(cookies: &[(&str, &str)]) -> Event {
    Event::recorded("userinfo").cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
}

/// Returns the status of every function that checks an access token, the authorizer included.
async fn statuses(service: &Service, access: &str, now: Timestamp) -> Vec<u16> {
    let cookie = [format!("access_jwt={access}")];
    let mut statuses = Vec::new();
    for name in ["userinfo", "sessions"] {
        statuses.push(service.send(&Event::recorded(name).cookies(cookie.clone()), now).await.reply.status);
    }
    let decision = service.authorize(&Event::recorded("authorizer").cookies(cookie), now).await.unwrap();
    statuses.push(if decision["isAuthorized"] == true { 200 } else { 401 });
    statuses
}

/// R44, R45: a lifetime is lowered or raised by a deployment. Old and new functions accept a token until the earlier of
/// its `exp` and `iat` + their own lifetime.
#[tokio::test]
async fn a_changed_lifetime_signs_out_only_a_user_whose_token_is_older() {
    let world = World::new().await;
    for [old, new] in [[&LONG[..], &SHORT[..]], [&SHORT[..], &LONG[..]]] {
        let (access, refresh) = world.sign_in(old).await;
        for settings in [old, new] {
            let service = world.service(settings);
            let is_short = old == SHORT || settings == SHORT;
            let what = format!("from {old:?} to {new:?}, a function with {settings:?}");
            let lives = if is_short { HOUR } else { DAY };
            for (secs, status) in [(0, 200), (60, 200), (lives - 1, 200), (lives + 5, 401), (DAY + 5, 401)] {
                let given = statuses(&service, &access, after(secs)).await;
                assert_eq!(given, [status; 3], "{what}, after {secs} s");
            }
            let lives = if is_short { DAY } else { 7 * DAY };
            // A `HEAD` checks the refresh token and changes nothing.
            for (secs, status) in [(2 * HOUR, 200), (lives - 1, 200), (lives + 5, 401)] {
                let head = with(&[("refresh_jwt", &refresh)]).method("HEAD");
                let given = service.send(&head, after(secs)).await.reply.status;
                assert_eq!(given, status, "{what}, after {secs} s");
            }
        }
    }
}

/// R71: during the deployment, old and new functions renew the session in turn. It still ends after 30 days.
#[tokio::test]
async fn functions_with_different_lifetimes_renew_one_session_in_turn() {
    let world = World::new().await;
    let longest = [("REFRESH_TTL", "2592000")];
    for settings in [[&LONG[..], &SHORT[..]], [&SHORT[..], &LONG[..]], [&SHORT[..], &longest[..]]] {
        let services = settings.map(|settings| world.service(settings));
        let (_, mut refresh) = world.sign_in(settings[0]).await;
        let mut now = NOW;
        let end = NOW + Duration::from_secs(30 * DAY);
        for turn in 1.. {
            now = now + Duration::from_secs(DAY - 1);
            let service = &services[turn % 2];
            let reply = service.send(&with(&[("refresh_jwt", &refresh)]), now).await.reply;
            if now >= end {
                assert_eq!(reply.status, 401, "{settings:?}");
                break;
            }
            assert_eq!((reply.status, reply.cookies.len()), (200, 2), "{settings:?}: {turn}");
            let access = reply.cookie("access_jwt").unwrap();
            for service in &services {
                assert_eq!(statuses(service, access, now).await, [200; 3], "{settings:?}: {turn}");
            }
            reply.cookie("refresh_jwt").unwrap().clone_into(&mut refresh);
        }
    }
}
