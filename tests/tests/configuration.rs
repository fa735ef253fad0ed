//! The settings agree in the code, in `template.yaml` and in `docs/configuration.md`.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use authorizer::Authorizer;
use jwks::Jwks;
use login::Login;
use logout::Logout;
use password::PasswordChange;
use regex::Regex;
use rotation::KeyRotation;
use serde_json::Value;
use sessions::OwnSessions;
use shared::config::Environment;
use shared::error::Result;
use shared::http::{AllowedOrigins, Site};
use shared::settings;
use shared::store::{self, Client};
use shared::telemetry;
use testbed::workspace::{read, template};
use userinfo::Userinfo;

type Start = fn(Client, &Environment) -> Result<()>;

/// What `main.rs` of each function calls.
const FUNCTIONS: [(&str, Start); 8] = [
    ("authorizer", |client, env| {
        AllowedOrigins::from_env(env)?;
        Authorizer::from_env(client, env).map(drop)
    }),
    ("jwks", |_, env| with_pages(env, Jwks::from_env(env))),
    ("login", |client, env| with_pages(env, Login::from_env(client, env))),
    ("logout", |client, env| with_pages(env, Logout::from_env(client, env))),
    ("password", |client, env| with_pages(env, PasswordChange::from_env(client, env))),
    ("rotation", |_, env| KeyRotation::from_env(env).map(drop)),
    ("sessions", |client, env| with_pages(env, OwnSessions::from_env(client, env))),
    ("userinfo", |client, env| with_pages(env, Userinfo::from_env(client, env))),
];

/// A function with pages also reads how they look.
fn with_pages<F>(env: &Environment, function: Result<F>) -> Result<()> {
    Site::from_env(env)?;
    function.map(drop)
}

/// Starts a function, and returns the names of the variables that it reads. Leaves out the variables of AWS.
fn variables_read_by(name: &str, start: Start) -> BTreeSet<String> {
    // The rotation needs the ARNs of secrets. It does not read the secrets at its start.
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf";
    let arns = ["ACCESS_SECRET", "REFRESH_SECRET", "DEVICE_SECRET"].map(|variable| (variable, arn));
    let settings = if name == "rotation" { &arns[..] } else { &[("DEVICE_COOKIE", "on")] };
    variables_read_in(settings, |env| {
        telemetry::metrics_namespace(env)?;
        start(store::connect(env)?, env)
    })
}

/// Returns the names of the variables that `read` reads from valid settings. Leaves out the variables of AWS.
fn variables_read_in(settings: &[(&str, &str)], read: impl FnOnce(&Environment) -> Result<()>) -> BTreeSet<String> {
    let names = Arc::new(Mutex::new(BTreeSet::new()));
    let (recorded, settings) = (Arc::clone(&names), testbed::settings(settings));
    let env = Environment::new(move |name| {
        recorded.lock().unwrap().insert(name.to_owned());
        settings(name)
    });
    read(&env).unwrap();
    names.lock().unwrap().iter().filter(|name| !name.starts_with("AWS_")).cloned().collect()
}

/// The variables of each function, as the code reads them.
fn variables_in_code() -> BTreeMap<String, BTreeSet<String>> {
    FUNCTIONS.into_iter().map(|(name, start)| (name.to_owned(), variables_read_by(name, start))).collect()
}

/// The variables of each function in the template, with their values. Leaves out the variables of AWS.
fn variables_in_template() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut functions = template().variables();
    functions.extend(template().scheduled_variables());
    for variables in functions.values_mut() {
        variables.retain(|name, _| !name.starts_with("AWS_"));
    }
    functions
}

/// The tools report an invalid setting before a function fails to start.
#[test]
fn the_check_of_all_settings_reads_each_variable_of_each_function() {
    let mut all = variables_in_code().into_values().flatten().collect::<BTreeSet<_>>();
    // Its parameter is a number with bounds, so that CloudFormation refuses an invalid value.
    all.remove("KEY_ROTATION_DAYS");
    assert_eq!(variables_read_in(&[("DEVICE_COOKIE", "on")], settings::check), all);
}

/// R96: only the functions that check a password have its pepper and the secret of the attempts table.
#[test]
fn each_function_has_exactly_the_variables_that_it_reads() {
    let template = variables_in_template();
    let names = template.into_iter().map(|(function, all)| (function, all.into_keys().collect()));
    assert_eq!(names.collect::<BTreeMap<_, BTreeSet<_>>>(), variables_in_code());
    for function in ["authorizer", "jwks", "logout", "rotation", "sessions", "userinfo"] {
        for secret in ["PASSWORD_PEPPER", "THROTTLE_SECRET"] {
            assert!(!variables_in_code()[function].contains(secret), "{function}");
        }
    }
}

/// Returns the name of the parameter of a variable: `AccessTtl` for `ACCESS_TTL`.
fn parameter_name(variable: &str) -> String {
    variable.split('_').map(|word| [&word[..1], &word[1..].to_lowercase()].concat()).collect()
}

/// `ACCESS_TTL` has the parameter `AccessTtl`, and `ACCESS_SECRET` the secret `AccessSecret`. A variable of a table has
/// the name of the table.
#[test]
fn each_variable_has_a_parameter_or_a_resource_of_the_same_name() {
    let (template, text) = (template(), read("template.yaml"));
    let (parameters, tables, secrets) = (template.parameters(), template.table_variables(), template.secrets());
    for (variable, value) in variables_in_template().into_values().flatten() {
        let name = parameter_name(&variable);
        if variable == "METRICS_NAMESPACE" {
            continue;
        }
        assert_eq!(value, name, "{variable}");
        let is_resource = tables.contains_key(&variable) || secrets.contains(&name);
        assert!(parameters.contains_key(&name) || is_resource, "{name}");
        // The reader drops `!Ref`, and without it the value would be the name of the parameter itself.
        let line = format!("{variable}: ");
        let mut lines = text.lines().filter_map(|found| found.trim_start().strip_prefix(&line));
        let expected = match name.as_str() {
            "UsersTable" => "!If [MakesUsersTable, !Ref UsersTable, !Ref ExistingUsersTable]".to_owned(),
            _ => format!("!Ref {name}"),
        };
        assert!(lines.all(|value| value == expected), "{variable}");
    }
}

/// The page lists every variable once, with the functions that read it.
#[test]
fn the_page_lists_each_variable_with_its_functions() {
    let page = read("docs/configuration.md");
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (function, variables) in variables_in_code() {
        for variable in variables {
            expected.entry(variable).or_default().insert(function.clone());
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let mut listed = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        // `all` are the functions that answer requests.
        let answering = || FUNCTIONS.map(|(name, _)| name.to_owned()).into_iter().filter(|name| name != "rotation");
        let list = cells[3].trim_end_matches('|').trim().split(", ");
        let functions = list.flat_map(|name| match name {
            "all" => answering().collect(),
            name => vec![name.to_owned()],
        });
        let functions: BTreeSet<_> = functions.collect();
        assert!(listed.insert(cells[0].trim_matches('`').to_owned(), functions).is_none(), "{row}");
    }
    assert_eq!(listed, expected);
}

/// A function compares the secrets that it reads. `login` reads all of them, so that no equal pair starts.
#[test]
fn login_rejects_every_pair_of_equal_secrets() {
    let secrets: Vec<_> = variables_in_code()["login"]
        .iter()
        .filter(|name| name.ends_with("_SECRET") || name.ends_with("_PEPPER"))
        .cloned()
        .collect();
    assert_eq!(secrets.len(), 5);
    for (first, second) in
        secrets.iter().enumerate().flat_map(|(at, one)| secrets[at + 1..].iter().map(move |other| (one, other)))
    {
        let same = "the-same-one-0123456789-0123456789";
        let env = Environment::new(testbed::settings(&[(first, same), (second, same), ("DEVICE_COOKIE", "on")]));
        let outcome = Login::from_env(store::connect(&env).unwrap(), &env);
        assert!(matches!(outcome, Err(shared::error::Error::Setting { .. })), "{first} and {second}");
    }
}

/// The parameters of the stack. No function reads them.
const OF_THE_STACK: [&str; 9] = [
    "AlarmEmail",
    "Alarms",
    "Architecture",
    "CertificateArn",
    "DomainName",
    "ExistingUsersTable",
    "HostedZoneId",
    "LoginConcurrency",
    "Tracing",
];

/// A setting exists only if two real deployments would want different values.
#[test]
fn there_are_at_most_28_variables_and_each_parameter_is_one_of_them_or_belongs_to_the_stack() {
    let variables: BTreeSet<_> = variables_in_code().into_values().flatten().collect();
    assert!(variables.len() <= 28, "{}", variables.len());
    let of_functions: BTreeSet<_> = variables.iter().map(|variable| parameter_name(variable)).collect();
    let others = template().parameters().into_keys().filter(|name| !of_functions.contains(name));
    assert_eq!(others.collect::<Vec<_>>(), OF_THE_STACK);
}

/// `CloudFormation` calls the deployment check only if one of its properties has changed.
#[test]
fn the_deployment_check_runs_after_each_change_of_a_setting_and_of_the_version() {
    let template: Value = serde_saphyr::from_str(&read("template.yaml")).unwrap();
    let check = &template["Resources"]["DeploymentCheck"]["Properties"];
    let settings: BTreeSet<_> =
        check["Settings"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let parameters = template["Parameters"].as_object().unwrap().keys().map(String::as_str);
    let has_no_effect =
        |name: &&str| OF_THE_STACK.contains(name) && !["Architecture", "ExistingUsersTable"].contains(name);
    assert_eq!(settings, parameters.filter(|name| !has_no_effect(name)).collect());
    assert_eq!(check["Version"], env!("CARGO_PKG_VERSION"));
    let called = check["Functions"].as_array().unwrap().iter().map(|function| function["Name"].as_str().unwrap());
    let resources = template["Resources"].as_object().unwrap().iter();
    let functions = resources.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
    assert_eq!(called.collect::<BTreeSet<_>>(), functions.map(|(name, _)| name.as_str()).collect());
}

/// R95: `sam deploy` asks for no secret. A variable of a function holds the ARN of a secret that `CloudFormation`
/// makes.
#[test]
fn no_parameter_and_no_variable_is_a_secret() {
    let (parameters, secrets) = (template().parameters(), template().secrets());
    assert!(parameters.values().all(|is_secret| !is_secret), "{parameters:?}");
    for (variable, value) in variables_in_template().into_values().flatten() {
        let holds_an_arn = secrets.contains(&value) || variable == "PASSWORD_PEPPER";
        assert_eq!(variable.ends_with("_SECRET") || variable == "PASSWORD_PEPPER", holds_an_arn, "{variable}");
    }
    assert!(read("template.yaml").contains("AllowedPattern: (arn:aws"), "the pepper is an ARN, too");
}

/// Lambda refuses a function whose variables have more than 4 KB together.
#[test]
fn the_variables_of_each_function_fit_into_4_kb() {
    let longest = [("SERVICE_NAME", 100), ("LOGO_URL", 500), ("ALLOWED_ORIGINS", 300), ("COOKIE_DOMAIN", 100)];
    let usual = 64;
    for (function, variables) in variables_in_template() {
        let length = |name: &str| longest.iter().find(|(long, _)| *long == name).map_or(usual, |(_, length)| *length);
        let sum: usize = variables.keys().map(|name| name.len() + length(name)).sum();
        assert!(sum < 4096, "{function}: {sum}");
    }
}

/// The parameters of the template, by the names of their variables.
fn parameter(variable: &str) -> Value {
    let template: Value = serde_saphyr::from_str(&read("template.yaml")).unwrap();
    template["Parameters"][parameter_name(variable)].clone()
}

/// Returns `true` if the functions start with this value.
fn is_accepted(variable: &str, value: &str) -> bool {
    let memory = ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769");
    // `REFRESH_TTL` must not be less than `ACCESS_TTL`.
    let short = if variable == "REFRESH_TTL" { ("ACCESS_TTL", "300") } else { memory };
    let env = Environment::new(testbed::settings(&[(variable, value), memory, short]));
    settings::check(&env).is_ok()
}

/// `CloudFormation` refuses a number that would stop the functions, and no other number.
#[test]
fn the_numbers_of_the_template_have_the_bounds_of_the_functions() {
    let numbers = [
        "REFRESH_TTL",
        "REFRESH_GRACE",
        "SESSIONS_PER_USER",
        "HASH_MEMORY_KIB",
        "PASSWORD_CHECK_MS",
        "PASSWORD_MIN_LENGTH",
        "SOURCE_FAILURES_PER_HOUR",
    ];
    for variable in numbers {
        let parameter = parameter(variable);
        assert_eq!(parameter["Type"], "Number", "{variable}");
        let [min, max] = ["MinValue", "MaxValue"].map(|bound| parameter[bound].as_i64().unwrap());
        let default = parameter["Default"].as_i64().unwrap();
        for (value, is_valid) in [(min - 1, false), (min, true), (default, true), (max, true), (max + 1, false)] {
            assert_eq!(is_accepted(variable, &value.to_string()), is_valid, "{variable}={value}");
        }
        let page = read("docs/configuration.md");
        let row = page.lines().find(|line| line.starts_with(&format!("| `{variable}` | ")));
        assert!(row.unwrap().contains(&format!("| {default} |")), "{variable}: the page has another default");
    }
}

/// `CloudFormation` refuses a text that would stop the functions.
#[test]
fn the_patterns_of_the_template_refuse_what_the_functions_refuse() {
    let patterns = |variable: &str| {
        let parameter = parameter(variable);
        let pattern = Regex::new(&format!("^(?:{})$", parameter["AllowedPattern"].as_str().unwrap())).unwrap();
        let longest = parameter["MaxLength"].as_u64().unwrap_or(u64::MAX);
        move |value: &str| value.len() as u64 <= longest && pattern.is_match(value)
    };
    let (label, host) = ("a".repeat(64), "a.".repeat(126));
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("ACCESS_TTL", &["", "300", "999", "1000", "79999", "86400"], &["60", "299", "86401", "1e3", " 900", "-900"]),
        (
            "COOKIE_DOMAIN",
            &["", "example.com", "a.b.Example.com", "xn--bcher-kva.example", "localhost"],
            &[
                "com",
                "a b",
                ".example.com",
                "example.com.",
                "https://example.com",
                "127.0.0.1",
                "-a.com",
                "a_b.com",
                &label,
            ],
        ),
        (
            "ALLOWED_ORIGINS",
            &["", "https://app.example.com", "https://a.com:8443,http://localhost:3000", "http://127.0.0.1:5173"],
            &[
                "https://App.example.com",
                "http://example.com",
                "https://a.com/",
                "*",
                "null",
                "https://a..b",
                "https://a-.com",
                "https://a.com, https://b.com",
                "a.com",
            ],
        ),
        (
            "ISSUER",
            &["latchkey", "https://auth.example.com", "my service"],
            &["", " ", "a ", " a", "\t", "é\u{7f}", &"x".repeat(256)],
        ),
        ("AUDIENCE", &["latchkey", "a,b"], &["", " ", "a\n", &"x".repeat(256)]),
        ("REQUIRED_ROLE", &["", "admin", "billing admin"], &[" ", "admin ", "\u{a0}"]),
        ("SERVICE_NAME", &["", "Acme", "회사 이름", "A & B"], &[" ", "a\u{1}b", "a\tb", &"x".repeat(101)]),
        (
            "LOGO_URL",
            &["", "https://www.example.com/logo.svg"],
            &["http://a.com/l.svg", "https://a.com/ b", "javascript:x", "https://a.com/\"x"],
        ),
        ("ACCENT_COLOR", &["", "#1d5c4c", "#FFFFFF"], &["green", "#fff", "#12345g"]),
    ];
    for (variable, good, bad) in cases {
        let matches = patterns(variable);
        for value in good {
            assert!(matches(value) && is_accepted(variable, value), "{variable}={value}");
        }
        for value in bad {
            assert!(!matches(value), "{variable}={value} is refused before the deployment");
        }
    }
    assert!(!patterns("COOKIE_DOMAIN")(&host));
    let matches = patterns("ACCESS_TTL");
    for seconds in 0..90_000 {
        let value = seconds.to_string();
        assert_eq!(matches(&value), (300..=86_400).contains(&seconds), "{value}");
    }
}
