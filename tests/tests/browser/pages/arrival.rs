//! Ways that lead to the pages: a typed address, and a link of another site. The browser does not send our
//! `SameSite=Strict` cookies with such a link, so one hop on our own origin decides.

use std::time::Duration;

use serde_json::Value;

use super::service::Service;
use super::visitor::Visitor;

#[tokio::test]
async fn a_typed_address_leads_to_the_right_page() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for (page, place) in [
        ("/", "/login"),
        ("/login", "/login"),
        ("/userinfo", "/login"),
        ("/password", "/login?return_to=%2Fpassword"),
        ("/.well-known/change-password", "/login?return_to=%2Fpassword"),
    ] {
        visitor.open(page).await;
        assert_eq!(visitor.place().await, place, "{page}");
        visitor.see("#sign-in").await;
    }
    visitor.sign_in(&account, true).await;
    for (page, place) in [
        ("/", "/userinfo"),
        ("/login", "/userinfo"),
        ("/userinfo", "/userinfo"),
        ("/password", "/password"),
        ("/.well-known/change-password", "/password"),
        ("/login?return_to=%2Fpassword", "/password"),
    ] {
        visitor.open(page).await;
        assert_eq!(visitor.place().await, place, "{page}");
        assert!(!visitor.shows("#sign-in").await);
    }
    visitor.leave().await;
}

/// A page of the service, the place where a link to it ends, and how many documents the browser asks for on the way.
type Way = (&'static str, &'static str, usize);

#[tokio::test]
async fn a_signed_in_person_who_follows_a_link_never_sees_a_sign_in_form() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    let ways: [Way; 5] = [
        // The hop, the sign-in page that leads on, and the account page.
        ("/login", "/userinfo", 3),
        ("/userinfo", "/userinfo", 2),
        ("/", "/userinfo", 3),
        ("/login?return_to=%2Fpassword", "/password", 4),
        ("/password", "/password", 4),
    ];
    follow_links(&visitor, "signed-in", &ways).await;
    // The renewal happens after the hop.
    visitor.delete_cookie("access_jwt").await;
    let refresh = visitor.cookie("refresh_jwt").await;
    follow(&visitor, "renewed", &format!("<a href='{}/login'>Link</a>", service.url), ("/login", "/userinfo", 3)).await;
    assert_ne!(visitor.cookie("refresh_jwt").await, refresh);
    assert_eq!(visitor.see("h1").await, account.name());
    visitor.leave().await;
}

#[tokio::test]
async fn a_person_who_is_not_signed_in_follows_a_link_to_the_sign_in_page() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let ways: [Way; 4] = [
        ("/login", "/login", 2),
        ("/userinfo", "/login", 3),
        ("/", "/login", 4),
        ("/login?return_to=%2Fpassword", "/login?return_to=%2Fpassword", 2),
    ];
    follow_links(&visitor, "signed-out", &ways).await;
    // A cookie of a session that has ended is no session.
    let (access, refresh) = service.open_session(&account, Duration::ZERO).await;
    service.end_session(&account, &access).await;
    visitor.set_cookie("access_jwt", &access).await;
    visitor.set_cookie("refresh_jwt", &refresh).await;
    let link = format!("<a href='{}/login'>Link</a>", service.url);
    visitor.open("/login").await;
    visitor.see("#sign-in").await;
    service.stranger.put("/ended", &link);
    visitor.open(&format!("{}/ended", service.stranger.cross_site())).await;
    visitor.press("a").await;
    visitor.see("#sign-in").await;
    visitor.sees_nothing_of(&account).await;
    visitor.leave().await;
}

/// A person follows a link to each page, and other kinds of links to the sign-in page.
async fn follow_links(visitor: &Visitor, name: &str, ways: &[Way]) {
    for (page, place, documents) in ways {
        let url = format!("{}{page}", visitor.service.url);
        follow(visitor, name, &format!("<a href='{url}'>Link</a>"), (page, place, *documents)).await;
        // Back to the other site, and forward again.
        let start = format!("{}/{name}", visitor.service.stranger.cross_site());
        visitor.browser.back().await.unwrap();
        visitor.until_at(&start).await;
        visitor.browser.forward().await.unwrap();
        visitor.until_at(place).await;
        visitor.see(form_of(place)).await;
    }
    let (page, place, documents) = ways[0];
    let url = format!("{}{page}", visitor.service.url);
    let redirect = format!("/redirect-{name}");
    visitor.service.stranger.put_with(&redirect, &[("location", &url)], "");
    for (html, more) in [
        (format!("<a rel=noreferrer href='{url}'>Link</a>"), 0),
        (format!("<a href='#' onclick='location = \"{url}\"; return false'>Link</a>"), 0),
        (format!("<a href='{redirect}'>Link</a>"), 1),
    ] {
        follow(visitor, name, &html, (page, place, documents + more)).await;
    }
}

/// Follows the link of a page of another site.
async fn follow(visitor: &Visitor, name: &str, html: &str, (page, place, documents): Way) {
    let path = format!("/{name}");
    visitor.service.stranger.put(&path, html);
    visitor.open(&format!("{}{path}", visitor.service.stranger.cross_site())).await;
    visitor.log("performance").await;
    visitor.press("a").await;
    visitor.until_at(place).await;
    visitor.see(form_of(place)).await;
    let requested = documents_of(&visitor.log("performance").await);
    assert_eq!(requested.len(), documents, "{html} to {page} by {requested:?}");
}

/// Returns the form of a page.
fn form_of(place: &str) -> &'static str {
    match place {
        "/userinfo" => "#sessions",
        "/password" => "#change-password",
        _ => "#sign-in",
    }
}

/// Returns the addresses of the documents that the browser asked for, redirects included.
fn documents_of(log: &[Value]) -> Vec<String> {
    let messages = log.iter().map(|entry| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap());
    let requests = messages.map(|message| message["message"].clone());
    let requests = requests.filter(|message| message["method"] == "Network.requestWillBeSent");
    let documents = requests.filter(|request| request["params"]["type"] == "Document");
    documents.map(|request| request["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
}
