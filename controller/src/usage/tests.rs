//! Against a real SQLite file.

use sqlx::Executor as _;

use super::*;
use crate::database::{Database, Transaction};
use crate::testing::TemporaryDirectory;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

async fn open() -> (TemporaryDirectory, Transaction) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let mut write = database.write().await.unwrap();
    write
        .execute(
            "INSERT INTO sites (id, name, created_at) VALUES ('a', 'A', 1), ('b', 'B', 1);
             INSERT INTO desired_lines (site_id, line_id, generation, is_removed, line)
                 VALUES ('a', 'l1', 1, 0, '{}'), ('a', 'gone', 2, 1, '{}');",
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
        period_started_ms: 0,
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
        assert_eq!(take(&mut write, (&site, 1), told, NOW, || true).await.unwrap(), Taken::Recorded);
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
    take(&mut write, (&site, 1), &session("l1", "s1", 5, 1 << 40), NOW, || true).await.unwrap();
    take(&mut write, (&site, 1), &session("l1", "s2", 5, 7), NOW, || true).await.unwrap();
    let totals = totals_of_line(&mut write, &line).await.unwrap();
    assert_eq!(totals, Totals { upload_bytes: 2, download_bytes: (1 << 40) + 7, sessions: 2 });
    take(&mut write, (&site, 1), &session("l1", "s3", 5, TOTAL_BYTES), NOW, || true).await.unwrap();
    let kept = sessions_of_line(&mut write, &line, 10).await.unwrap();
    assert!(kept.iter().any(|kept| kept.download_bytes == TOTAL_BYTES));
}

#[tokio::test]
async fn totals_that_cannot_be_are_refused_and_the_sum_stays_readable() {
    let (_directory, mut write) = open().await;
    let (site, line) = (SiteId::parse("a").unwrap(), LineId::parse("l1").unwrap());
    let mut told = session("l1", "s1", 5, 7);
    assert_eq!(take(&mut write, (&site, 1), &told, NOW, || true).await.unwrap(), Taken::Recorded);
    for (key, bytes) in [("s1", u64::MAX), ("s2", u64::MAX), ("s3", TOTAL_BYTES + 1)] {
        (told.session, told.download_bytes) = (key.into(), bytes);
        assert_eq!(
            take(&mut write, (&site, 1), &told, NOW, || true).await.unwrap(),
            Taken::Unbelievable,
            "{bytes}"
        );
        (told.upload_bytes, told.download_bytes) = (bytes, 1);
        assert_eq!(
            take(&mut write, (&site, 1), &told, NOW, || true).await.unwrap(),
            Taken::Unbelievable,
            "{bytes}"
        );
        told.upload_bytes = 1;
    }
    let totals = totals_of_line(&mut write, &line).await.unwrap();
    assert_eq!(totals, Totals { upload_bytes: 1, download_bytes: 7, sessions: 1 });
}

#[tokio::test]
async fn any_number_of_the_largest_totals_has_a_sum() {
    let (_directory, mut write) = open().await;
    let many = "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 9000)
         INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes,
                                     download_bytes)
         SELECT 'a', n, 'l1', 1, 1, 0, 1125899906842624, 1 FROM counted";
    sqlx::query(many).execute(&mut *write).await.unwrap();
    let totals = totals_of_line(&mut write, &LineId::parse("l1").unwrap()).await.unwrap();
    assert!(totals.upload_bytes > 1 << 62, "{totals:?}");
    assert_eq!((totals.download_bytes, totals.sessions), (9_000, 9_000));
}

#[tokio::test]
async fn names_and_addresses_that_no_agent_sends_are_refused() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    let (name, address) = ("s".repeat(SESSION_BYTES), "1".repeat(ADDRESS_BYTES));
    let told =
        |name: &str, address: &str| SessionUsageV1 { address: address.into(), ..session("l1", name, 1, 1) };
    for (told, expected) in [
        (told(&name, &address), Taken::Recorded),
        (told(&format!("{name}s"), &address), Taken::Unbelievable),
        (told(&name, &format!("{address}1")), Taken::Unbelievable),
        (told("", &address), Taken::Unbelievable),
    ] {
        assert_eq!(take(&mut write, (&site, 1), &told, NOW, || true).await.unwrap(), expected, "{told:?}");
    }
}

#[tokio::test]
async fn a_known_session_goes_on_when_no_new_one_is_taken() {
    let (_directory, mut write) = open().await;
    let (site, line) = (SiteId::parse("a").unwrap(), LineId::parse("l1").unwrap());
    take(&mut write, (&site, 1), &session("l1", "s1", 1, 1), NOW, || true).await.unwrap();
    let later = take(&mut write, (&site, 1), &session("l1", "s1", 2, 9), NOW, || false).await.unwrap();
    let new = take(&mut write, (&site, 1), &session("l1", "s2", 2, 9), NOW, || false).await.unwrap();
    assert_eq!((later, new), (Taken::Recorded, Taken::TooMany));
    assert_eq!(totals_of_line(&mut write, &line).await.unwrap().download_bytes, 9);
}

#[tokio::test]
async fn a_site_reports_only_lines_that_it_has_or_had() {
    let (_directory, mut write) = open().await;
    let (a, b) = (SiteId::parse("a").unwrap(), SiteId::parse("b").unwrap());
    assert_eq!(
        take(&mut write, (&b, 1), &session("l1", "s", 1, 1), NOW, || true).await.unwrap(),
        Taken::ForeignLine
    );
    assert_eq!(
        take(&mut write, (&a, 1), &session("none", "s", 1, 1), NOW, || true).await.unwrap(),
        Taken::ForeignLine
    );
    assert_eq!(
        take(&mut write, (&a, 1), &session("gone", "s", 1, 1), NOW, || true).await.unwrap(),
        Taken::Recorded
    );
}

#[tokio::test]
async fn a_session_cannot_change_its_line() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    take(&mut write, (&site, 1), &session("l1", "s", 1, 10), NOW, || true).await.unwrap();
    take(&mut write, (&site, 1), &session("gone", "s", 2, 99), NOW, || true).await.unwrap();
    let kept = sessions_of_line(&mut write, &LineId::parse("l1").unwrap(), 10).await.unwrap();
    assert_eq!(kept[0].download_bytes, 10);
}

/// The hours and days of a line up to `NOW`, those without a byte left out.
async fn history_of(write: &mut Transaction) -> (Vec<(i64, u64)>, u64) {
    let line = LineId::parse("l1").unwrap();
    let moved = |spans: Vec<(UnixMillis, Amount)>| -> Vec<(i64, u64)> {
        let spans = spans.into_iter().filter(|(_, amount)| amount.total() > 0);
        spans.map(|(at, amount)| (at.0, amount.download_bytes)).collect()
    };
    let hours = moved(hours(write, &line, 48, NOW).await.unwrap());
    let days = moved(days(write, &line, 30, NOW).await.unwrap());
    (hours, days.iter().map(|(_, bytes)| bytes).sum())
}

#[tokio::test]
async fn history_grows_by_what_is_new_of_a_total_however_often_it_is_told() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    let hour = history::hour_of(NOW).0;
    let told = |sampled_at, download_bytes| SessionUsageV1 {
        started_at_ms: hour - 3_600_000,
        upload_bytes: 0,
        ..session("l1", "s", sampled_at, download_bytes)
    };
    let first = told(hour - 1_800_000, 100);
    let second = told(hour + 600_000, 160);
    for report in [&first, &second, &second, &first, &second] {
        let taken = take(&mut write, (&site, 1), report, NOW, || true).await.unwrap();
        assert_eq!(taken, Taken::Recorded);
        if report == &first {
            continue;
        }
        // 100 in the hour before; of the 60 after it three quarters before the full hour, and one behind it.
        assert_eq!(history_of(&mut write).await, (vec![(hour - 3_600_000, 145), (hour, 15)], 160));
    }
    let (line, mut other) = (LineId::parse("l1").unwrap(), told(hour, 7));
    other.session = "s2".into();
    take(&mut write, (&site, 1), &other, NOW, || true).await.unwrap();
    assert_eq!(history_of(&mut write).await.1, 167);
    assert_eq!(totals_of_line(&mut write, &line).await.unwrap().download_bytes, 167, "the same in both");
}

#[tokio::test]
async fn a_session_is_of_the_period_and_the_store_that_told_of_it_last() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    for (epoch, period) in [(1, 100), (2, 100)] {
        let told = SessionUsageV1 { period_started_ms: period, ..session("l1", "s", 1, 1) };
        take(&mut write, (&site, epoch), &told, NOW, || true).await.unwrap();
    }
    let row = sqlx::query("SELECT store_epoch, period_started_at FROM usage_sessions")
        .fetch_one(&mut *write)
        .await
        .unwrap();
    let found: (i64, i64) = (sqlx::Row::get(&row, 0), sqlx::Row::get(&row, 1));
    assert_eq!(found, (2, 100));
    let before_1970 = SessionUsageV1 { period_started_ms: -1, ..session("l1", "s3", 1, 1) };
    assert_eq!(take(&mut write, (&site, 1), &before_1970, NOW, || true).await.unwrap(), Taken::Unbelievable);
}

#[tokio::test]
async fn what_a_session_moved_in_a_new_period_is_not_spread_over_the_old_one() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    let hour = history::hour_of(NOW).0;
    let part = SessionUsageV1 {
        started_at_ms: hour - 5 * history::HOUR,
        period_started_ms: hour - history::HOUR,
        upload_bytes: 0,
        ..session("l1", "s#2", hour, 100)
    };
    take(&mut write, (&site, 1), &part, NOW, || true).await.unwrap();
    assert_eq!(history_of(&mut write).await, (vec![(hour - history::HOUR, 100)], 100));
}

#[tokio::test]
async fn a_site_that_tells_ever_more_of_one_hour_spoils_no_sum() {
    let (_directory, mut write) = open().await;
    let hour = history::hour_of(NOW);
    let most = Amount { upload_bytes: 1 << 62, download_bytes: 1 };
    for _ in 0..4 {
        store::add_to_history(&mut write, "l1", hour, most).await.unwrap();
    }
    let line = LineId::parse("l1").unwrap();
    let told = hours(&mut write, &line, 1, NOW).await.unwrap();
    assert_eq!(told[0].1, Amount { upload_bytes: 9_000_000_000_000_000_000, download_bytes: 4 });
    assert_eq!(days(&mut write, &line, 1, NOW).await.unwrap()[0].1, told[0].1);
}

#[tokio::test]
async fn sessions_of_a_period_that_runs_are_not_forgotten_however_old() {
    let (_directory, mut write) = open().await;
    write
        .execute(
            "PRAGMA foreign_keys = OFF; PRAGMA defer_foreign_keys = ON;
             INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes,
                                         download_bytes, period_started_at)
                 VALUES ('a', 'runs', 'l1', 1, 1, 1, 1, 1, 10), ('a', 'over', 'l1', 1, 1, 1, 1, 1, 5);
             INSERT INTO quota_periods (line_id, started_at, ends_at, bytes) VALUES ('l1', 10, 900, 5), ('l1', 5, 10, 5);",
        )
        .await
        .unwrap();
    let mut forget =
        async |now| store::forget(&mut write, (UnixMillis(100), UnixMillis(now)), 9).await.unwrap();
    assert_eq!((forget(899).await, forget(899).await), (1, 0));
    assert_eq!(forget(900).await, 1);
}

#[tokio::test]
async fn a_report_with_control_characters_in_it_is_not_kept_and_keeps_no_other_back() {
    let (_directory, mut write) = open().await;
    let site = SiteId::parse("a").unwrap();
    let strange: [fn(&mut SessionUsageV1); 3] =
        [|told| told.line.push('\0'), |told| told.session.push('\0'), |told| told.address.push('\0')];
    for spoil in strange {
        let mut told = session("l1", "s", 5, 7);
        spoil(&mut told);
        assert_eq!(take(&mut write, (&site, 1), &told, NOW, || true).await.unwrap(), Taken::Unbelievable);
    }
    let good = session("l1", "s", 5, 7);
    assert_eq!(take(&mut write, (&site, 1), &good, NOW, || true).await.unwrap(), Taken::Recorded);
}

#[tokio::test]
async fn a_session_that_begins_in_the_future_stands_before_no_newer_one() {
    let (_directory, mut write) = open().await;
    let (site, line) = (SiteId::parse("a").unwrap(), LineId::parse("l1").unwrap());
    let hours = |count: u64| Duration::from_secs(count * 3_600);
    let at =
        |key: &str, at: UnixMillis| SessionUsageV1 { started_at_ms: at.0, ..session("l1", key, at.0, 9) };
    let minute_later = NOW.plus(Duration::from_secs(60));
    let ahead = NOW.plus(AHEAD_BELIEVED);
    for (told, now) in [
        (at("fault", NOW.plus(hours(4))), NOW),
        (at("fault", NOW.plus(hours(4))), minute_later),
        (at("newer", minute_later), minute_later),
        (at("skew", ahead), NOW),
    ] {
        assert_eq!(take(&mut write, (&site, 1), &told, now, || true).await.unwrap(), Taken::Recorded);
    }
    let kept = sessions_of_line(&mut write, &line, 10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|kept| (kept.session_key.as_str(), kept.started_at)).collect();
    assert_eq!(kept, [("skew", ahead), ("newer", minute_later), ("fault", NOW)]);
}
