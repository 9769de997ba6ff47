//! `/interface`: where the bytes of tunnel sessions are counted.
//!
//! A session's interface is dynamic and its counters begin at zero; find it by [`super::TunnelSession`],
//! not by taking `<pppoe-plot1>` apart. Counters are 64 bits wide.

use crate::command::Query;

row! {
    /// One interface.
    Interface at "/interface" by "name" {
        /// Such as `ether1` or `<pppoe-plot1>`.
        bytes name = "name";
        /// Such as `ether`, `pppoe-in`, `l2tp-in`.
        bytes kind = "type";
        /// Bytes received by the router: of a session, the client's upload.
        number rx_byte = "rx-byte";
        /// Bytes sent by the router: of a session, the client's download.
        number tx_byte = "tx-byte";
        /// When it came up, in the router's local time; see [`crate::value::parse_date_time`].
        bytes last_link_up_time = "last-link-up-time";
        /// Whether it is up.
        flag running = "running";
        /// Whether it lives only as long as a session.
        flag dynamic = "dynamic";
        /// Whether it is off.
        flag disabled = "disabled";
        /// Free text.
        bytes comment = "comment";
    }
}

/// The server ends of tunnels, static bindings included.
const SESSION_TYPES: [&str; 5] = ["pppoe-in", "l2tp-in", "pptp-in", "ovpn-in", "sstp-in"];

impl Interface {
    /// Finds the interfaces of tunnel sessions and nothing else: `menu.find(Interface::of_sessions())`.
    #[must_use]
    pub fn of_sessions() -> Query {
        let [first, rest @ ..] = SESSION_TYPES;
        rest.iter().fold(Query::equals("type", first), |query, kind| query.or(Query::equals("type", kind)))
    }
}
