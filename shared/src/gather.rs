//! Maps and sets from what an iterator gives, put in one after the other.
//!
//! `collect` sorts first, and brings 4 KB of sorting into the agent for each kind of entry: 150 KB of its flash in all, for
//! maps that mostly have a handful of entries.

use std::collections::{BTreeMap, BTreeSet};

/// Of what comes twice the last stays, as with `collect`.
pub trait Gather: Iterator + Sized {
    /// A map.
    fn into_map<K: Ord, V>(self) -> BTreeMap<K, V>
    where
        Self: Iterator<Item = (K, V)>,
    {
        let mut map = BTreeMap::new();
        map.extend(self);
        map
    }

    /// A set.
    fn into_set(self) -> BTreeSet<Self::Item>
    where
        Self::Item: Ord,
    {
        let mut set = BTreeSet::new();
        set.extend(self);
        set
    }
}

impl<I: Iterator> Gather for I {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_collect_would_make() {
        let pairs = [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd')];
        assert_eq!(pairs.into_iter().into_map(), pairs.into_iter().collect::<BTreeMap<_, _>>());
        let numbers = [3, 1, 3, 2];
        assert_eq!(numbers.into_iter().into_set(), numbers.into_iter().collect::<BTreeSet<_>>());
    }
}
