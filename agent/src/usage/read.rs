//! Asks the router who is logged in and what was moved.
//!
//! All prints of one sample are on the wire before the first is answered, in the order that `join.rs` needs. Only menus
//! of services that count here are read. Nothing is decided here but what a menu that the router lacks means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use routeros_api::value::{UpDown, parse_duration, parse_number};
use routeros_api::{Client, Command, Error, Query, Row};
use tawi_shared::wire::Service;
use tokio::time::Instant;

use super::join::{
    HOTSPOT_PROPERTIES, INTERFACE_PROPERTIES, PPP, PPP_PROPERTIES, PppMenus, QUEUE_PROPERTIES,
    TOTAL_PROPERTIES, TUNNEL_PROPERTIES, Total, Tunnel, counters_row, hotspot_row, join_ppp, ppp_row,
    queue_row, total_row, tunnel_row,
};
use super::session::is_standing;
use super::tracker::SeenSession;
use crate::reconcile::actual::text;
use crate::reconcile::fixed::made_by_hand;
use crate::reconcile::read::{read_rows, unavailable};

/// Users whose totals are asked for by name; beyond them all are read.
const TOTALS_BY_NAME: usize = 32;

/// One look at a router.
pub(super) struct Sample {
    /// Everybody who is logged in, and every queue of ours, with counters where the menus have them.
    pub(super) sessions: Vec<SeenSession>,
    /// All queues that people or we made; `None` where that menu was not asked or not shown.
    pub(super) queues: Option<BTreeSet<String>>,
    /// How busy the router is.
    pub(super) cpu_percent: Option<u64>,
}

/// Looks at whoever is logged in by one of these services. `known` are the queues of the look before, `service_of` knows
/// the service of a line that has a queue.
pub(super) async fn read_sessions(
    client: &Client,
    services: &BTreeSet<Service>,
    known: Option<&BTreeSet<String>>,
    service_of: impl Fn(&str) -> Option<Service>,
) -> Result<Sample, Error> {
    let started = Instant::now();
    let ppp: Vec<&PppMenus> = PPP.iter().filter(|menus| services.contains(&menus.service)).collect();
    let (sessions, hotspot, queues, resource) = tokio::join!(
        biased;
        read_ppp(client, &ppp, started),
        async {
            match services.contains(&Service::Hotspot) {
                true => {
                    let active = print("/ip/hotspot/active", HOTSPOT_PROPERTIES);
                    read_sessions_of(client, active, hotspot_row, started).await
                }
                false => Ok(Vec::new()),
            }
        },
        async {
            match services.iter().any(|service| is_standing(*service)) {
                true => read_queues(client, known, started).await,
                false => Ok((Vec::new(), None)),
            }
        },
        read_resource(client),
    );
    let mut sessions = sessions?;
    sessions.extend(hotspot?);
    let (ours, queues) = queues?;
    let (uptime, cpu_percent) = resource?;
    sessions.extend(ours.into_iter().filter_map(|queue| {
        let service = service_of(&queue.user)?;
        Some(SeenSession { service, uptime, ..queue })
    }));
    Ok(Sample { sessions, queues, cpu_percent })
}

/// The totals of these users of the hotspot, and after that the sessions that they have. A name that two rows bear is left,
/// and a row of a line that its name is not of.
pub(super) async fn read_totals(
    client: &Client,
    users: &BTreeSet<String>,
    is_of: impl Fn(&str, &str) -> bool,
) -> Result<(BTreeMap<String, UpDown<u64>>, Vec<SeenSession>), Error> {
    let (mut totals, mut running) =
        (print("/ip/hotspot/user", TOTAL_PROPERTIES), print("/ip/hotspot/active", HOTSPOT_PROPERTIES));
    if users.len() <= TOTALS_BY_NAME {
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        let (Some(by_name), Some(by_user)) = (Query::any_of("name", &names), Query::any_of("user", &names))
        else {
            return Ok((BTreeMap::new(), Vec::new()));
        };
        (totals, running) = (totals.query(by_name), running.query(by_user));
    }
    // In this order on the wire: what a total holds of a session that runs, its row shows by then.
    let (totals, running) = tokio::join!(
        biased;
        read_rows(client, totals, total_row),
        read_rows(client, running, hotspot_row),
    );
    let mut found = BTreeMap::new();
    let mut several = BTreeSet::new();
    for Total { user, line, bytes } in there(totals)?.into_iter().filter(|total| users.contains(&total.user))
    {
        if is_of(&user, &line) && found.insert(user.clone(), bytes).is_some() {
            several.insert(user);
        }
    }
    found.retain(|name, _| !several.contains(name));
    Ok((found, there(running)?))
}

/// The queues that bear our mark, and the numbers of all.
async fn read_queues(
    client: &Client,
    known: Option<&BTreeSet<String>>,
    started: Instant,
) -> Result<(Vec<SeenSession>, Option<BTreeSet<String>>), Error> {
    // The queues of sessions are dynamic, and as many as there are sessions.
    let all = print("/queue/simple", QUEUE_PROPERTIES).query(made_by_hand());
    let rows = match read_rows(client, all, |row| Some((text(row, ".id")?, queue_row(row)))).await {
        Ok(rows) => rows,
        // What is not shown now may be shown again, and is not new then.
        Err(error) if unavailable(&error).is_some() => return Ok((Vec::new(), None)),
        Err(error) => return Err(error),
    };
    let took = started.elapsed();
    let mut numbers = BTreeSet::new();
    let mut ours = Vec::new();
    for (number, queue) in rows {
        let is_new = known.is_some_and(|known| !known.contains(&number));
        numbers.insert(number);
        ours.extend(queue.map(|queue| SeenSession { is_new, took, ..queue }));
    }
    Ok((ours, Some(numbers)))
}

/// The rows of a menu that has everything, with how long they took.
async fn read_sessions_of(
    client: &Client,
    print: Command,
    read: fn(&Row) -> Option<SeenSession>,
    started: Instant,
) -> Result<Vec<SeenSession>, Error> {
    let mut sessions = there(read_rows(client, print, read).await)?;
    let took = started.elapsed();
    sessions.iter_mut().for_each(|session| session.took = took);
    Ok(sessions)
}

async fn read_ppp(client: &Client, menus: &[&PppMenus], started: Instant) -> Result<Vec<SeenSession>, Error> {
    let types: Vec<&str> = menus.iter().map(|menus| menus.interface_type).collect();
    let Some(of_types) = Query::any_of("type", &types) else { return Ok(Vec::new()) };
    let tunnels_of = |service: Service| {
        let menus = menus.iter().find(|menus| menus.service == service).copied();
        async move {
            match menus {
                Some(menus) => read_tunnels(client, menus).await,
                None => Ok(Vec::new()),
            }
        }
    };
    // In this order on the wire: see `join`. Each is asked for before the one before it is answered, and taken as it
    // comes.
    let (counters, pppoe, l2tp, pptp, ovpn, active) = tokio::join!(
        biased;
        read_rows(client, print("/interface", INTERFACE_PROPERTIES).query(of_types), counters_row),
        tunnels_of(Service::Pppoe),
        tunnels_of(Service::L2tp),
        tunnels_of(Service::Pptp),
        tunnels_of(Service::Openvpn),
        async {
            let active = read_rows(client, print("/ppp/active", PPP_PROPERTIES), ppp_row).await;
            (active, started.elapsed())
        },
    );
    let (active, took) = active;
    let mut tunnels = pppoe?;
    for more in [l2tp?, pptp?, ovpn?] {
        tunnels.extend(more);
    }
    let mut active = there(active)?;
    active.retain(|(session, _)| menus.iter().any(|menus| menus.service == session.service));
    active.iter_mut().for_each(|(session, _)| session.took = took);
    Ok(join_ppp(&there(counters)?, &tunnels, active, started.elapsed()))
}

async fn read_tunnels(client: &Client, menus: &PppMenus) -> Result<Vec<Tunnel>, Error> {
    let rows =
        read_rows(client, print(menus.server, TUNNEL_PROPERTIES), |row| tunnel_row(menus.service, row));
    there(rows.await)
}

/// Since when the router runs, zero where it does not say; and how busy its processor is, in per cent.
async fn read_resource(client: &Client) -> Result<(Duration, Option<u64>), Error> {
    let read = |row: &Row| {
        let uptime = row.parsed("uptime", parse_duration).ok().flatten().unwrap_or_default();
        Some((uptime, row.parsed("cpu-load", parse_number).ok().flatten()))
    };
    let rows = there(read_rows(client, print("/system/resource", &["cpu-load", "uptime"]), read).await)?;
    Ok(rows.first().copied().unwrap_or_default())
}

fn print(path: &str, properties: &[&str]) -> Command {
    Command::new(format!("{path}/print")).proplist(properties)
}

/// No rows from a menu that the router lacks or hides. After any other trap nobody knows who is logged in, and the sample
/// is none: it would end every session.
fn there<T>(read: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match read {
        Ok(rows) => Ok(rows),
        Err(error) if unavailable(&error).is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
