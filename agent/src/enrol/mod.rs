//! How this device becomes a site, and stays one.
//!
//! ```text
//! ticket ──▶ key (made here, kept) ──▶ POST /v1/enrol, to the pinned authority alone ──▶ judged ──▶ identity/
//! identity ─▶ renewal::due ──────────▶ POST /v1/renew, with the certificate in use ───▶ judged ──▶ identity/
//! ```
//!
//! Every step may be repeated: the key is on flash before anybody is asked with it, and head office answers the same token
//! and the same key with the same certificate. What is said is `tawi_shared::enrolment`; who is shown the token, `trust`;
//! what of an answer is taken, `answer`; how it comes on flash, `keeping`. It never sends the key anywhere.

pub mod answer;
pub mod http;
pub mod keeping;
pub mod key;
pub mod renewal;
pub mod trust;

use std::sync::Arc;

use rustls::ClientConfig;
use serde::Serialize;
use tawi_shared::enrolment::{
    ALPN_HTTP, BadTicket, ENROL_PATH, EnrolRefused, EnrolRequest, Enrolled, FORM, Ticket,
};
use thiserror::Error;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::clock::TrustedClock;
use crate::config::{CONTROLLER_PORT, ControllerAddress, Proxy, split_host_port};
use crate::link::ByteCounters;
use crate::link::dialer::{DialError, Way, dial_address, is_no_tls};
use answer::{BadAnswer, Expected, Issued, judge};
use http::{HttpError, post};
use key::{AgentKey, KeyError};

/// Characters of what head office says of a refusal that are shown.
const WORDS: usize = 600;

/// Why head office was asked in vain.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// No address can be reached.
    #[error(
        "head office is not reached: {0}\n  cure: see that this device is online (ping 1.1.1.1) and that nothing on the way drops the port; then repeat it with the same ticket"
    )]
    Unreached(DialError),
    /// What answers is no port for agents.
    #[error(
        "{0}: what answers there does not speak TLS: it is not the port for agents\n  cure: the ticket names a wrong address or port: at head office, correct [broker] advertised_address in controller.toml, and make a new ticket: tawi-controller site renew"
    )]
    NotTls(ControllerAddress),
    /// Somebody else answers there.
    #[error(
        "{0}: what answers there is not the head office of the ticket, and was told nothing\n  cure: see that nothing on the way reads TLS, and that the address leads to head office; if its authority was made anew, ask for a new ticket"
    )]
    AnotherAuthority(ControllerAddress),
    /// It takes no enrolment.
    #[error(
        "{0}: head office takes no enrolment there\n  cure: upgrade the controller; until then use the bundle of tawi-controller site add --bundle"
    )]
    TakesNone(ControllerAddress),
    /// The answer is missing; the request may have been heard.
    #[error(
        "{address}: {source}\n  cure: repeat it with the same ticket: this device asks with the same key, and what was lost is sent again"
    )]
    Lost {
        /// Who was asked.
        address: ControllerAddress,
        /// Why.
        source: HttpError,
    },
    /// Head office says no.
    #[error("head office refuses: {error}")]
    Refused {
        /// For programs.
        code: String,
        /// What is wrong and what to do, in head office's words.
        error: String,
    },
    /// An answer that is none of the contract.
    #[error(
        "{address}: head office answered with status {status} and nothing that can be read\n  cure: look at the controller's log; then repeat it with the same ticket"
    )]
    Unreadable {
        /// Who answered.
        address: ControllerAddress,
        /// How.
        status: u16,
    },
    /// An answer that is not taken.
    #[error(transparent)]
    Bad(#[from] BadAnswer),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}\n  cure: install a whole release of tawi-agent")]
    Tls(#[from] rustls::Error),
    /// No address of the ticket is one.
    #[error("no address of head office is known\n  cure: ask head office for a new ticket")]
    NoAddress,
}

impl EnrolError {
    /// Whether another address of the same head office may fare better.
    fn is_of_this_address(&self) -> bool {
        match self {
            Self::Unreached(_) | Self::NotTls(_) | Self::AnotherAuthority(_) | Self::TakesNone(_) => true,
            Self::Lost { .. } => true,
            Self::Unreadable { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// The ticket in what a person pasted, or in the file that head office wrote: lines that begin with `#` are words for people,
/// and around the ticket the whole command may stand that head office shows.
///
/// # Errors
/// [`BadTicket`].
pub fn ticket_in(text: &str) -> Result<Ticket, BadTicket> {
    let mut word = Zeroizing::new(String::with_capacity(text.len()));
    text.lines().filter(|line| !line.trim_start().starts_with('#')).for_each(|line| word.push_str(line));
    let begun = word.find(FORM).and_then(|start| word.get(start..)).unwrap_or(&word);
    let end = begun.find(['|', ';', '\'', '"']).unwrap_or(begun.len());
    Ticket::parse(begun.get(..end).unwrap_or_default())
}

/// Shows the ticket's token to head office, once at each address until one answers. `tell` hears of each, and why the next one
/// is asked.
///
/// # Errors
/// [`EnrolError`] of the last address that was asked.
pub async fn enrol(
    ticket: &Ticket,
    key: &AgentKey,
    clock: TrustedClock,
    proxy: Option<&Proxy>,
    mut tell: impl FnMut(&str),
) -> Result<Issued, EnrolError> {
    let tls = pinned(ticket, clock)?;
    let body = EnrolRequest { token: ticket.token.clone(), csr: key.request(&ticket.site)? };
    let body = json(&body);
    let addresses = ticket.addresses.iter().filter_map(|text| split_host_port(text, CONTROLLER_PORT));
    let mut last = None;
    for (host, port) in addresses {
        if let Some(error) = last.as_ref().map(EnrolError::to_string) {
            tell(error.lines().next().unwrap_or_default());
        }
        let address = ControllerAddress { host, port };
        match proxy {
            Some(proxy) => tell(&format!("asking {address} through the proxy {proxy} …")),
            None => tell(&format!("asking {address} …")),
        }
        let way = Way { server_name: None, proxy };
        let asking = Question { address: &address, way, tls: &tls, path: ENROL_PATH, body: &body };
        match Box::pin(asking.ask(&Arc::default())).await {
            Ok(answer) => {
                let expected = Expected {
                    site: &ticket.site,
                    public_key: &key.public_key(),
                    authority: ticket.authority,
                    addresses: &ticket.addresses,
                };
                return Ok(judge(&answer, &expected)?);
            }
            Err(error) if error.is_of_this_address() => {
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(EnrolError::NoAddress))
}

fn pinned(ticket: &Ticket, clock: TrustedClock) -> Result<Arc<ClientConfig>, EnrolError> {
    Ok(trust::pinned_config(ticket.authority, clock)?)
}

/// A body; ours have no value that JSON could not hold. Of its full size from the start: growing would leave pieces of a
/// token behind in memory.
fn json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(tawi_shared::enrolment::BODY_BYTES));
    let _ = serde_json::to_writer(&mut *bytes, body);
    bytes
}

/// One request to one address.
struct Question<'q> {
    address: &'q ControllerAddress,
    way: Way<'q>,
    tls: &'q Arc<ClientConfig>,
    path: &'q str,
    body: &'q [u8],
}

impl Question<'_> {
    async fn ask(&self, bytes: &Arc<ByteCounters>) -> Result<Enrolled, EnrolError> {
        let connector = TlsConnector::from(Arc::clone(self.tls));
        let mut stream = match dial_address(self.address, self.way, &connector, bytes).await {
            Ok(dialed) => dialed.stream,
            Err(error) => return Err(why_not_reached(error)),
        };
        // Whoever agreed on nothing would take the request for MQTT.
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_HTTP) {
            return Err(EnrolError::TakesNone(self.address.clone()));
        }
        let host = self.address.to_string();
        let answer = post(&mut stream, &host, self.path, self.body)
            .await
            .map_err(|source| EnrolError::Lost { address: self.address.clone(), source })?;
        let unreadable = EnrolError::Unreadable { address: self.address.clone(), status: answer.status };
        if answer.status == 200 {
            return serde_json::from_slice(&answer.body).map_err(|_| unreadable);
        }
        match serde_json::from_slice::<EnrolRefused>(&answer.body) {
            Ok(refused) if (400..500).contains(&answer.status) => {
                Err(EnrolError::Refused { code: printable(&refused.code), error: printable(&refused.error) })
            }
            _ => Err(unreadable),
        }
    }
}

fn why_not_reached(error: DialError) -> EnrolError {
    match error {
        DialError::Tls { address, source } if trust::is_another_authority(&source) => {
            EnrolError::AnotherAuthority(address)
        }
        DialError::Tls { address, source } if is_no_tls(&source) => EnrolError::NotTls(address),
        // How a front door says that it speaks none of our protocols (RFC 7301, section 3.2).
        DialError::Tls { address, source } if source.to_string().contains("NoApplicationProtocol") => {
            EnrolError::TakesNone(address)
        }
        error => EnrolError::Unreached(error),
    }
}

/// Words of somebody else for a terminal: nothing that it would act on, and not more than fit.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || *letter == '\n').take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use tawi_shared::enrolment::Token;

    use super::*;

    #[test]
    fn the_ticket_is_found_in_whatever_a_person_pastes() {
        let site = tawi_shared::SiteId::parse("nyeri-01").unwrap();
        let addresses = vec!["isp.example:8883".to_owned()];
        let ticket = Ticket { site, token: Token::new([7; 16]), authority: [9; 32], addresses };
        let text = ticket.to_text();
        let (first, rest) = text.split_at(40);
        for pasted in [
            text.clone(),
            format!("  {text}\n"),
            format!("echo {text} | sudo tawi-agent enrol"),
            format!("echo '{text}' | sudo tawi-agent enrol\n"),
            format!("echo {first}\n{rest} | sudo tawi-agent enrol"),
            format!("# for nyeri-01: echo … | sudo\n{first}\n  {rest}\n# tawi1.no\n"),
        ] {
            assert_eq!(ticket_in(&pasted).map(|found| found.to_text()), Ok(text.clone()), "{pasted:?}");
        }
        assert_eq!(ticket_in(" \n# words\n").unwrap_err(), BadTicket::Missing);
        assert_eq!(ticket_in("hello").unwrap_err(), BadTicket::Form);
        assert_eq!(ticket_in(&format!("echo {first} | sudo")).unwrap_err(), BadTicket::Damaged);
    }
}
