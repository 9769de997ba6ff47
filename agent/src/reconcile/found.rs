//! What flash remembers of a router, where it was read only after the router was being worked on.
//!
//! A store that does not open at the start may open an hour later. Until then the reconciler knows nothing of rows that
//! were taken over, of sessions that have to end and of which board it spoke to; then it goes on with both. What it has
//! learnt meanwhile is newer and stays. Nothing is written to the router here; the record itself is `memory.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::reconcile::Reconciler;
use crate::reconcile::memory::RouterMemory;

/// What was on flash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Of the router.
    pub memory: RouterMemory,
    /// The newest generation that it had settled.
    pub settled: Option<u64>,
    /// The age of the store, where the one before was damaged: whom that one had cut off is not in it.
    pub lived: Option<Duration>,
}

/// Where it waits for the reconciler of one router. Clones act on the same router.
#[derive(Clone, Debug, Default)]
pub struct FoundMemory(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    found: Mutex<Option<Remembered>>,
    given: Notify,
}

impl FoundMemory {
    /// Hands it over. It counts before the next pass begins.
    pub fn give(&self, found: Remembered) {
        *self.0.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        self.0.given.notify_one();
    }

    pub(crate) async fn given(&self) {
        self.0.given.notified().await;
    }

    /// Takes it out.
    #[must_use]
    pub fn take(&self) -> Option<Remembered> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl RouterMemory {
    /// Goes on with an older memory of the same router. `is_written`: head office's password stands in the row of that
    /// line by now.
    pub fn join(&mut self, found: Self, is_written: impl Fn(&str) -> bool) {
        self.is_joined = true;
        // Which board it was counts: the one that answers now may be another.
        if !found.serial.is_empty() {
            self.serial = found.serial;
        }
        if self.no_large_limits_on.is_empty() {
            self.no_large_limits_on = found.no_large_limits_on;
        }
        let newer = std::mem::take(&mut self.speeds);
        self.speeds = found.speeds;
        self.note_speeds(newer);
        for (line, at) in found.cuts {
            self.cuts.entry(line).or_insert(at);
        }
        for (line, digest) in found.own_passwords {
            if is_written(&line) {
                self.forgotten_passwords.insert(line);
            } else if !self.forgotten_passwords.contains(&line) {
                self.own_passwords.entry(line).or_insert(digest);
            }
        }
    }
}

impl Reconciler {
    /// Goes on with what was found, if anything was; whether it was.
    pub(super) async fn take_found_memory(&mut self) -> bool {
        let Some(Remembered { memory, settled, lived }) = self.settings.found.take() else { return false };
        tracing::info!(router.name = %self.settings.name, "what flash remembers of the router could be read after all");
        let confirmed = (self.rebuilds_seen > 0).then(|| self.memory.serial.clone());
        let entries = &self.ledger.entries;
        self.is_resuming |= !memory.speeds.is_empty();
        self.history.restore(&memory.cuts);
        self.is_past_unknown = lived.is_some();
        self.settings.past_known = lived.unwrap_or_default();
        self.memory.join(memory, |line| entries.get(line).is_some_and(|entry| entry.is_password_written));
        // What was taken for right until now was not known to be another's.
        for line in self.memory.own_passwords.keys() {
            if let Some(entry) = self.ledger.entries.get_mut(line) {
                entry.password = None;
            }
        }
        // A person has said since that the one that answers is right.
        if let Some(serial) = confirmed {
            self.memory.serial = serial;
        }
        if let (None, Some(settled)) = (self.settings.settled_generation, settled) {
            self.settings.settled_generation = Some(settled);
            self.ledger.trusted_generation = self.ledger.trusted_generation.min(settled);
        }
        if !self.serial_now.is_empty() {
            self.judge_board().await;
        }
        self.report_memory().await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use tawi_shared::UnixMillis;

    use super::*;
    use crate::reconcile::memory::SpeedChange;

    fn speed(line: &str, at_ms: i64) -> SpeedChange {
        SpeedChange { service: 1, profile: String::new(), line: line.to_owned(), at_ms, names: vec![] }
    }

    #[test]
    fn what_was_learnt_meanwhile_is_newer_and_what_was_remembered_is_not_lost() {
        let digests = |of: &[(&str, u64)]| -> BTreeMap<String, u64> {
            of.iter().map(|(line, digest)| ((*line).to_owned(), *digest)).collect()
        };
        let mut memory = RouterMemory {
            serial: "NEW".into(),
            speeds: vec![speed("b", 9)],
            own_passwords: digests(&[("again", 2)]),
            cuts: BTreeMap::from([("b".to_owned(), None)]),
            forgotten_passwords: BTreeSet::from(["gone".to_owned()]),
            ..RouterMemory::default()
        };
        let found = RouterMemory {
            serial: "OLD".into(),
            speeds: vec![speed("a", 3), speed("b", 4)],
            no_large_limits_on: "7.12".into(),
            cuts: BTreeMap::from(["a", "b"].map(|line| (line.to_owned(), Some(UnixMillis(3))))),
            own_passwords: digests(&[("kept", 7), ("again", 1), ("gone", 5), ("written", 6)]),
            ..RouterMemory::default()
        };
        memory.join(found, |line| line == "written");
        assert_eq!((memory.serial.as_str(), memory.no_large_limits_on.as_str()), ("OLD", "7.12"));
        assert_eq!(memory.speeds, [speed("a", 3), speed("b", 9)]);
        let cuts = [("a".to_owned(), Some(UnixMillis(3))), ("b".to_owned(), None)];
        assert_eq!(memory.cuts, BTreeMap::from(cuts));
        assert_eq!(memory.own_passwords, digests(&[("again", 2), ("kept", 7)]));
        let forgotten: Vec<&str> = memory.forgotten_passwords.iter().map(String::as_str).collect();
        assert_eq!(forgotten, ["gone", "written"]);
    }
}
