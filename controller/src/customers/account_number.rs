//! Account numbers: eight digits, the last of them a check digit, so that a typing error is caught before the money
//! goes to somebody else.
//!
//! The check digit is Damm's (H. M. Damm, 2004): it catches every single wrong digit and every swap of neighbours,
//! which together are most of what people mistype. Pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::phone::Msisdn;

/// Digits in an account number.
const DIGITS: usize = 8;
/// Letters that are taken for digits in one number among words: a slip or two, and not a name.
const LOOK_ALIKES_MOST: usize = 3;
/// The longest text in which a number is looked for among words: more than twice what a payer can type.
const TEXT_BYTES: usize = 100;
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

    /// Reads a number as people write it: spaces, dashes and dots anywhere, letters for the digits that they look like,
    /// zeros in front, and words around it, as in `A/C 10000012 JOHN`. Of several numbers it is none, and no part of a
    /// phone number is one.
    ///
    /// # Errors
    /// [`NotAnAccountNumber`] tells a wrong form from a wrong check digit.
    pub fn parse(text: &str) -> Result<Self, NotAnAccountNumber> {
        let mut digits = normalise(text);
        if digits.len() != DIGITS || interim(&digits).is_none() {
            let whole = |run: &str| Some(without_surplus_zeros(run)).filter(|run| run.len() == DIGITS);
            digits = only_run(text, whole).ok_or(NotAnAccountNumber::Form)?;
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

/// The digits that whoever typed this may have meant for an account number, with one too few or too many; `None` where
/// there are several, or none.
#[must_use]
pub fn nearly_typed(text: &str) -> Option<String> {
    let nearly = DIGITS.saturating_sub(1)..=DIGITS.saturating_add(1);
    only_run(text, |run| nearly.contains(&run.len()).then(|| run.to_owned()))
}

/// What is left of a typed number: separators gone, letters that look like digits read as digits, surplus zeros in
/// front removed. What cannot be a digit stays, and is refused later.
fn normalise(text: &str) -> String {
    let typed: String =
        text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '_')).collect();
    let digits = read_word(&typed).unwrap_or_else(|| typed.chars().map(close_look_alike).collect());
    without_surplus_zeros(&digits)
}

fn without_surplus_zeros(digits: &str) -> String {
    let surplus = digits.len().saturating_sub(DIGITS);
    let zeros = digits.bytes().take(surplus).take_while(|byte| *byte == b'0').count();
    digits.chars().skip(zeros).collect()
}

/// The digit for which a letter is taken wherever a whole text is a number.
fn close_look_alike(letter: char) -> char {
    match letter {
        'O' | 'o' => '0',
        'I' | 'i' | 'l' | 'L' | '|' => '1',
        other => other,
    }
}

/// The digit that a letter looks like.
fn look_alike(letter: char) -> char {
    match letter {
        'S' | 's' => '5',
        'Z' | 'z' => '2',
        // Not the small one, which looks like a 6.
        'B' => '8',
        other => close_look_alike(other),
    }
}

/// A word read as digits, a few letters among them for those that they look like; `None` where it is none. Names are full
/// of such letters, so that no more than one may stand at either end, and in front none but a one.
fn read_word(word: &str) -> Option<String> {
    let digits: String = word.chars().map(look_alike).collect();
    let is_letter = |c: Option<char>| c.is_some_and(|c| !c.is_ascii_digit());
    let (first, second) = (word.chars().next()?, word.chars().nth(1));
    let mut backwards = word.chars().rev();
    let (last, last_but_one) = (backwards.next(), backwards.next());
    let is_begun = first.is_ascii_digit() || (close_look_alike(first) == '1' && !is_letter(second));
    let is_ended = !is_letter(last) || !is_letter(last_but_one);
    let letters = word.chars().filter(|c| !c.is_ascii_digit()).count();
    let is_number = is_begun && is_ended && letters <= LOOK_ALIKES_MOST;
    (is_number && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// The one run of digits in a text that `fits`; `None` where none does, or several do. Runs between which stands nothing but
/// signs and spaces may be one that somebody wrote in groups, and then none of them is one alone: `2547 12345678` is a
/// phone.
fn only_run(text: &str, fits: impl Fn(&str) -> Option<String>) -> Option<String> {
    if text.len() > TEXT_BYTES {
        return None;
    }
    let mut found = None;
    for group in groups(text).into_iter().filter(|group| !is_date(group)) {
        let runs = match fits(&group.concat()) {
            Some(whole) => vec![whole],
            None => beside_phones(&group).into_iter().filter_map(&fits).collect(),
        };
        for run in runs {
            if found.replace(run).is_some() {
                return None;
            }
        }
    }
    found
}

/// Whether a group reads as a day: people write for which month they pay.
fn is_date(group: &[String]) -> bool {
    let short = |run: &String| run.len() <= 2;
    match group {
        [first, second, third] if short(second) => {
            (short(first) && third.len() == 4) || (first.len() == 4 && short(third))
        }
        _ => false,
    }
}

/// The runs of a group that are no part of a phone number.
fn beside_phones(group: &[String]) -> Vec<&str> {
    let mut is_phones = vec![false; group.len()];
    for start in 0..group.len() {
        let mut joined = String::new();
        for end in start..group.len() {
            joined.push_str(group.get(end).map(String::as_str).unwrap_or_default());
            if Msisdn::parse(&joined).is_ok() {
                is_phones.iter_mut().take(end.saturating_add(1)).skip(start).for_each(|is| *is = true);
            }
        }
    }
    group.iter().zip(is_phones).filter(|(_, is_phones)| !is_phones).map(|(run, _)| run.as_str()).collect()
}

/// The runs of digits in a text, in groups between which stand words.
fn groups(text: &str) -> Vec<Vec<String>> {
    let mut groups = vec![Vec::new()];
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '|').filter(|word| !word.is_empty()) {
        let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
        let whole = read_word(word).filter(|digits| is_plain || digits.len() <= DIGITS);
        let is_joined = whole.is_some() || word.starts_with(|c: char| c.is_ascii_digit());
        let runs = whole.map_or_else(|| runs_within(word), |whole| vec![whole]);
        for (place, run) in runs.into_iter().enumerate() {
            match groups.last_mut() {
                Some(group) if is_joined && place == 0 => group.push(run),
                _ => groups.push(vec![run]),
            }
        }
        if !is_plain && !word.ends_with(|c: char| c.is_ascii_digit()) {
            groups.push(Vec::new());
        }
    }
    groups
}

/// The runs within a word that has letters: each begins and ends with a digit, and between them may be what looks like one.
fn runs_within(word: &str) -> Vec<String> {
    let mut runs = Vec::new();
    for run in word.split(|c: char| !look_alike(c).is_ascii_digit()) {
        let run = run.trim_matches(|c: char| !c.is_ascii_digit());
        match read_word(run) {
            Some(run) => runs.push(run),
            None => runs.extend(
                run.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).map(str::to_owned),
            ),
        }
    }
    runs
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

    #[test]
    fn a_number_is_found_among_words_and_letters_that_look_like_its_digits() {
        let check = |text: &str, expected: Option<&str>| {
            let found = AccountNumber::parse(text).ok();
            assert_eq!(found.as_ref().map(AccountNumber::as_str), expected, "{text}");
        };
        // Their digits alone are account numbers.
        for month in ["RENT 10/09/2026", "10/09/2026", "JOHN 10-09-2026", "2026.10.09 RENT"] {
            check(month, None);
        }
        let number = Some("10000012");
        for text in [
            "ACC 10000012",
            "acc: 10000012",
            "A/C 10000012",
            "A/C NO.10000012",
            "#10000012",
            "10000012 JOHN",
            "JOHN 10000012",
            "ACC10000012",
            "10000012SALIM",
            "acc 1000-0012",
            "Acc No 1000 0012 Njeri",
            "ACC 1OOO0012",
            "0010000012 JOHN",
            "10000012 (house 5)",
            "10000012/0712345678",
            "0712 345 678 10000012",
        ] {
            check(text, number);
        }
        let other = AccountNumber::from_serial(2_588_025).unwrap();
        assert_eq!(other.as_str(), "25880255");
        let typed = "2S8B02S5";
        check(typed, Some(other.as_str()));
        check("258802SS", None);
        check("ZS880255", None);
        check(&format!("ACC {typed}"), Some(other.as_str()));
        for nothing in [
            "10000012 20000015",
            &format!("10000012 {other}"),
            "10000012 12345678",
            "ZSBOSIBB",
            "SILLS BOZO",
            "BILL0738",
            "BOB07380 00000",
            "5BOBS073 1",
            "100000120",
            // 0100 000 122 is a phone.
            "10000012 2",
            "7 10000012",
            "12 10000 012",
        ] {
            check(nothing, None);
        }
    }

    /// What people write around a number.
    const AROUND: [&str; 14] = [
        "",
        "ACC ",
        "A/C ",
        "acc no. ",
        "#",
        " JOHN",
        " kamau",
        " - ",
        "NO",
        "PAYMENT FOR ",
        "/",
        " & SONS",
        ": ",
        "BILL",
    ];
    /// How people write a phone.
    const PHONES: [fn(&str) -> String; 9] = [
        |d| format!("0{d}"),
        |d| format!("254{d}"),
        |d| format!("+254 {d}"),
        |d| format!("0{} {} {}", d.split_at(3).0, d.split_at(6).0.split_at(3).1, d.split_at(6).1),
        |d| format!("0{} {}", d.split_at(1).0, d.split_at(1).1),
        |d| format!("254{}-{}", d.split_at(1).0, d.split_at(1).1),
        |d| format!("+254 (0){} {}", d.split_at(1).0, d.split_at(1).1),
        |d| format!("{} {}", d.split_at(1).0, d.split_at(1).1),
        |d| format!("254/{}/{}", d.split_at(1).0, d.split_at(1).1),
    ];

    proptest! {
        #[test]
        fn a_phone_among_words_is_no_account(
            digits in "[17][0-9]{8}", way in 0_usize..PHONES.len(), before in 0_usize..AROUND.len(), after in 0_usize..AROUND.len(),
        ) {
            let text = format!("{}{}{}", AROUND[before], PHONES[way](&digits), AROUND[after]);
            prop_assert!(AccountNumber::parse(&text).is_err(), "{}", text);
        }

        #[test]
        fn a_text_with_one_number_is_that_number_and_with_two_is_none(
            serial in 1_000_000_u32..=SERIAL_MAX, other in 1_000_000_u32..=SERIAL_MAX,
            before in 0_usize..AROUND.len(), after in 0_usize..AROUND.len(),
        ) {
            let (number, other) = (AccountNumber::from_serial(serial).unwrap(), AccountNumber::from_serial(other).unwrap());
            let (before, after) = (AROUND[before], AROUND[after]);
            let text = format!("{before}{number}{after}");
            let read = AccountNumber::parse(&text);
            prop_assert!(read == Ok(number.clone()) || read.is_err(), "{text}: {read:?}");
            let is_apart = |part: &str| part.is_empty() || !part.contains(|c: char| c.is_ascii_alphanumeric()) || part.contains(' ');
            if is_apart(before) && is_apart(after) {
                prop_assert_eq!(read, Ok(number.clone()), "{}", text);
            }
            for both in [format!("{before}{number} {other}{after}"), format!("{other}{after}/{before}{number}")] {
                prop_assert!(AccountNumber::parse(&both).is_err(), "{}", both);
            }
        }

        #[test]
        fn one_slip_among_words_is_nobody_elses_number(
            serial in 0_u32..=SERIAL_MAX, place in 0_usize..DIGITS, digit in 0_u32..10,
            before in 0_usize..AROUND.len(), after in 0_usize..AROUND.len(),
        ) {
            let number = AccountNumber::from_serial(serial).unwrap();
            let mut digits: Vec<char> = number.as_str().chars().collect();
            digits[place] = char::from_digit(digit, 10).unwrap();
            let typed: String = digits.into_iter().collect();
            let read = AccountNumber::parse(&format!("{}{typed}{}", AROUND[before], AROUND[after]));
            prop_assert!(read.is_err() || typed == number.as_str(), "{} {:?}", typed, read);
        }

        #[test]
        fn what_is_read_out_of_any_text_stands_there_in_one_piece(text in "[ -~]{0,24}") {
            if let Ok(number) = AccountNumber::parse(&text) {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '|';
                let typed: String = text.chars().filter(|c| plain(*c)).map(look_alike).collect();
                prop_assert!(typed.contains(number.as_str()), "{} {}", text, number);
            }
        }

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
