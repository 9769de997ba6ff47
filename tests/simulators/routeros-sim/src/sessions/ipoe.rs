//! Devices without a login: a fixed address and MAC behind the router, which move bytes as long as it is up.
//!
//! The router sees them in `/ip/arp`, and its static queues count them. A DHCP lease for their MAC with
//! `block-access` keeps them out. Rules of the firewall do not hold their bytes back; [`crate::reach`] tells whether
//! they would.

use super::{Admitted, Caps, Carried, Dial, Refused, Service, Session, Sessions};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::values::Value;

const ARP: &str = "ip/arp";
const LEASE: &str = "ip/dhcp-server/lease";
/// The port behind which they are: the site's bridge.
const BEHIND: &[u8] = b"bridge1";

impl Sessions {
    pub(super) fn appear(
        &mut self,
        engine: &mut Engine,
        dial: &Dial,
        now: Moment,
    ) -> Result<Admitted, Refused> {
        let address = dial.address.ok_or(Refused::NoAddress)?;
        let lease = engine.find(LEASE, dial.mac.as_bytes());
        if lease.is_some_and(|lease| {
            engine.is_set(LEASE, lease, "block-access") && !engine.is_set(LEASE, lease, "disabled")
        }) {
            return Err(Refused::Blocked);
        }
        let key = self.next_key();
        let mut values = vec![
            ("address", Value::text(address.to_string())),
            ("mac-address", Value::text(&dial.mac)),
            ("published", Value::flag(false)),
            ("invalid", Value::flag(false)),
            ("DHCP", Value::flag(lease.is_some())),
            ("dynamic", Value::flag(true)),
            ("complete", Value::flag(true)),
            ("disabled", Value::flag(false)),
        ];
        values.extend(engine.find("interface", BEHIND).map(|id| ("interface", Value::Reference(id))));
        let row = engine.place(ARP, &values, None).map(|id| (ARP, id));
        let session = Session {
            device: dial.device.clone(),
            service: Service::Ipoe,
            user: Vec::new(),
            mac: dial.mac.clone(),
            caller: dial.mac.clone(),
            address,
            account: None,
            interface: None,
            held: None,
            started_ms: now.monotonic_ms,
            last_traffic_ms: now.monotonic_ms,
            upload: Carried::default(),
            download: Carried::default(),
            caps: Caps::default(),
            rows: row.into_iter().collect(),
        };
        self.live.insert(key, session);
        Ok(Admitted { key, address })
    }
}
