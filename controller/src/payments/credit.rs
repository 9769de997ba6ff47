//! What a callback, or anything else that tells of a receipt, does to the money. All of it in the caller's transaction,
//! so that all of it happens or nothing.
//!
//! A receipt makes one payment row (unique by constraint), one ledger entry into the customer's wallet, and, when the
//! wallet then covers the price, one period bought from it, which changes the site's desired state. More callbacks
//! about the same receipt add evidence and nothing else. What does not fit is left for a person: a callback about
//! another prompt, a receipt that is booked elsewhere, a body that is not understood. None of these moves money.

use tawi_shared::{IdSource, UnixMillis};

use super::moving::Elsewhere;
pub(crate) use super::outcome::CallbackOutcome;
use super::outcome::Otherwise;
use super::topping_up::{self, NoTopUp};
use super::wallet::{Bought, NotBought, Unspent};
use super::{
    NoOwner, Payment, PaymentError, Provider, corrections, moving, refunds, store, suspense, traces, wallet,
};
use crate::customers::phone::Msisdn;
use crate::database::{Answers, Connection, Together};
use crate::desired::Refreshed;
use crate::ids::{CustomerId, LineId, PaymentId, RefundId};
use crate::ledger::{self, Account, Entry};
use crate::live::Hint;
use crate::messages;
use crate::money::Money;
use crate::mpesa::c2b;
use crate::mpesa::evidence::{self, CheckoutId, Outcome, Receipt, ReceiptNumber};
use crate::mpesa::intent::{Event, Intent, Refused, State};
use crate::mpesa::store as requests;
use crate::mpesa::store::StoredCallback;

/// The provider in the key of a receipt.
pub(super) const PROVIDER: &str = Provider::Mpesa.as_str();
/// The source in the key of a piece of evidence.
pub(super) const SOURCE: &str = "stk callback";
/// The kind of cause of a period that a payment bought.
const PERIOD: &str = "period";
/// Who books what callbacks say.
pub(crate) const ACTOR: &str = "mpesa";

/// What has to be told after the commit.
#[derive(Debug)]
pub(crate) struct TakenIn {
    pub(crate) outcome: CallbackOutcome,
    /// The payment that was booked just now.
    pub(crate) payment: Option<PaymentId>,
    /// Why that is nobody's, where it is.
    pub(crate) no_owner: Option<NoOwner>,
    /// The refund of which it told, and where that stands now.
    pub(crate) refund: Option<(RefundId, refunds::State)>,
    pub(crate) is_site_to_be_told: bool,
    pub(crate) hints: Vec<Hint>,
}

impl TakenIn {
    /// Nothing has to be told.
    pub(crate) fn quietly(outcome: CallbackOutcome) -> Self {
        Self {
            outcome,
            payment: None,
            no_owner: None,
            refund: None,
            is_site_to_be_told: false,
            hints: Vec::new(),
        }
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
    let event = match evidence.outcome {
        Outcome::Paid(receipt) => {
            return take_in_receipt(connection, callback, (intent, checkout), &receipt, ids, now).await;
        }
        Outcome::PaidWithoutReceipt => Event::PaidWithoutReceipt { checkout },
        Outcome::Failed(reason) => Event::Failed { reason, checkout },
    };
    let (known, before) = (intent.checkout.clone(), intent.state.clone());
    let after = match intent.apply(event, now) {
        Ok(after) => after,
        Err(refused) => return Ok(TakenIn::quietly(CallbackOutcome::Refused(refused))),
    };
    if is_prompt_of_another(connection, known.as_ref(), &after).await? {
        return Ok(TakenIn::quietly(CallbackOutcome::PromptOfAnother));
    }
    requests::update_intent(connection, &after).await?;
    // Its receipt may be booked already, for what a rule took it for.
    if after.state == State::PaidUnreceipted
        && before != after.state
        && let Some(found) = moving::find_receipt(connection, &after, ids, now).await?
    {
        return Ok(found);
    }
    let mut taken_in = TakenIn::quietly(CallbackOutcome::Noted(after.state.as_str()));
    taken_in.hints.push(Hint::Intent(after.customer));
    Ok(taken_in)
}

/// What the request knew before was looked at when it learnt it.
async fn is_prompt_of_another(
    connection: &mut Connection,
    known: Option<&CheckoutId>,
    after: &Intent,
) -> Result<bool, PaymentError> {
    Ok(after.checkout.as_ref() != known && requests::is_checkout_of_another(connection, after).await?)
}

/// Takes in a callback that tells of a receipt: it is booked when it is the one of this prompt, with the amount that was
/// asked for. Whatever does not fit moves no money, and is kept as evidence where its receipt is booked.
async fn take_in_receipt(
    connection: &mut Connection,
    callback: &StoredCallback,
    (intent, checkout): (Intent, Option<CheckoutId>),
    receipt: &Receipt,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let short_code = intent.short_code.clone();
    let told = Told {
        number: &receipt.number,
        amount: receipt.amount,
        short_code: &short_code,
        phone: receipt.phone.as_ref().map_or("", Msisdn::digits),
        account_reference: "",
        received_at: callback.received_at,
        moved_at: None,
        source: SOURCE,
        source_id: callback.id.as_str(),
        actor: ACTOR,
    };
    let booked = store::by_receipt(connection, told.number).await?;
    let known = intent.checkout.clone();
    let number = || receipt.number.clone();
    let event = Event::Paid { receipt: number(), checkout: checkout.clone() };
    let (after, replaced) = match intent.clone().apply(event, now) {
        Ok(after) => (after, None),
        Err(Refused::AnotherReceipt) => {
            // Its own path, its own prompt. What a rule took for its receipt was somebody's guess, which a person may have
            // put elsewhere since.
            let guessed = store::matched_payment_of(connection, &intent, SOURCE).await?;
            if guessed.is_none() && !corrections::store::is_guess_moved(connection, &intent, SOURCE).await? {
                keep_evidence(connection, &told, booked.as_ref(), now).await?;
                return Ok(TakenIn::quietly(another_receipt(&told, booked.as_ref())));
            }
            match intent.apply(Event::PaidInstead { receipt: number(), checkout }, now) {
                Ok(after) => (after, guessed),
                Err(refused) => return Ok(TakenIn::quietly(CallbackOutcome::Refused(refused))),
            }
        }
        Err(refused) => return Ok(TakenIn::quietly(CallbackOutcome::Refused(refused))),
    };
    if is_prompt_of_another(connection, known.as_ref(), &after).await? {
        return Ok(TakenIn::quietly(CallbackOutcome::PromptOfAnother));
    }
    keep_evidence(connection, &told, booked.as_ref(), now).await?;
    if let Some(booked) = &booked
        && let Some(outcome) = another_payee(connection, &told, booked).await?
    {
        return Ok(TakenIn::quietly(outcome));
    }
    if let (Some(booked), Some(phone)) = (&booked, &receipt.phone)
        && booked.phone.is_none()
        && booked.amount == told.amount
    {
        super::corrections::store::note_phone(connection, &booked.id, phone).await?;
    }
    if booked.as_ref().is_some_and(|booked| booked.is_by_hand && booked.amount == told.amount) {
        // The request is paid; where its money belongs, a person has said.
        requests::update_intent(connection, &after).await?;
        return Ok(TakenIn::quietly(CallbackOutcome::Repeated));
    }
    let elsewhere = match &booked {
        Some(booked) => moving::elsewhere(connection, booked, &after).await?,
        None => None,
    };
    if let Some(outcome) = misfit(&told, &after, booked.as_ref(), elsewhere.is_some()) {
        return Ok(TakenIn::quietly(outcome));
    }
    if let Some(guessed) = &replaced {
        store::detach(connection, guessed).await?;
    }
    let (own, customer) = (after.id.clone(), after.customer.clone());
    let taken_from = elsewhere.as_ref().and_then(Elsewhere::customer_of_request);
    let mut taken_in = match (&booked, elsewhere) {
        (Some(booked), Some(elsewhere)) => {
            moving::take_back(connection, &told, (booked, elsewhere), after, ids, now).await?
        }
        _ => credit(connection, &told, Owner::Intent(Box::new(after)), ids, now).await?,
    };
    if replaced.is_some() {
        taken_in.outcome = CallbackOutcome::ReceiptReplaced.besides(taken_in.outcome);
        moving::pass_on(connection, (Some(&own), &customer), &mut taken_in, ids, now).await?;
    }
    if let Some(customer) = taken_from {
        // The request that loses it may be one that is paid, by a receipt that is booked for no request.
        moving::pass_on(connection, (Some(&own), &customer), &mut taken_in, ids, now).await?;
    }
    Ok(taken_in)
}

/// Whatever is decided of it: a receipt that is booked was told of once more.
async fn keep_evidence(
    connection: &mut Connection,
    told: &Told<'_>,
    booked: Option<&Payment>,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    if let Some(booked) = booked {
        store::insert_evidence(connection, &booked.id, told.source, told.source_id, now).await?;
    }
    Ok(())
}

/// Whether a receipt is booked as money that came to another short code: one of the two is wrong, and which a person has to
/// find out. A till and its head office are one.
async fn another_payee(
    connection: &mut Connection,
    told: &Told<'_>,
    booked: &Payment,
) -> Result<Option<CallbackOutcome>, PaymentError> {
    if c2b::are_one_payee(connection, &booked.short_code, told.short_code).await? {
        return Ok(None);
    }
    let (booked, told) = (booked.short_code.clone(), told.short_code.to_owned());
    Ok(Some(CallbackOutcome::AnotherPayee { booked, told }))
}

/// What is said of a second receipt on the path of a request that is paid: one that another source has told of is no claim.
fn another_receipt(told: &Told<'_>, booked: Option<&Payment>) -> CallbackOutcome {
    match booked {
        Some(booked) if booked.amount != told.amount => {
            CallbackOutcome::Contradiction { booked: booked.amount, told: told.amount }
        }
        Some(_) => CallbackOutcome::BookedBesides,
        None => CallbackOutcome::Refused(Refused::AnotherReceipt),
    }
}

/// Why a receipt is not booked for a request whose prompt it is of; `None` when it may be.
fn misfit(
    told: &Told<'_>,
    intent: &Intent,
    booked: Option<&Payment>,
    may_be_taken_back: bool,
) -> Option<CallbackOutcome> {
    match booked {
        Some(booked) if booked.amount != told.amount => {
            Some(CallbackOutcome::Contradiction { booked: booked.amount, told: told.amount })
        }
        Some(booked) if booked.intent.as_ref() == Some(&intent.id) => None,
        _ if told.amount != intent.amount => Some(CallbackOutcome::AnotherAmount {
            asked: intent.amount,
            told: told.amount,
            is_booked: booked.is_some(),
        }),
        Some(booked) if !may_be_taken_back && !is_free_for(booked, intent) => {
            Some(CallbackOutcome::ReceiptOfAnother)
        }
        _ => None,
    }
}

/// Whether a payment was booked by what the payer typed, or for nobody, before its request was known.
fn is_free_for(booked: &Payment, intent: &Intent) -> bool {
    booked.intent.is_none() && booked.customer.as_ref().is_none_or(|one| *one == intent.customer)
}

/// A receipt, as a callback or any other source tells of it.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) number: &'a ReceiptNumber,
    pub(crate) amount: Money,
    pub(crate) short_code: &'a str,
    /// Digits, a mask or a hash; empty when it was not said.
    pub(crate) phone: &'a str,
    /// What was typed as account; empty when it was not said.
    pub(crate) account_reference: &'a str,
    /// When we were told.
    pub(crate) received_at: UnixMillis,
    /// When it was paid by M-Pesa's own clock, where that was said.
    pub(crate) moved_at: Option<UnixMillis>,
    /// What tells, and which piece of it: together they are one piece of evidence.
    pub(crate) source: &'static str,
    pub(crate) source_id: &'a str,
    /// Who books it.
    pub(crate) actor: &'a str,
}

/// Whose a receipt is.
pub(crate) enum Owner {
    /// A request's: as it is after the event that brought the receipt, not yet stored.
    Intent(Box<Intent>),
    /// A customer's, for this line of theirs or for none; unclear where it may be for one of several things.
    Customer { customer: CustomerId, subscription: Option<LineId>, is_unclear: bool },
    /// Nobody's that we know: it waits in suspense for a person, who is told why.
    Nobody(Option<NoOwner>),
}

impl Owner {
    pub(crate) fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Intent(intent) => Some(&intent.customer),
            Self::Customer { customer, .. } => Some(customer),
            Self::Nobody(_) => None,
        }
    }

    pub(super) fn subscription(&self) -> Option<&LineId> {
        match self {
            Self::Intent(intent) => Some(&intent.subscription),
            Self::Customer { subscription, .. } => subscription.as_ref(),
            Self::Nobody(_) => None,
        }
    }

    pub(super) fn no_owner(&self) -> Option<NoOwner> {
        match self {
            Self::Nobody(why) => *why,
            Self::Intent(_) | Self::Customer { .. } => None,
        }
    }

    pub(super) fn intent(&self) -> Option<&Intent> {
        match self {
            Self::Intent(intent) => Some(intent),
            Self::Customer { .. } | Self::Nobody(_) => None,
        }
    }
}

/// Whether a source has told of a receipt before, as of a payment to this short code: then there is nothing to take in. Where
/// it is booked under another, it has told of that once it has told this piece.
pub(crate) async fn is_told_by(
    connection: &mut Connection,
    number: &ReceiptNumber,
    piece: (&str, &str),
    short_code: &str,
) -> Result<bool, PaymentError> {
    Ok(store::is_told_by(connection, number, piece, short_code).await?)
}

/// Whether what this piece of a source told of a receipt before waits for a person; `None` when it told of nothing yet.
pub(crate) async fn piece_waits(
    connection: &mut Connection,
    number: &ReceiptNumber,
    piece: (&str, &str),
) -> Result<Option<bool>, PaymentError> {
    Ok(store::piece_waits(connection, number, piece).await?)
}

/// How much a receipt is booked with. `None` when it is not.
pub(crate) async fn booked_amount(
    connection: &mut Connection,
    number: &ReceiptNumber,
) -> Result<Option<Money>, PaymentError> {
    Ok(booked(connection, number).await?.map(|payment| payment.amount))
}

/// The payment of a receipt, once it is booked.
pub(crate) async fn booked(
    connection: &mut Connection,
    number: &ReceiptNumber,
) -> Result<Option<Payment>, PaymentError> {
    Ok(store::by_receipt(connection, number).await?)
}

/// The same question among others; [`answered_booked`] reads the answer.
pub(crate) fn ask_booked(together: &mut Together, number: &ReceiptNumber) {
    store::ask_by_receipt(together, number);
}

/// The answer to [`ask_booked`].
pub(crate) fn answered_booked(answers: &mut Answers) -> Result<Option<Payment>, PaymentError> {
    Ok(store::answered_payment(answers)?)
}

/// Keeps for a person that what was told does not fit what is booked. For sources that keep no message of their own, as
/// callbacks do: the piece of evidence is then never taken in again, and would be seen by nobody.
pub(crate) async fn keep_for_person(
    connection: &mut Connection,
    told: &Told<'_>,
    outcome: &CallbackOutcome,
) -> Result<(), PaymentError> {
    Ok(store::mark_evidence(connection, told, &outcome.to_string()).await?)
}

/// Books a receipt for whoever it belongs to.
///
/// # Errors
/// [`PaymentError`]; the transaction, or its savepoint, must then be rolled back.
pub(crate) async fn credit(
    connection: &mut Connection,
    told: &Told<'_>,
    owner: Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let id = PaymentId::random(ids);
    let inserted = store::insert_payment(connection, &id, told, &owner, now).await?;
    if !inserted.is_new {
        return repeated(connection, told, owner, ids, now).await;
    }
    let into = Account::MpesaClearing(told.short_code.to_owned());
    let out_of = owner.customer().map_or(Account::Suspense, |customer| Account::Wallet(customer.clone()));
    let memo = format!("M-Pesa {}", told.number);
    let entry = Entry::transfer(("payment", id.to_string()), told.actor, &memo, (into, out_of), told.amount)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    let mut taken_in = fulfil(connection, told, (id, ""), &owner, ids, now).await?;
    if inserted.is_taken_as_transfer {
        taken_in.outcome = CallbackOutcome::TakenAtCounter.besides(taken_in.outcome);
    }
    Ok(taken_in)
}

/// What follows once the money is where it belongs: what it was asked for is bought, a top-up or else a period, and the
/// request is paid. What is said `again` beside the id makes it another occasion to buy something.
pub(super) async fn fulfil(
    connection: &mut Connection,
    told: &Told<'_>,
    (id, again): (PaymentId, &str),
    owner: &Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let mut taken_in = TakenIn::quietly(CallbackOutcome::Booked);
    // What nothing here reads is written with the text to the customer, in one trip.
    let mut together = Together::default();
    taken_in.hints.extend(owner.customer().cloned().map(Hint::Payment));
    if let Some(intent) = owner.intent() {
        requests::update_intent(connection, intent).await?;
        taken_in.hints.push(Hint::Intent(intent.customer.clone()));
        if is_anothers(told, intent) {
            taken_in.outcome = CallbackOutcome::AnotherPhone;
        }
    }
    if let Owner::Customer { subscription: None, is_unclear: true, .. } = owner {
        store::note_unspent(connection, &id, Some(Unspent::Unclear)).await?;
    }
    if let Some(line) = owner.subscription() {
        let occasion = format!("{id}{again}");
        let bought = match top_up_first(connection, owner, (&occasion, &id, told.actor), ids, now).await? {
            TopUpFirst::Bought(bought) => Ok(bought),
            TopUpFirst::Nothing(not_bought) => Err(not_bought),
            TopUpFirst::Period => {
                let promised = owner.intent().and_then(|intent| intent.promised.as_ref());
                let cause = (PERIOD, occasion);
                let cause = (cause, Some(&id));
                wallet::buy_period(connection, (line, promised), cause, told.actor, ids, now).await?
            }
        };
        if let Err(not_bought) = &bought {
            store::note_unspent(connection, &id, Some(not_bought.why)).await?;
            taken_in.outcome = unspent(taken_in.outcome, owner.intent(), told.amount, *not_bought);
        }
        if let Ok(Bought::Now(Refreshed::Changed { site, generation })) = &bought {
            taken_in.is_site_to_be_told = true;
            let steps = traces::Begun {
                payment: &id,
                subscription: line,
                site,
                generation: *generation,
                callback_received_at: told.received_at,
                booked_at: now,
            };
            traces::begin(&mut together, steps);
        }
        taken_in.hints.extend(bought.ok().map(|_| Hint::Line(line.clone())));
    }
    messages::about::payment(connection, together, &id, now).await?;
    taken_in.payment = Some(id);
    Ok(taken_in)
}

/// What is said of money for a line that bought nothing; `before` is what is known besides. Whoever pays a part by Paybill
/// was asked for nothing, and is told of by the wallet alone.
fn unspent(
    before: CallbackOutcome,
    intent: Option<&Intent>,
    paid: Money,
    NotBought { why, missing }: NotBought,
) -> CallbackOutcome {
    let is_owed = intent.is_some_and(|intent| paid >= intent.amount && intent.is_to_buy());
    let waits = match why {
        Unspent::OnHold => CallbackOutcome::LineOnHold,
        Unspent::SiteRevoked => CallbackOutcome::SiteRevoked,
        Unspent::TooLittle | Unspent::Other if is_owed => CallbackOutcome::NothingBought,
        Unspent::TooLittle if intent.is_some() && before == CallbackOutcome::Booked => {
            CallbackOutcome::NotEnough { missing }
        }
        Unspent::TooLittle | Unspent::Unclear | Unspent::Other => return before,
    };
    waits.besides(before)
}

/// What the money that was asked for a top-up does.
enum TopUpFirst {
    /// It bought the top-up.
    Bought(Bought),
    /// It stays in the wallet: nobody asked for a period.
    Nothing(NotBought),
    /// It was asked for a period, or the line can use no such top-up any more: the rules for any other payment hold.
    Period,
}

/// Buys the top-up that the money was asked for, if it was asked for one.
async fn top_up_first(
    connection: &mut Connection,
    owner: &Owner,
    (occasion, payment, actor): (&str, &PaymentId, &str),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TopUpFirst, PaymentError> {
    let Some(intent) = owner.intent() else { return Ok(TopUpFirst::Period) };
    let Some(top_up) = &intent.top_up else { return Ok(TopUpFirst::Period) };
    let what = (&intent.subscription, top_up);
    let occasion = (occasion, Some(payment));
    Ok(match topping_up::buy(connection, what, occasion, actor, ids, now).await? {
        Ok(bought) => TopUpFirst::Bought(Bought::Now(bought.refreshed)),
        Err(NoTopUp::AlreadyBought) => TopUpFirst::Bought(Bought::Before),
        Err(NoTopUp::NothingToTopUp | NoTopUp::AnotherPlan | NoTopUp::NoSuchTopUp) => TopUpFirst::Period,
        Err(NoTopUp::TooLittle { missing }) => {
            TopUpFirst::Nothing(NotBought { why: Unspent::TooLittle, missing })
        }
        Err(NoTopUp::OnHold) => TopUpFirst::Nothing(Unspent::OnHold.into()),
        Err(NoTopUp::SiteRevoked) => TopUpFirst::Nothing(Unspent::SiteRevoked.into()),
        Err(NoTopUp::NoSuchSubscription | NoTopUp::AlreadyOpen(_) | NoTopUp::JustBought { .. }) => {
            TopUpFirst::Nothing(Unspent::Other.into())
        }
    })
}

/// A receipt that is booked already: evidence, and its owner where it had none. Never money a second time.
async fn repeated(
    connection: &mut Connection,
    told: &Told<'_>,
    owner: Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let booked = store::by_receipt(connection, told.number)
        .await?
        .ok_or_else(|| PaymentError::ReceiptVanished(told.number.to_string()))?;
    store::insert_evidence(connection, &booked.id, told.source, told.source_id, now).await?;
    store::note_moved(connection, &booked.id, told).await?;
    if booked.amount != told.amount {
        let outcome = CallbackOutcome::Contradiction { booked: booked.amount, told: told.amount };
        return Ok(TakenIn::quietly(outcome));
    }
    if let Some(outcome) = another_payee(connection, told, &booked).await? {
        return Ok(TakenIn::quietly(outcome));
    }
    // What comes on a request's own path is known by it, and is compared with whom it asked.
    if told.source != SOURCE
        && let Some(otherwise) = Otherwise::of(&booked, told)
    {
        return Ok(TakenIn::quietly(CallbackOutcome::ToldOtherwise(otherwise)));
    }
    if booked.is_by_hand {
        return Ok(TakenIn::quietly(CallbackOutcome::Repeated));
    }
    // Of a statement that said so alone, something else says the same now.
    let alone = CallbackOutcome::StatementAlone.to_string();
    store::settle_evidence(connection, &booked.id, told.source, &alone).await?;
    let is_news = match owner.intent() {
        Some(intent) if booked.intent.as_ref() == Some(&intent.id) => false,
        Some(intent) if !is_free_for(&booked, intent) => {
            return Ok(TakenIn::quietly(CallbackOutcome::ReceiptOfAnother));
        }
        Some(_) => true,
        None => booked.customer.is_none() && owner.customer().is_some(),
    };
    if !is_news {
        return Ok(TakenIn::quietly(CallbackOutcome::Repeated));
    }
    claim(connection, told, &booked, owner, ids, now).await
}

/// Gives a payment that is nobody's to whom a person says. What a person decided is not decided anew.
pub(super) async fn give(
    connection: &mut Connection,
    told: &Told<'_>,
    booked: &Payment,
    owner: Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    store::insert_evidence(connection, &booked.id, told.source, told.source_id, now).await?;
    claim(connection, told, booked, owner, ids, now).await
}

/// Gives a payment that is booked without an owner, or without a request, to whom it belongs: out of suspense if it lay
/// there. Where its money went before, it stays.
pub(super) async fn claim(
    connection: &mut Connection,
    told: &Told<'_>,
    booked: &Payment,
    owner: Owner,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    if let Some(intent) = owner.intent() {
        let is_elsewhere =
            booked.customer.is_some() && booked.subscription.as_ref() != Some(&intent.subscription);
        // A top-up is another purpose than the line that a person gave it to.
        let is_other_use = is_elsewhere || intent.top_up.is_some();
        if booked.is_spent() || (is_other_use && is_given(connection, booked).await?) {
            return join(connection, (told, booked, intent)).await;
        }
    }
    store::give_to(connection, &booked.id, told, &owner).await?;
    if booked.unspent.is_some() {
        // It is looked at anew, and may buy now.
        store::note_unspent(connection, &booked.id, None).await?;
    }
    if let (None, Some(customer)) = (&booked.customer, owner.customer()) {
        let accounts = (Account::Suspense, Account::Wallet(customer.clone()));
        let memo = booked.name();
        let cause = ("claim", format!("{}{}", booked.id, booked.again()));
        let entry = Entry::transfer(cause, told.actor, &memo, accounts, told.amount)
            .map_err(ledger::LedgerError::Unbalanced)?;
        ledger::book(connection, &entry, ids, now).await?;
    }
    fulfil(connection, told, (booked.id.clone(), &booked.again()), &owner, ids, now).await
}

/// Whether a person said whose a payment is.
pub(super) async fn is_given(connection: &mut Connection, booked: &Payment) -> Result<bool, PaymentError> {
    Ok(store::is_evidence_of(connection, &booked.id, suspense::SOURCE).await?)
}

/// Joins a request to the payment that it asked for, whose money has been put to use, or was put where it is by a person:
/// the request is paid, and no money moves.
async fn join(
    connection: &mut Connection,
    (told, booked, intent): (&Told<'_>, &Payment, &Intent),
) -> Result<TakenIn, PaymentError> {
    store::join_intent(connection, &booked.id, &intent.id).await?;
    requests::update_intent(connection, intent).await?;
    let mut taken_in = TakenIn::quietly(CallbackOutcome::Booked);
    if is_anothers(told, intent) {
        taken_in.outcome = CallbackOutcome::AnotherPhone;
    }
    if booked.subscription.as_ref() != Some(&intent.subscription) {
        taken_in.outcome = CallbackOutcome::ForAnotherLine.besides(taken_in.outcome);
    } else if !bought_as_asked(connection, booked, intent).await? {
        taken_in.outcome = CallbackOutcome::ForAnotherPurpose.besides(taken_in.outcome);
    }
    taken_in.hints.extend([Hint::Payment(intent.customer.clone()), Hint::Intent(intent.customer.clone())]);
    taken_in.payment = Some(booked.id.clone());
    Ok(taken_in)
}

/// Whether a payment's money bought the kind of thing that its request was for: a top-up, or else a period. What was used
/// out of the wallet later is somebody's own choice, and told of there.
async fn bought_as_asked(
    connection: &mut Connection,
    booked: &Payment,
    intent: &Intent,
) -> Result<bool, PaymentError> {
    let has_period = ledger::is_booked(connection, (PERIOD, booked.id.as_str())).await?;
    let top_up = format!("{} {}", intent.subscription, booked.id);
    let has_top_up = ledger::is_booked(connection, (topping_up::CAUSE, &top_up)).await?;
    Ok(match intent.top_up {
        Some(_) => !has_period,
        None => !has_top_up,
    })
}

/// Whether another phone paid than the one that was asked. A masked or hashed number is no number, and says nothing here.
fn is_anothers(told: &Told<'_>, intent: &Intent) -> bool {
    Msisdn::parse(told.phone).is_ok_and(|payer| payer != intent.phone)
}
