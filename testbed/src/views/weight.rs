//! What a page costs: its bytes and requests, and how soon a slow phone shows it.

use fantoccini::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Language, View, Visitor};
use crate::browser::{devtools, recorded_events};

/// The bytes and requests of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The bytes of the responses: status lines, headers and bodies, without TLS.
    pub bytes: u64,
    /// The bytes of the bodies only.
    pub body: u64,
    /// The bytes of the stylesheet.
    pub style: u64,
    /// The bytes of the script.
    pub script: u64,
    /// The addresses of all requests, without `data:` addresses.
    pub requests: Vec<String>,
    /// The number of elements.
    pub elements: u64,
}

/// How soon a page is there.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Speed {
    /// The milliseconds from the start of the navigation until the first text is visible.
    pub first_paint: f64,
    /// The milliseconds by which tasks of the page are longer than 50 ms.
    pub blocking: f64,
}

/// The parts of a page, as the page itself measures them.
#[derive(Deserialize)]
struct Parts {
    style: u64,
    script: u64,
    elements: u64,
}

impl Weight {
    /// Opens a view, and weighs it. The browser must record events.
    pub async fn of(visitor: &Visitor<'_>, view: View, language: Language) -> Self {
        let browser = &visitor.browser;
        recorded_events(browser).await;
        visitor.open(view, language).await;
        let script = "
            const all = (selector) => [...document.querySelectorAll(selector)].map((element) => element.textContent);
            const bytes = (selector) => new TextEncoder().encode(all(selector).join('')).length;
            const elements = document.querySelectorAll('*').length;
            return { style: bytes('style'), script: bytes('script'), elements };";
        let parts: Parts = serde_json::from_value(browser.execute(script, vec![]).await.unwrap()).unwrap();
        let mut events = recorded_events(browser).await;
        if view == View::Hop {
            // The view was shown without a request of the browser, because its refresh replaces it.
            visitor.follow_a_link_from_another_site().await;
            events = recorded_events(browser).await;
            let starts: Vec<_> = positions(&events, is_page).collect();
            events.truncate(starts[1]);
        }
        let start = positions(&events, is_page).last().unwrap();
        let Parts { style, script, elements } = parts;
        let mut weight = Self { bytes: 0, body: 0, style, script, requests: Vec::new(), elements };
        for event in &events[start..] {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap() {
                "Network.requestWillBeSent" => weight.requests.extend(address(event).map(str::to_owned)),
                "Network.dataReceived" => weight.body += number(&parameters["dataLength"]),
                "Network.loadingFinished" => weight.bytes += number(&parameters["encodedDataLength"]),
                _ => {}
            }
        }
        weight
    }
}

impl Speed {
    /// Opens a view on a slow phone, and measures it. The network and the processor are those with which Lighthouse
    /// measures phones: 1.6 Mbit/s with 150 ms of latency, as its `DevTools` throttling sets them, and a quarter of the
    /// processor.
    pub async fn of(visitor: &Visitor<'_>, view: View, language: Language) -> Self {
        slow_down(&visitor.browser, 562.5, 1474.56, 675.0, 4).await;
        visitor.open(view, language).await;
        let script = "
            const done = arguments[0], long = [];
            const tasks = new PerformanceObserver((list) => long.push(...list.getEntries()));
            tasks.observe({ type: 'longtask', buffered: true });
            new PerformanceObserver((list) => {
              const [paint] = list.getEntriesByName('first-contentful-paint');
              if (!paint) return;
              setTimeout(() => {
                const blocking = long.map((task) => task.duration - 50).reduce((sum, more) => sum + more, 0);
                done({ first_paint: paint.startTime, blocking });
              }, 300);
            }).observe({ type: 'paint', buffered: true });";
        let measured = visitor.browser.execute_async(script, vec![]).await.unwrap();
        slow_down(&visitor.browser, 0.0, -1.0, -1.0, 1).await;
        serde_json::from_value(measured).unwrap()
    }
}

/// Slows the network and the processor down. The latency is in milliseconds, the rates are in kbit/s, and -1 sets no
/// limit.
async fn slow_down(browser: &Client, latency: f64, download: f64, upload: f64, slowdown: u32) {
    let per_second = |rate: f64| if rate < 0.0 { rate } else { rate * 1000.0 / 8.0 };
    let network = json!({
        "offline": false, "latency": latency,
        "downloadThroughput": per_second(download), "uploadThroughput": per_second(upload),
    });
    devtools(browser, "Network.emulateNetworkConditions", network).await;
    devtools(browser, "Emulation.setCPUThrottlingRate", json!({ "rate": slowdown })).await;
}

/// Returns the positions of the events that match.
fn positions(events: &[Value], matches: fn(&Value) -> bool) -> impl Iterator<Item = usize> {
    events.iter().enumerate().filter(move |(_, event)| matches(event)).map(|(position, _)| position)
}

/// Returns `true` if the event is the request of a page.
fn is_page(event: &Value) -> bool {
    event["method"] == "Network.requestWillBeSent" && event["params"]["type"] == "Document" && address(event).is_some()
}

/// Returns the address of a request, or `None` for a `data:` address.
fn address(event: &Value) -> Option<&str> {
    event["params"]["request"]["url"].as_str().filter(|address| !address.starts_with("data:"))
}

/// Returns a number of `DevTools`, which has decimals also if it counts bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
fn number(value: &Value) -> u64 {
    value.as_f64().unwrap().round() as u64
}
