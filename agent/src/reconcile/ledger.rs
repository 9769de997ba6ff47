//! What the reconciler remembers of each line between passes.
//!
//! Pure data in memory, one entry a line: what was last verified on the router and under which decision, which password
//! was last written (as a keyed hash), what failed and when to try again. It never holds a row id to act on, because ids
//! are read anew in each pass. Lost at a restart, and rebuilt by the first full check without a write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::wire::{FailureKind, LineV1, ProfileV1};

use crate::clock::Reading;
use crate::desired::Revised;
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::actual::{Family, Table};
use crate::reconcile::limits::{QuotaKey, Rest};

/// Repairs of one line within [`REPAIR_WINDOW`] after which a listen no longer triggers them and only the full check
/// does: two tools that fight over a row would wear out the router's flash.
pub const REPAIRS_AT_ONCE: u32 = 3;
/// See [`REPAIRS_AT_ONCE`].
pub const REPAIR_WINDOW: Duration = Duration::from_secs(3_600);

/// What is known of the password in a line's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKnowledge {
    /// We wrote or saw exactly the one that is wanted.
    Right,
    /// The generation that brought it was settled before this start. A line that was off by then was settled without a
    /// write, so that this says something only of rows that let somebody in.
    Assumed,
    /// Another one was written last, or none that we know of since it was changed.
    Stale,
    /// The row was taken over with the one that it had, and head office wants none other since.
    RoutersOwn,
}

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The decision that was acted upon last, whatever came of it. A new one makes the line due.
    pub decision: Option<Decision>,
    /// Where its row was last looked for, to find it when the state knows the line no more.
    pub place: Option<(Family, String)>,
    /// Whether the removal of a line that is no more was tried; the full check tries again.
    pub has_tried_removal: bool,
    /// The decision that was verified last, and the state that followed from it.
    pub verified: Option<Verified>,
    /// Why it was off, and by which line, before time was taken back and let it in.
    pub reopened: Option<(Reason, Arc<Revised<LineV1>>)>,
    /// Whether a cut of it was held since it was verified.
    pub was_held: bool,
    /// Hash of the password that was written or seen last.
    pub password: Option<u64>,
    /// Whether this agent wrote it since it started: being verified proves nothing where a router hides passwords.
    pub is_password_written: bool,
    /// Somebody changed the row, or removed it: look at it in the next pass.
    pub is_suspect: bool,
    /// The quota that its limits were last written for, whatever came of it. Another one makes the line due.
    pub limits_tried: Option<QuotaKey>,
    /// The quota that its limits were last verified for; `None` before the first look.
    pub limits_verified: Option<Option<QuotaKey>>,
    /// Whether a limit was written to its row in this run, of which more is known than of one that was found.
    pub has_new_limit: bool,
    /// When it was seen to rest; a hotspot line.
    pub rests: Option<Rest>,
    /// Whether a session of it ended since.
    pub has_ended: bool,
}

/// What was wanted of a line.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The line as the state had it.
    pub line: Arc<Revised<LineV1>>,
    /// How it should be; `None` when this release does not know its codes.
    pub state: Option<Effective>,
    /// The profile that it names, if the state defines it.
    pub profile: Option<Arc<Revised<ProfileV1>>>,
}

impl Decision {
    /// Whether both want the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same_profile = match (&self.profile, &other.profile) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.item == other.item,
            (None, None) => true,
            _ => false,
        };
        let is_same_line = Arc::ptr_eq(&self.line, &other.line) || self.line.item == other.line.item;
        self.state == other.state && is_same_line && is_same_profile
    }
}

/// A decision that stood on the router when it was read back.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What was wanted, and is.
    pub decision: Decision,
    /// Since when, by the monotonic clock.
    pub at: Duration,
    /// The clock's leaps by then.
    pub leaps: u32,
    /// How often time had been taken back by then.
    pub taken_back: u32,
}

impl Verified {
    /// This decision stands at `at`, by this reading of the clock. Since when is kept while nothing changed: neither
    /// what is wanted, nor how far the clock can be believed.
    #[must_use]
    pub fn next(before: Option<&Self>, decision: Decision, at: Duration, reading: &Reading) -> Self {
        let Reading { leaps, taken_back, .. } = *reading;
        let is_same = |before: &&Self| before.decision.is_same(&decision) && before.leaps == leaps;
        let at = before.filter(is_same).map_or(at, |before| before.at);
        Self { decision, at, leaps, taken_back }
    }
}

/// All lines of one router.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By line id. In boxes: a map's nodes stay half empty when they are filled in order.
    pub entries: BTreeMap<String, Box<Entry>>,
    /// What is wrong with the few lines that are not as they should be.
    pub failures: BTreeMap<String, LineFailure>,
    /// Lines that failed because another line has their name on the router, with that one.
    pub blocked: BTreeMap<String, String>,
    /// When to try a line again, by the monotonic clock, and how often it was tried.
    pub retries: BTreeMap<String, (Duration, u32)>,
    /// User names whose sessions must still be ended, by line.
    pub owed_kicks: BTreeMap<String, Vec<String>>,
    /// Drift repaired: how often since when.
    pub repairs: BTreeMap<String, (u32, Duration)>,
    /// The rows are not what we wrote: the router was replaced or reset, and no password in them is known.
    pub is_distrusting: bool,
    /// Whose the rows are, by their numbers on this connection: to recognise news of them, never to address them.
    pub row_hints: HashMap<(Table, u64), String>,
    /// Which profiles of ours the rows are, by their numbers on this connection; for the same.
    pub profile_hints: HashMap<(Family, u64), String>,
    /// Lines of a generation up to this one have the right password in their rows, unless known otherwise.
    pub trusted_generation: u64,
    hasher: RandomState,
}

impl Ledger {
    /// The entry of a line, made when it is not there.
    pub fn entry(&mut self, line: &str) -> &mut Entry {
        if !self.entries.contains_key(line) {
            self.entries.insert(line.to_owned(), Box::default());
        }
        self.entries.entry(line.to_owned()).or_default()
    }

    /// What is known of the password in the row of this line.
    #[must_use]
    pub fn password_knowledge(&self, line: &Revised<LineV1>) -> PasswordKnowledge {
        let known = self.entries.get(&line.item.line).and_then(|entry| entry.password);
        match known {
            Some(hash) if hash == self.hash(&line.item.password) => PasswordKnowledge::Right,
            None if !self.is_distrusting && line.revision <= self.trusted_generation => {
                PasswordKnowledge::Assumed
            }
            _ => PasswordKnowledge::Stale,
        }
    }

    /// Remembers that the row of this line has the password that the state wants.
    pub fn note_password(&mut self, line: &LineV1) {
        let hash = self.hash(&line.password);
        self.entry(&line.line).password = Some(hash);
    }

    /// Leaves a change to a person, for this reason. What was verified before is no proof any more that it was seen coming: else the same
    /// line would count as that a minute later, and the guard would let go by itself what it holds.
    pub fn leave(&mut self, line: &str, kind: FailureKind, detail: String) {
        self.entry(line).was_held = true;
        self.retries.remove(line);
        // Nor does it wait for a name any more: whoever wakes those who do would have it judged alone.
        self.blocked.remove(line);
        let failure = LineFailure { line: line.to_owned(), kind, detail };
        self.failures.insert(line.to_owned(), failure);
    }

    /// Whether a line was left to a person: the guard holds it, or its router is another board than before.
    #[must_use]
    pub fn is_left(&self, line: &str) -> bool {
        let kind = self.failures.get(line).map(|failure| failure.kind);
        matches!(kind, Some(FailureKind::Held | FailureKind::AnotherBoard))
    }

    /// Says this of everything that waits for a person.
    pub fn say_of_held(&mut self, detail: &str) {
        let held = self.failures.values_mut().filter(|failure| failure.kind == FailureKind::Held);
        held.for_each(|failure| detail.clone_into(&mut failure.detail));
    }

    /// Sessions that go by these names are to be ended for this line, beside those that were already.
    pub fn owe(&mut self, line: &str, names: &[String]) {
        let owed = self.owed_kicks.entry(line.to_owned()).or_default();
        owed.extend(names.iter().cloned());
        owed.sort();
        owed.dedup();
    }

    /// Those that went by these names have ended.
    pub fn note_ended(&mut self, line: &str, names: &BTreeSet<String>) {
        if let Some(owed) = self.owed_kicks.get_mut(line) {
            owed.retain(|name| !names.contains(name));
            if owed.is_empty() {
                self.owed_kicks.remove(line);
            }
        }
    }

    /// Names whose sessions are to be ended for this line.
    #[must_use]
    pub fn owed(&self, line: &str) -> &[String] {
        self.owed_kicks.get(line).map(Vec::as_slice).unwrap_or_default()
    }

    /// Forgets what only the connection that read it can mean: numbers of rows.
    pub fn forget_connection(&mut self) {
        self.row_hints.clear();
        self.profile_hints.clear();
    }

    /// Writes for these lines are about to be sent. Whether those that open one arrive is known only when it is read back;
    /// until then nobody may take it for off, because whoever was let in can be cut off again.
    pub fn note_openings(&mut self, lines: &BTreeSet<String>, reading: &Reading) {
        let is_online = |decision: &Decision| decision.state.is_some_and(Effective::is_online);
        for line in lines {
            let Some(entry) = self.entries.get_mut(line) else { continue };
            let is_opened = entry.decision.as_ref().is_some_and(is_online);
            let Some(was) = entry.verified.take_if(|verified| is_opened && !is_online(&verified.decision))
            else {
                continue;
            };
            // A leap ahead opens who had used a period up, and time taken back puts that right.
            let is_by_clock = was.taken_back != reading.taken_back || was.leaps != reading.leaps;
            let reason = was.decision.state.and_then(Effective::reason).filter(|_| is_by_clock);
            entry.reopened = reason.map(|reason| (reason, was.decision.line));
        }
    }

    /// How many lines are verified as open.
    #[must_use]
    pub fn open_lines(&self) -> usize {
        let decisions = self.entries.values().filter_map(|entry| entry.verified.as_ref());
        decisions.filter(|verified| verified.decision.state.is_some_and(Effective::is_online)).count()
    }

    /// Everything that is not as it should be, by line id.
    #[must_use]
    pub fn failures(&self) -> Vec<LineFailure> {
        self.failures.values().cloned().collect()
    }

    /// Nothing is remembered of the passwords in the rows.
    pub fn distrust_passwords(&mut self) {
        self.is_distrusting = true;
        self.entries.values_mut().for_each(|entry| entry.password = None);
    }

    /// A line that is no more leaves nothing behind.
    pub fn forget(&mut self, line: &str) {
        self.entries.remove(line);
        self.failures.remove(line);
        self.blocked.remove(line);
        self.retries.remove(line);
        self.owed_kicks.remove(line);
        self.repairs.remove(line);
    }

    /// The lines that the guard holds.
    #[must_use]
    pub fn held_lines(&self) -> Vec<String> {
        let held = self.failures.iter().filter(|(_, failure)| failure.kind == FailureKind::Held);
        held.map(|(line, _)| line.clone()).collect()
    }

    /// When the next retry is due.
    #[must_use]
    pub fn next_retry(&self) -> Option<Duration> {
        self.retries.values().map(|(at, _)| *at).min()
    }

    /// Notes a repair, and says whether the next one may come at once.
    pub fn note_repair(&mut self, line: &str, now: Duration) {
        let (count, since) = self.repairs.get(line).copied().unwrap_or_default();
        let is_new = count == 0 || now.saturating_sub(since) > REPAIR_WINDOW;
        let repairs = if is_new { (1, now) } else { (count.saturating_add(1), since) };
        self.repairs.insert(line.to_owned(), repairs);
    }

    /// Whether a change seen by listening may be repaired at once.
    #[must_use]
    pub fn may_repair_at_once(&self, line: &str, now: Duration) -> bool {
        let (count, since) = self.repairs.get(line).copied().unwrap_or_default();
        count < REPAIRS_AT_ONCE || now.saturating_sub(since) > REPAIR_WINDOW
    }

    fn hash(&self, password: &str) -> u64 {
        self.hasher.hash_one(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(revision: u64, password: &str) -> Revised<LineV1> {
        let item = LineV1 {
            line: "a".into(),
            router: "core".into(),
            service: 1,
            username: "a".into(),
            password: password.into(),
            profile: "home".into(),
            access: 1,
            valid_until_ms: None,
            ..LineV1::default()
        };
        Revised { revision, item }
    }

    #[test]
    fn a_password_is_trusted_by_what_was_written_or_by_its_generation() {
        let mut ledger = Ledger { trusted_generation: 5, ..Ledger::default() };
        assert_eq!(ledger.password_knowledge(&line(5, "p")), PasswordKnowledge::Assumed);
        assert_eq!(ledger.password_knowledge(&line(6, "p")), PasswordKnowledge::Stale);
        ledger.note_password(&line(6, "p").item);
        assert_eq!(ledger.password_knowledge(&line(6, "p")), PasswordKnowledge::Right);
        assert_eq!(ledger.password_knowledge(&line(7, "p")), PasswordKnowledge::Right);
        assert_eq!(ledger.password_knowledge(&line(4, "q")), PasswordKnowledge::Stale);
    }

    #[test]
    fn what_is_held_waits_for_a_person_and_for_no_other_line() {
        let mut ledger = Ledger::default();
        ledger.blocked.insert("a".into(), "holder".into());
        ledger.retries.insert("a".into(), (Duration::ZERO, 1));
        ledger.leave("a", FailureKind::Held, "waits for a person".into());
        assert!(ledger.blocked.is_empty() && ledger.retries.is_empty());
        assert!(ledger.is_left("a") && ledger.held_lines() == ["a"]);
        ledger.leave("a", FailureKind::AnotherBoard, "waits for a rebuild".into());
        assert!(ledger.is_left("a") && ledger.held_lines().is_empty(), "nothing that a person could let go");
    }

    #[test]
    fn what_is_owed_adds_up_until_exactly_that_has_ended() {
        let mut ledger = Ledger::default();
        ledger.owe("a", &["new".into(), "old".into()]);
        ledger.owe("a", &["newer".into(), "new".into()]);
        assert_eq!(ledger.owed("a"), ["new", "newer", "old"]);
        ledger.note_ended("b", &BTreeSet::from(["old".into()]));
        ledger.note_ended("a", &BTreeSet::from(["new".into(), "newer".into()]));
        assert_eq!(ledger.owed("a"), ["old"]);
        ledger.note_ended("a", &BTreeSet::from(["old".into()]));
        assert!(ledger.owed_kicks.is_empty());
    }

    #[test]
    fn no_number_of_a_row_outlives_its_connection() {
        let mut ledger = Ledger::default();
        ledger.row_hints.insert((Table::Secrets, 1), "a".into());
        ledger.forget_connection();
        assert!(ledger.row_hints.is_empty());
    }

    #[test]
    fn a_row_that_somebody_keeps_changing_is_left_to_the_full_check() {
        let mut ledger = Ledger::default();
        let at = Duration::from_secs;
        for second in 0..3 {
            assert!(ledger.may_repair_at_once("a", at(second)));
            ledger.note_repair("a", at(second));
        }
        assert!(!ledger.may_repair_at_once("a", at(3)) && ledger.may_repair_at_once("b", at(3)));
        assert!(ledger.may_repair_at_once("a", REPAIR_WINDOW + at(10)));
    }
}
