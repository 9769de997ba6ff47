//! Commands over the socket: what differs by release, and what only bytes can show.

use crate::client::{Client, settings, start};
use routeros_api::wire::encode_sentence;
use routeros_sim::{Settings, Simulator};

#[tokio::test]
async fn nothing_is_said_as_empty_from_7_18_on() {
    for (release, expected) in [("7.17", &["!done"][..]), ("7.18", &["!empty", "!done"][..])] {
        let simulator = start(release).await;
        let mut client = Client::logged_in(&simulator).await;
        client.check("/ppp/secret/print", expected).await;
        client.check("/ppp/secret/print =count-only=", &["!done =ret=0"]).await;
        client.check("/ppp/profile/print =.proplist=.id ?name=nobody", expected).await;
        client.check("/ppp/secret/add =name=a", &["!done =ret=*1"]).await;
        client.check("/ppp/secret/remove =.id=*1", &["!done"]).await;
        simulator.stop().await;
    }
}

#[tokio::test]
async fn traps_carry_their_category_and_are_followed_by_done() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    let trapped = [
        ("/ppp/sekret/print", "!trap =message=no such command prefix"),
        ("/ppp/secret/remove =.id=*77", "!trap =category=0 =message=no such item"),
        (
            "/ppp/secret/add =name=a =profile=x",
            "!trap =category=1 =message=input does not match any value of profile",
        ),
        ("/ppp/secret/add =name=a =x=y", "!trap =message=unknown parameter x"),
    ];
    for (line, trap) in trapped {
        client.check(line, &[trap, "!done"]).await;
        let tagged = format!("{line} .tag=t");
        client.check(&tagged, &[&format!("{trap} .tag=t"), "!done .tag=t"]).await;
    }
}

#[tokio::test]
async fn dates_follow_the_release() {
    for (release, separator, length) in [("7.9", "/", 11), ("7.10", "-", 10)] {
        let simulator = start(release).await;
        let mut client = Client::logged_in(&simulator).await;
        let clock = client.talk("/system/clock/print =.proplist=date").await;
        let date = clock[0].strip_prefix("!re =date=").unwrap().to_owned();
        assert_eq!((date.matches(separator).count(), date.len()), (2, length), "{date}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_utf8_survive_and_values_may_hold_anything() {
    let simulator = Simulator::start(Settings { foreign_secrets: 7, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    let odd = client.talk("/ppp/secret/print =.proplist=comment ?name=foreign-00007").await;
    assert_eq!(odd[0], "!re =comment=caf\u{fffd} Nyali");
    let mut bytes = Vec::new();
    let words: [&[u8]; 3] = [b"/ppp/secret/add", b"=name=a>b", b"=comment=x=\r\n\0\xe9="];
    encode_sentence(&words, &mut bytes).unwrap();
    client.send_bytes(&bytes).await;
    assert_eq!(client.next().await.unwrap(), "!done =ret=*8");
    client
        .check("/ppp/secret/print =.proplist=comment ?name=a>b", &["!re =comment=x=\r\n\0\u{fffd}=", "!done"])
        .await;
}

#[tokio::test]
async fn ten_thousand_rows_are_printed_whole() {
    let simulator = Simulator::start(Settings { foreign_secrets: 10_000, ..settings("7.18") }).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    let rows = client.talk("/ppp/secret/print =.proplist=.id,name").await;
    assert_eq!(rows.len(), 10_001);
    assert_eq!(rows[0], "!re =.id=*1 =name=foreign-00001");
    assert_eq!(rows[9_999], "!re =.id=*2710 =name=foreign-10000");
}

#[tokio::test]
async fn writes_wear_the_flash_and_are_remembered_without_secrets() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.talk("/ppp/secret/add =name=a =password=hunter2").await;
    client.talk("/ppp/secret/add =name=a =password=hunter2").await;
    client
        .check(
            "/system/resource/print =.proplist=write-sect-since-reboot",
            &["!re =write-sect-since-reboot=1", "!done"],
        )
        .await;
    let writes = simulator.router().writes_after(0);
    let told: Vec<String> = writes.iter().map(|write| format!("{} {:?}", write.seq, write.outcome)).collect();
    assert_eq!(told, ["1 Applied", "2 Refused"]);
    assert_eq!(writes[0].arguments["password"], "<redacted>");
    assert_eq!(simulator.router().writes_after(1).len(), 1);
    let summary = simulator.router().summary();
    assert_eq!((summary.commands_total, summary.prints_total, summary.writes_total), (3, 1, 2));
}

#[tokio::test]
async fn every_release_prints_all_that_it_has_and_knows_no_argument_of_later_ones() {
    let only_later = [
        ("/ppp/profile/set =numbers=default =bridge-port-vid=7", "bridge-port-vid", "7.17"),
        ("/ppp/profile/set =numbers=default =dhcpv6-use-radius=no", "dhcpv6-use-radius", "7.20"),
        ("/system/logging/set =numbers=*1 =comment=x", "comment", "7.22"),
        ("/ip/service/set =numbers=api =max-sessions=20", "max-sessions", "7.16"),
        ("/ip/service/set =numbers=api =available-from=", "available-from", "7.24"),
        ("/ip/dns/set =vrf=main", "vrf", "7.16"),
    ];
    for release in ["6.49.10", "7.12", "7.16", "7.18", "7.20", "7.22", "7.24"] {
        let simulator = start(release).await;
        let mut client = Client::logged_in(&simulator).await;
        for menu in [
            "ppp/secret",
            "ppp/profile",
            "ppp/active",
            "interface",
            "interface/ovpn-server/server",
            "interface/l2tp-server/server",
            "ip/hotspot/ip-binding",
            "ip/hotspot/walled-garden/ip",
            "ip/firewall/nat",
            "ip/dns",
            "ip/service",
            "system/health",
            "system/logging/action",
            "system/ntp/client",
            "system/package",
            "user/group",
            "certificate",
        ] {
            let answer = client.talk(&format!("/{menu}/print")).await;
            assert!(!answer[0].starts_with("!trap"), "{release} {menu}: {}", answer[0]);
        }
        for (line, argument, since) in only_later {
            let is_known = release.parse::<routeros_sim::Release>().unwrap() >= since.parse().unwrap();
            let unknown = format!("!trap =message=unknown parameter {argument}");
            let expected: &[&str] = if is_known { &["!done"] } else { &[&unknown, "!done"] };
            client.check(line, expected).await;
        }
        simulator.stop().await;
    }
}
