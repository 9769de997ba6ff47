//! The house rules as a test. What a reviewer would have to look for every time, a machine looks for here.
//!
//! Rules that clippy can express are in `clippy.toml` and the workspace lints instead.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a file stops being something that a person can hold in the head.
const LINES_AT_MOST: usize = 800;

/// Files that decide and never act, by path from the root, whose headers say so in other words. Every other file whose
/// header calls it "Pure" is held to the same rule.
const PURE: &[&str] = &[
    "agent/routeros-api/src/session.rs",
    "agent/routeros-api/src/wire.rs",
    "agent/src/reconcile/plan.rs",
    "controller/src/money.rs",
    "shared/src/envelope.rs",
    "shared/src/state_hash.rs",
    "shared/src/topics.rs",
    "shared/src/wire.rs",
];
/// Headers that speak of the pure parts of a module whose other parts are not.
const PURE_OF_OTHERS: &[&str] = &["Pure decisions", "Pure parts"];

/// What a pure file may not name.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "tokio::",
    "sqlx::",
    "sled::",
    "reqwest::",
    "axum::",
    "rumqttc::",
    "std::fs",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Clock::system",
    "IdSource::system",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that git tracks or would track, by path from the root, with its text; files that are not text are left out.
#[expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot list the files has failed")]
fn files() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git must be there: the rules are checked on what git tracks");
    assert!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .unwrap()
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| Some((path.to_owned(), std::fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// Fails with all broken places at once.
fn report(rule: &str, broken: &[String]) {
    let mut text = String::new();
    for place in broken {
        let _ = writeln!(text, "  {place}");
    }
    assert!(broken.is_empty(), "{rule}:\n{text}");
}

/// The part of a file that ships: a module of unit tests at its end is left out. `#[cfg(test)] mod tests;` at the top
/// of a file is no end of it.
fn shipped(text: &str) -> &str {
    let is_module = |line: &str| {
        let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.starts_with("mod ") && line.trim_end().ends_with('{')
    };
    let is_followed_by_module = |at: &usize| {
        let rest = text.split_at(*at).1.trim_start_matches("#[cfg(test)]");
        rest.trim_start().lines().next().is_some_and(is_module)
    };
    let end = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_followed_by_module);
    end.map_or(text, |end| text.split_at(end).0)
}

/// Whether the file's own header calls it pure.
fn says_pure(text: &str) -> bool {
    let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let mut header = header.join(" ");
    for other in PURE_OF_OTHERS {
        header = header.replace(other, "");
    }
    header.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "Pure")
}

#[test]
fn only_tests_at_the_end_of_a_file_are_left_out() {
    let check = |text: &str, expected: &str| assert_eq!(shipped(text), expected);
    check("a\n#[cfg(test)]\nmod tests;\nb\n", "a\n#[cfg(test)]\nmod tests;\nb\n");
    check(
        "a\n#[cfg(test)]\npub(crate) mod testing;\nb\n#[cfg(test)]\nmod tests {\n",
        "a\n#[cfg(test)]\npub(crate) mod testing;\nb\n",
    );
    check("a\n", "a\n");
    assert!(says_pure("//! What is due. Pure: facts in.\n") && says_pure("//! When.\n//!\n//! Pure.\n"));
    assert!(!says_pure("//! The agent. Pure decisions are in `plan`.\n") && !says_pure("// Pure.\n"));
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
}

#[test]
fn there_are_files_to_check() {
    assert!(
        rust_files().len() > 50,
        "only {} Rust files found: the other rules would check nothing",
        rust_files().len()
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    let broken: Vec<_> =
        rust_files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    report("the first line of a module is its //! header", &broken);
}

#[test]
fn no_file_is_longer_than_a_person_can_hold() {
    let kinds = [".rs", ".html", ".css", ".js", ".sql"];
    let broken: Vec<_> = files()
        .into_iter()
        .filter(|(path, _)| kinds.iter().any(|kind| path.ends_with(kind)))
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            (lines > LINES_AT_MOST).then(|| format!("{path}: {lines} lines"))
        })
        .collect();
    report("a file has at most 800 lines; split it by noun", &broken);
}

#[test]
fn pure_files_touch_nothing_outside() {
    let files = rust_files();
    let is_missing = |path: &&&str| !files.iter().any(|(known, _)| known == **path);
    let mut broken: Vec<_> = PURE
        .iter()
        .filter(is_missing)
        .map(|path| format!("{path}: is listed as pure and does not exist"))
        .collect();
    let pure: Vec<_> =
        files.iter().filter(|(path, text)| PURE.contains(&path.as_str()) || says_pure(text)).collect();
    assert!(pure.len() > 50, "only {} pure files found", pure.len());
    for (path, text) in pure {
        let code = shipped(text).lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for name in IMPURE.iter().filter(|name| line.contains(**name)) {
                broken.push(format!("{path}: {name} in `{}` (code line {number})", line.trim()));
            }
        }
    }
    report("a pure file imports no IO", &broken);
}

#[test]
fn nothing_is_left_for_later() {
    let marks =
        ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}")).collect::<Vec<_>>();
    let mut broken = Vec::new();
    for (path, text) in files() {
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric());
            if words.into_iter().any(|word| marks.iter().any(|mark| mark == word)) {
                broken.push(format!("{path}:{}", number + 1));
            }
        }
    }
    report("no stray notes: what is open is an issue, not a comment", &broken);
}

#[test]
fn sql_stands_only_in_stores() {
    let mut broken = Vec::new();
    for (path, text) in rust_files().into_iter().filter(|(path, _)| path.starts_with("controller/src/")) {
        if path.ends_with("store.rs") || is_test(&path) || path.starts_with("controller/src/database") {
            continue;
        }
        for (number, line) in shipped(&text).lines().enumerate() {
            if ["sqlx::query", "QueryBuilder", "\"INSERT INTO ", "\"UPDATE "]
                .iter()
                .any(|name| line.contains(name))
            {
                broken.push(format!("{path}:{}", number + 1));
            }
        }
    }
    report("SQL belongs into a file called store.rs", &broken);
}

#[test]
fn only_its_own_file_knows_sled() {
    let broken: Vec<_> = rust_files()
        .into_iter()
        .filter(|(path, text)| {
            path != "agent/src/outbox/engine/sled.rs"
                && !path.starts_with("tests/tests/tidy")
                // Others name that file's own type.
                && text.replace("engine::sled::", "").contains("sled::")
        })
        .map(|(path, _)| path)
        .collect();
    report("sled is an affair of agent/src/outbox/engine/sled.rs alone", &broken);
}

#[test]
fn lints_are_silenced_with_a_reason_and_expire() {
    let mut broken = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            let silenced = line.trim_start();
            if silenced.starts_with("#[allow(") || silenced.starts_with("#![allow(") {
                broken.push(format!("{path}:{}: {silenced}", number + 1));
            }
        }
    }
    report("use #[expect(lint, reason = \"…\")]", &broken);
}

#[test]
fn no_name_says_nothing() {
    let empty = ["utils", "helpers", "common", "manager", "misc"];
    let broken: Vec<_> = files()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            let names = path.split(['/', '.', '_', '-']);
            names.into_iter().any(|name| empty.contains(&name))
        })
        .collect();
    report("a file is named by what it is for", &broken);
}

#[test]
fn the_project_names_no_place_of_one_machine() {
    let places = ["/ro\u{6f}t/", "/w\u{6f}rk/", "/home/"];
    let mut broken = Vec::new();
    for (path, text) in
        files().into_iter().filter(|(path, _)| path != "Cargo.lock" && path != "tests/tests/tidy.rs")
    {
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                broken.push(format!("{path}:{}", number + 1));
            }
        }
    }
    report("paths of one machine do not belong into the project", &broken);
}

#[test]
fn the_top_level_is_what_the_owner_set() {
    let allowed = [
        ".ci",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "agent",
        "clippy.toml",
        "controller",
        "deny.toml",
        "packaging",
        "rustfmt.toml",
        "shared",
        "systemd",
        "tests",
    ];
    let mut broken: Vec<_> = files()
        .into_iter()
        .map(|(path, _)| path.split('/').next().unwrap_or_default().to_owned())
        .filter(|name| !allowed.contains(&name.as_str()))
        .collect();
    broken.dedup();
    report("the top level holds only what is agreed", &broken);
}
