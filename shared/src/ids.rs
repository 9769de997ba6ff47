//! Typed ids, and the only place that makes random ones.
//!
//! A bare `String` for an id in a signature is a bug: the [`text_id!`](crate::text_id) macro makes the newtype. Ids are lower-case
//! and short, because they travel in topics, router comments and URLs, and hex cannot spell the words that
//! Safaricom's gateway refuses in a callback URL.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// The longest id that is accepted anywhere, in bytes. Router comments and MQTT topics carry ids, and both are
/// limited; 40 holds a 128-bit hex id with a prefix.
pub const ID_BYTES: usize = 40;

/// Why a text is not an id.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IdError {
    /// Nothing was given.
    #[error("an id cannot be empty")]
    Empty,
    /// More than [`ID_BYTES`] bytes were given.
    #[error("an id has at most {ID_BYTES} characters")]
    TooLong,
    /// Something else than `a-z`, `0-9` and inner `-` was given.
    #[error("an id has only a-z, 0-9 and - between them; {0:?} is not one")]
    BadCharacter(String),
}

/// Checks the form that all ids share: 1 to [`ID_BYTES`] characters of `a-z`, `0-9` and inner `-`.
///
/// # Errors
/// [`IdError`] names what is wrong.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES {
        return Err(IdError::TooLong);
    }
    let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !plain || text.starts_with('-') || text.ends_with('-') {
        return Err(IdError::BadCharacter(text.to_owned()));
    }
    Ok(())
}

/// Declares a newtype over an id text whose form is checked on the way in.
#[macro_export]
macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text whose form is right.
            ///
            /// # Errors
            /// [`IdError`]($crate::ids::IdError) names what is wrong.
            pub fn parse(text: &str) -> Result<Self, $crate::ids::IdError> {
                $crate::ids::check_id(text)?;
                Ok(Self(text.to_owned()))
            }

            /// Makes a new random one.
            #[must_use]
            pub fn random(ids: &$crate::ids::IdSource) -> Self {
                Self(ids.hex(ID_RANDOM_BYTES))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::ids::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::ids::IdError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                $crate::ids::check_id(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        /// Random bytes in a new id: 80 bits, so that a million ids collide once in 10^12 tries.
        const ID_RANDOM_BYTES: usize = 10;
    };
}

mod site {
    text_id! {
        /// One site: a name chosen by staff, such as `nyeri-01`. It is the MQTT user name and the certificate's
        /// common name, and stands in every topic of the site.
        SiteId
    }
}
mod line {
    text_id! {
        /// One customer's connection at one site. It stands in the comment of each router row that Tawi owns, as
        /// `tawi:<line id>`.
        LineId
    }
}
pub use line::LineId;
pub use site::SiteId;

/// Where random ids, tokens and nonces come from: the operating system, or a seed in tests.
#[derive(Clone, Debug, Default)]
pub struct IdSource(Option<Arc<Seeded>>);

struct Seeded {
    seed: u64,
    counter: AtomicU64,
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeded").finish_non_exhaustive()
    }
}

impl IdSource {
    /// Ids from the operating system's random source: the only one for production.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// Repeatable ids for tests and simulations. Not secret.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Seeded { seed, counter: AtomicU64::new(0) })))
    }

    /// Fills `bytes` with fresh random ones.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            None => fill_from_system(bytes),
            Some(seeded) => seeded.fill(bytes),
        }
    }

    /// `length` random bytes as lower-case hex, twice as many characters.
    #[must_use]
    pub fn hex(&self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        hex(&bytes)
    }

    /// A random number, for identities that travel as integers.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

impl Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = self.counter.fetch_add(1, Ordering::SeqCst);
            let mut input = [0; 16];
            for (slot, byte) in
                input.iter_mut().zip(self.seed.to_be_bytes().into_iter().chain(block.to_be_bytes()))
            {
                *slot = byte;
            }
            for (slot, byte) in chunk.iter_mut().zip(digest(&SHA256, &input).as_ref()) {
                *slot = *byte;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that makes random ids")]
#[expect(
    clippy::panic,
    reason = "without a random source no secret can be made; going on would hand out guessable tokens"
)]
fn fill_from_system(bytes: &mut [u8]) {
    if SystemRandom::new().fill(bytes).is_err() {
        panic!("the operating system's random source does not answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_only_what_topics_and_comments_can_carry() {
        for good in ["nyeri-01", "a", "0", "ab-c-d"] {
            assert!(SiteId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a+b", "#", "a b", "é", &"a".repeat(ID_BYTES + 1)] {
            assert!(SiteId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_ids_again_and_never_one_twice() {
        let (first, second) = (IdSource::seeded(7), IdSource::seeded(7));
        let ids: Vec<LineId> = (0..100).map(|_| LineId::random(&first)).collect();
        assert_eq!(ids, (0..100).map(|_| LineId::random(&second)).collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 100);
    }
}
