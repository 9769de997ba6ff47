//! `/ip/hotspot/user/profile`: what hotspot accounts have in common.

writable_row! {
    /// One user profile.
    HotspotUserProfile at "/ip/hotspot/user/profile" by "name", draft HotspotUserProfileDraft
    both {
        /// The profile's name.
        bytes name = "name";
        /// The pool that addresses come from.
        bytes address_pool = "address-pool";
        /// Longest session.
        duration session_timeout = "session-timeout";
        /// Longest silence of a client that is logged in.
        duration idle_timeout = "idle-timeout";
        /// Longest absence of a client that is logged in.
        duration keepalive_timeout = "keepalive-timeout";
        /// Sessions at a time with one account: a number, or `unlimited`.
        bytes shared_users = "shared-users";
        /// Whether a device is remembered and let in again without a password.
        flag add_mac_cookie = "add-mac-cookie";
        /// For how long it is remembered.
        duration mac_cookie_timeout = "mac-cookie-timeout";
        /// Upload first (`rx`, from the router's view).
        rate_limit rate_limit = "rate-limit";
        /// The firewall list that clients join while logged in.
        bytes address_list = "address-list";
        /// The queue above the clients' own.
        bytes parent_queue = "parent-queue";
        /// Script at login.
        bytes on_login = "on-login";
        /// Script at logout.
        bytes on_logout = "on-logout";
        /// Whether HTTP goes through the router's proxy.
        flag transparent_proxy = "transparent-proxy";
    }
    sent {}
    read {
        /// Whether the profile is built in.
        flag default = "default";
    }
}
