//! How often a password may be tried. Pure: attempts and `now` in, a verdict out.
//!
//! Counted by login and network together, and by network alone, so that many logins cannot be tried from one place; far
//! more slowly by login alone, so that many places cannot try one login for ever. The last of these lets a stranger with
//! a hundred networks keep a login out of places where it is new. It does not where the login signed in within the last
//! month: that place is exempt from it, and from waiting for room. Only failures from its own network hold it up.
//!
//! Kept in memory (`attempts`); when that is full of fresh failures, those that are new wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::Login;
use crate::attempts::Attempts;
use crate::crowd::network_of;

/// Failures of one login from one address before it must wait: a person who mistypes needs three.
const FAILURES_PER_LOGIN: u32 = 5;
/// Failures from one address before it must wait: an office of ten behind one address, each having a bad day.
const FAILURES_PER_ADDRESS: u32 = 50;
/// Failures of one login from everywhere before it must wait where it is new: as much as a hundred networks may try.
/// Somebody who has that many gets 48,000 guesses a day, of which a chosen password withstands millions.
const FAILURES_EVERYWHERE: u32 = 500;
/// How long failures count.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Keys remembered, about 100 bytes each. Places where a login is known add two each at most.
const KEYS: usize = 10_000;
/// How long a place is known to a login after it signed in there: longer than a holiday.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);
/// Places that are known: a hundred staff, each with a new address every third day. The oldest makes room.
const PLACES: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Login(Login, IpAddr),
    Address(IpAddr),
    /// The /48 of IPv6, which is what anybody can have: 65,536 networks, that count as one.
    Wide(Login, IpAddr),
    Everywhere(Login),
}

/// Remembers failures.
#[derive(Clone, Debug)]
pub struct Throttle {
    failures: Attempts<Key>,
    /// Where each login signed in, and when last.
    places: HashMap<(Login, IpAddr), UnixMillis>,
}

/// Whether somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    MayTry,
    /// Not for so long.
    Wait(Duration),
}

impl Default for Throttle {
    fn default() -> Self {
        Self { failures: Attempts::new(WINDOW, KEYS), places: HashMap::new() }
    }
}

impl Throttle {
    /// Asks for one attempt. It counts as failed until [`Throttle::succeeded`] says otherwise, so that attempts made
    /// at the same time cannot slip through together.
    pub fn attempt(&mut self, login: &Login, address: IpAddr, now: UnixMillis) -> Verdict {
        let is_known = self.is_known(login, address, now);
        let mut limits = keys(login, address);
        if is_known {
            limits.retain(|(key, _)| matches!(key, Key::Login(..) | Key::Address(_)));
        }
        if let Some(wait) = limits.iter().find_map(|(key, most)| self.failures.wait(key, *most, now)) {
            return Verdict::Wait(wait);
        }
        let has_room = self.failures.has_room(limits.iter().map(|(key, _)| key), now);
        if !has_room && !is_known {
            return Verdict::Wait(WINDOW);
        }
        for (key, _) in limits {
            self.failures.count(key, now);
        }
        Verdict::MayTry
    }

    /// The attempt was right: the login starts afresh from this address and is known there, and the attempt counts
    /// nowhere else.
    pub fn succeeded(&mut self, login: &Login, address: IpAddr, now: UnixMillis) {
        // Where it was known, the attempt was not counted everywhere.
        let is_known = self.is_known(login, address, now);
        for (key, _) in keys(login, address) {
            match key {
                Key::Login(..) => self.failures.forget(&key),
                Key::Wide(..) | Key::Everywhere(_) if is_known => {}
                _ => self.failures.take_back(&key),
            }
        }
        self.remember(login, address, now);
    }

    fn is_known(&self, login: &Login, address: IpAddr, now: UnixMillis) -> bool {
        let place = (login.clone(), network_of(address));
        self.places.get(&place).is_some_and(|signed_in| now.since(*signed_in) < KNOWN)
    }

    fn remember(&mut self, login: &Login, address: IpAddr, now: UnixMillis) {
        let place = (login.clone(), network_of(address));
        if self.places.len() >= PLACES && !self.places.contains_key(&place) {
            let oldest = self.places.iter().min_by_key(|(_, signed_in)| **signed_in);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.places.remove(&oldest);
            }
        }
        self.places.insert(place, now);
    }
}

/// What an attempt counts for, and how often it may fail there.
fn keys(login: &Login, address: IpAddr) -> Vec<(Key, u32)> {
    let network = network_of(address);
    let mut keys = vec![
        (Key::Login(login.clone(), network), FAILURES_PER_LOGIN),
        (Key::Address(network), FAILURES_PER_ADDRESS),
    ];
    if let IpAddr::V6(address) = network {
        let wide = IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)));
        keys.push((Key::Wide(login.clone(), wide), FAILURES_PER_LOGIN));
    }
    keys.push((Key::Everywhere(login.clone()), FAILURES_EVERYWHERE));
    keys
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn login(text: &str) -> Login {
        Login::parse(text).unwrap()
    }

    #[test]
    fn the_sixth_wrong_password_waits_and_only_from_the_same_address() {
        let mut throttle = Throttle::default();
        let cashier = login("cashier");
        for _ in 0..5 {
            assert_eq!(throttle.attempt(&cashier, HERE, UnixMillis(0)), Verdict::MayTry);
        }
        assert_eq!(
            throttle.attempt(&cashier, HERE, UnixMillis(60_000)),
            Verdict::Wait(WINDOW - Duration::from_secs(60))
        );
        assert_eq!(throttle.attempt(&cashier, THERE, UnixMillis(60_000)), Verdict::MayTry);
        assert_eq!(throttle.attempt(&cashier, HERE, UnixMillis(0).plus(WINDOW)), Verdict::MayTry);
    }

    #[test]
    fn a_right_password_forgives_the_wrong_ones_before_it() {
        let mut throttle = Throttle::default();
        let cashier = login("cashier");
        for _ in 0..20 {
            assert_eq!(throttle.attempt(&cashier, HERE, UnixMillis(0)), Verdict::MayTry);
            throttle.succeeded(&cashier, HERE, UnixMillis(0));
        }
    }

    #[test]
    fn one_address_cannot_try_many_logins() {
        let mut throttle = Throttle::default();
        let tried = (0..100)
            .filter(|n| {
                throttle.attempt(&login(&format!("user-{n}")), HERE, UnixMillis(0)) == Verdict::MayTry
            })
            .count();
        assert_eq!(tried, 50);
    }

    #[test]
    fn memory_stays_bounded_and_old_failures_make_room() {
        let mut throttle = Throttle::default();
        let mut tried = 0;
        let known = login("cashier");
        assert_eq!(throttle.attempt(&known, HERE, UnixMillis(0)), Verdict::MayTry);
        for n in 0..20_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(n));
            if throttle.attempt(&login(&format!("user-{n}")), address, UnixMillis(0)) == Verdict::MayTry {
                tried += 1;
            }
        }
        assert_eq!(tried, KEYS / 3);
        assert_eq!(throttle.attempt(&known, HERE, UnixMillis(0)), Verdict::MayTry, "it was there before");
        let later = UnixMillis(0).plus(WINDOW);
        assert_eq!(throttle.attempt(&login("cashier"), HERE, later), Verdict::MayTry);
        assert!(throttle.failures.len() <= 3);
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let mut throttle = Throttle::default();
        let cashier = login("cashier");
        let tried = (0..100_u128)
            .filter(|host| {
                let address = IpAddr::V6((0x2001_0db8_0000_0001_0000_0000_0000_0000 | host).into());
                throttle.attempt(&cashier, address, UnixMillis(0)) == Verdict::MayTry
            })
            .count();
        assert_eq!(tried, 5);
    }

    #[test]
    fn many_addresses_together_try_one_login_only_so_often() {
        let mut throttle = Throttle::default();
        let cashier = login("cashier");
        let mut tries = |now: UnixMillis| {
            let addresses = (0..2_000).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n)));
            addresses.filter(|from| throttle.attempt(&cashier, *from, now) == Verdict::MayTry).count()
        };
        assert_eq!(tries(UnixMillis(0)), 500);
        assert_eq!(tries(UnixMillis(0).plus(WINDOW)), 500);
    }

    #[test]
    fn an_ipv6_site_with_all_its_networks_counts_as_one_address_of_a_login() {
        let mut throttle = Throttle::default();
        let cashier = login("cashier");
        let mut tried = |site: u128| {
            let network = |n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) | (site << 80) | (n << 64)).into());
            (0..100)
                .filter(|n| throttle.attempt(&cashier, network(*n), UnixMillis(0)) == Verdict::MayTry)
                .count()
        };
        assert_eq!((tried(0), tried(1)), (5, 5));
        assert_eq!((2..200).map(tried).sum::<usize>(), 490, "and all of them together as many as a hundred");
    }

    #[test]
    fn nobody_elsewhere_keeps_a_login_out_of_a_place_where_it_signed_in() {
        let mut throttle = Throttle::default();
        let owner = login("owner");
        assert_eq!(throttle.attempt(&owner, HERE, UnixMillis(0)), Verdict::MayTry);
        throttle.succeeded(&owner, HERE, UnixMillis(0));
        // Enough to use up the login everywhere, and then the memory.
        for n in 0..4_000_u32 {
            let from = IpAddr::V4(Ipv4Addr::from_bits(n));
            throttle.attempt(&owner, from, UnixMillis(1));
            throttle.attempt(&login(&format!("user-{n}")), from, UnixMillis(1));
        }
        assert!(
            matches!(throttle.attempt(&owner, THERE, UnixMillis(2)), Verdict::Wait(_)),
            "it is new there"
        );
        for _ in 0..5 {
            assert_eq!(throttle.attempt(&owner, HERE, UnixMillis(2)), Verdict::MayTry);
        }
        assert!(
            matches!(throttle.attempt(&owner, HERE, UnixMillis(2)), Verdict::Wait(_)),
            "who sits there waits"
        );
        assert!(throttle.failures.len() < KEYS + 10);
    }

    #[test]
    fn a_place_is_known_for_a_month_and_so_many_at_once() {
        let mut throttle = Throttle::default();
        let owner = login("owner");
        throttle.succeeded(&owner, HERE, UnixMillis(0));
        assert!(throttle.is_known(&owner, HERE, UnixMillis(1)));
        assert!(!throttle.is_known(&login("cashier"), HERE, UnixMillis(1)), "only to that login");
        assert!(!throttle.is_known(&owner, HERE, UnixMillis(0).plus(KNOWN)));
        for n in 1..2_000_u32 {
            throttle.succeeded(&owner, IpAddr::V4(Ipv4Addr::from_bits(n)), UnixMillis(i64::from(n)));
        }
        assert_eq!(throttle.places.len(), PLACES);
        assert!(!throttle.is_known(&owner, HERE, UnixMillis(1)), "the oldest made room");
    }
}
