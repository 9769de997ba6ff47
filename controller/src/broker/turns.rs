//! Who has a turn, and who gets the next one. It decides, and hands a turn over on a channel; nothing here waits for the network.
//!
//! A turn costs processor and memory, so that the house has so many, and an address no more than it may. Nor is an address
//! given one while it has as many as are still free: a few addresses whose handshakes crawl do not hold the last one. Among
//! those who wait, the address with the fewest comes first, and within it whoever came first: where many addresses do hold
//! them all, somebody who holds none gets the first that is given back.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All turns of the house. Clones are the same house.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<House>>);

#[derive(Debug)]
struct House {
    free: usize,
    per_address: usize,
    addresses: HashMap<IpAddr, Address>,
    arrivals: u64,
}

/// An address from which somebody has a turn or waits for one.
#[derive(Debug, Default)]
struct Address {
    held: usize,
    /// By arrival.
    waiting: BTreeMap<u64, oneshot::Sender<Turn>>,
}

/// A turn: given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    address: IpAddr,
}

/// A place in the line: given up when dropped.
struct Place {
    turns: Turns,
    address: IpAddr,
    arrival: u64,
}

impl Turns {
    /// So many at once, and so many of them for one address.
    pub(super) fn new(at_once: usize, per_address: usize) -> Self {
        let house = House { free: at_once, per_address, addresses: HashMap::new(), arrivals: 0 };
        Self(Arc::new(Mutex::new(house)))
    }

    /// Waits for a turn. Dropping the future leaves the line.
    pub(super) async fn take(&self, address: IpAddr) -> Option<Turn> {
        let (sender, turn) = oneshot::channel();
        let arrival = self.house().arrive(address, sender);
        let _place = Place { turns: self.clone(), address, arrival };
        self.hand_out();
        turn.await.ok()
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns to those who wait, as long as there is one that the next of them may have.
    fn hand_out(&self) {
        loop {
            let Some((address, sender)) = self.house().next() else { return };
            // Unlocked: a turn that nobody takes any more is given back at once.
            drop(sender.send(Turn { turns: self.clone(), address }));
        }
    }

    #[cfg(test)]
    fn addresses(&self) -> usize {
        self.house().addresses.len()
    }
}

impl House {
    fn arrive(&mut self, address: IpAddr, sender: oneshot::Sender<Turn>) -> u64 {
        self.arrivals = self.arrivals.wrapping_add(1);
        self.addresses.entry(address).or_default().waiting.insert(self.arrivals, sender);
        self.arrivals
    }

    /// Takes a turn for whoever is next, if it may have one.
    fn next(&mut self) -> Option<(IpAddr, oneshot::Sender<Turn>)> {
        let first = |(at, address): (&IpAddr, &Address)| {
            let (arrival, _) = address.waiting.first_key_value()?;
            Some((address.held, *arrival, *at))
        };
        let (held, _, at) = self.addresses.iter().filter_map(first).min()?;
        if held >= self.per_address.min(self.free) {
            return None;
        }
        let address = self.addresses.get_mut(&at)?;
        let (_, sender) = address.waiting.pop_first()?;
        address.held = address.held.saturating_add(1);
        self.free = self.free.saturating_sub(1);
        Some((at, sender))
    }

    fn forget_if_idle(&mut self, at: IpAddr) {
        if self.addresses.get(&at).is_some_and(|address| address.held == 0 && address.waiting.is_empty()) {
            self.addresses.remove(&at);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut house = self.turns.house();
            house.free = house.free.saturating_add(1);
            if let Some(address) = house.addresses.get_mut(&self.address) {
                address.held = address.held.saturating_sub(1);
            }
            house.forget_if_idle(self.address);
        }
        self.turns.hand_out();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut house = self.turns.house();
        let waited = house.addresses.get_mut(&self.address).and_then(|at| at.waiting.remove(&self.arrival));
        house.forget_if_idle(self.address);
        drop(house);
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waits = Pin<Box<dyn Future<Output = Option<Turn>>>>;

    fn address(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(41, 90, 1, number))
    }

    fn waits(turns: &Turns, number: u8) -> Waits {
        let turns = turns.clone();
        Box::pin(async move { turns.take(address(number)).await })
    }

    fn has(waits: &mut Waits) -> Option<Turn> {
        match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => None,
        }
    }

    /// As many turns as this address gets.
    fn all(turns: &Turns, number: u8) -> Vec<Turn> {
        std::iter::from_fn(|| has(&mut waits(turns, number))).collect()
    }

    #[test]
    fn few_addresses_never_hold_the_last_turn() {
        let turns = Turns::new(256, 64);
        let held: Vec<Vec<Turn>> = (0..6).map(|number| all(&turns, number)).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 32, 16, 8]);
        assert!(has(&mut waits(&turns, 200)).is_some(), "who has none yet gets one at once");
    }

    #[test]
    fn who_has_fewest_is_next_and_then_who_came_first() {
        let turns = Turns::new(3, 2);
        let (mut two, one) = (all(&turns, 1), all(&turns, 2));
        assert_eq!((two.len(), one.len()), (2, 1));
        let (mut greedy, mut late, mut later) = (waits(&turns, 1), waits(&turns, 3), waits(&turns, 4));
        assert!(has(&mut greedy).is_none() && has(&mut late).is_none() && has(&mut later).is_none());
        two.pop();
        let first = has(&mut late);
        assert!(first.is_some() && has(&mut greedy).is_none() && has(&mut later).is_none());
        drop(one);
        assert!(has(&mut later).is_some() && has(&mut greedy).is_none());
    }

    #[test]
    fn who_leaves_the_line_gets_nothing_and_leaves_nothing() {
        let turns = Turns::new(1, 1);
        let held = has(&mut waits(&turns, 1));
        let (mut gone, mut gone_unseen, mut stays) = (waits(&turns, 2), waits(&turns, 3), waits(&turns, 4));
        assert!([&mut gone, &mut gone_unseen, &mut stays].into_iter().all(|waits| has(waits).is_none()));
        drop(gone);
        drop(held);
        // Handed over, and nobody came for it.
        drop(gone_unseen);
        let last = has(&mut stays);
        assert!(last.is_some());
        drop((last, stays));
        assert_eq!(turns.addresses(), 0);
        assert!(has(&mut waits(&turns, 5)).is_some());
    }
}
