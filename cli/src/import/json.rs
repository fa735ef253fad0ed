//! Finds the elements of a JSON document: an array, an object with an array of users, or one object per line.

use std::io;

use super::source::{End, Piece, Source};

/// A JSON document that is read element by element.
pub(super) struct Document {
    pub(super) source: Source,
    layout: Layout,
    position: Position,
}

/// How the elements of a document are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One object in each line.
    Lines,
    /// An array of objects, or objects one after the other. Line ends may stand anywhere.
    Values,
    /// An object with an array of users. Line ends may stand anywhere.
    Wrapped,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// The beginning of a document, or what follows its end.
    Top,
    /// A name in the object around the array of users.
    Object { has_list: bool },
    /// An element of an array.
    Array { is_first: bool },
    /// Nothing, because the document cannot be read any further.
    Broken,
}

/// The names of the array of users in an object. Firebase, Keycloak and the API of Supabase use the first one, Cognito
/// uses the second one.
pub(super) const LISTS: [&str; 2] = ["users", "Users"];

/// An element of a document, or the reason why the rest of the document cannot be read.
pub(super) enum Element {
    Found(Piece),
    Broken { line: u64, reason: &'static str, raw: Vec<u8> },
}

const TRUNCATED: &str = "The file ends in the middle of the JSON document. The export was probably interrupted.";
const BROKEN: &str = "The JSON document is broken here. The rest of the file is not read.";
const NO_LIST: &str = "The JSON object has no array \"users\". The export was probably made without the users.";

impl Document {
    pub(super) fn new(source: Source, layout: Layout) -> Self {
        Self { source, layout, position: Position::Top }
    }

    /// Returns the next element, or `None` at the end of the document.
    pub(super) fn next(&mut self) -> io::Result<Option<Element>> {
        if self.layout == Layout::Lines {
            return self.next_line();
        }
        loop {
            let next = self.source.peek()?;
            match (self.position, next) {
                (Position::Broken, _) | (Position::Top, None) => return Ok(None),
                (_, None) => return Ok(Some(self.broken(TRUNCATED))),
                (Position::Top, Some(b'[')) => self.step_to(Position::Array { is_first: true }),
                (Position::Top, Some(b'{')) if self.layout == Layout::Wrapped => {
                    self.step_to(Position::Object { has_list: false });
                }
                (Position::Top, Some(b'{')) => return self.element().map(Some),
                (Position::Object { has_list }, Some(b'}')) => {
                    self.step_to(Position::Top);
                    if !has_list {
                        return Ok(Some(self.broken(NO_LIST)));
                    }
                }
                (Position::Object { .. }, Some(b',')) => self.source.skip_byte(),
                (Position::Object { has_list }, Some(b'"')) => {
                    if let Some(reason) = self.member(has_list)? {
                        return Ok(Some(self.broken(reason)));
                    }
                }
                (Position::Array { .. }, Some(b']')) => {
                    let is_wrapped = self.layout == Layout::Wrapped;
                    self.step_to(if is_wrapped { Position::Object { has_list: true } } else { Position::Top });
                }
                (Position::Array { is_first: false }, Some(b',')) => {
                    self.source.skip_byte();
                    match self.source.peek()? {
                        None => return Ok(Some(self.broken(TRUNCATED))),
                        Some(b',' | b']' | b'}') => return Ok(Some(self.broken(BROKEN))),
                        Some(_) => return self.element().map(Some),
                    }
                }
                (Position::Array { is_first: true }, Some(byte)) if byte != b',' => {
                    self.position = Position::Array { is_first: false };
                    return self.element().map(Some);
                }
                _ => return Ok(Some(self.broken(BROKEN))),
            }
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Element>> {
        while let Some(piece) = self.source.line()? {
            if piece.end == End::TooLong || !piece.bytes.trim_ascii().is_empty() {
                return Ok(Some(Element::Found(piece)));
            }
        }
        Ok(None)
    }

    /// Reads an element to its end.
    fn element(&mut self) -> io::Result<Element> {
        match self.source.value()? {
            Some(piece) if piece.end != End::Truncated => Ok(Element::Found(piece)),
            Some(piece) => {
                self.position = Position::Broken;
                Ok(Element::Broken { line: piece.line, reason: TRUNCATED, raw: piece.bytes })
            }
            None => Ok(self.broken(TRUNCATED)),
        }
    }

    /// Reads a name and its value. Enters the array of users instead of reading it. Returns what is wrong.
    fn member(&mut self, has_list: bool) -> io::Result<Option<&'static str>> {
        let name = self.source.value()?.map(|piece| piece.bytes).unwrap_or_default();
        if self.source.peek()? != Some(b':') {
            return Ok(Some(BROKEN));
        }
        self.source.skip_byte();
        let is_list = LISTS.iter().any(|list| name.trim_ascii() == format!("\"{list}\"").as_bytes());
        match self.source.peek()? {
            None => Ok(Some(TRUNCATED)),
            Some(b'[') if is_list && !has_list => {
                self.step_to(Position::Array { is_first: true });
                Ok(None)
            }
            Some(b',' | b'}' | b']') => Ok(Some(BROKEN)),
            Some(_) => Ok((!self.source.skip_value()?).then_some(TRUNCATED)),
        }
    }

    fn step_to(&mut self, position: Position) {
        self.source.skip_byte();
        self.position = position;
    }

    fn broken(&mut self, reason: &'static str) -> Element {
        self.position = Position::Broken;
        Element::Broken { line: self.source.line_number(), reason, raw: Vec::new() }
    }
}
