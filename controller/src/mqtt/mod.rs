//! The controller's end of the link: a client of whichever broker there is.
//!
//! ```text
//!            ┌─ connection: polls, hands over ─▶ intake: one transaction for what waits ─▶ answers, acknowledgement
//! broker ────┤
//!            └─────────────────────────────────── publisher: outbox ─▶ deltas and snapshots ─▶ published: noted
//! ```
//!
//! Nothing is believed to have arrived because it was published: sites say what they stored, and a site that says
//! nothing is told again. `acl.rs` is who may say what; `positions.rs` is what to do with a number in a lane; the
//! messages themselves are `tawi_shared::wire`.

pub mod acl;
mod connection;
mod intake;
mod positions;
mod published;
mod publisher;
mod reports;
mod store;
#[cfg(test)]
mod tests;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::broker::BrokerAddress;
use crate::desired::DesiredError;
use crate::ids::SiteId;
use crate::payments::traces::TraceError;
use crate::shutdown::Stop;
use crate::sites::SiteError;
use crate::state::Controller;
use crate::usage::UsageError;

/// Messages that wait for the intake. A broker that respects our window (64 on the embedded one) never fills it.
const ARRIVALS_WAITING: usize = 1_024;

/// Why a message cannot be taken in, or state cannot be told.
#[derive(Debug, Error)]
enum LinkError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Desired(#[from] DesiredError),
    #[error(transparent)]
    Sites(#[from] SiteError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Traces(#[from] TraceError),
    #[error("the state of site {site} does not fit a message: {source}")]
    Encoding { site: SiteId, source: tawi_shared::wire::WireError },
    #[error("column {column} holds {value:?}")]
    Row { column: &'static str, value: String },
}

/// Runs the link until `stop`: connects to the broker, and again after each disconnection; takes in what sites say;
/// tells them what changed. What was received before `stop` is still committed.
pub async fn run(controller: Controller, address: BrokerAddress, stop: Stop) {
    let (hand_over, heard) = mpsc::channel(ARRIVALS_WAITING);
    let pipe = connection::Pipe::default();
    let intake = tokio::spawn(intake::run(controller.clone(), heard, pipe.clone()));
    let publisher = tokio::spawn(publisher::run(controller.clone(), pipe.clone(), stop.clone()));
    connection::keep(&controller.ids, &address, &pipe, hand_over, stop).await;
    for task in [intake, publisher] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task of the link failed; restart the controller");
        }
    }
}
