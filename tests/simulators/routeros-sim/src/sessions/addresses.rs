//! Addresses that pools hand out, and which of them are in use.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::{parse_address, parse_ranges};

/// How far a chain of `next-pool` is followed; a longer one is a loop.
const LONGEST_CHAIN: usize = 16;

/// The addresses in use.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    used: HashSet<Ipv4Addr>,
    /// Where the search in a pool goes on, so that filling a pool is not quadratic.
    cursors: HashMap<ItemId, u32>,
}

impl AddressBook {
    /// The address that a property gives: itself, or a free one of the pool it names.
    pub(crate) fn take(
        &mut self,
        engine: &Engine,
        menu: &str,
        id: ItemId,
        property: &str,
    ) -> Option<Ipv4Addr> {
        let address = match engine.referenced(menu, id, property) {
            Some(pool) => self.free_of(engine, pool)?,
            None => parse_address(&engine.text(menu, id, property)?)?,
        };
        self.used.insert(address);
        Some(address)
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }

    fn free_of(&mut self, engine: &Engine, pool: ItemId) -> Option<Ipv4Addr> {
        let mut next = Some(pool);
        for _ in 0..LONGEST_CHAIN {
            let pool = next?;
            let ranges = engine.text("ip/pool", pool, "ranges")?;
            let ranges = parse_ranges(std::str::from_utf8(&ranges).ok()?)?;
            if let Some(address) = self.free_in(pool, &ranges) {
                return Some(address);
            }
            next = engine.referenced("ip/pool", pool, "next-pool");
        }
        None
    }

    fn free_in(&mut self, pool: ItemId, ranges: &[(Ipv4Addr, Ipv4Addr)]) -> Option<Ipv4Addr> {
        let cursor = self.cursors.get(&pool).copied().unwrap_or(0);
        let numbers = || ranges.iter().flat_map(|(first, last)| u32::from(*first)..=u32::from(*last));
        let after = numbers().filter(|number| *number > cursor);
        let number = after.chain(numbers()).find(|number| !self.used.contains(&Ipv4Addr::from(*number)))?;
        self.cursors.insert(pool, number);
        Some(Ipv4Addr::from(number))
    }
}
