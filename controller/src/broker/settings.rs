//! `[broker]` of the configuration: raw text in, settings that cannot be wrong out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tawi_shared::enrolment::TICKET_ADDRESSES;
use thiserror::Error;

use super::external::{BadUrl, ExternalBroker};

/// Further addresses to listen on: each takes a socket, and two or three are all that make sense.
const ALSO_LISTEN: usize = 8;

/// How long a TLS handshake may take: three round trips over a satellite link with losses.
pub const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long after the handshake the CONNECT may take; agents send it at once.
pub const CONNECT: Duration = Duration::from_secs(10);

/// `[broker]` as it stands in the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBroker {
    /// Where agents are heard: address and port.
    pub listen: Option<String>,
    /// Where else, for links that pass nothing but another port.
    pub also_listen: Option<Vec<String>>,
    /// How agents reach it from outside: host and port, written into tickets and into the certificate; several, best first.
    pub advertised_address: Option<OneOrMore>,
    /// TLS handshakes in progress at once, from everywhere.
    pub handshakes_at_once: Option<usize>,
    /// TLS handshakes in progress at once, from one address.
    pub handshakes_per_address: Option<usize>,
    /// Agents connected at once.
    pub connections: Option<usize>,
    /// Another broker, which takes the place of the embedded one.
    pub url: Option<String>,
    /// How agents reach that broker, where it is not as `url` says.
    pub url_for_sites: Option<OneOrMore>,
}

/// One text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text such as \"isp.example:8883\", or a list of such texts")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// A list.
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

/// `[broker]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Where agents are heard. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where else, with the same behind it.
    pub also_listen: Vec<SocketAddr>,
    /// How agents reach it from outside, as `host:port`, best first. 1 to [`TICKET_ADDRESSES`].
    pub advertised_addresses: Vec<String>,
    /// TLS handshakes in progress at once, from everywhere. Each costs about 1 ms of processor and 40 KB.
    pub handshakes_at_once: usize,
    /// TLS handshakes in progress at once, from one address: many sites may share one behind a carrier's NAT.
    pub handshakes_per_address: usize,
    /// Agents connected at once. Each costs about 80 KB of memory and two file handles.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake_deadline: Duration,
    /// How long the CONNECT may take after it.
    pub connect_deadline: Duration,
    /// The broker that agents speak MQTT with; `None` for the embedded one.
    pub external: Option<ExternalBroker>,
}

/// What is wrong in `[broker]`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BrokerSettingsError {
    /// Not an address to listen on.
    #[error("[broker] listen = {0:?} is not an address and port such as \"0.0.0.0:8883\"")]
    Listen(String),
    /// The other broker would be ourselves.
    #[error(
        "[broker] url: {0} is where this controller itself listens, for devices that enrol: let the broker listen elsewhere, or the controller (listen, advertised_address); leave url out for the broker inside the controller"
    )]
    OurOwn(String),
    /// Not an address to listen on either.
    #[error("[broker] also_listen: {0:?} is not an address and port such as \"0.0.0.0:443\"")]
    AlsoListen(String),
    /// More than make sense.
    #[error("[broker] {key} names {count} addresses, and between {least} and {most} may be named")]
    Count {
        /// Which key.
        key: &'static str,
        /// How many it names.
        count: usize,
        /// The least that works.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Not an address to connect to.
    #[error("[broker] advertised_address = {0:?} is not a host and port such as \"isp.example:8883\"")]
    AdvertisedAddress(String),
    /// Not the address of a broker.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// Addresses of a broker that is not named.
    #[error("[broker] url_for_sites says where sites reach the broker of url, and there is no url")]
    NoUrl,
    /// A number that is out of its range.
    #[error("[broker] {key} = {value} must be between {least} and {most}")]
    OutOfRange {
        /// Which key.
        key: &'static str,
        /// What it says.
        value: usize,
        /// The least that works.
        least: usize,
        /// The most that makes sense.
        most: usize,
    },
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8883)),
            also_listen: Vec::new(),
            advertised_addresses: vec!["127.0.0.1:8883".to_owned()],
            handshakes_at_once: 256,
            handshakes_per_address: 64,
            connections: 4_096,
            handshake_deadline: HANDSHAKE,
            connect_deadline: CONNECT,
            external: None,
        }
    }
}

impl RawBroker {
    /// Checks every key.
    ///
    /// # Errors
    /// [`BrokerSettingsError`] names the key and what it may be.
    pub fn check(self) -> Result<BrokerSettings, BrokerSettingsError> {
        let defaults = BrokerSettings::default();
        let listen = match self.listen {
            Some(text) => text.parse().map_err(|_| BrokerSettingsError::Listen(text))?,
            None => defaults.listen,
        };
        let also = self.also_listen.unwrap_or_default();
        check_count("also_listen", also.len(), 0, ALSO_LISTEN)?;
        let also_listen = also
            .into_iter()
            .map(|text| text.parse().map_err(|_| BrokerSettingsError::AlsoListen(text)))
            .collect::<Result<_, _>>()?;
        let advertised_addresses = match self.advertised_address {
            Some(texts) => texts.into_vec(),
            // Good for a trial on one machine; a real installation names itself.
            None => vec![format!("127.0.0.1:{}", listen.port())],
        };
        check_count("advertised_address", advertised_addresses.len(), 1, TICKET_ADDRESSES)?;
        if let Some(bad) = advertised_addresses.iter().find(|text| !is_host_and_port(text)) {
            return Err(BrokerSettingsError::AdvertisedAddress(bad.clone()));
        }
        let external = match (self.url, self.url_for_sites.map(OneOrMore::into_vec)) {
            (Some(url), at) => Some(ExternalBroker::parse(&url, at)?),
            (None, Some(_)) => return Err(BrokerSettingsError::NoUrl),
            (None, None) => None,
        };
        let ours = std::iter::once(&listen).chain(&also_listen).map(SocketAddr::port);
        if let Some(external) = external.as_ref().filter(|external| {
            let is_advertised = advertised_addresses.contains(&external.address());
            is_advertised || external.is_for_this_machine() && ours.clone().any(|port| port == external.port)
        }) {
            return Err(BrokerSettingsError::OurOwn(external.address()));
        }
        Ok(BrokerSettings {
            external,
            listen,
            also_listen,
            advertised_addresses,
            handshakes_at_once: in_range(
                "handshakes_at_once",
                self.handshakes_at_once,
                defaults.handshakes_at_once,
                10_000,
            )?,
            handshakes_per_address: in_range(
                "handshakes_per_address",
                self.handshakes_per_address,
                defaults.handshakes_per_address,
                10_000,
            )?,
            connections: in_range("connections", self.connections, defaults.connections, 20_000)?,
            ..defaults
        })
    }
}

impl BrokerSettings {
    /// Where agents speak MQTT: at the front door, or with another broker.
    #[must_use]
    pub fn mqtt_addresses(&self) -> &[String] {
        self.external.as_ref().map_or(&self.advertised_addresses, |external| &external.addresses)
    }

    /// Where agents speak MQTT if not at the front door; what a device is told beside where the door is.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<String> {
        self.external.as_ref().map(|external| external.addresses.clone()).unwrap_or_default()
    }

    /// The names that the front door's certificate must carry: the advertised hosts and this machine itself.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut add = |name: String| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        for (host, _port) in self.advertised_addresses.iter().filter_map(|text| split_host_and_port(text)) {
            add(host.to_owned());
        }
        for listen in std::iter::once(&self.listen).chain(&self.also_listen) {
            if !listen.ip().is_unspecified() {
                add(listen.ip().to_string());
            }
        }
        names
    }
}

/// Whether a text is `host:port`, with a bare IPv6 address in brackets. Bundles and certificates hold it.
#[must_use]
pub fn is_host_and_port(text: &str) -> bool {
    split_host_and_port(text).is_some()
}

pub(crate) fn split_host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(inner) => {
            let address = inner.strip_suffix(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            address
        }
        None => host,
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    (is_name || host.parse::<IpAddr>().is_ok()).then_some((host, port))
}

fn check_count(
    key: &'static str,
    count: usize,
    least: usize,
    most: usize,
) -> Result<(), BrokerSettingsError> {
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(BrokerSettingsError::Count { key, count, least, most })
    }
}

fn in_range(
    key: &'static str,
    value: Option<usize>,
    default: usize,
    most: usize,
) -> Result<usize, BrokerSettingsError> {
    let value = value.unwrap_or(default);
    if value == 0 || value > most {
        return Err(BrokerSettingsError::OutOfRange { key, value, least: 1, most });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<BrokerSettings, BrokerSettingsError> {
        toml::from_str::<RawBroker>(text).unwrap().check()
    }

    #[test]
    fn another_broker_is_not_ourselves() {
        for own in [
            "url = \"mqtts://127.0.0.1:8883\"",
            "url = \"mqtts://localhost\"",
            "also_listen = [\"0.0.0.0:443\"]\nurl = \"mqtts://localhost:443\"",
            "advertised_address = \"isp.example:8883\"\nurl = \"mqtts://isp.example\"",
        ] {
            assert!(check(own).unwrap_err().to_string().contains("itself listens"), "{own}");
        }
        assert!(check("url = \"mqtts://127.0.0.1:8884\"").unwrap().external.is_some());
    }

    #[test]
    fn an_empty_section_listens_where_agents_expect_it() {
        let settings = check("").unwrap();
        assert_eq!(settings, BrokerSettings::default());
        assert_eq!(settings.listen.port(), 8883);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let message = |text: &str| check(text).unwrap_err().to_string();
        assert!(message("listen = \"8883\"").contains("listen"));
        for bad in
            ["isp.example", "isp.example:", ":8883", "isp example:8883", "https://isp:8883", "[::1:8883"]
        {
            assert!(
                message(&format!("advertised_address = {bad:?}")).contains("advertised_address"),
                "{bad}"
            );
        }
        assert!(message("also_listen = [\"443\"]").contains("also_listen"));
        assert!(message("advertised_address = []").contains("names 0 addresses, and between 1 and 8"));
        assert!(message("advertised_address = [\"isp.example:1\", \"x\"]").contains("\"x\""));
        assert!(
            toml::from_str::<RawBroker>("advertised_address = 1")
                .unwrap_err()
                .to_string()
                .contains("or a list")
        );
        assert!(message("connections = 0").contains("connections = 0 must be between 1 and 20000"));
        assert!(toml::from_str::<RawBroker>("lisen = \"x\"").is_err(), "unknown keys are refused");
        assert!(message("url_for_sites = \"a:1\"").contains("there is no url"));
    }

    #[test]
    fn one_line_names_another_broker() {
        let settings = check("url = \"mqtts://mq.isp.example\"").unwrap();
        assert_eq!(settings.elsewhere(), ["mq.isp.example:8883"]);
        assert_eq!(settings.mqtt_addresses(), ["mq.isp.example:8883"]);
        let settings =
            check("url = \"mqtts://10.0.0.5:9883\"\nurl_for_sites = [\"mq.isp.example:443\"]").unwrap();
        assert_eq!(settings.mqtt_addresses(), ["mq.isp.example:443"]);
        assert_eq!(settings.advertised_addresses, ["127.0.0.1:8883"]);
        assert!(BrokerSettings::default().elsewhere().is_empty());
    }

    #[test]
    fn the_certificate_carries_the_name_by_which_agents_come() {
        let names = |text: &str| check(text).unwrap().certificate_names();
        assert_eq!(
            names("advertised_address = \"isp.example:8883\""),
            ["localhost", "127.0.0.1", "isp.example"]
        );
        assert_eq!(
            names("advertised_address = \"[2001:db8::1]:8883\""),
            ["localhost", "127.0.0.1", "2001:db8::1"]
        );
        assert_eq!(
            names(
                "also_listen = [\"192.0.2.8:443\"]\nadvertised_address = [\"a.example:8883\", \"b.example:443\"]"
            ),
            ["localhost", "127.0.0.1", "a.example", "b.example", "192.0.2.8"]
        );
        assert_eq!(names("listen = \"192.0.2.7:1\""), ["localhost", "127.0.0.1", "192.0.2.7"]);
    }
}
