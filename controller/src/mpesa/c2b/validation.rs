//! The answer to a question before a payment by Paybill: yes, or why not.
//!
//! Safaricom asks only short codes for which it was told to, waits some 8 seconds, and then does what the registration
//! says. "No" is said for one reason: the account is nobody's, nor one slip away from somebody's, so that the payer learns of the slip while the
//! money is still theirs. Whatever else is wrong, money that came can be sorted out and money that was refused is lost.

use axum::http::StatusCode;
use serde::Serialize;

use super::NotUnderstood;
use super::notification::Notification;
use crate::customers::account_number::AccountNumber;
use crate::customers::phone::Msisdn;
use crate::customers::references;
use crate::customers::{self, CustomerError};
use crate::database::Connection;

/// What Safaricom is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mpesa) enum Verdict {
    /// The payment may go on.
    Accepted,
    /// The account is nobody's: `C2B00012`.
    NoSuchAccount,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    result_code: &'static str,
    result_desc: &'static str,
}

impl Verdict {
    /// The body of the answer, always with status 200.
    pub(in crate::mpesa) fn answer(self) -> (StatusCode, axum::Json<impl Serialize>) {
        let answer = match self {
            // The string "0": with the number it is not an answer.
            Self::Accepted => Answer { result_code: "0", result_desc: "Accepted" },
            Self::NoSuchAccount => Answer { result_code: "C2B00012", result_desc: "Rejected" },
        };
        (StatusCode::OK, axum::Json(answer))
    }
}

/// Judges a body that came as a question about a payment to this short code. In doubt, yes.
///
/// # Errors
/// When the database refuses: then yes, too.
pub(in crate::mpesa) async fn judge(
    connection: &mut Connection,
    body: &[u8],
) -> Result<Verdict, CustomerError> {
    let asked: Result<Notification, NotUnderstood> = Notification::parse(body);
    let Ok(asked) = asked else { return Ok(Verdict::Accepted) };
    if asked.is_for_till || asked.reference.is_empty() || Msisdn::parse(&asked.reference).is_ok() {
        return Ok(Verdict::Accepted);
    }
    // Read by the rule by which it is booked. A slip is told to the payer now, whose the money still is.
    if let Ok(number) = AccountNumber::parse(&asked.reference)
        && customers::by_account_number(connection, &number).await?.is_some()
    {
        return Ok(Verdict::Accepted);
    }
    let is_reference = references::holder_of_typed(connection, &asked.reference).await?.is_some();
    Ok(if is_reference { Verdict::Accepted } else { Verdict::NoSuchAccount })
}
