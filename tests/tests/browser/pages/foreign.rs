//! Pages of other origins that act against the pages of the service: forged forms and frames.

use std::time::Duration;

use serde_json::json;

use super::service::Service;
use super::visitor::Visitor;

/// R29, in Chromium: login CSRF. A page tries to sign the visitor in as another user, who would then see what the
/// visitor does. Only the allowed origin may post the form.
#[tokio::test]
async fn a_page_of_another_origin_cannot_sign_a_visitor_in() {
    let service = Service::shared();
    let attacker = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    let form = format!(
        "<form method=post action='{}/login'><input name=userId value={}><input name=password value={}>
        <input name=checkedKeepLogin value=true><button>Win a prize</button></form>",
        service.url,
        attacker.login(),
        attacker.password
    );
    let framed = form.replace("<form ", "<form target=_top ").replace('\'', "&#39;");
    let no_referrer = [("referrer-policy", "no-referrer")];
    service.stranger.put("/sign-in", &form);
    service.stranger.put_with("/sign-in-without-referrer", &no_referrer, &form);
    let frame = format!("<iframe sandbox='allow-forms allow-top-navigation' srcdoc='{framed}'></iframe>");
    service.stranger.put("/sign-in-in-a-frame", &frame);
    service.friend.put("/sign-in", &form);
    service.friend.put_with("/sign-in-without-referrer", &no_referrer, &form);

    let (stranger, friend) = (&service.stranger, &service.friend);
    for (page, is_framed) in [
        (format!("{}/sign-in", stranger.cross_site()), false),
        (format!("{}/sign-in", stranger.same_site()), false),
        (format!("{}/sign-in-without-referrer", stranger.cross_site()), false),
        (format!("{}/sign-in-without-referrer", stranger.same_site()), false),
        (format!("{}/sign-in-in-a-frame", stranger.cross_site()), true),
        (format!("{}/sign-in-in-a-frame", stranger.same_site()), true),
        // The site of a friend is not an origin of a friend, and the origin of a friend must be stated.
        (format!("{}/sign-in", friend.cross_site()), false),
        (format!("{}/sign-in-without-referrer", friend.same_site()), false),
    ] {
        visitor.open(&page).await;
        if is_framed {
            visitor.browser.enter_frame(0).await.unwrap();
            visitor.browser.find(fantoccini::Locator::Css("button")).await.unwrap().click().await.unwrap();
            visitor.browser.enter_parent_frame().await.unwrap();
            visitor.until_at("/login").await;
        } else {
            visitor.press("button").await;
        }
        is_refused(&visitor, &page).await;
        assert_eq!(visitor.place().await, "/login", "{page}");
        assert_eq!(visitor.cookies().await, [""; 0], "{page}");
        visitor.sees_nothing_of(&attacker).await;
        visitor.open("/userinfo").await;
        assert_eq!(visitor.place().await, "/login", "{page} signs nobody in");
    }

    visitor.open(&format!("{}/sign-in", friend.same_site())).await;
    visitor.press("button").await;
    visitor.until_at("/userinfo").await;
    assert_eq!(visitor.see("h1").await, attacker.name(), "the form is right, and an allowed origin may post it");
    visitor.leave().await;
}

/// R85, in Chromium. The pages of the same site are the harder case: the browser sends the cookies along.
#[tokio::test]
async fn a_page_of_another_origin_cannot_act_for_a_person_who_is_signed_in() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    visitor.sign_in(&account, true).await;
    let jar = values(&visitor).await;
    service.open_session(&account, Duration::ZERO).await;
    visitor.open("/userinfo").await;
    let id = visitor.value("#sessions [name=id]").await;
    let own = "paper boats in the rain";
    let forms = [
        ("/logout", vec![]),
        ("/logout?everywhere=true", vec![]),
        ("/sessions/end", vec![("id", id.as_str())]),
        ("/sessions/end", vec![("others", "true")]),
        ("/password", vec![("currentPassword", account.password), ("newPassword", own)]),
        ("/login", vec![("userId", account.login()), ("password", "4321")]),
    ];
    for (number, (action, fields)) in forms.iter().enumerate() {
        let inputs: Vec<_> =
            fields.iter().map(|(name, value)| format!("<input name={name} value='{value}'>")).collect();
        let form = format!(
            "<form method=post action='{}{action}'>{}<button>Win</button></form>",
            service.url,
            inputs.concat()
        );
        let path = format!("/forged-{number}");
        service.stranger.put(&path, &form);
        for origin in [service.stranger.same_site(), service.stranger.cross_site()] {
            visitor.open(&format!("{origin}{path}")).await;
            visitor.press("button").await;
            is_refused(&visitor, &format!("{action} {fields:?} from {origin}")).await;
        }
    }

    // The same by scripts, which need not ask first: the media types are those of forms.
    visitor.open(&service.stranger.same_site()).await;
    let send = "
        const [url, body, type] = arguments;
        const options = { method: 'POST', mode: 'no-cors', credentials: 'include', redirect: 'manual' };
        return fetch(url, { ...options, body: type ? new Blob([body], { type }) : new URLSearchParams(body) })
            .then((response) => response.type, () => 'failed');";
    for (action, fields) in &forms {
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        for kind in ["", "text/plain"] {
            let url = format!("{}{action}", service.url);
            let outcome = visitor.script(send, vec![json!(url), json!(body), json!(kind)]).await;
            assert!(outcome == "opaque" || outcome == "failed", "{action}: {outcome}");
        }
    }
    let images = "
        const loaded = arguments[0].map((address) => new Promise((resolve) => {
            const image = new Image();
            image.onload = image.onerror = resolve;
            image.src = address;
        }));
        return Promise.all(loaded).then(() => 'all');";
    let addresses: Vec<_> = forms.iter().map(|(action, _)| format!("{}{action}", service.url)).collect();
    assert_eq!(visitor.script(images, vec![json!(addresses)]).await, "all");

    visitor.open("/userinfo").await;
    assert_eq!(visitor.see("h1").await, account.name(), "still signed in");
    assert_eq!(visitor.count("#sessions li").await, 2, "no session ended");
    assert_eq!(values(&visitor).await, jar, "no cookie changed");
    visitor.press("#sign-out button").await;
    visitor.submit_sign_in(account.login(), account.password, true).await;
    assert_eq!(visitor.see("h1").await, account.name(), "the password is the old one");
    visitor.leave().await;
}

/// R89, in Chromium: clickjacking.
#[tokio::test]
async fn no_page_of_another_origin_can_frame_a_page() {
    let service = Service::shared();
    let account = service.new_user().await;
    let visitor = Visitor::arrive(&service).await;
    for signed_in in [false, true] {
        if signed_in {
            visitor.sign_in(&account, true).await;
        }
        for origin in [service.stranger.cross_site(), service.stranger.same_site(), service.friend.same_site()] {
            for page in ["/login", "/userinfo", "/password", "/", "/login?return_to=//elsewhere.example"] {
                visitor.open(&origin).await;
                let add = "
                    const frame = document.createElement('iframe');
                    const loaded = new Promise((resolve) => { frame.onload = () => resolve('loaded'); });
                    frame.src = arguments[0];
                    document.body.replaceChildren(frame);
                    return loaded;";
                let url = format!("{}{page}", service.url);
                assert_eq!(visitor.script(add, vec![json!(url)]).await, "loaded");
                visitor.browser.enter_frame(0).await.unwrap();
                let framed = visitor.script("return [location.protocol, document.querySelector('main')]", vec![]).await;
                assert_eq!(framed, json!(["chrome-error:", null]), "{page} in a frame of {origin}");
                visitor.browser.enter_parent_frame().await.unwrap();
            }
        }
    }
    visitor.leave().await;
}

/// The page that opened a window cannot navigate it: a person who types a password must not land on a copy of the page.
#[tokio::test]
async fn a_page_that_opens_a_window_has_no_handle_of_it() {
    let service = Service::shared();
    let visitor = Visitor::arrive(&service).await;
    let opener = "<button onclick='opened = window.open(target)'>Open</button><script>let opened; const target = ";
    for (number, page) in ["/login", "/userinfo", "/password"].into_iter().enumerate() {
        let path = format!("/opener-{number}");
        service.stranger.put(&path, &format!("{opener}'{}{page}'</script>", service.url));
        for origin in [service.stranger.cross_site(), service.stranger.same_site()] {
            visitor.open(&format!("{origin}{path}")).await;
            let first = visitor.browser.window().await.unwrap();
            visitor.browser.find(fantoccini::Locator::Css("button")).await.unwrap().click().await.unwrap();
            let closed = async || visitor.script("return opened.closed", vec![]).await == true;
            visitor.until("a window without a handle", closed).await;
            for window in visitor.browser.windows().await.unwrap() {
                if window != first {
                    visitor.browser.switch_to_window(window).await.unwrap();
                    visitor.see("#sign-in").await;
                    assert_eq!(visitor.script("return window.opener", vec![]).await, json!(null));
                    visitor.browser.close_window().await.unwrap();
                }
            }
            visitor.browser.switch_to_window(first).await.unwrap();
        }
    }
    visitor.leave().await;
}

/// Asserts that the page says 403, with a way on.
async fn is_refused(visitor: &Visitor, what: &str) {
    visitor.until("the page of the refusal", async || visitor.count("#status").await == 1).await;
    assert_eq!(visitor.status().await, 403, "{what}");
    let status = visitor.script("return document.querySelector('#status').textContent", vec![]).await;
    assert_eq!(status, "403", "{what}");
    assert!(visitor.shows("main a[href]").await, "{what}: there is a way on");
}

/// Returns the cookies with their values.
async fn values(visitor: &Visitor) -> Vec<(String, String)> {
    visitor.jar().await.into_iter().map(|cookie| (cookie.name, cookie.value)).collect()
}
