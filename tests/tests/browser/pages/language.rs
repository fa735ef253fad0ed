//! The languages of the pages.

use super::service::Service;
use super::visitor::Visitor;
use testbed::browser::BrowserOptions;

/// `Accept-Language` chooses until the person does. The choice stays, also after a sign-out.
#[tokio::test]
async fn the_chosen_language_stays() {
    let service = Service::shared();
    let account = service.new_user().await;
    let preferences = BrowserOptions { languages: Some("ko-KR,ko,en-US,en"), ..BrowserOptions::default() };
    let visitor = Visitor::with(&service, preferences).await;
    visitor.open("/login").await;
    is_in(&visitor, "ko").await;
    assert_eq!(visitor.cookies().await, [""; 0], "no cookie before a choice");
    visitor.submit_sign_in(account.login(), "4321", true).await;
    is_in(&visitor, "ko").await;
    assert!(is_korean(&visitor.see("#problem").await));
    visitor.submit_sign_in(account.login(), account.password, true).await;
    is_in(&visitor, "ko").await;
    visitor.open("/password").await;
    is_in(&visitor, "ko").await;

    visitor.press("a[hreflang=en]").await;
    is_in(&visitor, "en").await;
    assert_eq!(visitor.cookies().await, ["__Host-lang", "access_jwt", "refresh_jwt"]);
    let jar = visitor.jar().await;
    let choice = jar.iter().find(|cookie| cookie.name == "__Host-lang").unwrap();
    assert_eq!(choice.attributes, ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"]);
    let year = 365 * 86_400;
    assert!(choice.expires_in.is_some_and(|left| left <= year && left > year - 86_400), "{choice:?}");
    for page in ["/password", "/userinfo", "/userinfo?return_to=//elsewhere.example"] {
        visitor.open(page).await;
        is_in(&visitor, "en").await;
    }
    visitor.open("/userinfo").await;
    visitor.press("#sign-out button").await;
    is_in(&visitor, "en").await;
    assert_eq!(visitor.cookies().await, ["__Host-lang"]);
    visitor.press("a[hreflang=ko]").await;
    is_in(&visitor, "ko").await;
    visitor.sign_in(&account, true).await;
    is_in(&visitor, "ko").await;
    visitor.press("a[hreflang=en]").await;
    is_in(&visitor, "en").await;
    assert_eq!(visitor.see("h1").await, account.name());
    visitor.leave().await;
}

/// The switch changes only the language: the person still returns to the page of `return_to`.
#[tokio::test]
async fn the_switch_keeps_the_page_to_return_to() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.open("/login?return_to=%2Fpassword%3Ffrom%3Da%2526b").await;
    visitor.press("a[hreflang=ko]").await;
    is_in(&visitor, "ko").await;
    visitor.submit_sign_in(account.login(), "4321", true).await;
    visitor.press("a[hreflang=en]").await;
    is_in(&visitor, "en").await;
    visitor.press("a[hreflang=ko]").await;
    visitor.submit_sign_in(account.login(), account.password, true).await;
    visitor.until_at("/password?from=a%26b").await;
    is_in(&visitor, "ko").await;
    visitor.leave().await;
}

/// A language that the pages do not have is English.
#[tokio::test]
async fn another_language_gets_english() {
    let service = Service::shared();
    let visitor =
        Visitor::with(&service, BrowserOptions { languages: Some("de-DE,fr"), ..BrowserOptions::default() }).await;
    visitor.open("/login").await;
    is_in(&visitor, "en").await;
    visitor.open("/login?lang=de").await;
    is_in(&visitor, "en").await;
    assert_eq!(visitor.cookies().await, [""; 0]);
    visitor.leave().await;
}

async fn is_in(visitor: &Visitor, language: &str) {
    assert_eq!(visitor.language().await, language, "{}", visitor.place().await);
    // The name of a person is in any language.
    let labels = "
        return [...document.querySelectorAll('main label, main button, main h2, main a')]
            .map((element) => element.innerText).join(' ')";
    let labels = visitor.script(labels, vec![]).await;
    assert_eq!(is_korean(labels.as_str().unwrap()), language == "ko", "{labels}");
}

fn is_korean(text: &str) -> bool {
    text.chars().any(|letter| ('가'..='힣').contains(&letter))
}
