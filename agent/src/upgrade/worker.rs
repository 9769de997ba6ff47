//! Does the errands of the heart one after the other, on a thread that may wait for flash, and tells what came of them.
//!
//! Before another release takes the place of the one that runs, no write to a router begins any more, and those under way are
//! answered, while the heart still hears what became of them.

use std::sync::Arc;
use std::time::Duration;

use tawi_shared::Clock;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::books::Books;
use super::{Errand, News};
use crate::flow::{Report, ReportSender};
use crate::reconcile::WriteGate;

/// How long a switch waits for writes to routers to be answered.
const WRITES_WITHIN: Duration = Duration::from_secs(20);

/// Runs until the heart of the agent has ended. `open` opens the books; writes to routers go through `writing`.
pub async fn run(
    open: impl FnOnce() -> (Books, Vec<News>) + Send + 'static,
    clock: Clock,
    mut errands: mpsc::Receiver<Errand>,
    reports: ReportSender,
    writing: WriteGate,
) {
    // Held until the end of the process.
    let mut shut = None;
    let Ok((mut books, news)) = spawn_blocking(open).await else {
        warn!("releases cannot be looked at; this agent takes none until it is started again");
        return;
    };
    tell(&reports, news).await;
    while let Some(errand) = errands.recv().await {
        let now = clock.now();
        let done = spawn_blocking(move || {
            let news = books.run(errand, now);
            (books, news)
        });
        let Ok((back, news)) = done.await else {
            warn!("a release ended badly; this agent takes none until it is started again");
            return;
        };
        books = back;
        if shut.is_none() && news.contains(&News::Switch) {
            shut = timeout(WRITES_WITHIN, Arc::clone(&writing).write_owned()).await.ok();
            if shut.is_none() {
                warn!(
                    "a write to a router is still without its answer; the release that comes looks at every row"
                );
            }
        }
        tell(&reports, news).await;
    }
}

async fn tell(reports: &ReportSender, news: Vec<News>) {
    for news in news {
        // Without a heart there is nobody to tell.
        let _ = reports.send(Report::Upgrade(news)).await;
    }
}
