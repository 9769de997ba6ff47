//! The keys of `[mpesa]` that Pull needs: as written, then valid by construction. Pure.

use std::time::Duration;

use thiserror::Error;

use crate::customers::phone::Msisdn;

/// How often Pull is asked unless the settings say otherwise: twelve questions an hour are
/// far below every limit of Daraja's, and five minutes are what a customer who pays by Paybill waits.
const DEFAULT_SECONDS: u64 = 300;
/// The longest pause that can be set: Pull reaches back 48 hours, and a day leaves room for a day of outage.
const SECONDS_MOST: u64 = 86_400;

/// How missed payments are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSettings {
    /// The number that Safaricom knows as the short code's own; it is sent with the registration.
    pub(super) nominated_number: Msisdn,
    /// How often.
    pub(in crate::mpesa) every: Duration,
}

/// Why the keys cannot be used; each names the key and what to write.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PullSettingsError {
    /// Pull is on, and the number is missing or no number.
    #[error(
        "[mpesa] pull_nominated_number: with pull = true, write the mobile number of the short code's M-Pesa papers"
    )]
    NominatedNumber,
    /// The pause is out of range.
    #[error("[mpesa] pull_seconds: write a whole number from 1 to {SECONDS_MOST}")]
    Seconds,
}

/// Checks the keys; `None` when Pull is off.
///
/// # Errors
/// [`PullSettingsError`] names the key and the cure.
pub(in crate::mpesa) fn check(
    pull: bool,
    nominated_number: Option<&str>,
    seconds: Option<u64>,
) -> Result<Option<PullSettings>, PullSettingsError> {
    let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=SECONDS_MOST).contains(&seconds) {
        return Err(PullSettingsError::Seconds);
    }
    if !pull {
        return Ok(None);
    }
    let nominated_number = nominated_number
        .and_then(|number| Msisdn::parse(number).ok())
        .ok_or(PullSettingsError::NominatedNumber)?;
    Ok(Some(PullSettings { nominated_number, every: Duration::from_secs(seconds) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_is_off_unless_it_is_asked_for_and_then_needs_a_number() {
        assert_eq!(check(false, None, None), Ok(None));
        assert_eq!(check(false, Some("none"), Some(60)), Ok(None));
        let settings = check(true, Some("0712 345 678"), None).unwrap().unwrap();
        assert_eq!((settings.nominated_number.digits(), settings.every.as_secs()), ("254712345678", 300));
        assert_eq!(check(true, Some("0712345678"), Some(1)).unwrap().unwrap().every.as_secs(), 1);
        for number in [None, Some(""), Some("174379")] {
            assert_eq!(check(true, number, None), Err(PullSettingsError::NominatedNumber), "{number:?}");
        }
        for seconds in [0, 86_401, u64::MAX] {
            assert_eq!(check(true, Some("0712345678"), Some(seconds)), Err(PullSettingsError::Seconds));
        }
    }
}
