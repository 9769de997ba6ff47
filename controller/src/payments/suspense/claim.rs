//! A payment that is nobody's, claimed by a customer who has its receipt number and the phone that paid.
//!
//! ```text
//!   booked? ─▶ theirs already? ─▶ in suspense, untouched by a person? ─▶ does the phone fit? ─▶ assigned, as staff would
//! ```
//! Whoever paid what goes back to them, or went, is told so, by the same two proofs.
//!
//! Both must fit what M-Pesa told: a receipt alone is seen over a shoulder. Everything else is one answer, so that nobody
//! learns here of other people's payments. Whoever claims proves less than a callback on a request's own path, which may
//! still take the money (`payments::moving`); what a person took back from somebody is theirs to decide. How often
//! strangers may try is `pay::throttle`.

use tawi_shared::{IdSource, UnixMillis};

use super::{Assigned, Assignment, NoOwner, hand_over};
use crate::audit::{self, Action, Actor};
use crate::customers::phone::Msisdn;
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PaymentId};
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::{Agreement, Payer};
use crate::payments::corrections::Closed;
use crate::payments::refunds::{self, State};
use crate::payments::{self, Payment, PaymentError, PaymentRow, Provider};

/// The source in the key of a piece of evidence: a customer who claimed it.
pub(crate) const SOURCE: &str = "claim";

/// What a customer says.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The receipt in M-Pesa's message.
    pub(crate) receipt: ReceiptNumber,
    /// The phone that paid.
    pub(crate) phone: Msisdn,
    /// Whose account page it is said on.
    pub(crate) customer: CustomerId,
    /// Which of their lines it is for.
    pub(crate) line: LineId,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is theirs now.
    Given(Assigned),
    /// It was theirs before.
    TheirsAlready(Box<PaymentRow>),
    /// It goes back to the phone that they name, or went: so its refund stands.
    GoesBack(State),
    /// Nothing that could be theirs is known of: never heard of, another phone's, somebody else's, or for a person to decide.
    Nothing,
}

/// How a payment stands towards a claim.
enum Standing {
    Free(PaymentId),
    Theirs(Box<PaymentRow>),
    GoesBack(State),
    Nothing,
}

/// What comes of a claim that changes nothing: asked without the writer, for which payments wait. `None` for one that gives.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn look_up(
    connection: &mut Connection,
    claim: &Claim,
) -> Result<Option<Claimed>, PaymentError> {
    Ok(match standing(connection, claim).await? {
        Standing::Nothing => Some(Claimed::Nothing),
        Standing::Theirs(row) => Some(Claimed::TheirsAlready(row)),
        Standing::GoesBack(state) => Some(Claimed::GoesBack(state)),
        Standing::Free(_) => None,
    })
}

/// Gives a payment to whoever claims it, with the row in the audit log.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back.
pub(crate) async fn claim(
    connection: &mut Connection,
    claim: &Claim,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Claimed, PaymentError> {
    let payment = match standing(connection, claim).await? {
        Standing::Nothing => return Ok(Claimed::Nothing),
        Standing::Theirs(row) => return Ok(Claimed::TheirsAlready(row)),
        Standing::GoesBack(state) => return Ok(Claimed::GoesBack(state)),
        Standing::Free(payment) => payment,
    };
    let (customer, subscription) = (claim.customer.clone(), Some(claim.line.clone()));
    let wanted = Assignment { payment, customer, subscription };
    let by = (SOURCE, &Actor::Claimant);
    let Ok(assigned) = hand_over(connection, &wanted, by, ids, now).await? else {
        return Ok(Claimed::Nothing);
    };
    let act = (Action::PaymentAssigned, wanted.payment.as_str(), wanted.customer.as_str());
    audit::record(connection, &Actor::Claimant, act, ids, now).await?;
    Ok(Claimed::Given(assigned))
}

async fn standing(connection: &mut Connection, claim: &Claim) -> Result<Standing, PaymentError> {
    let Some(row) = payments::payment_of_receipt(connection, &claim.receipt).await? else {
        return Ok(Standing::Nothing);
    };
    if row.payment.closed == Some(Closed::Refunded) && Payer::told(&row.payment.payer).proves(&claim.phone) {
        let refund = refunds::whole_of(connection, &row.payment.id).await?;
        return Ok(refund.map_or(Standing::Nothing, Standing::GoesBack));
    }
    Ok(stands(row, claim))
}

fn stands(row: PaymentRow, claim: &Claim) -> Standing {
    let payment = &row.payment;
    let told = Payer::told(&payment.payer);
    let agreement = told.agrees_with(&claim.phone);
    match &payment.customer {
        // It went back to whoever paid it, or never came.
        _ if payment.closed.is_some() => Standing::Nothing,
        // What M-Pesa told nothing of, the account itself vouches for.
        Some(owner) if *owner == claim.customer && agreement != Agreement::Another => {
            Standing::Theirs(Box::new(row))
        }
        None if is_free(payment) && told.proves(&claim.phone) => Standing::Free(payment.id.clone()),
        Some(_) | None => Standing::Nothing,
    }
}

/// Whether it waits for its owner, and not for a person.
fn is_free(payment: &Payment) -> bool {
    // One whose refund did not go was touched by a person as well, and is its payer's as it was.
    let is_for_a_person = payment.part_of.is_some()
        || matches!(payment.no_owner, Some(NoOwner::UnknownKind | NoOwner::TakenBack));
    payment.provider == Provider::Mpesa && !is_for_a_person
}
