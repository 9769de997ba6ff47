//! The rows of a router that somebody else made and that could become lines.
//!
//! Read-only: secrets and hotspot users without our mark, with what helps a person to recognise them. Passwords are not
//! asked for. What is no line of ours ever is left out: names that are not text, rows that the router makes itself, and
//! services that this release does not serve. Taking one over is `orders.rs`.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::parse_bool;
use routeros_api::{Client, Command, Error, Row};
use tawi_shared::Gather as _;
use tawi_shared::counted;
use tawi_shared::wire::{ForeignRowV1, Service};

use crate::flow::Done;
use crate::outbox::shortened;
use crate::reconcile::actual::{HOTSPOT_PROFILE_MARK, MARK, PROFILE_MARK};
use crate::reconcile::read::{read_rows, unavailable};

/// Rows that one answer names: twice the largest router that is known. The rest is named once these are taken over.
const ROWS: usize = 4_096;
/// The longest name that is taken, in bytes: what PAP carries.
const NAME_BYTES: usize = 255;
/// The user that RouterOS makes itself for trials.
const TRIAL_USER: &str = "default-trial";

/// Reads them all.
///
/// # Errors
/// When the connection is lost. A menu that the router lacks has no rows.
pub(super) async fn list(client: &Client) -> Result<Done, Error> {
    let (mut rows, mut any_service) = (Vec::new(), BTreeSet::new());
    for (users, profiles, sessions, session_user) in [
        ("/ppp/secret", "/ppp/profile", "/ppp/active", "name"),
        ("/ip/hotspot/user", "/ip/hotspot/user/profile", "/ip/hotspot/active", "user"),
    ] {
        let limits: BTreeMap<String, String> = read(client, profiles, &["name", "rate-limit"], |row| {
            Some((text(row, "name")?, text(row, "rate-limit").unwrap_or_default()))
        })
        .await?
        .into_iter()
        .into_map();
        let is_hotspot = users == "/ip/hotspot/user";
        let of_session: &[&str] = if is_hotspot { &[session_user] } else { &[session_user, "service"] };
        let online: BTreeMap<String, String> = read(client, sessions, of_session, |row| {
            Some((text(row, session_user)?, text(row, "service").unwrap_or_default()))
        })
        .await?
        .into_iter()
        .into_map();
        let properties: &[&str] = if is_hotspot {
            &["name", "comment", "profile", "disabled", "dynamic", "address", "mac-address"]
        } else {
            &["name", "comment", "profile", "disabled", "service", "remote-address", "caller-id"]
        };
        let found = read(client, users, properties, |row| {
            let mut found = foreign(row, is_hotspot)?;
            found.rate_limit = limits.get(&found.profile).cloned().unwrap_or_default();
            let session = online.get(&found.username);
            found.is_online = session.is_some();
            let is_any = !is_hotspot && text(row, "service").as_deref() == Some("any");
            // Whoever is online under it says which one its customer dials.
            if let Some(service) = session.filter(|service| is_any && !service.is_empty()) {
                found.service = ppp_service(service)?.code();
            }
            Some((found, is_any))
        });
        for (row, is_any) in found.await? {
            if is_any {
                any_service.insert(row.username.clone());
            }
            rows.push(row);
        }
    }
    let total = rows.len();
    rows.truncate(ROWS);
    let words =
        if total > ROWS { format!("the first {ROWS} of {total} rows") } else { counted(total, "row") };
    Ok(Done { rows, any_service, ..Done::succeeded(words) })
}

async fn read<T>(
    client: &Client,
    path: &str,
    properties: &[&str],
    convert: impl Fn(&Row) -> Option<T>,
) -> Result<Vec<T>, Error> {
    match read_rows(client, Command::new(format!("{path}/print")).proplist(properties), convert).await {
        Err(error) if unavailable(&error).is_some() => Ok(Vec::new()),
        other => other,
    }
}

/// The service of a secret or of a session, by the router's word.
fn ppp_service(word: &str) -> Option<Service> {
    match word {
        "pppoe" => Some(Service::Pppoe),
        "l2tp" => Some(Service::L2tp),
        "pptp" => Some(Service::Pptp),
        "ovpn" => Some(Service::Openvpn),
        _ => None,
    }
}

/// A row as a person may recognise it; `None` for one that cannot become a line, or is one.
fn foreign(row: &Row, is_hotspot: bool) -> Option<ForeignRowV1> {
    let value = |name: &str| text(row, name).unwrap_or_default();
    let username = text(row, "name").filter(|name| !name.is_empty() && name.len() <= NAME_BYTES)?;
    let comment = value("comment");
    let is_ours = comment.starts_with(MARK) || comment == PROFILE_MARK || comment == HOTSPOT_PROFILE_MARK;
    let is_routers_own = is_hotspot && (username == TRIAL_USER || truth(row, "dynamic"));
    if is_ours || is_routers_own {
        return None;
    }
    let service = match (is_hotspot, value("service").as_str()) {
        (true, _) => Service::Hotspot,
        (false, "any" | "") => Service::Pppoe,
        (false, named) => ppp_service(named)?,
    };
    let (address, caller_id) =
        if is_hotspot { ("address", "mac-address") } else { ("remote-address", "caller-id") };
    Some(ForeignRowV1 {
        service: service.code(),
        username,
        comment: shortened(&comment).to_owned(),
        profile: value("profile"),
        rate_limit: String::new(),
        is_disabled: truth(row, "disabled"),
        is_online: false,
        address: value(address),
        caller_id: value(caller_id),
    })
}

fn text(row: &Row, name: &str) -> Option<String> {
    String::from_utf8(row.get(name)?.to_vec()).ok()
}

fn truth(row: &Row, name: &str) -> bool {
    row.get(name).is_some_and(|value| parse_bool(&value).unwrap_or(false))
}
