//! When records are told to head office: a metered line does not carry every sample, nor each coming and going at once.
//!
//! ```text
//! running totals ── all of them, every `report_seconds` ─────────────┐
//! a session came or ended ── with its event, within five minutes ────┼─> told together
//! a quota is used up, a line that head office just changed, ─────────┤
//! any other event, or somebody at head office looks ── at once ──────┘
//! ```
//!
//! Pure: times are counted from the start of the agent. Totals are absolute, so that what is told later says no less; the
//! quota is enforced here, by what lies on flash. What was due while nobody listened stays due. A message of its own for each
//! session that comes or goes would be the largest part of what a site costs in a month.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tawi_shared::wire::EventKind;

/// How long a session that came or ended waits for others, so that they are told together.
const TOGETHER: Duration = Duration::from_secs(300);
/// For how long somebody waits to see a line that head office changed: who pays is told that they are online.
const CHANGED_FOR: Duration = Duration::from_secs(900);
/// Changed lines that are remembered. When more change at once nobody looks at each of them.
const CHANGED_MOST: usize = 256;

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
    /// Since when the first event waits, and whether one of them may not.
    event_since: Option<Duration>,
    is_event_urgent: bool,
    /// Lines that head office changed, and when.
    changed: BTreeMap<String, Duration>,
}

impl Cadence {
    /// Running totals are told so often.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            all_told: None,
            lines: BTreeSet::new(),
            waits_since: None,
            is_urgent: false,
            event_since: None,
            is_event_urgent: false,
            changed: BTreeMap::new(),
        }
    }

    /// Running totals are told so often from now on.
    pub fn set_every(&mut self, every: Duration) {
        self.every = every;
    }

    /// A session is over.
    pub fn ended(&mut self, now: Duration) {
        self.waits_since.get_or_insert(now);
    }

    /// Something happened, on a line or not.
    pub fn event(&mut self, kind: EventKind, line: Option<&str>, now: Duration) {
        self.event_since.get_or_insert(now);
        let is_changed = |line: &str| self.was_changed(line, now);
        self.is_event_urgent |= match (kind, line) {
            (EventKind::LineOnline | EventKind::LineOffline, Some(line)) => is_changed(line),
            _ => true,
        };
        match (kind, line) {
            (EventKind::LineOnline, Some(line)) => self.came(line, now),
            (EventKind::QuotaReached, Some(line)) => {
                self.came(line, now);
                self.is_urgent = true;
            }
            _ => {}
        }
    }

    /// A line came online: head office should see its session soon.
    fn came(&mut self, line: &str, now: Duration) {
        self.lines.insert(line.to_owned());
        self.waits_since.get_or_insert(now);
    }

    /// Head office changed these lines: it wants to see what becomes of them.
    pub fn changed<'a>(&mut self, lines: impl Iterator<Item = &'a str>, now: Duration) {
        self.changed.retain(|_, at| now.saturating_sub(*at) < CHANGED_FOR);
        let room = CHANGED_MOST.saturating_sub(self.changed.len());
        self.changed.extend(lines.take(room).map(|line| (line.to_owned(), now)));
    }

    fn was_changed(&self, line: &str, now: Duration) -> bool {
        self.changed.get(line).is_some_and(|at| now.saturating_sub(*at) < CHANGED_FOR)
    }

    /// Somebody at head office looks: what waits is told now.
    pub fn hurry(&mut self) {
        self.is_urgent |= self.waits_since.is_some();
        self.is_event_urgent |= self.event_since.is_some();
    }

    /// Which totals may be told now.
    #[must_use]
    pub fn due(&self, now: Duration) -> UsageDue {
        if self.all_told.is_none_or(|told| now.saturating_sub(told) >= self.every) {
            return UsageDue::All;
        }
        match self.waits_since.is_some_and(|since| self.is_urgent || self.waited(since, now)) {
            true => UsageDue::Some(self.lines.clone()),
            false => UsageDue::Nothing,
        }
    }

    /// Whether the events that wait may be told now. They go with totals that are told.
    #[must_use]
    pub fn are_events_due(&self, now: Duration) -> bool {
        let is_due = |since| self.is_event_urgent || self.waited(since, now);
        self.event_since.is_some_and(|since| is_due(since) || self.due(now) != UsageDue::Nothing)
    }

    fn waited(&self, since: Duration, now: Duration) -> bool {
        now.saturating_sub(since) >= TOGETHER.min(self.every)
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

    /// All events are told.
    pub fn events_told(&mut self) {
        (self.event_since, self.is_event_urgent) = (None, false);
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
    fn sessions_that_come_and_end_are_told_together_within_five_minutes() {
        let mut cadence = told();
        cadence.ended(at(10));
        cadence.came("a", at(50));
        assert_eq!(cadence.due(at(309)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(310)), of(&["a"]));
        // One that comes while they are told is told next.
        let due = cadence.due(at(310));
        cadence.came("b", at(311));
        cadence.told(&due, at(312));
        assert_eq!(cadence.due(at(611)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(612)), of(&["b"]));
        cadence.told(&of(&["b"]), at(613));
        assert_eq!(cadence.due(at(899)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(900)), UsageDue::All, "these do not put the others off");
    }

    #[test]
    fn a_quota_that_is_used_up_is_told_at_once() {
        let mut cadence = told();
        cadence.ended(at(10));
        cadence.event(EventKind::QuotaReached, Some("a"), at(11));
        assert_eq!(cadence.due(at(11)), of(&["a"]));
        cadence.told(&of(&["a"]), at(11));
        assert_eq!(cadence.due(at(12)), UsageDue::Nothing);
        cadence.came("b", at(20));
        assert_eq!(cadence.due(at(21)), UsageDue::Nothing, "the urgency is over");
    }

    #[test]
    fn who_comes_and_goes_is_told_with_the_totals_and_everything_else_at_once() {
        let mut cadence = told();
        assert!(!cadence.are_events_due(at(0)), "nothing waits");
        cadence.event(EventKind::LineOffline, Some("a"), at(10));
        assert!(!cadence.are_events_due(at(309)));
        assert!(cadence.are_events_due(at(310)));
        cadence.event(EventKind::LineOnline, Some("a"), at(20));
        assert_eq!(cadence.due(at(320)), of(&["a"]));
        cadence.told(&of(&["a"]), at(310));
        cadence.events_told();
        assert!(!cadence.are_events_due(at(800)));
        // They go along with all totals, and before one that may not wait.
        cadence.event(EventKind::LineOffline, Some("b"), at(880));
        assert!(!cadence.are_events_due(at(899)));
        assert!(cadence.are_events_due(at(900)));
        cadence.events_told();
        cadence.event(EventKind::LineOffline, Some("c"), at(881));
        cadence.event(EventKind::RouterLost, None, at(882));
        assert!(cadence.are_events_due(at(882)));
    }

    #[test]
    fn a_line_that_head_office_changed_is_told_of_at_once_for_a_while() {
        let mut cadence = told();
        cadence.changed(["a"].into_iter(), at(5));
        cadence.event(EventKind::LineOnline, Some("b"), at(6));
        assert!(!cadence.are_events_due(at(6)));
        cadence.event(EventKind::LineOnline, Some("a"), at(7));
        assert!(cadence.are_events_due(at(7)));
        cadence.events_told();
        cadence.told(&UsageDue::All, at(903));
        cadence.event(EventKind::LineOffline, Some("a"), at(904));
        assert!(cadence.are_events_due(at(904)));
        cadence.events_told();
        cadence.event(EventKind::LineOffline, Some("a"), at(905));
        assert!(!cadence.are_events_due(at(905)), "nobody waits for it any more");
    }

    #[test]
    fn what_waits_is_told_when_somebody_looks() {
        let mut cadence = told();
        cadence.hurry();
        cadence.event(EventKind::LineOnline, Some("a"), at(6));
        assert!(!cadence.are_events_due(at(6)), "who looked before has seen how it was");
        cadence.hurry();
        assert!(cadence.are_events_due(at(6)));
        assert_eq!(cadence.due(at(6)), of(&["a"]));
    }

    #[test]
    fn a_change_of_everything_is_nobodys_news() {
        let mut cadence = told();
        let lines: Vec<String> = (0..1_000).map(|line| line.to_string()).collect();
        cadence.changed(lines.iter().map(String::as_str), at(1));
        assert_eq!(cadence.changed.len(), CHANGED_MOST);
    }

    #[test]
    fn how_often_they_are_told_changes_while_it_runs() {
        let mut cadence = told();
        cadence.set_every(at(60));
        assert_eq!((cadence.due(at(59)), cadence.due(at(60))), (UsageDue::Nothing, UsageDue::All));
        cadence.told(&UsageDue::All, at(60));
        cadence.set_every(at(86_400));
        assert_eq!(cadence.due(at(86_459)), UsageDue::Nothing);
        assert_eq!(cadence.due(at(86_460)), UsageDue::All);
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
