//! `latchkey keys retire`.

use anyhow::{Context as _, Result};
use clap::Args;
use shared::clock::Timestamp;
use shared::keys::{Key, KeySet, PUBLISH_LEAD, Purpose};

use super::{KeyArgument, StackKeys, new_next, not_allowed};
use crate::ask::Confirmation;
use crate::audit::{Action, Change};
use crate::failure::{Failure, explain};
use crate::output::{number_of, say};
use crate::stack::Stack;
use crate::stats::read_all;

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey keys retire T6AYNgYLJyM
  latchkey keys retire T6AYNgYLJyM --now        another person has the key
  latchkey keys retire T6AYNgYLJyM --now --yes

Without --now, the command drops only a key that never signed or that verifies
no more. With --now, it drops any key: tokens of the key are then refused
everywhere within 300 s. If it is the key that signs, the next key takes its
place.";

/// Retires a key.
#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    key: KeyArgument,
    /// Drop the key at once, although tokens of it are valid. Use this if another person has the key.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Retire {
    pub(super) async fn run(self, keys: &StackKeys<'_>) -> Result<()> {
        let kid = self.key.kid.trim();
        let stored = keys.find(kid).await?;
        let (purpose, key) = (stored.purpose, stored.set.by_id(kid).context("the set has no such key")?);
        let now = Timestamp::now();
        // An instance whose clock is ahead may already sign with a first key of later.
        let is_needed = stored.set.active(now).id == kid || stored.set.is_in_use(kid, now);
        if is_needed && !self.now {
            return Err(Failure::Invalid(instead(purpose, key, &stored.set, now)).into());
        }
        if is_needed {
            say(&consequence(keys.stack, purpose, kid, now).await);
            let question = format!("Drop the {} key {kid} of {} at once?", purpose.name(), keys.stack.name);
            self.confirmation.ask(&question).await?;
        }
        // The answer may have taken some time.
        let now = Timestamp::now();
        let subject = format!("Without this key, the set of {} keys", purpose.name());
        let set = stored.set.without(purpose, kid, now).map_err(|problem| not_allowed(&subject, &problem))?;
        let event = Change::new(Action::KEY_RETIRED).with("kid", kid).with("purpose", purpose.name());
        keys.write("keys retire", event.with("in_use", is_needed), &stored, &set).await?;
        say(&format!("The {} key {kid} is dropped.", purpose.name()));
        if self.now {
            say(&format!(
                "{} of this key are refused everywhere within 300 s, or within 900 s while Secrets Manager does not \
                 answer.",
                products(purpose)
            ));
            if key.public().is_some() {
                say("Other services that verify with the JWKS may keep it for 300 s more. Restart them to be sure.");
            }
        }
        say_what_replaces_it(&stored.set, &set, now);
        Ok(())
    }
}

/// Returns why a key cannot be dropped yet, and what to do.
fn instead(purpose: Purpose, key: &Key, set: &KeySet, now: Timestamp) -> String {
    let (kid, name) = (&key.id, purpose.name());
    let reason = if set.active(now).id == *kid {
        let next = set.keys().iter().find(|key| key.sign_from.is_none());
        let first = next.map_or_else(
            || format!("Publish another one first: `latchkey keys add {name}`."),
            |next| format!("Promote another key first: `latchkey keys promote {}`.", next.id),
        );
        format!("The {name} key {kid} signs. {first}")
    } else if let Some(until) = key.retire_at {
        format!("The {name} key {kid} verifies. Wait until {}.", until.rfc3339())
    } else {
        format!("The {name} key {kid} verifies without an end, because what it has signed may be valid.")
    };
    format!("{reason} If another person has the key, add --now to drop it at once. Nothing was changed.")
}

/// Returns what a purpose signs, as the beginning of a sentence.
const fn products(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Access => "Access tokens",
        Purpose::Refresh => "Refresh tokens",
        Purpose::Device => "Device cookies",
        Purpose::Pepper => "Passwords",
    }
}

/// Returns what happens to users when a key is dropped that tokens need. A count that fails does not stop an emergency.
async fn consequence(stack: &Stack, purpose: Purpose, kid: &str, now: Timestamp) -> String {
    match purpose {
        Purpose::Access | Purpose::Refresh => match Counts::of(stack, kid, now).await {
            Ok(counts) => counts.consequence(purpose),
            Err(error) => format!("The sessions that this may end cannot be counted: {}", explain(&error)),
        },
        Purpose::Device => "No session ends. Browsers with a device cookie of this key are unknown devices until the \
                            next login."
            .to_owned(),
        Purpose::Pepper => {
            "No session ends. Passwords that were hashed with this key no longer work. Their users need \
                            a new password: `latchkey users set-password`."
                .to_owned()
        }
    }
}

/// Counts of active sessions.
#[derive(Default)]
struct Counts {
    /// Sessions with a refresh token.
    persistent: usize,
    /// Sessions with a refresh token of the key.
    of_the_key: usize,
    /// Sessions that cannot be renewed.
    without_refresh_token: usize,
}

impl Counts {
    async fn of(stack: &Stack, kid: &str, now: Timestamp) -> Result<Self> {
        let mut counts = Self::default();
        let on_session = |session: shared::session::Session, is_active| {
            counts.persistent += usize::from(is_active && session.persistent);
            counts.of_the_key += usize::from(is_active && session.persistent && session.kid == kid);
            counts.without_refresh_token += usize::from(is_active && !session.persistent);
        };
        read_all(stack, now, |_| {}, on_session).await?;
        Ok(counts)
    }

    fn consequence(&self, purpose: Purpose) -> String {
        let active = number_of(self.persistent + self.without_refresh_token, "active session");
        if purpose == Purpose::Refresh {
            return format!(
                "This ends {} of {active}: those with a refresh token of this key. Each one ends when its access token \
                 expires.",
                self.of_the_key
            );
        }
        format!(
            "This may end {} of {active}: those without a refresh token. In the other {}, users only lose the access \
             token, and the refresh token renews it.",
            self.without_refresh_token, self.persistent
        )
    }
}

/// Says which key signs now, if it is another one, and which next key was published.
fn say_what_replaces_it(older: &KeySet, set: &KeySet, now: Timestamp) {
    let signs = set.active(now);
    if signs.id != older.active(now).id {
        say(&format!("{} signs now.", signs.id));
        if now < signs.published_at + PUBLISH_LEAD {
            say("No older key was ready. For at most 300 s, some instances do not know this key, and refuse what \
                 it signs.");
        }
    }
    if let Some(next) = new_next(set, older) {
        say(&format!("Published the next key {}.", next.id));
    }
}
