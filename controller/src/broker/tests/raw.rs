//! What a client does that holds a good certificate and speaks no good MQTT: bytes as they are written here, on the socket.
//!
//! After each the controller has heard nothing of it, and another site is heard as before.

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;
use tawi_shared::KEEP_ALIVE_LONGEST;
use tawi_shared::topics::ALL_SITES_UP;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::pki::SiteCertificate;

/// A house in which the controller hears, site `b` is connected, and `a` has a certificate.
struct Scene {
    house: House,
    controller: Agent<TcpStream>,
    good: Agent,
    certificate: SiteCertificate,
    /// Of what the good site said last.
    said: u8,
}

impl Scene {
    async fn open() -> Self {
        let house = house().await;
        let certificate = house.certificate("a").await;
        let other = house.certificate("b").await;
        let mut good = house.agent("b", &other).await;
        assert!(good.subscribe("v1/b/down/#").await);
        let controller = office(&house).await;
        Self { house, controller, good, certificate, said: 0 }
    }

    /// A connection with the certificate of `a`, on which nothing is said.
    async fn stranger(&self) -> TlsStream<TcpStream> {
        self.house.tls(Some(&self.certificate)).await.unwrap()
    }

    /// A connection of `a` that was let in.
    async fn site(&self) -> TlsStream<TcpStream> {
        let mut stream = self.stranger().await;
        stream.write_all(&good_connect()).await.unwrap();
        let mut connack = [0; 4];
        timeout(PATIENCE, stream.read_exact(&mut connack)).await.unwrap().unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        stream
    }

    /// The good site says something, and it is the next thing that the controller hears; and what the controller answers is the next
    /// thing that the good site hears.
    async fn is_well(&mut self, after: &str) {
        self.said += 1;
        self.good.publish("v1/b/up/event", vec![self.said]).await;
        loop {
            match self.controller.packet().await.expect("the broker ended the controller's connection") {
                // A farewell of whoever was ended is no word of theirs.
                Packet::Publish(heard) if heard.topic.ends_with("/up/bye") => self.acknowledge(&heard).await,
                Packet::Publish(heard) => {
                    let said = (heard.topic.as_str(), &heard.payload[..]);
                    assert_eq!(said, ("v1/b/up/event", &[self.said][..]), "{after}");
                    self.acknowledge(&heard).await;
                    break;
                }
                _ => {}
            }
        }
        self.controller.publish("v1/b/down/ack", vec![self.said]).await;
        let heard = self.good.heard_publish().await;
        assert_eq!((&*heard.topic, &heard.payload[..]), ("v1/b/down/ack", &[self.said][..]), "{after}");
    }

    async fn acknowledge(&mut self, heard: &Publish) {
        if heard.qos != QoS::AtMostOnce {
            self.controller.send(&Packet::PubAck(PubAck::new(heard.pkid))).await;
        }
    }
}

/// Head office's own connection, which hears all sites from now on.
async fn office(house: &House) -> Agent<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", house.broker.address.port)).await.unwrap();
    let mut controller = Agent::over("office", stream);
    let mut hello = connect(CONTROLLER_USER, CONTROLLER_USER);
    hello.login = Some(Login::new(CONTROLLER_USER, house.broker.address.password.expose()));
    controller.send(&Packet::Connect(hello)).await;
    assert!(matches!(controller.packet().await, Some(Packet::ConnAck(answer)) if answer.code == ACCEPTED));
    assert!(controller.subscribe(ALL_SITES_UP).await);
    controller
}

fn good_connect() -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    connect("a", "a").write(&mut bytes).unwrap();
    bytes.to_vec()
}

/// A packet of this first byte.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

fn publish(first: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    let id: &[u8] = if first & 0x06 == 0 { &[] } else { &[0, 9] };
    packet(first, &[&text(topic)[..], id, payload].concat())
}

fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 7][..], &text(filter), &[1]].concat())
}

/// Everything that comes until the other end hangs up; `None` when it does not within the patience.
async fn until_ended(stream: &mut TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    // Without a TLS farewell it is an end all the same.
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.ok().map(|_| answer)
}

#[tokio::test]
async fn what_is_no_connect_is_sent_away() {
    let mut scene = Scene::open().await;
    let level = |level: u8, name: &str| {
        let body = [&text(name)[..], &[level, 2, 0, 60], &text("a")].concat();
        packet(0x10, &body)
    };
    let (mut too_short, mut forbidden) = (good_connect(), good_connect());
    too_short.truncate(too_short.len() - 3);
    forbidden[0] = 0x1f;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a publish before it", publish(0x32, "v1/a/up/event", b"x")),
        ("a subscription before it", subscribe("v1/a/down/#")),
        ("a ping before it", vec![0xc0, 0]),
        ("a length of five bytes", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a length of 256 MB", vec![0x10, 0xff, 0xff, 0xff, 0x7f]),
        ("a length beyond a CONNECT", vec![0x10, 0xff, 0xff, 0x03]),
        ("MQTT 5", level(5, "MQTT")),
        ("MQTT 3.1", level(3, "MQIsdp")),
        ("no protocol", level(4, "HTTP")),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("flags that are forbidden", forbidden),
        ("one that ends too soon", too_short),
        ("noise", (0..=255).collect()),
    ];
    for (what, bytes) in cases {
        let mut stream = scene.stranger().await;
        stream.write_all(&bytes).await.unwrap();
        let answer = until_ended(&mut stream).await.unwrap_or_else(|| panic!("{what}: it is let wait"));
        assert!(!answer.starts_with(&[0x20, 2, 0, 0]), "{what}");
        scene.is_well(what).await;
    }
    scene.house.close().await;
}

#[tokio::test]
async fn a_connect_may_come_byte_by_byte_in_its_time_and_no_later() {
    let mut scene = Scene::open().await;
    let mut stream = scene.stranger().await;
    for byte in good_connect() {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut connack = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    let mut slow = scene.stranger().await;
    let started = Instant::now();
    for byte in good_connect() {
        // The door hangs up in the middle.
        if slow.write_all(&[byte]).await.is_err() || slow.flush().await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(until_ended(&mut slow).await, Some(Vec::new()));
    assert!(started.elapsed() < Duration::from_secs(10));
    scene.is_well("a slow CONNECT").await;
    scene.house.close().await;
}

#[tokio::test]
async fn a_handshake_that_crawls_is_ended_and_holds_up_nobody() {
    let mut scene = Scene::open().await;
    let mut crawling = scene.house.tcp().await;
    let started = Instant::now();
    // The head of a ClientHello of which the rest never comes, byte by byte.
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] {
        if crawling.write_all(&[byte]).await.is_err() {
            break;
        }
        scene.is_well("a handshake that crawls").await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, crawling.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is let crawl on");
    assert!(started.elapsed() < Duration::from_secs(10), "deadlines of 300 ms");
    scene.is_well("a handshake that crawled").await;
    scene.house.close().await;
}

/// How long the system waits before it asks whether the other end of a connection of the door is there, if it does.
fn asked_after(door: u16, client: u16) -> Option<Duration> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ports = [format!(":{door:04X}"), format!(":{client:04X}")];
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|columns| {
        columns.get(1).is_some_and(|local| local.ends_with(&ports[0]))
            && columns.get(2).is_some_and(|remote| remote.ends_with(&ports[1]))
    })?;
    // proc(5): which timer is active, 2 being this one, and hundredths of a second until it fires.
    let (timer, left) = row.get(5)?.split_once(':')?;
    (timer == "02").then(|| Duration::from_millis(u64::from_str_radix(left, 16).unwrap() * 10))
}

#[tokio::test]
async fn a_connection_whose_other_end_is_gone_without_a_word_is_ended_and_its_last_word_said() {
    let mut scene = Scene::open().await;
    // Whose line is dead says nothing, as this one does: the broker counts the time that it promised to be silent at most.
    let mut dead = scene.stranger().await;
    let client = dead.get_ref().0.local_addr().unwrap().port();
    let body = [&text("MQTT")[..], &[4, 0b1000_1110, 0, 2]].concat();
    let rest = ["a", "v1/a/up/bye", "x", "a"].map(text).concat();
    dead.write_all(&packet(0x10, &[body, rest].concat())).await.unwrap();
    let mut connack = [0; 4];
    timeout(PATIENCE, dead.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    // And where it promised more, the system asks by itself, a little later than that.
    let door = scene.house.broker.listening.port();
    let asked = timeout(Duration::from_secs(2), async {
        loop {
            // Until what was told last is acknowledged another timer is in its place.
            match asked_after(door, client) {
                Some(asked) => return asked,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let asked = asked.await.expect("the system asks nobody");
    assert!(asked > KEEP_ALIVE_LONGEST && asked < KEEP_ALIVE_LONGEST * 3 / 2, "{asked:?}");
    let began = Instant::now();
    match timeout(PATIENCE, scene.controller.packet()).await.unwrap() {
        Some(Packet::Publish(heard)) => {
            assert_eq!(heard.topic, "v1/a/up/bye");
            scene.acknowledge(&heard).await;
        }
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(until_ended(&mut dead).await.is_some());
    scene.is_well("a line that died").await;
    scene.house.close().await;
}

/// A CONNECT of MQTT 3.1.1 with these flags, and what they promise after the client's id.
fn raw_connect(flags: u8, rest: &[&str]) -> Vec<u8> {
    let mut body = [&text("MQTT")[..], &[4, flags, 0, 60]].concat();
    body.extend(rest.iter().flat_map(|part| text(part)));
    packet(0x10, &body)
}

#[tokio::test]
async fn who_connects_in_anothers_name_or_with_anothers_last_word_is_sent_away() {
    const NAMED: u8 = 0b1000_0010;
    const WILL: u8 = 0b1000_1110;
    const WILL_THAT_STAYS: u8 = 0b1010_1110;
    const PASSWORD: u8 = 0b1100_0010;
    let mut scene = Scene::open().await;
    let own_will = raw_connect(WILL, &["a", "v1/a/up/bye", "x", "a"]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("another's id and name", raw_connect(NAMED, &["b", "b"])),
        ("another's id", raw_connect(NAMED, &["b", "a"])),
        ("another's name", raw_connect(NAMED, &["a", "b"])),
        ("no name", raw_connect(0b0000_0010, &["a"])),
        ("head office's name", raw_connect(NAMED, &[CONTROLLER_USER, CONTROLLER_USER])),
        ("head office's name and a password", raw_connect(PASSWORD, &["a", CONTROLLER_USER, "guess"])),
        ("its own name in other letters", raw_connect(NAMED, &["a", "A"])),
        ("its own name and more", raw_connect(NAMED, &["a", "a\0b"])),
        ("another's last word", raw_connect(WILL, &["a", "v1/b/up/bye", "x", "a"])),
        ("a last word as head office", raw_connect(WILL, &["a", "v1/a/down/state", "x", "a"])),
        ("a last word that is no farewell", raw_connect(WILL, &["a", "v1/a/up/event", "x", "a"])),
        ("a last word to all", raw_connect(WILL, &["a", "v1/+/up/bye", "x", "a"])),
        ("a last word to the broker", raw_connect(WILL, &["a", "$SYS/broker", "x", "a"])),
        ("a shared last word", raw_connect(WILL, &["a", "$share/g/v1/a/up/bye", "x", "a"])),
        ("a last word that stays", raw_connect(WILL_THAT_STAYS, &["a", "v1/a/up/bye", "x", "a"])),
    ];
    for (what, bytes) in cases {
        let mut stream = scene.stranger().await;
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        let answer = until_ended(&mut stream).await.unwrap_or_default();
        assert!(answer != [0x20, 2, 0, 0], "{what}: it was let in");
        scene.is_well(what).await;
    }
    // The table can tell: with its own last word it is let in, and that is heard.
    let mut own = scene.stranger().await;
    own.write_all(&own_will).await.unwrap();
    let mut connack = [0; 4];
    timeout(PATIENCE, own.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    drop(own);
    let heard = timeout(PATIENCE, scene.controller.heard_publish()).await.unwrap();
    assert_eq!(heard.topic, "v1/a/up/bye");
    scene.house.close().await;
}

#[tokio::test]
async fn who_was_let_in_says_nothing_in_anothers_name() {
    let mut scene = Scene::open().await;
    // In its own it is heard.
    let mut own = scene.site().await;
    own.write_all(&publish(0x30, "v1/a/up/event", b"mine")).await.unwrap();
    own.flush().await.unwrap();
    match scene.controller.packet().await {
        Some(Packet::Publish(heard)) => {
            assert_eq!((&*heard.topic, &heard.payload[..]), ("v1/a/up/event", &b"mine"[..]));
        }
        other => panic!("{other:?}"),
    }
    let large = vec![b'x'; 300 * 1024];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("another site's topic", publish(0x32, "v1/b/up/event", b"x")),
        ("another site's topic, lightly", publish(0x30, "v1/b/up/event", b"x")),
        ("what only head office says", publish(0x32, "v1/b/down/state", b"x")),
        ("its own way down", publish(0x32, "v1/a/down/state", b"x")),
        ("a topic with a wildcard", publish(0x32, "v1/a/up/#", b"x")),
        ("a topic of nobody", publish(0x32, "v1/a/up/nonsense", b"x")),
        ("the broker's own", publish(0x32, "$SYS/broker/clients", b"x")),
        ("a shared one", publish(0x32, "$share/g/v1/a/up/event", b"x")),
        ("no topic", publish(0x32, "", b"x")),
        ("a topic that is no text", packet(0x32, &[0, 2, 0xff, 0xfe, 0, 9, b'x'])),
        ("quality 3", publish(0x36, "v1/a/up/event", b"x")),
        ("a second CONNECT", good_connect()),
        ("a packet of type 0", vec![0x00, 0]),
        ("a packet of type 15", vec![0xf0, 0]),
        ("a length of five bytes", vec![0x32, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a length of 256 MB", vec![0x32, 0xff, 0xff, 0xff, 0x7f]),
        ("300 KiB", publish(0x32, "v1/a/up/usage", &large)),
        ("a SUBACK", vec![0x90, 3, 0, 1, 0]),
        ("noise", (0..=255).collect()),
    ];
    for (what, bytes) in cases {
        let mut stream = scene.site().await;
        // It may be ended before all of it is written.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        // Whether it is ended or passed over: nobody hears it.
        scene.is_well(what).await;
    }
    scene.house.close().await;
}

#[tokio::test]
async fn nobody_says_to_himself_what_only_head_office_says() {
    let mut scene = Scene::open().await;
    for topic in ["v1/a/down/state", "v1/a/down/command", "v1/a/down/ack"] {
        for first in [0x30, 0x32] {
            let mut stream = scene.site().await;
            stream.write_all(&subscribe("v1/a/down/#")).await.unwrap();
            let mut granted = [0; 5];
            timeout(PATIENCE, stream.read_exact(&mut granted)).await.unwrap().unwrap();
            assert_eq!(granted, [0x90, 3, 0, 7, 1]);
            let _ = stream.write_all(&publish(first, topic, b"x")).await;
            let _ = stream.flush().await;
            scene.is_well(topic).await;
            // What head office says now would come behind it.
            scene.controller.publish(topic, b"y".to_vec()).await;
            let mut came = Vec::new();
            while let Ok(Ok(count)) = timeout(PATIENCE, stream.read_buf(&mut came)).await
                && count > 0
                && !came.contains(&b'y')
            {}
            assert!(!came.contains(&b'x'), "{topic}: it heard itself: {came:02x?}");
        }
    }
    scene.house.close().await;
}

#[tokio::test]
async fn a_word_that_is_to_stay_does_not_stay() {
    let mut scene = Scene::open().await;
    let mut stream = scene.site().await;
    stream.write_all(&publish(0x33, "v1/a/up/event", b"kept?")).await.unwrap();
    stream.flush().await.unwrap();
    // It is passed on as any other word or not at all; whoever listens later hears nothing of it.
    let mut later = office(&scene.house).await;
    scene.good.publish("v1/b/up/log", vec![1]).await;
    match later.packet().await {
        Some(Packet::Publish(first)) => assert_eq!(first.topic, "v1/b/up/log"),
        other => panic!("{other:?}"),
    }
    scene.house.close().await;
}

#[tokio::test]
async fn foreign_filters_are_refused_on_the_socket() {
    let mut scene = Scene::open().await;
    let mut stream = scene.site().await;
    let filters = [
        "#",
        "+/b/down/#",
        "v1/+/down/#",
        "v1/b/down/state",
        "$share/g/v1/b/down/#",
        "$share/g/#",
        "$SYS/#",
        "v1/b/up/#",
        "v1/a/up/#",
    ];
    for filter in filters {
        stream.write_all(&subscribe(filter)).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 5];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, [0x90, 3, 0, 7, 0x80], "{filter:?}");
    }
    scene.is_well("foreign filters").await;
    scene.controller.publish("v1/b/down/state", vec![7]).await;
    let mut byte = [0; 1];
    let heard = timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
    assert!(heard.is_err(), "it hears another site, or was ended: {heard:?}");
    // What is no filter at all ends whoever asks for it.
    stream.write_all(&subscribe("")).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 5];
    match timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap() {
        Ok(_) => assert_eq!(answer, [0x90, 3, 0, 7, 0x80]),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
    }
    scene.house.close().await;
}
