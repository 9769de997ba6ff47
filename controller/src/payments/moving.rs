//! A receipt that a rule gave to one request, or to one customer, when what names its own request comes later.
//!
//! A rule guesses where a payment names no prompt (`mpesa::incoming::matching`). A callback on a request's own secret path
//! is no guess, and nor is the query that says which of two like requests is paid. The request that had the receipt is then
//! asked about again. Money moves only from one customer to another, as any correction does (`corrections`): what it has
//! bought for them is taken back as far as it is not used up, and a person is told. What a person decided is never moved.

use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use super::credit::{self, ACTOR, Owner, SOURCE, TakenIn, Told};
use super::{Payment, PaymentError, corrections, store, suspense};
use crate::database::Connection;
use crate::ids::{CustomerId, IntentId};
use crate::live::Hint;
use crate::mpesa::c2b;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::{Event, Intent};
use crate::mpesa::request_of_unnamed;
use crate::mpesa::store as requests;

/// What tells that a guess was wrong where it is no callback: in the key of a piece of evidence.
const QUERY: &str = "stk query";
/// How far two requests may be from each other for one payment to fit both: it is within fifteen minutes of each.
const APART: Duration = Duration::from_secs(30 * 60);
/// How long a request is looked at that waits for its receipt, and holds back what its customer has: Pull has told of all by
/// then, and a person was shown it.
pub(super) const WAITING: Duration = Duration::from_secs(48 * 3_600);

/// Where a receipt is booked that is another request's.
pub(super) struct Elsewhere {
    /// The request that a rule took it for; `None` where it took it for a customer's alone.
    request: Option<Intent>,
    /// Whether its money is another customer's, and only because of who paid.
    is_guessed_owner: bool,
}

impl Elsewhere {
    /// Whose request loses the receipt.
    pub(super) fn customer_of_request(&self) -> Option<CustomerId> {
        self.request.as_ref().map(|request| request.customer.clone())
    }
}

/// Where a booked receipt is that its own request may take back; `None` where it is free for it, or stays where it is.
pub(super) async fn elsewhere(
    connection: &mut Connection,
    booked: &Payment,
    intent: &Intent,
) -> Result<Option<Elsewhere>, PaymentError> {
    if booked.intent.as_ref() == Some(&intent.id)
        || !c2b::are_one_payee(connection, &booked.short_code, &intent.short_code).await?
    {
        return Ok(None);
    }
    let request = match &booked.intent {
        None => None,
        Some(other) => {
            let Some(other) = requests::intent_by_id(connection, other).await? else { return Ok(None) };
            if store::matched_payment_of(connection, &other, SOURCE).await?.as_ref() != Some(&booked.id) {
                return Ok(None);
            }
            Some(other)
        }
    };
    let is_theirs = booked.customer.as_ref().is_none_or(|customer| *customer == intent.customer);
    let is_guessed_owner = !is_theirs && store::is_owner_guessed(connection, &booked.id).await?;
    let may_be_taken = match &request {
        Some(_) => is_theirs || is_guessed_owner,
        // What a person gave to another stays there; its request is paid all the same.
        None => !is_theirs && (is_guessed_owner || credit::is_given(connection, booked).await?),
    };
    Ok(may_be_taken.then_some(Elsewhere { request, is_guessed_owner }))
}

/// Gives a receipt to the request that it is of.
pub(super) async fn take_back(
    connection: &mut Connection,
    told: &Told<'_>,
    (booked, elsewhere): (&Payment, Elsewhere),
    intent: Intent,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let mut hints = Vec::new();
    if let Some(other) = elsewhere.request {
        hints.push(Hint::Intent(other.customer.clone()));
        let is_said_paid = requests::is_said_paid(connection, &other.id).await?;
        if let Ok(reopened) = other.apply(Event::ReceiptGone { is_said_paid }, now) {
            requests::update_intent(connection, &reopened).await?;
        }
        store::detach(connection, &booked.id).await?;
    }
    let owner = Owner::Intent(Box::new(intent));
    let mut taken_in = if elsewhere.is_guessed_owner {
        move_money(connection, told, booked, owner, ids, now).await?
    } else {
        let booked = Payment { intent: None, ..booked.clone() };
        credit::claim(connection, told, &booked, owner, ids, now).await?
    };
    taken_in.hints.extend(hints);
    Ok(taken_in)
}

/// Takes money out of the wallet of whom a rule took for its owner, by the mirror image of how it came there, and books it
/// for whose it is.
async fn move_money(
    connection: &mut Connection,
    told: &Told<'_>,
    booked: &Payment,
    owner: Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let (Some(_), Some(after)) = (&booked.customer, owner.customer()) else {
        return credit::claim(connection, told, booked, owner, ids, now).await;
    };
    let out = corrections::take_out(connection, booked, told.actor, ids, now).await?;
    corrections::book_in(connection, booked, Some(after), (told.actor, out.number), ids, now).await?;
    let kept = corrections::kept_by(booked, Some(after));
    let back = corrections::take_back(connection, (booked, out), kept, told.actor, ids, now).await?;
    store::move_to(connection, &booked.id, &owner).await?;
    // What was said of the wallet that it lay in is said of the wrong one now.
    store::settle_booked(connection, booked).await?;
    let again = format!(" moved {}", out.number);
    let mut taken_in =
        credit::fulfil(connection, told, (booked.id.clone(), &again), &owner, ids, now).await?;
    taken_in.outcome = corrections::outcome(&back).besides(taken_in.outcome);
    taken_in.is_site_to_be_told |= back.is_site_to_be_told;
    taken_in.hints.extend(back.hints);
    Ok(taken_in)
}

/// Looks whether the receipt of a request of which M-Pesa says that it is paid is booked already: for the line and no request,
/// in the wallet because nobody could say which of several things it was for, or for another request for the same thing, of
/// which M-Pesa never said so. All that fit are the same customer's, so that of several the first of these will do.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub(crate) async fn find_receipt(
    connection: &mut Connection,
    intent: &Intent,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<TakenIn>, PaymentError> {
    let around = (intent.created_at.minus(APART), intent.created_at.plus(APART));
    let mut found: Option<(Payment, Elsewhere)> = None;
    for payment in store::perhaps_of(connection, intent, around).await? {
        let elsewhere = match &payment.intent {
            None => Elsewhere { request: None, is_guessed_owner: false },
            Some(other) => {
                let Some(other) = requests::intent_by_id(connection, other).await? else { continue };
                let is_named = store::matched_payment_of(connection, &other, SOURCE).await?.as_ref()
                    != Some(&payment.id);
                let is_alike = (&other.subscription, &other.top_up, &other.promised)
                    == (&intent.subscription, &intent.top_up, &intent.promised);
                if is_named || !is_alike || requests::is_said_paid(connection, &other.id).await? {
                    continue;
                }
                Elsewhere { request: Some(other), is_guessed_owner: false }
            }
        };
        let is_better =
            elsewhere.request.is_none() && found.as_ref().is_some_and(|(_, before)| before.request.is_some());
        if found.is_none() || is_better {
            found = Some((payment, elsewhere));
        }
    }
    let found = match found {
        Some(found) => Some(found),
        None => behind_mask(connection, intent, around, now).await?,
    };
    let Some((payment, elsewhere)) = found else { return Ok(None) };
    let Some(number) = ReceiptNumber::parse(&payment.receipt_number) else { return Ok(None) };
    let event = Event::Paid { receipt: number.clone(), checkout: intent.checkout.clone() };
    let Ok(paid) = intent.clone().apply(event, now) else { return Ok(None) };
    let told = Told {
        number: &number,
        amount: payment.amount,
        short_code: &payment.short_code,
        phone: &payment.payer,
        account_reference: &payment.account_reference,
        received_at: payment.received_at,
        moved_at: None,
        source: QUERY,
        source_id: intent.id.as_str(),
        actor: ACTOR,
    };
    store::insert_evidence(connection, &payment.id, told.source, told.source_id, now).await?;
    let taken_in = take_back(connection, &told, (&payment, elsewhere), paid, ids, now).await?;
    if taken_in.outcome.needs_a_person() {
        credit::keep_for_person(connection, &told, &taken_in.outcome).await?;
    }
    Ok(Some(taken_in))
}

/// The payment to a till that lies in suspense because its payer was masked, where it can be no other request's.
async fn behind_mask(
    connection: &mut Connection,
    intent: &Intent,
    around: (UnixMillis, UnixMillis),
    now: UnixMillis,
) -> Result<Option<(Payment, Elsewhere)>, PaymentError> {
    let what = (intent.short_code.as_str(), intent.amount);
    let mut found = None;
    for (number, paid_at) in suspense::store::unnamed_between(connection, what, around).await? {
        let Some(payment) = store::by_receipt(connection, &number).await? else { continue };
        if request_of_unnamed(connection, &payment, paid_at, now).await?.as_ref() != Some(&intent.id) {
            continue;
        }
        let elsewhere = Elsewhere { request: None, is_guessed_owner: false };
        if found.replace((payment, elsewhere)).is_some() {
            // Two receipts for one request: which is its own, nothing says.
            return Ok(None);
        }
    }
    Ok(found)
}

/// A payment of a customer is no request's, or no request's any more: a request of theirs that waits for its receipt, and of
/// which M-Pesa says that it is paid, may have it. Not the one that it was taken from; and where a person says whose the payment
/// is, however long the request has waited.
pub(super) async fn pass_on(
    connection: &mut Connection,
    (taken_from, customer): (Option<&IntentId>, &CustomerId),
    taken_in: &mut TakenIn,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let since = if taken_from.is_some() { now.minus(WAITING) } else { UnixMillis(0) };
    for waiting in requests::said_paid_since(connection, customer, since).await? {
        if taken_from == Some(&waiting.id) {
            continue;
        }
        if let Some(found) = find_receipt(connection, &waiting, ids, now).await? {
            taken_in.is_site_to_be_told |= found.is_site_to_be_told;
            taken_in.hints.extend(found.hints);
        }
    }
    Ok(())
}
