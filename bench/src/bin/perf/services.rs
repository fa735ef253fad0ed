//! DynamoDB and Secrets Manager, in a process of their own.
//!
//! The process is this program again, with a hidden command. It ends when its standard input closes, so it ends
//! together with this program. Each service listens without TLS, and with TLS in front.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use dev::certificate::Certificate;
use serde::{Deserialize, Serialize};
use testbed::{SecretsManager, Tables, workspace};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::process::Variables;

/// The hidden command.
pub(crate) const COMMAND: &str = "services";

/// The variables of the secrets.
const SECRETS: [&str; 4] = ["ACCESS_SECRET", "REFRESH_SECRET", "THROTTLE_SECRET", "DEVICE_SECRET"];

/// How to reach the services.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The variables of a function that reaches DynamoDB without TLS and has the secrets in its variables.
    pub(crate) plain: Variables,
    /// The endpoints with TLS.
    dynamodb_tls: String,
    secrets_manager_tls: String,
    /// The ARNs of the secrets.
    arns: Variables,
    /// A file with Amazon's authorities and the certificate of the services.
    authorities: PathBuf,
}

/// The running process. Dropping it closes its standard input, which ends it.
pub(crate) struct Services {
    child: Child,
    /// How to reach the services.
    pub(crate) addresses: Addresses,
}

impl Services {
    /// Starts the process, and waits until it listens.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the services")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).context("the services do not start")?;
        Ok(Self { child, addresses })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

impl Addresses {
    /// Returns the variables of a function that reaches DynamoDB over TLS.
    ///
    /// In the regions of China, a function trusts the authorities of the machine, which `SSL_CERT_FILE` names. So it
    /// trusts the certificate of the services. The file also has the five authorities that are compiled in elsewhere,
    /// so that the start parses as many as on Lambda.
    pub(crate) fn tls(&self) -> Variables {
        let mut variables = self.plain.clone();
        let authorities = self.authorities.display().to_string();
        variables.extend([
            ("AWS_REGION".to_owned(), "cn-north-1".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), self.dynamodb_tls.clone()),
            ("SSL_CERT_FILE".to_owned(), authorities.clone()),
            ("AWS_CA_BUNDLE".to_owned(), authorities),
            // Node.js reads `SSL_CERT_FILE` with this option only. Otherwise it parses its own authorities, which takes
            // longer.
            ("NODE_OPTIONS".to_owned(), "--use-openssl-ca".to_owned()),
        ]);
        variables
    }

    /// Returns the variables of [`tls`](Self::tls), with the secrets in Secrets Manager.
    pub(crate) fn tls_and_secrets_manager(&self) -> Variables {
        let mut variables = self.tls();
        variables.extend(self.arns.clone());
        variables.insert("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), self.secrets_manager_tls.clone());
        variables
    }
}

/// Runs the services until standard input closes.
pub(crate) async fn serve() -> Result<()> {
    let tables = Tables::new().await;
    let plain: Variables = tables.variables(&[]).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let manager = SecretsManager::default();
    let arns = SECRETS.map(|name| (name.to_owned(), manager.put(name, &plain[name]))).into();
    let manager_address = address_of(&manager.serve().await)?;
    let folder = workspace::root().join("target/perf");
    let certificate = Certificate::in_folder(&folder)?;
    let addresses = Addresses {
        dynamodb_tls: with_tls(&certificate, address_of(&plain["AWS_ENDPOINT_URL_DYNAMODB"])?).await?,
        secrets_manager_tls: with_tls(&certificate, manager_address).await?,
        authorities: authorities(&folder, &certificate)?,
        plain,
        arns,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&addresses)?)?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Writes Amazon's authorities and the certificate into one file.
fn authorities(folder: &Path, certificate: &Certificate) -> Result<PathBuf> {
    let file = folder.join("authorities.pem");
    let own = std::fs::read_to_string(&certificate.certificate)?;
    std::fs::write(&file, workspace::read("shared/src/store/amazon-roots.pem") + &own)?;
    Ok(file)
}

fn address_of(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} is not an address"))
}

/// Listens with TLS in front of a service, and returns the endpoint.
async fn with_tls(certificate: &Certificate, service: SocketAddr) -> Result<String> {
    let acceptor = certificate.acceptor()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(service).await?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok(format!("https://localhost:{port}"))
}
