//! Who may speak for a visitor: a reverse proxy on this machine, and those of `[server] trusted_proxies`. Pure.
//!
//! They bring everybody's connections, so that `door` does not count them, and `shield` believes the address that they
//! name. Nobody else is believed.

use std::net::IpAddr;
use std::sync::Arc;

/// The proxies on other machines. Clones are handles to the same list.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpAddr]>);

impl Proxies {
    /// So many addresses.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }

    /// Whether whoever connects from there brings others.
    #[must_use]
    pub fn is_one(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.0.contains(&address)
    }
}
