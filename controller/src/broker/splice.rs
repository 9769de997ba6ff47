//! Bytes both ways between an admitted site and the broker, until either end is done.
//!
//! What a site says waits for its allowance (`allowance.rs`); what it is told does not. When one direction ends the
//! other gets a moment to deliver what is under way, and no more: a half-dead connection must not hold its site's seat
//! until the system gives up on it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use tawi_shared::KEEP_ALIVE_LONGEST;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::allowance::{Allowances, Packets};
use crate::ids::SiteId;

/// What is moved at once, in bytes; most messages are smaller. Nothing is held while nothing comes, and of a thousand sites
/// nearly all say nothing at any moment.
const SAID: usize = 1_024;
const TOLD: usize = 2 * 1_024;
/// What a site is told within this is told at once.
const GATHER: Duration = Duration::from_millis(2);
/// How long what is under way may take once one direction has ended.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a site's connection may leave written bytes unacknowledged, or probes unanswered. A backhaul that fails over
/// takes half a minute; the system's own patience is a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// After how much silence, and how often, the system asks whether the other end is there. Longer than the agent's own
/// keep-alive, which is told apart from silence by the broker: a probe and its answer are 104 bytes of a metered line, and one each
/// half a minute would be 9 MB a month. What is told to a site that is gone is missed by the above.
const PROBE_AFTER: Duration = KEEP_ALIVE_LONGEST.saturating_add(Duration::from_secs(30));
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Whose bytes move, and what is kept of them.
pub(super) struct Speaker<'a> {
    /// Who speaks.
    pub(super) site: &'a SiteId,
    /// What it may still say.
    pub(super) allowances: &'a Allowances,
    /// Set whenever something comes from it.
    pub(super) is_heard: &'a AtomicBool,
}

/// Has the system find out by itself that the other end of a connection is gone.
///
/// # Errors
/// When the system does not know one of the options; the connection works all the same.
pub(super) fn watch_for_silence(stream: &TcpStream) -> io::Result<()> {
    let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    // It overrules the number of probes too (tcp(7)).
    sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
    Ok(())
}

/// Moves bytes until either end is done. `packets` stands where what was sent to the broker before ends.
///
/// # Errors
/// Of whichever direction ended first.
pub(super) async fn splice<S: AsyncRead + AsyncWrite>(
    site: S,
    broker: &mut TcpStream,
    packets: Packets,
    speaker: &Speaker<'_>,
) -> io::Result<()> {
    let (mut from_site, mut to_site) = tokio::io::split(site);
    let (mut from_broker, mut to_broker) = broker.split();
    let mut up = Box::pin(said(&mut from_site, &mut to_broker, packets, speaker));
    let mut down = Box::pin(told(&mut from_broker, &mut to_site));
    tokio::select! {
        ended = &mut up => {
            let _ = timeout(FAREWELL, down).await;
            ended
        }
        ended = &mut down => {
            let _ = timeout(FAREWELL, up).await;
            ended
        }
    }
}

/// From the site to the broker, as fast as the site may speak.
async fn said(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut packets: Packets,
    speaker: &Speaker<'_>,
) -> io::Result<()> {
    loop {
        let bytes = what_comes::<SAID>(from, SAID).await?;
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        speaker.is_heard.store(true, Ordering::Relaxed);
        let pause = speaker.allowances.spend(speaker.site, packets.cost(&bytes), Instant::now().into_std());
        if !pause.is_zero() {
            sleep(pause).await;
        }
        to.write_all(&bytes).await?;
    }
}

/// Waits for bytes, and takes those that are there, `most` of them; none where the end has come. While it waits it holds no memory
/// for them.
async fn what_comes<const MOST: usize>(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut bytes = [0; MOST];
        let mut chunk = ReadBuf::new(bytes.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut *from).poll_read(context, &mut chunk))?;
        Poll::Ready(Ok(chunk.filled().to_vec()))
    })
    .await
}

/// From the broker to the site. What it is told at once is one TLS record and one segment: each of its own would cost more on the
/// line than most of what is told.
async fn told(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let mut bytes = what_comes::<TOLD>(from, TOLD).await?;
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        let until = Instant::now() + GATHER;
        while bytes.len() < TOLD {
            match timeout_at(until, what_comes::<TOLD>(from, TOLD.saturating_sub(bytes.len()))).await {
                // An end, or how it broke, shows again at the next read; what came before it is carried first.
                Err(_) | Ok(Err(_)) => break,
                Ok(Ok(more)) if more.is_empty() => break,
                Ok(Ok(more)) => bytes.extend_from_slice(&more),
            }
        }
        to.write_all(&bytes).await?;
        // TLS keeps what it has encrypted until it is asked.
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, accepted) = tokio::join!(near, listener.accept());
        (near.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn the_end_of_either_side_ends_both_though_the_other_says_nothing() {
        let site = SiteId::parse("a").unwrap();
        let (allowances, is_heard) = (Allowances::default(), AtomicBool::new(false));
        let speaker = Speaker { site: &site, allowances: &allowances, is_heard: &is_heard };
        for is_broker_first in [true, false] {
            let (mut agent, door) = pair().await;
            let (mut to_broker, mut broker) = pair().await;
            watch_for_silence(&door).unwrap();
            let spliced = splice(door, &mut to_broker, Packets::Between, &speaker);
            let ends = async {
                agent.write_all(b"a word").await.unwrap();
                let mut heard = [0; 6];
                broker.read_exact(&mut heard).await.unwrap();
                // Only its half of the connection: the socket stays open.
                let ending = if is_broker_first { &mut broker } else { &mut agent };
                ending.shutdown().await.unwrap();
            };
            let (ended, ()) = timeout(PATIENCE, async { tokio::join!(spliced, ends) }).await.unwrap();
            ended.unwrap();
        }
        assert!(is_heard.load(Ordering::Relaxed));
    }
}
