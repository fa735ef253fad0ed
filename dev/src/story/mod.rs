//! Stories of an attack, played on the running stack.
//!
//! Owns how one is told: who does what, and what has to be answered. It stops where the service answers something else,
//! so that what it tells is true.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use reqwest::Client;

use crate::event;

mod guessing;
mod theft;

/// The stories that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Tale {
    /// A stolen refresh token is found out.
    Theft,
    /// Somebody guesses passwords; the owner gets in. The stack must have been started with `DEVICE_COOKIE=on`.
    Guessing,
}

/// One of them as it goes on.
struct Story<'a> {
    url: &'a str,
    client: Client,
    text: String,
}

/// Plays one at `url`, and tells what was asked and answered: its lines, an empty one, and what is to be learned from it.
///
/// # Errors
/// Where the local stack does not run there, or does not answer as it should.
pub async fn tell(tale: Tale, root: &Path, url: &str, certificate: &Path) -> Result<String> {
    let mut story = Story { url, client: event::client(certificate)?, text: String::new() };
    let moral = match tale {
        Tale::Theft => theft::play(&mut story, certificate).await?,
        Tale::Guessing => guessing::play(&mut story, root).await?,
    };
    Ok(format!("{}\n{moral}", story.text))
}

impl Story<'_> {
    fn line(&mut self, who: &str, does: &str, answer: &str) {
        let line = format!("{:<14}{does:<43} {answer}", format!("the {who}"));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}
