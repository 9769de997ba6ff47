//! What Safaricom does only for an API operator of the short code, who shows an encrypted password: looking things up, and
//! giving money back.
//!
//! ```text
//!   request stored ──▶ Daraja acknowledges ┄┄▶ result, or "timed out in the queue", on a path of its own ──▶ stored,
//!                                              answered, taken in
//! ```
//! What can become of a request is `request`, what is sent is `body`, what a result says is `result` and `told`: all pure.
//! Who asks is `settings`, the encrypted password `credential`. Nothing here books money: refunds do
//! (`payments::refunds`). A request whose end is not known is never called failed.

pub mod advice;
mod body;
pub(in crate::mpesa) mod credential;
pub(in crate::mpesa) mod payout;
mod request;
mod result;
pub(in crate::mpesa) mod settings;
pub(in crate::mpesa) mod store;
mod told;

use std::time::Duration;

use tawi_shared::{IdSource, UnixMillis};
use thiserror::Error;
use tokio::time::Instant;

pub(crate) use self::body::Refunding;
use self::request::Event;
use super::answer::{self, Acknowledgement};
use super::client::{Daraja, Exchange};
use super::evidence::Reason;
use super::incoming::PaidAt;
use super::intent::CallbackToken;
use super::short_codes::ShortCodes;
use super::store::{CallbackKind, StoredCallback};
use crate::closing;
use crate::database::Connection;
use crate::ids::OperatorRequestId;
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::credit::{CallbackOutcome, TakenIn};
use crate::payments::refunds;
use crate::state::Controller;
pub use credential::NotEncrypted;
pub use payout::PayoutSettings;
pub use request::{OperatorRequest, Question, State};
pub use settings::OperatorSettings;
pub(crate) use store::forget;
pub use told::{Account, Balance, Transaction};

/// How long questions and their answers are kept: as long as what else is asked and told. Results name people.
pub(crate) const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// The pause between two looks for a result: a result takes seconds, and a look is one read by key.
const LOOK: Duration = Duration::from_millis(100);

/// Why nothing was asked.
#[derive(Debug, Error)]
pub enum NotAsked {
    /// There is nobody to ask.
    #[error(
        "no API operator is set up: write initiator_name, initiator_password_file and certificate_file under [mpesa]"
    )]
    NoOperator,
    /// Money that came to one short code does not go out of another.
    #[error(
        "the payment came to {came_to}, and the short code of [mpesa] is {now} now: give it back in Safaricom's portal of \
         {came_to}, or write [[mpesa]] for that short code again"
    )]
    AnotherShortCode {
        /// Where it came to.
        came_to: String,
        /// What is set up.
        now: String,
    },
    /// The password could not be encrypted.
    #[error(transparent)]
    NotEncrypted(#[from] NotEncrypted),
    /// The database refused.
    #[error("asking M-Pesa: {0}")]
    Database(#[from] sqlx::Error),
}

/// Asks, and gives back how that stands: the result comes later, to the controller that serves. The request is stored
/// before it is sent.
///
/// # Errors
/// [`NotAsked`].
pub async fn ask(
    controller: &Controller,
    daraja: &Daraja,
    question: Question,
    requested_by: &str,
) -> Result<OperatorRequest, NotAsked> {
    let of = daraja.settings().short_code();
    let (request, credential) = draw(controller, daraja, (question, of), requested_by)?;
    let (path, body) = body::of(daraja.settings(), &request, credential);
    let mut transaction = controller.database.write().await?;
    store::insert(&mut transaction, &request).await?;
    transaction.commit().await?;
    let event = match send(daraja, path, &body).await {
        Sent::Accepted { originator, conversation } => Event::Accepted { originator, conversation },
        Sent::Refused(reason) | Sent::Unreached(reason) => Event::Refused(reason),
        // Nothing but a payment to a phone has a name.
        Sent::TakenBefore(_) | Sent::Lost => Event::ReplyLost,
    };
    let mut transaction = controller.database.write().await?;
    let after = note(&mut transaction, request, event, controller.clock.now()).await?;
    transaction.commit().await?;
    Ok(after)
}

/// How sending ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Daraja acknowledged it.
    Accepted { originator: Option<String>, conversation: Option<String> },
    /// Daraja did not take it.
    Refused(Reason),
    /// Daraja was not reached, or had too much to do: another time it may take it.
    Unreached(Reason),
    /// Daraja took the same by the same name before: there is no result of this one.
    TakenBefore(Reason),
    /// It was sent, and the answer was lost.
    Lost,
}

/// A request as it is before it is stored, and the encrypted password to go with it.
fn draw(
    controller: &Controller,
    daraja: &Daraja,
    (question, short_code): (Question, &str),
    requested_by: &str,
) -> Result<(OperatorRequest, String), NotAsked> {
    let (short_code, operator) = daraja.settings().asks_as(short_code);
    let operator = operator.ok_or(NotAsked::NoOperator)?;
    let now = controller.clock.now();
    let request = OperatorRequest {
        id: OperatorRequestId::random(&controller.ids),
        question,
        short_code: short_code.to_owned(),
        operator: operator.name().to_owned(),
        callback_token: CallbackToken::random(&controller.ids),
        state: State::Asking,
        originator_conversation_id: None,
        conversation_id: None,
        parameters: result::Parameters::default(),
        requested_by: requested_by.to_owned(),
        created_at: now,
        updated_at: now,
    };
    let credential = operator.key().encrypt(operator.password().reveal().as_bytes())?;
    Ok((request, credential))
}

async fn send(daraja: &Daraja, path: &str, body: &serde_json::Value) -> Sent {
    match daraja.call(path, body).await {
        Exchange::Answered(body) => match answer::of_acknowledgement(&body) {
            Acknowledgement::Accepted { originator, conversation } => {
                Sent::Accepted { originator, conversation }
            }
            Acknowledgement::Refused(reason) => Sent::Refused(reason),
            Acknowledgement::NotNow(reason) => Sent::Unreached(reason),
            Acknowledgement::TakenBefore(reason) => Sent::TakenBefore(reason),
            Acknowledgement::Unknown => Sent::Lost,
        },
        Exchange::NotSent(reason) => Sent::Unreached(reason),
        Exchange::Lost => Sent::Lost,
    }
}

/// Notes how sending ended. Its result may have come already, and then stays.
async fn note(
    connection: &mut Connection,
    request: OperatorRequest,
    event: Event,
    now: UnixMillis,
) -> Result<OperatorRequest, sqlx::Error> {
    let stored = store::by_id(connection, &request.id).await?.unwrap_or(request);
    let after = stored.clone().apply(event, now).unwrap_or(stored);
    store::update(connection, &after).await?;
    Ok(after)
}

/// Something that a refund asks, stored and not sent: with what `refunds` notes of it in the same transaction.
#[derive(Debug)]
pub(crate) struct Drawn {
    daraja: Daraja,
    request: OperatorRequest,
    path: &'static str,
    body: serde_json::Value,
}

/// Stores what a refund asks of the short code out of which it goes, in the caller's transaction. It is sent after the
/// commit, with [`send_drawn`].
///
/// # Errors
/// [`NotAsked`].
pub(crate) async fn draw_refund(
    connection: &mut Connection,
    (controller, short_codes): (&Controller, &ShortCodes),
    question: Question,
    (short_code, asked): (&str, Refunding<'_>),
    requested_by: &str,
) -> Result<Drawn, NotAsked> {
    let Some(daraja) = short_codes.that_asks_as(short_code) else {
        let now: Vec<&str> = short_codes.all().map(|daraja| daraja.settings().short_code()).collect();
        return Err(NotAsked::AnotherShortCode { came_to: short_code.to_owned(), now: now.join(", ") });
    };
    let (request, credential) = draw(controller, daraja, (question, short_code), requested_by)?;
    let (path, body) = body::refund(daraja.settings(), &request, &credential, asked);
    store::insert(connection, &request).await?;
    Ok(Drawn { daraja: daraja.clone(), request, path, body })
}

/// Sends it, once.
pub(crate) async fn send_drawn(drawn: &Drawn) -> Sent {
    send(&drawn.daraja, drawn.path, &drawn.body).await
}

/// Notes how that ended, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn note_sent(
    connection: &mut Connection,
    drawn: Drawn,
    sent: &Sent,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let event = match sent {
        Sent::Accepted { originator, conversation } => {
            Event::Accepted { originator: originator.clone(), conversation: conversation.clone() }
        }
        Sent::Refused(reason) | Sent::Unreached(reason) => Event::Refused(reason.clone()),
        Sent::TakenBefore(reason) if matches!(drawn.request.question, Question::Payout(_)) => {
            Event::Refused(reason.clone())
        }
        Sent::TakenBefore(_) | Sent::Lost => Event::ReplyLost,
    };
    note(connection, drawn.request, event, now).await?;
    Ok(())
}

/// What lay at M-Pesa when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// When M-Pesa counted, by its own clock where that is understood.
    pub at: UnixMillis,
    /// How much; `None` where a figure is not understood.
    pub held: Option<Money>,
}

/// The balances of a short code that were asked for before an instant, the newest first.
///
/// # Errors
/// When the database refuses.
pub async fn balances_until(
    connection: &mut Connection,
    short_code: &str,
    end: UnixMillis,
    limit: u32,
) -> Result<Vec<Told>, sqlx::Error> {
    let asked = store::balances_before(connection, short_code, end, limit).await?;
    let told = |request: &OperatorRequest| {
        let balance = request.balance()?;
        let counted = balance.counted_at.as_deref().and_then(PaidAt::read);
        let accounts = balance
            .accounts
            .iter()
            .map(|account| (account.name.as_str(), account.currency.as_str(), account.current));
        Some(Told {
            at: counted.map_or(request.updated_at, |at| at.probably),
            held: closing::balance::together(accounts),
        })
    };
    Ok(asked.iter().filter_map(told).collect())
}

/// Waits for the end of a request, at most so long, and gives back how it stands then.
///
/// # Errors
/// When the database refuses.
pub async fn wait(
    controller: &Controller,
    request: OperatorRequest,
    patience: Duration,
) -> Result<OperatorRequest, sqlx::Error> {
    let now = Instant::now();
    let ends = now.checked_add(patience).unwrap_or(now);
    let mut request = request;
    while !request.state.is_final() && Instant::now() < ends {
        tokio::time::sleep(LOOK).await;
        let mut connection = controller.database.read().await?;
        if let Some(stored) = store::by_id(&mut connection, &request.id).await? {
            request = stored;
        }
    }
    Ok(request)
}

/// Takes one stored result in, or the word that there is none.
///
/// # Errors
/// [`PaymentError`]; the transaction, or its savepoint, must then be rolled back.
pub(super) async fn take_in(
    connection: &mut Connection,
    callback: &StoredCallback,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let Some(request) = store::by_token(connection, &callback.token).await? else {
        return Ok(TakenIn::quietly(CallbackOutcome::NoSuchRequest));
    };
    let event = if callback.kind == CallbackKind::OperatorTimeOut {
        // That it came says it all; nobody has published what stands in it.
        Event::QueueTimedOut
    } else {
        match result::parse(&callback.body) {
            Ok(told) => Event::Result(told),
            Err(why) => return Ok(TakenIn::quietly(CallbackOutcome::NotUnderstood(why))),
        }
    };
    if let Event::Result(told) = &event
        && let Some(other) = request.contradicted_by(told, now)
        && other.question.refund().is_some()
    {
        let taken_in = refunds::take_in_another(connection, &other, ids, now).await?;
        if !matches!(taken_in.outcome, CallbackOutcome::Repeated | CallbackOutcome::RefundContradicted) {
            store::update(connection, &other).await?;
        }
        return Ok(taken_in);
    }
    let outcome = match request.apply(event, now) {
        Ok(after) => {
            store::update(connection, &after).await?;
            if after.question.refund().is_some() {
                return refunds::take_in(connection, &after, ids, now).await;
            }
            CallbackOutcome::Noted(after.state.as_str())
        }
        Err(request::Refused::AlreadyAnswered) => CallbackOutcome::Repeated,
        Err(request::Refused::AnotherConversation) => CallbackOutcome::ConversationOfAnother,
        Err(request::Refused::NotNow) => CallbackOutcome::Noted("nothing"),
    };
    Ok(TakenIn::quietly(outcome))
}
