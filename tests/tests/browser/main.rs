//! Front ends and the pages of the service in a real browser.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

mod example;
mod looks;
mod next;
mod npm;
mod old_front_end;
mod pages;
mod sites;
mod snippets;
mod vite;
