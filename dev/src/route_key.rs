//! Route keys, as API Gateway writes and selects them: `GET /orders`, `ANY /reports/{proxy+}`.
//!
//! API Gateway selects the most specific route that matches a request:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail, ensure};

/// The method of a route for all methods.
const ANY: &str = "ANY";

/// The methods that a route can have.
const METHODS: [&str; 7] = [ANY, "DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// A method and a path. A segment of the path is literal, `{name}` or, at the end, `{name+}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteKey {
    method: String,
    path: String,
}

/// A segment of a path. The order is that of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Literal(&'a str),
    /// `{name}` matches one segment that is not empty.
    Variable(&'a str),
    /// `{name+}` matches all segments up to the end, at least one.
    Greedy(&'a str),
}

impl RouteKey {
    /// Returns the route key of a method and a path that are known to be valid.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned() }
    }

    /// Parses a route key that a developer wrote.
    ///
    /// # Errors
    /// Fails if API Gateway does not accept the route key, or if the local gateway cannot serve it. The error says what
    /// to write.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        ensure!(text != "$default", "write `ANY /{{proxy+}}` in place of `$default`");
        let Some((method, path)) = text.split_once(' ') else {
            bail!("`{text}` is not a route key such as `GET /orders`")
        };
        ensure!(method != "OPTIONS", "the gateway itself responds to OPTIONS. Remove this route");
        ensure!(METHODS.contains(&method), "`{method}` is not a method. The methods are {}", METHODS.join(", "));
        ensure!(path.starts_with('/'), "the path `{path}` does not start with `/`");
        ensure!(
            path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`|".contains(&byte)),
            "the path `{path}` has a character that a path cannot have. Write it as %XX. A route has no query"
        );
        let key = Self::new(method, path);
        let last = key.segments().count() - 1;
        let mut names = Vec::new();
        for (index, segment) in key.segments().enumerate() {
            let name = match segment {
                Segment::Literal("") if index != 0 && index != last => bail!("the path `{path}` has an empty segment"),
                Segment::Literal(text) => {
                    ensure!(
                        !text.contains(['{', '}']),
                        "`{text}` is not a path variable. A variable is a whole segment: `{{id}}` or `{{proxy+}}`"
                    );
                    continue;
                }
                Segment::Greedy(name) if index != last => bail!("`{{{name}+}}` is not at the end of the path `{path}`"),
                Segment::Variable(name) | Segment::Greedy(name) => name,
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
            ensure!(
                !name.is_empty() && name.bytes().all(is_name),
                "`{{{name}}}` is not a path variable such as `{{id}}`"
            );
            ensure!(!names.contains(&name), "the path `{path}` has the variable `{name}` twice");
            names.push(name);
        }
        Ok(key)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns `true` if a request belongs to this route.
    pub(crate) fn matches(&self, method: &str, path: &str) -> bool {
        let mut found = path.split('/');
        let is_matched = self.segments().all(|wanted| match (wanted, found.next()) {
            (Segment::Literal(wanted), Some(found)) => wanted == found,
            (Segment::Variable(_), Some(found)) => !found.is_empty(),
            (Segment::Greedy(_), Some(first)) => {
                let is_empty = first.is_empty() && found.clone().next().is_none();
                found.by_ref().for_each(drop);
                !is_empty
            }
            (_, None) => false,
        });
        is_matched && found.next().is_none() && (self.method == method || self.method == ANY)
    }

    /// Returns the path parameters of a path that belongs to this route.
    pub(crate) fn parameters(&self, path: &str) -> BTreeMap<String, String> {
        let mut rest = path;
        let parameters = self.segments().filter_map(|segment| {
            let (found, next) = rest.split_once('/').unwrap_or((rest, ""));
            let parameter = match segment {
                Segment::Literal(_) => None,
                Segment::Variable(name) => Some((name.to_owned(), found.to_owned())),
                Segment::Greedy(name) => Some((name.to_owned(), rest.to_owned())),
            };
            rest = next;
            parameter
        });
        parameters.collect()
    }

    /// Returns the place of this route among routes that match the same request. API Gateway selects the smallest: a
    /// route without `{name+}` comes first, then a literal segment, and then a method other than `ANY`.
    pub(crate) fn precedence(&self) -> (bool, Vec<u8>, bool) {
        let (is_greedy, ranks) = self.path_precedence();
        (is_greedy, ranks, self.method == ANY)
    }

    fn path_precedence(&self) -> (bool, Vec<u8>) {
        let rank = |segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Variable(_) => 1,
            Segment::Greedy(_) => 2,
        };
        let ranks: Vec<_> = self.segments().map(rank).collect();
        (ranks.contains(&2), ranks)
    }

    /// Returns `true` if the two routes differ only in the names of their variables. API Gateway rejects such routes.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |pair| match pair {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Variable(_), Segment::Variable(_)) | (Segment::Greedy(_), Segment::Greedy(_)) => true,
            _ => false,
        };
        self.method == other.method
            && self.segments().count() == other.segments().count()
            && self.segments().zip(other.segments()).all(is_same)
    }

    /// Returns `true` if a request can match both routes, and if the path of this route is as specific as that of
    /// `other`, or more.
    pub(crate) fn shadows(&self, other: &Self) -> bool {
        let shares_method = self.method == other.method || self.method == ANY || other.method == ANY;
        let is_greedy = |key: &Self| key.path_precedence().0;
        let fits = |pair| match pair {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Variable(_), Segment::Literal(text)) | (Segment::Literal(text), Segment::Variable(_)) => {
                !text.is_empty()
            }
            _ => true,
        };
        let same_length = self.segments().count() == other.segments().count();
        shares_method
            && (same_length || is_greedy(self) || is_greedy(other))
            && self.segments().zip(other.segments()).all(fits)
            && self.path_precedence() <= other.path_precedence()
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.path.split('/').map(|text| {
            let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
            match name.map(|name| (name.strip_suffix('+'), name)) {
                Some((Some(name), _)) => Segment::Greedy(name),
                Some((None, name)) => Segment::Variable(name),
                None => Segment::Literal(text),
            }
        })
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> RouteKey {
        RouteKey::parse(text).unwrap()
    }

    /// Returns the route that the gateway selects, or an empty text.
    fn selected<'a>(keys: &[&'a str], method: &str, path: &str) -> &'a str {
        let matching = keys.iter().copied().filter(|text| key(text).matches(method, path));
        matching.min_by_key(|text| key(text).precedence()).unwrap_or_default()
    }

    #[test]
    fn a_path_variable_matches_one_segment() {
        let route = key("DELETE /orders/{id}");
        assert!(route.matches("DELETE", "/orders/abc"));
        assert_eq!(route.parameters("/orders/abc"), BTreeMap::from([("id".to_owned(), "abc".to_owned())]));
        for other in ["/orders", "/orders/", "/orders/abc/def", "/order/abc", "//abc", "orders/abc"] {
            assert!(!route.matches("DELETE", other), "{other}");
        }
        assert!(!route.matches("GET", "/orders/abc"));
    }

    #[test]
    fn a_greedy_path_variable_matches_all_segments_up_to_the_end() {
        let route = key("ANY /reports/{year}/{proxy+}");
        for (path, rest) in [("/reports/2026/a", "a"), ("/reports/2026/a/b/c", "a/b/c"), ("/reports/2026/a/", "a/")] {
            assert!(route.matches("PATCH", path), "{path}");
            let expected = [("year", "2026"), ("proxy", rest)].map(|(name, value)| (name.into(), value.into()));
            assert_eq!(route.parameters(path), BTreeMap::from(expected));
        }
        for other in ["/reports", "/reports/2026", "/reports/2026/", "/reports//a", "/other/2026/a"] {
            assert!(!route.matches("GET", other), "{other}");
        }
    }

    /// The table of API Gateway's documentation, and routes with more variables.
    #[test]
    fn the_most_specific_route_is_selected() {
        let keys = [
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
            "ANY /pets/dog/1",
            "GET /{kind}/cat/{id}",
            "GET /pets/{kind}/{id}",
            "POST /pets/{proxy+}",
            "ANY /pets/dog/{proxy+}",
            "ANY /zoo/lion/{proxy+}",
            "GET /zoo/{kind}/{id}",
        ];
        for (request, expected) in [
            ("GET /pets/dog/1", "GET /pets/dog/1"),
            ("PUT /pets/dog/1", "ANY /pets/dog/1"),
            ("GET /pets/dog/2", "GET /pets/dog/{id}"),
            ("GET /pets/cat/1", "GET /pets/{kind}/{id}"),
            ("GET /park/cat/1", "GET /{kind}/cat/{id}"),
            ("GET /zoo/lion/1", "GET /zoo/{kind}/{id}"),
            ("GET /pets/cat/1/2", "GET /pets/{proxy+}"),
            ("GET /pets/dog/1/2", "ANY /pets/dog/{proxy+}"),
            ("POST /pets/cat", "POST /pets/{proxy+}"),
            ("PUT /pets/cat", "ANY /{proxy+}"),
            ("GET /test", "ANY /{proxy+}"),
            ("GET /", ""),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(selected(&keys, method, path), expected, "{request}");
            let reversed: Vec<_> = keys.iter().copied().rev().collect();
            assert_eq!(selected(&reversed, method, path), expected, "{request}: the order of the routes has no effect");
        }
    }

    #[test]
    fn an_invalid_route_key_is_rejected_with_the_reason() {
        for (text, reason) in [
            ("", "is not a route key such as `GET /orders`"),
            ("/orders", "is not a route key such as `GET /orders`"),
            ("$default", "write `ANY /{proxy+}`"),
            ("get /orders", "`get` is not a method. The methods are ANY, DELETE,"),
            ("TRACE /orders", "is not a method"),
            ("OPTIONS /orders", "the gateway itself responds to OPTIONS"),
            ("GET orders", "does not start with `/`"),
            ("GET  /orders", "does not start with `/`"),
            ("GET /orders?a=1", "a character that a path cannot have"),
            ("GET /주문", "a character that a path cannot have"),
            ("GET /a b", "a character that a path cannot have"),
            ("GET /a//b", "an empty segment"),
            ("GET //a", "an empty segment"),
            ("GET /{proxy+}/a", "`{proxy+}` is not at the end"),
            ("GET /{}", "`{}` is not a path variable such as `{id}`"),
            ("GET /{+}", "is not a path variable"),
            ("GET /{a/b}", "A variable is a whole segment"),
            ("GET /orders-{id}", "A variable is a whole segment"),
            ("GET /{id}/{id}", "the variable `id` twice"),
        ] {
            let error = RouteKey::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for text in ["GET /", "GET /orders/", "ANY /{proxy+}", "HEAD /a/{b.c}/%EC%A3%BC/d~e", "PATCH /a:b"] {
            assert_eq!(key(text).to_string(), text);
        }
    }

    #[test]
    fn routes_that_differ_only_in_the_names_of_variables_are_the_same() {
        assert!(key("GET /orders/{id}").is_same(&key("GET /orders/{order}")));
        assert!(key("ANY /{proxy+}").is_same(&key("ANY /{rest+}")));
        for (one, other) in [
            ("GET /orders/{id}", "PUT /orders/{id}"),
            ("GET /orders/{id}", "ANY /orders/{id}"),
            ("GET /orders/{id}", "GET /orders/{id+}"),
            ("GET /orders/{id}", "GET /orders/id"),
            ("GET /orders/{id}", "GET /orders/{id}/"),
        ] {
            assert!(!key(one).is_same(&key(other)), "{one}, {other}");
        }
    }

    #[test]
    fn a_route_with_a_path_as_specific_shadows_another_one() {
        let (login, session) = (key("GET /login"), key("DELETE /sessions/{id}"));
        for text in ["GET /login", "ANY /login"] {
            assert!(key(text).shadows(&login), "{text}");
        }
        for text in ["PUT /login", "GET /{page}", "ANY /{proxy+}", "GET /login/help", "GET /login/"] {
            assert!(!key(text).shadows(&login), "{text}");
        }
        for text in ["DELETE /sessions/{name}", "ANY /sessions/{id}", "ANY /sessions/current"] {
            assert!(key(text).shadows(&session), "{text}");
        }
        for text in ["GET /sessions/current", "ANY /sessions/{proxy+}", "ANY /{a}/{b}", "DELETE /sessions/"] {
            assert!(!key(text).shadows(&session), "{text}");
        }
    }
}
