//! Fetches payments that nothing told of: Safaricom delivers a callback once, and a controller without power at that
//! moment never hears of it. Pull Transactions has every payment of the last 48 hours, with its receipt.
//!
//! ```text
//!   window ──▶ Daraja ──▶ rows ──▶ matching ──▶ payments::credit (the same as for a callback)
//! ```
//! When and over what span is `window`, what the answers say is `rows` and `payer`, whose money a row is is `matching`:
//! all pure. `sweep` does it. A receipt that is booked gains evidence and nothing else, so sweeping twice is safe.

mod matching;
mod payer;
mod rows;
pub mod settings;
mod store;
pub(in crate::mpesa) mod sweep;
mod window;

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::client::Daraja;
use crate::live::Hint;
use crate::shutdown::Stop;
use crate::state::Controller;
use settings::PullSettings;
use sweep::{PullError, Sweeper};

/// How long after a request without a receipt its payment is still awaited, whatever was heard: the half hour that
/// queries take, too.
const AWAITED: Duration = Duration::from_secs(30 * 60);
/// Requests older than that are not awaited any more: Pull does not have them.
const AWAITED_MOST: Duration = Duration::from_secs(48 * 3_600);

/// Sweeps until the end: at once, then as often as the settings say while a payment is awaited, and hourly otherwise.
/// Does nothing when Pull is off.
pub async fn run_pull(controller: Controller, daraja: Daraja, mut stop: Stop) {
    let Some(settings) = daraja.settings().pull().cloned() else {
        return stop.requested().await;
    };
    let mut sweeper = Sweeper::new(controller.clone(), daraja, settings.clone());
    let mut failures = 0_u32;
    while !stop.is_requested() {
        match sweeper.sweep(&mut stop).await {
            Ok(swept) => {
                failures = 0;
                tracing::debug!(rows = swept.rows, booked = swept.booked, bad = swept.bad, "Pull was swept");
                wait(&controller, &settings, &mut stop).await;
            }
            Err(PullError::Stopped) => return,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(
                    failures,
                    "missed payments cannot be fetched, and will be tried again: {error}"
                );
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(window::back_off(failures)) => {}
                }
            }
        }
    }
}

/// Waits until the next sweep is due. While nothing is awaited that is long, and a new request ends it early.
async fn wait(controller: &Controller, settings: &PullSettings, stop: &mut Stop) {
    let mut hints = controller.live.listen();
    let mut is_awaited = is_awaited_now(controller).await;
    let after = |pause| Instant::now().checked_add(pause).unwrap_or_else(Instant::now);
    let mut due = after(window::pause(is_awaited, settings.every));
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep_until(due) => return,
            hint = hints.recv(), if !is_awaited => match hint {
                Ok(Hint::Intent(_)) | Err(RecvError::Lagged(_)) => {
                    is_awaited = is_awaited_now(controller).await;
                    due = due.min(after(window::pause(is_awaited, settings.every)));
                }
                Ok(_) => {}
                // The controller holds the bell; without it there is nobody to wait for.
                Err(RecvError::Closed) => return stop.requested().await,
            },
        }
    }
}

/// When the database cannot say, something is.
async fn is_awaited_now(controller: &Controller) -> bool {
    let now = controller.clock.now();
    let asked = async {
        let mut connection = controller.database.read().await?;
        store::is_payment_awaited(&mut connection, now.minus(AWAITED_MOST), now.minus(AWAITED)).await
    };
    asked.await.unwrap_or_else(|error| {
        tracing::error!("whether payments are awaited cannot be read: {error}");
        true
    })
}
