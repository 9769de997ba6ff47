//! `/ip/hotspot/active`: who is logged in now. Removing a row logs the device out; with a cookie
//! ([`super::HotspotCookie`]) it is back at once.

row! {
    /// One session.
    HotspotActive at "/ip/hotspot/active" by "user" {
        /// The account.
        bytes user = "user";
        /// The hotspot server.
        bytes server = "server";
        /// The device's address.
        bytes address = "address";
        /// The device.
        bytes mac_address = "mac-address";
        /// How it came in: `http-chap`, `cookie`, `mac`, `mac-cookie`, `trial` and others.
        bytes login_by = "login-by";
        /// Since login.
        duration uptime = "uptime";
        /// Since its last packet.
        duration idle_time = "idle-time";
        /// Until the session must end.
        duration session_time_left = "session-time-left";
        /// Upload bytes of this session.
        number bytes_in = "bytes-in";
        /// Download bytes of this session.
        number bytes_out = "bytes-out";
        /// Upload bytes left to this session.
        number limit_bytes_in = "limit-bytes-in";
        /// Download bytes left to this session.
        number limit_bytes_out = "limit-bytes-out";
        /// Bytes both ways left to this session.
        number limit_bytes_total = "limit-bytes-total";
        /// Whether RADIUS let it in.
        flag radius = "radius";
    }
}

impl super::Removable for HotspotActive {}
