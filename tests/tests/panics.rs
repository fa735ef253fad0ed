//! What the log says about a panic. The panic hook is global, so that this test has a process of its own.

use shared::config::Environment;
use shared::http::{self, Request, Site};
use shared::telemetry;
use testbed::{Event, Log};

#[tokio::test]
async fn a_panic_is_an_event_with_its_place_and_without_its_message() {
    let env = Environment::new(testbed::settings(&[("AWS_LAMBDA_LOG_LEVEL", "ERROR")]));
    telemetry::init(&env).unwrap();
    let log = Log::start();
    let handler = |_: Request| async { panic!("a message that may quote a request") };
    let mut service = http::service(Site::default(), handler);
    for (event, status, expected) in [
        (Event::recorded("userinfo"), 500, &["panicked", "internal_error"][..]),
        // `lambda_http` panics before the handler runs.
        (Event::recorded("userinfo").header("host", "a:99999"), 400, &["panicked"]),
        (Event::recorded("userinfo-page"), 500, &["panicked", "internal_error"]),
        (Event::recorded("userinfo-page").header("host", "a:99999"), 400, &["panicked"]),
    ] {
        let reply = event.send(&mut service).await;
        assert_eq!(reply.status, status, "{event:?}");
        let is_page = reply.header("content-type") == Some("text/html; charset=utf-8");
        assert_eq!(is_page, event.payload()["headers"]["accept"].as_str().unwrap().starts_with("text/html"));
        assert!(!reply.body().contains("quote a request") && !reply.body().contains("99999"), "{reply:?}");
        let text = log.take();
        assert!(!text.contains("quote a request") && !text.contains("99999"), "{text}");
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let events: Vec<_> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
        assert_eq!(events, expected, "{text}");
        let panicked = lines.iter().find(|line| line["event"] == "panicked").unwrap();
        assert_eq!((&panicked["panicked"], &panicked["level"]), (&1.into(), &"WARN".into()));
        assert!(panicked["place"].as_str().is_some_and(|place| place.contains(".rs:")), "{panicked}");
    }
}
