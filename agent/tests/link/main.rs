//! The agent's line to head office over real sockets: TLS, a real broker, real flash. What each test proves is its
//! name; head office is in `office.rs`, the agent is whole but for its routers, whose reports the tests make.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]

mod agent;
mod forgetful;
mod hard_lines;
mod office;
mod program;
mod remote_hands;
mod restart;
mod router_script;
mod secrets;
mod settings;
mod telling;
mod together;
mod trust;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::{Agent, connected, delta, line, open_store, until_down};
use office::{Directory, Keys, Office, PATIENCE};
use tawi_agent::clock::{KeptTime, TrustedClock, build_date};
use tawi_agent::commands::Kept;
use tawi_agent::config::Config;
use tawi_agent::contact::Contact;
use tawi_agent::desired::{DesiredState, Taken};
use tawi_agent::flow::{Done, Event, LineFailure, Report, ReportSender, StateReceiver};
use tawi_agent::health::{Status, Walled};
use tawi_agent::link::dialer::{Dialer, Line};
use tawi_agent::link::tls::client_config;
use tawi_agent::link::{self, ByteCounters, LinkSettings};
use tawi_agent::outbox::{Keeper, Opening, Outbox, StoreError};
use tawi_agent::reconcile::found::{FoundMemory, Remembered};
use tawi_agent::reconcile::memory::RouterMemory;
use tawi_agent::reconcile::orders::{Answer, Order, Orders};
use tawi_agent::remote::{self, Hands};
use tawi_agent::site::{Ends, Question, Site, Tools};
use tawi_agent::tuning::{Tuned, Tuning};
use tawi_agent::usage::book::Quotas;
use tawi_agent::usage::quota::QuotaBook;
use tawi_shared::envelope::FLAG_HISTORICAL;
use tawi_shared::state_hash::StateHash;
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    Access, CommandKind, CommandStatus, CommandV1, EventKind, FailureKind, Lane, LineUsageBeforeV1, LineV1,
    QuotaV1, Restraint, RestraintV1, Service, SessionUsageV1, StateDeltaV1, StateSnapshotV1, UpMessage,
    UsageBeforeV1,
};
use tawi_shared::{Clock, IdSource, UnixMillis};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const SITE: &str = "nyeri-01";

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

/// What the doctor judges a router's walls by.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_walled_in_or_may_be_are_counted_for_their_router() {
    let directory = Directory::new("link");
    let (office, mut agent, _) = connected(&directory.0, &["core"]).await;
    let walled = RestraintV1 { how: Restraint::Walled.code(), profile: "walled".into() };
    let of = |id: &str, until| LineV1 { suspension: walled.clone(), ..line(id, until) };
    let lines = [
        of("a", 5),
        LineV1 { access: Access::Suspended.code(), ..of("b", i64::MAX) },
        of("paid", i64::MAX),
        LineV1 { router: "roof".into(), ..of("elsewhere", 5) },
        // Its own page is what a hotspot shows.
        LineV1 { service: Service::Hotspot.code(), ..of("guest", 5) },
        line("off", 5),
    ];
    office.say_delta(&delta(0, 1, &lines, &lines)).await;
    agent.enforces(1).await;
    let status = agent.status().await;
    let core = status.routers.iter().find(|router| router.name == "core").unwrap();
    assert_eq!(core.walled, Some(Walled { now: 2, by_plan: 3 }));
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
