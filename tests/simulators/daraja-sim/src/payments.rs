//! The money that moved: one row for each receipt, and the merchant's running balance.
//!
//! Rows are only ever added; a row's lists of HTTP statuses grow as notifications are delivered. What
//! the merchant was told, how often and in what order is not this file's concern.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::bounded_log::BoundedLog;
use crate::callbacks::{Letter, note_status};
use crate::clock::UnixMillis;
use crate::identifiers::{AmountKes, CheckoutRequestId, Msisdn, ShortCode};
use crate::receipts::Receipt;
use crate::stk::validation::TransactionKind;

/// Payments kept; the oldest fall out. About 1 kB each with its confirmation, so 100 MB at worst.
const MAX_PAYMENTS: usize = 100_000;
/// The span in which the same amount from the same phone is a repeat: result 17, as published.
const REPEAT_WINDOW_MS: i64 = 120_000;
/// Payments remembered for that rule: more than two minutes of any load that one process serves.
const MAX_RECENT: usize = 100_000;

/// One movement of money from a phone to the merchant.
#[derive(Debug, Clone, Serialize)]
pub struct Payment {
    /// Its number; numbers have no gaps.
    pub seq: u64,
    /// The M-Pesa receipt number.
    pub receipt: Receipt,
    /// Who paid.
    pub msisdn: Msisdn,
    /// What was paid, in shillings.
    pub amount: AmountKes,
    /// The paybill or till that was paid.
    pub short_code: ShortCode,
    /// The `AccountReference` of the push, or what the customer typed.
    pub account_reference: String,
    /// The push that it answers; `null` for a payment by paybill.
    pub checkout_request_id: Option<CheckoutRequestId>,
    /// What the listener answered to each copy of the STK callback; 0 is no HTTP answer at all.
    pub callback_status: Vec<u16>,
    /// The same for each copy of the C2B confirmation.
    pub confirmation_status: Vec<u16>,
    /// When the money moved.
    pub at_ms: UnixMillis,
    /// Whether it went back to whoever paid it.
    pub is_reversed: bool,
    /// The name of the payer in notifications.
    #[serde(skip)]
    pub(crate) first_name: String,
    /// Paybill or till.
    #[serde(skip)]
    pub(crate) kind: TransactionKind,
    /// The merchant's balance behind this payment.
    #[serde(skip)]
    pub(crate) balance_after_cents: u64,
    /// Which movement of money it was, counted with those out.
    #[serde(skip)]
    pub(crate) order: u64,
    /// The confirmation, as it was or will be sent, if URLs were registered.
    #[serde(skip)]
    pub(crate) confirmation: Option<Letter>,
}

/// Why money leaves the merchant.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// The payment with this receipt is undone.
    Reversal(String),
    /// This phone is paid.
    Payout(Msisdn),
}

/// Money that left the merchant.
#[derive(Debug, Clone)]
pub(crate) struct Withdrawal {
    /// Its receipt.
    pub(crate) receipt: String,
    pub(crate) short_code: ShortCode,
    pub(crate) amount: AmountKes,
    pub(crate) why: Why,
    pub(crate) at_ms: UnixMillis,
    /// The merchant's balance behind it, and which movement of money it was.
    pub(crate) balance_after_cents: u64,
    pub(crate) order: u64,
}

/// A payment about to be written down.
#[derive(Debug, Clone)]
pub(crate) struct NewPayment {
    pub(crate) receipt: Receipt,
    pub(crate) msisdn: Msisdn,
    pub(crate) amount: AmountKes,
    pub(crate) short_code: ShortCode,
    pub(crate) account_reference: String,
    pub(crate) checkout_request_id: Option<CheckoutRequestId>,
    pub(crate) first_name: String,
    pub(crate) kind: TransactionKind,
    pub(crate) at: UnixMillis,
}

/// The book of payments.
#[derive(Debug)]
pub(crate) struct Payments {
    log: BoundedLog<Payment>,
    withdrawals: BoundedLog<Withdrawal>,
    movements: u64,
    balance_cents: HashMap<ShortCode, u64>,
    count: u64,
    total_shillings: u64,
    recent: Recent,
}

impl Payments {
    pub(crate) fn new() -> Self {
        Self {
            log: BoundedLog::new(MAX_PAYMENTS),
            withdrawals: BoundedLog::new(MAX_PAYMENTS),
            movements: 0,
            balance_cents: HashMap::new(),
            count: 0,
            total_shillings: 0,
            recent: Recent::default(),
        }
    }

    /// What lies on the account of a short code.
    pub(crate) fn balance_cents_of(&self, short_code: &ShortCode) -> u64 {
        self.balance_cents.get(short_code).copied().unwrap_or_default()
    }

    /// Takes money off the account of a short code and writes it down; `false` where it does not hold so much.
    pub(crate) fn withdraw(
        &mut self,
        (short_code, amount): (&ShortCode, AmountKes),
        (receipt, why): (&str, Why),
        now: UnixMillis,
    ) -> bool {
        let balance = self.balance_cents.entry(short_code.clone()).or_default();
        let Some(left) = balance.checked_sub(amount.cents()) else { return false };
        *balance = left;
        self.movements = self.movements.saturating_add(1);
        let row = Withdrawal {
            receipt: receipt.to_owned(),
            short_code: short_code.clone(),
            amount,
            why,
            at_ms: now,
            balance_after_cents: left,
            order: self.movements,
        };
        self.withdrawals.push(receipt.to_owned(), |_| row);
        true
    }

    /// All money that left and is kept, oldest first.
    pub(crate) fn withdrawals(&self) -> impl DoubleEndedIterator<Item = &Withdrawal> {
        self.withdrawals.rows()
    }

    pub(crate) fn note_reversed(&mut self, receipt: &str) {
        if let Some(row) = self.log.get_mut(receipt) {
            row.is_reversed = true;
        }
    }

    /// Writes a payment down and hands the row back, balance and all.
    pub(crate) fn record(&mut self, new: NewPayment) -> Payment {
        let balance = self.balance_cents.entry(new.short_code.clone()).or_default();
        *balance = balance.saturating_add(new.amount.cents());
        let balance_after_cents = *balance;
        self.movements = self.movements.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.total_shillings = self.total_shillings.saturating_add(u64::from(new.amount.shillings()));
        if new.checkout_request_id.is_some() {
            self.recent.note(&new.msisdn, new.amount, new.at);
        }
        let mut row = Payment {
            seq: 0,
            receipt: new.receipt,
            msisdn: new.msisdn,
            amount: new.amount,
            short_code: new.short_code,
            account_reference: new.account_reference,
            checkout_request_id: new.checkout_request_id,
            callback_status: Vec::new(),
            confirmation_status: Vec::new(),
            at_ms: new.at,
            is_reversed: false,
            first_name: new.first_name,
            kind: new.kind,
            balance_after_cents,
            order: self.movements,
            confirmation: None,
        };
        self.log.push(row.receipt.as_str().to_owned(), |seq| {
            row.seq = seq;
            row.clone()
        });
        row
    }

    /// Whether this phone paid this amount by STK within the last two minutes.
    pub(crate) fn repeats(&self, msisdn: &Msisdn, amount: AmountKes, now: UnixMillis) -> bool {
        self.recent.holds(msisdn, amount, now)
    }

    pub(crate) fn get(&self, receipt: &str) -> Option<&Payment> {
        self.log.get(receipt)
    }

    /// Keeps the confirmation of a payment for redelivery.
    pub(crate) fn keep_confirmation(&mut self, receipt: &Receipt, letter: Letter) {
        if let Some(row) = self.log.get_mut(receipt.as_str()) {
            row.confirmation = Some(letter);
        }
    }

    pub(crate) fn note_callback(&mut self, receipt: &Receipt, status: u16) {
        if let Some(row) = self.log.get_mut(receipt.as_str()) {
            note_status(&mut row.callback_status, status);
        }
    }

    pub(crate) fn note_confirmation(&mut self, receipt: &Receipt, status: u16) {
        if let Some(row) = self.log.get_mut(receipt.as_str()) {
            note_status(&mut row.confirmation_status, status);
        }
    }

    /// The payments behind number `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Payment> {
        self.log.after(after)
    }

    /// All payments that are kept, oldest first.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &Payment> {
        self.log.rows()
    }

    /// How many payments there were, those that fell out included.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// What they came to, in shillings.
    pub(crate) fn total_shillings(&self) -> u64 {
        self.total_shillings
    }
}

/// Who paid what by STK in the last two minutes.
#[derive(Debug, Default)]
struct Recent {
    last_paid: HashMap<(Msisdn, AmountKes), UnixMillis>,
    order: VecDeque<(UnixMillis, Msisdn, AmountKes)>,
}

impl Recent {
    fn note(&mut self, msisdn: &Msisdn, amount: AmountKes, at: UnixMillis) {
        while let Some((oldest, ..)) = self.order.front()
            && (at.millis_since(*oldest) > REPEAT_WINDOW_MS || self.order.len() >= MAX_RECENT)
        {
            if let Some((then, msisdn, amount)) = self.order.pop_front() {
                let key = (msisdn, amount);
                // A newer payment of the same kind has its own entry further back.
                if self.last_paid.get(&key) == Some(&then) {
                    self.last_paid.remove(&key);
                }
            }
        }
        self.last_paid.insert((msisdn.clone(), amount), at);
        self.order.push_back((at, msisdn.clone(), amount));
    }

    fn holds(&self, msisdn: &Msisdn, amount: AmountKes, now: UnixMillis) -> bool {
        self.last_paid
            .get(&(msisdn.clone(), amount))
            .is_some_and(|then| now.millis_since(*then) < REPEAT_WINDOW_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_the_same_phone_and_amount_within_two_minutes() {
        let (one, other) = (Msisdn::parse("254712345678").unwrap(), Msisdn::parse("254112345678").unwrap());
        let amount = |shillings| AmountKes::new(shillings).unwrap();
        let mut recent = Recent::default();
        recent.note(&one, amount(100), UnixMillis(0));
        assert!(recent.holds(&one, amount(100), UnixMillis(119_999)));
        assert!(!recent.holds(&one, amount(100), UnixMillis(120_000)));
        assert!(!recent.holds(&one, amount(101), UnixMillis(1)));
        assert!(!recent.holds(&other, amount(100), UnixMillis(1)));
    }

    #[test]
    fn an_old_entry_falls_out_without_taking_a_newer_one_along() {
        let phone = Msisdn::parse("254712345678").unwrap();
        let amount = AmountKes::new(100).unwrap();
        let mut recent = Recent::default();
        recent.note(&phone, amount, UnixMillis(0));
        recent.note(&phone, amount, UnixMillis(100_000));
        recent.note(&phone, AmountKes::new(5).unwrap(), UnixMillis(130_000));
        assert_eq!(recent.order.len(), 2);
        assert!(recent.holds(&phone, amount, UnixMillis(130_000)));
    }
}
