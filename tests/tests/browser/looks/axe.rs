//! axe-core, which finds violations of accessibility rules.

use fantoccini::Client;
use serde_json::json;
use testbed::workspace::{read, root};

use crate::npm;

/// The source text of axe-core.
pub(crate) struct Axe(String);

impl Axe {
    /// Installs axe-core.
    pub(crate) async fn install() -> Self {
        static INSTALLED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
        INSTALLED.get_or_init(|| async { npm::install(&root().join("tests/pages")).await }).await;
        Self(read("tests/pages/node_modules/axe-core/axe.min.js"))
    }

    /// Adds axe-core to the current page. `WebDriver` may do this, whatever the content security policy of the page
    /// says.
    pub(crate) async fn load(&self, browser: &Client) {
        browser.execute(&self.0, vec![]).await.unwrap();
    }

    /// Returns the violations of all rules but those of level AAA and those with these names. Also returns what
    /// axe-core cannot decide.
    pub(crate) async fn violations(browser: &Client, without: &[&str]) -> Vec<String> {
        let script = "
            const [without, done] = arguments;
            const isWanted = ({ ruleId, tags }) => !tags.includes('wcag2aaa') && !without.includes(ruleId);
            const rules = axe.getRules().map((rule) => [rule.ruleId, { enabled: isWanted(rule) }]);
            axe.run(document, { rules: Object.fromEntries(rules), resultTypes: ['violations', 'incomplete'] }).then(
              ({ violations, incomplete, passes }) => {
                const words = ({ html, failureSummary }) => `${html} ${failureSummary}`;
                const problem = ({ id, help, nodes }) => `axe: ${id}: ${help}: ${nodes.map(words).join(', ')}`;
                done([passes.length, ...violations.map(problem), ...incomplete.map(problem)]);
              }, (error) => done([0, String(error)]));";
        let found = browser.execute_async(script, vec![json!(without)]).await.unwrap();
        let (passes, problems) = found.as_array().unwrap().split_first().unwrap();
        assert!(passes.as_u64().unwrap() > 10, "{found}");
        problems.iter().map(|problem| problem.as_str().unwrap().to_owned()).collect()
    }
}

/// A rule that asks a person to look at hidden elements.
pub(crate) const HIDDEN_CONTENT: &str = "hidden-content";

/// A rule that has no answer while the system sets the colours.
pub(crate) const CONTRAST: &str = "color-contrast";
