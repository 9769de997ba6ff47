//! What is said without the broker's acknowledgements or together, and what a site is asked for while somebody looks at it.

use tawi_shared::wire::{BatchedEventV1, EventBatchV1, TellNowV1};

use super::*;
use crate::live::Hint;

#[tokio::test]
async fn what_is_said_lightly_is_answered_lightly_and_once_more_with_acknowledgements_is_once() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    for (qos, answered) in [(QoS::AtMostOnce, QoS::AtMostOnce), (QoS::AtLeastOnce, QoS::AtLeastOnce)] {
        agent.say_with(qos, Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 1)).await;
        let publish = agent.heard_publish().await;
        assert_eq!(publish.qos, answered);
        match DownMessage::decode(&publish.payload).unwrap().1 {
            DownMessage::Cursor(cursor) => assert_eq!((cursor.lane, cursor.cursor), (2, 1)),
            other => panic!("{other:?}"),
        }
    }
    let moved =
        link.column("SELECT CAST(COALESCE(SUM(download_bytes), 0) AS BIGINT) FROM usage_sessions").await;
    assert_eq!(moved, 700);
    link.close().await;
}

#[tokio::test]
async fn whoever_looks_at_a_site_has_it_tell_what_waits_and_no_more_often_than_it_must() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    let newest = HelloV1 { protocol_newest: 3, ..hello(1, 1, link.hash().await) };
    agent.say(Up::Hello, &newest, (EPOCH, 0)).await;
    assert!(matches!(agent.heard().await, DownMessage::Welcome(_)));
    assert!(matches!(agent.heard().await, DownMessage::Cursors(_)));
    let look = || link.house.controller.live.tell(Hint::Watched(link.world.site.clone()));
    look();
    let asked = agent.heard().await;
    assert!(matches!(asked, DownMessage::TellNow(TellNowV1 { .. })), "{asked:?}");
    // Looked at again, it is not asked again: the next word is the answer to its own.
    look();
    agent.say(Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    link.close().await;
}

#[tokio::test]
async fn a_site_that_does_not_know_the_question_is_not_asked() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    link.house.controller.live.tell(Hint::Watched(link.world.site.clone()));
    agent.say(Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    link.close().await;
}

#[tokio::test]
async fn events_that_are_told_together_are_each_taken_once_whatever_comes_twice() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let batch = |from: u64, to: u64| EventBatchV1 {
        events: (from..=to)
            .map(|position| BatchedEventV1 {
                is_historical: position == 2,
                event: EventV1 {
                    detail: format!("event {position}"),
                    ..event(EventKind::LineOffline, Some(&link.world.line))
                },
            })
            .collect(),
    };
    for (from, to, cursor_after) in [(1, 3, 3), (1, 3, 3), (2, 5, 5), (9, 9, 5)] {
        agent.say(Up::Event, &batch(from, to), (EPOCH, from)).await;
        assert_eq!(cursor(&mut agent).await.cursor, cursor_after, "{from} to {to}");
    }
    let kept = link.column("SELECT COUNT(*) FROM site_events").await;
    assert_eq!(kept, 5);
    // More than are ever told together are no message of an agent's.
    agent.say(Up::Event, &batch(6, 6 + 64), (EPOCH, 6)).await;
    agent.say(Up::Event, &batch(6, 6), (EPOCH, 6)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 6);
    assert_eq!(link.column("SELECT COUNT(*) FROM site_events").await, 6);
    link.close().await;
}

#[tokio::test]
async fn a_light_word_that_comes_without_the_one_before_it_takes_nothing_with_it() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    // The first of the lane since the hello, and one before it was lost on the way.
    agent.say_with(QoS::AtMostOnce, Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 2)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 0, "it waits for the other");
    agent.say(Up::Usage, &usage_of(&link.world.line, 500), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 1);
    agent.say(Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 2)).await;
    assert_eq!(cursor(&mut agent).await.cursor, 2);
    // What is gone for good is passed over on the word of two with acknowledgements, each after a hello of its own.
    for expected in [2, 5] {
        agent.say(Up::Hello, &hello(1, 1, link.hash().await), (EPOCH, 0)).await;
        for _ in 0..3 {
            cursor(&mut agent).await;
        }
        agent.say_with(QoS::AtMostOnce, Up::Usage, &usage_of(&link.world.line, 800), (EPOCH, 5)).await;
        assert_eq!(cursor(&mut agent).await.cursor, 2);
        agent.say(Up::Usage, &usage_of(&link.world.line, 800), (EPOCH, 5)).await;
        assert_eq!(cursor(&mut agent).await.cursor, expected);
    }
    link.close().await;
}

#[tokio::test]
async fn a_site_that_is_set_back_to_an_older_release_is_told_what_that_knows() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    let newest = HelloV1 { protocol_newest: 3, ..hello(1, 1, link.hash().await) };
    agent.say(Up::Hello, &newest, (EPOCH, 0)).await;
    assert!(matches!(agent.heard().await, DownMessage::Welcome(_)));
    assert!(matches!(agent.heard().await, DownMessage::Cursors(_)));
    drop(agent);
    let mut older = link.greeted(hello(2, 1, link.hash().await)).await;
    link.house.controller.live.tell(Hint::Watched(link.world.site.clone()));
    older.say(Up::Usage, &usage_of(&link.world.line, 700), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut older).await.cursor, 1);
    link.close().await;
}
