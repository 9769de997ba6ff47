//! Taking over what was there before: rows of a router that somebody else made become lines, without a second of downtime.
//!
//! ```text
//! agent reads the rows ─> matching suggests whose they are ─> a person fills the sheet ─> preview ─> confirmed:
//! subscriptions, desired state and one command a row ─> the agent marks each row, in one write, no session ended
//! ```
//!
//! Nothing is touched before a person confirms the sheet that was shown. Passwords stay on the router: head office never
//! learns them. What the agent does with a row is its own `reconcile/orders.rs`.

pub mod matching;
pub mod pages;
pub mod sheet;
mod store;
pub mod table;
pub mod take_over;

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{ForeignRowsV1, Service};

use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PlanId, SiteId};
use crate::plain;

/// Rows of one router that are kept; an agent names no more.
const ROWS: u64 = 4_096;
/// For how long a table is kept whose rows are not all taken over: names and phones that lie about serve nobody.
const TABLE_KEPT: Duration = Duration::from_secs(14 * 86_400);
/// The longest text of a row that is kept, in characters.
const TEXT_CHARACTERS: usize = 255;

/// A row that could become a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRow {
    /// Where on the router.
    pub service: Service,
    /// Its name there.
    pub username: String,
    /// What somebody wrote beside it.
    pub comment: String,
    /// Name of its profile.
    pub profile: String,
    /// The profile's rate limit in the router's words, upload first.
    pub rate_limit: String,
    /// Whether it may not log in.
    pub is_disabled: bool,
    /// Whether somebody was logged in under it.
    pub is_online: bool,
    /// Its own address.
    pub address: String,
    /// The only device that may use it.
    pub caller_id: String,
}

/// A line of the router that rows are taken over on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLine {
    /// Which.
    pub id: LineId,
    /// Its name on the router.
    pub username: String,
    /// Whose it is.
    pub customer: CustomerId,
    /// On which plan.
    pub plan: PlanId,
    /// Whether the site was told of it, so that it has a row of its own there, or will have. One that was never paid for and
    /// whose name a row of somebody else has can have none yet, although a plan with a wall is told of at once.
    pub is_on_router: bool,
    /// Until when it is paid.
    pub paid_until: Option<UnixMillis>,
    /// Its own address; empty for none.
    pub address: String,
    /// The only device that may use it; empty for any.
    pub caller_id: String,
    /// Whether a row that somebody else made has its name.
    pub has_foreign_row: bool,
    /// Whether head office has a password for it, which is not that of the row.
    pub has_password: bool,
}

/// Takes rows that an agent was asked for. A new reading of a router replaces the one before.
///
/// # Errors
/// When the database refuses.
pub async fn take_rows(
    connection: &mut Connection,
    site: &SiteId,
    rows: &ForeignRowsV1,
) -> Result<(), sqlx::Error> {
    store::forget_others(connection, site, rows).await?;
    let plain = |text: &str| plain::line_of(text, TEXT_CHARACTERS);
    // Counted once a message: a count for each row would read all rows before it each time.
    let room = ROWS.saturating_sub(store::count(connection, site, &rows.router).await?);
    for row in rows.rows.iter().take(usize::try_from(room).unwrap_or(usize::MAX)) {
        let Some(service) = Service::from_code(row.service) else { continue };
        let row = ForeignRow {
            service,
            username: plain(&row.username),
            comment: plain(&row.comment),
            profile: plain(&row.profile),
            rate_limit: plain(&row.rate_limit),
            is_disabled: row.is_disabled,
            is_online: row.is_online,
            address: plain(&row.address),
            caller_id: plain(&row.caller_id),
        };
        store::put(connection, site, rows, &row).await?;
    }
    Ok(())
}

/// Forgets tables that were kept long enough.
///
/// # Errors
/// When the database refuses.
pub async fn forget_tables(connection: &mut Connection, now: UnixMillis) -> Result<(), sqlx::Error> {
    store::forget_old_tables(connection, now.minus(TABLE_KEPT)).await
}

/// The rows of a router, as last read, by name.
///
/// # Errors
/// When the database refuses.
pub async fn rows_of(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<Vec<ForeignRow>, sqlx::Error> {
    store::rows_of(connection, site, router).await
}
