//! Cuts a file into lines, CSV records and JSON elements, without keeping more than one of them in memory.
//!
//! Owns the positions, the limit of an entry, and the rules where an entry ends. It does not look at what an entry
//! says.

use std::io::{self, BufRead};

use super::Input;

/// The longest entry in bytes. A longer one is read over.
pub(super) const MAX_ENTRY: usize = 1024 * 1024;

/// A file, and the line that is read next.
pub(super) struct Source {
    input: Input,
    line: u64,
}

/// A part of a file.
pub(super) struct Piece {
    /// The line on which it starts, from 1.
    pub(super) line: u64,
    /// Its bytes. Empty if it is longer than [`MAX_ENTRY`].
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
}

/// How a part of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    TooLong,
    /// The file ended first.
    Truncated,
}

/// What to do with a byte.
enum Step {
    Keep,
    KeepAndEnd,
    DropAndEnd,
    /// The piece ends before this byte.
    EndBefore,
}

impl Source {
    pub(super) fn new(input: Input) -> Self {
        Self { input, line: 1 }
    }

    /// Returns the number of the line that is read next.
    pub(super) fn line_number(&self) -> u64 {
        self.line
    }

    /// Reads a line, without its end. Returns `None` at the end of the file. The last line needs no end.
    pub(super) fn line(&mut self) -> io::Result<Option<Piece>> {
        let mut piece = self.piece(|byte| if byte == b'\n' { Step::DropAndEnd } else { Step::Keep })?;
        if let Some(piece) = &mut piece {
            if piece.end == End::Truncated {
                piece.end = End::Complete;
            }
            if piece.bytes.last() == Some(&b'\r') {
                piece.bytes.pop();
            }
        }
        Ok(piece)
    }

    /// Reads a CSV record, without its end. A field in quotation marks may contain line ends (RFC 4180 §2). Returns
    /// `None` at the end of the file.
    pub(super) fn record(&mut self) -> io::Result<Option<Piece>> {
        let (mut quoted, mut at_start) = (false, true);
        let mut piece = self.piece(|byte| {
            match byte {
                // The second mark of a pair in a quoted field opens the field again.
                b'"' if quoted => (quoted, at_start) = (false, true),
                b'"' if at_start => quoted = true,
                b'\n' if !quoted => return Step::DropAndEnd,
                byte => at_start = byte == b',' && !quoted,
            }
            Step::Keep
        })?;
        if let Some(piece) = &mut piece {
            if piece.end == End::Truncated && !quoted {
                piece.end = End::Complete;
            }
            if piece.bytes.last() == Some(&b'\r') {
                piece.bytes.pop();
            }
        }
        Ok(piece)
    }

    /// Returns the next byte that is not white space, without reading it. Returns `None` at the end of the file.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let white = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let next = buffer.get(white).copied();
            let is_end = buffer.is_empty();
            self.line += newlines(&buffer[..white]);
            self.input.consume(white);
            if is_end || next.is_some() {
                return Ok(next);
            }
        }
    }

    /// Reads the byte that [`Self::peek`] returned.
    pub(super) fn skip_byte(&mut self) {
        self.input.consume(1);
    }

    /// Reads a JSON value. The next byte must be its first byte. Only the brackets and the quotation marks are checked.
    pub(super) fn value(&mut self) -> io::Result<Option<Piece>> {
        let mut nesting = Nesting::default();
        let mut piece = self.piece(|byte| nesting.step(byte))?;
        // Only the end of the file ends a number at the top.
        if let Some(piece) = piece.as_mut().filter(|piece| piece.end == End::Truncated && nesting.is_scalar()) {
            piece.end = End::Complete;
        }
        Ok(piece)
    }

    /// Reads over a JSON value of any length. Returns `false` if the file ends first.
    pub(super) fn skip_value(&mut self) -> io::Result<bool> {
        Ok(self.value()?.is_some_and(|piece| piece.end != End::Truncated))
    }

    /// Reads bytes until a step ends the piece. Returns `None` at the end of the file.
    fn piece(&mut self, mut step: impl FnMut(u8) -> Step) -> io::Result<Option<Piece>> {
        let mut piece = Piece { line: self.line, bytes: Vec::new(), end: End::Complete };
        let mut has_begun = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                if piece.end == End::Complete {
                    piece.end = End::Truncated;
                }
                return Ok(has_begun.then_some(piece));
            }
            has_begun = true;
            let mut taken = None;
            for (index, &byte) in buffer.iter().enumerate() {
                taken = match step(byte) {
                    Step::Keep => continue,
                    Step::KeepAndEnd => Some((index + 1, index + 1)),
                    Step::DropAndEnd => Some((index, index + 1)),
                    Step::EndBefore => Some((index, index)),
                };
                break;
            }
            let (kept, read) = taken.unwrap_or((buffer.len(), buffer.len()));
            if piece.bytes.len() + kept > MAX_ENTRY {
                piece.end = End::TooLong;
                piece.bytes = Vec::new();
            } else if piece.end != End::TooLong {
                piece.bytes.extend_from_slice(&buffer[..kept]);
            }
            self.line += newlines(&buffer[..read]);
            self.input.consume(read);
            if taken.is_some() {
                return Ok(Some(piece));
            }
        }
    }
}

/// Where a byte stands in a JSON value.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_begun: bool,
}

impl Nesting {
    fn step(&mut self, byte: u8) -> Step {
        let is_first = !self.has_begun;
        self.has_begun = true;
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                // A string of JSON never contains a line end (RFC 8259 §7). The string that is not closed damages only
                // its own entry.
                b'"' | b'\n' => self.in_string = false,
                _ => {}
            }
            return if self.in_string || self.depth > 0 { Step::Keep } else { Step::KeepAndEnd };
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    return Step::KeepAndEnd;
                }
            }
            b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                // A value that starts with a comma or a bracket is read as that one byte, so that reading goes on.
                return if is_first { Step::KeepAndEnd } else { Step::EndBefore };
            }
            _ => {}
        }
        Step::Keep
    }

    /// Returns `true` for a number, `true`, `false` or `null`.
    fn is_scalar(&self) -> bool {
        self.depth == 0 && !self.in_string
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}
