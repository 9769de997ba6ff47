//! Takes out of a plan what is not to be written now: the cuts that the guard holds, and all of it on another board.
//!
//! What the guard allows is decided in `guard.rs`; here it is asked, and what it holds is noted in the ledger and told.
//! Nothing is let go here but what a person says: it is a person who lets go, or the state, or the hour.

use std::collections::{BTreeMap, BTreeSet};

use crate::enforce::Reason;
use crate::reconcile::Reconciler;
use crate::reconcile::guard;
use crate::reconcile::pass::{Basis, Touched};
use crate::reconcile::plan::{CutReason, LineChange, Plan};
use tawi_shared::Gather as _;
use tawi_shared::wire::{EventKind, FailureKind};
use tawi_shared::{LET_GO_BY_OFFICE, counted};

/// What a person let go.
#[derive(Debug)]
pub(super) struct LetGo {
    /// How many lines.
    lines: usize,
    /// Who, at the device; `None` for head office.
    by: Option<String>,
}

impl LetGo {
    /// For the event.
    pub(super) fn said(&self) -> String {
        let lines = counted(self.lines, "line");
        match &self.by {
            Some(by) => format!("{lines} let go at the site by {by}"),
            None => format!("{lines} {LET_GO_BY_OFFICE}"),
        }
    }
}

impl Reconciler {
    /// Somebody at the device lets go what is held. Head office hears who, for its audit log.
    pub(super) async fn let_go_here(&mut self) {
        self.released = self.ledger.held_lines().into_iter().into_set();
        if self.released.is_empty() {
            return;
        }
        let (lines, by) = (self.released.len(), self.settings.release.by());
        let detail = format!("{}, by {by}", counted(lines, "line"));
        self.let_go = Some(LetGo { lines, by: Some(by) });
        self.event(EventKind::LetGoAtSite, None, detail).await;
    }

    /// Remembers for the event what is let go, unless somebody at the device did it, who is remembered already.
    pub(super) fn note_let_go(&mut self) {
        if !self.released.is_empty() && self.let_go.is_none() {
            self.let_go = Some(LetGo { lines: self.released.len(), by: None });
        }
    }

    /// Takes the cuts out of the plan that the guard does not allow.
    pub(super) fn hold_back(
        &mut self,
        basis: Basis<'_>,
        planned: &mut Plan,
        touched: &mut BTreeMap<String, Touched>,
    ) {
        if self.is_stranger {
            return self.write_nothing(planned, touched);
        }
        let limits = self.settings.guard;
        let recent = |counted: &BTreeSet<&str>| self.history.recent(basis.moment(), limits.window, counted);
        // Between two full checks the lines that are known to be open count too.
        let open = |recent| self.ledger.open_lines().max(self.usable_lines.saturating_sub(recent));
        let is_used_up = |note: &Touched| {
            !note.is_counted && note.is_cut == Some(CutReason::Restrained(Reason::QuotaReached))
        };
        let used_up = touched.values().filter(|note| is_used_up(note)).count();
        if !guard::allows(used_up, 0, open(recent(&BTreeSet::new())), limits) {
            touched.values_mut().filter(|note| is_used_up(note)).for_each(|note| note.is_counted = true);
        }
        let counted: BTreeSet<&str> =
            touched.iter().filter(|(_, note)| note.is_counted).map(|(line, _)| line.as_str()).into_set();
        let (recent, counted) = (recent(&counted), counted.len());
        let usable = open(recent);
        if counted == 0 || self.is_rebuilding {
            return;
        }
        let is_unknown =
            self.is_past_unknown && basis.mono.saturating_add(self.settings.past_known) < limits.window;
        let allows = |counted| !is_unknown && guard::allows(counted, recent, usable, limits);
        let is_allowed = allows(counted);
        // What was held before is judged with all that is held still, or a pass over one of them, because its row or its
        // session is news, would let it go; and then the next.
        let waiting = counted.saturating_add(self.ledger.held_lines().len());
        if is_allowed && allows(waiting) {
            return;
        }
        let was_held = |line: &str| self.ledger.entries.get(line).is_some_and(|entry| entry.was_held);
        let is_held = |change: &LineChange| {
            let is_counted = touched.get(&change.line).is_some_and(|note| note.is_counted);
            is_counted && (!is_allowed || was_held(&change.line))
        };
        let (held, kept): (Vec<_>, Vec<_>) = planned.lines.drain(..).partition(is_held);
        planned.lines = kept;
        if held.is_empty() {
            return;
        }
        let because =
            if is_unknown { guard::Because::PastUnknown } else { guard::Because::TooMany { recent, limits } };
        let words = guard::words(waiting, usable, because);
        for change in held {
            touched.remove(&change.line);
            self.ledger.leave(&change.line, FailureKind::Held, words.clone());
        }
        // At the end of the pass all of them say how many wait by then.
        self.held_because = Some(because);
    }

    /// Another router answers than the one that is remembered: it is looked at, and nothing is written to it. It may be
    /// somebody else's, or that of another site. That is no plan of the guard: there is nothing to let go.
    fn write_nothing(&mut self, planned: &mut Plan, touched: &mut BTreeMap<String, Touched>) {
        for change in planned.lines.drain(..) {
            touched.remove(&change.line);
            let detail = "nothing is written to it until it is rebuilt".to_owned();
            self.ledger.leave(&change.line, FailureKind::AnotherBoard, detail);
        }
        planned.profiles.clear();
        planned.unused_profiles.clear();
    }
}
