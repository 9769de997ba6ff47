//! Whether a plan may cut off as many people as it would.
//!
//! Pure. A wrong state, a bug or a clock that leapt must not take a whole town off the network in one pass: when the
//! lines that a plan would cut, together with those cut in the last hour, are more than so many *and* more than such a
//! share of the lines that work, those cuts are held until a person releases them or the state no longer wants them.
//! Everything else of the plan goes ahead. Not counted is what was agreed long before: an expiry that this agent saw
//! coming, a quota that it saw being used up, a rule for the time when head office is away. One that first appears already
//! fallen due (in a new state, across a clock's leap, after a restart) is counted; and so are quotas of many lines that are
//! used up within one pass, because people do that one by one, and a count that jumps does it to all. Nobody is cut off
//! who was off for the same reason: a row that somebody opened by hand is closed again whatever happened within the hour, and
//! so is one that a time which was taken back has opened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Reading;
use crate::enforce::{Effective, Reason};
use crate::reconcile::ledger::Entry;
use crate::reconcile::plan::{CutReason, LineChange};
use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::LineV1;

/// An expiry counts as seen coming when the line stood verified for this long before it. A state that ends everybody's
/// time a few seconds from now is a mistake too.
pub const SEEN_COMING: Duration = Duration::from_secs(60);

/// The same for a quota, which a wrong unit at head office would let run out line by line over a day.
pub const QUOTA_SEEN_COMING: Duration = Duration::from_secs(6 * 3_600);

/// Cuts that are remembered. Beyond it the oldest are forgotten, by when the guard has long spoken.
const CUTS_REMEMBERED: usize = 4_096;

/// When the guard speaks. Both limits must be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Share of the router's working lines, in percent. Default 20: the switch-offs of a month's worst day stay below
    /// it, a wrong state does not.
    pub percent: u8,
    /// Lines. Default 10: on a small router a third is a handful of people, and a held handful helps nobody.
    pub lines: usize,
    /// Over how long cuts add up. Default one hour.
    pub window: Duration,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { percent: 20, lines: 10, window: Duration::from_secs(3_600) }
    }
}

/// The time of a look at the cuts.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the monotonic clock, from the agent's start.
    pub mono: Duration,
    /// By the trusted one.
    pub reading: Reading,
}

/// When each line was cut off, as it lies on flash; `None` where the clock was not trusted then.
pub type KeptCuts = BTreeMap<String, Option<UnixMillis>>;

/// What a line may use at the most: until when, and the bytes of its latest period. More is bought, and a mistake that is
/// taken back brings no more than there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bought {
    /// [`i64::MAX`] without an end.
    until_ms: i64,
    /// When the latest period begins, and its bytes; both the largest without a quota.
    quota: (i64, u64),
}

impl Bought {
    /// What this line says.
    #[must_use]
    pub fn of(line: &LineV1) -> Self {
        let latest = line.quotas.iter().map(|quota| (quota.from_ms, quota.bytes)).max();
        Self {
            until_ms: line.valid_until_ms.unwrap_or(i64::MAX),
            quota: latest.unwrap_or((i64::MAX, u64::MAX)),
        }
    }

    /// The most of both.
    fn most(self, other: Self) -> Self {
        Self { until_ms: self.until_ms.max(other.until_ms), quota: self.quota.max(other.quota) }
    }

    fn exceeds(self, other: Self) -> bool {
        self.until_ms > other.until_ms || self.quota > other.quota
    }

    /// All that a line was allowed when it is about to be cut: what it is now, and what it was when it was last verified.
    /// `None` where one of them is not known: it is off the state, or was not looked at since the start.
    #[must_use]
    pub fn before_cut(line: Option<&LineV1>, entry: Option<&Entry>) -> Option<Self> {
        let verified = entry?.verified.as_ref()?;
        Some(Self::of(line?).most(Self::of(&verified.decision.line.item)))
    }
}

/// When a cut was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// Before the start of the agent.
    Before,
    /// Since then, by the monotonic clock.
    Since(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    when: When,
    /// The same by the trusted clock, as it was when the cut was begun: worked out anew, it would be another record each
    /// time. `None` where nothing stood behind it.
    at: Option<UnixMillis>,
    /// Whether it was read back. One that was only begun may be planned once more, and is no second one then.
    is_done: bool,
    /// See [`Bought::before_cut`]; `None` for one before the start of the agent too.
    had: Option<Bought>,
}

impl Cut {
    fn is_recent(&self, now: Moment, window: Duration) -> bool {
        match self.when {
            When::Since(at) => now.mono.saturating_sub(at) < window,
            // Whatever the clocks say, an hour after the start it is an hour ago.
            When::Before => {
                let is_over =
                    self.at.is_some_and(|at| now.reading.is_trusted && now.reading.now.since(at) >= window);
                now.mono < window && !is_over
            }
        }
    }
}

/// The lines that were cut off within the last while, also before the agent was started. Having got its access back makes
/// no line uncut: a state that flaps throws everybody out all the same. Only who is back by more than he ever had, a payment
/// or a top-up, is: no mistake is in that.
#[derive(Clone, Debug, Default)]
pub struct CutHistory {
    cuts: BTreeMap<String, Cut>,
}

impl CutHistory {
    /// Goes on from what lay on flash. What is known of a line since is newer.
    pub fn restore(&mut self, kept: &KeptCuts) {
        for (line, at) in kept {
            // Whether it was done is not known; to take it for done holds rather too much.
            self.cuts.entry(line.clone()).or_insert(Cut {
                when: When::Before,
                at: *at,
                is_done: true,
                had: None,
            });
        }
    }

    /// Notes a counted cut that is about to be written, of a line that `had` so much by all that is known of it; whether
    /// that is news for flash.
    pub fn begin(&mut self, line: &str, had: Option<Bought>, now: Moment, window: Duration) -> bool {
        let when = When::Since(now.mono);
        if self.cuts.get(line).is_some_and(|cut| cut.when == when) {
            return false;
        }
        self.cuts.retain(|_, cut| cut.is_recent(now, window));
        // A line counts once, however often it was cut.
        let known = self.cuts.get(line);
        let is_done = known.is_some_and(|cut| cut.is_done);
        let had = match known {
            Some(known) => known.had.zip(had).map(|(known, had)| known.most(had)),
            None => had,
        };
        let at = now.reading.is_trusted.then_some(now.reading.now);
        self.put(line, Cut { when, at, is_done, had });
        true
    }

    /// Notes that it was read back.
    pub fn note_done(&mut self, line: &str, now: Duration) {
        let known = self.cuts.get(line);
        let (at, had) = known.map_or((None, None), |cut| (cut.at, cut.had));
        self.put(line, Cut { when: When::Since(now), at, is_done: true, had });
    }

    /// A line stands open by what it has now; whether its cut counts no more because that was bought since.
    pub fn note_open(&mut self, line: &str, has: Bought) -> bool {
        let had = self.cuts.get(line).and_then(|cut| cut.had);
        let is_bought = had.is_some_and(|had| has.exceeds(had));
        is_bought && self.cuts.remove(line).is_some()
    }

    fn put(&mut self, line: &str, cut: Cut) {
        if self.cuts.len() >= CUTS_REMEMBERED && !self.cuts.contains_key(line) {
            let oldest =
                self.cuts.iter().min_by_key(|(_, cut)| (cut.when, cut.at)).map(|(line, _)| line.clone());
            oldest.and_then(|oldest| self.cuts.remove(&oldest));
        }
        self.cuts.insert(line.to_owned(), cut);
    }

    /// How many lie within the window, besides those of `counted` that were begun and not done.
    #[must_use]
    pub fn recent(&self, now: Moment, window: Duration, counted: &BTreeSet<&str>) -> usize {
        let is_another = |(line, cut): &(&String, &Cut)| cut.is_done || !counted.contains(line.as_str());
        self.cuts.iter().filter(|(_, cut)| cut.is_recent(now, window)).filter(is_another).count()
    }

    /// What of it flash must know.
    #[must_use]
    pub fn kept(&self) -> KeptCuts {
        self.cuts.iter().map(|(line, cut)| (line.clone(), cut.at)).into_map()
    }
}

/// Whether `counted` more cuts may go ahead, after `recent` ones, on a router where `usable` lines work.
#[must_use]
pub fn allows(counted: usize, recent: usize, usable: usize, limits: GuardLimits) -> bool {
    let cuts = counted.saturating_add(recent);
    let base = usable.saturating_add(recent);
    let is_share_small = cuts.saturating_mul(100) <= usize::from(limits.percent).saturating_mul(base);
    counted == 0 || cuts <= limits.lines || is_share_small
}

/// Why cuts are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// With those of the last hour they are more than these limits.
    TooMany {
        /// How many those are.
        recent: usize,
        /// The limits.
        limits: GuardLimits,
    },
    /// They were, and are not any more: some are not to be cut, or were let go.
    FewByNow {
        /// The limits.
        limits: GuardLimits,
    },
    /// Nobody knows how many those are.
    PastUnknown,
}

/// How many cuts are held and why, for a person: the sentence of the event and of head office's pages, and the reason.
#[must_use]
pub fn words(held: usize, working: usize, because: Because) -> String {
    let why = match because {
        Because::PastUnknown => "how many lost it in the last hour cannot be read from flash".to_owned(),
        Because::TooMany { recent, limits } => {
            let most = tawi_shared::counted(limits.lines, "line");
            let before = match recent {
                0 => String::new(),
                recent => format!(", with the {recent} that lost it in the last hour"),
            };
            format!("more than {most} and {} % do{before}", limits.percent)
        }
        Because::FewByNow { limits } => {
            let (lines, percent) = (tawi_shared::counted(limits.lines, "line"), limits.percent);
            let working = tawi_shared::counted(working, "working line");
            return format!(
                "{held} of {working} would lose access; they were more, and are within {lines} or {percent} % by now, so that the \
                 next look at all rows lets them go"
            );
        }
    };
    format!("{}: {why}", tawi_shared::held_words(held, working))
}

/// Whether the guard counts this cut; the ledger's entry says what was known of the line before.
#[must_use]
pub fn counts(
    change: &LineChange,
    entry: Option<&Entry>,
    line: Option<&LineV1>,
    now: Duration,
    leaps: u32,
) -> bool {
    let Some(cut) = change.cut else { return false };
    let CutReason::Restrained(reason) = cut else { return true };
    let verified = entry.filter(|entry| !entry.was_held).and_then(|entry| entry.verified.as_ref());
    let was_off = |state: Effective| !state.is_online() && state.reason() == Some(reason);
    if verified.is_some_and(|verified| verified.decision.state.is_some_and(was_off)) {
        return false;
    }
    let reopened = entry.and_then(|entry| entry.reopened.as_ref()).zip(line);
    if reopened.is_some_and(|((why, agreed), line)| *why == reason && is_agreed(reason, &agreed.item, line)) {
        return false;
    }
    let was_seen_coming = verified.zip(line).is_some_and(|(verified, line)| {
        is_agreed(reason, &verified.decision.line.item, line)
            && verified.leaps == leaps
            && now.saturating_sub(verified.at) >= long_before(reason)
    });
    !was_seen_coming
}

/// Whether what the line was verified with says the same about this reason as it does now: when, and what comes then.
fn is_agreed(reason: Reason, agreed: &LineV1, line: &LineV1) -> bool {
    match reason {
        Reason::SwitchedOff | Reason::Suspended => false,
        Reason::Expired | Reason::OfflineRule => {
            (agreed.valid_until_ms, &agreed.offline, &agreed.suspension)
                == (line.valid_until_ms, &line.offline, &line.suspension)
        }
        Reason::QuotaReached => (&agreed.quotas, &agreed.after_quota) == (&line.quotas, &line.after_quota),
    }
}

/// For how long it must have stood.
fn long_before(reason: Reason) -> Duration {
    if reason == Reason::QuotaReached { QUOTA_SEEN_COMING } else { SEEN_COMING }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Revised;
    use crate::reconcile::actual::Table;
    use crate::reconcile::ledger::{Decision, Ledger, Verified};
    use crate::reconcile::plan::RowChange;
    use std::sync::Arc;
    use tawi_shared::wire::{QuotaV1, Restraint, RestraintV1};

    #[test]
    fn both_limits_must_be_exceeded() {
        let limits = GuardLimits::default();
        let check = |counted, recent, usable, expected| {
            assert_eq!(allows(counted, recent, usable, limits), expected, "{counted}+{recent} of {usable}");
        };
        check(0, 500, 0, true);
        check(10, 0, 10, true);
        check(11, 0, 12, false);
        check(11, 0, 500, true);
        check(100, 0, 500, true);
        check(101, 0, 500, false);
        check(1, 100, 400, false);
        check(1, 9, 5, true);
    }

    #[test]
    fn cuts_older_than_the_window_no_longer_count() {
        let mut history = CutHistory::default();
        history.note_done("a", Duration::from_secs(0));
        history.note_done("b", Duration::from_secs(3_000));
        assert_eq!(recent(&history, 3_001), 2);
        assert_eq!(recent(&history, 3_600), 1);
        assert_eq!(recent(&history, 9_000), 0);
    }

    const START: i64 = 1_800_000_000;

    /// The agent was started at [`START`], and its clock is right.
    fn moment(seconds: u64) -> Moment {
        let mono = Duration::from_secs(seconds);
        let now = UnixMillis(START * 1_000).plus(mono);
        let kept = crate::clock::KeptTime { floor: now, vouched: None, leap_in_doubt: None };
        Moment { mono, reading: crate::clock::ClockState::new(now, kept, mono).observe(now, mono) }
    }

    fn recent(history: &CutHistory, seconds: u64) -> usize {
        history.recent(moment(seconds), GuardLimits::default().window, &BTreeSet::new())
    }

    #[test]
    fn cuts_before_a_start_count_for_the_rest_of_their_hour() {
        let cut = |seconds: i64| Some(UnixMillis((START + seconds) * 1_000));
        let check = |at, seconds, is_trusted, expected| {
            let mut history = CutHistory::default();
            history.restore(&KeptCuts::from([("a".to_owned(), at)]));
            let mut now = moment(seconds);
            now.reading.is_trusted = is_trusted;
            let count = history.recent(now, GuardLimits::default().window, &BTreeSet::new());
            assert_eq!(count, expected, "{at:?} {seconds} {is_trusted}");
        };
        check(cut(-600), 1, true, 1);
        check(cut(-600), 2_999, true, 1);
        check(cut(-600), 3_000, true, 0);
        check(cut(-86_400), 1, true, 0);
        // Nobody knows how long ago it was, or whether a day went by.
        check(cut(-86_400), 1, false, 1);
        check(None, 1, true, 1);
        check(cut(86_400), 3_599, true, 1);
        check(cut(86_400), 3_600, true, 0);
        check(None, 3_600, false, 0);
    }

    #[test]
    fn a_cut_that_was_begun_and_not_done_is_no_second_one_when_it_is_tried_again() {
        let (mut history, window) = (CutHistory::default(), GuardLimits::default().window);
        assert!(history.begin("a", None, moment(1), window));
        assert!(!history.begin("a", None, moment(1), window), "a second round of the same pass is no news");
        let again = BTreeSet::from(["a"]);
        assert_eq!(history.recent(moment(2), window, &again), 0);
        assert_eq!(history.recent(moment(2), window, &BTreeSet::from(["b"])), 1);
        history.note_done("a", Duration::from_secs(2));
        assert_eq!(history.recent(moment(3), window, &again), 1, "a state that flaps");
        assert!(history.begin("a", None, moment(9), window));
        assert_eq!(history.recent(moment(9), window, &again), 1);
        assert_eq!(history.kept(), KeptCuts::from([("a".into(), Some(moment(9).reading.now))]));
        let mut doubted = moment(10);
        doubted.reading.is_trusted = false;
        assert!(history.begin("c", None, doubted, window));
        assert_eq!(history.kept().get("c"), Some(&None));
        assert!(history.begin("b", None, moment(3_700), window));
        assert_eq!(history.kept().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_further_cut_changes_no_record_of_those_before() {
        let (mut history, window) = (CutHistory::default(), GuardLimits::default().window);
        for line in ["a", "b", "c"] {
            assert!(history.begin(line, None, moment(1), window));
            history.note_done(line, Duration::from_secs(2));
        }
        let before = history.kept();
        // The wall clock runs a little otherwise than the monotonic one, and is set now and then.
        let mut later = moment(60);
        later.reading.now = later.reading.now.plus(Duration::from_millis(1_234));
        assert!(history.begin("d", None, later, window));
        let mut after = history.kept();
        assert!(after.remove("d").is_some());
        assert_eq!(after, before);
    }

    #[test]
    fn a_cut_counts_until_its_line_is_open_by_more_than_it_ever_had() {
        let quota = |bytes| LineV1 { quotas: vec![QuotaV1 { from_ms: 1, bytes }], ..line(9) };
        let bought = |lines: &[&LineV1]| lines.iter().map(|line| Bought::of(line)).reduce(Bought::most);
        // Under which states it was cut, by which it is open, and whether that is bought.
        let check = |had: &[&LineV1], has: &LineV1, expected: bool| {
            let (mut history, window) = (CutHistory::default(), GuardLimits::default().window);
            history.begin("a", bought(had), moment(1), window);
            history.note_done("a", Duration::from_secs(1));
            assert_eq!(history.note_open("a", Bought::of(has)), expected, "{had:?} {has:?}");
            assert_eq!(recent(&history, 2), usize::from(!expected));
        };
        check(&[&quota(100)], &quota(200), true);
        check(&[&quota(100)], &quota(100), false);
        check(&[&quota(100)], &LineV1 { quotas: vec![QuotaV1 { from_ms: 2, bytes: 50 }], ..line(9) }, true);
        check(&[&quota(100)], &line(9), true);
        check(&[&line(9)], &line(10), true);
        check(&[&line(9)], &LineV1 { valid_until_ms: None, ..line(9) }, true);
        // A state that flaps: it was cut by less, and has again what it had.
        check(&[&quota(100), &quota(0)], &quota(100), false);
        check(&[&line(9), &line(1)], &line(9), false);
        check(&[&line(9), &quota(0)], &line(9), false);
        check(&[&line(9)], &LineV1 { access: 1, ..line(9) }, false);
        check(&[], &line(10), false);
    }

    #[test]
    fn what_a_line_had_is_the_most_of_all_its_cuts_and_unknown_once_one_is() {
        let (mut history, window) = (CutHistory::default(), GuardLimits::default().window);
        let of = |until| Some(Bought::of(&line(until)));
        history.begin("a", of(9), moment(1), window);
        history.begin("a", of(1), moment(2), window);
        assert!(!history.note_open("a", Bought::of(&line(9))), "back and forth");
        history.begin("a", None, moment(3), window);
        assert!(!history.note_open("a", Bought::of(&line(99))));
        history.restore(&KeptCuts::from([("b".to_owned(), None)]));
        assert!(!history.note_open("b", Bought::of(&line(99))), "nobody knows what it had");
    }

    #[test]
    fn a_line_counts_once_however_often_it_was_cut() {
        let mut history = CutHistory::default();
        for second in 0..9 {
            history.note_done("a", Duration::from_secs(second));
            history.note_done("b", Duration::from_secs(second));
        }
        assert_eq!(recent(&history, 9), 2);
        for line in 0..CUTS_REMEMBERED {
            history.note_done(&format!("line-{line}"), Duration::from_secs(10));
        }
        assert_eq!(recent(&history, 10), CUTS_REMEMBERED, "b was the oldest");
    }

    fn line(until: i64) -> LineV1 {
        LineV1 {
            line: "a".into(),
            router: "core".into(),
            service: 1,
            username: "a".into(),
            password: "p".into(),
            profile: "home".into(),
            access: 1,
            valid_until_ms: Some(until),
            ..LineV1::default()
        }
    }

    fn entry(until: i64, leaps: u32) -> Entry {
        let decision = Decision {
            line: Arc::new(Revised { revision: 1, item: line(until) }),
            state: Some(Effective::Open),
            profile: None,
        };
        let verified = Verified { decision, at: Duration::from_secs(100), leaps, taken_back: 0 };
        Entry { verified: Some(verified), ..Entry::default() }
    }

    #[test]
    fn only_what_was_seen_coming_is_free() {
        let check = |cut, entry: Option<Entry>, now, leaps, expected: bool| {
            let change = LineChange {
                line: "a".into(),
                table: Table::Secrets,
                row: RowChange::Leave,
                kick: vec![],
                cut,
                profile: None,
                differs: vec![],
                revision: 1,
            };
            let now = Duration::from_secs(now);
            assert_eq!(counts(&change, entry.as_ref(), Some(&line(9)), now, leaps), expected);
        };
        let expired = Some(CutReason::Restrained(Reason::Expired));
        check(None, None, 0, 0, false);
        check(expired, Some(entry(9, 0)), 200, 0, false);
        check(expired, Some(entry(9, 0)), 159, 0, true);
        check(expired, Some(entry(9, 0)), 200, 1, true);
        check(expired, Some(entry(8, 0)), 200, 0, true);
        check(expired, None, 200, 0, true);
        check(Some(CutReason::Restrained(Reason::SwitchedOff)), Some(entry(9, 0)), 200, 0, true);
        check(Some(CutReason::Removed), Some(entry(9, 0)), 200, 0, true);
        let used_up = Some(CutReason::Restrained(Reason::QuotaReached));
        check(used_up, Some(entry(9, 0)), 21_700, 0, false);
        check(used_up, Some(entry(9, 0)), 21_699, 0, true);
        check(used_up, None, 21_700, 0, true);
        let off = RestraintV1 { how: Restraint::Off.code(), profile: String::new() };
        let quotas = vec![QuotaV1 { from_ms: 1, bytes: 7 }];
        for other in [
            LineV1 { quotas, ..line(9) },
            LineV1 { after_quota: off.clone(), ..line(9) },
            LineV1 { suspension: off, ..line(9) },
        ] {
            let is_about_quota = other.suspension == line(9).suspension;
            let mut changed = entry(9, 0);
            if let Some(verified) = &mut changed.verified {
                verified.decision.line = Arc::new(Revised { revision: 1, item: other });
            }
            check(if is_about_quota { used_up } else { expired }, Some(changed), 99_999, 0, true);
        }
    }

    /// Somebody opened it by hand: it is closed again, and was no working line.
    #[test]
    fn who_was_off_is_not_cut_off() {
        let off = |state| {
            let mut entry = entry(9, 0);
            if let Some(verified) = &mut entry.verified {
                verified.decision.state = Some(state);
            }
            entry
        };
        let counted = |entry: &Entry, cut| {
            let change = LineChange { cut: Some(cut), ..expiry() };
            counts(&change, Some(entry), Some(&line(9)), Duration::from_secs(101), 0)
        };
        for reason in [Reason::Expired, Reason::QuotaReached, Reason::SwitchedOff, Reason::Suspended] {
            let cut = CutReason::Restrained(reason);
            assert!(
                !counted(&off(Effective::Off(reason)), cut) && !counted(&off(Effective::Walled(reason)), cut)
            );
            assert!(counted(&off(Effective::Throttled(reason)), cut), "who is slow is on");
        }
        let expired = off(Effective::Off(Reason::Expired));
        assert!(counted(&expired, CutReason::Removed), "who is off may come on again");
        let silent = off(Effective::Walled(Reason::OfflineRule));
        assert!(
            counted(&silent, CutReason::Restrained(Reason::SwitchedOff)),
            "and so may who is off for a while"
        );
        let held = Entry { was_held: true, ..expired };
        assert!(counted(&held, CutReason::Restrained(Reason::Expired)));
    }

    fn expiry() -> LineChange {
        LineChange {
            line: "a".into(),
            table: Table::Secrets,
            row: RowChange::Leave,
            kick: vec![],
            cut: Some(CutReason::Restrained(Reason::Expired)),
            profile: None,
            differs: vec![],
            revision: 1,
        }
    }

    /// Each full check plans the held cut again; that it was verified once before is no reason to let it go.
    #[test]
    fn what_is_held_stays_held_over_any_number_of_checks() {
        let mut ledger = Ledger::default();
        *ledger.entry("a") = entry(9, 0);
        for second in [105, 165, 300, 100_000] {
            let now = Duration::from_secs(second);
            assert!(
                counts(&expiry(), ledger.entries.get("a").map(AsRef::as_ref), Some(&line(9)), now, 0),
                "{second}"
            );
            ledger.leave("a", tawi_shared::wire::FailureKind::Held, "waits for a person".into());
        }
        assert_eq!(ledger.held_lines(), ["a"]);
    }

    fn after_leaps(leaps: u32) -> Reading {
        Reading { leaps, ..moment(0).reading }
    }

    /// Head office came back with an old clock for an hour, say.
    #[test]
    fn who_was_off_before_time_was_taken_back_is_cut_off_again_uncounted() {
        let opened = |taken_back: u32, then: &LineV1| {
            let mut ledger = Ledger::default();
            let mut off = entry(9, 0);
            let decision = &mut off.verified.as_mut().unwrap().decision;
            decision.state = Some(Effective::Off(Reason::Expired));
            off.decision = Some(Decision { state: Some(Effective::Open), ..decision.clone() });
            *ledger.entry("a") = off;
            let reading = Reading { taken_back, ..moment(0).reading };
            ledger.note_openings(&BTreeSet::from(["a".to_owned()]), &reading);
            let entry = ledger.entries.get("a").unwrap();
            assert!(entry.verified.is_none());
            counts(&expiry(), Some(entry), Some(then), Duration::from_secs(101), 2)
        };
        assert!(!opened(1, &line(9)));
        assert!(opened(0, &line(9)), "it was let in for another reason");
        assert!(opened(1, &line(10)), "it was sold anew since");
    }

    /// The clock leapt once and the line stood verified long after it: its end is as natural as any.
    #[test]
    fn an_old_leap_does_not_make_natural_expiries_suspicious_for_ever() {
        let before = entry(9, 0).verified.unwrap();
        let at = |seconds| Duration::from_secs(seconds);
        let same = Verified::next(Some(&before), before.decision.clone(), at(200), &after_leaps(0));
        assert_eq!((same.at, same.leaps), (at(100), 0));
        let after = Verified::next(Some(&before), before.decision.clone(), at(300), &after_leaps(1));
        assert_eq!((after.at, after.leaps), (at(300), 1));
        let entry = Entry { verified: Some(after), ..Entry::default() };
        assert!(counts(&expiry(), Some(&entry), Some(&line(9)), at(301), 1));
        assert!(!counts(&expiry(), Some(&entry), Some(&line(9)), at(400), 1));
    }
}
