//! What can be said of the whole site, given what each router's reconciler said. Pure.
//!
//! A generation counts as applied when every router that has lines has settled it. Lines of a router that nobody
//! configured fail at once: no reconciler will ever speak of them. A router that does not answer settles with failures
//! (its reconciler says so), so that one dead router never holds back the good news of another.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{AppliedV1, FailureKind, LineFailureV1, RouterStatusV1};

use crate::desired::DesiredState;
use crate::flow::LineFailure;
use crate::outbox::shortened;
use crate::trouble::{BOARD, Trouble};

/// The most that failures may take in one message, in bytes; the envelope holds 64 KiB.
const FAILURES_BYTES: usize = 56 * 1024;
/// Length prefixes and the code of one failure, at most.
const FAILURE_OVERHEAD_BYTES: usize = 8;

/// One router as its reconciler told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterProgress {
    /// Whether it answers; `false` until it did.
    pub is_reachable: bool,
    /// Its RouterOS release; empty until it was read.
    pub release: String,
    /// The newest generation that it settled; 0 for none since the start.
    pub settled: u64,
    /// Lines that are not as they should be there.
    pub failures: Vec<LineFailure>,
    /// Why it cannot be worked with; `None` while it can.
    pub trouble: Option<Trouble>,
    /// When every row of it was last looked at, from the agent's start, and how long that took.
    pub checked: Option<(Duration, Duration)>,
}

/// All routers of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    routers: BTreeMap<String, RouterProgress>,
}

/// What can be said of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The newest generation that every router settled.
    pub generation: u64,
    /// Lines that are not as they should be, by line id; the first failure of each.
    pub failures: BTreeMap<String, (FailureKind, String)>,
}

impl RouterProgress {
    /// How many cuts the guard holds there.
    #[must_use]
    pub fn held_lines(&self) -> usize {
        self.failures.iter().filter(|failure| failure.kind == FailureKind::Held).count()
    }
}

impl Progress {
    /// Nothing is known of these routers yet.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { routers: names.into_iter().map(|name| (name, RouterProgress::default())).into_map() }
    }

    /// A router settled a generation; whether that is news.
    pub fn settled(&mut self, router: &str, generation: u64, failures: Vec<LineFailure>) -> bool {
        let Some(progress) = self.routers.get_mut(router) else { return false };
        let is_news = progress.settled != generation || progress.failures != failures;
        (progress.settled, progress.failures) = (generation, failures);
        is_news
    }

    /// A router answers or does not; an unknown release leaves the known one.
    pub fn status(&mut self, router: &str, is_reachable: bool, release: Option<String>) {
        if let Some(progress) = self.routers.get_mut(router) {
            progress.is_reachable = is_reachable;
            progress.release = release.unwrap_or_else(|| std::mem::take(&mut progress.release));
        }
    }

    /// Why a router cannot be worked with; `None` when it can again.
    pub fn trouble(&mut self, router: &str, trouble: Option<Trouble>) {
        if let Some(progress) = self.routers.get_mut(router) {
            progress.trouble = trouble;
        }
    }

    /// Every row of a router was looked at.
    pub fn checked(&mut self, router: &str, at: Duration, took: Duration) {
        if let Some(progress) = self.routers.get_mut(router) {
            progress.checked = Some((at, took));
        }
    }

    /// The router on which a line is not as it should be.
    #[must_use]
    pub fn router_of_failure(&self, line: &str) -> Option<&str> {
        self.routers()
            .find(|(_, router)| router.failures.iter().any(|failure| failure.line == line))
            .map(|(name, _)| name)
    }

    /// Whether another router answers than the one of this name that is remembered.
    #[must_use]
    pub fn is_stranger(&self, router: &str) -> bool {
        let trouble = self.routers.get(router).and_then(|router| router.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.part == BOARD)
    }

    /// Each router by name.
    pub fn routers(&self) -> impl Iterator<Item = (&str, &RouterProgress)> {
        self.routers.iter().map(|(name, progress)| (name.as_str(), progress))
    }

    /// The routers as hello tells of them.
    #[must_use]
    pub fn statuses(&self) -> Vec<RouterStatusV1> {
        self.routers()
            .map(|(name, progress)| RouterStatusV1 {
                name: name.to_owned(),
                is_reachable: progress.is_reachable,
                release: progress.release.clone(),
                trouble: progress.trouble.as_ref().map_or(0, |trouble| trouble.kind.code()),
            })
            .collect()
    }

    /// Whether a router has settled this generation, or will never be heard of.
    #[must_use]
    pub fn has_settled(&self, router: &str, generation: u64) -> bool {
        self.routers.get(router).is_none_or(|progress| progress.settled >= generation)
    }

    /// What can be said of the site in this state.
    #[must_use]
    pub fn applied(&self, state: &DesiredState) -> Applied {
        let mut applied = Applied { generation: state.generation, failures: BTreeMap::new() };
        for line in state.lines.values().map(|held| &held.item) {
            match self.routers.get(&line.router) {
                Some(progress) => applied.generation = applied.generation.min(progress.settled),
                None => {
                    let detail = format!("no router {:?} is configured at this site", line.router);
                    applied.failures.insert(line.line.clone(), (FailureKind::NoSuchRouter, detail));
                }
            }
        }
        // A router that a line was taken from has yet to remove its row.
        for ((router, _), left_in) in &state.leaving {
            if let Some(progress) = self.routers.get(router) {
                applied.generation = applied.generation.min(progress.settled.max(left_in.saturating_sub(1)));
            }
        }
        for failure in self.routers.values().flat_map(|progress| &progress.failures) {
            // A line that is gone may still fail to leave its router: that is told too.
            let failed = || (failure.kind, failure.detail.clone());
            applied.failures.entry(failure.line.clone()).or_insert_with(failed);
        }
        applied
    }
}

/// The newest generation of which every line stands on a router that settled `generation` with these failures: what
/// a restart may take for written. A line that failed may still have its old password there, and a router that hides
/// passwords would never show it.
#[must_use]
pub fn proven(generation: u64, failures: &[LineFailure], state: &DesiredState) -> u64 {
    let failing = failures.iter().filter_map(|failure| state.lines.get(&failure.line));
    failing.map(|line| line.revision.saturating_sub(1)).fold(generation, u64::min)
}

impl Applied {
    /// As it travels: as many failures as fit, and how many there are.
    #[must_use]
    pub fn to_wire(&self, state: &DesiredState, now: UnixMillis) -> AppliedV1 {
        let mut bytes: usize = 0;
        let mut failures = Vec::new();
        for (line, (kind, detail)) in &self.failures {
            let detail = shortened(detail);
            bytes = bytes
                .saturating_add(line.len())
                .saturating_add(detail.len())
                .saturating_add(FAILURE_OVERHEAD_BYTES);
            if bytes > FAILURES_BYTES {
                break;
            }
            failures.push(LineFailureV1 { line: line.clone(), kind: kind.code(), detail: detail.to_owned() });
        }
        AppliedV1 {
            generation: self.generation,
            state_hash: state.hash.to_bytes(),
            applied_at_ms: now.0,
            failures,
            failures_total: u32::try_from(self.failures.len()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::envelope::ENVELOPE_BYTES;
    use tawi_shared::wire::{Access, LineV1, Service, encode};

    fn state(generation: u64, lines: &[(&str, &str)]) -> DesiredState {
        let mut state = DesiredState { generation, ..DesiredState::default() };
        for (id, router) in lines {
            let line = LineV1 {
                line: (*id).into(),
                router: (*router).into(),
                service: Service::Pppoe.code(),
                username: (*id).into(),
                password: "p".into(),
                profile: "home".into(),
                access: Access::Open.code(),
                valid_until_ms: None,
                ..LineV1::default()
            };
            state.restore_line(line, generation);
        }
        state
    }

    fn failure(line: &str, kind: FailureKind) -> LineFailure {
        LineFailure { line: line.into(), kind, detail: "why".into() }
    }

    type Settled<'a> = (&'a str, u64, Vec<LineFailure>);

    #[track_caller]
    fn check(
        lines: &[(&str, &str)],
        settled: &[Settled<'_>],
        generation: u64,
        failing: &[(&str, FailureKind)],
    ) {
        let mut progress = Progress::new(["core".to_owned(), "tower".to_owned()]);
        for (router, generation, failures) in settled {
            progress.settled(router, *generation, failures.clone());
        }
        let applied = progress.applied(&state(7, lines));
        let found: Vec<_> = applied.failures.iter().map(|(line, (kind, _))| (line.as_str(), *kind)).collect();
        assert_eq!((applied.generation, found.as_slice()), (generation, failing));
    }

    #[test]
    fn the_site_stands_where_its_slowest_router_with_lines_stands() {
        use FailureKind::{NoSuchRouter, Refused, RouterUnreachable};
        let both = [("a", "core"), ("b", "tower")];
        check(&[], &[], 7, &[]);
        check(&both, &[], 0, &[]);
        check(&both, &[("core", 7, vec![])], 0, &[]);
        check(&both, &[("core", 7, vec![]), ("tower", 6, vec![])], 6, &[]);
        check(&both, &[("core", 7, vec![]), ("tower", 7, vec![])], 7, &[]);
        check(&[("a", "core")], &[("core", 7, vec![])], 7, &[]);
        let unreachable = vec![failure("b", RouterUnreachable)];
        check(&both, &[("core", 7, vec![]), ("tower", 7, unreachable)], 7, &[("b", RouterUnreachable)]);
        check(&[("a", "core"), ("c", "attic")], &[("core", 7, vec![])], 7, &[("c", NoSuchRouter)]);
        check(&[("a", "core")], &[("core", 7, vec![failure("gone", Refused)])], 7, &[("gone", Refused)]);
        check(&[("a", "core")], &[("attic", 7, vec![])], 0, &[]);
    }

    #[test]
    fn a_line_that_was_taken_away_counts_until_its_row_is_gone() {
        let mut state = state(7, &[]);
        state.leaving.insert(("core".into(), "a".into()), 7);
        let mut progress = Progress::new(["core".to_owned()]);
        assert_eq!(progress.applied(&state).generation, 6);
        progress.settled("core", 7, vec![]);
        assert_eq!(progress.applied(&state).generation, 7);
    }

    #[test]
    fn a_restart_takes_no_line_for_written_that_failed() {
        let mut state = state(7, &[("old", "core")]);
        for (id, revision) in [("a", 9), ("b", 12)] {
            let item = LineV1 { line: id.into(), ..state.lines["old"].item.clone() };
            state.restore_line(item, revision);
        }
        let check = |failing: &[&str], expected: u64| {
            let failures: Vec<_> = failing.iter().map(|id| failure(id, FailureKind::Refused)).collect();
            assert_eq!(proven(12, &failures, &state), expected, "{failing:?}");
        };
        check(&[], 12);
        check(&["b"], 11);
        check(&["b", "a"], 8);
        check(&["gone"], 12);
    }

    #[test]
    fn failures_are_cut_to_fit_an_envelope_and_counted_in_full() {
        let mut progress = Progress::new(["core".to_owned()]);
        let failures = (0..5_000).map(|number| LineFailure {
            line: format!("{number:040}"),
            kind: FailureKind::Refused,
            detail: "é".repeat(300),
        });
        progress.settled("core", 7, failures.collect());
        let state = state(7, &[]);
        let wire = progress.applied(&state).to_wire(&state, UnixMillis(1));
        assert_eq!(wire.failures_total, 5_000);
        assert!(wire.failures.len() > 100 && wire.failures[0].detail.len() <= 200);
        assert!(encode(&wire, 0, 1, 0).unwrap().len() <= ENVELOPE_BYTES);
    }
}
