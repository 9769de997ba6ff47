//! What the lines of sites to head office carry: how much in a month, for what, and what may be told on them in an hour.
//!
//! Agents count and tell it themselves; here is what each said, month by month. A device that was put on new flash begins to
//! count anew, so that of what it says of a month the most stands. A site is believed about itself only, and about the months
//! around now.

mod store;
pub mod view;

use tawi_shared::wire::{LineMonthV1, LinePart, LineReportV1};
use tawi_shared::{UnixMillis, ZONE_AHEAD_OF_UTC};

use crate::database::Connection;
use crate::ids::SiteId;

/// Months that are kept, with the running one.
const MONTHS: u32 = 13;

/// Months of one report: more are not read.
const MONTHS_SAID: usize = 3;

/// What a site's line carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backhaul {
    /// What may be told on it in an hour, in bytes; 0 without a bound.
    pub hourly_bytes: u64,
    /// How often the silent connection is tried, in seconds.
    pub keep_alive_seconds: u64,
    /// What was noted there while the site was cut off and waits for its turn.
    pub backlog_records: u64,
    /// When the agent said so.
    pub said_at: UnixMillis,
    /// Newest first.
    pub months: Vec<Month>,
}

/// What it carried in one month, in bytes with the headers of IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// Such as 202611, in East Africa Time.
    pub month: u32,
    /// For what, to head office, and from there.
    pub parts: Vec<(LinePart, u64, u64)>,
}

impl Month {
    /// Both directions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (_, up, down)| sum.saturating_add(*up).saturating_add(*down))
    }
}

/// Keeps what an agent said.
///
/// # Errors
/// When the database fails.
pub async fn note(
    connection: &mut Connection,
    site: &SiteId,
    report: &LineReportV1,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    store::put(connection, site, report, now).await?;
    let running = month_of(now);
    let said = report.months.iter().take(MONTHS_SAID);
    for month in said.filter(|month| is_believed(month, running)) {
        for (code, up, down) in month.parts.iter().take(LinePart::ALL.len()) {
            // What a newer agent tells of besides is not known here.
            let Some(part) = LinePart::from_code(*code) else { continue };
            store::put_part(connection, site, month.month, (part, *up, *down)).await?;
        }
    }
    store::forget_before(connection, site, months_before(running, MONTHS - 1)).await
}

/// What is known of a site's line; `None` before its agent said anything.
///
/// # Errors
/// When the database fails.
pub async fn of_site(connection: &mut Connection, site: &SiteId) -> Result<Option<Backhaul>, sqlx::Error> {
    store::of_site(connection, site).await
}

/// A clock at a site may be a day off, and says so elsewhere.
fn is_believed(month: &LineMonthV1, running: u32) -> bool {
    (months_before(running, 2)..=months_after(running)).contains(&month.month)
}

fn month_of(at: UnixMillis) -> u32 {
    let local = at.plus(ZONE_AHEAD_OF_UTC);
    let date =
        jiff::Timestamp::from_millisecond(local.0).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    let year = u32::try_from(date.year()).unwrap_or(0);
    year.saturating_mul(100).saturating_add(u32::try_from(date.month()).unwrap_or(0))
}

/// Months since the year 0.
fn count_of(month: u32) -> u32 {
    (month / 100).saturating_mul(12).saturating_add((month % 100).saturating_sub(1))
}

fn of_count(count: u32) -> u32 {
    (count / 12).saturating_mul(100).saturating_add(count % 12 + 1)
}

fn months_before(month: u32, months: u32) -> u32 {
    of_count(count_of(month).saturating_sub(months))
}

fn months_after(month: u32) -> u32 {
    of_count(count_of(month).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::payments::testing::world;
    use crate::testing::TemporaryDirectory;

    /// 2026-12-01 00:30 in Nairobi.
    const NOW: UnixMillis = UnixMillis(1_796_074_200_000);

    fn said(month: u32, parts: &[(LinePart, u64, u64)]) -> LineMonthV1 {
        let parts = parts.iter().map(|(part, up, down)| (part.code(), *up, *down)).collect();
        LineMonthV1 { month, parts }
    }

    fn report(months: Vec<LineMonthV1>) -> LineReportV1 {
        LineReportV1 { at_ms: 1, hourly_bytes: 100_000, keep_alive_seconds: 240, backlog_records: 7, months }
    }

    #[test]
    fn months_are_those_of_nairobi_and_are_counted_over_the_year() {
        assert_eq!(month_of(NOW), 202_612);
        assert_eq!(month_of(NOW.minus(std::time::Duration::from_secs(3_600))), 202_611);
        assert_eq!(
            (months_before(202_601, 1), months_before(202_612, 12), months_after(202_612)),
            (202_512, 202_512, 202_701)
        );
    }

    #[tokio::test]
    async fn the_most_that_was_said_of_a_month_stands_and_foreign_months_are_passed_over() {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let site = world(&database).await.site;
        let mut connection = database.write().await.unwrap();
        assert_eq!(of_site(&mut connection, &site).await.unwrap(), None);
        let (usage, log) = (LinePart::Usage, LinePart::Log);
        let mut first = said(202_612, &[(usage, 500, 20), (log, 3, 0)]);
        first.parts.push((99, 1, 1));
        let months = vec![first, said(202_611, &[(usage, 9_000, 0)]), said(203_301, &[(usage, 1, 1)])];
        note(&mut connection, &site, &report(months), NOW).await.unwrap();
        // New flash.
        note(&mut connection, &site, &report(vec![said(202_612, &[(usage, 40, 30)])]), NOW).await.unwrap();
        let known = of_site(&mut connection, &site).await.unwrap().unwrap();
        assert_eq!((known.hourly_bytes, known.keep_alive_seconds, known.backlog_records), (100_000, 240, 7));
        assert_eq!(
            known.months,
            [
                Month { month: 202_612, parts: vec![(usage, 500, 30), (log, 3, 0)] },
                Month { month: 202_611, parts: vec![(usage, 9_000, 0)] },
            ]
        );
        assert_eq!(known.months[0].total(), 533);
        // A year later the oldest is forgotten; what cannot be is as much as there is.
        let later = NOW.plus(std::time::Duration::from_secs(366 * 86_400));
        let most = report(vec![said(202_712, &[(usage, u64::MAX, 0)])]);
        note(&mut connection, &site, &most, later).await.unwrap();
        let known = of_site(&mut connection, &site).await.unwrap().unwrap();
        let months: Vec<u32> = known.months.iter().map(|month| month.month).collect();
        assert_eq!(months, [202_712, 202_612]);
        assert_eq!(known.months[0].total(), u64::try_from(i64::MAX).unwrap());
    }
}
