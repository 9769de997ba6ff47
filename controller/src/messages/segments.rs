//! How many SMS a text is, as the networks count and bill it. Pure.
//!
//! The GSM alphabet (3GPP TS 23.038, 6.2.1) has 160 characters to one SMS, or 153 to each part of a longer text; one
//! character outside of it turns the whole text into UCS-2, with 70 or 67. Characters of the extension table take two places,
//! and neither those nor a pair of UCS-2 units is cut in two.

/// The basic table without its control characters: line feed and carriage return are in it.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table.
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// How a text travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Seven bits a character.
    Gsm7,
    /// Sixteen bits a unit.
    Ucs2,
}

/// A text, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How it travels.
    pub alphabet: Alphabet,
    /// Places that it takes.
    pub places: usize,
    /// SMS that it is: 0 for an empty text.
    pub segments: u32,
}

impl Alphabet {
    fn places_of(self, character: char) -> usize {
        match self {
            Self::Gsm7 if EXTENDED.contains(character) => 2,
            Self::Gsm7 => 1,
            Self::Ucs2 => character.len_utf16(),
        }
    }

    fn alone(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// In a part of a longer text: seven places of the alphabet, or three, say which part it is.
    fn in_part(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// Whether a character is in the GSM alphabet.
#[must_use]
pub fn is_gsm(character: char) -> bool {
    BASIC.contains(character) || EXTENDED.contains(character)
}

/// Counts a text.
#[must_use]
pub fn count(text: &str) -> Counted {
    let alphabet = if text.chars().all(is_gsm) { Alphabet::Gsm7 } else { Alphabet::Ucs2 };
    let places: usize = text.chars().map(|character| alphabet.places_of(character)).sum();
    let segments = if places == 0 {
        0
    } else if places <= alphabet.alone() {
        1
    } else {
        parts(text, alphabet)
    };
    Counted { alphabet, places, segments }
}

fn parts(text: &str, alphabet: Alphabet) -> u32 {
    let (mut parts, mut filled) = (1_u32, 0_usize);
    for character in text.chars() {
        let places = alphabet.places_of(character);
        if filled.saturating_add(places) > alphabet.in_part() {
            parts = parts.saturating_add(1);
            filled = 0;
        }
        filled = filled.saturating_add(places);
    }
    parts
}

/// The same text with what word processors and phones put in place of plain signs turned back: one curly apostrophe in a
/// name would make the text twice as dear.
#[must_use]
pub fn plain_signs(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '‘' | '’' | '‚' | '`' | '´' => plain.push('\''),
            '“' | '”' | '„' | '«' | '»' => plain.push('"'),
            '‐' | '‑' | '–' | '—' | '−' => plain.push('-'),
            '…' => plain.push_str("..."),
            '\u{a0}' | '\u{202f}' | '\u{2009}' | '\t' => plain.push(' '),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_as_networks_bill_them() {
        use Alphabet::{Gsm7, Ucs2};
        let check = |text: &str, alphabet: Alphabet, places: usize, segments: u32| {
            assert_eq!(count(text), Counted { alphabet, places, segments }, "{text:?}");
        };
        check("", Gsm7, 0, 0);
        check(&"a".repeat(160), Gsm7, 160, 1);
        check(&"a".repeat(161), Gsm7, 161, 2);
        check(&"a".repeat(306), Gsm7, 306, 2);
        check(&"a".repeat(307), Gsm7, 307, 3);
        check(&"€".repeat(80), Gsm7, 160, 1);
        // 76 signs of two places fill 152 of 153: the next does not fit and goes to the second part whole.
        check(&format!("{}{}", "€".repeat(77), "a".repeat(152)), Gsm7, 306, 3);
        check(&"ń".repeat(70), Ucs2, 70, 1);
        check(&"ń".repeat(71), Ucs2, 71, 2);
        check(&"ń".repeat(134), Ucs2, 134, 2);
        check(&"ń".repeat(135), Ucs2, 135, 3);
        // A pair is not cut: 33 of them fill 66 of 67.
        check(&"😀".repeat(67), Ucs2, 134, 3);
        check("Karibu! Tunashukuru: KES 1,500 @ 14:05", Gsm7, 38, 1);
    }

    #[test]
    fn the_basic_table_is_whole() {
        assert_eq!(BASIC.chars().count(), 127, "128 places, one of them the escape");
        assert_eq!(EXTENDED.chars().count(), 10);
        assert!(is_gsm('@') && is_gsm('à') && is_gsm('|') && !is_gsm('’') && !is_gsm('ç'));
    }

    #[test]
    fn typographic_signs_make_no_text_dearer() {
        let plain = plain_signs("Njoki’s “Shop” – open…\u{a0}now");
        assert_eq!(plain, "Njoki's \"Shop\" - open... now");
        assert_eq!(count(&plain).alphabet, Alphabet::Gsm7);
    }
}
