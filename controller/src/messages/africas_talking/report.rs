//! What a delivery report of Africa's Talking says. Pure.
//!
//! A form with `id`, `status`, `phoneNumber`, `networkCode`, `failureReason` and `retryCount`; only the first two and the reason
//! are looked at (<https://developers.africastalking.com/docs/sms/notifications>). `Success`, `Failed` and `Rejected` are final,
//! and so is nothing else.

use serde::Deserialize;

use crate::plain::line_of;

/// The longest id that is looked up, in characters.
const ID_CHARACTERS: usize = 80;
/// The longest reason that is kept, in characters.
const REASON_CHARACTERS: usize = 60;

/// A report as it came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawReport {
    id: String,
    status: String,
    failure_reason: String,
}

/// A report that settles a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The provider's name of the text.
    pub provider_id: String,
    /// How it ended.
    pub end: End,
}

/// How a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// On the phone.
    Arrived,
    /// Nowhere, and why.
    Lost(String),
}

impl RawReport {
    /// What it settles; `None` where it settles nothing: it is on its way, or this is no report.
    #[must_use]
    pub fn read(&self) -> Option<Report> {
        let id = self.id.trim();
        let is_id = !id.is_empty() && id.chars().count() <= ID_CHARACTERS && id.is_ascii();
        let end = match self.status.trim().to_ascii_lowercase().as_str() {
            "success" => End::Arrived,
            "failed" | "rejected" => {
                let reason = line_of(self.failure_reason.trim(), REASON_CHARACTERS);
                End::Lost(if reason.is_empty() { self.status.trim().to_owned() } else { reason })
            }
            _ => return None,
        };
        is_id.then(|| Report { provider_id: line_of(id, ID_CHARACTERS), end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_words_settle_a_text() {
        let check = |id: &str, status: &str, reason: &str, expected: Option<End>| {
            let raw =
                RawReport { id: id.to_owned(), status: status.to_owned(), failure_reason: reason.to_owned() };
            assert_eq!(raw.read().map(|report| report.end), expected, "{id} {status}");
        };
        check("ATXid_1", "Success", "", Some(End::Arrived));
        check("ATXid_1", " success ", "", Some(End::Arrived));
        check("ATXid_1", "Failed", "UserInBlackList", Some(End::Lost("UserInBlackList".to_owned())));
        check("ATXid_1", "Rejected", "", Some(End::Lost("Rejected".to_owned())));
        for status in ["Sent", "Submitted", "Buffered", "", "Delivered?"] {
            check("ATXid_1", status, "", None);
        }
        check("", "Success", "", None);
        check(&"x".repeat(81), "Success", "", None);
    }
}
