//! Head office in small, over real sockets: a TLS door with client certificates, a broker behind it, and a controller
//! that hears all and says what a test tells it to.
//!
//! The broker is the one that the real controller embeds; nothing of the agent is replaced. Connections can be cut in
//! the middle, as a backhaul does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use mqtt5::broker::MqttBroker;
use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, QoS};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tawi_agent::config::{Config, ControllerAddress, ControllerConfig, EnforceConfig};
use tawi_shared::envelope::Header;
use tawi_shared::topics::{ALL_SITES_UP, Down, Up, parse_up};
use tawi_shared::wire::{Body, CommandResultV1, CursorV1, HelloV1, Lane, StateDeltaV1, UpMessage, encode};
use tawi_shared::{Clock, SiteId, UnixMillis};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longer than anything takes on a busy machine; a test that gets here has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of its own for each test, gone at the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("tawi-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// From when and until when a certificate is good.
pub type Validity = (UnixMillis, UnixMillis);

/// Keys of a head office: its CA and what it signed.
pub struct Keys {
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl Keys {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "head office");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { ca_pem: certificate.pem(), ca: Issuer::new(params, key) }
    }

    /// Certificate and key for a name, as PEM.
    fn issue(&self, name: &str, validity: Option<Validity>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        if let Some((begin, end)) = validity {
            let date = |time: UnixMillis| rcgen::date_time_ymd(1970, 1, 1) + time.since(UnixMillis(0));
            (params.not_before, params.not_after) = (date(begin), date(end));
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a site's files into a directory, as a bundle holds them.
    pub fn put_bundle(&self, directory: &Path, site: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let (certificate, key) = self.issue(site, None);
        for (name, text) in [("ca.pem", &self.ca_pem), ("agent.pem", &certificate), ("agent.key", &key)] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        std::fs::set_permissions(directory.join("agent.key"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
    }

    fn server_config(&self, validity: Option<Validity>) -> Arc<ServerConfig> {
        use rustls_pki_types::pem::PemObject as _;
        use rustls_pki_types::{CertificateDer, PrivateKeyDer};
        let (certificate, key) = self.issue("controller", validity);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// What the controller heard.
pub type Heard = (Up, Header, UpMessage);

/// Head office.
pub struct Office {
    pub keys: Keys,
    pub port: u16,
    pub site: SiteId,
    client: AsyncClient,
    heard: mpsc::UnboundedReceiver<Heard>,
    cuts: watch::Sender<u64>,
    farewells: watch::Sender<Option<Vec<u8>>>,
    pub connections: Arc<AtomicUsize>,
    pub resumed: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Office {
    pub async fn start(site: &str) -> Self {
        Self::start_with(site, None).await
    }

    /// With a certificate of its own that is good for this long.
    pub async fn start_with(site: &str, validity: Option<Validity>) -> Self {
        let mut tasks = JoinSet::new();
        let broker_port = start_broker(&mut tasks).await;
        let keys = Keys::new();
        let (cuts, cut) = watch::channel(0);
        let (farewells, farewell) = watch::channel(None);
        let (connections, resumed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let door = Door {
            acceptor: TlsAcceptor::from(keys.server_config(validity)),
            broker_port,
            connections: Arc::clone(&connections),
            resumed: Arc::clone(&resumed),
            cut,
            farewell,
        };
        tasks.spawn(door.serve(listener));
        let (client, heard) = start_controller(broker_port, &mut tasks).await;
        let site = SiteId::parse(site).unwrap();
        Self { keys, port, site, client, heard, cuts, farewells, connections, resumed, _tasks: tasks }
    }

    /// Settings of an agent of this office, without routers.
    pub fn config(&self, directory: &Path) -> Config {
        self.keys.put_bundle(directory, self.site.as_str());
        Config {
            site: self.site.clone(),
            state_directory: directory.join("state"),
            runtime_directory: directory.join("run"),
            controller: ControllerConfig {
                addresses: vec![ControllerAddress { host: "localhost".into(), port: self.port }],
                brokers: vec![],
                names_brokers: false,
                server_name: None,
                proxy: None,
                ca_file: directory.join("ca.pem"),
                certificate_file: directory.join("agent.pem"),
                key_file: directory.join("agent.key"),
                hourly_bytes: 0,
                takes_settings: true,
                keep_alive: Some(Duration::from_secs(120)),
                reconnect_base: Duration::from_millis(10),
            },
            routers: vec![],
            enforce: EnforceConfig {
                full_check: Duration::from_secs(120),
                sample: Duration::from_secs(30),
                report: Duration::ZERO,
                idle: Duration::from_secs(300),
                guard_percent: 20,
                guard_lines: 10,
            },
            log_level: tracing::level_filters::LevelFilter::DEBUG,
            upgrade: tawi_agent::upgrade::UpgradeConfig::default(),
            damage: None,
        }
    }

    /// Ends every connection in the middle of whatever it does.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// From now on answers a CONNECT with these bytes, and hangs up.
    pub fn sends_away(&self, farewell: &[u8]) {
        self.farewells.send_replace(Some(farewell.to_vec()));
    }

    /// Waits until so many connections were made.
    pub async fn connects(&self, count: usize) {
        let waiting = async {
            while self.connections.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("nobody connects");
    }

    /// The next thing that the agent says.
    pub async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.heard.recv()).await.expect("the agent says nothing").unwrap()
    }

    /// What the agent has said, without waiting.
    pub fn overhear(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }

    /// The next thing of a kind; others are passed over.
    pub async fn hear_until<T>(&mut self, mut pick: impl FnMut(&Heard) -> Option<T>) -> T {
        loop {
            let heard = self.hear().await;
            if let Some(found) = pick(&heard) {
                return found;
            }
        }
    }

    pub async fn hear_hello(&mut self) -> (u32, HelloV1) {
        self.hear_until(|(_, header, message)| match message {
            UpMessage::Hello(hello) => Some((header.store_epoch, hello.clone())),
            _ => None,
        })
        .await
    }

    pub async fn hear_stored(&mut self) -> u64 {
        self.hear_until(|(_, _, message)| match message {
            UpMessage::Stored(stored) => Some(stored.generation),
            _ => None,
        })
        .await
    }

    /// The next event: position, flags and text.
    pub async fn hear_event(&mut self) -> (u64, u8, String) {
        self.hear_until(|(_, header, message)| match message {
            UpMessage::Event(event) => Some((header.seq, header.flags, event.detail.clone())),
            _ => None,
        })
        .await
    }

    pub async fn say_bytes(&self, down: Down, bytes: Vec<u8>) {
        self.client.publish(down.topic(&self.site), QoS::AtLeastOnce, false, bytes).await.unwrap();
    }

    pub async fn say<B: Body>(&self, down: Down, body: &B) {
        self.say_bytes(down, encode(body, 0, 0, 0).unwrap()).await;
    }

    pub async fn say_cursor(&self, lane: Lane, store_epoch: u32, cursor: u64) {
        self.say_cursor_at(Clock::system().now(), lane, store_epoch, cursor).await;
    }

    /// The same from a controller whose clock shows `now`.
    pub async fn say_cursor_at(&self, now: UnixMillis, lane: Lane, store_epoch: u32, cursor: u64) {
        let controller_clock_ms = now.0;
        let body = CursorV1 { lane: lane.code(), store_epoch, cursor, controller_clock_ms };
        self.say(Down::Ack, &body).await;
    }

    /// Answers a hello as the controller does: both cursors.
    pub async fn answer(&self, store_epoch: u32, event: u64, usage: u64) {
        self.say_cursor(Lane::Event, store_epoch, event).await;
        self.say_cursor(Lane::Usage, store_epoch, usage).await;
    }

    pub async fn say_delta(&self, delta: &StateDeltaV1) {
        self.say(Down::State, delta).await;
    }
}

async fn start_broker(tasks: &mut JoinSet<()>) -> u16 {
    let mut config = BrokerConfig::new()
        .with_bind_address(([127, 0, 0, 1], 0))
        .with_storage(StorageConfig::new().with_persistence(false));
    config.sys_topics_enabled = false;
    config.auth_config.allow_anonymous = true;
    let mut broker = MqttBroker::with_config(config).await.unwrap();
    let port = broker.local_addr().unwrap().port();
    let mut ready = broker.ready_receiver();
    tasks.spawn(async move {
        broker.run().await.unwrap();
    });
    timeout(PATIENCE, ready.wait_for(|is_ready| *is_ready)).await.unwrap().unwrap();
    port
}

async fn start_controller(
    broker_port: u16,
    tasks: &mut JoinSet<()>,
) -> (AsyncClient, mpsc::UnboundedReceiver<Heard>) {
    let mut options = MqttOptions::new("controller", "127.0.0.1", broker_port);
    options.set_max_packet_size(256 * 1024, 256 * 1024);
    options.set_inflight(1_000);
    let (client, mut event_loop) = AsyncClient::new(options, 1_000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    event_loop.set_network_options(network);
    let (sender, heard) = mpsc::unbounded_channel();
    let (subscribed, mut is_subscribed) = watch::channel(false);
    client.subscribe(ALL_SITES_UP, QoS::AtLeastOnce).await.unwrap();
    tasks.spawn(async move {
        loop {
            // At the end of a test the broker may go first.
            let Ok(event) = event_loop.poll().await else { return };
            match event {
                Event::Incoming(Packet::SubAck(_)) => drop(subscribed.send(true)),
                Event::Incoming(Packet::Publish(publish)) => {
                    let (_, up) = parse_up(&publish.topic).expect("a topic of ours");
                    let (header, message) = UpMessage::decode(&publish.payload).expect("a message of ours");
                    let _ = sender.send((up, header, message));
                }
                _ => {}
            }
        }
    });
    timeout(PATIENCE, is_subscribed.wait_for(|is_subscribed| *is_subscribed)).await.unwrap().unwrap();
    (client, heard)
}

/// The TLS front door.
struct Door {
    acceptor: TlsAcceptor,
    broker_port: u16,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    cut: watch::Receiver<u64>,
    farewell: watch::Receiver<Option<Vec<u8>>>,
}

impl Door {
    async fn serve(self, listener: TcpListener) {
        let mut guests = JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let (acceptor, broker_port) = (self.acceptor.clone(), self.broker_port);
            let (connections, resumed) = (Arc::clone(&self.connections), Arc::clone(&self.resumed));
            let mut cut = self.cut.clone();
            cut.mark_unchanged();
            let farewell = self.farewell.borrow().clone();
            guests.spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                connections.fetch_add(1, Ordering::SeqCst);
                if tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    resumed.fetch_add(1, Ordering::SeqCst);
                }
                if let Some(farewell) = farewell {
                    let _ = tls.read(&mut [0; 512]).await;
                    let _ = tls.write_all(&farewell).await;
                    let _ = tls.shutdown().await;
                    return;
                }
                let Ok(mut broker) = TcpStream::connect(("127.0.0.1", broker_port)).await else { return };
                broker.set_nodelay(true).unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut tls, &mut broker) => {}
                    _ = cut.changed() => {}
                }
            });
            while guests.try_join_next().is_some() {}
        }
    }
}

/// What an agent says of a command.
pub fn command_result(message: &UpMessage) -> Option<CommandResultV1> {
    match message {
        UpMessage::CommandResult(result) => Some(result.clone()),
        _ => None,
    }
}
