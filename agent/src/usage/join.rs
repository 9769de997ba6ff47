//! Which counters belong to which session or line.
//!
//! Pure. `/ppp/active` knows sessions and has no bytes; `/interface` has bytes and knows no users; the menu of the
//! tunnel server joins the two by `user` and `name`. Names of interfaces are never taken apart: static bindings have
//! arbitrary ones and a second session of one user gets a suffix. Counting over time is `tracker.rs`.
//!
//! The three prints are not one moment. They are asked for in the order counters, tunnels, sessions, so that a session
//! is old enough to span all three owned the counters; a younger one gets its bytes in the next sample. The hotspot's
//! own menu has everything, and a line where nobody logs in is counted by its queue. Directions: what a router calls
//! `rx`, `in` or the first of a pair comes from the client, and is its upload.

use std::collections::HashMap;
use std::time::Duration;

use routeros_api::Row;
use routeros_api::value::{UpDown, parse_duration, parse_number, parse_pair};
use tawi_shared::wire::Service;

use crate::reconcile::actual::{line_of_mark, text};
use crate::usage::tracker::SeenSession;

/// Uptimes are printed in whole seconds and a print takes a while; a session must be older than the sample by this.
const AGE_SLACK: Duration = Duration::from_secs(2);

/// Properties to read of `/interface`.
pub const INTERFACE_PROPERTIES: &[&str] = &["name", "rx-byte", "tx-byte"];
/// Properties to read of the menus of tunnel servers. The peer is `remote-address` for PPPoE and, for tunnels over IP,
/// `client-address`.
pub const TUNNEL_PROPERTIES: &[&str] = &["name", "user", "remote-address", "client-address", "uptime"];
/// Properties to read of `/ppp/active`.
pub const PPP_PROPERTIES: &[&str] =
    &[".id", "name", "service", "caller-id", "address", "uptime", "session-id"];
/// Properties to read of `/ip/hotspot/active`.
pub const HOTSPOT_PROPERTIES: &[&str] = &[".id", "user", "address", "uptime", "bytes-in", "bytes-out"];

/// Properties to read of `/ip/hotspot/user`.
pub const TOTAL_PROPERTIES: &[&str] = &["name", "comment", "bytes-in", "bytes-out"];
/// Properties to read of `/queue/simple`.
pub const QUEUE_PROPERTIES: &[&str] = &[".id", "comment", "target", "bytes"];

/// Where the sessions of a PPP service are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PppMenus {
    /// The service.
    pub service: Service,
    /// Its word in `/ppp/active` and in the topics of the log.
    pub word: &'static str,
    /// The menu of its server, which says whose interface is whose.
    pub server: &'static str,
    /// The type of its interfaces.
    pub interface_type: &'static str,
}

/// All PPP services that lines can have.
pub const PPP: &[PppMenus] = &[
    PppMenus {
        service: Service::Pppoe,
        word: "pppoe",
        server: "/interface/pppoe-server",
        interface_type: "pppoe-in",
    },
    PppMenus {
        service: Service::L2tp,
        word: "l2tp",
        server: "/interface/l2tp-server",
        interface_type: "l2tp-in",
    },
    PppMenus {
        service: Service::Pptp,
        word: "pptp",
        server: "/interface/pptp-server",
        interface_type: "pptp-in",
    },
    PppMenus {
        service: Service::Openvpn,
        word: "ovpn",
        server: "/interface/ovpn-server",
        interface_type: "ovpn-in",
    },
];

/// The counters of an interface, under its name.
pub type Counters = (String, UpDown<u64>);

/// What a user of the hotspot has moved, by his row, and whose row that is: a name may change hands before the row does.
#[derive(Debug)]
pub struct Total {
    /// His name.
    pub user: String,
    /// Line id, by the mark of the row.
    pub line: String,
    /// Of all his sessions.
    pub bytes: UpDown<u64>,
}

/// A row of the tunnel server: whose interface it is.
#[derive(Debug)]
pub struct Tunnel {
    service: Service,
    user: String,
    interface: String,
    peer: Option<String>,
    uptime: Duration,
}

/// Reads a row of `/interface`.
#[must_use]
pub fn counters_row(row: &Row) -> Option<Counters> {
    Some((text(row, "name")?, counters(row, "rx-byte", "tx-byte")?))
}

/// Reads a row of the menu of a tunnel server.
#[must_use]
pub fn tunnel_row(service: Service, row: &Row) -> Option<Tunnel> {
    Some(Tunnel {
        service,
        user: text(row, "user")?,
        interface: text(row, "name")?,
        peer: text(row, "remote-address").or_else(|| text(row, "client-address")),
        uptime: uptime(row),
    })
}

/// Reads a row of `/ppp/active`, with its peer; `None` for tunnels that no line can have.
#[must_use]
pub fn ppp_row(row: &Row) -> Option<(SeenSession, Option<String>)> {
    let word = text(row, "service")?;
    let menus = PPP.iter().find(|menus| menus.word == word)?;
    Some((seen(row, menus.service, "name", "session-id")?, text(row, "caller-id")))
}

/// Reads a row of `/queue/simple` that bears the mark of a line; which service that has, its row does not say.
#[must_use]
pub fn queue_row(row: &Row) -> Option<SeenSession> {
    let line = line_of_mark(&text(row, "comment")?)?.to_owned();
    let target = text(row, "target").unwrap_or_default();
    let first = target.split(',').next().unwrap_or_default();
    Some(SeenSession {
        service: Service::Static,
        number: text(row, ".id")?,
        user: line,
        address: first.strip_suffix("/32").unwrap_or(first).to_owned(),
        uptime: Duration::ZERO,
        bytes: row.parsed("bytes", parse_pair).ok().flatten(),
        took: Duration::ZERO,
        is_new: false,
    })
}

/// Reads a row of `/ip/hotspot/active`, which has everything.
#[must_use]
pub fn hotspot_row(row: &Row) -> Option<SeenSession> {
    let mut session = seen(row, Service::Hotspot, "user", ".id")?;
    session.bytes = counters(row, "bytes-in", "bytes-out");
    Some(session)
}

/// Reads what a row of `/ip/hotspot/user` says of all sessions of its user; `None` for a row that is no line's.
#[must_use]
pub fn total_row(row: &Row) -> Option<Total> {
    let line = line_of_mark(&text(row, "comment")?)?.to_owned();
    Some(Total { user: text(row, "name")?, line, bytes: counters(row, "bytes-in", "bytes-out")? })
}

/// Joins the rows of one sample, which took `sampling` from the first request to the last answer.
#[must_use]
pub fn join_ppp(
    interfaces: &[Counters],
    tunnels: &[Tunnel],
    active: Vec<(SeenSession, Option<String>)>,
    sampling: Duration,
) -> Vec<SeenSession> {
    // Names are borrowed: a town's worth of them would be copied with each sample.
    let counters: HashMap<&str, UpDown<u64>> =
        interfaces.iter().map(|(name, counters)| (name.as_str(), *counters)).collect();
    let mut by_user: HashMap<(Service, &str), Vec<&Tunnel>> = HashMap::with_capacity(tunnels.len());
    for tunnel in tunnels {
        // Most users have one.
        let user = (tunnel.service, tunnel.user.as_str());
        by_user.entry(user).or_insert_with(|| Vec::with_capacity(1)).push(tunnel);
    }
    let bytes = |(session, peer): &'_ (SeenSession, Option<String>), tunnels: Option<&mut Vec<&Tunnel>>| {
        let tunnel = take_tunnel(tunnels?, peer.as_deref(), session.uptime)?;
        let is_old_enough = session.uptime >= sampling.saturating_add(AGE_SLACK);
        is_old_enough.then(|| counters.get(tunnel.interface.as_str()).copied()).flatten()
    };
    let all_bytes: Vec<Option<UpDown<u64>>> =
        active.iter().map(|row| bytes(row, by_user.get_mut(&(row.0.service, row.0.user.as_str())))).collect();
    let sessions = active.into_iter().zip(all_bytes);
    sessions.map(|((session, _), bytes)| SeenSession { bytes, ..session }).collect()
}

/// Takes the tunnel of a session out of those of its user: the one with its peer, or else the nearest uptime.
fn take_tunnel<'a>(
    tunnels: &mut Vec<&'a Tunnel>,
    peer: Option<&str>,
    uptime: Duration,
) -> Option<&'a Tunnel> {
    let is_peer = |tunnel: &&Tunnel| peer.is_some() && tunnel.peer.as_deref() == peer;
    let has_peer = tunnels.iter().any(is_peer);
    let best = tunnels
        .iter()
        .enumerate()
        .filter(|(_, tunnel)| !has_peer || is_peer(tunnel))
        .min_by_key(|(_, tunnel)| tunnel.uptime.abs_diff(uptime))?;
    let index = best.0;
    Some(tunnels.swap_remove(index))
}

fn seen(row: &Row, service: Service, user: &str, number: &str) -> Option<SeenSession> {
    let id = text(row, ".id")?;
    Some(SeenSession {
        service,
        number: text(row, number).unwrap_or(id),
        user: text(row, user)?,
        address: text(row, "address").unwrap_or_default(),
        uptime: uptime(row),
        bytes: None,
        took: Duration::ZERO,
        is_new: false,
    })
}

/// The router's `rx` and `in` come from the client: its upload.
fn counters(row: &Row, upload: &str, download: &str) -> Option<UpDown<u64>> {
    let number = |name| row.parsed(name, parse_number).ok().flatten();
    Some(UpDown { upload: number(upload)?, download: number(download)? })
}

fn uptime(row: &Row) -> Duration {
    row.parsed("uptime", parse_duration).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use routeros_api::wire::Sentence;

    fn row(words: &[&'static str]) -> Row {
        Row::from(std::iter::once("!re").chain(words.iter().copied()).collect::<Sentence>())
    }

    fn joined(interfaces: &[Row], tunnels: &[Row], active: &[Row]) -> Vec<(String, Option<(u64, u64)>)> {
        let sessions = join_ppp(
            &interfaces.iter().filter_map(counters_row).collect::<Vec<_>>(),
            &tunnels.iter().filter_map(|row| tunnel_row(Service::Pppoe, row)).collect::<Vec<_>>(),
            active.iter().filter_map(ppp_row).collect(),
            Duration::from_secs(1),
        );
        let bytes = |session: &SeenSession| session.bytes.map(|bytes| (bytes.upload, bytes.download));
        sessions.iter().map(|session| (session.number.clone(), bytes(session))).collect()
    }

    #[test]
    fn a_total_is_that_of_the_line_whose_mark_its_row_bears() {
        let check = |comment: &'static str, expected: Option<(&str, u64)>| {
            let total = total_row(&row(&["=name=ann", comment, "=bytes-in=1", "=bytes-out=2"]));
            let of = total.as_ref().map(|total| (total.line.as_str(), total.bytes.download));
            assert_eq!(of, expected, "{comment}");
        };
        check("=comment=tawi:b7k2", Some(("b7k2", 2)));
        check("=comment=by hand", None);
        check("=comment=", None);
    }

    #[test]
    fn a_session_gets_the_counters_of_its_own_interface_whatever_that_is_called() {
        let interfaces = [
            row(&["=name=<pppoe-plot1>", "=rx-byte=10", "=tx-byte=100"]),
            row(&["=name=static-plot2", "=rx-byte=20", "=tx-byte=200"]),
            row(&["=name=ether1", "=rx-byte=9", "=tx-byte=9"]),
        ];
        let tunnels = [
            row(&["=name=static-plot2", "=user=plot2", "=uptime=1m"]),
            row(&["=name=<pppoe-plot1>", "=user=plot1", "=uptime=1m"]),
        ];
        let active = [
            row(&["=.id=*1", "=name=plot1", "=service=pppoe", "=uptime=1m", "=session-id=0x1"]),
            row(&["=.id=*2", "=name=plot2", "=service=pppoe", "=uptime=1m", "=session-id=0x2"]),
            // The same name by another service, and one that no line can have.
            row(&["=.id=*3", "=name=plot1", "=service=l2tp", "=uptime=1m", "=session-id=0x3"]),
            row(&["=.id=*4", "=name=plot1", "=service=sstp", "=uptime=1m", "=session-id=0x4"]),
        ];
        assert_eq!(
            joined(&interfaces, &tunnels, &active),
            [
                ("0x1".to_owned(), Some((10, 100))),
                ("0x2".to_owned(), Some((20, 200))),
                ("0x3".to_owned(), None)
            ]
        );
    }

    #[test]
    fn two_sessions_of_one_user_are_told_apart_by_peer_and_then_by_uptime() {
        let interfaces = [
            row(&["=name=<pppoe-a>", "=rx-byte=1", "=tx-byte=1"]),
            row(&["=name=<pppoe-a-1>", "=rx-byte=2", "=tx-byte=2"]),
        ];
        let active = [
            row(&["=.id=*1", "=name=a", "=service=pppoe", "=uptime=9m", "=session-id=0x1", "=caller-id=AA"]),
            row(&["=.id=*2", "=name=a", "=service=pppoe", "=uptime=1m", "=session-id=0x2", "=caller-id=BB"]),
        ];
        let by_peer = [
            row(&["=name=<pppoe-a-1>", "=user=a", "=remote-address=AA", "=uptime=1m"]),
            row(&["=name=<pppoe-a>", "=user=a", "=remote-address=BB", "=uptime=9m"]),
        ];
        assert_eq!(
            joined(&interfaces, &by_peer, &active),
            [("0x1".to_owned(), Some((2, 2))), ("0x2".to_owned(), Some((1, 1)))]
        );
        let by_uptime = [
            row(&["=name=<pppoe-a-1>", "=user=a", "=uptime=1m1s"]),
            row(&["=name=<pppoe-a>", "=user=a", "=uptime=9m"]),
        ];
        assert_eq!(
            joined(&interfaces, &by_uptime, &active),
            [("0x1".to_owned(), Some((1, 1))), ("0x2".to_owned(), Some((2, 2)))]
        );
    }

    #[test]
    fn a_session_younger_than_the_sample_waits_for_the_next_one() {
        let interfaces = [row(&["=name=<pppoe-a>", "=rx-byte=1", "=tx-byte=1"])];
        let tunnels = [row(&["=name=<pppoe-a>", "=user=a", "=uptime=2s"])];
        let active = [row(&["=.id=*1", "=name=a", "=service=pppoe", "=uptime=2s", "=session-id=0x1"])];
        assert_eq!(joined(&interfaces, &tunnels, &active), [("0x1".to_owned(), None)]);
    }

    #[test]
    fn tunnels_over_ip_are_told_apart_by_service_and_by_the_address_that_is_dialled_from() {
        let interfaces = [
            row(&["=name=<l2tp-a>", "=rx-byte=1", "=tx-byte=5000000001"]),
            row(&["=name=<ovpn-a>", "=rx-byte=3", "=tx-byte=4"]),
        ];
        let tunnel = |service, words: &[&'static str]| tunnel_row(service, &row(words)).unwrap();
        let tunnels = vec![
            tunnel(Service::Openvpn, &["=name=<ovpn-a>", "=user=a", "=client-address=9.9.9.9", "=uptime=1m"]),
            tunnel(Service::L2tp, &["=name=<l2tp-a>", "=user=a", "=client-address=9.9.9.9", "=uptime=1m"]),
        ];
        let active = [
            row(&["=.id=*1", "=name=a", "=service=l2tp", "=caller-id=9.9.9.9", "=uptime=1m"]),
            row(&["=.id=*2", "=name=a", "=service=ovpn", "=caller-id=9.9.9.9", "=uptime=1m"]),
        ];
        let sessions = join_ppp(
            &interfaces.iter().filter_map(counters_row).collect::<Vec<_>>(),
            &tunnels,
            active.iter().filter_map(ppp_row).collect(),
            Duration::from_secs(1),
        );
        let found: Vec<_> = sessions.iter().map(|session| (session.service, session.bytes)).collect();
        let bytes = |upload, download| Some(UpDown { upload, download });
        let expected = [(Service::L2tp, bytes(1, 5_000_000_001)), (Service::Openvpn, bytes(3, 4))];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_queue_with_our_mark_counts_for_its_line_upload_first() {
        let queue = row(&[
            "=.id=*6F3",
            "=comment=tawi:l1",
            "=target=10.16.97.102/32,10.16.97.103/32",
            "=bytes=38105527/5000000000",
        ]);
        let seen = queue_row(&queue).unwrap();
        assert_eq!(seen.bytes, Some(UpDown { upload: 38_105_527, download: 5_000_000_000 }));
        let named = (seen.number.as_str(), seen.user.as_str(), seen.address.as_str());
        assert_eq!(named, ("*6F3", "l1", "10.16.97.102"));
        assert_eq!(queue_row(&row(&["=.id=*1", "=comment=l1", "=bytes=1/1"])), None);
        assert_eq!(queue_row(&row(&["=.id=*1", "=bytes=1/1"])), None);
    }

    #[test]
    fn hotspot_rows_have_upload_as_bytes_in() {
        let row =
            row(&["=.id=*A", "=user=a", "=address=10.5.5.2", "=uptime=1m", "=bytes-in=3", "=bytes-out=7"]);
        let session = hotspot_row(&row).unwrap();
        assert_eq!(session.bytes, Some(UpDown { upload: 3, download: 7 }));
        assert_eq!((session.number.as_str(), session.address.as_str()), ("*A", "10.5.5.2"));
    }
}
