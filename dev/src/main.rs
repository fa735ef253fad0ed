//! `cargo dev`: the local stack in one command.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use dev::stack::Stack;
use dev::story::{self, Tale};
use dev::tables::Tables;
use dev::{event, token, unlock};
use tokio::signal::unix::{SignalKind, signal};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", about = ABOUT, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    stack: Stack,
}

const ABOUT: &str =
    "Runs Latchkey on this machine: the real functions over an embedded DynamoDB, at https://localhost:4000";

const EXAMPLES: &str = "\
Examples:
  cargo dev                          everything in memory, at https://localhost:4000
  cargo dev --data target/dev/data   the same users tomorrow
  cargo dev --http --port 8080       without TLS, at http://localhost:8080
  cargo dev --host-only              with the `__Host-` cookies of a stack without a domain
  cargo dev tables                   the tables alone, and what to type for `sam local`
  cargo dev event userinfo           an event with cookies that are good now (the stack must be running)
  cargo dev story theft              a stolen refresh token is found out (the stack must be running)
  cargo dev story guessing           somebody guesses, the owner gets in (started with DEVICE_COOKIE=on)
  cargo dev unlock kimcoding         forgets the wrong passwords for a name (the stack must be running)
  cargo dev token                    the two tokens of a login, taken apart (the stack must be running)
  cargo dev token eyJ...             that token, taken apart; `cargo dev token -` reads it from standard input

For a stack at another address, `event`, `story`, `token` and `unlock` want it: --url http://localhost:8080
Secrets and other settings are read from the environment and from `.env`; see `.env.example`.
Ctrl-C stops everything that was started.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the tables alone, for functions that `sam local` runs in containers.
    Tables(Tables),
    /// Prints an event of `events/` with the cookies of somebody who has just signed in to the running stack.
    Event {
        /// Its name: `userinfo`, `logout`, …
        name: String,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
    /// Plays the story of an attack on the running stack.
    Story {
        /// Which one.
        #[arg(value_enum, default_value_t = Tale::Theft)]
        tale: Tale,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
    /// Forgets the wrong passwords for a name on the running stack, as an operator does for somebody who is locked out.
    Unlock {
        /// The login name.
        name: String,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
    /// Takes apart the two tokens of somebody who has just signed in to the running stack, or a token of yours.
    Token {
        /// A token of yours; `-` reads it from standard input, which leaves no trace in the shell's history.
        token: Option<String>,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run_until_stopped(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_stopped(cli: Cli) -> Result<()> {
    if let Some(Command::Token { token: Some(text), .. }) = &cli.command {
        // Before Ctrl-C is ours: it has to end the wait for standard input.
        let text = if text == "-" { token::read(io::stdin())? } else { token::given(text)? };
        return print(&text);
    }
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        outcome = run(cli) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

async fn run(cli: Cli) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace is gone")?;
    let certificate = root.join("target/dev/localhost.pem");
    let text = match cli.command {
        None => return cli.stack.run(root).await,
        Some(Command::Tables(tables)) => return tables.run(root).await,
        Some(Command::Event { name, url }) => event::live(root, &name, &url, &certificate).await?,
        Some(Command::Story { tale, url }) => story::tell(tale, root, &url, &certificate).await?,
        Some(Command::Unlock { name, url }) => {
            unlock::forget(root, &url, &name).await?;
            format!("The wrong passwords for {name} are forgotten. Counts of known devices stay.")
        }
        Some(Command::Token { url, .. }) => token::live(&url, &certificate).await?,
    };
    print(&text)
}

/// Prints what was asked for. Who has read enough of it, such as `head`, may hang up.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}
