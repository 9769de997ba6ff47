//! How many of something there are at once, by whose they are; and who counts as one on the network.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by key. Clones count together.
#[derive(Debug)]
pub struct Crowd<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is counted; gone when dropped.
#[derive(Debug)]
pub struct Present<K: Eq + Hash> {
    crowd: Crowd<K>,
    key: K,
}

impl<K> Default for Crowd<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Crowd<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    /// Counts one more of `key`, unless there are `most` already.
    #[must_use]
    pub fn enter(&self, key: K, most: usize) -> Option<Present<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Present { crowd: self.clone(), key })
    }
}

impl<K: Eq + Hash> Drop for Present<K> {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// What counts as one address: one of IPv4, and the /64 of IPv6, which is the least that anybody is given and holds
/// more addresses than can be counted.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_count_and_whoever_leaves_makes_room() {
        let crowd = Crowd::default();
        let first = crowd.enter("a", 2);
        let second = crowd.enter("a", 2);
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter("a", 2).is_none());
        assert!(crowd.enter("b", 2).is_some());
        drop(first);
        assert!(crowd.enter("a", 2).is_some());
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let check = |address: &str, expected: &str| {
            assert_eq!(network_of(address.parse().unwrap()).to_string(), expected, "{address}");
        };
        check("41.90.1.1", "41.90.1.1");
        check("::ffff:41.90.1.1", "41.90.1.1");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("2001:db8:1:2::1", "2001:db8:1:2::");
        check("2001:db8:1:3::1", "2001:db8:1:3::");
    }
}
