//! What the functions of Latchkey have in common.
//!
//! A function is four beats: **read** (request to typed input), **decide** (domain), **record** (store), **reply**
//! (response). The handler of each function is in `functions/*/src/lib.rs`; what it is made of is here.
//!
//! # The map
//!
//! | module | owns |
//! |---|---|
//! | [`config`], [`secrets`] | the settings: names, defaults, bounds; which secrets are none |
//! | [`error`] | everything that can go wrong, without HTTP |
//! | [`clock`], [`id`], [`json`] | seconds since the epoch; `UserId` and `SessionId`; strict JSON |
//! | [`claims`], [`tokens`], [`cookies`] | what a token asserts, how it is signed, how it travels |
//! | [`passwords`] | hash and verify, formats of others, and which new ones are refused |
//! | [`throttle`], [`attempts`], [`device`] | how fast passwords may be guessed: the rules, the table, the owner's own lane |
//! | [`store`] | the DynamoDB client and the time that a request may spend on it |
//! | [`session`] | the record of one login, and the rules of its life |
//! | [`users`], [`sessions`], [`identity`] | the two tables, and the one read over both |
//! | [`http`] | the only HTTP: request, replies, the guard in front of a handler |
//! | [`access`], [`authentication`] | who is asking: by an access token alone, by a name and a password |
//! | [`telemetry`] | what is logged, and what never is |
//!
//! # The arrows
//!
//! `functions → access → http → error`; `functions → authentication → passwords, users, attempts → store → error`; `attempts → throttle, device`; `functions → identity → users, sessions → store → error`; `sessions → session → claims`;
//! `functions → cookies → tokens → session → claims → id, clock, error`. Nothing below `http` names a status code; nothing but
//! `store`, `users`, `sessions`, `attempts` and `identity` touches AWS.
//!
//! # What is trusted
//!
//! Nothing that a request brings, until a signature of ours has been verified over it; and then only what the stores
//! still say of that user and that session. The source address is the gateway's, never a header's.

pub mod access;
pub mod attempts;
pub mod authentication;
pub mod claims;
pub mod clock;
pub mod config;
pub mod cookies;
pub mod device;
pub mod error;
pub mod http;
pub mod id;
pub mod identity;
pub mod json;
pub mod passwords;
pub mod secrets;
pub mod session;
pub mod sessions;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod tokens;
pub mod users;
