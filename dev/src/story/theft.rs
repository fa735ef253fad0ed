//! A thief uses a stolen refresh token, and the service detects the reuse.

use anyhow::{Result, bail};
use reqwest::Response;
use reqwest::header::COOKIE;

use super::Story;
use crate::target::cookies_of;

/// The cookies of one actor: an access and a refresh cookie, each as `name=value`.
#[derive(Clone)]
struct Jar {
    access: String,
    refresh: String,
    /// The number of the refresh token in its session.
    generation: u32,
}

pub(super) const MORAL: &str = "\
An old refresh token came back, so two clients hold tokens of this session. The
service cannot tell which of them is the owner. It ends the session for both,
and the owner signs in again.";

/// The password of the owner.
const PASSWORD: &str = "a long password of the owner";

/// Plays the story.
pub(super) async fn play(story: &mut Story<'_>) -> Result<()> {
    let mut owner = story.log_in().await?;
    let thief = owner.clone();
    story.line("thief", "copies the owner's cookies", "")?;
    story.renew("owner", &mut owner).await?;
    story.renew("owner", &mut owner).await?;
    story.reuse("thief", &thief).await?;
    story.fail("owner", &owner.refresh, &format!("refresh token {}", owner.generation)).await?;
    story.fail("owner", &owner.access, "newest access token").await?;
    story.fail("thief", &thief.access, "copied access token").await
}

impl Story<'_> {
    /// Signs a new user in.
    async fn log_in(&mut self) -> Result<Jar> {
        let owner = self.target.add_guest(PASSWORD).await?;
        let Some(jar) = jar(self.target.sign_in(&owner).await?, 1) else {
            bail!("the login did not set an access and a refresh cookie");
        };
        self.line("owner", "POST /login", "302, refresh token 1")?;
        Ok(jar)
    }

    /// Renews the session with the refresh token in the jar, and replaces the cookies in the jar.
    async fn renew(&mut self, actor: &str, held: &mut Jar) -> Result<()> {
        let request = format!("GET /userinfo, refresh token {}", held.generation);
        let response = self.userinfo(&held.refresh).await?;
        let status = response.status().as_u16();
        let Some(renewed) = jar(cookies_of(&response), held.generation + 1).filter(|_| status == 200) else {
            bail!("{request} returned {status} and did not renew the session");
        };
        *held = renewed;
        self.line(actor, &request, &format!("200, refresh token {}", held.generation))
    }

    /// Sends an old refresh token. Expects that the session ends.
    async fn reuse(&mut self, actor: &str, jar: &Jar) -> Result<()> {
        let request = format!("GET /userinfo, refresh token {}", jar.generation);
        let response = self.userinfo(&jar.refresh).await?;
        let status = response.status().as_u16();
        let cleared = cookies_of(&response).iter().filter(|cookie| cookie.ends_with('=')).count();
        if (status, cleared) != (401, 2) {
            bail!("{request} returned {status} and cleared {cleared} cookies, expected 401 and 2");
        }
        self.line(actor, &request, "401, session ends, cookies cleared")
    }

    /// Sends a token of the ended session. Expects 401.
    async fn fail(&mut self, actor: &str, cookie: &str, token: &str) -> Result<()> {
        let request = format!("GET /userinfo, {token}");
        let status = self.userinfo(cookie).await?.status().as_u16();
        if status != 401 {
            bail!("{request} returned {status}, expected 401");
        }
        self.line(actor, &request, "401")
    }

    async fn userinfo(&self, cookie: &str) -> Result<Response> {
        Ok(self.target.client().get(format!("{}/userinfo", self.target.url())).header(COOKIE, cookie).send().await?)
    }
}

/// Returns a jar with the access and the refresh cookie, or `None` if one of them is missing or cleared.
fn jar(mut cookies: Vec<String>, generation: u32) -> Option<Jar> {
    cookies.retain(|cookie| !cookie.contains("device="));
    let [access, refresh] = <[String; 2]>::try_from(cookies).ok()?;
    let are_tokens = access.contains("access_jwt=ey") && refresh.contains("refresh_jwt=ey");
    are_tokens.then_some(Jar { access, refresh, generation })
}
