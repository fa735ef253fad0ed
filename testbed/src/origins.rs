//! The table of the rule "Origin check" of `openapi.yaml` (in the contract: "Who may post"). The test of the rule and
//! the tests of all routes use it.

/// A request that changes something: its `Origin`, its `Sec-Fetch-Site`, its `Host`, and whether it passes if
/// `https://localhost:3000` is the only allowed origin. The gateway joins a header that was sent twice with a comma.
type Case = (Option<&'static str>, Option<&'static str>, Option<&'static str>, bool);

const OURS: Option<&str> = Some("localhost:4000");

/// All kinds of senders.
pub const WHO_MAY_POST: [Case; 70] = [
    // An allowed origin passes, whatever `Sec-Fetch-Site` says.
    (Some("https://localhost:3000"), None, OURS, true),
    (Some("https://localhost:3000"), Some("same-site"), OURS, true),
    (Some("https://localhost:3000"), Some("cross-site"), OURS, true),
    (Some("https://localhost:3000"), Some("none"), OURS, true),
    (Some("https://localhost:3000"), None, None, true),
    // The whole origin must be equal: scheme, host and port, without anything before or after them.
    (Some("https://localhost:3001"), Some("same-site"), OURS, false),
    (Some("https://localhost"), Some("same-site"), OURS, false),
    (Some("http://localhost:3000"), Some("cross-site"), OURS, false),
    (Some("https://evil.localhost:3000"), Some("same-site"), OURS, false),
    (Some("https://localhost.:3000"), Some("cross-site"), OURS, false),
    (Some("https://localhost:3000/"), Some("same-site"), OURS, false),
    (Some("https://localhost:3000.evil.example"), None, OURS, false),
    (Some("https://evil.example/https://localhost:3000"), None, OURS, false),
    (Some("https://localhost:3000@evil.example"), None, OURS, false),
    (Some("HTTPS://LOCALHOST:3000"), None, OURS, false),
    (Some("https://localhost:3000:443"), None, OURS, false),
    (Some("https://localhost:3000,https://evil.example"), None, OURS, false),
    (Some("https://evil.example,https://localhost:3000"), Some("cross-site"), OURS, false),
    // Without an allowed origin, `Sec-Fetch-Site` decides.
    (None, Some("same-origin"), OURS, true),
    (None, Some("none"), OURS, true),
    (None, Some("same-site"), OURS, false),
    (None, Some("cross-site"), OURS, false),
    (None, Some(""), OURS, false),
    (None, Some("Same-Origin"), OURS, false),
    (None, Some("same-origin, cross-site"), OURS, false),
    (None, Some("cross-site,same-origin"), OURS, false),
    (Some("https://localhost:4000"), Some("same-origin"), OURS, true),
    (Some("https://localhost:4000"), Some("same-site"), OURS, false),
    (Some("https://localhost:4000"), Some("cross-site"), OURS, false),
    (Some("null"), Some("same-origin"), OURS, true),
    (Some("null"), Some("none"), OURS, true),
    (Some("null"), Some("same-site"), OURS, false),
    (Some("null"), Some("cross-site"), OURS, false),
    (Some(""), Some("cross-site"), OURS, false),
    (Some("https://evil.localhost:4000"), Some("same-site"), OURS, false),
    (Some("https://evil.example"), Some("cross-site"), OURS, false),
    // Without `Sec-Fetch-Site`, the host and the port of the origin must be ours. Upper and lower case are equal.
    (Some("https://localhost:4000"), None, OURS, true),
    (Some("http://localhost:4000"), None, OURS, true),
    (Some("https://login.example.com"), None, Some("LOGIN.example.com"), true),
    (Some("https://login.example.com:443"), None, Some("login.example.com"), true),
    (Some("http://login.example.com:80"), None, Some("login.example.com"), true),
    (Some("https://login.example.com"), None, Some("login.example.com:443"), true),
    (Some("https://LOGIN.example.com"), None, Some("login.EXAMPLE.com:443"), true),
    (Some("https://login.example.com:443"), None, Some("login.example.com:443"), true),
    (Some("http://login.example.com"), None, Some("login.example.com:80"), true),
    (Some("https://[::1]"), None, Some("[::1]:443"), true),
    (Some("https://login.example.com."), None, Some("login.example.com.:443"), true),
    (Some("https://login.example.com"), None, Some("login.example.com.:443"), false),
    (Some("https://login.example.com"), None, Some("login.example.com:80"), false),
    (Some("http://login.example.com"), None, Some("login.example.com:443"), false),
    (Some("https://login.example.com"), None, Some("login.example.com:4430"), false),
    (Some("https://login.example.com:8443"), None, Some("login.example.com:443"), false),
    (Some("https://evil.example"), None, Some("login.example.com:443"), false),
    (Some("https://:443"), None, None, false),
    (Some("https://login.example.com:8443"), None, Some("login.example.com"), false),
    (Some("http://login.example.com:443"), None, Some("login.example.com"), false),
    (Some("https://login.example.com"), None, Some("login.example.com:8443"), false),
    (Some("https://login.example.com."), None, Some("login.example.com"), false),
    (Some("https://evil.login.example.com"), None, Some("login.example.com"), false),
    (Some("https://login.example.com@evil.example"), None, Some("login.example.com"), false),
    (Some("https://login.example.com/"), None, Some("login.example.com"), false),
    (Some("https://login.example.com,https://login.example.com"), None, Some("login.example.com"), false),
    (Some("https://evil.example"), None, OURS, false),
    (Some("https://evil.example"), None, None, false),
    (Some("https://"), None, None, false),
    (Some("null"), None, OURS, false),
    (Some(""), None, OURS, false),
    (Some("ftp://localhost:4000"), None, OURS, false),
    // Without both headers the sender is not a browser.
    (None, None, OURS, true),
    (None, None, None, true),
];
