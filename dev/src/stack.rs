//! The whole stack: the functions over an embedded DynamoDB, behind a local gateway.
#![expect(clippy::print_stdout, reason = "the output of a command-line tool")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use local::running::{self, RunningStack};
use tokio::net::TcpListener;

use crate::authorizer;
use crate::certificate::Certificate;
use crate::events_file::EventsFile;
use crate::functions::{self, Functions, say};
use crate::gateway::Gateway;
use crate::pages::{self, Pages};
use crate::people;
use crate::processes;
use crate::routes::{self, Routes};
use crate::tables::{RunningTables, Tables};
use crate::template::Template;

/// The options of the stack.
#[derive(Debug, Args)]
pub struct Stack {
    /// The port of the gateway.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Serve without TLS, for a page at `http://localhost` that calls the stack without a proxy. Safari does not accept
    /// the cookies.
    #[arg(long)]
    http: bool,
    /// Build the functions as for AWS: a slow build, fast functions.
    #[arg(long)]
    release: bool,
    /// Serve your own routes behind the authorizer. Without this option, the file is `routes.toml`, if it exists.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
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
        let template = Template::read(&root.join("template.yaml"))?;
        let routes = self.routes(root, &template)?;
        let listener = self.bind(root).await?;
        println!("Latchkey on this machine. Press Ctrl-C to stop.\n");

        let tables = self.tables.start(root, &template, Ipv4Addr::LOCALHOST.into(), self.default_origins()).await?;
        let tools = self.tools(root).await?;
        let authorizer = (!routes.is_empty()).then(|| authorizer::FUNCTION.to_owned());
        let names: BTreeSet<_> = template.functions().into_iter().chain(authorizer).collect();
        let names = Vec::from_iter(names);
        self.build(root, &names).await?;
        let events = EventsFile::create(&running::events_file(root, &self.url()))?;
        let mut functions = Functions::start(&tools.cargo_lambda, root, &tables.settings, self.release, events).await?;
        functions.ready(&template.routes(), !routes.is_empty()).await?;
        say("functions", &names.join(", "));

        let pages = self.pages(&tables);
        let lines = routes.lines();
        let gateway = Gateway::new(functions.address, &template, pages.clone())
            .with_own_pages(tables.site.pages.clone())
            .with_routes(routes);
        let tls = tools.certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let running = RunningStack::new(self.url(), functions.address, tables.settings.variables().clone());
        let _file = {
            let _lock = processes::lock_shared_files(&root.join("target/dev")).await?;
            running.save(root, self.port)?
        };
        println!("\nReady after {} s at {}\n", started.elapsed().as_secs(), self.url());
        self.print_usage(root, &tools, &pages, &lines);
        tokio::select! {
            () = gateway.serve(listener, tls) => Ok(()),
            outcome = functions.ended() => outcome,
        }
    }

    /// Binds the port of the gateway first, so that a port in use is reported before anything is built.
    async fn bind(&self, root: &Path) -> Result<TcpListener> {
        let port = self.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        // A browser tries the IPv6 address of `localhost` first, and would reach the other program.
        let other = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await;
        match (listener, other) {
            (Ok(listener), Ok(_)) => Ok(listener),
            (Ok(listener), Err(error)) if error.kind() != ErrorKind::AddrInUse => Ok(listener),
            (Err(error), _) if error.kind() != ErrorKind::AddrInUse => {
                Err(error).with_context(|| format!("cannot listen on port {port}: choose another port with --port"))
            }
            _ => bail!(port_in_use(port, &RunningStack::all(root))),
        }
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

    /// Reads the routes of the developer. Without a file, there are none.
    fn routes(&self, root: &Path, template: &Template) -> Result<Routes> {
        let default = root.join(routes::FILE);
        match &self.routes {
            Some(file) => Routes::read(file, template),
            None if default.exists() => Routes::read(&default, template),
            None => Ok(Routes::default()),
        }
    }

    async fn build(&self, root: &Path, functions: &[String]) -> Result<()> {
        say("build", if self.release { "release build; the first one takes minutes" } else { "debug build" });
        functions::build(root, functions, self.release).await
    }

    /// Returns the stack and its pages, as a browser sees them.
    fn pages(&self, tables: &RunningTables) -> Pages {
        let env = tables.settings.environment();
        Pages {
            scheme: self.scheme(),
            cookie_domain: env.optional("COOKIE_DOMAIN").unwrap_or_default(),
            allowed: tables.site.allowed_origins.as_slice().to_vec(),
        }
    }

    /// Prints the users, the addresses, the routes of the developer, and commands to copy.
    fn print_usage(&self, root: &Path, tools: &Tools, pages: &Pages, routes: &[String]) {
        let people = [people::KIM, people::PARK].map(|person| format!("{} / {}", person.user_id, person.password));
        say("pages", &self.url());
        say("users", &people.join("    "));
        let (by_proxy, direct): (Vec<_>, Vec<_>) =
            pages.allowed.iter().map(String::as_str).partition(|origin| pages.obstacle(origin).is_some());
        for (topic, origins) in [("origins", direct), ("by proxy", by_proxy)] {
            if !origins.is_empty() {
                say(topic, &origins.join(", "));
            }
        }
        for route in routes {
            say("route", route);
        }
        let certificate = tools.certificate.as_ref().map(|files| relative(&files.certificate, root));
        if let Some(file) = &certificate {
            say("certificate", &format!("{file} (self-signed)"));
        }

        println!("\n{}", examples(&self.url(), certificate.as_deref()));
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

/// Says what to do if another program listens on the port.
fn port_in_use(port: u16, stacks: &[RunningStack]) -> String {
    let is_ours = |stack: &&RunningStack| stack.url.ends_with(&format!(":{port}"));
    let other = match stacks.iter().find(is_ours) {
        Some(stack) => format!("another `cargo dev` of this checkout, at {}", stack.url),
        None => format!("another program. `lsof -i :{port}` shows it"),
    };
    let free = port.checked_add(1).unwrap_or(4000);
    format!("port {port} is in use by {other}.\nStop it, or choose another port: cargo dev --port {free}")
}

/// Returns commands to copy: to sign in, to read the user and to sign out with curl, and to call a function. No line is
/// wider than 80 columns.
fn examples(url: &str, certificate: Option<&str>) -> String {
    let trust = certificate.map(|file| format!(" --cacert {file}")).unwrap_or_default();
    // `-w '\n'` ends the body with a newline, because the body does not.
    let curl = format!("curl -i -w '\\n'{trust} \\\n    -b target/dev/cookies -c target/dev/cookies");
    let (name, password) = (people::KIM.user_id, people::KIM.password);
    format!(
        r#"Sign in:
  {curl} \
    -H 'content-type: application/json' -d '{{"checkedKeepLogin":true,
    "loginInfo":{{"userId":"{name}","password":"{password}"}}}}' \
    {url}/login

Read the user:
  {curl} \
    {url}/userinfo

Sign out:
  {curl} \
    -X POST {url}/logout

Call one function with the tokens of a new login:
  cargo dev invoke userinfo
"#
    )
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::target::tests::stack;

    fn with_port(port: u16) -> Stack {
        #[derive(clap::Parser)]
        struct Options {
            #[command(flatten)]
            stack: Stack,
        }
        <Options as clap::Parser>::parse_from(["dev", "--port", &port.to_string()]).stack
    }

    #[test]
    fn each_example_has_a_label_and_fits_in_80_columns() {
        for (url, certificate) in
            [("https://localhost:65535", Some("target/dev/localhost.pem")), ("http://localhost:4000", None)]
        {
            let text = examples(url, certificate);
            for label in ["Sign in:\n  curl ", "Read the user:\n  curl ", "Sign out:\n  curl "] {
                assert!(text.contains(label), "{text}");
            }
            assert!(text.contains("Call one function with the tokens of a new login:\n  cargo dev invoke userinfo\n"));
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert_eq!(text.matches("--cacert").count(), certificate.map_or(0, |_| 3));
        }
    }

    #[test]
    fn the_readme_shows_the_examples() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let examples = examples("https://localhost:4000", Some("target/dev/localhost.pem"));
        assert!(readme.contains(&examples), "README.md does not contain this text:\n{examples}");
    }

    /// A browser tries the IPv6 address of `localhost` first.
    #[tokio::test]
    async fn a_port_in_use_is_reported_on_each_address_of_localhost() {
        let root = tempfile::tempdir().unwrap();
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let Ok(other) = TcpListener::bind((address, 0)).await else {
                assert!(address.is_ipv6(), "this machine has no IPv6");
                continue;
            };
            let port = other.local_addr().unwrap().port();
            let error = with_port(port).bind(root.path()).await.unwrap_err().to_string();
            assert!(error.starts_with(&format!("port {port} is in use by another program.")), "{error}");
            drop(other);
            with_port(port).bind(root.path()).await.unwrap();
        }
    }

    #[test]
    fn a_port_in_use_by_another_stack_is_reported_with_its_address() {
        let text = port_in_use(4100, &[stack("https://localhost:41000"), stack("http://localhost:4100")]);
        let expected = "port 4100 is in use by another `cargo dev` of this checkout, at http://localhost:4100.\n\
                        Stop it, or choose another port: cargo dev --port 4101";
        assert_eq!(text, expected);
        assert!(
            port_in_use(65535, &[]).contains("`lsof -i :65535` shows it") && port_in_use(65535, &[]).contains("4000")
        );
    }
}
