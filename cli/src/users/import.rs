//! `latchkey users import`: users from a file, checked one by one.
//!
//! A user that cannot be imported is reported with its line and goes to a file of refused lines. The others are added.
//! The same file can be imported again: users that are there already stay as they are. So an interrupted import is
//! continued by the same command.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::error::Error;
use shared::id::UserId;
use shared::password::{Hasher, PasswordHash};
use shared::store::{Account, Attempts, LoginName, Owners, Profile, User, Users};
use tokio::sync::mpsc;

use super::refused::Refused;
use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::{Failure, INTERRUPTED};
use crate::import::{Entry, FirebaseHash, Format, Incoming, Reader};
use crate::output::{Printer, number_of, printable, say, without_csv_mark};
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
    #[command(flatten)]
    rules: Rules,
    /// Say for each line what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the refused lines to this file, or to one with a number if it exists. The file can contain password
    /// hashes. [default: FILE.refused]
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
    /// Whether the id is in the file. Otherwise it was derived from the login name.
    has_own_id: bool,
    hash: Option<PasswordHash>,
}

/// An entry with its position in the batch.
type Numbered = (usize, Checked);

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let firebase = self.firebase_hash.as_deref().map(firebase_hash).transpose()?;
        let (input, progress) = open(&self.file, self.dry_run)?;
        let reader = Reader::open(input, self.from, firebase)
            .map_err(|error| Failure::Invalid(format!("{} cannot be imported: {error:#}", self.name())))?;
        if self.firebase_hash.is_some() && reader.format() != Format::Firebase {
            let text = format!("--firebase-hash is for Firebase, but {} is of another format.", self.name());
            return Err(Failure::Invalid(text).into());
        }
        let stack = context.stack().await?;
        let mut importer = Importer::new(&stack, reader.format(), self.rules).await?;
        let audit = if self.dry_run { None } else { Some(Audit::open(&stack, "users import").await?) };
        let mut refused = Refused::new(self.refused_path(), reader.header().map(str::to_owned));
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
                let file = refused.finish()?;
                printer.map_or(Ok(()), Printer::finish)?;
                return self.report(&counts, file.as_deref(), started, was_interrupted);
            }
            let outcomes = importer.import(&batch, audit.as_ref()).await?;
            for (entry, outcome) in batch.iter().zip(&outcomes) {
                if let Outcome::Refused(reason) = outcome
                    && !self.dry_run
                {
                    progress.say(&format!("{}:{}: {}", self.name(), entry.line, printable(reason)));
                    // An entry that is too long is not kept.
                    if !entry.raw.is_empty() {
                        refused.write(&entry.raw)?;
                    }
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

    /// Returns the file of refused lines: beside the input, or `users.refused` for standard input.
    fn refused_path(&self) -> PathBuf {
        let beside = || {
            let mut name = if self.is_stdin() { "users".into() } else { self.file.clone().into_os_string() };
            name.push(".refused");
            PathBuf::from(name)
        };
        self.refused.clone().unwrap_or_else(beside)
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

/// What the operator wants to be changed in every entry.
#[derive(Clone, Copy, Debug, Args)]
struct Rules {
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
struct Importer {
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
    async fn new(stack: &Stack, format: Format, rules: Rules) -> Result<Self> {
        let hasher = Hasher::from_env(&stack.settings(&["login"]).await?);
        let hasher = hasher.context("the settings of the stack are invalid")?;
        let attempts = stack.attempts().await?;
        let counted = attempts.counted(&budget()).await?;
        let (users, now) = (stack.users()?, Timestamp::now());
        Ok(Self { users, attempts, counted, hasher, format, rules, now, planned: HashMap::new() })
    }

    /// Imports a batch, and returns the outcome of each entry. Without an audit log, only says what would happen.
    async fn import(&mut self, batch: &[Entry], audit: Option<&Audit>) -> Result<Vec<Outcome>> {
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

    /// Adds a user. Somebody else may have taken a name since it was read.
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

/// Opens the input, with the progress of reading it.
fn open(path: &Path, is_dry: bool) -> Result<(Box<dyn BufRead + Send>, Progress)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), Progress::spinner("")));
    }
    let file =
        File::open(path).map_err(|error| Failure::Invalid(format!("cannot open {}: {error}", path.display())))?;
    let progress = if is_dry { Progress::hidden() } else { Progress::of_file(file.metadata()?.len()) };
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
