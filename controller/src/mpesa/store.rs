//! All SQL of payment requests and stored callbacks.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;

use super::evidence::{CheckoutId, Reason, ReceiptNumber};
use super::intent::{CallbackToken, Intent, Promised, State};
use super::result_codes;
use crate::columns;
use crate::customers::phone::Msisdn;
use crate::database::{Connection, Row, Together};
use crate::entitlements::Offer;
use crate::ids::{CallbackId, CustomerId, IntentId, PaymentId, TopUpId};
use crate::money::Money;

/// What a stored callback tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallbackKind {
    /// The end of a prompt.
    Stk,
    /// A payment by Paybill or to a till.
    Confirmation,
    /// The result of what an API operator asked.
    OperatorResult,
    /// Such a request timed out inside M-Pesa.
    OperatorTimeOut,
}

impl CallbackKind {
    const ALL: [Self; 4] = [Self::Stk, Self::Confirmation, Self::OperatorResult, Self::OperatorTimeOut];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stk => "stk",
            Self::Confirmation => "confirmation",
            Self::OperatorResult => "operator_result",
            Self::OperatorTimeOut => "operator_timeout",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A stored callback that waits to be taken in. `Debug` hides the body, which names whoever paid.
#[derive(Clone)]
pub(crate) struct StoredCallback {
    pub(crate) id: CallbackId,
    pub(crate) kind: CallbackKind,
    pub(crate) token: CallbackToken,
    pub(crate) body: Vec<u8>,
    pub(crate) received_at: UnixMillis,
    /// Whose address for news of payments by Paybill or to a till it came to, if to any: known when it is read back.
    pub(crate) payee: Option<Payee>,
}

/// Whose address for news of payments it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payee {
    /// The short code.
    pub(crate) short_code: String,
    /// The till's own number; empty for a paybill.
    pub(crate) till_number: String,
}

impl fmt::Debug for StoredCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, received_at, .. } = self;
        f.debug_tuple("StoredCallback").field(id).field(kind).field(received_at).finish()
    }
}

/// The columns that [`read_intent`] reads, with what follows `FROM payment_intents`.
macro_rules! intents {
    ($rest:literal) => {
        concat!(
            "SELECT id, subscription_id, top_up_id, customer_id, short_code, phone, amount_cents, promised_plan_id, ",
            "promised_price_cents, promised_validity_seconds, promised_bytes, callback_token, state, ",
            "checkout_request_id, merchant_request_id, result_code, result_description, receipt_number, ",
            "next_query_at, queries_sent, requested_by, created_at, updated_at FROM payment_intents ",
            $rest
        )
    };
}

pub(crate) async fn insert_intent(connection: &mut Connection, intent: &Intent) -> Result<(), sqlx::Error> {
    let (code, description) = result_columns(intent);
    let promised = intent.promised.as_ref();
    let offer = promised.map(|promised| promised.offer);
    sqlx::query(
        "INSERT INTO payment_intents (id, subscription_id, customer_id, short_code, phone, amount_cents, \
                                      callback_token, state, checkout_request_id, merchant_request_id, \
                                      result_code, result_description, receipt_number, next_query_at, \
                                      queries_sent, requested_by, created_at, updated_at, top_up_id, promised_plan_id, \
                                      promised_price_cents, promised_validity_seconds, promised_bytes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
    )
    .bind(intent.id.as_str())
    .bind(intent.subscription.as_str())
    .bind(intent.customer.as_str())
    .bind(intent.short_code.as_str())
    .bind(intent.phone.digits())
    .bind(intent.amount.cents())
    .bind(intent.callback_token.reveal())
    .bind(intent.state.as_str())
    .bind(intent.checkout.as_ref().map(CheckoutId::as_str))
    .bind(intent.merchant_request_id.as_deref())
    .bind(code)
    .bind(description)
    .bind(intent.receipt())
    .bind(intent.next_query_at.map(|at| at.0))
    .bind(i64::from(intent.queries_sent))
    .bind(intent.requested_by.as_str())
    .bind(intent.created_at.0)
    .bind(intent.updated_at.0)
    .bind(intent.top_up.as_ref().map(TopUpId::as_str))
    .bind(promised.map(|promised| promised.plan.as_str()))
    .bind(offer.map(|offer| offer.price.cents()))
    .bind(offer.map(|offer| columns::stored(offer.validity.as_secs())))
    .bind(offer.and_then(|offer| offer.bytes).map(columns::stored))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes back what `apply` may have changed.
pub(crate) async fn update_intent(connection: &mut Connection, intent: &Intent) -> Result<(), sqlx::Error> {
    let (code, description) = result_columns(intent);
    sqlx::query(
        "UPDATE payment_intents SET state = $2, checkout_request_id = $3, merchant_request_id = $4, \
                result_code = $5, result_description = $6, receipt_number = $7, next_query_at = $8, \
                queries_sent = $9, updated_at = $10, \
                is_said_paid = CASE WHEN $2 = 'paid_unreceipted' THEN 1 ELSE is_said_paid END, \
                is_looked_at = CASE WHEN state = $2 THEN is_looked_at ELSE 0 END \
         WHERE id = $1",
    )
    .bind(intent.id.as_str())
    .bind(intent.state.as_str())
    .bind(intent.checkout.as_ref().map(CheckoutId::as_str))
    .bind(intent.merchant_request_id.as_deref())
    .bind(code)
    .bind(description)
    .bind(intent.receipt())
    .bind(intent.next_query_at.map(|at| at.0))
    .bind(i64::from(intent.queries_sent))
    .bind(intent.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn result_columns(intent: &Intent) -> (Option<&str>, Option<&str>) {
    intent.result().map_or((None, None), |(code, description)| (Some(code), Some(description)))
}

/// Whether another request has taken this prompt's id: then a callback that names it belongs there.
pub(crate) async fn is_checkout_of_another(
    connection: &mut Connection,
    intent: &Intent,
) -> Result<bool, sqlx::Error> {
    let Some(checkout) = &intent.checkout else { return Ok(false) };
    let row = sqlx::query(
        "SELECT COUNT(*) AS others FROM payment_intents WHERE checkout_request_id = $1 AND id <> $2",
    )
    .bind(checkout.as_str())
    .bind(intent.id.as_str())
    .fetch_one(connection)
    .await?;
    columns::truth(&row, "others")
}

pub(crate) async fn intent_by_id(
    connection: &mut Connection,
    id: &IntentId,
) -> Result<Option<Intent>, sqlx::Error> {
    let row = sqlx::query(intents!("WHERE id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read_intent(&row)).transpose()
}

pub(crate) async fn intent_by_token(
    connection: &mut Connection,
    token: &CallbackToken,
) -> Result<Option<Intent>, sqlx::Error> {
    let row = sqlx::query(intents!("WHERE callback_token = $1"))
        .bind(token.reveal())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read_intent(&row)).transpose()
}

/// Newest first.
pub(crate) async fn intents_of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
    limit: u32,
) -> Result<Vec<Intent>, sqlx::Error> {
    let rows = sqlx::query(intents!("WHERE customer_id = $1 ORDER BY created_at DESC, id LIMIT $2"))
        .bind(customer.as_str())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_intent).collect()
}

/// The newest requests that may stand in the way of another, of a customer or on a phone: those since `lately` that may
/// still be answered, those that have ended since, since `unclear` those of which nobody knows whether they were paid, and since
/// `said_paid` those of which M-Pesa says so. All were made since `oldest`, by which they are found.
pub(crate) async fn standing_intents_since(
    connection: &mut Connection,
    customer: &CustomerId,
    phone: Option<&Msisdn>,
    [lately, unclear, said_paid, oldest]: [UnixMillis; 4],
    limit: u32,
) -> Result<Vec<Intent>, sqlx::Error> {
    let rows = sqlx::query(intents!(
        "\
         WHERE (customer_id = $1 OR phone = $2) AND created_at > $6 \
           AND ((created_at > $3 AND state IN ('created', 'submitting', 'prompted', 'submit_unknown', \
                                               'paid_unreceipted')) \
                OR (updated_at > $3 AND (state = 'paid' OR (state = 'declined' AND result_code = $7))) \
                OR (updated_at > $5 AND state = 'review') OR (updated_at > $8 AND state = 'paid_unreceipted' AND is_looked_at = 0)) \
         ORDER BY created_at DESC, id LIMIT $4"
    ))
    .bind(customer.as_str())
    .bind(phone.map_or("", Msisdn::digits))
    .bind(lately.0)
    .bind(i64::from(limit))
    .bind(unclear.0)
    .bind(oldest.0)
    .bind(result_codes::SAME_AGAIN)
    .bind(said_paid.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_intent).collect()
}

/// A customer's requests since an instant of which Safaricom says that they are paid, and whose receipt has not come: the
/// oldest first.
pub(crate) async fn said_paid_since(
    connection: &mut Connection,
    customer: &CustomerId,
    since: UnixMillis,
) -> Result<Vec<Intent>, sqlx::Error> {
    let rows = sqlx::query(intents!(
        "WHERE customer_id = $1 AND created_at > $2 AND state = 'paid_unreceipted' ORDER BY created_at, id"
    ))
    .bind(customer.as_str())
    .bind(since.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_intent).collect()
}

/// Requests about which something is due, the longest overdue first.
pub(crate) async fn due_intents(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Intent>, sqlx::Error> {
    let rows = sqlx::query(intents!("WHERE next_query_at <= $1 ORDER BY next_query_at, id LIMIT $2"))
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_intent).collect()
}

fn read_intent(row: &Row) -> Result<Intent, sqlx::Error> {
    let word: String = row.try_get("state")?;
    let receipt: Option<String> = row.try_get("receipt_number")?;
    let reason = Reason {
        code: row.try_get::<Option<String>, _>("result_code")?.unwrap_or_default(),
        description: row.try_get::<Option<String>, _>("result_description")?.unwrap_or_default(),
    };
    let state = State::from_stored(&word, receipt.as_deref(), reason)
        .map_err(|error| sqlx::Error::ColumnDecode { index: "state".to_owned(), source: Box::new(error) })?;
    Ok(Intent {
        id: columns::parsed(row, "id")?,
        subscription: columns::parsed(row, "subscription_id")?,
        top_up: columns::parsed_or_none(row, "top_up_id")?,
        customer: columns::parsed(row, "customer_id")?,
        short_code: row.try_get("short_code")?,
        phone: columns::parsed(row, "phone")?,
        amount: columns::money(row, "amount_cents")?,
        promised: read_promised(row)?,
        callback_token: columns::parsed(row, "callback_token")?,
        state,
        checkout: columns::parsed_or_none(row, "checkout_request_id")?,
        merchant_request_id: row.try_get("merchant_request_id")?,
        next_query_at: columns::instant_or_none(row, "next_query_at")?,
        queries_sent: columns::unsigned(row, "queries_sent")?,
        requested_by: row.try_get("requested_by")?,
        created_at: columns::instant(row, "created_at")?,
        updated_at: columns::instant(row, "updated_at")?,
    })
}

/// Reads what a request promised, out of the columns that begin so.
pub(super) fn read_promised(row: &Row) -> Result<Option<Promised>, sqlx::Error> {
    let Some(plan) = columns::parsed_or_none(row, "promised_plan_id")? else { return Ok(None) };
    let bytes: Option<i64> = row.try_get("promised_bytes")?;
    let offer = Offer {
        price: columns::money(row, "promised_price_cents")?,
        validity: Duration::from_secs(columns::unsigned(row, "promised_validity_seconds")?),
        bytes: bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
    };
    Ok(Some(Promised { plan, offer }))
}

/// Whether Safaricom ever said of a request that it is paid, before its receipt came.
pub(crate) async fn is_said_paid(connection: &mut Connection, id: &IntentId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT is_said_paid FROM payment_intents WHERE id = $1")
        .bind(id.as_str())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "is_said_paid")
}

/// Whether any request has this token: a cheap look before anything is stored.
pub(crate) async fn is_token_known(
    connection: &mut Connection,
    token: &CallbackToken,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS found FROM payment_intents WHERE callback_token = $1")
        .bind(token.reveal())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "found")
}

pub(crate) fn add_callback(together: &mut Together, callback: &StoredCallback, source_address: &str) {
    let (body, is_hex) = written(&callback.body);
    together
        .add(
            "INSERT INTO callback_bodies (id, callback_token, source_address, body, is_hex, received_at, kind) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(callback.id.as_str())
        .bind(callback.token.reveal())
        .bind(source_address)
        .bind(body.as_ref())
        .bind(i64::from(is_hex))
        .bind(callback.received_at.0)
        .bind(callback.kind.as_str());
}

/// A body as a text, which a person can read where it is kept; as hex when it is no text, or one with a NUL, which
/// PostgreSQL does not take.
fn written(body: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains('\0') => (Cow::Borrowed(text), false),
        Ok(_) | Err(_) => (Cow::Owned(hex(body)), true),
    }
}

/// What [`written`] wrote as hex. Anything else in the column ends the body there, and is then not understood.
fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Callbacks that wait behind a place in their order, oldest first: those that were never tried, or those whose taking
/// in failed before.
pub(crate) async fn waiting_callbacks(
    connection: &mut Connection,
    that_failed: bool,
    behind: Option<&(UnixMillis, CallbackId)>,
    limit: u32,
) -> Result<Vec<StoredCallback>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT b.id, b.kind, b.callback_token, b.body, b.is_hex, b.received_at, a.short_code, a.till_number \
         FROM callback_bodies b LEFT JOIN c2b_addresses a ON a.callback_token = b.callback_token \
         WHERE b.processed_at IS NULL AND (CASE WHEN b.outcome = '' THEN 0 ELSE 1 END) = $1 \
           AND (b.received_at > $2 OR (b.received_at = $2 AND b.id > $3)) \
         ORDER BY b.received_at, b.id LIMIT $4 + 0",
    )
    .bind(i64::from(that_failed))
    .bind(behind.map_or(i64::MIN, |(received_at, _)| received_at.0))
    .bind(behind.map_or("", |(_, id)| id.as_str()))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let body: String = row.try_get("body")?;
            let short_code: Option<String> = row.try_get("short_code")?;
            let payee = short_code.map(|short_code| {
                Ok::<_, sqlx::Error>(Payee { short_code, till_number: row.try_get("till_number")? })
            });
            Ok(StoredCallback {
                id: columns::parsed(row, "id")?,
                kind: columns::word(row, "kind", CallbackKind::parse)?,
                token: columns::parsed(row, "callback_token")?,
                body: if columns::truth(row, "is_hex")? { unhex(&body) } else { body.into_bytes() },
                received_at: columns::instant(row, "received_at")?,
                payee: payee.transpose()?,
            })
        })
        .collect()
}

/// What became of a callback.
pub(crate) struct Closing<'a> {
    /// `None` when it has to be tried again.
    pub(crate) at: Option<UnixMillis>,
    pub(crate) outcome: &'a str,
    pub(crate) needs_person: bool,
    /// Whether it is settled once something else tells of the same receipt and amount.
    pub(crate) waits_for_receipt: bool,
    /// What it says was paid, where it is understood so far.
    pub(crate) told: Option<(ReceiptNumber, Money)>,
}

/// Notes what became of a callback.
pub(crate) fn add_closing(together: &mut Together, id: &CallbackId, closing: Closing<'_>) {
    let (receipt, amount) = closing.told.unzip();
    together
        .add(
            "UPDATE callback_bodies SET processed_at = $2, outcome = $3, needs_person = $4, receipt_number = $5, \
                    amount_cents = $6, waits_for_receipt = $7 \
             WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(closing.at.map(|at| at.0))
        .bind(closing.outcome)
        .bind(i64::from(closing.needs_person))
        .bind(receipt.as_ref().map_or("", ReceiptNumber::as_str))
        .bind(amount.map(Money::cents))
        .bind(i64::from(closing.waits_for_receipt));
}

/// Takes callbacks off the list of what a person has to look at that told of a receipt in vain, which is booked with the
/// same amount, as this payment, now that another source told of it.
pub(crate) fn add_settled_callbacks(
    together: &mut Together,
    payment: &PaymentId,
    (receipt, amount): (&ReceiptNumber, Money),
    source: &str,
) {
    together
        .add(
            "UPDATE callback_bodies SET needs_person = 0, waits_for_receipt = 0, outcome = outcome || $3 \
             WHERE receipt_number = $1 AND amount_cents = $2 AND waits_for_receipt = 1 \
               AND EXISTS (SELECT 1 FROM payments WHERE id = $4)",
        )
        .bind(receipt.as_str())
        .bind(amount.cents())
        .bind(format!("; booked since by {source}"))
        .bind(payment.as_str());
}

/// Notes that callbacks from an address are turned away.
pub(super) async fn note_turned_away(
    connection: &mut Connection,
    source: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO callbacks_turned_away (source, first_at, last_at) VALUES ($1, $2, $2) \
         ON CONFLICT (source) DO UPDATE SET last_at = $2",
    )
    .bind(source)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// From where callbacks were turned away since an instant, the latest first.
pub(super) async fn turned_away_since(
    connection: &mut Connection,
    since: UnixMillis,
    limit: u32,
) -> Result<Vec<(String, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT source, last_at FROM callbacks_turned_away WHERE last_at >= $1 ORDER BY last_at DESC, source LIMIT $2",
    )
    .bind(since.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("source")?, columns::instant(row, "last_at")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_out_as_it_went_in_whatever_its_bytes() {
        let check = |body: &[u8], expected: (&str, bool)| {
            let (text, is_hex) = written(body);
            assert_eq!((text.as_ref(), is_hex), expected);
            let read = if is_hex { unhex(&text) } else { text.into_owned().into_bytes() };
            assert_eq!(read, body);
        };
        check(b"", ("", false));
        check(b"{\"a\":1}", ("{\"a\":1}", false));
        check("caf\u{e9}".as_bytes(), ("caf\u{e9}", false));
        check(b"a\0b", ("610062", true));
        check(&[0xff, 0x00, 0x0a], ("ff000a", true));
    }
}
