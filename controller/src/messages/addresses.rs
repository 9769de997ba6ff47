//! Where a customer pays, as a text says it: the number of the short code that their site pays to, and the page without
//! sign-in.
//!
//! The settings are taken over into the database at the start, because a text is written by whatever books. A till takes no
//! account number, so that nobody is told one to type there.

use super::occasion::Placeholder;
use super::store;
use super::template::{NoTemplate, Template};
use super::words::Language;
use crate::database::Connection;
use crate::ids::SiteId;
use crate::mpesa::ShortCodes;
use crate::mpesa::settings::Payee;

/// What the settings say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Where the pages are reached from everywhere.
    pub(super) public_url: Option<String>,
    /// What is paid to.
    pub(super) payee: Option<Number>,
}

/// What is paid to by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// With an account number.
    Paybill(String),
    /// Without one.
    Till(String),
}

impl Number {
    fn of(payee: Payee<'_>) -> Self {
        match payee {
            Payee::Paybill(number) => Self::Paybill(number.to_owned()),
            Payee::Till(number) => Self::Till(number.to_owned()),
        }
    }

    fn stored(&self) -> String {
        match self {
            Self::Paybill(number) => format!("paybill {number}"),
            Self::Till(number) => format!("till {number}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("paybill", number) => Some(Self::Paybill(number.to_owned())),
            ("till", number) => Some(Self::Till(number.to_owned())),
            _ => None,
        }
    }
}

impl Addresses {
    /// Where to pay, in words that stand behind "to": with the account number where one is typed.
    pub(super) fn pay_to(&self, account: &str, language: Language) -> String {
        let account = match language {
            Language::English => format!("account {account}"),
            Language::Swahili => format!("akaunti {account}"),
        };
        match &self.payee {
            Some(Number::Paybill(number)) => format!("Paybill {number}, {account}"),
            Some(Number::Till(number)) => format!("Till {number}"),
            None => account,
        }
    }

    /// The page on which a customer pays; `None` where nobody knows how it is reached.
    pub(super) fn pay_link(&self, account: &str) -> Option<String> {
        let url = self.public_url.as_deref()?;
        Some(format!("{}/pay/{account}", url.trim_end_matches('/')))
    }
}

/// Takes the settings over at the start.
///
/// # Errors
/// When the database refuses.
pub async fn take_over(
    connection: &mut Connection,
    public_url: Option<&str>,
    short_codes: Option<&ShortCodes>,
) -> Result<(), sqlx::Error> {
    let mut all = Vec::new();
    if let Some(url) = public_url {
        all.push((store::PUBLIC_URL.to_owned(), url.to_owned()));
    }
    for settings in short_codes.map(ShortCodes::settings).unwrap_or_default() {
        let number = Number::of(settings.payee()).stored();
        if all.iter().all(|(name, _)| name != store::PAYEE) {
            all.push((store::PAYEE.to_owned(), number.clone()));
        }
        for site in settings.sites() {
            let name = store::payee_of(site);
            // The first that names a site has it, as for prompts.
            if all.iter().all(|(known, _)| *known != name) {
                all.push((name, number.clone()));
            }
        }
    }
    store::set_addresses(connection, &all).await
}

/// Whether the settings say all that a template names.
///
/// # Errors
/// When the database refuses.
pub(super) async fn are_known(
    connection: &mut Connection,
    template: &Template,
) -> Result<Result<(), NoTemplate>, sqlx::Error> {
    let addresses = of(connection, None).await?;
    if template.names(Placeholder::PayLink) && addresses.public_url.is_none() {
        return Ok(Err(NoTemplate::NotSetUp(
            "{pay_link} leads nowhere yet: write public_url in [server] of controller.toml and restart",
        )));
    }
    if template.names(Placeholder::PayBill) && addresses.payee.is_none() {
        return Ok(Err(NoTemplate::NotSetUp(
            "{paybill} is not known yet: fill in [mpesa] of controller.toml and restart, or use {account}",
        )));
    }
    Ok(Ok(()))
}

/// What is set up, for a customer of a site, or for those of any.
pub(super) async fn of(connection: &mut Connection, site: Option<&SiteId>) -> Result<Addresses, sqlx::Error> {
    store::addresses(connection, site).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_pays_to_a_till_is_told_no_account_number_to_type() {
        let check = |payee: Option<&str>, english: &str, swahili: &str| {
            let addresses = Addresses { public_url: None, payee: payee.and_then(Number::parse) };
            assert_eq!(addresses.pay_to("10000016", Language::English), english);
            assert_eq!(addresses.pay_to("10000016", Language::Swahili), swahili);
            if let Some(number) = &addresses.payee {
                assert_eq!(Some(number.stored().as_str()), payee);
            }
        };
        check(Some("paybill 174379"), "Paybill 174379, account 10000016", "Paybill 174379, akaunti 10000016");
        check(Some("till 512345"), "Till 512345", "Till 512345");
        check(None, "account 10000016", "akaunti 10000016");
        assert_eq!(Number::parse("shop 5"), None);
        let public = |url: &str| Addresses { public_url: Some(url.to_owned()), payee: None };
        let link = "https://isp.example/pay/10000016";
        for url in ["https://isp.example", "https://isp.example/"] {
            assert_eq!(public(url).pay_link("10000016").as_deref(), Some(link));
        }
        assert_eq!(Addresses::default().pay_link("10000016"), None);
    }
}
