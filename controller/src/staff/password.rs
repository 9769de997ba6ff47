//! Passwords of staff: argon2id, with the parameters that OWASP's password storage sheet names first for it
//! (19 MiB, two passes, one lane). Hashing takes tens of milliseconds and 19 MiB, so it never runs on a thread that
//! serves others, and the caller limits how many run at once.

use std::fmt;
use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;

use crate::ids::IdSource;

/// The shortest password taken, in characters: what NIST SP 800-63B asks of a password alone is 15, of one beside a
/// rate limit 8; ten is between.
const CHARACTERS_LEAST: usize = 10;
/// The longest, in bytes: enough for any phrase, and no work for whoever posts megabytes.
const BYTES_MOST: usize = 256;
/// Random bytes in the salt, as RFC 9106 recommends.
const SALT_BYTES: usize = 16;
/// Random bytes in a generated password: 80 bits, typed once.
const GENERATED_BYTES: usize = 10;
const MEMORY_KIBIBYTES: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A password in clear. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// What rests in the database: a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Why a password cannot be used.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Too short to resist guessing.
    #[error("a password has at least {CHARACTERS_LEAST} characters")]
    TooShort,
    /// Longer than anybody types.
    #[error("a password has at most {BYTES_MOST} bytes")]
    TooLong,
    /// The hash function refuses.
    #[error("hashing a password: {0}")]
    Hash(argon2::password_hash::Error),
    /// The task that hashed was lost.
    #[error("hashing a password: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

impl Password {
    /// Takes a password that somebody chose.
    ///
    /// # Errors
    /// [`PasswordError`] when it is too short or too long.
    pub fn chosen(text: &str) -> Result<Self, PasswordError> {
        if text.chars().count() < CHARACTERS_LEAST {
            return Err(PasswordError::TooShort);
        }
        Self::typed(text)
    }

    /// Takes what somebody typed to sign in. It may be anything that is not absurdly long.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`].
    pub fn typed(text: &str) -> Result<Self, PasswordError> {
        if text.len() > BYTES_MOST { Err(PasswordError::TooLong) } else { Ok(Self(text.to_owned())) }
    }

    /// Makes a random one, in groups that can be read out.
    #[must_use]
    pub fn random(ids: &IdSource) -> Self {
        let digits = ids.hex(GENERATED_BYTES);
        let mut text = String::with_capacity(digits.len() + digits.len() / 5);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && index.is_multiple_of(5) {
                text.push('-');
            }
            text.push(digit);
        }
        Self(text)
    }

    /// The password itself, for the one answer that carries it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Hashes it, on a thread for such work.
    ///
    /// # Errors
    /// [`PasswordError`] when the hash function refuses.
    pub async fn hash(self, ids: &IdSource) -> Result<PasswordHash, PasswordError> {
        let mut salt = [0; SALT_BYTES];
        ids.fill(&mut salt);
        tokio::task::spawn_blocking(move || {
            let salt = SaltString::encode_b64(&salt).map_err(PasswordError::Hash)?;
            let hash =
                hasher()?.hash_password(self.0.as_bytes(), &salt).map_err(PasswordError::Hash)?.to_string();
            Ok(PasswordHash(hash))
        })
        .await?
    }

    /// Whether it is the one behind `hash`. Without a hash the work is done all the same, against one that nobody
    /// has, so that the time taken does not tell whether a login exists.
    ///
    /// # Errors
    /// [`PasswordError::Lost`] when the program is ending.
    pub(super) async fn matches(self, hash: Option<PasswordHash>) -> Result<bool, PasswordError> {
        let is_known = hash.is_some();
        let matches = tokio::task::spawn_blocking(move || {
            let hash = hash.unwrap_or_else(|| NOBODYS.clone());
            let phc = Phc::new(&hash.0).map_err(PasswordError::Hash)?;
            Ok::<_, PasswordError>(hasher()?.verify_password(self.0.as_bytes(), &phc).is_ok())
        })
        .await??;
        Ok(matches && is_known)
    }
}

impl PasswordHash {
    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hash of nobody's password: a well-formed string with our parameters whose output is all zeros, which no
/// password is known to give.
static NOBODYS: LazyLock<PasswordHash> = LazyLock::new(|| {
    let zeros = |characters: usize| "A".repeat(characters);
    PasswordHash(format!(
        "$argon2id$v=19$m={MEMORY_KIBIBYTES},t={PASSES},p={LANES}${}${}",
        zeros(22),
        zeros(43)
    ))
});

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIBIBYTES, PASSES, LANES, None)
        .map_err(|error| PasswordError::Hash(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let ids = IdSource::seeded(1);
        let hash = Password::chosen("correct horse").unwrap().hash(&ids).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let check =
            async |text: &str| Password::typed(text).unwrap().matches(Some(hash.clone())).await.unwrap();
        assert!(check("correct horse").await);
        assert!(!check("correct horsf").await);
        assert!(!check("").await);
        let again = Password::chosen("correct horse").unwrap().hash(&ids).await.unwrap();
        assert_ne!(again, hash, "every hash has its own salt");
    }

    #[tokio::test]
    async fn nobodys_hash_is_well_formed_and_matches_nothing() {
        Phc::new(&NOBODYS.0).unwrap();
        assert!(!Password::typed("").unwrap().matches(None).await.unwrap());
        assert!(!Password::typed("correct horse").unwrap().matches(None).await.unwrap());
    }

    #[test]
    fn passwords_are_neither_short_nor_endless_nor_printed() {
        assert!(matches!(Password::chosen("short"), Err(PasswordError::TooShort)));
        assert!(matches!(Password::chosen(&"x".repeat(257)), Err(PasswordError::TooLong)));
        let generated = Password::random(&IdSource::seeded(2));
        assert!(Password::chosen(generated.reveal()).is_ok());
        assert_eq!(format!("{generated:?}"), "Password(…)");
    }
}
