//! Who gets a page, what a form may hold, and what a page may show.

use serde_json::json;
use testbed::Event;

use crate::world::{CHANGES, NOW, PAGES, REQUESTS, World, all_requests, is_page, not_signed_in, status_of};

/// The `Accept` headers of browsers when a person opens an address or sends a form: Chromium, Firefox, Safari, and
/// browsers for a terminal.
const OF_A_PERSON: [&str; 5] = [
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
     application/signed-exchange;v=b3;q=0.7",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/html, text/*;q=0.5",
    "text/html",
];

/// The `Accept` headers of all others.
const OF_OTHERS: [&str; 23] = [
    // Scripts: `fetch`, `XMLHttpRequest`, axios, jQuery, Angular, ky, a prefetch, an event source.
    "*/*",
    "application/json, text/plain, */*",
    "application/json, text/javascript, */*; q=0.01",
    "application/json",
    "application/problem+json, application/json",
    "text/event-stream",
    // What a page loads in Chromium, Firefox and Safari: images, stylesheets, scripts, videos.
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;\
     q=0.8,*/*;q=0.5",
    "text/css,*/*;q=0.1",
    "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
    // Command-line tools and libraries: curl, wget, Python, Go, Java, Postman.
    "text/plain, */*",
    "text/html;q=0.8, */*",
    "text/html, image/gif, image/jpeg, */*; q=0.2",
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    "application/json, text/html",
    "text/html, application/json",
    "text/html;q=0.9, application/json",
    // Hostile or broken.
    "",
    "text/htmlx",
    "text/html;q=0",
    "text/html;q=x",
    ",;=\"",
];

/// Every route gives a page to a person with a browser only. Without `Accept`, a client gets JSON.
#[tokio::test]
async fn only_a_person_with_a_browser_gets_a_page() {
    let world = World::new().await;
    let service = world.service();
    let accepts = OF_OTHERS.map(Some).into_iter().chain([None]).map(|accept| (accept, false));
    for (accept, is_a_person) in accepts.chain(OF_A_PERSON.map(|accept| (Some(accept), true))) {
        for (name, _) in all_requests() {
            let good = match accept {
                Some(accept) => world.request(name).header("accept", accept),
                None => world.request(name).without_header("accept"),
            };
            let mut events = vec![
                good.clone().method("PATCH"),
                good.clone().header("host", "a:99999"),
                good.clone().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example"),
                good.clone().form_body("x=1"),
                good.clone().form_body("x".repeat(8193)),
            ];
            // A password hash takes long, and makes no difference here.
            let hashes = ["login", "sign-in form", "password", "password form"].contains(&name);
            if !hashes || matches!(accept, Some("*/*" | "text/html") | None) {
                events.extend([
                    good.clone(),
                    good.clone().without_cookies(),
                    good.query("return_to=%2F%2Fevil.example&everywhere=x"),
                ]);
            }
            for event in events {
                let reply = service.send(&event, NOW).await.reply;
                assert!(is_a_person || !is_page(&reply), "{name} with {accept:?}: {event:?}: {reply:?}");
                // A 401 outside of a form is the plain text of the contract.
                let is_error = reply.status >= 400 && reply.status != 401;
                assert!(!is_a_person || !is_error || is_page(&reply), "{name}: {event:?}: {reply:?}");
            }
            if CHANGES.contains(&name) || name.ends_with("renewing") {
                world.restore();
            }
        }
    }
}

/// A client of the API is told which method the path has for it.
#[tokio::test]
async fn a_client_of_the_api_gets_405_where_there_is_only_a_page() {
    let world = World::new().await;
    let service = world.service();
    for (name, allowed) in [
        ("sign-in page", "POST"),
        ("password page", "PUT"),
        ("password form", "PUT"),
        ("end one form", "DELETE"),
        ("end others form", "DELETE"),
    ] {
        for accept in ["*/*", "application/json"] {
            let answer = service.send(&world.request(name).header("accept", accept), NOW).await;
            assert!(answer.is_rejected_before_any_work(405), "{name}: {answer:?}");
            assert_eq!(answer.reply.header("allow"), Some(allowed), "{name}");
            assert_eq!(answer.reply.header("content-type"), Some("application/problem+json"), "{name}");
        }
    }
    // The form of a login is for a person only, too.
    let form = world.request("sign-in form").header("accept", "*/*");
    assert!(service.send(&form, NOW).await.is_rejected_before_any_work(415));
}

/// A `HEAD` of the account page is like its `GET`, without the body and without cookies.
#[tokio::test]
async fn a_head_of_the_account_page_has_the_length_of_the_page() {
    let world = World::new().await;
    let service = world.service();
    for name in ["account page", "account page, renewing"] {
        let head = service.send(&world.request(name).method("HEAD").query("lang=ko"), NOW).await.reply;
        assert_eq!((head.status, head.body(), head.cookies.len()), (200, "", 0), "{name}");
        assert!(is_page(&head), "{name}");
        let page = service.send(&world.request(name).query("lang=ko"), NOW).await.reply;
        // The times of a renewed session differ.
        if name == "account page" {
            assert_eq!(head.header("content-length"), Some(page.body().len().to_string().as_str()), "{name}");
        }
        world.restore();
    }
    let nobody = service.send(&world.request("account page").method("HEAD").without_cookies(), NOW).await.reply;
    assert_eq!((nobody.status, nobody.header("location")), (302, Some("/login")));
}

/// R30, R32: each form is rejected before any work if it is not exactly its fields.
#[tokio::test]
async fn an_invalid_form_is_rejected_before_any_work() {
    let world = World::new().await;
    let service = world.service();
    for (name, good) in [
        ("sign-in form", "userId=kimcoding&password=1234&checkedKeepLogin=true"),
        ("password form", "currentPassword=1234&newPassword=paper+boats+in+the+rain"),
        ("end one form", "id=AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let (first, _) = good.split_once('=').unwrap();
        let mut bad = vec![
            (String::new().into_bytes(), 400),
            (b"&&&".to_vec(), 400),
            (b"=".to_vec(), 400),
            (format!("{good}&role=admin").into_bytes(), 400),
            (format!("{good}&{first}=other").into_bytes(), 400),
            (format!("{good}&{good}").into_bytes(), 400),
            (good.to_uppercase().into_bytes(), 400),
            (good.replace(first, &format!("{first}[]")).into_bytes(), 400),
            (good.replace('&', ";").replace('=', ":").into_bytes(), 400),
            (format!("{good}%ff").into_bytes(), 400),
            (format!("{good}%C0%80").into_bytes(), 400),
            ([good.as_bytes(), b"\xff"].concat(), 400),
            (good.encode_utf16().flat_map(u16::to_le_bytes).collect(), 400),
            (format!("\u{feff}{good}").into_bytes(), 400),
            (format!("{good}&pad={}", "x".repeat(8192)).into_bytes(), 413),
            (br#"{"loginInfo":{"userId":"kimcoding","password":"1234"}}"#.to_vec(), 400),
        ];
        if name != "end one form" {
            bad.push((format!("{first}=1234").into_bytes(), 400));
            bad.push((good.replace("1234", &"p".repeat(4097)).into_bytes(), 400));
        }
        if name == "sign-in form" {
            bad.push((good.replace("=true", "=yes").into_bytes(), 400));
            bad.push((good.replace("=true", "=").into_bytes(), 400));
        } else if name == "end one form" {
            bad.push((format!("{good}&others=true").into_bytes(), 400));
            bad.push((b"others=false".to_vec(), 400));
            bad.push((b"others=1".to_vec(), 400));
        }
        for (body, status) in bad {
            let answer = service.send(&world.request(name).form_body(&body), NOW).await;
            let text = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(
                (answer.reply.status, answer.reply.cookies.len()),
                (status, 0),
                "{name}: {text:.80}: {answer:?}"
            );
            // The page of a password is for a signed-in user only, so that the user is read first.
            let reads = usize::from(name != "sign-in form" && status != 413);
            assert_eq!((answer.calls.len(), answer.hashes), (reads, 0), "{name}: {text:.80}: {answer:?}");
            assert!(!answer.reply.body().contains("1234"), "{name}: {text:.80}: the page quotes a password");
        }
        // The form in other encodings and with other media types.
        let form = || world.request(name).form_body(good);
        for (event, status) in [
            (form().header("content-encoding", "gzip"), 415),
            (form().header("content-type", "multipart/form-data; boundary=x"), 415),
            (form().header("content-type", "text/plain"), 415),
            (form().without_header("content-type"), 415),
            (form().with("/body", json!(good)), 400),
            (form().with("/body", json!(null)), 400),
        ] {
            let answer = service.send(&event, NOW).await;
            assert_eq!((answer.reply.status, answer.hashes), (status, 0), "{name}: {event:?}: {answer:?}");
            assert!(is_page(&answer.reply) && answer.reply.cookies.is_empty(), "{name}: {event:?}: {answer:?}");
        }
        world.restore();
    }
}

/// A form is the same as text and as base64, with and without a charset, with `+` or `%20`, and up to 8 KiB.
#[tokio::test]
async fn every_spelling_of_a_form_signs_in() {
    let world = World::new().await;
    let service = world.service();
    let change = "currentPassword=1234&newPassword=%70aper%20boats+in+the+r%C3%A9in+%2B+%26+%3D+%ED%95%9C%25";
    let changed = service.send(&world.request("password form").form_body(change), NOW).await.reply;
    assert_eq!(changed.header("location"), Some("/userinfo?notice=password-changed"));
    let form = "userId=+kimcoding%20&password=paper+boats+in+the+r%c3%a9in%20%2b+%26%20%3d+%ED%95%9C%25&";
    let padded = format!("{form}checkedKeepLogin=on{}", "&".repeat(8192 - form.len() - "checkedKeepLogin=on".len()));
    for event in [
        world.request("sign-in form").form_body(form),
        world
            .request("sign-in form")
            .form_body(form)
            .header("content-type", "Application/X-WWW-Form-Urlencoded;charset=utf-8"),
        world.request("sign-in form").form_body(form).with("/body", json!(form)).with("/isBase64Encoded", json!(false)),
        world.request("sign-in form").form_body(padded),
        world.request("sign-in form").form_body(form.replace("kimcoding", "%EF%BC%ABIMCODING")),
    ] {
        let reply = service.send(&event, NOW).await.reply;
        assert_eq!((reply.status, reply.header("location")), (302, Some("/userinfo")), "{event:?}: {reply:?}");
    }
}

/// A form keeps a Korean login name, and everything else that a person types.
#[tokio::test]
async fn what_a_person_types_comes_back_as_text() {
    let world = World::new().await;
    let service = world.service();
    for (typed, shown) in [
        ("%EA%B9%80%EC%BD%94%EB%94%A9", "value=\"김코딩\""),
        ("a+b%2Bc", "value=\"a b+c\""),
        ("%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", "value=\"&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;\""),
        ("%22+onfocus%3D%22alert(1)", "value=\"&#34; onfocus=&#34;alert(1)\""),
        ("%27%26amp%3B%60", "value=\"&#39;&#38;amp;`\""),
    ] {
        let event =
            world.request("sign-in form").form_body(format!("userId={typed}&password=4321&checkedKeepLogin=true"));
        let reply = service.send(&event, NOW).await.reply;
        assert_eq!((reply.status, is_page(&reply)), (401, true), "{typed}");
        assert!(reply.body().contains(shown), "{typed}: {}", reply.body());
        assert!(reply.body().contains(" checked>") && !reply.body().contains("4321"), "{typed}");
    }
}

/// Texts that would break out of a page.
const INJECTIONS: [&str; 4] =
    ["<script>canary()</script>", "\"><img src=x onerror=canary()>", "'><svg onload=canary()>", "</title><!--canary"];

/// No page has markup of a user, of a stored record or of a request (OWASP, Cross-Site Scripting).
#[tokio::test]
async fn no_page_has_markup_of_a_user_or_a_request() {
    let world = World::new().await;
    let service = world.service();
    for text in INJECTIONS {
        for field in ["name", "position", "location", "bio"] {
            world.change("user#0", |user| user[field] = json!({ "S": text }));
        }
        world.change("user#0", |user| user["roles"] = json!({ "L": [{ "S": text }] }));
        world.change("session", |session| session["user_agent"] = json!({ "S": text }));
        world.change("session", |session| session["source_ip"] = json!({ "S": text }));
        let encoded = url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let query = format!(
            "return_to=%2Fa%3F{encoded}&lang={encoded}&notice={encoded}&sessions={encoded}&hop={encoded}&{encoded}=1"
        );
        for (name, _) in PAGES {
            let good = world.request(name);
            let elsewhere = good.clone().without_cookies().header("sec-fetch-site", "cross-site");
            for event in [
                good.clone(),
                good.clone().query(&query),
                good.clone().query(&query.replacen("return_to", "x", 1)),
                elsewhere.clone(),
                elsewhere.clone().query(&query),
                elsewhere.query(&query.replacen("return_to", "x", 1)),
                good.clone().header("user-agent", text).header("accept-language", text).header("referer", text),
                good.clone().header("content-encoding", text).header("origin", text),
                good.clone().form_body(format!("userId={encoded}&password={encoded}&{encoded}={encoded}")),
                good.clone().form_body(format!("userId={encoded}&password=4321")),
                good.form_body(format!("id={encoded}")),
            ] {
                let reply = service.send(&event, NOW).await.reply;
                let body = reply.body();
                assert!(!body.contains(text), "{name}: {event:?}: {body}");
                for tag in ["<script>canary", "<img", "<svg onload", "<!--"] {
                    assert!(!body.contains(tag), "{name}: {event:?}: {tag}");
                }
                let location = reply.header("location").unwrap_or_default();
                assert!(!location.contains(['<', '"', '\'']), "{name}: {event:?}: {location}");
            }
        }
        world.restore();
    }
}

/// Whatever `return_to` is, the sign-in leads to our own origin or to an allowed one.
#[tokio::test]
async fn a_sign_in_never_leads_to_another_origin() {
    let world = World::new().await;
    let service = world.service();
    let base = url::Url::parse("https://auth.example.com/login").unwrap();
    let ours = [base.origin().ascii_serialization(), "https://localhost:3000".to_owned()];
    let (mut led, mut refused) = (0, 0);
    for address in [
        "/",
        "/shop?a=b#c",
        "/프로필",
        "/a/../../b",
        "/%2f%2fevil.example",
        "https://localhost:3000",
        "https://localhost:3000/x?y#z",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/a//evil.example",
        "/.//evil.example",
        "https://evil.example",
        "https:evil.example",
        "https://localhost:3000@evil.example",
        "https://localhost:3000.evil.example",
        "https://localhost:30000",
        "javascript:alert(1)",
        "/\r\nset-cookie: x=y",
        "",
    ] {
        let encoded = url::form_urlencoded::byte_serialize(address.as_bytes()).collect::<String>();
        for name in ["sign-in form", "sign-in page", "account page"] {
            let reply = service.send(&world.request(name).query(&format!("return_to={encoded}")), NOW).await.reply;
            if reply.status == 400 {
                assert!(is_page(&reply) && reply.cookies.is_empty(), "{name}: {address}: {reply:?}");
                refused += 1;
                continue;
            }
            assert_eq!(reply.status, if name == "account page" { 303 } else { status_of(name) }, "{name}: {address}");
            if let Some(location) = reply.header("location") {
                let target = base.join(location).unwrap();
                assert!(ours.contains(&target.origin().ascii_serialization()), "{name}: {address}: {target}");
                led += 1;
            }
        }
    }
    assert!(led >= 12 && refused >= 36, "{led} {refused}");
    let twice = world.request("sign-in page").query("return_to=%2Fa&return_to=%2Fb");
    assert_eq!(service.send(&twice, NOW).await.reply.status, 400);
}

/// A link on another site leads to us without our cookies. The person is not shown a sign-in form, but led to the same
/// address once more.
#[tokio::test]
async fn a_link_on_another_site_leads_to_the_same_address_once_more() {
    let world = World::new().await;
    let service = world.service();
    let from_elsewhere = |event: Event| event.without_cookies().header("sec-fetch-site", "cross-site");
    // Of the query, only the address to which the visitor returns comes along.
    for (name, query, target) in [
        ("sign-in page", "", "/login?hop=1"),
        ("sign-in page", "return_to=%2Fshop%3Fa%3Db&lang=ko", "/login?return_to=%2Fshop%3Fa%3Db&#38;hop=1"),
        ("account page", "", "/userinfo?hop=1"),
        ("account page", "sessions=all&notice=others-ended", "/userinfo?hop=1"),
    ] {
        let reply = service.send(&from_elsewhere(world.request(name)).query(query), NOW).await.reply;
        let target = format!("content=\"0;url={target}\"");
        assert!(reply.status == 200 && reply.cookies.is_empty() && reply.body().contains(&target), "{reply:?}");
        assert!(!reply.body().contains("<form"), "{name}");
        // The second request still belongs to the link if the browser reloads it. It gets no third page.
        let second = from_elsewhere(world.request(name)).query("hop=1");
        let expected = if name == "sign-in page" { (200, None) } else { (302, Some("/login")) };
        let reply = service.send(&second, NOW).await.reply;
        assert_eq!((reply.status, reply.header("location")), expected, "{name}");
        assert!(!reply.body().contains("http-equiv"), "{name}");
    }
    // A request of a script or an image gets the same verdict as without the headers of a navigation.
    let start = service.send(&from_elsewhere(world.request("start")), NOW).await.reply;
    assert_eq!((start.status, start.header("location")), (303, Some("/userinfo")));
}

/// F05: after a renewal, the new tokens reach the browser also if the list of sessions cannot be read.
#[tokio::test]
async fn a_renewal_reaches_the_browser_even_if_the_sessions_cannot_be_listed() {
    let world = World::new().await;
    let faults = [testbed::Fault::Refuse(400, "ThrottlingException"); 9];
    let env = shared::config::Environment::new(world.tables.failing(&[("Query", &faults)]).await);
    let failing = crate::world::Service::new(env);
    let reply = failing.send(&world.request("account page, renewing"), NOW).await.reply;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/userinfo")));
    let names: Vec<_> = reply.cookies.iter().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["access_jwt", "refresh_jwt"]);
    let token = reply.cookie("access_jwt").unwrap().to_owned();
    let page = world.request("account page").cookies([format!("access_jwt={token}")]);
    assert_eq!(world.service().send(&page, NOW).await.reply.status, 200);
}

/// The table of requests is complete: each page route of the template has one.
#[test]
fn every_route_has_a_request() {
    let world_routes: std::collections::BTreeSet<_> = all_events()
        .map(|event| event.payload()["routeKey"].as_str().unwrap().to_owned())
        .chain(["HEAD /userinfo".to_owned()])
        .collect();
    let routes = testbed::workspace::template().routes();
    let routes: std::collections::BTreeSet<_> =
        routes.into_iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(world_routes, routes);
    assert_eq!(PAGES.iter().chain(&REQUESTS).filter(|(name, _)| not_signed_in(name).is_none()).count(), 6);
}

/// Returns the events of all routes.
fn all_events() -> impl Iterator<Item = Event> {
    let files = std::fs::read_dir(testbed::workspace::root().join("events")).unwrap();
    let names = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "authorizer").map(|name| Event::recorded(&name))
}
