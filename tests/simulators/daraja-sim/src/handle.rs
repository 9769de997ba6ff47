//! What a test may do to a running simulator from inside the same process; the control port calls the same.
//!
//! Every operation checks what it is given and refuses with a sentence that names the mistake. Nothing
//! here goes around Daraja's own rules: a payment made here is announced like any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::c2b::MAX_BILL_REFERENCE;
use crate::c2b::payment::{self, Instruction, PaybillOutcome, PaybillPayment};
use crate::c2b::registration::Registration;
use crate::callbacks::{Letter, Manner, Subject};
use crate::faults::{Faults, FaultsChange};
use crate::gateway::{Counts, Gateway};
use crate::identifiers::{AmountKes, Msisdn, NotValid, ShortCode};
use crate::payments::Payment;
use crate::payouts::Payout;
use crate::phones::{MAX_COPIES, MAX_PHONES, Phone, PhoneRefused};
use crate::prompts::{Prompt, PromptState};
use crate::statement::{self, StatementForm};
use crate::stk::validation::TransactionKind;

/// Rows of one page at most.
pub(crate) const MAX_PAGE: usize = 1_000;
/// The farthest that the clock moves in one step: a year.
const MAX_ADVANCE: Duration = Duration::from_secs(366 * 24 * 3600);

/// An operation that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// A phone number, amount or short code of the wrong form.
    #[error("{field} is {source}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What was expected.
        source: NotValid,
    },
    /// A short code that is not the merchant's.
    #[error("short_code {0} is not one that this simulator was started with")]
    NotTheMerchant(String),
    /// An account number that no M-Pesa menu takes.
    #[error("account is 1 to {MAX_BILL_REFERENCE} characters")]
    Account,
    /// A phone described in a way that makes no sense.
    #[error(transparent)]
    Phone(#[from] PhoneRefused),
    /// No room for another phone.
    #[error("no more than {MAX_PHONES} phones can be described")]
    TooManyPhones,
    /// Too many copies, or none.
    #[error("copies is 1 to {MAX_COPIES}")]
    Copies,
    /// A delay or step beyond the limit.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// An id that is not known, or fell out of the bounded list.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Nothing was sent yet, so nothing can be sent again.
    #[error("there is no {0} to send again yet")]
    NothingToSend(&'static str),
}

/// How a notification is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redelivery {
    /// How often.
    pub copies: u32,
    /// All copies at the same moment instead of one after the other.
    pub together: bool,
}

impl Default for Redelivery {
    fn default() -> Self {
        Self { copies: 1, together: false }
    }
}

/// What happened since the start, and what is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateReport {
    /// OAuth tokens issued.
    pub tokens_issued: u64,
    /// STK pushes accepted.
    pub pushes: u64,
    /// STK pushes refused by validation, token or capacity.
    pub pushes_refused: u64,
    /// STK queries answered.
    pub queries: u64,
    /// C2B URL registrations taken.
    pub registrations: u64,
    /// Pull queries answered.
    pub pulls: u64,
    /// Codes to scan that were drawn.
    pub codes: u64,
    /// Requests of the API operator taken.
    pub operator_requests: u64,
    /// Results of those sent, copies included, and words of queues that timed out.
    pub results_sent: u64,
    /// Those of them that were not answered with 2xx.
    pub results_failed: u64,
    /// STK callbacks sent, copies and redeliveries included.
    pub callbacks_sent: u64,
    /// Those of them that were not answered with 2xx.
    pub callbacks_failed: u64,
    /// C2B confirmations sent, copies and redeliveries included.
    pub confirmations_sent: u64,
    /// Those of them that were not answered with 2xx.
    pub confirmations_failed: u64,
    /// C2B validations asked.
    pub validations_sent: u64,
    /// Payments made.
    pub payments: u64,
    /// What they came to, in shillings.
    pub payments_total: u64,
    /// Prompts whose customer is still thinking.
    pub prompts_waiting: usize,
    /// Phones thinking, letters on their way, late payments to come.
    pub in_flight: usize,
    /// The seed of receipts and ids.
    pub seed: u64,
}

/// The controls of a running simulator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    gateway: Arc<Gateway>,
}

impl Handle {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    /// Describes a phone. The number may be written `254712345678`, `0712345678` or `+254712345678`.
    pub fn set_phone(&self, msisdn: &str, phone: Phone) -> Result<(), ControlError> {
        let msisdn = read_msisdn(msisdn)?;
        phone.check()?;
        let fits = self.gateway.change(|state| state.phones.set(msisdn, phone));
        if fits { Ok(()) } else { Err(ControlError::TooManyPhones) }
    }

    /// Forgets a phone; from now on it behaves as the default one.
    pub fn forget_phone(&self, msisdn: &str) -> Result<(), ControlError> {
        let msisdn = read_msisdn(msisdn)?;
        let known = self.gateway.change(|state| state.phones.forget(&msisdn));
        if known { Ok(()) } else { Err(ControlError::NotFound("phone")) }
    }

    /// Describes every phone that is not described by itself.
    pub fn set_default_phone(&self, phone: Phone) -> Result<(), ControlError> {
        phone.check()?;
        self.gateway.change(|state| state.phones.set_default(phone));
        Ok(())
    }

    /// The default phone.
    pub fn default_phone(&self) -> Phone {
        self.gateway.read(|state| state.phones.default_phone().clone())
    }

    /// How one phone stands now: its own description, or the default one.
    pub fn phone(&self, msisdn: &str) -> Result<Phone, ControlError> {
        let msisdn = read_msisdn(msisdn)?;
        Ok(self.gateway.read(|state| state.phones.of(&msisdn).clone()))
    }

    /// Described phones with a number behind `after` (twelve digits, or empty), at most `limit` and 1,000.
    pub fn phones(&self, after: &str, limit: usize) -> BTreeMap<Msisdn, Phone> {
        self.gateway.read(|state| {
            let page = state.phones.after(after).take(limit.min(MAX_PAGE));
            page.map(|(msisdn, phone)| (msisdn.clone(), phone.clone())).collect()
        })
    }

    /// A customer pays by paybill, or at the till, where the account is empty. Returns when the money has moved or will not; the confirmation follows.
    pub async fn pay_by_paybill(
        &self,
        msisdn: &str,
        paybill: &PaybillPayment,
    ) -> Result<PaybillOutcome, ControlError> {
        let msisdn = read_msisdn(msisdn)?;
        let invalid = |field| move |source| ControlError::Invalid { field, source };
        let short_code = ShortCode::parse(&paybill.short_code).map_err(invalid("short_code"))?;
        if !self.gateway.is_merchant(&short_code) {
            return Err(ControlError::NotTheMerchant(paybill.short_code.clone()));
        }
        let amount = AmountKes::new(paybill.amount).map_err(invalid("amount"))?;
        let account = paybill.account.clone();
        let is_till = self.gateway.settings.till_number.as_ref() == Some(&short_code);
        // At a till nobody is asked for an account.
        let lengths = if is_till { 0..=0 } else { 1..=MAX_BILL_REFERENCE };
        if !lengths.contains(&account.chars().count()) || account.chars().any(char::is_control) {
            return Err(ControlError::Account);
        }
        let kind = if is_till { TransactionKind::BuyGoods } else { TransactionKind::PayBill };
        let instruction = Instruction { msisdn, short_code, kind, amount, account };
        Ok(payment::pay(&self.gateway, instruction).await)
    }

    /// Payments with a number behind `after`, oldest first, at most `limit` and 1,000.
    pub fn payments(&self, after: u64, limit: usize) -> Vec<Payment> {
        self.gateway.read(|state| state.payments.after(after).take(limit.min(MAX_PAGE)).cloned().collect())
    }

    /// The payment with this receipt.
    pub fn payment(&self, receipt: &str) -> Option<Payment> {
        self.gateway.read(|state| state.payments.get(receipt).cloned())
    }

    /// Accepted pushes with a number behind `after`, oldest first, at most `limit` and 1,000.
    pub fn prompts(&self, after: u64, limit: usize) -> Vec<Prompt> {
        self.gateway.read(|state| state.prompts.after(after).take(limit.min(MAX_PAGE)).cloned().collect())
    }

    /// The push with this `CheckoutRequestID`.
    pub fn prompt(&self, checkout_request_id: &str) -> Option<Prompt> {
        self.gateway.read(|state| state.prompts.get(checkout_request_id).cloned())
    }

    /// Sends the latest STK callback of a push again, byte for byte; returns the status of each copy.
    pub async fn redeliver_callback(
        &self,
        checkout_request_id: &str,
        redelivery: Redelivery,
    ) -> Result<Vec<u16>, ControlError> {
        let prompt = self.prompt(checkout_request_id).ok_or(ControlError::NotFound("prompt"))?;
        let letter = prompt.callback.ok_or(ControlError::NothingToSend("callback"))?;
        let receipt = match prompt.state {
            PromptState::Paid { receipt, .. } => Some(receipt),
            PromptState::Waiting | PromptState::Declined { .. } => None,
        };
        let subject = Subject::Callback { checkout: prompt.checkout_request_id, receipt };
        self.redeliver(&letter, &subject, redelivery).await
    }

    /// Sends the C2B confirmation of a payment again, byte for byte; returns the status of each copy.
    pub async fn redeliver_confirmation(
        &self,
        receipt: &str,
        redelivery: Redelivery,
    ) -> Result<Vec<u16>, ControlError> {
        let payment = self.payment(receipt).ok_or(ControlError::NotFound("payment"))?;
        let letter = payment.confirmation.ok_or(ControlError::NothingToSend("confirmation"))?;
        self.redeliver(&letter, &Subject::Confirmation { receipt: payment.receipt }, redelivery).await
    }

    /// Sends the result of the last request that moves money again, byte for byte, or for the first time where it was lost.
    pub async fn redeliver_money_result(&self, redelivery: Redelivery) -> Result<Vec<u16>, ControlError> {
        let letter = self.gateway.read(|state| state.last_money_result.clone());
        let letter = letter.ok_or(ControlError::NothingToSend("result"))?;
        self.redeliver(&letter, &Subject::Result, redelivery).await
    }

    /// Payments to phones, done or not, oldest first, at most 1,000.
    pub fn payouts(&self) -> Vec<Payout> {
        self.gateway.read(|state| state.payouts.rows().iter().take(MAX_PAGE).cloned().collect())
    }

    async fn redeliver(
        &self,
        letter: &Letter,
        subject: &Subject,
        redelivery: Redelivery,
    ) -> Result<Vec<u16>, ControlError> {
        if !(1..=MAX_COPIES).contains(&redelivery.copies) {
            return Err(ControlError::Copies);
        }
        let manner =
            Manner { copies: redelivery.copies, delay_ms: 0, lost: false, together: redelivery.together };
        Ok(self.gateway.deliver(letter, subject, manner).await)
    }

    /// Changes the gateway's faults; returns those now in force.
    pub fn set_faults(&self, change: &FaultsChange) -> Result<Faults, ControlError> {
        if let Some(field) = change.out_of_bounds() {
            return Err(ControlError::TooLong(field));
        }
        Ok(self.gateway.change(|state| {
            state.faults.apply(change);
            if change.expire_token {
                state.tokens.expire();
            }
            if change.unlock_operator {
                state.operator.unlock();
            }
            state.faults.clone()
        }))
    }

    /// Ends all of the gateway's faults; the rule of two minutes is as at the start again.
    pub fn clear_faults(&self) -> Faults {
        let calm = Faults::calm(&self.gateway.settings);
        self.gateway.change(|state| state.faults = calm.clone());
        calm
    }

    /// The gateway's faults in force.
    pub fn faults(&self) -> Faults {
        self.gateway.read(|state| state.faults.clone())
    }

    /// Registered C2B URLs by short code.
    pub fn registrations(&self) -> BTreeMap<ShortCode, Registration> {
        self.gateway.read(|state| state.registrations.clone())
    }

    /// Forgets the C2B URLs of a short code, as "URL management" in the portal does.
    pub fn forget_registration(&self, short_code: &str) -> Result<(), ControlError> {
        let source = ShortCode::parse(short_code);
        let code = source.map_err(|source| ControlError::Invalid { field: "short_code", source })?;
        let known = self.gateway.change(|state| state.registrations.remove(&code).is_some());
        if known { Ok(()) } else { Err(ControlError::NotFound("registration")) }
    }

    /// Moves the simulator's wall clock forward: tokens age, the two-minute rule passes. Thinking times
    /// and delays are not shortened. At most a year in one step.
    pub fn advance_clock(&self, span: Duration) -> Result<(), ControlError> {
        if span > MAX_ADVANCE {
            return Err(ControlError::TooLong("advance_ms"));
        }
        self.gateway.clock.advance(span);
        Ok(())
    }

    /// The statement of a short code as the portal exports it.
    pub fn statement(&self, short_code: &str, form: StatementForm) -> Result<String, ControlError> {
        let source = ShortCode::parse(short_code);
        let code = source.map_err(|source| ControlError::Invalid { field: "short_code", source })?;
        let now = self.gateway.clock.now();
        Ok(self.gateway.read(|state| statement::write(&code, &state.payments, form, now)))
    }

    /// What happened since the start, and what is under way.
    pub fn state(&self) -> StateReport {
        let in_flight = self.gateway.errands_running();
        self.gateway.read(|state| {
            let Counts {
                tokens_issued,
                pushes,
                pushes_refused,
                queries,
                registrations,
                pulls,
                codes,
                operator_requests,
                results_sent,
                results_failed,
                callbacks_sent,
                callbacks_failed,
                confirmations_sent,
                confirmations_failed,
                validations_sent,
            } = state.counts;
            StateReport {
                tokens_issued,
                pushes,
                pushes_refused,
                queries,
                registrations,
                pulls,
                codes,
                operator_requests,
                results_sent,
                results_failed,
                callbacks_sent,
                callbacks_failed,
                confirmations_sent,
                confirmations_failed,
                validations_sent,
                payments: state.payments.count(),
                payments_total: state.payments.total_shillings(),
                prompts_waiting: state.prompts.waiting(),
                in_flight,
                seed: self.gateway.settings.seed,
            }
        })
    }

    /// Waits until `probe` finds something, looking again at every change; `None` after `deadline`.
    pub async fn wait_for<T>(&self, deadline: Duration, probe: impl Fn(&Self) -> Option<T>) -> Option<T> {
        self.gateway.wait_for(deadline, || probe(self)).await
    }

    /// Waits until no phone thinks and no letter is on its way; `false` after `deadline`.
    pub async fn settled(&self, deadline: Duration) -> bool {
        let quiet = self.wait_for(deadline, |handle| (handle.gateway.errands_running() == 0).then_some(()));
        quiet.await.is_some()
    }
}

fn read_msisdn(text: &str) -> Result<Msisdn, ControlError> {
    Msisdn::parse_typed(text).map_err(|source| ControlError::Invalid { field: "msisdn", source })
}
