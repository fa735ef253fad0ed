//! `latchkey users import`: users from a file, checked one by one.
//!
//! A user that cannot be imported is reported with its line and goes to a file of refused lines. The others are added.
//! The same file can be imported again: users that are there already stay as they are. So an interrupted import is
//! continued by the same command.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;

use super::importer::{Importer, Outcome, Rules};
use super::refused::Refused;
use crate::Context;
use crate::audit::Audit;
use crate::failure::{Failure, INTERRUPTED};
use crate::import::{Entry, FirebaseHash, Format, Reader};
use crate::output::{Printer, number_of, printable, say};
use crate::progress::{Progress, rate};

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
