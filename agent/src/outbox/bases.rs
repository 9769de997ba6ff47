//! By which time pending records were noted, and how that is set right before they are told.
//!
//! Pure. A record bears the time that was acted on when it was made, which may have been wrong: counted on from a floor
//! after a power cut, or led astray by two clocks. What does not go wrong is how long ago it was, so that its time is that of
//! now less that span. No record says it of itself: the clock runs on evenly but for a few turns, and those are
//! remembered with the first record after each. Only records of this run are set right, and only by a time that is trusted
//! and not in doubt; those that were told already are head office's business.

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::clock::SKEW;
use crate::health::spoken;

/// Turns that are remembered. A clock has one or two in a run; what was noted before the first of these stays as it is.
const TURNS: usize = 32;

/// The time that is acted on, less how long this agent has run: the same for as long as the clock runs evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBase {
    /// In milliseconds since 1970.
    pub ms: i64,
    /// Whether it is trusted and no leap of it is in doubt.
    pub is_sure: bool,
}

/// The bases of this run.
#[derive(Debug, Default)]
pub(super) struct Bases {
    /// From which record on, and which.
    noted: Vec<(u64, i64)>,
    now: Option<TimeBase>,
}

impl Bases {
    /// The base that counts from the next record on.
    pub(super) fn note(&mut self, next_order: u64, base: TimeBase) {
        self.now = Some(base);
        if self.noted.last().is_some_and(|(_, ms)| !is_turn(*ms, base.ms)) {
            return;
        }
        if self.noted.len() >= TURNS {
            self.noted.remove(0);
        }
        self.noted.push((next_order, base.ms));
    }

    /// The right time of a record, and words for a person where that is another than it bears.
    pub(super) fn corrected(&self, order: u64, at_ms: i64) -> Option<(i64, String)> {
        let now = self.now.filter(|now| now.is_sure)?;
        let (_, noted) = self.noted.iter().rev().find(|(from, _)| *from <= order)?;
        is_turn(*noted, now.ms).then(|| {
            let right = at_ms.saturating_add(now.ms.saturating_sub(*noted));
            let (early, late) = (UnixMillis(right.min(at_ms)), UnixMillis(right.max(at_ms)));
            let word = if right < at_ms { "ahead" } else { "behind" };
            (right, format!(" (time set right: the site's clock was {} {word})", spoken(early, late)))
        })
    }
}

fn is_turn(one: i64, other: i64) -> bool {
    Duration::from_millis(one.abs_diff(other)) > SKEW
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn what_was_noted_by_a_wrong_clock_is_set_right_once_the_time_is_sure() {
        let mut bases = Bases::default();
        let mut note = |order, ms, is_sure| bases.note(order, TimeBase { ms, is_sure });
        note(5, 1_000, true);
        note(8, 1_000 + DAY, false);
        // In doubt nothing is set right.
        let doubted = |bases: &Bases, order| bases.corrected(order, 50).map(|(at, _)| at);
        assert_eq!(doubted(&bases, 5), None);
        bases.note(9, TimeBase { ms: 1_000 + DAY, is_sure: true });
        assert_eq!(doubted(&bases, 5), Some(50 + DAY), "the leap was true");
        bases.note(12, TimeBase { ms: 1_000, is_sure: true });
        let check = |order: u64, expected: Option<i64>| {
            assert_eq!(bases.corrected(order, 50).map(|(at, _)| at), expected, "{order}");
        };
        check(4, None);
        check(5, None);
        check(7, None);
        check(8, Some(50 - DAY));
        check(11, Some(50 - DAY));
        check(12, None);
        assert!(bases.corrected(8, 50).unwrap().1.contains("was 1 d"), "{:?}", bases.corrected(8, 50));
    }
}
