//! Which lines must be decided about, without a look at all of them.
//!
//! Pure. A site has thousands of lines and wakes for each of its payments and samples, so that a wake may cost what has
//! changed and not what there is. Lines come in when the state moves them or a profile of theirs, when an instant
//! comes at which time alone may change them, when the silence of head office crosses what their rule bears, or when
//! somebody says so. Whether they then differ from what was acted upon is decided by the caller, who says which of them
//! stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::LineV1;

use crate::clock::LeapInDoubt;
use crate::desired::{DesiredState, ProfileKey, Revised};
use crate::enforce::{instants, patience};

/// The lines of one router.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Whose lines they are.
    router: String,
    /// The state that the rest is about.
    state: Arc<DesiredState>,
    /// Lines to decide about.
    lines: BTreeSet<String>,
    /// When time alone may change a line.
    instants: BTreeSet<(UnixMillis, String)>,
    /// Those that have come, and count once more when the leap that brought them is no longer in doubt.
    doubted: BTreeSet<(UnixMillis, String)>,
    /// Lines with a rule for the silence of head office, by how long they bear it.
    rules: BTreeMap<Duration, BTreeSet<String>>,
    /// The time when it was last looked at.
    now: UnixMillis,
    /// The silence when it was last looked at.
    silence: Duration,
}

impl Agenda {
    /// Takes in what a new state changes for the lines of this router.
    pub(crate) fn take_state(&mut self, router: &str, state: &Arc<DesiredState>) {
        if Arc::ptr_eq(&self.state, state) {
            return;
        }
        router.clone_into(&mut self.router);
        let old = std::mem::replace(&mut self.state, Arc::clone(state));
        let is_here = |line: &&Arc<Revised<LineV1>>| line.item.router == router;
        for (id, line) in &old.lines {
            let new = state.lines.get(id);
            let is_same = new.is_some_and(|new| Arc::ptr_eq(new, line) || new.item == line.item);
            if !is_same && is_here(&line) {
                self.forget(&line.item);
                self.lines.insert(id.clone());
            }
        }
        for (id, line) in state.lines.iter().filter(|(_, line)| is_here(line)) {
            let known = old.lines.get(id);
            let is_same = known.is_some_and(|known| Arc::ptr_eq(known, line) || known.item == line.item);
            if !is_same {
                self.expect(&line.item);
                self.lines.insert(id.clone());
            }
        }
        let changed = changed_profiles(&old, state);
        if !changed.is_empty() {
            let uses = |line: &&Arc<Revised<LineV1>>| uses_any(&line.item, &changed);
            let users = state.lines.values().filter(is_here).filter(uses);
            self.lines.extend(users.map(|line| line.item.line.clone()));
        }
    }

    /// Takes in what time and silence have brought. Where time was taken back, what had come by the wrong one is to be
    /// decided again, and comes once more.
    pub(crate) fn take_time(&mut self, now: UnixMillis, leap: Option<LeapInDoubt>, silence: Duration) {
        if now < self.now {
            let state = Arc::clone(&self.state);
            let router = self.router.clone();
            for (id, line) in state.lines.iter().filter(|(_, line)| line.item.router == router) {
                self.expect(&line.item);
                self.lines.insert(id.clone());
            }
        }
        self.now = now;
        let holds = |at: UnixMillis| leap.is_some_and(|leap| leap.holds(at));
        while let Some((at, line)) = pop_first_if(&mut self.instants, |at| at <= now) {
            if holds(at) {
                self.doubted.insert((at, line.clone()));
            }
            self.lines.insert(line);
        }
        while let Some((_, line)) = pop_first_if(&mut self.doubted, |at| !holds(at)) {
            self.lines.insert(line);
        }
        let (least, most) = (self.silence.min(silence), self.silence.max(silence));
        // A rule applies from its own length on: crossed are those above the lesser and up to the greater.
        let crossed = self.rules.range((std::ops::Bound::Excluded(least), std::ops::Bound::Included(most)));
        self.lines.extend(crossed.flat_map(|(_, lines)| lines.iter().cloned()));
        self.silence = silence;
    }

    /// Somebody says that this line must be decided about.
    pub(crate) fn add(&mut self, line: String) {
        self.lines.insert(line);
    }

    /// Takes the lines out that are to be decided about; those that stay are put back by [`Self::add`].
    pub(crate) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.lines)
    }

    /// How long until time or silence brings something.
    pub(crate) fn next(
        &self,
        now: UnixMillis,
        leap: Option<LeapInDoubt>,
        silence: Duration,
    ) -> Option<Duration> {
        let instant = self.instants.first().map(|(at, _)| at.since(now));
        let doubted = self.doubted.first().zip(leap).map(|((at, _), leap)| at.since(leap.counted));
        let rule = self.rules.keys().find(|patience| **patience > silence);
        let rule = rule.map(|patience| patience.saturating_sub(silence));
        [instant, doubted, rule].into_iter().flatten().min()
    }

    fn expect(&mut self, line: &LineV1) {
        self.instants.extend(instants(line).map(|at| (at, line.line.clone())));
        if let Some(rule) = &line.offline {
            self.rules.entry(patience(rule)).or_default().insert(line.line.clone());
        }
    }

    fn forget(&mut self, line: &LineV1) {
        for at in instants(line) {
            let instant = (at, line.line.clone());
            self.instants.remove(&instant);
            self.doubted.remove(&instant);
        }
        if let Some(rule) = &line.offline {
            let patience = patience(rule);
            if let Some(lines) = self.rules.get_mut(&patience) {
                lines.remove(&line.line);
                if lines.is_empty() {
                    self.rules.remove(&patience);
                }
            }
        }
    }
}

fn pop_first_if(
    instants: &mut BTreeSet<(UnixMillis, String)>,
    is_wanted: impl Fn(UnixMillis) -> bool,
) -> Option<(UnixMillis, String)> {
    instants.first().is_some_and(|(at, _)| is_wanted(*at)).then(|| instants.pop_first()).flatten()
}

fn changed_profiles(old: &DesiredState, new: &DesiredState) -> BTreeSet<ProfileKey> {
    let is_same = |key: &ProfileKey| match (old.profiles.get(key), new.profiles.get(key)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old.item == new.item,
        _ => false,
    };
    old.profiles.keys().chain(new.profiles.keys()).filter(|key| !is_same(key)).cloned().into_set()
}

fn uses_any(line: &LineV1, changed: &BTreeSet<ProfileKey>) -> bool {
    let offline = line.offline.as_ref().map(|rule| &rule.then.profile);
    let names = [&line.profile, &line.suspension.profile, &line.after_quota.profile];
    let is_changed = |name: &String| changed.contains(&(line.service, name.clone()));
    names.into_iter().chain(offline).any(is_changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::{OfflineRuleV1, ProfileV1};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn state(lines: &[LineV1], download: u64) -> Arc<DesiredState> {
        let mut state = DesiredState::default();
        for line in lines {
            state.restore_line(line.clone(), 1);
        }
        let profile = ProfileV1 {
            name: "home".into(),
            service: 1,
            download_bits_per_second: download,
            ..ProfileV1::default()
        };
        state.restore_profile(profile, 1);
        Arc::new(state)
    }

    fn line(id: &str, until: Option<i64>) -> LineV1 {
        LineV1 {
            line: id.into(),
            router: "core".into(),
            service: 1,
            profile: "home".into(),
            valid_until_ms: until,
            ..LineV1::default()
        }
    }

    fn taken(agenda: &mut Agenda) -> Vec<String> {
        agenda.take().into_iter().collect()
    }

    #[test]
    fn a_state_brings_only_the_lines_that_it_changes() {
        let mut agenda = Agenda::default();
        let elsewhere = LineV1 { router: "tower".into(), ..line("far", None) };
        agenda.take_state("core", &state(&[line("a", None), line("b", None), elsewhere.clone()], 1));
        assert_eq!(taken(&mut agenda), ["a", "b"]);
        agenda.take_state("core", &state(&[line("a", None), line("b", Some(9)), elsewhere.clone()], 1));
        assert_eq!(taken(&mut agenda), ["b"]);
        agenda.take_state("core", &state(&[line("a", None), elsewhere.clone()], 1));
        assert_eq!(taken(&mut agenda), ["b"], "one that is no more");
        let other_service = LineV1 { service: 2, ..line("c", None) };
        agenda.take_state("core", &state(&[line("a", None), other_service.clone(), elsewhere.clone()], 1));
        assert_eq!(taken(&mut agenda), ["c"]);
        agenda.take_state("core", &state(&[line("a", None), other_service, elsewhere], 2));
        assert_eq!(taken(&mut agenda), ["a"], "whoever uses a profile that changed");
    }

    #[test]
    fn time_brings_a_line_once_and_not_when_it_was_renewed_before() {
        let mut agenda = Agenda::default();
        agenda.take_state("core", &state(&[line("a", Some(10)), line("b", Some(20))], 1));
        taken(&mut agenda);
        assert_eq!(agenda.next(UnixMillis(4), None, Duration::ZERO), Some(Duration::from_millis(6)));
        agenda.take_time(UnixMillis(10), None, Duration::ZERO);
        assert_eq!(taken(&mut agenda), ["a"]);
        agenda.take_state("core", &state(&[line("a", Some(10)), line("b", Some(30))], 1));
        taken(&mut agenda);
        agenda.take_time(UnixMillis(29), None, Duration::ZERO);
        assert!(taken(&mut agenda).is_empty());
        agenda.take_time(UnixMillis(30), None, Duration::ZERO);
        assert_eq!(taken(&mut agenda), ["b"]);
        assert_eq!(agenda.next(UnixMillis(30), None, Duration::ZERO), None);
    }

    #[test]
    fn what_came_by_a_time_that_is_taken_back_is_decided_again_and_comes_again() {
        let mut agenda = Agenda::default();
        let elsewhere = LineV1 { router: "tower".into(), ..line("far", Some(10)) };
        agenda.take_state("core", &state(&[line("a", Some(10)), line("b", None), elsewhere], 1));
        taken(&mut agenda);
        agenda.take_time(UnixMillis(50), None, Duration::ZERO);
        assert_eq!(
            (taken(&mut agenda), agenda.next(UnixMillis(50), None, Duration::ZERO)),
            (vec!["a".into()], None)
        );
        agenda.take_time(UnixMillis(4), None, Duration::ZERO);
        assert_eq!(taken(&mut agenda), ["a", "b"]);
        assert_eq!(agenda.next(UnixMillis(4), None, Duration::ZERO), Some(Duration::from_millis(6)));
        agenda.take_time(UnixMillis(10), None, Duration::ZERO);
        assert_eq!(taken(&mut agenda), ["a"]);
    }

    /// Counted is where the leap came from, and grows; lines that ended within it come when they were decided by it, and
    /// once more when their own time is over, or at once when the doubt is.
    #[test]
    fn what_a_leap_in_doubt_brings_comes_again_when_it_has_come_without_the_leap() {
        let leap = |counted| Some(LeapInDoubt { counted: UnixMillis(counted), until: UnixMillis(50) });
        let mut agenda = Agenda::default();
        agenda
            .take_state("core", &state(&[line("a", Some(10)), line("b", Some(20)), line("c", Some(60))], 1));
        taken(&mut agenda);
        let mut check = |now: i64, counted: Option<i64>, expected: &[&str], next: Option<u64>| {
            let leap = counted.and_then(leap);
            agenda.take_time(UnixMillis(now), leap, Duration::ZERO);
            let next_is = agenda.next(UnixMillis(now), leap, Duration::ZERO);
            assert_eq!(
                (taken(&mut agenda), next_is),
                (expected.iter().map(ToString::to_string).collect(), next.map(Duration::from_millis)),
                "at {now}"
            );
        };
        check(50, Some(1), &["a", "b"], Some(9));
        check(58, Some(9), &[], Some(1));
        check(59, Some(10), &["a"], Some(1));
        check(60, Some(11), &["c"], Some(9));
        check(61, None, &["b"], None);
    }

    #[test]
    fn a_rule_is_crossed_when_silence_reaches_it_and_when_it_ends() {
        let ruled = |id: &str, after_hours| LineV1 {
            offline: Some(OfflineRuleV1 { after_hours, ..OfflineRuleV1::default() }),
            ..line(id, None)
        };
        let mut agenda = Agenda::default();
        agenda.take_state("core", &state(&[ruled("a", 1), ruled("b", 3), line("c", None)], 1));
        taken(&mut agenda);
        let now = UnixMillis(0);
        assert_eq!(agenda.next(now, None, HOUR / 2), Some(HOUR / 2));
        let mut check = |silence, expected: &[&str]| {
            agenda.take_time(now, None, silence);
            assert_eq!(taken(&mut agenda), expected, "{silence:?}");
        };
        check(HOUR / 2, &[]);
        check(HOUR, &["a"]);
        check(2 * HOUR, &[]);
        check(3 * HOUR, &["b"]);
        check(Duration::ZERO, &["a", "b"]);
    }
}
