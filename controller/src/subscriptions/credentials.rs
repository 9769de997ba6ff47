//! User names and passwords of lines, as every place that they pass through can carry them. Pure.
//!
//! RouterOS itself takes almost any bytes. What limits them is the way: PAP and CHAP carry at most 255 bytes; modems
//! and phones differ in the encoding of anything beyond ASCII; a space at an end is lost in forms and exports; a
//! console prints control characters as escapes. So: printable ASCII, at most 64, no spaces in names.

use std::fmt;
use std::str::FromStr;

use crate::customers::Invalid;
use crate::ids::IdSource;

/// The longest user name or password, in bytes: a quarter of what PAP carries, and what modems' forms take.
const BYTES_MAX: usize = 64;
/// Characters of a drawn password: 10 of 32 are 50 bits, and can be read out over the phone.
const DRAWN_CHARACTERS: usize = 10;
/// Digits and letters that are not mistaken for one another; 32 of them, so that five random bits choose one.
const DRAWN_FROM: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";

/// The name that a line signs in with; unique on its router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

/// The password that a line signs in with. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Username {
    /// Takes a name.
    ///
    /// # Errors
    /// [`Invalid`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() || text.len() > BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "use 1 to 64 plain letters, digits and signs, without spaces";
            return Err(Invalid { field: "username", reason });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Password {
    /// Takes a password.
    ///
    /// # Errors
    /// [`Invalid`] says what to write instead; it does not repeat the password.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if text.is_empty() || text.len() > BYTES_MAX || !is_printable || text.trim() != text {
            let reason = "use 1 to 64 plain letters, digits and signs, without a space at either end";
            return Err(Invalid { field: "password", reason });
        }
        Ok(Self(text.to_owned()))
    }

    /// Draws a password that can be read out over the phone.
    #[must_use]
    pub fn random(ids: &IdSource) -> Self {
        let mut bytes = [0; DRAWN_CHARACTERS];
        ids.fill(&mut bytes);
        let letter = |byte: &u8| DRAWN_FROM.get(usize::from(byte & 31)).copied().map_or('a', char::from);
        Self(bytes.iter().map(letter).collect())
    }

    /// The one that is in the row on the router already, and that nobody here knows: an empty one, which agents leave as
    /// it is.
    #[must_use]
    pub fn unknown() -> Self {
        Self(String::new())
    }

    /// The password itself: for routers, and once for the person who asked for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Username {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_survive_every_place_that_they_pass_through() {
        for good in ["007", "plot12@nyeri", "a", "AA:BB:CC:DD:EE:FF", &"x".repeat(64)] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "é", "a\n", "a\tb", &"x".repeat(65)] {
            let expected = if bad == "a\n" { Ok("a".to_owned()) } else { Err("username") };
            let parsed = Username::parse(bad).map(|name| name.0).map_err(|invalid| invalid.field);
            assert_eq!(parsed, expected, "{bad:?}");
        }
        for good in ["x", "two words", "\"$;\\", &"x".repeat(64)] {
            assert_eq!(Password::parse(good).unwrap().reveal(), good);
        }
        for bad in ["", " x", "x ", "é", "a\0b", &"x".repeat(65)] {
            assert!(Password::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn drawn_passwords_differ_and_are_hidden() {
        let ids = IdSource::system();
        let (one, two) = (Password::random(&ids), Password::random(&ids));
        assert_ne!(one, two);
        assert_eq!(Password::parse(one.reveal()), Ok(one.clone()));
        assert_eq!(format!("{one:?}"), "Password(hidden)");
        let distinct: std::collections::BTreeSet<_> = DRAWN_FROM.iter().collect();
        assert_eq!(distinct.len(), 32);
    }
}
