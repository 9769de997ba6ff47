//! What each line moved, by session.
//!
//! Agents tell absolute totals of a session, so that a lost report is healed by the next and a doubled one changes
//! nothing: a total only ever grows. By how much one grew goes into the history by hour and day (`history`), in the same
//! transaction. What of it counts towards a period is `quota`.

pub mod api;
pub mod history;
pub mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{RunningTotalV1, SessionUsageV1};
use thiserror::Error;

use crate::database::Connection;
use crate::ids::{LineId, SiteId};
use crate::plain::is_one_line;
pub use history::Amount;

/// The longest name of a session that is kept, in bytes. An agent's has at most 75: router, service, number, second.
pub const SESSION_BYTES: usize = 80;
/// The longest address that is kept, in bytes: an IPv6 address with an IPv4 one in it.
pub const ADDRESS_BYTES: usize = 45;
/// The largest total that is believed, in bytes: what a line of 10 Gbit/s moves in ten days, and one of 100 Mbit/s in
/// three years.
pub const TOTAL_BYTES: u64 = 1 << 50;

/// How far ahead of ours a site's clock may be and be believed about when a session began. What a clock is off that has a
/// time server is less; a session that begins hours from now would stand before every newer one until then.
pub const AHEAD_BELIEVED: Duration = Duration::from_secs(300);

/// Why usage cannot be read or written.
#[derive(Debug, Error)]
pub enum UsageError {
    /// The database refused.
    #[error("usage: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what the code never writes.
    #[error("usage: column {column} holds {value:?}")]
    Row {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
}

/// One session of a line: from coming online to going offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// At which site.
    pub site: SiteId,
    /// The agent's name for it, unique at the site.
    pub session_key: String,
    /// Whose.
    pub line: LineId,
    /// When it began, by the agent's clock; when it was first heard of, if that clock was ahead.
    pub started_at: UnixMillis,
    /// When these totals were read.
    pub sampled_at: UnixMillis,
    /// Whether it is over.
    pub is_ended: bool,
    /// Bytes from the customer.
    pub upload_bytes: u64,
    /// Bytes to the customer.
    pub download_bytes: u64,
    /// The customer's address; empty when unknown.
    pub address: String,
    /// Which period of the line it counts towards; 0 for none.
    pub period_started_at: UnixMillis,
}

/// What a line moved in all its sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes from the customer.
    pub upload_bytes: u64,
    /// Bytes to the customer.
    pub download_bytes: u64,
    /// How many sessions.
    pub sessions: u64,
}

/// What [`take`] did with a session's totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// They are kept.
    Recorded,
    /// The line was never one of this site's: not believed, and not kept.
    ForeignLine,
    /// Its name is empty, too long or has control characters, or its totals are beyond what a line can move: not kept.
    Unbelievable,
    /// It is new, and the caller takes no more new ones now: not kept.
    TooMany,
}

/// Keeps a session's totals, within the caller's transaction. Totals never go back: of two that disagree the larger
/// one stands, and an ended session stays ended. What is new of them goes into the history, so that a report that is
/// doubled or comes late adds nothing there either. `may_add` is asked before a session is kept that was not known.
///
/// # Errors
/// [`UsageError`].
pub async fn take(
    connection: &mut Connection,
    (site, store_epoch): (&SiteId, u32),
    session: &SessionUsageV1,
    now: UnixMillis,
    may_add: impl FnOnce() -> bool,
) -> Result<Taken, UsageError> {
    if !is_believable(session) {
        return Ok(Taken::Unbelievable);
    }
    if !store::is_line_of(connection, site, &session.line).await? {
        return Ok(Taken::ForeignLine);
    }
    let known = store::known(connection, site, &session.session).await?;
    match &known {
        Some(known) if known.line != session.line => return Ok(Taken::Unbelievable),
        None if !may_add() => return Ok(Taken::TooMany),
        Some(_) | None => {}
    }
    let session = &bounded(session, now);
    store::put(connection, (site, store_epoch), session).await?;
    // A session that goes on in a new period is reported anew, with the beginning of the whole: what was moved in this
    // part was moved since the period began.
    let began = session.started_at_ms.max(session.period_started_ms);
    let before = known.map_or((Amount::default(), began), |known| (known.amount, known.sampled_at.0));
    let moved = Amount {
        upload_bytes: session.upload_bytes.saturating_sub(before.0.upload_bytes),
        download_bytes: session.download_bytes.saturating_sub(before.0.download_bytes),
    };
    if moved != Amount::default() {
        let span = (UnixMillis(before.1), UnixMillis(session.sampled_at_ms));
        for (hour, part) in history::spread(span, moved, now) {
            store::add_to_history(connection, &session.line, hour, part).await?;
        }
    }
    Ok(Taken::Recorded)
}

/// Keeps the running total of a session that was named before: what [`take`] does, without a name. `None` for a short name
/// that no running session of the site has, or several have: the agent names each anew from time to time.
///
/// # Errors
/// [`UsageError`].
pub async fn take_running(
    connection: &mut Connection,
    teller: (&SiteId, u32),
    (total, newest_ms): (&RunningTotalV1, i64),
    now: UnixMillis,
) -> Result<Option<Taken>, UsageError> {
    let Some(session) = store::running(connection, teller.0, total.session).await? else { return Ok(None) };
    let before = i64::from(total.seconds_before).saturating_mul(1_000);
    let session = SessionUsageV1 {
        sampled_at_ms: newest_ms.saturating_sub(before),
        upload_bytes: total.upload_bytes,
        download_bytes: total.download_bytes,
        ..session
    };
    Ok(Some(take(connection, teller, &session, now, || false).await?))
}

/// A session of a site whose clock is ahead: nothing was read after it was heard of, and nothing began.
fn bounded(session: &SessionUsageV1, now: UnixMillis) -> SessionUsageV1 {
    let most = now.plus(AHEAD_BELIEVED);
    let bound = |at: i64| if at > most.0 { now.0 } else { at };
    SessionUsageV1 {
        started_at_ms: bound(session.started_at_ms),
        sampled_at_ms: bound(session.sampled_at_ms),
        ..session.clone()
    }
}

fn is_believable(session: &SessionUsageV1) -> bool {
    session.period_started_ms >= 0
        && (1..=SESSION_BYTES).contains(&session.session.len())
        && session.address.len() <= ADDRESS_BYTES
        && [&session.line, &session.session, &session.address].into_iter().all(|text| is_one_line(text))
        && session.upload_bytes.max(session.download_bytes) <= TOTAL_BYTES
}

/// The newest `limit` sessions of a line, newest first.
///
/// # Errors
/// [`UsageError`].
pub async fn sessions_of_line(
    connection: &mut Connection,
    line: &LineId,
    limit: u32,
) -> Result<Vec<Session>, UsageError> {
    store::sessions_of_line(connection, line, limit).await
}

/// What a line moved as far back as sessions are kept.
///
/// # Errors
/// [`UsageError`].
pub async fn totals_of_line(connection: &mut Connection, line: &LineId) -> Result<Totals, UsageError> {
    store::totals_of_line(connection, line).await
}

/// What a line moved in the last `count` hours, oldest first, the running one last; hours without a byte are zero.
///
/// # Errors
/// [`UsageError`].
pub async fn hours(
    connection: &mut Connection,
    line: &LineId,
    count: u32,
    now: UnixMillis,
) -> Result<Vec<(UnixMillis, Amount)>, UsageError> {
    let first = history::hour_of(now)
        .0
        .saturating_sub(i64::from(count.saturating_sub(1)).saturating_mul(history::HOUR));
    store::hours(connection, line, (first, history::hour_of(now).0)).await
}

/// What a line moved since an instant, as its history has it: from the beginning of that hour, or of that day where its
/// hours are forgotten.
///
/// # Errors
/// [`UsageError`].
pub async fn moved_since(
    connection: &mut Connection,
    line: &LineId,
    from: UnixMillis,
    now: UnixMillis,
) -> Result<Amount, UsageError> {
    let first_day = history::day_of(from);
    let next_day = first_day.0.saturating_add(history::DAY);
    let mut moved = Amount::default();
    let mut add = |spans: Vec<(UnixMillis, Amount)>| {
        spans.into_iter().for_each(|(_, amount)| moved = moved.plus(amount));
    };
    let days_from = if first_day < now.minus(history::HOURS_KEPT) {
        first_day.0
    } else {
        let last_hour = next_day.saturating_sub(history::HOUR).min(history::hour_of(now).0);
        add(store::hours(connection, line, (history::hour_of(from).0, last_hour)).await?);
        next_day
    };
    let today = history::day_of(now).0;
    if days_from <= today {
        add(store::days(connection, line, (days_from, today)).await?);
    }
    Ok(moved)
}

/// The same by days of Nairobi.
///
/// # Errors
/// [`UsageError`].
pub async fn days(
    connection: &mut Connection,
    line: &LineId,
    count: u32,
    now: UnixMillis,
) -> Result<Vec<(UnixMillis, Amount)>, UsageError> {
    let first = history::day_of(now)
        .0
        .saturating_sub(i64::from(count.saturating_sub(1)).saturating_mul(history::DAY));
    store::days(connection, line, (first, history::day_of(now).0)).await
}
