//! How a new device becomes a site: the ticket that head office gives out, and what the two say over HTTPS.
//!
//! ```text
//! head office ──ticket (paper, QR, one line)──▶ technician ──▶ tawi-agent enrol
//! agent ──POST /v1/enrol {token, csr}──▶ front door        the authority's certificate is pinned by the ticket
//!       ◀──────── {site, certificate, …} ────────
//! agent ──POST /v1/renew {csr}──▶ front door               with the certificate that it has, in time or soon after
//! ```
//!
//! HTTP/1.1 on the port of MQTT, told apart by ALPN, so that a link which passes one passes the other. Bodies are JSON:
//! they are said a few times in the life of a site, and a person with `curl` can read them. Pure: no socket, no key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::SiteId;

/// ALPN of agents that speak MQTT. Who names none speaks MQTT too: releases before enrolment did.
pub const ALPN_MQTT: &[u8] = b"mqtt";
/// ALPN of enrolment and renewal.
pub const ALPN_HTTP: &[u8] = b"http/1.1";
/// Where a new device shows its token.
pub const ENROL_PATH: &str = "/v1/enrol";
/// Where a site whose certificate is known asks for the next one.
pub const RENEW_PATH: &str = "/v1/renew";
/// The longest request and the longest answer, in bytes: three PEM blocks of less than 2 KiB, and words.
pub const BODY_BYTES: usize = 16 * 1_024;
/// The longest ticket, in characters: eight addresses of the longest host names.
pub const TICKET_CHARACTERS: usize = 3_500;
/// The most addresses of one ticket, as in the agent's settings.
pub const TICKET_ADDRESSES: usize = 8;
/// How every ticket of this form begins.
pub const FORM: &str = "tawi1.";
/// Bytes of the checksum behind the content.
const CHECKSUM_BYTES: usize = 4;
/// The longest address: a host name of DNS with its port.
const ADDRESS_BYTES: usize = 262;

/// What opens the door once: 128 random bits. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token([u8; 16]);

impl Token {
    /// From bytes that nobody can guess.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Its bytes, to be digested: head office keeps nothing else of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it stands in a request.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// From a request; `None` for anything but a token.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        // More would be decoded only to be refused.
        if text.len() > 32 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Everything that a new device needs to know, and proof that head office wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which site it becomes.
    pub site: SiteId,
    /// Good once.
    pub token: Token,
    /// SHA-256 of the authority's certificate in DER form: who may sign for head office.
    pub authority: [u8; 32],
    /// Where head office is, as `host:port`, best first. 1 to [`TICKET_ADDRESSES`].
    pub addresses: Vec<String>,
}

/// Why a text is not a ticket.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadTicket {
    /// There is nothing.
    #[error("no ticket was given; copy the whole line that head office shows")]
    Missing,
    /// It begins otherwise.
    #[error("a ticket begins with {FORM}; copy the whole line that head office shows")]
    Form,
    /// Characters are missing, or others are between them.
    #[error("the ticket is incomplete or has a wrong character; copy the whole line again, without breaks")]
    Damaged,
    /// It was made by a later release.
    #[error("the ticket was made by a later release; install a newer tawi-agent")]
    Later,
}

impl Ticket {
    /// As one word that can be copied, printed and scanned.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A vector takes every write, and these types have no length that is not known.
        let mut bytes = postcard::to_stdvec(self).unwrap_or_default();
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        format!("{FORM}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads what a person pasted. White space around and within it is overlooked: terminals and mail break long lines.
    ///
    /// # Errors
    /// [`BadTicket`], whose words are for that person.
    pub fn parse(text: &str) -> Result<Self, BadTicket> {
        if text.len() > 2 * TICKET_CHARACTERS {
            return Err(BadTicket::Damaged);
        }
        let word: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        if word.is_empty() {
            return Err(BadTicket::Missing);
        }
        let Some(content) = word.strip_prefix(FORM) else {
            let is_later =
                word.strip_prefix("tawi").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            return Err(if is_later { BadTicket::Later } else { BadTicket::Form });
        };
        let bytes = URL_SAFE_NO_PAD.decode(content).map_err(|_| BadTicket::Damaged)?;
        let at = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(BadTicket::Damaged)?;
        let (content, checksum) = bytes.split_at_checked(at).ok_or(BadTicket::Damaged)?;
        if checksum != crc32c::crc32c(content).to_be_bytes() {
            return Err(BadTicket::Damaged);
        }
        let (ticket, rest): (Self, _) = postcard::take_from_bytes(content).map_err(|_| BadTicket::Damaged)?;
        let fits = |address: &String| !address.is_empty() && address.len() <= ADDRESS_BYTES;
        let is_whole = rest.is_empty()
            && (1..=TICKET_ADDRESSES).contains(&ticket.addresses.len())
            && ticket.addresses.iter().all(fits);
        if is_whole { Ok(ticket) } else { Err(BadTicket::Damaged) }
    }
}

/// What `POST` [`ENROL_PATH`] carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// [`Token::to_text`].
    #[serde(with = "token_text")]
    pub token: Token,
    /// A PKCS#10 request in PEM form, signed by the key that never leaves the device (P-256). Its subject is not read.
    pub csr: String,
}

/// What `POST` [`RENEW_PATH`] carries. The certificate that the connection shows says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// As in [`EnrolRequest`].
    pub csr: String,
}

/// The answer to both, with status 200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Which site this is.
    pub site: SiteId,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub authority: String,
    /// Where head office is, as `host:port`, best first.
    pub addresses: Vec<String>,
    /// Where it hears MQTT, in the same form, if not there. Releases before external brokers know nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<String>,
    /// Who may sign releases of the agent, as text. Heard once, when a device is enrolled; older releases know nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_key: Option<String>,
}

/// The answer to a request that came to nothing, with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRefused {
    /// For programs, such as `token_used`.
    pub code: String,
    /// For the technician: what is wrong, and what to do.
    pub error: String,
}

/// A token in JSON.
mod token_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Token;

    pub(super) fn serialize<S: Serializer>(token: &Token, serializer: S) -> Result<S::Ok, S::Error> {
        token.to_text().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
        let text = String::deserialize(deserializer)?;
        Token::from_text(&text).ok_or_else(|| D::Error::custom("not a token"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            site: SiteId::parse("nyeri-01").unwrap(),
            token: Token::new(*b"0123456789abcdef"),
            authority: [7; 32],
            addresses: vec!["isp.example:8883".to_owned(), "isp.example:443".to_owned()],
        }
    }

    #[test]
    fn a_ticket_survives_paper_and_terminals() {
        let text = ticket().to_text();
        assert_eq!(Ticket::parse(&text), Ok(ticket()));
        let (front, back) = text.split_at(40);
        assert_eq!(Ticket::parse(&format!("  {front}\r\n  {back}\n")), Ok(ticket()));
        assert!(text.len() < 160, "{} characters are many for a QR code", text.len());
    }

    #[test]
    fn what_is_not_a_ticket_is_refused_with_a_cure() {
        let text = ticket().to_text();
        let last = text.len() - 1;
        let check = |text: &str, why| assert_eq!(Ticket::parse(text), Err(why), "{text}");
        check("", BadTicket::Missing);
        check("tawi-agent enrol", BadTicket::Form);
        check("tawi2.AAAA", BadTicket::Later);
        check("tawi1.", BadTicket::Damaged);
        check(text.get(..last).unwrap(), BadTicket::Damaged);
        check(&text.replace("tawi1.", "tawi1.A"), BadTicket::Damaged);
        check(&"tawi1.".repeat(10_000), BadTicket::Damaged);
        let nowhere = Ticket { addresses: Vec::new(), ..ticket() };
        check(&nowhere.to_text(), BadTicket::Damaged);
        let far = Ticket { addresses: vec!["x".repeat(ADDRESS_BYTES + 1)], ..ticket() };
        check(&far.to_text(), BadTicket::Damaged);
    }

    #[test]
    fn an_answer_without_brokers_is_as_it_was_before_there_were_any() {
        let old = r#"{"site":"a","certificate":"c","authority":"d","addresses":["isp.example:8883"]}"#;
        let mut read: Enrolled = serde_json::from_str(old).unwrap();
        assert!(read.brokers.is_empty());
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
        read.brokers.push("mq.isp.example:8883".to_owned());
        read.release_key = Some("tawikey1.A".to_owned());
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Enrolled>(&written).unwrap(), read);
    }

    #[test]
    fn a_token_is_shown_to_nobody() {
        let shown = format!("{:?}", ticket());
        assert!(shown.contains("Token(***)"), "{shown}");
        let token = ticket().token;
        assert_eq!(Token::from_text(&token.to_text()), Some(token.clone()));
        assert_eq!(Token::from_text(&format!("{}A", token.to_text())), None);
        assert_eq!(Token::from_text(&"A".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(tawi1\\.)?[A-Za-z0-9_-]{0,400}") {
            let _ = Ticket::parse(&text);
        }

        #[test]
        fn one_wrong_character_is_always_seen(at in 6_usize..120, letter in "[A-Za-z0-9_-]") {
            let text = ticket().to_text();
            let parts = (text.get(..at), text.get(at..=at), text.get(at + 1..));
            let (Some(front), Some(old), Some(back)) = parts else { return Ok(()) };
            prop_assume!(old != letter);
            let wrong = format!("{front}{letter}{back}");
            prop_assert!(Ticket::parse(&wrong).is_err());
        }
    }
}
