//! Whose a row probably is. Pure: rows and customers in, suggestions with their reasons out.
//!
//! ```text
//! account number in name or comment ─> phone in name or comment ─> the customer's name
//! ```
//!
//! The surest reason wins; two customers for one reason are no suggestion. Nothing is decided here: a person sees the
//! reason and says so. What somebody wrote in a table of their own goes before all of this and is `table.rs`.

use std::collections::{BTreeSet, HashMap};

use crate::customers::account_number::AccountNumber;
use crate::customers::phone::Msisdn;
use crate::ids::CustomerId;

use super::ForeignRow;

/// What is known of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Which.
    pub id: CustomerId,
    /// What they pay to.
    pub account: AccountNumber,
    /// Their phone.
    pub phone: Msisdn,
    /// Their name.
    pub name: String,
}

/// Why a row is probably somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A table that somebody wrote says so.
    Table,
    /// A line of theirs has the row's name.
    Line,
    /// Their account number is the row's name, or in it.
    AccountInName,
    /// Their account number is in the comment.
    AccountInComment,
    /// Their phone is in the row's name.
    PhoneInName,
    /// Their phone is in the comment.
    PhoneInComment,
    /// The row has their name.
    SameName,
}

impl Because {
    /// For a page.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Table => "your table says so",
            Self::Line => "has the line of this name",
            Self::AccountInName => "account number in the name",
            Self::AccountInComment => "account number in the comment",
            Self::PhoneInName => "phone in the name",
            Self::PhoneInComment => "phone in the comment",
            Self::SameName => "the same name",
        }
    }
}

/// Customers by what they are recognised by. What two of them share recognises nobody.
#[derive(Debug, Default)]
pub struct People {
    people: Vec<Person>,
    accounts: HashMap<String, usize>,
    phones: HashMap<String, Option<usize>>,
    names: HashMap<BTreeSet<String>, Option<usize>>,
}

impl People {
    /// Of all customers.
    #[must_use]
    pub fn new(people: Vec<Person>) -> Self {
        let mut known = Self::default();
        for (index, person) in people.iter().enumerate() {
            known.accounts.insert(person.account.as_str().to_owned(), index);
            let alone = |shared: &mut Option<usize>| *shared = None;
            known.phones.entry(person.phone.digits().to_owned()).and_modify(alone).or_insert(Some(index));
            known.names.entry(words(&person.name)).and_modify(alone).or_insert(Some(index));
        }
        known.names.remove(&BTreeSet::new());
        known.people = people;
        known
    }

    /// Whose a row probably is, and why.
    #[must_use]
    pub fn suggest(&self, row: &ForeignRow) -> Option<(&Person, Because)> {
        let in_name = || numbers(&row.username);
        let in_comment = || numbers(&row.comment);
        let found = None
            .or_else(|| self.by_account(in_name()).map(|found| (found, Because::AccountInName)))
            .or_else(|| self.by_account(in_comment()).map(|found| (found, Because::AccountInComment)))
            .or_else(|| self.by_phone(in_name()).map(|found| (found, Because::PhoneInName)))
            .or_else(|| self.by_phone(in_comment()).map(|found| (found, Because::PhoneInComment)))
            .or_else(|| self.by_name(&row.comment).map(|found| (found, Because::SameName)))
            .or_else(|| self.by_name(&row.username).map(|found| (found, Because::SameName)));
        found.and_then(|(index, because)| Some((self.people.get(index)?, because)))
    }

    /// Whom somebody means who wrote an account number, a phone or a name; `None` for nobody, or for more than one.
    #[must_use]
    pub fn named(&self, text: &str) -> Option<&Person> {
        let text = text.trim();
        let index = self
            .by_account(vec![text.to_owned()])
            .or_else(|| self.by_phone(vec![text.to_owned()]))
            .or_else(|| self.names.get(&words(text)).copied().flatten())?;
        self.people.get(index)
    }

    /// One that is known by its id.
    #[must_use]
    pub fn get(&self, id: &CustomerId) -> Option<&Person> {
        self.people.iter().find(|person| person.id == *id)
    }

    fn by_account(&self, numbers: Vec<String>) -> Option<usize> {
        alone(numbers.iter().filter_map(|number| self.accounts.get(number).copied()))
    }

    fn by_phone(&self, numbers: Vec<String>) -> Option<usize> {
        let phones = numbers.iter().filter_map(|number| Msisdn::parse(number).ok());
        alone(phones.filter_map(|phone| self.phones.get(phone.digits()).copied().flatten()))
    }

    /// The text is the name, whatever the order and case of its words, or has it in it where the name has two words at
    /// least: a first name alone is nobody's.
    fn by_name(&self, text: &str) -> Option<usize> {
        let said = words(text);
        if let Some(found) = self.names.get(&said) {
            return *found;
        }
        let within = self.names.iter().filter(|(name, _)| name.len() >= 2 && name.is_subset(&said));
        let mut found = within.map(|(_, index)| *index);
        match (found.next(), found.next()) {
            (Some(index), None) => index,
            _ => None,
        }
    }
}

/// The one that all of these are; `None` for none, or for several.
fn alone(mut found: impl Iterator<Item = usize>) -> Option<usize> {
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The words of a name: letters and digits, small.
fn words(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Runs of digits, each alone and with those that only blanks and dashes part from it: `0712 345 678` is one number.
fn numbers(text: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, ' ' | '-' | '+');
    let mut numbers = Vec::new();
    for chunk in text.split(|letter: char| !is_part(letter)) {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        numbers.push(digits(chunk));
        numbers.extend(chunk.split(|letter: char| !letter.is_ascii_digit()).map(str::to_owned));
    }
    numbers.retain(|number| number.len() >= 8);
    numbers.sort();
    numbers.dedup();
    numbers
}

/// What a plan says of speed, to compare with a row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// To the customer, bits per second.
    pub download: u64,
    /// From the customer.
    pub upload: u64,
}

/// The speed that a router's rate limit says, upload first: `2M/4M`, `512k/2M 1M/4M …`, or one figure for both. `None`
/// for none, or for one that cannot be read.
#[must_use]
pub fn speed_of(rate_limit: &str) -> Option<Speed> {
    let first = rate_limit.split_whitespace().next()?;
    let (upload, download) = first.split_once('/').unwrap_or((first, first));
    Some(Speed { download: bits(download)?, upload: bits(upload)? })
}

fn bits(text: &str) -> Option<u64> {
    let (number, unit) = match text.chars().last()? {
        'k' | 'K' => (text.get(..text.len().saturating_sub(1))?, 1_000),
        'm' | 'M' => (text.get(..text.len().saturating_sub(1))?, 1_000_000),
        'g' | 'G' => (text.get(..text.len().saturating_sub(1))?, 1_000_000_000),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::IdSource;
    use tawi_shared::wire::Service;

    fn people() -> People {
        let ids = IdSource::seeded(1);
        let person = |serial: u32, phone: &str, name: &str| Person {
            id: CustomerId::random(&ids),
            account: AccountNumber::from_serial(serial).unwrap(),
            phone: Msisdn::parse(phone).unwrap(),
            name: name.to_owned(),
        };
        People::new(vec![
            person(1_000_001, "0712345678", "Corner Shop"),
            person(1_000_002, "0722000111", "Green Gate Bakery"),
            person(1_000_003, "0722000111", "Library"),
            person(1_000_004, "0733000222", "Water Tower"),
            person(1_000_005, "0733000223", "Tower Water"),
        ])
    }

    fn row(username: &str, comment: &str) -> ForeignRow {
        ForeignRow {
            service: Service::Pppoe,
            username: username.to_owned(),
            comment: comment.to_owned(),
            profile: "home".into(),
            rate_limit: String::new(),
            is_disabled: false,
            is_online: false,
            address: String::new(),
            caller_id: String::new(),
        }
    }

    #[test]
    fn rows_are_recognised_by_the_surest_thing_that_they_say() {
        let people = people();
        let account = AccountNumber::from_serial(1_000_003).unwrap();
        let check = |username: &str, comment: &str, expected: Option<(&str, Because)>| {
            let found = people.suggest(&row(username, comment));
            let found = found.map(|(person, because)| (person.name.as_str(), because));
            assert_eq!(found, expected, "{username:?} {comment:?}");
        };
        check("plot1", "0712345678", Some(("Corner Shop", Because::PhoneInComment)));
        check("plot1", "tel. +254 712 345-678, block B", Some(("Corner Shop", Because::PhoneInComment)));
        check("0712345678", "", Some(("Corner Shop", Because::PhoneInName)));
        check("254712345678@isp", "", Some(("Corner Shop", Because::PhoneInName)));
        check("plot1", "0722000111", None);
        check(account.as_str(), "0712345678", Some(("Library", Because::AccountInName)));
        check("plot1", &format!("acc {account}"), Some(("Library", Because::AccountInComment)));
        check("plot1", "CORNER shop", Some(("Corner Shop", Because::SameName)));
        check("green.gate-bakery", "", Some(("Green Gate Bakery", Because::SameName)));
        check("plot1", "bakery at the Green Gate, 2nd floor", Some(("Green Gate Bakery", Because::SameName)));
        check("plot1", "library", Some(("Library", Because::SameName)));
        check("plot1", "the library upstairs", None);
        check("plot1", "water tower", None);
        check("plot1", "0712345678 or 0733000222", None);
        check("", "", None);
    }

    #[test]
    fn whoever_is_named_is_found_if_there_is_one() {
        let people = people();
        let named = |text: &str| people.named(text).map(|person| person.name.as_str());
        assert_eq!(named(" 0712 345 678 "), Some("Corner Shop"));
        assert_eq!(named("shop corner"), Some("Corner Shop"));
        assert_eq!(named(AccountNumber::from_serial(1_000_002).unwrap().as_str()), Some("Green Gate Bakery"));
        assert_eq!((named("0722000111"), named("Corner"), named("")), (None, None, None));
    }

    #[test]
    fn rate_limits_are_read_upload_first() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            assert_eq!(speed_of(text).map(|speed| (speed.upload, speed.download)), expected, "{text}");
        };
        check("2M/4M", Some((2_000_000, 4_000_000)));
        check("512k/2M 1M/4M 512k/1M 16/16 8", Some((512_000, 2_000_000)));
        check("5000000", Some((5_000_000, 5_000_000)));
        check("", None);
        check("fast/slow", None);
        check("99999999999999999999/1", None);
    }
}
