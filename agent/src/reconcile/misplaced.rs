//! Devices of lines behind a hotspot that are at another address than their line's.
//!
//! A binding lets a device by at one address, and the line's queue holds that address back. After a restart of the router,
//! or with a new lease, the device may be at another: every row is right then, and it gets the portal for ever. Here that
//! is seen and said; nothing is written, because which of the two addresses is meant a person knows. Who fails for it is
//! `record.rs`'s business.

use std::collections::BTreeMap;

use routeros_api::{Client, Error, Row};
use tawi_shared::Gather as _;
use tawi_shared::wire::{LineV1, Service};

use crate::reconcile::Reconciler;
use crate::reconcile::actual::text;
use crate::reconcile::pass::{Basis, Reach};
use crate::reconcile::read::{pipeline, place_prints, unavailable};

/// A device as the hotspot sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    mac: String,
    address: String,
    /// Whether a binding lets it by: the router's own word that it is where it should be.
    is_bypassed: bool,
}

impl Reconciler {
    /// Looks where the devices of these lines are.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn look_for_devices(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        reach: &Reach,
    ) -> Result<(), Error> {
        let is_meant = |line: &LineV1| match reach {
            Reach::Everything => true,
            Reach::Lines(lines) => lines.contains(&line.line),
        };
        self.misplaced.retain(|id, _| {
            let line = self.settings.name.as_str();
            basis.state.lines.get(id).is_some_and(|held| held.item.router == line && !is_meant(&held.item))
        });
        let lines: Vec<&LineV1> = self
            .lines(basis.state)
            .map(|line| &line.item)
            .filter(|line| line.service == Service::HotspotDevice.code() && is_meant(line))
            .filter(|line| self.effective(basis, line).is_ok_and(|(_, state)| state.is_online()))
            .collect();
        let macs: Vec<String> = lines.iter().map(|line| line.caller_id.to_ascii_uppercase()).collect();
        let mut hosts = Vec::new();
        for reply in pipeline(client, place_prints(&macs)).await {
            match reply {
                Ok(reply) => hosts.extend(reply.rows.iter().filter_map(host)),
                // A router without a hotspot: its lines fail for want of one.
                Err(error) if unavailable(&error).is_some() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.misplaced.extend(misplaced(&lines, &hosts));
        Ok(())
    }
}

fn host(row: &Row) -> Option<Host> {
    let is_bypassed = text(row, "bypassed").is_some_and(|flag| matches!(flag.as_str(), "true" | "yes"));
    Some(Host {
        mac: text(row, "mac-address")?.to_ascii_uppercase(),
        address: text(row, "address")?,
        is_bypassed,
    })
}

/// Lines whose device is there, and at none but other addresses; with what is to be said of each.
fn misplaced(lines: &[&LineV1], hosts: &[Host]) -> BTreeMap<String, String> {
    let mut by_mac: BTreeMap<&str, Vec<&Host>> = BTreeMap::new();
    for host in hosts {
        by_mac.entry(&host.mac).or_default().push(host);
    }
    let told = lines.iter().filter_map(|line| {
        let mac = line.caller_id.to_ascii_uppercase();
        let seen = by_mac.get(mac.as_str())?;
        let is_right = |host: &&&Host| host.is_bypassed || host.address == line.address;
        let elsewhere = seen.first().filter(|_| !seen.iter().any(|host| is_right(&host)))?;
        Some((line.line.clone(), words_of(line, &mac, &elsewhere.address)))
    });
    told.into_map()
}

fn words_of(line: &LineV1, mac: &str, found: &str) -> String {
    let wanted = &line.address;
    format!(
        "its device is at {found}, not at {wanted}, and gets the portal alone; cure: /ip dhcp-server lease add mac-address={mac} address={wanted}, then connect it anew"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::shortened;

    const MAC: &str = "02:00:00:00:00:07";

    #[test]
    fn a_device_is_misplaced_where_it_is_seen_at_other_addresses_alone() {
        let line = LineV1 {
            line: "tv".into(),
            caller_id: MAC.to_ascii_lowercase(),
            address: "10.5.50.2".into(),
            ..LineV1::default()
        };
        let check = |hosts: &[(&str, &str, bool)], expected: Option<&str>| {
            let hosts: Vec<Host> = hosts
                .iter()
                .map(|(mac, address, is_bypassed)| Host {
                    mac: (*mac).into(),
                    address: (*address).into(),
                    is_bypassed: *is_bypassed,
                })
                .collect();
            let told = misplaced(&[&line], &hosts);
            assert_eq!(told.contains_key("tv"), expected.is_some(), "{told:?}");
            expected.iter().for_each(|at| assert!(told["tv"].contains(&format!("is at {at},")), "{told:?}"));
        };
        check(&[], None);
        check(&[(MAC, "10.5.50.2", true)], None);
        check(&[(MAC, "10.5.50.2", false)], None);
        check(&[("02:00:00:00:00:08", "10.5.50.9", false)], None);
        check(&[(MAC, "10.5.50.9", false)], Some("10.5.50.9"));
        // The router's own word.
        check(&[(MAC, "10.5.50.9", true)], None);
        // What it was before it moved is still listed.
        check(&[(MAC, "10.5.50.9", false), (MAC, "10.5.50.2", false)], None);
    }

    #[test]
    fn what_is_said_fits_on_the_wire_with_the_longest_addresses() {
        let line = LineV1 { address: "203.113.110.224".into(), ..LineV1::default() };
        let words = words_of(&line, MAC, "203.113.110.225");
        assert_eq!(shortened(&words), words);
    }
}
