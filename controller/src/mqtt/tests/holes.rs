//! Records that are missing before the first one after a hello: asked for again, and given up only when nothing has them. And
//! hellos that come after the next one.

use super::*;

/// Says hello as an agent that can be asked for another.
async fn greet(agent: &mut Agent, link: &Link, connection_epoch: u64) -> u64 {
    let newest = HelloV1 { protocol_newest: 3, ..hello(connection_epoch, 1, link.hash().await) };
    agent.say(Up::Hello, &newest, (EPOCH, 0)).await;
    assert!(matches!(agent.heard().await, DownMessage::Welcome(_)));
    let DownMessage::Cursors(cursors) = agent.heard().await else { panic!("no cursors") };
    cursors.cursors.iter().find(|(lane, _)| *lane == Lane::Usage.code()).unwrap().1
}

/// Says a total at a position; up to where everything is there.
async fn total(agent: &mut Agent, link: &Link, download: u64, seq: u64) -> u64 {
    agent.say(Up::Usage, &usage_of(&link.world.line, download), (EPOCH, seq)).await;
    cursor(agent).await.cursor
}

#[tokio::test]
async fn what_a_broker_lost_after_a_hello_is_asked_for_again() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    assert_eq!(greet(&mut agent, &link, 1).await, 0);
    // The first is lost on the way.
    assert_eq!(total(&mut agent, &link, 200, 2).await, 0, "nothing is passed over");
    assert!(matches!(agent.heard().await, DownMessage::Spread(asked) if asked.hello_within_seconds == 1));
    assert_eq!(total(&mut agent, &link, 300, 3).await, 0, "and it is asked once");
    assert_eq!(greet(&mut agent, &link, 1).await, 0);
    for (seq, download) in [(1, 100), (2, 200), (3, 300)] {
        assert_eq!(total(&mut agent, &link, download, seq).await, seq);
    }
    link.close().await;
}

#[tokio::test]
async fn what_nobody_has_any_more_is_given_up_at_the_second_hello() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    greet(&mut agent, &link, 1).await;
    assert_eq!(total(&mut agent, &link, 500, 7).await, 0);
    assert!(matches!(agent.heard().await, DownMessage::Spread(_)));
    greet(&mut agent, &link, 1).await;
    assert_eq!(total(&mut agent, &link, 600, 8).await, 0, "that is another hole");
    assert!(matches!(agent.heard().await, DownMessage::Spread(_)));
    greet(&mut agent, &link, 1).await;
    assert_eq!(total(&mut agent, &link, 500, 8).await, 8);
    assert_eq!(total(&mut agent, &link, 700, 9).await, 9);
    link.close().await;
}

/// It would take back what the site has said since, and the farewell of that connection would end the one that there is.
#[tokio::test]
async fn a_hello_of_an_older_connection_that_comes_late_changes_nothing() {
    let link = Link::open().await;
    let generation = link.pay_while_away(1_000).await;
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &hello(1, 0, StateHash::default()), (EPOCH, 0)).await;
    agent.say(Up::Hello, &hello(2, generation, link.hash().await), (EPOCH, 0)).await;
    agent.say(Up::Hello, &hello(1, 0, StateHash::default()), (EPOCH, 0)).await;
    agent.say(Up::Bye, &ByeV1 { connection_epoch: 1 }, (EPOCH, 0)).await;
    let other_run = HelloV1 { boot_id: 2, ..hello(1, generation, link.hash().await) };
    link.site_becomes("known to have it", |site| site.stored_generation == generation).await;
    assert!(link.site().await.presence.is_online);
    agent.say(Up::Hello, &other_run, (EPOCH, 0)).await;
    agent.say(Up::Bye, &ByeV1 { connection_epoch: 1 }, (EPOCH, 0)).await;
    link.site_becomes("offline", |site| !site.presence.is_online).await;
    assert_eq!(link.site().await.stored_generation, generation);
    link.close().await;
}
