//! The listener: so many connections at once, and none that stands still.
//!
//! axum's own listener takes any number and waits for a slow request line for ever; a few hundred open sockets would
//! then lock staff out of a controller that stands in the open.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once. A browser opens six; this is eighty browsers, and 20 MB at most.
const CONNECTIONS: usize = 512;
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
}

impl Door {
    /// Over a bound listener.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self::with_room_for(CONNECTIONS, listener)
    }

    fn with_room_for(connections: usize, listener: TcpListener) -> Self {
        Self { listener, connections: Arc::new(Semaphore::new(connections)) }
    }
}

impl Listener for Door {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        loop {
            // The semaphore is never closed, so there is always a permit in the end.
            let permit = Arc::clone(&self.connections).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Answers are small and wanted at once; without it a live event waits for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (Guarded::new(stream, permit), address);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that ends when it stands still.
#[derive(Debug)]
pub struct Guarded {
    stream: TcpStream,
    standstill: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Guarded {
    fn new(stream: TcpStream, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, standstill: Box::pin(sleep(STANDSTILL)), _permit: permit }
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

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    async fn serve(connections: usize) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "hello" }));
        let door = Door::with_room_for(connections, listener);
        let serving = tokio::spawn(async move {
            axum::serve(door, routes.into_make_service_with_connect_info::<Peer>()).await.unwrap();
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
        assert!(
            before.elapsed() >= STANDSTILL && before.elapsed() < STANDSTILL * 2,
            "{:?}",
            before.elapsed()
        );
        serving.abort();
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
