//! What the parameters of a result mean: accounts and their balances, a transaction and its state. Pure.
//!
//! Source: Safaricom's Daraja 3.0 pages (December 2025). Figures that are not understood are left out and their account is
//! kept; whether a transaction went well is Safaricom's word, kept as it came.

use super::result::Parameters;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::plain::line_of;

/// Accounts of a short code that are read; today's have five.
const ACCOUNTS_MOST: usize = 40;
/// The longest name of an account that is kept.
const NAME_CHARACTERS: usize = 80;

/// What lies on the accounts of a short code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The accounts, as Safaricom orders them.
    pub accounts: Vec<Account>,
    /// When Safaricom counted, in its own form.
    pub counted_at: Option<String>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its currency.
    pub currency: String,
    /// What lies on it. `None`, here and below, where the figure is not understood.
    pub current: Option<Money>,
    /// What of that can be used.
    pub available: Option<Money>,
    /// What is set aside.
    pub reserved: Option<Money>,
    /// What has not cleared yet.
    pub uncleared: Option<Money>,
}

/// What Safaricom knows of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its receipt.
    pub receipt: Option<ReceiptNumber>,
    /// Safaricom's word for how it stands, such as `Completed`.
    pub status: Option<String>,
    /// How much it moved.
    pub amount: Option<Money>,
    /// Who paid, as Safaricom writes it.
    pub payer: Option<String>,
    /// Who was paid.
    pub payee: Option<String>,
    /// What kind it is.
    pub kind: Option<String>,
    /// When it ended, in Safaricom's own form.
    pub finalised_at: Option<String>,
}

/// The accounts in a result; `None` where there are none.
pub(super) fn balance(parameters: &Parameters) -> Option<Balance> {
    let text = parameters.first(&["accountbalance"])?;
    let accounts: Vec<Account> = text.split('&').filter_map(account).take(ACCOUNTS_MOST).collect();
    let counted_at = parameters.first(&["bocompletedtime"]).map(str::to_owned);
    (!accounts.is_empty()).then_some(Balance { accounts, counted_at })
}

fn account(text: &str) -> Option<Account> {
    let mut parts = text.split('|').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let currency = parts.next()?;
    let mut figure = || parts.next().and_then(money);
    Some(Account {
        name: line_of(name, NAME_CHARACTERS),
        currency: line_of(currency, NAME_CHARACTERS),
        current: figure(),
        available: figure(),
        reserved: figure(),
        uncleared: figure(),
    })
}

/// An amount that may be below zero, as that of charges is.
fn money(text: &str) -> Option<Money> {
    match text.strip_prefix('-') {
        Some(below) => Money::parse(below).ok()?.checked_neg(),
        None => Money::parse(text).ok(),
    }
}

/// The transaction in a result; `None` where it tells of none.
pub(super) fn transaction(parameters: &Parameters) -> Option<Transaction> {
    let text = |names: &[&str]| parameters.first(names).map(str::to_owned);
    let receipt = parameters
        .first(&["receiptno", "receiptnumber", "transactionreceipt"])
        .and_then(ReceiptNumber::parse);
    let status = text(&["transactionstatus"]);
    if receipt.is_none() && status.is_none() {
        return None;
    }
    // The published sample names the payee by a second DebitPartyName.
    let payers = parameters.all(&["debitpartyname"]);
    let second = payers.get(1).map(|payee| (*payee).to_owned());
    Some(Transaction {
        receipt,
        status,
        amount: parameters.first(&["amount", "transactionamount"]).and_then(money),
        payer: payers.first().map(|payer| (*payer).to_owned()),
        payee: text(&["creditpartyname"]).or(second),
        kind: text(&["reasontype", "transactionreason"]),
        finalised_at: text(&["finalisedtime", "finalizedtime", "transcompletedtime"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(items: &[(&str, &str)]) -> Parameters {
        Parameters(items.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect())
    }

    #[test]
    fn accounts_are_read_and_a_figure_that_is_none_costs_nothing_but_itself() {
        let check = |text: &str, expected: &[(&str, Option<i64>, Option<i64>)]| {
            let told = balance(&parameters(&[("AccountBalance", text)]));
            let accounts = told.map(|told| told.accounts).unwrap_or_default();
            let cents = |money: Option<Money>| money.map(Money::cents);
            let found: Vec<_> = accounts
                .iter()
                .map(|account| (account.name.as_str(), cents(account.current), cents(account.available)))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "Working Account|KES|700000.00|699999.50|0.00|0.00&Charges Paid Account|KES|-1540.00|-1540.00|0.00|0.00",
            &[
                ("Working Account", Some(70_000_000), Some(69_999_950)),
                ("Charges Paid Account", Some(-154_000), Some(-154_000)),
            ],
        );
        check("Utility Account|KES|lots|2.00", &[("Utility Account", None, Some(200))]);
        check("Utility Account|KES", &[("Utility Account", None, None)]);
        check("Utility Account|KES|99999999999999999999|-1e3|", &[("Utility Account", None, None)]);
        check("", &[]);
        check("&|KES|1.00&name alone", &[]);
        let many = vec!["A|KES|1.00"; 500].join("&");
        let told = balance(&parameters(&[("AccountBalance", many.as_str())])).unwrap();
        assert_eq!(told.accounts.len(), ACCOUNTS_MOST);
        assert_eq!(balance(&parameters(&[("Amount", "1")])), None);
    }

    #[test]
    fn a_transaction_is_read_from_the_names_that_were_seen() {
        let told = transaction(&parameters(&[
            ("DebitPartyName", "254712345678 - PAYER"),
            ("DebitPartyName", "174379 - ISP"),
            ("TransactionStatus", "Completed"),
            ("Amount", "1500"),
            ("FinalisedTime", "20260921013147"),
            ("ReasonType", "Pay Bill Online"),
            ("ReceiptNo", " rgp6czdyg6 "),
        ]))
        .unwrap();
        assert_eq!(told.receipt.unwrap().as_str(), "RGP6CZDYG6");
        assert_eq!(told.amount, Some(Money::from_cents(150_000)));
        assert_eq!(told.payee.as_deref(), Some("174379 - ISP"));
        assert_eq!(told.status.as_deref(), Some("Completed"));
        let with_payee =
            transaction(&parameters(&[("TransactionStatus", "x"), ("CreditPartyName", "us")])).unwrap();
        assert_eq!((with_payee.payer, with_payee.payee.as_deref()), (None, Some("us")));
        assert_eq!(transaction(&parameters(&[("Amount", "1500")])), None);
    }
}
