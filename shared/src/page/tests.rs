use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::UserId;
use crate::password::policy::Refusal;
use crate::session::{Lifetimes, NewSession, Session, Source};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Text that must never become markup.
const HOSTILE: &str = "\"'><script>alert(1)</script>&amp;";

const REASONS: [Reason; 12] = [
    Reason::WrongPassword,
    Reason::WrongCurrentPassword,
    Reason::TooManyAttempts(Duration::from_secs(61)),
    Reason::Refused(Refusal::TooShort { has: 4, needs: 15 }),
    Reason::Refused(Refusal::Current),
    Reason::Refused(Refusal::Personal),
    Reason::Refused(Refusal::Common),
    Reason::Refused(Refusal::Repetitive),
    Reason::Unreadable,
    Reason::Unavailable,
    Reason::Fault,
    Reason::MaybeChanged,
];

const PROBLEMS: [Problem; 10] = [
    Problem::InvalidRequest,
    Problem::NotEverywhere,
    Problem::Forbidden,
    Problem::NotFound,
    Problem::MethodNotAllowed,
    Problem::TooLarge,
    Problem::Unsupported,
    Problem::TooManyAttempts(Duration::from_secs(8)),
    Problem::Fault,
    Problem::Unavailable,
];

fn pages(settings: &[(&'static str, &'static str)]) -> Pages {
    Pages::from_env(&Environment::new(testbed::settings(settings))).unwrap()
}

fn english() -> Page {
    Pages::default().in_language(Language::English)
}

fn sessions(count: u64, user_agent: &str) -> Vec<Session> {
    let lifetimes = Lifetimes::from_env(&Environment::new(testbed::settings(&[]))).unwrap();
    let user_id = UserId::parse("0").unwrap();
    let open = |at| {
        let source = Source { ip: Some("203.0.113.7".into()), user_agent: Some(user_agent.into()) };
        let new = NewSession { user_id: &user_id, epoch: 1, persistent: true, kid: "k", source };
        lifetimes.open(new, Timestamp::from_secs(NOW.as_secs() - at * 3600)).unwrap()
    };
    (0..count).map(open).collect()
}

fn account<'a>(sessions: &'a [Session], text: &'a str, roles: &'a [String]) -> Account<'a> {
    Account {
        user_id: text,
        name: text,
        email: text,
        position: text,
        location: text,
        bio: text,
        roles,
        current: &sessions[0],
        sessions,
        shows_all: false,
        notice: Some(Notice::PasswordChanged),
    }
}

/// Returns every page in a language, with `text` wherever a person or a client chose the text.
fn all(page: &Page, text: &str) -> Vec<Html> {
    let sessions = sessions(12, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0");
    let roles = [text.to_owned()];
    let mut all = vec![page.account(&account(&sessions, text, &roles)).unwrap(), page.hop("/login?hop=1").unwrap()];
    for reason in REASONS.map(Some).into_iter().chain([None]) {
        let form =
            SignIn { user_id: text, keep: true, reason, query: "?return_to=%2Fa", returns_to: Some("https://a.b") };
        all.push(page.sign_in(&form).unwrap());
        all.push(page.change_password(&ChangePassword { user_id: text, min_length: 15, reason }).unwrap());
    }
    for problem in PROBLEMS {
        let details = Details { status: 400, detail: text, request_id: text };
        all.push(page.problem(problem, Some(details)).unwrap());
        all.push(page.problem(problem, None).unwrap());
    }
    all
}

/// Returns the text between two others, which must occur exactly once.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    assert_eq!((text.matches(start).count(), text.matches(end).count()), (1, 1), "{start}");
    text.split(start).nth(1).unwrap().split(end).next().unwrap()
}

/// R89: a page has one inline stylesheet and one inline script, and the policy allows exactly these two.
#[test]
fn the_policy_allows_the_inline_style_and_script_by_their_hashes() {
    for language in Language::ALL {
        for html in all(&pages(&[("ACCENT_COLOR", "#aa3300")]).in_language(language), "kim") {
            assert_eq!(hash(between(&html.text, "<style>", "</style>")), html.sources.style);
            assert_eq!(hash(between(&html.text, "<script>", "</script>")), html.sources.script);
            for attribute in [" style=", " onclick=", " onload=", "javascript:"] {
                assert!(!html.text.contains(attribute), "{attribute}");
            }
        }
    }
}

/// R89.
#[test]
fn the_text_of_a_person_never_becomes_markup() {
    for language in Language::ALL {
        for html in all(&Pages::default().in_language(language), HOSTILE) {
            assert_eq!(html.text.matches("<script").count(), 1);
            assert!(!html.text.contains("alert(1)</script>"));
        }
    }
    let name = "Kim's <b>\"Shop\"</b>";
    for html in all(&pages(&[("SERVICE_NAME", name)]).in_language(Language::English), "kim") {
        assert!(!html.text.contains("<b>") && html.text.contains("Kim&#39;s &#60;b&#62;&#34;Shop&#34;&#60;/b&#62;"));
    }
}

/// The logo is the only request that a page makes.
#[test]
fn a_page_loads_only_the_logo() {
    let logo = "https://cdn.example.com/logo.svg?v=2";
    for (settings, expected) in [(&[][..], None), (&[("LOGO_URL", logo)][..], Some("https://cdn.example.com/logo.svg"))]
    {
        let pages = pages(settings);
        assert_eq!(pages.look().sources.logo.as_deref(), expected);
        for html in all(&pages.in_language(Language::English), "kim") {
            let loads = html.text.matches(" src=").count() + html.text.matches("url(").count();
            assert_eq!(loads, usize::from(expected.is_some()));
            assert_eq!(html.text.matches("<link ").count(), 1);
            assert_eq!(html.text.contains(logo), expected.is_some());
        }
    }
}

/// Only the sign-in page of a visitor from another origin has a form that leads there.
#[test]
fn a_form_leads_to_another_origin_only_if_the_visitor_returns_there() {
    let page = english();
    let returns_to = |returns_to| page.sign_in(&SignIn { returns_to, ..SignIn::default() }).unwrap().form_target;
    assert_eq!(returns_to(Some("https://app.example.com")).as_deref(), Some("https://app.example.com"));
    assert_eq!(returns_to(None), None);
}

#[test]
fn a_page_says_its_language_and_keeps_its_address_in_the_language_switch() {
    for (language, tag) in [(Language::English, "en"), (Language::Korean, "ko")] {
        let page = Pages::default().in_language(language);
        for html in all(&page, "kim") {
            assert!(html.text.starts_with("<!doctype html>"));
            assert!(html.text.contains(&format!("<html lang=\"{tag}\"")));
        }
        let form = SignIn { query: "?return_to=%2Fa%26b", ..SignIn::default() };
        let text = page.sign_in(&form).unwrap().text;
        assert!(text.contains("href=\"/login?return_to=%2Fa%26b&#38;lang=ko\""), "{text}");
        assert!(text.contains("action=\"/login?return_to=%2Fa%26b\""));
    }
}

#[test]
fn a_failed_sign_in_keeps_what_the_visitor_typed_except_the_password() {
    let form = SignIn { user_id: "kim", keep: true, reason: Some(Reason::WrongPassword), ..SignIn::default() };
    let text = english().sign_in(&form).unwrap().text;
    assert!(
        text.contains("name=\"userId\" value=\"kim\"") && text.contains("value=\"true\"") && text.contains(" checked>")
    );
    assert!(
        text.contains(
            "id=\"problem\" role=\"alert\" tabindex=\"-1\" autofocus>The login name or the password is wrong"
        )
    );
    assert_eq!(text.matches("autofocus").count(), 1);
    let first = english().sign_in(&SignIn::default()).unwrap().text;
    assert!(
        !first.contains("id=\"problem\"") && !first.contains(" checked>") && first.matches("autofocus").count() == 1
    );
}

#[test]
fn a_wait_is_told_in_words_and_counted_down_by_the_script() {
    let text = |language, wait| {
        let form = SignIn { reason: Some(Reason::TooManyAttempts(Duration::from_secs(wait))), ..SignIn::default() };
        Pages::default().in_language(language).sign_in(&form).unwrap().text
    };
    let english = text(Language::English, 61);
    assert!(english.contains("data-countdown=\"61\" data-after=\"You can try again now.\">1 minute 1 second</span>."));
    assert!(
        text(Language::Korean, 8)
            .contains("data-countdown=\"8\" data-after=\"이제 다시 시도할 수 있습니다.\">8초</span>")
    );
}

#[test]
fn the_account_page_shows_ten_sessions_first_and_this_device_above_all_others() {
    let mut sessions = sessions(12, "curl/8.14.1");
    sessions.rotate_left(1);
    let roles = [];
    let mut account = Account { current: &sessions[11], ..account(&sessions, "kim", &roles) };
    let text = english().account(&account).unwrap().text;
    let first = text.split("<li").nth(2).unwrap();
    assert!(first.starts_with(" data-current>") && first.contains("This device") && !first.contains("<button"));
    assert_eq!((text.matches("class=\"device\"").count(), text.matches("name=\"id\"").count()), (10, 9));
    assert!(text.contains("<a href=\"/userinfo?sessions=all\">Show all 12 devices</a>"));

    account.shows_all = true;
    let text = english().account(&account).unwrap().text;
    assert_eq!((text.matches("class=\"device\"").count(), text.matches("name=\"id\"").count()), (12, 11));
    assert!(!text.contains("Show all"));
}

/// Facts that nobody has told stay away.
#[test]
fn the_account_page_leaves_out_what_is_empty() {
    let sessions = sessions(1, "curl/8.14.1");
    let roles = [];
    let text = english().account(&Account { user_id: "kim", ..account(&sessions, "", &roles) }).unwrap().text;
    assert!(!text.contains("<dt>") && text.contains("<h1>kim</h1>"));
    assert!(!text.contains("name=\"others\""), "there is no other device");
}

#[test]
fn each_error_has_a_reason() {
    let cause = || "cause".into();
    for (error, reason) in [
        (Error::NotAuthorized, Reason::WrongPassword),
        (Error::TooManyAttempts { wait: Duration::from_secs(4) }, Reason::TooManyAttempts(Duration::from_secs(4))),
        (Error::InvalidRequest("x".into()), Reason::Unreadable),
        (Error::Unavailable(cause()), Reason::Unavailable),
        (Error::ConcurrentUpdate(cause()), Reason::Unavailable),
        (Error::Corrupt(cause()), Reason::Fault),
        (Error::Misconfigured(cause()), Reason::Fault),
        (Error::Unexpected(cause()), Reason::Fault),
    ] {
        assert_eq!(Reason::of(&error, Reason::WrongPassword), reason);
    }
}

#[test]
fn a_notice_has_the_name_by_which_it_is_found() {
    for notice in Notice::ALL {
        assert_eq!(Notice::named(notice.name()), Some(notice));
    }
    assert_eq!(Notice::named("<script>"), None);
}

/// A property such as `margin-left` would be on the wrong side in a language that is written from right to left.
#[test]
fn the_stylesheet_has_no_left_and_no_right() {
    let style = compact(include_str!("style.css"));
    let mut words = style.split(|character: char| !character.is_ascii_alphabetic());
    assert!(words.all(|word| !["left", "right"].contains(&word)));
}

/// The background in `style.css` is the one for which the colours are computed.
#[test]
fn the_colors_are_computed_for_the_background_of_the_stylesheet() {
    let style = include_str!("style.css");
    let papers: Vec<_> = style.lines().filter_map(|line| line.strip_prefix("--paper: ")).collect();
    assert_eq!(papers, PAPER.map(|paper| format!("{};", paper.css())));
}

/// With about 1,000 bytes of headers, each page stays below 15,000 bytes on the wire.
#[test]
fn each_page_is_small() {
    for language in Language::ALL {
        for html in all(&Pages::default().in_language(language), "kimcoding@authstates.com") {
            assert!(html.text.len() < 14_000, "{}", html.text.len());
        }
    }
}
