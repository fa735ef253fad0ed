//! Output on a terminal.
//!
//! `anstream` removes the colours if the output is not a terminal, and if `NO_COLOR` is set (<https://no-color.org>).

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};

/// Prints text, with one newline at its end. A closed pipe is no error: a reader such as `head` stops early.
///
/// # Errors
/// Fails if standard output is not writable.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// Colours the status code at the beginning of a text. Returns a text without a status code unchanged.
#[must_use]
pub fn with_coloured_status(text: &str) -> String {
    let (status, rest) = text.split_at_checked(3).unwrap_or((text, ""));
    let is_status =
        status.bytes().all(|byte| byte.is_ascii_digit()) && !rest.starts_with(|c: char| c.is_alphanumeric());
    let style = match status.as_bytes().first() {
        Some(b'2' | b'3') if is_status => AnsiColor::Green.on_default(),
        Some(b'4' | b'5') if is_status => AnsiColor::Red.on_default(),
        _ => Style::new(),
    };
    format!("{style}{status}{style:#}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_green_or_red_and_nothing_else_is_coloured() {
        for (text, expected) in [
            ("200 GET userinfo (3 ms)", "\u{1b}[32m200\u{1b}[0m GET userinfo (3 ms)"),
            ("302", "\u{1b}[32m302\u{1b}[0m"),
            ("401, session ends", "\u{1b}[31m401\u{1b}[0m, session ends"),
            (
                "503 POST login (the function does not respond)",
                "\u{1b}[31m503\u{1b}[0m POST login (the function does not respond)",
            ),
            ("... GET userinfo waits for its function", "... GET userinfo waits for its function"),
            ("2 tables in memory", "2 tables in memory"),
            ("4000 ports", "4000 ports"),
            ("attempt counter deleted", "attempt counter deleted"),
            ("박해커", "박해커"),
            ("", ""),
        ] {
            assert_eq!(with_coloured_status(text), expected);
        }
    }
}
