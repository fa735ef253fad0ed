//! Somebody guesses passwords, of a name that exists and of one that does not, and the owner gets in.

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

const MORAL: &str = "\
Who guesses has five tries, then has to wait twice as long each time, and is told the same of a name that nobody has. The
owner's device has a count of its own: who locks an account from outside does not lock it out.";

/// A name that nobody has.
const INVENTED: &str = "nobody";

/// Plays it.
pub(super) async fn play(story: &mut Story<'_>, root: &Path) -> Result<&'static str> {
    let signed_in = story.login(KIM.user_id, KIM.password, "").await?;
    let Some(device) = cookies_of(&signed_in).into_iter().find(|cookie| cookie.contains("device=")) else {
        bail!("the login set no device cookie: start the stack with `DEVICE_COOKIE=on cargo dev`");
    };
    story.line("owner", "POST /login", "302, and a device cookie");

    for name in [INVENTED, KIM.user_id] {
        story.is_guessed(root, name).await?;
    }
    story.line("owner", "with the right password, elsewhere", "429, Retry-After: 1");
    story.meets("owner", "with the right password and the device", KIM.password, &device, "302").await?;

    tokio::time::sleep(Duration::from_secs(1)).await;
    story.meets("guesser", "a second later, kimcoding, wrong", "wrong", "", "401").await?;
    story.meets("guesser", "and at once, kimcoding, wrong", "wrong", "", "429, Retry-After: 2").await?;

    for name in [KIM.user_id, INVENTED] {
        unlock::forget(root, story.url, name).await?;
    }
    story.line("operator", "cargo dev unlock kimcoding", "forgets what was counted");
    story.meets("owner", "with the right password, elsewhere", KIM.password, "", "302").await?;
    Ok(MORAL)
}

impl Story<'_> {
    /// Five wrong passwords are refused, the sixth is not looked at, and no more is the right one. A wait is counted in whole
    /// seconds: all have to fall into one, else they are made again.
    async fn is_guessed(&mut self, root: &Path, name: &str) -> Result<()> {
        for _ in 0..10 {
            unlock::forget(root, self.url, name).await?;
            tokio::time::sleep(until_the_next_second()).await;
            let mut answers = Vec::new();
            for password in [["wrong"; 6].as_slice(), &[KIM.password]].concat() {
                answers.push(told(&self.login(name, password, "").await?));
            }
            let (looked_at, refused) = answers.split_at(5);
            if looked_at.iter().any(|answer| answer != "401") {
                bail!("five wrong passwords for {name} were answered with {answers:?}");
            }
            if refused.iter().all(|answer| answer == "429, Retry-After: 1") {
                self.line("guesser", &format!("POST /login, {name}, wrong, 5 times"), "401, each time");
                self.line("guesser", &format!("POST /login, {name}, wrong, once more"), &refused[0]);
                return Ok(());
            }
        }
        bail!("seven logins never fell into one second: this machine is too busy for the story")
    }

    async fn meets(&mut self, who: &str, does: &str, password: &str, device: &str, expected: &str) -> Result<()> {
        let answer = told(&self.login(KIM.user_id, password, device).await?);
        if answer != expected {
            bail!("the {who}, {does}: {answer} instead of {expected}");
        }
        self.line(who, does, &answer);
        Ok(())
    }

    async fn login(&self, name: &str, password: &str, cookie: &str) -> Result<Response> {
        let form = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
        let request = self.client.post(format!("{}/login", self.url)).header(CONTENT_TYPE, "application/json");
        Ok(request.header(COOKIE, cookie).body(form.to_string()).send().await?)
    }
}

fn told(answer: &Response) -> String {
    let status = answer.status().as_u16();
    let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    wait.map_or_else(|| status.to_string(), |wait| format!("{status}, Retry-After: {wait}"))
}

fn until_the_next_second() -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since_epoch.as_secs() + 1).saturating_sub(since_epoch)
}
