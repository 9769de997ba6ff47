//! An agent that speaks no contract of this release is told nothing but to come rarely, and costs nobody else anything.

use tawi_shared::wire::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};

use super::*;

#[tokio::test]
async fn who_speaks_no_contract_that_is_known_is_told_to_come_rarely_and_nothing_else_until_it_does() {
    let link = Link::open().await;
    let mut agent = link.agent().await;
    for (protocol_oldest, protocol_newest) in
        [(PROTOCOL_NEWEST + 1, u16::MAX), (0, PROTOCOL_OLDEST - 1), (u16::MAX, u16::MAX)]
    {
        agent.say(Up::Hello, &HelloV1 { protocol_oldest, protocol_newest, ..fresh() }, (EPOCH, 0)).await;
        match agent.heard().await {
            DownMessage::Spread(spread) => assert_eq!(spread.return_within_seconds, 3_600),
            other => panic!("{other:?}"),
        }
    }
    // Whose range reaches into ours speaks the newest of both.
    let known = HelloV1 { protocol_oldest: PROTOCOL_NEWEST, protocol_newest: u16::MAX, ..fresh() };
    agent.say(Up::Hello, &known, (EPOCH, 0)).await;
    match agent.heard().await {
        DownMessage::Welcome(welcome) => assert_eq!(welcome.protocol, PROTOCOL_NEWEST),
        other => panic!("{other:?}"),
    }
    assert!(matches!(agent.heard().await, DownMessage::Cursors(_)));
    link.close().await;
}
