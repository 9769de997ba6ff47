//! Refunds for people: all of them, one with what can be decided of it, and asking for one from a payment's page.
//!
//! What is not known is called that, and nobody is told that money went that may not have. Deciding is the module above.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::api::needed;
use super::state::State as Standing;
use super::{Decided, Decision, NotRefunded, REASON_CHARACTERS, Refund, RefundRow, Wanted, Way};
use crate::audit::Action;
use crate::database::Connection;
use crate::ids::{PaymentId, RefundId};
use crate::ledger;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::operator::advice;
use crate::payments::Provider;
use crate::payments::counter::{Clerk, same_person};
use crate::payments::pages::OCCASION_DIGITS;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// Rows of the list: more is a search, and the API has one.
const ROWS: u32 = 200;

/// A refund, as pages show it.
struct RefundView {
    id: String,
    payment_id: String,
    receipt: String,
    customer_id: Option<String>,
    customer_name: String,
    amount: String,
    way: &'static str,
    phone: String,
    reason: String,
    state: Badge,
    sentence: String,
    /// What M-Pesa said; empty for nothing.
    said: String,
    result_receipt: String,
    by: String,
    approved_by: String,
    asked: Moment,
    changed: Moment,
}

impl RefundView {
    fn of(row: &RefundRow, now: UnixMillis) -> Self {
        let refund = &row.refund;
        let name = |actor: &str| actor.split_once(':').map_or(actor, |(_, name)| name).to_owned();
        let said = format!("{} {}", refund.result_code, refund.result_description).trim().to_owned();
        Self {
            id: refund.id.to_string(),
            payment_id: refund.payment.to_string(),
            receipt: refund.receipt_number.clone(),
            customer_id: refund.customer.as_ref().map(ToString::to_string),
            customer_name: row.customer_name.clone(),
            amount: display::kes(refund.amount),
            way: match refund.way {
                Way::Reversal => "M-Pesa undoes the payment",
                Way::Payout => "paid to the phone that paid",
            },
            phone: super::phone_of(refund).map(|phone| display::phone(&phone)).unwrap_or_default(),
            reason: refund.reason.clone(),
            state: badge(refund),
            sentence: sentence(refund),
            said,
            result_receipt: refund.result_receipt.clone(),
            by: name(&refund.requested_by),
            approved_by: name(&refund.approved_by),
            asked: Moment::of(refund.created_at, now),
            changed: Moment::of(refund.updated_at, now),
        }
    }
}

fn badge(refund: &Refund) -> Badge {
    match refund.state() {
        Standing::Waiting => Badge::warn("needs a second person"),
        Standing::Held => Badge::info("to be sent"),
        Standing::Asking | Standing::Asked => Badge::info("with M-Pesa"),
        Standing::Unknown if refund.needs_a_person() => Badge::bad("look it up"),
        Standing::Unknown => Badge::warn("not known"),
        Standing::Done => Badge::good("given back"),
        Standing::Failed => Badge::bad("failed"),
        Standing::Withdrawn => Badge::idle("withdrawn"),
    }
}

fn sentence(refund: &Refund) -> String {
    let words = match refund.state() {
        Standing::Waiting => "Its money is held. It is sent when somebody else than who asked agrees.",
        Standing::Held if refund.is_not_sendable() => {
            "Its money is held, and nobody can send it: see what M-Pesa’s settings lack. If you gave it back in M-Pesa’s portal, say so below; otherwise take it back."
        }
        Standing::Held => "Its money is held, and it is about to be sent.",
        Standing::Asking => "It is being sent.",
        Standing::Asked => "M-Pesa took it: the result comes by itself.",
        Standing::Unknown if !refund.result_code.is_empty() && !refund.needs_a_person() => {
            return format!(
                "M-Pesa answered with {}, which does not say whether it went through: M-Pesa is asked what became of it. Do not give it back another way.",
                refund.result_code
            );
        }
        Standing::Unknown if refund.needs_a_person() => {
            "M-Pesa did not say how it ended. Look the receipt up in M-Pesa’s portal, and say below what stands there. The money stays held until then."
        }
        Standing::Unknown => {
            "M-Pesa did not answer, so that it may have gone through: M-Pesa is asked what became of it. Do not give it back another way."
        }
        Standing::Done => "The money is with whoever paid it.",
        Standing::Failed | Standing::Withdrawn if super::told::is_gone_code(&refund.result_code) => {
            "M-Pesa said later that it went through after all, when the payment had been moved or given back otherwise: nothing is booked. Look it up in M-Pesa’s portal, and correct whose money it was."
        }
        Standing::Failed => "It did not go through: the money went back to where it was.",
        Standing::Withdrawn if refund.is_whole && refund.customer.is_some() => {
            "It was not to be: the money went back to the wallet. A line that it left without a period has one again where the wallet covers it."
        }
        Standing::Withdrawn => "It was not to be: the money is where it was before.",
    };
    match advice::of(&refund.result_code).filter(|_| refund.state() == Standing::Failed) {
        Some(cure) => format!("{words} To do: {cure}."),
        None => words.to_owned(),
    }
}

#[derive(Template)]
#[template(path = "payments/refunds.html")]
struct RefundsPage {
    frame: Frame,
    rows: Vec<RefundView>,
    states: [(&'static str, &'static str); 8],
    state: String,
    is_full: bool,
}

/// Something that can be decided.
struct Choice {
    /// Where its button leads.
    to: String,
    words: &'static str,
    /// Whether the portal shows a receipt with it.
    has_receipt: bool,
}

#[derive(Template)]
#[template(path = "payments/refund.html")]
struct RefundPage {
    frame: Frame,
    refund: RefundView,
    decisions: Vec<Choice>,
    /// Whether M-Pesa is still asked about it, so that what is decided may be contradicted.
    is_early: bool,
    /// What came of its money since it failed; empty for nothing.
    since: String,
}

#[derive(Template)]
#[template(path = "payments/give_back.html")]
struct GiveBackPage {
    frame: Frame,
    fields: Fields,
    payment_id: String,
    receipt: String,
    amount: String,
    customer_name: String,
    has_phone: bool,
    is_part: bool,
    /// What is used of what it bought, and what would be given back; `None` where nothing is used.
    used: Option<(String, String)>,
    needs_two: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    state: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/refunds", get(list))
        .route("/refunds/{id}", get(one))
        .route("/refunds/{id}/{decision}", post(decide))
        .route("/payments/{id}/refund", get(new).post(ask))
}

async fn list(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let state = Standing::parse(&asked.state);
    let rows = super::list(&mut *web.controller.database.read().await?, (state, None), ROWS).await?;
    visit.show(&RefundsPage {
        frame: visit.frame("Refunds", Section::Payments),
        is_full: u32::try_from(rows.len()).unwrap_or(u32::MAX) >= ROWS,
        rows: rows.iter().map(|row| RefundView::of(row, visit.now)).collect(),
        states: [
            ("waiting", "needs a second person"),
            ("held", "to be sent"),
            ("asking", "being sent"),
            ("asked", "with M-Pesa"),
            ("unknown", "not known"),
            ("done", "given back"),
            ("failed", "failed"),
            ("withdrawn", "withdrawn"),
        ],
        state: state.map_or("", Standing::as_str).to_owned(),
    })
}

async fn one(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let id = RefundId::parse(&id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let row = super::get(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let money = money_since(&mut reader, &row.refund).await?;
    drop(reader);
    let asked_it = same_person(&visit.actor()).contains(&row.refund.requested_by);
    let may = |decision: &Decision| {
        let is_theirs_to_make = match decision {
            Decision::Approve => !asked_it,
            Decision::WentThrough => !matches!(money, Some(Since::MovedOn)),
            Decision::Withdraw | Decision::DidNot | Decision::Again => true,
        };
        is_theirs_to_make && decision.fits(&row.refund) && visit.may(needed(*decision))
    };
    let button = |decision: Decision| {
        let words = match decision {
            Decision::Approve => "Agree, and send it",
            Decision::Withdraw => "Do not give it back",
            Decision::WentThrough if row.refund.state() == Standing::Failed => {
                "The portal says that it went after all"
            }
            Decision::WentThrough => "The portal says that it went",
            Decision::DidNot => "The portal says that it did not",
            Decision::Again => "Send it once more",
        };
        let has_receipt = decision == Decision::WentThrough && row.refund.way == Way::Payout;
        Choice { to: format!("/refunds/{id}/{}", decision.as_str()), words, has_receipt }
    };
    visit.show(&RefundPage {
        frame: visit.frame(format!("Refund of {}", row.refund.receipt_number), Section::Payments),
        refund: RefundView::of(&row, visit.now),
        is_early: row.refund.state() == Standing::Unknown && !row.refund.needs_a_person(),
        decisions: Decision::ALL.into_iter().filter(may).map(button).collect(),
        since: money.map(Since::in_words).unwrap_or_default(),
    })
}

/// What came of the money of a refund since it failed.
enum Since {
    /// It is another's now, or went back otherwise.
    MovedOn,
    /// It waits in the wallet, or for its owner.
    IsThere,
    /// The wallet has spent so much of it.
    Spent(Money),
}

impl Since {
    fn in_words(self) -> String {
        match self {
            Self::MovedOn => "The money was moved since, or goes back another way. Should M-Pesa show that this refund went after all, put the money back where it was first.".to_owned(),
            Self::IsThere => "It is there still. What it had bought was taken back when this was asked for: ask for a payment of the line, and the wallet buys a period again, if it is enough.".to_owned(),
            Self::Spent(spent) => format!("The wallet has spent {} of it since: whoever says now that the refund went after all leaves the customer owing that.", display::kes(spent)),
        }
    }
}

async fn money_since(connection: &mut Connection, refund: &Refund) -> Result<Option<Since>, PageError> {
    if refund.state() != Standing::Failed || super::told::is_gone_code(&refund.result_code) {
        return Ok(None);
    }
    if !super::is_where_it_was(connection, refund).await? {
        return Ok(Some(Since::MovedOn));
    }
    let Some(customer) = &refund.customer else { return Ok(None) };
    let wallet = ledger::wallet_of(connection, customer).await?.max(Money::ZERO);
    let spent = refund.amount.checked_sub(wallet).filter(|spent| spent.is_positive());
    Ok(match spent {
        Some(spent) => Some(Since::Spent(spent)),
        None => refund.is_whole.then_some(Since::IsThere),
    })
}

async fn decide(
    State(web): State<Web>,
    Path((id, decision)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    let id = RefundId::parse(&id).map_err(|_| PageError::NotFound)?;
    let decision = Decision::parse(&decision).ok_or(PageError::NotFound)?;
    let receipt = fields.value("receipt").trim();
    let read = if receipt.is_empty() { Some(None) } else { ReceiptNumber::parse(receipt).map(Some) };
    visit.require(needed(decision))?;
    let actor = visit.actor();
    let asker = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    let mut transaction = web.controller.database.write().await?;
    let ids = &web.controller.ids;
    let page = format!("/refunds/{id}");
    let decided = match read {
        Some(receipt) => {
            let decided = Decided { decision, receipt };
            let detail = decided.to_string();
            let begun = super::decide(&mut transaction, (&id, decided), asker, ids, visit.now).await?;
            begun.map(|begun| (begun, detail))
        }
        None => Err(NotRefunded::BadReceipt),
    };
    match decided {
        Ok((begun, detail)) => {
            let act = (Action::RefundDecided, id.as_str(), detail.as_str());
            visit.commit(&web, transaction, act, |live| begun.tell(live)).await?;
            Ok(visit.go(&page, &Note::good("It is done as you said.")))
        }
        Err(NotRefunded::NoSuchPayment) => Err(PageError::NotFound),
        Err(why) => Ok(visit.go(&page, &Note::bad(format!("Nothing was done: {}.", words(&why))))),
    }
}

async fn new(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    let occasion = web.controller.ids.hex(OCCASION_DIGITS / 2);
    let fields = Fields::with(&[("occasion", &occasion)]);
    show(&visit, &web, &id, fields, StatusCode::OK).await
}

async fn show(
    visit: &Visit,
    web: &Web,
    id: &str,
    mut fields: Fields,
    status: StatusCode,
) -> Result<Response, PageError> {
    visit.require(Permission::Refund)?;
    let id = PaymentId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let row = crate::payments::payment(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
    let payment = &row.payment;
    if payment.provider != Provider::Mpesa || payment.closed.is_some() {
        let note = Note::bad("Nothing of it can go back through M-Pesa.");
        return Ok(visit.go(&format!("/payments/{id}"), &note));
    }
    let is_part = payment.part_of.is_some();
    if is_part && payment.phone.is_none() {
        let note = Note::bad(
            "It is a part of a receipt, which M-Pesa undoes only whole, and it hides whose phone paid: it cannot go back \
             from here.",
        );
        return Ok(visit.go(&format!("/payments/{id}"), &note));
    }
    if fields.value("way").is_empty() {
        let way = if is_part { Way::Payout } else { Way::Reversal };
        fields.set("way", way.as_str());
    }
    let left = super::left::of(&mut reader, payment, visit.now).await?;
    let used = left.used.is_positive().then(|| (display::kes(left.used), display::kes(left.payable())));
    let page = GiveBackPage {
        frame: visit.frame(format!("Give {} back", payment.name()), Section::Payments),
        fields,
        payment_id: id.to_string(),
        receipt: payment.name(),
        amount: display::kes(payment.amount),
        customer_name: row.customer_name.clone(),
        has_phone: payment.phone.is_some(),
        is_part,
        used,
        needs_two: web.counter.refunds_need_two,
    };
    visit.show_as(status, &page)
}

async fn ask(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::Refund)?;
    let bad = PageError::BadForm(StatusCode::UNPROCESSABLE_ENTITY);
    let payment = PaymentId::parse(&id).map_err(|_| PageError::NotFound)?;
    let is_occasion =
        |text: &str| text.len() == OCCASION_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    let occasion = fields.value("occasion").to_owned();
    let (Some(way), true) = (Way::parse(fields.value("way")), is_occasion(&occasion)) else {
        return Err(bad);
    };
    let amount = match fields.value("amount").is_empty() {
        true => Some(None),
        false => fields.read("amount", Money::parse).map(Some),
    };
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(amount) = amount else { return show(&visit, &web, &id, fields, unprocessable).await };
    let reason = fields.value("reason").to_owned();
    let with_used = fields.is("used", "too");
    let wanted = Wanted { payment, way, amount, with_used, reason, occasion: Some(occasion) };
    let actor = visit.actor();
    let asker = Clerk { actor: &actor, role: visit.member.role, limits: web.counter };
    let mut transaction = web.controller.database.write().await?;
    let ids = &web.controller.ids;
    let begun = match super::ask(&mut transaction, &wanted, asker, ids, visit.now).await? {
        Ok(begun) => begun,
        Err(NotRefunded::NoSuchPayment) => return Err(PageError::NotFound),
        Err(NotRefunded::AlreadyAsked(before)) => {
            let note =
                Note::good("This form was sent before: it is given back once, as here. Look at the amount.");
            return Ok(visit.go(&format!("/refunds/{before}"), &note));
        }
        Err(why) => {
            transaction.rollback().await?;
            let field = match &why {
                NotRefunded::BadReason => "reason",
                NotRefunded::NoPhone | NotRefunded::PartOfReceipt => "way",
                _ => "amount",
            };
            fields.complain(field, words(&why));
            return show(&visit, &web, &id, fields, unprocessable).await;
        }
    };
    let refund = begun.refund.id.to_string();
    let detail = begun.refund.in_words();
    let act = (Action::RefundAsked, refund.as_str(), detail.as_str());
    visit.commit(&web, transaction, act, |live| begun.tell(live)).await?;
    Ok(visit.go(&format!("/refunds/{refund}"), &Note::good("Its money is held for whoever paid it.")))
}

/// Why not, without a capital and a full stop.
fn words(why: &NotRefunded) -> String {
    match why {
        NotRefunded::NoSuchPayment => "there is no such payment".to_owned(),
        NotRefunded::Closed(_) => "it is no money of anybody’s any more".to_owned(),
        NotRefunded::NotByMpesa => "it did not come by M-Pesa: give it back as it came".to_owned(),
        NotRefunded::PartOfReceipt => {
            "it is a part of a receipt, and M-Pesa undoes only all of one: pay it to the phone that paid"
                .to_owned()
        }
        NotRefunded::BadReason => format!("say why, in up to {REASON_CHARACTERS} characters"),
        NotRefunded::MovedOn => {
            "its money was moved, or went back otherwise, meanwhile: put it back where it was first".to_owned()
        }
        NotRefunded::BadReceipt => {
            "that is no receipt of a payment to a phone, or it is another’s: copy it from M-Pesa’s portal, or leave it out"
                .to_owned()
        }
        NotRefunded::NotTheWhole(whole) => {
            format!("all of it goes back, {}, or nothing", display::kes(*whole))
        }
        NotRefunded::InRefund => "some of it goes back already, or has gone: see Refunds".to_owned(),
        NotRefunded::BadAmount => "M-Pesa pays KES 10 to 250,000 to a phone, in whole shillings".to_owned(),
        NotRefunded::NoPhone => "M-Pesa hides whose phone paid: let it undo the payment instead".to_owned(),
        NotRefunded::Owed(left) if left.is_positive() => format!(
            "the rest paid what was owed, or was spent: {} can be paid to the phone",
            display::kes(*left)
        ),
        NotRefunded::Left(left) if left.is_positive() => format!(
            "the rest is used: {} can be paid to the phone, or all of it if what is used is given back as well",
            display::kes(*left)
        ),
        NotRefunded::Left(_) | NotRefunded::Owed(_) => {
            "it is used, or was spent: nothing of it is left".to_owned()
        }
        NotRefunded::OverWriteOff { most, written_off } => format!(
            "what is used is written off: you may write off {} a day and have written off {}: ask an owner",
            display::kes(*most),
            display::kes(*written_off)
        ),
        NotRefunded::OverLimit { most, given } => format!(
            "you may give back {} a day and have given {}: ask an owner",
            display::kes(*most),
            display::kes(*given)
        ),
        NotRefunded::SamePerson => "whoever asked for it cannot agree to it as well".to_owned(),
        NotRefunded::NotNow(_) => "it has gone on meanwhile".to_owned(),
        NotRefunded::AlreadyAsked(_) => "it was asked for before".to_owned(),
    }
}
