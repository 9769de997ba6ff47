//! A token as it lies in the database: ChaCha20-Poly1305 under a key made of the app's secret. Pure.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use tawi_shared::IdSource;
use tawi_shared::ids::hex;

/// What the key is for; another use of the secret must make another key.
const PURPOSE: &[u8] = b"tawi: the access token of Daraja in the database";
/// The longest sealed token that is opened; Daraja's have 28 characters.
const SEALED_CHARACTERS: usize = 16_384;

/// The key of one app. Hidden in `Debug`, as ring has it.
#[derive(Debug)]
pub(super) struct Seal(Option<LessSafeKey>);

impl Seal {
    /// The key that the app's secret makes.
    pub(super) fn of(secret: &str) -> Self {
        let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), PURPOSE);
        // As long as the algorithm wants it, always.
        Self(UnboundKey::new(&CHACHA20_POLY1305, made.as_ref()).ok().map(LessSafeKey::new))
    }

    /// Seals a token; empty, which opens to nothing, should that ever fail.
    pub(super) fn close(&self, token: &str, ids: &IdSource) -> String {
        let mut nonce = [0; NONCE_LEN];
        ids.fill(&mut nonce);
        let mut bytes = token.as_bytes().to_vec();
        let sealed = self.0.as_ref().and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, Aad::from(PURPOSE), &mut bytes).ok()
        });
        if sealed.is_none() {
            return String::new();
        }
        format!("{}{}", hex(&nonce), hex(&bytes))
    }

    /// The token; `None` for what is not sealed with this key.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        if sealed.len() > SEALED_CHARACTERS {
            return None;
        }
        let mut bytes = unhex(sealed)?;
        let (nonce, _) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut rest = bytes.split_off(NONCE_LEN);
        let token = self.0.as_ref()?.open_in_place(nonce, Aad::from(PURPOSE), &mut rest).ok()?;
        String::from_utf8(token.to_vec()).ok()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_with_the_secret_that_sealed_it_and_is_not_to_be_seen_in_it() {
        let ids = IdSource::seeded(1);
        let seal = Seal::of("secret");
        let sealed = seal.close("c9SQxWWhmdVRlyh0zh8gZDTkubVF", &ids);
        assert!(!sealed.contains(&hex(b"c9SQ")), "{sealed}");
        assert_eq!(seal.open(&sealed).as_deref(), Some("c9SQxWWhmdVRlyh0zh8gZDTkubVF"));
        assert_eq!(Seal::of("another").open(&sealed), None);
        assert_ne!(seal.close("a", &ids), seal.close("a", &ids));
        let (cut, long) = (sealed.split_at(2).1, format!("{sealed}0"));
        let (longer, not_hex) = (format!("{sealed}00"), sealed.replacen(char::is_alphanumeric, "g", 1));
        for junk in ["", "00", "zz", cut, &long, &longer, &not_hex, &"0".repeat(20_000)] {
            assert_eq!(seal.open(junk), None, "{junk}");
        }
    }
}
