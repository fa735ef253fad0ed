//! What the functions of Latchkey have in common.
//!
//! A function is four beats: **read** (request to typed input), **decide** (domain), **record** (store), **reply**
//! (response). The handler of each function is in `functions/*/src/lib.rs`; what it is made of is here.
//!
//! # The map
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | the settings: names, defaults, bounds |
//! | [`error`] | everything that can go wrong, without HTTP |
//! | [`clock`], [`id`], [`json`] | seconds since the epoch; `UserId` and `SessionId`; strict JSON |
//! | [`claims`], [`tokens`], [`cookies`] | what a token asserts, how it is signed, how it travels |
//! | [`passwords`] | hash and verify |
//! | [`store`] | the DynamoDB client and the time that a request may spend on it |
//! | [`session`] | the record of one login, and the rules of its life |
//! | [`users`], [`sessions`], [`identity`] | the two tables, and the one read over both |
//! | [`http`] | the only HTTP: request, replies, the guard in front of a handler |
//! | [`access`] | who is asking, by an access token alone |
//! | [`telemetry`] | what is logged, and what never is |
//!
//! # The arrows
//!
//! `functions → access → http → error`; `functions → identity → users, sessions → store → error`; `sessions → session → claims`;
//! `functions → cookies → tokens → session → claims → id, clock, error`. Nothing below `http` names a status code; nothing but
//! `store`, `users`, `sessions` and `identity` touches AWS.
//!
//! # What is trusted
//!
//! Nothing that a request brings, until a signature of ours has been verified over it; and then only what the stores
//! still say of that user and that session. The source address is the gateway's, never a header's.

pub mod access;
pub mod claims;
pub mod clock;
pub mod config;
pub mod cookies;
pub mod error;
pub mod http;
pub mod id;
pub mod identity;
pub mod json;
pub mod passwords;
pub mod session;
pub mod sessions;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod users;
