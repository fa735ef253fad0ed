//! The question of API Gateway to a Lambda authorizer, and the answer: payload version 2.0 with simple responses.
//!
//! The gateway asks for each request and caches no answer, as `SessionAuthorizer` in `template.yaml` says.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The name of the authorizer's binary.
pub(crate) const FUNCTION: &str = "authorizer";

/// What the authorizer says about a user, under the names that it uses: `id`, `userId`, …
pub(crate) type Caller = Map<String, Value>;

/// The answer of the authorizer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    is_authorized: bool,
    #[serde(default)]
    context: Caller,
}

/// Returns the event of the authorizer for the event of a request. It has no body, as in API Gateway.
pub(crate) fn event(request: &Value) -> Value {
    let mut event = request.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("body");
        fields.remove("isBase64Encoded");
    }
    let http = &request["requestContext"]["http"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let arn =
        format!("arn:aws:execute-api:local:local:local/$default/{}{}", text(&http["method"]), text(&http["path"]));
    event["type"] = json!("REQUEST");
    event["routeArn"] = json!(arn);
    event["identitySource"] = Value::Null;
    event
}

/// Returns the user if the authorizer allows the request, or `None` if it denies the request.
///
/// # Errors
/// Fails if the answer is no decision.
pub(crate) fn decision(answer: &[u8]) -> Result<Option<Caller>> {
    let decision: Decision = serde_json::from_slice(answer).ok().context("the authorizer returned no decision")?;
    Ok(decision.is_authorized.then_some(decision.context))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `events/authorizer.json` is an event of API Gateway.
    #[test]
    fn the_event_has_the_fields_of_a_recorded_one() {
        let recorded = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/authorizer.json"));
        let recorded: Value = serde_json::from_str(&recorded.unwrap()).unwrap();
        let mut request = recorded.clone();
        for name in ["type", "routeArn", "identitySource"] {
            request.as_object_mut().unwrap().remove(name);
        }
        request["body"] = json!("a=1");
        request["isBase64Encoded"] = json!(false);
        let mut expected = recorded;
        expected["routeArn"] = json!("arn:aws:execute-api:local:local:local/$default/GET/reports");
        assert_eq!(event(&request), expected);
        assert_eq!(expected["identitySource"], Value::Null);
    }

    #[test]
    fn only_an_answer_that_allows_has_a_user() {
        let caller = decision(br#"{"isAuthorized":true,"context":{"id":"0"}}"#).unwrap();
        assert_eq!(caller.unwrap()["id"], "0");
        assert_eq!(decision(br#"{"isAuthorized":true}"#).unwrap(), Some(Map::new()));
        assert_eq!(decision(br#"{"isAuthorized":false,"context":{"id":"0"}}"#).unwrap(), None);
        for answer in ["", "{}", "null", "true", r#"{"isAuthorized":"true"}"#, r#"{"errorType":"NoDecision"}"#] {
            assert!(decision(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
