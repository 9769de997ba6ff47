//! The page that follows one request, for whoever made it: its address is a secret that nobody else was told.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::offer::Offer;
use super::pages::{Account, Found, find};
use super::steps::Steps;
use super::story::{self, Arrival, Story};
use super::visitor::{Frame, Visitor, show};
use super::words::Text;
use crate::database::Connection;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::{Intent, State as IntentState};
use crate::payments::follow::{FollowToken, Followed, followed};
use crate::payments::progress::progress;
use crate::payments::{self};
use crate::sites;
use crate::subscriptions::{self, Subscription};
use crate::web::error::PageError;
use crate::web::{Web, display};

#[derive(Template)]
#[template(path = "pay/follow.html")]
pub(super) struct FollowPage {
    pub(super) frame: Frame,
    pub(super) account: String,
    pub(super) plan: String,
    pub(super) tone: &'static str,
    pub(super) heading: &'static str,
    pub(super) sentences: Vec<String>,
    /// Where paying again is offered; empty where it is not.
    pub(super) again_url: String,
    /// Where the page is read again by hand, once it does not by itself; empty where nothing will change.
    pub(super) look_url: String,
    pub(super) steps: Option<Steps>,
    pub(super) are_steps_first: bool,
}

pub(super) async fn follow(
    visitor: Visitor,
    State(web): State<Web>,
    Path((typed, token)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let account = match find(&web, &visitor, &typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(response),
    };
    let found = match FollowToken::parse(&token) {
        Some(token) => followed(&mut *web.controller.database.read().await?, &token).await?,
        None => None,
    };
    let whose = found.and_then(|found| {
        let (line, number) = account.lines.iter().zip(1..).find(|(line, _)| line.id == found.line)?;
        Some((found, line, number))
    });
    let Some((found, line, number)) = whose else {
        // Who tries tokens is counted with who tries account numbers.
        web.pay.with_throttle(|throttle| throttle.missed(visitor.address, visitor.now));
        return account.choose_or_show(&web, &visitor, StatusCode::NOT_FOUND).await;
    };
    let (intent, story) = read(&web, &found, line).await?;
    // What was paid between the two looks is in the line by now: a page that says paid says until when.
    let line = subscriptions::get(&mut *web.controller.database.read().await?, &line.id).await?;
    let line = line.as_ref().ok_or(PageError::NotFound)?;
    let page =
        page(&web, &visitor, (&account, line, number), (&found, intent.as_ref(), story), &token).await?;
    show(StatusCode::OK, &page)
}

/// The request, and what is to be said of it.
async fn read(
    web: &Web,
    found: &Followed,
    line: &Subscription,
) -> Result<(Option<Intent>, Story), PageError> {
    let mut reader = web.controller.database.read().await?;
    let Some(id) = &found.intent else {
        let site = sites::get(&mut reader, &line.site).await?;
        return Ok((None, story::of_balance(site.is_some_and(|site| site.presence.is_online))));
    };
    let intent = payments::intent(&mut reader, id).await?.ok_or(PageError::NotFound)?;
    let arrival = match &intent.state {
        IntentState::Paid(receipt) => arrival(&mut reader, receipt).await?,
        _ => Arrival::Received,
    };
    let story = story::of_request(&intent.state, &arrival);
    Ok((Some(intent), story))
}

pub(super) async fn arrival(reader: &mut Connection, receipt: &ReceiptNumber) -> Result<Arrival, PageError> {
    let Some(row) = payments::payment_of_receipt(reader, receipt).await? else {
        return Ok(Arrival::Received);
    };
    let Some(trace) = &row.trace else {
        let is_spent = row.payment.is_spent();
        return Ok(if is_spent { Arrival::Received } else { Arrival::Unspent(row.payment.unspent) });
    };
    let site = sites::get(reader, &trace.site).await?;
    Ok(Arrival::Bought(progress(Some(trace), site.as_ref())))
}

async fn page(
    web: &Web,
    visitor: &Visitor,
    (account, line, number): (&Account, &Subscription, usize),
    (found, intent, story): (&Followed, Option<&Intent>, Story),
    token: &str,
) -> Result<FollowPage, PageError> {
    let language = visitor.language;
    let path = format!("{}/{token}", account.path());
    let mut frame = visitor.frame(&path, None);
    if story.is_open {
        frame.refresh = story::looks_again_after(visitor.now.since(found.at));
    }
    let amount = intent.map(|intent| display::kes(intent.amount)).unwrap_or_default();
    let phone = intent.map(|intent| intent.phone.to_string()).unwrap_or_default();
    let receipt = intent.and_then(|intent| intent.receipt()).unwrap_or_default();
    let until = line.paid_until.map(display::numeric).unwrap_or_default();
    let trusted = line.trusted_until(visitor.now).map(display::numeric).unwrap_or_default();
    let values = [
        ("amount", amount.as_str()),
        ("phone", &phone),
        ("receipt", receipt),
        ("until", &until),
        ("trusted", &trusted),
    ];
    let is_said = |text: &&Text| match text {
        Text::RunsUntil => !until.is_empty() && !line.is_waiting(visitor.now),
        Text::TimeStartsThen => line.is_waiting(visitor.now),
        Text::OpenOnTrust => !trusted.is_empty(),
        _ => true,
    };
    let sentences = story.sentences.iter().filter(is_said).map(|text| language.fill(*text, &values));
    let steps = match account.offer(web, line, visitor.now).await? {
        Offer::Ask(amount) if story.may_try_again => account.steps(web, language, (line, amount)),
        _ => None,
    };
    Ok(FollowPage {
        account: account.customer.account_number.to_string(),
        plan: line.plan_name.clone(),
        tone: story.tone,
        heading: language.say(story.heading),
        sentences: sentences.collect(),
        again_url: if story.may_try_again {
            visitor.url(&account.path(), Some(number))
        } else {
            String::new()
        },
        look_url: if story.is_open && frame.refresh.is_none() {
            visitor.url(&path, None)
        } else {
            String::new()
        },
        steps,
        are_steps_first: story.are_steps_first,
        frame,
    })
}
