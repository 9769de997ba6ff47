//! A payment by paybill or till that a customer starts: asked of the merchant, moved, confirmed.
//!
//! The merchant is asked only if it registered URLs and validation is on; its verdict is judged in
//! `notification`. The confirmation goes out after the money moved and changes nothing any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::c2b::notification::{self, Verdict};
use crate::c2b::registration::Registration;
use crate::callbacks::{Manner, Subject};
use crate::gateway::{Gateway, State};
use crate::identifiers::{AmountKes, Msisdn, ShortCode};
use crate::payments::NewPayment;
use crate::receipts::Receipt;
use crate::settings::Settings;
use crate::stk::validation::TransactionKind;

/// A customer opens the M-Pesa menu and pays by paybill.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaybillPayment {
    /// The paybill.
    pub short_code: String,
    /// Whole shillings.
    pub amount: u32,
    /// The account number as typed, mistakes and all; at most 20 characters.
    pub account: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaybillOutcome {
    /// Money moved; the confirmation is on its way.
    Paid {
        /// The receipt.
        receipt: Receipt,
    },
    /// The merchant's validation said no.
    Rejected {
        /// Its code, such as `C2B00012`.
        result_code: String,
    },
    /// The merchant's validation did not answer, and its registration says `Cancelled`.
    Cancelled,
    /// The wallet holds too little.
    Insufficient,
}

/// A payment that the rim has checked.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) msisdn: Msisdn,
    pub(crate) short_code: ShortCode,
    pub(crate) kind: TransactionKind,
    pub(crate) amount: AmountKes,
    pub(crate) account: String,
}

/// Where payments to a short code are told: of a till, where its head office registered. That is the last short code that
/// did, where there are several.
fn registration_of<'a>(
    state: &'a State,
    settings: &Settings,
    short_code: &ShortCode,
) -> Option<&'a Registration> {
    let of_head_office = || {
        let is_till = settings.till_number.as_ref() == Some(short_code);
        settings.short_codes.iter().rev().filter(|_| is_till).find_map(|code| state.registrations.get(code))
    };
    state.registrations.get(short_code).or_else(of_head_office)
}

/// Pays, and returns once the money has moved or will not.
pub(crate) async fn pay(gateway: &Arc<Gateway>, instruction: Instruction) -> PaybillOutcome {
    let form = gateway.settings.msisdn_form;
    let asked_at = gateway.clock.now();
    let (receipt, phone, registration) = gateway.change(|state| {
        let registration = registration_of(state, &gateway.settings, &instruction.short_code).cloned();
        (state.receipts.tear_off(), state.phones.of(&instruction.msisdn).clone(), registration)
    });
    if phone.balance_cents.is_some_and(|balance_cents| balance_cents < instruction.amount.cents()) {
        return PaybillOutcome::Insufficient;
    }
    let mut third_party_id = String::new();
    if gateway.settings.validation
        && let Some(registration) = &registration
    {
        let name = &phone.first_name;
        let letter = notification::validation(&instruction, &receipt, name, registration, form, asked_at);
        let answer = gateway.postman.post(&letter, gateway.settings.validation_timeout).await;
        gateway.change(|state| state.counts.validations_sent += 1);
        match notification::judge(&answer, registration.response_type) {
            Verdict::Accepted { third_party_id: id } => third_party_id = id,
            Verdict::Rejected { result_code } => return PaybillOutcome::Rejected { result_code },
            Verdict::Cancelled => return PaybillOutcome::Cancelled,
        }
    }
    let moved_at = gateway.clock.now();
    let letter = gateway.change(|state| {
        // The wallet may have emptied while the merchant was thinking.
        let balance_cents = state.phones.of(&instruction.msisdn).balance_cents;
        if balance_cents.is_some_and(|balance_cents| balance_cents < instruction.amount.cents()) {
            return Err(PaybillOutcome::Insufficient);
        }
        state.phones.debit(&instruction.msisdn, instruction.amount);
        let payment = state.payments.record(NewPayment {
            receipt: receipt.clone(),
            msisdn: instruction.msisdn,
            amount: instruction.amount,
            short_code: instruction.short_code,
            account_reference: instruction.account,
            checkout_request_id: None,
            first_name: phone.first_name.clone(),
            kind: instruction.kind,
            at: moved_at,
        });
        let letter = registration.map(|registration| {
            let letter = notification::confirmation(&payment, &registration, form, &third_party_id);
            state.payments.keep_confirmation(&payment.receipt, letter.clone());
            letter
        });
        Ok(letter)
    });
    match letter {
        Err(outcome) => return outcome,
        Ok(None) => {}
        Ok(Some(letter)) => {
            let (sender, subject) = (Arc::clone(gateway), Subject::Confirmation { receipt: receipt.clone() });
            let manner = Manner::from(&phone.confirmation);
            // Too many errands means a lost confirmation, which real life knows as well.
            gateway.errand(async move {
                sender.deliver(&letter, &subject, manner).await;
            });
        }
    }
    PaybillOutcome::Paid { receipt }
}
