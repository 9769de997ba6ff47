//! Login, its failures, and the ends of a connection.

use routeros_api::wire::encode_sentence;

use crate::client::{Client, DEADLINE, settings, start};
use routeros_sim::{Settings, Simulator};

#[tokio::test]
async fn a_right_login_is_a_bare_done_and_a_wrong_one_a_trap() {
    let simulator = start("7.18").await;
    let mut client = Client::connect(simulator.api_address()).await;
    let refused = ["!trap =message=invalid user name or password (6)", "!done"];
    client.check("/login =name=admin =password=no", &refused).await;
    client.check("/login =name=nobody =password=w", &refused).await;
    client.check("/login =name=admin =password=w", &["!done"]).await;
    client.check("/system/identity/print", &["!re =name=MikroTik", "!done"]).await;
    let summary = simulator.router().summary();
    assert_eq!((summary.logins_total, summary.failed_logins_total, summary.connections), (1, 2, 1));
    simulator.stop().await;
}

#[tokio::test]
async fn a_command_before_login_is_fatal() {
    let simulator = start("7.18").await;
    let mut client = Client::connect(simulator.api_address()).await;
    client.send("/system/identity/print .tag=1").await;
    assert_eq!(client.next().await.as_deref(), Some("!fatal not logged in"));
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn quit_is_answered_by_a_bare_fatal_and_the_end() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.send("/quit .tag=1").await;
    assert_eq!(client.next().await.as_deref(), Some("!fatal session terminated on request"));
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn bytes_that_are_no_words_end_the_connection() {
    let simulator = start("7.18").await;
    let mut long_word = Vec::new();
    encode_sentence(&["/login", &"x".repeat(100_000)], &mut long_word).unwrap();
    let garbage: [&[u8]; 4] = [&[0xF8], &[0xF0, 0x40, 0, 0, 0], b"\xFFGET / HTTP/1.1\r\n\r\n", &long_word];
    for bytes in garbage {
        let mut client = Client::connect(simulator.api_address()).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test]
async fn a_sentence_may_come_byte_by_byte_and_empty_ones_are_ignored() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    let mut bytes = vec![0, 0];
    encode_sentence(&["/system/identity/print", "=.proplist=name"], &mut bytes).unwrap();
    for byte in bytes {
        client.send_bytes(&[byte]).await;
    }
    assert_eq!(client.next().await.as_deref(), Some("!re =name=MikroTik"));
    assert_eq!(client.next().await.as_deref(), Some("!done"));
}

#[tokio::test]
async fn every_login_and_logout_is_in_the_log_and_on_the_list_of_active_users() {
    let simulator = start("7.18").await;
    let mut watcher = Client::logged_in(&simulator).await;
    let mut guest = Client::logged_in(&simulator).await;
    let active = watcher.talk("/user/active/print =.proplist=name,via").await;
    assert_eq!(active, ["!re =name=admin =via=api", "!re =name=admin =via=api", "!done"]);
    guest.send("/quit").await;
    while guest.next().await.is_some() {}
    let router = simulator.router();
    let alone = || (router.summary().connections == 1).then_some(());
    router.wait_for(DEADLINE, alone).await.unwrap();
    let log = watcher.talk("/log/print =.proplist=topics,message").await;
    assert_eq!(
        log,
        [
            "!re =topics=system,info,account =message=user admin logged in from 127.0.0.1 via api",
            "!re =topics=system,info,account =message=user admin logged in from 127.0.0.1 via api",
            "!re =topics=system,info,account =message=user admin logged out from 127.0.0.1 via api",
            "!done",
        ]
    );
}

#[tokio::test]
async fn one_connection_too_many_is_accepted_and_closed() {
    let simulator = start("7.18").await;
    let mut first = Client::logged_in(&simulator).await;
    first.check("/ip/service/set =numbers=api =max-sessions=2", &["!done"]).await;
    let _second = Client::logged_in(&simulator).await;
    let mut third = Client::connect(simulator.api_address()).await;
    assert_eq!(third.next().await, None);
}

#[tokio::test]
async fn a_service_moves_when_its_port_is_changed_and_open_connections_stay() {
    let (simulator, spare) = (start("7.18").await, start("7.18").await);
    let mut client = Client::logged_in(&simulator).await;
    let free = spare.api_address();
    spare.stop().await;
    client.check(&format!("/ip/service/set =numbers=api =port={}", free.port()), &["!done"]).await;
    let moved = async {
        loop {
            match tokio::net::TcpStream::connect(free).await {
                Ok(stream) => return Client::over(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut other = tokio::time::timeout(DEADLINE, moved).await.unwrap();
    other.log_in().await;
    assert!(tokio::net::TcpStream::connect(simulator.api_address()).await.is_err());
    client.check("/user/active/print =count-only=", &["!done =ret=2"]).await;
}

#[tokio::test]
async fn a_source_that_the_service_does_not_allow_is_accepted_and_closed() {
    let simulator = start("7.18").await;
    simulator.router().set_row("ip/service", "api", &[("address", "172.17.0.0/24")]).unwrap();
    let mut client = Client::connect(simulator.api_address()).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_group_without_write_gets_the_permission_trap() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_row("user/group", &[("name", "watch"), ("policy", "read,api")]).unwrap();
    router.add_row("user", &[("name", "watcher"), ("group", "watch"), ("password", "x")]).unwrap();
    let mut client = Client::connect(simulator.api_address()).await;
    client.check("/login =name=watcher =password=x", &["!done"]).await;
    let denied = ["!trap =message=not enough permissions (9)", "!done"];
    client.check("/ppp/secret/add =name=a", &denied).await;
    client.check("/ppp/profile/print =.proplist=name ?name=default", &["!re =name=default", "!done"]).await;
    client.check("/system/reboot", &denied).await;
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let simulator = start("7.18").await;
    let address = simulator.api_address();
    let mut client = Client::logged_in(&simulator).await;
    simulator.stop().await;
    assert_eq!(client.next().await, None);
    let again = Settings { listen: address, ..settings("7.18") };
    Simulator::start(again).await.unwrap().stop().await;
}

#[tokio::test]
async fn the_number_of_sessions_of_a_service_is_limited_from_7_16_on() {
    for (release, is_limited) in [("7.12", false), ("7.16", true)] {
        let simulator = start(release).await;
        let mut first = Client::logged_in(&simulator).await;
        let unknown = ["!trap =message=unknown parameter max-sessions", "!done"];
        let expected: &[&str] = if is_limited { &["!done"] } else { &unknown };
        first.check("/ip/service/set =numbers=api =max-sessions=1", expected).await;
        let mut second = Client::connect(simulator.api_address()).await;
        if is_limited {
            assert_eq!(second.next().await, None);
        } else {
            second.log_in().await;
        }
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_user_who_may_not_come_from_this_address_is_refused_like_a_wrong_password() {
    let simulator = start("7.18").await;
    simulator.router().set_row("user", "admin", &[("address", "172.17.0.2/32")]).unwrap();
    let mut client = Client::connect(simulator.api_address()).await;
    let refused = ["!trap =message=invalid user name or password (6)", "!done"];
    client.check("/login =name=admin =password=w", &refused).await;
    simulator.router().set_row("user", "admin", &[("address", "172.17.0.2/32,127.0.0.0/8")]).unwrap();
    client.check("/login =name=admin =password=w", &["!done"]).await;
}
