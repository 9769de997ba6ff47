//! The texts that Tawi comes with, in English and in Swahili. Pure.
//!
//! One table, so that neither language is behind the other. Staff change them on the page of templates; what is changed is a
//! row of the database, and what is not stays as it stands here. They say only what is certain when they leave: of a site that
//! is away, that the paid time begins when it is back, and not until when it lasts.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::occasion::Occasion;

/// A language of texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Swahili.
    Swahili,
}

/// A text that names no language.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("use en or sw")]
pub struct NoLanguage;

impl Language {
    /// Both.
    pub const ALL: [Self; 2] = [Self::English, Self::Swahili];

    /// The code in the database, in the settings and in the API (ISO 639-1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Swahili => "sw",
        }
    }

    /// As pages say it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Swahili => "Swahili",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = NoLanguage;

    fn from_str(text: &str) -> Result<Self, NoLanguage> {
        Self::ALL.into_iter().find(|language| language.as_str() == text).ok_or(NoLanguage)
    }
}

/// The text of an occasion as Tawi comes with it.
#[must_use]
pub fn default_text(occasion: Occasion, language: Language) -> &'static str {
    let (english, swahili) = both(occasion);
    match language {
        Language::English => english,
        Language::Swahili => swahili,
    }
}

fn both(occasion: Occasion) -> (&'static str, &'static str) {
    match occasion {
        Occasion::PaymentReceived => (
            "Received KES {amount}, receipt {receipt}. Your internet ({plan}) is paid until {until}. Account {account}.",
            "Tumepokea KES {amount}, risiti {receipt}. Intaneti yako ({plan}) imelipiwa hadi {until}. Akaunti {account}.",
        ),
        Occasion::PaymentInWallet => (
            "Received KES {amount}, receipt {receipt}. It is in your account {account}, which now holds KES {balance}.",
            "Tumepokea KES {amount}, risiti {receipt}. Ziko kwenye akaunti yako {account}, ambayo sasa ina KES {balance}.",
        ),
        Occasion::SiteOffline => (
            "Received KES {amount}, receipt {receipt}. {site} is offline now: your internet opens by itself when it is back, and your time starts then. Do not pay again.",
            "Tumepokea KES {amount}, risiti {receipt}. {site} haipatikani sasa: intaneti itafunguka ikirudi, na muda wako utaanza hapo. Usilipe tena.",
        ),
        Occasion::Connected => (
            "Your internet is open again until {until}. If it does not work within some minutes, restart your router.",
            "Intaneti yako imefunguliwa tena hadi {until}. Isipofanya kazi baada ya dakika chache, zima na uwashe ruta yako.",
        ),
        Occasion::EndsInThreeDays => (
            "Your internet ends within 3 days, on {until}. To go on pay KES {to_pay} to {paybill}.",
            "Intaneti yako itaisha ndani ya siku 3, {until}. Ili iendelee lipa KES {to_pay} kwa {paybill}.",
        ),
        Occasion::EndsInOneDay => (
            "Your internet ends within 24 hours, on {until}. To go on pay KES {to_pay} to {paybill}.",
            "Intaneti yako itaisha ndani ya saa 24, {until}. Ili iendelee lipa KES {to_pay} kwa {paybill}.",
        ),
        Occasion::EndsToday => (
            "Your internet ends today, {until}. To go on pay KES {to_pay} to {paybill}.",
            "Intaneti yako itaisha leo, {until}. Ili iendelee lipa KES {to_pay} kwa {paybill}.",
        ),
        Occasion::Suspended => (
            "Your internet ended on {until}. Pay KES {to_pay} to {paybill}, and it opens by itself.",
            "Intaneti yako iliisha {until}. Lipa KES {to_pay} kwa {paybill}, na itafunguka yenyewe.",
        ),
        Occasion::OnHold => (
            "Your internet is on hold, and a payment does not bring it back: please call us. Account {account}.",
            "Intaneti yako imesimamishwa, na malipo hayatairudisha: tafadhali tupigie simu. Akaunti {account}.",
        ),
        Occasion::Refunded => (
            "KES {amount} of receipt {receipt} was sent back to the phone that paid. Account {account}.",
            "KES {amount} za risiti {receipt} zimerudishwa kwa simu iliyolipa. Akaunti {account}.",
        ),
        Occasion::Test => (
            "This is a test of texts from your internet provider.",
            "Hili ni jaribio la ujumbe kutoka kwa mtoa huduma wako wa intaneti.",
        ),
    }
}
