//! What pages show of where a line was last seen, by what its site tells of sessions.

use tawi_shared::envelope::FLAG_HISTORICAL;

use super::*;

/// The queue of a line where nobody logs in counts from before anybody has its address.
#[tokio::test]
async fn a_line_where_nobody_logs_in_was_seen_once_it_has_moved_something() {
    let link = Link::open().await;
    let mut write = link.house.controller.database.write().await.unwrap();
    let nobody_logs_in = "UPDATE connection_types SET service_name = 'static', family = 'static'";
    sqlx::raw_sql(nobody_logs_in).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let mut batch = usage_of(&link.world.line, 0);
    batch.sessions[0].upload_bytes = 0;
    for (download, seq, expected) in [(0, 1, 0), (1, 2, 1)] {
        batch.sessions[0].download_bytes = download;
        agent.say(Up::Usage, &batch, (EPOCH, seq)).await;
        assert_eq!(cursor(&mut agent).await.cursor, seq);
        let seen = link.column("SELECT COUNT(*) FROM subscriptions WHERE last_address = '10.0.0.2'").await;
        assert_eq!(seen, expected, "{download}");
    }
    link.close().await;
}

/// Events come at once, and the total of the session before may come a minute later.
#[tokio::test]
async fn who_came_online_is_seen_at_the_new_address_although_the_last_session_is_told_of_later() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let came = EventV1 { detail: "10.0.0.9".into(), ..event(EventKind::LineOnline, Some(&link.world.line)) };
    agent.say(Up::Event, &came, (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    let mut batch = usage_of(&link.world.line, 7);
    let came_with = "SELECT COUNT(*) FROM subscriptions WHERE last_address = '10.0.0.9'";
    let runs_with = "SELECT COUNT(*) FROM subscriptions WHERE last_address = '10.0.0.2'";
    for (is_ended, seq, seen) in [(true, 1, came_with), (false, 2, runs_with)] {
        batch.sessions[0].is_ended = is_ended;
        batch.sessions[0].session = format!("core:1:{seq}");
        agent.say(Up::Usage, &batch, (EPOCH, seq)).await;
        assert_eq!(cursor(&mut agent).await.cursor, seq);
        assert_eq!(link.column(seen).await, 1, "{seen}");
    }
    link.close().await;
}

/// Who comes and goes is told minutes later.
#[tokio::test]
async fn a_line_is_online_since_it_came_and_not_since_head_office_heard_of_it() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let now = link.house.controller.clock.now().0;
    let since = "SELECT online_changed_at FROM subscriptions";
    for (seq, kind, at_ms, expected) in [
        (1, EventKind::LineOnline, now - 200_000, now - 200_000..=now - 200_000),
        // A clock that is wrong.
        (2, EventKind::LineOffline, now + 86_400_000, now..=now + 60_000),
        (3, EventKind::LineOnline, 5, now - 45 * 86_400_000..=now + 60_000 - 45 * 86_400_000),
    ] {
        let told = EventV1 { at_ms, ..event(kind, Some(&link.world.line)) };
        agent.say(Up::Event, &told, (EPOCH, seq)).await;
        assert_eq!(cursor(&mut agent).await.cursor, seq);
        let found = link.column(since).await;
        assert!(expected.contains(&found), "{kind:?}: {found}");
    }
    link.close().await;
}

/// A site that was cut off tells first how its lines stand, and the history of it hours later.
#[tokio::test]
async fn what_was_noted_while_a_site_was_cut_off_never_stands_against_what_is_later() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let now = link.house.controller.clock.now().0;
    let (online, offline) = (EventKind::LineOnline, EventKind::LineOffline);
    for (seq, (kind, ago, is_history, expected)) in (1..).zip([
        (online, 900_000, false, (1, 900_000)),
        (online, 300_000, true, (1, 300_000)),
        (offline, 600_000, true, (1, 300_000)),
        (offline, 200_000, true, (0, 200_000)),
        (online, 100_000, false, (1, 100_000)),
        (offline, 150_000, true, (1, 100_000)),
        // It went and came while nobody could tell; that it came is heard first, and is no news.
        (online, 50_000, false, (1, 100_000)),
        (offline, 70_000, true, (1, 100_000)),
        // Who dialled in again within one look at the router is online, in whichever order that is told.
        (offline, 40_000, true, (0, 40_000)),
        (online, 40_000, true, (1, 40_000)),
        (offline, 40_000, true, (1, 40_000)),
    ]) {
        let told = EventV1 { at_ms: now - ago, ..event(kind, Some(&link.world.line)) };
        let flags = if is_history { FLAG_HISTORICAL } else { 0 };
        let envelope = wire::encode(&told, flags, EPOCH, seq).unwrap();
        agent.publish(&Up::Event.topic(&link.world.site), envelope).await;
        assert_eq!(cursor(&mut agent).await.cursor, seq);
        let found = (
            link.column("SELECT is_online FROM subscriptions").await,
            now - link.column("SELECT online_changed_at FROM subscriptions").await,
        );
        assert_eq!(found, expected, "{seq}");
    }
    link.close().await;
}
