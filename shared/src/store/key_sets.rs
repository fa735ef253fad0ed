//! The key sets in Secrets Manager, for the tools that change them.
//!
//! Owns the conditional write: a set is replaced only if it is still the one that was read. [`secrets`](super::secrets)
//! reads the sets for the functions that use them.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use secrecy::ExposeSecret as _;

use super::aws::Aws;
use crate::config::{Environment, reject};
use crate::error::{Error, Result};
use crate::id::random_128_bits;
use crate::keys::{KeySet, Purpose};

/// The stage of the version that the functions read.
const CURRENT: &str = "AWSCURRENT";

/// The stage of a version that is being written.
const PENDING: &str = "AWSPENDING";

/// The secrets that hold the key sets.
pub struct KeySets {
    client: Client,
    arns: BTreeMap<Purpose, String>,
}

/// A key set, and the version of the secret that holds it.
#[derive(Debug)]
pub struct StoredKeys {
    /// What the keys are for.
    pub purpose: Purpose,
    /// The set.
    pub set: KeySet,
    version: String,
}

impl KeySets {
    /// Reads the ARNs of the secrets from the variables of the purposes.
    ///
    /// # Errors
    /// [`Error::Setting`] if a variable is not the ARN of a secret.
    pub fn from_env(purposes: &[Purpose], env: &Environment) -> Result<Self> {
        let arn = |purpose: &Purpose| match env.arn(purpose.variable()) {
            Some(arn) => Ok((*purpose, arn)),
            None => reject(purpose.variable(), "must be the ARN of a secret"),
        };
        let arns = purposes.iter().map(arn).collect::<Result<_>>()?;
        Ok(Self::new(Aws::from_env(env)?.secrets_manager(), arns))
    }

    /// Takes the ARNs of the secrets.
    #[must_use]
    pub fn new(client: Client, arns: BTreeMap<Purpose, String>) -> Self {
        Self { client, arns }
    }

    /// Reads the current set of a purpose.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`]; [`Error::Setting`] if the set breaks a rule.
    pub async fn read(&self, purpose: Purpose) -> Result<StoredKeys> {
        let output = self.client.get_secret_value().secret_id(self.arn(purpose)?).send().await?;
        let text = output.secret_string.ok_or_else(|| Error::Misconfigured("the secret has no text".into()))?;
        let version = output.version_id.ok_or_else(|| Error::Misconfigured("the secret has no version".into()))?;
        Ok(StoredKeys { purpose, set: KeySet::parse(purpose, &text)?, version })
    }

    /// Replaces a set that was read. Returns `false` if the secret has another version by now. A crash in between
    /// leaves a version that nothing reads.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Misconfigured`] or [`Error::Unexpected`].
    pub async fn replace(&self, stored: &StoredKeys, set: &KeySet) -> Result<bool> {
        let (arn, version) = (self.arn(stored.purpose)?, random_128_bits()? + &random_128_bits()?);
        let put = self.client.put_secret_value().secret_id(arn).client_request_token(&version).version_stages(PENDING);
        put.secret_string(set.to_secret()?.expose_secret()).send().await?;
        let promote = self.client.update_secret_version_stage().secret_id(arn).version_stage(CURRENT);
        let promote = promote.move_to_version_id(&version).remove_from_version_id(&stored.version);
        match promote.send().await {
            Ok(_) => Ok(true),
            // The version that was read is no longer the current one. If the SDK repeated a call whose reply was lost,
            // the current one is ours.
            Err(error) if error.code() == Some("InvalidParameterException") => {
                let current = self.client.get_secret_value().secret_id(arn).send().await?;
                Ok(current.version_id == Some(version))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn arn(&self, purpose: Purpose) -> Result<&str> {
        let arn = self.arns.get(&purpose).map(String::as_str);
        arn.ok_or_else(|| Error::unexpected("there is no secret for this purpose"))
    }
}
