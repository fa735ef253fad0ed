//! Who is calling: by a token, or by a login name and a password.
//!
//! Owns the one reading of a request's credentials ([`Credentials`]), the verdict about a token ([`Identities`]),
//! access by an access token ([`Access`]), renewal by a refresh token ([`Renewal`]) and authentication by a password
//! ([`Authenticator`]). Knows nothing of HTTP.

mod access;
mod credentials;
mod identity;
mod password;
mod renewal;

pub use access::Access;
pub use credentials::{Credentials, check_same_user};
pub use identity::{Identities, Identity};
pub use password::{Authenticated, Authenticator};
pub use renewal::Renewal;
