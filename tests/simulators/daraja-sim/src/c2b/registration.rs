//! Registered C2B URLs: what may be registered, and what a registration decides later.
//!
//! Pure. One registration for each short code and no second one, as in production; `DELETE
//! /registrations/{short_code}` on the control port stands for the portal's "URL management".

use serde::Serialize;

use crate::c2b::notification::ResponseType;
use crate::callback_url::CallbackUrl;
use crate::identifiers::ShortCode;
use crate::refusals::Refusal;
use crate::stk::validation::Fields;

/// The version of the C2B API that URLs were registered with. It decides how phone numbers are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiVersion {
    /// `/mpesa/c2b/v1/…`: hashed phone numbers.
    V1,
    /// `/mpesa/c2b/v2/…`: masked phone numbers.
    V2,
}

/// Where C2B notifications of a short code go.
#[derive(Debug, Clone, Serialize)]
pub struct Registration {
    /// The version it was registered with.
    pub version: ApiVersion,
    /// What happens when the validation URL does not answer.
    pub response_type: ResponseType,
    /// Where confirmations go.
    pub confirmation_url: CallbackUrl,
    /// Who is asked before a paybill payment.
    pub validation_url: CallbackUrl,
}

impl Registration {
    /// Reads the body of a `registerurl` call.
    pub(crate) fn read(fields: &Fields, version: ApiVersion) -> Result<(ShortCode, Self), Refusal> {
        let short_code = fields.text("ShortCode").and_then(|text| ShortCode::parse(&text).ok());
        let short_code = short_code.ok_or_else(|| Refusal::c2b_field("ShortCode"))?;
        let response_type = match fields.text("ResponseType").as_deref() {
            Some("Completed") => ResponseType::Completed,
            Some("Cancelled") => ResponseType::Cancelled,
            _ => return Err(Refusal::c2b_field("ResponseType")),
        };
        let url = |field| {
            let url = fields.text(field).and_then(|url| CallbackUrl::parse(&url));
            url.ok_or_else(|| Refusal::c2b_field(field))
        };
        let confirmation_url = url("ConfirmationURL")?;
        let validation_url = url("ValidationURL")?;
        Ok((short_code, Self { version, response_type, confirmation_url, validation_url }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(field: &str, value: Value) -> Result<(ShortCode, Registration), Refusal> {
        let mut body = json!({
            "ShortCode": "174379",
            "ResponseType": "Completed",
            "ConfirmationURL": "https://pay.example.co.ke/c2b/0a/confirmation",
            "ValidationURL": "https://pay.example.co.ke/c2b/0a/validation",
        });
        body[field] = value;
        Registration::read(&Fields::read(body.to_string().as_bytes()).unwrap(), ApiVersion::V2)
    }

    #[test]
    fn a_right_registration_is_taken() {
        let (short_code, registration) = check("ShortCode", json!(174_379)).unwrap();
        assert_eq!((short_code.as_str(), registration.response_type), ("174379", ResponseType::Completed));
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (field, wrong) in [
            ("ShortCode", json!("x")),
            ("ResponseType", json!("completed")),
            ("ResponseType", json!("Canceled")),
            ("ConfirmationURL", json!("http://pay.example.co.ke/c")),
            ("ValidationURL", json!("https://pay.example.co.ke/exec")),
            ("ValidationURL", json!(null)),
        ] {
            assert_eq!(check(field, wrong).unwrap_err(), Refusal::c2b_field(field));
        }
    }
}
