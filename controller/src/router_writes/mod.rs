//! The API log: what agents wrote to routers, for whoever asks "who changed that, and what did the router say".
//!
//! Agents send it last, and leave secrets out of it before they write it down. What is kept here is cut to a length and
//! forgotten after [`KEPT`]; a site may add no more than its budget (`mqtt/budget.rs`). What somebody asks for is read in
//! `search.rs`. Nothing here decides anything.

pub mod api;
pub mod pages;
pub mod search;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{RouterWriteV1, WriteStatus};

use crate::database::Connection;
use crate::ids::{CustomerId, LineId, SiteId};
use crate::plain::line_of;
use crate::sites;
pub use search::Search;
pub(crate) use store::forget;

/// How long writes are kept: a quarter, after which nobody asks why a line was cut.
pub const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Writes on one page.
pub const PAGE_ROWS: u32 = 50;
/// The longest operation that is kept, in characters; menus are shorter.
const OPERATION_CHARACTERS: usize = 80;
/// The longest parameters, in characters; the contract says 500 bytes.
const PARAMETERS_CHARACTERS: usize = 500;
/// The longest words of a router, in characters; the contract says 200 bytes.
const DETAIL_CHARACTERS: usize = 200;

/// One write to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterWrite {
    /// Its place in the order of all: the time first. What a page goes on from.
    pub id: String,
    /// At which site.
    pub site: SiteId,
    /// When it was answered, by the agent's clock.
    pub at: UnixMillis,
    /// When we heard of it.
    pub received_at: UnixMillis,
    /// Router name in the agent's settings.
    pub router: String,
    /// The command, such as `/ppp/secret/set`.
    pub operation: String,
    /// Its parameters, secrets left out.
    pub parameters: String,
    /// Which line it was for, where it is one of the site's.
    pub line: Option<LineId>,
    /// Whose line, where that is still known.
    pub customer: Option<(CustomerId, String)>,
    /// What became of it; `None` for a word of a newer agent.
    pub status: Option<WriteStatus>,
    /// The router's words where it refused.
    pub detail: String,
}

/// Keeps a write of a site, once however often it is told. `line` has been found to be one of the site's.
///
/// # Errors
/// When the database refuses.
pub async fn keep(
    connection: &mut Connection,
    site: &SiteId,
    (store_epoch, seq, position): (u32, u64, usize),
    write: &RouterWriteV1,
    line: Option<&LineId>,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let at = UnixMillis(write.at_ms);
    // What is told as of a time that has not come has its place by when it was told.
    let place = if sites::is_time_doubtful(at, now) { now } else { at };
    // Numbers sort as text: within a millisecond, and where the site's clock was wrong, its own order counts.
    let sequence = format!("{store_epoch:010}-{seq:020}-{position:04}");
    let kept = RouterWrite {
        id: format!("{}-{site}-{sequence}", search::key_of(place)),
        site: site.clone(),
        at,
        received_at: now,
        router: Some(&write.router)
            .filter(|name| tawi_shared::ids::check_id(name).is_ok())
            .cloned()
            .unwrap_or_default(),
        operation: line_of(&write.operation, OPERATION_CHARACTERS),
        parameters: line_of(&write.parameters, PARAMETERS_CHARACTERS),
        line: line.cloned(),
        customer: None,
        status: WriteStatus::from_code(write.status),
        detail: line_of(&write.detail, DETAIL_CHARACTERS),
    };
    store::insert(connection, &kept, write.status).await
}

/// The writes that fit, newest first, at most `limit`.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    connection: &mut Connection,
    search: &Search,
    limit: u32,
) -> Result<Vec<RouterWrite>, sqlx::Error> {
    store::find(connection, search, limit).await
}
