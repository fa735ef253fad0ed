//! `openapi.yaml` matches the routes of the template and the responses of the code.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dev::people::KIM;
use jwks::Jwks;
use lambda_http::http::StatusCode;
use regex::Regex;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;
use shared::error::Error;
use shared::http::{self, Request, Site, reply};
use shared::page::SignIn;
use shared::token::{Cookies, Kind};
use testbed::workspace::{read, template};
use testbed::{Event, Reply};

/// The keys of a path that are operations.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The `Accept` headers that select the forms of a response: JSON, problem details, and a page.
const FORMS: [&str; 3] = ["*/*", "application/problem+json", "text/html"];

/// The responses that always change cookies.
const CHANGE_COOKIES: [&str; 4] = ["PasswordChanged", "SignedIn", "SignedOut", "SignedOutByForm"];

/// The media type of a page.
const HTML: &str = "text/html; charset=utf-8";

fn document() -> Value {
    serde_saphyr::from_str(&read("openapi.yaml")).unwrap()
}

/// Returns the value that a reference points to.
fn at<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("there is no {reference}"))
}

fn reference(value: &Value) -> &str {
    value["$ref"].as_str().unwrap_or_else(|| panic!("{value} has no $ref"))
}

/// Returns all operations: path, method and description.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| METHODS.contains(&name.as_str()));
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Returns the references to responses that the operations use, by status.
fn responses(document: &Value) -> BTreeMap<u16, BTreeSet<&str>> {
    let mut responses: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for (_, _, operation) in operations(document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            responses.entry(status.parse().unwrap()).or_default().insert(reference(response));
        }
    }
    responses
}

/// Returns the responses with each status that a function can give, as the gateway receives them. Leaves out 409, which
/// only the operator's tool can cause. The requests have this `Accept` header.
async fn real_responses(accept: &str) -> BTreeMap<u16, Vec<Reply>> {
    type Make = fn(&Request) -> http::Result<http::Reply>;
    let makes: [Make; 15] = [
        |request| match request.page() {
            Some(page) => reply::page(&page.sign_in(&SignIn::default())?),
            None => reply::json(&KIM.user()?.profile),
        },
        |_| reply::found("/userinfo"),
        |_| reply::see_other("/userinfo"),
        |_| Ok(reply::no_content()),
        |_| Ok(reply::reset_content()),
        |_| Err(Error::InvalidRequest("The body is not valid JSON (line 1, column 2).".into()).into()),
        |request| {
            let error = http::Error::from(Error::NotAuthorized);
            Err(match request.page() {
                // A form is shown again. Without a form, a visitor is led to the sign-in page.
                Some(page) => error.in_page(|_| page.sign_in(&SignIn::default())),
                None => error,
            })
        },
        |_| Err(http::Error::ForeignOrigin),
        |_| Err(Error::NotFound("session").into()),
        |_| Err(http::Error::MethodNotAllowed { allowed: "POST" }),
        |_| Err(http::Error::TooLarge { limit: 8192 }),
        |_| Err(http::Error::UnsupportedMediaType { expected: "application/json" }),
        |_| Err(Error::TooManyAttempts { wait: Duration::from_secs(1) }.into()),
        |_| Err(Error::Unexpected("a cause".into()).into()),
        |_| Err(Error::Unavailable("a cause".into()).into()),
    ];
    let mut responses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for make in makes {
        let mut service = http::service(Site::default(), move |request: Request| async move { make(&request) });
        let response = Event::recorded("userinfo").header("accept", accept).send(&mut service).await;
        responses.entry(response.status).or_default().push(response);
    }
    for response in public_responses(accept).await {
        responses.entry(response.status).or_default().push(response);
    }
    responses
}

/// Returns the responses of `jwks`: the key set, the metadata, and the error without metadata.
async fn public_responses(accept: &str) -> [Reply; 3] {
    // Ed25519, RFC 8032 §7.1, the secret of test 1.
    let secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let key = json!({ "kid": "JZ3kTx0yVQ0", "alg": "EdDSA", "secret": secret, "published_at": 0, "sign_from": 0 });
    let set = json!({ "keys": [key] }).to_string();
    let send = async |event: &str, issuer: &str| {
        let env = testbed::environment(&[("ACCESS_SECRET", &set), ("ISSUER", issuer)]);
        let jwks = Jwks::from_env(&env).unwrap();
        let mut service =
            http::service(Site::default(), async |request| jwks.handle(&request, Timestamp::from_secs(1_800_000_000)));
        Event::recorded(event).header("accept", accept).send(&mut service).await
    };
    let issuer = "https://auth.example.com";
    [send("jwks", issuer).await, send("jwks-metadata", issuer).await, send("jwks-metadata", "latchkey").await]
}

#[test]
fn routes_match_the_template() {
    let document = document();
    let documented: BTreeSet<_> =
        operations(&document).map(|(path, method, _)| (path.to_owned(), method.to_uppercase())).collect();
    let template = template();
    let routed: BTreeSet<_> = template.routes().into_iter().map(|route| (route.path, route.method)).collect();
    assert!(routed.len() > 5);
    assert_eq!(documented, routed);
}

/// Collects all references in a value.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        at(&document, reference);
    }
    let parts = ["schemas", "headers", "parameters", "responses"].into_iter().flat_map(|part| {
        let names = document["components"][part].as_object().unwrap().keys();
        names.map(move |name| format!("#/components/{part}/{name}"))
    });
    assert_eq!(parts.collect::<BTreeSet<_>>(), found.into_iter().map(str::to_owned).collect());
}

#[tokio::test]
async fn statuses_match_the_code() {
    let document = document();
    let documented: BTreeSet<_> = responses(&document).into_keys().collect();
    let code = read("shared/src/http/reply.rs") + &read("shared/src/http/problem.rs");
    let is_in_code = |status: &StatusCode| {
        let name = status.canonical_reason().unwrap_or("?").to_uppercase().replace(' ', "_");
        code.contains(&format!("StatusCode::{name}"))
    };
    let statuses = (100..600).filter_map(|status| StatusCode::from_u16(status).ok()).filter(is_in_code);
    let given: BTreeSet<_> = statuses.map(|status| status.as_u16()).filter(|&status| status != 409).collect();
    assert_eq!(documented, given);
    assert_eq!(documented, real_responses("*/*").await.into_keys().collect());
}

/// R88, R89: the document describes every form of a response, with each header and its value. A response has no other
/// header.
#[tokio::test]
async fn headers_media_types_and_examples_match_real_responses() {
    let document = document();
    let mut forms = Vec::new();
    for accept in FORMS {
        forms.push(real_responses(accept).await);
    }
    for (status, references) in responses(&document) {
        for name in references {
            let response = at(&document, name);
            let content = response.get("content").and_then(Value::as_object);
            // A response to `HEAD` has no content. Its headers say whether it can be that of a page.
            let has_page = response["headers"].get("Cross-Origin-Opener-Policy").is_some();
            let cached = &at(&document, reference(&response["headers"]["Cache-Control"]))["schema"]["const"];
            let is_described = |real: &&Reply| {
                let media_type = real.header("content-type").unwrap_or_default();
                let is_of_type =
                    content.map_or(has_page || media_type != HTML, |content| content.contains_key(media_type));
                is_of_type && real.header("cache-control") == cached.as_str() && is_about(content, real)
            };
            let given: Vec<_> = forms.iter().flat_map(|form| &form[&status]).filter(is_described).collect();
            assert_headers(&document, response, &given, name);
            let Some(content) = content else { continue };
            let found: BTreeSet<_> = given.iter().filter_map(|real| real.header("content-type")).collect();
            assert_eq!(content.keys().map(String::as_str).collect::<BTreeSet<_>>(), found, "{name}");
            assert!(status < 400 || given.len() >= FORMS.len(), "{name} lacks a form");
            for real in given {
                assert_example(content, real, name);
            }
        }
    }
}

/// Returns `false` if two functions give a 404, and the example says that this one is of the other function.
fn is_about(content: Option<&Map<String, Value>>, real: &Reply) -> bool {
    let problem = "application/problem+json";
    if real.status != 404 || real.header("content-type") != Some(problem) {
        return true;
    }
    content.is_some_and(|content| content[problem]["example"]["detail"] == real.json()["detail"])
}

/// Asserts that a real response is like the example of its media type.
fn assert_example(content: &Map<String, Value>, real: &Reply, name: &str) {
    let media_type = real.header("content-type").unwrap();
    let example = &content[media_type]["example"];
    match media_type {
        HTML => assert!(real.body().starts_with("<!doctype html>"), "{name}: {}", real.body()),
        "application/problem+json" => {
            let mut problem = real.json();
            problem["request_id"] = example["request_id"].clone();
            assert_eq!(*example, problem, "{name}");
        }
        "application/json" if name.ends_with("/Sessions") => {}
        "application/json" | "application/jwk-set+json" => assert_eq!(*example, real.json(), "{name}"),
        _ => assert_eq!(*example, real.body(), "{name}"),
    }
}

/// Asserts that the described headers are those of the forms of a response. A header that is not required is in some of
/// the forms only.
fn assert_headers(document: &Value, response: &Value, forms: &[&Reply], name: &str) {
    let described = response["headers"].as_object().unwrap();
    for (header, described) in described {
        let (described, header) = (at(document, reference(described)), header.to_lowercase());
        if header == "set-cookie" {
            let changes = CHANGE_COOKIES.iter().any(|one| name.ends_with(&format!("/{one}")));
            assert_eq!(described["required"] == true, changes, "{name}");
            continue;
        }
        let values: Vec<_> = forms.iter().filter_map(|real| real.header(&header)).collect();
        if described["required"] == true {
            assert_eq!(values.len(), forms.len(), "{name}: {header}");
        }
        for value in values {
            let schema = &described["schema"];
            let choices = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
            assert!(choices.iter().any(|choice| allows(choice, value)), "{name}: {header}: {value}");
        }
    }
    let described: BTreeSet<_> = described.keys().map(|header| header.to_lowercase()).collect();
    for header in forms.iter().flat_map(|real| real.header_names()).filter(|&header| header != "content-type") {
        assert!(described.contains(header), "{name} does not describe {header}");
    }
}

/// Returns `true` if a schema of a header allows this value.
fn allows(schema: &Value, value: &str) -> bool {
    let pattern = schema["pattern"].as_str().map(|pattern| Regex::new(pattern).unwrap());
    schema.get("const").is_none_or(|fixed| fixed == value) && pattern.is_none_or(|pattern| pattern.is_match(value))
}

#[test]
fn cookie_names_match_both_modes() {
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let documented: BTreeSet<_> = schemes.values().filter_map(|scheme| scheme["name"].as_str()).collect();
    let modes = [None, Some("localhost".to_owned())].map(Cookies::new);
    let names = modes.iter().flat_map(|mode| [Kind::Access, Kind::Refresh].map(|kind| mode.name(kind)));
    assert_eq!(documented, names.collect());
    let known: BTreeSet<_> = schemes.keys().collect();
    for (path, method, operation) in operations(&document) {
        let alternatives = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path}"));
        for name in alternatives.iter().flat_map(|schemes| schemes.as_object().unwrap().keys()) {
            assert!(known.contains(name), "{method} {path}: {name}");
        }
    }
}

#[test]
fn version_matches_the_workspace() {
    let version = document()["info"]["version"].clone();
    assert_eq!(version, json!(env!("CARGO_PKG_VERSION")));
}
