//! How often a password may be tried. Pure: attempts and `now` in, a verdict out.
//!
//! Counted by login and address together, so that a stranger cannot lock somebody out from elsewhere, and by address
//! alone, so that many logins cannot be tried from one place; far more slowly by login alone, so that many places cannot
//! try one login for ever. Kept in memory: a restart forgives, which costs an
//! attacker who cannot cause restarts nothing and spares a table. The memory is bounded; when it is full of fresh
//! failures, those that are new wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::Login;
use crate::crowd::network_of;

/// Failures of one login from one address before it must wait: a person who mistypes needs three.
const FAILURES_PER_LOGIN: u32 = 5;
/// Failures from one address before it must wait: an office of ten behind one address, each having a bad day.
const FAILURES_PER_ADDRESS: u32 = 50;
/// Failures of one login from everywhere before it must wait: as much as a hundred addresses may try. Somebody who has
/// that many gets 48,000 guesses a day, of which a chosen password withstands millions; fewer would let them lock the
/// login's owner out.
const FAILURES_EVERYWHERE: u32 = 500;
/// How long failures count.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Keys remembered, about 100 bytes each.
const KEYS: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Login(Login, IpAddr),
    Address(IpAddr),
    Everywhere(Login),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: UnixMillis,
    count: u32,
}

/// Remembers failures.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    failures: HashMap<Key, Failures>,
}

/// Whether somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    MayTry,
    /// Not for so long.
    Wait(Duration),
}

impl Throttle {
    /// Asks for one attempt. It counts as failed until [`Throttle::succeeded`] says otherwise, so that attempts made
    /// at the same time cannot slip through together.
    pub fn attempt(&mut self, login: &Login, address: IpAddr, now: UnixMillis) -> Verdict {
        let limits = keys(login, address);
        if let Some(wait) = limits.iter().find_map(|(key, most)| self.wait(key, *most, now)) {
            return Verdict::Wait(wait);
        }
        if self.failures.len() >= KEYS {
            self.failures.retain(|_, failures| now.since(failures.since) < WINDOW);
        }
        // Whoever is remembered already needs no room.
        let is_new = limits.iter().any(|(key, _)| !self.failures.contains_key(key));
        if is_new && self.failures.len() >= KEYS {
            return Verdict::Wait(WINDOW);
        }
        for (key, _) in limits {
            self.count(key, now);
        }
        Verdict::MayTry
    }

    /// The attempt was right: the login starts afresh from this address, and the attempt counts nowhere else.
    pub fn succeeded(&mut self, login: &Login, address: IpAddr) {
        for (key, _) in keys(login, address) {
            if matches!(key, Key::Login(..)) {
                self.failures.remove(&key);
            } else if let Some(failures) = self.failures.get_mut(&key) {
                failures.count = failures.count.saturating_sub(1);
            }
        }
    }

    fn wait(&self, key: &Key, most: u32, now: UnixMillis) -> Option<Duration> {
        let failures = self.failures.get(key)?;
        let passed = now.since(failures.since);
        (failures.count >= most && passed < WINDOW).then(|| WINDOW.saturating_sub(passed))
    }

    fn count(&mut self, key: Key, now: UnixMillis) {
        let failures = self.failures.entry(key).or_insert(Failures { since: now, count: 0 });
        if now.since(failures.since) >= WINDOW {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
    }
}

/// What an attempt counts for, and how often it may fail there.
fn keys(login: &Login, address: IpAddr) -> [(Key, u32); 3] {
    let address = network_of(address);
    [
        (Key::Login(login.clone(), address), FAILURES_PER_LOGIN),
        (Key::Address(address), FAILURES_PER_ADDRESS),
        (Key::Everywhere(login.clone()), FAILURES_EVERYWHERE),
    ]
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
            throttle.succeeded(&cashier, HERE);
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
}
