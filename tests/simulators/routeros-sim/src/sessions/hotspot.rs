//! Hotspot sessions: hosts at the portal, logins by password and by cookie, limits of the user.

use super::{
    Admitted, Caps, Carried, Dial, Ending, HotspotCounting, Refused, Service, Session, Sessions, count,
    limit_bytes, limit_ms, place_address_entry, place_queue,
};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::journal;
use crate::printing::duration_text;
use crate::sessions::SessionKey;
use crate::sessions::addresses::Taking;
use crate::store::ItemId;
use crate::values::Value;
use std::net::Ipv4Addr;

const USER: &str = "ip/hotspot/user";
const PROFILE: &str = "ip/hotspot/user/profile";
const COOKIE: &str = "ip/hotspot/cookie";
const HOST: &str = "ip/hotspot/host";
const TOPICS: &str = "hotspot,account,info,debug";

/// A phone on the portal's network, logged in or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    /// Its row in `/ip/hotspot/host`.
    pub(super) row: ItemId,
    address: Ipv4Addr,
}

impl Sessions {
    pub(super) fn log_in(
        &mut self,
        engine: &mut Engine,
        dial: &Dial,
        now: Moment,
    ) -> Result<Admitted, Refused> {
        let server = serving(engine).ok_or(Refused::NoServer)?;
        let host = self.arrive(engine, server, &dial.mac, now)?;
        let cookie = cookie_of(engine, &dial.username, &dial.mac);
        let (user, login_by) = match (cookie, &dial.password) {
            (Some(_), _) => (usable_user(engine, dial)?, "cookie"),
            (None, None) => return Err(Refused::PasswordWanted),
            (None, Some(password)) => {
                let user = usable_user(engine, dial)?;
                if engine.text(USER, user, "password").unwrap_or_default() != *password {
                    return Err(Refused::WrongPassword);
                }
                (user, "http-chap")
            }
        };
        let profile = engine.referenced(USER, user, "profile").ok_or(Refused::NoProfile)?;
        let shared = engine.text(PROFILE, profile, "shared-users").ok_or(Refused::NoProfile)?;
        let shared =
            std::str::from_utf8(&shared).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        if self.sessions_of(&dial.username, true) >= shared {
            return Err(Refused::TooMany);
        }
        let caps = caps_of(engine, user, profile)?;
        let key = self.next_key();
        let mut session = Session {
            device: dial.device.clone(),
            service: Service::Hotspot,
            user: dial.username.clone(),
            mac: dial.mac.clone(),
            caller: dial.mac.clone(),
            address: host.address,
            account: user,
            started_ms: now.monotonic_ms,
            last_traffic_ms: now.monotonic_ms,
            upload: Carried::default(),
            download: Carried::default(),
            caps,
            rows: Vec::new(),
        };
        place_rows(engine, &mut session, server, profile, login_by, key, now);
        engine.put(HOST, host.row, "authorized", Some(Value::flag(true)));
        engine.bind(HOST, host.row, Some(key));
        if cookie.is_none() {
            leave_cookie(engine, server, profile, dial, now);
        }
        journal::write(engine, TOPICS, portal_line(&session, "logged in"), now);
        self.live.insert(key, session);
        Ok(Admitted { key, address: host.address })
    }

    /// The phone joins the portal's network and gets an address, if it is not there yet.
    fn arrive(
        &mut self,
        engine: &mut Engine,
        server: ItemId,
        mac: &str,
        now: Moment,
    ) -> Result<Host, Refused> {
        if let Some(host) = self.hosts.get(mac).copied() {
            if engine.value(HOST, host.row, "address").is_some() {
                return Ok(host);
            }
            // An admin removed the row: the phone joins anew.
            self.depart(engine, mac);
        }
        let taking = Taking { owner: "hotspot", info: mac.as_bytes() };
        let address = self
            .addresses
            .take(engine, "ip/hotspot", server, "address-pool", taking)
            .ok_or(Refused::NoAddress)?;
        let values = [
            ("mac-address", Value::text(mac)),
            ("address", Value::text(address.to_string())),
            ("to-address", Value::text(address.to_string())),
            ("server", Value::text(engine.text("ip/hotspot", server, "name").unwrap_or_default())),
            ("uptime", Value::Since(now.monotonic_ms)),
            ("idle-time", Value::Since(now.monotonic_ms)),
            ("bytes-in", Value::Count(0)),
            ("bytes-out", Value::Count(0)),
            ("packets-in", Value::Count(0)),
            ("packets-out", Value::Count(0)),
            ("found-by", Value::text("dhcp")),
            ("dynamic", Value::flag(false)),
            ("DHCP", Value::flag(true)),
            ("authorized", Value::flag(false)),
            ("bypassed", Value::flag(false)),
        ];
        let row = engine.place(HOST, &values, None).ok_or(Refused::NoServer)?;
        let host = Host { row, address };
        self.hosts.insert(mac.to_owned(), host);
        Ok(host)
    }

    /// The MAC address of the phone that has this address.
    #[must_use]
    pub(crate) fn host_at(&self, address: &[u8]) -> Option<String> {
        let address = crate::values::parse_address(address)?;
        self.hosts.iter().find(|(_, host)| host.address == address).map(|(mac, _)| mac.clone())
    }

    /// The phone leaves the portal's network.
    pub(crate) fn depart(&mut self, engine: &mut Engine, mac: &str) {
        if let Some(host) = self.hosts.remove(mac) {
            engine.displace(HOST, host.row);
            self.addresses.release(engine, host.address);
        }
    }

    pub(super) fn logged_out(&self, engine: &mut Engine, session: &Session, ending: Ending, now: Moment) {
        if let Some(host) = self.hosts.get(&session.mac) {
            engine.put(HOST, host.row, "authorized", Some(Value::flag(false)));
            engine.bind(HOST, host.row, None);
        }
        if self.counting == HotspotCounting::AtLogout {
            count(engine, USER, session.account, session.upload, session.download, now);
        }
        let lasted_ms = now.monotonic_ms.saturating_sub(session.started_ms);
        engine.measure(USER, session.account, "uptime", |value| {
            if let Value::Span(span_ms) = value {
                *span_ms = span_ms.saturating_add(lasted_ms);
            }
        });
        let reason = match ending {
            Ending::Removed => "logged out: admin reset",
            Ending::HungUp => "logged out: user request",
            Ending::Idle => "logged out: idle timeout",
            Ending::Timeout => "logged out: session timeout",
            Ending::TrafficLimit => "logged out: traffic limit reached",
        };
        journal::write(engine, TOPICS, portal_line(session, reason), now);
    }
}

/// The portal that answers: the first enabled one.
fn serving(engine: &Engine) -> Option<ItemId> {
    let mut servers = engine.table("ip/hotspot")?.iter().map(|(id, _)| id);
    servers.find(|id| !engine.is_set("ip/hotspot", *id, "disabled"))
}

fn usable_user(engine: &Engine, dial: &Dial) -> Result<ItemId, Refused> {
    let user = engine.find(USER, &dial.username).ok_or(Refused::UnknownUser)?;
    if engine.is_set(USER, user, "disabled") {
        return Err(Refused::Disabled);
    }
    let bound_to = engine.text(USER, user, "mac-address").unwrap_or_default();
    if !bound_to.is_empty() && bound_to != dial.mac.as_bytes() {
        return Err(Refused::OtherCaller);
    }
    Ok(user)
}

fn cookie_of(engine: &Engine, username: &[u8], mac: &str) -> Option<ItemId> {
    let mut cookies = engine.table(COOKIE)?.all_named(username);
    cookies.find(|id| engine.text(COOKIE, *id, "mac-address").is_some_and(|text| text == mac.as_bytes()))
}

/// What is left of the user's limits; nothing left is a refusal.
fn caps_of(engine: &Engine, user: ItemId, profile: ItemId) -> Result<Caps, Refused> {
    let counted = |property: &str| match engine.value(USER, user, property) {
        Some(Value::Count(count) | Value::Span(count)) => *count,
        _ => 0,
    };
    let left = |limit: Option<u64>, used: u64| match limit {
        Some(limit) if used >= limit => Err(Refused::LimitReached),
        Some(limit) => Ok(Some(limit - used)),
        None => Ok(None),
    };
    let (upload, download) = (counted("bytes-in"), counted("bytes-out"));
    let uptime_ms = left(limit_ms(engine, USER, user, "limit-uptime"), counted("uptime"))?;
    let session_ms = limit_ms(engine, PROFILE, profile, "session-timeout");
    Ok(Caps {
        upload_bytes: left(limit_bytes(engine, USER, user, "limit-bytes-in"), upload)?,
        download_bytes: left(limit_bytes(engine, USER, user, "limit-bytes-out"), download)?,
        total_bytes: left(
            limit_bytes(engine, USER, user, "limit-bytes-total"),
            upload.saturating_add(download),
        )?,
        lasts_ms: [uptime_ms, session_ms].into_iter().flatten().min(),
        idle_ms: limit_ms(engine, PROFILE, profile, "idle-timeout"),
    })
}

fn place_rows(
    engine: &mut Engine,
    session: &mut Session,
    server: ItemId,
    profile: ItemId,
    login_by: &str,
    key: SessionKey,
    now: Moment,
) {
    let mut values = vec![
        ("server", Value::text(engine.text("ip/hotspot", server, "name").unwrap_or_default())),
        ("user", Value::text(&session.user)),
        ("address", Value::text(session.address.to_string())),
        ("mac-address", Value::text(&session.mac)),
        ("login-by", Value::text(login_by)),
        ("uptime", Value::Since(now.monotonic_ms)),
        ("idle-time", Value::Since(now.monotonic_ms)),
        ("bytes-in", Value::Count(0)),
        ("bytes-out", Value::Count(0)),
        ("packets-in", Value::Count(0)),
        ("packets-out", Value::Count(0)),
        ("radius", Value::flag(false)),
    ];
    let caps = session.caps;
    values.extend(
        caps.lasts_ms.map(|ms| ("session-time-left", Value::Until(now.monotonic_ms.saturating_add(ms)))),
    );
    values.extend(caps.idle_ms.map(|ms| ("idle-timeout", Value::text(duration_text(ms)))));
    values.extend(
        engine
            .text(PROFILE, profile, "keepalive-timeout")
            .map(|text| ("keepalive-timeout", Value::Text(text))),
    );
    values.extend(caps.upload_bytes.map(|bytes| ("limit-bytes-in", Value::Count(bytes))));
    values.extend(caps.download_bytes.map(|bytes| ("limit-bytes-out", Value::Count(bytes))));
    values.extend(caps.total_bytes.map(|bytes| ("limit-bytes-total", Value::Count(bytes))));
    session
        .rows
        .extend(engine.place("ip/hotspot/active", &values, Some(key)).map(|id| ("ip/hotspot/active", id)));
    let mut queue_name = b"<hotspot-".to_vec();
    queue_name.extend_from_slice(&session.user);
    queue_name.push(b'>');
    let target = format!("{}/32", session.address).into_bytes();
    session.rows.extend(place_queue(engine, PROFILE, profile, &queue_name, &target, key));
    let list = engine.text(PROFILE, profile, "address-list");
    session.rows.extend(place_address_entry(engine, list, session.address, key, now));
}

/// A login by password leaves a cookie when the portal's profile uses them.
fn leave_cookie(engine: &mut Engine, server: ItemId, profile: ItemId, dial: &Dial, now: Moment) {
    let Some(portal) = engine.referenced("ip/hotspot", server, "profile") else { return };
    let methods = engine.text("ip/hotspot/profile", portal, "login-by").unwrap_or_default();
    if !methods.split(|byte| *byte == b',').any(|method| method == b"cookie") {
        return;
    }
    let Some(lasts_ms) = limit_ms(engine, "ip/hotspot/profile", portal, "http-cookie-lifetime") else {
        return;
    };
    engine.place(
        COOKIE,
        &[
            ("user", Value::text(&dial.username)),
            ("mac-address", Value::text(&dial.mac)),
            ("expires-in", Value::Until(now.monotonic_ms.saturating_add(lasts_ms))),
            ("mac-cookie", Value::flag(engine.is_set(PROFILE, profile, "add-mac-cookie"))),
        ],
        None,
    );
}

fn portal_line(session: &Session, what: &str) -> Vec<u8> {
    let mut line = b"->: ".to_vec();
    line.extend_from_slice(&session.user);
    line.extend_from_slice(format!(" ({}): {what}", session.address).as_bytes());
    line
}
