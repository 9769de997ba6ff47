//! Who comes and goes is told together, and little is told lightly.

use tawi_shared::wire::{CursorsV1, TellNowV1, WelcomeV1};

use super::*;

async fn happened(agent: &Agent, kind: EventKind, line: &str) {
    let (at, line, detail) = (UnixMillis(7), Some(line.to_owned()), format!("{kind:?} {line}"));
    agent.report(Report::Event(Event { at, kind, line, router: None, detail })).await;
}

/// Until the agent has so many events on flash.
async fn kept(agent: &Agent, count: u64) {
    let kept = async {
        while agent.status().await.outbox.events.sealed != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, kept).await.expect("the event is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_waits_for_others_and_is_told_when_somebody_looks() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.enforce.report = Duration::from_secs(900);
    let agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    agent.event("here").await;
    assert_eq!(office.hear_event().await.2, "here");
    office.say_cursor(Lane::Event, epoch, 1).await;
    kept(&agent, 0).await;
    happened(&agent, EventKind::LineOffline, "a").await;
    happened(&agent, EventKind::LineOnline, "a").await;
    kept(&agent, 2).await;
    // Longer than the agent looks whether anything is due.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(office.overhear().is_none(), "each of them alone would cost more than all of them");
    office.say(Down::Ack, &TellNowV1 { controller_clock_ms: 1 }).await;
    assert_eq!(office.hear_event().await, (2, 0, "LineOffline a".to_owned()));
    assert_eq!(office.hear_event().await, (3, 0, "LineOnline a".to_owned()));
    office.say_cursor(Lane::Event, epoch, 3).await;
    kept(&agent, 0).await;
    // A trouble takes along who came before it.
    happened(&agent, EventKind::LineOffline, "b").await;
    happened(&agent, EventKind::RouterLost, "b").await;
    assert_eq!(office.hear_event().await.2, "LineOffline b");
    assert_eq!(office.hear_event().await.2, "RouterLost b");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_events_are_one_message_for_whoever_says_that_it_knows_such() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    let (epoch, _) = office.hear_hello().await;
    for text in ["one", "two", "three"] {
        agent.event(text).await;
    }
    kept(&agent, 3).await;
    office.say(Down::Ack, &WelcomeV1 { protocol: 3 }).await;
    office.answer(epoch, 1, 0).await;
    let (seq, told) = office
        .hear_until(|(_, header, message)| match message {
            UpMessage::Events(batch) => Some((header.seq, batch.events.clone())),
            UpMessage::Event(event) => panic!("{event:?} comes alone"),
            _ => None,
        })
        .await;
    let told: Vec<_> = told.iter().map(|one| (one.is_historical, &*one.event.detail)).collect();
    assert_eq!((seq, told), (2, vec![(true, "two"), (true, "three")]));
    // And so are cursors.
    let cursors = vec![(Lane::Event.code(), 3), (Lane::Usage.code(), 0)];
    office.say(Down::Ack, &CursorsV1 { store_epoch: epoch, controller_clock_ms: 1, cursors }).await;
    kept(&agent, 0).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_just_paid_is_told_to_be_online_at_once() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.enforce.report = Duration::from_secs(900);
    let mut agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    agent.event("here").await;
    assert_eq!(office.hear_event().await.2, "here");
    office.say_cursor(Lane::Event, epoch, 1).await;
    let paid = line("a", i64::MAX);
    office.say_delta(&delta(0, 1, std::slice::from_ref(&paid), std::slice::from_ref(&paid))).await;
    agent.enforces(1).await;
    let started = Instant::now();
    happened(&agent, EventKind::LineOnline, "a").await;
    assert_eq!(office.hear_event().await.2, "LineOnline a");
    assert!(started.elapsed() < Duration::from_secs(10), "not with the totals");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_light_word_that_is_not_answered_is_said_again_on_the_same_connection() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    let connections = office.connections.load(Ordering::SeqCst);
    agent.event("once").await;
    // As if it had never arrived.
    assert_eq!(office.hear_event().await, (1, 0, "once".to_owned()));
    let again = timeout(Duration::from_secs(40), office.hear_event()).await.expect("it is lost");
    assert_eq!(again, (1, 0, "once".to_owned()));
    office.say_cursor(Lane::Event, epoch, 1).await;
    kept(&agent, 0).await;
    assert_eq!(office.connections.load(Ordering::SeqCst), connections, "the connection holds");
    agent.stop().await;
}
