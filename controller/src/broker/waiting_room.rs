//! Before the handshake: who came waits for a turn, so that a crowd that comes back at once is let in one after the other.
//!
//! ```text
//! accepted ─▶ first byte (6 s) ─▶ a turn (8 s, turns.rs) ─▶ handshake
//!     └ so many wait, and so many of them from one address
//! ```
//! A thousand sites may stand behind one address of a carrier, and all of them come within seconds of a restart of the controller.
//! From no address do more wait than there are chairs free, so that a few that fill the room never take the last one. Whoever
//! says nothing never gets a turn.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::turns::{Turn, Turns};
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
    turns: Turns,
    first_byte: Duration,
}

/// Somebody who waits.
pub(super) struct Waiting {
    address: IpAddr,
    _present: Present<IpAddr>,
    _chair: OwnedSemaphorePermit,
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
            turns: Turns::new(at_once, per_address),
            first_byte: handshake.min(FIRST_BYTE),
        }
    }

    /// Whoever comes from there may wait, unless too many do.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Waiting> {
        let address = network_of(from);
        let most = WAITING_PER_ADDRESS.min(self.chairs.available_permits());
        let chair = Arc::clone(&self.chairs).try_acquire_owned().ok()?;
        let present = self.waiting.enter(address, most)?;
        Some(Waiting { address, _present: present, _chair: chair })
    }

    /// Waits for the first byte, and then for a turn.
    pub(super) async fn turn(&self, waiting: Waiting, stream: &TcpStream) -> Result<Turn, NoTurn> {
        let mut byte = [0];
        match timeout(self.first_byte, stream.peek(&mut byte)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return Err(NoTurn::Silent),
        }
        let turn = timeout(TURN, self.turns.take(waiting.address)).await;
        turn.ok().flatten().ok_or(NoTurn::TooLate)
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
        let room = Arc::new(WaitingRoom::new(4, 2, SOON));
        let (mut client, server) = pair().await;
        client.write_all(b"x").await.unwrap();
        let first = room.turn(room.enter(HERE).unwrap(), &server).await.unwrap();
        let second = room.turn(room.enter(HERE).unwrap(), &server).await.unwrap();
        let third = room.turn(room.enter(HERE).unwrap(), &server);
        tokio::pin!(third);
        let still_waits = timeout(Duration::from_millis(50), &mut third).await.is_err();
        assert!(still_waits, "two of one address have their turn");
        let other = room.turn(room.enter(THERE).unwrap(), &server).await.unwrap();
        drop(first);
        assert!(timeout(Duration::from_secs(5), &mut third).await.unwrap().is_ok());
        drop((second, other));
        assert!(room.turn(room.enter(THERE).unwrap(), &server).await.is_ok());
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
    fn so_many_wait_from_one_address_and_a_few_addresses_do_not_fill_the_room() {
        let room = WaitingRoom::new(1, 1, SOON);
        let all = |from: IpAddr| std::iter::from_fn(|| room.enter(from)).collect::<Vec<_>>();
        let first = all(HERE);
        assert_eq!(first.len(), WAITING_PER_ADDRESS);
        let others: Vec<_> = (1..8).map(|number| all([127, 0, 0, number + 1].into())).collect();
        assert!(others.iter().all(|waiting| !waiting.is_empty()));
        assert!(room.enter(THERE).is_some());
    }
}
