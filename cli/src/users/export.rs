//! `latchkey users export`: all users with their hashes, in the format that `import` reads.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use shared::password::PasswordHash;
use shared::store::{Profile, Segment, User, Users};
use tokio::sync::mpsc;

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
and counters of wrong passwords are not exported. The users may change during
the export: each one is exported as it is at some moment of it.";

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
                None => broken.push(format!("user#{}: its login record is missing or cannot be read", user.profile.id)),
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

fn line(user: &User, hash: Option<&PasswordHash>) -> Result<String> {
    let exported =
        Exported { profile: &user.profile, disabled: user.disabled, password_hash: hash.map(PasswordHash::expose) };
    Ok(serde_json::to_string(&exported)?)
}

/// Where the lines go. A file gets its name only when it is complete.
enum Destination {
    Stdout(BufWriter<io::Stdout>),
    File { draft: PathBuf, path: PathBuf, writer: BufWriter<File>, is_complete: bool },
}

impl Destination {
    fn open(path: &Path, force: bool) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        }
        if path.exists() && !force {
            let text = format!("{} exists. Choose another name, or add --force to replace it.", path.display());
            return Err(Failure::Invalid(text).into());
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        fs::remove_file(&draft).ok();
        let file = File::options().write(true).create_new(true).mode(0o600).open(&draft);
        let file = file.with_context(|| format!("cannot write {}", draft.display()))?;
        Ok(Self::File { draft, path: path.to_owned(), writer: BufWriter::new(file), is_complete: false })
    }

    const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    fn write_line(&mut self, line: &str) -> Result<()> {
        match self {
            Self::Stdout(stdout) => writeln!(stdout, "{line}").context("cannot write to standard output"),
            Self::File { draft, writer, .. } => {
                writeln!(writer, "{line}").with_context(|| format!("cannot write {}", draft.display()))
            }
        }
    }

    fn finish(mut self) -> Result<()> {
        match &mut self {
            Self::Stdout(stdout) => stdout.flush().context("cannot write to standard output"),
            Self::File { draft, path, writer, is_complete } => {
                let mut complete = || {
                    writer.flush()?;
                    writer.get_ref().sync_all()?;
                    fs::rename(&*draft, &*path)
                };
                complete().with_context(|| format!("cannot write {}", path.display()))?;
                *is_complete = true;
                Ok(())
            }
        }
    }
}

impl Drop for Destination {
    /// Removes an unfinished file: nobody should take it for a whole export.
    fn drop(&mut self) {
        if let Self::File { draft, is_complete: false, .. } = self {
            fs::remove_file(draft).ok();
        }
    }
}
