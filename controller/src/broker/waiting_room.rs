//! Before the handshake: who came waits for a turn, so that a crowd that comes back at once is let in one after the other.
//!
//! ```text
//! accepted ─▶ first byte (6 s) ─▶ a turn of its address, then of the house (8 s) ─▶ handshake
//!     └ so many wait, and so many of them from one address
//! ```
//! A thousand sites may stand behind one address of a carrier, and all of them come within seconds of a restart of the controller.
//! A turn costs processor and memory, and is given in the order in which they came; from one address no more have one than
//! may, so that it keeps no other waiting. Whoever says nothing never gets one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::crowd::{Crowd, Present, network_of};

/// How long somebody who is accepted may say nothing.
const FIRST_BYTE: Duration = Duration::from_secs(6);
/// How long a turn is waited for: agents give a dial up after ten seconds.
const TURN: Duration = Duration::from_secs(8);
/// Who may wait, and from one address. Each holds a socket, and no memory to speak of; nobody who waits has a place that a site
/// could have.
const WAITING: usize = 4_096;
const WAITING_PER_ADDRESS: usize = 2_048;

/// The room.
pub(super) struct WaitingRoom {
    waiting: Crowd<IpAddr>,
    chairs: Arc<Semaphore>,
    house: Arc<Semaphore>,
    first_byte: Duration,
    per_address: usize,
    /// Of the addresses from which somebody waits or has a turn.
    addresses: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// Somebody who waits.
pub(super) struct Waiting {
    address: IpAddr,
    _present: Present<IpAddr>,
    _chair: OwnedSemaphorePermit,
}

/// A turn: given back when dropped.
pub(super) struct Turn {
    _of_house: OwnedSemaphorePermit,
    _of_address: OwnedSemaphorePermit,
}

/// Why somebody has no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// They said nothing.
    Silent,
    /// Too many came at once.
    TooLate,
}

impl WaitingRoom {
    /// So many have a turn at once, and so many of them from one address. Nobody is let be silent for longer than a handshake
    /// may take.
    pub(super) fn new(at_once: usize, per_address: usize, handshake: Duration) -> Self {
        Self {
            waiting: Crowd::default(),
            chairs: Arc::new(Semaphore::new(WAITING)),
            house: Arc::new(Semaphore::new(at_once)),
            first_byte: handshake.min(FIRST_BYTE),
            per_address,
            addresses: Mutex::default(),
        }
    }

    /// Whoever comes from there may wait, unless too many do.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Waiting> {
        let address = network_of(from);
        let chair = Arc::clone(&self.chairs).try_acquire_owned().ok()?;
        let present = self.waiting.enter(address, WAITING_PER_ADDRESS)?;
        Some(Waiting { address, _present: present, _chair: chair })
    }

    /// Waits for the first byte, and then for a turn.
    pub(super) async fn turn(&self, waiting: Waiting, stream: &TcpStream) -> Result<Turn, NoTurn> {
        let mut byte = [0];
        match timeout(self.first_byte, stream.peek(&mut byte)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return Err(NoTurn::Silent),
        }
        timeout(TURN, self.take(waiting)).await.map_err(|_| NoTurn::TooLate)?.ok_or(NoTurn::TooLate)
    }

    async fn take(&self, waiting: Waiting) -> Option<Turn> {
        let of_address = self.of(waiting.address).acquire_owned().await.ok()?;
        let of_house = Arc::clone(&self.house).acquire_owned().await.ok()?;
        Some(Turn { _of_house: of_house, _of_address: of_address })
    }

    fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = addresses.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        // Those from which nobody is here any more.
        addresses.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.per_address));
        addresses.insert(address, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(41, 90, 1, 1));

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_crowd_is_let_in_in_turn_and_keeps_no_other_address_waiting() {
        let room = Arc::new(WaitingRoom::new(3, 2, SOON));
        let (mut client, server) = pair().await;
        client.write_all(b"x").await.unwrap();
        let first = room.turn(room.enter(HERE).unwrap(), &server).await.unwrap();
        let second = room.turn(room.enter(HERE).unwrap(), &server).await.unwrap();
        let third = room.take(room.enter(HERE).unwrap());
        tokio::pin!(third);
        let still_waits = timeout(Duration::from_millis(50), &mut third).await.is_err();
        assert!(still_waits, "two of one address have their turn");
        let other = room.turn(room.enter(THERE).unwrap(), &server).await.unwrap();
        drop(first);
        assert!(timeout(Duration::from_secs(5), &mut third).await.unwrap().is_some());
        drop((second, other));
        assert!(room.turn(room.enter(THERE).unwrap(), &server).await.is_ok());
        drop(room.of(THERE));
        assert!(room.addresses.lock().unwrap().len() <= 2, "addresses of nobody are forgotten");
    }

    #[tokio::test]
    async fn who_says_nothing_gets_no_turn_and_holds_none() {
        let room = WaitingRoom::new(1, 1, SOON);
        let (client, server) = pair().await;
        let silent = room.turn(room.enter(HERE).unwrap(), &server);
        let (mut speaker, other) = pair().await;
        speaker.write_all(b"x").await.unwrap();
        let (silent, spoken) =
            tokio::join!(silent, async { room.turn(room.enter(HERE).unwrap(), &other).await.map(drop) });
        assert_eq!((silent.map(drop), spoken), (Err(NoTurn::Silent), Ok(())));
        drop(client);
    }

    #[test]
    fn so_many_wait_from_one_address() {
        let room = WaitingRoom::new(1, 1, SOON);
        let waiting: Vec<_> = std::iter::from_fn(|| room.enter(HERE)).collect();
        assert_eq!(waiting.len(), WAITING_PER_ADDRESS);
        assert!(room.enter(THERE).is_some());
    }
}
