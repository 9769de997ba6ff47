//! The front door: TLS with a certificate from everybody, one look at the CONNECT, then bytes both ways.
//!
//! ```text
//! accepted ─▶ a turn ─▶ handshake (15 s) ─▶ CONNECT (10 s) ─▶ admitted? ─▶ in the database? ─▶ spliced to the broker
//!                └ waiting_room.rs  └ ALPN http/1.1 ─▶ enrolment.rs └ admission.rs  └ certificate and site not revoked
//! ```
//!
//! Each connection has a task of its own, so that a silent one holds up nobody. The door does not understand MQTT
//! beyond the first packet; it slows who says too much (`allowance.rs`), and ends a connection when its site is
//! revoked, when the same site comes again, and when the controller no longer hears what is said. With another broker
//! nothing stands behind it: devices get their certificates as ever, and whoever speaks MQTT is told to go elsewhere.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};
use tawi_shared::UnixMillis;
use tawi_shared::enrolment::{ALPN_HTTP, ALPN_MQTT};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Secret;
use super::admission::{NotAdmitted, admit};
use super::allowance::{Allowances, Packets};
use super::connect_packet::{ConnectPacket, Malformed, PACKET_BYTES, packet_length};
use super::enrolment::{Desk, identity};
use super::seats::{Ended, Seats};
use super::settings::BrokerSettings;
use super::splice::{Speaker, splice, watch_for_silence};
use super::waiting_room::{NoTurn, Waiting, WaitingRoom};
use crate::database;
use crate::desired::{self, DesiredError};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::pki::DoorTls;
use crate::shutdown::Stop;
use crate::sites::{self, SiteError, Standing, enrolment};
use crate::state::Controller;

/// How long the loopback connection to the broker may take, and a refusal to be written.
const LOOPBACK: Duration = Duration::from_secs(5);
/// From where the door reaches the broker: it takes 10,000 connections from one address (mqtt5 0.49.0,
/// `default_resource_limits`), and this machine has a whole network of them.
const FIRST_SOURCE: u8 = 2;
const SOURCES: u8 = 8;
/// Pause after the system refused to accept, usually because file handles ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often sites that were just revoked are looked for: another process may have revoked one.
const REVOCATION_PERIOD: Duration = Duration::from_secs(1);
/// What counts as just. All are looked for with those who are noted as seen.
const JUST: Duration = Duration::from_secs(600);
/// How often those who said something are noted as seen. Presence is judged in minutes.
pub(crate) const SEEN_PERIOD: Duration = Duration::from_secs(60);

/// What stands behind the door.
pub(super) struct Behind {
    /// Where the broker listens.
    pub(super) broker: SocketAddr,
    /// What makes it believe us.
    pub(super) voucher: Secret,
    /// Whether the controller hears.
    pub(super) attendance: watch::Receiver<u64>,
}

/// The door.
pub(super) struct FrontDoor {
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
}

struct Shared {
    for_agents: Arc<ServerConfig>,
    for_devices: Arc<ServerConfig>,
    desk: Arc<Desk>,
    /// `None` with another broker.
    behind: Option<Behind>,
    controller: Controller,
    settings: BrokerSettings,
    connections: Arc<Semaphore>,
    waiting_room: WaitingRoom,
    seats: Seats,
    allowances: Allowances,
    /// Of the next connection to the broker.
    turn: AtomicU8,
}

/// Why a connection came to nothing.
#[derive(Debug, Error)]
enum SentAway {
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    #[error("the TLS handshake took too long")]
    HandshakeSlow,
    #[error("its certificate names no site")]
    NoSite,
    #[error("no CONNECT came in time")]
    ConnectSlow,
    #[error("the connection ended before CONNECT")]
    Gone(#[source] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("site {site}: {source}")]
    NotAdmitted { site: SiteId, source: NotAdmitted },
    #[error("site {site}: its certificate is unknown or revoked")]
    Revoked { site: SiteId },
    #[error("site {site}: looking up its certificate: {source}")]
    Lookup { site: SiteId, source: SiteError },
    #[error(
        "site {site}: MQTT is spoken at {at} now, the broker of [broker] url; its agent asks where to go after a few refusals, unless its release knows no other broker (upgrade it) or its settings name addresses (write {at} there)"
    )]
    Elsewhere { site: SiteId, at: String },
    #[error("the broker behind the front door does not answer: {0}")]
    Broker(#[source] io::Error),
}

/// Why a look at those who are connected failed. It is taken again.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Sites(#[from] SiteError),
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// A client that has shown who it is.
struct Admitted {
    /// In a box: whoever holds it while it lasts would otherwise hold a kilobyte or two, and each async fn that it passes again.
    stream: Box<TlsStream<TcpStream>>,
    site: SiteId,
    certificate_sha256: String,
    /// The CONNECT for the broker, and whatever the client sent after it.
    opening: Vec<u8>,
    /// Where that goes.
    broker: SocketAddr,
    /// Whether the controller hears it.
    attendance: watch::Receiver<u64>,
}

/// Who came through the handshake.
enum Received {
    /// An agent that may come in.
    Agent(Admitted),
    /// A device that wants a certificate.
    Device(Box<TlsStream<TcpStream>>),
}

impl FrontDoor {
    pub(super) fn new(
        listeners: Vec<TcpListener>,
        tls: DoorTls,
        desk: Desk,
        behind: Option<Behind>,
        controller: Controller,
        settings: BrokerSettings,
    ) -> Self {
        let shared = Shared {
            for_agents: Arc::new(tls.mqtt),
            for_devices: Arc::new(tls.enrolment),
            desk: Arc::new(desk),
            behind,
            controller,
            connections: Arc::new(Semaphore::new(settings.connections)),
            waiting_room: WaitingRoom::new(
                settings.handshakes_at_once,
                settings.handshakes_per_address,
                settings.handshake_deadline,
            ),
            seats: Seats::default(),
            allowances: Allowances::default(),
            turn: AtomicU8::new(0),
            settings,
        };
        Self { listeners, shared: Arc::new(shared) }
    }

    /// Lets agents in until `stop`; then all connections end.
    pub(super) async fn run(self, mut stop: Stop) {
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_over(Arc::clone(&self.shared)));
        let mut attendance = self.shared.behind.as_ref().map(|behind| behind.attendance.clone());
        let mut first = 0;
        loop {
            let accepted = tokio::select! {
                () = stop.requested() => break,
                Some(_) = tasks.join_next() => continue,
                accepted = accept_when_heard(&self.listeners, &mut first, attendance.as_mut()) => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Where too many wait it is dropped without a word, which costs the least.
                    if let Some(waiting) = self.shared.waiting_room.enter(peer.ip()) {
                        let shared = Arc::clone(&self.shared);
                        tasks.spawn(async move { shared.attend(stream, peer, waiting).await });
                    } else {
                        tracing::debug!(peer.address = %peer, "sent away: too many wait");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the front door cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        tasks.shutdown().await;
    }
}

/// While the controller does not hear, agents wait in the system's queue, and later at their own back-off. Where none are
/// let in, there is nothing to wait for.
async fn accept_when_heard(
    listeners: &[TcpListener],
    first: &mut usize,
    attendance: Option<&mut watch::Receiver<u64>>,
) -> io::Result<(TcpStream, SocketAddr)> {
    if let Some(attendance) = attendance {
        attendance
            .wait_for(|turn| turn % 2 == 1)
            .await
            .map_err(|_| io::Error::other("the controller's client is gone"))?;
    }
    poll_fn(|context| {
        for step in 0..listeners.len() {
            // Beginning behind whoever was last, so that a crowd at one port keeps no other waiting.
            let at = first.wrapping_add(step) % listeners.len();
            if let Some(listener) = listeners.get(at)
                && let Poll::Ready(accepted) = listener.poll_accept(context)
            {
                *first = at.wrapping_add(1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether a client wants a certificate, and not MQTT. Releases before enrolment name no protocol.
fn wants_enrolment(hello: &ClientHello<'_>) -> bool {
    let offers = |protocol: &[u8]| hello.alpn().is_some_and(|mut all| all.any(|one| one == protocol));
    offers(ALPN_HTTP) && !offers(ALPN_MQTT)
}

impl Shared {
    async fn attend(&self, stream: TcpStream, peer: SocketAddr, waiting: Waiting) {
        // Agents send small messages and wait for the answer. A socket that refuses the option works, only slower.
        let _ = stream.set_nodelay(true);
        if let Err(error) = watch_for_silence(&stream) {
            tracing::debug!(%error, "the system does not watch over a connection");
        }
        // Each in a box of its own, which is gone when it is over: what lasts is as large as the largest.
        let turn = match Box::pin(self.waiting_room.turn(waiting, &stream)).await {
            Ok(turn) => turn,
            Err(NoTurn::Silent) => {
                tracing::debug!(peer.address = %peer, "sent away: it says nothing");
                return;
            }
            Err(NoTurn::TooLate) => {
                tracing::warn!(peer.address = %peer, "sent away: too many sites come at once");
                return;
            }
        };
        let Ok(_place) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!(connections = self.settings.connections, "the front door is full");
            return;
        };
        match Box::pin(self.receive(stream)).await {
            Ok(Received::Device(stream)) => {
                drop(turn);
                Box::pin(Arc::clone(&self.desk).serve(*stream, peer)).await;
            }
            Ok(Received::Agent(admitted)) => {
                drop(turn);
                let site = admitted.site.clone();
                tracing::info!(site.id = %site, peer.address = %peer, "a site connected");
                match Box::pin(self.splice(admitted)).await {
                    Ok(reason) => tracing::info!(site.id = %site, reason, "a site disconnected"),
                    Err(error) => tracing::error!(site.id = %site, %error, "a site was sent away"),
                }
            }
            Err(
                error
                @ (SentAway::NotAdmitted { .. } | SentAway::Revoked { .. } | SentAway::Elsewhere { .. }),
            ) => {
                tracing::warn!(peer.address = %peer, %error, "sent away");
            }
            Err(error @ SentAway::Lookup { .. }) => {
                tracing::error!(peer.address = %peer, %error, "sent away");
            }
            // Strangers knock on every open port; that is no news.
            Err(error) => tracing::debug!(peer.address = %peer, %error, "sent away"),
        }
    }

    /// From an accepted connection to a client that is known and may come in, or to one that wants to become known.
    async fn receive(&self, stream: TcpStream) -> Result<Received, SentAway> {
        let handshake = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let is_device = wants_enrolment(&start.client_hello());
            let config = if is_device { &self.for_devices } else { &self.for_agents };
            Ok::<_, io::Error>((is_device, Box::new(start.into_stream(Arc::clone(config)).await?)))
        };
        let (is_device, mut stream) = timeout(self.settings.handshake_deadline, handshake)
            .await
            .map_err(|_| SentAway::HandshakeSlow)?
            .map_err(SentAway::Handshake)?;
        if is_device {
            return Ok(Received::Device(stream));
        }
        let (site, certificate_sha256) = identity(&stream).ok_or(SentAway::NoSite)?;
        let (packet, rest) = timeout(self.settings.connect_deadline, read_connect(&mut stream))
            .await
            .map_err(|_| SentAway::ConnectSlow)??;
        let checked = match (admit(packet, &site), &self.behind) {
            (Ok(packet), Some(behind)) => {
                self.check_standing(&site, &certificate_sha256).await.map(|_| (packet, behind))
            }
            (Ok(_), None) => {
                let at = self.settings.mqtt_addresses().join(", ");
                Err(SentAway::Elsewhere { site: site.clone(), at })
            }
            (Err(source), _) => Err(SentAway::NotAdmitted { site: site.clone(), source }),
        };
        match checked {
            Ok((packet, behind)) => {
                let mut opening =
                    packet.encode(Some(behind.voucher.expose().as_bytes())).ok_or(Malformed::TooLong)?;
                opening.extend_from_slice(&rest);
                let (broker, attendance) = (behind.broker, behind.attendance.clone());
                let admitted = Admitted { stream, site, certificate_sha256, opening, broker, attendance };
                Ok(Received::Agent(admitted))
            }
            Err(error) => {
                refuse(&mut stream, &error).await;
                Err(error)
            }
        }
    }

    /// Asks the database; whether certificates that the site had before are still good. When it cannot be asked, nobody
    /// comes in.
    async fn check_standing(&self, site: &SiteId, certificate_sha256: &str) -> Result<bool, SentAway> {
        let lookup = |source| SentAway::Lookup { site: site.clone(), source };
        let mut connection =
            self.controller.database.read().await.map_err(|error| lookup(SiteError::Database(error)))?;
        let now = self.controller.clock.now();
        match sites::standing_of(&mut connection, site, certificate_sha256, now).await.map_err(lookup)? {
            Standing::Good { has_older } => Ok(has_older),
            Standing::Refused => Err(SentAway::Revoked { site: site.clone() }),
        }
    }

    /// A connection to the broker, from one of our addresses after the other.
    async fn reach_broker(&self, broker: SocketAddr) -> io::Result<TcpStream> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SOURCES;
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, FIRST_SOURCE.saturating_add(turn)], 0)))?;
        socket.connect(broker).await
    }

    /// Bytes both ways until either side ends, or we do.
    async fn splice(&self, admitted: Admitted) -> Result<&'static str, SentAway> {
        let mut attendance = admitted.attendance;
        attendance.mark_unchanged();
        let (seat, ended) = self.seats.take(&admitted.site, &admitted.certificate_sha256);
        let mut broker = timeout(LOOPBACK, self.reach_broker(admitted.broker))
            .await
            .map_err(|_| SentAway::Broker(io::ErrorKind::TimedOut.into()))?
            .map_err(SentAway::Broker)?;
        let _ = broker.set_nodelay(true);
        broker.write_all(&admitted.opening).await.map_err(SentAway::Broker)?;
        // Who revoked it between the look at the database and the seat is seen here and not a second later.
        if self.check_standing(&admitted.site, &admitted.certificate_sha256).await? {
            // It proved that the answer with this certificate arrived.
            enrolment::note_first(&self.controller, &admitted.site, &admitted.certificate_sha256)
                .await
                .map_err(|source| SentAway::Lookup { site: admitted.site.clone(), source })?;
        }
        let mut packets = Packets::Between;
        // Spent without a wait: it is one CONNECT and at most a kilobyte or two.
        self.allowances.spend(&admitted.site, packets.cost(&admitted.opening), Instant::now().into_std());
        let speaker =
            Speaker { site: &admitted.site, allowances: &self.allowances, is_heard: seat.is_heard() };
        tokio::select! {
            moved = splice(admitted.stream, &mut broker, packets, &speaker) => Ok(match moved {
                Ok(_) => "the connection was closed",
                Err(_) => "the connection broke",
            }),
            ended = ended => Ok(match ended {
                Ok(Ended::Revoked) => "it was revoked",
                Ok(Ended::Replaced) | Err(_) => "it connected anew",
            }),
            _ = attendance.changed() => Ok("the controller stopped listening"),
        }
    }
}

/// Reads up to the end of the first packet. What came after it belongs to the broker.
async fn read_connect(stream: &mut TlsStream<TcpStream>) -> Result<(ConnectPacket, Vec<u8>), SentAway> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        if let Some(length) = packet_length(&bytes)?
            && let Some((packet, rest)) = bytes.split_at_checked(length)
        {
            return Ok((ConnectPacket::parse(packet)?, rest.to_vec()));
        }
        let mut chunk = [0; 512];
        match stream.read(&mut chunk).await.map_err(SentAway::Gone)? {
            0 => return Err(SentAway::Gone(io::ErrorKind::UnexpectedEof.into())),
            count => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
        if bytes.len() > PACKET_BYTES * 2 {
            return Err(Malformed::TooLong.into());
        }
    }
}

/// Tells the client by a CONNACK that it is not welcome, so that its log names the reason.
async fn refuse(stream: &mut TlsStream<TcpStream>, error: &SentAway) {
    const UNAVAILABLE: u8 = 3;
    const NOT_AUTHORISED: u8 = 5;
    let code = match error {
        SentAway::NotAdmitted { source, .. } => source.return_code(),
        SentAway::Lookup { .. } => UNAVAILABLE,
        _ => NOT_AUTHORISED,
    };
    let answer = async {
        stream.write_all(&[0x20, 2, 0, code]).await?;
        stream.shutdown().await
    };
    // A client that does not take the answer is gone anyway.
    let _ = timeout(LOOPBACK, answer).await;
}

/// Ends the connections of revoked sites, and notes who was heard. Ends with the door.
async fn watch_over(shared: Arc<Shared>) {
    let mut revocation = tokio::time::interval(REVOCATION_PERIOD);
    let mut seen = tokio::time::interval(SEEN_PERIOD);
    let mut hints = shared.controller.live.listen();
    loop {
        let result = tokio::select! {
            _ = revocation.tick() => shared.end_revoked(shared.controller.clock.now().minus(JUST)).await,
            _ = seen.tick() => match shared.end_revoked(UnixMillis(0)).await {
                Ok(()) => shared.note_seen().await,
                Err(error) => Err(error),
            },
            hint = hints.recv() => match hint {
                Ok(Hint::Revoked(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    shared.end_revoked(UnixMillis(0)).await
                }
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
        if let Err(error) = result {
            tracing::error!(%error, "the front door cannot ask the database about its sites");
        }
    }
}

impl Shared {
    /// Ends the connections of those who were revoked since then.
    async fn end_revoked(&self, since: UnixMillis) -> Result<(), WatchError> {
        if self.seats.sites().is_empty() {
            return Ok(());
        }
        let mut connection = self.controller.database.read().await?;
        let revoked = sites::revoked_certificates(&mut connection, since).await?;
        self.seats.end_revoked(|sha256| revoked.contains(sha256));
        Ok(())
    }

    async fn note_seen(&self) -> Result<(), WatchError> {
        let heard = self.seats.heard();
        if heard.is_empty() {
            return Ok(());
        }
        note_seen(&self.controller, heard, || self.seats.sites()).await
    }
}

/// Notes who was `heard` and is still `seated` once the database listens. One that was taken for dead is online again
/// and is told what it lacks: it has no reason to say hello.
pub(crate) async fn note_seen(
    controller: &Controller,
    mut heard: Vec<SiteId>,
    seated: impl FnOnce() -> Vec<SiteId>,
) -> Result<(), WatchError> {
    let now = controller.clock.now();
    let mut transaction: database::Transaction = controller.database.write().await?;
    let seated = seated();
    heard.retain(|site| seated.contains(site));
    let returned = sites::note_seen(&mut transaction, &heard, now).await?;
    for site in &returned {
        desired::store::queue_what_it_lacks(&mut transaction, site, now).await?;
    }
    transaction.commit().await?;
    if !returned.is_empty() {
        controller.live.ring_outbox();
    }
    for site in returned {
        tracing::info!(site.id = %site, "a site that was silent is heard again");
        controller.live.tell(Hint::Site(site));
    }
    Ok(())
}
