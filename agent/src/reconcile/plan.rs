//! What must change on a router so that it agrees with the state: the fourth pure decision of the product.
//!
//! Wanted lines and profiles, and what the router has, go in; an ordered list of changes comes out, in which nothing
//! meaningful is left to choose. Equal in, empty out: a steady state writes nothing. Rows without our mark are never in
//! a change; a name that such a row holds is a failure of the line that wants it. What may wait is `guard.rs`; doing it
//! is `apply.rs`; a plan over rows read back that is empty is the proof that it was done.

mod fixed;
pub mod native;
mod profiles;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routeros_api::value::{RouterId, Secret};
use tawi_shared::wire::{FailureKind, LineV1, ProfileV1, Service};

use crate::desired::{ProfileKey, Revised};
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::actual::{
    ANY_ADDRESS, ANY_MAC, Actual, Family, Limits, LoginRows, Menus, SessionRow, Table, UserRow, mark_of,
};
use crate::reconcile::ledger::PasswordKnowledge;
use fixed::FixedIndex;
use profiles::{Verdict, Verdicts};
pub use profiles::{rate_limit_of, stands};

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
    /// Properties that must have no value.
    pub unset: Vec<&'static str>,
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
    /// User names whose sessions and cookies have to end once the row is written.
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
        .collect();
    let fixed = actual.fixed.as_ref().map(FixedIndex::of);
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for wanted in &scope.wanted {
        let family = Family::of(wanted.service);
        let is_read = logins.contains_key(&family) || (family == Family::Fixed && fixed.is_some());
        if !is_read {
            continue;
        }
        if !names.insert((family, wanted.line.username.as_str())) {
            plan.failures.push(foreign(wanted.line, "another line of the state has the same user name"));
        } else if let Some(index) = logins.get(&family) {
            plan_line(wanted, index, &profiles, &mut plan);
        } else if let Some(index) = &fixed {
            fixed::plan_line(wanted, index, &mut addresses, scope, &mut plan);
        }
    }
    for gone in &scope.gone {
        if let Some(index) = logins.get(&gone.family) {
            index.plan_gone(gone, &mut plan.lines);
        } else if let Some(index) = fixed.as_ref().filter(|_| gone.family == Family::Fixed) {
            index.plan_gone(gone.line, &mut plan.lines);
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
    plan
}

/// Rows by a text of theirs: two thousand lines look for their own rows in every full check.
pub(super) struct Lookup<'a, T>(Vec<(&'a str, &'a T)>);

impl<'a, T> Lookup<'a, T> {
    pub(super) fn of(rows: &'a [T], key: impl Fn(&'a T) -> Option<&'a str>) -> Self {
        let mut keyed: Vec<_> = rows.iter().filter_map(|row| Some((key(row)?, row))).collect();
        // Stable: rows of one key stay in the router's order.
        keyed.sort_by_key(|(key, _)| *key);
        Self(keyed)
    }

    pub(super) fn get(&self, key: &str) -> impl Iterator<Item = &'a T> + use<'_, 'a, T> {
        let start = self.0.partition_point(|(has, _)| *has < key);
        let end = self.0.partition_point(|(has, _)| *has <= key);
        self.0.get(start..end).unwrap_or_default().iter().map(|(_, row)| *row)
    }
}

/// The rows of one family by what they are looked up by.
struct LoginIndex<'a> {
    menus: &'static Menus,
    rows: &'a LoginRows,
    by_mark: Lookup<'a, UserRow>,
    by_name: Lookup<'a, UserRow>,
    sessions: Lookup<'a, SessionRow>,
    cookies: Lookup<'a, SessionRow>,
}

impl<'a> LoginIndex<'a> {
    fn of(menus: &'static Menus, rows: &'a LoginRows) -> Self {
        Self {
            menus,
            rows,
            by_mark: Lookup::of(&rows.users, |row| row.mark.as_deref()),
            by_name: Lookup::of(&rows.users, |row| row.name.as_deref()),
            sessions: Lookup::of(&rows.sessions, |row| row.user.as_deref()),
            cookies: Lookup::of(&rows.cookies, |row| row.user.as_deref()),
        }
    }

    /// Our row of a line: the one with the right name, or else the first that bears its mark.
    fn own(&self, line: &LineV1) -> Option<&'a UserRow> {
        let named = self.by_mark.get(&line.line).find(|row| row.name.as_deref() == Some(&line.username));
        named.or_else(|| self.by_mark.get(&line.line).next())
    }

    /// Whether a row that is not this line's holds the name.
    fn is_taken(&self, line: &LineV1) -> bool {
        self.by_name.get(&line.username).any(|row| row.mark.as_deref() != Some(&line.line))
    }

    fn has_sessions(&self, names: &[String]) -> bool {
        let has = |name: &String| {
            self.sessions.get(name).next().is_some() || self.cookies.get(name).next().is_some()
        };
        names.iter().any(has)
    }

    /// What the running sessions of a name have moved.
    fn session_bytes(&self, name: &str) -> u64 {
        self.sessions.get(name).fold(0, |sum, session| sum.saturating_add(session.bytes))
    }

    fn plan_gone(&self, gone: &GoneLine<'_>, changes: &mut Vec<LineChange>) {
        let before = changes.len();
        changes.extend(self.by_mark.get(gone.line).map(|row| self.removal(gone.line, row)));
        let names = vec![gone.username.to_owned()];
        let is_free = self.by_name.get(gone.username).next().is_none();
        if changes.len() == before && is_free && self.has_sessions(&names) {
            changes.push(LineChange {
                line: gone.line.to_owned(),
                table: self.menus.table,
                row: RowChange::Leave,
                kick: names,
                cut: None,
                profile: None,
                differs: vec![],
                revision: 0,
            });
        }
    }

    fn plan_orphans(&self, family: Family, scope: &Scope<'_>, changes: &mut Vec<LineChange>) {
        let Some(all_lines) = &scope.all_lines else { return };
        let gone: BTreeSet<&str> =
            scope.gone.iter().filter(|gone| gone.family == family).map(|gone| gone.line).collect();
        for row in &self.rows.users {
            let Some(mark) = row.mark.as_deref() else { continue };
            let is_wanted_here =
                all_lines.get(mark).is_some_and(|wanted| wanted.is_none_or(|of| of == family));
            if !is_wanted_here && !gone.contains(mark) {
                changes.push(self.removal(mark, row));
            }
        }
    }

    fn removal(&self, line: &str, row: &UserRow) -> LineChange {
        let is_enabled = row.is_disabled != Some(true);
        LineChange {
            line: line.to_owned(),
            table: self.menus.table,
            row: RowChange::Remove { id: row.id.clone(), is_enabled },
            kick: row.name.clone().into_iter().collect(),
            cut: is_enabled.then_some(CutReason::Removed),
            profile: None,
            differs: vec!["row"],
            revision: 0,
        }
    }
}

fn plan_line(wanted: &WantedLine<'_>, index: &LoginIndex<'_>, profiles: &Verdicts<'_>, plan: &mut Plan) {
    let line = wanted.line;
    if let Some(reason) = &index.rows.unavailable {
        let detail = format!("the router does not show {}: {reason}", index.menus.users);
        return plan.failures.push(failure(line, FailureKind::Refused, detail));
    }
    let own = index.own(line);
    let is_taken = index.is_taken(line);
    for extra in index.by_mark.get(&line.line) {
        if own.is_some_and(|own| own.id != extra.id) {
            plan.lines.push(index.removal(&line.line, extra));
        }
    }
    let profile = profile_for(wanted.service, wanted.state, line);
    if is_taken && (own.is_none() || profile.is_some()) {
        return plan.failures.push(foreign(line, "a row that is not ours has this user name"));
    }
    let Some(profile) = profile else {
        let reason = wanted.state.reason().unwrap_or(Reason::SwitchedOff);
        return plan.lines.extend(close_line(wanted, reason, own, is_taken, index));
    };
    if let Some(detail) = misfit(wanted, own) {
        return plan.failures.push(failure(line, FailureKind::Refused, detail));
    }
    match profiles.of_line(wanted.service, profile) {
        Verdict::Unknown => {
            let detail = format!("the state has no profile {profile:?} for this service");
            plan.failures.push(failure(line, FailureKind::Refused, detail));
        }
        Verdict::Twofold => {
            let detail = format!(
                "the state has two different profiles {profile:?} that share a menu of the router; rename one"
            );
            plan.failures.push(failure(line, FailureKind::Refused, detail));
        }
        Verdict::Foreign => {
            let detail = format!("profile {profile} on the router is not ours and has other properties");
            plan.failures.push(foreign(line, &detail));
        }
        verdict => plan.lines.extend(open_line(wanted, profile, own, verdict, index)),
    }
}

/// What a line says that no row could have.
fn misfit(wanted: &WantedLine<'_>, own: Option<&UserRow>) -> Option<String> {
    let line = wanted.line;
    if !line.address.is_empty() && fixed::usable_address(&line.address).is_none() {
        return Some(format!("{:?} is no IPv4 address that a customer can have", line.address));
    }
    let needs_mac = wanted.service == Service::Hotspot && !line.caller_id.is_empty();
    if needs_mac && !fixed::is_mac(&line.caller_id.to_ascii_uppercase()) {
        return Some(format!("{:?} is no MAC address of a device", line.caller_id));
    }
    // A row without a password would let anybody in.
    (own.is_none() && line.password.is_empty())
        .then(|| "its row is not there, and nobody knows the password for a new one".to_owned())
}

/// The profile that a line uses in this state; `None` where its row is disabled instead. A hotspot shows whoever is not
/// logged in its own page, with a walled garden of its own, so that walled and off are one there.
#[must_use]
pub fn profile_for(service: Service, state: Effective, line: &LineV1) -> Option<&str> {
    match (service, state) {
        (Service::Hotspot, Effective::Walled(_)) => None,
        _ => state.profile(line),
    }
}

/// What closes a line: its row is disabled, then its sessions and cookies end. An absent row lets nobody in and is not
/// made.
fn close_line(
    wanted: &WantedLine<'_>,
    reason: Reason,
    own: Option<&UserRow>,
    is_taken: bool,
    index: &LoginIndex<'_>,
) -> Option<LineChange> {
    let mut names: Vec<String> = own.and_then(|row| row.name.clone()).into_iter().collect();
    if !is_taken {
        names.push(wanted.line.username.clone());
    }
    // A name that was ours may be somebody else's by now.
    let is_other = |row: &UserRow| row.mark.as_deref() != Some(&wanted.line.line);
    let owed = wanted.owes_kick.iter().filter(|name| !index.by_name.get(name).any(is_other));
    names.extend(owed.cloned());
    let names = distinct(names);
    let to_disable = own.filter(|row| row.is_disabled != Some(true));
    if to_disable.is_none() && !index.has_sessions(&names) && wanted.owes_kick.is_empty() {
        return None;
    }
    let row = to_disable.map_or(RowChange::Leave, |row| {
        let plain = vec![("disabled", "yes".into())];
        RowChange::Set(row.id.clone(), Values { plain, ..Values::default() })
    });
    Some(LineChange {
        line: wanted.line.line.clone(),
        table: index.menus.table,
        row,
        kick: names,
        cut: to_disable.map(|_| CutReason::Restrained(reason)),
        profile: None,
        differs: if to_disable.is_some() { vec!["disabled"] } else { vec![] },
        revision: wanted.revision,
    })
}

fn open_line(
    wanted: &WantedLine<'_>,
    profile: &str,
    own: Option<&UserRow>,
    verdict: Verdict,
    index: &LoginIndex<'_>,
) -> Option<LineChange> {
    let line = wanted.line;
    let change = |row, kick: Vec<String>, differs, cut| LineChange {
        line: line.line.clone(),
        table: index.menus.table,
        row,
        kick: distinct(kick),
        cut,
        profile: Some(profile.to_owned()),
        differs,
        revision: wanted.revision,
    };
    let Some(own) = own else {
        let values = new_row(wanted, profile, index);
        return Some(change(RowChange::Add(values), wanted.owes_kick.to_vec(), vec!["row"], None));
    };
    let (values, differs) = differences(wanted, profile, own, index);
    let mut kick = wanted.owes_kick.to_vec();
    let was_open = own.is_disabled != Some(true);
    // A running session keeps the rate, the address and the device that it started with: the customer dials again and
    // has the new ones.
    // One that took any service before may well run by the right one.
    let is_from_any = own.service.as_deref().is_none_or(|service| service == "any");
    let felt: Vec<_> = differs.iter().copied().filter(|name| *name != "service" || !is_from_any).collect();
    if was_open && (is_felt(&felt) || verdict == Verdict::Changing) {
        kick.extend(own.name.clone());
    }
    // Whoever is walled in loses what he had, if he had anything.
    let is_walled_now = was_open && differs.contains(&"profile") && !wanted.state.is_online();
    let cut = wanted.state.reason().filter(|_| is_walled_now).map(CutReason::Restrained);
    match (differs.is_empty(), kick.is_empty()) {
        (true, true) => None,
        (true, false) => Some(change(RowChange::Leave, kick, differs, cut)),
        (false, _) => Some(change(RowChange::Set(own.id.clone(), values), kick, differs, cut)),
    }
}

/// Properties of a row that its sessions took over when they began.
const FELT_BY_SESSIONS: &[&str] =
    &["name", "profile", "service", "caller-id", "mac-address", "remote-address", "address"];

/// Whether running sessions go on with what one of these properties was.
#[must_use]
pub fn is_felt(differs: &[&str]) -> bool {
    differs.iter().any(|name| FELT_BY_SESSIONS.contains(name))
}

fn new_row(wanted: &WantedLine<'_>, profile: &str, index: &LoginIndex<'_>) -> Values {
    let (line, menus) = (wanted.line, index.menus);
    let mut plain = vec![("name", line.username.clone()), ("profile", profile.to_owned())];
    plain.extend(service_value(wanted.service).map(|value| ("service", value.to_owned())));
    if !line.caller_id.is_empty() {
        plain.push((menus.caller, line.caller_id.to_ascii_uppercase()));
    }
    if !line.address.is_empty() {
        plain.push((menus.address, line.address.clone()));
    }
    plain.push(("disabled", "no".into()));
    plain.push(("comment", mark_of(&line.line)));
    let nothing = native::Standing {
        limits: Some(Limits::default()),
        counted: Some(0),
        session: index.session_bytes(&line.username),
        is_written: true,
    };
    let limits = native::writes(menus.table.family(), wanted.allowance.as_ref(), nothing);
    plain.extend(limits.into_iter().map(|(name, bytes)| (name, bytes.to_string())));
    let password = Some(Secret::new(line.password.clone().into_bytes()));
    Values { plain, password, ..Values::default() }
}

fn differences(
    wanted: &WantedLine<'_>,
    profile: &str,
    own: &UserRow,
    index: &LoginIndex<'_>,
) -> (Values, Vec<&'static str>) {
    let (line, menus) = (wanted.line, index.menus);
    let mut values = Values::default();
    let mut differs = Vec::new();
    let mut compare = |name: &'static str, has: Option<&str>, wants: &str| {
        if has != Some(wants) {
            values.plain.push((name, wants.to_owned()));
            differs.push(name);
        }
    };
    compare("name", own.name.as_deref(), &line.username);
    compare("profile", own.profile.as_deref(), profile);
    if let Some(service) = service_value(wanted.service) {
        compare("service", own.service.as_deref(), service);
    }
    let caller = own.caller.as_deref().unwrap_or_default();
    if !caller.eq_ignore_ascii_case(&line.caller_id) {
        let any = if menus.table == Table::HotspotUsers { ANY_MAC } else { "" };
        let wants =
            if line.caller_id.is_empty() { any.to_owned() } else { line.caller_id.to_ascii_uppercase() };
        values.plain.push((menus.caller, wants));
        differs.push(menus.caller);
    }
    if own.address.as_deref().unwrap_or_default() != line.address {
        match (line.address.is_empty(), menus.table) {
            (false, _) => values.plain.push((menus.address, line.address.clone())),
            (true, Table::HotspotUsers) => values.plain.push((menus.address, ANY_ADDRESS.into())),
            (true, _) => values.unset.push(menus.address),
        }
        differs.push(menus.address);
    }
    if own.is_disabled != Some(false) {
        values.plain.push(("disabled", "no".into()));
        differs.push("disabled");
    }
    if is_password_wrong(wanted, own, index.rows) {
        values.password = Some(Secret::new(line.password.clone().into_bytes()));
        differs.push("password");
    }
    let standing = native::Standing {
        limits: own.limits,
        counted: own.counted,
        session: own.name.as_deref().map_or(0, |name| index.session_bytes(name)),
        is_written: !differs.is_empty(),
    };
    for (name, bytes) in native::writes(menus.table.family(), wanted.allowance.as_ref(), standing) {
        values.plain.push((name, bytes.to_string()));
        // A limit of a line that has none was set by somebody.
        differs.push(if wanted.allowance.is_some() { native::UPKEEP } else { name });
    }
    differs.dedup();
    (values, differs)
}

/// Rows that show passwords are believed; for others, what this agent remembers of its own writes decides. So a restart
/// rewrites nothing, and a password that changed while the agent was away is written once. One that nobody knows stays.
fn is_password_wrong(wanted: &WantedLine<'_>, own: &UserRow, rows: &LoginRows) -> bool {
    if wanted.line.password.is_empty() {
        return false;
    }
    match own.password.as_ref().filter(|_| rows.shows_passwords) {
        Some(has) => has.expose() != wanted.line.password.as_bytes(),
        // Whoever was off when the agent started may have got another password since his row was last written.
        None if own.is_disabled != Some(false) => wanted.password != PasswordKnowledge::Right,
        None => wanted.password == PasswordKnowledge::Stale,
    }
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// PPP secrets are bound to one way of dialling in; hotspot users have no such property.
fn service_value(service: Service) -> Option<&'static str> {
    match service {
        Service::Pppoe => Some("pppoe"),
        Service::L2tp => Some("l2tp"),
        Service::Pptp => Some("pptp"),
        Service::Openvpn => Some("ovpn"),
        Service::Hotspot | Service::Static | Service::HotspotDevice => None,
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
