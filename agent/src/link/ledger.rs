//! What the line carries in a month, by what it was for: what whoever pays for it wants to see. Pure.
//!
//! Payload is counted where it is said and heard (`session.rs`), all of it where it leaves the machine (`dialer.rs`); what is
//! around the payload is the rest. Kept on flash with the marks of time, each few minutes and at the end, so that a power cut
//! takes some minutes of it. Months are those of East Africa Time, and a month ends only by a clock that is believed.

use serde::{Deserialize, Serialize};
use tawi_shared::wire::{LineMonthV1, LinePart};
use tawi_shared::{UnixMillis, ZONE_AHEAD_OF_UTC};

use crate::api_log::files::civil;

/// How many parts there are.
pub const PARTS: usize = LinePart::ALL.len();
/// Bytes to head office and from there, by part in the order of [`LinePart::ALL`].
pub type ByPart = [(u64, u64); PARTS];

/// What one month carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineMonth {
    /// Year and month, such as 202611; 0 for none.
    pub month: u32,
    /// Bytes with the headers of IP.
    pub parts: ByPart,
}

impl LineMonth {
    /// Both directions of all parts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (up, down)| sum.saturating_add(*up).saturating_add(*down))
    }

    fn to_wire(self) -> LineMonthV1 {
        let parts = LinePart::ALL.iter().zip(self.parts);
        let parts = parts.filter(|(_, (up, down))| up.saturating_add(*down) > 0);
        LineMonthV1 {
            month: self.month,
            parts: parts.map(|(part, (up, down))| (part.code(), up, down)).collect(),
        }
    }

    fn add(&mut self, parts: &ByPart) {
        for ((up, down), (more_up, more_down)) in self.parts.iter_mut().zip(parts) {
            *up = up.saturating_add(*more_up);
            *down = down.saturating_add(*more_down);
        }
    }
}

/// What a restart goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLine {
    /// The running month.
    pub running: LineMonth,
    /// The one before it.
    pub before: LineMonth,
}

/// The months, and how far the counters were added to them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    kept: KeptLine,
    taken: ByPart,
}

impl Ledger {
    /// Goes on from what was kept.
    #[must_use]
    pub fn new(kept: KeptLine) -> Self {
        Self { kept, taken: ByPart::default() }
    }

    /// Adds what the counters, which began with the agent, say beyond the last time.
    pub fn note(&mut self, counters: &ByPart, now: UnixMillis, is_sure: bool) {
        let mut news = ByPart::default();
        for (news, (counted, taken)) in news.iter_mut().zip(counters.iter().zip(&self.taken)) {
            *news = (counted.0.saturating_sub(taken.0), counted.1.saturating_sub(taken.1));
        }
        // What is around the payload shrinks for a moment while payload that was said has not left yet: that is no less.
        for (taken, counted) in self.taken.iter_mut().zip(counters) {
            *taken = (taken.0.max(counted.0), taken.1.max(counted.1));
        }
        let month = month_of(now);
        if self.kept.running.month == 0 || (is_sure && self.kept.running.month != month) {
            // What was counted before anybody knew the month is of this one.
            if self.kept.running.month != 0 {
                self.kept.before = self.kept.running;
                self.kept.running = LineMonth::default();
            }
            self.kept.running.month = if is_sure { month } else { 0 };
        }
        self.kept.running.add(&news);
    }

    /// A store that opened only now held this.
    pub fn join(&mut self, found: &KeptLine) {
        let ours = self.kept.running;
        if found.running.month == 0 {
            return;
        }
        if ours.month == 0 || ours.month == found.running.month {
            self.kept = *found;
            self.kept.running.add(&ours.parts);
        } else {
            self.kept.before = found.running;
        }
    }

    /// For flash.
    #[must_use]
    pub fn kept(&self) -> KeptLine {
        self.kept
    }

    /// For head office: the months that are known.
    #[must_use]
    pub fn to_wire(&self) -> Vec<LineMonthV1> {
        let months = [self.kept.running, self.kept.before];
        months.into_iter().filter(|month| month.month != 0).map(LineMonth::to_wire).collect()
    }
}

/// The month of an instant in East Africa Time, such as 202611.
fn month_of(at: UnixMillis) -> u32 {
    let local = at.plus(ZONE_AHEAD_OF_UTC);
    let (year, month, _) = civil(local.0.div_euclid(86_400_000));
    u32::try_from(year.saturating_mul(100).saturating_add(month)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 23:59 and 2026-12-01 00:00 in Nairobi.
    const NOVEMBER: UnixMillis = UnixMillis(1_796_072_340_000);
    const DECEMBER: UnixMillis = UnixMillis(1_796_072_400_000);

    fn counters(bytes: u64) -> ByPart {
        let mut parts = ByPart::default();
        parts[0] = (bytes, bytes / 2);
        parts[4] = (bytes, 0);
        parts
    }

    #[test]
    fn a_month_ends_at_midnight_in_nairobi() {
        assert_eq!((month_of(NOVEMBER), month_of(DECEMBER)), (202_611, 202_612));
        let mut ledger = Ledger::default();
        ledger.note(&counters(100), NOVEMBER, true);
        ledger.note(&counters(160), DECEMBER, true);
        let kept = ledger.kept();
        assert_eq!((kept.before.month, kept.before.total()), (202_611, 250));
        assert_eq!((kept.running.month, kept.running.total()), (202_612, 150));
        // A restart begins to count at nothing, and goes on from there.
        let mut ledger = Ledger::new(kept);
        ledger.note(&counters(10), DECEMBER, true);
        assert_eq!(ledger.kept().running.total(), 175);
        let said = ledger.to_wire();
        assert_eq!(said[0].parts, [(LinePart::Link.code(), 70, 35), (LinePart::Usage.code(), 70, 0)]);
        assert_eq!(said[1].month, 202_611);
    }

    #[test]
    fn what_shrinks_and_grows_again_is_counted_once() {
        let mut ledger = Ledger::default();
        for bytes in [100, 40, 100, 110] {
            ledger.note(&counters(bytes), NOVEMBER, true);
        }
        assert_eq!(ledger.kept().running.total(), 275);
    }

    #[test]
    fn no_month_ends_by_a_clock_that_nobody_believes() {
        let mut ledger = Ledger::default();
        ledger.note(&counters(100), UnixMillis(0), false);
        assert!(ledger.to_wire().is_empty());
        ledger.note(&counters(100), NOVEMBER, true);
        ledger.note(&counters(110), UnixMillis(0), false);
        let kept = ledger.kept();
        assert_eq!((kept.running.month, kept.running.total(), kept.before.month), (202_611, 275, 0));
    }

    #[test]
    fn a_store_that_opens_late_is_added_to() {
        let mut kept = Ledger::default();
        kept.note(&counters(100), NOVEMBER, true);
        let joined = |at, is_sure| {
            let mut ledger = Ledger::default();
            ledger.note(&counters(10), at, is_sure);
            ledger.join(&kept.kept());
            let kept = ledger.kept();
            (kept.running.month, kept.running.total(), kept.before.total())
        };
        assert_eq!(joined(NOVEMBER, true), (202_611, 275, 0));
        assert_eq!(joined(UnixMillis(0), false), (202_611, 275, 0));
        assert_eq!(joined(DECEMBER, true), (202_612, 25, 250));
    }
}
