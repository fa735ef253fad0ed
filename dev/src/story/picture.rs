//! The text of a story in colour: for a terminal, and as an SVG picture of a terminal.

use std::fs;
use std::path::Path;

use anstyle::{RgbColor, Style};
use anstyle_svg::{Term, VGA};
use anyhow::{Context as _, Result};

use super::{ACTION_WIDTH, ACTOR_WIDTH, Tale};
use crate::terminal::with_coloured_status;

const BACKGROUND: RgbColor = RgbColor(0x16, 0x1b, 0x22);
const FOREGROUND: RgbColor = RgbColor(0xd0, 0xd7, 0xde);
const RED: RgbColor = RgbColor(0xff, 0x7b, 0x72);
const GREEN: RgbColor = RgbColor(0x56, 0xd3, 0x64);

/// The width of 83 columns in the widest of the common monospaced fonts.
const WIDTH_PX: usize = 720;

/// Adds ANSI colours to a line of a story: the actor is bold, a status is green or red.
pub(super) fn coloured_line(line: &str) -> String {
    let bold = Style::new().bold();
    let (actor, rest) = line.split_at_checked(ACTOR_WIDTH).unwrap_or((line, ""));
    let (action, response) = rest.split_at_checked(ACTION_WIDTH).unwrap_or((rest, ""));
    format!("{bold}{actor}{bold:#}{action}{}", with_coloured_status(response))
}

/// Adds ANSI colours to the text of a story.
fn coloured(text: &str) -> String {
    let (lines, moral) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines: Vec<_> = lines.lines().map(coloured_line).collect();
    format!("{}\n\n{moral}", lines.join("\n"))
}

/// Writes an SVG picture of a terminal with the command and the text of its story.
///
/// # Errors
/// Fails if the file is not writable.
pub fn write(tale: Tale, text: &str, file: &Path) -> Result<()> {
    fs::write(file, svg(tale, text)).with_context(|| format!("cannot write {}", file.display()))
}

/// Returns an SVG picture of a terminal with the command and the text of its story.
fn svg(tale: Tale, text: &str) -> String {
    let mut palette = VGA;
    palette.0[1] = RED;
    palette.0[2] = GREEN;
    let term = Term::new().palette(palette).bg_color(BACKGROUND.into()).fg_color(FOREGROUND.into());
    let bold = Style::new().bold();
    let screen = format!("$ {bold}cargo dev story {}{bold:#}\n\n{}", tale.name(), coloured(text.trim_end()));
    term.min_width_px(WIDTH_PX).render_svg(&screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
    }

    /// Returns the text of a story with the lines that a page of the documentation shows.
    fn story(tale: Tale, page: &str) -> String {
        let page = read(page);
        let (_, block) = page.split_once("```text\nowner").unwrap();
        let (lines, _) = block.split_once("```").unwrap();
        format!("owner{lines}\n{}", tale.moral())
    }

    #[test]
    fn the_committed_picture_shows_the_story_of_the_documentation() {
        let expected = svg(Tale::Theft, &story(Tale::Theft, "docs/sessions.md"));
        let command = "cargo dev story theft --svg docs/theft.svg";
        assert!(
            read("docs/theft.svg") == expected,
            "docs/theft.svg is outdated: start `cargo dev`, then run `{command}`"
        );
    }

    #[test]
    fn colours_change_no_character_of_the_text() {
        for (tale, page) in [(Tale::Theft, "docs/sessions.md"), (Tale::Guessing, "docs/passwords.md")] {
            let text = story(tale, page);
            let coloured = coloured(&text);
            for style in ["\u{1b}[1mowner", "\u{1b}[32m302\u{1b}[0m", "\u{1b}[31m401\u{1b}[0m"] {
                assert!(coloured.contains(style), "{style:?}: {coloured:?}");
            }
            let codes = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m"];
            assert_eq!(codes.iter().fold(coloured, |rest, code| rest.replace(code, "")), text);
        }
    }

    /// A terminal has 80 columns by default. The picture is wider.
    #[test]
    fn no_line_is_wider_than_80_columns() {
        for (tale, page) in [(Tale::Theft, "docs/sessions.md"), (Tale::Guessing, "docs/passwords.md")] {
            let text = story(tale, page);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}
