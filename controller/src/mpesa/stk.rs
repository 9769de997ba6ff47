//! The bodies of an STK push and of the query about one. Pure.
//!
//! Source: Safaricom's Daraja 3.0 pages (December 2025). The password is made of the time stamp, which must be the
//! same text in both places. The time stamp is East Africa Time (UTC+3): sources differ on UTC, and EAT is accepted
//! by all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tawi_shared::UnixMillis;

use super::evidence::CheckoutId;
use super::intent::CallbackToken;
use super::nairobi;
use super::settings::{MpesaSettings, NumbersAs, TransactionType};
use crate::customers::account_number::AccountNumber;
use crate::customers::phone::Msisdn;
use crate::money::Money;

/// What M-Pesa moves in one transaction, in whole shillings.
pub const AMOUNT_MAX_SHILLINGS: i64 = 250_000;
/// What stands beside the account in the prompt; at most 13 characters.
const DESCRIPTION: &str = "Internet";

/// An amount that M-Pesa can move: whole shillings from 1 to 250,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shillings(i64);

impl Shillings {
    /// Takes an amount without cents within the limits.
    #[must_use]
    pub fn exactly(amount: Money) -> Option<Self> {
        let shillings = amount.shillings_rounded_up();
        let is_whole = Money::from_shillings(shillings) == Some(amount);
        (is_whole && (1..=AMOUNT_MAX_SHILLINGS).contains(&shillings)).then_some(Self(shillings))
    }

    /// The amount.
    #[must_use]
    pub fn money(self) -> Money {
        Money::from_cents(self.0.saturating_mul(100))
    }
}

/// What a push is about.
#[derive(Clone, Debug)]
pub struct Push {
    /// Whose phone is asked.
    pub phone: Msisdn,
    /// For how much.
    pub amount: Shillings,
    /// The customer's account: shown in the prompt and printed in the payer's SMS.
    pub account: AccountNumber,
    /// Where the callback comes to.
    pub token: CallbackToken,
}

/// A number as the settings want it.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

/// Body of `/mpesa/stkpush/v1/processrequest`. Has a secret in it: never logged.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PushBody {
    business_short_code: Number,
    password: String,
    timestamp: String,
    transaction_type: &'static str,
    amount: Number,
    party_a: Number,
    party_b: Number,
    phone_number: Number,
    #[serde(rename = "CallBackURL")]
    call_back_url: String,
    account_reference: String,
    transaction_desc: &'static str,
}

/// Body of `/mpesa/stkpushquery/v1/query`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueryBody {
    business_short_code: Number,
    password: String,
    timestamp: String,
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: String,
}

/// The body of a push.
pub(super) fn push_body(settings: &MpesaSettings, push: &Push, now: UnixMillis) -> PushBody {
    let number = |text: &str| number(settings, text);
    let timestamp = timestamp(now);
    PushBody {
        business_short_code: number(&settings.short_code),
        password: password(settings, &timestamp),
        timestamp,
        transaction_type: match settings.transaction_type {
            TransactionType::PayBill => "CustomerPayBillOnline",
            TransactionType::BuyGoods => "CustomerBuyGoodsOnline",
        },
        amount: number(&push.amount.0.to_string()),
        party_a: number(push.phone.digits()),
        party_b: number(&settings.party),
        phone_number: number(push.phone.digits()),
        call_back_url: settings.callback_url(&push.token),
        account_reference: push.account.to_string(),
        transaction_desc: DESCRIPTION,
    }
}

/// The body of a query.
pub(super) fn query_body(settings: &MpesaSettings, checkout: &CheckoutId, now: UnixMillis) -> QueryBody {
    let timestamp = timestamp(now);
    QueryBody {
        business_short_code: number(settings, &settings.short_code),
        password: password(settings, &timestamp),
        timestamp,
        checkout_request_id: checkout.as_str().to_owned(),
    }
}

fn number(settings: &MpesaSettings, digits: &str) -> Number {
    match (settings.numbers_as, digits.parse()) {
        (NumbersAs::Number, Ok(number)) => Number::Number(number),
        _ => Number::Text(digits.to_owned()),
    }
}

fn password(settings: &MpesaSettings, timestamp: &str) -> String {
    STANDARD.encode(format!("{}{}{timestamp}", settings.short_code, settings.passkey.reveal()))
}

/// `YYYYMMDDHHmmss` in East Africa Time.
fn timestamp(now: UnixMillis) -> String {
    nairobi::written(now, "%Y%m%d%H%M%S")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;
    use crate::mpesa::settings::Secret;

    fn settings(numbers_as: NumbersAs) -> MpesaSettings {
        MpesaSettings {
            base_url: String::new(),
            short_code: "174379".to_owned(),
            transaction_type: TransactionType::PayBill,
            party: "174379".to_owned(),
            tills: Vec::new(),
            consumer_key: String::new(),
            consumer_secret: Secret::new(""),
            passkey: Secret::new("passkey"),
            callback_base_url: "https://pay.example".to_owned(),
            known_sources: Vec::new(),
            refuses_strangers: false,
            sites: Vec::new(),
            numbers_as,
            merchant_name: String::new(),
            query: true,
            pull: None,
            operator: None,
            payout: None,
            secret_files: Vec::new(),
        }
    }

    fn push() -> Push {
        Push {
            phone: Msisdn::parse("0712345678").unwrap(),
            amount: Shillings::exactly(Money::from_cents(150_000)).unwrap(),
            account: AccountNumber::from_serial(1_000_001).unwrap(),
            token: CallbackToken::random(&IdSource::seeded(1)),
        }
    }

    /// 2026-01-01T00:30:00+03:00, still the last year in UTC.
    const NEW_YEAR: UnixMillis = UnixMillis(1_767_216_600_000);

    #[test]
    fn a_push_has_the_fields_that_daraja_names_in_nairobi_time() {
        let push = push();
        let body = push_body(&settings(NumbersAs::Number), &push, NEW_YEAR);
        let expected = serde_json::json!({
            "BusinessShortCode": 174_379,
            "Password": STANDARD.encode("174379passkey20260101003000"),
            "Timestamp": "20260101003000",
            "TransactionType": "CustomerPayBillOnline",
            "Amount": 1_500,
            "PartyA": 254_712_345_678_i64,
            "PartyB": 174_379,
            "PhoneNumber": 254_712_345_678_i64,
            "CallBackURL": format!("https://pay.example/callbacks/stk/{}", push.token.reveal()),
            "AccountReference": push.account.as_str(),
            "TransactionDesc": "Internet",
        });
        assert_eq!(serde_json::to_value(&body).unwrap(), expected);
        assert!(DESCRIPTION.len() <= 13);
        let text = serde_json::to_value(push_body(&settings(NumbersAs::Text), &push, NEW_YEAR)).unwrap();
        assert_eq!((&text["Amount"], &text["PartyA"]), (&"1500".into(), &"254712345678".into()));
    }

    #[test]
    fn only_whole_shillings_within_the_limits_are_asked_for() {
        let check = |cents, expected: Option<i64>| {
            assert_eq!(
                Shillings::exactly(Money::from_cents(cents)).map(|shillings| shillings.0),
                expected,
                "{cents}"
            );
        };
        check(100, Some(1));
        check(25_000_000, Some(250_000));
        for cents in [0, 1, 99, 101, -100, 25_000_100, i64::MAX, i64::MIN] {
            check(cents, None);
        }
    }
}
