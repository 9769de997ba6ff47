//! One site of the crowd: its end of TLS and MQTT, and as much of an agent as head office can tell from outside.
//!
//! It keeps the state's generation and hash, says hello, stored and applied, and dials again as the agent does. What it does not
//! have is a router, a store and usage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{self, Connect, Packet, Publish, Subscribe};
use rumqttc::mqttbytes::{self, QoS};
use rustls::pki_types::ServerName;
use tawi_agent::link::backoff::Backoff;
use tawi_shared::topics::{Up, down_filter};
use tawi_shared::wire::{
    AppliedV1, Body, DownMessage, HelloV1, PROTOCOL_NEWEST, PROTOCOL_OLDEST, RouterStatusV1, StoredV1, encode,
};
use tawi_shared::{IdSource, SiteId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// As the agent has them.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);
const RECONNECT_BASE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_SECONDS: u16 = 180;
/// The largest packet.
const PACKET_BYTES: usize = 256 * 1024;
/// Within which head office answers a hello, or the connection is given up.
const ANSWER_DEADLINE: Duration = Duration::from_secs(45);

/// What happened at one site.
#[derive(Debug)]
pub(crate) enum Happened {
    /// The TLS handshake of a connection that was accepted then came to nothing.
    HandshakeFailed { accepted: Instant, why: String },
    /// Head office answered the hello.
    Answered { resumed: bool },
    /// A generation came.
    Told { site: usize, at: Instant },
    /// The connection ended.
    Ended,
}

/// A site.
pub(crate) struct Site {
    pub(crate) number: usize,
    pub(crate) id: SiteId,
    pub(crate) tls: TlsConnector,
    pub(crate) broker: SocketAddr,
    pub(crate) news: mpsc::UnboundedSender<Happened>,
    pub(crate) ids: IdSource,
    pub(crate) held: Held,
}

/// What it has of the state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    generation: u64,
    hash: [u8; 16],
}

impl Site {
    /// Connects, and connects again, for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_BASE);
        let mut epoch = 0;
        loop {
            epoch += 1;
            if let Ok(Some(stream)) = self.dial().await {
                let mut talk = Talk { stream, received: BytesMut::new(), next_packet: 0 };
                let was_answered = self.converse(&mut talk, epoch).await;
                let _ = self.news.send(Happened::Ended);
                if was_answered {
                    backoff.reset();
                }
            }
            sleep(backoff.next(self.ids.number())).await;
        }
    }

    /// `None` where nobody listens; a handshake that fails is news.
    async fn dial(&self) -> anyhow::Result<Option<TlsStream<TcpStream>>> {
        let Ok(Ok(tcp)) = timeout(DIAL_DEADLINE, TcpStream::connect(self.broker)).await else {
            return Ok(None);
        };
        let accepted = Instant::now();
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let why = match timeout(DIAL_DEADLINE, self.tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => return Ok(Some(stream)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took more than {} s", DIAL_DEADLINE.as_secs()),
        };
        let _ = self.news.send(Happened::HandshakeFailed { accepted, why });
        Ok(None)
    }

    /// Until the connection ends; whether head office answered on it.
    async fn converse(&mut self, talk: &mut Talk, epoch: u64) -> bool {
        let mut was_answered = false;
        // Whatever ends it, the next connection begins anew.
        let _ = self.try_to_converse(talk, epoch, &mut was_answered).await;
        was_answered
    }

    async fn try_to_converse(
        &mut self,
        talk: &mut Talk,
        epoch: u64,
        was_answered: &mut bool,
    ) -> anyhow::Result<()> {
        let resumed = talk.stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        talk.open(&self.id).await?;
        talk.say(&self.id, Up::Hello, &self.hello(epoch)).await?;
        loop {
            let patience = if *was_answered { Duration::MAX } else { ANSWER_DEADLINE };
            let half = Duration::from_secs(u64::from(KEEP_ALIVE_SECONDS) / 2);
            let packet = match timeout(patience.min(half), talk.packet()).await {
                Ok(packet) => packet?,
                Err(_) if *was_answered => {
                    talk.send(&Packet::PingReq).await?;
                    continue;
                }
                Err(_) => bail!("the hello was not answered"),
            };
            let Packet::Publish(publish) = packet else { continue };
            if publish.qos != QoS::AtMostOnce {
                talk.send(&Packet::PubAck(v4::PubAck::new(publish.pkid))).await?;
            }
            let at = Instant::now();
            match DownMessage::decode(&publish.payload)?.1 {
                DownMessage::Cursor(_) | DownMessage::Cursors(_) if !*was_answered => {
                    *was_answered = true;
                    let _ = self.news.send(Happened::Answered { resumed });
                }
                DownMessage::Delta(delta) => {
                    let held = Held { generation: delta.to_generation, hash: delta.state_hash };
                    self.take(talk, held, at).await?;
                }
                DownMessage::Snapshot(part) => {
                    let held = Held { generation: part.generation, hash: part.state_hash };
                    self.take(talk, held, at).await?;
                }
                _ => {}
            }
        }
    }

    async fn take(&mut self, talk: &mut Talk, held: Held, at: Instant) -> anyhow::Result<()> {
        self.held = held;
        let Held { generation, hash } = held;
        let _ = self.news.send(Happened::Told { site: self.number, at });
        talk.say(&self.id, Up::Ack, &StoredV1 { generation, stored_at_ms: 1 }).await?;
        let applied = AppliedV1 {
            generation,
            state_hash: hash,
            applied_at_ms: 1,
            failures: Vec::new(),
            failures_total: 0,
        };
        talk.say(&self.id, Up::Ack, &applied).await
    }

    fn hello(&self, connection_epoch: u64) -> HelloV1 {
        HelloV1 {
            boot_id: 1,
            connection_epoch,
            protocol_oldest: PROTOCOL_OLDEST,
            protocol_newest: PROTOCOL_NEWEST,
            stored_generation: self.held.generation,
            applied_generation: self.held.generation,
            state_hash: self.held.hash,
            clock_ms: 1,
            is_clock_trusted: true,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            routers: vec![RouterStatusV1 {
                name: "core".to_owned(),
                is_reachable: true,
                release: "7.18.2".to_owned(),
                trouble: 0,
            }],
        }
    }
}

/// One connection.
struct Talk {
    stream: TlsStream<TcpStream>,
    received: BytesMut,
    next_packet: u16,
}

impl Talk {
    async fn open(&mut self, site: &SiteId) -> anyhow::Result<()> {
        let mut connect = Connect::new(site.as_str());
        connect.keep_alive = KEEP_ALIVE_SECONDS;
        connect.clean_session = true;
        connect.login = Some(v4::Login::new(site.as_str(), ""));
        self.send(&Packet::Connect(connect)).await?;
        match self.packet().await? {
            Packet::ConnAck(answer) if answer.code == v4::ConnectReturnCode::Success => {}
            other => bail!("the broker says {other:?}"),
        }
        let mut subscribe = Subscribe::new(down_filter(site), QoS::AtLeastOnce);
        subscribe.pkid = self.packet_id();
        self.send(&Packet::Subscribe(subscribe)).await?;
        match self.packet().await? {
            Packet::SubAck(_) => Ok(()),
            other => bail!("the broker says {other:?}"),
        }
    }

    async fn say<B: Body>(&mut self, site: &SiteId, up: Up, body: &B) -> anyhow::Result<()> {
        let mut publish = Publish::new(up.topic(site), QoS::AtLeastOnce, encode(body, 0, 1, 0)?);
        publish.pkid = self.packet_id();
        self.send(&Packet::Publish(publish)).await
    }

    async fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        match packet {
            Packet::Connect(connect) => connect.write(&mut bytes),
            Packet::Publish(publish) => publish.write(&mut bytes),
            Packet::Subscribe(subscribe) => subscribe.write(&mut bytes),
            Packet::PubAck(ack) => ack.write(&mut bytes),
            Packet::PingReq => v4::PingReq.write(&mut bytes),
            other => bail!("an agent does not say {other:?}"),
        }
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await.context("flushing")
    }

    async fn packet(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.received, PACKET_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => bail!("{error:?}"),
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the connection ended");
            }
        }
    }

    fn packet_id(&mut self) -> u16 {
        self.next_packet = self.next_packet % u16::MAX + 1;
        self.next_packet
    }
}

/// The client's half of TLS, with the sessions that it knows.
pub(crate) fn connector(
    ca_pem: &[u8],
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> anyhow::Result<TlsConnector> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(certificate_pem)?],
            PrivateKeyDer::from_pem_slice(key_pem)?,
        )?;
    Ok(TlsConnector::from(Arc::new(config)))
}
