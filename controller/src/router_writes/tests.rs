//! The API log in the database: kept once, found by what is asked, forgotten in time, and never with a password.

use tawi_shared::UnixMillis;
use tawi_shared::wire::{RouterWriteV1, WriteStatus};

use super::search::Asked;
use super::*;
use crate::database::Database;
use crate::payments::testing::{World, world};
use crate::testing::TemporaryDirectory;

const NOW: UnixMillis = UnixMillis(1_795_656_344_000);

async fn opened() -> (TemporaryDirectory, Database, World) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    (directory, database, world)
}

fn write(at: UnixMillis, operation: &str, parameters: &str, status: WriteStatus) -> RouterWriteV1 {
    RouterWriteV1 {
        at_ms: at.0,
        router: "core".into(),
        operation: operation.into(),
        parameters: parameters.into(),
        line: None,
        status: status.code(),
        detail: if status == WriteStatus::Refused { "no such profile 50%".into() } else { String::new() },
    }
}

#[tokio::test]
async fn writes_are_kept_once_and_found_by_what_is_asked() {
    let (_directory, database, world) = opened().await;
    let mut connection = database.write().await.unwrap();
    let at = |seconds: u64| NOW.minus(std::time::Duration::from_secs(seconds));
    let kept = [
        (write(at(30), "/ppp/secret/add", "name=a password=***", WriteStatus::Done), Some(&world.line)),
        (write(at(20), "/ppp/secret/set", "disabled=yes", WriteStatus::Refused), None),
        (write(at(10), "/ip/hotspot/user/set", "profile=x_y", WriteStatus::Unknown), None),
    ];
    for _ in 0..2 {
        for (seq, (write, line)) in (1..).zip(&kept) {
            keep(&mut connection, &world.site, (7, seq, 0), write, *line, NOW).await.unwrap();
        }
    }
    for (asked, expected) in [
        (Asked::default(), vec!["/ip/hotspot/user/set", "/ppp/secret/set", "/ppp/secret/add"]),
        (
            Asked { operation: "SECRET".into(), ..Asked::default() },
            vec!["/ppp/secret/set", "/ppp/secret/add"],
        ),
        (Asked { status: "refused".into(), ..Asked::default() }, vec!["/ppp/secret/set"]),
        (Asked { text: "50%".into(), ..Asked::default() }, vec!["/ppp/secret/set"]),
        (Asked { text: "x_y".into(), ..Asked::default() }, vec!["/ip/hotspot/user/set"]),
        (Asked { text: "xzy".into(), ..Asked::default() }, vec![]),
        (Asked { line: world.line.to_string(), ..Asked::default() }, vec!["/ppp/secret/add"]),
        (Asked { customer: world.customer.id.to_string(), ..Asked::default() }, vec!["/ppp/secret/add"]),
        (Asked { site: "elsewhere".into(), ..Asked::default() }, vec![]),
        (Asked { router: "roof".into(), ..Asked::default() }, vec![]),
    ] {
        let search = asked.read(NOW).unwrap();
        let found = find(&mut connection, &search, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|write| write.operation.as_str()).collect();
        assert_eq!(found, expected, "{asked:?}");
    }
    let mut pages = Vec::new();
    let mut before = String::new();
    loop {
        let search = Asked { before: before.clone(), ..Asked::default() }.read(NOW).unwrap();
        let Some(last) = find(&mut connection, &search, 1).await.unwrap().pop() else { break };
        before.clone_from(&last.id);
        pages.push(last.at);
    }
    assert_eq!(pages, [at(10), at(20), at(30)], "page by page, each once");
    assert_eq!(forget(&mut connection, NOW, 10).await.unwrap(), 0);
    assert_eq!(forget(&mut connection, UnixMillis(NOW.0 + 1), 2).await.unwrap(), 2);
}

/// The site's clock was a day ahead, and was set right between the second and the third.
#[tokio::test]
async fn writes_of_a_clock_that_was_ahead_stand_where_they_were_heard_in_the_sites_own_order() {
    let (_directory, database, world) = opened().await;
    let mut connection = database.write().await.unwrap();
    let ahead = NOW.plus(std::time::Duration::from_secs(86_400));
    let kept = [(8, ahead, "/first"), (9, ahead, "/second"), (10, NOW, "/third"), (11, NOW, "/fourth")];
    for (seq, at, operation) in kept {
        let write = write(at, operation, "", WriteStatus::Done);
        keep(&mut connection, &world.site, (7, seq, 0), &write, None, NOW).await.unwrap();
    }
    let search = Asked::default().read(NOW).unwrap();
    let found = find(&mut connection, &search, 10).await.unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|write| {
            let is_doubtful = sites::is_time_doubtful(write.at, write.received_at);
            (write.operation.as_str(), write.at == ahead, is_doubtful)
        })
        .collect();
    let expected = [("/fourth", false), ("/third", false), ("/second", true), ("/first", true)];
    assert_eq!(shown, expected.map(|(operation, is_ahead)| (operation, is_ahead, is_ahead)));
}

#[tokio::test]
async fn what_an_agent_says_is_cut_to_what_a_page_can_show() {
    let (_directory, database, world) = opened().await;
    let mut connection = database.write().await.unwrap();
    let wild = RouterWriteV1 {
        at_ms: i64::MIN,
        router: "No Router!".into(),
        operation: "x".repeat(10_000),
        parameters: "é\n".repeat(10_000),
        line: None,
        status: 999,
        detail: "\u{7}".repeat(100),
    };
    keep(&mut connection, &world.site, (u32::MAX, u64::MAX, 0), &wild, None, NOW).await.unwrap();
    let search = Asked { from: "1970-01-01T03:00".into(), ..Asked::default() }.read(NOW).unwrap();
    let found = find(&mut connection, &search, 10).await.unwrap().pop().unwrap();
    assert_eq!((found.router.as_str(), found.status, found.detail.as_str()), ("", None, ""));
    assert_eq!((found.operation.len(), found.parameters.chars().count()), (80, 500));
}
