//! The keys of `[mpesa]` for a short code of its own that pays phones: as written, then valid by construction.
//!
//! M-Pesa pays phones out of a short code that was opened for that; what collects may have no such product. What was paid to a
//! short code then goes back out of another, with whoever is its API operator.

use std::path::Path;

use super::settings::{self, OperatorSettings, OperatorSettingsError, PAYOUT_KEYS, RawOperator};
use crate::mpesa::settings::MpesaSettingsError;

/// Out of which short code phones are paid.
#[derive(Clone, Debug)]
pub struct PayoutSettings {
    short_code: String,
    operator: Option<OperatorSettings>,
}

/// Checks the keys and reads the files; `None` where what collects pays as well.
///
/// # Errors
/// [`MpesaSettingsError`] names the key and the cure.
pub(in crate::mpesa) fn check(
    short_code: Option<String>,
    (name, password_file): (Option<&str>, Option<&Path>),
    certificate_file: Option<&Path>,
    directory: &Path,
) -> Result<Option<PayoutSettings>, MpesaSettingsError> {
    let has_operator = name.is_some() || password_file.is_some();
    let Some(short_code) = short_code else {
        return if has_operator { Err(OperatorSettingsError::NoPayout.into()) } else { Ok(None) };
    };
    let raw = RawOperator { keys: PAYOUT_KEYS, name, password_file, certificate_file };
    let operator = if has_operator { settings::check(&raw, directory)? } else { None };
    Ok(Some(PayoutSettings { short_code, operator }))
}

impl PayoutSettings {
    /// The short code.
    #[must_use]
    pub fn short_code(&self) -> &str {
        &self.short_code
    }

    /// Its API operator; `None` where it is the same as that of what collects.
    #[must_use]
    pub fn operator(&self) -> Option<&OperatorSettings> {
        self.operator.as_ref()
    }
}
