//! The pages in a browser that runs no scripts.

use std::time::Duration;

use super::service::Service;
use super::visitor::Visitor;
use testbed::browser::BrowserOptions;

#[tokio::test]
async fn everything_works_without_scripts() {
    let service = Service::shared();
    let account = service.new_user().await;
    let new = "paper boats in the rain";
    let visitor = Visitor::with(&service, BrowserOptions { without_scripts: true, ..BrowserOptions::default() }).await;
    visitor
        .open("data:text/html,<h1>before</h1><script>document.querySelector('h1').textContent = 'after'</script>")
        .await;
    assert_eq!(visitor.see("h1").await, "before", "the browser runs no scripts");

    visitor.open("/login").await;
    assert!(!visitor.shows("[data-show]").await, "the button needs a script");
    visitor.submit_sign_in(account.login(), "4321", true).await;
    assert_eq!(visitor.status().await, 401);
    assert_ne!(visitor.see("#problem").await, "");
    assert_eq!(visitor.focused().await, "problem");
    assert_eq!((visitor.value("#userId").await, visitor.is_ticked("#keep").await), (account.login().to_owned(), true));
    visitor.submit_sign_in(account.login(), account.password, true).await;
    assert_eq!((visitor.place().await.as_str(), visitor.see("h1").await.as_str()), ("/userinfo", account.name()));

    for (button, sessions) in [("#sessions [name=id]", 2), ("#sessions [name=others]", 1)] {
        service.open_session(&account, Duration::ZERO).await;
        service.open_session(&account, Duration::ZERO).await;
        visitor.open("/userinfo").await;
        visitor.press(button).await;
        assert_ne!(visitor.see("#notice").await, "");
        assert_eq!(visitor.count("#sessions li").await, sessions);
    }

    visitor.press("a[href='/password']").await;
    assert!(!visitor.shows("[data-show]").await);
    for (current, status) in [("4321", 401), (account.password, 200)] {
        visitor.fill("#currentPassword", current).await;
        visitor.fill("#newPassword", new).await;
        visitor.press("#change-password [type=submit]").await;
        assert_eq!(visitor.status().await, status);
    }
    assert_ne!(visitor.see("#notice").await, "");
    // Chromium keeps a page in memory if the redirect to it set as many cookies as the sign-out deletes. This page had
    // no redirect.
    visitor.open("/userinfo").await;
    visitor.press("#sign-out button").await;
    assert_eq!(visitor.place().await, "/login");
    assert_eq!(visitor.cookies().await, [""; 0]);
    visitor.browser.back().await.unwrap();
    visitor.see("#sign-in").await;
    visitor.sees_nothing_of(&account).await;

    // The hop from another site is a refresh, which needs no script.
    visitor.open("/login").await;
    visitor.submit_sign_in(account.login(), new, true).await;
    service.stranger.put("/without-scripts", &format!("<a href='{}/login'>Sign in</a>", service.url));
    visitor.open(&format!("{}/without-scripts", service.stranger.cross_site())).await;
    visitor.press("a").await;
    visitor.until_at("/userinfo").await;
    visitor.press("#sign-out-everywhere button").await;
    assert_eq!((visitor.place().await.as_str(), visitor.cookies().await.len()), ("/login", 0));
    visitor.leave().await;
}

/// Without a script the wait stands still, in words.
#[tokio::test]
async fn the_wait_is_in_words_without_scripts() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::with(&service, BrowserOptions { without_scripts: true, ..BrowserOptions::default() }).await;
    visitor.open("/login").await;
    for _ in 0..10 {
        visitor.submit_sign_in(account.login(), "4321", true).await;
        if visitor.status().await == 429 {
            break;
        }
    }
    assert_eq!(visitor.status().await, 429);
    let wait = visitor.see("#problem [data-countdown]").await;
    assert!(wait.starts_with(|first: char| first.is_ascii_digit()) && wait.contains("second"), "{wait}");
    visitor.leave().await;
}
