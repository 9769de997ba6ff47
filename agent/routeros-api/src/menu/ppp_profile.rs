//! `/ppp/profile`: what accounts have in common, above all the rate limit.
//!
//! A changed profile is felt by new sessions only. `default` and `default-encryption` cannot be removed.

writable_row! {
    /// One profile.
    PppProfile at "/ppp/profile" by "name", draft PppProfileDraft
    both {
        /// The profile's name.
        bytes name = "name";
        /// An address, or a pool by name; a deleted pool prints as an id (`*2`).
        bytes local_address = "local-address";
        /// An address, or a pool by name.
        bytes remote_address = "remote-address";
        /// Upload first (`rx`, from the router's view).
        rate_limit rate_limit = "rate-limit";
        /// Whether an account may be connected once only: `yes`, `no` or `default`. Ignored with RADIUS.
        bytes only_one = "only-one";
        /// Longest session.
        duration session_timeout = "session-timeout";
        /// Longest silence.
        duration idle_timeout = "idle-timeout";
        /// The firewall list that clients join while connected.
        bytes address_list = "address-list";
        /// Name servers given to clients.
        bytes dns_server = "dns-server";
        /// The queue above the clients' own.
        bytes parent_queue = "parent-queue";
        /// Script at connect.
        bytes on_up = "on-up";
        /// Script at disconnect.
        bytes on_down = "on-down";
        /// Free text.
        bytes comment = "comment";
    }
    sent {}
    read {
        /// Whether the profile is built in.
        flag default = "default";
    }
}
