//! The change of a password.

use super::service::Service;
use super::visitor::Visitor;
use testbed::browser::BrowserOptions;

const NEW: &str = "paper boats in the rain";

/// The form says why a password is refused. A change ends the session of the other browser.
#[tokio::test]
async fn a_password_is_changed() {
    let service = Service::shared();
    let account = service.new_user().await;
    let (visitor, other) = (Visitor::arrive(&service).await, Visitor::arrive(&service).await);
    other.sign_in(&account, true).await;
    visitor.sign_in(&account, true).await;
    visitor.press("a[href='/password']").await;
    assert_eq!((visitor.place().await.as_str(), visitor.status().await), ("/password", 200));
    let before = visitor.jar().await;

    let wrong = refusal(&visitor, "4321", NEW, 401).await;
    let short = refusal(&visitor, account.password, "short", 400).await;
    let current = refusal(&visitor, account.password, account.password, 400).await;
    let personal = refusal(&visitor, account.password, &account.login().repeat(2), 400).await;
    for (one, another) in [(&wrong, &short), (&short, &personal), (&wrong, &current)] {
        assert_ne!(one, another);
    }
    assert!(short.contains('5'), "{short:?} says how many characters the password has");
    assert!(visitor.jar().await.iter().zip(&before).all(|(now, before)| now.value == before.value));
    other.open("/userinfo").await;
    assert_eq!(other.place().await, "/userinfo", "a refused change ends no session");

    change(&visitor, account.password, NEW).await;
    visitor.until_at("/userinfo").await;
    assert_ne!(visitor.see("#notice").await, "");
    assert_eq!(visitor.count("#sessions li").await, 1);
    for cookie in before {
        assert_ne!(visitor.cookie(&cookie.name).await, cookie.value, "{} is that of a new session", cookie.name);
    }
    other.open("/userinfo").await;
    assert_eq!(other.place().await, "/login");
    other.sees_nothing_of(&account).await;
    other.submit_sign_in(account.login(), account.password, true).await;
    assert_eq!(other.status().await, 401, "the old password");
    other.submit_sign_in(account.login(), NEW, true).await;
    assert_eq!(other.see("h1").await, account.name());
    other.leave().await;
    visitor.leave().await;
}

/// The session of this browser ended while it showed the form. After the sign-in, the user is back at the form.
#[tokio::test]
async fn a_form_of_a_session_that_has_ended_leads_through_the_sign_in_page_and_back() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    visitor.open("/password").await;
    let token = visitor.cookie("access_jwt").await;
    service.end_session(&account, &token).await;
    change(&visitor, account.password, NEW).await;
    visitor.until_at("/login?return_to=%2Fpassword").await;
    visitor.sees_nothing_of(&account).await;
    visitor.submit_sign_in(account.login(), account.password, false).await;
    visitor.until_at("/password").await;
    change(&visitor, account.password, NEW).await;
    visitor.see("#notice").await;
    assert_eq!(visitor.cookies().await, ["access_jwt"], "the new session is as persistent as the old one");
    visitor.leave().await;
}

/// Too many wrong current passwords show the wait, as at the sign-in.
#[tokio::test]
async fn guesses_at_the_current_password_are_slowed_down() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    visitor.open("/password").await;
    for _ in 0..10 {
        change(&visitor, "4321", NEW).await;
        if visitor.status().await == 429 {
            break;
        }
    }
    assert_eq!(visitor.status().await, 429);
    assert_eq!(visitor.focused().await, "problem");
    assert!(!visitor.shows("#sessions").await);
    visitor.until("the end of the countdown", async || !visitor.shows("[data-countdown]").await).await;
    change(&visitor, account.password, NEW).await;
    visitor.see("#notice").await;
    visitor.leave().await;
}

/// The reasons are in the language of the person.
#[tokio::test]
async fn a_refused_password_has_a_reason_in_korean() {
    let service = Service::shared();
    let account = service.new_user().await;
    let preferences = BrowserOptions { languages: Some("ko-KR,ko"), ..BrowserOptions::default() };
    let visitor = Visitor::with(&service, preferences).await;
    visitor.sign_in(&account, true).await;
    visitor.open("/password").await;
    let is_korean = |text: &str| text.chars().any(|letter| ('가'..='힣').contains(&letter));
    for (current, new, status) in [
        ("4321", NEW, 401),
        (account.password, "short", 400),
        (account.password, "12345678901234567890", 400),
        (account.password, "aaaaaaaaaaaaaaaa", 400),
        (account.password, account.password, 400),
    ] {
        let reason = refusal(&visitor, current, new, status).await;
        assert!(is_korean(&reason), "{new}: {reason}");
        assert!(!reason.chars().any(|letter| letter.is_ascii_alphabetic()), "{new}: {reason}");
    }
    visitor.leave().await;
}

async fn change(visitor: &Visitor, current: &str, new: &str) {
    visitor.fill("#currentPassword", current).await;
    visitor.fill("#newPassword", new).await;
    visitor.press("#change-password [type=submit]").await;
}

/// Tries to change the password. Returns the reason why it was refused.
async fn refusal(visitor: &Visitor, current: &str, new: &str, status: u64) -> String {
    change(visitor, current, new).await;
    assert_eq!((visitor.status().await, visitor.place().await), (status, "/password".to_owned()), "{new}");
    assert_eq!(visitor.focused().await, "problem");
    let values = [visitor.value("#currentPassword").await, visitor.value("#newPassword").await];
    assert_eq!(values, ["", ""], "no password comes back");
    visitor.see("#problem").await
}
