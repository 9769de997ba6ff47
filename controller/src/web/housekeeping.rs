//! Forgets what the web half no longer needs: sessions that are over, and answers kept for repeated requests.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::api::once;
use crate::shutdown::Stop;
use crate::staff::{self, StaffError};
use crate::state::Controller;

/// How often. What is forgotten is refused by its time anyway; this only keeps tables small.
const PERIOD: Duration = Duration::from_secs(3_600);
/// How long answers are kept: a program that repeats a request after a week has lost its own books.
const ANSWERS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Answers that one transaction forgets, so that payments never wait for housekeeping.
const ROWS: u32 = 500;

/// Runs until `stop`.
pub async fn run(controller: Controller, mut stop: Stop) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = tidy(&controller).await {
            tracing::error!(%error, "old sessions and answers could not be forgotten; it is tried again");
        }
    }
}

/// One round.
///
/// # Errors
/// When the database refuses.
pub async fn tidy(controller: &Controller) -> Result<(), StaffError> {
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    let sessions = staff::forget_sessions(&mut transaction, now).await?;
    transaction.commit().await?;
    let mut answers = 0_u64;
    loop {
        let mut transaction = controller.database.write().await?;
        let forgotten = once::forget_answers(&mut transaction, now.minus(ANSWERS_KEPT), ROWS).await?;
        transaction.commit().await?;
        answers = answers.saturating_add(forgotten);
        if forgotten < u64::from(ROWS) {
            break;
        }
    }
    tracing::debug!(sessions, answers, "forgot old sessions and answers");
    Ok(())
}
