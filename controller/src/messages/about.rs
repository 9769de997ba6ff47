//! Writes texts in the transaction of what they tell of. One call for each kind of cause.
//!
//! A cause has a name, and (customer, occasion, cause) is unique: a payment that is taken in again, moved or told of by five
//! sources is told to its customer once. Where texts are not set up these calls read one row and do nothing. They refuse
//! nothing: an error here is the database's, and its transaction ends with it.

use std::time::Duration;

use ring::digest::{SHA256, digest};
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;

use super::occasion::{Occasion, Placeholder};
use super::state::{Course, State};
use super::store::{self, LineFacts, Person};
use super::template::{Facts, Template};
use super::{Message, Policy, addresses, segments, template};
use crate::customers::phone::Msisdn;
use crate::database::{Connection, Together};
use crate::entitlements::Status;
use crate::ids::{CustomerId, LineId, MessageId, PaymentId};
use crate::ledger::{self, LedgerError};
use crate::money::Money;
use crate::payments::renewal;
use crate::subscriptions::{self, SubscriptionError};
use crate::web::display;

/// Hex digits of the time in the id of a text: milliseconds for thousands of years.
const TIME_DIGITS: usize = 12;
/// Bytes of the hash of its cause behind them.
const HASH_BYTES: usize = 10;
/// A payment that was booked so long after it was made is no news.
const BOOKED_LATE: Duration = Duration::from_secs(86_400);
/// Which of the three is said of a payment depends on the moment; one of them is enough.
const OF_PAYMENTS: [Occasion; 3] =
    [Occasion::PaymentReceived, Occasion::PaymentInWallet, Occasion::SiteOffline];
/// How many times as many texts of a day tell of money and of lines that open as of anything else: so many payments of one
/// customer in a day are a fault somewhere.
const ANSWERS: u32 = 10;
/// A site that is away for less may be back before anybody reads of it.
const AWAY_FOR: Duration = Duration::from_secs(60);
/// The shortest period whose end is told: who bought an hour knows.
const PERIOD_LEAST_SECONDS: u64 = 86_400;

/// A payment was put where it belongs: it bought what it was for, or lies in the wallet. Of one that was booked late, out of a
/// statement or by Pull, nothing is said: whoever enters the books of a year sends no year of texts. What is to be written
/// `before` is written in the same trip.
pub(crate) async fn payment(
    connection: &mut Connection,
    before: Together,
    payment: &PaymentId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let found = store::payment(connection, before, payment, OF_PAYMENTS, display::midnight(now)).await?;
    let Some((policy, paid)) = found else { return Ok(()) };
    let is_old = paid.booked_at.since(paid.paid_at) > BOOKED_LATE;
    if is_old || paid.is_told {
        return Ok(());
    }
    let line = match &paid.line {
        Some(line) if paid.has_bought => store::line(connection, line).await?,
        _ => None,
    };
    let facts = Facts::default()
        .with(Placeholder::Amount, paid.amount.to_string())
        .with(Placeholder::Receipt, paid.receipt.clone());
    let occasion = match &line {
        None => Occasion::PaymentInWallet,
        // What is bought ahead, or on top of a period, runs as it would with the site there.
        Some(line) if line.is_site_away(now) && line.waits_since.is_some_and(|since| since <= now) => {
            Occasion::SiteOffline
        }
        Some(_) => Occasion::PaymentReceived,
    };
    let told =
        Told { customer: &paid.customer, line: line.as_ref(), occasion, cause: payment.as_str(), facts };
    queue_new(connection, &policy, told, paid.person?, now).await
}

/// A site read back that it has what a payment bought on its router. Told where that opened a line which was off:
/// nothing before it is paid for any more. Whoever pays ahead notices nothing and is not told.
pub(crate) async fn connected(
    connection: &mut Connection,
    (payment, line): (&PaymentId, &LineId),
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(policy) = store::policy(connection).await? else { return Ok(()) };
    if !store::has_opened(connection, (payment, line), now).await? {
        return Ok(());
    }
    let Some(line) = store::line(connection, line).await? else { return Ok(()) };
    if line.status != Status::Active || line.paid_until.is_none_or(|until| until <= now) {
        return Ok(());
    }
    let told = Told {
        customer: &line.customer.clone(),
        line: Some(&line),
        occasion: Occasion::Connected,
        cause: payment.as_str(),
        facts: Facts::default(),
    };
    queue(connection, &policy, told, now).await
}

/// What was paid for has ended on these lines, or will soon on those of another occasion.
pub(crate) async fn ends(
    connection: &mut Connection,
    occasion: Occasion,
    lines: &[LineId],
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(policy) = store::policy(connection).await? else { return Ok(()) };
    for line in lines {
        let Some(line) = store::line(connection, line).await? else { continue };
        let Some(until) = line.paid_until.filter(|_| line.waits_since.is_none()) else { continue };
        if line.validity_seconds < PERIOD_LEAST_SECONDS.max(shortest_period(occasion)) {
            continue;
        }
        let wallet = wallet(connection, &line.customer).await?;
        let free = free_for(connection, &line, wallet, now).await?;
        let is_covered = line.renews && free >= line.price;
        if is_covered && !crate::payments::is_money_unclear(connection, &line.customer, now).await? {
            // The wallet pays for the next period, and "pay now" would be wrong.
            continue;
        }
        let to_pay = crate::payments::wallet::lacking(line.price, free).unwrap_or(line.price);
        let facts = Facts::default()
            .with(Placeholder::ToPay, to_pay.to_string())
            .with(Placeholder::Balance, wallet.to_string());
        let cause = format!("{} {}", line.id, until.0);
        let told =
            Told { customer: &line.customer.clone(), line: Some(&line), occasion, cause: &cause, facts };
        queue(connection, &policy, told, now).await?;
    }
    Ok(())
}

/// What of a wallet is left for a line once others of the customer have gone on that end first.
async fn free_for(
    connection: &mut Connection,
    line: &LineFacts,
    wallet: Money,
    now: UnixMillis,
) -> Result<Money, sqlx::Error> {
    let lines =
        subscriptions::of_customer(connection, &line.customer).await.map_err(|error| match error {
            SubscriptionError::Database(error) => error,
            other => sqlx::Error::Decode(Box::new(other)),
        })?;
    let Some(own) = lines.iter().find(|one| one.id == line.id) else { return Ok(wallet) };
    let spoken_for = renewal::spoken_for(own, &lines, now);
    Ok(wallet.checked_sub(spoken_for).unwrap_or(Money::ZERO).max(Money::ZERO.min(wallet)))
}

impl LineFacts {
    /// Whether its site is away for a while: after a start nobody is there for a moment, and that is no news for customers.
    fn is_site_away(&self, now: UnixMillis) -> bool {
        let is_news = self.site_changed_at.is_none_or(|at| at.plus(AWAY_FOR) <= now);
        !self.is_site_online && is_news
    }
}

/// The shortest period, in seconds, that an occasion is told of: a reminder that comes with the purchase is none.
fn shortest_period(occasion: Occasion) -> u64 {
    let days = match occasion {
        Occasion::EndsInThreeDays => 7,
        Occasion::EndsInOneDay => 3,
        Occasion::EndsToday => 2,
        _ => 1,
    };
    days * 86_400
}

/// Staff hold a line.
pub(crate) async fn on_hold(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(policy) = store::policy(connection).await? else { return Ok(()) };
    let Some(line) = store::line(connection, line).await? else { return Ok(()) };
    let cause = format!("{} {}", line.id, now.0);
    let told = Told {
        customer: &line.customer.clone(),
        line: Some(&line),
        occasion: Occasion::OnHold,
        cause: &cause,
        facts: Facts::default(),
    };
    queue(connection, &policy, told, now).await
}

/// Money was sent back, as M-Pesa or the bank confirmed. `refund` names it: it is told once. Say of which receipt.
///
/// # Errors
/// When the database refuses.
pub async fn refunded(
    connection: &mut Connection,
    customer: &CustomerId,
    (refund, amount, receipt): (&str, Money, &str),
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(policy) = store::policy(connection).await? else { return Ok(()) };
    let facts =
        Facts::default().with(Placeholder::Amount, amount.to_string()).with(Placeholder::Receipt, receipt);
    let told = Told { customer, line: None, occasion: Occasion::Refunded, cause: refund, facts };
    queue(connection, &policy, told, now).await
}

/// Somebody of the staff tries whether texts arrive. `None` where texts are not set up.
pub(crate) async fn test(
    connection: &mut Connection,
    phone: &Msisdn,
    language: super::words::Language,
    cause: &str,
    now: UnixMillis,
) -> Result<Option<Message>, sqlx::Error> {
    if store::policy(connection).await?.is_none() {
        return Ok(None);
    }
    let occasion = Occasion::Test;
    let body = template(connection, occasion, language).await?.fill(&Facts::default());
    let message = Message {
        id: id_of("", occasion, cause, now)?,
        customer: None,
        subscription: None,
        phone: phone.clone(),
        language,
        segments: segments::count(&body).segments,
        body,
        course: Course::queued(occasion, now),
        not_after: now.plus(occasion.is_news_for()),
        queued_at: now,
        attempted_at: None,
        settled_at: None,
    };
    store::insert(connection, &message, (cause, None)).await?;
    Ok(Some(message))
}

/// Something to tell.
struct Told<'a> {
    customer: &'a CustomerId,
    line: Option<&'a LineFacts>,
    occasion: Occasion,
    cause: &'a str,
    /// Those that only the cause knows.
    facts: Facts,
}

async fn queue(
    connection: &mut Connection,
    policy: &Policy,
    told: Told<'_>,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    if store::is_told(connection, told.customer, told.occasion, told.cause).await? {
        return Ok(());
    }
    let Some(person) = store::person(connection, told.customer, display::midnight(now)).await? else {
        return Ok(());
    };
    queue_new(connection, policy, told, person, now).await
}

/// The same where it is known that nothing told of it.
async fn queue_new(
    connection: &mut Connection,
    policy: &Policy,
    told: Told<'_>,
    person: Person,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let occasion = told.occasion;
    let language = person.language.unwrap_or(policy.language);
    let mut template = template(connection, occasion, language).await?;
    if template.is_empty() {
        return Ok(());
    }
    let mut facts = common_facts(told.facts, &person, told.line);
    if template.names(Placeholder::PayBill) || template.names(Placeholder::PayLink) {
        let addresses = addresses::of(connection, told.line.map(|line| &line.site)).await?;
        let account = &person.account_number;
        facts = facts.with(Placeholder::PayBill, addresses.pay_to(account, language));
        match addresses.pay_link(account) {
            Some(link) => facts = facts.with(Placeholder::PayLink, link),
            // The settings lack since what it names: it would end in nothing.
            None if template.names(Placeholder::PayLink) => {
                template = Template::default_of(occasion, language);
            }
            None => {}
        }
    }
    if occasion.is_money() {
        let balance = wallet(connection, told.customer).await?;
        facts = facts.with(Placeholder::Balance, balance.to_string());
    }
    let body = template.fill(&facts);
    let starts_at = if occasion.is_answer() { now } else { policy.quiet.end_from(now) };
    let not_after = not_after(occasion, told.line, now);
    let mut course = Course::queued(occasion, starts_at);
    let late = (starts_at >= not_after).then_some("it would have been out of date before it could be sent");
    // Who pays must hear that it came, whatever else they were told that day.
    let most = if occasion.is_answer() { policy.a_day.saturating_mul(ANSWERS) } else { policy.a_day };
    let over = (person.today >= most).then_some("the customer has had as many texts today as one may have");
    if let Some(reason) = over.or(late) {
        course = Course { state: State::Dropped, next_attempt_at: None, reason: reason.to_owned(), ..course };
    }
    let message = Message {
        id: id_of(told.customer.as_str(), occasion, told.cause, now)?,
        customer: Some(told.customer.clone()),
        subscription: told.line.map(|line| line.id.clone()),
        phone: person.phone,
        language,
        segments: segments::count(&body).segments,
        body,
        settled_at: (course.state == State::Dropped).then_some(now),
        course,
        not_after,
        queued_at: now,
        attempted_at: None,
    };
    let paid_until = told.line.filter(|_| occasion.is_about_end()).and_then(|line| line.paid_until);
    store::insert(connection, &message, (told.cause, paid_until)).await
}

fn common_facts(facts: Facts, person: &Person, line: Option<&LineFacts>) -> Facts {
    let facts = facts
        .with(Placeholder::Name, person.name.clone())
        .with(Placeholder::Account, person.account_number.clone());
    let Some(line) = line else { return facts };
    let until = line.paid_until.map(display::numeric).unwrap_or_default();
    facts
        .with(Placeholder::Plan, line.plan_name.clone())
        .with(Placeholder::Site, line.site_name.clone())
        .with(Placeholder::Until, until)
}

/// Until when it is true: a reminder only before the end that it speaks of, and "today" only today.
fn not_after(occasion: Occasion, line: Option<&LineFacts>, now: UnixMillis) -> UnixMillis {
    let news = now.plus(occasion.is_news_for());
    let until = line.and_then(|line| line.paid_until);
    match (occasion, until) {
        (Occasion::EndsInThreeDays | Occasion::EndsInOneDay | Occasion::EndsToday, Some(until)) => {
            news.min(until)
        }
        (Occasion::Suspended, Some(until)) => {
            let trusted = line.and_then(|line| line.grace_until);
            trusted.unwrap_or(until).max(until).plus(occasion.is_news_for())
        }
        _ => news,
    }
}

/// The same for the same cause at the same time: no random source is at hand where texts are written.
fn id_of(customer: &str, occasion: Occasion, cause: &str, now: UnixMillis) -> Result<MessageId, sqlx::Error> {
    let name = format!("{customer} {} {cause}", occasion.as_str());
    let hash = digest(&SHA256, name.as_bytes());
    let hash = hex(hash.as_ref().get(..HASH_BYTES).unwrap_or_default());
    MessageId::parse(&format!("{}{hash}", key_of(now))).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// With what the id of a text of that time begins. Sorts as times do.
#[must_use]
pub(crate) fn key_of(at: UnixMillis) -> String {
    format!("{:0TIME_DIGITS$x}", at.0.clamp(0, 0xffff_ffff_ffff))
}

async fn wallet(connection: &mut Connection, customer: &CustomerId) -> Result<Money, sqlx::Error> {
    ledger::wallet_of(connection, customer).await.map_err(|error| match error {
        LedgerError::Database(error) => error,
        other => sqlx::Error::Decode(Box::new(other)),
    })
}
