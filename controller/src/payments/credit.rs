//! What a callback does to the money. All of it in the caller's transaction, so that all of it happens or nothing.
//!
//! A receipt makes one payment row (unique by constraint), one ledger entry into the customer's wallet, and, when the
//! wallet then covers the price, one period bought from it, which changes the site's desired state. More callbacks
//! about the same receipt add evidence and nothing else. What does not fit is left for a person: a callback about
//! another prompt, a receipt that is booked elsewhere, a body that is not understood. None of these moves money.

use std::fmt;
use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use super::{PaymentError, store, traces};
use crate::database::Connection;
use crate::desired::Refreshed;
use crate::entitlements::{self, Purchase, Status};
use crate::ids::{LineId, PaymentId};
use crate::ledger::{self, Account, Booked, Entry};
use crate::live::Hint;
use crate::money::Money;
use crate::mpesa::evidence::{self, NotUnderstood, Outcome, Receipt};
use crate::mpesa::intent::{Event, Intent, Refused};
use crate::mpesa::store as requests;
use crate::mpesa::store::StoredCallback;
use crate::subscriptions;

/// The provider in the key of a receipt.
pub(super) const PROVIDER: &str = "mpesa";
/// The source in the key of a piece of evidence.
const SOURCE: &str = "stk callback";
/// Who books what callbacks say.
const ACTOR: &str = "mpesa";

/// What became of a callback. Its `Display` is what is stored beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallbackOutcome {
    /// The receipt is booked.
    Booked,
    /// The receipt was booked before: this is more evidence of it.
    Repeated,
    /// No money moved, or none yet: the request is now in this state.
    Noted(&'static str),
    /// Booked, and the amount is not the one that was asked for.
    AnotherAmount {
        /// What the request asked for.
        asked: Money,
        /// What the receipt says.
        paid: Money,
    },
    /// The receipt was booked before, with another amount. Nothing is booked.
    Contradiction {
        /// What is booked.
        booked: Money,
        /// What this callback says.
        told: Money,
    },
    /// The receipt was booked for another request. Nothing is booked.
    ReceiptOfAnother,
    /// The prompt belongs to another request. Nothing is booked.
    PromptOfAnother,
    /// No request has this path any more. Nothing is booked.
    NoSuchRequest,
    /// It does not fit the request. Nothing is booked.
    Refused(Refused),
    /// It is not a callback as we know them. Nothing is booked.
    NotUnderstood(NotUnderstood),
}

impl CallbackOutcome {
    /// Whether a person has to look.
    pub(crate) fn needs_a_person(&self) -> bool {
        !matches!(self, Self::Booked | Self::Repeated | Self::Noted(_))
    }
}

impl fmt::Display for CallbackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booked => f.write_str("booked"),
            Self::Repeated => f.write_str("booked before"),
            Self::Noted(state) => write!(f, "noted: {state}"),
            Self::AnotherAmount { asked, paid } => {
                write!(f, "review: booked; {asked} was asked for and {paid} paid")
            }
            Self::Contradiction { booked, told } => {
                write!(f, "review: the receipt is booked with {booked}, and this says {told}")
            }
            Self::ReceiptOfAnother => f.write_str("review: the receipt is booked for another request"),
            Self::PromptOfAnother => f.write_str("review: the prompt belongs to another request"),
            Self::NoSuchRequest => f.write_str("review: no request has this path"),
            Self::Refused(refused) => write!(f, "review: {refused}"),
            Self::NotUnderstood(why) => write!(f, "not understood: {why}"),
        }
    }
}

/// What has to be told after the commit.
#[derive(Debug)]
pub(crate) struct TakenIn {
    pub(crate) outcome: CallbackOutcome,
    /// The payment that was booked just now.
    pub(crate) payment: Option<PaymentId>,
    pub(crate) is_site_to_be_told: bool,
    pub(crate) hints: Vec<Hint>,
}

impl TakenIn {
    fn quietly(outcome: CallbackOutcome) -> Self {
        Self { outcome, payment: None, is_site_to_be_told: false, hints: Vec::new() }
    }
}

/// Takes one stored callback in.
///
/// # Errors
/// [`PaymentError`]; the transaction, or its savepoint, must then be rolled back.
pub(crate) async fn take_in(
    connection: &mut Connection,
    callback: &StoredCallback,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let Some(intent) = requests::intent_by_token(connection, &callback.token).await? else {
        return Ok(TakenIn::quietly(CallbackOutcome::NoSuchRequest));
    };
    let evidence = match evidence::parse(&callback.body) {
        Ok(evidence) => evidence,
        Err(why) => return Ok(TakenIn::quietly(CallbackOutcome::NotUnderstood(why))),
    };
    let checkout = evidence.checkout;
    let (event, receipt) = match evidence.outcome {
        Outcome::Paid(receipt) => (Event::Paid { receipt: receipt.number.clone(), checkout }, Some(receipt)),
        Outcome::PaidWithoutReceipt => (Event::PaidWithoutReceipt { checkout }, None),
        Outcome::Failed(reason) => (Event::Failed { reason, checkout }, None),
    };
    let after = match intent.apply(event, now) {
        Ok(after) => after,
        Err(refused) => return Ok(TakenIn::quietly(CallbackOutcome::Refused(refused))),
    };
    if requests::is_checkout_of_another(connection, &after).await? {
        return Ok(TakenIn::quietly(CallbackOutcome::PromptOfAnother));
    }
    let Some(receipt) = receipt else {
        requests::update_intent(connection, &after).await?;
        let mut taken_in = TakenIn::quietly(CallbackOutcome::Noted(after.state.as_str()));
        taken_in.hints.push(Hint::Intent(after.customer));
        return Ok(taken_in);
    };
    credit(connection, callback, after, &receipt, ids, now).await
}

/// Books a receipt for the request that it answers.
async fn credit(
    connection: &mut Connection,
    callback: &StoredCallback,
    intent: Intent,
    receipt: &Receipt,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let id = PaymentId::random(ids);
    let new = store::NewPayment { id: &id, receipt, intent: &intent, received_at: callback.received_at };
    if !store::insert_payment(connection, new, now).await? {
        return repeated(connection, callback, &intent, receipt, now).await;
    }
    store::insert_evidence(connection, &id, SOURCE, callback.id.as_str(), now).await?;
    let entry = Entry::transfer(
        ("payment", id.to_string()),
        ACTOR,
        &format!("M-Pesa {}", receipt.number),
        (Account::MpesaClearing(intent.short_code.clone()), Account::Wallet(intent.customer.clone())),
        receipt.amount,
    )
    .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    let bought = buy_period(connection, &intent.subscription, ("period", id.to_string()), ids, now).await?;
    let mut is_site_to_be_told = false;
    if let Some(Refreshed::Changed { site, generation }) = &bought {
        is_site_to_be_told = true;
        let steps = traces::Begun {
            payment: &id,
            subscription: &intent.subscription,
            site,
            generation: *generation,
            callback_received_at: callback.received_at,
            booked_at: now,
        };
        traces::begin(connection, steps).await?;
    }
    requests::update_intent(connection, &intent).await?;
    let outcome = if receipt.amount == intent.amount {
        CallbackOutcome::Booked
    } else {
        CallbackOutcome::AnotherAmount { asked: intent.amount, paid: receipt.amount }
    };
    let mut hints = vec![Hint::Payment(intent.customer.clone()), Hint::Intent(intent.customer)];
    if bought.is_some() {
        hints.push(Hint::Line(intent.subscription));
    }
    Ok(TakenIn { outcome, payment: Some(id), is_site_to_be_told, hints })
}

/// A receipt that is booked already: evidence at most, never money.
async fn repeated(
    connection: &mut Connection,
    callback: &StoredCallback,
    intent: &Intent,
    receipt: &Receipt,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let booked = store::by_receipt(connection, &receipt.number)
        .await?
        .ok_or_else(|| PaymentError::ReceiptVanished(receipt.number.to_string()))?;
    if booked.intent.as_ref() != Some(&intent.id) {
        return Ok(TakenIn::quietly(CallbackOutcome::ReceiptOfAnother));
    }
    store::insert_evidence(connection, &booked.id, SOURCE, callback.id.as_str(), now).await?;
    Ok(TakenIn::quietly(if booked.amount == receipt.amount {
        CallbackOutcome::Repeated
    } else {
        CallbackOutcome::Contradiction { booked: booked.amount, told: receipt.amount }
    }))
}

/// Buys one period for a line when its customer's wallet covers the price; what remains stays in the wallet. Once for
/// a cause. A held line buys nothing: its customer could not use it.
async fn buy_period(
    connection: &mut Connection,
    line: &LineId,
    cause: (&'static str, String),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Option<Refreshed>, PaymentError> {
    let Some(subscription) = subscriptions::get(connection, line).await? else {
        return Ok(None);
    };
    if subscription.status == Status::Suspended {
        return Ok(None);
    }
    let wallet = ledger::wallet_of(connection, &subscription.customer).await?;
    let validity = Duration::from_secs(subscription.validity_seconds);
    let purchase = entitlements::purchase(wallet, subscription.price, validity, subscription.paid_until, now);
    let Purchase::Bought { price, paid_until } = purchase else {
        return Ok(None);
    };
    let accounts = (Account::Wallet(subscription.customer), Account::Revenue);
    let entry = Entry::transfer(cause, ACTOR, &subscription.plan_name, accounts, price)
        .map_err(ledger::LedgerError::Unbalanced)?;
    if ledger::book(connection, &entry, ids, now).await? == Booked::AlreadyBooked {
        return Ok(None);
    }
    Ok(Some(subscriptions::activate(connection, line, paid_until, now).await?))
}
