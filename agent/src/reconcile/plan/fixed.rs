//! What must change for lines where nobody logs in: their queues, entries of the two lists and hotspot bindings.
//!
//! Pure. Such a line is held back by its queue, and kept from the network by an entry in a list that the router's
//! firewall heeds: without those rules (`tawi-agent router-script` prints them) an entry does nothing. A line that is no
//! more leaves neither queue nor entry behind, and what its address may do then is the firewall's business. The queue of
//! a line that is off stays as it is, without a claim to its name; and one that is on has its address and its device, were
//! they left at another that is not, whose queue goes then. What bars an address waits until whoever had it is gone from
//! it, or the guard would hold a cut that has come by another's entry. A new speed reaches whoever uses it at once, so that nobody is thrown out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use routeros_api::value::{RateLimit, RouterId, UpDown};
use tawi_shared::Gather as _;
use tawi_shared::wire::{FailureKind, LineV1, ProfileV1, Service};

use super::names::{Claim, Claims, Outlook, name_between};
use super::profiles::rate_limit_of;
use super::{
    CutReason, First, GoneLine, LineChange, Lookup, Plan, RowChange, Scope, Values, Wait, WantedLine,
    failure, foreign,
};
use crate::enforce::Effective;
use crate::flow::LineFailure;
use crate::reconcile::actual::{Family, Table, mark_of};
use crate::reconcile::fixed::{BindingRow, EntryRow, FixedRows, OFF_LIST, QueueRow, Shape, WALLED_LIST};

/// The rows by what they are looked up by.
pub(super) struct FixedIndex<'a> {
    rows: &'a FixedRows,
    queues_by_mark: Lookup<'a, QueueRow>,
    queues_by_name: Lookup<'a, QueueRow>,
    queues_by_target: Lookup<'a, QueueRow>,
    entries_by_mark: Lookup<'a, EntryRow>,
    entries_by_address: Lookup<'a, EntryRow>,
    bindings_by_mark: Lookup<'a, BindingRow>,
    bindings_by_mac: Lookup<'a, BindingRow>,
}

impl<'a> FixedIndex<'a> {
    pub(super) fn of(rows: &'a FixedRows) -> Self {
        Self {
            rows,
            queues_by_mark: Lookup::of(&rows.queues, |row| row.mark.as_deref()),
            queues_by_name: Lookup::of(&rows.queues, |row| row.name.as_deref()),
            queues_by_target: Lookup::of(&rows.queues, |row| row.target.as_deref()),
            entries_by_mark: Lookup::of(&rows.entries, |row| row.mark.as_deref()),
            entries_by_address: Lookup::of(&rows.entries, |row| row.address.as_deref()),
            bindings_by_mark: Lookup::of(&rows.bindings, |row| row.mark.as_deref()),
            bindings_by_mac: Lookup::of(&rows.bindings, |row| row.mac.as_deref()),
        }
    }

    /// Whether a queue of this line's has its name.
    pub(super) fn has_name(&self, line: &LineV1) -> bool {
        self.queues_by_name.get(&line.username).any(|row| row.mark.as_deref() == Some(&line.line))
    }

    /// Whether a queue of this line's holds back its address.
    fn holds_back(&self, line: &LineV1) -> bool {
        self.queues_by_target.get(&line.address).any(|row| row.mark.as_deref() == Some(&line.line))
    }

    /// Everything of this line's that is there.
    fn removals(&self, line: &str, changes: &mut Vec<LineChange>) {
        let removal = |table, id: &RouterId, loses: bool| {
            let cut = loses.then_some(CutReason::Removed);
            change(line, 0, table, RowChange::Drop(id.clone()), cut, vec!["row"])
        };
        let queues = self.queues_by_mark.get(line);
        changes.extend(queues.map(|row| removal(Table::Queues, &row.id, true)));
        let bindings = self.bindings_by_mark.get(line);
        changes.extend(bindings.map(|row| {
            let removal = removal(Table::Bindings, &row.id, row.kind.as_deref() == Some("bypassed"));
            LineChange { kick: row.mac.clone().into_iter().collect(), ..removal }
        }));
        let entries = self.entries_by_mark.get(line);
        changes.extend(entries.map(|row| removal(Table::AddressLists, &row.id, false)));
    }

    /// Rows of a line that is no more, and devices that the hotspot must still see anew.
    pub(super) fn plan_gone(&self, gone: &GoneLine<'_>, changes: &mut Vec<LineChange>) {
        self.removals(gone.line, changes);
        let leave = || change(gone.line, 0, Table::Bindings, RowChange::Leave, None, vec![]);
        changes
            .extend(self.owed(gone.line, gone.owes_kick, changes).map(|kick| LineChange { kick, ..leave() }));
    }

    /// Devices that a pass which was cut short still had to have seen anew, and that nothing planned so far does. One
    /// that has a binding of another line by now is that line's business.
    fn owed(&self, line: &str, owes_kick: &[String], changes: &[LineChange]) -> Option<Vec<String>> {
        let is_planned =
            |mac: &String| changes.iter().any(|change| change.line == line && change.kick.contains(mac));
        let is_others =
            |mac: &str| self.bindings_by_mac.get(mac).any(|row| row.mark.as_deref() != Some(line));
        let owed = owes_kick.iter().filter(|mac| is_mac(mac) && !is_planned(mac) && !is_others(mac));
        let owed: BTreeSet<String> = owed.cloned().into_set();
        (!owed.is_empty()).then(|| owed.into_iter().collect())
    }

    /// Rows of lines that should have none here.
    pub(super) fn plan_orphans(&self, scope: &Scope<'_>, changes: &mut Vec<LineChange>) {
        let Some(all_lines) = &scope.all_lines else { return };
        let rows = self.rows;
        let marks = rows.queues.iter().map(|row| &row.mark);
        let marks = marks.chain(rows.entries.iter().map(|row| &row.mark));
        let marks: BTreeSet<&str> =
            marks.chain(rows.bindings.iter().map(|row| &row.mark)).filter_map(Option::as_deref).into_set();
        for mark in marks {
            let is_wanted_here =
                all_lines.get(mark).is_some_and(|wanted| wanted.is_none_or(|of| of == Family::Fixed));
            if !is_wanted_here
                && !scope.gone.iter().any(|gone| gone.family == Family::Fixed && gone.line == mark)
            {
                self.removals(mark, changes);
            }
        }
    }
}

/// What lines that were understood have, by whom.
#[derive(Default)]
struct Taken<'a> {
    addresses: BTreeMap<String, &'a str>,
    macs: BTreeMap<String, &'a str>,
}

/// What a valid line of these says, once it is understood.
struct Place<'a> {
    address: String,
    /// The device behind a hotspot.
    mac: Option<String>,
    /// The list that the address must be in.
    list: Option<&'static str>,
    /// How the queue must be; `None` where it is left alone.
    shape: Option<Shape>,
    /// Set where another line has what this one is kept out by: what it has of that goes, and it fails.
    outdone: Option<Outdone<'a>>,
    wanted: &'a WantedLine<'a>,
}

/// What a line that is off has not.
#[derive(Clone)]
struct Outdone<'a> {
    /// Who has it.
    by: &'a str,
    /// Whether that is the address.
    is_of_address: bool,
    failure: LineFailure,
}

/// Why a line has no place, and who has it.
type NoPlace<'a> = (LineFailure, Option<&'a str>);

/// Plans the lines of this family.
pub(super) fn plan_lines<'a>(
    lines: &[&'a WantedLine<'a>],
    index: &FixedIndex<'_>,
    scope: &Scope<'_>,
    plan: &mut Plan,
    first: &mut First,
) {
    let (mut taken, mut places) = (Taken::default(), Vec::new());
    // Whoever is on first: to bar the address of a line that is off would bar whoever has it by now. Then whoever had it
    // last, so that the entry which bars him is his own, and a cut.
    let (on, off): (Vec<_>, Vec<_>) = lines.iter().partition(|wanted| wanted.state.is_online());
    let (had_it, others): (Vec<_>, Vec<_>) =
        off.into_iter().partition(|wanted: &&WantedLine<'_>| index.holds_back(wanted.line));
    for wanted in on.into_iter().chain(had_it).chain(others) {
        match place_of(wanted, index, &mut taken, scope) {
            Ok(place) => {
                let outdone = place.outdone.clone();
                plan.blocked.extend(outdone.as_ref().map(|it| (wanted.line.line.clone(), it.by.to_owned())));
                plan.failures.extend(outdone.map(|it| it.failure));
                places.push(place);
            }
            Err((failure, by)) => {
                plan.blocked.extend(by.map(|by| (wanted.line.line.clone(), by.to_owned())));
                plan.failures.push(failure);
            }
        }
    }
    let claims = Claims::of(claims_of(&places, index, scope));
    // Nobody is logged in by a name here.
    let elsewhere = claims.elsewhere().map(|(holder, _)| ((Family::Fixed, holder.to_owned()), String::new()));
    plan.holders_elsewhere.extend(elsewhere);
    for place in &places {
        if let Some(holder) = claims.blocked_by(&place.line().line) {
            let detail = format!("line {holder} has its name, address or device on the router and keeps it");
            plan.failures.push(foreign(place.line(), &detail));
            plan.blocked.push((place.line().line.clone(), holder.to_owned()));
            continue;
        }
        plan.waits.extend(claims.waits_of(&place.line().line));
        place.plan_queue(index, &claims, &mut plan.lines, first);
        place.plan_binding(index, &claims, &mut plan.lines);
        place.plan_entries(index, &mut plan.lines);
    }
    for place in places.iter().filter(|place| claims.blocked_by(&place.line().line).is_none()) {
        place.wait_for_address(index, scope, plan);
    }
    first.dropped.extend(index.rows.ids().filter(|(table, id)| claims.is_claimed(*table, id)).map(number));
}

fn number((table, id): (Table, &RouterId)) -> (Table, u64) {
    (table, id.number())
}

/// Where a line belongs, unless it can have no place.
fn place_of<'a>(
    wanted: &'a WantedLine<'a>,
    index: &FixedIndex<'_>,
    taken: &mut Taken<'a>,
    scope: &Scope<'_>,
) -> Result<Place<'a>, NoPlace<'a>> {
    let refused = |detail: String| (failure(wanted.line, FailureKind::Refused, detail), None);
    let mut place = understand(wanted, scope).map_err(refused)?;
    if let Some((by, what)) = taken.by_another(&place) {
        let failure = foreign(wanted.line, &format!("line {by} has the {what}"));
        if wanted.state.is_online() {
            return Err((failure, Some(by)));
        }
        place.yield_to_others(by, failure, taken);
    }
    taken.note(&place);
    if let Some(reason) =
        index.rows.unavailable.as_ref().or_else(|| place.mac.as_ref().and(index.rows.no_bindings.as_ref()))
    {
        return Err(refused(format!("the router does not show what this line needs: {reason}")));
    }
    let foreign_row = place.held(index).find(|held| held.mark.is_none());
    match foreign_row {
        Some(held) => Err((foreign(wanted.line, held.words), None)),
        None => Ok(place),
    }
}

impl<'a> Taken<'a> {
    /// Who has what this line needs for itself, and what that is. Two that are on may share a device by mistake: its row
    /// on the router says whose it is.
    fn by_another(&self, place: &Place<'_>) -> Option<(&'a str, String)> {
        let address = self.addresses.get(&place.address);
        let address = address.map(|line| (*line, format!("address {}", place.address)));
        let mac = place.mac.as_ref().filter(|_| !place.wanted.state.is_online());
        let mac = mac.and_then(|mac| Some((*self.macs.get(mac)?, format!("device {mac}"))));
        address.or(mac)
    }

    fn note(&mut self, place: &Place<'a>) {
        let line = place.wanted.line.line.as_str();
        self.addresses.entry(place.address.clone()).or_insert(line);
        if let Some(mac) = &place.mac {
            self.macs.entry(mac.clone()).or_insert(line);
        }
    }
}

/// What lines want of rows of ours that are not theirs.
fn claims_of<'a>(places: &'a [Place<'a>], index: &FixedIndex<'a>, scope: &Scope<'_>) -> Vec<Claim<'a>> {
    let by_line: BTreeMap<&str, &Place<'a>> =
        places.iter().map(|place| (place.line().line.as_str(), place)).into_map();
    let outlook = |holder: &str, table: Table, id: &RouterId, of: &Place<'_>| match by_line.get(holder) {
        _ if scope.takes_away(holder, Family::Fixed) => Outlook::GoesAtOnce,
        Some(holder) if holder.leaves(table, id, of, index) => Outlook::GoesAtOnce,
        Some(holder) if holder.keeps(table, of) => Outlook::Stays,
        Some(_) => Outlook::GivesWay,
        None if scope.looks_at(holder) => Outlook::Stays,
        None => Outlook::Elsewhere,
    };
    let mut claims = Vec::new();
    for place in places.iter().filter(|place| place.outdone.is_none()) {
        for held in place.held(index) {
            let Some(holder) = held.mark else { continue };
            claims.push(Claim {
                line: &place.line().line,
                holder,
                row: (held.table, held.id),
                outlook: outlook(holder, held.table, held.id, place),
            });
        }
    }
    claims
}

/// A row of another line, or of nobody's, that has what a line wants.
struct HeldRow<'a> {
    table: Table,
    id: &'a RouterId,
    mark: Option<&'a str>,
    /// What is wrong with it, if it is not ours.
    words: &'static str,
}

fn understand<'a>(wanted: &'a WantedLine<'a>, scope: &Scope<'_>) -> Result<Place<'a>, String> {
    let line = wanted.line;
    let address = usable_address(&line.address).ok_or_else(|| {
        // RouterOS takes any other text for a name, and the row would match nobody.
        format!("{:?} is no IPv4 address that a customer can have", line.address)
    })?;
    let mac = match wanted.service {
        Service::HotspotDevice => {
            let mac = line.caller_id.to_ascii_uppercase();
            Some(mac)
                .filter(|mac| is_mac(mac))
                .map(Some)
                .ok_or_else(|| format!("{:?} is no MAC address of a device", line.caller_id))?
        }
        _ => None,
    };
    let shape = match wanted.state.profile(line) {
        None => None,
        Some(name) => {
            let profile = scope.profiles.get(&(line.service, name.to_owned()));
            let profile =
                profile.ok_or_else(|| format!("the state has no profile {name:?} for this service"))?;
            Some(shape_of(&profile.item))
        }
    };
    let list = match wanted.state {
        Effective::Open | Effective::Throttled(_) => None,
        Effective::Walled(_) => Some(WALLED_LIST),
        Effective::Off(_) => Some(OFF_LIST),
    };
    Ok(Place { address: address.to_string(), mac, list, shape, outdone: None, wanted })
}

/// An address that one customer can have.
#[must_use]
pub fn usable_address(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    let is_special =
        address.is_unspecified() || address.is_broadcast() || address.is_multicast() || address.is_loopback();
    (!is_special).then_some(address)
}

/// Six bytes in capitals with colons between.
#[must_use]
pub fn is_mac(text: &str) -> bool {
    let is_byte = |part: &str| {
        part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit))
    };
    text.split(':').count() == 6 && text.split(':').all(is_byte)
}

fn shape_of(profile: &ProfileV1) -> Shape {
    let none = UpDown::both(0);
    let limit = rate_limit_of(profile).unwrap_or(RateLimit::plain(none));
    let (burst, threshold, seconds) = limit.burst.map_or((none, none, none), |burst| {
        (burst.bits_per_second, burst.threshold_bits_per_second, burst.seconds)
    });
    let time = UpDown {
        upload: Duration::from_secs(seconds.upload),
        download: Duration::from_secs(seconds.download),
    };
    let priority = UpDown::both(u64::from(limit.priority));
    Shape { limit: limit.bits_per_second, burst, threshold, time, priority }
}

/// What differs between two shapes, or all of one.
fn shape_values(wants: &Shape, has: Option<&Shape>) -> Vec<(&'static str, String)> {
    let time = |time: UpDown<Duration>| format!("{}s/{}s", time.upload.as_secs(), time.download.as_secs());
    let mut values = Vec::new();
    let mut compare = |name, is_same: bool, value: String| {
        if !is_same {
            values.push((name, value));
        }
    };
    let same = |of: fn(&Shape, &Shape) -> bool| has.is_some_and(|has| of(wants, has));
    compare("max-limit", same(|a, b| a.limit == b.limit), wants.limit.to_string());
    compare("burst-limit", same(|a, b| a.burst == b.burst), wants.burst.to_string());
    compare("burst-threshold", same(|a, b| a.threshold == b.threshold), wants.threshold.to_string());
    compare("burst-time", same(|a, b| a.time == b.time), time(wants.time));
    compare("priority", same(|a, b| a.priority == b.priority), wants.priority.to_string());
    values
}

impl<'a> Place<'a> {
    fn line(&self) -> &LineV1 {
        self.wanted.line
    }

    /// It is off, and others are not: nothing of it may stand in their way.
    fn yield_to_others(&mut self, by: &'a str, failure: LineFailure, taken: &Taken<'_>) {
        let is_of_address = taken.addresses.contains_key(&self.address);
        if is_of_address {
            self.list = None;
        }
        self.mac.take_if(|mac| taken.macs.contains_key(mac));
        self.shape = None;
        self.outdone = Some(Outdone { by, is_of_address, failure });
    }

    /// What is about to bar its address comes after whatever is done about another line that still has a queue there.
    fn wait_for_address(&self, index: &FixedIndex<'_>, scope: &Scope<'_>, plan: &mut Plan) {
        let line = &self.line().line;
        let is_barred =
            index.entries_by_mark.get(line).any(|row| self.is_entry(row) && row.is_disabled == Some(false));
        if self.list.is_none() || is_barred {
            return;
        }
        let others = index.queues_by_target.get(&self.address).filter_map(|row| row.mark.as_ref());
        for holder in others.filter(|mark| *mark != line) {
            let is_changing = plan.lines.iter().any(|change| change.line == *holder);
            if is_changing || scope.takes_away(holder, Family::Fixed) {
                let (line, holder) = (line.clone(), holder.clone());
                plan.waits.push(Wait { line, holder, is_for_next_round: false });
            } else if !scope.looks_at(holder) {
                plan.holders_elsewhere.insert((Family::Fixed, holder.clone()), String::new());
            }
        }
    }

    /// Whether this bars its address as it is to be.
    fn is_entry(&self, row: &EntryRow) -> bool {
        row.address.as_deref() == Some(&self.address) && row.list.as_deref() == self.list
    }

    /// Rows that have what this line wants and are not its own.
    fn held<'r>(&self, index: &FixedIndex<'r>) -> impl Iterator<Item = HeldRow<'r>> + use<'r> {
        let own = self.line().line.clone();
        let mut held = Vec::new();
        let queues = index.queues_by_name.get(&self.line().username).filter(|_| self.shape.is_some());
        let words = "a queue that is not ours has this name";
        held.extend(queues.map(|row| held_row(Table::Queues, &row.id, row.mark.as_deref(), words)));
        let words = "an entry that is not ours has this address in a list of ours";
        let entries = index.entries_by_address.get(&self.address);
        held.extend(entries.map(|row| held_row(Table::AddressLists, &row.id, row.mark.as_deref(), words)));
        if let Some(mac) = &self.mac {
            let words = "a binding that is not ours has this MAC address";
            let bindings = index.bindings_by_mac.get(mac);
            held.extend(bindings.map(|row| held_row(Table::Bindings, &row.id, row.mark.as_deref(), words)));
        }
        held.into_iter().filter(move |row| row.mark != Some(own.as_str()))
    }

    /// Whether a row of this line goes, so that nothing need be moved.
    fn leaves(&self, table: Table, id: &RouterId, of: &Place<'_>, index: &FixedIndex<'_>) -> bool {
        match table {
            Table::Queues => self.own_queue(index).is_none_or(|own| own.id != *id),
            Table::Bindings => {
                let is_own = self.own_binding(index).is_some_and(|own| own.id == *id);
                // Its order among others is of no account, and a device in between is one more address to make up.
                !is_own || self.mac != of.mac
            }
            _ => self.list.is_none() || self.address != of.address,
        }
    }

    /// Whether this line wants the same.
    fn keeps(&self, table: Table, of: &Place<'_>) -> bool {
        match table {
            Table::Queues => self.shape.is_some() && self.line().username == of.line().username,
            Table::Bindings => self.mac == of.mac,
            _ => self.address == of.address,
        }
    }

    /// Its queue: the one with the right name, or else the first that bears its mark.
    fn own_queue<'r>(&self, index: &FixedIndex<'r>) -> Option<&'r QueueRow> {
        let line = self.line();
        let rows = || index.queues_by_mark.get(&line.line);
        rows().find(|row| row.name.as_deref() == Some(&line.username)).or_else(|| rows().next())
    }

    /// Its binding: the one of the right device, or else the first that bears its mark.
    fn own_binding<'r>(&self, index: &FixedIndex<'r>) -> Option<&'r BindingRow> {
        let mac = self.mac.as_ref()?;
        let rows = || index.bindings_by_mark.get(&self.line().line);
        rows().find(|row| row.mac.as_ref() == Some(mac)).or_else(|| rows().next())
    }

    fn plan_queue(
        &self,
        index: &FixedIndex<'_>,
        claims: &Claims<'_>,
        changes: &mut Vec<LineChange>,
        first: &mut First,
    ) {
        let line = self.line();
        let own = self.own_queue(index);
        if let Some(own) = own.filter(|own| claims.is_claimed(Table::Queues, &own.id)) {
            // It holds its customer back all the while.
            let plain = vec![("name", name_between(&line.line))];
            first.changes.extend(self.set(Table::Queues, &own.id, plain, None));
        }
        // The one who has the address by now would go at this speed, and what he moves would count as this line's.
        let is_in_the_way = |row: &QueueRow| {
            let is_outdone = self.outdone.as_ref().is_some_and(|outdone| outdone.is_of_address);
            is_outdone && row.target.as_deref() == Some(&self.address)
        };
        let extra = index
            .queues_by_mark
            .get(&line.line)
            .filter(|row| own.is_some_and(|own| own.id != row.id) || is_in_the_way(row));
        changes.extend(
            extra.map(|row| self.change(Table::Queues, RowChange::Drop(row.id.clone()), None, vec!["row"])),
        );
        let Some(shape) = &self.shape else { return };
        let target = format!("{}/32", self.address);
        let Some(own) = own else {
            let mut plain = vec![("name", line.username.clone()), ("target", target)];
            plain.extend(shape_values(shape, None));
            plain.push(("comment", mark_of(&line.line)));
            return changes.push(self.add(Table::Queues, plain, None));
        };
        let mut plain = Vec::new();
        if own.name.as_deref() != Some(&line.username) {
            plain.push(("name", line.username.clone()));
        }
        if own.target.as_deref() != Some(&self.address) {
            plain.push(("target", target));
        }
        plain.extend(shape_values(shape, own.shape.as_ref()));
        if own.is_disabled != Some(false) {
            plain.push(("disabled", "no".into()));
        }
        changes.extend(self.set(Table::Queues, &own.id, plain, None));
    }

    /// The hotspot lets the device by, or blocks it. Walled in is the firewall's business, as for everybody else here.
    fn plan_binding(&self, index: &FixedIndex<'_>, claims: &Claims<'_>, changes: &mut Vec<LineChange>) {
        let line = self.line();
        // One that another line wants goes, and another comes for it.
        let own = self.own_binding(index).filter(|own| !claims.is_claimed(Table::Bindings, &own.id));
        let extra =
            index.bindings_by_mark.get(&line.line).filter(|row| own.is_none_or(|own| own.id != row.id));
        // Whoever is at the portal already stays as the hotspot first saw him, until it sees him anew.
        let seen_anew = |change: LineChange, macs: [Option<&String>; 2]| {
            let macs: BTreeSet<String> = macs.into_iter().flatten().cloned().into_set();
            LineChange { kick: macs.into_iter().collect(), ..change }
        };
        changes.extend(extra.map(|row| {
            let change = self.change(Table::Bindings, RowChange::Drop(row.id.clone()), None, vec!["row"]);
            seen_anew(change, [row.mac.as_ref(), None])
        }));
        self.plan_own_binding(own, changes, seen_anew);
        if let Some(kick) = index.owed(&line.line, self.wanted.owes_kick, changes) {
            let leave = self.change(Table::Bindings, RowChange::Leave, None, vec![]);
            changes.push(LineChange { kick, ..leave });
        }
    }

    fn plan_own_binding(
        &self,
        own: Option<&BindingRow>,
        changes: &mut Vec<LineChange>,
        seen_anew: impl Fn(LineChange, [Option<&String>; 2]) -> LineChange,
    ) {
        let line = self.line();
        let Some(mac) = &self.mac else { return };
        let kind = if matches!(self.wanted.state, Effective::Off(_)) { "blocked" } else { "bypassed" };
        let wants = [("mac-address", mac.as_str()), ("address", &self.address), ("type", kind)];
        let Some(own) = own else {
            let mut plain: Vec<_> = wants.map(|(name, value)| (name, value.to_owned())).to_vec();
            plain.push(("comment", mark_of(&line.line)));
            return changes.push(seen_anew(self.add(Table::Bindings, plain, None), [Some(mac), None]));
        };
        let has = [own.mac.as_deref(), own.address.as_deref(), own.kind.as_deref()];
        let differs = wants.into_iter().zip(has).filter(|((_, wants), has)| *has != Some(*wants));
        let mut plain: Vec<_> = differs.map(|((name, value), _)| (name, value.to_owned())).collect();
        if own.is_disabled != Some(false) {
            plain.push(("disabled", "no".into()));
        }
        let was_let_by = own.kind.as_deref() == Some("bypassed") && own.is_disabled != Some(true);
        let cut = self.cut().filter(|_| was_let_by && kind == "blocked");
        let set = self.set(Table::Bindings, &own.id, plain, cut);
        changes.extend(set.map(|change| seen_anew(change, [Some(mac), own.mac.as_ref()])));
    }

    fn plan_entries(&self, index: &FixedIndex<'_>, changes: &mut Vec<LineChange>) {
        let line = self.line();
        let rows = || index.entries_by_mark.get(&line.line);
        let own = self.list.and_then(|_| rows().find(|row| self.is_entry(row)));
        let was_held = rows().any(|row| row.is_disabled != Some(true));
        // Whoever was let on has a queue of ours. One who is barred before the first payment loses nothing that was
        // theirs, and a morning's new customers are no reason to ask a person.
        let was_on = index.queues_by_mark.get(&line.line).next().is_some();
        let cut = self.cut().filter(|_| was_on && !was_held);
        let other = rows().filter(|row| own.is_none_or(|own| own.id != row.id));
        let other: Vec<_> = other
            .map(|row| self.change(Table::AddressLists, RowChange::Drop(row.id.clone()), None, vec!["list"]))
            .collect();
        match (self.list, own) {
            (None, _) => {}
            (Some(_), Some(own)) => {
                let enable = (own.is_disabled != Some(false)).then(|| ("disabled", "no".to_owned()));
                changes.extend(self.set(Table::AddressLists, &own.id, enable.into_iter().collect(), cut));
            }
            (Some(list), None) => {
                let plain = vec![
                    ("list", list.to_owned()),
                    ("address", self.address.clone()),
                    ("comment", mark_of(&line.line)),
                ];
                changes.push(self.add(Table::AddressLists, plain, cut));
            }
        }
        changes.extend(other);
    }

    /// Somebody loses access by what follows, if he had any.
    fn cut(&self) -> Option<CutReason> {
        let reason = self.wanted.state.reason().filter(|_| !self.wanted.state.is_online());
        reason.map(CutReason::Restrained)
    }

    fn add(&self, table: Table, plain: Vec<(&'static str, String)>, cut: Option<CutReason>) -> LineChange {
        let values = Values { plain, ..Values::default() };
        self.change(table, RowChange::Add(values), cut, vec!["row"])
    }

    fn set(
        &self,
        table: Table,
        id: &RouterId,
        plain: Vec<(&'static str, String)>,
        cut: Option<CutReason>,
    ) -> Option<LineChange> {
        let differs: Vec<&'static str> = plain.iter().map(|(name, _)| *name).collect();
        let values = Values { plain, ..Values::default() };
        let row = RowChange::Set(id.clone(), values);
        (!differs.is_empty()).then(|| self.change(table, row, cut, differs))
    }

    fn change(
        &self,
        table: Table,
        row: RowChange,
        cut: Option<CutReason>,
        differs: Vec<&'static str>,
    ) -> LineChange {
        change(&self.line().line, self.wanted.revision, table, row, cut, differs)
    }
}

fn held_row<'r>(table: Table, id: &'r RouterId, mark: Option<&'r str>, words: &'static str) -> HeldRow<'r> {
    HeldRow { table, id, mark, words }
}

fn change(
    line: &str,
    revision: u64,
    table: Table,
    row: RowChange,
    cut: Option<CutReason>,
    differs: Vec<&'static str>,
) -> LineChange {
    LineChange { line: line.to_owned(), table, row, kick: vec![], cut, profile: None, differs, revision }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_customer_can_have() {
        for good in ["10.0.0.7", "196.201.214.9"] {
            assert!(usable_address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "127.0.0.1",
            "10.0.0.7/32",
            "203.0.113.1-254",
            "10.0.0",
            "plot1",
            "::1",
        ] {
            assert!(usable_address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_mac_address_is_six_bytes_in_capitals() {
        assert!(is_mac("02:00:00:00:00:AF"));
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:af",
            "02-00-00-00-00-AF",
            "02:00:00:00:00:0G",
            "02:00:00:00:00:AF:01",
        ] {
            assert!(!is_mac(bad), "{bad}");
        }
    }
}
