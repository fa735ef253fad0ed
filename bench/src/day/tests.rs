use testbed::workspace::read;

use super::*;

/// A small site, so that the test is fast. The wave is large enough to reach the limits.
fn small() -> Inputs {
    let mut inputs = Inputs::stored().unwrap();
    inputs.users = 20_000;
    inputs.wave.per_second = 20.0;
    inputs.wave.addresses = 60;
    inputs.wave.shared_addresses = 2;
    inputs.wave.names = 2000;
    inputs.wave.right = 0.05;
    inputs.wave.targets = 2;
    inputs.functions.get_mut("login").unwrap().gateway.rate = 5.0;
    inputs
}

fn simulated(inputs: &Inputs) -> Day {
    simulate(inputs, &Cost::stored().unwrap()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_day_and_another_seed_another() {
    let first = simulated(&small());
    assert_eq!(simulated(&small()), first);
    assert_ne!(simulated(&Inputs { seed: 1, ..small() }), first);
}

#[test]
fn every_request_is_answered_or_refused_and_every_person_signs_in_or_gives_up() {
    let Day { functions, quiet, wave, raised, .. } = simulated(&small());
    let logins = [("quiet", &quiet), ("wave", &wave), ("raised", &raised)].map(|(name, day)| (name, &day.function));
    let others = functions.iter().map(|(name, outcome)| (name.as_str(), outcome));
    for (name, outcome) in others.chain(logins) {
        let ended = outcome.answered + outcome.refused_by_gateway + outcome.refused_by_lambda;
        assert_eq!(ended, outcome.arrivals, "{name}");
        assert_eq!(outcome.answered_by_interval.iter().sum::<u32>(), outcome.answered, "{name}");
    }
    assert_eq!(quiet.wave, Side::default());
    for logins in [quiet, wave, raised] {
        let Logins { function, people, wave, persons, gave_up, unfinished, .. } = logins;
        for side in [&people, &wave] {
            assert_eq!(side.ended(), side.attempts, "{side:?}");
        }
        assert_eq!(people.attempts + wave.attempts, function.arrivals);
        assert_eq!(people.signed_in + gave_up + unfinished, persons);
    }
}

/// The limits of the throttle are 100 guesses at once and 100 an hour for each address. A right guess gives one back.
#[test]
fn a_wave_gets_no_more_guesses_than_its_addresses_have() {
    let inputs = small();
    let Day { wave, raised, .. } = simulated(&inputs);
    let allowed = inputs.wave.addresses * 100 * (1 + inputs.wave.hours);
    for logins in [&wave, &raised] {
        assert!(u64::from(logins.wave.wrong) <= allowed, "{:?}", logins.wave);
    }
    assert!(raised.wave.refused_by_source > raised.wave.wrong, "{:?}", raised.wave);
    assert!(raised.wave.refused_by_account > 0 && raised.wave.signed_in > 0, "{:?}", raised.wave);
    assert!(wave.wave.refused_by_gateway > wave.wave.wrong, "{:?}", wave.wave);
    assert!(wave.gave_up > 10 * raised.gave_up.max(1), "{} {}", wave.gave_up, raised.gave_up);
}

#[test]
fn capacity_units_and_cold_starts_are_those_of_the_answered_requests() {
    let Day { functions, quiet, .. } = simulated(&small());
    let units = Cost::stored().unwrap().requests;
    for name in ["logout", "authorizer"] {
        let (outcome, each) = (&functions[name], units[name]);
        let expected = [each.reads, each.writes].map(|units| units * outcome.answered);
        assert_eq!([outcome.reads, outcome.writes], expected, "{name}");
    }
    let Side { signed_in, wrong, .. } = quiet.people;
    let refused = quiet.people.refused_by_source + quiet.people.refused_by_account;
    let kinds = [("login", signed_in), ("wrong password", wrong), ("refused guess", refused)];
    let sum = |of: fn(&Units) -> u32| kinds.map(|(kind, count)| of(&units[kind]) * count).iter().sum::<u32>();
    assert_eq!([quiet.function.reads, quiet.function.writes], [sum(|units| units.reads), sum(|units| units.writes)]);
    for outcome in functions.values().chain([&quiet.function]) {
        assert_eq!(outcome.cold_starts_by_hour.iter().sum::<u32>(), outcome.cold_starts);
        assert!(outcome.cold_starts > 0 && outcome.busy <= outcome.instances);
        let [p50, p90, p99] = outcome.percentiles;
        assert!(0.0 < p50 && p50 < p90 && p90 < p99, "{:?}", outcome.percentiles);
    }
}

/// The stored assumptions are the limits of the template and of the throttle.
#[test]
fn the_limits_of_the_day_are_those_of_the_template() {
    let (inputs, template) = (Inputs::stored().unwrap(), read("template.yaml"));
    let limits = |function: &str| {
        let gateway = inputs.functions[function].gateway;
        format!("{{ ThrottlingRateLimit: {}, ThrottlingBurstLimit: {} }}", gateway.rate, gateway.burst)
    };
    assert!(template.contains(&format!("\"POST /login\": {}", limits("login"))));
    for function in ["logout", "userinfo"] {
        assert!(template.contains(&format!("DefaultRouteSettings: {}", limits(function))), "{function}");
    }
    for (function, memory) in [("login", 1769), ("userinfo", 256)] {
        assert_eq!(inputs.functions[function].mb, memory);
        assert!(template.contains(&format!("MemorySize: {memory}\n")), "{function}");
    }
}

/// The page shows the stored result. `cargo day --check` compares the stored result with a new run.
#[test]
fn the_page_about_scale_shows_the_stored_result() {
    let (page, day) = (read("docs/scale.md"), serde_json::from_str(&read("bench/day/result.json")).unwrap());
    for table in tables(&day) {
        assert!(page.contains(&table), "docs/scale.md lacks\n{table}");
    }
    for (name, svg) in pictures(&day) {
        assert!(page.contains(&format!("]({name})")), "docs/scale.md lacks {name}");
        assert!(read(&format!("docs/{name}")) == svg, "docs/{name} is outdated: run `cargo day --write`");
    }
}
