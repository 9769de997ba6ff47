//! What must change on a router so that it agrees with the state: the fourth pure decision of the product.
//!
//! Wanted lines and profiles, and what the router has, go in; an ordered list of changes comes out, in which nothing
//! meaningful is left to choose. Equal in, empty out: a steady state writes nothing. Rows without our mark are never in
//! a change; a name that such a row holds is a failure of the line that wants it. What may wait is `guard.rs`; doing it
//! is `apply.rs`; a plan over rows read back that is empty is the proof that it was done.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routeros_api::value::{Burst, RateLimit, RouterId, Secret, UpDown};
use tawi_shared::wire::{FailureKind, LineV1, ProfileV1, Service};

use crate::desired::{ProfileKey, Revised};
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::actual::{Actual, ProfileRow, ServiceRows, UserRow, mark_of, menus};
use crate::reconcile::ledger::PasswordKnowledge;

/// Seconds over which RouterOS averages a client's rate to allow a burst. Its default of one second ends a burst before
/// a page has loaded; sixteen is the manual's own example.
const BURST_SECONDS: u64 = 16;

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
    /// The generation that wants it so.
    pub revision: u64,
}

/// A line that is no more, as far as this agent remembers it.
#[derive(Clone, Copy, Debug)]
pub struct GoneLine<'a> {
    /// Line id.
    pub line: &'a str,
    /// Where its row is.
    pub service: Service,
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
    /// Set when every row was read: then our rows of lines that are not among these (with the service that each should
    /// have; `None` where it is unknown to this release) must go, and so must our profiles that nothing uses.
    pub all_lines: Option<BTreeMap<&'a str, Option<Service>>>,
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
    pub service: Service,
    /// Its name on the router.
    pub name: String,
    /// The row to set; `None` to add one.
    pub id: Option<RouterId>,
    /// The `rate-limit` to write; empty for none.
    pub rate_limit: String,
}

/// Removes a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedProfile {
    /// Whose.
    pub service: Service,
    /// Which.
    pub id: RouterId,
}

/// What happens to one line. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// Line id; for a row of ours without a line, the one that its mark names.
    pub line: String,
    /// Where.
    pub service: Service,
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
    let profiles = ProfileVerdicts::of(scope, actual, &mut plan.profiles);
    let mut names = BTreeSet::new();
    for wanted in &scope.wanted {
        let Some(rows) = rows_of(actual, wanted, &mut plan.failures) else { continue };
        if !names.insert((wanted.service, wanted.line.username.as_str())) {
            plan.failures.push(foreign(wanted.line, "another line of the state has the same user name"));
            continue;
        }
        plan_line(wanted, rows, &profiles, &mut plan);
    }
    for gone in &scope.gone {
        if let Some(rows) = actual.services.get(&gone.service) {
            plan_gone(gone, rows, &mut plan.lines);
        }
    }
    if let Some(all_lines) = &scope.all_lines {
        for (service, rows) in &actual.services {
            plan_orphans(*service, rows, all_lines, &mut plan.lines);
            plan_unused_profiles(*service, rows, scope, &mut plan.unused_profiles);
        }
    }
    // Within a rank the newest decision first: whoever has just paid. Stable, so that the rest stays in the order of
    // ids.
    plan.lines.sort_by_key(|change| {
        let rank = match (&change.row, change.cut) {
            (RowChange::Add(_) | RowChange::Set(..), None) => 0,
            (_, None) => 1,
            (_, Some(_)) => 2,
        };
        (rank, Reverse(change.revision))
    });
    plan
}

fn rows_of<'a>(
    actual: &'a Actual,
    wanted: &WantedLine<'_>,
    failures: &mut Vec<LineFailure>,
) -> Option<&'a ServiceRows> {
    let rows = actual.services.get(&wanted.service)?;
    match &rows.unavailable {
        None => Some(rows),
        Some(reason) => {
            let detail = format!("the router does not show {}: {reason}", menus(wanted.service).users);
            failures.push(failure(wanted.line, FailureKind::Refused, detail));
            None
        }
    }
}

fn plan_line(wanted: &WantedLine<'_>, rows: &ServiceRows, profiles: &ProfileVerdicts<'_>, plan: &mut Plan) {
    let line = wanted.line;
    let own = own_row(rows, &line.line, &line.username);
    let is_taken = is_taken(rows, &line.line, &line.username);
    for extra in rows.users.iter().filter(|row| row.mark.as_deref() == Some(&line.line)) {
        if own.is_some_and(|own| own.id != extra.id) {
            plan.lines.push(removal(&line.line, wanted.service, extra));
        }
    }
    let Some(profile) = profile_for(wanted.service, wanted.state, line) else {
        let reason = wanted.state.reason().unwrap_or(Reason::SwitchedOff);
        if is_taken && own.is_none() {
            plan.failures.push(foreign(line, "a row that is not ours has this user name"));
            return;
        }
        plan.lines.extend(close_line(wanted, reason, own, is_taken, rows));
        return;
    };
    if is_taken {
        plan.failures.push(foreign(line, "a row that is not ours has this user name"));
        return;
    }
    match profiles.verdict(wanted.service, profile) {
        ProfileVerdict::Unknown => {
            let detail = format!("the state has no profile {profile:?} for this service");
            plan.failures.push(failure(line, FailureKind::Refused, detail));
        }
        ProfileVerdict::Foreign => {
            let detail = format!("profile {profile} on the router is not ours and has another rate limit");
            plan.failures.push(foreign(line, &detail));
        }
        verdict => plan.lines.extend(open_line(wanted, profile, own, verdict, rows)),
    }
}

/// The profile that a line uses in this state; `None` where its row is disabled instead. A hotspot shows whoever is not
/// logged in its own page, so that walled and off are one there.
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
    rows: &ServiceRows,
) -> Option<LineChange> {
    let mut names: Vec<String> = own.and_then(|row| row.name.clone()).into_iter().collect();
    if !is_taken {
        names.push(wanted.line.username.clone());
    }
    names.extend(wanted.owes_kick.iter().cloned());
    let names = distinct(names);
    let to_disable = own.filter(|row| row.is_disabled != Some(true));
    if to_disable.is_none() && !has_sessions(rows, &names) && wanted.owes_kick.is_empty() {
        return None;
    }
    let row = to_disable.map_or(RowChange::Leave, |row| {
        RowChange::Set(row.id.clone(), Values { plain: vec![("disabled", "yes".into())], password: None })
    });
    Some(LineChange {
        line: wanted.line.line.clone(),
        service: wanted.service,
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
    verdict: ProfileVerdict,
    rows: &ServiceRows,
) -> Option<LineChange> {
    let line = wanted.line;
    let change = |row, kick: Vec<String>, differs, cut| LineChange {
        line: line.line.clone(),
        service: wanted.service,
        row,
        kick: distinct(kick),
        cut,
        profile: Some(profile.to_owned()),
        differs,
        revision: wanted.revision,
    };
    let Some(own) = own else {
        let mut plain = vec![("name", line.username.clone()), ("profile", profile.to_owned())];
        plain.extend(service_value(wanted.service).map(|value| ("service", value.to_owned())));
        plain.push(("disabled", "no".into()));
        plain.push(("comment", mark_of(&line.line)));
        let password = Some(Secret::new(line.password.clone().into_bytes()));
        return Some(change(RowChange::Add(Values { plain, password }), vec![], vec!["row"], None));
    };
    let (values, differs) = differences(wanted, profile, own, rows);
    let mut kick = wanted.owes_kick.to_vec();
    let was_open = own.is_disabled != Some(true);
    let is_renamed = differs.contains(&"name");
    let is_other_speed = differs.contains(&"profile") || verdict == ProfileVerdict::Changing;
    if was_open && (is_renamed || is_other_speed) {
        // A running session keeps the rate that it started with: the customer dials again and has the new one.
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

fn differences(
    wanted: &WantedLine<'_>,
    profile: &str,
    own: &UserRow,
    rows: &ServiceRows,
) -> (Values, Vec<&'static str>) {
    let line = wanted.line;
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
    if own.is_disabled != Some(false) {
        values.plain.push(("disabled", "no".into()));
        differs.push("disabled");
    }
    if is_password_wrong(wanted, own, rows) {
        values.password = Some(Secret::new(line.password.clone().into_bytes()));
        differs.push("password");
    }
    (values, differs)
}

/// Rows that show passwords are believed; for others, what this agent remembers of its own writes decides. So a restart
/// rewrites nothing, and a password that changed while the agent was away is written once.
fn is_password_wrong(wanted: &WantedLine<'_>, own: &UserRow, rows: &ServiceRows) -> bool {
    match own.password.as_ref().filter(|_| rows.shows_passwords) {
        Some(has) => has.expose() != wanted.line.password.as_bytes(),
        None => wanted.password == PasswordKnowledge::Stale,
    }
}

fn plan_gone(gone: &GoneLine<'_>, rows: &ServiceRows, changes: &mut Vec<LineChange>) {
    let own = rows.users.iter().filter(|row| row.mark.as_deref() == Some(gone.line));
    let before = changes.len();
    changes.extend(own.map(|row| removal(gone.line, gone.service, row)));
    let names = vec![gone.username.to_owned()];
    let is_free = !rows.users.iter().any(|row| row.name.as_deref() == Some(gone.username));
    if changes.len() == before && is_free && has_sessions(rows, &names) {
        changes.push(LineChange {
            line: gone.line.to_owned(),
            service: gone.service,
            row: RowChange::Leave,
            kick: names,
            cut: None,
            profile: None,
            differs: vec![],
            revision: 0,
        });
    }
}

fn plan_orphans(
    service: Service,
    rows: &ServiceRows,
    all_lines: &BTreeMap<&str, Option<Service>>,
    changes: &mut Vec<LineChange>,
) {
    for row in &rows.users {
        let Some(mark) = row.mark.as_deref() else { continue };
        let is_wanted_here = all_lines.get(mark).is_some_and(|wanted| wanted.is_none_or(|of| of == service));
        let is_planned = changes.iter().any(|change| matches!(&change.row, RowChange::Remove { id, .. } if *id == row.id && change.service == service));
        if !is_wanted_here && !is_planned {
            changes.push(removal(mark, service, row));
        }
    }
}

fn plan_unused_profiles(
    service: Service,
    rows: &ServiceRows,
    scope: &Scope<'_>,
    unused: &mut Vec<UnusedProfile>,
) {
    let used: BTreeSet<&str> = rows.users.iter().filter_map(|row| row.profile.as_deref()).collect();
    for row in rows.profiles.iter().filter(|row| row.is_ours) {
        let Some(name) = row.name.as_deref() else { continue };
        let is_known = scope.profiles.contains_key(&(service.code(), name.to_owned()));
        if !is_known && !used.contains(name) {
            unused.push(UnusedProfile { service, id: row.id.clone() });
        }
    }
}

fn removal(line: &str, service: Service, row: &UserRow) -> LineChange {
    let is_enabled = row.is_disabled != Some(true);
    LineChange {
        line: line.to_owned(),
        service,
        row: RowChange::Remove { id: row.id.clone(), is_enabled },
        kick: row.name.clone().into_iter().collect(),
        cut: is_enabled.then_some(CutReason::Removed),
        profile: None,
        differs: vec!["row"],
        revision: 0,
    }
}

/// Our row of a line: the one with the right name, or else the first that bears its mark.
fn own_row<'a>(rows: &'a ServiceRows, line: &str, username: &str) -> Option<&'a UserRow> {
    let mut own = rows.users.iter().filter(|row| row.mark.as_deref() == Some(line));
    let named = own.clone().find(|row| row.name.as_deref() == Some(username));
    named.or_else(|| own.next())
}

/// Whether a row that is not this line's holds the name.
fn is_taken(rows: &ServiceRows, line: &str, username: &str) -> bool {
    rows.users.iter().any(|row| row.name.as_deref() == Some(username) && row.mark.as_deref() != Some(line))
}

fn has_sessions(rows: &ServiceRows, names: &[String]) -> bool {
    let belongs = |user: &Option<String>| user.as_ref().is_some_and(|user| names.contains(user));
    rows.sessions.iter().chain(&rows.cookies).any(|row| belongs(&row.user))
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

/// What a line can expect of the profile that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProfileVerdict {
    /// It stands, or will be added.
    Stands,
    /// Its rate limit is about to change, which running sessions would not notice.
    Changing,
    /// A foreign row has the name and another rate limit.
    Foreign,
    /// The state does not define it.
    Unknown,
}

struct ProfileVerdicts<'a>(BTreeMap<(Service, &'a str), ProfileVerdict>);

impl<'a> ProfileVerdicts<'a> {
    /// Judges the profiles that this pass needs, and adds what must change to `changes`. A full check needs all of the
    /// state, so that the first customer of a new plan does not wait for its profile.
    fn of(scope: &Scope<'a>, actual: &Actual, changes: &mut Vec<ProfileChange>) -> Self {
        let named = scope.wanted.iter().filter_map(|wanted| {
            Some((wanted.service, profile_for(wanted.service, wanted.state, wanted.line)?))
        });
        let all = scope.profiles.keys().filter(|_| scope.all_lines.is_some());
        let all =
            all.filter_map(|(code, name)| Service::from_code(*code).map(|service| (service, name.as_str())));
        let needed: BTreeSet<(Service, &'a str)> = named.chain(all).collect();
        let mut verdicts = BTreeMap::new();
        for (service, name) in needed {
            let wanted = scope.profiles.get(&(service.code(), name.to_owned()));
            let rows = actual.services.get(&service).filter(|rows| rows.unavailable.is_none());
            let verdict = match (wanted, rows) {
                (None, _) => ProfileVerdict::Unknown,
                (Some(wanted), Some(rows)) if rows.has_profiles => {
                    judge_profile(service, &wanted.item, rows, changes)
                }
                _ => ProfileVerdict::Stands,
            };
            verdicts.insert((service, name), verdict);
        }
        Self(verdicts)
    }

    fn verdict(&self, service: Service, name: &str) -> ProfileVerdict {
        self.0.get(&(service, name)).copied().unwrap_or(ProfileVerdict::Unknown)
    }
}

fn judge_profile(
    service: Service,
    wanted: &ProfileV1,
    rows: &ServiceRows,
    changes: &mut Vec<ProfileChange>,
) -> ProfileVerdict {
    let limit = rate_limit_of(wanted);
    let row = rows.profiles.iter().find(|row| row.name.as_deref() == Some(&wanted.name));
    let mut change = |id: Option<&ProfileRow>| {
        changes.push(ProfileChange {
            service,
            name: wanted.name.clone(),
            id: id.map(|row| row.id.clone()),
            rate_limit: limit.map(|limit| limit.to_string()).unwrap_or_default(),
        });
    };
    match row {
        None => {
            change(None);
            ProfileVerdict::Stands
        }
        Some(row) if row.limit == Some(limit) => ProfileVerdict::Stands,
        Some(row) if row.is_ours => {
            change(Some(row));
            ProfileVerdict::Changing
        }
        Some(_) => ProfileVerdict::Foreign,
    }
}

/// The router's rate limit of a profile, upload first; `None` for no limit at all. A burst that is not above the rate
/// of its direction is none.
#[must_use]
pub fn rate_limit_of(profile: &ProfileV1) -> Option<RateLimit> {
    let rate = UpDown { upload: profile.upload_bits_per_second, download: profile.download_bits_per_second };
    if rate == UpDown::both(0) {
        return None;
    }
    let is_burst = |burst: u64, rate: u64| rate > 0 && burst > rate;
    let upload_bursts = is_burst(profile.upload_burst_bits_per_second, rate.upload);
    let download_bursts = is_burst(profile.download_burst_bits_per_second, rate.download);
    let mut limit = RateLimit::plain(rate);
    if upload_bursts || download_bursts {
        limit.burst = Some(Burst {
            bits_per_second: UpDown {
                upload: if upload_bursts { profile.upload_burst_bits_per_second } else { rate.upload },
                download: if download_bursts {
                    profile.download_burst_bits_per_second
                } else {
                    rate.download
                },
            },
            threshold_bits_per_second: rate,
            seconds: UpDown::both(BURST_SECONDS),
        });
    }
    Some(limit)
}

#[cfg(test)]
mod tests;
