//! Adding the entries of a file to the users table, batch by batch.
//!
//! Owns the checks of an entry, and what happens if an id, a login name or an address is taken. `import` owns the file,
//! the progress and the report.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use shared::clock::Timestamp;
use shared::error::Error;
use shared::id::UserId;
use shared::password::{Hasher, PasswordHash};
use shared::store::{Account, Attempts, LoginName, Owners, Profile, User, Users};

use crate::audit::{Action, Audit, Change};
use crate::import::{Entry, Format, Incoming};
use crate::output::without_csv_mark;
use crate::profile::check;
use crate::stack::{Stack, budget};

/// How many users are written at the same time.
const WRITERS: usize = 32;

/// How long an import waits for a throttled table before it gives up.
const MAX_WAIT: Duration = Duration::from_mins(2);

/// What happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The user was added. `without_password`: the entry has no hash.
    Added { without_password: bool },
    /// The user was there before.
    Present,
    /// The user was refused, with the reason.
    Refused(String),
}

/// An entry that passed all checks that need no table.
struct Checked {
    user: User,
    /// Whether the id is in the file. Otherwise it was derived from the login name.
    has_own_id: bool,
    hash: Option<PasswordHash>,
}

/// An entry with its position in the batch.
type Numbered = (usize, Checked);

/// What the operator wants to be changed in every entry.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Rules {
    /// Give each user a new id, derived from the one in the file. Use this if the ids collide with those of other
    /// users.
    #[arg(long)]
    new_ids: bool,
    /// Import a user whose hash cannot be used without a password, instead of refusing the user.
    #[arg(long)]
    drop_unusable_hashes: bool,
    /// Take the e-mail address for the login name, for example because the names have spaces.
    #[arg(long)]
    email_as_login: bool,
}

/// Adds users to a stack.
pub(super) struct Importer {
    users: Users,
    attempts: Attempts,
    /// The counters of wrong passwords, also at names that do not exist yet.
    counted: HashSet<String>,
    hasher: Hasher,
    format: Format,
    rules: Rules,
    now: Timestamp,
    /// The ids, names and addresses of the users that a dry run would add.
    planned: HashMap<Key, Profile>,
}

/// An id, a login name or an address, in lower case.
type Key = (&'static str, String);

impl Importer {
    pub(super) async fn new(stack: &Stack, format: Format, rules: Rules) -> Result<Self> {
        let hasher = Hasher::from_env(&stack.settings(&["login"], &["PASSWORD_PEPPER"]).await?);
        let hasher = hasher.context("the settings of the stack are invalid")?;
        let attempts = stack.attempts().await?;
        let counted = attempts.counted(&budget()).await?;
        let (users, now) = (stack.users()?, Timestamp::now());
        Ok(Self { users, attempts, counted, hasher, format, rules, now, planned: HashMap::new() })
    }

    /// Imports a batch, and returns the outcome of each entry. Without an audit log, only says what would happen.
    pub(super) async fn import(&mut self, batch: &[Entry], audit: Option<&Audit>) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let mut checked = Vec::new();
        for ((position, entry), outcome) in batch.iter().enumerate().zip(&mut outcomes) {
            match self.check(entry) {
                Ok(entry) => checked.push((position, entry)),
                Err(reason) => *outcome = Some(Outcome::Refused(reason)),
            }
        }
        // The first of two entries with one name wins, so the second one waits until the first one is written.
        let (first, later) = without_repeated_names(checked);
        for (entries, writers) in [(first, WRITERS), (later, 1)] {
            let profiles: Vec<_> = entries.iter().map(|(_, entry)| &entry.user.profile).collect();
            let owners = self.users.owners(&profiles, &budget()).await?;
            let mut new = Vec::new();
            for ((position, entry), owners) in entries.into_iter().zip(owners) {
                match self.conflict(&entry, &owners) {
                    Some(outcome) => outcomes[position] = Some(outcome),
                    None => new.push((position, entry)),
                }
            }
            match audit {
                None => {
                    for (position, entry) in new {
                        outcomes[position] = Some(Outcome::Added { without_password: entry.hash.is_none() });
                        self.plan(&entry.user.profile);
                    }
                }
                Some(audit) => {
                    for (position, outcome) in self.add_all(new, writers, audit).await? {
                        outcomes[position] = Some(outcome);
                    }
                }
            }
        }
        outcomes.into_iter().collect::<Option<_>>().context("an entry has no outcome")
    }

    /// Records the events of new users, and adds the users.
    async fn add_all(
        &self,
        new: Vec<(usize, Checked)>,
        writers: usize,
        audit: &Audit,
    ) -> Result<Vec<(usize, Outcome)>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let change = |(_, entry): &(usize, Checked)| Change::of_user(Action::USER_IMPORTED, &entry.user.profile.id);
        audit.record(&new.iter().map(change).collect::<Vec<_>>()).await?;
        let add = |(position, entry)| async move { Ok((position, self.add(entry).await?)) };
        stream::iter(new.into_iter().map(add)).buffer_unordered(writers).try_collect().await
    }

    /// Returns the outcome for a user whose id, name or address is taken, or `None` for a new user.
    fn conflict(&self, entry: &Checked, owners: &Owners) -> Option<Outcome> {
        let profile = &entry.user.profile;
        let [id, name, address] = keys(profile);
        match &owners.id {
            Some(Some(there)) => return Some(already_there(entry, there)),
            Some(None) => return Some(refused_id(profile)),
            None => {
                if let Some(there) = self.planned.get(&id) {
                    return Some(already_there(entry, there));
                }
            }
        }
        let is_taken = |owner: &Option<UserId>, key: &Key| owner.is_some() || self.planned.contains_key(key);
        if is_taken(&owners.login_name, &name) {
            return Some(refused("login name", &profile.user_id));
        }
        is_taken(&owners.email, &address).then(|| refused("e-mail address", &profile.email))
    }

    /// Remembers a user that a dry run would add.
    fn plan(&mut self, profile: &Profile) {
        self.planned.extend(keys(profile).map(|key| (key, profile.clone())));
    }

    /// Checks everything that needs no table. The error says why the entry is refused.
    fn check(&self, entry: &Entry) -> Result<Checked, String> {
        let incoming = entry.user.as_ref().map_err(Clone::clone)?;
        let hash = incoming.password_hash.as_deref().map(|hash| self.hasher.import(hash));
        let hash = match hash.transpose() {
            Err(_) if self.rules.drop_unusable_hashes => None,
            hash => hash.map_err(|error| error.to_string())?,
        };
        let profile = self.profile(incoming).map_err(|error| error.to_string())?;
        check(&profile).map_err(|failure| failure.to_string())?;
        let user = User { disabled: incoming.disabled, ..User::new_at(profile, self.now) };
        Ok(Checked { user, has_own_id: incoming.id.is_some(), hash })
    }

    fn profile(&self, incoming: &Incoming) -> Result<Profile, Error> {
        let login = if self.rules.email_as_login { &incoming.email } else { &incoming.user_id };
        let name = LoginName::parse(login)?;
        let is_csv = self.format == Format::Csv;
        let text = |text: &String| if is_csv { without_csv_mark(text).to_owned() } else { text.clone() };
        let profile = Profile {
            id: self.id(incoming.id.as_deref(), &name)?,
            user_id: login.trim().to_owned(),
            email: incoming.email.trim().to_owned(),
            name: text(&incoming.name),
            position: text(&incoming.position),
            location: text(&incoming.location),
            bio: text(&incoming.bio),
            roles: incoming.roles.clone(),
        };
        Ok(profile)
    }

    /// Returns the id of the other system if it is a valid one. Otherwise derives one from it, or from the login name.
    /// The same entry always gets the same id, so that importing it again finds it.
    fn id(&self, id: Option<&str>, name: &LoginName) -> Result<UserId, Error> {
        if let Some(id) = id.filter(|_| !self.rules.new_ids).and_then(|id| UserId::parse(id).ok()) {
            return Ok(id);
        }
        let format = format!("{:?}", self.format);
        let (kind, original) = id.map_or(("login name", name.as_str()), |id| ("id", id));
        let input = ["latchkey import", &format, kind, original].join("\0");
        let digest = digest::digest(&digest::SHA256, input.as_bytes());
        UserId::parse(URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default()))
    }

    /// Adds a user. Another user may have taken a name since it was read.
    async fn add(&self, entry: Checked) -> Result<Outcome> {
        let without_password = entry.hash.is_none();
        let profile = &entry.user.profile;
        match self.create(&entry.user, entry.hash.clone()).await? {
            Some("id") => {
                let there = self.users.find(&profile.id, &budget()).await?;
                Ok(there.map_or_else(|| refused_id(profile), |there| already_there(&entry, &there.profile)))
            }
            Some(what @ "login name") => Ok(refused(what, &profile.user_id)),
            Some(what) => Ok(refused(what, &profile.email)),
            None => {
                let account = Account::named(&profile.user_id);
                self.attempts.unlock_if_counted(&account, &self.counted, &budget()).await?;
                Ok(Outcome::Added { without_password })
            }
        }
    }

    /// Creates a user. Returns what is taken, if something is. Waits while the table is throttled.
    async fn create(&self, user: &User, hash: Option<PasswordHash>) -> Result<Option<&'static str>> {
        let (deadline, mut pause) = (Instant::now() + MAX_WAIT, Duration::from_millis(200));
        loop {
            match self.users.create(user, hash.clone(), &budget()).await {
                Ok(()) => return Ok(None),
                Err(Error::Taken(what)) => return Ok(Some(what)),
                Err(Error::Unavailable(_)) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Returns the outcome for a user whose id is there. If the id is in the file, it is the same user if the login name or
/// the address is the same: the operator may have changed the other one. An id that was derived from the login name
/// says nothing about the person, so that the address must be the same.
fn already_there(entry: &Checked, there: &Profile) -> Outcome {
    let profile = &entry.user.profile;
    let [[_, name, address], [_, name_there, address_there]] = [keys(profile), keys(there)];
    if address == address_there || (entry.has_own_id && name == name_there) {
        return Outcome::Present;
    }
    if entry.has_own_id {
        return refused_id(profile);
    }
    Outcome::Refused(format!("the login name {} belongs to a user with another e-mail address", profile.user_id))
}

fn refused_id(profile: &Profile) -> Outcome {
    refused("id", profile.id.as_str())
}

fn refused(what: &str, value: &str) -> Outcome {
    Outcome::Refused(format!("another user has the {what} {value}"))
}

/// Returns what no two users may have in common: the id, the login name and the address, in canonical forms.
fn keys(profile: &Profile) -> [Key; 3] {
    let canonical =
        |text: &str| LoginName::parse(text).map_or_else(|_| text.to_lowercase(), |name| name.as_str().to_owned());
    [("id", profile.id.to_string()), ("name", canonical(&profile.user_id)), ("address", canonical(&profile.email))]
}

/// Splits a batch: in the second part, each entry has an id, a name or an address of an earlier entry. They are written
/// one after the other, so that the first one wins.
fn without_repeated_names(entries: Vec<Numbered>) -> (Vec<Numbered>, Vec<Numbered>) {
    let mut seen = HashSet::new();
    entries.into_iter().partition(|(_, entry)| {
        // Every key is inserted, also after one that is not new.
        let is_new = keys(&entry.user.profile).map(|key| seen.insert(key));
        is_new.iter().all(|is_new| *is_new)
    })
}
