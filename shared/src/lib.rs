//! What the functions of Latchkey share: the session protocol, the stores and the HTTP layer.
//!
//! A function handles a request in four steps: **read** (request to typed input), **decide** (domain), **record**
//! (store) and **reply** (response). The handler of each function is in `functions/*/src/lib.rs`. The parts that it is
//! made of are here.
//!
//! # The map
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | reading the environment; each module reads its own settings with it |
//! | [`keys`] | key sets: which key signs, which keys verify, and the steps of a rotation |
//! | [`token`] | claims, signing and verifying, cookies |
//! | [`session`] | the record of one login, and the renewal protocol |
//! | [`password`] | hashing, imported hash formats, the policy for new passwords |
//! | [`throttle`] | exponential backoff, the leaky bucket, the device cookie |
//! | [`auth`] | authentication: by a token, or by a login name and a password |
//! | [`store`] | DynamoDB: users, sessions, attempt counters, writes that span tables; Secrets Manager: the secrets |
//! | [`page`] | the pages for a person with a browser: look, languages, words |
//! | [`http`] | requests, responses, the origin check, the guard in front of a handler, the authorizer |
//! | [`schedule`] | the events of functions that a schedule calls |
//! | [`settings`] | all settings of the functions in one check, for the tools |
//! | [`telemetry`] | log lines, metrics, and every event as one documented function |
//! | [`budget`], [`clock`], [`id`], [`error`], [`json`] | time budgets, timestamps, identifiers, errors, strict JSON |
//!
//! # The layers
//!
//! A module imports only modules of the layers below it:
//!
//! ```text
//! 1  functions, settings
//! 2  auth, http, schedule
//! 3  store, page
//! 4  session
//! 5  token, password, throttle
//! 6  telemetry
//! 7  config
//! 8  keys
//! 9  id, clock, json, budget
//! 10 error
//! ```
//!
//! Only `store` names the AWS SDK. Only `http` names a status code or a header. Only `http` and `schedule` name a
//! Lambda event. `session`, `keys`, `token`, `password` and `throttle` do no I/O except log lines, and they get the
//! current time as an argument. Only `password` also measures how long a check takes, and waits until
//! `PASSWORD_CHECK_MS` have passed.
//!
//! # Terms in the comments
//!
//! "The contract" is the HTTP behaviour that clients rely on: routes, status codes, cookies and tokens. `openapi.yaml`
//! describes it. R and F numbers, such as R62 and F07, are the rows of `docs/security.md`: R is a requirement against a
//! threat, F is a fault that is injected. Each row names its tests.
//!
//! # What is trusted
//!
//! A request is not trusted. A token is trusted after its signature has been verified, and only together with the
//! stored records of its user and its session. The source address comes from API Gateway and never from a header.

pub mod auth;
pub mod budget;
pub mod clock;
pub mod config;
pub mod error;
pub mod http;
pub mod id;
pub mod json;
pub mod keys;
pub mod page;
pub mod password;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod token;
