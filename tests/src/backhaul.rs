//! A site's backhaul: a TCP relay between an agent and the controller that can be cut and mended.
//!
//! ```text
//!   up ──cut(Outage::Reset)────▶ down: open connections are reset, new ones are closed at once
//!   up ──cut(Outage::Silence)──▶ down: bytes vanish, connections hang: what a dead radio link looks like
//!   down ──mend()──────────────▶ up:   connections from before the cut are gone
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections end at once.
    Reset,
    /// Nothing comes through and nothing says so.
    Silence,
}

/// One read of the relay. As large as a TLS record, so that relaying costs no extra round.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a TCP segment carries on an Ethernet path, with time stamps.
const SEGMENT_BYTES: usize = 1_448;
/// Headers of IPv4 and of TCP with time stamps.
const HEADER_BYTES: u64 = 52;
/// Segments that open and end a connection.
const CONNECTION_SEGMENTS: u64 = 7;

/// What passed the link, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Payload of TCP: TLS and all in it.
    pub bytes: u64,
    /// The segments that it was in.
    pub segments: u64,
    /// Connections that were begun.
    pub connections: u64,
}

impl Carried {
    /// With IP and TCP: each segment is answered by an empty one, which is the most that there is.
    #[must_use]
    pub fn on_the_line(self) -> u64 {
        let segments = 2 * self.segments + CONNECTION_SEGMENTS * self.connections;
        self.bytes + HEADER_BYTES * segments
    }

    /// Without what was carried besides; what does not fit is nothing.
    #[must_use]
    pub fn less(self, besides: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(besides.bytes),
            segments: self.segments.saturating_sub(besides.segments),
            connections: self.connections.saturating_sub(besides.connections),
        }
    }

    /// So many of it.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        let Self { bytes, segments, connections } = self;
        Self { bytes: bytes * count, segments: segments * count, connections: connections * count }
    }

    /// One of so many, rounded up.
    #[must_use]
    pub fn part(self, of: u64) -> Self {
        let part = |sum: u64| sum.div_ceil(of.max(1));
        Self { bytes: part(self.bytes), segments: part(self.segments), connections: part(self.connections) }
    }
}

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    segments: AtomicU64,
    connections: AtomicU64,
}

/// The relay.
#[derive(Debug)]
pub struct Backhaul {
    address: SocketAddr,
    state: watch::Sender<Option<Outage>>,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Drop for Backhaul {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Backhaul {
    /// Relays a fresh loopback port to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, target, watched.clone(), Arc::clone(&counted)));
            }
        });
        Ok(Self { address, state, counters, accepting })
    }

    /// Where the agent connects to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link.
    pub fn cut(&self, outage: Outage) {
        self.state.send_replace(Some(outage));
    }

    /// Mends the link.
    pub fn mend(&self) {
        self.state.send_replace(None);
    }

    /// Whether the link is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state.borrow().is_none()
    }

    /// Payload bytes relayed in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.carried().bytes
    }

    /// What passed so far.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let Counters { bytes, segments, connections } = self.counters.as_ref();
        Carried {
            bytes: bytes.load(Ordering::Relaxed),
            segments: segments.load(Ordering::Relaxed),
            connections: connections.load(Ordering::Relaxed),
        }
    }
}

async fn connection(
    near: TcpStream,
    target: SocketAddr,
    mut state: watch::Receiver<Option<Outage>>,
    counters: Arc<Counters>,
) {
    let outage = *state.borrow_and_update();
    match outage {
        Some(Outage::Reset) => return,
        // Held open until something changes, and never answered.
        Some(Outage::Silence) => {
            let _ = state.changed().await;
            return;
        }
        None => {}
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    counters.connections.fetch_add(1, Ordering::Relaxed);
    // The relay must not add the very delay that the figures are about.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let up = relay(near_read, far_write, Arc::clone(&counters));
    let down = relay(far_read, near_write, counters);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = state.changed() => {
            let outage = *state.borrow_and_update();
            if outage == Some(Outage::Silence) {
                // Both halves stay open and unread until the link is mended; then the connection is gone.
                let _ = state.changed().await;
            }
        }
    }
}

async fn relay(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    counters: Arc<Counters>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count) = from.read(&mut buffer).await {
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { return };
        if to.write_all(chunk).await.is_err() {
            return;
        }
        let count_of = |number: usize| u64::try_from(number).unwrap_or(0);
        counters.bytes.fetch_add(count_of(count), Ordering::Relaxed);
        counters.segments.fetch_add(count_of(count.div_ceil(SEGMENT_BYTES)), Ordering::Relaxed);
    }
}
