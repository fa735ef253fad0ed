//! The whole stack: the functions over an embedded DynamoDB, behind a local gateway.
#![expect(clippy::print_stdout, reason = "the output of a command-line tool")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use tokio::net::TcpListener;

use crate::certificate::Certificate;
use crate::functions::{self, Functions, say};
use crate::gateway::Gateway;
use crate::pages::{self, Pages};
use crate::people;
use crate::processes;
use crate::running;
use crate::tables::{RunningTables, Tables};
use crate::template::Template;

/// The options of the stack.
#[derive(Debug, Args)]
pub struct Stack {
    /// The port of the gateway.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Serve without TLS, for a page at `http://localhost` that calls the stack without a proxy. Safari does not accept
    /// the cookies.
    #[arg(long)]
    http: bool,
    /// Build the functions as for AWS: a slow build, fast functions.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    tables: Tables,
}

/// The files that the stack needs besides the functions.
struct Tools {
    cargo_lambda: PathBuf,
    certificate: Option<Certificate>,
}

impl Stack {
    /// Runs the stack until the future is dropped.
    ///
    /// # Errors
    /// Fails if a part of the stack cannot be started, or ends.
    pub async fn run(self, root: &Path) -> Result<()> {
        let started = Instant::now();
        let listener = self.bind().await?;
        println!("Latchkey on this machine. Press Ctrl-C to stop.\n");
        let template = Template::read(&root.join("template.yaml"))?;

        let tables = self.tables.start(root, &template, Ipv4Addr::LOCALHOST.into(), self.default_origins()).await?;
        let tools = self.tools(root).await?;
        self.build(root, &template).await?;
        let mut functions = Functions::start(&tools.cargo_lambda, root, &tables.settings, self.release).await?;
        functions.ready(&template.routes()).await?;
        say("functions", &template.functions().join(", "));

        let pages = self.pages(&tables);
        let gateway = Gateway::new(functions.address, &template, pages.clone());
        let tls = tools.certificate.as_ref().map(Certificate::acceptor).transpose()?;
        running::save(root, self.port, &tables.settings)?;
        println!("\nReady after {} s at {}\n", started.elapsed().as_secs(), self.url());
        self.print_usage(root, &tools, &pages, functions.address);
        tokio::select! {
            () = gateway.serve(listener, tls) => Ok(()),
            outcome = functions.ended() => outcome,
        }
    }

    /// Binds the port of the gateway first, so that a port in use is reported before anything is built.
    async fn bind(&self) -> Result<TcpListener> {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await else {
            bail!("port {} is in use: choose another port with --port, or stop the other program", self.port);
        };
        Ok(listener)
    }

    /// Finds or installs `cargo-lambda`, and creates the certificate.
    async fn tools(&self, root: &Path) -> Result<Tools> {
        let target = root.join("target");
        let _lock = processes::lock_shared_files(&target.join("dev")).await?;
        let cargo_lambda = functions::cargo_lambda(&target).await?;
        let certificate = (!self.http).then(|| Certificate::in_folder(&target.join("dev"))).transpose()?;
        say("tools", &relative(&cargo_lambda, root));
        Ok(Tools { cargo_lambda, certificate })
    }

    async fn build(&self, root: &Path, template: &Template) -> Result<()> {
        say("build", if self.release { "release build; the first one takes minutes" } else { "debug build" });
        functions::build(root, &template.functions(), self.release).await
    }

    /// Returns the stack and its pages, as a browser sees them.
    fn pages(&self, tables: &RunningTables) -> Pages {
        let env = tables.settings.environment();
        Pages {
            scheme: self.scheme(),
            cookie_domain: env.optional("COOKIE_DOMAIN").unwrap_or_default(),
            allowed: tables.allowed_origins.as_slice().to_vec(),
        }
    }

    /// Prints the users, the addresses, and commands to copy.
    fn print_usage(&self, root: &Path, tools: &Tools, pages: &Pages, functions: SocketAddr) {
        let people = [people::KIM, people::PARK].map(|person| format!("{} / {}", person.user_id, person.password));
        say("users", &people.join("    "));
        let (by_proxy, direct): (Vec<_>, Vec<_>) =
            pages.allowed.iter().map(String::as_str).partition(|origin| pages.obstacle(origin).is_some());
        for (topic, origins) in [("origins", direct), ("by proxy", by_proxy)] {
            if !origins.is_empty() {
                say(topic, &origins.join(", "));
            }
        }
        let certificate = tools.certificate.as_ref().map(|files| relative(&files.certificate, root));
        if let Some(file) = &certificate {
            say("certificate", &format!("{file} (self-signed)"));
        }

        let url = self.url();
        let trust = certificate.map(|file| format!(" --cacert {file}")).unwrap_or_default();
        let curl = format!("curl -i{trust} -b target/dev/cookies -c target/dev/cookies");
        let form = format!(
            r#"{{"loginInfo":{{"userId":"{}","password":"{}"}},"checkedKeepLogin":true}}"#,
            people::KIM.user_id,
            people::KIM.password
        );
        println!("\n  {curl} -H 'content-type: application/json' -d '{form}' {url}/login");
        println!("  {curl} {url}/userinfo");
        println!("  {curl} -X POST {url}/logout\n");
        let (invoke, ip, port) = (relative(&tools.cargo_lambda, root), functions.ip(), functions.port());
        println!("  {invoke} lambda invoke -A {ip} -P {port} userinfo --data-file events/userinfo.json\n");
        for warning in pages.warnings() {
            say("warning", &warning);
        }
    }

    fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme(), self.port)
    }

    fn default_origins(&self) -> &'static str {
        if self.http { pages::DEFAULT_HTTP } else { pages::DEFAULT }
    }

    fn scheme(&self) -> &'static str {
        if self.http { "http" } else { "https" }
    }
}

/// Returns the path as seen from `root`, for the terminal.
fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
