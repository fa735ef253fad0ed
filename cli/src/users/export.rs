//! `latchkey users export`: all users with their hashes, in the format that `import` reads.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use shared::password::PasswordHash;
use shared::store::{Credentials, Profile, Segment, User, Users};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::refused::folder_of;
use crate::Context;
use crate::audit::{Action, Audit, Change};
use crate::failure::Failure;
use crate::output::{is_read_by_a_person, number_of, printable, say};
use crate::progress::{Progress, rate};
use crate::stack::budget;

/// The examples of `--help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  latchkey users export users.jsonl
  latchkey users export - | gpg --encrypt --recipient ops > users.jsonl.gpg

The file holds the password hashes. Only the current user can read it. Sessions
and counters of wrong passwords are not exported. If a user changes during the
export, the file has the old or the new version of that user.";

/// How many workers read the table at the same time.
const SEGMENTS: i32 = 8;

/// Exports users.
#[derive(Debug, Args)]
pub struct Export {
    /// The file to write. `-` is standard output.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// One exported user: the fields of our own import format.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported<'a> {
    #[serde(flatten)]
    profile: &'a Profile,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<&'a str>,
}

/// A page of lines, and the users that cannot be exported.
type Lines = (Vec<String>, Vec<String>);

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stack = context.stack().await?;
        let users = stack.users()?;
        let mut target = Destination::open(&self.file, self.force)?;
        let is_shown = target.is_stdout() && is_read_by_a_person();
        if is_shown {
            say("Warning: the terminal shows the password hashes of all users.");
        }
        Audit::open(&stack, "users export").await?.record(&[Change::new(Action::USERS_EXPORTED)]).await?;

        let started = Instant::now();
        let progress = if is_shown { Progress::hidden() } else { Progress::spinner("users exported") };
        let (sender, mut receiver) = mpsc::channel(2 * usize::try_from(SEGMENTS)?);
        let workers: Vec<_> = (0..SEGMENTS)
            .map(|number| tokio::spawn(read(users.clone(), Segment { number, of: SEGMENTS }, sender.clone())))
            .collect();
        drop(sender);
        let (mut exported, mut broken) = (0_usize, 0_usize);
        while let Some((lines, unreadable)) = receiver.recv().await {
            for line in &lines {
                target.write_line(line)?;
            }
            for problem in &unreadable {
                progress.say(problem);
            }
            exported += lines.len();
            broken += unreadable.len();
            progress.advance(lines.len());
        }
        for worker in workers {
            worker.await??;
        }
        progress.finish();
        if broken > 0 {
            target.finish()?;
            let text = format!("{} exported, {broken} missing: they cannot be read", number_of(exported, "user"));
            return Err(Failure::Incomplete(text).into());
        }
        target.finish()?;
        say(&format!("{} exported{}.", number_of(exported, "user"), rate(exported, started.elapsed())));
        Ok(())
    }
}

/// Reads a segment, and sends its users as lines.
async fn read(users: Users, segment: Segment, sender: mpsc::Sender<Lines>) -> Result<()> {
    let mut after = None;
    loop {
        let page = users.page(segment, after, &budget()).await?;
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        for record in page.records {
            match record {
                Ok(user) => found.push(user),
                Err(record) => broken.push(format!("{}: {}", printable(&record.key), record.error.causes())),
            }
        }
        let credentials = users.credentials_of_all(&found, &budget()).await?;
        let mut lines = Vec::with_capacity(found.len());
        for user in &found {
            match credentials.get(&user.profile.id) {
                Some(credentials) => lines.push(line(user, credentials.password_hash.as_ref())?),
                None => match current(&users, user).await? {
                    Current::Found(user, credentials) => lines.push(line(&user, credentials.password_hash.as_ref())?),
                    Current::Deleted => {}
                    Current::Broken => {
                        broken.push(format!("user#{}: its login record is missing or cannot be read", user.profile.id));
                    }
                },
            }
        }
        if sender.send((lines, broken)).await.is_err() {
            return Ok(());
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A user as it is now.
#[expect(clippy::large_enum_variant, reason = "one value for a user that changed during the export")]
enum Current {
    Found(User, Credentials),
    Deleted,
    Broken,
}

/// Reads a user again, who may have been renamed or deleted during the export.
async fn current(users: &Users, user: &User) -> Result<Current> {
    let Some(user) = users.find(&user.profile.id, &budget()).await? else { return Ok(Current::Deleted) };
    let credentials = users.credentials_of(&user, &budget()).await.ok().flatten();
    Ok(credentials.map_or(Current::Broken, |credentials| Current::Found(user, credentials)))
}

fn line(user: &User, hash: Option<&PasswordHash>) -> Result<String> {
    let exported =
        Exported { profile: &user.profile, disabled: user.disabled, password_hash: hash.map(PasswordHash::expose) };
    Ok(serde_json::to_string(&exported)?)
}

/// Where the lines go. A file gets its name only when it is complete. An unfinished one is removed, so that an
/// operator does not take it for a whole export.
enum Destination {
    Stdout(BufWriter<io::Stdout>),
    File { path: PathBuf, force: bool, writer: BufWriter<NamedTempFile> },
}

impl Destination {
    fn open(path: &Path, force: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        }
        if path.exists() && !force {
            return Err(exists(path).into());
        }
        let file = NamedTempFile::new_in(folder_of(path));
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::File { path: path.to_owned(), force, writer: BufWriter::new(file) })
    }

    const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    fn write_line(&mut self, line: &str) -> Result<()> {
        match self {
            Self::Stdout(stdout) => writeln!(stdout, "{line}").context("cannot write to standard output"),
            Self::File { path, writer, .. } => {
                writeln!(writer, "{line}").with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush().context("cannot write to standard output"),
            Self::File { path, force, writer } => {
                let complete = || {
                    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                    file.as_file().sync_all()?;
                    let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
                    named.map_err(|failed| failed.error)
                };
                match complete() {
                    Ok(_) => Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&path).into()),
                    Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
                }
            }
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Invalid(format!("{} exists. Choose another name, or add --force to replace it.", path.display()))
}
