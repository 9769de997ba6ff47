//! Asks for a payment on behalf of whoever filled the form in.
//!
//! ```text
//!   ours and fresh? ─▶ sent before? ─▶ still offered? ─▶ a phone? ─▶ nothing open? ─▶ not too often? ─▶ payments::request
//! ```
//! Whatever came of it, the visitor goes on to the page that follows it, once there is one.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::timeout;

use super::offer::Offer;
use super::pages::{Account, Found, Typed, find};
use super::visitor::Visitor;
use super::words::Text;
use crate::audit::Actor;
use crate::customers::phone::Msisdn;
use crate::ids::LineId;
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::payments::follow::{FollowToken, followed};
use crate::payments::{self, RequestPayment, Requested, Why, wallet};
use crate::web::Web;
use crate::web::error::PageError;
use crate::web::form::TOKEN_FIELD;
use crate::web::visit::{fields, see_other};

/// How long the page waits for Safaricom, who mostly takes a second: what it says later is on the page that follows.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn ask(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    let account = match find(&web, &visitor, &typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(response),
    };
    let Some((number, line)) = account.chosen(&visitor) else { return account.choose(&visitor) };
    let is_elsewhere = visitor.is_sent_by_another_site;
    // A body that is no form of ours is as good as an old one.
    let fields = fields(request, &web).await.ok().filter(|_| !is_elsewhere);
    let sealed = fields.as_ref().map_or("", |fields| fields.value(TOKEN_FIELD));
    let phone_typed = fields.as_ref().map_or("", |fields| fields.value("phone"));
    let said = |complaint: Option<Text>, problem: String| Typed {
        // Longer than any way to write a number is a mistake that nobody wants back.
        phone: phone_typed.chars().take(32).collect(),
        complaint,
        problem,
    };
    let Some(token) = web.pay.key.open(sealed, (&line.id, visitor.network()), visitor.now) else {
        let typed = said(None, visitor.language.say(Text::FormOld).to_owned());
        return account.show(&web, &visitor, number, StatusCode::FORBIDDEN, typed).await;
    };
    if is_followed(&web, &token).await? {
        return Ok(go_on(&visitor, &account, &token));
    }
    let offer = account.offer(&web, line, visitor.now).await?;
    let short_codes = web.short_codes.clone().filter(|_| matches!(offer, Offer::Ask(_) | Offer::FromBalance));
    let (Some(short_codes), None) = (short_codes, account.wait(line, visitor.now)) else {
        return account.show(&web, &visitor, number, StatusCode::CONFLICT, said(None, String::new())).await;
    };
    let phone = match (offer, Msisdn::parse(phone_typed)) {
        (Offer::FromBalance, _) => None,
        (_, Ok(phone)) => Some(phone),
        (_, Err(_)) => {
            let typed = said(Some(Text::BadPhone), String::new());
            return account.show(&web, &visitor, number, StatusCode::UNPROCESSABLE_ENTITY, typed).await;
        }
    };
    let whom = (&account.customer.id, phone.as_ref());
    if let Err(wait) = web.pay.with_throttle(|throttle| throttle.ask(visitor.address, whom, visitor.now)) {
        return visitor.too_many(wait, &account.path(), None);
    }
    // Of what lies in the wallet other lines have a part: a phone is asked for what this one needs beside that.
    let leaves_wallet = matches!(offer, Offer::Ask(_)) && account.in_wallet >= line.price;
    let amount = match offer {
        Offer::Ask(amount) if wallet::lacking(line.price, account.in_wallet) != Some(amount) => Some(amount),
        _ => None,
    };
    let what = (line.id.clone(), amount, leaves_wallet);
    // On a task of its own: what was begun is noted and written down, also when the browser goes away.
    let sending = tokio::spawn(send(web.clone(), short_codes, what, phone, token.clone()));
    let outcome = match timeout(ANSWER_WITHIN, sending).await {
        Ok(outcome) => outcome??,
        Err(_) => None,
    };
    if is_followed(&web, &token).await? {
        return Ok(go_on(&visitor, &account, &token));
    }
    let Some(problem) = problem(&visitor, outcome.as_ref()) else {
        return Ok(see_other(&visitor.url(&account.path(), Some(number))));
    };
    account.show(&web, &visitor, number, StatusCode::CONFLICT, said(None, problem)).await
}

async fn is_followed(web: &Web, token: &FollowToken) -> Result<bool, PageError> {
    Ok(followed(&mut *web.controller.database.read().await?, token).await?.is_some())
}

fn go_on(visitor: &Visitor, account: &Account, token: &FollowToken) -> Response {
    see_other(&visitor.url(&format!("{}/{}", account.path(), token.reveal()), None))
}

async fn send(
    web: Web,
    short_codes: ShortCodes,
    (line, amount, leaves_wallet): (LineId, Option<Money>, bool),
    phone: Option<Msisdn>,
    token: FollowToken,
) -> Result<Option<Requested>, PageError> {
    let request = RequestPayment {
        subscription: line,
        top_up: None,
        phone,
        amount,
        leaves_wallet,
        requested_by: Actor::Customer,
    };
    Ok(payments::request_followed(&web.controller, &short_codes, request, &token).await?)
}

/// Why nothing was asked, where the page itself would not say it.
fn problem(visitor: &Visitor, outcome: Option<&Requested>) -> Option<String> {
    let waiting =
        |text: Text, wait: Duration| visitor.language.fill(text, &[("wait", &visitor.language.length(wait))]);
    match outcome {
        None => Some(visitor.language.say(Text::Slow).to_owned()),
        Some(Requested::AlreadyOpen(open)) => match open.why {
            Why::SameThing | Why::JustPaid | Why::Unclear | Why::SaidPaid | Why::TooSoon => None,
            Why::SamePhone => Some(waiting(Text::PhoneBusy, open.wait)),
            Why::CountsOnWallet => Some(waiting(Text::BalanceBusy, open.wait)),
        },
        Some(Requested::JustBought { wait }) => Some(waiting(Text::JustBought, *wait)),
        Some(_) => None,
    }
}
