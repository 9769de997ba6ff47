//! What one site takes on a metered line in a month.
//!
//! What each thing takes on the line is measured (`bin/figures/line.rs`). How often each is told is played: thirty days of
//! subscribers whose sessions end and begin again at any time, through the agent's own decision of what is told when.

use std::time::Duration;

use serde::Serialize;
use tawi_agent::link::keep_alive::{Bounds, KeepAlive};
use tawi_agent::site::cadence::{Cadence, UsageDue};
use tawi_shared::IdSource;
use tawi_shared::wire::EventKind;

/// What a month may take on a good link, and on a bad one.
pub const MONTH_BYTES: u64 = 15_000_000;
/// See [`MONTH_BYTES`].
pub const BAD_MONTH_BYTES: u64 = 25_000_000;

const DAYS: u64 = 30;
const SECONDS_A_DAY: u64 = 86_400;
/// How often a subscriber's session ends and begins again in a day, and for how many seconds the device is away.
const TURNS_A_DAY: u64 = 2;
const AWAY_SECONDS: u64 = 90;
/// How often a subscriber pays in a month, and how often the connection of a bad link is lost in a day.
const PAYMENTS_A_MONTH: u64 = 1;
const RECONNECTS_A_DAY: u64 = 50;

/// What each thing takes on the line, in bytes, with TCP and IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// A try of the silent connection, and its answer.
    pub keep_alive: u64,
    /// The running totals of all sessions.
    pub report: u64,
    /// Telling of sessions that came and went, for itself, however many they are.
    pub telling: u64,
    /// What one session that ends and begins again adds to that.
    pub turn: u64,
    /// A payment: what is told, stored, applied and logged.
    pub payment: u64,
    /// A connection that is lost and comes back.
    pub reconnect: u64,
}

/// How often each of them happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Tries of the silent connection.
    pub keep_alives: u64,
    /// Reports of all sessions.
    pub reports: u64,
    /// Messages about those that came and went, between the reports.
    pub tellings: u64,
    /// Sessions that ended and began again.
    pub turns: u64,
    /// Payments.
    pub payments: u64,
    /// Connections that were lost.
    pub reconnects: u64,
}

impl Counts {
    /// Of a month of so many subscribers, whose totals are told every so often.
    #[must_use]
    pub fn played(subscribers: u64, report_every: Duration, seed: u64) -> Self {
        let random = IdSource::seeded(seed);
        let days = DAYS * SECONDS_A_DAY;
        let mut counts = Self { payments: subscribers * PAYMENTS_A_MONTH, ..Self::default() };
        let mut happens: Vec<(u64, EventKind, String)> = Vec::new();
        for subscriber in 0..subscribers {
            for _ in 0..TURNS_A_DAY * DAYS {
                let at = random.number() % days;
                counts.turns += 1;
                happens.push((at, EventKind::LineOffline, subscriber.to_string()));
                happens.push((at + AWAY_SECONDS, EventKind::LineOnline, subscriber.to_string()));
            }
        }
        happens.sort();
        let mut happens = happens.into_iter().peekable();
        let mut cadence = Cadence::new(report_every);
        for second in 0..days {
            let now = Duration::from_secs(second);
            while let Some((_, kind, line)) = happens.next_if(|(at, ..)| *at <= second) {
                if kind == EventKind::LineOffline {
                    cadence.ended(now);
                }
                cadence.event(kind, Some(&line), now);
            }
            let due = cadence.due(now);
            match due {
                UsageDue::All => counts.reports += 1,
                UsageDue::Some(_) => counts.tellings += 1,
                UsageDue::Nothing if cadence.are_events_due(now) => counts.tellings += 1,
                UsageDue::Nothing => continue,
            }
            cadence.told(&due, now);
            cadence.events_told();
        }
        counts.keep_alives = days / KeepAlive::new(None, Bounds::default()).interval().as_secs();
        counts
    }
}

/// A month, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Month {
    /// What each thing takes.
    pub one: Costs,
    /// How often each happens.
    pub counts: Counts,
    /// All keep-alives, and so on.
    pub keep_alives: u64,
    /// All reports.
    pub reports: u64,
    /// All sessions that came and went.
    pub sessions: u64,
    /// All payments.
    pub payments: u64,
    /// Together, on a link that holds.
    pub good_link: u64,
    /// With so many reconnects a day.
    pub bad_link: u64,
}

impl Month {
    /// So many of each thing. No session lasts for as long as it may be told by its short name, so that none is named anew.
    #[must_use]
    pub fn of(one: Costs, counts: Counts) -> Self {
        let counts = Counts { reconnects: RECONNECTS_A_DAY * DAYS, ..counts };
        let keep_alives = one.keep_alive * counts.keep_alives;
        let reports = one.report * counts.reports;
        let sessions = one.telling * counts.tellings + one.turn * counts.turns;
        let payments = one.payment * counts.payments;
        let good_link = keep_alives + reports + sessions + payments;
        let bad_link = good_link + one.reconnect * counts.reconnects;
        Self { one, counts, keep_alives, reports, sessions, payments, good_link, bad_link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_played_by_the_agents_own_cadence() {
        let quarter = Duration::from_secs(900);
        let counts = Counts::played(200, quarter, 1);
        assert_eq!((counts.reports, counts.turns, counts.payments), (2_880, 12_000, 200));
        // Four turns in a quarter of an hour, of which some wait for the report.
        assert!((2_880..2 * 2_880).contains(&counts.tellings), "{counts:?}");
        assert!(Counts::played(10, quarter, 1).tellings < 700, "who has few subscribers tells of few");
        assert_eq!(Counts::played(0, quarter, 1).tellings, 0);
    }
}
