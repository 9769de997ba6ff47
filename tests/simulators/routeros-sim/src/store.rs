//! The rows of one menu: ids, values by property, and an index by name.
//!
//! Knows nothing of words, users or other menus; [`crate::engine`] does.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::sessions::SessionKey;
use crate::tables::Menu;
use crate::values::Value;

/// The `.id` of a row, printed `*1F`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ItemId(u32);

impl ItemId {
    /// The id with this number.
    #[cfg(test)]
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Reads `*1F`.
    #[must_use]
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(word.strip_prefix(b"*")?).ok()?;
        u32::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "*{:X}", self.0)
    }
}

/// A row: a value, or nothing, for each property of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    values: Vec<Option<Value>>,
    /// The subscriber session that this row belongs to and ends with.
    pub session: Option<SessionKey>,
    /// Whether the router refuses to remove it (`default` profiles).
    pub is_protected: bool,
}

impl Item {
    /// A row with every property unset.
    #[must_use]
    pub(crate) fn empty(menu: &Menu) -> Self {
        Self { values: vec![None; menu.properties.len()], session: None, is_protected: false }
    }

    /// The value at a property's position.
    #[must_use]
    pub(crate) fn value(&self, position: usize) -> Option<&Value> {
        self.values.get(position).and_then(Option::as_ref)
    }

    /// Sets or clears the value at a property's position.
    pub(crate) fn put(&mut self, position: usize, value: Option<Value>) {
        if let Some(slot) = self.values.get_mut(position) {
            *slot = value;
        }
    }

    /// The value at a position, to be changed in place.
    pub(crate) fn value_mut(&mut self, position: usize) -> Option<&mut Value> {
        self.values.get_mut(position).and_then(Option::as_mut)
    }
}

/// The rows of a menu.
#[derive(Debug)]
pub(crate) struct Table {
    /// The menu.
    pub menu: &'static Menu,
    items: BTreeMap<ItemId, Item>,
    by_key: HashMap<Vec<u8>, Vec<ItemId>>,
    key_position: Option<usize>,
    /// The rows in the admin's order, for a menu whose order matters; else empty.
    order: Vec<ItemId>,
    /// Counts changes of rows, statistics apart.
    revision: u64,
    next_id: u32,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub(crate) fn new(menu: &'static Menu) -> Self {
        let key_position = menu.properties.iter().position(|property| property.name == menu.key);
        Self {
            menu,
            items: BTreeMap::new(),
            by_key: HashMap::new(),
            key_position,
            order: Vec::new(),
            revision: 0,
            next_id: 1,
        }
    }

    /// A number that is another one after every change of rows; statistics are no change.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    fn touch(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// The number of rows.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The rows in the admin's order where there is one, else in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ItemId, &Item)> {
        let by_id = (!self.menu.is_ordered()).then(|| self.items.iter().map(|(id, item)| (*id, item)));
        let in_order = self.order.iter().filter_map(|id| self.items.get(id).map(|item| (*id, item)));
        in_order.chain(by_id.into_iter().flatten())
    }

    /// Moves rows before another one, or to the end; for a menu whose order matters.
    pub(crate) fn place_before(&mut self, ids: &[ItemId], before: Option<ItemId>) {
        self.touch();
        self.order.retain(|id| !ids.contains(id));
        let place = before.and_then(|before| self.order.iter().position(|id| *id == before));
        let place = place.unwrap_or(self.order.len());
        let present = ids.iter().copied().filter(|id| self.items.contains_key(id));
        self.order.splice(place..place, present);
    }

    /// The row with this id.
    #[must_use]
    pub(crate) fn item(&self, id: ItemId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// The oldest row with this name.
    #[must_use]
    pub(crate) fn named(&self, key: &[u8]) -> Option<ItemId> {
        self.by_key.get(key).and_then(|ids| ids.first()).copied()
    }

    /// Every row with this name, oldest first.
    pub(crate) fn all_named(&self, key: &[u8]) -> impl Iterator<Item = ItemId> + '_ {
        self.by_key.get(key).into_iter().flatten().copied()
    }

    /// Takes the id that the next row will have.
    pub(crate) fn reserve_id(&mut self) -> ItemId {
        let id = ItemId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// Stores a row under a reserved id, in place of what was there.
    pub(crate) fn put(&mut self, id: ItemId, item: Item) {
        self.touch();
        self.forget_key(id);
        if let Some(key) = self.key_of(&item) {
            let ids = self.by_key.entry(key).or_default();
            ids.push(id);
            ids.sort_unstable();
        }
        if self.items.insert(id, item).is_none() && self.menu.is_ordered() {
            self.order.push(id);
        }
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, id: ItemId) -> Option<Item> {
        self.touch();
        self.forget_key(id);
        if self.menu.is_ordered() {
            self.order.retain(|other| *other != id);
        }
        self.items.remove(&id)
    }

    /// Changes one value in place. Not for the key property, whose index [`Table::put`] keeps.
    pub(crate) fn value_mut(&mut self, id: ItemId, position: usize) -> Option<&mut Value> {
        if Some(position) == self.key_position {
            return None;
        }
        self.items.get_mut(&id)?.value_mut(position)
    }

    /// The text of a row's name.
    #[must_use]
    pub(crate) fn key_of(&self, item: &Item) -> Option<Vec<u8>> {
        match item.value(self.key_position?)? {
            Value::Text(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Removes every row; the ids count on until they are started over.
    pub(crate) fn clear(&mut self) {
        self.touch();
        self.items.clear();
        self.by_key.clear();
        self.order.clear();
    }

    /// Starts the ids over after the greatest that is in use, as a reboot does for what lives in memory.
    pub(crate) fn restart_ids(&mut self) {
        self.next_id = self.items.keys().next_back().map_or(1, |id| id.0.saturating_add(1));
    }

    /// The oldest row.
    #[must_use]
    pub(crate) fn first(&self) -> Option<ItemId> {
        self.items.keys().next().copied()
    }

    fn forget_key(&mut self, id: ItemId) {
        let Some(key) = self.items.get(&id).and_then(|item| self.key_of(item)) else { return };
        if let Some(ids) = self.by_key.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}
