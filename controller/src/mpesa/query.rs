//! Asks Daraja about prompts that nothing was heard of, and gives up those about which nothing will be heard.
//!
//! When to ask is `poll`; what an answer means is `answer` and `intent`. A query brings no receipt, so it never makes
//! money: "paid" is noted for a person and for the callback that may still come.

use std::time::Duration;

use tokio::task::JoinSet;

use super::answer::QueryAnswer;
use super::client::Daraja;
use super::evidence::CheckoutId;
use super::intent::{Event, Intent, State};
use super::short_codes::ShortCodes;
use super::{poll, store};
use crate::database::Transaction;
use crate::ids::IntentId;
use crate::live::Hint;
use crate::payments::{PaymentError, moving};
use crate::shutdown::Stop;
use crate::state::Controller;

/// How often the table is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Requests looked at in one round.
const ROUND: u32 = 20;
/// Queries under way at once: Daraja allows a few a second, and an outage must not hold up everything for 30 s each.
const AT_ONCE: usize = 4;

/// Asks and gives up until the end.
pub async fn run_queries(controller: Controller, short_codes: ShortCodes, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = ask_about_due(&controller, &short_codes, &stop).await {
            tracing::error!("payment requests cannot be followed up: {error}");
        }
    }
}

/// One round over what is due.
pub(crate) async fn ask_about_due(
    controller: &Controller,
    short_codes: &ShortCodes,
    stop: &Stop,
) -> Result<(), PaymentError> {
    let due = {
        let mut connection = controller.database.read().await?;
        store::due_intents(&mut connection, controller.clock.now(), ROUND).await?
    };
    let mut asking = JoinSet::new();
    for intent in due {
        if stop.is_requested() {
            break;
        }
        // A short code that left the settings is asked no more; the callback may come all the same.
        let daraja = short_codes.of(&intent.short_code);
        let may_ask = daraja.is_some_and(|daraja| daraja.settings().may_query());
        let checkout = claim(controller, may_ask, &intent.id).await?;
        let (Some(daraja), Some(checkout)) = (daraja, checkout) else { continue };
        if asking.len() >= AT_ONCE {
            asking.join_next().await;
        }
        asking.spawn(ask(controller.clone(), daraja.clone(), intent.id, checkout));
    }
    asking.join_all().await;
    Ok(())
}

/// Notes that a query is about to be sent, before it is sent; or gives the request up. Reads it anew: a callback may
/// have come since.
async fn claim(
    controller: &Controller,
    may_ask: bool,
    id: &IntentId,
) -> Result<Option<CheckoutId>, PaymentError> {
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    let Some(intent) = store::intent_by_id(&mut transaction, id).await? else { return Ok(None) };
    if intent.next_query_at.is_none_or(|at| at > now) {
        return Ok(None);
    }
    let (event, checkout) = match (&intent.state, &intent.checkout) {
        (State::Prompted, Some(checkout)) if may_ask && !poll::is_over(intent.queries_sent) => {
            (Event::Queried, Some(checkout.clone()))
        }
        (State::Prompted, _) if poll::gives_up_at(intent.created_at) > now => (Event::Queried, None),
        _ => (Event::TimeUp, None),
    };
    apply(controller, transaction, intent, event).await?;
    Ok(checkout)
}

async fn ask(controller: Controller, daraja: Daraja, id: IntentId, checkout: CheckoutId) {
    let event = match daraja.query(&checkout).await {
        QueryAnswer::Paid => Event::QueryPaid,
        QueryAnswer::Failed(reason) => Event::QueryFailed(reason),
        QueryAnswer::Token | QueryAnswer::NoAnswer => return,
    };
    if let Err(error) = note(&controller, &id, event).await {
        tracing::error!(intent.id = %id, "an answer about a payment request cannot be stored: {error}");
    }
}

pub(in crate::mpesa) async fn note(
    controller: &Controller,
    id: &IntentId,
    event: Event,
) -> Result<(), PaymentError> {
    let mut transaction = controller.database.write().await?;
    match store::intent_by_id(&mut transaction, id).await? {
        Some(intent) => apply(controller, transaction, intent, event).await,
        None => Ok(()),
    }
}

/// Applies an event, commits, and tells open pages when the state changed. Where M-Pesa says for the first time that it is
/// paid, its receipt may be booked already, for what a rule took it for.
async fn apply(
    controller: &Controller,
    mut transaction: Transaction,
    intent: Intent,
    event: Event,
) -> Result<(), PaymentError> {
    let before = intent.state.clone();
    let (id, customer) = (intent.id.clone(), intent.customer.clone());
    let after = match intent.apply(event, controller.clock.now()) {
        Ok(after) => after,
        Err(refused) => {
            tracing::warn!(intent.id = %id, "an answer about a payment request does not fit it: {refused}");
            return Ok(());
        }
    };
    store::update_intent(&mut transaction, &after).await?;
    let is_news = after.state == State::PaidUnreceipted && before != after.state;
    let mut found = None;
    if is_news {
        let now = controller.clock.now();
        found = moving::find_receipt(&mut transaction, &after, &controller.ids, now).await?;
    }
    transaction.commit().await?;
    if let Some(found) = found {
        tracing::info!(intent.id = %id, "the receipt of a payment request was booked already: {}", found.outcome);
        if found.is_site_to_be_told {
            controller.live.ring_outbox();
        }
        found.hints.into_iter().for_each(|hint| controller.live.tell(hint));
    }
    if after.state != before {
        tracing::info!(intent.id = %id, intent.state = after.state.as_str(), "payment request followed up");
        controller.live.tell(Hint::Intent(customer));
    }
    Ok(())
}
