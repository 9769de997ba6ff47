//! Several commands in flight, listening and cancelling.

use std::time::Duration;

use crate::client::{Client, DEADLINE, settings, start};
use routeros_sim::{Settings, Simulator};

#[tokio::test]
async fn replies_carry_the_tag_of_their_command_and_a_short_one_overtakes_a_long_one() {
    let simulator = Simulator::start(Settings { foreign_secrets: 2_000, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    client.send("/ppp/secret/print =.proplist=name .tag=long").await;
    client.send("/system/identity/print =.proplist=name .tag=short").await;
    let mut before_short = 0;
    let mut rows = 0;
    loop {
        let reply = client.next().await.unwrap();
        match reply.as_str() {
            "!re =name=MikroTik .tag=short" => before_short = rows,
            "!done .tag=short" => {}
            "!done .tag=long" => break,
            row => {
                assert!(row.starts_with("!re =name=foreign-") && row.ends_with(".tag=long"), "{row}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 2_000);
    assert!(before_short < 2_000, "the short one waited for the long one");
}

#[tokio::test]
async fn commands_of_several_tags_share_the_latency_and_keep_their_order_within_a_tag() {
    let simulator = Simulator::start(Settings { latency_ms: 150, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    let started = tokio::time::Instant::now();
    for number in 0..10 {
        client.send(&format!("/system/identity/set =name=n{number} .tag=a")).await;
        client.send("/system/identity/print .tag=b").await;
    }
    let mut names = Vec::new();
    let mut done = 0;
    while done < 20 {
        let reply = client.next().await.unwrap();
        done += usize::from(reply.starts_with("!done"));
        names.extend(reply.strip_prefix("!re =name=").map(str::to_owned));
    }
    let elapsed = started.elapsed();
    let expected: Vec<String> = (0..10).map(|number| format!("n{number} .tag=b")).collect();
    assert_eq!(names, expected);
    assert!(elapsed >= Duration::from_millis(150), "{elapsed:?}");
    assert!(elapsed < Duration::from_millis(20 * 150), "the latencies added up: {elapsed:?}");
}

/// The manual's example of simultaneous commands, with menus that exist here.
#[tokio::test]
async fn the_manuals_transcript_of_listen_and_cancel_holds() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.send("/ip/firewall/address-list/listen .tag=2").await;
    client.check("/interface/disable =.id=ether5 .tag=3", &["!done .tag=3"]).await;
    client.check("/interface/enable =numbers=ether5 .tag=4", &["!done .tag=4"]).await;

    client.send("/ip/firewall/address-list/add =list=l =address=10.0.0.1 =comment=c .tag=5").await;
    let mut replies = [client.next().await.unwrap(), client.next().await.unwrap()];
    replies.sort();
    assert_eq!(replies[0], "!done =ret=*1 .tag=5");
    assert!(
        replies[1].starts_with("!re =.id=*1 =list=l =address=10.0.0.1 =creation-time="),
        "{}",
        replies[1]
    );
    assert!(replies[1].ends_with("=dynamic=false =disabled=false =comment=c .tag=2"), "{}", replies[1]);

    client.send("/ip/firewall/address-list/remove =.id=*1 .tag=6").await;
    let mut replies = [client.next().await.unwrap(), client.next().await.unwrap()];
    replies.sort();
    assert_eq!(replies, ["!done .tag=6", "!re =.id=*1 =.dead=true .tag=2"]);

    client.send("/cancel =tag=2 .tag=7").await;
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(client.next().await.unwrap());
    }
    assert_eq!(replies, ["!trap =category=2 =message=interrupted .tag=2", "!done .tag=2", "!done .tag=7"]);
    client
        .check("/cancel =tag=2 .tag=8", &["!trap =category=0 =message=no such item .tag=8", "!done .tag=8"])
        .await;
    // What was cancelled stays quiet.
    client
        .check("/ip/firewall/address-list/add =list=l =address=10.0.0.2 .tag=9", &["!done =ret=*2 .tag=9"])
        .await;
    client.check("/system/identity/print .tag=10", &["!re =name=MikroTik .tag=10", "!done .tag=10"]).await;
}

#[tokio::test]
async fn a_listen_has_no_first_snapshot_and_sees_what_others_do_through_its_query_and_proplist() {
    let simulator = Simulator::start(Settings { foreign_secrets: 3, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    client.send("/ppp/secret/listen =.proplist=.id,name ?service=pppoe .tag=l").await;
    client.check("/system/identity/print .tag=x", &["!re =name=MikroTik .tag=x", "!done .tag=x"]).await;
    let router = simulator.router();
    router.add_row("ppp/secret", &[("name", "tunnel"), ("service", "l2tp")]).unwrap();
    router.set_row("ppp/secret", "foreign-00002", &[("comment", "x")]).unwrap();
    router.remove_row("ppp/secret", "foreign-00003").unwrap();
    assert_eq!(client.next().await.unwrap(), "!re =.id=*2 =name=foreign-00002 .tag=l");
    assert_eq!(client.next().await.unwrap(), "!re =.id=*3 =.dead=true .tag=l");
}

#[tokio::test]
async fn cancel_without_a_tag_ends_everything_but_itself() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.send("/log/listen .tag=a").await;
    client.send("/ppp/active/listen .tag=b").await;
    client.check("/system/identity/print .tag=x", &["!re =name=MikroTik .tag=x", "!done .tag=x"]).await;
    client.send("/cancel .tag=c").await;
    let mut replies = Vec::new();
    for _ in 0..5 {
        replies.push(client.next().await.unwrap());
    }
    replies.sort();
    assert_eq!(
        replies,
        [
            "!done .tag=a",
            "!done .tag=b",
            "!done .tag=c",
            "!trap =category=2 =message=interrupted .tag=a",
            "!trap =category=2 =message=interrupted .tag=b",
        ]
    );
}

#[tokio::test]
async fn a_command_that_has_not_run_yet_can_be_cancelled_and_then_never_runs() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    let slow = routeros_sim::FaultsChange { serial_ms: Some(300), ..Default::default() };
    simulator.router().set_faults(slow).unwrap();
    client.send("/system/identity/print .tag=first").await;
    client.send("/ppp/secret/add =name=never .tag=second").await;
    client.send("/cancel =tag=second .tag=c").await;
    assert_eq!(client.next().await.unwrap(), "!trap =category=2 =message=interrupted .tag=second");
    assert_eq!(client.next().await.unwrap(), "!done .tag=second");
    assert_eq!(client.next().await.unwrap(), "!done .tag=c");
    assert_eq!(client.next().await.unwrap(), "!re =name=MikroTik .tag=first");
    assert_eq!(client.next().await.unwrap(), "!done .tag=first");
    assert_eq!(simulator.router().rows("ppp/secret").unwrap().len(), 0);
}

#[tokio::test]
async fn a_listener_that_does_not_read_loses_its_connection_and_not_the_routers_memory() {
    let simulator = start("7.18").await;
    let mut deaf = Client::logged_in(&simulator).await;
    deaf.send("/ppp/secret/listen .tag=l").await;
    let router = simulator.router();
    let listening = || (router.summary().commands_total == 1).then_some(());
    router.wait_for(DEADLINE, listening).await.unwrap();
    let id = router.add_row("ppp/secret", &[("name", "noisy")]).unwrap();
    let comment = "x".repeat(8_000);
    // Until the router has given up on it: socket, replies and pushes are all bounded.
    let mut changes = 0_u32;
    while router.summary().connections > 0 {
        router.set_row("ppp/secret", &id, &[("comment", &comment)]).unwrap();
        changes += 1;
        assert!(changes < 500_000, "the router buffers without bound");
        if changes.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
}
