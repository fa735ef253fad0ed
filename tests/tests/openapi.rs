//! `openapi.yaml` says what the template routes and what the code answers.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use dev::people::KIM;
use dev::template::Template;
use lambda_http::http::StatusCode;
use serde_json::{Value, json};
use shared::claims::Kind;
use shared::cookies::Cookies;
use shared::error::{Error, Result};
use shared::http::{self, Request, reply};
use testbed::{Event, Reply};

/// What is an operation in a path; its other keys are none.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The component that no operation names: no route of the template leads to a function that does not answer its method.
const NEVER_ROUTED: &str = "#/components/responses/MethodNotAllowed";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn document() -> Value {
    serde_saphyr::from_str(&read("openapi.yaml")).unwrap()
}

/// What stands where a reference leads.
fn at<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn reference(value: &Value) -> &str {
    value["$ref"].as_str().unwrap_or_else(|| panic!("{value} is no reference"))
}

/// Every operation: path, method and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| METHODS.contains(&name.as_str()));
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The responses that the operations name, by status.
fn responses(document: &Value) -> BTreeMap<u16, BTreeSet<&str>> {
    let mut responses: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::from([(405, BTreeSet::from([NEVER_ROUTED]))]);
    for (_, _, operation) in operations(document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            responses.entry(status.parse().unwrap()).or_default().insert(reference(response));
        }
    }
    responses
}

/// Every answer that `reply` can give, as the gateway gets it; but 409, which only an operator's tool can meet.
async fn answers() -> BTreeMap<u16, Reply> {
    type Make = fn() -> Result<http::Reply>;
    let makes: [Make; 14] = [
        || reply::json(&KIM.user()?.profile),
        || reply::with_cookies(reply::found("/userinfo"), ["access_jwt=x; Path=/".to_owned()]),
        || Ok(reply::no_content()),
        || reply::with_cookies(reply::reset_content(), ["access_jwt=; Path=/".to_owned()]),
        || Err(Error::Malformed("The body is not valid JSON (line 1, column 2).".into())),
        || Err(Error::NotAuthorized),
        || Err(Error::ForeignOrigin),
        || Err(Error::NotFound("session")),
        || Err(Error::MethodNotAllowed { allowed: "GET, HEAD" }),
        || Err(Error::TooLarge { limit: 8192 }),
        || Err(Error::UnsupportedMediaType { expected: "application/json" }),
        || Err(Error::TooManyAttempts { wait: Duration::from_secs(1) }),
        || Err(Error::Unexpected("a cause".into())),
        || Err(Error::Unavailable("a cause".into())),
    ];
    let mut answers = BTreeMap::new();
    for make in makes {
        let mut service = http::service(&[], move |_: Request| async move { make() });
        let answer = Event::recorded("userinfo").send(&mut service).await;
        answers.insert(answer.status, answer);
    }
    answers
}

#[test]
fn its_routes_are_those_of_the_template() {
    let document = document();
    let documented: BTreeSet<_> =
        operations(&document).map(|(path, method, _)| (path.to_owned(), method.to_uppercase())).collect();
    let template = Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
    let routed: BTreeSet<_> = template.routes().into_iter().map(|route| (route.path, route.method)).collect();
    assert!(routed.len() > 5);
    assert_eq!(documented, routed);
}

/// Every reference below a value.
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
fn every_reference_leads_somewhere_and_to_every_component_there_is_one() {
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
async fn its_statuses_are_those_that_the_code_can_give() {
    let document = document();
    let documented: BTreeSet<_> = responses(&document).into_keys().collect();
    let code = read("shared/src/http/reply.rs");
    let names_it = |status: &StatusCode| {
        let name = status.canonical_reason().unwrap_or("?").to_uppercase().replace(' ', "_");
        code.contains(&format!("StatusCode::{name}"))
    };
    let statuses = (100..600).filter_map(|status| StatusCode::from_u16(status).ok()).filter(names_it);
    let given: BTreeSet<_> = statuses.map(|status| status.as_u16()).filter(|&status| status != 409).collect();
    assert_eq!(documented, given);
    assert_eq!(documented, answers().await.into_keys().collect());
}

/// R88, R89: every header of ours is described, with its value, and no answer has another.
#[tokio::test]
async fn its_headers_media_types_and_examples_are_those_of_real_answers() {
    let (document, answers) = (document(), answers().await);
    for (status, references) in responses(&document) {
        let answer = &answers[&status];
        for reference in references {
            let response = at(&document, reference);
            holds_headers(&document, response, answer, reference);
            let Some(content) = response.get("content").and_then(Value::as_object) else { continue };
            let media_types: Vec<_> = content.keys().map(String::as_str).collect();
            assert_eq!(media_types, [answer.header("content-type").unwrap()], "{reference}");
            let example = &content[media_types[0]]["example"];
            if media_types[0] == "application/problem+json" {
                let mut problem = answer.json();
                problem["request_id"] = example["request_id"].clone();
                assert_eq!(*example, problem, "{reference}");
            } else if status == 401 {
                assert_eq!(*example, answer.body(), "{reference}");
            } else if example.get("userId").is_some() {
                assert_eq!(*example, answer.json(), "{reference}");
            }
        }
    }
}

fn holds_headers(document: &Value, response: &Value, answer: &Reply, name: &str) {
    let described = response["headers"].as_object().unwrap();
    for (header, described) in described {
        let (described, header) = (at(document, reference(described)), header.to_lowercase());
        if header == "set-cookie" {
            assert_eq!(answer.cookies.len(), usize::from(described["required"] == true), "{name}");
            continue;
        }
        let value = answer.header(&header).unwrap_or_else(|| panic!("{name} has no {header}"));
        assert_eq!(described["required"], true, "{name}: {header}");
        if let Some(fixed) = described["schema"].get("const") {
            assert_eq!(*fixed, value, "{name}: {header}");
        }
    }
    let described: BTreeSet<_> = described.keys().map(|header| header.to_lowercase()).collect();
    for header in answer.header_names().filter(|&header| header != "content-type") {
        assert!(described.contains(header), "{name} does not say that there is {header}");
    }
}

#[test]
fn its_cookies_have_the_names_of_both_modes() {
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let documented: BTreeSet<_> = schemes.values().filter_map(|scheme| scheme["name"].as_str()).collect();
    let modes = [None, Some("localhost".to_owned())].map(Cookies::new);
    let ours = modes.iter().flat_map(|mode| [Kind::Access, Kind::Refresh].map(|kind| mode.name(kind)));
    assert_eq!(documented, ours.collect());
    let known: BTreeSet<_> = schemes.keys().collect();
    for (path, method, operation) in operations(&document) {
        let alternatives = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path}"));
        for name in alternatives.iter().flat_map(|schemes| schemes.as_object().unwrap().keys()) {
            assert!(known.contains(name), "{method} {path}: {name}");
        }
    }
}

#[test]
fn it_has_the_version_of_the_workspace() {
    let version = document()["info"]["version"].clone();
    assert_eq!(version, json!(env!("CARGO_PKG_VERSION")));
}
