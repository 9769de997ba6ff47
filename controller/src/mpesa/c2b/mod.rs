//! Customer to business: what Safaricom asks before and tells after somebody pays by Paybill or to a till.
//!
//! ```text
//!   question before ──▶ validation ──▶ "yes" or "no such account", from what is known, within a second
//!   news after ───────▶ stored, answered ──▶ notification (what it says) ──▶ incoming (whose it is, booked once)
//! ```
//! Safaricom is told both addresses once (`register`); they hold a secret of the short code's own, since nothing that
//! comes is signed. A prompt's payment is told of here too, beside its own callback: both are evidence of one receipt.

mod notification;
mod register;
mod simulate;
pub(crate) mod store;
pub(super) mod validation;

use tawi_shared::{IdSource, UnixMillis};

use self::notification::Notification;
use super::evidence::{NotUnderstood, ReceiptNumber};
use super::incoming::{self, Source};
use super::settings::MpesaSettings;
use super::short_codes::ShortCodes;
use super::store::StoredCallback;
use crate::database::Connection;
use crate::money::Money;
use crate::payments::PaymentError;
use crate::payments::credit::{CallbackOutcome, TakenIn};
use crate::state::Controller;
pub use register::{NotRegistered, Registered, ResponseType, prove_reachable, register};
pub use simulate::{NotSimulated, simulate};

/// The source in the key of a piece of evidence.
const SOURCE: &str = "c2b confirmation";

/// The short codes of which a payment by Paybill or to the till is heard of, reported or fetched: nobody is sent to another.
#[derive(Clone, Debug, Default)]
pub struct Heard(Vec<String>);

impl Heard {
    /// Of these settings.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn among(
        connection: &mut Connection,
        short_codes: Option<&ShortCodes>,
    ) -> Result<Self, sqlx::Error> {
        let mut heard = Vec::new();
        for settings in short_codes.map(ShortCodes::settings).unwrap_or_default() {
            let short_code = settings.short_code();
            if settings.pull().is_some() || store::is_registered(connection, short_code).await? {
                heard.push(short_code.to_owned());
            }
        }
        Ok(Self(heard))
    }

    /// Whether payments to this one are heard of.
    #[must_use]
    pub fn has(&self, short_code: &str) -> bool {
        self.0.iter().any(|heard| heard == short_code)
    }
}

/// Notes which tills are paid under which head office, by the settings.
///
/// # Errors
/// When the database refuses.
pub async fn note_tills(controller: &Controller, all: &[&MpesaSettings]) -> Result<(), sqlx::Error> {
    let mut transaction = controller.database.write().await?;
    for settings in all {
        let short_code = settings.short_code();
        store::note_no_till(&mut transaction, short_code).await?;
        for till_number in settings.till_numbers() {
            store::note_till(&mut transaction, till_number, short_code).await?;
        }
    }
    transaction.commit().await
}

/// Whether two numbers are those of one payee: the same, or a till's and that of its head office, or of two of its tills.
pub(crate) async fn are_one_payee(
    connection: &mut Connection,
    one: &str,
    other: &str,
) -> Result<bool, sqlx::Error> {
    Ok(one == other
        || store::booked_under(connection, one).await? == store::booked_under(connection, other).await?)
}

/// What a confirmation says was paid.
pub(super) fn told_of(body: &[u8]) -> Option<(ReceiptNumber, Money)> {
    let payment = Notification::parse(body).and_then(|told| told.payment()).ok()?;
    Some((payment.receipt, payment.amount))
}

/// Takes one stored confirmation in.
///
/// # Errors
/// [`PaymentError`]; the transaction, or its savepoint, must then be rolled back.
pub(super) async fn take_in(
    connection: &mut Connection,
    callback: &StoredCallback,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<TakenIn, PaymentError> {
    let Some(payee) = &callback.payee else {
        return Ok(TakenIn::quietly(CallbackOutcome::NoSuchRequest));
    };
    let told = Notification::parse(&callback.body).and_then(|told| Ok((told.payment()?, told.short_code)));
    let (payment, told_to) = match told {
        Ok(told) => told,
        Err(why) => return Ok(TakenIn::quietly(CallbackOutcome::NotUnderstood(why))),
    };
    if told_to != payee.till_number && !are_one_payee(connection, &told_to, &payee.short_code).await? {
        return Ok(TakenIn::quietly(CallbackOutcome::AnotherShortCode));
    }
    let source = Source {
        short_code: &payee.short_code,
        name: SOURCE,
        id: callback.id.as_str(),
        received_at: callback.received_at,
        is_kept: true,
        is_enough: true,
    };
    let (mut taken_in, no_owner) = incoming::take_in(connection, &payment, source, ids, now).await?;
    taken_in.no_owner = no_owner;
    Ok(taken_in)
}
