//! Against a real SQLite file, opened as the controller opens it.

use sqlx::Executor as _;

use super::*;
use crate::database::Database;
use crate::testing::TemporaryDirectory;

async fn open() -> (TemporaryDirectory, Database, LineId) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let mut write = database.write().await.unwrap();
    write
        .execute(
            "INSERT INTO sites (id, name, created_at) VALUES ('a', 'A', 1), ('b', 'B', 1);
             INSERT INTO routers (id, site_id, name, created_at) VALUES ('ra', 'a', 'core', 1), ('rb', 'b', 'core', 1);
             INSERT INTO customers (id, account_number, name, phone, created_at) VALUES ('c', '1', 'C', '254', 1);
             INSERT INTO connection_types (id, service_name, family, profile_name, download_bits_per_second,
                                           upload_bits_per_second, created_at)
                 VALUES ('t', 'pppoe', 'ppp', 'home-10', 10000000, 5000000, 1);
             INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at)
                 VALUES ('p', 'Home', 't', 100, 60, 1);
             INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
                 VALUES ('l1', 'c', 'p', 'ra', '007', 'x', 'draft', 1);",
        )
        .await
        .unwrap();
    write.commit().await.unwrap();
    (directory, database, LineId::parse("l1").unwrap())
}

async fn refresh(database: &Database, line: &LineId, change: &'static str) -> Refreshed {
    let mut write = database.write().await.unwrap();
    write.execute(change).await.unwrap();
    let refreshed = refresh_line(&mut write, line, UnixMillis(5)).await.unwrap();
    write.commit().await.unwrap();
    refreshed
}

fn changed(site: &str, generation: u64) -> Refreshed {
    Refreshed::Changed { site: SiteId::parse(site).unwrap(), generation }
}

#[tokio::test]
async fn a_line_reaches_its_site_when_it_is_paid_and_only_when_something_changed() {
    let (_directory, database, line) = open().await;
    assert_eq!(
        refresh(&database, &line, "SELECT 1").await,
        Refreshed::Unchanged,
        "a draft stays at head office"
    );
    let pay = "UPDATE subscriptions SET status = 'active', paid_until = 1790000000000";
    assert_eq!(refresh(&database, &line, pay).await, changed("a", 1));
    assert_eq!(refresh(&database, &line, pay).await, Refreshed::Unchanged);
    let site = SiteId::parse("a").unwrap();
    let mut read = database.read().await.unwrap();
    let told = store::line_at(&mut read, &site, &line).await.unwrap().unwrap();
    assert_eq!((told.username.as_str(), told.valid_until_ms), ("007", Some(1_790_000_000_000)));
    let profile = plans::profiles::open(
        &store::facts_of(&mut read, &line, UnixMillis(5)).await.unwrap().unwrap().plan.connection_type,
    );
    let state = store::state_of(&mut read, &site).await.unwrap().unwrap();
    assert_eq!(
        state.hash,
        StateHash::of([&told], [&profile]),
        "the running hash equals the hash of the whole"
    );
}

/// A static address works without us, and a bypassed device without a login: until it is paid for, the site bars it.
#[tokio::test]
async fn a_line_on_which_nobody_logs_in_is_told_as_off_before_its_first_payment() {
    for service in ["static", "hotspot-device"] {
        let (_directory, database, line) = open().await;
        let mut write = database.write().await.unwrap();
        let addressed = "UPDATE subscriptions SET address = '10.0.0.9', caller_id = 'AA:BB:CC:DD:EE:0F'";
        write.execute(addressed).await.unwrap();
        sqlx::query("UPDATE connection_types SET service_name = $1, family = 'static'")
            .bind(service)
            .execute(&mut *write)
            .await
            .unwrap();
        write.commit().await.unwrap();
        assert_eq!(refresh(&database, &line, "SELECT 1").await, changed("a", 1), "{service}");
        let site = SiteId::parse("a").unwrap();
        let mut read = database.read().await.unwrap();
        let told = store::line_at(&mut read, &site, &line).await.unwrap().unwrap();
        assert_eq!((told.access, told.valid_until_ms), (Access::Off.code(), None), "{service}");
        assert_eq!((told.address.as_str(), told.password.as_str()), ("10.0.0.9", ""), "{service}");
        assert_eq!(refresh(&database, &line, "SELECT 1").await, Refreshed::Unchanged);
        let pay = "UPDATE subscriptions SET status = 'active', paid_until = 1790000000000";
        assert_eq!(refresh(&database, &line, pay).await, changed("a", 2), "{service}");
    }
}

#[tokio::test]
async fn a_line_that_moves_is_taken_away_where_it_was() {
    let (_directory, database, line) = open().await;
    refresh(&database, &line, "UPDATE subscriptions SET status = 'active', paid_until = 9").await;
    assert_eq!(refresh(&database, &line, "UPDATE subscriptions SET router_id = 'rb'").await, changed("b", 1));
    let mut read = database.read().await.unwrap();
    let old = SiteId::parse("a").unwrap();
    assert_eq!(store::line_at(&mut read, &old, &line).await.unwrap(), None);
    assert_eq!(store::state_of(&mut read, &old).await.unwrap().unwrap().generation, 2);
}

#[tokio::test]
async fn a_site_is_told_all_that_it_needs_to_go_on_alone() {
    let (_directory, database, line) = open().await;
    let all = "UPDATE plans SET data_quota_bytes = 50, suspension = 'walled', after_quota = 'throttled 1000000/512000',
                                offline_hours = 72, offline = 'throttled 2000000/2000000';
         UPDATE subscriptions SET status = 'active', paid_until = 20, address = '10.0.0.9', caller_id = 'AA:BB:CC:DD:EE:0F';
         INSERT INTO quota_periods (line_id, started_at, ends_at, bytes, topped_up_bytes)
             VALUES ('l1', 0, 3, 50, 0), ('l1', 3, 10, 50, 7), ('l1', 10, 20, 60, 0);";
    assert_eq!(refresh(&database, &line, all).await, changed("a", 1), "one generation for line and profiles");
    let mut read = database.read().await.unwrap();
    let parts = snapshot(&mut read, &SiteId::parse("a").unwrap()).await.unwrap();
    let (told, profiles) = (&parts[0].lines[0], &parts[0].profiles);
    let quotas: Vec<(i64, u64)> = told.quotas.iter().map(|quota| (quota.from_ms, quota.bytes)).collect();
    assert_eq!(quotas, [(3, 57), (10, 60)], "the running period with its top-up, and the one bought ahead");
    let offline = told.offline.as_ref().unwrap();
    let named = [&told.suspension.profile, &told.after_quota.profile, &offline.then.profile];
    assert_eq!(named, ["home-10-walled", "home-10-slow-1M-512k", "home-10-slow-2M-2M"]);
    assert!(named.iter().all(|name| profiles.iter().any(|profile| profile.name == **name)), "{profiles:?}");
    assert_eq!((offline.after_hours, profiles.len()), (72, 4));
    assert_eq!((told.address.as_str(), told.caller_id.as_str()), ("10.0.0.9", "AA:BB:CC:DD:EE:0F"));
    assert_eq!(told.password, "x");
    assert_eq!(refresh(&database, &line, "SELECT 1").await, Refreshed::Unchanged);
}

#[tokio::test]
async fn progress_of_a_portion_is_none_for_a_change_that_came_meanwhile() {
    let (_directory, database, line) = open().await;
    let mut write = database.write().await.unwrap();
    let plan = store::facts_of(&mut write, &line, UnixMillis(1)).await.unwrap().unwrap().plan.id;
    queue_refresh(&mut write, &plan, UnixMillis(1)).await.unwrap();
    let begun = store::queued_plan(&mut write).await.unwrap().unwrap();
    // On PostgreSQL another transaction commits this between the portion's first look and its last.
    queue_refresh(&mut write, &plan, UnixMillis(2)).await.unwrap();
    store::note_refreshed(&mut write, &begun, &line).await.unwrap();
    assert_eq!(store::queued_plan(&mut write).await.unwrap().unwrap().after, "");
    store::unqueue_plan(&mut write, &begun).await.unwrap();
    let waits = store::queued_plan(&mut write).await.unwrap().unwrap();
    assert_eq!((&waits.plan, waits.after.as_str()), (&plan, ""));
    store::note_refreshed(&mut write, &waits, &line).await.unwrap();
    let waits = store::queued_plan(&mut write).await.unwrap().unwrap();
    assert_eq!(waits.after, line.as_str());
    store::unqueue_plan(&mut write, &waits).await.unwrap();
    assert!(store::queued_plan(&mut write).await.unwrap().is_none());
}
