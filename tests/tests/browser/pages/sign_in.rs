//! Signing in: the cookies, a wrong password, and too many of them.

use std::time::{Duration, Instant};

use super::service::Service;
use super::visitor::{Cookie, Visitor};

const DAY: u64 = 86_400;

/// R79, in Chromium: a persistent session.
#[tokio::test]
async fn who_stays_signed_in_gets_two_cookies_with_an_expiry() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    assert_eq!(visitor.see("h1").await, account.name());
    let [access, refresh] = &visitor.jar().await[..] else { panic!("{:?}", visitor.jar().await) };
    for (cookie, name, lifetime) in [(access, "access_jwt", DAY), (refresh, "refresh_jwt", 7 * DAY)] {
        is_strict(cookie, name);
        assert!(cookie.expires_in.is_some_and(|left| left <= lifetime && left > lifetime - 60), "{cookie:?}");
    }
    let readable = "return document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert_eq!(visitor.script(readable, vec![]).await, "{}", "no script can read a token");
    visitor.leave().await;
}

/// R79, in Chromium: a session that is not persistent.
#[tokio::test]
async fn who_does_not_stay_signed_in_gets_one_cookie_that_ends_with_the_browser() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, false).await;
    assert_eq!(visitor.see("h1").await, account.name());
    let [access] = &visitor.jar().await[..] else { panic!("{:?}", visitor.jar().await) };
    is_strict(access, "access_jwt");
    assert_eq!(access.expires_in, None);
    visitor.leave().await;
}

fn is_strict(cookie: &Cookie, name: &str) {
    assert_eq!(cookie.name, name);
    assert_eq!(cookie.attributes, ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"], "{name}");
}

/// The form keeps what the user typed, except the password.
#[tokio::test]
async fn a_wrong_password_shows_the_form_again_with_the_focus_on_the_reason() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for keep in [true, false] {
        visitor.open("/login").await;
        assert!(!visitor.shows("#problem").await, "there is no reason yet");
        visitor.submit_sign_in(account.login(), "4321", keep).await;
        assert_eq!((visitor.status().await, visitor.place().await), (401, "/login".to_owned()));
        assert_ne!(visitor.see("#problem").await, "");
        assert_eq!(visitor.focused().await, "problem");
        assert_eq!(visitor.value("#userId").await, account.login());
        assert_eq!(visitor.value("#password").await, "");
        assert_eq!(visitor.is_ticked("#keep").await, keep);
        assert_eq!(visitor.cookies().await, [""; 0]);
    }
    visitor.submit_sign_in("<b>\"nobody\" & 'no one'", "4321", false).await;
    assert_eq!(visitor.status().await, 401);
    assert_eq!(visitor.value("#userId").await, "<b>\"nobody\" & 'no one'", "the text is escaped");
    assert_eq!(visitor.count("main b").await, 0);
    visitor.submit_sign_in(account.login(), account.password, true).await;
    assert_eq!(visitor.see("h1").await, account.name(), "the same form signs in with the right password");
    visitor.leave().await;
}

/// The countdown begins at `Retry-After`, and its end is announced. The right password then works.
#[tokio::test]
async fn too_many_wrong_passwords_show_the_wait_and_count_it_down() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.open("/login").await;
    // The first wait is one second, and each further one doubles.
    let mut longest = 0;
    for _ in 0..10 {
        visitor.submit_sign_in(account.login(), "4321", true).await;
        if visitor.status().await == 429 {
            longest = a_countdown_ends(&visitor).await;
        }
        if longest >= 2 {
            break;
        }
    }
    assert!(longest >= 2, "ten wrong passwords were accepted");
    assert_eq!((visitor.value("#userId").await.as_str(), &*visitor.value("#password").await), (account.login(), ""));
    assert!(visitor.is_ticked("#keep").await);
    assert_eq!(visitor.cookies().await, [""; 0]);
    visitor.submit_sign_in(account.login(), account.password, true).await;
    assert_eq!(visitor.see("h1").await, account.name());
    visitor.leave().await;
}

/// Watches the reason until it says that the user can try again. Returns the seconds of the wait.
async fn a_countdown_ends(visitor: &Visitor) -> u64 {
    assert_eq!(visitor.focused().await, "problem");
    let countdown = "
        const { countdown, after } = document.querySelector('#problem [data-countdown]').dataset;
        return [Number(countdown), after, document.querySelector('#problem').textContent];";
    let countdown = visitor.script(countdown, vec![]).await;
    let (seconds, after) = (countdown[0].as_u64().unwrap(), countdown[1].as_str().unwrap());
    let number = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>();
    let (mut seen, start) = (Vec::new(), Instant::now());
    loop {
        let text = visitor.see("#problem").await;
        if text == after {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(seconds + 5), "{text:?} is not {after:?}");
        seen.push(number(&text).unwrap());
    }
    seen.dedup();
    assert!(seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    assert_eq!(seen, (1..=seconds).rev().collect::<Vec<_>>(), "every second is shown");
    assert_eq!(visitor.focused().await, "problem", "the end does not move the focus");
    seconds
}
