//! What Daraja answers to Pull's two calls: bytes in, rows out. Pure.
//!
//! Rows come in a list within a list, values as strings or numbers, and names in mixed case: all are taken. Amounts are
//! read from their digits, never through a float. A row that is not understood is kept as it came, and never spoils
//! its page; a time that is not understood does not cost the row. Sources: Safaricom's Daraja pages (December 2025), and
//! answers that public clients wrote down.

use serde_json::value::RawValue;
use thiserror::Error;

use crate::money::Money;
use crate::mpesa::evidence::{Reason, ReceiptNumber};
use crate::mpesa::fields::{self, Fields, text_or_empty as text};
use crate::mpesa::incoming::{Incoming, PaidAt, Payer, REFERENCE_CHARACTERS, TransactionKind};
use crate::plain::line_of;

/// How the kinds of payments in begin, in lower case; it may go unsaid.
const KIND_OF_PAYMENTS: &str = "c2b";
/// How much is kept of a row that is not understood: several times what today's rows have.
const BAD_ROW_CHARACTERS: usize = 2_000;

/// A part of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// What was understood.
    pub(super) rows: Vec<Incoming>,
    /// What was not, as it came, cut at 2,000 characters.
    pub(super) bad: Vec<String>,
}

impl Page {
    /// All rows of the page: what the offset of the next is counted by.
    pub(super) fn len(&self) -> usize {
        self.rows.len().saturating_add(self.bad.len())
    }
}

/// An answer that brings nothing, and not because there is nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// Daraja refuses.
    #[error("Daraja refuses with {code:?}: {description}", code = .0.code, description = .0.description)]
    Refused(Reason),
    /// Not an answer of Daraja's: a page of HTML, half a body.
    #[error("the answer is not one of Daraja's")]
    NotUnderstood,
    /// A success without a list: payments may be in it.
    #[error("the answer has no list of payments where it should have one")]
    NotAList,
}

/// Reads the answer to a query. `1001`, which means "nothing in that window" and "not set up for Pull" alike, is an
/// empty page.
///
/// # Errors
/// [`NoPage`]: nothing is known about the window.
pub(super) fn of_query(body: &[u8]) -> Result<Page, NoPage> {
    let body = fields::readable(body);
    let fields = fields::of(&body).ok_or(NoPage::NotUnderstood)?;
    match text(&fields, "responsecode").as_str() {
        "1000" => fields.get("response").map_or_else(|| Ok(Page::default()), |response| page(response)),
        "1001" => Ok(Page::default()),
        _ => Err(refused(&fields)),
    }
}

/// Reads the answer to a registration: `1000` is done, `1001` was done before.
///
/// # Errors
/// [`NoPage`]: the short code may not be registered.
pub(super) fn of_registration(body: &[u8]) -> Result<(), NoPage> {
    let fields = fields::of(body).ok_or(NoPage::NotUnderstood)?;
    let status = ["responsestatus", "responsecode"].map(|name| text(&fields, name));
    if status.iter().any(|status| status == "1000" || status == "1001") {
        return Ok(());
    }
    Err(refused(&fields))
}

fn refused(fields: &Fields<'_>) -> NoPage {
    let first = |names: &[&str]| {
        names.iter().map(|name| text(fields, name)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let fault = fields::object(fields, "fault");
    let fault = fault.map(|fault| text(&fault, "faultstring")).unwrap_or_default();
    let code = first(&["errorcode", "responsestatus", "responsecode"]);
    let description = first(&["errormessage", "responsemessage", "responsedescription"]);
    let description = if description.is_empty() { fault } else { description };
    if code.is_empty() && description.is_empty() {
        return NoPage::NotUnderstood;
    }
    NoPage::Refused(Reason::new(&code, &description))
}

/// A list of rows, or of lists of rows. Nothing at all is an empty page; anything else could hold payments.
fn page(response: &RawValue) -> Result<Page, NoPage> {
    let mut page = Page::default();
    if matches!(response.get(), "null" | "\"\"") {
        return Ok(page);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(response.get()).map_err(|_| NoPage::NotAList)?;
    for element in elements {
        match serde_json::from_str::<Vec<&RawValue>>(element.get()) {
            Ok(inner) => inner.into_iter().for_each(|row| page.take(row)),
            Err(_) => page.take(element),
        }
    }
    Ok(page)
}

impl Page {
    fn take(&mut self, element: &RawValue) {
        match row(element) {
            Some(row) => self.rows.push(row),
            None => self.bad.push(element.get().chars().take(BAD_ROW_CHARACTERS).collect()),
        }
    }
}

fn row(element: &RawValue) -> Option<Incoming> {
    let fields = fields::of(element.get().as_bytes())?;
    let cut = |name, most| line_of(&text(&fields, name), most);
    let kind = text(&fields, "transactiontype").to_lowercase();
    Some(Incoming {
        receipt: ReceiptNumber::parse(&text(&fields, "transactionid"))?,
        paid_at: PaidAt::read(&text(&fields, "trxdate")),
        payer: Payer::told(&text(&fields, "msisdn")),
        kind: if kind.is_empty() || kind.starts_with(KIND_OF_PAYMENTS) {
            TransactionKind::Known
        } else {
            TransactionKind::Unknown
        },
        reference: cut("billreference", REFERENCE_CHARACTERS),
        amount: Money::parse(&text(&fields, "amount")).ok().filter(|amount| amount.is_positive())?,
    })
}

#[cfg(test)]
mod tests;
