//! What an API operator asks: the balance of a short code, what became of a receipt, a reversal of it, a payment to a phone.
//!
//! The answer is an acknowledgement; the result follows on the `ResultURL`, or word on the `QueueTimeOutURL` that it got
//! to none. `validation` decides what is taken, `account` whether the operator is who it says, `results` words results.
//! This file is the HTTP in front of them, and owns no rule.

pub(crate) mod account;
pub(crate) mod results;
pub(crate) mod validation;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::callbacks::{Letter, Manner, Subject};
use crate::clock::UnixMillis;
use crate::connection::Cut;
use crate::faults::ResultFaults;
use crate::gateway::{Gateway, State as Everything};
use crate::identifiers::{AmountKes, Msisdn, ShortCode};
use crate::oauth::{self, Family};
use crate::operator::results::{Ended, Ids};
use crate::operator::validation::{Asked, Question};
use crate::payments::Why;
use crate::payouts::Payout;
use crate::refusals::{self, Refusal};

/// The description in an acknowledgement, as published.
const ACCEPTED: &str = "Accept the service request successfully.";

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Acknowledgement {
    #[serde(rename = "OriginatorConversationID")]
    originator_conversation_id: String,
    #[serde(rename = "ConversationID")]
    conversation_id: String,
    response_code: &'static str,
    response_description: &'static str,
}

/// A request that was taken: what is answered now, and what is sent later.
struct Taken {
    acknowledgement: Acknowledgement,
    letter: Letter,
    faults: ResultFaults,
    reply_is_lost: bool,
    times_out: bool,
}

/// Answers `/mpesa/accountbalance/v1/query`.
pub(crate) async fn balance(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(gateway, cut, &headers, body, validation::balance).await
}

/// Answers `/mpesa/transactionstatus/v1/query`.
pub(crate) async fn status(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(gateway, cut, &headers, body, validation::status).await
}

/// Answers `/mpesa/reversal/v1/request`.
pub(crate) async fn reversal(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(gateway, cut, &headers, body, validation::reversal).await
}

/// Answers `/mpesa/b2c/v3/paymentrequest`.
pub(crate) async fn payout(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(gateway, cut, &headers, body, validation::payout).await
}

type Reading = fn(&[u8]) -> Result<Asked, Refusal>;

async fn answer(
    gateway: Arc<Gateway>,
    cut: Cut,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    reading: Reading,
) -> Response {
    let taken = match read(&gateway, headers, body, reading) {
        Ok(asked) => take(&gateway, &asked),
        Err(refusal) => return gateway.refuse(&refusal),
    };
    let (delivered, when_delivered) = oneshot::channel();
    let (letter, faults) = (taken.letter, taken.faults.clone());
    let postman = Arc::clone(&gateway);
    // An errand of its own: the result is sent even if the client hangs up meanwhile.
    let started = gateway.errand(async move {
        let manner = Manner {
            copies: faults.copies,
            delay_ms: faults.delay_ms,
            lost: faults.lost,
            together: faults.together,
        };
        postman.deliver(&letter, &Subject::Result, manner).await;
        // Nobody waits for it unless the result comes first.
        let _ = delivered.send(());
    });
    if taken.faults.before_reply && started {
        let _ = tokio::time::timeout(Duration::from_secs(30), when_delivered).await;
    }
    if taken.reply_is_lost {
        cut.cut();
    }
    if taken.times_out {
        return refusals::gateway_timeout();
    }
    Json(taken.acknowledgement).into_response()
}

fn read(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    reading: Reading,
) -> Result<Asked, Refusal> {
    oauth::check_bearer(gateway, headers, Family::C2b)?;
    let asked = reading(&body.map_err(|_too_large| Refusal::payload())?)?;
    if !gateway.settings.short_codes.contains(&asked.party) {
        return Err(Refusal::stk_field("PartyA"));
    }
    if !gateway.has_room_for_errands() {
        return Err(Refusal::busy());
    }
    if let Question::Payout(name, ..) = &asked.question
        && gateway.read(|state| state.payouts.is_known(name))
    {
        return Err(Refusal::duplicate_originator());
    }
    Ok(asked)
}

/// Decides how it ends and writes the letter; who asks is checked now, and told later, as Daraja does.
fn take(gateway: &Gateway, asked: &Asked) -> Taken {
    let now = gateway.clock.now();
    let name = &gateway.settings.operator_name;
    gateway.change(|state| {
        state.counts.operator_requests += 1;
        let faults = state.faults.results.clone();
        let mut ids = Ids::new(&mut state.seeds, now);
        if let Question::Payout(name, ..) = &asked.question {
            // The one name that is the merchant's own comes back as it was given.
            ids.originator.clone_from(name);
        }
        let proof = state.operator.prove(&gateway.settings, name, asked);
        let ended = match (&faults.code, proof) {
            (Some(code), _) => Ended::With(code.clone(), "As it was told to end.".to_owned()),
            (None, Err((code, text))) => Ended::With(code.to_owned(), text.to_owned()),
            (None, Ok(())) => match &asked.question {
                Question::Balance => Ended::Balance(state.payments.balance_cents_of(&asked.party)),
                Question::Status(receipt) => match state.payments.get(receipt) {
                    Some(payment) => Ended::Status(Box::new(payment.clone())),
                    // Which code Daraja has for a receipt that nobody knows is not published for this call; this is the
                    // one of a reversal.
                    None => unknown(),
                },
                Question::StatusOf(name) => match state.payouts.get(name) {
                    Some(payout) => Ended::PayoutStatus(Box::new(payout.clone())),
                    None => unknown(),
                },
                Question::Reversal(..) | Question::Payout(..) if faults.undone => unknown(),
                Question::Reversal(receipt, amount) => {
                    reverse(state, &asked.party, (receipt, *amount), &ids, now)
                }
                Question::Payout(name, phone, amount) => {
                    pay_out(state, &asked.party, (name, phone, *amount), &mut ids, now)
                }
            },
        };
        let (url, body) = if faults.queue_time_out {
            (&asked.queue_time_out_url, results::queue_time_out(&ids))
        } else {
            (&asked.result_url, results::result(&ids, &ended, faults.as_text, now))
        };
        let letter = Letter { url: url.clone(), body: Bytes::from(body), short_code: asked.party.clone() };
        if matches!(asked.question, Question::Reversal(..) | Question::Payout(..)) {
            state.last_money_result = Some(letter.clone());
        }
        Taken {
            acknowledgement: Acknowledgement {
                originator_conversation_id: ids.originator.clone(),
                conversation_id: ids.conversation.clone(),
                response_code: "0",
                response_description: ACCEPTED,
            },
            letter,
            faults,
            reply_is_lost: state.faults.lose_this_reply(),
            times_out: state.faults.time_out_this_reply(),
        }
    })
}

fn ended_with(code: &str, text: &str) -> Ended {
    Ended::With(code.to_owned(), text.to_owned())
}

fn unknown() -> Ended {
    ended_with("R000002", "The OriginalTransactionID is invalid.")
}

fn too_little() -> Ended {
    ended_with("1", "The balance is insufficient for the transaction.")
}

/// Gives a payment back, once and whole. The code for another amount is not published.
fn reverse(
    state: &mut Everything,
    party: &ShortCode,
    (receipt, amount): (&str, AmountKes),
    ids: &Ids,
    now: UnixMillis,
) -> Ended {
    let Some(payment) = state.payments.get(receipt).filter(|payment| payment.short_code == *party).cloned()
    else {
        return unknown();
    };
    if payment.is_reversed {
        return ended_with("R000001", "The transaction has already been reversed.");
    }
    if payment.amount != amount {
        return ended_with("25", "The amount is not that of the transaction.");
    }
    let done = (ids.transaction.as_str(), Why::Reversal(receipt.to_owned()));
    if !state.payments.withdraw((party, amount), done, now) {
        return too_little();
    }
    state.payments.note_reversed(receipt);
    let left = state.payments.balance_cents_of(party);
    Ended::Reversal(Box::new(payment), left)
}

/// Pays a phone, if the account holds so much.
fn pay_out(
    state: &mut Everything,
    party: &ShortCode,
    (name, phone, amount): (&str, &Msisdn, AmountKes),
    ids: &mut Ids,
    now: UnixMillis,
) -> Ended {
    let receipt = state.receipts.tear_off();
    let done = (receipt.as_str(), Why::Payout(phone.clone()));
    let is_paid = state.payments.withdraw((party, amount), done, now);
    let receipt = is_paid.then_some(receipt);
    if let Some(receipt) = &receipt {
        ids.transaction = receipt.to_string();
    }
    let payout = Payout {
        originator_conversation_id: name.to_owned(),
        msisdn: phone.clone(),
        amount,
        short_code: party.clone(),
        receipt,
        at_ms: now,
    };
    state.payouts.record(payout.clone());
    let left = state.payments.balance_cents_of(party);
    if is_paid { Ended::Payout(Box::new(payout), left) } else { too_little() }
}
