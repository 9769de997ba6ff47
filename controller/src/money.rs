//! Amounts of Kenyan shillings, in whole cents. No floats anywhere; overflow is an answer, not a wrap.

use std::fmt;

use thiserror::Error;

/// Whole cents of KES. Negative amounts exist in the ledger only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text is not an amount.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an amount: write it like 1500 or 1500.50")]
pub struct NotAnAmount(pub String);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many cents.
    #[must_use]
    pub const fn from_cents(cents: i64) -> Self {
        Self(cents)
    }

    /// So many shillings; `None` beyond what cents in an `i64` can hold.
    #[must_use]
    pub fn from_shillings(shillings: i64) -> Option<Self> {
        shillings.checked_mul(100).map(Self)
    }

    /// The amount in cents.
    #[must_use]
    pub fn cents(self) -> i64 {
        self.0
    }

    /// The least number of whole shillings that covers the amount: M-Pesa takes no cents.
    #[must_use]
    pub fn shillings_rounded_up(self) -> i64 {
        let whole = self.0.div_euclid(100);
        if self.0.rem_euclid(100) == 0 { whole } else { whole.saturating_add(1) }
    }

    /// Sum; `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference; `None` on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The opposite amount; `None` for the one number that has none.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Reads decimal text as peers and people write it: `1500`, `1,500.5`, `1500.50`. A comma is taken only before groups
    /// of three digits: `1500,50` is a decimal comma to whoever wrote it. More than two decimals are accepted only when
    /// they are zeros, since a fraction of a cent cannot be booked.
    ///
    /// # Errors
    /// [`NotAnAmount`] for anything else, including signs, exponents and overflow.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let refuse = || NotAnAmount(text.chars().take(40).collect());
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = ungrouped(whole).ok_or_else(refuse)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(&whole) || !digits(fraction) {
            return Err(refuse());
        }
        let (cents, rest) = fraction.split_at_checked(2).unwrap_or((fraction, ""));
        if rest.bytes().any(|byte| byte != b'0') {
            return Err(refuse());
        }
        let cents: i64 = format!("{cents:0<2}").parse().map_err(|_| refuse())?;
        let whole: i64 = whole.parse().map_err(|_| refuse())?;
        whole.checked_mul(100).and_then(|value| value.checked_add(cents)).map(Self).ok_or_else(refuse)
    }
}

/// Takes the commas out: groups of three digits, behind a first one of one to three. `None` when they stand elsewhere.
fn ungrouped(whole: &str) -> Option<String> {
    let Some((first, rest)) = whole.split_once(',') else { return Some(whole.to_owned()) };
    let is_grouped = (1..=3).contains(&first.len()) && rest.split(',').all(|group| group.len() == 3);
    is_grouped.then(|| whole.replace(',', ""))
}

impl fmt::Display for Money {
    /// `1,500.50`, without the currency.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let digits = (magnitude / 100).to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{grouped}.{:02}", magnitude % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_peers_write_them() {
        let check =
            |text: &str, cents| assert_eq!(Money::parse(text), Ok(Money::from_cents(cents)), "{text}");
        check("1", 100);
        check("1.00", 100);
        check("1.5", 150);
        check(" 1,500.50 ", 150_050);
        check("0.01", 1);
        check("10.000", 1_000);
        check("1,234,567", 123_456_700);
        for bad in [
            "1500,50", "1,5", "1,50,000", "1500,000", ",500", "1,500,", "1,", "1,,500", "1.500,00", "0.5,000",
        ] {
            assert!(Money::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", ".", "-1", "+1", "1e3", "1.001", "abc", "1.2.3", "99999999999999999999", "NaN"] {
            assert!(Money::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_print_with_groups_and_cents() {
        assert_eq!(Money::from_cents(150_050).to_string(), "1,500.50");
        assert_eq!(Money::from_cents(-5).to_string(), "-0.05");
        assert_eq!(Money::from_cents(12_345_678_900).to_string(), "123,456,789.00");
    }

    #[test]
    fn a_request_to_a_phone_covers_the_cents() {
        assert_eq!(Money::from_cents(150_001).shillings_rounded_up(), 1_501);
        assert_eq!(Money::from_cents(150_000).shillings_rounded_up(), 1_500);
    }
}
