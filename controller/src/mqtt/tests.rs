//! The link over real sockets: an agent's end of a TLS connection, and the database behind.

mod answers;
mod deferred;
mod foreign;
mod holes;
mod lightly;
mod seen;
mod settings;
mod spread;
mod totals;

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use sqlx::{AssertSqlSafe, Row as _};
use tawi_shared::UnixMillis;
use tawi_shared::state_hash::StateHash;
use tawi_shared::topics::Up;
use tawi_shared::wire::{
    self, AppliedV1, ByeV1, CursorV1, DownMessage, EventKind, EventV1, FailureKind, HelloV1, Lane,
    LineFailureV1, LineUsageBeforeV1, LineV1, RouterStatusV1, RouterTrouble, SessionUsageV1, StateDeltaV1,
    StoredV1, UsageBatchV1, UsageBeforeV1,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::budget::{Budgets, Limits};
use super::intake::{Effects, Memory, Said};
use crate::broker::note_seen;
use crate::broker::testing::{Agent, House, PATIENCE, connect, settings, will};
use crate::database::Transaction;
use crate::desired::{self, Refreshed};
use crate::ids::LineId;
use crate::payments::testing::{World, world};
use crate::pki::SiteCertificate;
use crate::sites::{self, Site};
use crate::usage;

const EPOCH: u32 = 7;
/// Sooner than a site that was told, and says nothing, is told again.
const AT_ONCE: Duration = Duration::from_secs(9);
/// Whoever waits for the writer gives up after 15 s, and whatever it held up goes on.
const BEFORE_THE_WRITER_IS_GIVEN_UP: Duration = Duration::from_secs(5);

/// A controller whose link runs, with one site and one line.
struct Link {
    house: House,
    world: World,
    certificate: SiteCertificate,
    task: JoinHandle<()>,
}

impl Link {
    async fn open() -> Self {
        let house = House::open(settings()).await;
        let world = world(&house.controller.database).await;
        let certificate = house.certificate(world.site.as_str()).await;
        let stop = house.shutdown.stop();
        let link = super::run(house.controller.clone(), house.broker.address.clone(), stop);
        Self { task: tokio::spawn(link), house, world, certificate }
    }

    async fn agent(&self) -> Agent {
        self.house.agent(self.world.site.as_str(), &self.certificate).await
    }

    /// An agent that has said hello and been told how far each lane is.
    async fn greeted(&self, hello: HelloV1) -> Agent {
        let mut agent = self.agent().await;
        agent.say(Up::Hello, &hello, (EPOCH, 0)).await;
        for lane in [Lane::Event, Lane::Usage, Lane::Log] {
            assert_eq!(cursor(&mut agent).await.lane, lane.code());
        }
        agent
    }

    /// The line is paid up to `until`.
    async fn pay(&self, until: i64) -> u64 {
        let write = self.house.controller.database.write().await.unwrap();
        self.pay_in(write, until).await
    }

    async fn pay_in(&self, mut write: Transaction, until: i64) -> u64 {
        sqlx::query("UPDATE subscriptions SET status = 'active', paid_until = $1 WHERE id = $2")
            .bind(until)
            .bind(self.world.line.as_str())
            .execute(&mut *write)
            .await
            .unwrap();
        let refreshed = desired::refresh_line(&mut write, &self.world.line, UnixMillis(1)).await.unwrap();
        write.commit().await.unwrap();
        self.house.controller.live.ring_outbox();
        match refreshed {
            Refreshed::Changed { generation, .. } => generation,
            other => panic!("{other:?}"),
        }
    }

    /// The same while the site is away: afterwards nothing waits for it but its hello.
    async fn pay_while_away(&self, until: i64) -> u64 {
        let mut hints = self.house.controller.live.listen();
        let generation = self.pay(until).await;
        let emptied = timeout(PATIENCE, async {
            while self.column("SELECT COUNT(*) FROM outbox").await != 0 {
                hints.recv().await.unwrap();
            }
        });
        emptied.await.expect("the outbox is emptied");
        generation
    }

    async fn site(&self) -> Site {
        let mut read = self.house.controller.database.read().await.unwrap();
        sites::get(&mut read, &self.world.site).await.unwrap().unwrap()
    }

    async fn hash(&self) -> StateHash {
        let mut read = self.house.controller.database.read().await.unwrap();
        desired::store::state_of(&mut read, &self.world.site).await.unwrap().unwrap().hash
    }

    async fn column(&self, query: &'static str) -> i64 {
        let mut read = self.house.controller.database.read().await.unwrap();
        sqlx::query(query).fetch_one(&mut *read).await.unwrap().try_get(0).unwrap()
    }

    /// Waits until a site is as it should be; hints tell when to look again.
    async fn site_becomes(&self, what: &str, is_so: impl Fn(&Site) -> bool) -> Site {
        let mut hints = self.house.controller.live.listen();
        let waited = timeout(PATIENCE, async {
            loop {
                let site = self.site().await;
                if is_so(&site) {
                    return site;
                }
                let _ = hints.recv().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    async fn close(self) {
        self.house.close().await;
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn cursor(agent: &mut Agent) -> CursorV1 {
    match agent.heard().await {
        DownMessage::Cursor(cursor) => cursor,
        other => panic!("{other:?}"),
    }
}

async fn delta(agent: &mut Agent) -> StateDeltaV1 {
    match agent.heard().await {
        DownMessage::Delta(delta) => delta,
        other => panic!("{other:?}"),
    }
}

fn hello(connection_epoch: u64, stored_generation: u64, hash: StateHash) -> HelloV1 {
    HelloV1 {
        boot_id: 1,
        connection_epoch,
        protocol_oldest: 1,
        protocol_newest: 1,
        stored_generation,
        applied_generation: 0,
        state_hash: hash.to_bytes(),
        clock_ms: 1,
        is_clock_trusted: true,
        agent_version: "0.1.0".into(),
        routers: vec![RouterStatusV1 {
            name: "core".into(),
            is_reachable: true,
            release: "7.18".into(),
            trouble: 0,
        }],
    }
}

fn fresh() -> HelloV1 {
    hello(1, 0, StateHash::default())
}

fn usage_of(line: &LineId, download_bytes: u64) -> UsageBatchV1 {
    UsageBatchV1 {
        sessions: vec![SessionUsageV1 {
            line: line.to_string(),
            session: "core:1:1".into(),
            started_at_ms: 1,
            sampled_at_ms: 2,
            upload_bytes: 5,
            download_bytes,
            is_ended: false,
            address: "10.0.0.2".into(),
            period_started_ms: 0,
        }],
    }
}

fn event(kind: EventKind, line: Option<&LineId>) -> EventV1 {
    EventV1 {
        at_ms: 9,
        kind: kind.code(),
        line: line.map(ToString::to_string),
        router: None,
        detail: "x".into(),
    }
}

#[tokio::test]
async fn a_payment_reaches_the_site_and_comes_back_verified() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    let site = link.site_becomes("online", |site| site.presence.is_online).await;
    assert_eq!(site.agent_version, "0.1.0");
    let generation = link.pay(1_790_000_000_000).await;
    let told = delta(&mut agent).await;
    assert_eq!((told.from_generation, told.to_generation), (0, generation));
    assert_eq!(told.lines[0].line, link.world.line.as_str());
    assert_eq!(told.state_hash, StateHash::of(&told.lines, &told.profiles).to_bytes());
    agent.say(Up::Ack, &StoredV1 { generation, stored_at_ms: 1 }, (EPOCH, 0)).await;
    link.site_becomes("stored", |site| site.stored_generation == generation).await;
    let failure = LineFailureV1 {
        line: link.world.line.to_string(),
        kind: FailureKind::Refused.code(),
        detail: "no such profile".into(),
    };
    let mut applied = AppliedV1 {
        generation,
        state_hash: told.state_hash,
        applied_at_ms: 1,
        failures: vec![failure],
        failures_total: 1,
    };
    agent.say(Up::Ack, &applied, (EPOCH, 0)).await;
    link.site_becomes("failed", |site| site.failures_total == 1).await;
    assert_eq!(
        link.column("SELECT COUNT(*) FROM subscriptions WHERE failure LIKE '%no such profile'").await,
        1
    );
    applied.failures.clear();
    applied.failures_total = 0;
    agent.say(Up::Ack, &applied, (EPOCH, 0)).await;
    let site = link
        .site_becomes("applied", |site| site.failures_total == 0 && site.applied_generation == generation)
        .await;
    assert!(site.applied_at.is_some());
    assert_eq!(link.column("SELECT COUNT(*) FROM subscriptions WHERE failure <> ''").await, 0);
    link.close().await;
}

#[tokio::test]
async fn a_site_that_was_away_is_told_what_it_lacks_by_its_hello() {
    let link = Link::open().await;
    let first = link.pay_while_away(1_000).await;
    let held = link.hash().await;
    let second = link.pay_while_away(2_000).await;
    let newest = link.hash().await;
    let mut behind = link.greeted(hello(1, first, held)).await;
    let told = delta(&mut behind).await;
    assert_eq!((told.from_generation, told.to_generation), (first, second));
    assert_eq!(told.lines.len(), 1);

    let mut empty = link.greeted(hello(2, 0, StateHash::default())).await;
    let DownMessage::Snapshot(whole) = empty.heard().await else { panic!("not a snapshot") };
    assert_eq!((whole.generation, whole.chunks, whole.state_hash), (second, 1, newest.to_bytes()));

    let mut damaged = link.greeted(hello(3, second, held)).await;
    assert!(matches!(damaged.heard().await, DownMessage::Snapshot(_)), "same number, other content");

    // Ahead of a database that was restored: everything, under a number that it takes.
    let mut ahead = link.greeted(hello(4, second + 40, held)).await;
    let DownMessage::Snapshot(whole) = ahead.heard().await else { panic!("not a snapshot") };
    assert_eq!((whole.generation, whole.state_hash), (second + 41, newest.to_bytes()));

    let mut current = link.greeted(hello(5, second + 41, newest)).await;
    current.say(Up::Usage, &usage_of(&link.world.line, 1), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut current).await.cursor, 1, "nothing was sent before this answer");
    link.close().await;
}

#[tokio::test]
async fn usage_and_events_are_counted_once_however_often_they_come() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    for (download, seq, expected) in [(100, 1, 1), (100, 1, 1), (250, 2, 2), (100, 1, 2)] {
        agent.say(Up::Usage, &usage_of(&link.world.line, download), (EPOCH, seq)).await;
        let answer = cursor(&mut agent).await;
        assert_eq!((answer.lane, answer.store_epoch, answer.cursor), (Lane::Usage.code(), EPOCH, expected));
    }
    // A wiped store counts anew, and tells an older total once more.
    agent.say(Up::Usage, &usage_of(&link.world.line, 90), (EPOCH + 1, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    for _ in 0..2 {
        agent.say(Up::Event, &event(EventKind::LineOnline, Some(&link.world.line)), (EPOCH, 1)).await;
        assert_eq!(cursor(&mut agent).await.cursor, 1);
    }
    let mut read = link.house.controller.database.read().await.unwrap();
    let totals = usage::totals_of_line(&mut read, &link.world.line).await.unwrap();
    assert_eq!((totals.download_bytes, totals.upload_bytes, totals.sessions), (250, 5, 1));
    assert_eq!(sites::events_of(&mut read, &link.world.site, 10).await.unwrap().len(), 1);
    drop(read);
    assert_eq!(
        link.column("SELECT COUNT(*) FROM subscriptions WHERE is_online = 1 AND last_address = '10.0.0.2'")
            .await,
        1
    );
    link.close().await;
}

#[tokio::test]
async fn a_hole_in_a_lane_is_waited_for_and_one_that_cannot_heal_is_passed() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let line = link.world.line.clone();
    for (seq, expected) in [(1, 1), (3, 1), (2, 2), (3, 3)] {
        agent.say(Up::Event, &event(EventKind::LineExpired, Some(&line)), (EPOCH, seq)).await;
        assert_eq!(cursor(&mut agent).await.cursor, expected, "{seq}");
    }
    // After a hello the agent begins with the oldest that it has; a broker may have lost what was before it, but not twice.
    for (connection, expected) in [(2, 3), (3, 90)] {
        let mut again = link.greeted(hello(connection, 1, link.hash().await)).await;
        again.say(Up::Event, &event(EventKind::LineExpired, Some(&line)), (EPOCH, 90)).await;
        assert_eq!(cursor(&mut again).await.cursor, expected);
    }
    link.close().await;
}

#[tokio::test]
async fn damaged_messages_disturb_nothing() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let mut damaged = wire::encode(&usage_of(&link.world.line, 1_000_000), 0, EPOCH, 1).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let site = link.world.site.clone();
    for payload in [damaged, vec![], vec![0; 70_000], b"{}".to_vec()] {
        agent.publish(&Up::Usage.topic(&site), payload).await;
    }
    agent.say(Up::Usage, &usage_of(&link.world.line, 10), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    let mut read = link.house.controller.database.read().await.unwrap();
    assert_eq!(usage::totals_of_line(&mut read, &link.world.line).await.unwrap().download_bytes, 10);
    drop(read);
    link.close().await;
}

#[tokio::test]
async fn a_site_is_believed_about_its_own_lines_only() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let thief = link.house.certificate("thief").await;
    let mut agent = link.house.agent("thief", &thief).await;
    agent.say(Up::Hello, &HelloV1 { routers: vec![], ..fresh() }, (EPOCH, 0)).await;
    for _ in Lane::ALL {
        cursor(&mut agent).await;
    }
    let line = &link.world.line;
    agent.say(Up::Usage, &usage_of(line, 1 << 40), (EPOCH, 1)).await;
    cursor(&mut agent).await;
    agent.say(Up::Event, &event(EventKind::LineOnline, Some(line)), (EPOCH, 1)).await;
    cursor(&mut agent).await;
    let foreign = LineFailureV1 { line: line.to_string(), kind: 1, detail: "x".into() };
    let applied = AppliedV1 {
        generation: 0,
        state_hash: StateHash::default().to_bytes(),
        applied_at_ms: 1,
        failures: vec![foreign],
        failures_total: 1,
    };
    agent.say(Up::Ack, &applied, (EPOCH, 0)).await;
    // And in the other's name: the broker does not pass it on.
    agent
        .publish(
            &Up::Bye.topic(&link.world.site),
            wire::encode(&ByeV1 { connection_epoch: 9 }, 0, 1, 0).unwrap(),
        )
        .await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 2)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 2);
    let touched =
        "SELECT COUNT(*) FROM subscriptions WHERE is_online = 1 OR failure <> '' OR last_address <> ''";
    assert_eq!(link.column(touched).await, 0);
    assert_eq!(link.column("SELECT COUNT(*) FROM usage_sessions").await, 0);
    assert_eq!(link.column("SELECT COUNT(*) FROM site_events WHERE line_id IS NOT NULL").await, 0);
    link.close().await;
}

#[tokio::test]
async fn a_farewell_of_an_older_connection_is_ignored() {
    let link = Link::open().await;
    let mut agent = link.greeted(hello(5, 0, StateHash::default())).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    agent.say(Up::Bye, &ByeV1 { connection_epoch: 4 }, (EPOCH, 0)).await;
    // In order after it, so that its answer proves that the farewell was read.
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    cursor(&mut agent).await;
    assert!(link.site().await.presence.is_online);
    agent.say(Up::Bye, &ByeV1 { connection_epoch: 5 }, (EPOCH, 0)).await;
    link.site_becomes("offline", |site| !site.presence.is_online).await;
    link.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_says_farewell_by_its_will() {
    let link = Link::open().await;
    let site = link.world.site.clone();
    let mut agent = Agent::over(site.as_str(), link.house.tls(Some(&link.certificate)).await.unwrap());
    let mut with_will = connect(site.as_str(), site.as_str());
    let bye = wire::encode(&ByeV1 { connection_epoch: 1 }, 0, EPOCH, 0).unwrap();
    with_will.last_will = Some(will(&Up::Bye.topic(&site), bye));
    agent.send(&Packet::Connect(with_will)).await;
    agent.packet().await.unwrap();
    agent.say(Up::Hello, &fresh(), (EPOCH, 0)).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    drop(agent);
    link.site_becomes("offline", |site| !site.presence.is_online).await;
    link.close().await;
}

#[tokio::test]
async fn routers_appear_by_themselves_and_their_state_is_kept() {
    let link = Link::open().await;
    let mut greeting = fresh();
    let away = |name: &str, is_reachable, trouble| RouterStatusV1 {
        name: name.into(),
        is_reachable,
        release: String::new(),
        trouble,
    };
    let mismatch = RouterTrouble::PinMismatch.code();
    greeting.routers.extend([away("tower", false, mismatch), away("No Id", true, 0)]);
    let _agent = link.greeted(greeting).await;
    let mut read = link.house.controller.database.read().await.unwrap();
    let routers = sites::routers_of(&mut read, &link.world.site).await.unwrap();
    let shown: Vec<_> = routers
        .iter()
        .map(|router| (router.name.as_str(), router.is_reachable, router.release.as_str(), router.trouble))
        .collect();
    assert_eq!(shown, [("core", true, "7.18", 0), ("tower", false, "", mismatch)]);
    assert_eq!(routers[0].id, link.world.router, "known ones keep their id");
    drop(read);
    link.close().await;
}

#[tokio::test]
async fn the_outbox_is_empty_once_its_sites_were_told() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    let mut hints = link.house.controller.live.listen();
    link.pay(1_000).await;
    let generation = delta(&mut agent).await.to_generation;
    let emptied = timeout(PATIENCE, async {
        while link.column("SELECT COUNT(*) FROM outbox").await != 0 {
            hints.recv().await.unwrap();
        }
    });
    emptied.await.unwrap();
    assert_eq!(link.site().await.stored_generation, 0, "told is not stored");
    assert_eq!(link.site().await.generation, generation);
    link.close().await;
}

/// Takes a place in the queue for the only writer.
async fn queued<F: Future>(wanted: F) -> std::pin::Pin<Box<F>> {
    let mut wanted = Box::pin(wanted);
    tokio::select! {
        biased;
        _ = &mut wanted => panic!("nobody has the writer"),
        () = std::future::ready(()) => wanted,
    }
}

#[tokio::test]
async fn a_site_is_told_though_the_note_of_what_it_was_told_before_waits_for_the_writer() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    let database = &link.house.controller.database;
    let first = database.write().await.unwrap();
    let second = queued(database.write()).await;
    let third = queued(database.write()).await;
    let generation = link.pay_in(first, 1_000).await;
    let second = second.await.unwrap();
    assert_eq!(delta(&mut agent).await.to_generation, generation);
    let generation = link.pay_in(second, 2_000).await;
    let third = third.await.unwrap();
    let told = timeout(BEFORE_THE_WRITER_IS_GIVEN_UP, delta(&mut agent)).await.expect("told at once");
    assert_eq!(told.to_generation, generation);
    assert_eq!(link.column("SELECT COUNT(*) FROM outbox").await, 1, "a power cut now loses nothing");
    // It is asked to end meanwhile, and notes all the same what it did.
    link.house.shutdown.begin();
    drop(third);
    timeout(PATIENCE, link.task).await.unwrap().unwrap();
    let mut read = link.house.controller.database.read().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(&mut *read).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn after_a_restart_a_site_is_shown_as_online_only_once_it_says_hello() {
    let house = House::open(settings()).await;
    let world = world(&house.controller.database).await;
    let now = house.controller.clock.now().0;
    let mut write = house.controller.database.write().await.unwrap();
    sqlx::query("UPDATE sites SET is_online = 1, last_seen_at = $1")
        .bind(now)
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let certificate = house.certificate(world.site.as_str()).await;
    let stop = house.shutdown.stop();
    let task = tokio::spawn(super::run(house.controller.clone(), house.broker.address.clone(), stop));
    let link = Link { task, house, world, certificate };
    link.site_becomes("offline", |site| !site.presence.is_online).await;
    let _agent = link.greeted(fresh()).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    link.close().await;
}

#[tokio::test]
async fn a_site_that_was_taken_for_dead_is_told_of_a_payment_as_soon_as_it_is_heard() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    let controller = &link.house.controller;
    let taken_for_dead = async || {
        let mut write = controller.database.write().await.unwrap();
        sqlx::query("UPDATE sites SET is_online = 0").execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    };
    let site = link.world.site.clone();

    taken_for_dead().await;
    let generation = link.pay_while_away(1_000).await;
    note_seen(controller, vec![site.clone()], Vec::new).await.unwrap();
    assert!(!link.site().await.presence.is_online, "it left before it was noted");
    // A ping, which only the front door sees.
    note_seen(controller, vec![site.clone()], || vec![site.clone()]).await.unwrap();
    assert!(link.site().await.presence.is_online);
    let told = timeout(AT_ONCE, delta(&mut agent)).await.expect("told at once");
    assert_eq!(told.to_generation, generation);

    taken_for_dead().await;
    let generation = link.pay_while_away(2_000).await;
    agent.say(Up::Usage, &usage_of(&link.world.line, 1), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    let told = timeout(AT_ONCE, delta(&mut agent)).await.expect("told at once");
    assert_eq!(told.to_generation, generation);
    link.close().await;
}

#[tokio::test]
async fn a_site_whose_state_cannot_be_told_keeps_no_other_waiting() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    let mut write = link.house.controller.database.write().await.unwrap();
    // First in every order, and with a line that no message can hold.
    let huge = LineV1 { line: "l".into(), username: "x".repeat(70_000), ..LineV1::default() };
    let huge = serde_json::to_string(&huge).unwrap();
    for statement in [
        "INSERT INTO sites (id, name, created_at, is_online, generation) VALUES ('a', 'A', 1, 1, 1)",
        "INSERT INTO outbox (site_id, generation, queued_at) VALUES ('a', 1, 0)",
        &format!(
            "INSERT INTO desired_lines (site_id, line_id, generation, line) VALUES ('a', 'l', 1, '{huge}')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *write).await.unwrap();
    }
    write.commit().await.unwrap();
    let generation = link.pay(1_000).await;
    assert_eq!(delta(&mut agent).await.to_generation, generation);
    link.close().await;
}

#[tokio::test]
async fn the_broker_keeps_nothing_that_a_site_asks_it_to_keep() {
    let link = Link::open().await;
    let mut agent = link.agent().await;
    let topic = Up::Hello.topic(&link.world.site);
    let mut kept =
        Publish::new(topic.as_str(), QoS::AtLeastOnce, wire::encode(&fresh(), 0, EPOCH, 0).unwrap());
    (kept.pkid, kept.retain) = (9, true);
    agent.send(&Packet::Publish(kept)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.lane, Lane::Event.code(), "the hello came to nothing");
    link.close().await;
}

#[tokio::test]
async fn a_site_that_asks_for_the_whole_again_and_again_is_told_it_once_and_then_when_it_is_time() {
    let link = Link::open().await;
    let generation = link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    let begun = Instant::now();
    for epoch in 1..=20 {
        agent.say(Up::Hello, &hello(epoch, 0, StateHash::default()), (EPOCH, 0)).await;
    }
    let applied = AppliedV1 {
        generation,
        state_hash: StateHash::default().to_bytes(),
        applied_at_ms: 1,
        failures: vec![],
        failures_total: 0,
    };
    agent.say(Up::Ack, &applied, (EPOCH, 0)).await;
    // In order after all of them, so that its answer proves that they were taken.
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    let (mut wholes, mut is_taken) = (0, false);
    while !is_taken {
        match agent.heard().await {
            DownMessage::Snapshot(_) => wholes += 1,
            DownMessage::Cursor(cursor) => is_taken = cursor.lane == Lane::Event.code() && cursor.cursor == 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=1 + begun.elapsed().as_secs() / 2).contains(&wholes), "{wholes} in {:?}", begun.elapsed());
    while wholes < 2 {
        match agent.heard().await {
            DownMessage::Snapshot(whole) => {
                assert_eq!(whole.generation, generation, "it asked again, and is told in the end");
                wholes += 1;
            }
            DownMessage::Cursor(_) => {}
            other => panic!("{other:?}"),
        }
    }
    link.close().await;
}

/// The database alone, and messages as the intake takes them.
struct Desk {
    house: House,
    world: World,
    memory: Memory,
}

impl Desk {
    async fn open() -> Self {
        let house = House::open(settings()).await;
        let world = world(&house.controller.database).await;
        Self { house, world, memory: Memory::default() }
    }

    /// Takes a message in, and says what it left to do.
    async fn take<B: wire::Body>(&mut self, body: &B, (epoch, seq): (u32, u64)) -> Effects {
        let envelope = wire::encode(body, 0, epoch, seq).unwrap();
        let (header, message) = wire::UpMessage::decode(&envelope).unwrap();
        let said = Said { site: self.world.site.clone(), header, message, is_light: false };
        let mut effects = Effects::default();
        let mut write = self.house.controller.database.write().await.unwrap();
        let controller = &self.house.controller;
        let (now, memory) = (UnixMillis(1), &mut self.memory);
        let taken = super::reports::take(&mut write, controller, memory, &said, now, &mut effects);
        taken.await.unwrap();
        write.commit().await.unwrap();
        super::intake::tell_usage(controller, &mut effects).await;
        effects
    }

    async fn count(&self, query: &'static str) -> i64 {
        let mut read = self.house.controller.database.read().await.unwrap();
        sqlx::query(query).fetch_one(&mut *read).await.unwrap().try_get(0).unwrap()
    }

    /// The site was told of its line, so that it may report it.
    async fn tell_of_line(&self) {
        let mut write = self.house.controller.database.write().await.unwrap();
        sqlx::query("UPDATE subscriptions SET status = 'active', paid_until = 9")
            .execute(&mut *write)
            .await
            .unwrap();
        desired::refresh_line(&mut write, &self.world.line, UnixMillis(1)).await.unwrap();
        write.commit().await.unwrap();
    }
}

#[tokio::test]
async fn events_and_sessions_beyond_a_sites_budget_are_passed_and_not_kept() {
    let mut desk = Desk::open().await;
    desk.tell_of_line().await;
    desk.memory.events = Budgets::new(Limits { at_once: 3, an_hour: 1 });
    desk.memory.sessions = Budgets::new(Limits { at_once: 3, an_hour: 1 });
    for seq in 1..=9 {
        desk.take(&event(EventKind::PlanReleased, None), (EPOCH, seq)).await;
        let mut usage = usage_of(&desk.world.line, seq);
        usage.sessions[0].session = format!("core/pppoe/{seq}/1");
        desk.take(&usage, (EPOCH, seq)).await;
    }
    assert_eq!(desk.count("SELECT COUNT(*) FROM site_events").await, 3);
    assert_eq!(desk.count("SELECT COUNT(*) FROM usage_sessions").await, 3);
    let passed = "SELECT COUNT(*) FROM lane_cursors WHERE cursor = 9";
    assert_eq!(desk.count(passed).await, 2, "the agent need not say them again");
    desk.house.close().await;
}

#[tokio::test]
async fn only_the_newest_life_of_an_agents_store_has_a_cursor() {
    let mut desk = Desk::open().await;
    for epoch in 1..=20 {
        desk.take(&event(EventKind::PlanReleased, None), (epoch, 1)).await;
    }
    assert_eq!(desk.count("SELECT COUNT(*) FROM lane_cursors").await, 1);
    assert_eq!(desk.count("SELECT store_epoch FROM lane_cursors").await, 20);
    desk.house.close().await;
}

/// What a site is told of usage elsewhere, out of what a message left to be sent.
fn usage_before(effects: &Effects) -> Vec<UsageBeforeV1> {
    let read = |(_, envelope): &(String, Vec<u8>)| match DownMessage::decode(envelope).unwrap().1 {
        DownMessage::UsageBefore(before) => Some(before),
        _ => None,
    };
    effects.messages.iter().filter_map(read).collect()
}

#[tokio::test]
async fn a_store_that_begins_anew_is_told_what_its_lines_had_moved_and_as_often_as_it_asks() {
    let mut desk = Desk::open().await;
    let line = desk.world.line.clone();
    let mut write = desk.house.controller.database.write().await.unwrap();
    sqlx::query("INSERT INTO quota_periods (line_id, started_at, ends_at, bytes) VALUES ($1, 1, 9, 1000)")
        .bind(line.as_str())
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    desk.tell_of_line().await;
    assert_eq!(usage_before(&desk.take(&fresh(), (EPOCH, 0)).await), [], "nothing was moved yet");
    let mut usage = usage_of(&line, 95);
    usage.sessions[0].period_started_ms = 1;
    desk.take(&usage, (EPOCH, 1)).await;
    assert_eq!(usage_before(&desk.take(&fresh(), (EPOCH, 0)).await), [], "it counts that itself");
    let told = LineUsageBeforeV1 { line: line.to_string(), period_started_ms: 1, bytes: 100 };
    for _ in 0..2 {
        let expected = UsageBeforeV1 { store_epoch: EPOCH + 1, lines: vec![told.clone()] };
        assert_eq!(usage_before(&desk.take(&fresh(), (EPOCH + 1, 0)).await), [expected]);
    }
    // A change of the line brings it along: the line may have come from elsewhere.
    let mut write = desk.house.controller.database.write().await.unwrap();
    let mut messages = Vec::new();
    let site = desk.world.site.clone();
    let told_of = super::reports::usage_of_told(&mut write, &site, 0, UnixMillis(1), &mut messages);
    told_of.await.unwrap();
    assert_eq!(messages.len(), 1);
    let newest = desired::store::state_of(&mut write, &site).await.unwrap().unwrap().generation;
    messages.clear();
    let told_of = super::reports::usage_of_told(&mut write, &site, newest, UnixMillis(1), &mut messages);
    told_of.await.unwrap();
    assert_eq!(messages.len(), 0, "nothing changed since");
    drop(write);
    desk.house.close().await;
}

#[tokio::test]
async fn usage_of_thousands_of_lines_is_told_in_messages_that_fit() {
    let desk = Desk::open().await;
    let mut write = desk.house.controller.database.write().await.unwrap();
    let many = "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 3000)
        INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
        SELECT 'a-line-with-a-long-name-' || n, customer_id, plan_id, router_id, 'u' || n, 'x', 'draft', 1
        FROM subscriptions, counted;
        INSERT INTO quota_periods (line_id, started_at, ends_at, bytes) SELECT id, 1, 9, 5 FROM subscriptions;
        INSERT INTO desired_lines (site_id, line_id, generation, line)
            SELECT 'nyeri-01', id, 1, '{}' FROM subscriptions;
        INSERT INTO usage_sessions (site_id, session_key, line_id, started_at, sampled_at, is_ended, upload_bytes,
                                    download_bytes, period_started_at, store_epoch)
            SELECT 'nyeri-01', id, id, 1, 1, 1, 1, 1, 1, 6 FROM subscriptions;";
    sqlx::raw_sql(many).execute(&mut *write).await.unwrap();
    let (site, mut messages) = (desk.world.site.clone(), Vec::new());
    super::reports::usage_before(&mut write, (&site, EPOCH), None, UnixMillis(1), &mut messages)
        .await
        .unwrap();
    drop(write);
    assert!(messages.len() > 1, "{}", messages.len());
    let mut effects = Effects::default();
    effects.messages = messages;
    let told = usage_before(&effects);
    let mut lines: Vec<String> = told.into_iter().flat_map(|part| part.lines).map(|used| used.line).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 3_001);
    desk.house.close().await;
}
