//! `/ppp/secret`: the accounts of PPPoE, L2TP, PPTP, OVPN and SSTP clients.
//!
//! The arguments are the same from 7.9 to 7.24. Removing or disabling an account does not end its
//! session: that is [`super::PppActive`]'s.

writable_row! {
    /// One account.
    PppSecret at "/ppp/secret" by "name", draft PppSecretDraft
    both {
        /// The user name. Bytes, and never a number: `007` is not `7`.
        bytes name = "name";
        /// `any`, `async`, `pptp`, `pppoe`, `l2tp`, `ovpn` or `sstp`.
        bytes service = "service";
        /// The profile by name; a dangling one prints as an id (`*2`).
        bytes profile = "profile";
        /// The caller allowed: a MAC in capitals, or an address.
        bytes caller_id = "caller-id";
        /// The router's end; overrides the profile.
        bytes local_address = "local-address";
        /// The client's end; overrides the profile.
        bytes remote_address = "remote-address";
        /// Routes added while connected.
        bytes routes = "routes";
        /// Upload bytes allowed in one session; 0 is no limit.
        number limit_bytes_in = "limit-bytes-in";
        /// Download bytes allowed in one session; 0 is no limit.
        number limit_bytes_out = "limit-bytes-out";
        /// Whether the account is off.
        flag disabled = "disabled";
        /// Free text; may be of any character set.
        bytes comment = "comment";
    }
    sent {
        /// The password. Never read back: from 7.21 it is hidden unless asked for, and asking is not needed.
        secret password = "password";
    }
    read {
        /// When its last session ended, in the router's local time; see [`crate::value::parse_date_time`].
        bytes last_logged_out = "last-logged-out";
        /// Who called last.
        bytes last_caller_id = "last-caller-id";
        /// `peer-request`, `hung-up`, `idle-timeout`, `session-timeout`, `nas-request` and others.
        bytes last_disconnect_reason = "last-disconnect-reason";
    }
}

impl super::Switchable for PppSecret {}
