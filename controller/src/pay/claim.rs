//! The page where somebody who paid and is not online finds their payment by its receipt number and the phone that paid.
//!
//! ```text
//!   ours and fresh? ─▶ a receipt and a phone? ─▶ not too often? ─▶ suspense::claim ─▶ theirs now, theirs before, or nothing
//! ```
//! "Nothing" is the same page whatever the reason: never heard of, another phone's, or somebody else's. It asks nobody:
//! what M-Pesa has not told of yet comes by itself, or with the next sweep of Pull. Whoever paid is told when it goes back.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::follow::{FollowPage, arrival};
use super::pages::{Account, Found, find};
use super::story::{self, Story};
use super::visitor::{Frame, Visitor, show};
use super::words::Text;
use crate::customers::phone::Msisdn;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::State as IntentState;
use crate::payments::follow::FollowToken;
use crate::payments::refunds::State as Refund;
use crate::payments::suspense::claim::{Claim, Claimed, claim, look_up};
use crate::payments::{self, PaymentRow};
use crate::subscriptions::{self, Subscription};
use crate::web::error::PageError;
use crate::web::form::TOKEN_FIELD;
use crate::web::visit::fields;
use crate::web::{Web, display};

/// The last part of the page's path. No token of a page that follows a request is so short.
pub(super) const PATH: &str = "receipt";
/// Letters and digits of every receipt number that M-Pesa gives today.
const RECEIPT_CHARACTERS: usize = 10;
/// The longest text of a field that is given back for correction.
const TYPED_CHARACTERS: usize = 32;

#[derive(Template)]
#[template(path = "pay/claim.html")]
struct ClaimPage {
    frame: Frame,
    account: String,
    name: String,
    plan: String,
    action: String,
    token: String,
    typed: Typed,
    back_url: String,
}

/// What was typed, and what is said of it.
#[derive(Default)]
struct Typed {
    receipt: String,
    phone: String,
    bad_receipt: &'static str,
    bad_phone: &'static str,
    problem: &'static str,
    /// What else to do about the problem.
    cures: Vec<&'static str>,
}

/// A receipt number as people copy it: in any case, with blanks and dashes between.
fn receipt(typed: &str) -> Option<ReceiptNumber> {
    let compact: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    ReceiptNumber::parse(&compact).filter(|number| number.as_str().len() == RECEIPT_CHARACTERS)
}

pub(super) async fn look(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
) -> Result<Response, PageError> {
    let account = match find(&web, &visitor, &typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(response),
    };
    let Some(chosen) = account.chosen(&visitor) else { return account.choose(&visitor) };
    form(&web, &visitor, (&account, chosen), StatusCode::OK, Typed::default())
}

pub(super) async fn send(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    let account = match find(&web, &visitor, &typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(response),
    };
    let Some(chosen) = account.chosen(&visitor) else { return account.choose(&visitor) };
    let is_elsewhere = visitor.is_sent_by_another_site;
    // A body that is no form of ours is as good as an old one.
    let fields = fields(request, &web).await.ok().filter(|_| !is_elsewhere);
    let value = |name: &str| fields.as_ref().map_or("", |fields| fields.value(name));
    let kept = |name: &str| value(name).chars().take(TYPED_CHARACTERS).collect::<String>();
    let mut typed = Typed { receipt: kept("receipt"), phone: kept("phone"), ..Typed::default() };
    let scope = (&chosen.1.id, visitor.network());
    if web.pay.key.open(value(TOKEN_FIELD), scope, visitor.now).is_none() {
        typed.problem = visitor.language.say(Text::ClaimFormOld);
        return form(&web, &visitor, (&account, chosen), StatusCode::FORBIDDEN, typed);
    }
    let (Some(receipt), Ok(phone)) = (receipt(value("receipt")), Msisdn::parse(value("phone"))) else {
        let say_if = |is_bad: bool, text| if is_bad { visitor.language.say(text) } else { "" };
        typed.bad_receipt = say_if(self::receipt(value("receipt")).is_none(), Text::BadReceipt);
        typed.bad_phone = say_if(Msisdn::parse(value("phone")).is_err(), Text::BadPhone);
        return form(&web, &visitor, (&account, chosen), StatusCode::UNPROCESSABLE_ENTITY, typed);
    };
    let what = (&account.customer.id, &receipt);
    if let Err(wait) = web.pay.with_throttle(|throttle| throttle.claim(visitor.address, what, visitor.now)) {
        return visitor.too_many(wait, &account.path(), Some(Text::ShowMessage));
    }
    let wanted = Claim { receipt, phone, customer: account.customer.id.clone(), line: chosen.1.id.clone() };
    match decide(&web, wanted.clone(), &visitor).await? {
        Decided::Nothing => {
            typed.problem = visitor.language.say(Text::NothingWaits);
            typed.cures =
                [Text::NotHeardOfYet, Text::CompareReceipt].map(|text| visitor.language.say(text)).into();
            form(&web, &visitor, (&account, chosen), StatusCode::NOT_FOUND, typed)
        }
        Decided::GoesBack(refund) => {
            let (heading, why) = goes_back(refund);
            typed.problem = visitor.language.say(heading);
            typed.cures = vec![visitor.language.say(why)];
            form(&web, &visitor, (&account, chosen), StatusCode::CONFLICT, typed)
        }
        Decided::Given => {
            let mut reader = web.controller.database.read().await?;
            let row = payments::payment_of_receipt(&mut reader, &wanted.receipt).await?;
            let row = row.ok_or(PageError::NotFound)?;
            let state = IntentState::Paid(wanted.receipt.clone());
            let story = story::of_request(&state, &arrival(&mut reader, &wanted.receipt).await?);
            drop(reader);
            told(&web, &visitor, (&account, chosen), &row, story).await
        }
        Decided::TheirsAlready(row) => {
            let arrival = arrival(&mut *web.controller.database.read().await?, &wanted.receipt).await?;
            told(&web, &visitor, (&account, chosen), &row, story::of_one_that_is_theirs(&arrival)).await
        }
    }
}

/// What came of a claim, once it is committed.
enum Decided {
    Nothing,
    GoesBack(Refund),
    Given,
    TheirsAlready(Box<PaymentRow>),
}

/// What is said of a payment that goes back to whoever paid it, and what of it there is to wait for.
fn goes_back(refund: Refund) -> (Text, Text) {
    match refund {
        Refund::Done => (Text::WentBack, Text::WentBackWhere),
        Refund::Unknown => (Text::GoesBackUnknown, Text::GoesBackLooked),
        Refund::Waiting
        | Refund::Held
        | Refund::Asking
        | Refund::Asked
        | Refund::Failed
        | Refund::Withdrawn => (Text::GoesBack, Text::GoesBackThen),
    }
}

/// Looks first without the writer, for which payments wait: most of what strangers try changes nothing.
async fn decide(web: &Web, wanted: Claim, visitor: &Visitor) -> Result<Decided, PageError> {
    let controller = web.controller.clone();
    match look_up(&mut *controller.database.read().await?, &wanted).await? {
        Some(Claimed::GoesBack(refund)) => return Ok(Decided::GoesBack(refund)),
        Some(Claimed::TheirsAlready(row)) => return Ok(Decided::TheirsAlready(row)),
        Some(Claimed::Nothing) => return Ok(Decided::Nothing),
        Some(Claimed::Given(_)) | None => {}
    }
    let now = visitor.now;
    // On a task of its own: what is given is also told to the site when the browser goes away.
    let claiming = tokio::spawn(async move {
        let mut transaction = controller.database.write().await?;
        let found = match claim(&mut transaction, &wanted, &controller.ids, now).await? {
            Claimed::Nothing => return Ok(Decided::Nothing),
            Claimed::TheirsAlready(row) => return Ok(Decided::TheirsAlready(row)),
            Claimed::GoesBack(refund) => return Ok(Decided::GoesBack(refund)),
            Claimed::Given(assigned) => assigned,
        };
        transaction.commit().await?;
        tracing::info!("a payment that waited in suspense was claimed at the pay page");
        found.tell(&controller.live);
        Ok(Decided::Given)
    });
    claiming.await?
}

/// The form, empty or with what was typed.
fn form(
    web: &Web,
    visitor: &Visitor,
    (account, (number, line)): (&Account, (usize, &Subscription)),
    status: StatusCode,
    typed: Typed,
) -> Result<Response, PageError> {
    let path = format!("{}/{PATH}", account.path());
    let token = FollowToken::random(&web.controller.ids);
    let page = ClaimPage {
        frame: visitor.frame(&path, Some(number)),
        account: account.customer.account_number.to_string(),
        name: super::masked::name(&account.customer.name),
        plan: line.plan_name.clone(),
        action: visitor.url(&path, Some(number)),
        token: web.pay.key.seal(&token, (&line.id, visitor.network()), visitor.now),
        typed,
        back_url: visitor.url(&account.path(), Some(number)),
    };
    show(status, &page)
}

/// What is said of a payment that is on the account.
async fn told(
    web: &Web,
    visitor: &Visitor,
    (account, (number, line)): (&Account, (usize, &Subscription)),
    row: &PaymentRow,
    story: Story,
) -> Result<Response, PageError> {
    // It may have been paid for another line of the account.
    let line = row.payment.subscription.as_ref().unwrap_or(&line.id);
    let line = subscriptions::get(&mut *web.controller.database.read().await?, line).await?;
    let line = line.ok_or(PageError::NotFound)?;
    let language = visitor.language;
    let until = line.paid_until.map(display::numeric).unwrap_or_default();
    let amount = display::kes(row.payment.amount);
    let values = [("amount", amount.as_str()), ("receipt", &row.payment.receipt_number), ("until", &until)];
    let is_of_it = row.payment.subscription.as_ref() == Some(&line.id);
    let has_begun = is_of_it && !line.is_waiting(visitor.now);
    let runs = has_begun && line.paid_until.is_some_and(|until| until > visitor.now);
    let is_said = |text: &&Text| match text {
        Text::RunsUntil => runs,
        Text::TimeStartsThen => line.is_waiting(visitor.now),
        _ => true,
    };
    let sentences = story.sentences.iter().filter(is_said).map(|text| language.fill(*text, &values));
    let page = FollowPage {
        frame: visitor.frame(&format!("{}/{PATH}", account.path()), Some(number)),
        account: account.customer.account_number.to_string(),
        plan: line.plan_name.clone(),
        tone: story.tone,
        heading: language.say(story.heading),
        sentences: sentences.collect(),
        again_url: String::new(),
        look_url: visitor.url(&account.path(), Some(number)),
        steps: None,
        are_steps_first: false,
    };
    show(StatusCode::OK, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_number_is_read_however_people_copy_it() {
        let check = |typed: &str, expected: Option<&str>| {
            assert_eq!(receipt(typed).as_ref().map(ReceiptNumber::as_str), expected, "{typed:?}");
        };
        check("RGP6CZDYG6", Some("RGP6CZDYG6"));
        check("  rgp6 czd-yg6 ", Some("RGP6CZDYG6"));
        for bad in ["", "RGP6CZDYG", "RGP6CZDYG66", "RGP6CZDY.6", "RGP6CZDYÉ6", "RGP6CZDYG6 Confirmed."] {
            check(bad, None);
        }
    }
}
