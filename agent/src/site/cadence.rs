//! When usage is told to head office: a metered line does not carry every sample.
//!
//! ```text
//! running totals ── all of them, every `report_seconds` ──┐
//! a session came or ended ── within a minute ─────────────┼─> sealed, told
//! a quota is used up ── that line's, at once ─────────────┘
//! ```
//!
//! Pure: times are counted from the start of the agent. Totals are absolute, so that what is told later says no less; the
//! quota is enforced here, by what lies on flash. What was due while nobody listened stays due.

use std::collections::BTreeSet;
use std::time::Duration;

/// How long a session that came or ended waits for others, so that they are told together.
const TOGETHER: Duration = Duration::from_secs(60);

/// Which totals may be told now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UsageDue {
    /// None that was not told before.
    #[default]
    Nothing,
    /// Those of sessions that are over, and those of these lines.
    Some(BTreeSet<String>),
    /// All that moved.
    All,
}

impl UsageDue {
    /// Whether the total of a session may be told.
    #[must_use]
    pub fn takes(&self, line: &str, is_ended: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(lines) => is_ended || lines.contains(line),
            Self::All => true,
        }
    }
}

/// When what is told.
#[derive(Debug)]
pub struct Cadence {
    every: Duration,
    /// When all running totals were last told.
    all_told: Option<Duration>,
    /// Lines that are told of before the others, and since when the first of them, or of the ended sessions, waits.
    lines: BTreeSet<String>,
    waits_since: Option<Duration>,
    is_urgent: bool,
}

impl Cadence {
    /// Running totals are told so often.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, all_told: None, lines: BTreeSet::new(), waits_since: None, is_urgent: false }
    }

    /// A session is over.
    pub fn ended(&mut self, now: Duration) {
        self.waits_since.get_or_insert(now);
    }

    /// A line came online: head office should see its session soon.
    pub fn came(&mut self, line: &str, now: Duration) {
        self.lines.insert(line.to_owned());
        self.waits_since.get_or_insert(now);
    }

    /// The quota of a line is used up: somebody may ask at once by what.
    pub fn used_up(&mut self, line: &str, now: Duration) {
        self.came(line, now);
        self.is_urgent = true;
    }

    /// What may be told now.
    #[must_use]
    pub fn due(&self, now: Duration) -> UsageDue {
        if self.all_told.is_none_or(|told| now.saturating_sub(told) >= self.every) {
            return UsageDue::All;
        }
        let together = TOGETHER.min(self.every);
        let is_due = |since: Duration| self.is_urgent || now.saturating_sub(since) >= together;
        match self.waits_since.is_some_and(is_due) {
            true => UsageDue::Some(self.lines.clone()),
            false => UsageDue::Nothing,
        }
    }

    /// All of what was due then is told.
    pub fn told(&mut self, due: &UsageDue, now: Duration) {
        match due {
            UsageDue::Nothing => return,
            UsageDue::Some(lines) => self.lines.retain(|line| !lines.contains(line)),
            UsageDue::All => {
                self.all_told = Some(now);
                self.lines.clear();
            }
        }
        self.is_urgent &= !self.lines.is_empty();
        self.waits_since = Some(now).filter(|_| !self.lines.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Duration = Duration::from_secs(900);

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn of(lines: &[&str]) -> UsageDue {
        UsageDue::Some(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    /// All was told at second 0.
    fn told() -> Cadence {
        let mut cadence = Cadence::new(QUARTER);
        cadence.told(&UsageDue::All, at(0));
        cadence
    }

    #[test]
    fn running_totals_are_told_every_quarter_of_an_hour_and_first_of_all_at_the_start() {
        assert_eq!(Cadence::new(QUARTER).due(at(0)), UsageDue::All);
        assert_eq!(told().due(at(899)), UsageDue::Nothing);
        assert_eq!(told().due(at(900)), UsageDue::All);
        // What was due while nobody listened stays due, until it is told.
        assert_eq!(told().due(at(90_000)), UsageDue::All);
    }

    #[test]
    fn sessions_that_come_and_end_are_told_together_within_a_minute() {
        let mut cadence = told();
        cadence.ended(at(10));
        cadence.came("a", at(50));
        assert_eq!(cadence.due(at(69)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(70)), of(&["a"]));
        // One that comes while they are told is told next.
        let due = cadence.due(at(70));
        cadence.came("b", at(71));
        cadence.told(&due, at(72));
        assert_eq!(cadence.due(at(131)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(132)), of(&["b"]));
        cadence.told(&of(&["b"]), at(133));
        assert_eq!(cadence.due(at(899)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(900)), UsageDue::All, "these do not put the others off");
    }

    #[test]
    fn a_quota_that_is_used_up_is_told_at_once() {
        let mut cadence = told();
        cadence.ended(at(10));
        cadence.used_up("a", at(11));
        assert_eq!(cadence.due(at(11)), of(&["a"]));
        cadence.told(&of(&["a"]), at(11));
        assert_eq!(cadence.due(at(12)), UsageDue::Nothing);
        cadence.came("b", at(20));
        assert_eq!(cadence.due(at(21)), UsageDue::Nothing, "the urgency is over");
    }

    #[test]
    fn nothing_waits_for_longer_than_all_totals_do() {
        let mut cadence = Cadence::new(at(5));
        cadence.told(&UsageDue::All, at(0));
        cadence.ended(at(1));
        assert_eq!(cadence.due(at(4)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(5)), UsageDue::All);
    }

    #[test]
    fn what_is_due_takes_the_sessions_that_are_over() {
        let check = |due: UsageDue, expected: [bool; 3]| {
            let takes = [due.takes("a", false), due.takes("b", false), due.takes("b", true)];
            assert_eq!(takes, expected, "{due:?}");
        };
        check(UsageDue::Nothing, [false, false, false]);
        check(of(&["a"]), [true, false, true]);
        check(UsageDue::All, [true, true, true]);
    }
}
