//! The front door and the broker behind it, over real sockets.

use std::time::Duration;

use rumqttc::mqttbytes::v4::{ConnectReturnCode, Login, Packet, PubAck};
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::connect_packet::ConnectPacket;
use super::testing::{ACCEPTED, Agent, House, PATIENCE, connect, settings, will};
use crate::mqtt::acl::CONTROLLER_USER;
use crate::sites;
use crate::testing::revoke;

mod enrolment;
mod raw;

async fn house() -> House {
    let house = House::open(settings()).await;
    house.broker.address.attendance.begin();
    house
}

/// What the door answers to a CONNECT; `None` when it hangs up.
async fn answer(
    house: &House,
    certificate: &crate::pki::SiteCertificate,
    connect: rumqttc::mqttbytes::v4::Connect,
) -> Option<ConnectReturnCode> {
    let mut agent = Agent::over("a", house.tls(Some(certificate)).await.unwrap());
    agent.send(&Packet::Connect(connect)).await;
    match agent.packet().await {
        Some(Packet::ConnAck(answer)) => Some(answer.code),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_with_its_certificate_comes_in_and_hears_only_its_own_site() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let mut agent = house.agent("a", &certificate).await;
    for foreign in ["#", "v1/+/down/#", "v1/b/down/#", "$share/g/v1/a/down/#", "$share/g/#", "$SYS/#"] {
        assert!(!agent.subscribe(foreign).await, "{foreign}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_silent_connection_holds_up_nobody_and_is_dropped() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let mut silent = house.tcp().await;
    // TLS is done, and no CONNECT comes.
    let mut mute = house.tls(Some(&certificate)).await.unwrap();
    let _agent = house.agent("a", &certificate).await;
    let started = Instant::now();
    let mut byte = [0; 1];
    assert!(matches!(timeout(PATIENCE, silent.read(&mut byte)).await.unwrap(), Ok(0) | Err(_)));
    assert!(matches!(timeout(PATIENCE, mute.read(&mut byte)).await.unwrap(), Ok(0) | Err(_)));
    assert!(started.elapsed() < Duration::from_secs(5), "deadlines of 300 ms");
    house.close().await;
}

#[tokio::test]
async fn who_is_not_the_site_of_the_certificate_is_refused() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    house.certificate("b").await;
    let refused = Some(ConnectReturnCode::NotAuthorized);
    assert_eq!(answer(&house, &certificate, connect("a", "b")).await, refused);
    assert_eq!(answer(&house, &certificate, connect("a", CONTROLLER_USER)).await, refused);
    assert_eq!(
        answer(&house, &certificate, connect("b", "a")).await,
        Some(ConnectReturnCode::BadClientId),
        "nobody takes over the session of another"
    );
    for topic in ["v1/b/up/bye", "v1/a/up/hello", "v1/a/down/state"] {
        let mut foreign = connect("a", "a");
        foreign.last_will = Some(will(topic, vec![1]));
        assert_eq!(answer(&house, &certificate, foreign).await, refused, "{topic}");
    }
    let mut good = connect("a", "a");
    good.last_will = Some(will("v1/a/up/bye", vec![1]));
    assert_eq!(answer(&house, &certificate, good).await, Some(ACCEPTED));
    house.close().await;
}

/// With TLS 1.3 the client learns of the refusal of its certificate by its first read.
async fn is_refused_by_tls(house: &House, certificate: Option<&crate::pki::SiteCertificate>) -> bool {
    match house.tls(certificate).await {
        Err(_) => true,
        Ok(stream) => {
            let mut agent = Agent::over("a", stream);
            agent.send(&Packet::Connect(connect("a", "a"))).await;
            agent.packet().await.is_none()
        }
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_certificate_of_our_authority() {
    let house = house().await;
    house.certificate("a").await;
    assert!(is_refused_by_tls(&house, None).await);
    let site = crate::ids::SiteId::parse("a").unwrap();
    let foreign = house.stranger().issue_site(&site, house.controller.clock.now()).unwrap();
    assert!(is_refused_by_tls(&house, Some(&foreign)).await);
    house.close().await;
}

#[tokio::test]
async fn a_certificate_that_is_revoked_or_unknown_to_the_database_is_refused() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let site = crate::ids::SiteId::parse("a").unwrap();
    let unknown = house.pki.issue_site(&site, house.controller.clock.now()).unwrap();
    let refused = Some(ConnectReturnCode::NotAuthorized);
    assert_eq!(answer(&house, &unknown, connect("a", "a")).await, refused);
    assert_eq!(answer(&house, &certificate, connect("a", "a")).await, Some(ACCEPTED));
    assert!(revoke(&house.controller, &site).await.unwrap());
    assert_eq!(answer(&house, &certificate, connect("a", "a")).await, refused);
    house.close().await;
}

#[tokio::test]
async fn a_site_that_comes_back_resumes_its_session_and_is_refused_all_the_same_once_it_is_revoked() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let client = house.client(Some(&certificate));
    let dial = async |kind: HandshakeKind| {
        let stream = house.tls_of(&client).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
        let mut agent = Agent::over("a", stream);
        agent.send(&Packet::Connect(connect("a", "a"))).await;
        match agent.packet().await {
            Some(Packet::ConnAck(answer)) => Some(answer.code),
            _ => None,
        }
    };
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        assert_eq!(dial(kind).await, Some(ACCEPTED), "{kind:?}");
    }
    assert!(revoke(&house.controller, &crate::ids::SiteId::parse("a").unwrap()).await.unwrap());
    assert_eq!(dial(HandshakeKind::Resumed).await, Some(ConnectReturnCode::NotAuthorized));
    house.close().await;
}

/// A resumed TLS session looks at no date.
#[tokio::test]
async fn a_certificate_that_is_over_is_refused_by_the_database_too() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    assert_eq!(answer(&house, &certificate, connect("a", "a")).await, Some(ACCEPTED));
    let mut write = house.controller.database.write().await.unwrap();
    let over =
        sqlx::query("UPDATE site_certificates SET expires_at = $1").bind(house.controller.clock.now().0);
    over.execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let refused = Some(ConnectReturnCode::NotAuthorized);
    assert_eq!(answer(&house, &certificate, connect("a", "a")).await, refused);
    house.close().await;
}

#[tokio::test]
async fn revoking_a_site_ends_its_connection() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let mut agent = house.agent("a", &certificate).await;
    assert!(revoke(&house.controller, &agent.site).await.unwrap());
    assert!(agent.packet().await.is_none());
    house.close().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_site_ends_the_older_one() {
    let house = house().await;
    let certificate = house.certificate("a").await;
    let mut older = house.agent("a", &certificate).await;
    let mut newer = house.agent("a", &certificate).await;
    assert!(older.packet().await.is_none());
    assert!(newer.subscribe("v1/a/down/state").await, "the newer one goes on");
    house.close().await;
}

#[tokio::test]
async fn a_program_that_finds_the_loopback_port_is_nobody() {
    let house = house().await;
    house.certificate("a").await;
    let attempt = async |user_name: &str, password: Option<&str>| {
        let port = house.broker.address.port;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let packet = ConnectPacket {
            client_id: "a".into(),
            user_name: Some(user_name.into()),
            will: None,
            is_clean_session: true,
            keep_alive_seconds: 60,
        };
        stream.write_all(&packet.encode(password.map(str::as_bytes)).unwrap()).await.unwrap();
        let mut connack = [0; 4];
        match timeout(PATIENCE, stream.read_exact(&mut connack)).await.unwrap() {
            Ok(_) => connack[3],
            Err(_) => u8::MAX,
        }
    };
    for (user_name, password) in [
        ("a", None),
        ("a", Some("")),
        ("a", Some("guess")),
        (CONTROLLER_USER, None),
        (CONTROLLER_USER, Some("guess")),
    ] {
        assert_ne!(attempt(user_name, password).await, 0, "{user_name} {password:?}");
    }
    let password = house.broker.address.password.expose().to_owned();
    assert_ne!(attempt("a", Some(&password)).await, 0, "the controller's password is no voucher");
    assert_eq!(attempt(CONTROLLER_USER, Some(&password)).await, 0, "the check itself can succeed");
    house.close().await;
}

#[tokio::test]
async fn one_address_cannot_take_all_handshakes() {
    let mut few = settings();
    few.handshakes_per_address = 2;
    few.handshake_deadline = PATIENCE * 2;
    let house = House::open(few).await;
    house.broker.address.attendance.begin();
    let mut crawling = [house.tcp().await, house.tcp().await, house.tcp().await];
    for stream in &mut crawling {
        // The beginning of a handshake, so that it is none of the silent.
        stream.write_all(&[0x16]).await.unwrap();
    }
    // Whichever comes last to the line.
    let [mut first, mut second, mut third] = crawling;
    let (mut a, mut b, mut c) = ([0; 1], [0; 1], [0; 1]);
    let ended = async {
        tokio::select! {
            read = first.read(&mut a) => read,
            read = second.read(&mut b) => read,
            read = third.read(&mut c) => read,
        }
    };
    assert!(matches!(timeout(PATIENCE, ended).await.unwrap(), Ok(0) | Err(_)));
    house.close().await;
}

#[tokio::test]
async fn while_the_controller_does_not_listen_nobody_comes_in_and_whoever_is_in_goes() {
    let house = House::open(settings()).await;
    let certificate = house.certificate("a").await;
    let attendance = house.broker.address.attendance.clone();
    let mut agent = {
        let early = house.agent("a", &certificate);
        tokio::pin!(early);
        assert!(timeout(Duration::from_millis(200), &mut early).await.is_err(), "it waits");
        attendance.begin();
        timeout(PATIENCE, early).await.unwrap()
    };
    attendance.end();
    assert!(agent.packet().await.is_none(), "what it says now would be lost");
    house.close().await;
}

#[tokio::test]
async fn a_part_of_the_broker_that_fails_ends_it_all() {
    let mut house = house().await;
    let certificate = house.certificate("a").await;
    let mut agent = house.agent("a", &certificate).await;
    let attendance = house.broker.address.attendance.clone();
    house.broker.tasks.spawn(async { panic!("a part of the broker") });
    timeout(PATIENCE, house.broker.finished()).await.expect("it does not go on without a part");
    assert!(!attendance.is_listening(), "health tells of it");
    assert!(agent.packet().await.is_none());
}

/// The controller's own client at the broker.
async fn controller(house: &House) -> Agent<TcpStream> {
    let address = &house.broker.address;
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.unwrap();
    let mut client = Agent::over("a", stream);
    let mut packet = connect(CONTROLLER_USER, CONTROLLER_USER);
    packet.login = Some(Login::new(CONTROLLER_USER, address.password.expose()));
    client.send(&Packet::Connect(packet)).await;
    assert!(matches!(client.packet().await, Some(Packet::ConnAck(answer)) if answer.code == ACCEPTED));
    client
}

/// The topic of the next message, acknowledged.
async fn next_topic<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Agent<S>) -> String {
    loop {
        match client.packet().await.expect("a message") {
            Packet::Publish(publish) => {
                client.send(&Packet::PubAck(PubAck::new(publish.pkid))).await;
                return publish.topic;
            }
            Packet::PubAck(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn all_that_the_controller_tells_within_a_second_arrives() {
    const MESSAGES: usize = 1_500;
    let house = house().await;
    let certificate = house.certificate("a").await;
    let mut agent = house.agent("a", &certificate).await;
    let mut client = controller(&house).await;
    let begun = Instant::now();
    let tell = async {
        for _ in 0..MESSAGES {
            client.publish("v1/a/down/state", vec![7; 20]).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}: too slow to prove it", begun.elapsed());
    };
    let hear = async {
        for _ in 0..MESSAGES {
            assert_eq!(next_topic(&mut agent).await, "v1/a/down/state");
        }
    };
    tokio::join!(tell, hear);
    house.close().await;
}

#[tokio::test]
async fn a_site_that_floods_is_slowed_and_holds_up_no_other() {
    const MESSAGES: usize = 1_400;
    let house = house().await;
    let (flooding, quiet) = (house.certificate("a").await, house.certificate("b").await);
    let mut client = controller(&house).await;
    client.subscribe("v1/+/up/#").await;
    let mut flooding = house.agent("a", &flooding).await;
    let mut quiet = house.agent("b", &quiet).await;
    tokio::spawn(async move {
        for _ in 0..MESSAGES {
            flooding.publish("v1/a/up/event", vec![7; 20]).await;
        }
        while flooding.packet().await.is_some() {}
    });
    let mut heard = 0;
    while heard < 500 {
        assert_eq!(next_topic(&mut client).await, "v1/a/up/event");
        heard += 1;
    }
    quiet.publish("v1/b/up/event", vec![7; 20]).await;
    while next_topic(&mut client).await != "v1/b/up/event" {
        heard += 1;
    }
    assert!(heard < 1_200, "{heard} messages of the flood came first");
    while heard < MESSAGES {
        assert_eq!(next_topic(&mut client).await, "v1/a/up/event", "none of them is dropped");
        heard += 1;
    }
    house.close().await;
}
