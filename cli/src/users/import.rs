//! `latchkey users import`: users from a file, checked one by one.
//!
//! A user that cannot be imported is reported with its line and goes to a file of refused lines. The others are added.
//! The same file can be imported again: users that are there already stay as they are. So an interrupted import is
//! continued by the same command.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::error::Error;
use shared::id::UserId;
use shared::password::{Hasher, PasswordHash};
use shared::store::{LoginName, Profile, User, Users};
use tokio::sync::mpsc;

use super::refused::Refused;
use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::{Failure, INTERRUPTED};
use crate::import::{Entry, FirebaseHash, Format, Incoming, Reader};
use crate::output::{Printer, number_of, printable, say};
use crate::profile::check;
use crate::progress::{Progress, rate};
use crate::stack::{Stack, budget};

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey users import users.jsonl --dry-run
  latchkey users import users.jsonl
  latchkey users import realm-export.json --from keycloak
  latchkey users import firebase.json --firebase-hash hash-config.txt
  gunzip < users.csv.gz | latchkey users import - --from csv

docs/import.md says how to export the users of each system, and which hashes are
accepted. Running the same command again changes nothing, and continues an
import that was interrupted.";

/// How many entries are checked and recorded together.
const BATCH: usize = 250;

/// How many users are written at the same time.
const WRITERS: usize = 32;

/// How long an import waits for a throttled table before it gives up.
const MAX_WAIT: Duration = Duration::from_mins(2);

/// Imports users.
#[derive(Debug, Args)]
pub struct Import {
    /// The file. `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The system that wrote the file. Without this option, the command looks at the file.
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<Format>,
    /// The file with the hash parameters of a Firebase project.
    #[arg(long, value_name = "FILE")]
    firebase_hash: Option<PathBuf>,
    /// Say for each line what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where the refused lines go. They may hold password hashes. [default: FILE.refused]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
}

/// What happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The user was added. `without_password`: the entry has no hash.
    Added { without_password: bool },
    /// The user was there before.
    Present,
    /// The user was refused, with the reason.
    Refused(String),
}

/// A line of `--dry-run`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned<'a> {
    line: u64,
    user_id: &'a str,
    outcome: &'static str,
    reason: &'a str,
}

const PLANNED: &[&str] = &["line", "userId", "outcome", "reason"];

/// What was done.
#[derive(Default)]
struct Counts {
    added: usize,
    without_password: usize,
    present: usize,
    refused: usize,
}

/// An entry that passed all checks that need no table.
struct Checked {
    user: User,
    hash: Option<PasswordHash>,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let firebase = self.firebase_hash.as_deref().map(firebase_hash).transpose()?;
        let (input, progress) = open(&self.file)?;
        let reader =
            Reader::open(input, self.from, firebase).with_context(|| format!("{} cannot be imported", self.name()))?;
        if self.firebase_hash.is_some() && reader.format() != Format::Firebase {
            let text = format!("--firebase-hash is for Firebase, but {} is of another format.", self.name());
            return Err(Failure::Invalid(text).into());
        }
        let stack = context.stack().await?;
        let importer = Importer::new(&stack, reader.format()).await?;
        let audit = if self.dry_run { None } else { Some(Audit::open(&stack, "users import").await?) };
        let mut refused = Refused::new(self.refused_path(), reader.format(), reader.header().map(str::to_owned));
        let mut printer = self.dry_run.then(|| Printer::list(context.output, PLANNED));
        let (started, mut counts) = (Instant::now(), Counts::default());

        let mut entries = read_in_background(reader);
        let mut interrupted = Box::pin(tokio::signal::ctrl_c());
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            let was_interrupted = tokio::select! {
                biased;
                _ = &mut interrupted => true,
                () = fill(&mut batch, &mut entries) => false,
            };
            if was_interrupted || batch.is_empty() {
                progress.finish();
                refused.finish()?;
                printer.map_or(Ok(()), Printer::finish)?;
                return self.report(&counts, refused.path(), started, was_interrupted);
            }
            let outcomes = importer.import(&batch, audit.as_ref()).await?;
            for (entry, outcome) in batch.iter().zip(&outcomes) {
                if let Outcome::Refused(reason) = outcome
                    && !self.dry_run
                {
                    progress.say(&format!("{}:{}: {}", self.name(), entry.line, printable(reason)));
                    refused.write(&entry.raw)?;
                }
                counts.add(outcome);
            }
            if let Some(printer) = &mut printer {
                let planned: Vec<_> =
                    batch.iter().zip(&outcomes).map(|(entry, outcome)| planned(entry, outcome)).collect();
                printer.page(&planned)?;
            }
            let done = counts.added + counts.present + counts.refused;
            progress.note(format!("{done} users{}", rate(done, started.elapsed())));
        }
    }

    /// Returns the name of the file in messages.
    fn name(&self) -> String {
        if self.is_stdin() { "stdin".to_owned() } else { self.file.display().to_string() }
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    fn refused_path(&self) -> PathBuf {
        let default = || {
            let name = self.file.file_name().filter(|_| !self.is_stdin());
            let mut name = name.map_or_else(|| "users".into(), std::ffi::OsStr::to_owned);
            name.push(".refused");
            PathBuf::from(name)
        };
        self.refused.clone().unwrap_or_else(default)
    }

    /// Says what was done.
    fn report(&self, counts: &Counts, refused: Option<&Path>, started: Instant, was_interrupted: bool) -> Result<()> {
        let Counts { added, without_password, present, refused: count } = counts;
        let took = rate(added + present + count, started.elapsed());
        let would = if self.dry_run { "would be " } else { "" };
        let added_users = number_of(*added, "user");
        say(&format!("{added_users} {would}added, {present} were there already, {count} {would}refused{took}."));
        if *without_password > 0 {
            let text = "cannot sign in until a password is set.";
            say(&format!("{} without a password {text}", number_of(*without_password, "added user")));
        }
        if let Some(file) = refused {
            say(&format!("The refused lines are in {}. Correct them and import that file.", file.display()));
        }
        if was_interrupted {
            say("Interrupted. Run the same command again to continue.");
            std::process::exit(INTERRUPTED.into());
        }
        if *count > 0 {
            return Err(Failure::Incomplete(format!("{} refused", number_of(*count, "user"))).into());
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Added { without_password } => {
                self.added += 1;
                self.without_password += usize::from(*without_password);
            }
            Outcome::Present => self.present += 1,
            Outcome::Refused(_) => self.refused += 1,
        }
    }
}

fn planned<'a>(entry: &'a Entry, outcome: &'a Outcome) -> Planned<'a> {
    let (outcome, reason) = match outcome {
        Outcome::Added { without_password: false } => ("add", ""),
        Outcome::Added { without_password: true } => ("add", "no password"),
        Outcome::Present => ("present", ""),
        Outcome::Refused(reason) => ("refuse", reason.as_str()),
    };
    let user_id = entry.user.as_ref().map_or("", |user| user.user_id.as_str());
    Planned { line: entry.line, user_id, outcome, reason }
}

/// Adds users to a stack.
struct Importer {
    users: Users,
    hasher: Hasher,
    format: Format,
    now: Timestamp,
}

impl Importer {
    async fn new(stack: &Stack, format: Format) -> Result<Self> {
        let hasher = Hasher::from_env(&stack.settings(&["login"]).await?);
        let hasher = hasher.context("the settings of the stack are invalid")?;
        Ok(Self { users: stack.users()?, hasher, format, now: Timestamp::now() })
    }

    /// Imports a batch, and returns the outcome of each entry. Without an audit log, only says what would happen.
    async fn import(&self, batch: &[Entry], audit: Option<&Audit>) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let mut checked = Vec::new();
        for ((position, entry), outcome) in batch.iter().enumerate().zip(&mut outcomes) {
            match self.check(entry) {
                Ok(entry) => checked.push((position, entry)),
                Err(reason) => *outcome = Some(Outcome::Refused(reason)),
            }
        }
        // Users who are there cost a read and no write, and no audit event.
        let mut ids: Vec<_> = checked.iter().map(|(_, entry)| entry.user.profile.id.clone()).collect();
        ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        ids.dedup();
        let there = self.users.find_all(&ids, &budget()).await?;
        checked.retain(|(position, entry)| {
            let there = there.get(&entry.user.profile.id);
            outcomes[*position] = there.map(|there| already_there(&entry.user, there));
            there.is_none()
        });
        if let Some(audit) = audit.filter(|_| !checked.is_empty()) {
            let change = |(_, entry): &(usize, Checked)| Change::of_user(Action::USER_IMPORTED, &entry.user.profile.id);
            audit.record(&checked.iter().map(change).collect::<Vec<_>>()).await?;
        }
        let (first, later) = without_repeated_names(checked);
        let is_dry = audit.is_none();
        for (entries, writers) in [(first, WRITERS), (later, 1)] {
            let add =
                |(position, entry)| async move { Ok::<_, anyhow::Error>((position, self.add(entry, is_dry).await?)) };
            let mut added = stream::iter(entries.into_iter().map(add)).buffer_unordered(writers);
            while let Some(outcome) = added.next().await {
                let (position, outcome) = outcome?;
                outcomes[position] = Some(outcome);
            }
        }
        outcomes.into_iter().collect::<Option<_>>().context("an entry has no outcome")
    }

    /// Checks everything that needs no table. The error says why the entry is refused.
    fn check(&self, entry: &Entry) -> Result<Checked, String> {
        let incoming = entry.user.as_ref().map_err(Clone::clone)?;
        let hash = incoming.password_hash.as_deref().map(|hash| self.hasher.import(hash));
        let hash = hash.transpose().map_err(|error| error.to_string())?;
        let profile = self.profile(incoming).map_err(|error| error.to_string())?;
        check(&profile).map_err(|failure| failure.to_string())?;
        // A new epoch and a new password version, so that no token of an earlier user with this id becomes valid again.
        let era = self.now.as_secs();
        let user =
            User { disabled: incoming.disabled, session_epoch: era, password_version: era, ..User::new(profile) };
        Ok(Checked { user, hash })
    }

    fn profile(&self, incoming: &Incoming) -> Result<Profile, Error> {
        let name = LoginName::parse(&incoming.user_id)?;
        let profile = Profile {
            id: self.id(incoming.id.as_deref(), &name)?,
            user_id: incoming.user_id.trim().to_owned(),
            email: incoming.email.trim().to_owned(),
            name: incoming.name.clone(),
            position: incoming.position.clone(),
            location: incoming.location.clone(),
            bio: incoming.bio.clone(),
            roles: incoming.roles.clone(),
        };
        profile.check_names()?;
        Ok(profile)
    }

    /// Returns the id of the other system if it is a valid one. Otherwise derives one from it, or from the login name.
    /// The same entry always gets the same id, so that importing it again finds it.
    fn id(&self, id: Option<&str>, name: &LoginName) -> Result<UserId, Error> {
        if let Some(id) = id.and_then(|id| UserId::parse(id).ok()) {
            return Ok(id);
        }
        let format = format!("{:?}", self.format);
        let (kind, original) = id.map_or(("login name", name.as_str()), |id| ("id", id));
        let input = ["latchkey import", &format, kind, original].join("\0");
        let digest = digest::digest(&digest::SHA256, input.as_bytes());
        UserId::parse(URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default()))
    }

    /// Adds a user, unless the user is there already.
    async fn add(&self, Checked { user, hash }: Checked, is_dry: bool) -> Result<Outcome> {
        let without_password = hash.is_none();
        let taken = if is_dry { self.taken(&user).await? } else { self.create(&user, hash).await? };
        let Some(what) = taken else { return Ok(Outcome::Added { without_password }) };
        if what == "id" {
            let there = self.users.find(&user.profile.id, &budget()).await?;
            return Ok(there.map_or_else(|| refused_id(&user), |there| already_there(&user, &there)));
        }
        let value = if what == "login name" { &user.profile.user_id } else { &user.profile.email };
        Ok(Outcome::Refused(format!("another user has the {what} {value}")))
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

    /// Returns what is taken, without a write.
    async fn taken(&self, user: &User) -> Result<Option<&'static str>> {
        let Profile { id, user_id, email, .. } = &user.profile;
        if self.users.find(id, &budget()).await?.is_some() {
            return Ok(Some("id"));
        }
        if self.users.find_by_login_name(&LoginName::parse(user_id)?, &budget()).await?.is_some() {
            return Ok(Some("login name"));
        }
        Ok(self.users.find_by_email(email, &budget()).await?.map(|_| "e-mail address"))
    }
}

/// Returns the outcome for a user whose id is there. It is the same user if the login name or the address is the same.
fn already_there(user: &User, there: &User) -> Outcome {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let is_same =
        same(&there.profile.user_id, &user.profile.user_id) || same(&there.profile.email, &user.profile.email);
    if is_same { Outcome::Present } else { refused_id(user) }
}

fn refused_id(user: &User) -> Outcome {
    Outcome::Refused(format!("another user has the id {}", user.profile.id))
}

/// Splits a batch: in the second part, each entry has an id, a name or an address of an earlier entry. They are written
/// one after the other, so that the first one wins.
fn without_repeated_names(entries: Vec<(usize, Checked)>) -> (Vec<(usize, Checked)>, Vec<(usize, Checked)>) {
    let mut seen = HashSet::new();
    entries.into_iter().partition(|(_, entry)| {
        let profile = &entry.user.profile;
        let keys = [profile.id.to_string(), profile.user_id.to_lowercase(), profile.email.to_lowercase()];
        let keys = keys.into_iter().zip(["id", "name", "address"]);
        keys.fold(true, |is_new, key| seen.insert(key) && is_new)
    })
}

/// Opens the input, with the progress of reading it.
fn open(path: &Path) -> Result<(Box<dyn BufRead + Send>, Progress)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), Progress::spinner("")));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let progress = Progress::of_file(file.metadata()?.len());
    let reader: Box<dyn Read + Send> = Box::new(progress.read(file));
    Ok((Box::new(BufReader::with_capacity(64 * 1024, reader)), progress))
}

fn firebase_hash(path: &Path) -> Result<FirebaseHash> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    FirebaseHash::parse(&text).with_context(|| format!("{} has no hash parameters of Firebase", path.display()))
}

/// Takes entries until there are [`BATCH`] of them, or no more.
async fn fill(batch: &mut Vec<Entry>, entries: &mut mpsc::Receiver<Entry>) {
    while batch.len() < BATCH && entries.recv_many(batch, BATCH - batch.len()).await > 0 {}
}

/// Reads the entries in a thread. The channel is short, so that a large file does not fill the memory.
fn read_in_background(reader: Reader) -> mpsc::Receiver<Entry> {
    let (sender, receiver) = mpsc::channel(2 * BATCH);
    std::thread::spawn(move || {
        for entry in reader {
            if sender.blocking_send(entry).is_err() {
                return;
            }
        }
    });
    receiver
}
