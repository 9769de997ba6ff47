//! One simulator, three clients: two of other people and ours. Whatever each of them does, all see the same.
//!
//! The other two are Python programs of their own ([`tawi_tests::interop`]) that print what they saw; ours is driven
//! here, through the same steps. What the simulator took for granted would show as a difference.

#![cfg(test)]

mod ours;
mod simulated;

use std::time::Duration;

use routeros_sim::{Settings, Simulator};
use serde::{Deserialize, Serialize};
use tawi_tests::interop::run_script;

/// A script does some forty commands; this is for a machine that is busy with all other tests.
const SCRIPT_WITHIN: Duration = Duration::from_secs(120);
const USER: &str = "admin";
const PASSWORD: &str = "w=\u{e9}";
const IDENTITY: &str = "Nyali \u{fc}";
/// With a comment that is no UTF-8 on every seventh.
const FOREIGN_SECRETS: usize = 30;

/// What `odd_rows.py` has: the rows that every client writes. The last one it removes again.
const ODD_ROWS: [(&[u8], &[u8]); 7] = [
    (b"007", b"leading zeros"),
    (b"a>b", b"x=y=z"),
    ("k\u{e4}se".as_bytes(), "caf\u{e9} \u{3c0}".as_bytes()),
    (b"x logged out, 1 2 3 4 5", b"two\r\nlines"),
    (b"no text", b"caf\xe9 \xff"),
    (b"nothing", b""),
    (b"gone", b"for a moment"),
];

/// What a client saw; bytes as hexadecimal digits, rows as name, comment and profile, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The router's words to a wrong password.
    refused: String,
    identity: String,
    before: Vec<[String; 3]>,
    /// Names found by an OR of two.
    either: Vec<String>,
    /// Rows of a menu that has none such.
    none: usize,
    /// The router's words to a second removal.
    gone: String,
    /// The router's words to a second addition.
    double: String,
    after: Vec<[String; 3]>,
    /// Whether two commands at a time were told apart. `None` for a client without tags.
    interleaved: Option<bool>,
    /// The name that a listen told of. `None` for a client that cannot listen.
    listened: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn start(release: &str, foreign_secrets: usize) -> Simulator {
    let settings = Settings {
        release: release.parse().unwrap(),
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        identity: IDENTITY.to_owned(),
        foreign_secrets,
        ..Settings::default()
    };
    Simulator::start(settings).await.unwrap()
}

async fn seen_by(script: &str, simulator: &Simulator) -> Seen {
    let arguments = [simulator.api_address().port().to_string(), USER.to_owned(), PASSWORD.to_owned()];
    let printed = run_script(script, &arguments, SCRIPT_WITHIN).await.unwrap();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{script} printed {printed:?}: {error}"))
}

/// What everybody must have seen beyond what they had to see alike.
fn check(client: &str, seen: &Seen) {
    let mut expected = seen.before.clone();
    for (name, comment) in &ODD_ROWS[..ODD_ROWS.len() - 1] {
        let profile: &[u8] = if *name == b"007" { b"default-encryption" } else { b"default" };
        expected.push([hex(name), hex(comment), hex(profile)]);
    }
    expected.sort();
    assert_eq!(seen.after, expected, "{client}");
    assert_eq!(seen.before.len(), FOREIGN_SECRETS, "{client}");
    assert_eq!(
        seen.before.iter().filter(|[_, comment, _]| comment.contains("e9")).count(),
        FOREIGN_SECRETS / 7
    );
    assert_eq!(seen.identity, hex(IDENTITY.as_bytes()), "{client}");
    assert_eq!(seen.either, [hex(b"007"), hex(b"a>b")], "{client}");
    assert_eq!(seen.none, 0, "{client}");
    assert_eq!(seen.refused, "invalid user name or password (6)", "{client}");
    assert!(seen.gone.starts_with("no such item"), "{client}: {}", seen.gone);
    assert!(seen.double.contains("already"), "{client}: {}", seen.double);
}

async fn three_clients_see_the_same(release: &str) {
    let simulator = start(release, FOREIGN_SECRETS).await;
    let ours = ours::drive(&simulator).await;
    check("ours", &ours);
    assert_eq!((ours.interleaved, ours.listened.clone()), (Some(true), Some(hex(b"gone"))));
    ours::remove_odd_rows(&simulator).await;
    for (script, can_listen) in [("drive_librouteros.py", false), ("drive_routeros_api.py", true)] {
        let seen = seen_by(script, &simulator).await;
        check(script, &seen);
        // What it wrote is what we read.
        assert_eq!(ours::rows(&ours::connect(&simulator).await).await, seen.after, "{script}");
        let alike = if can_listen {
            ours.clone()
        } else {
            Seen { interleaved: None, listened: None, ..ours.clone() }
        };
        assert_eq!(seen, alike, "{script}");
        ours::remove_odd_rows(&simulator).await;
    }
    simulator.stop().await;
}

#[tokio::test]
async fn three_clients_see_the_same_on_6_49() {
    three_clients_see_the_same("6.49").await;
}

#[tokio::test]
async fn three_clients_see_the_same_on_7_12() {
    three_clients_see_the_same("7.12").await;
}

#[tokio::test]
async fn three_clients_see_the_same_where_an_empty_menu_is_announced() {
    three_clients_see_the_same("7.18").await;
}

#[tokio::test]
async fn three_clients_see_the_same_where_passwords_are_hidden() {
    three_clients_see_the_same("7.22").await;
}
