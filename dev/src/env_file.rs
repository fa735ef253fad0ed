//! Reads `.env`, with the line of each variable.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow};
use dotenvy::Error;

/// A variable in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The number of the line on which the value ends.
    pub(crate) line: usize,
}

/// Returns the variables of the file in their order, or none if there is no file.
///
/// # Errors
/// Fails if the file cannot be read or has an invalid line. The error has the number of the line and does not quote it,
/// because it may contain a secret.
pub(crate) fn read(path: &Path) -> Result<Vec<Variable>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|line| {
        anyhow!(
            "{} line {line} is not NAME=value. Put a value with spaces, quotes, # or $ in single quotes: \
             NAME='a value'",
            path.display()
        )
    })
}

/// Returns the variables, or the number of the first invalid line.
fn parse(text: &str) -> Result<Vec<Variable>, usize> {
    // A text file starts with a byte order mark on some systems. The parser needs a newline at the end.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let line = Rc::new(Cell::new(0));
    let lines = Lines { rest: text.as_bytes(), line: Rc::clone(&line) };
    let variables = dotenvy::from_read_iter(lines).map(|parsed| match parsed {
        Ok((name, value)) => Ok(Variable { name, value, line: line.get() }),
        // The parser reads to the end of the file if a quotation mark is missing.
        Err(Error::LineParse(part, _)) => Err((line.get() + 1).saturating_sub(part.lines().count().max(1))),
        Err(_) => Err(line.get()),
    });
    variables.collect()
}

/// Gives the parser one line at each read, and counts the lines. The parser itself does not report them.
struct Lines<'a> {
    rest: &'a [u8],
    line: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').map_or(self.rest.len(), |newline| newline + 1);
        let length = end.min(buffer.len());
        let (part, rest) = self.rest.split_at(length);
        if let Some(target) = buffer.get_mut(..length) {
            target.copy_from_slice(part);
        }
        self.rest = rest;
        if part.ends_with(b"\n") {
            self.line.set(self.line.get() + 1);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, String, usize)> {
        let variables = parse(text).unwrap();
        variables.into_iter().map(|Variable { name, value, line }| (name, value, line)).collect()
    }

    #[test]
    fn each_variable_has_the_number_of_its_line() {
        let text = "\u{feff}A=1\n\n# it's a comment\nexport B='two words'  # more\nC=\"x y\"\r\nD=\nE=5 ";
        let expected = [("A", "1", 1), ("B", "two words", 4), ("C", "x y", 5), ("D", "", 6), ("E", "5", 7)];
        let expected = expected.map(|(name, value, line)| (name.to_owned(), value.to_owned(), line));
        assert_eq!(lines(text), expected);
    }

    #[test]
    fn a_value_may_have_several_lines_and_be_longer_than_a_buffer() {
        let long = "x".repeat(100_000);
        let found = lines(&format!("A='one\ntwo'\nB={long}\nC=3"));
        let ends: Vec<_> = found.iter().map(|(name, _, line)| (name.as_str(), *line)).collect();
        assert_eq!(ends, [("A", 2), ("B", 3), ("C", 4)]);
        assert_eq!((found[0].1.as_str(), found[1].1.len()), ("one\ntwo", 100_000));
    }

    /// The form in `examples/verify/README.md`.
    #[test]
    fn a_value_may_be_a_key_set_in_single_quotes() {
        let set = r#"{"keys":[{"kid":"local-1","alg":"EdDSA","secret":"nWGxne_9WmC6","published_at":0}]}"#;
        assert_eq!(lines(&format!("A='{set}'\nB=1")), [("A".into(), set.into(), 1), ("B".into(), "1".into(), 2)]);
    }

    #[test]
    fn an_invalid_line_is_reported_by_its_number() {
        for (text, line) in [
            ("ACCESS_TTL=one day", 1),
            ("A=1\n\n# comment\nACCESS_TTL=one day\nB=2", 4),
            ("A=1\nno equals sign\n", 2),
            ("A=1\r\n=2\r\n", 2),
            ("A=1\n1A=2\n", 2),
            ("A=1\nexport B\n", 2),
            ("# it's\nA=1\nB='no end\nC=3\n\nD=4\n", 3),
            ("A=\"no end\n", 1),
            ("A=1\nB=it's\nC=3", 2),
            ("A=a'b c\nB=1\nC=2", 1),
        ] {
            assert_eq!(parse(text).unwrap_err(), line, "{text:?}");
        }
    }

    #[test]
    fn the_error_names_the_line_and_the_quotes_but_not_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert_eq!(read(&path).unwrap(), []);
        fs::write(&path, "A=1\nACCESS_SECRET=my secret").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains(".env line 2 is not NAME=value") && error.contains("NAME='a value'"), "{error}");
        assert!(!error.contains("my secret"), "{error}");
        fs::write(&path, b"A=\xff").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("cannot read"));
    }
}
