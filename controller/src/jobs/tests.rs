//! Each job is run twice: the second run finds nothing to do.

use sqlx::{Executor as _, Row as _};
use tawi_shared::{Clock, UnixMillis};

use super::*;
use crate::database::Database;
use crate::payments::testing::world;
use crate::testing::{Log, TemporaryDirectory};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

async fn open() -> (TemporaryDirectory, Controller) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    world(&database).await;
    (directory, Controller { clock: Clock::manual(NOW), ..Controller::new(database) })
}

async fn write(controller: &Controller, sql: String) {
    let mut transaction = controller.database.write().await.unwrap();
    transaction.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn count(controller: &Controller, query: &'static str) -> i64 {
    let mut read = controller.database.read().await.unwrap();
    sqlx::query(query).fetch_one(&mut *read).await.unwrap().try_get(0).unwrap()
}

#[tokio::test]
async fn a_subscription_whose_time_is_over_is_shown_as_expired() {
    let (_directory, controller) = open().await;
    let until = NOW.0 + 1_000;
    write(&controller, format!("UPDATE subscriptions SET status = 'active', paid_until = {until}")).await;
    expire(&controller).await.unwrap();
    let expired = "SELECT COUNT(*) FROM subscriptions WHERE status = 'expired'";
    assert_eq!(count(&controller, expired).await, 0, "not yet");
    controller.clock.advance(Duration::from_secs(1));
    let mut hints = controller.live.listen();
    for _ in 0..2 {
        expire(&controller).await.unwrap();
        assert_eq!(count(&controller, expired).await, 1);
    }
    assert!(matches!(hints.try_recv(), Ok(Hint::Line(_))));
    assert!(hints.try_recv().is_err(), "told once");
    assert_eq!(
        count(&controller, "SELECT generation FROM sites").await,
        0,
        "the site knew the instant before"
    );
}

#[tokio::test]
async fn a_site_that_is_silent_for_longer_than_any_keep_alive_allows_is_offline() {
    let (_directory, controller) = open().await;
    write(&controller, format!("UPDATE sites SET is_online = 1, last_seen_at = {}", NOW.0)).await;
    let online = "SELECT COUNT(*) FROM sites WHERE is_online = 1";
    // The last ping, and the front door notes it a minute late.
    assert!(SILENCE >= KEEP_ALIVE_LONGEST + SEEN_PERIOD);
    controller.clock.advance(SILENCE);
    mark_silent(&controller, Some(SILENCE)).await.unwrap();
    assert_eq!(count(&controller, online).await, 1, "just in time");
    controller.clock.advance(Duration::from_millis(1));
    let mut hints = controller.live.listen();
    for _ in 0..2 {
        mark_silent(&controller, Some(SILENCE)).await.unwrap();
        assert_eq!(count(&controller, online).await, 0);
    }
    assert!(matches!(hints.try_recv(), Ok(Hint::Site(_))));
    assert!(hints.try_recv().is_err(), "told once");
}

#[tokio::test]
async fn old_events_and_sessions_are_forgotten_and_young_ones_kept() {
    let (_directory, controller) = open().await;
    let old_event = NOW.minus(EVENTS_KEPT).0 - 1;
    let old_session = NOW.minus(SESSIONS_KEPT).0 - 1;
    let mut sql = String::new();
    // More than one transaction's worth.
    for seq in 1..=i64::from(ROWS) + 10 {
        sql += &format!(
            "INSERT INTO site_events (site_id, store_epoch, seq, at, received_at, kind, detail)
                 VALUES ('nyeri-01', 1, {seq}, 1, {old_event}, 1, '');"
        );
    }
    for (key, sampled_at) in [("old", old_session), ("young", old_session + 1)] {
        sql += &format!(
            "INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes,
                                         download_bytes)
                 VALUES ('nyeri-01', '{key}', 'l', 1, {sampled_at}, 1, 1, 1);
             INSERT INTO site_events (site_id, store_epoch, seq, at, received_at, kind, detail)
                 VALUES ('nyeri-01', 2, {sampled_at}, 1, {young}, 1, '');",
            young = old_event + 1
        );
    }
    let old = usage::history::hour_of(NOW.minus(HOURS_KEPT)).0 - 3_600_000;
    let old_day = usage::history::day_of(NOW.minus(DAYS_KEPT)).0 - 86_400_000;
    for (hour, day) in [(old, old_day), (NOW.0, NOW.0)] {
        sql += &format!(
            "INSERT INTO usage_hours VALUES ({hour}, 'l', 1, 1); INSERT INTO usage_days VALUES ({day}, 'l', 1, 1);"
        );
    }
    let old_question = NOW.minus(operator::KEPT).0 - 1;
    for (id, at) in [("old", old_question), ("young", old_question + 1)] {
        sql += &format!(
            "INSERT INTO operator_requests (id, kind, short_code, operator, callback_token, state, requested_by,
                                            created_at, updated_at)
                 VALUES ('{id}', 'balance', '174379', 'api-op', '{id}', 'answered', 'x', {at}, {at});"
        );
    }
    let old_table = NOW.minus(Duration::from_secs(14 * 86_400)).0 - 1;
    for (router, at) in [("core", old_table), ("edge", old_table + 1)] {
        sql += &format!("INSERT INTO adoption_tables VALUES ('nyeri-01', '{router}', 'user', {at});");
    }
    write(&controller, sql).await;
    for _ in 0..2 {
        tidy(&controller).await.unwrap();
        assert_eq!(
            count(&controller, "SELECT COUNT(*) FROM adoption_tables WHERE router_name = 'edge'").await,
            1
        );
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM adoption_tables").await, 1);
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM site_events").await, 2);
        assert_eq!(
            count(&controller, "SELECT COUNT(*) FROM usage_sessions WHERE session_key = 'young'").await,
            1
        );
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM usage_sessions").await, 1);
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM usage_hours").await, 1);
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM usage_days").await, 1);
        let young = "SELECT COUNT(*) FROM operator_requests WHERE id = 'young'";
        assert_eq!(count(&controller, young).await, 1);
        assert_eq!(count(&controller, "SELECT COUNT(*) FROM operator_requests").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_run_at_once_and_end_when_told() {
    let runs = std::cell::Cell::new(0);
    let shutdown = crate::shutdown::Shutdown::default();
    let job = every(Duration::from_secs(10), "test", shutdown.stop(), || {
        runs.set(runs.get() + 1);
        if runs.get() == 3 {
            shutdown.begin();
        }
        std::future::ready(Err(JobError::Database(sqlx::Error::RowNotFound)))
    });
    job.await;
    assert_eq!(runs.get(), 3, "a failure is no end");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_goes_on_failing_is_logged_ever_more_rarely_and_once_when_it_is_well() {
    let log = Log::default();
    let _listening = log.listen();
    let runs = std::cell::Cell::new(0);
    let shutdown = crate::shutdown::Shutdown::default();
    let job = every(Duration::from_secs(1), "test", shutdown.stop(), || {
        runs.set(runs.get() + 1);
        if runs.get() == 103 {
            shutdown.begin();
        }
        let is_well = runs.get() == 101 || runs.get() == 102;
        std::future::ready(if is_well { Ok(()) } else { Err(JobError::Database(sqlx::Error::RowNotFound)) })
    });
    job.await;
    let log = log.text();
    // 1, 2, 4 … 64, and the first after it was well.
    assert_eq!(log.matches("a job failed").count(), 7 + 1, "{log}");
    assert_eq!(log.matches("well again").count(), 1, "{log}");
}

#[tokio::test]
async fn lines_go_on_from_their_wallets_and_the_sites_are_told() {
    let (_directory, controller) = open().await;
    write(
        &controller,
        format!(
            "UPDATE subscriptions SET status = 'active', paid_until = {};
             INSERT INTO ledger_accounts (id, kind, created_at) VALUES ('suspense', 'suspense', 1);
             INSERT INTO ledger_accounts SELECT 'wallet:' || id, 'wallet', 1 FROM customers;
             INSERT INTO ledger_postings SELECT 'gift', 0, 'wallet:' || id, -400000 FROM customers;
             INSERT INTO ledger_postings VALUES ('gift', 1, 'suspense', 400000);
             INSERT INTO ledger_entries VALUES ('gift', 1, 'test', 'gift', 'test', '');",
            NOW.0
        ),
    )
    .await;
    let shutdown = crate::shutdown::Shutdown::default();
    let stop = shutdown.stop();
    let mut hints = controller.live.listen();
    for _ in 0..2 {
        renew(&controller, &stop).await.unwrap();
        let bought =
            count(&controller, "SELECT COUNT(*) FROM ledger_entries WHERE cause_kind = 'renewal'").await;
        assert_eq!(bought, 1, "the rest of the wallet is not enough for another before this one ends");
    }
    assert!(matches!(hints.try_recv(), Ok(Hint::Line(_))));
    assert_eq!(count(&controller, "SELECT COUNT(*) FROM outbox").await, 1);
}
