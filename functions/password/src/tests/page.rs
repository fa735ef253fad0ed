//! The page to change the password.

use super::*;

impl World {
    fn opened(&self) -> Event {
        Event::recorded("password").opened().at("GET", "/password").cookies([format!("access_jwt={}", self.here)])
    }

    fn sent(&self, current: &str, new: &str) -> Event {
        let form = Event::recorded("password").form(&[("currentPassword", current), ("newPassword", new)]);
        form.at("POST", "/password").cookies([format!("access_jwt={}", self.here)])
    }
}

fn is_form(reply: &Reply) -> bool {
    reply.header("content-type") == Some("text/html; charset=utf-8")
        && reply.body().contains("<form id=\"change-password\"")
        && reply.body().contains("autocomplete=\"username\" value=\"kimcoding\"")
}

#[tokio::test]
async fn a_signed_in_person_sees_the_form() {
    let world = World::new().await;
    let reply = world.send(world.opened()).await;
    assert!(reply.status == 200 && is_form(&reply) && reply.body().contains("At least 15 characters."));
}

/// R16.
#[tokio::test]
async fn the_form_changes_the_password_as_json_does() {
    let world = World::new().await;
    let reply = world.send(world.sent("1234", NEW)).await;
    assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "/userinfo?notice=password-changed"), 2));
    assert!(world.is_password(NEW).await && !world.is_password("1234").await);
    let new = reply.cookie("access_jwt").unwrap();
    assert!(world.is_valid(new).await && !world.is_valid(&world.here).await && !world.is_valid(&world.there).await);
}

#[tokio::test]
async fn a_refused_change_shows_the_form_again_with_the_reason() {
    let world = World::new().await;
    for (current, new, status, english, korean) in [
        ("wrong", NEW, 401, "The current password is wrong.", "현재 비밀번호가 맞지 않습니다."),
        ("1234", "short", 400, "The new password has 5 characters. Use at least 15.", "새 비밀번호가 5자입니다. 15자"),
        ("1234", "kimcodingkimcoding", 400, "is your name", "이름"),
        ("1234", "passwordpassword", 400, "is a common one", "흔히 쓰는"),
        ("1234", "zqzqzqzqzqzqzqzqzq", 400, "repeats a few characters", "반복"),
        ("1234", &"x".repeat(4097), 400, "A field is empty or too long.", "너무 긴 항목"),
    ] {
        for (language, reason) in [("en", english), ("ko", korean)] {
            let reply = world.send(world.sent(current, new).header("accept-language", language)).await;
            assert!(reply.status == status && is_form(&reply) && reply.cookies.is_empty(), "{reason}");
            assert!(reply.body().contains(reason) && !reply.body().contains("value=\"1234\""), "{reason}");
        }
    }
    assert!(world.is_password("1234").await);
}

#[tokio::test]
async fn too_many_wrong_passwords_show_the_form_again_with_the_wait() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(world.send(world.sent("wrong", NEW)).await.status, 401);
    }
    let reply = world.send(world.sent("1234", NEW)).await;
    let wait = reply.header("retry-after").unwrap();
    assert!(reply.status == 429 && is_form(&reply) && reply.body().contains(&format!("data-countdown=\"{wait}\"")));
}

#[tokio::test]
async fn an_invalid_form_shows_the_form_again() {
    let world = World::new().await;
    for body in ["", "currentPassword=1234", "currentPassword=1234&newPassword=a&newPassword=b", "a=b"] {
        let reply = world.send(world.sent("", "").body(body)).await;
        assert!(reply.status == 400 && is_form(&reply), "{body}");
    }
}

/// `/userinfo` renews the session if that is due, or leads to the sign-in page. Both lead back.
#[tokio::test]
async fn without_a_valid_access_token_the_page_leads_to_the_account_page_and_back() {
    let world = World::new().await;
    let expired = after_a_day();
    let reply = world.send_at(world.opened(), expired).await;
    assert_eq!(reply.leads_to(), (302, "/userinfo?return_to=%2Fpassword"));
    let reply = world.send_at(world.sent("1234", NEW), expired).await;
    assert_eq!(reply.leads_to(), (303, "/userinfo?return_to=%2Fpassword"));
    assert!(world.is_password("1234").await);
}

fn after_a_day() -> Timestamp {
    NOW + Duration::from_hours(25)
}

#[tokio::test]
async fn the_page_is_only_for_a_client_that_prefers_html() {
    let world = World::new().await;
    for accept in ["*/*", "application/json"] {
        for event in [world.opened(), world.sent("1234", NEW)] {
            let reply = world.send(event.header("accept", accept)).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("PUT")), "{accept}");
        }
    }
    let reply = world.send(world.change("1234", NEW).header("accept", "text/html")).await;
    assert_eq!(reply.status, 204, "JSON is read from any client");
}

/// W3C, "A Well-Known URL for Changing Passwords".
#[tokio::test]
async fn a_password_manager_finds_the_page() {
    let world = World::new().await;
    for accept in ["*/*", "text/html"] {
        let event = Event::recorded("password").header("accept", accept).at("GET", "/.well-known/change-password");
        let reply = world.send(event).await;
        assert_eq!((reply.leads_to(), reply.cookies.len()), ((303, "/password"), 0));
    }
}
