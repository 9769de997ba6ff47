//! Against a real SQLite file.

use sqlx::Executor as _;

use super::*;
use crate::database::{Database, Together, Transaction};
use crate::payments::testing::world;
use crate::testing::TemporaryDirectory;

async fn open() -> (TemporaryDirectory, Transaction, LineId) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let line = world(&database).await.line;
    (directory, database.write().await.unwrap(), line)
}

fn period(from: i64, to: i64, bytes: Option<u64>) -> Period {
    Period { started_at: UnixMillis(from), ends_at: UnixMillis(to), bytes }
}

async fn begun(write: &mut Transaction, line: &LineId, period: Period) {
    let mut together = Together::default();
    begin(&mut together, line, period);
    together.execute(write).await.unwrap();
}

#[tokio::test]
async fn a_site_is_told_of_the_running_period_and_of_those_bought_ahead() {
    let (_directory, mut write, line) = open().await;
    for bought in [period(0, 10, Some(5)), period(10, 20, Some(6)), period(20, 30, None)] {
        begun(&mut write, &line, bought).await;
    }
    for (now, expected) in
        [(-1, vec![0, 10, 20]), (0, vec![0, 10, 20]), (10, vec![10, 20]), (29, vec![20]), (99, vec![20])]
    {
        let told = periods_of(&mut write, &line, UnixMillis(now)).await.unwrap();
        assert_eq!(told.iter().map(|period| period.started_at.0).collect::<Vec<_>>(), expected, "{now}");
    }
}

#[tokio::test]
async fn a_top_up_adds_to_the_running_period_alone() {
    let (_directory, mut write, line) = open().await;
    begun(&mut write, &line, period(0, 10, Some(5))).await;
    begun(&mut write, &line, period(10, 20, None)).await;
    assert!(top_up(&mut write, &line, 7, UnixMillis(9)).await.unwrap());
    assert!(!top_up(&mut write, &line, 7, UnixMillis(10)).await.unwrap(), "it has no limit");
    assert!(!top_up(&mut write, &line, 7, UnixMillis(20)).await.unwrap(), "none runs");
    let standing = standing(&mut write, &line, UnixMillis(5)).await.unwrap().unwrap();
    assert_eq!((standing.bytes, standing.topped_up_bytes, standing.left_bytes()), (Some(12), 7, Some(12)));
    let periods = periods_of(&mut write, &line, UnixMillis(5)).await.unwrap();
    assert_eq!(periods, [period(0, 10, Some(12)), period(10, 20, None)]);
    assert!(may_top_up(&periods, UnixMillis(5)) && !may_top_up(&periods, UnixMillis(10)));
}

#[tokio::test]
async fn what_was_used_elsewhere_is_all_but_what_this_store_told() {
    let (_directory, mut write, line) = open().await;
    begun(&mut write, &line, period(100, 200, Some(50))).await;
    write
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "INSERT INTO sites (id, name, created_at) VALUES ('old', 'Old', 1); \
             INSERT INTO desired_lines (site_id, line_id, generation, line) VALUES ('nyeri-01', '{line}', 1, '{{}}'); \
             INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes, \
                                         download_bytes, period_started_at, store_epoch) \
                 VALUES ('nyeri-01', 'now', '{line}', 1, 1, 0, 1, 1, 100, 7), \
                        ('nyeri-01', 'lost', '{line}', 1, 1, 0, 10, 1, 100, 6), \
                        ('nyeri-01', 'before', '{line}', 1, 1, 0, 1000, 1, 50, 6), \
                        ('old', 'moved', '{line}', 1, 1, 0, 100, 1, 100, 7);"
        ))))
        .await
        .unwrap();
    let site = SiteId::parse("nyeri-01").unwrap();
    let expected = LineUsage { line: line.clone(), period_started_at: UnixMillis(100), bytes: 112 };
    for only in [None, Some(&line)] {
        let found = used_elsewhere(&mut write, (&site, 7), only, UnixMillis(150)).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&expected));
    }
    let another = LineId::parse("another").unwrap();
    assert_eq!(used_elsewhere(&mut write, (&site, 7), Some(&another), UnixMillis(150)).await.unwrap(), []);
    assert_eq!(
        used_elsewhere(&mut write, (&site, 7), None, UnixMillis(200)).await.unwrap(),
        [],
        "it is over"
    );
    let standing = standing(&mut write, &line, UnixMillis(150)).await.unwrap().unwrap();
    assert_eq!((standing.used_bytes, standing.left_bytes()), (114, Some(0)), "no less than nothing is left");
}

#[tokio::test]
async fn what_was_moved_in_a_period_without_a_limit_is_what_its_history_says() {
    let (_directory, mut write, line) = open().await;
    // The 22nd of September 2026, 01:00 of Nairobi, and a bit.
    let (hour, day) = (1_790_028_000_000_i64, 1_790_024_400_000_i64);
    assert_eq!(usage::history::day_of(UnixMillis(hour)).0, day);
    begun(&mut write, &line, period(hour + 60_000, hour + 30 * 86_400_000, None)).await;
    write
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "INSERT INTO usage_hours VALUES ({}, '{line}', 1000, 0), ({hour}, '{line}', 1, 2), ({}, '{line}', 4, 8);
             INSERT INTO usage_days VALUES ({day}, '{line}', 1005, 10), ({}, '{line}', 16, 32), ({}, 'other', 64, 64);",
            hour - 3_600_000,
            hour + 3_600_000,
            day + 86_400_000,
            day + 86_400_000,
        ))))
        .await
        .unwrap();
    let used = async |write: &mut Transaction, now| {
        standing(write, &line, UnixMillis(now)).await.unwrap().unwrap().used_bytes
    };
    assert_eq!(used(&mut write, hour + 120_000).await, 3);
    assert_eq!(used(&mut write, hour + 3_700_000).await, 15);
    assert_eq!(used(&mut write, day + 2 * 86_400_000).await, 63);
}

#[tokio::test]
async fn of_periods_far_ahead_a_site_is_told_when_it_is_their_turn() {
    let (_directory, mut write, line) = open().await;
    let bought = i64::from(TOLD) + 2;
    for number in 0..bought {
        begun(&mut write, &line, period(number * 10, number * 10 + 10, Some(5))).await;
    }
    let until = UnixMillis(bought * 10);
    crate::subscriptions::activate(&mut write, Together::default(), (&line, until), UnixMillis(0))
        .await
        .unwrap();
    let site = SiteId::parse("nyeri-01").unwrap();
    let last_told = async |write: &mut Transaction| {
        let told = desired::store::line_at(write, &site, &line).await.unwrap().unwrap();
        told.quotas.last().unwrap().from_ms
    };
    assert_eq!(last_told(&mut write).await, 240);
    assert_eq!(follow_up_ended(&mut write, UnixMillis(9), 9).await.unwrap(), (0, false), "none is over");
    assert_eq!(follow_up_ended(&mut write, UnixMillis(10), 9).await.unwrap(), (1, true));
    assert_eq!(last_told(&mut write).await, 250);
    assert_eq!(follow_up_ended(&mut write, UnixMillis(10), 9).await.unwrap(), (0, false), "once");
    assert_eq!(follow_up_ended(&mut write, UnixMillis(25), 9).await.unwrap(), (1, true));
    assert_eq!(last_told(&mut write).await, 260);
    assert_eq!(follow_up_ended(&mut write, UnixMillis(30), 9).await.unwrap(), (1, false), "all is told");
}
