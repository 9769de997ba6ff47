//! Which limits the router may be trusted with, and what remains of a line's quota to write there.
//!
//! The one place where the quota book meets the pure decision of `plan/native.rs`. A limit that is not there when read
//! back, or that the router refuses, is never fought over and never the failure of a line: from then on the agent alone
//! enforces quotas that need such a limit on this router, and says so once: for good on that release where the limit was
//! a large one, and until the next connection where it was not. Whether a real RouterOS of version 6 keeps a
//! limit above 4 GiB is unproven; that the agent notices if not is what this is for.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, LineV1};
use tokio::time::Instant;

use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family, Table};
use crate::reconcile::apply::Applied;
use crate::reconcile::pass::{Basis, Touched};
use crate::reconcile::plan::native::{Allowance, StandingFor, UPKEEP, closing_quota};
use crate::reconcile::plan::{LineChange, Plan, RowChange};

/// What a counter of 32 bits holds.
pub(super) const SMALL: u64 = 0xFFFF_FFFF;

/// Samples after which what a row has counted is in the book: one of two may have begun before the look.
const SAMPLES_AT_REST: u64 = 2;

/// A look at a hotspot line since which nobody has logged in or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When, by the monotonic clock.
    pub at: Duration,
    /// How many were logged in.
    pub busy: usize,
    /// What its row had counted.
    pub counted: u64,
    /// How many samples had been taken.
    pub samples: u64,
}

impl Rest {
    /// Whether a further look shows the same: nobody, and nothing counted; or the same sessions, all of which are older
    /// than the first look, and a count that did not fall.
    fn goes_on(&self, now: Duration, busy: usize, youngest: Duration, counted: u64) -> bool {
        let is_quiet = match self.busy {
            0 => counted == self.counted,
            _ => counted >= self.counted && youngest >= now.saturating_sub(self.at),
        };
        self.busy == busy && is_quiet
    }
}

/// A quota by which a router can cut: when its period began, and its bytes.
pub(super) type QuotaKey = (i64, u64);

impl Reconciler {
    /// What this line may still move, for the router to know.
    pub(super) fn allowance(&self, basis: Basis<'_>, line: &LineV1) -> Option<Allowance> {
        let quota = closing_quota(line, basis.reading.now)?;
        let (_, state) = self.effective(basis, line).ok()?;
        let used = self.circumstances(basis, line).used?;
        let entry = self.ledger.entries.get(&line.line);
        let verified = entry.and_then(|entry| entry.limits_verified);
        let allowance = Allowance::of(quota, used, state)?;
        let are_sampled =
            |rests: &Rest| self.settings.recheck.samples() >= rests.samples.saturating_add(SAMPLES_AT_REST);
        let rests = entry.and_then(|entry| entry.rests).filter(are_sampled);
        Some(Allowance {
            standing_for: match verified {
                None => StandingFor::Unknown,
                Some(known) if known == quota_key(line, basis.reading.now) => StandingFor::This,
                Some(_) => StandingFor::Other,
            },
            rested_at: rests.filter(|rests| rests.busy == 0).map(|rests| rests.counted),
            is_steady: rests.is_some_and(|rests| rests.busy > 0),
            has_ended: entry.is_some_and(|entry| entry.has_ended),
            ceiling: self.limit_ceiling,
            is_counted: self.are_limits_judged(basis, &line.line),
            ..allowance
        })
    }

    /// Whether the limits on the row of this line are judged already: a sample of this run is in the book, or the row was
    /// made in this run.
    pub(super) fn are_limits_judged(&self, basis: Basis<'_>, line: &str) -> bool {
        basis.is_counted || self.ledger.entries.get(line).is_some_and(|entry| entry.has_new_limit)
    }

    /// Has limits looked at that were left alone while nothing was counted in this run, as soon as something is.
    pub(super) fn check_waiting_limits(&mut self, next_full_check: &mut Instant) {
        if self.do_limits_wait && self.settings.recheck.samples() > 0 {
            self.do_limits_wait = false;
            *next_full_check = Instant::now();
        }
    }

    /// Whether the rows of a hotspot line's sessions are needed: they hold bytes that its own row may not have yet.
    pub(super) fn needs_sessions(&self, basis: Basis<'_>, line: &LineV1) -> bool {
        Family::of_code(line.service) == Some(Family::Hotspot) && quota_key(line, basis.reading.now).is_some()
    }

    /// Notes since when nobody has logged in to hotspot lines or out, and what their rows had counted.
    pub(super) fn note_rests(&mut self, actual: &Actual) {
        let (samples, now) = (self.settings.recheck.samples(), self.origin.elapsed());
        let Some(rows) = actual.logins.get(&Family::Hotspot) else { return };
        let mut sessions: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
        for row in &rows.sessions {
            let Some(user) = row.user.as_deref() else { continue };
            let (count, youngest) = sessions.entry(user).or_insert((0, row.uptime));
            (*count, *youngest) = (count.saturating_add(1), row.uptime.min(*youngest));
        }
        for row in &rows.users {
            let (Some(mark), Some(name), Some(counted)) = (&row.mark, &row.name, row.counted) else {
                continue;
            };
            let Some(entry) = self.ledger.entries.get_mut(mark) else { continue };
            let (busy, youngest) = sessions.get(name.as_str()).copied().unwrap_or_default();
            if !entry.rests.is_some_and(|rests| rests.goes_on(now, busy, youngest, counted)) {
                entry.rests = Some(Rest { at: now, busy, counted, samples });
            }
        }
    }

    /// Lines of which sessions ended: their limits may be too large by now. No more of them at once than are read by
    /// name; when a town comes back after a power cut, the next full check looks at them.
    pub(super) fn ended_lines(&mut self, most: usize) -> Vec<String> {
        let ended = self.settings.recheck.take_ended();
        for line in &ended {
            if let Some(entry) = self.ledger.entries.get_mut(line) {
                entry.has_ended = true;
            }
        }
        if ended.len() > most { Vec::new() } else { ended.into_iter().collect() }
    }

    /// Forgets what was found on another release.
    pub(super) fn judge_limits_of_release(&mut self) {
        let is_known = !self.release.is_empty() && self.memory.no_large_limits_on == self.release;
        self.limit_ceiling = if is_known { SMALL } else { u64::MAX };
    }

    /// Looks for limits that were written and are not there, with what the router refused. Gives whether other limits
    /// are wanted from now on, so that the rows must be planned for anew.
    pub(super) async fn note_unkept_limits(
        &mut self,
        left: &Plan,
        written: &BTreeMap<String, u64>,
        applied: &mut Applied,
        touched: &BTreeMap<String, Touched>,
    ) -> bool {
        let mut unkept: Option<u64> = None;
        for change in &left.lines {
            let Some(limit) = written.get(&change.line).copied() else { continue };
            let is_refused = applied.refused.contains_key(&change.line);
            let was_alone = touched
                .get(&change.line)
                .is_some_and(|note| note.differs.iter().all(|differs| *differs == UPKEEP));
            let is_it = match is_refused {
                // What else was refused with it may well be the reason, unless the limit is one to doubt.
                true => limit > SMALL || was_alone,
                // A write that was lost as a whole says nothing about limits.
                false => change.differs.iter().all(|differs| *differs == UPKEEP),
            };
            if is_it {
                unkept = Some(unkept.map_or(limit, |known| known.min(limit)));
                applied.refused.remove(&change.line);
                // So that it is written once more, without the limit.
                applied.overtaken.insert(change.line.clone());
            }
        }
        let Some(limit) = unkept else { return false };
        self.limit_ceiling = if limit > SMALL { SMALL } else { 0 };
        if limit > SMALL {
            self.memory.no_large_limits_on.clone_from(&self.release);
            self.report_memory().await;
        }
        let detail = format!(
            "the router does not keep a limit of {limit} bytes: quotas that need one are enforced by the agent alone"
        );
        tracing::warn!(router.name = %self.settings.name, limit.bytes = limit, "the router does not keep limits of bytes");
        self.event(EventKind::RouterFound, None, detail).await;
        true
    }
}

/// The quota by which the router of this line can cut now.
pub(super) fn quota_key(line: &LineV1, now: UnixMillis) -> Option<QuotaKey> {
    closing_quota(line, now).map(|quota| (quota.from_ms, quota.bytes))
}

/// The largest limit that is about to be written, by line.
pub(super) fn limits_in(changes: &[LineChange]) -> BTreeMap<String, u64> {
    let largest = |change: &LineChange| {
        let values = match &change.row {
            RowChange::Add(values) | RowChange::Set(_, values) => &values.plain,
            _ => return None,
        };
        let is_limit = |name: &str| name.starts_with("limit-bytes-");
        let limits =
            values.iter().filter(|(name, _)| is_limit(name)).filter_map(|(_, value)| value.parse().ok());
        limits.max().filter(|limit| *limit > 0 && change.table != Table::Queues)
    };
    changes.iter().filter_map(|change| Some((change.line.clone(), largest(change)?))).into_map()
}
