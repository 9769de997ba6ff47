//! What Daraja takes as an STK push or query, and in which words it refuses the rest.
//!
//! Pure: bytes, settings and the time in, a `Push` or a `Refusal` out. Form is checked first, field by
//! field in the order of the published table, then the merchant. Length limits are Safaricom's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::callback_url::CallbackUrl;
use crate::clock::{self, UnixMillis};
use crate::identifiers::{AmountKes, Msisdn, ShortCode, number_or_text};
use crate::refusals::Refusal;
use crate::settings::Settings;

/// Longest `AccountReference`.
const MAX_ACCOUNT_REFERENCE: usize = 12;
/// Longest `TransactionDesc`.
const MAX_DESCRIPTION: usize = 13;
/// How far a `Timestamp` may be off when Nairobi time is demanded: catches UTC (3 h), forgives clocks.
const TIMESTAMP_TOLERANCE_MS: u64 = 3_600_000;

/// Paybill or till.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionKind {
    PayBill,
    BuyGoods,
}

impl TransactionKind {
    /// Reads `TransactionType` or `CommandID`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "CustomerPayBillOnline" => Some(Self::PayBill),
            "CustomerBuyGoodsOnline" => Some(Self::BuyGoods),
            _ => None,
        }
    }
}

/// A push that Daraja takes.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) short_code: ShortCode,
    pub(crate) kind: TransactionKind,
    pub(crate) amount: AmountKes,
    pub(crate) phone: Msisdn,
    pub(crate) party_b: ShortCode,
    pub(crate) callback_url: CallbackUrl,
    pub(crate) account_reference: String,
    pub(crate) description: String,
}

/// Reads an STK push.
pub(crate) fn push(body: &[u8], settings: &Settings, now: UnixMillis) -> Result<Push, Refusal> {
    let fields = Fields::read(body)?;
    let merchant = Merchant::read(&fields, settings, now)?;
    let kind = fields.text("TransactionType").and_then(|text| TransactionKind::parse(&text));
    let kind = kind.ok_or_else(|| Refusal::stk_field("TransactionType"))?;
    let amount = fields.0.get("Amount").and_then(|value| AmountKes::from_json(value).ok());
    let amount = amount.ok_or_else(|| Refusal::stk_field("Amount"))?;
    // The payer may differ from the phone that is asked; the simulator lets the asked one pay.
    fields.msisdn("PartyA")?;
    let party_b = fields.short_code("PartyB")?;
    let phone = fields.msisdn("PhoneNumber")?;
    let callback_url = fields.text("CallBackURL").and_then(|url| CallbackUrl::parse(&url));
    let callback_url = callback_url.ok_or_else(|| Refusal::stk_field("CallBackURL"))?;
    let account_reference = fields.text("AccountReference").unwrap_or_default();
    if account_reference.trim().is_empty() || !is_short_plain_text(&account_reference, MAX_ACCOUNT_REFERENCE)
    {
        return Err(Refusal::stk_field("AccountReference"));
    }
    let description = match fields.0.get("TransactionDesc") {
        None | Some(Value::Null) => String::new(),
        Some(value) => number_or_text(value).ok_or_else(|| Refusal::stk_field("TransactionDesc"))?,
    };
    if !is_short_plain_text(&description, MAX_DESCRIPTION) {
        return Err(Refusal::stk_field("TransactionDesc"));
    }
    merchant.check(settings)?;
    let short_code = merchant.short_code;
    Ok(Push { short_code, kind, amount, phone, party_b, callback_url, account_reference, description })
}

/// Reads an STK query: the `CheckoutRequestID` that it asks about.
pub(crate) fn query(body: &[u8], settings: &Settings, now: UnixMillis) -> Result<String, Refusal> {
    let fields = Fields::read(body)?;
    let merchant = Merchant::read(&fields, settings, now)?;
    let id = fields.text("CheckoutRequestID").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Refusal::stk_field("CheckoutRequestID"))?;
    merchant.check(settings)?;
    Ok(id)
}

fn is_short_plain_text(text: &str, limit: usize) -> bool {
    text.chars().count() <= limit && !text.chars().any(char::is_control)
}

/// Who asks, and how it proves it.
struct Merchant {
    short_code: ShortCode,
    timestamp: String,
    password: String,
}

impl Merchant {
    fn read(fields: &Fields, settings: &Settings, now: UnixMillis) -> Result<Self, Refusal> {
        let short_code = fields.short_code("BusinessShortCode")?;
        let password = fields.text("Password").filter(|password| !password.is_empty());
        let password = password.ok_or_else(|| Refusal::stk_field("Password"))?;
        let timestamp = fields.text("Timestamp").unwrap_or_default();
        let time = clock::parse_fourteen_digits(&timestamp).ok_or_else(|| Refusal::stk_field("Timestamp"))?;
        let off = now.millis_since(time).unsigned_abs();
        if settings.timestamp_must_be_nairobi && off > TIMESTAMP_TOLERANCE_MS {
            return Err(Refusal::stk_field("Timestamp"));
        }
        Ok(Self { short_code, timestamp, password })
    }

    fn check(&self, settings: &Settings) -> Result<(), Refusal> {
        if !settings.short_codes.contains(&self.short_code) {
            return Err(Refusal::overloaded("Merchant does not exist"));
        }
        let plain = format!("{}{}{}", self.short_code, settings.passkey.expose(), self.timestamp);
        if STANDARD.encode(plain) == self.password {
            Ok(())
        } else {
            Err(Refusal::overloaded("[MerchantValidate] - Wrong credentials"))
        }
    }
}

/// The members of the request's JSON object.
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(Refusal::payload()),
        }
    }

    /// A string or an integer, as text.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        self.0.get(field).and_then(number_or_text)
    }

    fn short_code(&self, field: &str) -> Result<ShortCode, Refusal> {
        self.text(field)
            .and_then(|text| ShortCode::parse(&text).ok())
            .ok_or_else(|| Refusal::stk_field(field))
    }

    fn msisdn(&self, field: &str) -> Result<Msisdn, Refusal> {
        self.text(field).and_then(|text| Msisdn::parse(&text).ok()).ok_or_else(|| Refusal::stk_field(field))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_690_237_907_089);
    const TIMESTAMP: &str = "20230725013147";

    fn right() -> Value {
        json!({
            "BusinessShortCode": 174_379,
            "Password": STANDARD.encode(format!("174379demo-passkey{TIMESTAMP}")),
            "Timestamp": TIMESTAMP,
            "TransactionType": "CustomerPayBillOnline",
            "Amount": 100,
            "PartyA": 254_712_345_678_u64,
            "PartyB": "174379",
            "PhoneNumber": "254712345678",
            "CallBackURL": "https://pay.example.co.ke/c/0a1b",
            "AccountReference": "12345674.ab",
            "TransactionDesc": "Internet",
        })
    }

    fn check(change: impl FnOnce(&mut Map<String, Value>), settings: &Settings) -> Result<Push, Refusal> {
        let mut body = right();
        change(body.as_object_mut().unwrap());
        push(body.to_string().as_bytes(), settings, NOW)
    }

    #[test]
    fn a_right_push_is_taken_with_strings_and_with_numbers() {
        let push = check(|_| {}, &Settings::default()).unwrap();
        assert_eq!((push.amount.shillings(), push.phone.as_str()), (100, "254712345678"));
        let as_text = |fields: &mut Map<String, Value>| {
            for field in ["BusinessShortCode", "Amount", "PartyA"] {
                let text = fields[field].to_string();
                fields[field] = json!(text);
            }
            fields.remove("TransactionDesc");
        };
        assert!(check(as_text, &Settings::default()).is_ok());
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (field, wrong) in [
            ("BusinessShortCode", json!("12")),
            ("BusinessShortCode", json!(null)),
            ("Password", json!("")),
            ("Timestamp", json!("20231325013147")),
            ("Timestamp", json!("2023-07-25 01:31")),
            ("TransactionType", json!("CustomerPaybillOnline")),
            ("Amount", json!(0)),
            ("Amount", json!(250_001)),
            ("Amount", json!("10.50")),
            ("PartyA", json!("0712345678")),
            ("PartyB", json!("till")),
            ("PhoneNumber", json!("+254712345678")),
            ("CallBackURL", json!("http://pay.example.co.ke/c")),
            ("CallBackURL", json!("https://pay.example.co.ke/mpesa/c")),
            ("AccountReference", json!("")),
            ("AccountReference", json!("1234567890123")),
            ("TransactionDesc", json!("12345678901234")),
            ("TransactionDesc", json!(["x"])),
        ] {
            let refusal =
                check(|fields| drop(fields.insert(field.to_owned(), wrong.clone())), &Settings::default());
            assert_eq!(refusal.unwrap_err(), Refusal::stk_field(field), "{field} = {wrong}");
        }
    }

    #[test]
    fn each_missing_field_but_the_description_is_named() {
        let all = right();
        for field in all.as_object().unwrap().keys().filter(|field| *field != "TransactionDesc") {
            let refusal = check(|fields| drop(fields.remove(field)), &Settings::default()).unwrap_err();
            assert_eq!(refusal, Refusal::stk_field(field));
        }
    }

    #[test]
    fn what_is_not_a_json_object_is_a_wrong_payload() {
        for body in ["", "[]", "\"x\"", "BusinessShortCode=174379", "{\"Amount\":"] {
            assert_eq!(push(body.as_bytes(), &Settings::default(), NOW).unwrap_err(), Refusal::payload());
        }
    }

    #[test]
    fn a_stranger_and_a_wrong_password_are_told_apart_by_the_text_only() {
        let stranger = check(|fields| fields["BusinessShortCode"] = json!(600_999), &Settings::default());
        assert_eq!(stranger.unwrap_err(), Refusal::overloaded("Merchant does not exist"));
        let settings = Settings { passkey: crate::settings::Secret::new("another"), ..Settings::default() };
        let wrong = check(|_| {}, &settings).unwrap_err();
        assert_eq!(wrong, Refusal::overloaded("[MerchantValidate] - Wrong credentials"));
    }

    #[test]
    fn a_utc_timestamp_is_refused_only_when_nairobi_is_demanded() {
        let utc = |fields: &mut Map<String, Value>| {
            fields["Timestamp"] = json!("20230724223147");
            fields["Password"] = json!(STANDARD.encode("174379demo-passkey20230724223147"));
        };
        assert!(check(utc, &Settings::default()).is_ok());
        let strict = Settings { timestamp_must_be_nairobi: true, ..Settings::default() };
        assert_eq!(check(utc, &strict).unwrap_err(), Refusal::stk_field("Timestamp"));
        assert!(check(|_| {}, &strict).is_ok());
    }
}
