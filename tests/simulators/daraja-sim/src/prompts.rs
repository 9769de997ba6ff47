//! STK pushes that were accepted: who was asked for what, and how it ended.
//!
//! ```text
//! waiting ──pays──> paid
//!    └──declines──> declined ──late success──> paid
//! ```
//! Nothing leaves `paid`. The callback body is kept as it was sent, so that a redelivery is the same
//! bytes. Payments themselves are in `payments.rs`.

use serde::Serialize;

use crate::bounded_log::BoundedLog;
use crate::callback_url::CallbackUrl;
use crate::callbacks::{Letter, note_status};
use crate::clock::UnixMillis;
use crate::identifiers::{AmountKes, CheckoutRequestId, Msisdn, ShortCode};
use crate::receipts::Receipt;
use crate::stk::callback::ResultCode;
use crate::stk::validation::{Push, TransactionKind};

/// Prompts kept; the oldest fall out. About 1 kB each, so 50 MB at worst, and an hour of a load test.
const MAX_PROMPTS: usize = 50_000;
/// Prompts that may wait for a customer at once; beyond, Daraja is "busy". Well under `MAX_PROMPTS`, so
/// that a waiting prompt falls out only behind 30,000 younger ones; its customer is then never heard of.
pub(crate) const MAX_WAITING: usize = 20_000;

/// How far a prompt has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PromptState {
    /// The customer has not answered yet.
    Waiting,
    /// Money moved.
    Paid {
        /// The receipt of the payment.
        receipt: Receipt,
        /// When it moved.
        settled_at_ms: UnixMillis,
    },
    /// No money moved.
    Declined {
        /// Why.
        result_code: ResultCode,
        /// When that was known.
        settled_at_ms: UnixMillis,
    },
}

/// One accepted STK push.
#[derive(Debug, Clone, Serialize)]
pub struct Prompt {
    /// Its number; numbers have no gaps.
    pub seq: u64,
    /// The id that Daraja gave it.
    pub checkout_request_id: CheckoutRequestId,
    /// The other id that Daraja gave it.
    pub merchant_request_id: String,
    /// The `BusinessShortCode`.
    pub short_code: ShortCode,
    /// Where the money goes: the paybill or the till.
    pub party_b: ShortCode,
    /// The phone that is asked.
    pub msisdn: Msisdn,
    /// What it is asked for, in shillings.
    pub amount: AmountKes,
    /// The `AccountReference`.
    pub account_reference: String,
    /// The `TransactionDesc`.
    pub transaction_description: String,
    /// Where the callback goes.
    pub callback_url: CallbackUrl,
    /// How far it has come.
    #[serde(flatten)]
    pub state: PromptState,
    /// What the listener answered to each copy of the callback; 0 is no HTTP answer at all.
    pub callback_status: Vec<u16>,
    /// When the push was accepted.
    pub at_ms: UnixMillis,
    #[serde(skip)]
    pub(crate) kind: TransactionKind,
    /// The latest callback, as it was or will be sent.
    #[serde(skip)]
    pub(crate) callback: Option<Letter>,
    /// How often the STK query asked about it while it was waiting.
    #[serde(skip)]
    pub(crate) polls_while_waiting: u32,
}

impl Prompt {
    /// Whether its money has moved.
    pub fn is_paid(&self) -> bool {
        matches!(self.state, PromptState::Paid { .. })
    }
}

/// The accepted pushes.
#[derive(Debug)]
pub(crate) struct Prompts {
    log: BoundedLog<Prompt>,
    waiting: usize,
}

impl Prompts {
    pub(crate) fn new() -> Self {
        Self { log: BoundedLog::new(MAX_PROMPTS), waiting: 0 }
    }

    /// How many wait for their customer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Writes a push down under a fresh id.
    pub(crate) fn accept(
        &mut self,
        push: Push,
        merchant_request_id: &str,
        at: UnixMillis,
    ) -> CheckoutRequestId {
        let mut moment = at;
        let mut id = CheckoutRequestId::new(moment, &push.phone);
        // Two pushes to one phone in one millisecond: the later one moves on, so that ids stay unique.
        while self.log.contains(id.as_str()) {
            moment = UnixMillis(moment.0.saturating_add(1));
            id = CheckoutRequestId::new(moment, &push.phone);
        }
        self.waiting = self.waiting.saturating_add(1);
        let dropped = self.log.push(id.as_str().to_owned(), |seq| Prompt {
            seq,
            checkout_request_id: id.clone(),
            merchant_request_id: merchant_request_id.to_owned(),
            short_code: push.short_code,
            party_b: push.party_b,
            msisdn: push.phone,
            amount: push.amount,
            account_reference: push.account_reference,
            transaction_description: push.description,
            callback_url: push.callback_url,
            state: PromptState::Waiting,
            callback_status: Vec::new(),
            at_ms: at,
            kind: push.kind,
            callback: None,
            polls_while_waiting: 0,
        });
        if dropped.is_some_and(|prompt| prompt.state == PromptState::Waiting) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Prompt> {
        self.log.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Prompt> {
        self.log.get_mut(id)
    }

    /// Moves a prompt to its end, with the callback that tells of it. What is paid stays paid.
    pub(crate) fn settle(&mut self, id: &str, state: PromptState, callback: Letter) {
        let Some(prompt) = self.log.get_mut(id) else { return };
        if matches!(prompt.state, PromptState::Waiting) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        if !prompt.is_paid() {
            prompt.state = state;
            prompt.callback = Some(callback);
        }
    }

    /// Notes what the listener answered.
    pub(crate) fn note_callback(&mut self, id: &str, status: u16) {
        if let Some(prompt) = self.log.get_mut(id) {
            note_status(&mut prompt.callback_status, status);
        }
    }

    /// The prompts behind number `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Prompt> {
        self.log.after(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipts::ReceiptBook;

    fn push() -> Push {
        Push {
            short_code: ShortCode::sandbox(),
            kind: TransactionKind::PayBill,
            amount: AmountKes::new(100).unwrap(),
            phone: Msisdn::parse("254712345678").unwrap(),
            party_b: ShortCode::sandbox(),
            callback_url: CallbackUrl::parse("https://pay.example.co.ke/c").unwrap(),
            account_reference: "12345674".to_owned(),
            description: String::new(),
        }
    }

    fn letter(body: &'static str) -> Letter {
        let url = CallbackUrl::parse("https://pay.example.co.ke/c").unwrap();
        Letter { url, body: body.into(), short_code: ShortCode::sandbox() }
    }

    fn declined() -> PromptState {
        PromptState::Declined { result_code: ResultCode::NoAnswer, settled_at_ms: UnixMillis(2) }
    }

    #[test]
    fn a_declined_prompt_may_be_paid_late_but_a_paid_one_stays_paid() {
        let mut prompts = Prompts::new();
        let id = prompts.accept(push(), "m", UnixMillis(1));
        assert_eq!(prompts.waiting(), 1);
        let paid =
            PromptState::Paid { receipt: ReceiptBook::new(1).tear_off(), settled_at_ms: UnixMillis(3) };
        for (state, body, expected) in [
            (declined(), "declined", declined()),
            (paid.clone(), "paid", paid.clone()),
            (declined(), "declined again", paid),
        ] {
            prompts.settle(id.as_str(), state, letter(body));
            assert_eq!(prompts.get(id.as_str()).unwrap().state, expected);
            assert_eq!(prompts.waiting(), 0);
        }
        assert_eq!(prompts.get(id.as_str()).unwrap().callback.as_ref().unwrap().body, "paid");
    }

    #[test]
    fn a_waiting_prompt_that_falls_out_waits_no_longer() {
        let mut prompts = Prompts { log: BoundedLog::new(2), waiting: 0 };
        let ids: Vec<_> = (0..3).map(|at| prompts.accept(push(), "m", UnixMillis(at))).collect();
        assert_eq!(prompts.waiting(), 2);
        prompts.settle(ids[0].as_str(), declined(), letter("too late"));
        assert_eq!(prompts.waiting(), 2);
    }
}
