//! What a site's line carries, for its page and for programs.

use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::wire::LinePart;
use utoipa::ToSchema;

use super::{Backhaul, Month};
use crate::web::api::at_ms;
use crate::web::display::{self, Moment};

/// Months on a page.
const SHOWN: usize = 3;

/// As a site's page shows it.
pub(crate) struct BackhaulView {
    /// `100 kB an hour, at most 58 MB a month`, or that there is no bound.
    pub(crate) bound: String,
    pub(crate) is_set_here: bool,
    /// `each 240 s`.
    pub(crate) keep_alive: String,
    /// What waits there; empty when nothing does.
    pub(crate) backlog: String,
    pub(crate) said: Moment,
    pub(crate) months: Vec<MonthView>,
}

/// One month, with its largest part first.
pub(crate) struct MonthView {
    pub(crate) name: String,
    pub(crate) total: String,
    pub(crate) parts: String,
}

impl BackhaulView {
    /// `is_set_here` says whether head office bounds it, and not the device's own settings.
    pub(crate) fn of(known: &Backhaul, is_set_here: bool, now: UnixMillis) -> Self {
        let bound = match known.hourly_bytes {
            0 => "no bound".to_owned(),
            bytes => format!("{} an hour", display::bytes(bytes)),
        };
        let backlog = match known.backlog_records {
            0 => String::new(),
            records => format!(
                "{} of the time without a line wait for their turn",
                display::counted(records, "record")
            ),
        };
        Self {
            bound,
            is_set_here,
            keep_alive: format!("tried each {} s", known.keep_alive_seconds),
            backlog,
            said: Moment::of(known.said_at, now),
            months: known.months.iter().take(SHOWN).map(MonthView::of).collect(),
        }
    }
}

impl MonthView {
    fn of(month: &Month) -> Self {
        let mut parts: Vec<_> =
            month.parts.iter().map(|(part, up, down)| (up.saturating_add(*down), name_of(*part))).collect();
        parts.sort_unstable_by(|one, other| other.cmp(one));
        let said = parts.iter().filter(|(bytes, _)| *bytes > 0);
        let said: Vec<_> = said.map(|(bytes, name)| format!("{name} {}", display::bytes(*bytes))).collect();
        Self {
            name: display::month(month.month),
            total: display::bytes(month.total()),
            parts: said.join(" · "),
        }
    }
}

/// As a person reads it.
fn name_of(part: LinePart) -> &'static str {
    match part {
        LinePart::Link => "keeping the line, and headers",
        LinePart::Talk => "answers",
        LinePart::State => "what head office wants",
        LinePart::Events => "events",
        LinePart::Usage => "usage",
        LinePart::Log => "API log",
        LinePart::Upgrade => "upgrades of the agent",
        LinePart::Remote => "what was asked of the agent",
    }
}

/// What a site's line to head office carries, as its agent counts it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BackhaulBody {
    /// What may be told on it in an hour, in bytes; 0 without a bound.
    pub hourly_bytes: u64,
    /// How often the silent connection is tried, in seconds.
    pub keep_alive_seconds: u64,
    /// Records of the time that the site was cut off which wait there for their turn.
    pub backlog_records: u64,
    /// When the agent said so.
    pub said_at_ms: i64,
    /// Newest first, at most 13.
    pub months: Vec<MonthBody>,
}

/// What it carried in one month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MonthBody {
    /// Such as 202611, in East Africa Time.
    pub month: u32,
    /// Both directions, in bytes with the headers of IP.
    pub bytes: u64,
    /// By what it was for.
    pub parts: Vec<PartBody>,
}

/// One part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PartBody {
    /// A stable word: `link`, `answers`, `state`, `events`, `usage`, `log`, `remote`.
    pub part: String,
    /// To head office.
    pub up_bytes: u64,
    /// From there.
    pub down_bytes: u64,
}

impl From<&Backhaul> for BackhaulBody {
    fn from(known: &Backhaul) -> Self {
        let part = |(part, up, down): &(LinePart, u64, u64)| PartBody {
            part: part.as_str().to_owned(),
            up_bytes: *up,
            down_bytes: *down,
        };
        let month = |month: &Month| MonthBody {
            month: month.month,
            bytes: month.total(),
            parts: month.parts.iter().map(part).collect(),
        };
        Self {
            hourly_bytes: known.hourly_bytes,
            keep_alive_seconds: known.keep_alive_seconds,
            backlog_records: known.backlog_records,
            said_at_ms: at_ms(known.said_at),
            months: known.months.iter().map(month).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_shown_with_its_largest_part_first() {
        let parts = vec![
            (LinePart::Link, 3_000_000, 2_000_000),
            (LinePart::Usage, 8_100_000, 0),
            (LinePart::Log, 0, 0),
        ];
        let month = Month { month: 202_611, parts };
        let known = Backhaul {
            hourly_bytes: 100_000,
            keep_alive_seconds: 240,
            backlog_records: 0,
            said_at: UnixMillis(0),
            months: vec![month],
        };
        let shown = BackhaulView::of(&known, false, UnixMillis(0));
        let month = &shown.months[0];
        assert_eq!((month.name.as_str(), month.total.as_str()), ("November 2026", "13.1 MB"));
        assert_eq!(month.parts, "usage 8.1 MB · keeping the line, and headers 5.0 MB");
        assert_eq!((shown.bound.as_str(), shown.backlog.as_str()), ("100 kB an hour", ""));
        let known = Backhaul { hourly_bytes: 0, backlog_records: 12_000, ..known };
        let shown = BackhaulView::of(&known, false, UnixMillis(0));
        assert_eq!(
            (shown.bound.as_str(), shown.backlog.contains("12000") || shown.backlog.contains("12,000")),
            ("no bound", true)
        );
    }
}
