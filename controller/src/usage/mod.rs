//! What each line moved, by session.
//!
//! Agents tell absolute totals of a session, so that a lost report is healed by the next and a doubled one changes
//! nothing: a total only ever grows. What quota or bill follows from it is decided elsewhere.

pub mod store;
#[cfg(test)]
mod tests;

use tawi_shared::UnixMillis;
use tawi_shared::wire::SessionUsageV1;
use thiserror::Error;

use crate::database::Connection;
use crate::ids::{LineId, SiteId};

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
    /// When it began, by the agent's clock.
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
}

/// Keeps a session's totals, within the caller's transaction. Totals never go back: of two that disagree the larger
/// one stands, and an ended session stays ended.
///
/// # Errors
/// [`UsageError`].
pub async fn take(
    connection: &mut Connection,
    site: &SiteId,
    session: &SessionUsageV1,
) -> Result<Taken, UsageError> {
    if !store::is_line_of(connection, site, &session.line).await? {
        return Ok(Taken::ForeignLine);
    }
    store::put(connection, site, session).await?;
    Ok(Taken::Recorded)
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
