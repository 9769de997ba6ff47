//! Our client alone against the simulator, where a pipe in memory would prove less: real sockets with buffers of their
//! own, a router that takes its replies in turns, and one that reboots.

use std::net::SocketAddr;
use std::time::Duration;

use routeros_api::menu::{PppSecret, PppSecretDraft};
use routeros_api::{Client, Command, Difference, Error, Follow, LoginError, News, Options};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{ours, start};

const WITHIN: Duration = Duration::from_secs(60);
const ROWS: usize = 10_000;

/// A connection whose own buffer is small, so that what waits in it is little beside the rows.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn ten_thousand_secrets_for_a_slow_taker_are_held_within_their_allowance_and_others_are_answered() {
    let simulator = start("7.18", 0).await;
    // On the loopback the sending side alone holds some megabytes, so that short rows would all be there.
    let comment = "x".repeat(2_000);
    for number in 0..ROWS {
        let name = format!("plot{number}");
        simulator.router().add_row("ppp/secret", &[("name", &name), ("comment", &comment)]).unwrap();
    }
    let held_bytes = 256 * 1024;
    let options = Options { held_bytes, ..ours::options(&simulator) };
    let client = Client::over(narrow(simulator.api_address()).await, &options).await.unwrap();
    let mut stream = client.rows(Command::new("/ppp/secret/print")).await.unwrap();
    let (mut rows, mut most_held, mut asked, mut other) = (0, 0, 0, None);
    while let Some(row) = timeout(WITHIN, stream.next()).await.expect("a row") {
        row.unwrap();
        rows += 1;
        most_held = most_held.max(client.held_bytes());
        // Others ask while the taker is far behind, and each is answered before the print is over.
        if other.as_ref().is_none_or(JoinHandle::is_finished) && rows < ROWS / 2 {
            let asking = client.clone();
            let identity = Command::new("/system/identity/print");
            other = Some(tokio::spawn(async move { asking.run(identity).await.unwrap() }));
            asked += 1;
        }
        // Each row takes a turn of everybody else: the router and the connection are always ahead.
        tokio::task::yield_now().await;
    }
    assert_eq!(rows, ROWS);
    assert!(other.is_some_and(|last| last.is_finished()) && asked > 1, "{asked} others asked");
    assert!((held_bytes - 4096..held_bytes + 4096).contains(&most_held), "{most_held} bytes held");
    simulator.stop().await;
}

/// Differences up to the next `Settled`, each as its mark and its name.
async fn until_settled(follow: &mut Follow) -> Vec<String> {
    let mut news = Vec::new();
    loop {
        match timeout(WITHIN, follow.next()).await.expect("news").unwrap() {
            News::Settled => return news,
            News::Difference(difference) => news.push(shown(&difference)),
        }
    }
}

fn shown(difference: &Difference) -> String {
    let (mark, row) = match difference {
        Difference::Added(row) => ('+', row),
        Difference::Removed(row) => ('-', row),
        Difference::Changed { after, .. } => ('~', after),
    };
    format!("{mark}{}", String::from_utf8_lossy(&row.get("name").unwrap()))
}

#[tokio::test]
async fn a_menu_is_followed_over_a_reboot_and_only_what_changed_meanwhile_is_told() {
    for release in ["6.49", "7.18"] {
        let simulator = start(release, 3).await;
        let mut follow = Follow::new("/ppp/secret", &["name", "profile"], &["name"]);
        follow.resume(ours::connect(&simulator).await);
        let first = until_settled(&mut follow).await;
        assert_eq!(first, ["+foreign-00001", "+foreign-00002", "+foreign-00003"]);

        let other = ours::connect(&simulator).await;
        let secrets = other.menu::<PppSecret>();
        let id = secrets.add(&PppSecretDraft::new().name("plot1").profile("default")).await.unwrap();
        secrets.set(&id, &PppSecretDraft::new().profile("default-encryption")).await.unwrap();
        secrets.remove(&id).await.unwrap();
        for expected in ["+plot1", "~plot1", "-plot1"] {
            let News::Difference(difference) = timeout(WITHIN, follow.next()).await.expect("news").unwrap()
            else {
                panic!("settled again")
            };
            assert_eq!(shown(&difference), expected);
        }

        simulator.router().reboot(0);
        assert!(timeout(WITHIN, follow.next()).await.expect("an end").unwrap_err().is_connection_lost());
        simulator.router().remove_row("ppp/secret", "foreign-00002").unwrap();
        simulator
            .router()
            .set_row("ppp/secret", "foreign-00003", &[("profile", "default-encryption")])
            .unwrap();
        simulator.router().add_row("ppp/secret", &[("name", "plot2")]).unwrap();
        follow.resume(connected_again(&simulator).await);
        assert_eq!(until_settled(&mut follow).await, ["-foreign-00002", "~foreign-00003", "+plot2"]);
        simulator.stop().await;
    }
}

/// The port of a router that has just rebooted may be closed for a moment more.
async fn connected_again(simulator: &routeros_sim::Simulator) -> Client {
    let connecting = async {
        loop {
            match Client::connect(ours::options(simulator)).await {
                Ok(client) => return client,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(WITHIN, connecting).await.expect("the router is back")
}

#[tokio::test]
async fn a_door_that_closes_at_once_is_told_as_one_whatever_closed_it() {
    for (property, value) in [("max-sessions", "1"), ("address", "192.0.2.0/24")] {
        let simulator = start("7.18", 0).await;
        let first = ours::connect(&simulator).await;
        simulator.router().set_row("ip/service", "api", &[(property, value)]).unwrap();
        let error = Client::connect(ours::options(&simulator)).await.unwrap_err();
        assert!(matches!(error, Error::Login(LoginError::ClosedByRouter)), "{property}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("max-sessions") && text.contains("address lists"), "{text}");
        // Who is in stays in.
        assert!(first.run(Command::new("/system/identity/print")).await.is_ok(), "{property}");
        simulator.stop().await;
    }
}
