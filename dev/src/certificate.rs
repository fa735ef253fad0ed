//! A self-signed certificate for localhost, kept from one start to the next so that a browser has to be told only once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, DnType, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long a certificate is good. Browsers refuse one that is good for longer than 398 days.
const VALIDITY: Duration = Duration::days(365);

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate; what `curl --cacert` wants.
    pub certificate: PathBuf,
    /// Its key; what a server wants besides.
    pub key: PathBuf,
}

impl Certificate {
    /// The certificate in `folder`; a new one where there is none, or it will expire within a month.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let files = Self { certificate: folder.join("localhost.pem"), key: folder.join("localhost.key") };
        if !files.is_fresh() {
            files.make().with_context(|| format!("cannot make a certificate in {}", folder.display()))?;
        }
        Ok(files)
    }

    /// TLS with this certificate, and HTTP/1.1 as the only protocol in it: over h2 a browser splits its cookies over
    /// several headers, of which `cargo lambda watch` keeps the first.
    ///
    /// # Errors
    /// Where the files are not what they should be.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let certificate = CertificateDer::from_pem_file(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        // Named, not left to rustls: it panics where some other crate of the build has brought a second provider along.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Whether both files are there and were made recently enough.
    fn is_fresh(&self) -> bool {
        let made = fs::metadata(&self.certificate).and_then(|file| file.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        self.key.exists() && age.is_some_and(|age| age < VALIDITY - Duration::days(30))
    }

    fn make(&self) -> Result<()> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost (Latchkey, local stack)");
        params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        params.not_after = OffsetDateTime::now_utc() + VALIDITY;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        if let Some(folder) = self.certificate.parent() {
            fs::create_dir_all(folder)?;
        }
        write_secret(&self.key, &key.serialize_pem())?;
        Ok(fs::write(&self.certificate, certificate.pem())?)
    }
}

/// Writes a file that nobody else on the machine may read.
#[cfg(unix)]
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
