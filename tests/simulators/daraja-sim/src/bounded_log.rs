//! Numbered rows that can be found by key and paged by number; the oldest fall out when it is full.
//!
//! Prompts and payments live in one each. Row numbers start at 1 and have no gaps, so a reader that
//! remembers the last number it saw misses nothing that is still kept.

use std::collections::{HashMap, VecDeque};

/// Numbered rows with a key each.
#[derive(Debug)]
pub(crate) struct BoundedLog<T> {
    limit: usize,
    next_seq: u64,
    rows: VecDeque<(String, T)>,
    seq_by_key: HashMap<String, u64>,
}

impl<T> BoundedLog<T> {
    /// An empty log that keeps at most `limit` rows.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), next_seq: 1, rows: VecDeque::new(), seq_by_key: HashMap::new() }
    }

    /// Appends the row that `make` builds from its number; the oldest makes room and is handed back.
    pub(crate) fn push(&mut self, key: String, make: impl FnOnce(u64) -> T) -> Option<T> {
        let mut dropped = None;
        if self.rows.len() >= self.limit
            && let Some((oldest, row)) = self.rows.pop_front()
        {
            self.seq_by_key.remove(&oldest);
            dropped = Some(row);
        }
        let seq = self.next_seq;
        self.next_seq = self.next_seq.saturating_add(1);
        self.seq_by_key.insert(key.clone(), seq);
        self.rows.push_back((key, make(seq)));
        dropped
    }

    /// Whether a row with this key is kept.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.seq_by_key.contains_key(key)
    }

    /// The row with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        let position = self.position_of(*self.seq_by_key.get(key)?)?;
        self.rows.get(position).map(|(_, row)| row)
    }

    /// The row with this key, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let position = self.position_of(*self.seq_by_key.get(key)?)?;
        self.rows.get_mut(position).map(|(_, row)| row)
    }

    /// The rows behind number `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &T> {
        let skip = after.saturating_add(1).saturating_sub(self.first_seq());
        self.rows.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).map(|(_, row)| row)
    }

    /// All rows, oldest first; to be read from either end.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.iter().map(|(_, row)| row)
    }

    fn first_seq(&self) -> u64 {
        self.next_seq.saturating_sub(u64::try_from(self.rows.len()).unwrap_or(u64::MAX))
    }

    fn position_of(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.first_seq())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(limit: usize, count: u64) -> BoundedLog<u64> {
        let mut log = BoundedLog::new(limit);
        for number in 1..=count {
            log.push(format!("k{number}"), |seq| seq);
        }
        log
    }

    #[test]
    fn rows_are_found_by_key_and_paged_by_number() {
        let log = log_of(10, 5);
        assert_eq!(log.get("k3"), Some(&3));
        assert_eq!(log.after(0).count(), 5);
        assert_eq!(log.after(3).copied().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(log.after(5).count(), 0);
        assert_eq!(log.after(u64::MAX).count(), 0);
    }

    #[test]
    fn the_oldest_row_makes_room_and_numbers_go_on() {
        let mut log = log_of(3, 5);
        assert!(!log.contains("k2"));
        assert_eq!(log.get("k2"), None);
        assert_eq!(log.get_mut("k3"), Some(&mut 3));
        assert_eq!(log.after(0).copied().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(log.after(4).copied().collect::<Vec<_>>(), [5]);
    }
}
