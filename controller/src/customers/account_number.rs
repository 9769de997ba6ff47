//! Account numbers: eight digits, the last of them a check digit, so that a typing error is caught before the money
//! goes to somebody else.
//!
//! The check digit is Damm's (H. M. Damm, 2004): it catches every single wrong digit and every swap of neighbours,
//! which together are most of what people mistype. Pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Digits in an account number.
const DIGITS: usize = 8;
/// The largest serial: seven digits stand before the check digit.
const SERIAL_MAX: u32 = 9_999_999;

/// Damm's table: a totally anti-symmetric quasigroup of order 10, as published.
const TABLE: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

/// A customer's account number, check digit included. What a customer types as "account" and reads in the SMS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(String);

/// Why a text is not an account number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotAnAccountNumber {
    /// Not eight digits.
    #[error("an account number has {DIGITS} digits")]
    Form,
    /// Eight digits, one of them wrong or two of them swapped.
    #[error("the account number's check digit does not match: look for a wrong digit or two swapped ones")]
    CheckDigit,
}

impl AccountNumber {
    /// The number for a serial; `None` beyond seven digits.
    #[must_use]
    pub fn from_serial(serial: u32) -> Option<Self> {
        if serial > SERIAL_MAX {
            return None;
        }
        let stem = format!("{serial:07}");
        let check = interim(&stem)?;
        Some(Self(format!("{stem}{check}")))
    }

    /// Reads a number as people write it: spaces, dashes and dots anywhere, the letters O and I for 0 and 1, zeros
    /// in front.
    ///
    /// # Errors
    /// [`NotAnAccountNumber`] tells a wrong form from a wrong check digit.
    pub fn parse(text: &str) -> Result<Self, NotAnAccountNumber> {
        let digits = normalise(text);
        if digits.len() != DIGITS {
            return Err(NotAnAccountNumber::Form);
        }
        match interim(&digits) {
            Some(0) => Ok(Self(digits)),
            Some(_) => Err(NotAnAccountNumber::CheckDigit),
            None => Err(NotAnAccountNumber::Form),
        }
    }

    /// The eight digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is left of a typed number: separators gone, letters that look like digits read as digits, surplus zeros in
/// front removed. What cannot be a digit stays, and is refused later.
fn normalise(text: &str) -> String {
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '_'))
        .map(|c| match c {
            'O' | 'o' => '0',
            'I' | 'i' | 'l' | 'L' | '|' => '1',
            other => other,
        })
        .collect();
    let surplus = digits.len().saturating_sub(DIGITS);
    let zeros = digits.bytes().take(surplus).take_while(|byte| *byte == b'0').count();
    digits.chars().skip(zeros).collect()
}

/// Damm's interim digit over all digits: the check digit of a stem, and 0 for a whole valid number.
fn interim(digits: &str) -> Option<u8> {
    digits.chars().try_fold(0_u8, |row, c| {
        let column = usize::try_from(c.to_digit(10)?).ok()?;
        TABLE.get(usize::from(row))?.get(column).copied()
    })
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountNumber {
    type Err = NotAnAccountNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_published_example_has_its_published_check_digit() {
        // 572 has check digit 4 in Damm's thesis.
        assert_eq!(interim("572"), Some(4));
        assert_eq!(interim("5724"), Some(0));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let number = AccountNumber::from_serial(1_000_001).unwrap();
        let text = number.as_str().to_owned();
        assert_eq!(text.len(), 8);
        let (left, right) = text.split_at(4);
        let spellings = [
            text.clone(),
            format!(" {left} {right} "),
            format!("{left}-{right}"),
            format!("00{text}"),
            text.replace('0', "O").replace('1', "I"),
            text.replace('0', "o").replace('1', "l"),
        ];
        for spelling in spellings {
            assert_eq!(AccountNumber::parse(&spelling), Ok(number.clone()), "{spelling}");
        }
        for bad in ["", "1", "123456789", "abcdefgh", "1000001", "१२३४५६७८"] {
            assert_eq!(AccountNumber::parse(bad), Err(NotAnAccountNumber::Form), "{bad}");
        }
        assert_eq!(AccountNumber::from_serial(10_000_000), None);
    }

    proptest! {
        #[test]
        fn every_wrong_digit_and_every_swap_of_neighbours_is_caught(serial in 0_u32..=SERIAL_MAX) {
            let number = AccountNumber::from_serial(serial).unwrap();
            let digits: Vec<char> = number.as_str().chars().collect();
            prop_assert_eq!(AccountNumber::parse(number.as_str()), Ok(number));
            for place in 0..DIGITS {
                for digit in '0'..='9' {
                    let mut wrong = digits.clone();
                    wrong[place] = digit;
                    if wrong != digits {
                        let wrong: String = wrong.into_iter().collect();
                        prop_assert_eq!(AccountNumber::parse(&wrong), Err(NotAnAccountNumber::CheckDigit));
                    }
                }
            }
            for place in 1..DIGITS {
                let mut swapped = digits.clone();
                swapped.swap(place - 1, place);
                if swapped != digits {
                    let swapped: String = swapped.into_iter().collect();
                    prop_assert_eq!(AccountNumber::parse(&swapped), Err(NotAnAccountNumber::CheckDigit));
                }
            }
        }
    }
}
