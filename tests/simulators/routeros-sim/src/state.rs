//! Everything the router holds, under one lock: configuration, sessions, devices, faults, listeners.
//!
//! No method waits. [`crate::router`] takes the lock and wakes those who wait for a change.

mod power;

pub(crate) use self::power::Reset;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::Moment;
use crate::devices::Device;
use crate::engine::{Answer, Applying, ChangeKind, Engine, REDACTED, Row, View, is_write};
use crate::faults::Faults;
use crate::journal;
use crate::policies::Actor;
use crate::preload::{self, Contents, Ports};
use crate::request::Request;
use crate::sessions::{Admitted, Dial, Ending, Refused, Service, Sessions};
use crate::settings::Settings;
use crate::store::ItemId;
use crate::tables::Menu;
use crate::trap::Trap;
use crate::values::Value;

/// The writes that the control port remembers.
const REMEMBERED_WRITES: usize = 4096;
/// The listens of one connection; the client beside us opens three.
const MOST_LISTENS_PER_CONNECTION: usize = 64;

/// Percent of the processor that a router spends on itself.
const IDLE_LOAD: u64 = 3;

/// The number of an API connection.
pub(crate) type ConnectionId = u64;

/// A row for a `listen`.
pub(crate) struct Pushed {
    /// The tag of the listen.
    pub(crate) tag: Vec<u8>,
    /// The words of the `!re`.
    pub(crate) row: Row,
}

struct Listener {
    connection: ConnectionId,
    tag: Vec<u8>,
    menu: &'static Menu,
    view: View,
    sender: mpsc::Sender<Pushed>,
}

/// Counters of the control port's `GET /state`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) logins: u64,
    pub(crate) failed_logins: u64,
    pub(crate) commands: u64,
    pub(crate) prints: u64,
    pub(crate) writes: u64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteOutcome {
    /// It was done.
    Applied,
    /// It was trapped.
    Refused,
    /// A fault acknowledged it and did nothing.
    Ignored,
}

/// A write that came over the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteRecord {
    /// Counts from 1.
    pub seq: u64,
    /// The menu, such as `ppp/secret`.
    pub menu: String,
    /// `add`, `set`, `remove` …
    pub command: String,
    /// Arguments; secrets are replaced.
    pub arguments: BTreeMap<String, String>,
    /// What became of it.
    pub outcome: WriteOutcome,
}

/// An open API connection.
struct Connection {
    service: &'static str,
    peer: IpAddr,
    user: Option<(String, Option<ItemId>)>,
    is_cut_off: bool,
}

pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) sessions: Sessions,
    pub(crate) devices: HashMap<String, (u64, Device)>,
    pub(crate) device_serials: u64,
    pub(crate) faults: Faults,
    pub(crate) statistics: Statistics,
    writes: VecDeque<WriteRecord>,
    write_seq: u64,
    listeners: Vec<Listener>,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: ConnectionId,
    /// Monotonic milliseconds of the last boot, which is in the future while the router is down.
    pub(crate) booted_ms: u64,
    /// Monotonic milliseconds until which the processor is taken.
    busy_until_ms: u64,
    load: Load,
    /// By how much the wall clock is wrong since the last boot.
    clock_offset_ms: i64,
    settings: Settings,
    ports: Ports,
    /// Counts the boards that stood here.
    board: u32,
}

/// How much of each second the processor was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    second: u64,
    busy_ms: u64,
    busy_ms_before: u64,
}

impl Load {
    fn turn_to(&mut self, second: u64) {
        if second > self.second {
            let is_next = second == self.second.saturating_add(1);
            self.busy_ms_before = if is_next { self.busy_ms } else { 0 };
            (self.second, self.busy_ms) = (second, 0);
        }
    }

    /// Percent of the last whole second, or of the present one where that is more.
    fn percent(&mut self, now: Moment) -> u64 {
        self.turn_to(now.monotonic_ms / 1_000);
        (self.busy_ms.max(self.busy_ms_before) / 10).min(100)
    }
}

impl State {
    pub(crate) fn new(settings: Settings, ports: Ports, now: Moment) -> Result<Self, Trap> {
        let mut engine = preload::furnished(&settings, ports, 0, Contents::Site, now)?;
        let sessions = Sessions::new(settings.hotspot_counting);
        let faults = Faults { latency_ms: settings.latency_ms, ..Faults::default() };
        engine.mark_inactive();
        engine.take_changes();
        Ok(Self {
            engine,
            sessions,
            devices: HashMap::new(),
            device_serials: 0,
            faults,
            statistics: Statistics::default(),
            writes: VecDeque::new(),
            write_seq: 0,
            listeners: Vec::new(),
            connections: HashMap::new(),
            next_connection: 0,
            booted_ms: now.monotonic_ms,
            busy_until_ms: 0,
            load: Load::default(),
            clock_offset_ms: 0,
            settings,
            ports,
            board: 0,
        })
    }

    pub(crate) fn is_down(&self, now: Moment) -> bool {
        now.monotonic_ms < self.booted_ms
    }

    /// Runs a command that came over the API.
    pub(crate) fn execute(&mut self, request: &Request, actor: &Actor, now: Moment) -> Result<Answer, Trap> {
        let actor = &actor.as_of_now(&self.engine);
        self.show_load(request, now);
        let is_print = matches!(request.command.as_str(), "print" | "getall");
        if is_print && self.faults.traps_print(&request.menu) {
            self.statistics.prints = self.statistics.prints.saturating_add(1);
            return Err(Trap::timed_out());
        }
        let is_write = is_write(request, self.engine.release());
        let is_ignored = is_write && self.faults.swallows_write(&request.menu);
        let applying = if is_ignored { Applying::Pretending } else { Applying::Truly };
        if request.menu == "ip/hotspot/active" && request.command == "login" {
            return self.log_in_host(request, actor, now);
        }
        let narrowed = if is_write { self.faults.narrowed(request) } else { None };
        let refusal = if is_write { self.faults.refuses(request) } else { None };
        let answer = match refusal {
            Some(why) => Err(Trap::failure(why)),
            None => self.run(narrowed.as_ref().unwrap_or(request), actor, now, applying),
        };
        match request.command.as_str() {
            "print" | "getall" | "get" => self.statistics.prints = self.statistics.prints.saturating_add(1),
            _ if is_write => {
                let outcome = match (&answer, applying) {
                    (Err(_), _) => WriteOutcome::Refused,
                    (Ok(_), Applying::Pretending) => WriteOutcome::Ignored,
                    (Ok(_), Applying::Truly) => WriteOutcome::Applied,
                };
                self.remember(request, outcome);
            }
            _ => {}
        }
        self.settle(now);
        answer
    }

    /// Runs a command of a foreign admin: neither counted nor subject to faults.
    pub(crate) fn execute_as_admin(&mut self, request: &Request, now: Moment) -> Result<Answer, Trap> {
        let answer = self.run(request, &Actor::foreign_admin(), now, Applying::Truly);
        if answer.is_ok() && is_write(request, self.engine.release()) {
            self.wear_flash();
        }
        self.settle(now);
        answer
    }

    /// Runs a command on the tables, but for the clock, which is not in them.
    fn run(
        &mut self,
        request: &Request,
        actor: &Actor,
        now: Moment,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        if (request.menu.as_str(), request.command.as_str()) != ("system/clock", "set") {
            return self.engine.execute(request, actor, now, applying);
        }
        let (wanted_ms, rest) = self.engine.wanted_time(request, now)?;
        let answer = self.engine.execute(&rest, actor, now, applying)?;
        if let (Some(wanted_ms), Applying::Truly) = (wanted_ms, applying) {
            self.set_clock(wanted_ms, now);
        }
        Ok(answer)
    }

    /// `/system/resource` shows the load of the moment in which it is asked.
    fn show_load(&mut self, request: &Request, now: Moment) {
        if request.menu != "system/resource" {
            return;
        }
        let percent = match self.faults.cpu_load {
            0 => self.load.percent(now).max(IDLE_LOAD),
            percent => percent,
        };
        if let Some(id) = self.engine.single("system/resource") {
            self.engine.measure("system/resource", id, "cpu-load", |value| *value = Value::Count(percent));
        }
    }

    /// Ends sessions whose rows were removed and tells listeners what changed.
    pub(crate) fn settle(&mut self, now: Moment) {
        for key in self.engine.take_ended() {
            if let Some(device) = self.sessions.end(&mut self.engine, key, Ending::Removed, now) {
                self.drop_device(&device);
            }
        }
        let changes = self.engine.take_changes();
        let touches = |menus: &[&str]| changes.iter().any(|change| menus.contains(&change.menu));
        if touches(&["ip/hotspot", "system/scheduler", "system/device-mode"]) {
            self.engine.mark_inactive();
            for device in self.sessions.leave_closed_portals(&mut self.engine, now) {
                self.drop_device(&device);
            }
        }
        if changes.iter().any(|change| self.sessions.is_about_binding(&self.engine, change)) {
            for device in self.sessions.follow_bindings(&mut self.engine, now) {
                self.drop_device(&device);
            }
        }
        if touches(&["system/ntp/client"]) {
            self.synchronise();
        }
        if self.listeners.is_empty() || self.faults.silent_listens {
            return;
        }
        for change in changes {
            for listener in self.listeners.iter().filter(|listener| listener.menu.path == change.menu) {
                let row = match change.kind {
                    ChangeKind::Present => self.engine.row_for(listener.menu, change.id, &listener.view, now),
                    ChangeKind::Gone => {
                        let id = change.id.to_string().into_bytes();
                        let dead = self.engine.release().dead_word().as_bytes().to_vec();
                        Some(vec![(".id", id), (".dead", dead)])
                    }
                };
                let Some(row) = row else { continue };
                let is_lost = listener.sender.try_send(Pushed { tag: listener.tag.clone(), row }).is_err();
                // A client that does not read loses its connection rather than rows it would never miss.
                if is_lost && let Some(connection) = self.connections.get_mut(&listener.connection) {
                    connection.is_cut_off = true;
                }
            }
        }
    }

    /// Lets a device dial; its record then says what came of it.
    pub(crate) fn dial(&mut self, name: &str, now: Moment) {
        let Some((_, device)) = self.devices.get(name) else { return };
        if device.session.is_some() {
            return;
        }
        let dial = device.dial.clone();
        let answer = self.admit(&dial, now);
        let Some((_, device)) = self.devices.get_mut(name) else { return };
        match answer {
            Ok(admitted) => device.came_online(admitted.key, admitted.address.to_string(), now.unix_ms),
            Err(refused) => {
                let reason = refused.to_string();
                // A refusal is logged when it is news: a CPE that redials for days must not fill the log.
                if device.last_error.as_ref() != Some(&reason) && refused != Refused::RouterDown {
                    log_refusal(&mut self.engine, &dial, &reason, now);
                }
                device.last_error = Some(reason);
            }
        }
        self.settle(now);
    }

    fn admit(&mut self, dial: &Dial, now: Moment) -> Result<Admitted, Refused> {
        if self.is_down(now) {
            return Err(Refused::RouterDown);
        }
        self.sessions.dial(&mut self.engine, dial, now)
    }

    /// `/ip/hotspot/active/login`: lets the device that holds an address in, with a given user.
    fn log_in_host(&mut self, request: &Request, actor: &Actor, now: Moment) -> Result<Answer, Trap> {
        if !actor.may("write") {
            return Err(Trap::not_permitted());
        }
        if let Some((name, _)) = request.arguments.iter().find(|(name, _)| {
            ![&b"user"[..], b"password", b"ip", b"mac-address", b"domain"].contains(&name.as_slice())
        }) {
            return Err(Trap::unknown_parameter(name));
        }
        let user = request.argument("user").ok_or_else(|| Trap::missing(&["user"]))?;
        let address = request.argument("ip").ok_or_else(|| Trap::missing(&["ip"]))?;
        let mac = self.sessions.host_at(address).ok_or_else(|| Trap::failure("failure: unknown host IP"))?;
        let named = |(_, device): &&(u64, Device)| device.dial.mac == mac;
        let Some((_, device)) = self.devices.values().find(named) else {
            return Err(Trap::failure("failure: unknown host IP"));
        };
        if device.session.is_some() {
            return Err(Trap::failure("failure: host already logged in"));
        }
        let mut dial = device.dial.clone();
        dial.username = user.to_vec();
        dial.password = request.argument("password").map(<[u8]>::to_vec);
        let name = dial.device.clone();
        let answer = self.admit(&dial, now);
        self.remember(request, if answer.is_ok() { WriteOutcome::Applied } else { WriteOutcome::Refused });
        let admitted = answer.map_err(|refused| Trap::failure(format!("failure: {refused}")))?;
        if let Some((_, device)) = self.devices.get_mut(&name) {
            device.came_online(admitted.key, admitted.address.to_string(), now.unix_ms);
        }
        self.settle(now);
        Ok(Answer::default())
    }

    /// Marks a device as offline and wakes it.
    pub(crate) fn drop_device(&mut self, name: &str) {
        if let Some((_, device)) = self.devices.get_mut(name) {
            device.went_offline();
        }
    }

    /// Ends what time ends.
    pub(crate) fn tick(&mut self, now: Moment) {
        for device in self.sessions.expire(&mut self.engine, now) {
            self.drop_device(&device);
        }
        self.engine.expire(now);
        self.settle(now);
    }

    /// Takes the processor for one command: monotonic milliseconds at which it will have run. It was there for as long
    /// as it waited, and the processor goes from one to the next without a rest: what this program itself takes for a
    /// command is part of the time that the command is said to take, and does not come on top.
    pub(crate) fn reserve_processor(&mut self, request: &Request, now: Moment, waited: Duration) -> u64 {
        let write_ms = if is_write(request, self.engine.release()) { self.faults.write_ms } else { 0 };
        let takes_ms = self.faults.serial_ms.saturating_add(write_ms);
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        let start_ms = self.busy_until_ms.max(now.monotonic_ms.saturating_sub(waited_ms));
        let end_ms = start_ms.saturating_add(takes_ms);
        self.load.turn_to(now.monotonic_ms / 1_000);
        self.load.busy_ms = self.load.busy_ms.saturating_add(takes_ms);
        if takes_ms > 0 {
            self.busy_until_ms = end_ms;
        }
        end_ms
    }

    fn remember(&mut self, request: &Request, outcome: WriteOutcome) {
        self.statistics.writes = self.statistics.writes.saturating_add(1);
        if outcome == WriteOutcome::Applied {
            self.wear_flash();
        }
        self.write_seq = self.write_seq.saturating_add(1);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let arguments = request.arguments.iter().map(|(name, value)| {
            let value = if is_secret(name) { REDACTED.to_owned() } else { text(value) };
            (text(name), value)
        });
        if self.writes.len() >= REMEMBERED_WRITES {
            self.writes.pop_front();
        }
        self.writes.push_back(WriteRecord {
            seq: self.write_seq,
            menu: request.menu.clone(),
            command: request.command.clone(),
            arguments: arguments.collect(),
            outcome,
        });
    }

    pub(crate) fn writes_after(&self, seq: u64) -> Vec<WriteRecord> {
        self.writes.iter().filter(|write| write.seq > seq).cloned().collect()
    }

    /// Every write of configuration wears the flash, which `/system/resource` counts in sectors.
    fn wear_flash(&mut self) {
        let Some(id) = self.engine.single("system/resource") else { return };
        for property in ["write-sect-since-reboot", "write-sect-total"] {
            self.engine.measure("system/resource", id, property, |value| {
                if let Value::Count(count) = value {
                    *count = count.saturating_add(1);
                }
            });
        }
    }

    // Connections of the API.

    /// Admits a connection, unless the service says that it is not welcome.
    pub(crate) fn open(&mut self, service: &'static str, peer: IpAddr) -> Option<ConnectionId> {
        let menu = "ip/service";
        let id = self.engine.find(menu, service.as_bytes())?;
        let text = |property: &str| self.engine.text(menu, id, property).unwrap_or_default();
        let allowed =
            if text("available-from").is_empty() { text("address") } else { text("available-from") };
        let most = String::from_utf8_lossy(&text("max-sessions")).parse().unwrap_or(usize::MAX);
        let live = self.connections.values().filter(|connection| connection.service == service).count();
        if !crate::policies::allows_address(&allowed, peer) || live >= most {
            return None;
        }
        self.next_connection = self.next_connection.saturating_add(1);
        let connection = Connection { service, peer, user: None, is_cut_off: false };
        self.connections.insert(self.next_connection, connection);
        Some(self.next_connection)
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn is_cut_off(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.is_cut_off)
    }

    pub(crate) fn close(&mut self, id: ConnectionId, now: Moment) {
        self.listeners.retain(|listener| listener.connection != id);
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some((name, row)) = connection.user {
            if let Some(row) = row {
                self.engine.displace("user/active", row);
            }
            let (engine, peer) = (&mut self.engine, connection.peer);
            journal::write_access(engine, journal::ACCOUNT, &name, "logged out", peer, now);
        }
        self.settle(now);
    }

    // Facts of the box that no command changes.

    /// Sets a property of a menu of facts, as a hand on the box does.
    pub(crate) fn set_fact(&mut self, menu: &str, property: &str, value: Option<Value>, now: Moment) {
        if let Some(id) = self.engine.single(menu) {
            self.engine.put(menu, id, property, value);
        }
        self.settle(now);
    }

    pub(crate) fn log_in(&mut self, id: ConnectionId, request: &Request, now: Moment) -> Result<Actor, Trap> {
        let name = request.argument("name").unwrap_or_default();
        let password = request.argument("password").unwrap_or_default();
        let Some(connection) = self.connections.get_mut(&id) else { return Err(Trap::bad_login()) };
        let peer = connection.peer;
        let actor = Actor::authenticate(&self.engine, name, password, peer);
        let Some(actor) = actor else {
            self.statistics.failed_logins = self.statistics.failed_logins.saturating_add(1);
            let name = String::from_utf8_lossy(name);
            journal::write_access(&mut self.engine, journal::LOGIN_FAILURE, &name, "", peer, now);
            self.settle(now);
            return Err(Trap::bad_login());
        };
        self.statistics.logins = self.statistics.logins.saturating_add(1);
        let row = self.engine.place(
            "user/active",
            &[
                ("when", Value::Date(now.unix_ms)),
                ("name", Value::text(&actor.name)),
                ("address", Value::text(peer.to_string())),
                ("via", Value::text("api")),
            ],
            None,
        );
        connection.user = Some((actor.name.clone(), row));
        if let Some(user) = self.engine.find("user", name) {
            self.engine.put("user", user, "last-logged-in", Some(Value::Date(now.unix_ms)));
        }
        journal::write_access(&mut self.engine, journal::ACCOUNT, &actor.name, "logged in", peer, now);
        self.settle(now);
        Ok(actor)
    }

    /// Starts a listen, which [`Engine::execute`] has already checked.
    pub(crate) fn listen(
        &mut self,
        connection: ConnectionId,
        request: &Request,
        actor: &Actor,
        sender: mpsc::Sender<Pushed>,
    ) -> Result<(), Trap> {
        let (menu, _) = crate::engine::resolve(request, self.engine.release())?;
        let view = View::parse(menu, self.engine.release(), request, actor)?;
        let own = self.listeners.iter().filter(|listener| listener.connection == connection).count();
        if own >= MOST_LISTENS_PER_CONNECTION {
            return Err(Trap::failure("failure: too many listens on this connection"));
        }
        self.listeners.push(Listener { connection, tag: request.tag.clone(), menu, view, sender });
        Ok(())
    }

    /// Ends the listens of a tag; whether there was one.
    pub(crate) fn stop_listening(&mut self, connection: ConnectionId, tag: &[u8]) -> bool {
        let before = self.listeners.len();
        self.listeners.retain(|listener| listener.connection != connection || listener.tag != tag);
        self.listeners.len() < before
    }

    /// The tags that a connection listens with.
    pub(crate) fn listening_tags(&self, connection: ConnectionId) -> Vec<Vec<u8>> {
        let own = self.listeners.iter().filter(|listener| listener.connection == connection);
        own.map(|listener| listener.tag.clone()).collect()
    }
}

fn is_secret(name: &[u8]) -> bool {
    name == b"password" || name == b"key" || name.ends_with(b"secret")
}

fn log_refusal(engine: &mut Engine, dial: &Dial, reason: &str, now: Moment) {
    let mut line = dial.username.clone();
    let topics = match dial.service {
        Service::Hotspot => "hotspot,info,debug",
        Service::Ipoe => "dhcp,info",
        Service::Pppoe => "pppoe,ppp,error",
        Service::L2tp | Service::Pptp | Service::Ovpn => "ppp,error",
    };
    line.extend_from_slice(b": login failed: ");
    line.extend_from_slice(reason.as_bytes());
    journal::write(engine, topics, line, now);
}
