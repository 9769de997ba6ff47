//! What must change on a router so that it agrees with the state: the fourth pure decision of the product.
//!
//! Wanted lines and profiles, and what the router has, go in; an ordered list of changes comes out, in which nothing
//! meaningful is left to choose. Equal in, empty out: a steady state writes nothing. Rows without our mark are never in
//! a change; a name that such a row holds is a failure of the line that wants it. What may wait is `guard.rs`; doing it
//! is `apply.rs`; a plan over rows read back that is empty is the proof that it was done.

mod fixed;
mod logins;
mod names;
pub mod native;
mod profiles;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routeros_api::value::{RouterId, Secret};
use tawi_shared::Gather as _;
use tawi_shared::wire::{FailureKind, LineV1, ProfileV1, Service};

use crate::desired::{ProfileKey, Revised};
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::actual::{Actual, Family, Table};
use crate::reconcile::ledger::PasswordKnowledge;
use fixed::FixedIndex;
use logins::LoginIndex;
pub use logins::{is_felt, profile_for};
pub use names::name_between;
use profiles::Verdicts;
pub use profiles::{rate_limit_of, stands, without_addresses};

/// A line as it should be.
#[derive(Clone, Copy, Debug)]
pub struct WantedLine<'a> {
    /// What the state says.
    pub line: &'a LineV1,
    /// Its service.
    pub service: Service,
    /// How it should be now.
    pub state: Effective,
    /// What is known of the password in its row.
    pub password: PasswordKnowledge,
    /// Names whose sessions a pass that was cut short still had to end.
    pub owes_kick: &'a [String],
    /// What remains of its quota, where the router can cut by it.
    pub allowance: Option<native::Allowance>,
    /// The generation that wants it so.
    pub revision: u64,
}

/// A line that is no more, as far as this agent remembers it.
#[derive(Clone, Copy, Debug)]
pub struct GoneLine<'a> {
    /// Line id.
    pub line: &'a str,
    /// Where its rows are.
    pub family: Family,
    /// The name its sessions go by.
    pub username: &'a str,
    /// Names whose sessions a pass that was cut short still had to end.
    pub owes_kick: &'a [String],
}

/// What a pass is about.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Lines to look at.
    pub wanted: Vec<WantedLine<'a>>,
    /// Lines whose rows must go.
    pub gone: Vec<GoneLine<'a>>,
    /// All profiles of the state.
    pub profiles: &'a BTreeMap<ProfileKey, Arc<Revised<ProfileV1>>>,
    /// The profile whose other properties ours have; by name.
    pub template: &'a str,
    /// Set when every row was read: then our rows of lines that are not among these (with the family that each should
    /// be in; `None` where it is unknown to this release) must go, and so must our profiles that nothing uses.
    pub all_lines: Option<BTreeMap<&'a str, Option<Family>>>,
}

impl Scope<'_> {
    /// Whether the rows of this line in this family must go.
    fn takes_away(&self, line: &str, family: Family) -> bool {
        let is_gone = self.gone.iter().any(|gone| gone.line == line && gone.family == family);
        let is_orphan = |all: &BTreeMap<&str, Option<Family>>| {
            !all.get(line).is_some_and(|wanted| wanted.is_none_or(|of| of == family))
        };
        is_gone || self.all_lines.as_ref().is_some_and(is_orphan)
    }

    /// Whether this line is looked at, whatever its service is.
    fn looks_at(&self, line: &str) -> bool {
        self.all_lines.is_some() || self.wanted.iter().any(|wanted| wanted.line.line == line)
    }
}

/// Changes in the order to apply: profiles, then lines, then profiles that nothing uses any more.
#[derive(Debug, Default)]
pub struct Plan {
    /// Profiles that must stand before the lines that use them.
    pub profiles: Vec<ProfileChange>,
    /// Whoever gains first, whoever loses last.
    pub lines: Vec<LineChange>,
    /// Profiles of ours that the state does not know and no row uses.
    pub unused_profiles: Vec<UnusedProfile>,
    /// Lines that cannot be made right by a change.
    pub failures: Vec<LineFailure>,
    /// Lines whose names rows of ours hold. Without the holder's changes theirs would be refused.
    pub waits: Vec<Wait>,
    /// Lines that failed because another line keeps what they want, with that one.
    pub blocked: Vec<(String, String)>,
    /// Lines that were not looked at, in families where their rows hold what one that was looked at wants, with the user
    /// name that they hold.
    pub holders_elsewhere: BTreeMap<(Family, String), String>,
}

/// A line that gets its name from a row of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub line: String,
    /// For the row of which line.
    pub holder: String,
    /// Whether the name is free only when this plan was carried out: nothing of it is for the line then. If not, its
    /// changes lie behind those of the holder.
    pub is_for_next_round: bool,
}

/// Writes a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileChange {
    /// Whose.
    pub family: Family,
    /// Its name on the router.
    pub name: String,
    /// The row to set; `None` to add one.
    pub id: Option<RouterId>,
    /// What to write.
    pub values: Vec<(&'static str, String)>,
    /// Whether running sessions go on with what it was.
    pub is_felt: bool,
}

/// Removes a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedProfile {
    /// Whose.
    pub family: Family,
    /// Which.
    pub id: RouterId,
}

/// What happens to one line. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// Line id; for a row of ours without a line, the one that its mark names.
    pub line: String,
    /// Where.
    pub table: Table,
    /// What happens to its row.
    pub row: RowChange,
    /// User names whose sessions and cookies have to end once the row is written; where nobody logs in, devices that the
    /// hotspot must see anew.
    pub kick: Vec<String>,
    /// Whether somebody loses access by it, and why.
    pub cut: Option<CutReason>,
    /// The profile that must stand before the row is written.
    pub profile: Option<String>,
    /// What differed, for a person.
    pub differs: Vec<&'static str>,
    /// The generation that wants it so; 0 for a line that is no more.
    pub revision: u64,
}

/// What happens to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Nothing; only sessions end.
    Leave,
    /// It is added.
    Add(Values),
    /// Some of its properties are set.
    Set(RouterId, Values),
    /// It goes at once: nobody is logged in by it.
    Drop(RouterId),
    /// It is disabled if it is not yet, its sessions end, and then it goes. In this order, because the row is what a
    /// later pass would find the sessions by, were this one cut short.
    Remove {
        /// Which.
        id: RouterId,
        /// Whether it still lets anybody in.
        is_enabled: bool,
    },
}

/// Properties to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// All but the password.
    pub plain: Vec<(&'static str, String)>,
    /// Properties that must have no value, where an empty one is none.
    pub unset: Vec<&'static str>,
    /// The password, when it is written.
    pub password: Option<Secret>,
}

/// Why somebody loses access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// The line is off, or walled in.
    Restrained(Reason),
    /// The line is no more, or this row of it is one too many.
    Removed,
}

/// Decides.
#[must_use]
pub fn plan(scope: &Scope<'_>, actual: &Actual) -> Plan {
    let mut plan = Plan::default();
    let profiles = Verdicts::of(scope, actual, &mut plan.profiles);
    let logins: BTreeMap<Family, LoginIndex<'_>> = actual
        .logins
        .iter()
        .filter_map(|(family, rows)| Some((*family, LoginIndex::of(family.logins()?, rows))))
        .into_map();
    let fixed = actual.fixed.as_ref().map(FixedIndex::of);
    let of_family = by_family(scope, &logins, fixed.as_ref(), &mut plan);
    let mut first = First::default();
    for (family, lines) in &of_family {
        if let Some(index) = logins.get(family) {
            logins::plan_lines(*family, lines, index, &profiles, scope, &mut plan, &mut first);
        } else if let Some(index) = &fixed {
            fixed::plan_lines(lines, index, scope, &mut plan, &mut first);
        }
    }
    for gone in &scope.gone {
        if let Some(index) = logins.get(&gone.family) {
            index.plan_gone(gone, &mut plan.lines);
        } else if let Some(index) = fixed.as_ref().filter(|_| gone.family == Family::Fixed) {
            index.plan_gone(gone, &mut plan.lines);
        }
    }
    if scope.all_lines.is_some() {
        for (family, index) in &logins {
            index.plan_orphans(*family, scope, &mut plan.lines);
            profiles::unused(*family, index.rows, scope, &mut plan.unused_profiles);
        }
        if let Some(index) = &fixed {
            index.plan_orphans(scope, &mut plan.lines);
        }
    }
    // Within a rank the newest decision first: whoever has just paid. Stable, so that the rest stays in the order of
    // ids.
    plan.lines.sort_by_key(|change| {
        let rank = match (&change.row, change.cut) {
            (RowChange::Add(_) | RowChange::Set(..) | RowChange::Drop(_), None) => 0,
            (_, None) => 1,
            (_, Some(_)) => 2,
        };
        (rank, Reverse(change.revision))
    });
    first.put_before(&mut plan.lines);
    plan
}

/// The lines to look at, without those whose name another line of the state has.
fn by_family<'a>(
    scope: &'a Scope<'_>,
    logins: &BTreeMap<Family, LoginIndex<'_>>,
    fixed: Option<&FixedIndex<'_>>,
    plan: &mut Plan,
) -> BTreeMap<Family, Vec<&'a WantedLine<'a>>> {
    // Of two lines of one name the one keeps it that has it on the router. Whoever is off asks for none, and is put off
    // whatever else is wrong with it; where nobody logs in its queue is left alone, and gives its name away.
    let is_closed =
        |wanted: &WantedLine<'_>| profile_for(wanted.service, wanted.state, wanted.line).is_none();
    let has_name = |wanted: &&WantedLine<'_>| {
        let (line, family) = (wanted.line, Family::of(wanted.service));
        logins.get(&family).is_some_and(|index| index.has_name(line))
            || fixed.is_some_and(|index| family == Family::Fixed && index.has_name(line))
    };
    let key = |wanted: &WantedLine<'_>| (Family::of(wanted.service), wanted.line.username.clone());
    let mut names: BTreeMap<_, &str> = BTreeMap::new();
    let holders = scope.wanted.iter().filter(|wanted| !is_closed(wanted)).filter(has_name);
    names.extend(holders.map(|wanted| (key(wanted), wanted.line.line.as_str())));
    let mut of_family: BTreeMap<Family, Vec<&WantedLine<'_>>> = BTreeMap::new();
    for wanted in &scope.wanted {
        let family = Family::of(wanted.service);
        let is_read = logins.contains_key(&family) || (family == Family::Fixed && fixed.is_some());
        if !is_read {
            continue;
        }
        if is_closed(wanted) {
            of_family.entry(family).or_default().push(wanted);
            continue;
        }
        let keeper = *names.entry(key(wanted)).or_insert(&wanted.line.line);
        if keeper == wanted.line.line {
            of_family.entry(family).or_default().push(wanted);
        } else {
            plan.failures.push(foreign(wanted.line, "another line of the state has the same user name"));
            plan.blocked.push((wanted.line.line.clone(), keeper.to_owned()));
        }
    }
    of_family
}

/// What comes before all other changes of rows, because a change behind it needs the name that it sets free.
#[derive(Default)]
struct First {
    /// Rows that leave their names.
    changes: Vec<LineChange>,
    /// Rows that go at once, by their numbers.
    dropped: BTreeSet<(Table, u64)>,
}

impl First {
    fn put_before(mut self, lines: &mut Vec<LineChange>) {
        let is_first = |change: &LineChange| match &change.row {
            RowChange::Drop(id) => self.dropped.contains(&(change.table, id.number())),
            _ => false,
        };
        let (dropped, others): (Vec<_>, Vec<_>) = lines.drain(..).partition(is_first);
        lines.append(&mut self.changes);
        lines.extend(dropped);
        lines.extend(others);
    }
}

/// Rows by a text of theirs: two thousand lines look for their own rows in every full check.
pub(super) struct Lookup<'a, T>(Vec<(&'a str, &'a T)>);

impl<'a, T> Lookup<'a, T> {
    pub(super) fn of(rows: &'a [T], key: impl Fn(&'a T) -> Option<&'a str>) -> Self {
        // Rows of one key stay in the router's order. Numbers are sorted, because they are the same for all kinds of rows.
        let mut numbered: Vec<(&str, usize)> =
            rows.iter().enumerate().filter_map(|(number, row)| Some((key(row)?, number))).collect();
        numbered.sort_unstable();
        Self(numbered.into_iter().filter_map(|(key, number)| Some((key, rows.get(number)?))).collect())
    }

    pub(super) fn get(&self, key: &str) -> impl Iterator<Item = &'a T> + use<'_, 'a, T> {
        let start = self.0.partition_point(|(has, _)| *has < key);
        let end = self.0.partition_point(|(has, _)| *has <= key);
        self.0.get(start..end).unwrap_or_default().iter().map(|(_, row)| *row)
    }
}

fn failure(line: &LineV1, kind: FailureKind, detail: String) -> LineFailure {
    LineFailure { line: line.line.clone(), kind, detail }
}

fn foreign(line: &LineV1, detail: &str) -> LineFailure {
    failure(line, FailureKind::ForeignRow, detail.to_owned())
}

#[cfg(test)]
mod tests;
