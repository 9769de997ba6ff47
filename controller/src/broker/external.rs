//! A broker that is not inside the controller: where it is, and where sites find it. Pure: text in, an address or a
//! refusal out.
//!
//! The controller knows it by a certificate of our own authority and shows one itself, so that there is no password to
//! keep: a URL that holds one is refused, and not repeated in the refusal. How it is reached is `mqtt/line.rs`; what it
//! is to be told of who may say what is `external/`.

mod acl_lines;
pub mod printed;

use std::net::IpAddr;

use tawi_shared::enrolment::TICKET_ADDRESSES;
use thiserror::Error;

use super::settings::split_host_and_port;

/// Port of MQTT over TLS.
const TLS_PORT: u16 = 8883;
/// Port of MQTT without.
const PLAIN_PORT: u16 = 1883;

/// Where another broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalBroker {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is reached with TLS; without it, it is on this machine.
    pub is_tls: bool,
    /// Where sites reach it, as `host:port`, best first. 1 to [`TICKET_ADDRESSES`].
    pub addresses: Vec<String>,
}

/// Why a text does not say where a broker is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadUrl {
    /// No URL of MQTT.
    #[error("[broker] url = {0:?} is not the address of a broker, such as \"mqtts://mq.isp.example:8883\"")]
    Form(String),
    /// It has a user or a password in it.
    #[error(
        "[broker] url holds a user name or a password, and the controller shows its certificate instead: write it without, such as \"mqtts://mq.isp.example:8883\""
    )]
    Credentials,
    /// What everybody says would cross a network in the clear.
    #[error(
        "[broker] url = {0:?}: without TLS a broker is spoken to on this machine only (localhost, 127.0.0.1, [::1]); write mqtts:// and give the broker a certificate: tawi-controller broker-config --help"
    )]
    Clear(String),
    /// Not where sites could go.
    #[error("[broker] url_for_sites: {0:?} is not a host and port such as \"mq.isp.example:8883\"")]
    Address(String),
    /// None, or more than are told.
    #[error("[broker] url_for_sites names {0} addresses, and between 1 and {TICKET_ADDRESSES} may be named")]
    Count(usize),
}

impl ExternalBroker {
    /// Reads a URL; `addresses` are where sites reach the broker, as the URL says if not given.
    ///
    /// # Errors
    /// [`BadUrl`], whose words are for whoever wrote it.
    pub fn parse(url: &str, addresses: Option<Vec<String>>) -> Result<Self, BadUrl> {
        // Before anything is repeated in an error.
        if url.contains('@') {
            return Err(BadUrl::Credentials);
        }
        let form = || BadUrl::Form(url.chars().take(300).collect());
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        let (is_tls, port) = match scheme {
            "mqtts" => (true, TLS_PORT),
            "mqtt" => (false, PLAIN_PORT),
            _ => return Err(form()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let with_port = format!("{rest}:{port}");
        let (host, port) =
            split_host_and_port(rest).or_else(|| split_host_and_port(&with_port)).ok_or_else(form)?;
        if !is_tls && !is_this_machine(host) {
            return Err(BadUrl::Clear(url.to_owned()));
        }
        let addresses = addresses.unwrap_or_else(|| vec![host_and_port(host, port)]);
        if addresses.is_empty() || addresses.len() > TICKET_ADDRESSES {
            return Err(BadUrl::Count(addresses.len()));
        }
        if let Some(bad) = addresses.iter().find(|text| split_host_and_port(text).is_none()) {
            return Err(BadUrl::Address(bad.clone()));
        }
        Ok(Self { host: host.to_owned(), port, is_tls, addresses })
    }

    /// The names that its certificate must carry: as we call it and as sites do.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names = vec![self.host.clone()];
        for (host, _port) in self.addresses.iter().filter_map(|text| split_host_and_port(text)) {
            if !names.iter().any(|name| name == host) {
                names.push(host.to_owned());
            }
        }
        names
    }

    /// Where it is, for people.
    #[must_use]
    pub fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    /// Whether the controller and all sites reach it on this machine, so that it need not listen to others.
    #[must_use]
    pub fn is_for_this_machine(&self) -> bool {
        let hosts = self.addresses.iter().filter_map(|text| split_host_and_port(text));
        is_this_machine(&self.host) && hosts.map(|(host, _port)| host).all(is_this_machine)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_broker_is() {
        let check = |url: &str, host: &str, port: u16, is_tls: bool, address: &str| {
            let read = ExternalBroker::parse(url, None).unwrap();
            assert_eq!((read.host.as_str(), read.port, read.is_tls), (host, port, is_tls), "{url}");
            assert_eq!((read.address(), read.addresses), (address.to_owned(), vec![address.to_owned()]));
        };
        check("mqtts://mq.isp.example:8883", "mq.isp.example", 8883, true, "mq.isp.example:8883");
        check("mqtts://mq.isp.example/", "mq.isp.example", 8883, true, "mq.isp.example:8883");
        check("mqtts://192.0.2.7:443", "192.0.2.7", 443, true, "192.0.2.7:443");
        check("mqtts://[2001:db8::1]", "2001:db8::1", 8883, true, "[2001:db8::1]:8883");
        check("mqtt://127.0.0.1", "127.0.0.1", 1883, false, "127.0.0.1:1883");
        check("mqtt://[::1]:1884", "::1", 1884, false, "[::1]:1884");
        check("mqtt://localhost:1883", "localhost", 1883, false, "localhost:1883");
    }

    #[test]
    fn what_is_no_broker_or_not_safe_is_refused_with_a_cure() {
        for url in [
            "",
            "mq.isp.example:8883",
            "https://mq.isp.example",
            "mqtts://",
            "mqtts:///",
            "mqtts://a b",
            "mqtts://a:99999",
            "mqtts://a:1/topic",
            "mqtts://a?x=1",
            "MQTTS://a",
        ] {
            assert_eq!(ExternalBroker::parse(url, None), Err(BadUrl::Form(url.to_owned())), "{url}");
        }
        for url in ["mqtt://mq.isp.example", "mqtt://10.0.0.5:1883", "mqtt://localhost.isp.example"] {
            let refused = ExternalBroker::parse(url, None).unwrap_err();
            assert!(matches!(refused, BadUrl::Clear(_)) && refused.to_string().contains("mqtts://"), "{url}");
        }
        for url in ["mqtts://tawi:hunter2@mq.isp.example", "mqtt://hunter2@127.0.0.1", "hunter2@"] {
            let refused = ExternalBroker::parse(url, None).unwrap_err();
            assert_eq!(refused, BadUrl::Credentials);
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        let at = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
            ExternalBroker::parse("mqtts://a", Some(addresses))
        };
        assert_eq!(at(&[]), Err(BadUrl::Count(0)));
        assert_eq!(at(&["a:1"; 9]), Err(BadUrl::Count(9)));
        assert_eq!(at(&["a"]), Err(BadUrl::Address("a".to_owned())));
        assert_eq!(at(&["b:1", "a:2"]).unwrap().certificate_names(), ["a", "b"]);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in ["://", "mqtt://[", "mqtts://]", "mqtts://[]:", "mqtts://:::", "mqtts://\u{0}", "@@@"] {
            let _ = ExternalBroker::parse(text, None);
        }
        let _ = ExternalBroker::parse(&"mqtts://".repeat(100_000), None);
    }
}
