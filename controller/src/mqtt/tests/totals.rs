//! Totals of many sessions: in one message, and by short names once both ends speak of them.

use tawi_shared::wire::{RunningTotalV1, UsageTotalsV1, WelcomeV1, short_name};

use super::*;

fn totals(named: &[(&str, u64)]) -> UsageTotalsV1 {
    let total = |(session, bytes): &(&str, u64)| RunningTotalV1 {
        session: short_name(session),
        seconds_before: 1,
        upload_bytes: 5,
        download_bytes: *bytes,
    };
    UsageTotalsV1 { sampled_at_ms: 9_000, totals: named.iter().map(total).collect() }
}

impl Link {
    async fn moved(&self) -> i64 {
        self.column("SELECT CAST(COALESCE(SUM(download_bytes), 0) AS BIGINT) FROM usage_sessions").await
    }
}

async fn committed(agent: &mut Agent, position: u64) {
    loop {
        let told = cursor(agent).await;
        if (told.lane, told.cursor) == (Lane::Usage.code(), position) {
            return;
        }
    }
}

#[tokio::test]
async fn who_speaks_it_is_welcomed_and_tells_running_totals_by_short_names() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &HelloV1 { protocol_newest: 7, ..fresh() }, (EPOCH, 0)).await;
    assert_eq!(agent.heard().await, DownMessage::Welcome(WelcomeV1 { protocol: 3 }));
    match agent.heard().await {
        DownMessage::Cursors(told) => {
            assert_eq!(told.cursors, [(1, 0), (2, 0), (3, 0)], "all in one message");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(agent.heard().await, DownMessage::Snapshot(_)));
    agent.say(Up::Usage, &usage_of(&link.world.line, 100), (EPOCH, 1)).await;
    committed(&mut agent, 1).await;
    // One that nobody named is passed over, and the others count.
    agent.say(Up::Usage, &totals(&[("never named", 7_777), ("core:1:1", 250)]), (EPOCH, 2)).await;
    committed(&mut agent, 2).await;
    assert_eq!(link.moved().await, 250);
    assert_eq!(link.column("SELECT sampled_at FROM usage_sessions").await, 8_000);
    assert_eq!(link.column("SELECT CAST(SUM(download_bytes) AS BIGINT) FROM usage_hours").await, 250);
    // Twice is once, and less is nothing.
    agent.say(Up::Usage, &totals(&[("core:1:1", 250)]), (EPOCH, 2)).await;
    agent.say(Up::Usage, &totals(&[("core:1:1", 90)]), (EPOCH, 3)).await;
    committed(&mut agent, 3).await;
    assert_eq!(link.moved().await, 250);
    // What is over has no short name any more.
    let mut over = usage_of(&link.world.line, 300);
    over.sessions[0].is_ended = true;
    agent.say(Up::Usage, &over, (EPOCH, 4)).await;
    agent.say(Up::Usage, &totals(&[("core:1:1", 999)]), (EPOCH, 5)).await;
    committed(&mut agent, 5).await;
    assert_eq!(link.moved().await, 300);
    link.close().await;
}

#[tokio::test]
async fn a_short_name_that_two_sessions_have_is_nobodys() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(fresh()).await;
    assert!(matches!(agent.heard().await, DownMessage::Snapshot(_)), "and no welcome that it would not know");
    let mut both = usage_of(&link.world.line, 100);
    let other = SessionUsageV1 { session: "core:1:2".into(), ..both.sessions[0].clone() };
    both.sessions.push(other);
    agent.say(Up::Usage, &both, (EPOCH, 1)).await;
    committed(&mut agent, 1).await;
    let mut write = link.house.controller.database.write().await.unwrap();
    sqlx::query("UPDATE usage_sessions SET short_name = (SELECT MIN(short_name) FROM usage_sessions)")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    agent.say(Up::Usage, &totals(&[("core:1:1", 900), ("core:1:2", 900)]), (EPOCH, 2)).await;
    committed(&mut agent, 2).await;
    assert_eq!(link.moved().await, 200);
    // Named anew they are known again, each by its own.
    agent.say(Up::Usage, &both, (EPOCH, 3)).await;
    agent.say(Up::Usage, &totals(&[("core:1:1", 900), ("core:1:2", 900)]), (EPOCH, 4)).await;
    committed(&mut agent, 4).await;
    assert_eq!(link.moved().await, 1_800);
    link.close().await;
}

#[tokio::test]
async fn a_report_of_hundreds_of_lines_is_one_hint() {
    let mut desk = Desk::open().await;
    desk.tell_of_line().await;
    let mut usage = usage_of(&desk.world.line, 1);
    for number in 0..300 {
        let session = SessionUsageV1 { session: format!("s{number}"), ..usage.sessions[0].clone() };
        usage.sessions.push(session);
    }
    let effects = desk.take(&usage, (EPOCH, 1)).await;
    let mut hints = effects.hints;
    hints.dedup();
    assert_eq!(hints, [crate::live::Hint::Site(desk.world.site.clone())]);
    desk.house.close().await;
}
