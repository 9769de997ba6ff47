//! `/ppp/active`: who is connected now. Removing a row ends the session; the client dials again within
//! seconds unless its account was disabled first. There are no byte counters here: see
//! [`super::TunnelSession`] and [`super::Interface`].

row! {
    /// One session.
    PppActive at "/ppp/active" by "name" {
        /// The user name.
        bytes name = "name";
        /// `pppoe`, `l2tp`, `pptp`, `ovpn` or `sstp`.
        bytes service = "service";
        /// The client's MAC or address.
        bytes caller_id = "caller-id";
        /// The address given to the client.
        bytes address = "address";
        /// Since the session began.
        duration uptime = "uptime";
        /// Such as `0x81100000`; starts again when the router does.
        bytes session_id = "session-id";
        /// Upload bytes allowed in this session; 0 is no limit.
        number limit_bytes_in = "limit-bytes-in";
        /// Download bytes allowed in this session; 0 is no limit.
        number limit_bytes_out = "limit-bytes-out";
        /// Whether RADIUS let the client in.
        flag radius = "radius";
        /// The account's comment.
        bytes comment = "comment";
    }
}

impl super::Removable for PppActive {}
