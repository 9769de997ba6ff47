//! Devices that become sites and stay them, over real sockets: TLS, HTTP as it is written here, and MQTT with what came of it.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use serde_json::{Value, json};
use tawi_shared::Clock;
use tawi_shared::enrolment::{
    ALPN_HTTP, BODY_BYTES, ENROL_PATH, EnrolRequest, Enrolled, RENEW_PATH, RenewRequest, Ticket, Token,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::audit::Actor;
use crate::broker::BrokerSettings;
use crate::ids::SiteId;
use crate::pki::{Issued, SiteCertificate};
use crate::sites::enrolment::{Ticketed, Tickets, make_ticket};

const DAY: Duration = Duration::from_secs(86_400);

/// What a device keeps.
struct Device {
    key: KeyPair,
}

impl Device {
    fn new() -> Self {
        Self { key: KeyPair::generate().unwrap() }
    }

    /// With a subject of its own choice, which nobody reads.
    fn request(&self) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "another-site");
        params.serialize_request(&self.key).unwrap().pem().unwrap()
    }

    fn with(&self, enrolled: &Enrolled) -> SiteCertificate {
        let der = CertificateDer::from_pem_slice(enrolled.certificate.as_bytes()).unwrap();
        let issued = Issued {
            certificate_pem: enrolled.certificate.clone(),
            sha256: crate::pki::sha256_of(&der),
            issued_at: tawi_shared::UnixMillis(0),
            expires_at: tawi_shared::UnixMillis(0),
        };
        SiteCertificate { issued, key_pem: self.key.serialize_pem() }
    }
}

/// A house whose clock a test moves, and its site `a`.
struct Scene {
    house: House,
    site: SiteId,
}

impl Scene {
    async fn open() -> Self {
        let clock = Clock::manual(Clock::system().now());
        // Handshakes of a debug build beside other tests take their time.
        let settings = BrokerSettings { handshake_deadline: Duration::from_secs(5), ..settings() };
        let house = House::open_at(settings, clock).await;
        house.broker.address.attendance.begin();
        let site = SiteId::parse("a").unwrap();
        let mut write = house.controller.database.write().await.unwrap();
        sites::store::insert_site(&mut write, &site, "A", house.controller.clock.now()).await.unwrap();
        write.commit().await.unwrap();
        Self { house, site }
    }

    async fn ticket(&self) -> Ticket {
        let controller = &self.house.controller;
        let tickets = Tickets::new(&self.house.pki, &settings());
        let mut write = controller.database.write().await.unwrap();
        let actor = Actor::CommandLine("tester".into());
        let by = (&controller.ids, controller.clock.now());
        let made = make_ticket(&mut write, &tickets, &self.site, &actor, by).await.unwrap();
        write.commit().await.unwrap();
        let Ticketed::Made(ticket) = made else { panic!("{made:?}") };
        assert!(!format!("{ticket:?}").contains("tawi1."));
        Ticket::parse(ticket.expose()).unwrap()
    }

    async fn connect(&self, certificate: Option<&SiteCertificate>) -> TlsStream<TcpStream> {
        let mut client = rustls::ClientConfig::clone(&self.house.client(certificate));
        client.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, self.house.tcp().await).await.unwrap()
    }

    /// One request, as bytes; the status and the body. `None` when the door hangs up without an answer.
    async fn say(&self, certificate: Option<&SiteCertificate>, request: &[u8]) -> Option<(u16, Value)> {
        let mut stream = self.connect(certificate).await;
        // Who is sent away before all is said finds the connection closed.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        assert!(head.contains("cache-control: no-store"), "{head}");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, serde_json::from_str(body).unwrap()))
    }

    async fn post(
        &self,
        certificate: Option<&SiteCertificate>,
        path: &str,
        body: &impl Serialize,
    ) -> (u16, Value) {
        let body = serde_json::to_string(body).unwrap();
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
        self.say(certificate, request.as_bytes()).await.expect("an answer")
    }

    async fn enrol(&self, device: &Device, token: &Token) -> Result<Enrolled, (u16, String)> {
        let body = EnrolRequest { token: token.clone(), csr: device.request() };
        read(self.post(None, ENROL_PATH, &body).await)
    }

    async fn renew(&self, has: &SiteCertificate, next: &Device) -> Result<Enrolled, (u16, String)> {
        read(self.post(Some(has), RENEW_PATH, &RenewRequest { csr: next.request() }).await)
    }

    /// Whether MQTT lets it in.
    async fn comes_in(&self, certificate: &SiteCertificate) -> bool {
        match self.house.tls(Some(certificate)).await {
            Err(_) => false,
            Ok(stream) => {
                let mut agent = Agent::over("a", stream);
                agent.send(&Packet::Connect(connect("a", "a"))).await;
                matches!(agent.packet().await, Some(Packet::ConnAck(answer)) if answer.code == ACCEPTED)
            }
        }
    }

    fn later(&self, by: Duration) {
        self.house.controller.clock.advance(by);
    }
}

fn read((status, body): (u16, Value)) -> Result<Enrolled, (u16, String)> {
    if status == 200 {
        return Ok(serde_json::from_value(body).unwrap());
    }
    assert!(body["error"].as_str().unwrap().contains("cure: "), "{body}");
    Err((status, body["code"].as_str().unwrap().to_owned()))
}

fn refused(status: u16, code: &str) -> Result<Enrolled, (u16, String)> {
    Err((status, code.to_owned()))
}

#[tokio::test]
async fn a_device_becomes_the_site_of_its_ticket_and_whoever_lost_the_answer_gets_it_again() {
    let scene = Scene::open().await;
    let (ticket, device) = (scene.ticket().await, Device::new());
    assert_eq!(ticket.site, scene.site);
    // What the ticket pins is the last of the chain.
    let stream = scene.connect(None).await;
    let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
    assert_eq!(chain.len(), 2);
    assert_eq!(crate::pki::sha256_of(&chain[1]), tawi_shared::ids::hex(&ticket.authority));
    drop(stream);
    let enrolled = scene.enrol(&device, &ticket.token).await.unwrap();
    assert_eq!((enrolled.site.as_str(), enrolled.authority.as_str()), ("a", scene.house.pki.ca_pem()));
    assert_eq!(enrolled.addresses, settings().advertised_addresses);
    let der = CertificateDer::from_pem_slice(enrolled.certificate.as_bytes()).unwrap();
    assert_eq!(crate::pki::site_of(&der), Some(scene.site.clone()), "never what the request calls itself");
    assert_eq!(scene.enrol(&device, &ticket.token).await, Ok(enrolled.clone()), "the same certificate");
    assert!(scene.comes_in(&device.with(&enrolled)).await);
    assert_eq!(scene.enrol(&Device::new(), &ticket.token).await, refused(403, "token_used"));
    assert!(scene.comes_in(&device.with(&enrolled)).await, "whoever came second changes nothing");
    scene.later(DAY);
    assert_eq!(scene.enrol(&device, &ticket.token).await, refused(403, "token_used"), "for a day");
    scene.house.close().await;
}

#[tokio::test]
async fn a_token_that_is_over_withdrawn_or_nobodys_is_refused() {
    let scene = Scene::open().await;
    let device = Device::new();
    let nobodys = Token::new([7; 16]);
    assert_eq!(scene.enrol(&device, &nobodys).await, refused(403, "token_unknown"));
    let first = scene.ticket().await;
    let second = scene.ticket().await;
    assert_eq!(scene.enrol(&device, &first.token).await, refused(403, "token_withdrawn"));
    scene.later(DAY);
    assert_eq!(scene.enrol(&device, &second.token).await, refused(403, "token_expired"));
    let third = scene.ticket().await;
    assert!(revoke(&scene.house.controller, &scene.site).await.unwrap());
    assert_eq!(
        scene.enrol(&device, &third.token).await,
        refused(403, "token_withdrawn"),
        "the site is shut out"
    );
    let fourth = scene.ticket().await;
    let enrolled = scene.enrol(&device, &fourth.token).await.unwrap();
    assert!(scene.comes_in(&device.with(&enrolled)).await, "a new ticket brings the site back");
    scene.house.close().await;
}

#[tokio::test]
async fn of_two_devices_that_come_with_one_token_at_once_one_becomes_the_site() {
    let scene = Scene::open().await;
    let ticket = scene.ticket().await;
    let devices: Vec<Device> = (0..4).map(|_| Device::new()).collect();
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| scene.enrol(&devices[index], &ticket.token));
    let answers: [Result<Enrolled, (u16, String)>; 4] = tokio::join!(a, b, c, d).into();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for (device, answer) in devices.iter().zip(&answers) {
        match answer {
            Ok(enrolled) => assert!(scene.comes_in(&device.with(enrolled)).await),
            Err(why) => assert_eq!(why, &(403, "token_used".to_owned())),
        }
    }
    scene.house.close().await;
}

#[tokio::test]
async fn a_device_that_was_flashed_anew_takes_the_site_over_and_the_old_one_is_shut_out_at_once() {
    let scene = Scene::open().await;
    let (old, new) = (Device::new(), Device::new());
    let has = old.with(&scene.enrol(&old, &scene.ticket().await.token).await.unwrap());
    let mut connected = scene.house.agent("a", &has).await;
    let ticket = scene.ticket().await;
    assert!(connected.subscribe("v1/a/down/state").await, "a ticket alone ends nobody");
    let enrolled = scene.enrol(&new, &ticket.token).await.unwrap();
    assert!(connected.packet().await.is_none(), "its connection ends");
    assert!(!scene.comes_in(&has).await);
    assert_eq!(scene.renew(&has, &old).await, refused(403, "certificate_revoked"));
    assert!(scene.comes_in(&new.with(&enrolled)).await);
    scene.house.close().await;
}

#[tokio::test]
async fn a_bad_request_is_refused_with_a_cure_and_costs_no_token() {
    let scene = Scene::open().await;
    let (ticket, device) = (scene.ticket().await, Device::new());
    let good = device.request();
    let check = async |csr: String, expected: (u16, &str)| {
        let body = EnrolRequest { token: ticket.token.clone(), csr };
        let answer = read(scene.post(None, ENROL_PATH, &body).await);
        assert_eq!(answer, refused(expected.0, expected.1));
        scene.later(Duration::from_secs(10));
    };
    check("garbage".into(), (422, "csr_unreadable")).await;
    check(String::new(), (422, "csr_unreadable")).await;
    let ed25519 = Device { key: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap() };
    check(ed25519.request(), (422, "csr_key")).await;
    let p384 = Device { key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap() };
    check(p384.request(), (422, "csr_key")).await;
    // A letter of the signature, which stands at the end.
    let at = good.find("\n-----END").unwrap() - 8;
    let (front, back) = good.split_at(at);
    let letter = if back.starts_with('A') { "B" } else { "A" };
    let back: String = back.chars().skip(1).collect();
    check(format!("{front}{letter}{back}"), (422, "csr_signature")).await;
    check("x".repeat(BODY_BYTES), (413, "too_large")).await;
    let says = async |request: &str| {
        scene.say(None, request.as_bytes()).await.map(|(status, body)| {
            scene.later(Duration::from_secs(10));
            (status, body["code"].as_str().unwrap().to_owned())
        })
    };
    let bad = |status, code: &str| Some((status, code.to_owned()));
    let head = "host: a\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(says(&format!("POST {ENROL_PATH} HTTP/1.1\r\n{head}")).await, bad(400, "bad_request"));
    assert_eq!(
        says(&format!("GET {ENROL_PATH} HTTP/1.1\r\nhost: a\r\n\r\n")).await,
        bad(405, "method_not_allowed")
    );
    assert_eq!(says(&format!("POST /v1/other HTTP/1.1\r\n{head}")).await, bad(404, "not_found"));
    assert_eq!(says(&format!("POST {RENEW_PATH} HTTP/1.1\r\n{head}")).await, bad(401, "certificate_needed"));
    // A megabyte whose length is not said, chunk by chunk: it may also be hung up on.
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(64);
    let long = format!(
        "POST {ENROL_PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    let long = says(&long).await;
    assert!(long.is_none() || long == bad(413, "too_large"), "{long:?}");
    assert!(scene.enrol(&device, &ticket.token).await.is_ok(), "the token is as good as before");
    scene.house.close().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_and_the_old_one_ends_when_the_next_one_first_comes() {
    let scene = Scene::open().await;
    let (device, next) = (Device::new(), Device::new());
    let has = device.with(&scene.enrol(&device, &scene.ticket().await.token).await.unwrap());
    scene.later(240 * DAY);
    let renewed = scene.renew(&has, &next).await.unwrap();
    assert_ne!(renewed.certificate, has.issued.certificate_pem);
    assert!(scene.comes_in(&has).await, "the answer may be lost");
    assert_eq!(scene.renew(&has, &next).await, Ok(renewed.clone()), "and is given again to the same key");
    scene.later(DAY);
    let another = Device::new();
    let other = scene.renew(&has, &another).await.unwrap();
    assert_ne!(other.certificate, renewed.certificate, "or anew to another");
    assert!(scene.comes_in(&another.with(&other)).await);
    let settled = async |certificate: &SiteCertificate| {
        // It is revoked beside the connection that proved it needless.
        let deadline = Instant::now() + PATIENCE;
        while scene.comes_in(certificate).await {
            assert!(Instant::now() < deadline, "it still comes in");
        }
    };
    settled(&has).await;
    settled(&next.with(&renewed)).await;
    assert_eq!(scene.renew(&has, &Device::new()).await, refused(403, "certificate_revoked"));
    assert!(scene.comes_in(&another.with(&other)).await);
    scene.house.close().await;
}

#[tokio::test]
async fn a_certificate_that_ended_is_renewed_for_ninety_days_and_lets_nobody_into_the_broker() {
    let scene = Scene::open().await;
    let (device, next) = (Device::new(), Device::new());
    let has = device.with(&scene.enrol(&device, &scene.ticket().await.token).await.unwrap());
    scene.later((366 + 89) * DAY);
    assert!(!scene.comes_in(&has).await);
    let renewed = scene.renew(&has, &next).await.unwrap();
    assert!(scene.comes_in(&next.with(&renewed)).await);
    scene.house.close().await;

    let scene = Scene::open().await;
    let has = device.with(&scene.enrol(&device, &scene.ticket().await.token).await.unwrap());
    scene.later((366 + 91) * DAY);
    let body = serde_json::to_string(&RenewRequest { csr: next.request() }).unwrap();
    let length = body.len();
    let request = format!("POST {RENEW_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
    assert_eq!(scene.say(Some(&has), request.as_bytes()).await, None, "TLS takes it no longer");
    let anew = scene.enrol(&device, &scene.ticket().await.token).await.unwrap();
    assert!(scene.comes_in(&device.with(&anew)).await, "a ticket brings it back");
    scene.house.close().await;
}

#[tokio::test]
async fn a_revoked_site_renews_nothing_and_a_foreign_certificate_is_none() {
    let scene = Scene::open().await;
    let device = Device::new();
    let has = device.with(&scene.enrol(&device, &scene.ticket().await.token).await.unwrap());
    let unknown = scene.house.pki.issue_site(&scene.site, scene.house.controller.clock.now()).unwrap();
    assert_eq!(scene.renew(&unknown, &device).await, refused(403, "certificate_unknown"));
    assert!(revoke(&scene.house.controller, &scene.site).await.unwrap());
    assert_eq!(scene.renew(&has, &device).await, refused(403, "certificate_revoked"));
    let strange = scene.house.stranger().issue_site(&scene.site, scene.house.controller.clock.now()).unwrap();
    let request = format!("POST {RENEW_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}");
    assert_eq!(scene.say(Some(&strange), request.as_bytes()).await, None);
    scene.house.close().await;
}

#[tokio::test]
async fn an_address_comes_ten_times_a_minute_and_is_told_when_to_come_again() {
    let scene = Scene::open().await;
    let device = Device::new();
    let nobodys = Token::new([7; 16]);
    for _ in 0..10 {
        assert_eq!(scene.enrol(&device, &nobodys).await, refused(403, "token_unknown"));
    }
    let ticket = scene.ticket().await;
    assert_eq!(scene.enrol(&device, &ticket.token).await, refused(429, "too_often"));
    scene.later(Duration::from_secs(60));
    assert!(scene.enrol(&device, &ticket.token).await.is_ok());
    scene.house.close().await;
}

#[tokio::test]
async fn agents_come_in_with_the_protocol_named_or_not_and_at_every_port() {
    let settings = BrokerSettings {
        handshake_deadline: Duration::from_secs(5),
        also_listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..settings()
    };
    let house = House::open(settings).await;
    house.broker.address.attendance.begin();
    let certificate = house.certificate("a").await;
    let ports = [house.broker.listening, house.broker.also_listening[0]];
    assert_ne!(ports[0], ports[1]);
    let none: &[&[u8]] = &[];
    for port in ports {
        for protocols in [none, &[b"mqtt"], &[b"http/1.1", b"mqtt"]] {
            let mut client = rustls::ClientConfig::clone(&house.client(Some(&certificate)));
            client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            let name = ServerName::try_from("localhost").unwrap();
            let tcp = TcpStream::connect(port).await.unwrap();
            let stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.unwrap();
            let mut agent = Agent::over("a", stream);
            agent.send(&Packet::Connect(connect("a", "a"))).await;
            assert!(
                matches!(agent.packet().await, Some(Packet::ConnAck(answer)) if answer.code == ACCEPTED),
                "{protocols:?} at {port}"
            );
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_token_stands_in_no_log() {
    let log = crate::testing::Log::default();
    let _listening = log.listen();
    let scene = Scene::open().await;
    let (ticket, device) = (scene.ticket().await, Device::new());
    scene.enrol(&device, &ticket.token).await.unwrap();
    assert_eq!(scene.enrol(&Device::new(), &ticket.token).await, refused(403, "token_used"));
    let broken = json!({"token": ticket.token.to_text(), "csr": 7});
    assert_eq!(scene.post(None, ENROL_PATH, &broken).await.0, 400);
    let text = log.text();
    assert!(text.contains("a device became a site") && text.contains("token_used"), "{text}");
    assert!(!text.contains(&ticket.token.to_text()), "{text}");
    scene.house.close().await;
}
