//! The documents say what the code does.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::collections::BTreeSet;
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
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(['#', ')']).next());
        for link in links.filter(|link| !link.contains("://")) {
            assert!(root.join("docs").join(link).is_file(), "{name} links to {link}");
        }
    }
}
