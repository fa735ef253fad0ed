//! A label for a `User-Agent`, such as "Firefox on macOS".
//!
//! Owns the tables below. They can be short because browsers no longer change these parts of their user agents.
//! They no longer change the versions either, so that the label has none.

/// Browsers by a text that only they have. Most also have the text of Chrome, and all have that of Safari, so that
/// these two come last.
const BROWSERS: [(&str, &str); 15] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("OPT/", "Opera"),
    ("OPX/", "Opera"),
    ("GSA/", "Google app"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("okhttp/", "an app"),
];

/// Operating systems. Android also has the text of Linux, and an iPhone that of macOS.
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
];

/// Systems of browsers that ask for the desktop version of a page. Such a browser claims the system in the first
/// column. The text in the second column gives away the real one. An iPhone in this mode looks like an iPad. Safari on
/// iPadOS, and Chrome and Firefox on Android, have no such text: their user agent is that of a desktop.
const DISGUISED: [(&str, &str, &str); 8] = [
    ("Macintosh", "CriOS/", "iPadOS"),
    ("Macintosh", "FxiOS/", "iPadOS"),
    ("Macintosh", "EdgiOS/", "iPadOS"),
    ("Macintosh", "OPT/", "iPadOS"),
    ("Macintosh", "OPX/", "iPadOS"),
    ("Macintosh", "GSA/", "iPadOS"),
    ("X11; Linux", "EdgA/", "Android"),
    ("X11; Linux", "SamsungBrowser/", "Android"),
];

/// Returns the label of a user agent, or `None` for an unknown one.
pub(super) fn label(user_agent: &str) -> Option<String> {
    let known = |table: &[(&str, &'static str)]| {
        table.iter().find(|(text, _)| user_agent.contains(text)).map(|(_, name)| *name)
    };
    let gives_away = |(claim, text, _): &&(&str, &str, _)| user_agent.contains(claim) && user_agent.contains(text);
    let disguised = DISGUISED.iter().find(gives_away).map(|(.., system)| *system);
    match (known(&BROWSERS), disguised.or_else(|| known(&SYSTEMS))) {
        (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
        (Some(name), None) | (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tablet_that_asks_for_the_desktop_page_has_its_own_system() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let linux = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
        for (desktop, product, expected) in [
            (mac, "CriOS/142 Version/18.6 Safari/605.1.15", "Chrome on iPadOS"),
            (mac, "FxiOS/144.0 Safari/605.1.15", "Firefox on iPadOS"),
            (mac, "EdgiOS/142.0.0.0 Version/18.0 Safari/605.1.15", "Edge on iPadOS"),
            (mac, "Version/18.0 Safari/605.1.15 OPT/6.2.0", "Opera on iPadOS"),
            (mac, "Version/18.0 Safari/605.1.15 OPX/3.1.0", "Opera on iPadOS"),
            (mac, "GSA/390.0 Safari/604.1", "Google app on iPadOS"),
            (mac, "Version/26.0 Safari/605.1.15", "Safari on macOS"),
            (mac, "Chrome/142.0.0.0 Safari/537.36", "Chrome on macOS"),
            (mac, "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge on macOS"),
            (linux, "Chrome/142.0.0.0 Safari/537.36 EdgA/142.0.0.0", "Edge on Android"),
            (linux, "SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36", "Samsung Internet on Android"),
            (linux, "Chrome/142.0.0.0 Safari/537.36", "Chrome on Linux"),
        ] {
            assert_eq!(label(&format!("{desktop} {product}")).as_deref(), Some(expected), "{product}");
        }
        for (device, product, expected) in [
            ("iPad; CPU OS 18_6 like Mac OS X", "CriOS/142.0.0.0 Mobile/15E148 Safari/604.1", "Chrome on iPadOS"),
            ("iPhone; CPU iPhone OS 18_6 like Mac OS X", "FxiOS/144.0 Mobile/15E148 Safari/604.1", "Firefox on iOS"),
            ("iPhone; CPU iPhone OS 18_6 like Mac OS X", "GSA/390.0 Mobile/15E148 Safari/604.1", "Google app on iOS"),
            ("Linux; Android 10; K", "Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0", "Edge on Android"),
        ] {
            let user_agent = format!("Mozilla/5.0 ({device}) AppleWebKit/605.1.15 (KHTML, like Gecko) {product}");
            assert_eq!(label(&user_agent).as_deref(), Some(expected), "{user_agent}");
        }
    }

    #[test]
    fn a_user_agent_has_a_readable_label() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
                "Firefox on macOS",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
                "Safari on iOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1",
                "Chrome on iOS",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on ChromeOS",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/120.0.0.0",
                "Opera on Linux",
            ),
            ("curl/8.5.0", "curl"),
            ("Mozilla/5.0 (Macintosh)", "macOS"),
        ] {
            assert_eq!(label(user_agent).as_deref(), Some(expected), "{user_agent}");
        }
        assert_eq!(label(""), None);
        assert_eq!(label("a robot"), None);
    }
}
