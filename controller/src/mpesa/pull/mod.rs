//! Fetches payments that nothing told of: Safaricom delivers a callback once, and a controller without power at that
//! moment never hears of it. Pull Transactions has every payment of the last 48 hours, with its receipt.
//!
//! ```text
//!   window ──▶ Daraja ──▶ rows ──▶ incoming (the same as for a confirmation)
//! ```
//! When and over what span is `window`, what the answers say is `rows`: both pure. Whose money a row is is `incoming`.
//! `sweep` does it. A receipt that is booked gains evidence and nothing else, so sweeping twice is safe.

mod rows;
pub mod settings;
mod store;
pub(crate) mod sweep;
mod window;

use std::time::Duration;

use super::client::Daraja;
use crate::shutdown::Stop;
use crate::state::Controller;
use sweep::{PullError, Sweeper};

/// Sweeps until the end: at once, then as often as the settings say. Whether a request is open makes no difference: a
/// payment by Paybill is announced by nothing. Does nothing when Pull is off, and says so.
pub async fn run_pull(controller: Controller, daraja: Daraja, mut stop: Stop) {
    let Some(settings) = daraja.settings().pull().cloned() else {
        tracing::warn!(
            short_code = daraja.settings().short_code(),
            "payments that Safaricom reports while this controller is down will not be heard of: [mpesa] pull is off for this \
             short code"
        );
        return stop.requested().await;
    };
    let mut sweeper = Sweeper::new(controller, daraja, settings.clone());
    let mut failures = 0_u32;
    while !stop.is_requested() {
        match sweeper.sweep_and_note(&mut stop).await {
            Ok(swept) => {
                failures = 0;
                tracing::debug!(rows = swept.rows, booked = swept.booked, bad = swept.bad, "Pull was swept");
                pause(settings.every, &mut stop).await;
            }
            Err(PullError::Stopped) => return,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(
                    failures,
                    "missed payments cannot be fetched, and will be tried again: {error}"
                );
                pause(window::back_off(failures), &mut stop).await;
            }
        }
    }
}

/// Waits so long, or until the controller stops.
async fn pause(span: Duration, stop: &mut Stop) {
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep(span) => {}
    }
}
