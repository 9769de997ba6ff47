//! `/ip/hotspot/cookie`: devices that are let in again without a password. A suspended account's cookies
//! must go too, or its devices log in silently.

row! {
    /// One remembered device.
    HotspotCookie at "/ip/hotspot/cookie" by "user" {
        /// The account.
        bytes user = "user";
        /// The device.
        bytes mac_address = "mac-address";
        /// The login domain, where one is used.
        bytes domain = "domain";
        /// Until it is forgotten.
        duration expires_in = "expires-in";
    }
}

impl super::Removable for HotspotCookie {}
