//! Which URLs Daraja would call: https, public, and without the words that its firewall blocks.
//!
//! One departure: loopback addresses may be plain http, because that is where tests and demos listen.
//! The words are refused there, too, so that a blocked path is found before production finds it.

use std::net::IpAddr;

use reqwest::Url;
use serde::Serialize;

/// Words that Daraja refuses anywhere in a URL, in any case. Source: Safaricom's C2B pages.
const BLOCKED_WORDS: [&str; 8] = ["mpesa", "m-pesa", "safaricom", "exe", "exec", "cmd", "sql", "query"];
/// Public tunnels and request bins that Daraja refuses. Source: the same pages.
const BLOCKED_SERVICES: [&str; 3] = ["ngrok", "mockbin", "requestbin"];

/// A URL that Daraja would call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CallbackUrl(String);

impl CallbackUrl {
    /// Reads a URL; `None` when Daraja would refuse it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        let secure_enough = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(host));
        // The parser lower-cases the host: if it is not found as it is, it had capitals, which Daraja
        // was once seen to refuse.
        let host_is_lower_case = text.contains(host);
        let lowered = text.to_ascii_lowercase();
        let blocked = BLOCKED_WORDS.iter().chain(&BLOCKED_SERVICES).any(|word| lowered.contains(word));
        (secure_enough && host_is_lower_case && !blocked).then(|| Self(text.to_owned()))
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_on_loopback_pass() {
        for right in [
            "https://pay.example.co.ke/c/0a1b2c",
            "http://127.0.0.1:8080/c/0a1b",
            "http://localhost/c",
            "http://[::1]:9/c",
        ] {
            assert!(CallbackUrl::parse(right).is_some(), "{right}");
        }
    }

    #[test]
    fn plain_http_capital_hosts_and_nonsense_are_refused() {
        for wrong in [
            "http://pay.example.co.ke/c",
            "ftp://127.0.0.1/c",
            "https://Pay.example.co.ke/c",
            "pay",
            "",
            "https://",
        ] {
            assert!(CallbackUrl::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn every_blocked_word_is_refused_anywhere_and_in_any_case() {
        for word in BLOCKED_WORDS.iter().chain(&BLOCKED_SERVICES) {
            for url in [
                format!("https://pay.example.co.ke/{word}/c"),
                format!("https://pay.example.co.ke/c?x={}", word.to_uppercase()),
                format!("http://127.0.0.1/x{word}x"),
            ] {
                assert!(CallbackUrl::parse(&url).is_none(), "{url}");
            }
        }
    }
}
