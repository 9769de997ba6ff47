//! Whom a payer may have meant. Pure.
//!
//! One wrong digit, or two that changed places, are what people mistype; Damm's check digit lets one digit in ten pass
//! for each place, so that a typed number has about nine neighbours, of which a customer has one or none.

use crate::customers::account_number::{AccountNumber, nearly_typed};
use crate::customers::phone::{Msisdn, international_start};

/// Digits of an account number.
const DIGITS: usize = 8;
/// Digits at the end of a masked number, and at its start, without which it fits too many.
const MASK_ENDS: (usize, usize) = (4, 3);

/// What is known of a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phone {
    /// Nothing that could be looked for.
    Unknown,
    /// Its SHA-256.
    Hash(String),
    /// What it begins and ends with.
    Ends(String, String),
}

/// Account numbers that are one slip away from what was typed.
pub(crate) fn account_numbers(typed: &str) -> Vec<AccountNumber> {
    let digits: Vec<char> = nearly_typed(typed).unwrap_or_default().chars().collect();
    let mut near = Vec::new();
    let mut try_number = |candidate: &[char]| {
        if let Ok(number) = AccountNumber::parse(&candidate.iter().collect::<String>())
            && !near.contains(&number)
        {
            near.push(number);
        }
    };
    for place in 0..digits.len() {
        // Two that changed places first: it is the commoner slip of fast fingers.
        let mut swapped = digits.clone();
        if digits.len() == DIGITS && place.saturating_add(1) < digits.len() {
            swapped.swap(place, place.saturating_add(1));
            try_number(&swapped);
        }
    }
    for (place, digit) in (0..digits.len()).flat_map(|place| ('0'..='9').map(move |digit| (place, digit))) {
        let mut candidate = digits.clone();
        match digits.len() {
            DIGITS => {
                if let Some(there) = candidate.get_mut(place) {
                    *there = digit;
                }
            }
            // One digit too few, at the end as well, or one too many.
            7 => candidate.insert(place.saturating_add(1), digit),
            9 if digit == '0' => drop(candidate.remove(place)),
            9 => continue,
            _ => return near,
        }
        try_number(&candidate);
    }
    near
}

/// What may be looked for of a payer as told: a number, a hash, or the readable ends of a mask.
pub(super) fn phone(payer: &str) -> Phone {
    let compact: String = payer.chars().filter(|c| !c.is_whitespace()).collect();
    if let Ok(number) = Msisdn::parse(&compact) {
        return Phone::Hash(number.sha256());
    }
    if compact.len() == 64 && compact.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Phone::Hash(compact.to_ascii_lowercase());
    }
    let compact = compact.strip_prefix('+').unwrap_or(&compact);
    let start: String = compact.chars().take_while(char::is_ascii_digit).collect();
    let end: String = compact.chars().rev().take_while(char::is_ascii_digit).collect();
    let end: String = end.chars().rev().collect();
    let start_digits = start.len();
    let start = international_start(&start);
    let is_mask = compact.len() > start_digits.saturating_add(end.len());
    if is_mask && start.len() >= MASK_ENDS.0 && end.len() >= MASK_ENDS.1 {
        return Phone::Ends(start, end);
    }
    Phone::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_leads_back_to_the_number_that_was_meant() {
        let meant = AccountNumber::from_serial(1_234_567).unwrap();
        let digits: Vec<char> = meant.as_str().chars().collect();
        let check = |typed: String| {
            let near = account_numbers(&typed);
            assert!(near.contains(&meant), "{typed}: {near:?}");
            assert!(near.len() <= 80, "{}", near.len());
        };
        for place in 0..digits.len() {
            let mut wrong = digits.clone();
            wrong[place] = if wrong[place] == '9' { '0' } else { '9' };
            check(wrong.iter().collect());
            let mut missing = digits.clone();
            missing.remove(place);
            if place > 0 {
                check(missing.iter().collect());
            }
            let mut doubled = digits.clone();
            doubled.insert(place, digits[place]);
            check(doubled.iter().collect());
        }
        let mut swapped = digits.clone();
        swapped.swap(3, 4);
        check(format!("acc {}", swapped.iter().collect::<String>()));
        check(format!("A/C {} House 5", swapped.iter().collect::<String>()));
        let mut looks = swapped.iter().collect::<String>().replace('5', "S").replace('2', "Z");
        looks.push_str(" JOHN");
        check(looks);
        for nothing in ["", "rent", "12", "0712345678"] {
            assert_eq!(account_numbers(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn a_payer_is_looked_for_by_what_is_readable() {
        let ends = |start: &str, end: &str| Phone::Ends(start.to_owned(), end.to_owned());
        assert_eq!(phone("2547 ***** 126"), ends("2547", "126"));
        assert_eq!(phone("25470****149"), ends("25470", "149"));
        assert_eq!(phone("0712***678"), ends("254712", "678"));
        assert_eq!(phone("+25471***678"), ends("25471", "678"));
        let number = Msisdn::parse("0712345678").unwrap();
        assert_eq!(phone("254712345678"), Phone::Hash(number.sha256()));
        assert_eq!(phone(&number.sha256().to_uppercase()), Phone::Hash(number.sha256()));
        for nothing in ["", "MPESA", "254****1", "25****126", "*"] {
            assert_eq!(phone(nothing), Phone::Unknown, "{nothing}");
        }
    }
}
