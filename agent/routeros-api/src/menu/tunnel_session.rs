//! `/interface/pppoe-server` and its like: which user is behind which interface.
//!
//! The join from an account to its counters goes through this menu's `user` and `name`: static bindings
//! bear any name, and a second session of one user gets a suffix.

use crate::command::Query;

/// A kind of tunnel server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// PPP over Ethernet.
    Pppoe,
    /// L2TP.
    L2tp,
    /// PPTP.
    Pptp,
    /// OpenVPN.
    Ovpn,
    /// SSTP.
    Sstp,
}

impl Tunnel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pppoe, Self::L2tp, Self::Pptp, Self::Ovpn, Self::Sstp];

    /// The menu of its sessions.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Pppoe => "/interface/pppoe-server",
            Self::L2tp => "/interface/l2tp-server",
            Self::Pptp => "/interface/pptp-server",
            Self::Ovpn => "/interface/ovpn-server",
            Self::Sstp => "/interface/sstp-server",
        }
    }
}

row! {
    /// One session or static binding of a tunnel server. Which server is the menu's matter: see
    /// [`crate::Client::tunnel_sessions`].
    TunnelSession at "/interface/pppoe-server" by "user" {
        /// The interface that counts its bytes.
        bytes name = "name";
        /// The account.
        bytes user = "user";
        /// The PPPoE service name.
        bytes service = "service";
        /// The client's MAC (PPPoE).
        bytes remote_address = "remote-address";
        /// The client's address (L2TP, OVPN, SSTP).
        bytes client_address = "client-address";
        /// The interface it came in by (PPPoE).
        bytes interface = "interface";
        /// Since the session began.
        duration uptime = "uptime";
        /// Whether there is a session; a static binding may wait for one.
        flag running = "running";
        /// Whether the row goes with the session.
        flag dynamic = "dynamic";
        /// Whether it is off.
        flag disabled = "disabled";
    }
}

impl TunnelSession {
    /// Leaves out static bindings that nobody uses: `menu.find(TunnelSession::only_running())`.
    #[must_use]
    pub fn only_running() -> Query {
        Query::equals("running", "true")
    }
}
