//! The configuration of the router and the commands on it: one set of rules for every menu.
//!
//! Pure: words in, words out, time as an argument. Sockets, tags and latency are
//! [`crate::api_session`]; subscribers who dial in are [`crate::sessions`], which write their rows here.
//! Every change is noted in [`Engine::take_changes`] for those who listen.

mod device_mode;
mod edit;
pub(crate) mod packages;
mod print;
#[cfg(test)]
mod tests;
mod wall_clock;

use std::collections::HashMap;

pub use self::print::Row;
pub(crate) use self::print::{Answer, REDACTED, View};

use crate::clock::Moment;
use crate::journal::Buffers;
use crate::policies::Actor;
use crate::release::Release;
use crate::request::Request;
use crate::sessions::SessionKey;
use crate::store::{Item, ItemId, Table};
use crate::tables::{Menu, Property, Shape, Verb, is_directory, menus_of, zone_offset_minutes};
use crate::tls::Identity;
use crate::trap::Trap;
use crate::values::{Dialect, Value};

/// Whether writes are carried out or, as a fault, only acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applying {
    /// As a sound router does.
    Truly,
    /// Checked and acknowledged, and nothing changes.
    Pretending,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// It appeared or its configuration changed.
    Present,
    /// It is gone.
    Gone,
}

/// A change that `listen` tells of. Statistics are not changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The menu's path.
    pub menu: &'static str,
    /// The row.
    pub id: ItemId,
    /// What happened.
    pub kind: ChangeKind,
}

/// Rows beyond this are refused: a router of this size has at most a few thousand of anything.
const MOST_ROWS_PER_MENU: usize = 100_000;

/// Where rows expire.
const EXPIRING: [(&str, &str); 2] =
    [("ip/firewall/address-list", "timeout"), ("ip/hotspot/cookie", "expires-in")];

/// Menus whose counters live in memory.
const COUNTED: [&str; 5] =
    ["interface", "queue/simple", "ip/firewall/filter", "ip/firewall/nat", "ip/hotspot/walled-garden"];

/// Menus that have rows in memory, whose ids a reboot starts over.
const IN_MEMORY: [&str; 15] = [
    "log",
    "user/active",
    "interface",
    "interface/pppoe-server",
    "interface/l2tp-server",
    "interface/pptp-server",
    "interface/ovpn-server",
    "ppp/active",
    "ip/pool/used",
    "ip/hotspot/active",
    "ip/hotspot/host",
    "ip/arp",
    "ip/firewall/address-list",
    "queue/simple",
    "ip/dhcp-server/lease",
];

/// Every table of the router.
#[derive(Debug)]
pub(crate) struct Engine {
    release: Release,
    tables: HashMap<&'static str, Table>,
    changes: Vec<Change>,
    ended: Vec<SessionKey>,
    buffers: Buffers,
    /// Keys of signed certificates, by fingerprint.
    identities: HashMap<Vec<u8>, Identity>,
}

impl Engine {
    /// A router of this release with empty tables.
    #[must_use]
    pub(crate) fn new(release: Release) -> Self {
        let tables = menus_of(release).map(|menu| (menu.path, Table::new(menu))).collect();
        Self {
            release,
            tables,
            changes: Vec::new(),
            ended: Vec::new(),
            buffers: Buffers::new(),
            identities: HashMap::new(),
        }
    }

    /// The release.
    #[must_use]
    pub(crate) fn release(&self) -> Release {
        self.release
    }

    /// The certificate that a service is set to, if this router has signed it.
    #[must_use]
    pub(crate) fn identity_of(&self, service: &str) -> Option<&Identity> {
        let row = self.find("ip/service", service.as_bytes())?;
        let name = self.text("ip/service", row, "certificate")?;
        let certificate = self.find("certificate", &name)?;
        self.identities.get(&self.text("certificate", certificate, "fingerprint")?)
    }

    /// Runs a command of `actor`.
    ///
    /// # Errors
    /// [`Trap`], and then nothing has changed.
    pub(crate) fn execute(
        &mut self,
        request: &Request,
        actor: &Actor,
        now: Moment,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        let (menu, verb) = resolve(request, self.release)?;
        if !actor.may(if verb.is_read() { "read" } else { menu.write_policy }) {
            return Err(Trap::not_permitted());
        }
        self.refuse_by_package(menu, verb, request)?;
        self.refuse_by_device_mode(menu, verb, request)?;
        match verb {
            Verb::Print => self.print(menu, request, actor, now),
            Verb::Get => self.get(menu, request, actor, now),
            // The socket side keeps the listener; here only its words are checked.
            Verb::Listen => View::parse(menu, self.release, request, actor).map(|_| Answer::default()),
            Verb::Add => self.add(menu, request, actor, now, applying),
            Verb::Set | Verb::Comment => self.set(menu, request, now, applying),
            Verb::Enable => {
                let disabled = if request.command == "disable" { "yes" } else { "no" };
                self.set(menu, &request.clone().with("disabled", disabled), now, applying)
            }
            Verb::Unset => self.unset(menu, request, applying),
            Verb::Remove => self.remove(menu, request, applying),
            Verb::ResetCounters => self.reset_counters(menu, request, applying),
            Verb::Move => self.move_rows(menu, request, applying),
            Verb::Sign => self.sign(menu, request, now, applying),
            Verb::Run => Err(Trap::not_simulated("scripts")),
            Verb::LogIn => Err(Trap::not_simulated("hotspot login on behalf of a host")),
        }
    }

    /// The changes since the last call, oldest first.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The sessions whose live row a command removed since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<SessionKey> {
        std::mem::take(&mut self.ended)
    }

    /// The words that time, zone and release make of a value.
    #[must_use]
    pub(crate) fn dialect(&self, now: Moment) -> Dialect {
        let zone = self.single_text("system/clock", "time-zone-name");
        Dialect {
            release: self.release,
            monotonic_ms: now.monotonic_ms,
            unix_ms: now.unix_ms,
            offset_minutes: zone_offset_minutes(&zone),
        }
    }

    /// The table of a menu.
    #[must_use]
    pub(crate) fn table(&self, menu: &str) -> Option<&Table> {
        self.tables.get(menu)
    }

    /// The row with this name.
    #[must_use]
    pub(crate) fn find(&self, menu: &str, key: &[u8]) -> Option<ItemId> {
        self.tables.get(menu)?.named(key)
    }

    /// A row's stored value.
    #[must_use]
    pub(crate) fn value(&self, menu: &str, id: ItemId, property: &str) -> Option<&Value> {
        let table = self.tables.get(menu)?;
        table.item(id)?.value(table.menu.position(property, self.release)?)
    }

    /// A row's value as text that does not depend on time; references as the other row's name.
    #[must_use]
    pub(crate) fn text(&self, menu: &str, id: ItemId, property: &str) -> Option<Vec<u8>> {
        let table = self.tables.get(menu)?;
        let position = table.menu.position(property, self.release)?;
        let timeless = Dialect { release: self.release, monotonic_ms: 0, unix_ms: 0, offset_minutes: 0 };
        self.shown(table.menu.properties.get(position)?, table.item(id)?.value(position)?, timeless)
    }

    /// A property of a menu without rows.
    #[must_use]
    pub(crate) fn single_text(&self, menu: &str, property: &str) -> Vec<u8> {
        self.single(menu).and_then(|id| self.text(menu, id, property)).unwrap_or_default()
    }

    /// The row of a menu without ids.
    #[must_use]
    pub(crate) fn single(&self, menu: &str) -> Option<ItemId> {
        self.tables.get(menu).and_then(Table::first)
    }

    /// Whether a row's flag is `true`.
    #[must_use]
    pub(crate) fn is_set(&self, menu: &str, id: ItemId, flag: &str) -> bool {
        self.text(menu, id, flag).is_some_and(|text| text == b"true")
    }

    /// The row that a reference property names, if it still exists.
    #[must_use]
    pub(crate) fn referenced(&self, menu: &str, id: ItemId, property: &str) -> Option<ItemId> {
        match self.value(menu, id, property)? {
            Value::Reference(other) => Some(*other),
            _ => None,
        }
    }

    /// Adds a row of the router's own making: values are not checked, read-only properties may be set.
    pub(crate) fn place(
        &mut self,
        menu: &str,
        values: &[(&str, Value)],
        session: Option<SessionKey>,
    ) -> Option<ItemId> {
        let release = self.release;
        let table = self.tables.get_mut(menu)?;
        let mut item = Item::empty(table.menu);
        for (name, value) in values {
            if let Some(position) = table.menu.position(name, release) {
                item.put(position, Some(value.clone()));
            }
        }
        item.session = session;
        let id = table.reserve_id();
        let menu = table.menu.path;
        table.put(id, item);
        self.changes.push(Change { menu, id, kind: ChangeKind::Present });
        Some(id)
    }

    /// Changes a property of the router's own making and tells listeners.
    pub(crate) fn put(&mut self, menu: &str, id: ItemId, property: &str, value: Option<Value>) {
        let release = self.release;
        let Some(table) = self.tables.get_mut(menu) else { return };
        let Some(position) = table.menu.position(property, release) else { return };
        let Some(mut item) = table.item(id).cloned() else { return };
        item.put(position, value);
        let menu = table.menu.path;
        table.put(id, item);
        self.changes.push(Change { menu, id, kind: ChangeKind::Present });
    }

    /// Changes a statistic in place; listeners are not told.
    pub(crate) fn measure(
        &mut self,
        menu: &str,
        id: ItemId,
        property: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let release = self.release;
        let Some(table) = self.tables.get_mut(menu) else { return };
        let Some(position) = table.menu.position(property, release) else { return };
        if let Some(value) = table.value_mut(id, position) {
            change(value);
        }
    }

    /// Marks a row as built in.
    pub(crate) fn protect(&mut self, menu: &str, id: ItemId) {
        if let Some(table) = self.tables.get_mut(menu)
            && let Some(mut item) = table.item(id).cloned()
        {
            item.is_protected = true;
            table.put(id, item);
        }
    }

    /// Ties a row to a session, so that removing the row ends it.
    pub(crate) fn bind(&mut self, menu: &str, id: ItemId, session: Option<SessionKey>) {
        if let Some(table) = self.tables.get_mut(menu)
            && let Some(mut item) = table.item(id).cloned()
        {
            item.session = session;
            table.put(id, item);
        }
    }

    /// Removes the rows of every menu whose `Expiry` has passed.
    pub(crate) fn expire(&mut self, now: Moment) {
        for (menu, name) in EXPIRING {
            let Some(table) = self.tables.get(menu) else { continue };
            let Some(position) = table.menu.position(name, self.release) else { continue };
            let is_past = |value: Option<&Value>| matches!(value, Some(Value::Until(end_ms)) if *end_ms <= now.monotonic_ms);
            let past: Vec<ItemId> =
                table.iter().filter(|(_, item)| is_past(item.value(position))).map(|(id, _)| id).collect();
            past.into_iter().for_each(|id| self.displace(menu, id));
        }
    }

    /// Removes a row of the router's own making.
    pub(crate) fn displace(&mut self, menu: &str, id: ItemId) {
        let Some(table) = self.tables.get_mut(menu) else { return };
        let menu = table.menu.path;
        if table.remove(id).is_some() {
            self.changes.push(Change { menu, id, kind: ChangeKind::Gone });
        }
    }

    /// The lines of the log by buffer, which [`crate::journal`] keeps.
    pub(crate) fn buffers_mut(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    /// Removes a row that grew too old, as the log does: listeners are not told.
    pub(crate) fn forget(&mut self, menu: &str, id: ItemId) {
        if let Some(table) = self.tables.get_mut(menu) {
            table.remove(id);
        }
    }

    /// Forgets what a reboot forgets: rows that live in memory, the counters of ports, queues and rules. Ids of
    /// menus that had such rows start over. Hotspot users with their counters and cookies are on disk.
    pub(crate) fn forget_memory(&mut self) {
        for menu in ["log", "user/active"] {
            if let Some(table) = self.tables.get_mut(menu) {
                table.clear();
            }
        }
        self.buffers.clear();
        for menu in ["ip/firewall/address-list", "ip/arp"] {
            let rows = self.tables.get(menu).into_iter().flat_map(Table::iter).map(|(id, _)| id);
            let dynamic: Vec<ItemId> = rows.filter(|id| self.is_set(menu, *id, "dynamic")).collect();
            dynamic.into_iter().for_each(|id| self.displace(menu, id));
        }
        for menu in COUNTED {
            let Some(table) = self.tables.get_mut(menu) else { continue };
            let ids: Vec<ItemId> = table.iter().map(|(id, _)| id).collect();
            ids.into_iter().for_each(|id| edit::clear_counters(table, id));
        }
        for menu in IN_MEMORY {
            if let Some(table) = self.tables.get_mut(menu) {
                table.restart_ids();
            }
        }
    }

    /// Takes over properties of menus without rows from another router.
    pub(crate) fn keep_facts_of(&mut self, other: &Self, facts: &[(&str, &str)]) {
        for (menu, property) in facts {
            let held = other.single(menu).and_then(|id| other.value(menu, id, property)).cloned();
            if let Some(id) = self.single(menu) {
                self.put(menu, id, property, held);
            }
        }
    }

    /// Removes every row of a menu that lives in memory.
    pub(crate) fn wipe(&mut self, menu: &str) {
        if let Some(table) = self.tables.get_mut(menu) {
            table.clear();
        }
    }

    fn find_in(&self, menu: &'static str, key: &[u8]) -> Option<ItemId> {
        let table = self.tables.get(menu)?;
        let by_id = ItemId::parse(key).filter(|id| table.item(*id).is_some());
        by_id.or_else(|| table.named(key))
    }

    /// The printed bytes of a value: a reference prints the other row's name, or its id once it is gone.
    fn shown(&self, property: &Property, value: &Value, dialect: Dialect) -> Option<Vec<u8>> {
        if let (Value::Reference(id), crate::tables::Kind::Reference { menu, .. }) = (value, property.kind)
            && let Some(table) = self.tables.get(menu)
            && let Some(name) = table.item(*id).and_then(|item| table.key_of(item))
        {
            return Some(name);
        }
        Some(dialect.print(value))
    }
}

impl Verb {
    fn is_read(self) -> bool {
        matches!(self, Self::Print | Self::Get | Self::Listen)
    }
}

/// Whether the request is a command that changes configuration.
#[must_use]
pub(crate) fn is_write(request: &Request, release: Release) -> bool {
    resolve(request, release).is_ok_and(|(_, verb)| !verb.is_read())
}

/// The menu and command that a request names.
///
/// # Errors
/// `no such command prefix` or `no such command`.
pub(crate) fn resolve(request: &Request, release: Release) -> Result<(&'static Menu, Verb), Trap> {
    let Some(menu) = menus_of(release).find(|menu| menu.path == request.menu) else {
        return Err(if is_directory(&request.menu, release) {
            Trap::no_such_command()
        } else {
            Trap::no_such_prefix()
        });
    };
    let verb = match request.command.as_str() {
        "print" | "getall" => Verb::Print,
        "get" => Verb::Get,
        "listen" => Verb::Listen,
        "add" => Verb::Add,
        "set" => Verb::Set,
        "remove" => Verb::Remove,
        "enable" | "disable" => Verb::Enable,
        "unset" => Verb::Unset,
        "comment" => Verb::Comment,
        "move" => Verb::Move,
        "reset-counters" => Verb::ResetCounters,
        "login" => Verb::LogIn,
        "sign" => Verb::Sign,
        "run" => Verb::Run,
        _ => return Err(Trap::no_such_command()),
    };
    if menu.has(verb, release) { Ok((menu, verb)) } else { Err(Trap::no_such_command()) }
}

/// Whether a menu holds one nameless row.
fn is_single(menu: &Menu) -> bool {
    menu.shape == Shape::Single
}
