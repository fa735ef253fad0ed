//! The buttons of the account page that sign a user out.

use super::*;

fn sent(cookies: &[(&str, &str)]) -> Event {
    with(cookies).form(&[])
}

#[tokio::test]
async fn a_form_signs_a_person_out_and_leads_to_the_sign_in_page() {
    let world = World::new().await;
    let (access, refresh) = world.sign_in(&world.kim).await;
    for cookies in [&[("access_jwt", access.as_str()), ("refresh_jwt", &refresh)][..], &[][..]] {
        let reply = world.send(sent(cookies)).await;
        assert_eq!((reply.status, reply.header("location"), reply.body()), (303, Some("/login"), ""));
        assert_eq!((reply.cookie("access_jwt"), reply.cookie("refresh_jwt")), (Some(""), Some("")));
    }
    assert_eq!(world.ended(), 1);
}

#[tokio::test]
async fn a_form_signs_a_person_out_everywhere() {
    let world = World::new().await;
    let (access, _) = world.sign_in(&world.kim).await;
    let before = world.epoch("user#0");
    let reply = world.send(sent(&[("access_jwt", &access)]).query("everywhere=true")).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/login")));
    assert_ne!(world.epoch("user#0"), before);
}

/// The page never claims that other devices are signed out if they are not.
#[tokio::test]
async fn without_an_active_session_a_page_says_that_only_this_device_is_signed_out() {
    let world = World::new().await;
    for cookies in [&[][..], &[("access_jwt", "garbage")][..]] {
        let reply = world.send(sent(cookies).query("everywhere=true")).await;
        assert_eq!(reply.status, 401);
        assert!(reply.body().contains("Only this device is signed out") && reply.body().contains("href=\"/login\""));
        assert_eq!((reply.cookie("access_jwt"), reply.cookie("refresh_jwt")), (Some(""), Some("")));
    }
}
