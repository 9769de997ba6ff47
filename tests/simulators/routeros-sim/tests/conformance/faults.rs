//! Misbehaviour on request.

use std::time::Duration;

use crate::client::{Client, DEADLINE, settings, start};
use routeros_sim::{FaultsChange, Settings, Simulator};

/// Long enough for an answer that must not come to have come.
const A_WHILE: Duration = Duration::from_millis(200);

fn change(simulator: &Simulator, change: FaultsChange) {
    simulator.router().set_faults(change).unwrap();
}

#[tokio::test]
async fn a_stalled_router_accepts_and_says_nothing_until_it_recovers() {
    let simulator = start("7.18").await;
    let mut old = Client::logged_in(&simulator).await;
    change(&simulator, FaultsChange { stall: Some(true), ..FaultsChange::default() });
    old.send("/system/identity/print").await;
    let mut new = Client::connect(simulator.api_address()).await;
    new.send("/login =name=admin =password=w").await;
    assert!(old.is_quiet_for(A_WHILE).await && new.is_quiet_for(A_WHILE).await);
    change(&simulator, FaultsChange { stall: Some(false), ..FaultsChange::default() });
    assert_eq!(old.next().await.unwrap(), "!re =name=MikroTik");
    assert_eq!(new.next().await.unwrap(), "!done");
}

#[tokio::test]
async fn a_router_that_refuses_connections_keeps_those_it_has() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    change(&simulator, FaultsChange { refuse_connections: Some(true), ..FaultsChange::default() });
    let refused = async {
        while tokio::net::TcpStream::connect(simulator.api_address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    client.check("/system/identity/print", &["!re =name=MikroTik", "!done"]).await;
}

#[tokio::test]
async fn every_connection_can_be_cut_at_once() {
    let simulator = start("7.18").await;
    let mut one = Client::logged_in(&simulator).await;
    let mut other = Client::logged_in(&simulator).await;
    simulator.router().drop_connections();
    assert_eq!((one.next().await, other.next().await), (None, None));
    Client::logged_in(&simulator)
        .await
        .check("/system/identity/print", &["!re =name=MikroTik", "!done"])
        .await;
}

#[tokio::test]
async fn a_connection_can_be_cut_in_the_middle_of_a_sentence_and_the_next_one_is_whole() {
    let simulator = Simulator::start(Settings { foreign_secrets: 100, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    change(&simulator, FaultsChange { drop_after_bytes: Some(100), ..FaultsChange::default() });
    client.send("/ppp/secret/print =.proplist=name").await;
    // "!re" and "=name=foreign-00001" with their lengths and the end: 25 bytes, so four are whole.
    let mut whole = 0;
    while client.next().await.is_some() {
        whole += 1;
    }
    assert_eq!(whole, 4);
    let mut client = Client::logged_in(&simulator).await;
    assert_eq!(client.talk("/ppp/secret/print =.proplist=name").await.len(), 101);
}

#[tokio::test]
async fn ignored_writes_are_acknowledged_and_not_done() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    change(&simulator, FaultsChange { ignore_writes: Some(1), ..FaultsChange::default() });
    client.check("/ppp/secret/add =name=a", &["!done =ret=*1"]).await;
    client.check("/ppp/secret/print", &["!empty", "!done"]).await;
    client.check("/ppp/secret/add =name=a", &["!done =ret=*2"]).await;
    let menu = Some("ppp/secret".to_owned());
    change(&simulator, FaultsChange { ignore_writes_menu: menu, ..FaultsChange::default() });
    client.check("/ppp/secret/set =.id=*2 =comment=x", &["!done"]).await;
    client.check("/ppp/secret/remove =.id=*2", &["!done"]).await;
    client.check("/ppp/secret/print =.proplist=name,comment", &["!re =name=a", "!done"]).await;
    let outcomes: Vec<String> =
        simulator.router().writes_after(0).iter().map(|write| format!("{:?}", write.outcome)).collect();
    assert_eq!(outcomes, ["Ignored", "Applied", "Ignored", "Ignored"]);
}

#[tokio::test]
async fn a_write_is_refused_for_one_of_its_arguments_and_others_are_done() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    let refuse_argument = Some("remote-address".to_owned());
    change(&simulator, FaultsChange { refuse_argument, ..FaultsChange::default() });
    let refused = ["!trap =message=failure: invalid value of remote-address", "!done"];
    client.check("/ppp/secret/add =name=a =remote-address=10.0.0.7", &refused).await;
    client.check("/ppp/secret/add =name=a", &["!done =ret=*1"]).await;
    client.check("/ppp/secret/set =.id=*1 =name=b =remote-address=10.0.0.7", &refused).await;
    client.check("/ppp/secret/unset =.id=*1 =value-name=remote-address", &refused).await;
    client.check("/ppp/secret/print =.proplist=name", &["!re =name=a", "!done"]).await;
    let refuse_writes_menu = Some("/ppp/secret".to_owned());
    change(&simulator, FaultsChange { refuse_writes_menu, ..FaultsChange::default() });
    let refused = ["!trap =message=failure: ppp/secret cannot be changed", "!done"];
    client.check("/ppp/secret/remove =.id=*1", &refused).await;
    client.check("/ppp/profile/add =name=b", &["!done =ret=*3"]).await;
}

#[tokio::test]
async fn a_slow_processor_runs_the_commands_of_all_connections_one_after_another() {
    let simulator = start("7.18").await;
    let mut one = Client::logged_in(&simulator).await;
    let mut other = Client::logged_in(&simulator).await;
    change(&simulator, FaultsChange { serial_ms: Some(60), ..FaultsChange::default() });
    let started = tokio::time::Instant::now();
    for number in 0..3 {
        one.send(&format!("/system/identity/print .tag={number}")).await;
        other.send(&format!("/system/identity/print .tag={number}")).await;
    }
    for _ in 0..6 {
        assert!(one.next().await.is_some() && other.next().await.is_some());
    }
    assert!(started.elapsed() >= Duration::from_millis(6 * 60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_routers_clock_can_be_wrong() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    let year = |replies: Vec<String>| replies[0].split(['=', '-']).nth(2).unwrap().parse::<i32>().unwrap();
    let print = "/system/clock/print =.proplist=date";
    let right = year(client.talk(print).await);
    let two_years = 2 * 366 * 86_400_000_i64;
    change(&simulator, FaultsChange { clock_shift_ms: Some(-two_years), ..FaultsChange::default() });
    let wrong = year(client.talk(print).await);
    assert!((2..=3).contains(&(right - wrong)), "{right} and {wrong}");
}
