//! Paid time that begins when its site hears of it.

use tawi_shared::wire::StateSnapshotV1;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// The whole, as a site hears it that has nothing.
async fn whole(agent: &mut Agent) -> StateSnapshotV1 {
    match agent.heard().await {
        DownMessage::Snapshot(told) => told,
        other => panic!("{other:?}"),
    }
}

impl Link {
    fn now(&self) -> i64 {
        self.house.controller.clock.now().0
    }

    /// A day was bought so long ago, and the site of the line has not heard of it.
    async fn bought(&self, ago: i64) -> u64 {
        self.world.site_hears_nothing(&self.house.controller.database).await;
        let from = self.now() - ago;
        let generation = self.pay_while_away(from + DAY).await;
        let mut write = self.house.controller.database.write().await.unwrap();
        sqlx::query(
            "INSERT INTO quota_periods (line_id, started_at, ends_at, waits_for_site, waits_for_generation) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(self.world.line.as_str())
        .bind(from)
        .bind(from + DAY)
        .bind(self.world.site.as_str())
        .bind(i64::try_from(generation).unwrap())
        .execute(&mut *write)
        .await
        .unwrap();
        write.commit().await.unwrap();
        generation
    }

    async fn waiting(&self) -> i64 {
        self.column("SELECT COUNT(*) FROM quota_periods WHERE waits_for_generation IS NOT NULL").await
    }
}

#[tokio::test]
async fn a_site_that_is_back_hears_at_once_of_the_time_that_begins_with_it() {
    let link = Link::open().await;
    let bought = link.bought(2 * DAY).await;
    let before = link.now();
    let mut agent = link.greeted(fresh()).await;
    let told = whole(&mut agent).await;
    assert!(told.generation > bought);
    let until = told.lines[0].valid_until_ms.unwrap();
    assert!((before + DAY..=link.now() + DAY).contains(&until), "{until}");
    assert_eq!(link.waiting().await, 1, "it has not stored it yet");
    let stored = StoredV1 { generation: told.generation, stored_at_ms: 1 };
    agent.say(Up::Ack, &stored, (EPOCH, 0)).await;
    link.site_becomes("stored", |site| site.stored_generation == told.generation).await;
    assert_eq!(link.waiting().await, 0);
    link.close().await;
}

/// Otherwise its time would never begin, and never end.
#[tokio::test]
async fn a_site_whose_disk_takes_nothing_has_heard_of_what_it_enforces() {
    let link = Link::open().await;
    let generation = link.bought(0).await;
    let mut agent = link.greeted(fresh()).await;
    let told = whole(&mut agent).await;
    let applied = AppliedV1 {
        generation,
        state_hash: told.state_hash,
        applied_at_ms: 1,
        failures: Vec::new(),
        failures_total: 0,
    };
    agent.say(Up::Ack, &applied, (EPOCH, 0)).await;
    link.site_becomes("applied", |site| site.applied_generation == generation).await;
    assert_eq!((link.site().await.stored_generation, link.waiting().await), (0, 0));
    link.close().await;
}
