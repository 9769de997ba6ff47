//! M-Pesa receipt numbers: ten capitals and digits, the first a letter, never the same twice.
//!
//! The n-th receipt of a seed is always the same: a letter that the seed chooses, then nine characters
//! that are a permutation of 0..36⁹ applied to n. It keeps no list of what it issued and needs none.

use std::fmt;

use serde::Serialize;

use crate::seeds::Seeds;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const CHARACTERS_AFTER_THE_LETTER: u32 = 9;
/// 36⁹: how many receipts there are behind one letter.
const SPACE: u64 = 36_u64.pow(CHARACTERS_AFTER_THE_LETTER);

/// A receipt number such as `RGP6CZDYG6`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Receipt(String);

impl Receipt {
    /// The ten characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The book that receipts are torn from.
#[derive(Debug)]
pub(crate) struct ReceiptBook {
    letter: char,
    /// Shares no factor with 36⁹ (odd, and no multiple of 3), so that multiplying is a permutation.
    factor: u64,
    start: u64,
    issued: u64,
}

impl ReceiptBook {
    /// The book of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        // Not the same stream as the ids: a token drawn in between must not change the receipts.
        let mut seeds = Seeds::new(seed ^ 0x7265_6365_6970_7473);
        let letter = pick(LETTERS, seeds.draw());
        let mut factor = (seeds.draw() % SPACE) | 1;
        while factor.is_multiple_of(3) {
            // The space is even, so an odd factor stays odd.
            factor = (factor + 2) % SPACE;
        }
        Self { letter, factor, start: seeds.draw() % SPACE, issued: 0 }
    }

    /// The next receipt.
    pub(crate) fn tear_off(&mut self) -> Receipt {
        let stretched = u128::from(self.factor) * u128::from(self.issued) + u128::from(self.start);
        let mut rest = u64::try_from(stretched % u128::from(SPACE)).unwrap_or_default();
        self.issued = self.issued.wrapping_add(1);
        let mut text = String::from(self.letter);
        for _ in 0..CHARACTERS_AFTER_THE_LETTER {
            text.push(pick(CHARACTERS, rest));
            rest /= 36;
        }
        Receipt(text)
    }
}

fn pick(alphabet: &[u8], number: u64) -> char {
    let size = u64::try_from(alphabet.len()).unwrap_or(1).max(1);
    let position = usize::try_from(number % size).unwrap_or_default();
    alphabet.get(position).copied().map_or('A', char::from)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn receipts_never_repeat_and_look_like_m_pesa_ones() {
        let mut book = ReceiptBook::new(1);
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let receipt = book.tear_off();
            assert_eq!(receipt.as_str().len(), 10);
            assert!(receipt.as_str().starts_with(|first: char| first.is_ascii_uppercase()));
            assert!(receipt.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
            assert!(seen.insert(receipt));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_receipts() {
        let of = |seed| {
            let mut book = ReceiptBook::new(seed);
            [book.tear_off(), book.tear_off(), book.tear_off()]
        };
        assert_eq!(of(42), of(42));
        assert_ne!(of(42), of(43));
    }

    #[test]
    fn every_factor_shares_nothing_with_the_space() {
        for seed in 0..1000 {
            let book = ReceiptBook::new(seed);
            assert!(book.factor % 2 == 1 && !book.factor.is_multiple_of(3), "seed {seed}");
        }
    }
}
