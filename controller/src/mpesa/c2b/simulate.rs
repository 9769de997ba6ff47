//! Payments by Paybill and to tills that the sandbox makes on request. Real money moves by a person's phone alone, so that
//! nothing is asked of any other place than the sandbox or this machine.

use serde_json::json;
use thiserror::Error;

use super::register::outcome;
use crate::customers::phone::Msisdn;
use crate::mpesa::client::Daraja;
use crate::mpesa::evidence::Reason;
use crate::mpesa::settings::Payee;
use crate::mpesa::stk::Shillings;

const PATH: &str = "/mpesa/c2b/v2/simulate";

/// Why no payment was made.
#[derive(Debug, Error)]
pub enum NotSimulated {
    /// It is not the sandbox that would be asked.
    #[error(
        "{0} is not the sandbox: payments are simulated at https://sandbox.safaricom.co.ke alone, or on this machine"
    )]
    NotTheSandbox(String),
    /// A paybill is paid with an account, and a till without.
    #[error(
        "say with --account what the payer types: a paybill is paid with an account, and a till without one"
    )]
    Account,
    /// Safaricom refuses.
    #[error("Safaricom makes no such payment: {} {}", .0.code, .0.description)]
    Refused(Reason),
}

/// Lets the sandbox pay to the settings' short code, or to its till.
///
/// # Errors
/// [`NotSimulated`].
pub async fn simulate(
    daraja: &Daraja,
    amount: Shillings,
    phone: &Msisdn,
    account: &str,
) -> Result<(), NotSimulated> {
    let settings = daraja.settings();
    if !settings.is_sandbox() {
        return Err(NotSimulated::NotTheSandbox(settings.base_url.clone()));
    }
    let (short_code, command, reference) = match settings.payee() {
        Payee::Paybill(number) if !account.is_empty() => (number, "CustomerPayBillOnline", Some(account)),
        Payee::Till(number) if account.is_empty() => (number, "CustomerBuyGoodsOnline", None),
        Payee::Paybill(_) | Payee::Till(_) => return Err(NotSimulated::Account),
    };
    let body = json!({
        "ShortCode": short_code,
        "CommandID": command,
        "Amount": amount.money().shillings_rounded_up(),
        "Msisdn": phone.digits(),
        "BillRefNumber": reference,
    });
    let answer = daraja.ask(PATH, &body).await.map_err(NotSimulated::Refused)?;
    outcome(&answer).map_err(NotSimulated::Refused)
}
