//! Stories: attacks that `cargo dev story` plays on the running stack.
//!
//! A story sends real requests, as a new user. It stops at the first unexpected response, so that its text is always
//! true.

use anyhow::Result;
use clap::ValueEnum;

use crate::target::Target;

mod guessing;
pub mod picture;
mod theft;

/// The width of the first column, which names the actor.
const ACTOR_WIDTH: usize = 10;

/// The width of the second column, which contains the action. The third column contains the response.
const ACTION_WIDTH: usize = 36;

/// The stories.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Tale {
    /// A thief uses a stolen refresh token. The service detects the reuse.
    Theft,
    /// An attacker guesses passwords. The owner can still sign in. Start the stack with `DEVICE_COOKIE=on`.
    Guessing,
}

impl Tale {
    /// Returns the argument of `cargo dev story`.
    fn name(self) -> &'static str {
        match self {
            Self::Theft => "theft",
            Self::Guessing => "guessing",
        }
    }

    /// Returns the explanation that follows the lines of the story.
    fn moral(self) -> &'static str {
        match self {
            Self::Theft => theft::MORAL,
            Self::Guessing => guessing::MORAL,
        }
    }
}

/// A story while it is played.
struct Story<'a> {
    target: &'a Target,
    lines: String,
    print: &'a mut dyn FnMut(&str) -> Result<()>,
}

/// Plays a story on a stack of this checkout. Prints each line in colour when it happens, and then the explanation.
/// Returns all of this without colours.
///
/// # Errors
/// Fails if the stack does not run in this checkout, if it returns an unexpected response, or if `print` fails.
pub async fn tell(tale: Tale, target: &Target, mut print: impl FnMut(&str) -> Result<()>) -> Result<String> {
    let mut story = Story { target, lines: String::new(), print: &mut print };
    match tale {
        Tale::Theft => theft::play(&mut story).await?,
        Tale::Guessing => guessing::play(&mut story).await?,
    }
    let lines = story.lines;
    print(&format!("\n{}", tale.moral()))?;
    Ok(format!("{lines}\n{}", tale.moral()))
}

impl Story<'_> {
    /// Adds a line: the actor, the action, and the response.
    fn line(&mut self, actor: &str, action: &str, response: &str) -> Result<()> {
        let line = format!("{actor:<ACTOR_WIDTH$}{action:<ACTION_WIDTH$}{response}");
        let line = line.trim_end();
        self.lines.push_str(line);
        self.lines.push('\n');
        (self.print)(&picture::coloured_line(line))
    }
}
