//! `cargo dev`: the local stack in one command.
#![expect(clippy::print_stdout, reason = "it talks to a person at a terminal")]

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use dev::certificate::Certificate;
use dev::dynamodb::DynamoDb;
use dev::functions::{self, Functions, say};
use dev::gateway::Gateway;
use dev::settings::{Cookies, Settings};
use dev::template::Template;
use dev::{event, people, token};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    stack: Stack,
}

const ABOUT: &str =
    "Runs Latchkey on this machine: the real functions over an embedded DynamoDB, at https://localhost:4000";

const EXAMPLES: &str = "\
Examples:
  cargo dev                          everything in memory, at https://localhost:4000
  cargo dev --data target/dev/data   the same users tomorrow
  cargo dev --http --port 8080       without TLS, at http://localhost:8080
  cargo dev --host-only              with the `__Host-` cookies of a stack without a domain
  cargo dev event userinfo           an event with cookies that are good now (the stack must be running)
  cargo dev token                    the two tokens of a login, taken apart (the stack must be running)
  cargo dev token eyJ...             that token, taken apart; `cargo dev token -` reads it from standard input

Secrets and other settings are read from the environment and from `.env`; see `.env.example`.
Ctrl-C stops everything that was started.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints an event of `events/` with the cookies of somebody who has just signed in to the running stack.
    Event {
        /// Its name: `userinfo`, `logout`, …
        name: String,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
    /// Takes apart the two tokens of somebody who has just signed in to the running stack, or a token of yours.
    Token {
        /// A token of yours; `-` reads it from standard input, which leaves no trace in the shell's history.
        token: Option<String>,
        /// Where the stack runs.
        #[arg(long, default_value = "https://localhost:4000")]
        url: String,
    },
}

#[derive(Debug, Args)]
struct Stack {
    /// The port of the gateway.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Without TLS: `http://localhost` is the only plain address from which a browser takes our cookies.
    #[arg(long)]
    http: bool,
    /// Keep the data in this file; without it they are in memory, and gone at the end.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Build the functions as they are built for AWS: slow to build, fast to run.
    #[arg(long)]
    release: bool,
    /// Use the `__Host-` cookies of a stack without a cookie domain.
    #[arg(long)]
    host_only: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run_until_stopped(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_stopped(cli: Cli) -> Result<()> {
    if let Some(Command::Token { token: Some(text), .. }) = &cli.command {
        // Before Ctrl-C is ours: it has to end the wait for standard input.
        let text = if text == "-" { token::read(io::stdin())? } else { token::given(text)? };
        return print(&text);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = run(cli) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn run(cli: Cli) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace is gone")?;
    let certificate = root.join("target/dev/localhost.pem");
    let text = match cli.command {
        None => return cli.stack.run(root).await,
        Some(Command::Event { name, url }) => event::live(root, &name, &url, &certificate).await?,
        Some(Command::Token { url, .. }) => token::live(&url, &certificate).await?,
    };
    print(&text)
}

/// Prints what was asked for. Who has read enough of it, such as `head`, may hang up.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

impl Stack {
    async fn run(self, root: &Path) -> Result<()> {
        let started = Instant::now();
        let gateway_at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let Ok(listener) = TcpListener::bind(gateway_at).await else {
            bail!("port {} is in use: choose another with --port, or stop what listens there", self.port);
        };
        println!("Latchkey, on this machine. Ctrl-C stops it.\n");
        let template = Template::read(&root.join("template.yaml"))?;
        let target = root.join("target");

        let dynamodb =
            DynamoDb::start(&template, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), self.data.as_deref()).await?;
        let settings = Settings::new(root, &template, Cookies { host_only: self.host_only })?
            .with("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint_url());
        let config = settings.config()?;
        people::add_missing(&config).await?;
        let kept = self.data.as_ref().map_or_else(|| "in memory".to_owned(), |file| format!("in {}", file.display()));
        say("dynamodb", &format!("{} tables {kept}, at {}", template.tables().len(), dynamodb.endpoint_url()));

        let cargo_lambda = functions::cargo_lambda(&target).await?;
        say("tools", &cargo_lambda.display().to_string());
        say("build", "the functions; the first time takes two to three minutes");
        functions::build(root, &template.functions(), self.release).await?;

        let functions_at = free_address().await?;
        let mut functions = Functions::start(&cargo_lambda, root, functions_at, &settings, self.release)?;
        functions.ready(functions_at, &template.routes()).await?;
        let (names, ip, port) = (template.functions().join(", "), functions_at.ip(), functions_at.port());
        say("functions", &format!("{names} answer, also to `cargo lambda invoke -A {ip} -P {port}`"));

        let certificate = (!self.http).then(|| Certificate::in_folder(&target.join("dev"))).transpose()?;
        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let gateway = Gateway {
            functions: functions_at,
            routes: template.routes(),
            cors: template.cors(),
            allowed_origins: config.allowed_origins,
        };
        self.explain(root, certificate.as_ref(), started);
        tokio::select! {
            outcome = gateway.serve(listener, tls) => outcome,
            outcome = functions.ended() => outcome,
        }
    }

    /// Says what there is and how to use it.
    fn explain(&self, root: &Path, certificate: Option<&Certificate>, started: Instant) {
        let scheme = if self.http { "http" } else { "https" };
        let url = format!("{scheme}://localhost:{}", self.port);
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let trust = certificate.map(|files| format!(" --cacert {}", relative(&files.certificate))).unwrap_or_default();
        let curl = format!("curl -i{trust} -b target/dev/cookies -c target/dev/cookies");
        let people = [people::KIM, people::PARK].map(|person| format!("{} / {}", person.user_id, person.password));
        println!("\nReady after {} s at {url}\n", started.elapsed().as_secs());
        say("users", &people.join("    "));
        if let Some(files) = certificate {
            say("trust", &format!("{} (self-signed)", relative(&files.certificate)));
        }
        let form = format!(
            r#"{{"loginInfo":{{"userId":"{}","password":"{}"}},"checkedKeepLogin":true}}"#,
            people::KIM.user_id,
            people::KIM.password
        );
        println!("\n  {curl} -H 'content-type: application/json' -d '{form}' {url}/login");
        println!("  {curl} {url}/userinfo");
        println!("  {curl} -X POST {url}/logout\n");
    }
}

/// A port on the loopback that nobody uses now.
async fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}
