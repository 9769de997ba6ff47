//! Addresses that pools hand out, which of them are in use, and `/ip/pool/used`, which shows them.
//!
//! A static address of a secret is in use as well, so that no pool hands it out, but it is of no pool and is
//! not shown. Who asks for an address is [`super::ppp`] and [`super::hotspot`].

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::{Value, parse_address, parse_ranges};

/// How far a chain of `next-pool` is followed; a longer one is a loop.
const LONGEST_CHAIN: usize = 16;
const USED: &str = "ip/pool/used";

/// An address in use.
#[derive(Debug, Default)]
struct Use {
    /// Two lines may have the same static address.
    holders: u32,
    /// Its row in `/ip/pool/used`, if a pool handed it out.
    row: Option<ItemId>,
}

/// Who takes an address, as `/ip/pool/used` tells it.
#[derive(Clone, Copy)]
pub(super) struct Taking<'name> {
    pub(super) owner: &'static str,
    pub(super) info: &'name [u8],
}

/// The addresses in use.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    used: HashMap<Ipv4Addr, Use>,
    /// Where the search in a pool goes on, so that filling a pool is not quadratic.
    cursors: HashMap<ItemId, u32>,
}

impl AddressBook {
    /// The address that a property gives: itself, or a free one of the pool it names.
    pub(super) fn take(
        &mut self,
        engine: &mut Engine,
        menu: &str,
        id: ItemId,
        property: &str,
        taking: Taking<'_>,
    ) -> Option<Ipv4Addr> {
        let (address, row) = match engine.referenced(menu, id, property) {
            Some(pool) => {
                let (address, pool) = self.free_of(engine, pool)?;
                let row = engine.place(
                    USED,
                    &[
                        ("pool", Value::text(engine.text("ip/pool", pool, "name").unwrap_or_default())),
                        ("address", Value::text(address.to_string())),
                        ("owner", Value::text(taking.owner)),
                        ("info", Value::text(taking.info)),
                    ],
                    None,
                );
                (address, row)
            }
            None => (parse_address(&engine.text(menu, id, property)?)?, None),
        };
        let entry = self.used.entry(address).or_default();
        entry.holders = entry.holders.saturating_add(1);
        entry.row = entry.row.or(row);
        Some(address)
    }

    /// Gives an address back.
    pub(super) fn release(&mut self, engine: &mut Engine, address: Ipv4Addr) {
        let Some(entry) = self.used.get_mut(&address) else { return };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0
            && let Some(entry) = self.used.remove(&address)
            && let Some(row) = entry.row
        {
            engine.displace(USED, row);
        }
    }

    /// A free address, and the pool of the chain that has it.
    fn free_of(&mut self, engine: &Engine, pool: ItemId) -> Option<(Ipv4Addr, ItemId)> {
        let mut next = Some(pool);
        for _ in 0..LONGEST_CHAIN {
            let pool = next?;
            let ranges = engine.text("ip/pool", pool, "ranges")?;
            let ranges = parse_ranges(std::str::from_utf8(&ranges).ok()?)?;
            if let Some(address) = self.free_in(pool, &ranges) {
                return Some((address, pool));
            }
            next = engine.referenced("ip/pool", pool, "next-pool");
        }
        None
    }

    fn free_in(&mut self, pool: ItemId, ranges: &[(Ipv4Addr, Ipv4Addr)]) -> Option<Ipv4Addr> {
        let cursor = self.cursors.get(&pool).copied().unwrap_or(0);
        let numbers = || ranges.iter().flat_map(|(first, last)| u32::from(*first)..=u32::from(*last));
        let after = numbers().filter(|number| *number > cursor);
        let is_free = |number: &u32| !self.used.contains_key(&Ipv4Addr::from(*number));
        let number = after.chain(numbers()).find(is_free)?;
        self.cursors.insert(pool, number);
        Some(Ipv4Addr::from(number))
    }
}
