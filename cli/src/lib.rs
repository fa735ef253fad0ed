//! `latchkey`, the operator's tool: users, sessions, keys, imports, exports and checks of a stack.
//!
//! The tool works on the tables of a stack through the stores of `shared`. So every rule is that of the functions:
//! canonical names, uniqueness, the policy for passwords, the accepted hashes.

use std::io;
use std::process::ExitCode;

use anstyle::AnsiColor;
use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};

pub mod ask;
pub mod audit;
pub mod doctor;
pub mod failure;
pub mod import;
pub mod keys;
pub mod manual;
pub mod output;
pub mod policy;
pub mod profile;
pub mod progress;
pub mod sessions;
pub mod stack;
pub mod stats;
pub mod users;

use failure::{EXIT_CODES, INTERRUPTED, exit_code, explain};
use output::Format;
use stack::{Stack, Target};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "latchkey", bin_name = "latchkey", version, about = ABOUT, after_help = EXAMPLES)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), max_term_width = 80, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    target: Target,
    /// The format of the output.
    #[arg(long, short, value_enum, default_value_t, global = true, help_heading = "Output")]
    output: Format,
}

const ABOUT: &str = "Users, sessions, keys, imports, exports and checks of a Latchkey stack";

const EXAMPLES: &str = "\
Examples:
  latchkey --local users list
  latchkey --stack latchkey users add kim --email kim@example.com
  latchkey --stack latchkey users import auth0.ndjson
  latchkey --stack latchkey doctor
  export LATCHKEY_STACK=latchkey AWS_PROFILE=ops
  latchkey users unlock kim
  latchkey keys list";

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Users and their passwords.
    #[command(subcommand)]
    Users(users::Command),
    /// The sessions of a user.
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// The keys that sign and verify.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Unblock an address that sent too many wrong passwords.
    #[command(after_help = users::UNBLOCK_EXAMPLES)]
    Unblock(users::Unblock),
    /// List addresses that sent wrong passwords, blocked or not.
    #[command(after_help = users::BLOCKED_EXAMPLES)]
    Blocked(users::Blocked),
    /// Read the events of the functions and of the operators.
    #[command(after_help = audit::follow::EXAMPLES)]
    Audit(audit::follow::Follow),
    /// Count users, active sessions and logins.
    #[command(after_help = stats::EXAMPLES)]
    Stats(stats::Stats),
    /// Check a stack, and say how to mend what is wrong.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Doctor),
    /// Print the IAM policy that the commands need.
    #[command(after_help = policy::EXAMPLES)]
    IamPolicy(policy::IamPolicy),
    /// Print the completions of a shell.
    #[command(after_help = manual::COMPLETION_EXAMPLES)]
    Completions(manual::Completions),
    /// Write the manual pages to a folder.
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man(manual::Man),
}

impl Command {
    const fn only_reads(&self) -> bool {
        match self {
            Self::Users(users::Command::Show(_) | users::Command::List(_) | users::Command::Export(_))
            | Self::Sessions(sessions::Command::List(_))
            | Self::Keys(keys::Command::List(_))
            | Self::Blocked(_)
            | Self::Audit(_)
            | Self::Stats(_)
            | Self::IamPolicy(_)
            | Self::Completions(_)
            | Self::Man(_) => true,
            Self::Users(_) | Self::Sessions(_) | Self::Keys(_) | Self::Unblock(_) | Self::Doctor(_) => false,
        }
    }
}

/// What all commands have in common.
pub struct Context {
    target: Target,
    output: Format,
}

impl Context {
    /// Finds the stack.
    ///
    /// # Errors
    /// Fails if there is no such stack.
    async fn stack(&self) -> Result<Stack> {
        self.target.find().await
    }
}

/// Runs the command of the command line, and returns the exit code.
pub async fn main() -> ExitCode {
    let Cli { command, target, output } = Cli::parse();
    let context = Context { target, output };
    let only_reads = command.only_reads();
    let stops_by_itself = matches!(command, Command::Users(users::Command::Import(_)) | Command::Doctor(_));
    let outcome = tokio::select! {
        outcome = run(command, &context) => outcome,
        _ = tokio::signal::ctrl_c(), if !stops_by_itself => interrupted(only_reads),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_io(&error, io::ErrorKind::Interrupted) => interrupted(true),
        Err(error) if is_io(&error, io::ErrorKind::BrokenPipe) => {
            say_error("the reader of the output ended before the output did");
            ExitCode::FAILURE
        }
        Err(error) => {
            say_error(&explain(&error));
            exit_code(&error)
        }
    }
}

async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Users(command) => Box::pin(command.run(context)).await,
        Command::Sessions(command) => command.run(context).await,
        Command::Keys(command) => Box::pin(command.run(context)).await,
        Command::Unblock(unblock) => unblock.run(context).await,
        Command::Blocked(blocked) => blocked.run(context).await,
        Command::Audit(follow) => follow.run(context).await,
        Command::Stats(stats) => stats.run(context).await,
        Command::Doctor(doctor) => doctor.run(context).await,
        Command::IamPolicy(policy) => policy.run(context).await,
        Command::Completions(completions) => completions.run(&mut Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    }
}

/// Prints an error, in red on a terminal.
fn say_error(text: &str) {
    let red = AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{red}error:{red:#} {text}");
}

/// Ends the process at once. A thread may still wait for an answer on the terminal.
fn interrupted(nothing_changed: bool) -> ! {
    let text = if nothing_changed { "Interrupted." } else { "Interrupted. The change may have been made: look." };
    anstream::eprintln!("\n{text}");
    std::process::exit(INTERRUPTED.into());
}

fn is_io(error: &anyhow::Error, kind: io::ErrorKind) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| error.kind() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each command with its name and its short and long help.
    fn helps(command: &mut clap::Command) -> Vec<(String, [String; 2], bool)> {
        let texts = [command.render_help().to_string(), command.render_long_help().to_string()];
        let mut all = vec![(command.get_name().to_owned(), texts, command.has_subcommands())];
        all.extend(command.get_subcommands_mut().filter(|command| command.get_name() != "help").flat_map(helps));
        all
    }

    fn all_helps() -> Vec<(String, [String; 2], bool)> {
        let mut command = Cli::command();
        command.build();
        helps(&mut command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_help_has_examples_and_no_line_is_wider_than_80_columns() {
        let helps = all_helps();
        assert!(helps.len() > 25, "{}", helps.len());
        for (name, texts, is_group) in helps {
            for text in texts {
                assert!(is_group || text.contains("Examples:\n  latchkey "), "{name}: {text}");
                let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
                assert!(wide.is_empty(), "{name}: {wide:?}");
            }
        }
    }

    #[test]
    fn the_document_and_the_help_have_the_same_exit_codes() {
        let document = include_str!("../../docs/operate.md");
        let codes = |text: &str, before: &str| {
            let lines =
                text.lines().filter_map(|line| line.strip_prefix(before)?.split([' ', '|']).next()?.parse().ok());
            lines.collect::<Vec<u8>>()
        };
        let in_help = codes(EXIT_CODES, "  ");
        assert_eq!(in_help.len(), 9);
        assert_eq!(codes(document, "| "), in_help);
    }
}
