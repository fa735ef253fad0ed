//! `openapi.yaml` matches the routes of the template and the responses of the code.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dev::people::KIM;
use lambda_http::http::StatusCode;
use serde_json::{Value, json};
use shared::error::Error;
use shared::http::{self, Request, Site, reply};
use shared::token::{Cookies, Kind};
use testbed::workspace::{read, template};
use testbed::{Event, Reply};

/// The keys of a path that are operations.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The component that no operation uses: the template routes a method only to a function that answers it.
const NEVER_ROUTED: &str = "#/components/responses/MethodNotAllowed";

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
    let mut responses: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::from([(405, BTreeSet::from([NEVER_ROUTED]))]);
    for (_, _, operation) in operations(document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            responses.entry(status.parse().unwrap()).or_default().insert(reference(response));
        }
    }
    responses
}

/// Returns a response with each status that `reply` can give, as the gateway receives it. Leaves out 409, which only
/// the operator's tool can cause. The requests have this `Accept` header.
async fn real_responses(accept: &str) -> BTreeMap<u16, Reply> {
    type Make = fn() -> http::Result<http::Reply>;
    let makes: [Make; 14] = [
        || reply::json(&KIM.user()?.profile),
        || reply::with_cookies(reply::found("/userinfo")?, ["access_jwt=x; Path=/".to_owned()]),
        || Ok(reply::no_content()),
        || reply::with_cookies(reply::reset_content(), ["access_jwt=; Path=/".to_owned()]),
        || Err(Error::InvalidRequest("The body is not valid JSON (line 1, column 2).".into()).into()),
        || Err(Error::NotAuthorized.into()),
        || Err(http::Error::ForeignOrigin),
        || Err(Error::NotFound("session").into()),
        || Err(http::Error::MethodNotAllowed { allowed: "GET, HEAD" }),
        || Err(http::Error::TooLarge { limit: 8192 }),
        || Err(http::Error::UnsupportedMediaType { expected: "application/json" }),
        || Err(Error::TooManyAttempts { wait: Duration::from_secs(1) }.into()),
        || Err(Error::Unexpected("a cause".into()).into()),
        || Err(Error::Unavailable("a cause".into()).into()),
    ];
    let mut responses = BTreeMap::new();
    for make in makes {
        let mut service = http::service(Site::default(), move |_: Request| async move { make() });
        let response = Event::recorded("userinfo").header("accept", accept).send(&mut service).await;
        responses.insert(response.status, response);
    }
    responses
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
    let mut found = BTreeSet::from([NEVER_ROUTED]);
    references(&document, &mut found);
    for reference in &found {
        at(&document, reference);
    }
    let parts = ["schemas", "headers", "responses"].into_iter().flat_map(|part| {
        let names = document["components"][part].as_object().unwrap().keys();
        names.map(move |name| format!("#/components/{part}/{name}"))
    });
    assert_eq!(parts.collect::<BTreeSet<_>>(), found.into_iter().map(str::to_owned).collect());
}

#[tokio::test]
async fn statuses_match_the_code() {
    let document = document();
    let documented: BTreeSet<_> = responses(&document).into_keys().collect();
    let code = read("shared/src/http/reply.rs");
    let is_in_code = |status: &StatusCode| {
        let name = status.canonical_reason().unwrap_or("?").to_uppercase().replace(' ', "_");
        code.contains(&format!("StatusCode::{name}"))
    };
    let statuses = (100..600).filter_map(|status| StatusCode::from_u16(status).ok()).filter(is_in_code);
    let given: BTreeSet<_> = statuses.map(|status| status.as_u16()).filter(|&status| status != 409).collect();
    assert_eq!(documented, given);
    assert_eq!(documented, real_responses("*/*").await.into_keys().collect());
}

/// R88, R89: the document describes every header with its value, and a response has no other header.
#[tokio::test]
async fn headers_media_types_and_examples_match_real_responses() {
    let document = document();
    let (real_responses, problems) = (real_responses("*/*").await, real_responses("application/problem+json").await);
    for (status, references) in responses(&document) {
        let real = &real_responses[&status];
        for reference in references {
            let response = at(&document, reference);
            // Of the responses with 204, only this one sets cookies.
            let mut real = real.clone();
            real.cookies.extend(reference.ends_with("/PasswordChanged").then(|| "access_jwt=x".to_owned()));
            let real = &real;
            assert_headers(&document, response, real, reference);
            let Some(content) = response.get("content").and_then(Value::as_object) else { continue };
            let documented: BTreeSet<_> = content.keys().map(String::as_str).collect();
            let given = [real, &problems[&status]];
            let media_types = given.map(|response| response.header("content-type").unwrap());
            assert_eq!(documented, media_types.into(), "{reference}");
            for (response, media_type) in given.into_iter().zip(media_types) {
                let example = &content[media_type]["example"];
                if media_type == "application/problem+json" {
                    let mut problem = response.json();
                    problem["request_id"] = example["request_id"].clone();
                    assert_eq!(*example, problem, "{reference}");
                } else if status == 401 {
                    assert_eq!(*example, response.body(), "{reference}");
                } else if example.get("userId").is_some() {
                    assert_eq!(*example, response.json(), "{reference}");
                }
            }
        }
    }
}

fn assert_headers(document: &Value, response: &Value, real: &Reply, name: &str) {
    let described = response["headers"].as_object().unwrap();
    for (header, described) in described {
        let (described, header) = (at(document, reference(described)), header.to_lowercase());
        if header == "set-cookie" {
            assert_eq!(real.cookies.len(), usize::from(described["required"] == true), "{name}");
            continue;
        }
        let Some(value) = real.header(&header) else {
            assert_ne!(described["required"], true, "{name} has no header {header}");
            continue;
        };
        assert_eq!(described["required"], true, "{name}: {header}");
        if let Some(fixed) = described["schema"].get("const") {
            assert_eq!(*fixed, value, "{name}: {header}");
        }
    }
    let described: BTreeSet<_> = described.keys().map(|header| header.to_lowercase()).collect();
    for header in real.header_names().filter(|&header| header != "content-type") {
        assert!(described.contains(header), "{name} does not describe {header}");
    }
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
