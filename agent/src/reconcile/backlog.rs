//! Changes that wait for their turn.
//!
//! Pure. A router that was reset needs a row for every customer, which takes a weak one minutes; a payment must not wait
//! behind that. So a pass writes a bounded number of lines, newest decisions first, and leaves the rest here: they go on
//! in portions of the same size, and between two portions whatever has become due meanwhile goes ahead of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tawi_shared::Gather as _;
/// Lines that one pass changes. A small router takes some 50 ms for a write: the next payment waits at most a few
/// seconds behind a full portion, and 500 lines are eleven portions.
pub(crate) const LINES_PER_PASS: usize = 48;

/// Lines that are known to need a change, with the generation that wants it.
#[derive(Debug, Default)]
pub(crate) struct Backlog(BTreeMap<String, u64>);

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn contains(&self, line: &str) -> bool {
        self.0.contains_key(line)
    }

    pub(crate) fn add(&mut self, line: &str, revision: u64) {
        let known = self.0.entry(line.to_owned()).or_default();
        *known = revision.max(*known);
    }

    /// Takes lines out that a pass is about to look at.
    pub(crate) fn forget(&mut self, lines: &BTreeSet<String>) {
        self.0.retain(|line, _| !lines.contains(line));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next portion of at most so many lines: the newest decisions first.
    pub(crate) fn portion(&self, most: usize) -> BTreeSet<String> {
        let mut lines: Vec<(&String, u64)> =
            self.0.iter().map(|(line, revision)| (line, *revision)).collect();
        lines.sort_by_key(|(_, revision)| Reverse(*revision));
        lines.into_iter().take(most).map(|(line, _)| line.clone()).into_set()
    }

    /// Whether everything that waits was wanted before this generation: then what is new in it can be told already.
    pub(crate) fn is_older_than(&self, generation: u64) -> bool {
        self.0.values().all(|revision| *revision < generation)
    }

    /// Every line that waits.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_decisions_go_first_and_a_portion_is_bounded() {
        let mut backlog = Backlog::default();
        for number in 0..60 {
            backlog.add(&format!("old-{number:02}"), 1);
        }
        backlog.add("paid", 7);
        let portion = backlog.portion(LINES_PER_PASS);
        assert_eq!(portion.len(), LINES_PER_PASS);
        assert!(portion.contains("paid") && portion.contains("old-00") && !portion.contains("old-59"));
        assert!(!backlog.is_older_than(7) && backlog.is_older_than(8));
        backlog.forget(&portion);
        assert_eq!(backlog.lines().count(), 61 - LINES_PER_PASS);
    }
}
