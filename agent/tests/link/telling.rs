//! What waits in the outbox: when it is told, how often, and when no more.

use tawi_shared::wire::{SpreadV1, WelcomeV1, short_name};

use super::*;

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
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    let (epoch, _) = office.hear_hello().await;
    for number in 1..=100 {
        agent.event(&number.to_string()).await;
    }
    // All of them wait before the first is told: few at a time would be told lightly, in a smaller window.
    let kept = async {
        loop {
            let events = agent.status().await.outbox.events;
            if events.pending + events.sealed == 100 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, kept).await.expect("the events are not kept");
    office.answer(epoch, 0, 0).await;
    let mut cursor = 0;
    while cursor < 100 {
        let burst = (100 - cursor).min(16);
        for _ in 0..burst {
            let (seq, _, text) = office.hear_event().await;
            cursor += 1;
            // Some were noted before head office's time was known, and say so.
            let number = text.split(' ').next().unwrap_or_default().to_owned();
            assert_eq!((seq, number), (cursor, cursor.to_string()));
        }
        let status = agent.status().await;
        assert!(office.overhear().is_none(), "more than the window was told");
        assert!(status.outbox.events.sealed <= 16);
        office.say_cursor(Lane::Event, epoch, cursor).await;
    }
    agent.stop().await;
}

/// The session of a line that runs and has moved so many bytes each way.
fn running(line: &str, bytes: u64) -> SessionUsageV1 {
    SessionUsageV1 {
        line: line.into(),
        session: format!("core/{line}"),
        started_at_ms: 1,
        sampled_at_ms: 2,
        upload_bytes: bytes,
        download_bytes: bytes,
        is_ended: false,
        address: String::new(),
        period_started_ms: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_used_up_its_quota_is_told_of_at_once_and_the_others_when_it_is_their_time() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.enforce.report = Duration::from_secs(2);
    let agent = Agent::start(&config, &[]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    agent.event("here").await;
    assert_eq!(office.hear_event().await.2, "here");
    office.say_cursor(Lane::Event, epoch, 1).await;
    let started = tokio::time::Instant::now();
    let sessions = ["a", "b"].map(|line| running(line, 7).into()).into();
    // In the order in which whoever counts says it.
    agent.report(Report::Usage { sessions, periods: BTreeMap::new() }).await;
    let (kind, line) = (EventKind::QuotaReached, Some("a".to_owned()));
    let event = Event { at: UnixMillis(7), kind, line, router: None, detail: "7 bytes".to_owned() };
    agent.report(Report::Event(event)).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let batch = |heard: &office::Heard| match &heard.2 {
            UpMessage::Usage(batch) => Some((heard.1.seq, batch.sessions.clone())),
            _ => None,
        };
        let (seq, sessions) = office.hear_until(batch).await;
        office.say_cursor(Lane::Usage, epoch, seq).await;
        told.push(sessions.into_iter().map(|session| session.line).collect::<Vec<_>>());
    }
    assert_eq!(told, [["a"], ["b"]]);
    assert!(started.elapsed() >= Duration::from_secs(1), "not before the others are due");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_a_long_outage_comes_as_one_total_a_session() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    let (epoch, _) = office.hear_hello().await;
    for bytes in 1..=300 {
        let total = SessionUsageV1 { is_ended: bytes == 300, ..running("a", bytes) };
        agent.report(Report::Usage { sessions: vec![total.into()], periods: BTreeMap::new() }).await;
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

/// What is told of a session next: its total, and whether its name came with it.
async fn told_of(office: &mut Office) -> (u64, bool) {
    office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Usage(batch) => batch.sessions.first().map(|told| (told.upload_bytes, true)),
            UpMessage::UsageTotals(totals) => totals.totals.first().map(|told| {
                assert_eq!(told.session, short_name("core/a"));
                (told.upload_bytes, false)
            }),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_comes_without_its_name_where_head_office_has_that_and_says_that_it_knows_such() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.enforce.report = Duration::from_secs(1);
    let agent = Agent::start(&config, &[]).await;
    let (epoch, hello) = office.hear_hello().await;
    assert_eq!((hello.protocol_oldest, hello.protocol_newest), (1, 3));
    office.say(Down::Ack, &WelcomeV1 { protocol: 2 }).await;
    office.answer(epoch, 0, 0).await;
    let report = async |bytes: u64| {
        let sessions = vec![running("a", bytes).into()];
        agent.report(Report::Usage { sessions, periods: BTreeMap::new() }).await;
    };
    report(7).await;
    assert_eq!(told_of(&mut office).await, (7, true));
    office.say_cursor(Lane::Usage, epoch, 1).await;
    report(9).await;
    assert_eq!(told_of(&mut office).await, (9, false));
    office.say_cursor(Lane::Usage, epoch, 2).await;
    // On the next connection it says nothing of it: it was set back to an older release.
    office.cut();
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 2).await;
    report(11).await;
    assert_eq!(told_of(&mut office).await, (11, true));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_says_hello_again_and_takes_its_time_to_come_back() {
    let directory = Directory::new("link");
    let (mut office, agent, epoch) = connected(&directory.0, &[]).await;
    until_down(&agent, true).await;
    office.say(Down::Ack, &SpreadV1 { return_within_seconds: 300, hello_within_seconds: 1 }).await;
    assert_eq!(office.hear_hello().await.0, epoch, "on the same connection");
    // What happens before that is answered is no history: the line holds.
    agent.event("meanwhile").await;
    let kept = async {
        while agent.status().await.outbox.events.sealed != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, kept).await.expect("the event is not kept");
    office.answer(epoch, 0, 0).await;
    assert_eq!(office.hear_event().await, (1, 0, "meanwhile".to_owned()));
    let last = office.connections.load(Ordering::SeqCst);
    office.cut();
    until_down(&agent, false).await;
    // By the agent's seed it waits for minutes then, and for milliseconds where it was not asked.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(office.connections.load(Ordering::SeqCst), last);
    agent.stop().await;
}
