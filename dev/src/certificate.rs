//! A self-signed certificate for localhost. Later starts use the same files, so that a developer accepts it in the
//! browser only once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use local::secret_file;
use rcgen::{CertificateParams, DnType, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The lifetime of the certificate. Browsers reject a lifetime of more than 398 days.
const VALIDITY: Duration = Duration::days(365);

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, for `curl --cacert`.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Certificate {
    /// Returns the certificate in `folder`. Creates a certificate if the folder has none, or if it expires within a
    /// month.
    ///
    /// # Errors
    /// Fails if the folder is not writable.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let files = Self { certificate: folder.join("localhost.pem"), key: folder.join("localhost.key") };
        if !files.is_fresh() {
            files.create().with_context(|| format!("cannot create a certificate in {}", folder.display()))?;
        }
        Ok(files)
    }

    /// Returns a TLS acceptor with this certificate. It offers only HTTP/1.1: over HTTP/2 a browser sends its cookies
    /// in several headers, and `cargo lambda watch` keeps only the first.
    ///
    /// # Errors
    /// Fails if a file is missing or invalid.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let certificate = CertificateDer::from_pem_file(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        // An explicit provider: rustls panics if two crates of the build enable different default providers.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Returns `true` if both files exist and the certificate is valid for at least another month.
    fn is_fresh(&self) -> bool {
        let created = fs::metadata(&self.certificate).and_then(|file| file.modified());
        let age = created.ok().and_then(|created| created.elapsed().ok());
        self.key.exists() && age.is_some_and(|age| age < VALIDITY - Duration::days(30))
    }

    fn create(&self) -> Result<()> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost (Latchkey, local stack)");
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = OffsetDateTime::now_utc() + VALIDITY;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        if let Some(folder) = self.certificate.parent() {
            fs::create_dir_all(folder)?;
        }
        secret_file::write(&self.key, &key.serialize_pem())?;
        Ok(fs::write(&self.certificate, certificate.pem())?)
    }
}
