//! Takes stored callbacks in: in order, many to a commit.
//!
//! Where one of them fails all are done anew, each on its own savepoint: that one is rolled back alone, marked, and tried again every minute: it neither blocks the
//! others nor gets lost. After a crash everything that was stored and not taken in is still there, and is taken in at
//! the start. What a callback does to the money is `payments::credit`.

use std::time::Duration;

use sqlx::Connection as _;
use tawi_shared::UnixMillis;
use tokio::time::Instant;

use super::evidence::{self, Outcome, ReceiptNumber};
use super::store::{self, CallbackKind, Closing, StoredCallback};
use super::{c2b, operator};
use crate::database::{Connection, Together, Transaction};
use crate::ids::CallbackId;
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::credit::{self, TakenIn};
use crate::shutdown::Stop;
use crate::state::Controller;

/// Callbacks that share one commit at most.
const TOGETHER: u32 = 32;
/// How long a batch holds the writer before it closes: new callbacks wait for it before they are answered.
const HELD_FOR: Duration = Duration::from_millis(40);
/// How long it does so when many wait, so that each is answered within 100 ms.
const HELD_FROM_MANY: Duration = Duration::from_millis(20);
/// How many are many: so many come together only where payments pour in faster than they are booked.
const MANY: usize = 24;
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
    /// Whether nothing waited behind the last batch.
    is_at_end: bool,
    /// Whether a batch ends with its time.
    is_timed: bool,
}

impl Round {
    /// Over those that were never tried.
    pub(crate) fn of_fresh() -> Self {
        Self { that_failed: false, behind: None, is_at_end: false, is_timed: true }
    }

    /// Over those that failed before.
    pub(crate) fn of_failed() -> Self {
        Self { that_failed: true, behind: None, is_at_end: false, is_timed: true }
    }

    /// The same whatever time it takes: a simulation is to play the same each time.
    pub(crate) fn untimed(self) -> Self {
        Self { is_timed: false, ..self }
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
            Ok(_) if round.is_at_end => return,
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

/// One batch with one commit; says how many callbacks it looked at.
pub(crate) async fn take_in_some(controller: &Controller, round: &mut Round) -> Result<u32, PaymentError> {
    // Hardly any fails, and savepoints cost each two trips to the database: without them first, and all anew when one does.
    if !round.that_failed {
        let batch = Batch::open(controller, round).await?;
        match Box::pin(batch.take_in_together()).await {
            Ok(taken) => return taken.close(controller, round).await,
            Err(error) => tracing::warn!("callbacks are taken in one by one: {error}"),
        }
    }
    let batch = Batch::open(controller, round).await?;
    Box::pin(batch.take_in_one_by_one()).await?.close(controller, round).await
}

/// Callbacks that are taken in with one commit.
struct Batch<'a> {
    controller: &'a Controller,
    transaction: Transaction,
    waiting: Vec<StoredCallback>,
    begun: Instant,
    is_timed: bool,
}

/// What became of a batch, before its commit.
struct Taken {
    transaction: Transaction,
    /// Those that were looked at, each with what has to be told; `None` of one that failed.
    callbacks: Vec<(StoredCallback, Option<TakenIn>)>,
    is_all: bool,
}

impl<'a> Batch<'a> {
    async fn open(controller: &'a Controller, round: &Round) -> Result<Self, PaymentError> {
        // Read where it is written, so that two who take in at the same time never take the same callback.
        let mut transaction = controller.database.write().await?;
        let begun = Instant::now();
        let (behind, is_timed) = (round.behind.as_ref(), round.is_timed);
        let waiting = store::waiting_callbacks(&mut transaction, round.that_failed, behind, TOGETHER).await?;
        Ok(Self { controller, transaction, waiting, begun, is_timed })
    }

    /// Whether others have waited for the writer long enough.
    fn is_over(&self) -> bool {
        let are_many = self.controller.live.callbacks_arriving() >= MANY;
        self.is_timed && self.begun.elapsed() >= if are_many { HELD_FROM_MANY } else { HELD_FOR }
    }

    async fn take_in_together(mut self) -> Result<Taken, PaymentError> {
        let mut callbacks = Vec::with_capacity(self.waiting.len());
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        let mut closed = Together::default();
        for callback in waiting.by_ref() {
            let taken_in = take_in(&mut self.transaction, &callback, self.controller, &mut closed).await?;
            callbacks.push((callback, Some(taken_in)));
            if self.is_over() {
                break;
            }
        }
        closed.execute(&mut self.transaction).await?;
        Ok(Taken { transaction: self.transaction, callbacks, is_all: waiting.len() == 0 })
    }

    /// Each on its own savepoint: one that fails is rolled back alone and marked.
    async fn take_in_one_by_one(mut self) -> Result<Taken, PaymentError> {
        let mut callbacks = Vec::with_capacity(self.waiting.len());
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        for callback in waiting.by_ref() {
            let mut savepoint = self.transaction.begin().await?;
            let mut closed = Together::default();
            let taken_in = match take_in(&mut savepoint, &callback, self.controller, &mut closed).await {
                Ok(taken_in) => {
                    closed.execute(&mut savepoint).await?;
                    savepoint.commit().await?;
                    Some(taken_in)
                }
                Err(error) => {
                    savepoint.rollback().await?;
                    note_failed(&mut self.transaction, &callback, &error).await?;
                    None
                }
            };
            callbacks.push((callback, taken_in));
            if self.is_over() {
                break;
            }
        }
        Ok(Taken { transaction: self.transaction, callbacks, is_all: waiting.len() == 0 })
    }
}

impl Taken {
    async fn close(self, controller: &Controller, round: &mut Round) -> Result<u32, PaymentError> {
        self.transaction.commit().await?;
        let count = u32::try_from(self.callbacks.len()).unwrap_or(u32::MAX);
        round.is_at_end = self.is_all && count < TOGETHER;
        if round.that_failed
            && let Some((last, _)) = self.callbacks.last()
        {
            round.behind = Some((last.received_at, last.id.clone()));
        }
        for (callback, taken_in) in self.callbacks {
            if let Some(taken_in) = taken_in {
                announce(controller, &callback, taken_in);
            }
        }
        Ok(count)
    }
}

/// What one callback does. The note that it is done is the caller's to write; one that another callback may change is written
/// at once.
async fn take_in(
    connection: &mut Connection,
    callback: &StoredCallback,
    controller: &Controller,
    closed: &mut Together,
) -> Result<TakenIn, PaymentError> {
    let (ids, now) = (&controller.ids, controller.clock.now());
    let taken_in = match callback.kind {
        CallbackKind::Stk => credit::take_in(connection, callback, ids, now).await?,
        CallbackKind::Confirmation => c2b::take_in(connection, callback, ids, now).await?,
        CallbackKind::OperatorResult | CallbackKind::OperatorTimeOut => {
            operator::take_in(connection, callback, ids, now).await?
        }
    };
    let closing = Closing {
        at: Some(now),
        outcome: &taken_in.outcome.to_string(),
        needs_person: taken_in.outcome.needs_a_person(),
        waits_for_receipt: taken_in.outcome.waits_for_receipt(),
        told: told_of(callback),
    };
    let may_be_settled = closing.waits_for_receipt || closing.needs_person;
    store::add_closing(closed, &callback.id, closing);
    if may_be_settled {
        std::mem::take(closed).execute(connection).await?;
    }
    closed.execute_when_full(connection).await?;
    Ok(taken_in)
}

async fn note_failed(
    connection: &mut Connection,
    callback: &StoredCallback,
    error: &PaymentError,
) -> Result<(), PaymentError> {
    tracing::error!(callback.id = %callback.id, "a callback cannot be taken in, and will be tried again: {error}");
    let closing = Closing {
        at: None,
        outcome: &format!("failed: {error}"),
        needs_person: true,
        waits_for_receipt: false,
        told: told_of(callback),
    };
    let mut together = Together::default();
    store::add_closing(&mut together, &callback.id, closing);
    together.execute(connection).await?;
    Ok(())
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
    if let Some(reason) = taken_in.no_owner {
        tracing::warn!(callback.id = %callback.id, "a payment has no owner and waits in suspense: {reason}");
    }
    if let Some((refund, state)) = &taken_in.refund {
        tracing::info!(callback.id = %callback.id, refund.id = %refund, "refund: {}", state.as_str());
    }
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
