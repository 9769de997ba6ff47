//! What one row of a statement says: a payment to us, a charge, a settlement, or something for a person. Pure.
//!
//! Kinds are told by `Reason Type` and by how `Details` begins, never by what a customer typed or is called. Of a kind that
//! is not known nothing is booked. Names and kinds as public importers of these exports meet them; Safaricom publishes none.

use std::fmt;

use super::file::Columns;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::incoming::{
    Incoming, PaidAt, Payer, REFERENCE_CHARACTERS, TransactionKind, is_month_first,
};

/// How much is kept of a row for a person: several times what today's rows have.
const TEXT_CHARACTERS: usize = 2_000;
/// The column of the time at which money moved, as it is called in the portal.
const COMPLETED_AT: &str = "Completion Time";
/// Kinds of payments by customers and to tills, in lower case.
const PAYMENTS: [&str; 6] =
    ["pay bill", "paybill", "pay utility", "merchant payment", "buy goods", "customer payment"];

/// A row, and what it says. `Debug` hides its text, which names whoever paid.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// On which line it stands, from 1.
    pub(super) line: usize,
    /// As it came, cut at 2,000 characters.
    pub(super) text: String,
    /// Which transaction it is of, where that is understood.
    pub(super) receipt: Option<ReceiptNumber>,
    /// What it is.
    pub(super) what: What,
    /// Of which transactions it may be the reversal; empty where it is none.
    pub(super) reverses: Vec<ReceiptNumber>,
    /// The money that moved; `None` where none did, or nobody knows.
    pub(super) movement: Option<Movement>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, receipt, what, movement, .. } = self;
        f.debug_tuple("Row").field(line).field(receipt).field(what).field(movement).finish()
    }
}

/// Money that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Movement {
    /// Above zero came in, below went out.
    pub(super) amount: Money,
    /// What the short code had afterwards, where the row says so.
    pub(super) balance: Option<Money>,
    pub(super) at: Option<PaidAt>,
}

/// What a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Somebody paid us.
    Payment(Incoming),
    /// Safaricom took a charge, or sent money to the bank.
    Out(Out),
    /// It moved between two accounts of the same short code: Safaricom holds as much as before.
    Within,
    /// It was declined, cancelled, or is not done yet.
    NotCompleted,
    /// No money moved.
    NoMoney,
    /// A person has to look.
    ForPerson(Why),
}

/// Money that left the short code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) kind: OutKind,
    pub(super) receipt: ReceiptNumber,
    /// What it was for: a charge may have the receipt number of the payment that it is for.
    pub(super) details: String,
    /// Above zero.
    pub(super) amount: Money,
}

/// Where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutKind {
    /// To Safaricom, for its service.
    Charge,
    /// To our bank account.
    Settlement,
}

/// Why a person has to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A quote does not end, or it is larger than a row can be.
    NoRow,
    /// It has another number of columns than there are headings.
    Width { has: usize, named: usize },
    /// What stands there is no receipt number.
    Receipt,
    /// What stands in this column is no amount.
    Amount(&'static str),
    /// What stands in this column is no date that is understood, with the day first.
    Date(&'static str),
    /// What stands there is a date with the month first.
    MonthFirst(&'static str),
    /// It says that money came in and went out.
    BothWays,
    /// It does not say whether it was completed.
    NoStatus,
    /// Money that was paid back.
    Reversal,
    /// A payment of which nothing else told, and which another row of the file takes back.
    Reversed,
    /// A kind that is not known.
    Kind,
    /// The same transaction stands twice with other figures.
    Twice,
    /// It is booked with another amount.
    BookedOtherwise(Money),
    /// It is booked as money that went elsewhere: the forms of an export tell kinds apart by different columns.
    BookedAs(OutKind),
}

impl Why {
    /// Whether the row could not be read at all.
    pub(super) fn is_unread(&self) -> bool {
        matches!(
            self,
            Self::NoRow
                | Self::Width { .. }
                | Self::Receipt
                | Self::Amount(_)
                | Self::Date(_)
                | Self::MonthFirst(_)
                | Self::BothWays
                | Self::NoStatus
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRow => f.write_str("it is no row of a table"),
            Self::Width { has, named } => write!(f, "it has {has} columns where the headings name {named}"),
            Self::Receipt => f.write_str("it has no receipt number"),
            Self::Amount(column) => write!(f, "what stands under {column} is no amount"),
            Self::Date(column) => write!(f, "what stands under {column} is no date that is understood"),
            Self::MonthFirst(column) => {
                write!(f, "what stands under {column} is a date with the month first")
            }
            Self::BothWays => f.write_str("it says that money came in and went out"),
            Self::NoStatus => f.write_str("it does not say whether it was completed"),
            Self::Reversal => f.write_str("money was paid back"),
            Self::Reversed => {
                f.write_str("it was paid back, as another row of the file says, and nothing else told of it")
            }
            Self::Kind => f.write_str("it is of a kind that is not known"),
            Self::Twice => f.write_str("the same transaction stands twice with other figures"),
            Self::BookedOtherwise(booked) => write!(f, "it is booked with KES {booked}"),
            Self::BookedAs(OutKind::Charge) => f.write_str("it is booked as a charge"),
            Self::BookedAs(OutKind::Settlement) => f.write_str("it is booked as a transfer to the bank"),
        }
    }
}

/// Reads the row on a line. `fields` are `None` when it is no row of a table.
pub(super) fn read(line: usize, text: &str, fields: Option<&[String]>, columns: &Columns) -> Row {
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(TEXT_CHARACTERS).collect();
    let what = What::ForPerson(Why::NoRow);
    let mut row = Row { line, text, receipt: None, what, reverses: Vec::new(), movement: None };
    let Some(fields) = fields else { return row };
    match told(fields, columns) {
        Ok((receipt, what, movement)) => {
            if what == What::ForPerson(Why::Reversal) {
                row.reverses = reversed_by(receipt.as_ref(), fields, columns);
            }
            row.receipt = receipt;
            row.what = what;
            row.movement = movement;
        }
        Err(why) => row.what = What::ForPerson(why),
    }
    row
}

/// What a reversal may take back: what it is linked with, what its details name before anything that a customer typed, and
/// its own number, which some exports repeat.
fn reversed_by(receipt: Option<&ReceiptNumber>, fields: &[String], columns: &Columns) -> Vec<ReceiptNumber> {
    let field = |at: usize| fields.get(at).map(String::as_str).unwrap_or_default();
    let linked = columns.linked.map(field).unwrap_or_default();
    let is_receipt = |word: &&str| {
        let has = |of: fn(&u8) -> bool| word.bytes().any(|byte| of(&byte));
        has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
    };
    let named = words_of(before(field(columns.details), " acc. ")).filter(is_receipt);
    let named = named.chain([linked]).filter_map(ReceiptNumber::parse);
    named.chain(receipt.cloned()).collect()
}

type Told = (Option<ReceiptNumber>, What, Option<Movement>);

fn told(fields: &[String], columns: &Columns) -> Result<Told, Why> {
    // Not one more either, though it were empty: without quotes, "1,000.00" is two fields and would be read as 1.
    if fields.len() != columns.width {
        return Err(Why::Width { has: fields.len(), named: columns.width });
    }
    let field = |at: usize| fields.get(at).map(String::as_str).unwrap_or_default();
    let maybe = |at: Option<usize>| at.map(field).unwrap_or_default();
    let receipt = ReceiptNumber::parse(field(columns.receipt));
    match field(columns.status).to_lowercase().as_str() {
        "completed" => {}
        "" => return Err(Why::NoStatus),
        _ => return Ok((receipt, What::NotCompleted, None)),
    }
    let paid_in = amount(field(columns.paid_in), "Paid In")?;
    let withdrawn = field(columns.withdrawn);
    let withdrawn = amount(withdrawn.strip_prefix('-').unwrap_or(withdrawn), "Withdrawn")?;
    let amount = match (paid_in.is_positive(), withdrawn.is_positive()) {
        (true, true) => return Err(Why::BothWays),
        (false, false) => return Ok((receipt, What::NoMoney, None)),
        (true, false) => paid_in,
        (false, true) => withdrawn.checked_neg().ok_or(Why::Amount("Withdrawn"))?,
    };
    let receipt = receipt.ok_or(Why::Receipt)?;
    let completed_at = field(columns.completed_at);
    let at = match PaidAt::read(completed_at) {
        Some(at) => Some(at),
        None if is_month_first(completed_at) => return Err(Why::MonthFirst(COMPLETED_AT)),
        // Booked as of now it would buy time from now on, and be missing on its own day.
        None => return Err(Why::Date(COMPLETED_AT)),
    };
    let movement = Movement { amount, balance: signed(maybe(columns.balance)), at };
    let details = field(columns.details);
    let kind = Kind::of(maybe(columns.reason), details);
    let what = if amount.is_positive() {
        kind.of_money_in(|| Incoming {
            receipt: receipt.clone(),
            paid_at: at,
            payer: Payer::told(payer(maybe(columns.other_party), details)),
            kind: TransactionKind::Known,
            reference: account(maybe(columns.account), details)
                .chars()
                .filter(|letter| !letter.is_control())
                .take(REFERENCE_CHARACTERS)
                .collect(),
            amount,
        })
    } else {
        kind.of_money_out(|kind| Out {
            kind,
            receipt: receipt.clone(),
            details: details.to_owned(),
            amount: withdrawn,
        })
    };
    Ok((Some(receipt), what, Some(movement)))
}

/// An amount without a sign, or nothing.
fn amount(text: &str, column: &'static str) -> Result<Money, Why> {
    if text.is_empty() { Ok(Money::ZERO) } else { Money::parse(text).map_err(|_| Why::Amount(column)) }
}

/// A balance, which may be below zero; `None` when it is not said.
fn signed(text: &str) -> Option<Money> {
    match text.strip_prefix('-') {
        Some(below) => Money::parse(below).ok()?.checked_neg(),
        None => Money::parse(text).ok(),
    }
}

/// What kind of transaction it is, in lower case.
struct Kind {
    /// What is called a kind, and how the details begin: before a number, a name, and what a customer typed.
    texts: [String; 2],
    /// Between which accounts, which stands behind a "from" and before any number.
    accounts: String,
}

impl Kind {
    fn of(reason: &str, details: &str) -> Self {
        let details = details.to_lowercase();
        let accounts = details.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
        let begin = before(before(accounts, " from "), " acc. ");
        Self { texts: [reason.to_lowercase(), begin.to_owned()], accounts: accounts.to_owned() }
    }

    fn says(&self, words: &[&str]) -> bool {
        self.texts.iter().any(|text| words.iter().any(|word| text.contains(word)))
    }

    /// As a word of its own: "fee" is no part of "coffee".
    fn has_word(&self, words: &[&str]) -> bool {
        self.texts.iter().flat_map(|text| words_of(text)).any(|word| words.contains(&word))
    }

    fn is_to_bank(&self) -> bool {
        let ours = ["organization", "organisation", "withdrawal", "transfer"];
        self.has_word(&["settle", "settlement"]) || (self.has_word(&["bank"]) && self.has_word(&ours))
    }

    fn is_within(&self) -> bool {
        self.has_word(&["working"]) || words_of(&self.accounts).any(|word| word == "working")
    }

    fn is_reversal(&self) -> bool {
        self.says(&["revers", "refund"])
    }

    fn is_charge(&self) -> bool {
        self.has_word(&["charge", "charges", "fee", "fees"])
    }

    fn of_money_in(&self, payment: impl FnOnce() -> Incoming) -> What {
        if self.is_reversal() {
            What::ForPerson(Why::Reversal)
        } else if self.is_charge() {
            What::ForPerson(Why::Kind)
        } else if self.says(&PAYMENTS) {
            What::Payment(payment())
        } else if self.is_within() {
            What::Within
        } else {
            What::ForPerson(Why::Kind)
        }
    }

    fn of_money_out(&self, out: impl FnOnce(OutKind) -> Out) -> What {
        if self.is_reversal() {
            What::ForPerson(Why::Reversal)
        } else if self.is_charge() {
            What::Out(out(OutKind::Charge))
        } else if self.is_to_bank() {
            What::Out(out(OutKind::Settlement))
        } else if self.is_within() {
            What::Within
        } else {
            What::ForPerson(Why::Kind)
        }
    }
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric())
}

/// Who paid: `2547****123 - NAME` without the name, or what stands in the details behind "from".
fn payer<'a>(other_party: &'a str, details: &'a str) -> &'a str {
    let text = if other_party.is_empty() {
        before(after(details, " from ").unwrap_or_default(), " acc. ")
    } else {
        other_party
    };
    before(text, " - ").trim()
}

/// The account that was typed: in its own column, or in the details behind "Acc.".
fn account<'a>(column: &'a str, details: &'a str) -> &'a str {
    if column.is_empty() { after(details, " acc. ").unwrap_or_default().trim() } else { column }
}

// ASCII alone is lowered in both, so that places stay what they are.

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let at = text.to_ascii_lowercase().find(mark)?;
    text.get(at.saturating_add(mark.len())..)
}

fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = text.to_ascii_lowercase().find(mark);
    at.and_then(|at| text.get(..at)).unwrap_or(text)
}
