//! How often a password may be tried. Pure: attempts and `now` in, a verdict out.
//!
//! Counted by login and address together, so that a stranger cannot lock somebody out from elsewhere, and by address
//! alone, so that many logins cannot be tried from one place. Kept in memory: a restart forgives, which costs an
//! attacker who cannot cause restarts nothing and spares a table. The memory is bounded; when it is full of fresh
//! failures, new addresses wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::Login;

/// Failures of one login from one address before it must wait: a person who mistypes needs three.
const FAILURES_PER_LOGIN: u32 = 5;
/// Failures from one address before it must wait: an office of ten behind one address, each having a bad day.
const FAILURES_PER_ADDRESS: u32 = 50;
/// How long failures count.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Keys remembered, about 100 bytes each.
const KEYS: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Login(Login, IpAddr),
    Address(IpAddr),
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
        let by_login = Key::Login(login.clone(), address);
        let by_address = Key::Address(address);
        let wait = self
            .wait(&by_login, FAILURES_PER_LOGIN, now)
            .or_else(|| self.wait(&by_address, FAILURES_PER_ADDRESS, now));
        if let Some(wait) = wait {
            return Verdict::Wait(wait);
        }
        if self.failures.len() >= KEYS {
            self.failures.retain(|_, failures| now.since(failures.since) < WINDOW);
            if self.failures.len() >= KEYS {
                return Verdict::Wait(WINDOW);
            }
        }
        self.count(by_login, now);
        self.count(by_address, now);
        Verdict::MayTry
    }

    /// The attempt was right: the login starts afresh from this address, and the attempt does not count for the address.
    pub fn succeeded(&mut self, login: &Login, address: IpAddr) {
        self.failures.remove(&Key::Login(login.clone(), address));
        if let Some(failures) = self.failures.get_mut(&Key::Address(address)) {
            failures.count = failures.count.saturating_sub(1);
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
        for n in 0..20_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(n));
            if throttle.attempt(&login("cashier"), address, UnixMillis(0)) == Verdict::MayTry {
                tried += 1;
            }
        }
        assert_eq!(tried, KEYS / 2);
        let later = UnixMillis(0).plus(WINDOW);
        assert_eq!(throttle.attempt(&login("cashier"), HERE, later), Verdict::MayTry);
        assert!(throttle.failures.len() <= 2);
    }
}
