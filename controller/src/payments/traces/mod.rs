//! Payment to packets: one trace a payment that bought a period, one instant a step.
//!
//! ```text
//!   callback received ─▶ booked ─▶ published ─▶ stored ─▶ verified ─▶ online
//!                                  to the site   there     on the      the session
//!                                                          router      came up
//! ```
//! A step that was not observed stays empty; nothing is invented. The steps after "booked" are noted by whoever hears
//! of them from the site (`mqtt`), in the transaction that takes the site's message in.

pub(crate) mod api;
pub(super) mod store;

use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::database::{Connection, Together};
use crate::ids::{CustomerId, LineId, PaymentId, SiteId};
use crate::messages;

/// How far a payment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The payment.
    pub payment: PaymentId,
    /// The line that it bought a period for.
    pub subscription: LineId,
    /// The line's site.
    pub site: SiteId,
    /// The generation of the site's desired state that opens the line.
    pub generation: u64,
    /// When Safaricom's callback arrived.
    pub callback_received_at: UnixMillis,
    /// When the money was booked and the site's desired state changed.
    pub booked_at: UnixMillis,
    /// When the change was sent to the site.
    pub published_at: Option<UnixMillis>,
    /// When the site had it on its disk.
    pub stored_at: Option<UnixMillis>,
    /// When the site had read it back from the router.
    pub verified_at: Option<UnixMillis>,
    /// When the customer's session came up.
    pub online_at: Option<UnixMillis>,
    /// Why the line is not on its router as it should be; empty when it is, or nothing was heard.
    pub failure: String,
    /// How much later what it bought began, because the site was away.
    pub deferred: Duration,
}

/// Why traces cannot be read or written.
#[derive(Debug, Error)]
#[error("payment traces: {0}")]
pub struct TraceError(#[from] sqlx::Error);

/// The beginning of a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun<'a> {
    pub(super) payment: &'a PaymentId,
    pub(super) subscription: &'a LineId,
    pub(super) site: &'a SiteId,
    pub(super) generation: u64,
    pub(super) callback_received_at: UnixMillis,
    pub(super) booked_at: UnixMillis,
}

pub(super) fn begin(together: &mut Together, begun: Begun<'_>) {
    store::add(together, begun);
}

/// Everything up to `generation` was sent to the site. Says whose payments moved on.
///
/// # Errors
/// When the database refuses.
pub async fn published(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    now: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    Ok(store::set_published(connection, site, generation, now).await?)
}

/// The site has everything up to `generation` on its disk. Says whose payments moved on.
///
/// # Errors
/// When the database refuses.
pub async fn stored(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    at: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    Ok(store::set_stored(connection, site, generation, at).await?)
}

/// The site has read back everything up to `generation` from its routers, except the lines in `failed`, each with the
/// reason. Says whose payments moved on or failed anew.
///
/// # Errors
/// When the database refuses.
pub async fn verified(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    failed: &[(LineId, String)],
    now: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    let mut told = Vec::new();
    for waiting in store::unverified(connection, site, generation).await? {
        let reason = failed.iter().find(|(line, _)| *line == waiting.subscription).map(|(_, reason)| reason);
        match reason {
            Some(reason) if *reason == waiting.failure => continue,
            Some(reason) => store::set_failure(connection, waiting.of(), reason).await?,
            None => {
                store::set_verified(connection, waiting.of(), now).await?;
                messages::about::connected(connection, waiting.of(), now).await?;
            }
        }
        if !told.contains(&waiting.customer) {
            told.push(waiting.customer);
        }
    }
    Ok(told)
}

/// A session of the line came up at `at`. Completes its newest trace that began by then; says whose it is, if any.
///
/// # Errors
/// When the database refuses.
pub async fn online(
    connection: &mut Connection,
    line: &LineId,
    at: UnixMillis,
) -> Result<Option<CustomerId>, TraceError> {
    Ok(store::set_online(connection, line, at).await?)
}

/// The trace of a payment; `None` when it bought nothing.
///
/// # Errors
/// When the database refuses.
pub async fn trace_of(connection: &mut Connection, payment: &PaymentId) -> Result<Option<Trace>, TraceError> {
    Ok(store::of_payment(connection, payment).await?)
}

/// The newest trace of a line.
///
/// # Errors
/// When the database refuses.
pub async fn last_trace_of_subscription(
    connection: &mut Connection,
    line: &LineId,
) -> Result<Option<Trace>, TraceError> {
    Ok(store::last_of_line(connection, line).await?)
}

#[cfg(test)]
mod tests;
