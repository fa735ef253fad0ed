//! All settings of the functions in one check.
//!
//! The local stack and the operator's tool report an invalid setting with it, before a function fails to start. Each
//! setting is read by the module that it belongs to. No function calls this module.

use crate::auth::{Access, Authenticator};
use crate::config::Environment;
use crate::error::Result;
use crate::http::{Site, access_algorithm, authorizer};
use crate::password::policy::Policy;
use crate::session::renewal::Rules;
use crate::session::{Lifetimes, sessions_per_user};
use crate::throttle::Devices;
use crate::token::{Cookies, Signer, Verifier};
use crate::{store, telemetry};

/// Reads every setting as the functions do. Calls nothing.
///
/// # Errors
/// [`Error::Setting`](crate::error::Error::Setting) names the first variable that is missing or invalid.
pub fn check(env: &Environment) -> Result<()> {
    Signer::from_env(env)?;
    Verifier::for_access_tokens(env)?;
    Verifier::for_refresh_tokens(env)?;
    Cookies::from_env(env)?;
    Lifetimes::from_env(env)?;
    Rules::from_env(env)?;
    sessions_per_user(env)?;
    let client = store::connect(env)?;
    Access::from_env(client.clone(), env)?;
    Authenticator::from_env(client, env)?;
    Devices::from_env(env)?;
    Policy::from_env(env)?;
    Site::from_env(env)?;
    authorizer::required_role(env)?;
    access_algorithm(env)?;
    telemetry::metrics_namespace(env)?;
    Ok(())
}
