//! What a row says about who paid: a whole number, a masked one, a hash of one, or nothing that can be used. Pure.
//!
//! Sources: Daraja's C2B pages and rows seen in public: plain `254712345678`, masked `2547 ***** 126` and
//! `25470****149`, and the SHA-256 of the twelve digits in hex. Numbers are personal data: `Debug` hides them.

use std::fmt;

use crate::customers::phone::{Msisdn, international_start};
use crate::plain::line_of;

/// The longest text that is kept: a hash has 64 characters.
const TEXT_CHARACTERS: usize = 64;
/// Hex characters of a SHA-256.
const HASH_CHARACTERS: usize = 64;
/// Digits that a mask must leave readable to say anything: `2547…` alone is every second phone in the country.
const MASK_DIGITS_LEAST: usize = 6;
/// Digits at the end of a mask that prove something: a thousand tries, where ten a day are allowed.
const PROOF_DIGITS: usize = 3;

/// Who paid, as told.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payer {
    text: String,
    form: Form,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Whole(Msisdn),
    Masked { start: String, end: String },
    Hashed(String),
    Unknown,
}

/// How far what was told agrees with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It is that number.
    Whole,
    /// What is readable of it is that number's.
    Partly,
    /// It says nothing.
    Silent,
    /// It is another number.
    Another,
}

impl Payer {
    /// Reads what was told; everything is taken.
    pub(crate) fn told(text: &str) -> Self {
        let text = line_of(text.trim(), TEXT_CHARACTERS);
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let form = if let Ok(number) = Msisdn::parse(&compact) {
            Form::Whole(number)
        } else if compact.len() == HASH_CHARACTERS && compact.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Form::Hashed(compact.to_ascii_lowercase())
        } else {
            masked(&compact).unwrap_or(Form::Unknown)
        };
        Self { text, form }
    }

    /// The number, when it is whole.
    pub(in crate::mpesa) fn number(&self) -> Option<&Msisdn> {
        match &self.form {
            Form::Whole(number) => Some(number),
            _ => None,
        }
    }

    /// What is kept of it: the digits of a whole number, and otherwise what was told.
    pub(in crate::mpesa) fn kept(&self) -> &str {
        self.number().map_or(&self.text, Msisdn::digits)
    }

    /// The SHA-256 of the number, in hex, when it is whole or was told as that.
    pub(in crate::mpesa) fn sha256(&self) -> Option<String> {
        match &self.form {
            Form::Whole(number) => Some(number.sha256()),
            Form::Hashed(told) => Some(told.clone()),
            Form::Masked { .. } | Form::Unknown => None,
        }
    }

    /// Whether whoever names this number can hardly have guessed it: a mask must show its last digits, by which the phones of
    /// one operator differ.
    pub(crate) fn proves(&self, number: &Msisdn) -> bool {
        match self.agrees_with(number) {
            Agreement::Whole => true,
            Agreement::Partly => matches!(&self.form, Form::Masked { end, .. } if end.len() >= PROOF_DIGITS),
            Agreement::Silent | Agreement::Another => false,
        }
    }

    /// Whether the same person cannot be meant by both: what is readable of both differs.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Whole(number), _) => other.agrees_with(number) == Agreement::Another,
            (_, Form::Whole(number)) => self.agrees_with(number) == Agreement::Another,
            (Form::Hashed(one), Form::Hashed(two)) => one != two,
            (Form::Masked { start, end }, Form::Masked { start: other_start, end: other_end }) => {
                let is_begin = start.bytes().zip(other_start.bytes()).all(|(one, two)| one == two);
                let is_end = end.bytes().rev().zip(other_end.bytes().rev()).all(|(one, two)| one == two);
                !(is_begin && is_end)
            }
            _ => false,
        }
    }

    /// How far it agrees with a number.
    pub(crate) fn agrees_with(&self, number: &Msisdn) -> Agreement {
        let is_it = match &self.form {
            Form::Unknown => return Agreement::Silent,
            Form::Masked { start, end } => {
                let fits = number.digits().starts_with(start) && number.digits().ends_with(end);
                return if fits { Agreement::Partly } else { Agreement::Another };
            }
            Form::Whole(told) => told == number,
            Form::Hashed(told) => *told == number.sha256(),
        };
        if is_it { Agreement::Whole } else { Agreement::Another }
    }
}

/// Digits, stars, digits; the stars do not tell how many digits they hide.
fn masked(compact: &str) -> Option<Form> {
    let compact = compact.strip_prefix('+').unwrap_or(compact);
    let start: String = compact.chars().take_while(char::is_ascii_digit).collect();
    let end: String = compact.chars().rev().take_while(char::is_ascii_digit).collect();
    let end: String = end.chars().rev().collect();
    let stars = compact.strip_prefix(&start)?.strip_suffix(&end)?;
    let is_mask = !stars.is_empty() && stars.chars().all(|c| matches!(c, '*' | '•' | 'x' | 'X'));
    let start = international_start(&start);
    let is_readable = start.len().saturating_add(end.len()) >= MASK_DIGITS_LEAST;
    (is_mask && is_readable).then_some(Form::Masked { start, end })
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payer(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_recognised_whole_masked_and_hashed() {
        let number = Msisdn::parse("254712345678").unwrap();
        let check = |text: &str, expected| {
            assert_eq!(Payer::told(text).agrees_with(&number), expected, "{text}");
        };
        for (text, expected) in [
            ("254712345678", true),
            ("2547 ***** 678", true),
            ("2547 ***** 679", false),
            ("25471234****78", false),
            ("254712*****", false),
            ("", false),
        ] {
            assert_eq!(Payer::told(text).proves(&number), expected, "{text}");
        }
        check("254712345678", Agreement::Whole);
        check(" 0712 345 678 ", Agreement::Whole);
        // Of `printf 254712345678 | sha256sum`.
        let hash = "7132104d6aae9c3fac82095a42c2817952bca48e09d98d5bf4ac08218982fb90";
        check(hash, Agreement::Whole);
        check(&hash.to_uppercase(), Agreement::Whole);
        check(&hash.replace('1', "2"), Agreement::Another);
        check("2547 ***** 678", Agreement::Partly);
        check("25471****678", Agreement::Partly);
        check("2547•••••678", Agreement::Partly);
        // The national form, and with the sign of the international one.
        check("0712***678", Agreement::Partly);
        check("07****678", Agreement::Partly);
        check("712****678", Agreement::Partly);
        check("+2547*****678", Agreement::Partly);
        check("0713***678", Agreement::Another);
        check("0112***678", Agreement::Another);
        check("254712345679", Agreement::Another);
        check("2547 ***** 679", Agreement::Another);
        check("25472****678", Agreement::Another);
        for silent in ["", "MPESA", "0", "2547*****", "****", "600000", "2547-*-a-678"] {
            check(silent, Agreement::Silent);
        }
    }

    #[test]
    fn two_tellings_contradict_where_what_both_show_differs() {
        // Of `printf 254712345678 | sha256sum`.
        let hash = "7132104d6aae9c3fac82095a42c2817952bca48e09d98d5bf4ac08218982fb90";
        let check = |one: &str, two: &str, expected| {
            assert_eq!(Payer::told(one).contradicts(&Payer::told(two)), expected, "{one} {two}");
            assert_eq!(Payer::told(two).contradicts(&Payer::told(one)), expected, "{two} {one}");
        };
        for same in ["254712345678", "0712345678", hash, "2547 ***** 678", "25471****678", "", "MPESA"] {
            check("254712345678", same, false);
            check("2547 ***** 678", same, false);
            check(hash, same, false);
        }
        check("254712345678", "254712345679", true);
        check("254712345679", hash, true);
        check("254712345679", "2547 ***** 678", true);
        check("25471****678", "25472****678", true);
        check("0712***678", "25471****678", false);
        check("0712***678", "25472****678", true);
        check("25471****678", "2547 ***** 5679", true);
        check(hash, &hash.replace('1', "2"), true);
        check("2547 ***** 678", &hash.replace('1', "2"), false);
    }

    #[test]
    fn what_was_told_is_kept_and_hidden() {
        assert_eq!(Payer::told("0712345678").kept(), "254712345678");
        assert_eq!(Payer::told(" 2547 ***** 678 ").kept(), "2547 ***** 678");
        assert_eq!(format!("{:?}", Payer::told("0712345678")), "Payer(hidden)");
        assert_eq!(Payer::told(&"9".repeat(999)).kept().len(), 64);
    }
}
