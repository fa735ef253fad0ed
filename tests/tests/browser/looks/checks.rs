//! Our own checks of a page. They run in the browser, and each returns its problems.

use fantoccini::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::browser::devtools;

/// The functions of the checks.
const FUNCTIONS: &str = include_str!("checks.js");

/// Adds the functions to the current page.
pub(crate) async fn load(browser: &Client) {
    let exports = "Object.assign(window, { layout, targets, motion, focused, reachable, reveal, enlarge, space });";
    browser.execute(&format!("{FUNCTIONS}{exports}"), vec![]).await.unwrap();
}

/// Runs an expression whose value is a list of problems.
pub(crate) async fn run(browser: &Client, expression: &str) -> Vec<String> {
    evaluate(browser, expression).await
}

/// The control that has the focus.
#[derive(Deserialize)]
struct Focused {
    /// Its place among the controls that the keyboard must reach, or -1.
    place: i64,
    problems: Vec<String>,
}

/// Moves the focus with the Tab key through the whole page. Finds controls that the key does not reach, and controls
/// whose focus cannot be seen.
pub(crate) async fn focus(browser: &Client) -> Vec<String> {
    let count: usize = evaluate(browser, "reachable().length").await;
    let (mut is_reached, mut problems) = (vec![false; count], Vec::new());
    // The focus also visits the address bar, and an element that a script has focused.
    for _ in 0..count + 3 {
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            devtools(browser, "Input.dispatchKeyEvent", key).await;
        }
        let focused: Focused = evaluate(browser, "focused()").await;
        if let Some(reached) = usize::try_from(focused.place).ok().and_then(|place| is_reached.get_mut(place))
            && !std::mem::replace(reached, true)
        {
            problems.extend(focused.problems);
        }
    }
    let missed = is_reached.iter().enumerate().filter(|(_, is_reached)| !**is_reached);
    problems.extend(missed.map(|(place, _)| format!("the Tab key does not reach control {place}")));
    problems
}

async fn evaluate<T: for<'de> Deserialize<'de>>(browser: &Client, expression: &str) -> T {
    let value: Value = browser.execute(&format!("return {expression}"), vec![]).await.unwrap();
    serde_json::from_value(value).unwrap()
}
