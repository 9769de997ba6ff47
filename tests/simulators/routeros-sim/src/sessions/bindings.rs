//! Static server bindings: a row in `/interface/pppoe-server` (or of another PPP service) that an admin made for a
//! user. It is an interface with a name of the admin's choosing that stays when the session goes, so its counters
//! run on from session to session, and nothing can be read from its name.
//!
//! Dynamic rows, which come and go with their session, are [`super::ppp`].

use super::{Ending, Session, Sessions};
use crate::clock::Moment;
use crate::engine::{Change, Engine};
use crate::store::{Item, ItemId, Table};
use crate::tables::BINDINGS;
use crate::values::Value;

const INTERFACE: &str = "interface";

/// A binding: its menu and row.
pub(super) type Binding = (&'static str, ItemId);

/// The rows that a session uses and does not own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    menu: &'static str,
    binding: ItemId,
    pub(super) interface: ItemId,
}

/// The free, enabled binding of a user, and its name.
pub(super) fn free_binding(
    engine: &Engine,
    known: &[Binding],
    menu: &'static str,
    user: &[u8],
) -> Option<(Held, Vec<u8>)> {
    let rows = known.iter().filter(|(of_menu, _)| *of_menu == menu);
    let is_theirs = |id: &ItemId| {
        engine.text(menu, *id, "user").as_deref() == Some(user)
            && !engine.is_set(menu, *id, "disabled")
            && !engine.is_set(menu, *id, "running")
    };
    let binding = rows.map(|(_, id)| *id).find(is_theirs)?;
    let name = engine.text(menu, binding, "name")?;
    let interface = engine.find(INTERFACE, &name)?;
    Some((Held { menu, binding, interface }, name))
}

impl Held {
    /// The session is up; `shown` are the words that the row has only then.
    pub(super) fn bring_up(self, engine: &mut Engine, shown: Vec<(&'static str, Value)>, now: Moment) {
        for (name, value) in shown {
            if !matches!(name, "name" | "user" | "service" | "dynamic" | "disabled") {
                engine.put(self.menu, self.binding, name, Some(value));
            }
        }
        engine.put(self.menu, self.binding, "running", Some(Value::flag(true)));
        engine.put(INTERFACE, self.interface, "running", Some(Value::flag(true)));
        engine.put(INTERFACE, self.interface, "last-link-up-time", Some(Value::Date(now.unix_ms)));
    }

    /// The session is gone and the rows stay.
    pub(super) fn bring_down(self, engine: &mut Engine, now: Moment) {
        for name in ["remote-address", "client-address", "interface", "mtu", "mru", "uptime", "encoding"] {
            engine.put(self.menu, self.binding, name, None);
        }
        engine.put(self.menu, self.binding, "running", Some(Value::flag(false)));
        engine.put(INTERFACE, self.interface, "running", Some(Value::flag(false)));
        engine.put(INTERFACE, self.interface, "last-link-down-time", Some(Value::Date(now.unix_ms)));
        engine.measure(INTERFACE, self.interface, "link-downs", |value| {
            if let Value::Count(count) = value {
                *count = count.saturating_add(1);
            }
        });
    }
}

impl Sessions {
    /// Whether a change is one of a binding, and not of a session that comes or goes.
    pub(crate) fn is_about_binding(&self, engine: &Engine, change: &Change) -> bool {
        let is_menu = BINDINGS.iter().any(|(menu, _)| *menu == change.menu);
        let item = || engine.table(change.menu).and_then(|table| table.item(change.id));
        is_menu
            && (self.bindings.contains(&(change.menu, change.id))
                || item().is_some_and(|item| item.session.is_none()))
    }

    /// Gives every binding its interface and takes those of removed ones away; ends the sessions of bindings that
    /// are gone or disabled. Returns the devices that were dropped.
    pub(crate) fn follow_bindings(&mut self, engine: &mut Engine, now: Moment) -> Vec<String> {
        let mut names: Vec<(Vec<u8>, &'static str)> = Vec::new();
        self.bindings.clear();
        for (menu, kind) in BINDINGS {
            let rows = engine.table(menu).into_iter().flat_map(Table::iter);
            let of_admin = rows.filter(|(_, item)| item.session.is_none()).map(|(id, _)| id);
            let of_admin: Vec<ItemId> = of_admin.collect();
            self.bindings.extend(of_admin.iter().map(|id| (menu, *id)));
            let of_admin = of_admin.into_iter();
            names.extend(of_admin.filter_map(|id| Some((engine.text(menu, id, "name")?, kind))));
        }
        for (name, kind) in &names {
            if engine.find(INTERFACE, name).is_none() {
                engine.place(INTERFACE, &interface_row(name, kind), None);
            }
        }
        let is_left_over = |(id, item): &(ItemId, &Item)| {
            if item.session.is_some() {
                return false;
            }
            let text = |property: &str| engine.text(INTERFACE, *id, property).unwrap_or_default();
            let is_of_a_binding = BINDINGS.iter().any(|(_, kind)| text("type") == kind.as_bytes());
            is_of_a_binding
                && text("dynamic") == b"false"
                && !names.iter().any(|(name, _)| *name == text("name"))
        };
        let rows = engine.table(INTERFACE).into_iter().flat_map(Table::iter);
        let left_over: Vec<ItemId> = rows.filter(is_left_over).map(|(id, _)| id).collect();
        left_over.into_iter().for_each(|id| engine.displace(INTERFACE, id));

        let is_lost = |session: &Session| {
            session.held.is_some_and(|held| {
                engine.value(held.menu, held.binding, "name").is_none()
                    || engine.is_set(held.menu, held.binding, "disabled")
            })
        };
        let lost: Vec<_> =
            self.live.iter().filter(|(_, session)| is_lost(session)).map(|(key, _)| *key).collect();
        lost.into_iter().filter_map(|key| self.end(engine, key, Ending::Removed, now)).collect()
    }
}

fn interface_row(name: &[u8], kind: &str) -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("name", Value::text(name)),
        ("type", Value::text(kind)),
        ("dynamic", Value::flag(false)),
        ("running", Value::flag(false)),
        ("disabled", Value::flag(false)),
    ];
    let counters = ["link-downs", "rx-byte", "tx-byte", "rx-packet", "tx-packet", "rx-drop", "tx-drop"];
    values.extend(counters.map(|counter| (counter, Value::Count(0))));
    values
}
