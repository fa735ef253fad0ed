//! A refresh token is stolen, and found out.

use std::path::Path;

use anyhow::{Result, bail};
use reqwest::Response;
use reqwest::header::COOKIE;

use super::Story;
use crate::event::{self, cookies_of};

/// What one of them holds: an access and a refresh cookie, each `name=value`, and which refresh token it is.
#[derive(Clone)]
struct Jar {
    access: String,
    refresh: String,
    generation: u32,
}

const MORAL: &str = "\
Refresh token 1 had a successor, and that one too: two hold tokens of one session. Nobody can tell which of them is
the thief, so the session is over for both, and its owner signs in again.";

/// Plays it.
pub(super) async fn play(story: &mut Story<'_>, certificate: &Path) -> Result<&'static str> {
    let mut owner = story.log_in(certificate).await?;
    let thief = owner.clone();
    story.line("thief", "copies the owner's cookies", "");
    story.renews("owner", &mut owner).await?;
    story.renews("owner", &mut owner).await?;
    story.is_found_out("thief", &thief).await?;
    story.is_refused("owner", &owner.refresh, &format!("refresh token {}", owner.generation)).await?;
    story.is_refused("owner", &owner.access, "the newest access token").await?;
    story.is_refused("thief", &thief.access, "the copied access token").await?;
    Ok(MORAL)
}

impl Story<'_> {
    async fn log_in(&mut self, certificate: &Path) -> Result<Jar> {
        let cookies = event::cookies(self.url, certificate).await?;
        let Some(jar) = jar(cookies, 1) else {
            bail!("the login set other cookies than an access and a refresh token")
        };
        self.line("owner", "POST /login", "302, refresh token 1");
        Ok(jar)
    }

    /// Shows the refresh token, and takes what comes in its place.
    async fn renews(&mut self, who: &str, held: &mut Jar) -> Result<()> {
        let asked = format!("GET /userinfo with refresh token {}", held.generation);
        let answer = self.ask(&held.refresh).await?;
        let status = answer.status().as_u16();
        let Some(renewed) = jar(cookies_of(&answer), held.generation + 1).filter(|_| status == 200) else {
            bail!("{asked} was answered with {status}, and not renewed");
        };
        *held = renewed;
        self.line(who, &asked, &format!("200, refresh token {}", held.generation));
        Ok(())
    }

    async fn is_found_out(&mut self, who: &str, held: &Jar) -> Result<()> {
        let asked = format!("GET /userinfo with refresh token {}", held.generation);
        let answer = self.ask(&held.refresh).await?;
        let (status, cleared) =
            (answer.status().as_u16(), cookies_of(&answer).iter().filter(|cookie| cookie.ends_with('=')).count());
        if (status, cleared) != (401, 2) {
            bail!("{asked} was answered with {status} and {cleared} cleared cookies");
        }
        self.line(who, &asked, "401, both cookies cleared: the session is ended");
        Ok(())
    }

    async fn is_refused(&mut self, who: &str, cookie: &str, what: &str) -> Result<()> {
        let asked = format!("GET /userinfo with {what}");
        let status = self.ask(cookie).await?.status().as_u16();
        if status != 401 {
            bail!("{asked} was answered with {status}");
        }
        self.line(who, &asked, "401");
        Ok(())
    }

    async fn ask(&self, cookie: &str) -> Result<Response> {
        Ok(self.client.get(format!("{}/userinfo", self.url)).header(COOKIE, cookie).send().await?)
    }
}

fn jar(mut cookies: Vec<String>, generation: u32) -> Option<Jar> {
    cookies.retain(|cookie| !cookie.contains("device="));
    let [access, refresh] = <[String; 2]>::try_from(cookies).ok()?;
    let are_ours = access.contains("access_jwt=ey") && refresh.contains("refresh_jwt=ey");
    are_ours.then_some(Jar { access, refresh, generation })
}
