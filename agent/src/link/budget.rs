//! What may be told in an hour on a line that is paid by the byte. Pure.
//!
//! ```text
//! an hour's bytes ──three quarters, evenly─▶ the purse (holds one fifth) ──▶ fresh totals, while anything is in it
//!                                             ▲                       └──▶ the backlog, the log and answers, while it is over half full
//!          everything that the line carried ──┘ paid afterwards, whatever it was
//! ```
//!
//! So the backlog takes no more than nine tenths of the hour's bytes out of any hour, wherever that begins, and what is fresh no more
//! than all of them, as the twentieth that is not earned is there for the telling that empties the purse; but for one record or
//! telling that is larger than that twentieth, for what is told again after a cut, and for a start of the agent, which begins with a
//! full purse. What may not wait (hello, answers, events, state) is said in any case; it is paid all the same, and the
//! rest waits the longer for it, up to a floor that no debt takes away: fresh totals once in an hour, a record of the backlog in a
//! quarter of one, and 16 kB an hour of what head office asked to know, so that a doctor's answer always comes. No debt is larger
//! than the purse, or than one large record where that is more. What is told is charged by its size at once, and set right by what
//! the line really carried when all is answered.

use std::time::Duration;

use tawi_shared::release::{PART_BYTES, PART_LEAST};

/// What tells a record besides its bytes: its topic, the packets of MQTT, a record of TLS, segments and the cursor that answers.
const AROUND_A_RECORD: u64 = 320;
/// The largest record that is told, with what is around it: of it nothing is forgiven, however small the purse is.
const RECORD_BYTES: i64 = 5_000;
/// What asks for a part of a release and brings it besides its bytes: both messages, each with what is around a record, and the
/// headers of a dozen segments.
const AROUND_A_PART: u64 = 1_400;
/// What is told while the least is in the purse, mostly: fresh totals of a hundred lines, or one record. One part in so many of the
/// hour's bytes where those are few.
const LAST_TELLING: u64 = 5_000;
const LAST_TELLING_SHARE: u64 = 20;
/// One part in so many of the hour's bytes may be told at once.
const PURSE_SHARE: u64 = 5;
const HOUR_MS: u64 = 3_600_000;
/// However much is owed, fresh totals wait no longer than this, and a record of the backlog no longer than that.
const FRESH_FLOOR: Duration = Duration::from_secs(3_600);
const BACKLOG_FLOOR: Duration = Duration::from_secs(900);

/// Of answers to head office so much may be told at once, and as much in each hour, however much is owed: the report of a doctor
/// has a few kilobytes, and whoever asks for one waits before it.
pub const ANSWERS_FLOOR: u64 = 16_000;

/// What may be told now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Whether fresh totals may be.
    pub fresh: bool,
    /// How many bytes of what was noted while the site was cut off, or of the log.
    pub backlog_bytes: u64,
    /// Whether a part of an answer to head office may be.
    pub answers: bool,
}

impl Allowance {
    /// Everything.
    pub const ALL: Self = Self { fresh: true, backlog_bytes: u64::MAX, answers: true };
}

/// The purse.
#[derive(Clone, Debug)]
pub struct Budget {
    /// In bytes; 0 without a bound.
    hourly: u64,
    /// What is in the purse; less than nothing after what could not wait.
    left: i64,
    /// Up to when it was filled.
    filled: Duration,
    /// What was charged since the start, and is compared with what the line carried.
    charged: u64,
    /// When fresh totals, and something of the backlog, were last told.
    fresh_told: Duration,
    backlog_told: Duration,
    /// What is left of the floor of answers, and up to when it was filled; less than nothing after a part that was larger.
    answers_left: i64,
    answers_filled: Duration,
}

impl Budget {
    /// So many bytes an hour, with a full purse; 0 for no bound.
    #[must_use]
    pub fn new(hourly: u64) -> Self {
        let none = Duration::ZERO;
        let mut budget = Self {
            hourly,
            left: 0,
            filled: none,
            charged: 0,
            fresh_told: none,
            backlog_told: none,
            answers_left: signed(ANSWERS_FLOOR),
            answers_filled: none,
        };
        budget.left = budget.purse();
        budget
    }

    /// Another bound from now on. What was told stays paid for; the purse holds no more than the new one does, and owes no
    /// more either.
    pub fn set_hourly(&mut self, hourly: u64, now: Duration) {
        if hourly == self.hourly {
            return;
        }
        let was_unbounded = self.hourly == 0;
        if was_unbounded {
            (self.filled, self.answers_filled) = (now, now);
        } else {
            self.fill(now);
        }
        self.hourly = hourly;
        let purse = self.purse();
        self.left = if was_unbounded { purse } else { self.left.clamp(purse.saturating_neg(), purse) };
    }

    /// Bytes an hour; 0 without a bound.
    #[must_use]
    pub fn hourly(&self) -> u64 {
        self.hourly
    }

    /// What may be told now.
    pub fn allowance(&mut self, now: Duration) -> Allowance {
        if self.hourly == 0 {
            return Allowance::ALL;
        }
        self.fill(now);
        let above_half = self.left.saturating_sub(self.purse() / 2);
        let waited = |since, floor| now.saturating_sub(since) >= floor;
        let least = u64::from(waited(self.backlog_told, BACKLOG_FLOOR));
        Allowance {
            fresh: self.left > 0 || waited(self.fresh_told, FRESH_FLOOR),
            backlog_bytes: u64::try_from(above_half).unwrap_or(0).max(least),
            answers: above_half > 0 || self.answers_left > 0,
        }
    }

    /// A record of so many bytes is told.
    pub fn told(&mut self, bytes: u64) {
        self.charge(bytes.saturating_add(AROUND_A_RECORD));
    }

    /// How large a part of a release may be that is asked for now. It may be as large as half of the purse, and waits until that
    /// leaves something in it: what is fresh never waits for a release.
    pub fn part(&mut self, now: Duration) -> Option<u32> {
        if self.hourly == 0 {
            return Some(PART_BYTES);
        }
        self.fill(now);
        let half = u64::try_from(self.purse() / 2).unwrap_or(0);
        let part = half.clamp(PART_LEAST.into(), PART_BYTES.into());
        let cost = part.saturating_add(AROUND_A_PART);
        // A purse that is smaller than that has to be nearly full.
        let needed = cost.min(u64::try_from(self.purse() / 4 * 3).unwrap_or(0));
        let is_there = u64::try_from(self.left).is_ok_and(|left| left >= needed);
        is_there.then(|| u32::try_from(part).unwrap_or(PART_BYTES))
    }

    /// A part of so many bytes is asked for.
    pub fn asked_part(&mut self, bytes: u32) {
        self.charge(u64::from(bytes).saturating_add(AROUND_A_PART));
    }

    /// A part of an answer of so many bytes is told. The floor is spent first where the purse is less than half full.
    pub fn told_answer(&mut self, bytes: u64) {
        let bytes = bytes.saturating_add(AROUND_A_RECORD);
        if self.hourly > 0 && self.left <= self.purse() / 2 {
            let most_owed = signed(ANSWERS_FLOOR).saturating_neg();
            self.answers_left = self.answers_left.saturating_sub_unsigned(bytes).max(most_owed);
        }
        self.charge(bytes);
    }

    /// Fresh totals were told, or there were none.
    pub fn told_fresh(&mut self, now: Duration) {
        self.fresh_told = now;
    }

    /// Something of the backlog or of the log was told, or there was none.
    pub fn told_backlog(&mut self, now: Duration) {
        self.backlog_told = now;
    }

    /// The line has carried so much since the start; `is_idle` when nothing that was told is still on its way.
    pub fn settle(&mut self, carried: u64, is_idle: bool) {
        let more = carried.saturating_sub(self.charged);
        let less = self.charged.saturating_sub(carried);
        self.charge(more);
        if is_idle && less > 0 {
            self.charged = carried;
            self.put(less);
        }
    }

    fn charge(&mut self, bytes: u64) {
        self.charged = self.charged.saturating_add(bytes);
        let most_owed = self.purse().max(RECORD_BYTES).saturating_neg();
        self.left = self.left.saturating_sub_unsigned(bytes).max(most_owed);
    }

    fn fill(&mut self, now: Duration) {
        let bytes = earned(&mut self.filled, now, rate_of(self.hourly));
        self.put(bytes);
        let floor = earned(&mut self.answers_filled, now, ANSWERS_FLOOR);
        self.answers_left = self.answers_left.saturating_add_unsigned(floor).min(signed(ANSWERS_FLOOR));
    }

    fn put(&mut self, bytes: u64) {
        self.left = self.left.saturating_add_unsigned(bytes).min(self.purse());
    }

    fn purse(&self) -> i64 {
        signed(self.hourly / PURSE_SHARE)
    }
}

/// What the purse earns in an hour: with a full one, and the last telling that empties it, no hour has more than its bytes.
fn rate_of(hourly: u64) -> u64 {
    let purse = hourly / PURSE_SHARE;
    let last = LAST_TELLING.min(hourly / LAST_TELLING_SHARE);
    hourly.saturating_sub(purse).saturating_sub(last).max(1)
}

/// What an hourly rate has brought since `filled`, which moves on by what that takes: the rest of a byte stays in the time.
fn earned(filled: &mut Duration, now: Duration, rate: u64) -> u64 {
    let passed = u64::try_from(now.saturating_sub(*filled).as_millis()).unwrap_or(u64::MAX);
    let bytes = passed.saturating_mul(rate) / HOUR_MS;
    let paid_for = Duration::from_millis(bytes.saturating_mul(HOUR_MS) / rate.max(1));
    *filled = filled.saturating_add(paid_for);
    bytes
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minute: u64) -> Duration {
        Duration::from_secs(60 * minute)
    }

    #[test]
    fn without_a_bound_everything_may_be_told() {
        let mut budget = Budget::new(0);
        budget.told(u64::MAX);
        assert_eq!(budget.allowance(at(0)), Allowance::ALL);
    }

    #[test]
    fn the_backlog_leaves_half_of_the_purse_to_what_is_fresh() {
        let mut budget = Budget::new(100_000);
        let check = |budget: &mut Budget, minute, fresh, backlog_bytes| {
            let allowance = budget.allowance(at(minute));
            assert_eq!((allowance.fresh, allowance.backlog_bytes), (fresh, backlog_bytes));
        };
        check(&mut budget, 0, true, 10_000);
        budget.told(9_680);
        check(&mut budget, 0, true, 0);
        budget.told(9_679);
        check(&mut budget, 0, true, 0);
        budget.told(0);
        check(&mut budget, 0, false, 0);
        // 75,000 bytes an hour.
        check(&mut budget, 15, true, 8_750 - 319);
        check(&mut budget, 600, true, 10_000);
    }

    #[test]
    fn what_could_not_wait_is_paid_by_what_can_and_never_for_ever() {
        let mut budget = Budget::new(100_000);
        budget.told_fresh(at(0));
        budget.settle(30_000, false);
        assert!(!budget.allowance(at(0)).fresh);
        assert!(!budget.allowance(at(8)).fresh);
        assert!(budget.allowance(at(9)).fresh);
        // A state of megabytes silences a site for a quarter of an hour.
        budget.settle(5_000_000, false);
        assert!(!budget.allowance(at(9 + 15)).fresh);
        assert!(budget.allowance(at(9 + 17)).fresh);
        // And a line that wastes more than all of it leaves the floors.
        for minute in 26..200 {
            budget.settle(5_000_000 + minute * 10_000, false);
            let allowance = budget.allowance(at(minute));
            if allowance.fresh {
                budget.told_fresh(at(minute));
            }
            if allowance.backlog_bytes > 0 {
                assert_eq!(allowance.backlog_bytes, 1);
                budget.told_backlog(at(minute));
            }
            let since = (at(minute) - budget.fresh_told, at(minute) - budget.backlog_told);
            assert!(since.0 < FRESH_FLOOR && since.1 < BACKLOG_FLOOR, "{since:?}");
        }
    }

    #[test]
    fn an_answer_waits_like_the_backlog_but_a_doctors_always_comes() {
        let mut budget = Budget::new(10_000);
        let mut carried = 0;
        let mut may_be_told = |budget: &mut Budget, minute| {
            budget.allowance(at(minute));
            carried += 5_000_000;
            budget.settle(carried, false);
            budget.allowance(at(minute)).answers
        };
        // However much is owed: a report of a doctor, and then no more of it until that is paid for.
        for _ in 0..4 {
            assert!(may_be_told(&mut budget, 0));
            budget.told_answer(4_000 - AROUND_A_RECORD);
        }
        assert!(!may_be_told(&mut budget, 0));
        assert!(may_be_told(&mut budget, 1));
        budget.told_answer(8_000);
        assert!(!may_be_told(&mut budget, 30));
        assert!(may_be_told(&mut budget, 33));
        // Where the purse is over half full, it is no part of the floor.
        let mut budget = Budget::new(1_000_000);
        while budget.allowance(at(0)).backlog_bytes > 0 {
            budget.told_answer(40_000);
        }
        assert_eq!(budget.answers_left, i64::try_from(ANSWERS_FLOOR).unwrap());
    }

    #[test]
    fn another_bound_holds_from_its_moment_on() {
        let mut budget = Budget::new(0);
        budget.set_hourly(100_000, at(600));
        assert_eq!(
            budget.allowance(at(600)).backlog_bytes,
            10_000,
            "it begins with a full purse, and no fuller"
        );
        budget.settle(1_000_000, false);
        budget.set_hourly(10_000, at(601));
        assert_eq!(budget.left, -2_000, "what is owed is no more than the new purse");
        budget.set_hourly(0, at(602));
        assert_eq!(budget.allowance(at(602)), Allowance::ALL);
    }

    proptest! {
        #[test]
        fn no_hour_carries_more_answers_than_its_bytes_and_the_floor(
            hourly in 15_000_u64..1_000_000, steps in prop::collection::vec((0_u64..240, 0_u64..4_000), 1..400),
        ) {
            let (mut budget, mut now) = (Budget::new(hourly), Duration::ZERO);
            let mut told: Vec<(Duration, u64)> = Vec::new();
            for (seconds, bytes) in steps {
                now += Duration::from_secs(seconds);
                if budget.allowance(now).answers {
                    budget.told_answer(bytes);
                    told.push((now, bytes + AROUND_A_RECORD));
                }
            }
            let hour = Duration::from_secs(3_600);
            for (begin, _) in &told {
                let within = told.iter().filter(|(at, _)| at >= begin && *at < *begin + hour);
                let sum: u64 = within.map(|(_, bytes)| bytes).sum();
                // A floor that was full and was filled once more; and of each of both one part over it.
                let most = hourly / 10 * 9 + 10 + 2 * (ANSWERS_FLOOR + 4_000 + AROUND_A_RECORD);
                prop_assert!(sum <= most, "{sum} bytes of {hourly}");
            }
        }
    }

    #[test]
    fn what_was_charged_is_set_right_by_what_the_line_carried() {
        let mut budget = Budget::new(100_000);
        budget.told_backlog(at(0));
        budget.told(4_680);
        budget.settle(1_000, false);
        assert_eq!(budget.allowance(at(0)).backlog_bytes, 5_000, "it is still on its way");
        budget.settle(3_000, true);
        assert_eq!(budget.allowance(at(0)).backlog_bytes, 7_000);
        budget.settle(3_500, true);
        assert_eq!(budget.allowance(at(0)).backlog_bytes, 6_500);
    }

    #[test]
    fn a_release_is_paced_by_the_hour_and_leaves_what_is_fresh_its_turn() {
        for hourly in [10_000_u64, 100_000, 1_000_000] {
            let (mut budget, mut now, mut asked) = (Budget::new(hourly), Duration::ZERO, Vec::new());
            while now < Duration::from_secs(6 * 3_600) {
                if let Some(part) = budget.part(now) {
                    budget.asked_part(part);
                    asked.push((now, u64::from(part)));
                }
                now += Duration::from_secs(1);
                // A purse that is smaller than what a part costs owes for some minutes.
                assert!(hourly == 10_000 || budget.allowance(now).fresh, "{hourly} after {now:?}");
            }
            let (total, cost) = asked
                .iter()
                .fold((0, 0), |(total, cost), (_, part)| (total + part, cost + part + AROUND_A_PART));
            assert!(
                cost <= hourly * 6 && total > 0,
                "{total} of a release, {cost} in all, at {hourly} an hour for six"
            );
            println!("{hourly} bytes an hour bring {} of a release in an hour", total / 6);
        }
        assert_eq!(Budget::new(0).part(at(0)), Some(PART_BYTES));
        let mut poor = Budget::new(100_000);
        poor.settle(1_000_000, false);
        assert_eq!(poor.part(at(1)), None, "what cannot wait is paid first");
    }

    proptest! {
        #[test]
        fn no_hour_carries_more_of_the_backlog_than_nine_tenths_and_a_record(
            hourly in 8_000_u64..1_000_000, steps in prop::collection::vec((0_u64..240, 0_u64..4_000), 1..400),
        ) {
            let (mut budget, mut now) = (Budget::new(hourly), Duration::ZERO);
            let mut told: Vec<(Duration, u64)> = Vec::new();
            for (seconds, bytes) in steps {
                now += Duration::from_secs(seconds);
                // The floor is another matter.
                budget.told_backlog(now);
                if budget.allowance(now).backlog_bytes > 0 {
                    budget.told(bytes);
                    told.push((now, bytes + AROUND_A_RECORD));
                }
            }
            let hour = Duration::from_secs(3_600);
            for (begin, _) in &told {
                let within = told.iter().filter(|(at, _)| at >= begin && *at < *begin + hour);
                let sum: u64 = within.map(|(_, bytes)| bytes).sum();
                let most = hourly / 10 * 9 + 10 + 4_000 + AROUND_A_RECORD;
                prop_assert!(sum <= most, "{sum} bytes of {hourly}");
            }
        }
    }
}
