//! The flows of `docs/sessions.md` in several processes of the function, whose clocks differ. libfaketime changes the
//! clock of each process, so that a process can also be a week ahead, and no test has to wait.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::path::Path;

use shared::clock::Timestamp;
use shared::config::Environment;
use testbed::{Event, Reply, Tables};

mod fleet;

use fleet::Function;

const DAY: i64 = 86_400;

/// Debian's package `faketime` has this library.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A user who signs in on the true clock, and processes of the function over the same tables.
struct World {
    tables: Tables,
    access: String,
    refresh: String,
    /// How far the clock of each process is ahead, in seconds.
    fleet: Vec<(i64, Function)>,
}

impl World {
    async fn new(clocks: &[i64]) -> Self {
        assert!(Path::new(LIBRARY).is_file(), "install the Debian package faketime");
        let tables = Tables::new().await;
        let env = Environment::new(tables.settings(&[]));
        let user = testbed::add_kim(&env).await;
        let (access, refresh) = testbed::sign_in(&env, &user, true, Timestamp::now()).await;
        let (variables, _) = tables.metered_variables().await;
        let mut fleet = Vec::new();
        for &ahead in clocks {
            let mut variables = variables.clone();
            variables.push(("LD_PRELOAD", LIBRARY.to_owned()));
            variables.push(("FAKETIME", format!("{ahead:+}s")));
            variables.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
            fleet.push((ahead, Function::start(&variables).await));
        }
        Self { tables, access, refresh, fleet }
    }

    /// Sends cookies to the process whose clock is this far ahead.
    async fn send(&self, ahead: i64, cookies: &[(&str, &str)]) -> Reply {
        let (_, function) = self.fleet.iter().find(|(clock, _)| *clock == ahead).unwrap();
        let event = Event::recorded("userinfo").cookies(cookies.iter().map(|(name, token)| format!("{name}={token}")));
        function.reply(&function.enqueue(&event).await).await
    }

    /// Presents a refresh token to the process whose clock is this far ahead. Returns its successor.
    async fn renew(&self, ahead: i64, refresh: &str) -> String {
        let reply = self.send(ahead, &[("refresh_jwt", refresh)]).await;
        assert_eq!(reply.status, 200, "{ahead} s: {reply:?}");
        reply.cookie("refresh_jwt").unwrap().to_owned()
    }

    fn session(&self) -> serde_json::Value {
        self.tables.items("SessionsTable").remove(0)
    }
}

fn refused(reply: &Reply) -> bool {
    (reply.status, reply.cookies.len()) == (401, 0)
}

/// R62, R63, F29: the tabs of a browser, at instances whose clocks differ by less than the leeway of 5 s.
#[tokio::test]
async fn parallel_tabs_get_one_successor_from_instances_whose_clocks_differ() {
    let world = World::new(&[0, 2, -2]).await;
    let successor = world.renew(2, &world.refresh).await;
    for ahead in [0, -2, 2] {
        assert_eq!(world.renew(ahead, &world.refresh).await, successor, "{ahead} s");
    }
    assert_eq!(world.session()["gen"]["N"], "2");
    let next = world.renew(-2, &successor).await;
    assert_ne!(next, successor);
}

/// R65, R66: the story of the stolen token, with a day between two renewals. The thief meets a slow clock.
#[tokio::test]
async fn a_stolen_token_is_detected_by_an_instance_with_another_clock() {
    let world = World::new(&[0, DAY, 2 * DAY, 2 * DAY - 4]).await;
    let second = world.renew(DAY, &world.refresh).await;
    let third = world.renew(2 * DAY, &second).await;
    let thief = world.send(2 * DAY - 4, &[("refresh_jwt", &world.refresh)]).await;
    assert_eq!((thief.status, thief.cookies.len()), (401, 2), "the session has ended");
    for ahead in [0, 2 * DAY] {
        assert!(refused(&world.send(ahead, &[("refresh_jwt", &third)]).await), "{ahead} s");
    }
    assert!(refused(&world.send(0, &[("access_jwt", &world.access)]).await));
}

/// F29: the tokens of an instance whose clock is half a minute ahead.
#[tokio::test]
async fn a_token_from_the_future_is_refused_and_changes_no_cookie() {
    let world = World::new(&[0, 30]).await;
    let renewed = world.send(30, &[("refresh_jwt", &world.refresh)]).await;
    let access = renewed.cookie("access_jwt").unwrap();
    assert_eq!(world.send(30, &[("access_jwt", access)]).await.status, 200);
    assert!(refused(&world.send(0, &[("access_jwt", access)]).await));
    assert_eq!(world.session().get("ended_at"), None);
}

/// F29: the limitation that `docs/sessions.md` describes.
#[tokio::test]
async fn a_second_use_at_an_instance_ahead_by_more_than_the_grace_period_counts_as_reuse() {
    let world = World::new(&[0, 30]).await;
    world.renew(0, &world.refresh).await;
    assert_eq!(world.send(30, &[("refresh_jwt", &world.refresh)]).await.cookies.len(), 2, "both cookies are cleared");
    assert!(world.session().get("ended_at").is_some());
}

/// R70, F29: an instance that is an hour behind, before and after another one has found the session expired.
#[tokio::test]
async fn an_expired_session_is_not_revived_by_an_instance_that_is_an_hour_behind() {
    let week = 7 * DAY + 60;
    let world = World::new(&[week, week - 3600]).await;
    assert!(refused(&world.send(week, &[("refresh_jwt", &world.refresh)]).await));
    assert!(refused(&world.send(week - 3600, &[("refresh_jwt", &world.refresh)]).await));

    let world = World::new(&[week, week - 3600]).await;
    let successor = world.renew(week - 3600, &world.refresh).await;
    assert_eq!(world.send(week, &[("refresh_jwt", &successor)]).await.status, 200, "no instance has found it expired");
}
