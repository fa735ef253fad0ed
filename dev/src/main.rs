//! `cargo dev`: the local stack in one command.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use dev::stack::Stack;
use dev::story::{self, Tale, picture};
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

const ABOUT: &str = "Runs Latchkey on this machine: the real functions over an embedded DynamoDB";

// A line has at most 80 columns.
const EXAMPLES: &str = "\
Examples:
  cargo dev                          https://localhost:4000, data in memory
  cargo dev --data target/dev/data   keep the data for the next start
  cargo dev --http --port 8080       http://localhost:8080, without TLS
  cargo dev --host-only              `__Host-` cookies, as without a domain
  cargo dev tables                   only the tables, for `sam local`

Examples that need a running stack (`--url` sets its address):
  cargo dev event userinfo           an event with valid cookies
  cargo dev story theft              a thief uses a stolen refresh token
  cargo dev story guessing           an attacker guesses passwords; start the
                                     stack with DEVICE_COOKIE=on
  cargo dev unlock kimcoding         delete the attempt counters of a user
  cargo dev token                    explain the two tokens of a login

Examples that need no stack:
  cargo dev token eyJ...             explain this token
  cargo dev token -                  explain the token on standard input

Pages at ports 3000 and 5173 of localhost may call the stack. A page at
http://localhost needs --http, or a proxy such as Vite's. ALLOWED_ORIGINS
allows other pages. docs/local.md has an example.

Secrets and other settings come from the environment and from `.env`. The
environment takes precedence. See `.env.example`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run only the tables, for functions that `sam local` runs in containers.
    Tables(Tables),
    /// Print an event of `events/` with the cookies of a new login.
    Event {
        /// The name of the event: `userinfo`, `logout`, …
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Play an attack on the running stack, and print each request and response.
    Story {
        /// The story to play.
        #[arg(value_enum, value_name = "STORY", default_value_t = Tale::Theft)]
        tale: Tale,
        /// Also write the story to this file, as a picture of a terminal.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        running: Running,
    },
    /// Unlock an account: delete its attempt counters, as an operator does.
    Unlock {
        /// The login name.
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Explain the two tokens of a new login, or a given token.
    Token {
        /// The token to explain. `-` reads it from standard input, which keeps it out of the shell's history.
        token: Option<String>,
        #[command(flatten)]
        running: Running,
    },
}

/// The running stack that a command uses.
#[derive(Debug, Args)]
struct Running {
    /// The address of the running stack.
    #[arg(long, default_value = "https://localhost:4000")]
    url: String,
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
        // Before the signal handlers: with them, Ctrl-C would not end the blocking read of standard input.
        let text = if text == "-" { token::read(io::stdin())? } else { token::explain(text)? };
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate `dev` is not in a workspace")?;
    let certificate = root.join("target/dev/localhost.pem");
    let text = match cli.command {
        None => return cli.stack.run(root).await,
        Some(Command::Tables(tables)) => return tables.run(root).await,
        Some(Command::Event { name, running }) => {
            event::with_valid_cookies(root, &name, &running.url, &certificate).await?
        }
        Some(Command::Story { tale, svg, running }) => {
            let text = story::tell(tale, root, &running.url, &certificate).await?;
            if let Some(file) = svg {
                std::fs::write(&file, picture::svg(tale, &text))
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            if uses_colour() { picture::coloured(&text) } else { text }
        }
        Some(Command::Unlock { name, running }) => {
            unlock::unlock(root, &running.url, &name).await?;
            format!("Unlocked {name}. The attempt counters of known devices are unchanged.")
        }
        Some(Command::Token { running, .. }) => token::of_new_login(&running.url, &certificate).await?,
    };
    print(&text)
}

/// Returns `true` if standard output is a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
fn uses_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints the output of a command. A closed pipe is no error: a reader such as `head` stops early.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}
