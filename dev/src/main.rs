//! `cargo dev`: the local stack in one command.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use dev::stack::Stack;
use dev::story::{self, Tale, picture};
use dev::tables::Tables;
use dev::target::Target;
use dev::terminal::print;
use dev::{event, invoke, token, unlock};
use local::checkout;
use tokio::signal::unix::{SignalKind, signal};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", about = ABOUT, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, max_term_width = MAX_WIDTH)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    stack: Stack,
}

const ABOUT: &str = "Runs Latchkey on this machine: the real functions over an embedded DynamoDB";

/// The maximum width of a line of `--help`.
const MAX_WIDTH: usize = 80;

const EXAMPLES: &str = "\
Examples:
  cargo dev                          https://localhost:4000, data in memory
  cargo dev --data target/dev/data   keep the data for the next start
  cargo dev --http --port 8080       http://localhost:8080, without TLS
  cargo dev --host-only              `__Host-` cookies, as without a domain
  cargo dev --routes my-routes.toml  also serve your own routes behind the
                                     authorizer; see `routes.example.toml`
  cargo dev tables                   only the tables, for `sam local`

Examples that use the running stack (`--url` chooses one of several):
  cargo dev invoke userinfo          call one function with valid cookies
  cargo dev event userinfo           print an event with valid cookies
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
allows other pages. docs/front-end.md has examples.

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
    /// Send an event of `events/` to its function, with the cookies of a new login.
    #[command(after_help = INVOKE_EXAMPLES)]
    Invoke {
        /// The name of the event: `userinfo`, `logout`, `sessions-end`, …
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

const INVOKE_EXAMPLES: &str = "\
Examples:
  cargo dev invoke userinfo             the user as JSON
  cargo dev invoke userinfo-without     the same without cookies: 401
  cargo dev invoke sessions             the sessions of the user
  cargo dev invoke sessions-end         end another new session
  cargo dev invoke sessions-end-others  end all other sessions of the user
  cargo dev invoke password             change the password of a new user
  cargo dev invoke logout               end the new session
  cargo dev invoke authorizer           what the authorizer tells API Gateway

The user is kimcoding, except for `password`. The event does not pass the local
gateway. You can add an event: a file in `events/` whose name starts with the
name of its function.";

/// The running stack that a command uses.
#[derive(Debug, Args)]
struct Running {
    /// The address of the stack, such as `localhost:4000`. Not needed if one stack runs in this checkout.
    #[arg(long)]
    url: Option<String>,
}

impl Running {
    fn find(&self, root: &Path) -> Result<Target> {
        Target::find(root, self.url.as_deref())
    }
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
    let folder = std::env::current_dir().context("cannot find the current folder")?;
    let root = &checkout::containing(&folder)?;
    let text = match cli.command {
        None => return cli.stack.run(root).await,
        Some(Command::Tables(tables)) => return tables.run(root).await,
        Some(Command::Event { name, running }) => {
            event::with_valid_cookies(root, &name, running.url.as_deref()).await?
        }
        Some(Command::Invoke { name, running }) => invoke::invoke(root, &name, running.url.as_deref()).await?,
        Some(Command::Story { tale, svg, running }) => {
            let text = story::tell(tale, &running.find(root)?, print).await?;
            return svg.map_or(Ok(()), |file| picture::write(tale, &text, &file));
        }
        Some(Command::Unlock { name, running }) => {
            unlock::unlock(&running.find(root)?, &name).await?;
            format!("Unlocked {name}. The attempt counters of known devices are unchanged.")
        }
        Some(Command::Token { running, .. }) => token::of_new_login(&running.find(root)?).await?,
    };
    print(&text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Returns the short and the long help of a command and all its subcommands.
    fn help(command: &mut clap::Command) -> Vec<String> {
        let mut texts = vec![command.render_help().to_string(), command.render_long_help().to_string()];
        texts.extend(command.get_subcommands_mut().flat_map(help));
        texts
    }

    #[test]
    fn no_line_of_the_help_is_wider_than_80_columns() {
        let mut command = Cli::command();
        command.build();
        let texts = help(&mut command);
        assert!(texts.len() > 12 && texts[0].contains("cargo dev invoke userinfo"));
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn each_command_has_its_own_name_in_its_usage() {
        let mut command = Cli::command();
        command.build();
        for subcommand in command.get_subcommands_mut() {
            let usage = subcommand.render_usage().to_string();
            assert!(usage.contains(&format!("cargo dev {}", subcommand.get_name())), "{usage}");
        }
    }
}
