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

/// The relay.
#[derive(Debug)]
pub struct Backhaul {
    address: SocketAddr,
    state: watch::Sender<Option<Outage>>,
    bytes: Arc<AtomicU64>,
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
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, target, watched.clone(), Arc::clone(&counter)));
            }
        });
        Ok(Self { address, state, bytes, accepting })
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
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn connection(
    near: TcpStream,
    target: SocketAddr,
    mut state: watch::Receiver<Option<Outage>>,
    bytes: Arc<AtomicU64>,
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
    // The relay must not add the very delay that the figures are about.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let up = relay(near_read, far_write, Arc::clone(&bytes));
    let down = relay(far_read, near_write, bytes);
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
    bytes: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count) = from.read(&mut buffer).await {
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { return };
        if to.write_all(chunk).await.is_err() {
            return;
        }
        bytes.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }
}
