//! The controller's end of the link: a client of whichever broker there is.
//!
//! ```text
//!            ┌─ connection: polls, hands over ─▶ intake: one transaction for what waits ─▶ answers, acknowledgement
//! broker ────┤
//!            ├─────────────────────────────────── publisher: outbox ─▶ deltas and snapshots ─▶ published: noted
//!            ├─────────────────────────────────── asking: another broker was reached ─▶ sites say hello once more
//!            └─────────────────────────────────── watched: somebody looks ─▶ what waits at the site is asked for
//! ```
//!
//! Nothing is believed to have arrived because it was published: sites say what they stored, and a site that says
//! nothing is told again. `acl.rs` is who may say what; `positions.rs` is what to do with a number in a lane; the
//! messages themselves are `tawi_shared::wire`.

pub mod acl;
mod answers;
mod asking;
mod budget;
pub mod by_hand;
pub mod by_turns;
mod connection;
mod intake;
pub mod line;
mod positions;
mod published;
mod publisher;
mod releases;
mod reports;
mod spread;
mod store;
#[cfg(test)]
mod tests;
mod twins;
mod watched;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::broker::BrokerAddress;
use crate::desired::DesiredError;
use crate::ids::SiteId;
use crate::payments::PaymentError;
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
    #[error(transparent)]
    Payments(#[from] PaymentError),
    #[error("the state of site {site} does not fit a message: {source}")]
    Encoding { site: SiteId, source: tawi_shared::wire::WireError },
    #[error("column {column} holds {value:?}")]
    Row { column: &'static str, value: String },
}

/// Runs the link until `stop`: connects to the broker, and again after each disconnection; takes in what sites say;
/// tells them what changed. What was received before `stop` is still committed. Returns before `stop` only when a part
/// has failed: the link is no good without any of them.
pub async fn run(controller: Controller, address: BrokerAddress, stop: Stop) {
    let (hand_over, heard) = mpsc::channel(ARRIVALS_WAITING);
    let pipe = connection::Pipe::default();
    let mut tasks = JoinSet::new();
    let spoken = watched::Spoken::default();
    tasks.spawn(intake::run(controller.clone(), heard, pipe.clone(), spoken.clone()));
    tasks.spawn(watched::run(controller.clone(), pipe.clone(), spoken.clone(), stop.clone()));
    tasks.spawn(publisher::run(controller.clone(), pipe.clone(), spoken, stop.clone()));
    if address.is_external {
        tasks.spawn(asking::run(controller.clone(), pipe.clone(), stop.clone()));
    }
    let kept = connection::keep(&controller.ids, &address, &pipe, hand_over, stop.clone());
    supervise(kept, tasks, &stop).await;
    // Nobody is let in any more, and whoever is in goes.
    address.attendance.end();
}

/// Waits for the first part to end; then for the others if that was asked for, and else ends them.
async fn supervise(kept: impl Future<Output = ()>, mut tasks: JoinSet<()>, stop: &Stop) {
    let told = |ended: Option<Result<(), JoinError>>| {
        if let Some(Err(error)) = ended {
            tracing::error!(%error, "a part of the link failed; restart the controller");
        }
    };
    let mut kept = std::pin::pin!(kept);
    let is_disconnected = tokio::select! {
        () = &mut kept => true,
        ended = tasks.join_next() => {
            told(ended);
            false
        }
    };
    if !stop.is_requested() {
        tracing::error!("a part of the link ended though nobody asked it to");
        tasks.shutdown().await;
        return;
    }
    if !is_disconnected {
        kept.await;
    }
    while let Some(ended) = tasks.join_next().await {
        told(Some(ended));
    }
}

#[cfg(test)]
mod supervision {
    use super::*;
    use crate::broker::testing::PATIENCE;
    use crate::shutdown::Shutdown;

    #[tokio::test]
    async fn a_part_that_fails_ends_the_link() {
        let shutdown = Shutdown::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("the intake") });
        tasks.spawn(std::future::pending());
        let stop = shutdown.stop();
        let ended = supervise(std::future::pending(), tasks, &stop);
        tokio::time::timeout(PATIENCE, ended).await.expect("it does not go on without its intake");
    }

    #[tokio::test]
    async fn parts_that_are_asked_to_end_are_waited_for() {
        let shutdown = Shutdown::default();
        let (mut first, mut second) = (shutdown.stop(), shutdown.stop());
        let (done, mut is_done) = tokio::sync::oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { first.requested().await });
        shutdown.begin();
        let kept = async move {
            second.requested().await;
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        };
        supervise(kept, tasks, &shutdown.stop()).await;
        assert!(is_done.try_recv().is_ok());
    }
}
