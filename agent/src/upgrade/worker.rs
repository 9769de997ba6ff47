//! Does the errands of the heart one after the other, on a thread that may wait for flash, and tells what came of them.

use tawi_shared::Clock;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::books::Books;
use super::{Errand, News};
use crate::flow::{Report, ReportSender};

/// Runs until the heart of the agent has ended. `open` opens the books.
pub async fn run(
    open: impl FnOnce() -> (Books, Vec<News>) + Send + 'static,
    clock: Clock,
    mut errands: mpsc::Receiver<Errand>,
    reports: ReportSender,
) {
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
        tell(&reports, news).await;
    }
}

async fn tell(reports: &ReportSender, news: Vec<News>) {
    for news in news {
        // Without a heart there is nobody to tell.
        let _ = reports.send(Report::Upgrade(news)).await;
    }
}
