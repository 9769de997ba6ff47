//! Tells Safaricom where to ask before, and tell after, payments by Paybill and to tills.
//!
//! In production that is told once: another address needs a person at Safaricom's portal. So the secret in the address
//! is made once for a short code and kept before anything is sent, and telling it again is the same address.

use serde_json::json;
use thiserror::Error;

use super::store;
use crate::mpesa::client::Daraja;
use crate::mpesa::doctor::{self, Finding, Verdict};
use crate::mpesa::evidence::Reason;
use crate::mpesa::fields::{self, text_or_empty};
use crate::mpesa::intent::CallbackToken;
use crate::mpesa::settings::MpesaSettings;
use crate::state::Controller;

/// Newest first: the second one takes short codes whose app has the older product.
const PATHS: [&str; 2] = ["/mpesa/c2b/v2/registerurl", "/mpesa/c2b/v1/registerurl"];
/// What Safaricom says when the app has another version of the product.
const PRODUCT: &str = "product";
/// What it says when the short code has addresses.
const REGISTERED: &str = "already registered";

/// What Safaricom does with a payment when its question before is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// It takes it.
    Completed,
    /// It refuses it.
    Cancelled,
}

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The short code.
    pub short_code: String,
    /// Whether Safaricom had addresses of it before: these, or others.
    pub was_registered: bool,
    /// Whether what it has is what this controller told it, now or before.
    pub is_ours: bool,
}

/// Why nothing was registered.
#[derive(Debug, Error)]
pub enum NotRegistered {
    /// Safaricom could not reach the addresses.
    #[error("{found}, and the addresses are told once: {cure}; or say --force")]
    Unreachable {
        /// What is wrong.
        found: String,
        /// What cures it.
        cure: String,
    },
    /// Safaricom refuses.
    #[error("Safaricom refuses the addresses: {} {}", .0.code, .0.description)]
    Refused(Reason),
    /// The database refused.
    #[error("registering addresses: {0}")]
    Database(#[from] sqlx::Error),
}

/// Whether Safaricom could reach the addresses of these settings, as far as that is seen from here. A simulator on this machine
/// reaches any of its own.
///
/// # Errors
/// [`NotRegistered::Unreachable`] says what is wrong and what cures it.
pub async fn prove_reachable(settings: &MpesaSettings) -> Result<(), NotRegistered> {
    if settings.is_on_this_machine() {
        return Ok(());
    }
    let Finding { verdict, found, cure, .. } = doctor::callback_url(settings).await;
    if verdict == Verdict::Bad { Err(NotRegistered::Unreachable { found, cure }) } else { Ok(()) }
}

/// Registers the addresses of the settings' short code.
///
/// # Errors
/// [`NotRegistered`].
pub async fn register(
    controller: &Controller,
    daraja: &Daraja,
    response_type: ResponseType,
) -> Result<Registered, NotRegistered> {
    let settings = daraja.settings();
    let short_code = settings.short_code().to_owned();
    super::note_tills(controller, &[settings]).await?;
    let token = token_of(controller, settings).await?;
    let body = json!({
        "ShortCode": short_code,
        "ResponseType": match response_type {
            ResponseType::Completed => "Completed",
            ResponseType::Cancelled => "Cancelled",
        },
        "ConfirmationURL": settings.c2b_url(&token, "confirmation"),
        "ValidationURL": settings.c2b_url(&token, "validation"),
    });
    let mut refused = Reason::new("", "it gave no answer");
    for path in PATHS {
        let answer = daraja.ask(path, &body).await.map_err(NotRegistered::Refused)?;
        match outcome(&answer) {
            Ok(()) => {
                let mut transaction = controller.database.write().await?;
                let now = controller.clock.now();
                let base_url = &settings.callback_base_url;
                store::note_registered(&mut transaction, &short_code, base_url, now).await?;
                transaction.commit().await?;
                return Ok(Registered { short_code, was_registered: false, is_ours: true });
            }
            Err(reason) if reason.description.to_lowercase().contains(REGISTERED) => {
                let mut connection = controller.database.read().await?;
                let told = store::told_of(&mut connection, &short_code).await?;
                let is_ours =
                    told.is_some_and(|told| told.is_taken && told.base_url == settings.callback_base_url);
                return Ok(Registered { short_code, was_registered: true, is_ours });
            }
            Err(reason) => {
                let is_other_product = reason.description.to_lowercase().contains(PRODUCT);
                refused = reason;
                if !is_other_product {
                    break;
                }
            }
        }
    }
    Err(NotRegistered::Refused(refused))
}

async fn token_of(controller: &Controller, settings: &MpesaSettings) -> Result<CallbackToken, sqlx::Error> {
    let new = CallbackToken::random(&controller.ids);
    let payees = (settings.short_code(), settings.till_number().unwrap_or_default());
    let mut transaction = controller.database.write().await?;
    let token = store::token_of(&mut transaction, payees, &new, controller.clock.now()).await?;
    transaction.commit().await?;
    Ok(token)
}

/// What an answer says. Pure.
pub(super) fn outcome(body: &[u8]) -> Result<(), Reason> {
    let Some(answer) = fields::of(body) else {
        return Err(Reason::new("", "the answer is not one of Daraja's"));
    };
    if text_or_empty(&answer, "responsecode") == "0" {
        return Ok(());
    }
    let fault = fields::object(&answer, "fault").map(|fault| text_or_empty(&fault, "faultstring"));
    let first = |names: [&str; 2]| {
        names.map(|name| text_or_empty(&answer, name)).into_iter().find(|text| !text.is_empty())
    };
    let code = first(["errorcode", "responsecode"]).unwrap_or_default();
    let description = first(["errormessage", "responsedescription"]).or(fault).unwrap_or_default();
    Err(Reason::new(&code, &description))
}
