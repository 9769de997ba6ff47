//! Takes stored callbacks in: in order, many to a commit, each on its own savepoint.
//!
//! A callback whose taking in fails is rolled back alone, marked, and tried again every minute: it neither blocks the
//! others nor gets lost. After a crash everything that was stored and not taken in is still there, and is taken in at
//! the start. What a callback does to the money is `payments::credit`.

use std::time::Duration;

use sqlx::Connection as _;
use tawi_shared::UnixMillis;

use super::evidence::{self, Outcome, ReceiptNumber};
use super::store::{self, CallbackKind, Closing, StoredCallback};
use super::{c2b, operator};
use crate::ids::CallbackId;
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::credit::{self, TakenIn};
use crate::shutdown::Stop;
use crate::state::Controller;

/// Callbacks that share one commit. There is one writer, and new callbacks wait for it before they are answered: 16
/// bookings hold it for about 50 ms, and more were not faster.
const TOGETHER: u32 = 16;
/// How often the table is looked at although nobody rang: a stored body whose bell was lost waits this long at most.
const LOOK: Duration = Duration::from_secs(5);
/// How often callbacks that failed are tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The pause after the database refused.
const PAUSE: Duration = Duration::from_secs(1);

/// One pass over callbacks that wait.
#[derive(Debug)]
pub(crate) struct Round {
    that_failed: bool,
    /// How far it has come among those that failed: those that fail again still wait, and must not be met again and
    /// again while later ones never have their turn. Fresh ones do not stay.
    behind: Option<(UnixMillis, CallbackId)>,
}

impl Round {
    /// Over those that were never tried.
    pub(crate) fn of_fresh() -> Self {
        Self { that_failed: false, behind: None }
    }

    /// Over those that failed before.
    pub(crate) fn of_failed() -> Self {
        Self { that_failed: true, behind: None }
    }
}

/// Takes callbacks in until the end.
pub async fn run_callbacks(controller: Controller, mut stop: Stop) {
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_rung = tokio::select! {
            () = stop.requested() => return,
            _ = retry.tick() => {
                take_in_all(&controller, Round::of_failed(), false, &stop).await;
                false
            }
            () = controller.live.callbacks_rung() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        take_in_all(&controller, Round::of_fresh(), is_rung, &stop).await;
    }
}

/// Takes in what waits: fresh callbacks until none is left, and of those that failed before each once.
async fn take_in_all(controller: &Controller, mut round: Round, is_rung: bool, stop: &Stop) {
    // The bell says that there is something; otherwise nobody takes the writer only to look.
    if !is_rung {
        match is_any_waiting(controller, &round).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return failed(&error).await,
        }
    }
    while !stop.is_requested() {
        match take_in_some(controller, &mut round).await {
            Ok(count) if count < TOGETHER => return,
            Ok(_) => {}
            Err(error) => return failed(&error).await,
        }
    }
}

async fn failed(error: &PaymentError) {
    tracing::error!("stored callbacks cannot be taken in: {error}");
    tokio::time::sleep(PAUSE).await;
}

async fn is_any_waiting(controller: &Controller, round: &Round) -> Result<bool, PaymentError> {
    let mut connection = controller.database.read_first().await?;
    let first =
        store::waiting_callbacks(&mut connection, round.that_failed, round.behind.as_ref(), 1).await?;
    Ok(!first.is_empty())
}

/// One batch in one transaction; says how many callbacks it had.
pub(crate) async fn take_in_some(controller: &Controller, round: &mut Round) -> Result<u32, PaymentError> {
    let (that_failed, behind) = (round.that_failed, round.behind.clone());
    // Read where it is written, so that two who take in at the same time never take the same callback.
    let mut transaction = controller.database.write().await?;
    let waiting = store::waiting_callbacks(&mut transaction, that_failed, behind.as_ref(), TOGETHER).await?;
    if that_failed {
        round.behind = waiting.last().map(|last| (last.received_at, last.id.clone()));
    }
    let mut taken = Vec::with_capacity(waiting.len());
    for callback in &waiting {
        let now = controller.clock.now();
        let mut savepoint = transaction.begin().await?;
        let outcome = match callback.kind {
            CallbackKind::Stk => credit::take_in(&mut savepoint, callback, &controller.ids, now).await,
            CallbackKind::Confirmation => c2b::take_in(&mut savepoint, callback, &controller.ids, now).await,
            CallbackKind::OperatorResult | CallbackKind::OperatorTimeOut => {
                operator::take_in(&mut savepoint, callback, &controller.ids, now).await
            }
        };
        match outcome {
            Ok(taken_in) => {
                let closing = Closing {
                    at: Some(now),
                    outcome: &taken_in.outcome.to_string(),
                    needs_person: taken_in.outcome.needs_a_person(),
                    waits_for_receipt: taken_in.outcome.waits_for_receipt(),
                    told: told_of(callback),
                };
                store::close_callback(&mut savepoint, &callback.id, closing).await?;
                savepoint.commit().await?;
                taken.push((callback, taken_in));
            }
            Err(error) => {
                savepoint.rollback().await?;
                tracing::error!(callback.id = %callback.id, "a callback cannot be taken in, and will be tried again: {error}");
                let closing = Closing {
                    at: None,
                    outcome: &format!("failed: {error}"),
                    needs_person: true,
                    waits_for_receipt: false,
                    told: told_of(callback),
                };
                store::close_callback(&mut transaction, &callback.id, closing).await?;
            }
        }
    }
    transaction.commit().await?;
    for (callback, taken_in) in taken {
        announce(controller, callback, taken_in);
    }
    Ok(u32::try_from(waiting.len()).unwrap_or(u32::MAX))
}

/// What a callback says was paid, for whoever has to look at it.
fn told_of(callback: &StoredCallback) -> Option<(ReceiptNumber, Money)> {
    match callback.kind {
        CallbackKind::Stk => match evidence::parse(&callback.body).ok()?.outcome {
            Outcome::Paid(receipt) => Some((receipt.number, receipt.amount)),
            Outcome::PaidWithoutReceipt | Outcome::Failed(_) => None,
        },
        CallbackKind::Confirmation => c2b::told_of(&callback.body),
        // Nothing was paid: somebody looked something up.
        CallbackKind::OperatorResult | CallbackKind::OperatorTimeOut => None,
    }
}

/// After the commit: the log, the outbox, the open pages.
fn announce(controller: &Controller, callback: &StoredCallback, taken_in: TakenIn) {
    let outcome = &taken_in.outcome;
    if outcome.needs_a_person() {
        tracing::warn!(callback.id = %callback.id, "a callback needs a person: {outcome}");
    } else if let Some(payment) = &taken_in.payment {
        let duration_ms = controller.clock.now().since(callback.received_at).as_millis();
        tracing::info!(callback.id = %callback.id, payment.id = %payment, duration_ms, "payment booked");
    } else {
        tracing::info!(callback.id = %callback.id, "callback: {outcome}");
    }
    if taken_in.is_site_to_be_told {
        controller.live.ring_outbox();
    }
    for hint in taken_in.hints {
        controller.live.tell(hint);
    }
}
