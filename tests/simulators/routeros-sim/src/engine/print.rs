//! Commands that read: `print`, `get`, and what a `listen` shows of a row.

use super::{Engine, is_single};
use crate::clock::Moment;
use crate::policies::Actor;
use crate::query::Query;
use crate::release::Release;
use crate::request::Request;
use crate::store::{Item, ItemId, Table};
use crate::tables::{Kind, Menu, PrintArgument, print_argument};
use crate::trap::Trap;
use crate::values::{Dialect, ValueError};

/// The words of a reply row, in order.
pub type Row = Vec<(&'static str, Vec<u8>)>;

/// What a command returns before its `!done`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `!re` rows.
    pub rows: Vec<Row>,
    /// The `=ret=` word of `!done`.
    pub ret: Option<Vec<u8>>,
}

/// Which rows and properties of a menu someone wants to see.
#[derive(Clone, Debug)]
pub(crate) struct View {
    proplist: Option<Vec<Vec<u8>>>,
    query: Query,
    secrets: Secrets,
}

/// How a view shows passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrets {
    Shown,
    LeftOut,
    Redacted,
}

/// What stands for a password where none may be shown.
pub(crate) const REDACTED: &str = "<redacted>";

impl View {
    /// Reads the arguments and queries of a print or listen.
    ///
    /// # Errors
    /// An unknown argument or a malformed query.
    pub(crate) fn parse(
        menu: &Menu,
        release: Release,
        request: &Request,
        actor: &Actor,
    ) -> Result<Self, Trap> {
        let mut proplist = None;
        let mut is_asked = !release.hides_secrets_until_asked();
        for (name, value) in &request.arguments {
            let text = std::str::from_utf8(name).unwrap_or_default();
            if text == ".proplist" {
                proplist = Some(value.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect());
                continue;
            }
            match print_argument(menu, text, release).ok_or_else(|| Trap::unknown_parameter(name))? {
                PrintArgument::ShowSensitive => is_asked = true,
                PrintArgument::NotSimulated => return Err(Trap::not_simulated(&format!("print {text}"))),
                PrintArgument::CountOnly | PrintArgument::From | PrintArgument::Layout => {}
            }
        }
        let secrets = if is_asked && actor.may("sensitive") { Secrets::Shown } else { Secrets::LeftOut };
        Ok(Self { proplist, query: Query::parse(&request.queries)?, secrets })
    }

    fn wants(&self, name: &str) -> bool {
        self.proplist.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name.as_bytes()))
    }
}

impl Engine {
    pub(super) fn print(
        &self,
        menu: &'static Menu,
        request: &Request,
        actor: &Actor,
        now: Moment,
    ) -> Result<Answer, Trap> {
        let view = View::parse(menu, self.release, request, actor)?;
        let dialect = self.dialect(now);
        let only = match request.argument("from") {
            Some(_) => Some(self.chosen(menu, request, "from")?),
            None => None,
        };
        let table = self.tables.get(menu.path).ok_or_else(Trap::no_such_prefix)?;
        let candidates = self.candidates(table, &view.query);
        let everything = candidates.is_none().then(|| table.iter());
        let named = candidates.iter().flatten().filter_map(|id| table.item(*id).map(|item| (*id, item)));
        let accepted = named
            .chain(everything.into_iter().flatten())
            .filter(|(id, _)| only.as_ref().is_none_or(|only| only.contains(id)))
            .filter(|(id, item)| self.passes(menu, *id, item, &view, dialect));
        if request.argument("count-only").is_some() {
            return Ok(Answer { rows: Vec::new(), ret: Some(accepted.count().to_string().into_bytes()) });
        }
        let rows = accepted.map(|(id, item)| self.row(menu, id, item, &view, dialect)).collect();
        Ok(Answer { rows, ret: None })
    }

    pub(super) fn get(
        &self,
        menu: &'static Menu,
        request: &Request,
        actor: &Actor,
        now: Moment,
    ) -> Result<Answer, Trap> {
        for (name, _) in &request.arguments {
            if ![&b"number"[..], b"numbers", b".id", b"value-name"].contains(&name.as_slice()) {
                return Err(Trap::unknown_parameter(name));
            }
        }
        let everything = Request::default();
        let view = View::parse(menu, self.release, &everything, actor)?;
        let number = request.argument("number").map(|number| everything.clone().with("numbers", number));
        let id = *self
            .targets(menu, number.as_ref().unwrap_or(request))?
            .first()
            .ok_or_else(Trap::no_such_item)?;
        let wanted = request.argument("value-name").ok_or_else(|| Trap::missing(&["value-name"]))?;
        let name = std::str::from_utf8(wanted).unwrap_or_default();
        let is_known = name == ".id" || menu.position(name, self.release).is_some();
        if !is_known || self.is_hidden(menu.path, name) {
            return Err(ValueError::NoMatch("value-name").into());
        }
        let item =
            self.tables.get(menu.path).and_then(|table| table.item(id)).ok_or_else(Trap::no_such_item)?;
        let row = self.row(menu, id, item, &view, self.dialect(now));
        let value = row.into_iter().find(|(name, _)| name.as_bytes() == wanted).map(|(_, value)| value);
        Ok(Answer { rows: Vec::new(), ret: Some(value.unwrap_or_default()) })
    }

    /// The row as `view` shows it, or `None` when its query hides it or it is gone.
    #[must_use]
    pub(crate) fn row_for(&self, menu: &'static Menu, id: ItemId, view: &View, now: Moment) -> Option<Row> {
        let item = self.tables.get(menu.path)?.item(id)?;
        let dialect = self.dialect(now);
        self.passes(menu, id, item, view, dialect).then(|| self.row(menu, id, item, view, dialect))
    }

    /// Every row of a menu with every property, secrets redacted: what the control port shows.
    #[must_use]
    pub(crate) fn redacted_rows(&self, menu: &'static Menu, now: Moment) -> Vec<Row> {
        let view = View { proplist: None, query: Query::default(), secrets: Secrets::Redacted };
        let dialect = self.dialect(now);
        let table = self.tables.get(menu.path);
        table
            .into_iter()
            .flat_map(crate::store::Table::iter)
            .map(|(id, item)| self.row(menu, id, item, &view, dialect))
            .collect()
    }

    /// The rows that a query can accept at all, when it names them by id or by name; in the order of the table.
    /// Asking for one name among ten thousand is what clients do most.
    fn candidates(&self, table: &Table, query: &Query) -> Option<Vec<ItemId>> {
        let menu = table.menu;
        if menu.is_ordered() || is_single(menu) {
            return None;
        }
        let mut ids: Vec<ItemId> = if let Some(ids) = query.only(b".id") {
            ids.into_iter().filter_map(ItemId::parse).collect()
        } else {
            let key = menu.position(menu.key, self.release).and_then(|at| menu.properties.get(at))?;
            if !matches!(key.kind, Kind::Text | Kind::Mac) {
                return None;
            }
            query.only(menu.key.as_bytes())?.into_iter().flat_map(|name| table.all_named(name)).collect()
        };
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    fn passes(&self, menu: &'static Menu, id: ItemId, item: &Item, view: &View, dialect: Dialect) -> bool {
        view.query.accepts(|name| {
            if name == b".id" {
                return (!is_single(menu)).then(|| id.to_string().into_bytes());
            }
            let position = menu.position(std::str::from_utf8(name).ok()?, self.release)?;
            let property = menu.properties.get(position)?;
            if matches!(property.kind, Kind::Secret) && view.secrets != Secrets::Shown {
                return None;
            }
            self.shown(property, item.value(position)?, dialect)
        })
    }

    fn row(&self, menu: &'static Menu, id: ItemId, item: &Item, view: &View, dialect: Dialect) -> Row {
        let mut row = Row::new();
        if !is_single(menu) && view.wants(".id") {
            row.push((".id", id.to_string().into_bytes()));
        }
        for (position, property) in menu.properties.iter().enumerate() {
            let is_secret = matches!(property.kind, Kind::Secret);
            let is_hidden = is_secret && view.secrets == Secrets::LeftOut;
            if !property.exists_in(self.release)
                || is_hidden
                || !view.wants(property.name)
                || self.is_hidden(menu.path, property.name)
            {
                continue;
            }
            match item.value(position) {
                Some(_) if is_secret && view.secrets == Secrets::Redacted => {
                    row.push((property.name, REDACTED.as_bytes().to_vec()));
                }
                Some(value) => {
                    row.extend(self.shown(property, value, dialect).map(|text| (property.name, text)));
                }
                None if self.release.sends_unset_as_empty()
                    && !property.is_read_only
                    && property.name != "comment" =>
                {
                    row.push((property.name, Vec::new()));
                }
                None => {}
            }
        }
        row
    }
}
