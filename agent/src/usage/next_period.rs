//! When the next period of a quota begins: its bytes are kept apart from those of the period before by a sample at that
//! moment. How often samples are taken besides is `pace`'s.

use tawi_shared::UnixMillis;
use tokio::time::Instant;

use super::lines_of;
use crate::flow::StateReceiver;

/// When the next period of a line begins, worked out once for each state: a site has thousands of periods.
pub(super) struct NextPeriod {
    states: StateReceiver,
    begins: Option<UnixMillis>,
}

impl NextPeriod {
    pub(super) fn of(state: &StateReceiver, router: &str, now: UnixMillis) -> Self {
        let mut next = Self { states: state.clone(), begins: None };
        next.begins = next.look(router, now);
        next
    }

    /// When it begins, if one is known to come: a sample then keeps its bytes apart from those of the one before. One that
    /// has begun is due until it is taken.
    pub(super) fn due(&mut self, router: &str, now: UnixMillis) -> Option<Instant> {
        let has_begun = self.begins.is_some_and(|begins| begins <= now);
        if !has_begun && self.states.has_changed().unwrap_or(false) {
            self.begins = self.look(router, now);
        }
        let wait = self.begins?.since(now);
        // One that lies beyond the end of the timer's time is looked for again long before.
        Instant::now().checked_add(wait)
    }

    /// A sample is taken now: what has begun is past, and the next one is waited for.
    pub(super) fn take(&mut self, router: &str, now: UnixMillis) {
        self.begins = self.look(router, now);
    }

    fn look(&mut self, router: &str, now: UnixMillis) -> Option<UnixMillis> {
        let state = self.states.borrow_and_update();
        let begins = lines_of(&state, router).flat_map(|line| &line.quotas);
        begins.map(|quota| UnixMillis(quota.from_ms)).filter(|begins| *begins > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tawi_shared::wire::{LineV1, QuotaV1};
    use tokio::sync::watch;

    use super::*;
    use crate::desired::DesiredState;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn state_with(begins: &[UnixMillis]) -> Arc<DesiredState> {
        let mut state = DesiredState::default();
        let quotas = begins.iter().map(|begins| QuotaV1 { from_ms: begins.0, bytes: 1_000 }).collect();
        let line = LineV1 { line: "a".into(), router: "core".into(), quotas, ..LineV1::default() };
        state.restore_line(line, 1);
        Arc::new(state)
    }

    #[test]
    fn a_period_that_begins_later_is_due_then_and_no_sooner() {
        let (_keep, states) = watch::channel(state_with(&[NOW.plus(HOUR), NOW.plus(2 * HOUR)]));
        let mut next = NextPeriod::of(&states, "core", NOW);
        let due = next.due("core", NOW).unwrap();
        assert!(due > Instant::now() + HOUR - Duration::from_secs(5), "looking is no sample");
        // The clock was set ahead meanwhile.
        let later = NOW.plus(HOUR);
        assert!(next.due("core", later).unwrap() <= Instant::now());
        assert!(next.due("core", later).unwrap() <= Instant::now(), "until it is taken");
        next.take("core", later);
        assert!(next.due("core", later).unwrap() > Instant::now() + HOUR - Duration::from_secs(5));
    }

    #[test]
    fn nothing_is_due_without_a_period_to_come_until_a_state_brings_one() {
        let (states, received) = watch::channel(state_with(&[NOW]));
        let mut next = NextPeriod::of(&received, "core", NOW);
        assert_eq!(next.due("core", NOW.plus(HOUR)), None, "it runs already");
        states.send_replace(state_with(&[NOW.plus(2 * HOUR)]));
        assert!(next.due("core", NOW.plus(HOUR)).is_some());
    }
}
