//! `latchkey keys add` and `latchkey keys promote`.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use shared::clock::Timestamp;
use shared::keys::{Algorithm, PUBLISH_LEAD, Purpose};

use super::list::{COLUMNS, Row};
use super::{KeyArgument, PurposeArgument, StackKeys, new_next, not_allowed};
use crate::audit::{Action, Change};
use crate::failure::Failure;
use crate::output::{Format, Printer, say};

/// The examples of `--help`.
pub(super) const ADD_EXAMPLES: &str = "\
Examples:
  latchkey keys add refresh
  latchkey keys add pepper
  latchkey keys add access --algorithm EdDSA

The key can sign after 900 s, when all instances know it. The rotation does all
of this by itself, except for a pepper. To change the algorithm for good, deploy
with the parameter AccessAlgorithm: the rotation drops a next key of another
algorithm.";

/// The examples of `--help`.
pub(super) const PROMOTE_EXAMPLES: &str = "\
Examples:
  latchkey keys promote T6AYNgYLJyM

The key that signed before verifies until all that it has signed has expired.
No user is signed out.";

/// Adds a key.
#[derive(Debug, Args)]
pub struct Add {
    /// What the key is for.
    purpose: PurposeArgument,
    /// The algorithm of the key. Without it, that of the key that signs.
    #[arg(long, value_enum, ignore_case = true)]
    algorithm: Option<AlgorithmArgument>,
}

/// An algorithm, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AlgorithmArgument {
    /// HMAC with SHA-256.
    #[value(name = "HS256")]
    Hs256,
    /// Ed25519, for access tokens only.
    #[value(name = "EdDSA")]
    EdDsa,
}

impl From<AlgorithmArgument> for Algorithm {
    fn from(argument: AlgorithmArgument) -> Self {
        match argument {
            AlgorithmArgument::Hs256 => Self::Hs256,
            AlgorithmArgument::EdDsa => Self::EdDsa,
        }
    }
}

/// Promotes a key.
#[derive(Debug, Args)]
pub struct Promote {
    #[command(flatten)]
    key: KeyArgument,
}

impl Add {
    pub(super) async fn run(self, keys: &StackKeys<'_>, output: Format) -> Result<()> {
        let (purpose, now) = (Purpose::from(self.purpose), Timestamp::now());
        let algorithm = self.algorithm.map(Algorithm::from);
        if algorithm == Some(Algorithm::EdDsa) && purpose != Purpose::Access {
            let text = "EdDSA is for access tokens only: no other service verifies the others. Nothing was changed.";
            return Err(Failure::Invalid(text.into()).into());
        }
        let stored = keys.read(purpose).await?;
        let current = stored.set.active(now).algorithm();
        let algorithm = algorithm.unwrap_or(current);
        let subject = format!("With another key, the set of {} keys", purpose.name());
        let set = stored.set.with_next(purpose, algorithm, now).map_err(|problem| not_allowed(&subject, &problem))?;
        let key = new_next(&set, &stored.set).context("no key was added")?;
        let event = Change::new(Action::KEY_ADDED).with("kid", &key.id).with("purpose", purpose.name());
        keys.write("keys add", event, &stored, &set).await?;
        say(&format!(
            "Published the next {} key {kid}. It can sign from {} on: `latchkey keys promote {kid}`.",
            purpose.name(),
            (now + PUBLISH_LEAD).rfc3339(),
            kid = key.id
        ));
        if algorithm != current {
            let name = algorithm.name();
            say(&format!("The rotation drops the key within an hour, unless the parameter AccessAlgorithm is {name}."));
        }
        Printer::one(output, COLUMNS, &Row::of(purpose, key, &set, now))
    }
}

impl Promote {
    pub(super) async fn run(self, keys: &StackKeys<'_>) -> Result<()> {
        let kid = self.key.kid.trim();
        let (stored, now) = (keys.find(kid).await?, Timestamp::now());
        let purpose = stored.purpose;
        let set = stored.set.with_promoted(purpose, kid, now).map_err(|problem| not_allowed("The stack", &problem))?;
        let event = Change::new(Action::KEY_PROMOTED).with("kid", kid).with("purpose", purpose.name());
        keys.write("keys promote", event, &stored, &set).await?;
        say(&format!("The {} key {kid} signs. All instances sign with it within 300 s.", purpose.name()));
        let before = &stored.set.active(now).id;
        match set.by_id(before).and_then(|key| key.retire_at) {
            Some(until) => say(&format!("{before} verifies until {}.", until.rfc3339())),
            None => say(&format!("{before} verifies without an end.")),
        }
        Ok(())
    }
}
