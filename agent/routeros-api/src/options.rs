//! What a connection needs to know before it is made, and every limit that it works under.
//!
//! Plain data: nothing here connects. The defaults suit one router on a local network; their reasons
//! stand beside the constants.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::tls::TlsTrust;
use crate::value::Secret;
use crate::wire::Limits;
use crate::witness::Witness;

/// The port of the service `api`.
pub const PLAIN_PORT: u16 = 8728;
/// The port of the service `api-ssl`.
pub const TLS_PORT: u16 = 8729;

/// A router on the same site answers in milliseconds; five seconds ride out one lost SYN and its retry.
const CONNECT: Duration = Duration::from_secs(5);
/// An RSA signature on the slowest MIPS boards takes seconds.
const TLS: Duration = Duration::from_secs(10);
/// RouterOS asks RADIUS for unknown users, with retries of its own.
const LOGIN: Duration = Duration::from_secs(10);
/// Between two pieces of an answer, not for the whole: a big table may take minutes and never be silent.
const COMMAND_IDLE: Duration = Duration::from_secs(30);
/// A cancel is answered at once unless the router hangs.
const CANCEL_DRAIN: Duration = Duration::from_secs(5);
/// While the rows that wait have used up their allowance nothing is read; others must not starve for long.
const ROW_TAKEN: Duration = Duration::from_secs(10);
/// Deep enough to hide the round trip, shallow enough that a weak router answers the last within the
/// idle deadline.
const IN_FLIGHT: usize = 16;
/// Some two thousand rows of a few properties: more than a caller falls behind while it does something with each,
/// little on a device of 64 MB.
const HELD_BYTES: usize = 1024 * 1024;
/// One per menu that is watched, with room to spare.
const LISTENS: usize = 8;

/// How to reach the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP: the password is readable on the way. For loopback, a veth or a trusted wire only.
    Plain,
    /// TLS 1.2, with the router proven to be who it should be.
    Tls(TlsTrust),
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the TCP connection, name lookup included. Default 5 s.
    pub connect: Duration,
    /// For the TLS handshake. Default 10 s.
    pub tls: Duration,
    /// For the login as a whole. Default 10 s.
    pub login: Duration,
    /// For the next piece of a command's answer. Default 30 s.
    pub command_idle: Duration,
    /// For the end of a cancelled command. Default 5 s.
    pub cancel_drain: Duration,
    /// For rows to be taken by whoever asked for them. Default 10 s.
    pub row_taken: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: CONNECT,
            tls: TLS,
            login: LOGIN,
            command_idle: COMMAND_IDLE,
            cancel_drain: CANCEL_DRAIN,
            row_taken: ROW_TAKEN,
        }
    }
}

/// Everything [`crate::Client::connect`] needs. `Debug` does not show the password.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host`, `host:port`, an address, or an address and port; IPv6 with a port as `[::1]:8728`.
    /// Without a port, 8728 or 8729 by transport.
    pub address: String,
    /// Plain or TLS.
    pub transport: Transport,
    /// The name that the certificate must bear when it is not the host of `address`. Only for
    /// [`TlsTrust::Authorities`].
    pub server_name: Option<String>,
    /// The router's user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Answer the MD5 challenge of releases before 6.43. By the time one is asked for, the password has
    /// been sent in clear to whoever answered, so this is off by default.
    pub legacy_login: bool,
    /// What one reply may cost in memory.
    pub limits: Limits,
    /// How long to wait for what.
    pub deadlines: Deadlines,
    /// Memory for rows that were read and are not yet taken, over all commands in flight. Beyond it nothing is
    /// read until some are. Default 1 MiB.
    pub held_bytes: usize,
    /// Commands sent and not yet answered; more wait their turn. At least 1. Default 16.
    pub in_flight: usize,
    /// Listens at a time; more wait their turn. At least 1. Default 8.
    pub listens: usize,
    /// After this long without a byte from the router, ask for its name, so that a dead connection is
    /// found and the way to it stays open in firewalls. Default off; 30 s is a good value.
    pub keepalive: Option<Duration>,
    /// Hears of every write. Default nobody.
    pub witness: Option<Witness>,
}

impl Options {
    /// Options with defaults for everything but who and where.
    #[must_use]
    pub fn new(
        address: impl ToString,
        transport: Transport,
        user: impl Into<String>,
        password: Secret,
    ) -> Self {
        Self {
            address: address.to_string(),
            transport,
            server_name: None,
            user: user.into(),
            password,
            legacy_login: false,
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            held_bytes: HELD_BYTES,
            in_flight: IN_FLIGHT,
            listens: LISTENS,
            keepalive: None,
            witness: None,
        }
    }

    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let default_port = match self.transport {
            Transport::Plain => PLAIN_PORT,
            Transport::Tls(_) => TLS_PORT,
        };
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            return (address.ip().to_string(), address.port());
        }
        let bare = self.address.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return (address.to_string(), default_port);
        }
        match self.address.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host.to_owned(), port),
            _ => (self.address.clone(), default_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Fingerprint;

    #[test]
    fn an_address_may_leave_its_port_to_the_transport() {
        let tls = Transport::Tls(TlsTrust::Pin(Fingerprint::of(b"")));
        for (address, transport, host, port) in [
            ("192.168.88.1", Transport::Plain, "192.168.88.1", 8728),
            ("192.168.88.1", tls.clone(), "192.168.88.1", 8729),
            ("192.168.88.1:8800", tls.clone(), "192.168.88.1", 8800),
            ("router.example", tls.clone(), "router.example", 8729),
            ("router.example:18728", Transport::Plain, "router.example", 18728),
            ("[fe80::1]:8728", Transport::Plain, "fe80::1", 8728),
            ("[fe80::1]", tls, "fe80::1", 8729),
            ("fe80::1", Transport::Plain, "fe80::1", 8728),
        ] {
            let options = Options::new(address, transport, "api", Secret::default());
            assert_eq!(options.host_and_port(), (host.to_owned(), port), "{address}");
        }
    }

    #[test]
    fn options_do_not_show_the_password() {
        let options = Options::new("192.0.2.1", Transport::Plain, "api", Secret::new("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
