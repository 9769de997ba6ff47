//! What a person has to look at: money whose way nobody can decide by rule.
//!
//! It gathers six things: callbacks that did not fit (`credit`), requests of which Safaricom said too little
//! (`mpesa::intent`), payments that are nobody's, rows that are not understood, and rows that do not fit what is booked
//! (`mpesa::pull`), and rows of the portal's statements that no rule books (`mpesa::statement`). It decides nothing. A payment
//! leaves the list when its owner is known, a refund when its end is; the others when a person has looked at them, which moves
//! no money and forgets nothing, and a request when its receipt comes as well. What money a row of a statement moved that no
//! rule books, an owner says, and books (`by_hand`).

pub(crate) mod api;
pub mod by_hand;
pub(crate) mod pages;
pub mod place;
mod store;

use tawi_shared::{IdSource, UnixMillis};

use self::place::{List, Place};
pub(crate) use self::store::{NOWHERE_BOOKED, is_settled, other_form};
use super::{PaymentError, REVIEWED_WITHIN};
use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::ids::{CallbackId, CustomerId, IntentId, PaymentId, RefundId};
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
    /// A payment that is nobody's, its money in suspense, or that is somebody's and nobody knows for what.
    Payment(PaymentId),
    /// What Pull or a statement tells of this payment does not fit what is booked.
    Evidence(PaymentId),
    /// A row of Pull, perhaps a payment, that is not understood; with the SHA-256 of it.
    PullRow(String),
    /// A row of a statement that no rule books; with the SHA-256 of it.
    StatementRow(String),
    /// A refund of which M-Pesa does not say how it ended.
    Refund(RefundId),
}

/// What leaves the list when a person says that it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A callback.
    Callback(CallbackId),
    /// A request, whatever becomes of it later.
    Request(IntentId),
    /// What Pull or a statement told of this payment.
    Evidence(PaymentId),
    /// A row of Pull, by its SHA-256.
    PullRow(String),
    /// A row of a statement, by its SHA-256.
    StatementRow(String),
}

/// What came of saying that something was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedAt {
    /// It has left the list.
    Noted,
    /// It was not on the list any more.
    AlreadySo,
    /// There is no such item.
    NoSuchItem,
    /// It is a payment or a refund: those leave the list by themselves.
    LeavesByItself,
}

/// The page on which a person finds more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewTarget {
    /// A payment's.
    Payment(PaymentId),
    /// A refund's.
    Refund(RefundId),
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
            Self::StatementRow(_) => "statement_row",
            Self::Refund(_) => "refund",
        }
    }

    /// Which one: the id, or the digest of a row.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Callback(id) => id.to_string(),
            Self::Request(id) => id.to_string(),
            Self::Payment(id) | Self::Evidence(id) => id.to_string(),
            Self::PullRow(digest) | Self::StatementRow(digest) => digest.clone(),
            Self::Refund(id) => id.to_string(),
        }
    }
}

impl Settled {
    fn named(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "callback" => CallbackId::parse(id).ok().map(Self::Callback),
            "request" => IntentId::parse(id).ok().map(Self::Request),
            "evidence" => PaymentId::parse(id).ok().map(Self::Evidence),
            "pull_row" => Some(Self::PullRow(id.to_owned())),
            "statement_row" => Some(Self::StatementRow(id.to_owned())),
            _ => None,
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Callback(id) => id.as_str(),
            Self::Request(id) => id.as_str(),
            Self::Evidence(id) => id.as_str(),
            Self::PullRow(digest) | Self::StatementRow(digest) => digest,
        }
    }
}

impl ForReview {
    /// Whether a person takes it off the list, with [`looked_at`].
    #[must_use]
    pub fn is_taken_off_by_hand(&self) -> bool {
        !matches!(self.kind, ReviewKind::Payment(_) | ReviewKind::Refund(_))
    }

    /// Whether [`as_it_came`] has it.
    #[must_use]
    pub fn is_kept_as_it_came(&self) -> bool {
        matches!(self.kind, ReviewKind::Callback(_) | ReviewKind::PullRow(_) | ReviewKind::StatementRow(_))
    }

    /// Where to look first; `None` when no page has it.
    #[must_use]
    pub fn target(&self) -> Option<ReviewTarget> {
        match (&self.kind, &self.customer) {
            (ReviewKind::Payment(payment) | ReviewKind::Evidence(payment), _) => {
                Some(ReviewTarget::Payment(payment.clone()))
            }
            (ReviewKind::Refund(refund), _) => Some(ReviewTarget::Refund(refund.clone())),
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
    for_review_after(connection, None, limit).await
}

/// The same after a place in the list.
///
/// # Errors
/// When the database refuses.
pub async fn for_review_after(
    connection: &mut Connection,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<ForReview>, PaymentError> {
    // Each list is read from an index in its own order, and no further than the limit.
    let mut items = Vec::new();
    for list in List::ALL {
        let begins = place::begins(after, list);
        items.extend(store::items_of(connection, list, &begins, limit).await?);
    }
    place::sort(&mut items);
    items.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(items)
}

/// How much waits for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// All of it.
    pub all: u64,
    /// What waits for longer than [`REVIEWED_WITHIN`].
    pub overdue: u64,
}

/// Counts what a person has to look at, however much it is.
///
/// # Errors
/// When the database refuses.
pub async fn waiting(connection: &mut Connection, now: UnixMillis) -> Result<Waits, PaymentError> {
    Ok(store::waits(connection, now.minus(REVIEWED_WITHIN)).await?)
}

/// An item as it came, named as for [`looked_at`]: with names and numbers of whoever paid, so that the list itself does not
/// have it. `None` where there is no such item, or none that was kept as it came.
///
/// # Errors
/// When the database refuses.
pub async fn as_it_came(
    connection: &mut Connection,
    (kind, id): (&str, &str),
) -> Result<Option<String>, PaymentError> {
    match Settled::named(kind, id) {
        Some(item) => Ok(store::body_of(connection, &item).await?),
        None => Ok(None),
    }
}

/// Notes that a person has looked at an item, named as [`ReviewKind::as_str`] and its id, and who: it leaves the list.
///
/// # Errors
/// When the database refuses.
pub async fn looked_at(
    connection: &mut Connection,
    (kind, id): (&str, &str),
    by: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<LookedAt, PaymentError> {
    if matches!(kind, "payment" | "refund") {
        return Ok(LookedAt::LeavesByItself);
    }
    let Some(item) = Settled::named(kind, id) else { return Ok(LookedAt::NoSuchItem) };
    match store::waits_for_person(connection, &item).await? {
        None => return Ok(LookedAt::NoSuchItem),
        Some(false) => return Ok(LookedAt::AlreadySo),
        Some(true) => store::note_looked_at(connection, &item, &by.to_string(), now).await?,
    }
    audit::record(connection, by, (Action::ReviewLookedAt, item.id(), kind), ids, now).await?;
    Ok(LookedAt::Noted)
}
