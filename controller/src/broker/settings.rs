//! `[broker]` of the configuration: raw text in, settings that cannot be wrong out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

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
    /// How agents reach it from outside: host and port, written into bundles and into the certificate.
    pub advertised_address: Option<String>,
    /// TLS handshakes in progress at once, from everywhere.
    pub handshakes_at_once: Option<usize>,
    /// TLS handshakes in progress at once, from one address.
    pub handshakes_per_address: Option<usize>,
    /// Agents connected at once.
    pub connections: Option<usize>,
}

/// `[broker]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Where agents are heard. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// How agents reach it from outside, as `host:port`.
    pub advertised_address: String,
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
}

/// What is wrong in `[broker]`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BrokerSettingsError {
    /// Not an address to listen on.
    #[error("[broker] listen = {0:?} is not an address and port such as \"0.0.0.0:8883\"")]
    Listen(String),
    /// Not an address to connect to.
    #[error("[broker] advertised_address = {0:?} is not a host and port such as \"isp.example:8883\"")]
    AdvertisedAddress(String),
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
            advertised_address: "127.0.0.1:8883".to_owned(),
            handshakes_at_once: 256,
            handshakes_per_address: 64,
            connections: 4_096,
            handshake_deadline: HANDSHAKE,
            connect_deadline: CONNECT,
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
        let advertised_address = match self.advertised_address {
            Some(text) if is_host_and_port(&text) => text,
            Some(text) => return Err(BrokerSettingsError::AdvertisedAddress(text)),
            // Good for a trial on one machine; a real installation names itself.
            None => format!("127.0.0.1:{}", listen.port()),
        };
        Ok(BrokerSettings {
            listen,
            advertised_address,
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
    /// The names that the front door's certificate must carry: the advertised host and this machine itself.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut add = |name: String| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        if let Some((host, _port)) = split_host_and_port(&self.advertised_address) {
            add(host.to_owned());
        }
        if !self.listen.ip().is_unspecified() {
            add(self.listen.ip().to_string());
        }
        names
    }
}

/// Whether a text is `host:port`, with a bare IPv6 address in brackets. Bundles and certificates hold it.
#[must_use]
pub fn is_host_and_port(text: &str) -> bool {
    split_host_and_port(text).is_some()
}

fn split_host_and_port(text: &str) -> Option<(&str, u16)> {
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
        assert!(message("connections = 0").contains("connections = 0 must be between 1 and 20000"));
        assert!(toml::from_str::<RawBroker>("lisen = \"x\"").is_err(), "unknown keys are refused");
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
        assert_eq!(names("listen = \"192.0.2.7:1\""), ["localhost", "127.0.0.1", "192.0.2.7"]);
    }
}
