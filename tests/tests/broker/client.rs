//! A client of MQTT 5 by hand, packet by packet: unlike 3.1.1 it is told whether what it says is taken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that a test waits for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Client {
    stream: TlsStream<TcpStream>,
    next_packet: u16,
    /// Topic and payload of what was heard, in order.
    pub heard: Vec<(String, Vec<u8>)>,
}

/// What a bundle of `site add` proves itself with; sessions are resumed by whoever keeps it.
pub fn bundle(directory: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let own = CertificateDer::from_pem_file(directory.join("agent.pem"))?;
    let key = PrivateKeyDer::from_pem_file(directory.join("agent.key"))?;
    Ok(Arc::new(builder(directory)?.with_client_auth_cert(vec![own], key)?))
}

/// Somebody who knows the broker and has no certificate.
pub fn stranger(directory: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    Ok(Arc::new(builder(directory)?.with_no_client_auth()))
}

fn builder(
    directory: &Path,
) -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

impl Client {
    /// Connects as `name`, whatever the certificate says, perhaps with a will of this topic.
    pub async fn connect(
        tls: &Arc<ClientConfig>,
        port: u16,
        name: &str,
        will: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut client = timeout(PATIENCE, Self::open(tls, port)).await.context("no TLS in time")??;
        let mut flags = 0b1000_0010_u8;
        let mut body = Vec::new();
        body.extend_from_slice(&text("MQTT"));
        body.push(5);
        if will.is_some() {
            flags |= 0b0000_1100;
        }
        body.push(flags);
        body.extend_from_slice(&60_u16.to_be_bytes());
        body.push(0);
        body.extend_from_slice(&text(name));
        if let Some(topic) = will {
            body.push(0);
            body.extend_from_slice(&text(topic));
            body.extend_from_slice(&text("will"));
        }
        body.extend_from_slice(&text(name));
        client.send(0x10, &body).await?;
        let (kind, answer) = client.packet().await?;
        ensure!(kind == 0x20, "{kind:#x} and no CONNACK");
        let code = answer.get(1).copied().context("a CONNACK has a code")?;
        ensure!(code == 0, "refused with {code:#x}");
        Ok(client)
    }

    async fn open(tls: &Arc<ClientConfig>, port: u16) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?;
        Ok(Self { stream, next_packet: 1, heard: Vec::new() })
    }

    /// Whether the broker takes it. It has been passed on when this returns.
    pub async fn says(&mut self, topic: &str, payload: &[u8]) -> anyhow::Result<bool> {
        let mut body = text(topic);
        body.extend_from_slice(&self.packet_id());
        body.push(0);
        body.extend_from_slice(payload);
        self.send(0x32, &body).await?;
        let answer = self.answer(0x40).await?;
        // Without a code it is a success; 0x10 is one that nobody hears.
        Ok(matches!(answer.get(2), None | Some(0 | 0x10)))
    }

    /// Whether the broker grants it; what it delivers then is another question.
    pub async fn subscribes(&mut self, filter: &str) -> anyhow::Result<bool> {
        let mut body = self.packet_id().to_vec();
        body.push(0);
        body.extend_from_slice(&text(filter));
        body.push(1);
        self.send(0x82, &body).await?;
        let answer = self.answer(0x90).await?;
        Ok(answer.last().is_some_and(|code| *code < 0x80))
    }

    /// Listens until it hears this payload.
    pub async fn hears(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        while !self.heard.iter().any(|(_, heard)| heard == payload) {
            let (kind, body) = self.packet().await?;
            self.take(kind, &body).await?;
        }
        Ok(())
    }

    /// Listens until it hears anything at all.
    pub async fn hears_something(&mut self) {
        while self.heard.is_empty() {
            let (kind, body) = self.packet().await.unwrap();
            self.take(kind, &body).await.unwrap();
        }
    }

    /// Waits for the end of the connection.
    pub async fn ends(&mut self) -> anyhow::Result<()> {
        loop {
            match self.packet().await {
                Ok((kind, body)) => self.take(kind, &body).await?,
                Err(error) if error.to_string().contains("in time") => return Err(error),
                Err(_) => return Ok(()),
            }
        }
    }

    /// The cable is cut: no goodbye of any kind.
    pub fn cut(self) {
        drop(self.stream);
    }

    async fn answer(&mut self, wanted: u8) -> anyhow::Result<Vec<u8>> {
        loop {
            let (kind, body) = self.packet().await?;
            if kind == wanted {
                return Ok(body);
            }
            self.take(kind, &body).await?;
        }
    }

    async fn take(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        if kind & 0xf0 != 0x30 {
            bail!("a packet of kind {kind:#x}: {body:?}");
        }
        let length = usize::from(u16::from_be_bytes(body.first_chunk().copied().context("a topic")?));
        let topic = String::from_utf8(body.get(2..2 + length).context("a topic")?.to_vec())?;
        let mut rest = body.get(2 + length..).context("more than a topic")?;
        if kind & 0x06 != 0 {
            let id: [u8; 2] = rest.first_chunk().copied().context("a packet id")?;
            self.send(0x40, &id).await?;
            rest = rest.get(2..).unwrap_or_default();
        }
        let properties = usize::from(rest.first().copied().context("properties")?);
        let payload = rest.get(1 + properties..).unwrap_or_default().to_vec();
        self.heard.push((topic, payload));
        Ok(())
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let byte = u8::try_from(length % 128)?;
            length /= 128;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).await?;
        Ok(self.stream.flush().await?)
    }

    async fn packet(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        timeout(PATIENCE, self.read_packet()).await.context("nothing came in time")?
    }

    async fn read_packet(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 21 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((kind, body))
    }

    fn packet_id(&mut self) -> [u8; 2] {
        self.next_packet = self.next_packet.wrapping_add(1).max(1);
        self.next_packet.to_be_bytes()
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}
