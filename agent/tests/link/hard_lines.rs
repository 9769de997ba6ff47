//! Networks that let nothing out but through a proxy, and several addresses of head office.

use tawi_agent::config::{ControllerAddress, Proxy, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// A proxy that passes CONNECT for whoever shows the right password; what it was asked for is handed on.
pub async fn start_proxy(tasks: &mut JoinSet<()>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, requests) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(pass(stream, asked.clone()));
        }
    });
    (port, requests)
}

async fn pass(mut stream: TcpStream, asked: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.lines().next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let is_known = head.contains("Proxy-Authorization: Basic dGF3aTpvcGVu\r\n");
    let _ = asked.send(head);
    if !is_known {
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        return;
    }
    let mut office = TcpStream::connect(target).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut office).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_is_reached_through_a_proxy_that_wants_a_password_and_sees_nothing() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut tasks = JoinSet::new();
    let (port, mut requests) = start_proxy(&mut tasks).await;
    let mut config = office.config(&directory.0);
    let proxy = |credentials: Option<&str>| {
        let address = ControllerAddress { host: "localhost".into(), port };
        Some(Proxy { address, credentials: credentials.map(Secret::new) })
    };
    config.controller.proxy = proxy(None);
    let agent = Agent::start(&config, &[]).await;
    let why = trust::problem(&agent, "407").await;
    assert!(why.contains(&format!("the proxy localhost:{port}")), "{why}");
    agent.stop().await;
    assert!(office.overhear().is_none());

    config.controller.proxy = proxy(Some("tawi:open"));
    let agent = Agent::start(&config, &[]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    agent.event("through").await;
    assert_eq!(office.hear_event().await.2, "through");
    agent.stop().await;
    let mut last = String::new();
    while let Ok(request) = requests.try_recv() {
        last = request;
    }
    assert!(last.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", office.port)), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_address_is_used_while_nobody_listens_at_the_first() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    is_reached_at_the_second(closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_address_is_used_while_a_firewall_swallows_what_goes_to_the_first() {
    // The system accepts, and nobody ever reads: a handshake that has no answer.
    let swallows = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    is_reached_at_the_second(swallows.local_addr().unwrap().port()).await;
}

async fn is_reached_at_the_second(first: u16) {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.controller.addresses.insert(0, ControllerAddress { host: "localhost".into(), port: first });
    let agent = Agent::start(&config, &[]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    until_down(&agent, true).await;
    let address = agent.status().await.controller.address;
    assert_eq!(address, Some(format!("localhost:{}", office.port)));
    agent.stop().await;
}
