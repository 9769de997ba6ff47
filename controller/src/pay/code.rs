//! The code that somebody scans at the pay page, who looks at it on another screen than the phone that pays.
//!
//! Safaricom is asked for it, so that strangers may ask only so often. Where there is none, the steps of the Paybill stand open.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::masked;
use super::offer::Offer;
use super::pages::{Account, Found, find};
use super::steps::Steps;
use super::visitor::{Frame, Visitor, show};
use super::words::Text;
use crate::mpesa::codes::line::Payable;
use crate::mpesa::codes::pages::shown;
use crate::web::error::PageError;
use crate::web::visit::see_other;
use crate::web::{Web, display};

/// What stands behind the path of an account.
pub(super) const PATH: &str = "code";

#[derive(Template)]
#[template(path = "pay/code.html")]
struct CodePage {
    frame: Frame,
    plan: String,
    account: String,
    name: String,
    amount: String,
    /// Empty where there is no code now.
    image_url: String,
    steps: Option<Steps>,
    back_url: String,
}

/// A line that may be paid for with a code now, and its number.
fn payable(web: &Web, account: &Account, visitor: &Visitor, offer: Offer) -> Option<(usize, Payable)> {
    let (number, line) = account.chosen(visitor)?;
    let Offer::Ask(amount) = offer else { return None };
    // While a request is open, nobody is shown another way to pay: that would be paying twice.
    if account.wait(line, visitor.now).is_some() {
        return None;
    }
    let daraja = web.short_codes.as_ref()?.of_site(&line.site).clone();
    let whose = (line.clone(), account.customer.clone());
    Some((number, Payable::of(daraja, &account.heard, whose, amount).ok()?))
}

/// Finds the account and what is payable of it, or says what is answered instead.
async fn found(
    web: &Web,
    visitor: &Visitor,
    typed: &str,
) -> Result<Result<(Box<Account>, usize, Payable), Response>, PageError> {
    let account = match find(web, visitor, typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(Err(response)),
    };
    let Some((number, line)) = account.chosen(visitor) else { return Ok(Err(account.choose(visitor)?)) };
    let offer = account.offer(web, line, visitor.now).await?;
    let Some((_, payable)) = payable(web, &account, visitor, offer) else {
        return Ok(Err(see_other(&visitor.url(&account.path(), Some(number)))));
    };
    Ok(Ok((account, number, payable)))
}

/// How long to wait, where a stranger asked for too many codes.
fn may_ask(web: &Web, visitor: &Visitor, account: &Account) -> Result<(), Duration> {
    let customer = &account.customer.id;
    web.pay.with_throttle(|throttle| throttle.code(visitor.address, customer, visitor.now))
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
) -> Result<Response, PageError> {
    let (account, number, payable) = match found(&web, &visitor, &typed).await? {
        Ok(found) => found,
        Err(response) => return Ok(response),
    };
    // Who asks too often has the steps.
    let has_code = may_ask(&web, &visitor, &account).is_ok()
        && payable.code(&web.codes, &web.controller.clock).await.is_ok();
    let path = format!("{}/{PATH}", account.path());
    let page = CodePage {
        frame: visitor.frame(&path, Some(number)),
        plan: payable.line.plan_name.clone(),
        account: account.customer.account_number.to_string(),
        name: masked::name(&account.customer.name),
        amount: display::kes(payable.amount()),
        image_url: if has_code { visitor.url(&format!("{path}.png"), Some(number)) } else { String::new() },
        steps: account.steps(&web, visitor.language, (&payable.line, payable.amount())),
        back_url: visitor.url(&account.path(), Some(number)),
    };
    show(StatusCode::OK, &page)
}

pub(super) async fn image(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
) -> Result<Response, PageError> {
    let (account, _, payable) = match found(&web, &visitor, &typed).await? {
        Ok(found) => found,
        Err(response) => return Ok(response),
    };
    if let Err(wait) = may_ask(&web, &visitor, &account) {
        return visitor.too_many(wait, &account.path(), None);
    }
    let code = payable.code(&web.codes, &web.controller.clock).await.map_err(|_| PageError::NotFound)?;
    Ok(shown(&code))
}
