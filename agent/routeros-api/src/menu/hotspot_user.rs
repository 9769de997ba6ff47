//! `/ip/hotspot/user`: hotspot accounts, with counters that outlive sessions.
//!
//! Whether the counters move during a session or only at logout differs by release; calibrate before
//! adding them to those of [`super::HotspotActive`]. What was not flushed is lost with the power.

writable_row! {
    /// One account.
    HotspotUser at "/ip/hotspot/user" by "name", draft HotspotUserDraft
    both {
        /// The user name.
        bytes name = "name";
        /// The hotspot server it may use, or `all`.
        bytes server = "server";
        /// The user profile by name.
        bytes profile = "profile";
        /// The address to be given.
        bytes address = "address";
        /// The only device allowed.
        bytes mac_address = "mac-address";
        /// Total time allowed; 0 is no limit.
        duration limit_uptime = "limit-uptime";
        /// Total upload bytes allowed; 0 is no limit.
        number limit_bytes_in = "limit-bytes-in";
        /// Total download bytes allowed; 0 is no limit.
        number limit_bytes_out = "limit-bytes-out";
        /// Total bytes allowed both ways; 0 is no limit. The router enforces it with nobody's help.
        number limit_bytes_total = "limit-bytes-total";
        /// Whether the account is off.
        flag disabled = "disabled";
        /// Free text.
        bytes comment = "comment";
    }
    sent {
        /// The password. Never read back.
        secret password = "password";
    }
    read {
        /// Time used since the counters were reset.
        duration uptime = "uptime";
        /// Upload bytes since the counters were reset.
        number bytes_in = "bytes-in";
        /// Download bytes since the counters were reset.
        number bytes_out = "bytes-out";
        /// Made by a trial or a cookie; not to be edited.
        flag dynamic = "dynamic";
        /// The built-in trial user.
        flag default = "default";
    }
}

impl super::Switchable for HotspotUser {}
