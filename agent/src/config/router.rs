//! One `[[router]]` table: which router, how to reach it safely, and as whom.
//!
//! The API sends the password in clear text, so `plain` is only for a router that stands beside the agent: an address
//! literal of the machine itself or of a private network, asked for in so many words.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use routeros_api::Fingerprint;

use super::files::{self, Finder, Secret};
use super::raw::RawRouter;
use super::{ConfigError, ROUTERS, split_host_port};

/// RouterOS's API port without TLS.
const PLAIN_PORT: u16 = 8728;
/// RouterOS's API port with TLS.
const TLS_PORT: u16 = 8729;
/// The longest router name, as for every id.
const NAME_BYTES: usize = tawi_shared::ids::ID_BYTES;

/// How the bytes reach the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterTransport {
    /// In clear text, on the same wire.
    Plain,
    /// TLS with whatever certificate has this SHA-256 digest: RouterOS makes its own.
    PinnedTls {
        /// Of the certificate's DER form.
        fingerprint: Fingerprint,
    },
    /// TLS with a certificate signed by the CA in this file.
    CaTls {
        /// PEM.
        ca_file: PathBuf,
    },
}

/// A router of the site.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// The name that the controller's lines refer to.
    pub name: String,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the bytes get there.
    pub transport: RouterTransport,
    /// The agent's own user on the router.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// Checks all tables together.
pub(super) fn check(
    raws: impl Iterator<Item = RawRouter>,
    finder: &Finder<'_>,
) -> Result<Vec<RouterConfig>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut routers = Vec::new();
    for raw in raws {
        let router = check_one(raw, finder)?;
        if !names.insert(router.name.clone()) {
            let problem = format!("{:?} names two routers", router.name);
            return Err(ConfigError::value("router.name", problem, "give each router its own name"));
        }
        routers.push(router);
    }
    if routers.len() > ROUTERS {
        let problem = format!("{} routers are configured", routers.len());
        return Err(ConfigError::value(
            "router",
            problem,
            format!("split the site: one agent serves {ROUTERS}"),
        ));
    }
    Ok(routers)
}

fn check_one(raw: RawRouter, finder: &Finder<'_>) -> Result<RouterConfig, ConfigError> {
    tawi_shared::ids::check_id(&raw.name).map_err(|error| {
        let cure = format!("use the router's name at head office: at most {NAME_BYTES} of a-z, 0-9 and -");
        ConfigError::value("router.name", error.to_string(), cure)
    })?;
    let key = |field: &str| format!("router.{field} of {:?}", raw.name);
    let (host, port) = split_host_port(&raw.address, default_port(&raw.transport)).ok_or_else(|| {
        let problem = format!("{:?} is not an address", raw.address);
        ConfigError::value(key("address"), problem, "write it as 192.168.88.1 or 192.168.88.1:8729")
    })?;
    let transport = check_transport(&raw, &host, finder)?;
    if raw.user.is_empty() {
        return Err(ConfigError::value(
            key("user"),
            "it is empty",
            "name the agent's own user on the router",
        ));
    }
    let password = match (raw.password, raw.password_file) {
        (Some(password), None) if !password.reveal().is_empty() => password,
        (None, Some(file)) => {
            files::read_secret(&format!("router.password_file of {:?}", raw.name), &finder.find(&file))?
        }
        _ => {
            let key = format!("router.password_file of {:?}", raw.name);
            return Err(ConfigError::value(
                key,
                "exactly one of password_file and password is needed",
                "put the password into a file of mode 0600 and name that",
            ));
        }
    };
    Ok(RouterConfig { name: raw.name, host, port, transport, user: raw.user, password })
}

/// The port of an address that names none.
pub(super) fn default_port(transport: &str) -> u16 {
    if transport == "plain" { PLAIN_PORT } else { TLS_PORT }
}

fn check_transport(raw: &RawRouter, host: &str, finder: &Finder<'_>) -> Result<RouterTransport, ConfigError> {
    let key = |field: &str| format!("router.{field} of {:?}", raw.name);
    let has_trust = raw.tls_pin.is_some() || raw.tls_ca_file.is_some();
    match (raw.transport.as_str(), &raw.tls_pin, &raw.tls_ca_file) {
        ("plain", ..) if has_trust => Err(ConfigError::value(
            key("transport"),
            "plain does not go with tls_pin or tls_ca_file",
            "remove them, or use transport = \"tls\"",
        )),
        ("plain", ..) if !is_beside_us(host) => Err(ConfigError::value(
            key("transport"),
            format!("plain would carry the password in clear text to {host}"),
            "use transport = \"tls\", or name the router by its address in the site's own network (10/8, 172.16/12, 192.168/16, fc00::/7)",
        )),
        ("plain", ..) => Ok(RouterTransport::Plain),
        ("tls", Some(pin), None) => match Fingerprint::parse(pin) {
            Ok(fingerprint) => Ok(RouterTransport::PinnedTls { fingerprint }),
            Err(_) => Err(ConfigError::value(
                key("tls_pin"),
                "it is not 64 hex digits",
                "copy the certificate's SHA-256 fingerprint: /certificate print detail",
            )),
        },
        ("tls", None, Some(file)) => Ok(RouterTransport::CaTls { ca_file: finder.find(file) }),
        ("tls", ..) => Err(ConfigError::value(
            key("tls_pin"),
            "tls needs exactly one of tls_pin and tls_ca_file",
            "run `tawi-agent pin <address>`, compare with /certificate print detail on the router, and set tls_pin",
        )),
        (other, ..) => Err(ConfigError::value(
            key("transport"),
            format!("{other:?} is no transport"),
            "use tls or plain",
        )),
    }
}

/// Whether a host is surely this machine or its own network. A name may resolve to anything, so it is not.
fn is_beside_us(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => false,
    }
}
