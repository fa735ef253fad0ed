//! An attacker guesses passwords of a known and of an unknown name, and the owner can still sign in.
//!
//! The story sends the event of each login to the function itself. This gives the owner and the attacker a source
//! address each. Names and addresses are new in each run, so that no run changes the next one or locks the developer
//! out.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use super::Story;
use crate::event::Event;
use crate::invoke::Reply;
use crate::people::{Login, random_number};
use crate::unlock;

pub(super) const MORAL: &str = "\
After five failures the attacker must wait. The wait doubles with each failure,
and it is the same for an unknown name. The owner's device has an attempt
counter of its own, so an attacker elsewhere cannot lock it out.";

/// The number of failures without a wait.
const FREE_FAILURES: u32 = 5;

/// The attacker guesses until the account is locked for so long that the owner can try meanwhile. On a slow machine it
/// is locked for longer.
const LOCKED_FOR: Duration = Duration::from_secs(4);

/// An actor at an address.
struct Actor {
    name: &'static str,
    source_ip: String,
}

/// An attacker who guesses the password of one login name.
struct Guesses {
    attacker: Actor,
    login: Login,
    /// The failures in a row.
    failures: u32,
    /// The time before the last guess.
    last: Instant,
    /// The longest time that a response took.
    slowest: Duration,
}

/// Plays the story.
pub(super) async fn play(story: &mut Story<'_>) -> Result<()> {
    let owner = Actor::new("owner")?;
    let login = story.target.add_guest("a long password of the owner").await?;
    let response = story.login(&owner, &login, None).await?;
    let Some(device) = response.cookies().find(|cookie| cookie.contains("device=")).map(str::to_owned) else {
        bail!("the login set no device cookie: start the stack with `DEVICE_COOKIE=on cargo dev`");
    };
    story.line(owner.name, "POST /login", "302, device cookie")?;

    let unknown = Login { name: format!("{}-unknown", login.name), password: String::new() };
    Guesses::new(unknown)?.until_refused(story, "unknown name").await?;
    let mut guesses = Guesses::new(login.clone())?;
    let mut wait = guesses.until_refused(story, "owner's name").await?;
    while wait < LOCKED_FOR.max(4 * guesses.slowest) {
        wait = guesses.again(story, wait).await?;
    }

    let response = story.login(&owner, &login, None).await?;
    let wait = refusal(&response).with_context(|| unexpected("right password, no device cookie", &response))?;
    story.line(owner.name, "right password, no device cookie", &refused(wait))?;
    story.succeed(&owner, &login, Some(&device)).await?;
    unlock::unlock(story.target, &login.name).await?;
    story.line("operator", "cargo dev unlock NAME", "attempt counter deleted")?;
    story.succeed(&owner, &login, None).await
}

impl Story<'_> {
    /// Signs in with the right password. Expects 302.
    async fn succeed(&mut self, actor: &Actor, login: &Login, device: Option<&str>) -> Result<()> {
        let action = format!("right password, {}device cookie", if device.is_some() { "" } else { "no " });
        let response = self.login(actor, login, device).await?;
        if response.status != 302 {
            bail!(unexpected(&action, &response));
        }
        self.line(actor.name, &action, "302")
    }

    /// Sends the event of a login to the function.
    async fn login(&self, actor: &Actor, login: &Login, cookie: Option<&str>) -> Result<Reply> {
        let event = Event::read(self.target.root(), "login")?.of_login(login, &actor.source_ip, cookie);
        let reply = self.target.functions()?.invoke("login", &event).await?;
        Ok(serde_json::from_value(reply)?)
    }
}

impl Actor {
    /// Returns an actor with a random address. RFC 3849 reserves these addresses for examples.
    fn new(name: &'static str) -> Result<Self> {
        let network = u128::from(random_number()? & 0xffff_ffff);
        let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64) | 1);
        Ok(Self { name, source_ip: address.to_string() })
    }
}

impl Guesses {
    fn new(login: Login) -> Result<Self> {
        let login = Login { name: login.name, password: "wrong".to_owned() };
        let attacker = Actor::new("attacker")?;
        Ok(Self { attacker, login, failures: 0, last: Instant::now(), slowest: Duration::ZERO })
    }

    /// Guesses without a pause until a guess is refused. Returns the wait.
    async fn until_refused(&mut self, story: &mut Story<'_>, whose: &str) -> Result<Duration> {
        tokio::time::sleep(until_the_next_second()).await;
        let wait = loop {
            if let Some(wait) = self.guess(story).await? {
                break wait;
            }
        };
        let action = format!("{} wrong passwords, {whose}", self.failures);
        story.line(self.attacker.name, &action, "401 for each")?;
        story.line(self.attacker.name, "a wrong password at once", &refused(wait))?;
        Ok(wait)
    }

    /// Waits, guesses once, and then guesses without a pause until a guess is refused. Returns the new wait.
    async fn again(&mut self, story: &mut Story<'_>, wait: Duration) -> Result<Duration> {
        tokio::time::sleep(wait).await;
        tokio::time::sleep(until_the_next_second()).await;
        if self.guess(story).await?.is_some() {
            bail!("a guess was refused after a wait of {} s", wait.as_secs());
        }
        story.line(self.attacker.name, &format!("a wrong password after {} s", wait.as_secs()), "401")?;
        loop {
            let wait = self.guess(story).await?;
            story.line(self.attacker.name, "a wrong password at once", &wait.map_or("401".to_owned(), refused))?;
            if let Some(wait) = wait {
                return Ok(wait);
            }
        }
    }

    /// Sends a wrong password. Returns `None` for 401, and the wait for 429.
    ///
    /// On a slow machine a wait can be over when the next guess arrives, so that a guess without a pause gets 401, too.
    async fn guess(&mut self, story: &Story<'_>) -> Result<Option<Duration>> {
        let (earlier, now) = (self.last, Instant::now());
        self.last = now;
        let response = story.login(&self.attacker, &self.login, None).await?;
        self.slowest = self.slowest.max(now.elapsed());
        // The wait after these failures. The service counts it from the beginning of a second.
        let wait =
            self.failures.checked_sub(FREE_FAILURES).map_or(0, |doublings| (1_u64 << doublings.min(10)).min(900));
        if let Some(refused_for) = refusal(&response) {
            if refused_for > Duration::from_secs(wait) {
                bail!("failure {} was refused for {} s, expected {wait} s", self.failures + 1, refused_for.as_secs());
            }
            self.last = earlier;
            return Ok(Some(refused_for));
        }
        if response.status != 401 {
            bail!(unexpected("a wrong password", &response));
        }
        if earlier.elapsed() + Duration::from_secs(1) < Duration::from_secs(wait) {
            bail!("a guess got 401 before its wait of {wait} s was over");
        }
        self.failures += 1;
        Ok(None)
    }
}

/// Returns the wait of a 429 response, or `None` for another response.
fn refusal(response: &Reply) -> Option<Duration> {
    let wait = response.header("retry-after").filter(|_| response.status == 429)?;
    wait.parse().ok().map(Duration::from_secs)
}

fn refused(wait: Duration) -> String {
    format!("429, Retry-After: {}", wait.as_secs())
}

fn unexpected(action: &str, response: &Reply) -> String {
    format!("{action}: the service returned an unexpected {}", response.status)
}

/// Returns the rest of this second. The service counts in whole seconds, so `Retry-After` is the whole wait if the
/// failure and the next guess are in the same second.
fn until_the_next_second() -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since_epoch.as_secs() + 1).saturating_sub(since_epoch)
}
