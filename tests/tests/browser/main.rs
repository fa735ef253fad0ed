//! Front ends in a real browser.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

mod chromium;
mod example;
mod looks;
mod npm;
mod old_front_end;
mod vite;
