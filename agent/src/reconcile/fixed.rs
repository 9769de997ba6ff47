//! What the router has of lines where nobody logs in, as types: queues, entries of two address lists, hotspot bindings.
//!
//! Pure: rows go in, typed rows come out. Dynamic rows (the queue of a session, an entry with a time-out) are never
//! ours and are not asked for. The two lists are named here and nowhere else: what they keep from the network is the
//! router's firewall's business. Rows of those who log in are in `actual.rs`; what must change is `plan/fixed.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use routeros_api::value::{RouterId, UpDown, ValueError, parse_duration, parse_number, parse_rate};
use routeros_api::{Query, Row};
use tawi_shared::Gather as _;

use crate::reconcile::actual::{Table, disabled, mark, text};

/// Addresses that reach the pages on which their customers can pay, and nothing else.
pub const WALLED_LIST: &str = "tawi-walled";
/// Addresses that reach nothing.
pub const OFF_LIST: &str = "tawi-off";

/// What to read of a queue.
pub const QUEUE_PROPERTIES: &[&str] = &[
    ".id",
    "name",
    "comment",
    "target",
    "disabled",
    "max-limit",
    "burst-limit",
    "burst-threshold",
    "burst-time",
    "priority",
];
/// What to read of an entry of an address list.
pub const ENTRY_PROPERTIES: &[&str] = &[".id", "list", "address", "comment", "disabled"];
/// What to read of a binding.
pub const BINDING_PROPERTIES: &[&str] = &[".id", "mac-address", "address", "type", "comment", "disabled"];

/// A queue of `/queue/simple` that somebody made.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// To address it in this pass.
    pub id: RouterId,
    /// `None` when it is not UTF-8.
    pub name: Option<String>,
    /// The line whose mark it bears.
    pub mark: Option<String>,
    /// Whom it holds back; without the `/32` of a single address.
    pub target: Option<String>,
    /// `None` when the router said neither yes nor no.
    pub is_disabled: Option<bool>,
    /// How it holds back; `None` when it cannot be read, and then it equals nothing.
    pub shape: Option<Shape>,
}

/// How a queue holds back; each pair is upload/download on the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bits per second; 0 for no limit.
    pub limit: UpDown<u64>,
    /// Bits per second while bursting; 0 for no burst.
    pub burst: UpDown<u64>,
    /// Bits per second on average above which a burst ends.
    pub threshold: UpDown<u64>,
    /// Over which the average is taken.
    pub time: UpDown<Duration>,
    /// From 1, served first, to 8.
    pub priority: UpDown<u64>,
}

/// An entry of one of the two lists.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// To address it in this pass.
    pub id: RouterId,
    /// Which list.
    pub list: Option<String>,
    /// Whom it is about; without the `/32` of a single address.
    pub address: Option<String>,
    /// The line whose mark it bears.
    pub mark: Option<String>,
    /// `None` when the router said neither yes nor no.
    pub is_disabled: Option<bool>,
}

/// How a hotspot treats a device.
#[derive(Clone, Debug)]
pub struct BindingRow {
    /// To address it in this pass.
    pub id: RouterId,
    /// Which device, in capitals.
    pub mac: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// `bypassed`, `blocked` or `regular`, which is also what none means.
    pub kind: Option<String>,
    /// The line whose mark it bears.
    pub mark: Option<String>,
    /// `None` when the router said neither yes nor no.
    pub is_disabled: Option<bool>,
}

/// The rows of lines where nobody logs in.
#[derive(Clone, Debug, Default)]
pub struct FixedRows {
    /// Ours and foreign.
    pub queues: Vec<QueueRow>,
    /// Ours and foreign, of the two lists.
    pub entries: Vec<EntryRow>,
    /// Ours and foreign.
    pub bindings: Vec<BindingRow>,
    /// Why queues and address lists could not be read, in the router's words.
    pub unavailable: Option<String>,
    /// Why bindings could not be read: a router without a hotspot has none.
    pub no_bindings: Option<String>,
}

impl FixedRows {
    /// Lines whose queue is there and whose address is in neither list.
    pub(super) fn usable_lines(&self) -> usize {
        let held: BTreeSet<&str> = self.entries.iter().filter_map(|row| row.mark.as_deref()).into_set();
        let lines: BTreeSet<&str> = self.queues.iter().filter_map(|row| row.mark.as_deref()).into_set();
        lines.difference(&held).count()
    }

    /// Every row, by its table.
    pub(super) fn ids(&self) -> impl Iterator<Item = (Table, &RouterId)> {
        let queues = self.queues.iter().map(|row| (Table::Queues, &row.id));
        let entries = self.entries.iter().map(|row| (Table::AddressLists, &row.id));
        queues.chain(entries).chain(self.bindings.iter().map(|row| (Table::Bindings, &row.id)))
    }

    /// A row that was found by its mark and by its address is one row.
    pub(super) fn drop_doubles(&mut self) {
        let mut seen = BTreeSet::new();
        self.entries.retain(|row| seen.insert(row.id.number()));
        seen.clear();
        self.bindings.retain(|row| seen.insert(row.id.number()));
    }
}

/// Rows that are not dynamic, in the words of releases that say so and of those that leave it out.
#[must_use]
pub fn made_by_hand() -> Query {
    Query::equals("dynamic", "true").negate()
}

/// Entries of the two lists. Lists of somebody else may have tens of thousands.
#[must_use]
pub fn our_lists() -> Option<Query> {
    Query::any_of("list", &[WALLED_LIST, OFF_LIST])
}

/// Reads a row of `/queue/simple`.
#[must_use]
pub fn queue_row(row: &Row) -> Option<QueueRow> {
    Some(QueueRow {
        id: row.id()?,
        name: text(row, "name"),
        mark: mark(row),
        target: text(row, "target").map(single),
        is_disabled: disabled(row),
        shape: shape(row),
    })
}

/// Reads a row of `/ip/firewall/address-list`.
#[must_use]
pub fn entry_row(row: &Row) -> Option<EntryRow> {
    Some(EntryRow {
        id: row.id()?,
        list: text(row, "list"),
        address: text(row, "address").map(single),
        mark: mark(row),
        is_disabled: disabled(row),
    })
}

/// Reads a row of `/ip/hotspot/ip-binding`.
#[must_use]
pub fn binding_row(row: &Row) -> Option<BindingRow> {
    Some(BindingRow {
        id: row.id()?,
        mac: text(row, "mac-address").map(|mac| mac.to_ascii_uppercase()),
        address: text(row, "address"),
        kind: text(row, "type"),
        mark: mark(row),
        is_disabled: disabled(row),
    })
}

/// Releases write a single address with and without its prefix.
fn single(address: String) -> String {
    match address.strip_suffix("/32") {
        Some(single) => single.to_owned(),
        None => address,
    }
}

/// The priority of a queue that nobody gave another.
const LAST: u64 = 8;

fn shape(row: &Row) -> Option<Shape> {
    Some(Shape {
        limit: pair(row, "max-limit", parse_rate, 0)?,
        burst: pair(row, "burst-limit", parse_rate, 0)?,
        threshold: pair(row, "burst-threshold", parse_rate, 0)?,
        time: pair(row, "burst-time", parse_duration, Duration::ZERO)?,
        priority: pair(row, "priority", parse_number, LAST)?,
    })
}

/// Upload and download, or one for both. A property that is left out, or empty, has its default: releases differ in
/// which they print.
fn pair<T: Copy>(
    row: &Row,
    name: &str,
    read: impl Fn(&[u8]) -> Result<T, ValueError>,
    default: T,
) -> Option<UpDown<T>> {
    let Some(value) = row.get(name).filter(|value| !value.is_empty()) else {
        return Some(UpDown { upload: default, download: default });
    };
    let mut halves = value.split(|byte| *byte == b'/');
    let upload = read(halves.next()?).ok()?;
    let download = halves.next().map_or(Some(upload), |half| read(half).ok())?;
    halves.next().is_none().then_some(UpDown { upload, download })
}

#[cfg(test)]
mod tests {
    use super::*;
    use routeros_api::wire::Sentence;

    fn row(words: &[&'static str]) -> Row {
        Row::from(std::iter::once("!re").chain(words.iter().copied()).collect::<Sentence>())
    }

    /// The row of a real router in the reference, with our mark.
    #[test]
    fn a_real_queue_is_read_upload_first() {
        let queue = queue_row(&row(&[
            "=.id=*6F3",
            "=name=25869",
            "=target=10.16.97.102/32",
            "=priority=8/8",
            "=max-limit=25000000/50M",
            "=burst-limit=0/0",
            "=burst-threshold=0/0",
            "=burst-time=0s/16s",
            "=disabled=false",
            "=comment=tawi:plot1",
        ]))
        .unwrap();
        assert_eq!((queue.target.as_deref(), queue.mark.as_deref()), (Some("10.16.97.102"), Some("plot1")));
        let shape = queue.shape.unwrap();
        assert_eq!(shape.limit, UpDown { upload: 25_000_000, download: 50_000_000 });
        assert_eq!(shape.time, UpDown { upload: Duration::ZERO, download: Duration::from_secs(16) });
        assert_eq!(shape.priority, UpDown::both(8));
    }

    /// The other real row of the reference, of release 6, which leaves one out.
    #[test]
    fn what_a_queue_does_not_say_is_as_by_default() {
        let queue = queue_row(&row(&[
            "=.id=*6F3",
            "=name=25869",
            "=target=10.16.97.102/32",
            "=priority=8/8",
            "=max-limit=25000000/25000000",
            "=burst-limit=0/0",
            "=burst-time=0s/0s",
            "=disabled=false",
        ]))
        .unwrap();
        let none = UpDown::both(0);
        let shape = Shape {
            limit: UpDown::both(25_000_000),
            burst: none,
            threshold: none,
            time: UpDown { upload: Duration::ZERO, download: Duration::ZERO },
            priority: UpDown::both(8),
        };
        assert_eq!(queue.shape, Some(shape));
        let bare =
            queue_row(&row(&["=.id=*1", "=name=a", "=max-limit=25M/25M", "=burst-threshold="])).unwrap();
        assert_eq!(bare.shape, Some(shape));
    }

    #[test]
    fn a_queue_that_cannot_be_read_equals_nothing() {
        assert!(queue_row(&row(&["=.id=*1", "=name=a", "=max-limit=1/2/3"])).unwrap().shape.is_none());
        assert!(queue_row(&row(&["=name=a"])).is_none());
    }
}
