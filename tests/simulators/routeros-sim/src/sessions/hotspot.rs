//! Hotspot sessions: hosts at the portal, what an ip-binding says of them, logins by MAC address, cookie and
//! password, limits of the user. A phone keeps its address while it stays; what it may fetch before its login (the
//! walled garden) is not simulated. PPP is [`super::ppp`].

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
use crate::values::{Value, parse_address, parse_ranges};
use std::net::Ipv4Addr;

const USER: &str = "ip/hotspot/user";
const PROFILE: &str = "ip/hotspot/user/profile";
const COOKIE: &str = "ip/hotspot/cookie";
const PORTAL: &str = "ip/hotspot/profile";
const HOST: &str = "ip/hotspot/host";
const TOPICS: &str = "hotspot,account,info,debug";

/// A phone on the portal's network, logged in or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    /// Its row in `/ip/hotspot/host`.
    pub(super) row: ItemId,
    address: Ipv4Addr,
    binding: Binding,
}

/// What `/ip/hotspot/ip-binding` says of a phone. It is looked up when the phone appears; a phone that is there
/// already is judged anew once its host row is removed (inferred).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Regular,
    Bypassed,
    Blocked,
}

/// How a phone gets in.
struct Entry {
    user: ItemId,
    name: Vec<u8>,
    login_by: &'static str,
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
        let key = self.next_key();
        match host.binding {
            Binding::Regular => {}
            Binding::Blocked => return Err(Refused::Blocked),
            Binding::Bypassed => {
                engine.bind(HOST, host.row, Some(key));
                let session =
                    session_of(dial, dial.username.clone(), host.address, None, Caps::default(), now);
                self.live.insert(key, session);
                return Ok(Admitted { key, address: host.address });
            }
        }
        let portal = Portal::of(engine, server);
        let entry = portal.entry(engine, dial)?;
        let profile = engine.referenced(USER, entry.user, "profile").ok_or(Refused::NoProfile)?;
        let shared = engine.text(PROFILE, profile, "shared-users").ok_or(Refused::NoProfile)?;
        let shared =
            std::str::from_utf8(&shared).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        if self.sessions_of(&entry.name, true) >= shared {
            return Err(Refused::TooMany);
        }
        let caps = caps_of(engine, entry.user, profile)?;
        // The user's address is what the portal translates the phone's own to.
        let given = engine.text(USER, entry.user, "address").and_then(|text| parse_address(&text));
        let address = given.unwrap_or(host.address);
        let mut session = session_of(dial, entry.name, address, Some(entry.user), caps, now);
        place_rows(engine, &mut session, server, profile, entry.login_by, key, now);
        engine.put(HOST, host.row, "to-address", Some(Value::text(address.to_string())));
        engine.put(HOST, host.row, "authorized", Some(Value::flag(true)));
        engine.bind(HOST, host.row, Some(key));
        if !matches!(entry.login_by, "cookie" | "mac-cookie" | "mac") {
            portal.leave_cookie(engine, profile, dial, now);
        }
        journal::write(engine, TOPICS, portal_line(&session, "logged in"), now);
        self.live.insert(key, session);
        Ok(Admitted { key, address })
    }

    /// The phone joins the portal's network and gets an address, if it is not there yet.
    fn arrive(
        &mut self,
        engine: &mut Engine,
        server: ItemId,
        mac: &str,
        now: Moment,
    ) -> Result<Host, Refused> {
        let known = self.hosts.get(mac).copied();
        if let Some(host) = known.filter(|host| engine.value(HOST, host.row, "address").is_some()) {
            return Ok(host);
        }
        let address = match known {
            // An admin removed the row: the portal sees the phone anew, which has its address for longer than that.
            Some(host) => host.address,
            None => {
                let taking = Taking { owner: "hotspot", info: mac.as_bytes() };
                let taken = self.addresses.take(engine, "ip/hotspot", server, "address-pool", taking);
                taken.ok_or(Refused::NoAddress)?
            }
        };
        let binding = binding_of(engine, server, mac, address);
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
            ("bypassed", Value::flag(binding == Binding::Bypassed)),
            ("blocked", Value::flag(binding == Binding::Blocked)),
        ];
        let row = engine.place(HOST, &values, None).ok_or(Refused::NoServer)?;
        let host = Host { row, address, binding };
        self.hosts.insert(mac.to_owned(), host);
        Ok(host)
    }

    /// The MAC address of the phone that has this address.
    #[must_use]
    pub(crate) fn host_at(&self, address: &[u8]) -> Option<String> {
        let address = crate::values::parse_address(address)?;
        self.hosts.iter().find(|(_, host)| host.address == address).map(|(mac, _)| mac.clone())
    }

    /// Ends every session, and forgets every phone, once no portal is open. Returns the devices that were in.
    pub(crate) fn leave_closed_portals(&mut self, engine: &mut Engine, now: Moment) -> Vec<String> {
        if serving(engine).is_some() && engine.device_mode_allows("hotspot") {
            return Vec::new();
        }
        let here = self.live.iter().filter(|(_, session)| session.service == Service::Hotspot);
        let keys: Vec<SessionKey> = here.map(|(key, _)| *key).collect();
        let devices =
            keys.into_iter().filter_map(|key| self.end(engine, key, Ending::Removed, now)).collect();
        let macs: Vec<String> = self.hosts.keys().cloned().collect();
        macs.iter().for_each(|mac| self.depart(engine, mac));
        devices
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
            engine.put(HOST, host.row, "to-address", Some(Value::text(host.address.to_string())));
            engine.bind(HOST, host.row, None);
        }
        // A bypassed phone never logged in, so nothing is counted or logged when it goes.
        let Some(user) = session.account else { return };
        if self.counting == HotspotCounting::AtLogout {
            count(engine, USER, user, session.upload, session.download, now);
        }
        let lasted_ms = now.monotonic_ms.saturating_sub(session.started_ms);
        engine.measure(USER, user, "uptime", |value| {
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

/// The first enabled binding that names the phone decides.
fn binding_of(engine: &Engine, server: ItemId, mac: &str, address: Ipv4Addr) -> Binding {
    let menu = "ip/hotspot/ip-binding";
    let own_server = engine.text("ip/hotspot", server, "name").unwrap_or_default();
    let names = |id: &ItemId| {
        let text = |property: &str| engine.text(menu, *id, property).unwrap_or_default();
        let (bound_mac, bound_address, of_server) = (text("mac-address"), text("address"), text("server"));
        let is_address = || {
            let ranges = std::str::from_utf8(&bound_address).ok().and_then(parse_ranges).unwrap_or_default();
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&address))
        };
        !engine.is_set(menu, *id, "disabled")
            && (of_server.is_empty() || of_server == b"all" || of_server == own_server)
            && (!bound_mac.is_empty() || !bound_address.is_empty())
            && (bound_mac.is_empty() || bound_mac == mac.as_bytes())
            && (bound_address.is_empty() || is_address())
    };
    let mut bindings = engine.table(menu).into_iter().flat_map(|table| table.iter().map(|(id, _)| id));
    match bindings.find(names).and_then(|id| engine.text(menu, id, "type")).as_deref() {
        Some(b"bypassed") => Binding::Bypassed,
        Some(b"blocked") => Binding::Blocked,
        _ => Binding::Regular,
    }
}

fn session_of(
    dial: &Dial,
    user: Vec<u8>,
    address: Ipv4Addr,
    account: Option<ItemId>,
    caps: Caps,
    now: Moment,
) -> Session {
    Session {
        device: dial.device.clone(),
        service: Service::Hotspot,
        user,
        mac: dial.mac.clone(),
        caller: dial.mac.clone(),
        address,
        account,
        interface: None,
        held: None,
        started_ms: now.monotonic_ms,
        last_traffic_ms: now.monotonic_ms,
        upload: Carried::default(),
        download: Carried::default(),
        caps,
        rows: Vec::new(),
    }
}

/// A server and what its profile lets a phone log in by.
struct Portal {
    server: Vec<u8>,
    profile: Option<ItemId>,
    methods: Vec<u8>,
}

impl Portal {
    fn of(engine: &Engine, server: ItemId) -> Self {
        let profile = engine.referenced("ip/hotspot", server, "profile");
        let methods = profile.and_then(|profile| engine.text(PORTAL, profile, "login-by"));
        Self {
            server: engine.text("ip/hotspot", server, "name").unwrap_or_default(),
            profile,
            methods: methods.unwrap_or_default(),
        }
    }

    fn has(&self, method: &str) -> bool {
        self.methods.split(|byte| *byte == b',').any(|word| word == method.as_bytes())
    }

    /// By MAC address, by cookie, or by password, in this order.
    fn entry(&self, engine: &Engine, dial: &Dial) -> Result<Entry, Refused> {
        if self.has("mac")
            && let Some(user) = engine.find(USER, dial.mac.as_bytes())
        {
            let name = dial.mac.clone().into_bytes();
            let user = self.usable(engine, user, dial)?;
            if engine.text(USER, user, "password").unwrap_or_default() != self.mac_password(engine, &name) {
                return Err(Refused::WrongPassword);
            }
            return Ok(Entry { user, name, login_by: "mac" });
        }
        let known = engine.find(USER, &dial.username).ok_or(Refused::UnknownUser);
        let name = dial.username.clone();
        if let Some(cookie) = cookie_of(engine, &dial.username, &dial.mac) {
            let is_mac_cookie = engine.is_set(COOKIE, cookie, "mac-cookie");
            let login_by = if is_mac_cookie { "mac-cookie" } else { "cookie" };
            return Ok(Entry { user: self.usable(engine, known?, dial)?, name, login_by });
        }
        let Some(password) = &dial.password else { return Err(Refused::PasswordWanted) };
        let user = self.usable(engine, known?, dial)?;
        if engine.text(USER, user, "password").unwrap_or_default() != *password {
            return Err(Refused::WrongPassword);
        }
        let methods = ["http-chap", "https", "http-pap"];
        let login_by = methods.into_iter().find(|method| self.has(method)).unwrap_or("http-chap");
        Ok(Entry { user, name, login_by })
    }

    /// What a phone that is known by its MAC address gives as its password.
    fn mac_password(&self, engine: &Engine, mac: &[u8]) -> Vec<u8> {
        let text = |property: &str| {
            self.profile.and_then(|profile| engine.text(PORTAL, profile, property)).unwrap_or_default()
        };
        if text("mac-auth-mode") == b"mac-as-username-and-password" {
            mac.to_vec()
        } else {
            text("mac-auth-password")
        }
    }

    fn usable(&self, engine: &Engine, user: ItemId, dial: &Dial) -> Result<ItemId, Refused> {
        if engine.is_set(USER, user, "disabled") {
            return Err(Refused::Disabled);
        }
        let of_server = engine.text(USER, user, "server").unwrap_or_default();
        if !of_server.is_empty() && of_server != b"all" && of_server != self.server {
            return Err(Refused::UnknownUser);
        }
        let bound_to = engine.text(USER, user, "mac-address").unwrap_or_default();
        let is_bound = !bound_to.is_empty() && bound_to != b"00:00:00:00:00:00";
        if is_bound && bound_to != dial.mac.as_bytes() {
            return Err(Refused::OtherCaller);
        }
        Ok(user)
    }

    /// A login by password leaves a cookie when the portal's profile uses them: a MAC cookie if both profiles say
    /// so, which lasts as the user's profile says, or else a plain one.
    fn leave_cookie(&self, engine: &mut Engine, profile: ItemId, dial: &Dial, now: Moment) {
        let is_mac_cookie = self.has("mac-cookie") && engine.is_set(PROFILE, profile, "add-mac-cookie");
        let lasts_ms = match self.profile {
            _ if is_mac_cookie => limit_ms(engine, PROFILE, profile, "mac-cookie-timeout"),
            Some(portal) if self.has("cookie") => limit_ms(engine, PORTAL, portal, "http-cookie-lifetime"),
            _ => None,
        };
        let Some(lasts_ms) = lasts_ms else { return };
        engine.place(
            COOKIE,
            &[
                ("user", Value::text(&dial.username)),
                ("mac-address", Value::text(&dial.mac)),
                ("expires-in", Value::Until(now.monotonic_ms.saturating_add(lasts_ms))),
                ("mac-cookie", Value::flag(is_mac_cookie)),
            ],
            None,
        );
    }
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

fn portal_line(session: &Session, what: &str) -> Vec<u8> {
    let mut line = b"->: ".to_vec();
    line.extend_from_slice(&session.user);
    line.extend_from_slice(format!(" ({}): {what}", session.address).as_bytes());
    line
}
