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
/// Sessions or answers that one transaction forgets, so that payments never wait for housekeeping.
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
    let (mut sessions, mut answers) = (0_u64, 0_u64);
    loop {
        let mut transaction = controller.database.write().await?;
        let forgotten = staff::forget_sessions(&mut transaction, now, ROWS).await?;
        transaction.commit().await?;
        sessions = sessions.saturating_add(forgotten);
        if forgotten < u64::from(ROWS) {
            break;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staff::Role;
    use crate::web::testing::{START, Served};

    #[tokio::test]
    async fn sessions_that_are_over_are_forgotten_a_part_at_a_time_and_the_others_kept() {
        let served = Served::start().await;
        let mut browser = served.browser(Role::Viewer).await;
        let mut write = served.controller.database.write().await.unwrap();
        let over = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1101) \
             INSERT INTO staff_sessions (token_sha256, staff_id, csrf_token, created_at, expires_at) \
             SELECT 'over-' || i, (SELECT id FROM staff), 'x', 1, $1 FROM n";
        sqlx::query(over).bind(START.0).execute(&mut *write).await.unwrap();
        assert_eq!(staff::forget_sessions(&mut write, START, ROWS).await.unwrap(), u64::from(ROWS));
        write.commit().await.unwrap();
        tidy(&served.controller).await.unwrap();
        let mut read = served.controller.database.read().await.unwrap();
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM staff_sessions").fetch_one(&mut *read).await.unwrap();
        drop(read);
        assert_eq!((left, browser.get("/").await.status), (1, 200));
        served.stop().await;
    }
}
