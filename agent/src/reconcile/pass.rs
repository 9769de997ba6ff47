//! One pass: read, plan, guard, apply, read back.
//!
//! A pass looks at everything or at a few lines, and ends when a plan over fresh rows wants nothing more or says what
//! failed. Every line that it looked at leaves an entry in the ledger: verified, or with its failure. It refuses to act
//! on a generation that was never heard of, and holds what the guard holds. When passes are due is `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use routeros_api::{Client, Error};
use tawi_shared::Gather as _;
use tawi_shared::wire::{FailureKind, LineV1, ProfileV1, Service};

use crate::clock::Reading;
use crate::desired::{DesiredState, Revised};
use crate::enforce::{Effective, Reason};
use crate::flow::LineFailure;
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family, Table};
use crate::reconcile::apply::{Applied, ReadBack, Unkept, apply};
use crate::reconcile::backlog::LINES_PER_PASS;
use crate::reconcile::guard::{self, Moment};
use crate::reconcile::ledger::{Decision, Entry};
use crate::reconcile::limits::{limits_in, quota_key};
use crate::reconcile::plan::native::UPKEEP;
use crate::reconcile::plan::{
    CutReason, GoneLine, LineChange, Plan, RowChange, Scope, WantedLine, is_felt, plan, profile_for,
};
use crate::reconcile::read::{Needed, read_everything, read_some};
use crate::reconcile::record::profile_keys;
use crate::reconcile::verify::{ROUNDS, Verdict, judge};

/// Lines above which a pass reads whole menus: beyond it one long print costs the router less than many queries, each
/// of which walks the whole table.
pub(crate) const LINES_READ_BY_NAME: usize = 48;

/// What a pass looks at.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// Every row.
    Everything,
    /// These lines, known or gone.
    Lines(BTreeSet<String>),
}

/// What a pass works on, taken once at its start: what falls due meanwhile is the next pass's.
#[derive(Clone, Copy)]
pub(crate) struct Basis<'a> {
    pub(crate) state: &'a DesiredState,
    pub(crate) reading: Reading,
    pub(crate) mono: Duration,
    /// For how long head office was not heard.
    pub(crate) silence: Duration,
    /// Whether a sample of this run is in the quota book.
    pub(crate) is_counted: bool,
}

impl Basis<'_> {
    pub(crate) fn moment(&self) -> Moment {
        Moment { mono: self.mono, reading: self.reading }
    }
}

/// What the first look planned for a line, until the last look says what became of it.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) is_cut: Option<CutReason>,
    /// Whether its time has just ended and it goes on slowly.
    pub(super) is_slowed: bool,
    pub(super) is_counted: bool,
    pub(super) is_drift: bool,
    pub(super) differs: Vec<&'static str>,
    pub(super) profile: Option<(Family, String)>,
}

/// Where a row of ours is that its line no longer wants there.
pub(super) struct Stray {
    pub(super) line: String,
    pub(super) family: Family,
    pub(super) username: String,
}

/// What one round of a pass did, to be looked at.
struct After {
    /// Lines that it was about.
    lines: BTreeSet<String>,
    /// Those of them that wait for a name.
    waiting: BTreeSet<String>,
    /// Where rows went.
    strays: Vec<Stray>,
    /// The largest limit that was written, by line.
    written: BTreeMap<String, u64>,
    round: u32,
}

impl Reconciler {
    /// Runs one pass, over rows that were read already if they are given.
    ///
    /// # Errors
    /// When the connection is lost or the router answers what no reading can use. Lines that were not verified by then
    /// stay due.
    pub(crate) async fn pass(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        reach: Reach,
        read: Option<Actual>,
    ) -> Result<(), Error> {
        let reach = self.with_sharers(basis, reach);
        let actual = match read {
            Some(actual) => actual,
            None => self.read(client, basis, &reach, &[]).await?,
        };
        let (reach, holders, mut actual) = match reach {
            Reach::Everything => (Reach::Everything, Vec::new(), actual),
            Reach::Lines(lines) => self.bring_in_holders(client, basis, lines, actual).await?,
        };
        self.look_for_devices(client, basis, &reach).await?;
        match &reach {
            Reach::Everything => {
                self.usable_lines = actual.usable_lines();
                self.backlog.clear();
            }
            Reach::Lines(lines) => self.backlog.forget(lines),
        }
        let (mut planned, looked_at) = self.first_look(basis, &reach, &holders, &mut actual);
        self.spare_sessions(basis, &mut planned);
        self.note_let_go();
        let mut touched = self.note_touched(basis, &planned);
        self.hold_back(basis, &mut planned, &mut touched);
        let is_full_check = matches!(reach, Reach::Everything);
        let most = match reach {
            Reach::Everything => self.pace.allowed(self.origin.elapsed()),
            // Whatever is due goes now; portions of the backlog are measured by whoever asks for them.
            Reach::Lines(_) => LINES_PER_PASS,
        };
        self.put_off(&mut planned, &mut touched, most);
        self.drop_waiters(basis, &mut planned, &mut touched);
        let mut changed = BTreeSet::new();
        self.owe_kicks_elsewhere(basis, &planned, &looked_at);
        self.settle_untouched(basis, &planned, &looked_at).await;
        let mut round = 1;
        while !planned.lines.is_empty() || !planned.profiles.is_empty() || !planned.unused_profiles.is_empty()
        {
            self.note_owed_kicks(&planned.lines);
            let strays = strays(&planned);
            let waiting: BTreeSet<String> = planned.waits.iter().map(|wait| wait.line.clone()).into_set();
            let lines = planned.lines.iter().map(|change| change.line.clone());
            let lines: BTreeSet<String> = lines.chain(waiting.iter().cloned()).into_set();
            changed.extend(lines.iter().cloned());
            let needed = self.needed(basis, &lines, &strays);
            let written = limits_in(&planned.lines);
            written.keys().for_each(|line| self.ledger.entry(line).has_new_limit = true);
            self.forget_rows_that_go(&planned);
            self.pace.spend(lines.len(), self.origin.elapsed());
            self.remember(basis, &planned, &touched).await;
            self.ledger.note_openings(&lines, &basis.reading);
            let needed = self.with_changed_profiles(needed, &planned);
            let is_made = |change: &&LineChange| matches!(change.row, RowChange::Add(_));
            planned
                .lines
                .iter()
                .filter(is_made)
                .for_each(|change| self.settings.made_rows.note(&change.line));
            let mut applied = {
                let judge = |actual: &Actual| self.unkept(basis, &lines, &strays, actual);
                let read_back = ReadBack { needed: &needed, judge: &judge };
                let _writing = self.settings.writing.read().await;
                Box::pin(apply(client, &planned, &self.settings.profile_template, &read_back)).await?
            };
            self.pace.worked(applied.written, self.origin.elapsed());
            self.lacks_policy |= applied.lacks_policy;
            self.note_written(basis, &planned, &applied).await;
            self.report_profile_drift(basis.state, &planned).await;
            if lines.is_empty() {
                self.prove_profiles(client, basis.state, &planned).await?;
                break;
            }
            let after = After { lines, waiting, strays, written, round };
            planned = self.second_look(client, basis, after, &mut applied, &mut touched).await?;
            self.drop_waiters(basis, &mut planned, &mut touched);
            round = round.saturating_add(1);
        }
        self.wake_blocked(basis, &looked_at, &changed);
        let Self { released, backlog, .. } = self;
        // A pass over a few other lines has nothing to say about what a person let go.
        released.retain(|line| !looked_at.contains(line) || backlog.contains(line));
        self.report_drift().await;
        self.report_guard(basis, is_full_check).await;
        Ok(())
    }

    /// The profiles that the plan writes are read back too, whatever was known of them.
    fn with_changed_profiles(
        &self,
        mut needed: BTreeMap<Family, Needed>,
        planned: &Plan,
    ) -> BTreeMap<Family, Needed> {
        for change in &planned.profiles {
            if let Some(needed) = needed.get_mut(&change.family) {
                needed.profiles.extend([change.name.clone(), self.settings.profile_template.clone()]);
            }
        }
        needed
    }

    /// What the rows that were just written still lack of what sessions would be ended for.
    fn unkept(
        &self,
        basis: Basis<'_>,
        lines: &BTreeSet<String>,
        strays: &[Stray],
        actual: &Actual,
    ) -> Unkept {
        let left = plan(&self.scope(basis, lines, false, strays), actual);
        let is_lacking = |change: &&LineChange| match change.row {
            RowChange::Add(_) => true,
            RowChange::Set(..) => is_felt(&change.differs),
            _ => false,
        };
        let mut rows: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for change in left.lines.iter().filter(is_lacking) {
            let felt = change.differs.iter().copied().filter(|differs| is_felt(&[*differs]));
            rows.entry(change.line.clone()).or_default().extend(felt);
        }
        rows.extend(left.failures.iter().map(|failure| (failure.line.clone(), BTreeSet::new())));
        let profiles = left.profiles.into_iter().map(|change| (change.family, change.name)).into_set();
        Unkept { rows, profiles }
    }

    /// Nobody is thrown out twice within the hour because somebody else keeps rewriting a profile: it is put right, and
    /// told, and whoever dialled in between has the wrong speed until he dials again.
    fn spare_sessions(&self, basis: Basis<'_>, planned: &mut Plan) {
        let mut spared = BTreeSet::new();
        for change in planned.profiles.iter_mut().filter(|change| change.is_felt) {
            let wanted = wanted_profile(basis.state, change.family, &change.name);
            if self.profile_kicks.is_recent(change.family, &change.name, wanted, basis.mono) {
                change.is_felt = false;
                spared.insert((change.family, change.name.clone()));
            }
        }
        if spared.is_empty() {
            return;
        }
        for change in &mut planned.lines {
            let profile = change.profile.clone().map(|name| (change.table.family(), name));
            let is_spared = profile.is_some_and(|profile| spared.contains(&profile));
            let is_its_own = matches!(change.row, RowChange::Set(..)) && is_felt(&change.differs);
            if is_spared && !is_its_own {
                change.kick = self.ledger.owed(&change.line).to_vec();
            }
        }
        planned.lines.retain(|change| change.row != RowChange::Leave || !change.kick.is_empty());
    }

    /// What was written, as far as no row can show it later.
    async fn note_written(&mut self, basis: Basis<'_>, planned: &Plan, applied: &Applied) {
        let mut written = Vec::new();
        for change in &planned.lines {
            let (RowChange::Add(values) | RowChange::Set(_, values)) = &change.row else { continue };
            let is_undone =
                applied.refused.contains_key(&change.line) || applied.overtaken.contains(&change.line);
            if values.password.is_none() || is_undone {
                continue;
            }
            if let Some(line) = self.line(basis.state, &change.line).map(Arc::clone) {
                self.ledger.note_password(&line.item);
                self.ledger.entry(&change.line).is_password_written = true;
                written.push(change.line.clone());
            }
        }
        self.forget_own_passwords(&written).await;
        for change in planned.profiles.iter().filter(|change| change.is_felt) {
            if let Some(wanted) = wanted_profile(basis.state, change.family, &change.name) {
                self.profile_kicks.note(change.family, &change.name, wanted, basis.mono);
            }
        }
    }

    pub(super) async fn read(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        reach: &Reach,
        strays: &[Stray],
    ) -> Result<Actual, Error> {
        match reach {
            Reach::Everything => Box::pin(read_everything(client)).await,
            Reach::Lines(lines) => Box::pin(read_some(client, &self.needed(basis, lines, strays))).await,
        }
    }

    /// The rows that deciding about these lines takes.
    fn needed(
        &self,
        basis: Basis<'_>,
        lines: &BTreeSet<String>,
        strays: &[Stray],
    ) -> BTreeMap<Family, Needed> {
        let mut all: BTreeMap<Family, Needed> = BTreeMap::new();
        let mut unproven = BTreeSet::new();
        for id in lines {
            let owed = self.ledger.owed(id);
            let wanted = self.line(basis.state, id);
            if let Some((line, (service, state))) =
                wanted.and_then(|line| Some((&line.item, self.effective(basis, &line.item).ok()?)))
            {
                let needed = all.entry(Family::of(service)).or_default();
                needed.lines.insert(id.clone(), line.username.clone());
                match profile_for(service, state, line) {
                    Some(profile) => {
                        needed.profiles.insert(profile.to_owned());
                        if !self.is_profile_good(basis.state, line.service, profile) {
                            unproven.insert(Family::of(service));
                        }
                    }
                    None => needed.sessions.extend([line.username.clone()]),
                }
                if self.needs_sessions(basis, line) {
                    needed.sessions.insert(line.username.clone());
                }
                needed.owe(&line.username, owed);
                if Family::of(service) == Family::Fixed {
                    needed.addresses.insert(line.address.clone());
                    let mac =
                        (service == Service::HotspotDevice).then(|| line.caller_id.to_ascii_uppercase());
                    needed.macs.extend(mac);
                }
            }
            for gone in self.gone_from(basis.state, id) {
                let needed = all.entry(gone.family).or_default();
                needed.lines.insert(id.clone(), gone.username.to_owned());
                needed.sessions.insert(gone.username.to_owned());
                needed.owe(gone.username, owed);
            }
        }
        for stray in strays {
            let needed = all.entry(stray.family).or_default();
            needed.lines.entry(stray.line.clone()).or_insert_with(|| stray.username.clone());
            needed.sessions.insert(stray.username.clone());
        }
        // All that are named or none: one that was not asked for would seem to be missing. What a profile leaves open
        // is as the template has it.
        for (family, needed) in &mut all {
            if unproven.contains(family) {
                needed.profiles.insert(self.settings.profile_template.clone());
            } else {
                needed.profiles.clear();
            }
        }
        all
    }

    /// Whether a profile stood on the router when it was last looked at, as the state still wants it.
    pub(super) fn is_profile_good(&self, state: &DesiredState, service: u16, name: &str) -> bool {
        let key = (service, name.to_owned());
        let (wanted, good) = (state.profiles.get(&key), self.good_profiles.get(&key));
        wanted.zip(good).is_some_and(|(wanted, good)| wanted.item == good.item)
    }

    fn first_look(
        &mut self,
        basis: Basis<'_>,
        reach: &Reach,
        holders: &[Stray],
        actual: &mut Actual,
    ) -> (Plan, BTreeSet<String>) {
        if matches!(reach, Reach::Everything) {
            self.resume_kicks(basis, actual);
        }
        let lines: BTreeSet<String> = match reach {
            Reach::Lines(lines) => lines.clone(),
            Reach::Everything => {
                let wanted = self.lines(basis.state).map(|line| line.item.line.clone());
                wanted.chain(self.ledger.entries.keys().cloned()).into_set()
            }
        };
        self.note_password_evidence(basis.state, actual);
        self.note_rows(actual);
        self.note_rests(actual);
        let scope = self.scope(basis, &lines, matches!(reach, Reach::Everything), holders);
        let planned = plan(&scope, actual);
        self.note_profiles(basis.state, actual);
        for id in &lines {
            if let Some(decision) = self.decision(basis, id) {
                let place = Family::of_code(decision.line.item.service)
                    .map(|family| (family, decision.line.item.username.clone()));
                let has_moved = self.gone_from(basis.state, id).next().is_some();
                let quota = quota_key(&decision.line.item, basis.reading.now);
                let entry = self.ledger.entry(id);
                entry.decision = Some(decision);
                entry.limits_tried = quota;
                entry.has_ended = false;
                entry.place = if has_moved { entry.place.take() } else { place };
                entry.is_suspect = false;
                entry.has_tried_removal = false;
            } else if let Some(entry) = self.ledger.entries.get_mut(id) {
                entry.has_tried_removal = true;
                entry.decision = None;
            }
            // What was left to a person is judged anew by this plan.
            if self.ledger.is_left(id) {
                self.ledger.failures.remove(id);
            }
        }
        (planned, lines)
    }

    /// Takes the lines of the plan apart: what each is in for, and whether it is drift or a cut that the guard counts.
    fn note_touched(&mut self, basis: Basis<'_>, planned: &Plan) -> BTreeMap<String, Touched> {
        let mut touched: BTreeMap<String, Touched> = BTreeMap::new();
        for change in &planned.lines {
            let entry = self.ledger.entries.get(&change.line).map(AsRef::as_ref);
            let wanted = self.line(basis.state, &change.line).map(|line| &line.item);
            let is_counted = guard::counts(change, entry, wanted, basis.mono, basis.reading.leaps)
                && !self.released.contains(&change.line);
            let was_right = entry.and_then(|entry| entry.verified.as_ref().zip(entry.decision.as_ref()));
            let was_right = was_right.is_some_and(|(verified, decision)| verified.decision.is_same(decision));
            let is_expired =
                |decision: &Decision| decision.state.and_then(Effective::reason) == Some(Reason::Expired);
            let is_slowed = entry.is_some_and(|entry| {
                let is_news = entry.verified.as_ref().is_none_or(|verified| !is_expired(&verified.decision));
                let is_slow = |decision: &Decision| matches!(decision.state, Some(Effective::Throttled(_)));
                is_news && entry.decision.as_ref().is_some_and(|now| is_slow(now) && is_expired(now))
            });
            let is_rate = |differs: &&str| matches!(*differs, "profile" | "max-limit");
            let note = touched.entry(change.line.clone()).or_default();
            note.is_slowed |= is_slowed && change.differs.iter().any(is_rate);
            note.is_cut = note.is_cut.or(change.cut);
            note.is_counted |= is_counted;
            // What a person has made anew is not what somebody else changed.
            note.is_drift |=
                was_right && !self.is_rebuilding && change.differs.iter().any(|differs| *differs != UPKEEP);
            note.differs.extend(change.differs.iter().copied());
            note.profile = change.profile.clone().map(|name| (change.table.family(), name));
            if self.line(basis.state, &change.line).is_none() {
                let username = change.kick.first().cloned().unwrap_or_default();
                let entry = self.ledger.entry(&change.line);
                entry.place.get_or_insert((change.table.family(), username));
                entry.has_tried_removal = true;
            }
        }
        touched
    }

    /// Leaves what is more than a pass may change for the next ones.
    fn put_off(&mut self, planned: &mut Plan, touched: &mut BTreeMap<String, Touched>, most: usize) {
        let mut lines = BTreeSet::new();
        let (mut kept, mut put_off) = (Vec::new(), Vec::new());
        for change in planned.lines.drain(..) {
            if lines.len() < most || lines.contains(&change.line) {
                lines.insert(change.line.clone());
                kept.push(change);
            } else {
                touched.remove(&change.line);
                self.backlog.add(&change.line, change.revision);
                put_off.push(change);
            }
        }
        planned.lines = kept;
        // A profile that this pass writes is no difference any more when their turn comes, and the sessions would keep
        // the speed that they started with. Whoever loses access is found by his row and sessions then.
        put_off.retain(|change| change.cut.is_none());
        self.note_owed_kicks(&put_off);
    }

    /// Sessions of other lines that run at the speed of a profile which a look at a few lines is about to change.
    fn owe_kicks_elsewhere(&mut self, basis: Basis<'_>, planned: &Plan, looked_at: &BTreeSet<String>) {
        let changed: BTreeSet<(Family, &str)> = planned
            .profiles
            .iter()
            .filter(|change| change.is_felt)
            .map(|change| (change.family, change.name.as_str()))
            .into_set();
        if changed.is_empty() {
            return;
        }
        let others = self.lines(basis.state).filter(|line| !looked_at.contains(&line.item.line));
        let others = others.filter(|line| {
            let state = self.effective(basis, &line.item).ok();
            let profile = state.and_then(|(service, state)| {
                Some((Family::of(service), profile_for(service, state, &line.item)?))
            });
            profile.is_some_and(|profile| changed.contains(&profile))
        });
        let others: Vec<_> = others.cloned().collect();
        for line in others {
            let entry = self.ledger.entries.get(&line.item.line).map(AsRef::as_ref);
            let is_open = |entry: &Entry| {
                let verified = entry.verified.as_ref();
                verified.is_some_and(|verified| verified.decision.state.is_some_and(Effective::is_online))
            };
            if entry.is_some_and(is_open) {
                self.ledger.owe(&line.item.line, std::slice::from_ref(&line.item.username));
                self.backlog.add(&line.item.line, line.revision);
            }
        }
    }

    /// Lines that the first look found right, or that no change can make right.
    async fn settle_untouched(&mut self, basis: Basis<'_>, planned: &Plan, looked_at: &BTreeSet<String>) {
        let changing = planned.lines.iter().map(|change| change.line.as_str());
        let changing: BTreeSet<&str> =
            changing.chain(planned.waits.iter().map(|wait| wait.line.as_str())).into_set();
        for failure in &planned.failures {
            self.note_failure(failure.clone());
        }
        self.ledger.blocked.extend(planned.blocked.iter().cloned());
        let failed: BTreeSet<&str> = planned.failures.iter().map(|failure| failure.line.as_str()).into_set();
        for id in looked_at {
            let is_settled = !changing.contains(id.as_str()) && !failed.contains(id.as_str());
            if is_settled && !self.ledger.is_left(id) && !self.backlog.contains(id) {
                self.note_unsupported_or_verified(basis, id).await;
            }
        }
    }

    async fn note_unsupported_or_verified(&mut self, basis: Basis<'_>, id: &str) {
        let unsupported = self
            .line(basis.state, id)
            .and_then(|line| self.effective(basis, &line.item).err().map(|error| error.to_string()));
        match unsupported {
            Some(detail) => {
                self.note_failure(LineFailure {
                    line: id.to_owned(),
                    kind: FailureKind::Unsupported,
                    detail,
                });
            }
            None => self.note_verified(basis, id).await,
        }
    }

    /// Sessions that must end even if the pass is cut short after the row was written.
    fn note_owed_kicks(&mut self, changes: &[LineChange]) {
        for change in changes.iter().filter(|change| !change.kick.is_empty()) {
            // A binding is gone, or there, before the hotspot sees its device anew, and then it differs no more.
            let is_binding = change.table == Table::Bindings;
            if is_binding || matches!(change.row, RowChange::Set(..) | RowChange::Leave) {
                self.ledger.owe(&change.line, &change.kick);
            }
        }
    }

    /// That they are gone is no news then.
    fn forget_rows_that_go(&mut self, planned: &Plan) {
        for change in &planned.lines {
            if let RowChange::Drop(id) | RowChange::Remove { id, .. } = &change.row {
                self.ledger.row_hints.remove(&(change.table, id.number()));
            }
        }
    }

    /// Reads back what was touched, plans again, and judges each line by what is left.
    async fn second_look(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        after: After,
        applied: &mut Applied,
        touched: &mut BTreeMap<String, Touched>,
    ) -> Result<Plan, Error> {
        let After { lines, waiting, strays, written, round } = after;
        let strays = strays.as_slice();
        applied.ended.iter().for_each(|(line, names)| self.ledger.note_ended(line, names));
        let reach = Reach::Lines(lines.clone());
        let was_early = applied.seen.is_some();
        let mut actual = match applied.seen.take() {
            Some(seen) => seen,
            None => self.read(client, basis, &reach, strays).await?,
        };
        self.note_password_evidence(basis.state, &mut actual);
        let mut left = plan(&self.scope(basis, &lines, false, strays), &actual);
        let is_right = left.lines.is_empty() && left.profiles.is_empty() && left.failures.is_empty();
        let is_right = is_right && left.waits.is_empty();
        if was_early && !is_right {
            // What was read behind the writes without waiting proves only what is right.
            actual = self.read(client, basis, &reach, strays).await?;
            self.note_password_evidence(basis.state, &mut actual);
            left = plan(&self.scope(basis, &lines, false, strays), &actual);
        }
        self.note_profiles(basis.state, &actual);
        self.note_rows(&actual);
        if self.note_unkept_limits(&left, &written, applied, touched).await {
            left = plan(&self.scope(basis, &lines, false, strays), &actual);
        }
        for change in &left.profiles {
            profile_keys(change.family, &change.name).for_each(|key| drop(self.good_profiles.remove(&key)));
            // Nobody was thrown out for it.
            self.profile_kicks.forget(change.family, &change.name, basis.mono);
        }
        let missing: BTreeSet<(Family, &str)> =
            left.profiles.iter().map(|profile| (profile.family, profile.name.as_str())).into_set();
        let mut again = BTreeSet::new();
        for id in &lines {
            let changes: Vec<&LineChange> = left.lines.iter().filter(|change| change.line == *id).collect();
            let note = touched.remove(id).unwrap_or_default();
            if let Some(failure) = left.failures.iter().find(|failure| failure.line == *id) {
                self.note_failure(failure.clone());
                self.ledger.blocked.extend(left.blocked.iter().find(|(line, _)| line == id).cloned());
                continue;
            }
            let is_profile_missing = note
                .profile
                .as_ref()
                .is_some_and(|(family, name)| missing.contains(&(*family, name.as_str())));
            let refused = applied.refused.get(id).map(String::as_str);
            // Whoever waited for a name had not all that it wants in this round.
            let was_overtaken = applied.overtaken.contains(id) || waiting.contains(id);
            if round < ROUNDS && left.waits.iter().any(|wait| wait.line == *id && wait.is_for_next_round) {
                again.insert(id.clone());
                touched.insert(id.clone(), note);
                continue;
            }
            match judge(refused, was_overtaken, &changes, is_profile_missing, round) {
                Verdict::Verified => {
                    self.note_verified(basis, id).await;
                    self.report_done(basis, id, &note).await;
                }
                Verdict::Again if round < ROUNDS => {
                    again.insert(id.clone());
                    touched.insert(id.clone(), note);
                }
                Verdict::Again => {}
                Verdict::Failed(kind, detail) => self.note_failed_write(basis, id, kind, detail),
            }
        }
        left.lines.retain(|change| again.contains(&change.line));
        left.waits.retain(|wait| again.contains(&wait.line));
        Ok(Plan { lines: left.lines, waits: left.waits, ..Plan::default() })
    }

    pub(super) fn scope<'a>(
        &'a self,
        basis: Basis<'a>,
        lines: &'a BTreeSet<String>,
        is_everything: bool,
        strays: &'a [Stray],
    ) -> Scope<'a> {
        let mut wanted = Vec::new();
        let mut gone = Vec::new();
        for id in lines {
            if let Some(line) = self.line(basis.state, id)
                && let Ok((service, state)) = self.effective(basis, &line.item)
            {
                let owes_kick = self.ledger.owed(id);
                let password = self.password_knowledge(line);
                let revision = line.revision;
                let line = &line.item;
                let allowance = self.allowance(basis, line);
                wanted.push(WantedLine { line, service, state, password, owes_kick, allowance, revision });
            }
            gone.extend(self.gone_from(basis.state, id));
        }
        for stray in strays {
            let is_wanted_there = wanted
                .iter()
                .any(|wanted| wanted.line.line == stray.line && Family::of(wanted.service) == stray.family);
            let is_known = gone.iter().any(|gone| gone.line == stray.line && gone.family == stray.family);
            if !is_wanted_there && !is_known {
                let owes_kick = self.ledger.owed(&stray.line);
                let Stray { line, family, username } = stray;
                gone.push(GoneLine { line, family: *family, username, owes_kick });
            }
        }
        let all_lines = is_everything.then(|| {
            let each = self.lines(basis.state);
            each.map(|line| (line.item.line.as_str(), Family::of_code(line.item.service))).into_map()
        });
        let template = &self.settings.profile_template;
        Scope { wanted, gone, profiles: &basis.state.profiles, template, all_lines }
    }

    /// Where a line has a row, as far as we remember, that it should not have: it is no more, or has moved.
    fn gone_from<'a>(
        &'a self,
        state: &DesiredState,
        id: &'a str,
    ) -> impl Iterator<Item = GoneLine<'a>> + use<'a> {
        let place = self.ledger.entries.get(id).and_then(|entry| entry.place.as_ref());
        let wanted = self.line(state, id).map(|line| Family::of_code(line.item.service));
        let is_gone = |family: Family| match wanted {
            None => true,
            Some(wanted) => wanted.is_some_and(|wanted| wanted != family),
        };
        let gone = place.filter(|(family, _)| is_gone(*family));
        let owes_kick = self.ledger.owed(id);
        gone.map(|(family, username)| GoneLine { line: id, family: *family, username, owes_kick }).into_iter()
    }

    /// A line of this router.
    pub(crate) fn line<'a>(&self, state: &'a DesiredState, id: &str) -> Option<&'a Arc<Revised<LineV1>>> {
        state.lines.get(id).filter(|line| line.item.router == self.settings.name)
    }

    /// All lines of this router.
    pub(crate) fn lines<'a>(
        &self,
        state: &'a DesiredState,
    ) -> impl Iterator<Item = &'a Arc<Revised<LineV1>>> + use<'a, '_> {
        state.lines.values().filter(|line| line.item.router == self.settings.name)
    }

    /// What is wanted of a line now.
    pub(crate) fn decision(&self, basis: Basis<'_>, id: &str) -> Option<Decision> {
        let line = self.line(basis.state, id)?;
        let state = self.effective(basis, &line.item).ok().map(|(_, state)| state);
        let profile = state.and_then(|state| state.profile(&line.item));
        let profile =
            profile.and_then(|name| basis.state.profiles.get(&(line.item.service, name.to_owned())));
        Some(Decision { line: Arc::clone(line), state, profile: profile.cloned() })
    }
}

/// What the state says of a profile of the router.
fn wanted_profile<'a>(state: &'a DesiredState, family: Family, name: &str) -> Option<&'a ProfileV1> {
    profile_keys(family, name).find_map(|key| state.profiles.get(&key)).map(|profile| &profile.item)
}

/// Rows that go, to be looked for again where they were.
fn strays(planned: &Plan) -> Vec<Stray> {
    let removals = planned
        .lines
        .iter()
        .filter(|change| matches!(change.row, RowChange::Remove { .. } | RowChange::Drop(_)));
    let stray = |change: &LineChange| Stray {
        line: change.line.clone(),
        family: change.table.family(),
        username: change.kick.first().cloned().unwrap_or_default(),
    };
    removals.map(stray).collect()
}
