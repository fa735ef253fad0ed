//! Stories: attacks that `cargo dev story` plays on the running stack.
//!
//! A story sends real requests. It stops at the first unexpected response, so that its text is always true.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use reqwest::Client;

use crate::event;

mod guessing;
pub mod picture;
mod theft;

/// The width of the first column, which names the actor.
const ACTOR_WIDTH: usize = 14;

/// The width of the second column, which contains the action. The third column contains the response.
const ACTION_WIDTH: usize = 44;

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
    url: &'a str,
    client: Client,
    lines: String,
}

/// Plays a story on the local stack at `url`. Returns its lines, an empty line, and the explanation.
///
/// # Errors
/// Fails if the local stack does not run at `url`, or if it returns an unexpected response.
pub async fn tell(tale: Tale, root: &Path, url: &str, certificate: &Path) -> Result<String> {
    let mut story = Story { url, client: event::client(certificate)?, lines: String::new() };
    match tale {
        Tale::Theft => theft::play(&mut story, certificate).await?,
        Tale::Guessing => guessing::play(&mut story, root).await?,
    }
    Ok(format!("{}\n{}", story.lines, tale.moral()))
}

impl Story<'_> {
    /// Adds a line: the actor, the action, and the response.
    fn line(&mut self, actor: &str, action: &str, response: &str) {
        let line = format!("{:<ACTOR_WIDTH$}{action:<ACTION_WIDTH$}{response}", format!("the {actor}"));
        self.lines.push_str(line.trim_end());
        self.lines.push('\n');
    }
}
