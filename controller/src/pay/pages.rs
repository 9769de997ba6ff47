//! The page that asks for an account number, and the page of an account's line with what is offered for it.

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use tawi_shared::UnixMillis;

use super::offer::{Offer, offer};
use super::steps::{Steps, steps};
use super::visitor::{Frame, Visitor, show};
use super::words::{Language, Text};
use super::{ask, claim, code, follow, masked};
use crate::customers::account_number::{AccountNumber, NotAnAccountNumber};
use crate::customers::{self, Customer};
use crate::entitlements::Status;
use crate::money::Money;
use crate::mpesa::c2b::Heard;
use crate::mpesa::intent::Intent;
use crate::payments::follow::FollowToken;
use crate::payments::{self, Why};
use crate::subscriptions::{self, Subscription};
use crate::web::error::PageError;
use crate::web::visit::see_other;
use crate::web::{Web, display};
use crate::{ledger, sites};

/// The largest form: a phone number, a token and a name for each.
const BODY_BYTES: usize = 4 * 1024;
/// The longest account number that is given back for correction.
const TYPED_CHARACTERS: usize = 40;
/// Requests of a customer that are looked at: more are not open within two minutes.
const INTENTS_MOST: u32 = 16;
/// After so many seconds a page that waits looks again: what it waits for may have come.
const AGAIN_SECONDS: u64 = 60;

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/pay", get(which))
        .route("/pay/{account}", get(line).post(ask::ask))
        .route("/pay/{account}/receipt", get(claim::look).post(claim::send))
        .route("/pay/{account}/code", get(code::page))
        .route("/pay/{account}/code.png", get(code::image))
        .route("/pay/{account}/{token}", get(follow::follow))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

#[derive(Template)]
#[template(path = "pay/account.html")]
struct AccountPage {
    frame: Frame,
    typed: String,
    complaint: &'static str,
}

/// One line, as anybody may see it who knows the account number.
struct LineView {
    number: usize,
    url: String,
    plan: String,
    price: String,
    period: String,
    standing: String,
}

#[derive(Template)]
#[template(path = "pay/choose.html")]
struct ChoosePage {
    frame: Frame,
    account: String,
    name: String,
    lines: Vec<LineView>,
}

#[derive(Template)]
#[template(path = "pay/line.html")]
struct LinePage {
    frame: Frame,
    account: String,
    name: String,
    line: LineView,
    has_several_lines: bool,
    lines_url: String,
    other_account_url: String,
    claim_url: String,
    /// Why there is nothing to press, or what went wrong with the last press; empty for nothing.
    notice: String,
    problem: String,
    form: Option<FormView>,
    steps: Option<Steps>,
    /// Where a code to scan is; empty where nobody would hear of what is paid with it.
    code_url: String,
}

/// What is to be pressed.
struct FormView {
    action: String,
    token: String,
    /// `None` where the wallet pays.
    asks: Option<AsksView>,
}

struct AsksView {
    amount: String,
    is_less: bool,
    phone: String,
    complaint: &'static str,
}

/// What a visitor typed, and what is said of it.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) phone: String,
    pub(super) complaint: Option<Text>,
    pub(super) problem: String,
}

/// What is known of an account.
pub(super) struct Account {
    pub(super) customer: Customer,
    /// In the order in which they were entered, which numbers them.
    pub(super) lines: Vec<Subscription>,
    pub(super) in_wallet: Money,
    intents: Vec<Intent>,
    pub(super) heard: Heard,
}

/// What came of looking for an account.
pub(super) enum Found {
    Account(Box<Account>),
    /// It is not there, or must not be looked for now.
    Answer(Response),
}

async fn which(visitor: Visitor) -> Result<Response, PageError> {
    let typed = visitor.asked("account");
    if typed.is_empty() {
        return ask_for_account(&visitor, StatusCode::OK, "", "");
    }
    match AccountNumber::parse(typed) {
        Ok(number) => Ok(see_other(&visitor.url(&format!("/pay/{number}"), None))),
        Err(why) => wrong_account(&visitor, typed, &why),
    }
}

fn ask_for_account(
    visitor: &Visitor,
    status: StatusCode,
    typed: &str,
    complaint: &'static str,
) -> Result<Response, PageError> {
    let typed = typed.chars().take(TYPED_CHARACTERS).collect();
    show(status, &AccountPage { frame: visitor.frame("/pay", None), typed, complaint })
}

fn wrong_account(visitor: &Visitor, typed: &str, why: &NotAnAccountNumber) -> Result<Response, PageError> {
    let complaint = match why {
        NotAnAccountNumber::Form => Text::NotEightDigits,
        NotAnAccountNumber::CheckDigit => Text::CheckDigit,
    };
    ask_for_account(visitor, StatusCode::NOT_FOUND, typed, visitor.language.say(complaint))
}

/// Looks an account up, as often as a stranger may.
pub(super) async fn find(web: &Web, visitor: &Visitor, typed: &str) -> Result<Found, PageError> {
    let number = match AccountNumber::parse(typed) {
        Ok(number) => number,
        Err(why) => return wrong_account(visitor, typed, &why).map(Found::Answer),
    };
    let (address, now) = (visitor.address, visitor.now);
    if let Err(wait) = web.pay.with_throttle(|throttle| throttle.look(address, now)) {
        return visitor.too_many(wait, "/pay", None).map(Found::Answer);
    }
    let mut reader = web.controller.database.read().await?;
    let Some(customer) = customers::by_account_number(&mut reader, &number).await? else {
        web.pay.with_throttle(|throttle| throttle.missed(address, now));
        let complaint = visitor.language.say(Text::UnknownAccount);
        return ask_for_account(visitor, StatusCode::NOT_FOUND, typed, complaint).map(Found::Answer);
    };
    let mut lines = subscriptions::of_customer(&mut reader, &customer.id).await?;
    lines.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    let in_wallet = ledger::wallet_of(&mut reader, &customer.id).await?;
    let intents = payments::latest_intents_of(&mut reader, &customer.id, INTENTS_MOST).await?;
    let heard = web.heard(&mut reader).await?;
    Ok(Found::Account(Box::new(Account { customer, lines, in_wallet, intents, heard })))
}

async fn line(
    visitor: Visitor,
    State(web): State<Web>,
    Path(typed): Path<String>,
) -> Result<Response, PageError> {
    let account = match find(&web, &visitor, &typed).await? {
        Found::Account(account) => account,
        Found::Answer(response) => return Ok(response),
    };
    if typed != account.customer.account_number.as_str() {
        return Ok(see_other(&visitor.url(&account.path(), None)));
    }
    account.choose_or_show(&web, &visitor, StatusCode::OK).await
}

impl Account {
    /// The path of its page.
    pub(super) fn path(&self) -> String {
        format!("/pay/{}", self.customer.account_number)
    }

    /// The line that the visitor chose, and its number: the only one, where there is only one.
    pub(super) fn chosen(&self, visitor: &Visitor) -> Option<(usize, &Subscription)> {
        let number = if self.lines.len() == 1 { 1 } else { visitor.asked("line").parse().ok()? };
        Some((number, self.numbered(number)?))
    }

    fn numbered(&self, number: usize) -> Option<&Subscription> {
        self.lines.get(number.checked_sub(1)?)
    }

    /// What is offered for a line.
    pub(super) async fn offer(
        &self,
        web: &Web,
        line: &Subscription,
        now: UnixMillis,
    ) -> Result<Offer, PageError> {
        let site = sites::get(&mut *web.controller.database.read().await?, &line.site).await?;
        let is_revoked = site.is_some_and(|site| site.revoked_at.is_some());
        let spoken_for = payments::renewal::spoken_for(line, &self.lines, now);
        Ok(offer(line, (self.in_wallet, spoken_for), is_revoked, now))
    }

    /// Why and how long a request for a period of a line stands in the way of another.
    pub(super) fn wait(&self, line: &Subscription, now: UnixMillis) -> Option<(Why, std::time::Duration)> {
        // What is over by now, or was given back, may well be paid anew.
        let is_paid = line.paid_until.is_some_and(|until| until > now);
        payments::wait_of(&self.intents, &line.id, now).filter(|(why, _)| *why != Why::JustPaid || is_paid)
    }

    /// How to pay without a request to a phone; `None` where nobody would hear of it.
    pub(super) fn steps(
        &self,
        web: &Web,
        language: Language,
        (line, amount): (&Subscription, Money),
    ) -> Option<Steps> {
        let settings = web.short_codes.as_ref()?.of_site(&line.site).settings();
        let number = &self.customer.account_number;
        self.heard
            .has(settings.short_code())
            .then(|| steps(language, settings.payee(), number, amount, self.lines.len() > 1))
    }

    /// The page of the line that was chosen, or all lines to choose from.
    pub(super) async fn choose_or_show(
        &self,
        web: &Web,
        visitor: &Visitor,
        status: StatusCode,
    ) -> Result<Response, PageError> {
        match self.chosen(visitor) {
            Some((number, _)) => self.show(web, visitor, number, status, Typed::default()).await,
            None => self.choose(visitor),
        }
    }

    /// Its lines, to choose from.
    pub(super) fn choose(&self, visitor: &Visitor) -> Result<Response, PageError> {
        if self.lines.is_empty() {
            let message = visitor.language.say(Text::NoLines).to_owned();
            return visitor.message(StatusCode::OK, (Text::Title, message), "/pay");
        }
        let lines = self.lines.iter().zip(1..).map(|(line, number)| self.view(visitor, line, number));
        show(
            StatusCode::OK,
            &ChoosePage {
                frame: visitor.frame(&self.path(), None),
                account: self.customer.account_number.to_string(),
                name: masked::name(&self.customer.name),
                lines: lines.collect(),
            },
        )
    }

    fn view(&self, visitor: &Visitor, line: &Subscription, number: usize) -> LineView {
        let language = visitor.language;
        let trusted = line.trusted_until(visitor.now);
        let standing = match line.paid_until {
            Some(_) if line.is_waiting(visitor.now) && line.status == Status::Active => {
                language.say(Text::WaitsForSite).to_owned()
            }
            Some(until) if line.status == Status::Active && until > visitor.now => {
                let (left, until) = (language.length(until.since(visitor.now)), display::numeric(until));
                language.fill(Text::PaidUntil, &[("until", &until), ("left", &left)])
            }
            _ if trusted.is_some() => {
                let until = trusted.map(display::numeric).unwrap_or_default();
                language.fill(Text::OpenOnTrust, &[("trusted", &until)])
            }
            Some(until) if until <= visitor.now => {
                language.fill(Text::EndedOn, &[("until", &display::numeric(until))])
            }
            Some(_) => String::new(),
            None => language.say(Text::NeverPaid).to_owned(),
        };
        LineView {
            number,
            url: visitor.url(&self.path(), Some(number)),
            plan: line.plan_name.clone(),
            price: display::kes(line.price),
            period: language.period(line.validity_seconds),
            standing,
        }
    }

    /// The page of one line.
    pub(super) async fn show(
        &self,
        web: &Web,
        visitor: &Visitor,
        number: usize,
        status: StatusCode,
        typed: Typed,
    ) -> Result<Response, PageError> {
        let Some(line) = self.numbered(number) else { return self.choose(visitor) };
        let language = visitor.language;
        let offer = self.offer(web, line, visitor.now).await?;
        let wait = self.wait(line, visitor.now);
        let mut frame = visitor.frame(&self.path(), Some(number));
        let notice = match (offer, wait) {
            (Offer::OnHold, _) => language.say(Text::OnHold).to_owned(),
            (Offer::NotHere, _) => language.say(Text::NotHere).to_owned(),
            (Offer::Covered, _) => language.say(Text::Covered).to_owned(),
            (Offer::InBalance, _) => language.say(Text::NextInBalance).to_owned(),
            (Offer::Ask(_) | Offer::FromBalance, Some((why, wait))) => {
                // Nothing can be typed meanwhile, so that reading it again loses nothing.
                // A receipt that is awaited for hours may come at any time.
                let looks = wait.as_secs().saturating_add(1);
                let looks = if why == Why::SaidPaid { looks.min(AGAIN_SECONDS) } else { looks };
                frame.refresh = u32::try_from(looks).ok();
                let text = match why {
                    Why::JustPaid => Text::JustPaid,
                    Why::Unclear => Text::Unclear,
                    Why::SaidPaid => Text::SaidPaid,
                    Why::TooSoon => Text::TooSoon,
                    Why::SameThing | Why::SamePhone | Why::CountsOnWallet => Text::Locked,
                };
                language.fill(text, &[("wait", &language.length(wait))])
            }
            (Offer::Ask(_) | Offer::FromBalance, None) if web.short_codes.is_none() => {
                language.say(Text::NotSetUp).to_owned()
            }
            (Offer::Ask(_) | Offer::FromBalance, None) => String::new(),
        };
        let form = notice
            .is_empty()
            .then(|| self.form(web, visitor, (number, line, offer), typed.phone, typed.complaint));
        // While a request is open, nobody is shown another way to pay: that would be paying twice.
        let steps = match (offer, wait) {
            (Offer::Ask(amount), None) => self.steps(web, language, (line, amount)),
            _ => None,
        };
        let code_url =
            steps.as_ref().map(|_| visitor.url(&format!("{}/{}", self.path(), code::PATH), Some(number)));
        show(
            status,
            &LinePage {
                frame,
                account: self.customer.account_number.to_string(),
                name: masked::name(&self.customer.name),
                line: self.view(visitor, line, number),
                has_several_lines: self.lines.len() > 1,
                lines_url: visitor.url(&self.path(), None),
                other_account_url: visitor.url("/pay", None),
                claim_url: visitor.url(&format!("{}/{}", self.path(), claim::PATH), Some(number)),
                notice,
                problem: typed.problem,
                form,
                steps,
                code_url: code_url.unwrap_or_default(),
            },
        )
    }

    fn form(
        &self,
        web: &Web,
        visitor: &Visitor,
        (number, line, offer): (usize, &Subscription, Offer),
        phone: String,
        complaint: Option<Text>,
    ) -> FormView {
        let token = FollowToken::random(&web.controller.ids);
        let asks = match offer {
            Offer::Ask(amount) => Some(AsksView {
                amount: display::kes(amount),
                is_less: amount < line.price,
                phone,
                complaint: complaint.map_or("", |text| visitor.language.say(text)),
            }),
            _ => None,
        };
        FormView {
            action: visitor.url(&self.path(), Some(number)),
            token: web.pay.key.seal(&token, (&line.id, visitor.network()), visitor.now),
            asks,
        }
    }
}
