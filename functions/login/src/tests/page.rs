//! The sign-in page.

use super::*;

/// A person who opens the sign-in page.
fn opened() -> Event {
    Event::recorded("login").opened().at("GET", "/login")
}

/// A person who sends the form of the sign-in page.
fn sent(fields: &[(&str, &str)]) -> Event {
    Event::recorded("login").form(fields)
}

fn is_sign_in_page(reply: &Reply) -> bool {
    reply.header("content-type") == Some("text/html; charset=utf-8") && reply.body().contains("<form id=\"sign-in\"")
}

#[tokio::test]
async fn a_person_who_is_not_signed_in_sees_the_sign_in_page() {
    let (_tables, env) = with_kim().await;
    let (login, calls) = observed(&env);
    let reply = answer(&login, &env, &opened(), NOW).await;
    assert!(reply.status == 200 && is_sign_in_page(&reply) && reply.cookies.is_empty());
    assert!(calls.take().is_empty(), "the page needs no table");
}

#[tokio::test]
async fn a_client_that_prefers_json_gets_405_for_the_page() {
    let (_tables, env) = with_kim().await;
    for accept in ["application/json", "*/*", "application/json, text/plain, */*"] {
        let reply = send(&env, opened().header("accept", accept)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{accept}");
    }
    let reply = send(&env, opened().without_header("accept")).await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn a_form_signs_a_user_in_as_json_does() {
    let (_tables, env) = with_kim().await;
    for (keep, cookies) in [(None, 1), (Some("false"), 1), (Some("true"), 2), (Some("on"), 2)] {
        let mut fields = vec![("userId", " KimCoding "), ("password", "1234")];
        fields.extend(keep.map(|keep| ("checkedKeepLogin", keep)));
        let reply = send(&env, sent(&fields)).await;
        assert_eq!(reply.leads_to(), (302, "/userinfo"), "{keep:?}");
        let names: Vec<_> =
            ["access_jwt", "refresh_jwt"].into_iter().filter(|name| reply.cookie(name).is_some()).collect();
        assert_eq!(names.len(), cookies, "{keep:?}");
    }
}

/// R17: the page is the same for an unknown user.
#[tokio::test]
async fn a_wrong_password_shows_the_form_again_with_the_reason_and_the_input() {
    let (_tables, env) = with_kim().await;
    for user_id in ["kimcoding", "unknown", "\"><script>"] {
        let reply =
            send(&env, sent(&[("userId", user_id), ("password", "canary-1"), ("checkedKeepLogin", "true")])).await;
        assert!(reply.status == 401 && is_sign_in_page(&reply) && reply.cookies.is_empty());
        assert!(reply.body().contains("The login name or the password is wrong."));
        assert!(reply.body().contains(" checked>") && !reply.body().contains("canary-1"));
        assert_eq!(reply.body().contains(&format!("value=\"{user_id}\"")), !user_id.contains('"'));
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_show_the_form_again_with_the_wait() {
    let (_tables, env) = with_kim().await;
    for _ in 0..5 {
        send(&env, sent(&[("userId", "kimcoding"), ("password", "wrong")])).await;
    }
    let reply = send(&env, sent(&[("userId", "kimcoding"), ("password", "1234")])).await;
    let wait = reply.header("retry-after").unwrap();
    assert!(reply.status == 429 && is_sign_in_page(&reply) && reply.cookies.is_empty());
    assert!(reply.body().contains(&format!("data-countdown=\"{wait}\"")));
}

#[tokio::test]
async fn an_invalid_form_shows_the_form_again() {
    let (_tables, env) = with_kim().await;
    for body in [
        "",
        "userId=kimcoding",
        "password=1234",
        "userId=kimcoding&password=1234&password=1234",
        "userId=kimcoding&password=1234&admin=true",
        "userId=kimcoding&password=1234&checkedKeepLogin=yes",
        "userId=kimcoding&password=%ff",
        "userId=kimcoding&password=%E2%82",
    ] {
        let reply = send(&env, sent(&[]).body(body)).await;
        assert!(reply.status == 400 && is_sign_in_page(&reply) && reply.cookies.is_empty(), "{body}");
    }
}

/// `+` is a space, and `%2B` is a plus sign (WHATWG URL, "application/x-www-form-urlencoded").
#[tokio::test]
async fn a_form_may_hold_any_character() {
    let tables = Tables::new().await;
    let env = environment(&tables, &[]);
    let password = "pässwörd + 100% & = 한국어 🔑";
    let mut user = testbed::add_park(&env).await;
    user.profile.id = shared::id::UserId::parse("2").unwrap();
    user.profile.user_id = "김코딩+1".to_owned();
    user.profile.email = "2@example.com".to_owned();
    let hash = login(&env).authenticator.hasher.hash(&Password::new(password).unwrap(), NOW).unwrap();
    testbed::add(&env, user, hash).await;
    let reply = send(&env, sent(&[("userId", "김코딩+1"), ("password", password)])).await;
    assert_eq!(reply.leads_to(), (302, "/userinfo"));
}

#[tokio::test]
async fn a_form_is_only_for_a_client_that_prefers_html() {
    let (_tables, env) = with_kim().await;
    let form = sent(&[("userId", "kimcoding"), ("password", "1234")]);
    let reply = send(&env, form.header("accept", "*/*")).await;
    assert_eq!((reply.status, reply.cookies.len()), (415, 0));
    let reply = send(&env, Event::recorded("login").header("accept", "text/html")).await;
    assert_eq!(reply.leads_to(), (302, "/userinfo"), "JSON is read from any client");
}

#[tokio::test]
async fn a_visitor_returns_to_the_page_that_sent_them() {
    let (_tables, env) = with_kim().await;
    let right = [("userId", "kimcoding"), ("password", "1234")];
    for (address, query) in [
        ("/shop?item=1", "return_to=%2Fshop%3Fitem%3D1"),
        ("https://localhost:3000/a", "return_to=https%3A%2F%2Flocalhost%3A3000%2Fa"),
    ] {
        let page = send(&env, opened().query(query)).await;
        assert!(page.body().contains(&format!("action=\"/login?{query}\"")), "{query}");
        let wrong = send(&env, sent(&[("userId", "kimcoding"), ("password", "x")]).query(query)).await;
        assert!(wrong.status == 401 && wrong.body().contains(&format!("action=\"/login?{query}\"")));
        let reply = send(&env, sent(&right).query(query)).await;
        assert_eq!(reply.leads_to(), (302, address));
    }
}

/// R89: an invalid address is an error before the password is checked, and never a redirect.
#[tokio::test]
async fn a_visitor_never_returns_to_another_origin() {
    let (_tables, env) = with_kim().await;
    let (login, calls) = observed(&env);
    for query in [
        "return_to=https%3A%2F%2Fevil.example",
        "return_to=%2F%2Fevil.example",
        "return_to=%2F%5Cevil.example",
        "return_to=%2F%09%2Fevil.example",
        "return_to=javascript%3Aalert(1)",
        "return_to=",
        "return_to=%2Fa&return_to=https%3A%2F%2Fevil.example",
        "return_to=%2Fa&return_to=%2Fa",
    ] {
        for event in [opened(), sent(&[("userId", "kimcoding"), ("password", "1234")])] {
            let reply = answer(&login, &env, &event.query(query), NOW).await;
            assert!(reply.status == 400 && reply.header("location").is_none() && reply.cookies.is_empty(), "{query}");
            assert!(reply.body().contains("href=\"/login\"") && !reply.body().contains("evil"), "{query}");
        }
    }
    assert!(calls.take().is_empty());
}

/// A person who is signed in already, or whose session only needs a renewal, does not see the form.
#[tokio::test]
async fn a_signed_in_person_goes_on_at_once() {
    let tables = Tables::new().await;
    let env = environment(&tables, &[]);
    let user = testbed::add_kim(&env).await;
    let (access, refresh) = testbed::sign_in(&env, &user, true, NOW).await;
    for cookie in [format!("access_jwt={access}"), format!("refresh_jwt={refresh}")] {
        let reply = send(&env, opened().cookies([cookie.clone()])).await;
        assert_eq!(reply.leads_to(), (303, "/userinfo"));
        let reply = send(&env, opened().cookies([cookie]).query("return_to=%2Fshop")).await;
        assert_eq!(reply.leads_to(), (303, "/userinfo?return_to=%2Fshop"));
        assert!(reply.cookies.is_empty(), "only /userinfo renews");
    }
    for cookie in ["access_jwt=garbage", "access_jwt=a; access_jwt=b"] {
        let reply = send(&env, opened().cookies([cookie])).await;
        assert!(reply.status == 200 && is_sign_in_page(&reply), "{cookie}");
    }
}

/// The browser does not send our cookies, so that the function cannot know yet whether the visitor is signed in.
#[tokio::test]
async fn a_link_from_another_site_leads_to_the_page_by_one_hop() {
    let (_tables, env) = with_kim().await;
    let linked = opened().header("sec-fetch-site", "cross-site").query("return_to=%2Fshop");
    let reply = send(&env, linked.clone()).await;
    assert!(reply.status == 200 && !is_sign_in_page(&reply));
    let target = "/login?return_to=%2Fshop&#38;hop=1";
    assert!(reply.body().contains(&format!("http-equiv=\"refresh\" content=\"0;url={target}\"")), "{}", reply.body());
    let reply = send(&env, linked.query("return_to=%2Fshop&hop=1")).await;
    assert!(is_sign_in_page(&reply), "the hop never repeats");
    for site in ["same-origin", "same-site", "none"] {
        assert!(is_sign_in_page(&send(&env, opened().header("sec-fetch-site", site)).await), "{site}");
    }
}
