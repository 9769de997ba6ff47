//! For tests: a broker that runs on loopback, and an agent's end of a connection, packet by packet.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{self, Connect, LastWill, Packet, Publish, Subscribe};
use rumqttc::mqttbytes::{self, QoS};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tawi_shared::Clock;
use tawi_shared::topics::{Up, down_filter};
use tawi_shared::wire::{self, Body, DownMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{BrokerSettings, RunningBroker, start};
use crate::database::Database;
use crate::ids::SiteId;
use crate::pki::{Pki, SiteCertificate};
use crate::shutdown::Shutdown;
use crate::sites;
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

/// The longest that a test waits for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A controller's link half, on loopback.
pub(crate) struct House {
    pub(crate) controller: Controller,
    pub(crate) pki: Pki,
    pub(crate) broker: RunningBroker,
    pub(crate) shutdown: Shutdown,
    directory: TemporaryDirectory,
}

/// Settings that take any port and lose patience soon.
pub(crate) fn settings() -> BrokerSettings {
    BrokerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        handshake_deadline: Duration::from_millis(300),
        connect_deadline: Duration::from_millis(300),
        ..BrokerSettings::default()
    }
}

impl House {
    /// Opens a database and starts the broker. Nobody hears the sites yet.
    pub(crate) async fn open(settings: BrokerSettings) -> Self {
        Self::open_at(settings, Clock::system()).await
    }

    /// The same by a clock that a test moves.
    pub(crate) async fn open_at(settings: BrokerSettings, clock: Clock) -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let controller = Controller { clock, ..Controller::new(database) };
        let pki = Pki::open_or_create(&directory.path().join("pki"), controller.clock.now()).unwrap();
        let shutdown = Shutdown::default();
        let broker = start(&controller, &settings, &pki, shutdown.stop()).await.unwrap();
        Self { controller, pki, broker, shutdown, directory }
    }

    /// Issues a certificate to a site that the database knows, or enters the site first.
    pub(crate) async fn certificate(&self, site: &str) -> SiteCertificate {
        let site = SiteId::parse(site).unwrap();
        let now = self.controller.clock.now();
        let certificate = self.pki.issue_site(&site, now).unwrap();
        let mut write = self.controller.database.write().await.unwrap();
        sites::store::insert_site(&mut write, &site, site.as_str(), now).await.unwrap();
        sites::store::insert_certificate(&mut write, &site, &certificate.issued, None).await.unwrap();
        write.commit().await.unwrap();
        certificate
    }

    /// An authority that is not ours.
    pub(crate) fn stranger(&self) -> Pki {
        Pki::open_or_create(&self.directory.path().join("stranger"), self.controller.clock.now()).unwrap()
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.broker.listening).await.unwrap()
    }

    /// A TLS connection, with a certificate or without.
    pub(crate) async fn tls(
        &self,
        certificate: Option<&SiteCertificate>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_of(&self.client(certificate)).await
    }

    /// Another connection of the same program, which knows its sessions.
    pub(crate) async fn tls_of(
        &self,
        client: &Arc<rustls::ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(client)).connect(name, self.tcp().await).await
    }

    /// A program that connects, with a certificate or without.
    pub(crate) fn client(&self, certificate: Option<&SiteCertificate>) -> Arc<rustls::ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match certificate {
            Some(certificate) => builder
                .with_client_auth_cert(
                    vec![
                        CertificateDer::from_pem_slice(certificate.issued.certificate_pem.as_bytes())
                            .unwrap(),
                    ],
                    PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    /// An agent of `site` that is connected and hears its site's topics.
    pub(crate) async fn agent(&self, site: &str, certificate: &SiteCertificate) -> Agent {
        let mut agent = Agent::over(site, self.tls(Some(certificate)).await.unwrap());
        agent.send(&Packet::Connect(connect(site, site))).await;
        assert!(matches!(agent.packet().await, Some(Packet::ConnAck(answer)) if answer.code == ACCEPTED));
        agent.subscribe(&down_filter(&agent.site.clone())).await;
        agent
    }

    pub(crate) async fn close(self) {
        self.shutdown.begin();
        timeout(PATIENCE, self.broker.finished()).await.unwrap();
    }
}

pub(crate) const ACCEPTED: v4::ConnectReturnCode = v4::ConnectReturnCode::Success;

/// The CONNECT of an agent, without a will.
pub(crate) fn connect(client_id: &str, user_name: &str) -> Connect {
    let mut connect = Connect::new(client_id);
    connect.keep_alive = 120;
    connect.login = Some(v4::Login::new(user_name, ""));
    connect
}

/// A will of QoS 1.
pub(crate) fn will(topic: &str, payload: Vec<u8>) -> LastWill {
    LastWill::new(topic, payload, QoS::AtLeastOnce, false)
}

/// An agent's end of a connection.
pub(crate) struct Agent<S = TlsStream<TcpStream>> {
    pub(crate) site: SiteId,
    stream: S,
    received: BytesMut,
    next_packet: u16,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Agent<S> {
    pub(crate) fn over(site: &str, stream: S) -> Self {
        Self { site: SiteId::parse(site).unwrap(), stream, received: BytesMut::new(), next_packet: 1 }
    }

    pub(crate) async fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        match packet {
            Packet::Connect(connect) => connect.write(&mut bytes),
            Packet::Publish(publish) => publish.write(&mut bytes),
            Packet::Subscribe(subscribe) => subscribe.write(&mut bytes),
            Packet::PubAck(ack) => ack.write(&mut bytes),
            other => panic!("{other:?}"),
        }
        .unwrap();
        // Who is sent away may find the connection closed already; the next read tells.
        let _ = self.stream.write_all(&bytes).await;
        // TLS keeps what a full socket did not take.
        let _ = self.stream.flush().await;
    }

    /// The next packet; `None` when the connection ended.
    pub(crate) async fn packet(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.received, 1 << 20) {
                Ok(packet) => return Some(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
            match read.expect("nothing came") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Whether the broker granted the subscription.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> bool {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = self.packet_id();
        self.send(&Packet::Subscribe(subscribe)).await;
        loop {
            match self.packet().await.expect("an answer") {
                Packet::SubAck(answer) => {
                    return !answer.return_codes.contains(&v4::SubscribeReasonCode::Failure);
                }
                Packet::PubAck(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        self.publish_with(QoS::AtLeastOnce, topic, payload).await;
    }

    async fn publish_with(&mut self, qos: QoS, topic: &str, payload: Vec<u8>) {
        let mut publish = Publish::new(topic, qos, payload);
        if qos != QoS::AtMostOnce {
            publish.pkid = self.packet_id();
        }
        self.send(&Packet::Publish(publish)).await;
    }

    /// Says something of its own.
    pub(crate) async fn say<B: Body>(&mut self, topic: Up, body: &B, position: (u32, u64)) {
        self.say_with(QoS::AtLeastOnce, topic, body, position).await;
    }

    /// The same with or without the broker's acknowledgement.
    pub(crate) async fn say_with<B: Body>(
        &mut self,
        qos: QoS,
        topic: Up,
        body: &B,
        (epoch, seq): (u32, u64),
    ) {
        let envelope = wire::encode(body, 0, epoch, seq).unwrap();
        self.publish_with(qos, &topic.topic(&self.site.clone()), envelope).await;
    }

    /// The next message of the controller, acknowledged.
    pub(crate) async fn heard(&mut self) -> DownMessage {
        DownMessage::decode(&self.heard_publish().await.payload).unwrap().1
    }

    /// The packet that brings it.
    pub(crate) async fn heard_publish(&mut self) -> Publish {
        loop {
            match self.packet().await.expect("a message of the controller") {
                Packet::Publish(publish) => {
                    if publish.qos != QoS::AtMostOnce {
                        self.send(&Packet::PubAck(v4::PubAck::new(publish.pkid))).await;
                    }
                    return publish;
                }
                Packet::PubAck(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn packet_id(&mut self) -> u16 {
        self.next_packet += 1;
        self.next_packet
    }
}
