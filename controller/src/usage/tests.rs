//! Against a real SQLite file.

use sqlx::Executor as _;

use super::*;
use crate::database::{Database, Transaction};
use crate::testing::TemporaryDirectory;

async fn open() -> (TemporaryDirectory, Transaction) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let mut write = database.write().await.unwrap();
    write
        .execute(
            "INSERT INTO sites (id, name, created_at) VALUES ('a', 'A', 1), ('b', 'B', 1);
             INSERT INTO desired_lines (site_id, line_id, generation, is_removed, router_name, service, username,
                                        password, profile_name, access)
                 VALUES ('a', 'l1', 1, 0, 'core', 1, 'u', 'p', 'x', 1), ('a', 'gone', 2, 1, 'core', 1, 'u', 'p', 'x', 1);",
        )
        .await
        .unwrap();
    (directory, write)
}

fn session(line: &str, key: &str, sampled_at: i64, download_bytes: u64) -> SessionUsageV1 {
    SessionUsageV1 {
        line: line.into(),
        session: key.into(),
        started_at_ms: 1,
        sampled_at_ms: sampled_at,
        upload_bytes: 1,
        download_bytes,
        is_ended: false,
        address: "10.0.0.2".into(),
    }
}

#[tokio::test]
async fn totals_never_go_back_and_an_ended_session_stays_ended() {
    let (_directory, mut write) = open().await;
    let (site, line) = (SiteId::parse("a").unwrap(), LineId::parse("l1").unwrap());
    let mut ended = session("l1", "s", 20, 200);
    ended.is_ended = true;
    let mut late = session("l1", "s", 10, 100);
    late.address = String::new();
    for told in [&session("l1", "s", 5, 50), &ended, &late, &ended] {
        assert_eq!(take(&mut write, &site, told).await.unwrap(), Taken::Recorded);
    }
    let kept = sessions_of_line(&mut write, &line, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].download_bytes, kept[0].sampled_at, kept[0].is_ended), (200, UnixMillis(20), true));
    assert_eq!(kept[0].address, "10.0.0.2", "an unknown address takes no known one away");
}

#[tokio::test]
async fn totals_add_up_over_sessions_and_hold_the_largest_counter() {
    let (_directory, mut write) = open().await;
    let (site, line) = (SiteId::parse("a").unwrap(), LineId::parse("l1").unwrap());
    assert_eq!(totals_of_line(&mut write, &line).await.unwrap(), Totals::default());
    take(&mut write, &site, &session("l1", "s1", 5, 1 << 40)).await.unwrap();
    take(&mut write, &site, &session("l1", "s2", 5, 7)).await.unwrap();
    let totals = totals_of_line(&mut write, &line).await.unwrap();
    assert_eq!(totals, Totals { upload_bytes: 2, download_bytes: (1 << 40) + 7, sessions: 2 });
    take(&mut write, &site, &session("l1", "s3", 5, u64::MAX)).await.unwrap();
    assert!(
        sessions_of_line(&mut write, &line, 10)
            .await
            .unwrap()
            .iter()
            .any(|kept| kept.download_bytes > 1 << 62)
    );
}

#[tokio::test]
async fn a_site_reports_only_lines_that_it_has_or_had() {
    let (_directory, mut write) = open().await;
    let (a, b) = (SiteId::parse("a").unwrap(), SiteId::parse("b").unwrap());
    assert_eq!(take(&mut write, &b, &session("l1", "s", 1, 1)).await.unwrap(), Taken::ForeignLine);
    assert_eq!(take(&mut write, &a, &session("none", "s", 1, 1)).await.unwrap(), Taken::ForeignLine);
    assert_eq!(take(&mut write, &a, &session("gone", "s", 1, 1)).await.unwrap(), Taken::Recorded);
}

#[tokio::test]
async fn a_session_cannot_change_its_line() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    take(&mut write, &site, &session("l1", "s", 1, 10)).await.unwrap();
    take(&mut write, &site, &session("gone", "s", 2, 99)).await.unwrap();
    let kept = sessions_of_line(&mut write, &LineId::parse("l1").unwrap(), 10).await.unwrap();
    assert_eq!(kept[0].download_bytes, 10);
}
