//! Our own door to head office: a Unix socket that rumqttc connects to, a TLS connection behind it, and a splice.
//!
//! So there is one TLS stack in the agent, every step has a deadline, sessions are resumed, and the bytes of a metered
//! line are counted where they leave the machine. The socket stands in a directory that only the agent can enter.
//! What travels is `session.rs`'s business.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf, copy_buf};
use tokio::net::{TcpStream, UnixListener, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use super::ByteCounters;
use super::order::Order;
use super::proxy::{ProxyError, pass_through};
use crate::config::{ControllerAddress, ControllerConfig, Proxy};

/// Name look-up, TCP and TLS together.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(10);
/// How long an address is tried alone before the next is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried at most, give or take one.
const ADDRESSES: usize = 8;
/// rumqttc connects to the socket at once; whoever does not is not coming.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(5);
/// Each way of the splice. A usage batch is 4 KiB.
const SPLICE_BYTES: usize = 8 * 1024;
/// What the client says within this is said at once.
const GATHER: Duration = Duration::from_millis(2);
/// A connection that was made with a certificate which was renewed since is made anew after so long: head office may refuse
/// the old one from its end on, and the renewals themselves are spread over weeks.
const RENEWED_WAIT: Duration = Duration::from_secs(12 * 3_600);
/// So many refusals in a row are no controller that was being restarted.
const REFUSALS: u32 = 5;
/// How long what was written may stay unacknowledged before the line is dead: a try of the silent line is written, and who
/// forgot the connection does not answer it. A backhaul that fails over takes half a minute; the system's own patience is a
/// quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(45);
/// The kernel's limit for the name of a socket, in bytes, with the closing zero.
const SOCKET_NAME_BYTES: usize = 108;

/// Why head office could not be dialled.
#[derive(Debug, Error)]
pub enum DialError {
    /// No TCP connection.
    #[error("{address}: {source}")]
    Connect {
        /// Which address.
        address: ControllerAddress,
        /// Why.
        source: io::Error,
    },
    /// The proxy does not lead there.
    #[error("{address}: the proxy {proxy}: {source}")]
    Proxy {
        /// Which address.
        address: ControllerAddress,
        /// Which proxy.
        proxy: ControllerAddress,
        /// Why.
        source: ProxyError,
    },
    /// No TLS on it.
    #[error("{address}: {}", said_of_tls(source))]
    Tls {
        /// Which address.
        address: ControllerAddress,
        /// Why.
        source: io::Error,
    },
    /// Neither within [`DIAL_DEADLINE`].
    #[error("{address}: no connection within {} s", DIAL_DEADLINE.as_secs())]
    TooSlow {
        /// Which address.
        address: ControllerAddress,
    },
    /// The name cannot stand in a certificate.
    #[error("{address}: it is not a name that a certificate can carry")]
    BadName {
        /// Which address.
        address: ControllerAddress,
    },
}

/// The library's words, but for what has nothing to do with TLS: a web server's page, say, to which any start of a handshake is
/// nonsense.
fn said_of_tls(source: &io::Error) -> String {
    if is_no_tls(source) {
        "what answers there does not speak TLS: it is not the port for agents".to_owned()
    } else {
        format!("TLS: {source}")
    }
}

/// Whether what came in the place of a handshake is none.
#[must_use]
pub fn is_no_tls(error: &io::Error) -> bool {
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(said, Some(rustls::Error::InvalidMessage(_)))
}

/// Why the door cannot be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// The system refuses.
    #[error("{}: the agent's own socket cannot be made: {source}", path.display())]
    Refused {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory's name is too long for a socket in it.
    #[error("{}: the name is too long for a socket; choose a shorter state_directory", .0.display())]
    NameTooLong(PathBuf),
}

/// Who answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Head office itself.
    Office,
    /// The broker that head office named.
    Broker,
    /// One that the settings name, whatever head office says.
    NamedBroker,
}

/// A connection to head office, with the address that answered.
pub struct Dialed {
    /// Encrypted, both sides proven.
    pub stream: TlsStream<Counted>,
    /// Which address answered.
    pub address: ControllerAddress,
}

/// The door.
pub struct Dialer {
    socket: PathBuf,
    listener: Arc<UnixListener>,
    line: Line,
    /// Sees whether the last connection was made with what is used now.
    made_with: watch::Receiver<Arc<ClientConfig>>,
    /// Sees whether head office named others since.
    going_to: watch::Receiver<Vec<ControllerAddress>>,
    server_name: Option<String>,
    /// Where that name is asked for: another broker has its own.
    doors: Vec<ControllerAddress>,
    names_brokers: bool,
    proxy: Option<Proxy>,
    order: Order,
    started: Instant,
    last: usize,
    bytes: Arc<ByteCounters>,
}

impl Dialer {
    /// Opens the socket in `directory`, which is made for the agent alone if need be.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(
        directory: &Path,
        controller: &ControllerConfig,
        tls: Arc<ClientConfig>,
        bytes: Arc<ByteCounters>,
    ) -> Result<Self, BindError> {
        let socket = directory.join("mqtt.sock");
        let listener = bind_private(&socket)?;
        let tls = watch::Sender::new(tls);
        let addresses = controller.mqtt_addresses();
        let order = Order::new(addresses.len());
        let addresses = watch::Sender::new(addresses);
        Ok(Self {
            socket,
            listener: Arc::new(listener),
            made_with: tls.subscribe(),
            order,
            last: 0,
            going_to: addresses.subscribe(),
            line: Line { tls, addresses, refusals: Arc::default() },
            server_name: controller.server_name.clone(),
            doors: controller.addresses.clone(),
            names_brokers: controller.names_brokers,
            proxy: controller.proxy.clone(),
            started: Instant::now(),
            bytes,
        })
    }

    /// What all connections share, for whoever renews the certificate.
    #[must_use]
    pub fn line(&self) -> Line {
        self.line.clone()
    }

    /// Where rumqttc connects to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who answers at an address.
    #[must_use]
    pub fn who(&self, address: &ControllerAddress) -> Who {
        match (self.doors.contains(address), self.names_brokers) {
            (true, _) => Who::Office,
            (false, false) => Who::Broker,
            (false, true) => Who::NamedBroker,
        }
    }

    /// What counts the line's bytes.
    #[must_use]
    pub fn counters(&self) -> Arc<ByteCounters> {
        Arc::clone(&self.bytes)
    }

    /// Dials the address whose turn it is.
    ///
    /// # Errors
    /// [`DialError`] names the address; the next call tries the one after it.
    pub async fn dial(&mut self) -> Result<Dialed, DialError> {
        if self.going_to.has_changed().unwrap_or(false) {
            self.order = Order::new(self.going_to.borrow_and_update().len());
        }
        let turn = self.order.next(self.started.elapsed());
        let address = self.going_to.borrow().get(turn).cloned();
        let address = address.unwrap_or(ControllerAddress { host: String::new(), port: 0 });
        let tls = TlsConnector::from(Arc::clone(&self.made_with.borrow_and_update()));
        let server_name = self.server_name.as_deref().filter(|_| self.doors.contains(&address));
        let way = Way { server_name, proxy: self.proxy.as_ref() };
        let dialed = dial_address(&address, way, &tls, &self.bytes).await;
        self.order.tried(turn, dialed.is_ok());
        self.last = turn;
        dialed
    }

    /// The address that was dialled last did not let us in: the next one is tried first.
    pub fn pass_over(&mut self) {
        self.order.tried(self.last, false);
    }

    /// Waits for rumqttc at the door and carries bytes both ways until either side ends.
    #[must_use]
    pub fn splice(&self, stream: TlsStream<Counted>) -> Splice {
        let listener = Arc::clone(&self.listener);
        let renewed = renewed_since(self.made_with.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut inner, _) = timeout(ACCEPT_DEADLINE, listener.accept()).await??;
            let (mut from_us, mut to_us) = inner.split();
            let (from_line, mut to_line) = tokio::io::split(stream);
            let mut from_line = BufReader::with_capacity(SPLICE_BYTES, from_line);
            let heard = async {
                copy_buf(&mut from_line, &mut to_us).await?;
                to_us.shutdown().await
            };
            tokio::select! {
                carried = async { tokio::try_join!(gathered(&mut from_us, &mut to_line), heard) } => carried.map(drop),
                () = renewed => Err(io::Error::other("the certificate was renewed, and the connection is made anew with it")),
            }
        });
        Splice { task }
    }
}

/// What all connections share: the certificate that they are made with, whether head office takes it, and where they are made
/// to. Clones are one.
#[derive(Clone, Debug)]
pub struct Line {
    tls: watch::Sender<Arc<ClientConfig>>,
    addresses: watch::Sender<Vec<ControllerAddress>>,
    refusals: Arc<AtomicU32>,
}

impl Line {
    /// The next connection is made with this; the one that there is goes on for some hours at most.
    pub fn renew(&self, tls: Arc<ClientConfig>) {
        self.tls.send_replace(tls);
    }

    /// The next connection is made to one of these.
    pub fn move_to(&self, addresses: Vec<ControllerAddress>) {
        self.addresses.send_if_modified(|known| {
            let is_new = *known != addresses;
            *known = addresses;
            is_new
        });
    }

    /// Whether head office was reached several times in a row and did not let us in.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) >= REFUSALS
    }

    /// Notes that head office did not let us in, or that it did.
    pub fn note(&self, is_refusal: bool) {
        let refusals = if is_refusal { self.refusals.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.refusals.store(refusals, Ordering::Relaxed);
    }
}

/// Ends when a connection that was made with what `made_with` saw should be made anew.
async fn renewed_since(mut made_with: watch::Receiver<Arc<ClientConfig>>) {
    // Nobody renews it any more once all others are gone, and then the connection is about to end.
    if made_with.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(RENEWED_WAIT).await;
}

/// Carries what the client says until it ends. What it says at once it writes message by message: here it becomes one TLS record,
/// since each of its own is 22 bytes, and each segment with its acknowledgement 104.
async fn gathered(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut chunk = vec![0; SPLICE_BYTES];
    loop {
        let mut count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let until = Instant::now() + GATHER;
        while let Some(rest) = chunk.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match timeout_at(until, from.read(rest)).await {
                // An end, or how it broke, shows again at the next read; what came before it is carried first.
                Err(_) | Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(more)) => count += more,
            }
        }
        to.write_all(chunk.get(..count).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

/// The two ways of one connection. Dropping it ends both.
pub struct Splice {
    task: JoinSet<io::Result<()>>,
}

impl Splice {
    /// Waits until everything was carried; how the line broke, if it did.
    pub async fn ended(mut self) -> Option<io::Error> {
        self.task.join_next().await?.ok()?.err()
    }
}

/// How an address is reached.
#[derive(Clone, Copy, Debug)]
pub struct Way<'w> {
    /// The name that the certificate must carry; `None`: the host of the address.
    pub server_name: Option<&'w str>,
    /// Through what; `None`: directly.
    pub proxy: Option<&'w Proxy>,
}

impl<'w> Way<'w> {
    /// As the settings have it.
    #[must_use]
    pub fn of(controller: &'w ControllerConfig) -> Self {
        Self { server_name: controller.server_name.as_deref(), proxy: controller.proxy.as_ref() }
    }
}

/// Dials one address, with TLS. The doctor uses it too.
///
/// # Errors
/// [`DialError`].
pub async fn dial_address(
    address: &ControllerAddress,
    way: Way<'_>,
    tls: &TlsConnector,
    bytes: &Arc<ByteCounters>,
) -> Result<Dialed, DialError> {
    let name = ServerName::try_from(way.server_name.unwrap_or(&address.host).to_owned())
        .map_err(|_| DialError::BadName { address: address.clone() })?;
    let dialing = async {
        let mut counted = Counted { tcp: reach(address, way.proxy).await?, bytes: Arc::clone(bytes) };
        bytes.connected();
        if let Some(proxy) = way.proxy {
            let passed = pass_through(&mut counted, address, proxy).await;
            passed.map_err(|source| of_proxy(address, proxy, source))?;
        }
        let stream = tls
            .connect(name, counted)
            .await
            .map_err(|source| DialError::Tls { address: address.clone(), source })?;
        Ok(Dialed { stream, address: address.clone() })
    };
    match timeout(DIAL_DEADLINE, Box::pin(dialing)).await {
        Ok(dialed) => dialed,
        Err(_) => Err(DialError::TooSlow { address: address.clone() }),
    }
}

/// TCP to whoever is first on the way.
async fn reach(address: &ControllerAddress, proxy: Option<&Proxy>) -> Result<TcpStream, DialError> {
    let first = proxy.map_or(address, |proxy| &proxy.address);
    let connected = connect(&first.host, first.port).await;
    let connected = connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
    let tcp = connected.map_err(|source| match proxy {
        Some(proxy) => of_proxy(address, proxy, source.into()),
        None => DialError::Connect { address: address.clone(), source },
    })?;
    let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    // A system that does not know it finds out later.
    if let Err(error) = sockopt::set_tcp_user_timeout(&tcp, unacknowledged) {
        debug!(%error, "the system does not watch over the connection");
    }
    Ok(tcp)
}

fn of_proxy(address: &ControllerAddress, proxy: &Proxy, source: ProxyError) -> DialError {
    DialError::Proxy { address: address.clone(), proxy: proxy.address.clone(), source }
}

/// Connects to whichever address of a host answers first. They are tried one after the other with a short start
/// between, as RFC 8305 has it: many a mobile network hands out IPv6 addresses that lead nowhere.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let (six, four): (VecDeque<_>, VecDeque<_>) =
        lookup_host((host, port)).await?.partition(SocketAddr::is_ipv6);
    let mut addresses = alternating(six, four).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = addresses.next();
        let has_next = next.is_some();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(error) => last = io::Error::other(error),
            },
            () = sleep(NEXT_ADDRESS), if has_next => {}
            else => return Err(last),
        }
    }
}

/// One of each in turn, the first kind first, at most [`ADDRESSES`].
fn alternating<T>(mut first: VecDeque<T>, mut second: VecDeque<T>) -> Vec<T> {
    let mut all = Vec::new();
    while all.len() < ADDRESSES && !(first.is_empty() && second.is_empty()) {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all
}

/// A listening socket that only the agent's user can reach.
///
/// # Errors
/// [`BindError`].
pub fn bind_private(socket: &Path) -> Result<UnixListener, BindError> {
    if socket.as_os_str().len() >= SOCKET_NAME_BYTES {
        return Err(BindError::NameTooLong(socket.to_path_buf()));
    }
    let refused = |source| BindError::Refused { path: socket.to_path_buf(), source };
    if let Some(directory) = socket.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(refused)?;
    }
    // A socket of the last run is in the way; the lock on the state directory says that nobody listens on it.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(refused)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

/// A TCP connection whose bytes are counted.
pub struct Counted {
    tcp: TcpStream,
    bytes: Arc<ByteCounters>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.bytes.received(read);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(context, buffer);
        if let Poll::Ready(Ok(written)) = &polled {
            self.bytes.sent(*written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_take_turns() {
        let check = |six: &[u8], four: &[u8], expected: &[u8]| {
            let deque = |numbers: &[u8]| numbers.iter().copied().collect::<VecDeque<_>>();
            assert_eq!(alternating(deque(six), deque(four)), expected);
        };
        check(&[], &[], &[]);
        check(&[1, 2, 3], &[11], &[1, 11, 2, 3]);
        check(&[], &[11, 12], &[11, 12]);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused_and_a_name_without_address_is_said_so() {
        let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let refused = connect("127.0.0.1", closed.port()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect("no-such-host.invalid", 1).await.is_err());
    }
}
