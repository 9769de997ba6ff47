//! The listener: so many connections at once, so many of them from one address, and none that stands still.
//!
//! A few hundred open sockets would otherwise lock staff out of a controller that stands in the open. How long the head
//! of a request may take is `serve.rs`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::proxies::Proxies;
use crate::crowd::{Crowd, Present, network_of};

/// Connections at once. A browser opens six; this is eighty browsers, and 20 MB at most.
const CONNECTIONS: usize = 512;
/// Connections from one address at once: ten browsers behind one line. A proxy that is trusted brings everybody's, and is
/// not counted.
const CONNECTIONS_PER_ADDRESS: usize = 64;
/// How long a connection may neither read nor write. Longer than a request may take, and than live streams are silent.
const STANDSTILL: Duration = Duration::from_secs(75);
/// A pause after a failed accept, so that "too many open files" does not become a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Who connected. Handlers see the visitor's address instead, which `shield` works out.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The listener.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    addresses: Crowd<IpAddr>,
    per_address: usize,
    proxies: Proxies,
    is_loopback_free: bool,
    refused: u64,
}

impl Door {
    /// Over a bound listener.
    #[must_use]
    pub fn new(listener: TcpListener, proxies: Proxies) -> Self {
        Self { proxies, ..Self::with_room_for(CONNECTIONS, listener) }
    }

    fn with_room_for(connections: usize, listener: TcpListener) -> Self {
        Self {
            listener,
            connections: Arc::new(Semaphore::new(connections)),
            addresses: Crowd::default(),
            per_address: CONNECTIONS_PER_ADDRESS,
            proxies: Proxies::default(),
            is_loopback_free: true,
            refused: 0,
        }
    }

    /// The next connection, once there is room for it. Cancel safe.
    pub(super) async fn accept(&mut self) -> (Guarded, SocketAddr) {
        loop {
            // The semaphore is never closed, so there is always a permit in the end.
            let permit = Arc::clone(&self.connections).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let Ok(present) = self.enter(address.ip()) else {
                        // Without a word, which costs the least.
                        self.refused = self.refused.saturating_add(1);
                        if self.refused.is_power_of_two() {
                            tracing::warn!(
                                peer.address = %address.ip(), refused = self.refused,
                                "too many connections from one address; a proxy of yours belongs into [server] trusted_proxies"
                            );
                        }
                        continue;
                    };
                    // Answers are small and wanted at once; without it a live event waits for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (Guarded::new(stream, permit, present), address);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// A place for one more from `address`; nothing is held for one that is not counted.
    fn enter(&self, address: IpAddr) -> Result<Option<Present<IpAddr>>, Full> {
        if self.proxies.is_one(address) && (self.is_loopback_free || !address.to_canonical().is_loopback()) {
            return Ok(None);
        }
        self.addresses.enter(network_of(address), self.per_address).map(Some).ok_or(Full)
    }
}

/// An address has as many connections as it may.
struct Full;

/// A connection that ends when it stands still.
#[derive(Debug)]
pub struct Guarded {
    stream: TcpStream,
    standstill: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
    _present: Option<Present<IpAddr>>,
}

impl Guarded {
    fn new(
        stream: TcpStream,
        permit: Option<OwnedSemaphorePermit>,
        present: Option<Present<IpAddr>>,
    ) -> Self {
        Self { stream, standstill: Box::pin(sleep(STANDSTILL)), _permit: permit, _present: present }
    }

    fn moved(&mut self) {
        if let Some(until) = Instant::now().checked_add(STANDSTILL) {
            self.standstill.as_mut().reset(until);
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                self.moved();
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                ready!(self.standstill.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data));
        self.moved();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, data));
        self.moved();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::shutdown::Shutdown;
    use crate::web::serve::{HEAD, serve_behind};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    async fn serve(connections: usize) -> (SocketAddr, JoinHandle<()>) {
        serve_with(connections, |_| {}).await
    }

    async fn serve_with(connections: usize, change: impl FnOnce(&mut Door)) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "hello" }));
        let mut door = Door::with_room_for(connections, listener);
        change(&mut door);
        let serving = tokio::spawn(async move {
            let shutdown = Shutdown::default();
            serve_behind(door, routes, shutdown.stop()).await;
        });
        (address, serving)
    }

    async fn is_answered(stream: &mut TcpStream) -> bool {
        let mut start = [0; 12];
        timeout(Duration::from_secs(5), stream.read_exact(&mut start)).await.is_ok_and(|read| read.is_ok())
            && start == *b"HTTP/1.1 200"
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stands_still_is_closed() {
        let (address, serving) = serve(10).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HT").await.unwrap();
        let before = Instant::now();
        let mut rest = Vec::new();
        silent.read_to_end(&mut rest).await.unwrap();
        // A half request is answered with 408 or with nothing, and closed.
        let _ = slow.read_to_end(&mut rest).await;
        assert!(before.elapsed() >= HEAD && before.elapsed() < STANDSTILL, "{:?}", before.elapsed());
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_is_cut_off_though_it_never_stands_still() {
        let (address, serving) = serve(10).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let before = Instant::now();
        let mut byte = [0; 1];
        loop {
            assert!(before.elapsed() < HEAD * 2, "it goes on for ever");
            if slow.write_all(b"x").await.is_err() {
                break;
            }
            match timeout(HEAD / 10, slow.read(&mut byte)).await {
                Ok(Ok(1)) | Err(_) => {}
                Ok(_) => break,
            }
        }
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_kept_open_for_nothing_is_closed() {
        let (address, serving) = serve(10).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(REQUEST).await.unwrap();
        let before = Instant::now();
        let mut all = Vec::new();
        idle.read_to_end(&mut all).await.unwrap();
        assert!(all.starts_with(b"HTTP/1.1 200") && before.elapsed() < STANDSTILL, "{:?}", before.elapsed());
        serving.abort();
    }

    #[tokio::test]
    async fn one_address_cannot_take_all_connections() {
        let few = |door: &mut Door| (door.per_address, door.is_loopback_free) = (1, false);
        let (address, serving) = serve_with(10, few).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        let _ = second.write_all(REQUEST).await;
        assert!(!is_answered(&mut second).await, "it is closed at once");
        drop(first);
        serving.abort();
    }

    #[tokio::test]
    async fn a_proxy_that_is_trusted_is_not_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let trusted: IpAddr = "10.0.0.7".parse().unwrap();
        let door = Door::new(listener, Proxies::new(vec![trusted]));
        let enter = |address: &str| door.enter(address.parse().unwrap());
        let entered: Vec<_> = (0..CONNECTIONS_PER_ADDRESS).map(|_| enter("10.0.0.8")).collect();
        assert!(entered.iter().all(Result::is_ok) && enter("10.0.0.8").is_err());
        for proxy in ["10.0.0.7", "::ffff:10.0.0.7", "127.0.0.1"] {
            let many: Vec<_> = (0..=CONNECTIONS_PER_ADDRESS).map(|_| enter(proxy)).collect();
            assert!(many.iter().all(Result::is_ok), "{proxy}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_cap_a_connection_waits_until_another_ends() {
        let (address, serving) = serve(2).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut second).await);
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        assert!(!is_answered(&mut third).await, "there is no room");
        drop(first);
        assert!(is_answered(&mut third).await, "there is room again");
        serving.abort();
    }
}
