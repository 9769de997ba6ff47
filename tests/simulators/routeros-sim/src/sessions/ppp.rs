//! PPP sessions: PPPoE, L2TP, PPTP and OVPN differ in names, in how the caller is known and in which server
//! must be enabled. The hotspot is [`super::hotspot`]; which addresses are free is [`super::addresses`].

use super::{
    Admitted, Caps, Carried, Dial, Ending, Refused, Service, Session, SessionKey, Sessions, limit_bytes,
    limit_ms, place_address_entry, place_queue,
};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::journal;
use crate::sessions::addresses::Taking;
use crate::sessions::bindings::{Binding, free_binding};
use crate::store::ItemId;
use crate::values::Value;

/// Session ids of the first boot start here; each boot adds a step, as observed ids suggest.
const FIRST_SESSION_ID: u32 = 0x8100_0000;
const SESSION_IDS_PER_BOOT: u32 = 0x0010_0000;

/// The menu that lists a service's sessions.
fn session_menu(service: Service) -> &'static str {
    match service {
        Service::L2tp => "interface/l2tp-server",
        Service::Pptp => "interface/pptp-server",
        Service::Ovpn => "interface/ovpn-server",
        Service::Pppoe | Service::Hotspot | Service::Ipoe => "interface/pppoe-server",
    }
}

/// The menu that holds a service's server or servers.
fn server_menu(service: Service) -> &'static str {
    match service {
        Service::L2tp => "interface/l2tp-server/server",
        Service::Pptp => "interface/pptp-server/server",
        Service::Ovpn => "interface/ovpn-server/server",
        Service::Pppoe | Service::Hotspot | Service::Ipoe => "interface/pppoe-server/server",
    }
}

/// What a session's interface can carry in one packet; the defaults of each server.
fn mtu(service: Service) -> &'static str {
    match service {
        Service::Pppoe | Service::Hotspot | Service::Ipoe => "1480",
        Service::L2tp | Service::Pptp => "1450",
        Service::Ovpn => "1500",
    }
}

impl Sessions {
    pub(super) fn connect(
        &mut self,
        engine: &mut Engine,
        dial: &Dial,
        now: Moment,
    ) -> Result<Admitted, Refused> {
        let server = self.serving(engine, dial)?;
        let (secret, profile) = self.authenticate(engine, dial)?;
        let taking = Taking { owner: dial.service.word(), info: &dial.username };
        let address = self
            .addresses
            .take(engine, "ppp/secret", secret, "remote-address", taking)
            .or_else(|| self.addresses.take(engine, "ppp/profile", profile, "remote-address", taking))
            .ok_or(Refused::NoAddress)?;
        let key = self.next_key();
        self.since_boot = self.since_boot.saturating_add(1);
        let session_id = FIRST_SESSION_ID
            .saturating_add(self.boots.saturating_mul(SESSION_IDS_PER_BOOT))
            .saturating_add(self.since_boot);
        let mut session = Session {
            device: dial.device.clone(),
            service: dial.service,
            user: dial.username.clone(),
            mac: dial.mac.clone(),
            caller: dial.caller(),
            address,
            account: Some(secret),
            interface: None,
            held: None,
            started_ms: now.monotonic_ms,
            last_traffic_ms: now.monotonic_ms,
            upload: Carried::default(),
            download: Carried::default(),
            caps: Caps {
                upload_bytes: limit_bytes(engine, "ppp/secret", secret, "limit-bytes-in"),
                download_bytes: limit_bytes(engine, "ppp/secret", secret, "limit-bytes-out"),
                total_bytes: None,
                lasts_ms: limit_ms(engine, "ppp/profile", profile, "session-timeout"),
                idle_ms: limit_ms(engine, "ppp/profile", profile, "idle-timeout"),
            },
            rows: Vec::new(),
        };
        place_rows(engine, &self.bindings, &mut session, (key, session_id), profile, server, now);
        log_connected(engine, &session, now);
        self.live.insert(key, session);
        Ok(Admitted { key, address })
    }

    /// The server that answers, if there is one and it has room.
    fn serving(&self, engine: &Engine, dial: &Dial) -> Result<ItemId, Refused> {
        let menu = server_menu(dial.service);
        let table = engine.table(menu).ok_or(Refused::NoServer)?;
        // A menu with one server has `enabled`, a list of servers has `disabled`.
        let serves = |id: &ItemId| match engine.text(menu, *id, "enabled") {
            Some(enabled) => enabled == b"true",
            None => !engine.is_set(menu, *id, "disabled"),
        };
        let server = table.iter().map(|(id, _)| id).find(serves).ok_or(Refused::NoServer)?;
        let of_service = || self.live.values().filter(|session| session.service == dial.service);
        let most = limit_bytes(engine, menu, server, "max-sessions");
        let is_full = |most: u64| u64::try_from(of_service().count()).is_ok_and(|live| live >= most);
        if most.is_some_and(is_full) {
            return Err(Refused::ServerFull);
        }
        let caller = dial.caller();
        if engine.is_set(menu, server, "one-session-per-host")
            && of_service().any(|session| session.caller == caller)
        {
            return Err(Refused::HostTwice);
        }
        Ok(server)
    }

    fn authenticate(&self, engine: &Engine, dial: &Dial) -> Result<(ItemId, ItemId), Refused> {
        let menu = "ppp/secret";
        let secret = engine.find(menu, &dial.username).ok_or(Refused::UnknownUser)?;
        let text = |property: &str| engine.text(menu, secret, property).unwrap_or_default();
        if engine.is_set(menu, secret, "disabled") {
            return Err(Refused::Disabled);
        }
        let service = text("service");
        if service != b"any" && service != dial.service.word().as_bytes() {
            return Err(Refused::OtherService);
        }
        if dial.password.as_deref().unwrap_or_default() != text("password") {
            return Err(Refused::WrongPassword);
        }
        let caller = text("caller-id");
        if !caller.is_empty() && caller != dial.caller().as_bytes() {
            return Err(Refused::OtherCaller);
        }
        let profile = engine.referenced(menu, secret, "profile").ok_or(Refused::NoProfile)?;
        let only_one = engine.text("ppp/profile", profile, "only-one").ok_or(Refused::NoProfile)?;
        let is_only_one = match only_one.as_slice() {
            b"default" => {
                let default = engine.find("ppp/profile", b"default");
                default
                    .and_then(|id| engine.text("ppp/profile", id, "only-one"))
                    .is_some_and(|text| text == b"yes")
            }
            text => text == b"yes",
        };
        if is_only_one && self.sessions_of(&dial.username, false) > 0 {
            return Err(Refused::TooMany);
        }
        Ok((secret, profile))
    }
}

fn place_rows(
    engine: &mut Engine,
    bindings: &[Binding],
    session: &mut Session,
    (key, session_id): (SessionKey, u32),
    profile: ItemId,
    server: ItemId,
    now: Moment,
) {
    let menu = session_menu(session.service);
    let held = free_binding(engine, bindings, menu, &session.user);
    let name = match &held {
        Some((_, name)) => name.clone(),
        None => free_interface_name(engine, session),
    };
    session.interface = Some(name.clone());
    let limit = |cap: Option<u64>| Value::Count(cap.unwrap_or(0));
    let service = session.service.word();
    let since = Value::Since(now.monotonic_ms);
    let shown = server_row(engine, session, &name, server, now);
    match held {
        Some((held, _)) => {
            held.bring_up(engine, shown, now);
            session.held = Some(held);
        }
        None => {
            let values = interface_row(service, &name, mtu(session.service), now);
            let interface = engine.place("interface", &values, Some(key));
            session.rows.extend(interface.map(|id| ("interface", id)));
            let row = engine.place(menu, &shown, Some(key));
            session.rows.extend(row.map(|id| (menu, id)));
        }
    }
    let active = engine.place(
        "ppp/active",
        &[
            ("name", Value::text(&session.user)),
            ("service", Value::text(service)),
            ("caller-id", Value::text(&session.caller)),
            ("address", Value::text(session.address.to_string())),
            ("uptime", since),
            ("encoding", Value::text("")),
            ("session-id", Value::text(format!("0x{session_id:08x}"))),
            ("limit-bytes-in", limit(session.caps.upload_bytes)),
            ("limit-bytes-out", limit(session.caps.download_bytes)),
            ("radius", Value::flag(false)),
        ],
        Some(key),
    );
    session.rows.extend(active.map(|id| ("ppp/active", id)));
    session.rows.extend(place_queue(engine, "ppp/profile", profile, &name, &name, key));
    let list = engine.text("ppp/profile", profile, "address-list");
    session.rows.extend(place_address_entry(engine, list, session.address, key, now));
}

fn interface_row(service: &str, name: &[u8], mtu: &str, now: Moment) -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("name", Value::text(name)),
        ("type", Value::text(format!("{service}-in"))),
        ("mtu", Value::text(mtu)),
        ("actual-mtu", Value::text(mtu)),
        ("last-link-up-time", Value::Date(now.unix_ms)),
        ("dynamic", Value::flag(true)),
        ("running", Value::flag(true)),
        ("disabled", Value::flag(false)),
    ];
    let counters = [
        "link-downs",
        "rx-byte",
        "tx-byte",
        "rx-packet",
        "tx-packet",
        "rx-drop",
        "tx-drop",
        "tx-queue-drop",
        "rx-error",
        "tx-error",
    ];
    values.extend(counters.map(|counter| (counter, Value::Count(0))));
    values
}

/// The row of the service's own menu; what the menu does not have is left out when it is placed.
fn server_row(
    engine: &Engine,
    session: &Session,
    name: &[u8],
    server: ItemId,
    now: Moment,
) -> Vec<(&'static str, Value)> {
    let of_server = |property: &str| {
        Value::text(engine.text(server_menu(session.service), server, property).unwrap_or_default())
    };
    vec![
        ("name", Value::text(name)),
        ("user", Value::text(&session.user)),
        ("service", of_server("service-name")),
        ("remote-address", Value::text(&session.caller)),
        ("client-address", Value::text(&session.caller)),
        ("interface", of_server("interface")),
        ("mtu", Value::text(mtu(session.service))),
        ("mru", Value::text(mtu(session.service))),
        ("uptime", Value::Since(now.monotonic_ms)),
        ("encoding", Value::text("")),
        ("dynamic", Value::flag(true)),
        ("running", Value::flag(true)),
        ("disabled", Value::flag(false)),
    ]
}

/// `<pppoe-plot1>`, and `<pppoe-plot1-1>` for a second session at the same time.
fn free_interface_name(engine: &Engine, session: &Session) -> Vec<u8> {
    let named = |suffix: &str| {
        let mut name = format!("<{}-", session.service.word()).into_bytes();
        name.extend_from_slice(&session.user);
        name.extend_from_slice(suffix.as_bytes());
        name.push(b'>');
        name
    };
    let mut name = named("");
    let mut number: u32 = 0;
    while engine.find("interface", &name).is_some() {
        number = number.saturating_add(1);
        name = named(&format!("-{number}"));
    }
    name
}

fn topics(session: &Session, rest: &str) -> String {
    format!("{},ppp,{rest}", session.service.word())
}

/// The account line has the form that field reports quote: `NAME logged in, ADDRESS`.
fn log_connected(engine: &mut Engine, session: &Session, now: Moment) {
    let mut line = session.user.clone();
    line.extend_from_slice(format!(" logged in, {}", session.address).as_bytes());
    journal::write(engine, &topics(session, "info,account"), line, now);
    journal::write(engine, &topics(session, "info"), interface_line(session, "connected"), now);
}

/// Writes the secret's last fields and the account line: seconds, bytes in and out, packets in and out,
/// where in is what the client uploaded.
pub(super) fn disconnected(engine: &mut Engine, session: &Session, ending: Ending, now: Moment) {
    let reason = match ending {
        Ending::HungUp => "peer-request",
        Ending::Idle => "idle-timeout",
        Ending::Timeout => "session-timeout",
        Ending::Removed | Ending::TrafficLimit => "nas-request",
    };
    if let Some(secret) = session.account {
        engine.put("ppp/secret", secret, "last-logged-out", Some(Value::Date(now.unix_ms)));
        engine.put("ppp/secret", secret, "last-caller-id", Some(Value::text(&session.caller)));
        engine.put("ppp/secret", secret, "last-disconnect-reason", Some(Value::text(reason)));
    }
    let seconds = now.monotonic_ms.saturating_sub(session.started_ms) / 1_000;
    let (upload, download) = (session.upload, session.download);
    let mut line = session.user.clone();
    line.extend_from_slice(
        format!(
            " logged out, {seconds} {} {} {} {}",
            upload.bytes, download.bytes, upload.packets, download.packets
        )
        .as_bytes(),
    );
    if engine.release().names_the_caller_at_log_out() {
        line.extend_from_slice(format!(" from {}", session.caller).as_bytes());
    }
    journal::write(engine, &topics(session, "info,account"), line, now);
    journal::write(engine, &topics(session, "info"), interface_line(session, "disconnected"), now);
}

fn interface_line(session: &Session, what: &str) -> Vec<u8> {
    let mut line = format!("<{}-", session.service.word()).into_bytes();
    line.extend_from_slice(&session.user);
    line.extend_from_slice(format!(">: {what}").as_bytes());
    line
}
