//! The `[mpesa]` section of the controller's configuration, or several `[[mpesa]]`, one for each short code: raw as
//! written, then valid by construction.
//!
//! Secrets are read from files of their own, never from the configuration, and are hidden in `Debug`. The section is
//! optional: a controller without it serves everything but payment requests.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;

use super::intent::CallbackToken;
use super::operator;
use super::operator::payout::{self, PayoutSettings};
use super::operator::settings::{OperatorSettings, OperatorSettingsError, RawOperator};
use super::pull;
use super::pull::settings::{PullSettings, PullSettingsError};
use crate::ids::SiteId;

/// Where Safaricom's callbacks came from, as published and as seen since (196.201.212.128 and .132 are in none of
/// Safaricom's lists). The list drifts, so it decides nothing: a callback from elsewhere is logged.
const KNOWN_SOURCES: [Ipv4Addr; 14] = [
    Ipv4Addr::new(196, 201, 214, 200),
    Ipv4Addr::new(196, 201, 214, 206),
    Ipv4Addr::new(196, 201, 214, 207),
    Ipv4Addr::new(196, 201, 214, 208),
    Ipv4Addr::new(196, 201, 213, 114),
    Ipv4Addr::new(196, 201, 213, 44),
    Ipv4Addr::new(196, 201, 212, 127),
    Ipv4Addr::new(196, 201, 212, 138),
    Ipv4Addr::new(196, 201, 212, 129),
    Ipv4Addr::new(196, 201, 212, 136),
    Ipv4Addr::new(196, 201, 212, 74),
    Ipv4Addr::new(196, 201, 212, 69),
    Ipv4Addr::new(196, 201, 212, 128),
    Ipv4Addr::new(196, 201, 212, 132),
];
/// Words that Safaricom's gateway refuses anywhere in a callback URL, in any case. Source: its C2B pages.
const BLOCKED_WORDS: [&str; 8] = ["mpesa", "m-pesa", "safaricom", "exe", "exec", "cmd", "sql", "query"];
/// Safaricom's sandbox.
const SANDBOX: &str = "sandbox.safaricom.co.ke";
/// The longest secret that is taken; today's have 64 characters.
const SECRET_BYTES: usize = 512;
/// Tables of short codes that are taken: a paybill and a till for each of some POPs.
const SHORT_CODES_MOST: usize = 32;
/// Tills under one head office that are taken: one for each of some POPs.
const TILLS_MOST: usize = 32;
/// What whoever is neither the owner nor of the group may do with a file.
const OTHERS: u32 = 0o007;

/// A secret out of a file. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret, without the line end that editors add.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The secret itself, for the one request that needs it.
    #[must_use]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// How money reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionType {
    /// To a paybill: `CustomerPayBillOnline`.
    PayBill,
    /// To a till: `CustomerBuyGoodsOnline`.
    BuyGoods,
}

/// How numbers are written in requests. One production paybill reported that strings time out silently; Safaricom's
/// own sample uses strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumbersAs {
    /// JSON numbers.
    #[default]
    Number,
    /// JSON strings.
    Text,
}

/// Where customers pay to by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payee<'a> {
    /// Pay Bill, to this business number, with an account number.
    Paybill(&'a str),
    /// Buy Goods, to this till, which takes no account number.
    Till(&'a str),
}

/// The section as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMpesa {
    base_url: String,
    short_code: String,
    transaction_type: TransactionType,
    till_number: Option<String>,
    #[serde(default)]
    till_numbers: Vec<String>,
    consumer_key: String,
    consumer_secret_file: PathBuf,
    passkey_file: PathBuf,
    callback_base_url: String,
    known_sources: Option<Vec<IpAddr>>,
    #[serde(default)]
    refuse_unknown_sources: bool,
    #[serde(default)]
    sites: Vec<String>,
    #[serde(default)]
    numbers_as: NumbersAs,
    merchant_name: Option<String>,
    #[serde(default = "yes")]
    query: bool,
    #[serde(default)]
    pull: bool,
    pull_nominated_number: Option<String>,
    pull_seconds: Option<u64>,
    initiator_name: Option<String>,
    initiator_password_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    payout_short_code: Option<String>,
    payout_initiator_name: Option<String>,
    payout_initiator_password_file: Option<PathBuf>,
}

/// The longest name that is sent: Safaricom says of no limit, and a phone shows no more beside an amount.
const MERCHANT_CHARACTERS: usize = 40;
/// What is said where the settings say nothing; Daraja wants a name.
const MERCHANT: &str = "Internet";

fn merchant_name(written: Option<&str>) -> Result<String, MpesaSettingsError> {
    let name = written.unwrap_or(MERCHANT).trim();
    let is_name = (1..=MERCHANT_CHARACTERS).contains(&name.chars().count());
    if is_name && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(MpesaSettingsError::MerchantName)
    }
}

fn yes() -> bool {
    true
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct MpesaSettings {
    pub(super) base_url: String,
    pub(super) short_code: String,
    pub(super) transaction_type: TransactionType,
    pub(super) party: String,
    pub(super) tills: Vec<String>,
    pub(super) consumer_key: String,
    pub(super) consumer_secret: Secret,
    pub(super) passkey: Secret,
    pub(super) callback_base_url: String,
    pub(super) known_sources: Vec<IpAddr>,
    pub(super) refuses_strangers: bool,
    pub(super) sites: Vec<SiteId>,
    pub(super) numbers_as: NumbersAs,
    pub(super) merchant_name: String,
    pub(super) query: bool,
    pub(super) pull: Option<PullSettings>,
    pub(super) operator: Option<OperatorSettings>,
    pub(super) payout: Option<PayoutSettings>,
    pub(super) secret_files: Vec<SecretFile>,
}

/// Where a secret was read from, for whoever proves that nobody else reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFile {
    /// The key in the section.
    pub(super) key: &'static str,
    /// The file.
    pub(super) path: PathBuf,
}

/// Why the section cannot be used; each names the key and what to write.
#[derive(Debug, Error)]
pub enum MpesaSettingsError {
    /// A short code or till number is not one.
    #[error("[mpesa] {0}: write 5 to 7 digits in quotes")]
    Digits(&'static str),
    /// The till number is missing, or there where it has no meaning.
    #[error(
        "[mpesa] till_number: write it, or till_numbers, with transaction_type = \"buy_goods\", and only then"
    )]
    TillNumber,
    /// More tills than anybody has.
    #[error("[mpesa] till_numbers: write {TILLS_MOST} at most")]
    TooManyTills,
    /// The name beside a code to scan is none.
    #[error(
        "[mpesa] merchant_name: write 1 to {MERCHANT_CHARACTERS} characters, none of them a control character"
    )]
    MerchantName,
    /// A URL cannot be used.
    #[error("[mpesa] {key}: {problem}")]
    Url {
        /// Which.
        key: &'static str,
        /// What is wrong and how to write it.
        problem: String,
    },
    /// The consumer key is not one.
    #[error("[mpesa] consumer_key: copy the consumer key of the app from the Daraja portal")]
    ConsumerKey,
    /// A secret's file cannot be read.
    #[error("[mpesa] {key}: reading {path}: {source}")]
    Read {
        /// Which.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Everybody on the machine can read a secret's file.
    #[error(
        "[mpesa] {key}: everybody on this machine can read {path}: chmod 0600 {path}, and let the controller's user own it"
    )]
    Open {
        /// The key in the section.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A secret's file holds no secret.
    #[error("[mpesa] {key}: {path} must hold the secret on one line, and nothing else")]
    Secret {
        /// Which.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A site is no site's id.
    #[error("[mpesa] sites: {0:?} is no site's id: write them as `tawi-controller site list` shows them")]
    Site(String),
    /// Two short codes want the same.
    #[error("two [[mpesa]] tables have {key} {value}: {cure}")]
    Twice {
        /// What.
        key: &'static str,
        /// Which.
        value: String,
        /// What to do.
        cure: &'static str,
    },
    /// More than anybody has.
    #[error("there are more than {SHORT_CODES_MOST} [[mpesa]] tables")]
    TooMany,
    /// Nobody could be turned away.
    #[error(
        "[mpesa] refuse_unknown_sources: known_sources is empty, so that nobody is unknown: write the addresses, or leave it out"
    )]
    NobodyIsUnknown,
    /// One of the keys of Pull.
    #[error(transparent)]
    Pull(#[from] PullSettingsError),
    /// One of the keys of the API operator.
    #[error(transparent)]
    Operator(#[from] OperatorSettingsError),
}

impl RawMpesa {
    /// Says where the files of the secrets are, for names that mean another place than beside the configuration.
    #[must_use]
    pub fn with_files(mut self, place: impl Fn(&Path) -> PathBuf) -> Self {
        self.consumer_secret_file = place(&self.consumer_secret_file);
        self.passkey_file = place(&self.passkey_file);
        self.initiator_password_file = self.initiator_password_file.as_deref().map(&place);
        self.certificate_file = self.certificate_file.as_deref().map(&place);
        self.payout_initiator_password_file = self.payout_initiator_password_file.as_deref().map(&place);
        self
    }

    /// Checks the section and reads the secrets; relative paths are relative to `config_directory`. Blocks for a few
    /// small files: call it at the start.
    ///
    /// # Errors
    /// [`MpesaSettingsError`] names the key and the cure.
    pub fn check(self, config_directory: &Path) -> Result<MpesaSettings, MpesaSettingsError> {
        let short_code = digits("short_code", &self.short_code)?;
        let tills = tills(self.till_number.as_deref(), &self.till_numbers)?;
        let party = match (self.transaction_type, tills.first()) {
            (TransactionType::PayBill, None) => short_code.clone(),
            (TransactionType::BuyGoods, Some(first)) => first.clone(),
            _ => return Err(MpesaSettingsError::TillNumber),
        };
        let consumer_key = self.consumer_key.trim().to_owned();
        if consumer_key.is_empty() || !consumer_key.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(MpesaSettingsError::ConsumerKey);
        }
        let consumer_secret = secret("consumer_secret_file", config_directory, &self.consumer_secret_file)?;
        let passkey = secret("passkey_file", config_directory, &self.passkey_file)?;
        let secret_files = [
            ("consumer_secret_file", Some(&self.consumer_secret_file)),
            ("passkey_file", Some(&self.passkey_file)),
            (operator::settings::KEYS.password_file, self.initiator_password_file.as_ref()),
            (operator::settings::PAYOUT_KEYS.password_file, self.payout_initiator_password_file.as_ref()),
        ]
        .into_iter()
        .filter_map(|(key, path)| Some(SecretFile { key, path: config_directory.join(path?) }))
        .collect();
        let payout_short_code = self.payout_short_code.as_deref();
        let payout_short_code =
            payout_short_code.map(|code| digits("payout_short_code", code)).transpose()?;
        let payout_operator =
            (self.payout_initiator_name.as_deref(), self.payout_initiator_password_file.as_deref());
        let certificate_file = self.certificate_file.as_deref();
        let payout = payout::check(payout_short_code, payout_operator, certificate_file, config_directory)?;
        let operator = RawOperator {
            keys: operator::settings::KEYS,
            name: self.initiator_name.as_deref(),
            password_file: self.initiator_password_file.as_deref(),
            certificate_file,
        };
        Ok(MpesaSettings {
            base_url: base_url("base_url", &self.base_url)?,
            short_code,
            transaction_type: self.transaction_type,
            party,
            tills,
            consumer_key,
            consumer_secret,
            passkey,
            callback_base_url: callback_base_url(&self.callback_base_url)?,
            known_sources: self
                .known_sources
                .unwrap_or_else(|| KNOWN_SOURCES.into_iter().map(IpAddr::V4).collect()),
            refuses_strangers: self.refuse_unknown_sources,
            sites: sites(&self.sites)?,
            numbers_as: self.numbers_as,
            merchant_name: merchant_name(self.merchant_name.as_deref())?,
            query: self.query,
            pull: pull::settings::check(self.pull, self.pull_nominated_number.as_deref(), self.pull_seconds)?,
            operator: operator::settings::check(&operator, config_directory)?,
            payout,
            secret_files,
        })
    }
}

impl MpesaSettings {
    /// Who is paid: the paybill, or the head-office number of a till.
    #[must_use]
    pub fn short_code(&self) -> &str {
        &self.short_code
    }

    /// Where customers pay to by themselves.
    #[must_use]
    pub fn payee(&self) -> Payee<'_> {
        match self.transaction_type {
            TransactionType::PayBill => Payee::Paybill(&self.short_code),
            TransactionType::BuyGoods => Payee::Till(&self.party),
        }
    }

    /// What whoever scans a code reads beside the amount.
    pub(super) fn merchant_name(&self) -> &str {
        &self.merchant_name
    }

    /// The sites whose lines are asked from it.
    #[must_use]
    pub fn sites(&self) -> &[SiteId] {
        &self.sites
    }

    /// Whether lines at this site are asked from it, whatever the others are.
    #[must_use]
    pub fn is_of_site(&self, site: &SiteId) -> bool {
        self.sites.contains(site)
    }

    /// Whether this is its number, or that of one of its tills.
    #[must_use]
    pub fn is_called(&self, number: &str) -> bool {
        number == self.short_code || self.till_numbers().any(|till| till == number)
    }

    /// Whether Safaricom is a simulator on this machine.
    pub(super) fn is_on_this_machine(&self) -> bool {
        Url::parse(&self.base_url).is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()))
    }

    /// Whether it is the sandbox, or a simulator on this machine: no real money moves there.
    pub(super) fn is_sandbox(&self) -> bool {
        let is_sandbox = |url: Url| url.host_str() == Some(SANDBOX);
        self.is_on_this_machine() || Url::parse(&self.base_url).is_ok_and(is_sandbox)
    }

    /// Whether Daraja may be asked about prompts that nothing was heard of.
    #[must_use]
    pub fn may_query(&self) -> bool {
        self.query
    }

    /// How missed payments are fetched; `None` when they are not.
    #[must_use]
    pub fn pull(&self) -> Option<&PullSettings> {
        self.pull.as_ref()
    }

    /// The API operator, who looks things up; `None` where there is none.
    #[must_use]
    pub fn operator(&self) -> Option<&OperatorSettings> {
        self.operator.as_ref()
    }

    /// Out of which short code phones are paid; `None` where it is the same.
    #[must_use]
    pub fn payout_short_code(&self) -> Option<&str> {
        self.payout.as_ref().map(PayoutSettings::short_code)
    }

    /// As which short code Safaricom is asked about this one, and by which operator.
    pub(super) fn asks_as(&self, short_code: &str) -> (&str, Option<&OperatorSettings>) {
        match &self.payout {
            Some(payout) if payout.short_code() == short_code => {
                (payout.short_code(), payout.operator().or(self.operator()))
            }
            _ => (&self.short_code, self.operator()),
        }
    }

    /// Where Safaricom is to send the result of what an operator asked (`result`), or that it got to none (`timeout`).
    #[must_use]
    pub(super) fn operator_url(&self, token: &CallbackToken, what: &str) -> String {
        format!("{}/callbacks/operator/{}/{what}", self.callback_base_url, token.reveal())
    }

    /// Where Safaricom is to send the callback of one request.
    #[must_use]
    pub(super) fn callback_url(&self, token: &CallbackToken) -> String {
        format!("{}/callbacks/stk/{}", self.callback_base_url, token.reveal())
    }

    /// Where Safaricom is to ask before (`validation`) and tell after (`confirmation`) a payment by Paybill or to a till.
    #[must_use]
    pub(super) fn c2b_url(&self, token: &CallbackToken, what: &str) -> String {
        format!("{}/callbacks/c2b/{}/{what}", self.callback_base_url, token.reveal())
    }

    /// The numbers of all its tills, that of the one that prompts name before the others.
    pub(super) fn till_numbers(&self) -> impl Iterator<Item = &str> {
        self.tills.iter().map(String::as_str).filter(|till| *till != self.short_code)
    }

    /// The till's own number, where the short code is the head office of a till.
    #[must_use]
    pub(super) fn till_number(&self) -> Option<&str> {
        Some(self.party.as_str()).filter(|party| *party != self.short_code)
    }
}

/// Checks all tables, one for each short code; see [`RawMpesa::check`].
///
/// # Errors
/// [`MpesaSettingsError`]: of one of them, or that two do not fit together.
pub fn check_all(
    raw: Vec<RawMpesa>,
    config_directory: &Path,
) -> Result<Vec<MpesaSettings>, MpesaSettingsError> {
    if raw.len() > SHORT_CODES_MOST {
        return Err(MpesaSettingsError::TooMany);
    }
    let all: Result<Vec<MpesaSettings>, _> = raw.into_iter().map(|raw| raw.check(config_directory)).collect();
    let all = all?;
    let takes_any = all.iter().any(|one| one.known_sources.is_empty());
    if takes_any && all.iter().any(|one| one.refuses_strangers) {
        return Err(MpesaSettingsError::NobodyIsUnknown);
    }
    let numbers = all.iter().flat_map(|one| std::iter::once(one.short_code()).chain(one.till_numbers()));
    let sites = all.iter().flat_map(|one| one.sites.iter().map(SiteId::as_str));
    let twice = |key, value: &str, cure| MpesaSettingsError::Twice { key, value: value.to_owned(), cure };
    if let Some(number) = first_twice(numbers) {
        return Err(twice("the short code or till", number, "write each once, with its own settings"));
    }
    if let Some(site) = first_twice(sites) {
        return Err(twice(
            "the site",
            site,
            "its lines are asked from one of them: leave it out of the other",
        ));
    }
    Ok(all)
}

fn first_twice<'a>(values: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut known = BTreeSet::new();
    let mut values = values;
    values.find(|value| !known.insert(*value))
}

fn sites(texts: &[String]) -> Result<Vec<SiteId>, MpesaSettingsError> {
    let parse = |text: &String| {
        SiteId::parse(text).map_err(|_| MpesaSettingsError::Site(text.chars().take(40).collect()))
    };
    texts.iter().map(parse).collect()
}

/// The tills under one head office, each once, in the order of the settings.
fn tills(one: Option<&str>, more: &[String]) -> Result<Vec<String>, MpesaSettingsError> {
    if more.len() > TILLS_MOST {
        return Err(MpesaSettingsError::TooManyTills);
    }
    let mut tills = Vec::with_capacity(more.len());
    let all = one.map(|one| ("till_number", one)).into_iter();
    for (key, text) in all.chain(more.iter().map(|till| ("till_numbers", till.as_str()))) {
        let till = digits(key, text)?;
        if !tills.contains(&till) {
            tills.push(till);
        }
    }
    Ok(tills)
}

fn digits(key: &'static str, text: &str) -> Result<String, MpesaSettingsError> {
    let is_code = (5..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_code { Ok(text.to_owned()) } else { Err(MpesaSettingsError::Digits(key)) }
}

/// An origin with an optional path, without the slash at its end: https, or http on this machine.
pub(crate) fn base_url(key: &'static str, text: &str) -> Result<String, MpesaSettingsError> {
    let refuse = |problem: &str| MpesaSettingsError::Url { key, problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|_| refuse("write a URL like https://api.safaricom.co.ke"))?;
    let is_here = is_loopback(url.host_str().unwrap_or_default());
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err(refuse("write https:// (http:// is for this machine alone)"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(refuse("write only scheme, host, port and path"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether a host in a URL is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn callback_base_url(text: &str) -> Result<String, MpesaSettingsError> {
    let key = "callback_base_url";
    let refuse = |problem: String| MpesaSettingsError::Url { key, problem };
    let url = base_url(key, text)?;
    let lowered = url.to_ascii_lowercase();
    if let Some(word) = BLOCKED_WORDS.into_iter().find(|word| lowered.contains(word)) {
        return Err(refuse(format!("Safaricom refuses URLs that contain {word:?}: use another host name")));
    }
    if lowered != url {
        return Err(refuse("write it in lower case: Safaricom was seen to refuse capitals".to_owned()));
    }
    Ok(url)
}

/// A secret out of a file that not everybody can read.
pub(crate) fn secret(key: &'static str, directory: &Path, path: &Path) -> Result<Secret, MpesaSettingsError> {
    let path = directory.join(path);
    // A file that its group may read is one, and so is what systemd gives as a credential.
    let read = std::fs::metadata(&path).and_then(|file| {
        let is_open = file.mode() & OTHERS != 0;
        if is_open { Ok(None) } else { std::fs::read_to_string(&path).map(Some) }
    });
    let text = match read {
        Ok(Some(text)) => text,
        Ok(None) => return Err(MpesaSettingsError::Open { key, path }),
        Err(source) => return Err(MpesaSettingsError::Read { key, path, source }),
    };
    let secret = Secret::new(&text);
    let is_plain = secret.0.bytes().all(|byte| byte.is_ascii_graphic());
    if secret.0.is_empty() || secret.0.len() > SECRET_BYTES || !is_plain {
        return Err(MpesaSettingsError::Secret { key, path });
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::ids::IdSource;
    use crate::testing::TemporaryDirectory;

    const GOOD: &str = r#"
        base_url = "https://sandbox.safaricom.co.ke/"
        short_code = "174379"
        transaction_type = "pay_bill"
        consumer_key = "key"
        consumer_secret_file = "secret"
        passkey_file = "passkey"
        callback_base_url = "https://pay.example.co.ke"
    "#;

    fn check(text: &str) -> Result<MpesaSettings, String> {
        let directory = TemporaryDirectory::new();
        directory.write_secret("secret", "hush-hush\n");
        directory.write_secret("passkey", "pass\r\n");
        directory.write_secret("two-lines", "a\nb");
        std::fs::write(directory.path().join("open"), "hush-hush\n").unwrap();
        let everybody = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(directory.path().join("open"), everybody).unwrap();
        let raw: RawMpesa = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check(directory.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_is_checked_and_its_secrets_are_trimmed_and_hidden() {
        let settings = check(GOOD).unwrap();
        assert_eq!(settings.base_url, "https://sandbox.safaricom.co.ke");
        assert_eq!((settings.consumer_secret.reveal(), settings.passkey.reveal()), ("hush-hush", "pass"));
        assert_eq!((settings.party.as_str(), settings.numbers_as), ("174379", NumbersAs::Number));
        assert!(settings.may_query() && settings.known_sources.len() == 14);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush-hush") && !shown.contains("\"pass\""), "{shown}");
        let till = GOOD.replace("pay_bill\"", "buy_goods\"\ntill_number = \"400200\"");
        assert_eq!(check(&till).unwrap().party, "400200");
        let tills = till.replace("\"400200\"", "\"400200\"\ntill_numbers = [\"400201\", \"400200\"]");
        let settings = check(&tills).unwrap();
        assert_eq!(settings.till_numbers().collect::<Vec<_>>(), ["400200", "400201"]);
        assert_eq!((settings.party.as_str(), settings.is_called("400201")), ("400200", true));
    }

    #[test]
    fn each_mistake_names_its_key() {
        let refused = |from: &str, to: &str, key: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let error = check(&text).unwrap_err();
            assert!(error.contains(key), "{to}: {error}");
        };
        refused("174379", "1743", "short_code");
        refused("174379", "17437a", "short_code");
        refused("pay_bill", "buy_goods", "till_number");
        refused("\"key\"", "\"\"", "consumer_key");
        refused("\"secret\"", "\"missing\"", "consumer_secret_file");
        refused("\"secret\"", "\"open\"", "chmod 0600");
        refused("\"passkey\"", "\"two-lines\"", "passkey_file");
        refused("https://sandbox", "http://sandbox", "base_url");
        refused("https://pay.", "http://pay.", "callback_base_url");
        refused("https://pay.", "https://sqlpay.", "callback_base_url");
        refused("https://pay.", "https://Pay.", "callback_base_url");
        refused(".co.ke\"\n    ", ".co.ke/?a=b\"\n    ", "callback_base_url");
        refused("short_code", "shortcode", "short_code");
        refused("short_code", "till_numbers = [\"600200\"]\nshort_code", "till_number");
        refused("pay_bill\"", "buy_goods\"\ntill_numbers = [\"x\"]", "till_numbers");
        refused("short_code", "pull = true\nshort_code", "pull_nominated_number");
        refused("short_code", "payout_short_code = \"x\"\nshort_code", "payout_short_code");
        refused("short_code", "payout_initiator_name = \"op\"\nshort_code", "payout_short_code: write");
        let payout = "payout_short_code = \"600300\"\npayout_initiator_name = \"op\"\nshort_code";
        refused(
            "short_code",
            payout,
            "payout_initiator_password_file: an API operator needs payout_initiator_name",
        );
        refused("short_code", "merchant_name = \" \"\nshort_code", "merchant_name");
        refused("short_code", "merchant_name = \"a\\tb\"\nshort_code", "merchant_name");
        refused("short_code", "pull_seconds = 0\nshort_code", "pull_seconds");
    }

    #[test]
    fn no_callback_url_holds_a_word_that_the_gateway_blocks() {
        let settings = check(GOOD).unwrap();
        let ids = IdSource::system();
        for _ in 0..200 {
            let token = CallbackToken::random(&ids);
            for url in [
                settings.callback_url(&token),
                settings.c2b_url(&token, "confirmation"),
                settings.operator_url(&token, "result"),
                settings.operator_url(&token, "timeout"),
            ] {
                assert!(BLOCKED_WORDS.into_iter().all(|word| !url.contains(word)), "{url}");
                assert_eq!(url, url.to_lowercase());
            }
        }
    }
}
