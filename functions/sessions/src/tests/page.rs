//! The buttons of the account page that end sessions.

use super::*;

fn sent(access: &str, fields: &[(&str, &str)]) -> Event {
    by(access, Event::recorded("sessions").form(fields).at("POST", "/sessions/end"))
}

#[tokio::test]
async fn a_button_ends_one_session() {
    let world = World::new().await;
    let phone = world.id_of(&world.phone).await;
    let reply = world.send(sent(&world.laptop, &[("id", &phone)])).await;
    assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "/userinfo?notice=session-ended"), 0));
    let left: Vec<_> = world.list(&world.laptop).await.iter().map(|session| session["id"].clone()).collect();
    assert!(left.len() == 2 && !left.contains(&json!(phone)));
}

#[tokio::test]
async fn a_button_ends_all_other_sessions() {
    let world = World::new().await;
    let reply = world.send(sent(&world.laptop, &[("others", "true")])).await;
    assert_eq!(reply.leads_to(), (303, "/userinfo?notice=others-ended"));
    assert_eq!(world.list(&world.laptop).await.len(), 1);
}

#[tokio::test]
async fn the_end_of_the_own_session_leads_to_the_sign_in_page() {
    let world = World::new().await;
    let own = world.id_of(&world.laptop).await;
    let reply = world.send(sent(&world.laptop, &[("id", &own)])).await;
    assert_eq!(reply.leads_to(), (303, "/login"));
    assert_eq!((reply.cookie("access_jwt"), reply.cookie("refresh_jwt")), (Some(""), Some("")));
}

#[tokio::test]
async fn an_unknown_session_and_one_of_another_user_have_the_same_page() {
    let world = World::new().await;
    let foreign = testbed::sign_in(&world.env, &world.park, true, NOW).await.0;
    let foreign = world.id_of(&foreign).await;
    let mut pages = Vec::new();
    for id in [foreign.as_str(), "AAAAAAAAAAAAAAAAAAAAAA", "end", "", "../../x"] {
        let reply = world.send(sent(&world.laptop, &[("id", id)])).await;
        assert_eq!(reply.status, 404, "{id}");
        assert!(reply.body().contains("href=\"/userinfo\""), "{id}");
        pages.push(reply.body().to_owned());
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn an_invalid_form_ends_no_session() {
    let world = World::new().await;
    let id = world.id_of(&world.phone).await;
    for fields in [
        &[][..],
        &[("others", "false")][..],
        &[("others", "yes")][..],
        &[("id", id.as_str()), ("others", "true")][..],
        &[("id", id.as_str()), ("id", id.as_str())][..],
        &[("session", id.as_str())][..],
    ] {
        assert_eq!(world.send(sent(&world.laptop, fields)).await.status, 400, "{fields:?}");
    }
    assert_eq!(world.list(&world.laptop).await.len(), 3);
}

/// `/userinfo` renews the session if that is due, or leads to the sign-in page.
#[tokio::test]
async fn without_a_valid_access_token_the_form_leads_to_the_account_page() {
    let world = World::new().await;
    let reply = world.send(sent("garbage", &[("others", "true")])).await;
    assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "/userinfo?notice=press-again"), 0));
    assert_eq!(world.list(&world.laptop).await.len(), 3);
}

#[tokio::test]
async fn the_form_is_only_for_a_client_that_prefers_html() {
    let world = World::new().await;
    for accept in ["*/*", "application/json"] {
        let reply = world.send(sent(&world.laptop, &[("others", "true")]).header("accept", accept)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("DELETE")), "{accept}");
    }
    let json = sent(&world.laptop, &[]).header("content-type", "application/json").body(r#"{"others":true}"#);
    assert_eq!(world.send(json).await.status, 415);
    assert_eq!(world.list(&world.laptop).await.len(), 3);
}
