//! Payments as pages show them, asking for one, and the page of one with its way to the router.
//!
//! What is said after asking is what is known: an answer that was lost is never called a success or a failure, because
//! a customer who is told "failed" pays again. Deciding is `request` and `progress`; here are words.

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::UnixMillis;
use tokio::time::timeout;

use super::corrections::{self, Closed};
use super::progress::{Progress, progress};
use super::traces::Trace;
use super::{Evidence, PaymentRow, Provider, RequestPayment, Requested, ToppedUp, Unspent};
use super::{counter, suspense};
use crate::audit::{self, Action, Actor};
use crate::customers::{self, Customer, phone::Msisdn};
use crate::entitlements::Status;
use crate::ids::{LineId, PaymentId, TopUpId};
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::c2b::Heard;
use crate::mpesa::intent::{Intent, State as IntentState};
use crate::sites::{self, Site};
use crate::staff::Permission;
use crate::subscriptions::{self, Subscription};
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// How long a page waits for Safaricom, who mostly takes a second: less than a request may take at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Characters of the occasion that a form for a top-up carries.
pub(crate) const OCCASION_DIGITS: usize = 32;
/// Refunds of one payment that its page names.
const REFUNDS: u32 = 20;
/// What is said while nobody knows.
const NOT_KNOWN: &str = "M-Pesa has not answered, so the request may be on the phone. Send no other and do not pay \
                         again: wait two minutes, the result appears below by itself.";

/// Where a payment stands, in words.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) badge: Badge,
    /// `87 ms`; empty while it is not known.
    pub(crate) took: String,
    /// A sentence for whoever asks.
    pub(crate) sentence: String,
    /// Whether the sentence has to be read: it is not simply done.
    pub(crate) needs_words: bool,
}

/// One step of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) at: Option<Moment>,
    /// With milliseconds.
    pub(crate) clock: String,
    /// Since the step before: `+12 ms`.
    pub(crate) after: String,
    /// `done`, `waiting` or `failed`.
    pub(crate) tone: &'static str,
}

/// The way of a payment, drawn.
#[derive(Clone, Debug)]
pub(crate) struct TraceView {
    pub(crate) steps: Vec<Step>,
    /// How much later what it bought began, because the site was away; empty where it did not.
    pub(crate) deferred: String,
}

/// A payment in a list or on its page.
#[derive(Clone, Debug)]
pub(crate) struct PaymentView {
    pub(crate) id: String,
    pub(crate) customer_id: Option<String>,
    pub(crate) customer_name: String,
    pub(crate) account: String,
    pub(crate) amount: String,
    /// What people call it.
    pub(crate) receipt: String,
    /// The number of our receipt.
    pub(crate) serial: i64,
    pub(crate) short_code: String,
    /// Whether it is no money of anybody's any more.
    pub(crate) is_closed: bool,
    pub(crate) received: Moment,
    pub(crate) standing: Standing,
    pub(crate) trace: Option<TraceView>,
}

impl PaymentView {
    /// `site` is the site of its trace, where it is known.
    pub(crate) fn of(row: &PaymentRow, site: Option<&Site>, now: UnixMillis) -> Self {
        let payment = &row.payment;
        Self {
            id: payment.id.to_string(),
            customer_id: payment.customer.as_ref().map(ToString::to_string),
            customer_name: row.customer_name.clone(),
            account: row.account_number.clone(),
            amount: display::kes(payment.amount),
            receipt: payment.name(),
            serial: payment.serial,
            short_code: payment.short_code.clone(),
            is_closed: payment.closed.is_some(),
            received: Moment::of(payment.received_at, now),
            standing: standing(row, site, now),
            trace: row.trace.as_ref().map(|trace| TraceView::of(trace, payment.provider, now)),
        }
    }
}

fn standing(row: &PaymentRow, site: Option<&Site>, now: UnixMillis) -> Standing {
    let payment = &row.payment;
    let told = |badge, sentence: String| Standing { badge, took: String::new(), sentence, needs_words: true };
    let done = |badge, took, sentence: &str| Standing {
        badge,
        took: display::took(took),
        sentence: sentence.to_owned(),
        needs_words: false,
    };
    match payment.closed {
        Some(Closed::Split) => {
            return told(Badge::idle("shared out"), "It is shared out over several customers.".to_owned());
        }
        Some(Closed::Undone) => {
            return told(Badge::idle("undone"), "The booking was undone: it was never paid.".to_owned());
        }
        Some(Closed::Refunded) => {
            return told(
                Badge::idle("refunded"),
                "It goes back to whoever paid it, or has gone: see its refund.".to_owned(),
            );
        }
        None => {}
    }
    let name = site.map_or("The site", |site| site.name.as_str());
    match progress(row.trace.as_ref(), site) {
        Progress::Online(took) => done(Badge::good("online"), took, "The customer is online."),
        Progress::OnRouter(took) => done(Badge::good("on the router"), took, "The router lets the line in."),
        Progress::BoughtNothing if payment.is_spent() => {
            told(Badge::good("spent"), "Its money has left the wallet since.".to_owned())
        }
        Progress::BoughtNothing if payment.customer.is_some() => {
            let why = match payment.unspent {
                Some(Unspent::TooLittle) => "It was not enough, bought nothing, and went to the wallet.",
                Some(Unspent::OnHold) => {
                    "The line was on hold, so that it bought nothing and went to the wallet: a release spends it."
                }
                Some(Unspent::SiteRevoked) => {
                    "The site of the line was revoked, so that it bought nothing and went to the wallet."
                }
                Some(Unspent::Unclear) => {
                    "Nobody knows which of the customer’s lines or requests it is for, so that it went to the wallet: ask for a payment of the line that it is for, and the wallet pays."
                }
                Some(Unspent::Other) => "Its money went to the wallet.",
                None => {
                    return told(
                        Badge::info("to the wallet"),
                        "Its money went to the wallet, and what it bought from there is shown on the customer’s page.".to_owned(),
                    );
                }
            };
            told(Badge::info("in the wallet"), why.to_owned())
        }
        Progress::BoughtNothing => told(Badge::warn("nobody’s"), "Nobody knows yet whose it is.".to_owned()),
        Progress::Failed(why) => told(Badge::bad("failed"), format!("{name} says: {why}.")),
        Progress::SiteOffline(since) => {
            let since = since.map_or_else(
                || " has never been connected".to_owned(),
                |since| format!(" is offline since {}", Moment::of(since, now).text),
            );
            told(
                Badge::warn("site offline"),
                format!(
                    "{name}{since}; it is connected the moment that the site is back, and what it has not heard of begins then."
                ),
            )
        }
        Progress::SiteRevoked => told(
            Badge::bad("site revoked"),
            format!(
                "{name} is revoked: the line does not come on there. Move the customer, or give the money back."
            ),
        ),
        Progress::ToBeSent => told(Badge::info("being sent"), "The site is about to be told.".to_owned()),
        Progress::Sent => told(Badge::info("sent"), format!("{name} was told and has not confirmed.")),
        Progress::Stored => {
            told(Badge::info("at the site"), format!("{name} has it and is changing the router."))
        }
    }
}

impl TraceView {
    fn of(trace: &Trace, provider: Provider, now: UnixMillis) -> Self {
        let first = match provider {
            Provider::Mpesa => "M-Pesa told us",
            Provider::Cash | Provider::Bank => "Taken at the counter",
        };
        let instants = [
            (first, Some(trace.callback_received_at)),
            ("Booked", Some(trace.booked_at)),
            ("Sent to the site", trace.published_at),
            ("Safe at the site", trace.stored_at),
            ("Read back from the router", trace.verified_at),
            ("Session came up", trace.online_at),
        ];
        let mut before = trace.callback_received_at;
        let mut is_failing = !trace.failure.is_empty();
        let steps = instants.into_iter().enumerate().map(|(index, (name, at))| {
            let (after, tone) = match at {
                Some(_) if index == 0 => (String::new(), "done"),
                Some(at) => (format!("+{}", display::took(at.since(before))), "done"),
                // The reason stands at the step that it keeps from happening.
                None if is_failing && name.starts_with("Read back") => {
                    is_failing = false;
                    (trace.failure.clone(), "failed")
                }
                // A customer who pays while online has no new session, and none is missing.
                None if trace.verified_at.is_some() => ("none seen".to_owned(), "waiting"),
                None => ("not yet".to_owned(), "waiting"),
            };
            before = at.map_or(before, |at| at.max(before));
            Step {
                name,
                at: at.map(|at| Moment::of(at, now)),
                clock: at.map(display::clock_time).unwrap_or_default(),
                after,
                tone,
            }
        });
        let deferred = if trace.deferred.is_zero() { String::new() } else { display::span(trace.deferred) };
        Self { steps: steps.collect(), deferred }
    }
}

/// A request for payment in a list.
#[derive(Clone, Debug)]
pub(crate) struct IntentView {
    pub(crate) id: String,
    pub(crate) amount: String,
    pub(crate) phone: String,
    pub(crate) state: Badge,
    pub(crate) advice: String,
    /// Safaricom's code and words; empty for none.
    pub(crate) code: String,
    pub(crate) at: Moment,
    pub(crate) by: String,
}

impl IntentView {
    pub(crate) fn of(intent: &Intent, heard: &Heard, now: UnixMillis) -> Self {
        let state = match &intent.state {
            IntentState::Created | IntentState::Submitting => Badge::info("being sent"),
            IntentState::Prompted => Badge::info("on the phone"),
            IntentState::SubmitUnknown => Badge::warn("not known"),
            IntentState::PaidUnreceipted => Badge::warn("receipt missing"),
            IntentState::Paid(_) => Badge::good("paid"),
            IntentState::Declined(_) => Badge::idle("declined"),
            IntentState::Expired => Badge::idle("no answer"),
            IntentState::Review(_) => Badge::bad("to be checked"),
        };
        let (advice, code) = told(intent, heard);
        let by = intent.requested_by.split_once(':').map_or(intent.requested_by.as_str(), |(_, name)| name);
        Self {
            id: intent.id.to_string(),
            amount: display::kes(intent.amount),
            phone: display::phone(&intent.phone),
            state,
            advice,
            code,
            at: Moment::of(intent.created_at, now),
            by: by.to_owned(),
        }
    }
}

/// What to tell the customer, and Safaricom's code and words for it. A result without a code is our own: its words are
/// all that there is to tell.
fn told(intent: &Intent, heard: &Heard) -> (String, String) {
    let advice = intent.advice(heard.has(&intent.short_code)).to_owned();
    match intent.result() {
        Some(("", words)) if !words.is_empty() => (format!("{words}."), String::new()),
        Some((code, words)) => (advice, format!("{code} {words}").trim().to_owned()),
        None => (advice, String::new()),
    }
}

/// Something that told of a payment.
struct EvidenceView {
    source: String,
    at: Moment,
    /// Empty for nothing to look at.
    outcome: String,
}

impl EvidenceView {
    fn of(evidence: &Evidence, now: UnixMillis) -> Self {
        let source = match evidence.source.as_str() {
            "stk callback" => "Callback of the request",
            "stk query" => "Answer about the request",
            "c2b confirmation" => "Confirmation of M-Pesa",
            "pull" => "Pull",
            "statement" => "Statement",
            "staff" => "A member of staff",
            "claim" => "A claim at the pay page",
            other => other,
        };
        Self {
            source: source.to_owned(),
            at: Moment::of(evidence.seen_at, now),
            outcome: evidence.outcome.clone(),
        }
    }
}

#[derive(Template)]
#[template(path = "payments/one.html")]
struct PaymentPage {
    frame: Frame,
    payment: PaymentView,
    evidence: Vec<EvidenceView>,
    /// Why it is nobody's; empty where it is somebody's.
    why: String,
    may_assign: bool,
    may_correct: bool,
    may_give_back: bool,
    /// What of it goes back or has gone: where to look, and how much.
    refunds: Vec<(String, String)>,
    /// The payment that it is a part of, and those that are its parts, with what they are called.
    part_of: Option<(String, String)>,
    parts: Vec<PaymentView>,
    site: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "payments/ask.html")]
struct AskPage {
    frame: Frame,
    fields: Fields,
    subscription_id: String,
    plan: String,
    customer_id: String,
    customer_name: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/payments/{id}", get(one))
        .merge(counter::pages::routes())
        .merge(corrections::pages::routes())
        .merge(super::refunds::pages::routes())
        .merge(super::review::pages::routes())
        .merge(super::search::pages::routes())
        .merge(suspense::pages::routes())
        .route("/subscriptions/{id}/payment-requests", post(ask))
        .route("/subscriptions/{id}/top-ups", post(top_up))
}

async fn one(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    let id = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let row = super::payment(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let site = match &row.trace {
        Some(trace) => sites::get(&mut reader, &trace.site).await?,
        None => None,
    };
    let evidence = super::evidence_of(&mut reader, &id).await?;
    let evidence = evidence.iter().map(|evidence| EvidenceView::of(evidence, visit.now)).collect();
    let payment = PaymentView::of(&row, site.as_ref(), visit.now);
    let frame = visit.frame(format!("Payment {}", payment.receipt), Section::Payments);
    let site = site.map(|site| (site.id.to_string(), site.name));
    let part_of = match &row.payment.part_of {
        Some(whole) => super::payment(&mut reader, whole).await?.map(|whole| whole.payment),
        None => None,
    };
    let part_of = part_of.map(|whole| (whole.id.to_string(), whole.name()));
    let mut parts = Vec::new();
    for part in corrections::parts_of(&mut reader, &id).await? {
        let part = super::payment(&mut reader, &part).await?;
        parts.extend(part.map(|part| PaymentView::of(&part, None, visit.now)));
    }
    let is_open = row.payment.closed.is_none();
    let refunds = super::refunds::list(&mut reader, (None, Some(&id)), REFUNDS).await?;
    let refunds =
        refunds.iter().map(|row| (row.refund.id.to_string(), display::kes(row.refund.amount))).collect();
    let is_mpesa = row.payment.provider == Provider::Mpesa;
    let may_give_back = is_open && is_mpesa && visit.may(Permission::Refund);
    let may_correct = is_open && visit.may(Permission::CorrectPayments);
    let is_nobodys = is_open && row.payment.customer.is_none();
    let why = suspense::words_with(row.payment.no_owner, &row.payment.account_reference);
    let why = if is_nobodys { why } else { String::new() };
    let may_assign = is_nobodys && visit.may(Permission::AssignPayments);
    visit.show(&PaymentPage {
        frame,
        payment,
        evidence,
        why,
        may_assign,
        may_correct,
        may_give_back,
        refunds,
        part_of,
        parts,
        site,
    })
}

/// What the form said, once it can be sent.
struct Wanted {
    top_up: Option<TopUpId>,
    phone: Msisdn,
    /// What the wallet lacks, when `None`: of a top-up the page does not know the price.
    amount: Option<Money>,
}

async fn ask(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AskForPayment)?;
    let id = LineId::parse(&id).map_err(|_| PageError::NotFound)?;
    let (subscription, customer) = subscription_of(&web, &id).await?;
    let to = format!("/customers/{}", customer.id);
    let Some(short_codes) = web.short_codes.clone() else {
        let note = "M-Pesa is not set up: fill in [mpesa] in controller.toml and restart the controller.";
        return Ok(visit.go(&to, &Note::bad(note)));
    };
    let phone = fields.read("phone", Msisdn::parse);
    let top_up = fields.read("top_up", read_top_up);
    let is_priced = fields.value("amount").is_empty() && top_up.as_ref().is_some_and(Option::is_some);
    let amount =
        fields.read("amount", |text| if is_priced { Ok(None) } else { Money::parse(text).map(Some) });
    let (Some(phone), Some(top_up), Some(amount)) = (phone, top_up, amount) else {
        return complain(&visit, fields, &subscription, &customer);
    };
    let wanted = Wanted { top_up, phone, amount };
    let said = display::phone(&wanted.phone);
    let heard = web.heard(&mut *web.controller.database.read().await?).await?;
    // On a task of its own: what was begun is noted and written down, also when the browser goes away.
    let asking = tokio::spawn(send(web, short_codes, visit.actor(), id, wanted));
    let Ok(outcome) = timeout(ANSWER_WITHIN, asking).await else {
        return Ok(visit.go(&to, &Note::bad(NOT_KNOWN)));
    };
    let requested = outcome??;
    if requested == Requested::BadAmount {
        fields.complain("amount", "ask for whole shillings, from 1 to 250,000");
        return complain(&visit, fields, &subscription, &customer);
    }
    let is_held = subscription.status == Status::Suspended;
    note_of(&requested, &said, (is_held, &heard), visit.now)
        .map(|note| visit.go(&to, &note))
        .ok_or(PageError::NotFound)
}

fn read_top_up(text: &str) -> Result<Option<TopUpId>, &'static str> {
    if text.is_empty() {
        Ok(None)
    } else {
        TopUpId::parse(text).map(Some).map_err(|_| "choose a top-up of the list")
    }
}

/// What was bought, in words.
fn topped_up(bought: &ToppedUp, now: UnixMillis) -> String {
    let (data, until) = (display::bytes(bought.top_up.bytes), Moment::of(bought.until, now).text);
    format!("{} is bought: {data} more until {until}.", bought.top_up.name)
}

/// Buys a top-up out of the wallet. The form carries an occasion of its own, so that a button that is pressed twice buys
/// once.
async fn top_up(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AskForPayment)?;
    let id = LineId::parse(&id).map_err(|_| PageError::NotFound)?;
    let (_, customer) = subscription_of(&web, &id).await?;
    let to = format!("/customers/{}", customer.id);
    let is_occasion =
        |text: &str| text.len() == OCCASION_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    let chosen = fields.read("top_up", read_top_up).flatten();
    let (Some(chosen), true) = (chosen, is_occasion(fields.value("occasion"))) else {
        return Ok(visit.go(&to, &Note::bad("Nothing was bought: choose a top-up of the list.")));
    };
    let (controller, actor) = (web.controller.clone(), visit.actor());
    let mut transaction = controller.database.write().await?;
    let (what, occasion) = ((&id, &chosen), format!("page {}", fields.value("occasion")));
    let by = actor.to_string();
    let bought =
        super::buy_top_up(&mut transaction, what, &occasion, &by, &controller.ids, visit.now).await?;
    let note = match bought {
        Ok(bought) => {
            let act = (Action::TopUpBought, id.as_str(), bought.top_up.name.as_str());
            audit::record(&mut transaction, &actor, act, &controller.ids, visit.now).await?;
            let note = Note::good(topped_up(&bought, visit.now));
            // On a task of its own: a browser that hangs up ends this handler, and the bell must ring after the commit.
            let told = tokio::spawn(async move {
                transaction.commit().await?;
                bought.tell(&controller);
                Ok::<_, sqlx::Error>(())
            });
            told.await??;
            note
        }
        Err(why) => Note::bad(why.sentence()),
    };
    Ok(visit.go(&to, &note))
}

async fn subscription_of(web: &Web, id: &LineId) -> Result<(Subscription, Customer), PageError> {
    let mut reader = web.controller.database.read().await?;
    let subscription = subscriptions::get(&mut reader, id).await?.ok_or(PageError::NotFound)?;
    let customer = customers::get(&mut reader, &subscription.customer).await?.ok_or(PageError::NotFound)?;
    Ok((subscription, customer))
}

async fn send(
    web: Web,
    short_codes: ShortCodes,
    actor: Actor,
    id: LineId,
    wanted: Wanted,
) -> Result<Requested, PageError> {
    let request = RequestPayment {
        subscription: id,
        top_up: wanted.top_up,
        phone: Some(wanted.phone),
        amount: wanted.amount,
        leaves_wallet: false,
        requested_by: actor,
    };
    Ok(super::request(&web.controller, &short_codes, request).await?)
}

/// What the money buys when it comes, where that is not what everybody expects.
fn buys(intent: &Intent, is_held: bool) -> &'static str {
    match (intent.is_to_buy(), is_held) {
        (true, _) => "",
        (false, true) => " The line is on hold: the money will wait in the wallet until it is released.",
        (false, false) => " It is not enough for a period: the money will wait in the wallet.",
    }
}

/// What the next page says; `None` when there is no such subscription.
fn note_of(
    requested: &Requested,
    phone: &str,
    (is_held, heard): (bool, &Heard),
    now: UnixMillis,
) -> Option<Note> {
    Some(match requested {
        Requested::Prompted(intent) => match intent.receipt() {
            Some(receipt) => Note::good(format!("Paid: {}, receipt {receipt}.", display::kes(intent.amount))),
            None => Note::good(format!(
                "{} is asked of {phone}: the customer enters the M-Pesa PIN.{} It shows here when it is paid. Send no \
                 other for two minutes.",
                display::kes(intent.amount),
                buys(intent, is_held)
            )),
        },
        Requested::NotKnown(_) => Note::bad(NOT_KNOWN),
        Requested::Declined(intent) => {
            let (advice, result) = told(intent, heard);
            let result = if result.is_empty() { result } else { format!(" (M-Pesa: {result})") };
            Note::bad(format!("Nothing is on the phone. {advice}{result}"))
        }
        Requested::AlreadyOpen(open) => Note::bad(format!("Nothing was sent. {}", open.sentence())),
        Requested::SiteRevoked => Note::bad(
            "Nothing was sent: the site of this line is revoked, and what is paid for there does not come on.",
        ),
        Requested::BoughtFromWallet(bought) => Note::good(format!(
            "Nothing was asked of the phone: the wallet covers {}. A period is bought from it, and the line is paid \
             until {}.",
            display::kes(bought.price),
            Moment::of(bought.paid_until, now).text
        )),
        Requested::ToppedUp(bought) => Note::good(format!(
            "Nothing was asked of the phone: the wallet covers it. {}",
            topped_up(bought, now)
        )),
        Requested::NoTopUp(why) => Note::bad(format!("Nothing was sent. {}", why.sentence())),
        Requested::JustBought { wait } => Note::bad(format!(
            "Nothing was done: the wallet bought the same for this line less than two minutes ago. If another is wanted, \
             ask again in {}.",
            display::span((*wait).max(Duration::from_secs(1)))
        )),
        Requested::OnHold { price } => Note::bad(format!(
            "Nothing was sent: the line is on hold, and the wallet covers {} already. Release the line; nobody has to \
             pay first.",
            display::kes(*price)
        )),
        Requested::BelowTopUp { lacking } => Note::bad(format!(
            "Nothing was sent: the top-up needs {}. Ask for that, or leave the amount empty.",
            display::kes(*lacking)
        )),
        Requested::NoSuchSubscription | Requested::BadAmount => return None,
    })
}

fn complain(
    visit: &Visit,
    fields: Fields,
    subscription: &Subscription,
    customer: &Customer,
) -> Result<Response, PageError> {
    let page = AskPage {
        frame: visit.frame("Ask for payment", Section::Customers),
        fields,
        subscription_id: subscription.id.to_string(),
        plan: subscription.plan_name.clone(),
        customer_id: customer.id.to_string(),
        customer_name: customer.name.clone(),
    };
    visit.show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}
