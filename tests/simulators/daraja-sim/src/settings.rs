//! What a simulator is started with: addresses, the merchant's credentials, and the fixed quirks.
//!
//! The defaults are public and harmless, so that a simulator runs alone. What may change while it
//! runs is in `faults.rs`; how a single phone behaves is in `phones.rs`. It reads neither files nor the
//! environment: `main.rs` does.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::c2b::notification::MsisdnForm;
use crate::clock::Clock;
use crate::identifiers::ShortCode;
use crate::phones::Phone;

/// The consumer key that a simulator accepts unless told otherwise.
pub const DEMO_CONSUMER_KEY: &str = "demo-key";
/// The consumer secret that a simulator accepts unless told otherwise.
pub const DEMO_CONSUMER_SECRET: &str = "demo-secret";
/// The passkey behind the default short code. Not Safaricom's sandbox passkey.
pub const DEMO_PASSKEY: &str = "demo-passkey";

/// The user name of the merchant's API operator unless told otherwise.
pub const DEMO_OPERATOR_NAME: &str = "demo-operator";
/// Its password unless told otherwise.
pub const DEMO_OPERATOR_PASSWORD: &str = "Demo#Operator1";
/// The certificate that an operator's password is encrypted to. Its private key is public: for tests only.
pub const OPERATOR_CERTIFICATE_PEM: &str = include_str!("../data/operator_certificate.pem");

/// A secret that never shows itself in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for comparing only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// How `expires_in` is written in the OAuth answer. Both are published and both were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpiresInForm {
    /// `"3599"`, as on Safaricom's pages.
    #[default]
    Text,
    /// `3599`.
    Number,
}

/// What becomes of the `Balance` item of a successful STK callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalanceItem {
    /// `{"Name":"Balance"}`: the item stands there without a `Value`, as in logs of 2022–24.
    #[default]
    WithoutValue,
    /// The item is missing, as in older logs: positions of the items behind it shift.
    Missing,
}

/// What a simulator is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Daraja listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control port listens; port 0 takes a free one. It has no password: keep it on loopback.
    pub control: SocketAddr,
    /// User name of the OAuth call.
    pub consumer_key: String,
    /// Password of the OAuth call.
    pub consumer_secret: Secret,
    /// The merchant's paybills. The first one is the one that a lone test uses; all share the passkey.
    pub short_codes: Vec<ShortCode>,
    /// The till that `CustomerBuyGoodsOnline` may pay; another `PartyB` ends in `SFC_IC0003`.
    pub till_number: Option<ShortCode>,
    /// The passkey in the `Password` of STK requests.
    pub passkey: Secret,
    /// The user name of the merchant's API operator.
    pub operator_name: String,
    /// The password in its security credential.
    pub operator_password: Secret,
    /// How long a token is good for. `expires_in` says one second less, as Daraja does.
    pub token_lifetime: Duration,
    /// How `expires_in` is written.
    pub expires_in: ExpiresInForm,
    /// Whether a second STK payment of the same amount by the same phone within two minutes ends in 17.
    pub rule_17: bool,
    /// Whether the registered validation URL is asked before a paybill payment.
    pub validation: bool,
    /// How long the validation URL may think before `ResponseType` decides. Daraja: about 8 s.
    pub validation_timeout: Duration,
    /// How the payer's number is written in C2B notifications.
    pub msisdn_form: MsisdnForm,
    /// What becomes of the `Balance` item.
    pub balance_item: BalanceItem,
    /// Whether a `Timestamp` more than an hour away from Nairobi's clock is refused, which a UTC one is.
    /// Public sources disagree on what Daraja does, so the default is to accept.
    pub timestamp_must_be_nairobi: bool,
    /// Certificates (PEM) that https listeners may be signed by, beside the public ones.
    pub callback_roots_pem: Option<Vec<u8>>,
    /// Where receipts, tokens and request ids come from: the same seed gives the same ones in order.
    pub seed: u64,
    /// What a phone does that nobody described.
    pub default_phone: Phone,
}

impl Settings {
    /// A seed that no earlier run had, taken from the clock.
    pub fn fresh_seed() -> u64 {
        Clock::default().now().0.unsigned_abs()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any_port,
            control: any_port,
            consumer_key: DEMO_CONSUMER_KEY.to_owned(),
            consumer_secret: Secret::new(DEMO_CONSUMER_SECRET),
            short_codes: vec![ShortCode::sandbox()],
            till_number: None,
            passkey: Secret::new(DEMO_PASSKEY),
            operator_name: DEMO_OPERATOR_NAME.to_owned(),
            operator_password: Secret::new(DEMO_OPERATOR_PASSWORD),
            token_lifetime: Duration::from_secs(3600),
            expires_in: ExpiresInForm::default(),
            rule_17: true,
            validation: true,
            validation_timeout: Duration::from_secs(8),
            msisdn_form: MsisdnForm::default(),
            balance_item: BalanceItem::default(),
            timestamp_must_be_nairobi: false,
            callback_roots_pem: None,
            seed: 1,
            default_phone: Phone::default(),
        }
    }
}
