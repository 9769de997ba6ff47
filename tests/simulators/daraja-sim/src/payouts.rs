//! Payments of the merchant to phones, by the merchant's own name for each.
//!
//! A name is used once, as published: the same one again is refused and moves nothing. What the merchant was told of it is
//! not this file's concern, nor are reversals, which are marks on payments in (`payments`).

use std::collections::HashMap;

use serde::Serialize;

use crate::clock::UnixMillis;
use crate::identifiers::{AmountKes, Msisdn, ShortCode};
use crate::receipts::Receipt;

/// Payments out that are kept: more than any test makes.
const MAX_PAYOUTS: usize = 100_000;

/// One payment to a phone, done or not.
#[derive(Debug, Clone, Serialize)]
pub struct Payout {
    /// The merchant's name for it.
    pub originator_conversation_id: String,
    /// Whom it was for.
    pub msisdn: Msisdn,
    /// How much, in shillings.
    pub amount: AmountKes,
    /// Which short code paid.
    pub short_code: ShortCode,
    /// Its receipt; `null` where it failed.
    pub receipt: Option<Receipt>,
    /// When it ended.
    pub at_ms: UnixMillis,
}

/// The book of what was given back.
#[derive(Debug, Default)]
pub(crate) struct Payouts {
    rows: Vec<Payout>,
    by_name: HashMap<String, usize>,
}

impl Payouts {
    pub(crate) fn is_known(&self, originator: &str) -> bool {
        self.by_name.contains_key(originator)
    }

    pub(crate) fn get(&self, originator: &str) -> Option<&Payout> {
        self.by_name.get(originator).and_then(|index| self.rows.get(*index))
    }

    /// Writes one down; what comes after the last that is kept is forgotten, and its name is free.
    pub(crate) fn record(&mut self, payout: Payout) {
        if self.rows.len() < MAX_PAYOUTS {
            self.by_name.insert(payout.originator_conversation_id.clone(), self.rows.len());
            self.rows.push(payout);
        }
    }

    /// All, oldest first.
    pub(crate) fn rows(&self) -> &[Payout] {
        &self.rows
    }
}
