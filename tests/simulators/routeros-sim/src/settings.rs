//! What a simulated router is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crate::release::Release;
use crate::sessions::HotspotCounting;

/// Settings of a simulated router. Port 0 asks the system for a free port.
#[derive(Clone)]
pub struct Settings {
    /// Where the plain API listens.
    pub listen: SocketAddr,
    /// Where the API over TLS listens, if anywhere.
    pub tls_listen: Option<SocketAddr>,
    /// Where the control port listens, if anywhere.
    pub control: Option<SocketAddr>,
    /// The release to be.
    pub release: Release,
    /// The name of the user in group `full`.
    pub user: String,
    /// Their password.
    pub password: String,
    /// How many PPP secrets of someone else are there from the start.
    pub foreign_secrets: usize,
    /// Milliseconds that every command takes on its way, until the faults are changed.
    pub latency_ms: u64,
    /// `/system/identity`; the serial number is derived from it.
    pub identity: String,
    /// The licence's level, which limits sessions; 6 does not.
    pub license_level: u8,
    /// Whether hotspot user counters move during a session.
    pub hotspot_counting: HotspotCounting,
}

impl Default for Settings {
    /// RouterOS 7.18 on a free port of the loopback, user `admin` without a password, no TLS, no control
    /// port.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls_listen: None,
            control: None,
            release: Release::new(7, 18),
            user: "admin".to_owned(),
            password: String::new(),
            foreign_secrets: 0,
            latency_ms: 0,
            identity: "MikroTik".to_owned(),
            license_level: 6,
            hotspot_counting: HotspotCounting::AtLogout,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("listen", &self.listen)
            .field("tls_listen", &self.tls_listen)
            .field("control", &self.control)
            .field("release", &self.release)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
