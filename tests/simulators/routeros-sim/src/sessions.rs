//! Subscribers who are in: what admits them, the rows that show them, and how they leave.
//!
//! Pure over [`Engine`]: a dial either admits or says why not, and time comes in as an argument. Who
//! dials, and how often, is [`crate::devices`]. A session is judged by the configuration of the moment
//! in which it begins; later changes of the secret or the profile do not touch it, as on a real router.

pub(crate) mod addresses;
mod bindings;
mod hotspot;
mod ipoe;
mod ppp;
mod queues;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::sessions::addresses::AddressBook;
use crate::store::ItemId;
use crate::values::Value;

/// The number of a session, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionKey(u64);

/// What a device dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// PPP over Ethernet.
    Pppoe,
    /// L2TP; the router's `/interface/l2tp-server/server` must be enabled.
    L2tp,
    /// PPTP; the router's `/interface/pptp-server/server` must be enabled.
    Pptp,
    /// OpenVPN; a server of `/interface/ovpn-server/server` must be enabled.
    Ovpn,
    /// The captive portal.
    Hotspot,
    /// No login at all: a fixed address behind the router.
    Ipoe,
}

impl Service {
    const ALL: [Self; 6] = [Self::Pppoe, Self::L2tp, Self::Pptp, Self::Ovpn, Self::Hotspot, Self::Ipoe];

    /// The word for it in RouterOS and on the control port.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pppoe => "pppoe",
            Self::L2tp => "l2tp",
            Self::Pptp => "pptp",
            Self::Ovpn => "ovpn",
            Self::Hotspot => "hotspot",
            Self::Ipoe => "ipoe",
        }
    }

    /// The package that serves it, where it is one of its own.
    fn package(self) -> &'static str {
        match self {
            Self::Hotspot => "hotspot",
            Self::Pppoe | Self::L2tp | Self::Pptp | Self::Ovpn => "ppp",
            Self::Ipoe => "system",
        }
    }

    /// Whether it comes over the Internet, so that the router knows its caller by address and not by MAC.
    pub(crate) fn is_tunnel(self) -> bool {
        matches!(self, Self::L2tp | Self::Pptp | Self::Ovpn)
    }
}

impl FromStr for Service {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|service| service.word() == word).ok_or(())
    }
}

/// One attempt to get in.
#[derive(Clone)]
pub(crate) struct Dial {
    /// The device that dials.
    pub device: String,
    /// What it dials.
    pub service: Service,
    /// Its name for the router.
    pub username: Vec<u8>,
    /// Its password; `None` for a phone that knows none and hopes for its cookie.
    pub password: Option<Vec<u8>>,
    /// Its MAC address in capitals.
    pub mac: String,
    /// Its fixed address, if it has one.
    pub address: Option<Ipv4Addr>,
    /// The address that it calls from, by which a tunnel's caller is known.
    pub calls_from: Ipv4Addr,
}

impl Dial {
    /// What the router shows as `caller-id`, and what a secret's `caller-id` is compared with.
    pub(crate) fn caller(&self) -> String {
        if self.service.is_tunnel() { self.calls_from.to_string() } else { self.mac.clone() }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dial")
            .field("device", &self.device)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Why the router does not let a device in. More exact than a real one is, for whoever reads the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The package of this service is missing or disabled.
    #[error("the package of this service is missing or disabled; POST /packages changes it")]
    NoPackage,
    /// No server of this service is enabled.
    #[error("no enabled server for this service")]
    NoServer,
    /// The server's `max-sessions` is reached.
    #[error("the server's max-sessions is reached")]
    ServerFull,
    /// No secret or user has this name.
    #[error("authentication failed: no such user")]
    UnknownUser,
    /// The secret or user is disabled.
    #[error("authentication failed: user is disabled")]
    Disabled,
    /// The password differs.
    #[error("authentication failed: wrong password")]
    WrongPassword,
    /// The secret is for another service.
    #[error("authentication failed: secret is for another service")]
    OtherService,
    /// The secret's `caller-id` or the user's `mac-address` is another.
    #[error("authentication failed: bound to another caller")]
    OtherCaller,
    /// The profile was removed and only its id is left.
    #[error("profile no longer exists")]
    NoProfile,
    /// Neither secret nor profile gives the client an address, or the pool is used up.
    #[error(
        "could not acquire a remote address: give the secret or its profile a remote-address, or widen the pool"
    )]
    NoAddress,
    /// The server's `one-session-per-host` allows this caller no further session.
    #[error("the server allows one session per host")]
    HostTwice,
    /// `only-one` or `shared-users` allows no further session.
    #[error("no more sessions are allowed for user")]
    TooMany,
    /// A limit of the hotspot user is used up.
    #[error("user has reached its uptime or traffic limit")]
    LimitReached,
    /// An ip-binding or a lease keeps this device out.
    #[error("this device is blocked")]
    Blocked,
    /// The licence allows no more sessions of this kind.
    #[error("the licence allows no further session; POST /license raises its level")]
    Licence,
    /// Device-mode does not allow the service.
    #[error("not allowed by device-mode")]
    DeviceMode,
    /// The portal has no cookie for this phone, and the phone offers no password.
    #[error("the portal asks for a password")]
    PasswordWanted,
    /// The router is rebooting.
    #[error("router is down")]
    RouterDown,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An admin or an API client removed the row.
    Removed,
    /// The device hung up.
    HungUp,
    /// Nothing was carried for too long.
    Idle,
    /// The session lasted as long as it may.
    Timeout,
    /// It carried as much as it may.
    TrafficLimit,
}

/// Bytes and packets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    bytes: u64,
    packets: u64,
}

/// What one packet of simulated traffic holds.
const PACKET_BYTES: u64 = 1_400;

impl Carried {
    fn of(bytes: u64) -> Self {
        Self { bytes, packets: bytes.div_ceil(PACKET_BYTES) }
    }

    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// What ends a session by itself.
#[derive(Clone, Copy, Debug, Default)]
struct Caps {
    upload_bytes: Option<u64>,
    download_bytes: Option<u64>,
    total_bytes: Option<u64>,
    lasts_ms: Option<u64>,
    idle_ms: Option<u64>,
}

/// A subscriber who is in.
#[derive(Debug)]
struct Session {
    device: String,
    service: Service,
    user: Vec<u8>,
    mac: String,
    /// Its MAC address, or the address that a tunnel comes from.
    caller: String,
    address: Ipv4Addr,
    /// The secret or hotspot user that admitted it; nobody admits a bypassed or an IPoE device.
    account: Option<ItemId>,
    /// The name of its interface, if it has one.
    interface: Option<Vec<u8>>,
    /// The static binding that it uses, if an admin made one for its user.
    held: Option<bindings::Held>,
    started_ms: u64,
    last_traffic_ms: u64,
    upload: Carried,
    download: Carried,
    caps: Caps,
    /// Rows that vanish with the session.
    rows: Vec<(&'static str, ItemId)>,
}

/// What the router tells about a session that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// The session.
    pub key: SessionKey,
    /// The client's address.
    pub address: Ipv4Addr,
}

/// Whether hotspot user counters move while a session is up; routers differ, so both are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HotspotCounting {
    /// The user's counters are brought up to date at logout only.
    #[default]
    AtLogout,
    /// The user's counters move with the traffic.
    Live,
}

/// Everyone who is in.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: BTreeMap<SessionKey, Session>,
    started: u64,
    since_boot: u32,
    boots: u32,
    addresses: AddressBook,
    hosts: HashMap<String, hotspot::Host>,
    counting: HotspotCounting,
    queues: queues::QueueIndex,
    bindings: Vec<bindings::Binding>,
}

impl Sessions {
    /// Nobody is in; hotspot counters behave as `counting` says.
    #[must_use]
    pub(crate) fn new(counting: HotspotCounting) -> Self {
        Self { counting, ..Self::default() }
    }

    /// The number of live sessions.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The address of a live session.
    #[must_use]
    pub(crate) fn address_of(&self, key: SessionKey) -> Option<Ipv4Addr> {
        self.live.get(&key).map(|session| session.address)
    }

    /// Lets a device in, or says why not.
    ///
    /// # Errors
    /// [`Refused`], and then nothing has changed but the log.
    pub(crate) fn dial(
        &mut self,
        engine: &mut Engine,
        dial: &Dial,
        now: Moment,
    ) -> Result<Admitted, Refused> {
        if !self.licence_allows(engine, dial.service) {
            return Err(Refused::Licence);
        }
        if !engine.has_package(dial.service.package()) {
            return Err(Refused::NoPackage);
        }
        if !engine.device_mode_allows(dial.service.word()) {
            return Err(Refused::DeviceMode);
        }
        match dial.service {
            Service::Ipoe => self.appear(engine, dial, now),
            Service::Hotspot => self.log_in(engine, dial, now),
            Service::Pppoe | Service::L2tp | Service::Pptp | Service::Ovpn => self.connect(engine, dial, now),
        }
    }

    /// Moves bytes through a session. A cap that is passed ends it; the device is then returned.
    pub(crate) fn carry(
        &mut self,
        engine: &mut Engine,
        key: SessionKey,
        upload_bytes: u64,
        download_bytes: u64,
        now: Moment,
    ) -> Option<String> {
        let session = self.live.get_mut(&key)?;
        let (upload, download) = (Carried::of(upload_bytes), Carried::of(download_bytes));
        session.upload.add(upload);
        session.download.add(download);
        session.last_traffic_ms = now.monotonic_ms;
        let mut has_queue = false;
        for (menu, id) in &session.rows {
            has_queue |= *menu == "queue/simple";
            count(engine, menu, *id, upload, download, now);
        }
        if let Some(held) = session.held {
            count(engine, "interface", held.interface, upload, download, now);
        }
        if !has_queue
            && let Some(id) = self.queues.counting(engine, session.address, session.interface.as_deref())
        {
            count(engine, "queue/simple", id, upload, download, now);
        }
        if session.service == Service::Hotspot {
            if let Some(host) = self.hosts.get(&session.mac) {
                count(engine, "ip/hotspot/host", host.row, upload, download, now);
            }
            if let (Some(user), HotspotCounting::Live) = (session.account, self.counting) {
                count(engine, "ip/hotspot/user", user, upload, download, now);
            }
        }
        let is_over = |cap: Option<u64>, bytes: u64| cap.is_some_and(|cap| bytes >= cap);
        let (up, down) = (session.upload.bytes, session.download.bytes);
        let caps = session.caps;
        if is_over(caps.upload_bytes, up)
            || is_over(caps.download_bytes, down)
            || is_over(caps.total_bytes, up.saturating_add(down))
        {
            return self.end(engine, key, Ending::TrafficLimit, now);
        }
        None
    }

    /// Ends a session and returns its device; `None` when it had ended already.
    pub(crate) fn end(
        &mut self,
        engine: &mut Engine,
        key: SessionKey,
        ending: Ending,
        now: Moment,
    ) -> Option<String> {
        let session = self.live.remove(&key)?;
        for (menu, id) in &session.rows {
            engine.displace(menu, *id);
        }
        if let Some(held) = session.held {
            held.bring_down(engine, now);
        }
        match session.service {
            Service::Ipoe => {}
            // A phone keeps its address while it stays on the portal's network.
            Service::Hotspot => self.logged_out(engine, &session, ending, now),
            Service::Pppoe | Service::L2tp | Service::Pptp | Service::Ovpn => {
                self.addresses.release(engine, session.address);
                ppp::disconnected(engine, &session, ending, now);
            }
        }
        Some(session.device)
    }

    /// Ends what has lasted or idled too long; returns the devices.
    pub(crate) fn expire(&mut self, engine: &mut Engine, now: Moment) -> Vec<String> {
        let reached = |limit: Option<u64>, from: u64| {
            limit.is_some_and(|limit| now.monotonic_ms.saturating_sub(from) >= limit)
        };
        let due: Vec<(SessionKey, Ending)> = self
            .live
            .iter()
            .filter_map(|(key, session)| {
                if reached(session.caps.lasts_ms, session.started_ms) {
                    Some((*key, Ending::Timeout))
                } else if reached(session.caps.idle_ms, session.last_traffic_ms) {
                    Some((*key, Ending::Idle))
                } else {
                    None
                }
            })
            .collect();
        due.into_iter().filter_map(|(key, ending)| self.end(engine, key, ending, now)).collect()
    }

    /// The power goes: nobody is in, nothing is logged, unflushed counters are lost. Returns the devices.
    pub(crate) fn lose_power(&mut self, engine: &mut Engine, now: Moment) -> Vec<String> {
        let lost = std::mem::take(&mut self.live);
        for (menu, id) in lost.values().flat_map(|session| &session.rows) {
            engine.displace(menu, *id);
        }
        lost.values().filter_map(|session| session.held).for_each(|held| held.bring_down(engine, now));
        for (_, host) in self.hosts.drain() {
            engine.displace("ip/hotspot/host", host.row);
        }
        self.queues = queues::QueueIndex::default();
        self.addresses = AddressBook::default();
        engine.wipe("ip/pool/used");
        self.boots = self.boots.saturating_add(1);
        self.since_boot = 0;
        lost.into_values().map(|session| session.device).collect()
    }

    fn next_key(&mut self) -> SessionKey {
        self.started = self.started.saturating_add(1);
        SessionKey(self.started)
    }

    /// Whether the licence's level allows one session more: PPPoE, L2TP and PPTP 200 (levels 3 and 4) or 500 (5)
    /// each, OVPN 200 (3 and 4), hotspot users 1 (3), 200 (4) or 500 (5); without a licence one of each. As in the
    /// manual's table of licence levels.
    fn licence_allows(&self, engine: &Engine, service: Service) -> bool {
        let level = engine.single_text("system/license", "nlevel");
        let most = match (service, level.as_slice()) {
            (Service::Ipoe, _) => return true,
            (_, b"0" | b"1") | (Service::Hotspot, b"3") => 1,
            (_, b"3" | b"4") => 200,
            (Service::Pppoe | Service::L2tp | Service::Pptp | Service::Hotspot, b"5") => 500,
            _ => return true,
        };
        let is_counted = |session: &&Session| session.service == service && session.account.is_some();
        self.live.values().filter(is_counted).count() < most
    }

    fn sessions_of(&self, user: &[u8], is_hotspot: bool) -> usize {
        let is_theirs =
            |session: &&Session| session.user == user && (session.service == Service::Hotspot) == is_hotspot;
        self.live.values().filter(is_theirs).count()
    }
}

/// Adds to the counters that a row of this menu shows. The router's view: rx and in are upload.
fn count(engine: &mut Engine, menu: &str, id: ItemId, upload: Carried, download: Carried, now: Moment) {
    let mut add = |property: &str, by: (u64, u64)| {
        engine.measure(menu, id, property, |value| match value {
            Value::Count(count) => *count = count.saturating_add(by.0),
            Value::Pair(first, second) => {
                (*first, *second) = (first.saturating_add(by.0), second.saturating_add(by.1));
            }
            Value::Since(start_ms) => *start_ms = now.monotonic_ms,
            _ => {}
        });
    };
    match menu {
        "interface" => {
            add("rx-byte", (upload.bytes, 0));
            add("tx-byte", (download.bytes, 0));
            add("rx-packet", (upload.packets, 0));
            add("tx-packet", (download.packets, 0));
        }
        "queue/simple" => {
            add("bytes", (upload.bytes, download.bytes));
            add("packets", (upload.packets, download.packets));
        }
        "ip/hotspot/active" | "ip/hotspot/host" | "ip/hotspot/user" => {
            add("bytes-in", (upload.bytes, 0));
            add("bytes-out", (download.bytes, 0));
            add("packets-in", (upload.packets, 0));
            add("packets-out", (download.packets, 0));
            if menu != "ip/hotspot/user" {
                add("idle-time", (0, 0));
            }
        }
        _ => {}
    }
}

/// A duration property of a profile; unset, a word such as `none`, and zero are no limit.
fn limit_ms(engine: &Engine, menu: &str, id: ItemId, property: &str) -> Option<u64> {
    let text = engine.text(menu, id, property)?;
    crate::printing::parse_duration(std::str::from_utf8(&text).ok()?).filter(|limit_ms| *limit_ms > 0)
}

/// A byte limit; unset and zero are no limit.
fn limit_bytes(engine: &Engine, menu: &str, id: ItemId, property: &str) -> Option<u64> {
    let text = engine.text(menu, id, property)?;
    std::str::from_utf8(&text).ok()?.parse().ok().filter(|limit: &u64| *limit > 0)
}

/// The dynamic queue of a session, if its profile has a rate limit.
fn place_queue(
    engine: &mut Engine,
    profile_menu: &str,
    profile: ItemId,
    name: &[u8],
    target: &[u8],
    key: SessionKey,
) -> Option<(&'static str, ItemId)> {
    let text = engine.text(profile_menu, profile, "rate-limit")?;
    let limit = crate::printing::parse_rate_limit(std::str::from_utf8(&text).ok()?)?;
    let pair = |(upload, download): (u64, u64)| Value::Pair(upload, download);
    let (up_seconds, down_seconds) = limit.burst_seconds;
    let burst_seconds =
        if limit.burst == (0, 0) { "0s/0s".to_owned() } else { format!("{up_seconds}s/{down_seconds}s") };
    let threshold = if limit.burst == (0, 0) { (0, 0) } else { limit.threshold };
    let id = engine.place(
        "queue/simple",
        &[
            ("name", Value::text(name)),
            ("target", Value::text(target)),
            ("parent", Value::text("none")),
            ("packet-marks", Value::text("")),
            ("priority", Value::text(format!("{0}/{0}", limit.priority))),
            ("queue", Value::text("default-small/default-small")),
            ("limit-at", pair(limit.least)),
            ("max-limit", pair(limit.rate)),
            ("burst-limit", pair(limit.burst)),
            ("burst-threshold", pair(threshold)),
            ("burst-time", Value::text(burst_seconds)),
            ("bucket-size", Value::text("0.1/0.1")),
            ("bytes", Value::Pair(0, 0)),
            ("total-bytes", Value::Count(0)),
            ("packets", Value::Pair(0, 0)),
            ("total-packets", Value::Count(0)),
            ("dropped", Value::Pair(0, 0)),
            ("rate", Value::Pair(0, 0)),
            ("invalid", Value::flag(false)),
            ("dynamic", Value::flag(true)),
            ("disabled", Value::flag(false)),
        ],
        Some(key),
    )?;
    Some(("queue/simple", id))
}

/// The dynamic address-list entry of a session, if its profile names a list.
fn place_address_entry(
    engine: &mut Engine,
    list: Option<Vec<u8>>,
    address: Ipv4Addr,
    key: SessionKey,
    now: Moment,
) -> Option<(&'static str, ItemId)> {
    let list = list.filter(|list| !list.is_empty())?;
    let id = engine.place(
        "ip/firewall/address-list",
        &[
            ("list", Value::text(list)),
            ("address", Value::text(address.to_string())),
            ("creation-time", Value::Date(now.unix_ms)),
            ("dynamic", Value::flag(true)),
            ("disabled", Value::flag(false)),
        ],
        Some(key),
    )?;
    Some(("ip/firewall/address-list", id))
}
