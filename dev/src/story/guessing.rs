//! An attacker guesses passwords of a known and of an unknown name, and the owner can still sign in.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, COOKIE, RETRY_AFTER};
use serde_json::json;

use super::Story;
use crate::event::cookies_of;
use crate::people::KIM;
use crate::unlock;

pub(super) const MORAL: &str = "\
After five failures the attacker must wait. The wait doubles with each failure, and it is the
same for an unknown name. The owner's device has an attempt counter of its own, so an attacker
elsewhere cannot lock it out.";

/// A login name without a user.
const UNKNOWN: &str = "no-such-user";

/// Plays the story.
pub(super) async fn play(story: &mut Story<'_>, root: &Path) -> Result<()> {
    let login = story.login(KIM.user_id, KIM.password, "").await?;
    let Some(device) = cookies_of(&login).into_iter().find(|cookie| cookie.contains("device=")) else {
        bail!("the login set no device cookie: start the stack with `DEVICE_COOKIE=on cargo dev`");
    };
    story.line("owner", "POST /login", "302, device cookie");

    for name in [UNKNOWN, KIM.user_id] {
        story.guess(root, name).await?;
    }
    story.line("owner", "right password, no device cookie", "429, Retry-After: 1");
    story.attempt("owner", "right password, device cookie", KIM.password, &device, "302").await?;

    tokio::time::sleep(Duration::from_secs(1)).await;
    story.attempt("attacker", "a wrong password after 1 second", "wrong", "", "401").await?;
    story.attempt("attacker", "a wrong password at once", "wrong", "", "429, Retry-After: 2").await?;

    for name in [KIM.user_id, UNKNOWN] {
        unlock::unlock(root, story.url, name).await?;
    }
    story.line("operator", "cargo dev unlock kimcoding", "attempt counter deleted");
    story.attempt("owner", "right password, no device cookie", KIM.password, "", "302").await
}

impl Story<'_> {
    /// Sends six wrong passwords and the right one. Expects 401 for the first five and 429 for the other two.
    ///
    /// The first wait lasts until the next second. All requests must fall into the same second; otherwise they are
    /// repeated.
    async fn guess(&mut self, root: &Path, name: &str) -> Result<()> {
        for _ in 0..10 {
            unlock::unlock(root, self.url, name).await?;
            tokio::time::sleep(until_the_next_second()).await;
            let mut responses = Vec::new();
            for password in [["wrong"; 6].as_slice(), &[KIM.password]].concat() {
                responses.push(summary(&self.login(name, password, "").await?));
            }
            let (first_five, others) = responses.split_at(5);
            if first_five.iter().any(|response| response != "401") {
                bail!("five wrong passwords for {name} returned {responses:?}, expected 401");
            }
            if others.iter().all(|response| response == "429, Retry-After: 1") {
                self.line("attacker", &format!("5 wrong passwords for {name}"), "401 for each");
                self.line("attacker", &format!("another wrong password for {name}"), &others[0]);
                return Ok(());
            }
        }
        bail!("this machine is too slow: seven logins never fell into the same second")
    }

    /// Sends a login for the owner's account. Expects this response.
    async fn attempt(&mut self, actor: &str, action: &str, password: &str, device: &str, expected: &str) -> Result<()> {
        let response = summary(&self.login(KIM.user_id, password, device).await?);
        if response != expected {
            bail!("the {actor}, {action}: {response}, expected {expected}");
        }
        self.line(actor, action, &response);
        Ok(())
    }

    async fn login(&self, name: &str, password: &str, cookie: &str) -> Result<Response> {
        let form = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
        let request = self.client.post(format!("{}/login", self.url)).header(CONTENT_TYPE, "application/json");
        Ok(request.header(COOKIE, cookie).body(form.to_string()).send().await?)
    }
}

/// Returns the status, and `Retry-After` if the response has this header.
fn summary(response: &Response) -> String {
    let status = response.status().as_u16();
    let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    wait.map_or_else(|| status.to_string(), |wait| format!("{status}, Retry-After: {wait}"))
}

fn until_the_next_second() -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since_epoch.as_secs() + 1).saturating_sub(since_epoch)
}
