//! The stack that a command uses: the one that runs in this checkout, or the one that `--url` names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use local::running::RunningStack;
use reqwest::header::{CONTENT_TYPE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde_json::json;
use shared::config::Environment;

use crate::invoke::Functions;
use crate::people::{self, KIM, Login};

/// A stack, as a command uses it.
pub struct Target {
    root: PathBuf,
    url: String,
    client: Client,
    /// `None` if the stack at this address does not run in this checkout.
    stack: Option<RunningStack>,
}

impl Target {
    /// Returns the stack at `url`. Without a `url`, returns the only stack that runs in this checkout.
    ///
    /// # Errors
    /// Fails if `url` is not the address of a stack, or if there is no `url` and not exactly one stack runs.
    pub fn find(root: &Path, url: Option<&str>) -> Result<Self> {
        let stacks = RunningStack::all(root);
        let url = choose(&stacks, url)?;
        let client = client(&root.join("target/dev/localhost.pem"))?;
        let stack = stacks.into_iter().find(|stack| is_at(stack, &url));
        Ok(Self { root: root.to_owned(), url: url.origin().ascii_serialization(), client, stack })
    }

    /// Returns the root of this checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a client that trusts the certificate of the local stack and follows no redirect.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the environment of the functions.
    ///
    /// # Errors
    /// Fails if the stack does not run in this checkout.
    pub(crate) fn environment(&self) -> Result<Environment> {
        Ok(self.stack()?.environment())
    }

    /// Returns the functions, without the gateway.
    ///
    /// # Errors
    /// Fails if the stack does not run in this checkout.
    pub(crate) fn functions(&self) -> Result<Functions> {
        Ok(Functions::at(self.stack()?.functions, self.client.clone()))
    }

    fn stack(&self) -> Result<&RunningStack> {
        self.stack.as_ref().with_context(|| self.not_running())
    }

    /// Returns the error message for a stack that does not respond.
    pub(crate) fn not_running(&self) -> String {
        format!("no `cargo dev` of this checkout runs at {}", self.url)
    }

    /// Adds a user with a new login name, so that a command can try what it likes.
    ///
    /// # Errors
    /// Fails if the stack does not run in this checkout.
    pub(crate) async fn add_guest(&self, password: &str) -> Result<Login> {
        people::add_guest(&self.environment()?, password).await
    }

    /// Signs in with a persistent session. Returns the cookies, each as `name=value`.
    ///
    /// # Errors
    /// Fails if the stack does not respond, or if it does not sign the user in.
    pub(crate) async fn sign_in(&self, login: &Login) -> Result<Vec<String>> {
        let request = self.client.post(format!("{}/login", self.url)).header(CONTENT_TYPE, "application/json");
        let response = request.body(login.form()).send().await;
        let response = response.with_context(|| format!("no stack responds at {}", self.url))?;
        let cookies = cookies_of(&response);
        if !cookies.is_empty() {
            return Ok(cookies);
        }
        let hint = match response.status() {
            StatusCode::UNAUTHORIZED => ": was its password changed? Without --data, a restart brings the old one back",
            StatusCode::TOO_MANY_REQUESTS => ": too many wrong passwords. Run `cargo dev unlock`, or wait",
            _ => "",
        };
        bail!("{}/login returned {} for {}{hint}", self.url, response.status(), login.name)
    }

    /// Signs in as the demonstration user `kimcoding`.
    ///
    /// # Errors
    /// Fails if the stack does not respond, or if it does not sign the user in.
    pub(crate) async fn sign_in_as_kim(&self) -> Result<Vec<String>> {
        self.sign_in(&Login::of(KIM)).await
    }
}

impl Login {
    /// Returns the body of `POST /login` for a persistent session.
    pub(crate) fn form(&self) -> String {
        json!({ "loginInfo": { "userId": self.name, "password": self.password }, "checkedKeepLogin": true }).to_string()
    }
}

/// Returns the cookies of the `Set-Cookie` headers, each as `name=value`.
pub(crate) fn cookies_of(response: &Response) -> Vec<String> {
    let lines = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| line.split(';').next()).map(str::to_owned).collect()
}

fn client(certificate: &Path) -> Result<Client> {
    let mut client = Client::builder().user_agent("cargo dev").redirect(Policy::none()).no_proxy();
    if let Ok(pem) = fs::read(certificate) {
        client = client.add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(client.build()?)
}

/// Returns the address of the stack to use.
fn choose(stacks: &[RunningStack], given: Option<&str>) -> Result<Url> {
    match (given, stacks) {
        (Some(given), _) => address(stacks, given),
        (None, [stack]) => Ok(Url::parse(&stack.url)?),
        (None, []) => bail!(
            "no `cargo dev` runs in this checkout.\n\
             Start one in another terminal and wait for \"Ready\", or give an address with --url."
        ),
        (None, _) => {
            let options: Vec<_> = stacks.iter().map(|stack| format!("\n  --url {}", stack.url)).collect();
            bail!("several stacks run in this checkout. Choose one:{}", options.concat())
        }
    }
}

/// Completes an address: `localhost:4100` or `:4100` to `https://localhost:4100`. Without a scheme, the scheme is that
/// of the running stack at this port, or `https`.
fn address(stacks: &[RunningStack], given: &str) -> Result<Url> {
    let invalid = || format!("`{given}` is not the address of a stack, such as https://localhost:4000");
    let (scheme, rest) = given.split_once("://").map_or((None, given), |(scheme, rest)| (Some(scheme), rest));
    let host = if rest.starts_with(':') { "localhost" } else { "" };
    let parse = |scheme: &str| Url::parse(&format!("{scheme}://{host}{rest}")).with_context(invalid);
    let mut url = parse(scheme.unwrap_or("https"))?;
    if scheme.is_none() {
        url = Some(parse("http")?).filter(|plain| stacks.iter().any(|stack| is_at(stack, plain))).unwrap_or(url);
    }
    let names_only_a_host = ["http", "https"].contains(&url.scheme())
        && (url.path(), url.query(), url.fragment(), url.username()) == ("/", None, None, "");
    if names_only_a_host { Ok(url) } else { bail!(invalid()) }
}

/// Returns `true` if this is the address of the stack. Each name of the loopback interface is the same address.
fn is_at(stack: &RunningStack, url: &Url) -> bool {
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&url.host_str().unwrap_or_default());
    let place = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default());
    is_local && Url::parse(&stack.url).is_ok_and(|running| place(&running) == place(url))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns a running stack without settings.
    pub(crate) fn stack(url: &str) -> RunningStack {
        RunningStack::new(url.to_owned(), ([127, 0, 0, 1], 9).into(), BTreeMap::new())
    }

    /// Returns the root of an empty checkout.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("target/dev")).unwrap();
        root
    }

    #[test]
    fn the_only_running_stack_is_used_without_an_address() {
        let root = root();
        let _saved = stack("https://localhost:4100").save(root.path(), 4100).unwrap();
        assert_eq!(Target::find(root.path(), None).unwrap().url(), "https://localhost:4100");
    }

    #[test]
    fn without_a_running_stack_the_message_says_how_to_start_one() {
        let error = Target::find(root().path(), None).err().unwrap().to_string();
        assert!(error.contains("no `cargo dev` runs in this checkout") && error.contains("--url"), "{error}");
    }

    #[test]
    fn with_several_running_stacks_the_message_lists_their_addresses() {
        let root = root();
        let _first = stack("https://localhost:4100").save(root.path(), 4100).unwrap();
        let _second = stack("http://localhost:4200").save(root.path(), 4200).unwrap();
        let error = Target::find(root.path(), None).err().unwrap().to_string();
        let options = "Choose one:\n  --url http://localhost:4200\n  --url https://localhost:4100";
        assert!(error.contains(options), "{error}");
    }

    #[test]
    fn an_address_may_lack_its_scheme_or_end_with_a_slash() {
        let stacks = [stack("http://localhost:4200"), stack("https://localhost:4300")];
        for (given, expected) in [
            ("https://localhost:4100", "https://localhost:4100"),
            ("https://localhost:4100/", "https://localhost:4100"),
            ("HTTPS://LOCALHOST:4100/", "https://localhost:4100"),
            ("localhost:4100", "https://localhost:4100"),
            ("localhost:4100/", "https://localhost:4100"),
            (":4100", "https://localhost:4100"),
            ("127.0.0.1:4100", "https://127.0.0.1:4100"),
            ("[::1]:4100", "https://[::1]:4100"),
            ("localhost", "https://localhost"),
            ("localhost:443", "https://localhost"),
            ("localhost:4200", "http://localhost:4200"),
            (":4200/", "http://localhost:4200"),
            ("localhost:4300", "https://localhost:4300"),
            ("http://localhost:4300", "http://localhost:4300"),
            ("127.0.0.1:4200", "http://127.0.0.1:4200"),
        ] {
            let url = choose(&stacks, Some(given)).unwrap();
            assert_eq!(url.origin().ascii_serialization(), expected, "{given}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_address_is_rejected() {
        for given in [
            "",
            "ftp://localhost:4000",
            "https://",
            "localhost:port",
            "localhost:99999",
            "https://localhost:4000/userinfo",
            "localhost:4000?a=b",
            "https://kim@localhost:4000",
            "https://localhost:4000#top",
        ] {
            let error = choose(&[], Some(given)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{given}` is not the address of a stack")), "{error}");
        }
    }

    #[test]
    fn a_stack_is_found_by_each_name_of_the_loopback_interface() {
        let root = root();
        let _saved = stack("https://localhost:4100").save(root.path(), 4100).unwrap();
        for url in ["https://localhost:4100", "127.0.0.1:4100", "[::1]:4100"] {
            Target::find(root.path(), Some(url)).unwrap().environment().unwrap();
        }
        assert!(Target::find(root.path(), Some("example.com:4100")).unwrap().environment().is_err());
    }

    #[test]
    fn a_command_that_needs_the_settings_rejects_a_stack_of_another_checkout() {
        let root = root();
        let target = Target::find(root.path(), Some("localhost:4100")).unwrap();
        let error = target.environment().err().unwrap().to_string();
        assert_eq!(error, "no `cargo dev` of this checkout runs at https://localhost:4100");
    }
}
