//! Commands that write: `add`, `set`, `unset`, `remove`, `reset-counters`.
//!
//! Each checks everything first and changes second, so a trap leaves nothing half done, and a fault
//! that only pretends to write can stop between the two.

use super::{Answer, Applying, Change, ChangeKind, Engine, MOST_ROWS_PER_MENU, is_single};
use crate::clock::Moment;
use crate::policies::Actor;
use crate::request::Request;
use crate::store::{Item, ItemId, Table};
use crate::tables::{Initial, Kind, Menu, Property, Verb, knows};
use crate::tls::Identity;
use crate::trap::Trap;
use crate::values::{self, Value};

/// The most rows that one `.id` list may name.
const MOST_TARGETS: usize = 10_000;

impl Engine {
    pub(super) fn add(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        actor: &Actor,
        now: Moment,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        let mut item = match request.argument("copy-from") {
            Some(key) => self.copied(menu, key)?,
            None => self.fresh(menu, now),
        };
        self.assign(menu, Verb::Add, &mut item, request, &["copy-from", "place-before"], now)?;
        if let Some(owner) = menu.position("owner", self.release) {
            item.put(owner, Some(Value::text(&actor.name)));
        }
        let before = match request.argument("place-before") {
            Some(key) if menu.is_ordered() => {
                Some(self.find_in(menu.path, key).ok_or_else(Trap::no_such_item)?)
            }
            Some(_) => return Err(Trap::unknown_parameter(b"place-before")),
            None => None,
        };
        let missing: Vec<&str> = menu
            .properties
            .iter()
            .enumerate()
            .filter(|(position, property)| {
                matches!(property.initial, Initial::Required)
                    && property.exists_in(self.release)
                    && item.value(*position).is_none()
            })
            .map(|(_, property)| property.name)
            .collect();
        if !missing.is_empty() {
            return Err(Trap::missing(&missing));
        }
        self.check_unique(menu, None, &item)?;
        let table = self.tables.get_mut(menu.path).ok_or_else(Trap::no_such_prefix)?;
        if table.len() >= MOST_ROWS_PER_MENU {
            return Err(Trap::failure("failure: out of memory"));
        }
        let id = table.reserve_id();
        if applying == Applying::Truly {
            table.put(id, item);
            if before.is_some() {
                table.place_before(&[id], before);
            }
            self.changes.push(Change { menu: menu.path, id, kind: ChangeKind::Present });
        }
        Ok(Answer { rows: Vec::new(), ret: Some(id.to_string().into_bytes()) })
    }

    pub(super) fn set(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        now: Moment,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        let targets = self.targets(menu, request)?;
        let mut changed = Vec::with_capacity(targets.len());
        for id in targets {
            let item = self.item(menu, id)?;
            self.refuse_dynamic(menu, item, "change")?;
            let mut next = item.clone();
            self.assign(menu, Verb::Set, &mut next, request, TARGET_ARGUMENTS, now)?;
            self.check_unique(menu, Some(id), &next)?;
            changed.push((id, next));
        }
        self.commit(menu, changed, applying);
        Ok(Answer::default())
    }

    pub(super) fn unset(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        if let Some((name, _)) = request.arguments.iter().find(|(name, _)| {
            name != b"value-name" && !TARGET_ARGUMENTS.iter().any(|known| known.as_bytes() == name)
        }) {
            return Err(Trap::unknown_parameter(name));
        }
        let name = request.argument("value-name").ok_or_else(|| Trap::missing(&["value-name"]))?;
        let position = self.writable(menu, name)?;
        if matches!(menu.properties.get(position).map(|property| property.initial), Some(Initial::Required)) {
            return Err(Trap::unknown_parameter(name));
        }
        let mut changed = Vec::new();
        for id in self.targets(menu, request)? {
            let item = self.item(menu, id)?;
            self.refuse_dynamic(menu, item, "change")?;
            let mut next = item.clone();
            next.put(position, None);
            changed.push((id, next));
        }
        self.commit(menu, changed, applying);
        Ok(Answer::default())
    }

    pub(super) fn remove(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        refuse_unknown(request)?;
        let targets = self.targets(menu, request)?;
        for id in &targets {
            let item = self.item(menu, *id)?;
            if item.is_protected {
                let is_dynamic = self.is_set(menu.path, *id, "dynamic");
                return Err(if is_dynamic { Trap::dynamic_item("remove") } else { Trap::built_in() });
            }
            // Rows of live menus are what remove is for; elsewhere they are the router's own.
            if menu.has(Verb::Add, self.release) && !menu.ends_sessions && item.session.is_some() {
                return Err(Trap::dynamic_item("remove"));
            }
        }
        if applying == Applying::Pretending {
            return Ok(Answer::default());
        }
        for id in targets {
            let table = self.tables.get_mut(menu.path).ok_or_else(Trap::no_such_prefix)?;
            if let Some(item) = table.remove(id) {
                self.changes.push(Change { menu: menu.path, id, kind: ChangeKind::Gone });
                self.ended.extend(item.session);
            }
        }
        Ok(Answer::default())
    }

    pub(super) fn reset_counters(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        refuse_unknown(request)?;
        let targets = self.targets(menu, request)?;
        if applying == Applying::Pretending {
            return Ok(Answer::default());
        }
        let table = self.tables.get_mut(menu.path).ok_or_else(Trap::no_such_prefix)?;
        targets.into_iter().for_each(|id| clear_counters(table, id));
        Ok(Answer::default())
    }

    /// Puts rows before another one, or at the end.
    pub(super) fn move_rows(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        let is_known = |name: &[u8]| {
            name == b"destination" || TARGET_ARGUMENTS.iter().any(|known| known.as_bytes() == name)
        };
        if let Some((name, _)) = request.arguments.iter().find(|(name, _)| !is_known(name)) {
            return Err(Trap::unknown_parameter(name));
        }
        let targets = self.targets(menu, request)?;
        let before = match request.argument("destination") {
            Some(key) => Some(self.find_in(menu.path, key).ok_or_else(Trap::no_such_item)?),
            None => None,
        };
        let table = self.tables.get_mut(menu.path).ok_or_else(Trap::no_such_prefix)?;
        if applying == Applying::Truly {
            table.place_before(&targets, before);
            let moved = |id| Change { menu: menu.path, id, kind: ChangeKind::Present };
            self.changes.extend(targets.into_iter().map(moved));
        }
        Ok(Answer::default())
    }

    /// Signs certificates: from then on they have a key, a fingerprint and a life of `days-valid`.
    pub(super) fn sign(
        &mut self,
        menu: &'static Menu,
        request: &Request,
        now: Moment,
        applying: Applying,
    ) -> Result<Answer, Trap> {
        const KNOWN: [&str; 7] =
            [".id", "numbers", "number", "ca", "name", "ca-crl-host", "ca-on-smart-card"];
        let is_known = |name: &[u8]| KNOWN.iter().any(|known| known.as_bytes() == name);
        if let Some((name, _)) = request.arguments.iter().find(|(name, _)| !is_known(name)) {
            return Err(Trap::unknown_parameter(name));
        }
        let targets = match request.argument("number") {
            Some(number) => self.targets(menu, &request.clone().with("numbers", number))?,
            None => self.targets(menu, request)?,
        };
        if let Some(ca) = request.argument("ca") {
            self.find_in(menu.path, ca).ok_or_else(|| Trap::from(values::ValueError::NoMatch("ca")))?;
        }
        if applying == Applying::Pretending {
            return Ok(Answer::default());
        }
        for id in targets {
            let text = |property: &str| self.text(menu.path, id, property).unwrap_or_default();
            let days = String::from_utf8_lossy(&text("days-valid")).parse().unwrap_or(365);
            let lasts_ms = i64::saturating_mul(days, 86_400_000);
            let name = String::from_utf8_lossy(&text("common-name")).into_owned();
            let identity = Identity::generate(if name.is_ascii() { &name } else { "router.lan" })
                .map_err(|error| Trap::failure(format!("failure: {error}")))?;
            let hex = identity.pin.clone();
            self.identities.insert(hex.clone().into_bytes(), identity);
            let ca = request.argument("ca").map(Value::text);
            let facts = [
                ("key-type", Some(Value::text("rsa"))),
                ("fingerprint", Some(Value::text(hex))),
                ("invalid-before", Some(Value::Date(now.unix_ms))),
                ("invalid-after", Some(Value::Date(now.unix_ms.saturating_add(lasts_ms)))),
                ("private-key", Some(Value::flag(true))),
                ("authority", Some(Value::flag(ca.is_none()))),
                ("ca", ca),
            ];
            for (name, value) in facts {
                self.put(menu.path, id, name, value);
            }
        }
        Ok(Answer::default())
    }

    /// The rows that `.id` or `numbers` names: ids or names, separated by commas.
    pub(super) fn targets(&self, menu: &'static Menu, request: &Request) -> Result<Vec<ItemId>, Trap> {
        if is_single(menu) {
            let table = self.tables.get(menu.path);
            return Ok(table.and_then(crate::store::Table::first).into_iter().collect());
        }
        let argument = TARGET_ARGUMENTS.iter().find(|name| request.argument(name).is_some());
        self.chosen(menu, request, argument.ok_or_else(|| Trap::missing(&["numbers"]))?)
    }

    pub(super) fn chosen(
        &self,
        menu: &'static Menu,
        request: &Request,
        argument: &str,
    ) -> Result<Vec<ItemId>, Trap> {
        let list = request.argument(argument).unwrap_or_default();
        // A name may itself contain a comma, so the whole word is tried first.
        if let Some(id) = self.find_in(menu.path, list) {
            return Ok(vec![id]);
        }
        let words = list.split(|byte| *byte == b',').filter(|word| !word.is_empty()).take(MOST_TARGETS);
        words.map(|word| self.find_in(menu.path, word).ok_or_else(Trap::no_such_item)).collect()
    }

    fn item(&self, menu: &'static Menu, id: ItemId) -> Result<&Item, Trap> {
        self.tables.get(menu.path).and_then(|table| table.item(id)).ok_or_else(Trap::no_such_item)
    }

    /// A new row with what the router fills in by itself.
    pub(super) fn fresh(&self, menu: &'static Menu, now: Moment) -> Item {
        let mut item = Item::empty(menu);
        for (position, property) in menu.properties.iter().enumerate() {
            if let Initial::Text(text) = property.initial {
                // Reading may clear (`""` is unset); an initial reference whose row was removed stays unset.
                let value = self.read(property, text.as_bytes(), None, now).unwrap_or_default();
                let is_empty_text = text.is_empty() && matches!(property.kind, Kind::Text);
                item.put(position, value.or_else(|| is_empty_text.then(|| Value::text(""))));
            } else if let Some(value) = initial_statistic(menu.path, property.name, now) {
                item.put(position, Some(value));
            }
        }
        item
    }

    /// Puts the only row of a menu without ids in place, with what the router fills in and `values`.
    pub(crate) fn furnish(&mut self, menu: &'static Menu, values: &[(&str, Value)], now: Moment) {
        let mut item = self.fresh(menu, now);
        for (name, value) in values {
            if let Some(position) = menu.position(name, self.release) {
                item.put(position, Some(value.clone()));
            }
        }
        if let Some(table) = self.tables.get_mut(menu.path) {
            let id = table.reserve_id();
            table.put(id, item);
        }
    }

    fn copied(&self, menu: &'static Menu, key: &[u8]) -> Result<Item, Trap> {
        let id = self.find_in(menu.path, key).ok_or_else(Trap::no_such_item)?;
        let mut item = self.item(menu, id)?.clone();
        (item.session, item.is_protected) = (None, false);
        for (position, property) in menu.properties.iter().enumerate() {
            if property.is_read_only {
                item.put(position, None);
            }
        }
        Ok(item)
    }

    fn assign(
        &self,
        menu: &'static Menu,
        verb: Verb,
        item: &mut Item,
        request: &Request,
        also_known: &[&str],
        now: Moment,
    ) -> Result<(), Trap> {
        for (name, word) in &request.arguments {
            let text = std::str::from_utf8(name).unwrap_or_default();
            // Every menu knows its rows by `.id`, which is a word of the API and in no dump.
            let is_known = text == ".id" || knows(menu.path, verb, text, self.release).unwrap_or(true);
            if also_known.contains(&text) && is_known {
                continue;
            }
            if !is_known {
                return Err(Trap::unknown_parameter(name));
            }
            let position = self.writable(menu, name)?;
            let Some(property) = menu.properties.get(position) else { continue };
            let value = self.read(property, word, item.value(position), now)?;
            if matches!(property.kind, Kind::Expiry)
                && let Some(dynamic) = menu.position("dynamic", self.release)
            {
                item.put(dynamic, Some(Value::flag(value.is_some())));
            }
            item.put(position, value);
        }
        Ok(())
    }

    fn writable(&self, menu: &'static Menu, name: &[u8]) -> Result<usize, Trap> {
        let unknown = || Trap::unknown_parameter(name);
        let text = std::str::from_utf8(name).map_err(|_| unknown())?;
        menu.writable_position(text, self.release).ok_or_else(unknown)
    }

    fn read(
        &self,
        property: &Property,
        word: &[u8],
        previous: Option<&Value>,
        now: Moment,
    ) -> Result<Option<Value>, values::ValueError> {
        values::read(property, word, previous, now.monotonic_ms, self.release, |menu, name| {
            self.find_in(menu, name)
        })
    }

    fn check_unique(&self, menu: &'static Menu, own: Option<ItemId>, item: &Item) -> Result<(), Trap> {
        let (Some(unique), Some(table)) = (menu.unique, self.tables.get(menu.path)) else { return Ok(()) };
        let Some(key) = table.key_of(item) else { return Ok(()) };
        let positions: Vec<usize> =
            unique.properties.iter().filter_map(|name| menu.position(name, self.release)).collect();
        let is_same =
            |other: &Item| positions.iter().all(|position| other.value(*position) == item.value(*position));
        let clashes =
            table.all_named(&key).filter(|id| Some(*id) != own).filter_map(|id| table.item(id)).any(is_same);
        if clashes { Err(Trap::failure(unique.message)) } else { Ok(()) }
    }

    fn refuse_dynamic(&self, menu: &'static Menu, item: &Item, verb: &str) -> Result<(), Trap> {
        let is_own = item.session.is_some() && menu.has(Verb::Add, self.release);
        if is_own { Err(Trap::dynamic_item(verb)) } else { Ok(()) }
    }

    fn commit(&mut self, menu: &'static Menu, changed: Vec<(ItemId, Item)>, applying: Applying) {
        let Some(table) = self.tables.get_mut(menu.path) else { return };
        if applying == Applying::Pretending {
            return;
        }
        for (id, item) in changed {
            table.put(id, item);
            self.changes.push(Change { menu: menu.path, id, kind: ChangeKind::Present });
        }
    }
}

const TARGET_ARGUMENTS: &[&str] = &[".id", "numbers"];

fn refuse_unknown(request: &Request) -> Result<(), Trap> {
    let is_known = |name: &[u8]| TARGET_ARGUMENTS.iter().any(|known| known.as_bytes() == name);
    match request.arguments.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => Err(Trap::unknown_parameter(name)),
        None => Ok(()),
    }
}

/// Sets the counters of a row to zero.
pub(super) fn clear_counters(table: &mut Table, id: ItemId) {
    let menu = table.menu;
    for (position, property) in
        menu.properties.iter().enumerate().filter(|(_, property)| property.is_read_only)
    {
        match table.value_mut(id, position) {
            Some(Value::Count(count)) if !property.name.starts_with("limit-") => *count = 0,
            Some(Value::Span(span_ms)) => *span_ms = 0,
            Some(Value::Pair(first, second)) => (*first, *second) = (0, 0),
            _ => {}
        }
    }
}

/// What the router itself puts into a new row of a configurable menu.
fn initial_statistic(menu: &str, property: &str, now: Moment) -> Option<Value> {
    Some(match (menu, property) {
        ("ip/hotspot/user", "uptime") => Value::Span(0),
        ("ip/hotspot/user", "bytes-in" | "bytes-out" | "packets-in" | "packets-out") => Value::Count(0),
        ("queue/simple", "bytes" | "packets" | "dropped" | "rate") => Value::Pair(0, 0),
        ("queue/simple", "total-bytes" | "total-packets") => Value::Count(0),
        ("ip/firewall/address-list", "creation-time") => Value::Date(now.unix_ms),
        ("ip/firewall/filter" | "ip/firewall/nat", "bytes" | "packets")
        | ("ip/hotspot/walled-garden", "hits")
        | ("system/script" | "system/scheduler", "run-count") => Value::Count(0),
        ("ip/hotspot", "proxy-status") => Value::text("running"),
        ("certificate", "private-key" | "authority" | "issued")
        | (_, "dynamic" | "default" | "invalid" | "HTTPS" | "expired" | "inactive" | "running") => {
            Value::flag(false)
        }
        _ => return None,
    })
}
