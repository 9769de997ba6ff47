//! Repeatable variety: tokens and request ids drawn from a seed.
//!
//! SplitMix64 (Steele, Lea, Flood 2014), because it is nine lines and needs no dependency. It refuses
//! to be a source of secrets: everything that it makes can be foretold from the seed.

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER_HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";

/// A stream of draws that a seed decides.
#[derive(Debug)]
pub(crate) struct Seeds(u64);

impl Seeds {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// An access token: 28 letters and digits, as Daraja's are.
    pub(crate) fn access_token(&mut self) -> String {
        self.letters(ALPHANUMERIC, 28)
    }

    /// A `MerchantRequestID` in the form of 2024 and later: `c0d2-4b9a-a71a-12bae346ef6e2547510`.
    pub(crate) fn merchant_request_id(&mut self) -> String {
        let mut group = |length| self.letters(LOWER_HEX, length);
        let front = format!("{}-{}-{}-{}", group(4), group(4), group(4), group(12));
        format!("{front}{}", self.letters(DIGITS, 7))
    }

    /// A `requestId` or conversation id in the older form: `8350-54907831-1`.
    pub(crate) fn request_id(&mut self) -> String {
        format!("{}-{}-1", self.letters(DIGITS, 4), self.letters(DIGITS, 8))
    }

    fn letters(&mut self, alphabet: &[u8], length: usize) -> String {
        let size = u64::try_from(alphabet.len()).unwrap_or(1).max(1);
        (0..length)
            .filter_map(|_| {
                let position = usize::try_from(self.draw() % size).ok()?;
                alphabet.get(position).copied().map(char::from)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (mut one, mut other) = (Seeds::new(7), Seeds::new(7));
        assert_eq!(one.merchant_request_id(), other.merchant_request_id());
        assert_ne!(one.access_token(), Seeds::new(8).access_token());
    }

    #[test]
    fn ids_have_the_published_lengths() {
        let mut seeds = Seeds::new(1);
        assert_eq!(seeds.access_token().len(), 28);
        assert_eq!(seeds.merchant_request_id().len(), "c0d2-4b9a-a71a-12bae346ef6e2547510".len());
        assert_eq!(seeds.request_id().len(), "8350-54907831-1".len());
    }
}
