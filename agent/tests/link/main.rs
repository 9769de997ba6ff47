//! The agent's line to head office over real sockets: TLS, a real broker, real flash. What each test proves is its
//! name; head office is in `office.rs`, the agent is whole but for its routers, whose reports the tests make.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]

mod office;
mod program;
mod router_script;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use office::{Directory, Keys, Office, PATIENCE};
use tawi_agent::clock::{KeptTime, TrustedClock, build_date};
use tawi_agent::commands::Kept;
use tawi_agent::config::Config;
use tawi_agent::contact::Contact;
use tawi_agent::desired::{DesiredState, Taken};
use tawi_agent::flow::{Event, LineFailure, Report, ReportSender, StateReceiver};
use tawi_agent::health::Status;
use tawi_agent::link::dialer::Dialer;
use tawi_agent::link::tls::client_config;
use tawi_agent::link::{self, ByteCounters, LinkSettings};
use tawi_agent::outbox::{Keeper, Opening, Outbox, StoreError};
use tawi_agent::reconcile::found::{FoundMemory, Remembered};
use tawi_agent::reconcile::memory::RouterMemory;
use tawi_agent::site::{Ends, Site, StatusRequest, Tools};
use tawi_agent::usage::book::Quotas;
use tawi_agent::usage::quota::QuotaBook;
use tawi_shared::envelope::FLAG_HISTORICAL;
use tawi_shared::state_hash::StateHash;
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    Access, CommandKind, CommandStatus, CommandV1, EventKind, FailureKind, Lane, LineUsageBeforeV1, LineV1,
    QuotaV1, Service, SessionUsageV1, StateDeltaV1, StateSnapshotV1, UpMessage, UsageBeforeV1,
};
use tawi_shared::{Clock, IdSource, UnixMillis};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const SITE: &str = "nyeri-01";

/// An agent whose routers are played by the test.
struct Agent {
    outbox: Outbox,
    reports: ReportSender,
    state: StateReceiver,
    questions: mpsc::Sender<StatusRequest>,
    stop: Option<oneshot::Sender<()>>,
    quotas: Quotas,
    memories: BTreeMap<String, FoundMemory>,
    tasks: JoinSet<()>,
}

async fn open_store(directory: &Path) -> (Outbox, Opening) {
    let opened = async {
        loop {
            match Outbox::start(directory, IdSource::system(), Clock::system()).await {
                // The store's thread of an agent that was just killed ends a moment after it.
                Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        }
    };
    timeout(PATIENCE, opened).await.expect("the last agent keeps the store")
}

impl Agent {
    /// On a machine whose clock is right, an hour after an agent ran there: however long ago this was built.
    async fn start(config: &Config, routers: &[&str]) -> Self {
        let hands = Clock::system();
        let an_hour_ago = hands.now().minus(Duration::from_secs(3_600));
        Self::start_from(config, routers, hands, an_hour_ago).await
    }

    /// On a machine with this clock, where no agent ran before.
    async fn start_at(config: &Config, routers: &[&str], hands: Clock) -> Self {
        Self::start_from(config, routers, hands, build_date()).await
    }

    async fn start_from(config: &Config, routers: &[&str], hands: Clock, floor: UnixMillis) -> Self {
        let (outbox, opening) = open_store(&config.state_directory).await;
        let kept = opening.marks.time;
        let clock = TrustedClock::new(hands, KeptTime { floor: kept.floor.max(floor), ..kept });
        let tls = client_config(&config.controller, clock.clone()).unwrap();
        let bytes = Arc::new(ByteCounters::default());
        let dialer =
            Dialer::bind(&config.runtime_directory, &config.controller, tls, Arc::clone(&bytes)).unwrap();
        let (state_sender, state) = watch::channel(Arc::<DesiredState>::default());
        let (reports, report_receiver) = mpsc::channel(256);
        let (link_sender, inbound) = mpsc::channel(link::INBOUND_WAITING);
        let (questions, question_receiver) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let book = QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions);
        let quotas = Quotas::new(book);
        let memories: BTreeMap<String, FoundMemory> =
            routers.iter().map(|name| ((*name).to_owned(), FoundMemory::default())).collect();
        let tools = Tools {
            contact: Contact::default(),
            log: tawi_agent::api_log::ApiLog::default(),
            quotas: quotas.clone(),
            orders: BTreeMap::default(),
            memories: memories.clone(),
            site: config.site.clone(),
            clock,
            ids: IdSource::system(),
            outbox: outbox.clone(),
            state: state_sender,
            bytes,
            routers: routers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let site = Site::new(tools, &opening);
        let settings = LinkSettings {
            site: config.site.clone(),
            keep_alive: config.controller.keep_alive,
            reconnect_base: config.controller.reconnect_base,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(site.run(Ends {
            inbound,
            reports: report_receiver,
            questions: question_receiver,
            stop: stopped,
        }));
        tasks.spawn(link::run(settings, dialer, outbox.clone(), IdSource::system(), link_sender));
        Self { outbox, reports, state, quotas, memories, questions, stop: Some(stop), tasks }
    }

    async fn report(&self, report: Report) {
        self.reports.send(report).await.unwrap();
    }

    async fn event(&self, detail: &str) {
        let detail = detail.to_owned();
        let event =
            Event { at: UnixMillis(7), kind: EventKind::LineOnline, line: None, router: None, detail };
        self.report(Report::Event(event)).await;
    }

    async fn status(&self) -> Status {
        let (answer, answered) = oneshot::channel();
        self.questions.send(answer).await.unwrap();
        timeout(PATIENCE, answered).await.unwrap().unwrap()
    }

    /// Waits until the reconcilers would see this generation.
    async fn enforces(&mut self, generation: u64) -> Arc<DesiredState> {
        let waiting = self.state.wait_for(|state| state.generation == generation);
        Arc::clone(&*timeout(PATIENCE, waiting).await.expect("the state does not come").unwrap())
    }

    /// Asks politely, as SIGTERM does, and waits.
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(PATIENCE, self.tasks.join_next()).await.expect("the agent does not stop").unwrap().unwrap();
        self.tasks.shutdown().await;
    }

    /// Ends it as a power cut does, as far as a task can.
    async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

fn line(id: &str, until: i64) -> LineV1 {
    LineV1 {
        line: id.into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: id.into(),
        password: "p".into(),
        profile: "home".into(),
        access: Access::Open.code(),
        valid_until_ms: Some(until),
        ..LineV1::default()
    }
}

fn delta(from: u64, to: u64, lines: &[LineV1], after: &[LineV1]) -> StateDeltaV1 {
    StateDeltaV1 {
        from_generation: from,
        to_generation: to,
        state_hash: StateHash::of(after, []).to_bytes(),
        lines: lines.to_vec(),
        removed_lines: vec![],
        profiles: vec![],
        removed_profiles: vec![],
    }
}

/// An agent that has said hello and was answered.
async fn connected(directory: &Path, routers: &[&str]) -> (Office, Agent, u32) {
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(directory), routers).await;
    let (epoch, hello) = office.hear_hello().await;
    assert_eq!((hello.stored_generation, hello.state_hash), (0, [0; 16]));
    office.answer(epoch, 0, 0).await;
    (office, agent, epoch)
}

async fn until_down(agent: &Agent, is_connected: bool) {
    let waiting = async {
        while agent.status().await.controller.is_connected != is_connected {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the agent does not notice the line");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_is_stored_enforced_and_reported_applied() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &["core"]).await;
    office.say_delta(&delta(0, 1, &[line("a", 5)], &[line("a", 5)])).await;
    assert_eq!(office.hear_stored().await, 1);
    let state = agent.enforces(1).await;
    assert_eq!(state.lines["a"].item, line("a", 5));
    assert_eq!(agent.status().await.state.applied_generation, 0, "no router has said so yet");

    let failures = vec![LineFailure { line: "a".into(), kind: FailureKind::Held, detail: "wait".into() }];
    agent.report(Report::Settled { router: "core".into(), generation: 1, failures }).await;
    let applied = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Applied(applied) => Some(applied.clone()),
            _ => None,
        })
        .await;
    assert_eq!((applied.generation, applied.failures_total), (1, 1));
    assert_eq!(applied.failures[0].kind, FailureKind::Held.code());
    assert_eq!(applied.state_hash, state.hash.to_bytes());
    let status = agent.status().await;
    assert_eq!((status.state.generation, status.state.stored_generation), (1, 1));
    assert!(status.controller.bytes_sent > 100 && status.controller.bytes_received > 100);
    assert!(status.clock.is_trusted, "the controller's time stands behind ours");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_before_counts_at_once_is_kept_and_is_forgotten_with_the_line() {
    let directory = Directory::new("link");
    let (mut office, mut agent, epoch) = connected(&directory.0, &["core"]).await;
    let mut limited = line("a", i64::MAX);
    limited.quotas = vec![QuotaV1 { from_ms: 5, bytes: 1_000 }];
    office.say_delta(&delta(0, 1, std::slice::from_ref(&limited), std::slice::from_ref(&limited))).await;
    agent.enforces(1).await;
    let mut wakes = agent.quotas.wakes();
    for (store_epoch, bytes) in [(epoch.wrapping_add(1), 999), (epoch, 700)] {
        let lines = vec![LineUsageBeforeV1 { line: "a".into(), period_started_ms: 5, bytes }];
        office.say(Down::State, &UsageBeforeV1 { store_epoch, lines }).await;
    }
    timeout(PATIENCE, wakes.changed()).await.expect("nobody is woken").unwrap();
    assert_eq!(agent.quotas.used(&limited, UnixMillis(6)), Some(700), "not that of another life");
    agent.kill().await;
    let (outbox, opening) = open_store(&office.config(&directory.0).state_directory).await;
    assert_eq!(opening.book.befores["a"].bytes, 700);
    drop((outbox, opening));

    let config = office.config(&directory.0);
    let mut agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    assert_eq!(agent.quotas.used(&limited, UnixMillis(6)), Some(700));
    let gone = StateDeltaV1 { removed_lines: vec!["a".into()], ..delta(1, 2, &[], &[]) };
    office.say_delta(&gone).await;
    agent.enforces(2).await;
    agent.stop().await;
    let (_outbox, opening) = open_store(&office.config(&directory.0).state_directory).await;
    assert!(opening.book.befores.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_payments_at_once_are_all_taken_and_the_last_one_is_enforced() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &["core"]).await;
    let started = Instant::now();
    for generation in 1..=50 {
        let now = line("a", generation.try_into().unwrap());
        office
            .say_delta(&delta(
                generation - 1,
                generation,
                std::slice::from_ref(&now),
                std::slice::from_ref(&now),
            ))
            .await;
    }
    agent.enforces(50).await;
    let took = started.elapsed();
    while office.hear_stored().await != 50 {}
    println!("50 deltas to flash and to the reconcilers: {took:?}");
    agent.stop().await;
}

/// The path of a payment through the agent: heard, on flash, enforced, and head office told. Two brokers' hops are in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_on_flash_and_enforced_within_a_blink() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &["core"]).await;
    let lines: Vec<_> = (0..500).map(|number| line(&format!("line-{number}"), 1)).collect();
    office.say_delta(&delta(0, 1, &lines, &lines)).await;
    assert_eq!(office.hear_stored().await, 1);
    agent.enforces(1).await;
    let mut all = lines;
    let mut took = Vec::new();
    for generation in 2..=101 {
        all[7].valid_until_ms = Some(i64::try_from(generation).unwrap());
        let delta = delta(generation - 1, generation, &all[7..8], &all);
        let started = Instant::now();
        office.say_delta(&delta).await;
        assert_eq!(office.hear_stored().await, generation);
        agent.enforces(generation).await;
        took.push(started.elapsed());
    }
    took.sort();
    println!("delta said to \"stored\" heard, 500 lines: median {:?}, slowest {:?}", took[50], took[99]);
    assert!(took[50] < Duration::from_millis(250), "{took:?}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_outbox_is_told_before_the_controller_says_where_it_stands() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    let (epoch, _) = office.hear_hello().await;
    agent.event("first").await;
    let kept = async {
        while agent.status().await.outbox.events.sealed != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, kept).await.expect("the event is not kept");
    assert!(!agent.status().await.controller.is_connected);
    assert!(office.overhear().is_none());
    // A cursor of a life that this store never had changes nothing.
    office.answer(epoch ^ 1, 9, 9).await;
    office.answer(epoch, 0, 0).await;
    let (seq, flags, text) = office.hear_event().await;
    assert_eq!((seq, flags, text.as_str()), (1, FLAG_HISTORICAL, "first"), "told late, and it says so");
    agent.event("second").await;
    assert_eq!(office.hear_event().await, (2, 0, "second".to_owned()));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_told_again_after_a_cut_until_the_cursor_comes_and_never_after() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    for text in ["one", "two", "three"] {
        agent.event(text).await;
    }
    for seq in 1..=3 {
        assert_eq!(office.hear_event().await.0, seq);
    }
    let last = office.connections.load(Ordering::SeqCst);
    office.cut();
    let (_, hello) = office.hear_hello().await;
    assert!(office.connections.load(Ordering::SeqCst) > last);
    assert_eq!(hello.stored_generation, 0);
    office.answer(epoch, 1, 0).await;
    assert_eq!(
        office.hear_event().await,
        (2, 0, "two".to_owned()),
        "all after the cursor, the same as before"
    );
    assert_eq!(office.hear_event().await, (3, 0, "three".to_owned()));
    office.say_cursor(Lane::Event, epoch, 3).await;
    agent.event("four").await;
    assert_eq!(office.hear_event().await.0, 4);
    office.say_cursor(Lane::Event, epoch, 4).await;
    let forgotten = async {
        while agent.status().await.outbox.events.sealed > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, forgotten).await.expect("the cursor is not taken");
    assert!(office.resumed.load(Ordering::SeqCst) >= 1, "TLS sessions are resumed across connections");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_events_come_in_order_with_never_more_than_sixteen_unanswered() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    for number in 1..=100 {
        agent.event(&number.to_string()).await;
    }
    let mut cursor = 0;
    while cursor < 100 {
        let burst = (100 - cursor).min(16);
        for _ in 0..burst {
            let (seq, _, text) = office.hear_event().await;
            cursor += 1;
            assert_eq!((seq, text), (cursor, cursor.to_string()));
        }
        let status = agent.status().await;
        assert!(office.overhear().is_none(), "more than the window was told");
        assert!(status.outbox.events.sealed <= 16);
        office.say_cursor(Lane::Event, epoch, cursor).await;
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_a_long_outage_comes_as_one_total_a_session() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    let (epoch, _) = office.hear_hello().await;
    for bytes in 1..=300 {
        let sessions = vec![
            SessionUsageV1 {
                line: "a".into(),
                session: "core/1".into(),
                started_at_ms: 1,
                sampled_at_ms: 2,
                upload_bytes: bytes,
                download_bytes: bytes,
                is_ended: bytes == 300,
                address: String::new(),
                period_started_ms: 0,
            }
            .into(),
        ];
        agent.report(Report::Usage { sessions, periods: BTreeMap::new() }).await;
    }
    let waiting = async {
        // The reports go through a queue; the last one is marked as final.
        while agent.status().await.outbox.usage.pending != 1 || agent.reports.capacity() < 256 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
    office.answer(epoch, 0, 0).await;
    let batch = office
        .hear_until(|(_, header, message)| match message {
            UpMessage::Usage(batch) => Some((header.seq, batch.clone())),
            _ => None,
        })
        .await;
    assert_eq!((batch.0, batch.1.sessions.len(), batch.1.sessions[0].upload_bytes), (1, 1, 300));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_is_counted_and_disturbs_nothing_else() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &[]).await;
    let mut bytes =
        tawi_shared::wire::encode(&delta(0, 1, &[line("x", 1)], &[line("x", 1)]), 0, 0, 0).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    office.say_bytes(Down::State, bytes).await;
    office.say_bytes(Down::Command, vec![]).await;
    office.say_bytes(Down::State, vec![0xff; 70_000]).await;
    office.say_delta(&delta(0, 1, &[line("a", 1)], &[line("a", 1)])).await;
    assert_eq!(office.hear_stored().await, 1);
    agent.enforces(1).await;
    let status = agent.status().await;
    assert_eq!((status.messages_refused, status.controller.is_connected), (3, true));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_answered_by_hello_and_a_wrong_hash_by_hello_from_nothing() {
    let directory = Directory::new("link");
    let (mut office, mut agent, epoch) = connected(&directory.0, &[]).await;
    office.say_delta(&delta(0, 1, &[line("a", 1)], &[line("a", 1)])).await;
    assert_eq!(office.hear_stored().await, 1);
    office.say_delta(&delta(5, 6, &[line("b", 1)], &[line("b", 1)])).await;
    let (_, hello) = office.hear_hello().await;
    assert_eq!(hello.stored_generation, 1, "what lies between 1 and 6 is missing");
    office.answer(epoch, 0, 0).await;
    office.say_delta(&delta(1, 7, &[line("b", 1)], &[line("z", 1)])).await;
    let (_, hello) = office.hear_hello().await;
    assert_eq!(hello.stored_generation, 0, "a snapshot must come");
    office.answer(epoch, 0, 0).await;
    let lines = [line("b", 1), line("c", 1)];
    let state_hash = StateHash::of(&lines, []).to_bytes();
    for (chunk, line) in [(1, &lines[1]), (0, &lines[0])] {
        let part = StateSnapshotV1 {
            generation: 7,
            state_hash,
            chunk,
            chunks: 2,
            lines: vec![line.clone()],
            profiles: vec![],
        };
        office.say(Down::State, &part).await;
    }
    assert_eq!(office.hear_stored().await, 7);
    let state = agent.enforces(7).await;
    assert_eq!(state.lines.keys().collect::<Vec<_>>(), ["b", "c"]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_enforces_from_flash_and_its_connection_has_a_higher_number() {
    let directory = Directory::new("link");
    let (mut office, mut agent, epoch) = connected(&directory.0, &["core"]).await;
    let config = office.config(&directory.0);
    office.say_delta(&delta(0, 1, &[line("a", 1)], &[line("a", 1)])).await;
    assert_eq!(office.hear_stored().await, 1);
    agent.enforces(1).await;
    agent.event("before").await;
    office.hear_event().await;
    agent.kill().await;
    // The will of the killed one, or its farewell: either names its connection.
    let first = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Bye(bye) => Some(bye.connection_epoch),
            _ => None,
        })
        .await;
    let mut agent = Agent::start(&config, &["core"]).await;
    assert_eq!(agent.enforces(1).await.lines.len(), 1);
    let (same_epoch, hello) = office.hear_hello().await;
    assert_eq!((same_epoch, hello.stored_generation), (epoch, 1));
    assert!(hello.connection_epoch > first);
    office.answer(epoch, 0, 0).await;
    assert_eq!(office.hear_event().await.2, "before", "an unconfirmed event survives");
    agent.stop().await;
    let farewell = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Bye(bye) => Some(bye.connection_epoch),
            _ => None,
        })
        .await;
    assert_eq!(farewell, hello.connection_epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_another_ca_is_never_spoken_to() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    // Our certificate is right, and the controller's is signed by somebody else.
    let stranger = Directory::new("link-stranger");
    Keys::new().put_bundle(&stranger.0, SITE);
    std::fs::copy(stranger.0.join("ca.pem"), directory.0.join("ca.pem")).unwrap();
    let agent = Agent::start(&config, &[]).await;
    let why = problem(&agent, "invalid peer certificate").await;
    assert!(why.contains("localhost:"), "{why}");
    assert!(office.overhear().is_none());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_foreign_certificate_is_told_so_in_its_own_status() {
    let directory = Directory::new("link");
    let office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    let stranger = Directory::new("link-stranger");
    Keys::new().put_bundle(&stranger.0, SITE);
    for name in ["agent.pem", "agent.key"] {
        std::fs::copy(stranger.0.join(name), directory.0.join(name)).unwrap();
    }
    let agent = Agent::start(&config, &[]).await;
    let why = problem(&agent, "alert").await;
    println!("{why}");
    agent.stop().await;
}

/// The agent's last problem, once it speaks of `word`.
async fn problem(agent: &Agent, word: &str) -> String {
    let mut last = String::new();
    let waiting = async {
        loop {
            let found = agent.status().await.controller.last_problem;
            match found {
                Some(why) if why.contains(word) => break why,
                found => last = found.unwrap_or_default(),
            }
            tokio::task::yield_now().await;
        }
    };
    match timeout(PATIENCE, waiting).await {
        Ok(why) => why,
        Err(_) => panic!("no problem speaks of {word:?}; the last was {last:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_begins_a_new_life_while_connected_says_hello_and_its_records_come() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    // What the keeper does by itself when it has to begin the store anew: the core hears nothing of it.
    agent.outbox.call(move |keeper| keeper.forget(Lane::Event, epoch, 99)).await.unwrap();
    agent.event("after").await;
    let (new_epoch, _) = office.hear_hello().await;
    assert_ne!(new_epoch, epoch);
    office.answer(new_epoch, 0, 0).await;
    let (seq, _, text) = office.hear_event().await;
    assert_eq!((seq, text.as_str()), (1, "after"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_hears_of_a_router_that_answers_only_after_hello() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &["core"]).await;
    let (epoch, hello) = office.hear_hello().await;
    assert!(!hello.routers[0].is_reachable, "nobody knows yet");
    office.answer(epoch, 0, 0).await;
    let release = Some("7.18".to_owned());
    agent.report(Report::RouterStatus { router: "core".into(), is_reachable: true, release }).await;
    let (_, hello) = office.hear_hello().await;
    let said: Vec<_> =
        hello.routers.iter().map(|router| (router.is_reachable, router.release.as_str())).collect();
    assert_eq!(said, [(true, "7.18")]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_contradicts_its_own_hash_is_told_once_and_asked_for_ever_more_rarely() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    let wrong = StateSnapshotV1 {
        generation: 3,
        state_hash: StateHash::of([&line("other", 1)], []).to_bytes(),
        chunk: 0,
        chunks: 1,
        lines: vec![line("a", 1)],
        profiles: vec![],
    };
    let mut pauses = Vec::new();
    for _ in 0..3 {
        office.say(Down::State, &wrong).await;
        let asked = Instant::now();
        let (_, hello) = office.hear_hello().await;
        assert_eq!(hello.stored_generation, 0);
        pauses.push(asked.elapsed());
        office.answer(epoch, 0, 0).await;
    }
    assert!(pauses[2] > pauses[1] + Duration::from_secs(2), "{pauses:?}");
    let (seq, _, text) = office.hear_event().await;
    assert!(seq == 1 && text.contains("generation 3"), "{text}");
    agent.event("next").await;
    let next = office.hear_until(|(_, header, message)| match message {
        UpMessage::Event(event) if header.seq > 1 => Some(event.detail.clone()),
        _ => None,
    });
    assert_eq!(next.await, "next", "the difference is told once");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_a_router_that_settled_with_failures_for_unfinished() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &["core"]).await;
    let both = [line("a", 5), line("b", 5)];
    office.say_delta(&delta(0, 1, &both, &both)).await;
    agent.enforces(1).await;
    let settled = |generation, failures| Report::Settled { router: "core".into(), generation, failures };
    agent.report(settled(1, vec![])).await;
    let after = [line("a", 6), line("b", 5)];
    office.say_delta(&delta(1, 2, &after[..1], &after)).await;
    agent.enforces(2).await;
    let failed = LineFailure { line: "a".into(), kind: FailureKind::NotApplied, detail: String::new() };
    agent.report(settled(2, vec![failed])).await;
    let applied = |heard: &office::Heard| match &heard.2 {
        UpMessage::Applied(applied) if applied.generation == 2 => Some(()),
        _ => None,
    };
    office.hear_until(applied).await;
    agent.stop().await;
    let (_, opening) = open_store(&directory.0.join("state")).await;
    assert_eq!(
        opening.settled.get("core"),
        Some(&1),
        "the new password of a line may not be on the router yet"
    );
}

/// So far ahead of the build's own date that no clock is believed without a second source.
fn long_after_the_build() -> UnixMillis {
    build_date().plus(DAY.saturating_mul(95))
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_off_for_months_hears_the_date_from_a_controller_that_was_restarted_yesterday() {
    let today = long_after_the_build();
    // A machine whose clock is right, one without a battery, and one that woke in a far year.
    for shown in [today, UnixMillis(0), today.plus(DAY.saturating_mul(40 * 365))] {
        let directory = Directory::new("link");
        let validity = (today.minus(DAY), today.plus(DAY.saturating_mul(365)));
        let mut office = Office::start_with(SITE, Some(validity)).await;
        let agent = Agent::start_at(&office.config(&directory.0), &[], Clock::manual(shown)).await;
        let (epoch, hello) = office.hear_hello().await;
        assert!(!hello.is_clock_trusted, "nothing has confirmed the date yet, and nobody is expired by it");
        assert!(UnixMillis(hello.clock_ms) < today.minus(DAY));
        for lane in [Lane::Event, Lane::Usage] {
            office.say_cursor_at(today, lane, epoch, 0).await;
        }
        until_down(&agent, true).await;
        let clock = agent.status().await.clock;
        assert!(clock.is_trusted && UnixMillis(clock.now_ms) >= today, "{clock:?}");
        agent.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_controller_that_is_over_is_refused() {
    let directory = Directory::new("link");
    let now = Clock::system().now();
    let validity = (now.minus(DAY.saturating_mul(9)), now.minus(DAY));
    let mut office = Office::start_with(SITE, Some(validity)).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    problem(&agent, "expired").await;
    assert!(office.overhear().is_none());
    agent.stop().await;
}

/// Somebody holds the store's files while the agent starts, and lets go of them later.
#[tokio::test(flavor = "multi_thread")]
async fn what_flash_remembers_is_handed_on_when_the_store_opens_late() {
    let directory = Directory::new("late");
    let mut office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    std::fs::create_dir_all(&config.state_directory).unwrap();
    let (mut keeper, opening) = Keeper::open(&config.state_directory, IdSource::system(), Clock::system());
    let lines = [line("a", 5)];
    let Taken::Moved(state) = opening.state.take_delta(&delta(0, 1, &lines, &lines)) else {
        panic!("the state does not move")
    };
    keeper.put_state(Arc::new(state)).unwrap();
    let own_passwords = BTreeMap::from([("a".to_owned(), 7)]);
    let memory = RouterMemory { serial: "HEX1".into(), own_passwords, ..RouterMemory::default() };
    keeper.put_memory("core", &memory).unwrap();
    let begun = Kept {
        id: "k1".into(),
        not_after_ms: i64::MAX,
        status: CommandStatus::Executing.code(),
        at_ms: 1,
        detail: String::new(),
    };
    keeper.put_commands(&[begun]).unwrap();

    let mut agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    assert_eq!(agent.state.borrow().generation, 0, "the store is shut");
    // Whether it was begun before the start, and what became of it, only the store knows.
    let again = CommandV1 {
        id: "k1".into(),
        kind: CommandKind::Kick.code(),
        not_after_ms: i64::MAX,
        router: "core".into(),
        line: "a".into(),
        argument: String::new(),
        service: 0,
    };
    // It is told of with each hello, and each time head office hears why nothing comes of it.
    for _ in 0..2 {
        office.say(Down::Command, &again).await;
        let said = office.hear_until(|(_, _, message)| office::command_result(message)).await;
        assert_eq!((said.id.as_str(), said.status), ("k1", CommandStatus::Waiting.code()), "{said:?}");
        assert!(said.detail.contains("waits for the agent's disk"), "{said:?}");
    }
    let problems = agent.status().await.problems();
    assert!(problems.iter().any(|said| said.starts_with("1 command of head office")), "{problems:?}");
    drop(keeper);
    agent.enforces(1).await;
    let found = agent.memories.get("core").and_then(FoundMemory::take);
    assert_eq!(found, Some(Remembered { memory, settled: None, lived: None }), "before the state");
    // The store has a life of its own, which head office has to hear of first.
    let mut early = Vec::new();
    let epoch = office
        .hear_until(|(_, header, message)| match message {
            UpMessage::Hello(_) => Some(header.store_epoch),
            UpMessage::CommandResult(result) => {
                early.push(result.detail.clone());
                None
            }
            _ => None,
        })
        .await;
    assert!(early.is_empty(), "{early:?}");
    office.answer(epoch, 0, 0).await;
    let said = office.hear_until(|(_, _, message)| office::command_result(message)).await;
    assert_eq!(said.status, CommandStatus::Executing.code(), "it is not begun again: {said:?}");
    assert!(said.detail.contains("restarted"), "{said:?}");
    agent.kill().await;
}
