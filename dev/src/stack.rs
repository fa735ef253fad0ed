//! The whole stack: the functions over an embedded DynamoDB, behind a gateway of their own.
#![expect(clippy::print_stdout, reason = "it talks to a person at a terminal")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use tokio::net::TcpListener;

use crate::certificate::Certificate;
use crate::functions::{self, Functions, say};
use crate::gateway::Gateway;
use crate::people;
use crate::processes;
use crate::running;
use crate::tables::Tables;
use crate::template::Template;

/// What may be chosen about it.
#[derive(Debug, Args)]
pub struct Stack {
    /// The port of the gateway.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Without TLS, for pages from `http://localhost:3000`: the only plain address whose cookies a browser takes (not Safari).
    #[arg(long)]
    http: bool,
    /// Build the functions as they are built for AWS: slow to build, fast to run.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    tables: Tables,
}

impl Stack {
    /// Runs it until it is dropped.
    ///
    /// # Errors
    /// Where something cannot be started, or ends.
    pub async fn run(self, root: &Path) -> Result<()> {
        let started = Instant::now();
        let gateway_at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let Ok(listener) = TcpListener::bind(gateway_at).await else {
            bail!("port {} is in use: choose another with --port, or stop what listens there", self.port);
        };
        println!("Latchkey, on this machine. Ctrl-C stops it.\n");
        let template = Template::read(&root.join("template.yaml"))?;
        let target = root.join("target");

        let tables = self.tables.start(root, &template, Ipv4Addr::LOCALHOST.into(), self.scheme()).await?;

        let turn = processes::turn(&target.join("dev")).await?;
        let cargo_lambda = functions::cargo_lambda(&target).await?;
        let certificate = (!self.http).then(|| Certificate::in_folder(&target.join("dev"))).transpose()?;
        drop(turn);
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let tool = relative(&cargo_lambda);
        say("tools", &tool);
        say("build", if self.release { "the functions, optimised: minutes, the first time" } else { "the functions" });
        functions::build(root, &template.functions(), self.release).await?;

        let functions_at = free_address().await?;
        let mut functions = Functions::start(&cargo_lambda, root, functions_at, &tables.settings, self.release)?;
        functions.ready(functions_at, &template.routes()).await?;
        say("functions", &format!("{} answer", template.functions().join(", ")));

        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let gateway = Gateway {
            functions: functions_at,
            routes: template.routes(),
            cors: template.cors(),
            allowed_origins: tables.config.allowed_origins,
        };
        let running = Running {
            url: format!("{}://localhost:{}", self.scheme(), self.port),
            trust: certificate.as_ref().map(|files| relative(&files.certificate)),
            origins: gateway.allowed_origins.join(", "),
            invoke: format!("{tool} lambda invoke -A {} -P {}", functions_at.ip(), functions_at.port()),
        };
        running::remember(root, self.port, &tables.settings)?;
        println!("\nReady after {} s at {}\n", started.elapsed().as_secs(), running.url);
        running.explain();
        tokio::select! {
            outcome = gateway.serve(listener, tls) => outcome,
            outcome = functions.ended() => outcome,
        }
    }

    fn scheme(&self) -> &'static str {
        if self.http { "http" } else { "https" }
    }
}

/// A stack that answers, as far as a person needs to know it.
struct Running {
    url: String,
    trust: Option<String>,
    origins: String,
    invoke: String,
}

impl Running {
    /// Says what there is and how to use it.
    fn explain(&self) {
        let Self { url, trust, origins, invoke } = self;
        let people = [people::KIM, people::PARK].map(|person| format!("{} / {}", person.user_id, person.password));
        say("users", &people.join("    "));
        say("pages from", origins);
        if let Some(certificate) = trust {
            say("trust", &format!("{certificate} (self-signed)"));
        }
        let trust = trust.as_ref().map(|certificate| format!(" --cacert {certificate}")).unwrap_or_default();
        let curl = format!("curl -i{trust} -b target/dev/cookies -c target/dev/cookies");
        let form = format!(
            r#"{{"loginInfo":{{"userId":"{}","password":"{}"}},"checkedKeepLogin":true}}"#,
            people::KIM.user_id,
            people::KIM.password
        );
        println!("\n  {curl} -H 'content-type: application/json' -d '{form}' {url}/login");
        println!("  {curl} {url}/userinfo");
        println!("  {curl} -X POST {url}/logout\n");
        println!("  {invoke} userinfo --data-file events/userinfo.json\n");
    }
}

/// A port on the loopback that nobody uses now.
async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}
