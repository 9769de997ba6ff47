//! Whose device a line is for: its own address, and the only device that may use it. Pure.
//!
//! Where nobody logs in, the address is the line, and behind a hotspot the MAC is what the router lets pass: there both
//! are needed. Routers compare MAC addresses in capitals; what people copy from a label is brought into that form.

use std::fmt;
use std::net::Ipv4Addr;

use tawi_shared::wire::Service;

use crate::customers::Invalid;

/// The only device that may use a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerId {
    /// `AA:BB:CC:DD:EE:FF`.
    Mac(String),
    /// For tunnels: the address that is dialled from.
    Address(Ipv4Addr),
}

impl CallerId {
    /// Reads a MAC address with colons, dashes, dots or nothing between its digits, or an IPv4 address.
    ///
    /// # Errors
    /// [`Invalid`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address));
        }
        let digits: String = text.chars().filter(|character| !matches!(character, ':' | '-' | '.')).collect();
        let is_mac = digits.len() == 12
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            && matches!(text.len(), 12 | 14 | 17);
        let reason = "write a MAC address as AA:BB:CC:DD:EE:FF, or for tunnels an IPv4 address; or nothing";
        if !is_mac {
            return Err(Invalid { field: "caller_id", reason });
        }
        let mut mac = String::with_capacity(17);
        for (index, digit) in digits.to_ascii_uppercase().chars().enumerate() {
            if index > 0 && index % 2 == 0 {
                mac.push(':');
            }
            mac.push(digit);
        }
        Ok(Self::Mac(mac))
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => f.write_str(mac),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Reads a line's own address; nothing for one of the pool.
///
/// # Errors
/// [`Invalid`] says what to write instead.
pub fn address(text: &str) -> Result<Option<Ipv4Addr>, Invalid> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let is_usable = |address: &Ipv4Addr| {
        !(address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast())
    };
    let reason = "write an IPv4 address such as 10.20.0.17, or nothing for one of the pool";
    text.parse().ok().filter(is_usable).map(Some).ok_or(Invalid { field: "address", reason })
}

/// Reads the only device; nothing for any.
///
/// # Errors
/// [`Invalid`] says what to write instead.
pub fn caller_id(text: &str) -> Result<Option<CallerId>, Invalid> {
    if text.trim().is_empty() { Ok(None) } else { CallerId::parse(text).map(Some) }
}

/// The device that the line is, where a hotspot lets it by without a login: on a router no two lines can be the same one.
/// Elsewhere a device only logs in, and several lines may be locked to it.
#[must_use]
pub fn let_by(service: Service, caller_id: Option<&CallerId>) -> Option<&str> {
    match (service, caller_id) {
        (Service::HotspotDevice, Some(CallerId::Mac(mac))) => Some(mac),
        _ => None,
    }
}

/// Whether a line of this service can have these.
///
/// # Errors
/// [`Invalid`] says what is missing, or does not fit.
pub fn check(
    service: Service,
    address: Option<Ipv4Addr>,
    caller_id: Option<&CallerId>,
) -> Result<(), Invalid> {
    let invalid = |field, reason| Err(Invalid { field, reason });
    let is_tunnel = matches!(service, Service::L2tp | Service::Pptp | Service::Openvpn);
    match (service, address, caller_id) {
        (Service::Static | Service::HotspotDevice, None, _) => {
            invalid("address", "nobody logs in on this service: enter the customer's own IPv4 address")
        }
        (Service::HotspotDevice, _, None) => {
            invalid("caller_id", "enter the MAC address of the device that the hotspot lets pass")
        }
        (_, _, Some(CallerId::Mac(_))) if is_tunnel => invalid(
            "caller_id",
            "a tunnel shows no MAC address: enter the IPv4 address that is dialled from, or nothing",
        ),
        (_, _, Some(CallerId::Address(_))) if !is_tunnel => {
            invalid("caller_id", "enter the MAC address of the device, such as AA:BB:CC:DD:EE:FF")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_as_labels_show_it_and_written_as_routers_do() {
        for text in [
            "aa:bb:cc:dd:ee:0f",
            "AA-BB-CC-DD-EE-0F",
            "aabb.ccdd.ee0f",
            "AABBCCDDEE0F",
            " aa:bb:cc:dd:ee:0f ",
        ] {
            assert_eq!(CallerId::parse(text).unwrap().to_string(), "AA:BB:CC:DD:EE:0F", "{text}");
        }
        assert_eq!(CallerId::parse("41.90.1.1").unwrap().to_string(), "41.90.1.1");
        for bad in [
            "",
            "aa:bb:cc:dd:ee",
            "aa:bb:cc:dd:ee:gg",
            "aa:bb:cc:dd:ee:0f:11",
            "a:a:b:b:c:c:d:d:e:e:0:f",
            "1.2.3",
        ] {
            assert_eq!(CallerId::parse(bad).map_err(|invalid| invalid.field), Err("caller_id"), "{bad}");
        }
    }

    #[test]
    fn an_address_is_one_that_a_device_can_have() {
        assert_eq!(address(" 10.20.0.17 ").unwrap(), Some(Ipv4Addr::new(10, 20, 0, 17)));
        assert_eq!(address("").unwrap(), None);
        for bad in
            ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0", "10.0.0.256", "fe80::1", "x"]
        {
            assert_eq!(address(bad).map_err(|invalid| invalid.field), Err("address"), "{bad}");
        }
    }

    #[test]
    fn each_service_has_what_it_needs() {
        let own = Some(Ipv4Addr::new(10, 0, 0, 2));
        let mac = CallerId::parse("aa:bb:cc:dd:ee:0f").unwrap();
        let from = CallerId::parse("41.90.1.1").unwrap();
        let check = |service, address, caller: Option<&CallerId>, expected: Result<(), &str>| {
            let found = super::check(service, address, caller).map_err(|invalid| invalid.field);
            assert_eq!(found, expected, "{service:?} {address:?} {caller:?}");
        };
        check(Service::Pppoe, None, None, Ok(()));
        check(Service::Pppoe, own, Some(&mac), Ok(()));
        check(Service::Hotspot, None, Some(&from), Err("caller_id"));
        check(Service::L2tp, None, Some(&from), Ok(()));
        check(Service::Openvpn, None, Some(&mac), Err("caller_id"));
        check(Service::Static, None, None, Err("address"));
        check(Service::Static, own, None, Ok(()));
        check(Service::HotspotDevice, own, None, Err("caller_id"));
        check(Service::HotspotDevice, own, Some(&mac), Ok(()));
        assert_eq!(let_by(Service::HotspotDevice, Some(&mac)), Some("AA:BB:CC:DD:EE:0F"));
        assert_eq!(
            (let_by(Service::Hotspot, Some(&mac)), let_by(Service::HotspotDevice, None)),
            (None, None)
        );
    }
}
