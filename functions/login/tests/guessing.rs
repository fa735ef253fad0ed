//! Guessing passwords: what it costs, what it tells, and whom it locks out.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use login::Login;
use serde_json::{Value, json};
use shared::attempts::{Attempt, Attempts, Way};
use shared::authentication::Authentication;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::Error;
use shared::store::{Budget, Client};
use shared::users::Account;
use shared::{http, store};
use testbed::{Calls, Event, Fault, Log, Reply, Tables};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// Tables with kim in them, and a function over them.
struct World {
    tables: Tables,
    config: Config,
    login: Login,
}

impl World {
    async fn new(changes: &[(&str, &str)]) -> Self {
        let tables = Tables::new().await;
        let config = Config::from_lookup(tables.settings(changes)).unwrap();
        testbed::add_kim(&config).await;
        let login = login(&config, store::connect(&config));
        Self { tables, config, login }
    }

    async fn send(&self, event: &Event, now: Timestamp) -> Reply {
        event.send(&mut http::service(&self.config.allowed_origins, |request| self.login.handle(request, now))).await
    }

    async fn guess(&self, name: &str, password: &str, now: Timestamp) -> Reply {
        self.send(&form(name, password), now).await
    }

    fn hashes(&self) -> u64 {
        self.login.authentication.hasher.evaluations()
    }

    /// The tallies of the lanes whose names begin like this.
    fn tallies(&self, lane: &str) -> Vec<Value> {
        let mut items = self.tables.items("AttemptsTable");
        items.retain(|item| item["lane"]["S"].as_str().unwrap().starts_with(lane));
        items
    }

    /// Writes down that so many have failed by `now`, in the only lane that begins like this.
    fn have_failed(&self, lane: &str, failures: u32, now: Timestamp) {
        let mut item = self.tallies(lane).remove(0);
        item["failures"] = json!({ "N": failures.to_string() });
        item["at"] = json!({ "N": now.as_secs().to_string() });
        self.tables.put("AttemptsTable", &item);
    }
}

fn login(config: &Config, client: Client) -> Login {
    Login::new(client, config).unwrap()
}

fn form(name: &str, password: &str) -> Event {
    let body = json!({ "loginInfo": { "userId": name, "password": password }, "checkedKeepLogin": true });
    Event::recorded("login").body(body.to_string())
}

fn from(source_ip: &str, event: &Event) -> Event {
    event.clone().with("/requestContext/http/sourceIp", json!(source_ip))
}

/// Status and when to come back.
fn verdict(reply: &Reply) -> (u16, Option<&str>) {
    assert_eq!(reply.cookies.is_empty(), reply.status != 302);
    (reply.status, reply.header("retry-after"))
}

/// R17, R23: for a name that exists and for one that was made up, to the last byte.
#[tokio::test]
async fn the_sixth_wrong_password_in_a_row_has_to_wait_and_is_not_even_hashed() {
    let world = World::new(&[]).await;
    let mut told = Vec::new();
    for name in ["kimcoding", "nobody", "two words", ""] {
        let before = world.hashes();
        for _ in 0..5 {
            assert_eq!(verdict(&world.guess(name, "4321", NOW).await), (401, None), "{name:?}");
        }
        let refused = world.guess(name, "4321", NOW).await;
        assert_eq!((verdict(&refused), world.hashes() - before), ((429, Some("1")), 5), "{name:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        told.push(format!("{refused:?}"));
    }
    assert!(told.iter().all(|reply| *reply == told[0]), "{told:?}");
}

/// R20: each further one waits twice as long, and whoever comes too early has not tried.
#[tokio::test]
async fn each_further_wrong_password_waits_twice_as_long() {
    let world = World::new(&[]).await;
    for _ in 0..5 {
        world.guess("kimcoding", "4321", NOW).await;
    }
    let mut now = 0;
    for wait in [1, 2, 4, 8] {
        for early in [0, wait - 1] {
            let left = (wait - early).to_string();
            assert_eq!(
                verdict(&world.guess("kimcoding", "1234", after(now + early)).await),
                (429, Some(left.as_str()))
            );
        }
        now += wait;
        assert_eq!(verdict(&world.guess("kimcoding", "4321", after(now)).await), (401, None));
    }
    assert_eq!(verdict(&world.guess("KimCoding", "1234", after(now + 16)).await).0, 302, "and is then let in");
    for _ in 0..5 {
        assert_eq!(verdict(&world.guess("kimcoding", "4321", after(now + 16)).await), (401, None), "from the start");
    }
}

/// R20: also for whoever has the right password, until an operator has looked at it.
#[tokio::test]
async fn after_a_hundred_wrong_passwords_in_a_row_none_is_right_until_it_is_reset() {
    let world = World::new(&[]).await;
    let wrong = world.guess("kimcoding", "4321", NOW).await;
    world.have_failed("account#", 99, NOW);
    let log = Log::start();
    assert_eq!(verdict(&world.guess("kimcoding", "4321", after(900)).await), (401, None));
    let alarm = log.events("password_disabled").remove(0);
    assert_eq!((&alarm["level"], &alarm["user"]), (&json!("ERROR"), &json!("0")));
    let lane = alarm["lane"].as_str().unwrap();

    let before = world.hashes();
    let right = world.guess("kimcoding", "1234", after(1800)).await;
    assert_eq!((format!("{right:?}"), world.hashes() - before), (format!("{wrong:?}"), 1), "refused after a hash");
    assert_eq!(verdict(&world.guess("kimcoding", "1234", after(1801)).await), (429, Some("899")));
    assert!(world.tallies("account#")[0].get("ttl").is_none(), "DynamoDB does not forget it either");
    let years = 10 * 365 * 86_400;
    assert_eq!(verdict(&world.guess("kimcoding", "1234", after(years)).await), (401, None));

    world.tables.delete("AttemptsTable", &json!({ "lane": { "S": lane } }));
    assert_eq!(verdict(&world.guess("kimcoding", "1234", after(1802)).await).0, 302, "what the alarm says, done");
    assert!(world.tallies("account#").is_empty());
}

/// R20: also where it takes few of them, whose waits are short.
#[tokio::test]
async fn what_is_disabled_stays_so_however_low_the_number_is() {
    let world = World::new(&[("DISABLE_AFTER", "10")]).await;
    world.guess("kimcoding", "4321", NOW).await;
    world.have_failed("account#", 10, NOW);
    for (now, status) in [(900, 401), (900 + 30 * 86_400, 401), (900 + 400 * 86_400, 401)] {
        assert_eq!(world.guess("kimcoding", "1234", after(now)).await.status, status, "{now}");
    }
}

/// R20: the alarm is how an operator learns of it, so no single request may lose it.
#[tokio::test]
async fn the_alarm_is_repeated_as_long_as_somebody_tries() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    world.have_failed("account#", 101, NOW);
    let log = Log::start();
    world.guess("kimcoding", "4321", after(900)).await;
    assert_eq!(log.events("password_disabled").len(), 1);
}

/// What is not needed any more goes by itself.
#[tokio::test]
async fn a_tally_has_a_time_to_live() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    assert_eq!(world.tallies("account#")[0]["ttl"]["N"], after(30 * 86_400).as_secs().to_string());
    assert_eq!(world.tallies("source#")[0]["ttl"]["N"], after(36).as_secs().to_string());
}

#[tokio::test]
async fn the_hundredth_password_may_still_be_right() {
    let world = World::new(&[]).await;
    world.guess("kimcoding", "4321", NOW).await;
    world.have_failed("account#", 99, NOW);
    assert_eq!(verdict(&world.guess("kimcoding", "1234", after(900)).await).0, 302);
}

/// R21: of 200, sixteen at a time: one thread has no time for more within what a request may take.
#[tokio::test]
async fn two_hundred_guesses_cost_five_hashes_however_many_come_at_once() {
    for name in ["kimcoding", "nobody"] {
        let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "0")]).await;
        let guesses = (0..200).map(|_| world.guess(name, "4321", NOW));
        let replies: Vec<_> = stream::iter(guesses).buffer_unordered(16).collect().await;
        assert_eq!(world.hashes(), 5);
        assert_eq!(replies.iter().filter(|reply| verdict(reply) == (401, None)).count(), 5);
        assert_eq!(replies.iter().filter(|reply| verdict(reply) == (429, Some("1"))).count(), 195);
        assert_eq!(world.tallies("account#")[0]["failures"]["N"], "5");
    }
}

/// R21: the worst that can happen: all have looked before the first one is counted.
#[tokio::test]
async fn of_two_hundred_that_were_admitted_at_once_five_are_let_through() {
    let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "0")]).await;
    let attempts = world.login.authentication.attempts.as_ref().unwrap();
    let attempt = Attempt { account: &Account::named("kimcoding"), way: Way::Outside, source_ip: None };
    let mut admitted = Vec::new();
    for _ in 0..200 {
        admitted.push(attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap());
    }
    let reserved = admitted.into_iter().map(|admission| async {
        match attempts.reserve(admission, NOW, &Budget::new(None)).await {
            Ok(_) => true,
            Err(Error::TooManyAttempts { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    });
    let reserved: Vec<_> = stream::iter(reserved).buffer_unordered(16).collect().await;
    assert_eq!(reserved.iter().filter(|was_let_through| **was_let_through).count(), 5);
}

/// R22: whoever locks the account from outside does not lock out its owner, who has been here before.
#[tokio::test]
async fn a_known_device_gets_in_while_others_have_locked_the_account() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = format!("device={}", signed_in.cookie("device").unwrap());
    let line = signed_in.cookies.iter().find(|line| line.starts_with("device=")).unwrap();
    assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Strict; Domain=localhost; Max-Age=15552000; Expires="));

    for _ in 0..6 {
        world.guess("kimcoding", "4321", after(10)).await;
    }
    let right = form("kimcoding", "1234");
    assert_eq!(verdict(&world.send(&right, after(10)).await), (429, Some("1")), "anybody else");
    let again = world.send(&right.clone().cookies([&device]), after(10)).await;
    assert_eq!(verdict(&again).0, 302);
    assert_eq!(verdict(&world.send(&right, after(10)).await), (429, Some("1")), "and the others are still locked out");
    let renewed = again.cookie("device").unwrap();
    assert_ne!(device, format!("device={renewed}"), "lasts as long again");
    assert_eq!(device["device=".len()..].split('.').next(), renewed.split('.').next(), "and is the same device");

    testbed::add_park(&world.config).await;
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(world.send(&form("parkhacker", "4321").cookies([&device]), after(10)).await.status);
    }
    assert_eq!(others, [401, 401, 401, 401, 401, 429]);
    assert_eq!(world.tallies("device#").len(), 0, "somebody else's device is no device");
}

/// R22: each device has its own, and one that was stolen locks no other.
#[tokio::test]
async fn one_device_does_not_lock_another() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        let signed_in = world.guess("kimcoding", "1234", NOW).await;
        devices.push([format!("device={}", signed_in.cookie("device").unwrap())]);
    }
    for _ in 0..6 {
        world.send(&form("kimcoding", "4321").cookies(&devices[0]), NOW).await;
    }
    assert_eq!(verdict(&world.send(&form("kimcoding", "1234").cookies(&devices[0]), NOW).await).0, 429);
    assert_eq!(verdict(&world.send(&form("kimcoding", "1234").cookies(&devices[1]), NOW).await).0, 302);
}

/// R22: whoever once knew the password has not collected guesses at the next one.
#[tokio::test]
async fn a_change_of_password_makes_every_device_unknown() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let mut devices = Vec::new();
    for _ in 0..6 {
        let signed_in = world.guess("kimcoding", "1234", NOW).await;
        devices.push([format!("device={}", signed_in.cookie("device").unwrap())]);
    }
    for mut item in world.tables.items("UsersTable") {
        if item.get("password_version").is_some() {
            item["password_version"] = json!({ "N": "2" });
            world.tables.put("UsersTable", &item);
        }
    }
    let before = world.hashes();
    for device in &devices {
        world.send(&form("kimcoding", "4321").cookies(device), NOW).await;
        world.send(&form("kimcoding", "4321").cookies(device), NOW).await;
    }
    assert_eq!((world.hashes() - before, world.tallies("device#").len()), (5, 0), "all of them are anybody");
    let again = world.send(&form("kimcoding", "1234").cookies(&devices[0]), after(900)).await;
    let device = [format!("device={}", again.cookie("device").unwrap())];
    assert_ne!(device[0].split('.').next(), devices[0][0].split('.').next(), "and begin anew");
    assert_eq!(verdict(&world.send(&form("kimcoding", "1234").cookies(&device), after(900)).await).0, 302);
}

/// R22: also what others behind the same address have used up.
#[tokio::test]
async fn a_known_device_gets_in_while_others_have_used_up_what_its_address_has() {
    let world = World::new(&[("DEVICE_COOKIE", "on"), ("SOURCE_FAILURES_PER_HOUR", "3")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = [format!("device={}", signed_in.cookie("device").unwrap())];
    for name in 0..3 {
        assert_eq!(verdict(&world.guess(&format!("name{name}"), "4321", NOW).await), (401, None));
    }
    assert_eq!(verdict(&world.guess("kimcoding", "1234", NOW).await), (429, Some("1200")));
    assert_eq!(verdict(&world.send(&form("kimcoding", "1234").cookies(&device), NOW).await).0, 302);
    assert_eq!(verdict(&world.guess("kimcoding", "1234", NOW).await), (429, Some("1200")), "and takes nothing back");
}

/// R22: a device has a count of its own, so a stolen cookie is worth five guesses and then as little as none.
#[tokio::test]
async fn the_wrong_passwords_of_a_device_are_its_own() {
    let world = World::new(&[("DEVICE_COOKIE", "on")]).await;
    let signed_in = world.guess("kimcoding", "1234", NOW).await;
    let device = [format!("device={}", signed_in.cookie("device").unwrap())];
    for _ in 0..5 {
        assert_eq!(verdict(&world.send(&form("kimcoding", "4321").cookies(&device), NOW).await), (401, None));
    }
    assert_eq!(verdict(&world.send(&form("kimcoding", "1234").cookies(&device), NOW).await), (429, Some("1")));
    assert_eq!(verdict(&world.guess("kimcoding", "1234", NOW).await).0, 302, "without it there are five more");
}

/// The contract: a login that is not kept sets the access cookie and nothing else.
#[tokio::test]
async fn a_device_is_marked_only_for_somebody_who_is_kept_signed_in() {
    let world = World::new(&[("DEVICE_COOKIE", "on"), ("COOKIE_DOMAIN", "")]).await;
    let body = json!({ "loginInfo": { "userId": "kimcoding", "password": "1234" } });
    let brief = world.send(&Event::recorded("login").body(body.to_string()), NOW).await;
    assert_eq!((brief.status, brief.cookies.len()), (302, 1));
    let kept = world.guess("kimcoding", "1234", NOW).await;
    assert!(kept.cookies.len() == 3 && kept.cookie("__Host-device").is_some(), "{:?}", kept.cookies);
}

/// R24: a hundred at once, a hundred an hour, whoever they were for; and only those that failed.
#[tokio::test]
async fn one_source_that_tries_one_password_on_many_names_is_slowed_down() {
    let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "8")]).await;
    for _ in 0..20 {
        assert_eq!(verdict(&world.guess("kimcoding", "1234", NOW).await).0, 302, "successes are not counted");
    }
    let log = Log::start();
    for name in 0..8 {
        assert_eq!(verdict(&world.guess(&format!("name{name}"), "4321", NOW).await), (401, None));
    }
    assert_eq!(log.events("login_failed").len(), 8, "each is logged once");
    for (name, password) in [("name8", "4321"), ("kimcoding", "1234")] {
        assert_eq!(verdict(&world.guess(name, password, NOW).await), (429, Some("450")));
        assert_eq!(verdict(&world.guess(name, password, after(449)).await), (429, Some("1")));
    }
    let elsewhere = from("203.0.113.8", &form("kimcoding", "1234"));
    assert_eq!(verdict(&world.send(&elsewhere, NOW).await).0, 302);
    assert_eq!(verdict(&world.guess("name9", "4321", after(450)).await), (401, None));
}

/// R24: of all that come at once, one gets the place that is left; and what is refused for its source is not held against
/// the account.
#[tokio::test]
async fn the_last_place_of_a_source_is_taken_once() {
    for (failed_before, now) in [(0, NOW), (1, after(3600))] {
        let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "1")]).await;
        for _ in 0..failed_before {
            assert_eq!(world.guess("somebody", "4321", NOW).await.status, 401);
        }
        let attempts = world.login.authentication.attempts.as_ref().unwrap();
        let names: Vec<_> = (0..20).map(|name| format!("name{name}")).collect();
        let mut admitted = Vec::new();
        for name in &names {
            let attempt = Attempt { account: &Account::named(name), way: Way::Outside, source_ip: Some("203.0.113.7") };
            admitted.push(attempts.admit(attempt, now, &Budget::new(None)).await.unwrap());
        }
        let reserved = admitted
            .into_iter()
            .map(|admission| async { attempts.reserve(admission, now, &Budget::new(None)).await.is_ok() });
        let reserved: Vec<_> = stream::iter(reserved).buffer_unordered(16).collect().await;
        assert_eq!(reserved.iter().filter(|was_let_through| **was_let_through).count(), 1);
        assert_eq!(world.tallies("account#").len(), 1 + failed_before, "19 accounts are untouched");
    }
}

/// F02: what could not be counted for the account is not held against the source.
#[tokio::test]
async fn an_outage_of_the_second_count_takes_back_the_first() {
    let world = World::new(&[]).await;
    world.guess("somebody", "4321", NOW).await;
    let counted = world.tallies("source#");
    let attempts = world.login.authentication.attempts.as_ref().unwrap();
    let account = Account::named("kimcoding");
    let attempt = Attempt { account: &account, way: Way::Outside, source_ip: Some("203.0.113.7") };
    let admitted = attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap();
    for _ in 0..5 {
        let elsewhere = from("203.0.113.8", &form("kimcoding", "4321"));
        assert_eq!(world.send(&elsewhere, NOW).await.status, 401);
    }
    let refused = attempts.reserve(admitted, NOW, &Budget::new(None)).await.map(drop);
    assert!(matches!(refused, Err(Error::TooManyAttempts { .. })), "{refused:?}");
    assert_eq!(world.tallies("source#203.0.113.7")[0]["failures"], counted[0]["failures"]);
}

/// F09: what a success takes back from a source is taken back once, though nobody said so.
#[tokio::test]
async fn a_success_whose_acknowledgement_was_lost_takes_back_one() {
    let world = World::new(&[]).await;
    for name in ["name0", "name1"] {
        world.guess(name, "4321", NOW).await;
    }
    let counted = world.tallies("source#");
    let lost = world.tables.failing(&[("UpdateItem", &[Fault::LoseReply])]).await;
    let config = Config::from_lookup(lost).unwrap();
    let login = login(&config, store::connect(&config));
    let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
    assert_eq!(verdict(&form("kimcoding", "1234").send(&mut service).await).0, 302);
    assert_eq!(world.tallies("source#")[0]["failures"], counted[0]["failures"]);
}

/// R24: one customer has all the addresses of an IPv6 network.
#[tokio::test]
async fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
    let world = World::new(&[]).await;
    for (source_ip, lane) in [
        ("203.0.113.7", Some("source#203.0.113.7")),
        ("::ffff:203.0.113.7", Some("source#203.0.113.7")),
        ("2001:db8:1:2:3:4:5:6", Some("source#2001:db8:1:2::/64")),
        ("2001:DB8:1:2::1", Some("source#2001:db8:1:2::/64")),
        ("2001:db8:1:3::1", Some("source#2001:db8:1:3::/64")),
        ("nonsense", None),
    ] {
        world.tables.items("AttemptsTable").iter().for_each(|item| {
            world.tables.delete("AttemptsTable", &json!({ "lane": item["lane"] }));
        });
        world.send(&from(source_ip, &form("kimcoding", "4321")), NOW).await;
        let lanes = world.tallies("source#");
        assert_eq!(lanes.first().map(|item| item["lane"]["S"].as_str().unwrap()), lane, "{source_ip}");
    }
}

/// R25.
#[tokio::test]
async fn a_source_cannot_give_itself_another_address() {
    let world = World::new(&[]).await;
    let spoofed = form("kimcoding", "4321").header("x-forwarded-for", "1.2.3.4").header("x-real-ip", "1.2.3.4");
    world.send(&spoofed, NOW).await;
    assert_eq!(world.tallies("source#")[0]["lane"]["S"], "source#203.0.113.7");
}

/// R24: of all failures together there is an alarm, and nobody is refused for them.
#[tokio::test]
async fn many_failures_in_a_minute_raise_an_alarm_and_refuse_nobody() {
    let world = World::new(&[("ALARM_FAILURES_PER_MINUTE", "12")]).await;
    let log = Log::start();
    for name in 0..12 {
        assert!(log.events("guessing_alarm").is_empty(), "{name}");
        let source_ip = format!("203.0.113.{name}");
        let reply = world.send(&from(&source_ip, &form(&format!("name{name}"), "4321")), NOW).await;
        assert_eq!(verdict(&reply), (401, None));
    }
    let alarms = log.events("guessing_alarm");
    let shards = world.tallies("minute#30000000#");
    assert!(alarms.len() == 1 && alarms[0]["level"] == "ERROR", "{alarms:?}");
    let counted: u32 = shards.iter().map(|item| item["failures"]["N"].as_str().unwrap().parse::<u32>().unwrap()).sum();
    assert_eq!(counted, 12);
    assert!(shards.iter().all(|item| item["ttl"]["N"] == "1800003600"));
}

/// R17, R18, R19: no name can be told from another by what is answered, read, written or hashed.
#[tokio::test]
async fn every_refusal_is_the_same_and_costs_the_same() {
    let world = World::new(&[]).await;
    let bcrypt = "$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
    testbed::import(&world.config, "imported", bcrypt).await;
    testbed::import(&world.config, "malformed", "$argon2id$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g").await;
    testbed::import(&world.config, "disabled", bcrypt).await;
    let mut disabled =
        world.tables.items("UsersTable").into_iter().find(|item| item["pk"]["S"] == "user#disabled").unwrap();
    disabled["disabled"] = json!({ "BOOL": true });
    world.tables.put("UsersTable", &disabled);
    testbed::import(&world.config, "locked", bcrypt).await;
    world.guess("locked", "4321", NOW).await;
    world.have_failed("account#", 100, after(0));

    let (client, calls) = Calls::of(&store::connect(&world.config));
    let login = login(&world.config, client);
    let mut service = http::service(&world.config.allowed_origins, |request| login.handle(request, after(900)));
    let mut told = Vec::new();
    for (name, password) in [
        ("kimcoding", "4321"),
        ("kimcoding", ""),
        ("nobody", "4321"),
        ("two words", "4321"),
        ("", ""),
        ("imported", "4321"),
        ("malformed", "4321"),
        ("disabled", "4321"),
        ("disabled", "password"),
        ("locked", "password"),
    ] {
        let before = login.authentication.hasher.evaluations();
        let reply = form(name, password).send(&mut service).await;
        let hashes = login.authentication.hasher.evaluations() - before;
        assert_eq!((reply.status, reply.body(), hashes), (401, "Not Authorized", 1), "{name:?}");
        assert_eq!(
            calls.take(),
            ["BatchGetItem", "GetItem", "GetItem", "PutItem", "PutItem", "UpdateItem"],
            "{name:?}"
        );
        told.push(format!("{reply:?}"));
    }
    assert!(told.iter().all(|reply| *reply == told[0]), "{told:?}");
}

/// F37: a locked account costs one read, whatever is sent to it; and nobody else notices.
#[tokio::test]
async fn while_an_account_is_locked_nothing_is_written() {
    let world = World::new(&[]).await;
    for _ in 0..5 {
        world.guess("kimcoding", "4321", NOW).await;
    }
    let before = world.tables.items("AttemptsTable");
    let (client, calls) = Calls::of(&store::connect(&world.config));
    let login = login(&world.config, client);
    let mut service = http::service(&world.config.allowed_origins, |request| login.handle(request, NOW));
    for _ in 0..20 {
        assert_eq!(form("kimcoding", "1234").send(&mut service).await.status, 429);
        assert_eq!(calls.take(), ["BatchGetItem"]);
    }
    assert_eq!(world.tables.items("AttemptsTable"), before);
    assert_eq!(login.authentication.hasher.evaluations(), 0);
    testbed::add_park(&world.config).await;
    assert_eq!(verdict(&form("parkhacker", "5678").send(&mut service).await).0, 302);
}

/// F02: what is not known is not counted against anybody.
#[tokio::test]
async fn an_outage_counts_no_failure_and_runs_no_hash() {
    let world = World::new(&[]).await;
    let throttled = Fault::Refuse(400, "ProvisionedThroughputExceededException");
    for operation in ["BatchGetItem", "GetItem", "PutItem"] {
        for fault in [throttled, Fault::Stall] {
            let config = Config::from_lookup(world.tables.failing(&[(operation, &[fault; 9])]).await).unwrap();
            let login = login(&config, store::connect(&config));
            let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
            let outage = form("kimcoding", "1234").send(&mut service).await;
            assert_eq!(verdict(&outage), (503, Some("1")), "{operation} {fault:?}");
            assert_eq!(login.authentication.hasher.evaluations(), 0, "{operation} {fault:?}");
        }
    }
    assert!(world.tables.items("AttemptsTable").is_empty());
}

/// F01.
#[tokio::test]
async fn a_table_that_is_busy_once_is_asked_again() {
    let busy = [Fault::Refuse(400, "ProvisionedThroughputExceededException")];
    for operation in ["BatchGetItem", "GetItem", "PutItem", "DeleteItem"] {
        let world = World::new(&[]).await;
        let config = Config::from_lookup(world.tables.failing(&[(operation, &busy)]).await).unwrap();
        let login = login(&config, store::connect(&config));
        let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
        let started = Instant::now();
        assert_eq!(verdict(&form("kimcoding", "1234").send(&mut service).await).0, 302, "{operation}");
        assert!(started.elapsed() < Duration::from_secs(1), "{operation}");
        assert!(world.tallies("account#").is_empty(), "{operation}");
    }
}

/// What `docs/passwords.md` says that a login costs, as DynamoDB counts it.
#[tokio::test]
async fn a_login_costs_what_its_page_says() {
    let world = World::new(&[]).await;
    let (settings, meter) = world.tables.metered().await;
    let config = Config::from_lookup(settings).unwrap();
    let login = login(&config, store::connect(&config));
    let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
    let page = include_str!("../../../docs/passwords.md");
    for (what, password, again) in [("signed in", "1234", 1), ("a wrong password", "4321", 1), ("too early", "4321", 5)]
    {
        for _ in 0..again {
            drop(meter.take());
            form("kimcoding", password).send(&mut service).await;
        }
        let calls = meter.take();
        let units = |is_read: bool| -> f64 {
            let counted = calls.iter().filter(|(operation, _)| operation.contains("Get") == is_read);
            counted.fold(0.0, |sum, (_, units)| sum + units)
        };
        let operations: Vec<_> = calls.iter().map(|(operation, _)| format!("`{operation}`")).collect();
        let row = format!("| {what} | {} | {} | {} |", operations.join(", "), units(true), units(false));
        assert!(page.contains(&row), "{row}");
    }
}

/// F09: of a count whose acknowledgement was lost: once too many, never one too few.
#[tokio::test]
async fn a_count_whose_acknowledgement_was_lost_counts_twice_at_the_most() {
    let world = World::new(&[("SOURCE_FAILURES_PER_HOUR", "0")]).await;
    let lost = [("PutItem", &[Fault::LoseReply][..]), ("UpdateItem", &[Fault::LoseReply])];
    let mut config = Config::from_lookup(world.tables.failing(&lost).await).unwrap();
    config.source_failures_per_hour = 0;
    let login = login(&config, store::connect(&config));
    let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
    assert_eq!(verdict(&form("kimcoding", "4321").send(&mut service).await), (401, None));
    assert_eq!(world.tallies("account#")[0]["failures"]["N"], "2");
}

/// A password that is right stays so where that cannot be written down.
#[tokio::test]
async fn an_outage_after_the_right_password_keeps_nobody_out() {
    let world = World::new(&[]).await;
    for (fault, reported) in [(Fault::Refuse(400, "AccessDeniedException"), 2), (Fault::Stall, 1)] {
        let failing = world.tables.failing(&[("DeleteItem", &[fault; 9]), ("UpdateItem", &[fault; 9])]).await;
        let config = Config::from_lookup(failing).unwrap();
        let login = login(&config, store::connect(&config));
        let mut service = http::service(&config.allowed_origins, |request| login.handle(request, NOW));
        let log = Log::start();
        assert_eq!(verdict(&form("kimcoding", "1234").send(&mut service).await).0, 302, "{fault:?}");
        assert_eq!(log.events("success_counts_as_failed").len(), reported, "{fault:?}");
    }
}

/// F30: Lambda stops the function in the middle of a hash.
#[tokio::test]
async fn an_attempt_that_was_cut_off_stays_counted_and_opens_no_session() {
    let world = World::new(&[("PASSWORD_CHECK_MS", "3000")]).await;
    let cut_off = tokio::time::timeout(Duration::from_secs(1), world.guess("kimcoding", "1234", NOW)).await;
    assert!(cut_off.is_err() && world.hashes() == 1);
    assert_eq!(world.tallies("account#")[0]["failures"]["N"], "1");
    assert!(world.tables.items("SessionsTable").is_empty());
}

#[tokio::test]
async fn the_throttle_can_be_switched_off_and_needs_nothing_then() {
    let off = [("THROTTLE", "off"), ("ATTEMPTS_TABLE", ""), ("THROTTLE_SECRET", ""), ("DEVICE_COOKIE", "on")];
    let world = World::new(&off).await;
    for _ in 0..8 {
        assert_eq!(verdict(&world.guess("kimcoding", "4321", NOW).await), (401, None));
    }
    let reply = world.guess("kimcoding", "1234", NOW).await;
    assert_eq!((reply.status, reply.cookies.len()), (302, 2));
    assert!(world.tables.items("AttemptsTable").is_empty());
}

#[tokio::test]
async fn the_throttle_does_not_start_without_its_table_or_its_secret() {
    let tables = Tables::new().await;
    for name in ["ATTEMPTS_TABLE", "THROTTLE_SECRET"] {
        let config = Config::from_lookup(tables.settings(&[(name, "")])).unwrap();
        let refused = Authentication::new(store::connect(&config), &config).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Setting { name: named, .. } if named == name), "{refused:?}");
    }
}

/// No name stands in the table: people type passwords where a name belongs. And who does not have the secret cannot tell
/// which record is whose.
#[tokio::test]
async fn the_table_holds_no_name_and_cannot_be_read_without_the_secret() {
    let world = World::new(&[]).await;
    for name in ["kimcoding", "my-secret-password"] {
        world.guess(name, "4321", NOW).await;
    }
    let stored = Value::from(world.tables.items("AttemptsTable")).to_string();
    assert!(!stored.contains("kimcoding") && !stored.contains("my-secret-password"));
    let attempt = Attempt { account: &Account::named("kimcoding"), way: Way::Outside, source_ip: None };
    let other = Config::from_lookup(world.tables.settings(&[("THROTTLE_SECRET", "other-secret-for-tests-0123456789")]))
        .unwrap();
    for (config, failures) in [(&world.config, "2"), (&other, "1")] {
        let attempts = Attempts::new(store::connect(config), config).unwrap().unwrap();
        let admission = attempts.admit(attempt, NOW, &Budget::new(None)).await.unwrap();
        attempts.reserve(admission, NOW, &Budget::new(None)).await.unwrap();
        assert!(world.tallies("account#").iter().any(|item| item["failures"]["N"] == failures));
    }
}
