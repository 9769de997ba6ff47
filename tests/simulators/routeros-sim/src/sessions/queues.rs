//! Which static queue counts a device's traffic: the first enabled one whose target is its address, a prefix
//! around it, or its interface. Packets stop at the first queue, as on a real router, so a session with a dynamic
//! queue of its own is counted there and nowhere else.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::parse_ranges;

const QUEUE: &str = "queue/simple";

/// The queues of an admin by what they are for, kept until some queue changes.
#[derive(Debug, Default)]
pub(super) struct QueueIndex {
    revision: Option<u64>,
    /// By address or interface name: place in the list, and row.
    by_target: HashMap<Vec<u8>, (usize, ItemId)>,
    by_prefix: Vec<(Ipv4Addr, Ipv4Addr, usize, ItemId)>,
}

impl QueueIndex {
    /// The queue that counts what `address` and the interface named `interface` carry.
    pub(super) fn counting(
        &mut self,
        engine: &Engine,
        address: Ipv4Addr,
        interface: Option<&[u8]>,
    ) -> Option<ItemId> {
        self.refresh(engine);
        let text = address.to_string().into_bytes();
        let exact = [Some(text.as_slice()), interface].into_iter().flatten();
        let exact = exact.filter_map(|target| self.by_target.get(target)).copied();
        let around = self.by_prefix.iter().filter(|(first, last, ..)| (*first..=*last).contains(&address));
        let around = around.map(|(_, _, place, id)| (*place, *id));
        exact.chain(around).min().map(|(_, id)| id)
    }

    fn refresh(&mut self, engine: &Engine) {
        let Some(table) = engine.table(QUEUE) else { return };
        if self.revision == Some(table.revision()) {
            return;
        }
        self.revision = Some(table.revision());
        self.by_target.clear();
        self.by_prefix.clear();
        let of_admin = table.iter().filter(|(_, item)| item.session.is_none());
        for (place, (id, _)) in of_admin.enumerate() {
            if engine.is_set(QUEUE, id, "disabled") {
                continue;
            }
            let targets = engine.text(QUEUE, id, "target").unwrap_or_default();
            for target in targets.split(|byte| *byte == b',').filter(|target| !target.is_empty()) {
                let ranges = std::str::from_utf8(target).ok().and_then(parse_ranges).unwrap_or_default();
                match ranges.first() {
                    Some((first, last)) if first != last => self.by_prefix.push((*first, *last, place, id)),
                    Some((address, _)) => {
                        self.by_target.entry(address.to_string().into_bytes()).or_insert((place, id));
                    }
                    None => {
                        self.by_target.entry(target.to_vec()).or_insert((place, id));
                    }
                }
            }
        }
    }
}
