//! `latchkey keys`: the keys of a deployed stack.
//!
//! Owns which secrets hold the key sets of a stack, the search for a key by its id, and the conditional write with its
//! audit event. The rules of a set, and the steps of a rotation, are those of `shared::keys`. No command prints a
//! secret.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use shared::clock::Timestamp;
use shared::error::Error;
use shared::keys::{Key, KeySet, Problem, Purpose};
use shared::store::{KeySets, StoredKeys};

use crate::Context;
use crate::audit::{Audit, Change};
use crate::failure::Failure;
use crate::stack::{Stack, environment};

mod change;
mod list;
mod retire;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys, without their secrets.
    #[command(after_help = list::EXAMPLES)]
    List(list::List),
    /// Publish another next key, which can sign later.
    #[command(after_help = change::ADD_EXAMPLES)]
    Add(change::Add),
    /// Let a next key sign from now on.
    #[command(after_help = change::PROMOTE_EXAMPLES)]
    Promote(change::Promote),
    /// Drop a key that no token needs. With --now, drop any key at once.
    #[command(after_help = retire::EXAMPLES)]
    Retire(retire::Retire),
}

impl Command {
    /// Runs a command.
    ///
    /// # Errors
    /// The failure of the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let keys = StackKeys::of(&stack).await?;
        match self {
            Self::List(list) => list.run(&keys, context.output).await,
            Self::Add(add) => add.run(&keys, context.output).await,
            Self::Promote(promote) => promote.run(&keys).await,
            Self::Retire(retire) => retire.run(&keys).await,
        }
    }
}

/// What keys are for, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PurposeArgument {
    /// Sign access tokens.
    Access,
    /// Sign refresh tokens.
    Refresh,
    /// Sign device cookies.
    Device,
    /// The pepper of password hashes.
    Pepper,
}

impl From<PurposeArgument> for Purpose {
    fn from(argument: PurposeArgument) -> Self {
        match argument {
            PurposeArgument::Access => Self::Access,
            PurposeArgument::Refresh => Self::Refresh,
            PurposeArgument::Device => Self::Device,
            PurposeArgument::Pepper => Self::Pepper,
        }
    }
}

/// A key, on the command line.
#[derive(Clone, Debug, Args)]
struct KeyArgument {
    /// The id of the key, from the column KID of `latchkey keys list`.
    // An id can begin with a hyphen.
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

/// What a key does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Signs, and verifies.
    Signs,
    /// Is published, and has signed nothing. It already verifies.
    Next,
    /// Has signed, and still verifies.
    Verifies,
    /// Does neither.
    Retired,
}

impl State {
    /// Returns the state of a key of a set.
    fn of(key: &Key, set: &KeySet, now: Timestamp) -> Self {
        if set.active(now).id == key.id && key.sign_from <= Some(now) {
            Self::Signs
        } else if key.is_retired(now) {
            Self::Retired
        } else if set.is_in_use(&key.id, now) {
            Self::Verifies
        } else {
            Self::Next
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Next => "next",
            Self::Verifies => "verifies",
            Self::Retired => "retired",
        }
    }
}

/// The purposes, in the order of the list.
const PURPOSES: [Purpose; 4] = [Purpose::Access, Purpose::Refresh, Purpose::Device, Purpose::Pepper];

/// The key sets of a stack.
struct StackKeys<'a> {
    stack: &'a Stack,
    sets: KeySets,
    /// The purposes that have a set. A stack can have no pepper.
    purposes: Vec<Purpose>,
}

impl<'a> StackKeys<'a> {
    /// Finds the secrets of a stack in the settings of the function `login`, which has all of them.
    async fn of(stack: &'a Stack) -> Result<Self> {
        if stack.is_local() {
            let text = "The keys of the local stack are fixed. Change them in the file .env, and start `cargo dev` \
                        again. This command is for a deployed stack.";
            return Err(Failure::Invalid(text.into()).into());
        }
        let env = environment(stack.variables("login").await?);
        let mut arns = BTreeMap::new();
        for purpose in PURPOSES {
            let variable = purpose.variable();
            if let Some(arn) = env.arn(variable) {
                arns.insert(purpose, arn);
            } else if purpose != Purpose::Pepper || env.optional(variable).is_some() {
                let text = format!(
                    "{variable} of the function login is not the ARN of a secret. Deploy the current template."
                );
                return Err(Failure::NotFound(text).into());
            }
        }
        let purposes = arns.keys().copied().collect();
        let client = aws_sdk_secretsmanager::Client::new(&stack.sdk);
        Ok(Self { stack, sets: KeySets::new(client, arns), purposes })
    }

    /// Reads the set of a purpose.
    async fn read(&self, purpose: Purpose) -> Result<StoredKeys> {
        if !self.purposes.contains(&purpose) {
            let text = format!("The stack {} has no {}.", self.stack.name, purpose.name());
            return Err(Failure::NotFound(text).into());
        }
        self.sets.read(purpose).await.map_err(|error| failed(purpose, error))
    }

    /// Finds the set that has a key with this id. A set that cannot be read does not hide a key of another set. An id
    /// in two sets, which were written by hand, is refused: the wrong key could be dropped.
    async fn find(&self, kid: &str) -> Result<StoredKeys> {
        let (mut found, mut failure) = (None, None);
        for purpose in &self.purposes {
            // The pepper comes last. An operator who may not read it can still change another key.
            if *purpose == Purpose::Pepper && found.is_some() {
                break;
            }
            match self.read(*purpose).await {
                Ok(stored) if stored.set.by_id(kid).is_some() => {
                    if let Some(first) = found.replace(stored) {
                        let text = format!(
                            "Two key sets have a key {kid}: change the id in the set {}.",
                            first.purpose.name()
                        );
                        return Err(Failure::Invalid(text).into());
                    }
                }
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
        let not_found = || Failure::NotFound(format!("There is no key {kid}. `latchkey keys list` shows the keys."));
        Err(failure.unwrap_or_else(|| not_found().into()))
    }

    /// Writes the audit event of a change, then the new set, if the stored set is still the one that was read.
    async fn write(&self, command: &'static str, event: Change, stored: &StoredKeys, set: &KeySet) -> Result<()> {
        Audit::open(self.stack, command).await?.record(&[event]).await?;
        match self.sets.replace(stored, set).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = "The keys were changed at the same time. Nothing was written. Try again.";
                Err(Failure::Conflict(text.into()).into())
            }
            Err(error @ Error::Unavailable(_)) => Err(failed(stored.purpose, error)
                .context("the keys may have been changed or not. Look with `latchkey keys list`")),
            Err(error) => Err(failed(stored.purpose, error)),
        }
    }
}

/// Returns the failure for a set that cannot be read or written.
fn failed(purpose: Purpose, error: Error) -> anyhow::Error {
    let (name, causes) = (purpose.name(), error.causes());
    let failure = match error {
        Error::Unavailable(_) => Failure::Unavailable(format!("Secrets Manager did not answer. Try again: {causes}")),
        Error::Misconfigured(_) if causes.contains("ResourceNotFound") => {
            Failure::NotFound(format!("The secret of the {name} keys does not exist: {causes}"))
        }
        Error::Misconfigured(_) => Failure::Denied(format!(
            "AWS refused a call for the secret of the {name} keys: {causes}\n`latchkey iam-policy` prints the policy \
             that the commands need."
        )),
        Error::Setting { problem, .. } => {
            Failure::Incomplete(format!("The set of {name} keys cannot be used: it {problem}."))
        }
        error => return anyhow::Error::from(error).context(format!("cannot read or write the {name} keys")),
    };
    failure.into()
}

/// Returns the failure for a change that a rule does not allow. `subject` completes the sentence of the problem.
fn not_allowed(subject: &str, problem: &Problem) -> anyhow::Error {
    Failure::Invalid(format!("{subject} {problem}. Nothing was changed.")).into()
}

/// Returns the next key that an older set does not have.
fn new_next<'a>(set: &'a KeySet, older: &KeySet) -> Option<&'a Key> {
    let mut next = set.keys().iter().filter(|key| key.sign_from.is_none());
    next.find(|key| older.by_id(&key.id).is_none()).map(AsRef::as_ref)
}
