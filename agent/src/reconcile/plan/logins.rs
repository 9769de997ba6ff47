//! What must change for lines where somebody logs in: secrets and hotspot users.
//!
//! Pure. A line has one row, by its mark: it is made, set, or disabled, and what its sessions took over from it is why
//! they end. Who keeps a name that two want is `names.rs`; profiles are `profiles.rs`, limits `native.rs`.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::Secret;
use tawi_shared::Gather as _;
use tawi_shared::wire::{FailureKind, LineV1, Service};

use super::names::{Claim, Claims, Outlook, name_between};
use super::profiles::{Verdict, Verdicts};
use super::{
    CutReason, First, GoneLine, LineChange, Lookup, Plan, RowChange, Scope, Values, WantedLine, failure,
    fixed, foreign, native,
};
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::actual::{
    ANY_ADDRESS, ANY_MAC, Family, Limits, LoginRows, Menus, SessionRow, Table, UserRow, mark_of,
};
use crate::reconcile::ledger::PasswordKnowledge;

/// The rows of one family by what they are looked up by.
pub(super) struct LoginIndex<'a> {
    menus: &'static Menus,
    pub(super) rows: &'a LoginRows,
    by_mark: Lookup<'a, UserRow>,
    by_name: Lookup<'a, UserRow>,
    sessions: Lookup<'a, SessionRow>,
    cookies: Lookup<'a, SessionRow>,
}

impl<'a> LoginIndex<'a> {
    pub(super) fn of(menus: &'static Menus, rows: &'a LoginRows) -> Self {
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

    /// Whether a row of this line's has its name.
    pub(super) fn has_name(&self, line: &LineV1) -> bool {
        self.by_name.get(&line.username).any(|row| row.mark.as_deref() == Some(&line.line))
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

    /// Those of these names that sessions of ours may still go by. A row that is not ours may have one by now; another
    /// line of ours that has it dials once more than it had to.
    fn still_owed(&self, names: &[String]) -> Vec<String> {
        let is_foreign = |name: &String| self.by_name.get(name).any(|row| row.mark.is_none());
        names.iter().filter(|name| !is_foreign(name)).cloned().collect()
    }

    pub(super) fn plan_gone(&self, gone: &GoneLine<'_>, changes: &mut Vec<LineChange>) {
        let owed = self.still_owed(gone.owes_kick);
        let mut removals: Vec<_> =
            self.by_mark.get(gone.line).map(|row| self.removal(gone.line, row)).collect();
        if let Some(removal) = removals.first_mut() {
            // Behind its own name, by which it is looked for again.
            let others = owed.into_iter().filter(|name| !removal.kick.contains(name));
            let others: Vec<String> = others.collect();
            removal.kick.extend(others);
            return changes.append(&mut removals);
        }
        let is_free = self.by_name.get(gone.username).next().is_none();
        let own = is_free.then(|| gone.username.to_owned());
        let names = distinct(own.into_iter().chain(owed).collect());
        if self.has_sessions(&names) {
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

    pub(super) fn plan_orphans(&self, family: Family, scope: &Scope<'_>, changes: &mut Vec<LineChange>) {
        let Some(all_lines) = &scope.all_lines else { return };
        let gone: BTreeSet<&str> =
            scope.gone.iter().filter(|gone| gone.family == family).map(|gone| gone.line).into_set();
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

/// What is to become of a line, as far as its name is its own.
enum Fate<'a> {
    Fails(LineFailure),
    Closed(Reason),
    Open(&'a str, Verdict),
}

struct Judged<'a> {
    wanted: &'a WantedLine<'a>,
    own: Option<&'a UserRow>,
    fate: Fate<'a>,
}

impl<'a> Judged<'a> {
    fn of(wanted: &'a WantedLine<'a>, index: &LoginIndex<'a>, profiles: &Verdicts<'_>) -> Self {
        let own = index.own(wanted.line);
        Self { wanted, own, fate: fate(wanted, own, index, profiles).unwrap_or_else(Fate::Fails) }
    }

    fn id(&self) -> &'a str {
        &self.wanted.line.line
    }
}

fn fate<'a>(
    wanted: &'a WantedLine<'a>,
    own: Option<&UserRow>,
    index: &LoginIndex<'_>,
    profiles: &Verdicts<'_>,
) -> Result<Fate<'a>, LineFailure> {
    let line = wanted.line;
    if let Some(reason) = &index.rows.unavailable {
        let detail = format!("the router does not show {}: {reason}", index.menus.users);
        return Err(failure(line, FailureKind::Refused, detail));
    }
    let profile = profile_for(wanted.service, wanted.state, line);
    let is_foreign = index.by_name.get(&line.username).any(|row| row.mark.is_none());
    if is_foreign && (own.is_none() || profile.is_some()) {
        return Err(foreign(line, "a row that is not ours has this user name"));
    }
    let Some(profile) = profile else {
        return Ok(Fate::Closed(wanted.state.reason().unwrap_or(Reason::SwitchedOff)));
    };
    if let Some(detail) = misfit(wanted) {
        return Err(failure(line, FailureKind::Refused, detail));
    }
    // A row without a password would let anybody in.
    if own.is_none() && line.password.is_empty() {
        let detail = "its row is not on the router, and a new one needs one; cure: set a password on the line's page at \
                      head office, or restore the router's backup";
        return Err(failure(line, FailureKind::NoPassword, detail.to_owned()));
    }
    match profiles.of_line(wanted.service, profile) {
        Verdict::Unknown => {
            let detail = format!("the state has no profile {profile:?} for this service");
            Err(failure(line, FailureKind::Refused, detail))
        }
        Verdict::Twofold => {
            let detail = format!(
                "the state has two different profiles {profile:?} that share a menu of the router; rename one"
            );
            Err(failure(line, FailureKind::Refused, detail))
        }
        Verdict::Foreign => {
            let detail = format!("profile {profile} on the router is not ours and has other properties");
            Err(foreign(line, &detail))
        }
        verdict => Ok(Fate::Open(profile, verdict)),
    }
}

/// Plans the lines of one family in which somebody logs in.
pub(super) fn plan_lines(
    family: Family,
    lines: &[&WantedLine<'_>],
    index: &LoginIndex<'_>,
    profiles: &Verdicts<'_>,
    scope: &Scope<'_>,
    plan: &mut Plan,
    first: &mut First,
) {
    let judged: Vec<Judged<'_>> = lines.iter().map(|wanted| Judged::of(wanted, index, profiles)).collect();
    let claims = Claims::of(claims_of(family, &judged, index, scope));
    for (holder, line) in claims.elsewhere() {
        let claimant = judged.iter().find(|judged| judged.id() == line);
        let name = claimant.map(|claimant| claimant.wanted.line.username.clone());
        plan.holders_elsewhere.insert((family, holder.to_owned()), name.unwrap_or_default());
    }
    for judged in judged {
        plan_line(judged, &claims, index, plan, first);
    }
}

/// What lines that are open want of rows of ours that are not theirs.
fn claims_of<'a>(
    family: Family,
    judged: &[Judged<'a>],
    index: &LoginIndex<'a>,
    scope: &'a Scope<'_>,
) -> Vec<Claim<'a>> {
    let by_line: BTreeMap<&str, &Judged<'a>> = judged.iter().map(|judged| (judged.id(), judged)).into_map();
    let outlook = |holder: &str, row: &UserRow| match by_line.get(holder) {
        _ if scope.takes_away(holder, family) => Outlook::GoesAfterSessions,
        Some(holder) if holder.own.is_none_or(|own| own.id != row.id) => Outlook::GoesAfterSessions,
        Some(holder) => match &holder.fate {
            Fate::Fails(_) => Outlook::Stays,
            Fate::Closed(_) | Fate::Open(..) => Outlook::GivesWay,
        },
        None if scope.looks_at(holder) => Outlook::Stays,
        None => Outlook::Elsewhere,
    };
    let mut claims = Vec::new();
    for judged in judged.iter().filter(|judged| matches!(judged.fate, Fate::Open(..))) {
        for row in index.by_name.get(&judged.wanted.line.username) {
            let holder = row.mark.as_deref().filter(|holder| *holder != judged.id());
            claims.extend(holder.map(|holder| Claim {
                line: judged.id(),
                holder,
                row: (index.menus.table, &row.id),
                outlook: outlook(holder, row),
            }));
        }
    }
    claims
}

fn plan_line(
    judged: Judged<'_>,
    claims: &Claims<'_>,
    index: &LoginIndex<'_>,
    plan: &mut Plan,
    first: &mut First,
) {
    let Judged { wanted, own, fate } = judged;
    let line = wanted.line;
    for extra in index.by_mark.get(&line.line) {
        if own.is_some_and(|own| own.id != extra.id) {
            plan.lines.push(index.removal(&line.line, extra));
        }
    }
    let gives_way = own.filter(|own| claims.is_claimed(index.menus.table, &own.id));
    match (fate, claims.blocked_by(&line.line)) {
        (Fate::Fails(failure), _) => plan.failures.push(failure),
        (Fate::Closed(reason), _) => {
            let closing = close_line(wanted, reason, own, index.is_taken(line), index);
            match gives_way {
                Some(own) => first.changes.push(closed_elsewhere(wanted, own, closing, index)),
                None => plan.lines.extend(closing),
            }
        }
        (Fate::Open(..), Some(holder)) => {
            let detail = format!("the row of line {holder} has this user name and cannot give it up");
            plan.failures.push(foreign(line, &detail));
            plan.blocked.push((line.line.clone(), holder.to_owned()));
        }
        (Fate::Open(profile, verdict), None) => {
            let waits = claims.waits_of(&line.line);
            let is_for_next_round = waits.iter().any(|wait| wait.is_for_next_round);
            plan.waits.extend(waits);
            let mut change = match is_for_next_round {
                false => open_line(wanted, profile, own, verdict, index),
                true => None,
            };
            let is_between = own.is_some_and(|own| own.name.as_deref() == Some(&name_between(&line.line)));
            if let Some(own) = gives_way {
                first.changes.push(step_aside(wanted, profile, own, change.is_none(), index));
                if let Some(RowChange::Set(_, values)) = change.as_mut().map(|change| &mut change.row)
                    && !values.plain.iter().any(|(name, _)| *name == "disabled")
                {
                    values.plain.push(("disabled", "no".into()));
                }
            }
            match change {
                Some(change) if gives_way.is_some() || is_between => {
                    plan.lines.extend(name_first(change));
                }
                change => plan.lines.extend(change),
            }
        }
    }
}

/// A row between two names lets nobody in. It has its name by a write of its own, so that the router's refusal of
/// anything else does not keep off whoever has paid. Its profile comes with it: whoever dials in behind the first write
/// stays with what that says.
fn name_first(change: LineChange) -> Vec<LineChange> {
    let names: &[&str] = &["name", "disabled", "profile"];
    let RowChange::Set(id, values) = change.row.clone() else { return vec![change] };
    let (plain, rest): (Vec<_>, Vec<_>) =
        values.plain.into_iter().partition(|(name, _)| names.contains(name));
    if plain.is_empty() || (rest.is_empty() && values.unset.is_empty() && values.password.is_none()) {
        return vec![change];
    }
    let (early, late) = change.differs.iter().partition(|differs| names.contains(differs));
    let row = RowChange::Set(id.clone(), Values { plain, ..Values::default() });
    let first = LineChange { row, differs: early, ..change.clone() };
    let row = RowChange::Set(id, Values { plain: rest, ..values });
    vec![first, LineChange { row, differs: late, kick: vec![], ..change }]
}

/// The row leaves its name and lets nobody in until it has its own, by the change that lies behind. If there is none in
/// this round, its sessions end with this one: they go by a name that is somebody else's from now on.
fn step_aside(
    wanted: &WantedLine<'_>,
    profile: &str,
    own: &UserRow,
    is_alone: bool,
    index: &LoginIndex<'_>,
) -> LineChange {
    let plain = vec![("name", name_between(&wanted.line.line)), ("disabled", "yes".into())];
    let mut kick = Vec::new();
    if is_alone {
        kick.extend(index.still_owed(wanted.owes_kick));
        kick.extend(own.name.clone().filter(|_| own.is_disabled != Some(true)));
    }
    LineChange {
        line: wanted.line.line.clone(),
        table: index.menus.table,
        row: RowChange::Set(own.id.clone(), Values { plain, ..Values::default() }),
        kick: distinct(kick),
        cut: None,
        profile: Some(profile.to_owned()),
        differs: vec!["name"],
        revision: wanted.revision,
    }
}

/// A row that is closed, or is about to be, leaves its name: for that of its line where nobody has it.
fn closed_elsewhere(
    wanted: &WantedLine<'_>,
    own: &UserRow,
    closing: Option<LineChange>,
    index: &LoginIndex<'_>,
) -> LineChange {
    let line = wanted.line;
    let is_free = index.by_name.get(&line.username).next().is_none();
    let name = if is_free { line.username.clone() } else { name_between(&line.line) };
    let mut change = closing.unwrap_or_else(|| LineChange {
        line: line.line.clone(),
        table: index.menus.table,
        row: RowChange::Leave,
        kick: vec![],
        cut: None,
        profile: None,
        differs: vec![],
        revision: wanted.revision,
    });
    change.differs.push("name");
    match &mut change.row {
        RowChange::Set(_, values) => values.plain.push(("name", name)),
        other => {
            let plain = vec![("name", name)];
            *other = RowChange::Set(own.id.clone(), Values { plain, ..Values::default() });
        }
    }
    change
}

/// What a line says that no row could have.
fn misfit(wanted: &WantedLine<'_>) -> Option<String> {
    let line = wanted.line;
    if !line.address.is_empty() && fixed::usable_address(&line.address).is_none() {
        return Some(format!("{:?} is no IPv4 address that a customer can have", line.address));
    }
    let needs_mac = wanted.service == Service::Hotspot && !line.caller_id.is_empty();
    (needs_mac && !fixed::is_mac(&line.caller_id.to_ascii_uppercase()))
        .then(|| format!("{:?} is no MAC address of a device", line.caller_id))
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
    let owed = index.still_owed(wanted.owes_kick);
    let owes_nothing = owed.is_empty();
    names.extend(owed);
    let names = distinct(names);
    let to_disable = own.filter(|row| row.is_disabled != Some(true));
    if to_disable.is_none() && !index.has_sessions(&names) && owes_nothing {
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
        return Some(change(RowChange::Add(values), index.still_owed(wanted.owes_kick), vec!["row"], None));
    };
    let (values, differs) = differences(wanted, profile, own, index);
    let mut kick = index.still_owed(wanted.owes_kick);
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
        is_new: true,
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
        is_new: false,
    };
    let (family, allowance) = (menus.table.family(), wanted.allowance.as_ref());
    for (name, bytes) in native::writes(family, allowance, standing) {
        values.plain.push((name, bytes.to_string()));
        // A limit of a line that has none was set by somebody.
        differs.push(if native::is_kept_up(family, name, allowance) { native::UPKEEP } else { name });
    }
    differs.dedup();
    (values, differs)
}

/// Rows that show passwords are believed; for others, what this agent remembers of its own writes decides. So a restart
/// rewrites nothing, and a password that changed while the agent was away is written once. One that nobody knows stays.
fn is_password_wrong(wanted: &WantedLine<'_>, own: &UserRow, rows: &LoginRows) -> bool {
    if wanted.line.password.is_empty() || wanted.password == PasswordKnowledge::RoutersOwn {
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
