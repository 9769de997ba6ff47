//! How somebody without sign-in follows what they asked for: by a secret in the address of a page, which is none of the
//! request's own ids and opens nothing else. What the page says is `pay`.
//!
//! The token is drawn when the form is, not when it is sent, so that a form that is sent twice asks once.

pub(super) mod store;

use std::fmt;

use tawi_shared::UnixMillis;

use super::PaymentError;
use crate::database::Connection;
use crate::ids::{IdSource, IntentId, LineId};

/// Random bytes in a token: 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// The secret in the address of a page that follows one request: 32 characters of lower-case hex. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct FollowToken(String);

impl FollowToken {
    /// Draws one.
    #[must_use]
    pub fn random(ids: &IdSource) -> Self {
        Self(ids.hex(TOKEN_BYTES))
    }

    /// Takes exactly 32 characters of lower-case hex.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == TOKEN_BYTES.saturating_mul(2) && is_hex).then(|| Self(text.to_owned()))
    }

    /// The token: for the page's address and the database.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FollowToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FollowToken(hidden)")
    }
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// What was to be paid for.
    pub line: LineId,
    /// The request that was sent; `None` when the wallet paid and no phone was asked.
    pub intent: Option<IntentId>,
    /// When it was asked for.
    pub at: UnixMillis,
}

/// What a token stands for; `None` when nothing was asked for with it.
///
/// # Errors
/// When the database refuses.
pub async fn followed(
    connection: &mut Connection,
    token: &FollowToken,
) -> Result<Option<Followed>, PaymentError> {
    Ok(store::followed(connection, token).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written_and_never_printed() {
        let token = FollowToken::random(&IdSource::seeded(1));
        assert_eq!(FollowToken::parse(token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "FollowToken(hidden)");
        for other in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert_eq!(FollowToken::parse(other), None, "{other}");
        }
    }
}
