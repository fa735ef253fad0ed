//! Stub.
use std::borrow::Cow;
use std::io::BufRead;
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    Jsonl,
    Csv,
}
pub struct Incoming {
    pub id: Option<String>,
    pub user_id: String,
    pub email: String,
    pub name: String,
    pub position: String,
    pub location: String,
    pub bio: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    pub password_hash: Option<String>,
}
pub struct Entry {
    pub line: u64,
    pub raw: String,
    pub user: Result<Incoming, String>,
}
pub struct Reader(Box<dyn BufRead + Send>);
pub struct FirebaseHash;
impl FirebaseHash {
    pub fn parse(_: &str) -> anyhow::Result<Self> {
        Ok(Self)
    }
}
impl Reader {
    pub fn open(i: Box<dyn BufRead + Send>, _: Option<Format>, _: Option<FirebaseHash>) -> anyhow::Result<Self> {
        Ok(Self(i))
    }
    pub fn format(&self) -> Format {
        Format::Jsonl
    }
    pub fn header(&self) -> Option<&str> {
        None
    }
}
impl Iterator for Reader {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        None
    }
}
pub fn respell(h: &str) -> Cow<'_, str> {
    Cow::Borrowed(h)
}
