//! Joins the chunks of a snapshot. Pure.
//!
//! Chunks may come in any order and more than once. One snapshot is gathered at a time: a chunk of a newer one starts
//! over, one of an older one is ignored. What is gathered is bounded, because it waits in memory.

use std::collections::BTreeMap;

use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{LineV1, ProfileV1, StateSnapshotV1};

/// The most chunks of one snapshot: 8 MiB at 64 KiB each, some 50,000 lines. A site has 2,000.
pub const CHUNKS: u16 = 128;

/// A snapshot on its way.
#[derive(Debug, Default)]
pub struct Chunks {
    generation: u64,
    state_hash: [u8; 16],
    expected: u16,
    held: BTreeMap<u16, (Vec<LineV1>, Vec<ProfileV1>)>,
}

/// What a chunk did.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// More must come.
    Waiting,
    /// That was the last one missing.
    Whole {
        /// Of the whole.
        generation: u64,
        /// Of the whole.
        hash: StateHash,
        /// All lines.
        lines: Vec<LineV1>,
        /// All profiles.
        profiles: Vec<ProfileV1>,
    },
    /// It is no chunk of anything, or of something too large.
    Refused(&'static str),
}

impl Chunks {
    /// Takes one chunk.
    pub fn take(&mut self, chunk: StateSnapshotV1) -> Joined {
        if chunk.chunks == 0 || chunk.chunk >= chunk.chunks {
            return Joined::Refused("a chunk beyond the end of its snapshot");
        }
        if chunk.chunks > CHUNKS {
            return Joined::Refused("a snapshot of more chunks than an agent holds");
        }
        let is_same = (chunk.generation, chunk.state_hash, chunk.chunks)
            == (self.generation, self.state_hash, self.expected);
        if !is_same {
            if !self.held.is_empty() && chunk.generation < self.generation {
                return Joined::Waiting;
            }
            *self = Self {
                generation: chunk.generation,
                state_hash: chunk.state_hash,
                expected: chunk.chunks,
                held: BTreeMap::new(),
            };
        }
        self.held.insert(chunk.chunk, (chunk.lines, chunk.profiles));
        if self.held.len() < usize::from(self.expected) {
            return Joined::Waiting;
        }
        let whole = std::mem::take(self);
        let (lines, profiles): (Vec<_>, Vec<_>) = whole.held.into_values().unzip();
        Joined::Whole {
            generation: whole.generation,
            hash: StateHash::from_bytes(whole.state_hash),
            lines: lines.into_iter().flatten().collect(),
            profiles: profiles.into_iter().flatten().collect(),
        }
    }

    /// Forgets what was gathered: the connection that it came over is gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> ProfileV1 {
        ProfileV1 {
            name: name.into(),
            service: 1,
            download_bits_per_second: 0,
            upload_bits_per_second: 0,
            download_burst_bits_per_second: 0,
            upload_burst_bits_per_second: 0,
            ..ProfileV1::default()
        }
    }

    fn chunk(generation: u64, chunk: u16, chunks: u16) -> StateSnapshotV1 {
        let profiles = vec![profile(&format!("{generation}.{chunk}"))];
        StateSnapshotV1 { generation, state_hash: [9; 16], chunk, chunks, lines: vec![], profiles }
    }

    /// What came out whole after these chunks, as profile names.
    fn check(chunks: &[(u64, u16, u16)], expected: &[&[&str]]) {
        let mut gathered = Chunks::default();
        let mut wholes = Vec::new();
        for (generation, number, count) in chunks {
            if let Joined::Whole { profiles, .. } = gathered.take(chunk(*generation, *number, *count)) {
                wholes.push(profiles.into_iter().map(|profile| profile.name).collect::<Vec<_>>());
            }
        }
        assert_eq!(wholes, expected, "{chunks:?}");
    }

    #[test]
    fn chunks_join_in_any_order_and_only_with_their_own_kind() {
        check(&[(1, 0, 1)], &[&["1.0"]]);
        check(&[(1, 0, 2)], &[]);
        check(&[(1, 1, 2), (1, 0, 2)], &[&["1.0", "1.1"]]);
        check(&[(1, 1, 2), (1, 1, 2), (1, 0, 2)], &[&["1.0", "1.1"]]);
        check(&[(1, 0, 2), (2, 0, 2), (1, 1, 2), (2, 1, 2)], &[&["2.0", "2.1"]]);
        check(&[(1, 0, 2), (1, 1, 3), (1, 0, 3), (1, 2, 3)], &[&["1.0", "1.1", "1.2"]]);
    }

    #[test]
    fn impossible_and_oversized_snapshots_are_refused() {
        let mut gathered = Chunks::default();
        for bad in [chunk(1, 0, 0), chunk(1, 2, 2), chunk(1, 0, CHUNKS + 1)] {
            assert!(matches!(gathered.take(bad), Joined::Refused(_)));
        }
    }
}
