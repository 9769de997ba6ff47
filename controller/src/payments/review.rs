//! What a person has to look at: money whose way nobody can decide by rule.
//!
//! It gathers five things: callbacks that did not fit (`credit`), requests of which Safaricom said too little
//! (`mpesa::intent`), and payments that are nobody's, rows that are not understood, and rows that do not fit what is
//! booked (`mpesa::pull`). It decides nothing and changes nothing; a request leaves the list when its receipt comes, a payment when its owner is known.

use std::cmp::Reverse;

use tawi_shared::UnixMillis;

use super::{PaymentError, store};
use crate::database::Connection;
use crate::ids::{CallbackId, CustomerId, IntentId, PaymentId};
use crate::money::Money;

/// What a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForReview {
    /// What it is, and which one.
    pub kind: ReviewKind,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// How much: what a payment brought, or a request asked for; `None` when nobody knows.
    pub amount: Option<Money>,
    /// The receipt, where there is one.
    pub receipt_number: Option<String>,
    /// Since when it waits.
    pub since: UnixMillis,
    /// Whose it probably is.
    pub customer: Option<CustomerId>,
    /// Their name; empty when nobody is known.
    pub customer_name: String,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewKind {
    /// A callback that did not fit its request, was not understood, or cannot be taken in.
    Callback(CallbackId),
    /// A request that ended in a way that nobody has seen, or is paid without a receipt.
    Request(IntentId),
    /// A payment that is nobody's: its money lies in suspense.
    Payment(PaymentId),
    /// What Pull tells of this payment does not fit what is booked.
    Evidence(PaymentId),
    /// A row of Pull, perhaps a payment, that is not understood; with the SHA-256 of it.
    PullRow(String),
}

/// The page on which a person finds more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewTarget {
    /// A payment's.
    Payment(PaymentId),
    /// A customer's.
    Customer(CustomerId),
}

impl ReviewKind {
    /// The word for it, for pages and programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Callback(_) => "callback",
            Self::Request(_) => "request",
            Self::Payment(_) => "payment",
            Self::Evidence(_) => "evidence",
            Self::PullRow(_) => "pull_row",
        }
    }
}

impl ForReview {
    /// Where to look first; `None` when no page has it.
    #[must_use]
    pub fn target(&self) -> Option<ReviewTarget> {
        match (&self.kind, &self.customer) {
            (ReviewKind::Payment(payment) | ReviewKind::Evidence(payment), _) => {
                Some(ReviewTarget::Payment(payment.clone()))
            }
            (_, Some(customer)) => Some(ReviewTarget::Customer(customer.clone())),
            (_, None) => None,
        }
    }
}

/// What a person has to look at, newest first, at most `limit`.
///
/// # Errors
/// When the database refuses.
pub async fn for_review(connection: &mut Connection, limit: i64) -> Result<Vec<ForReview>, PaymentError> {
    // Each list is read from an index in its own order, and no further than the limit.
    let mut items = store::callbacks_for_review(connection, limit).await?;
    items.extend(store::requests_for_review(connection, limit).await?);
    items.extend(store::payments_for_review(connection, limit).await?);
    items.extend(store::evidence_for_review(connection, limit).await?);
    items.extend(store::pull_rows_for_review(connection, limit).await?);
    items.sort_by_key(|item| Reverse(item.since));
    items.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(items)
}
