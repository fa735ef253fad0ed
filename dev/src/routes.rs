//! Reads `routes.toml`: the routes of a developer that the local gateway serves behind the authorizer.
//!
//! An error has the name of the file, the number of the line, and what to write.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hyper::Uri;
use serde::Deserialize;
use toml::Spanned;

use crate::route_key::RouteKey;
use crate::template::Template;

/// The file that `cargo dev` reads without `--routes`, if it exists.
pub(crate) const FILE: &str = "routes.toml";

/// An entry of each kind, for error messages.
const ENTRIES: &str = "An entry is one of these:\n  \
    \"GET /orders\" = { forward = \"http://127.0.0.1:8080\" }\n  \
    \"ANY /reports/{proxy+}\" = { function = \"reports\", endpoint = \"http://127.0.0.1:3001\" }";

/// The routes of a developer, in the order of the file.
#[derive(Debug, Default)]
pub struct Routes(Vec<Route>);

/// A route behind the authorizer.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) key: RouteKey,
    pub(crate) target: Target,
    /// The number of the line in the file.
    line: usize,
}

/// What answers the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Lambda function that runs on this machine.
    Function { name: String, endpoint: Server },
    /// A server of the developer, as an HTTP integration.
    Server {
        server: Server,
        /// Passes the `Cookie` header on.
        cookies: bool,
    },
}

/// An HTTP server, by its host and port: `127.0.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server(String);

/// An entry, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `forward`, or with `function` and `endpoint`")]
struct Entry {
    forward: Option<String>,
    cookies: Option<bool>,
    function: Option<String>,
    endpoint: Option<String>,
}

impl Routes {
    /// Reads the file. Compares its routes with each other and with those of the template.
    ///
    /// # Errors
    /// Fails if the file cannot be read, if an entry is invalid, if two entries have the same route, or if an entry
    /// would take requests of a route of Latchkey.
    pub fn read(file: &Path, template: &Template) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let at = |line| format!("{} line {line}", file.display());
        let entries: BTreeMap<Spanned<String>, Entry> = toml::from_str(&text).map_err(|error| {
            let line = line_of(&text, error.span().unwrap_or_default().start);
            anyhow!("{}: {}.\n{ENTRIES}", at(line), error.message())
        })?;
        let mut routes: Vec<Route> = Vec::new();
        for (key, entry) in entries {
            let line = line_of(&text, key.span().start);
            routes.push(entry.route(key.get_ref(), line).with_context(|| at(line))?);
        }
        routes.sort_by_key(|route| route.line);
        let own: Vec<_> = template.routes().iter().map(|route| RouteKey::new(&route.method, &route.path)).collect();
        for (index, Route { key, line, .. }) in routes.iter().enumerate() {
            if let Some(hidden) = own.iter().find(|own| key.shadows(own)) {
                bail!(
                    "{}: `{key}` would take the requests of `{hidden}`, a route of Latchkey. Choose another path, such \
                     as `/api{}`",
                    at(*line),
                    key.path()
                );
            }
            if let Some(first) = routes.iter().take(index).find(|first| first.key.is_same(key)) {
                bail!(
                    "{}: `{key}` is the same route as `{}` on line {}. Remove one of them",
                    at(*line),
                    first.key,
                    first.line
                );
            }
        }
        Ok(Self(routes))
    }

    /// Returns `true` if there are no routes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lines that the start prints: each route with its target.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|Route { key, target, .. }| format!("{key} -> {target}")).collect()
    }

    pub(crate) fn into_inner(self) -> Vec<Route> {
        self.0
    }
}

impl Entry {
    fn route(self, key: &str, line: usize) -> Result<Route> {
        let key = RouteKey::parse(key)?;
        let target = match self {
            Self { forward: Some(server), cookies, function: None, endpoint: None } => {
                Target::Server { server: Server::parse("forward", &server)?, cookies: cookies.unwrap_or_default() }
            }
            Self { forward: None, cookies: None, function: Some(name), endpoint: Some(endpoint) } => {
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                ensure!(
                    !name.is_empty() && name.bytes().all(is_name),
                    "`{name}` is not the name of a function: a name has letters, digits, `-` and `_`"
                );
                Target::Function { name, endpoint: Server::parse("endpoint", &endpoint)? }
            }
            Self { cookies: Some(_), function: Some(_), .. } => {
                bail!("`{key}` has `cookies`, but a function always gets the cookies. Remove `cookies`")
            }
            _ => bail!("`{key}` needs `forward`, or both `function` and `endpoint`.\n{ENTRIES}"),
        };
        Ok(Route { key, target, line })
    }
}

impl Server {
    /// Parses the address of a server. `name` is the name of the value in the file.
    fn parse(name: &str, text: &str) -> Result<Self> {
        let invalid = || format!("`{name}` is `{text}`, but it must be an address such as `http://127.0.0.1:8080`");
        let uri: Uri = text.parse().with_context(invalid)?;
        ensure!(uri.scheme_str() != Some("https"), "{}. `cargo dev` does not use https to reach it", invalid());
        let host = uri.authority().filter(|_| uri.scheme_str() == Some("http")).with_context(invalid)?;
        ensure!(!host.as_str().contains('@') && !host.host().is_empty(), invalid());
        ensure!(
            uri.path_and_query().is_none_or(|rest| rest.as_str() == "/"),
            "{}, without a path: the path of each request is passed on",
            invalid()
        );
        Ok(Self(host.as_str().to_owned()))
    }

    /// Returns the address without the scheme: `127.0.0.1:8080`.
    pub(crate) fn authority(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { name, endpoint } => write!(formatter, "function {name} at {endpoint}"),
            Self::Server { server, cookies: false } => write!(formatter, "{server}"),
            Self::Server { server, cookies: true } => write!(formatter, "{server}, with cookies"),
        }
    }
}

/// Returns the number of the line of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    /// Writes the text into `routes.toml` and reads it.
    fn read(text: &str) -> Result<Routes> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes.toml");
        fs::write(&file, text).unwrap();
        Routes::read(&file, &Template::read(&root().join("template.yaml")).unwrap())
    }

    #[test]
    fn an_entry_is_a_server_or_a_function() {
        let routes = read(
            "# comment\n\
             \"POST /orders\" = { forward = \"http://localhost:8080/\" }\n\
             \"ANY /shop/{proxy+}\" = { forward = \"http://[::1]:80\", cookies = true }\n\
             [\"GET /a\"]\nfunction = \"my-Reports_1\"\nendpoint = \"http://127.0.0.1:3001\"\n",
        );
        let expected = [
            "POST /orders -> http://localhost:8080",
            "ANY /shop/{proxy+} -> http://[::1]:80, with cookies",
            "GET /a -> function my-Reports_1 at http://127.0.0.1:3001",
        ];
        assert_eq!(routes.unwrap().lines(), expected);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn the_example_is_valid_and_has_both_kinds() {
        let template = Template::read(&root().join("template.yaml")).unwrap();
        let lines = Routes::read(&root().join("routes.example.toml"), &template).unwrap().lines();
        for text in ["http://127.0.0.1:8080", "function "] {
            assert!(lines.iter().any(|line| line.contains(text)), "{lines:?}");
        }
    }

    #[test]
    fn each_invalid_entry_is_reported_with_its_file_its_line_and_what_to_do() {
        let forward = |key: &str| format!("# the first line\n\"{key}\" = {{ forward = \"http://127.0.0.1:8080\" }}\n");
        let entry = |value: &str| format!("# the first line\n\"GET /a\" = {value}\n");
        for (text, reason) in [
            (forward("GET /login"), "would take the requests of `GET /login`, a route of Latchkey. Choose another"),
            (forward("ANY /sessions/current"), "of `DELETE /sessions/{id}`, a route of Latchkey"),
            (forward("GET /{proxy+}/a"), "is not at the end"),
            (entry("{ forwrd = \"http://127.0.0.1:8080\" }"), "unknown field `forwrd`, expected one of `forward`"),
            (entry("\"http://127.0.0.1:8080\""), "expected a table with `forward`, or with `function`"),
            (entry("{ forward = 8080 }"), "invalid type: integer `8080`, expected a string"),
            (entry("{}"), "`GET /a` needs `forward`, or both `function` and `endpoint`.\nAn entry is one of these:"),
            (entry("{ function = \"a\" }"), "needs `forward`, or both"),
            (entry("{ endpoint = \"http://127.0.0.1:3001\" }"), "needs `forward`, or both"),
            (
                entry("{ forward = \"http://a\", function = \"a\", endpoint = \"http://a\" }"),
                "needs `forward`, or both",
            ),
            (
                entry("{ function = \"a\", endpoint = \"http://a\", cookies = true }"),
                "a function always gets the cookies. Remove `cookies`",
            ),
            (entry("{ function = \"a/b\", endpoint = \"http://a\" }"), "`a/b` is not the name of a function"),
            (entry("{ forward = \"127.0.0.1:8080\" }"), "must be an address such as `http://127.0.0.1:8080`"),
            (entry("{ forward = \"\" }"), "must be an address such as"),
            (entry("{ forward = \"http://kim@127.0.0.1\" }"), "must be an address such as"),
            (entry("{ forward = \"https://127.0.0.1\" }"), "does not use https"),
            (entry("{ forward = \"http://127.0.0.1/api\" }"), "without a path"),
            (entry("{ forward = \"http://127.0.0.1/?a\" }"), "without a path"),
            (entry("{ function = \"a\", endpoint = \"http://127.0.0.1/a\" }"), "`endpoint` is `http://127.0.0.1/a`"),
            ("# the first line\nGET /a = 1\n".to_owned(), "An entry is one of these:\n  \"GET /orders\""),
        ] {
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains("/routes.toml line 2: ") && error.contains(reason), "{text}{error}");
        }
    }

    #[test]
    fn a_duplicate_route_is_reported_with_both_lines() {
        let forward = |key: &str| format!("\"{key}\" = {{ forward = \"http://127.0.0.1:8080\" }}\n");
        let error = read(&[forward("GET /a/{id}"), forward("GET /a"), forward("GET /a/{name}")].concat()).unwrap_err();
        let expected = "line 3: `GET /a/{name}` is the same route as `GET /a/{id}` on line 1. Remove one of them";
        assert!(error.to_string().ends_with(expected), "{error}");
        let error = read(&[forward("GET /a"), forward("GET /a")].concat()).unwrap_err();
        assert!(error.to_string().contains("routes.toml line 2: duplicate key"), "{error}");
    }

    #[test]
    fn a_missing_file_is_reported_by_name() {
        let template = Template::read(&root().join("template.yaml")).unwrap();
        let error = Routes::read(Path::new("no-such-routes.toml"), &template).unwrap_err();
        assert!(error.to_string().contains("cannot read no-such-routes.toml"), "{error}");
    }
}
