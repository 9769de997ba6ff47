//! Data that lines may move: the periods that they bought, with what was topped up, and what is used of each.
//!
//! A period is written with the purchase that is its cause, in the same transaction. What a site is told of it is
//! `entitlements`; the agent counts and closes by itself, and what is shown here is as old as its last report.

mod store;
#[cfg(test)]
mod tests;

use tawi_shared::UnixMillis;

use crate::database::{Answers, Connection, Together};
use crate::desired::{self, DesiredError, Refreshed};
use crate::entitlements::{self, Period};
use crate::ids::{LineId, SiteId};
use crate::usage::{self, UsageError};

pub use store::LineUsage;

/// Periods that a site is told of: the running one, and two years of months bought ahead.
const TOLD: u32 = 25;

/// Where a line stands in its running period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When the period began.
    pub started_at: UnixMillis,
    /// When it ends.
    pub ends_at: UnixMillis,
    /// What may be moved in it, with what was topped up; `None` for no limit.
    pub bytes: Option<u64>,
    /// How much of that was topped up.
    pub topped_up_bytes: u64,
    /// What was moved in it, as far as it was reported: to the byte where there is a limit, by whole hours where there is
    /// none, because agents count towards a period only what has a limit.
    pub used_bytes: u64,
}

impl Standing {
    /// What is left of it; `None` for no limit.
    #[must_use]
    pub fn left_bytes(&self) -> Option<u64> {
        self.bytes.map(|bytes| bytes.saturating_sub(self.used_bytes))
    }
}

/// Writes a period that runs on its router already, for `adoption`. What is sold begins with `payments::deferred_start`.
pub(crate) fn begin(together: &mut Together, line: &LineId, period: Period) {
    store::add(together, line, period);
}

/// The periods that a site is told of: the running one, or the last one when none runs, and those bought ahead.
///
/// # Errors
/// When the database refuses.
pub async fn periods_of(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<Vec<Period>, sqlx::Error> {
    let mut together = Together::default();
    ask_periods_of(&mut together, line, now);
    answered_periods(&mut together.fetch(connection).await?)
}

/// The same question among others; [`answered_periods`] reads the answer.
pub(crate) fn ask_periods_of(together: &mut Together, line: &LineId, now: UnixMillis) {
    store::ask_periods_from_running(together, line, now, TOLD);
}

/// The answer to [`ask_periods_of`].
pub(crate) fn answered_periods(answers: &mut Answers) -> Result<Vec<Period>, sqlx::Error> {
    store::answered_periods(answers)
}

/// Refreshes lines of which a period has ended and more are bought ahead than a site is told of, and notes the ended
/// periods as seen, at most `limit` of them: without it the later ones would never be told. Answers how many were seen,
/// and whether a site must be told.
///
/// # Errors
/// [`DesiredError`]; the transaction must then be rolled back.
pub async fn follow_up_ended(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<(usize, bool), DesiredError> {
    let ended = store::ended_unseen(connection, now, limit).await?;
    let mut is_told = false;
    for (line, started_at) in &ended {
        let told = periods_of(connection, line, now).await?;
        if told.len() >= usize::try_from(TOLD).unwrap_or(usize::MAX) {
            let refreshed = desired::refresh_line(connection, line, now).await?;
            is_told |= matches!(refreshed, Refreshed::Changed { .. });
        }
        store::note_seen(connection, line, *started_at).await?;
    }
    Ok((ended.len(), is_told))
}

/// Adds to the running period of a line; `false` when none runs, or it has no limit.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn top_up(
    connection: &mut Connection,
    line: &LineId,
    bytes: u64,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    store::top_up(connection, line, bytes, now).await
}

/// Where a line stands in the period that runs; `None` when none does.
///
/// # Errors
/// When the database refuses.
pub async fn standing(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<Option<Standing>, sqlx::Error> {
    let Some((period, topped_up_bytes)) = store::running(connection, line, now).await? else {
        return Ok(None);
    };
    let used_bytes = match period.bytes {
        Some(_) => store::used(connection, line, period.started_at).await?,
        None => usage::moved_since(connection, line, period.started_at, now).await.map_err(unread)?.total(),
    };
    let Period { started_at, ends_at, bytes } = period;
    Ok(Some(Standing { started_at, ends_at, bytes, topped_up_bytes, used_bytes }))
}

/// What the lines of a site moved in their running periods, told by anybody but this life of the site's store: at other
/// sites, and before the store began. Lines that moved nothing there are left out. Of all lines, or of `only` this one.
///
/// # Errors
/// When the database refuses.
pub async fn used_elsewhere(
    connection: &mut Connection,
    (site, store_epoch): (&SiteId, u32),
    only: Option<&LineId>,
    now: UnixMillis,
) -> Result<Vec<LineUsage>, sqlx::Error> {
    store::used_elsewhere(connection, (site, store_epoch), only, now).await
}

fn unread(error: UsageError) -> sqlx::Error {
    match error {
        UsageError::Database(error) => error,
        UsageError::Row { .. } => sqlx::Error::Decode(Box::new(error)),
    }
}

/// Whether a top-up could be bought now.
#[must_use]
pub fn may_top_up(periods: &[Period], now: UnixMillis) -> bool {
    entitlements::running(periods, now).is_some_and(|period| period.bytes.is_some())
}
