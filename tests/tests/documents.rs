//! The documents say what the code does.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// What stands between `before` and the next backtick.
fn named<'a>(text: &'a str, before: &'a str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('`').next()).collect()
}

#[test]
fn every_variable_is_in_the_readme_and_no_other() {
    let (config, readme) = (read("shared/src/config.rs"), read("README.md"));
    let ours: BTreeSet<_> =
        named(&config, "Read from `").into_iter().filter(|name| !name.starts_with("AWS_")).collect();
    assert!(ours.len() > 10, "{ours:?}");
    let table = readme.split("## Configuration").nth(1).unwrap().split("\n## ").next().unwrap();
    assert_eq!(named(table, "\n| `"), ours);
}

/// Names agree: the parameter of `ACCESS_TTL` is `AccessTtl`, and every variable has one, but those that name a table.
#[test]
fn every_variable_can_be_set_in_the_template() {
    let (config, template) = (read("shared/src/config.rs"), read("template.yaml"));
    for variable in named(&config, "Read from `").into_iter().filter(|name| !name.starts_with("AWS_")) {
        let words = variable.split('_').map(|word| [&word[..1], &word[1..].to_lowercase()].concat());
        let parameter: String = words.collect();
        assert!(template.contains(&format!(" {variable}: !Ref {parameter}\n")), "{variable}");
        assert!(template.contains(&format!("\n  {parameter}:\n")), "{parameter} of {variable}");
    }
}

#[test]
fn the_readme_can_be_read_in_one_go() {
    assert!(read("README.md").lines().count() < 200);
}

const PAGES: [&str; 2] = ["docs/tokens.md", "docs/tokens.ko.md"];

/// A page's blocks of code, with their fences, and what stands between them.
fn code_and_prose(page: &str) -> (Vec<&str>, String) {
    let (prose, code): (Vec<_>, Vec<_>) = page.split("```").enumerate().partition(|(index, _)| index % 2 == 0);
    assert!(prose.len() == code.len() + 1, "a block of code has no end");
    (code.into_iter().map(|(_, block)| block).collect(), prose.into_iter().map(|(_, text)| text).collect())
}

/// The lines that begin like this.
fn lines<'a>(prose: &'a str, beginning: &'static str) -> impl Iterator<Item = &'a str> {
    prose.lines().filter(move |line| line.starts_with(beginning))
}

/// What is written in `code`.
fn spans(prose: &str) -> BTreeSet<&str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The numbers of a line; a translation may turn their order around.
fn numbers(line: &str) -> Vec<&str> {
    let digits = line.split(|char: char| !char.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut numbers: Vec<_> = digits.collect();
    numbers.sort_unstable();
    numbers
}

/// How deep each heading is.
fn headings(prose: &str) -> Vec<usize> {
    lines(prose, "#").map(|line| line.chars().take_while(|&char| char == '#').count()).collect()
}

#[test]
fn a_page_and_its_translation_say_the_same() {
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
fn what_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
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

/// How a heading is linked to: in lower case, with a dash for each space, and without any other sign.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs =
        fs::read_dir(root.join("docs")).unwrap().map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let mut count = 0;
    for name in docs.chain(["README.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned)) {
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

/// The sources of a folder of the workspace, and where each is.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
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

/// The numbers of requirements and faults in a text: `R7`, `F16`.
fn rows(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_row = |word: &&str| {
        word.strip_prefix(['R', 'F'])
            .is_some_and(|digits| (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_row).map(str::to_owned).collect()
}

/// Every test with a number in its documentation: the number, and `file::test`.
fn proofs() -> BTreeSet<(String, String)> {
    let mut proofs = BTreeSet::new();
    for (file, text) in ["dev", "functions", "shared", "tests"].into_iter().flat_map(sources) {
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

/// The rows of `docs/security.md`: number and the rest.
fn security_table(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let numbered = rows.filter(|(number, _)| rows_of(number));
    numbered.map(|(number, rest)| (number.to_owned(), rest.to_owned())).collect()
}

fn rows_of(number: &str) -> bool {
    rows(number).len() == 1 && !number.contains(' ')
}

/// The page names, for each row, exactly the tests that say that they prove it; or why there is none.
#[test]
fn the_page_of_threats_names_the_tests_against_them() {
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

/// R101: no crate that is deployed may hold unsafe code, nor take it back.
#[test]
fn every_function_forbids_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    assert!(read("Cargo.toml").contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let functions = fs::read_dir(root.join("functions")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for member in functions.chain(["shared", "dev", "tests"].map(|member| root.join(member))) {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        assert!(manifest.ends_with("\n[lints]\nworkspace = true\n"), "{}", member.display());
        count += 1;
    }
    assert!(count > 8, "{count}");
}

/// The sources of what is deployed, without their tests.
fn deployed() -> impl Iterator<Item = (String, String)> {
    let sources = ["functions", "shared"].into_iter().flat_map(sources).filter(|(file, _)| file.contains("/src/"));
    sources.map(|(file, text)| (file, text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()))
}

/// The fourth of the rules for faults: no work is left for after the answer, when Lambda freezes the environment (F34).
#[test]
fn no_function_starts_what_its_answer_would_not_wait_for() {
    let starts = |code: &str| ["spawn", "JoinSet", "FuturesUnordered"].iter().any(|word| code.contains(word));
    let mut files: Vec<_> = deployed().filter(|(_, code)| starts(code)).map(|(file, _)| file).collect();
    assert!(deployed().count() > 30);
    files.dedup();
    assert_eq!(files, Vec::<String>::new());
}

/// What a secret is called.
const SECRETS: [&str; 8] = ["digest", "hash", "pepper", "secret", "signature", "tag", "password", "mac"];

/// Comparisons of what is called like a secret and is none: versions, lengths, algorithms, names of keys; and what somebody
/// has typed with what the same person has typed.
const NO_SECRETS: [&str; 7] = [
    "password_version",
    "cost(",
    ".len()",
    "argon.algorithm",
    ".keyid()",
    "composed.expose_secret() != typed",
    "current.nfc().eq(",
];

/// R15: what is secret is compared in constant time, not by an operator that stops at the first difference.
#[test]
fn no_secret_is_compared_with_an_operator() {
    let mut compared = Vec::new();
    for (file, code) in deployed() {
        let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with("#["));
        let has_operator =
            |line: &&str| [" == ", " != ", ".eq(", ".cmp("].iter().any(|operator| line.contains(operator));
        for line in lines.filter(has_operator) {
            let is_secret = SECRETS.iter().any(|secret| line.to_lowercase().contains(secret));
            if is_secret && !NO_SECRETS.iter().any(|harmless| line.contains(harmless)) {
                compared.push(format!("{file}: {line}"));
            }
        }
    }
    assert_eq!(compared, Vec::<String>::new());
}

/// The calls of a macro of `tracing` in the code that is deployed: its level, and what stands in its parentheses.
fn log_lines() -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (_, text) in deployed() {
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
    }
    lines
}

/// The name of an event and the names of its fields, from what stands in the parentheses.
fn event_and_fields(line: &str) -> Option<(&str, BTreeSet<&str>)> {
    let (_, rest) = line.split_once("event = \"")?;
    let (name, rest) = rest.split_once('"')?;
    let (fields, _message) = rest.rsplit_once(", \"").or_else(|| rest.split_once('"')).unwrap_or((rest, ""));
    let fields = fields.split(',').map(|field| field.split('=').next().unwrap().trim().trim_start_matches('%'));
    Some((name, fields.filter(|field| !field.is_empty() && !field.contains(['(', ')', '"'])).collect()))
}

/// The page of events names those that the code has, each with its level and with all its fields, and no other (R99).
#[test]
fn the_page_of_events_names_what_the_code_says() {
    let page = read("docs/events.md");
    let documented: BTreeMap<_, _> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            let [name, level] = [cells[0], cells[1]].map(|cell| spans(cell).pop_first().unwrap());
            (name, (level, spans(cells[2])))
        })
        .collect();
    let (lines, mut said) = (log_lines(), BTreeMap::new());
    let is_nameless = |(level, line): &&(String, String)| level != "INFO" && !line.contains("event = ");
    assert_eq!(lines.iter().find(is_nameless), None, "what wants a person has a name");
    for (level, (name, fields)) in lines.iter().filter_map(|(level, line)| Some((level, event_and_fields(line)?))) {
        let (known, all) = said.entry(name).or_insert((level.as_str(), BTreeSet::new()));
        assert_eq!(level, known, "{name} has one level");
        all.extend(fields);
    }
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(said, documented);
}
