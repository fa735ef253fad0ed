//! Authentication: by a token, or by a login name and a password.
//!
//! Owns the credentials of a request ([`CredentialReader`]), the check that a verified token is still valid
//! ([`Identities`]), and authentication by an access token ([`Access`]), by a refresh token ([`Renewal`]) and by a
//! password ([`Authenticator`]). Knows nothing of HTTP.

mod access;
mod credentials;
mod identity;
mod password;
mod renewal;

pub use access::Access;
pub use credentials::{CredentialReader, RequestCredentials, check_one_user};
pub use identity::{Identities, Identity};
pub use password::{Authenticated, Authenticator};
pub use renewal::{Presented, Renewal};
