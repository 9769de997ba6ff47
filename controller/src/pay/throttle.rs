//! How often strangers may look at accounts, make phones ring and claim payments. Pure: who, what and `now` in, a wait out.
//!
//! Whole sites reach us from one address, so that an address may do what a site with a thousand customers does on a bad
//! evening. A phone and an account are somebody's own, and may far less. Counting is `attempts`; when its memory is full,
//! nobody who is new to it makes a phone ring, while looking goes on.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::attempts::Attempts;
use crate::crowd::network_of;
use crate::customers::phone::Msisdn;
use crate::ids::CustomerId;
use crate::mpesa::evidence::ReceiptNumber;

/// How long most of it counts.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long requests to a phone count as well.
const DAY: Duration = Duration::from_secs(86_400);
/// Accounts that one address looks at: every customer of a large site, at the end of the month.
const LOOKS_PER_ADDRESS: u32 = 1_000;
/// Account numbers and addresses of requests that there are not: what a site mistypes, and far too few to find out who
/// has which number.
const MISSES_PER_ADDRESS: u32 = 60;
/// Requests from one address: a site whose customers all pay after an outage.
const ASKS_PER_ADDRESS: u32 = 60;
/// Requests for one account: two people who mistype their PINs.
const ASKS_PER_ACCOUNT: u32 = 6;
/// Requests to one phone: one whose owner has a bad day, and little enough not to be a nuisance.
const ASKS_PER_PHONE: u32 = 4;
/// Requests to one phone in a day: somebody who pays for the whole family.
const ASKS_PER_PHONE_AND_DAY: u32 = 20;
/// Claims for one account: somebody who copies a receipt number wrongly, more than once.
const CLAIMS_PER_ACCOUNT: u32 = 6;
/// Claims from one address: a site whose till payments all went astray.
const CLAIMS_PER_ADDRESS: u32 = 30;
/// Claims of everybody: more at once are no customers.
const CLAIMS_OF_ALL: u32 = 300;
/// Claims of one receipt in a day. A masked number leaves a thousand phones that fit: whoever saw somebody's receipt number
/// does not get to try them.
const CLAIMS_PER_RECEIPT_AND_DAY: u32 = 10;
/// Looks at codes to scan, each with its picture: somebody who opens the page again and again, a site, and as many as
/// Safaricom may be asked for all.
const CODES_PER_ACCOUNT: u32 = 24;
const CODES_PER_ADDRESS: u32 = 120;
const CODES_OF_ALL: u32 = 1_200;
/// Keys remembered, of each window.
const KEYS: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Look(IpAddr),
    Miss(IpAddr),
    Ask(IpAddr),
    Account(CustomerId),
    Phone(Msisdn),
    ClaimsOfAll,
    ClaimFrom(IpAddr),
    ClaimFor(CustomerId),
    CodesOfAll,
    CodeFrom(IpAddr),
    CodeFor(CustomerId),
}

/// Remembers who did what.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    lately: Attempts<Key>,
    today: Attempts<Msisdn>,
    receipts: Attempts<ReceiptNumber>,
}

impl Default for Throttle {
    fn default() -> Self {
        let (lately, today) = (Attempts::new(WINDOW, KEYS), Attempts::new(DAY, KEYS));
        Self { lately, today, receipts: Attempts::new(DAY, KEYS) }
    }
}

impl Throttle {
    /// Asks for a look at an account; how long to wait, where it is not to be.
    pub(super) fn look(&mut self, address: IpAddr, now: UnixMillis) -> Result<(), Duration> {
        for place in places(address) {
            let waits = [(Key::Look(place), LOOKS_PER_ADDRESS), (Key::Miss(place), MISSES_PER_ADDRESS)];
            if let Some(wait) = waits.iter().find_map(|(key, most)| self.lately.wait(key, *most, now)) {
                return Err(wait);
            }
        }
        self.count(places(address).into_iter().map(Key::Look), now);
        Ok(())
    }

    /// What was looked for is not there.
    pub(super) fn missed(&mut self, address: IpAddr, now: UnixMillis) {
        self.count(places(address).into_iter().map(Key::Miss), now);
    }

    fn count(&mut self, keys: impl Iterator<Item = Key>, now: UnixMillis) {
        for key in keys {
            if self.lately.has_room([&key], now) {
                self.lately.count(key, now);
            }
        }
    }

    /// Asks for one request; the phone is `None` when the wallet pays. How long to wait, where it is not to be.
    pub(super) fn ask(
        &mut self,
        address: IpAddr,
        (customer, phone): (&CustomerId, Option<&Msisdn>),
        now: UnixMillis,
    ) -> Result<(), Duration> {
        let mut limits = vec![(Key::Account(customer.clone()), ASKS_PER_ACCOUNT)];
        limits.extend(places(address).into_iter().map(|place| (Key::Ask(place), ASKS_PER_ADDRESS)));
        limits.extend(phone.map(|phone| (Key::Phone(phone.clone()), ASKS_PER_PHONE)));
        let lately = limits.iter().filter_map(|(key, most)| self.lately.wait(key, *most, now)).max();
        let today = phone.and_then(|phone| self.today.wait(phone, ASKS_PER_PHONE_AND_DAY, now));
        if let Some(wait) = lately.max(today) {
            return Err(wait);
        }
        if !self.lately.has_room(limits.iter().map(|(key, _)| key), now) || !self.today.has_room(phone, now) {
            return Err(WINDOW);
        }
        for (key, _) in limits {
            self.lately.count(key, now);
        }
        if let Some(phone) = phone {
            self.today.count(phone.clone(), now);
        }
        Ok(())
    }

    /// Asks for one look at the code of an account, or at its picture. How long to wait, where it is not to be.
    pub(super) fn code(
        &mut self,
        address: IpAddr,
        customer: &CustomerId,
        now: UnixMillis,
    ) -> Result<(), Duration> {
        let mut limits =
            vec![(Key::CodesOfAll, CODES_OF_ALL), (Key::CodeFor(customer.clone()), CODES_PER_ACCOUNT)];
        limits.extend(places(address).into_iter().map(|place| (Key::CodeFrom(place), CODES_PER_ADDRESS)));
        if let Some(wait) = limits.iter().filter_map(|(key, most)| self.lately.wait(key, *most, now)).max() {
            return Err(wait);
        }
        if !self.lately.has_room(limits.iter().map(|(key, _)| key), now) {
            return Err(WINDOW);
        }
        for (key, _) in limits {
            self.lately.count(key, now);
        }
        Ok(())
    }

    /// Asks for one claim of a receipt for an account. How long to wait, where it is not to be.
    pub(super) fn claim(
        &mut self,
        address: IpAddr,
        (customer, receipt): (&CustomerId, &ReceiptNumber),
        now: UnixMillis,
    ) -> Result<(), Duration> {
        let mut limits =
            vec![(Key::ClaimsOfAll, CLAIMS_OF_ALL), (Key::ClaimFor(customer.clone()), CLAIMS_PER_ACCOUNT)];
        limits.extend(places(address).into_iter().map(|place| (Key::ClaimFrom(place), CLAIMS_PER_ADDRESS)));
        let lately = limits.iter().filter_map(|(key, most)| self.lately.wait(key, *most, now)).max();
        let today = self.receipts.wait(receipt, CLAIMS_PER_RECEIPT_AND_DAY, now);
        if let Some(wait) = lately.max(today) {
            return Err(wait);
        }
        let has_room = self.lately.has_room(limits.iter().map(|(key, _)| key), now);
        if !has_room || !self.receipts.has_room([receipt], now) {
            return Err(WINDOW);
        }
        for (key, _) in limits {
            self.lately.count(key, now);
        }
        self.receipts.count(receipt.clone(), now);
        Ok(())
    }
}

/// What an address counts for: its network, and with IPv6 also the /48 that anybody can have.
fn places(address: IpAddr) -> Vec<IpAddr> {
    let network = network_of(address);
    let wide = match network {
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)))),
        IpAddr::V4(_) => None,
    };
    std::iter::once(network).chain(wide.filter(|wide| *wide != network)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;

    const START: UnixMillis = UnixMillis(0);

    fn phone(number: u32) -> Msisdn {
        Msisdn::parse(&format!("07{number:08}")).unwrap()
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_phone_rings_so_often_whoever_asks_for_whomever() {
        let (mut throttle, ids) = (Throttle::default(), IdSource::seeded(1));
        let mut rings = |from: u32, now: UnixMillis| {
            let asks = (from..from + 100).filter(|number| {
                throttle.ask(address(*number), (&CustomerId::random(&ids), Some(&phone(1))), now).is_ok()
            });
            asks.count()
        };
        let windows = (0..96_u32).map(|window| rings(window * 100, START.plus(WINDOW * window)));
        let windows: Vec<_> = windows.collect();
        assert_eq!(windows.iter().copied().take(5).collect::<Vec<_>>(), [4; 5]);
        assert_eq!(windows.iter().sum::<usize>(), 20, "in one day");
        assert_eq!(rings(0, START.plus(DAY)), 4);
    }

    #[test]
    fn an_account_and_an_address_ask_so_often_whatever_phones_they_name() {
        let (mut throttle, ids) = (Throttle::default(), IdSource::seeded(1));
        let one = CustomerId::random(&ids);
        let asked = (0..100).filter(|n| throttle.ask(address(*n), (&one, Some(&phone(*n))), START).is_ok());
        assert_eq!(asked.count(), 6);
        assert_eq!(
            throttle.ask(address(200), (&one, None), UnixMillis(60_000)),
            Err(WINDOW - Duration::from_secs(60))
        );
        let asked = (0..100).filter(|n| {
            throttle.ask(address(300), (&CustomerId::random(&ids), Some(&phone(1_000 + n))), START).is_ok()
        });
        assert_eq!(asked.count(), 60);
        assert_eq!(throttle.ask(address(300), (&one, None), START.plus(WINDOW)), Ok(()));
    }

    #[test]
    fn whoever_guesses_account_numbers_is_stopped_long_before_whoever_looks() {
        let mut throttle = Throttle::default();
        let mut looked = 0;
        while throttle.look(address(1), START).is_ok() {
            throttle.missed(address(1), START);
            looked += 1;
        }
        assert_eq!(looked, 60);
        let looks = (0..2_000).filter(|_| throttle.look(address(2), START).is_ok());
        assert_eq!(looks.count(), 1_000);
        assert_eq!(throttle.look(address(1), START.plus(WINDOW)), Ok(()));
    }

    #[test]
    fn claims_are_few_for_an_account_an_address_a_receipt_and_altogether() {
        let ids = IdSource::seeded(1);
        let receipt = |number: u32| ReceiptNumber::parse(&format!("R{number:09}")).unwrap();
        let count = |claims: &mut dyn FnMut(u32) -> bool| (0..1_000).filter(|n| claims(*n)).count();
        let (mut throttle, one) = (Throttle::default(), CustomerId::random(&ids));
        let of_account = count(&mut |n| throttle.claim(address(n), (&one, &receipt(n)), START).is_ok());
        assert_eq!(of_account, 6);
        let at = START.plus(Duration::from_secs(60));
        let late = throttle.claim(address(5_000), (&one, &receipt(5_000)), at);
        assert_eq!(late, Err(WINDOW - Duration::from_secs(60)), "and it is said when it is over");
        let mut of_anybody = |n: u32, from: u32, what: u32, now: UnixMillis| {
            let whose = CustomerId::random(&ids);
            throttle.claim(address(if from == 0 { n + 10_000 } else { from }), (&whose, &receipt(what)), now)
        };
        assert_eq!(count(&mut |n| of_anybody(n, 9_000, 10_000 + n, START).is_ok()), 30);
        assert_eq!(count(&mut |n| of_anybody(n, 0, 77_777, START).is_ok()), 10);
        assert_eq!(count(&mut |n| of_anybody(n, 0, 20_000 + n, START).is_ok()), 300 - 6 - 30 - 10);
        let next = START.plus(WINDOW);
        assert_eq!(of_anybody(1, 0, 77_777, next), Err(DAY - WINDOW), "a receipt has its day");
        assert_eq!(of_anybody(1, 0, 1, next), Ok(()));
    }

    #[test]
    fn codes_are_looked_at_only_so_often_for_an_account_from_an_address_and_altogether() {
        let (mut throttle, ids) = (Throttle::default(), IdSource::seeded(1));
        let one = CustomerId::random(&ids);
        let of_account = (0..1_000).filter(|n| throttle.code(address(*n), &one, START).is_ok());
        assert_eq!(of_account.count(), 24);
        let from =
            (0..1_000).filter(|_| throttle.code(address(5_000), &CustomerId::random(&ids), START).is_ok());
        assert_eq!(from.count(), 120);
        let all =
            (10_000..20_000).filter(|n| throttle.code(address(*n), &CustomerId::random(&ids), START).is_ok());
        assert_eq!(all.count(), 1_200 - 24 - 120);
        assert_eq!(throttle.code(address(1), &one, START.plus(WINDOW)), Ok(()));
    }

    #[test]
    fn an_ipv6_site_is_one_address() {
        let (mut throttle, ids) = (Throttle::default(), IdSource::seeded(1));
        let asked = (0..200_u32).filter(|n| {
            let from = IpAddr::V6(((0x2001_0db8_0001_u128 << 80) | (u128::from(*n) << 64) | 1).into());
            throttle.ask(from, (&CustomerId::random(&ids), Some(&phone(*n))), START).is_ok()
        });
        assert_eq!(asked.count(), 60);
    }

    #[test]
    fn memory_is_bounded_and_full_memory_rings_no_new_phone() {
        let (mut throttle, ids) = (Throttle::default(), IdSource::seeded(1));
        for number in 0..30_000 {
            let _ = throttle.ask(address(number), (&CustomerId::random(&ids), Some(&phone(number))), START);
            let _ = throttle.look(address(number), START);
        }
        assert!(throttle.lately.len() <= KEYS + 3 && throttle.today.len() <= KEYS + 1);
        let fresh = CustomerId::random(&ids);
        assert_eq!(throttle.ask(address(40_000), (&fresh, Some(&phone(40_000))), START), Err(WINDOW));
        assert_eq!(throttle.look(address(40_000), START), Ok(()), "looking rings no phone");
        assert_eq!(throttle.ask(address(40_000), (&fresh, Some(&phone(40_000))), START.plus(WINDOW)), Ok(()));
    }
}
