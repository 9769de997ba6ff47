//! A leap of time that head office has not stood behind.
//!
//! Pure. After a power cut this machine and a router agree on a time that is hours later, and mostly they are right; but a
//! machine that takes its time from that very router is one voice, counted twice. They are followed, and whose time would
//! be over by nothing but the leap keeps what he paid for: his line ends when as much has passed here by the monotonic
//! clock, or as soon as head office stands behind the time. It refuses to doubt what falls due after the leap. Who is
//! believed is `decision.rs`; where it counts is `crate::enforce`.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// How far time may move without head office before it is doubted: what the floor on flash is old, and what a machine takes
/// to start. Beyond it somebody's paid time is at stake.
pub(super) const DOUBTED_BEYOND: Duration = Duration::from_secs(600);

/// The span that was leapt over, as far as it is still in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeapInDoubt {
    /// What time it would be without the leap. It grows.
    pub counted: UnixMillis,
    /// The first instant that is not in doubt.
    pub until: UnixMillis,
}

impl LeapInDoubt {
    /// Whether what falls due at this instant waits.
    #[must_use]
    pub fn holds(self, due: UnixMillis) -> bool {
        self.counted < due && due <= self.until
    }

    /// How long the last of those who wait still has.
    #[must_use]
    pub fn rest(self) -> Duration {
        self.until.since(self.counted)
    }

    /// The same so much later; `None` when nobody waits any more.
    pub(super) fn carried_by(self, passed: Duration) -> Option<Self> {
        let later = Self { counted: self.counted.plus(passed), ..self };
        (later.counted < later.until).then_some(later)
    }

    /// Time has leapt once more, from `carried` to `time`. Who waits goes on waiting by what was counted before the first.
    pub(super) fn extended(before: Option<Self>, carried: UnixMillis, time: UnixMillis) -> Option<Self> {
        let counted = before.map_or(carried, |before| before.counted);
        (counted < time).then_some(Self { counted, until: time })
    }
}

/// Whether an instant has come, at this time and with this leap in doubt.
#[must_use]
pub fn has_come(due: UnixMillis, now: UnixMillis, leap: Option<LeapInDoubt>) -> bool {
    now >= due && !leap.is_some_and(|leap| leap.holds(due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_due_inside_the_leap_waits_for_as_long_as_it_had() {
        let leap = LeapInDoubt { counted: UnixMillis(100), until: UnixMillis(900) };
        let check = |due, passed: u64, expected| {
            let leap = leap.carried_by(Duration::from_millis(passed));
            let now = UnixMillis(900 + i64::try_from(passed).unwrap());
            assert_eq!(has_come(UnixMillis(due), now, leap), expected, "due {due}, {passed} later");
        };
        check(100, 0, true);
        check(101, 0, false);
        check(101, 1, true);
        check(500, 399, false);
        check(500, 400, true);
        check(900, 799, false);
        check(900, 800, true);
        check(901, 0, false);
        check(901, 1, true);
    }

    #[test]
    fn a_second_leap_takes_nothing_from_those_who_wait_and_one_back_ends_the_doubt() {
        let at = UnixMillis;
        let first = LeapInDoubt::extended(None, at(100), at(900));
        assert_eq!(first, Some(LeapInDoubt { counted: at(100), until: at(900) }));
        let later = first.and_then(|leap| leap.carried_by(Duration::from_millis(50)));
        let second = LeapInDoubt::extended(later, at(950), at(2_000));
        assert_eq!(second, Some(LeapInDoubt { counted: at(150), until: at(2_000) }));
        assert_eq!(second.map(LeapInDoubt::rest), Some(Duration::from_millis(1_850)));
        assert_eq!(LeapInDoubt::extended(second, at(2_000), at(150)), None);
    }
}
