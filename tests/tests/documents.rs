//! The documents agree with the code.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use testbed::workspace::{read, root, template};

/// The README is one sitting: at most 1,300 words outside code blocks and tables.
#[test]
fn the_readme_has_at_most_1300_words() {
    let readme = read("README.md");
    let (_, prose) = code_and_prose(&readme);
    let lines = prose.lines().filter(|line| !line.starts_with('|') && !line.starts_with("[^"));
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    let words = lines.flat_map(str::split_whitespace).filter(is_word).count();
    assert!((300..=1300).contains(&words), "{words} words");
}

const PAGES: [&str; 2] = ["docs/tokens.md", "docs/tokens.ko.md"];

/// Returns the code blocks of a page, and the prose between them.
fn code_and_prose(page: &str) -> (Vec<&str>, String) {
    let (prose, code): (Vec<_>, Vec<_>) = page.split("```").enumerate().partition(|(index, _)| index % 2 == 0);
    assert!(prose.len() == code.len() + 1, "a code block has no end");
    (code.into_iter().map(|(_, block)| block).collect(), prose.into_iter().map(|(_, text)| text).collect())
}

/// Returns the lines with this beginning.
fn lines<'a>(prose: &'a str, beginning: &'static str) -> impl Iterator<Item = &'a str> {
    prose.lines().filter(move |line| line.starts_with(beginning))
}

/// Returns the code spans.
fn spans(prose: &str) -> BTreeSet<&str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Returns the numbers of a line, sorted: a translation may change their order.
fn numbers(line: &str) -> Vec<&str> {
    let digits = line.split(|char: char| !char.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut numbers: Vec<_> = digits.collect();
    numbers.sort_unstable();
    numbers
}

/// Returns the level of each heading.
fn headings(prose: &str) -> Vec<usize> {
    lines(prose, "#").map(|line| line.chars().take_while(|&char| char == '#').count()).collect()
}

#[test]
fn a_page_and_its_translation_have_the_same_code_headings_and_numbers() {
    let [english, korean] = PAGES.map(read);
    let ((code, english), (translated_code, korean)) = (code_and_prose(&english), code_and_prose(&korean));
    assert!(code.len() > 3 && headings(&english).len() > 5);
    assert_eq!(code, translated_code);
    assert_eq!(headings(&english), headings(&korean));
    assert_eq!(spans(&english), spans(&korean));
    let tables = |prose| lines(prose, "|").map(numbers).collect::<Vec<_>>();
    assert!(tables(&english).iter().flatten().count() > 20);
    assert_eq!(tables(&english), tables(&korean));
    assert_eq!(numbers(&english), numbers(&korean));
}

#[test]
fn the_files_and_functions_that_a_page_names_exist() {
    let root = root();
    for name in PAGES {
        let page = read(name);
        let (_, prose) = code_and_prose(&page);
        let (files, others): (Vec<_>, Vec<_>) = spans(&prose)
            .into_iter()
            .partition(|span| Path::new(span).extension().is_some_and(|extension| extension == "rs"));
        assert!(files.len() > 10, "{files:?}");
        for file in &files {
            assert!(root.join(file).is_file(), "{name} names {file}");
        }
        let code: String = files.into_iter().map(read).collect();
        for function in others.iter().filter_map(|span| span.rsplit("::").next().filter(|last| last != span)) {
            assert!(code.contains(&format!("fn {function}(")), "{name} names {function}");
        }
    }
}

/// Returns the anchor of a heading: in lower case, with a dash for each space, and without other punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}

/// Returns the Markdown files at the root, in `docs` and of the examples.
fn pages() -> impl Iterator<Item = String> {
    let root = root();
    let examples = ["next", "protected", "verify", "web"].map(|name| format!("examples/{name}/"));
    let folders = ["", "docs/"].map(str::to_owned).into_iter().chain(examples);
    let files = folders.flat_map(move |folder| {
        let entries = fs::read_dir(root.join(&folder)).unwrap();
        entries.map(move |entry| format!("{folder}{}", entry.unwrap().file_name().display()))
    });
    files.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
}

#[test]
fn every_relative_link_has_a_target() {
    let root = root();
    let mut count = 0;
    for name in pages() {
        let page = read(&name);
        let (_, prose) = code_and_prose(&page);
        let folder = Path::new(&name).parent().unwrap();
        for link in
            prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://"))
        {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Path::new(&name).to_owned() } else { folder.join(file) };
            assert!(root.join(&target).is_file(), "{name} links to {link}");
            let text = if heading.is_empty() { String::new() } else { read(target.to_str().unwrap()) };
            let is_there = heading.is_empty() || lines(&text, "#").any(|line| anchor(line) == heading);
            assert!(is_there, "{name} links to {link}");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// A code block whose first line is a comment with a path is a part of that file.
#[test]
fn the_code_of_the_example_is_the_same_in_the_documents() {
    let mut files = Vec::new();
    for name in pages() {
        let page = read(&name);
        for block in code_and_prose(&page).0 {
            let Some((file, code)) = block.split_once("\n// examples/").and_then(|(_, rest)| rest.split_once('\n'))
            else {
                continue;
            };
            let file = format!("examples/{file}");
            assert!(read(&file).contains(code), "{name} quotes {file}: {code}");
            files.push((name.clone(), file));
        }
    }
    for page in ["README.md", "docs/front-end.md"] {
        assert!(files.contains(&(page.to_owned(), "examples/web/vite.config.ts".to_owned())), "{files:?}");
    }
    assert!(files.len() > 5, "{files:?}");
}

/// A proxy that lacked a route would respond to it with the page itself.
#[test]
fn the_proxies_of_front_ends_forward_every_route() {
    let routes = template().routes();
    let mut paths: BTreeSet<_> = routes.iter().filter_map(|route| route.path.split('/').nth(1)).collect();
    // The start page is the one of the front end. A password manager looks for the other path at the service itself.
    paths.retain(|path| !["", ".well-known"].contains(path));
    let paths = format!("({})", paths.into_iter().collect::<Vec<_>>().join("|"));
    assert!(read("examples/web/vite.config.ts").contains(&paths), "{paths}");
    assert!(read("examples/next/next.config.mjs").contains(&format!("source: \"/:path{paths}/:rest*\"")), "{paths}");
    assert!(read("examples/next/proxy.js").contains(&format!("(?:{}(?:/|$)", &paths[1..])), "{paths}");
}

/// The tables of costs are the output of the script. Without Python, there is nothing to compare.
#[test]
fn the_tables_of_costs_are_those_of_the_script() {
    let scale = "docs/scale.md";
    let tables =
        [(scale, None), (scale, Some("requests")), (scale, Some("prices")), ("docs/integrate.md", Some("authorizer"))];
    for (page, arguments) in tables {
        match Command::new("python3").arg(root().join("bench/cost.py")).args(arguments).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            output => {
                let table = String::from_utf8(output.unwrap().stdout).unwrap();
                assert!(table.lines().count() > 4 && read(page).contains(&table), "{page}:\n{table}");
            }
        }
    }
}

/// Returns the Rust sources of a folder, with their paths.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = root().canonicalize().unwrap();
    let (mut folders, mut found) = (vec![root.join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Returns the numbers of requirements and faults in a text: `R7`, `F16`.
fn rows(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_row = |word: &&str| {
        word.strip_prefix(['R', 'F'])
            .is_some_and(|digits| (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_row).map(str::to_owned).collect()
}

/// Returns every test with a number in its documentation: the number, and `file::test`.
fn proofs() -> BTreeSet<(String, String)> {
    let mut proofs = BTreeSet::new();
    for (file, text) in
        ["bench", "cli", "dev", "functions", "local", "shared", "testbed", "tests"].into_iter().flat_map(sources)
    {
        let (mut documented, mut is_test) = (String::new(), false);
        for line in text.lines().map(str::trim) {
            if let Some(said) = line.strip_prefix("///") {
                documented.push_str(said);
            } else if line.starts_with("#[") {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            } else {
                let name =
                    line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                if let Some(name) = name.filter(|_| is_test) {
                    proofs.extend(rows(&documented).into_iter().map(|row| (row, format!("{file}::{name}"))));
                }
                (documented, is_test) = (String::new(), false);
            }
        }
    }
    proofs
}

/// Returns the rows of `docs/security.md`: the number and the rest.
fn security_table(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let numbered = rows.filter(|(number, _)| is_row_number(number));
    numbered.map(|(number, rest)| (number.to_owned(), rest.to_owned())).collect()
}

fn is_row_number(number: &str) -> bool {
    rows(number).len() == 1 && !number.contains(' ')
}

/// Each row of the page names exactly the tests that have its number, or says why there is no test.
#[test]
fn the_security_page_names_the_tests_of_each_row() {
    let page = read("docs/security.md");
    let table = security_table(&page);
    let (proofs, numbers): (_, BTreeSet<_>) = (proofs(), table.iter().map(|(number, _)| number.clone()).collect());
    assert_eq!(numbers.len(), table.len(), "each row once");
    let faults = (1..=40).map(|number| format!("F{number:02}"));
    let all: BTreeSet<_> = (1..=101).map(|number| format!("R{number}")).chain(faults).collect();
    assert_eq!(numbers, all);
    for (number, rest) in &table {
        let ours: BTreeSet<_> = proofs.iter().filter(|(row, _)| row == number).map(|(_, test)| test.as_str()).collect();
        let named: BTreeSet<_> = spans(rest).into_iter().filter(|span| span.contains(".rs::")).collect();
        assert_eq!(named, ours, "{number}");
        let reasons = ["| later", "| does not apply", "| step `"];
        assert!(!ours.is_empty() || reasons.iter().any(|reason| rest.contains(reason)), "{number}");
    }
}

/// R58.
#[test]
fn the_choice_of_hs256_says_that_every_verifier_can_forge() {
    assert!(read("template.yaml").contains("With HS256, each service that verifies a token can also forge one."));
    assert!(read("docs/keys.md").contains("the key that verifies a token also signs one"));
}

/// R101: no crate of the workspace has unsafe code, and none can allow it.
#[test]
fn every_crate_forbids_unsafe_code() {
    let root = root();
    assert!(read("Cargo.toml").contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let functions = fs::read_dir(root.join("functions")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for member in functions.chain(
        ["bench", "bench/micro", "cli", "dev", "local", "shared", "testbed", "tests"].map(|member| root.join(member)),
    ) {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        assert!(manifest.ends_with("\n[lints]\nworkspace = true\n"), "{}", member.display());
        count += 1;
    }
    assert!(count > 8, "{count}");
}

/// Returns the sources of the functions and of `shared`, without tests.
fn deployed() -> impl Iterator<Item = (String, String)> {
    let is_deployed = |file: &str| file.contains("/src/") && !file.ends_with("/tests.rs");
    let sources = ["functions", "shared"].into_iter().flat_map(sources).filter(move |(file, _)| is_deployed(file));
    sources.map(|(file, text)| (file, text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()))
}

/// F34: no work continues after the response, because Lambda then freezes the instance.
#[test]
fn no_function_spawns_work_that_outlives_its_response() {
    let starts = |code: &str| ["spawn", "JoinSet", "FuturesUnordered"].iter().any(|word| code.contains(word));
    let mut files: Vec<_> = deployed().filter(|(_, code)| starts(code)).map(|(file, _)| file).collect();
    assert!(deployed().count() > 30);
    files.dedup();
    assert_eq!(files, Vec::<String>::new());
}

/// Words in the names of secrets.
const SECRETS: [&str; 8] = ["digest", "hash", "pepper", "secret", "signature", "tag", "password", "mac"];

/// Comparisons that have such a word but compare no stored secret: versions, lengths, algorithms, key ids, and two
/// inputs of the same caller.
const HARMLESS: [&str; 7] = [
    "password_version",
    "cost(",
    ".len()",
    "argon.algorithm",
    ".keyid()",
    "composed.expose_secret() != typed",
    "current.nfc().eq(",
];

/// R15: secrets are compared in constant time. An operator stops at the first difference.
#[test]
fn no_secret_is_compared_with_an_operator() {
    let mut compared = Vec::new();
    for (file, code) in deployed() {
        let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with("#["));
        let has_operator =
            |line: &&str| [" == ", " != ", ".eq(", ".cmp("].iter().any(|operator| line.contains(operator));
        for line in lines.filter(has_operator) {
            let is_secret = SECRETS.iter().any(|secret| line.to_lowercase().contains(secret));
            if is_secret && !HARMLESS.iter().any(|harmless| line.contains(harmless)) {
                compared.push(format!("{file}: {line}"));
            }
        }
    }
    assert_eq!(compared, Vec::<String>::new());
}

/// Returns the calls of `tracing` macros in a file: the level, and the text in parentheses.
fn log_lines(text: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for call in text.split("tracing::").skip(1) {
        let Some((level, rest)) = call.split_once("!(") else { continue };
        let (mut depth, mut quoted) = (1, false);
        let end = rest.find(|character| {
            quoted ^= character == '"';
            depth += match character {
                '(' if !quoted => 1,
                ')' if !quoted => -1,
                _ => 0,
            };
            depth == 0
        });
        lines.push((level.to_uppercase(), rest[..end.unwrap()].to_owned()));
    }
    lines
}

/// Returns the name of an event and its field names.
fn event_and_fields(line: &str) -> Option<(&str, BTreeSet<&str>)> {
    let (_, rest) = line.split_once("event = \"")?;
    let (name, rest) = rest.split_once('"')?;
    let (fields, _message) = rest.rsplit_once(", \"").or_else(|| rest.split_once('"')).unwrap_or((rest, ""));
    let fields = fields.split(',').map(|field| field.split('=').next().unwrap().trim().trim_start_matches('%'));
    Some((name, fields.filter(|field| !field.is_empty() && !field.contains(['(', ')', '"'])).collect()))
}

/// A line of prose ends at 120 columns, in comments and in Markdown. Tables, code blocks and long links may be wider.
#[test]
fn lines_of_prose_end_at_120_columns() {
    let is_too_long =
        |line: &str| line.chars().count() > 120 && line.split_whitespace().all(|word| word.chars().count() < 80);
    let mut found = Vec::new();
    for (file, text) in ["bench", "cli", "dev", "functions", "fuzz", "local", "shared", "testbed", "tests"]
        .into_iter()
        .flat_map(sources)
    {
        let is_table = |line: &str| line.trim_start_matches(['/', '!', ' ']).starts_with('|');
        let comments = text.lines().filter(|line| line.trim_start().starts_with("//") && !is_table(line));
        found.extend(comments.filter(|line| is_too_long(line)).map(|line| format!("{file}: {line}")));
    }
    for name in pages() {
        let page = read(&name);
        let (_, prose) = code_and_prose(&page);
        let lines = prose.lines().filter(|line| !line.starts_with('|') && !line.starts_with("[^"));
        found.extend(lines.filter(|line| is_too_long(line)).map(|line| format!("{name}: {line}")));
    }
    assert_eq!(found, Vec::<String>::new());
}

const EVENTS: &str = "shared/src/telemetry/events.rs";

/// The section of the events page about the events of operators.
const OPERATORS: &str = "Events of operators";

/// Returns a section of a page, from its heading to the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n## {heading}\n")).unwrap() + 1;
    let end = page[start..].find("\n## ").map_or(page.len(), |length| start + length + 1);
    &page[start..end]
}

/// R99: the page of events lists exactly the events of the code, each with its level and its fields.
#[test]
fn the_events_page_lists_the_events_of_the_code() {
    let page = read("docs/events.md");
    let page = page.replace(section(&page, OPERATORS), "");
    let documented: BTreeMap<_, _> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            let [name, level] = [cells[0], cells[1]].map(|cell| spans(cell).pop_first().unwrap());
            (name, (level, spans(cells[2])))
        })
        .collect();
    let (lines, mut written) = (log_lines(&read(EVENTS)), BTreeMap::new());
    let elsewhere = deployed().filter(|(file, _)| file != EVENTS).map(|(_, text)| log_lines(&text));
    let is_event = |(level, line): &(String, String)| level != "INFO" || line.contains("event = ");
    assert_eq!(
        elsewhere.flatten().find(is_event),
        None,
        "every event and every warning is a function of the events module"
    );
    for (level, (name, fields)) in lines.iter().filter_map(|(level, line)| Some((level, event_and_fields(line)?))) {
        let (known, all) = written.entry(name).or_insert((level.as_str(), BTreeSet::new()));
        assert_eq!(level, known, "{name} has one level");
        all.extend(fields);
    }
    assert!(written.len() > 20, "{written:?}");
    assert_eq!(written, documented);
}

/// The events page lists exactly the events of operators. A name says who acted, so that no function has the same one.
#[test]
fn the_events_page_lists_the_events_of_operators() {
    let page = read("docs/events.md");
    let rows = section(&page, OPERATORS).lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<_> = rows.map(|row| spans(row.split(" | ").next().unwrap()).pop_first().unwrap()).collect();
    let code = read("cli/src/audit/action.rs");
    let written = code.split("Self(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), written.collect());
    assert!(documented.len() > 10, "{documented:?}");
    let functions = read(EVENTS);
    let shared: Vec<_> = documented.iter().filter(|name| functions.contains(&format!("event = \"{name}\""))).collect();
    assert_eq!(shared, Vec::<&&str>::new());
}
