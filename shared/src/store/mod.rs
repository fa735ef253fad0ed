//! DynamoDB: the only module that names the AWS SDK.
//!
//! Owns the client, the form of records, one struct for each table ([`Users`], [`Sessions`], [`Attempts`]) and
//! [`Accounts`] for what spans two tables. All reads on the authentication path are strongly consistent. Condition
//! expressions guarantee that names are unique and that a refresh token renews only once.

mod accounts;
mod active;
mod attempts;
mod aws;
mod client;
mod counters;
mod https;
mod key_sets;
mod operator;
mod records;
mod secrets;
mod sessions;
mod start;
mod users;

pub use accounts::{Accounts, PasswordChange};
pub use attempts::{Admission, Attempt, Attempts, Channel, Reservation};
pub use aws::connect;
pub use client::Client;
pub use counters::{CounterKey, Counters, SourceState};
pub use key_sets::{KeySets, StoredKeys};
pub use operator::{Cursor, Owners, Page, Segment, Unreadable, UserRecord};
pub use secrets::Secrets;
pub use sessions::{Ended, RenewalWrite, Sessions};
pub use start::start;
pub use users::{Account, Credentials, LoginName, Profile, User, Users};
