//! What becomes of a token or a certificate that a device shows. Pure: what the database knows and `now` in, a decision out.
//!
//! ```text
//!  token:  made ──▶ used by a key ──▶ the same key again, within a day: the same certificate
//!            ├─ a newer one, or the site is shut out ──▶ withdrawn
//!            └─ 24 h ──▶ over
//!  certificate:  good, or ended at most 90 days ago, and not revoked ──▶ the next one
//! ```

use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use crate::ids::SiteId;
use crate::pki;

/// How long a token waits for its device: a technician drives to a site on the day on which it is made.
pub const TOKEN_LASTS: Duration = Duration::from_secs(86_400);
/// How long the same device may ask again for the answer that it lost.
pub const AGAIN: Duration = Duration::from_secs(86_400);

/// Certificates that a site gets in a day without a ticket. An agent needs one in a year, and asks for each with the same key.
pub(super) const A_DAY: u32 = 5;

/// What the database knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenRow {
    pub(super) site: SiteId,
    pub(super) expires_at: UnixMillis,
    pub(super) is_withdrawn: bool,
    pub(super) used: Option<Used>,
    /// Where its site reaches head office, when it is not as the settings say.
    pub(super) addresses: Vec<String>,
}

/// By whom it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) at: UnixMillis,
    pub(super) key_sha256: String,
    pub(super) certificate_pem: String,
    /// Whether what it brought is no longer good.
    pub(super) is_revoked: bool,
}

/// What the database knows of a certificate that a connection shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateRow {
    pub(super) expires_at: UnixMillis,
    /// It, or its site.
    pub(super) is_revoked: bool,
    /// A newer one of this site for the key that asks, and whose answer was lost therefore.
    pub(super) next_pem: Option<String>,
    /// How many its site got within a day.
    pub(super) in_a_day: u32,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Make a certificate.
    Issue,
    /// Say again what was answered.
    SameAgain(String),
    /// Nothing.
    Refused(Refusal),
}

/// Why a device gets no certificate. The words are for the technician.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody made such a token.
    #[error(
        "head office knows no such ticket; cure: copy the whole line again, or ask head office for a new ticket"
    )]
    TokenUnknown,
    /// It waited too long.
    #[error("the ticket is over: it is good for 24 hours; cure: ask head office for a new ticket")]
    TokenExpired,
    /// It is no longer wanted.
    #[error(
        "the ticket was withdrawn: head office made a newer one or shut the site out; cure: use the newest ticket, or ask for one"
    )]
    TokenWithdrawn,
    /// Another device was there first, or this one long ago.
    #[error(
        "the ticket was used already, and each is good for one device; cure: ask head office for a new ticket, and where the first device is if it was not you"
    )]
    TokenUsed,
    /// It is not of this head office.
    #[error(
        "head office does not know the certificate of this device; cure: ask for a ticket, and run tawi-agent enrol with it"
    )]
    CertificateUnknown,
    /// It, or the site.
    #[error(
        "the certificate of this device was revoked; cure: ask head office for a ticket, and run tawi-agent enrol with it"
    )]
    CertificateRevoked,
    /// Over and over, with one key after the other.
    #[error("head office gave this site {A_DAY} certificates within a day; cure: try again tomorrow")]
    RenewedTooOften,
    /// For longer than the grace.
    #[error(
        "the certificate of this device ended more than 90 days ago; cure: ask head office for a ticket, and run tawi-agent enrol with it"
    )]
    CertificateOver,
}

impl Refusal {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired => "token_expired",
            Self::TokenWithdrawn => "token_withdrawn",
            Self::TokenUsed => "token_used",
            Self::CertificateUnknown => "certificate_unknown",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateOver => "certificate_over",
            Self::RenewedTooOften => "renewed_too_often",
        }
    }
}

/// For a token, shown with a key.
pub(super) fn of_token(token: Option<&TokenRow>, key_sha256: &str, now: UnixMillis) -> Decision {
    let Some(token) = token else { return Decision::Refused(Refusal::TokenUnknown) };
    match &token.used {
        Some(used) => {
            let is_lost_answer = used.key_sha256 == key_sha256 && now.since(used.at) < AGAIN;
            match (is_lost_answer, used.is_revoked) {
                (true, false) => Decision::SameAgain(used.certificate_pem.clone()),
                (true, true) => Decision::Refused(Refusal::CertificateRevoked),
                (false, _) => Decision::Refused(Refusal::TokenUsed),
            }
        }
        None if token.is_withdrawn => Decision::Refused(Refusal::TokenWithdrawn),
        None if now >= token.expires_at => Decision::Refused(Refusal::TokenExpired),
        None => Decision::Issue,
    }
}

/// For a certificate whose key is proved.
pub(super) fn of_certificate(certificate: Option<&CertificateRow>, now: UnixMillis) -> Decision {
    match certificate {
        None => Decision::Refused(Refusal::CertificateUnknown),
        Some(found) if found.is_revoked => Decision::Refused(Refusal::CertificateRevoked),
        Some(found) if now > found.expires_at.plus(pki::GRACE) => Decision::Refused(Refusal::CertificateOver),
        Some(CertificateRow { next_pem: Some(pem), .. }) => Decision::SameAgain(pem.clone()),
        Some(found) if found.in_a_day >= A_DAY => Decision::Refused(Refusal::RenewedTooOften),
        Some(_) => Decision::Issue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: UnixMillis = UnixMillis(1_790_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn fresh() -> TokenRow {
        TokenRow {
            site: SiteId::parse("a").unwrap(),
            expires_at: MADE.plus(TOKEN_LASTS),
            is_withdrawn: false,
            used: None,
            addresses: Vec::new(),
        }
    }

    fn used(at: UnixMillis) -> TokenRow {
        let used = Used { at, key_sha256: "k".into(), certificate_pem: "pem".into(), is_revoked: false };
        TokenRow { used: Some(used), ..fresh() }
    }

    #[test]
    fn a_token_is_good_once_for_a_day_and_its_answer_can_be_had_again_by_the_same_key() {
        let check = |token: Option<TokenRow>, key: &str, now: UnixMillis, expected: Decision| {
            assert_eq!(of_token(token.as_ref(), key, now), expected, "{token:?} {key}");
        };
        let refused = Decision::Refused;
        let again = Decision::SameAgain("pem".into());
        let soon = MADE.plus(HOUR);
        check(None, "k", soon, refused(Refusal::TokenUnknown));
        check(Some(fresh()), "k", soon, Decision::Issue);
        check(Some(fresh()), "k", MADE.minus(HOUR), Decision::Issue);
        check(Some(fresh()), "k", MADE.plus(DAY).minus(Duration::from_millis(1)), Decision::Issue);
        check(Some(fresh()), "k", MADE.plus(DAY), refused(Refusal::TokenExpired));
        let withdrawn = TokenRow { is_withdrawn: true, ..fresh() };
        check(Some(withdrawn.clone()), "k", soon, refused(Refusal::TokenWithdrawn));
        check(Some(withdrawn), "k", MADE.plus(DAY), refused(Refusal::TokenWithdrawn));
        check(Some(used(soon)), "k", soon, again.clone());
        // Used in the last minute: the answer is kept for a day from then.
        check(Some(used(MADE.plus(DAY).minus(HOUR))), "k", MADE.plus(DAY + HOUR), again);
        check(Some(used(soon)), "k", soon.plus(AGAIN), refused(Refusal::TokenUsed));
        check(Some(used(soon)), "other", soon, refused(Refusal::TokenUsed));
        let mut shut_out = used(soon);
        shut_out.used.as_mut().unwrap().is_revoked = true;
        check(Some(shut_out.clone()), "k", soon, refused(Refusal::CertificateRevoked));
        check(Some(shut_out), "other", soon, refused(Refusal::TokenUsed));
    }

    #[test]
    fn a_certificate_gets_the_next_one_until_ninety_days_after_its_end() {
        let end = MADE;
        let good = CertificateRow { expires_at: end, is_revoked: false, next_pem: None, in_a_day: A_DAY - 1 };
        let check = |certificate: Option<&CertificateRow>, now, expected: Decision| {
            assert_eq!(of_certificate(certificate, now), expected, "{certificate:?}");
        };
        check(None, end, Decision::Refused(Refusal::CertificateUnknown));
        check(Some(&good), end.minus(100 * DAY), Decision::Issue);
        check(Some(&good), end.plus(90 * DAY), Decision::Issue);
        check(Some(&good), end.plus(90 * DAY + HOUR), Decision::Refused(Refusal::CertificateOver));
        let lost = CertificateRow { next_pem: Some("next".into()), ..good.clone() };
        check(Some(&lost), end.plus(DAY), Decision::SameAgain("next".into()));
        let revoked = CertificateRow { is_revoked: true, ..lost };
        check(Some(&revoked), end.minus(DAY), Decision::Refused(Refusal::CertificateRevoked));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let all = [
            Refusal::TokenUnknown,
            Refusal::TokenExpired,
            Refusal::TokenWithdrawn,
            Refusal::TokenUsed,
            Refusal::CertificateUnknown,
            Refusal::CertificateRevoked,
            Refusal::CertificateOver,
        ];
        for refusal in all {
            assert!(refusal.to_string().contains("cure: "), "{refusal}");
        }
    }
}
