//! Asks a phone for money: stored as "being sent" first, sent second, noted third.
//!
//! The first and the third are a transaction each, and whoever asks may add to them ([`prepare`], [`Answered::note`]):
//! the JSON API keeps its key and its answer there, so that neither exists without the request.
//!
//! One prompt at a time: while a request may still be answered, another for the same thing or on the same phone is refused
//! for two minutes, because two prompts are two payments, and because M-Pesa holds one prompt on a phone and refuses the
//! same amount for so long (`open`). A request whose answer was lost is never sent again by itself.
//!
//! What the wallet can pay is not asked for: it buys a period, or the top-up that was asked for, at once, and for the same
//! two minutes that is the answer to another wish for the same, so that a button that is pressed twice neither buys twice nor asks a phone. A held line
//! is released first. For a top-up that a line cannot use nobody is asked.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::PaymentError;
use super::follow::{self, FollowToken, Followed};
use super::open::{
    MADE_WITHIN, Open, Pending, SAID_PAID_FOR, TWO_MINUTES, UNCLEAR_FOR, Why, Wish, in_the_way,
};
use super::topping_up::{self, ASKED, NoTopUp, ToppedUp};
use super::wallet::{self, FromWallet, ON_REQUEST};
use crate::audit::{self, Action, Actor};
use crate::customers::phone::Msisdn;
use crate::customers::{self, CustomerError};
use crate::database::{Connection, Transaction};
use crate::entitlements::{self, Period, Status};
use crate::ids::{CustomerId, IntentId, LineId, TopUpId};
use crate::ledger;
use crate::live::Hint;
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::answer::{PushAnswer, Refusal};
use crate::mpesa::client::Daraja;
use crate::mpesa::evidence::Reason;
use crate::mpesa::intent::{CallbackToken, Event, Intent, Promised, State};
use crate::mpesa::stk::{Push, Shillings};
use crate::mpesa::store;
use crate::state::Controller;
use crate::subscriptions::{self, Subscription};
use crate::{quota, top_ups};

/// Open requests of a customer or a phone that are looked at: each that is open keeps most others from being sent.
const OPEN_MOST: u32 = 16;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct RequestPayment {
    /// What is to be paid for.
    pub subscription: LineId,
    /// What it is to buy; a period when `None`.
    pub top_up: Option<TopUpId>,
    /// Whose phone; the customer's own when `None`.
    pub phone: Option<Msisdn>,
    /// How much, in whole shillings; when `None`, what the wallet lacks for it.
    pub amount: Option<Money>,
    /// Whether what lies in the wallet is spoken for, so that it buys nothing here although it could.
    pub leaves_wallet: bool,
    /// Who asks.
    pub requested_by: Actor,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The prompt is on the phone, or even answered already.
    Prompted(Intent),
    /// M-Pesa's answer was lost: the prompt may be on the phone. Wait for the callback.
    NotKnown(Intent),
    /// M-Pesa refused: nothing is on the phone. The intent says why.
    Declined(Intent),
    /// Nothing was asked: an earlier request that may still be answered stands in the way.
    AlreadyOpen(Box<Open>),
    /// Nothing was asked: the wallet covered the price, and a period is bought from it.
    BoughtFromWallet(FromWallet),
    /// Nothing was asked: the wallet covered the top-up, and it is bought.
    ToppedUp(ToppedUp),
    /// Nothing was asked: the line cannot use the top-up.
    NoTopUp(NoTopUp),
    /// Nothing was asked: a period or a top-up of the line was bought from the wallet a moment ago.
    JustBought {
        /// When another may be asked for.
        wait: Duration,
    },
    /// Nothing was asked: the line is on hold, and the wallet covers what a release of it needs.
    OnHold {
        /// Of one period.
        price: Money,
    },
    /// No such subscription.
    NoSuchSubscription,
    /// The line's site is shut out: what is paid for there would never come on.
    SiteRevoked,
    /// M-Pesa moves whole shillings from 1 to 250,000.
    BadAmount,
    /// Nothing was asked: the amount would not buy the top-up that it is for.
    BelowTopUp {
        /// What would.
        lacking: Money,
    },
}

/// Sends a request for payment. Takes at most about two minutes, usually one second. It goes on when the caller goes
/// away: what was begun is noted.
///
/// # Errors
/// When the database refuses; the request is then followed up by the query worker.
pub async fn request(
    controller: &Controller,
    short_codes: &ShortCodes,
    wanted: RequestPayment,
) -> Result<Requested, PaymentError> {
    let transaction = controller.database.write().await?;
    carry_out(transaction, controller, short_codes, wanted, None).await
}

/// The same for somebody who is not signed in and follows it by a token. `None` when something was asked for with that
/// token before, and nothing is now.
///
/// # Errors
/// When the database refuses; the request is then followed up by the query worker.
pub async fn request_followed(
    controller: &Controller,
    short_codes: &ShortCodes,
    wanted: RequestPayment,
    token: &FollowToken,
) -> Result<Option<Requested>, PaymentError> {
    let mut transaction = controller.database.write().await?;
    if follow::store::followed(&mut transaction, token).await?.is_some() {
        return Ok(None);
    }
    carry_out(transaction, controller, short_codes, wanted, Some(token)).await.map(Some)
}

async fn carry_out(
    mut transaction: Transaction,
    controller: &Controller,
    short_codes: &ShortCodes,
    wanted: RequestPayment,
    token: Option<&FollowToken>,
) -> Result<Requested, PaymentError> {
    let line = wanted.subscription.clone();
    let prepared = prepare(&mut transaction, controller, short_codes, wanted).await?;
    let intent = match &prepared {
        Prepared::Ready(asked) => Some(asked.intent.id.clone()),
        Prepared::Bought(_) | Prepared::ToppedUp(_) => None,
        Prepared::Answer(answer) => return Ok((**answer).clone()),
    };
    if let Some(token) = token {
        let followed = Followed { line, intent, at: controller.clock.now() };
        follow::store::insert_followed(&mut transaction, token, &followed).await?;
    }
    transaction.commit().await?;
    let asked = match prepared {
        Prepared::Ready(asked) => asked,
        Prepared::Bought(bought) => {
            bought.tell(controller);
            return Ok(Requested::BoughtFromWallet(bought));
        }
        Prepared::ToppedUp(bought) => {
            bought.tell(controller);
            return Ok(Requested::ToppedUp(*bought));
        }
        Prepared::Answer(answer) => return Ok(*answer),
    };
    let controller = controller.clone();
    let sending = tokio::spawn(async move {
        let answered = asked.send(&controller).await;
        let mut transaction = controller.database.write().await?;
        let requested = answered.note(&mut transaction, controller.clock.now()).await?;
        transaction.commit().await?;
        requested.tell(&controller);
        Ok(requested)
    });
    sending.await.map_err(|_| PaymentError::Interrupted)?
}

/// What came of preparing a request.
pub(super) enum Prepared {
    /// It is stored. Commit, then send it.
    Ready(Asked),
    /// Nothing is to be sent: the wallet paid. Commit, then tell.
    Bought(FromWallet),
    /// Nothing is to be sent: the wallet paid for the top-up. Commit, then tell.
    ToppedUp(Box<ToppedUp>),
    /// Nothing is to be sent, and nothing was stored.
    Answer(Box<Requested>),
}

/// A request that is stored as being sent.
pub(super) struct Asked {
    daraja: Daraja,
    intent: Box<Intent>,
    push: Push,
}

/// A request that was sent, and what M-Pesa said.
pub(super) struct Answered {
    id: IntentId,
    answer: PushAnswer,
}

/// Checks the request, and stores it and who asked for it in the caller's transaction.
pub(super) async fn prepare(
    connection: &mut Connection,
    controller: &Controller,
    short_codes: &ShortCodes,
    wanted: RequestPayment,
) -> Result<Prepared, PaymentError> {
    let now = controller.clock.now();
    let answer = |requested| Ok(Prepared::Answer(Box::new(requested)));
    let Some(subscription) = subscriptions::get(connection, &wanted.subscription).await? else {
        return answer(Requested::NoSuchSubscription);
    };
    if subscription.is_site_revoked {
        return answer(Requested::SiteRevoked);
    }
    let in_wallet = ledger::wallet_of(connection, &subscription.customer).await?;
    let customer = match customers::get(connection, &subscription.customer).await {
        Ok(Some(customer)) => customer,
        Err(CustomerError::Database(error)) => return Err(error.into()),
        Ok(None) | Err(CustomerError::NoAccountNumberLeft) => {
            return Err(PaymentError::NoCustomer(subscription.id));
        }
    };
    let price = match &wanted.top_up {
        None => subscription.price,
        Some(top_up) => match topping_up::offer(connection, &subscription.id, top_up, now).await? {
            Ok(offer) => offer.top_up.price,
            Err(why) => return answer(Requested::NoTopUp(why)),
        },
    };
    let phone = wanted.phone.clone().unwrap_or(customer.phone);
    let (line, top_up) = (&subscription.id, wanted.top_up.as_ref());
    // What the wallet pays asks no phone, and need not wait for one.
    let asked = (in_wallet < price || wanted.leaves_wallet).then_some(&phone);
    let wish = Wish { line, top_up, phone: asked, price, in_wallet };
    if let Some(refused) = refused(connection, &subscription, wish, now).await? {
        return answer(refused);
    }
    let lacking = wallet::lacking(price, in_wallet);
    let amount = wanted.amount.or(lacking);
    let Some(shillings) = amount.and_then(Shillings::exactly) else {
        return answer(Requested::BadAmount);
    };
    if !wanted.leaves_wallet
        && let Some(bought) = buy(connection, controller, &wanted, now).await?
    {
        return Ok(bought);
    }
    let is_enough = lacking.is_some_and(|lacking| shillings.money() >= lacking);
    if let (Some(_), Some(lacking), false) = (&wanted.top_up, lacking, is_enough) {
        return answer(Requested::BelowTopUp { lacking });
    }
    let is_promised = is_enough && wanted.top_up.is_none() && subscription.status != Status::Suspended;
    let promised = || Promised { plan: subscription.plan.clone(), offer: wallet::offered(&subscription) };
    let promised = is_promised.then(promised);
    let daraja = short_codes.of_site(&subscription.site).clone();
    let created = Intent {
        id: IntentId::random(&controller.ids),
        subscription: subscription.id,
        top_up: wanted.top_up,
        customer: customer.id,
        short_code: daraja.settings().short_code().to_owned(),
        phone: phone.clone(),
        amount: shillings.money(),
        promised,
        callback_token: CallbackToken::random(&controller.ids),
        state: State::Created,
        checkout: None,
        merchant_request_id: None,
        next_query_at: None,
        queries_sent: 0,
        requested_by: wanted.requested_by.to_string(),
        created_at: now,
        updated_at: now,
    };
    let push = Push {
        phone,
        amount: shillings,
        account: customer.account_number,
        token: created.callback_token.clone(),
    };
    let intent = applied(created, Event::Submit, now);
    store::insert_intent(connection, &intent).await?;
    let act = (Action::PaymentRequested, intent.subscription.as_str(), intent.id.as_str());
    audit::record(connection, &wanted.requested_by, act, &controller.ids, now).await?;
    Ok(Prepared::Ready(Asked { daraja, intent: Box::new(intent), push }))
}

/// What the wallet can pay, it buys; `None` when it cannot.
async fn buy(
    connection: &mut Connection,
    controller: &Controller,
    wanted: &RequestPayment,
    now: UnixMillis,
) -> Result<Option<Prepared>, PaymentError> {
    let (line, by, ids) = (&wanted.subscription, &wanted.requested_by, &controller.ids);
    let actor = by.to_string();
    let Some(top_up) = &wanted.top_up else {
        let Some(bought) = wallet::buy_unpaid(connection, line, ON_REQUEST, &actor, ids, now).await? else {
            return Ok(None);
        };
        let act = (Action::PeriodBought, bought.subscription.as_str(), "from the wallet");
        audit::record(connection, by, act, ids, now).await?;
        return Ok(Some(Prepared::Bought(bought)));
    };
    let occasion = format!("{ASKED}{}", ids.hex(8));
    let Ok(bought) = topping_up::buy(connection, (line, top_up), (&occasion, None), &actor, ids, now).await?
    else {
        return Ok(None);
    };
    let act = (Action::TopUpBought, line.as_str(), bought.top_up.name.as_str());
    audit::record(connection, by, act, ids, now).await?;
    Ok(Some(Prepared::ToppedUp(Box::new(bought))))
}

/// Why nothing is to be done for a line now; `None` when something is.
async fn refused(
    connection: &mut Connection,
    line: &Subscription,
    wish: Wish<'_>,
    now: UnixMillis,
) -> Result<Option<Requested>, PaymentError> {
    // What was paid a moment ago and is over by now, or was given back, may well be paid anew.
    let is_over = line.paid_until.is_none_or(|until| until <= now);
    let is_no_slip = |open: &Open| open.why == Why::JustPaid && wish.top_up.is_none() && is_over;
    if let Some(open) = open(connection, &line.customer, wish, now).await?.filter(|open| !is_no_slip(open)) {
        return Ok(Some(Requested::AlreadyOpen(Box::new(open))));
    }
    if let Some(wait) = bought_recently(connection, line, wish.top_up.is_some(), now).await? {
        return Ok(Some(Requested::JustBought { wait }));
    }
    let is_on_hold = line.status == Status::Suspended && wish.in_wallet >= line.price;
    Ok(is_on_hold.then_some(Requested::OnHold { price: line.price }))
}

/// The open request that stands in the way of a wish.
pub(super) async fn open(
    connection: &mut Connection,
    customer: &CustomerId,
    wish: Wish<'_>,
    now: UnixMillis,
) -> Result<Option<Open>, PaymentError> {
    let since = [TWO_MINUTES, UNCLEAR_FOR, SAID_PAID_FOR, MADE_WITHIN].map(|back| now.minus(back));
    let intents = store::standing_intents_since(connection, customer, wish.phone, since, OPEN_MOST).await?;
    let mut pending = Vec::with_capacity(intents.len());
    for intent in intents {
        let price = match (&intent.top_up, &intent.promised) {
            _ if intent.customer != *customer || !intent.is_open() => None,
            (Some(top_up), _) => top_ups::get(connection, top_up).await?.map(|top_up| top_up.price),
            (None, promised) => promised.as_ref().map(|promised| promised.offer.price),
        };
        let leans = price.and_then(|price| price.checked_sub(intent.amount));
        // One that asks for more than its price leaves nothing for another: it may never be paid.
        let leans = leans.filter(|leans| leans.is_positive()).unwrap_or(Money::ZERO);
        pending.push(Pending { intent, leans });
    }
    Ok(in_the_way(pending, wish, now))
}

/// Somebody's request bought a period of the line from the wallet, or a top-up of the running period, so shortly ago, on
/// whatever way, that asking for another is probably a slip. How long that is to be waited for. The other of the two is no
/// slip: whoever renews may want more data with it, and a top-up went with the period that it was for.
pub(super) async fn bought_recently(
    connection: &mut Connection,
    line: &Subscription,
    is_top_up: bool,
    now: UnixMillis,
) -> Result<Option<Duration>, PaymentError> {
    let since = now.minus(TWO_MINUTES);
    let bought = if is_top_up {
        let periods = quota::periods_of(connection, &line.id, now).await?;
        let just_before = |period: Period| period.started_at.minus(Duration::from_millis(1));
        let since =
            entitlements::running(&periods, now).map_or(since, |period| since.max(just_before(period)));
        let begin = format!("{} {ASKED}", line.id);
        ledger::last_booked_since(connection, &line.customer, (topping_up::CAUSE, &begin), since).await?
    } else {
        wallet::last_bought_since(connection, line, since).await?
    };
    Ok(bought.map(|at| at.plus(TWO_MINUTES).since(now)))
}

impl Asked {
    /// Sends it, once. Call after the commit: what is sent is known, whatever happens to us next.
    pub(super) async fn send(self, controller: &Controller) -> Answered {
        controller.live.tell(Hint::Intent(self.intent.customer.clone()));
        Answered { answer: self.daraja.push(&self.push).await, id: self.intent.id }
    }
}

impl Answered {
    /// Notes what M-Pesa answered, in the caller's transaction. The callback may have been faster: the intent is read
    /// anew.
    pub(super) async fn note(
        self,
        connection: &mut Connection,
        now: UnixMillis,
    ) -> Result<Requested, PaymentError> {
        let event = match self.answer {
            PushAnswer::Accepted { checkout, merchant_request_id } => {
                Event::Accepted { checkout, merchant_request_id }
            }
            PushAnswer::Refused(Refusal::Token) => {
                Event::NotSent(Reason::new("", "M-Pesa refuses the access token it gave"))
            }
            PushAnswer::Refused(Refusal::Busy(reason) | Refusal::Final(reason)) => Event::NotSent(reason),
            PushAnswer::Unknown => Event::ReplyLost,
        };
        let intent = store::intent_by_id(connection, &self.id)
            .await?
            .ok_or(PaymentError::Database(sqlx::Error::RowNotFound))?;
        let mut after = applied(intent.clone(), event, now);
        if store::is_checkout_of_another(connection, &after).await? {
            tracing::error!(intent.id = %self.id, "M-Pesa gave the id of another prompt to this request");
            after = applied(intent, Event::ReplyLost, now);
        }
        store::update_intent(connection, &after).await?;
        Ok(match after.state {
            State::Declined(_) | State::Review(_) => Requested::Declined(after),
            State::Created | State::Submitting | State::SubmitUnknown => Requested::NotKnown(after),
            State::Prompted | State::PaidUnreceipted | State::Paid(_) | State::Expired => {
                Requested::Prompted(after)
            }
        })
    }
}

impl Requested {
    /// The request that was stored and sent; `None` when nothing was.
    pub(super) fn sent(&self) -> Option<&Intent> {
        match self {
            Self::Prompted(intent) | Self::NotKnown(intent) | Self::Declined(intent) => Some(intent),
            Self::AlreadyOpen(_)
            | Self::BoughtFromWallet(_)
            | Self::ToppedUp(_)
            | Self::NoTopUp(_)
            | Self::JustBought { .. }
            | Self::OnHold { .. }
            | Self::NoSuchSubscription
            | Self::SiteRevoked
            | Self::BadAmount
            | Self::BelowTopUp { .. } => None,
        }
    }

    /// After the commit: the log, the open pages.
    pub(super) fn tell(&self, controller: &Controller) {
        if let Some(intent) = self.sent() {
            tracing::info!(intent.id = %intent.id, intent.state = intent.state.as_str(), "payment requested");
            controller.live.tell(Hint::Intent(intent.customer.clone()));
        }
    }
}

/// The intent after an event, or as it was when the event does not fit it.
fn applied(intent: Intent, event: Event, now: UnixMillis) -> Intent {
    match intent.clone().apply(event, now) {
        Ok(after) => after,
        Err(refused) => {
            tracing::warn!(intent.id = %intent.id, "M-Pesa's answer does not fit the request: {refused}");
            intent
        }
    }
}
