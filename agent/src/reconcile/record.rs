//! What a pass leaves behind: entries of the ledger, and what head office is told.
//!
//! Only `pass.rs` calls this, at the end of a look at the rows. Each line that was looked at ends up verified or with its
//! failure, never with both and never with neither. Nothing here reads or writes the router.

use std::sync::Arc;

use tawi_shared::wire::{EventKind, FailureKind, Service};

use crate::desired::DesiredState;
use crate::enforce::Reason;
use crate::flow::LineFailure;
use crate::outbox::shortened;
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, ServiceRows};
use crate::reconcile::ledger::Verified;
use crate::reconcile::pass::{Basis, Touched};
use crate::reconcile::plan::{CutReason, Plan, rate_limit_of};

/// Repaired lines of one pass that get an event each. Events are kept on flash until head office has them.
const DRIFT_TOLD_SINGLY: usize = 10;

impl Reconciler {
    /// One row that shows the password that we want proves that this router shows passwords, for as long as this
    /// connection lasts.
    pub(super) fn note_password_evidence(&mut self, state: &DesiredState, actual: &mut Actual) {
        for (service, rows) in &mut actual.services {
            let proves = rows.users.iter().any(|row| {
                let line = row.mark.as_deref().and_then(|mark| state.lines.get(mark));
                line.zip(row.password.as_ref()).is_some_and(|(line, password)| {
                    !line.item.password.is_empty() && password.expose() == line.item.password.as_bytes()
                })
            });
            if proves {
                self.shows_passwords.insert(*service);
            }
            rows.shows_passwords = self.shows_passwords.contains(service);
        }
    }

    /// Profiles that stand as the state wants them need no second look on this connection until the state changes
    /// them. One that stood and now differs stays listed until it is written: that is how drift is told apart.
    pub(super) fn note_profiles(&mut self, state: &DesiredState, actual: &Actual) {
        for (key, profile) in &state.profiles {
            let service = Service::from_code(key.0);
            let rows = service.and_then(|service| actual.services.get(&service));
            let row =
                rows.and_then(|rows| rows.profiles.iter().find(|row| row.name.as_deref() == Some(&key.1)));
            if row.is_some_and(|row| row.limit == Some(rate_limit_of(&profile.item))) {
                self.good_profiles.insert(key.clone(), Arc::clone(profile));
            }
        }
    }

    pub(super) async fn report_profile_drift(&mut self, state: &DesiredState, planned: &Plan) {
        for change in &planned.profiles {
            let key = (change.service.code(), change.name.clone());
            let good = self.good_profiles.remove(&key);
            let is_drift =
                good.zip(state.profiles.get(&key)).is_some_and(|(good, wanted)| good.item == wanted.item);
            if is_drift {
                let detail = format!("profile {} put right on the router: rate limit", change.name);
                self.event(EventKind::DriftRepaired, None, detail).await;
            }
        }
    }

    pub(super) fn note_failure(&mut self, mut failure: LineFailure) {
        failure.detail.truncate(shortened(&failure.detail).len());
        let entry = self.ledger.entry(&failure.line);
        entry.retry = None;
        entry.verified = None;
        entry.failure = Some(failure);
    }

    /// A write that was refused waits for the next full check: it would be refused again. One that is not there when
    /// read back is tried again soon, and then ever later.
    pub(super) fn note_failed_write(
        &mut self,
        basis: Basis<'_>,
        id: &str,
        kind: FailureKind,
        detail: String,
    ) {
        tracing::warn!(router.name = %self.settings.name, line.id = id, failure = kind.as_str(), "a change did not take");
        let attempts =
            self.ledger.entries.get(id).and_then(|entry| entry.retry).map_or(0, |(_, tried)| tried);
        self.note_failure(LineFailure { line: id.to_owned(), kind, detail });
        if kind == FailureKind::NotApplied {
            let ceiling = self.settings.timings.retry;
            let wait = ceiling.wait(attempts, self.ids.number()).max(ceiling.least / 2);
            let at = basis.mono.saturating_add(wait);
            self.ledger.entry(id).retry = Some((at, attempts.saturating_add(1)));
        }
    }

    /// The rows that were just read are what is wanted.
    pub(super) fn note_verified(&mut self, basis: Basis<'_>, id: &str, actual: &Actual) {
        let Some(decision) = self.decision(basis, id) else {
            self.ledger.entries.remove(id);
            return;
        };
        if decision.state.is_some_and(|state| state.profile(&decision.line.item).is_some()) {
            self.ledger.note_password(&decision.line.item);
        }
        let service = Service::from_code(decision.line.item.service);
        let row_hint = service.and_then(|service| own_row(actual.services.get(&service)?, id));
        let place = service.map(|service| (service, decision.line.item.username.clone()));
        let entry = self.ledger.entry(id);
        let since = entry.verified.as_ref().filter(|verified| verified.decision.is_same(&decision));
        let (at, leaps) =
            since.map_or((basis.mono, basis.reading.leaps), |verified| (verified.at, verified.leaps));
        entry.verified = Some(Verified { decision, at, leaps });
        entry.row_hint = row_hint;
        entry.place = place;
        entry.failure = None;
        entry.retry = None;
        entry.owes_kick.clear();
        entry.has_tried_removal = false;
    }

    /// Tells what was done to a line, now that it is verified.
    pub(super) async fn report_done(&mut self, basis: Basis<'_>, id: &str, note: &Touched) {
        if note.is_counted {
            self.history.note(basis.mono);
        }
        if note.is_cut == Some(CutReason::Restrained(Reason::Expired)) {
            let detail = "its time is over; taken off the router".to_owned();
            self.event(EventKind::LineExpired, Some(id), detail).await;
        } else if note.is_drift {
            self.ledger.entry(id).note_repair(basis.mono);
            self.drift.push((id.to_owned(), note.differs.join(", ")));
        }
    }

    /// Tells of each row that was put right, or of all together when they are many: somebody restored a backup.
    pub(super) async fn report_drift(&mut self) {
        let drift = std::mem::take(&mut self.drift);
        if drift.len() > DRIFT_TOLD_SINGLY {
            let detail = format!("put right on the router: {} lines at once", drift.len());
            self.event(EventKind::DriftRepaired, None, detail).await;
            return;
        }
        for (line, differs) in drift {
            let detail = format!("put right on the router: {differs}");
            self.event(EventKind::DriftRepaired, Some(&line), detail).await;
        }
    }

    /// Ends the hold when nothing is held any more.
    pub(super) async fn report_guard(&mut self) {
        if self.is_holding && self.ledger.held_lines().is_empty() {
            self.is_holding = false;
            let detail = "released, or no longer needed".to_owned();
            self.event(EventKind::PlanReleased, None, detail).await;
        }
    }
}

fn own_row(rows: &ServiceRows, line: &str) -> Option<u64> {
    rows.users.iter().find(|row| row.mark.as_deref() == Some(line)).map(|row| row.id.number())
}
