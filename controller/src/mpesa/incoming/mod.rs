//! Payments that come without being asked about: by Paybill, to a till, or by a prompt whose callback was lost.
//!
//! ```text
//!   C2B confirmation ─┐
//!   Pull row ─────────┼─▶ Incoming ──▶ matching (whose is it?) ──▶ payments::credit (booked once)
//!   statement line ───┘
//! ```
//! Whichever of them tells first books the receipt; the others add a piece of evidence. Who told, and when to ask, is the
//! sources' own affair (`c2b`, `pull`, `statement`).

pub(in crate::mpesa) mod matching;
mod paid_at;
mod payer;
pub(in crate::mpesa) mod store;

use std::fmt;
use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};

use self::matching::{Holder, Match, Named, TIME_AROUND};
pub(in crate::mpesa) use self::paid_at::{PaidAt, is_month_first};
pub(crate) use self::payer::{Agreement, Payer};
use super::evidence::ReceiptNumber;
use super::intent::Event;
use super::store as requests;
use crate::customers::account_number::{AccountNumber, NotAnAccountNumber};
use crate::customers::phone::Msisdn;
use crate::customers::references;
use crate::database::{Answers, Connection, Together};
use crate::ids::{CustomerId, IntentId};
use crate::money::Money;
use crate::payments::credit::{self, CallbackOutcome, Owner, TakenIn, Told};
use crate::payments::{NoOwner, Payment, PaymentError};

/// The longest reference that is kept. Safaricom takes 20 characters from customers.
pub(in crate::mpesa) const REFERENCE_CHARACTERS: usize = 40;
/// Pull reaches back so far; what tells of a payment later than that tells of what a person may have dealt with.
const DECIDED_ANEW_WITHIN: Duration = Duration::from_secs(48 * 3_600);

/// A payment as any source tells of it. `Debug` hides who paid and what they typed.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::mpesa) struct Incoming {
    pub(in crate::mpesa) receipt: ReceiptNumber,
    /// `None` when the time is not understood: the money is somebody's all the same.
    pub(in crate::mpesa) paid_at: Option<PaidAt>,
    pub(in crate::mpesa) payer: Payer,
    /// Whether it is a payment to us at all.
    pub(in crate::mpesa) kind: TransactionKind,
    /// What the customer typed as account, as typed; empty for a till.
    pub(in crate::mpesa) reference: String,
    pub(in crate::mpesa) amount: Money,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receipt, paid_at, kind, amount, .. } = self;
        f.debug_tuple("Incoming").field(receipt).field(paid_at).field(kind).field(amount).finish()
    }
}

/// What kind of transaction it is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mpesa) enum TransactionKind {
    /// A payment to us.
    Known,
    /// By a name that nobody has seen, where nothing but payments to us is told of: whoever's account it names has it, and
    /// a person is shown it.
    NewName,
    /// Perhaps no payment: it goes to no customer by itself.
    Unknown,
}

/// Which piece of which source tells of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::mpesa) struct Source<'a> {
    /// Who was paid.
    pub(in crate::mpesa) short_code: &'a str,
    /// What tells, in the key of a piece of evidence.
    pub(in crate::mpesa) name: &'static str,
    /// Which piece of it.
    pub(in crate::mpesa) id: &'a str,
    /// When we were told.
    pub(in crate::mpesa) received_at: UnixMillis,
    /// Whether what it told is kept elsewhere for a person to see, as the bodies of callbacks are.
    pub(in crate::mpesa) is_kept: bool,
    /// Whether it may be the only one that tells of a payment; otherwise a person is shown that it is.
    pub(in crate::mpesa) is_enough: bool,
}

/// Decides whose a payment is and books it; gives why it is nobody's, where it is.
///
/// # Errors
/// [`PaymentError`]; the transaction, or its savepoint, must then be rolled back.
pub(in crate::mpesa) async fn take_in(
    connection: &mut Connection,
    payment: &Incoming,
    source: Source<'_>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(TakenIn, Option<NoOwner>), PaymentError> {
    // Hardly any is booked before, and whoever it may belong to is asked in the same trip to the database.
    let mut together = Together::default();
    credit::ask_booked(&mut together, &payment.receipt);
    let asked = ask_owner(&mut together, payment, source.short_code);
    let mut answers = together.fetch(connection).await?;
    let booked = credit::answered_booked(&mut answers)?;
    let is_new = booked.is_none();
    let (owner, reason) = if booked.is_none_or(|booked| is_decided_anew(&booked, source.received_at)) {
        owner_of(connection, (payment, source.short_code), (asked, answers), now).await?
    } else {
        (Owner::Nobody(None), None)
    };
    let is_somebodys = owner.customer().is_some();
    let told = Told {
        number: &payment.receipt,
        amount: payment.amount,
        short_code: source.short_code,
        phone: payment.payer.kept(),
        account_reference: &payment.reference,
        received_at: source.received_at,
        moved_at: payment.paid_at.map(|at| at.probably),
        source: source.name,
        source_id: source.id,
        actor: credit::ACTOR,
    };
    let mut taken_in = credit::credit(connection, &told, owner, ids, now).await?;
    if payment.kind == TransactionKind::NewName && is_somebodys && taken_in.payment.is_some() {
        taken_in.outcome = CallbackOutcome::UnknownKind.besides(taken_in.outcome);
    }
    if !source.is_enough && is_somebodys && is_new {
        taken_in.outcome = CallbackOutcome::StatementAlone.besides(taken_in.outcome);
    }
    if !is_new {
        taken_in.payment = None;
    }
    if taken_in.outcome.needs_a_person() && !source.is_kept {
        credit::keep_for_person(connection, &told, &taken_in.outcome).await?;
    }
    Ok((taken_in, reason.filter(|_| is_new)))
}

/// Whether whose a booked payment is may be another by what one more source says of it. What has an owner has it for good.
/// What may be no payment needs a person; and what has waited for long too, who may have promised it to somebody, while
/// accounts and phones have gone to others.
fn is_decided_anew(booked: &Payment, told_at: UnixMillis) -> bool {
    booked.customer.is_none()
        && booked.no_owner != Some(NoOwner::UnknownKind)
        && told_at.since(booked.received_at) <= DECIDED_ANEW_WITHIN
}

/// Says why a payment would be nobody's, without booking it; `None` when it is somebody's.
///
/// # Errors
/// When the database refuses.
pub(in crate::mpesa) async fn reason_for_nobody(
    connection: &mut Connection,
    payment: &Incoming,
    short_code: &str,
    now: UnixMillis,
) -> Result<Option<NoOwner>, PaymentError> {
    let mut together = Together::default();
    let asked = ask_owner(&mut together, payment, short_code);
    let answers = together.fetch(connection).await?;
    Ok(owner_of(connection, (payment, short_code), (asked, answers), now).await?.1)
}

/// The request whose a till payment is that lies in suspense, were it told of now; `None` where it is no request's.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn request_of_unnamed(
    connection: &mut Connection,
    booked: &Payment,
    paid_at: UnixMillis,
    now: UnixMillis,
) -> Result<Option<IntentId>, PaymentError> {
    let Some(receipt) = ReceiptNumber::parse(&booked.receipt_number) else { return Ok(None) };
    let payment = Incoming {
        receipt,
        paid_at: Some(PaidAt { probably: paid_at, perhaps: None }),
        payer: Payer::told(&booked.payer),
        kind: TransactionKind::Known,
        reference: String::new(),
        amount: booked.amount,
    };
    let mut together = Together::default();
    let asked = ask_owner(&mut together, &payment, &booked.short_code);
    let answers = together.fetch(connection).await?;
    let owner = owner_of(connection, (&payment, &booked.short_code), (asked, answers), now).await?.0;
    Ok(match owner {
        Owner::Intent(intent) => Some(intent.id),
        Owner::Customer { .. } | Owner::Nobody(_) => None,
    })
}

/// What was asked of whose a payment may be.
struct Asked {
    /// What was typed as account.
    account: Result<AccountNumber, NotAnAccountNumber>,
    /// At how many times somebody may have been asked for it.
    times: usize,
}

fn ask_owner(together: &mut Together, payment: &Incoming, short_code: &str) -> Asked {
    let account = AccountNumber::parse(&payment.reference);
    if let Ok(number) = &account {
        store::ask_holder_of(together, number);
    }
    let mut times = 0;
    for time in payment.paid_at.into_iter().flat_map(|at| [Some(at.probably), at.perhaps]).flatten() {
        let around = (time.minus(TIME_AROUND), time.plus(TIME_AROUND));
        store::ask_unreceipted_between(together, payment, short_code, around);
        times += 1;
    }
    Asked { account, times }
}

async fn owner_of(
    connection: &mut Connection,
    (payment, short_code): (&Incoming, &str),
    (asked, mut answers): (Asked, Answers),
    now: UnixMillis,
) -> Result<(Owner, Option<NoOwner>), PaymentError> {
    let named = named_by(connection, payment, &asked, &mut answers).await?;
    let mut candidates = Vec::new();
    for _ in 0..asked.times {
        candidates.extend(store::answered_candidates(&mut answers)?);
    }
    let owner = match matching::decide(payment, short_code, &named, &candidates) {
        Match::Customer { customer, subscription, is_unclear } => {
            Owner::Customer { customer, subscription, is_unclear }
        }
        Match::Nobody(reason) => return Ok((Owner::Nobody(Some(reason)), Some(reason))),
        Match::Intent(id) => {
            let intent = requests::intent_by_id(connection, &id).await?;
            let intent = intent.ok_or(PaymentError::Database(sqlx::Error::RowNotFound))?;
            let (customer, subscription) = (intent.customer.clone(), Some(intent.subscription.clone()));
            let paid = Event::Paid { receipt: payment.receipt.clone(), checkout: intent.checkout.clone() };
            match intent.apply(paid, now) {
                Ok(paid) => Owner::Intent(Box::new(paid)),
                // A request without a receipt takes one. Should it ever not, the money is its customer's anyway.
                Err(_) => Owner::Customer { customer, subscription, is_unclear: false },
            }
        }
    };
    Ok((owner, None))
}

/// Whom a payment names: the holder of the account number that was typed, or of an invoice's number or a phone that was typed in
/// its place, or, where nothing was, whoever paid. Words name nobody: "Mama Njeri" may be the neighbour of whoever paid.
async fn named_by(
    connection: &mut Connection,
    payment: &Incoming,
    asked: &Asked,
    answers: &mut Answers,
) -> Result<Named, PaymentError> {
    let holder = match asked.account {
        Ok(_) => store::answered_holder(answers)?,
        Err(_) => None,
    };
    let has_letters = payment.reference.bytes().any(|byte| byte.is_ascii_alphabetic());
    if (has_letters || asked.account.is_err())
        && let Some(holder) = references::holder_of_typed(connection, &payment.reference).await?
    {
        let subscriptions = match holder.subscription {
            Some(line) => vec![line],
            None => store::lines_of(connection, &holder.customer).await?,
        };
        return Ok(Named::Holder(Holder { customer: holder.customer, subscriptions }));
    }
    match asked.account {
        Ok(_) => Ok(holder.map_or(Named::Nobody, Named::Holder)),
        // It was meant for an account, and is not to go to whoever has that as a phone.
        Err(NotAnAccountNumber::CheckDigit) => Ok(Named::Nobody),
        Err(NotAnAccountNumber::Form) => {
            let typed = Msisdn::parse(&payment.reference).ok().map(|phone| phone.sha256());
            let payer = || payment.payer.sha256().filter(|_| payment.reference.is_empty());
            let Some(sha256) = typed.or_else(payer) else { return Ok(Named::Nobody) };
            let customers = store::customers_with_phone(connection, &sha256).await?;
            named(connection, customers).await
        }
    }
}

async fn named(connection: &mut Connection, customers: Vec<CustomerId>) -> Result<Named, PaymentError> {
    let mut customers = customers.into_iter();
    match (customers.next(), customers.next()) {
        (None, _) => Ok(Named::Nobody),
        (Some(_), Some(_)) => Ok(Named::Several),
        (Some(customer), None) => {
            let subscriptions = store::lines_of(connection, &customer).await?;
            Ok(Named::Holder(Holder { customer, subscriptions }))
        }
    }
}
