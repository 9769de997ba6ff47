//! Holds the index of edge cases to the truth: `EDGE_CASES.md` names tests, and each of them is there.

use std::collections::BTreeMap;
use std::path::Path;

/// Cases that the index must have.
const CASES: usize = 25;

/// The rows of the index: number, and tests as `file` and `name`.
fn index(text: &str) -> BTreeMap<usize, Vec<(String, String)>> {
    let mut cases = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, _, tests, _] = cells[..] else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let named = tests.split('`').skip(1).step_by(2).map(|test| {
            let (file, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("case {number}: {test}"));
            (file.to_owned(), name.to_owned())
        });
        assert!(cases.insert(number, named.collect()).is_none(), "case {number} stands there twice");
    }
    cases
}

/// Whether a source file has a function of this name that the test runner runs: marked as a test, or inside of
/// `proptest!`, whose functions bear the mark as well.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_it = line
            .trim_start_matches("async ")
            .strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('));
        let mut above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        is_it && above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_edge_case_names_tests_that_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = index(&std::fs::read_to_string(here.join("EDGE_CASES.md")).unwrap());
    assert_eq!(cases.keys().copied().collect::<Vec<_>>(), (1..=CASES).collect::<Vec<_>>());
    let mut missing = Vec::new();
    for (case, tests) in cases {
        assert!(!tests.is_empty(), "case {case} names no test");
        for (file, name) in tests {
            // From the crate, or from the root of the project.
            let paths = [here.join(&file), here.join("../..").join(&file)];
            let source = paths.iter().find_map(|path| std::fs::read_to_string(path).ok());
            match source {
                Some(source) if has_test(&source, &name) => {}
                Some(_) => missing.push(format!("case {case}: {file} has no test {name}")),
                None => missing.push(format!("case {case}: {file} is not there")),
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_index_is_read_as_it_is_written() {
    let text = "| Nr | Case | Tests |\n|---|---|---|\n| 7 | x | `src/a.rs::b`, `tests/c.rs::d` (and why) |\n";
    let expected = vec![("src/a.rs".to_owned(), "b".to_owned()), ("tests/c.rs".to_owned(), "d".to_owned())];
    assert_eq!(index(text), BTreeMap::from([(7, expected)]));
    for (source, is_test) in [
        ("#[test]\nfn it() {", true),
        ("    #[tokio::test(start_paused = true)]\n    async fn it() {", true),
        ("#[test]\n#[should_panic]\nfn it() {", true),
        ("fn it() {", false),
        ("#[test]\nfn it_is_another() {", false),
        ("#[test]\nfn other() {}\n\nfn it() {", false),
        ("// fn it() {", false),
    ] {
        assert_eq!(has_test(source, "it"), is_test, "{source}");
    }
}
