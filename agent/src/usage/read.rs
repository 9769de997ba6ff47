//! Asks the router who is logged in and what was moved.
//!
//! All prints of one sample are on the wire before the first is answered, in the order that `join.rs` needs. Only menus
//! of services that count here are read. Nothing is decided here but what a menu that the router lacks means.

use std::collections::BTreeSet;

use routeros_api::value::parse_number;
use routeros_api::{Client, Command, Error, Query, Row};
use tawi_shared::wire::Service;
use tokio::time::Instant;

use super::join::{
    HOTSPOT_PROPERTIES, INTERFACE_PROPERTIES, PPP, PPP_PROPERTIES, PppMenus, QUEUE_PROPERTIES,
    TUNNEL_PROPERTIES, Tunnel, counters_row, hotspot_row, join_ppp, ppp_row, queue_row, tunnel_row,
};
use super::session::is_standing;
use super::tracker::SeenSession;
use crate::reconcile::fixed::made_by_hand;
use crate::reconcile::read::{read_rows, unavailable};

/// Everybody who is logged in by one of these services and every queue of ours, with counters where the menus have
/// them; and how busy the router is. `service_of` knows the service of a line that has a queue.
pub(super) async fn read_sessions(
    client: &Client,
    services: &BTreeSet<Service>,
    service_of: impl Fn(&str) -> Option<Service>,
) -> Result<(Vec<SeenSession>, Option<u64>), Error> {
    let started = Instant::now();
    let ppp: Vec<&PppMenus> = PPP.iter().filter(|menus| services.contains(&menus.service)).collect();
    let (sessions, hotspot, queues, cpu_percent) = tokio::join!(
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
                true => {
                    // The queues of sessions are dynamic, and as many as there are sessions.
                    let ours = print("/queue/simple", QUEUE_PROPERTIES).query(made_by_hand());
                    read_sessions_of(client, ours, queue_row, started).await
                }
                false => Ok(Vec::new()),
            }
        },
        read_load(client),
    );
    let mut sessions = sessions?;
    sessions.extend(hotspot?);
    sessions.extend(queues?.into_iter().filter_map(|queue| {
        let service = service_of(&queue.user)?;
        Some(SeenSession { service, ..queue })
    }));
    Ok((sessions, cpu_percent?))
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

/// How busy the router's processor is, in per cent; `None` where it does not say.
async fn read_load(client: &Client) -> Result<Option<u64>, Error> {
    let load = |row: &Row| row.parsed("cpu-load", parse_number).ok().flatten();
    let rows = there(read_rows(client, print("/system/resource", &["cpu-load"]), load).await)?;
    Ok(rows.first().copied())
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
