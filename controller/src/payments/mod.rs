//! Payments: asking for them, booking them once, and following each from Safaricom's callback to the customer's
//! packets.
//!
//! A payment is a receipt. However many callbacks speak of it, there is one row, one ledger entry and at most one
//! bought period (`credit`). How far it has come is its trace (`traces`). Talking to Safaricom is `mpesa`.

pub mod api;
pub mod corrections;
pub mod counter;
pub(crate) mod credit;
pub(crate) mod deferred_start;
pub mod follow;
pub(crate) mod grace;
pub(crate) mod moving;
mod open;
mod outcome;
pub mod pages;
pub mod progress;
pub mod refunds;
pub(crate) mod renewal;
mod request;
pub mod review;
pub mod search;
mod store;
pub mod suspense;
pub mod topping_up;
pub mod traces;
pub(crate) mod wallet;

use std::fmt;
use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::customers::CustomerError;
use crate::customers::phone::Msisdn;
use crate::database::Connection;
use crate::ids::{CustomerId, IntentId, LineId, PaymentId};
use crate::ledger::LedgerError;
use crate::money::Money;
use crate::mpesa;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::intent::Intent;
use crate::sites::SiteError;
use crate::subscriptions::SubscriptionError;
pub(crate) use open::wait_of;
pub use open::{Open, Why};
pub use request::{RequestPayment, Requested, request, request_followed};
pub use review::{ForReview, LookedAt, ReviewKind, ReviewTarget, as_it_came, for_review, looked_at};
pub use suspense::NoOwner;
pub use topping_up::{NoTopUp, ToppedUp, buy_top_up};
use traces::Trace;
pub use wallet::{FromWallet, Released, Unspent, release};

/// Rows of the "paid but not connected" list: more than that is one incident, not a list.
const UNCONNECTED_ROWS: u32 = 200;
/// Rows on one page of the list of what a person has to look at.
pub const REVIEW_ROWS: i64 = 200;
/// How long what a person has to look at may wait: until the next day.
pub const REVIEWED_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// Who or what took the money in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Safaricom's M-Pesa.
    Mpesa,
    /// One of us, in cash.
    Cash,
    /// The bank.
    Bank,
}

impl Provider {
    const ALL: [Self; 3] = [Self::Mpesa, Self::Cash, Self::Bank];

    /// The word in the database and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mpesa => "mpesa",
            Self::Cash => "cash",
            Self::Bank => "bank",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text)
    }
}

/// A receipt. `Debug` hides who paid and what they typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Payment {
    /// The id.
    pub id: PaymentId,
    /// Who or what took it in.
    pub provider: Provider,
    /// The number of our own receipt: 1 for the first payment, and no number is left out.
    pub serial: i64,
    /// Safaricom's receipt number or the bank's reference; for cash, the occasion.
    pub receipt_number: String,
    /// What was paid.
    pub amount: Money,
    /// Who was paid.
    pub short_code: String,
    /// Who paid, when the provider said.
    pub phone: Option<Msisdn>,
    /// Whose wallet it went to.
    pub customer: Option<CustomerId>,
    /// What it was asked for.
    pub subscription: Option<LineId>,
    /// The request that it answers.
    pub intent: Option<IntentId>,
    /// Why nobody owned it when it came; `None` where somebody did, or was found since.
    pub no_owner: Option<NoOwner>,
    /// What was typed as its account, as it was typed; the customer's account number where nothing was.
    pub account_reference: String,
    /// Who paid, as far as it was told: digits, a mask or a hash. Personal data.
    pub payer: String,
    /// Why it bought nothing and lies in the wallet; `None` when it was used, then or since, or came for no line.
    pub unspent: Option<Unspent>,
    /// Whether a person corrected whose it is: no rule moves it any more.
    pub is_by_hand: bool,
    /// How often it was taken from somebody.
    pub corrections: i64,
    /// Why it is no money of anybody's any more; `None` while it is.
    pub closed: Option<corrections::Closed>,
    /// The payment that it is a part of.
    pub part_of: Option<PaymentId>,
    /// When Safaricom told us.
    pub received_at: UnixMillis,
    /// When it was booked.
    pub booked_at: UnixMillis,
}

impl Payment {
    /// What people call it: M-Pesa's receipt number, the bank's reference, or the number of our receipt for cash.
    #[must_use]
    pub fn name(&self) -> String {
        match self.provider {
            Provider::Mpesa | Provider::Bank => self.receipt_number.clone(),
            Provider::Cash => format!("Receipt {}", self.serial),
        }
    }

    /// Its number at whoever took it in: of a part, that of the whole.
    pub(super) fn number(&self) -> Result<ReceiptNumber, PaymentError> {
        let whole = self.receipt_number.split_once('/').map_or(&*self.receipt_number, |(whole, _)| whole);
        ReceiptNumber::parse(whole).ok_or_else(|| PaymentError::ReceiptVanished(self.receipt_number.clone()))
    }

    /// Tells what is booked of it now from what was before it was taken from somebody: nothing for the first time.
    fn again(&self) -> String {
        if self.corrections == 0 { String::new() } else { format!(" {}", self.corrections) }
    }

    /// Whether its money bought what it came for, or has left the wallet since, whatever for.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.subscription.is_some() && self.unspent.is_none()
    }
}

impl fmt::Debug for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment")
            .field("id", &self.id)
            .field("receipt_number", &self.receipt_number)
            .field("amount", &self.amount)
            .field("customer", &self.customer)
            .field("subscription", &self.subscription)
            .field("intent", &self.intent)
            .field("no_owner", &self.no_owner)
            .field("unspent", &self.unspent)
            .finish_non_exhaustive()
    }
}

/// A payment in a list, with its customer and how far it has come. `Debug` hides the name.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// The payment.
    pub payment: Payment,
    /// The customer's name; empty when nobody is known.
    pub customer_name: String,
    /// The customer's account number; empty when nobody is known.
    pub account_number: String,
    /// How far it has come; `None` when it bought nothing.
    pub trace: Option<Trace>,
}

impl fmt::Debug for PaymentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payment, account_number, trace, .. } = self;
        f.debug_tuple("PaymentRow").field(payment).field(account_number).field(trace).finish()
    }
}

/// Something that told of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it was, as the table writes it.
    pub source: String,
    /// When it was taken in.
    pub seen_at: UnixMillis,
    /// What a person had to look at; empty for nothing.
    pub outcome: String,
}

/// Money taken in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How much.
    pub amount: Money,
    /// In how many payments.
    pub payments: u64,
}

/// Why payments cannot be read or written.
#[derive(Debug, Error)]
pub enum PaymentError {
    /// The database refused.
    #[error("payments: {0}")]
    Database(#[from] sqlx::Error),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The subscription could not be read or written.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// The line's site could not be read.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The customer could not be read.
    #[error(transparent)]
    Customer(#[from] CustomerError),
    /// The trace could not be written.
    #[error(transparent)]
    Trace(#[from] traces::TraceError),
    /// A payment of a receipt that is booked cannot be found: the unique constraint and the table disagree.
    #[error("the receipt {0} is booked and cannot be found")]
    ReceiptVanished(String),
    /// The customer of a subscription cannot be found.
    #[error("the customer of line {0} cannot be found")]
    NoCustomer(LineId),
    /// A line that is to be topped up has no period to add to: it was there a moment ago, in the same transaction.
    #[error("the running period of line {0} cannot be found")]
    NoPeriod(LineId),
    /// The task that sends a request ended without an answer; what became of the request is followed up.
    #[error("sending a payment request was interrupted")]
    Interrupted,
}

/// One request for payment.
///
/// # Errors
/// When the database refuses.
pub async fn intent(connection: &mut Connection, id: &IntentId) -> Result<Option<Intent>, PaymentError> {
    Ok(mpesa::store::intent_by_id(connection, id).await?)
}

/// A customer's requests for payment, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn latest_intents_of(
    connection: &mut Connection,
    customer: &CustomerId,
    limit: u32,
) -> Result<Vec<Intent>, PaymentError> {
    Ok(mpesa::store::intents_of_customer(connection, customer, limit).await?)
}

/// One payment.
///
/// # Errors
/// When the database refuses.
pub async fn payment(
    connection: &mut Connection,
    id: &PaymentId,
) -> Result<Option<PaymentRow>, PaymentError> {
    Ok(store::row_by_id(connection, id).await?)
}

/// What told of a payment, the first before the others. Cash and transfers have none but whoever took them.
///
/// # Errors
/// When the database refuses.
pub async fn evidence_of(
    connection: &mut Connection,
    payment: &PaymentId,
) -> Result<Vec<Evidence>, PaymentError> {
    Ok(store::evidence_of(connection, payment).await?)
}

/// The payment of a receipt; `None` while it is not booked.
///
/// # Errors
/// When the database refuses.
pub async fn payment_of_receipt(
    connection: &mut Connection,
    receipt: &ReceiptNumber,
) -> Result<Option<PaymentRow>, PaymentError> {
    Ok(store::row_by_receipt(connection, receipt).await?)
}

/// All payments, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn recent_payments(
    connection: &mut Connection,
    limit: u32,
) -> Result<Vec<PaymentRow>, PaymentError> {
    Ok(store::recent_rows(connection, limit).await?)
}

/// Payments that fit a search, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn find(
    connection: &mut Connection,
    search: &search::Search,
    limit: u32,
) -> Result<Vec<PaymentRow>, PaymentError> {
    Ok(store::found_rows(connection, search, limit).await?)
}

/// Whether a customer has paid something of which nobody can say yet what it came for, or of which the receipt is missing: then
/// their wallet buys nothing by itself.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn is_money_unclear(
    connection: &mut Connection,
    customer: &CustomerId,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    store::is_money_unclear(connection, customer, now).await
}

/// A customer's payments, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn payments_of(
    connection: &mut Connection,
    customer: &CustomerId,
    limit: u32,
) -> Result<Vec<PaymentRow>, PaymentError> {
    Ok(store::rows_of_customer(connection, customer, limit).await?)
}

/// What was received from `from` up to, and not including, `to`.
///
/// # Errors
/// When the database refuses.
pub async fn money_between(
    connection: &mut Connection,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Taken, PaymentError> {
    Ok(store::taken_between(connection, from, to).await?)
}

/// Payments that bought a period, are older than `older_than`, and are not verified on their router: the longest
/// waiting first, at most 200.
///
/// # Errors
/// When the database refuses.
pub async fn unconnected(
    connection: &mut Connection,
    now: UnixMillis,
    older_than: Duration,
) -> Result<Vec<PaymentRow>, PaymentError> {
    Ok(store::unverified_rows(connection, now.minus(older_than), UNCONNECTED_ROWS).await?)
}

#[cfg(test)]
pub(crate) mod testing;
