//! What a pass leaves behind: entries of the ledger, and what head office is told.
//!
//! Only `pass.rs` calls this, at the end of a look at the rows. Each line that was looked at ends up verified or with its
//! failure, never with both and never with neither. Nothing here reads or writes the router.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use routeros_api::value::RouterId;
use tawi_shared::Gather as _;
use tawi_shared::wire::{EventKind, FailureKind, Service};
use tawi_shared::{UnixMillis, counted, held_words};

use crate::clock::{Reading, SKEW};
use crate::desired::{DesiredState, ProfileKey};
use crate::enforce::{Effective, Reason};
use crate::flow::{LineFailure, Report};
use crate::health::spoken;
use crate::outbox::shortened;
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family, Table};
use crate::reconcile::guard::{self, Because};
use crate::reconcile::held::Held;
use crate::reconcile::ledger::{Decision, Verified};
use crate::reconcile::limits::quota_key;
use crate::reconcile::pass::{Basis, Touched};
use crate::reconcile::plan::{CutReason, Plan, profile_for, stands, without_addresses};

/// How far the site may be ahead of head office's clock as it is known here, when nothing is wrong: this machine is followed
/// as far as [`SKEW`], and what head office says was its time when it said so, a slow line ago.
const OFFICE_SLACK: Duration = SKEW.saturating_add(Duration::from_secs(30));

/// Repaired lines of one pass that get an event each. Events are kept on flash until head office has them.
const DRIFT_TOLD_SINGLY: usize = 10;

impl Reconciler {
    /// One row that shows the password that we want proves that this router shows passwords, for as long as this
    /// connection lasts.
    pub(super) fn note_password_evidence(&mut self, state: &DesiredState, actual: &mut Actual) {
        for (family, rows) in &mut actual.logins {
            let proves = rows.users.iter().any(|row| {
                let line = row.mark.as_deref().and_then(|mark| state.lines.get(mark));
                line.zip(row.password.as_ref()).is_some_and(|(line, password)| {
                    !line.item.password.is_empty() && password.expose() == line.item.password.as_bytes()
                })
            });
            if proves {
                self.shows_passwords.insert(*family);
            }
            rows.shows_passwords = self.shows_passwords.contains(family);
        }
    }

    /// Whose the rows are that were just read.
    pub(super) fn note_rows(&mut self, actual: &Actual) {
        let hints = &mut self.ledger.row_hints;
        let mut note = |table: Table, id: &RouterId, mark: &Option<String>| {
            if let Some(mark) = mark {
                hints.insert((table, id.number()), mark.clone());
            }
        };
        for (family, rows) in &actual.logins {
            let Some(menus) = family.logins() else { continue };
            rows.users.iter().for_each(|row| note(menus.table, &row.id, &row.mark));
        }
        let Some(fixed) = &actual.fixed else { return };
        fixed.queues.iter().for_each(|row| note(Table::Queues, &row.id, &row.mark));
        fixed.entries.iter().for_each(|row| note(Table::AddressLists, &row.id, &row.mark));
        fixed.bindings.iter().for_each(|row| note(Table::Bindings, &row.id, &row.mark));
    }

    /// Profiles that stand as the state wants them need no second look on this connection until the state changes
    /// them. One that stood and now differs stays listed until it is written: that is how drift is told apart.
    pub(super) fn note_profiles(&mut self, state: &DesiredState, actual: &Actual) {
        for (family, rows) in actual.logins.iter().filter(|(_, rows)| rows.has_profiles) {
            for row in &rows.profiles {
                let Some(name) = &row.name else { continue };
                if *name == self.settings.profile_template {
                    self.templates.insert(*family, row.clone());
                }
                if row.is_ours {
                    self.ledger.profile_hints.insert((*family, row.id.number()), name.clone());
                }
            }
        }
        if let Some(rows) = actual.logins.get(&Family::Ppp).filter(|rows| rows.has_profiles) {
            let wanted = state.profiles.values().map(|profile| &profile.item);
            self.without_addresses = without_addresses(wanted, rows, &self.settings.profile_template);
        }
        for (key, profile) in &state.profiles {
            let Some(family) = Family::of_code(key.0) else { continue };
            let template = &self.settings.profile_template;
            let rows = actual.logins.get(&family).filter(|rows| rows.has_profiles);
            if rows.is_some_and(|rows| stands(family, &profile.item, rows, template)) {
                self.good_profiles.insert(key.clone(), Arc::clone(profile));
            }
        }
    }

    pub(super) async fn report_profile_drift(&mut self, state: &DesiredState, planned: &Plan) {
        for change in &planned.profiles {
            let mut is_drift = false;
            for key in profile_keys(change.family, &change.name) {
                let good = self.good_profiles.remove(&key);
                is_drift |=
                    good.zip(state.profiles.get(&key)).is_some_and(|(good, wanted)| good.item == wanted.item);
            }
            if is_drift && !self.is_rebuilding {
                let differs: Vec<&str> = change.values.iter().map(|(name, _)| *name).collect();
                let detail =
                    format!("profile {} put right on the router: {}", change.name, differs.join(", "));
                self.event(EventKind::DriftRepaired, None, detail).await;
            }
        }
    }

    pub(super) fn note_failure(&mut self, mut failure: LineFailure) {
        failure.detail.truncate(shortened(&failure.detail).len());
        self.ledger.entry(&failure.line).verified = None;
        self.ledger.retries.remove(&failure.line);
        self.ledger.blocked.remove(&failure.line);
        self.ledger.failures.insert(failure.line.clone(), failure);
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
        let attempts = self.ledger.retries.get(id).map_or(0, |(_, tried)| *tried);
        self.note_failure(LineFailure { line: id.to_owned(), kind, detail });
        if kind == FailureKind::NotApplied {
            let ceiling = self.settings.timings.retry;
            let wait = ceiling.wait(attempts, self.ids.number()).max(ceiling.least / 2);
            let at = basis.mono.saturating_add(wait);
            self.ledger.retries.insert(id.to_owned(), (at, attempts.saturating_add(1)));
        }
    }

    /// The rows that were just read are what is wanted.
    pub(super) async fn note_verified(&mut self, basis: Basis<'_>, id: &str) {
        let Some(decision) = self.decision(basis, id) else {
            self.ledger.forget(id);
            self.forget_own_passwords(&[id.to_owned()]).await;
            return;
        };
        let service = Service::from_code(decision.line.item.service);
        // A row that is closed is only disabled: what else it says may be of long ago.
        if service
            .zip(decision.state)
            .is_some_and(|(service, state)| profile_for(service, state, &decision.line.item).is_some())
        {
            self.ledger.note_password(&decision.line.item);
        }
        let family = service.map(Family::of);
        let place = family.map(|family| (family, decision.line.item.username.clone()));
        let is_by_rule =
            |state: Option<Effective>| state.and_then(Effective::reason) == Some(Reason::OfflineRule);
        let quota = quota_key(&decision.line.item, basis.reading.now);
        let addressless = || {
            let lacking = addressless_profile(&decision, &self.without_addresses)?;
            Some(words_of_addressless(lacking, &self.settings.profile_template))
        };
        let useless = over_here_only(&decision, &basis.reading).or_else(addressless);
        let useless = useless.or_else(|| self.misplaced.get(id).cloned());
        let useless =
            useless.map(|detail| LineFailure { line: id.to_owned(), kind: FailureKind::NotApplied, detail });
        if decision.state.is_some_and(Effective::is_online) {
            self.note_open(&decision.line.item).await;
        }
        let are_limits_judged = self.are_limits_judged(basis, id);
        self.do_limits_wait |= !are_limits_judged && quota.is_some();
        let entry = self.ledger.entry(id);
        // Limits that were left alone are not known to stand for anything.
        if are_limits_judged {
            entry.limits_verified = Some(quota);
        }
        let was_by_rule = entry.verified.as_ref().is_some_and(|verified| is_by_rule(verified.decision.state));
        self.offline_rule_applied += usize::from(is_by_rule(decision.state) && !was_by_rule);
        let was_held = std::mem::take(&mut entry.was_held);
        let before = entry.verified.take().filter(|_| !was_held);
        entry.verified = Some(Verified::next(before.as_ref(), decision, basis.mono, &basis.reading));
        entry.place = place;
        entry.has_tried_removal = false;
        self.ledger.failures.remove(id);
        // Its row is right, by the site's time or as far as the row goes, and the customer gets nothing of it: that must not
        // look as if it worked.
        self.ledger.failures.extend(useless.map(|failure| (id.to_owned(), failure)));
        self.ledger.blocked.remove(id);
        self.ledger.retries.remove(id);
        self.ledger.owed_kicks.remove(id);
    }

    /// Tells what was done to a line, now that it is verified.
    pub(super) async fn report_done(&mut self, basis: Basis<'_>, id: &str, note: &Touched) {
        if note.is_counted {
            self.history.note_done(id, basis.mono);
        }
        if note.is_cut == Some(CutReason::Restrained(Reason::Expired)) {
            let verified = self.ledger.entry(id).verified.as_ref();
            let became = match verified.and_then(|verified| verified.decision.state) {
                Some(Effective::Walled(_)) => "it reaches the pay page only",
                _ => "switched off",
            };
            let detail = format!("its time is over; {became}, as its plan says");
            self.event(EventKind::LineExpired, Some(id), detail).await;
        } else if note.is_slowed {
            let detail = "its time is over; slowed down, as its plan says".to_owned();
            self.event(EventKind::LineExpired, Some(id), detail).await;
        } else if note.is_drift {
            self.ledger.note_repair(id, basis.mono);
            self.drift.push((id.to_owned(), note.differs.join(", ")));
        }
    }

    /// Tells of each row that was put right, or of all together when they are many: somebody restored a backup.
    pub(super) async fn report_drift(&mut self) {
        let restrained = std::mem::take(&mut self.offline_rule_applied);
        if restrained > 0 {
            let silence = self.settings.contact.silence();
            let hours = silence.as_secs() / 3_600;
            let detail = format!(
                "{}, as their plans say; head office was not heard for {hours} h",
                counted(restrained, "line")
            );
            self.event(EventKind::OfflineRuleApplied, None, detail).await;
        }
        let drift = std::mem::take(&mut self.drift);
        if drift.len() > DRIFT_TOLD_SINGLY {
            let detail = format!("put right on the router: {} at once", counted(drift.len(), "line"));
            self.event(EventKind::DriftRepaired, None, detail).await;
            return;
        }
        for (line, differs) in drift {
            let detail = format!("put right on the router: {differs}");
            self.event(EventKind::DriftRepaired, Some(&line), detail).await;
        }
    }

    /// Tells what is held, and ends the hold when nothing is any more. The event counts what the page lists; of more that
    /// are held later it tells with the next full check, so that a state that comes in parts is no shower of events. How
    /// many lines work is counted for the event, and is the same wherever the hold is told of until the next one, unless
    /// more are held by then than worked: those that were let in meanwhile are counted too.
    pub(super) async fn report_guard(&mut self, basis: Basis<'_>, is_full_check: bool) {
        let lines: BTreeSet<String> = self.ledger.held_lines().into_iter().into_set();
        let count = lines.len();
        // What was let go is over when nothing of it waits for its turn.
        let let_go = if self.released.is_empty() || count == 0 { self.let_go.take() } else { None };
        match self.held_because {
            Some(_) if count == 0 => {
                let before = counted(self.held_in_event, "line");
                let unasked = || {
                    format!(
                        "none of {before} is held any more: each keeps access, or lost it within the limits"
                    )
                };
                let detail = let_go.map_or_else(unasked, |let_go| let_go.said());
                (self.held_because, self.held_in_event, self.working_in_event) = (None, 0, 0);
                self.event(EventKind::PlanReleased, None, detail).await;
            }
            Some(because) => {
                let because = self.because_now(basis, because, count);
                if let Some(let_go) = let_go {
                    self.held_in_event = self.held_in_event.min(count);
                    let detail = format!("{}; {count} still held", let_go.said());
                    self.event(EventKind::PlanReleased, None, detail).await;
                }
                let is_news = count > self.held_in_event && (self.held_in_event == 0 || is_full_check);
                if is_news {
                    self.held_in_event = count;
                    self.working_in_event = self.working_lines(because).max(count);
                    tracing::warn!(router.name = %self.settings.name, lines = count, "the guard holds a plan");
                    let detail = held_words(count, self.working_in_event);
                    self.event(EventKind::PlanHeld, None, detail).await;
                }
                if count > self.working_in_event {
                    self.working_in_event = self.working_lines(because).max(count);
                }
                self.ledger.say_of_held(&guard::words(count, self.working_in_event, because));
            }
            None => {}
        }
        let held = Held { lines, working: self.working_in_event };
        let told = (held.digest(), held.working);
        if self.told_held.as_ref() != Some(&told) {
            self.told_held = Some(told);
            self.report(Report::Held { router: self.settings.name.clone(), held }).await;
        }
    }

    /// Why what is held by now is held, if it is fewer than it was.
    fn because_now(&self, basis: Basis<'_>, because: Because, count: usize) -> Because {
        let Because::TooMany { limits, .. } = because else { return because };
        let held = self.ledger.held_lines();
        let held: BTreeSet<&str> = held.iter().map(String::as_str).into_set();
        let recent = self.history.recent(basis.moment(), limits.window, &held);
        let working = self.ledger.open_lines().max(self.usable_lines.saturating_sub(recent));
        if guard::allows(count, recent, working, limits) {
            return Because::FewByNow { limits };
        }
        Because::TooMany { recent, limits }
    }

    /// As the guard counts them: between two full checks the lines that are known to be open, without those of the hour.
    fn working_lines(&self, because: Because) -> usize {
        let recent = match because {
            Because::TooMany { recent, .. } => recent,
            Because::PastUnknown | Because::FewByNow { .. } => 0,
        };
        self.ledger.open_lines().max(self.usable_lines.saturating_sub(recent))
    }
}

/// Why a line is over by the site's time while head office's own clock has not come to its end.
fn over_here_only(decision: &Decision, reading: &Reading) -> Option<String> {
    let until = decision.line.item.valid_until_ms.map(UnixMillis)?;
    let is_ahead = |office: &UnixMillis| reading.now.since(*office) > OFFICE_SLACK;
    let office = reading.office.filter(|office| *office < until).filter(is_ahead)?;
    let is_over = decision.state.and_then(Effective::reason) == Some(Reason::Expired);
    let ahead = spoken(office, reading.now);
    is_over.then(|| {
        format!("the site's clock is {ahead} ahead of head office's; cure: set the one that is wrong")
    })
}

/// The profile of an open line that gives it no address, where the line has none of its own.
fn addressless_profile<'a>(decision: &'a Decision, without: &BTreeSet<String>) -> Option<&'a str> {
    let line = &decision.line.item;
    let service = Service::from_code(line.service).filter(|service| Family::of(*service) == Family::Ppp)?;
    let profile = profile_for(service, decision.state?, line)?;
    (line.address.is_empty() && without.contains(profile)).then_some(profile)
}

fn words_of_addressless(profile: &str, template: &str) -> String {
    format!(
        "nobody can dial in: profile {profile} on the router gives no address; cure: give {template}, from which it is made, \
         both addresses (/ppp profile set {template} local-address=10.64.0.1 remote-address=pppoe, with such a pool), or the \
         connection type a pool at head office"
    )
}

/// The keys under which the state may know a profile of the router.
pub(super) fn profile_keys(family: Family, name: &str) -> impl Iterator<Item = ProfileKey> {
    let services = Service::ALL.iter().filter(move |service| Family::of(**service) == family);
    services.map(move |service| (service.code(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ClockState, KeptTime};
    use crate::desired::Revised;
    use tawi_shared::wire::LineV1;

    #[test]
    fn a_line_that_is_over_fails_only_where_the_sites_clock_is_really_ahead_of_head_offices() {
        const UNTIL: i64 = 1_800_000_000_000;
        // Milliseconds after the end here, and how far head office's clock is behind.
        let check = |late: i64, behind: i64, state: Effective, expected: bool| {
            let now = UnixMillis(UNTIL + late);
            let kept = KeptTime { floor: now, vouched: None, leap_in_doubt: None };
            let mut reading = ClockState::new(now, kept, Duration::ZERO).observe(now, Duration::ZERO);
            reading.office = Some(UnixMillis(now.0 - behind));
            let item = LineV1 { valid_until_ms: Some(UNTIL), ..LineV1::default() };
            let line = Arc::new(Revised { revision: 1, item });
            let decision = Decision { line, state: Some(state), profile: None };
            let is_told = over_here_only(&decision, &reading).is_some();
            assert_eq!(is_told, expected, "{late} ms after, {behind} ms behind");
        };
        let expired = Effective::Off(Reason::Expired);
        check(5, 20, expired, false);
        check(200, 3_000, expired, false);
        check(5, 60_000, expired, false);
        check(5, 2 * 60_000, expired, true);
        check(3 * 60_000, 2 * 60_000, expired, false);
        check(5, 2 * 60_000, Effective::Off(Reason::QuotaReached), false);
    }
}
