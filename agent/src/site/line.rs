//! The core's part in what the line costs: what may be told now, what was carried, and when head office hears of it.
//!
//! The rules are `link::budget` and `link::ledger`; the counters are `link::counters`.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, LinePart, LineReportV1};

use super::{Site, Talk};
use crate::flow::Event;
use crate::health::{LinePartStatus, LineStatus};
use crate::link::ByteCounters;
use crate::link::budget::{Allowance, Budget};
use crate::link::ledger::{KeptLine, Ledger};
use crate::outbox::{Overview, Reported};

/// How often head office hears what the line carried, where nobody looks.
const SAID_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// And where somebody looks.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// What the line may carry, and has.
pub(super) struct Line {
    budget: Budget,
    ledger: Ledger,
    /// When head office last heard of it, and whether somebody wants to.
    said: Option<Duration>,
    is_wanted: bool,
}

impl Line {
    pub(super) fn new(hourly_bytes: u64, kept: KeptLine) -> Self {
        let (budget, ledger) = (Budget::new(hourly_bytes), Ledger::new(kept));
        Self { budget, ledger, said: None, is_wanted: false }
    }

    /// A record of so many bytes is told.
    pub(super) fn told(&mut self, bytes: usize) {
        self.budget.told(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// How large a part of a release may be that is asked for now; `None`: none may be.
    pub(super) fn part(&mut self, now: Duration) -> Option<u32> {
        self.budget.part(now)
    }

    /// A part of so many bytes is asked for.
    pub(super) fn asked_part(&mut self, bytes: u32) {
        self.budget.asked_part(bytes);
    }

    /// A part of an answer of so many bytes is told.
    pub(super) fn told_answer(&mut self, bytes: usize) {
        self.budget.told_answer(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// So many bytes an hour from now on.
    pub(super) fn set_hourly(&mut self, hourly_bytes: u64, now: Duration) {
        self.budget.set_hourly(hourly_bytes, now);
        // Head office shows the bound, and whoever set it looks.
        self.is_wanted = true;
    }

    /// Whether what may be told on it is bounded.
    pub(super) fn is_metered(&self) -> bool {
        self.budget.hourly() > 0
    }

    /// So much was allowed, and all of it that there was is told.
    pub(super) fn allowed(&mut self, allowance: Allowance, was_asked: (bool, bool), now: Duration) {
        let (fresh, backlog) = was_asked;
        if fresh && allowance.fresh {
            self.budget.told_fresh(now);
        }
        if backlog && allowance.backlog_bytes > 0 {
            self.budget.told_backlog(now);
        }
    }

    /// Takes over what the counters say. `is_idle` while nothing is on its way.
    fn settle(&mut self, counters: &ByteCounters, now: UnixMillis, (is_sure, is_idle): (bool, bool)) {
        self.budget.settle(counters.carried(), is_idle);
        self.ledger.note(&counters.by_part(), now, is_sure);
    }

    /// A store that opened only now held this.
    pub(super) fn join(&mut self, found: &KeptLine) {
        self.ledger.join(found);
    }

    pub(super) fn kept(&self) -> KeptLine {
        self.ledger.kept()
    }

    /// Somebody looks at the site.
    pub(super) fn hurry(&mut self) {
        self.is_wanted = true;
    }

    /// Whether head office is to hear of it now; asked while it listens.
    fn is_due(&self, now: Duration) -> bool {
        let since = |said| now.saturating_sub(said);
        let is_wanted = |said| self.is_wanted && since(said) >= SAID_AGAIN;
        self.said.is_none_or(|said| since(said) >= SAID_EVERY || is_wanted(said))
    }

    pub(super) fn status(&self, counters: &ByteCounters, backlog: u64) -> LineStatus {
        let KeptLine { running, before } = self.kept();
        let part = |(part, (up, down)): (&LinePart, (u64, u64))| LinePartStatus {
            part: part.as_str().to_owned(),
            bytes_sent: up,
            bytes_received: down,
        };
        LineStatus {
            month: running.month,
            month_bytes: running.total(),
            month_before_bytes: before.total(),
            parts: LinePart::ALL.iter().zip(running.parts).map(part).collect(),
            hourly_bytes: self.budget.hourly(),
            keep_alive_seconds: counters.keep_alive_seconds(),
            backlog_records: backlog,
        }
    }
}

/// What waits behind everything that is fresh.
pub(super) fn backlog_of(overview: &Overview) -> u64 {
    overview.usage.backlog.saturating_add(overview.events.backlog)
}

/// Who came and went while there was no line is no news when it is back: it goes behind everything else.
pub(super) fn put_behind(reported: &mut Reported) {
    let is_news = |event: &Event| !matches!(event.kind, EventKind::LineOnline | EventKind::LineOffline);
    let (news, backlog) = std::mem::take(&mut reported.events).into_iter().partition(is_news);
    (reported.events, reported.backlog) = (news, backlog);
}

impl Site {
    /// What may be told now.
    pub(super) fn allowance(&mut self) -> Allowance {
        self.line.budget.allowance(self.started.elapsed())
    }

    /// Whether some of the backlog may be told now.
    pub(super) fn is_backlog_due(&mut self) -> bool {
        backlog_of(&self.overview) > 0 && self.allowance().backlog_bytes > 0
    }

    /// Adds up what the line carried, and says so when it is time.
    pub(super) fn watch_line(&mut self) {
        let reading = self.tools.clock.reading();
        let is_sure = reading.is_trusted && reading.leap_in_doubt.is_none();
        let is_idle = self.talk.as_ref().is_none_or(Talk::is_idle) && !self.upgrade.is_asking();
        self.line.settle(&self.tools.bytes, reading.now, (is_sure, is_idle));
        let now = self.started.elapsed();
        if !self.talk.as_ref().is_some_and(Talk::takes_line_reports) || !self.line.is_due(now) {
            return;
        }
        let months = self.line.ledger.to_wire();
        if months.is_empty() {
            return;
        }
        (self.line.said, self.line.is_wanted) = (Some(now), false);
        let report = LineReportV1 {
            at_ms: reading.now.0,
            hourly_bytes: self.line.budget.hourly(),
            keep_alive_seconds: u16::try_from(self.tools.bytes.keep_alive_seconds()).unwrap_or(u16::MAX),
            backlog_records: backlog_of(&self.overview),
            months,
        };
        self.with_talk(|talk| talk.line(&report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_office_hears_of_the_line_four_times_a_day_and_when_somebody_looks() {
        let at = Duration::from_secs;
        let mut line = Line::new(0, KeptLine::default());
        assert!(line.is_due(at(0)));
        line.said = Some(at(10));
        assert!(!line.is_due(at(6 * 3_600)));
        assert!(line.is_due(at(6 * 3_600 + 10)));
        line.hurry();
        assert!(!line.is_due(at(69)));
        assert!(line.is_due(at(70)));
    }

    #[test]
    fn who_came_and_went_without_a_line_waits_behind_the_rest() {
        let event = |kind| Event { at: UnixMillis(1), kind, line: None, router: None, detail: String::new() };
        let kinds = |events: &[Event]| events.iter().map(|event| event.kind).collect::<Vec<_>>();
        let all =
            [EventKind::LineOnline, EventKind::RouterLost, EventKind::LineOffline, EventKind::QuotaReached];
        let mut reported = Reported { events: all.map(event).to_vec(), ..Reported::default() };
        put_behind(&mut reported);
        assert_eq!(kinds(&reported.events), [EventKind::RouterLost, EventKind::QuotaReached]);
        assert_eq!(kinds(&reported.backlog), [EventKind::LineOnline, EventKind::LineOffline]);
    }
}
