//! The life of a prompt: the customer thinks, answers, money moves or not, the merchant hears of it.
//!
//! The decision is `phones::answer`; this file gathers what it needs, writes down what follows, and
//! sends the letters. The STK callback and its C2B twin are separate letters and may overtake each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::c2b::notification;
use crate::callbacks::{Letter, Manner, Subject};
use crate::clock::UnixMillis;
use crate::gateway::{Gateway, State};
use crate::identifiers::CheckoutRequestId;
use crate::payments::{NewPayment, Payment};
use crate::phones::{self, Answer, Behaviour, Phone, Question};
use crate::prompts::{Prompt, PromptState};
use crate::settings::Settings;
use crate::stk::callback::{self, ResultCode, Told};
use crate::stk::validation::TransactionKind;

/// The letters that tell how a prompt ended.
struct Letters {
    callback: (Letter, Subject),
    confirmation: Option<(Letter, Subject)>,
}

/// Rings the phone and sees the prompt through; `delivered` fires behind the first callback.
pub(crate) async fn prompt(
    gateway: Arc<Gateway>,
    id: CheckoutRequestId,
    phone: Phone,
    delivered: oneshot::Sender<()>,
) {
    think(phone.delay_ms).await;
    if let Some(letters) = settle(&gateway, &id, phone.behaviour, &phone) {
        send(&gateway, letters, &phone, Some(delivered)).await;
    }
    if let (true, Some(late_success_ms)) = (phone.behaviour.may_pay_late(), phone.late_success_ms) {
        think(late_success_ms).await;
        if let Some(letters) = settle(&gateway, &id, Behaviour::Pay, &phone) {
            send(&gateway, letters, &phone, None).await;
        }
    }
}

async fn think(delay_ms: u64) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
}

async fn send(
    gateway: &Arc<Gateway>,
    letters: Letters,
    phone: &Phone,
    delivered: Option<oneshot::Sender<()>>,
) {
    let callback = async {
        let (letter, subject) = &letters.callback;
        gateway.deliver(letter, subject, Manner::from(&phone.callback)).await;
        if let Some(delivered) = delivered {
            // Nobody listens unless the callback was to come before the reply.
            let _ = delivered.send(());
        }
    };
    let confirmation = async {
        if let Some((letter, subject)) = &letters.confirmation {
            gateway.deliver(letter, subject, Manner::from(&phone.confirmation)).await;
        }
    };
    tokio::join!(callback, confirmation);
}

/// Ends the prompt under the lock. `None` when it fell out of the log meanwhile, or was paid already:
/// no prompt moves money twice.
fn settle(gateway: &Gateway, id: &CheckoutRequestId, behaviour: Behaviour, phone: &Phone) -> Option<Letters> {
    let now = gateway.clock.now();
    gateway.change(|state| {
        let prompt = state.prompts.get(id.as_str()).filter(|prompt| !prompt.is_paid())?.clone();
        let question = Question {
            behaviour,
            result_code: phone.result_code.clone(),
            amount: prompt.amount,
            balance_cents: state.phones.of(&prompt.msisdn).balance_cents,
            repeats_a_payment: state.faults.rule_17
                && state.payments.repeats(&prompt.msisdn, prompt.amount, now),
            misdirected: misdirected(&prompt, &gateway.settings),
        };
        match phones::answer(question) {
            Answer::Pays => Some(pay(state, &gateway.settings, &prompt, now)),
            Answer::Declines(code) => Some(decline(state, &gateway.settings, &prompt, code, now)),
        }
    })
}

/// What M-Pesa makes of a `PartyB` that does not fit the `TransactionType`.
fn misdirected(prompt: &Prompt, settings: &Settings) -> Option<ResultCode> {
    match prompt.kind {
        TransactionKind::PayBill if prompt.party_b != prompt.short_code => Some(ResultCode::NotPermitted),
        TransactionKind::BuyGoods if settings.till_number.as_ref() != Some(&prompt.party_b) => {
            Some(ResultCode::NoSuchOperator)
        }
        _ => None,
    }
}

fn pay(state: &mut State, settings: &Settings, prompt: &Prompt, now: UnixMillis) -> Letters {
    let receipt = state.receipts.tear_off();
    state.phones.debit(&prompt.msisdn, prompt.amount);
    let payment = state.payments.record(NewPayment {
        receipt: receipt.clone(),
        msisdn: prompt.msisdn.clone(),
        amount: prompt.amount,
        short_code: prompt.party_b.clone(),
        account_reference: prompt.account_reference.clone(),
        checkout_request_id: Some(prompt.checkout_request_id.clone()),
        first_name: state.phones.of(&prompt.msisdn).first_name.clone(),
        kind: prompt.kind,
        at: now,
    });
    let told = Told::Paid { amount: prompt.amount, receipt: &receipt, phone: &prompt.msisdn, at: now };
    let letter = callback_letter(prompt, &told, settings);
    let settled = PromptState::Paid { receipt: receipt.clone(), settled_at_ms: now };
    state.prompts.settle(prompt.checkout_request_id.as_str(), settled, letter.clone());
    let subject = Subject::Callback { checkout: prompt.checkout_request_id.clone(), receipt: Some(receipt) };
    Letters { callback: (letter, subject), confirmation: twin(state, settings, prompt, &payment) }
}

/// The C2B confirmation of the same money, if URLs are registered.
fn twin(
    state: &mut State,
    settings: &Settings,
    prompt: &Prompt,
    payment: &Payment,
) -> Option<(Letter, Subject)> {
    let registration = state.registrations.get(&prompt.short_code)?;
    let letter = notification::confirmation(payment, registration, settings.msisdn_form, "");
    state.payments.keep_confirmation(&payment.receipt, letter.clone());
    Some((letter, Subject::Confirmation { receipt: payment.receipt.clone() }))
}

fn decline(
    state: &mut State,
    settings: &Settings,
    prompt: &Prompt,
    code: ResultCode,
    now: UnixMillis,
) -> Letters {
    let letter = callback_letter(prompt, &Told::Declined(&code), settings);
    let settled = PromptState::Declined { result_code: code, settled_at_ms: now };
    state.prompts.settle(prompt.checkout_request_id.as_str(), settled, letter.clone());
    let subject = Subject::Callback { checkout: prompt.checkout_request_id.clone(), receipt: None };
    Letters { callback: (letter, subject), confirmation: None }
}

fn callback_letter(prompt: &Prompt, told: &Told<'_>, settings: &Settings) -> Letter {
    let id = prompt.checkout_request_id.as_str();
    let body = callback::body(&prompt.merchant_request_id, id, told, settings.balance_item);
    Letter { url: prompt.callback_url.clone(), body: body.into(), short_code: prompt.short_code.clone() }
}
