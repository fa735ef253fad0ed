//! The account page: sessions that end from elsewhere, signing out, and the renewal of a session.

use std::time::Duration;

use serde_json::json;

use super::service::{Account, Service, session_of};
use super::visitor::Visitor;

/// The user of the first browser is signed out at the next request, and the page that it still shows works no more.
#[tokio::test]
async fn sessions_end_from_a_second_browser() {
    let service = Service::shared();
    let account = service.new_user().await;
    let (first, second) = (Visitor::arrive(&service).await, Visitor::arrive(&service).await);
    second.sign_in(&account, true).await;
    assert_eq!(second.count("#sessions li").await, 1);
    assert!(!second.shows("#sessions [name=others]").await, "there are no others to end");

    // One by its id.
    first.sign_in(&account, true).await;
    second.open("/userinfo").await;
    assert_eq!((second.count("#sessions li").await, second.count("#sessions li[data-current]").await), (2, 1));
    assert_ne!(second.see("#sessions li[data-current] .badge").await, "");
    assert_eq!(second.count("#sessions li[data-current] button").await, 0, "no button ends the current session");
    second.press("#sessions [name=id]").await;
    assert_ne!(second.see("#notice").await, "");
    assert_eq!(second.count("#sessions li").await, 1);
    first.open("/userinfo").await;
    is_signed_out(&first, &account).await;
    second.browser.refresh().await.unwrap();
    assert!(second.shows("#sessions").await && !second.shows("#notice").await, "the notice is shown once");

    // All others, while the first browser still shows the account page. It then follows a link.
    first.sign_in(&account, false).await;
    service.open_session(&account, Duration::ZERO).await;
    second.open("/userinfo").await;
    assert_eq!(second.count("#sessions li").await, 3);
    second.press("#sessions [name=others]").await;
    assert_ne!(second.see("#notice").await, "");
    assert_eq!(second.count("#sessions li").await, 1);
    first.press("[href='/password']").await;
    first.see("#sign-in").await;
    first.sees_nothing_of(&account).await;

    // Everywhere. The first browser presses a button of a page that is too old.
    first.open("/login").await;
    first.submit_sign_in(account.login(), account.password, true).await;
    first.until_at("/userinfo").await;
    second.press("#sign-out-everywhere button").await;
    is_signed_out(&second, &account).await;
    assert_eq!(second.cookies().await, [""; 0]);
    first.press("#sign-out button").await;
    is_signed_out(&first, &account).await;
    assert_eq!(first.cookies().await, [""; 0]);
    first.leave().await;
    second.leave().await;
}

async fn is_signed_out(visitor: &Visitor, account: &Account) {
    visitor.until_at("/login").await;
    visitor.see("#sign-in").await;
    visitor.sees_nothing_of(account).await;
}

/// The other session ended while this browser showed the list. Its button changes nothing more. The button of a session
/// that never existed leads to a page that says so.
#[tokio::test]
async fn a_button_that_is_too_old_does_no_harm() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    for _ in 0..2 {
        service.open_session(&account, Duration::ZERO).await;
    }
    let (other, _) = service.open_session(&account, Duration::ZERO).await;
    visitor.open("/userinfo").await;
    service.end_session(&account, &other).await;
    let button = format!("#sessions [value='{}']", session_of(&other));
    visitor.press(&button).await;
    visitor.see("#notice").await;
    assert_eq!(visitor.count("#sessions li").await, 3);
    let change = "document.querySelector('#sessions [name=id]').value = arguments[0]";
    visitor.script(change, vec![json!("A".repeat(session_of(&other).len()))]).await;
    visitor.press("#sessions [name=id]").await;
    assert_eq!(visitor.status().await, 404);
    assert_ne!(visitor.see("h1").await, "");
    visitor.press("main a[href]").await;
    visitor.until_at("/userinfo").await;
    assert_eq!(visitor.count("#sessions li").await, 3);
    visitor.leave().await;
}

/// The list is short, and a link shows the rest.
#[tokio::test]
async fn more_than_ten_sessions_are_listed_on_demand() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for minutes in 1..=11 {
        service.open_session(&account, Duration::from_mins(minutes)).await;
    }
    visitor.sign_in(&account, true).await;
    assert_eq!((visitor.count("#sessions li").await, visitor.count("#sessions li[data-current]").await), (10, 1));
    visitor.press("#sessions a[href*='sessions=all']").await;
    assert_eq!(visitor.count("#sessions li").await, 12);
    visitor.press("#sessions li:last-child button").await;
    visitor.see("#notice").await;
    visitor.open("/userinfo?sessions=all").await;
    assert_eq!(visitor.count("#sessions li").await, 11);
    visitor.leave().await;
}

/// The browser asks the service for the page again, also if it kept the page in memory.
#[tokio::test]
async fn after_a_sign_out_the_back_button_shows_nothing_personal() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for form in ["#sign-out", "#sign-out-everywhere"] {
        visitor.sign_in(&account, true).await;
        visitor.press("a[href='/password']").await;
        visitor.press("a[href='/userinfo']").await;
        visitor.press(&format!("{form} button")).await;
        is_signed_out(&visitor, &account).await;
        assert_eq!(visitor.cookies().await, [""; 0]);
        for _ in 0..4 {
            visitor.browser.back().await.unwrap();
            visitor.see("#sign-in").await;
            visitor.sees_nothing_of(&account).await;
        }
        visitor.browser.forward().await.unwrap();
        visitor.see("#sign-in").await;
        visitor.sees_nothing_of(&account).await;
    }
    visitor.leave().await;
}

/// The session ends in another browser while this one shows another site. Chromium may have kept the account page in
/// memory, because the cookies of this browser did not change.
#[tokio::test]
async fn a_page_that_the_browser_kept_in_memory_asks_whether_the_session_is_active() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    visitor.open(&service.friend.same_site()).await;
    let token = visitor.cookie("access_jwt").await;
    service.end_session(&account, &token).await;
    visitor.browser.back().await.unwrap();
    is_signed_out(&visitor, &account).await;
    visitor.leave().await;
}

/// The tokens in the jar are those of a session that was opened 25 hours ago. An access token is valid for a day.
#[tokio::test]
async fn an_expired_access_token_is_renewed_unnoticed() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for page in ["/userinfo", "/password", "/login", "/"] {
        for is_deleted in [false, true] {
            let (access, refresh) = service.open_session(&account, Duration::from_hours(25)).await;
            visitor.set_cookie("access_jwt", &access).await;
            visitor.set_cookie("refresh_jwt", &refresh).await;
            if is_deleted {
                visitor.delete_cookie("access_jwt").await;
            }
            visitor.open(page).await;
            let expected = if page == "/password" { "/password" } else { "/userinfo" };
            assert_eq!(visitor.place().await, expected, "{page}");
            assert_ne!(visitor.cookie("access_jwt").await, access, "{page}");
            assert_ne!(visitor.cookie("refresh_jwt").await, refresh, "{page}");
        }
    }
    assert_eq!(visitor.see("h1").await, account.name());
    visitor.leave().await;
}

/// A refresh token is valid for 7 days without a renewal. The old cookies stay in the jar, and lead to no loop.
#[tokio::test]
async fn who_comes_back_after_the_end_of_the_session_lands_on_the_sign_in_page() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let (access, refresh) = service.open_session(&account, Duration::from_hours(8 * 24)).await;
    let (other_access, _) = service.open_session(&account, Duration::from_hours(25)).await;
    for cookies in [&[("access_jwt", &access), ("refresh_jwt", &refresh)][..], &[("access_jwt", &other_access)]] {
        for (page, place) in [
            ("/userinfo", "/login"),
            ("/login", "/login"),
            ("/", "/login"),
            ("/password", "/login?return_to=%2Fpassword"),
        ] {
            visitor.devtools("Storage.clearCookies", &json!({})).await;
            for (name, value) in cookies {
                visitor.set_cookie(name, value).await;
            }
            visitor.open(page).await;
            assert_eq!(visitor.place().await, place, "{page}");
            visitor.see("#sign-in").await;
            visitor.sees_nothing_of(&account).await;
        }
    }
    visitor.leave().await;
}

/// The pages refuse two users at once. A person who cannot delete cookies must still get back in.
#[tokio::test]
async fn cookies_of_two_users_lead_to_a_way_out() {
    let service = Service::shared();
    let (one, other) = (service.new_user().await, service.new_user().await);
    let visitor = Visitor::arrive(&service).await;
    let (access, _) = service.open_session(&one, Duration::ZERO).await;
    let (_, refresh) = service.open_session(&other, Duration::ZERO).await;
    visitor.set_cookie("access_jwt", &access).await;
    visitor.set_cookie("refresh_jwt", &refresh).await;
    visitor.open("/userinfo").await;
    if visitor.place().await == "/userinfo" {
        assert_eq!(visitor.status().await, 400);
        visitor.sees_nothing_of(&one).await;
        visitor.sees_nothing_of(&other).await;
        visitor.press("main a[href]").await;
    }
    visitor.until_at("/login").await;
    visitor.submit_sign_in(one.login(), one.password, true).await;
    assert_eq!(visitor.see("h1").await, one.name());
    visitor.leave().await;
}
