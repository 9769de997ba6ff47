//! The API operator of the merchant: whether a security credential is its, and the lock behind wrong ones.
//!
//! The private key is a fixture that was made for tests and is public: whatever is encrypted to it is no secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;

use crate::operator::validation::Asked;
use crate::settings::Settings;

const KEY: &str = include_str!("../../data/operator_test_key.txt");
/// Wrong credentials in a row that lock an operator. Safaricom does not say how many; people write of about five.
const TRIES: u32 = 5;

/// How an operator is refused: result code and text.
pub(crate) type NotProven = (&'static str, &'static str);
const INVALID: NotProven = ("2001", "The initiator information is invalid.");
const LOCKED: NotProven = ("8006", "The security credential is locked.");

/// How often in a row the operator's credential was wrong.
#[derive(Debug, Default)]
pub(crate) struct OperatorAccount {
    wrong_in_a_row: u32,
}

impl OperatorAccount {
    /// Checks name and credential. Once locked, right ones are refused too.
    pub(crate) fn prove(&mut self, settings: &Settings, name: &str, asked: &Asked) -> Result<(), NotProven> {
        if self.wrong_in_a_row >= TRIES {
            return Err(LOCKED);
        }
        let password = decrypt(&asked.credential);
        let is_right = asked.initiator == name
            && password.is_some_and(|password| password == settings.operator_password.expose().as_bytes());
        if is_right {
            self.wrong_in_a_row = 0;
            return Ok(());
        }
        self.wrong_in_a_row += 1;
        Err(INVALID)
    }

    /// Unlocks the operator, as its administrator does in the portal.
    pub(crate) fn unlock(&mut self) {
        self.wrong_in_a_row = 0;
    }
}

/// What stands behind the padding of PKCS#1 v1.5; `None` for anything else.
fn decrypt(credential: &str) -> Option<Vec<u8>> {
    let number = |name: &str| {
        let digits = KEY.lines().find_map(|line| line.strip_prefix(name))?;
        BigUint::parse_bytes(digits.trim().as_bytes(), 16)
    };
    let encrypted = STANDARD.decode(credential).ok().filter(|bytes| bytes.len() == 256)?;
    let block =
        BigUint::from_bytes_be(&encrypted).modpow(&number("private_exponent ")?, &number("modulus ")?);
    // The first byte of the block is zero, and no number begins with one.
    let block = block.to_bytes_be();
    let (2, padded) = block.split_first().map(|(first, rest)| (*first, rest))? else { return None };
    let end = padded.iter().position(|byte| *byte == 0).filter(|end| *end >= 8)?;
    (block.len() == 255).then(|| padded.get(end.saturating_add(1)..).map(<[u8]>::to_vec)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_encrypted_to_the_key_is_nothing() {
        for wrong in [String::new(), "hush".to_owned(), STANDARD.encode([1; 255]), STANDARD.encode([7; 256])]
        {
            assert_eq!(decrypt(&wrong), None, "{wrong}");
        }
    }
}
