//! The account page.

use super::*;

fn opened(cookies: &[(&str, &str)]) -> Event {
    Event::recorded("userinfo").opened().cookies(cookies.iter().map(|(name, value)| format!("{name}={value}")))
}

fn is_account_page(reply: &Reply) -> bool {
    (reply.status, reply.header("content-type")) == (200, Some("text/html; charset=utf-8"))
        && reply.body().contains("<h1>김코딩</h1>")
}

#[tokio::test]
async fn a_signed_in_person_sees_the_account_page() {
    let kim = SignedIn::new().await;
    testbed::sign_in(&kim.env, &kim.user, true, NOW).await;
    let reply = kim.send(opened(&[("access_jwt", &kim.access)]), NOW).await;
    assert!(is_account_page(&reply) && reply.cookies.is_empty());
    for text in ["kimcoding@authstates.com", "Frontend Developer", "This device", "Signed in "] {
        assert!(reply.body().contains(text), "{text}");
    }
    assert_eq!(reply.body().matches("class=\"device\"").count(), 2);
    let noticed = opened(&[("access_jwt", &kim.access)]).header("sec-fetch-site", "same-origin");
    let reply = kim.send(noticed.clone().query("notice=password-changed"), NOW).await;
    assert!(reply.body().contains("id=\"notice\" role=\"status\">Your password is changed."));
    let reply = kim.send(noticed.query("notice=You+were+hacked"), NOW).await;
    assert!(is_account_page(&reply) && !reply.body().contains("id=\"notice\"") && !reply.body().contains("hacked"));
}

#[tokio::test]
async fn an_expired_access_token_is_renewed_unnoticed() {
    let kim = SignedIn::new().await;
    let cookies = [("access_jwt", kim.access.as_str()), ("refresh_jwt", kim.refresh.as_str())];
    let reply = kim.send(opened(&cookies), after(DAY + 60)).await;
    assert!(is_account_page(&reply));
    assert!(reply.cookie("access_jwt").is_some() && reply.cookie("refresh_jwt").is_some());
}

/// No link may make our page say that something was done.
#[tokio::test]
async fn a_notice_appears_only_after_a_form_of_ours() {
    let kim = SignedIn::new().await;
    let noticed = opened(&[("access_jwt", &kim.access)]).query("notice=others-ended");
    for site in ["none", "same-site", "cross-site"] {
        let reply = kim.send(noticed.clone().header("sec-fetch-site", site), NOW).await;
        assert!(is_account_page(&reply) && !reply.body().contains("id=\"notice\""), "{site}");
    }
    let hopped = noticed.header("sec-fetch-site", "same-origin").query("notice=others-ended&hop=1");
    assert!(!kim.send(hopped, NOW).await.body().contains("id=\"notice\""));
}

/// R62: the new tokens reach the browser, also if the list of sessions cannot be read after the renewal.
#[tokio::test]
async fn a_renewal_is_not_lost_with_the_list_of_sessions() {
    let kim = SignedIn::new().await;
    let failing = kim.tables.failing(&[("Query", &[Fault::Refuse(400, "ThrottlingException"); 8])]).await;
    let failing = Environment::new(failing);
    let reply = send(&failing, opened(&[("refresh_jwt", &kim.refresh)]), after(DAY + 60)).await;
    assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "/userinfo"), 2));
    let access = reply.cookie("access_jwt").unwrap();
    let reply = send(&failing, opened(&[("access_jwt", access)]), after(DAY + 60)).await;
    assert_eq!((reply.status, reply.cookies.len()), (503, 0), "without a renewal, nothing can be lost");
}

#[tokio::test]
async fn a_visitor_who_is_not_signed_in_goes_to_the_sign_in_page() {
    let kim = SignedIn::new().await;
    for cookies in [&[][..], &[("access_jwt", "garbage")][..], &[("refresh_jwt", "garbage")][..]] {
        let reply = kim.send(opened(cookies), NOW).await;
        assert_eq!((reply.leads_to(), reply.cookies.len()), ((302, "/login"), 0));
    }
    let reply = kim.send(opened(&[]).query("return_to=%2Fshop"), NOW).await;
    assert_eq!(reply.leads_to(), (302, "/login?return_to=%2Fshop"));
    let reply = kim.send(opened(&[]).method("HEAD"), NOW).await;
    assert_eq!(reply.leads_to(), (302, "/login"));
}

/// R66, R81.
#[tokio::test]
async fn a_visitor_whose_session_was_ended_for_reuse_goes_to_the_sign_in_page_without_cookies() {
    let kim = SignedIn::new().await;
    kim.renew(&kim.refresh, after(DAY)).await;
    let reply = kim.send(opened(&[("refresh_jwt", &kim.refresh)]), after(DAY + 60)).await;
    assert_eq!(reply.leads_to(), (302, "/login"));
    assert_eq!((reply.cookie("access_jwt"), reply.cookie("refresh_jwt")), (Some(""), Some("")));
}

#[tokio::test]
async fn a_signed_in_visitor_returns_to_the_page_that_sent_them() {
    let kim = SignedIn::new().await;
    let query = "return_to=https%3A%2F%2Flocalhost%3A3000%2Fshop";
    let reply = kim.send(opened(&[("access_jwt", &kim.access)]).query(query), NOW).await;
    assert_eq!(reply.leads_to(), (303, "https://localhost:3000/shop"));
    let reply = kim.send(opened(&[("refresh_jwt", &kim.refresh)]).query(query), after(DAY + 60)).await;
    assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "https://localhost:3000/shop"), 2));
    for query in ["return_to=https%3A%2F%2Fevil.example", "return_to=%2F%2Fevil.example"] {
        let reply = kim.send(opened(&[("access_jwt", &kim.access)]).query(query), NOW).await;
        assert!(reply.status == 400 && reply.header("location").is_none(), "{query}");
    }
}

/// R86: otherwise a page that needs an access token and this one would lead to each other for ever.
#[tokio::test]
async fn a_request_that_may_not_renew_does_not_lead_back() {
    let kim = SignedIn::new().await;
    let prefetch =
        opened(&[("refresh_jwt", &kim.refresh)]).query("return_to=%2Fpassword").header("purpose", "prefetch");
    let reply = kim.send(prefetch, after(DAY + 60)).await;
    assert!(is_account_page(&reply) && reply.cookies.is_empty());
}

#[tokio::test]
async fn a_link_from_another_site_leads_to_the_account_page_by_one_hop() {
    let kim = SignedIn::new().await;
    let reply = kim.send(opened(&[]).header("sec-fetch-site", "cross-site"), NOW).await;
    assert!(reply.status == 200 && reply.body().contains("content=\"0;url=/userinfo?hop=1\""));
    let reply = kim.send(opened(&[]).header("sec-fetch-site", "cross-site").query("hop=1"), NOW).await;
    assert_eq!(reply.leads_to(), (302, "/login"), "the hop never repeats");
    let reply = kim.send(opened(&[("access_jwt", &kim.access)]).query("hop=1"), NOW).await;
    assert!(is_account_page(&reply));
}

#[tokio::test]
async fn the_start_leads_to_the_right_page() {
    let kim = SignedIn::new().await;
    let start = |cookies: &[(&str, &str)]| opened(cookies).at("GET", "/");
    for (event, expected) in [
        (start(&[]), "/login"),
        (start(&[("access_jwt", "garbage")]), "/login"),
        (start(&[("access_jwt", &kim.access)]), "/userinfo"),
        (start(&[("refresh_jwt", &kim.refresh)]), "/userinfo"),
        (start(&[("access_jwt", &kim.access)]).header("accept", "application/json"), "/userinfo"),
        (start(&[]).header("accept", "application/json"), "/login"),
        (start(&[]).header("sec-fetch-site", "cross-site"), "/userinfo"),
    ] {
        let reply = kim.send(event, NOW).await;
        assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, expected), 0));
    }
}

/// The page is one request more than the JSON, and only for a person with a browser.
#[tokio::test]
async fn a_client_of_json_does_not_pay_for_the_page() {
    let kim = SignedIn::new().await;
    let (client, calls) = Calls::of(&store::connect(&kim.env).unwrap());
    send_through(client.clone(), &kim.env, with(&kim.access, ""), NOW).await;
    assert_eq!(calls.take(), ["BatchGetItem"]);
    send_through(client, &kim.env, opened(&[("access_jwt", &kim.access)]), NOW).await;
    assert_eq!(calls.take().len(), 3);
}

#[tokio::test]
async fn the_language_that_a_person_chose_stays() {
    let kim = SignedIn::new().await;
    let access = format!("access_jwt={}", kim.access);
    let korean = kim.send(opened(&[]).cookies([access.clone()]).query("lang=ko"), NOW).await;
    assert!(korean.body().contains("<html lang=\"ko\"") && korean.cookies.len() == 1);
    let cookie = "__Host-lang=ko; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000";
    assert_eq!(korean.cookies, [cookie]);
    let kept = opened(&[]).cookies([access.clone(), "__Host-lang=ko".to_owned()]);
    let reply = kim.send(kept.header("accept-language", "en"), NOW).await;
    assert!(reply.body().contains("<html lang=\"ko\"") && reply.cookies.is_empty());
    let reply = kim.send(opened(&[]).cookies([access]).query("lang=xx"), NOW).await;
    assert!(reply.body().contains("<html lang=\"en\"") && reply.cookies.is_empty());
}
