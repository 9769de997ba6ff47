//! Notes what was published: takes its site out of the outbox, and dates the payments that it carried.
//!
//! A task of its own, so that the next publish never waits for the only writer; what comes while this one waits shares
//! its next commit. A row is taken out after its generation was published and never before, so that whoever dies in
//! between finds it again and tells the site once more. Publishing is `publisher`.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tokio::sync::mpsc;

use super::{LinkError, store};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::payments::traces;
use crate::state::Controller;

/// What waits to be noted before the publisher waits too: more sites than one controller has.
pub(super) const WAITING: usize = 1_024;
/// What shares one commit: like a batch of the intake, it holds the writer for about 20 ms.
const TOGETHER: usize = 64;
/// The pause after the database refused.
const PAUSE: Duration = Duration::from_secs(1);

/// A site that needs no row in the outbox up to a generation.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) site: SiteId,
    pub(super) generation: u64,
    /// When it was sent; `None` when nothing had to be sent.
    pub(super) told_at: Option<UnixMillis>,
}

/// Runs until the publisher is gone and everything that it handed over is noted.
pub(super) async fn run(controller: Controller, mut handed_over: mpsc::Receiver<Published>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while handed_over.recv_many(&mut batch, TOGETHER).await > 0 {
        while let Err(error) = note(&controller, &batch).await {
            tracing::error!(%error, "what was published cannot be noted; trying again");
            if handed_over.is_closed() {
                // The rows are still there: these sites are told again after the start.
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        batch.clear();
    }
}

pub(super) async fn note(controller: &Controller, batch: &[Published]) -> Result<(), LinkError> {
    let mut transaction = controller.database.write().await?;
    let mut hints = Vec::new();
    for Published { site, generation, told_at } in batch {
        store::delete_from_outbox(&mut transaction, site, *generation).await?;
        hints.push(Hint::Site(site.clone()));
        if let Some(at) = told_at {
            let customers = traces::published(&mut transaction, site, *generation, *at).await?;
            hints.extend(customers.into_iter().map(Hint::Payment));
        }
    }
    transaction.commit().await?;
    for hint in hints {
        controller.live.tell(hint);
    }
    Ok(())
}
